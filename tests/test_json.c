/* SPDX-License-Identifier: MIT-0
   Tests of stream_json.h, written from its documentation by another hand than its implementation.

   The framer is compared, event by event, with a naive one that has the whole input before it
   (reference, below), under every way of cutting the input that is affordable: whole, in two parts, in
   three, in equal chunks, at random; each fragment in a block of exactly its size or flush against an
   unreadable page, and gone once MORE was returned.

   Environment: TEST_SEED (another random run), TEST_SCALE (percent of the random streams; 100, under
   sanitizers 12), STREAM_SHARED (where the corpora are; ../shared). */
#if defined(__linux__)
#define _DEFAULT_SOURCE 1
#include <dirent.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"
#include "test.h"

#define NDJSON       STREAM_JSON_NDJSON
#define CONCATENATED STREAM_JSON_CONCATENATED
#define DOLLAR       STREAM_JSON_DOLLAR
#define RS           STREAM_JSON_RS

static void *take(size_t n) {
    void *p = malloc(n ? n : 1);
    if (!p) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return p;
}

/* Through a volatile pointer, or the compiler drops the overwriting of what is freed next. */
static void *(*volatile overwrite)(void *, int, size_t) = memset;

/* --- traces: what a decoder said, with the bytes it showed ---------------------------------------- */

typedef struct event {
    stream_status status;
    uint32_t kind, flags;
    uint64_t offset, size;
    size_t at, len; /* its bytes in the trace's */
} event;

typedef struct trace {
    event *events;
    char *bytes;
    size_t count, cap, len, room;
    const char *broken; /* a promise about items that did not hold */
} trace;

static void trace_clear(trace *t) {
    t->count = t->len = 0;
    t->broken = NULL;
}

static void trace_free(trace *t) {
    free(t->events);
    free(t->bytes);
    memset(t, 0, sizeof *t);
}

static void trace_add(trace *t, stream_status status, const stream_item *item) {
    event *e;
    if (t->count == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 64;
        t->events = (event *)realloc(t->events, t->cap * sizeof *t->events);
        if (!t->events) exit(1);
    }
    while (t->room - t->len < item->len) {
        t->room = t->room ? t->room * 2 : 4096;
        t->bytes = (char *)realloc(t->bytes, t->room);
        if (!t->bytes) exit(1);
    }
    e = &t->events[t->count++];
    e->status = status;
    e->kind = item->kind;
    e->flags = item->flags & ~(uint32_t)STREAM_COPIED;
    e->offset = item->offset;
    e->size = item->size;
    e->at = t->len;
    e->len = item->len;
    if (item->len) memcpy(t->bytes + t->len, item->ptr, item->len);
    t->len += item->len;
}

static bool same_event(const trace *a, const trace *b, size_t i) {
    const event *x = &a->events[i], *y = &b->events[i];
    return x->status == y->status && x->kind == y->kind && x->flags == y->flags && x->offset == y->offset &&
           x->size == y->size && x->len == y->len &&
           (x->len == 0 || memcmp(a->bytes + x->at, b->bytes + y->at, x->len) == 0);
}

static bool same_trace(const trace *a, const trace *b) {
    size_t i;
    if (a->broken || b->broken || a->count != b->count) return false;
    for (i = 0; i < a->count; i++)
        if (!same_event(a, b, i)) return false;
    return true;
}

/* "0 object <{}> | 2 cut-array/9~ <[1> | end~": offset, what, /size when not all bytes are there, ~ when
   unterminated. Control bytes are written ^J. */
static const char *trace_text(const trace *t, char *text, size_t room) {
    static const char *const types[] = {"noise",  "null",   "false", "true",
                                        "number", "string", "array", "object"};
    size_t n = 0, i, k;
    text[0] = '\0';
    for (i = 0; i < t->count && n + 200 < room; i++) {
        const event *e = &t->events[i];
        const char *before = e->status == STREAM_E_TRUNCATED                       ? "cut-"
                             : e->status == STREAM_E_TOO_LONG                      ? "long-"
                             : e->status == STREAM_E_TOO_DEEP                      ? "deep-"
                             : e->status == STREAM_E_NOMEM                         ? "lost-"
                             : e->status == STREAM_OK || e->status == STREAM_NOISE ? ""
                                                                                   : "strange-";
        const char *mark = e->flags & STREAM_UNTERMINATED ? "~" : "";
        if (i) n += (size_t)snprintf(text + n, room - n, " | ");
        if (e->status == STREAM_END) {
            n += (size_t)snprintf(text + n, room - n, "end%s", mark);
            continue;
        }
        n += (size_t)snprintf(text + n, room - n, "%llu %s%s", (unsigned long long)e->offset, before,
                              e->kind < 8 ? types[e->kind] : "?");
        if (e->size != e->len)
            n += (size_t)snprintf(text + n, room - n, "/%llu", (unsigned long long)e->size);
        n += (size_t)snprintf(text + n, room - n, "%s <", mark);
        for (k = 0; k < e->len && n + 20 < room; k++) {
            char c = t->bytes[e->at + k];
            if ((unsigned char)c < 0x20) {
                text[n++] = '^';
                c = (char)(c + 64);
            }
            text[n++] = c;
        }
        text[n++] = '>';
        text[n] = '\0';
    }
    return text;
}

/* --- the reference: the whole input in memory, one byte after another ------------------------------- */

#define reference_item trace_add
#include "json_reference.h"

static void reference(const stream_json_desc *desc, const char *p, size_t n, trace *out) {
    trace_clear(out);
    reference_frame(desc, p, n, out);
}

/* --- the real one, fed in fragments ---------------------------------------------------------------- */

typedef enum place { HEAP, BEFORE_PAGE, AFTER_PAGE } place;

#if defined(__linux__)
/* Two regions of 64 KiB between unreadable pages, lent in turn; the one not lent is unreadable whole. */
enum { REGION = 1 << 16 };
static char *regions[2];
static unsigned turn;

static char *lend_page(place where, const char *bytes, size_t n) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *p;
    turn ^= 1;
    if (!regions[turn]) {
        p = (char *)mmap(NULL, REGION + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) exit(1);
        regions[turn] = p + page;
    }
    p = regions[turn];
    if (mprotect(p, REGION, PROT_READ | PROT_WRITE)) exit(1);
    if (where == BEFORE_PAGE) p += REGION - n;
    if (n) memcpy(p, bytes, n);
    return p;
}
static void take_page_back(void) {
    if (mprotect(regions[turn], REGION, PROT_NONE)) exit(1);
}
#else
enum { REGION = 0 };
static char *lend_page(place where, const char *bytes, size_t n) {
    (void)where;
    return exact(bytes, n);
}
static void take_page_back(void) {}
#endif

/* How the input is cut: up to `first`, up to `second`, then in chunks, or at random when a seed is set. */
typedef struct cuts {
    size_t first, second, chunk, most;
    uint64_t seed;
    place where;
    bool early; /* finish before the last loan is used up */
} cuts;

static size_t next_cut(cuts *c, size_t at, size_t n) {
    size_t len = n - at;
    if (at < c->first) len = c->first - at;
    else if (at < c->second) len = c->second - at;
    else if (c->seed) len = below(&c->seed, c->most + 1);
    else if (c->chunk) len = c->chunk;
    return len < n - at ? len : n - at;
}

/* What holds for each item, whatever it is. */
static const char *unsound(const stream_json_desc *desc, stream_status status, const stream_item *item,
                           const char *loan, size_t len) {
    size_t max_len = desc->max_len ? desc->max_len : (size_t)1 << 20;
    bool lent = loan && item->ptr >= loan && item->ptr + item->len <= loan + len;
    if (item->len > item->size) return "longer than the whole item";
    if (item->len > max_len) return "longer than max_len";
    if (item->len < item->size && (status == STREAM_OK || status == STREAM_NOISE))
        return "not whole but OK";
    if (item->size > max_len && (status == STREAM_OK || status == STREAM_NOISE))
        return "over max_len but OK";
    if (item->len && !(item->flags & STREAM_COPIED) && !lent) return "neither copied nor in the loan";
    if (item->len && (item->flags & STREAM_COPIED) && lent) return "said to be copied but in the loan";
    if (status == STREAM_NOISE && item->kind != STREAM_JSON_NONE) return "noise of a kind";
    return NULL;
}

static void decode(const stream_json_desc *desc, const char *p, size_t n, cuts c, trace *out) {
    stream_json json;
    stream_item item;
    stream_status status;
    size_t at = 0, most = 2 * n + 8;
    trace_clear(out);
    if (stream_json_init(&json, desc) != STREAM_OK) {
        out->broken = "init failed";
        return;
    }
    while (at < n && !out->broken) {
        size_t len = next_cut(&c, at, n);
        place where = len <= REGION ? c.where : HEAP;
        char *loan = where == HEAP ? exact(p + at, len) : lend_page(where, p + at, len);
        bool last = at + len == n && c.early;
        at += len;
        if (stream_json_feed(&json, loan, len) != STREAM_OK) out->broken = "a feed was refused";
        if (last) stream_json_finish(&json);
        while ((status = stream_json_next(&json, &item)) != STREAM_MORE) {
            if (!out->broken) out->broken = unsound(desc, status, &item, loan, len);
            trace_add(out, status, &item);
            if (status == STREAM_END || out->count > most) break;
        }
        if (json.scanned != at && !out->broken) out->broken = "scanned is not what was fed";
        if (status == STREAM_MORE && (item.len || item.offset != at)) out->broken = "MORE with an item";
        if (!last && status != STREAM_MORE && !out->broken) out->broken = "no MORE";
        if (len) overwrite(loan, 0xA5, len);
        if (where == HEAP) free(loan);
        else take_page_back();
        if (last) at = n + 1; /* END was seen */
    }
    if (at == n) {
        stream_json_finish(&json);
        do {
            status = stream_json_next(&json, &item);
            if (!out->broken) out->broken = unsound(desc, status, &item, NULL, 0);
            trace_add(out, status, &item);
        } while (status != STREAM_END && out->count <= most);
    }
    stream_json_free(&json);
}

static trace expected, got; /* kept between cases, to save the allocations */

/* One way of cutting, against `expected`. */
static bool agrees(const stream_json_desc *desc, const char *p, size_t n, cuts c, const char *name) {
    char text[2000];
    decode(desc, p, n, c, &got);
    test.checks++;
    if (same_trace(&expected, &got)) return true;
    test.failures++;
    if (test.failures > 5) return false;
    printf(
        "  %s: mode %d, max_len %zu, max_depth %zu, first_len %zu, cuts %zu %zu chunk %zu random %zu/%llu "
        "place %d%s\n    input ",
        name, (int)desc->mode, desc->max_len, desc->max_depth, desc->first_len, c.first, c.second, c.chunk,
        c.most, (unsigned long long)c.seed, (int)c.where, c.early ? ", early finish" : "");
    test_print_bytes(p, n);
    printf("\n    is  %s", trace_text(&got, text, sizeof text));
    printf("\n    not %s\n", trace_text(&expected, text, sizeof text));
    if (got.broken) printf("    %s\n", got.broken);
    return false;
}

static cuts whole(void) {
    cuts c;
    memset(&c, 0, sizeof c);
    return c;
}

static cuts chunks(size_t size, place where) {
    cuts c = whole();
    c.chunk = size;
    c.where = where;
    return c;
}

static cuts at_random(uint64_t seed, size_t most) {
    cuts c = whole();
    c.seed = seed | 1;
    c.most = most;
    c.early = (seed & 16) != 0;
    return c;
}

static void in_chunks(stream_json_desc *desc, const char *p, size_t n, const char *name) {
    size_t size;
    for (size = 1; size <= 17; size++) {
        desc->first_len = size % 5;
        agrees(desc, p, n, chunks(size, HEAP), name);
        if (REGION) {
            agrees(desc, p, n, chunks(size, BEFORE_PAGE), name);
            agrees(desc, p, n, chunks(size, AFTER_PAGE), name);
        }
    }
}

/* Every affordable way of cutting gives the events in `expected`. */
static void every_cut(stream_json_desc desc, const char *p, size_t n, const char *name) {
    cuts c = whole();
    uint64_t seed;
    if (!agrees(&desc, p, n, c, name)) return;
    for (c.first = 0; c.first <= n; c.first++) {
        desc.first_len = 0;
        for (c.where = HEAP; c.where <= (REGION ? AFTER_PAGE : HEAP); c.where = (place)(c.where + 1))
            if (c.where == HEAP || n <= 200) agrees(&desc, p, n, c, name);
        c.where = HEAP;
        c.early = !c.early;
        desc.first_len = 1;
        for (c.second = c.first; n <= 60 && c.second <= n; c.second++) agrees(&desc, p, n, c, name);
        c.second = 0;
    }
    in_chunks(&desc, p, n, name);
    for (seed = 1; seed <= 40; seed++)
        agrees(&desc, p, n, at_random(seed_of(seed), seed % 2 ? 5 : n + 1), name);
}

/* --- cases written by hand, with what must come out ------------------------------------------------ */

typedef struct framing {
    const char *name;
    stream_json_mode mode;
    size_t max_len, max_depth;
    const char *input, *want;
} framing;

static void run_framing(const framing *f) {
    stream_json_desc desc;
    size_t n = strlen(f->input);
    char text[2000];
    memset(&desc, 0, sizeof desc);
    desc.mode = f->mode;
    desc.max_len = f->max_len;
    desc.max_depth = f->max_depth;
    decode(&desc, f->input, n, whole(), &got);
    trace_text(&got, text, sizeof text);
    if (got.broken) printf("  %s: %s\n", f->name, got.broken);
    CHECK(got.broken == NULL);
    CHECK_TEXT(text, strlen(text), f->want);
    reference(&desc, f->input, n, &expected); /* the reference has to agree too */
    trace_text(&expected, text, sizeof text);
    CHECK_TEXT(text, strlen(text), f->want);
    every_cut(desc, f->input, n, f->name);
}

#define RUN_FRAMINGS(list)                                                                                 \
    do {                                                                                                   \
        size_t framing_at;                                                                                 \
        for (framing_at = 0; framing_at < sizeof(list) / sizeof *(list); framing_at++)                     \
            run_framing(&(list)[framing_at]);                                                              \
    } while (0)

#define SPACES_10 "          "
#define SPACES_30 SPACES_10 SPACES_10 SPACES_10

static void values_come_out_whole_with_nothing_around_them(void) {
    static const framing list[] = {
        {"object", NDJSON, 0, 0, "{\"a\":1}\n", "0 object <{\"a\":1}> | end"},
        {"array", NDJSON, 0, 0, "[1,[2]]\n", "0 array <[1,[2]]> | end"},
        {"empty", NDJSON, 0, 0, "{}\n[]\n", "0 object <{}> | 3 array <[]> | end"},
        {"spaces inside", NDJSON, 0, 0, "[ ]\n{ }\n[ 1 ]\n",
         "0 array <[ ]> | 4 object <{ }> | 8 array <[ 1 ]> | end"},
        {"spaces around", NDJSON, 0, 0, " \t{}\t \n", "2 object <{}> | end"},
        {"nothing", NDJSON, 0, 0, "", "end"},
        {"blank lines", NDJSON, 0, 0, "\n\n {}\n \n\t\n[]\n\n", "3 object <{}> | 10 array <[]> | end"},
        {"elements of every type", NDJSON, 0, 0, "[\"\"]\n[-1]\n[true]\n[null,1]\n[[]]\n[{}]\n[false ]\n",
         "0 array <[\"\"]> | 5 array <[-1]> | 10 array <[true]> | 17 array <[null,1]> | 26 array <[[]]> | "
         "31 array <[{}]> | 36 array <[false ]> | end"},
        {"spaces without noise have no limit", NDJSON, 0, 0, "{" SPACES_30 SPACES_30 "}\n",
         "0 object <{" SPACES_30 SPACES_30 "}> | end"},
        {"the grammar inside is not the framer's", NDJSON, 0, 0, "[12 apples]\n{\"a\"]\n",
         "0 array <[12 apples]> | 12 object <{\"a\"]> | end"},
    };
    RUN_FRAMINGS(list);
}

static void several_values_on_a_line_are_several(void) {
    static const framing list[] = {
        {"glued", NDJSON, 0, 0, "{}{}\n", "0 object <{}> | 2 object <{}> | end"},
        {"apart", NDJSON, 0, 0, "{} []  {}\n", "0 object <{}> | 3 array <[]> | 7 object <{}> | end"},
        {"a scalar after values", NDJSON, 0, 0, "{}[]12 \n",
         "0 object <{}> | 2 array <[]> | 4 number <12> | end"},
        {"a comma between", NDJSON, 0, 0, "{},{}\n", "0 object <{}> | 2 noise <,> | 3 object <{}> | end"},
    };
    RUN_FRAMINGS(list);
}

static void noise_never_hides_a_value(void) {
    static const framing list[] = {
        {"before", NDJSON, 0, 0, "noise{\"a\":1}\n", "0 noise <noise> | 5 object <{\"a\":1}> | end"},
        {"after", NDJSON, 0, 0, "{} done\n{}\n", "0 object <{}> | 2 noise < done> | 8 object <{}> | end"},
        {"log level", NDJSON, 0, 0, "[INFO] {\"a\":1}\n", "0 noise <[INFO] > | 7 object <{\"a\":1}> | end"},
        {"a bracket that is no value", NDJSON, 0, 0, "[note] x\n", "0 noise <[note] x> | end"},
        {"nearly a literal", NDJSON, 0, 0, "[nullify] [truth] [f]\n",
         "0 noise <[nullify] [truth] [f]> | end"},
        {"time stamp in brackets", NDJSON, 0, 0, "[2024-01-01 00:00:00] {\"a\":1}\n",
         "0 noise <[2024-01-01 00:00:00] > | 22 object <{\"a\":1}> | end"},
        {"time stamp", NDJSON, 0, 0, "2024-01-01T00:00:00Z {\"a\":1}\n",
         "0 noise <2024-01-01T00:00:00Z > | 21 object <{\"a\":1}> | end"},
        {"clock", NDJSON, 0, 0, "[12:30] x\n12:30 y\n", "0 noise <[12:30] x> | 10 noise <12:30 y> | end"},
        {"a failed brace before a good one", NDJSON, 0, 0, "{{\"a\":1}\n",
         "0 noise <{> | 1 object <{\"a\":1}> | end"},
        {"unquoted key", NDJSON, 0, 0, "{a:1}\n", "0 noise <{a:1}> | end"},
        {"set notation", NDJSON, 0, 0, "{ {} }\n", "0 noise <{ > | 2 object <{}> | 4 noise < }> | end"},
        {"white space before it", NDJSON, 0, 0, "  x  \n", "0 noise <  x  > | end"},
        {"a byte order mark", NDJSON, 0, 0, "\xEF\xBB\xBF{}\n",
         "0 noise <\xEF\xBB\xBF> | 3 object <{}> | end"},
        {"closers", NDJSON, 0, 0, "}]{}\n", "0 noise <}]> | 2 object <{}> | end"},
        {"a nested start", NDJSON, 0, 0, "x[[1]]\n", "0 noise <x> | 1 array <[[1]]> | end"},
    };
    RUN_FRAMINGS(list);
}

static void a_value_after_noise_shows_within_32_bytes(void) {
    static const framing list[] = {
        {"brace, 31 bytes on", NDJSON, 0, 0, "x{" SPACES_30 "}\n",
         "0 noise <x> | 1 object <{" SPACES_30 "}> | end"},
        {"brace, 32 bytes on", NDJSON, 0, 0, "x{" SPACES_30 " }\n", "0 noise <x{" SPACES_30 " }> | end"},
        {"31 digits", NDJSON, 0, 0, "x[123456789012345678901234567890]\n",
         "0 noise <x> | 1 array <[123456789012345678901234567890]> | end"},
        {"32 digits", NDJSON, 0, 0, "x[1234567890123456789012345678901]\n",
         "0 noise <x[1234567890123456789012345678901]> | end"},
        {"32 digits without noise", NDJSON, 0, 0, "[1234567890123456789012345678901]\n",
         "0 array <[1234567890123456789012345678901]> | end"},
        {"the next one counts anew", NDJSON, 0, 0, "x{" SPACES_10 SPACES_10 "{" SPACES_10 SPACES_10 "{}\n",
         "0 noise <x{" SPACES_10 SPACES_10 "{" SPACES_10 SPACES_10 "> | 43 object <{}> | end"},
    };
    RUN_FRAMINGS(list);
}

static void white_space_before_noise_is_kept_up_to_64_bytes(void) {
    static const framing list[] = {
        {"64", NDJSON, 0, 0, SPACES_30 SPACES_30 "    x\n", "0 noise <" SPACES_30 SPACES_30 "    x> | end"},
        {"65", NDJSON, 0, 0, SPACES_30 SPACES_30 "     x\n", "65 noise <x> | end"},
        {"64 behind a value", NDJSON, 0, 0, "{}" SPACES_30 SPACES_30 "    x\n",
         "0 object <{}> | 2 noise <" SPACES_30 SPACES_30 "    x> | end"},
        {"65 before a value", NDJSON, 0, 0, SPACES_30 SPACES_30 "     {}\n", "65 object <{}> | end"},
        {"each line anew", NDJSON, 0, 0, SPACES_30 SPACES_30 "     \n x\n", "66 noise < x> | end"},
    };
    RUN_FRAMINGS(list);
}

static void quotes_and_braces_in_strings_are_inert(void) {
    static const framing list[] = {
        {"braces", NDJSON, 0, 0, "{\"a\":\"}{][\"}\n", "0 object <{\"a\":\"}{][\"}> | end"},
        {"quotes", NDJSON, 0, 0, "{\"a\":\"\\\"}\"}\n", "0 object <{\"a\":\"\\\"}\"}> | end"},
        {"backslashes", NDJSON, 0, 0, "[\"\\\\\"]\n[\"\\\\\\\"]\"]\n",
         "0 array <[\"\\\\\"]> | 7 array <[\"\\\\\\\"]\"]> | end"},
        {"in a key", NDJSON, 0, 0, "{\"}\\\"\":1}\n", "0 object <{\"}\\\"\":1}> | end"},
        {"a string alone", NDJSON, 0, 0, "\"{\\\"a\\\":[\"\n", "0 string <\"{\\\"a\\\":[\"> | end"},
        {"a quoted word and more", NDJSON, 0, 0, "\"{}\" said\n", "0 noise <\"{}\" said> | end"},
        {"escapes and characters to cut", NDJSON, 0, 0,
         "[\"\\u00e9\\n\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"]\n",
         "0 array <[\"\\u00e9\\n\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"]> | end"},
    };
    RUN_FRAMINGS(list);
}

static void a_cut_record_never_swallows_the_next(void) {
    static const framing list[] = {
        {"in an object", NDJSON, 0, 0, "{\"a\":\n{\"b\":2}\n",
         "0 cut-object <{\"a\":> | 6 object <{\"b\":2}> | end"},
        {"in a string", NDJSON, 0, 0, "{\"a\":\"x\n{}\n",
         "0 cut-object <{\"a\":\"x> | 8 object <{}> | end"},
        {"after a backslash", NDJSON, 0, 0, "[\"\\\n{}\n", "0 cut-array <[\"\\> | 4 object <{}> | end"},
        {"a string value", NDJSON, 0, 0, "\"abc\n{}\n", "0 noise <\"abc> | 5 object <{}> | end"},
        {"a string value after a backslash", NDJSON, 0, 0, "\"\\\n{}\n",
         "0 noise <\"\\> | 3 object <{}> | end"},
        {"a line feed in a string", NDJSON, 0, 0, "{\"a\":\"x\ny\"}\n{}\n",
         "0 cut-object <{\"a\":\"x> | 8 noise <y\"}> | 12 object <{}> | end"},
        {"before a CR LF", NDJSON, 0, 0, "{\"a\":\r\n{}\r\n",
         "0 cut-object <{\"a\":> | 7 object <{}> | end"},
        {"behind noise", NDJSON, 0, 0, "x {\"a\n{}\n",
         "0 noise <x > | 2 cut-object <{\"a> | 6 object <{}> | end"},
        {"a bracket that had not begun a value", NDJSON, 0, 0, "{\n[\n[12\n{}\n",
         "0 noise <{> | 2 noise <[> | 4 noise <[12> | 8 object <{}> | end"},
        {"not closed enough", NDJSON, 0, 0, "[[]\n[]\n", "0 cut-array <[[]> | 4 array <[]> | end"},
    };
    RUN_FRAMINGS(list);
}

static void only_a_line_feed_ends_a_line(void) {
    static const framing list[] = {
        {"CR LF", NDJSON, 0, 0, "{}\r\n12\r\n\r\nx\r\n",
         "0 object <{}> | 4 number <12> | 10 noise <x> | end"},
        {"two CRs", NDJSON, 0, 0, "x\r\r\n", "0 noise <x^M> | end"},
        {"a lone CR is white space", NDJSON, 0, 0, "{}\r{}\rx\ry\n",
         "0 object <{}> | 3 object <{}> | 5 noise <^Mx^My> | end"},
        {"CR in a string", NDJSON, 0, 0, "[\"\r\"]\n", "0 array <[\"^M\"]> | end"},
        {"U+2028, U+2029, NEL, VT, FF in a string", NDJSON, 0, 0,
         "[\"\xE2\x80\xA8\xE2\x80\xA9\xC2\x85\v\f\"]\n",
         "0 array <[\"\xE2\x80\xA8\xE2\x80\xA9\xC2\x85^K^L\"]> | end"},
        {"and in noise", NDJSON, 0, 0,
         "a\xE2\x80\xA8"
         "b\xC2\x85"
         "c\vd\fe\n",
         "0 noise <a\xE2\x80\xA8"
         "b\xC2\x85"
         "c^Kd^Le> | end"},
        {"CR before a dollar stays", DOLLAR, 0, 0, "x\r$", "0 noise <x^M> | end"},
    };
    RUN_FRAMINGS(list);
}

static void a_scalar_is_a_value_when_it_is_alone(void) {
    static const framing list[] = {
        {"of every type", NDJSON, 0, 0, "null\nfalse\ntrue\n-0.5e+7\n\"x\"\n0\n",
         "0 null <null> | 5 false <false> | 11 true <true> | 16 number <-0.5e+7> | 24 string <\"x\"> | "
         "28 number <0> | end"},
        {"with space around", NDJSON, 0, 0, " 12 \r\n", "1 number <12> | end"},
        {"two", NDJSON, 0, 0, "1 2\n\"a\" \"b\"\n", "0 noise <1 2> | 4 noise <\"a\" \"b\"> | end"},
        {"before a value", NDJSON, 0, 0, "42 {}\n42{}\n\"a\"[]\n",
         "0 noise <42 > | 3 object <{}> | 6 noise <42> | 8 object <{}> | 11 noise <\"a\"> | 14 array <[]> "
         "| end"},
        {"nearly", NDJSON, 0, 0, "01\n1.\n-\ntru\nnulls\n1e\n+1\n.5\n1.e1\n",
         "0 noise <01> | 3 noise <1.> | 6 noise <-> | 8 noise <tru> | 12 noise <nulls> | 18 noise <1e> | "
         "21 noise <+1> | 24 noise <.5> | 27 noise <1.e1> | end"},
        {"with words", NDJSON, 0, 0, "12 monkeys\ntrue story\n\"a\"b\n",
         "0 noise <12 monkeys> | 11 noise <true story> | 22 noise <\"a\"b> | end"},
        {"in a dollar record", DOLLAR, 0, 0, "12$\n\"a\"\n$true $1 2$",
         "0 number <12> | 4 string <\"a\"> | 9 true <true> | 15 noise <1 2> | end"},
    };
    RUN_FRAMINGS(list);
}

static void concatenated_values_need_nothing_between(void) {
    static const framing list[] = {
        {"containers", CONCATENATED, 0, 0, "[1][2]{}",
         "0 array <[1]> | 3 array <[2]> | 6 object <{}> | end"},
        {"over lines", CONCATENATED, 0, 0, "{\n\"a\":\n1}\n[\n2]\n",
         "0 object <{^J\"a\":^J1}> | 10 array <[^J2]> | end"},
        {"numbers", CONCATENATED, 0, 0, "1 2\n3", "0 number <1> | 2 number <2> | 4 number~ <3> | end"},
        {"strings", CONCATENATED, 0, 0, "\"a\"\"b\"1\"c\"",
         "0 string <\"a\"> | 3 string <\"b\"> | 6 number <1> | 7 string <\"c\"> | end"},
        {"a bare one ends before a bracket", CONCATENATED, 0, 0, "1[]true{}null]",
         "0 number <1> | 1 array <[]> | 3 true <true> | 7 object <{}> | 9 null <null> | 13 noise~ <]> | "
         "end"},
        {"or a comma", CONCATENATED, 0, 0, "1,2\n3 ", "0 number <1> | 1 noise <,2> | 4 number <3> | end"},
        {"nothing else", CONCATENATED, 0, 0, "truefalse\n1:2\n0x1\n",
         "0 noise <truefalse> | 10 noise <1:2> | 14 noise <0x1> | end"},
        {"after noise, none", CONCATENATED, 0, 0, "x 12 \"a\"\n12\n",
         "0 noise <x 12 \"a\"> | 9 number <12> | end"},
        {"a line feed in a string", CONCATENATED, 0, 0, "[\"a\nb\"]", "0 array <[\"a^Jb\"]> | end"},
        {"noise ends at a line feed", CONCATENATED, 0, 0, "a\r\nb\n{}",
         "0 noise <a> | 3 noise <b> | 5 object <{}> | end"},
        {"a dollar is nothing special", CONCATENATED, 0, 0, "$[]$\n",
         "0 noise <$> | 1 array <[]> | 3 noise <$> | end"},
    };
    RUN_FRAMINGS(list);
}

static void a_dollar_outside_strings_ends_a_record(void) {
    static const framing list[] = {
        {"records", DOLLAR, 0, 0, "{\"a\":1}${\"b\":2}$",
         "0 object <{\"a\":1}> | 8 object <{\"b\":2}> | end"},
        {"in a string", DOLLAR, 0, 0, "{\"a\":\"<div>$</div>\"}$",
         "0 object <{\"a\":\"<div>$</div>\"}> | end"},
        {"in a string value", DOLLAR, 0, 0, "\"a$b\\\"$\"$", "0 string <\"a$b\\\"$\"> | end"},
        {"a cut record", DOLLAR, 0, 0, "{\"a\":$[1]$", "0 cut-object <{\"a\":> | 6 array <[1]> | end"},
        {"over lines", DOLLAR, 0, 0, "[\n1\n]\n$\n[]$\n", "0 array <[^J1^J]> | 8 array <[]> | end"},
        {"noise", DOLLAR, 0, 0, "a\nb$c$", "0 noise <a> | 2 noise <b> | 4 noise <c> | end"},
        {"empty records", DOLLAR, 0, 0, "$$ $\n$", "end"},
    };
    RUN_FRAMINGS(list);
}

static void the_tail_is_truthful(void) {
    static const framing list[] = {
        {"terminated", NDJSON, 0, 0, "{}\n", "0 object <{}> | end"},
        {"complete", NDJSON, 0, 0, "{}", "0 object <{}> | end~"},
        {"complete, space", NDJSON, 0, 0, "{} \r", "0 object <{}> | end~"},
        {"complete scalar", NDJSON, 0, 0, "12", "0 number~ <12> | end~"},
        {"complete scalar, space", NDJSON, 0, 0, "12 ", "0 number~ <12> | end~"},
        {"complete string", NDJSON, 0, 0, "\"a\"", "0 string~ <\"a\"> | end~"},
        {"noise", NDJSON, 0, 0, "bye", "0 noise~ <bye> | end"},
        {"noise, CR", NDJSON, 0, 0, "bye\r", "0 noise~ <bye^M> | end"},
        {"noise that is no scalar", NDJSON, 0, 0, "tree", "0 noise~ <tree> | end"},
        {"noise behind a value", NDJSON, 0, 0, "{} x", "0 object <{}> | 2 noise~ < x> | end"},
        {"noise that tried to be a value", NDJSON, 0, 0, "[1-", "0 noise~ <[1-> | end"},
        {"cut", NDJSON, 0, 0, "{}\n{\"a", "0 object <{}> | 3 cut-object~ <{\"a> | end"},
        {"cut at once", NDJSON, 0, 0, "[", "0 cut-array~ <[> | end"},
        {"cut in an element", NDJSON, 0, 0, "[12", "0 cut-array~ <[12> | end"},
        {"cut behind noise", NDJSON, 0, 0, "x [12", "0 noise <x > | 2 cut-array~ <[12> | end"},
        {"cut string", NDJSON, 0, 0, "\"ab", "0 cut-string~ <\"ab> | end"},
        {"cut literal", NDJSON, 0, 0, "tru", "0 cut-true~ <tru> | end"},
        {"cut number", NDJSON, 0, 0, "-", "0 cut-number~ <-> | end"},
        {"none", NDJSON, 0, 0, "{}\n \n", "0 object <{}> | end"},
        {"dollar, complete", DOLLAR, 0, 0, "{}\n", "0 object <{}> | end~"},
        {"dollar, complete with noise", DOLLAR, 0, 0, "{}x\n", "0 object <{}> | 2 noise <x> | end~"},
        {"dollar, terminated", DOLLAR, 0, 0, "{}$\n", "0 object <{}> | end"},
        {"concatenated has no terminator", CONCATENATED, 0, 0, "{}", "0 object <{}> | end"},
        {"concatenated, may go on", CONCATENATED, 0, 0, "12", "0 number~ <12> | end"},
        {"concatenated, cut", CONCATENATED, 0, 0, "[1 ", "0 cut-array~ <[1 > | end"},
    };
    RUN_FRAMINGS(list);
}

static void too_deep_is_one_item(void) {
    static const framing list[] = {
        {"at the limit", NDJSON, 0, 2, "[[]]\n[{}]\n", "0 array <[[]]> | 5 array <[{}]> | end"},
        {"over it", NDJSON, 0, 2, "[[[]]]\n[]\n", "0 deep-array <[[[]]]> | 7 array <[]> | end"},
        {"brackets in strings do not count", NDJSON, 0, 2, "[[\"[[[\"]]\n", "0 array <[[\"[[[\"]]> | end"},
        {"and cut", NDJSON, 0, 2, "[[[\n[]\n", "0 deep-array <[[[> | 4 array <[]> | end"},
        {"and too long", NDJSON, 4, 2, "[[[1]]]{}\n", "0 deep-array/7 <[[[1> | 7 object <{}> | end"},
        {"behind noise", NDJSON, 0, 1, "x[[]]\n", "0 noise <x> | 1 deep-array <[[]]> | end"},
    };
    RUN_FRAMINGS(list);
}

static void too_long_is_one_item(void) {
    static const framing list[] = {
        {"at the limit", NDJSON, 8, 0, "[1,2,34]\n", "0 array <[1,2,34]> | end"},
        {"over it", NDJSON, 8, 0, "[1,2,345]{}\n", "0 long-array/9 <[1,2,345> | 9 object <{}> | end"},
        {"noise at the limit", NDJSON, 8, 0, "12345 78\r\n", "0 noise <12345 78> | end"},
        {"noise over it", NDJSON, 8, 0, "12345 789\n{}\n",
         "0 long-noise/9 <12345 78> | 10 object <{}> | end"},
        {"noise before a value", NDJSON, 8, 0, "123456789abc {\"a\":1}\n",
         "0 long-noise/13 <12345678> | 13 object <{\"a\":1}> | end"},
        {"a string", NDJSON, 8, 0, "\"1234567\"\n\"123456\"\n",
         "0 long-string/9 <\"1234567> | 10 string <\"123456\"> | end"},
        {"a number", CONCATENATED, 8, 0, "123456789 12",
         "0 long-number/9 <12345678> | 10 number~ <12> | end"},
        {"spaces of noise count", NDJSON, 8, 0, "        x\n", "0 long-noise/9 <        > | end"},
        {"and cut", NDJSON, 8, 0, "[\"123456789\n{}\n",
         "0 long-array/11 <[\"123456> | 12 object <{}> | end"},
        {"one byte", NDJSON, 1, 0, "1\n{}\nx\n\n",
         "0 number <1> | 2 long-object/2 <{> | 5 noise <x> | end"},
        {"white space is no length", NDJSON, 2, 0, SPACES_30 "{}" SPACES_30 "\n", "30 object <{}> | end"},
    };
    RUN_FRAMINGS(list);
}

/* Records that end and begin within a block of 64 bytes, as plainly as they mostly do or nearly so: with too
   few brackets closed before the line feed, or something else than an object's first key behind it. */
static void records_turn_anywhere_in_a_block(void) {
    static const char *const ends[] = {"\"}}", "\"}", "\"", "\"}}}", "\"]}", "\"}} "},
                      *const begins[] = {"{\"c\":[\"", "{ \"c\":[\"", "[[\"", "{[\"", "\"", "x"};
    stream_json_desc desc;
    char text[600];
    size_t pad, i, k, n;
    memset(&desc, 0, sizeof desc);
    desc.mode = NDJSON;
    for (pad = 60; pad < 190; pad++) {
        for (i = 0; i < COUNT(ends); i++) {
            for (k = 0; k < COUNT(begins); k++) {
                n = (size_t)snprintf(text, sizeof text, "%s{\"k\":{\"x\":\"%*s%s\n%s%*s\"]}\n{}\n",
                                     "{\"a\":1}\n{\"a\":1}\n", (int)pad, "", ends[i], begins[k], 90, "");
                reference(&desc, text, n, &expected);
                if (!agrees(&desc, text, n, whole(), "a turn")) return;
                agrees(&desc, text, n, chunks(64 + pad % 64, HEAP), "a turn");
            }
        }
    }
}

/* A line feed is white space in these modes, also while it is not yet known that noise is noise. */
static void noise_that_began_like_a_value_may_hold_a_line_feed(void) {
    static const framing list[] = {
        {"behind a bracket", CONCATENATED, 0, 0, "f() {\n x\n}\n",
         "0 noise <f() {^J x> | 9 noise <}> | end"},
        {"behind a scalar", DOLLAR, 0, 0, "12\nx$", "0 noise <12^Jx> | end"},
        {"in a quotation", DOLLAR, 0, 0, "\"a\nb\" c$", "0 noise <\"a^Jb\" c> | end"},
    };
    RUN_FRAMINGS(list);
}

static void a_nul_is_a_byte_like_others(void) {
    static const char text[] = "[\"\0\"]\n\0\n{}\0\n";
    stream_json_desc desc;
    memset(&desc, 0, sizeof desc);
    for (desc.mode = NDJSON; desc.mode <= DOLLAR; desc.mode = (stream_json_mode)(desc.mode + 1)) {
        reference(&desc, text, sizeof text - 1, &expected);
        CHECK_EQ(expected.events[0].status, STREAM_OK);
        CHECK_EQ(expected.events[1].status, STREAM_NOISE);
        every_cut(desc, text, sizeof text - 1, "NUL");
    }
}

static void hundred_thousand_brackets_are_safe(void) {
    const size_t deep = 100000, n = 2 * deep + 4;
    char *text = (char *)take(n);
    stream_json_desc desc;
    const size_t sizes[] = {0, 1, 4096};
    size_t i;
    memset(&desc, 0, sizeof desc);
    memset(text, '[', deep);
    memset(text + deep, ']', deep);
    memcpy(text + 2 * deep, "\n{}\n", 4);
    for (i = 0; i < 3; i++) {
        decode(&desc, text, n, chunks(sizes[i], HEAP), &got);
        CHECK(got.broken == NULL);
        CHECK_EQ(got.count, 3);
        CHECK_EQ(got.events[0].status, STREAM_E_TOO_DEEP);
        CHECK_EQ(got.events[0].size, 2 * deep);
        CHECK_EQ(got.events[1].status, STREAM_OK);
        CHECK_EQ(got.events[1].offset, 2 * deep + 1);
    }
    decode(&desc, text, deep, chunks(1000, HEAP), &got); /* never closed */
    CHECK_EQ(got.events[0].status, STREAM_E_TOO_DEEP);
    desc.max_depth = deep;
    decode(&desc, text, n, chunks(1000, HEAP), &got);
    CHECK_EQ(got.events[0].status, STREAM_OK);
    free(text);
}

/* --- hostile streams, against the reference -------------------------------------------------------- */

static size_t add_text(char *to, size_t at, size_t room, const char *text) {
    size_t len = strlen(text);
    if (len > room - at) len = room - at;
    memcpy(to + at, text, len);
    return at + len;
}

static size_t add_many(char *to, size_t at, size_t room, char c, size_t count) {
    while (count-- && at < room) to[at++] = c;
    return at;
}

static size_t hostile(char *to, size_t room, uint64_t *random) {
    static const char letters[] = "{}[]\"\\,:$\n\r a1-.truen0{}[]\"\" \n\xC3\xA9";
    static const char *const words[] = {"{\"",  "[1",   "[tru", "{}",   "[]",    "\"a\"",
                                        "true", "null", "12",   "\r\n", "\\u00", "\xE2\x80\xA8",
                                        "[[",   "{ ",   "\"{",  "]]",   "1,",    "-1e5 "};
    size_t n = below(random, 1 + below(random, room)), at = 0;
    while (at < n) {
        size_t what = below(random, 100);
        if (what < 70) to[at++] = letters[below(random, sizeof letters - 1)];
        else if (what < 96) at = add_text(to, at, n, words[below(random, sizeof words / sizeof *words)]);
        else if (what == 96) at = add_many(to, at, n, ' ', 28 + below(random, 6));
        else if (what == 97) at = add_many(to, at, n, ' ', 62 + below(random, 6));
        else if (what == 98) at = add_many(to, at, n, '7', 28 + below(random, 6));
        else at = add_many(to, at, n, 'x', below(random, 60));
    }
    return at;
}

static void hostile_limits(stream_json_desc *desc, uint64_t *random) {
    static const size_t lens[] = {1, 2, 8, 40, 0}, depths[] = {1, 2, 3, 0}, firsts[] = {1, 3, 16, 0};
    desc->mode = (stream_json_mode)below(random, 3);
    desc->max_len = lens[below(random, 5)];
    desc->max_depth = depths[below(random, 4)];
    desc->first_len = firsts[below(random, 4)];
}

static void hostile_streams_are_framed_as_by_the_reference(void) {
    size_t i, count = scaled(400000);
    char text[200];
    for (i = 0; i < count && test.failures < 5; i++) {
        uint64_t seed = seed_of(i), random = seed;
        stream_json_desc desc;
        size_t n;
        char name[60];
        memset(&desc, 0, sizeof desc);
        hostile_limits(&desc, &random);
        n = hostile(text, i % 4 ? 40 : sizeof text, &random);
        reference(&desc, text, n, &expected);
        snprintf(name, sizeof name, "stream %zu, seed %llu", i, (unsigned long long)seed);
        agrees(&desc, text, n, at_random(test_random(&random), 1 + below(&random, 12)), name);
        if (i % 4 == 1) agrees(&desc, text, n, chunks(1, HEAP), name);
        if (i % 4 == 2) agrees(&desc, text, n, whole(), name);
    }
}

/* Long noise, with brackets that begin no value at and around the ends of fragments. */
static void failed_brackets_at_the_ends_of_fragments_cost_nothing(void) {
    static const char *const tries[] = {"{",   "[",   "{ ",   "[1",  "[-", "[t",
                                        "[12", "[1e", "[nul", "{\r", "[ 1"};
    size_t i, count = scaled(60000);
    char text[400];
    for (i = 0; i < count && test.failures < 5; i++) {
        uint64_t seed = seed_of(i + 1000000), random = seed;
        stream_json_desc desc;
        cuts c = whole();
        size_t n = 0, end = 20 + below(&random, 350);
        char name[60];
        memset(&desc, 0, sizeof desc);
        hostile_limits(&desc, &random);
        while (n < end) {
            n = add_many(text, n, end, 'x', below(&random, 1 + below(&random, 70)));
            n = add_text(text, n, end, tries[below(&random, sizeof tries / sizeof *tries)]);
            if (c.first == 0 || below(&random, 3) == 0) {
                c.second = c.first;
                c.first = n;
            }
            if (below(&random, 4) == 0) n = add_many(text, n, end, ' ', below(&random, 34));
            if (below(&random, 9) == 0) n = add_text(text, n, end, "[1]");
            if (below(&random, 9) == 0) n = add_text(text, n, end, "\n");
        }
        if (c.second && c.second < c.first) {
            size_t swap = c.first;
            c.first = c.second;
            c.second = swap;
        }
        reference(&desc, text, n, &expected);
        snprintf(name, sizeof name, "stream %zu, seed %llu", i, (unsigned long long)seed);
        agrees(&desc, text, n, c, name);
        agrees(&desc, text, n, at_random(test_random(&random), 1 + below(&random, 40)), name);
    }
}

static void any_bytes_at_all_are_framed_as_by_the_reference(void) {
    size_t i, count = scaled(20000);
    char text[300];
    for (i = 0; i < count && test.failures < 5; i++) {
        uint64_t seed = seed_of(i + 2000000), random = seed;
        stream_json_desc desc;
        size_t n = below(&random, sizeof text), k;
        memset(&desc, 0, sizeof desc);
        hostile_limits(&desc, &random);
        for (k = 0; k < n; k++) text[k] = (char)test_random(&random);
        reference(&desc, text, n, &expected);
        agrees(&desc, text, n, at_random(seed, 1 + below(&random, 30)), "bytes");
    }
}

/* --- work and memory -------------------------------------------------------------------------------- */

/* Counts through the hook, holds it to its word, and refuses on request. */
typedef struct heap {
    size_t live, peak, calls, blocks;
    size_t fail_at; /* 0 never, else the call that fails */
    bool fail_on;   /* and all after it */
    bool broken;
} heap;

static void *heap_resize(void *ctx, void *ptr, size_t old_size, size_t new_size, size_t align) {
    heap *h = (heap *)ctx;
    size_t *block = ptr ? (size_t *)ptr - 2 : NULL;
    (void)align;
    if (ptr ? block[0] != old_size : old_size != 0) h->broken = true;
    if (new_size == 0) {
        if (!ptr) return NULL;
        h->live -= old_size;
        h->blocks--;
        free(block);
        return NULL;
    }
    h->calls++;
    if (h->fail_at && (h->calls == h->fail_at || (h->fail_on && h->calls > h->fail_at))) return NULL;
    block = (size_t *)take(new_size + 2 * sizeof *block); /* always moves, so that nothing old is kept */
    block[0] = new_size;
    if (ptr) {
        memcpy(block + 2, ptr, old_size < new_size ? old_size : new_size);
        overwrite(ptr, 0xA5, old_size);
        free((size_t *)ptr - 2);
    } else {
        h->blocks++;
    }
    h->live += new_size - old_size;
    if (h->live > h->peak) h->peak = h->live;
    return block + 2;
}

static void use_heap(stream_json_desc *desc, heap *h) {
    memset(h, 0, sizeof *h);
    desc->allocator.resize = heap_resize;
    desc->allocator.ctx = h;
}

/* Feeds one record of `size` x's in an object in fragments of `chunk` bytes, then a small one; counts
   the items by status and keeps the size of the first. */
typedef struct tally {
    size_t ok, too_long, others, shown;
    uint64_t size, open;
} tally;

static void pull(stream_json *json, tally *t) {
    stream_item item;
    stream_status status;
    while ((status = stream_json_next(json, &item)) != STREAM_MORE && status != STREAM_END) {
        if (t->ok + t->too_long + t->others == 0) {
            t->size = item.size;
            t->shown = item.len;
        }
        if (status == STREAM_OK) t->ok++;
        else if (status == STREAM_E_TOO_LONG) t->too_long++;
        else t->others++;
    }
}

static tally feed_large(stream_json *json, size_t size, size_t chunk) {
    char *xs = (char *)take(chunk);
    size_t left;
    tally t;
    memset(&t, 0, sizeof t);
    memset(xs, 'x', chunk);
    stream_json_feed(json, "{\"a\":\"", 6);
    pull(json, &t);
    for (left = size; left > 0; left -= left < chunk ? left : chunk) {
        stream_json_feed(json, xs, left < chunk ? left : chunk);
        pull(json, &t);
    }
    t.open = stream_json_open(json);
    stream_json_feed(json, "\"}\n{}\n", 6);
    pull(json, &t);
    stream_json_finish(json);
    pull(json, &t);
    free(xs);
    return t;
}

static void check_large(size_t size, size_t chunk, size_t max_len) {
    stream_json json;
    stream_json_desc desc;
    heap h;
    tally t;
    bool fits = max_len >= size + 8;
    memset(&desc, 0, sizeof desc);
    desc.max_len = max_len;
    use_heap(&desc, &h);
    CHECK_EQ(stream_json_init(&json, &desc), STREAM_OK);
    t = feed_large(&json, size, chunk);
    CHECK_EQ(t.ok, fits ? 2 : 1);
    CHECK_EQ(t.too_long, fits ? 0 : 1);
    CHECK_EQ(t.others, 0);
    CHECK_EQ(t.size, size + 8);
    CHECK_EQ(t.shown, fits ? size + 8 : max_len);
    CHECK_EQ(t.open, size + 6);
    CHECK(json.scanned <= (size + 12) + (size + 12) / 20);
    CHECK_EQ(json.scanned, size + 12); /* in fact each byte once */
    CHECK(h.peak <= max_len + STREAM_JSON_SLACK);
    CHECK(h.calls <= 40);
    stream_json_free(&json);
    CHECK_EQ(h.live, 0);
    CHECK_EQ(h.blocks, 0);
    CHECK(!h.broken);
}

static void a_large_record_is_looked_at_once_in_bounded_memory(void) {
    const size_t mib = (size_t)1 << 20;
    check_large(64 * mib, 4096, mib);
    check_large(64 * mib, 4096, 65 * mib);
    check_large(4 * mib, 1, mib);
    check_large(100000, 1, 200);
}

/* A million records, fed in fragments of 1000 bytes out of a text that repeats. */
static size_t make_records(char *text, size_t room, size_t *records) {
    size_t n = 0, i;
    for (i = 0; i < 1000; i++)
        n += (size_t)snprintf(text + n, room - n, "{\"type\":\"delta\",\"n\":%zu}%s\n", i,
                              i % 7 ? "" : "\r");
    *records = 1000;
    return n;
}

static void a_million_records_need_no_allocation(void) {
    static char text[40000], chunk[1000];
    size_t records, n = make_records(text, sizeof text, &records), total = n * (TEST_SANITIZED ? 200 : 1000);
    size_t fed = 0, at = 0, warm = 0;
    stream_json json;
    stream_json_desc desc;
    heap h;
    tally t;
    memset(&desc, 0, sizeof desc);
    memset(&t, 0, sizeof t);
    use_heap(&desc, &h);
    stream_json_init(&json, &desc);
    while (fed < total) {
        size_t len = total - fed < sizeof chunk ? total - fed : sizeof chunk, i;
        for (i = 0; i < len; i++, at = at + 1 == n ? 0 : at + 1) chunk[i] = text[at];
        stream_json_feed(&json, chunk, len);
        pull(&json, &t);
        fed += len;
        if (fed == 3 * sizeof chunk) warm = h.calls;
    }
    CHECK(warm >= 1);
    CHECK_EQ(h.calls, warm);
    CHECK_EQ(t.ok, total / n * records);
    CHECK_EQ(t.others + t.too_long, 0);
    CHECK_EQ(json.scanned, total);
    stream_json_free(&json);
    CHECK_EQ(h.live, 0);
}

static void whole_items_need_no_memory_at_all(void) {
    static const char text[] = "{\"a\":1}\nnoise [1]\n12\n";
    stream_json json;
    stream_json_desc desc;
    stream_item item;
    heap h;
    int i;
    memset(&desc, 0, sizeof desc);
    use_heap(&desc, &h);
    stream_json_init(&json, &desc);
    for (i = 0; i < 10; i++) {
        size_t items = 0;
        stream_json_feed(&json, text, sizeof text - 1);
        while (stream_json_next(&json, &item) != STREAM_MORE) {
            items++;
            CHECK(item.ptr >= text && item.ptr + item.len <= text + sizeof text);
            CHECK_EQ(item.flags, 0);
        }
        CHECK_EQ(items, 4);
    }
    CHECK_EQ(h.calls, 0);
    stream_json_free(&json);
    CHECK_EQ(h.calls, 0);
}

static void an_item_that_spans_loans_says_copied(void) {
    stream_json json;
    stream_item item;
    stream_json_init(&json, NULL);
    stream_json_feed(&json, "{}{\"a\"", 6);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_OK);
    CHECK_EQ(item.flags, 0);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
    CHECK_EQ(stream_json_open(&json), 4);
    stream_json_feed(&json, ":1}{}", 5);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_OK);
    CHECK_EQ(item.flags, STREAM_COPIED);
    CHECK_TEXT(item.ptr, item.len, "{\"a\":1}");
    CHECK_EQ(item.offset, 2);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_OK);
    CHECK_EQ(item.flags, 0);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
    CHECK_EQ(stream_json_open(&json), 0);
    stream_json_free(&json);
}

static uint64_t open_after(const char *text) {
    stream_json json;
    stream_item item;
    uint64_t open;
    stream_json_init(&json, NULL);
    stream_json_feed(&json, text, strlen(text));
    while (stream_json_next(&json, &item) != STREAM_MORE) {
    }
    open = stream_json_open(&json);
    stream_json_free(&json);
    return open;
}

static void open_is_how_far_the_open_item_has_grown(void) {
    CHECK_EQ(open_after(""), 0);
    CHECK_EQ(open_after("{}"), 0);
    CHECK_EQ(open_after("{}\n"), 0);
    CHECK_EQ(open_after("{}\n  "), 0); /* white space is no item */
    CHECK_EQ(open_after("{}\n  {\"a\""), 4);
    CHECK_EQ(open_after("  ["), 1);
    CHECK_EQ(open_after("  12"), 2);
    CHECK_EQ(open_after("  noise"), 7);
    CHECK_EQ(open_after("  noise ["), 9);
    CHECK_EQ(open_after("  noise [12,"), 4);
}

/* A refused allocation costs the items being assembled, says so, and shows a true head of them. */
static void check_refused(const stream_json_desc *desc, const char *text, size_t n, size_t chunk, heap *h) {
    size_t i, lost = 0;
    decode(desc, text, n, chunks(chunk, HEAP), &got);
    CHECK(got.broken == NULL);
    CHECK_EQ(got.count, expected.count);
    for (i = 0; i < got.count && i < expected.count; i++) {
        const event *g = &got.events[i], *e = &expected.events[i];
        CHECK_EQ(g->offset, e->offset);
        CHECK_EQ(g->size, e->size);
        CHECK_EQ(g->kind, e->kind);
        CHECK_EQ(g->flags, e->flags);
        CHECK(g->len <= e->len);
        CHECK(g->len <= e->len && memcmp(got.bytes + g->at, expected.bytes + e->at, g->len) == 0);
        if (g->status == STREAM_E_NOMEM) {
            lost++;
            CHECK(g->len < e->len);
            CHECK(e->status != STREAM_E_TOO_LONG && e->status != STREAM_E_TOO_DEEP);
        } else {
            CHECK_EQ(g->status, e->status);
            if (e->status != STREAM_E_TOO_LONG && e->status != STREAM_E_TOO_DEEP) CHECK_EQ(g->len, e->len);
        }
    }
    /* One refusal loses one item, or noise together with the value whose first bytes stood behind it. */
    if (!h->fail_on) CHECK(lost <= 2);
    CHECK_EQ(h->live, 0);
    CHECK_EQ(h->blocks, 0);
    CHECK(!h->broken);
}

static const char refusals[] =
    "{\"a\":\"long enough to grow the buffer several times over\"}\n"
    "noise that is long enough for that as well, then [1,2,3,\"and so on until it grows\"]\n"
    "12\n\"a string of some length, with an end\"\n"
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx[12 and more of an array, which is not JSON but framed]{}\n"
    "{\"cut\":[1,2,3,4,5,6,7,8\n[[[[\"too deep\"]]]]\n"
    "{\"too "
    "long\":\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234\"}\n"
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx[1xxxxxxx{ "
    "xxxxxxx{\"b\":[1,2,3,4,5,6,7,8,9,10,11,12,13]}\n"
    "{\"last\":true}";

static void each_refused_allocation_costs_what_it_must(void) {
    size_t chunk, on, n = sizeof refusals - 1;
    for (chunk = 1; chunk <= 40; chunk++) {
        stream_json_desc desc;
        heap h;
        size_t calls, at;
        memset(&desc, 0, sizeof desc);
        desc.max_len = 90;
        desc.max_depth = 3;
        desc.first_len = 2;
        use_heap(&desc, &h);
        reference(&desc, refusals, n, &expected);
        agrees(&desc, refusals, n, chunks(chunk, HEAP), "none refused");
        calls = h.calls;
        for (at = 1; at <= calls + 1; at++) {
            for (on = 0; on < 2; on++) {
                use_heap(&desc, &h);
                h.fail_at = at;
                h.fail_on = on != 0;
                check_refused(&desc, refusals, n, chunk, &h);
            }
        }
    }
}

static void after_a_refused_allocation_the_next_item_is_whole(void) {
    stream_json_desc desc;
    heap h;
    char text[2000];
    memset(&desc, 0, sizeof desc);
    use_heap(&desc, &h);
    h.fail_at = 1;
    decode(&desc, "{\"a\":1}\n{\"b\":2}\n", 16, chunks(4, HEAP), &got);
    trace_text(&got, text, sizeof text);
    CHECK_TEXT(text, strlen(text), "0 lost-object/7 <> | 8 object <{\"b\":2}> | end");
    CHECK_EQ(h.live, 0);
}

static void what_is_lost_whole_can_still_be_asked(void) {
    static const char *const point = "/a";
    static const stream_json_type types[] = {STREAM_JSON_OBJECT, STREAM_JSON_ARRAY, STREAM_JSON_STRING,
                                             STREAM_JSON_NUMBER};
    size_t i, len;
    for (i = 0; i < 4; i++) {
        stream_json_value v = {NULL, 0, STREAM_JSON_NONE}, out;
        stream_json_each each;
        int64_t number;
        double real;
        char text[4];
        v.type = types[i];
        CHECK_EQ(stream_json_each_init(&each, v), i < 2 ? STREAM_OK : STREAM_E_TYPE);
        if (i < 2) CHECK_EQ(stream_json_each_next(&each, NULL, &out), STREAM_MORE);
        CHECK_EQ(stream_json_string(v, STREAM_JSON_PASS, text, 4, &len),
                 i == 2 ? STREAM_E_INVALID : STREAM_E_TYPE);
        CHECK_EQ(stream_json_int64(v, &number), i == 3 ? STREAM_E_INVALID : STREAM_E_TYPE);
        CHECK_EQ(stream_json_double(v, &real), i == 3 ? STREAM_E_INVALID : STREAM_E_TYPE);
        CHECK_EQ(stream_json_pick(v.ptr, v.len, &point, 1, &out), STREAM_MORE);
    }
}

/* Of what is open when its memory is refused there is nothing to look at. */
static void what_is_refused_memory_cannot_be_peeked_at(void) {
    stream_json json;
    stream_json_desc desc;
    stream_item item;
    heap h;
    memset(&desc, 0, sizeof desc);
    use_heap(&desc, &h);
    CHECK_EQ(stream_json_init(&json, &desc), STREAM_OK);
    CHECK_EQ(stream_json_feed(&json, "[12", 3), STREAM_OK);
    h.fail_at = 1;
    CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
    CHECK_EQ(stream_json_peek(&json, &item), STREAM_EMPTY);
    CHECK(item.len == 0 && item.ptr == NULL);
    stream_json_free(&json);
}

/* Nor of one whose first byte was refused already, but which is known to be one by what came later. */
static void what_was_refused_from_its_first_byte_on_is_peeked_at_as_nothing(void) {
    static const char text[] = "{\"a\":1,\"b\":2";
    stream_json json;
    stream_json_desc desc;
    stream_item item;
    heap h;
    size_t first, second, at, i, nothing = 0;
    for (at = 1; at <= 3; at++) {
        for (first = 1; first < sizeof text - 1; first++) {
            for (second = first; second < sizeof text - 1; second++) {
                const size_t cut[] = {0, first, second, sizeof text - 1};
                memset(&desc, 0, sizeof desc);
                use_heap(&desc, &h);
                desc.first_len = 1;
                CHECK_EQ(stream_json_init(&json, &desc), STREAM_OK);
                h.fail_at = at;
                for (i = 0; i < 3; i++) {
                    stream_status status;
                    CHECK_EQ(stream_json_feed(&json, text + cut[i], cut[i + 1] - cut[i]), STREAM_OK);
                    while (stream_json_next(&json, &item) != STREAM_MORE) {
                    }
                    status = stream_json_peek(&json, &item);
                    CHECK(status == STREAM_OK || item.len == 0);
                    CHECK((item.ptr == NULL) == (item.len == 0));
                    nothing += status == STREAM_OK && item.len == 0 && item.size > 0;
                }
                stream_json_free(&json);
                CHECK_EQ(h.live, 0);
            }
        }
    }
    CHECK(nothing > 0);
}

static void caller_memory_is_never_outgrown_or_added_to(void) {
    const size_t lens[] = {1, 8, 90};
    size_t i, chunk, n = sizeof refusals - 1;
    for (i = 0; i < 3; i++) {
        stream_json_desc desc;
        heap h;
        memset(&desc, 0, sizeof desc);
        use_heap(&desc, &h);
        desc.memory_len = lens[i] + STREAM_JSON_SLACK;
        desc.memory = take(desc.memory_len); /* exactly: a sanitizer sees one byte more */
        desc.max_len = lens[i];
        reference(&desc, refusals, n, &expected);
        if (i == 1) desc.max_len = 10000; /* the memory bounds it too */
        if (i == 2) desc.max_len = 0;
        for (chunk = 1; chunk <= 60; chunk++) {
            decode(&desc, refusals, n, chunks(chunk, HEAP), &got);
            if (i == 2) got.broken = NULL; /* unsound() takes 0 for the default */
            CHECK(same_trace(&expected, &got));
        }
        CHECK_EQ(h.calls, 0);
        free(desc.memory);
    }
}

static void settings_that_cannot_be_meant_are_refused(void) {
    char memory[STREAM_JSON_SLACK + 1];
    stream_json json;
    stream_json_desc desc;
    memset(&desc, 0, sizeof desc);
    CHECK_EQ(stream_json_init(&json, &desc), STREAM_OK);
    CHECK_EQ(stream_json_init(&json, NULL), STREAM_OK);
    desc.mode = (stream_json_mode)4;
    CHECK_EQ(stream_json_init(&json, &desc), STREAM_E_ARGUMENT);
    desc.mode = NDJSON;
    desc.kernel = "no such kernel";
    CHECK_EQ(stream_json_init(&json, &desc), STREAM_E_ARGUMENT);
    desc.kernel = "scalar";
    CHECK_EQ(stream_json_init(&json, &desc), STREAM_OK);
    desc.kernel = NULL;
    desc.max_len = SIZE_MAX / 4;
    CHECK_EQ(stream_json_init(&json, &desc), STREAM_OK);
    desc.max_len = SIZE_MAX / 4 + 1;
    CHECK_EQ(stream_json_init(&json, &desc), STREAM_E_ARGUMENT);
    desc.max_len = SIZE_MAX;
    CHECK_EQ(stream_json_init(&json, &desc), STREAM_E_ARGUMENT);
    desc.max_len = 0;
    desc.memory = memory;
    desc.memory_len = STREAM_JSON_SLACK;
    CHECK_EQ(stream_json_init(&json, &desc), STREAM_E_ARGUMENT);
    desc.memory_len = STREAM_JSON_SLACK + 1;
    CHECK_EQ(stream_json_init(&json, &desc), STREAM_OK);
}

/* --- the protocol at stream_decoder, row by row ----------------------------------------------------- */

static void feed_is_refused_while_a_loan_is_left(void) {
    stream_json json;
    stream_item item;
    stream_json_init(&json, NULL);
    CHECK_EQ(stream_json_feed(&json, "{}[]", 4), STREAM_OK);
    CHECK_EQ(stream_json_feed(&json, "12", 2), STREAM_E_STATE);
    CHECK_EQ(stream_json_feed(&json, NULL, 0), STREAM_E_STATE);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_OK);
    CHECK_TEXT(item.ptr, item.len, "{}");
    CHECK_EQ(stream_json_feed(&json, "12", 2), STREAM_E_STATE);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_OK);
    CHECK_TEXT(item.ptr, item.len, "[]");
    CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
    CHECK_EQ(stream_json_feed(&json, "\n12\n", 4), STREAM_OK);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_OK);
    CHECK_EQ(item.offset, 5);
    stream_json_free(&json);
}

static void a_loan_used_up_by_its_last_item_may_be_followed_at_once(void) {
    stream_json json;
    stream_item item;
    stream_json_init(&json, NULL);
    stream_json_feed(&json, "{}", 2);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_OK);
    CHECK_EQ(stream_json_feed(&json, " []", 3), STREAM_OK);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_OK);
    CHECK_EQ(item.offset, 3);
    stream_json_free(&json);
}

static void before_any_loan_there_is_more_to_feed(void) {
    stream_json json;
    stream_item item;
    stream_json_init(&json, NULL);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
    CHECK_EQ(stream_json_open(&json), 0);
    stream_json_free(&json);
}

static void empty_loans_change_nothing(void) {
    stream_json json;
    stream_item item;
    stream_json_init(&json, NULL);
    CHECK_EQ(stream_json_feed(&json, NULL, 0), STREAM_OK);
    CHECK_EQ(stream_json_feed(&json, "", 0), STREAM_OK);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
    stream_json_feed(&json, "[1", 2);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
    CHECK_EQ(stream_json_feed(&json, NULL, 0), STREAM_OK);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
    CHECK_EQ(stream_json_open(&json), 2);
    stream_json_feed(&json, "]", 1);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_OK);
    CHECK_TEXT(item.ptr, item.len, "[1]");
    stream_json_free(&json);
}

static void finish_before_more_still_hands_out_the_loan(void) {
    stream_json json;
    stream_item item;
    stream_json_init(&json, NULL);
    stream_json_feed(&json, "{}\n[]\n[1", 8);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_OK);
    CHECK_EQ(stream_json_finish(&json), STREAM_OK);
    CHECK_EQ(stream_json_finish(&json), STREAM_OK);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_OK);
    CHECK_EQ(item.offset, 3);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_E_TRUNCATED);
    CHECK_TEXT(item.ptr, item.len, "[1");
    CHECK_EQ(item.flags, STREAM_UNTERMINATED);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_END);
    stream_json_free(&json);
}

static void end_is_for_ever(void) {
    stream_json json;
    stream_item item;
    int i;
    stream_json_init(&json, NULL);
    stream_json_feed(&json, "{}", 2);
    stream_json_finish(&json);
    CHECK_EQ(stream_json_feed(&json, "{}", 2), STREAM_E_STATE);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_OK);
    for (i = 0; i < 3; i++) {
        CHECK_EQ(stream_json_next(&json, &item), STREAM_END);
        CHECK_EQ(item.flags, STREAM_UNTERMINATED);
        CHECK_EQ(item.len, 0);
        CHECK_EQ(stream_json_feed(&json, "{}", 2), STREAM_E_STATE);
        CHECK_EQ(stream_json_feed(&json, NULL, 0), STREAM_E_STATE);
        CHECK_EQ(stream_json_finish(&json), STREAM_OK);
    }
    stream_json_free(&json);
}

/* Whatever was open, reset begins a stream like the first. */
static void reset_forgets_the_stream_and_keeps_the_limits(void) {
    static const char *const before[] = {"",    "{\"a\":\"\\", "x",  "x[1", "\"a",      "tru",
                                         "12 ", "  ",          "{}", "[[[", "xxxxxxxx["};
    size_t i, finished;
    for (i = 0; i < sizeof before / sizeof *before; i++) {
        for (finished = 0; finished < 3; finished++) {
            stream_json json;
            stream_json_desc desc;
            stream_item item;
            memset(&desc, 0, sizeof desc);
            desc.max_len = 7;
            desc.max_depth = 1;
            stream_json_init(&json, &desc);
            stream_json_feed(&json, before[i], strlen(before[i]));
            if (finished) stream_json_next(&json, &item);
            if (finished > 1) stream_json_finish(&json);
            if (finished > 1) stream_json_next(&json, &item);
            stream_json_reset(&json);
            CHECK_EQ(json.scanned, 0);
            CHECK_EQ(stream_json_open(&json), 0);
            CHECK_EQ(stream_json_feed(&json, " {\"a\":1}", 8), STREAM_OK);
            CHECK_EQ(stream_json_next(&json, &item), STREAM_OK);
            CHECK_EQ(item.offset, 1);
            CHECK_TEXT(item.ptr, item.len, "{\"a\":1}");
            CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
            stream_json_reset(&json);
            stream_json_finish(&json);
            CHECK_EQ(stream_json_next(&json, &item), STREAM_END);
            CHECK_EQ(item.flags, 0);
            CHECK_EQ(item.offset, 0);
            stream_json_reset(&json);
            stream_json_feed(&json, "[1", 2);
            CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
            stream_json_reset(&json);
            stream_json_feed(&json, "{\"b", 3);
            CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
            stream_json_feed(&json, "\":2}", 4);
            CHECK_EQ(stream_json_next(&json, &item), STREAM_OK);
            CHECK_TEXT(item.ptr, item.len, "{\"b\":2}");
            CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
            stream_json_feed(&json, "{\"a\":12}[[]]\n", 13);
            CHECK_EQ(stream_json_next(&json, &item), STREAM_E_TOO_LONG);
            CHECK_EQ(stream_json_next(&json, &item), STREAM_E_TOO_DEEP);
            stream_json_next(&json, &item);
            stream_json_finish(&json);
            CHECK_EQ(stream_json_next(&json, &item), STREAM_END);
            CHECK_EQ(item.flags, 0);
            stream_json_free(&json);
        }
    }
}

static void freeing_nothing_is_fine(void) {
    stream_json json;
    stream_item item;
    memset(&json, 0, sizeof json);
    stream_json_free(&json);
    stream_json_free(&json);
    stream_json_init(&json, NULL);
    stream_json_feed(&json, "[1,", 3);
    CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
    stream_json_free(&json);
    stream_json_free(&json);
}

static void the_decoder_behind_pointers_is_the_same(void) {
    stream_json json;
    stream_decoder d;
    stream_item item;
    stream_json_init(&json, NULL);
    d = stream_json_decoder(&json);
    CHECK(d.self == &json);
    CHECK_EQ(d.feed(d.self, "x{}", 3), STREAM_OK);
    CHECK_EQ(d.feed(d.self, "x", 1), STREAM_E_STATE);
    CHECK_EQ(d.next(d.self, &item), STREAM_NOISE);
    CHECK_TEXT(item.ptr, item.len, "x");
    CHECK_EQ(d.next(d.self, &item), STREAM_OK);
    CHECK_EQ(item.kind, STREAM_JSON_OBJECT);
    CHECK_EQ(d.next(d.self, &item), STREAM_MORE);
    CHECK_EQ(d.finish(d.self), STREAM_OK);
    CHECK_EQ(d.next(d.self, &item), STREAM_END);
    CHECK_EQ(item.flags, STREAM_UNTERMINATED);
    stream_json_free(&json);
}

/* --- reading: random documents with the tree they were written from ------------------------------- */

typedef struct node {
    stream_json_type type;
    size_t begin, end;  /* in the document's text */
    const char *key;    /* what its key means; NULL in an array */
    const char *string; /* what it means, of a string */
    int64_t number;
    struct node *child, *next;
} node;

typedef struct document {
    char text[4000];
    size_t n;
    node nodes[400];
    size_t count;
    uint64_t *random;
} document;

/* Strings as they are written, and what they mean. */
static const char *const spellings[][2] = {{"a", "a"},
                                           {"\\u0061", "a"},
                                           {"b", "b"},
                                           {"", ""},
                                           {"a/b", "a/b"},
                                           {"a\\/b", "a/b"},
                                           {"m~n", "m~n"},
                                           {"~1", "~1"},
                                           {"\\u007e", "~"},
                                           {"0", "0"},
                                           {"1", "1"},
                                           {"01", "01"},
                                           {"\xC3\xA9", "\xC3\xA9"},
                                           {"\\u00E9", "\xC3\xA9"},
                                           {"\\ud83d\\ude00", "\xF0\x9F\x98\x80"},
                                           {"\\n\\\"", "\n\""},
                                           {"}]", "}]"},
                                           {"\\\\", "\\"},
                                           {",:", ",:"}};
enum { SPELLINGS = sizeof spellings / sizeof *spellings };

static void say(document *d, const char *text) {
    size_t len = strlen(text);
    memcpy(d->text + d->n, text, len);
    d->n += len;
}

static void say_space(document *d) {
    static const char *const spaces[] = {"", "", "", "", " ", "\n", "\t ", "\r\n"};
    say(d, spaces[below(d->random, 8)]);
}

static const char *say_string(document *d) {
    size_t i = below(d->random, SPELLINGS);
    say(d, "\"");
    say(d, spellings[i][0]);
    say(d, "\"");
    return spellings[i][1];
}

static node *say_value(document *d, unsigned depth);

static void say_members(document *d, node *v, unsigned depth) {
    size_t count = below(d->random, 5), i;
    node **last = &v->child;
    for (i = 0; i < count && d->count < 380 && d->n < 3600; i++) {
        const char *key = NULL;
        if (i) say(d, ",");
        say_space(d);
        if (v->type == STREAM_JSON_OBJECT) {
            key = say_string(d);
            say_space(d);
            say(d, ":");
            say_space(d);
        }
        *last = say_value(d, depth + 1);
        (*last)->key = key;
        last = &(*last)->next;
        say_space(d);
    }
}

static node *say_value(document *d, unsigned depth) {
    node *v = &d->nodes[d->count++];
    size_t what = below(d->random, depth == 0 ? 4 : depth < 5 ? 10 : 6);
    char text[40];
    memset(v, 0, sizeof *v);
    v->begin = d->n;
    if (depth == 0 || what >= 6) {
        v->type = what % 2 ? STREAM_JSON_OBJECT : STREAM_JSON_ARRAY;
        say(d, what % 2 ? "{" : "[");
        say_members(d, v, depth);
        say_space(d);
        say(d, what % 2 ? "}" : "]");
    } else if (what == 0) {
        v->type = STREAM_JSON_NULL;
        say(d, "null");
    } else if (what == 1) {
        v->type = STREAM_JSON_TRUE;
        say(d, "true");
    } else if (what == 2) {
        v->type = STREAM_JSON_FALSE;
        say(d, "false");
    } else if (what == 3) {
        v->type = STREAM_JSON_STRING;
        v->string = say_string(d);
    } else {
        v->type = STREAM_JSON_NUMBER;
        v->number = (int64_t)test_random(d->random) >> below(d->random, 64);
        snprintf(text, sizeof text, "%lld", (long long)v->number);
        say(d, text);
    }
    v->end = d->n;
    return v;
}

static node *make_document(document *d, uint64_t *random) {
    d->n = d->count = 0;
    d->random = random;
    return say_value(d, 0);
}

/* A pointer as steps, and as RFC 6901 writes it. */
typedef struct path {
    char steps[6][60];
    size_t count;
    char text[300];
} path;

static void write_pointer(path *p) {
    size_t n = 0, i;
    const char *s;
    for (i = 0; i < p->count; i++) {
        p->text[n++] = '/';
        for (s = p->steps[i]; *s; s++) {
            if (*s == '~' || *s == '/') p->text[n++] = '~';
            p->text[n++] = *s == '~' ? '0' : *s == '/' ? '1' : *s;
        }
    }
    p->text[n] = '\0';
}

/* Mostly a way that exists, sometimes off it. */
static void random_path(path *p, const node *v, uint64_t *random) {
    static const char *const strays[] = {
        "0",  "1",  "2",  "00",  "01",     "-", "4294967296", "18446744073709551616",
        "+1", " 1", "1 ", "1e0", "nowhere"};
    p->count = 0;
    while (p->count < 6 && below(random, 8)) {
        char *step = p->steps[p->count++];
        size_t skip = below(random, 4), index = 0;
        const node *c = v ? v->child : NULL;
        while (c && c->next && skip--) {
            c = c->next;
            index++;
        }
        if (!c || below(random, 12) == 0) {
            snprintf(step, sizeof p->steps[0], "%s",
                     below(random, 2) ? strays[below(random, sizeof strays / sizeof *strays)]
                                      : spellings[below(random, SPELLINGS)][1]);
            v = NULL;
        } else {
            if (c->key) snprintf(step, sizeof p->steps[0], "%s", c->key);
            else snprintf(step, sizeof p->steps[0], "%zu", index);
            v = c;
        }
    }
    write_pointer(p);
}

/* The first value the steps lead to, going back where a duplicate key leads nowhere. */
static const node *resolve(const node *v, const path *p, size_t at) {
    const node *c, *found = NULL;
    size_t index = 0;
    char digits_of[30];
    if (at == p->count) return v;
    for (c = v->child; c && !found; c = c->next, index++) {
        if (!c->key) snprintf(digits_of, sizeof digits_of, "%zu", index);
        if (strcmp(c->key ? c->key : digits_of, p->steps[at]) == 0) found = resolve(c, p, at + 1);
    }
    return found;
}

/* A value is known to be there in the first `len` bytes: a bare one only with a byte behind it. */
static bool known(const node *v, size_t len) {
    return v && (v->type >= STREAM_JSON_STRING ? v->end <= len : v->end < len);
}

static path paths[64];
static const char *pointers[64];

static void check_pick(const document *d, const node *root, size_t count, size_t len) {
    char *json = exact(d->text, len);
    stream_json_value *out = (stream_json_value *)take(count * sizeof *out);
    stream_status status = stream_json_pick(json, len, pointers, count, out), want = STREAM_OK;
    size_t i;
    for (i = 0; i < count; i++) {
        const node *v = resolve(root, &paths[i], 0);
        if (len < d->n && !known(v, len)) want = STREAM_MORE;
        if (known(v, len) || (v && len == d->n)) {
            CHECK_EQ(out[i].type, v->type);
            CHECK_EQ(out[i].len, v->end - v->begin);
            CHECK(out[i].ptr == json + v->begin);
        } else {
            CHECK_EQ(out[i].type, STREAM_JSON_NONE);
            CHECK(out[i].ptr == NULL);
            CHECK_EQ(out[i].len, 0);
        }
    }
    if (count == 0) want = len < d->n ? STREAM_MORE : STREAM_OK;
    CHECK_EQ(status, want);
    if (test.failures) {
        printf("    in ");
        test_print_bytes(json, len);
        for (i = 0; i < count && i < 5; i++) printf(" %s", pointers[i]);
        printf("\n");
    }
    free(out);
    free(json);
}

static document doc, copy_doc;

static void pick_finds_what_a_tree_would(void) {
    size_t i, documents = scaled(20000);
    for (i = 0; i < documents && !test.failures; i++) {
        uint64_t seed = seed_of(i + 3000000), random = seed;
        const node *root = make_document(&doc, &random);
        size_t count = i % 10 == 0 ? 64 : below(&random, 6), k;
        for (k = 0; k < count; k++) {
            random_path(&paths[k], root, &random);
            pointers[k] = paths[k].text;
        }
        check_pick(&doc, root, count, doc.n);
        for (k = 0; k < doc.n && i % 16 == 0 && doc.n < 600; k++) check_pick(&doc, root, count, k);
        if (test.failures) printf("    document %zu, seed %llu\n", i, (unsigned long long)seed);
    }
}

/* One pointer into one text: "status type <bytes>". */
static const char *pick_text(const char *json, const char *pointer) {
    static char text[300];
    stream_json_value v;
    char *bytes = exact(json, strlen(json));
    char *steps = exact(pointer, strlen(pointer) + 1);
    const char *const asked = steps;
    stream_status status = stream_json_pick(bytes, strlen(json), &asked, 1, &v);
    snprintf(text, sizeof text, "%d %.*s", (int)status, (int)v.len, v.ptr ? v.ptr : "none");
    if (!v.ptr) snprintf(text, sizeof text, "%d none", (int)status);
    free(steps);
    free(bytes);
    return text;
}

#define CHECK_PICK(json, pointer, want)                                                                    \
    do {                                                                                                   \
        const char *picked = pick_text(json, pointer);                                                     \
        CHECK_TEXT(picked, strlen(picked), want);                                                          \
    } while (0)

static void pick_follows_rfc_6901(void) {
    static const char *const no_pointers[] = {"a", "/a~", "/a~/b", "/~2", "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q~"};
    stream_json_picker picker;
    size_t i;
    static const char json[] = "{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,\"g|h\":4,"
                               "\"i\\\\j\":5,\"k\\\"l\":6,\" \":7,\"m~n\":8}";
    CHECK_PICK(json, "",
               "0 {\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,\"g|h\":4,"
               "\"i\\\\j\":5,\"k\\\"l\":6,\" \":7,\"m~n\":8}");
    CHECK_PICK(json, "/foo", "0 [\"bar\",\"baz\"]");
    CHECK_PICK(json, "/foo/0", "0 \"bar\"");
    CHECK_PICK(json, "/", "0 0");
    CHECK_PICK(json, "/a~1b", "0 1");
    CHECK_PICK(json, "/c%d", "0 2");
    CHECK_PICK(json, "/e^f", "0 3");
    CHECK_PICK(json, "/g|h", "0 4");
    CHECK_PICK(json, "/i\\j", "0 5");
    CHECK_PICK(json, "/k\"l", "0 6");
    CHECK_PICK(json, "/ ", "0 7");
    CHECK_PICK(json, "/m~0n", "0 8");
    /* A backslash in a pointer stands for itself, in a name it does not. */
    CHECK_PICK("{\"a\\nb\":1,\"a\\\\nb\":2}", "/a\nb", "0 1");
    CHECK_PICK("{\"a\\nb\":1,\"a\\\\nb\":2}", "/a\\nb", "0 2");
    CHECK_PICK("{\"a\\nb\":1}", "/a\\nb", "0 none");
    CHECK_PICK("{\"a\":1}", "/a\"", "0 none");
    CHECK_PICK("{\"a/b\":1,\"a~b\":2,\"a~0b\":3}", "/a/b", "0 none");
    CHECK_PICK("{\"a/b\":1,\"a~b\":2,\"a~0b\":3}", "/a~0b", "0 2");
    for (i = 0; i < COUNT(no_pointers); i++) {
        stream_json_value out;
        CHECK_EQ(stream_json_pick("{\"a~\":1}", 8, &no_pointers[i], 1, &out), STREAM_E_ARGUMENT);
        CHECK_EQ(out.type, STREAM_JSON_NONE);
        CHECK_EQ(stream_json_picker_init(&picker, &no_pointers[i], 1), STREAM_E_ARGUMENT);
    }
    {
        static const char with_nul[] = "{\"foo\0\":1,\"foo\":2}"; /* where a step ends, a key does not */
        const char *const pointer = "/foo";
        stream_json_value out;
        CHECK_EQ(stream_json_pick(with_nul, sizeof with_nul - 1, &pointer, 1, &out), STREAM_OK);
        CHECK_BYTES(out.ptr, out.len, "2", 1);
    }
}

/* Names and values of every length around those that are looked at together, an escaped quote at every place. */
static void pick_finds_the_end_of_every_string(void) {
    char text[300], step[96];
    int n, at;
    for (n = 0; n < 70; n++) {
        for (at = -1; at + 1 < n; at++) {
            char name[80], *bytes;
            stream_json_value out[2];
            const char *want[2];
            size_t len;
            memset(name, 'x', sizeof name);
            name[n] = '\0';
            if (at >= 0) name[at] = '\\', name[at + 1] = '"';
            len = (size_t)snprintf(text, sizeof text, "{\"%s\":\"%s\",\"z\":\"%s\"}", name, name, name);
            snprintf(step, sizeof step, "/%s", name);
            if (at >= 0) memmove(step + 1 + at, step + 2 + at, strlen(step + 2 + at) + 1);
            want[0] = step;
            want[1] = "/z";
            bytes = exact(text, len);
            CHECK_EQ(stream_json_pick(bytes, len, want, 2, out), STREAM_OK);
            CHECK_EQ(out[0].ptr - bytes, n + 4);
            CHECK_EQ(out[0].len, n + 2);
            CHECK_EQ(out[1].ptr - bytes, 2 * n + 11);
            CHECK_EQ(out[1].len, n + 2);
            free(bytes);
        }
    }
}

static void pick_is_strict_about_indices(void) {
    CHECK_PICK("[1,2]", "/1", "0 2");
    CHECK_PICK("[1,2]", "/01", "0 none");
    CHECK_PICK("[1,2]", "/00", "0 none");
    CHECK_PICK("[1,2]", "/-", "0 none");
    CHECK_PICK("[1,2]", "/-1", "0 none");
    CHECK_PICK("[1,2]", "/", "0 none");
    CHECK_PICK("[1,2]", "/2", "0 none");
    CHECK_PICK("[1,2]", "/4294967297", "0 none");
    CHECK_PICK("[1,2]", "/18446744073709551617", "0 none");
    CHECK_PICK("[1,2]", "/1/0", "0 none");
    CHECK_PICK("[0,1,2,3,4,5,6,7,8,9,10]", "/10", "0 10");
    CHECK_PICK("[0,1,2,3,4,5,6,7,8,9,10]", "/:", "0 none");
    CHECK_PICK("[0,1,2,3,4,5,6,7,8,9,10]", "/1-", "0 none");
    CHECK_PICK("{\"1\":5,\"01\":6}", "/01", "0 6");
}

static void pick_takes_the_first_duplicate_that_leads_to_a_value(void) {
    CHECK_PICK("{\"a\":1,\"a\":2}", "/a", "0 1");
    CHECK_PICK("{\"a\":1,\"a\":{\"b\":2},\"a\":{\"b\":3}}", "/a/b", "0 2");
    CHECK_PICK("{\"a\":{\"c\":1},\"\\u0061\":{\"b\":2}}", "/a/b", "0 2");
    CHECK_PICK("{\"long\":{\"x\":1},\"long\":{\"b\":2}}", "/long/b", "0 2");
    CHECK_PICK("{\"a\":{\"b\":1,\"b\":2},\"a\":3}", "/a", "0 {\"b\":1,\"b\":2}");
}

static void pick_reads_the_head_of_a_cut_record(void) {
    CHECK_PICK("{\"type\":\"x\",\"n\":12", "/type", "0 \"x\"");
    CHECK_PICK("{\"type\":\"x\",\"n\":12", "/n", "1 none"); /* it may be 123 */
    CHECK_PICK("{\"type\":\"x\",\"n\":12,", "/n", "0 12");
    CHECK_PICK("{\"n\":true", "/n", "1 none");
    CHECK_PICK("[1,2", "/1", "1 none");
    CHECK_PICK("[1,2", "", "1 none");
    CHECK_PICK("{\"a", "/a", "1 none");
    CHECK_PICK("{\"a\":\"", "/a", "1 none");
#define FIFTY "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    CHECK_PICK("{\"a\":\"" FIFTY FIFTY, "/a", "1 none"); /* where a long string is left to memchr */
    CHECK_PICK("{\"a\":\"" FIFTY FIFTY "\\\"", "/a", "1 none");
    CHECK_PICK("{\"a\":\"" FIFTY FIFTY "\\\"\",\"b\":1", "/b", "1 none");
    CHECK_PICK("{\"a\":\"" FIFTY FIFTY "\\\"\",\"b\":1}", "/b", "0 1");
    CHECK_PICK("", "", "1 none");
    CHECK_PICK(" ", "/a", "1 none");
    CHECK_PICK("12", "", "0 12"); /* alone it is whole */
    CHECK_PICK("tru", "", "1 none");
}

static void pick_stops_where_the_structure_breaks(void) {
    CHECK_PICK("{\"a\" 1}", "/a", "-1 none");
    CHECK_PICK("{\"a\":1 \"b\":2}", "/b", "-1 none");
    CHECK_PICK("{\"a\":1,}", "/b", "-1 none");
    CHECK_PICK("{a:1}", "/a", "-1 none");
    CHECK_PICK("{1:1}", "/1", "-1 none");
    CHECK_PICK("[1,]", "/1", "-1 none");
    CHECK_PICK("[,1]", "/1", "-1 none");
    CHECK_PICK("[1 2]", "/1", "-1 none");
    CHECK_PICK("[01]", "/1", "-1 none");
    CHECK_PICK("[truth,1]", "/1", "-1 none");
    CHECK_PICK("{\"a\":nulx,\"b\":2}", "/b", "-1 none");
    CHECK_PICK("{\"a\":falsy,\"b\":2}", "/b", "-1 none");
    CHECK_PICK("{\"a\":nulls,\"b\":2}", "/b", "-1 none");
    CHECK_PICK("{\"a\":[false,null,true],\"b\":2}", "/b", "0 2");
    CHECK_PICK("{\"a\":[false,null,true],\"b\":2}", "/a/2", "0 true");
    CHECK_PICK("{\"a\":false,\"b\":null,\"c\":true}", "/c", "0 true");
    CHECK_PICK("[x]", "/0", "-1 none");
    CHECK_PICK("[1}", "/1", "-1 none");
    CHECK_PICK("nothing", "", "-1 none");
    CHECK_PICK("{\"a\":1,b}", "/a", "0 1"); /* found before that */
}

/* The beginning of a token that is none must not be read as if it were all of it. */
static void what_begins_like_a_number_or_literal_is_none(void) {
    static const char *const tokens[] = {"2024-01-01", "007", "10.0.0.1", "12abc", "0x1F", "1.5.", "-0-", "1e5e",
                                         "truefalse",  "nullx", "false1"};
    size_t i;
    for (i = 0; i < COUNT(tokens); i++) {
        char text[64];
        stream_json_each each;
        stream_json_value v, key;
        stream_json_view view;
        pointers[0] = "/n";
        snprintf(text, sizeof text, "{\"n\":%s}", tokens[i]);
        CHECK_PICK(text, "/n", "-1 none");
        CHECK_EQ(stream_json_each_init(&each, stream_json_value_of(text, strlen(text))), STREAM_OK);
        CHECK_EQ(stream_json_each_next(&each, &key, &v), STREAM_E_INVALID);
        stream_json_view_init(&view, pointers, 1);
        CHECK_EQ(stream_json_view_feed(&view, text, strlen(text)), STREAM_E_INVALID);
        CHECK(!view.field[0].whole);
        CHECK_PICK(tokens[i], "", "-1 none");
        snprintf(text, sizeof text, "[%s,1]", tokens[i]);
        CHECK_PICK(text, "/1", "-1 none");
    }
    CHECK_PICK("{\"n\":12 }", "/n", "0 12");
    CHECK_PICK("{\"n\":12\n}", "/n", "0 12");
    CHECK_PICK("[12]", "/0", "0 12");
    CHECK_PICK(" 12 ", "", "0 12");
}

static void pick_says_what_it_cannot_take(void) {
    static char deep32[65], deep33[67];
    const char *many[65];
    stream_json_value out[65];
    size_t i;
    memset(out, 0x55, sizeof out);
    for (i = 0; i < 65; i++) many[i] = "/a";
    CHECK_EQ(stream_json_pick("{\"a\":1}", 7, many, 65, out), STREAM_E_ARGUMENT);
    for (i = 0; i < 65; i++)
        CHECK(out[i].type == STREAM_JSON_NONE && out[i].ptr == NULL && out[i].len == 0);
    CHECK_EQ(stream_json_pick("{\"a\":1}", 7, many, 64, out), STREAM_OK);
    for (i = 0; i < 64; i++) CHECK_EQ(out[i].type, STREAM_JSON_NUMBER);
    memset(out, 0x55, sizeof out);
    many[1] = "a";
    CHECK_EQ(stream_json_pick("{\"a\":1}", 7, many, 2, out), STREAM_E_ARGUMENT);
    CHECK(out[0].type == STREAM_JSON_NONE && out[1].type == STREAM_JSON_NONE && out[1].ptr == NULL);
    for (i = 0; i < 33; i++) memcpy((i < 32 ? deep32 : deep33) + 2 * (i % 32), "/0", 2);
    memcpy(deep33 + 2, deep32, 64);
    many[0] = deep33;
    CHECK_EQ(stream_json_pick("[]", 2, many, 1, out), STREAM_E_ARGUMENT);
    many[0] = deep32;
    CHECK_EQ(stream_json_pick("[]", 2, many, 1, out), STREAM_OK);
    CHECK_EQ(stream_json_pick("[]", 2, NULL, 0, NULL), STREAM_OK);
    /* Cut where nothing more is wanted of the inner object, but of the outer one. */
    many[0] = "/a/b";
    many[1] = "/c";
    CHECK_EQ(stream_json_pick("{\"a\":{\"b\":\"x\"", 13, many, 2, out), STREAM_MORE);
    CHECK(out[0].type == STREAM_JSON_STRING && out[1].type == STREAM_JSON_NONE);
}

static void a_long_string_ends_where_it_ends(void) {
    static const char *const pieces[] = {"\\\\", "\\\"", "\\\\\\\"", "\\\\\\\\", "x", "0123456789abcdef", "\\u0022"};
    size_t i, times = scaled(20000);
    for (i = 0; i < times && !test.failures; i++) {
        uint64_t random = seed_of(i + 7000000);
        const size_t want = below(&random, 600), kinds = 1 + below(&random, sizeof pieces / sizeof *pieces);
        char text[700] = "{\"a\":\"", *json;
        const char *const pointer = "/b";
        size_t n = 6, end;
        stream_json_value v;
        while (n < want) {
            const char *piece = pieces[below(&random, kinds)];
            memcpy(text + n, piece, strlen(piece));
            n += strlen(piece);
        }
        end = n;
        memcpy(text + n, "\",\"b\":1}", 8);
        n += 8;
        json = exact(text, n);
        CHECK_EQ(stream_json_pick(json, n, &pointer, 1, &v), STREAM_OK);
        CHECK(v.ptr == json + n - 2);
        free(json);
        end -= below(&random, end - 5); /* without its last quote, and perhaps more */
        json = exact(text, end);
        CHECK_EQ(stream_json_pick(json, end, &pointer, 1, &v), STREAM_MORE);
        free(json);
    }
    for (i = 0; i < 200; i++) { /* cut behind a backslash, at any place of a block */
        char text[400] = "{\"a\":\"", *json;
        const char *const pointer = "/b";
        size_t n = add_text(text, add_many(text, 6, sizeof text, 'x', 80), sizeof text, "\\\"");
        stream_json_value v;
        n = add_text(text, add_many(text, n, sizeof text, 'x', i), sizeof text, "\\");
        json = exact(text, n);
        CHECK_EQ(stream_json_pick(json, n, &pointer, 1, &v), STREAM_MORE);
        free(json);
    }
}

static void pick_reaches_32_steps_down_and_no_stack_further(void) {
    const size_t deep = 100000;
    char *text = (char *)take(2 * deep), pointer[65] = "";
    const char *p = pointer;
    stream_json_value v;
    size_t i;
    memset(text, '[', deep);
    memset(text + deep, ']', deep);
    for (i = 0; i < 32; i++) memcpy(pointer + 2 * i, "/0", 2);
    CHECK_EQ(stream_json_pick(text, 2 * deep, &p, 1, &v), STREAM_OK);
    CHECK(v.ptr == text + 32);
    CHECK_EQ(v.len, 2 * deep - 64);
    CHECK_EQ(stream_json_pick(text, 2 * deep - 33, &p, 1, &v), STREAM_MORE);
    free(text);
}

/* --- picker ---------------------------------------------------------------------------------------- */

/* Asks a picker, and stream_json_pick, which must say the same. Whether the record was like the one before. */
static bool picked_alike(stream_json_picker *picker, const char *text, size_t len, size_t count) {
    char *json = exact(text, len);
    stream_json_value found[64], want[64];
    stream_status status, wanted = stream_json_pick(json, len, pointers, count, want);
    size_t i;
    memset(found, 0x55, sizeof found);
    status = stream_json_picker_pick(picker, json, len, found);
    CHECK_EQ(status, wanted);
    for (i = 0; i < count; i++) {
        CHECK_EQ(found[i].type, want[i].type);
        CHECK(found[i].ptr == want[i].ptr);
        CHECK_EQ(found[i].len, want[i].len);
    }
    if (test.failures) {
        printf("    in ");
        test_print_bytes(json, len);
        for (i = 0; i < count && i < 5; i++) printf(" %s", pointers[i]);
        printf("\n");
    }
    free(json);
    return picker->shape.misses == 0;
}

/* The document with some of its scalars and empty containers replaced by others; "" where there is no room. */
static size_t vary(char *out, size_t room, const document *d, const node *v, unsigned often, uint64_t *random) {
    static const char *const others[] = {"1",    "12",    "-2.5e3", "\"\"", "\"x\"", "\"a\\\"b\"",  "\"\\u0061\"",
                                         "true", "false", "null",   "{}",   "[]",    "{\"a\":1}", "[1,{\"b\":[]}]",
                                         "\"passed over as soon as it is learnt, as it is longer than others are\""};
    size_t n = 0, at = v->begin;
    const node *child;
    if (!v->child && below(random, often) == 0) {
        const char *other = others[below(random, sizeof others / sizeof *others)];
        n = strlen(other);
        if (n <= room) memcpy(out, other, n);
        return n <= room ? n : 0;
    }
    for (child = v->child; child; child = child->next) {
        size_t len;
        if (child->begin - at > room - n) return 0;
        memcpy(out + n, d->text + at, child->begin - at);
        n += child->begin - at;
        len = vary(out + n, room - n, d, child, often, random);
        if (len == 0) return 0;
        n += len;
        at = child->end;
    }
    if (v->end - at > room - n) return 0;
    memcpy(out + n, d->text + at, v->end - at);
    return n + (v->end - at);
}

static void a_picker_finds_what_a_pick_finds(void) {
    static char text[8000];
    static stream_json_picker picker;
    size_t i, documents = scaled(8000), asked = 0, alike = 0;
    for (i = 0; i < documents && !test.failures; i++) {
        uint64_t seed = seed_of(i + 6000000), random = seed;
        const node *root = make_document(&doc, &random);
        const size_t count = i % 10 == 0 ? 64 : below(&random, 4);
        const unsigned often = 2 + (unsigned)below(&random, 30);
        unsigned record;
        size_t k;
        for (k = 0; k < count; k++) {
            random_path(&paths[k], root, &random);
            pointers[k] = paths[k].text;
        }
        CHECK_EQ(stream_json_picker_init(&picker, pointers, count), STREAM_OK);
        for (record = 0; record < 24 && !test.failures; record++) {
            size_t n = vary(text, sizeof text, &doc, root, often, &random);
            const unsigned harm = (unsigned)below(&random, 12);
            if (harm == 0) n = below(&random, n + 1);
            if (harm == 1 && n) text[below(&random, n)] = "{}[]\",:\\ 1tu"[below(&random, 12)];
            if (harm == 2) n += (size_t)snprintf(text + n, sizeof text - n, "%s", below(&random, 2) ? " \"" : "}1");
            asked++;
            alike += picked_alike(&picker, text, n < sizeof text ? n : 0, count);
        }
        if (test.failures) printf("    document %zu, seed %llu\n", i, (unsigned long long)seed);
    }
    CHECK(alike * 8 > asked);
}

/* Whether each of the records after the first is found to be like the one before. */
static bool alike(const char *const *records, size_t count) {
    stream_json_picker picker;
    bool all = true;
    size_t i;
    CHECK_EQ(stream_json_picker_init(&picker, pointers, count), STREAM_OK);
    for (i = 0; records[i]; i++) {
        const bool like = picked_alike(&picker, records[i], strlen(records[i]), count);
        if (i > 0) all &= like;
    }
    return all;
}

static void a_picker_reads_what_differs_and_no_more(void) {
    static const char *const values[] = {"{\"a\":1,\"t\":\"x\",\"b\":2}", "{\"a\":1,\"t\":\"longer\",\"b\":33}",
                                         "{\"a\":1,\"t\":null,\"b\":[1,{}]}", NULL};
    static const char *const passed[] = {"{\"a\":1,\"c\":\"u\",\"b\":2}", "{\"a\":1,\"c\":\"other\",\"b\":2}",
                                         "{\"a\":12,\"c\":true,\"b\":2}", "{\"a\":null,\"c\":-1e9,\"b\":2}", NULL};
    static const char *const absent[] = {"{\"b\":2,\"a\":1}", "{\"b\":3,\"a\":17}", "{\"b\":3,\"a\":\"}\"}", NULL};
    static const char *const added[] = {"{\"b\":2,\"a\":1}", "{\"b\":2,\"a\":1,\"t\":3}", NULL};
    static const char *const renamed[] = {"{\"a\":1,\"t\":2}", "{\"e\":1,\"t\":2}", NULL};
    static const char *const within[] = {"{\"a\":1,\"t\":2}", "{\"a\":{\"t\":1},\"t\":2}", NULL};
    static const char *const twice[] = {"{\"a\":1,\"a\":{\"t\":2}}", "{\"a\":{\"t\":1},\"a\":{\"t\":2}}", NULL};
    static const char *const turns[] = {"{\"a\":1,\"t\":2}", "{\"a\":1,\"c\":3,\"t\":2}", "{\"a\":1,\"t\":2}",
                                        "{\"a\":1,\"c\":3,\"t\":2}", "{\"a\":1,\"t\":2}", NULL};
    static const char *const behind[] = {"{\"a\":1} \"", "{\"a\":2} \"", "{\"a\":2} '", "{\"a\":2} \"\"", NULL};
    stream_json_picker picker;
    static char text[8000];
    size_t i;
    pointers[0] = "/t";
    pointers[1] = "/b";
    CHECK(alike(values, 2));
    CHECK(alike(passed, 2)); /* /t is nowhere: the whole record is compared */
    CHECK(alike(absent, 2));
    CHECK(!alike(added, 2));
    pointers[1] = "/a";
    CHECK(!alike(behind, 2));
    CHECK(!alike(renamed, 1));
    CHECK(!alike(within, 1));
    CHECK(!alike(turns, 1));
    pointers[0] = "/a/t";
    CHECK(!alike(twice, 1));
    CHECK(!alike(within, 2)); /* /a ends where /a/t leads on */

    /* A long text is passed over at once; more than is remembered is not learnt, and is found all the same. */
    pointers[0] = "/b";
    CHECK_EQ(stream_json_picker_init(&picker, pointers, 1), STREAM_OK);
    for (i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "{\"text\":\"%0*d\",\"b\":%d}", 600 + 10 * (int)i, 0, (int)i);
        CHECK_EQ(picked_alike(&picker, text, strlen(text), 1), i > 0);
    }
    CHECK_EQ(stream_json_picker_init(&picker, pointers, 1), STREAM_OK);
    for (i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "{\"spaces\":%*d,\"b\":%d}", STREAM_JSON_SHAPE, 1, (int)i);
        CHECK(!picked_alike(&picker, text, strlen(text), 1));
    }

    /* A name as long is a name. */
    CHECK_EQ(stream_json_picker_init(&picker, pointers, 1), STREAM_OK);
    for (i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "{\"%0*d\":1,\"b\":2}", 100, 0);
        CHECK_EQ(picked_alike(&picker, text, strlen(text), 1), i > 0);
    }
    CHECK(!picked_alike(&picker, "{\"b\":1,\"b\":2}", 13, 1));

    /* Whole records; more values that differ than there are parts. */
    pointers[0] = "";
    CHECK(alike(values, 1));
    pointers[0] = "/b";
    CHECK_EQ(stream_json_picker_init(&picker, pointers, 1), STREAM_OK);
    for (i = 0; i < 4; i++) {
        size_t n = (size_t)snprintf(text, sizeof text, "{\"\":[%d", (int)i), k;
        for (k = 0; k < STREAM_JSON__PARTS; k++) n += (size_t)snprintf(text + n, sizeof text - n, ",%d", (int)i);
        n += (size_t)snprintf(text + n, sizeof text - n, "],\"b\":%d}", (int)i);
        CHECK(!picked_alike(&picker, text, n, 1));
    }
    CHECK_EQ(stream_json_picker_init(&picker, pointers, 1), STREAM_OK);
    for (i = 0; i < 4; i++) { /* the same of long texts */
        size_t n = (size_t)snprintf(text, sizeof text, "{\"\":[%d", (int)i), k;
        for (k = 0; k < STREAM_JSON__PARTS; k++) n += (size_t)snprintf(text + n, sizeof text - n, ",\"%070d\"", (int)i);
        n += (size_t)snprintf(text + n, sizeof text - n, "],\"b\":%d}", (int)i);
        CHECK(!picked_alike(&picker, text, n, 1));
    }
}

static void a_picker_that_learns_in_vain_learns_ever_less(void) {
    stream_json_picker picker;
    char text[60];
    unsigned i, learnt = 0, before = 0;
    pointers[0] = "/t";
    CHECK_EQ(stream_json_picker_init(&picker, pointers, 1), STREAM_OK);
    for (i = 0; i < 1000; i++) {
        char known[sizeof picker.shape.text];
        memcpy(known, picker.shape.text, sizeof known);
        snprintf(text, sizeof text, "{\"name%u\":0,\"t\":1}", i);
        CHECK(!picked_alike(&picker, text, strlen(text), 1));
        learnt += memcmp(known, picker.shape.text, sizeof known) != 0;
        if (i == 499) before = learnt;
    }
    CHECK_EQ(learnt, 11); /* 1, 2, 3, 5, 9 ... 513 */
    CHECK_EQ(before, 10);
    CHECK(!picked_alike(&picker, "{\"name512\":0", 12, 1));
    for (i = 0; i < 8 && !picked_alike(&picker, "{\"name512\":0,\"t\":2}", 19, 1); i++) {
    }
    CHECK(i < 8); /* the one that was learnt last; only every eighth is still compared */
}

/* Of two shapes in turn neither is learnt, or loosened, each time it comes. */
static void a_picker_learns_shapes_that_come_in_turn_ever_less(void) {
    stream_json_picker picker;
    char text[200];
    unsigned i, learnt = 0;
    pointers[0] = "/z";
    CHECK_EQ(stream_json_picker_init(&picker, pointers, 1), STREAM_OK);
    for (i = 0; i < 1000; i++) {
        stream_json__shape known = picker.shape;
        snprintf(text, sizeof text, "{\"a\":%u,\"b\":[%u,%u,%u],\"%s\":%u,\"z\":5}", i, i * 7 % 10, i * 3 % 10, i % 10,
                 i % 2 ? "temperature" : "humidity", i);
        picked_alike(&picker, text, strlen(text), 1);
        learnt += picker.shape.parts != known.parts || memcmp(picker.shape.text, known.text, sizeof known.text) != 0;
    }
    CHECK(learnt < 40);
}

static void a_picker_never_knows_a_bare_value(void) {
    static const char *const texts[] = {"1", "1.", "1", "1e", "-1", "-1e+", "0", "0.x", "true", "truex", " 1", " 1."};
    stream_json_picker picker;
    size_t i;
    pointers[0] = "/b";
    CHECK_EQ(stream_json_picker_init(&picker, pointers, 1), STREAM_OK);
    for (i = 0; i < COUNT(texts); i++) CHECK(!picked_alike(&picker, texts[i], strlen(texts[i]), 1));
}

static void a_picker_says_what_it_cannot_take(void) {
    stream_json_picker picker;
    stream_json_value out[1];
    const char *many[65];
    size_t i;
    for (i = 0; i < 65; i++) many[i] = "/a";
    CHECK_EQ(stream_json_picker_init(&picker, many, 65), STREAM_E_ARGUMENT);
    CHECK_EQ(stream_json_picker_init(&picker, many, 64), STREAM_OK);
    many[0] = "a";
    CHECK_EQ(stream_json_picker_init(&picker, many, 1), STREAM_E_ARGUMENT);
    many[0] = NULL;
    CHECK_EQ(stream_json_picker_init(&picker, many, 1), STREAM_E_ARGUMENT);
    CHECK_EQ(stream_json_picker_init(&picker, NULL, 0), STREAM_OK);
    CHECK_EQ(stream_json_picker_pick(&picker, "[1]", 3, NULL), STREAM_OK);
    CHECK_EQ(stream_json_picker_pick(&picker, "[1", 2, NULL), STREAM_MORE);
    many[0] = "";
    CHECK_EQ(stream_json_picker_init(&picker, many, 1), STREAM_OK);
    CHECK_EQ(stream_json_picker_pick(&picker, "{}", 2, out), STREAM_OK);
    CHECK_EQ(stream_json_picker_pick(&picker, NULL, 0, out), STREAM_MORE);
    many[0] = "/a";
    CHECK_EQ(stream_json_picker_init(&picker, many, 1), STREAM_OK);
    for (i = 0; i < 3; i++) {
        CHECK_EQ(stream_json_picker_pick(&picker, "{\"a\":1}", 7, out), STREAM_OK);
        CHECK_TEXT(out[0].ptr, out[0].len, "1");
        CHECK_EQ(stream_json_picker_pick(&picker, NULL, 0, out), STREAM_MORE);
        CHECK_EQ(out[0].type, STREAM_JSON_NONE);
    }
}

static bool inside(stream_json_value v, const char *json, size_t len) {
    if (v.type == STREAM_JSON_NONE) return v.ptr == NULL && v.len == 0;
    return v.len > 0 && v.ptr >= json && v.ptr + v.len <= json + len;
}

/* Walks whatever is there, without recursion; values that are not handed out whole are none. */
static size_t walk(const char *json, size_t len, stream_json_value v, unsigned depth) {
    stream_json_each each;
    stream_json_value key, value;
    stream_status status;
    size_t steps = 0;
    int64_t number;
    char buffer[16];
    size_t need;
    stream_json_int64(v, &number);
    stream_json_string(v, STREAM_JSON_PASS, buffer, sizeof buffer, &need);
    stream_json_equals(v, "a", 1);
    if (stream_json_each_init(&each, v) != STREAM_OK || depth > 20) return 1;
    while ((status = stream_json_each_next(&each, &key, &value)) == STREAM_OK) {
        CHECK(inside(key, json, len));
        CHECK(inside(value, json, len));
        steps += walk(json, len, value, depth + 1);
        if (steps > 100000) break;
    }
    CHECK(status == STREAM_END || status == STREAM_MORE || status == STREAM_E_INVALID);
    CHECK(inside(key, json, len));
    CHECK_EQ(value.type, STREAM_JSON_NONE);
    CHECK(value.ptr == NULL);
    return steps;
}

static void broken_documents_do_no_harm(void) {
    size_t i, documents = scaled(30000);
    for (i = 0; i < documents && !test.failures; i++) {
        static const char letters[] = "{}[]\",:\\ 1tu";
        uint64_t seed = seed_of(i + 4000000), random = seed;
        const node *root = make_document(&doc, &random);
        size_t breaks = 1 + below(&random, 4), count = 1 + below(&random, 5), k, n = doc.n;
        stream_json_value out[5];
        stream_status status;
        char *json;
        for (k = 0; k < count; k++) {
            random_path(&paths[k], root, &random);
            pointers[k] = paths[k].text;
        }
        while (breaks--) doc.text[below(&random, n)] = letters[below(&random, sizeof letters - 1)];
        if (i % 3 == 0) n = below(&random, n + 1);
        json = exact(doc.text, n);
        memset(out, 0x55, sizeof out);
        status = stream_json_pick(json, n, pointers, count, out);
        CHECK(status == STREAM_OK || status == STREAM_MORE || status == STREAM_E_INVALID);
        for (k = 0; k < count; k++) CHECK(inside(out[k], json, n));
        for (k = 0; k < count; k++) walk(json, n, out[k], 0);
        walk(json, n, stream_json_value_of(json, n), 0);
        free(json);
        if (test.failures) printf("    document %zu, seed %llu\n", i, (unsigned long long)seed);
    }
}

static void value_of_trims_and_types(void) {
    stream_json_value v = stream_json_value_of(" \t\r\n{\"a\": 1} \n", 14);
    CHECK_TEXT(v.ptr, v.len, "{\"a\": 1}");
    CHECK_EQ(v.type, STREAM_JSON_OBJECT);
    CHECK_EQ(stream_json_value_of("[]", 2).type, STREAM_JSON_ARRAY);
    CHECK_EQ(stream_json_value_of("\"\"", 2).type, STREAM_JSON_STRING);
    CHECK_EQ(stream_json_value_of("-1", 2).type, STREAM_JSON_NUMBER);
    CHECK_EQ(stream_json_value_of("true", 4).type, STREAM_JSON_TRUE);
    CHECK_EQ(stream_json_value_of("false", 5).type, STREAM_JSON_FALSE);
    CHECK_EQ(stream_json_value_of("null", 4).type, STREAM_JSON_NULL);
    v = stream_json_value_of(" x ", 3);
    CHECK_EQ(v.type, STREAM_JSON_NONE);
    CHECK(v.ptr == NULL);
    v = stream_json_value_of("  ", 2);
    CHECK_EQ(v.type, STREAM_JSON_NONE);
    CHECK(v.ptr == NULL);
    v = stream_json_value_of(NULL, 0);
    CHECK_EQ(v.type, STREAM_JSON_NONE);
}

/* --- each ------------------------------------------------------------------------------------------ */

/* Whether walking `v` gives the children of `want`, all the way down; v.ptr - base + shift is where the
   values stand in the document. */
static bool matches(stream_json_value v, const node *want) {
    stream_json_each each;
    stream_json_value key, value;
    const node *c;
    int64_t number;
    if (v.type != want->type) return false;
    if (want->type == STREAM_JSON_STRING) return stream_json_equals(v, want->string, strlen(want->string));
    if (want->type == STREAM_JSON_NUMBER)
        return stream_json_int64(v, &number) == STREAM_OK && number == want->number;
    if (want->type < STREAM_JSON_ARRAY) return stream_json_each_init(&each, v) == STREAM_E_TYPE;
    if (stream_json_each_init(&each, v) != STREAM_OK) return false;
    for (c = want->child; c; c = c->next) {
        if (stream_json_each_next(&each, &key, &value) != STREAM_OK) return false;
        if (c->key ? !stream_json_equals(key, c->key, strlen(c->key)) : key.type != STREAM_JSON_NONE)
            return false;
        if (!matches(value, c)) return false;
    }
    return stream_json_each_next(&each, &key, &value) == STREAM_END &&
           stream_json_each_next(&each, NULL, &value) == STREAM_END;
}

static void each_walks_what_was_written(void) {
    size_t i, documents = scaled(20000);
    for (i = 0; i < documents && !test.failures; i++) {
        uint64_t seed = seed_of(i + 5000000), random = seed;
        const node *root = make_document(&doc, &random);
        char *json = exact(doc.text, doc.n);
        CHECK(matches(stream_json_value_of(json, doc.n), root));
        free(json);
        if (test.failures) printf("    document %zu, seed %llu\n", i, (unsigned long long)seed);
    }
}

static void each_of_a_cut_value_gives_what_is_known_and_then_more(void) {
    size_t i, documents = scaled(1000);
    for (i = 0; i < documents && !test.failures; i++) {
        uint64_t random = seed_of(i + 6000000);
        const node *root = make_document(&doc, &random), *c;
        size_t len;
        for (len = 1; len < doc.n && doc.n < 400; len++) {
            char *json = exact(doc.text, len);
            stream_json_each each;
            stream_json_value key, value;
            stream_json_value v;
            v.ptr = json;
            v.len = len;
            v.type = root->type;
            CHECK_EQ(stream_json_each_init(&each, v), STREAM_OK);
            for (c = root->child; known(c, len); c = c->next) {
                CHECK_EQ(stream_json_each_next(&each, &key, &value), STREAM_OK);
                CHECK(value.ptr == json + c->begin);
                CHECK_EQ(value.len, c->end - c->begin);
            }
            CHECK_EQ(stream_json_each_next(&each, &key, &value), STREAM_MORE);
            CHECK_EQ(value.type, STREAM_JSON_NONE);
            CHECK(value.ptr == NULL);
            free(json);
        }
    }
}

static stream_json_value value(const char *text) { return stream_json_value_of(text, strlen(text)); }

/* The statuses of walking `text`, and after how many members the last came. */
static void check_each(const char *text, size_t members, stream_status last) {
    stream_json_each each;
    stream_json_value key, v;
    stream_status status;
    size_t count = 0;
    CHECK_EQ(stream_json_each_init(&each, value(text)), STREAM_OK);
    while ((status = stream_json_each_next(&each, &key, &v)) == STREAM_OK) count++;
    CHECK_EQ(count, members);
    CHECK_EQ(status, last);
    CHECK_EQ(stream_json_each_next(&each, &key, &v), last); /* and so it stays */
    CHECK(key.type == STREAM_JSON_NONE && v.type == STREAM_JSON_NONE);
}

static void each_stops_where_the_structure_breaks(void) {
    check_each("{}", 0, STREAM_END);
    check_each("[ ]", 0, STREAM_END);
    check_each("[1,]", 1, STREAM_E_INVALID);
    check_each("[,1]", 0, STREAM_E_INVALID);
    check_each("[1,,5]", 1, STREAM_E_INVALID);
    check_each("{\"a\":,\"b\":5}", 0, STREAM_E_INVALID);
    check_each("[1,2", 1, STREAM_MORE);
    check_each("[1 2]", 1, STREAM_E_INVALID);
    check_each("[1}", 1, STREAM_E_INVALID);
    check_each("{\"a\":1]", 1, STREAM_E_INVALID);
    check_each("{\"a\":1,}", 1, STREAM_E_INVALID);
    check_each("{\"a\"}", 0, STREAM_E_INVALID);
    check_each("{\"a\":}", 0, STREAM_E_INVALID);
    check_each("{1:2}", 0, STREAM_E_INVALID);
    check_each("[1", 0, STREAM_MORE);
    check_each("[1,", 1, STREAM_MORE);
    check_each("[", 0, STREAM_MORE);
    check_each("[\"a", 0, STREAM_MORE);
    check_each("[\"a\\", 0, STREAM_MORE);
    check_each("[[1]", 1, STREAM_MORE);
}

/* --- strings and integers -------------------------------------------------------------------------- */

typedef struct spelling {
    const char *text, *pass; /* as written; unescaped with PASS; NULL: invalid */
    const char *replace;     /* with REPLACE, where it differs; REJECT then refuses */
} spelling;

static const spelling strings[] = {
    {"\"\"", "", NULL},
    {"\"abc\"", "abc", NULL},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", NULL},
    {"\"\\u0041\\u00e9\\u00E9\\u20ac\\uFFFF\"", "A\xC3\xA9\xC3\xA9\xE2\x82\xAC\xEF\xBF\xBF", NULL},
    {"\"\\uAFab\\uE000\"", "\xEA\xBE\xAB\xEE\x80\x80", NULL},
    {"\"\\n~1~0\"", "\n~1~0", NULL},
    {"\"\\u007f\\u0080\\u07ff\\u0800\"", "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80", NULL},
    {"\"\\ud83d\\ude00\\uD83D\\uDE00\"", "\xF0\x9F\x98\x80\xF0\x9F\x98\x80", NULL},
    {"\"\\ud800\\udc00\\udbff\\udfff\"", "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", NULL},
    {"\"x\xC3\xA9y\\\\z\"", "x\xC3\xA9y\\z", NULL},
    {"\"\\ud800\"", "\xED\xA0\x80", "\xEF\xBF\xBD"},
    {"\"\\udc00\"", "\xED\xB0\x80", "\xEF\xBF\xBD"},
    {"\"\\udfff\"", "\xED\xBF\xBF", "\xEF\xBF\xBD"},
    {"\"\\udc00\\udc00\"", "\xED\xB0\x80\xED\xB0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD"},
    {"\"a\\ud83db\"",
     "a\xED\xA0\xBD"
     "b",
     "a\xEF\xBF\xBD"
     "b"},
    {"\"\\ud83d\\n\"", "\xED\xA0\xBD\n", "\xEF\xBF\xBD\n"},
    {"\"\\ud83d\\u0041\"",
     "\xED\xA0\xBD"
     "A",
     "\xEF\xBF\xBD"
     "A"},
    {"\"\\ud83d\\ud83d\\ude00\"", "\xED\xA0\xBD\xF0\x9F\x98\x80", "\xEF\xBF\xBD\xF0\x9F\x98\x80"},
    {"\"\\ude00\\ud83d\"", "\xED\xB8\x80\xED\xA0\xBD", "\xEF\xBF\xBD\xEF\xBF\xBD"},
    {"\"\\x\"", NULL, NULL},
    {"\"\\\"", NULL, NULL},
    {"\"\\u\"", NULL, NULL},
    {"\"\\u12\"", NULL, NULL},
    {"\"\\u123\"", NULL, NULL},
    {"\"\\u123g\"", NULL, NULL},
    {"\"\\u 123\"", NULL, NULL},
    {"\"\\U0041\"", NULL, NULL},
    {"\"\\ud83d\\u12\"", NULL, NULL},
    {"\"", NULL, NULL},
    {"\"abc", NULL, NULL},
    {"\"a\"b\"", NULL, NULL},
    {"\"a\" \"b\"", NULL, NULL},
};
enum { STRINGS = sizeof strings / sizeof *strings };

static void check_string(stream_json_value v, stream_json_surrogates policy, const char *want) {
    size_t need = want ? strlen(want) : 0, cap, len;
    char *in_place;
    for (cap = 0; cap <= need + 1; cap++) {
        char *dst = (char *)malloc(cap); /* exactly: a sanitizer sees one byte more */
        stream_status status = stream_json_string(v, policy, dst, cap, &len);
        CHECK_EQ(status, !want ? STREAM_E_INVALID : cap < need ? STREAM_FULL : STREAM_OK);
        if (want) CHECK_EQ(len, need);
        if (want) CHECK_BYTES(dst, cap < need ? cap : need, want, cap < need ? cap : need);
        free(dst);
    }
    in_place = exact(v.ptr, v.len);
    v.ptr = in_place;
    CHECK_EQ(stream_json_string(v, policy, in_place, v.len, &len), want ? STREAM_OK : STREAM_E_INVALID);
    if (want) CHECK_BYTES(in_place, len, want, need);
    free(in_place);
}

static void strings_are_unescaped(void) {
    size_t i;
    for (i = 0; i < STRINGS; i++) {
        char *text = exact(strings[i].text, strlen(strings[i].text));
        stream_json_value v = stream_json_value_of(text, strlen(strings[i].text));
        const char *replace = strings[i].replace;
        check_string(v, STREAM_JSON_PASS, strings[i].pass);
        check_string(v, STREAM_JSON_REPLACE, replace ? replace : strings[i].pass);
        check_string(v, STREAM_JSON_REJECT, replace ? NULL : strings[i].pass);
        free(text);
    }
}

static void every_truncation_of_a_string_is_invalid(void) {
    size_t i, cut, len;
    char out[64];
    for (i = 0; i < STRINGS; i++) {
        for (cut = 1; strings[i].pass && cut < strlen(strings[i].text); cut++) {
            char *text = exact(strings[i].text, cut);
            stream_json_value v;
            v.ptr = text;
            v.len = cut;
            v.type = STREAM_JSON_STRING;
            CHECK_EQ(stream_json_string(v, STREAM_JSON_PASS, out, sizeof out, &len), STREAM_E_INVALID);
            CHECK(!stream_json_equals(v, out, 0));
            free(text);
        }
    }
}

static void equals_compares_what_a_string_means(void) {
    size_t i;
    for (i = 0; i < STRINGS; i++) {
        const char *want = strings[i].pass;
        char *other, *shorter, *text = exact(strings[i].text, strlen(strings[i].text));
        stream_json_value v = stream_json_value_of(text, strlen(strings[i].text));
        size_t len = want ? strlen(want) : 0;
        CHECK_EQ(stream_json_equals(v, want ? want : "", len), want != NULL);
        shorter = exact(want, len ? len - 1 : 0);
        other = (char *)take(len + 1);
        memcpy(other, want ? want : "", len);
        other[len] = 'x';
        CHECK(!stream_json_equals(v, other, len + 1));
        if (len) CHECK(!stream_json_equals(v, shorter, len - 1));
        free(shorter);
        if (len) other[len - 1] = (char)(other[len - 1] ^ 1);
        if (len) CHECK(!stream_json_equals(v, other, len));
        free(other);
        free(text);
    }
    CHECK(!stream_json_equals(value("\"\\n\""), "\\n", 2));
    CHECK(!stream_json_equals(value("\"a\"b\""), "a\"b", 3));
    CHECK(!stream_json_equals(value("\"\\n\"b\""), "\n\"b", 3));
    CHECK(stream_json_equals(value("\"\\u0000\""), "\0", 1));
    CHECK(!stream_json_equals(value("12"), "12", 2));
    CHECK(!stream_json_equals(value("[]"), "", 0));
    CHECK(!stream_json_equals(value(""), "", 0));
}

static void only_strings_are_strings(void) {
    char out[8];
    size_t len;
    CHECK_EQ(stream_json_string(value("12"), STREAM_JSON_PASS, out, 8, &len), STREAM_E_TYPE);
    CHECK_EQ(stream_json_string(value("null"), STREAM_JSON_PASS, out, 8, &len), STREAM_E_TYPE);
    CHECK_EQ(stream_json_string(value("{}"), STREAM_JSON_PASS, out, 8, &len), STREAM_E_TYPE);
    CHECK_EQ(stream_json_string(value(""), STREAM_JSON_PASS, out, 8, &len), STREAM_E_TYPE);
}

static void check_int64(const char *text, stream_status want, int64_t number) {
    char *bytes = exact(text, strlen(text));
    int64_t n = 77;
    CHECK_EQ(stream_json_int64(stream_json_value_of(bytes, strlen(text)), &n), want);
    if (want == STREAM_OK) CHECK_EQ(n, number);
    free(bytes);
}

static void integers_are_exact(void) {
    check_int64("0", STREAM_OK, 0);
    check_int64("-0", STREAM_OK, 0);
    check_int64("1", STREAM_OK, 1);
    check_int64("-1", STREAM_OK, -1);
    check_int64("9007199254740993", STREAM_OK, INT64_C(9007199254740993));
    check_int64("9223372036854775807", STREAM_OK, INT64_MAX);
    check_int64("-9223372036854775808", STREAM_OK, INT64_MIN);
    check_int64("9223372036854775808", STREAM_E_RANGE, 0);
    check_int64("-9223372036854775809", STREAM_E_RANGE, 0);
    check_int64("18446744073709551616", STREAM_E_RANGE, 0);
    check_int64("-18446744073709551617", STREAM_E_RANGE, 0);
    check_int64("99999999999999999999999999999999999999", STREAM_E_RANGE, 0);
}

static void what_is_no_integer_says_why(void) {
    check_int64("1.0", STREAM_E_TYPE, 0);
    check_int64("1e3", STREAM_E_TYPE, 0);
    check_int64("1E3", STREAM_E_TYPE, 0);
    check_int64("-0.5", STREAM_E_TYPE, 0);
    check_int64("1.", STREAM_E_INVALID, 0);
    check_int64("1e", STREAM_E_INVALID, 0);
    check_int64("-1E-", STREAM_E_INVALID, 0);
    check_int64("1.5x", STREAM_E_INVALID, 0);
    check_int64("99999999999999999999.5", STREAM_E_TYPE, 0);
    check_int64("99999999999999999999e1", STREAM_E_TYPE, 0);
    check_int64("\"1\"", STREAM_E_TYPE, 0);
    check_int64("true", STREAM_E_TYPE, 0);
    check_int64("[1]", STREAM_E_TYPE, 0);
    check_int64("", STREAM_E_TYPE, 0);
    check_int64("01", STREAM_E_INVALID, 0);
    check_int64("-01", STREAM_E_INVALID, 0);
    check_int64("00", STREAM_E_INVALID, 0);
    check_int64("09", STREAM_E_INVALID, 0);
    check_int64("-", STREAM_E_INVALID, 0);
    check_int64("-/", STREAM_E_INVALID, 0);
    check_int64("-:", STREAM_E_INVALID, 0);
    check_int64("0/", STREAM_E_INVALID, 0);
    check_int64("1:", STREAM_E_INVALID, 0);
    check_int64("--1", STREAM_E_INVALID, 0);
    check_int64("12x", STREAM_E_INVALID, 0);
    check_int64("1 2", STREAM_E_INVALID, 0);
    check_int64("99999999999999999999x", STREAM_E_INVALID, 0);
}

/* RFC 7464: RS begins a text and ends the one before, whatever is open. */
static void a_record_separator_begins_a_text(void) {
    static const char text[] = "\x1E{\"a\":1}\n\x1E[2]\n\x1E\"x\"\n\x1Etrue\n" /* whole ones */
                               "\x1E{\"a\":\"b\x1E\x31\x32\x1Etru\x1E\"c\x1E"      /* each cut by the next */
                               "7 \n\x1Ehm {}\n\x1E{}{}\n\x1E\x31";
    static const struct {
        stream_status status;
        uint64_t offset;
        const char *bytes;
    } want[] = {
        {STREAM_OK, 1, "{\"a\":1}"},   {STREAM_OK, 10, "[2]"},          {STREAM_OK, 15, "\"x\""},
        {STREAM_OK, 20, "true"},       {STREAM_E_TRUNCATED, 26, "{\"a\":\"b"}, {STREAM_E_TRUNCATED, 34, "12"},
        {STREAM_E_TRUNCATED, 37, "tru"}, {STREAM_E_TRUNCATED, 41, "\"c"}, {STREAM_OK, 44, "7"},
        {STREAM_NOISE, 48, "hm "},     {STREAM_OK, 51, "{}"},           {STREAM_OK, 55, "{}"},
        {STREAM_OK, 57, "{}"},         {STREAM_E_TRUNCATED, 61, "1"},
    };
    size_t cut;
    for (cut = 0; cut < sizeof text && !test.failures; cut++) {
        stream_json json;
        stream_json_desc desc;
        stream_item item;
        size_t i = 0;
        unsigned fed = 0;
        memset(&desc, 0, sizeof desc);
        desc.mode = RS;
        CHECK_EQ(stream_json_init(&json, &desc), STREAM_OK);
        while (i <= sizeof want / sizeof want[0]) {
            stream_status status = stream_json_next(&json, &item);
            if (status == STREAM_MORE) {
                if (fed == 0) stream_json_feed(&json, text, cut);
                else if (fed == 1) stream_json_feed(&json, text + cut, sizeof text - 1 - cut);
                else stream_json_finish(&json);
                fed++;
                continue;
            }
            if (status == STREAM_END) break;
            CHECK_EQ(status, want[i].status);
            CHECK_EQ(item.offset, want[i].offset);
            CHECK(item.len == strlen(want[i].bytes) && memcmp(item.ptr, want[i].bytes, item.len) == 0);
            i++;
        }
        CHECK_EQ(i, sizeof want / sizeof want[0]);
        if (test.failures) printf("    cut at %zu, item %zu\n", cut, i);
        stream_json_free(&json);
    }
}

/* --- checking --------------------------------------------------------------------------------------- */

static void check_text(const char *text, stream_status want, size_t at) {
    char *json = exact(text, strlen(text));
    size_t offset = 77;
    CHECK_EQ(stream_json_check(json, strlen(text), &offset), want);
    CHECK_EQ(offset, want == STREAM_OK || want == STREAM_MORE ? strlen(text) : at);
    if (test.failures) printf("    in %s\n", text);
    free(json);
}

static void check_names_the_first_byte_that_cannot_stand(void) {
    check_text(" [1, -0.5e+3, \"\\u00e9\\n\", {\"a\": null, \"\": {}}, []] \n", STREAM_OK, 0);
    check_text("\"\\ud800\"", STREAM_OK, 0); /* a lone surrogate escape is valid */
    check_text("12", STREAM_OK, 0);
    check_text("", STREAM_MORE, 0);
    check_text(" \n", STREAM_MORE, 0);
    check_text("-", STREAM_MORE, 0);
    check_text("1e+", STREAM_MORE, 0);
    check_text("{\"a\":\"\\u00", STREAM_MORE, 0);
    check_text("\"\xF0\x9F", STREAM_MORE, 0);
    check_text("[1,", STREAM_MORE, 0);
    check_text("{} {}", STREAM_E_INVALID, 3);
    check_text("[1,]", STREAM_E_INVALID, 3);
    check_text("[,", STREAM_E_INVALID, 1);
    check_text("[1 2]", STREAM_E_INVALID, 3);
    check_text("[}", STREAM_E_INVALID, 1);
    check_text("{\"a\":1]", STREAM_E_INVALID, 6);
    check_text("{\"a\":1,}", STREAM_E_INVALID, 7);
    check_text("{\"a\" 1}", STREAM_E_INVALID, 5);
    check_text("{\"a\":}", STREAM_E_INVALID, 5);
    check_text("{a", STREAM_E_INVALID, 1);
    check_text("{1", STREAM_E_INVALID, 1);
    check_text("01", STREAM_E_INVALID, 1);
    check_text("1.e", STREAM_E_INVALID, 2);
    check_text("-a", STREAM_E_INVALID, 1);
    check_text("nul]", STREAM_E_INVALID, 3);
    check_text("truex", STREAM_E_INVALID, 4);
    check_text("+1", STREAM_E_INVALID, 0);
    check_text("\"a\nb\"", STREAM_E_INVALID, 2);
    check_text("\"\\x\"", STREAM_E_INVALID, 2);
    check_text("\"\\u00g0\"", STREAM_E_INVALID, 5);
    check_text("\"a\xC3(\"", STREAM_E_INVALID, 3);
    check_text("\"\xED\xA0\x80\"", STREAM_E_INVALID, 2);
    check_text("\"\xC0\x80\"", STREAM_E_INVALID, 1);
    check_text("\xEF\xBB\xBF{}", STREAM_E_INVALID, 0);
}

/* The kernels look at 64 bytes at a time, and on a lead's account into the next 64. */
static void check_judges_a_lead_wherever_a_block_ends(void) {
    static const unsigned char first[] = {0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE1, 0xEF, 0xF1, 0xF4, 0xF5, 0xFF};
    static const char rest[] = "\x80\x80\x80";
    size_t i, at, offset;
    for (i = 0; i < COUNT(first); i++) {
        const size_t more = first[i] < 0xE0 ? 1 : first[i] < 0xF0 ? 2 : 3;
        const bool good = first[i] >= 0xC2 && first[i] <= 0xF4;
        for (at = 1; at < 200; at++) {
            char text[300];
            memset(text, 'a', sizeof text);
            text[0] = text[sizeof text - 1] = '"';
            text[at] = (char)first[i];
            memcpy(text + at + 1, rest, more);
            CHECK_EQ(stream_json_check(text, sizeof text, &offset), good ? STREAM_OK : STREAM_E_INVALID);
            if (!good) CHECK_EQ(offset, at);
        }
    }
}

static void check_calls_no_prefix_of_a_valid_text_invalid(void) {
    size_t i, documents = scaled(1000);
    for (i = 0; i < documents && !test.failures; i++) {
        uint64_t seed = seed_of(i + 9000000), random = seed;
        size_t len, offset;
        make_document(&doc, &random);
        for (len = 0; len <= doc.n && (doc.n < 400 || i % 20 == 0); len++) {
            char *json = exact(doc.text, len);
            CHECK_EQ(stream_json_check(json, len, &offset), len < doc.n ? STREAM_MORE : STREAM_OK);
            CHECK_EQ(offset, len);
            free(json);
        }
        if (test.failures) printf("    document %zu, seed %llu\n", i, (unsigned long long)seed);
    }
}

/* The offset is what it is said to be: all before it may stand, it may not. */
static void the_offset_of_an_invalid_byte_is_the_first(void) {
    size_t i, documents = scaled(30000);
    for (i = 0; i < documents && !test.failures; i++) {
        static const char letters[] = "{}[]\",:\\ 1tu.-e\n\xC3";
        uint64_t seed = seed_of(i + 10000000), random = seed;
        size_t breaks = 1 + below(&random, 3), at = 0, again = 0;
        make_document(&doc, &random);
        while (breaks--) doc.text[below(&random, doc.n)] = letters[below(&random, sizeof letters - 1)];
        if (stream_json_check(doc.text, doc.n, &at) == STREAM_E_INVALID) {
            char *json = exact(doc.text, at + 1);
            CHECK(at < doc.n);
            CHECK(stream_json_check(json, at, &again) >= 0);
            CHECK_EQ(stream_json_check(json, at + 1, &again), STREAM_E_INVALID);
            CHECK_EQ(again, at);
            free(json);
        }
        if (test.failures) printf("    document %zu, seed %llu\n", i, (unsigned long long)seed);
    }
}

/* A document, damaged in `breaks` places. */
static void break_document(uint64_t *random, size_t breaks) {
    static const char letters[] = "{}[]\",:\\ 1tu.-e0+E\t\n\xC3\xE0\xF4\x80\xA0/";
    make_document(&doc, random);
    while (breaks--) doc.text[below(random, doc.n)] = letters[below(random, sizeof letters - 1)];
}

/* What every kernel says of a text, in parts of one to `most` bytes, or whole, is what the reference says. */
static void kernels_check(const char *text, size_t len, uint64_t seed, size_t most) {
    static const char *const kernels[] = {"scalar", "sse2", "avx2", "avx512", "neon"};
    size_t want_at, at;
    const stream_status want = reference_check(text, len, &want_at);
    unsigned ran = 0, k;
    for (k = 0; k < COUNT(kernels); k++) {
        stream_json_checker checker;
        uint64_t random = seed;
        if (stream_json_checker_init(&checker, kernels[k]) != STREAM_OK) continue;
        ran |= 1u << k;
        for (at = 0; at < len;) {
            size_t n = most ? 1 + below(&random, most) : len;
            char *part;
            if (n > len - at) n = len - at;
            part = exact(text + at, n);
            stream_json_checker_feed(&checker, part, n);
            free(part);
            at += n;
        }
        CHECK_EQ(checker.status, want);
        CHECK_EQ(checker.offset, want_at);
        CHECK_EQ(checker.message == NULL, want >= 0);
        if (test.failures) printf("    kernel %s, seed %llu\n", kernels[k], (unsigned long long)seed);
    }
    CHECK(ran & 1);
    CHECK_EQ(stream_json_check(text, len, &at), want);
    CHECK_EQ(at, want_at);
}

static void every_kernel_checks_as_the_reference_does_however_it_is_cut(void) {
    size_t i, documents = scaled(30000);
    for (i = 0; i < documents && !test.failures; i++) {
        uint64_t seed = seed_of(i + 11000000), random = seed;
        break_document(&random, below(&random, 4));
        kernels_check(doc.text, doc.n, seed, i % 3 ? 100 : 3);
    }
}

/* Escapes and characters of several bytes, whole and with one byte wrong, wherever the blocks of a long string end: in
   its midst, and where it ends behind them. */
static void what_is_long_in_a_long_string_is_checked_wherever_a_block_ends(void) {
    static const char *const pieces[] = {"\\u00E9",      "\\uffFF",      "\\\\",           "\\\"",
                                         "\xC3\xA9",     "\xE2\x82\xAC", "\xED\x9F\xBF",     "\xEE\x80\x80",
                                         "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"};
    static const char instead[] = "gG/:@`0a\"\\un\n\x1F\x7F\x80\xBF\xC0\xC3\xE0\xF4\xFF";
    size_t i, end, before, wrong, with, texts = 0;
    for (i = 0; i < COUNT(pieces) && !test.failures; i++) {
        const size_t len = strlen(pieces[i]);
        for (end = 0; end < 4; end++) {
            for (before = 0; before <= len; before++) {
                for (wrong = 0; wrong <= len; wrong++) {
                    for (with = 0; instead[with] && !(wrong == len && with > 0); with++) {
                        char text[300];
                        const size_t at = (end / 2 + 2) * 64 - before, n = end % 2 ? at + len + 1 : sizeof text;
                        if (test.failures) return;
                        memset(text, 'a', sizeof text);
                        memcpy(text + at, pieces[i], len);
                        if (wrong < len) text[at + wrong] = instead[with];
                        text[0] = text[n - 1] = '"';
                        kernels_check(text, n, 0, 0);
                        kernels_check(text, n, seed_of(texts), 200);
                        texts++;
                    }
                }
            }
        }
    }
}

/* Blocks of nothing but numbers and commas, and such as have one literal or digit alone, with and without a fault. */
static void numbers_and_lone_tokens_are_checked_wherever_they_are_cut(void) {
    static const char *const begins[] = {"[", "[[],", "{\"a\":[", "{\"a\":", "[tru", "[[1,"};
    static const char *const tokens[] = {"0",       "7",    "-1",   "12",    "345.25",   "-0.5", "1e5", "6.02E+23",
                                         "1234567", "true", "null", "false", "99999999", "10",   "-0",  "0.125e-7"};
    static const char letters[] = ".,-+eE0123xtrufalsn\"]} ";
    static char text[2048];
    size_t i, valid = 0, documents = scaled(20000);
    for (i = 0; i < documents && !test.failures; i++) {
        uint64_t seed = seed_of(i + 11700000), random = seed;
        const bool lone = i % 2;
        const size_t kinds = below(&random, 3) ? 9 : COUNT(tokens), breaks = below(&random, 3);
        size_t n = add_text(text, 0, sizeof text, lone ? "{" : begins[below(&random, COUNT(begins))]), k, at;
        const size_t from = n, count = 20 + below(&random, 100);
        for (k = 0; k < count && n < sizeof text - 200; k++) {
            if (k) n = add_text(text, n, sizeof text, ",");
            if (lone) {
                size_t name = 50 + below(&random, 30);
                text[n++] = '"';
                while (name--) text[n++] = 'n';
                n = add_text(text, n, sizeof text, "\":");
            }
            n = add_text(text, n, sizeof text, tokens[below(&random, lone ? COUNT(tokens) : kinds)]);
        }
        n = add_text(text, n, sizeof text, text[0] == '{' ? text[from - 1] == '[' ? "]}" : "}" : "]");
        for (k = 0; k < breaks; k++) {
            at = from + below(&random, n - from);
            while (lone && text[at] == 'n' && text[at + 1] == 'n' && at + 2 < n) at++; /* a token, not a name */
            text[at] = letters[below(&random, sizeof letters - 1)];
        }
        valid += reference_check(text, n, &at) == STREAM_OK;
        kernels_check(text, n, seed, i % 3 ? 1000 : 100);
    }
    CHECK(valid > documents / 8);
    CHECK(valid < documents);
}

static void what_is_wrong_among_numbers_or_alone_is_found_at_every_place(void) {
    static const char *const among[] = {",",    ",,", "-,",  "true,",  "x",      "0",      "e",    ".5,", "\"", "]",
                                        "null", " ",  "1 ",  "1 ,",    "1.2.3,", "1e-01,", "1e-,", "1e+.", "1e5.5,", "1e5e,",
                                        "1false,", "1alse,", "1null,", "lse,", "nullx,", "true1,"};
    static const char *const behind[] = {",", ",\"b\":", ".", ".5.", "e-0", "E+", "e5.", ".5e5e5", "}"};
    static const char *const alone[] = {"nulx", "trux", "fals", "falsx", "nul",   "nulll", "1x",   "12",
                                        "-",    "x",    "lse",  "ull",   "1true", "1null", "1false"};
    char text[400];
    size_t i, at;
    for (at = 0; at < 204; at++) { /* to the end of the second block that has only numbers */
        for (i = 0; i < 2 * COUNT(among); i++) {
            const char *const others = i % 2 ? "7," : at % 3 ? "null," : "false,";
            size_t n = add_text(text, 0, sizeof text, at % 2 ? "[" : "[6,5");
            bool put = false;
            while (n < 264) {
                if (n > at && !put) n = add_text(text, n, sizeof text, among[i / 2]);
                put = n > at;
                n = add_text(text, n, sizeof text, others);
            }
            n = add_text(text, n, sizeof text, "8]");
            kernels_check(text, n, at, 400);
        }
        if (at % 2) { /* white space, numbers, and behind a block's last comma the end */
            size_t n = add_text(text, 0, sizeof text, "[");
            while (n <= at) text[n++] = ' ';
            do n = add_text(text, n, sizeof text, "7,");
            while (n % 64 || n < at + 64);
            n = add_text(text, n, sizeof text, "]");
            kernels_check(text, n, at, 400);
        }
        for (i = 0; i < COUNT(behind); i++) { /* a number longer than a block, in an object */
            size_t n = add_text(text, 0, sizeof text, "{\"a\":");
            while (n < at + 70) text[n++] = '1';
            n = add_text(text, n, sizeof text, behind[i]);
            while (n < at + 170) text[n++] = '2';
            n = add_text(text, n, sizeof text, "}");
            kernels_check(text, n, at, 400);
        }
        for (i = 0; i < COUNT(alone); i++) {
            size_t n = add_text(text, 0, sizeof text, "{\"");
            while (n < at + 70) text[n++] = 'a';
            n = add_text(text, n, sizeof text, "\":");
            n = add_text(text, n, sizeof text, alone[i]);
            n = add_text(text, n, sizeof text, ",\"");
            while (n < at + 170) text[n++] = 'b';
            n = add_text(text, n, sizeof text, "\":null}");
            kernels_check(text, n, at, 400);
        }
    }
}

/* Up to the limit and over it, at any place of a block, behind closed siblings, and behind a fault that has to be
   told instead. */
static void too_deep_is_told_of_the_bracket_that_is(void) {
    static const char *const downs[] = {"[", "[", "[ ", "[1,", "{\"a\":", "[[],", "[{},", "{\"\\n\" : "};
    static const char *const others[] = {"[]", "{}", "],", "1", ",", "[", "{", "}", "]"};
    static char text[9 * (STREAM_JSON_CHECK_DEPTH + 40)];
    size_t i, k, deep = 0, documents = scaled(2000);
    for (i = 0; i < documents && !test.failures; i++) {
        uint64_t seed = seed_of(i + 11500000), random = seed;
        const size_t plain = below(&random, 2) ? COUNT(downs) : 2;
        size_t n = 0, at, levels = STREAM_JSON_CHECK_DEPTH - 6 + below(&random, 20);
        for (k = 0; k < levels; k++) {
            const bool near_limit = k + 10 > STREAM_JSON_CHECK_DEPTH;
            const char *step = downs[below(&random, near_limit ? COUNT(downs) : plain)];
            if (near_limit && below(&random, 30) == 0) step = others[below(&random, COUNT(others))];
            n = add_text(text, n, sizeof text, step);
        }
        deep += reference_check(text, n, &at) == STREAM_E_TOO_DEEP;
        kernels_check(text, n, seed, i % 3 ? 500 : 20);
    }
    CHECK(deep > documents / 4);
    CHECK(deep < documents);
}

typedef struct judged {
    size_t valid, invalid, alike; /* values; and how often the last one was like the one before */
} judged;

/* A stream in loans of at most `most` bytes, 0: whole. Of each item is said what framing byte by byte says of it, and
   if desc is strict E_INVALID of a value just where the reference does. */
static void judge(const stream_json_desc *desc, const char *text, size_t n, size_t most, uint64_t random, judged *j) {
    stream_json_desc plain = *desc;
    stream_json loose, judging;
    stream_item a, b;
    stream_status sa, sb;
    size_t fed = 0, at = 0;
    plain.strict = false;
    CHECK_EQ(stream_json_init(&loose, &plain), STREAM_OK);
    CHECK_EQ(stream_json_init(&judging, desc), STREAM_OK);
    do {
        while ((sa = stream_json_next(&loose, &a)) == STREAM_MORE) {
            if (fed < n) stream_json_feed(&loose, text + fed++, 1);
            else stream_json_finish(&loose);
        }
        while ((sb = stream_json_next(&judging, &b)) == STREAM_MORE) {
            size_t len = most ? 1 + below(&random, most) : n;
            if (len > n - at) len = n - at;
            if (len) stream_json_feed(&judging, text + at, len);
            else stream_json_finish(&judging);
            at += len;
        }
        CHECK_EQ(b.offset, a.offset);
        CHECK_EQ(b.size, a.size);
        CHECK_EQ(b.kind, a.kind);
        CHECK_EQ(b.flags & (uint32_t)STREAM_UNTERMINATED, a.flags & (uint32_t)STREAM_UNTERMINATED);
        CHECK(b.len == a.len && (a.len == 0 || memcmp(b.ptr, a.ptr, a.len) == 0));
        j->alike += sb == STREAM_OK && judging.shape.parts > 0 && judging.shape.misses == 0;
        if (sa == STREAM_OK && desc->strict) {
            size_t wrong;
            uint64_t offset;
            const stream_status want = reference_check(a.ptr, a.len, &wrong);
            CHECK_EQ(sb, want == STREAM_OK ? STREAM_OK : STREAM_E_INVALID);
            j->valid += sb == STREAM_OK;
            if (sb != STREAM_E_INVALID) continue;
            CHECK(stream_json_error(&judging, &offset) != NULL && stream_json_error(&judging, NULL) != NULL);
            CHECK_EQ(offset, a.offset + wrong);
            j->invalid++;
        } else {
            CHECK_EQ(sb, sa);
        }
    } while (sa != STREAM_END && !test.failures);
    CHECK_EQ(judging.scanned, n);
    stream_json_free(&loose);
    stream_json_free(&judging);
}

/* Strict framing gives the items of framing, and says E_INVALID of a value just where the reference does. */
static void strict_framing_says_which_values_are_not_json(void) {
    size_t i, documents = scaled(10000);
    judged j = {0, 0, 0};
    for (i = 0; i < documents && !test.failures; i++) {
        uint64_t seed = seed_of(i + 12000000), random = seed;
        static char text[1 << 16];
        size_t len = 0;
        stream_json_desc desc;
        while (len < sizeof text / 2 && below(&random, 8)) {
            break_document(&random, below(&random, 2));
            if (doc.n > 4000) continue;
            memcpy(text + len, doc.text, doc.n);
            len += doc.n;
            if (below(&random, 4)) text[len++] = '\n';
        }
        memset(&desc, 0, sizeof desc);
        desc.mode = (stream_json_mode)below(&random, 4);
        desc.strict = true;
        judge(&desc, text, len, i % 2 ? 300 : 5, random, &j);
        if (test.failures) printf("    stream %zu, seed %llu\n", i, (unsigned long long)seed);
    }
    CHECK(j.invalid > documents / 10);
}

/* A record cut in its midst, where the line ends in the blocks of a long string. */
static void a_line_that_ends_in_a_long_string_ends_the_record(void) {
    size_t at;
    judged j = {0, 0, 0};
    for (at = 1; at < 400 && !test.failures; at++) {
        static const char head[] = "{\"a\":\"", tail[] = "\n{\"b\":1}\n";
        char text[512];
        size_t n = add_text(text, 0, sizeof text, head);
        stream_json_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.strict = true;
        n = add_many(text, n, sizeof text, 'a', at);
        n = add_text(text, n, sizeof text, tail);
        judge(&desc, text, n, 0, 0, &j);
    }
    CHECK_EQ(j.valid, at - 1);
}

/* Records that meet at any place of a block, damaged near where they meet, whole: of each is said what framing byte
   by byte and the reference say of it. */
static void records_that_meet_in_a_block_are_judged_apart(void) {
    static const char *const records[] = {
        "{\"a\":[1,true,null,-2.5e+3],\"b\":{}}\n", "{\"type\":\"delta\",\"text\":\"\\u00e9 \\n\xC3\xA9\"}\n",
        "{\"e\":{\"f\":[[0]]}}\n", "{\"g\":[[[[0]]]]}\n", "{\"z\":\"}\"}\n"};
    static const char letters[] = "{}[]\",:\\ 1tu.-e0\t\n\r\x01\xC3\x80/";
    size_t i, documents = scaled(60000);
    judged j = {0, 0, 0};
    for (i = 0; i < documents && !test.failures; i++) {
        uint64_t seed = seed_of(i + 12500000), random = seed;
        char text[512];
        size_t n = 0, at, k, pad = below(&random, 64), meet = 0;
        stream_json_desc desc;
        n = add_text(text, n, sizeof text, "{\"pad\":\"");
        memset(text + n, 'x', pad);
        n = add_text(text, n + pad, sizeof text, "\"}\n");
        for (k = 0; k < 4; k++) {
            n = add_text(text, n, sizeof text, records[below(&random, COUNT(records))]);
            if (k < 2) meet = n;
        }
        for (k = below(&random, 3); k > 0; k--) {
            at = meet + below(&random, 80);
            if (at >= 40 && at - 40 < n) text[at - 40] = letters[below(&random, sizeof letters - 1)];
        }
        memset(&desc, 0, sizeof desc);
        desc.max_depth = below(&random, 4) ? 0 : 4;
        desc.strict = below(&random, 4) > 0;
        judge(&desc, text, n, 0, 0, &j);
        if (test.failures) printf("    stream %zu, seed %llu\n", i, (unsigned long long)seed);
    }
    CHECK(j.invalid > documents / 8);
    CHECK(j.valid > documents / 2);
}

/* Streams whose records are mostly of one shape, and damaged now and then. */
/* They are looked at 64 bytes at a time: nothing that is cut there makes a record be taken for another kind. */
static void records_are_alike_whatever_their_strings_are_made_of(void) {
    static const char *const pieces[] = {
        "x",      "\xC3\xA9",  "\xE2\x82\xAC",    "\xF0\x9F\x98\x80", "\\n",           "\\\"",
        "\\\\", "\\u00e9", "\\ud83d\\ude00", "a\xE2\x82\xAC\\t", "\xC3\xA9z\\u00e9"};
    char text[1000];
    size_t i, pad, r;
    for (i = 0; i < COUNT(pieces); i++) {
        for (pad = 0; pad < 70; pad++) {
            stream_json json;
            stream_json_desc desc;
            memset(&desc, 0, sizeof desc);
            desc.strict = true;
            CHECK_EQ(stream_json_init(&json, &desc), STREAM_OK);
            for (r = 0; r < 6; r++) { /* each a loan of its own: else they are framed together */
                size_t n = add_text(text, 0, sizeof text, "{\"a\":\""), k;
                stream_item item;
                for (k = 0; k < pad; k++) text[n++] = 'p';
                for (k = 0; k < 90; k += strlen(pieces[i])) n = add_text(text, n, sizeof text, pieces[i]);
                n = add_text(text, n, sizeof text, r % 2 ? "\",\"b\":\"\\u0007\"}\n" : "x\",\"b\":\"-\"}\n");
                stream_json_feed(&json, text, n);
                CHECK_EQ(stream_json_next(&json, &item), STREAM_OK);
                if (r > 2) CHECK(json.shape.parts > 0 && json.shape.misses == 0);
                CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
            }
            stream_json_free(&json);
            if (test.failures) printf("    of %s behind %zu\n", pieces[i], pad);
            if (test.failures) return;
        }
    }
}

static void records_that_are_alike_are_framed_and_judged_as_others_are(void) {
    static const char *const ends[] = {"\n", "\n", "\n", "\n", "\n", "\n", "\r\n", " \n", "\n ", "\n\n", "", "x\n"};
    static const char letters[] = ",:1\x01\xC3.-{}[]\"\\ tue0\t\n\r\x80/";
    static char text[40000];
    size_t i, documents = scaled(6000);
    judged j = {0, 0, 0};
    for (i = 0; i < documents && !test.failures; i++) {
        uint64_t seed = seed_of(i + 12700000), random = seed;
        const node *root = make_document(&doc, &random);
        const unsigned often = 2 + (unsigned)below(&random, 60), harm = 3 + (unsigned)below(&random, 30);
        size_t n = 0, records = 1 + below(&random, 60), k;
        stream_json_desc desc;
        while (root->type != STREAM_JSON_OBJECT) root = make_document(&doc, &random);
        if (below(&random, 3) == 0) doc.text[below(&random, doc.n)] = letters[below(&random, sizeof letters - 1)];
        for (k = 0; k < records; k++) {
            const size_t begin = n;
            n += vary(text + n, sizeof text - n, &doc, root, often, &random);
            if (n > begin && below(&random, harm) == 0)
                text[begin + below(&random, n - begin)] =
                    letters[below(&random, below(&random, 2) ? 7 : sizeof letters - 1)];
            n = add_text(text, n, sizeof text, ends[below(&random, below(&random, 8) ? 6 : COUNT(ends))]);
        }
        memset(&desc, 0, sizeof desc);
        desc.max_depth = below(&random, 8) ? 0 : 3;
        desc.max_len = below(&random, 8) ? 0 : 1 + below(&random, 200);
        desc.strict = below(&random, 3) > 0;
        if (!desc.strict) desc.kernel = "scalar";
        judge(&desc, text, n, below(&random, 3) ? 0 : 1 + below(&random, 2 * n / records + 2), random, &j);
        if (test.failures) printf("    stream %zu, seed %llu\n", i, (unsigned long long)seed);
    }
    CHECK(j.invalid > documents / 20);
    CHECK(j.alike > j.valid / 12);
}

/* Among records that are alike, one in which what differs cannot stand there. */
static void what_is_wrong_in_a_record_that_is_alike_is_found(void) {
    static const struct {
        const char *text;
        size_t len; /* 0: as long as it is */
        bool good;
    } cases[] = {{"\\n", 0, true},      {"\xC3\xA9", 0, true},   {"\\u00e9", 0, true}, {"\\\"", 0, true},
                 {"\\x", 0, false},     {"\\u00g9", 0, false},  {"\xC3", 0, false},    {"\x80", 0, false},
                 {"\xED\xA0\x80", 0, false}, {"\x01", 0, false}, {"\x1F", 0, false},   {"\x7F", 0, true},
                 {"\0", 1, false},      {"\r", 0, false},        {"\t", 0, false},
                 {"\x01n", 0, false},    {"\x01u00e9", 0, false}};
    static const char *const tokens[] = {"0",  "-1", "1.5e3", "null",  "\"x\"", "01", "1.",
                                         "-", "1e", "nul",   "nulll", "+1",    "1x", ".5"};
    static const char *const record = "{\"s\":\"%0*u\",\"n\":1}\n";
    enum { GOOD_TOKENS = 5, BEFORE = 20 };
    static char text[8000];
    size_t i, pad, k, n;
    judged j = {0, 0, 0};
    stream_json_desc desc;
    stream_json json;
    stream_item item;
    memset(&desc, 0, sizeof desc);
    desc.strict = true;
    for (i = 0; i < COUNT(cases) + COUNT(tokens); i++) {
        for (pad = 0; pad < 150; pad += i < COUNT(cases) ? 1 : 50) {
            const judged was = j;
            for (k = n = 0; k < BEFORE; k++) n += (size_t)snprintf(text + n, sizeof text - n, record, 1, (unsigned)k);
            n = add_many(text, add_text(text, n, sizeof text, "{\"s\":\""), sizeof text, 'x', pad);
            if (i < COUNT(cases)) {
                const size_t len = cases[i].len ? cases[i].len : strlen(cases[i].text);
                memcpy(text + n, cases[i].text, len);
                n = add_text(text, n + len, sizeof text, pad % 2 ? "y\",\"n\":1}\n" : "\",\"n\":1}\n");
            } else {
                n += (size_t)snprintf(text + n, sizeof text - n, "\",\"n\":%s}\n", tokens[i - COUNT(cases)]);
            }
            n = add_text(text, n, sizeof text, "{\"s\":\"last\",\"n\":2}\n");
            judge(&desc, text, n, 0, 0, &j);
            CHECK_EQ(j.invalid - was.invalid, !(i < COUNT(cases) ? cases[i].good : i - COUNT(cases) < GOOD_TOKENS));
            CHECK_EQ(j.valid - was.valid, BEFORE + 2 - (j.invalid - was.invalid));
            CHECK(j.alike - was.alike >= 3); /* the first is learnt, and behind it goes a batch */
        }
    }
    for (desc.max_len = 12; desc.max_len < 30; desc.max_len++) { /* longer ones than that are too long all the same */
        for (k = n = 0; k < 40; k++)
            n += (size_t)snprintf(text + n, sizeof text - n, record, 1 + (int)k / 2, (unsigned)k);
        judge(&desc, text, n, 0, 0, &j);
    }

    /* In any place of it one byte is another, or one to three are not there, in three records one behind another, of
       which the first is looked at to learn from it. */
    desc.max_len = 0;
    for (i = 0; i < 2; i++) {
        static const char *const records[] = {"{\"s\":\"ab\",\"n\":12}\n", "{\"n\":true,\"m\":[null,-1.5e3]}\n"};
        const char *const alike = records[i];
        const size_t len = strlen(alike);
        size_t at, other;
        for (at = 0; at < len; at++) {
            for (other = 0; other < 256 + 3; other++) {
                const size_t gone = other < 256 ? 1 : other - 255 < len - at ? other - 255 : len - at;
                n = add_text(text, add_text(text, 0, sizeof text, alike), sizeof text, alike);
                for (k = 0; k < 3; k++) {
                    memcpy(text + n, alike, at);
                    n += at;
                    if (other < 256) text[n++] = (char)other;
                    n = add_text(text, n, sizeof text, alike + at + gone);
                }
                judge(&desc, text, add_text(text, n, sizeof text, alike), 0, 0, &j);
            }
        }
    }

    /* Where no JSON is, what tells that a brace begins a value may differ. */
    desc.strict = false;
    desc.kernel = "scalar";
    for (pad = 1; pad < 100; pad += 98) {
        for (k = n = 0; k < 40; k++)
            n += (size_t)snprintf(text + n, sizeof text - n, "{ \"%0*u\"}\n", (int)pad, (unsigned)k);
        n = add_text(text, n, sizeof text, "{ 1}\n{ \"\"}\n{ true}\n{ }\n");
        judge(&desc, text, n, 0, 0, &j);
    }
    desc.strict = true;
    desc.kernel = NULL;

    /* White space that came before it is not its. */
    CHECK_EQ(stream_json_init(&json, &desc), STREAM_OK);
    for (k = 0; k < 40; k++) {
        stream_json_feed(&json, " ", 1);
        CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
        stream_json_feed(&json, "{\"s\":\"\"}\n", 9);
        CHECK_EQ(stream_json_next(&json, &item), STREAM_OK);
        CHECK_EQ(item.offset, 10 * k + 1);
        CHECK_EQ(item.size, 8);
        CHECK_EQ(stream_json_next(&json, &item), STREAM_MORE);
    }
    stream_json_free(&json);
}

static void depth_is_limited_where_records_meet_in_a_block(void) {
    static const char *const deep = "{\"g\":[[[[0]]]]}\n";
    static const char *const after =
        "{\"text\":\"so long that it ends in another block than it begins in, wherever it begins\"}\n";
    size_t pad, strict, first;
    for (pad = 0; pad < 64; pad++) {
        for (strict = 0; strict < 2; strict++) {
            for (first = 0; first < 2; first++) {
                char text[512];
                size_t n = 0, i;
                stream_json_desc desc;
                stream_json json;
                stream_item item;
                memset(&desc, 0, sizeof desc);
                desc.strict = strict == 1;
                desc.max_depth = 4;
                CHECK_EQ(stream_json_init(&json, &desc), STREAM_OK);
                n = add_text(text, n, sizeof text, "{\"pad\":[[[\"");
                n = add_many(text, n, sizeof text, 'x', pad);
                n = add_text(text, n, sizeof text, "\"]]]}\n");
                if (first) n = add_text(text, n, sizeof text, deep);
                n = add_text(text, n, sizeof text, after);
                if (!first) n = add_text(text, n, sizeof text, deep);
                n = add_text(text, n, sizeof text, after);
                stream_json_feed(&json, text, n);
                for (i = 0; i < 4; i++)
                    CHECK_EQ(stream_json_next(&json, &item), i == (first ? 1u : 2u) ? STREAM_E_TOO_DEEP : STREAM_OK);
                stream_json_free(&json);
            }
        }
    }
}

static void a_fault_comes_with_a_reason(void) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"x", "expected a value"},
        {"{} ,", "expected nothing but white space behind the value"},
        {"{1", "expected a name or }"},
        {"[}", "expected a value or ]"},
        {"{\"a\":}", "expected a value"},
        {"[1,]", "expected a value"},
        {"[1 2]", "expected a comma or ]"},
        {"{\"a\" 1}", "expected a colon"},
        {"{\"a\" z", "expected a colon"},
        {"{\"a\":1 1", "expected a comma or }"},
        {"{\"a\":1,}", "expected a name"},
        {"[01]", "neither a number nor true, false or null"},
        {"[tru]", "neither a number nor true, false or null"},
        {"[1.]", "neither a number nor true, false or null"},
        {"\"\\u12g4\"", "expected four hexadecimal digits"},
        {"\"\\x\"", "no such escape"},
        {"\"a\nb\"", "control character in a string"},
        {"[\"a\xC3(\"]", "not UTF-8"},
    };
    size_t i;
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        stream_json_checker checker;
        CHECK_EQ(stream_json_checker_init(&checker, NULL), STREAM_OK);
        CHECK_EQ(stream_json_checker_feed(&checker, cases[i].text, strlen(cases[i].text)), STREAM_E_INVALID);
        CHECK(checker.message && strcmp(checker.message, cases[i].message) == 0);
        if (test.failures) printf("    %s: %s\n", cases[i].text, checker.message);
        CHECK_EQ(stream_json_checker_feed(&checker, "[]", 2), STREAM_E_INVALID); /* an error stays */
    }
}

static void strict_framing_has_bounds_of_its_own(void) {
    stream_json json;
    stream_json_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.strict = true;
    desc.max_depth = STREAM_JSON_CHECK_DEPTH + 1;
    CHECK_EQ(stream_json_init(&json, &desc), STREAM_E_ARGUMENT);
    desc.max_depth = STREAM_JSON_CHECK_DEPTH;
    CHECK_EQ(stream_json_init(&json, &desc), STREAM_OK);
    stream_json_free(&json);
}

/* Arrays and objects in each other, some with more behind one that closes, at every place of a block; then with one of
   the wrong kind closed. */
static void kinds_are_known_at_every_depth(void) {
    static char text[4096];
    static size_t closes[160];
    size_t depth, at, i;
    for (depth = 1; depth <= 140 && !test.failures; depth += depth < 58 || depth > 68 ? 9 : 1) {
        for (at = 0; at < 64; at++) {
            uint64_t seed = seed_of(depth * 64 + at), random = seed;
            const size_t objects = at / 2 % 4, more = at % 3 ? below(&random, 5) : 0;
            size_t n = 0;
            bool is_object[160];
            while (n < at) text[n++] = ' ';
            for (i = 0; i < depth; i++) {
                is_object[i] = below(&random, 4) < objects;
                n = add_text(text, n, sizeof text, is_object[i] ? i + 1 < depth ? "{\"\":" : "{" : "[");
            }
            while (i-- > 0) {
                closes[i] = n;
                n = add_text(text, n, sizeof text, is_object[i] ? "}" : "]");
                if (i && below(&random, 6) < more) n = add_text(text, n, sizeof text, is_object[i - 1] ? ",\"\":1" : ",1");
            }
            kernels_check(text, n, seed, n);
            CHECK_EQ(stream_json_check(text, n, &i), STREAM_OK);
            kernels_check(text, add_text(text, n, sizeof text, ",1"), seed, n + 2); /* behind its end */
            i = closes[below(&random, depth)];
            text[i] = text[i] == '}' ? ']' : '}';
            kernels_check(text, n, seed, n);
            CHECK_EQ(stream_json_check(text, n, &i), STREAM_E_INVALID);
        }
    }
}

/* Blocks of nothing but brackets that close, more than are open and as many. */
static void more_may_close_than_is_open(void) {
    char text[400];
    size_t depth, closes, at, i;
    for (depth = 1; depth < 130; depth++) {
        for (closes = 60; closes < 70; closes++) {
            size_t n = 0;
            while (n < depth) text[n++] = '[';
            while (n % 64) text[n++] = ' ';
            for (at = n, i = 0; i < closes; i++) text[n++] = ']';
            kernels_check(text, n, depth, n);
            if (depth < closes) {
                CHECK_EQ(stream_json_check(text, n, &i), STREAM_E_INVALID);
                CHECK_EQ(i, at + depth);
            }
            n = add_text(text, n, sizeof text, " [1] ");
            kernels_check(text, n, depth, n);
        }
    }
}

/* Texts of more than a checker takes at a time, given at once: whole, and with a fault anywhere or near where it pauses. */
static void a_large_text_is_checked_in_one_go(void) {
    static char text[140000];
    size_t i, documents = scaled(150), at;
    for (i = 0; i < documents && !test.failures; i++) {
        uint64_t seed = seed_of(i + 11900000), random = seed;
        size_t n = below(&random, 130), fault;
        memset(text, ' ', n);
        text[n++] = i % 4 ? '[' : '"';
        while (n < 100000) {
            if (i % 4) {
                make_document(&doc, &random);
                if (doc.n > 30000) continue;
                memcpy(text + n, doc.text, doc.n);
                n += doc.n;
                text[n++] = ',';
            } else {
                n = add_text(text, n, sizeof text, &"text \\\" \303\251 \\u12ef "[below(&random, 3)]);
            }
        }
        if (i % 4) text[n - 1] = ']';
        else text[n++] = '"';
        kernels_check(text, n, seed, 1 << 30);
        CHECK_EQ(stream_json_check(text, n, &at), STREAM_OK);
        fault = i % 2 ? below(&random, n) : (1 + below(&random, 3)) * 32768 + below(&random, 400) - 200;
        text[fault] = "\1\"]}\377"[below(&random, 5)];
        kernels_check(text, n, seed, 1 << 30);
    }
}

static void check_goes_1024_levels_deep(void) {
    enum { DEEP = STREAM_JSON_CHECK_DEPTH };
    static char text[2 * DEEP + 2];
    size_t at;
    memset(text, '[', DEEP + 1);
    memset(text + DEEP + 1, ']', DEEP + 1);
    CHECK_EQ(stream_json_check(text + 1, 2 * DEEP, &at), STREAM_OK);
    CHECK_EQ(stream_json_check(text, 2 * DEEP + 2, &at), STREAM_E_TOO_DEEP);
    CHECK_EQ(at, DEEP);
}

/* --- writing --------------------------------------------------------------------------------------- */

/* Calls as letters: { [ end as ), k key, s string, i int64, u uint64, b bool, n null, v value, N none. */
static void write_call(stream_json_writer *w, char call) {
    switch (call) {
    case '{': stream_json_write_object(w); break;
    case '[': stream_json_write_array(w); break;
    case ')': stream_json_write_end(w); break;
    case 'k': stream_json_write_key(w, "k", 1); break;
    case 's': stream_json_write_string(w, "s", 1); break;
    case 'i': stream_json_write_int64(w, -7); break;
    case 'u': stream_json_write_uint64(w, 7); break;
    case 'b': stream_json_write_bool(w, true); break;
    case 'n': stream_json_write_null(w); break;
    case 'v': stream_json_write_value(w, value(" [1] ")); break;
    default: stream_json_write_value(w, value("")); break;
    }
}

static void check_writer(const char *calls, stream_status want, const char *text) {
    stream_json_writer w;
    char dst[200];
    size_t len;
    const char *c;
    stream_json_writer_init(&w, dst, sizeof dst);
    for (c = calls; *c; c++) write_call(&w, *c);
    CHECK_EQ(stream_json_writer_finish(&w, &len), want);
    CHECK_TEXT(dst, len, text);
}

static void the_writer_puts_commas_and_colons(void) {
    check_writer("n", STREAM_OK, "null");
    check_writer("{)", STREAM_OK, "{}");
    check_writer("[)", STREAM_OK, "[]");
    check_writer("[siubnvN)", STREAM_OK, "[\"s\",-7,7,true,null,[1],null]");
    check_writer("{kskikukbknkvkN)", STREAM_OK,
                 "{\"k\":\"s\",\"k\":-7,\"k\":7,\"k\":true,\"k\":null,\"k\":[1],\"k\":null}");
    check_writer("{k{k[)ki)ki)", STREAM_OK, "{\"k\":{\"k\":[],\"k\":-7},\"k\":-7}");
    check_writer("[[)[){)[[i)))", STREAM_OK, "[[],[],{},[[-7]]]");
}

static void misuse_is_remembered_and_writes_nothing(void) {
    check_writer("", STREAM_E_STATE, "");
    check_writer("nn", STREAM_E_STATE, "null");
    check_writer("[)[", STREAM_E_STATE, "[]");
    check_writer("n)", STREAM_E_STATE, "null");
    check_writer("n{", STREAM_E_STATE, "null");
    check_writer(")", STREAM_E_STATE, "");
    check_writer("k", STREAM_E_STATE, "");
    check_writer("[k", STREAM_E_STATE, "[");
    check_writer("{n", STREAM_E_STATE, "{");
    check_writer("{{", STREAM_E_STATE, "{");
    check_writer("{kk", STREAM_E_STATE, "{\"k\":");
    check_writer("{k)", STREAM_E_STATE, "{\"k\":");
    check_writer("{", STREAM_E_STATE, "{");
    check_writer("[[)", STREAM_E_STATE, "[[]");
    check_writer("[i))", STREAM_E_STATE, "[-7]");
    check_writer("{nkn)", STREAM_E_STATE, "{"); /* nothing mends it */
    check_writer(")[)", STREAM_E_STATE, "");
}

/* What goes wrong first is what is told, whatever comes after. */
static void the_first_mistake_is_the_one_remembered(void) {
    const stream_json_value empty = {NULL, 0, STREAM_JSON_NUMBER};
    const uint64_t bits = UINT64_C(0x7FF0000000000000);
    stream_json_writer w;
    char dst[8];
    size_t len;
    double infinity;
    memcpy(&infinity, &bits, sizeof infinity);
    stream_json_writer_init(&w, dst, sizeof dst);
    stream_json_write_end(&w);
    stream_json_write_double(&w, infinity);
    stream_json_write_value(&w, empty);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_E_STATE);
    stream_json_writer_init(&w, dst, sizeof dst);
    stream_json_write_double(&w, infinity);
    stream_json_write_end(&w);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_E_ARGUMENT);
    stream_json_writer_init(&w, dst, sizeof dst);
    stream_json_write_value(&w, empty);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_E_ARGUMENT);
}

/* A length that no size_t holds stays at the largest, and nothing more is written. */
static void the_length_needed_saturates(void) {
    stream_json_writer w;
    char dst[8];
    size_t len;
    stream_json_writer_init(&w, dst, sizeof dst);
    w.len = SIZE_MAX - 2; /* as after that much */
    stream_json_write_string(&w, "abc", 3);
    CHECK(stream_json_writer_finish(&w, &len) != STREAM_E_STATE);
    CHECK(len == SIZE_MAX);
}

/* A pair of escapes of which the second is no low surrogate is two characters. */
static void escapes_behind_a_high_surrogate_stand_alone(void) {
    static const char text[] = "\\ud83d\\ue000";
    const char *const nowhere = NULL;
    stream_json_value found;
    char out[16];
    size_t len;
    CHECK_EQ(stream_json_unescape(text, sizeof text - 1, STREAM_JSON_REPLACE, out, sizeof out, &len),
             STREAM_OK);
    CHECK_TEXT(out, len, "\xEF\xBF\xBD\xEE\x80\x80");
    CHECK_EQ(stream_json_pick("[1]", 3, &nowhere, 1, &found), STREAM_E_ARGUMENT);
}

static void the_version_is_the_headers(void) {
    CHECK_TEXT(stream_json_version(), strlen(stream_json_version()), STREAM_VERSION);
}

/* A plain model of the writer: a text and a stack, from the comment of [write]. */
typedef struct model {
    char text[4000], open[STREAM_JSON_WRITER_DEPTH + 1];
    size_t n, depth;
    bool key, comma, done;
    stream_status status;
} model;

static void model_put(model *m, const char *text) {
    size_t len = strlen(text);
    memcpy(m->text + m->n, text, len);
    m->n += len;
}

static void model_call(model *m, char call) {
    const char *const calls = "siubnvN", *const texts[] = {"\"s\"", "-7",  "7",   "true",
                                                           "null",  "[1]", "null"};
    bool object = m->depth > 0 && m->open[m->depth - 1] == '{';
    bool right = call == ')'   ? m->depth > 0 && !m->key
                 : call == 'k' ? object && !m->key
                               : !m->done && object == m->key;
    if (m->status != STREAM_OK) return;
    if ((call == '{' || call == '[') && m->depth == STREAM_JSON_WRITER_DEPTH) right = false;
    if (!right) {
        m->status = STREAM_E_STATE;
        return;
    }
    if (call == ')') {
        model_put(m, object ? "}" : "]");
        m->depth--;
    } else {
        if (m->comma && !m->key) model_put(m, ",");
        m->key = call == 'k';
        if (call == 'k') model_put(m, "\"k\":");
        else if (call == '{' || call == '[') model_put(m, call == '{' ? "{" : "[");
        else model_put(m, texts[strchr(calls, call) - calls]);
    }
    m->comma = call != 'k' && call != '{' && call != '[';
    if (!m->comma && call != 'k') m->open[m->depth++] = call;
    m->done = m->depth == 0;
}

static void any_calls_write_what_the_model_writes(void) {
    size_t i, count = scaled(100000);
    for (i = 0; i < count && !test.failures; i++) {
        static model m;
        static const char calls[] = "{[)))kkkksiubnvN";
        uint64_t seed = seed_of(i + 7000000), random = seed;
        stream_json_writer w;
        char dst[600];
        size_t k, len, n = below(&random, 50);
        memset(&m, 0, sizeof m);
        stream_json_writer_init(&w, dst, sizeof dst);
        for (k = 0; k < n; k++) {
            char call = calls[below(&random, sizeof calls - 1)];
            if (k == 0) call = "{["[below(&random, 2)];
            if (below(&random, 20)) { /* mostly a call that is right */
                model probe = m;
                model_call(&probe, call);
                if (probe.status != STREAM_OK && m.status == STREAM_OK) continue;
            }
            write_call(&w, call);
            model_call(&m, call);
        }
        CHECK_EQ(stream_json_writer_finish(&w, &len), m.status != STREAM_OK ? m.status
                                                      : m.done              ? STREAM_OK
                                                                            : STREAM_E_STATE);
        CHECK_BYTES(dst, len, m.text, m.n);
        if (test.failures) printf("    calls %zu, seed %llu\n", i, (unsigned long long)seed);
    }
}

static void the_writer_goes_256_levels_deep(void) {
    char dst[600];
    stream_json_writer w;
    size_t len, i;
    for (i = 0; i < 2; i++) {
        size_t deep = STREAM_JSON_WRITER_DEPTH + i, k;
        stream_json_writer_init(&w, dst, sizeof dst);
        for (k = 0; k < deep; k++) stream_json_write_array(&w);
        for (k = 0; k < deep; k++) stream_json_write_end(&w);
        CHECK_EQ(stream_json_writer_finish(&w, &len), i ? STREAM_E_TOO_DEEP : STREAM_OK);
        if (!i) CHECK_EQ(len, 2 * deep);
    }
}

static void every_character_comes_back(void) {
    uint32_t c;
    for (c = 0; c < 0x110000; c += c < 0x3000 ? 1 : 97) {
        char text[4], dst[32], back[8];
        stream_json_writer w;
        size_t n = 0, len, i, back_len;
        if (c >= 0xD800 && c < 0xE000) continue;
        if (c < 0x80) text[n++] = (char)c;
        else if (c < 0x800) text[n++] = (char)(0xC0 | c >> 6);
        else if (c < 0x10000) text[n++] = (char)(0xE0 | c >> 12);
        else text[n++] = (char)(0xF0 | c >> 18);
        if (c >= 0x10000) text[n++] = (char)(0x80 | (c >> 12 & 63));
        if (c >= 0x800) text[n++] = (char)(0x80 | (c >> 6 & 63));
        if (c >= 0x80) text[n++] = (char)(0x80 | (c & 63));
        stream_json_writer_init(&w, dst, sizeof dst);
        stream_json_write_string(&w, text, n);
        CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
        for (i = 0; i < len; i++) CHECK((unsigned char)dst[i] >= 0x20);
        CHECK(stream_json_equals(stream_json_value_of(dst, len), text, n));
        CHECK_EQ(stream_json_string(stream_json_value_of(dst, len), STREAM_JSON_REJECT, back, sizeof back,
                                    &back_len),
                 STREAM_OK);
        CHECK_BYTES(back, back_len, text, n);
    }
}

static void controls_quotes_and_backslashes_are_escaped(void) {
    stream_json_writer w;
    char dst[100];
    size_t len;
    stream_json_writer_init(&w, dst, sizeof dst);
    stream_json_write_string(&w, "\"\\/\b\f\n\r\t\x01\x1F\x7F\0 \xC3\xA9", 15);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
    CHECK_TEXT(dst, len, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7F\\u0000 \xC3\xA9\"");
}

/* Length of the character at p as Unicode's table 3-7 lists them, 0 for none. */
static size_t character(const unsigned char *p, size_t n) {
    static const unsigned char table[][8] = {{0xC2, 0xDF, 0x80, 0xBF},
                                             {0xE0, 0xE0, 0xA0, 0xBF, 0x80, 0xBF},
                                             {0xE1, 0xEC, 0x80, 0xBF, 0x80, 0xBF},
                                             {0xED, 0xED, 0x80, 0x9F, 0x80, 0xBF},
                                             {0xEE, 0xEF, 0x80, 0xBF, 0x80, 0xBF},
                                             {0xF0, 0xF0, 0x90, 0xBF, 0x80, 0xBF, 0x80, 0xBF},
                                             {0xF1, 0xF3, 0x80, 0xBF, 0x80, 0xBF, 0x80, 0xBF},
                                             {0xF4, 0xF4, 0x80, 0x8F, 0x80, 0xBF, 0x80, 0xBF}};
    size_t row, i;
    if (p[0] < 0x80) return 1;
    for (row = 0; row < sizeof table / sizeof *table; row++) {
        for (i = 0; i < 4 && table[row][2 * i]; i++)
            if (i >= n || p[i] < table[row][2 * i] || p[i] > table[row][2 * i + 1]) break;
        if (i == 4 || !table[row][2 * i]) return i;
    }
    return 0;
}

/* Good characters stay, in their order; each stretch of bad bytes between them becomes U+FFFDs, at least
   one and at most one a byte. */
static void check_mended(const char *text, size_t n) {
    char dst[400], back[400];
    stream_json_writer w;
    size_t len, at = 0, i = 0, step;
    stream_json_writer_init(&w, dst, sizeof dst);
    stream_json_write_string(&w, text, n);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
    CHECK_EQ(
        stream_json_string(stream_json_value_of(dst, len), STREAM_JSON_REJECT, back, sizeof back, &len),
        STREAM_OK);
    while (i < n) {
        size_t bad = 0, marks = 0;
        while (i < n && (step = character((const unsigned char *)text + i, n - i)) > 0) {
            CHECK_BYTES(back + at, step, text + i, step);
            at += step;
            i += step;
        }
        while (i < n && character((const unsigned char *)text + i, n - i) == 0) {
            bad++;
            i++;
        }
        while (marks < bad && at + 3 <= len && memcmp(back + at, "\xEF\xBF\xBD", 3) == 0) {
            marks++;
            at += 3;
        }
        CHECK(bad ? marks >= 1 : marks == 0);
    }
    CHECK_EQ(at, len);
}

/* In a string, the strict check takes exactly what the table takes. */
static void check_utf8(const char *text, size_t n) {
    char quoted[6];
    size_t i = 0, step, offset;
    quoted[0] = quoted[n + 1] = '"';
    memcpy(quoted + 1, text, n);
    while (i < n && (step = character((const unsigned char *)text + i, n - i)) > 0) i += step;
    CHECK_EQ(stream_json_check(quoted, n + 2, &offset), i == n ? STREAM_OK : STREAM_E_INVALID);
}

static void what_is_not_utf8_is_mended(void) {
    static const unsigned char bytes[] = {'a',  0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                                          0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED,
                                          0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
    enum { B = sizeof bytes };
    size_t i;
    char text[5];
    for (i = 0; i < (size_t)B * B * B * B && test.failures < 5; i += TEST_SANITIZED ? 7 : 1) {
        char *exactly;
        text[0] = (char)bytes[i % B];
        text[1] = (char)bytes[i / B % B];
        text[2] = (char)bytes[i / (B * B) % B];
        text[3] = (char)bytes[i / (B * B * B)];
        exactly = exact(text, 4 - i % 3);
        check_mended(exactly, 4 - i % 3);
        check_utf8(exactly, 4 - i % 3);
        free(exactly);
    }
}

/* A good part of the API in one value. */
static void write_sample(stream_json_writer *w) {
    stream_json_write_object(w);
    stream_json_write_key(w, "text", 4);
    stream_json_write_string(w, "line\n\xF0\x9F\x98\x80\x01\xFF", 11);
    stream_json_write_key(w, "n\"", 2);
    stream_json_write_array(w);
    stream_json_write_int64(w, INT64_MIN);
    stream_json_write_int64(w, INT64_MAX);
    stream_json_write_uint64(w, UINT64_MAX);
    stream_json_write_int64(w, 0);
    stream_json_write_bool(w, false);
    stream_json_write_null(w);
    stream_json_write_string(w, NULL, 0);
    stream_json_write_end(w);
    stream_json_write_end(w);
}

static void the_writer_says_how_much_room_it_needs(void) {
    static const char want[] =
        "{\"text\":\"line\\n\xF0\x9F\x98\x80\\u0001\xEF\xBF\xBD\",\"n\\\"\":[-9223372036854775808,"
        "9223372036854775807,18446744073709551615,0,false,null,\"\"]}";
    stream_json_writer w;
    size_t need = sizeof want - 1, cap, len;
    stream_json_writer_init(&w, NULL, 0);
    write_sample(&w);
    CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_FULL);
    CHECK_EQ(len, need);
    for (cap = 0; cap <= need + 1; cap++) {
        char *dst = (char *)malloc(cap); /* exactly: a sanitizer sees one byte more */
        char guarded[300];
        memset(guarded, 0x55, sizeof guarded);
        stream_json_writer_init(&w, dst, cap);
        write_sample(&w);
        CHECK_EQ(stream_json_writer_finish(&w, &len), cap < need ? STREAM_FULL : STREAM_OK);
        CHECK_EQ(len, need);
        if (cap >= need) CHECK_BYTES(dst, len, want, need);
        stream_json_writer_init(&w, guarded, cap);
        write_sample(&w);
        CHECK_EQ(guarded[cap], 0x55);
        free(dst);
    }
}

/* Reads a value and writes what it means. */
static void rewrite(stream_json_writer *w, stream_json_value v) {
    stream_json_each each;
    stream_json_value key, item;
    int64_t number;
    char text[100];
    size_t len;
    if (stream_json_each_init(&each, v) == STREAM_OK) {
        if (v.type == STREAM_JSON_OBJECT) stream_json_write_object(w);
        else stream_json_write_array(w);
        while (stream_json_each_next(&each, &key, &item) == STREAM_OK) {
            if (stream_json_string(key, STREAM_JSON_PASS, text, sizeof text, &len) == STREAM_OK)
                stream_json_write_key(w, text, len);
            rewrite(w, item);
        }
        stream_json_write_end(w);
    } else if (stream_json_string(v, STREAM_JSON_PASS, text, sizeof text, &len) == STREAM_OK) {
        stream_json_write_string(w, text, len);
    } else if (stream_json_int64(v, &number) == STREAM_OK) {
        stream_json_write_int64(w, number);
    } else {
        stream_json_write_value(w, v);
    }
}

static void what_is_read_and_written_again_means_the_same(void) {
    size_t i, documents = scaled(10000);
    for (i = 0; i < documents && !test.failures; i++) {
        uint64_t seed = seed_of(i + 8000000), random = seed;
        const node *root = make_document(&doc, &random);
        stream_json_writer w;
        size_t len;
        stream_json_writer_init(&w, copy_doc.text, sizeof copy_doc.text);
        rewrite(&w, stream_json_value_of(doc.text, doc.n));
        CHECK_EQ(stream_json_writer_finish(&w, &len), STREAM_OK);
        CHECK(matches(stream_json_value_of(copy_doc.text, len), root));
        if (test.failures) printf("    document %zu, seed %llu\n", i, (unsigned long long)seed);
    }
}

/* --- corpora --------------------------------------------------------------------------------------- */

static const char *shared(const char *path_in) {
    static char text[1000];
    const char *root = getenv("STREAM_SHARED");
    snprintf(text, sizeof text, "%s/data/%s", root ? root : "../shared", path_in);
    return text;
}

/* The whole file in a block of its size, or NULL. */
static char *load(const char *file, size_t *n) {
    FILE *f = fopen(file, "rb");
    char *bytes = NULL;
    *n = 0;
    if (!f) return NULL;
    if (fseek(f, 0, SEEK_END) == 0) {
        long size = ftell(f);
        rewind(f);
        bytes = (char *)take((size_t)size);
        *n = fread(bytes, 1, (size_t)size, f);
    }
    fclose(f);
    return bytes;
}

static void count_types(const trace *t) {
    static const char *const names[] = {"stream_event", "system", "assistant", "user", "result"};
    static const size_t want[] = {682, 85, 12, 3, 1};
    static const char *const type = "/type";
    size_t counts[5] = {0, 0, 0, 0, 0}, i, k;
    CHECK_EQ(t->count, 784); /* and END */
    for (i = 0; i + 1 < t->count; i++) {
        const event *e = &t->events[i];
        stream_json_value v;
        CHECK_EQ(e->status, STREAM_OK);
        CHECK_EQ(e->kind, STREAM_JSON_OBJECT);
        CHECK_EQ(stream_json_pick(t->bytes + e->at, e->len, &type, 1, &v), STREAM_OK);
        for (k = 0; k < 5; k++) counts[k] += stream_json_equals(v, names[k], strlen(names[k]));
    }
    for (k = 0; k < 5; k++) CHECK_EQ(counts[k], want[k]);
}

static void a_recorded_session_is_783_records_however_it_is_cut(void) {
    size_t n;
    uint64_t seed;
    const char *file = shared("claude/session-tools.ndjson");
    char *text = load(file, &n);
    stream_json_desc desc;
    if (!text) {
        test_skip("no ../shared/data/claude/session-tools.ndjson (STREAM_SHARED says where)");
        return;
    }
    memset(&desc, 0, sizeof desc);
    decode(&desc, text, n, whole(), &got);
    CHECK(got.broken == NULL);
    count_types(&got);
    reference(&desc, text, n, &expected);
    agrees(&desc, text, n, whole(), file);
    agrees(&desc, text, n, chunks(1, HEAP), file);
    agrees(&desc, text, n, chunks(4096, BEFORE_PAGE), file);
    for (seed = 1; seed < 20; seed++) agrees(&desc, text, n, at_random(seed_of(seed), 10000), file);
    free(text);
}

static void large_samples_are_framed_and_read(void) {
    static const char *const points[] = {"/statuses/0/user/screen_name", "/statuses/99/id",
                                         "/search_metadata/count"};
    stream_json_value out[3];
    stream_json_desc desc;
    int64_t id;
    size_t n;
    char *text = load(shared("json/samples/twitter.json"), &n);
    if (!text) {
        test_skip("no ../shared/data/json/samples (STREAM_SHARED says where)");
        return;
    }
    memset(&desc, 0, sizeof desc);
    desc.mode = CONCATENATED;
    decode(&desc, text, n, chunks(4096, HEAP), &got);
    CHECK_EQ(got.count, 2);
    CHECK_EQ(got.events[0].status, STREAM_OK);
    CHECK_EQ(stream_json_pick(text, n, points, 3, out), STREAM_OK);
    CHECK(stream_json_equals(out[0], "ayuu0123", 8));
    CHECK_EQ(stream_json_int64(out[1], &id), STREAM_OK);
    CHECK_EQ(id, INT64_C(505874847260352513));
    CHECK_EQ(out[2].len, 3);
    free(text);

    text = load(shared("json/samples/citm_catalog.json"), &n);
    desc.max_len = n;
    if (text) decode(&desc, text, n, chunks(1000, HEAP), &got);
    CHECK_EQ(got.count, 2);
    CHECK_EQ(got.events[0].status, STREAM_OK);
    free(text);

    text = load(shared("json/samples/amazon_cellphones.ndjson"), &n);
    memset(&desc, 0, sizeof desc);
    if (text) decode(&desc, text, n, chunks(777, HEAP), &got);
    CHECK_EQ(got.count, 793 + 1);
    free(text);
}

/* A file of JSONTestSuite: one value, framed as its trimmed content, and readable. */
static void check_valid_file(const char *file) {
    static const char *const everything = "";
    size_t n, chunk, offset;
    unsigned long failures = test.failures;
    char *text = load(file, &n);
    stream_json_value v, all;
    stream_json_desc desc;
    CHECK(text != NULL);
    if (!text) return;
    v = stream_json_value_of(text, n);
    memset(&desc, 0, sizeof desc);
    desc.mode = CONCATENATED;
    for (chunk = 0; chunk < 3; chunk++) {
        decode(&desc, text, n, chunks(chunk, HEAP), &got);
        CHECK(got.broken == NULL);
        CHECK_EQ(got.count, 2);
        CHECK_EQ(got.events[0].status, STREAM_OK);
        CHECK_EQ(got.events[0].kind, v.type);
        CHECK_EQ(got.events[0].offset, v.ptr - text);
        CHECK_BYTES(got.bytes + got.events[0].at, got.events[0].len, v.ptr, v.len);
    }
    CHECK_EQ(stream_json_check(text, n, &offset), STREAM_OK);
    CHECK_EQ(stream_json_pick(text, n, &everything, 1, &all), STREAM_OK);
    CHECK_BYTES(all.ptr, all.len, v.ptr, v.len);
    walk(text, n, v, 0);
    if (test.failures != failures) printf("    in %s\n", file);
    free(text);
}

/* Any file: the same events as the reference, and no harm done. */
static void check_any_file(const char *file, bool invalid) {
    static const char *const points[] = {"", "/0", "/a"};
    size_t n, offset;
    char *text = load(file, &n);
    stream_json_desc desc;
    stream_json_value out[3];
    CHECK(text != NULL);
    if (!text) return;
    memset(&desc, 0, sizeof desc);
    for (desc.mode = NDJSON; desc.mode <= DOLLAR && n < 5000;
         desc.mode = (stream_json_mode)(desc.mode + 1)) {
        reference(&desc, text, n, &expected);
        agrees(&desc, text, n, whole(), file);
        in_chunks(&desc, text, n, file);
    }
    if (invalid) CHECK(stream_json_check(text, n, &offset) != STREAM_OK);
    stream_json_pick(text, n, points, 3, out);
    walk(text, n, stream_json_value_of(text, n), 0);
    free(text);
}

static void json_test_suite_is_framed_and_checked(void) {
#if defined(__linux__)
    char dir[1000], file[1400];
    struct dirent *entry;
    DIR *d;
    size_t valid = 0, files = 0;
    snprintf(dir, sizeof dir, "%s", shared("json/JSONTestSuite/test_parsing"));
    d = opendir(dir);
    if (!d) {
        test_skip("no ../shared/data/json/JSONTestSuite (STREAM_SHARED says where)");
        return;
    }
    while ((entry = readdir(d)) != NULL) {
        if (entry->d_name[0] == '.') continue;
        snprintf(file, sizeof file, "%s/%s", dir, entry->d_name);
        if (strncmp(entry->d_name, "y_", 2) == 0) {
            check_valid_file(file);
            valid++;
        }
        check_any_file(file, strncmp(entry->d_name, "n_", 2) == 0);
        files++;
    }
    closedir(d);
    CHECK_EQ(valid, 95);
    CHECK(files >= 300);
#else
    test_skip("listing a folder is only written for Linux here");
#endif
}

/* One file to one checker, cut at `cut` (0: nowhere, above n: at every byte), each piece before an unreadable
   page. */
static void feed_file(stream_json_checker *checker, const char *text, size_t n, size_t cut) {
    const size_t most = REGION; /* 0: no pages here */
    size_t at, len;
    for (at = 0; at < n; at += len) {
        len = cut > n ? 1 : at < cut ? cut - at : n - at;
        if (most && len > most) len = most;
        stream_json_checker_feed(checker, lend_page(BEFORE_PAGE, text + at, len), len);
        take_page_back();
    }
}

/* What RFC 8259 leaves open, decided: numbers of any size and lone surrogate escapes are JSON, as its grammar
   says; what is not UTF-8 is not, UTF-16 and byte order marks among it; 500 levels are few. */
static bool is_json(const char *name) {
    static const char *const refused[] = {
        "i_string_UTF-16LE_with_BOM.json",      "i_string_UTF-8_invalid_sequence.json",
        "i_string_UTF8_surrogate_U+D800.json",  "i_string_invalid_utf-8.json",
        "i_string_iso_latin_1.json",            "i_string_lone_utf8_continuation_byte.json",
        "i_string_not_in_unicode_range.json",   "i_string_overlong_sequence_2_bytes.json",
        "i_string_overlong_sequence_6_bytes.json", "i_string_overlong_sequence_6_bytes_null.json",
        "i_string_truncated-utf-8.json",        "i_string_utf16BE_no_BOM.json",
        "i_string_utf16LE_no_BOM.json",         "i_structure_UTF-8_BOM_empty_object.json"};
    size_t i;
    for (i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (strcmp(name, refused[i]) == 0) return false;
    return name[0] != 'n';
}

static void json_test_suite_has_one_verdict_however_it_is_fed(void) {
#if defined(__linux__)
    static const char *const kernels[] = {"scalar", "sse2", "avx2", "avx512", "neon"};
    const char *const usual = STREAM_JSON_KERNEL;
    char dir[1000], file[1400];
    struct dirent *entry;
    DIR *d;
    size_t files = 0, valid = 0;
    snprintf(dir, sizeof dir, "%s", shared("json/JSONTestSuite/test_parsing"));
    d = opendir(dir);
    if (!d) {
        test_skip("no ../shared/data/json/JSONTestSuite (STREAM_SHARED says where)");
        return;
    }
    while ((entry = readdir(d)) != NULL && !test.failures) {
        size_t n, at, cut, step, k;
        char *text;
        stream_status want;
        if (entry->d_name[0] == '.') continue;
        snprintf(file, sizeof file, "%s/%s", dir, entry->d_name);
        text = load(file, &n);
        CHECK(text != NULL);
        if (!text) break;
        files++;
        valid += is_json(entry->d_name);
        want = stream_json_check(text, n, &at);
        CHECK_EQ(want == STREAM_OK, is_json(entry->d_name));
        if (n < 5000) {
            size_t wrong;
            CHECK_EQ(reference_check(text, n, &wrong), want);
            CHECK_EQ(wrong, at);
        }
        step = n < 3000 ? 1 : n / 50 + 1;
        for (k = 0; k < COUNT(kernels); k++) {
            if (usual && !stream__same_text(usual, kernels[k])) continue; /* the others are judged where none is usual */
            for (cut = 0; cut <= n + step && !test.failures; cut += step) {
                stream_json_checker checker;
                if (stream_json_checker_init(&checker, kernels[k]) != STREAM_OK) break;
                feed_file(&checker, text, n, cut);
                CHECK_EQ(checker.status, want);
                CHECK_EQ(checker.offset, at);
                if (want == STREAM_OK && cut && cut <= n) { /* the beginning of a value may always go on */
                    stream_json_checker_init(&checker, kernels[k]);
                    feed_file(&checker, text, cut, 0);
                    CHECK(checker.status >= 0);
                }
            }
            if (test.failures) printf("    in %s, kernel %s, cut %zu\n", file, kernels[k], cut);
        }
        free(text);
    }
    closedir(d);
    CHECK_EQ(files, 318);
    CHECK_EQ(valid, 95 + 21);
#else
    test_skip("listing a folder is only written for Linux here");
#endif
}

int main(void) {
    TEST_PROGRAM("json");
    RUN(values_come_out_whole_with_nothing_around_them);
    RUN(several_values_on_a_line_are_several);
    RUN(noise_never_hides_a_value);
    RUN(a_value_after_noise_shows_within_32_bytes);
    RUN(white_space_before_noise_is_kept_up_to_64_bytes);
    RUN(quotes_and_braces_in_strings_are_inert);
    RUN(a_cut_record_never_swallows_the_next);
    RUN(only_a_line_feed_ends_a_line);
    RUN(a_scalar_is_a_value_when_it_is_alone);
    RUN(concatenated_values_need_nothing_between);
    RUN(a_dollar_outside_strings_ends_a_record);
    RUN(the_tail_is_truthful);
    RUN(too_deep_is_one_item);
    RUN(too_long_is_one_item);
    RUN(records_turn_anywhere_in_a_block);
    RUN(noise_that_began_like_a_value_may_hold_a_line_feed);
    RUN(a_nul_is_a_byte_like_others);
    RUN(hundred_thousand_brackets_are_safe);
    RUN(hostile_streams_are_framed_as_by_the_reference);
    RUN(failed_brackets_at_the_ends_of_fragments_cost_nothing);
    RUN(any_bytes_at_all_are_framed_as_by_the_reference);
    RUN(a_large_record_is_looked_at_once_in_bounded_memory);
    RUN(a_million_records_need_no_allocation);
    RUN(whole_items_need_no_memory_at_all);
    RUN(an_item_that_spans_loans_says_copied);
    RUN(open_is_how_far_the_open_item_has_grown);
    RUN(each_refused_allocation_costs_what_it_must);
    RUN(after_a_refused_allocation_the_next_item_is_whole);
    RUN(what_is_lost_whole_can_still_be_asked);
    RUN(what_is_refused_memory_cannot_be_peeked_at);
    RUN(what_was_refused_from_its_first_byte_on_is_peeked_at_as_nothing);
    RUN(caller_memory_is_never_outgrown_or_added_to);
    RUN(settings_that_cannot_be_meant_are_refused);
    RUN(feed_is_refused_while_a_loan_is_left);
    RUN(a_loan_used_up_by_its_last_item_may_be_followed_at_once);
    RUN(before_any_loan_there_is_more_to_feed);
    RUN(empty_loans_change_nothing);
    RUN(finish_before_more_still_hands_out_the_loan);
    RUN(end_is_for_ever);
    RUN(reset_forgets_the_stream_and_keeps_the_limits);
    RUN(freeing_nothing_is_fine);
    RUN(the_decoder_behind_pointers_is_the_same);
    RUN(pick_finds_what_a_tree_would);
    RUN(pick_follows_rfc_6901);
    RUN(pick_finds_the_end_of_every_string);
    RUN(pick_is_strict_about_indices);
    RUN(pick_takes_the_first_duplicate_that_leads_to_a_value);
    RUN(pick_reads_the_head_of_a_cut_record);
    RUN(pick_stops_where_the_structure_breaks);
    RUN(what_begins_like_a_number_or_literal_is_none);
    RUN(pick_says_what_it_cannot_take);
    RUN(a_long_string_ends_where_it_ends);
    RUN(pick_reaches_32_steps_down_and_no_stack_further);
    RUN(a_picker_finds_what_a_pick_finds);
    RUN(a_picker_reads_what_differs_and_no_more);
    RUN(a_picker_that_learns_in_vain_learns_ever_less);
    RUN(a_picker_learns_shapes_that_come_in_turn_ever_less);
    RUN(a_picker_never_knows_a_bare_value);
    RUN(a_picker_says_what_it_cannot_take);
    RUN(broken_documents_do_no_harm);
    RUN(value_of_trims_and_types);
    RUN(each_walks_what_was_written);
    RUN(each_of_a_cut_value_gives_what_is_known_and_then_more);
    RUN(each_stops_where_the_structure_breaks);
    RUN(strings_are_unescaped);
    RUN(every_truncation_of_a_string_is_invalid);
    RUN(equals_compares_what_a_string_means);
    RUN(only_strings_are_strings);
    RUN(integers_are_exact);
    RUN(what_is_no_integer_says_why);
    RUN(a_record_separator_begins_a_text);
    RUN(check_names_the_first_byte_that_cannot_stand);
    RUN(check_judges_a_lead_wherever_a_block_ends);
    RUN(check_calls_no_prefix_of_a_valid_text_invalid);
    RUN(the_offset_of_an_invalid_byte_is_the_first);
    RUN(kinds_are_known_at_every_depth);
    RUN(more_may_close_than_is_open);
    RUN(a_large_text_is_checked_in_one_go);
    RUN(check_goes_1024_levels_deep);
    RUN(too_deep_is_told_of_the_bracket_that_is);
    RUN(every_kernel_checks_as_the_reference_does_however_it_is_cut);
    RUN(what_is_long_in_a_long_string_is_checked_wherever_a_block_ends);
    RUN(numbers_and_lone_tokens_are_checked_wherever_they_are_cut);
    RUN(what_is_wrong_among_numbers_or_alone_is_found_at_every_place);
    RUN(strict_framing_says_which_values_are_not_json);
    RUN(a_fault_comes_with_a_reason);
    RUN(a_line_that_ends_in_a_long_string_ends_the_record);
    RUN(records_that_meet_in_a_block_are_judged_apart);
    RUN(records_are_alike_whatever_their_strings_are_made_of);
    RUN(records_that_are_alike_are_framed_and_judged_as_others_are);
    RUN(what_is_wrong_in_a_record_that_is_alike_is_found);
    RUN(depth_is_limited_where_records_meet_in_a_block);
    RUN(strict_framing_has_bounds_of_its_own);
    RUN(the_writer_puts_commas_and_colons);
    RUN(misuse_is_remembered_and_writes_nothing);
    RUN(the_first_mistake_is_the_one_remembered);
    RUN(the_length_needed_saturates);
    RUN(escapes_behind_a_high_surrogate_stand_alone);
    RUN(the_version_is_the_headers);
    RUN(any_calls_write_what_the_model_writes);
    RUN(the_writer_goes_256_levels_deep);
    RUN(every_character_comes_back);
    RUN(controls_quotes_and_backslashes_are_escaped);
    RUN(what_is_not_utf8_is_mended);
    RUN(the_writer_says_how_much_room_it_needs);
    RUN(what_is_read_and_written_again_means_the_same);
    RUN(a_recorded_session_is_783_records_however_it_is_cut);
    RUN(large_samples_are_framed_and_read);
    RUN(json_test_suite_is_framed_and_checked);
    RUN(json_test_suite_has_one_verdict_however_it_is_fed);
    trace_free(&expected);
    trace_free(&got);
    return test_end();
}
