/* SPDX-License-Identifier: MIT-0
   A session as a file that others can play: asciicast, version 2 (a line of JSON for the head, then one for
   each event). What is written is what viewers see, screen by screen: a flood becomes thirty screens a second
   and not the flood, and what was filtered for viewers is not in it. What was typed is not in it but where it
   was echoed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bridge.h"
#include "stream_json.h"

bool record_open(recording *r, const char *path) {
    struct stat about;
    memset(r, 0, sizeof *r);
    /* A new file, for its owner alone: there is no telling what will be on the screen. */
    r->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (r->fd < 0) return false;
    if (fstat(r->fd, &about) == 0 && S_ISREG(about.st_mode)) return true;
    record_close(r);
    errno = EINVAL;
    return false;
}

void record_close(recording *r) {
    if (r->fd >= 0) close(r->fd);
    r->fd = -1;
    text_free(&r->event);
    text_free(&r->ansi);
}

static void give_up(recording *r, const char *why) {
    bridge_log("--record: %s; what was recorded so far is kept", why);
    record_close(r);
}

/* Whole lines or nothing: a line that was cut by a full disk is taken back. */
static void write_out(recording *r, metrics *m) {
    off_t before = lseek(r->fd, 0, SEEK_CUR);
    size_t done = 0;
    while (done < r->event.len) {
        ssize_t n = write(r->fd, r->event.ptr + done, r->event.len - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            int error = errno;
            if (ftruncate(r->fd, before) != 0) bridge_log("--record: its last line is cut");
            give_up(r, strerror(error));
            return;
        }
        done += (size_t)n;
    }
    m->recorded_bytes += done;
    r->event.len = 0;
}

/* Appends [time, code, text] and LF. */
static bool add_event(recording *r, char code, const char *text, size_t len) {
    uint64_t us = (stream_now_ns() - r->start_ns) / 1000;
    stream_json_writer w;
    size_t n, room = len * 6 + 64; /* no byte becomes more than six */
    char *at;
    if (!text_room(&r->event, room)) return false;
    at = r->event.ptr + r->event.len;
    n = (size_t)snprintf(at, room, "[%llu.%06u, \"%c\", ", (unsigned long long)(us / 1000000),
                         (unsigned)(us % 1000000), code);
    stream_json_writer_init(&w, at + n, room - n);
    stream_json_write_string(&w, text, len);
    if (stream_json_writer_finish(&w, &len) != STREAM_OK) return false;
    n += len;
    memcpy(at + n, "]\n", 2);
    r->event.len += n + 2;
    return true;
}

static bool add_text(text_buffer *out, const char *format, unsigned a, unsigned b) {
    int n;
    if (!text_room(out, 64)) return false;
    n = snprintf(out->ptr + out->len, 64, format, a, b);
    out->len += n > 0 ? (size_t)n : 0;
    return true;
}

/* What a terminal is sent to show it. */
static bool add_screen(const screen *was, const screen *now, text_buffer *out) {
    stream_diff diff;
    stream_diff_row row;
    bool good = true;
    /* Without wrapping: a player that takes another width for some character spoils that row only. */
    if (!was) good = add_text(out, "\033[?7l\033[0m\033[2J", 0, 0);
    stream_diff_init(&diff, was ? was->text.ptr : NULL, was ? was->text.len : 0, now->text.ptr,
                     now->text.len);
    while (good && stream_diff_next(&diff, &row) == STREAM_OK)
        good = add_text(out, "\033[%u;%uH\033[2K", (unsigned)row.row + 1, 1) &&
               screen_ansi(row.now, out) == STREAM_OK;
    return good && add_text(out, "\033[%u;%uH", now->cursor_y + 1u, now->cursor_x + 1u) &&
           add_text(out, now->modes & SCREEN_CURSOR ? "\033[?25h" : "\033[?25l", 0, 0);
}

void record_screen(recording *r, const screen *was, const screen *now, metrics *m) {
    bool good = true, resized = r->cols != now->cols || r->rows != now->rows;
    char size[32];
    if (r->fd < 0) return;
    r->event.len = r->ansi.len = 0;
    if (r->start_ns == 0) {
        r->start_ns = stream_now_ns();
        good = text_room(&r->event, 256);
        if (good)
            r->event.len =
                (size_t)snprintf(r->event.ptr, 256,
                                 "{\"version\": 2, \"width\": %u, \"height\": %u, \"timestamp\": %lld, "
                                 "\"env\": {\"TERM\": \"xterm-256color\"}}\n",
                                 now->cols, now->rows, (long long)time(NULL));
    } else if (resized) {
        good = add_event(r, 'r', size, (size_t)snprintf(size, sizeof size, "%ux%u", now->cols, now->rows));
    }
    good = good && add_screen(resized ? NULL : was, now, &r->ansi) &&
           add_event(r, 'o', r->ansi.ptr, r->ansi.len);
    r->cols = now->cols;
    r->rows = now->rows;
    if (good) write_out(r, m);
    else give_up(r, "no memory");
}
