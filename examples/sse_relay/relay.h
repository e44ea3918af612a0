/* SPDX-License-Identifier: MIT-0
   sse_relay: what its rooms share.

       main.c      start, signals, reload, the end
       options.c   command line, environment, file
       upstream.c  where requests go: its addresses, and connections to it that can be used again
       fanout.c    one source to many subscribers
       source.c    that source: an upstream, a child, standard input
       filter.c    --set, --drop, --only, --diff, --terminal
       proxy.c     one request from a client to the upstream, and the answer back
       admin.c     /metrics, /buffer-pool-metrics, /healthz, /streams, the page
       log.c       the access log and complaints, both rate limited */
#ifndef RELAY_H
#define RELAY_H

#include <sys/socket.h>

#include "../common/server.h"
#include "options.h"
#include "stream_json.h"

enum { MAX_ADDRESSES = 8, MAX_IDLE = 64 };

typedef struct relay relay;
typedef struct upstream upstream;
typedef struct exchange exchange;
typedef struct diff_state diff_state;

/* ---- upstream.c ---- */

/* Where requests go. Looked up when the program starts and when it is told to reload. */
typedef struct target {
    const char *url;
    struct sockaddr_storage address[MAX_ADDRESSES];
    socklen_t address_len[MAX_ADDRESSES];
    unsigned count;
    char host[300];   /* for Host */
    char prefix[512]; /* of every path; without a slash at its end */
    char whole[512];  /* path and query, as given */
    bool has_query;
} target;

/* NULL, or what is wrong with the URL. */
const char *target_resolve(target *t, const char *url);

/* A connection to the upstream. It belongs to an exchange, or waits for the next one in relay.idle. */
struct upstream {
    relay *r;
    exchange *e; /* NULL: idle, or over */
    stream_io_file file;
    server_op in, connect, timer;
    server_out out;
    http http;
    stream_pool_buf *buf;            /* being read into */
    size_t at;                       /* from where on */
    unsigned tried;                  /* addresses */
    struct sockaddr_storage address; /* being connected to */
    int os_error;                    /* of the last attempt */
    bool unwritable;                 /* it no longer listens, but may still have something to say */
    bool reading, polling, connecting, connected, writing, timing, closing;
    bool quiet;   /* nothing comes: it waits without a buffer */
    bool stopped; /* nobody takes what would be read */
    upstream *next, *prev;
};

/* What upstream.c tells an exchange. */
void exchange_connected(exchange *e);
void exchange_unconnected(exchange *e, int os_error); /* no address could be reached */
void exchange_written(exchange *e);
void exchange_read(exchange *e, size_t bytes);  /* at e->u->buf->data + e->u->at */
void exchange_ended(exchange *e, int os_error); /* 0: in an orderly way */
void exchange_drop(exchange *e);                /* at the end: nobody waits for it any more */

/* One that is connected and idle, or a new one. NULL: no memory. */
upstream *upstream_take(relay *r, exchange *e);
/* Says that it is connected, or connects; what was put into its output goes as soon as it is. */
void upstream_begin(upstream *u);
/* Reads on, behind what the exchange holds back in the buffer. */
void upstream_read(upstream *u);
/* The exchange is done with it; `again`: it can serve another one. */
void upstream_leave(upstream *u, bool again);
void upstream_flush(upstream *u);
/* Reads on for nobody, until it ends or has been silent for --idle-timeout. */
void upstream_drain(upstream *u);
/* The connection no longer keeps a buffer for what may come. */
void upstream_hush(upstream *u);
/* Those that wait go elsewhere than new ones would. */
void upstreams_forget_idle(relay *r);
/* At the end: the connections, before the loop is freed; and what is left of them, after it. */
void upstreams_close(relay *r);
void upstreams_free(relay *r);

/* ---- proxy.c ---- */

struct exchange {
    relay *r;
    server_conn *c; /* NULL: it has left */
    upstream *u;    /* NULL: done with */
    exchange *next, *prev;
    stream_pool_buf *request; /* its head, for a second attempt */
    size_t request_len;
    server_framing sends; /* how the request's body goes */
    bool sent;            /* the request is whole */
    bool repeatable;      /* without a body, and no worse when asked twice: it may be sent again */
    bool reused;          /* the connection had served others */
    bool answered;        /* the answer's head has come */
    bool flows;           /* and something of its body */
    bool begun;           /* a response to the client has begun */
    bool early;           /* ... before the upstream said anything, to keep it alive */
    bool is_head, wants_events;
    bool events;           /* the answer is an event stream */
    bool whole;            /* the answer is */
    bool source;           /* no client's, but what the fan-out lives on */
    bool keeps;            /* the upstream can be used again after it */
    bool complete;         /* an event came that --terminal names */
    bool through;          /* an event longer than a buffer is under way: its pieces pass */
    stream_sse sse;        /* finds where events end */
    bool filtered;         /* its events go through the rules; */
    bool skipping;         /* one that is too long for that is left out */
    bool starved;          /* no memory for it */
    stream_pool_buf *made; /* what they came to */
    diff_state *diff;      /* NULL: nothing yet */
    size_t from, to;       /* in u->buf: body that was not sent yet */
    size_t done;           /* end of the last whole event in it */
    int status;
    char target[96]; /* for the log, cut */
    char method[12];
    char origin[96];
    uint64_t id, began_ns, connected_ns, asked_ns, answered_ns; /* 0: not yet */
    uint64_t in_ns, out_ns;                                     /* when a byte came and went last */
    uint64_t bytes_up, bytes_down, chunks, count;               /* count: events */
    uint64_t stalls, stalled_ns, stall_since; /* how often and long the client held it up */
    const char *error;
    char why[128]; /* for `error` */
};

void proxy_head(server_conn *c);
void proxy_body(server_conn *c, stream_pool_buf *buf, stream_slice piece);
void proxy_request(server_conn *c);
void proxy_room(server_conn *c);
void proxy_timer(server_conn *c);
void proxy_answered(server_conn *c);
void proxy_closed(server_conn *c, server_reason reason);
/* Ends one stream because we end. */
void proxy_retire(exchange *e);

/* Field lines for the answer to a request of that origin; 0: none. */
size_t cors_fields(relay *r, stream_slice origin, bool preflight, char *dst, size_t cap);
/* Answers a preflight, if it is one and ours to answer. */
bool relay_preflight(relay *r, server_conn *c);
void relay_write_fields(http_writer *w, stream_slice fields);
/* Whether an Accept among the fields names that type itself. */
bool relay_accepts(stream_slice fields, const char *type);

/* ---- fanout.c, source.c ---- */

enum { MAX_TOPICS = 8, URGENT = 64, KEYS = 4096 };

typedef struct fanout fanout;

/* An event, encoded: chunk head, event, CRLF. The event begins at a fixed place in the buffer. */
typedef struct frame {
    stream_pool_buf *buf;
    uint32_t chunk, len; /* bytes of the chunk head; of the event */
} frame;

typedef struct slot {
    frame frame;
    frame patch;       /* --diff: the same for who has the event `previous`; no buffer: there is none */
    uint64_t previous; /* number of the one before with its name and key */
    uint64_t topic;    /* hash */
    uint64_t offset;   /* bytes of all events before it */
    bool outdated;     /* a newer one has its key */
    bool foreign;      /* `previous` has another topic */
    bool keyed;        /* it is one that --diff looks at */
} slot;

typedef struct subscriber {
    bool publishes; /* false: see fanout.c */
    bool stalled;
    bool resuming; /* on its way from an old place: --client-bytes counts when it has come up */
    fanout *f;
    server_conn *c;
    struct subscriber *next_one, *prev_one;
    uint64_t id, next, urgent; /* numbers of the events it gets next */
    uint64_t since;            /* it has all events from this number on that it wanted */
    uint64_t gap;              /* lost, and to be told; UINT64_MAX: nobody knows how many */
    uint64_t began_ns, out_ns, events, bytes, chunks, lost, stalls, stalled_ns, stall_since;
    uint64_t client; /* hash of its name; 0: none */
    uint64_t topic[MAX_TOPICS];
    unsigned topics; /* 0: all */
    char last[48];   /* lastEventId of the query */
} subscriber;

typedef struct publication { /* POST /publish under way */
    bool publishes;          /* true */
    bool urgent, refused;
    bool no_memory;          /* and so refused */
    stream_pool_buf *data;
    char topic[64], event[64], key[64];
} publication;

typedef struct batch { /* events [from, to) as they are sent, with their chunk framing */
    stream_pool_buf *buf;
    uint64_t from, to, payload;
    uint64_t since_least, since_most; /* it is for subscribers who have what its patches are against */
} batch;

typedef struct key_place { /* the last event of a key; keys that share a place push each other out */
    uint64_t key, number;
} key_place;

struct fanout {
    relay *r;
    char epoch[20]; /* part of every id: numbers of another run mean nothing */
    slot *ring;
    size_t ring_len;
    uint64_t oldest, next;                         /* numbers kept: [oldest, next) */
    uint64_t bytes, offset;                        /* kept; ever */
    uint64_t served, served_urgent, served_offset; /* offered to everybody: up to there */
    slot urgent[URGENT];
    uint64_t urgent_next;
    key_place keys[KEYS];
    diff_state *diff; /* NULL: no --diff, or nothing yet */
    batch batch;      /* the last one that was made */
    subscriber *subscribers;
    uint64_t count, published, unpublished, replay_hits, replay_misses, dropped[3]; /* dropped: by policy */
    uint64_t reconnects, superseded;
    uint64_t seed;
    bool ended;    /* the source has */
    bool complete; /* an event came that --terminal names: when the source ends it is not tried again */
    /* source.c */
    exchange *e; /* to an upstream */
    stream_sse sse;
    stream_io_file file, errors; /* of a child, or standard input */
    server_op in, in_errors, timer;
    bool reading, reading_errors, timing, running, lingering, rereading;
    unsigned failures; /* in a row */
    uint64_t due_ns;   /* when the timer is really wanted */
    void *child;
    server_op grace;       /* for a child that was asked to end */
    bool gracing, leaving; /* that clock runs; it was asked */
    char input[16384], error_text[1024];
};

void fanout_head(server_conn *c);
void fanout_body(server_conn *c, stream_pool_buf *buf, stream_slice piece);
void fanout_request(server_conn *c);
void fanout_room(server_conn *c);
void fanout_timer(server_conn *c);
void fanout_answered(server_conn *c);
void fanout_closed(server_conn *c, server_reason reason);
bool fanout_init(fanout *f, relay *r);
void fanout_free(fanout *f);
/* Offers what was published to all who listen: once for what one turn of the loop has brought, so that
   events which come together go out together. */
void fanout_serve(fanout *f);
/* Bytes of events it has still to get. */
uint64_t fanout_behind(const fanout *f, const subscriber *s);
/* Ends one stream because we end; false: there is none left. */
bool fanout_retire_one(fanout *f);
/* What upstream.c tells, when the exchange is the source's. */
void source_connected(exchange *e);
void source_failed(exchange *e, const char *why);
void source_read(exchange *e, size_t bytes);
/* SIGCHLD has come. */
void source_child_ended(fanout *f);
/* We end, so it does. True: there is still a child, and SIGCHLD will come. */
bool source_end(fanout *f, bool at_once);

/* ---- filter.c ---- */

typedef struct filter {
    bool active;
    texts drop, only;
    stream_json_rule rule[MAX_TEXTS];
    char pointer[MAX_TEXTS][256];
    unsigned rules;
    char diff[128]; /* pointer to the key; empty: no --diff */
    size_t grows;   /* what they add to one event, as a rule */
    stream_sse sse; /* takes a block apart */
} filter;

typedef enum { FILTER_PASS, FILTER_DROP, FILTER_CHANGED, FILTER_FAILED, FILTER_NO_MEMORY } filter_verdict;

enum { DIFF_KEYS = 64, DIFF_KEYS_SHARED = 1024, PATCH_NAME = 208 };

/* What --diff compares with: the last events by name and key. When there are more, or more bytes, the
   oldest goes, and the next event of its key has nothing that it could be compared with. */
typedef struct diff_last {
    uint64_t hash; /* of its name and key */
    stream_pool_buf *json;
    size_t key_at, key_len; /* in it */
    uint64_t number, topic; /* the caller's */
} diff_last;

struct diff_state {
    unsigned keys, turn;
    size_t bytes, most_bytes;
    diff_last last[];
};

typedef struct diff_found {
    bool keyed;             /* it has the member */
    stream_pool_buf *patch; /* a reference of the caller's; NULL: it goes whole */
    uint64_t number, topic; /* of the event that the patch is against */
} diff_found;

/* NULL: no memory. */
diff_state *diff_new(unsigned keys, size_t most_bytes);
/* NULL is fine. */
void diff_free(diff_state *d);
/* Whether --diff looks at it. */
bool diff_keyed(const relay *r, const stream_sse_event *event);
/* Compares it with the one before, and keeps it for the next. False: no memory; it is forgotten, so that
   the next one goes whole. */
bool diff_event(relay *r, diff_state *d, const stream_sse_event *event, uint64_t number, uint64_t topic,
                diff_found *found);
/* The event under its other name, with the patch for its data; the name is written into `name`. */
stream_sse_event diff_patched(const stream_sse_event *event, const stream_pool_buf *patch,
                              char name[PATCH_NAME]);

/* NULL, or what is wrong with the rule *which. */
const char *filter_init(filter *f, const options *o, const char **which);
/* --drop, --only, --set. CHANGED: *data has the new data and its length, a reference of the caller's.
   FAILED: no memory. */
filter_verdict filter_event(relay *r, const stream_sse_event *event, stream_pool_buf **data);
/* A whole block of an event stream, `first`: of its beginning. What becomes of it goes behind what is in
   *out, which may be NULL and may be replaced. d: the stream's, made when it is needed. False: no memory. */
bool filter_block(relay *r, diff_state **d, const char *ptr, size_t len, bool first, stream_pool_buf **out);
/* Whether an event is one that --terminal names. */
bool filter_terminal(const relay *r, const stream_sse_event *event);
/* Whether a whole block is such an event. */
bool filter_terminal_block(relay *r, const char *ptr, size_t len, bool first);

/* ---- admin.c ---- */

/* Answers, if that is one of ours. */
bool admin_serves(relay *r, server_conn *c);
size_t admin_metrics(relay *r, bool json, char *dst, size_t cap);

/* ---- log.c ---- */

typedef struct relay_log {
    int fd;          /* -1: off */
    uint64_t window; /* the second that is counted */
    unsigned lines;
    uint64_t dropped;
} relay_log;

/* False: the file cannot be opened. */
bool log_open(relay_log *l, const char *path);
void log_close(relay_log *l);
void log_exchange(relay *r, const exchange *e, const char *reason);
void log_subscriber(relay *r, const subscriber *s, const char *reason);
/* What a child says on its standard error goes to ours, as far as that takes it at once. */
void log_pass(const char *text, size_t len);
/* A line about ourselves, on standard error, that answers somebody. */
void log_say(const char *what, const char *why);
/* A line about ourselves, on standard error; the same `what` once in ten seconds at most. */
void log_complain(relay *r, const char *what, const char *why);

/* ---- all of it ---- */

typedef struct relay_counts {
    uint64_t requests, responses[6]; /* by hundreds; [0]: none could be given */
    uint64_t events, pings, bytes_up, bytes_down;
    uint64_t upstream_errors[6]; /* enum upstream_error */
    uint64_t connects, reused, cancelled, drained, oversize, filtered, rewritten, patched, backpressure,
        truncated, early;
    stream_gauge queue_bytes;
} relay_counts;

enum upstream_error {
    UPSTREAM_CONNECT = 0,
    UPSTREAM_TIMEOUT,
    UPSTREAM_CUT,
    UPSTREAM_INVALID,
    UPSTREAM_ENCODED
};
enum { UPSTREAM_ERRORS = 5 };

struct relay {
    server s;
    stream_pool pool;
    options o;
    target to;
    exchange *exchanges; /* those under way */
    upstream *idle, *busy;
    unsigned idle_count;
    uint64_t next_exchange;
    uint64_t began_ns;
    relay_counts counts;
    stream_histogram added; /* from a byte read to its being written */
    relay_log log;
    struct {
        const char *what;
        uint64_t ns;
        uint64_t held_back;
    } complaints[8];
    unsigned admin_listener; /* UINT_MAX: any */
    bool admin_off;
    bool retiring;
    server_op retire;
    fanout fan;
    filter filter;
    uint64_t retire_from, retire_until;
};

#endif
