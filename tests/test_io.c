/* SPDX-License-Identifier: MIT-0
   stream.h: io and splice. One set of cases, run against every backend this machine can run; a backend that
   it cannot is named and skipped. At the edge of the library every system call passes through here, is
   counted, and can be made to fail: interrupted, short, would wait, out of descriptors or memory, reset.

   TEST_SCALE=percent scales the random and threaded parts (100 by default, 12 under a sanitizer).

   Build: cc -std=c11 -pthread -I. tests/test_io.c
   kqueue on a system without it: -DSTREAM_IO_KQUEUE=1 and a directory with sys/event.h (tests/kqueue). */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE 1
#endif
#if defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__)
#define STREAM_IO_KQUEUE 1
#endif
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ==[ the edge ]===================================================================================== */

typedef enum edge_call {
    EDGE_READ, EDGE_WRITE, EDGE_WRITEV, EDGE_RECV, EDGE_SENDMSG, EDGE_ACCEPT, EDGE_CONNECT, EDGE_POLL,
    EDGE_EPOLL_CTL, EDGE_EPOLL_WAIT, EDGE_KEVENT, EDGE_URING, EDGE_SPLICE, EDGE_TEE, EDGE_CALLS
} edge_call;

static struct edge {
    unsigned long calls, at[EDGE_CALLS]; /* so far */
    unsigned long fail_at;               /* number of the call that goes wrong; 0: none */
    unsigned long fail_every;            /* or one of so many calls; 0: none */
    int error;                           /* what it says; EDGE_SHORT: one byte is enough */
    unsigned mask;                       /* of edge_calls that may go wrong */
    unsigned long injected;
    bool fake_clock;
    uint64_t now;
} edge;

#if !defined(_WIN32)
#include <pthread.h>
static pthread_t edge_thread; /* the one that is counted */
#endif

#define EDGE_SHORT (-1)
#define EDGE_NOTHING (-2) /* 0, though there was something to move */
#define EDGE_IS_DATA(call) ((call) <= EDGE_SENDMSG || (call) == EDGE_SPLICE || (call) == EDGE_TEE)

/* Whether this call goes wrong; then errno is set, or (false, *len) it is made short. */
static inline bool edge_fails(edge_call call, size_t *len);

#if !defined(_WIN32)
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static ptrdiff_t edge_read(int fd, void *p, size_t n);
static ptrdiff_t edge_write(int fd, const void *p, size_t n);
static ptrdiff_t edge_writev(int fd, const struct iovec *v, int n);
static ptrdiff_t edge_recv(int fd, void *p, size_t n, int flags);
static ptrdiff_t edge_send(int fd, const void *p, size_t n, int flags);
static ptrdiff_t edge_sendmsg(int fd, const struct msghdr *m, int flags);
static int edge_accept(int fd);
static int edge_connect(int fd, const struct sockaddr *a, socklen_t n);
static int edge_poll(struct pollfd *p, nfds_t n, int ms);
#define STREAM_SYS_READ(fd, p, n) edge_read(fd, p, n)
#define STREAM_SYS_WRITE(fd, p, n) edge_write(fd, p, n)
#define STREAM_SYS_WRITEV(fd, v, n) edge_writev(fd, v, n)
#define STREAM_SYS_RECV(fd, p, n, flags) edge_recv(fd, p, n, flags)
#define STREAM_SYS_SEND(fd, p, n, flags) edge_send(fd, p, n, flags)
#define STREAM_SYS_SENDMSG(fd, m, flags) edge_sendmsg(fd, m, flags)
#define STREAM_SYS_ACCEPT(fd) edge_accept(fd)
#define STREAM_SYS_CONNECT(fd, a, n) edge_connect(fd, a, n)
#define STREAM_SYS_POLL(p, n, ms) edge_poll(p, n, ms)
#endif
#if defined(__linux__)
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
static int edge_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
static int edge_epoll_wait(int epoll, struct epoll_event *events, int count, int ms);
static int edge_uring_setup(unsigned entries, void *params);
static int edge_uring_enter(int fd, unsigned submit, unsigned want, unsigned flags, const void *arg,
                            size_t len);
static ptrdiff_t edge_splice(int from, int to, size_t len, unsigned flags);
static ptrdiff_t edge_tee(int from, int to, size_t len, unsigned flags);
#define STREAM_SYS_EPOLL_CTL(epoll, op, fd, event) edge_epoll_ctl(epoll, op, fd, event)
#define STREAM_SYS_EPOLL_WAIT(epoll, events, count, ms) edge_epoll_wait(epoll, events, count, ms)
#define STREAM_SYS_URING_SETUP(entries, params) edge_uring_setup(entries, params)
#define STREAM_SYS_URING_ENTER(fd, submit, want, flags, arg, len)                                          \
    edge_uring_enter(fd, submit, want, flags, arg, len)
#define STREAM_SYS_SPLICE(from, to, len, flags) edge_splice(from, to, len, flags)
#define STREAM_SYS_TEE(from, to, len, flags) edge_tee(from, to, len, flags)
#endif
#if defined(STREAM_IO_KQUEUE) && STREAM_IO_KQUEUE
#include <sys/event.h>
static int edge_kevent(int queue, const struct kevent *changes, int changed, struct kevent *events, int count,
                       const struct timespec *timeout);
#define STREAM_SYS_KEVENT(queue, changes, changed, events, count, timeout) \
    edge_kevent(queue, changes, changed, events, count, timeout)
#endif
static uint64_t edge_now(void);
#define STREAM_SYS_NOW() edge_now()

#if !defined(_WIN32)
/* The calls that have no name of their own in the header: the refuse.at-th of them, if not 0, goes wrong. */
static struct {
    unsigned long calls, at;
    int error;
    bool no_clock;
} refuse;
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#if defined(__linux__)
#include <sys/eventfd.h>
#endif
static bool refused(void) {
    if (refuse.at == 0 || ++refuse.calls != refuse.at) return false;
    errno = refuse.error;
    return true;
}
static int refuse_fcntl(int fd, int command, ...) {
    va_list rest;
    int argument;
    va_start(rest, command);
    argument = va_arg(rest, int);
    va_end(rest);
    return refused() ? -1 : fcntl(fd, command, argument);
}
static int refuse_fstat(int fd, struct stat *state) { return refused() ? -1 : fstat(fd, state); }
static int refuse_getsockopt(int fd, int level, int name, void *value, socklen_t *len) {
    return refused() ? -1 : getsockopt(fd, level, name, value, len);
}
static int refuse_getpeername(int fd, struct sockaddr *address, socklen_t *len) {
    return refused() ? -1 : getpeername(fd, address, len);
}
static int refuse_clock_gettime(clockid_t clock, struct timespec *now) {
    return refuse.no_clock ? -1 : clock_gettime(clock, now);
}
#define fcntl(fd, ...) refuse_fcntl(fd, __VA_ARGS__, 0)
#define fstat(fd, state) refuse_fstat(fd, state)
#define getsockopt(fd, level, name, value, len) refuse_getsockopt(fd, level, name, value, len)
#define getpeername(fd, address, len) refuse_getpeername(fd, address, len)
#define clock_gettime(clock, now) refuse_clock_gettime(clock, now)
#if defined(__linux__)
static int refuse_open(const char *path, int flags) { return refused() ? -1 : open(path, flags); }
static int refuse_eventfd(unsigned count, int flags) { return refused() ? -1 : eventfd(count, flags); }
static int refuse_epoll_create1(int flags) { return refused() ? -1 : epoll_create1(flags); }
static int refuse_pipe2(int ends[2], int flags) { return refused() ? -1 : pipe2(ends, flags); }
static int refuse_uring_register(int fd, unsigned code, void *argument, unsigned count) {
    return refused() ? -1 : (int)syscall(__NR_io_uring_register, fd, code, argument, count);
}
static void *refuse_mmap(void *at, size_t len, int access, int flags, int fd, off_t offset) {
    return refused() ? MAP_FAILED : mmap(at, len, access, flags, fd, offset);
}
#define open(path, flags) refuse_open(path, flags)
#define eventfd(count, flags) refuse_eventfd(count, flags)
#define epoll_create1(flags) refuse_epoll_create1(flags)
#define pipe2(ends, flags) refuse_pipe2(ends, flags)
#define mmap(at, len, access, flags, fd, offset) refuse_mmap(at, len, access, flags, fd, offset)
#define STREAM_SYS_URING_REGISTER(fd, code, argument, count) refuse_uring_register(fd, code, argument, count)
#else
static int refuse_pipe(int ends[2]) { return refused() ? -1 : pipe(ends); }
#define pipe(ends) refuse_pipe(ends)
#endif
#if defined(STREAM_IO_KQUEUE) && STREAM_IO_KQUEUE
static int refuse_kqueue(void) { return refused() ? -1 : kqueue(); }
#define kqueue() refuse_kqueue()
#endif
#endif

#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "test.h"

#if !defined(_WIN32)
#undef fcntl
#undef fstat
#undef getsockopt
#undef getpeername
#undef open
#undef pipe
#undef clock_gettime
#undef mmap
#undef eventfd
#undef epoll_create1
#undef pipe2
#undef kqueue
#endif

#if defined(_WIN32)
#undef near /* of another age */
#undef far
#else
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#endif

static inline bool edge_fails(edge_call call, size_t *len) {
#if !defined(_WIN32)
    if (!pthread_equal(pthread_self(), edge_thread)) return false; /* a waker */
#endif
    edge.calls++;
    edge.at[call]++;
    if (!(edge.mask >> call & 1)) return false;
    if (edge.error == EDGE_SHORT && (!EDGE_IS_DATA(call) || *len < 2)) return false;
    /* Not each n-th call but one of n: else a loop of n calls would fail for ever at the same place. */
    if (edge.fail_every ? (edge.calls * 2654435761u >> 16) % edge.fail_every != 0
                        : edge.calls != edge.fail_at)
        return false;
    edge.injected++;
    if (edge.error == EDGE_SHORT) {
        *len = 1;
        return false;
    }
    errno = edge.error;
    return true;
}

static void edge_reset(void) {
    memset(&edge, 0, sizeof edge);
#if !defined(_WIN32)
    edge_thread = pthread_self();
#endif
}

static uint64_t edge_now(void) { return edge.fake_clock ? edge.now : stream_now_ns(); }

#if !defined(_WIN32)

/* Whoever is told EAGAIN, or given less than there is, may wait for an edge; the system sends none when it
   is not true. So the watch on that descriptor is renewed, which reports its present state. */
static struct edge_watch {
    int queue, fd;
#if defined(__linux__)
    struct epoll_event event;
#endif
#if defined(STREAM_IO_KQUEUE) && STREAM_IO_KQUEUE
    int kqueue;
    struct kevent change[2];
#endif
} edge_watch[4096];

static void edge_renew(int fd) {
    if (fd < 0 || fd >= (int)COUNT(edge_watch) || edge_watch[fd].fd != fd) return;
#if defined(__linux__)
    if (edge_watch[fd].queue > 0) epoll_ctl(edge_watch[fd].queue, EPOLL_CTL_MOD, fd, &edge_watch[fd].event);
#endif
#if defined(STREAM_IO_KQUEUE) && STREAM_IO_KQUEUE
    {
        size_t i;
        for (i = 0; i < 2; i++)
            if (edge_watch[fd].change[i].flags)
                kevent(edge_watch[fd].kqueue, &edge_watch[fd].change[i], 1, NULL, 0, NULL);
    }
#endif
}

static bool edge_fails_at(edge_call call, int fd, size_t *len) {
    unsigned long before = edge.injected;
    bool fails = edge_fails(call, len);
    if (edge.injected != before && (edge.error == EAGAIN || edge.error == EDGE_SHORT)) {
        int saved = errno;
        edge_renew(fd);
        errno = saved;
    }
    return fails;
}

static ptrdiff_t edge_read(int fd, void *p, size_t n) {
    return edge_fails_at(EDGE_READ, fd, &n) ? -1 : read(fd, p, n);
}
static ptrdiff_t edge_write(int fd, const void *p, size_t n) {
    if (edge_fails_at(EDGE_WRITE, fd, &n)) return edge.error == EDGE_NOTHING ? 0 : -1;
    return write(fd, p, n);
}
static ptrdiff_t edge_writev(int fd, const struct iovec *v, int count) {
    size_t n = 2;
    if (edge_fails_at(EDGE_WRITEV, fd, &n)) return -1;
    return n == 1 ? write(fd, v[0].iov_base, v[0].iov_len / 2 + 1) : writev(fd, v, count);
}
static ptrdiff_t edge_recv(int fd, void *p, size_t n, int flags) {
    return edge_fails_at(EDGE_RECV, fd, &n) ? -1 : recv(fd, p, n, flags);
}
static ptrdiff_t edge_send(int fd, const void *p, size_t n, int flags) {
    return edge_fails_at(EDGE_SENDMSG, fd, &n) ? -1 : send(fd, p, n, flags);
}
static ptrdiff_t edge_sendmsg(int fd, const struct msghdr *m, int flags) {
    size_t n = m->msg_iov[0].iov_len;
    if (edge_fails_at(EDGE_SENDMSG, fd, &n)) return -1;
    return n != m->msg_iov[0].iov_len ? send(fd, m->msg_iov[0].iov_base, n, flags) : sendmsg(fd, m, flags);
}
static int edge_accept(int fd) {
    size_t n = 0;
    int got;
    if (edge_fails_at(EDGE_ACCEPT, fd, &n)) return -1;
#if defined(__linux__)
    got = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
#else
    got = accept(fd, NULL, NULL);
    if (got >= 0) {
        fcntl(got, F_SETFD, FD_CLOEXEC);
        fcntl(got, F_SETFL, O_NONBLOCK);
    }
#endif
    return got;
}
static int edge_connect(int fd, const struct sockaddr *a, socklen_t len) {
    size_t n = 0;
    if (!edge_fails(EDGE_CONNECT, &n)) return connect(fd, a, len);
    if (edge.error == EINTR || edge.error == EALREADY) { /* it goes on all the same */
        connect(fd, a, len);
        errno = edge.error;
    }
    return -1;
}
static int edge_poll(struct pollfd *p, nfds_t count, int ms) {
    size_t n = 0;
    return edge_fails(EDGE_POLL, &n) ? -1 : poll(p, count, ms);
}
#endif
#if defined(__linux__)
static int edge_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event) {
    size_t n = 0;
    if (op != EPOLL_CTL_DEL && edge_fails(EDGE_EPOLL_CTL, &n)) return -1;
    if (fd < (int)COUNT(edge_watch)) {
        edge_watch[fd].fd = fd;
        edge_watch[fd].queue = op == EPOLL_CTL_DEL ? -1 : epoll;
        edge_watch[fd].event = *event;
    }
    return epoll_ctl(epoll, op, fd, event);
}
static int edge_epoll_wait(int epoll, struct epoll_event *events, int count, int ms) {
    size_t n = 0;
    return edge_fails(EDGE_EPOLL_WAIT, &n) ? -1 : epoll_wait(epoll, events, count, ms);
}
static bool edge_no_uring, edge_plain_uring, edge_old_uring;
static int edge_uring_setup(unsigned entries, void *params) {
    if (edge_no_uring ||
        (edge_plain_uring && ((const unsigned *)params)[2] != 16)) { /* more flags than CLAMP */
        errno = edge_no_uring ? ENOSYS : EINVAL;
        return -1;
    }
    {
        struct io_uring_params *p = (struct io_uring_params *)params;
        int fd = (int)syscall(__NR_io_uring_setup, entries, params);
        if (edge_old_uring) p->features = 0;
        return fd;
    }
}

static stream_io io;

/* What the kernel is made to say. undone: the next operation is not begun, and comes back with `to`. changed:
   the next operation that comes back with `from` does so with `to`. */
static struct {
    bool undone, changed;
    int from, to;
} uring_lie;

static int edge_uring_enter(int fd, unsigned submit, unsigned want, unsigned flags, const void *arg,
                            size_t len) {
    size_t n = 0;
    const stream__io_ring *ring = &io.ring;
    uint64_t undone = 0;
    uint32_t at;
    int taken, saved;
    if (edge_fails(EDGE_URING, &n)) return -1;
    for (at = *ring->sq_head; uring_lie.undone && undone == 0 && at != ring->tail; at++) {
        struct io_uring_sqe *entry = (struct io_uring_sqe *)ring->entries + (at & ring->sq_mask);
        if ((entry->user_data & 1) || entry->user_data == STREAM__URING_WAKE) continue;
        undone = entry->user_data;
        memset(entry, 0, sizeof *entry);
        entry->opcode = IORING_OP_NOP;
        entry->user_data = undone;
    }
    taken = (int)syscall(__NR_io_uring_enter, fd, submit, want, flags, arg, len);
    saved = errno;
    for (at = *ring->cq_head; at != __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE); at++) {
        struct io_uring_cqe *entry = (struct io_uring_cqe *)ring->cqes + (at & ring->cq_mask);
        if ((entry->user_data & 1) || entry->user_data == STREAM__URING_WAKE) continue;
        if (undone ? entry->user_data == undone : uring_lie.changed && entry->res == uring_lie.from) {
            entry->res = uring_lie.to;
            uring_lie.undone = uring_lie.changed = false;
            undone = 0;
        }
    }
    errno = saved;
    return taken;
}
static ptrdiff_t edge_splice(int from, int to, size_t len, unsigned flags) {
    if (edge_fails(EDGE_SPLICE, &len)) return edge.error == EDGE_NOTHING ? 0 : -1;
    return splice(from, NULL, to, NULL, len, flags);
}
static ptrdiff_t edge_tee(int from, int to, size_t len, unsigned flags) {
    return edge_fails(EDGE_TEE, &len) ? -1 : tee(from, to, len, flags);
}
#endif
#if defined(STREAM_IO_KQUEUE) && STREAM_IO_KQUEUE
static int edge_kevent(int queue, const struct kevent *changes, int changed, struct kevent *events, int count,
                       const struct timespec *timeout) {
    size_t n = 0;
    bool deletes = changed > 0 && (changes->flags & EV_DELETE);
    if (!deletes && edge_fails(EDGE_KEVENT, &n)) return -1;
    if (changed > 0 && changes->udata && changes->ident < COUNT(edge_watch)) {
        struct edge_watch *w = &edge_watch[changes->ident];
        struct kevent *kept = &w->change[changes->filter == EVFILT_READ];
        w->fd = (int)changes->ident;
        w->kqueue = queue;
        *kept = *changes;
    }
    if (deletes && changes->ident < COUNT(edge_watch))
        edge_watch[changes->ident].change[changes->filter == EVFILT_READ].flags = 0;
    return kevent(queue, changes, changed, events, count, timeout);
}
#endif

/* ==[ what the cases stand on ]====================================================================== */

static const char *backend; /* the one under test */
static unsigned ring_entries;
static stream_io io;

static void begin(void) {
    stream_io_desc desc;
    stream_status status;
    memset(&desc, 0, sizeof desc);
    desc.backends = backend;
    desc.entries = ring_entries;
    edge_reset();
    status = stream_io_init(&io, &desc);
    CHECK_EQ(status, STREAM_OK);
    CHECK(strcmp(stream_io_backend(&io), backend) == 0);
}

static void end(void) {
    stream_io_free(&io);
    edge_reset();
}

/* The next operation that is done; NULL after ten seconds, which fails. */
static stream_io_op *next_op(void) {
    stream_io_op *op;
    uint64_t deadline = stream_now_ns() + UINT64_C(10000000000);
    while ((op = stream_io_next(&io)) == NULL) {
        uint64_t now = stream_now_ns();
        if (now > deadline || stream_io_wait(&io, deadline - now) < 0) {
            CHECK_EQ(0, "an operation within ten seconds" != NULL);
            return NULL;
        }
    }
    return op;
}

/* Waits for this very operation. */
static void expect(stream_io_op *op, stream_status status) {
    stream_io_op *got = next_op();
    CHECK(got == op);
    CHECK_EQ(op->status, status);
}

/* Nothing is done now. */
static void expect_nothing(void) {
    int i;
    for (i = 0; i < 3; i++) CHECK_EQ(stream_io_wait(&io, 0), STREAM_EMPTY);
    CHECK(stream_io_next(&io) == NULL);
}

static void expect_read(stream_io_op *op, const char *text) {
    expect(op, STREAM_OK);
    CHECK_TEXT(op->one.ptr, op->bytes, text);
}

/* The far side of a connection is worked by hand, and waits. */
#if defined(_WIN32)
static void far_write(stream_fd fd, const void *data, size_t len) {
    size_t done = 0;
    while (done < len) {
        int n = send((SOCKET)fd, (const char *)data + done, (int)(len - done), 0);
        CHECK(n > 0);
        if (n <= 0) return;
        done += (size_t)n;
    }
}
static void far_read(stream_fd fd, void *data, size_t len) {
    size_t done = 0;
    while (done < len) {
        int n = recv((SOCKET)fd, (char *)data + done, (int)(len - done), 0);
        CHECK(n > 0);
        if (n <= 0) return;
        done += (size_t)n;
    }
}
static void far_close(stream_fd fd) { closesocket((SOCKET)fd); }
static void far_shutdown(stream_fd fd) { shutdown((SOCKET)fd, SD_SEND); }
/* A port of its own, at which nobody listens. */
static stream_fd bound(struct sockaddr_in *address) {
    int len = (int)sizeof *address;
    SOCKET s = socket(AF_INET, SOCK_STREAM, 0);
    memset(address, 0, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(s, (struct sockaddr *)address, sizeof *address) == 0);
    CHECK(getsockname(s, (struct sockaddr *)address, &len) == 0);
    return (stream_fd)s;
}
static stream_fd listener(struct sockaddr_in *address) {
    stream_fd s = bound(address);
    CHECK(listen((SOCKET)s, 128) == 0);
    return s;
}
static stream_fd fresh_socket(void) { return (stream_fd)socket(AF_INET, SOCK_STREAM, 0); }
static void tcp_pair(stream_fd pair[2]) {
    struct sockaddr_in address;
    stream_fd l = listener(&address);
    pair[0] = fresh_socket();
    CHECK(connect((SOCKET)pair[0], (struct sockaddr *)&address, sizeof address) == 0);
    pair[1] = (stream_fd)accept((SOCKET)l, NULL, NULL);
    far_close(l);
}
#define socket_pair(pair) tcp_pair(pair)
#else
static void far_write(stream_fd fd, const void *data, size_t len) {
    size_t done = 0;
    while (done < len) {
        ptrdiff_t n = write(fd, (const char *)data + done, len - done);
        struct pollfd p = {fd, POLLOUT, 0};
        if (n < 0 && errno == EAGAIN) n = poll(&p, 1, 10000) > 0 ? 0 : -1;
        CHECK(n >= 0);
        if (n < 0) return;
        done += (size_t)n;
    }
}
static void far_read(stream_fd fd, void *data, size_t len) {
    size_t done = 0;
    while (done < len) {
        ptrdiff_t n = read(fd, (char *)data + done, len - done);
        struct pollfd p = {fd, POLLIN, 0};
        if (n < 0 && errno == EAGAIN && poll(&p, 1, 10000) > 0) continue;
        CHECK(n > 0);
        if (n <= 0) return;
        done += (size_t)n;
    }
}
static void far_close(stream_fd fd) { close(fd); }
static void far_shutdown(stream_fd fd) { shutdown(fd, SHUT_WR); }
static stream_fd fresh_socket(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}
/* A port of its own, at which nobody listens. */
static stream_fd bound(struct sockaddr_in *address) {
    socklen_t len = sizeof *address;
    int s = fresh_socket();
    memset(address, 0, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(s, (struct sockaddr *)address, sizeof *address) == 0);
    CHECK(getsockname(s, (struct sockaddr *)address, &len) == 0);
    return s;
}
static stream_fd listener(struct sockaddr_in *address) {
    stream_fd s = bound(address);
    CHECK(listen(s, 1024) == 0);
    return s;
}
static void tcp_pair(stream_fd pair[2]) {
    struct sockaddr_in address;
    stream_fd l = listener(&address);
    pair[0] = fresh_socket();
    CHECK(connect(pair[0], (struct sockaddr *)&address, sizeof address) == 0);
    pair[1] = accept(l, NULL, NULL);
    close(l);
}
static void socket_pair(stream_fd pair[2]) { CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0); }
static void nonblock(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }
static size_t open_descriptors(void) {
#if defined(__linux__)
    DIR *d = opendir("/proc/self/fd");
    size_t n = 0;
    while (readdir(d)) n++;
    closedir(d);
    return n;
#else
    size_t n = 0;
    int fd;
    for (fd = 0; fd < 1024; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
#endif
}
#endif

static unsigned char pattern(size_t i) { return (unsigned char)(i * 131 + (i >> 8) * 17 + (i >> 16)); }
static void make_pattern(unsigned char *p, size_t n, size_t from) {
    size_t i;
    for (i = 0; i < n; i++) p[i] = pattern(from + i);
}
static bool is_pattern(const unsigned char *p, size_t n, size_t from) {
    size_t i;
    for (i = 0; i < n; i++)
        if (p[i] != pattern(from + i)) return false;
    return true;
}

/* ==[ io: every system ]============================================================================= */

static void echoes(void) {
    stream_fd pair[2];
    stream_io_file file;
    stream_io_op op;
    char data[64], back[64];
    int i;
    memset(&file, 0, sizeof file);
    memset(&op, 0, sizeof op);
    begin();
    for (i = 0; i < 2; i++) {
        int round;
        if (i == 0) socket_pair(pair);
        else tcp_pair(pair);
        CHECK_EQ(stream_io_attach(&io, &file, pair[0]), STREAM_OK);
        for (round = 0; round < 200; round++) {
            CHECK_EQ(stream_io_read(&io, &op, &file, data, sizeof data), STREAM_OK);
            CHECK_EQ(file.pending, 1);
            if (round % 3 == 0) expect_nothing();
            far_write(pair[1], "ping", 4);
            expect_read(&op, "ping");
            CHECK_EQ(op.verb, STREAM_IO_READ);
            CHECK_EQ(file.pending, 0);
            CHECK_EQ(stream_io_write(&io, &op, &file, data, op.bytes), STREAM_OK);
            expect(&op, STREAM_OK);
            CHECK_EQ(op.bytes, 4);
            far_read(pair[1], back, 4);
            CHECK_BYTES(back, 4, "ping", 4);
        }
        stream_io_close(&io, &file);
        CHECK_EQ(file.fd, -1);
        far_close(pair[1]);
    }
    CHECK_EQ(io.in_flight, 0);
    end();
}

static void a_hang_up_takes_nothing_away(void) {
    stream_fd pair[2];
    stream_io_file file;
    stream_io_op op;
    char data[4];
    int i;
    memset(&file, 0, sizeof file);
    memset(&op, 0, sizeof op);
    begin();
    for (i = 0; i < 4; i++) {
        if (i & 1) tcp_pair(pair);
        else socket_pair(pair);
        CHECK_EQ(stream_io_attach(&io, &file, pair[0]), STREAM_OK);
        if (i < 2) { /* the first read is waiting already */
            stream_io_read(&io, &op, &file, data, sizeof data);
            expect_nothing();
        }
        far_write(pair[1], "0123456789", 10);
        far_shutdown(pair[1]);
        if (i >= 2) stream_io_read(&io, &op, &file, data, sizeof data);
        expect_read(&op, "0123");
        stream_io_read(&io, &op, &file, data, sizeof data);
        expect_read(&op, "4567");
        stream_io_read(&io, &op, &file, data, sizeof data);
        expect_read(&op, "89");
        stream_io_read(&io, &op, &file, data, sizeof data);
        expect(&op, STREAM_END);
        CHECK_EQ(op.bytes, 0);
        expect_nothing();
        stream_io_read(&io, &op, &file, data, sizeof data);
        expect(&op, STREAM_END);
        /* The other direction is as open as before. */
        stream_io_write(&io, &op, &file, "answer", 6);
        expect(&op, STREAM_OK);
        far_read(pair[1], data, 4);
        stream_io_close(&io, &file);
        far_close(pair[1]);
    }
    end();
}

static void reads_are_served_in_order(void) {
    stream_fd pair[2];
    stream_io_file file;
    stream_io_op op[8];
    char data[8];
    int i;
    memset(&file, 0, sizeof file);
    memset(op, 0, sizeof op);
    begin();
    socket_pair(pair);
    stream_io_attach(&io, &file, pair[0]);
    for (i = 0; i < 8; i++) stream_io_read(&io, &op[i], &file, &data[i], 1);
    CHECK_EQ(file.pending, 8);
    expect_nothing();
    far_write(pair[1], "abc", 3);
    for (i = 0; i < 3; i++) expect(&op[i], STREAM_OK);
    expect_nothing();
    far_write(pair[1], "defg", 4);
    far_close(pair[1]);
    for (i = 3; i < 7; i++) expect(&op[i], STREAM_OK);
    expect(&op[7], STREAM_END);
    CHECK_BYTES(data, 7, "abcdefg", 7);
    stream_io_close(&io, &file);
    end();
}

/* Far more than any buffer takes: each write is done when all of it is, and in order. */
static void writes_are_whole_and_in_order(void) {
    enum { WRITES = 5, EACH = 700 * 1000 };
    static unsigned char data[WRITES * EACH], piece[65536];
    stream_fd pair[2];
    stream_io_file file, far;
    stream_io_op op[WRITES], in;
    size_t got = 0, done = 0;
    int i;
    make_pattern(data, sizeof data, 0);
    for (i = 0; i < 2; i++) {
        int w;
        memset(&file, 0, sizeof file);
        memset(&far, 0, sizeof far);
        memset(op, 0, sizeof op);
        memset(&in, 0, sizeof in);
        got = done = 0;
        begin();
        if (i == 0) socket_pair(pair);
        else tcp_pair(pair);
        stream_io_attach(&io, &file, pair[0]);
        stream_io_attach(&io, &far, pair[1]);
        for (w = 0; w < WRITES; w++)
            CHECK_EQ(stream_io_write(&io, &op[w], &file, data + w * EACH, EACH), STREAM_OK);
        stream_io_read(&io, &in, &far, piece, sizeof piece);
        while (got < sizeof data || done < WRITES) {
            stream_io_op *o = next_op();
            if (!o) break;
            CHECK_EQ(o->status, STREAM_OK);
            if (o == &in) {
                CHECK(o->bytes > 0 && is_pattern(piece, o->bytes, got));
                got += o->bytes;
                if (got < sizeof data) stream_io_read(&io, &in, &far, piece, 1 + got % sizeof piece);
            } else {
                CHECK(o == &op[done]);
                CHECK_EQ(o->bytes, EACH);
                done++;
            }
        }
        CHECK_EQ(got, sizeof data);
        CHECK_EQ(io.in_flight, 0);
        stream_io_close(&io, &file);
        stream_io_close(&io, &far);
        end();
    }
}

static void many_parts_are_one_write(void) {
    enum { PARTS = 100 };
    static unsigned char data[PARTS * PARTS * 40], back[sizeof data];
    stream_slice parts[PARTS];
    stream_fd pair[2];
    stream_io_file file, far;
    stream_io_op op, in;
    size_t i, total = 0, got = 0;
    bool done = false;
    make_pattern(data, sizeof data, 0);
    for (i = 0; i < PARTS; i++) {
        parts[i].ptr = i % 7 == 3 ? NULL : (const char *)data + total;
        parts[i].len = i % 7 == 3 ? 0 : i * 67 + 1;
        total += parts[i].len;
    }
    memset(&file, 0, sizeof file);
    memset(&far, 0, sizeof far);
    memset(&op, 0, sizeof op);
    memset(&in, 0, sizeof in);
    begin();
    socket_pair(pair);
    stream_io_attach(&io, &file, pair[0]);
    stream_io_attach(&io, &far, pair[1]);
    CHECK_EQ(stream_io_writev(&io, &op, &file, parts, PARTS), STREAM_OK);
    while (got < total || !done) {
        stream_io_op *o;
        if (got < total && in.file == NULL) stream_io_read(&io, &in, &far, back + got, sizeof back - got);
        o = next_op();
        if (!o) break;
        CHECK_EQ(o->status, STREAM_OK);
        if (o == &in) got += o->bytes;
        else done = true;
    }
    CHECK_EQ(op.bytes, total);
    CHECK(got == total && is_pattern(back, total, 0));
    /* Nothing at all is a write, too. */
    stream_io_write(&io, &op, &file, "", 0);
    expect(&op, STREAM_OK);
    CHECK_EQ(op.bytes, 0);
    stream_io_writev(&io, &op, &file, parts, 0);
    expect(&op, STREAM_OK);
    parts[0].len = parts[1].len = 0;
    stream_io_writev(&io, &op, &file, parts, 2);
    expect(&op, STREAM_OK);
    stream_io_close(&io, &file);
    stream_io_close(&io, &far);
    end();
}

static void misuse_is_refused(void) {
    stream_fd pair[2];
    stream_io_file file;
    stream_io_op op, timer;
    stream_io elsewhere;
    char data[4];
    memset(&elsewhere, 0, sizeof elsewhere);
    memset(&file, 0, sizeof file);
    memset(&op, 0, sizeof op);
    memset(&timer, 0, sizeof timer);
    begin();
    CHECK_EQ(stream_io_read(&io, &op, &file, data, 4), STREAM_E_STATE); /* not attached */
    CHECK_EQ(stream_io_attach(&io, &file, (stream_fd)-1), STREAM_E_IO);
    CHECK(io.os_error != 0);
    socket_pair(pair);
    CHECK_EQ(stream_io_attach(&io, &file, pair[0]), STREAM_OK);
    CHECK_EQ(stream_io_attach(&io, &file, pair[0]), STREAM_E_STATE);
    CHECK_EQ(stream_io_read(&io, &op, &file, data, 0), STREAM_E_ARGUMENT);
    CHECK_EQ(stream_io_read(&io, &op, &file, data, 4), STREAM_OK);
    CHECK_EQ(stream_io_read(&io, &op, &file, data, 4), STREAM_E_STATE);
    CHECK_EQ(stream_io_write(&io, &op, &file, data, 4), STREAM_E_STATE);
    CHECK_EQ(stream_io_writev(&io, &op, &file, NULL, 0), STREAM_E_STATE);
    CHECK_EQ(stream_io_accept(&io, &op, &file), STREAM_E_STATE);
    CHECK_EQ(stream_io_connect(&io, &op, &file, data, 4), STREAM_E_STATE);
    CHECK_EQ(stream_io_poll(&io, &op, &file, 0), STREAM_E_STATE);
    CHECK_EQ(stream_io_read(&elsewhere, &timer, &file, data, 4), STREAM_E_STATE); /* attached to another */
    CHECK_EQ(stream_io_timer(&io, &op, 0), STREAM_E_STATE);
    CHECK_EQ(stream_io_post(&io, &op), STREAM_E_STATE);
    CHECK_EQ(io.in_flight, 1);
    stream_io_timer(&io, &timer, STREAM_FOREVER);
    CHECK_EQ(stream_io_timer(&io, &timer, 0), STREAM_E_STATE);
    stream_io_close(&io, &file);
    CHECK_EQ(stream_io_attach(&io, &file, pair[1]), STREAM_E_STATE); /* one is still to come out */
    expect(&op, STREAM_CANCELLED);
    CHECK_EQ(stream_io_attach(&io, &file, pair[1]), STREAM_OK);
    stream_io_close(&io, &file);
    stream_io_close(&io, &file);
    stream_io_detach(&io, &file);
    end();
    stream_io_free(&io);
    {
        stream_io_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.backends = "none,such,";
        CHECK_EQ(stream_io_init(&io, &desc), STREAM_E_TYPE);
        desc.backends = "epoll2,poll2,kqueue2,iocp2,io_uring2,epol";
        CHECK_EQ(stream_io_init(&io, &desc), STREAM_E_TYPE);
        stream_io_free(&io);
        CHECK(strcmp(stream_io_backend(&io), "none") == 0);
    }
}

static void cancelled_once_and_nothing_lost(void) {
    stream_fd pair[2];
    stream_io_file file;
    stream_io_op op[3], timer;
    char data[3][8];
    int i;
    memset(&file, 0, sizeof file);
    memset(op, 0, sizeof op);
    memset(&timer, 0, sizeof timer);
    begin();
    socket_pair(pair);
    stream_io_attach(&io, &file, pair[0]);
    for (i = 0; i < 50; i++) {
        stream_io_read(&io, &op[0], &file, data[0], 8);
        if (i & 1) expect_nothing(); /* so that the system has it */
        stream_io_cancel(&io, &op[0]);
        stream_io_cancel(&io, &op[0]);
        expect(&op[0], STREAM_CANCELLED);
        stream_io_cancel(&io, &op[0]);
        expect_nothing();
    }
    /* The one in the middle. */
    for (i = 0; i < 3; i++) stream_io_read(&io, &op[i], &file, data[i], 1);
    expect_nothing();
    stream_io_cancel(&io, &op[1]);
    expect(&op[1], STREAM_CANCELLED);
    far_write(pair[1], "xy", 2);
    expect(&op[0], STREAM_OK);
    expect(&op[2], STREAM_OK);
    CHECK(data[0][0] == 'x' && data[2][0] == 'y');
    /* The first: the others move up. */
    for (i = 0; i < 3; i++) stream_io_read(&io, &op[i], &file, data[i], 1);
    expect_nothing();
    stream_io_cancel(&io, &op[0]);
    expect(&op[0], STREAM_CANCELLED);
    far_write(pair[1], "zw", 2);
    expect(&op[1], STREAM_OK);
    expect(&op[2], STREAM_OK);
    CHECK(data[1][0] == 'z' && data[2][0] == 'w');
    /* Done is done. */
    stream_io_timer(&io, &timer, 0);
    CHECK_EQ(stream_io_wait(&io, 0), STREAM_OK);
    stream_io_cancel(&io, &timer);
    expect(&timer, STREAM_OK);
    stream_io_timer(&io, &timer, STREAM_FOREVER);
    stream_io_cancel(&io, &timer);
    expect(&timer, STREAM_CANCELLED);
    CHECK_EQ(io.in_flight, 0);
    stream_io_close(&io, &file);
    far_close(pair[1]);
    end();
}

static void a_cancelled_write_tells_how_far_it_came(void) {
    static unsigned char data[8 << 20], back[65536];
    stream_fd pair[2];
    stream_io_file file, far;
    stream_io_op op, second, in;
    size_t got = 0;
    make_pattern(data, sizeof data, 0);
    memset(&file, 0, sizeof file);
    memset(&far, 0, sizeof far);
    memset(&op, 0, sizeof op);
    memset(&second, 0, sizeof second);
    memset(&in, 0, sizeof in);
    begin();
    socket_pair(pair);
    stream_io_attach(&io, &file, pair[0]);
    stream_io_attach(&io, &far, pair[1]);
    stream_io_write(&io, &op, &file, data, sizeof data);
    expect_nothing();
    stream_io_cancel(&io, &op);
    expect(&op, STREAM_CANCELLED);
    CHECK(op.bytes < sizeof data);
    stream_io_write(&io, &second, &file, data + op.bytes, 1000);
    while (got < op.bytes + 1000) {
        stream_io_op *o;
        if (in.file == NULL) stream_io_read(&io, &in, &far, back, sizeof back);
        o = next_op();
        if (!o) break;
        if (o != &in) continue;
        CHECK(is_pattern(back, o->bytes, got));
        got += o->bytes;
    }
    CHECK_EQ(got, op.bytes + 1000);
    stream_io_close(&io, &file);
    stream_io_close(&io, &far);
    end();
}

/* The number of a closed descriptor is used again at once; whatever was under way on the old one comes out
   CANCELLED, and nothing of it on the new one. */
static void closed_is_closed(void) {
    stream_fd pair[2], second[2];
    stream_io_file file, other;
    stream_io_op read_op, write_op, other_op;
    static char big[4 << 20];
    char data[8], other_data[8];
    int i;
    for (i = 0; i < 20; i++) {
        int seen = 0;
        memset(&file, 0, sizeof file);
        memset(&other, 0, sizeof other);
        memset(&read_op, 0, sizeof read_op);
        memset(&write_op, 0, sizeof write_op);
        memset(&other_op, 0, sizeof other_op);
        begin();
        socket_pair(pair);
        stream_io_attach(&io, &file, pair[0]);
        stream_io_read(&io, &read_op, &file, data, sizeof data);
        stream_io_write(&io, &write_op, &file, big, sizeof big);
        if (i & 1) expect_nothing();
        if (i & 2) far_write(pair[1], "old", 3); /* there to be read, and too late */
        stream_io_close(&io, &file);
        socket_pair(second);
        stream_io_attach(&io, &other, second[0]);
        stream_io_read(&io, &other_op, &other, other_data, sizeof other_data);
        while (seen < 2) {
            stream_io_op *o = next_op();
            if (!o) break;
            CHECK(o == &read_op || o == &write_op);
            CHECK_EQ(o->status, STREAM_CANCELLED);
            seen++;
        }
        CHECK_EQ(file.pending, 0);
        expect_nothing();
        far_write(second[1], "new", 3);
        expect_read(&other_op, "new");
        stream_io_close(&io, &other);
        far_close(pair[1]);
        far_close(second[1]);
        end();
    }
}

/* Two are done; what is done about the first closes the second's file. */
static void closed_before_it_was_handed_out(void) {
    stream_fd a[2], b[2];
    stream_io_file fa, fb;
    stream_io_op oa, ob, *o;
    char da[8], db[8];
    memset(&fa, 0, sizeof fa);
    memset(&fb, 0, sizeof fb);
    memset(&oa, 0, sizeof oa);
    memset(&ob, 0, sizeof ob);
    begin();
    socket_pair(a);
    socket_pair(b);
    stream_io_attach(&io, &fa, a[0]);
    stream_io_attach(&io, &fb, b[0]);
    far_write(a[1], "a", 1);
    far_write(b[1], "b", 1);
    stream_io_read(&io, &oa, &fa, da, sizeof da);
    stream_io_read(&io, &ob, &fb, db, sizeof db);
    o = next_op();
    if (o == &oa) stream_io_close(&io, &fb);
    else stream_io_close(&io, &fa);
    CHECK_EQ(o->status, STREAM_OK);
    expect(o == &oa ? &ob : &oa, STREAM_CANCELLED);
    CHECK_EQ(io.in_flight, 0);
    stream_io_close(&io, &fa);
    stream_io_close(&io, &fb);
    far_close(a[1]);
    far_close(b[1]);
    end();
}

static void accepts_and_connects(void) {
    enum { CLIENTS = 40 };
    struct sockaddr_in address;
    stream_fd l = listener(&address);
    stream_io_file listening, client[CLIENTS], server[CLIENTS];
    stream_io_op accept_op, connect_op[CLIENTS], read_op[CLIENTS], write_op[CLIENTS];
    char data[CLIENTS][8];
    size_t accepted = 0, connected = 0, read = 0, i;
    memset(&listening, 0, sizeof listening);
    memset(client, 0, sizeof client);
    memset(server, 0, sizeof server);
    memset(&accept_op, 0, sizeof accept_op);
    memset(connect_op, 0, sizeof connect_op);
    memset(read_op, 0, sizeof read_op);
    memset(write_op, 0, sizeof write_op);
    begin();
    CHECK_EQ(stream_io_attach(&io, &listening, l), STREAM_OK);
    CHECK_EQ(stream_io_accept(&io, &accept_op, &listening), STREAM_OK);
    expect_nothing();
    for (i = 0; i < CLIENTS; i++) {
        CHECK_EQ(stream_io_attach(&io, &client[i], fresh_socket()), STREAM_OK);
        CHECK_EQ(stream_io_connect(&io, &connect_op[i], &client[i], &address, sizeof address), STREAM_OK);
        /* Submitted before it can be done: after the connection. */
        stream_io_write(&io, &write_op[i], &client[i], "hello", 5);
    }
    while (read < CLIENTS) {
        stream_io_op *o = next_op();
        if (!o) break;
        CHECK_EQ(o->status, STREAM_OK);
        if (o->verb == STREAM_IO_ACCEPT) {
            CHECK(accepted < CLIENTS && o->fd != -1);
#if !defined(_WIN32)
            CHECK(fcntl(o->fd, F_GETFD) & FD_CLOEXEC);
            CHECK(fcntl(o->fd, F_GETFL) & O_NONBLOCK);
#endif
            CHECK_EQ(stream_io_attach(&io, &server[accepted], o->fd), STREAM_OK);
            stream_io_read(&io, &read_op[accepted], &server[accepted], data[accepted], 8);
            if (++accepted < CLIENTS) stream_io_accept(&io, o, &listening);
        } else if (o->verb == STREAM_IO_CONNECT) {
            connected++;
        } else if (o->verb == STREAM_IO_READ) {
            CHECK_TEXT(o->one.ptr, o->bytes, "hello");
            read++;
        }
    }
    CHECK_EQ(accepted, CLIENTS);
    CHECK_EQ(connected, CLIENTS);
    for (i = 0; i < CLIENTS; i++) stream_io_close(&io, &client[i]), stream_io_close(&io, &server[i]);
    /* Nobody listens. */
    stream_io_close(&io, &listening);
    l = bound(&address);
    memset(&connect_op[0], 0, sizeof connect_op[0]);
    stream_io_attach(&io, &client[0], fresh_socket());
    stream_io_connect(&io, &connect_op[0], &client[0], &address, sizeof address);
    expect(&connect_op[0], STREAM_E_IO);
#if defined(_WIN32)
    CHECK(connect_op[0].os_error == ERROR_CONNECTION_REFUSED || connect_op[0].os_error == WSAECONNREFUSED);
#else
    CHECK_EQ(connect_op[0].os_error, ECONNREFUSED);
#endif
    stream_io_close(&io, &client[0]);
    far_close(l);
    CHECK_EQ(io.in_flight, 0);
    end();
}

static void timers_come_in_order(void) {
    enum { TIMERS = 3000 };
    static stream_io_op op[TIMERS];
    static uint64_t when[TIMERS];
    static bool gone[TIMERS];
    uint64_t seed = 42, last = 0, last_order = 0;
    size_t i, left = 0, got = 0;
    memset(op, 0, sizeof op);
    memset(gone, 0, sizeof gone);
    begin();
    edge.fake_clock = true;
    edge.now = 1000;
    for (i = 0; i < TIMERS; i++) {
        when[i] = 2000 + test_random(&seed) % 500; /* many equal */
        op[i].user = &when[i];
        CHECK_EQ(stream_io_timer(&io, &op[i], when[i]), STREAM_OK);
    }
    CHECK_EQ(stream_io_wait(&io, 0), STREAM_EMPTY);
    for (i = 0; i < TIMERS; i++) {
        size_t at = (size_t)(test_random(&seed) % TIMERS);
        if (i % 3 || gone[at]) continue;
        gone[at] = true;
        stream_io_cancel(&io, &op[at]);
        CHECK_EQ(stream_io_wait(&io, 0), STREAM_OK);
        CHECK(stream_io_next(&io) == &op[at]);
        CHECK_EQ(op[at].status, STREAM_CANCELLED);
        if (i % 2) { /* and once more, later */
            when[at] = 2000 + test_random(&seed) % 500;
            stream_io_timer(&io, &op[at], when[at]);
            gone[at] = false;
        }
    }
    for (i = 0; i < TIMERS; i++) left += !gone[i];
    CHECK_EQ(io.in_flight, left);
    for (edge.now = 1999; edge.now < 2600; edge.now += 7) {
        while (stream_io_wait(&io, 0) == STREAM_OK) {
            stream_io_op *o;
            while ((o = stream_io_next(&io)) != NULL) {
                uint64_t at = *(uint64_t *)o->user;
                CHECK_EQ(o->status, STREAM_OK);
                CHECK(at <= edge.now && at + 7 > edge.now);
                CHECK(at > last || (at == last && o->order > last_order));
                last = at;
                last_order = o->order;
                got++;
            }
        }
    }
    CHECK_EQ(got, left);
    CHECK_EQ(io.in_flight, 0);
    end();
}

static void timers_are_never_early(void) {
    stream_io_op op, sooner;
    int i;
    memset(&op, 0, sizeof op);
    memset(&sooner, 0, sizeof sooner);
    begin();
    for (i = 0; i < 10; i++) {
        uint64_t from = stream_now_ns(), calls;
        stream_io_timer(&io, &op, from + 3000000);
        stream_io_timer(&io, &sooner, from + 1500000);
        calls = edge.calls;
        expect(&sooner, STREAM_OK);
        CHECK(stream_now_ns() >= from + 1500000);
        expect(&op, STREAM_OK);
        CHECK(stream_now_ns() >= from + 3000000);
        CHECK(edge.calls - calls < 20); /* slept, not spun */
    }
    {
        uint64_t from = stream_now_ns();
        CHECK_EQ(stream_io_wait(&io, 2000000), STREAM_EMPTY);
        CHECK(stream_now_ns() >= from + 2000000);
    }
    end();
}

/* A descriptor that always has something does not keep a timer, a wake or another descriptor waiting. */
static void nobody_starves(void) {
    stream_fd busy[2], quiet[2];
    stream_io_file fb[2], fq;
    stream_io_op rd, wr, q, timer;
    static char a[16], b[16];
    char c[4];
    unsigned rounds = 0, open = 2;
    memset(fb, 0, sizeof fb);
    memset(&fq, 0, sizeof fq);
    memset(&rd, 0, sizeof rd);
    memset(&wr, 0, sizeof wr);
    memset(&q, 0, sizeof q);
    memset(&timer, 0, sizeof timer);
    begin();
    socket_pair(busy);
    socket_pair(quiet);
    stream_io_attach(&io, &fb[0], busy[0]);
    stream_io_attach(&io, &fb[1], busy[1]);
    stream_io_attach(&io, &fq, quiet[0]);
    stream_io_read(&io, &q, &fq, c, sizeof c);
    expect_nothing();
    stream_io_timer(&io, &timer, stream_now_ns() + 1000000);
    far_write(quiet[1], "!", 1);
    stream_io_write(&io, &wr, &fb[0], a, sizeof a);
    stream_io_read(&io, &rd, &fb[1], b, sizeof b);
    while (open && rounds < 100000000) {
        stream_io_op *o = next_op();
        if (!o) break;
        rounds++;
        if (o == &q || o == &timer) open--;
        if (o == &wr) stream_io_write(&io, &wr, &fb[0], a, sizeof a);
        if (o == &rd) stream_io_read(&io, &rd, &fb[1], b, sizeof b);
        if (o == &q) CHECK(rounds < 2000);
    }
    CHECK_EQ(open, 0);
    stream_io_close(&io, &fb[0]);
    stream_io_close(&io, &fb[1]);
    stream_io_close(&io, &fq);
    far_close(quiet[1]);
    end();
}

static void wakes(void) {
    int i;
    begin();
    for (i = 0; i < 100; i++) {
        unsigned long writes = edge.at[EDGE_WRITE];
        stream_io_wake(&io);
        stream_io_wake(&io);
        CHECK_EQ(edge.at[EDGE_WRITE], writes); /* nobody sleeps: no system call */
        CHECK_EQ(stream_io_wait(&io, STREAM_FOREVER), STREAM_EMPTY);
        CHECK_EQ(stream_io_wait(&io, 0), STREAM_EMPTY);
    }
    end();
}

/* ==[ io: Windows ]================================================================================== */

#if defined(_WIN32)

/* Overlapped, or not, or another port's: then a thread of the pool waits in the call. */
static void handles(void) {
    int overlapped;
    for (overlapped = 0; overlapped < 3; overlapped++) {
        static char big[300000];
        HANDLE in, out, port = NULL;
        stream_io_file file, other;
        stream_io_op op, wr;
        char data[8];
        DWORD n;
        size_t got = 0;
        int i;
        memset(&file, 0, sizeof file);
        memset(&other, 0, sizeof other);
        memset(&op, 0, sizeof op);
        memset(&wr, 0, sizeof wr);
        begin();
        if (overlapped) {
            char name[64];
            snprintf(name, sizeof name, "\\\\.\\pipe\\stream_io_test_%lu",
                     (unsigned long)GetCurrentProcessId());
            in = CreateNamedPipeA(name, PIPE_ACCESS_INBOUND | FILE_FLAG_OVERLAPPED, 0, 1, 65536, 65536, 0,
                                  NULL);
            out = CreateFileA(name, GENERIC_WRITE, 0, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
        } else {
            CHECK(CreatePipe(&in, &out, NULL, 65536));
        }
        if (overlapped == 2) {
            port = CreateIoCompletionPort(in, NULL, 0, 1);
            CHECK(port && CreateIoCompletionPort(out, port, 0, 0));
        }
        CHECK(in != INVALID_HANDLE_VALUE && out != INVALID_HANDLE_VALUE);
        CHECK_EQ(stream_io_attach(&io, &file, (stream_fd)in), STREAM_OK);
        CHECK_EQ(stream_io_attach(&io, &other, (stream_fd)out), STREAM_OK);
        for (i = 0; i < 3; i++) {
            stream_io_read(&io, &op, &file, data, sizeof data);
            if (i) expect_nothing();
            stream_io_cancel(&io, &op);
            expect(&op, STREAM_CANCELLED);
        }
        stream_io_read(&io, &op, &file, data, sizeof data);
        stream_io_write(&io, &wr, &other, "hello", 5);
        for (i = 0; i < 2; i++) next_op();
        CHECK_TEXT(data, op.bytes, "hello");
        CHECK_EQ(wr.bytes, 5);
        stream_io_write(&io, &wr, &other, big, sizeof big); /* more than it holds */
        while (got < sizeof big) {
            stream_io_op *o;
            if (op.file == NULL) stream_io_read(&io, &op, &file, data, sizeof data);
            o = next_op();
            if (!o) break;
            CHECK_EQ(o->status, STREAM_OK);
            if (o == &op) got += o->bytes;
            else stream_io_close(&io, &other);
        }
        CHECK_EQ(got, sizeof big);
        if (op.file == NULL) stream_io_read(&io, &op, &file, data, sizeof data);
        for (;;) { /* the write, if it is not out yet, and the end */
            stream_io_op *o = next_op();
            if (!o || o == &op) break;
            stream_io_close(&io, &other);
        }
        CHECK_EQ(op.status, STREAM_END);
        stream_io_poll(&io, &op, &file, STREAM_IO_READABLE);
        expect(&op, STREAM_E_TYPE);
        stream_io_close(&io, &file);
        CHECK_EQ(io.in_flight, 0);
        end();
        if (port) { /* which heard nothing of all that */
            OVERLAPPED *any;
            ULONG_PTR key;
            CHECK(!GetQueuedCompletionStatus(port, &n, &key, &any, 0) && GetLastError() == WAIT_TIMEOUT);
            CloseHandle(port);
            continue;
        }
        /* A file has one position for reads and writes. */
        {
            char path[MAX_PATH + 1], name[MAX_PATH + 1];
            GetTempPathA(MAX_PATH, path);
            GetTempFileNameA(path, "sio", 0, name);
            in = CreateFileA(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                             FILE_FLAG_DELETE_ON_CLOSE | (overlapped ? FILE_FLAG_OVERLAPPED : 0), NULL);
            CHECK(in != INVALID_HANDLE_VALUE);
            memset(&file, 0, sizeof file);
            begin();
            if (overlapped) {
                n = 0;
            } else {
                /* Where the handle stands counts: others share it, and have written before us. */
                CHECK(WriteFile(in, "??0123456", 9, &n, NULL));
                CHECK_EQ(SetFilePointer(in, 2, NULL, FILE_BEGIN), 2);
            }
            CHECK_EQ(stream_io_attach(&io, &file, (stream_fd)in), STREAM_OK);
            if (overlapped) {
                stream_io_write(&io, &wr, &file, "01234567", 8);
                expect(&wr, STREAM_OK);
                stream_io_write(&io, &wr, &file, "ab", 2);
                expect(&wr, STREAM_OK);
                CHECK_EQ(file.position, 10);
                file.position = 0;
            }
            if (!overlapped) {
                stream_io_read(&io, &op, &file, data, 4);
                expect_read(&op, "0123");
                CHECK_EQ(SetFilePointer(in, 0, NULL, FILE_END), 9);
                stream_io_write(&io, &wr, &file, "7ab", 3);
                expect(&wr, STREAM_OK);
                CHECK_EQ(SetFilePointer(in, 0, NULL, FILE_CURRENT), 12);
                CHECK_EQ(SetFilePointer(in, 2, NULL, FILE_BEGIN), 2);
            }
            stream_io_read(&io, &op, &file, data, 8);
            expect_read(&op, "01234567");
            stream_io_read(&io, &op, &file, data, 8);
            expect_read(&op, "ab");
            stream_io_read(&io, &op, &file, data, 8);
            expect(&op, STREAM_END);
            stream_io_close(&io, &file);
            end();
        }
    }
}

static DWORD WINAPI waker(void *arg) {
    stream_io_op *op = (stream_io_op *)arg;
    int i;
    for (i = 0; i < 1000; i++) stream_io_wake(&io);
    stream_io_post(&io, op);
    return 0;
}

static void threads_wake_and_post(void) {
    int i;
    for (i = 0; i < 50; i++) {
        stream_io_op op;
        HANDLE thread;
        memset(&op, 0, sizeof op);
        begin();
        thread = CreateThread(NULL, 0, waker, &op, 0, NULL);
        expect(&op, STREAM_OK);
        WaitForSingleObject(thread, INFINITE);
        CloseHandle(thread);
        end();
    }
}

#endif

/* ==[ io: POSIX ]==================================================================================== */

#if !defined(_WIN32)

static void pipe_pair(int ends[2], bool nonblocking) {
    CHECK(pipe(ends) == 0);
    if (nonblocking) nonblock(ends[0]), nonblock(ends[1]);
}

static void pipes_hang_up_once(void) {
    int ends[2], i;
    stream_io_file file;
    stream_io_op op;
    char data[4];
    memset(&file, 0, sizeof file);
    memset(&op, 0, sizeof op);
    begin();
    for (i = 0; i < 8; i++) {
        pipe_pair(ends, i & 1);
        CHECK_EQ(stream_io_attach(&io, &file, ends[0]), STREAM_OK);
        if (i & 2) {
            stream_io_read(&io, &op, &file, data, sizeof data);
            expect_nothing();
        }
        far_write(ends[1], "abcdef", 6);
        if (i & 4) far_close(ends[1]);
        if (!(i & 2)) stream_io_read(&io, &op, &file, data, sizeof data);
        expect_read(&op, "abcd");
        stream_io_read(&io, &op, &file, data, sizeof data);
        expect_read(&op, "ef");
        stream_io_read(&io, &op, &file, data, sizeof data);
        if (!(i & 4)) {
            expect_nothing();
            far_close(ends[1]);
        }
        expect(&op, STREAM_END);
        expect_nothing();
        stream_io_read(&io, &op, &file, data, sizeof data);
        expect(&op, STREAM_END);
        stream_io_close(&io, &file);
    }
    end();
}

/* Standard input and output as a shell hands them out: blocking, shared with others. */
static void shared_descriptors_keep_their_flags(void) {
    static unsigned char data[300 * 1000], back[4096];
    int ends[2], in_flags, out_flags;
    stream_io_file in, out;
    stream_io_op rd, wr, timer;
    size_t got = 0;
    bool wrote = false;
    make_pattern(data, sizeof data, 0);
    memset(&in, 0, sizeof in);
    memset(&out, 0, sizeof out);
    memset(&rd, 0, sizeof rd);
    memset(&wr, 0, sizeof wr);
    memset(&timer, 0, sizeof timer);
    begin();
    pipe_pair(ends, false);
    in_flags = fcntl(ends[0], F_GETFL);
    out_flags = fcntl(ends[1], F_GETFL);
    stream_io_attach(&io, &in, ends[0]);
    stream_io_attach(&io, &out, ends[1]);
    stream_io_read(&io, &rd, &in, back, sizeof back);
    stream_io_timer(&io, &timer, 0); /* a read of nothing does not hold the loop */
    expect(&timer, STREAM_OK);
    stream_io_write(&io, &wr, &out, data, sizeof data); /* and neither does a write into a full pipe */
    stream_io_timer(&io, &timer, 0);
    while (got < sizeof data || !wrote || timer.state) {
        stream_io_op *o = next_op();
        if (!o) break;
        CHECK_EQ(o->status, STREAM_OK);
        CHECK_EQ(fcntl(ends[0], F_GETFL), in_flags);
        CHECK_EQ(fcntl(ends[1], F_GETFL), out_flags);
        if (o == &rd) {
            CHECK(is_pattern(back, o->bytes, got));
            got += o->bytes;
            if (got < sizeof data) stream_io_read(&io, &rd, &in, back, sizeof back);
        } else if (o == &wr) {
            CHECK_EQ(o->bytes, sizeof data);
            wrote = true;
        }
    }
    stream_io_read(&io, &rd, &in, back, sizeof back);
    expect_nothing();
    stream_io_detach(&io, &in);
    expect(&rd, STREAM_CANCELLED);
    CHECK_EQ(fcntl(ends[0], F_GETFL), in_flags); /* still open */
    stream_io_close(&io, &out);
    CHECK_EQ(read(ends[0], back, 1), 0); /* nobody else holds it open */
    close(ends[0]);
    end();
}

static void regular_files(void) {
    char path[] = "/tmp/stream_io_XXXXXX", data[8];
    int fd = mkstemp(path);
    stream_io_file file;
    stream_io_op op;
    memset(&file, 0, sizeof file);
    memset(&op, 0, sizeof op);
    begin();
    CHECK(fd >= 0);
    unlink(path);
    CHECK_EQ(stream_io_attach(&io, &file, fd), STREAM_OK);
    stream_io_write(&io, &op, &file, "0123456789", 10);
    expect(&op, STREAM_OK);
    stream_io_write(&io, &op, &file, "ab", 2); /* at the file's own position */
    expect(&op, STREAM_OK);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 12);
    lseek(fd, 0, SEEK_SET);
    stream_io_read(&io, &op, &file, data, 8);
    expect_read(&op, "01234567");
    stream_io_read(&io, &op, &file, data, 8);
    expect_read(&op, "89ab");
    stream_io_read(&io, &op, &file, data, 8);
    expect(&op, STREAM_END);
    stream_io_poll(&io, &op, &file, STREAM_IO_READABLE);
    expect(&op, STREAM_OK);
    CHECK_EQ(op.events & STREAM_IO_READABLE, STREAM_IO_READABLE);
    stream_io_poll(&io, &op, &file, 0); /* never hangs up */
    expect_nothing();
    stream_io_close(&io, &file);
    expect(&op, STREAM_CANCELLED);
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    stream_io_attach(&io, &file, fd);
    stream_io_write(&io, &op, &file, "gone", 4);
    expect(&op, STREAM_OK);
    stream_io_read(&io, &op, &file, data, 8);
    expect(&op, STREAM_END);
    stream_io_poll(&io, &op, &file, STREAM_IO_READABLE);
    expect(&op, STREAM_OK);
    CHECK_EQ(op.events, STREAM_IO_READABLE);
    stream_io_close(&io, &file);
    fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        stream_io_attach(&io, &file, fd);
        stream_io_write(&io, &op, &file, "full", 4);
        expect(&op, STREAM_E_IO);
        CHECK_EQ(op.os_error, ENOSPC);
        stream_io_close(&io, &file);
    }
    /* What it was not opened for. */
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    stream_io_attach(&io, &file, fd);
    stream_io_write(&io, &op, &file, "x", 1);
    expect(&op, STREAM_E_IO);
    CHECK_EQ(op.os_error, EBADF);
    stream_io_close(&io, &file);
    end();
}

static void terminals(void) {
    int i;
    for (i = 0; i < 4; i++) {
        bool nonblocking = i & 1, master_side = i & 2;
        int master = posix_openpt(O_RDWR | O_NOCTTY), slave, flags;
        stream_io_file file;
        stream_io_op op;
        char data[64];
        memset(&file, 0, sizeof file);
        memset(&op, 0, sizeof op);
        begin();
        if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0 ||
            (slave = open(ptsname(master), O_RDWR | O_NOCTTY)) < 0) {
            test_skip("no pseudo-terminal to be had");
            end();
            return;
        }
        if (nonblocking) nonblock(master_side ? master : slave);
        flags = fcntl(master_side ? master : slave, F_GETFL);
        CHECK_EQ(stream_io_attach(&io, &file, master_side ? master : slave), STREAM_OK);
        stream_io_read(&io, &op, &file, data, sizeof data);
        expect_nothing();
        /* A terminal hands out a line at a time, whatever there is: the second must not be forgotten. */
        far_write(master_side ? slave : master, master_side ? "one" : "one\ntwo\n", master_side ? 3 : 8);
        expect_read(&op, master_side ? "one" : "one\n");
        if (!master_side) {
            stream_io_read(&io, &op, &file, data, sizeof data);
            expect_read(&op, "two\n");
        }
        stream_io_write(&io, &op, &file, "out\n", 4);
        expect(&op, STREAM_OK);
        stream_io_read(&io, &op, &file, data, sizeof data);
        if (master_side) { /* its own line, echoed */
            expect_read(&op, "out\r\n");
            stream_io_read(&io, &op, &file, data, sizeof data);
        }
        expect_nothing();
        CHECK_EQ(fcntl(master_side ? master : slave, F_GETFL), flags);
        far_close(master_side ? slave : master);
        expect(&op, STREAM_END);
        stream_io_close(&io, &file);
        end();
    }
}

static void polls(void) {
    int ends[2];
    stream_fd pair[2];
    stream_io_file file, other;
    stream_io_op op, rd;
    char data[8];
    memset(&file, 0, sizeof file);
    memset(&other, 0, sizeof other);
    memset(&op, 0, sizeof op);
    memset(&rd, 0, sizeof rd);
    begin();
    /* The reader of our output leaves while we have nothing to say. */
    pipe_pair(ends, false);
    stream_io_attach(&io, &file, ends[1]);
    stream_io_poll(&io, &op, &file, 0);
    expect_nothing();
    far_close(ends[0]);
    expect(&op, STREAM_OK);
    CHECK_EQ(op.events, STREAM_IO_HANGUP);
    stream_io_close(&io, &file);
    /* Beside a write that waits, and after it. */
    pipe_pair(ends, true);
    stream_io_attach(&io, &file, ends[1]);
    stream_io_poll(&io, &op, &file, STREAM_IO_WRITABLE);
    expect(&op, STREAM_OK);
    CHECK_EQ(op.events, STREAM_IO_WRITABLE);
    while (write(ends[1], data, sizeof data) > 0) {
    }
    stream_io_poll(&io, &op, &file, STREAM_IO_WRITABLE);
    expect_nothing();
    {
        static char sink[1 << 20];
        CHECK(read(ends[0], sink, sizeof sink) > 0);
    }
    expect(&op, STREAM_OK);
    stream_io_close(&io, &file);
    close(ends[0]);
    /* Beside a write that had to wait and is done: a pipe with room is nothing to wake up for. */
    {
        static char much[1 << 20];
        struct timespec before, after;
        size_t drained = 0;
        pipe_pair(ends, false);
        stream_io_attach(&io, &file, ends[1]);
        stream_io_poll(&io, &op, &file, 0);
        stream_io_write(&io, &rd, &file, much, sizeof much / 4);
        expect_nothing();
        while (drained < sizeof much / 4) {
            ssize_t n = read(ends[0], much, sizeof much);
            if (n > 0) drained += (size_t)n;
            (void)stream_io_wait(&io, 0);
        }
        expect(&rd, STREAM_OK);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
        CHECK_EQ(stream_io_wait(&io, UINT64_C(200000000)), STREAM_EMPTY);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
        CHECK((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec < 50000000);
        far_close(ends[0]);
        expect(&op, STREAM_OK);
        CHECK_EQ(op.events, STREAM_IO_HANGUP | (op.events & STREAM_IO_WRITABLE));
        stream_io_close(&io, &file);
    }
    /* Readable: seen, not taken. */
    socket_pair(pair);
    stream_io_attach(&io, &file, pair[0]);
    stream_io_poll(&io, &op, &file, STREAM_IO_READABLE);
    expect_nothing();
    far_write(pair[1], "here", 4);
    expect(&op, STREAM_OK);
    CHECK_EQ(op.events, STREAM_IO_READABLE);
    stream_io_poll(&io, &op, &file, STREAM_IO_READABLE);
    expect(&op, STREAM_OK);
    stream_io_read(&io, &rd, &file, data, sizeof data);
    expect_read(&rd, "here");
    stream_io_poll(&io, &op, &file, STREAM_IO_READABLE);
    expect_nothing();
    stream_io_cancel(&io, &op);
    expect(&op, STREAM_CANCELLED);
    stream_io_poll(&io, &op, &file, STREAM_IO_READABLE);
    far_close(pair[1]);
    expect(&op, STREAM_OK);
    CHECK(op.events & STREAM_IO_READABLE);
    stream_io_close(&io, &file);
    /* A channel's wake descriptor: to wait for, not to read. */
    {
        stream_channel channel;
        stream_channel_desc desc;
        void *item = NULL;
        int i;
        memset(&desc, 0, sizeof desc);
        desc.wake_fd = true;
        CHECK_EQ(stream_channel_init(&channel, &desc), STREAM_OK);
        stream_io_attach(&io, &other, stream_channel_fd(&channel));
        for (i = 0; i < 10; i++) {
            CHECK_EQ(stream_channel_arm(&channel), STREAM_EMPTY);
            stream_io_poll(&io, &op, &other, STREAM_IO_READABLE);
            expect_nothing();
            CHECK_EQ(stream_channel_send(&channel, &desc, 0), STREAM_OK);
            expect(&op, STREAM_OK);
            CHECK_EQ(stream_channel_recv(&channel, &item, 0), STREAM_OK);
        }
        stream_io_detach(&io, &other);
        stream_channel_free(&channel);
    }
    end();
}

static void resets_and_broken_pipes(void) {
    stream_fd pair[2];
    int ends[2];
    stream_io_file file;
    stream_io_op op, wr;
    char data[8];
    struct linger hard = {1, 0};
    memset(&file, 0, sizeof file);
    memset(&op, 0, sizeof op);
    memset(&wr, 0, sizeof wr);
    begin();
    tcp_pair(pair);
    stream_io_attach(&io, &file, pair[0]);
    stream_io_read(&io, &op, &file, data, sizeof data);
    expect_nothing();
    setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    far_close(pair[1]);
    expect(&op, STREAM_E_IO);
    CHECK_EQ(op.os_error, ECONNRESET);
    stream_io_write(&io, &wr, &file, "x", 1);
    expect(&wr, STREAM_E_IO);
    CHECK(wr.os_error == EPIPE || wr.os_error == ECONNRESET);
    stream_io_close(&io, &file);
    /* No SIGPIPE, which would end this program: a socket. */
    socket_pair(pair);
    far_close(pair[1]);
    stream_io_attach(&io, &file, pair[0]);
    stream_io_write(&io, &wr, &file, "x", 1);
    expect(&wr, STREAM_E_IO);
    CHECK_EQ(wr.os_error, EPIPE);
    stream_io_close(&io, &file);
    signal(SIGPIPE, SIG_IGN);
    pipe_pair(ends, true);
    stream_io_attach(&io, &file, ends[1]);
    {
        static char big[1 << 20];
        stream_io_write(&io, &wr, &file, big, sizeof big);
        expect_nothing();
        close(ends[0]); /* its reader leaves while it waits */
        expect(&wr, STREAM_E_IO);
        CHECK_EQ(wr.os_error, EPIPE);
        CHECK(wr.bytes > 0 && wr.bytes < sizeof big);
    }
    stream_io_close(&io, &file);
    signal(SIGPIPE, SIG_DFL);
    end();
}

/* An urgent byte cuts a TCP read short although there is more: the one case in which less than asked for does
   not mean that all is read. */
static void urgent_data_hides_nothing(void) {
    int i;
    for (i = 0; i < 2; i++) {
        stream_fd pair[2];
        stream_io_file file;
        stream_io_op op;
        char data[64], all[64];
        size_t got = 0;
        memset(&file, 0, sizeof file);
        memset(&op, 0, sizeof op);
        begin();
        tcp_pair(pair);
        stream_io_attach(&io, &file, pair[0]);
        if (i == 0) {
            stream_io_read(&io, &op, &file, data, sizeof data);
            expect_nothing();
        }
        far_write(pair[1], "before", 6);
        CHECK_EQ(send(pair[1], "!", 1, MSG_OOB), 1);
        far_write(pair[1], "after", 5);
        if (i == 1) stream_io_read(&io, &op, &file, data, sizeof data);
        while (got < 11) {
            if (next_op() != &op || op.status != STREAM_OK) break;
            memcpy(all + got, data, op.bytes);
            got += op.bytes;
            if (got < 11) stream_io_read(&io, &op, &file, data, sizeof data);
        }
        CHECK_BYTES(all, got, "beforeafter", 11);
        stream_io_close(&io, &file);
        far_close(pair[1]);
        end();
    }
}

static void datagrams(void) {
    int pair[2];
    stream_io_file file;
    stream_io_op op;
    char data[16];
    memset(&file, 0, sizeof file);
    memset(&op, 0, sizeof op);
    begin();
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    stream_io_attach(&io, &file, pair[0]);
    CHECK_EQ(send(pair[1], "a", 1, 0), 1);
    CHECK_EQ(send(pair[1], "", 0, 0), 0);
    CHECK_EQ(send(pair[1], "bc", 2, 0), 2);
    stream_io_read(&io, &op, &file, data, sizeof data);
    expect_read(&op, "a");
    stream_io_read(&io, &op, &file, data, sizeof data);
    expect_read(&op, ""); /* a message of nothing is not the end */
    stream_io_read(&io, &op, &file, data, sizeof data);
    expect_read(&op, "bc");
    stream_io_close(&io, &file);
    close(pair[1]);
    end();
}

static void no_descriptor_left(void) {
    struct sockaddr_in address;
    struct rlimit limit, small;
    stream_io_file listening;
    stream_io_op op;
    stream_fd client = fresh_socket();
    int taken[64], n = 0, i;
    unsigned long calls;
    memset(&listening, 0, sizeof listening);
    memset(&op, 0, sizeof op);
    begin();
    stream_io_attach(&io, &listening, listener(&address));
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    small = limit;
    small.rlim_cur = (rlim_t)listening.fd + 20;
    CHECK(setrlimit(RLIMIT_NOFILE, &small) == 0);
    stream_io_accept(&io, &op, &listening);
    expect_nothing();
    while (n < 64 && (taken[n] = dup(1)) >= 0) n++;
    CHECK(n < 64);
    nonblock(client);
    CHECK(connect(client, (struct sockaddr *)&address, sizeof address) != 0);
    expect(&op, STREAM_E_IO);
    CHECK_EQ(op.os_error, EMFILE);
    calls = edge.calls;
    expect_nothing(); /* said once, and then it is quiet */
    CHECK(edge.calls - calls <= 4);
    stream_io_accept(&io, &op, &listening);
    expect(&op, STREAM_E_IO);
    CHECK_EQ(op.os_error, EMFILE);
    close(taken[--n]);
    stream_io_accept(&io, &op, &listening);
    expect(&op, STREAM_OK); /* the connection is still there */
    close(op.fd);
    for (i = 0; i < n; i++) close(taken[i]);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    stream_io_close(&io, &listening);
    close(client);
    end();
}

static void freed_with_work_under_way(void) {
    static char big[1 << 20], data[64];
    size_t before = open_descriptors();
    int i;
    for (i = 0; i < 10; i++) {
        struct sockaddr_in address;
        stream_fd pair[2], client;
        stream_io_file file, listening;
        stream_io_op rd, wr, timer, ac;
        memset(&file, 0, sizeof file);
        memset(&listening, 0, sizeof listening);
        memset(&rd, 0, sizeof rd);
        memset(&wr, 0, sizeof wr);
        memset(&timer, 0, sizeof timer);
        memset(&ac, 0, sizeof ac);
        begin();
        socket_pair(pair);
        stream_io_attach(&io, &file, pair[0]);
        stream_io_attach(&io, &listening, listener(&address));
        client = fresh_socket();
        CHECK(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
        stream_io_read(&io, &rd, &file, data, sizeof data);
        stream_io_write(&io, &wr, &file, big, sizeof big);
        stream_io_timer(&io, &timer, STREAM_FOREVER - 1);
        stream_io_accept(&io, &ac, &listening);
        if (i & 1) stream_io_wait(&io, 0); /* accepted, and never handed out */
        if (i & 2) close(listening.fd); /* by the number it had: not ours any more after this */
        memset(data, 'u', sizeof data);
        if (i & 4) stream_io_close(&io, &file);
        if (!(i & 2)) {
            stream_fd l = listening.fd;
            end();
            close(l);
        } else {
            end();
        }
        if (!(i & 4)) {
            far_write(pair[1], "late", 4); /* the buffer is ours again */
            CHECK(data[0] == 'u');
            close(pair[0]);
        }
        close(pair[1]);
        close(client);
    }
    CHECK_EQ(open_descriptors(), before);
}

/* What an operation costs in system calls does not depend on how many others are in flight. */
static double calls_for_each(size_t pairs, size_t busy) {
    static stream_io_file file[1000];
    static stream_io_op op[1000];
    static char data[1000][16];
    static int pair[1000][2];
    size_t i, rounds, ops = 0;
    unsigned long before;
    memset(file, 0, sizeof file);
    memset(op, 0, sizeof op);
    begin();
    for (i = 0; i < pairs; i++) {
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair[i]) == 0);
        stream_io_attach(&io, &file[i], pair[i][0]);
        stream_io_read(&io, &op[i], &file[i], data[i], 16);
    }
    expect_nothing();
    before = edge.calls;
    for (rounds = 0; rounds < 20; rounds++) {
        for (i = 0; i < busy; i++) far_write(pair[i * (pairs / busy)][1], "x", 1);
        for (i = 0; i < busy; i++, ops++) {
            stream_io_op *o = next_op();
            if (!o) break;
            stream_io_read(&io, o, o == NULL ? NULL : &file[o - op], data[o - op], 16);
        }
    }
    before = edge.calls - before;
    for (i = 0; i < pairs; i++) stream_io_close(&io, &file[i]), close(pair[i][1]);
    end();
    return (double)before / (double)ops;
}

static void a_thousand_cost_no_more_than_ten(void) {
    struct rlimit limit;
    double ten, thousand;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 2100) {
        limit.rlim_cur = 2100;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            test_skip("2,100 descriptors are not to be had");
            return;
        }
    }
    ten = calls_for_each(10, 10);
    thousand = calls_for_each(1000, 10);
    CHECK(ten > 0 && thousand <= ten * 1.05);
    CHECK(calls_for_each(1000, 1000) <= ten * 1.05);
}

static void an_idle_loop_sleeps(void) {
    int ends[2];
    stream_io_file file;
    stream_io_op op;
    char data[4];
    memset(&file, 0, sizeof file);
    memset(&op, 0, sizeof op);
    begin();
    pipe_pair(ends, true);
    stream_io_attach(&io, &file, ends[0]);
    far_write(ends[1], "more than is asked for", 22); /* with nobody to take it: no spin either */
    CHECK_EQ(stream_io_wait(&io, 20000000), STREAM_EMPTY);
    CHECK(edge.calls <= 4);
    stream_io_read(&io, &op, &file, data, 4);
    expect_read(&op, "more");
    edge.calls = 0;
    CHECK_EQ(stream_io_wait(&io, 20000000), STREAM_EMPTY);
    CHECK(edge.calls <= 4);
    close(ends[1]); /* a hang-up nobody asked about */
    edge.calls = 0;
    CHECK_EQ(stream_io_wait(&io, 20000000), STREAM_EMPTY);
    CHECK(edge.calls <= 5);
    stream_io_close(&io, &file);
    end();
}

/* --- threads and signals --- */

static void *waker(void *arg) {
    size_t i, n = scaled(20000);
    (void)arg;
    for (i = 0; i < n; i++) {
        stream_io_wake(&io);
        if (i % 64 == 0) sched_yield();
    }
    return NULL;
}

static pthread_mutex_t ping_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ping_turn = PTHREAD_COND_INITIALIZER;
static size_t ping_asked;

/* Wakes once for each time it is asked to, so that a single lost one would stop everything. */
static void *ponger(void *arg) {
    size_t i, n = *(size_t *)arg;
    for (i = 1; i <= n; i++) {
        pthread_mutex_lock(&ping_lock);
        while (ping_asked < i) pthread_cond_wait(&ping_turn, &ping_lock);
        pthread_mutex_unlock(&ping_lock);
        stream_io_wake(&io);
    }
    return NULL;
}

static void no_wake_is_lost(void) {
    size_t n = scaled(20000), i;
    pthread_t t[4];
    begin();
    ping_asked = 0;
    CHECK(pthread_create(&t[0], NULL, ponger, &n) == 0);
    for (i = 1; i <= n; i++) {
        pthread_mutex_lock(&ping_lock);
        ping_asked = i;
        pthread_cond_signal(&ping_turn);
        pthread_mutex_unlock(&ping_lock);
        if (stream_io_wait(&io, UINT64_C(10000000000)) != STREAM_EMPTY) break;
    }
    CHECK_EQ(i, n + 1);
    pthread_join(t[0], NULL);
    for (i = 0; i < 4; i++) pthread_create(&t[i], NULL, waker, NULL);
    for (i = 0; i < 100; i++) CHECK_EQ(stream_io_wait(&io, 1000000), STREAM_EMPTY);
    for (i = 0; i < 4; i++) pthread_join(t[i], NULL);
    end();
}

typedef struct poster {
    pthread_t thread;
    size_t count, next;
    stream_io_op *op;
    size_t *number;
} poster;

static void *post_all(void *arg) {
    poster *p = (poster *)arg;
    size_t i;
    for (i = 0; i < p->count; i++) {
        p->number[i] = i; /* read over there without a lock */
        stream_io_post(&io, &p->op[i]);
        if (i % 50 == 7) sched_yield();
    }
    return NULL;
}

static void posts_arrive_in_order(void) {
    enum { POSTERS = 4 };
    poster p[POSTERS];
    size_t i, k, total = 0, got = 0, n = scaled(20000);
    begin();
    for (i = 0; i < POSTERS; i++) {
        p[i].count = n;
        p[i].next = 0;
        p[i].op = (stream_io_op *)calloc(n, sizeof *p[i].op);
        p[i].number = (size_t *)calloc(n, sizeof *p[i].number);
        for (k = 0; k < n; k++) p[i].op[k].user = &p[i];
        total += n;
    }
    for (i = 0; i < POSTERS; i++) CHECK(pthread_create(&p[i].thread, NULL, post_all, &p[i]) == 0);
    while (got < total) {
        stream_io_op *o = next_op();
        poster *from;
        if (!o) break;
        from = (poster *)o->user;
        CHECK_EQ(o->verb, STREAM_IO_POST);
        CHECK(o == &from->op[from->next] && from->number[from->next] == from->next);
        from->next++;
        got++;
    }
    CHECK_EQ(got, total);
    CHECK_EQ(io.in_flight, 0);
    for (i = 0; i < POSTERS; i++) {
        pthread_join(p[i].thread, NULL);
        free(p[i].op);
        free(p[i].number);
    }
    end();
}

static volatile sig_atomic_t alarms;
static void on_alarm(int number) {
    (void)number;
    alarms++;
    stream_io_wake(&io);
}

/* A signal a millisecond (and a wake from its handler), while bytes flow. */
static void a_storm_of_signals(void) {
    static unsigned char data[1 << 20], back[8192];
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    struct sigaction act, before;
    stream_fd pair[2];
    stream_io_file file, far;
    stream_io_op wr, rd;
    size_t got = 0, round, rounds = scaled(40);
    make_pattern(data, sizeof data, 0);
    memset(&act, 0, sizeof act);
    act.sa_handler = on_alarm; /* no SA_RESTART: everything is interrupted */
    memset(&file, 0, sizeof file);
    memset(&far, 0, sizeof far);
    memset(&wr, 0, sizeof wr);
    memset(&rd, 0, sizeof rd);
    begin();
    socket_pair(pair);
    stream_io_attach(&io, &file, pair[0]);
    stream_io_attach(&io, &far, pair[1]);
    alarms = 0;
    sigaction(SIGALRM, &act, &before);
    setitimer(ITIMER_REAL, &often, NULL);
    for (round = 0; round < rounds || alarms < 5; round++) {
        got = 0;
        stream_io_write(&io, &wr, &file, data, sizeof data);
        stream_io_read(&io, &rd, &far, back, sizeof back);
        while (got < sizeof data || wr.state) {
            stream_io_op *o = next_op();
            if (!o) break;
            CHECK_EQ(o->status, STREAM_OK);
            if (o != &rd) continue;
            CHECK(is_pattern(back, o->bytes, got));
            got += o->bytes;
            if (got < sizeof data) stream_io_read(&io, &rd, &far, back, sizeof back);
        }
        CHECK_EQ(got, sizeof data);
        if (got < sizeof data) break;
    }
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    CHECK(alarms > 0);
    stream_io_close(&io, &file);
    stream_io_close(&io, &far);
    end();
}

/* --- things go wrong --- */

typedef struct transfer { /* bytes from one file to another, by operations that are repeated when they fail */
    stream_io_file from, to;
    stream_io_op wr, rd;
    unsigned char data[6000], back[700];
    size_t sent, got;
} transfer;

static void transfer_write(transfer *t) {
    size_t len = sizeof t->data - t->sent < 2000 ? sizeof t->data - t->sent : 2000;
    if (len > 0) stream_io_write(&io, &t->wr, &t->from, t->data + t->sent, len);
}

static void transfer_read(transfer *t) { stream_io_read(&io, &t->rd, &t->to, t->back, sizeof t->back); }

static void transfer_begin(transfer *t, stream_fd from, stream_fd to) {
    memset(t, 0, sizeof *t);
    make_pattern(t->data, sizeof t->data, 0);
    CHECK_EQ(stream_io_attach(&io, &t->from, from), STREAM_OK);
    CHECK_EQ(stream_io_attach(&io, &t->to, to), STREAM_OK);
    t->wr.user = t->rd.user = t;
    transfer_read(t);
    transfer_write(t);
}

/* Returns whether the transfer has just ended: everything sent, and END read after the last byte. */
static bool transfer_go_on(transfer *t, stream_io_op *op) {
    if (op->status != STREAM_OK && op->status != STREAM_END) {
        CHECK_EQ(op->status, STREAM_E_IO);
        CHECK_EQ(op->os_error, edge.error);
    }
    if (op == &t->wr) {
        t->sent += op->bytes; /* also when it failed */
        if (t->sent < sizeof t->data) transfer_write(t);
        else stream_io_close(&io, &t->from);
        return false;
    }
    CHECK(is_pattern(t->back, op->bytes, t->got));
    t->got += op->bytes;
    if (op->status == STREAM_END) return true;
    transfer_read(t);
    return false;
}

/* Three transfers, an accept and a connect, a timer, a poll, a wake and a cancelled read. */
static bool a_bit_of_everything(void) {
    static transfer t[4];
    struct sockaddr_in address;
    stream_fd pair[2];
    stream_io_file listening, client, quiet;
    stream_io_op ac, co, timer, watch, never;
    char nothing[4];
    int ends[2], left = 4, accepted = -1, rounds = 0, others = 4;
    int most = edge.error == EDGE_SHORT ? 30000 : 3000;
    stream_io_desc desc;
    memset(&listening, 0, sizeof listening);
    memset(&client, 0, sizeof client);
    memset(&quiet, 0, sizeof quiet);
    memset(&ac, 0, sizeof ac);
    memset(&co, 0, sizeof co);
    memset(&timer, 0, sizeof timer);
    memset(&watch, 0, sizeof watch);
    memset(&never, 0, sizeof never);
    memset(&desc, 0, sizeof desc);
    desc.backends = backend;
    desc.entries = ring_entries;
    while (stream_io_init(&io, &desc) != STREAM_OK)
        if (++rounds > 3) return false;
    stream_io_attach(&io, &listening, listener(&address));
    stream_io_attach(&io, &client, fresh_socket());
    stream_io_accept(&io, &ac, &listening);
    stream_io_connect(&io, &co, &client, &address, sizeof address);
    socket_pair(pair);
    stream_io_attach(&io, &quiet, pair[0]);
    stream_io_read(&io, &never, &quiet, nothing, sizeof nothing);
    stream_io_poll(&io, &watch, &quiet, STREAM_IO_WRITABLE);
    stream_io_timer(&io, &timer, 1);
    socket_pair(ends);
    transfer_begin(&t[0], ends[0], ends[1]);
    pipe_pair(ends, true);
    transfer_begin(&t[1], ends[1], ends[0]);
    pipe_pair(ends, false);
    transfer_begin(&t[2], ends[1], ends[0]);
    stream_io_wake(&io);
    stream_io_cancel(&io, &never);
    while ((left || others) && ++rounds < most) {
        stream_io_op *op;
        stream_status status = stream_io_wait(&io, 100000000);
        if (status < 0) CHECK_EQ(io.os_error, edge.error);
        while ((op = stream_io_next(&io)) != NULL) {
            bool ok = op->status == STREAM_OK;
            if (!ok && op->status != STREAM_END && op != &never) CHECK_EQ(op->os_error, edge.error);
            if (op == &ac) {
                if (ok) accepted = op->fd;
                else stream_io_accept(&io, &ac, &listening);
            } else if (op == &co) {
                if (!ok) stream_io_connect(&io, &co, &client, &address, sizeof address);
            } else if (op == &timer) {
                CHECK_EQ(op->status, STREAM_OK);
                others--;
            } else if (op == &watch) {
                if (ok) others--;
                else stream_io_poll(&io, &watch, &quiet, STREAM_IO_WRITABLE);
            } else if (op == &never) {
                if (op->status == STREAM_CANCELLED) others--;
                else
                    stream_io_cancel(
                        &io, (stream_io_read(&io, &never, &quiet, nothing, sizeof nothing), &never));
            } else if (transfer_go_on((transfer *)op->user, op)) {
                left--;
            }
            if (accepted >= 0 && co.state == 0 && co.verb && co.status == STREAM_OK && others > 0 &&
                t[3].from.fd == 0) {
                stream_fd fd = client.fd;
                stream_io_detach(&io, &client);
                transfer_begin(&t[3], fd, accepted);
                others--;
            }
        }
    }
    CHECK(rounds < most);
    CHECK_EQ(io.in_flight, 0);
    for (rounds = 0; rounds < 4; rounds++) {
        CHECK_EQ(t[rounds].got, sizeof t[rounds].data);
        stream_io_close(&io, &t[rounds].from);
        stream_io_close(&io, &t[rounds].to);
    }
    memset(t, 0, sizeof t);
    stream_io_close(&io, &listening);
    stream_io_close(&io, &client);
    stream_io_close(&io, &quiet);
    close(pair[1]);
    stream_io_free(&io);
    return true;
}

static void every_call_goes_wrong_in_turn(void) {
    static const struct {
        int error;
        unsigned mask;
    } kind[] = {
        {EINTR, ~0u & ~(1u << EDGE_SPLICE)},
        {EDGE_SHORT, ~0u},
        {EAGAIN, 1u << EDGE_READ | 1u << EDGE_WRITE | 1u << EDGE_WRITEV | 1u << EDGE_RECV |
                     1u << EDGE_SENDMSG | 1u << EDGE_ACCEPT | 1u << EDGE_URING},
        {ENOMEM, ~0u},
        {EMFILE, 1u << EDGE_ACCEPT},
        {ECONNABORTED, 1u << EDGE_ACCEPT},
        {ECONNRESET, 1u << EDGE_READ | 1u << EDGE_WRITE | 1u << EDGE_RECV | 1u << EDGE_SENDMSG},
        {ENOSPC, 1u << EDGE_EPOLL_CTL},
        {EBUSY, 1u << EDGE_URING},
    };
    size_t k, before = open_descriptors();
    unsigned long usual, n;
    edge_reset();
    CHECK(a_bit_of_everything());
    usual = edge.calls;
    for (k = 0; k < COUNT(kind); k++) {
        unsigned long hits = 0;
        for (n = 1; n <= usual + 20; n++) {
            edge_reset();
            edge.error = kind[k].error;
            edge.mask = kind[k].mask;
            edge.fail_at = n;
            CHECK(a_bit_of_everything());
            CHECK(edge.calls <= usual + usual / 2 + 60); /* no spin */
            hits += edge.injected;
            if (test.failures) {
                printf("  error %d at call %lu\n", edge.error, n);
                edge_reset();
                return;
            }
        }
        /* And again and again. */
        for (n = 2; n < 7; n++) {
            edge_reset();
            edge.error = kind[k].error;
            edge.mask = kind[k].mask;
            edge.fail_every = n;
            CHECK(a_bit_of_everything());
            CHECK(edge.calls <= usual * 20 + (kind[k].error == EDGE_SHORT ? 30000 : 0));
            if (test.failures) {
                printf("  error %d at one call of %lu\n", edge.error, n);
                edge_reset();
                return;
            }
        }
        if (k == 0) CHECK(hits > 0);
    }
    edge_reset();
    CHECK_EQ(open_descriptors(), before);
}

static void backends_are_tried_in_order(void) {
    stream_io_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.backends = "such,poll,epoll";
    CHECK_EQ(stream_io_init(&io, &desc), STREAM_OK);
    CHECK(strcmp(stream_io_backend(&io), "poll") == 0);
    stream_io_free(&io);
#if defined(__linux__)
    CHECK_EQ(stream_io_init(&io, NULL), STREAM_OK);
    CHECK(strcmp(stream_io_backend(&io), "epoll") == 0);
    stream_io_free(&io);
    edge_no_uring = true;
    desc.backends = "io_uring";
    CHECK_EQ(stream_io_init(&io, &desc), STREAM_E_IO);
    CHECK_EQ(io.os_error, ENOSYS);
    desc.backends = "io_uring,epoll";
    CHECK_EQ(stream_io_init(&io, &desc), STREAM_OK);
    CHECK(strcmp(stream_io_backend(&io), "epoll") == 0);
    stream_io_free(&io);
    edge_no_uring = false;
#endif
}

static size_t allocations;
static void *count_allocations(void *ctx, void *ptr, size_t old_size, size_t new_size, size_t align) {
    (void)ctx, (void)old_size, (void)align;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    allocations++;
    return realloc(ptr, new_size);
}
static void *no_allocations(void *ctx, void *ptr, size_t old_size, size_t new_size, size_t align) {
    (void)ctx, (void)ptr, (void)old_size, (void)new_size, (void)align;
    return NULL;
}

static void only_poll_allocates_and_only_once(void) {
    stream_io_desc desc;
    stream_io_file file[40];
    stream_io_op op[40];
    stream_fd pair[40][2];
    char data[40];
    size_t i, round;
    memset(&desc, 0, sizeof desc);
    memset(file, 0, sizeof file);
    memset(op, 0, sizeof op);
    desc.backends = backend;
    desc.entries = ring_entries;
    desc.allocator.resize = count_allocations;
    allocations = 0;
    CHECK_EQ(stream_io_init(&io, &desc), STREAM_OK);
    for (i = 0; i < 40; i++) {
        socket_pair(pair[i]);
        stream_io_attach(&io, &file[i], pair[i][0]);
    }
    for (round = 0; round < 10; round++) {
        for (i = 0; i < 40; i++) stream_io_read(&io, &op[i], &file[i], &data[i], 1);
        for (i = 0; i < 40; i++) far_write(pair[i][1], "x", 1);
        for (i = 0; i < 40; i++) next_op();
        CHECK_EQ(allocations, strcmp(backend, "poll") == 0 ? 1 : 0);
    }
    for (i = 0; i < 40; i++) stream_io_close(&io, &file[i]), far_close(pair[i][1]);
    stream_io_free(&io);
    if (strcmp(backend, "poll") != 0) return;
    desc.allocator.resize = no_allocations;
    CHECK_EQ(stream_io_init(&io, &desc), STREAM_OK);
    CHECK_EQ(stream_io_wait(&io, 0), STREAM_E_NOMEM);
    io.allocator.resize = NULL; /* memory comes back, and it works */
    CHECK_EQ(stream_io_wait(&io, 0), STREAM_EMPTY);
    stream_io_free(&io);
}

#if !defined(_WIN32)
/* Accepted, not handed out yet, and the listener is closed: the connection is closed as well. */
static void a_connection_nobody_heard_of_is_closed(void) {
    struct sockaddr_in address;
    stream_fd client = fresh_socket();
    stream_io_file listening;
    stream_io_op op;
    size_t before;
    char byte;
    memset(&listening, 0, sizeof listening);
    memset(&op, 0, sizeof op);
    begin();
    before = open_descriptors();
    CHECK_EQ(stream_io_attach(&io, &listening, listener(&address)), STREAM_OK);
    CHECK(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
    stream_io_accept(&io, &op, &listening);
    CHECK_EQ(stream_io_wait(&io, STREAM_FOREVER), STREAM_OK);
    stream_io_close(&io, &listening);
    expect(&op, STREAM_CANCELLED);
    CHECK_EQ(op.fd, -1);
    CHECK(read(client, &byte, 1) <= 0);
    CHECK_EQ(open_descriptors(), before);
    far_close(client);
    end();
}

/* What cannot be learned of a buffer in the kernel is 0. */
static void kernel_buffers_may_refuse(void) {
    stream_fd pair[2];
    int ends[2], i;
    socket_pair(pair);
    pipe_pair(ends, true);
    for (i = 0; i < 2; i++) {
        unsigned long at;
        bool hit = true;
        for (at = 1; hit; at++) {
            stream_kernel_kind kind;
            size_t granted = 1;
            refuse.calls = 0;
            refuse.error = EPERM;
            refuse.at = at;
            kind = stream_kernel_buffer(i ? ends[0] : pair[0], i ? 1 << 17 : 1 << 20, &granted);
            hit = refuse.calls >= at;
            refuse.at = 0;
            CHECK_EQ(kind, at == 1 ? STREAM_KERNEL_NONE : i ? STREAM_KERNEL_PIPE : STREAM_KERNEL_SOCKET);
            CHECK(granted == 0 || kind != STREAM_KERNEL_NONE);
            if (!hit) CHECK(granted > 0 || (i && !STREAM_IO_EPOLL));
        }
    }
    refuse.no_clock = true;
    CHECK_EQ(stream_now_ns(), 0);
    refuse.no_clock = false;
    CHECK(stream_now_ns() > 0);
    for (i = 0; i < 2; i++) close(ends[i]), far_close(pair[i]);
}

/* The n-th call is refused, for each n, from the making of the poller on: all of it says so, nobody waits for
   ever, and no descriptor is left behind. */
static void whatever_is_refused_is_told(void) {
    static const int errors[] = {EMFILE, ENOTCONN};
    size_t e, before = open_descriptors();
    for (e = 0; e < COUNT(errors); e++) {
        bool hit = true;
        unsigned long at;
        for (at = 1; hit && at < 1000; at++) {
            struct sockaddr_in address;
            stream_io_file file[6];
            stream_io_op op[7], *got;
            stream_io_desc desc;
            stream_slice part[3];
            stream_status status;
            stream_fd fd[6], pair[2], far_ends[3];
            char data[3][16];
            int i, ends[2];
            memset(file, 0, sizeof file);
            memset(op, 0, sizeof op);
            memset(&desc, 0, sizeof desc);
            memset(data, 0, sizeof data);
            pipe_pair(ends, false);
            fd[0] = ends[0];
            far_ends[0] = ends[1];
            pipe_pair(ends, false);
            fd[1] = ends[1];
            far_ends[1] = ends[0];
            socket_pair(pair);
            fd[2] = pair[0];
            far_ends[2] = pair[1];
            fd[3] = listener(&address);
            fd[4] = fresh_socket();
            fd[5] = posix_openpt(O_RDWR | O_NOCTTY);
            CHECK(fd[5] >= 0);
            edge_reset();
            refuse.calls = 0;
            refuse.error = errors[e];
            refuse.at = at;
            desc.backends = backend;
            desc.entries = ring_entries;
            status = stream_io_init(&io, &desc);
            if (status == STREAM_OK) {
                for (i = 0; i < 6; i++) {
                    status = stream_io_attach(&io, &file[i], fd[i]);
                    CHECK(status == STREAM_OK || (status == STREAM_E_IO && io.os_error == errors[e]));
                }
                for (i = 0; i < 3; i++) part[i] = stream_slice_of("part", 4);
                (void)stream_io_read(&io, &op[0], &file[0], data[0], sizeof data[0]);
                (void)stream_io_writev(&io, &op[1], &file[1], part, 3);
                (void)stream_io_read(&io, &op[2], &file[2], data[2], sizeof data[2]);
                (void)stream_io_accept(&io, &op[3], &file[3]);
                (void)stream_io_connect(&io, &op[4], &file[4], &address, sizeof address);
                (void)stream_io_poll(&io, &op[5], &file[5], STREAM_IO_READABLE);
                far_write(far_ends[0], "abc", 3);
                far_write(far_ends[2], "def", 3);
                stream_io_wake(&io);
                for (i = 0; i < 4; i++) {
                    (void)stream_io_wait(&io, 1000000);
                    while ((got = stream_io_next(&io)) != NULL) {
                        CHECK(got->status == STREAM_OK || got->status == STREAM_E_IO);
                        if (got->status == STREAM_E_IO) CHECK_EQ(got->os_error, errors[e]);
                        else if (got == &op[0]) CHECK_BYTES(data[0], got->bytes, "abc", 3);
                        else if (got == &op[2]) CHECK_BYTES(data[2], got->bytes, "def", 3);
                        else if (got == &op[3]) far_close(got->fd);
                    }
                }
                stream_io_free(&io);
            } else {
                CHECK_EQ(status, STREAM_E_IO);
                CHECK_EQ(io.os_error, errors[e]);
            }
            hit = refuse.calls >= at;
            refuse.at = 0;
            for (i = 0; i < 6; i++) far_close(fd[i]);
            for (i = 0; i < 3; i++) far_close(far_ends[i]);
            CHECK_EQ(open_descriptors(), before);
            if (test.failures) {
                printf("  error %d at call %lu\n", errors[e], at);
                return;
            }
        }
        CHECK(at > 10);
    }
    edge_reset();
}

/* Waits of more milliseconds than an int holds, of more days than a kernel may like, and without end. */
static void long_waits_end_with_what_comes(void) {
    static const uint64_t wait_ns[] = {STREAM_FOREVER, STREAM_FOREVER - 1, UINT64_C(8640000000000000)};
    stream_fd pair[2];
    stream_io_file file;
    stream_io_op op;
    char data[8];
    size_t i;
    memset(&file, 0, sizeof file);
    memset(&op, 0, sizeof op);
    begin();
    socket_pair(pair);
    stream_io_attach(&io, &file, pair[0]);
    for (i = 0; i < COUNT(wait_ns); i++) {
        stream_io_read(&io, &op, &file, data, sizeof data);
        expect_nothing();
        far_write(pair[1], "x", 1);
        if (i == 0) { /* and the first time there was nothing yet, it is said */
            edge.error = EAGAIN;
            edge.mask = 1u << EDGE_RECV;
            edge.fail_at = edge.calls + 2;
        }
        CHECK_EQ(stream_io_wait(&io, wait_ns[i]), STREAM_OK);
        CHECK(stream_io_next(&io) == &op);
        CHECK_EQ(op.status, STREAM_OK);
        CHECK_BYTES(data, op.bytes, "x", 1);
    }
    stream_io_close(&io, &file);
    far_close(pair[1]);
    end();
}

/* Signals at the wrong moment: the wake is written and read all the same. */
static void a_wake_survives_signals(void) {
    begin();
    CHECK_EQ(stream_io_wait(&io, 1000), STREAM_EMPTY); /* a completion queue listens from the first wait on */
    edge.error = EINTR;
    edge.mask = 1u << EDGE_WRITE | 1u << EDGE_KEVENT;
    edge.fail_at = edge.calls + 1;
    io.sleep.v = STREAM__ASLEEP;
    stream_io_wake(&io);
    CHECK_EQ(edge.injected, 1);
    edge.mask = 1u << EDGE_READ;
    edge.fail_at = 0;
    edge.fail_every = 2;
    CHECK_EQ(stream_io_wait(&io, STREAM_FOREVER), STREAM_EMPTY);
    edge.mask = 0;
    CHECK_EQ(stream_io_wait(&io, 0), STREAM_EMPTY);
    /* What is full already wakes as well, and what was taken by another need not be taken again. */
    edge.error = EAGAIN;
    edge.mask = 1u << EDGE_WRITE;
    edge.fail_every = 1;
    io.sleep.v = STREAM__ASLEEP;
    stream_io_wake(&io);
    edge.mask = 1u << EDGE_READ;
    edge.fail_every = 2;
    io.sleep.v = STREAM__AWAKE;
    io.backend->wake(&io);
    CHECK(stream_io_wait(&io, 0) == STREAM_EMPTY);
    edge.mask = 0;
    CHECK(stream_io_wait(&io, 0) == STREAM_EMPTY);
    end();
}

/* What a call may say that it hardly ever does, to who asks before each of them and to who does not. */
static void rare_errors_are_passed_on(void) {
    static const struct {
        unsigned mask;
        int error, os_error; /* 0: it is tried again, and well */
    } kind[] = {{1u << EDGE_POLL, EINVAL, EINVAL},
                {1u << EDGE_POLL, EAGAIN, ENOMEM},
                {1u << EDGE_POLL, EINTR, 0},
                {1u << EDGE_READ, EIO, EIO},
                {1u << EDGE_READ, EINTR, 0}};
    stream_io_file file;
    stream_io_op op;
    stream_fd fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
    char data[8];
    size_t i;
    if (strcmp(backend, "io_uring") == 0) { /* another kernel makes other calls */
        CHECK(close(fd) == 0);
        return;
    }
    memset(&file, 0, sizeof file);
    memset(&op, 0, sizeof op);
    begin();
    CHECK_EQ(stream_io_attach(&io, &file, fd), STREAM_OK); /* blocking, and nothing we could open again */
    for (i = 0; i < COUNT(kind); i++) {
        edge.mask = kind[i].mask;
        edge.error = kind[i].error;
        edge.fail_at = edge.calls + (kind[i].mask == 1u << EDGE_READ ? 2 : 1);
        stream_io_read(&io, &op, &file, data, sizeof data);
        expect(&op, kind[i].os_error ? STREAM_E_IO : STREAM_OK);
        CHECK_EQ(op.os_error, kind[i].os_error);
    }
    edge.mask = 1u << EDGE_POLL;
    edge.error = EINVAL;
    edge.fail_at = edge.calls + 1;
    stream_io_write(&io, &op, &file, "abc", 3);
    expect(&op, STREAM_E_IO);
    edge.mask = 1u << EDGE_WRITE;
    edge.error = EDGE_NOTHING;
    edge.fail_at = edge.calls + 2;
    stream_io_write(&io, &op, &file, "abc", 3);
    expect(&op, STREAM_E_IO); /* not asked for ever */
    CHECK_EQ(op.os_error, EIO);
    edge.mask = 0;
    {
        static char big[2000];
        stream_slice part[3];
        part[0] = stream_slice_of(big, 100); /* no more than so much at once, for it might block */
        part[1] = stream_slice_of(big, 1000);
        part[2] = stream_slice_of(big, 1);
        stream_io_writev(&io, &op, &file, part, 3);
        expect(&op, STREAM_OK);
    }
    stream_io_close(&io, &file);
    /* A directory never waits, and says what it thinks of being read. */
    CHECK_EQ(stream_io_attach(&io, &file, open(".", O_RDONLY | O_CLOEXEC)), STREAM_OK);
    stream_io_read(&io, &op, &file, data, sizeof data);
    expect(&op, STREAM_E_IO);
    CHECK_EQ(op.os_error, EISDIR);
    edge.mask = 1u << EDGE_READ; /* nor may it say so */
    edge.error = EAGAIN;
    edge.fail_at = edge.calls + 1;
    stream_io_read(&io, &op, &file, data, sizeof data);
    expect(&op, STREAM_E_IO);
    CHECK_EQ(op.os_error, EAGAIN);
    stream_io_close(&io, &file);
    {
        stream_slice part[2];
        stream_fd pair[2];
        const unsigned long injected = edge.injected;
        part[0] = stream_slice_of("ab", 2);
        part[1] = stream_slice_of("c", 1);
        socket_pair(pair);
        CHECK_EQ(stream_io_attach(&io, &file, pair[0]), STREAM_OK);
        edge.mask = 1u << EDGE_SENDMSG; /* several pieces at once, and a signal */
        edge.error = EINTR;
        edge.fail_at = edge.calls + 1;
        stream_io_writev(&io, &op, &file, part, 2);
        expect(&op, STREAM_OK);
        CHECK_EQ(edge.injected, injected + 1);
        CHECK_EQ(op.bytes, 3);
        CHECK_EQ(read(pair[1], data, sizeof data), 3);
        CHECK_BYTES(data, 3, "abc", 3);
        stream_io_close(&io, &file);
        far_close(pair[1]);
    }
    {
        struct sockaddr_in address;
        stream_fd listening = listener(&address);
        CHECK_EQ(stream_io_attach(&io, &file, fresh_socket()), STREAM_OK);
        edge.mask = 1u << EDGE_CONNECT;
        edge.error = EALREADY;
        edge.fail_at = edge.calls + 1;
        stream_io_connect(&io, &op, &file, &address, sizeof address);
        expect(&op, STREAM_OK);
        stream_io_close(&io, &file);
        far_close(listening);
    }
    end();
}

/* Two gigabytes and more, of which none is ever looked at. */
static void a_write_may_be_of_any_size(void) {
    const size_t len = (size_t)INT32_MAX + 4096;
    void *zeros = TEST_SANITIZED || sizeof(void *) < 8
                      ? MAP_FAILED
                      : mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
    stream_io_file file;
    stream_io_op op;
    memset(&file, 0, sizeof file);
    memset(&op, 0, sizeof op);
    begin();
    CHECK_EQ(stream_io_attach(&io, &file, open("/dev/null", O_WRONLY | O_NONBLOCK | O_CLOEXEC)), STREAM_OK);
    if (zeros != MAP_FAILED) {
        stream_io_write(&io, &op, &file, zeros, len);
        expect(&op, STREAM_OK);
        CHECK_EQ(op.bytes, len);
        munmap(zeros, len);
    }
    stream_io_close(&io, &file);
    end();
}

static void many_parts_go_into_a_pipe(void) {
    static stream_slice part[1500];
    static char letters[1500], back[1500];
    stream_io_file file;
    stream_io_op op;
    int ends[2];
    size_t i;
    memset(&file, 0, sizeof file);
    memset(&op, 0, sizeof op);
    begin();
    pipe_pair(ends, true);
    for (i = 0; i < COUNT(part); i++) {
        letters[i] = (char)('a' + i % 23);
        part[i] = stream_slice_of(letters + i, 1);
    }
    stream_io_attach(&io, &file, ends[1]);
    stream_io_writev(&io, &op, &file, part, COUNT(part));
    expect(&op, STREAM_OK);
    CHECK_EQ(op.bytes, sizeof letters);
    CHECK_EQ(read(ends[0], back, sizeof back), sizeof back);
    CHECK(memcmp(letters, back, sizeof back) == 0);
    stream_io_close(&io, &file);
    close(ends[0]);
    end();
}

/* Bytes come that nobody reads, while a write waits: they cost a few calls, not one each time around. */
static void a_write_waits_beside_bytes_nobody_reads(void) {
    static char big[1 << 20], back[1 << 20];
    stream_fd pair[2];
    stream_io_file file;
    stream_io_op rd, wr;
    char data[8];
    unsigned long before;
    size_t got = 0;
    int i;
    memset(&file, 0, sizeof file);
    memset(&rd, 0, sizeof rd);
    memset(&wr, 0, sizeof wr);
    begin();
    socket_pair(pair);
    stream_io_attach(&io, &file, pair[0]);
    stream_io_read(&io, &rd, &file, data, 1);
    expect_nothing();
    far_write(pair[1], "a", 1);
    expect_read(&rd, "a");
    stream_io_write(&io, &wr, &file, big, sizeof big);
    expect_nothing();
    far_write(pair[1], "b", 1);
    edge.mask = 1u << EDGE_EPOLL_CTL; /* it cannot be had at once */
    edge.error = ENOMEM;
    edge.fail_every = 1;
    CHECK_EQ(stream_io_wait(&io, 1000000), STREAM_EMPTY);
    edge.mask = 0;
    before = edge.calls;
    for (i = 0; i < 10; i++) expect_nothing();
    CHECK(edge.calls - before < 40);
    while (got < sizeof big) {
        ptrdiff_t n = recv(pair[1], back, sizeof back, MSG_DONTWAIT);
        if (n > 0) got += (size_t)n;
        else (void)stream_io_wait(&io, 1000000);
        if (n == 0) break;
    }
    CHECK_EQ(got, sizeof big);
    expect(&wr, STREAM_OK);
    stream_io_read(&io, &rd, &file, data, sizeof data);
    expect_read(&rd, "b");
    stream_io_close(&io, &file);
    far_close(pair[1]);
    end();
}

/* To hear of a hang-up alone, on the side that reads; closed with nothing but that under way, or a write. */
static void hang_ups_are_heard_by_readers(void) {
    static char big[1 << 20];
    stream_io_file file;
    stream_io_op op;
    stream_fd pair[2];
    int ends[2];
    memset(&file, 0, sizeof file);
    memset(&op, 0, sizeof op);
    begin();
    pipe_pair(ends, true);
    stream_io_attach(&io, &file, ends[0]);
    stream_io_poll(&io, &op, &file, 0);
    expect_nothing();
    close(ends[1]);
    expect(&op, STREAM_OK);
    CHECK_EQ(op.events, STREAM_IO_HANGUP);
    stream_io_close(&io, &file);
    socket_pair(pair);
    stream_io_attach(&io, &file, pair[0]);
    stream_io_poll(&io, &op, &file, STREAM_IO_READABLE);
    expect_nothing();
    stream_io_close(&io, &file);
    expect(&op, STREAM_CANCELLED);
    far_close(pair[1]);
    socket_pair(pair);
    stream_io_attach(&io, &file, pair[0]);
    stream_io_write(&io, &op, &file, big, sizeof big);
    expect_nothing();
    stream_io_close(&io, &file);
    expect(&op, STREAM_CANCELLED);
    far_close(pair[1]);
#if defined(STREAM_IO_KQUEUE) && STREAM_IO_KQUEUE
    if (strcmp(backend, "kqueue") == 0) { /* the second of two filters is refused: the first goes as well */
        socket_pair(pair);
        stream_io_attach(&io, &file, pair[0]);
        while (send(pair[0], big, sizeof big, MSG_DONTWAIT) > 0) continue;
        edge.mask = 1u << EDGE_KEVENT;
        edge.error = ENOMEM;
        edge.fail_at = edge.calls + 3; /* looked at once before */
        stream_io_poll(&io, &op, &file, STREAM_IO_READABLE | STREAM_IO_WRITABLE);
        expect(&op, STREAM_E_IO);
        CHECK_EQ(op.os_error, ENOMEM);
        stream_io_close(&io, &file);
        far_close(pair[1]);
    }
#endif
    end();
}
#endif

#if defined(__linux__)
/* What a ring of io_uring may answer, but hardly ever does here. */
static void uring_results_that_are_rare(void) {
    static char big[1 << 20];
    struct sockaddr_in address;
    stream_io_file file, other, listening;
    stream_io_op op, wr, second;
    stream_io_desc desc;
    stream_fd pair[2], client;
    char data[8];
    int ends[2];
    size_t before = open_descriptors();
    memset(&file, 0, sizeof file);
    memset(&other, 0, sizeof other);
    memset(&listening, 0, sizeof listening);
    memset(&op, 0, sizeof op);
    memset(&wr, 0, sizeof wr);
    memset(&second, 0, sizeof second);
    memset(&desc, 0, sizeof desc);
    /* A kernel that lacks what we need. */
    edge_old_uring = true;
    desc.backends = "io_uring";
    CHECK_EQ(stream_io_init(&io, &desc), STREAM_E_IO);
    CHECK_EQ(io.os_error, ENOSYS);
    edge_old_uring = false;
    CHECK_EQ(open_descriptors(), before);
    begin();
    pipe_pair(ends, true);
    CHECK_EQ(stream_io_attach(&io, &file, ends[0]), STREAM_OK);
    CHECK_EQ(stream_io_attach(&io, &other, ends[1]), STREAM_OK);
#define UNDONE(result) (uring_lie.undone = true, uring_lie.to = (result))
#define CHANGED(was, result) (uring_lie.changed = true, uring_lie.from = (was), uring_lie.to = (result))
    /* An older kernel does not wait for what is O_NONBLOCK: it is waited for, and tried again. */
    UNDONE(-EAGAIN);
    stream_io_read(&io, &op, &file, data, sizeof data);
    expect_nothing();
    CHECK(!uring_lie.undone);
    stream_io_write(&io, &wr, &other, "abc", 3);
    expect(&wr, STREAM_OK);
    expect_read(&op, "abc");
    UNDONE(-EAGAIN);
    stream_io_write(&io, &wr, &other, "def", 3);
    expect(&wr, STREAM_OK);
    UNDONE(-EINTR);
    stream_io_read(&io, &op, &file, data, sizeof data);
    expect_read(&op, "def");
    /* Cancelled while it is waited for; also when that comes at the same time. */
    UNDONE(-EAGAIN);
    stream_io_read(&io, &op, &file, data, sizeof data);
    expect_nothing();
    expect_nothing();
    stream_io_cancel(&io, &op);
    CHANGED(-ECANCELED, POLLIN);
    expect(&op, STREAM_CANCELLED);
    /* The cancelled call says that it was interrupted, or would wait. */
    stream_io_read(&io, &op, &file, data, sizeof data);
    expect_nothing();
    stream_io_cancel(&io, &op);
    CHANGED(-ECANCELED, -EINTR);
    expect(&op, STREAM_CANCELLED);
    stream_io_read(&io, &op, &file, data, sizeof data);
    expect_nothing();
    stream_io_cancel(&io, &op);
    CHANGED(-ECANCELED, -EAGAIN);
    expect(&op, STREAM_CANCELLED);
    CHECK(!uring_lie.changed);
    /* A request to cancel that the kernel did not take is made again. */
    stream_io_read(&io, &op, &file, data, sizeof data);
    expect_nothing();
    stream_io_cancel(&io, &op);
    edge.mask = 1u << EDGE_URING;
    edge.error = EBUSY;
    edge.fail_at = edge.calls + 1;
    CHECK_EQ(stream_io_wait(&io, 0), STREAM_E_IO);
    CHECK_EQ(io.os_error, EBUSY);
    edge.mask = 0;
    expect(&op, STREAM_CANCELLED);
    /* The errors of a terminal are errors elsewhere. */
    UNDONE(-EIO);
    stream_io_read(&io, &op, &file, data, sizeof data);
    expect(&op, STREAM_E_IO);
    CHECK_EQ(op.os_error, EIO);
    UNDONE(-EIO);
    stream_io_write(&io, &op, &other, "abc", 3);
    expect(&op, STREAM_E_IO);
    /* A write that takes nothing is not made for ever. */
    UNDONE(0);
    stream_io_write(&io, &op, &other, "abc", 3);
    expect(&op, STREAM_E_IO);
    CHECK_EQ(op.os_error, EIO);
    /* One that was cancelled half way says how far it came. */
    stream_io_write(&io, &op, &other, big, sizeof big);
    expect_nothing();
    stream_io_cancel(&io, &op);
    CHANGED(-ECANCELED, 5);
    expect(&op, STREAM_CANCELLED);
    CHECK(op.bytes >= 5 && op.bytes < sizeof big);
    CHECK(!uring_lie.changed);
    /* A poll that found nothing goes on; one that a device has no use for holds at once. */
    UNDONE(0);
    stream_io_poll(&io, &op, &file, STREAM_IO_READABLE);
    expect(&op, STREAM_OK);
    CHECK_EQ(op.events, STREAM_IO_READABLE);
    UNDONE(-EOPNOTSUPP);
    stream_io_poll(&io, &op, &other, STREAM_IO_WRITABLE);
    expect(&op, STREAM_OK);
    CHECK_EQ(op.events, STREAM_IO_WRITABLE);
    UNDONE(-EPERM);
    stream_io_poll(&io, &op, &file, STREAM_IO_READABLE);
    expect(&op, STREAM_E_IO);
    CHECK_EQ(op.os_error, EPERM);
    stream_io_close(&io, &file);
    stream_io_close(&io, &other);
    /* A connection that was gone before it was accepted is none. */
    CHECK_EQ(stream_io_attach(&io, &listening, listener(&address)), STREAM_OK);
    client = fresh_socket();
    CHECK(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
    UNDONE(-ECONNABORTED);
    stream_io_accept(&io, &op, &listening);
    expect(&op, STREAM_OK);
    far_close(op.fd);
    far_close(client);
    stream_io_accept(&io, &op, &listening); /* and if the listener is closed meanwhile, it was the last */
    expect_nothing();
    CHANGED(-ECANCELED, -ECONNABORTED);
    stream_io_close(&io, &listening);
    expect(&op, STREAM_CANCELLED);
    CHECK(!uring_lie.changed);
    CHECK_EQ(stream_io_attach(&io, &file, fresh_socket()), STREAM_OK);
    UNDONE(-EAGAIN); /* a full queue, for which nobody can wait */
    stream_io_connect(&io, &op, &file, &address, sizeof address);
    expect(&op, STREAM_E_IO);
    CHECK_EQ(op.os_error, EAGAIN);
    stream_io_close(&io, &file);
    /* Two files with something to submit, and the first has more. */
    socket_pair(pair);
    CHECK_EQ(stream_io_attach(&io, &file, pair[0]), STREAM_OK);
    CHECK_EQ(stream_io_attach(&io, &other, pair[1]), STREAM_OK);
    stream_io_read(&io, &op, &file, data, sizeof data);
    stream_io_read(&io, &second, &other, big, sizeof big);
    stream_io_write(&io, &wr, &file, "xyz", 3);
    CHECK(next_op() != NULL);
    CHECK(next_op() != NULL);
    CHECK_EQ(second.status, STREAM_OK);
    CHECK_BYTES(big, second.bytes, "xyz", 3);
    /* A kernel that can no longer be asked anything is left alone with what it has. */
    edge.mask = 1u << EDGE_URING;
    edge.error = EBUSY;
    edge.fail_at = 0;
    edge.fail_every = 1;
    stream_io_free(&io);
    edge_reset();
    close(pair[0]);
    close(pair[1]);
    CHECK_EQ(open_descriptors(), before);
#undef UNDONE
#undef CHANGED
}
#endif

/* ==[ splice ]======================================================================================= */

typedef enum end_kind {
    END_PIPE,
    END_BLOCKING_PIPE,
    END_SOCKET,
    END_BLOCKING_SOCKET,
    END_TCP,
    END_FILE,
    END_KINDS
} end_kind;

/* near is for the splice; far is ours. A file is its own far end. */
static bool make_end(end_kind kind, bool source, int *near, int *far) {
    int pair[2] = {-1, -1};
    if (kind == END_FILE) {
        char path[] = "/tmp/stream_splice_XXXXXX";
        *near = *far = mkstemp(path);
        if (*near >= 0) unlink(path);
        return *near >= 0;
    }
    if (kind == END_PIPE || kind == END_BLOCKING_PIPE) pipe_pair(pair, kind == END_PIPE);
    else if (kind == END_TCP) tcp_pair(pair);
    else socket_pair(pair);
    *near = pair[source ? 0 : 1];
    *far = pair[source ? 1 : 0];
    if (kind != END_BLOCKING_PIPE && kind != END_BLOCKING_SOCKET) nonblock(*near);
    nonblock(*far);
    return true;
}

static void close_end(int near, int far) {
    close(near);
    if (far != near) close(far);
}

typedef struct sink_state {
    int fd;
    size_t got;
} sink_state;

/* Takes up to `most` bytes from a far end and compares them. */
static void take(sink_state *s, const unsigned char *want, size_t total, size_t most, int wait_ms) {
    static unsigned char back[65536];
    struct pollfd p = {s->fd, POLLIN, 0};
    ptrdiff_t n = wait_ms > 0 && poll(&p, 1, wait_ms) <= 0
                      ? 0
                      : read(s->fd, back, most < sizeof back ? most : sizeof back);
    if (n <= 0) return;
    CHECK(s->got + (size_t)n <= total && memcmp(back, want + s->got, (size_t)n) == 0);
    s->got += (size_t)n;
}

/* Moves `total` bytes with segments of random size on all sides; what arrives is compared byte by byte. */
static void move_all(end_kind from, end_kind to, int tee_kind, bool copy, size_t total, uint64_t *seed) {
    static unsigned char data[1 << 20];
    stream_splice s;
    stream_splice_desc desc;
    stream_status status = STREAM_OK;
    int from_near = -1, from_far = -1, to_near = -1, to_far = -1, tee_near = -1, tee_far = -1;
    sink_state out = {-1, 0}, tee_out = {-1, 0};
    size_t put = 0, moved, counted = 0, i, spins = 0;
    unsigned long rounds = 0;
    for (i = 0; i < total; i += 8) {
        uint64_t x = test_random(seed);
        memcpy(data + i, &x, 8);
    }
    memset(&desc, 0, sizeof desc);
    CHECK(make_end(from, true, &from_near, &from_far) && make_end(to, false, &to_near, &to_far));
    if (tee_kind >= 0) CHECK(make_end((end_kind)tee_kind, false, &tee_near, &tee_far));
    if (from == END_FILE) {
        far_write(from_far, data, total);
        lseek(from_far, 0, SEEK_SET);
        put = total;
    }
    desc.from = from_near;
    desc.to = to_near;
    desc.tee = tee_kind >= 0 ? tee_near : 0;
    desc.copy = copy;
    desc.buffer_len = 1000;
    desc.pipe_len = 65536;
    CHECK_EQ(stream_splice_init(&s, &desc), STREAM_OK);
    out.fd = to_far;
    tee_out.fd = tee_far;
    while (status != STREAM_END && rounds++ < 1000000 && spins < 100000) {
        size_t before = put + out.got + tee_out.got;
        if (put < total && test_random(seed) % 3 == 0) {
            size_t len = 1 + (size_t)(test_random(seed) % (test_random(seed) % 4 ? 200 : 30000));
            ptrdiff_t n = write(from_far, data + put, len < total - put ? len : total - put);
            if (n > 0) put += (size_t)n;
            if (put == total && from_far != from_near) {
                close(from_far);
                from_far = from_near;
            }
        }
        if (to != END_FILE && test_random(seed) % 3 == 0)
            take(&out, data, total, 1 + (size_t)(test_random(seed) % 20000), 0);
        if (tee_kind >= 0 && tee_kind != END_FILE && test_random(seed) % 3 == 0)
            take(&tee_out, data, total, 1 + (size_t)(test_random(seed) % 20000), 0);
        status = stream_splice_step(
            &s, test_random(seed) % 2 ? SIZE_MAX : 1 + (size_t)(test_random(seed) % 5000), &moved);
        counted += moved;
        CHECK(status == STREAM_OK || status == STREAM_EMPTY || status == STREAM_FULL ||
              status == STREAM_END || (status == STREAM_E_IO && edge.injected && s.os_error == edge.error));
        if (status == STREAM_E_IO && (s.os_error != edge.error || !edge.injected)) break;
        if (status == STREAM_FULL)
            CHECK(stream_splice_blocked(&s) == to_near || stream_splice_blocked(&s) == tee_near);
        /* A drained source is not a full destination: with everything read over there, it can only be
           empty. */
        if (status == STREAM_EMPTY && edge.fail_at == 0 && edge.fail_every == 0) {
            struct pollfd p = {from_near, POLLIN, 0};
            CHECK(poll(&p, 1, 0) == 0 || from == END_TCP);
        }
        spins = put + out.got + tee_out.got == before && moved == 0 ? spins + 1 : 0;
    }
    CHECK_EQ(status, STREAM_END);
    CHECK_EQ(counted, total);
    CHECK_EQ(s.bytes, total);
    CHECK_EQ(stream_splice_held(&s), 0);
#if defined(__linux__)
    if (!copy && edge.mask == 0 && from != END_BLOCKING_SOCKET && to != END_BLOCKING_SOCKET &&
        (tee_kind < 0 || tee_kind != END_BLOCKING_SOCKET))
        CHECK_EQ(s.spliced, total);
    if (copy) CHECK_EQ(s.spliced, 0);
#endif
    if (to == END_FILE) lseek(to_far, 0, SEEK_SET);
    if (tee_kind == END_FILE) lseek(tee_far, 0, SEEK_SET);
    for (i = 0; i < 1000 && out.got < total; i++) take(&out, data, total, 65536, 10);
    CHECK_EQ(out.got, total);
    for (i = 0; tee_kind >= 0 && i < 1000 && tee_out.got < total; i++) take(&tee_out, data, total, 65536, 10);
    CHECK_EQ(tee_out.got, tee_kind >= 0 ? total : 0);
    CHECK_EQ(stream_splice_step(&s, SIZE_MAX, &moved), STREAM_END);
    stream_splice_free(&s);
    close_end(from_near, from_far);
    close_end(to_near, to_far);
    if (tee_kind >= 0) close_end(tee_near, tee_far);
}

static void splices_like_it_copies(void) {
    uint64_t seed = 7;
    int from, to, tee, copy;
    size_t before = open_descriptors(), total = (scaled(150000) + 7) & ~(size_t)7;
    edge_reset();
    for (copy = 0; copy < 2; copy++)
        for (from = 0; from < END_KINDS; from++)
            for (to = 0; to < END_KINDS; to++)
                for (tee = -1; tee < END_KINDS; tee++) {
                    move_all((end_kind)from, (end_kind)to, tee, copy != 0,
                             tee < 0 ? total : total / 2 & ~(size_t)7, &seed);
                    if (test.failures) {
                        printf("  from %d to %d tee %d copy %d\n", from, to, tee, copy);
                        return;
                    }
                }
    CHECK_EQ(open_descriptors(), before);
}

static void splice_goes_wrong_in_turn(void) {
    static const struct {
        int error;
        unsigned mask;
    } kind[] = {
        {EINVAL, 1u << EDGE_SPLICE | 1u << EDGE_TEE}, /* not for these two: copies from there on */
        {EINTR, ~0u},
        {EDGE_SHORT, ~0u},
        {ENOMEM, 1u << EDGE_SPLICE | 1u << EDGE_READ | 1u << EDGE_WRITE | 1u << EDGE_POLL},
        {EAGAIN, 1u << EDGE_READ | 1u << EDGE_WRITE | 1u << EDGE_RECV | 1u << EDGE_SENDMSG},
    };
    static const int route[][3] = {{END_PIPE, END_PIPE, -1},
                                   {END_SOCKET, END_TCP, -1},
                                   {END_PIPE, END_PIPE, END_PIPE},
                                   {END_SOCKET, END_PIPE, END_FILE},
                                   {END_FILE, END_BLOCKING_PIPE, END_SOCKET}};
    size_t k, r, before = open_descriptors();
    unsigned long n;
    for (k = 0; k < COUNT(kind); k++) {
        for (r = 0; r < COUNT(route); r++) {
            int copy;
            for (copy = 0; copy < 2; copy++) {
                unsigned long hits = 0, last = 1;
                for (n = 1; n < 400 && last; n += 1 + n / 12) {
                    uint64_t seed = n * 77 + 1;
                    edge_reset();
                    edge.error = kind[k].error;
                    edge.mask = kind[k].mask;
                    edge.fail_at = n;
                    move_all((end_kind)route[r][0], (end_kind)route[r][1], route[r][2], copy != 0, 40000,
                             &seed);
                    hits += edge.injected;
                    last = edge.calls >= n;
                    if (test.failures) {
                        printf("  error %d at call %lu, route %zu, copy %d\n", kind[k].error, n, r, copy);
                        edge_reset();
                        return;
                    }
                }
                if (!copy && k == 0) CHECK(hits > 0);
            }
        }
    }
    edge_reset();
    CHECK_EQ(open_descriptors(), before);
}

static void splice_tells_full_from_drained(void) {
    int copy;
    for (copy = 0; copy < 2; copy++) {
        int from[2], to[2];
        static char big[1 << 20];
        stream_splice s;
        stream_splice_desc desc;
        size_t moved, n, full;
        memset(&desc, 0, sizeof desc);
        pipe_pair(from, false);
        pipe_pair(to, false);
        desc.from = from[0];
        desc.to = to[1];
        desc.copy = copy != 0;
        CHECK_EQ(stream_splice_init(&s, &desc), STREAM_OK);
        CHECK_EQ(stream_splice_step(&s, SIZE_MAX, &moved), STREAM_EMPTY);
        nonblock(from[1]);
        for (full = 0;;) {
            ptrdiff_t put = write(from[1], big, 4096);
            stream_status status = stream_splice_step(&s, SIZE_MAX, &moved);
            CHECK(put > 0 || status == STREAM_FULL);
            full += moved;
            if (status == STREAM_FULL) break;
            CHECK_EQ(status, STREAM_EMPTY);
            if (test.failures) break;
        }
        CHECK_EQ(stream_splice_blocked(&s), to[1]);
        CHECK(full >= 4096);
        CHECK_EQ(read(to[0], big, sizeof big), full);
        CHECK_EQ(stream_splice_step(&s, 100, &moved), STREAM_OK); /* and no further than asked */
        CHECK(moved >= 100 || copy == 0);
        n = moved;
        CHECK_EQ(stream_splice_step(&s, SIZE_MAX, &moved), STREAM_EMPTY);
        CHECK(n + moved > 0);
        close(from[1]);
        CHECK_EQ(stream_splice_step(&s, SIZE_MAX, &moved), STREAM_END);
        close(to[0]);
        stream_splice_free(&s);
        close(from[0]);
        close(to[1]);
    }
}

static void splice_errors_name_the_descriptor(void) {
    stream_splice s;
    stream_splice_desc desc;
    int from[2], to[2], full = open("/dev/full", O_WRONLY | O_CLOEXEC), copy;
    size_t moved;
    char back[16];
    memset(&desc, 0, sizeof desc);
    CHECK_EQ(stream_splice_init(&s, NULL), STREAM_E_ARGUMENT);
    stream_splice_free(&s);
    desc.from = -1;
    CHECK_EQ(stream_splice_init(&s, &desc), STREAM_E_ARGUMENT);
    desc.from = desc.to = 3999;
    CHECK_EQ(stream_splice_init(&s, &desc), STREAM_E_IO);
    CHECK_EQ(s.os_error, EBADF);
    stream_splice_free(&s);
    signal(SIGPIPE, SIG_IGN);
    for (copy = 0; copy < 2; copy++) {
        pipe_pair(from, true);
        pipe_pair(to, true);
        memset(&desc, 0, sizeof desc);
        desc.copy = copy != 0;
        desc.from = from[0];
        desc.to = to[1];
        desc.tee = full;
        CHECK_EQ(stream_splice_init(&s, &desc), STREAM_OK);
        far_write(from[1], "abc", 3);
        CHECK_EQ(stream_splice_step(&s, SIZE_MAX, &moved), STREAM_E_IO);
        CHECK_EQ(s.failed, full);
        CHECK_EQ(s.os_error, ENOSPC);
        stream_splice_untee(&s); /* go on without it */
        far_write(from[1], "def", 3);
        CHECK_EQ(stream_splice_step(&s, SIZE_MAX, &moved), STREAM_EMPTY);
        CHECK_EQ(read(to[0], back, sizeof back), 6);
        CHECK_BYTES(back, 6, "abcdef", 6);
        far_write(from[1], "ghi", 3);
        close(to[0]);
        CHECK_EQ(stream_splice_step(&s, SIZE_MAX, &moved), STREAM_E_IO);
        CHECK_EQ(s.failed, to[1]);
        CHECK_EQ(s.os_error, EPIPE);
        stream_splice_free(&s);
        close(from[0]);
        close(from[1]);
        close(to[1]);
    }
    signal(SIGPIPE, SIG_DFL);
    close(full);
}

#if defined(__linux__)
#define SPLICES 1
#else
#define SPLICES 0
#endif

/* One step of a splice, in which call number `at`, if it is this one, goes wrong (0: none does). */
static stream_status splice_once(stream_splice *s, const stream_splice_desc *desc, edge_call call, int error,
                                 unsigned long at, size_t *moved) {
    stream_status status;
    edge_reset();
    status = stream_splice_init(s, desc);
    CHECK_EQ(status, STREAM_OK);
    edge.mask = 1u << call;
    edge.error = error;
    edge.fail_at = error ? at : 0;
    *moved = 0;
    return status == STREAM_OK ? stream_splice_step(s, SIZE_MAX, moved) : status;
}

static void *splice_refuses_memory(void *ctx, void *ptr, size_t old_size, size_t new_size, size_t align) {
    (void)ctx, (void)ptr, (void)old_size, (void)new_size, (void)align;
    return NULL;
}

static void splice_takes_descriptors_of_every_kind(void) {
    static const int copies[] = {ENOSYS, EOPNOTSUPP, EINVAL};
    static const struct {
        int error;
        bool of_to;
    } direct[] = {{EPIPE, true}, {ENOSPC, true}, {EFBIG, true}, {EIO, false}};
    static char big[1 << 20], back[1 << 20];
    size_t before = open_descriptors(), moved, i, got;
    int from[2], to[2], tee[2], pair[2], null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC), file = -1, unused = -1, master, slave;
    stream_splice s;
    stream_splice_desc desc;
    memset(&s, 0, sizeof s);
    memset(&desc, 0, sizeof desc);
    stream_splice_untee(&s); /* of nothing */
    desc.from = 0;
    desc.to = -1;
    CHECK_EQ(stream_splice_init(&s, &desc), STREAM_E_ARGUMENT);
    desc.to = 1;
    desc.tee = -1;
    CHECK_EQ(stream_splice_init(&s, &desc), STREAM_E_ARGUMENT);
    desc.tee = 0;
    /* A file to a device, by way of a pipe of ours; which holds more at once than the system lets it. */
    CHECK(make_end(END_FILE, true, &file, &unused));
    CHECK_EQ(write(file, big, 100000), 100000);
    CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
    desc.from = file;
    desc.to = null;
    desc.pipe_len = SIZE_MAX / 4;
    CHECK_EQ(splice_once(&s, &desc, EDGE_POLL, 0, 0, &moved), STREAM_END);
    CHECK_EQ(moved, 100000);
    stream_splice_free(&s);
    desc.pipe_len = 0;
    /* The device cannot be asked whether it would wait; what it does not take although it would not wait. */
    CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
    CHECK_EQ(splice_once(&s, &desc, EDGE_POLL, ENOMEM, SPLICES ? 2 : 1, &moved), STREAM_E_IO);
    CHECK_EQ(s.failed, null);
    stream_splice_free(&s);
#if defined(__linux__)
    CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
    CHECK_EQ(splice_once(&s, &desc, EDGE_SPLICE, EDGE_NOTHING, 3, &moved), STREAM_E_IO);
    CHECK_EQ(s.failed, null);
    CHECK_EQ(s.os_error, EIO);
    stream_splice_free(&s);
    /* The source cannot be asked, as a device that blocks must be. */
    desc.from = zero;
    CHECK_EQ(splice_once(&s, &desc, EDGE_POLL, ENOMEM, 1, &moved), STREAM_E_IO);
    CHECK_EQ(s.failed, zero);
    stream_splice_free(&s);
#endif
    close(zero);
    /* No memory for the buffer. */
    desc.from = file;
    desc.copy = true;
    desc.allocator.resize = splice_refuses_memory;
    CHECK_EQ(splice_once(&s, &desc, EDGE_POLL, 0, 0, &moved), STREAM_E_NOMEM);
    stream_splice_free(&s);
    memset(&desc, 0, sizeof desc);
    /* Where the system will not splice, it is copied. */
    pipe_pair(from, true);
    pipe_pair(to, true);
    for (i = 0; i < COUNT(copies); i++) {
        desc.from = from[0];
        desc.to = to[1];
        far_write(from[1], "abc", 3);
        CHECK_EQ(splice_once(&s, &desc, EDGE_SPLICE, copies[i], 1, &moved), STREAM_EMPTY);
        CHECK_EQ(moved, 3);
        CHECK_EQ(read(to[0], back, sizeof back), 3);
        stream_splice_free(&s);
    }
#if defined(__linux__)
    /* Whose error it is. */
    for (i = 0; i < COUNT(direct); i++) {
        CHECK_EQ(splice_once(&s, &desc, EDGE_SPLICE, direct[i].error, 1, &moved), STREAM_E_IO);
        CHECK_EQ(s.failed, direct[i].of_to ? to[1] : from[0]);
        CHECK_EQ(s.os_error, direct[i].error);
        stream_splice_free(&s);
    }
#endif
    /* A socket that takes no more; and with a second output, one of them at a time. */
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    pipe_pair(tee, true);
    nonblock(pair[0]);
    nonblock(pair[1]);
    CHECK_EQ(ftruncate(file, 0), 0);
    CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
    CHECK_EQ(write(file, big, sizeof big), sizeof big);
    for (i = 0; i < 4; i++) {
        size_t sent = 0, teed = 0, spins;
        stream_status status;
        bool socket_first = i & 1, with_tee = i & 2;
        CHECK_EQ(lseek(file, 0, SEEK_SET), 0);
        desc.from = file;
        desc.to = with_tee && socket_first ? to[1] : pair[0];
        desc.tee = !with_tee ? 0 : socket_first ? pair[0] : to[1];
        status = splice_once(&s, &desc, EDGE_POLL, 0, 0, &moved);
        CHECK_EQ(status, STREAM_FULL);
        CHECK_EQ(stream_splice_blocked(&s), desc.to);
        if (!with_tee && socket_first) { /* from there on it has to be copied, beginning with what is held */
            edge.mask = 1u << EDGE_SPLICE;
            edge.error = EINVAL;
            edge.fail_at = edge.calls + 1;
            CHECK(stream_splice_held(&s) > 0);
            while ((got = (size_t)recv(pair[1], back, 4096, 0)) == 4096) sent += got;
            if ((ptrdiff_t)got > 0) sent += got;
            status = stream_splice_step(&s, 0, &moved);
            CHECK(status == STREAM_OK || status == STREAM_FULL);
        }
        for (spins = 0; status != STREAM_END && spins < 10000; spins++) {
            ptrdiff_t n = recv(pair[1], back, spins & 1 ? 1000 : sizeof back, 0);
            if (n > 0) sent += (size_t)n;
            n = read(to[0], back, spins & 2 ? 1000 : sizeof back);
            if (n > 0) teed += (size_t)n;
            status = stream_splice_step(&s, SIZE_MAX, &moved);
            CHECK(status >= STREAM_OK);
            if (test.failures) return;
        }
        CHECK_EQ(status, STREAM_END);
        CHECK_EQ(stream_splice_step(&s, SIZE_MAX, &moved), STREAM_END);
        for (;;) {
            ptrdiff_t n = recv(pair[1], back, sizeof back, 0);
            if (n <= 0) break;
            sent += (size_t)n;
        }
        for (;;) {
            ptrdiff_t n = read(to[0], back, sizeof back);
            if (n <= 0) break;
            teed += (size_t)n;
        }
        CHECK_EQ(sent, sizeof big);
        CHECK_EQ(teed, with_tee ? sizeof big : 0);
        stream_splice_free(&s);
    }
    /* Terminals and datagrams are copied, whichever side they are on. */
    master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0 &&
        (slave = open(ptsname(master), O_RDWR | O_NOCTTY)) >= 0) {
        int side;
        memset(&desc, 0, sizeof desc);
        for (side = 0; side < 3; side++) {
            desc.from = side == 0 ? slave : from[0];
            desc.to = side == 1 ? slave : to[1];
            desc.tee = side == 2 ? slave : 0;
            CHECK_EQ(stream_splice_init(&s, &desc), STREAM_OK);
            CHECK(s.desc.copy);
            stream_splice_free(&s);
        }
        close(slave);
    }
    close(master);
    close(pair[0]);
    close(pair[1]);
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    memset(&desc, 0, sizeof desc);
    desc.from = pair[0];
    desc.to = to[1];
    CHECK_EQ(stream_splice_init(&s, &desc), STREAM_OK);
    CHECK(s.desc.copy);
    stream_splice_free(&s);
    close(pair[0]);
    close(pair[1]);
#if defined(__linux__)
    /* Each pipe of our own may be refused, and so may its size. */
    desc.from = file;
    desc.tee = tee[1];
    for (i = 1; i < 20; i++) {
        refuse.calls = 0;
        refuse.error = EMFILE;
        refuse.at = i;
        if (stream_splice_init(&s, &desc) != STREAM_OK) CHECK_EQ(s.os_error, EMFILE);
        stream_splice_free(&s);
        if (refuse.calls < i) break;
    }
    refuse.at = 0;
    CHECK(i > 8 && i < 20);
#endif
    for (i = 0; i < 2; i++) close(from[i]), close(to[i]), close(tee[i]);
    close(null);
    close(file);
    CHECK_EQ(open_descriptors(), before);
    edge_reset();
}

static void splice_waits_with_stream_io(void) {
    static unsigned char data[400000], back[sizeof data];
    stream_fd in[2], out[2];
    stream_splice s;
    stream_splice_desc desc;
    stream_io_file from, to, feed, drain;
    stream_io_op poll_op, wr, rd;
    size_t moved, got = 0;
    bool ended = false;
    make_pattern(data, sizeof data, 0);
    backend = "poll";
    memset(&desc, 0, sizeof desc);
    memset(&from, 0, sizeof from);
    memset(&to, 0, sizeof to);
    memset(&feed, 0, sizeof feed);
    memset(&drain, 0, sizeof drain);
    memset(&poll_op, 0, sizeof poll_op);
    memset(&wr, 0, sizeof wr);
    memset(&rd, 0, sizeof rd);
    begin();
    tcp_pair(in);
    tcp_pair(out);
    nonblock(in[0]);
    nonblock(out[1]);
    desc.from = in[0];
    desc.to = out[1];
    CHECK_EQ(stream_splice_init(&s, &desc), STREAM_OK);
    stream_io_attach(&io, &from, in[0]);
    stream_io_attach(&io, &to, out[1]);
    stream_io_attach(&io, &feed, in[1]);
    stream_io_attach(&io, &drain, out[0]);
    stream_io_write(&io, &wr, &feed, data, sizeof data);
    stream_io_read(&io, &rd, &drain, back, sizeof back);
    stream_io_poll(&io, &poll_op, &from, STREAM_IO_READABLE);
    while (!ended || got < sizeof data) {
        stream_io_op *o = next_op();
        if (!o) break;
        if (o == &wr) stream_io_close(&io, &feed);
        if (o == &rd) {
            got += o->bytes;
            if (got < sizeof data) stream_io_read(&io, &rd, &drain, back + got, sizeof back - got);
        }
        if (o == &poll_op) {
            stream_status status = stream_splice_step(&s, SIZE_MAX, &moved);
            if (status == STREAM_EMPTY) stream_io_poll(&io, &poll_op, &from, STREAM_IO_READABLE);
            else if (status == STREAM_FULL) stream_io_poll(&io, &poll_op, &to, STREAM_IO_WRITABLE);
            else CHECK_EQ(status, STREAM_END);
            ended = status == STREAM_END;
        }
    }
    CHECK(got == sizeof data && is_pattern(back, got, 0));
    stream_io_close(&io, &from);
    stream_io_close(&io, &to);
    stream_io_close(&io, &drain);
    stream_splice_free(&s);
    end();
}

#endif /* POSIX */

/* ==[ the runner ]=================================================================================== */

static const char *const backends[] = {"epoll", "io_uring", "kqueue", "poll", "iocp"};

static void run_io(const char *label) {
    static char name[80];
#define RUN_IO(function) (snprintf(name, sizeof name, "%s.%s", label, #function), test_run(name, function))
    RUN_IO(echoes);
    RUN_IO(a_hang_up_takes_nothing_away);
    RUN_IO(reads_are_served_in_order);
    RUN_IO(writes_are_whole_and_in_order);
    RUN_IO(many_parts_are_one_write);
    RUN_IO(misuse_is_refused);
    RUN_IO(cancelled_once_and_nothing_lost);
    RUN_IO(a_cancelled_write_tells_how_far_it_came);
    RUN_IO(closed_is_closed);
    RUN_IO(closed_before_it_was_handed_out);
    RUN_IO(accepts_and_connects);
    RUN_IO(timers_come_in_order);
    RUN_IO(timers_are_never_early);
    RUN_IO(nobody_starves);
    RUN_IO(wakes);
#if defined(_WIN32)
    RUN_IO(handles);
    RUN_IO(threads_wake_and_post);
#else
    RUN_IO(pipes_hang_up_once);
    RUN_IO(shared_descriptors_keep_their_flags);
    RUN_IO(regular_files);
    RUN_IO(terminals);
    RUN_IO(polls);
    RUN_IO(resets_and_broken_pipes);
    RUN_IO(urgent_data_hides_nothing);
    RUN_IO(datagrams);
    RUN_IO(no_descriptor_left);
    RUN_IO(freed_with_work_under_way);
    RUN_IO(a_thousand_cost_no_more_than_ten);
    RUN_IO(an_idle_loop_sleeps);
    RUN_IO(no_wake_is_lost);
    RUN_IO(posts_arrive_in_order);
    RUN_IO(a_storm_of_signals);
    RUN_IO(every_call_goes_wrong_in_turn);
    RUN_IO(only_poll_allocates_and_only_once);
    RUN_IO(a_connection_nobody_heard_of_is_closed);
    RUN_IO(whatever_is_refused_is_told);
    RUN_IO(long_waits_end_with_what_comes);
    RUN_IO(a_wake_survives_signals);
    RUN_IO(rare_errors_are_passed_on);
    RUN_IO(a_write_may_be_of_any_size);
    RUN_IO(many_parts_go_into_a_pipe);
    RUN_IO(a_write_waits_beside_bytes_nobody_reads);
    RUN_IO(hang_ups_are_heard_by_readers);
#endif
}

/* Arguments name what to run; without any, all of it. */
static bool asked_for(int argc, char **argv, const char *name) {
    int i;
    for (i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0) return true;
    return argc < 2;
}

int main(int argc, char **argv) {
    size_t i;
#if defined(_WIN32)
    WSADATA data;
    TEST_PROGRAM("io");
    WSAStartup(MAKEWORD(2, 2), &data);
#else
    TEST_PROGRAM("io");
    signal(SIGPIPE, SIG_DFL);
#endif
    for (i = 0; i < COUNT(backends); i++) {
        stream_io_desc desc;
        stream_status status;
        if (!asked_for(argc, argv, backends[i])) continue;
        memset(&desc, 0, sizeof desc);
        desc.backends = backend = backends[i];
        status = stream_io_init(&io, &desc);
        if (status == STREAM_OK) {
            stream_io_free(&io);
            run_io(backend);
        } else if (status != STREAM_E_TYPE) { /* compiled in, but this machine says no */
            printf("skip io.%s: not on this machine (error %d)\n", backend, io.os_error);
        }
    }
#if defined(__linux__)
    /* Once more with a queue that is always full, and as on an older kernel. */
    ring_entries = 2;
    edge_plain_uring = true;
    {
        stream_io_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.backends = backend = "io_uring";
        if (asked_for(argc, argv, "io_uring.2") && stream_io_init(&io, &desc) == STREAM_OK) {
            stream_io_free(&io);
            run_io("io_uring.2");
            RUN(uring_results_that_are_rare);
        }
    }
    ring_entries = 0;
    edge_plain_uring = false;
#endif
#if !defined(_WIN32)
    if (!asked_for(argc, argv, "splice")) return test_end();
    RUN(kernel_buffers_may_refuse);
    RUN(backends_are_tried_in_order);
    RUN(splices_like_it_copies);
    RUN(splice_tells_full_from_drained);
    RUN(splice_errors_name_the_descriptor);
    RUN(splice_takes_descriptors_of_every_kind);
    RUN(splice_goes_wrong_in_turn);
    RUN(splice_waits_with_stream_io);
#endif
    return test_end();
}
