/* SPDX-License-Identifier: MIT-0
   Where a fan-out's events come from: an upstream that is connected to while somebody listens, a child, or
   standard input. An upstream or a child that ends is tried again, later each time, with some chance in it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/child.h"
#include "fanout.h"

enum { MOST_FAILURES = 5 }; /* doublings of a second: at most half a minute */

static const uint64_t second = UINT64_C(1000000000);

static void start(fanout *f);

/* ---- events ---------------------------------------------------------------------------------------------
 */

static void publish(fanout *f, const stream_sse_event *event) {
    if (f->r->o.terminal.count && filter_terminal(f->r, event)) f->complete = true;
    switch (fanout_offer(f, event, stream_sse_type(event), stream_slice_of(NULL, 0), false)) {
    case FANOUT_PUBLISHED: f->r->counts.events++; break;
    case FANOUT_LEFT_OUT: break;
    case FANOUT_REFUSED:
        log_complain(f->r, "source: an event is lost", "it cannot be rewritten");
        fanout_lose(f);
        break;
    case FANOUT_NO_MEMORY:
        log_complain(f->r, "source: an event is lost", "no memory");
        fanout_lose(f);
    }
}

/* Tells the subscribers of what they do not get. */
static void lose(fanout *f, const char *type, const char *why, uint64_t bytes) {
    stream_sse_event lost;
    char text[192];
    int n = snprintf(text, sizeof text, "{\"error\":{\"type\":\"%s\",\"message\":\"%s\",\"bytes\":%llu}}",
                     type, why, (unsigned long long)bytes);
    memset(&lost, 0, sizeof lost);
    lost.event = stream_slice_text("error");
    lost.data = stream_slice_of(text, (size_t)n);
    (void)fanout_publish(f, &lost, lost.event, stream_slice_of(NULL, 0), false);
}

static void take(fanout *f, const void *data, size_t len) {
    stream_item item;
    stream_status st;
    (void)stream_sse_feed(&f->sse, data, len);
    while ((st = stream_sse_next(&f->sse, &item)) != STREAM_MORE && st != STREAM_END) {
        if (st == STREAM_OK) {
            f->failures = 0;
            publish(f, &f->sse.event);
        } else {
            if (st == STREAM_E_TOO_LONG) f->r->counts.oversize++;
            lose(f, "event_lost", stream_status_text(st), item.size);
            log_complain(f->r, "source: an event is lost", stream_status_text(st));
        }
    }
}

/* ---- again, later ---------------------------------------------------------------------------------------
 */

static void set_timer(fanout *f, uint64_t wait_ns) {
    if (f->timing) stream_io_cancel(&f->r->s.io, &f->timer.op);
    f->due_ns = stream_now_ns() + wait_ns;
    if (!f->timing && stream_io_timer(&f->r->s.io, &f->timer.op, f->due_ns) == STREAM_OK) f->timing = true;
}

static void later(fanout *f, const char *why) {
    uint64_t wait;
    if (f->complete) { /* that was all of it: to ask again would be to begin again */
        f->running = false;
        log_complain(f->r, "source", "complete");
        fanout_end(f);
        return;
    }
    wait = second << (f->failures < MOST_FAILURES ? f->failures : MOST_FAILURES);
    f->running = false;
    f->reconnects++;
    f->failures++;
    if (f->sse.has_retry && f->failures == 1) wait = f->sse.retry_ms * (second / 1000);
    f->seed ^= f->seed << 13, f->seed ^= f->seed >> 7, f->seed ^= f->seed << 17;
    wait = wait / 2 + f->seed % (wait / 2 + 1);
    log_complain(f->r, "source", why);
    stream_sse_reset(&f->sse);
    f->lingering = false;
    set_timer(f, wait);
}

/* ---- an upstream ----------------------------------------------------------------------------------------
 */

static void drop(fanout *f) {
    exchange *e = f->e;
    if (!e) return;
    f->e = NULL;
    if (e->u) {
        upstream *u = e->u;
        e->u = NULL;
        upstream_leave(u, false);
    }
    stream_pool_release(e->request);
    free(e);
}

static void ask(fanout *f) {
    relay *r = f->r;
    exchange *e = (exchange *)calloc(1, sizeof *e);
    http_writer w;
    stream_slice last = stream_sse_last_id(&f->sse);
    if (!e || stream_pool_acquire(r->s.pool, 4096, &e->request) != STREAM_OK) {
        free(e);
        later(f, "no memory");
        return;
    }
    e->r = r;
    e->source = true;
    f->e = e;
    http_write_begin(&w, e->request->data, e->request->capacity);
    http_write_request(&w, stream_slice_text("GET"), stream_slice_text(r->to.whole));
    http_write_text(&w, "Host", r->to.host);
    http_write_text(&w, "Accept", "text/event-stream");
    http_write_text(&w, "Accept-Encoding", "identity");
    http_write_text(&w, "Cache-Control", "no-cache");
    if (last.len) http_write_field(&w, "Last-Event-ID", last);
    if (http_write_end(&w) != STREAM_OK) {
        drop(f);
        later(f, "the request cannot be written");
        return;
    }
    e->request_len = w.len;
    e->in_ns = stream_now_ns();
    e->u = upstream_take(r, e);
    if (!e->u) {
        drop(f);
        later(f, "no memory");
        return;
    }
    (void)server_out_put(&e->u->out, stream_pool_retain(e->request), e->request->data, e->request_len,
                         false);
    f->running = true;
    set_timer(f, r->o.connect_ns ? r->o.connect_ns : 5 * second);
    upstream_begin(e->u);
}

void source_connected(exchange *e) {
    upstream_flush(e->u);
    upstream_read(e->u);
}

void source_failed(exchange *e, const char *why) {
    fanout *f = &e->r->fan;
    char text[sizeof e->why];
    snprintf(text, sizeof text, "%s", why);
    e->r->counts.upstream_errors[e->connected_ns ? UPSTREAM_CUT : UPSTREAM_CONNECT]++;
    drop(f);
    later(f, text);
}

void source_read(exchange *e, size_t bytes) {
    relay *r = e->r;
    fanout *f = &r->fan;
    upstream *u = e->u;
    stream_item item;
    stream_status st;
    if (http_feed(&u->http, u->buf->data + u->at, bytes) != STREAM_OK) {
        source_failed(e, "it sends more than one answer");
        return;
    }
    while ((st = http_next(&u->http, &item)) == STREAM_OK) {
        if (item.kind == HTTP_HEAD && u->http.head.status >= 200) {
            stream_slice type = http_field(u->http.head.fields, "content-type"),
                         coding = http_field(u->http.head.fields, "content-encoding");
            type.len = type.len ? stream_find_any(type.ptr, type.len, "; \t", 3) : 0;
            if (u->http.head.status != 200 || !http_same(type, "text/event-stream")) {
                source_failed(e, "it answers with no event stream");
                return;
            }
            if (coding.len && !http_same(coding, "identity")) {
                r->counts.upstream_errors[UPSTREAM_ENCODED]++;
                source_failed(e, "it compresses its events although identity was asked for");
                return;
            }
            e->answered = true;
        } else if (item.kind == HTTP_BODY) {
            take(f, item.ptr, item.len);
        } else if (item.kind == HTTP_DONE) {
            source_failed(e, "it ended");
            return;
        }
    }
    if (st != STREAM_MORE) {
        snprintf(e->why, sizeof e->why, "its answer is refused: %s", u->http.error);
        source_failed(e, e->why);
    } else
        upstream_read(u);
}

/* ---- a child, or standard input -------------------------------------------------------------------------
 */

/* The system had nothing to give: it may have later. */
static bool may_pass(int os_error) {
    return os_error == ENOMEM || os_error == ENOSPC || os_error == ENOBUFS || os_error == EMFILE ||
           os_error == ENFILE;
}

static void read_on(fanout *f) {
    if (!f->reading &&
        stream_io_read(&f->r->s.io, &f->in.op, &f->file, f->input, sizeof f->input) == STREAM_OK)
        f->reading = true;
}

/* It says nothing more, or nobody wants to hear it: with all it has started it is asked to end, and after
   two seconds it is not asked. What is left to be done is done when it has, in source_child_ended. */
static void leave_child(fanout *f) {
    child *c = (child *)f->child;
    stream_io_close(&f->r->s.io, &f->file);
    f->leaving = true;
    child_signal(c, SIGTERM);
    if (stream_io_timer(&f->r->s.io, &f->grace.op, stream_now_ns() + 2 * second) == STREAM_OK)
        f->gracing = true;
    source_child_ended(f); /* it may have, before */
}

/* What it has said on its standard error before it ended; what somebody else goes on to say there is lost.
 */
static void pass_last_words(fanout *f) {
    char text[1024];
    ssize_t n = 1;
    int i;
    if (f->reading_errors)
        for (i = 0; i < 64 && (n = read(f->errors.fd, text, sizeof text)) > 0; i++)
            log_pass(text, (size_t)n);
    stream_io_close(&f->r->s.io, &f->errors);
}

static void grace_done(server_op *op) {
    fanout *f = (fanout *)op->owner;
    f->gracing = false;
    if (op->op.status == STREAM_OK && f->leaving && f->child) child_signal((child *)f->child, SIGKILL);
}

void source_child_ended(fanout *f) {
    child *c = (child *)f->child;
    /* Until its output ends, what it started may be writing there. */
    if (!c || !f->leaving || !child_reap(c)) return;
    pass_last_words(f);
    child_free(c, false); /* what is left of its group is killed */
    if (f->gracing) stream_io_cancel(&f->r->s.io, &f->grace.op);
    free(c);
    f->child = NULL;
    f->leaving = false;
    if (!f->r->retiring) later(f, "the command ended");
}

bool source_end(fanout *f, bool at_once) {
    if (f->child && !f->leaving) leave_child(f);
    if (f->child && at_once) child_signal((child *)f->child, SIGKILL);
    return f->child != NULL;
}

static void input_done(server_op *op) {
    fanout *f = (fanout *)op->owner;
    f->reading = false;
    if (op->op.status == STREAM_CANCELLED) return;
    if (op->op.status == STREAM_OK) {
        take(f, f->input, op->op.bytes);
        read_on(f);
        return;
    }
    if (op->op.status == STREAM_E_IO) {
        log_complain(f->r, "source: reading", strerror(op->op.os_error));
        if (may_pass(op->op.os_error)) {
            f->rereading = true;
            set_timer(f, second / 10);
            return;
        }
        lose(f, "source_failed", "it cannot be read", 0);
    }
    if (f->r->o.standard_input) {
        stream_io_detach(&f->r->s.io, &f->file);
        f->running = false;
        log_complain(f->r, "source", f->complete ? "complete" : "standard input ended");
        if (f->r->o.terminal.count && !f->complete)
            lose(f, "source_incomplete", "it ended without the event that completes it; see --terminal", 0);
        fanout_end(f);
    } else {
        leave_child(f);
    }
}

static void errors_on(fanout *f) {
    if (stream_io_read(&f->r->s.io, &f->in_errors.op, &f->errors, f->error_text, sizeof f->error_text) ==
        STREAM_OK)
        f->reading_errors = true;
}

/* What the child complains of is passed on. */
static void errors_done(server_op *op) {
    fanout *f = (fanout *)op->owner;
    f->reading_errors = false;
    if (op->op.status == STREAM_E_IO)
        log_complain(f->r, "source: reading its standard error", strerror(op->op.os_error));
    if (op->op.status != STREAM_OK) return;
    log_pass(f->error_text, op->op.bytes);
    errors_on(f);
}

static bool run(fanout *f) {
    char *argv[] = {(char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-c", NULL, NULL};
    child *c = (child *)calloc(1, sizeof *c);
    child_desc desc;
    int error;
    argv[2] = (char *)(uintptr_t)f->r->o.exec;
    memset(&desc, 0, sizeof desc);
    desc.argv = argv;
    if (!c || child_start(c, &desc, &error) != CHILD_STARTED) {
        free(c);
        return false;
    }
    f->child = c;
    f->running = true;
    if (stream_io_attach(&f->r->s.io, &f->file, c->out) != STREAM_OK) {
        close(c->out);
        close(c->err);
        leave_child(f);
        return true;
    }
    read_on(f);
    if (stream_io_attach(&f->r->s.io, &f->errors, c->err) == STREAM_OK)
        errors_on(f);
    else
        close(c->err);
    return true;
}

/* ---- */

static void start(fanout *f) {
    if (f->running || f->ended || f->r->retiring) return;
    if (f->r->o.upstream)
        ask(f);
    else if (f->r->o.exec && !run(f))
        later(f, "the command cannot be started");
}

static void timer_done(server_op *op) {
    fanout *f = (fanout *)op->owner;
    const relay *r = f->r;
    uint64_t now = stream_now_ns();
    f->timing = false;
    if (f->r->retiring) return;
    if (f->rereading) {
        f->rereading = false;
        read_on(f);
        return;
    }
    if (f->due_ns > now) {
        set_timer(f, f->due_ns - now);
    } else if (f->e && f->count == 0 && f->lingering) {
        f->lingering = false;
        f->running = false;
        drop(f);
        stream_sse_reset(&f->sse);
    } else if (f->e) { /* its own clocks */
        uint64_t wait = f->e->answered ? r->o.idle_ns : r->o.header_ns, left;
        if (!f->e->connected_ns)
            source_failed(f->e, "no connection in time");
        else if (wait && now - f->e->in_ns >= wait)
            source_failed(f->e, "nothing came in time");
        else {
            left = wait ? wait - (now - f->e->in_ns) : 3600 * second;
            set_timer(f, left);
        }
    } else if (f->count > 0 || !r->o.upstream) {
        start(f);
    }
}

void source_wanted(fanout *f) {
    f->lingering = false;
    if (f->r->o.upstream && !f->running && !f->timing) start(f);
}

void source_unwanted(fanout *f) {
    if (!f->e || f->r->retiring) return;
    f->lingering = true;
    set_timer(f, f->r->o.linger_ns);
}

bool source_init(fanout *f) {
    stream_sse_desc d;
    memset(&d, 0, sizeof d);
    d.max_len = f->r->o.max_event;
    if (stream_sse_init(&f->sse, &d) != STREAM_OK) return false;
    server_op_init(&f->in, input_done, f);
    server_op_init(&f->in_errors, errors_done, f);
    server_op_init(&f->timer, timer_done, f);
    server_op_init(&f->grace, grace_done, f);
    if (f->r->o.standard_input) {
        if (stream_io_attach(&f->r->s.io, &f->file, STDIN_FILENO) != STREAM_OK) return false;
        f->running = true;
        read_on(f);
        return true;
    }
    return f->r->o.upstream || run(f);
}

void source_free(fanout *f) {
    child *c = (child *)f->child;
    drop(f);
    if (c) { /* only when the loop itself has failed */
        siginfo_t ended;
        child_signal(c, SIGKILL);
        while (waitid(P_PID, (id_t)c->pid, &ended, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
        }
        child_reap(c);
        child_free(c, false);
        free(c);
    }
    stream_sse_free(&f->sse);
}
