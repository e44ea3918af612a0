/* SPDX-License-Identifier: MIT-0
   How it goes, over HTTP: /status, /metrics, and /events as they happen. A subscriber that does not keep up
   loses events, which it is told, and holds nothing up.

   Events are gathered into buffers that all subscribers share, and sent once for each turn of the loop. */
#include "wrap.h"

#if defined(_WIN32)

const char *endpoint_open(run *r) {
    (void)r;
    return "not on this system";
}
void endpoint_done(run *r, stream_io_op *op) { (void)r, (void)op; }
bool endpoint_wants(const run *r) { return (void)r, false; }
void endpoint_event(run *r, const char *name, const char *json, size_t len) {
    (void)r, (void)name, (void)json, (void)len;
}
void endpoint_lost(run *r) { (void)r; }
void endpoint_go(run *r) { (void)r; }
void endpoint_close(run *r) { (void)r; }
uint64_t endpoint_dropped(void) { return 0; }

#else

#include <stdio.h>
#include <stdlib.h>

#include "../common/server.h"

#define GATHER 16384 /* bytes of events sent at once, but for one that is longer */
#define PING_NS UINT64_C(15000000000)
#define LAST_NS UINT64_C(1000000000) /* for subscribers to take what is theirs, at the end */

typedef struct subscriber {
    server_conn *c;
    uint64_t missed, sent_ns;
    struct subscriber *next;
} subscriber;

static struct {
    server s;
    stream_pool pool;
    run *r;
    bool open;
    subscriber *first;
    stream_pool_buf *gathered;
    uint64_t events, dropped; /* in gathered; that somebody missed */
} e;

/* Only names that nobody else can make point here: a page elsewhere whose name is made to mean this machine
   (DNS rebinding) still says its own. */
static bool host_is_ours(stream_slice host) {
    size_t i;
    if (host.len == 0) return true;
    if (host.len >= 9 && memcmp(host.ptr, "localhost", 9) == 0 && (host.len == 9 || host.ptr[9] == ':'))
        return true;
    if (host.ptr[0] == '[') return true; /* IPv6 */
    for (i = 0; i < host.len; i++)
        if (!strchr("0123456789.:", host.ptr[i])) return false;
    return true;
}

static void answer(server_conn *c, const char *type, stream_slice text) {
    stream_pool_buf *buf;
    http_writer w;
    if (text.len == 0 || stream_pool_acquire(&e.pool, text.len, &buf) != STREAM_OK) {
        server_abort(c, SERVER_NO_MEMORY);
        return;
    }
    memcpy(buf->data, text.ptr, text.len);
    if (!server_begin(c, &w, 200, 256)) {
        stream_pool_release(buf);
        return;
    }
    http_write_text(&w, "Content-Type", type);
    http_write_text(&w, "Cache-Control", "no-store");
    server_begin_body(c, &w, text.len);
    (void)server_body(c, buf, buf->data, text.len);
    server_end(c);
}

/* An event as the format has it; room for it must be there. */
static size_t format(char *to, const char *name, const char *json, size_t len) {
    size_t n = (size_t)sprintf(to, "event: %s\ndata: ", name);
    memcpy(to + n, json, len);
    memcpy(to + n + len, "\n\n", 2);
    return n + len + 2;
}

static void subscribe(server_conn *c) {
    stream_slice status = view_status(e.r, stream_now_ns());
    subscriber *one = (subscriber *)calloc(1, sizeof *one);
    stream_pool_buf *buf;
    http_writer w;
    if (!one || stream_pool_acquire(&e.pool, status.len + 64, &buf) != STREAM_OK) {
        free(one);
        server_abort(c, SERVER_NO_MEMORY);
        return;
    }
    if (!server_begin(c, &w, 200, 256)) {
        stream_pool_release(buf);
        free(one);
        return;
    }
    http_write_text(&w, "Content-Type", "text/event-stream");
    http_write_text(&w, "Cache-Control", "no-cache, no-transform");
    http_write_text(&w, "X-Accel-Buffering", "no");
    server_begin_body(c, &w, UINT64_MAX);
    if (status.len > 0) status.len--; /* its line feed */
    (void)server_body(c, buf, buf->data, format(buf->data, "status", status.ptr, status.len));
    one->c = c;
    one->sent_ns = stream_now_ns();
    one->next = e.first;
    e.first = one;
    c->user = one;
    server_timer(c, one->sent_ns + PING_NS);
}

static void on_head(server_conn *c) {
    const http_head *h = &c->http.head;
    stream_slice path = h->path;
    if (h->query.ptr) path.len = (size_t)(h->query.ptr - path.ptr) - 1;
    if (!host_is_ours(h->host)) {
        server_reply(c, 403, "text/plain", stream_slice_text("Only by an address, or as localhost.\n"));
    } else if (!http_same(h->method, "GET") && !c->head_only) {
        server_reply_with(c, 405, "text/plain", stream_slice_text("Allow: GET, HEAD\r\n"),
                          stream_slice_text("This can only be read.\n"));
    } else if (http_same(path, "/status")) {
        answer(c, "application/json", view_status(e.r, stream_now_ns()));
    } else if (http_same(path, "/metrics")) {
        answer(c, "text/plain; version=0.0.4; charset=utf-8",
               view_metrics(e.r, METRICS_PROMETHEUS, stream_now_ns()));
    } else if (http_same(path, "/events")) {
        subscribe(c);
    } else {
        server_reply(c, 404, "text/plain",
                     stream_slice_text("There is nothing here: GET /status, /metrics, /events.\n"));
    }
}

static void on_closed(server_conn *c, server_reason reason) {
    subscriber **at, *one = (subscriber *)c->user;
    (void)reason;
    if (!one) return;
    for (at = &e.first; *at != one; at = &(*at)->next) {
    }
    *at = one->next;
    free(one);
}

static void on_timer(server_conn *c) {
    subscriber *one = (subscriber *)c->user;
    uint64_t now = stream_now_ns();
    static const char ping[] = ": ping\n\n";
    if (now - one->sent_ns >= PING_NS && server_room(c) > 0) {
        (void)server_body(c, NULL, ping, sizeof ping - 1);
        one->sent_ns = now;
    }
    server_timer(c, one->sent_ns + PING_NS > now ? one->sent_ns + PING_NS : now + PING_NS);
}

const char *endpoint_open(run *r) {
    server_desc desc;
    stream_pool_desc pool;
    const char *wrong;
    memset(&pool, 0, sizeof pool);
    pool.tiers[0].size = 4096;
    pool.tiers[0].count = 32;
    pool.tiers[1].size = GATHER;
    pool.tiers[1].count = 32;
    memset(&desc, 0, sizeof desc);
    desc.handler.head = on_head;
    desc.handler.closed = on_closed;
    desc.handler.timer = on_timer;
    desc.name = "stream_wrap";
    desc.max_connections = 64;
    desc.pool = &e.pool;
    if (stream_pool_init(&e.pool, &pool) != STREAM_OK || server_init(&e.s, &desc) != STREAM_OK)
        return stream_status_text(STREAM_E_NOMEM);
    e.r = r;
    e.open = true;
    r->io = &e.s.io;
    wrong = server_listen(&e.s, r->opt.listen);
    return wrong;
}

uint64_t endpoint_dropped(void) { return e.dropped; }
bool endpoint_wants(const run *r) { return r->opt.listen != NULL && e.first != NULL; }
void endpoint_done(run *r, stream_io_op *op) { (void)r, server_take(&e.s, op); }

static void miss(subscriber *one, uint64_t events) {
    one->missed += events;
    e.dropped += events;
}

/* What was gathered goes to everyone who has a place for it. */
static void send_gathered(void) {
    subscriber *one, *next;
    stream_pool_buf *buf = e.gathered;
    if (!buf) return;
    e.gathered = NULL;
    for (one = e.first; one; one = next) {
        char gap[96];
        int n = 0;
        next = one->next;
        if (server_room(one->c) < 3) {
            miss(one, e.events);
            continue;
        }
        if (one->missed) {
            stream_pool_buf *told;
            n = snprintf(gap, sizeof gap, "event: gap\ndata: {\"event\":\"gap\",\"missed\":%llu}\n\n",
                         (unsigned long long)one->missed);
            if (stream_pool_acquire(&e.pool, sizeof gap, &told) != STREAM_OK) {
                miss(one, e.events);
                continue;
            }
            memcpy(told->data, gap, (size_t)n);
            (void)server_body(one->c, told, told->data, (size_t)n);
            one->missed = 0;
        }
        (void)server_body(one->c, stream_pool_retain(buf), buf->data, buf->len);
        one->sent_ns = stream_now_ns();
    }
    e.events = 0;
    stream_pool_release(buf);
}

void endpoint_lost(run *r) {
    subscriber *one;
    if (!endpoint_wants(r)) return;
    send_gathered(); /* what came before it */
    for (one = e.first; one; one = one->next) miss(one, 1);
}

void endpoint_event(run *r, const char *name, const char *json, size_t len) {
    size_t room = len + 64;
    if (!endpoint_wants(r)) return;
    if (e.gathered && e.gathered->capacity - e.gathered->len < room) send_gathered();
    if (room < GATHER) room = GATHER;
    if (!e.gathered && stream_pool_acquire(&e.pool, room, &e.gathered) != STREAM_OK) {
        e.gathered = NULL;
        endpoint_lost(r);
        return;
    }
    e.gathered->len += format(e.gathered->data + e.gathered->len, name, json, len);
    e.events++;
}

void endpoint_go(run *r) {
    if (!e.open) return;
    (void)r;
    send_gathered();
    server_settle(&e.s);
}

void endpoint_close(run *r) {
    uint64_t begun = stream_now_ns();
    subscriber *one, *next;
    (void)r;
    if (!e.open) return;
    send_gathered();
    for (one = e.first; one; one = next) {
        next = one->next;
        server_end(one->c);
    }
    server_drain(&e.s);
    while (e.s.active > 0 && stream_now_ns() - begun < LAST_NS) {
        stream_io_op *op;
        server_settle(&e.s);
        if (stream_io_wait(&e.s.io, UINT64_C(50000000)) < 0) break;
        while ((op = stream_io_next(&e.s.io)) != NULL)
            if (op->user) server_take(&e.s, op); /* the others are of the loop that has ended */
    }
    server_free(&e.s);
    stream_pool_free(&e.pool);
    e.open = false;
}

#endif
