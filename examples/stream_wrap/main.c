/* SPDX-License-Identifier: MIT-0
   stream_wrap: runs a command that writes records, passes its output through, and shows how it goes.

   One thread, one loop over stream_io: hand out what is done, look at signals and the clock, put under way
   what can be, wait. The bytes themselves are in pipes.c. */
#include <stdio.h>
#include <stdlib.h>

#include "wrap.h"

#define SECOND_CHANCE_NS UINT64_C(1000000000) /* for a SIGKILL to do its work */
#define MOST_DELAY_NS UINT64_C(60000000000) /* before starting again */
#define WIDE 4096 /* columns of a pseudo-terminal that nobody looks at */
#define MAPPING_FILE ((size_t)1 << 16) /* bytes of a mapping at most */
#define LATE_NS          UINT64_C(1000000000) /* after a wait that took so much longer, we had been stopped */
#define LOOK_AT_ONCE 64 /* operations done before the clock and signals are looked at */

/* Whether anything we started may still run. */
static bool runs(const run *r) { return r->has_child && !(r->child_done && r->child.tree_gone); }

/* Whether that is to end: it was killed twice and still is there only if the system cannot end it. */
static bool is_stopping(const run *r) { return r->stopping && r->kills < 2 && runs(r); }

void stop_child(run *r, int signal_number) {
    if (!runs(r)) return;
    if (signal_number != CHILD_TOLD) child_signal(&r->child, signal_number);
    if (!r->stopping) r->kill_ns = stream_now_ns() + r->opt.grace_ns;
    r->stopping = true;
}

static void take_signals(run *r, uint64_t now_ns) {
    int number;
    bool typed;
    while ((number = console_signal(&typed)) != 0) {
        /* Asked twice, we no longer wait for anyone. */
        r->patience_ns = r->has_child && !r->stop_signal ? now_ns + r->opt.grace_ns : 0;
        if (r->stop_signal) stop_child(r, CHILD_KILL);
        r->stop_signal = number;
        stop_child(r, typed && r->child_hears ? CHILD_TOLD : number);
        if (!runs(r)) r->give_up = true;
    }
    if (runs(r) && child_reap(&r->child) && !r->child_done) {
        r->child_done = true;
        r->quiet_ns = now_ns;
        r->retry_ns = 0; /* what it has left is all there */
        if (r->child.unknown) view_say(r, "stream_wrap: the child was lost: how it ended is not known");
        if (r->opt.stop_orphans) stop_child(r, CHILD_TERMINATE);
    }
    if (console_resized()) {
        view_resized();
        if (console_is_terminal(CONSOLE_OUT)) {
            unsigned columns, rows;
            console_size(CONSOLE_OUT, &columns, &rows);
            child_resize(&r->child, columns, rows);
        }
    }
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* Deadlines: SIGKILL for a child that will not stop, and the end of waiting for a pipe that something the
   child started still holds. Returns how long until the next. */
static uint64_t look_at_clock(run *r, uint64_t now_ns) {
    uint64_t wait = UINT64_MAX;
    if (is_stopping(r)) {
        if (now_ns >= r->kill_ns) {
            child_signal(&r->child, CHILD_KILL);
            r->kills++;
            r->kill_ns = now_ns + SECOND_CHANCE_NS;
        }
        wait = least(wait, r->kill_ns - now_ns);
    } else if (r->child_done && !r->give_up) {
        uint64_t linger = r->stdout_closed || r->stop_signal ? 0 : r->opt.linger_ns;
        if (pipes_blocked(r)) r->quiet_ns = now_ns;
        if (since_ns(now_ns, r->quiet_ns) >= linger) r->give_up = true;
        wait = least(wait, r->give_up ? 0 : linger - since_ns(now_ns, r->quiet_ns));
    }
    if (r->stop_signal && r->patience_ns > now_ns) wait = least(wait, r->patience_ns - now_ns);
    if (r->tee.lane.busy) wait = least(wait, STDERR_PATIENCE_NS);
    if (r->retry_ns > now_ns) wait = least(wait, r->retry_ns - now_ns);
    if (pipes_stderr_waits(r, now_ns))
        wait = least(wait, STDERR_PATIENCE_NS - since_ns(now_ns, r->err_ring.moved_ns));
    return wait;
}

/* A child that was told to end has last words. */
static bool finished(const run *r, uint64_t now_ns) {
    bool leave = r->give_up && r->stop_signal && now_ns >= r->patience_ns;
    if ((r->has_child && !r->child_done) || is_stopping(r)) return false;
    if (pipes_blocked(r)) return r->stdout_closed || leave;
    if (tee_waits(r, now_ns)) return leave;
    return r->ended && !r->decoding && (!r->has_child || r->child_err.file.fd == -1) &&
           !pipes_stderr_waits(r, now_ns);
}

static void wake(void *ctx) { stream_io_wake((stream_io *)ctx); }

/* An id comes from the stream: one that could be taken for an option, or for anything but a word, is not
   passed on. */
static bool is_word(const char *id) {
    size_t i;
    for (i = 0; id[i]; i++) {
        bool plain = (id[i] >= '0' && id[i] <= '9') || (id[i] >= 'A' && id[i] <= 'Z') ||
                     (id[i] >= 'a' && id[i] <= 'z') || id[i] == '_';
        if (!plain && (i == 0 || !strchr("-.:", id[i]))) return false;
    }
    return i > 0;
}

/* The command, and how to go on with the session that the stream has named. To be freed. */
static char **command_line(run *r) {
    const char *arg = r->opt.resume_arg;
    char *id = r->session.session_id;
    size_t n = 0, len = arg ? strlen(arg) : 0;
    char **argv;
    while (r->opt.command[n]) n++;
    argv = (char **)malloc((n + 3) * sizeof *argv + len + sizeof r->session.session_id);
    if (!argv) return NULL;
    memcpy(argv, r->opt.command, (n + 1) * sizeof *argv);
    if (r->restarts == 0 || !arg || !is_word(id)) return argv;
    argv[n] = (char *)(uintptr_t)arg;
    argv[n + 1] = id;
    argv[n + 2] = NULL;
    if (len > 0 && arg[len - 1] == '=') { /* one argument of both */
        argv[n] = (char *)(argv + n + 3);
        argv[n + 1] = NULL;
        memcpy(argv[n], arg, len);
        memcpy(argv[n] + len, id, strlen(id) + 1);
    }
    return argv;
}

static bool start_child(run *r, int *exit_code) {
    const char *input = r->opt.input;
    child_desc desc;
    child_result result;
    int error = 0;
    memset(&desc, 0, sizeof desc);
    if (r->argv) free((void *)r->argv);
    r->argv = command_line(r);
    if (!r->argv) {
        fprintf(stderr, "stream_wrap: cannot run %s: %s\n", r->opt.command[0],
                stream_status_text(STREAM_E_NOMEM));
        return false;
    }
    desc.argv = r->argv;
    desc.wake = wake;
    desc.ctx = r->io;
    desc.file = -1;
    /* A child that ends before its pipe is drained cannot lose what is in it; the larger the pipe, the less
       often a burst makes it wait. */
    desc.pipe_len = r->opt.pipe_len;
    desc.input = strcmp(input, "null") == 0      ? CHILD_STDIN_NULL
                 : strcmp(input, "inherit") == 0 ? CHILD_STDIN_INHERIT
                 : strcmp(input, "-") == 0       ? CHILD_STDIN_PIPE
                                                 : CHILD_STDIN_FILE;
    if (desc.input == CHILD_STDIN_FILE && (desc.file = console_open(input)) == -1) {
        fprintf(stderr, "stream_wrap: --stdin %s: %s\n", input, console_error_text(console_error()));
        return false;
    }
    desc.output = (child_stdout)r->opt.child_stdout;
    if (r->opt.pty) desc.output = CHILD_STDOUT_PTY;
    if (!child_offers(desc.output)) {
        fprintf(stderr, "stream_wrap: %s: not on this system\n",
                r->opt.pty ? "--pty" : "--child-stdout socket");
        if (desc.file != -1) console_close(desc.file);
        return false;
    }
    console_size(CONSOLE_OUT, &desc.columns, &desc.rows);
    if (!console_is_terminal(CONSOLE_OUT)) desc.columns = WIDE;
    desc.cwd = r->opt.cwd;
    desc.env = r->opt.env;
    desc.env_count = r->opt.env_count;
    desc.guarded = true;
    desc.foreground = desc.input == CHILD_STDIN_INHERIT && console_is_terminal(CONSOLE_IN);
    r->child_hears = desc.foreground && desc.output != CHILD_STDOUT_PTY;
    result = child_start(&r->child, &desc, &error);
    if (desc.file != -1) console_close(desc.file);
    if (result == CHILD_STARTED) return true;
    if (result == CHILD_NO_CWD) {
        fprintf(stderr, "stream_wrap: --cwd %s: %s\n", r->opt.cwd, console_error_text(error));
        return false;
    }
    *exit_code = result == CHILD_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
    fprintf(stderr, "stream_wrap: cannot run %s: %s\n", r->opt.command[0], console_error_text(error));
    return false;
}

static bool read_mapping(run *r) {
    static text_buffer text; /* the mapping points into it */
    const char *map = r->opt.map, *wrong, *built_in = mapping_built_in(map);
    session *s = &r->session;
    size_t at = 0, i, line = 1;
    s->detect = strcmp(map, "auto") == 0;
    s->mapped = !s->detect && strcmp(map, "claude") != 0;
    if (!s->mapped) return true;
    if (!built_in && !console_get_file(map, MAPPING_FILE, &text.ptr, &text.len)) {
        fprintf(stderr, "stream_wrap: --map %s: %s\n", map, console_error_text(console_error()));
        return false;
    }
    if (text.len >= 3 && memcmp(text.ptr, "\xEF\xBB\xBF", 3) == 0) memset(text.ptr, ' ', 3); /* U+FEFF */
    wrong = built_in ? mapping_read(&s->map, built_in, strlen(built_in), &at)
                     : mapping_read(&s->map, text.ptr, text.len, &at);
    /* As a redirection in PowerShell writes it. */
    if (wrong && text.len >= 2 && memcmp(text.ptr, "\xFF\xFE", 2) == 0) wrong = "UTF-16, and should be UTF-8";
    for (i = 0; wrong && i < at; i++) line += text.ptr[i] == '\n';
    if (wrong) fprintf(stderr, "stream_wrap: --map %s: line %zu: %s\n", map, line, wrong);
    return wrong == NULL;
}

/* Why a stream could not be attached. */
static const char *io_error(const run *r) {
    return r->io->os_error ? console_error_text(r->io->os_error) : stream_status_text(STREAM_E_NOMEM);
}

static bool start(run *r, int *exit_code) {
    stream_pool_desc pool;
    stream_json_desc json;
    stream_flow_desc flow;

    r->started_ns = r->run_ns = r->last_ns = r->active_ns = r->quiet_ns = stream_now_ns();
    r->session.silent = r->opt.output == OUTPUT_RAW && !r->opt.listen && !r->opt.publish;
    *exit_code = EXIT_OWN;
    memset(&pool, 0, sizeof pool);
    pool.tiers[0].size = r->opt.buffer;
    pool.tiers[0].count = r->opt.tee ? TEE_QUEUE + 2 : 2;
    pool.pass_through = r->opt.unpooled;
    memset(&json, 0, sizeof json);
    json.max_len = r->opt.max_record;
    memset(&flow, 0, sizeof flow);
    flow.size = r->opt.buffer / 4 + 1; /* half a buffer waiting is a slow reader */
    if (stream_pool_init(&r->pool, &pool) != STREAM_OK || stream_json_init(&r->json, &json) != STREAM_OK ||
        stream_flow_init(&r->flow, &flow) != STREAM_OK) {
        fprintf(stderr, "stream_wrap: --buffer %zu or --max-record %zu is out of range\n", r->opt.buffer,
                r->opt.max_record);
        return false;
    }
    if (!text_room(&r->said, 1)) { /* so that there are words for what comes later */
        fprintf(stderr, "stream_wrap: %s\n", stream_status_text(STREAM_E_NOMEM));
        return false;
    }
    if (!read_mapping(r)) return false;
    r->io = &r->own_io;
    if (r->opt.listen) {
        const char *wrong = endpoint_open(r);
        if (wrong) {
            fprintf(stderr, "stream_wrap: --listen %s: %s\n", r->opt.listen, wrong);
            return false;
        }
    }
    if (r->opt.publish) {
        const char *wrong = publish_open(r);
        if (wrong) {
            fprintf(stderr, "stream_wrap: --publish %s: %s\n", r->opt.publish, wrong);
            return false;
        }
    }
    if (!r->opt.listen && stream_io_init(r->io, NULL) != STREAM_OK) {
        fprintf(stderr, "stream_wrap: %s\n", io_error(r));
        return false;
    }
    if (!console_catch(wake, r->io)) {
        fprintf(stderr, "stream_wrap: %s\n", console_error_text(console_error()));
        return false;
    }
    if (r->opt.tee && !tee_open(r)) {
        fprintf(stderr, "stream_wrap: --tee %s: %s\n", r->opt.tee, console_error_text(console_error()));
        return false;
    }
    if (r->opt.command) {
        if (!start_child(r, exit_code)) return false;
        r->has_child = true;
    }
    if (!pipes_open(r)) {
        fprintf(stderr, "stream_wrap: %s\n", io_error(r));
        return false;
    }
    view_start(r);
    return true;
}

static int exit_code_of(const run *r) {
    const session *s = &r->session;
    int code = r->has_child ? r->child.code : 0;
    if (r->timed_out) return EXIT_TIMEOUT;
    if (r->write_failed || r->read_failed) return EXIT_OWN;
    if (r->stdout_closed && !r->opt.drain_when_closed) return EXIT_CLOSED;
    if (r->stop_signal && !r->has_child) return 128 + r->stop_signal;
    return code == 0 && s->truncated > s->truncated_before && s->unterminated ? EXIT_CUT : code;
}

/* ---- starting over ---------------------------------------------------------------------------------- */

static bool wants_restart(const run *r) {
    return r->has_child && r->restarts < r->opt.restart && !r->stop_signal && !r->stdout_closed &&
           !r->write_failed && !r->read_failed && exit_code_of(r) != 0 &&
           !(r->timed_out && r->watch.last == TIMER_TOTAL);
}

/* Twice as long each time, up to a minute; a first one that is longer stays as it is. */
static void plan_restart(run *r, uint64_t now_ns) {
    uint64_t delay_ns = r->opt.restart_delay_ns,
             wait_ns =
                 delay_ns < MOST_DELAY_NS ? delay_ns << (r->restarts < 6 ? r->restarts : 6) : delay_ns;
    bool resumes = r->opt.resume_arg && is_word(r->session.session_id);
    if (delay_ns < MOST_DELAY_NS) wait_ns = least(wait_ns, MOST_DELAY_NS);
    r->restart_ns = now_ns + wait_ns + 1;
    r->restarts++;
    view_say(r, "stream_wrap: exit code %d; starting again in %.1f s (%u of %u)%s%s", exit_code_of(r),
             (double)wait_ns / 1e9, r->restarts, (unsigned)r->opt.restart,
             resumes ? ", session " : "", resumes ? r->session.session_id : "");
    output_restart(r, exit_code_of(r), wait_ns, now_ns);
}

/* False: said why, and r->exit_code is ours. */
static bool restart(run *r, uint64_t now_ns) {
    r->exit_code = EXIT_OWN;
    if (!pipes_close_child(r)) {
        view_say(r, "stream_wrap: cannot start again: the last child's streams are still in use");
        return false;
    }
    child_free(&r->child, false);
    r->restart_ns = r->retry_ns = 0;
    r->child_done = r->give_up = r->stopping = r->timed_out = r->ended = r->decoding = false;
    r->kills = 0;
    stream_json_reset(&r->json);
    session_restart(&r->session);
    memset(r->watch.fired, 0, sizeof r->watch.fired);
    r->run_ns = r->last_ns = r->active_ns = r->quiet_ns = now_ns;
    r->run_bytes = r->bytes + r->err_ring.in;
    if (!start_child(r, &r->exit_code)) return false;
    if (pipes_open_child(r)) return true;
    view_say(r, "stream_wrap: cannot start again: %s", io_error(r));
    r->stopping = true; /* so that it is not left running */
    return false;
}

/* The time. When it should not be later than due_ns by now, but is by far, we had been stopped. */
static uint64_t look_at_time(run *r, uint64_t due_ns) {
    uint64_t now_ns = stream_now_ns();
    if (since_ns(now_ns, due_ns) > LATE_NS) r->back_ns = now_ns;
    return now_ns;
}

static int run_loop(run *r) {
    uint64_t blocked_ns = 0; /* since when our standard output takes nothing */
    uint64_t due_ns = UINT64_MAX; /* when the last wait was to end at the latest */
    for (;;) {
        uint64_t now_ns = look_at_time(r, due_ns), wait_ns;
        stream_io_op *op;
        unsigned n;
        if (blocked_ns) r->blocked_ns += since_ns(now_ns, blocked_ns);
        take_signals(r, now_ns);
        pipes_go(r, now_ns);
        for (n = 0; n < LOOK_AT_ONCE && (op = stream_io_next(r->io)) != NULL; n++) {
            pipes_done(r, op);
            pipes_go(r, now_ns);
        }
        now_ns = look_at_time(r, now_ns);
        wait_ns = least(look_at_clock(r, now_ns), watch_tick(r, now_ns));
        if (finished(r, now_ns)) {
            if (!r->restart_ns && !wants_restart(r)) break;
            if (r->stop_signal) break;
            if (!r->restart_ns) plan_restart(r, now_ns);
            else if (now_ns >= r->restart_ns && !restart(r, now_ns)) return r->exit_code;
            if (r->restart_ns) wait_ns = least(wait_ns, r->restart_ns > now_ns ? r->restart_ns - now_ns : 0);
            else wait_ns = 0;
        }
        wait_ns = least(wait_ns, view_tick(r, now_ns));
        pipes_go(r, now_ns);
        endpoint_go(r);
        wait_ns = least(wait_ns, publish_go(r, now_ns));
        now_ns = look_at_time(r, now_ns);
        blocked_ns = r->out.busy ? now_ns : 0;
        due_ns = wait_ns < UINT64_MAX - now_ns ? now_ns + wait_ns : UINT64_MAX;
        /* Nothing more is waited for, but what has come already is still taken. */
        if (!r->give_up || !pipes_reading(r)) stream_io_wait(r->io, wait_ns);
        else if (stream_io_wait(r->io, 0) == STREAM_EMPTY) pipes_stop_reading(r);
    }
    r->exit_code = exit_code_of(r);
    return r->exit_code;
}

/* What the child said last, when that is all there is to explain its failure. */
static void show_stderr_tail(run *r) {
    stderr_ring *ring = &r->err_ring;
    uint64_t at = ring->in > STDERR_SHOWN ? ring->in - STDERR_SHOWN : 0;
    if (r->opt.child_stderr != STDERR_TAIL || r->exit_code == 0 || ring->in == 0) return;
    if (at > 0)
        view_say(r, "stream_wrap: the last %d of %llu bytes of standard error:", STDERR_SHOWN,
                 (unsigned long long)ring->in);
    for (; at < ring->in; at++) pipes_say(r, ring->bytes + at % STDERR_KEPT, 1);
}

int main(int argc, char **argv) {
    static run r; /* static: zeroed, and too large for a small stack */
    int exit_code;
    console_prepare();
    argv = console_arguments(&argc, argv);
    if (!argv) return EXIT_OWN;
    if (!options_parse(&r.opt, argc, argv, &exit_code)) return exit_code;
    if (!start(&r, &exit_code)) return exit_code;
    exit_code = run_loop(&r);
    if (pipes_blocked(&r) && !r.stdout_closed)
        view_say(&r, "stream_wrap: standard output is not complete: nobody takes it");
    show_stderr_tail(&r);
    if (r.opt.child_stderr == STDERR_PASS) r.err_ring.dropped += r.err_ring.in - r.err_ring.passed;
    tee_close(&r);
    publish_close(&r);
    r.session.state = SESSION_EXIT;
    view_end(&r, stream_now_ns());
    pipes_close(&r);
    child_free(&r.child, !r.stopping); /* it wakes the loop no more, which is the endpoint's, or our own */
    endpoint_close(&r);
    stream_io_free(&r.own_io);
    stream_json_free(&r.json);
    stream_pool_free(&r.pool);
    text_free(&r.made);
    text_free(&r.event);
    free((void *)r.argv);
    text_free(&r.scratch);
    text_free(&r.said);
    text_free(&r.input_bytes);
    return exit_code;
}
