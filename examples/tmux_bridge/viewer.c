/* SPDX-License-Identifier: MIT-0
   One browser. It gets the screen when it comes, then what changed, and never more than it has said it
   painted: what it cannot take stays in the session's updates, which are kept for all; if those are more than
   it may be behind, or more than the screen itself, it gets the screen as it is now. So a slow viewer sees
   fewer screens, not older ones, and costs nobody anything. */
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

enum {
    MAX_UNACKED_BYTES = 32768,  /* above, nothing more is sent until an ack comes */
    MESSAGE_MAX = WIRE_MAX_FRAME - 16
};
enum { /* of its input rate, bytes, besides what it sends */
    FRAME_COST = 64,
    LINE_COST = 16,
    RESIZE_COST = 4096
};
#define SLOW_ACK_NS UINT64_C(250000000)

/* One WebSocket message. */
static bool send_message(viewer *v, int opcode, const char *data, size_t len) {
    stream_pool_buf *buf;
    size_t head;
    if (stream_pool_acquire(v->conn->server->pool, WS_MAX_HEAD + len, &buf) != STREAM_OK) return false;
    head = ws_head(opcode, true, len, NULL, buf->data);
    if (len) memcpy(buf->data + head, data, len);
    return server_send(v->conn, buf, buf->data, head + len) == STREAM_OK;
}

static void close_with(viewer *v, int code, const char *why) {
    char payload[WS_MAX_CONTROL];
    if (v->closing) return;
    v->closing = true;
    send_message(v, WS_CLOSE, payload, ws_close_payload(code, why, payload));
    server_close(v->conn, SERVER_POLICY);
}

/* Frames, in messages of at most 64 KiB, cut between frames. False: no room, and the viewer has to begin
   anew. */
static bool send_frames(viewer *v, const char *data, size_t len) {
    size_t at = 0, end = 0;
    while (at < len) {
        while (end < len) {
            size_t next = end + STREAM_FRAME_HEAD + wire_get32(data + end + 1);
            if (next - at > MESSAGE_MAX && end > at) break;
            end = next;
        }
        if (!send_message(v, WS_BINARY, data + at, end - at)) return false;
        at = end;
    }
    return true;
}

static size_t messages_in(size_t len) { return len / (MESSAGE_MAX / 2) + 1; }

static bool window_open(const viewer *v) {
    /* On a slow way, one at a time: what waits there is old. */
    unsigned most = v->ack_ns > SLOW_ACK_NS ? 1 : 4;
    return v->unacked_count < most && v->unacked_bytes < MAX_UNACKED_BYTES;
}

static void note_sent(viewer *v, uint64_t number, size_t bytes) {
    sent_update *u = &v->unacked[v->unacked_count++];
    u->number = number;
    u->bytes = bytes;
    u->ns = stream_now_ns();
    v->unacked_bytes += bytes;
    v->number = number;
}

/* It comes back, and begins with a whole screen. */
static void no_memory(viewer *v) { close_with(v, 1013, "no memory"); }

static void send_snapshot(viewer *v) {
    terminal *t = v->terminal;
    metrics *m = &t->bridge->metrics;
    t->made.len = 0;
    if (screen_write_snapshot(&t->now, t->number, &t->made) != STREAM_OK) {
        no_memory(v);
        return;
    }
    if (messages_in(t->made.len) > server_room(v->conn) && v->conn->out.count) return; /* room comes */
    v->fresh = !send_frames(v, t->made.ptr, t->made.len);
    if (v->fresh) {
        close_with(v, 1009, "a screen too large");
        return;
    }
    if (t->number > v->number) m->skipped += t->number - v->number - 1;
    m->snapshots++;
    m->snapshot_bytes += t->made.len;
    note_sent(v, t->number, t->made.len);
    stream_broadcast_seek(&v->reader, t->number + 1);
}

static void send_updates(viewer *v) {
    terminal *t = v->terminal;
    size_t len = 0, total = 0;
    uint64_t items, bytes;
    stream_status status;
    stream_broadcast_lag(&v->reader, &items, &bytes);
    if (items == 0 && !v->fresh) return;
    if (!v->fresh && (bytes > t->bridge->options.viewer_cap || (items > 4 && bytes > t->now.text.len + 512)))
        v->fresh = true;
    t->made.len = 0;
    while (!v->fresh) {
        size_t room;
        if (!text_room(&t->made, 4096)) {
            no_memory(v);
            return;
        }
        room = t->made.cap - t->made.len;
        status = stream_broadcast_read(&v->reader, t->made.ptr + t->made.len, room, &len);
        if (status == STREAM_FULL) {
            if (!text_room(&t->made, len)) {
                no_memory(v);
                return;
            }
            continue;
        }
        if (status != STREAM_OK) {
            v->fresh = status != STREAM_EMPTY;
            break;
        }
        if (len == 1) { /* SNAPSHOT_NEEDED */
            v->fresh = true;
            break;
        }
        total += len;
        t->made.len += len;
    }
    if (v->fresh) {
        send_snapshot(v);
    } else if (total) {
        if (!send_frames(v, t->made.ptr, t->made.len)) {
            v->fresh = true; /* room for less than that: what went out was whole frames of one update */
            close_with(v, 1013, "no room");
            return;
        }
        t->bridge->metrics.delta_bytes += total;
        note_sent(v, v->reader.next - 1, total);
    }
}

void viewer_pump(viewer *v) {
    if (!v->greeted || v->closing || v->conn->closing) return;
    if (v->terminal->number && !v->terminal->stale && window_open(v) && server_room(v->conn) >= 4)
        send_updates(v);
    if (v->old_done < v->old.len && server_room(v->conn) >= 6) {
        size_t end = v->old_done;
        while (end < v->old.len) {
            size_t next = end + STREAM_FRAME_HEAD + wire_get32(v->old.ptr + end + 1);
            if (next - v->old_done > MESSAGE_MAX / 2 && end > v->old_done) break;
            end = next;
        }
        if (send_message(v, WS_BINARY, v->old.ptr + v->old_done, end - v->old_done)) v->old_done = end;
        if (v->old_done == v->old.len) text_free(&v->old);
        if (!v->old.ptr) v->old_done = 0;
    }
}

static viewer *viewer_of(const terminal *t, uint64_t id) {
    viewer *v = t->viewers;
    while (v && v->conn->id != id) v = v->next;
    return v;
}

void viewer_old_lost(terminal *t, uint64_t id) {
    viewer *v = viewer_of(t, id);
    if (v) no_memory(v);
}

void viewer_old(terminal *t, uint64_t id, uint32_t first, uint32_t total, stream_slice capture) {
    viewer *v = viewer_of(t, id);
    text_buffer row = {NULL, 0, 0};
    screen_style style;
    char head[8];
    uint32_t line = first;
    bool good = true;
    memset(&style, 0, sizeof style);
    if (!v) return;
    v->old_asked = false;
    while (capture.len) {
        size_t n = stream_find_newline(capture.ptr, capture.len), step = n < capture.len ? n + 1 : n;
        row.len = 0;
        good = screen_line(&style, capture.ptr, n, SCREEN_MAX_SIDE, &row) == STREAM_OK;
        if (!good) break;
        if (row.len > SCREEN_MAX_ROW) row.len = 0;
        wire_put32(head, v->old_request);
        wire_put32(head + 4, line++);
        good = screen_write_frame('L', head, 8, row.ptr, row.len, &v->old) == STREAM_OK;
        if (!good) break;
        capture = stream_slice_of(capture.ptr + step, capture.len - step);
    }
    text_free(&row);
    wire_put32(head, v->old_request);
    wire_put32(head + 4, total);
    if (good && screen_write_frame('E', head, 8, NULL, 0, &v->old) == STREAM_OK) viewer_pump(v);
    else no_memory(v);
}

void viewers_over(terminal *t, over_reason reason, const char *text) {
    text_buffer out = {NULL, 0, 0};
    char head = (char)reason;
    viewer *v;
    bool made = screen_write_frame('X', &head, 1, text, strlen(text), &out) == STREAM_OK;
    for (v = t->viewers; v; v = v->next) {
        if (v->greeted && !v->closing && (!made || !send_message(v, WS_BINARY, out.ptr, out.len))) no_memory(v);
        if (reason == OVER_STOPPING) close_with(v, 1001, "stopping");
    }
    text_free(&out);
}

void viewers_count(terminal *t) {
    char frame[STREAM_FRAME_HEAD + 4];
    viewer *v;
    stream_frame_head('V', 4, frame);
    wire_put16(frame + 5, t->viewing);
    wire_put16(frame + 7, t->writers);
    for (v = t->viewers; v; v = v->next)
        if (v->greeted && !v->closing && server_room(v->conn) >= 4)
            send_message(v, WS_BINARY, frame, sizeof frame);
}

/* ---- who may write ------------------------------------------------------------------------------------- */

enum { RIGHT_TO_WRITE = 1, RIGHT_TO_RESIZE = 2, RIGHT_LATER = 4 }; /* as H and W have it */

static char rights_of(const viewer *v) {
    const options *o = &v->terminal->bridge->options;
    if (v->writes) return o->resize ? RIGHT_TO_WRITE | RIGHT_TO_RESIZE : RIGHT_TO_WRITE;
    return v->may_write && o->share == SHARE_ONE ? RIGHT_LATER : 0;
}

static void may_now_write(viewer *v) {
    char frame[STREAM_FRAME_HEAD + 1];
    v->writes = true;
    v->terminal->writers++;
    if (!v->greeted || v->closing) return;
    stream_frame_head('W', 1, frame);
    frame[STREAM_FRAME_HEAD] = rights_of(v);
    send_message(v, WS_BINARY, frame, sizeof frame);
}

/* The one who may write has left: the one who has waited longest is next. Later ones stand first in the list.
   */
static void next_writer(terminal *t) {
    viewer *v, *next = NULL;
    if (t->bridge->options.share != SHARE_ONE || t->writers) return;
    for (v = t->viewers; v; v = v->next)
        if (v->may_write && !v->closing) next = v;
    if (next) may_now_write(next);
}

/* ---- what it sends ------------------------------------------------------------------------------------- */

static void greet(viewer *v, stream_slice p) {
    terminal *t = v->terminal;
    text_buffer out = {NULL, 0, 0};
    char head[6];
    uint64_t number;
    if (v->greeted || p.len < 13 || (unsigned char)*p.ptr != WIRE_VERSION) {
        close_with(v, 1002, "not the hello that was expected");
        return;
    }
    head[0] = WIRE_VERSION;
    head[1] = rights_of(v);
    wire_put32(head + 2, t->bridge->run);
    if (screen_write_frame('H', head, sizeof head, t->name, strlen(t->name), &out) != STREAM_OK ||
        !send_message(v, WS_BINARY, out.ptr, out.len)) {
        text_free(&out);
        no_memory(v);
        return;
    }
    text_free(&out);
    v->greeted = true;
    v->fresh = true;
    number = wire_get64(p.ptr + 5);
    if (wire_get32(p.ptr + 1) == t->bridge->run && number && number <= t->number &&
        stream_broadcast_seek(&v->reader, number + 1) == STREAM_OK) {
        v->fresh = false; /* it goes on where it was */
        v->number = number;
    }
    terminal_watched(t);
    viewers_count(t);
    viewer_pump(v);
}

static void acked(viewer *v, uint64_t number) {
    unsigned i = 0;
    while (i < v->unacked_count && v->unacked[i].number <= number) {
        v->unacked_bytes -= v->unacked[i].bytes;
        v->ack_ns = stream_now_ns() - v->unacked[i].ns;
        i++;
    }
    v->unacked_count -= i;
    memmove(v->unacked, v->unacked + i, v->unacked_count * sizeof *v->unacked);
    viewer_pump(v);
}

/* C- M- S- and one printable character, or a name of letters and digits. */
static bool key_valid(stream_slice k) {
    size_t i;
    if (k.len > 24) return false;
    while (k.len > 2 && k.ptr[1] == '-' && (*k.ptr == 'C' || *k.ptr == 'M' || *k.ptr == 'S'))
        k = stream_slice_of(k.ptr + 2, k.len - 2);
    if (k.len == 1) return *k.ptr > 0x20 && *k.ptr < 0x7F;
    for (i = 0; i < k.len; i++)
        if (!((k.ptr[i] >= 'A' && k.ptr[i] <= 'Z') || (k.ptr[i] >= 'a' && k.ptr[i] <= 'z') ||
              (k.ptr[i] >= '0' && k.ptr[i] <= '9')))
            return false;
    return k.len != 0;
}

static void asked_for_old(viewer *v, stream_slice p) {
    uint32_t lines;
    stream_status status;
    if (p.len != 12 || v->old_asked || v->old.len) return;
    lines = wire_get32(p.ptr + 8);
    v->credit -= (int64_t)LINE_COST * (lines < MAX_HISTORY ? lines : MAX_HISTORY);
    v->old_asked = true;
    v->old_request = wire_get32(p.ptr);
    status = terminal_history(v->terminal, v->conn->id, wire_get32(p.ptr + 4), lines);
    if (status == STREAM_E_NOMEM)
        no_memory(v);
    else if (status != STREAM_OK)
        viewer_old(v->terminal, v->conn->id, 0, 0, stream_slice_of(NULL, 0));
}

/* A piece of a paste; when there is something wrong with it, then with the rest of it too. */
static stream_status pasted(viewer *v, stream_slice p) {
    bool first, last;
    stream_status status = STREAM_E_INVALID;
    if (p.len == 0) return status;
    first = (*p.ptr & 1) != 0;
    last = (*p.ptr & 2) != 0;
    if (!first && !v->pasting) return status;
    if (first) v->pasted = 0;
    v->pasted += p.len - 1;
    if (v->pasted <= MAX_PASTE)
        status = terminal_paste(v->terminal, v->conn->id, first, last, p.ptr + 1, p.len - 1);
    v->pasting = status == STREAM_OK && !last;
    return status;
}

static stream_status size_came(viewer *v, stream_slice p) {
    unsigned cols, rows;
    if (p.len != 4 || !v->terminal->bridge->options.resize) return STREAM_E_INVALID;
    v->credit -= RESIZE_COST;
    cols = wire_get16(p.ptr);
    rows = wire_get16(p.ptr + 2);
    if (cols < MIN_COLS || cols > MAX_COLS || rows < MIN_ROWS || rows > MAX_ROWS) return STREAM_E_INVALID;
    return terminal_resize(v->terminal, v, cols, rows);
}

static void frame_came(viewer *v, const stream_item *item) {
    terminal *t = v->terminal;
    metrics *m = &t->bridge->metrics;
    stream_slice p = stream_slice_of(item->ptr, item->len);
    stream_status status = STREAM_E_INVALID;
    v->credit -= FRAME_COST + (int64_t)p.len;
    switch (item->kind) {
    case 'h': greet(v, p); return;
    case 'a':
        if (p.len == 8) acked(v, wire_get64(p.ptr));
        return;
    case 'b':
        if (v->greeted) asked_for_old(v, p);
        return;
    case 't':
    case 'k':
    case 'p':
    case 'z': break;
    default: return; /* of a later version */
    }
    /* From here on everything does something to the session. */
    if (v->writes && v->greeted) {
        if (item->kind == 'p') status = pasted(v, p);
        else if (item->kind == 'z') status = size_came(v, p);
        else if (item->kind == 't' && stream_utf8_valid(p.ptr, p.len))
            status = terminal_type(t, p.ptr, p.len);
        else if (item->kind == 'k' && key_valid(p)) status = terminal_key(t, p.ptr, p.len);
    }
    if (status == STREAM_OK) m->input_bytes += p.len;
    else m->rejected++;
    /* Who types is told that it has come to nothing, and what followed is not taken for the whole. */
    if (status == STREAM_E_NOMEM) no_memory(v);
}

/* For the next ping, or for when a held viewer has credit again, whatever is first. */
static void set_timer(viewer *v, uint64_t now) {
    uint64_t when = v->ping_ns;
    if (v->held && v->credit < 0) {
        uint64_t wait = (uint64_t)(-v->credit) * 1000000 / v->terminal->bridge->options.input_rate;
        if (now + (wait + 2000) * 1000 < when) when = now + (wait + 2000) * 1000;
    }
    server_timer(v->conn, when);
}

/* Whether more may be taken from it now. If not it is not read either, so that what it sends stays with it:
   nothing is lost, and nothing is kept here but what has come already. */
static bool may_go_on(viewer *v) {
    uint64_t now = stream_now_ns(), passed = now - v->credit_ns;
    int64_t rate = (int64_t)v->terminal->bridge->options.input_rate;
    const uint64_t second = UINT64_C(1000000000);
    if (v->held) return false;
    if (passed > second) passed = second;
    if (passed > second / 1000) {
        v->credit += (int64_t)((double)rate * (double)passed / (double)second);
        if (v->credit > rate) v->credit = rate;
        v->credit_ns = now;
    }
    if (v->credit >= 0 && (!v->writes || terminal_takes_input(v->terminal))) return true;
    v->held = true;
    v->terminal->bridge->metrics.held++;
    server_pause(v->conn);
    set_timer(v, now);
    return false;
}

/* The item that the WebSocket decoder has found. */
static void message_came(viewer *v, stream_status status, const stream_item *item) {
    v->credit -= FRAME_COST;
    if (status != STREAM_OK) {
        close_with(v, v->ws.close_code, v->ws.error);
    } else if (item->kind == WS_PING) {
        if (server_room(v->conn) >= 2) send_message(v, WS_PONG, item->ptr, item->len);
    } else if (item->kind == WS_CLOSE) {
        close_with(v, v->ws.close_code, NULL);
    } else if (item->kind == WS_TEXT) {
        close_with(v, 1003, "binary messages only");
    } else if (item->kind == WS_BINARY) {
        v->in_message = stream_frame_feed(&v->frames, item->ptr, item->len) == STREAM_OK;
    }
}

static void read_on(viewer *v) {
    stream_item item;
    stream_status status;
    text_buffer swap;
    while (!v->closing && may_go_on(v)) {
        if (v->in_message) {
            status = stream_frame_next(&v->frames, &item);
            if (status == STREAM_MORE) v->in_message = false;
            else if (status == STREAM_OK) frame_came(v, &item);
            else if (status == STREAM_E_NOMEM) no_memory(v);
            else close_with(v, 1009, "a frame longer than 64 KiB");
            continue;
        }
        status = ws_next(&v->ws, &item);
        if (status != STREAM_MORE) {
            message_came(v, status, &item);
            continue;
        }
        if (v->came.len == 0) {
            if (v->came.cap + v->loan.cap > 8192) { /* after a paste */
                text_free(&v->came);
                text_free(&v->loan);
            }
            return;
        }
        swap = v->loan;
        v->loan = v->came;
        v->came = swap;
        v->came.len = 0;
        ws_feed(&v->ws, v->loan.ptr, v->loan.len);
    }
}

void viewer_data(viewer *v, char *data, size_t len) {
    v->heard_ns = stream_now_ns();
    if (v->closing || len == 0) return;
    if (!text_room(&v->came, len)) {
        server_abort(v->conn, SERVER_NO_MEMORY);
        return;
    }
    memcpy(v->came.ptr + v->came.len, data, len);
    v->came.len += len;
    read_on(v);
}

void viewer_resume(viewer *v) {
    if (!v->held || v->closing) return;
    v->held = false;
    v->heard_ns = stream_now_ns(); /* it was not listened to meanwhile */
    read_on(v);
    if (!v->held && !v->closing) server_resume(v->conn);
}

void viewer_timer(viewer *v) {
    uint64_t now = stream_now_ns(), ping = v->terminal->bridge->options.ping_ns;
    if (v->closing) return;
    if (!v->held && now - v->heard_ns > ping * 9 / 4) {
        server_abort(v->conn, SERVER_SLOW_CLIENT);
        return;
    }
    if (now >= v->ping_ns) {
        v->ping_ns = now + ping;
        if (server_room(v->conn) >= 2) send_message(v, WS_PING, NULL, 0);
    }
    viewer_resume(v);
    if (!v->closing) set_timer(v, now);
}

/* ---- coming and going ---------------------------------------------------------------------------------- */

viewer *viewer_new(terminal *t, server_conn *c, bool may_write) {
    viewer *v = (viewer *)calloc(1, sizeof *v);
    stream_frame_desc desc;
    ws_desc limits;
    if (!v) return NULL;
    memset(&desc, 0, sizeof desc);
    desc.max_len = WIRE_MAX_FRAME;
    desc.first_len = 256;
    memset(&limits, 0, sizeof limits);
    limits.max_message = WIRE_MAX_FRAME * 2;
    if (stream_frame_init(&v->frames, &desc) != STREAM_OK) {
        free(v);
        return NULL;
    }
    ws_init(&v->ws, &limits);
    stream_broadcast_join(&t->updates, &v->reader, STREAM_OVERRUN_NEWEST);
    v->conn = c;
    v->terminal = t;
    v->may_write = may_write && t->bridge->options.share != SHARE_WATCH;
    v->heard_ns = v->credit_ns = stream_now_ns();
    v->ping_ns = v->heard_ns + t->bridge->options.ping_ns;
    v->credit = (int64_t)t->bridge->options.input_rate;
    v->next = t->viewers;
    t->viewers = v;
    t->viewing++;
    if (v->may_write && (t->bridge->options.share == SHARE_ALL || t->writers == 0)) may_now_write(v);
    t->bridge->metrics.viewers++;
    set_timer(v, v->heard_ns);
    return v;
}

void viewer_free(viewer *v) {
    terminal *t = v->terminal;
    viewer **at = &t->viewers;
    while (*at != v) at = &(*at)->next;
    *at = v->next;
    t->viewing--;
    t->writers -= v->writes;
    t->bridge->metrics.viewers--;
    terminal_let_go(t, v);
    stream_frame_free(&v->frames);
    text_free(&v->old);
    text_free(&v->came);
    text_free(&v->loan);
    free(v);
    next_writer(t);
    viewers_count(t);
}

void viewers_lost(terminal *t) {
    viewer *v;
    for (v = t->viewers; v; v = v->next) {
        v->old_asked = v->pasting = false;
        viewer_resume(v);
    }
}
