/* SPDX-License-Identifier: MIT-0 */
#if !defined(_WIN32)
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE 1 /* tee */
#endif
#include "console.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* A program may be started with a standard descriptor closed; then the next open would take its number. */
void console_prepare(void) {
    int fd;
    do fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2);
    if (fd > 2) close(fd);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* as is a file that has grown to `ulimit -f` */
}

char **console_arguments(int *count, char **given) {
    (void)count;
    return given;
}

stream_fd console_fd(int stream) { return stream; }

/* Handlers run with all the others held back, so they may count; the loop only reads what they count. */
static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
enum { ENDS = sizeof ends / sizeof ends[0] };
static volatile sig_atomic_t caught[ENDS], by_terminal[ENDS], resizes;
static sig_atomic_t taken[ENDS], resizes_taken;
static void (*wake_loop)(void *ctx);
static void *wake_ctx;

/* Whether no process sent it. Where that cannot be told: no. */
static int from_terminal(const siginfo_t *info) {
#if defined(SI_KERNEL)
    return info->si_code == SI_KERNEL;
#else
    return (void)info, 0;
#endif
}

static void on_signal(int number, siginfo_t *info, void *context) {
    int saved = errno, i;
    (void)context;
    for (i = 0; i < ENDS; i++) {
        if (ends[i] != number) continue;
        caught[i] = (caught[i] + 1) & 0x3fff;
        by_terminal[i] = from_terminal(info);
    }
    if (number == SIGWINCH) resizes = (resizes + 1) & 0x3fff;
    wake_loop(wake_ctx);
    errno = saved;
}

bool console_catch(void (*wake)(void *ctx), void *ctx) {
    struct sigaction act, before;
    int i;
    wake_loop = wake;
    wake_ctx = ctx;
    memset(&act, 0, sizeof act);
    act.sa_sigaction = on_signal;
    act.sa_flags = SA_SIGINFO | SA_RESTART | SA_NOCLDSTOP;
    sigfillset(&act.sa_mask);
    for (i = 0; i < ENDS; i++) {
        /* A signal that was ignored when we were started (nohup) stays ignored. */
        if (sigaction(ends[i], NULL, &before) == 0 && before.sa_handler == SIG_IGN) continue;
        if (sigaction(ends[i], &act, NULL) != 0) return false;
    }
    return sigaction(SIGCHLD, &act, NULL) == 0 && sigaction(SIGWINCH, &act, NULL) == 0;
}

int console_signal(bool *typed) {
    int i;
    for (i = 0; i < ENDS; i++) {
        if (taken[i] == caught[i]) continue;
        taken[i] = (taken[i] + 1) & 0x3fff;
        *typed = by_terminal[i] != 0;
        return ends[i];
    }
    return 0;
}

bool console_resized(void) {
    sig_atomic_t now = resizes;
    bool resized = now != resizes_taken;
    resizes_taken = now;
    return resized;
}

bool console_is_terminal(int stream) { return isatty(stream) == 1; }

bool console_is_one(void) {
    struct stat out, err;
    return isatty(1) && isatty(2) && fstat(1, &out) == 0 && fstat(2, &err) == 0 && out.st_rdev == err.st_rdev;
}

bool console_can_draw(void) {
    const char *term = getenv("TERM");
    return isatty(2) == 1 && term && *term && strcmp(term, "dumb") != 0;
}

bool console_in_front(void) {
    pid_t front = tcgetpgrp(2);
    return front < 0 || front == getpgrp(); /* on one that controls no job, nobody is in front */
}

void console_size(int stream, unsigned *columns, unsigned *rows) {
    struct winsize size;
    bool known = ioctl(stream, TIOCGWINSZ, &size) == 0;
    *columns = known && size.ws_col > 1 ? size.ws_col : 80;
    *rows = known && size.ws_row > 1 ? size.ws_row : 24;
}

bool console_write(int stream, const char *data, size_t len) {
    size_t done = 0;
    while (done < len) {
        ssize_t n = write(stream, data + done, len - done);
        if (n < 0 && errno != EINTR) return false;
        if (n > 0) done += (size_t)n;
    }
    return true;
}

stream_fd console_open(const char *path) { return open(path, O_RDONLY | O_CLOEXEC); }

stream_fd console_create(const char *path) {
    return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
}

void console_close(stream_fd fd) {
    int saved = errno;
    if (fd >= 0) close(fd);
    errno = saved;
}

ptrdiff_t console_lend(stream_fd from, stream_fd to, size_t len) {
#if defined(__linux__)
    ptrdiff_t n;
    do n = (ptrdiff_t)tee(from, to, len, SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    return n >= 0 ? n : errno == EAGAIN || errno == EPIPE ? 0 : -1;
#else
    return (void)from, (void)to, (void)len, -1;
#endif
}

static bool write_file(const char *path, const char *data, size_t len) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), error;
    if (fd < 0) return false;
    error = console_write(fd, data, len) ? 0 : errno;
    if (close(fd) != 0 && !error) error = errno;
    errno = error;
    return error == 0;
}

bool console_put_file(const char *path, const char *data, size_t len, bool replace) {
    char beside[4096];
    int n = snprintf(beside, sizeof beside, "%s.%ld", path, (long)getpid()), error;
    if (!replace) return write_file(path, data, len);
    if (n < 0 || (size_t)n >= sizeof beside) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (write_file(beside, data, len) && rename(beside, path) == 0) return true;
    error = errno;
    unlink(beside);
    errno = error;
    return false;
}

bool console_get_file(const char *path, size_t most, char **data, size_t *len) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *got = fd < 0 ? NULL : (char *)malloc(most + 1);
    ssize_t n = 1;
    *len = 0;
    while (got && n != 0 && *len <= most) {
        n = read(fd, got + *len, most + 1 - *len);
        if (n > 0) *len += (size_t)n;
        else if (n < 0 && errno != EINTR) break;
    }
    if (fd >= 0 && got && *len > most) errno = EFBIG;
    console_close(fd);
    if (!got || n < 0 || *len > most) {
        free(got);
        return false;
    }
    *data = got;
    return true;
}

uint64_t console_process(void) { return (uint64_t)getpid(); }
int console_error(void) { return errno; }
const char *console_error_text(int os_error) { return strerror(os_error); }
bool console_gone(int os_error) { return os_error == EPIPE || os_error == ECONNRESET; }

bool console_busy(int os_error) {
    (void)os_error; /* an open file is replaced like any other */
    return false;
}

#endif
