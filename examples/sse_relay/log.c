/* SPDX-License-Identifier: MIT-0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "relay.h"

enum { LINES_A_SECOND = 500, COMPLAIN_S = 10 };

bool log_open(relay_log *l, const char *path) {
    int fd = -1;
    if (strcmp(path, "-") == 0)
        fd = STDERR_FILENO;
    else if (strcmp(path, "off") != 0) {
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
        if (fd < 0) return false;
    }
    log_close(l);
    l->fd = fd;
    return true;
}

void log_close(relay_log *l) {
    if (l->fd > STDERR_FILENO) close(l->fd);
    l->fd = -1;
}

/* Writes it if that needs no waiting: nobody waits for a log, whoever reads it. The descriptor is not ours
   alone, so it stays blocking; a pipe that can be written to takes PIPE_BUF bytes. */
static bool put_text(int fd, const char *text, size_t len) {
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    ssize_t n;
    if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT)) return false;
    do n = write(fd, text, len);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)len;
}

void log_pass(const char *text, size_t len) {
    while (len > 0) {
        size_t n = len < PIPE_BUF ? len : PIPE_BUF;
        if (!put_text(STDERR_FILENO, text, n)) return;
        text += n;
        len -= n;
    }
}

static void put_line(relay_log *l, const char *line, size_t len) {
    if (!put_text(l->fd, line, len)) l->dropped++;
}

static bool may_write(relay_log *l, uint64_t now_ns) {
    uint64_t second = now_ns / UINT64_C(1000000000);
    if (l->fd < 0) return false;
    if (second != l->window) {
        l->window = second;
        l->lines = 0;
    }
    if (l->lines++ < LINES_A_SECOND) return true;
    l->dropped++;
    return false;
}

static size_t stamp(char *dst, size_t cap) {
    struct timespec now;
    struct tm parts;
    size_t n;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    n = strftime(dst, cap, "%Y-%m-%dT%H:%M:%S", &parts);
    return n + (size_t)snprintf(dst + n, cap - n, ".%03ldZ", now.tv_nsec / 1000000);
}

static double ms(uint64_t ns) { return (double)ns / 1e6; }

void log_exchange(relay *r, const exchange *e, const char *reason) {
    char line[640], peer[64];
    uint64_t now = r->s.now_ns;
    size_t n;
    int more;
    if (!may_write(&r->log, now)) return;
    n = stamp(line, sizeof line);
    server_peer(e->c, peer);
    more = snprintf(
        line + n, sizeof line - n,
        " id=%llu client=%s method=%s target=\"%s\" status=%d reason=%s ms=%.1f answer_ms=%.1f up=%llu "
        "down=%llu events=%llu chunks=%llu stalls=%llu stalled_ms=%.1f reused=%d%s%s%s\n",
        (unsigned long long)e->id, peer, e->method, e->target, e->status, reason, ms(now - e->began_ns),
        e->answered_ns ? ms(e->answered_ns - e->began_ns) : 0.0, (unsigned long long)e->bytes_up,
        (unsigned long long)e->bytes_down, (unsigned long long)e->count, (unsigned long long)e->chunks,
        (unsigned long long)e->stalls, ms(e->stalled_ns), e->reused, e->error ? " error=\"" : "",
        e->error ? e->error : "", e->error ? "\"" : "");
    if (more < 0) return;
    n += (size_t)more;
    if (n >= sizeof line) n = sizeof line - 1, line[n - 1] = '\n';
    put_line(&r->log, line, n);
}

void log_subscriber(relay *r, const subscriber *s, const char *reason) {
    char line[320], peer[64];
    uint64_t now = r->s.now_ns;
    size_t n;
    int more;
    if (!may_write(&r->log, now)) return;
    n = stamp(line, sizeof line);
    server_peer(s->c, peer);
    more = snprintf(
        line + n, sizeof line - n,
        " id=%llu client=%s subscriber reason=%s ms=%.1f events=%llu bytes=%llu lost=%llu stalls=%llu\n",
        (unsigned long long)s->id, peer, reason, ms(now - s->began_ns), (unsigned long long)s->events,
        (unsigned long long)s->bytes, (unsigned long long)s->lost, (unsigned long long)s->stalls);
    if (more > 0 && n + (size_t)more < sizeof line) put_line(&r->log, line, n + (size_t)more);
}

void log_say(const char *what, const char *why) {
    char line[512];
    int n = snprintf(line, sizeof line, "sse_relay: %s: %s\n", what, why);
    if (n > 0) log_pass(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

void log_complain(relay *r, const char *what, const char *why) {
    uint64_t now = stream_now_ns();
    size_t i, oldest = 0;
    char line[512];
    int n;
    for (i = 0; i < sizeof r->complaints / sizeof r->complaints[0]; i++) {
        if (r->complaints[i].what == what) break;
        if (r->complaints[i].ns < r->complaints[oldest].ns) oldest = i;
    }
    if (i == sizeof r->complaints / sizeof r->complaints[0]) {
        i = oldest;
        r->complaints[i].what = what;
        r->complaints[i].ns = r->complaints[i].held_back = 0;
    }
    if (r->complaints[i].ns && now - r->complaints[i].ns < COMPLAIN_S * UINT64_C(1000000000)) {
        r->complaints[i].held_back++;
        return;
    }
    n = r->complaints[i].held_back
            ? snprintf(line, sizeof line, "sse_relay: %s: %s (and %llu times before this)\n", what, why,
                       (unsigned long long)r->complaints[i].held_back)
            : snprintf(line, sizeof line, "sse_relay: %s: %s\n", what, why);
    r->complaints[i].ns = now;
    r->complaints[i].held_back = 0;
    if (n > 0) log_pass(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}
