/* SPDX-License-Identifier: MIT-0
   Events on their way to the topic of an sse_relay: one POST after the other over one connection, which is
   made again, later each time, when it is lost. What waits is bounded; what finds no place is counted. */
#include "wrap.h"

#if defined(_WIN32)

const char *publish_open(run *r) {
    (void)r;
    return "not on this system";
}
bool publish_done(run *r, const stream_io_op *op) { return (void)r, (void)op, false; }
bool publish_wants(const run *r) { return (void)r, false; }
void publish_event(run *r, const char *name, const char *json, size_t len) {
    (void)r, (void)name, (void)json, (void)len;
}
void publish_lost(run *r) { (void)r; }
uint64_t publish_go(run *r, uint64_t now_ns) { return (void)r, (void)now_ns, UINT64_MAX; }
void publish_close(run *r) { (void)r; }
uint64_t publish_dropped(void) { return 0; }

#else

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../common/http.h"

#define QUEUE     ((size_t)1 << 18) /* bytes of events that wait */
#define SECOND    UINT64_C(1000000000)
#define LAST_NS   SECOND /* to get rid of them at the end */
#define HEAD      2048
#define ADDRESSES 4

enum { CLOSED = 0, CONNECTING, IDLE, WRITING, READING };

/* Before each event in the queue. */
typedef struct waiting {
    size_t len;
    char name[24];
} waiting;

static struct {
    bool open;
    int state;
    struct sockaddr_storage address[ADDRESSES]; /* localhost has two, and a relay listens on one */
    socklen_t address_len[ADDRESSES];
    unsigned addresses, at;
    char target[512], host[256], token[512];
    stream_io_file file;
    stream_io_op op;
    http response;
    text_buffer queue, request;
    char answer[2048];
    int status;
    bool keep, refused, lost;
    bool reused; /* the connection has served before, and may be closed by now */
    unsigned failures;
    uint64_t retry_ns, dropped;
} p;

/* What may stand in a query as it is stays. */
static size_t encode(char *to, size_t cap, const char *from) {
    size_t n = 0;
    for (; *from && n + 4 < cap; from++) {
        unsigned char c = (unsigned char)*from;
        bool plain =
            (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || strchr("-._~", c);
        n += (size_t)snprintf(to + n, cap - n, plain ? "%c" : "%%%02X", c);
    }
    return n;
}

static const char *resolve(const http_url *url) {
    struct addrinfo hints, *found, *one;
    char host[256], port[8];
    if (url->address.unix_path.ptr) {
        struct sockaddr_un a;
        memset(&a, 0, sizeof a);
        a.sun_family = AF_UNIX;
        if (url->address.unix_path.len >= sizeof a.sun_path) return "that path is too long for a socket";
        memcpy(a.sun_path, url->address.unix_path.ptr, url->address.unix_path.len);
        memcpy(&p.address[0], &a, sizeof a);
        p.address_len[0] = (socklen_t)sizeof a;
        p.addresses = 1;
        return NULL;
    }
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    snprintf(host, sizeof host, "%.*s", (int)url->address.host.len, url->address.host.ptr);
    snprintf(port, sizeof port, "%u", url->address.port ? url->address.port : 80u);
    if (getaddrinfo(host, port, &hints, &found) != 0) return "there is no such host";
    for (one = found; one && p.addresses < ADDRESSES; one = one->ai_next) {
        memcpy(&p.address[p.addresses], one->ai_addr, one->ai_addrlen);
        p.address_len[p.addresses++] = one->ai_addrlen;
    }
    freeaddrinfo(found);
    return NULL;
}

const char *publish_open(run *r) {
    const char *token = getenv("STREAM_WRAP_TOKEN"), *wrong;
    http_desc desc;
    http_url url;
    size_t n;
    memset(&p, 0, sizeof p);
    wrong = http_url_parse(stream_slice_text(r->opt.publish), &url);
    if (!wrong) wrong = resolve(&url);
    if (wrong) return wrong;
    if (url.target.len + 128 > sizeof p.target || url.authority.len >= sizeof p.host)
        return "it is too long";
    memcpy(p.host, url.authority.ptr, url.authority.len);
    memcpy(p.target, url.target.ptr, url.target.len);
    n = url.target.len;
    if (n == 1) n = (size_t)snprintf(p.target, sizeof p.target, "/publish");
    n += (size_t)snprintf(p.target + n, sizeof p.target - n,
                          "%stopic=", memchr(p.target, '?', n) ? "&" : "?");
    encode(p.target + n, sizeof p.target - n - 40, r->opt.name ? r->opt.name : "stream_wrap");
    if (token && strlen(token) + 8 > sizeof p.token) return "STREAM_WRAP_TOKEN is too long";
    if (token) snprintf(p.token, sizeof p.token, "Bearer %s", token);
    memset(&desc, 0, sizeof desc);
    desc.role = HTTP_RESPONSES;
    if (http_init(&p.response, &desc) != STREAM_OK || !text_room(&p.queue, QUEUE))
        return "there is no memory";
    p.open = true;
    return NULL;
}

bool publish_wants(const run *r) { return (void)r, p.open; }
uint64_t publish_dropped(void) { return p.dropped; }

void publish_event(run *r, const char *name, const char *json, size_t len) {
    waiting w;
    (void)r;
    if (!p.open) return;
    if (p.lost || p.queue.len + sizeof w + len > QUEUE) {
        p.dropped++;
        return;
    }
    memset(&w, 0, sizeof w);
    w.len = len;
    snprintf(w.name, sizeof w.name, "%s", name);
    memcpy(p.queue.ptr + p.queue.len, &w, sizeof w);
    memcpy(p.queue.ptr + p.queue.len + sizeof w, json, len);
    p.queue.len += sizeof w + len;
}

void publish_lost(run *r) {
    (void)r;
    if (p.open) p.dropped++;
}

static void drop_first(void) {
    waiting w;
    memcpy(&w, p.queue.ptr, sizeof w);
    p.queue.len -= sizeof w + w.len;
    memmove(p.queue.ptr, p.queue.ptr + sizeof w + w.len, p.queue.len);
}

static void disconnect(run *r, const char *why) {
    stream_io_close(r->io, &p.file);
    http_reset(&p.response);
    if (why && p.state == CONNECTING && ++p.at < p.addresses) {
        p.state = CLOSED;
        return; /* the next address, at once */
    }
    p.at %= p.addresses;
    p.state = CLOSED;
    if (!why || p.reused) return; /* a relay closes what was idle for long: another one, at once */
    if (p.failures == 0) view_say(r, "stream_wrap: --publish %s: %s; trying again", r->opt.publish, why);
    p.retry_ns = stream_now_ns() + (SECOND << (p.failures < 5 ? p.failures : 5));
    p.failures++;
}

static void post(run *r) {
    waiting w;
    http_writer out;
    char target[sizeof p.target + 64];
    memcpy(&w, p.queue.ptr, sizeof w);
    if (!text_room(&p.request, HEAD + w.len)) {
        drop_first();
        p.dropped++;
        return;
    }
    snprintf(target, sizeof target, "%s&event=%s", p.target, w.name);
    http_write_begin(&out, p.request.ptr, HEAD);
    http_write_request(&out, stream_slice_text("POST"), stream_slice_text(target));
    http_write_text(&out, "Host", p.host);
    if (p.token[0]) http_write_text(&out, "Authorization", p.token);
    http_write_text(&out, "Content-Type", "application/json");
    http_write_number(&out, "Content-Length", w.len);
    if (http_write_end(&out) != STREAM_OK) {
        disconnect(r, "that name or token cannot stand in a request");
        p.lost = true;
        return;
    }
    memcpy(p.request.ptr + out.len, p.queue.ptr + sizeof w, w.len);
    if (stream_io_write(r->io, &p.op, &p.file, p.request.ptr, out.len + w.len) == STREAM_OK)
        p.state = WRITING;
}

/* Reads the answer; true when it is whole. */
static bool read_answer(run *r, size_t len) {
    stream_item item;
    stream_status st;
    bool whole = false;
    (void)http_feed(&p.response, p.answer, len);
    while ((st = http_next(&p.response, &item)) != STREAM_MORE) {
        if (st != STREAM_OK) {
            disconnect(r, p.response.error ? p.response.error : "the answer was cut off");
            return false;
        }
        if (item.kind == HTTP_HEAD && p.response.head.status >= 200) {
            p.status = p.response.head.status;
            p.keep = p.response.head.keep_alive;
        }
        if (item.kind == HTTP_DONE) {
            whole = true;
            break;
        }
    }
    return whole;
}

static void answered(run *r) {
    drop_first();
    p.failures = 0;
    p.state = IDLE;
    p.reused = true;
    if (p.status / 100 != 2) {
        p.dropped++;
        if (!p.refused) view_say(r, "stream_wrap: --publish %s: answered %d", r->opt.publish, p.status);
        p.refused = true;
        if (p.status == 401 || p.status == 403) p.lost = true; /* it will not change its mind */
    }
    if (!p.keep) disconnect(r, NULL);
}

bool publish_done(run *r, const stream_io_op *op) {
    if (op != &p.op) return false;
    if (op->status == STREAM_CANCELLED) return true;
    if (op->status == STREAM_END) {
        disconnect(r, p.state == READING ? "the connection was closed" : NULL);
    } else if (op->status != STREAM_OK) {
        disconnect(r, console_error_text(op->os_error));
    } else if (p.state == CONNECTING) {
        p.state = IDLE;
    } else if (p.state == WRITING) {
        p.state = READING;
        (void)stream_io_read(r->io, &p.op, &p.file, p.answer, sizeof p.answer);
    } else if (p.state == READING) {
        if (read_answer(r, op->bytes))
            answered(r);
        else if (p.state == READING)
            (void)stream_io_read(r->io, &p.op, &p.file, p.answer, sizeof p.answer);
    }
    return true;
}

uint64_t publish_go(run *r, uint64_t now_ns) {
    if (!p.open) return UINT64_MAX;
    if (p.lost) {
        for (; p.queue.len > 0 && p.state != WRITING; drop_first()) p.dropped++;
        return UINT64_MAX;
    }
    if (p.queue.len == 0 || p.file.pending > 0) return UINT64_MAX;
    if (p.state == CLOSED) {
        int fd;
        if (now_ns < p.retry_ns) return p.retry_ns - now_ns;
        fd = socket(p.address[p.at].ss_family, SOCK_STREAM, 0);
        if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
            stream_io_attach(r->io, &p.file, fd) != STREAM_OK) {
            if (fd >= 0) close(fd);
            p.retry_ns = now_ns + SECOND;
            return SECOND;
        }
        p.state = CONNECTING;
        p.reused = false;
        if (stream_io_connect(r->io, &p.op, &p.file, &p.address[p.at], p.address_len[p.at]) != STREAM_OK)
            disconnect(r, "no connection");
    } else if (p.state == IDLE) {
        post(r);
    }
    return UINT64_MAX;
}

void publish_close(run *r) {
    uint64_t begun = stream_now_ns(), now_ns = begun;
    if (!p.open) return;
    while (p.queue.len > 0 && now_ns - begun < LAST_NS) {
        stream_io_op *op;
        uint64_t wait = publish_go(r, now_ns);
        while ((op = stream_io_next(r->io)) != NULL) {
            pipes_done(r, op);
            (void)publish_go(r, now_ns);
        }
        (void)stream_io_wait(r->io, wait < LAST_NS / 10 ? wait : LAST_NS / 10);
        now_ns = stream_now_ns();
    }
    for (; p.queue.len > 0; drop_first()) p.dropped++;
    stream_io_close(r->io, &p.file);
    http_free(&p.response);
    text_free(&p.queue);
    text_free(&p.request);
    p.open = false;
}

#endif
