/* SPDX-License-Identifier: MIT-0
   Fuzz target: HTTP/1.1 messages, whole against split, as requests and as responses; bodies are compared in their
   bytes, not in their pieces. What is in a head is well-formed enough to be forwarded, read again, and found to
   be the same. The first four bytes of the input choose role, limits and cuts. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "fuzz_split.h"
#include "../examples/common/http.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void forwarded(const http_head *head) {
    stream_slice rest = head->fields, name, value;
    size_t cap = head->fields.len * 2 + 64, lines = 0;
    char *out = (char *)malloc(cap);
    http_writer w;
    if (!out) return;
    http_write_begin(&w, out, cap);
    http_write_response(&w, 200, NULL);
    http_write_forwarded(&w, head->fields);
    FUZZ_CHECK(http_write_end(&w) == STREAM_OK);
    while (http_field_next(&rest, &name, &value)) FUZZ_CHECK(name.len > 0 && ++lines <= 100);
    {
        http_desc desc;
        http h;
        stream_item item;
        memset(&desc, 0, sizeof desc);
        desc.role = HTTP_RESPONSES;
        desc.max_head = cap + 64;
        desc.max_fields = 1000;
        FUZZ_CHECK(http_init(&h, &desc) == STREAM_OK);
        http_feed(&h, out, w.len);
        FUZZ_CHECK(http_next(&h, &item) == STREAM_OK && item.kind == HTTP_HEAD && item.len == w.len);
        FUZZ_CHECK(h.head.framing == HTTP_UNTIL_CLOSE); /* nothing of the framing passes through */
        http_free(&h);
    }
    free(out);
}

static trace run(http *h, const uint8_t *data, size_t len, const uint8_t *cuts) {
    trace t = {0, 0, 0};
    size_t at = 0, turn = 0, i;
    bool finishing = false;
    stream_item item;
    stream_status st;
    while (!finishing) {
        size_t n = cuts ? (size_t)cuts[turn++ % 2] + 1 : len;
        char *loan = NULL;
        if (n > len - at) n = len - at;
        if (n == 0) {
            http_finish(h);
            finishing = true;
        } else {
            loan = (char *)malloc(n);
            if (!loan) return t;
            memcpy(loan, data + at, n);
            FUZZ_CHECK(http_feed(h, loan, n) == STREAM_OK);
            at += n;
        }
        while ((st = http_next(h, &item)) != STREAM_MORE && st != STREAM_END) {
            if (st == STREAM_OK && item.kind == HTTP_BODY) {
                for (i = 0; i < item.len; i++) trace_add(&t, (unsigned char)item.ptr[i]);
                t.bytes += item.len;
                continue;
            }
            if (st < 0) FUZZ_CHECK(h->error && h->status >= 400 && h->status <= 505);
            trace_item(&t, st, &item);
            if (st == STREAM_OK && item.kind == HTTP_HEAD) {
                FUZZ_CHECK(h->head.framing != HTTP_LENGTH || h->head.length > 0);
                trace_add(&t,
                          (uint64_t)h->head.framing << 4 | (uint64_t)h->head.keep_alive << 1 | h->head.upgrade);
                forwarded(&h->head);
            }
        }
        free(loan);
    }
    FUZZ_CHECK(t.bytes <= len && h->scanned == len);
    http_reset(h);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    http_desc desc;
    http h;
    trace whole, split;
    http_address address;
    http_url url;
    stream_slice rest;
    if (len < 4) return 0;
    memset(&desc, 0, sizeof desc);
    desc.role = data[0] & 1 ? HTTP_RESPONSES : HTTP_REQUESTS;
    desc.first_head = 1 + data[0] / 16;
    if (data[0] & 2) desc.max_head = 64 + data[1];
    if (data[0] & 4) desc.max_body = 1 + data[1] % 8;
    FUZZ_CHECK(http_init(&h, &desc) == STREAM_OK);
    whole = run(&h, data + 4, len - 4, NULL);
    split = run(&h, data + 4, len - 4, data + 2);
    FUZZ_CHECK(whole.sum == split.sum && whole.items == split.items && whole.bytes == split.bytes);
    http_free(&h);

    rest = stream_slice_of(data + 4, len - 4);
    if (!http_address_parse(rest, &address))
        FUZZ_CHECK(address.unix_path.ptr || address.host.len || address.port);
    if (!http_url_parse(rest, &url)) FUZZ_CHECK(url.target.ptr[0] == '/' && url.authority.len > 0);
    {
        stream_slice name, value;
        char *out = (char *)malloc(len);
        size_t n;
        stream_status st = http_percent_decode(rest, data[0] & 1, out, len, &n);
        FUZZ_CHECK(st == STREAM_E_INVALID || (st == STREAM_OK && n <= rest.len));
        while (http_query_next(&rest, &name, &value)) FUZZ_CHECK(name.len + value.len <= len);
        free(out);
    }
    return 0;
}
