/* SPDX-License-Identifier: MIT-0
   One run of stream_wrap: what its rooms share. main.c owns it, starts and ends; pipes.c moves the bytes;
   output.c turns records into text or events; view.c shows how it goes. What is the system's lies below, in
   examples/common: child.h, console.h, and stream_io for all waiting. */
#ifndef WRAP_H
#define WRAP_H

#include "../common/child.h"
#include "../common/console.h"
#include "../common/text.h"
#include "options.h"
#include "session.h"
#include "stream.h"
#include "stream_json.h"
#include "stream_pool.h"

#define STDERR_KEPT 65536 /* bytes of the child's standard error held for a slow reader, and for the tail  \
                           */
#define STDERR_SHOWN 4096 /* bytes of it shown when the child fails */
#define STDERR_PATIENCE_NS                                                                                 \
    UINT64_C(100000000) /* how long our own may take nothing before bytes are dropped */

#define STDERR_AT_ONCE 4096 /* bytes of ours under way at a time, so that a slow reader's progress shows   \
                             */
#define SAID_KEPT 65536     /* bytes of our own messages that wait for a slow reader; more are not kept */

/* The child's standard error on its way to ours. A reader that keeps up gets everything; when ours takes
   nothing for STDERR_PATIENCE_NS, the ring forgets its oldest bytes rather than stop the child. Counts run
   on for ever; their low bits are the place. */
typedef struct stderr_ring {
    char bytes[STDERR_KEPT];
    uint64_t in, passed, dropped;
    uint64_t moved_ns; /* when ours last took something, or had nothing to take */
} stderr_ring;

/* One direction of one stream: at most one operation is under way. */
typedef struct lane {
    stream_io_file file;
    stream_io_op op;
    bool busy; /* op is in flight */
} lane;

typedef enum watch_busy { WATCH_UNKNOWN = 0, WATCH_IDLE, WATCH_BUSY } watch_busy;

/* What the timers found. */
typedef struct watch {
    uint64_t fired[TIMERS]; /* the moment each counted from when it ran out; 0: it never did */
    uint64_t count;         /* how often one ran out */
    int last;               /* the one that did so last; what was known then: */
    uint64_t since_ns;
    watch_busy busy;
    bool stops;
    uint64_t cpu_from,
        cpu_ns; /* CPU time of the child at the first look, for the timer counting from there */
    bool cpu_known, event_due, told;
} watch;

#define TEE_QUEUE 16 /* read buffers that wait for the tee at most */

typedef struct tee_state {
    lane lane;
    struct {
        stream_pool_buf *buf;
        size_t len;
    } queue[TEE_QUEUE]; /* the first is being written */
    size_t count;
    uint64_t bytes, dropped; /* written; not written, for whatever reason */
    uint64_t moved_ns;
    bool failed;
} tee_state;

typedef struct run {
    options opt;
    session session;
    watch watch;
    child child;
    bool has_child, child_done;
    uint64_t started_ns, last_ns; /* of the last byte from the source; started_ns before the first */
    uint64_t active_ns;           /* when the child was last heard, or could not be */
    uint64_t silence_ns;          /* the longest time nothing came, but for our own slowness */
    uint64_t quiet_ns;            /* since when nothing came, or could be read */
    uint64_t back_ns;             /* when we last ran again after we had been stopped (^Z); 0: never */
    bool give_up;                 /* nothing more is waited for */
    int stop_signal;              /* a signal that asked us to end; */
    uint64_t patience_ns;         /* until then, whoever takes our output may still take it */
    bool stopping;                /* what was started is to end; */
    uint64_t kill_ns;             /* by force, from then on */
    unsigned kills;
    char **argv;      /* of the child */
    bool child_hears; /* what is typed at our terminal to interrupt us reaches it, too */
    unsigned restarts;
    uint64_t restart_ns;        /* when it is started again; 0: it is not */
    uint64_t run_ns, run_bytes; /* when the present child was started, and how much had come before it */
    bool timed_out;             /* a timer stopped it */

    stream_io *io; /* own_io, or the endpoint's */
    stream_io own_io;
    stream_pool pool;
    stream_json json;
    stream_flow flow;         /* bytes read, bytes taken by our standard output */
    stream_histogram latency; /* from a read to the end of the records in it */

    /* the child's stdout, or our standard input; a buffer is held while bytes are in it, or may come */
    lane source;
    stream_pool_buf *buf;
    bool shared;   /* the tee holds buf too */
    bool decoding; /* buf is lent to the decoder */
    bool ended;    /* every record is out of the decoder */
    uint64_t bytes, read_ns;
    uint64_t retry_ns; /* a file that may grow is read again then */
    size_t lent;       /* of the bytes to be read next, those that our standard output has already */
    bool lends, flows; /* it can be lent bytes; the last read got all that it could */

    /* our standard output */
    lane out;
    stream_io_op gone; /* waits for its reader to leave */
    const char *out_ptr;
    size_t out_len;               /* > 0: bytes on their way: buf's, or those made */
    text_buffer made;             /* text or events */
    text_buffer event;            /* the last event */
    text_buffer scratch;          /* a string, unescaped */
    uint64_t written, blocked_ns; /* bytes taken; time spent waiting for that */
    bool stdout_closed, write_failed, read_failed;
    bool text_line_open; /* the text written last has no line feed yet */
    bool at_line_start;  /* our standard output's last byte was a line feed */
    bool same_terminal;  /* standard output and standard error are one terminal */

    /* the child's standard error, and ours */
    lane child_err, err;
    stderr_ring err_ring;
    text_buffer said;               /* our own words for standard error */
    char err_bytes[STDERR_AT_ONCE]; /* what is on its way there */
    size_t err_len;
    bool err_at_line_start, err_gone;

    /* our standard input on its way to the child's */
    lane input, child_in;
    text_buffer input_bytes; /* opt.input_chunk of them */

    tee_state tee;

    int exit_code;
} run;

/* Time from one moment to another; 0 when `then` is the later one, as it is for what happened since the
   loop last looked at the clock. */
static inline uint64_t since_ns(uint64_t now_ns, uint64_t then_ns) {
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

/* main.c */
enum { CHILD_TOLD = 0 }; /* in place of a signal: it has it already */
/* Asks the child to end, and sees to it that it does. */
void stop_child(run *r, int signal_number);

/* pipes.c */
/* Attaches the streams. False: said why. */
bool pipes_open(run *r);
/* The child's part of that, and its end, for the next one. */
bool pipes_open_child(run *r);
bool pipes_close_child(run *r);
/* An operation that is done. */
void pipes_done(run *r, stream_io_op *op);
/* Puts under way whatever can be; before each wait. */
void pipes_go(run *r, uint64_t now_ns);
/* Whether the child, or standard input, is being read. */
bool pipes_reading(const run *r);
/* Ends that: what is read now was the last. */
void pipes_stop_reading(run *r);
void pipes_close(run *r);
/* Whether the child's standard input may still give it something. */
bool pipes_child_reads(const run *r);
/* Something waits for our standard output to take it. */
bool pipes_blocked(const run *r);
/* Our standard error should be given more time to take what is there for it. */
bool pipes_stderr_waits(const run *r, uint64_t now_ns);
/* Words of our own for standard error. What a slow reader leaves no room for is not kept. */
void pipes_say(run *r, const char *data, size_t len);
/* What was said goes out, as long as somebody takes it: at the end. */
void pipes_flush_said(run *r);

/* endpoint.c: --listen */
/* NULL, or what is wrong: constant text. Sets r->io. */
const char *endpoint_open(run *r);
/* An operation that is not of the pipes. */
void endpoint_done(run *r, stream_io_op *op);
/* Whether anybody is to be told of events. */
bool endpoint_wants(const run *r);
void endpoint_event(run *r, const char *name, const char *json, size_t len);
/* ... and of one that there was no memory to make. */
void endpoint_lost(run *r);
/* Sends what was put off; before each wait. */
void endpoint_go(run *r);
/* The end: subscribers get what is theirs, as long as they take it. */
void endpoint_close(run *r);
/* Events that subscribers were too slow for. */
uint64_t endpoint_dropped(void);

/* publish.c: --publish */
/* NULL, or what is wrong. */
const char *publish_open(run *r);
/* True when the operation was one of its own. */
bool publish_done(run *r, const stream_io_op *op);
bool publish_wants(const run *r);
void publish_event(run *r, const char *name, const char *json, size_t len);
void publish_lost(run *r);
/* Goes on; returns how long it may be left alone. */
uint64_t publish_go(run *r, uint64_t now_ns);
void publish_close(run *r);
/* Events that found no place, or were refused. */
uint64_t publish_dropped(void);

/* tee.c */
/* False: see console_error. */
bool tee_open(run *r);
/* Bytes just read: true when the buffer is shared from now on. */
bool tee_take(run *r, stream_pool_buf *buf, size_t len);
/* The stream has to wait for it. */
bool tee_full(const run *r);
void tee_done(run *r);
/* At the end: something is still on its way. */
bool tee_waits(const run *r, uint64_t now_ns);
void tee_close(run *r);

/* output.c */
void output_record(run *r, const stream_item *record, uint64_t now_ns);
void output_lost(run *r, stream_status status, const stream_item *item, uint64_t now_ns);
void output_end(run *r, uint64_t now_ns);
/* The child is started again after wait_ns. */
void output_restart(run *r, int code, uint64_t wait_ns, uint64_t now_ns);
/* A timer ran out; what it waited for came after all. */
void output_stalled(run *r, uint64_t now_ns);
void output_resumed(run *r, uint64_t now_ns);

/* watch.c */
/* Looks at every timer; returns how long that may be left alone. */
uint64_t watch_tick(run *r, uint64_t now_ns);
/* Something came: the first place where the end of a stall can be told, before what came is. */
void watch_heard(run *r);
/* Whether the timer that ran out last still waits for the same. */
bool watch_stalled(const run *r);
/* The last stall in words. */
void watch_describe(const run *r, char *out, size_t cap, uint64_t now_ns);
const char *watch_name(int timer);

/* view.c */
void view_start(run *r);
/* The terminal has another size. */
void view_resized(void);
/* Takes the status line away before something else is written to its terminal. */
void view_hide(run *r);
/* Draws, prints or writes whatever is due; returns how long it may be left alone. */
uint64_t view_tick(run *r, uint64_t now_ns);
void view_end(run *r, uint64_t now_ns);
/* The state, or the metrics (metrics_mode), as text, valid until the next call of either. Empty: no memory.
 */
stream_slice view_status(run *r, uint64_t now_ns);
stream_slice view_metrics(run *r, int form, uint64_t now_ns);
/* A line of our own on standard error. */
void view_say(run *r, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

#endif
