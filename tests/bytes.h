/* SPDX-License-Identifier: MIT-0
   What a program under test has written, kept with a NUL behind it. */
#ifndef BYTES_H
#define BYTES_H

#include "test.h"

typedef struct bytes {
    char *ptr;
    size_t len, cap;
} bytes;

static inline void keep(bytes *b, const char *ptr, size_t len) {
    if (len >= SIZE_MAX / 4 - b->len) exit(99);
    if (b->len + len + 1 > b->cap) {
        b->cap = (b->len + len + 1) * 2;
        b->ptr = (char *)realloc(b->ptr, b->cap);
        if (!b->ptr) exit(99);
    }
    if (len) memcpy(b->ptr + b->len, ptr, len);
    b->len += len;
    b->ptr[b->len] = '\0';
}

static inline size_t count_text(const bytes *b, const char *needle) {
    size_t n = 0, len = strlen(needle), i;
    for (i = 0; b->len >= len && i <= b->len - len; i++) n += memcmp(b->ptr + i, needle, len) == 0;
    return n;
}

#define CHECK_HAS(b, needle)                                                                               \
    do {                                                                                                   \
        CHECK(count_text(&(b), needle) > 0);                                                               \
        if (count_text(&(b), needle) == 0) {                                                               \
            printf("    looked for %s in ", needle);                                                       \
            test_print_bytes((b).ptr, (b).len);                                                            \
            putchar('\n');                                                                                 \
        }                                                                                                  \
    } while (0)

#endif
