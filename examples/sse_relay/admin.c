/* SPDX-License-Identifier: MIT-0
   What operators ask for. */
#include <limits.h>
#include <stdio.h>
#include <time.h>

#include "page.h" /* made of page.html, page.css and page.js */
#include "relay.h"
#include "stream_json.h"

enum { ANSWER_MAX = 131072, STREAMS_MAX = 128 };

#define PREFIX "sse_relay_"

size_t admin_metrics(relay *r, bool json, char *dst, size_t cap) {
    static const char *const hundreds[6] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    static const char *const errors[UPSTREAM_ERRORS] = {"connect", "timeout", "cut", "invalid", "encoded"};
    stream_metric row[72];
    stream_pool_usage pool;
    uint64_t active = r->s.active, idle = r->idle_count;
    uint64_t most = stream_gauge_highest(&r->counts.queue_bytes);
    size_t n = 0, i;
    memset(row, 0, sizeof row);
    stream_pool_stats(r->s.pool, &pool);
#define ROW(metric, text, what, at)                                                                        \
    (row[n].name = PREFIX metric, row[n].help = text, row[n].kind = what, row[n].value = at, n++)
#define LABEL(key, text) (row[n - 1].label = key, row[n - 1].label_value = text)
    ROW("clients_active", "Connections of clients.", STREAM_METRIC_VALUE, &active);
    ROW("clients_opened_total", "Connections accepted.", STREAM_METRIC_TOTAL, &r->s.accepted);
    for (i = 0; i < SERVER_REASONS; i++) {
        ROW("clients_closed_total", "Connections ended, by reason.", STREAM_METRIC_TOTAL, &r->s.closed[i]);
        LABEL("reason", server_reason_text((server_reason)i));
    }
    ROW("clients_refused_total", "Connections and requests refused for want of room.", STREAM_METRIC_TOTAL,
        &r->s.refused);
    ROW("requests_total", "Requests received.", STREAM_METRIC_TOTAL, &r->counts.requests);
    for (i = 1; i < 6; i++) {
        ROW("upstream_responses_total", "Answers of the upstream, by status.", STREAM_METRIC_TOTAL,
            &r->counts.responses[i]);
        LABEL("status", hundreds[i]);
    }
    for (i = 0; i < UPSTREAM_ERRORS; i++) {
        ROW("upstream_errors_total", "What went wrong upstream.", STREAM_METRIC_TOTAL,
            &r->counts.upstream_errors[i]);
        LABEL("kind", errors[i]);
    }
    ROW("upstream_connects_total", "Connections made to the upstream.", STREAM_METRIC_TOTAL,
        &r->counts.connects);
    ROW("upstream_reused_total", "Requests on a connection that was there.", STREAM_METRIC_TOTAL,
        &r->counts.reused);
    ROW("upstream_idle", "Connections to the upstream that wait.", STREAM_METRIC_VALUE, &idle);
    ROW("upstream_cancelled_total", "Requests ended upstream because the client left.", STREAM_METRIC_TOTAL,
        &r->counts.cancelled);
    ROW("events_total", "Events passed on.", STREAM_METRIC_TOTAL, &r->counts.events);
    ROW("oversize_events_total", "Events that passed in pieces.", STREAM_METRIC_TOTAL, &r->counts.oversize);
    ROW("filtered_events_total", "Events left out by --drop and --only.", STREAM_METRIC_TOTAL,
        &r->counts.filtered);
    ROW("rewritten_events_total", "Events changed by --set.", STREAM_METRIC_TOTAL, &r->counts.rewritten);
    ROW("patched_events_total", "Events of which --diff made a patch.", STREAM_METRIC_TOTAL,
        &r->counts.patched);
    ROW("truncated_total", "Answers that ended early.", STREAM_METRIC_TOTAL, &r->counts.truncated);
    ROW("pings_total", "Pings sent.", STREAM_METRIC_TOTAL, &r->counts.pings);
    ROW("early_answers_total", "Streams begun before the upstream answered.", STREAM_METRIC_TOTAL,
        &r->counts.early);
    ROW("backpressure_total", "Times a client's slowness stopped its upstream.", STREAM_METRIC_TOTAL,
        &r->counts.backpressure);
    ROW("upstream_bytes_total", "Bytes read from the upstream.", STREAM_METRIC_TOTAL,
        &r->counts.bytes_down);
    ROW("client_received_bytes_total", "Bytes read from clients.", STREAM_METRIC_TOTAL, &r->s.bytes_in);
    ROW("client_sent_bytes_total", "Bytes sent to clients.", STREAM_METRIC_TOTAL, &r->s.bytes_out);
    ROW("client_queue_bytes", "Bytes that wait for one client.", STREAM_METRIC_GAUGE,
        &r->counts.queue_bytes);
    ROW("client_queue_bytes_max", "The most that ever waited for one client.", STREAM_METRIC_VALUE, &most);
    if (r->o.fanout) {
        static const char *const policy[3] = {"disconnect", "drop_oldest", "conflated"};
        ROW("subscribers", "Subscribers.", STREAM_METRIC_VALUE, &r->fan.count);
        ROW("published_total", "Events for subscribers.", STREAM_METRIC_TOTAL, &r->fan.published);
        ROW("unpublished_total", "Events that could not be.", STREAM_METRIC_TOTAL, &r->fan.unpublished);
        for (i = 0; i < 3; i++) {
            ROW("dropped_events_total", "Events that subscribers did not get.", STREAM_METRIC_TOTAL,
                &r->fan.dropped[i]);
            LABEL("reason", policy[i]);
        }
        ROW("replay_hits_total", "Subscribers that went on where they were.", STREAM_METRIC_TOTAL,
            &r->fan.replay_hits);
        ROW("replay_misses_total", "Subscribers whose place was gone.", STREAM_METRIC_TOTAL,
            &r->fan.replay_misses);
        ROW("superseded_total", "Subscribers whose place another one of the same name took.",
            STREAM_METRIC_TOTAL, &r->fan.superseded);
        ROW("ring_bytes", "Bytes of events kept.", STREAM_METRIC_VALUE, &r->fan.bytes);
        ROW("source_reconnects_total", "Times the source was lost.", STREAM_METRIC_TOTAL,
            &r->fan.reconnects);
    }
    ROW("log_lines_dropped_total", "Lines of the access log that were not written.", STREAM_METRIC_TOTAL,
        &r->log.dropped);
    ROW("pool_bytes", "Bytes of all pool buffers.", STREAM_METRIC_VALUE, &pool.total.bytes);
    ROW("pool_buffers_in_use", "Pool buffers in use.", STREAM_METRIC_VALUE, &pool.total.in_use);
    ROW("pool_allocated_total", "Buffers that had to be allocated.", STREAM_METRIC_TOTAL,
        &pool.total.allocated);
    ROW("pool_reused_total", "Buffers taken from the pool.", STREAM_METRIC_TOTAL, &pool.total.reused);
#undef ROW
#undef LABEL
    return json ? stream_metrics_json(row, n, dst, cap) : stream_metrics_prometheus(row, n, dst, cap);
}

static void key(stream_json_writer *w, const char *name) { stream_json_write_key(w, name, strlen(name)); }

static void number(stream_json_writer *w, const char *name, uint64_t value) {
    key(w, name);
    stream_json_write_uint64(w, value);
}

static void text(stream_json_writer *w, const char *name, const char *value) {
    key(w, name);
    stream_json_write_string(w, value, strlen(value));
}

static void truth(stream_json_writer *w, const char *name, bool value) {
    key(w, name);
    stream_json_write_bool(w, value);
}

static size_t pool_json(relay *r, char *dst, size_t cap) {
    stream_json_writer w;
    stream_pool_usage pool;
    struct timespec now;
    size_t i, len;
    stream_pool_stats(r->s.pool, &pool);
    clock_gettime(CLOCK_REALTIME, &now);
    stream_json_writer_init(&w, dst, cap);
    stream_json_write_object(&w);
    number(&w, "timestamp", (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
    number(&w, "totalBuffers", pool.total.in_use + pool.total.kept);
    number(&w, "totalInUse", pool.total.in_use);
    number(&w, "totalBytes", pool.total.bytes);
    number(&w, "reusePermille", pool.total.reuse_permille);
    key(&w, "tiers");
    stream_json_write_array(&w);
    for (i = 0; i <= pool.tiers; i++) {
        const stream_pool_counts *t = i < pool.tiers ? &pool.tier[i] : &pool.oversize;
        stream_json_write_object(&w);
        number(&w, "size", t->size);
        number(&w, "buffers", t->in_use + t->kept);
        number(&w, "inUse", t->in_use);
        number(&w, "bytes", t->bytes);
        number(&w, "allocated", t->allocated);
        number(&w, "reused", t->reused);
        number(&w, "discarded", t->discarded);
        number(&w, "highWater", t->high_water);
        number(&w, "reusePermille", t->reuse_permille);
        stream_json_write_end(&w);
    }
    stream_json_write_end(&w);
    stream_json_write_end(&w);
    return stream_json_writer_finish(&w, &len) == STREAM_OK ? len : 0;
}

/* What both kinds of streams have. */
typedef struct row {
    const char *kind, *method, *target;
    uint64_t id, status, began_ns, bytes, events, chunks, lag_bytes, lag_events, idle_since, stalls,
        stalled_ns;
    bool is_events, left;
} row;

static void write_row(stream_json_writer *w, const row *s, uint64_t now) {
    uint64_t ms = (now - s->began_ns) / 1000000;
    stream_json_write_object(w);
    number(w, "id", s->id);
    text(w, "kind", s->kind);
    text(w, "method", s->method);
    text(w, "target", s->target);
    number(w, "status", s->status);
    truth(w, "events", s->is_events);
    truth(w, "clientLeft", s->left);
    number(w, "durationMs", ms);
    number(w, "bytes", s->bytes);
    number(w, "eventCount", s->events);
    number(w, "chunks", s->chunks);
    number(w, "averageChunk", s->chunks ? s->bytes / s->chunks : 0);
    number(w, "bytesPerSecond", ms ? s->bytes * 1000 / ms : 0);
    number(w, "lagBytes", s->lag_bytes);
    number(w, "lagEvents", s->lag_events);
    number(w, "idleMs", now > s->idle_since ? (now - s->idle_since) / 1000000 : 0);
    number(w, "backpressureEvents", s->stalls);
    number(w, "backpressureMs", s->stalled_ns / 1000000);
    stream_json_write_end(w);
}

static size_t streams_json(relay *r, char *dst, size_t cap) {
    stream_json_writer w;
    const exchange *e;
    const subscriber *s;
    uint64_t now = r->s.now_ns, count = 0;
    size_t len;
    stream_json_writer_init(&w, dst, cap);
    stream_json_write_object(&w);
    number(&w, "uptimeMs", (now - r->began_ns) / 1000000);
    text(&w, "mode", r->o.fanout ? "fanout" : "proxy");
    number(&w, "clients", r->s.active);
    number(&w, "events", r->o.fanout ? r->fan.published : r->counts.events);
    number(&w, "bytesSent", r->s.bytes_out);
    number(&w, "backpressure", r->counts.backpressure);
    key(&w, "streams");
    stream_json_write_array(&w);
    for (e = r->exchanges; e; e = e->next) {
        row one;
        if (++count > STREAMS_MAX) continue;
        memset(&one, 0, sizeof one);
        one.kind = "request", one.method = e->method, one.target = e->target;
        one.id = e->id, one.status = (uint64_t)e->status, one.began_ns = e->began_ns;
        one.bytes = e->bytes_down, one.events = e->count, one.chunks = e->chunks;
        one.lag_bytes = e->c ? e->c->out.bytes : 0;
        one.idle_since = e->in_ns, one.stalls = e->stalls, one.stalled_ns = e->stalled_ns;
        if (e->u && e->u->stopped) one.stalled_ns += now - e->stall_since;
        one.is_events = e->events, one.left = e->c == NULL;
        write_row(&w, &one, now);
    }
    for (s = r->fan.subscribers; s; s = s->next_one) {
        row one;
        if (++count > STREAMS_MAX) continue;
        memset(&one, 0, sizeof one);
        one.kind = "subscriber", one.method = "GET", one.target = "/events";
        one.id = s->id, one.status = 200, one.began_ns = s->began_ns;
        one.bytes = s->bytes, one.events = s->events, one.chunks = s->chunks;
        one.lag_bytes = fanout_behind(&r->fan, s) + s->c->out.bytes;
        one.lag_events = r->fan.next - (s->next < r->fan.oldest ? r->fan.oldest : s->next);
        one.idle_since = s->out_ns, one.stalls = s->stalls;
        one.stalled_ns = s->stalled_ns + (s->stalled ? now - s->stall_since : 0);
        one.is_events = true;
        write_row(&w, &one, now);
    }
    stream_json_write_end(&w);
    number(&w, "total", count);
    stream_json_write_end(&w);
    return stream_json_writer_finish(&w, &len) == STREAM_OK ? len : 0;
}

/* A part of the page; the memory is ours for ever. */
static void page_part(server_conn *c, const char *type, const char *ptr, size_t len) {
    http_writer w;
    if (!server_begin(c, &w, 200, 512)) return;
    http_write_text(&w, "Content-Type", type);
    http_write_text(&w, "Cache-Control", "no-cache");
    http_write_text(&w, "Content-Security-Policy",
                    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
                    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    http_write_text(&w, "X-Content-Type-Options", "nosniff");
    http_write_text(&w, "Referrer-Policy", "no-referrer");
    server_begin_body(c, &w, len);
    (void)server_body(c, NULL, ptr, len);
    server_end(c);
}

bool admin_serves(relay *r, server_conn *c) {
    static const char *const paths[] = {"/metrics", "/buffer-pool-metrics", "/healthz", "/streams", "/"};
    enum { METRICS, POOL, HEALTH, STREAMS, PAGE, PATHS };
    const http_head *h = &c->http.head;
    stream_slice path = h->path;
    const char *type = "application/json", *prefix = r->o.admin_prefix ? r->o.admin_prefix : "";
    size_t i, n = strlen(prefix);
    stream_pool_buf *buf;
    http_writer w;
    if (r->admin_off || (r->admin_listener != UINT_MAX && r->admin_listener != c->listener)) return false;
    if (h->query.ptr) path.len = (size_t)(h->query.ptr - path.ptr) - 1;
    if (path.len < n || memcmp(path.ptr, prefix, n) != 0) return false;
    path = stream_slice_of(path.ptr + n, path.len - n);
    for (i = 0; i < PATHS; i++)
        if (strlen(paths[i]) == path.len && memcmp(paths[i], path.ptr, path.len) == 0) break;
    if (i == PATHS) return false;
    if (i == PAGE) {
        bool css = http_same(h->query, "page.css"), js = http_same(h->query, "page.js");
        /* Browsers say text/html when they are to show a page; nobody else who asks for / does. */
        if (!css && !js && r->admin_listener == UINT_MAX && !relay_accepts(h->fields, "text/html"))
            return false;
        if (!http_same(h->method, "GET") && !c->head_only) return false;
        if (css)
            page_part(c, "text/css; charset=utf-8", page_css, sizeof page_css);
        else if (js)
            page_part(c, "text/javascript; charset=utf-8", page_js, sizeof page_js);
        else
            page_part(c, "text/html; charset=utf-8", page_html, sizeof page_html);
        return true;
    }
    if (!http_same(h->method, "GET") && !c->head_only) {
        static const char allow[] = "Allow: GET, HEAD\r\n";
        server_reply_with(c, 405, "text/plain", stream_slice_of(allow, sizeof allow - 1),
                          stream_slice_text("This can only be read.\n"));
        return true;
    }
    if (i == HEALTH) {
        bool well = !r->retiring;
        server_reply(c, well ? 200 : 503, "application/json",
                     stream_slice_text(well ? "{\"status\":\"ok\"}\n" : "{\"status\":\"ending\"}\n"));
        return true;
    }
    if (stream_pool_acquire(r->s.pool, ANSWER_MAX, &buf) != STREAM_OK) {
        server_abort(c, SERVER_NO_MEMORY);
        return true;
    }
    if (i == METRICS)
        n = admin_metrics(r, false, buf->data, ANSWER_MAX),
        type = "text/plain; version=0.0.4; charset=utf-8";
    else if (i == POOL)
        n = pool_json(r, buf->data, ANSWER_MAX);
    else
        n = streams_json(r, buf->data, ANSWER_MAX);
    if (!server_begin(c, &w, 200, 256)) {
        stream_pool_release(buf);
        return true;
    }
    http_write_text(&w, "Content-Type", type);
    http_write_text(&w, "Cache-Control", "no-store");
    server_begin_body(c, &w, n < ANSWER_MAX ? n : 0);
    (void)server_body(c, buf, buf->data, n < ANSWER_MAX ? n : 0);
    server_end(c);
    return true;
}
