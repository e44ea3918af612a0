/* SPDX-License-Identifier: MIT-0
   Writing to a descriptor we were given, without ever blocking on it and without ever changing it.

   Standard output is shared: its open file description belongs as much to the shell and to every other
   program that inherited it, so setting O_NONBLOCK on it breaks them (and they may have set it on us). A
   sink instead opens the same pipe or terminal once more, where the system offers that, sends without
   waiting on a socket, and elsewhere asks poll first and writes no more than poll promises. */
#ifndef COMMON_SINK_H
#define COMMON_SINK_H

#include <stdbool.h>
#include <stddef.h>

typedef enum sink_kind {
    SINK_PLAIN,   /* never blocks for long, or is non-blocking already: write */
    SINK_SOCKET,  /* send with MSG_DONTWAIT */
    SINK_CAUTIOUS /* blocking and shared: poll, then at most PIPE_BUF bytes */
} sink_kind;

typedef enum sink_result {
    SINK_DONE,    /* all of it is written */
    SINK_BLOCKED, /* no more can be taken now: wait until fd is writable */
    SINK_CLOSED,  /* nobody reads any more (EPIPE) */
    SINK_FAILED   /* errno says why */
} sink_result;

typedef struct sink {
    int fd;      /* to write to, and to poll */
    bool own;    /* fd was opened here */
    sink_kind kind;
} sink;

void sink_open(sink *s, int fd);
void sink_close(sink *s);
/* Writes from *done on, and moves *done; nothing is written twice. */
sink_result sink_write(sink *s, const char *data, size_t len, size_t *done);

#endif
