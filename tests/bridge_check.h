/* SPDX-License-Identifier: MIT-0
   What must hold of every canonical row and every message of tmux_bridge, by a second reading of the table in
   screen.h that shares nothing with the first: for the unit tests and the fuzz targets. */
#ifndef BRIDGE_CHECK_H
#define BRIDGE_CHECK_H

#include "../examples/tmux_bridge/screen.h"

/* NULL when the row is one, else what is wrong with it. */
static const char *row_wrong(const char *p, size_t n, size_t cols) {
    size_t i = 0, col = 0, joined = 0, width = 1, last = 0;
    if (!stream_utf8_valid(p, n)) return "no UTF-8";
    while (i < n) {
        unsigned char c = (unsigned char)p[i];
        size_t want = 0, k;
        if (c == 1) want = 3;
        else if (c >= 2 && c <= 4) {
            if (i + 1 == n) return "cut in a colour";
            if (p[i + 1] != 'd' && p[i + 1] != 'i' && p[i + 1] != 'r') return "no such colour";
            want = p[i + 1] == 'd' ? 0 : p[i + 1] == 'i' ? 2 : 4;
            i++;
        } else if (c == 5) want = 0;
        else if (c == 14 || c == 15) width = c == 14 ? 2 : 1;
        else if (c == 16) want = 2;
        else if (c == 17) want = 1;
        else if (c < 32 || c == 127) return "a control character";
        if (c < 32) {
            unsigned value = 0;
            for (k = 1; k <= want; k++) {
                if (i + k >= n || ((unsigned char)p[i + k] & 0xC0) != 0x40) return "no digit";
                value = value << 6 | ((unsigned char)p[i + k] & 63);
            }
            if (c == 16) {
                if (!last || joined) return "nothing to repeat";
                col += value * last;
            }
            if (c == 17) joined = value;
            i += want + 1;
            continue;
        }
        if (c == 0xC2 && (unsigned char)p[i + 1] < 0xA0) return "a C1 control";
        i++;
        while (i < n && ((unsigned char)p[i] & 0xC0) == 0x80) i++;
        if (joined > 1) {
            joined--;
            continue;
        }
        joined = 0;
        col += width;
        last = width;
    }
    if (joined) return "a cell that does not end";
    return col <= cols ? NULL : "longer than the screen";
}

/* What a viewer knows, made from messages alone. */
typedef struct viewer_screen {
    text_buffer row[SCREEN_MAX_SIDE];
    size_t cols, rows;
    uint64_t number;
    uint32_t cursor_x, cursor_y, modes;
    text_buffer title;
    const char *wrong;
} viewer_screen;

static void viewer_set(text_buffer *row, const char *p, size_t n) {
    row->len = 0;
    if (n && text_room(row, n)) {
        memcpy(row->ptr, p, n);
        row->len = n;
    }
}

static inline void viewer_free(viewer_screen *v) {
    size_t i;
    for (i = 0; i < SCREEN_MAX_SIDE; i++) text_free(&v->row[i]);
    text_free(&v->title);
}

/* The rows of an R or U; false when there is something wrong. */
static inline bool viewer_rows(viewer_screen *v, const char *data, size_t len) {
    size_t row = wire_get16(data), at = 2;
    size_t first = row;
    while (at < len) {
        unsigned char head = (unsigned char)data[at++];
        size_t same = head >> 4, more = head & 15;
        if (same == 15) same = at + 2 <= len ? wire_get16(data + at) : SIZE_MAX, at += 2;
        if (more == 15) more = at + 2 <= len ? wire_get16(data + at) : SIZE_MAX, at += 2;
        if (row >= v->rows || at > len || more > len - at || v->row[row - (row > first)].len < same) {
            v->wrong = "a row over the edge, or cut";
            return false;
        }
        v->row[row].len = row > first ? 0 : same;
        if (!text_room(&v->row[row], same + more + 1)) return false;
        if (same && row > first) memcpy(v->row[row].ptr, v->row[row - 1].ptr, same);
        memcpy(v->row[row].ptr + same, data + at, more);
        v->row[row].len = same + more;
        row++;
        at += more;
    }
    return true;
}

static void viewer_apply(viewer_screen *v, const char *p, size_t n) {
    bool open = false, fresh = false;
    while (n) {
        size_t len, i;
        const char *data = p + 5;
        if (n < 5 || (len = wire_get32(p + 1)) > n - 5) {
            v->wrong = "a frame that is cut";
            return;
        }
        if (len + 5 > WIRE_MAX_FRAME) v->wrong = "a frame too long";
        if (open == (*p == 'S' || *p == 'D' || *p == 'U')) v->wrong = "S, D and C do not alternate";
        if (*p == 'S') {
            v->number = wire_get64(data);
            v->cols = wire_get16(data + 8);
            v->rows = wire_get16(data + 10);
            for (i = 0; i < v->rows; i++) v->row[i].len = 0;
            open = fresh = true;
        } else if (*p == 'D') {
            if (len != 1 || (unsigned char)*data != (unsigned char)(v->number + 1))
                v->wrong = "a delta from another screen";
            fresh = false;
            v->number++;
            open = true;
        } else if (*p == 'M') {
            size_t to = wire_get16(data), from = wire_get16(data + 2), count = wire_get16(data + 4);
            if (to + count > v->rows || from + count > v->rows || to == from) {
                v->wrong = "a move over the edge";
                return;
            }
            for (i = 0; i < count; i++) {
                size_t k = to < from ? i : count - 1 - i;
                viewer_set(&v->row[to + k], v->row[from + k].ptr, v->row[from + k].len);
            }
        } else if (*p == 'R') {
            if (!viewer_rows(v, data, len)) return;
        } else if (*p == 'U') {
            if (len < 1 || (unsigned char)*data != (unsigned char)(v->number + 1)) {
                v->wrong = "an update of another screen";
                return;
            }
            v->number++;
            if (!viewer_rows(v, data + 1, len - 1)) return;
        } else if (*p == 'T') {
            viewer_set(&v->title, data, len);
        } else if (*p == 'C') {
            if ((len != 0 && len != 4 && len != 8) || (fresh && len != 8))
                v->wrong = "a commit of such a size";
            if (len >= 4) v->cursor_x = wire_get16(data);
            if (len >= 4) v->cursor_y = wire_get16(data + 2);
            if (len == 8) v->modes = wire_get32(data + 4);
            open = false;
        } else {
            v->wrong = "a frame of no such type";
        }
        p += 5 + len;
        n -= 5 + len;
    }
    if (open) v->wrong = "an update that is never shown";
}

/* NULL when they agree. */
static const char *viewer_differs(const viewer_screen *v, const screen *s) {
    const char *p = s->text.ptr;
    size_t i;
    if (v->wrong) return v->wrong;
    if (v->cols != s->cols || v->rows != s->rows) return "size";
    for (i = 0; i < v->rows; i++) {
        size_t n = 0;
        while (p[n] != '\n') n++;
        if (n != v->row[i].len || (n && memcmp(p, v->row[i].ptr, n) != 0)) return "row";
        p += n + 1;
    }
    if (v->cursor_x != s->cursor_x || v->cursor_y != s->cursor_y || v->modes != s->modes)
        return "cursor or modes";
    if (v->title.len != s->title.len ||
        (s->title.len && memcmp(v->title.ptr, s->title.ptr, s->title.len) != 0))
        return "title";
    return NULL;
}

#endif
