/* SPDX-License-Identifier: MIT-0
   What is done grows with the input and no faster, whatever the input and however it is cut. Counted, not
   timed: every basic block of the headers and of the tools' codecs that is gone through, and a sixteenth of
   every byte that the C library moves or looks at for them. Twice as much input may cost twice as much:
   from 2n to 4n bytes 2.2 times what it costs from n to 2n, where a square would be 4.

   Build: cc -c tests/count_blocks.c
          cc -fsanitize-coverage=trace-pc -I. -Iexamples/common tests/test_linear.c count_blocks.o */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern unsigned long long count_blocks;

static void looked_at(size_t n) { count_blocks += n / 16; }
static void *counted_memcpy(void *to, const void *from, size_t n) {
    return looked_at(n), memcpy(to, from, n);
}
static void *counted_memmove(void *to, const void *from, size_t n) {
    return looked_at(n), memmove(to, from, n);
}
static void *counted_memset(void *to, int byte, size_t n) { return looked_at(n), memset(to, byte, n); }
static int counted_memcmp(const void *a, const void *b, size_t n) { return looked_at(n), memcmp(a, b, n); }
static const void *counted_memchr(const void *in, int byte, size_t n) {
    const char *hit = n ? (const char *)memchr(in, byte, n) : NULL;
    looked_at(hit ? (size_t)(hit - (const char *)in) : n);
    return hit;
}
static void *counted_realloc(void *p, size_t n) { return looked_at(n), realloc(p, n); }

#define memcpy  counted_memcpy
#define memmove counted_memmove
#define memset  counted_memset
#define memcmp  counted_memcmp
#define memchr  counted_memchr
#define realloc counted_realloc
#define STREAM_IMPLEMENTATION
#include "stream.h"
#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"
#include "http.c"
#include "digest.c"
#include "websocket.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef memchr
#undef realloc
#include "test.h"

/* ---- what is measured, and with what ---------------------------------------------------------------- */

enum { N = 12288 }; /* 1024 levels, the deepest, are behind it in every shape */

typedef struct shape {
    const char *head;
    size_t head_len;
    const char *unit; /* again and again behind the head */
    size_t unit_len;
} shape;

#define SHAPE(head, unit)                                                                                  \
    { head, sizeof(head) - 1, unit, sizeof(unit) - 1 }

static char text[4 * N + 64];

static void shape_text(const shape *s) {
    size_t i;
    memcpy(text, s->head, s->head_len);
    for (i = s->head_len; i < sizeof text; i++) text[i] = s->unit[(i - s->head_len) % s->unit_len];
}

/* n bytes of text through one object, in pieces of so many bytes. */
typedef void (*doing)(const void *with, size_t n, size_t piece);

static unsigned long long cost(doing what, const void *with, size_t n, size_t piece) {
    unsigned long long before = count_blocks;
    what(with, n, piece);
    return count_blocks - before;
}

static void grows_with_the_input(const char *name, doing what, const void *with, const shape *shapes,
                                 size_t count) {
    static const size_t pieces[] = {1, 61, 4096, 4 * N};
    size_t i, k;
    for (i = 0; i < count; i++) {
        shape_text(&shapes[i]);
        for (k = 0; k < COUNT(pieces); k++) {
            const unsigned long long one = cost(what, with, N, pieces[k]),
                                     two = cost(what, with, 2 * N, pieces[k]),
                                     four = cost(what, with, 4 * N, pieces[k]);
            const bool linear = one > 0 && four <= two + (two - one) * 22 / 10 + N / 8;
            if (!linear) {
                printf("  %s, %zu bytes at a time: %llu, %llu, %llu for ", name, pieces[k], one, two, four);
                test_print_bytes(text, 40);
                putchar('\n');
            }
            CHECK(linear);
        }
    }
}

static void feed_all(stream_decoder d, size_t n, size_t piece) {
    stream_item item;
    size_t at, take;
    for (at = 0; at < n; at += take) {
        take = n - at < piece ? n - at : piece;
        if (d.feed(d.self, text + at, take) != STREAM_OK) return;
        while (d.next(d.self, &item) != STREAM_MORE)
            if (item.ptr == NULL && item.len) abort();
    }
    d.finish(d.self);
    while (d.next(d.self, &item) != STREAM_END) continue;
}

/* ---- stream.h --------------------------------------------------------------------------------------- */

static void do_lines(const void *with, size_t n, size_t piece) {
    stream_lines lines;
    if (stream_lines_init(&lines, (const stream_lines_desc *)with) != STREAM_OK) abort();
    feed_all(stream_lines_decoder(&lines), n, piece);
    stream_lines_free(&lines);
}

static void lines(void) {
    static const shape shapes[] = {SHAPE("", "\n"),  SHAPE("", "\r"),   SHAPE("", "\r\n"),
                                   SHAPE("", "d"),   SHAPE("", "ab\r"), SHAPE("", "a line of text\n"),
                                   SHAPE("\n", "\0")};
    stream_lines_desc desc;
    memset(&desc, 0, sizeof desc);
    grows_with_the_input("lines", do_lines, &desc, shapes, COUNT(shapes));
    desc.max_len = 100;
    grows_with_the_input("short lines", do_lines, &desc, shapes, COUNT(shapes));
}

static void do_frames(const void *with, size_t n, size_t piece) {
    stream_frame frame;
    if (stream_frame_init(&frame, (const stream_frame_desc *)with) != STREAM_OK) abort();
    feed_all(stream_frame_decoder(&frame), n, piece);
    stream_frame_free(&frame);
}

static void frames(void) {
    static const shape shapes[] = {SHAPE("", "\1\0\0\0\0"),
                                   SHAPE("", "\1\0\0\0\1x"),
                                   SHAPE("\1\0\17\377\377", "x"),
                                   SHAPE("\1\377\377\377\377", "x"),
                                   SHAPE("", "\377"),
                                   SHAPE("", "\1\0\0\0\40a payload of some length and more")};
    stream_frame_desc desc;
    memset(&desc, 0, sizeof desc);
    grows_with_the_input("frames", do_frames, &desc, shapes, COUNT(shapes));
    desc.max_len = 16;
    grows_with_the_input("short frames", do_frames, &desc, shapes, COUNT(shapes));
}

static void do_sse(const void *with, size_t n, size_t piece) {
    stream_sse sse;
    if (stream_sse_init(&sse, (const stream_sse_desc *)with) != STREAM_OK) abort();
    feed_all(stream_sse_decoder(&sse), n, piece);
    stream_sse_free(&sse);
}

static void sse(void) {
    static const shape shapes[] = {SHAPE("", "\r"),
                                   SHAPE("", "\n"),
                                   SHAPE("", "\r\n"),
                                   SHAPE("", "data\n"),
                                   SHAPE("", "data:\r"),
                                   SHAPE("", "d"),
                                   SHAPE("data: ", "d"),
                                   SHAPE("data:", "\0"),
                                   SHAPE("", ":"),
                                   SHAPE("", ":\n"),
                                   SHAPE("", "id: 1\n"),
                                   SHAPE("", "id: 1\r\r"),
                                   SHAPE("id: ", "1"),
                                   SHAPE("event: ", "e"),
                                   SHAPE("", "event:a\r\n"),
                                   SHAPE("retry: ", "1"),
                                   SHAPE("", "retry: 1\r"),
                                   SHAPE("", "data: 12\n\n"),
                                   SHAPE("", "id: 7\nevent: delta\ndata: {\"text\":\"word\"}\n\n")};
    stream_sse_desc desc;
    int blocks;
    memset(&desc, 0, sizeof desc);
    for (blocks = 0; blocks < 2; blocks++) {
        desc.mode = blocks ? STREAM_SSE_BLOCKS : STREAM_SSE_EVENTS;
        desc.max_len = 0;
        grows_with_the_input("sse", do_sse, &desc, shapes, COUNT(shapes));
        desc.max_len = 100;
        grows_with_the_input("short events", do_sse, &desc, shapes, COUNT(shapes));
    }
}

static void do_sse_write(const void *with, size_t n, size_t piece) {
    static char out[8 * sizeof text];
    stream_sse_event event;
    size_t at, len;
    (void)with;
    memset(&event, 0, sizeof event);
    for (at = 0; at < n; at += piece) {
        event.data = stream_slice_of(text + at, n - at < piece ? n - at : piece);
        if (stream_sse_write(&event, out, sizeof out, &len) != STREAM_OK) abort();
    }
}

static void sse_written(void) {
    static const shape shapes[] = {SHAPE("", "\r"), SHAPE("", "\n"), SHAPE("", "\r\n"), SHAPE("", "d"),
                                   SHAPE("", "d\r")};
    grows_with_the_input("sse written", do_sse_write, NULL, shapes, COUNT(shapes));
}

static void do_utf8(const void *with, size_t n, size_t piece) {
    stream_utf8 state;
    size_t at;
    (void)with;
    memset(&state, 0, sizeof state);
    for (at = 0; at < n; at += piece) stream_utf8_feed(&state, text + at, n - at < piece ? n - at : piece);
    stream_utf8_finish(&state);
}

static void do_rows(const void *with, size_t n, size_t piece) {
    stream_diff diff;
    stream_diff_row row;
    (void)with, (void)piece;
    stream_diff_init(&diff, text, n, text + 1, n);
    while (stream_diff_next(&diff, &row) == STREAM_OK) continue;
}

static void text_of_any_kind(void) {
    static const shape shapes[] = {SHAPE("", "a"),   SHAPE("", "\303\251"), SHAPE("", "\360\237\230\200"),
                                   SHAPE("", "\n"),  SHAPE("", "a\n"),      SHAPE("", "row\nraw\n"),
                                   SHAPE("", "\200")};
    grows_with_the_input("utf8", do_utf8, NULL, shapes, COUNT(shapes));
    grows_with_the_input("rows", do_rows, NULL, shapes, COUNT(shapes));
}

/* ---- stream_json.h ---------------------------------------------------------------------------------- */

static const shape json_shapes[] = {
    SHAPE("", "["),
    SHAPE("", "]"),
    SHAPE("", "{\"a\":"),
    SHAPE("", "[]"),
    SHAPE("[", "[],"),
    SHAPE("[", "[[]],"),
    SHAPE("", "{}\n"),
    SHAPE("", "}{"),
    SHAPE("", "[\n"),
    SHAPE("", "\n"),
    SHAPE("", "\r"),
    SHAPE("", " "),
    SHAPE("[", " "),
    SHAPE("", "\\"),
    SHAPE("\"", "\\"),
    SHAPE("[\"", "\\\\"),
    SHAPE("\"", "\\\""),
    SHAPE("", "\""),
    SHAPE("[", "\"\","),
    SHAPE("\"", "\\u0041"),
    SHAPE("\"", "\\ud83d\\ude00"),
    SHAPE("\"", "\303\251"),
    SHAPE("\"", "\377"),
    SHAPE("\"", "a"),
    SHAPE("{\"", "key"),
    SHAPE("{", "\"a\":1,"),
    SHAPE("", "1"),
    SHAPE("[", "1,"),
    SHAPE("[", "1234567890,"),
    SHAPE("0.", "0"),
    SHAPE("", "-"),
    SHAPE("", "1 "),
    SHAPE("", "true"),
    SHAPE("[", "null,"),
    SHAPE("", "nul"),
    SHAPE("", "noise"),
    SHAPE("", "not json\n"),
    SHAPE("", "x[1]"),
    SHAPE("", "x {\n"),
    SHAPE("", "[1}"),
    SHAPE("f() {", "\n x"),
    SHAPE("", "\36"),
    SHAPE("", "\36[1]"),
    SHAPE("", "$"),
    SHAPE("", "1$"),
    SHAPE("", "{\"type\":\"delta\",\"n\":12}\n"),
    SHAPE("", "{\"a\":1}\n{\"b\":[true,\"x\"]}\n"),
    SHAPE("", "{\"a\":[1,2}\n"),
    SHAPE(
        "",
        "{\"type\":\"delta\",\"event\":{\"delta\":{\"text\":\"a \\\"word\\\" or two\"}},\"id\":123456}\n"),
    SHAPE("{\"type\":\"", "text without an end "),
    SHAPE("{\"event\":{\"delta\":{\"text\":\"", "text, \\\"quoted\\\" ")};

static void do_json(const void *with, size_t n, size_t piece) {
    stream_json json;
    if (stream_json_init(&json, (const stream_json_desc *)with) != STREAM_OK) abort();
    feed_all(stream_json_decoder(&json), n, piece);
    stream_json_free(&json);
}

static void json_frames(bool strict) {
    static const char *const kernels[] = {NULL, "scalar"};
    static const stream_json_mode modes[] = {STREAM_JSON_NDJSON, STREAM_JSON_CONCATENATED,
                                             STREAM_JSON_DOLLAR, STREAM_JSON_RS};
    size_t i, k, limit;
    for (k = 0; k < COUNT(kernels); k++) {
        for (i = 0; i < COUNT(modes); i += strict ? 1u : 2u) {
            /* What is too long is stepped over alike in all modes. */
            for (limit = 0; limit < (strict && i < 2 ? 2u : 1u); limit++) {
                stream_json_desc desc;
                memset(&desc, 0, sizeof desc);
                desc.mode = modes[i];
                desc.strict = strict;
                desc.kernel = kernels[k];
                desc.max_len = limit * 100;
                grows_with_the_input(kernels[k] ? kernels[k] : "vectors", do_json, &desc, json_shapes,
                                     COUNT(json_shapes));
            }
        }
    }
}

static void json_framed(void) { json_frames(false); }
static void json_framed_strictly(void) { json_frames(true); }

static void do_check(const void *with, size_t n, size_t piece) {
    stream_json_checker checker;
    size_t at;
    if (stream_json_checker_init(&checker, (const char *)with) != STREAM_OK) abort();
    for (at = 0; at < n; at += piece)
        stream_json_checker_feed(&checker, text + at, n - at < piece ? n - at : piece);
}

static void json_checked(void) {
    static const char *const kernels[] = {"avx512", "avx2", "sse2", "neon", "scalar"};
    size_t k;
    for (k = 0; k < COUNT(kernels); k++) {
        stream_json_checker known;
        if (stream_json_checker_init(&known, kernels[k]) != STREAM_OK) continue; /* not on this machine */
        grows_with_the_input(kernels[k], do_check, kernels[k], json_shapes, COUNT(json_shapes));
    }
}

/* What is no JSON is told soon, however much of it there is. */
static void json_checked_no_further_than_a_fault(void) {
    static const shape faulty[] = {SHAPE("[1}", "2,"), SHAPE("[", "\"a\":1,"), SHAPE("[\"\\x", "text "),
                                   SHAPE("[nil", "[")};
    size_t i;
    for (i = 0; i < COUNT(faulty); i++) {
        shape_text(&faulty[i]);
        CHECK(cost(do_check, NULL, 4 * N, 4 * N) == cost(do_check, NULL, 4 * N - 8000, 4 * N));
    }
}

static const char *const wanted[] = {"/type", "/event/delta/text", "/0/0/0", "/a", "/n", "/\\\\\\"};

/* A value that arrives, and what a view lets be seen of it; the same shown as it comes. */
static void do_view(const void *with, size_t n, size_t piece) {
    stream_json_view view;
    char shown[4096];
    size_t at, done = 0, len;
    (void)with;
    if (stream_json_view_init(&view, wanted, COUNT(wanted)) != STREAM_OK) abort();
    for (at = 0; at < n; at += piece) {
        const stream_json_field *field = &view.field[1];
        stream_json_view_feed(&view, text + at, n - at < piece ? n - at : piece);
        if (field->safe > done)
            (void)stream_json_unescape(text + field->offset + 1 + done, field->safe - done,
                                       STREAM_JSON_REPLACE, shown, sizeof shown, &len);
        done = field->safe;
    }
}

/* Records of one piece each, or one of all pieces. */
static void do_pick(const void *with, size_t n, size_t piece) {
    stream_json_value out[COUNT(wanted)];
    size_t at;
    (void)with;
    if (piece >= 4096) piece = n;
    for (at = 0; at < n; at += piece)
        (void)stream_json_pick(text + at, n - at < piece ? n - at : piece, wanted, COUNT(wanted), out);
}

static void do_picker(const void *with, size_t n, size_t piece) {
    stream_json_picker picker;
    stream_json_value out[COUNT(wanted)];
    size_t at;
    (void)with;
    if (stream_json_picker_init(&picker, wanted, COUNT(wanted)) != STREAM_OK) abort();
    if (piece >= 4096) piece = n;
    for (at = 0; at < n; at += piece)
        (void)stream_json_picker_pick(&picker, text + at, n - at < piece ? n - at : piece, out);
}

/* Every member or element, each read as what it is. */
static void do_read(const void *with, size_t n, size_t piece) {
    static char out[sizeof text];
    stream_json_value v = stream_json_value_of(text, n), key, value;
    stream_json_each each;
    size_t len;
    double number;
    (void)with, (void)piece;
    (void)stream_json_string(v, STREAM_JSON_PASS, out, sizeof out, &len);
    (void)stream_json_equals(v, text, n);
    (void)stream_json_double(v, &number);
    if (stream_json_each_init(&each, v) != STREAM_OK) return;
    while (stream_json_each_next(&each, &key, &value) == STREAM_OK) {
        (void)stream_json_string(value, STREAM_JSON_REPLACE, out, sizeof out, &len);
        (void)stream_json_equals(key, "type", 4);
        (void)stream_json_double(value, &number);
    }
}

static void json_read(void) {
    grows_with_the_input("view", do_view, NULL, json_shapes, COUNT(json_shapes));
    grows_with_the_input("pick", do_pick, NULL, json_shapes, COUNT(json_shapes));
    grows_with_the_input("picker", do_picker, NULL, json_shapes, COUNT(json_shapes));
    grows_with_the_input("read", do_read, NULL, json_shapes, COUNT(json_shapes));
}

static char written[8 * sizeof text];

static stream_status flushed(void *ctx, const char *ptr, size_t len) {
    (void)ctx;
    return ptr || !len ? STREAM_OK : STREAM_E_ARGUMENT;
}

/* Strings, and JSON that is checked first; through memory, and through a small buffer. */
static void do_write(const void *with, size_t n, size_t piece) {
    int way;
    (void)with;
    for (way = 0; way < 2; way++) {
        stream_json_writer w;
        size_t at, len;
        if (way)
            stream_json_writer_init_flush(&w, written, 64, flushed, NULL);
        else
            stream_json_writer_init(&w, written, sizeof written);
        stream_json_write_array(&w);
        for (at = 0; at < n; at += piece)
            stream_json_write_string(&w, text + at, n - at < piece ? n - at : piece);
        stream_json_write_end(&w);
        (void)stream_json_writer_finish(&w, &len);
        stream_json_writer_init(&w, written, sizeof written);
        stream_json_write_json(&w, text, n);
        (void)stream_json_writer_finish(&w, &len);
    }
}

static void do_rewrite(const void *with, size_t n, size_t piece) {
    static const stream_json_rule rules[] = {{"/a", STREAM_JSON_OP_SET, {"[1,2]", 5, STREAM_JSON_ARRAY}},
                                             {"/type", STREAM_JSON_OP_DROP, {NULL, 0, STREAM_JSON_NONE}},
                                             {"/0/0/0/0", STREAM_JSON_OP_DROP, {NULL, 0, STREAM_JSON_NONE}},
                                             {"/event/x", STREAM_JSON_OP_ADD, {"1", 1, STREAM_JSON_NUMBER}},
                                             {"/-", STREAM_JSON_OP_ADD, {"1", 1, STREAM_JSON_NUMBER}}};
    stream_json_writer w;
    size_t len;
    (void)with, (void)piece;
    stream_json_writer_init(&w, written, sizeof written);
    (void)stream_json_rewrite(text, n, rules, COUNT(rules), &w, NULL, NULL);
    (void)stream_json_writer_finish(&w, &len);
}

/* Against a value that differs in its last bytes at most, so that everything has to be compared. */
static void do_patch(const void *with, size_t n, size_t piece) {
    const stream_json_value from = stream_json_value_of(text, n), to = stream_json_value_of(text, n - 32);
    stream_json_writer w;
    size_t len;
    (void)with, (void)piece;
    if (from.type == STREAM_JSON_NONE || to.type == STREAM_JSON_NONE) return;
    stream_json_writer_init(&w, written, sizeof written);
    (void)stream_json_diff(from, to, &w);
    (void)stream_json_writer_finish(&w, &len);
    stream_json_writer_init(&w, written, sizeof written);
    (void)stream_json_merge(from, to, &w);
    (void)stream_json_writer_finish(&w, &len);
}

/* Members in the opposite order, an object of them in an array as well: sorted, as there is room. */
static void do_sorted_patch(const void *with, size_t n, size_t piece) {
    static char forth[8 * N], back[8 * N], memory[8 * N];
    const size_t many = n / 64;
    char *p = forth, *q = back;
    stream_json_writer w;
    size_t i, group, len;
    (void)with, (void)piece;
    p += sprintf(p, "{\"a\":{");
    q += sprintf(q, "{\"a\":{");
    for (group = 0; group < 2; group++) {
        for (i = 0; i < many; i++) {
            p += sprintf(p, "\"%05u\":1%s", (unsigned)i, i + 1 < many ? "," : group ? "}]}" : "},\"b\":[{");
            q += sprintf(q, "\"%05u\":1%s", (unsigned)(many - 1 - i),
                         i + 1 < many ? ","
                         : group      ? "}]}"
                                      : "},\"b\":[{");
        }
    }
    stream_json_writer_init(&w, written, sizeof written);
    if (stream_json_diff_sorted(stream_json_value_of(forth, (size_t)(p - forth)),
                                stream_json_value_of(back, (size_t)(q - back)), &w, memory,
                                (size_t)(p - forth)) != STREAM_OK ||
        stream_json_writer_finish(&w, &len) != STREAM_OK || len != 2)
        abort();
    stream_json_writer_init(&w, written, sizeof written);
    if (stream_json_merge_sorted(stream_json_value_of(forth, (size_t)(p - forth)),
                                 stream_json_value_of(back, (size_t)(q - back)), &w, memory,
                                 (size_t)(q - back)) != STREAM_OK)
        abort();
}

/* Streams for which comparing records gains nothing: of two shapes in turn, of arrays of any length, of many numbers.
   To pick from each record by itself is the measure. */
enum { RECORDS = 2000 };
static const struct {
    unsigned numbers, some; /* in each record, and up to how many more */
    bool turns;
} streams[] = {{3, 1, true}, {30, 1, true}, {76, 1, true}, {20, 50, false}, {76, 1, false}};

static size_t numbers(char *to, size_t room, unsigned count, unsigned seed) {
    size_t n = 0;
    unsigned k;
    for (k = 0; k < count; k++) n += (size_t)snprintf(to + n, room - n, "%s%u", k ? "," : "", (k * 7 + seed) * 31 % 97);
    return n;
}

static size_t make_record(unsigned kind, unsigned i, char *to, size_t room) {
    const char *const name = i % 2 && streams[kind].turns ? "temperature" : "humidity";
    size_t n = (size_t)snprintf(to, room, "{\"at\":%u,\"v\":[", i);
    n += numbers(to + n, room - n, streams[kind].numbers + i * 13 % streams[kind].some, i);
    return n + (size_t)snprintf(to + n, room - n, "],\"%s\":%u,\"z\":5}", name, i);
}

static void a_picker_costs_little_more_than_picking(void) {
    static const char *const last[] = {"/z"};
    unsigned kind, i;
    for (kind = 0; kind < COUNT(streams); kind++) {
        unsigned long long pick = 0, picker_took = 0, before;
        stream_json_picker picker;
        stream_json_value out[1];
        CHECK_EQ(stream_json_picker_init(&picker, last, 1), STREAM_OK);
        for (i = 0; i < RECORDS; i++) {
            char record[512];
            const size_t n = make_record(kind, i, record, sizeof record);
            before = count_blocks;
            CHECK_EQ(stream_json_pick(record, n, last, 1, out), STREAM_OK);
            pick += count_blocks - before;
            before = count_blocks;
            CHECK_EQ(stream_json_picker_pick(&picker, record, n, out), STREAM_OK);
            picker_took += count_blocks - before;
        }
        if (picker_took > pick + pick / 2) printf("    stream %u: %llu, by a picker %llu\n", kind, pick, picker_took);
        CHECK(picker_took <= pick + pick / 2);
    }
}

static void json_written(void) {
    grows_with_the_input("write", do_write, NULL, json_shapes, COUNT(json_shapes));
    grows_with_the_input("rewrite", do_rewrite, NULL, json_shapes, COUNT(json_shapes));
    grows_with_the_input("patch", do_patch, NULL, json_shapes, COUNT(json_shapes));
    grows_with_the_input("sorted patch", do_sorted_patch, NULL, json_shapes, 1);
}

/* ---- the tools' codecs ------------------------------------------------------------------------------ */

static void do_http(const void *with, size_t n, size_t piece) {
    http h;
    if (http_init(&h, (const http_desc *)with) != STREAM_OK) abort();
    feed_all(http_decoder(&h), n, piece);
    http_free(&h);
}

static void http_messages(void) {
#define HEAD "POST / HTTP/1.1\r\nHost: a\r\n"
    static const shape shapes[] = {SHAPE("", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
                                   SHAPE("GET /", "a"),
                                   SHAPE(HEAD, "a: b\r\n"),
                                   SHAPE(HEAD "a: ", "b"),
                                   SHAPE("", "\r\n"),
                                   SHAPE(HEAD "Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
                                   SHAPE(HEAD "Transfer-Encoding: chunked\r\n\r\n", "1;a=b\r\nx\r\n"),
                                   SHAPE(HEAD "Transfer-Encoding: chunked\r\n\r\n1;a=", "b"),
                                   SHAPE(HEAD "Transfer-Encoding: chunked\r\n\r\n0\r\n", "a: b\r\n"),
                                   SHAPE(HEAD "Content-Length: 1000000\r\n\r\n", "x")};
    http_desc desc;
    memset(&desc, 0, sizeof desc);
    grows_with_the_input("http", do_http, &desc, shapes, COUNT(shapes));
}

/* A server's decoder takes the mask off where the bytes lie: it gets a copy. */
static void do_websocket(const void *with, size_t n, size_t piece) {
    static char copy[sizeof text];
    ws w;
    stream_item item;
    size_t at;
    (void)with;
    memcpy(copy, text, n);
    ws_init(&w, NULL);
    for (at = 0; at < n; at += piece) {
        if (ws_feed(&w, copy + at, n - at < piece ? n - at : piece) != STREAM_OK) return;
        while (ws_next(&w, &item) != STREAM_MORE) continue;
    }
}

static void websocket_frames(void) {
    static const shape shapes[] = {SHAPE("", "\202\200\0\0\0\0"), SHAPE("\2\200\0\0\0\0", "\0\200\0\0\0\0"),
                                   SHAPE("", "\211\200\0\0\0\0"), SHAPE("", "\201\201\1\2\3\4\140"),
                                   SHAPE("\202\377\0\0\0\0\0\17\377\377\1\2\3\4", "x")};
    grows_with_the_input("websocket", do_websocket, NULL, shapes, COUNT(shapes));
}

int main(void) {
    TEST_PROGRAM("linear");
    RUN(lines);
    RUN(frames);
    RUN(sse);
    RUN(sse_written);
    RUN(text_of_any_kind);
    RUN(json_framed);
    RUN(json_framed_strictly);
    RUN(json_checked);
    RUN(json_checked_no_further_than_a_fault);
    RUN(json_read);
    RUN(a_picker_costs_little_more_than_picking);
    RUN(json_written);
    RUN(http_messages);
    RUN(websocket_frames);
    return test_end();
}
