/* SPDX-License-Identifier: MIT-0
   Any decoder under every cut of its input. What a decoder says of an input is written down as text, a line
   an item, by a function of the test; the text must be what the reference wrote, whole, in two parts at every
   place, in three, byte by byte, in chunks, and at random places. Each fragment lies in memory of its own,
   against an unreadable page or on the heap, and is spoilt as soon as next says MORE.

   Include after the implementation of stream.h and test.h. */
#ifndef CUTS_H
#define CUTS_H

#include <stdarg.h>

#include "heap.h"

#if defined(__unix__) || defined(__APPLE__)
#define CUTS_POSIX 1
#include <sys/mman.h>
#include <unistd.h>
#endif

typedef struct sample {
    const char *ptr;
    size_t len;
} sample;
#define SAMPLE(literal) {literal, sizeof(literal) - 1}

/* An input, and what a decoder is to say of it. */
typedef struct example {
    const char *ptr;
    size_t len;
    const char *want;
} example;
#define EXAMPLE(in, want) {in, sizeof(in) - 1, want}

/* ---- text that grows --------------------------------------------------------------------------------- */

typedef struct notes {
    char *ptr;
    size_t len, cap;
} notes;

static inline void notes_bytes(notes *t, const char *ptr, size_t len) {
    if (len > t->cap - t->len) {
        t->cap = (t->len + len) * 2 + 256;
        t->ptr = (char *)realloc(t->ptr, t->cap);
        if (!t->ptr) abort();
    }
    if (len) memcpy(t->ptr + t->len, ptr, len);
    t->len += len;
}

static inline void notes_add(notes *t, const char *format, ...) {
    char line[512];
    va_list args;
    int n;
    va_start(args, format);
    n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof line) abort();
    notes_bytes(t, line, (size_t)n);
}

/* Bytes in brackets, so that nothing and the empty text differ and line ends do not break lines. */
static inline void notes_quote(notes *t, const char *ptr, size_t len) {
    size_t i;
    if (!ptr && len == 0) {
        notes_bytes(t, "-", 1);
        return;
    }
    notes_bytes(t, "[", 1);
    for (i = 0; i < len; i++) {
        unsigned char c = (unsigned char)ptr[i];
        if (c >= 0x20 && c < 0x7f && c != '\\' && c != ']') notes_bytes(t, ptr + i, 1);
        else notes_add(t, "\\%02x", c);
    }
    notes_bytes(t, "]", 1);
}

static inline void notes_free(notes *t) {
    free(t->ptr);
    memset(t, 0, sizeof *t);
}

/* ---- a decoder, and how it is run ---------------------------------------------------------------------- */

typedef struct subject {
    stream_decoder decoder;
    void (*reset)(void *self);
    /* Notes one item; what adjoining pieces come to may be put together. */
    void (*say)(notes *t, void *self, stream_status status, const stream_item *item);
    size_t scanned; /* where in *self the count of scanned bytes lies, plus 1; 0: it has none */
    /* of the run */
    notes got;
    uint64_t fed;
} subject;

enum { LEND_HEAP, LEND_PAGE_END, LEND_PAGE_START, LEND_WAYS };

/* The usable bytes between two pages that cannot be touched. */
static inline char *loan_place(int way, size_t len) {
    enum { ROOM = 1 << 17 };
    static char *base;
    if (way == LEND_HEAP || len > ROOM) return (char *)malloc(len ? len : 1);
#ifdef CUTS_POSIX
    if (!base) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *p = (char *)mmap(NULL, ROOM + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == (char *)MAP_FAILED || mprotect(p + page, ROOM, PROT_READ | PROT_WRITE) != 0) abort();
        base = p + page;
    }
#else
    if (!base) base = (char *)malloc(ROOM);
    if (!base) abort();
#endif
    return way == LEND_PAGE_END ? base + ROOM - len : base;
}

static inline stream_status subject_pull(subject *s, const char *loan, size_t len) {
    stream_item item;
    stream_status status;
    while ((status = s->decoder.next(s->decoder.self, &item)) != STREAM_MORE && status != STREAM_END) {
        /* What is said to be a slice of the loan is one. */
        if (item.len && !(item.flags & STREAM_COPIED) && loan)
            CHECK(item.ptr >= loan && item.ptr + item.len <= loan + len);
        s->say(&s->got, s->decoder.self, status, &item);
        if (s->got.len > (size_t)1 << 26) {
            CHECK(false && "a decoder that never says MORE");
            break;
        }
    }
    return status;
}

static inline void subject_feed(subject *s, const char *ptr, size_t len, int way) {
    char *loan = loan_place(way, len);
    if (!loan) abort();
    if (len) memcpy(loan, ptr, len);
    s->fed += len;
    if (s->decoder.feed(s->decoder.self, loan, len) != STREAM_OK) CHECK(false && "a loan is refused");
    if (subject_pull(s, loan, len) != STREAM_MORE) CHECK(false && "no MORE at the end of a loan");
    if (s->scanned) {
        uint64_t scanned;
        memcpy(&scanned, (const char *)s->decoder.self + s->scanned - 1, sizeof scanned);
        if (scanned != s->fed) CHECK_EQ(scanned, s->fed);
    }
    if (len) memset(loan, '\n', len);
    if (way == LEND_HEAP || len > 1 << 17) free(loan);
}

static inline void subject_finish(subject *s) {
    s->decoder.finish(s->decoder.self);
    if (subject_pull(s, NULL, 0) != STREAM_END) CHECK(false && "no END after finish");
    if (s->decoder.feed(s->decoder.self, "x", 1) != STREAM_E_STATE) CHECK(false && "a loan after the end");
}

static inline void subject_restart(subject *s) {
    s->reset(s->decoder.self);
    s->got.len = 0;
    s->fed = 0;
}

static inline void notes_check(const notes *got, const notes *want, const char *what, size_t a, size_t b,
                               const char *in, size_t n, const char *file, int line) {
    test.checks++;
    if (got->len == want->len && (got->len == 0 || memcmp(got->ptr, want->ptr, got->len) == 0)) return;
    test.failures++;
    if (test.failures > 5) return;
    printf("  %s:%d: %s (%zu, %zu) of ", file, line, what, a, b);
    test_print_bytes(in, n);
    printf("\n--- got\n%.*s--- want\n%.*s", (int)(got->len < 1500 ? got->len : 1500),
           got->ptr ? got->ptr : "",
           (int)(want->len < 1500 ? want->len : 1500), want->ptr ? want->ptr : "");
}

/* The run with one way of cutting; the rest of the input goes in whole. */
#define CUTS_CHECK(s, in, n, want) cuts_check(s, in, n, want, __FILE__, __LINE__)

static inline void cuts_check(subject *s, const char *in, size_t n, const notes *want, const char *file,
                              int line) {
    uint64_t seed = UINT64_C(0x5eed) + n;
    size_t a, b, at, len, turn;
    subject_restart(s);
    subject_feed(s, in, n, LEND_PAGE_END);
    subject_finish(s);
    notes_check(&s->got, want, "whole", 0, 0, in, n, file, line);
    if (n <= 3000) {
        for (a = 0; a <= n; a++) {
            subject_restart(s);
            subject_feed(s, in, a, (int)(a % LEND_WAYS));
            subject_feed(s, in + a, n - a, LEND_PAGE_END);
            subject_finish(s);
            notes_check(&s->got, want, "two parts", a, n, in, n, file, line);
        }
    }
    if (n <= (scaled(100) > 10 ? 48u : 10u)) {
        for (a = 0; a <= n; a++) {
            for (b = a; b <= n; b++) {
                subject_restart(s);
                subject_feed(s, in, a, LEND_HEAP);
                subject_feed(s, in + a, b - a, LEND_PAGE_START);
                subject_feed(s, in + b, n - b, LEND_PAGE_END);
                subject_finish(s);
                notes_check(&s->got, want, "three parts", a, b, in, n, file, line);
            }
        }
    }
    for (turn = 0; turn < (n > 100000 ? 6u : 40u); turn++) {
        bool random = turn >= 13;
        subject_restart(s);
        for (at = 0; at < n; at += len) {
            len = random ? below(&seed, (turn - 12) * (n > 4000 ? 97 : 3)) : turn + 1;
            if (len > n - at) len = n - at;
            subject_feed(s, in + at, len, (int)(turn % LEND_WAYS));
        }
        subject_finish(s);
        notes_check(&s->got, want, random ? "random cuts" : "chunks", turn, 0, in, n, file, line);
    }
}

#endif
