/* SPDX-License-Identifier: MIT-0
   tmux_bridge: what its rooms share. A terminal (terminal.c) is one tmux session: its control connection, its
   captures, the screens that came of them. A viewer (viewer.c) is one browser: what it has seen, what it may
   send. web.c decides who may see what; record.c writes a session down; main.c starts and ends it all. One
   thread. */
#ifndef TMUX_BRIDGE_BRIDGE_H
#define TMUX_BRIDGE_BRIDGE_H

#include "../common/child.h"
#include "../common/server.h"
#include "../common/websocket.h"
#include "control.h"
#include "screen.h"
#include "stream.h"

enum {
    MAX_SESSIONS = 64,
    MAX_NAME = 256,       /* bytes of a session's name */
    MAX_HOSTS = 8,
    MAX_TOKEN = 128,
    MAX_CAPTURES = 10,    /* in flight at a time, all sessions together */
    MAX_HISTORY = 5000,   /* lines asked for at a time */
    MAX_PASTE = 10 << 20, /* bytes */
    INPUT_WAITS = 1 << 20, /* bytes on their way to tmux above which a viewer's input has to wait */
    MIN_COLS = 20, MAX_COLS = 500, MIN_ROWS = 4, MAX_ROWS = 300 /* what an owner may set */
};

enum { STOP_FAILED = -1 }; /* bridge.stop is that, or the signal that asked for it */

/* Who of those with the write token may type. */
typedef enum share_mode { SHARE_ALL, SHARE_ONE, SHARE_WATCH } share_mode;

typedef struct options {
    const char *listen;
    const char *socket_name, *socket_path; /* tmux -L, -S */
    const char *tmux;
    const char *session[MAX_SESSIONS];
    size_t sessions;                       /* 0: all there are */
    const char *host[MAX_HOSTS];           /* names besides those of the loopback */
    size_t hosts;
    const char *token, *write_token;       /* NULL, "auto", or a file */
    const char *exec, *record;
    share_mode share;
    bool resize;                           /* who may write may set the session's size */
    size_t input_rate;                     /* of a viewer, bytes a second */
    uint64_t interval_ns;                  /* between captures */
    uint64_t ping_ns;                      /* between pings of a viewer that says nothing */
    size_t viewer_cap;                     /* bytes a viewer may be behind */
    unsigned max_viewers;
} options;

struct bridge;
struct viewer;

typedef enum terminal_state { TERMINAL_DOWN, TERMINAL_ATTACHING, TERMINAL_UP } terminal_state;

typedef struct terminal {
    struct bridge *bridge;
    char name[MAX_NAME];
    uint32_t session, pane;     /* $n, %n */
    terminal_state state;
    uint64_t lost_ns;    /* when its tmux was left */
    bool in_want;        /* of memory, and it was said */
    bool asked, unbound; /* for the pane; the session would outlive us: see bind_to_us */
    bool pane_known, was_up;
    bool wanted;                /* named on the command line, so it is waited for */
    /* the connection */
    child tmux;
    bool reading, writing, reading_err;
    stream_io_file in_file, out_file, err_file;
    server_op read_op, write_op, err_op, timer_op, reap_op;
    char input[16384], err[512];
    text_buffer out, flying;    /* commands that wait, commands being written */
    text_buffer typed;          /* text that waits to become one command */
    control control;
    /* captures */
    bool dirty, capturing, timing, reaping;
    bool stale;                 /* it changed while nobody watched, and was not captured since */
    bool paused;                /* tmux keeps the pane's output to itself until the next capture */
    uint64_t captured_ns;       /* when the last one was asked for */
    text_buffer state_text;     /* what display-message said, until the capture is there */
    bool state_lost;            /* there was no memory for it */
    screen now, next;
    uint64_t number;            /* of now; 0: there is none yet */
    stream_broadcast updates;   /* item n makes screen n of screen n - 1, or is SNAPSHOT_NEEDED */
    text_buffer made;
    char history[64];           /* the numbers of the scrollback that comes next */
    bool history_numbers;       /* they are there, */
    bool history_lost;          /* or there was no memory for them */
    /* viewers */
    struct viewer *viewers;
    unsigned viewing, writers;
    struct viewer *owner;       /* who set the size */
    bool letting_go;            /* it has left, and tmux is still to be told */
} terminal;

#define SNAPSHOT_NEEDED "!"

typedef struct metrics {
    uint64_t captures, unchanged, updates, snapshots, snapshot_bytes, delta_bytes, skipped, input_bytes,
        rejected, refused, viewers, attaches, replies_lost, held, recorded_bytes;
} metrics;

typedef struct recording {
    int fd;                     /* -1: none */
    uint64_t start_ns;
    uint16_t cols, rows;        /* as last said */
    text_buffer event, ansi;
} recording;

typedef struct bridge {
    server server;
    options options;
    terminal *terminals;
    size_t count;
    unsigned capturing;         /* captures in flight */
    uint32_t run;               /* differs from run to run */
    unsigned port;
    char token[MAX_TOKEN + 1], write_token[MAX_TOKEN + 1]; /* the latter empty: nobody may write */
    /* listing sessions */
    child lister;
    bool listing, list_again;
    stream_io_file list_file;
    server_op list_op, list_timer;
    bool list_timing;
    uint64_t find_ns;           /* when sessions are looked for next */
    text_buffer list;
    char list_said[256];        /* by tmux, instead of a list */
    recording record;
    metrics metrics;
    volatile int stop;
} bridge;

/* ---- terminal.c ---- */

/* Begins to find sessions and to attach to them; again when there is reason to. */
void terminals_find(bridge *b);
terminal *terminal_named(bridge *b, const char *name, size_t len);
/* The connections to tmux; all of it. */
void terminals_close(bridge *b);
void terminals_free(bridge *b);
/* What viewers ask for. OK; E_STATE: not now; E_NOMEM. Text as it is, UTF-8; a key by its name; both after
   they were looked at. */
stream_status terminal_type(terminal *t, const char *text, size_t len);
stream_status terminal_key(terminal *t, const char *name, size_t len);
/* A piece of a paste: it goes into a buffer of tmux's, under a name of its own, and from there at once. */
stream_status terminal_paste(terminal *t, uint64_t id, bool first, bool last, const char *text, size_t len);
/* Asks for `count` lines before line `first` of the scrollback; viewer_old is called, or viewer_old_lost. */
stream_status terminal_history(terminal *t, uint64_t viewer, uint32_t first, uint32_t count);
/* Sets the session's size for v; and leaves it to others again when v has gone. */
stream_status terminal_resize(terminal *t, struct viewer *v, unsigned cols, unsigned rows);
void terminal_let_go(terminal *t, struct viewer *v);
/* Somebody watches: what changed meanwhile is captured. */
void terminal_watched(terminal *t);
bool terminal_takes_input(const terminal *t);

/* ---- viewer.c ---- */

/* As X has it. */
typedef enum over_reason { OVER_ENDED = 1, OVER_REFUSED = 2, OVER_STOPPING = 3 } over_reason;

typedef struct sent_update {
    uint64_t number, ns;
    size_t bytes;
} sent_update;

typedef struct viewer {
    server_conn *conn;
    terminal *terminal;
    struct viewer *next;
    bool may_write;                  /* it has the token for it */
    bool writes;                     /* and it is its turn */
    bool greeted, closing;
    uint64_t heard_ns, ping_ns;      /* when it last said something, when it is asked to */
    /* what it sends */
    text_buffer came, loan;          /* bytes nobody has looked at; those that are being looked at */
    ws ws;
    stream_frame frames;
    bool in_message;                 /* frames has a loan */
    bool held;                       /* nothing more is taken from it for now */
    int64_t credit;                  /* bytes it may send, as of credit_ns */
    uint64_t credit_ns;
    bool pasting;
    size_t pasted;
    /* what it is sent */
    stream_broadcast_reader reader;
    bool fresh;                      /* it needs a snapshot */
    uint64_t number;                 /* of the last screen sent */
    sent_update unacked[8];
    unsigned unacked_count;
    size_t unacked_bytes;
    uint64_t ack_ns;                 /* how long the last ack took */
    text_buffer old;                 /* scrollback on its way */
    size_t old_done;
    bool old_asked;
    uint32_t old_request;            /* its number */
} viewer;

viewer *viewer_new(terminal *t, server_conn *c, bool may_write);
void viewer_free(viewer *v);
void viewer_data(viewer *v, char *data, size_t len);
/* Sends what there is, as far as it can be taken. */
void viewer_pump(viewer *v);
void viewer_timer(viewer *v);
/* Goes on with what it sent, if that was held. */
void viewer_resume(viewer *v);
void viewers_count(terminal *t);
/* The session has gone: what was under way with it comes to nothing. */
void viewers_lost(terminal *t);
/* Lines of scrollback for that viewer, as it asked last; rows in capture form. Or there was no memory. */
void viewer_old(terminal *t, uint64_t viewer, uint32_t first, uint32_t total, stream_slice capture);
void viewer_old_lost(terminal *t, uint64_t viewer);
/* Tells all viewers; OVER_STOPPING also ends them. */
void viewers_over(terminal *t, over_reason reason, const char *text);

/* ---- web.c ---- */

extern const server_handler web_handler;

/* ---- record.c ---- */

/* A session as an asciicast, version 2, in a new file. False, with errno. */
bool record_open(recording *r, const char *path);
/* From one screen (NULL: from nothing) to the next. */
void record_screen(recording *r, const screen *was, const screen *now, metrics *m);
void record_close(recording *r);

/* ---- main.c ---- */

void bridge_log(const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 1, 2)))
#endif
    ;

#endif
