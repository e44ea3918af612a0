/* SPDX-License-Identifier: MIT-0
   What the fuzz targets of the decoders share: run one decoder over the input whole, and over the input cut
   where the input itself says, and trap when the items differ. */
#ifndef FUZZ_SPLIT_H
#define FUZZ_SPLIT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

/* A running sum of everything next() said: two runs that agree said the same. */
typedef struct trace {
    uint64_t sum, items, bytes;
} trace;

static inline void trace_add(trace *t, uint64_t v) { t->sum = (t->sum ^ v) * UINT64_C(1099511628211) + 1; }

static inline void trace_item(trace *t, stream_status status, const stream_item *item) {
    size_t i;
    trace_add(t, (uint64_t)(int64_t)status);
    trace_add(t, item->kind);
    trace_add(t, item->offset);
    trace_add(t, item->size);
    trace_add(t, item->flags & ~(uint32_t)STREAM_COPIED);
    trace_add(t, item->len);
    for (i = 0; i < item->len; i++) trace_add(t, (unsigned char)item->ptr[i]);
    t->items++;
    t->bytes += item->size;
}

#define FUZZ_CHECK(cond) \
    do { \
        if (!(cond)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
            __builtin_trap(); \
        } \
    } while (0)

/* Feeds len bytes in fragments of 1 + cuts[i % count] bytes (whole when count is 0), each in memory of its
   own that is gone once the decoder said MORE. */
static inline trace fuzz_run(stream_decoder d, const uint8_t *data, size_t len, const uint8_t *cuts, size_t count) {
    trace t = {0, 0, 0};
    size_t at = 0, turn = 0;
    stream_item item;
    stream_status status;
    while (at < len) {
        size_t n = count ? (size_t)cuts[turn++ % count] + 1 : len;
        char *fragment;
        if (n > len - at) n = len - at;
        fragment = (char *)malloc(n);
        if (!fragment) return t;
        memcpy(fragment, data + at, n);
        FUZZ_CHECK(d.feed(d.self, fragment, n) == STREAM_OK);
        while ((status = d.next(d.self, &item)) != STREAM_MORE) trace_item(&t, status, &item);
        free(fragment);
        at += n;
    }
    d.finish(d.self);
    do {
        status = d.next(d.self, &item);
        trace_item(&t, status, &item);
    } while (status != STREAM_END);
    FUZZ_CHECK(t.bytes <= len);
    return t;
}

#endif
