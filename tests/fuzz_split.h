/* SPDX-License-Identifier: MIT-0
   What the fuzz targets of the decoders share: run one decoder over the input whole, and over the input
   cut where the input itself says, and trap when the items differ; or when one is not what a decoder may
   hand out. */
#ifndef FUZZ_SPLIT_H
#define FUZZ_SPLIT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"
#include "heap.h"

#define FUZZ_CHECK(cond) \
    do { \
        if (!(cond)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
            __builtin_trap(); \
        } \
    } while (0)

/* ---- a trace ----------------------------------------------------------------------------------------- */

/* A running sum of everything next() said: two runs that agree said the same. */
typedef struct trace {
    uint64_t sum, items, bytes;
} trace;

static inline void trace_add(trace *t, uint64_t v) { t->sum = (t->sum ^ v) * UINT64_C(1099511628211) + 1; }

static inline void trace_bytes(trace *t, const void *ptr, size_t len) {
    const unsigned char *p = (const unsigned char *)ptr;
    trace_add(t, len);
    while (len--) trace_add(t, *p++);
}

/* An error, of which no value may be missing in a trace. */
static inline void trace_status(trace *t, stream_status status) { trace_add(t, (uint64_t)(int64_t)status); }

static inline void trace_item(trace *t, stream_status status, const stream_item *item) {
    trace_status(t, status);
    trace_add(t, item->kind);
    trace_add(t, item->offset);
    trace_add(t, item->size);
    trace_add(t, item->flags & ~(uint32_t)STREAM_COPIED);
    trace_bytes(t, item->ptr, item->len);
    t->items++;
    t->bytes += item->size;
}

/* ---- loans ------------------------------------------------------------------------------------------- */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FUZZ_POISON 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define FUZZ_POISON 1
#endif
#ifdef FUZZ_POISON
#include <sanitizer/asan_interface.h>
#endif

/* Memory of just these bytes, which is gone when it was taken back: with AddressSanitizer always the
   same, of which all but the loan is poisoned (twenty times as fast as malloc and free). */
static inline char *lend(const void *bytes, size_t n) {
    char *loan;
#ifdef FUZZ_POISON
    enum { ROOM = 1 << 16 };
    static char *room;
    if (n <= ROOM) {
        if (!room) {
            room = (char *)malloc(ROOM);
            if (!room) exit(1);
            ASAN_POISON_MEMORY_REGION(room, ROOM);
        }
        ASAN_UNPOISON_MEMORY_REGION(room, n);
        if (n) memcpy(room, bytes, n);
        return room;
    }
#endif
    loan = (char *)malloc(n ? n : 1);
    if (!loan) exit(1);
    if (n) memcpy(loan, bytes, n);
    return loan;
}

static inline void take_back(char *loan, size_t n) {
    if (n) memset(loan, 0xA5, n); /* who kept a byte of it shows by what he makes of this */
#ifdef FUZZ_POISON
    if (n <= 1 << 16) {
        ASAN_POISON_MEMORY_REGION(loan, n);
        return;
    }
#endif
    free(loan);
}

/* A copy in memory of just this size, malloc's. */
static inline char *fuzz_copy(const void *bytes, size_t n) {
    char *p = (char *)malloc(n ? n : 1);
    if (!p) exit(1);
    if (n) memcpy(p, bytes, n);
    return p;
}

/* ---- runs -------------------------------------------------------------------------------------------- */

/* Where the input is cut: cuts[i % count] + 1 bytes a fragment; count 0: not at all. */
typedef struct fuzz_cuts {
    const uint8_t *cuts;
    size_t count, turn;
} fuzz_cuts;

static inline size_t fuzz_next_cut(fuzz_cuts *c, size_t left) {
    size_t n = c->count ? (size_t)c->cuts[c->turn++ % c->count] + 1 : left;
    return n < left ? n : left;
}

/* What every item is: its bytes are the input's own where `verbatim`, in the loan unless it was
   assembled; it begins where the one before has ended or later, and ends before what was fed does. */
static inline void fuzz_item_ok(const stream_item *item, const uint8_t *data, size_t fed, const char *loan,
                                size_t loan_len, uint64_t *behind, bool verbatim) {
    if (item->len && !(item->flags & STREAM_COPIED))
        FUZZ_CHECK(item->ptr >= loan && item->ptr + item->len <= loan + loan_len);
    FUZZ_CHECK(item->offset >= *behind && item->offset <= fed);
    if (!verbatim) return;
    FUZZ_CHECK(item->len <= item->size && item->size <= fed - item->offset);
    FUZZ_CHECK(item->len == 0 || memcmp(item->ptr, data + item->offset, item->len) == 0);
    *behind = item->offset + item->size;
}

/* A whole stream through a decoder, by the protocol and a little beside it, which must be refused.
   `verbatim`: items are the input's bytes, unchanged. */
static inline trace fuzz_run_as(stream_decoder d, const uint8_t *data, size_t len, const uint8_t *cuts,
                                size_t count, bool verbatim) {
    trace t = {0, 0, 0};
    fuzz_cuts c = {NULL, 0, 0};
    uint64_t behind = 0;
    size_t at = 0;
    stream_item item;
    stream_status status;
    c.cuts = cuts;
    c.count = count;
    while (at < len) {
        const size_t n = fuzz_next_cut(&c, len - at);
        char *loan = lend(data + at, n);
        if (c.turn % 4 == 1) { /* nothing, for once */
            FUZZ_CHECK(d.feed(d.self, loan, 0) == STREAM_OK);
            FUZZ_CHECK(d.next(d.self, &item) == STREAM_MORE && item.len == 0);
        }
        FUZZ_CHECK(d.feed(d.self, loan, n) == STREAM_OK);
        FUZZ_CHECK(d.feed(d.self, loan, n) == STREAM_E_STATE);
        at += n;
        while ((status = d.next(d.self, &item)) != STREAM_MORE) {
            FUZZ_CHECK(status != STREAM_END);
            fuzz_item_ok(&item, data, at, loan, n, &behind, verbatim);
            trace_item(&t, status, &item);
        }
        FUZZ_CHECK(item.len == 0);
        take_back(loan, n);
    }
    d.finish(d.self);
    do {
        status = d.next(d.self, &item);
        FUZZ_CHECK(status != STREAM_MORE);
        fuzz_item_ok(&item, data, len, "", 0, &behind, verbatim);
        trace_item(&t, status, &item);
    } while (status != STREAM_END);
    FUZZ_CHECK(t.bytes <= len && t.items <= len + 1);
    FUZZ_CHECK(d.feed(d.self, data, len) == STREAM_E_STATE && d.next(d.self, &item) == STREAM_END);
    return t;
}

static inline trace fuzz_run(stream_decoder d, const uint8_t *data, size_t len, const uint8_t *cuts,
                             size_t count) {
    return fuzz_run_as(d, data, len, cuts, count, true);
}

/* An allocator that counts; from the `fail_at`th request on, if not 0, it refuses. */
static inline stream_allocator fuzz_memory(heap *h, size_t fail_at) {
    memset(h, 0, sizeof *h);
    h->fail_at = fail_at;
    h->fail_from = true;
    return heap_hook(h);
}

/* After everything was freed: nothing is left, and there was never more than `most`. */
static inline void fuzz_memory_done(const heap *h, size_t most) {
    FUZZ_CHECK(h->live == 0 && h->blocks == 0 && !h->wrong && h->peak <= most);
}

#endif
