/* SPDX-License-Identifier: MIT-0
   Fuzz target: which rows of a text changed, beside a loop over all rows of both; what was said, applied
   to the old rows, makes the new ones. The input is the text as it was, a NUL, and as it is now. */
#define STREAM_IMPLEMENTATION
#define FUZZ_NO_JSON
#include "fuzz_kernels.h"

enum { ROWS = 1 << 13 };

/* The rows of a text, split at every LF; what is behind the last one is a row unless it is nothing. */
static size_t rows_of(const char *text, size_t len, stream_slice *rows) {
    size_t count = 0, from = 0, i;
    for (i = 0; i < len && count < ROWS; i++) {
        if (text[i] != '\n') continue;
        rows[count++] = stream_slice_of(text + from, i - from);
        from = i + 1;
    }
    if (from < len && count < ROWS) rows[count++] = stream_slice_of(text + from, len - from);
    return count;
}

static bool same(stream_slice a, stream_slice b) {
    size_t i;
    if (a.len != b.len) return false;
    for (i = 0; i < a.len; i++)
        if (a.ptr[i] != b.ptr[i]) return false;
    return true;
}

static uint64_t fuzz_outcome(const uint8_t *data, size_t len) {
    static stream_slice was[ROWS], now[ROWS];
    const char *zero = (const char *)memchr(data, '\0', len);
    const size_t was_len = zero ? (size_t)(zero - (const char *)data) : len;
    const size_t now_len = zero ? len - was_len - 1 : 0;
    trace t = {0, 0, 0};
    stream_diff diff;
    stream_diff_row row;
    char *a, *b;
    size_t was_rows, now_rows, i;
    if (len >= ROWS) return 0;
    a = fuzz_copy(data, was_len);
    b = fuzz_copy(zero ? zero + 1 : "", now_len);
    was_rows = rows_of(a, was_len, was);
    now_rows = rows_of(b, now_len, now);
    stream_diff_init(&diff, was_len ? a : NULL, was_len, now_len ? b : NULL, now_len);
    for (i = 0; i < was_rows || i < now_rows; i++) {
        const bool old = i < was_rows, fresh = i < now_rows;
        if (old && fresh && same(was[i], now[i])) continue;
        FUZZ_CHECK(stream_diff_next(&diff, &row) == STREAM_OK && row.row == i);
        FUZZ_CHECK((row.kind == STREAM_DIFF_ADDED) == !old && (row.kind == STREAM_DIFF_REMOVED) == !fresh);
        FUZZ_CHECK(row.was.len == (old ? was[i].len : 0) && row.now.len == (fresh ? now[i].len : 0));
        if (old) FUZZ_CHECK(row.was.ptr == was[i].ptr);
        if (fresh) FUZZ_CHECK(row.now.ptr == now[i].ptr);
        was[i] = row.now;
        trace_add(&t, i);
        trace_add(&t, (uint64_t)row.kind);
        trace_bytes(&t, row.was.ptr, row.was.len);
        trace_bytes(&t, row.now.ptr, row.now.len);
    }
    FUZZ_CHECK(stream_diff_next(&diff, &row) == STREAM_END);
    FUZZ_CHECK(stream_diff_next(&diff, &row) == STREAM_END);
    for (i = 0; i < now_rows; i++) FUZZ_CHECK(same(was[i], now[i]));
    free(a);
    free(b);
    return t.sum;
}
