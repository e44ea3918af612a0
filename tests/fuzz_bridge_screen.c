/* SPDX-License-Identifier: MIT-0
   Fuzz target: two captures, the second after the first; rows are canonical, messages make a viewer see the
   same. The first two bytes of the input are columns and rows, NUL ends the first capture. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "fuzz_split.h"
#include "bridge_check.h"
#include "../examples/common/text.c"
#include "../examples/tmux_bridge/screen.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_rows(const screen *s) {
    const char *p = s->text.ptr;
    size_t i;
    for (i = 0; i < s->rows; i++) {
        size_t n = 0;
        while (p[n] != '\n') n++;
        FUZZ_CHECK(row_wrong(p, n, s->cols) == NULL);
        p += n + 1;
    }
    FUZZ_CHECK(p == s->text.ptr + s->text.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static viewer_screen v;
    screen one, two;
    text_buffer out = {NULL, 0, 0};
    size_t cols, rows, first = 0;
    stream_status status;
    if (len < 2) return 0;
    cols = data[0] % 40 + 1u;
    rows = data[1] % 12 + 1u;
    data += 2;
    len -= 2;
    while (first < len && data[first]) first++;
    memset(&one, 0, sizeof one);
    memset(&two, 0, sizeof two);
    v.wrong = NULL;
    v.title.len = 0;
    FUZZ_CHECK(screen_capture(&one, data, first, cols, rows) == STREAM_OK);
    FUZZ_CHECK(screen_capture(&two, data + first, len - first, cols, rows) == STREAM_OK);
    check_rows(&one);
    check_rows(&two);
    FUZZ_CHECK(screen_write_snapshot(&one, 5, &out) == STREAM_OK);
    viewer_apply(&v, out.ptr, out.len);
    FUZZ_CHECK(viewer_differs(&v, &one) == NULL);
    out.len = 0;
    status = screen_write_delta(&one, &two, 6, &out);
    FUZZ_CHECK(status == STREAM_OK || status == STREAM_EMPTY);
    viewer_apply(&v, out.ptr, out.len);
    FUZZ_CHECK(viewer_differs(&v, &two) == NULL);
    screen_free(&one);
    screen_free(&two);
    text_free(&out);
    return 0;
}
