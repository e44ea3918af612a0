/* SPDX-License-Identifier: MIT-0
   Text that is safe to show: what a child says must not move our cursor, set our title or paste into our
   clipboard. */
#ifndef COMMON_TEXT_H
#define COMMON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A byte buffer that grows to the largest thing ever put in and keeps that; zero it to start. */
typedef struct text_buffer {
    char *ptr;
    size_t len, cap;
} text_buffer;

/* Room for `more` bytes behind len; false when memory is out. */
bool text_room(text_buffer *t, size_t more);
void text_free(text_buffer *t);

/* Appends src as valid UTF-8 without control characters: C0 (but for line feed and tab), DEL and C1 become
   U+FFFD, as do bytes that are no UTF-8; CR is dropped. With one_line, line feeds and tabs become spaces. */
bool text_add_safe(text_buffer *t, const char *src, size_t len, bool one_line);

/* Parse what people write on command lines: "64K", "1M", "2G"; "250ms", "5s", "2m", "1h", plain seconds.
   False when it is neither, or does not fit. */
bool parse_size(const char *s, size_t *bytes);
bool parse_duration(const char *s, uint64_t *ns);

/* The number of `word` among the words of "a|b|c", from 0, or -1. */
int parse_choice(const char *words, const char *word);

#endif
