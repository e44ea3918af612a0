/* SPDX-License-Identifier: MIT-0
   examples/tmux_bridge/screen: captures as tmux 3.3a writes them become rows of cells; rows become messages;
   what a viewer makes of the messages is the screen.

   TEST_SCALE=percent scales the random parts.

   Build: cc -std=c11 -I. -Iexamples/common tests/test_bridge_screen.c */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "test.h"
#include "cuts.h"
#include "bridge_check.h"
#include "../examples/common/text.c"
#include "../examples/tmux_bridge/screen.c"

/* One line as text: each cell in angle brackets with what is not plain about it. */
static void describe(notes *t, stream_slice row) {
    screen_reader r;
    memset(&r, 0, sizeof r);
    r.rest = row;
    t->len = 0;
    while (screen_next(&r)) {
        const screen_style *s = &r.style;
        if (r.width == 1 && r.cell.len == 1 && !(s->attributes | s->fg | s->bg | s->underline)) {
            notes_add(t, "%c", *r.cell.ptr);
            continue;
        }
        notes_add(t, "<%.*s", (int)r.cell.len, r.cell.ptr);
        if (r.width != 1) notes_add(t, " w%u", r.width);
        if (s->attributes) notes_add(t, " a%u", (unsigned)s->attributes);
        if (s->fg) notes_add(t, " f%x", (unsigned)s->fg);
        if (s->bg) notes_add(t, " b%x", (unsigned)s->bg);
        if (s->underline) notes_add(t, " u%x", (unsigned)s->underline);
        notes_add(t, ">");
    }
}

static void captures_become_cells(void) {
    static const struct {
        const char *capture, *cells;
    } known[] = {
        {"", ""},
        {"plain", "plain"},
        {"  two   blanks  ", "  two   blanks"},
        {"\033[1m\033[31mR\033[0m\033[39m\033[49m x", "<R a1 f1000001> x"},
        {"\033[2;3;4md\033[0mx", "<d a14>x"},
        {"\033[4:3m\033[58;2;255;1;2mc\033[0;4:4m4\033[0;4:2m2\033[24mn\033[21m2",
         "<c a24 u2ff0102><4 a32><2 a16>n<2 a16>"},
        {"\033[5:3mo\033[55mn\033[5mb\033[25mn\033[53mo", "<o a1024>n<b a64>n<o a1024>"},
        {"\033[38;5;200m5\033[48;2;1;2;3mt\033[39m\033[49mn", "<5 f10000c8><t f10000c8 b2010203>n"},
        {"\033[38:5:7ma\033[38:2:1:2:3mb\033[38:2::4:5:6mc\033[38:2::4:5:6:0:1md\033[0m",
         "<a f1000007><b f2010203><c f2040506><d f2040506>"},
        {"\033[94;104mb\033[39mn\033[49mp\033[97mw\033[100mg",
         "<b f100000c b100000c><n b100000c>p<w f100000f><g f100000f b1000008>"},
        {"\033[7mr\033[8mh\033[9ms\033[27mt\033[28mu\033[29mv", "<r a128><h a384><s a896><t a768><u a512>v"},
        {"\033[1;2mb\033[22mn\033[3mi\033[23mn", "<b a3>n<i a4>n"},
        {"\033[mz\033[1m\033[mz", "zz"},
        {"\016lqk\017lqk", "<\342\224\214><\342\224\200><\342\224\220>lqk"},
        {"\344\270\255\346\226\207|", "<\344\270\255 w2><\346\226\207 w2>|"},
        {"e\314\201|a\314\200\314\201b", "<e\314\201>|<a\314\200\314\201>b"},
        {"\314\201a", "a"},
        {"\360\237\221\250\342\200\215\360\237\221\251\342\200\215\360\237\221\247|",
         "<\360\237\221\250\342\200\215\360\237\221\251\342\200\215\360\237\221\247 w2>|"},
        {"\342\235\244\357\270\217|", "<\342\235\244\357\270\217 w2>|"},
        {"\360\237\221\215\360\237\217\275|", "<\360\237\221\215\360\237\217\275 w2>|"},
        {"a\tb", "a       b"},
        {"\033]8;;http://x/\033\\link\033]8;;\033\\ \033]52;c;aGk=\007x", "link x"},
        {"a\033]0;never ends", "a"},
        {"a\033P1q\033\\b\033(Bc\033=d\033[2Je\033[6nf\033[>0qg", "abcdefg"},
        {"a\001\002\010\177\302\205\302\233b", "ab"},
        {"a\342\200\256b\342\201\246c", "abc"}, /* what turns text round */
        {"\377\303x\355\240\200", "<\357\277\275><\357\277\275>x<\357\277\275><\357\277\275><\357\277\275>"},
        {"\033[44mblue  ", "<b b1000004><l b1000004><u b1000004><e b1000004><  b1000004><  b1000004>"},
        {"\033[31m  \033[4m \033[0m ", "<  f1000001><  f1000001><  a8 f1000001>"},
        {"\033[1;", ""},
        {"\033", ""},
        {"\033[99999999999999999999;1mx", "<x a1>"},
        {"\033[38;5mx\033[38mx\033[38;2;1;2mx\033[38;9;1mx", "xxx<x a1>"},
        {"\033[1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;1;4mx", "<x a1>"},
        {"\033[?25lx\033[1 qy", "xy"},
    };
    text_buffer row = {NULL, 0, 0};
    notes got = {NULL, 0, 0};
    size_t i;
    for (i = 0; i < COUNT(known); i++) {
        screen_style style;
        memset(&style, 0, sizeof style);
        row.len = 0;
        CHECK_EQ(screen_line(&style, known[i].capture, strlen(known[i].capture), 80, &row), STREAM_OK);
        describe(&got, stream_slice_of(row.ptr, row.len));
        CHECK_TEXT(got.ptr ? got.ptr : "", got.len, known[i].cells);
        CHECK(row_wrong(row.ptr ? row.ptr : "", row.len, 80) == NULL);
    }
    text_free(&row);
    free(got.ptr);
}

static void rows_are_short(void) {
    text_buffer row = {NULL, 0, 0};
    screen_style style;
    char line[400];
    memset(&style, 0, sizeof style);
    memset(line, '-', 200);
    screen_line(&style, line, 200, 200, &row);
    CHECK_TEXT(row.ptr, row.len, "-\020CG");
    row.len = 0;
    screen_line(&style, line, 200, 80, &row); /* clipped at the screen's edge */
    CHECK_TEXT(row.ptr, row.len, "-\020AO");
    row.len = 0;
    screen_line(&style, "aaaabbb", 7, 80, &row);
    CHECK_TEXT(row.ptr, row.len, "aaaabbb");
    row.len = 0;
    screen_line(&style, "abc\344\270\255", 6, 4, &row); /* half a wide character is none */
    CHECK_TEXT(row.ptr, row.len, "abc");
    row.len = 0;
    memset(&style, 0, sizeof style);
    screen_line(&style, "\033[31mone\033[0m\033[31mtwo", 20, 80, &row); /* the same style said again is not */
    CHECK_TEXT(row.ptr, row.len, "\002i@Aonetwo");
    text_free(&row);
}

static void a_style_goes_on_in_the_next_row(void) {
    static const char capture[] = "\033[1mone\ntwo\033[0m\nthree";
    screen s;
    memset(&s, 0, sizeof s);
    CHECK_EQ(screen_capture(&s, capture, sizeof capture - 1, 80, 5), STREAM_OK);
    CHECK_TEXT(s.text.ptr, s.text.len, "\001@@Aone\n\001@@Atwo\nthree\n\n\n");
    CHECK_EQ(screen_capture(&s, capture, sizeof capture - 1, 80, 2), STREAM_OK);
    CHECK_TEXT(s.text.ptr, s.text.len, "\001@@Aone\n\001@@Atwo\n");
    CHECK_EQ(screen_capture(&s, capture, 3, 0, 2), STREAM_E_ARGUMENT);
    CHECK_EQ(screen_capture(&s, capture, 3, 2, 1001), STREAM_E_ARGUMENT);
    CHECK_EQ(s.rows, 2);
    screen_free(&s);
}

static void state_is_read(void) {
    static const char *const bad[] = {
        "", "80", "80 24 1 2 3 1", "0 24 1 2 0 1 0 0 0 0 0 0 0 0 0 t", "80 2400 1 2 0 1 0 0 0 0 0 0 0 0 0 t",
        "x 24 1 2 0 1 0 0 0 0 0 0 0 0 0 t", "80 24 1 2 0 1 0 0 0 0 0 0 0 0 0",
        "80 24 99999999999 2 0 1 0 0 0 0 0 0 0 0 0 t"};
    screen s;
    size_t cols = 0, rows = 0, i;
    memset(&s, 0, sizeof s);
    CHECK_EQ(screen_state(&s, stream_slice_text("80 24 7 3 120 1 1 1 0 1 0 0 1 0 0 a \033]0;x\007 t"), &cols,
                          &rows), STREAM_OK);
    CHECK_EQ(cols, 80);
    CHECK_EQ(rows, 24);
    CHECK_EQ(s.cursor_x, 7);
    CHECK_EQ(s.cursor_y, 3);
    CHECK_EQ(s.history, 120);
    CHECK_EQ(s.modes, SCREEN_CURSOR | SCREEN_ALTERNATE | SCREEN_KEYS | SCREEN_MOUSE | SCREEN_MOUSE_SGR);
    CHECK_TEXT(s.title.ptr, s.title.len, "a \357\277\275]0;x\357\277\275 t");
    CHECK_EQ(screen_state(&s, stream_slice_text("80 24 80 30  0       1  1 "), &cols, &rows), STREAM_OK);
    CHECK_EQ(s.cursor_x, 79); /* tmux says 80 when the next character wraps */
    CHECK_EQ(s.cursor_y, 23);
    CHECK_EQ(s.modes, SCREEN_MOUSE_SGR | SCREEN_DEAD);
    CHECK_EQ(s.title.len, 0);
    for (i = 0; i < COUNT(bad); i++)
        CHECK_EQ(screen_state(&s, stream_slice_text(bad[i]), &cols, &rows), STREAM_E_INVALID);
    CHECK_EQ(s.cursor_x, 79);
    screen_free(&s);
}

/* Lines such as tmux makes, and such as it never would. */
static size_t random_line(uint64_t *seed, char *line, size_t cap) {
    static const char *const piece[] = {
        "a", "b", "xyz", "  ", "        ", "--------------", "\033[1m", "\033[0m", "\033[31m",
        "\033[38;5;99m", "\033[48;2;9;8;7m", "\033[39m\033[49m", "\033[4:3m", "\033[58;5;1m", "\033[7m",
        "\344\270\255", "e\314\201", "\360\237\221\215\360\237\217\275", "\342\235\244\357\270\217",
        "\360\237\221\250\342\200\215", "\314\200", "\033]8;;u\033\\", "\016q\017", "\t", "\377", "\033",
        "\302\233", "\342\200\256"};
    size_t n = 0, count = below(seed, 24), i;
    for (i = 0; i < count; i++) {
        const char *p = piece[below(seed, COUNT(piece))];
        size_t len = strlen(p);
        if (n + len > cap) break;
        memcpy(line + n, p, len);
        n += len;
    }
    return n;
}

static void random_rows_hold_together(void) {
    uint64_t seed = 33;
    text_buffer row = {NULL, 0, 0}, ansi = {NULL, 0, 0}, again = {NULL, 0, 0};
    size_t i;
    for (i = 0; i < scaled(20000); i++) {
        char line[256];
        size_t n = random_line(&seed, line, sizeof line), cols = 1 + below(&seed, 90);
        screen_style style;
        const char *wrong;
        memset(&style, 0, sizeof style);
        row.len = ansi.len = again.len = 0;
        CHECK_EQ(screen_line(&style, line, n, cols, &row), STREAM_OK);
        wrong = row_wrong(row.ptr ? row.ptr : "", row.len, cols);
        if (wrong) CHECK_TEXT("", 0, wrong);
        /* A terminal that is shown the row has it again. */
        CHECK_EQ(screen_ansi(stream_slice_of(row.ptr, row.len), &ansi), STREAM_OK);
        memset(&style, 0, sizeof style);
        CHECK_EQ(screen_line(&style, ansi.ptr, ansi.len, cols, &again), STREAM_OK);
        CHECK_BYTES(again.ptr, again.len, row.ptr, row.len);
        CHECK(!(style.attributes | style.fg | style.bg | style.underline));
    }
    text_free(&row);
    text_free(&ansi);
    text_free(&again);
}

/* Screens that follow one another: typed at, scrolled, redrawn, moved about. */
static void viewers_see_the_screen(void) {
    static viewer_screen v;
    uint64_t seed = 7;
    screen was, now;
    text_buffer out = {NULL, 0, 0}, capture = {NULL, 0, 0};
    char *line[40];
    size_t i, k, moves = 0, full = 0, turns = scaled(4000), each = turns / 40 + 1;
    for (i = 0; i < 40; i++) line[i] = (char *)calloc(1, 128);
    memset(&was, 0, sizeof was);
    memset(&now, 0, sizeof now);
    for (i = 0; i < turns; i++) { /* of every height, however few turns there are */
        size_t rows = 1 + i / each, cols = 20 + i / each, what = below(&seed, 5);
        stream_status status;
        const char *differs;
        screen swap;
        capture.len = out.len = 0;
        if (what == 0) { /* one row */
            char *typed = line[below(&seed, rows)];
            typed[random_line(&seed, typed, 100)] = 0;
        }
        if (what == 1) { /* up by some */
            size_t by = 1 + below(&seed, 3);
            for (k = 0; k + by < rows; k++) strcpy(line[k], line[k + by]);
            for (; k < rows; k++)
                snprintf(line[k], 128, "line %u of the log, long enough to move", (unsigned)(i + k));
        }
        if (what == 2) { /* down, from somewhere on */
            for (k = rows; k-- > 1 + below(&seed, 4);) strcpy(line[k], line[k - 1]);
        }
        if (what == 3) {
            for (k = 0; k < rows; k++) line[k][random_line(&seed, line[k], 100)] = 0;
        }
        for (k = 0; k < rows; k++) {
            text_room(&capture, 128);
            memcpy(capture.ptr + capture.len, line[k], strlen(line[k]));
            capture.len += strlen(line[k]);
            capture.ptr[capture.len++] = '\n';
        }
        CHECK_EQ(screen_capture(&now, capture.ptr, capture.len, cols, rows), STREAM_OK);
        now.cursor_x = (uint16_t)below(&seed, cols);
        now.modes = (uint32_t)below(&seed, 4);
        now.title.len = 0;
        if (below(&seed, 3)) text_add_safe(&now.title, "title", 5, true);
        status = screen_write_delta(&was, &now, v.number + 1, &out);
        if (status == STREAM_E_STATE) {
            CHECK(was.rows != now.rows || was.cols != now.cols);
            CHECK_EQ(out.len, 0);
            CHECK_EQ(screen_write_snapshot(&now, i, &out), STREAM_OK);
            full++;
        } else if (status != STREAM_EMPTY) {
            CHECK_EQ(status, STREAM_OK);
        }
        if (out.len) viewer_apply(&v, out.ptr, out.len);
        for (k = 0; k + 5 < out.len; k += 5 + wire_get32(out.ptr + k + 1)) moves += out.ptr[k] == 'M';
        differs = viewer_differs(&v, &now);
        if (differs) CHECK_TEXT("", 0, differs);
        CHECK(screen_write_delta(&now, &now, 1, &out) == STREAM_EMPTY);
        swap = was;
        was = now;
        now = swap;
    }
    CHECK(moves > i / 20);
    CHECK(full >= i / 100);
    for (i = 0; i < 40; i++) free(line[i]);
    screen_free(&was);
    screen_free(&now);
    text_free(&out);
    text_free(&capture);
    viewer_free(&v);
}

static void a_scrolled_screen_is_a_move_and_a_row(void) {
    screen was, now;
    text_buffer out = {NULL, 0, 0};
    static const char before[] = "first line, which goes\nsecond line, which stays\nthird line as well\n$ ";
    static const char after[] = "second line, which stays\nthird line as well\n$ ls\nnew";
    memset(&was, 0, sizeof was);
    memset(&now, 0, sizeof now);
    screen_capture(&was, before, sizeof before - 1, 80, 4);
    screen_capture(&now, after, sizeof after - 1, 80, 4);
    CHECK_EQ(screen_write_delta(&was, &now, 9, &out), STREAM_OK);
    CHECK_BYTES(out.ptr, out.len,
                "D\0\0\0\1\11" "M\0\0\0\6\0\0\0\1\0\2" "R\0\0\0\13\0\2\4$ ls\3new" "C\0\0\0\0",
                6 + 11 + 16 + 5);
    now.cursor_x = 2; /* only what has changed of the state is said */
    out.len = 0;
    CHECK_EQ(screen_write_delta(&was, &now, 256 + 7, &out), STREAM_OK);
    CHECK_BYTES(out.ptr + 6 + 11 + 16, out.len - 6 - 11 - 16, "C\0\0\0\4\0\2\0\0", 9);
    CHECK_EQ(out.ptr[5], 7);
    now.modes = SCREEN_CURSOR;
    out.len = 0;
    CHECK_EQ(screen_write_delta(&was, &now, 10, &out), STREAM_OK);
    CHECK_BYTES(out.ptr + 6 + 11 + 16, out.len - 6 - 11 - 16, "C\0\0\0\10\0\2\0\0\0\0\0\1", 13);
    out.len = 0; /* rows and nothing else: one frame */
    now.modes = 0;
    now.cursor_x = 0;
    screen_capture(&was, "10\n11\n12\n13", 11, 80, 4);
    screen_capture(&now, "20\n21\n22\n13", 11, 80, 4);
    CHECK_EQ(screen_write_delta(&was, &now, 11, &out), STREAM_OK);
    CHECK_BYTES(out.ptr, out.len, "U\0\0\0\12\13\0\0\2" "20\21" "1\21" "2", 15);
    out.len = 0; /* what is typed is all that is sent of a row */
    screen_capture(&was, "a prompt$ ech", 13, 80, 4);
    screen_capture(&now, "a prompt$ echo", 14, 80, 4);
    CHECK_EQ(screen_write_delta(&was, &now, 12, &out), STREAM_OK);
    CHECK_BYTES(out.ptr, out.len, "U\0\0\0\5\14\0\0\321" "o", 10);
    screen_free(&was);
    screen_free(&now);
    text_free(&out);
}

static void rows_that_are_too_long_are_left_out(void) {
    screen s;
    text_buffer capture = {NULL, 0, 0};
    size_t i;
    memset(&s, 0, sizeof s);
    for (i = 0; i < 1000; i++) { /* thirty bytes a cell, and joined as far as a cell goes */
        char cell[128];
        int n = snprintf(
            cell, sizeof cell, "\033[1;4:%u;38;2;%u;2;3;48;2;4;%u;6;58;2;7;8;%um%s", (unsigned)(i % 5 + 1),
            (unsigned)i & 255, (unsigned)i & 255, (unsigned)i & 255,
            "a\314\201\314\201\314\201\314\201\314\201\314\201\314\201\314\201\314\201\314\201\314\201"
            "\314\201\314\201\314\201\314\201\314\201\314\201\314\201");
        text_room(&capture, (size_t)n);
        memcpy(capture.ptr + capture.len, cell, (size_t)n);
        capture.len += (size_t)n;
    }
    CHECK_EQ(screen_capture(&s, capture.ptr, capture.len, 1000, 1), STREAM_OK);
    CHECK(s.text.len == 1 ? s.clipped == 1 : s.text.len <= SCREEN_MAX_ROW + 1);
    screen_free(&s);
    text_free(&capture);
}

static void widths_are_in_order(void) {
    uint32_t c;
    size_t i;
    for (i = 1; i < COUNT(zero_columns); i++) CHECK(zero_columns[i - 1][1] < zero_columns[i][0]);
    for (i = 1; i < COUNT(two_columns); i++) CHECK(two_columns[i - 1][1] < two_columns[i][0]);
    for (c = 0x20; c < 0x300; c++) CHECK_EQ(screen_width(c), 1);
    CHECK_EQ(screen_width(0x301), 0);
    CHECK_EQ(screen_width(0x4E2D), 2);
    CHECK_EQ(screen_width(0x1F600), 2);
    CHECK_EQ(screen_width(0x1F1E6), 1);
    CHECK_EQ(screen_width(0x200D), 0);
    CHECK_EQ(screen_width(0x10FFFF), 1);
}

int main(void) {
    TEST_PROGRAM("bridge_screen");
    RUN(captures_become_cells);
    RUN(rows_are_short);
    RUN(a_style_goes_on_in_the_next_row);
    RUN(state_is_read);
    RUN(random_rows_hold_together);
    RUN(viewers_see_the_screen);
    RUN(a_scrolled_screen_is_a_move_and_a_row);
    RUN(rows_that_are_too_long_are_left_out);
    RUN(widths_are_in_order);
    return test_end();
}
