/* SPDX-License-Identifier: MIT-0
   Fuzz target: WebSocket frames, whole against split, as a server and as a client read them; messages are
   compared in their bytes, not in their pieces. And a message that is written in frames of any length,
   masked or not, with pings between them, is read back. The first four bytes of the input choose role,
   limit and cuts. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "fuzz_split.h"
#include "../examples/common/digest.c"
#include "../examples/common/http.c"
#include "../examples/common/websocket.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static trace run(const ws_desc *desc, const uint8_t *data, size_t len, const uint8_t *cuts) {
    trace t = {0, 0, 0};
    size_t at = 0, turn = 0, i;
    uint64_t message = 0;
    bool finishing = false, open = false;
    stream_utf8 utf8;
    ws w;
    stream_item item;
    stream_status st;
    ws_init(&w, desc);
    memset(&utf8, 0, sizeof utf8);
    while (!finishing) {
        size_t n = cuts ? (size_t)cuts[turn++ % 2] + 1 : len;
        char *loan = NULL;
        if (n > len - at) n = len - at;
        if (n == 0) {
            ws_finish(&w);
            finishing = true;
        } else {
            loan = (char *)malloc(n);
            if (!loan) return t;
            memcpy(loan, data + at, n);
            FUZZ_CHECK(ws_feed(&w, loan, n) == STREAM_OK);
            at += n;
        }
        while ((st = ws_next(&w, &item)) != STREAM_MORE && st != STREAM_END) {
            if (st != STREAM_OK || item.kind >= 8) {
                if (st < 0) FUZZ_CHECK(w.error && w.close_code >= 1002);
                FUZZ_CHECK(item.len <= WS_MAX_CONTROL);
                trace_item(&t, st, &item);
                continue;
            }
            FUZZ_CHECK(open == !(item.flags & WS_FIRST));
            if (item.flags & WS_FIRST) {
                message = 0;
                memset(&utf8, 0, sizeof utf8);
            }
            open = !(item.flags & WS_LAST);
            message += item.len;
            FUZZ_CHECK(message <= desc->max_message);
            if (item.kind == WS_TEXT) {
                st = stream_utf8_feed(&utf8, item.ptr, item.len);
                FUZZ_CHECK(st == STREAM_OK || (st == STREAM_MORE && open));
            }
            for (i = 0; i < item.len; i++)
                t.bytes = (t.bytes ^ (unsigned char)item.ptr[i]) * UINT64_C(1099511628211);
            if (!open) {
                trace_add(&t, message << 8 | item.kind);
                t.items++;
            }
        }
        free(loan);
    }
    FUZZ_CHECK(w.scanned == len);
    return t;
}

/* The input as one message, in frames as long as the cuts say. */
static void round_trip(const uint8_t *data, size_t len, bool client, const uint8_t *cuts) {
    static char out[64 * 1024];
    static const uint8_t mask[4] = {0x12, 0, 0xFF, 0x80};
    const bool text = stream_utf8_valid(data, len);
    size_t n = 0, at = 0, got = 0, pings = 0, seen = 0;
    bool first = true, ended = false;
    fuzz_cuts c = {NULL, 0, 0};
    ws_desc desc;
    ws w;
    stream_item item;
    stream_status st;
    c.cuts = cuts;
    c.count = 2;
    do {
        const size_t take = at < len ? fuzz_next_cut(&c, len - at) : 0;
        char head[WS_MAX_HEAD];
        size_t head_len = ws_head(first ? text ? WS_TEXT : WS_BINARY : 0, at + take == len, take,
                                  client ? mask : NULL, head);
        memcpy(out + n, head, head_len);
        memcpy(out + n + head_len, data + at, take);
        if (client) ws_mask(out + n + head_len, take, mask, 0);
        n += head_len + take;
        at += take;
        if (c.turn % 3 == 1) {
            head_len = ws_head(WS_PING, true, 4, client ? mask : NULL, head);
            memcpy(out + n, head, head_len);
            memcpy(out + n + head_len, "ping", 4);
            if (client) ws_mask(out + n + head_len, 4, mask, 0);
            n += head_len + 4;
            pings++;
        }
        first = false;
    } while (at < len);
    memset(&desc, 0, sizeof desc);
    desc.role = client ? WS_SERVER : WS_CLIENT;
    desc.max_message = len ? len : 1;
    ws_init(&w, &desc);
    FUZZ_CHECK(ws_feed(&w, out, n) == STREAM_OK);
    while ((st = ws_next(&w, &item)) != STREAM_MORE) {
        FUZZ_CHECK(st == STREAM_OK);
        if (item.kind == WS_PING) {
            FUZZ_CHECK(item.len == 4 && memcmp(item.ptr, "ping", 4) == 0);
            seen++;
            continue;
        }
        FUZZ_CHECK(!ended && item.kind == (text ? WS_TEXT : WS_BINARY) && item.len <= len - got);
        FUZZ_CHECK(got == 0 || !(item.flags & WS_FIRST));
        FUZZ_CHECK(item.len == 0 || memcmp(item.ptr, data + got, item.len) == 0);
        got += item.len;
        ended = (item.flags & WS_LAST) != 0;
    }
    FUZZ_CHECK(ended && got == len && seen == pings && w.scanned == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    ws_desc desc;
    trace whole, split;
    uint8_t bytes[512];
    char text[BASE64_LEN(512)];
    size_t n;
    if (len < 4 || len > 500) return 0;
    memset(&desc, 0, sizeof desc);
    desc.role = data[0] & 1 ? WS_CLIENT : WS_SERVER;
    desc.max_message = data[0] & 2 ? 1u + data[1] : 1u << 20;
    whole = run(&desc, data + 4, len - 4, NULL);
    split = run(&desc, data + 4, len - 4, data + 2);
    FUZZ_CHECK(whole.sum == split.sum && whole.items == split.items && whole.bytes == split.bytes);
    round_trip(data + 4, len - 4, data[0] & 1, data + 2);
    base64_encode(data, len, text);
    FUZZ_CHECK(base64_decode(text, BASE64_LEN(len), bytes, &n) && n == len && memcmp(bytes, data, len) == 0);
    if (base64_decode((const char *)data, len, bytes, &n)) {
        base64_encode(bytes, n, text);
        FUZZ_CHECK(BASE64_LEN(n) == len && memcmp(text, data, len) == 0);
    }
    return 0;
}
