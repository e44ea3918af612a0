/* SPDX-License-Identifier: MIT-0
   A child process on pipes: started so that it can be told from one that never ran, signalled with
   everything it started, reaped without blocking. POSIX. */
#ifndef COMMON_CHILD_H
#define COMMON_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

/* What the child reads. FILE: the descriptor given, which stays ours. PIPE: what we write to child.in. */
typedef enum child_stdin {
    CHILD_STDIN_NULL = 0,
    CHILD_STDIN_INHERIT,
    CHILD_STDIN_FILE,
    CHILD_STDIN_PIPE
} child_stdin;

typedef struct child {
    pid_t pid;   /* also its process group; 0 when there is none */
    int out, err; /* read ends of its stdout and stderr: ours, non-blocking, close-on-exec */
    int in;       /* write end of its stdin with CHILD_STDIN_PIPE, else -1; close it to say EOF */
    bool exited;
    int status; /* as waitpid says, once exited */
} child;

/* Starts argv[0], found along PATH, in a process group of its own, with every signal at its default.
   0, or -1 with errno: then nothing runs and nothing is open. ENOENT means there is no such command. */
int child_start(child *c, char *const argv[], child_stdin input, int file);

/* To the whole group, also when its leader is gone. */
void child_signal(const child *c, int signal_number);

/* Collects the exit status if the child has ended: true from then on. */
bool child_reap(child *c);

/* The exit code for a shell: the child's own, or 128 + the signal that ended it. */
int child_exit_code(const child *c);

/* A pipe with both ends close-on-exec; atomically where the system can. 0 or -1. */
int pipe_cloexec(int ends[2]);
int set_nonblocking(int fd);

#endif
