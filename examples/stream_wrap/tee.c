/* SPDX-License-Identifier: MIT-0
   A copy of what the child writes, in a file or a FIFO. It shares the read buffers, up to TEE_QUEUE of
   them; when they are all waiting, or the disk is full, --tee-policy says who gives way. */
#include "wrap.h"

static bool is_open(const tee_state *t) { return t->lane.file.io != NULL && t->lane.file.fd != -1; }

bool tee_open(run *r) {
    stream_fd fd = console_create(r->opt.tee);
    if (fd == -1) return false;
    if (stream_io_attach(r->io, &r->tee.lane.file, fd) == STREAM_OK) return true;
    console_close(fd);
    return false;
}

static void start(run *r) {
    tee_state *t = &r->tee;
    if (t->count == 0 || t->lane.busy || !is_open(t)) return;
    t->lane.busy = stream_io_write(r->io, &t->lane.op, &t->lane.file, t->queue[0].buf->data,
                                   t->queue[0].len) == STREAM_OK;
}

static void drop_first(tee_state *t) {
    stream_pool_release(t->queue[0].buf);
    t->count--;
    memmove(t->queue, t->queue + 1, t->count * sizeof t->queue[0]);
}

bool tee_take(run *r, stream_pool_buf *buf, size_t len) {
    tee_state *t = &r->tee;
    if (!r->opt.tee) return false;
    if (!is_open(t) || t->count == TEE_QUEUE) {
        t->dropped += len;
        return false;
    }
    t->queue[t->count].buf = stream_pool_retain(buf);
    t->queue[t->count++].len = len;
    start(r);
    return true;
}

bool tee_full(const run *r) {
    return r->opt.tee_policy != TEE_DROP && is_open(&r->tee) && r->tee.count == TEE_QUEUE;
}

void tee_done(run *r) {
    tee_state *t = &r->tee;
    const stream_io_op *op = &t->lane.op;
    t->lane.busy = false;
    t->bytes += op->bytes;
    t->moved_ns = stream_now_ns();
    if (op->status == STREAM_OK) {
        drop_first(t);
        start(r);
        return;
    }
    t->dropped += t->queue[0].len - op->bytes;
    drop_first(t);
    for (; t->count > 0; drop_first(t)) t->dropped += t->queue[0].len;
    stream_io_close(r->io, &t->lane.file);
    if (op->status == STREAM_CANCELLED) return;
    t->failed = true;
    view_say(r, "stream_wrap: --tee %s: %s; %s", r->opt.tee, console_error_text(op->os_error),
             r->opt.tee_policy == TEE_STOP ? "stopping" : "going on without it");
    if (r->opt.tee_policy != TEE_STOP) return;
    r->write_failed = true;
    stop_child(r, CHILD_TERMINATE);
    if (!r->has_child) r->give_up = true;
}

/* With `drop` a reader that takes nothing is not waited for at the end either. */
bool tee_waits(const run *r, uint64_t now_ns) {
    const tee_state *t = &r->tee;
    if (!t->lane.busy) return false;
    return r->opt.tee_policy != TEE_DROP || since_ns(now_ns, t->moved_ns) < STDERR_PATIENCE_NS;
}

void tee_close(run *r) {
    tee_state *t = &r->tee;
    stream_io_op *op;
    unsigned tries = 0;
    if (t->lane.busy) stream_io_cancel(r->io, &t->lane.op); /* how far did it come? */
    for (; t->lane.busy && tries < 10; tries++) {
        while ((op = stream_io_next(r->io)) != NULL) pipes_done(r, op);
        if (t->lane.busy) (void)stream_io_wait(r->io, STDERR_PATIENCE_NS);
    }
    stream_io_close(r->io, &t->lane.file);
}
