/* SPDX-License-Identifier: MIT-0 */
#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "stream.h"

bool text_room(text_buffer *t, size_t more) {
    size_t cap = t->cap ? t->cap : 4096;
    char *grown;
    if (more <= t->cap - t->len) return true;
    while (cap - t->len < more) {
        if (cap > SIZE_MAX / 2) return false;
        cap *= 2;
    }
    grown = (char *)realloc(t->ptr, cap);
    if (!grown) return false;
    t->ptr = grown;
    t->cap = cap;
    return true;
}

void text_free(text_buffer *t) {
    free(t->ptr);
    memset(t, 0, sizeof *t);
}

/* The length of the character at p that may be shown as it is, or 0. */
static size_t shown(const char *p, size_t left, bool one_line) {
    unsigned char c = (unsigned char)*p;
    size_t n = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    if (c < 0x20) return !one_line && (c == '\n' || c == '\t');
    if (c == 0x7F || n > left || !stream_utf8_valid(p, n)) return 0;
    if (c == 0xC2 && (unsigned char)p[1] < 0xA0) return 0; /* C1: U+0080 to U+009F */
    return n;
}

bool text_add_safe(text_buffer *t, const char *src, size_t len, bool one_line) {
    size_t i = 0;
    if (!text_room(t, len)) return false;
    while (i < len) {
        size_t n = 0;
        while (n < len - i && (unsigned char)src[i + n] - 0x20u < 0x5F) n++; /* most text is plain */
        if (n > 0 && text_room(t, n)) {
            memcpy(t->ptr + t->len, src + i, n);
            t->len += n;
            i += n;
            continue;
        }
        n = shown(src + i, len - i, one_line);
        if (!text_room(t, 4)) return false; /* the longest character, or what replaces one byte */
        if (n) {
            memcpy(t->ptr + t->len, src + i, n);
            t->len += n;
            i += n;
        } else {
            bool space = src[i] == '\n' || src[i] == '\t';
            bool c1 = (unsigned char)src[i] == 0xC2 && len - i > 1 && stream_utf8_valid(src + i, 2);
            if (space) t->ptr[t->len++] = ' ';
            else if (src[i] != '\r') {
                memcpy(t->ptr + t->len, "\xEF\xBF\xBD", 3);
                t->len += 3;
            }
            i += c1 ? 2 : 1;
        }
    }
    return true;
}

/* Digits with at most one point, times `unit`, into *out. */
static bool parse_scaled(const char *s, const char *end, uint64_t unit, uint64_t *out) {
    uint64_t whole = 0, part = 0, scale = 1;
    bool digits = false, point = false;
    for (; s < end; s++) {
        if (*s == '.' && !point) {
            point = true;
            continue;
        }
        if (*s < '0' || *s > '9' || whole > UINT64_MAX / 10 - 1 || scale > UINT64_C(100000000)) return false;
        digits = true;
        if (point) {
            part = part * 10 + (uint64_t)(*s - '0');
            scale *= 10;
        } else {
            whole = whole * 10 + (uint64_t)(*s - '0');
        }
    }
    if (!digits || whole > UINT64_MAX / unit - 1) return false;
    *out = whole * unit + part * (unit / scale) + part * (unit % scale) / scale;
    return true;
}

static bool parse_suffixed(const char *s, const char *const *suffix, const uint64_t *unit, size_t count,
                           uint64_t *out) {
    size_t len = strlen(s), i;
    for (i = 0; i < count; i++) {
        size_t n = strlen(suffix[i]);
        if (len > n && strcmp(s + len - n, suffix[i]) == 0) return parse_scaled(s, s + len - n, unit[i], out);
    }
    return false;
}

bool parse_size(const char *s, size_t *bytes) {
    static const char *const suffix[] = {"K", "k", "M", "m", "G", "g", ""};
    static const uint64_t unit[] = {1u << 10, 1u << 10, 1u << 20, 1u << 20, 1u << 30, 1u << 30, 1};
    uint64_t n;
    if (!parse_suffixed(s, suffix, unit, 7, &n) || n > SIZE_MAX / 4) return false;
    *bytes = (size_t)n;
    return true;
}

bool parse_duration(const char *s, uint64_t *ns) {
    static const char *const suffix[] = {"ms", "s", "m", "h", ""};
    static const uint64_t unit[] = {UINT64_C(1000000), UINT64_C(1000000000), UINT64_C(60000000000),
                                    UINT64_C(3600000000000), UINT64_C(1000000000)};
    return parse_suffixed(s, suffix, unit, 5, ns) && *ns <= UINT64_MAX / 8; /* a sum of some still fits */
}

int parse_choice(const char *words, const char *word) {
    int n;
    for (n = 0; words; n++) {
        const char *bar = strchr(words, '|');
        size_t len = bar ? (size_t)(bar - words) : strlen(words);
        if (strlen(word) == len && memcmp(words, word, len) == 0) return n;
        words = bar ? bar + 1 : NULL;
    }
    return -1;
}
