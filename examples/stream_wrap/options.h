/* SPDX-License-Identifier: MIT-0
   The command line of stream_wrap. */
#ifndef WRAP_OPTIONS_H
#define WRAP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { OUTPUT_RAW = 0, OUTPUT_TEXT, OUTPUT_EVENTS } output_mode;
typedef enum { PROGRESS_AUTO = 0, PROGRESS_LINE, PROGRESS_PLAIN, PROGRESS_OFF } progress_mode;
typedef enum { METRICS_NONE = 0, METRICS_JSON, METRICS_PROMETHEUS } metrics_mode;
typedef enum { TEE_DROP = 0, TEE_WAIT, TEE_STOP } tee_mode;
typedef enum { STDERR_PASS = 0, STDERR_TAIL, STDERR_DROP } stderr_mode;

enum { TIMER_STARTUP = 0, TIMER_IDLE, TIMER_TOOL, TIMER_TOTAL, TIMER_EXIT, TIMERS };

typedef struct timer_option {
    uint64_t limit_ns; /* 0: off */
    bool stop;         /* not only report it */
    bool asked;        /* on the command line */
} timer_option;

/* Exit codes of our own; everything else is the child's. */
enum {
    EXIT_CUT = 65,
    EXIT_TIMEOUT = 124,
    EXIT_OWN = 125,
    EXIT_CANNOT_RUN = 126,
    EXIT_NOT_FOUND = 127,
    EXIT_CLOSED = 141
};

typedef struct options {
    int output, progress, metrics, child_stderr; /* the enums above */
    int drain_when_closed;
    int child_stdout; /* child_stdout of child.h */
    int stop_orphans;
    bool pty;
    const char *tee;
    size_t restart; /* times at most */
    uint64_t restart_delay_ns;
    const char *resume_arg, *name;
    const char *publish;
    const char *listen;
    const char *show_map;
    const char *map; /* auto, claude, a name of mapping.h, or a file */
    int tee_policy;
    const char *cwd;
    const char **env; /* NAME=VALUE, or NAME: to be removed */
    size_t env_count;
    const char *input; /* --stdin */
    bool summary;
    uint64_t interval_ns, linger_ns, grace_ns;
    timer_option timer[TIMERS];
    int preset;
    size_t max_record, buffer, pipe_len;
    size_t input_chunk; /* bytes of our standard input read at a time, for the child's */
    bool unpooled;      /* STREAM_BUFFER_POOL_ENABLED=0 */
    const char *status_file, *metrics_file;
    char *const *command; /* NULL: read standard input */
} options;

/* True to go on; else *exit_code says how to leave (0 after --help and --version). */
bool options_parse(options *o, int argc, char **argv, int *exit_code);

#endif
