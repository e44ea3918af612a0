/* SPDX-License-Identifier: MIT-0
   A child process on pipes: started so that it can be told from one that never ran, signalled with
   everything it started, reaped without blocking. */
#ifndef COMMON_CHILD_H
#define COMMON_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "stream.h"

/* What the child reads. FILE: the descriptor given, which stays ours. PIPE: what we write to child.in. */
typedef enum child_stdin {
    CHILD_STDIN_NULL = 0,
    CHILD_STDIN_INHERIT,
    CHILD_STDIN_FILE,
    CHILD_STDIN_PIPE
} child_stdin;

/* What the child writes its output to. PTY: a pseudo-terminal that changes no byte, for programs that say less,
   or later, to a pipe; its standard error stays a pipe. FILE: one without a name, read as it grows. */
typedef enum child_stdout { CHILD_STDOUT_PIPE = 0, CHILD_STDOUT_SOCKET, CHILD_STDOUT_FILE, CHILD_STDOUT_PTY } child_stdout;

/* Whether the system has that. */
bool child_offers(child_stdout output);

/* Signals to send, by their POSIX numbers; any other one may be sent where the system knows it. */
enum { CHILD_INTERRUPT = 2, CHILD_KILL = 9, CHILD_TERMINATE = 15 };

typedef struct child_desc {
    char *const *argv; /* argv[0] is looked for along PATH */
    child_stdin input;
    stream_fd file; /* of CHILD_STDIN_FILE */
    child_stdout output;
    unsigned columns, rows; /* of the pseudo-terminal */
    size_t pipe_len;        /* kernel buffer to ask for behind its stdout, bytes; 0: the system's own */
    const char *cwd;        /* NULL: ours */
    const char *const *env; /* NULL, or env_count texts: NAME=VALUE is set, NAME alone removed */
    size_t env_count;
    /* With a guardian, a small process in between, nothing the child started outlives us by accident: killed
       or crashed as we may be, all of it is killed, and what left the child's process group is found too. */
    bool guarded;
    /* It stays in our process group, so that it may read the terminal we were started on; what is typed
       there to interrupt us (^C) reaches it at once, too. */
    bool foreground;
    /* When the child has ended, wake(ctx) is called: by any thread, or not at all where a signal says so
       (console_catch). */
    void (*wake)(void *ctx);
    void *ctx;
} child_desc;

typedef struct child {
    int64_t pid;        /* also its process group; 0 when there is none */
    stream_fd out, err; /* read ends of its stdout and stderr: ours, for stream_io, not inherited */
    stream_fd in;       /* write end of its stdin with CHILD_STDIN_PIPE, else -1; close it to say EOF */
    bool exited;
    int code;       /* for a shell, once exited: the child's own, or 128 + the signal that ended it */
    bool unknown;   /* ... but how it ended was lost with its guardian; code is then that of a SIGKILL */
    bool tree_gone; /* nothing it started is left either, as far as can be told */
    intptr_t os[4]; /* private */
} child;

typedef enum child_result {
    CHILD_STARTED = 0,
    CHILD_NOT_FOUND,  /* there is no such command */
    CHILD_CANNOT_RUN, /* it is there, but cannot be run */
    CHILD_NO_CWD,     /* the directory cannot be entered */
    CHILD_FAILED      /* the system has no process or descriptor to give */
} child_result;

/* Starts it in a process group of its own, with every signal at its default. Otherwise nothing runs, nothing
   is open, and *os_error says why. */
child_result child_start(child *c, const child_desc *desc, int *os_error);

/* To everything the child started and itself, also when it is gone or stopped. */
void child_signal(const child *c, int signal_number);

/* Collects what became of the child: true once it has ended; tree_gone may come later. */
bool child_reap(child *c);

/* A new size for its pseudo-terminal; nothing without one. */
void child_resize(const child *c, unsigned columns, unsigned rows);

/* CPU time that the child and what it started have used. False where that cannot be told. */
bool child_cpu_ns(const child *c, uint64_t *ns);

/* Gives back what the system keeps for it; out, err and in are yours to close. What the child left behind is
   killed, unless it is to be left. */
void child_free(child *c, bool leave);

#endif
