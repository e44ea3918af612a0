/* SPDX-License-Identifier: MIT-0
   sse_relay: passes HTTP on, and server-sent events one by one, without delay and in bounded memory.

   One thread, one loop: see relay.h for the rooms. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "relay.h"

#define LAST_CALL UINT64_C(500000000) /* nanoseconds after --drain, and who is still there is cut off */

static volatile sig_atomic_t hung_up, asked_to_end, child_ended;
static stream_io *signalled; /* the loop to wake: a signal handler has no other way to know it */

static void on_signal(int number) {
    if (number == SIGHUP)
        hung_up = 1;
    else if (number == SIGCHLD)
        child_ended = 1;
    else
        asked_to_end++;
    if (signalled) stream_io_wake(signalled);
}

static void catch_signals(relay *r) {
    struct sigaction act;
    signalled = &r->s.io;
    memset(&act, 0, sizeof act);
    act.sa_handler = on_signal;
    sigaction(SIGHUP, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGCHLD, &act, NULL);
    act.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &act, NULL);
}

/* Streams end one by one within --drain, so that their clients do not all come back at once. */
static void retire_next(server_op *op) {
    relay *r = (relay *)op->owner;
    uint64_t now = stream_now_ns();
    exchange *e, *next, *oldest = NULL;
    uint64_t left = 0;
    for (e = r->exchanges; e; e = next) {
        next = e->next;
        if (!e->c || e->c->ending || e->c->closing) continue;
        left++;
        if (!oldest || e->id < oldest->id) oldest = e;
    }
    left += r->fan.count;
    if (now >= r->retire_until + LAST_CALL) { /* they were given a last chunk, and do not take it */
        while (r->s.conns) server_abort(r->s.conns, SERVER_DRAINED);
        return;
    }
    if (now >= r->retire_until) {
        while (fanout_retire_one(&r->fan)) {
        }
        for (e = r->exchanges; e; e = next) {
            next = e->next;
            proxy_retire(e);
        }
        left = 0;
    } else if (now >= r->retire_from && left > 0) {
        if (oldest)
            proxy_retire(oldest);
        else
            (void)fanout_retire_one(&r->fan);
        left--;
    }
    {
        uint64_t at = r->retire_until + LAST_CALL;
        if (now < r->retire_from)
            at = r->retire_from;
        else if (now < r->retire_until)
            at = left ? now + (r->retire_until - now) / left : r->retire_until;
        (void)stream_io_timer(&r->s.io, &r->retire.op, at);
    }
}

/* The first half of --drain is for answers that end by themselves. */
static void begin_to_end(relay *r) {
    uint64_t now = stream_now_ns();
    r->retiring = true;
    server_drain(&r->s);
    r->retire_from =
        r->o.fanout ? now : now + r->o.drain_ns / 2; /* subscriptions never end by themselves */
    r->retire_until = now + r->o.drain_ns;
    server_op_init(&r->retire, retire_next, r);
    (void)stream_io_timer(&r->s.io, &r->retire.op, r->retire_from);
}

/* Another member is the key: what was kept by the old one is nothing to compare with. */
static void forget_diffs(relay *r) {
    exchange *e;
    for (e = r->exchanges; e; e = e->next) {
        diff_free(e->diff);
        e->diff = NULL;
    }
    diff_free(r->fan.diff);
    r->fan.diff = NULL;
}

static bool same_text(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

/* Whether the two agree in what is set up once. */
static bool same_places(const options *a, const options *b) {
    unsigned i;
    bool same = a->listen.count == b->listen.count && same_text(a->admin, b->admin) &&
                a->ring_events == b->ring_events && a->max_event == b->max_event;
    for (i = 0; same && i < a->listen.count; i++) same = same_text(a->listen.text[i], b->listen.text[i]);
    return same;
}

static void reload(relay *r, int argc, char **argv) {
    options fresh;
    target to;
    const char *wrong, *rule;
    static filter rules;
    if (!options_parse(&fresh, argc, argv, &(int){0})) {
        log_say("reload", "the old configuration stays");
        return;
    }
    if (fresh.fanout != r->o.fanout || !fresh.upstream != !r->o.upstream || !fresh.exec != !r->o.exec) {
        log_say("reload", "another kind of source needs a restart; the old configuration stays");
        return;
    }
    wrong = filter_init(&rules, &fresh, &rule);
    if (wrong) {
        log_say(rule == fresh.diff ? "reload: --diff" : "reload: --set", wrong);
        return;
    }
    if (fresh.upstream) {
        wrong = target_resolve(&to, fresh.upstream);
        if (wrong) {
            log_say("reload: --upstream", wrong);
            return;
        }
        r->to = to;
        upstreams_forget_idle(r);
    }
    if (!log_open(&r->log, fresh.access_log)) log_say("reload: --access-log", "cannot be opened");
    if (!same_places(&fresh, &r->o))
        log_say("reload",
                "--listen, --admin, --ring-events and --max-event stay as they were until a restart");
    fresh.listen = r->o.listen;
    fresh.admin = r->o.admin;
    fresh.ring_events = r->o.ring_events;
    fresh.max_event = r->o.max_event;
    r->o = fresh;
    if (strcmp(r->filter.diff, rules.diff) != 0) forget_diffs(r);
    stream_sse_free(&r->filter.sse);
    (void)filter_init(&r->filter, &r->o, &rule);
    r->s.desc.max_connections = (unsigned)fresh.max_connections;
    r->s.desc.head_ns = fresh.client_head_ns;
    r->s.desc.body_ns = fresh.client_body_ns;
    r->s.desc.idle_ns = fresh.client_idle_ns;
    r->s.desc.send_ns = fresh.send_ns;
    r->s.desc.max_body = fresh.max_body;
    r->s.desc.read_size = fresh.request_chunk;
    r->s.desc.half_close = fresh.half_close;
    log_say("reload", "done");
}

static stream_status set_up(relay *r) {
    server_desc d;
    stream_pool_desc p;
    const char *enabled = getenv("STREAM_BUFFER_POOL_ENABLED");
    stream_status st;
    size_t n = 0, ring = r->o.fanout ? r->o.ring_events : 0;
    memset(&p, 0, sizeof p);
    /* A fan-out keeps a buffer for each event of its ring, most of them short: a tier must hold them all,
       or they would be allocated anew each time. */
    if (r->o.fanout) p.tiers[n].size = 512, p.tiers[n++].count = ring + 500;
    p.tiers[n].size = 4096, p.tiers[n++].count = ring + 1000;
    p.tiers[n].size = 8192, p.tiers[n++].count = 500;
    p.tiers[n].size = 16384, p.tiers[n++].count = 500;
    if (r->o.chunk > 16384) p.tiers[n].size = r->o.chunk, p.tiers[n++].count = 500;
    p.pass_through = enabled && strcmp(enabled, "0") == 0;
    st = stream_pool_init(&r->pool, &p);
    if (st != STREAM_OK) return st;
    memset(&d, 0, sizeof d);
    d.pool = &r->pool;
    d.backends = getenv("STREAM_IO_BACKEND");
    d.max_connections = (unsigned)r->o.max_connections;
    d.max_body = r->o.max_body;
    d.read_size = r->o.request_chunk;
    d.head_ns = r->o.client_head_ns;
    d.body_ns = r->o.client_body_ns;
    d.idle_ns = r->o.client_idle_ns;
    d.send_ns = r->o.send_ns;
    d.half_close = r->o.half_close;
    d.handler.ctx = r;
    d.handler.head = r->o.fanout ? fanout_head : proxy_head;
    d.handler.body = r->o.fanout ? fanout_body : proxy_body;
    d.handler.request = r->o.fanout ? fanout_request : proxy_request;
    d.handler.room = r->o.fanout ? fanout_room : proxy_room;
    d.handler.timer = r->o.fanout ? fanout_timer : proxy_timer;
    d.handler.answered = r->o.fanout ? fanout_answered : proxy_answered;
    d.handler.closed = r->o.fanout ? fanout_closed : proxy_closed;
    return server_init(&r->s, &d);
}

static bool start_listening(relay *r) {
    unsigned i, port;
    const char *wrong = NULL, *address = NULL;
    for (i = 0; i < r->o.listen.count && !wrong; i++) {
        address = r->o.listen.text[i];
        wrong = server_listen(&r->s, address);
    }
    r->admin_listener = UINT_MAX;
    r->admin_off = r->o.admin && strcmp(r->o.admin, "off") == 0;
    if (!wrong && r->o.admin && !r->admin_off) {
        address = r->o.admin;
        r->admin_listener = r->s.listening;
        wrong = server_listen(&r->s, address);
    }
    if (wrong) {
        fprintf(stderr, "sse_relay: %s %s: %s\n", address == r->o.admin ? "--admin" : "--listen", address,
                wrong);
        return false;
    }
    /* For people, and for whoever asked for any port. */
    for (i = 0; i < r->s.listening; i++) {
        port = server_port(&r->s, i);
        address = i < r->o.listen.count ? r->o.listen.text[i] : r->o.admin;
        if (port)
            fprintf(stderr, "sse_relay: listening at %s, port %u\n", address, port);
        else
            fprintf(stderr, "sse_relay: listening at %s\n", address);
    }
    return true;
}

static void last_metrics(relay *r) {
    char *buf;
    size_t n;
    if (!r->o.metrics || (buf = (char *)malloc(65536)) == NULL) return;
    n = admin_metrics(r, r->o.metrics == 1, buf, 65536);
    fwrite(buf, 1, n < 65536 ? n : 65536, stderr);
    if (r->o.metrics == 1) fputc('\n', stderr);
    free(buf);
}

int main(int argc, char **argv) {
    static relay r;
    int code;
    const char *wrong, *rule = NULL;
    if (!options_parse(&r.o, argc, argv, &code)) return code;
    if (r.o.upstream && (wrong = target_resolve(&r.to, r.o.upstream)) != NULL) {
        fprintf(stderr, "sse_relay: --upstream %s: %s\n", r.o.upstream, wrong);
        return EXIT_SOURCE;
    }
    if (!r.o.fanout && r.to.has_query) {
        fprintf(stderr, "sse_relay: --upstream %s: a query is for --fanout\n", r.o.upstream);
        return EXIT_SOURCE;
    }
    wrong = filter_init(&r.filter, &r.o, &rule);
    if (wrong) {
        fprintf(stderr, "sse_relay: %s %s: %s\n", rule == r.o.diff ? "--diff" : "--set", rule, wrong);
        return EXIT_USAGE;
    }
    r.log.fd = -1;
    if (!log_open(&r.log, r.o.access_log)) {
        fprintf(stderr, "sse_relay: --access-log %s: %s\n", r.o.access_log, strerror(errno));
        return EXIT_USAGE;
    }
    if (set_up(&r) != STREAM_OK) {
        fprintf(stderr, "sse_relay: cannot set up: no memory or no descriptors; see ulimit -n\n");
        return EXIT_LISTEN;
    }
    catch_signals(&r);
    if (r.o.fanout && !fanout_init(&r.fan, &r)) {
        fprintf(stderr, "sse_relay: --fanout: the source cannot be started: %s\n", strerror(errno));
        return EXIT_SOURCE;
    }
    r.began_ns = stream_now_ns();
    if (!start_listening(&r)) {
        fanout_free(&r.fan); /* it has started its command */
        return EXIT_LISTEN;
    }
    for (;;) {
        stream_status st = server_run(&r.s, STREAM_FOREVER);
        if (st < 0) {
            fprintf(stderr, "sse_relay: waiting for events: %s\n", strerror(r.s.io.os_error));
            break;
        }
        fanout_serve(&r.fan);
        if (hung_up) {
            hung_up = 0;
            reload(&r, argc, argv);
        }
        if (child_ended) {
            child_ended = 0;
            source_child_ended(&r.fan);
        }
        if (asked_to_end && !r.retiring) begin_to_end(&r);
        if (r.retiring && (r.s.active == 0 || asked_to_end > 1) && !source_end(&r.fan, asked_to_end > 1))
            break;
    }
    last_metrics(&r);
    fanout_free(&r.fan);
    upstreams_close(&r);
    server_free(&r.s);
    upstreams_free(&r);
    log_close(&r.log);
    stream_sse_free(&r.filter.sse);
    stream_pool_free(&r.pool);
    return 0;
}
