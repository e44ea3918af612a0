/* SPDX-License-Identifier: MIT-0
   Fuzz target: lines whole, split, through a pipeline, in memory of the caller's and where memory gives
   out, beside a naive splitter. The first three bytes of the input choose the limit and the cuts. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "fuzz_split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static trace naive(const uint8_t *data, size_t len, size_t max_len) {
    trace t = {0, 0, 0};
    stream_item item;
    size_t i, from = 0;
    for (i = 0; i <= len; i++) {
        const bool ended = i < len && data[i] == '\n';
        if (!ended && (i < len || i == from)) continue;
        memset(&item, 0, sizeof item);
        item.ptr = (const char *)data + from;
        item.offset = from;
        item.size = i - from;
        if (ended && item.size && data[i - 1] == '\r') item.size--;
        item.len = (size_t)item.size < max_len ? (size_t)item.size : max_len;
        item.flags = ended ? 0 : STREAM_UNTERMINATED;
        trace_item(&t, item.size > max_len ? STREAM_E_TOO_LONG : STREAM_OK, &item);
        from = i + 1;
    }
    memset(&item, 0, sizeof item);
    item.offset = len;
    trace_item(&t, STREAM_END, &item);
    return t;
}

/* A source that has nothing now and then. */
typedef struct dribble {
    const uint8_t *data;
    size_t len, at;
    fuzz_cuts cuts;
} dribble;

static stream_status dribble_read(void *ctx, void *data, size_t cap, size_t *got) {
    dribble *d = (dribble *)ctx;
    if (d->at == d->len) return STREAM_END;
    *got = fuzz_next_cut(&d->cuts, d->len - d->at);
    if (d->cuts.turn % 3 == 2) return STREAM_EMPTY;
    if (*got > cap) *got = cap;
    memcpy(data, d->data + d->at, *got);
    d->at += *got;
    return STREAM_OK;
}

static trace piped(stream_lines *lines, const uint8_t *data, size_t len, const uint8_t *cuts) {
    trace t = {0, 0, 0};
    dribble d;
    heap h;
    stream_pipeline pipe;
    stream_pipeline_desc desc;
    stream_item item;
    stream_status status;
    memset(&d, 0, sizeof d);
    d.data = data;
    d.len = len;
    d.cuts.cuts = cuts;
    d.cuts.count = 2;
    memset(&desc, 0, sizeof desc);
    desc.source.ctx = &d;
    desc.source.read = dribble_read;
    desc.decoder = stream_lines_decoder(lines);
    desc.buffer_len = 1 + cuts[0] % 64;
    desc.allocator = fuzz_memory(&h, 0);
    FUZZ_CHECK(stream_pipeline_init(&pipe, &desc) == STREAM_OK);
    do {
        status = stream_pipeline_next(&pipe, &item);
        if (status != STREAM_EMPTY) trace_item(&t, status, &item);
    } while (status != STREAM_END);
    FUZZ_CHECK(pipe.bytes == len && lines->scanned == len && pipe.items + pipe.errors + 1 == t.items);
    stream_pipeline_free(&pipe);
    fuzz_memory_done(&h, desc.buffer_len);
    stream_lines_reset(lines);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static char memory[65];
    stream_lines_desc desc;
    stream_lines lines;
    heap h;
    trace want, t;
    const uint8_t *cuts = data + 1;
    uint8_t choice;
    if (len < 3) return 0;
    choice = data[0];
    memset(&desc, 0, sizeof desc);
    desc.max_len = 1 + choice % 64;
    desc.first_len = 1 + data[1] % 8;
    desc.allocator = fuzz_memory(&h, 0);
    data += 3;
    len -= 3;
    want = naive(data, len, desc.max_len);
    FUZZ_CHECK(stream_lines_init(&lines, &desc) == STREAM_OK);
    t = fuzz_run(stream_lines_decoder(&lines), data, len, NULL, 0);
    FUZZ_CHECK(lines.scanned == len && t.sum == want.sum && t.items == want.items);
    stream_lines_reset(&lines);
    t = fuzz_run(stream_lines_decoder(&lines), data, len, cuts, 2);
    FUZZ_CHECK(lines.scanned == len && t.sum == want.sum && t.items == want.items);
    stream_lines_reset(&lines);
    t = piped(&lines, data, len, cuts);
    FUZZ_CHECK(t.sum == want.sum && t.items == want.items);
    stream_lines_free(&lines);
    fuzz_memory_done(&h, 2 * (desc.max_len + 1));

    desc.memory = memory;
    desc.memory_len = desc.max_len + 1;
    FUZZ_CHECK(stream_lines_init(&lines, &desc) == STREAM_OK);
    t = fuzz_run(stream_lines_decoder(&lines), data, len, cuts, 2);
    FUZZ_CHECK(t.sum == want.sum && t.items == want.items);
    stream_lines_free(&lines);
    FUZZ_CHECK(h.calls == 0 || h.requests > 0); /* nothing since */

    desc.memory = NULL;
    desc.allocator = fuzz_memory(&h, 1 + choice / 64);
    FUZZ_CHECK(stream_lines_init(&lines, &desc) == STREAM_OK);
    t = fuzz_run(stream_lines_decoder(&lines), data, len, cuts, 2);
    FUZZ_CHECK(t.items == want.items); /* some of them heads only */
    stream_lines_free(&lines);
    fuzz_memory_done(&h, 2 * (desc.max_len + 1));
    return 0;
}
