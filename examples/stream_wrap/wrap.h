/* SPDX-License-Identifier: MIT-0
   One run of stream_wrap: what its rooms share. main.c owns it and moves the bytes; output.c turns records
   into text or events; view.c shows how it goes. */
#ifndef WRAP_H
#define WRAP_H

#include "../common/child.h"
#include "../common/sink.h"
#include "../common/text.h"
#include "options.h"
#include "session.h"
#include "stream.h"
#include "stream_json.h"
#include "stream_pool.h"

#define STDERR_KEPT 65536 /* bytes of the child's standard error held for a slow reader, and for the tail */
#define STDERR_SHOWN 4096 /* bytes of it shown when the child fails */
#define STDERR_PATIENCE_NS UINT64_C(100000000) /* how long our own may take nothing before bytes are dropped */

/* The child's standard error on its way to ours. A reader that keeps up gets everything; when ours takes
   nothing for STDERR_PATIENCE_NS, the ring forgets its oldest bytes rather than stop the child. Counts run
   on for ever; their low bits are the place. */
typedef struct stderr_ring {
    char bytes[STDERR_KEPT];
    uint64_t in, passed, dropped;
    uint64_t moved_ns; /* when ours last took something, or had nothing to take */
} stderr_ring;

typedef struct run {
    options opt;
    session session;
    child child;
    bool has_child, child_done;
    bool stdout_closed, write_failed;
    uint64_t started_ns, last_ns; /* of the last byte from the source; started_ns before the first */

    stream_pool pool;
    stream_json json;
    stream_pipeline pipe;
    stream_flow flow; /* bytes read, bytes taken by our standard output */
    stream_histogram latency; /* from a read to the end of the records in it */
    uint64_t written;

    sink out, err;
    text_buffer made;        /* text or events not yet written */
    size_t made_done;
    text_buffer scratch;     /* a string, unescaped */
    bool text_line_open; /* the text written last has no line feed yet */
    bool at_line_start; /* our standard output's last byte was a line feed */
    bool same_terminal; /* standard output and standard error are one terminal */

    stderr_ring err_ring;
    bool err_at_line_start;
    int exit_code;
} run;

/* Time from one moment to another; 0 when `then` is the later one, as it is for what happened since the
   loop last looked at the clock. */
static inline uint64_t since_ns(uint64_t now_ns, uint64_t then_ns) {
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

/* output.c */
void output_record(run *r, const stream_item *record, uint64_t now_ns);
void output_lost(run *r, stream_status status, const stream_item *item, uint64_t now_ns);
void output_end(run *r, uint64_t now_ns);

/* view.c */
void view_start(run *r);
/* Takes the status line away before something else is written to its terminal. */
void view_hide(run *r);
/* Draws, prints or writes whatever is due; returns how long it may be left alone. */
uint64_t view_tick(run *r, uint64_t now_ns);
void view_end(run *r, uint64_t now_ns);
/* A line of our own on standard error. */
void view_say(run *r, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

#endif
