/* SPDX-License-Identifier: MIT-0 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay.h"

enum { LEAST_READ = 2048 }; /* less room than that behind held bytes: another buffer */

const char *target_resolve(target *t, const char *url) {
    http_url u;
    struct addrinfo hints, *found = NULL, *one;
    char host[256], port[8];
    size_t n;
    const char *error = http_url_parse(stream_slice_text(url), &u);
    target fresh;
    if (error) return error;
    memset(&fresh, 0, sizeof fresh);
    fresh.url = url;
    n = u.target.len;
    while (n > 0 && u.target.ptr[n - 1] == '/') n--;
    if (u.authority.len >= sizeof fresh.host || n >= sizeof fresh.prefix) return "it is too long";
    fresh.has_query = memchr(u.target.ptr, '?', n) != NULL;
    memcpy(fresh.host, u.authority.ptr, u.authority.len);
    memcpy(fresh.prefix, u.target.ptr, n);
    if (u.target.len >= sizeof fresh.whole) return "it is too long";
    memcpy(fresh.whole, u.target.ptr, u.target.len);
    if (u.address.unix_path.ptr) {
        struct sockaddr_un a;
        memset(&a, 0, sizeof a);
        a.sun_family = AF_UNIX;
        if (u.address.unix_path.len >= sizeof a.sun_path) return "the socket's path is too long";
        memcpy(a.sun_path, u.address.unix_path.ptr, u.address.unix_path.len);
        memcpy(&fresh.address[0], &a, sizeof a);
        fresh.address_len[0] = sizeof a;
        fresh.count = 1;
        *t = fresh;
        return NULL;
    }
    if (u.address.host.len >= sizeof host) return "the host's name is too long";
    memcpy(host, u.address.host.ptr, u.address.host.len);
    host[u.address.host.len] = '\0';
    snprintf(port, sizeof port, "%u", u.address.port);
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host, port, &hints, &found) != 0) return "there is no such host";
    for (one = found; one && fresh.count < MAX_ADDRESSES; one = one->ai_next) {
        memcpy(&fresh.address[fresh.count], one->ai_addr, one->ai_addrlen);
        fresh.address_len[fresh.count++] = one->ai_addrlen;
    }
    freeaddrinfo(found);
    *t = fresh;
    return NULL;
}

static void unlist(upstream *u, upstream **list) {
    if (u->prev)
        u->prev->next = u->next;
    else
        *list = u->next;
    if (u->next) u->next->prev = u->prev;
    u->next = u->prev = NULL;
}

static void enlist(upstream *u, upstream **list) {
    u->next = *list;
    u->prev = NULL;
    if (u->next) u->next->prev = u;
    *list = u;
}

static void let_go_buffer(upstream *u) {
    stream_pool_release(u->buf);
    u->buf = NULL;
    u->at = 0;
}

/* Freed when nothing of it is in flight. It is in no list then. */
static void drop(upstream *u) {
    if (!u->closing || u->reading || u->connecting || u->writing || u->timing) return;
    unlist(u, &u->r->busy);
    server_out_clear(&u->out);
    let_go_buffer(u);
    http_free(&u->http);
    free(u);
}

static void close_it(upstream *u) {
    if (u->closing) return;
    u->closing = true;
    u->e = NULL;
    stream_io_close(&u->r->s.io, &u->file);
    if (u->timing) stream_io_cancel(&u->r->s.io, &u->timer.op);
    drop(u);
}

static void connect_next(upstream *u);

static void connect_done(server_op *op) {
    upstream *u = (upstream *)op->owner;
    u->connecting = false;
    if (u->closing) {
        drop(u);
        return;
    }
    if (op->op.status != STREAM_OK) {
        u->os_error = op->op.os_error;
        stream_io_close(&u->r->s.io, &u->file);
        connect_next(u);
        return;
    }
    u->connected = true;
    u->r->counts.connects++;
    exchange_connected(u->e);
}

/* The addresses one after the other. */
static void connect_next(upstream *u) {
    relay *r = u->r;
    while (u->tried < r->to.count) {
        unsigned i = u->tried++;
        const struct sockaddr *a = (const struct sockaddr *)(const void *)&r->to.address[i];
        int one = 1, fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            u->os_error = errno;
            continue;
        }
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
        u->address = r->to.address[i];
        if (stream_io_attach(&r->s.io, &u->file, fd) != STREAM_OK) {
            u->os_error = r->s.io.os_error;
            close(fd);
            continue;
        }
        if (stream_io_connect(&r->s.io, &u->connect.op, &u->file, &u->address, r->to.address_len[i]) ==
            STREAM_OK) {
            u->connecting = true;
            return;
        }
        stream_io_close(&r->s.io, &u->file);
    }
    exchange_unconnected(u->e, u->os_error);
}

static void read_done(server_op *op) {
    upstream *u = (upstream *)op->owner;
    stream_status st = op->op.status;
    bool polled = u->polling;
    u->reading = u->polling = false;
    if (u->closing) {
        drop(u);
        return;
    }
    if (polled && st == STREAM_OK && u->e) {
        u->quiet = false;
        upstream_read(u);
        return;
    }
    if (st == STREAM_CANCELLED) { /* hushed, or stopped: it is read again when it is asked for */
        if (u->e && !u->stopped) upstream_read(u);
        return;
    }
    if (!u->e) { /* idle, and it has something to say: that cannot be an answer */
        unlist(u, &u->r->idle);
        u->r->idle_count--;
        enlist(u, &u->r->busy);
        close_it(u);
        return;
    }
    if (st == STREAM_OK)
        exchange_read(u->e, op->op.bytes);
    else
        exchange_ended(u->e, st == STREAM_END ? 0 : op->op.os_error);
}

void upstream_read(upstream *u) {
    relay *r = u->r;
    exchange *e = u->e;
    stream_status st;
    if (u->closing || u->reading || u->stopped || !u->connected) return;
    if (u->quiet) {
        if (!e || e->to == e->from) let_go_buffer(u);
        st = stream_io_poll(&r->s.io, &u->in.op, &u->file, STREAM_IO_READABLE);
        u->reading = u->polling = st == STREAM_OK;
        return;
    }
    if (e && e->to > e->from) { /* the beginning of an event is in it */
        if (u->buf->capacity - e->to < LEAST_READ) {
            stream_pool_buf *fresh;
            size_t held = e->to - e->from;
            if (stream_pool_acquire(r->s.pool, r->o.chunk, &fresh) != STREAM_OK) {
                exchange_ended(e, ENOMEM);
                return;
            }
            memcpy(fresh->data, u->buf->data + e->from, held);
            stream_pool_release(u->buf);
            u->buf = fresh;
            e->done -= e->from;
            e->from = 0;
            e->to = held;
        }
        u->at = e->to;
    } else {
        if (u->buf && stream_pool_refs(u->buf) > 1) let_go_buffer(u);
        if (!u->buf && stream_pool_acquire(r->s.pool, r->o.chunk, &u->buf) != STREAM_OK) {
            u->buf = NULL;
            exchange_ended(e, ENOMEM);
            return;
        }
        if (e) e->from = e->to = e->done = 0;
        u->at = 0;
    }
    {
        size_t room = u->buf->capacity - u->at;
        st = stream_io_read(&r->s.io, &u->in.op, &u->file, u->buf->data + u->at,
                            room < r->o.chunk ? room : r->o.chunk);
    }
    u->reading = st == STREAM_OK;
}

void upstream_hush(upstream *u) {
    if (u->closing || u->quiet || u->polling) return;
    u->quiet = true;
    if (u->reading) stream_io_cancel(&u->r->s.io, &u->in.op);
}

static void write_done(server_op *op) {
    upstream *u = (upstream *)op->owner;
    u->writing = false;
    if (u->closing) {
        drop(u);
        return;
    }
    if (op->op.status != STREAM_OK) {
        /* It may have answered before it closed: what it said is still to be read. */
        server_out_clear(&u->out);
        u->unwritable = true;
        if (u->e) exchange_written(u->e);
        return;
    }
    if (u->e)
        u->e->bytes_up += server_out_written(&u->out);
    else
        (void)server_out_written(&u->out);
    upstream_flush(u);
    if (u->e) exchange_written(u->e);
}

void upstream_flush(upstream *u) {
    if (u->unwritable) server_out_clear(&u->out);
    if (!u->connected || u->writing || u->closing || u->out.count == 0) return;
    server_out_flush(&u->out, &u->r->s.io, &u->file);
    u->writing = u->out.flying > 0;
}

static void idle_clock(upstream *u) {
    uint64_t until = stream_now_ns() + u->r->o.upstream_idle_ns;
    if (!u->timing && stream_io_timer(&u->r->s.io, &u->timer.op, until) == STREAM_OK) u->timing = true;
}

/* A connection that is drained for nobody has no client whose timer would look after it. */
void upstream_drain(upstream *u) {
    relay *r = u->r;
    uint64_t until = u->e->in_ns + (r->o.idle_ns ? r->o.idle_ns : UINT64_C(300000000000));
    u->stopped = false;
    if (!u->timing && stream_io_timer(&r->s.io, &u->timer.op, until) == STREAM_OK) u->timing = true;
    upstream_read(u);
}

static void idle_over(server_op *op) {
    upstream *u = (upstream *)op->owner;
    relay *r = u->r;
    u->timing = false;
    if (u->closing) {
        drop(u);
    } else if (u->e && !u->e->c && !u->e->source) {
        uint64_t idle = r->o.idle_ns ? r->o.idle_ns : UINT64_C(300000000000);
        if (stream_now_ns() >= u->e->in_ns + idle)
            exchange_ended(u->e, ETIMEDOUT);
        else
            upstream_drain(u);
    } else if (!u->e && op->op.status == STREAM_CANCELLED) { /* taken, and idle once more */
        idle_clock(u);
    } else if (!u->e) {
        unlist(u, &r->idle);
        r->idle_count--;
        enlist(u, &r->busy);
        close_it(u);
    }
}

upstream *upstream_take(relay *r, exchange *e) {
    upstream *u = r->idle;
    http_desc desc;
    if (u) {
        unlist(u, &r->idle);
        r->idle_count--;
        enlist(u, &r->busy);
        if (u->timing) stream_io_cancel(&r->s.io, &u->timer.op);
        u->e = e;
        e->reused = true;
        r->counts.reused++;
        return u;
    }
    u = (upstream *)calloc(1, sizeof *u);
    if (!u) return NULL;
    memset(&desc, 0, sizeof desc);
    desc.role = HTTP_RESPONSES;
    desc.max_head = 65536;
    (void)http_init(&u->http, &desc);
    server_op_init(&u->in, read_done, u);
    server_op_init(&u->connect, connect_done, u);
    server_op_init(&u->timer, idle_over, u);
    server_op_init(&u->out.op, write_done, u);
    u->r = r;
    u->e = e;
    enlist(u, &r->busy);
    return u;
}

void upstream_begin(upstream *u) {
    if (u->connected)
        exchange_connected(u->e);
    else
        connect_next(u);
}

void upstream_leave(upstream *u, bool again) {
    relay *r = u->r;
    u->e = NULL;
    if (!again || r->o.upstream_idle_ns == 0 || r->idle_count >= MAX_IDLE || u->unwritable ||
        u->out.count || r->s.draining) {
        close_it(u);
        return;
    }
    let_go_buffer(u);
    u->stopped = u->quiet = false;
    unlist(u, &r->busy);
    enlist(u, &r->idle);
    r->idle_count++;
    if (!u->reading && stream_io_poll(&r->s.io, &u->in.op, &u->file, STREAM_IO_READABLE) == STREAM_OK)
        u->reading = u->polling = true;
    idle_clock(u);
}

void upstreams_forget_idle(relay *r) {
    while (r->idle) {
        upstream *u = r->idle;
        unlist(u, &r->idle);
        enlist(u, &r->busy);
        r->idle_count--;
        close_it(u);
    }
}

void upstreams_close(relay *r) {
    upstream *u;
    for (u = r->idle; u; u = u->next) stream_io_close(&r->s.io, &u->file);
    for (u = r->busy; u; u = u->next) stream_io_close(&r->s.io, &u->file);
}

void upstreams_free(relay *r) {
    while (r->idle) {
        upstream *u = r->idle;
        unlist(u, &r->idle);
        enlist(u, &r->busy);
    }
    r->idle_count = 0;
    while (r->busy) {
        upstream *u = r->busy;
        if (u->e) exchange_drop(u->e); /* one that was read to its end for nobody */
        u->reading = u->connecting = u->writing = u->timing = false;
        u->closing = true;
        drop(u);
    }
}
