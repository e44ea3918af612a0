/* SPDX-License-Identifier: MIT-0
   Ours, for tests/peer.mjs to hold beside other implementations: reads cases from standard input as frames of
   stream_frame, and says of each on a line of JSON what our decoders make of it. Types: S server-sent events;
   H HTTP requests; c and s WebSocket frames as a client and as a server read them. A case is fed in pieces of
   as many bytes as its first byte says. */
#define STREAM_IMPLEMENTATION
#include "stream.h"

#include <stdio.h>
#include <stdlib.h>

#include "digest.c"
#include "http.c"
#include "websocket.c"

static void hex(const char *ptr, size_t len) {
    size_t i;
    putchar('"');
    for (i = 0; i < len; i++) printf("%02x", (unsigned)(unsigned char)ptr[i]);
    putchar('"');
}

static void say_sse(stream_sse *sse, stream_status st) {
    stream_slice type = stream_sse_type(&sse->event);
    if (st != STREAM_OK) return;
    printf("[");
    hex(type.ptr, type.len);
    printf(",");
    hex(sse->event.data.ptr, sse->event.data.len);
    printf(",");
    if (sse->event.id.ptr) hex(sse->event.id.ptr, sse->event.id.len);
    else printf("null");
    printf("],");
}

static char body[1 << 20];
static size_t body_len;

static void say_http(http *h, stream_status st, const stream_item *item) {
    if (st < 0) {
        printf("[\"error\",%d],", h->status);
    } else if (item->kind == HTTP_HEAD) {
        printf("[\"head\",");
        hex(h->head.method.ptr, h->head.method.len);
        printf(",");
        hex(h->head.target.ptr, h->head.target.len);
        printf(",%d],", h->head.keep_alive);
        body_len = 0;
    } else if (item->kind == HTTP_BODY) {
        memcpy(body + body_len, item->ptr, item->len);
        body_len += item->len;
    } else if (item->kind == HTTP_DONE) {
        printf("[\"body\",");
        hex(body, body_len);
        printf("],");
    }
}

static void say_ws(ws *w, stream_status st, const stream_item *item) {
    if (st < 0) {
        printf("[\"error\",%d],", w->close_code);
        return;
    }
    if (item->kind >= 8) {
        printf("[\"%s\",", item->kind == WS_PING ? "ping" : item->kind == WS_PONG ? "pong" : "close");
        if (item->kind == WS_CLOSE) printf("%d", w->close_code);
        else hex(item->ptr, item->len);
        printf("],");
        return;
    }
    if (item->flags & WS_FIRST) body_len = 0;
    if (item->len) memcpy(body + body_len, item->ptr, item->len);
    body_len += item->len;
    if (item->flags & WS_LAST) {
        printf("[\"%s\",", item->kind == WS_TEXT ? "text" : "binary");
        hex(body, body_len);
        printf("],");
    }
}

static void judge(char type, char *ptr, size_t len) {
    size_t step = len ? (size_t)(unsigned char)*ptr + 1 : 1, at = 1;
    stream_sse sse;
    http h;
    ws w;
    ws_desc desc;
    stream_decoder d;
    stream_item item;
    stream_status st;
    bool ended = false;
    memset(&desc, 0, sizeof desc);
    desc.role = type == 'c' ? WS_CLIENT : WS_SERVER;
    ws_init(&w, &desc);
    if (stream_sse_init(&sse, NULL) != STREAM_OK || http_init(&h, NULL) != STREAM_OK) exit(2);
    d = type == 'S' ? stream_sse_decoder(&sse) : type == 'H' ? http_decoder(&h) : ws_decoder(&w);
    printf("[");
    while (!ended) {
        if (at >= len) {
            d.finish(d.self);
            ended = true;
        } else {
            d.feed(d.self, ptr + at, step < len - at ? step : len - at);
            at += step;
        }
        while ((st = d.next(d.self, &item)) != STREAM_MORE && st != STREAM_END) {
            if (type == 'S') say_sse(&sse, st);
            else if (type == 'H') say_http(&h, st, &item);
            else say_ws(&w, st, &item);
        }
    }
    printf("[\"retry\",%lld]]\n", type == 'S' && sse.has_retry ? (long long)sse.retry_ms : -1);
    stream_sse_free(&sse);
    http_free(&h);
}

int main(void) {
    static char in[65536];
    stream_frame frame;
    stream_item item;
    stream_status st;
    size_t n;
    if (stream_frame_init(&frame, NULL) != STREAM_OK) return 2;
    while ((n = fread(in, 1, sizeof in, stdin)) > 0) {
        stream_frame_feed(&frame, in, n);
        while ((st = stream_frame_next(&frame, &item)) != STREAM_MORE) {
            char *copy = (char *)malloc(item.len + 1); /* what is lent to a WebSocket decoder is written to */
            if (st != STREAM_OK || !copy) return 2;
            memcpy(copy, item.ptr, item.len);
            judge((char)item.kind, copy, item.len);
            free(copy);
        }
    }
    stream_frame_finish(&frame);
    st = stream_frame_next(&frame, &item);
    stream_frame_free(&frame);
    return st == STREAM_END ? 0 : 2;
}
