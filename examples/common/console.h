/* SPDX-License-Identifier: MIT-0
   What a tool is started with, and in: standard streams, signals, a terminal, files beside it. Everything
   here is the system's, and nothing here waits, console_write apart. */
#ifndef COMMON_CONSOLE_H
#define COMMON_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream.h"

/* The three streams, as numbers. */
enum { CONSOLE_IN = 0, CONSOLE_OUT = 1, CONSOLE_ERR = 2 };

/* First thing in main: the standard streams exist (empty ones are opened in place of closed ones) and are
   binary, and a reader that leaves is an error of the write, not the end of the program. */
void console_prepare(void);

/* The command line in UTF-8: what main was given where that is UTF-8 already. NULL: memory is out. */
char **console_arguments(int *count, char **given);

/* What stream_io is given for one of the streams. It stays the system's: detach it, never close it. */
stream_fd console_fd(int stream);

/* From now on signals that ask us to end, tell of a child's end or of a new window size are kept, and each
   calls wake(ctx): in a signal handler, or in another thread. Once. False: see console_error. */
bool console_catch(void (*wake)(void *ctx), void *ctx);
/* The next signal that asks us to end, once for each time it came, by its POSIX number; 0: none. *typed:
   the system's terminal sent it, as on ^C, to all that run in the foreground with us. */
int console_signal(bool *typed);
/* Whether the window has another size since the last call. */
bool console_resized(void);

bool console_is_terminal(int stream);
/* Whether standard output and standard error are one and the same terminal. */
bool console_is_one(void);
/* Whether standard error is a terminal on which "\r" and "\033[J" do what they should. */
bool console_can_draw(void);
/* Whether the terminal is not somebody else's just now, as that of a shell that has us in the background. */
bool console_in_front(void);
/* The terminal's size, 80 by 24 where that cannot be told. */
void console_size(int stream, unsigned *columns, unsigned *rows);

/* Writes all of it, and waits for that. */
bool console_write(int stream, const char *data, size_t len);

/* For a file that is to be read: what stream_io is given, or -1. Close it with console_close. */
stream_fd console_open(const char *path);
/* For a file that is to be written from its beginning, or a FIFO that somebody reads. The same. */
stream_fd console_create(const char *path);
void console_close(stream_fd fd);
/* Gives `to` up to len of the bytes that wait in `from`, where they stay, without a copy and without waiting.
   How many; 0: none now; -1: not between these two, only between pipes, and on Linux. */
ptrdiff_t console_lend(stream_fd from, stream_fd to, size_t len);

/* Writes a file. With `replace` it is written beside its place first and then moved there: a reader sees the
   old state or the new, never half of one. False: see console_error, and nothing is left beside it. */
bool console_put_file(const char *path, const char *data, size_t len, bool replace);

/* Reads a whole file of at most `most` bytes; *data is yours to free. False: see console_error. */
bool console_get_file(const char *path, size_t most, char **data, size_t *len);

uint64_t console_process(void);

/* The number of the error of the last call here that failed, and what stream_io calls os_error: in words.
   The text is good until the next call. */
int console_error(void);
const char *console_error_text(int os_error);
/* Whether such an error of a write says that nobody reads any more. */
bool console_gone(int os_error);
/* Whether such an error of a replaced file may be gone the next time: somebody else has it open just now. */
bool console_busy(int os_error);

#endif
