/* SPDX-License-Identifier: MIT-0
   Fuzz target: UTF-8 whole, split, and beside a naive decoder that works out the code points; with
   vectors and without. The first byte of the input chooses the cuts, the second how often the rest is
   repeated, so that blocks of 64 bytes are filled. */
#define STREAM_IMPLEMENTATION
#define FUZZ_NO_JSON
#include "fuzz_kernels.h"

/* Where the first byte stands that cannot stand there; *rest: the beginning of a character at the end. */
static stream_status naive(const uint8_t *p, size_t len, size_t *offset, size_t *rest) {
    static const uint32_t lowest[] = {0, 0x80, 0x800, 0x10000};
    size_t i = 0, k;
    *rest = 0;
    while (i < len) {
        const size_t need = p[i] < 0x80 ? 0 : p[i] < 0xE0 ? 1 : p[i] < 0xF0 ? 2 : 3;
        uint32_t code = 0, least, most; /* what the code point can still become */
        *offset = i;
        if ((p[i] >= 0x80 && p[i] < 0xC0) || p[i] >= 0xF8) return STREAM_E_INVALID;
        for (k = 0; k <= need; k++) {
            if (i + k == len) {
                *rest = k;
                *offset = len;
                return STREAM_E_TRUNCATED;
            }
            *offset = i + k;
            if (k && (p[i + k] & 0xC0) != 0x80) return STREAM_E_INVALID;
            code = k ? code << 6 | (p[i + k] & 0x3F) : need ? p[i] & (0x3Fu >> need) : p[i];
            least = code << 6 * (need - k);
            most = least | ((1u << 6 * (need - k)) - 1);
            if (most < lowest[need] || least > 0x10FFFF || (least >= 0xD800 && most <= 0xDFFF))
                return STREAM_E_INVALID;
        }
        i += need + 1;
    }
    *offset = len;
    return STREAM_OK;
}

static uint64_t fuzz_outcome(const uint8_t *data, size_t len) {
    static uint8_t text[1 << 12];
    const uint8_t *cuts = data;
    fuzz_cuts c = {NULL, 0, 0};
    stream_utf8 whole, split;
    stream_status want, status = STREAM_OK;
    size_t at = 0, n, repeat, want_at, rest, cut;
    trace t = {0, 0, 0};
    if (len < 2) return 0;
    for (n = 0, repeat = data[1] % 8 + 1u; repeat; repeat--) {
        if (len - 2 > sizeof text - n) break;
        memcpy(text + n, data + 2, len - 2);
        n += len - 2;
    }
    c.cuts = cuts;
    c.count = 2;
    want = naive(text, n, &want_at, &rest);

    memset(&whole, 0, sizeof whole);
    {
        char *loan = lend(text, n);
        stream_utf8_feed(&whole, loan, n);
        FUZZ_CHECK(stream_utf8_valid(loan, n) == (want == STREAM_OK));
        cut = stream_utf8_cut(loan, n);
        take_back(loan, n);
    }
    FUZZ_CHECK(stream_utf8_finish(&whole) == want && whole.offset == want_at);
    FUZZ_CHECK(cut <= n && n - cut <= 3);
    if (want != STREAM_E_INVALID) FUZZ_CHECK(cut == n - rest && stream_utf8_valid(text, cut));

    memset(&split, 0, sizeof split);
    while (at < n) {
        const size_t take = fuzz_next_cut(&c, n - at);
        char *loan = lend(text + at, take);
        status = stream_utf8_feed(&split, loan, take);
        take_back(loan, take);
        at += take;
        FUZZ_CHECK(split.offset <= at && (status == STREAM_E_INVALID || split.offset == at));
        FUZZ_CHECK((status == STREAM_E_INVALID) == (want == STREAM_E_INVALID && at > want_at));
    }
    FUZZ_CHECK(stream_utf8_finish(&split) == want && split.offset == want_at);
    trace_status(&t, want);
    trace_add(&t, want_at);
    trace_add(&t, cut);
    return t.sum;
}
