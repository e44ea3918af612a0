/* SPDX-License-Identifier: MIT-0 */
#include "control.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

stream_status control_init(control *c, const control_desc *desc) {
    memset(c, 0, sizeof *c);
    c->max_line = desc && desc->max_line ? desc->max_line : 65536;
    c->max_reply = desc && desc->max_reply ? desc->max_reply : (size_t)4 << 20;
    c->max_queue = desc && desc->max_queue ? desc->max_queue : 1024;
    /* The longest head of an output line must fit, and an escape behind it. */
    if (c->max_line < 128 || c->max_queue > SIZE_MAX / sizeof *c->tag) return STREAM_E_ARGUMENT;
    c->tag = (uint64_t *)malloc(c->max_queue * sizeof *c->tag);
    return c->tag ? STREAM_OK : STREAM_E_NOMEM;
}

void control_free(control *c) {
    text_free(&c->line);
    text_free(&c->block);
    free(c->tag);
    memset(c, 0, sizeof *c);
}

stream_status control_feed(control *c, const void *data, size_t len) {
    if (c->finished || c->cur != c->end) return STREAM_E_STATE;
    c->cur = (const char *)data;
    c->end = len ? c->cur + len : c->cur;
    return STREAM_OK;
}

stream_status control_finish(control *c) {
    c->finished = true;
    return STREAM_OK;
}

static bool append(text_buffer *t, const char *p, size_t n) {
    if (!text_room(t, n)) return false;
    if (n) memcpy(t->ptr + t->len, p, n);
    t->len += n;
    return true;
}

static bool begins(stream_slice line, const char *with) {
    size_t n = strlen(with);
    return line.len >= n && memcmp(line.ptr, with, n) == 0;
}

/* $1, @2 or %3 at *at, which moves behind it and a space. */
static bool take_target(stream_slice *at, char *kind, uint32_t *number) {
    size_t i = 1;
    uint32_t value = 0;
    if (at->len < 2 || (*at->ptr != '$' && *at->ptr != '@' && *at->ptr != '%')) return false;
    for (; i < at->len && at->ptr[i] >= '0' && at->ptr[i] <= '9'; i++) {
        if (value > 400000000) return false;
        value = value * 10 + (uint32_t)(at->ptr[i] - '0');
    }
    if (i == 1 || (i < at->len && at->ptr[i] != ' ')) return false;
    *kind = *at->ptr;
    *number = value;
    if (i < at->len) i++;
    *at = stream_slice_of(at->ptr + i, at->len - i);
    return true;
}

/* Whether the line, or what there is of it, is output: *data is what stands behind its head. */
static bool output_head(control *c, stream_slice line, stream_slice *data) {
    bool extended = begins(line, "%extended-output ");
    size_t i;
    if (!extended && !begins(line, "%output ")) return false;
    i = extended ? 17 : 8;
    *data = stream_slice_of(line.ptr + i, line.len - i);
    if (!take_target(data, &c->target_kind, &c->target) || c->target_kind != '%') return false;
    if (!extended) return true;
    for (i = 0; i + 2 < data->len; i++) { /* an age, and what else there may be one day; then a colon */
        if (data->ptr[i] != ' ' || data->ptr[i + 1] != ':' || data->ptr[i + 2] != ' ') continue;
        *data = stream_slice_of(data->ptr + i + 3, data->len - i - 3);
        return true;
    }
    if (data->len >= 2 && memcmp(data->ptr + data->len - 2, " :", 2) == 0) {
        *data = stream_slice_of(data->ptr + data->len, 0);
        return true;
    }
    return false;
}

/* Undoes \ooo. dst may be where src is. */
static size_t unescape(const char *src, size_t n, char *dst) {
    size_t i, k = 0;
    for (i = 0; i < n; i++) {
        const unsigned char *p = (const unsigned char *)src + i;
        if (*p == '\\' && n - i > 3 && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
            p[3] >= '0' && p[3] <= '7') {
            dst[k++] = (char)(unsigned char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
            i += 3;
        } else {
            dst[k++] = (char)*p;
        }
    }
    return k;
}

static void set_item(control *c, stream_item *item, uint32_t kind, const char *ptr, size_t len) {
    memset(item, 0, sizeof *item);
    item->kind = kind;
    item->ptr = ptr;
    item->len = len;
    item->size = len;
    item->offset = c->start;
    if (len && ptr >= c->line.ptr && c->line.ptr && ptr < c->line.ptr + c->line.cap)
        item->flags |= STREAM_COPIED;
}

/* Output without its escapes. Where there are none it is left where it lies. */
static stream_status hand_out_output(control *c, stream_item *item, stream_slice data) {
    if (stream_find_byte(data.ptr, data.len, '\\') < data.len) {
        bool held = c->line.ptr && data.ptr >= c->line.ptr && data.ptr <= c->line.ptr + c->line.len;
        if (!held) {
            c->line.len = 0;
            if (!text_room(&c->line, data.len)) {
                set_item(c, item, CONTROL_OUTPUT, NULL, 0);
                return STREAM_E_NOMEM;
            }
        }
        data.len = unescape(data.ptr, data.len, c->line.ptr);
        data.ptr = c->line.ptr;
    }
    set_item(c, item, CONTROL_OUTPUT, data.ptr, data.len);
    return STREAM_OK;
}

static const struct {
    const char *name;
    uint8_t kind;
    bool target;
} notifications[] = {
    {"%pause ", CONTROL_PAUSE, true},
    {"%continue ", CONTROL_CONTINUE, true},
    {"%layout-change ", CONTROL_LAYOUT, true},
    {"%window-pane-changed ", CONTROL_WINDOW, true},
    {"%session-window-changed ", CONTROL_WINDOW, true},
    {"%session-changed ", CONTROL_SESSION, true},
    {"%sessions-changed", CONTROL_SESSIONS, false},
    {"%session-renamed ", CONTROL_SESSIONS, false},
    {"%pane-mode-changed ", CONTROL_MODE, true},
};

/* A whole line outside of blocks; EMPTY: nothing to hand out. */
static stream_status take_line(control *c, stream_item *item, stream_slice line) {
    stream_slice rest;
    size_t i;
    if (output_head(c, line, &rest)) return hand_out_output(c, item, rest);
    if (begins(line, "%begin ") && line.len - 6 <= sizeof c->guard) {
        c->guard_len = line.len - 6;
        memcpy(c->guard, line.ptr + 6, c->guard_len);
        c->ours = (line.ptr[line.len - 1] & 1) != 0; /* the flags, of which the last digit has bit 0 */
        c->in_block = true;
        c->block.len = 0;
        c->reply_size = 0;
        return STREAM_EMPTY;
    }
    if (begins(line, "%exit") && (line.len == 5 || line.ptr[5] == ' ')) {
        i = line.len > 6 ? 6 : line.len;
        set_item(c, item, CONTROL_EXIT, line.ptr + i, line.len - i);
        c->ended = true;
        return STREAM_OK;
    }
    for (i = 0; i < sizeof notifications / sizeof *notifications; i++) {
        size_t n = strlen(notifications[i].name);
        if (!begins(line, notifications[i].name)) continue;
        rest = stream_slice_of(line.ptr + n, line.len - n);
        if (notifications[i].target && !take_target(&rest, &c->target_kind, &c->target)) break;
        set_item(c, item, notifications[i].kind, rest.ptr, rest.len);
        return STREAM_OK;
    }
    if (!begins(line, "%")) {
        c->strays++;
        return STREAM_EMPTY;
    }
    set_item(c, item, CONTROL_OTHER, line.ptr, line.len);
    return STREAM_OK;
}

/* Bytes of the open block's lines. */
static void keep(control *c, const char *p, size_t n) {
    size_t room = c->max_reply - c->block.len, take = n < room ? n : room;
    if (c->reply_size == c->block.len) append(&c->block, p, take); /* else there is a hole already */
    c->reply_size += n;
}

/* A line inside of a block; EMPTY unless it ends it. */
static stream_status take_block_line(control *c, stream_item *item, stream_slice line) {
    bool good = begins(line, "%end "), bad = begins(line, "%error ");
    size_t n = good ? 4 : 6;
    stream_status status;
    if ((!good && !bad) || line.len - n != c->guard_len ||
        memcmp(line.ptr + n, c->guard, c->guard_len) != 0) {
        keep(c, line.ptr, line.len);
        keep(c, "\n", 1);
        return STREAM_EMPTY;
    }
    c->in_block = false;
    if (!c->ours) return STREAM_EMPTY;
    if (c->queued == 0) {
        c->strays++;
        return STREAM_EMPTY;
    }
    c->reply_to = c->tag[c->first];
    c->first = (c->first + 1) % c->max_queue;
    c->queued--;
    c->reply_error = bad;
    set_item(c, item, CONTROL_REPLY, c->block.ptr, c->block.len);
    item->flags = c->block.len ? STREAM_COPIED : 0;
    item->size = c->reply_size;
    status = c->reply_size == c->block.len ? STREAM_OK
             : c->block.len == c->max_reply ? STREAM_E_TOO_LONG : STREAM_E_NOMEM;
    return status;
}

/* The open line is as long as a line may be and goes on. Output is handed out as far as it is whole; of a
   block it is kept; anything else is given up. */
static stream_status line_full(control *c, stream_item *item) {
    stream_slice line = stream_slice_of(c->line.ptr, c->line.len), data;
    if (c->in_block) {
        keep(c, line.ptr, line.len);
        c->line.len = 0;
        c->skipping = true; /* the rest of it: also kept, but no longer looked at */
        return STREAM_EMPTY;
    }
    if (c->output || output_head(c, line, &data)) {
        stream_status status;
        char tail[3];
        size_t left = 0, i;
        if (c->output) data = line;
        for (i = 1; i <= 3 && i <= data.len; i++)
            if (data.ptr[data.len - i] == '\\') left = i;
        memcpy(tail, data.ptr + data.len - left, left);
        data.len -= left;
        c->output = true;
        status = hand_out_output(c, item, data);
        /* What is handed out lies in the buffer until the next call, which begins with what is left. */
        memcpy(c->tail, tail, left);
        c->tail_len = (uint8_t)left;
        return status;
    }
    c->skipping = true;
    set_item(c, item, CONTROL_OTHER, c->line.ptr, c->line.len);
    return STREAM_E_TOO_LONG;
}

stream_status control_next(control *c, stream_item *item) {
    stream_status status;
    if (c->spent) { /* what was handed out of the buffer the last time is no longer needed */
        c->line.len = 0;
        append(&c->line, c->tail, c->tail_len);
        c->tail_len = 0;
        c->spent = false;
    }
    while (c->cur != c->end) {
        size_t left = (size_t)(c->end - c->cur), n, room;
        bool whole;
        stream_slice line;
        if (c->ended) {
            c->offset += left;
            c->scanned += left;
            c->cur = c->end;
            break;
        }
        if (c->line.len == 0 && !c->skipping && !c->output) c->start = c->offset;
        room = c->skipping ? left : c->max_line - c->line.len;
        if (room > left) room = left;
        n = stream_find_newline(c->cur, room);
        whole = n < room;
        line = stream_slice_of(c->cur, n);
        c->cur += n + (whole ? 1 : 0);
        c->offset += n + (whole ? 1u : 0u);
        c->scanned += n + (whole ? 1u : 0u);
        if (c->skipping) {
            if (c->in_block) keep(c, line.ptr, line.len);
            if (c->in_block && whole) keep(c, "\n", 1);
            if (whole) c->skipping = false;
            continue;
        }
        if (!whole || c->line.len) {
            if (!append(&c->line, line.ptr, line.len)) {
                c->line.len = 0;
                c->skipping = !whole;
                set_item(c, item, CONTROL_OTHER, NULL, 0);
                return STREAM_E_NOMEM;
            }
            line = stream_slice_of(c->line.ptr, c->line.len);
        }
        if (!whole && c->line.len < c->max_line) continue;
        c->spent = true;
        if (!whole) status = line_full(c, item);
        else if (c->output) {
            c->output = false;
            status = hand_out_output(c, item, line);
        } else {
            status = c->in_block ? take_block_line(c, item, line) : take_line(c, item, line);
        }
        if (status != STREAM_EMPTY) return status;
        c->line.len = 0;
        c->spent = false;
    }
    memset(item, 0, sizeof *item);
    item->offset = c->offset;
    if (!c->finished) return STREAM_MORE;
    if (!c->ended && (c->line.len || c->in_block || c->skipping || c->output)) {
        c->ended = true;
        return STREAM_E_TRUNCATED;
    }
    return STREAM_END;
}

static stream_status decoder_feed(void *self, const void *data, size_t len) {
    return control_feed((control *)self, data, len);
}
static stream_status decoder_next(void *self, stream_item *item) {
    return control_next((control *)self, item);
}
static stream_status decoder_finish(void *self) { return control_finish((control *)self); }

stream_decoder control_decoder(control *c) {
    stream_decoder d;
    d.self = c;
    d.feed = decoder_feed;
    d.next = decoder_next;
    d.finish = decoder_finish;
    return d;
}

/* ---- commands ------------------------------------------------------------------------------------------ */

stream_status control_command(control *c, text_buffer *out, uint64_t tag, const char *format, ...) {
    va_list arguments;
    int n;
    if (c->queued == c->max_queue) return STREAM_FULL;
    va_start(arguments, format);
    n = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (n < 0) return STREAM_E_ARGUMENT;
    if (!text_room(out, (size_t)n + 2)) return STREAM_E_NOMEM;
    va_start(arguments, format);
    vsnprintf(out->ptr + out->len, (size_t)n + 1, format, arguments);
    va_end(arguments);
    if (stream_find_newline(out->ptr + out->len, (size_t)n) < (size_t)n) return STREAM_E_ARGUMENT;
    out->len += (size_t)n;
    out->ptr[out->len++] = '\n';
    c->tag[(c->first + c->queued) % c->max_queue] = tag;
    c->queued++;
    return STREAM_OK;
}

bool control_quote(text_buffer *out, const char *bytes, size_t len) {
    size_t i;
    if (len > SIZE_MAX / 4 - 4 || !text_room(out, 4 * len + 2)) return false;
    out->ptr[out->len++] = '"';
    for (i = 0; i < len; i++) {
        unsigned char b = (unsigned char)bytes[i];
        if ((b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || b == ' ' ||
            b == '_' || b == '-' || b == '.' || b == '/') {
            out->ptr[out->len++] = (char)b;
        } else if (b) {
            out->ptr[out->len++] = '\\';
            out->ptr[out->len++] = (char)('0' + (b >> 6));
            out->ptr[out->len++] = (char)('0' + (b >> 3 & 7));
            out->ptr[out->len++] = (char)('0' + (b & 7));
        }
    }
    out->ptr[out->len++] = '"';
    return true;
}
