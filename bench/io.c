/* SPDX-License-Identifier: MIT-0
   Echo: N connections, each with one small message under way. All ends are in one process and one thread,
   so that what is measured is the work of an operation and not the scheduler's luck. Each program reads and
   writes both ends through its own loop: 4 operations a round trip.

   io NAME CONNECTIONS [tcp|unix]   NAME: a backend of stream_io, libuv, libevent, or raw (epoll by hand)
   Prints the nanoseconds of processor time an operation took, the best of several spells. */
#define STREAM_IMPLEMENTATION
#include "stream.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#ifdef HAVE_UV
#include <uv.h>
#endif
#ifdef HAVE_EVENT
#include <event2/event.h>
#endif

enum { MESSAGE = 64, ROOM = 4096, SPELLS = 7 };

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static size_t connections;
static int (*pair)[2];
static uint64_t operations, spell_end, spell_start, spell_length;
static double best = 1e18;
static int spells;

/* Counts operations; true when the last spell is over. */
static bool count(void) {
    uint64_t now;
    if (++operations < spell_end) return false;
    now = cpu_ns();
    if (spells++ > 0) { /* the first one warms up */
        double each = (double)(now - spell_start) / (double)spell_length;
        if (each < best) best = each;
    }
    spell_start = now;
    spell_end = operations + spell_length;
    return spells > SPELLS;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void make_pairs(bool tcp) {
    size_t i;
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(l, (struct sockaddr *)&address, sizeof address) || listen(l, 4096) ||
        getsockname(l, (struct sockaddr *)&address, &len))
        die("listen");
    pair = (int(*)[2])calloc(connections, sizeof *pair);
    for (i = 0; i < connections; i++) {
        if (!tcp) {
            if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair[i]))
                die("socketpair");
            continue;
        }
        pair[i][0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (pair[i][0] < 0 || connect(pair[i][0], (struct sockaddr *)&address, sizeof address))
            die("connect");
        pair[i][1] = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (pair[i][1] < 0) die("accept");
        fcntl(pair[i][0], F_SETFL, O_NONBLOCK);
        setsockopt(pair[i][0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(pair[i][1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    close(l);
}

/* --- stream_io --- */

typedef struct end {
    stream_io_file file;
    stream_io_op read, write;
    char data[ROOM];
} end;

static void run_stream(const char *backend) {
    stream_io io;
    stream_io_desc desc;
    end *ends = (end *)calloc(connections * 2, sizeof *ends);
    size_t i;
    memset(&desc, 0, sizeof desc);
    desc.backends = backend;
    desc.entries = 1024;
    if (stream_io_init(&io, &desc) != STREAM_OK) exit(2);
    for (i = 0; i < connections * 2; i++) {
        end *e = &ends[i];
        if (stream_io_attach(&io, &e->file, pair[i / 2][i & 1]) != STREAM_OK) die("attach");
        e->read.user = e->write.user = e;
        stream_io_read(&io, &e->read, &e->file, e->data, ROOM);
        if (i & 1) stream_io_write(&io, &e->write, &e->file, e->data, MESSAGE);
    }
    for (;;) {
        stream_io_op *op;
        stream_io_wait(&io, STREAM_FOREVER);
        while ((op = stream_io_next(&io)) != NULL) {
            end *e = (end *)op->user;
            if (op->status != STREAM_OK || op->bytes != MESSAGE) exit(3);
            if (op->verb == STREAM_IO_READ) stream_io_write(&io, &e->write, &e->file, e->data, MESSAGE);
            else if (e->read.file == NULL) stream_io_read(&io, &e->read, &e->file, e->data, ROOM);
            if (count()) {
                stream_io_free(&io);
                free(ends);
                return;
            }
        }
    }
}

/* --- epoll by hand: what the system calls alone cost --- */

static void run_raw(void) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    size_t i;
    static char data[ROOM];
    struct epoll_event e, events[256];
    for (i = 0; i < connections * 2; i++) {
        e.events = EPOLLIN | EPOLLET;
        e.data.fd = pair[i / 2][i & 1];
        epoll_ctl(epoll, EPOLL_CTL_ADD, e.data.fd, &e);
        if ((i & 1) && write(e.data.fd, data, MESSAGE) != MESSAGE) die("write");
    }
    for (;;) {
        int n = epoll_wait(epoll, events, 256, -1), k;
        for (k = 0; k < n; k++) {
            if (recv(events[k].data.fd, data, ROOM, 0) != MESSAGE ||
                send(events[k].data.fd, data, MESSAGE, 0) != MESSAGE)
                die("echo");
            if (count() | count()) return;
        }
    }
}

/* --- libuv --- */

#ifdef HAVE_UV
typedef struct uv_end {
    uv_stream_t *stream;
    union {
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } handle;
    uv_write_t write;
    char data[ROOM];
} uv_end;

static void uv_room(uv_handle_t *handle, size_t size, uv_buf_t *buf) {
    uv_end *e = (uv_end *)handle->data;
    (void)size;
    *buf = uv_buf_init(e->data, ROOM);
}
static void uv_wrote(uv_write_t *write, int status) {
    if (status) exit(3);
    if (count()) uv_stop(write->handle->loop);
}
static void uv_got(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    uv_end *e = (uv_end *)stream->data;
    uv_buf_t out = uv_buf_init(buf->base, MESSAGE);
    if (n == 0) return;
    if (n != MESSAGE || uv_write(&e->write, stream, &out, 1, uv_wrote)) exit(3);
    if (count()) uv_stop(stream->loop);
}
static void run_uv(bool tcp) {
    uv_loop_t *loop = uv_default_loop();
    uv_end *ends = (uv_end *)calloc(connections * 2, sizeof *ends);
    size_t i;
    for (i = 0; i < connections * 2; i++) {
        uv_end *e = &ends[i];
        uv_buf_t out = uv_buf_init(e->data, MESSAGE);
        e->stream = (uv_stream_t *)&e->handle;
        if (tcp) uv_tcp_init(loop, &e->handle.tcp), uv_tcp_open(&e->handle.tcp, pair[i / 2][i & 1]);
        else uv_pipe_init(loop, &e->handle.pipe, 0), uv_pipe_open(&e->handle.pipe, pair[i / 2][i & 1]);
        e->stream->data = e;
        uv_read_start(e->stream, uv_room, uv_got);
        if (i & 1) uv_write(&e->write, e->stream, &out, 1, uv_wrote);
    }
    uv_run(loop, UV_RUN_DEFAULT);
}
#endif

/* --- libevent, its bare events --- */

#ifdef HAVE_EVENT
static struct event_base *base;
static void event_got(evutil_socket_t fd, short what, void *arg) {
    static char data[ROOM];
    (void)what, (void)arg;
    if (recv(fd, data, ROOM, 0) != MESSAGE || send(fd, data, MESSAGE, 0) != MESSAGE) exit(3);
    if (count() | count()) event_base_loopbreak(base);
}
static void run_event(void) {
    size_t i;
    char data[MESSAGE] = {0};
    base = event_base_new();
    for (i = 0; i < connections * 2; i++) {
        struct event *e = event_new(base, pair[i / 2][i & 1], EV_READ | EV_PERSIST, event_got, NULL);
        event_add(e, NULL);
        if ((i & 1) && write(pair[i / 2][i & 1], data, MESSAGE) != MESSAGE) die("write");
    }
    event_base_dispatch(base);
}
#endif

int main(int argc, char **argv) {
    struct rlimit limit;
    bool tcp = argc < 4 || strcmp(argv[3], "unix") != 0;
    if (argc < 3) return 1;
    connections = (size_t)strtoul(argv[2], NULL, 10);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (connections * 2 + 50 > limit.rlim_cur) return 4;
    make_pairs(tcp);
    spell_length = argc > 4 ? strtoull(argv[4], NULL, 10) : 200000;
    spell_end = connections * 8 + 1000;
    if (strcmp(argv[1], "raw") == 0) {
        run_raw();
    } else if (strcmp(argv[1], "libuv") == 0) {
#ifdef HAVE_UV
        run_uv(tcp);
#endif
    } else if (strcmp(argv[1], "libevent") == 0) {
#ifdef HAVE_EVENT
        run_event();
#endif
    } else {
        run_stream(argv[1]);
    }
    if (spells == 0) return 2;
    printf("%.0f\n", best);
    return 0;
}
