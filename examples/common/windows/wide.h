/* SPDX-License-Identifier: MIT-0
   Text in UTF-16, as Windows has it. */
#ifndef COMMON_WIDE_H
#define COMMON_WIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <windows.h>

/* A growing row of UTF-16 units; zero it to start, free() units. Once memory is out or text was no UTF-8 it
   stays `bad`, and what is added is ignored. */
typedef struct wide_text {
    wchar_t *units;
    size_t len, cap;
    bool bad;
} wide_text;

/* Always terminated by a NUL behind len. */
void wide_add(wide_text *t, wchar_t unit);
void wide_add_utf8(wide_text *t, const char *text);

/* A copy in the other form, to be freed; NULL when memory is out or it is no UTF-8, as
   GetLastError says. A lone surrogate becomes U+FFFD. */
wchar_t *wide_from_utf8(const char *text);
char *wide_to_utf8(const wchar_t *text);

/* The command line as it was given, in UTF-8, ended by a NULL: nothing was expanded in it. Never freed;
   NULL when memory is out. */
char **wide_arguments(int *count);

#endif
