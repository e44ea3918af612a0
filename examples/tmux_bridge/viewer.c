/* SPDX-License-Identifier: MIT-0
   One browser. It gets the screen when it comes, then what changed, and never more than it has said it painted: what
   it cannot take stays in the session's updates, which are kept for all; if those are more than it may be behind, or
   more than the screen itself, it gets the screen as it is now. So a slow viewer sees fewer screens, not older
   ones, and costs nobody anything. */
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

enum {
    MAX_UNACKED_BYTES = 32768,  /* above, nothing more is sent until an ack comes */
    MESSAGE_MAX = WIRE_MAX_FRAME - 16
};
#define PING_NS UINT64_C(20000000000)
#define SILENT_NS UINT64_C(45000000000)
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

/* Frames, in messages of at most 64 KiB, cut between frames. False: no room, and the viewer has to begin anew. */
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
    unsigned most = v->ack_ns > SLOW_ACK_NS ? 1 : 4; /* on a slow way, one at a time: what waits there is old */
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

static void send_snapshot(viewer *v) {
    terminal *t = v->terminal;
    metrics *m = &t->bridge->metrics;
    t->made.len = 0;
    if (screen_write_snapshot(&t->now, t->number, &t->made) != STREAM_OK) return;
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
    while (!v->fresh && text_room(&t->made, 4096)) {
        size_t room = t->made.cap - t->made.len;
        status = stream_broadcast_read(&v->reader, t->made.ptr + t->made.len, room, &len);
        if (status == STREAM_FULL) {
            if (!text_room(&t->made, len)) return;
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
    if (v->terminal->number && window_open(v) && server_room(v->conn) >= 4) send_updates(v);
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

void viewer_old(terminal *t, uint64_t id, uint32_t request, uint32_t first, uint32_t total, stream_slice capture) {
    viewer *v = t->viewers;
    text_buffer row = {NULL, 0, 0};
    screen_style style;
    char head[8];
    uint32_t line = first;
    memset(&style, 0, sizeof style);
    while (v && v->conn->id != id) v = v->next;
    if (!v) return;
    v->old_asked = false;
    while (capture.len) {
        size_t n = stream_find_newline(capture.ptr, capture.len), step = n < capture.len ? n + 1 : n;
        row.len = 0;
        if (screen_line(&style, capture.ptr, n, SCREEN_MAX_SIDE, &row) != STREAM_OK) break;
        if (row.len > SCREEN_MAX_ROW) row.len = 0;
        wire_put32(head, request);
        wire_put32(head + 4, line++);
        if (screen_write_frame('L', head, 8, row.ptr, row.len, &v->old) != STREAM_OK) break;
        capture = stream_slice_of(capture.ptr + step, capture.len - step);
    }
    text_free(&row);
    wire_put32(head, request);
    wire_put32(head + 4, total);
    screen_write_frame('E', head, 8, NULL, 0, &v->old);
    viewer_pump(v);
}

void viewers_over(terminal *t, over_reason reason, const char *text) {
    text_buffer out = {NULL, 0, 0};
    char head = (char)reason;
    viewer *v;
    if (screen_write_frame('X', &head, 1, text, strlen(text), &out) == STREAM_OK)
        for (v = t->viewers; v; v = v->next) {
            if (v->greeted && !v->closing) send_message(v, WS_BINARY, out.ptr, out.len);
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
        if (v->greeted && !v->closing && server_room(v->conn) >= 4) send_message(v, WS_BINARY, frame, sizeof frame);
}

/* ---- what it sends -------------------------------------------------------------------------------------- */

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
    head[1] = v->may_write;
    wire_put32(head + 2, t->bridge->run);
    if (screen_write_frame('H', head, sizeof head, t->name, strlen(t->name), &out) == STREAM_OK)
        send_message(v, WS_BINARY, out.ptr, out.len);
    text_free(&out);
    v->greeted = true;
    v->fresh = true;
    number = wire_get64(p.ptr + 5);
    if (wire_get32(p.ptr + 1) == t->bridge->run && number && number <= t->number &&
        stream_broadcast_seek(&v->reader, number + 1) == STREAM_OK) {
        v->fresh = false; /* it goes on where it was */
        v->number = number;
    }
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

static void frame_came(viewer *v, const stream_item *item) {
    terminal *t = v->terminal;
    metrics *m = &t->bridge->metrics;
    stream_slice p = stream_slice_of(item->ptr, item->len);
    switch (item->kind) {
    case 'h': greet(v, p); return;
    case 'a':
        if (p.len == 8) acked(v, wire_get64(p.ptr));
        return;
    case 'b':
        if (p.len != 12 || v->old_asked || v->old.len) return;
        v->old_asked = true;
        if (!terminal_history(t, v->conn->id, wire_get32(p.ptr), wire_get32(p.ptr + 4), wire_get32(p.ptr + 8)))
            viewer_old(t, v->conn->id, wire_get32(p.ptr), 0, 0, stream_slice_of(NULL, 0));
        return;
    case 't':
    case 'k':
    case 'p': break;
    default: return; /* of a later version */
    }
    if (!v->may_write || !v->greeted) {
        m->rejected++;
        return;
    }
    m->input_bytes += p.len;
    if (item->kind == 't') {
        if (!stream_utf8_valid(p.ptr, p.len) || !terminal_type(t, p.ptr, p.len)) m->rejected++;
    } else if (item->kind == 'k') {
        if (!key_valid(p) || !terminal_key(t, p.ptr, p.len)) m->rejected++;
    } else if (p.len) {
        bool first = *p.ptr & 1, last = (*p.ptr & 2) != 0;
        if (first) v->pasted = 0;
        v->pasted += p.len - 1;
        if ((!first && !v->pasting) || v->pasted > MAX_PASTE) {
            v->pasting = false;
            m->rejected++;
            return;
        }
        v->pasting = terminal_paste(t, v->conn->id, first, last, p.ptr + 1, p.len - 1) && !last;
    }
    if (!terminal_takes_input(t)) server_pause(v->conn); /* goes on when tmux has taken some */
}

void viewer_data(viewer *v, char *data, size_t len) {
    stream_item item, frame;
    stream_status status;
    v->heard_ns = stream_now_ns();
    if (v->closing || ws_feed(&v->ws, data, len) != STREAM_OK) return;
    while ((status = ws_next(&v->ws, &item)) != STREAM_MORE && status != STREAM_END) {
        if (status != STREAM_OK) {
            close_with(v, v->ws.close_code, v->ws.error);
        } else if (item.kind == WS_PING) {
            if (server_room(v->conn) >= 2) send_message(v, WS_PONG, item.ptr, item.len);
        } else if (item.kind == WS_CLOSE) {
            close_with(v, v->ws.close_code, NULL);
        } else if (item.kind == WS_TEXT) {
            close_with(v, 1003, "binary messages only");
        } else if (item.kind == WS_BINARY && stream_frame_feed(&v->frames, item.ptr, item.len) == STREAM_OK) {
            while ((status = stream_frame_next(&v->frames, &frame)) != STREAM_MORE) {
                if (status == STREAM_OK) frame_came(v, &frame);
                else close_with(v, 1009, "a frame longer than 64 KiB");
                if (v->closing) break;
            }
        }
        if (v->closing) return;
    }
}

void viewer_timer(viewer *v) {
    uint64_t now = stream_now_ns();
    if (v->closing) return;
    if (now - v->heard_ns > SILENT_NS) {
        server_abort(v->conn, SERVER_SLOW_CLIENT);
        return;
    }
    if (now - v->heard_ns >= PING_NS / 2 && server_room(v->conn) >= 2) send_message(v, WS_PING, NULL, 0);
    server_timer(v->conn, now + PING_NS);
}

/* ---- coming and going ----------------------------------------------------------------------------------- */

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
    v->may_write = may_write;
    v->heard_ns = stream_now_ns();
    v->next = t->viewers;
    t->viewers = v;
    t->viewing++;
    t->writers += may_write;
    t->bridge->metrics.viewers++;
    server_timer(c, v->heard_ns + PING_NS);
    return v;
}

void viewer_free(viewer *v) {
    terminal *t = v->terminal;
    viewer **at = &t->viewers;
    while (*at != v) at = &(*at)->next;
    *at = v->next;
    t->viewing--;
    t->writers -= v->may_write;
    t->bridge->metrics.viewers--;
    stream_frame_free(&v->frames);
    text_free(&v->old);
    free(v);
    viewers_count(t);
}
