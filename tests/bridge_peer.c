/* SPDX-License-Identifier: MIT-0
   Screens for tests/bridge_wire.mjs: what tmux_bridge sends of them, and what is on them, cell by cell, as
   text:

       M hex of a message       S columns rows x y modes title
       R a line of the screen: for each cell [characters in hex,width,attributes,fg,bg,underline] */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "test.h"
#include "../examples/common/text.c"
#include "../examples/tmux_bridge/screen.c"

static void print_hex(const char *p, size_t n) {
    size_t i;
    for (i = 0; i < n; i++) printf("%02x", (unsigned char)p[i]);
}

static void print_screen(const screen *s) {
    size_t at = 0;
    printf("S %u %u %u %u %u ", s->cols, s->rows, s->cursor_x, s->cursor_y, (unsigned)s->modes);
    print_hex(s->title.ptr, s->title.len);
    printf("\n");
    while (at < s->text.len) {
        size_t n = stream_find_newline(s->text.ptr + at, s->text.len - at);
        screen_reader r;
        memset(&r, 0, sizeof r);
        r.rest = stream_slice_of(s->text.ptr + at, n);
        printf("R ");
        while (screen_next(&r)) {
            printf("[");
            print_hex(r.cell.ptr, r.cell.len);
            printf(",%u,%u,%u,%u,%u]", r.width, (unsigned)r.style.attributes, (unsigned)r.style.fg,
                   (unsigned)r.style.bg, (unsigned)r.style.underline);
        }
        printf("\n");
        at += n + 1;
    }
}

int main(void) {
    static const char *const piece[] = {
        "a", "bc", "   ", "----------", "\033[0m\n", "\033[0m\n", "\033[0m\n", "\033[0m\n", "\033[1m",
        "\033[0m", "\033[31m", "\033[38;5;99m", "\033[4:3m", "\033[48;2;9;8;7m", "\033[58;5;1m", "\033[7;9m",
        "\344\270\255", "e\314\201", "\360\237\230\200", "\360\237\221\215\360\237\217\275",
        "\342\235\244\357\270\217", "\016qx\017", "a long line of plain text, "};
    uint64_t seed = 5, number = 0;
    screen was, now, swap;
    text_buffer out = {NULL, 0, 0}, capture = {NULL, 0, 0};
    size_t i, k;
    memset(&was, 0, sizeof was);
    memset(&now, 0, sizeof now);
    for (i = 0; i < 600; i++) {
        size_t cols = 20 + i / 100 * 17, rows = 3 + i / 100 * 5;
        if (test_random(&seed) % 3 && capture.len) { /* scrolled by one, and a new last line */
            size_t first = stream_find_newline(capture.ptr, capture.len);
            if (first < capture.len) first++;
            memmove(capture.ptr, capture.ptr + first, capture.len - first);
            capture.len -= first;
        } else {
            capture.len = 0;
        }
        for (k = 0; k < 4 + (capture.len ? 0 : rows * 4); k++) {
            const char *p = piece[test_random(&seed) % (sizeof piece / sizeof *piece)];
            if (!text_room(&capture, strlen(p))) return 1;
            memcpy(capture.ptr + capture.len, p, strlen(p));
            capture.len += strlen(p);
        }
        if (screen_capture(&now, capture.ptr, capture.len, cols, rows) != STREAM_OK) return 1;
        now.cursor_x = (uint16_t)(test_random(&seed) % cols);
        now.cursor_y = (uint16_t)(test_random(&seed) % rows);
        now.modes = (uint32_t)(test_random(&seed) % 1024);
        now.title.len = 0;
        text_add_safe(&now.title, "\303\251 title", test_random(&seed) % 2 ? 8 : 0, true);
        out.len = 0;
        if (screen_write_delta(&was, &now, ++number, &out) != STREAM_OK) {
            out.len = 0;
            if (screen_write_snapshot(&now, number, &out) != STREAM_OK) return 1;
        }
        printf("M ");
        print_hex(out.ptr, out.len);
        printf("\n");
        print_screen(&now);
        swap = was;
        was = now;
        now = swap;
    }
    screen_free(&was);
    screen_free(&now);
    text_free(&out);
    text_free(&capture);
    return 0;
}
