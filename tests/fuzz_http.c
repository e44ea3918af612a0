/* SPDX-License-Identifier: MIT-0
   Fuzz target: HTTP/1.1 messages, whole against split, as requests and as responses; bodies are compared
   in their bytes, not in their pieces, and are as long as was announced. What is in a head is well-formed
   enough to be forwarded, read again, and found to be the same. What is written is read back: no name and
   no value makes a second line, chunks come to the bytes that went in. The first four bytes of the input
   choose role, limits and cuts. */
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

/* Of a head: everything in it lies in the item. */
static void inside(stream_slice s, const stream_item *item) {
    FUZZ_CHECK(s.len == 0 || (s.ptr >= item->ptr && s.ptr + s.len <= item->ptr + item->len));
}

static void head_ok(const http *h, const stream_item *item, const http_desc *desc, const uint8_t *data) {
    const http_head *head = &h->head;
    stream_slice rest = head->fields, name, value;
    size_t lines = 0;
    FUZZ_CHECK(item->len == item->size && memcmp(item->ptr, data + item->offset, item->len) == 0);
    FUZZ_CHECK(item->len <= (desc->max_head ? desc->max_head : 16u << 10));
    FUZZ_CHECK(head->minor == 0 || head->minor == 1);
    inside(head->fields, item);
    if (desc->role == HTTP_REQUESTS) {
        FUZZ_CHECK(head->method.len > 0 && head->target.len > 0 && head->framing != HTTP_UNTIL_CLOSE);
        inside(head->method, item);
        inside(head->target, item);
        inside(head->host, item);
        inside(head->query, item);
        FUZZ_CHECK(head->host.len > 0 || head->minor == 0 || http_field(head->fields, "host").ptr);
    } else {
        FUZZ_CHECK(head->status >= 100 && head->status <= 599);
        inside(head->reason, item);
    }
    while (http_field_next(&rest, &name, &value)) {
        lines++;
        FUZZ_CHECK(name.len > 0 && stream_find_any(name.ptr, name.len, " \t:\r\n", 5) == name.len);
        FUZZ_CHECK(stream_find_any(value.ptr, value.len, "\r\n\0", 3) == value.len);
        FUZZ_CHECK(value.len == 0 || (value.ptr[0] != ' ' && value.ptr[value.len - 1] != ' '));
        inside(name, item);
        inside(value, item);
    }
    FUZZ_CHECK(lines <= (desc->max_fields ? desc->max_fields : 100));
    FUZZ_CHECK(head->framing != HTTP_LENGTH || head->length > 0);
    FUZZ_CHECK(desc->max_body == 0 || head->framing != HTTP_LENGTH || head->length <= desc->max_body);
    forwarded(head);
}

static trace run(http *h, const http_desc *desc, const uint8_t *data, size_t len, const uint8_t *cuts) {
    trace t = {0, 0, 0};
    fuzz_cuts c = {NULL, 0, 0};
    size_t at = 0, i;
    uint64_t body = 0, behind = 0;
    bool finishing = false, ended = false, open = false;
    stream_item item;
    stream_status st;
    c.cuts = cuts;
    c.count = cuts ? 2 : 0;
    while (!finishing) {
        const size_t n = at < len ? fuzz_next_cut(&c, len - at) : 0;
        char *loan = NULL;
        if (n == 0) {
            http_finish(h);
            finishing = true;
        } else {
            loan = lend(data + at, n);
            FUZZ_CHECK(http_feed(h, loan, n) == STREAM_OK && http_feed(h, loan, n) == STREAM_E_STATE);
            at += n;
        }
        while ((st = http_next(h, &item)) != STREAM_MORE && st != STREAM_END) {
            FUZZ_CHECK(!ended && item.offset >= behind && item.offset <= at && h->scanned <= at);
            if (st == STREAM_OK) behind = item.offset;
            if (st == STREAM_OK && item.kind == HTTP_BODY) {
                FUZZ_CHECK(open && item.len > 0 && item.ptr >= loan && item.ptr + item.len <= loan + n);
                FUZZ_CHECK(memcmp(item.ptr, data + item.offset, item.len) == 0);
                for (i = 0; i < item.len; i++) trace_add(&t, (unsigned char)item.ptr[i]);
                behind += item.len;
                t.bytes += item.len;
                body += item.len;
                FUZZ_CHECK(h->body == body && (desc->max_body == 0 || body <= desc->max_body));
                continue;
            }
            if (st < 0) {
                FUZZ_CHECK(h->error && h->status >= 400 && h->status <= 505);
                ended = true; /* nobody can say what comes behind */
            }
            trace_item(&t, st, &item);
            t.bytes -= item.size;
            if (st == STREAM_OK && item.kind == HTTP_HEAD) {
                head_ok(h, &item, desc, data);
                body = 0;
                open = h->head.status >= 200 || h->head.status == 101 || desc->role == HTTP_REQUESTS;
                trace_add(&t, (uint64_t)h->head.framing << 4);
                trace_add(&t, (uint64_t)h->head.keep_alive << 1 | h->head.upgrade);
                trace_add(&t, h->head.length);
            } else if (st == STREAM_OK && item.kind == HTTP_DONE) {
                FUZZ_CHECK(open && (h->head.framing != HTTP_LENGTH || body == h->head.length));
                FUZZ_CHECK(h->head.framing != HTTP_NO_BODY || body == 0);
                open = false;
            }
        }
        if (loan) take_back(loan, n);
    }
    FUZZ_CHECK(t.bytes <= len && h->scanned == len);
    http_reset(h);
    return t;
}

/* ---- what is written ------------------------------------------------------------------------------  */

/* A request with the input's pieces as target, field name and value, and the rest as chunks of its body. */
static void round_trip(const uint8_t *data, size_t len, size_t chunk) {
    const size_t part = len / 4;
    const stream_slice target = stream_slice_of(data, part), value = stream_slice_of(data + 2 * part, part);
    const char *p = (const char *)data + 3 * part, *e = (const char *)data + len;
    char name[16], line[18], *out = (char *)malloc(8 * len + 512);
    size_t n, at = 0, name_len = part < sizeof name ? part : sizeof name - 1;
    http_writer w;
    http h;
    stream_item item;
    stream_status st;
    if (!out) exit(1);
    memcpy(name, data + part, name_len);
    name[name_len] = '\0';
    http_write_begin(&w, out, 4 * len + 256);
    http_write_request(&w, stream_slice_text("PUT"), target);
    http_write_text(&w, "Host", "h");
    http_write_field(&w, name, value);
    http_write_text(&w, "Transfer-Encoding", "chunked");
    st = http_write_end(&w);
    FUZZ_CHECK(st == STREAM_OK || st == STREAM_E_INVALID);
    if (st == STREAM_OK) {
        stream_slice rest, key, got;
        size_t lines = 0;
        n = w.len;
        while (p < e) {
            const size_t take = (size_t)(e - p) < chunk ? (size_t)(e - p) : chunk;
            const size_t head = http_chunk_head(take, line);
            memcpy(out + n, line, head);
            memcpy(out + n + head, p, take);
            memcpy(out + n + head + take, HTTP_CHUNK_TAIL, 2);
            n += head + take + 2;
            p += take;
        }
        memcpy(out + n, HTTP_CHUNK_LAST, 5);
        n += 5;
        FUZZ_CHECK(http_init(&h, NULL) == STREAM_OK);
        http_feed(&h, out, n);
        st = http_next(&h, &item);
        /* The field may be one that the framing forbids, and the target no path; a second line it is not. */
        if (st == STREAM_OK) {
            FUZZ_CHECK(item.kind == HTTP_HEAD && item.len == w.len && h.head.framing == HTTP_CHUNKED);
            FUZZ_CHECK(h.head.target.len == part && memcmp(h.head.target.ptr, target.ptr, part) == 0);
            for (rest = h.head.fields; http_field_next(&rest, &key, &got); lines++)
                if (lines == 1) {
                    FUZZ_CHECK(key.len == strlen(name) && memcmp(key.ptr, name, key.len) == 0);
                    FUZZ_CHECK(got.len <= value.len);
                }
            FUZZ_CHECK(lines == 3);
            p = (const char *)data + 3 * part;
            while ((st = http_next(&h, &item)) == STREAM_OK && item.kind == HTTP_BODY) {
                FUZZ_CHECK(item.len <= (size_t)(e - p) - at && memcmp(item.ptr, p + at, item.len) == 0);
                at += item.len;
            }
            FUZZ_CHECK(st == STREAM_OK && item.kind == HTTP_DONE && at == (size_t)(e - p));
            st = http_next(&h, &item);
            FUZZ_CHECK(st == STREAM_MORE || st == STREAM_END);
        }
        http_free(&h);
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    http_desc desc;
    http h;
    heap memory;
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
    desc.allocator = fuzz_memory(&memory, 0);
    FUZZ_CHECK(http_init(&h, &desc) == STREAM_OK);
    whole = run(&h, &desc, data + 4, len - 4, NULL);
    split = run(&h, &desc, data + 4, len - 4, data + 2);
    FUZZ_CHECK(whole.sum == split.sum && whole.items == split.items && whole.bytes == split.bytes);
    http_free(&h);
    fuzz_memory_done(&memory, 2 * (desc.max_head ? desc.max_head : 2 * len + desc.first_head));
    round_trip(data + 4, len - 4, (size_t)data[2] + 1);

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
