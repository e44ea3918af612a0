/* SPDX-License-Identifier: MIT-0
   What is served, and to whom. Nobody comes near tmux but with a token, by a name of ours, and from a page of
   ours: Host is checked against a list (so that no other site's name can be bound to this address), Origin
   against Host (so that no other site's page can act with this browser's cookie), the token in constant time.
   */
#include <stdio.h>
#include <string.h>

#include "../common/digest.h"
#include "bridge.h"
#include "page.h"
#include "stream_json.h"

typedef enum right { RIGHT_NONE, RIGHT_READ, RIGHT_WRITE } right;

static const char page_fields[] =
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Cross-Origin-Opener-Policy: same-origin\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Cache-Control: no-store\r\n";

static bridge *bridge_of(server_conn *c) { return (bridge *)c->server->handler.ctx; }

static right right_of(const bridge *b, stream_slice token) {
    if (b->write_token[0] && same_secret(token.ptr, token.len, b->write_token, strlen(b->write_token)))
        return RIGHT_WRITE;
    return same_secret(token.ptr, token.len, b->token, strlen(b->token)) ? RIGHT_READ : RIGHT_NONE;
}

static bool host_ours(const bridge *b, stream_slice host) {
    static const char *const loopback[] = {"127.0.0.1", "localhost", "[::1]"};
    char want[300];
    size_t i;
    for (i = 0; i < sizeof loopback / sizeof *loopback; i++) {
        snprintf(want, sizeof want, "%s:%u", loopback[i], b->port);
        if (http_same(host, want)) return true;
    }
    for (i = 0; i < b->options.hosts; i++)
        if (http_same(host, b->options.host[i])) return true;
    return false;
}

static bool origin_ours(stream_slice origin, stream_slice host) {
    size_t n = origin.len > 8 && memcmp(origin.ptr, "https://", 8) == 0 ? 8 : 7;
    if (origin.len <= n || (n == 7 && memcmp(origin.ptr, "http://", 7) != 0)) return false;
    return origin.len - n == host.len && memcmp(origin.ptr + n, host.ptr, host.len) == 0;
}

/* The value of name=value in a query, percent-decoded; false when it is not there. */
static bool query_value(stream_slice query, const char *want, char *value, size_t cap, size_t *len) {
    stream_slice name, raw;
    while (http_query_next(&query, &name, &raw))
        if (name.len == strlen(want) && memcmp(name.ptr, want, name.len) == 0)
            return http_percent_decode(raw, true, value, cap, len) == STREAM_OK;
    return false;
}

static right right_of_request(const bridge *b, const http_head *h) {
    stream_slice rest = h->fields, name, value;
    right best = RIGHT_NONE, r;
    char cookie[64];
    size_t n = (size_t)snprintf(cookie, sizeof cookie, "tmux_bridge_%u=", b->port);
    while (http_field_next(&rest, &name, &value)) {
        if (http_same(name, "Cookie")) {
            while (value.len) { /* name=value; name=value */
                size_t end = stream_find_byte(value.ptr, value.len, ';');
                size_t skip = 0;
                while (skip < end && value.ptr[skip] == ' ') skip++;
                if (end - skip > n && memcmp(value.ptr + skip, cookie, n) == 0) {
                    r = right_of(b, stream_slice_of(value.ptr + skip + n, end - skip - n));
                    if (r > best) best = r;
                }
                if (end < value.len) end++;
                value = stream_slice_of(value.ptr + end, value.len - end);
            }
        } else if (http_same(name, "Authorization") && value.len > 7 &&
                   memcmp(value.ptr, "Bearer ", 7) == 0) {
            r = right_of(b, stream_slice_of(value.ptr + 7, value.len - 7));
            if (r > best) best = r;
        } else if (http_same(name, "Sec-WebSocket-Protocol")) {
            while (value.len) { /* tmux_bridge, token.HEX */
                size_t end = stream_find_byte(value.ptr, value.len, ','), skip = 0, len;
                while (skip < end && value.ptr[skip] == ' ') skip++;
                for (len = end - skip; len && value.ptr[skip + len - 1] == ' ';) len--;
                if (len > 6 && memcmp(value.ptr + skip, "token.", 6) == 0) {
                    r = right_of(b, stream_slice_of(value.ptr + skip + 6, len - 6));
                    if (r > best) best = r;
                }
                if (end < value.len) end++;
                value = stream_slice_of(value.ptr + end, value.len - end);
            }
        }
    }
    return best;
}

static void refuse(server_conn *c, int status, const char *why) {
    bridge_of(c)->metrics.refused++;
    server_reply_with(c, status, "text/plain; charset=utf-8", stream_slice_text(page_fields),
                      stream_slice_text(why));
}

static bool path_is(const http_head *h, const char *path) {
    size_t n = strlen(path), len = h->query.ptr ? (size_t)(h->query.ptr - 1 - h->path.ptr) : h->path.len;
    return len == n && memcmp(h->path.ptr, path, n) == 0;
}

/* 101, and from then on it is a viewer's. */
static void upgrade(server_conn *c, const http_head *h, right r) {
    bridge *b = bridge_of(c);
    stream_slice key;
    const char *error;
    char name[MAX_NAME], accept[WS_ACCEPT_LEN];
    size_t len = 0;
    int status = ws_request(h, &key, &error);
    terminal *t;
    stream_pool_buf *buf;
    if (status != 101) {
        server_reply_with(c, status, "text/plain", stream_slice_text("Sec-WebSocket-Version: 13\r\n"),
                          stream_slice_text(error));
        return;
    }
    if (b->metrics.viewers >= b->options.max_viewers) {
        refuse(c, 503, "too many viewers; see --max-viewers\n");
        return;
    }
    if (query_value(h->query, "session", name, sizeof name, &len) && len) t = terminal_named(b, name, len);
    else t = b->count == 1 ? &b->terminals[0] : NULL;
    if (!t) {
        refuse(c, 404, "no such session\n");
        return;
    }
    if (stream_pool_acquire(c->server->pool, 256, &buf) != STREAM_OK) {
        refuse(c, 503, "out of memory\n");
        return;
    }
    ws_accept(key, accept);
    len = (size_t)snprintf(buf->data, buf->capacity,
                           "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           "Sec-WebSocket-Accept: %.*s\r\n%s\r\n", WS_ACCEPT_LEN, accept,
                           http_list_has(http_field(h->fields, "Sec-WebSocket-Protocol"), "tmux_bridge")
                               ? "Sec-WebSocket-Protocol: tmux_bridge\r\n" : "");
    server_upgrade(c);
    server_send(c, buf, buf->data, len);
    c->user = viewer_new(t, c, r == RIGHT_WRITE);
    if (!c->user) server_abort(c, SERVER_NO_MEMORY);
}

/* The head of a response of ours. False: the connection is over. */
static bool begin(server_conn *c, const char *type, size_t len) {
    http_writer w;
    stream_slice fields = stream_slice_text(page_fields), name, value;
    if (!server_begin(c, &w, 200, sizeof page_fields + 256)) return false;
    while (http_field_next(&fields, &name, &value)) {
        char text[64];
        snprintf(text, sizeof text, "%.*s", (int)name.len, name.ptr);
        http_write_field(&w, text, value);
    }
    http_write_text(&w, "Content-Type", type);
    server_begin_body(c, &w, len);
    return true;
}

static void file(server_conn *c, const char *type, const char *data, size_t len) {
    if (!begin(c, type, len)) return;
    server_body(c, NULL, data, len);
    server_end(c);
}

/* [{"id":, "name":, "up":}]. The length, also when that is more than cap. */
static size_t write_sessions(const bridge *b, char *json, size_t cap) {
    stream_json_writer w;
    size_t i, len = 0;
    stream_json_writer_init(&w, json, cap);
    stream_json_write_array(&w);
    for (i = 0; i < b->count; i++) {
        const terminal *t = &b->terminals[i];
        if (!t->wanted && t->state == TERMINAL_DOWN) continue;
        stream_json_write_object(&w);
        stream_json_write_key(&w, "id", 2);
        stream_json_write_string(&w, t->name, strlen(t->name));
        stream_json_write_key(&w, "name", 4);
        stream_json_write_string(&w, t->name, strlen(t->name));
        stream_json_write_key(&w, "up", 2);
        stream_json_write_bool(&w, t->state == TERMINAL_UP);
        stream_json_write_key(&w, "viewers", 7);
        stream_json_write_uint64(&w, t->viewing);
        stream_json_write_end(&w);
    }
    stream_json_write_end(&w);
    stream_json_writer_finish(&w, &len);
    return len;
}

static void list_sessions(server_conn *c) {
    const bridge *b = bridge_of(c);
    stream_pool_buf *buf;
    size_t len = write_sessions(b, NULL, 0);
    if (stream_pool_acquire(c->server->pool, len, &buf) != STREAM_OK) {
        refuse(c, 503, "out of memory\n");
        return;
    }
    write_sessions(b, buf->data, len);
    if (!begin(c, "application/json", len)) {
        stream_pool_release(buf);
        return;
    }
    server_body(c, buf, buf->data, len);
    server_end(c);
}

static void show_metrics(server_conn *c) {
    const metrics *m = &bridge_of(c)->metrics;
    const server *s = c->server;
    const stream_metric rows[] = {
        {"tmux_bridge_viewers", "browsers connected", NULL, NULL, STREAM_METRIC_VALUE, 0, &m->viewers},
        {"tmux_bridge_captures_total", "captures asked of tmux", NULL, NULL, STREAM_METRIC_TOTAL, 0,
         &m->captures},
        {"tmux_bridge_unchanged_total", "captures that were equal", NULL, NULL, STREAM_METRIC_TOTAL, 0,
         &m->unchanged},
        {"tmux_bridge_updates_total", "screens that differed", NULL, NULL, STREAM_METRIC_TOTAL, 0,
         &m->updates},
        {"tmux_bridge_snapshots_total", "whole screens sent", NULL, NULL, STREAM_METRIC_TOTAL, 0,
         &m->snapshots},
        {"tmux_bridge_snapshot_bytes_total", NULL, NULL, NULL, STREAM_METRIC_TOTAL, 0, &m->snapshot_bytes},
        {"tmux_bridge_delta_bytes_total", NULL, NULL, NULL, STREAM_METRIC_TOTAL, 0, &m->delta_bytes},
        {"tmux_bridge_skipped_total", "screens viewers did not see because they were behind", NULL, NULL,
         STREAM_METRIC_TOTAL, 0, &m->skipped},
        {"tmux_bridge_input_bytes_total", NULL, NULL, NULL, STREAM_METRIC_TOTAL, 0, &m->input_bytes},
        {"tmux_bridge_input_rejected_total", "messages from those who may not write, or that were wrong",
         NULL, NULL, STREAM_METRIC_TOTAL, 0, &m->rejected},
        {"tmux_bridge_input_held_total", "times a viewer's input had to wait", NULL, NULL,
         STREAM_METRIC_TOTAL, 0, &m->held},
        {"tmux_bridge_recorded_bytes_total", "by --record", NULL, NULL, STREAM_METRIC_TOTAL, 0,
         &m->recorded_bytes},
        {"tmux_bridge_replies_lost_total", "answers of tmux that were too long, or cut", NULL, NULL,
         STREAM_METRIC_TOTAL, 0, &m->replies_lost},
        {"tmux_bridge_refused_total", "requests refused", NULL, NULL, STREAM_METRIC_TOTAL, 0, &m->refused},
        {"tmux_bridge_attaches_total", "control connections begun", NULL, NULL, STREAM_METRIC_TOTAL, 0,
         &m->attaches},
        {"tmux_bridge_bytes_out_total", "to all clients", NULL, NULL, STREAM_METRIC_TOTAL, 0, &s->bytes_out},
        {"tmux_bridge_bytes_in_total", "from all clients", NULL, NULL, STREAM_METRIC_TOTAL, 0, &s->bytes_in},
    };
    char text[8192];
    size_t len = stream_metrics_prometheus(rows, sizeof rows / sizeof *rows, text, sizeof text);
    server_reply_with(c, 200, "text/plain; version=0.0.4", stream_slice_text(page_fields),
                      stream_slice_of(text, len < sizeof text ? len : sizeof text));
}

/* The token in the address becomes a cookie, and leaves the address. */
static void exchange(server_conn *c, const char *token, size_t len) {
    bridge *b = bridge_of(c);
    char fields[1024];
    if (right_of(b, stream_slice_of(token, len)) == RIGHT_NONE) {
        refuse(c, 403, "wrong token\n");
        return;
    }
    snprintf(fields, sizeof fields,
             "Location: /\r\nSet-Cookie: tmux_bridge_%u=%.*s; Path=/; HttpOnly; SameSite=Strict\r\n%s",
             b->port, (int)len, token, page_fields);
    server_reply_with(c, 303, NULL, stream_slice_text(fields), stream_slice_of(NULL, 0));
}

static void serve(server_conn *c) {
    bridge *b = bridge_of(c);
    const http_head *h = &c->http.head;
    stream_slice origin = http_field(h->fields, "Origin");
    char token[MAX_TOKEN];
    size_t len;
    right r;
    bool get = http_same(h->method, "GET") || http_same(h->method, "HEAD");
    if (!host_ours(b, h->host)) refuse(c, 403, "this is not a name of this server; see --host\n");
    else if (origin.ptr && !origin_ours(origin, h->host)) refuse(c, 403, "not from another site\n");
    else if (!get || h->framing != HTTP_NO_BODY) refuse(c, 405, "GET only, and no body\n");
    else if (path_is(h, "/healthz")) server_reply(c, 200, "text/plain", stream_slice_text("ok\n"));
    else if (path_is(h, "/") && query_value(h->query, "token", token, sizeof token, &len))
        exchange(c, token, len);
    else if ((r = right_of_request(b, h)) == RIGHT_NONE)
        refuse(c, h->upgrade ? 403 : 401, "Open the address that tmux_bridge printed when it started.\n");
    else if (path_is(h, "/ws")) upgrade(c, h, r);
    else if (path_is(h, "/")) file(c, "text/html; charset=utf-8", page_html, sizeof page_html);
    else if (path_is(h, "/page.js")) file(c, "text/javascript; charset=utf-8", page_js, sizeof page_js);
    else if (path_is(h, "/page.css")) file(c, "text/css; charset=utf-8", page_css, sizeof page_css);
    else if (path_is(h, "/sessions")) list_sessions(c);
    else if (path_is(h, "/metrics")) show_metrics(c);
    else refuse(c, 404, "there is nothing here\n");
}

/* Before a body comes only what will not read one: upgrades, and refusals. */
static void on_head(server_conn *c) {
    if (c->http.head.upgrade || c->http.head.framing != HTTP_NO_BODY) serve(c);
}
static void on_request(server_conn *c) {
    if (!c->status) serve(c);
}
static void on_data(server_conn *c, char *data, size_t len) {
    if (c->user) viewer_data((viewer *)c->user, data, len);
}
static void on_room(server_conn *c) {
    if (c->user) viewer_pump((viewer *)c->user);
}
static void on_timer(server_conn *c) {
    if (c->user) viewer_timer((viewer *)c->user);
}
static void on_closed(server_conn *c, server_reason reason) {
    (void)reason;
    if (c->user) viewer_free((viewer *)c->user);
    c->user = NULL;
}

const server_handler web_handler = {NULL,    on_head,  NULL, on_request, on_data,
                                    on_room, on_timer, NULL, on_closed};
