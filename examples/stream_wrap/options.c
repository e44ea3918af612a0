/* SPDX-License-Identifier: MIT-0 */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/text.h"
#include "mapping.h"
#include "stream.h"

/* PERIOD: a DURATION that is not 0. PATH: any text but the empty one; NAME: one that can be shown, too. */
typedef enum {
    FLAG,
    CHOICE,
    SIZE,
    DURATION,
    PERIOD,
    PATH,
    NAME,
    LIST,
    TIMERS_LIST,
    HELP,
    VERSION
} option_kind;

/* One row an option: what it takes, where it goes, what --help says. */
typedef struct option_row {
    const char *name;
    option_kind kind;
    size_t field;      /* offset in options */
    const char *value; /* CHOICE: the words, separated by |, numbered from 0; else a name for --help */
    const char *help;
} option_row;

#define FIELD(name) offsetof(options, name)

static const option_row rows[] = {
    {"output", CHOICE, FIELD(output), "raw|text|events",
     "what goes to standard output: the child's bytes exactly (raw, the default);\n"
     "the assistant's text, made safe for a terminal; one JSON event per line"},
    {"map", PATH, FIELD(map), "auto|claude|codex|gemini|FILE",
     "what the records mean: Claude Code's stream-json, codex exec --json, gemini\n"
     "--output-format stream-json, or as FILE says; auto (the default) knows by the first"},
    {"show-map", PATH, FIELD(show_map), "codex|gemini",
     "print that mapping, to begin a FILE of one's own with"},
    {"progress", CHOICE, FIELD(progress), "auto|line|plain|off",
     "on standard error: a status line, or a plain line every --interval;\n"
     "auto is line on a terminal and off elsewhere"},
    {"interval", PERIOD, FIELD(interval_ns), "TIME",
     "between plain progress lines, and at the most between status files (1s)"},
    {"summary", FLAG, FIELD(summary), NULL, "at the end, say on standard error what went by"},
    {"status-file", PATH, FIELD(status_file), "FILE",
     "keep the state as JSON in FILE, replaced atomically"},
    {"metrics", CHOICE, FIELD(metrics), "none|json|prometheus",
     "at the end, write metrics in that form to standard error"},
    {"metrics-file", PATH, FIELD(metrics_file), "FILE", "... or to FILE"},
    {"tee", PATH, FIELD(tee), "FILE", "write the child's bytes to FILE (or a FIFO somebody reads) as well"},
    {"tee-policy", CHOICE, FIELD(tee_policy), "drop|wait|stop",
     "when that is slower than the rest, or fails: go on without it and count what it\n"
     "missed; or wait for it; or wait, and stop the child (exit 125) when it fails"},
    {"listen", PATH, FIELD(listen), "[HOST]:PORT|unix:PATH",
     "serve /status (JSON), /metrics (Prometheus) and /events (server-sent events, as\n"
     "--output events has them) there, over HTTP; HOST is this machine unless given"},
    {"publish", PATH, FIELD(publish), "URL",
     "post each event to an sse_relay --fanout there, as topic NAME (--name), so that\n"
     "browsers can watch several runs at once; its token is in $STREAM_WRAP_TOKEN"},
    {"max-record", SIZE, FIELD(max_record), "SIZE",
     "longest record that is read whole (1M); longer ones pass through as they are\n"
     "and are counted, with their head"},
    {"preset", CHOICE, FIELD(preset), "balanced|throughput|low-memory|low-latency",
     "how much is read at a time (64K, 256K, 8K, 16K) and asked for behind the child's pipe\n"
     "(1M, 1M, 64K, 256K)"},
    {"buffer", SIZE, FIELD(buffer), "SIZE",
     "bytes read at a time, when not as the preset or $STREAM_RESPONSE_CHUNK_SIZE says;\n"
     "STREAM_BUFFER_POOL_ENABLED=0: each buffer from malloc, to look for leaks"},
    {"stderr", CHOICE, FIELD(child_stderr), "pass|tail|drop",
     "the child's standard error: passed on (the default); only its last 4 KiB,\n"
     "shown when it fails; or dropped. Always drained, never waited for"},
    {"stdin", PATH, FIELD(input), "null|inherit|-|FILE",
     "the child's standard input: empty (null, the default), ours as it is (inherit),\n"
     "ours copied through a pipe (-; 16K at a time, or $STREAM_REQUEST_CHUNK_SIZE), or a file"},
    {"closed-stdout", CHOICE, FIELD(drain_when_closed), "stop|drain",
     "when nobody reads our output any more: stop the child (exit 141), or let it\n"
     "finish unheard"},
    {"linger", DURATION, FIELD(linger_ns), "TIME",
     "when the child has exited but something it started still holds its output:\n"
     "leave after so long without a byte (250ms)"},
    {"grace", DURATION, FIELD(grace_ns), "TIME",
     "between SIGTERM and SIGKILL when stopping the child (5s)"},
    {"orphans", CHOICE, FIELD(stop_orphans), "leave|stop",
     "what the child leaves running when it exits by itself. When we are stopped, or\n"
     "killed, or stop it, everything it started ends with it in any case"},
    {"pty", FLAG, FIELD(pty), NULL,
     "give it a terminal for standard output, for programs that hold output back from\n"
     "a pipe: raw, as wide as ours or 4096 columns; its standard error stays a pipe"},
    {"child-stdout", CHOICE, FIELD(child_stdout), "pipe|socket|file",
     "what it writes to, for programs that lose output on one of them; file is one\n"
     "without a name in $TMPDIR that grows with the output"},
    {"env", LIST, FIELD(env), "NAME[=VALUE]",
     "set, or without = remove, a variable for the child; repeatable"},
    {"cwd", PATH, FIELD(cwd), "DIR", "run the child there"},
    {"restart", SIZE, FIELD(restart), "N",
     "start the child again when it fails, is cut off or stalls and is stopped, N times at\n"
     "most; each wait is twice the one before, up to a minute"},
    {"restart-delay", DURATION, FIELD(restart_delay_ns), "TIME", "the first of those waits (1s)"},
    {"resume-arg", PATH, FIELD(resume_arg), "ARG",
     "then run it with ARG and the session id the stream has named as further arguments\n"
     "(for claude: --resume), or as one if ARG ends in ="},
    {"name", NAME, FIELD(name), "NAME",
     "what this run is called in the status line, the state and the events"},
    {"timeout", TIMERS_LIST, 0, "TIMER=TIME[:stop],...",
     "report when nothing came for so long; with :stop, stop the child (exit 124). Timers:\n"
     "startup (60s) until the first output, idle (2m) between outputs, tool (15m) while a\n"
     "tool runs, exit (10s) from the result to the end, total. TIME 0: never"},
    {"help", HELP, 0, NULL, "this text"},
    {"version", VERSION, 0, NULL, "the version"},
};

enum { ROWS = sizeof rows / sizeof rows[0] };

static void print_help(void) {
    size_t i;
    puts("usage: stream_wrap [options] [--] command [argument ...]\n"
         "       stream_wrap [options] < stream\n\n"
         "Runs a command that writes records (an LLM CLI with --output-format stream-json, or any\n"
         "newline-delimited JSON), passes its output through unchanged and unbuffered, and shows how it\n"
         "goes. Memory is bounded whatever arrives. Without a command it reads standard input.\n");
    for (i = 0; i < ROWS; i++) {
        const char *line = rows[i].help, *end;
        char head[64];
        snprintf(head, sizeof head, "--%s%s%s", rows[i].name, rows[i].value ? " " : "",
                 rows[i].value ? rows[i].value : "");
        printf("  %s\n", head);
        for (; line; line = end ? end + 1 : NULL) {
            end = strchr(line, '\n');
            printf("        %.*s\n", end ? (int)(end - line) : (int)strlen(line), line);
        }
    }
    puts("\nSIZE takes K, M, G; TIME takes ms, s, m, h (plain: seconds).\n\n"
         "Exit code: the child's, or 128 + the signal that ended it. Of our own:\n"
         "  65   the child succeeded but its last record was cut off\n"
         "  124  a timer of --timeout stopped the child\n"
         "  125  stream_wrap itself failed, or was called wrongly\n"
         "  126  the command could not be run    127  there is no such command\n"
         "  141  nobody reads our output any more");
}

static const option_row *find(const char *name, size_t len) {
    size_t i;
    for (i = 0; i < ROWS; i++)
        if (strlen(rows[i].name) == len && memcmp(rows[i].name, name, len) == 0) return &rows[i];
    return NULL;
}

/* "idle=2m,exit=5s:stop" */
static bool parse_timers(options *o, const char *list) {
    static const char *const names[TIMERS] = {"startup", "idle", "tool", "total", "exit"};
    if (!*list) return false;
    while (*list) {
        size_t len = strcspn(list, ","), equals = strcspn(list, "="), i, value_len;
        char value[32];
        if (equals >= len) return false;
        for (i = 0; i < TIMERS; i++)
            if (strlen(names[i]) == equals && memcmp(names[i], list, equals) == 0) break;
        value_len = len - equals - 1;
        if (i == TIMERS || value_len >= sizeof value) return false;
        memcpy(value, list + equals + 1, value_len);
        value[value_len] = '\0';
        o->timer[i].stop = value_len > 5 && strcmp(value + value_len - 5, ":stop") == 0;
        if (o->timer[i].stop) value[value_len - 5] = '\0';
        if (!parse_duration(value, &o->timer[i].limit_ns)) return false;
        o->timer[i].asked = true;
        list += len;
        if (*list == ',') list++;
    }
    return true;
}

/* It stands in lines on a terminal as it is. */
static bool can_be_shown(const char *text) {
    text_buffer safe = {NULL, 0, 0};
    size_t len = strlen(text);
    bool same = len > 0 && text_add_safe(&safe, text, len, true) && safe.len == len &&
                memcmp(safe.ptr, text, len) == 0;
    text_free(&safe);
    return same;
}

static bool set(options *o, const option_row *row, const char *value) {
    char *field = (char *)o + row->field;
    bool good = true;
    switch (row->kind) {
    case FLAG: *(bool *)(void *)field = true; break;
    case CHOICE: {
        int n = parse_choice(row->value, value);
        *(int *)(void *)field = n;
        good = n >= 0;
        break;
    }
    case SIZE: good = parse_size(value, (size_t *)(void *)field) && *(size_t *)(void *)field > 0; break;
    case DURATION: good = parse_duration(value, (uint64_t *)(void *)field); break;
    case PERIOD:
        good = parse_duration(value, (uint64_t *)(void *)field) && *(uint64_t *)(void *)field > 0;
        break;
    case LIST: {
        const char ***list = (const char ***)(void *)field;
        size_t *count = &o->env_count;
        const char **grown;
        good = *value != '\0' && *value != '=';
        if (!good) break;
        grown = (const char **)realloc((void *)(uintptr_t)*list, (*count + 1) * sizeof *grown);
        if (!grown) {
            fprintf(stderr, "stream_wrap: --%s: %s\n", row->name, stream_status_text(STREAM_E_NOMEM));
            return false;
        }
        grown[(*count)++] = value;
        *list = grown;
        break;
    }
    case TIMERS_LIST: good = parse_timers(o, value); break;
    default:
        good = row->kind == NAME ? can_be_shown(value) : *value != '\0';
        *(const char **)(void *)field = value;
        break;
    }
    if (!good) fprintf(stderr, "stream_wrap: --%s: '%s' is not %s\n", row->name, value, row->value);
    return good;
}

/* A size in the environment, when there is one and nothing else was asked for. */
static bool size_from(const char *name, size_t *size) {
    const char *given = *size == 0 ? getenv(name) : NULL;
    if (!given || (parse_size(given, size) && *size > 0)) return true;
    fprintf(stderr, "stream_wrap: %s: '%s' is not a size\n", name, given);
    return false;
}

/* What was asked for, else the environment, else the preset. */
static bool settle_buffers(options *o) {
    static const size_t buffer[] = {65536, 262144, 8192, 16384},
                        pipe_len[] = {1048576, 1048576, 65536, 262144};
    const char *pooled = getenv("STREAM_BUFFER_POOL_ENABLED");
    o->pipe_len = pipe_len[o->preset];
    o->unpooled = pooled && strcmp(pooled, "0") == 0;
    if (!size_from("STREAM_RESPONSE_CHUNK_SIZE", &o->buffer) ||
        !size_from("STREAM_REQUEST_CHUNK_SIZE", &o->input_chunk))
        return false;
    if (o->buffer == 0) o->buffer = buffer[o->preset];
    if (o->input_chunk == 0) o->input_chunk = 16384;
    return true;
}

/* How a run ends that was to print something and no more. */
static int printed(void) { return fflush(stdout) == 0 && !ferror(stdout) ? 0 : EXIT_OWN; }

bool options_parse(options *o, int argc, char **argv, int *exit_code) {
    int i;
    memset(o, 0, sizeof *o);
    o->interval_ns = UINT64_C(1000000000);
    o->linger_ns = UINT64_C(250000000);
    o->grace_ns = UINT64_C(5000000000);
    o->timer[TIMER_STARTUP].limit_ns = UINT64_C(60000000000);
    o->timer[TIMER_IDLE].limit_ns = UINT64_C(120000000000);
    o->timer[TIMER_TOOL].limit_ns = UINT64_C(900000000000);
    o->timer[TIMER_EXIT].limit_ns = UINT64_C(10000000000);
    o->max_record = (size_t)1 << 20;
    o->restart_delay_ns = UINT64_C(1000000000);
    o->input = "null";
    o->map = "auto";
    *exit_code = EXIT_OWN;
    for (i = 1; i < argc && argv[i][0] == '-' && argv[i][1] == '-'; i++) {
        const char *name = argv[i] + 2, *equals = strchr(name, '=');
        const option_row *row = find(name, equals ? (size_t)(equals - name) : strlen(name));
        const char *value = equals ? equals + 1 : NULL;
        if (*name == '\0') {
            i++;
            break;
        }
        if (row && row->kind == HELP) {
            print_help();
            *exit_code = printed();
            return false;
        }
        if (row && row->kind == VERSION) {
            puts("stream_wrap " STREAM_VERSION);
            *exit_code = printed();
            return false;
        }
        if (row && row->kind != FLAG && !value && i + 1 < argc) value = argv[++i];
        if (!row || (row->kind == FLAG) != (value == NULL)) {
            fprintf(stderr, "stream_wrap: %s: %s; see --help\n", argv[i],
                    !row    ? "no such option"
                    : value ? "takes no value"
                            : "needs a value");
            return false;
        }
        if (!set(o, row, value)) return false;
    }
    if (i < argc && argv[i][0] == '-' && argv[i][1] != '\0' && strcmp(argv[i - 1], "--") != 0) {
        fprintf(stderr, "stream_wrap: %s: no such option; see --help\n", argv[i]);
        return false;
    }
    if (!settle_buffers(o)) return false;
    if (o->show_map) {
        const char *text = mapping_built_in(o->show_map);
        if (text)
            fputs(text, stdout);
        else
            fprintf(stderr, "stream_wrap: --show-map: there is no mapping '%s'\n", o->show_map);
        *exit_code = text ? printed() : EXIT_OWN;
        return false;
    }
    if (o->metrics_file && o->metrics == METRICS_NONE) {
        fprintf(stderr, "stream_wrap: --metrics-file: needs --metrics json or prometheus\n");
        return false;
    }
    if (o->tee_policy != TEE_DROP && !o->tee) {
        fprintf(stderr, "stream_wrap: --tee-policy: needs --tee FILE\n");
        return false;
    }
    if (i < argc && strcmp(argv[i], "-") != 0) o->command = argv + i;
    return true;
}
