/* SPDX-License-Identifier: MIT-0
   Fuzz target: binary frames whole and split, in memory of the caller's and where memory gives out,
   beside a naive reader; and written anew from what was read, which must give the input back. The first
   three bytes of the input choose the limit and the cuts. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "fuzz_split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Also writes each whole frame again. */
static trace naive(const uint8_t *data, size_t len, size_t max_len) {
    trace t = {0, 0, 0};
    stream_item item;
    size_t at = 0;
    bool skipped = false;
    memset(&item, 0, sizeof item);
    while (len - at >= STREAM_FRAME_HEAD) {
        const uint64_t size = (uint64_t)data[at + 1] << 24 | (uint64_t)data[at + 2] << 16 |
                              (uint64_t)data[at + 3] << 8 | data[at + 4];
        char *again;
        size_t n;
        memset(&item, 0, sizeof item);
        item.kind = data[at];
        item.offset = at += STREAM_FRAME_HEAD;
        item.size = size;
        skipped = size > max_len;
        if (skipped) {
            trace_item(&t, STREAM_E_TOO_LONG, &item);
            if (size > len - at) break;
            at += (size_t)size;
            skipped = false;
            continue;
        }
        item.ptr = (const char *)data + at;
        item.len = (size_t)size < len - at ? (size_t)size : len - at;
        trace_item(&t, item.len < size ? STREAM_E_TRUNCATED : STREAM_OK, &item);
        if (item.len < size) {
            at = len;
            break;
        }
        at += item.len;
        FUZZ_CHECK(stream_frame_write((uint8_t)item.kind, item.ptr, item.len, NULL, 0, &n) == STREAM_FULL);
        FUZZ_CHECK(n == STREAM_FRAME_HEAD + item.len);
        again = (char *)malloc(n);
        if (!again) exit(1);
        FUZZ_CHECK(stream_frame_write(data[at - n], item.ptr, item.len, again, n - 1, &n) == STREAM_FULL);
        FUZZ_CHECK(stream_frame_write((uint8_t)item.kind, item.ptr, item.len, again, n, &n) == STREAM_OK);
        FUZZ_CHECK(memcmp(again, data + at - n, n) == 0);
        free(again);
    }
    if (!skipped && at < len) { /* cut inside its head */
        memset(&item, 0, sizeof item);
        item.offset = len;
        trace_item(&t, STREAM_E_TRUNCATED, &item);
    }
    memset(&item, 0, sizeof item);
    item.offset = len;
    trace_item(&t, STREAM_END, &item);
    return t;
}

/* Sizes are what a head announces, so that of fuzz_run only the items' places hold. */
static trace run(stream_frame *frame, const uint8_t *data, size_t len, const uint8_t *cuts, bool refused) {
    trace t = {0, 0, 0};
    fuzz_cuts c = {NULL, 0, 0};
    stream_item item;
    stream_status status = STREAM_MORE;
    size_t at = 0;
    uint64_t behind = 0;
    c.cuts = cuts;
    c.count = cuts ? 2 : 0;
    while (status != STREAM_END) {
        const size_t n = at < len ? fuzz_next_cut(&c, len - at) : 0;
        char *loan = NULL;
        if (n) {
            loan = lend(data + at, n);
            FUZZ_CHECK(stream_frame_feed(frame, loan, n) == STREAM_OK);
            FUZZ_CHECK(stream_frame_feed(frame, loan, n) == STREAM_E_STATE);
        } else {
            stream_frame_finish(frame);
        }
        at += n;
        while ((status = stream_frame_next(frame, &item)) != STREAM_MORE) {
            fuzz_item_ok(&item, data, at, loan, n, &behind, false);
            behind = item.offset + item.len;
            FUZZ_CHECK(behind <= at && (status != STREAM_OK || item.len == item.size));
            FUZZ_CHECK(item.len == 0 || memcmp(item.ptr, data + item.offset, item.len) == 0);
            FUZZ_CHECK(refused || status != STREAM_E_NOMEM);
            trace_item(&t, status, &item);
            if (status == STREAM_END) break;
        }
        if (loan) take_back(loan, n);
    }
    FUZZ_CHECK(frame->scanned == len);
    stream_frame_reset(frame);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static char memory[256];
    stream_frame_desc desc;
    stream_frame frame;
    heap h;
    trace want, t;
    const uint8_t *cuts = data + 1;
    uint8_t choice;
    if (len < 3) return 0;
    choice = data[0];
    memset(&desc, 0, sizeof desc);
    desc.max_len = 1 + choice;
    desc.first_len = 1 + data[1] % 16;
    desc.allocator = fuzz_memory(&h, 0);
    data += 3;
    len -= 3;
    want = naive(data, len, desc.max_len);
    FUZZ_CHECK(stream_frame_init(&frame, &desc) == STREAM_OK);
    t = run(&frame, data, len, NULL, false);
    FUZZ_CHECK(t.sum == want.sum && t.items == want.items);
    t = run(&frame, data, len, cuts, false);
    FUZZ_CHECK(t.sum == want.sum && t.items == want.items);
    stream_frame_free(&frame);
    fuzz_memory_done(&h, 2 * desc.max_len);

    desc.memory = memory;
    desc.memory_len = desc.max_len;
    FUZZ_CHECK(stream_frame_init(&frame, &desc) == STREAM_OK);
    t = run(&frame, data, len, cuts, false);
    FUZZ_CHECK(t.sum == want.sum && t.items == want.items);
    stream_frame_free(&frame);

    desc.memory = NULL;
    desc.allocator = fuzz_memory(&h, 1 + choice / 64);
    FUZZ_CHECK(stream_frame_init(&frame, &desc) == STREAM_OK);
    t = run(&frame, data, len, cuts, true);
    FUZZ_CHECK(t.items == want.items);
    stream_frame_free(&frame);
    fuzz_memory_done(&h, 2 * desc.max_len);
    return 0;
}
