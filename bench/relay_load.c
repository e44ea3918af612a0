/* SPDX-License-Identifier: MIT-0
   The load for bench/relay.mjs: an upstream and its clients, or a publisher and its subscribers, in one
   thread beside the server that is measured, whose CPU time and memory are read from /proc. Linux.

       relay_load proxy PID PORT UPSTREAM_PORT STREAMS EVENTS_PER_SECOND SECONDS
       relay_load fanout PID PORT SUBSCRIBE PUBLISH FIELD SUBSCRIBERS EVENTS SIZE PUBLISHERS
       relay_load bare-proxy PORT UPSTREAM_PORT
       relay_load bare-fanout PORT

   proxy: events go to the streams in turn at that rate, each with the time in it. PORT may be
   UPSTREAM_PORT: then nobody stands between. fanout: events of SIZE bytes, sent with POST to the path
   PUBLISH, with FIELD as one more field line, by so many publishers at once, each on a connection of its
   own; at most twice as many events are on their way to the slowest subscriber. One line of JSON on
   standard output.

   bare-proxy and bare-fanout are servers for these two that do nothing but the system calls nobody can do
   without: one receive and one send for each event of a proxy, one send for each subscriber and event of a
   fan-out. They look at no byte more than they must, have no timers, and end if anything goes wrong. What
   they cost is what there is no way below, with these calls. */
#define _GNU_SOURCE 1
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char input[1 << 18];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Nanoseconds all threads of the process have run. */
static uint64_t cpu_ns(int pid) {
    char path[96], text[64];
    struct dirent *d;
    uint64_t sum = 0;
    DIR *dir;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    dir = opendir(path);
    while (dir && (d = readdir(dir)) != NULL) {
        FILE *f;
        if (d->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/schedstat", pid, d->d_name);
        f = fopen(path, "r");
        if (f && fgets(text, sizeof text, f)) sum += strtoull(text, NULL, 10);
        if (f) fclose(f);
    }
    if (dir) closedir(dir);
    return sum;
}

static long rss_kib(int pid) {
    char path[64], line[128];
    long kib = 0;
    FILE *f;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "RssAnon:", 8) == 0 || strncmp(line, "RssShmem:", 9) == 0)
            kib += atol(strchr(line, ':') + 1);
    if (f) fclose(f);
    return kib;
}

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in a;
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_port = htons((uint16_t)port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

/* -1: nobody listens there. */
static int try_dial(int port) {
    struct sockaddr_in a = loopback(port);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    if (connect(fd, (struct sockaddr *)(void *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static int dial(int port) {
    int fd = try_dial(port);
    if (fd < 0) fail("connect");
    return fd;
}

static void send_all(int fd, const char *p, size_t n) {
    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno != EAGAIN) fail("write");
        if (k > 0) p += k, n -= (size_t)k;
    }
}

static void watch(int ep, int fd, uint32_t who) {
    struct epoll_event e;
    memset(&e, 0, sizeof e);
    e.events = EPOLLIN;
    e.data.u32 = who;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) != 0) fail("epoll_ctl");
}

static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* ---- proxy ---- */

typedef struct client {
    int fd;
    char held[512]; /* the beginning of an event */
    size_t len;
} client;

static uint64_t *latency;
static size_t latencies, latency_cap;

static void take_event(client *c, const char *p, size_t n) {
    static const char mark[] = "\"t\":";
    if (c->len + n > sizeof c->held) c->len = 0;
    memcpy(c->held + c->len, p, n);
    c->len += n;
    for (;;) {
        char *at = (char *)memmem(c->held, c->len, mark, sizeof mark - 1);
        char *end = at ? (char *)memchr(at, '}', c->len - (size_t)(at - c->held)) : NULL;
        if (!end) return;
        if (latencies < latency_cap) latency[latencies] = now_ns() - strtoull(at + 4, NULL, 10);
        latencies++;
        c->len -= (size_t)(end + 1 - c->held);
        memmove(c->held, end + 1, c->len);
    }
}

static int proxy(int pid, int port, int upstream_port, unsigned streams, double rate, double seconds) {
    static const char head[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    static const char ask[] = "GET /s HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n";
    client *clients = (client *)calloc(streams, sizeof *clients);
    int *up = (int *)calloc(streams, sizeof *up);
    int ep = epoll_create1(EPOLL_CLOEXEC), one = 1,
        listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unsigned i;
    struct sockaddr_in a;
    uint64_t begin, cpu = 0, sent = 0, total = (uint64_t)(rate * seconds), warm = total / 5;
    memset(&a, 0, sizeof a);
    a.sin_family = AF_INET;
    a.sin_port = htons((uint16_t)upstream_port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)(void *)&a, sizeof a) != 0 || listen(listener, 1024) != 0)
        fail("listen");
    latency_cap = (size_t)total;
    latency = (uint64_t *)calloc(latency_cap, sizeof *latency);
    for (i = 0; i < streams; i++) {
        clients[i].fd = dial(port);
        send_all(clients[i].fd, ask, sizeof ask - 1);
        up[i] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        setsockopt(up[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (read(up[i], input, sizeof input) <= 0) fail("request");
        send_all(up[i], head, sizeof head - 1);
        if (read(clients[i].fd, input, sizeof input) <= 0) fail("answer");
        watch(ep, clients[i].fd, i);
    }
    begin = now_ns();
    while (latencies < total) {
        struct epoll_event events[256];
        struct timespec wait = {1, 0};
        uint64_t now = now_ns(), due;
        int n, k;
        while (sent < total && (due = begin + (uint64_t)((double)sent * 1e9 / rate)) <= now) {
            char event[256], framed[300];
            int len = snprintf(
                event, sizeof event,
                "event: delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"text\":\"some words "
                "of an answer\",\"t\":%llu}\n\n",
                (unsigned long long)now_ns());
            len = snprintf(framed, sizeof framed, "%x\r\n%s\r\n", (unsigned)len, event);
            if (sent == warm) cpu = cpu_ns(pid);
            send_all(up[sent % streams], framed, (size_t)len);
            sent++;
        }
        if (sent < total) {
            now = now_ns();
            wait.tv_sec = 0;
            wait.tv_nsec = due > now ? (long)(due - now) : 0;
        } else if (now > begin + (uint64_t)(seconds * 3e9)) {
            break;
        }
        n = epoll_pwait2(ep, events, 256, &wait, NULL);
        for (k = 0; k < n; k++) {
            client *c = &clients[events[k].data.u32];
            ssize_t got = read(c->fd, input, sizeof input);
            size_t at;
            if (got == 0) fail("a client was left");
            for (at = 0; got > 0 && at < (size_t)got; at += 256)
                take_event(c, input + at, (size_t)got - at < 256 ? (size_t)got - at : 256);
        }
    }
    cpu = cpu_ns(pid) - cpu;
    qsort(latency, latencies < latency_cap ? latencies : latency_cap, sizeof *latency, by_size);
    printf("{\"events\":%llu,\"cpuPerEventNs\":%.0f,\"p50us\":%.1f,\"p99us\":%.1f}\n",
           (unsigned long long)latencies, (double)cpu / (double)(total - warm),
           (double)latency[total / 2] / 1e3, (double)latency[total / 100 * 99] / 1e3);
    return latencies < total;
}

/* ---- fan-out ---- */

static int fanout(int pid, int port, const char *path, const char *to, const char *field,
                  unsigned subscribers, uint64_t events, size_t size, unsigned publishers) {
    int ep = epoll_create1(EPOLL_CLOEXEC), *fd = (int *)calloc(subscribers, sizeof *fd), publisher[64], k,
        n;
    uint64_t *got = (uint64_t *)calloc(subscribers, sizeof *got),
             *reached = (uint64_t *)calloc(events + 1, sizeof *reached);
    uint64_t published = 0, whole = 0, begin, cpu, wall, delivered = 0, asked;
    char *post = (char *)malloc(size + 1024), ask[512];
    bool waits[64] = {false};
    unsigned turn = 0;
    size_t len, i;
    struct epoll_event list[256];
    long rss = rss_kib(pid), rss_idle;
    snprintf(ask, sizeof ask, "GET %s HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n", path);
    for (i = 0; i < subscribers; i++) {
        fd[i] = dial(port);
        send_all(fd[i], ask, strlen(ask));
        if (read(fd[i], input, sizeof input) <= 0) fail("subscribe");
        watch(ep, fd[i], (uint32_t)i);
    }
    rss_idle = rss_kib(pid);
    len = (size_t)sprintf(post, "POST %s HTTP/1.1\r\nHost: x\r\n%s%sContent-Length: %zu\r\n\r\n", to, field,
                          *field ? "\r\n" : "", size);
    memset(post + len, 'x', size);
    post[len + size - 1] = '~'; /* one of these an event */
    len += size;
    for (i = 0; i < publishers; i++) {
        publisher[i] = dial(port);
        watch(ep, publisher[i], UINT32_MAX - (uint32_t)i);
    }
    asked = events * subscribers;
    begin = now_ns();
    cpu = cpu_ns(pid);
    while (delivered < asked) {
        for (i = 0; i < publishers && published < events && published - whole < 2 * publishers; i++) {
            turn = (turn + 1) % publishers;
            if (waits[turn]) continue;
            send_all(publisher[turn], post, len);
            published++;
            waits[turn] = true;
        }
        n = epoll_wait(ep, list, 256, 10000);
        if (n <= 0) fail("nothing comes");
        for (k = 0; k < n; k++) {
            uint32_t who = list[k].data.u32;
            bool answer = who > UINT32_MAX - 64;
            ssize_t r = read(answer ? publisher[UINT32_MAX - who] : fd[who], input, sizeof input);
            const char *p = input;
            if (r == 0) fail("somebody was left");
            if (r < 0) continue;
            if (answer) {
                waits[UINT32_MAX - who] = false;
                continue;
            }
            while ((p = (const char *)memchr(p, '~', (size_t)(input + r - p))) != NULL) {
                p++;
                delivered++;
                if (++reached[++got[who]] == subscribers) whole++;
            }
        }
    }
    wall = now_ns() - begin;
    cpu = cpu_ns(pid) - cpu;
    printf("{\"delivered\":%llu,\"cpuPerDeliveredNs\":%.0f,\"deliveredPerSecond\":%.0f,\"busy\":%.2f,"
           "\"kibPerSubscriber\":%.2f}\n",
           (unsigned long long)delivered, (double)cpu / (double)asked, (double)asked / ((double)wall / 1e9),
           (double)cpu / (double)wall, (double)(rss_idle - rss) / subscribers);
    return 0;
}

/* ---- the bounds ---- */

enum { BARE = 16384 }; /* descriptors */

static int listen_at(int port) {
    struct sockaddr_in a = loopback(port);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)(void *)&a, sizeof a) != 0 || listen(fd, 1024) != 0) fail("listen");
    return fd;
}

static int welcome(int listener) {
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 || fd >= BARE) fail("accept");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* Bytes from one side to the other, until either closes. */
static int bare_proxy(int port, int upstream_port) {
    static int other[BARE];
    int ep = epoll_create1(EPOLL_CLOEXEC), listener = listen_at(port), n, k;
    struct epoll_event list[256];
    watch(ep, listener, (uint32_t)listener);
    while ((n = epoll_wait(ep, list, 256, -1)) > 0 || errno == EINTR) {
        for (k = 0; k < n; k++) {
            int fd = (int)list[k].data.u32;
            ssize_t r;
            if (fd == listener) {
                int asks = welcome(listener), up = try_dial(upstream_port);
                if (up < 0) {
                    close(asks);
                    continue;
                }
                other[asks] = up;
                other[up] = asks;
                watch(ep, asks, (uint32_t)asks);
                watch(ep, up, (uint32_t)up);
                continue;
            }
            r = recv(fd, input, 32768, 0);
            if (r > 0 && send(other[fd], input, (size_t)r, MSG_NOSIGNAL) != r) fail("send");
            if (r == 0 || (r < 0 && errno != EAGAIN)) close(fd), close(other[fd]);
        }
    }
    return 1;
}

/* GET: a subscriber, and never looked at again. POST: its body as an event to all of them. */
static int bare_fanout(int port) {
    static const char hello[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                "Transfer-Encoding: chunked\r\n\r\n",
                      done[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    static int subscriber[BARE];
    static char event[sizeof input + 128];
    int ep = epoll_create1(EPOLL_CLOEXEC), listener = listen_at(port), n, k, subscribers = 0, i;
    struct epoll_event list[256];
    unsigned long long number = 0;
    watch(ep, listener, (uint32_t)listener);
    while ((n = epoll_wait(ep, list, 256, -1)) > 0 || errno == EINTR) {
        for (k = 0; k < n; k++) {
            int fd = (int)list[k].data.u32, len, head;
            const char *body;
            ssize_t r;
            if (fd == listener) {
                fd = welcome(listener);
                watch(ep, fd, (uint32_t)fd);
                continue;
            }
            r = recv(fd, input, sizeof input - 1, 0);
            if (r > 0 && input[0] == 'G') {
                subscriber[subscribers++] = fd;
                send_all(fd, hello, sizeof hello - 1);
                epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
                continue;
            }
            if (r <= 0) {
                close(fd);
                continue;
            }
            input[r] = '\0';
            body = strstr(input, "\r\n\r\n");
            if (!body) fail("a request in pieces");
            len = (int)(input + r - body) - 4;
            head = sprintf(event, "%x\r\nid: 12345678-%06llu\ndata: ", (unsigned)len + 30, number++);
            memcpy(event + head, body + 4, (size_t)len);
            memcpy(event + head + len, "\n\n\r\n", 4);
            for (i = 0; i < subscribers; i++)
                if (send(subscriber[i], event, (size_t)(head + len + 4), MSG_NOSIGNAL) < 0 &&
                    errno != EAGAIN)
                    close(subscriber[i]), subscriber[i--] = subscriber[--subscribers];
            send_all(fd, done, sizeof done - 1);
        }
    }
    return 1;
}

int main(int argc, char **argv) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (argc == 8 && strcmp(argv[1], "proxy") == 0)
        return proxy(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]), (unsigned)atoi(argv[5]), atof(argv[6]),
                     atof(argv[7]));
    if (argc == 11 && strcmp(argv[1], "fanout") == 0)
        return fanout(atoi(argv[2]), atoi(argv[3]), argv[4], argv[5], argv[6], (unsigned)atoi(argv[7]),
                      (uint64_t)atoll(argv[8]), (size_t)atoll(argv[9]), (unsigned)atoi(argv[10]) % 64);
    if (argc == 4 && strcmp(argv[1], "bare-proxy") == 0) return bare_proxy(atoi(argv[2]), atoi(argv[3]));
    if (argc == 3 && strcmp(argv[1], "bare-fanout") == 0) return bare_fanout(atoi(argv[2]));
    fputs("relay_load: see the top of bench/relay_load.c\n", stderr);
    return 2;
}
