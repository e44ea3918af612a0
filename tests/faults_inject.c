/* SPDX-License-Identifier: MIT-0
   A library for LD_PRELOAD that counts a program's calls of the system and of malloc, by what they are
   about, and makes one of them fail in a way that it really can. tests/faults.c says which. What the
   program executes is left alone; what it only forks is counted by itself.

   A call that is refused has not happened, but for two: a close that fails has closed all the same, and a
   connect that is interrupted goes on. */
#define _GNU_SOURCE 1
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "faults.h"

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

static fault_state *state;
static int role;
static long live;

/* The next definition of a function, looked up once. */
#define REAL(name) ((__typeof__(&name))real(#name, &real_##name))
static void *real(const char *name, void **kept) {
    if (!*kept) *kept = dlsym(RTLD_NEXT, name);
    return *kept;
}
#define FAULT_REAL(name) static void *real_##name;
static void *real_memory __attribute__((unused));
FAULT_CALLS(FAULT_REAL)

/* ---- which one fails -------------------------------------------------------------------------------- */

static int class_of(int fd) {
    struct stat st;
    int saved = errno, c = IS_OTHER, flags;
    if (!state || REAL(fstat)(fd, &st) != 0) {
        errno = saved;
        return c;
    }
    switch (st.st_mode & S_IFMT) {
    case S_IFREG: c = IS_FILE; break;
    case S_IFIFO: c = IS_PIPE; break;
    case S_IFSOCK: c = IS_SOCKET; break;
    case S_IFCHR: c = IS_DEVICE; break;
    case S_IFDIR: c = IS_DIRECTORY; break;
    case 0: c = IS_EVENT; break;
    default: break;
    }
    flags = REAL(fcntl)(fd, F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK)) c |= CLASS_NONBLOCKING;
    if (fd == 1) c |= CLASS_STDOUT;
    if (fd == 2) c |= CLASS_STDERR;
    errno = saved;
    return c;
}

/* Counts the call; what it is to fail with, or 0. */
static int fails(int call, int fault_class) {
    unsigned n;
    if (!state) return 0;
    n = __atomic_add_fetch(&state->count[role][call][fault_class], 1, __ATOMIC_RELAXED);
    if (!state->kind || state->role != role || state->call != call || state->fault_class != fault_class)
        return 0;
    if (n != state->nth && !(state->from && n > state->nth)) return 0;
    __atomic_add_fetch(&state->fired, 1, __ATOMIC_RELAXED);
    return state->kind;
}

#define FAIL(call, fault_class, result)                                                                    \
    do {                                                                                                   \
        int kind = fails(call, fault_class);                                                               \
        if (kind > 0) return errno = kind, (result);                                                       \
    } while (0)

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("FAULTS_STATE");
    int fd = file ? REAL(open)(file, O_RDWR | O_CLOEXEC) : -1;
    void *p =
        fd < 0 ? MAP_FAILED : REAL(mmap)(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0) REAL(close)(fd);
    unsetenv("LD_PRELOAD");
    unsetenv("FAULTS_STATE");
    if (p != MAP_FAILED) state = p;
}

/* What is still open, and still allocated, at an end by exit. */
__attribute__((destructor)) static void end(void) {
    fault_state *s = state;
    int fd;
    state = NULL;
    if (!s || role != 0) return;
    for (fd = 0; fd < 256; fd++) s->open_at_end += REAL(fcntl)(fd, F_GETFD) >= 0;
    s->live_at_end = live;
    s->ended = 1;
}

/* ---- memory ----------------------------------------------------------------------------------------- */

void *malloc(size_t n) {
    void *p;
    FAIL(CALL_memory, 0, NULL);
    p = __libc_malloc(n);
    if (p) live++;
    return p;
}

void *calloc(size_t n, size_t size) {
    void *p;
    FAIL(CALL_memory, 0, NULL);
    p = __libc_calloc(n, size);
    if (p) live++;
    return p;
}

void *realloc(void *old, size_t n) {
    void *p;
    if (n) FAIL(CALL_memory, 0, NULL);
    p = __libc_realloc(old, n);
    if (p && !old) live++;
    if (!p && old && !n) live--;
    return p;
}

void free(void *p) {
    if (p) live--;
    __libc_free(p);
}

/* ---- bytes ------------------------------------------------------------------------------------------ */

#define MOVES(result, name, parameters, arguments, fd, length)                                             \
    result name parameters {                                                                               \
        int kind = fails(CALL_##name, class_of(fd));                                                       \
        if (kind > 0) return errno = kind, -1;                                                             \
        if (kind == KIND_SHORT && length > 1) length = 1;                                                  \
        return REAL(name) arguments;                                                                       \
    }

MOVES(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n), fd, n)
MOVES(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n), fd, n)
MOVES(ssize_t, recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags), fd, n)
MOVES(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags), fd, n)
MOVES(ssize_t, splice, (int in, off_t *at, int out, off_t *to, size_t n, unsigned flags),
      (in, at, out, to, n, flags), in, n)
MOVES(ssize_t, tee, (int in, int out, size_t n, unsigned flags), (in, out, n, flags), in, n)

ssize_t writev(int fd, const struct iovec *parts, int count) {
    int kind = fails(CALL_writev, class_of(fd));
    if (kind > 0) return errno = kind, -1;
    if (kind == KIND_SHORT && count > 0) return REAL(write)(fd, parts->iov_base, parts->iov_len > 0);
    return REAL(writev)(fd, parts, count);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    int kind = fails(CALL_sendmsg, class_of(fd));
    if (kind > 0) return errno = kind, -1;
    if (kind == KIND_SHORT && message->msg_iovlen > 0)
        return REAL(send)(fd, message->msg_iov->iov_base, message->msg_iov->iov_len > 0, flags);
    return REAL(sendmsg)(fd, message, flags);
}

/* ---- descriptors ------------------------------------------------------------------------------------ */

int open(const char *path, int flags, ...) {
    mode_t mode = 0;
    va_list list;
    va_start(list, flags);
    if (flags & O_CREAT) mode = va_arg(list, mode_t);
    va_end(list);
    FAIL(CALL_open, flags & O_CREAT ? IS_FILE : IS_OTHER, -1);
    return REAL(open)(path, flags, mode);
}

/* One that is not open cannot be closed in any case: before it executes another program, a child goes through
   them all. */
int close(int fd) {
    bool is_open = state && REAL(fcntl)(fd, F_GETFD) >= 0;
    int kind = is_open ? fails(CALL_close, class_of(fd)) : 0, result = REAL(close)(fd);
    if (state && role == 0 && result != 0 && errno == EBADF) state->bad_closes++;
    if (kind > 0 && result == 0) return errno = kind, -1;
    return result;
}

int fcntl(int fd, int command, ...) {
    va_list list;
    void *argument;
    va_start(list, command);
    argument = va_arg(list, void *);
    va_end(list);
    FAIL(CALL_fcntl, class_of(fd) & 7, -1);
    return REAL(fcntl)(fd, command, argument);
}

int ioctl(int fd, unsigned long request, ...) {
    va_list list;
    void *argument;
    va_start(list, request);
    argument = va_arg(list, void *);
    va_end(list);
    FAIL(CALL_ioctl, class_of(fd) & 7, -1);
    return REAL(ioctl)(fd, request, argument);
}

#define REFUSES(result, wrong, name, parameters, arguments, fault_class)                                   \
    result name parameters {                                                                               \
        FAIL(CALL_##name, fault_class, wrong);                                                             \
        return REAL(name) arguments;                                                                       \
    }

REFUSES(int, -1, pipe2, (int ends[2], int flags), (ends, flags), 0)
REFUSES(int, -1, socketpair, (int family, int type, int protocol, int ends[2]),
        (family, type, protocol, ends), 0)
REFUSES(int, -1, socket, (int family, int type, int protocol), (family, type, protocol), 0)
REFUSES(int, -1, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), 0)
REFUSES(int, -1, listen, (int fd, int n), (fd, n), 0)
REFUSES(int, -1, accept4, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags), 0)
REFUSES(int, -1, shutdown, (int fd, int how), (fd, how), 0)
REFUSES(int, -1, setsockopt, (int fd, int level, int name, const void *p, socklen_t n),
        (fd, level, name, p, n), 0)
REFUSES(int, -1, getsockopt, (int fd, int level, int name, void *p, socklen_t *n), (fd, level, name, p, n),
        0)
REFUSES(int, -1, getsockname, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), 0)
REFUSES(int, -1, getpeername, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), 0)
REFUSES(int, -1, dup2, (int from, int to), (from, to), 0)
REFUSES(int, -1, fstat, (int fd, struct stat *st), (fd, st), class_of(fd) & 7)
REFUSES(int, -1, lstat, (const char *path, struct stat *st), (path, st), 0)
REFUSES(off_t, -1, lseek, (int fd, off_t at, int from), (fd, at, from), 0)
REFUSES(int, -1, ftruncate, (int fd, off_t length), (fd, length), 0)
REFUSES(int, -1, mkostemp, (char *path, int flags), (path, flags), 0)
REFUSES(int, -1, rename, (const char *from, const char *to), (from, to), 0)
REFUSES(int, -1, unlink, (const char *path), (path), 0)
REFUSES(DIR *, NULL, opendir, (const char *path), (path), 0)
REFUSES(struct dirent *, NULL, readdir, (DIR * dir), (dir), 0)
REFUSES(FILE *, NULL, fopen, (const char *path, const char *mode), (path, mode), 0)
REFUSES(size_t, 0, fread, (void *p, size_t n, size_t count, FILE *file), (p, n, count, file), 0)
REFUSES(int, EOF, fflush, (FILE * file), (file), 0)
REFUSES(int, -1, chdir, (const char *path), (path), 0)

int connect(int fd, const struct sockaddr *a, socklen_t n) {
    int kind = fails(CALL_connect, class_of(fd) & CLASS_NONBLOCKING), result;
    if (kind > 0 && kind != EINTR) return errno = kind, -1;
    result = REAL(connect)(fd, a, n);
    return kind ? (errno = kind, -1) : result;
}

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found) {
    int kind = fails(CALL_getaddrinfo, 0);
    return kind ? (kind == ENOMEM ? EAI_MEMORY : EAI_AGAIN) : REAL(getaddrinfo)(host, port, hints, found);
}

int getnameinfo(const struct sockaddr *a, socklen_t n, char *host, socklen_t host_len, char *port,
                socklen_t port_len, int flags) {
    if (fails(CALL_getnameinfo, 0)) return EAI_MEMORY;
    return REAL(getnameinfo)(a, n, host, host_len, port, port_len, flags);
}

/* ---- waiting ---------------------------------------------------------------------------------------- */

REFUSES(int, -1, epoll_create1, (int flags), (flags), 0)
REFUSES(int, -1, epoll_ctl, (int epoll, int what, int fd, struct epoll_event *event),
        (epoll, what, fd, event), (class_of(fd) & 7) | (what == EPOLL_CTL_ADD ? CLASS_ADDS : 0))
REFUSES(int, -1, epoll_wait, (int epoll, struct epoll_event *events, int n, int timeout),
        (epoll, events, n, timeout), 0)
REFUSES(int, -1, eventfd, (unsigned n, int flags), (n, flags), 0)
REFUSES(int, -1, poll, (struct pollfd * list, nfds_t n, int timeout), (list, n, timeout), 0)
REFUSES(int, -1, pselect,
        (int n, fd_set *in, fd_set *out, fd_set *odd, const struct timespec *timeout, const sigset_t *mask),
        (n, in, out, odd, timeout, mask), 0)
REFUSES(void *, MAP_FAILED, mmap, (void *at, size_t n, int protection, int flags, int fd, off_t from),
        (at, n, protection, flags, fd, from), 0)

long syscall(long number, ...) {
    long a[6];
    va_list list;
    int i;
    va_start(list, number);
    for (i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    FAIL(CALL_syscall, 0, -1);
    return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- processes -------------------------------------------------------------------------------------- */

pid_t fork(void) {
    pid_t pid;
    FAIL(CALL_fork, 0, -1);
    pid = REAL(fork)();
    if (pid == 0 && role < ROLES - 1) role++;
    return pid;
}

REFUSES(int, -1, execvp, (const char *path, char *const *argv), (path, argv), 0)
REFUSES(pid_t, -1, waitpid, (pid_t pid, int *status, int options), (pid, status, options), 0)
REFUSES(int, -1, waitid, (idtype_t type, id_t id, siginfo_t *info, int options), (type, id, info, options),
        0)
REFUSES(int, -1, kill, (pid_t pid, int number), (pid, number), 0)
REFUSES(pid_t, -1, setsid, (void), (), 0)
REFUSES(int, -1, setpgid, (pid_t pid, pid_t group), (pid, group), 0)

int prctl(int option, ...);
int prctl(int option, ...) {
    unsigned long a[4];
    va_list list;
    int i;
    va_start(list, option);
    for (i = 0; i < 4; i++) a[i] = va_arg(list, unsigned long);
    va_end(list);
    FAIL(CALL_prctl, 0, -1);
    return REAL(prctl)(option, a[0], a[1], a[2], a[3]);
}

/* ---- terminals -------------------------------------------------------------------------------------- */

REFUSES(int, -1, posix_openpt, (int flags), (flags), 0)
REFUSES(int, -1, grantpt, (int fd), (fd), 0)
REFUSES(int, -1, unlockpt, (int fd), (fd), 0)
REFUSES(char *, NULL, ptsname, (int fd), (fd), 0)
REFUSES(int, -1, tcgetattr, (int fd, struct termios *mode), (fd, mode), 0)
REFUSES(int, -1, tcsetattr, (int fd, int when, const struct termios *mode), (fd, when, mode), 0)
