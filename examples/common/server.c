/* SPDX-License-Identifier: MIT-0 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/tcp.h> /* netinet's has no tcpi_bytes_acked */
#else
#include <netinet/tcp.h>
#endif

enum {
    READ_SIZE = 32768,
    REPLY_MAX = 16384,
    HEAD_ROOM = 320,     /* status line, Date, Server, Connection, framing */
    SPARE = 64,          /* connections above the limit that are still told so */
    LINGER_MAX = 1 << 18 /* bytes a client may go on sending after it was answered */
};

static const uint64_t second = UINT64_C(1000000000);

const char *server_reason_text(server_reason reason) {
    static const char *const text[SERVER_REASONS] = {
        "done",        "client_left", "reset",    "bad_request", "idle",     "slow_request",
        "slow_client", "policy",      "upstream", "drained",     "no_memory"};
    return (unsigned)reason < SERVER_REASONS ? text[reason] : "unknown";
}

void server_op_init(server_op *op, void (*done)(server_op *op), void *owner) {
    memset(op, 0, sizeof *op);
    op->op.user = op;
    op->done = done;
    op->owner = owner;
}

/* ---- output ---------------------------------------------------------------------------------------------
 */

stream_status server_out_put(server_out *out, stream_pool_buf *buf, const void *ptr, size_t len,
                             bool chunk) {
    server_part *p;
    if (out->count == SERVER_PARTS || len == 0) {
        stream_pool_release(buf);
        return len ? STREAM_FULL : STREAM_OK;
    }
    p = &out->part[(out->first + out->count++) % SERVER_PARTS];
    p->buf = buf;
    p->body = stream_slice_of(ptr, len);
    p->head_len = chunk ? (uint8_t)http_chunk_head(len, p->head) : 0;
    out->bytes += len + (chunk ? p->head_len + sizeof HTTP_CHUNK_TAIL - 1 : 0);
    return STREAM_OK;
}

void server_out_flush(server_out *out, stream_io *io, stream_io_file *file) {
    size_t n = 0;
    unsigned i;
    if (out->flying || out->count == 0) return;
    for (i = 0; i < out->count; i++) {
        server_part *p = &out->part[(out->first + i) % SERVER_PARTS];
        if (p->head_len) out->flat[n++] = stream_slice_of(p->head, p->head_len);
        out->flat[n++] = p->body;
        if (p->head_len) out->flat[n++] = stream_slice_text(HTTP_CHUNK_TAIL);
    }
    if (stream_io_writev(io, &out->op.op, file, out->flat, n) == STREAM_OK) out->flying = out->count;
}

static size_t out_drop(server_out *out, unsigned n) {
    size_t bytes = 0;
    for (; n > 0; n--) {
        server_part *p = &out->part[out->first];
        bytes += p->body.len + (p->head_len ? p->head_len + sizeof HTTP_CHUNK_TAIL - 1 : 0);
        stream_pool_release(p->buf);
        p->buf = NULL;
        out->first = (out->first + 1) % SERVER_PARTS;
        out->count--;
    }
    out->bytes -= bytes;
    return bytes;
}

size_t server_out_written(server_out *out) {
    unsigned n = out->flying;
    out->flying = 0;
    return out_drop(out, n);
}

void server_out_clear(server_out *out) {
    out->flying = 0;
    out_drop(out, out->count);
}

/* ---- connections ----------------------------------------------------------------------------------------
 */

static void touch(server_conn *c) {
    if (c->dirty) return;
    c->dirty = true;
    c->dirty_next = c->server->dirty;
    c->server->dirty = c;
}

static void release_input(server_conn *c) {
    stream_pool_release(c->input);
    c->input = NULL;
}

/* When nothing of it is in flight any more it is freed, by server_run, when nobody stands on it. */
static void doom(server_conn *c) {
    if (!c->closing || c->doomed || c->reading || c->timing || c->writing_on || c->dirty) return;
    c->doomed = true;
    c->dead_next = c->server->dead;
    c->server->dead = c;
}

static void accept_more(server_listener *l);

static void unlist(server_conn **list, server_conn *c) {
    if (c->prev)
        c->prev->next = c->next;
    else
        *list = c->next;
    if (c->next) c->next->prev = c->prev;
}

static void enlist(server_conn **list, server_conn *c) {
    c->prev = NULL;
    c->next = *list;
    if (c->next) c->next->prev = c;
    *list = c;
}

static void destroy(server_conn *c) {
    unlist(&c->server->leaving, c);
    server_out_clear(&c->out);
    release_input(c);
    stream_pool_release(c->head);
    http_free(&c->http);
    free(c);
}

static void leave(server_conn *c, server_reason reason, bool at_once) {
    server *s = c->server;
    unsigned i;
    if (c->closing) return;
    c->closing = true;
    if (s->handler.closed) s->handler.closed(c, reason);
    s->closed[reason]++;
    s->active--;
    unlist(&s->conns, c);
    enlist(&s->leaving, c);
    if (at_once) {
        struct linger none = {1, 0}; /* what the system holds goes as well */
        (void)setsockopt(c->file.fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    }
    stream_io_close(&s->io, &c->file);
    if (c->timing) stream_io_cancel(&s->io, &c->timer.op);
    touch(c); /* seen to by server_run */
    for (i = 0; i < s->listening; i++) accept_more(&s->listeners[i]);
}

void server_abort(server_conn *c, server_reason reason) { leave(c, reason, true); }

static uint64_t earlier(uint64_t a, uint64_t b) { return a == 0 || (b != 0 && b < a) ? b : a; }

static void arm(server_conn *c) {
    uint64_t next = earlier(earlier(c->input_ns, c->output_ns), c->user_ns);
    if (c->closing || next == 0) return;
    if (c->timing) {
        /* One that is early is harmless: it looks again. */
        if (c->armed_ns > next) {
            c->armed_ns = 0;
            stream_io_cancel(&c->server->io, &c->timer.op);
        }
        return;
    }
    c->armed_ns = next;
    if (stream_io_timer(&c->server->io, &c->timer.op, next) == STREAM_OK) c->timing = true;
}

void server_timer(server_conn *c, uint64_t when_ns) {
    c->user_ns = when_ns;
    arm(c);
}

static void input_clock(server_conn *c, uint64_t wait_ns) {
    c->input_ns = wait_ns ? c->server->now_ns + wait_ns : 0;
    arm(c);
}

/* Bytes the other end has acknowledged, if the system tells; 0: it does not. */
static uint64_t acknowledged(const server_conn *c) {
#if defined(__linux__)
    struct tcp_info info;
    socklen_t len = sizeof info;
    memset(&info, 0, sizeof info);
    if (getsockopt(c->file.fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0) return info.tcpi_bytes_acked;
#else
    (void)c;
#endif
    return 0;
}

static void output_clock(server_conn *c) {
    c->output_ns = c->out.count ? c->server->now_ns + c->server->desc.send_ns : 0;
    if (c->output_ns) arm(c);
}

static void timer_done(server_op *op) {
    server_conn *c = (server_conn *)op->owner;
    server *s = c->server;
    uint64_t now = s->now_ns;
    c->timing = false;
    if (c->closing) {
        doom(c);
        return;
    }
    if (c->user_ns && c->user_ns <= now) {
        c->user_ns = 0;
        if (s->handler.timer) s->handler.timer(c);
    }
    if (!c->closing && c->output_ns && c->output_ns <= now) {
        uint64_t acked = acknowledged(c);
        if (acked > c->acked) {
            c->acked = acked;
            output_clock(c);
        } else {
            leave(c, SERVER_SLOW_CLIENT, true);
        }
    }
    if (!c->closing && c->input_ns && c->input_ns <= now) {
        c->input_ns = 0;
        if (c->lingering)
            leave(c, c->reason, false);
        else if (!c->in_request && http_idle(&c->http))
            leave(c, SERVER_IDLE, false);
        else if (c->status)
            leave(c, SERVER_SLOW_REQUEST, false);
        else {
            c->reason = SERVER_SLOW_REQUEST;
            server_reply(c, 408, "text/plain", stream_slice_text("The request did not come in time.\n"));
        }
    }
    arm(c);
}

static void listen_to(server_conn *c);
static void decode(server_conn *c);

static bool loan_used_up(const server_conn *c) { return c->http.scanned >= c->fed; }

/* The response is written. */
static void finish(server_conn *c) {
    server *s = c->server;
    bool truncated = c->reason == SERVER_UPSTREAM;
    if (c->in_request && !truncated && s->handler.answered) s->handler.answered(c);
    if (c->closing) return;
    if (c->keep_alive && !s->draining && c->received) {
        c->ending = c->in_request = c->received = c->in_body = c->paused = false;
        c->status = 0;
        c->user_ns = 0;
        input_clock(c, s->desc.idle_ns);
        decode(c);
        return;
    }
    if (c->keep_alive && s->draining && c->reason == SERVER_DONE) c->reason = SERVER_DRAINED;
    if (truncated && c->framing == SERVER_CLOSE) { /* else it would look whole */
        leave(c, c->reason, true);
    } else if (c->received && loan_used_up(c)) {
        leave(c, c->reason, false);
    } else {
        /* Closing while the client still sends would make the system reset the connection, and the answer
           might be lost on its way. */
        c->lingering = true;
        c->paused = false;
        (void)shutdown(c->file.fd, SHUT_WR);
        release_input(c);
        input_clock(c, 2 * second);
        listen_to(c);
    }
}

static void written(server_op *op) {
    server_conn *c = (server_conn *)op->owner;
    server *s = c->server;
    c->writing_on = false;
    if (c->closing) {
        doom(c);
        return;
    }
    if (op->op.status != STREAM_OK) {
        leave(c, SERVER_RESET, true);
        return;
    }
    {
        size_t n = server_out_written(&c->out);
        c->bytes_out += n;
        s->bytes_out += n;
    }
    output_clock(c);
    touch(c);
    if (!c->ending && s->handler.room) s->handler.room(c);
}

static void refuse(server_conn *c) {
    char field[40];
    int n = snprintf(field, sizeof field, "Retry-After: %u\r\n", 1 + (unsigned)(c->id * 7 % 5));
    c->keep_alive = false;
    c->server->refused++;
    server_reply_with(c, 503, "text/plain", stream_slice_of(field, (size_t)n),
                      stream_slice_text("Too many connections.\n"));
}

static void begin_request(server_conn *c) {
    server *s = c->server;
    c->in_request = true;
    c->requests++;
    s->requests++;
    c->keep_alive = c->http.head.keep_alive && !s->draining;
    c->head_only = http_same(c->http.head.method, "HEAD");
    c->in_body = c->http.head.framing == HTTP_CHUNKED ||
                 (c->http.head.framing == HTTP_LENGTH && c->http.head.length);
    c->framing = SERVER_NO_BODY;
    if (s->active > s->desc.max_connections) {
        refuse(c);
    } else {
        bool waits = c->http.head.expect_continue && c->in_body;
        if (s->handler.head) s->handler.head(c);
        if (waits && !c->closing && !c->status && !c->ending) {
            static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
            (void)server_send(c, NULL, go_on, sizeof go_on - 1);
        }
    }
}

/* What has come, item by item, as long as somebody wants it. */
static void decode(server_conn *c) {
    server *s = c->server;
    if (c->decoding) return;
    c->decoding = true;
    while (!c->closing && !c->paused && !c->lingering && !c->received && !c->upgraded) {
        stream_item item;
        stream_status st = http_next(&c->http, &item);
        if (st == STREAM_MORE || st == STREAM_END) break;
        if (st != STREAM_OK) {
            c->received = true;
            c->keep_alive = false;
            c->reason = SERVER_BAD_REQUEST;
            if (c->status)
                server_close(c, SERVER_BAD_REQUEST);
            else if (!c->ending) {
                c->in_request = true;
                c->received = false; /* more of it may be on the way */
                server_reply(c, c->http.status, "text/plain", stream_slice_text(c->http.error));
            }
            break;
        }
        if (item.kind == HTTP_HEAD)
            begin_request(c);
        else if (item.kind == HTTP_BODY && !c->ending && s->handler.body)
            s->handler.body(c, c->input, stream_slice_of(item.ptr, item.len));
        else if (item.kind == HTTP_DONE) {
            c->received = true;
            c->in_body = false;
            c->input_ns = 0;
            if (!c->ending && !c->closing && s->handler.request) s->handler.request(c);
        }
    }
    c->decoding = false;
    if (c->closing) return;
    if (c->upgraded) {
        if (c->in_request) { /* just now: what follows the head */
            stream_slice rest = http_rest(&c->http);
            c->in_request = false;
            c->fed = c->http.scanned;
            c->input_ns = 0;
            if (rest.len && s->handler.data) s->handler.data(c, (char *)(uintptr_t)rest.ptr, rest.len);
            if (c->closing) return;
        }
    }
    if (loan_used_up(c)) release_input(c);
    listen_to(c);
}

static void received(server_op *op) {
    server_conn *c = (server_conn *)op->owner;
    server *s = c->server;
    char *data = c->input ? c->input->data : c->bytes;
    size_t n = op->op.bytes;
    bool polled = c->polling;
    c->reading = c->polling = false;
    if (c->closing) {
        doom(c);
        return;
    }
    if (polled) { /* only to hear of the end */
        if (op->op.status == STREAM_CANCELLED)
            listen_to(c);
        else
            leave(c, SERVER_RESET, true);
        return;
    }
    if (op->op.status == STREAM_END && s->desc.half_close && c->received && c->in_request && !c->lingering) {
        c->half = true;
        c->keep_alive = false;
        listen_to(c);
        return;
    }
    if (op->op.status != STREAM_OK) {
        server_reason reason = op->op.status == STREAM_END ? SERVER_CLIENT_LEFT : SERVER_RESET;
        leave(c, c->lingering ? c->reason : reason, op->op.status != STREAM_END);
        return;
    }
    c->bytes_in += n;
    s->bytes_in += n;
    if (c->lingering) {
        c->lingered += n;
        if (c->lingered > LINGER_MAX)
            leave(c, c->reason, true);
        else
            listen_to(c);
        return;
    }
    c->was_full = n == c->asked;
    if (c->upgraded) {
        c->decoding = true;
        if (s->handler.data) s->handler.data(c, data, n);
        c->decoding = false;
        release_input(c);
        if (!c->closing) listen_to(c);
        return;
    }
    if (!c->in_request && http_idle(&c->http))
        input_clock(c, s->desc.head_ns);
    else if (c->in_body)
        input_clock(c, s->desc.body_ns);
    c->fed += n;
    if (http_feed(&c->http, data, n) !=
        STREAM_OK) { /* cannot be: nothing is read before the loan is used up */
        leave(c, SERVER_BAD_REQUEST, true);
        return;
    }
    decode(c);
}

/* Reads on, if that is wanted and not under way. */
static void listen_to(server_conn *c) {
    server *s = c->server;
    bool wanted = c->lingering || (!c->paused && !c->half && (c->upgraded || loan_used_up(c)));
    stream_status st;
    if (c->closing) return;
    if (c->reading) { /* comes out cancelled, and we are here again */
        if (c->polling && wanted) stream_io_cancel(&s->io, &c->in.op);
        return;
    }
    c->polling = !wanted;
    if (!wanted) {
        st = stream_io_poll(&s->io, &c->in.op, &c->file, 0);
    } else {
        char *data = c->bytes;
        c->asked = sizeof c->bytes;
        if (c->was_full && (c->in_body || c->upgraded) && !c->lingering &&
            stream_pool_acquire(s->pool, s->desc.read_size, &c->input) == STREAM_OK) {
            data = c->input->data;
            c->asked = s->desc.read_size;
        }
        st = stream_io_read(&s->io, &c->in.op, &c->file, data, c->asked);
    }
    if (st == STREAM_OK) c->reading = true;
}

void server_pause(server_conn *c) {
    c->paused = true;
    c->input_ns = 0;
}

void server_resume(server_conn *c) {
    if (!c->paused || c->closing) return;
    c->paused = false;
    if (c->in_body) input_clock(c, c->server->desc.body_ns);
    if (c->decoding) return;
    if (c->upgraded)
        listen_to(c);
    else
        decode(c);
}

/* ---- answering ------------------------------------------------------------------------------------------
 */

unsigned server_room(const server_conn *c) { return SERVER_PARTS - c->out.count; }

static stream_status put(server_conn *c, stream_pool_buf *buf, const void *ptr, size_t len, bool chunk) {
    stream_status st;
    bool was_empty = c->out.count == 0;
    if (c->closing) {
        stream_pool_release(buf);
        return STREAM_E_STATE;
    }
    st = server_out_put(&c->out, buf, ptr, len, chunk);
    if (was_empty) output_clock(c);
    touch(c);
    return st;
}

stream_status server_send(server_conn *c, stream_pool_buf *buf, const void *ptr, size_t len) {
    return put(c, buf, ptr, len, false);
}

stream_status server_body(server_conn *c, stream_pool_buf *buf, const void *ptr, size_t len) {
    if (c->head_only || c->framing == SERVER_NO_BODY || c->ending) {
        stream_pool_release(buf);
        return c->ending ? STREAM_E_STATE : STREAM_OK;
    }
    return put(c, buf, ptr, len, c->framing == SERVER_CHUNKED);
}

bool server_begin(server_conn *c, http_writer *w, int status, size_t room) {
    server *s = c->server;
    if (c->closing || c->head || stream_pool_acquire(s->pool, HEAD_ROOM + room, &c->head) != STREAM_OK) {
        server_abort(c, SERVER_NO_MEMORY);
        return false;
    }
    c->status = status;
    http_write_begin(w, c->head->data, c->head->capacity);
    http_write_response(w, status, NULL);
    if (s->date_at != s->now_ns / second) {
        s->date_at = s->now_ns / second;
        http_date((uint64_t)time(NULL), s->date);
    }
    http_write_field(w, "Date", stream_slice_of(s->date, sizeof s->date));
    if (s->desc.name) http_write_text(w, "Server", s->desc.name);
    return true;
}

void server_begin_body(server_conn *c, http_writer *w, uint64_t length) {
    stream_pool_buf *head = c->head;
    bool no_body = c->status < 200 || c->status == 204 || c->status == 304;
    bool tells_one =
        c->http.head.minor > 0 || c->http.status; /* what was not understood is answered in 1.1 */
    c->framing = no_body                ? SERVER_NO_BODY
                 : length != UINT64_MAX ? SERVER_LENGTH
                 : tells_one            ? SERVER_CHUNKED
                                        : SERVER_CLOSE;
    /* A body that is still coming, of a request that is answered already, is not read to its end. */
    if (c->server->draining || c->framing == SERVER_CLOSE) c->keep_alive = false;
    if (c->framing == SERVER_LENGTH)
        http_write_number(w, "Content-Length", length);
    else if (c->framing == SERVER_CHUNKED)
        http_write_text(w, "Transfer-Encoding", "chunked");
    if (!c->keep_alive)
        http_write_text(w, "Connection", "close");
    else if (c->http.head.minor == 0)
        http_write_text(w, "Connection", "keep-alive");
    c->head = NULL;
    if (http_write_end(w) != STREAM_OK || put(c, head, head->data, w->len, false) != STREAM_OK)
        server_abort(c, SERVER_NO_MEMORY);
}

void server_reply_with(server_conn *c, int status, const char *type, stream_slice fields,
                       stream_slice body) {
    http_writer w;
    stream_slice name, value;
    if (c->in_body || c->status) c->keep_alive = false;
    if (body.len > REPLY_MAX || !server_begin(c, &w, status, fields.len + 128 + body.len)) return;
    while (http_field_next(&fields, &name, &value)) {
        char field[64];
        if (name.len >= sizeof field) continue;
        memcpy(field, name.ptr, name.len);
        field[name.len] = '\0';
        http_write_field(&w, field, value);
    }
    if (type) http_write_text(&w, "Content-Type", type);
    {
        stream_pool_buf *head = c->head;
        size_t len;
        server_begin_body(c, &w, body.len);
        if (c->closing) return;
        len = w.len;
        if (c->framing == SERVER_LENGTH && !c->head_only && body.len <= head->capacity - len && body.len) {
            /* Behind the head, in the same buffer: it is not on its way before we return to server_run. */
            server_part *p = &c->out.part[(c->out.first + c->out.count - 1) % SERVER_PARTS];
            memcpy(head->data + len, body.ptr, body.len);
            p->body.len += body.len;
            c->out.bytes += body.len;
        }
    }
    server_end(c);
}

void server_reply(server_conn *c, int status, const char *type, stream_slice body) {
    server_reply_with(c, status, type, stream_slice_of(NULL, 0), body);
}

void server_end(server_conn *c) {
    static const char last[] = HTTP_CHUNK_LAST;
    if (c->closing || c->ending) return;
    if (c->framing == SERVER_CHUNKED && !c->head_only &&
        put(c, NULL, last, sizeof last - 1, false) == STREAM_FULL) {
        c->want_last = true; /* goes when there is room */
    }
    if (c->in_body) c->keep_alive = false;
    c->ending = true;
    touch(c);
}

void server_upgrade(server_conn *c) {
    c->upgraded = true;
    c->keep_alive = false;
    c->status = 101;
}

void server_close(server_conn *c, server_reason reason) {
    if (c->closing) return;
    c->keep_alive = false;
    if (!c->ending) c->reason = reason;
    c->ending = true;
    touch(c);
}

/* ---- listening ------------------------------------------------------------------------------------------
 */

static void set_int(int fd, int level, int name, int value) {
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

static void tune(server *s, int fd) {
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
#ifdef TCP_KEEPIDLE
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 15);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
#endif
#ifdef TCP_USER_TIMEOUT
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)(s->desc.send_ns / 1000000));
#endif
#ifdef TCP_NOTSENT_LOWAT
    set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, (int)s->desc.unsent);
#endif
}

static void welcome(server *s, unsigned listener, int fd) {
    server_conn *c = (server_conn *)calloc(1, sizeof *c);
    http_desc desc;
    if (!c || stream_io_attach(&s->io, &c->file, fd) != STREAM_OK) {
        free(c);
        close(fd);
        s->refused++;
        return;
    }
    memset(&desc, 0, sizeof desc);
    desc.max_head = s->desc.max_head;
    desc.max_body = s->desc.max_body;
    (void)http_init(&c->http, &desc);
    tune(s, fd);
    server_op_init(&c->in, received, c);
    server_op_init(&c->timer, timer_done, c);
    server_op_init(&c->out.op, written, c);
    c->server = s;
    c->id = ++s->next_id;
    c->listener = listener;
    c->opened_ns = s->now_ns;
    enlist(&s->conns, c);
    s->active++;
    s->accepted++;
    input_clock(c, s->desc.head_ns);
    listen_to(c);
}

static void accepted(server_op *op) {
    server_listener *l = (server_listener *)op->owner;
    l->accepting = false;
    if (op->op.status == STREAM_OK) {
        if (l->server->draining)
            close(op->op.fd);
        else
            welcome(l->server, (unsigned)(l - l->server->listeners), op->op.fd);
    } else if (op->op.status == STREAM_E_IO) {
        /* No descriptor, no memory: what waits in the queue is asked for again in a while. */
        if (!l->retrying &&
            stream_io_timer(&l->server->io, &l->retry.op, l->server->now_ns + second / 10) == STREAM_OK)
            l->retrying = true;
        return;
    }
    accept_more(l);
}

static void retried(server_op *op) {
    server_listener *l = (server_listener *)op->owner;
    l->retrying = false;
    accept_more(l);
}

static void accept_more(server_listener *l) {
    server *s = l->server;
    if (l->accepting || l->retrying || s->draining || l->file.fd < 0) return;
    if (s->active >= s->desc.max_connections + SPARE) return; /* until one leaves */
    if (stream_io_accept(&s->io, &l->accept.op, &l->file) == STREAM_OK) l->accepting = true;
}

static int open_socket(int family) {
    int fd = socket(family, SOCK_STREAM, 0);
    if (fd >= 0) (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

static const char *add_listener(server *s, int fd, const char *unix_path) {
    server_listener *l = &s->listeners[s->listening];
    if (listen(fd, 1024) != 0 || stream_io_attach(&s->io, &l->file, fd) != STREAM_OK) {
        close(fd);
        return "cannot listen there";
    }
    l->server = s;
    l->unix_path = unix_path ? strdup(unix_path) : NULL;
    server_op_init(&l->accept, accepted, l);
    server_op_init(&l->retry, retried, l);
    s->listening++;
    accept_more(l);
    return NULL;
}

static const char *listen_unix(server *s, stream_slice path) {
    struct sockaddr_un a;
    struct stat st;
    int fd;
    memset(&a, 0, sizeof a);
    a.sun_family = AF_UNIX;
    if (path.len >= sizeof a.sun_path) return "the socket's path is too long";
    memcpy(a.sun_path, path.ptr, path.len);
    fd = open_socket(AF_UNIX);
    if (fd < 0) return "no socket to be had";
    /* One that somebody left behind is taken away; one that somebody answers at is not. */
    if (lstat(a.sun_path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        if (connect(fd, (const struct sockaddr *)(const void *)&a, sizeof a) == 0) {
            close(fd);
            return "somebody is listening there";
        }
        if (errno == ECONNREFUSED) (void)unlink(a.sun_path);
        close(fd);
        fd = open_socket(AF_UNIX);
        if (fd < 0) return "no socket to be had";
    }
    if (bind(fd, (const struct sockaddr *)(const void *)&a, sizeof a) != 0) {
        const char *text = errno == EADDRINUSE ? "there is a file of that name" : "cannot make the socket";
        close(fd);
        return text;
    }
    return add_listener(s, fd, a.sun_path);
}

static unsigned port_of(int fd) {
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    if (getsockname(fd, (struct sockaddr *)(void *)&a, &len) != 0) return 0;
    if (a.ss_family == AF_INET) return ntohs(((const struct sockaddr_in *)(const void *)&a)->sin_port);
    if (a.ss_family == AF_INET6) return ntohs(((const struct sockaddr_in6 *)(const void *)&a)->sin6_port);
    return 0;
}

const char *server_listen(server *s, const char *address) {
    http_address a;
    struct addrinfo hints, *found = NULL, *one;
    char host[256] = "127.0.0.1", port[8];
    int failed;
    stream_slice text = stream_slice_text(address);
    /* Port 0 is none that could be written anywhere but here. */
    bool any = text.len > 2 && memcmp(text.ptr + text.len - 2, ":0", 2) == 0;
    const char *error = http_address_parse(stream_slice_of(text.ptr, text.len - (any ? 2 : 0)), &a);
    if (error) return error;
    if (!a.unix_path.ptr && !any && !a.port) return "the port is missing";
    if (s->listening == SERVER_LISTENERS) return "too many addresses to listen at";
    if (a.unix_path.ptr) return listen_unix(s, a.unix_path);
    if (a.host.len >= sizeof host) return "the host's name is too long";
    if (a.host.len) {
        memcpy(host, a.host.ptr, a.host.len);
        host[a.host.len] = '\0';
    }
    snprintf(port, sizeof port, "%u", a.port);
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE;
    failed = getaddrinfo(host, port, &hints, &found);
    if (failed != 0) return failed == EAI_NONAME ? "there is no such host" : gai_strerror(failed);
    error = "cannot listen there";
    for (one = found; one && error; one = one->ai_next) {
        int fd = open_socket(one->ai_family);
        if (fd < 0) continue;
        set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (one->ai_family == AF_INET6) set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        if (bind(fd, one->ai_addr, one->ai_addrlen) != 0) {
            if (errno == EADDRINUSE)
                error = "somebody is listening there";
            else if (errno == EADDRNOTAVAIL)
                error = "this machine has no such address";
            else if (errno == EACCES)
                error = "no permission to listen at that port";
            close(fd);
            continue;
        }
        error = add_listener(s, fd, NULL);
        if (!error && (s->listeners[s->listening - 1].port = port_of(fd)) == 0)
            error = "the system does not tell the port";
    }
    freeaddrinfo(found);
    return error;
}

unsigned server_port(const server *s, unsigned listener) {
    return listener < s->listening ? s->listeners[listener].port : 0;
}

void server_peer(const server_conn *c, char text[64]) {
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    memcpy(text, "unix", sizeof "unix");
    if (getpeername(c->file.fd, (struct sockaddr *)(void *)&a, &len) == 0 && a.ss_family != AF_UNIX)
        (void)getnameinfo((const struct sockaddr *)(const void *)&a, len, text, 64, NULL, 0,
                          NI_NUMERICHOST);
}

/* ---- the server -----------------------------------------------------------------------------------------
 */

stream_status server_init(server *s, const server_desc *desc) {
    stream_io_desc io;
    stream_status st;
    memset(s, 0, sizeof *s);
    s->desc = *desc;
    s->handler = desc->handler;
    if (!s->desc.max_connections) s->desc.max_connections = 10240;
    if (!s->desc.read_size) s->desc.read_size = READ_SIZE;
    if (!s->desc.unsent) s->desc.unsent = (size_t)128 << 10;
    if (!s->desc.head_ns) s->desc.head_ns = 10 * second;
    if (!s->desc.body_ns) s->desc.body_ns = 30 * second;
    if (!s->desc.idle_ns) s->desc.idle_ns = 60 * second;
    if (!s->desc.send_ns) s->desc.send_ns = 45 * second;
    s->pool = desc->pool;
    if (!s->pool) {
        stream_pool_desc tiers;
        memset(&tiers, 0, sizeof tiers);
        tiers.tiers[0].size = 4096, tiers.tiers[0].count = 1000;
        tiers.tiers[1].size = 16384, tiers.tiers[1].count = 500;
        if (s->desc.read_size > 16384) tiers.tiers[2].size = s->desc.read_size, tiers.tiers[2].count = 500;
        st = stream_pool_init(&s->own_pool, &tiers);
        if (st != STREAM_OK) return st;
        s->pool = &s->own_pool;
    }
    memset(&io, 0, sizeof io);
    io.backends = desc->backends;
    st = stream_io_init(&s->io, &io);
    if (st != STREAM_OK) {
        stream_pool_free(&s->own_pool);
        memset(s, 0, sizeof *s);
        return st;
    }
    s->now_ns = stream_now_ns();
    s->date_at = UINT64_MAX;
    return STREAM_OK;
}

static void reap(server *s) {
    while (s->dead) {
        server_conn *c = s->dead;
        s->dead = c->dead_next;
        destroy(c);
    }
}

/* What handlers and arrivals left to be done for connections. */
static void settle(server *s) {
    while (s->dirty) {
        server_conn *c = s->dirty;
        s->dirty = c->dirty_next;
        c->dirty = false;
        if (c->closing) {
            doom(c);
            continue;
        }
        if (c->want_last && c->out.count < SERVER_PARTS) {
            static const char last[] = HTTP_CHUNK_LAST;
            c->want_last = false;
            (void)server_out_put(&c->out, NULL, last, sizeof last - 1, false);
        }
        if (!c->writing_on && c->out.count) {
            server_out_flush(&c->out, &s->io, &c->file);
            c->writing_on = c->out.flying > 0;
        }
        if (c->ending && !c->lingering && c->out.count == 0) finish(c);
    }
    reap(s);
}

void server_free(server *s) {
    unsigned i;
    if (!s->pool) return;
    while (s->conns) leave(s->conns, SERVER_DRAINED, false);
    /* The operations never come out: what they stood in is ours at once. */
    stream_io_free(&s->io);
    while (s->leaving) destroy(s->leaving);
    for (i = 0; i < s->listening; i++) {
        server_listener *l = &s->listeners[i];
        if (l->unix_path) (void)unlink(l->unix_path);
        free(l->unix_path);
    }
    stream_pool_free(&s->own_pool);
    memset(s, 0, sizeof *s);
}

static void take(server *s, stream_io_op *op) {
    server_op *o = (server_op *)op->user;
    o->done(o);
    settle(s);
}

void server_take(server *s, stream_io_op *op) {
    s->now_ns = stream_now_ns();
    take(s, op);
}

void server_settle(server *s) { settle(s); }

stream_status server_run(server *s, uint64_t timeout_ns) {
    stream_status st;
    stream_io_op *op;
    settle(s); /* what was asked for between two calls */
    st = stream_io_wait(&s->io, timeout_ns);
    s->now_ns = stream_now_ns();
    while ((op = stream_io_next(&s->io)) != NULL) take(s, op);
    return st;
}

void server_drain(server *s) {
    server_conn *c, *next;
    unsigned i;
    s->draining = true;
    for (i = 0; i < s->listening; i++) stream_io_close(&s->io, &s->listeners[i].file);
    for (c = s->conns; c; c = next) {
        next = c->next;
        if (!c->in_request && !c->upgraded && http_idle(&c->http)) leave(c, SERVER_DRAINED, false);
    }
}
