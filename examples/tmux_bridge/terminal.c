/* SPDX-License-Identifier: MIT-0
   One tmux session. Its control connection is always read, so tmux never waits for us; of what it says
   about output only that there was some is used. Then, at most once in an interval, the pane is captured,
   whatever happened in between: a flood costs as much as a clock. A pane that is quiet costs nothing. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bridge.h"

enum { TAG_IGNORE = 0, TAG_PANE, TAG_STATE, TAG_CAPTURE, TAG_HISTORY, TAG_BITS = 3 };
#define RETRY_NS UINT64_C(1000000000)
#define SETTLE_NS UINT64_C(250000000)

static void set_timer(terminal *t);
static void terminal_lost(terminal *t, const char *why);
static void find_settled(bridge *b);

/* ---- commands to tmux ---------------------------------------------------------------------------------- */

/* command, a quoted argument, LF. */
static bool add_quoted(terminal *t, const char *command, const char *bytes, size_t len) {
    text_buffer quoted = {NULL, 0, 0};
    stream_status status = STREAM_E_NOMEM;
    if (control_quote(&quoted, bytes, len))
        status = control_command(&t->control, &t->out, TAG_IGNORE, "%s %.*s", command, (int)quoted.len,
                                 quoted.ptr);
    text_free(&quoted);
    return status == STREAM_OK;
}

static void say_want(terminal *t) {
    if (!t->in_want) bridge_log("session %s: no memory; trying again", t->name);
    t->in_want = true;
}

static uint64_t next_capture_ns(const terminal *t) { return t->captured_ns + t->bridge->options.interval_ns; }

static void start_timer(terminal *t) {
    if (!t->timing &&
        stream_io_timer(&t->bridge->server.io, &t->timer_op.op, next_capture_ns(t)) == STREAM_OK)
        t->timing = true;
}

/* What there was no memory for is done again after an interval. */
static void again(terminal *t) {
    say_want(t);
    t->captured_ns = stream_now_ns();
    start_timer(t);
}

/* What was typed while tmux was being written to is one command. */
static void add_typed(terminal *t) {
    char command[64];
    if (t->typed.len == 0) return;
    snprintf(command, sizeof command, "send-keys -t %%%u -l --", (unsigned)t->pane);
    if (add_quoted(t, command, t->typed.ptr, t->typed.len)) t->typed.len = 0;
    else again(t); /* what was typed waits */
}

static void flush(terminal *t) {
    text_buffer swap;
    if (t->writing || t->state == TERMINAL_DOWN) return;
    if (t->pane_known) add_typed(t);
    if (t->out.len == 0) return;
    swap = t->flying;
    t->flying = t->out;
    t->out = swap;
    t->out.len = 0;
    if (stream_io_write(&t->bridge->server.io, &t->write_op.op, &t->in_file, t->flying.ptr, t->flying.len) ==
        STREAM_OK)
        t->writing = true;
}

/* With those whose input had to wait: tmux has taken some, or has answered. */
static void go_on(terminal *t) {
    viewer *v;
    for (v = t->viewers; v && terminal_takes_input(t); v = v->next) viewer_resume(v);
}

static void on_written(server_op *op) {
    terminal *t = (terminal *)op->owner;
    t->writing = false;
    if (op->op.status == STREAM_CANCELLED || t->state == TERMINAL_DOWN) return;
    if (op->op.status != STREAM_OK) {
        terminal_lost(t, "tmux takes no more commands");
        return;
    }
    flush(t);
    go_on(t);
}

bool terminal_takes_input(const terminal *t) {
    return t->state == TERMINAL_DOWN ||
           (t->out.len + t->typed.len < INPUT_WAITS && t->control.queued + 64 < t->control.max_queue);
}

static void find_pane(terminal *t) {
    t->asked = control_command(&t->control, &t->out, TAG_PANE, "display-message -p -t '$%u:' '#{pane_id}'",
                               (unsigned)t->session) == STREAM_OK;
    if (!t->asked) again(t);
    flush(t);
}

static bool ready(const terminal *t) { return t->state == TERMINAL_UP && t->pane_known; }

stream_status terminal_type(terminal *t, const char *text, size_t len) {
    if (!ready(t) || len == 0) return STREAM_E_STATE;
    if (!text_room(&t->typed, len)) return STREAM_E_NOMEM;
    memcpy(t->typed.ptr + t->typed.len, text, len);
    t->typed.len += len;
    flush(t);
    return STREAM_OK;
}

stream_status terminal_key(terminal *t, const char *name, size_t len) {
    char command[64];
    if (!ready(t)) return STREAM_E_STATE;
    add_typed(t); /* in the order in which it came */
    snprintf(command, sizeof command, "send-keys -t %%%u --", (unsigned)t->pane);
    if (t->typed.len || !add_quoted(t, command, name, len)) return STREAM_E_NOMEM;
    flush(t);
    return STREAM_OK;
}

stream_status terminal_paste(terminal *t, uint64_t id, bool first, bool last, const char *text, size_t len) {
    char command[96], name[48];
    if (!ready(t)) return STREAM_E_STATE;
    snprintf(name, sizeof name, "tmux_bridge_%u_%llu", (unsigned)getpid(), (unsigned long long)id);
    add_typed(t);
    if (t->typed.len) return STREAM_E_NOMEM;
    if (len || first) {
        snprintf(command, sizeof command, "set-buffer %s-b %s --", first ? "" : "-a ", name);
        if (!add_quoted(t, command, text, len)) return STREAM_E_NOMEM;
    }
    if (last && control_command(&t->control, &t->out, TAG_IGNORE, "paste-buffer -p -d -b %s -t %%%u", name,
                                (unsigned)t->pane) != STREAM_OK)
        return STREAM_E_NOMEM;
    flush(t);
    return STREAM_OK;
}

stream_status terminal_resize(terminal *t, viewer *v, unsigned cols, unsigned rows) {
    if (!ready(t)) return STREAM_E_STATE;
    /* Until now this client's size was to be ignored. What the session makes of it is for its window-size
       option to say, which is not touched. */
    if (!t->owner &&
        control_command(&t->control, &t->out, TAG_IGNORE, "refresh-client -f '!ignore-size'") != STREAM_OK)
        return STREAM_E_NOMEM;
    t->owner = v;
    t->letting_go = false;
    if (control_command(&t->control, &t->out, TAG_IGNORE, "refresh-client -C %ux%u", cols, rows) != STREAM_OK)
        return STREAM_E_NOMEM;
    flush(t);
    return STREAM_OK;
}

static void let_go(terminal *t) {
    t->letting_go =
        control_command(&t->control, &t->out, TAG_IGNORE, "refresh-client -f ignore-size") != STREAM_OK;
    if (t->letting_go) again(t);
    flush(t);
}

void terminal_let_go(terminal *t, viewer *v) {
    if (t->owner != v) return;
    t->owner = NULL;
    if (t->state == TERMINAL_UP) let_go(t);
}

stream_status terminal_history(terminal *t, uint64_t id, uint32_t first, uint32_t count) {
    uint32_t total = t->now.history, end;
    if (!ready(t) || t->bridge->capturing >= MAX_CAPTURES || t->control.queued + 2 > t->control.max_queue)
        return STREAM_E_STATE;
    end = first < total ? first : total;
    if (count > MAX_HISTORY) count = MAX_HISTORY;
    if (count > end) count = end;
    if (count == 0) {
        viewer_old(t, id, 0, total, stream_slice_of(NULL, 0));
        return STREAM_OK;
    }
    /* Lines are asked for by how far they are from the screen. What they are called then is only known when
       tmux says how many there are by now; nothing comes between the two commands. */
    if (control_command(&t->control, &t->out, id << TAG_BITS | TAG_HISTORY,
                        "display-message -p -t %%%u '%u #{history_size}'", (unsigned)t->pane,
                        (unsigned)(total - (end - count))) != STREAM_OK)
        return STREAM_E_NOMEM;
    if (control_command(&t->control, &t->out, id << TAG_BITS | TAG_HISTORY,
                        "capture-pane -p -e -N -t %%%u -S -%u -E -%u", (unsigned)t->pane,
                        (unsigned)(total - (end - count)), (unsigned)(total - end + 1)) != STREAM_OK)
        terminal_lost(t, "no memory"); /* half of it was said */
    flush(t);
    return STREAM_OK;
}

/* ---- captures ------------------------------------------------------------------------------------------ */

/* While nobody watches there is nothing to be known. */
static bool is_watched(const terminal *t) { return t->viewing || t->bridge->options.record; }

static void capture(terminal *t) {
    bridge *b = t->bridge;
    if (!ready(t) || t->capturing || !t->dirty) return;
    if (!is_watched(t)) {
        t->stale = true;
        return;
    }
    if (b->capturing >= MAX_CAPTURES || t->control.queued + 3 > t->control.max_queue) {
        /* Soon there is room. */
        t->captured_ns = stream_now_ns();
        start_timer(t);
        return;
    }
    if (t->paused) { /* without this nothing would be heard of the pane any more */
        t->paused = control_command(&t->control, &t->out, TAG_IGNORE, "refresh-client -A '%%%u:continue'",
                                    (unsigned)t->pane) != STREAM_OK;
    }
    if (t->paused ||
        control_command(&t->control, &t->out, TAG_STATE, "display-message -p -t %%%u '%s'", (unsigned)t->pane,
                        screen_format) != STREAM_OK ||
        control_command(&t->control, &t->out, TAG_CAPTURE, "capture-pane -p -e -N -t %%%u",
                        (unsigned)t->pane) != STREAM_OK) {
        again(t);
        return;
    }
    t->dirty = false;
    t->capturing = true;
    b->capturing++;
    b->metrics.captures++;
    t->captured_ns = stream_now_ns();
    t->state_text.len = 0;
    t->state_lost = false;
    flush(t);
}

void terminal_watched(terminal *t) {
    if (t->dirty && !t->capturing) set_timer(t);
}

/* Our own server is not to outlive us, however we end. */
static void bind_to_us(terminal *t) {
    t->unbound = control_command(&t->control, &t->out, TAG_IGNORE, "set-option -t '$%u:' destroy-unattached on",
                                 (unsigned)t->session) != STREAM_OK;
    if (t->unbound) again(t);
    flush(t);
}

static void on_timer(server_op *op) {
    terminal *t = (terminal *)op->owner;
    t->timing = false;
    if (op->op.status != STREAM_OK || t->state != TERMINAL_UP) return;
    if (t->unbound) bind_to_us(t);
    if (!t->asked) find_pane(t);
    if (t->letting_go) let_go(t);
    capture(t);
    flush(t); /* what was typed, and there was no memory for */
}

static void set_timer(terminal *t) {
    if (t->timing) return;
    if (stream_now_ns() >= next_capture_ns(t)) capture(t);
    else start_timer(t);
}

static void changed(terminal *t) {
    if (t->dirty) return;
    t->dirty = true;
    if (!t->capturing) set_timer(t);
}

/* The next screen is the present one from here on. */
static void publish(terminal *t) {
    bridge *b = t->bridge;
    screen swap;
    viewer *v;
    stream_status status;
    t->made.len = 0;
    status = t->number == 0 ? STREAM_E_STATE : screen_write_delta(&t->now, &t->next, t->number + 1, &t->made);
    if (status == STREAM_EMPTY) {
        t->now.history = t->next.history;
        b->metrics.unchanged++;
        return;
    }
    if (status == STREAM_E_NOMEM) {
        t->dirty = true;
        again(t);
        return;
    }
    record_screen(&b->record, t->number ? &t->now : NULL, &t->next, &b->metrics);
    t->number++;
    if (status != STREAM_OK || stream_broadcast_write(&t->updates, t->made.ptr, t->made.len) != STREAM_OK)
        stream_broadcast_write(&t->updates, SNAPSHOT_NEEDED, 1);
    swap = t->now;
    t->now = t->next;
    t->next = swap;
    b->metrics.updates++;
    for (v = t->viewers; v; v = v->next) viewer_pump(v);
}

static void captured(terminal *t, stream_slice text, bool good, bool lost) {
    size_t cols, rows;
    stream_slice state = stream_slice_of(t->state_text.ptr, t->state_text.len);
    bool was_stale = t->stale;
    stream_status status;
    viewer *v;
    t->capturing = false;
    t->bridge->capturing--;
    if (lost || t->state_lost) { /* for want of memory: the pane is still there */
        t->dirty = true;
        again(t);
        return;
    }
    if (state.len && state.ptr[state.len - 1] == '\n') state.len--;
    if (!good || screen_state(&t->next, state, &cols, &rows) != STREAM_OK) { /* the pane has gone */
        t->pane_known = false;
        find_pane(t);
        return;
    }
    t->stale = false;
    status = screen_capture(&t->next, text.ptr, text.len, cols, rows);
    if (status == STREAM_OK) {
        t->in_want = false;
        publish(t);
    } else if (status == STREAM_E_NOMEM) {
        t->dirty = true;
        again(t);
    }
    /* Also when it was the same after all. */
    for (v = t->viewers; v && was_stale; v = v->next) viewer_pump(v);
    if (t->dirty) set_timer(t);
}

/* ---- what tmux says ------------------------------------------------------------------------------------ */

/* First the numbers: how far from the screen the first line is, lines there are. Then the lines. */
static void history_came(terminal *t, stream_slice text, bool lost) {
    unsigned distance, total;
    uint64_t id = t->control.reply_to >> TAG_BITS;
    if (!t->history_numbers) {
        size_t n = text.len < sizeof t->history - 1 ? text.len : sizeof t->history - 1;
        t->history_lost = lost;
        memcpy(t->history, text.ptr ? text.ptr : "", n);
        t->history[n] = '\0';
        t->history_numbers = true;
        return;
    }
    t->history_numbers = false;
    if (lost || t->history_lost) {
        viewer_old_lost(t, id);
        return;
    }
    if (sscanf(t->history, "%u %u", &distance, &total) != 2) distance = total = 0;
    viewer_old(t, id, total > distance ? total - distance : 0, total, text);
}

static void replied(terminal *t, stream_status status, const stream_item *item) {
    stream_slice text = stream_slice_of(item->ptr, item->len);
    bool good = status == STREAM_OK && !t->control.reply_error, lost = status == STREAM_E_NOMEM;
    unsigned pane;
    char line[64];
    switch (t->control.reply_to & ((1 << TAG_BITS) - 1)) {
    case TAG_PANE:
        if (lost) {
            t->asked = false;
            again(t);
            break;
        }
        if (text.len >= sizeof line) text.len = sizeof line - 1;
        memcpy(line, text.ptr ? text.ptr : "", text.len);
        line[text.len] = '\0';
        if (good && sscanf(line, "%%%u", &pane) == 1) {
            /* It may be from an earlier time: the capture says continue. */
            if (t->pane != pane) t->paused = true;
            t->pane = pane;
            t->pane_known = true;
            t->dirty = false;
            changed(t);
        }
        break;
    case TAG_STATE:
        t->state_text.len = 0;
        t->state_lost = lost || (good && !text_room(&t->state_text, text.len));
        if (good && !t->state_lost && text.len) {
            memcpy(t->state_text.ptr, text.ptr, text.len);
            t->state_text.len = text.len;
        }
        break;
    case TAG_CAPTURE: captured(t, text, good, lost); break;
    case TAG_HISTORY: history_came(t, good ? text : stream_slice_of(NULL, 0), lost); break;
    default: break;
    }
}

static void heard(terminal *t, stream_status status, const stream_item *item) {
    if (item->kind == CONTROL_REPLY) {
        if (status != STREAM_OK) t->bridge->metrics.replies_lost++;
        replied(t, status, item);
        return;
    }
    if (status == STREAM_E_NOMEM && item->kind == CONTROL_OTHER) { /* it may have been anything */
        if (t->state != TERMINAL_UP) terminal_lost(t, "no memory");
        else find_pane(t);
        return;
    }
    switch (item->kind) {
    case CONTROL_OUTPUT:
        if (!t->pane_known || t->control.target != t->pane) break;
        changed(t);
        /* That there is output we know now; what it is the capture tells. Until then there need be no more of
           it: what is written between the two would have to be passed on by tmux, escaped, and read here, for
           nothing. */
        if (!t->dirty || t->paused || t->capturing) break;
        t->paused = control_command(&t->control, &t->out, TAG_IGNORE, "refresh-client -A '%%%u:pause'",
                                    (unsigned)t->pane) == STREAM_OK;
        flush(t);
        break;
    case CONTROL_MODE:
        if (t->pane_known && t->control.target == t->pane) changed(t);
        break;
    case CONTROL_PAUSE:
        if (t->paused && t->control.target == t->pane) break; /* as we asked */
        if (control_command(&t->control, &t->out, TAG_IGNORE, "refresh-client -A '%%%u:continue'",
                            (unsigned)t->control.target) != STREAM_OK &&
            t->control.target == t->pane)
            t->paused = true; /* the capture says it, then */
        flush(t);
        if (t->control.target == t->pane) changed(t);
        break;
    case CONTROL_SESSION:
        if (t->control.target != t->session) {
            terminal_lost(t, "tmux attached to another session");
            return;
        }
        t->state = TERMINAL_UP;
        t->was_up = true;
        if (t->bridge->options.exec) bind_to_us(t);
        find_pane(t);
        break;
    case CONTROL_WINDOW:
    case CONTROL_LAYOUT: find_pane(t); break;
    case CONTROL_SESSIONS: find_settled(t->bridge); break;
    case CONTROL_EXIT: terminal_lost(t, "the session has ended"); break;
    default: break;
    }
}

static void read_more(terminal *t) {
    if (stream_io_read(&t->bridge->server.io, &t->read_op.op, &t->out_file, t->input, sizeof t->input) ==
        STREAM_OK)
        t->reading = true;
}

static void on_read(server_op *op) {
    terminal *t = (terminal *)op->owner;
    stream_item item;
    stream_status status;
    t->reading = false;
    if (op->op.status == STREAM_CANCELLED || t->state == TERMINAL_DOWN) return;
    if (op->op.status != STREAM_OK) {
        terminal_lost(t, "tmux has gone");
        return;
    }
    control_feed(&t->control, t->input, op->op.bytes);
    while ((status = control_next(&t->control, &item)) != STREAM_MORE && status != STREAM_END) {
        heard(t, status, &item);
        if (t->state == TERMINAL_DOWN) return;
    }
    go_on(t);
    read_more(t);
}

static void on_err(server_op *op) { /* drained, so that nobody waits for it */
    terminal *t = (terminal *)op->owner;
    t->reading_err = false;
    if (op->op.status == STREAM_OK && t->state != TERMINAL_DOWN &&
        stream_io_read(&t->bridge->server.io, &t->err_op.op, &t->err_file, t->err, sizeof t->err) ==
            STREAM_OK)
        t->reading_err = true;
}

/* ---- coming and going ---------------------------------------------------------------------------------- */

static void set_list_timer(bridge *b) {
    if (!b->list_timing && stream_io_timer(&b->server.io, &b->list_timer.op, b->find_ns) == STREAM_OK)
        b->list_timing = true;
}

static void on_list_timer(server_op *op) {
    bridge *b = (bridge *)op->owner;
    b->list_timing = false;
    if (op->op.status == STREAM_OK && stream_now_ns() >= b->find_ns) terminals_find(b);
    else if (!b->stop) set_list_timer(b);
}

/* When nothing has told of sessions for a while. A control client whose first messages have reached tmux
   3.3a only in part when a session comes or goes takes the server down with it (tmux writes to a client
   that it has not set up yet), so one is never started while sessions come and go. */
static void find_settled(bridge *b) {
    uint64_t when = stream_now_ns() + SETTLE_NS;
    bool sooner = b->list_timing && b->find_ns > when;
    b->find_ns = when;
    if (sooner) stream_io_cancel(&b->server.io, &b->list_timer.op);
    else set_list_timer(b);
}

static void find_later(bridge *b) {
    if (b->list_timing) return;
    b->find_ns = stream_now_ns() + RETRY_NS;
    set_list_timer(b);
}

/* A tmux that was not attached yet does not notice that nobody talks to it any more: it is told. */
static void on_reap(server_op *op) {
    terminal *t = (terminal *)op->owner;
    uint64_t waited_ns = stream_now_ns() - t->lost_ns;
    t->reaping = false;
    if (op->op.status != STREAM_OK) return;
    if (waited_ns >= SETTLE_NS) child_signal(&t->tmux, waited_ns < RETRY_NS ? SIGTERM : SIGKILL);
    if (child_reap(&t->tmux)) {
        t->tmux.pid = 0;
        if (t->was_up) find_settled(t->bridge);
        else find_later(t->bridge); /* it would not let us in: not at once again */
    } else if (stream_io_timer(&t->bridge->server.io, &t->reap_op.op, stream_now_ns() + RETRY_NS / 20) ==
               STREAM_OK) {
        t->reaping = true;
    }
}

static void terminal_lost(terminal *t, const char *why) {
    stream_io *io = &t->bridge->server.io;
    if (t->state == TERMINAL_DOWN) return;
    if (!t->bridge->stop) bridge_log("session %s: %s", t->name, why);
    t->state = TERMINAL_DOWN;
    t->lost_ns = stream_now_ns();
    t->pane_known = false;
    if (t->capturing) t->bridge->capturing--;
    t->capturing = t->dirty = t->stale = false;
    t->owner = NULL;
    stream_io_close(io, &t->in_file); /* which ends a tmux that is still there */
    stream_io_close(io, &t->out_file);
    stream_io_close(io, &t->err_file);
    if (t->timing) stream_io_cancel(io, &t->timer_op.op);
    viewers_over(t, OVER_ENDED, why);
    viewers_lost(t);
    if (!t->reaping && stream_io_timer(io, &t->reap_op.op, stream_now_ns() + RETRY_NS / 50) == STREAM_OK)
        t->reaping = true;
}

/* tmux with its socket in front of the arguments. */
static size_t tmux_argv(const bridge *b, const char **argv) {
    size_t n = 0;
    argv[n++] = b->options.tmux;
    argv[n++] = "-u";
    if (b->options.socket_name) {
        argv[n++] = "-L";
        argv[n++] = b->options.socket_name;
    } else if (b->options.socket_path) {
        argv[n++] = "-S";
        argv[n++] = b->options.socket_path;
    }
    return n;
}

static bool start(child *c, const char *const *argv, child_stdin input) {
    char *copy[24];
    child_desc desc;
    int error;
    memcpy(copy, argv, sizeof copy); /* exec wants them without const, and leaves them alone */
    memset(&desc, 0, sizeof desc);
    desc.argv = copy;
    desc.input = input;
    return child_start(c, &desc, &error) == CHILD_STARTED;
}

/* It is io's, or closed. */
static bool take_file(bridge *b, stream_io_file *file, stream_fd fd) {
    if (stream_io_attach(&b->server.io, file, fd) == STREAM_OK) return true;
    close(fd);
    return false;
}

static void attach(terminal *t) {
    bridge *b = t->bridge;
    const char *argv[24];
    char target[16];
    size_t n;
    bool taken;
    memset(argv, 0, sizeof argv);
    if (t->state != TERMINAL_DOWN || t->tmux.pid || t->reading || t->writing || t->reading_err || t->timing)
        return;
    snprintf(target, sizeof target, "$%u", (unsigned)t->session);
    n = tmux_argv(b, argv);
    argv[n++] = "-C";
    argv[n++] = "attach-session";
    argv[n++] = "-E"; /* the session's environment stays as it is */
    argv[n++] = "-f";
    argv[n++] = "ignore-size,pause-after=1";
    argv[n++] = "-t";
    argv[n++] = target;
    control_free(&t->control);
    if (control_init(&t->control, NULL) != STREAM_OK) {
        say_want(t);
        return;
    }
    if (!start(&t->tmux, argv, CHILD_STDIN_PIPE)) {
        bridge_log("tmux: %s", strerror(errno));
        return;
    }
    b->metrics.attaches++;
    t->out.len = t->flying.len = t->typed.len = 0;
    t->history_numbers = t->paused = t->letting_go = false;
    t->state = TERMINAL_ATTACHING;
    t->was_up = false;
    taken = take_file(b, &t->in_file, t->tmux.in);
    taken = take_file(b, &t->out_file, t->tmux.out) && taken;
    taken = take_file(b, &t->err_file, t->tmux.err) && taken;
    if (!taken) {
        terminal_lost(t, "no memory, or no descriptors");
        return;
    }
    read_more(t);
    t->reading_err =
        stream_io_read(&b->server.io, &t->err_op.op, &t->err_file, t->err, sizeof t->err) == STREAM_OK;
}

terminal *terminal_named(bridge *b, const char *name, size_t len) {
    size_t i;
    for (i = 0; i < b->count; i++) {
        terminal *t = &b->terminals[i];
        if (strlen(t->name) == len && memcmp(t->name, name, len) == 0 &&
            (t->wanted || t->state != TERMINAL_DOWN))
            return t;
    }
    return NULL;
}

static void terminal_free(terminal *t) {
    control_free(&t->control);
    stream_broadcast_free(&t->updates);
    screen_free(&t->now);
    screen_free(&t->next);
    text_free(&t->out);
    text_free(&t->flying);
    text_free(&t->typed);
    text_free(&t->state_text);
    text_free(&t->made);
    memset(t, 0, sizeof *t);
}

/* A place for one more: behind the others, or that of one which has gone and is not waited for. */
static terminal *terminal_place(bridge *b) {
    size_t i;
    if (b->count < MAX_SESSIONS) return &b->terminals[b->count];
    for (i = 0; i < b->count; i++) {
        terminal *t = &b->terminals[i];
        if (t->state == TERMINAL_DOWN && !t->wanted && !t->viewers && !t->tmux.pid && !t->reading &&
            !t->writing && !t->reading_err && !t->timing && !t->reaping) {
            terminal_free(t);
            return t;
        }
    }
    return NULL;
}

static terminal *terminal_add(bridge *b, const char *name, size_t len) {
    terminal *t;
    stream_broadcast_desc desc;
    size_t i;
    for (i = 0; i < b->count; i++) { /* one that was there before */
        t = &b->terminals[i];
        if (strlen(t->name) == len && memcmp(t->name, name, len) == 0) return t;
    }
    t = len < MAX_NAME ? terminal_place(b) : NULL;
    if (!t) return NULL;
    memset(&desc, 0, sizeof desc);
    desc.max_items = 1024;
    desc.max_bytes = (size_t)1 << 20;
    desc.start = 1;
    if (stream_broadcast_init(&t->updates, &desc) != STREAM_OK) return NULL;
    if (t == &b->terminals[b->count]) b->count++;
    t->bridge = b;
    memcpy(t->name, name, len);
    server_op_init(&t->read_op, on_read, t);
    server_op_init(&t->write_op, on_written, t);
    server_op_init(&t->err_op, on_err, t);
    server_op_init(&t->timer_op, on_timer, t);
    server_op_init(&t->reap_op, on_reap, t);
    return t;
}

/* The one that is attached to a session already, by whatever name. */
static terminal *terminal_attached(bridge *b, uint32_t id) {
    size_t i;
    for (i = 0; i < b->count; i++)
        if (b->terminals[i].state != TERMINAL_DOWN && b->terminals[i].session == id) return &b->terminals[i];
    return NULL;
}

/* One line of the list: $id name. Names are what tmux allows; they are compared and shown as text. */
static void listed(bridge *b, stream_slice line) {
    uint32_t id = 0;
    size_t i = 1, k;
    terminal *t = NULL;
    if (line.len < 4 || *line.ptr != '$') return;
    for (; i < line.len && line.ptr[i] >= '0' && line.ptr[i] <= '9' && id < 400000000; i++)
        id = id * 10 + (uint32_t)(line.ptr[i] - '0');
    if (i == line.len || line.ptr[i] != ' ') return;
    i++;
    t = terminal_attached(b, id);
    if (t) {
        if (!t->wanted && line.len - i < MAX_NAME) { /* it may have been renamed */
            memset(t->name, 0, sizeof t->name);
            memcpy(t->name, line.ptr + i, line.len - i);
        }
        return;
    }
    if (b->options.sessions == 0) t = terminal_add(b, line.ptr + i, line.len - i);
    for (k = 0; k < b->options.sessions; k++) {
        const char *name = b->options.session[k];
        if ((strlen(name) == line.len - i && memcmp(name, line.ptr + i, line.len - i) == 0) ||
            (strlen(name) == i - 1 && memcmp(name, line.ptr, i - 1) == 0))
            t = terminal_add(b, name, strlen(name));
    }
    if (!t || t->state != TERMINAL_DOWN) return;
    t->session = id;
    attach(t);
}

/* What tmux says instead of a list is told, once: that there is no server, or one of another version. */
static void list_complaint(bridge *b) {
    char text[sizeof b->list_said];
    ssize_t n = read(b->lister.err, text, sizeof text - 1);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r')) n--;
    text[n > 0 ? n : 0] = '\0';
    if (n > 0 && !b->options.exec && strcmp(text, b->list_said) != 0) bridge_log("tmux: %s", text);
    memcpy(b->list_said, text, strlen(text) + 1);
}

static void end_lister(bridge *b) {
    close(b->lister.err);
    child_signal(&b->lister, SIGKILL); /* its output has ended: it is gone, or as good as gone */
    while (waitpid((pid_t)b->lister.pid, NULL, 0) < 0 && errno == EINTR) {
    }
    b->listing = false;
}

static void on_list(server_op *op) {
    bridge *b = (bridge *)op->owner;
    stream_io *io = &b->server.io;
    size_t at = 0, i;
    bool down = b->count == 0;
    if (op->op.status == STREAM_CANCELLED) return;
    if (op->op.status == STREAM_OK) {
        b->list.len += op->op.bytes;
        if (b->list.len < (size_t)1 << 20 && text_room(&b->list, 4096) &&
            stream_io_read(io, &b->list_op.op, &b->list_file, b->list.ptr + b->list.len, 4096) == STREAM_OK)
            return;
    }
    stream_io_close(io, &b->list_file);
    list_complaint(b);
    end_lister(b);
    if (op->op.status != STREAM_END) { /* a part of it tells nothing of who is not there */
        bridge_log("tmux: the list of sessions: %s",
                   op->op.status == STREAM_E_IO ? strerror(op->op.os_error) : stream_status_text(STREAM_E_NOMEM));
        find_later(b);
        return;
    }
    if (b->options.exec && b->list.len == 0) {
        bridge_log("the command has ended");
        b->stop = SIGTERM;
        return;
    }
    while (at < b->list.len) {
        size_t n = stream_find_newline(b->list.ptr + at, b->list.len - at);
        listed(b, stream_slice_of(b->list.ptr + at, n));
        at += n + 1;
    }
    for (i = 0; i < b->count; i++) down |= b->terminals[i].wanted && b->terminals[i].state == TERMINAL_DOWN;
    for (i = 0; i < b->count && b->options.sessions == 0; i++)
        if (b->terminals[i].state != TERMINAL_DOWN) break;
    if (b->options.sessions == 0 && i == b->count) down = true;
    if (b->list_again) {
        b->list_again = false;
        terminals_find(b);
    } else if (down) {
        find_later(b); /* nobody tells us when it comes */
    }
}

/* At the start only: later there is always another time. */
static void give_up(bridge *b) {
    bridge_log("starting: %s", stream_status_text(STREAM_E_NOMEM));
    b->stop = STOP_FAILED;
}

void terminals_find(bridge *b) {
    const char *argv[24];
    size_t n, i;
    if (!b->terminals) {
        b->terminals = (terminal *)calloc(MAX_SESSIONS, sizeof *b->terminals);
        if (!b->terminals) {
            give_up(b);
            return;
        }
        server_op_init(&b->list_op, on_list, b);
        server_op_init(&b->list_timer, on_list_timer, b);
        for (i = 0; i < b->options.sessions; i++) {
            terminal *t = terminal_add(b, b->options.session[i], strlen(b->options.session[i]));
            if (!t) {
                give_up(b);
                return;
            }
            t->wanted = true;
        }
    }
    if (b->stop) return;
    if (b->listing) {
        b->list_again = true;
        return;
    }
    memset(argv, 0, sizeof argv);
    n = tmux_argv(b, argv);
    argv[n++] = "list-sessions";
    argv[n++] = "-F";
    argv[n++] = "#{session_id} #{session_name}";
    b->list.len = 0;
    if (!text_room(&b->list, 4096) || !start(&b->lister, argv, CHILD_STDIN_NULL)) {
        int error = errno;
        bridge_log("%s: %s; see --tmux", b->options.tmux, strerror(error));
        if (error == ENOENT || error == EACCES) b->stop = STOP_FAILED; /* there is no tmux */
        else find_later(b);
        return;
    }
    b->listing = true;
    if (!take_file(b, &b->list_file, b->lister.out)) {
        bridge_log("tmux: no memory, or no descriptors");
        end_lister(b);
        find_later(b);
        return;
    }
    stream_io_read(&b->server.io, &b->list_op.op, &b->list_file, b->list.ptr, 4096);
}

void terminals_close(bridge *b) {
    stream_io *io = &b->server.io;
    size_t i;
    if (b->listing) {
        stream_io_close(io, &b->list_file);
        end_lister(b);
    }
    for (i = 0; i < b->count; i++) {
        terminal *t = &b->terminals[i];
        stream_io_close(io, &t->in_file);
        stream_io_close(io, &t->out_file);
        stream_io_close(io, &t->err_file);
    }
}

void terminals_free(bridge *b) {
    size_t i;
    for (i = 0; b->terminals && i < b->count; i++) terminal_free(&b->terminals[i]);
    free(b->terminals);
    text_free(&b->list);
}
