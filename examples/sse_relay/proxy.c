/* SPDX-License-Identifier: MIT-0
   One request to the upstream, and the answer back.

   What is read from the upstream is sent on out of the buffer it was read into: one slice for each read. Of
   an event stream only whole events go, so that a stream which breaks off never shows half an event as one,
   and a ping always finds a place. The beginning of an event waits in the buffer and the rest is read
   behind it. Where the upstream's chunks come between, they are closed up. An event that outgrows half a
   buffer passes in pieces. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "relay.h"

enum { NEEDED = 3 }; /* places for a slice, a ping and an end; with less the upstream is not read */

static relay *relay_of(const server_conn *c) { return (relay *)c->server->handler.ctx; }

static void forget(exchange *e) {
    relay *r = e->r;
    if (e->c || e->u) return;
    if (e->prev)
        e->prev->next = e->next;
    else
        r->exchanges = e->next;
    if (e->next) e->next->prev = e->prev;
    stream_pool_release(e->request);
    stream_pool_release(e->made);
    diff_free(e->diff);
    stream_sse_free(&e->sse);
    free(e);
}

void exchange_drop(exchange *e) {
    e->c = NULL;
    e->u = NULL;
    forget(e);
}

/* ---- the end --------------------------------------------------------------------------------------------
 */

static void leave_upstream(exchange *e, bool again) {
    upstream *u = e->u;
    if (!u) return;
    e->u = NULL;
    e->from = e->to = e->done = 0;
    upstream_leave(u, again);
}

/* An event that says why the stream ends here. A browser sees no event in one that was cut off: it is not
   sent. Where half of one has gone already it becomes part of this event, whose name tells that it is none
   of the upstream's. */
static void send_error_event(exchange *e, const char *type, const char *text, unsigned retry_ms) {
    stream_pool_buf *buf;
    char retry[32] = "";
    int n;
    if (stream_pool_acquire(e->r->s.pool, 512, &buf) != STREAM_OK) return;
    if (retry_ms) snprintf(retry, sizeof retry, "retry: %u\n", retry_ms);
    n = snprintf(buf->data, 512,
                 "%s%sevent: error\ndata: {\"error\":{\"type\":\"%s\",\"message\":\"%s\"}}\n\n",
                 e->through ? "\n" : "", retry, type, text);
    if (n > 0 && server_body(e->c, buf, buf->data, (size_t)n) == STREAM_OK) e->bytes_down += (uint64_t)n;
}

static void fail(exchange *e, int status, enum upstream_error kind, const char *type, const char *text) {
    relay *r = e->r;
    server_conn *c = e->c;
    if (e->complete && (kind == UPSTREAM_CUT || kind == UPSTREAM_TIMEOUT)) { /* all that matters has come */
        leave_upstream(e, false);
        if (c)
            server_end(c);
        else
            forget(e);
        return;
    }
    r->counts.upstream_errors[kind]++;
    e->error = text;
    leave_upstream(e, false);
    if (!c) {
        forget(e);
        return;
    }
    if (c->paused) server_resume(c);
    if (!e->begun) {
        char body[256];
        int n =
            snprintf(body, sizeof body, "{\"error\":{\"type\":\"%s\",\"message\":\"%s\"}}\n", type, text);
        e->begun = true;
        e->status = status;
        server_reply(c, status, "application/json", stream_slice_of(body, (size_t)n));
        return;
    }
    if (e->events) send_error_event(e, type, text, 0);
    r->counts.truncated++;
    server_close(c, SERVER_UPSTREAM);
}

void proxy_retire(exchange *e) {
    if (!e->c || e->c->closing || e->c->ending) return;
    leave_upstream(e, false);
    e->error = "the relay is ending";
    if (!e->begun) {
        char field[40];
        int n = snprintf(field, sizeof field, "Retry-After: %u\r\n", 1 + (unsigned)(e->id * 7 % 10));
        e->begun = true;
        e->status = 503;
        server_reply_with(e->c, 503, "text/plain", stream_slice_of(field, (size_t)n),
                          stream_slice_text("The relay is ending.\n"));
        return;
    }
    if (e->events) send_error_event(e, "relay_ending", e->error, 1000 + (unsigned)(e->id * 7919 % 9000));
    server_close(e->c, SERVER_DRAINED);
}

/* ---- clocks and pings -----------------------------------------------------------------------------------
 */

static uint64_t sooner(uint64_t a, uint64_t b) { return b < a ? b : a; }

static uint64_t after(uint64_t ns, uint64_t wait) { return wait ? ns + wait : UINT64_MAX; }

static void begin_events(exchange *e, stream_slice fields);

/* When the next of them is due; *what says which. */
static uint64_t deadline(const exchange *e, const char **what) {
    const options *o = &e->r->o;
    uint64_t at, total = after(e->began_ns, o->total_ns);
    if (!e->connected_ns)
        *what = "no connection to the upstream in time", at = after(e->began_ns, o->connect_ns);
    else if (!e->sent)
        at = UINT64_MAX; /* the client's clock runs */
    else if (!e->answered)
        *what = "no answer from the upstream in time", at = after(e->asked_ns, o->header_ns);
    else if (e->u && e->u->stopped)
        at = UINT64_MAX;
    else if (!e->flows)
        *what = "no first event in time", at = after(e->answered_ns, o->first_ns);
    else
        *what = "nothing from the upstream in time", at = after(e->in_ns, o->idle_ns);
    if (total <= at) *what = "the answer takes too long", at = total;
    return at;
}

static bool may_ping(const exchange *e) {
    return e->r->o.ping_ns && (e->begun ? e->events && !e->through : e->wants_events && e->sent);
}

static void set_clock(exchange *e) {
    const char *what;
    uint64_t at;
    if (!e->c || !e->u) return;
    at = deadline(e, &what);
    if (may_ping(e)) at = sooner(at, e->out_ns + e->r->o.ping_ns);
    server_timer(e->c, at == UINT64_MAX ? 0 : at);
}

static void ping(exchange *e) {
    static const char comment[] = ": ping\n\n";
    relay *r = e->r;
    stream_pool_buf *buf;
    if (server_room(e->c) < NEEDED) return;
    if (!r->o.ping_event) {
        (void)server_body(e->c, NULL, comment, sizeof comment - 1);
        e->bytes_down += sizeof comment - 1;
    } else if (stream_pool_acquire(r->s.pool, 256, &buf) == STREAM_OK) {
        int n = snprintf(buf->data, 256, "event: %.128s\ndata: {}\n\n", r->o.ping_event);
        (void)server_body(e->c, buf, buf->data, (size_t)n);
        e->bytes_down += (uint64_t)n;
    }
    r->counts.pings++;
}

void proxy_timer(server_conn *c) {
    exchange *e = (exchange *)c->user;
    relay *r = relay_of(c);
    uint64_t now = c->server->now_ns;
    const char *what = NULL;
    if (!e || !e->u) return;
    if (deadline(e, &what) <= now) {
        fail(e, 504, UPSTREAM_TIMEOUT, "upstream_timeout", what);
        return;
    }
    if (may_ping(e) && e->out_ns + r->o.ping_ns <= now) {
        if (!e->begun) { /* the client is told 200 now; what goes wrong later is told in an event */
            e->early = true;
            r->counts.early++;
            begin_events(e, stream_slice_of(NULL, 0));
        }
        if (c->closing) return;
        ping(e);
        e->out_ns = now;
        if (now - e->in_ns >= r->o.ping_ns && e->answered) upstream_hush(e->u);
    }
    set_clock(e);
}

/* ---- the request ----------------------------------------------------------------------------------------
 */

static void cut_text(char *dst, size_t cap, stream_slice text) {
    size_t n = text.len < cap - 1 ? text.len : cap - 1, i;
    for (i = 0; i < n; i++)
        dst[i] = text.ptr[i] > 0x20 && text.ptr[i] < 0x7f && text.ptr[i] != '"' ? text.ptr[i] : '?';
    dst[n] = '\0';
}

/* All values of a list that may stand in several fields, and our own behind them. One that is too long is
   begun anew. */
static void add_to_list(char *dst, size_t cap, stream_slice fields, const char *list, const char *own) {
    const size_t own_len = strlen(own), most = cap - own_len - 3;
    size_t len = 0;
    stream_slice name, value;
    while (http_field_next(&fields, &name, &value)) {
        if (!http_same(name, list) || value.len == 0) continue;
        if (len + value.len > most) {
            len = 0;
            break;
        }
        memcpy(dst + len, value.ptr, value.len);
        memcpy(dst + len + value.len, ", ", 2);
        len += value.len + 2;
    }
    memcpy(dst + len, own, own_len + 1);
}

/* What the upstream gets to see, in e->request. */
static bool write_request(exchange *e, const http_head *head) {
    static const char *const ours[] = {"accept-encoding", "via", "x-forwarded-for", NULL};
    relay *r = e->r;
    http_writer w;
    size_t prefix = strlen(r->to.prefix), size = prefix + head->path.len + 1;
    size_t need = head->fields.len + 2 * size + sizeof r->to.host + 512;
    char own[64], *text, line[600];
    if (stream_pool_acquire(r->s.pool, need, &e->request) != STREAM_OK) return false;
    text = e->request->data + e->request->capacity - size;
    memcpy(text, r->to.prefix, prefix);
    memcpy(text + prefix, head->path.ptr, head->path.len);
    http_write_begin(&w, e->request->data, e->request->capacity - size);
    http_write_request(&w, head->method, stream_slice_of(text, size - 1));
    if (r->o.preserve_host && head->host.len)
        http_write_field(&w, "Host", head->host);
    else
        http_write_text(&w, "Host", r->to.host);
    http_write_forwarded_but(&w, head->fields, ours);
    http_write_text(&w, "Accept-Encoding", "identity");
    snprintf(own, sizeof own, "1.%d sse_relay", head->minor);
    add_to_list(line, sizeof line, head->fields, "via", own);
    http_write_text(&w, "Via", line);
    server_peer(e->c, own);
    add_to_list(line, sizeof line, head->fields, "x-forwarded-for", own);
    http_write_text(&w, "X-Forwarded-For", line);
    if (head->framing == HTTP_LENGTH)
        http_write_number(&w, "Content-Length", head->length);
    else if (head->framing == HTTP_CHUNKED)
        http_write_text(&w, "Transfer-Encoding", "chunked");
    e->sends = head->framing == HTTP_CHUNKED ? SERVER_CHUNKED : SERVER_LENGTH;
    e->repeatable =
        (head->framing == HTTP_NO_BODY || (head->framing == HTTP_LENGTH && head->length == 0)) &&
        !http_same(head->method, "POST") && !http_same(head->method, "PATCH");
    if (http_write_end(&w) != STREAM_OK) return false;
    e->request_len = w.len;
    return true;
}

/* Takes a connection and puts the head into its output. */
static void ask(exchange *e) {
    relay *r = e->r;
    e->u = upstream_take(r, e);
    if (!e->u) {
        server_abort(e->c, SERVER_NO_MEMORY);
        return;
    }
    if (e->is_head) http_expect_no_body(&e->u->http);
    (void)server_out_put(&e->u->out, stream_pool_retain(e->request), e->request->data, e->request_len,
                         false);
    upstream_begin(e->u);
    if (e->u) set_clock(e);
}

/* Whether the parameters behind a type have a q of nothing but zeros. */
static bool refused_by(stream_slice parameters) {
    size_t i = 0, digits = 0;
    while (i + 1 < parameters.len &&
           !((parameters.ptr[i] == 'q' || parameters.ptr[i] == 'Q') && parameters.ptr[i + 1] == '=' &&
             (i == 0 || strchr("; \t", parameters.ptr[i - 1]))))
        i++;
    for (i += 2; i < parameters.len && strchr("0.", parameters.ptr[i]); i++) digits++;
    return digits > 0 && (i == parameters.len || strchr("; \t", parameters.ptr[i]));
}

bool relay_accepts(stream_slice fields, const char *type) {
    stream_slice name, value;
    size_t len = strlen(type);
    while (http_field_next(&fields, &name, &value)) {
        if (!http_same(name, "accept")) continue;
        while (value.len > 0) {
            size_t end = stream_find_any(value.ptr, value.len, ",", 1);
            const char *p = value.ptr, *over = value.ptr + end;
            value = stream_slice_of(over + (end < value.len), value.len - end - (end < value.len));
            while (p < over && (*p == ' ' || *p == '\t')) p++;
            if ((size_t)(over - p) < len || !http_same(stream_slice_of(p, len), type)) continue;
            p += len; /* its parameters say how much; q=0 is not at all */
            if (p == over || strchr("; \t", *p)) return !refused_by(stream_slice_of(p, (size_t)(over - p)));
        }
    }
    return false;
}

bool relay_preflight(relay *r, server_conn *c) {
    const http_head *h = &c->http.head;
    char fields[512];
    size_t n;
    if (r->o.cors_origin.count == 0 || !http_same(h->method, "OPTIONS") ||
        !http_field(h->fields, "access-control-request-method").ptr)
        return false;
    n = cors_fields(r, http_field(h->fields, "origin"), true, fields, sizeof fields);
    server_reply_with(c, 204, NULL, stream_slice_of(fields, n), stream_slice_of(NULL, 0));
    return true;
}

void proxy_head(server_conn *c) {
    relay *r = relay_of(c);
    const http_head *h = &c->http.head;
    exchange *e;
    r->counts.requests++;
    if (admin_serves(r, c) || relay_preflight(r, c)) return;
    if (r->admin_listener == c->listener || h->path.len == 0 || h->path.ptr[0] != '/') {
        server_reply(c, r->admin_listener == c->listener ? 404 : 501, "text/plain",
                     stream_slice_text("There is nothing here.\n"));
        return;
    }
    e = (exchange *)calloc(1, sizeof *e);
    if (!e) {
        server_abort(c, SERVER_NO_MEMORY);
        return;
    }
    e->r = r;
    e->c = c;
    c->user = e;
    e->next = r->exchanges;
    if (e->next) e->next->prev = e;
    r->exchanges = e;
    e->id = ++r->next_exchange;
    e->began_ns = e->in_ns = e->out_ns = c->server->now_ns;
    e->is_head = c->head_only;
    e->wants_events = relay_accepts(h->fields, "text/event-stream") && !c->head_only && h->minor > 0;
    cut_text(e->method, sizeof e->method, h->method);
    cut_text(e->target, sizeof e->target, h->path);
    cut_text(e->origin, sizeof e->origin, http_field(h->fields, "origin"));
    if (!write_request(e, h)) {
        server_reply(c, 431, "text/plain", stream_slice_text("The head cannot be passed on.\n"));
        return;
    }
    ask(e);
}

void proxy_body(server_conn *c, stream_pool_buf *buf, stream_slice piece) {
    exchange *e = (exchange *)c->user;
    stream_pool_buf *own = NULL;
    const char *ptr = piece.ptr;
    if (!e || !e->u) return;
    if (buf) {
        own = stream_pool_retain(buf);
    } else if (stream_pool_acquire(c->server->pool, piece.len, &own) == STREAM_OK) {
        memcpy(own->data, piece.ptr, piece.len);
        ptr = own->data;
    } else {
        server_abort(c, SERVER_NO_MEMORY);
        return;
    }
    (void)server_out_put(&e->u->out, own, ptr, piece.len, e->sends == SERVER_CHUNKED);
    if (e->u->out.count >= SERVER_PARTS - 1) server_pause(c);
    upstream_flush(e->u);
}

void proxy_request(server_conn *c) {
    exchange *e = (exchange *)c->user;
    if (!e) return;
    e->sent = true;
    e->asked_ns = c->server->now_ns;
    if (!e->u) return;
    if (e->sends == SERVER_CHUNKED)
        (void)server_out_put(&e->u->out, NULL, HTTP_CHUNK_LAST, sizeof HTTP_CHUNK_LAST - 1, false);
    upstream_flush(e->u);
    set_clock(e);
}

void exchange_connected(exchange *e) {
    e->connected_ns = stream_now_ns();
    if (e->source) {
        source_connected(e);
        return;
    }
    upstream_flush(e->u);
    upstream_read(e->u);
    if (e->u) set_clock(e);
}

void exchange_unconnected(exchange *e, int os_error) {
    if (e->source)
        source_failed(e, "it cannot be reached");
    else
        fail(e, 502, UPSTREAM_CONNECT, "upstream_unreachable",
             os_error == ECONNREFUSED ? "the upstream refuses connections"
                                      : "the upstream cannot be reached");
}

void exchange_written(exchange *e) {
    if (e->c && e->c->paused && e->u->out.count < SERVER_PARTS / 2) server_resume(e->c);
}

/* ---- the answer -----------------------------------------------------------------------------------------
 */

size_t cors_fields(relay *r, stream_slice origin, bool preflight, char *dst, size_t cap) {
    unsigned i;
    int n;
    for (i = 0; i < r->o.cors_origin.count; i++) {
        const char *allowed = r->o.cors_origin.text[i];
        bool any = strcmp(allowed, "*") == 0;
        if (!origin.len ||
            !(any || (strlen(allowed) == origin.len && memcmp(allowed, origin.ptr, origin.len) == 0)))
            continue;
        n = snprintf(dst, cap, "Access-Control-Allow-Origin: %s\r\n%sVary: Origin\r\n%s", allowed,
                     any ? "" : "Access-Control-Allow-Credentials: true\r\n",
                     preflight
                         ? "Access-Control-Allow-Methods: GET, POST, PUT, PATCH, DELETE\r\n"
                           "Access-Control-Allow-Headers: Authorization, Cache-Control, Content-Type, "
                           "Last-Event-ID\r\nAccess-Control-Max-Age: 600\r\n"
                         : "");
        return n > 0 && (size_t)n < cap ? (size_t)n : 0;
    }
    return 0;
}

void relay_write_fields(http_writer *w, stream_slice fields) {
    stream_slice name, value;
    while (http_field_next(&fields, &name, &value)) {
        char text[64];
        if (name.len >= sizeof text) continue;
        memcpy(text, name.ptr, name.len);
        text[name.len] = '\0';
        http_write_field(w, text, value);
    }
}

static void add_cors(exchange *e, http_writer *w) {
    char cors[512];
    size_t n = cors_fields(e->r, stream_slice_text(e->origin), false, cors, sizeof cors);
    relay_write_fields(w, stream_slice_of(cors, n));
}

static void begun(exchange *e, int status) {
    e->begun = true;
    e->status = status;
    e->out_ns = e->r->s.now_ns;
}

/* A 200 with an event stream, unless an early one has said so already. */
static void begin_events(exchange *e, stream_slice fields) {
    static const char *const ours[] = {"cache-control",
                                       "x-accel-buffering",
                                       "content-encoding",
                                       "content-type",
                                       "date",
                                       "server",
                                       "vary",
                                       "access-control-allow-origin",
                                       "access-control-allow-credentials",
                                       NULL};
    static const char *const ours_without_cors[] = {
        "cache-control", "x-accel-buffering", "content-encoding", "content-type", "date", "server", NULL};
    http_writer w;
    stream_sse_desc sse;
    memset(&sse, 0, sizeof sse);
    sse.mode = STREAM_SSE_PIECES;
    (void)stream_sse_init(&e->sse, &sse);
    e->events = true;
    e->filtered = e->r->filter.active;
    if (e->begun ||
        !server_begin(e->c, &w, e->u && e->answered ? e->u->http.head.status : 200, fields.len + 1024))
        return;
    http_write_text(&w, "Content-Type", "text/event-stream");
    http_write_text(&w, "Cache-Control", "no-cache, no-transform");
    http_write_text(&w, "X-Accel-Buffering", "no");
    http_write_forwarded_but(&w, fields, e->r->o.cors_origin.count ? ours : ours_without_cors);
    add_cors(e, &w);
    begun(e, e->c->status);
    server_begin_body(e->c, &w, UINT64_MAX);
}

static void begin_other(exchange *e, const http_head *h) {
    static const char *const ours[] = {"date", "access-control-allow-origin",
                                       "access-control-allow-credentials", NULL};
    static const char *const ours_without_cors[] = {"date", NULL};
    http_writer w;
    uint64_t length = h->framing == HTTP_LENGTH ? h->length : UINT64_MAX;
    stream_slice told = http_field(h->fields, "content-length");
    if (e->is_head && told.ptr) { /* what a GET would have */
        size_t i;
        length = 0;
        for (i = 0; i < told.len && i < 18; i++) length = length * 10 + (uint64_t)(told.ptr[i] - '0');
    } else if (h->framing == HTTP_NO_BODY && !e->is_head) {
        length = 0;
    }
    if (!server_begin(e->c, &w, h->status, h->fields.len + 1024)) return;
    http_write_forwarded_but(&w, h->fields, e->r->o.cors_origin.count ? ours : ours_without_cors);
    add_cors(e, &w);
    begun(e, h->status);
    server_begin_body(e->c, &w, length);
}

/* False: it ended there. */
static bool begin_answer(exchange *e) {
    relay *r = e->r;
    const http_head *h = &e->u->http.head;
    stream_slice type = http_field(h->fields, "content-type"),
                 coding = http_field(h->fields, "content-encoding");
    stream_slice kind =
        stream_slice_of(type.ptr, type.len ? stream_find_any(type.ptr, type.len, "; \t", 3) : 0);
    bool events = http_same(kind, "text/event-stream") && h->status / 100 == 2 && !e->is_head;
    e->answered_ns = e->in_ns = r->s.now_ns;
    e->keeps = h->keep_alive;
    r->counts.responses[h->status / 100 % 6]++;
    if (events && coding.len && !http_same(coding, "identity")) {
        if (r->o.encoded == ENCODED_REFUSE) {
            fail(e, 502, UPSTREAM_ENCODED, "upstream_encoded",
                 "the upstream compressed an event stream although identity was asked for; see --encoded");
            return false;
        }
        events = false;
    }
    if (!e->c) return true;
    if (e->early && !events) {
        char text[64];
        snprintf(text, sizeof text, "the upstream answered %d", h->status);
        fail(e, 502, UPSTREAM_INVALID, "upstream_status", text);
        e->error = "the upstream answered with no event stream";
        return false;
    }
    if (events)
        begin_events(e, h->fields);
    else
        begin_other(e, h);
    return e->c && !e->c->closing;
}

/* A piece of the body, which becomes the end of what is held in the buffer. */
static void hold(exchange *e, const char *ptr, size_t len) {
    upstream *u = e->u;
    size_t at = (size_t)(ptr - u->buf->data), end;
    stream_item item;
    stream_status st;
    if (e->to == e->from)
        e->from = e->to = e->done = at;
    else if (e->to != at)
        memmove(u->buf->data + e->to, ptr, len);
    if (e->events) {
        (void)stream_sse_feed(&e->sse, u->buf->data + e->to, len);
        while ((st = stream_sse_next(&e->sse, &item)) == STREAM_OK || st == STREAM_NOISE) {
            if (item.kind == STREAM_SSE_PART) continue;
            end = (size_t)(item.ptr + item.len - u->buf->data);
            if (e->skipping) {
                e->skipping = false;
                e->from = end;
            } else {
                const char *block = u->buf->data + e->done;
                bool first = item.offset + item.len == end - e->done; /* it begins where the stream does */
                if (e->r->o.terminal.count && !e->through &&
                    filter_terminal_block(e->r, block, end - e->done, first))
                    e->complete = true;
                if (e->filtered &&
                    !filter_block(e->r, &e->diff, block, end - e->done, first, &e->made))
                    e->starved = true;
            }
            e->done = end;
            e->through = false;
            if (st == STREAM_OK) e->count++, e->r->counts.events++;
        }
    }
    e->to += len;
    if (!e->events) e->done = e->to;
}

/* Sends what the rules made of the events; one that outgrows the buffer cannot be judged, so it does not
 * pass. */
static void pass_filtered(exchange *e) {
    relay *r = e->r;
    stream_pool_buf *made = e->made;
    e->made = NULL;
    e->from = e->done;
    if (made && e->c && made->len) {
        e->bytes_down += made->len;
        e->chunks++;
        e->out_ns = r->s.now_ns;
        (void)server_body(e->c, made, made->data, made->len);
    } else {
        stream_pool_release(made);
    }
    if (e->skipping || e->to - e->from > r->o.chunk / 2) {
        if (!e->skipping) {
            r->counts.oversize++;
            if (e->c)
                send_error_event(e, "event_too_long", "an event is too long for the rules; see --chunk", 0);
        }
        e->skipping = true;
        e->from = e->done = e->to;
    }
}

/* Sends what is whole. */
static void pass(exchange *e, bool all) {
    relay *r = e->r;
    upstream *u = e->u;
    size_t end, len;
    if (e->filtered) {
        pass_filtered(e);
        return;
    }
    if (e->events && !e->through && e->to - e->done > r->o.chunk / 2) {
        e->through = true;
        r->counts.oversize++;
    }
    end = e->through || all ? e->to : e->done;
    len = end - e->from;
    if (len == 0) return;
    if (e->c && server_body(e->c, stream_pool_retain(u->buf), u->buf->data + e->from, len) == STREAM_OK) {
        e->bytes_down += len;
        e->chunks++;
        e->out_ns = r->s.now_ns;
        stream_gauge_set(&r->counts.queue_bytes, e->c->out.bytes);
    }
    e->from = end;
}

static void go_on(exchange *e) {
    if (e->c && server_room(e->c) < NEEDED) {
        if (!e->u->stopped) {
            e->u->stopped = true;
            e->stalls++;
            e->r->counts.backpressure++;
            e->stall_since = e->r->s.now_ns;
        }
        return;
    }
    upstream_read(e->u);
}

void proxy_room(server_conn *c) {
    exchange *e = (exchange *)c->user;
    if (!e || !e->u || !e->u->stopped || server_room(c) < NEEDED) return;
    e->u->stopped = false;
    e->stalled_ns += c->server->now_ns - e->stall_since;
    e->in_ns = c->server->now_ns; /* its silence was ours */
    upstream_read(e->u);
    if (e->u) set_clock(e);
}

static void finish(exchange *e) {
    stream_item none;
    /* Bytes behind the answer, be it half a head, would become part of the next one. */
    bool again = e->keeps && e->sent && e->u->out.count == 0 &&
                 http_next(&e->u->http, &none) == STREAM_MORE && http_idle(&e->u->http);
    e->whole = true;
    leave_upstream(e, again);
    if (!e->c) {
        forget(e);
        return;
    }
    server_timer(e->c, 0);
    if (e->c->paused) server_resume(e->c);
    server_end(e->c);
}

/* An answer before the answer (103) goes on to who can understand it. 100 does not: it was ours to give. */
static void pass_interim(exchange *e) {
    const http_head *h = &e->u->http.head;
    stream_pool_buf *buf;
    http_writer w;
    if (!e->c || e->begun || e->c->http.head.minor == 0 || h->status == 100 ||
        server_room(e->c) <= NEEDED ||
        stream_pool_acquire(e->r->s.pool, h->fields.len + 128, &buf) != STREAM_OK)
        return;
    http_write_begin(&w, buf->data, buf->capacity);
    http_write_response(&w, h->status, NULL);
    http_write_forwarded(&w, h->fields);
    if (http_write_end(&w) == STREAM_OK)
        (void)server_send(e->c, buf, buf->data, w.len);
    else
        stream_pool_release(buf);
}

/* The items of what was fed; false: the exchange has ended, or is another. */
static bool take_items(exchange *e) {
    stream_item item;
    stream_status st;
    while ((st = http_next(&e->u->http, &item)) == STREAM_OK) {
        if (item.kind == HTTP_HEAD) {
            if (e->u->http.head.status < 200) {
                if (e->u->http.head.status != 101) {
                    pass_interim(e);
                    continue;
                }
                fail(e, 502, UPSTREAM_INVALID, "upstream_invalid",
                     "the upstream changes a protocol that nobody asked to");
                return false;
            }
            e->answered = true;
            stream_pool_release(e->request);
            e->request = NULL;
            if (!begin_answer(e)) return false;
        } else if (item.kind == HTTP_BODY) {
            e->flows = true;
            hold(e, item.ptr, item.len);
        } else if (item.kind == HTTP_DONE) {
            if (e->to > e->from) pass(e, true);
            if (e->events && e->r->o.terminal.count && !e->complete)
                fail(e, 502, UPSTREAM_CUT, "upstream_incomplete",
                     "the upstream ended its stream without the event that completes one; see --terminal");
            else
                finish(e);
            return false;
        }
    }
    if (st == STREAM_MORE || st == STREAM_END) return true;
    if (e->to > e->from && e->events) pass(e, false);
    if (st == STREAM_E_TRUNCATED)
        fail(e, 502, UPSTREAM_CUT, "upstream_cut",
             "the upstream closed the connection in the middle of its answer");
    else {
        snprintf(e->why, sizeof e->why, "the upstream's answer is refused: %s", e->u->http.error);
        fail(e, 502, UPSTREAM_INVALID, "upstream_invalid", e->why);
    }
    return false;
}

void exchange_read(exchange *e, size_t bytes) {
    upstream *u = e->u;
    e->in_ns = e->r->s.now_ns;
    e->r->counts.bytes_down += bytes;
    if (e->source) {
        source_read(e, bytes);
        return;
    }
    if (http_feed(&u->http, u->buf->data + u->at, bytes) != STREAM_OK) {
        fail(e, 502, UPSTREAM_INVALID, "upstream_invalid", "the upstream sends more than one answer");
        return;
    }
    if (!take_items(e)) return;
    pass(e, false);
    if (e->starved) {
        fail(e, 502, UPSTREAM_INVALID, "no_memory", "there is no memory for the rules");
        return;
    }
    go_on(e);
    set_clock(e);
}

void exchange_ended(exchange *e, int os_error) {
    upstream *u = e->u;
    if (e->source) {
        source_failed(e, "it ended");
        return;
    }
    if (!e->answered && e->reused && e->repeatable && e->request && e->c) {
        /* It was closed while it waited for us; and if not, then asking twice does no harm. */
        leave_upstream(e, false);
        e->connected_ns = 0;
        e->reused = false;
        ask(e);
        return;
    }
    if (os_error == 0 && e->answered) {
        (void)http_finish(&u->http);
        if (!take_items(e)) return;
    }
    fail(e, 502, UPSTREAM_CUT, "upstream_cut",
         e->answered ? "the upstream reset the connection in the middle of its answer"
                     : "the upstream closed the connection without an answer");
}

/* ---- the client -----------------------------------------------------------------------------------------
 */

void proxy_answered(server_conn *c) {
    exchange *e = (exchange *)c->user;
    if (!e) return;
    log_exchange(e->r, e, "done");
    c->user = NULL;
    e->c = NULL;
    leave_upstream(e, false);
    forget(e);
}

void proxy_closed(server_conn *c, server_reason reason) {
    exchange *e = (exchange *)c->user;
    if (!e) return;
    log_exchange(e->r, e, server_reason_text(reason));
    c->user = NULL;
    e->c = NULL;
    if (e->u && e->r->o.on_disconnect == ON_DISCONNECT_DRAIN && e->sent) {
        e->r->counts.drained++;
        upstream_drain(e->u);
        return;
    }
    if (e->u) e->r->counts.cancelled++;
    leave_upstream(e, false);
    forget(e);
}
