/* SPDX-License-Identifier: MIT-0
   How it goes, for people (status line, plain lines, summary) and for programs (status file, metrics). */
#include "wrap.h"

#include <stdarg.h>
#include <stdio.h>

#define SECOND  UINT64_C(1000000000)
#define LINE_NS  (SECOND / 10) /* the status line is redrawn at most ten times a second, */
#define AGAIN_NS (SECOND / 50) /* or this often when it had to give way to output */
#define DUMB_NS (SECOND * 10)
#define BUSY_NS (SECOND * 5) /* readers of the status file are done by then */

typedef struct view {
    bool line, plain;     /* what is shown */
    bool drawn;           /* the status line stands on the terminal */
    bool file_failed;     /* said once */
    uint64_t interval_ns; /* between plain lines */
    uint64_t drawn_ns, next_line_ns, next_plain_ns, next_file_ns;
    uint64_t busy_ns; /* since when the status file cannot be replaced; 0: it can */
    char last[512]; /* the line as drawn, so that an unchanged one is not sent again */
    text_buffer json;
} view;

static view v;

/* "950", "12.3k", "4.0M" */
static const char *short_count(char out[16], uint64_t n) {
    if (n < 1000)
        snprintf(out, 16, "%u", (unsigned)n);
    else if (n < 1000000)
        snprintf(out, 16, "%u.%uk", (unsigned)(n / 1000), (unsigned)(n % 1000 / 100));
    else if (n < 1000000000)
        snprintf(out, 16, "%u.%uM", (unsigned)(n / 1000000), (unsigned)(n % 1000000 / 100000));
    else
        snprintf(out, 16, "%.1fG", (double)n / 1e9);
    return out;
}

/* "0:42", "1:02:03" */
static const char *clock_text(char out[24], uint64_t ns) {
    uint64_t s = ns / SECOND;
    if (s < 3600)
        snprintf(out, 24, "%u:%02u", (unsigned)(s / 60), (unsigned)(s % 60));
    else
        snprintf(out, 24, "%u:%02u:%02u", (unsigned)(s / 3600), (unsigned)(s / 60 % 60),
                 (unsigned)(s % 60));
    return out;
}

/* The cost as written in the record, to four decimals: enough for eyes; files have all of it. */
static const char *cost_text(const run *r, char out[24]) {
    snprintf(out, 24, "$%.4f", session_cost(&r->session));
    return out;
}

/* What matters most comes first: a narrow terminal cuts the rest off. */
static void describe(run *r, char *out, size_t cap, unsigned columns, uint64_t now_ns) {
    const session *s = &r->session;
    session_usage u = session_tokens(s);
    char a[24], b[24], c[16], d[16], e[16], f[24];
    uint64_t lag = stream_flow_lag(&r->flow);
    const char *name = r->opt.name ? r->opt.name : "";
    size_t name_len = strlen(name) <= columns / 3 ? strlen(name) : stream_utf8_cut(name, columns / 3);
    int n = snprintf(out, cap, "%.*s%s%s  ", (int)name_len, name, name_len ? " " : "",
                     clock_text(a, since_ns(now_ns, r->started_ns)));
#define ADD(...)                                                                                           \
    do {                                                                                                   \
        if (n >= 0 && (size_t)n < cap) n += snprintf(out + n, cap - (size_t)n, __VA_ARGS__);               \
    } while (0)
    if (s->tools > 0) {
        ADD("%s %s", s->tool[0].name, clock_text(b, since_ns(now_ns, s->tool[0].since_ns)));
        if (s->tools + s->tools_untracked > 1) ADD(" +%u", (unsigned)(s->tools + s->tools_untracked - 1));
    } else {
        ADD("%s", session_state_text(s->state));
    }
    if (watch_stalled(r)) {
        char what[160];
        watch_describe(r, what, sizeof what, now_ns);
        ADD("  %s", what);
    }
    ADD("  last %s ago", clock_text(b, since_ns(now_ns, r->last_ns)));
    ADD("  %s msg", short_count(c, s->messages));
    ADD("  %s in %s out", short_count(d, u.input + u.cache_read + u.cache_write), short_count(e, u.output));
    if (s->cost[0]) ADD("  %s", cost_text(r, f));
    ADD("  %sB", short_count(c, r->bytes));
    if (lag)
        ADD("  %sB waiting%s", short_count(c, lag), stream_flow_slow(&r->flow) ? " (slow reader)" : "");
    if (s->noise + s->oversize + s->truncated + s->invalid)
        ADD("  %s odd", short_count(c, s->noise + s->oversize + s->truncated + s->invalid));
#undef ADD
}

/* The cursor stays at the beginning of the line, and the line is taken away with all that is below it: a
   terminal that was made narrower has folded it, and keeps the cursor on the first of the rows it became.
   (What \033[J finds on the first row of the screen, tmux keeps for its history: so \033[K comes first.) */
void view_hide(run *r) {
    if (!v.drawn) return;
    if (console_in_front()) pipes_say(r, "\r\033[K\033[J", 7); /* else a prompt may stand there by now */
    v.drawn = false;
    v.next_line_ns = v.drawn_ns + AGAIN_NS;
    v.last[0] = '\0';
}

void view_resized(void) { v.last[0] = '\0'; }

/* A frame that its terminal has not taken yet is not followed by another. It does not fold at the margin
   either (\033[?7l): the terminal may have been made narrower just now. False: this is not the moment. */
static bool draw(run *r, uint64_t now_ns) {
    char out[512], frame[640];
    unsigned columns, rows;
    size_t len;
    if (!r->err_at_line_start || r->err.busy || (r->same_terminal && (!r->at_line_start || r->out.busy)))
        return false;
    if (!console_in_front()) {
        v.drawn = false;
        return true;
    }
    console_size(CONSOLE_ERR, &columns, &rows);
    describe(r, out, sizeof out, columns, now_ns);
    len = strlen(out);
    if (len > columns - 1)
        len = stream_utf8_cut(out, columns - 1); /* a byte is at least a column's worth */
    out[len] = '\0';
    if (v.drawn && strcmp(out, v.last) == 0) return true;
    pipes_say(r, frame, (size_t)snprintf(frame, sizeof frame, "\r\033[?7l%s\033[J\033[?7h\r", out));
    memcpy(v.last, out, len + 1);
    v.drawn = true;
    v.drawn_ns = now_ns;
    return true;
}

void view_say(run *r, const char *format, ...) {
    char line[1024];
    va_list args;
    int n;
    view_hide(r);
    va_start(args, format);
    n = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    if (n < 0) return;
    if ((size_t)n > sizeof line - 2) n = (int)sizeof line - 2;
    line[n++] = '\n';
    pipes_say(r, line, (size_t)n);
}

/* The state as one JSON object. */
static void build_status(run *r, uint64_t now_ns) {
    const session *s = &r->session;
    const char *missing = session_missing(s);
    session_usage u = session_tokens(s);
    stream_json_writer w;
    stream_json_value cost;
    size_t len, i;
#define KEY(name)       stream_json_write_key(&w, name, sizeof name - 1)
#define NUMBER(name, n) (KEY(name), stream_json_write_uint64(&w, n))
#define TEXT(name, t)   (KEY(name), stream_json_write_string(&w, t, strlen(t)))
    do {
        stream_json_writer_init(&w, v.json.ptr, v.json.cap);
        stream_json_write_object(&w);
        TEXT("version", STREAM_VERSION);
        if (r->opt.name) TEXT("name", r->opt.name);
        NUMBER("restarts", r->restarts);
        NUMBER("pid", console_process());
        if (r->has_child) NUMBER("child_pid", (uint64_t)r->child.pid);
        TEXT("state", session_state_text(s->state));
        NUMBER("elapsed_ms", since_ns(now_ns, r->started_ns) / 1000000);
        NUMBER("idle_ms", since_ns(now_ns, r->last_ns) / 1000000);
        TEXT("session_id", s->session_id);
        TEXT("model", s->model);
        NUMBER("buffer", r->opt.buffer);
        NUMBER("bytes", r->bytes);
        NUMBER("written", r->written);
        NUMBER("lag", stream_flow_lag(&r->flow));
        NUMBER("max_lag", stream_flow_max_lag(&r->flow));
        KEY("tools");
        stream_json_write_array(&w);
        for (i = 0; i < s->tool_kinds; i++) {
            stream_json_write_object(&w);
            TEXT("name", s->tool_kind[i].name);
            NUMBER("calls", s->tool_kind[i].calls);
            NUMBER("failed", s->tool_kind[i].failed);
            NUMBER("ms", s->tool_kind[i].total_ns / 1000000);
            NUMBER("longest_ms", s->tool_kind[i].longest_ns / 1000000);
            stream_json_write_end(&w);
        }
        stream_json_write_end(&w);
        NUMBER("longest_silence_ms", r->silence_ns / 1000000);
        NUMBER("blocked_ms", r->blocked_ns / 1000000);
        KEY("slow_reader");
        stream_json_write_bool(&w, stream_flow_slow(&r->flow));
        NUMBER("records", s->records);
        KEY("types");
        stream_json_write_object(&w);
        for (i = 0; i < s->types; i++) {
            stream_json_write_key(&w, s->type[i].name, strlen(s->type[i].name));
            stream_json_write_uint64(&w, s->type[i].count);
        }
        stream_json_write_end(&w);
        NUMBER("noise", s->noise);
        NUMBER("invalid", s->invalid);
        NUMBER("oversize", s->oversize);
        NUMBER("truncated", s->truncated);
        KEY("unterminated");
        stream_json_write_bool(&w, s->unterminated);
        NUMBER("messages", s->messages);
        NUMBER("tools_started", s->tools_started);
        KEY("tools_in_flight");
        stream_json_write_array(&w);
        for (i = 0; i < s->tools; i++) {
            stream_json_write_object(&w);
            TEXT("name", s->tool[i].name);
            TEXT("id", s->tool[i].id);
            NUMBER("ms", since_ns(now_ns, s->tool[i].since_ns) / 1000000);
            stream_json_write_end(&w);
        }
        stream_json_write_end(&w);
        KEY("tokens");
        stream_json_write_object(&w);
        NUMBER("input", u.input);
        NUMBER("output", u.output);
        NUMBER("cache_read", u.cache_read);
        NUMBER("cache_write", u.cache_write);
        stream_json_write_end(&w);
        KEY("cost_usd");
        cost.ptr = s->cost;
        cost.len = strlen(s->cost);
        cost.type = cost.len ? STREAM_JSON_NUMBER : STREAM_JSON_NONE;
        stream_json_write_value(&w, cost);
        if (r->opt.tee) {
            NUMBER("tee_bytes", r->tee.bytes);
            NUMBER("tee_dropped", r->tee.dropped);
        }
        NUMBER("stderr_bytes", r->err_ring.in);
        NUMBER("stderr_dropped", r->err_ring.dropped);
        NUMBER("stalls", r->watch.count);
        KEY("stalled");
        if (!watch_stalled(r)) {
            stream_json_write_null(&w);
        } else {
            stream_json_write_object(&w);
            TEXT("timer", watch_name(r->watch.last));
            NUMBER("quiet_ms", since_ns(now_ns, r->watch.since_ns) / 1000000);
            KEY("cpu");
            if (r->watch.busy == WATCH_UNKNOWN)
                stream_json_write_null(&w);
            else
                stream_json_write_bool(&w, r->watch.busy == WATCH_BUSY);
            KEY("stdin_open");
            stream_json_write_bool(&w, pipes_child_reads(r));
            stream_json_write_end(&w);
        }
        KEY("missing");
        if (missing && s->state == SESSION_EXIT)
            stream_json_write_string(&w, missing, strlen(missing));
        else
            stream_json_write_null(&w);
        KEY("exit_code");
        if (s->state == SESSION_EXIT)
            stream_json_write_int64(&w, r->exit_code);
        else
            stream_json_write_null(&w);
        stream_json_write_end(&w);
    } while (stream_json_writer_finish(&w, &len) == STREAM_FULL && text_room(&v.json, len + 1));
    v.json.len = len < v.json.cap ? len : 0;
    if (v.json.len) v.json.ptr[v.json.len++] = '\n';
#undef KEY
#undef NUMBER
#undef TEXT
}

/* Somebody who reads the old file may keep it from being replaced, on Windows: the next turn is soon enough, but the
   last one has to succeed. */
static void write_status(run *r, uint64_t now_ns, bool last) {
    int tries = last ? 50 : 1;
    build_status(r, now_ns);
    do {
        if (v.json.len > 0 && console_put_file(r->opt.status_file, v.json.ptr, v.json.len, true)) {
            v.busy_ns = 0;
            return;
        }
    } while (--tries > 0 && v.json.len > 0 && console_busy(console_error()));
    if (!last && v.json.len > 0 && console_busy(console_error())) {
        if (v.busy_ns == 0) v.busy_ns = now_ns;
        if (since_ns(now_ns, v.busy_ns) < BUSY_NS) return;
    }
    if (!v.file_failed)
        view_say(r, "stream_wrap: --status-file %s: %s", r->opt.status_file,
                 console_error_text(console_error()));
    v.file_failed = true;
}

void view_start(run *r) {
    memset(&v, 0, sizeof v);
    v.line = r->opt.progress == PROGRESS_LINE || (r->opt.progress == PROGRESS_AUTO && console_can_draw());
    v.plain = r->opt.progress == PROGRESS_PLAIN;
    v.interval_ns = r->opt.interval_ns;
    if (r->opt.progress == PROGRESS_AUTO && !v.line && console_is_terminal(CONSOLE_ERR)) {
        v.plain = true; /* a terminal that cannot move its cursor: lines, and few of them */
        if (v.interval_ns < DUMB_NS) v.interval_ns = DUMB_NS;
    }
    v.next_line_ns = r->started_ns;
    v.next_plain_ns = r->started_ns + v.interval_ns;
    v.next_file_ns = r->started_ns;
}

static uint64_t sooner(uint64_t wait, uint64_t due_ns, uint64_t now_ns) {
    uint64_t left = due_ns > now_ns ? due_ns - now_ns : 0;
    return left < wait ? left : wait;
}

uint64_t view_tick(run *r, uint64_t now_ns) {
    uint64_t wait = UINT64_MAX;
    if (v.line) {
        if (now_ns >= v.next_line_ns) v.next_line_ns = now_ns + (draw(r, now_ns) ? LINE_NS : AGAIN_NS);
        wait = sooner(wait, v.next_line_ns, now_ns);
    }
    if (v.plain) {
        if (now_ns >= v.next_plain_ns) {
            char out[512];
            describe(r, out, sizeof out, 3 * sizeof out, now_ns);
            view_say(r, "stream_wrap: %s", out);
            v.next_plain_ns = now_ns + v.interval_ns;
        }
        wait = sooner(wait, v.next_plain_ns, now_ns);
    }
    if (r->opt.status_file) {
        if (now_ns >= v.next_file_ns) {
            write_status(r, now_ns, false);
            v.next_file_ns = now_ns + r->opt.interval_ns;
        }
        wait = sooner(wait, v.next_file_ns, now_ns);
    }
    return wait;
}

stream_slice view_status(run *r, uint64_t now_ns) {
    build_status(r, now_ns);
    return stream_slice_of(v.json.ptr, v.json.len);
}

stream_slice view_metrics(run *r, int form, uint64_t now_ns) {
    const session *s = &r->session;
    session_usage u = session_tokens(s);
    stream_pool_usage pool;
    uint64_t elapsed = since_ns(now_ns, r->started_ns), lag = stream_flow_lag(&r->flow),
             max_lag = stream_flow_max_lag(&r->flow), slow = stream_flow_slow(&r->flow),
             code = (uint64_t)r->exit_code, dropped = endpoint_dropped(), restarts = r->restarts,
             unpublished = publish_dropped(), cost = (uint64_t)(session_cost(s) * 1e9 + 0.5);
    static const char *const token_kind[] = {"input", "output", "cache_read", "cache_write"};
    static const char *const odd_kind[] = {"noise", "invalid", "oversize", "truncated"};
    const uint64_t *tokens[4] = {&u.input, &u.output, &u.cache_read, &u.cache_write};
    const uint64_t *odd[4] = {&s->noise, &s->invalid, &s->oversize, &s->truncated};
    stream_metric m[SESSION_TYPES + 40];
    size_t n = 0, i, len;
    memset(m, 0, sizeof m);
#define ROW(NAME, HELP, KIND, VALUE)                                                                       \
    (m[n].name = "stream_wrap_" NAME, m[n].help = HELP, m[n].kind = KIND, m[n].value = VALUE, n++)
#define LABEL(NAME, VALUE) (m[n - 1].label = NAME, m[n - 1].label_value = VALUE)
    stream_pool_stats(&r->pool, &pool);
    ROW("bytes_total", "Bytes read from the stream.", STREAM_METRIC_TOTAL, &r->bytes);
    ROW("written_bytes_total", "Bytes written to standard output.", STREAM_METRIC_TOTAL, &r->written);
    ROW("stderr_bytes_total", "Bytes of the child's standard error.", STREAM_METRIC_TOTAL, &r->err_ring.in);
    ROW("stderr_dropped_bytes_total", "Of those, bytes that a slow reader missed.", STREAM_METRIC_TOTAL,
        &r->err_ring.dropped);
    ROW("scanned_bytes_total", "Bytes the record decoder looked at.", STREAM_METRIC_TOTAL,
        &r->json.scanned);
    for (i = 0; i < s->types; i++) {
        ROW("records_total", "Records by type.", STREAM_METRIC_TOTAL, &s->type[i].count);
        LABEL("type", s->type[i].name);
    }
    for (i = 0; i < 4; i++) {
        ROW("odd_items_total", "Items that are no whole record.", STREAM_METRIC_TOTAL, odd[i]);
        LABEL("kind", odd_kind[i]);
    }
    ROW("messages_total", "Assistant messages.", STREAM_METRIC_TOTAL, &s->messages);
    ROW("tools_total", "Tools started.", STREAM_METRIC_TOTAL, &s->tools_started);
    for (i = 0; i < 4; i++) {
        ROW("tokens_total", "Tokens by kind.", STREAM_METRIC_TOTAL, tokens[i]);
        LABEL("kind", token_kind[i]);
    }
    ROW("cost_usd", "Cost so far, US dollars.", STREAM_METRIC_VALUE, &cost);
    m[n - 1].decimals = 9;
    ROW("tee_bytes_total", "Bytes written to the tee.", STREAM_METRIC_TOTAL, &r->tee.bytes);
    ROW("tee_dropped_bytes_total", "Bytes the tee missed.", STREAM_METRIC_TOTAL, &r->tee.dropped);
    ROW("subscriber_dropped_events_total", "Events that subscribers were too slow for.",
        STREAM_METRIC_TOTAL, &dropped);
    ROW("blocked_seconds_total", "Time spent waiting for the reader of standard output.",
        STREAM_METRIC_TOTAL, &r->blocked_ns);
    m[n - 1].decimals = 9;
    ROW("longest_silence_seconds", "The longest time nothing came.", STREAM_METRIC_VALUE, &r->silence_ns);
    m[n - 1].decimals = 9;
    ROW("restarts_total", "How often the child was started again.", STREAM_METRIC_TOTAL, &restarts);
    ROW("unpublished_events_total", "Events that could not be published.", STREAM_METRIC_TOTAL,
        &unpublished);
    ROW("stalls_total", "How often a timer ran out.", STREAM_METRIC_TOTAL, &r->watch.count);
    ROW("lag_bytes", "Bytes read and not yet written.", STREAM_METRIC_VALUE, &lag);
    ROW("max_lag_bytes", "Most of them there ever were.", STREAM_METRIC_VALUE, &max_lag);
    ROW("slow_reader", "Whether the reader of standard output is slow (1) or not.", STREAM_METRIC_VALUE,
        &slow);
    ROW("latency_seconds", "From a read to the end of the records in it.", STREAM_METRIC_HISTOGRAM,
        &r->latency);
    ROW("buffers_allocated_total", "Read buffers allocated.", STREAM_METRIC_TOTAL, &pool.total.allocated);
    ROW("buffers_reused_total", "Read buffers reused.", STREAM_METRIC_TOTAL, &pool.total.reused);
    ROW("elapsed_seconds", "Time since the start.", STREAM_METRIC_VALUE, &elapsed);
    m[n - 1].decimals = 9;
    ROW("exit_code", "How it ended.", STREAM_METRIC_VALUE, &code);
#undef ROW
#undef LABEL
    do {
        len = form == METRICS_JSON ? stream_metrics_json(m, n, v.json.ptr, v.json.cap)
                                   : stream_metrics_prometheus(m, n, v.json.ptr, v.json.cap);
    } while (len >= v.json.cap && text_room(&v.json, len + 1));
    if (len >= v.json.cap) len = 0;
    if (len && form == METRICS_JSON) v.json.ptr[len++] = '\n';
    return stream_slice_of(v.json.ptr, len);
}

static void print_metrics(run *r, uint64_t now_ns) {
    stream_slice text = view_metrics(r, r->opt.metrics, now_ns);
    if (text.len == 0) {
        view_say(r, "stream_wrap: --metrics: %s", stream_status_text(STREAM_E_NOMEM));
    } else if (!r->opt.metrics_file) {
        pipes_flush_said(r);
        console_write(CONSOLE_ERR, text.ptr, text.len); /* the report may wait for its reader */
    } else if (!console_put_file(r->opt.metrics_file, text.ptr, text.len, false)) {
        view_say(r, "stream_wrap: --metrics-file %s: %s", r->opt.metrics_file,
                 console_error_text(console_error()));
    }
}

static void print_summary(run *r, uint64_t now_ns) {
    const session *s = &r->session;
    session_usage u = session_tokens(s);
    char a[24], b[24], c[16], d[16], e[16], f[16];
    size_t i;
    view_say(r, "-- stream_wrap: %llu records, %llu bytes in %s, exit code %d",
             (unsigned long long)s->records, (unsigned long long)r->bytes,
             clock_text(a, since_ns(now_ns, r->started_ns)), r->exit_code);
    for (i = 0; i < s->types; i++)
        view_say(r, "   %8llu %s", (unsigned long long)s->type[i].count, s->type[i].name);
    if (s->messages || u.input || u.output)
        view_say(r, "   %llu messages, %llu tools, %s tokens in (%s from cache, %s into it), %s out%s%s",
                 (unsigned long long)s->messages, (unsigned long long)s->tools_started,
                 short_count(c, u.input + u.cache_read + u.cache_write), short_count(e, u.cache_read),
                 short_count(f, u.cache_write), short_count(d, u.output), s->cost[0] ? ", " : "",
                 s->cost[0] ? cost_text(r, b) : "");
    for (i = 0; i < s->tool_kinds; i++) {
        const session_tool_kind *k = &s->tool_kind[i];
        view_say(r, "   %8llu %s: %.1f s, the longest %.1f s%s", (unsigned long long)k->calls, k->name,
                 (double)k->total_ns / 1e9, (double)k->longest_ns / 1e9, k->failed ? ", some failed" : "");
    }
    view_say(r, "   longest silence %.1f s, waited %.1f s for our reader, at most %sB behind",
             (double)r->silence_ns / 1e9, (double)r->blocked_ns / 1e9,
             short_count(c, stream_flow_max_lag(&r->flow)));
    if (r->watch.count)
        view_say(r, "   %llu times stalled, last: %s", (unsigned long long)r->watch.count,
                 watch_name(r->watch.last));
    if (r->err_ring.in)
        view_say(r, "   %llu bytes of standard error, %llu dropped", (unsigned long long)r->err_ring.in,
                 (unsigned long long)r->err_ring.dropped);
    if (publish_dropped())
        view_say(r, "   %llu events were not published", (unsigned long long)publish_dropped());
    if (endpoint_dropped())
        view_say(r, "   subscribers missed %llu events", (unsigned long long)endpoint_dropped());
    if (s->noise + s->oversize + s->truncated + s->invalid)
        view_say(r, "   odd: %llu noise, %llu invalid, %llu oversize, %llu truncated",
                 (unsigned long long)s->noise, (unsigned long long)s->invalid,
                 (unsigned long long)s->oversize, (unsigned long long)s->truncated);
    if (r->tee.dropped) view_say(r, "   the tee missed %llu bytes", (unsigned long long)r->tee.dropped);
    if (s->unterminated) view_say(r, "   the last record had no line end");
    if (session_missing(s)) view_say(r, "   note: %s", session_missing(s));
}

void view_end(run *r, uint64_t now_ns) {
    view_hide(r);
    if (r->opt.status_file) write_status(r, now_ns, true);
    if (r->opt.summary) print_summary(r, now_ns);
    if (r->opt.metrics) print_metrics(r, now_ns);
    pipes_flush_said(r);
    text_free(&v.json);
}
