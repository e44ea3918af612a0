/* SPDX-License-Identifier: MIT-0
   Where the bytes go: source -> our standard output, the child's standard error -> ours, our standard input
   -> the child's. Each is a lane of stream_io with at most one operation under way.

   The source's lane has one buffer, which is passed on first and decoded second; it is read into again when
   both are done. So while our standard output takes no more, the child is not read: its own pipe fills, and
   it waits. Pressure goes back to where it belongs, and memory stays where it was. A stream in full flow from
   pipe to pipe is lent to our standard output before it is read, which then takes no copy of its own. */
#include "wrap.h"

#define FILE_AGAIN_NS UINT64_C(20000000) /* between two looks at what has ended for now */
#define MADE_AT_ONCE  65536 /* bytes of text or events after which decoding waits for them to be written */

static bool open_lane(run *r, lane *l, stream_fd fd) {
    return stream_io_attach(r->io, &l->file, fd) == STREAM_OK;
}

bool pipes_open_child(run *r) {
    return open_lane(r, &r->source, r->child.out) && open_lane(r, &r->child_err, r->child.err) &&
           (r->child.in == -1 || open_lane(r, &r->child_in, r->child.in));
}

bool pipes_open(run *r) {
    bool good =
        open_lane(r, &r->out, console_fd(CONSOLE_OUT)) && open_lane(r, &r->err, console_fd(CONSOLE_ERR));
    if (good && r->has_child && r->child.in != -1)
        good = open_lane(r, &r->input, console_fd(CONSOLE_IN)) &&
               text_room(&r->input_bytes, r->opt.input_chunk);
    if (good) good = r->has_child ? pipes_open_child(r) : open_lane(r, &r->source, console_fd(CONSOLE_IN));
    if (!good || (r->opt.output != OUTPUT_RAW && !text_room(&r->made, 2 * MADE_AT_ONCE))) return false;
    r->same_terminal = console_is_one();
    r->lends = r->opt.output == OUTPUT_RAW;
    r->at_line_start = r->err_at_line_start = true;
    /* Where a descriptor cannot be waited for, a write will tell. */
    (void)stream_io_poll(r->io, &r->gone, &r->out.file, 0);
    return true;
}

static void close_lane(run *r, lane *l) { stream_io_close(r->io, &l->file); }

static bool is_open(const lane *l) { return l->file.io != NULL && l->file.fd != -1; }

bool pipes_blocked(const run *r) { return r->out_len > 0 || r->made.len > 0; }

/* ---- our standard output -------------------------------------------------------------------------- */

/* Nobody reads our output any more, or it cannot be written. */
static void output_lost_for_good(run *r, bool failed, int os_error) {
    if (r->stdout_closed) return;
    r->stdout_closed = true;
    r->made.len = 0;
    if (failed) {
        r->write_failed = true;
        if (os_error) view_say(r, "stream_wrap: standard output: %s", console_error_text(os_error));
    }
    if (failed || !r->opt.drain_when_closed) {
        stop_child(r, CHILD_TERMINATE);
        if (!r->has_child) r->give_up = true;
    }
}

static void put_out(run *r, const char *data, size_t len) {
    if (r->stdout_closed || len == 0) return;
    r->out_ptr = data;
    r->out_len = len;
}

/* The status line leaves the terminal before something else comes to it. */
static void out_go(run *r) {
    if (r->out_len == 0 && r->made.len > 0) put_out(r, r->made.ptr, r->made.len);
    if (r->out_len == 0 || r->out.busy) return;
    if (r->same_terminal) {
        view_hide(r);
        if (r->err.busy || r->said.len > 0) return;
    }
    r->out.busy = stream_io_write(r->io, &r->out.op, &r->out.file, r->out_ptr, r->out_len) == STREAM_OK;
}

static void out_done(run *r) {
    const stream_io_op *op = &r->out.op;
    r->out.busy = false;
    r->written += op->bytes;
    if (op->bytes > 0) r->at_line_start = r->out_ptr[op->bytes - 1] == '\n';
    if (r->out_ptr == r->made.ptr)
        r->made.len = 0;
    else if (r->buf && r->out_ptr == r->buf->data)
        stream_flow_consumed(&r->flow, r->out_len);
    r->out_len = 0;
    if (op->status != STREAM_OK) output_lost_for_good(r, !console_gone(op->os_error), op->os_error);
}

/* ---- the source ----------------------------------------------------------------------------------- */

/* Decodes until the buffer is used up, or enough was made of it to be written first. */
static void decode(run *r) {
    while (r->decoding && r->made.len < MADE_AT_ONCE) {
        stream_item item;
        stream_status status = stream_json_next(&r->json, &item);
        if (status == STREAM_MORE) {
            r->decoding = false;
            if (r->read_ns) stream_histogram_add(&r->latency, stream_now_ns() - r->read_ns);
        } else if (status == STREAM_END) {
            r->decoding = false;
            r->ended = true;
            r->session.unterminated |= (item.flags & STREAM_UNTERMINATED) != 0;
            output_end(r, stream_now_ns());
        } else if (status == STREAM_OK) {
            r->session.unterminated |= (item.flags & STREAM_UNTERMINATED) != 0;
            output_record(r, &item, r->read_ns);
        } else {
            output_lost(r, status, &item, r->read_ns);
        }
    }
    if (r->stdout_closed) r->made.len = 0;
}

/* The end of the source: what is left in the decoder is the last. */
static void source_ended(run *r) {
    if (r->ended) return;
    stream_json_finish(&r->json);
    r->decoding = true;
}

/* Only when much has come, as each page it lies in takes a place in our reader's pipe. What is lent is read
   next, by nobody else. Whatever cannot be lent is read and written. */
static void lend(run *r) {
    ptrdiff_t n;
    if (!r->lends || !r->flows || r->lent > 0 || r->stdout_closed) return;
    n = console_lend(r->source.file.fd, r->out.file.fd, r->opt.buffer);
    if (n < 0) r->lends = false;
    else r->lent = (size_t)n;
}

static void source_go(run *r) {
    if (r->decoding && r->out_len == 0) decode(r);
    if (r->ended || r->decoding || r->source.busy || pipes_blocked(r) || tee_full(r)) return;
    if (r->retry_ns && !r->give_up && stream_now_ns() < r->retry_ns) return;
    if (r->shared) { /* another one: the tee still reads this */
        stream_pool_release(r->buf);
        r->buf = NULL;
        r->shared = false;
    }
    if (!r->buf && stream_pool_acquire(&r->pool, r->opt.buffer, &r->buf) != STREAM_OK) {
        view_say(r, "stream_wrap: --buffer %llu: %s", (unsigned long long)r->opt.buffer,
                 stream_status_text(STREAM_E_NOMEM));
        output_lost_for_good(r, true, 0);
        r->ended = r->give_up = true;
        return;
    }
    lend(r);
    r->source.busy = stream_io_read(r->io, &r->source.op, &r->source.file, r->buf->data,
                                    r->lent > 0 ? r->lent : r->opt.buffer) == STREAM_OK;
}

static void source_done(run *r) {
    const stream_io_op *op = &r->source.op;
    r->source.busy = false;
    if (op->status == STREAM_END && r->has_child && !r->give_up &&
        (r->opt.pty ? !r->child_done : r->opt.child_stdout == CHILD_STDOUT_FILE)) { /* for now */
        /* A terminal that nobody has open ends, too, and a child may open its own again. */
        r->retry_ns = stream_now_ns() + FILE_AGAIN_NS;
        if (r->child_done && r->child.tree_gone) r->give_up = true;
        return;
    }
    if (op->status != STREAM_OK) {
        if (op->status == STREAM_E_IO) { /* nobody will read what is still to come */
            view_say(r, "stream_wrap: reading: %s", console_error_text(op->os_error));
            r->read_failed = true;
            stop_child(r, CHILD_TERMINATE);
        }
        stream_pool_release(r->buf);
        r->buf = NULL;
        r->shared = false;
        source_ended(r);
        return;
    }
    r->read_ns = stream_now_ns();
    if (since_ns(r->read_ns, r->active_ns) > r->silence_ns)
        r->silence_ns = since_ns(r->read_ns, r->active_ns);
    r->quiet_ns = r->last_ns = r->active_ns = r->read_ns;
    r->bytes += op->bytes;
    watch_heard(r);
    r->shared = tee_take(r, r->buf, op->bytes);
    r->flows = op->bytes >= (r->lent > 0 ? r->opt.buffer / 2 : r->opt.buffer);
    if (r->lent > 0) {
        r->lent -= op->bytes;
        r->written += op->bytes;
        r->at_line_start = r->buf->data[op->bytes - 1] == '\n';
        stream_flow_sent(&r->flow, op->bytes);
        stream_flow_consumed(&r->flow, op->bytes);
    } else if (r->opt.output == OUTPUT_RAW) { /* on its way out before anyone reads it */
        put_out(r, r->buf->data, op->bytes);
        if (r->out_len > 0) stream_flow_sent(&r->flow, op->bytes);
        out_go(r);
    }
    (void)stream_json_feed(&r->json, r->buf->data, op->bytes);
    r->decoding = true;
    decode(r);
}

/* ---- standard error ------------------------------------------------------------------------------- */

/* Bytes that may be read into the ring now, in one piece: 0 while a full one is given its time. */
static size_t stderr_room(run *r, uint64_t now_ns) {
    stderr_ring *ring = &r->err_ring;
    size_t room = STDERR_KEPT - (size_t)(ring->in % STDERR_KEPT), spare;
    if (r->opt.child_stderr != STDERR_PASS) return room;
    spare = STDERR_KEPT - (size_t)(ring->in - ring->passed);
    if (spare == 0 && since_ns(now_ns, ring->moved_ns) >= STDERR_PATIENCE_NS) {
        spare = STDERR_AT_ONCE; /* the oldest make room before anything is read over them */
        ring->passed += spare;
        ring->dropped += spare;
    }
    return room < spare ? room : spare;
}

static void child_err_go(run *r, uint64_t now_ns) {
    size_t room;
    if (!is_open(&r->child_err) || r->child_err.busy) return;
    room = stderr_room(r, now_ns);
    if (room == 0) return;
    r->child_err.busy = stream_io_read(r->io, &r->child_err.op, &r->child_err.file,
                                       r->err_ring.bytes + r->err_ring.in % STDERR_KEPT, room) == STREAM_OK;
}

static void child_err_done(run *r) {
    r->child_err.busy = false;
    if (r->child_err.op.status != STREAM_OK) {
        if (r->child_err.op.status == STREAM_E_IO)
            view_say(r, "stream_wrap: reading standard error: %s", console_error_text(r->child_err.op.os_error));
        close_lane(r, &r->child_err);
        return;
    }
    r->quiet_ns = r->active_ns = stream_now_ns();
    r->err_ring.in += r->child_err.op.bytes;
}

bool pipes_stderr_waits(const run *r, uint64_t now_ns) {
    const stderr_ring *ring = &r->err_ring;
    bool waits = r->err_len > 0 || (r->opt.child_stderr == STDERR_PASS && ring->passed < ring->in);
    return waits && !r->err_gone && since_ns(now_ns, ring->moved_ns) < STDERR_PATIENCE_NS;
}

void pipes_say(run *r, const char *data, size_t len) {
    if (r->err_gone || r->said.len + len > SAID_KEPT || !text_room(&r->said, len)) return;
    memcpy(r->said.ptr + r->said.len, data, len);
    r->said.len += len;
}

/* Nobody reads our standard error: all that waits for it is lost. */
static void stderr_lost(run *r) {
    stderr_ring *ring = &r->err_ring;
    r->err_gone = true;
    r->said.len = 0;
    if (r->opt.child_stderr != STDERR_PASS) return;
    ring->dropped += ring->in - ring->passed;
    ring->passed = ring->in;
}

/* Ours before the child's, but not into the middle of its line. */
static void err_go(run *r, uint64_t now_ns) {
    stderr_ring *ring = &r->err_ring;
    bool theirs = r->opt.child_stderr == STDERR_PASS && ring->passed < ring->in;
    if (r->err_gone && theirs) stderr_lost(r);
    if (r->err.busy || r->err_gone) return;
    if (theirs && r->err_at_line_start) view_hide(r);
    if (r->said.len > 0 && (r->err_at_line_start || !theirs)) {
        r->err_len = r->said.len < sizeof r->err_bytes ? r->said.len : sizeof r->err_bytes;
        memcpy(r->err_bytes, r->said.ptr, r->err_len);
        r->said.len -= r->err_len;
        memmove(r->said.ptr, r->said.ptr + r->err_len, r->said.len);
    } else if (theirs) {
        size_t at = (size_t)(ring->passed % STDERR_KEPT);
        r->err_len = (size_t)(ring->in - ring->passed);
        if (r->err_len > STDERR_KEPT - at) r->err_len = STDERR_KEPT - at;
        if (r->err_len > sizeof r->err_bytes) r->err_len = sizeof r->err_bytes;
        memcpy(r->err_bytes, ring->bytes + at, r->err_len);
        ring->passed += r->err_len;
        r->err_at_line_start = r->err_bytes[r->err_len - 1] == '\n';
    } else {
        ring->moved_ns = now_ns;
        return;
    }
    r->err.busy = stream_io_write(r->io, &r->err.op, &r->err.file, r->err_bytes, r->err_len) == STREAM_OK;
}

static void err_done(run *r) {
    r->err.busy = false;
    r->err_len = 0;
    r->err_ring.moved_ns = stream_now_ns();
    if (r->err.op.status != STREAM_OK) stderr_lost(r);
}

void pipes_flush_said(run *r) {
    uint64_t since = stream_now_ns();
    while ((r->said.len > 0 || r->err.busy) && !r->err_gone) {
        uint64_t now_ns = stream_now_ns();
        stream_io_op *op;
        err_go(r, now_ns);
        while ((op = stream_io_next(r->io)) != NULL) {
            pipes_done(r, op);
            if (op == &r->err.op) since = stream_now_ns();
        }
        if (since_ns(now_ns, since) >= STDERR_PATIENCE_NS) return;
        if (r->err.busy) (void)stream_io_wait(r->io, STDERR_PATIENCE_NS);
    }
}

/* ---- standard input, for the child ---------------------------------------------------------------- */

/* One small buffer at a time: while the child takes nothing, nothing is read, and its output is drained all
   the same. */
static void input_go(run *r) {
    if (!is_open(&r->child_in) || r->input.busy || r->child_in.busy) return;
    r->input.busy = stream_io_read(r->io, &r->input.op, &r->input.file, r->input_bytes.ptr,
                                   r->opt.input_chunk) == STREAM_OK;
}

static void input_done(run *r) {
    r->input.busy = false;
    if (!is_open(&r->child_in)) return;
    if (r->input.op.status == STREAM_OK) {
        r->child_in.busy = stream_io_write(r->io, &r->child_in.op, &r->child_in.file, r->input_bytes.ptr,
                                           r->input.op.bytes) == STREAM_OK;
        return;
    }
    if (r->input.op.status == STREAM_E_IO)
        view_say(r, "stream_wrap: standard input: %s: the child gets no more of it",
                 console_error_text(r->input.op.os_error));
    close_lane(r, &r->child_in); /* the end for us is the end for the child */
}

static void child_in_done(run *r) {
    r->child_in.busy = false;
    if (r->child_in.op.status == STREAM_OK) return;
    close_lane(r, &r->child_in); /* it reads no more: its own business */
    stream_io_cancel(r->io, &r->input.op);
}

/* ---- all of them ---------------------------------------------------------------------------------- */

void pipes_done(run *r, stream_io_op *op) {
    if (op->user)
        endpoint_done(r, op);
    else if (publish_done(r, op))
        return;
    else if (op == &r->out.op)
        out_done(r);
    else if (op == &r->source.op)
        source_done(r);
    else if (op == &r->tee.lane.op)
        tee_done(r);
    else if (op == &r->child_err.op)
        child_err_done(r);
    else if (op == &r->err.op)
        err_done(r);
    else if (op == &r->input.op)
        input_done(r);
    else if (op == &r->child_in.op)
        child_in_done(r);
    else if (op == &r->gone && op->status == STREAM_OK && !r->out.busy)
        output_lost_for_good(r, false, 0);
}

void pipes_go(run *r, uint64_t now_ns) {
    out_go(r);
    source_go(r);
    out_go(r);
    child_err_go(r, now_ns);
    err_go(r, now_ns);
    input_go(r);
}

bool pipes_child_reads(const run *r) {
    return r->has_child && (is_open(&r->child_in) || strcmp(r->opt.input, "inherit") == 0);
}

bool pipes_reading(const run *r) { return r->source.busy || r->child_err.busy; }

void pipes_stop_reading(run *r) {
    if (r->source.busy) stream_io_cancel(r->io, &r->source.op);
    if (r->child_err.busy) stream_io_cancel(r->io, &r->child_err.op);
}

bool pipes_close_child(run *r) {
    lane *const lanes[] = {&r->source, &r->child_err, &r->child_in};
    unsigned i, tries;
    for (i = 0; i < 3; i++) close_lane(r, lanes[i]);
    r->lent = 0; /* what was not read of it any more has arrived all the same */
    r->flows = false;
    for (tries = 0; tries < 10; tries++) {
        stream_io_op *op;
        for (i = 0; i < 3 && lanes[i]->file.pending == 0; i++) {
        }
        if (i == 3) break;
        while ((op = stream_io_next(r->io)) != NULL) pipes_done(r, op);
        (void)stream_io_wait(r->io, 0);
    }
    /* A record that was cut off must not run into the next child's first. */
    if (r->opt.output == OUTPUT_RAW && !r->at_line_start) put_out(r, "\n", 1);
    return i == 3;
}

void pipes_close(run *r) {
    if (r->has_child) {
        close_lane(r, &r->source);
        close_lane(r, &r->child_err);
        close_lane(r, &r->child_in);
    }
    stream_io_cancel(r->io, &r->input.op);
    stream_io_cancel(r->io, &r->gone);
    stream_io_cancel(r->io, &r->out.op); /* what nobody took: its bytes go, too */
    stream_pool_release(r->buf);
    r->buf = NULL;
}
