/* SPDX-License-Identifier: MIT-0
   An HTTP/1.1 server in one thread, on stream_io: listening, keep-alive, timeouts, limits, output with
   backpressure, WebSocket and other upgrades, an orderly end. It knows nothing of what is served: that
   comes in as a handler. All of a server that says hello:

       static void hello(server_conn *c) {
           server_reply(c, 200, "text/plain", stream_slice_text("hello\n"));
       }
       int main(void) {
           server s;
           server_desc desc = {0};
           desc.handler.request = hello;
           if (server_init(&s, &desc) == STREAM_OK && server_listen(&s, "127.0.0.1:8080") == NULL)
               while (server_run(&s, STREAM_FOREVER) >= 0) {}
           server_free(&s);
       }

   What holds for every connection:

     - Bytes arrive in 1 KiB of its own; only while a body (or an upgraded protocol) keeps that full are
       buffers of the pool used instead. So a connection that waits costs sizeof(server_conn) and no more.
     - Output is a queue of at most SERVER_PARTS slices of pool buffers, which are counted, not copied.
       When it is full the handler is told, and told again (`room`) when it has emptied. What a client does
       not take stays with whoever has more for it.
     - A request's body is read only as fast as the handler takes it (server_pause, server_resume).
     - A client that has gone (FIN or RST) is noticed at once, whatever is going on, but for one that has
       sent the next request behind its present one: then only RST is seen. With `half_close` a FIN behind a
       whole request is no farewell: the answer is still sent, and whether anybody is there shows when it is.
     - Progress has a clock: the head, each wait within a body, the wait for the next request, each wait
       for the client to take something. Linux counts acknowledged bytes there, so one that reads slowly is
       not taken for one that is gone.

   The handler is called from server_run only, on the thread that calls it; it may call everything here. c
   is valid from `head` until `closed` has returned. */
#ifndef COMMON_SERVER_H
#define COMMON_SERVER_H

#include "http.h"
#include "stream.h"
#include "stream_pool.h"

enum {
    SERVER_PARTS = 8,    /* slices in a connection's output */
    SERVER_INPUT = 1024, /* bytes of input in the connection itself */
    SERVER_LISTENERS = 8
};

/* Every operation on a server's stream_io is one of these, also those of your own: op.user points to
   itself, and server_run calls done(). */
typedef struct server_op {
    stream_io_op op;
    void (*done)(struct server_op *op);
    void *owner; /* yours */
} server_op;

void server_op_init(server_op *op, void (*done)(server_op *op), void *owner);

/* Why a connection ended. */
typedef enum server_reason {
    SERVER_DONE = 0,     /* all was answered, and it was not to be kept */
    SERVER_CLIENT_LEFT,  /* FIN: between two requests that is the usual end */
    SERVER_RESET,        /* RST, or another error of the socket */
    SERVER_BAD_REQUEST,  /* not HTTP, or over a limit: answered and closed */
    SERVER_IDLE,         /* no next request in time */
    SERVER_SLOW_REQUEST, /* head or body stopped coming */
    SERVER_SLOW_CLIENT,  /* it took nothing of what was sent */
    SERVER_POLICY,       /* the handler gave it up */
    SERVER_UPSTREAM,     /* the handler had nothing more to give, though it should have */
    SERVER_DRAINED,      /* the server is coming to its end */
    SERVER_NO_MEMORY,
    SERVER_REASONS
} server_reason;

const char *server_reason_text(server_reason reason); /* a word, as in a metric's label */

/* How the body of a response is delimited. */
typedef enum server_framing {
    SERVER_NO_BODY = 0,
    SERVER_LENGTH,  /* a Content-Length was given */
    SERVER_CHUNKED, /* HTTP/1.1 */
    SERVER_CLOSE    /* by the end of the connection: HTTP/1.0 */
} server_framing;

/* ---- output ---------------------------------------------------------------------------------------------
   A queue of slices on its way into a file; server_conn has one, and so may a connection of your own (to an
   upstream). One writev at a time, with all there is. */

typedef struct server_part {
    stream_pool_buf *buf; /* a reference, or NULL for memory that outlives everything */
    stream_slice body;
    char head[18];    /* of its chunk */
    uint8_t head_len; /* 0: no chunk */
} server_part;

typedef struct server_out {
    size_t bytes;    /* queued, those being written included (read only) */
    unsigned count;  /* parts, likewise */
    unsigned flying; /* parts being written */
    /* private */
    unsigned first;
    server_part part[SERVER_PARTS];
    stream_slice flat[3 * SERVER_PARTS];
    server_op op;
} server_out;

/* FULL: no place. Takes over the caller's reference to buf, in every case. */
stream_status server_out_put(server_out *out, stream_pool_buf *buf, const void *ptr, size_t len,
                             bool chunk);
/* Begins to write what is queued unless that is under way; done of out->op is called when it is written,
   and then calls server_out_written. */
void server_out_flush(server_out *out, stream_io *io, stream_io_file *file);
/* Bytes of output that are done with, framing included; their buffers are released. */
size_t server_out_written(server_out *out);
/* Releases everything; not while it is being written. */
void server_out_clear(server_out *out);

/* ---- connections ----------------------------------------------------------------------------------------
 */

struct server;

typedef struct server_conn {
    void *user; /* yours, NULL to start with */
    struct server *server;
    http http;         /* http.head in `head` (read only) */
    uint64_t id;       /* counts up (read only, as all that follows) */
    unsigned listener; /* that it came through, in the order of server_listen */
    uint64_t opened_ns, bytes_in, bytes_out;
    uint64_t requests;
    int status; /* of the response that has begun; 0: none yet */
    server_out out;
    bool keep_alive; /* another request may follow */
    bool head_only;  /* the request is a HEAD */
    bool upgraded;
    bool closing; /* over: only `closed` comes, or came */
    /* private */
    bool reading, polling, timing, writing_on; /* operations in flight */
    bool half;                                 /* it sends nothing more, but still listens */
    bool decoding, paused, in_request, in_body, received, ending, lingering, doomed, dirty, was_full;
    bool want_last; /* the last chunk found no place */
    server_framing framing;
    server_reason reason;
    stream_pool_buf *head; /* of the response, while it is being made */
    struct server_conn *next, *prev, *dirty_next, *dead_next;
    stream_io_file file;
    server_op in, timer;
    uint64_t input_ns, output_ns, user_ns, armed_ns; /* 0: none */
    uint64_t acked;                                  /* by the client, as the send clock last saw it */
    uint64_t fed, lingered;
    size_t asked;           /* of the last read */
    stream_pool_buf *input; /* NULL: bytes */
    char bytes[SERVER_INPUT];
} server_conn;

/* Any may be NULL. */
typedef struct server_handler {
    void *ctx;                    /* yours: server.handler.ctx */
    void (*head)(server_conn *c); /* a head has come: c->http.head, in this call only */
    void (*body)(server_conn *c, stream_pool_buf *buf, stream_slice piece); /* of its body. buf: retain it
                                                     to keep the piece; NULL: copy it */
    void (*request)(server_conn *c); /* the request is whole, and was not answered yet. Who needs
                                        the head for the answer of one without a body may as well
                                        answer in `head` */
    void (*data)(server_conn *c, char *ptr, size_t len); /* after server_upgrade: bytes, yours to change in
                                                     this call */
    void (*room)(server_conn *c);                        /* some output was written */
    void (*timer)(server_conn *c);                       /* what server_timer set has come */
    void (*answered)(server_conn *c); /* the response is whole and written: for an access log */
    void (*closed)(server_conn *c, server_reason reason); /* the last call */
} server_handler;

typedef struct server_desc {
    server_handler handler;
    stream_pool *pool;        /* NULL: one of its own */
    const char *backends;     /* as in stream_io_desc */
    const char *name;         /* for Server; NULL: none is sent */
    unsigned max_connections; /* 0: 10240; above, requests are answered 503; far above, not accepted */
    size_t max_head;          /* of a request, bytes; 0: 16 KiB */
    uint64_t max_body;        /* of a request; 0: no limit */
    size_t read_size;         /* of the pool buffers bodies are read into; 0: 32 KiB */
    bool half_close;          /* a client that has ended its side is still answered */
    size_t unsent;            /* bytes the system may hold that were not sent yet; 0: 128 KiB */
    uint64_t head_ns;         /* from the first byte of a head to its last; 0: 10 s */
    uint64_t body_ns;         /* between two pieces of a body; 0: 30 s */
    uint64_t idle_ns;         /* until the next request; 0: 60 s */
    uint64_t send_ns;         /* without a byte taken by the client; 0: 45 s */
} server_desc;

typedef struct server_listener {
    stream_io_file file;
    struct server *server;
    server_op accept, retry;
    char *unix_path; /* to be removed */
    unsigned port;   /* of TCP */
    bool accepting, retrying;
} server_listener;

typedef struct server {
    stream_io io; /* for operations of your own as well: see server_op */
    stream_pool *pool;
    server_handler handler;
    server_desc desc;
    uint64_t now_ns; /* when server_run woke up */
    unsigned active; /* connections (read only, as all that follows) */
    uint64_t accepted, refused, bytes_in, bytes_out, requests;
    uint64_t closed[SERVER_REASONS];
    bool draining;
    server_conn *conns; /* all of them, through next */
    /* private */
    stream_pool own_pool;
    server_conn *dirty, *dead, *leaving;
    server_listener listeners[SERVER_LISTENERS];
    unsigned listening;
    uint64_t next_id;
    uint64_t date_at; /* the second `date` was made in */
    char date[HTTP_DATE];
} server;

/* desc may be forgotten afterwards. OK, or what stream_io_init and stream_pool_init say. The server must
   not be moved. */
stream_status server_init(server *s, const server_desc *desc);
/* Closes everything; `closed` is called for each connection. A zeroed server is fine. */
void server_free(server *s);
/* host:port (loopback unless it names another), [IPv6]:port, :port for 127.0.0.1, unix:/path. A port of 0
   takes any. NULL, or what is wrong with it: constant text. */
const char *server_listen(server *s, const char *address);
/* The port of a listener by number, in the order of server_listen; 0 for a Unix socket. */
unsigned server_port(const server *s, unsigned listener);
/* The other end's address, without its port; "unix" for a Unix socket. */
void server_peer(const server_conn *c, char text[64]);
/* Waits up to timeout_ns, and works. OK; EMPTY: the time is up, or stream_io_wake was called; E_IO. */
stream_status server_run(server *s, uint64_t timeout_ns);
/* The same for a loop of your own over s->io: hand over each operation whose user is set, as the server's are,
   and settle before each wait. */
void server_take(server *s, stream_io_op *op);
void server_settle(server *s);
/* No new connections, and none is kept alive; those that wait for a request end. Responses go on:
   server.active says when they have ended. */
void server_drain(server *s);

/* ---- answering ------------------------------------------------------------------------------------------
 */

/* A whole response, copied; its type may be NULL. One of at most 16 KiB. */
void server_reply(server_conn *c, int status, const char *type, stream_slice body);
/* The same with field lines of your own, each ended by CRLF. */
void server_reply_with(server_conn *c, int status, const char *type, stream_slice fields,
                       stream_slice body);
/* The head of a response whose body follows: writes status line, Date, Server, Connection. Add your fields
   to w and call server_begin_body. False: no memory, and the connection is over. Needs `room` bytes for
   those fields. */
bool server_begin(server_conn *c, http_writer *w, int status, size_t room);
/* Ends the head. length UINT64_MAX: not known, so it is chunked, or ends with the connection. The memory of
   w was the server's. */
void server_begin_body(server_conn *c, http_writer *w, uint64_t length);
/* A piece of the body, framed as it must be; nothing for HEAD, nor behind the end (E_STATE). Takes over the
   caller's reference to buf, which may be NULL for constants. FULL: no place, the piece was not taken (its
   reference was); see server_room. */
stream_status server_body(server_conn *c, stream_pool_buf *buf, const void *ptr, size_t len);
/* Likewise, but bytes as they are: for an upgraded connection. */
stream_status server_send(server_conn *c, stream_pool_buf *buf, const void *ptr, size_t len);
/* Places free in the output. */
unsigned server_room(const server_conn *c);
/* The response is whole. */
void server_end(server_conn *c);
/* What the client sent behind the head belongs to another protocol: in `head` only. Answer 101 with
 * server_send. */
void server_upgrade(server_conn *c);
/* Closes when what is queued has been written, in an orderly way; not to be answered any more. */
void server_close(server_conn *c, server_reason reason);
/* Closes now. */
void server_abort(server_conn *c, server_reason reason);
/* Stops and resumes reading the request's body, or the upgraded connection's bytes, of which `data` may get
   one more piece: what is being read just then. */
void server_pause(server_conn *c);
void server_resume(server_conn *c);
/* The timer's next call, 0: none. */
void server_timer(server_conn *c, uint64_t when_ns);

#endif
