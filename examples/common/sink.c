/* SPDX-License-Identifier: MIT-0 */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

/* The same pipe or terminal through a description of our own, or -1. */
static int reopen(int fd) {
#if defined(__linux__)
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
#else
    (void)fd; /* elsewhere /dev/fd shares the description: the flag would be everybody's */
    return -1;
#endif
}

void sink_open(sink *s, int fd) {
    struct stat st;
    int flags = fcntl(fd, F_GETFL);
    s->fd = fd;
    s->own = false;
    s->kind = SINK_PLAIN;
    if (fstat(fd, &st) != 0 || (flags >= 0 && (flags & O_NONBLOCK))) return;
    if (S_ISSOCK(st.st_mode)) {
        s->kind = SINK_SOCKET;
    } else if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
        int again = reopen(fd);
        if (again >= 0) {
            s->fd = again;
            s->own = true;
        } else {
            s->kind = SINK_CAUTIOUS;
        }
    }
}

void sink_close(sink *s) {
    if (s->own) close(s->fd);
    s->own = false;
    s->fd = -1;
}

sink_result sink_write(sink *s, const char *data, size_t len, size_t *done) {
    while (*done < len) {
        size_t want = len - *done;
        ssize_t n;
        if (s->kind == SINK_CAUTIOUS) {
            struct pollfd ready = {s->fd, POLLOUT, 0};
            if (poll(&ready, 1, 0) == 0) return SINK_BLOCKED;
            if (want > PIPE_BUF) want = PIPE_BUF;
        }
        n = s->kind == SINK_SOCKET ? send(s->fd, data + *done, want, MSG_DONTWAIT | MSG_NOSIGNAL)
                                   : write(s->fd, data + *done, want);
        if (n >= 0) {
            *done += (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return SINK_BLOCKED;
        } else if (errno == EPIPE || errno == ECONNRESET) {
            return SINK_CLOSED;
        } else if (errno != EINTR) {
            return SINK_FAILED;
        }
    }
    return SINK_DONE;
}
