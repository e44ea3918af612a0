/* SPDX-License-Identifier: MIT-0
   Fuzz target: server-sent events and frames, whole against split, in every mode; and the encoder, whose output
   must read back as what went in. The first four bytes of the input choose mode, limits and cuts. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "fuzz_split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What an event is besides its data, so that the runs are compared in that as well. */
typedef struct watched {
    stream_sse *sse;
    trace sum;
} watched;

static stream_status watched_feed(void *self, const void *data, size_t len) {
    return stream_sse_feed(((watched *)self)->sse, data, len);
}
static void watched_slice(watched *w, stream_slice s) {
    size_t i;
    trace_add(&w->sum, s.ptr != NULL);
    for (i = 0; i < s.len; i++) trace_add(&w->sum, (unsigned char)s.ptr[i]);
}
static stream_status watched_next(void *self, stream_item *item) {
    watched *w = (watched *)self;
    stream_slice last;
    stream_status status = stream_sse_next(w->sse, item);
    if (status == STREAM_MORE || status == STREAM_END) return status;
    watched_slice(w, w->sse->event.event);
    watched_slice(w, w->sse->event.id);
    last = stream_sse_last_id(w->sse);
    if (last.len) watched_slice(w, last);
    trace_add(&w->sum, w->sse->event.has_retry ? w->sse->event.retry_ms : 1);
    return status;
}
static stream_status watched_finish(void *self) { return stream_sse_finish(((watched *)self)->sse); }

static trace events(stream_sse *sse, const uint8_t *data, size_t len, const uint8_t *cuts, size_t count) {
    watched w;
    stream_decoder d;
    trace t;
    memset(&w, 0, sizeof w);
    w.sse = sse;
    d.self = &w;
    d.feed = watched_feed;
    d.next = watched_next;
    d.finish = watched_finish;
    t = fuzz_run(d, data, len, cuts, count);
    FUZZ_CHECK(sse->scanned == len);
    trace_add(&t, w.sum.sum);
    stream_sse_reset(sse);
    FUZZ_CHECK(stream_sse_set_last_id(sse, NULL, 0) == STREAM_OK);
    return t;
}

/* The bytes of a raw run, whatever its pieces; and where its blocks end, but for the LF of a CRLF. */
static trace raw(stream_sse *sse, const uint8_t *data, size_t len, size_t step) {
    trace t = {0, 0, 0};
    size_t at = 0, seen = 0;
    stream_item item;
    stream_status st;
    while (at < len) {
        size_t n = step < len - at ? step : len - at;
        FUZZ_CHECK(stream_sse_feed(sse, data + at, n) == STREAM_OK);
        while ((st = stream_sse_next(sse, &item)) != STREAM_MORE) {
            FUZZ_CHECK(st == STREAM_OK || st == STREAM_NOISE);
            FUZZ_CHECK(item.ptr == (const char *)data + seen && item.offset == seen);
            seen += item.len;
            if (st == STREAM_OK && item.kind == 0) {
                size_t end = seen;
                if (end >= 2 && item.len >= 2 && data[end - 2] == '\r' && data[end - 1] == '\n') end--;
                trace_add(&t, end);
                t.items++;
            }
        }
        at += n;
        FUZZ_CHECK(seen == at);
    }
    stream_sse_reset(sse);
    return t;
}

static void written(const uint8_t *data, size_t len) {
    size_t part = len / 4, n;
    stream_sse_event e;
    stream_sse sse;
    stream_item item;
    char *out;
    memset(&e, 0, sizeof e);
    e.data = stream_slice_of(data, len - 3 * part);
    e.event = stream_slice_of(data + len - 3 * part, part);
    e.id = stream_slice_of(data + len - 2 * part, part);
    e.comment = stream_slice_of(data + len - part, part);
    if (stream_sse_write(&e, NULL, 0, &n) != STREAM_FULL) return;
    FUZZ_CHECK(n <= 7 * len + 64);
    out = (char *)malloc(n);
    if (!out) return;
    FUZZ_CHECK(stream_sse_write(&e, out, n, &n) == STREAM_OK);
    FUZZ_CHECK(stream_sse_init(&sse, NULL) == STREAM_OK);
    stream_sse_feed(&sse, out, n);
    FUZZ_CHECK(stream_sse_next(&sse, &item) == STREAM_OK);
    FUZZ_CHECK(item.len <= e.data.len);
    FUZZ_CHECK(sse.event.event.len == part && (!part || memcmp(sse.event.event.ptr, e.event.ptr,
                                                               part) == 0));
    FUZZ_CHECK(sse.event.id.len == part && (!part || memcmp(sse.event.id.ptr, e.id.ptr, part) == 0));
    FUZZ_CHECK(stream_sse_next(&sse, &item) == STREAM_MORE && stream_sse_open(&sse) == 0);
    stream_sse_free(&sse);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    stream_sse_desc desc;
    stream_frame_desc frames;
    stream_sse sse;
    stream_frame frame;
    trace whole, split;
    if (len <= 4) return 0;
    memset(&desc, 0, sizeof desc);
    if (data[0] & 1) desc.max_len = 1 + data[1] % 64;
    if (data[0] & 2) desc.max_field = 1 + data[1] / 16;
    desc.first_len = 1 + data[0] / 16;
    FUZZ_CHECK(stream_sse_init(&sse, &desc) == STREAM_OK);
    whole = events(&sse, data + 4, len - 4, NULL, 0);
    split = events(&sse, data + 4, len - 4, data + 2, 2);
    FUZZ_CHECK(whole.sum == split.sum && whole.items == split.items);
    stream_sse_free(&sse);

    desc.mode = STREAM_SSE_PIECES;
    FUZZ_CHECK(stream_sse_init(&sse, &desc) == STREAM_OK);
    whole = raw(&sse, data + 4, len - 4, len);
    split = raw(&sse, data + 4, len - 4, (size_t)data[2] + 1);
    FUZZ_CHECK(whole.sum == split.sum && whole.items == split.items);
    stream_sse_free(&sse);

    desc.mode = STREAM_SSE_BLOCKS;
    if (!memchr(data + 4, '\r', len - 4)) {
        FUZZ_CHECK(stream_sse_init(&sse, &desc) == STREAM_OK);
        whole = fuzz_run(stream_sse_decoder(&sse), data + 4, len - 4, NULL, 0);
        stream_sse_reset(&sse);
        split = fuzz_run(stream_sse_decoder(&sse), data + 4, len - 4, data + 2, 2);
        FUZZ_CHECK(whole.sum == split.sum && whole.items == split.items);
        stream_sse_free(&sse);
    }
    written(data + 4, len - 4);

    memset(&frames, 0, sizeof frames);
    frames.max_len = 1 + data[1];
    frames.first_len = desc.first_len;
    FUZZ_CHECK(stream_frame_init(&frame, &frames) == STREAM_OK);
    whole.sum = whole.items = 0;
    {
        stream_item item; /* sizes are what is announced, so only the items are compared */
        stream_status st;
        size_t at;
        stream_frame_feed(&frame, data + 4, len - 4);
        stream_frame_finish(&frame);
        while ((st = stream_frame_next(&frame, &item)) != STREAM_END) trace_item(&whole, st, &item);
        FUZZ_CHECK(frame.scanned == len - 4);
        stream_frame_reset(&frame);
        split.sum = split.items = 0;
        for (at = 4; at < len; at++) {
            stream_frame_feed(&frame, data + at, 1);
            while ((st = stream_frame_next(&frame, &item)) != STREAM_MORE) trace_item(&split, st, &item);
        }
        stream_frame_finish(&frame);
        while ((st = stream_frame_next(&frame, &item)) != STREAM_END) trace_item(&split, st, &item);
    }
    FUZZ_CHECK(whole.sum == split.sum && whole.items == split.items);
    stream_frame_free(&frame);
    return 0;
}
