/* SPDX-License-Identifier: MIT-0
   stream_wrap: runs a command that writes records, passes its output through, and shows how it goes.

   One thread, one poll loop. At most one read buffer is in flight: it is passed on first and read as
   records second, and while standard output takes no more, the child is not read either. So its own pipe
   fills, and it waits: pressure goes back to where it belongs, and memory stays where it was. */
#include "wrap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define READS_A_TURN 16 /* of the child's stdout, before stderr, signals and the clock are looked at */
#define CHILD_PIPE ((size_t)1 << 20)

/* What the loop needs beside the run itself. */
typedef struct loop {
    run r;
    int source;                /* the child's stdout, or standard input */
    bool may_block;            /* source is not ours to make non-blocking: read once for each poll */
    bool readable, more;       /* poll said so; a turn ended before the source was empty */
    bool give_up;              /* nothing more is waited for */
    bool ended;                /* every record is out of the decoder */
    unsigned reads;
    uint64_t read_ns;
    stream_pool_buf *held;     /* raw bytes that standard output has not taken yet */
    size_t held_len, held_done;
    uint64_t quiet_ns;         /* since when nothing came, or could be read */
    uint64_t kill_ns;          /* when SIGKILL follows SIGTERM; UINT64_MAX: not stopping */
    int stop_signal;           /* a signal that asked us to end */
    char input[16384];         /* of our standard input, for the child (--stdin -) */
    size_t input_len, input_done;
    bool input_readable;
} loop;

static int signal_pipe[2] = {-1, -1};

static void on_signal(int number) {
    int saved = errno;
    char byte = (char)number;
    ssize_t n = write(signal_pipe[1], &byte, 1); /* full: a wake-up is under way already */
    (void)n;
    errno = saved;
}

static bool catch_signals(void) {
    static const int caught[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction act;
    size_t i;
    if (pipe_cloexec(signal_pipe) != 0 || set_nonblocking(signal_pipe[0]) != 0 ||
        set_nonblocking(signal_pipe[1]) != 0)
        return false;
    memset(&act, 0, sizeof act);
    act.sa_handler = on_signal;
    act.sa_flags = SA_RESTART | SA_NOCLDSTOP;
    for (i = 0; i < sizeof caught / sizeof caught[0]; i++) {
        struct sigaction before;
        /* A signal that was ignored when we were started (nohup) stays ignored. */
        if (sigaction(caught[i], NULL, &before) == 0 && before.sa_handler == SIG_IGN && caught[i] != SIGCHLD)
            continue;
        sigaction(caught[i], &act, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
    return true;
}

static void stop_child(loop *l, int number, uint64_t now_ns) {
    run *r = &l->r;
    if (!r->has_child || r->child_done) return;
    child_signal(&r->child, number);
    if (l->kill_ns == UINT64_MAX) l->kill_ns = now_ns + r->opt.grace_ns;
}

/* Nobody reads our output any more, or it cannot be written. */
static void output_lost_for_good(loop *l, sink_result why) {
    run *r = &l->r;
    int error = errno;
    r->stdout_closed = true;
    r->made.len = r->made_done = 0;
    if (why == SINK_FAILED) {
        r->write_failed = true;
        view_say(r, "stream_wrap: standard output: %s", strerror(error));
    }
    if (why == SINK_FAILED || !r->opt.drain_when_closed) {
        stop_child(l, SIGTERM, stream_now_ns());
        if (!r->has_child) l->give_up = true;
    }
}

/* Writes what fits; true when nothing waits any more. */
static bool put_out(loop *l, const char *data, size_t len, size_t *done) {
    run *r = &l->r;
    size_t before = *done;
    sink_result result;
    if (r->stdout_closed) return true;
    if (r->same_terminal) view_hide(r);
    result = sink_write(&r->out, data, len, done);
    r->written += *done - before;
    if (*done > before) r->at_line_start = data[*done - 1] == '\n';
    if (result == SINK_BLOCKED) return false;
    if (result != SINK_DONE) output_lost_for_good(l, result);
    return true;
}

static bool flush_held(loop *l) {
    size_t before = l->held_done;
    bool gone;
    if (!l->held) return true;
    gone = put_out(l, l->held->data, l->held_len, &l->held_done);
    stream_flow_consumed(&l->r.flow, (gone ? l->held_len : l->held_done) - before);
    if (!gone) return false;
    stream_pool_release(l->held);
    l->held = NULL;
    return true;
}

static bool flush_made(loop *l) {
    run *r = &l->r;
    if (!put_out(l, r->made.ptr, r->made.len, &r->made_done)) return false;
    r->made.len = r->made_done = 0;
    return true;
}

/* The pipeline's source. In raw mode the bytes are on their way out before anyone reads them. */
static stream_status read_source(void *ctx, void *data, size_t cap, size_t *got) {
    loop *l = (loop *)ctx;
    run *r = &l->r;
    stream_source source = stream_source_fd(l->source);
    stream_status status;
    if (!flush_held(l)) return STREAM_EMPTY;
    if (l->reads++ == READS_A_TURN) {
        l->more = true;
        return STREAM_EMPTY;
    }
    if (l->may_block && !l->readable) return l->give_up ? STREAM_END : STREAM_EMPTY;
    status = source.read(source.ctx, data, cap, got);
    l->readable = false;
    if (status == STREAM_EMPTY && l->give_up) return STREAM_END;
    if (status == STREAM_E_IO) view_say(r, "stream_wrap: reading: %s", strerror(errno));
    if (status != STREAM_OK) return status;
    l->read_ns = l->quiet_ns = r->last_ns = stream_now_ns();
    if (r->opt.output == OUTPUT_RAW) {
        size_t done = 0;
        if (!put_out(l, (const char *)data, *got, &done)) {
            l->held = stream_pool_retain(stream_pool_buf_of(data));
            l->held_len = *got;
            l->held_done = done;
        }
        if (!r->stdout_closed) { /* consumed first: what went straight through never lagged */
            stream_flow_consumed(&r->flow, done);
            stream_flow_sent(&r->flow, *got);
        }
    }
    return STREAM_OK;
}

/* Reads and decodes until the source has no more, its turn is over, or our output takes no more. */
static void pump(loop *l) {
    run *r = &l->r;
    l->reads = 0;
    l->more = false;
    while (!l->ended && flush_made(l)) {
        stream_item item;
        stream_status status = stream_pipeline_next(&r->pipe, &item);
        if (status == STREAM_EMPTY) break;
        if (status == STREAM_END) {
            l->ended = true;
            r->session.unterminated |= (item.flags & STREAM_UNTERMINATED) != 0;
            output_end(r, stream_now_ns());
            flush_made(l);
        } else if (status == STREAM_OK) {
            r->session.unterminated |= (item.flags & STREAM_UNTERMINATED) != 0;
            output_record(r, &item, l->read_ns);
        } else if (status == STREAM_FULL) { /* no read buffer to be had: this is the end */
            view_say(r, "stream_wrap: %s", stream_status_text(STREAM_E_NOMEM));
            output_lost_for_good(l, SINK_CLOSED);
            r->write_failed = l->ended = l->give_up = true;
        } else if (status != STREAM_E_IO) {
            output_lost(r, status, &item, l->read_ns);
        }
        if (r->pipe.loaned == 0 && l->read_ns) stream_histogram_add(&r->latency, stream_now_ns() - l->read_ns);
    }
}

/* Passes on what the ring holds, as far as our standard error takes it. */
static void pass_stderr(run *r, uint64_t now_ns) {
    stderr_ring *ring = &r->err_ring;
    if (ring->passed < ring->in) view_hide(r);
    while (ring->passed < ring->in) {
        size_t at = (size_t)(ring->passed % STDERR_KEPT), done = 0;
        size_t len = (size_t)(ring->in - ring->passed);
        sink_result result;
        if (len > STDERR_KEPT - at) len = STDERR_KEPT - at;
        result = sink_write(&r->err, ring->bytes + at, len, &done);
        ring->passed += done;
        if (done) {
            ring->moved_ns = now_ns;
            r->err_at_line_start = ring->bytes[at + done - 1] == '\n';
        }
        if (result == SINK_BLOCKED) return;
        if (result != SINK_DONE) { /* nobody reads our standard error */
            ring->dropped += ring->in - ring->passed;
            ring->passed = ring->in;
        }
    }
    ring->moved_ns = now_ns;
}

/* How much may be read into the ring now: 0 while a full one is given its time. */
static size_t stderr_room(const run *r, uint64_t now_ns) {
    const stderr_ring *ring = &r->err_ring;
    bool may_drop = r->opt.child_stderr != STDERR_PASS || since_ns(now_ns, ring->moved_ns) >= STDERR_PATIENCE_NS;
    size_t at = (size_t)(ring->in % STDERR_KEPT), room = STDERR_KEPT - at;
    size_t spare = may_drop ? STDERR_KEPT : STDERR_KEPT - (size_t)(ring->in - ring->passed);
    return room < spare ? room : spare;
}

/* Drains the child's standard error into the ring. */
static void read_stderr(loop *l, uint64_t now_ns) {
    run *r = &l->r;
    stderr_ring *ring = &r->err_ring;
    unsigned reads;
    for (reads = 0; r->child.err >= 0 && reads < READS_A_TURN; reads++) {
        size_t room = stderr_room(r, now_ns), got;
        stream_source source = stream_source_fd(r->child.err);
        stream_status status;
        if (room == 0) return;
        status = source.read(source.ctx, ring->bytes + (size_t)(ring->in % STDERR_KEPT), room, &got);
        if (status == STREAM_EMPTY && !l->give_up) return;
        if (status != STREAM_OK) {
            close(r->child.err);
            r->child.err = -1;
            return;
        }
        l->quiet_ns = now_ns;
        ring->in += got;
        if (r->opt.child_stderr == STDERR_PASS) {
            if (ring->in - ring->passed > STDERR_KEPT) {
                ring->dropped += ring->in - ring->passed - STDERR_KEPT;
                ring->passed = ring->in - STDERR_KEPT;
            }
            pass_stderr(r, now_ns);
        }
    }
}

/* Our standard input on its way to the child's, one small buffer at a time: while the child takes nothing,
   nothing is read, and its output is drained all the same. */
static void feed_child(loop *l) {
    run *r = &l->r;
    while (r->child.in >= 0) {
        ssize_t n;
        if (l->input_done < l->input_len) {
            n = write(r->child.in, l->input + l->input_done, l->input_len - l->input_done);
            if (n > 0) l->input_done += (size_t)n;
            else if (errno == EAGAIN) return;
            else if (errno != EINTR) break; /* it reads no more: its own business */
        } else if (!l->input_readable) {
            return;
        } else {
            l->input_readable = false; /* ours may block: one read for each poll */
            n = read(0, l->input, sizeof l->input);
            if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) break;
            l->input_len = n > 0 ? (size_t)n : 0;
            l->input_done = 0;
        }
    }
    if (r->child.in >= 0) close(r->child.in);
    r->child.in = -1;
}

static void take_signals(loop *l, uint64_t now_ns) {
    run *r = &l->r;
    char bytes[64];
    ssize_t n, i;
    while ((n = read(signal_pipe[0], bytes, sizeof bytes)) > 0) {
        for (i = 0; i < n; i++) {
            if (bytes[i] == SIGCHLD) continue;
            /* Asked twice, we no longer wait for anyone. */
            if (l->stop_signal) stop_child(l, SIGKILL, now_ns);
            l->stop_signal = bytes[i];
            if (r->has_child && !r->child_done) stop_child(l, bytes[i], now_ns);
            else l->give_up = true;
        }
    }
    if (r->has_child && !r->child_done && child_reap(&r->child)) {
        r->child_done = true;
        l->quiet_ns = now_ns;
    }
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* Whether our standard error should be given more time to take what is there for it. */
static bool stderr_waits(const run *r, uint64_t now_ns) {
    return r->opt.child_stderr == STDERR_PASS && r->err_ring.passed < r->err_ring.in &&
           since_ns(now_ns, r->err_ring.moved_ns) < STDERR_PATIENCE_NS;
}

/* Deadlines: SIGKILL for a child that will not stop, and the end of waiting for a pipe that something the
   child started still holds. Returns how long until the next. */
static uint64_t look_at_clock(loop *l, uint64_t now_ns) {
    run *r = &l->r;
    uint64_t wait = UINT64_MAX;
    if (r->has_child && !r->child_done && l->kill_ns != UINT64_MAX) {
        if (now_ns >= l->kill_ns) {
            child_signal(&r->child, SIGKILL);
            l->kill_ns = now_ns + r->opt.grace_ns;
        }
        wait = least(wait, l->kill_ns - now_ns);
    }
    if (r->child_done && !l->give_up) {
        uint64_t linger = r->stdout_closed || l->stop_signal ? 0 : r->opt.linger_ns;
        if (l->held || r->made.len > 0 || l->more) l->quiet_ns = now_ns;
        if (since_ns(now_ns, l->quiet_ns) >= linger) l->give_up = true;
        wait = least(wait, l->give_up ? 0 : linger - since_ns(now_ns, l->quiet_ns));
    }
    if (stderr_waits(r, now_ns)) wait = least(wait, STDERR_PATIENCE_NS - since_ns(now_ns, r->err_ring.moved_ns));
    return wait;
}

static bool finished(const loop *l, uint64_t now_ns) {
    const run *r = &l->r;
    if (r->has_child && !r->child_done) return false;
    if (l->held || r->made.len > 0) return r->stdout_closed || (l->give_up && l->stop_signal);
    return l->ended && r->child.err < 0 && !stderr_waits(r, now_ns);
}

static void wait_for_events(loop *l, uint64_t wait_ns) {
    run *r = &l->r;
    struct pollfd fds[6];
    bool blocked = l->held || r->made.len > 0;
    bool err_waits = r->opt.child_stderr == STDERR_PASS && r->err_ring.passed < r->err_ring.in;
    int timeout = -1, i;
    if (wait_ns != UINT64_MAX) timeout = wait_ns > UINT64_C(3600000000000) ? 3600000 : (int)((wait_ns + 999999) / 1000000);
    if (l->more && !blocked) timeout = 0;
    for (i = 0; i < 6; i++) fds[i].fd = -1, fds[i].events = POLLIN, fds[i].revents = 0;
    fds[0].fd = signal_pipe[0];
    if (!blocked && !l->ended) fds[1].fd = l->source;
    if (stderr_room(r, stream_now_ns()) > 0) fds[2].fd = r->child.err;
    if (!r->stdout_closed) fds[3].fd = r->out.fd;
    fds[3].events = blocked ? POLLOUT : 0; /* 0: only whether its reader has gone */
    if (err_waits) fds[4].fd = r->err.fd;
    fds[4].events = POLLOUT;
    if (r->child.in >= 0) {
        bool full = l->input_done < l->input_len;
        fds[5].fd = full ? r->child.in : 0;
        fds[5].events = full ? POLLOUT : POLLIN;
    }
    if (poll(fds, 6, timeout) < 0) return;
    l->readable = fds[1].revents != 0;
    l->input_readable = fds[5].fd == 0 && fds[5].revents != 0;
    if (!blocked && (fds[3].revents & (POLLERR | POLLHUP | POLLNVAL))) output_lost_for_good(l, SINK_CLOSED);
}

/* A program may be started with a standard descriptor closed; then the next open would take its number. */
static void open_standard_descriptors(void) {
    int fd;
    do fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= 2);
    if (fd > 2) close(fd);
}

static bool start_child(run *r, int *exit_code) {
    const char *input = r->opt.input;
    child_stdin kind = strcmp(input, "null") == 0      ? CHILD_STDIN_NULL
                       : strcmp(input, "inherit") == 0 ? CHILD_STDIN_INHERIT
                       : strcmp(input, "-") == 0       ? CHILD_STDIN_PIPE
                                                       : CHILD_STDIN_FILE;
    int file = -1, error;
    if (kind == CHILD_STDIN_FILE && (file = open(input, O_RDONLY | O_CLOEXEC)) < 0) {
        fprintf(stderr, "stream_wrap: --stdin %s: %s\n", input, strerror(errno));
        return false;
    }
    error = child_start(&r->child, r->opt.command, kind, file) == 0 ? 0 : errno;
    if (file >= 0) close(file);
    if (error) {
        *exit_code = error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
        fprintf(stderr, "stream_wrap: cannot run %s: %s\n", r->opt.command[0], strerror(error));
    }
    return error == 0;
}

static bool start(loop *l, int *exit_code) {
    run *r = &l->r;
    stream_pool_desc pool;
    stream_json_desc json;
    stream_pipeline_desc pipe;
    stream_flow_desc flow;
    struct stat out, err;
    size_t granted;

    r->started_ns = r->last_ns = l->quiet_ns = stream_now_ns();
    l->kill_ns = UINT64_MAX;
    r->child.in = r->child.out = r->child.err = -1;
    r->at_line_start = r->err_at_line_start = true;
    *exit_code = EXIT_OWN;
    memset(&pool, 0, sizeof pool);
    pool.tiers[0].size = r->opt.buffer;
    pool.tiers[0].count = 4;
    memset(&json, 0, sizeof json);
    json.max_len = r->opt.max_record;
    memset(&flow, 0, sizeof flow);
    flow.size = r->opt.buffer / 4 + 1; /* half a buffer waiting is a slow reader */
    memset(&pipe, 0, sizeof pipe);
    pipe.source.ctx = l;
    pipe.source.read = read_source;
    pipe.buffer_len = r->opt.buffer;
    if (stream_pool_init(&r->pool, &pool) != STREAM_OK || stream_json_init(&r->json, &json) != STREAM_OK ||
        stream_flow_init(&r->flow, &flow) != STREAM_OK ||
        (pipe.buffers = stream_pool_buffers(&r->pool), pipe.decoder = stream_json_decoder(&r->json),
         stream_pipeline_init(&r->pipe, &pipe)) != STREAM_OK) {
        fprintf(stderr, "stream_wrap: --buffer %zu or --max-record %zu is out of range\n", r->opt.buffer,
                r->opt.max_record);
        return false;
    }
    if (!catch_signals()) {
        fprintf(stderr, "stream_wrap: %s\n", strerror(errno));
        return false;
    }
    if (r->opt.command) {
        if (!start_child(r, exit_code)) return false;
        r->has_child = true;
        l->source = r->child.out;
        /* A child that ends before its pipe is drained cannot lose what is in it; the larger the pipe,
           the less often a burst makes it wait. */
        stream_kernel_buffer(r->child.out, CHILD_PIPE, &granted);
        stream_kernel_buffer(r->child.err, 65536, &granted);
    } else {
        l->source = 0;
        l->may_block = true;
    }
    sink_open(&r->out, 1);
    sink_open(&r->err, 2);
    if (fstat(1, &out) == 0 && fstat(2, &err) == 0)
        r->same_terminal = isatty(1) && isatty(2) && out.st_rdev == err.st_rdev;
    view_start(r);
    return true;
}

static int run_loop(loop *l) {
    run *r = &l->r;
    for (;;) {
        uint64_t now_ns = stream_now_ns(), wait_ns;
        take_signals(l, now_ns);
        feed_child(l);
        if (r->opt.child_stderr == STDERR_PASS) pass_stderr(r, now_ns);
        read_stderr(l, now_ns);
        if (flush_held(l)) pump(l);
        now_ns = stream_now_ns();
        wait_ns = look_at_clock(l, now_ns);
        if (finished(l, now_ns)) break;
        wait_for_events(l, least(wait_ns, view_tick(r, now_ns)));
    }
    r->exit_code = r->has_child ? child_exit_code(&r->child) : 0;
    if (r->write_failed) r->exit_code = EXIT_OWN;
    else if (r->stdout_closed && !r->opt.drain_when_closed) r->exit_code = EXIT_CLOSED;
    else if (l->stop_signal && !r->has_child) r->exit_code = 128 + l->stop_signal;
    else if (r->exit_code == 0 && r->session.truncated && r->session.unterminated) r->exit_code = EXIT_CUT;
    return r->exit_code;
}

/* What the child said last, when that is all there is to explain its failure. */
static void show_stderr_tail(run *r) {
    stderr_ring *ring = &r->err_ring;
    if (r->opt.child_stderr != STDERR_TAIL || r->exit_code == 0 || ring->in == 0) return;
    if (ring->in > STDERR_SHOWN) {
        ring->passed = ring->in - STDERR_SHOWN;
        view_say(r, "stream_wrap: the last %d of %llu bytes of standard error:", STDERR_SHOWN,
                 (unsigned long long)ring->in);
    }
    pass_stderr(r, 0);
}

int main(int argc, char **argv) {
    static loop l; /* static: zeroed, and too large for a small stack */
    int exit_code;
    open_standard_descriptors();
    if (!options_parse(&l.r.opt, argc, argv, &exit_code)) return exit_code;
    if (!start(&l, &exit_code)) return exit_code;
    exit_code = run_loop(&l);
    show_stderr_tail(&l.r);
    if (l.r.opt.child_stderr == STDERR_PASS) l.r.err_ring.dropped += l.r.err_ring.in - l.r.err_ring.passed;
    l.r.session.state = SESSION_EXIT;
    view_end(&l.r, stream_now_ns());
    stream_pipeline_free(&l.r.pipe);
    stream_json_free(&l.r.json);
    stream_pool_free(&l.r.pool);
    text_free(&l.r.made);
    text_free(&l.r.scratch);
    sink_close(&l.r.out);
    sink_close(&l.r.err);
    return exit_code;
}
