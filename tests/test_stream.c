/* SPDX-License-Identifier: MIT-0
   stream.h: every layer against a naive reference written from the documentation, under every cut of the
   input, with allocators, system calls, sources and buffer pools that fail on request.

   TEST_SCALE=percent scales the random and exhaustive parts (100 by default, 12 under a sanitizer).

   Build: cc -std=c11 -pthread -I. tests/test_stream.c */
#include <stddef.h>

#if !defined(_WIN32) && !defined(STREAM_NO_OS)
/* Every read of the reader comes here: a script may answer instead of the kernel. */
static ptrdiff_t test_read(int fd, void *data, size_t len);
#define STREAM_SYS_READ(fd, ptr, len) test_read(fd, ptr, len)
#endif

/* First in, before any system header: strict -std=c11 must do. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "test.h"

#if defined(__unix__) || defined(__APPLE__)
#define TEST_POSIX 1
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>
#endif
#ifndef STREAM_NO_THREADS
#include <pthread.h>
#include <sched.h>
#endif

#include "heap.h"

static void heap_check_empty(const heap *h) {
    CHECK_EQ(h->live, 0);
    CHECK_EQ(h->blocks, 0);
    CHECK(!h->wrong);
}

/* ---- memory with an unreadable page before and after it --------------------------------------------- */

typedef struct guard {
    char *base, *end; /* the usable bytes between the two pages */
} guard;

static guard guard_make(size_t at_least) {
    guard g = {NULL, NULL};
#ifdef TEST_POSIX
    size_t page = (size_t)sysconf(_SC_PAGESIZE), len = (at_least + page - 1) / page * page;
    void *p = mmap(NULL, len + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) abort();
    if (mprotect((char *)p + page, len, PROT_READ | PROT_WRITE) != 0) abort();
    g.base = (char *)p + page;
    g.end = g.base + len;
#else
    g.base = (char *)malloc(at_least);
    if (!g.base) abort();
    g.end = g.base + at_least;
#endif
    return g;
}

static void guard_free(guard *g) {
#ifdef TEST_POSIX
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    munmap(g->base - page, (size_t)(g->end - g->base) + 2 * page);
#else
    free(g->base);
#endif
}

/* ---- a trace: everything a caller can see of a list of items, COPIED aside -------------------------- */

typedef struct trace_head {
    uint64_t offset, size, len;
    int32_t status;
    uint32_t flags;
} trace_head;

typedef struct trace {
    char *bytes;
    size_t len, cap;
} trace;

static void trace_add(trace *t, stream_status status, uint64_t offset, uint64_t size, uint32_t flags,
                      const char *ptr, size_t len) {
    trace_head head;
    size_t want = t->len + sizeof head + len;
    memset(&head, 0, sizeof head);
    head.offset = offset;
    head.size = size;
    head.len = len;
    head.status = (int32_t)status;
    head.flags = flags & ~(uint32_t)STREAM_COPIED;
    if (want > t->cap) {
        t->cap = want * 2;
        t->bytes = (char *)realloc(t->bytes, t->cap);
        if (!t->bytes) abort();
    }
    memcpy(t->bytes + t->len, &head, sizeof head);
    if (len) memcpy(t->bytes + t->len + sizeof head, ptr, len);
    t->len = want;
}

static void trace_item(trace *t, stream_status status, const stream_item *item) {
    trace_add(t, status, item->offset, item->size, item->flags, item->ptr, item->len);
}

/* Walks a trace; false at its end. */
static bool trace_next(const trace *t, size_t *at, trace_head *head, const char **bytes) {
    if (*at >= t->len) return false;
    memcpy(head, t->bytes + *at, sizeof *head);
    *bytes = t->bytes + *at + sizeof *head;
    *at += sizeof *head + (size_t)head->len;
    return true;
}

static void trace_print(const char *title, const trace *t) {
    trace_head h;
    const char *bytes;
    size_t at = 0, n = 0;
    printf("    %s\n", title);
    while (n++ < 20 && trace_next(t, &at, &h, &bytes)) {
        printf("      %s at %llu, size %llu, flags %u: ", stream_status_text((stream_status)h.status),
               (unsigned long long)h.offset, (unsigned long long)h.size, (unsigned)h.flags);
        test_print_bytes(bytes, (size_t)h.len);
        putchar('\n');
    }
}

#define CHECK_TRACE(got, want, what) trace_check(got, want, what, __FILE__, __LINE__)

static void trace_check(const trace *got, const trace *want, const char *what, const char *file, int line) {
    test.checks++;
    if (got->len == want->len && (got->len == 0 || memcmp(got->bytes, want->bytes, got->len) == 0)) return;
    if (TEST_QUIET) {
        test.failures++;
        return;
    }
    test_fail(file, line);
    printf("%s: the items differ\n", what);
    trace_print("got", got);
    trace_print("want", want);
}

/* ==== lines: the reference and the runners =========================================================== */

/* The documentation, read naively: the whole input is in memory. */
static void reference_lines(trace *t, const char *in, size_t n, size_t max_len) {
    size_t start = 0, end, len;
    t->len = 0;
    for (; start < n; start = end + 1) {
        for (end = start; end < n && in[end] != '\n';) end++;
        len = end - start;
        if (end < n && len > 0 && in[end - 1] == '\r') len--;
        trace_add(t, len > max_len ? STREAM_E_TOO_LONG : STREAM_OK, start, len,
                  end < n ? 0 : STREAM_UNTERMINATED, in + start, len < max_len ? len : max_len);
    }
}

/* How a fragment is lent. Whatever the way, it is spoilt as soon as next says MORE. */
enum { LEND_IN_PLACE, LEND_HEAP, LEND_PAGE_END, LEND_PAGE_START, LEND_WAYS };

static guard loan_pages;

static char *loan_make(int way, const char *ptr, size_t len) {
    char *p = NULL;
    if (way == LEND_HEAP) {
        if (len && !(p = (char *)malloc(len))) abort();
    } else {
        if (!loan_pages.base) loan_pages = guard_make(1 << 16);
        if (len > (size_t)(loan_pages.end - loan_pages.base)) abort();
        p = way == LEND_PAGE_END ? loan_pages.end - len : loan_pages.base;
    }
    if (len) memcpy(p, ptr, len);
    return p;
}

static void loan_spoil(int way, char *ptr, size_t len) {
    if (len) memset(ptr, '\n', len); /* a line end: the worst to find where nothing should be read */
    if (way == LEND_HEAP) free(ptr);
}

typedef struct lines_run {
    stream_lines lines;
    trace got;
    uint64_t fed, loan_at, line_at; /* stream offsets: of what comes next, of the loan, of the open line */
} lines_run;

static void run_init(lines_run *r, const stream_lines_desc *desc) {
    memset(r, 0, sizeof *r);
    CHECK_EQ(stream_lines_init(&r->lines, desc), STREAM_OK);
}

static void run_free(lines_run *r) {
    stream_lines_free(&r->lines);
    free(r->got.bytes);
}

static void run_restart(lines_run *r) {
    stream_lines_reset(&r->lines);
    r->got.len = 0;
    r->fed = r->loan_at = r->line_at = 0;
}

/* Pulls until MORE or END and holds every item against the guarantees: nothing is looked at before it was
   fed, what lies whole in the loan is a slice of it, and only what does not is a copy. */
static stream_status run_pull(lines_run *r, const char *loan, size_t loan_len) {
    stream_item item;
    stream_status status;
    while ((status = stream_lines_next(&r->lines, &item)) != STREAM_MORE && status != STREAM_END) {
        bool copied = (item.flags & STREAM_COPIED) != 0, inside = item.offset >= r->loan_at && loan_len > 0;
        trace_item(&r->got, status, &item);
        if (r->lines.scanned > r->fed) CHECK_EQ(r->lines.scanned, r->fed);
        if (inside && item.len) CHECK(item.ptr == loan + (item.offset - r->loan_at));
        if (inside ? copied : !copied && item.len > 0) CHECK_EQ(copied, !inside);
        if (item.kind != 0) CHECK_EQ(item.kind, 0);
        if (r->got.len > (1 << 24)) {
            CHECK(false && "a decoder that never says MORE");
            break;
        }
    }
    return status;
}

static void run_feed(lines_run *r, const char *ptr, size_t len, int way) {
    char *copy = way == LEND_IN_PLACE ? NULL : loan_make(way, ptr, len);
    const char *loan = way == LEND_IN_PLACE ? ptr : copy;
    size_t i;
    r->loan_at = r->fed;
    r->fed += len;
    CHECK_EQ(stream_lines_feed(&r->lines, loan, len), STREAM_OK);
    CHECK_EQ(run_pull(r, loan, len), STREAM_MORE);
    if (way != LEND_IN_PLACE) loan_spoil(way, copy, len);
    for (i = 0; i < len; i++)
        if (ptr[i] == '\n') r->line_at = r->loan_at + i + 1;
    CHECK_EQ(stream_lines_open(&r->lines), r->fed - r->line_at);
    CHECK_EQ(r->lines.scanned, r->fed);
}

static void run_finish(lines_run *r) {
    r->loan_at = r->fed;
    CHECK_EQ(stream_lines_finish(&r->lines), STREAM_OK);
    CHECK_EQ(run_pull(r, NULL, 0), STREAM_END);
    CHECK_EQ(r->lines.scanned, r->fed);
}

/* The last fragment and finish at once, without a MORE between them. */
static void run_feed_and_finish(lines_run *r, const char *ptr, size_t len) {
    r->loan_at = r->fed;
    r->fed += len;
    CHECK_EQ(stream_lines_feed(&r->lines, ptr, len), STREAM_OK);
    CHECK_EQ(stream_lines_finish(&r->lines), STREAM_OK);
    CHECK_EQ(run_pull(r, ptr, len), STREAM_END);
    CHECK_EQ(r->lines.scanned, r->fed);
}

static void check_whole(lines_run *r, const char *in, size_t n, const trace *want) {
    int way;
    for (way = LEND_IN_PLACE; way < LEND_WAYS; way++) {
        run_restart(r);
        run_feed(r, in, n, way);
        run_finish(r);
        CHECK_TRACE(&r->got, want, "whole");
    }
    run_restart(r);
    run_feed_and_finish(r, in, n);
    CHECK_TRACE(&r->got, want, "whole, finished at once");
}

static void check_two_parts(lines_run *r, const char *in, size_t n, const trace *want) {
    size_t cut;
    int way;
    for (cut = 0; cut <= n; cut++) {
        for (way = LEND_IN_PLACE; way < LEND_WAYS; way++) {
            run_restart(r);
            run_feed(r, in, cut, way);
            run_feed(r, in + cut, n - cut, way);
            run_finish(r);
            CHECK_TRACE(&r->got, want, "two parts");
        }
        run_restart(r);
        run_feed(r, in, cut, LEND_HEAP);
        run_feed_and_finish(r, in + cut, n - cut);
        CHECK_TRACE(&r->got, want, "two parts, finished at once");
    }
}

static void check_three_parts(lines_run *r, const char *in, size_t n, const trace *want) {
    size_t a, b;
    for (a = 0; a <= n; a++) {
        for (b = a; b <= n; b++) {
            int way = (a + b) % 2 ? LEND_HEAP : LEND_PAGE_END;
            run_restart(r);
            run_feed(r, in, a, way);
            run_feed(r, in + a, b - a, way);
            run_feed(r, in + b, n - b, way);
            run_finish(r);
            CHECK_TRACE(&r->got, want, "three parts");
        }
    }
}

static void check_chunks(lines_run *r, const char *in, size_t n, size_t chunk, int way, const trace *want) {
    size_t at, len;
    run_restart(r);
    for (at = 0; at < n; at += len) {
        len = n - at < chunk ? n - at : chunk;
        run_feed(r, in + at, len, way);
    }
    run_finish(r);
    CHECK_TRACE(&r->got, want, "chunks");
}

static void check_random_cuts(lines_run *r, const char *in, size_t n, size_t longest, uint64_t *seed,
                              int way, const trace *want) {
    size_t at, len;
    run_restart(r);
    for (at = 0; at < n; at += len) {
        len = below(seed, longest + 1); /* nothing at all is a loan too */
        if (len > n - at) len = n - at;
        run_feed(r, in + at, len, way);
    }
    run_finish(r);
    CHECK_TRACE(&r->got, want, "random cuts");
}

/* All the ways to cut one input. */
static void check_every_cut(const stream_lines_desc *desc, size_t max_len, const char *in, size_t n) {
    static trace want;
    lines_run r;
    uint64_t seed = 0x5eed0 + n;
    size_t i;
    reference_lines(&want, in, n, max_len);
    run_init(&r, desc);
    check_whole(&r, in, n, &want);
    if (n <= 2000) check_two_parts(&r, in, n, &want);
    if (n <= 60) check_three_parts(&r, in, n, &want);
    for (i = 1; i <= 17; i++) check_chunks(&r, in, n, i, (int)(i % LEND_WAYS), &want);
    for (i = 0; i < 40; i++) check_random_cuts(&r, in, n, 1 + i, &seed, (int)(i % LEND_WAYS), &want);
    run_free(&r);
}

/* ==== lines: cases =================================================================================== */

typedef struct sample {
    const char *ptr;
    size_t len;
} sample;
#define SAMPLE(literal) {literal, sizeof(literal) - 1}

static const sample line_corpus[] = {
    SAMPLE(""),
    SAMPLE("\n"),
    SAMPLE("\r"),
    SAMPLE("\r\n"),
    SAMPLE("\n\n"),
    SAMPLE("\n\r"),
    SAMPLE("\r\r"),
    SAMPLE("\0"),
    SAMPLE("a"),
    SAMPLE("a\n"),
    SAMPLE("a\r"),
    SAMPLE("a\r\n"),
    SAMPLE("a\r\r\n"),
    SAMPLE("a\r\r\r\n"),
    SAMPLE("\r\r\n"),
    SAMPLE("a\rb\n"),
    SAMPLE("a\rb\r\nc"),
    SAMPLE("\ra\n"),
    SAMPLE("a\n\rb"),
    SAMPLE("a\r\n\r\nb\r\n"),
    SAMPLE("\n\n\n\r\n\r\n\n"),
    SAMPLE("one\ntwo\nthree\n"),
    SAMPLE("one\ntwo\nthree"),
    SAMPLE("one\r\ntwo\r"),
    SAMPLE("one\r\ntwo\r\r"),
    SAMPLE("no end at all"),
    SAMPLE("nul\0inside\n\0\n\0\r\n\0\0tail\0"),
    SAMPLE("vt\vff\fnel\xc2\x85ls\xe2\x80\xa8ps\xe2\x80\xa9last\n"),
    SAMPLE("\x85\n\x8a\n\x8d\n\x0a\x8a"),
    SAMPLE("\xff\xfe\n\xc3\n\xe2\x82\n\xf0\x9f\x98\n"),
    SAMPLE("\x1e{}\n\x1e[]\n"),
    SAMPLE("a long line, a longer line than the others\nb\n"),
    SAMPLE("12345678\n1234567\n123456789\n12345678\r\n12345678\r"),
    SAMPLE("b\n a long line that nothing ends"),
};

static void lines_frame_the_corpus_under_every_cut(void) {
    static const size_t limits[] = {1, 2, 3, 7, 8, 9, 40, 100};
    stream_lines_desc desc;
    size_t i, k;
    for (i = 0; i < COUNT(line_corpus); i++) {
        for (k = 0; k < COUNT(limits); k++) {
            if (scaled(100) < 50 && (i + k) % 3) continue;
            memset(&desc, 0, sizeof desc);
            desc.max_len = limits[k];
            desc.first_len = k % 3; /* default, 1, 2 */
            check_every_cut(&desc, limits[k], line_corpus[i].ptr, line_corpus[i].len);
        }
    }
}

static void lines_in_fixed_memory_frame_the_same(void) {
    static char memory[41];
    heap h = {0};
    stream_lines_desc desc;
    size_t i, size;
    for (size = 2; size <= 41; size += size < 10 ? 1 : 31) {
        for (i = 0; i < COUNT(line_corpus); i++) {
            if (scaled(100) < 50 && (i + size) % 3) continue;
            memset(&desc, 0, sizeof desc);
            desc.memory = memory + sizeof memory - size; /* flush against its end, for the sanitizer */
            desc.memory_len = size;
            desc.allocator = heap_hook(&h);
            check_every_cut(&desc, size - 1, line_corpus[i].ptr, line_corpus[i].len);
        }
    }
    CHECK_EQ(h.calls, 0);
}

static void lines_at_every_limit_end_where_they_must(void) {
    static const char *const ends[] = {"\n", "\r\n", "\r\r\n", "\r", ""};
    static char in[4096];
    static trace want;
    size_t limit, first, len, n, e, i;
    for (limit = 1; limit <= 300; limit += scaled(100) < 50 ? 7 : 1) {
        for (first = 1; first <= 3; first++) {
            stream_lines_desc desc;
            lines_run r;
            uint64_t seed = limit * 7 + first;
            size_t chunks[8];
            memset(&desc, 0, sizeof desc);
            desc.max_len = limit;
            desc.first_len = first == 1 ? 1 : first == 2 ? limit : 0;
            run_init(&r, &desc);
            for (e = 0; e < COUNT(ends); e++) {
                n = 0;
                for (len = limit > 3 ? limit - 3 : 0; len <= limit + 3; len++) {
                    for (i = 0; i < len; i++) in[n++] = (char)('a' + i % 26);
                    memcpy(in + n, ends[e], strlen(ends[e]));
                    n += strlen(ends[e]);
                }
                reference_lines(&want, in, n, limit);
                chunks[0] = 1, chunks[1] = 2, chunks[2] = limit - 1, chunks[3] = limit;
                chunks[4] = limit + 1, chunks[5] = limit + 2, chunks[6] = 2 * limit + 1, chunks[7] = n;
                for (i = 0; i < COUNT(chunks); i++)
                    if (chunks[i]) check_chunks(&r, in, n, chunks[i], (int)(i % LEND_WAYS), &want);
                check_random_cuts(&r, in, n, 2 * limit, &seed, LEND_HEAP, &want);
            }
            run_free(&r);
        }
    }
}

static void lines_of_random_bytes_match_the_reference(void) {
    static const char alphabet[] = {'\n', '\r', 'a', 'b', '\0'};
    static const size_t limits[] = {1, 2, 8, 40};
    static trace want;
    char in[64];
    lines_run runs[COUNT(limits)];
    uint64_t seed = 20240607;
    size_t i, k, n, count = scaled(400000);
    for (k = 0; k < COUNT(limits); k++) {
        stream_lines_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.max_len = limits[k];
        desc.first_len = 1 + k;
        run_init(&runs[k], &desc);
    }
    for (i = 0; i < count && !TEST_QUIET; i++) {
        size_t rare = 2 + below(&seed, 12); /* one byte in so many is LF: lines get long too */
        n = below(&seed, sizeof in + 1);
        for (k = 0; k < n; k++)
            in[k] = below(&seed, rare) ? alphabet[1 + below(&seed, 4)] : alphabet[0];
        k = i % COUNT(limits);
        reference_lines(&want, in, n, limits[k]);
        check_random_cuts(&runs[k], in, n, 1 + below(&seed, 20), &seed, (int)(i / 4 % LEND_WAYS),
                          &want);
    }
    for (k = 0; k < COUNT(limits); k++) run_free(&runs[k]);
}

/* The limit is 1 MiB when none is given; a zeroed desc and none at all are the same. */
static void lines_default_to_one_mebibyte(void) {
    const size_t limit = 1 << 20;
    stream_lines_desc zero;
    char *in = (char *)malloc(2 * limit + 8);
    static trace want;
    int pass;
    size_t n;
    if (!in) abort();
    memset(&zero, 0, sizeof zero);
    memset(in, 'x', 2 * limit + 8);
    in[limit] = '\n';              /* exactly the limit */
    in[2 * limit + 2] = '\n';      /* one more */
    n = 2 * limit + 5;
    reference_lines(&want, in, n, limit);
    for (pass = 0; pass < 2; pass++) {
        lines_run r;
        run_init(&r, pass ? &zero : NULL);
        check_chunks(&r, in, n, 4096, LEND_HEAP, &want);
        check_chunks(&r, in, n, n, LEND_IN_PLACE, &want);
        run_free(&r);
    }
    free(in);
}

static void lines_refuse_a_desc_that_cannot_be_meant(void) {
    char memory[2];
    stream_lines lines;
    stream_lines_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.memory = memory;
    CHECK_EQ(stream_lines_init(&lines, &desc), STREAM_E_ARGUMENT);
    desc.memory_len = 1;
    CHECK_EQ(stream_lines_init(&lines, &desc), STREAM_E_ARGUMENT);
    desc.memory_len = 2;
    CHECK_EQ(stream_lines_init(&lines, &desc), STREAM_OK);
    stream_lines_free(&lines);
    memset(&lines, 0, sizeof lines);
    stream_lines_free(&lines); /* a zeroed object is fine */
    stream_lines_free(&lines);
}

/* A limit smaller than the memory stands; one larger is cut to it. */
static void lines_take_the_smaller_of_limit_and_memory(void) {
    static const size_t limits[] = {0, 1, 5, 9, 10, 11, 100, SIZE_MAX - 1, SIZE_MAX};
    static const char in[] = "1\n12345\n123456\n123456789\n1234567890\n12345678901\n";
    static trace want;
    size_t i;
    for (i = 0; i < COUNT(limits); i++) {
        char memory[11];
        stream_lines_desc desc;
        lines_run r;
        memset(&desc, 0, sizeof desc);
        desc.memory = memory;
        desc.memory_len = sizeof memory;
        desc.max_len = limits[i];
        reference_lines(&want, in, sizeof in - 1, limits[i] && limits[i] < 10 ? limits[i] : 10);
        run_init(&r, &desc);
        check_chunks(&r, in, sizeof in - 1, 3, LEND_HEAP, &want);
        check_chunks(&r, in, sizeof in - 1, 100, LEND_HEAP, &want);
        run_free(&r);
    }
}

/* A limit that memory cannot hold is refused, one just below works like any other. */
static void lines_take_limits_up_to_a_quarter_of_memory(void) {
    static trace want;
    char in[200];
    stream_lines_desc desc;
    stream_lines lines;
    lines_run r;
    memset(in, 'x', sizeof in);
    in[99] = in[199] = '\n';
    memset(&desc, 0, sizeof desc);
    desc.first_len = 1;
    desc.max_len = SIZE_MAX / 4;
    reference_lines(&want, in, sizeof in, sizeof in);
    run_init(&r, &desc);
    check_chunks(&r, in, sizeof in, 7, LEND_HEAP, &want);
    run_free(&r);
    desc.max_len = SIZE_MAX / 4 + 1;
    CHECK_EQ(stream_lines_init(&lines, &desc), STREAM_E_ARGUMENT);
    desc.max_len = SIZE_MAX;
    CHECK_EQ(stream_lines_init(&lines, &desc), STREAM_E_ARGUMENT);
}

static void lines_may_move_while_no_loan_is_open(void) {
    static const char in[] = "one\ntwo\r\nthree which is long\nfour\r";
    static trace want;
    size_t i;
    lines_run r, moved;
    stream_lines_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.max_len = 12;
    desc.first_len = 1;
    reference_lines(&want, in, sizeof in - 1, 12);
    run_init(&r, &desc);
    for (i = 0; i < sizeof in - 1; i++) {
        run_feed(&r, in + i, 1, LEND_HEAP);
        moved = r;
        memset(&r, 0xa5, sizeof r);
        r = moved;
    }
    run_finish(&r);
    CHECK_TRACE(&r.got, &want, "moved after each byte");
    run_free(&r);
}

/* reset forgets an open line, an open loan and the end of the stream; limits and memory stay. */
static void lines_reset_starts_from_offset_zero(void) {
    static const char in[] = "one\ntwo and more\nthree";
    static trace want;
    heap h = {0};
    stream_lines_desc desc;
    stream_item item;
    size_t calls;
    lines_run r;
    memset(&desc, 0, sizeof desc);
    desc.max_len = 8;
    desc.allocator = heap_hook(&h);
    reference_lines(&want, in, sizeof in - 1, 8);
    run_init(&r, &desc);
    check_chunks(&r, in, sizeof in - 1, 1, LEND_HEAP, &want);
    calls = h.calls;
    run_restart(&r);
    run_feed(&r, "half a li", 9, LEND_HEAP);
    CHECK_EQ(stream_lines_open(&r.lines), 9);
    run_restart(&r);
    CHECK_EQ(stream_lines_open(&r.lines), 0);
    CHECK_EQ(r.lines.scanned, 0);
    check_chunks(&r, in, sizeof in - 1, 1, LEND_HEAP, &want); /* the first line spans two loans at once */
    run_restart(&r);
    CHECK_EQ(stream_lines_feed(&r.lines, "a\nb\nc", 5), STREAM_OK);
    CHECK_EQ(stream_lines_next(&r.lines, &item), STREAM_OK);
    check_chunks(&r, in, sizeof in - 1, 1, LEND_HEAP, &want);
    CHECK_EQ(h.calls, calls);
    run_free(&r);
    heap_check_empty(&h);
}

/* ---- memory ---- */

static void lines_allocate_nothing_once_warm(void) {
    enum { FRAGMENT = 4099 };
    static char in[1 << 16];
    heap h = {0};
    stream_lines lines;
    stream_lines_desc desc;
    stream_item item;
    uint64_t seed = 99, count = 0, bytes = 0, want = scaled(1000000);
    size_t i, at = 0, line = 0, calls = 0;
    memset(in, 'x', sizeof in);
    for (i = 200; i < sizeof in; i += 1 + below(&seed, 60))
        in[i] = '\n'; /* the longest comes first */
    in[sizeof in - 1] = '\n';
    memset(&desc, 0, sizeof desc);
    desc.first_len = 16;
    desc.allocator = heap_hook(&h);
    CHECK_EQ(stream_lines_init(&lines, &desc), STREAM_OK);
    CHECK_EQ(h.calls, 0);
    stream_lines_feed(&lines, in, 150);
    CHECK_EQ(stream_lines_next(&lines, &item), STREAM_MORE);
    for (at = 150; count < want;) {
        size_t len = sizeof in - at < FRAGMENT ? sizeof in - at : FRAGMENT;
        stream_lines_feed(&lines, in + at, len);
        while (stream_lines_next(&lines, &item) == STREAM_OK) {
            count++;
            bytes += item.len + 1;
            if (item.len > line) line = item.len;
            if (!calls) calls = h.calls;
        }
        at = (at + len) % sizeof in;
    }
    CHECK_EQ(line, 200);
    CHECK(calls > 0);
    CHECK_EQ(h.calls, calls);
    CHECK(lines.scanned >= bytes && lines.scanned < bytes + FRAGMENT);
    stream_lines_free(&lines);
    heap_check_empty(&h);
}

/* 64 MiB without a line end in 4 KiB fragments: one report, a bounded buffer, and the next line whole. */
static void lines_hold_no_more_than_the_limit(void) {
    static const size_t limits[] = {1, 1000, 4096, 70000};
    static char fragment[4096];
    uint64_t total = (uint64_t)scaled(64 << 20) / sizeof fragment * sizeof fragment;
    size_t i;
    memset(fragment, 'x', sizeof fragment);
    for (i = 0; i < COUNT(limits); i++) {
        heap h = {0};
        stream_lines_desc desc;
        lines_run r;
        stream_item item;
        uint64_t fed;
        memset(&desc, 0, sizeof desc);
        desc.max_len = limits[i];
        desc.allocator = heap_hook(&h);
        run_init(&r, &desc);
        for (fed = 0; fed < total; fed += sizeof fragment) {
            stream_lines_feed(&r.lines, fragment, sizeof fragment);
            if (stream_lines_next(&r.lines, &item) != STREAM_MORE) break;
        }
        CHECK_EQ(fed, total);
        CHECK_EQ(stream_lines_open(&r.lines), total);
        CHECK(h.peak <= limits[i] + 1);
        stream_lines_feed(&r.lines, "\r\nok\r\n", 6);
        CHECK_EQ(stream_lines_next(&r.lines, &item), STREAM_E_TOO_LONG);
        CHECK_EQ(item.offset, 0);
        CHECK_EQ(item.size, total);
        CHECK_EQ(item.len, limits[i]);
        CHECK(item.ptr[0] == 'x' && memcmp(item.ptr, item.ptr + 1, item.len - 1) == 0);
        if (stream_lines_next(&r.lines, &item) == STREAM_OK) CHECK_TEXT(item.ptr, item.len, "ok");
        else CHECK_EQ(limits[i], 1);
        CHECK_EQ(item.offset, total + 2);
        CHECK_EQ(stream_lines_next(&r.lines, &item), STREAM_MORE);
        CHECK_EQ(stream_lines_open(&r.lines), 0);
        CHECK(h.peak <= limits[i] + 1);
        run_free(&r);
        heap_check_empty(&h);
    }
}

/* Every item is the reference's, or E_NOMEM with its offset, its size and a head of it. */
static size_t torture_compare(const trace *got, const trace *want) {
    trace_head g, w;
    const char *g_bytes, *w_bytes;
    size_t g_at = 0, w_at = 0, lost = 0;
    while (trace_next(want, &w_at, &w, &w_bytes)) {
        if (!trace_next(got, &g_at, &g, &g_bytes)) {
            CHECK(false && "an item is missing");
            return lost;
        }
        CHECK_EQ(g.offset, w.offset);
        CHECK_EQ(g.size, w.size);
        CHECK_EQ(g.flags, w.flags);
        if (g.status == STREAM_E_NOMEM) {
            lost++;
            CHECK(g.len <= w.len && memcmp(g_bytes, w_bytes, (size_t)g.len) == 0);
        } else {
            CHECK_EQ(g.status, w.status);
            CHECK_BYTES(g_bytes, (size_t)g.len, w_bytes, (size_t)w.len);
        }
    }
    CHECK_EQ(trace_next(got, &g_at, &g, &g_bytes), false);
    return lost;
}

static void lines_survive_a_refusal_at_every_request(void) {
    static const char in[] =
        "a\nbb\r\nfour\n\r\neight888\nsixteen616161616\n1\nthirty-two bytes of which 20 fit"
        "\nx\r\nsome more than twenty\r\nlast of these lines\r";
    static const size_t chunks[] = {1, 2, 3, 7, 30};
    static trace want;
    size_t i, from, lost;
    reference_lines(&want, in, sizeof in - 1, 20);
    for (i = 0; i < COUNT(chunks); i++) {
        for (from = 0; from < 2; from++) {
            heap h = {0};
            h.fail_from = from != 0;
            do {
                stream_lines_desc desc;
                lines_run r;
                size_t at, len;
                h.fail_at++;
                h.requests = 0;
                h.failed = false;
                memset(&desc, 0, sizeof desc);
                desc.max_len = 20;
                desc.first_len = 1;
                desc.allocator = heap_hook(&h);
                run_init(&r, &desc);
                for (at = 0; at < sizeof in - 1; at += len) {
                    len = sizeof in - 1 - at < chunks[i] ? sizeof in - 1 - at : chunks[i];
                    run_feed(&r, in + at, len, LEND_HEAP);
                }
                run_finish(&r);
                lost = torture_compare(&r.got, &want);
                if (!h.failed) CHECK_EQ(lost, 0);
                else if (!from) CHECK_EQ(lost, 1); /* one refusal, one line */
                else CHECK(lost >= 1);
                run_free(&r);
                heap_check_empty(&h);
            } while (h.failed && h.fail_at < 1000 && !TEST_QUIET);
            CHECK(h.fail_at > 1); /* something was refused */
        }
    }
}

/* TOO_LONG promises the first max_len bytes; with fewer than those it is E_NOMEM. */
static void lines_too_long_and_refused_say_what_was_kept(void) {
    static const size_t kept[] = {0, 8, 16};
    size_t i, at;
    for (i = 0; i < COUNT(kept); i++) { /* the requests are for 8, 16 and 17 bytes */
        heap h = {0};
        stream_lines lines;
        stream_lines_desc desc;
        stream_item item;
        h.fail_at = i + 1;
        memset(&desc, 0, sizeof desc);
        desc.max_len = 16;
        desc.first_len = 8;
        desc.allocator = heap_hook(&h);
        CHECK_EQ(stream_lines_init(&lines, &desc), STREAM_OK);
        for (at = 0; at < 26; at++) {
            stream_lines_feed(&lines, &"abcdefghijklmnopqrstuvwxyz"[at], 1);
            CHECK_EQ(stream_lines_next(&lines, &item), STREAM_MORE);
        }
        stream_lines_feed(&lines, "\n", 1);
        CHECK_EQ(stream_lines_next(&lines, &item), kept[i] < 16 ? STREAM_E_NOMEM : STREAM_E_TOO_LONG);
        CHECK_BYTES(item.ptr, item.len, "abcdefghijklmnop", kept[i]);
        CHECK_EQ(item.size, 26);
        stream_lines_free(&lines);
        heap_check_empty(&h);
    }
}

/* The first buffer is of 4 KiB, or of first_len, but never above what the limit needs. */
static void lines_start_with_a_buffer_of_the_size_told(void) {
    static const struct {
        size_t first, max, want;
    } cases[] = {{0, 0, 4096}, {100, 0, 100}, {1, 0, 1},   {0, 10, 11},
                 {12, 10, 11}, {11, 10, 11},  {10, 10, 10}};
    size_t i;
    for (i = 0; i < COUNT(cases); i++) {
        heap h = {0};
        stream_lines_desc desc;
        lines_run r;
        memset(&desc, 0, sizeof desc);
        desc.first_len = cases[i].first;
        desc.max_len = cases[i].max;
        desc.allocator = heap_hook(&h);
        run_init(&r, &desc);
        run_feed(&r, "a", 1, LEND_HEAP);
        CHECK_EQ(h.live, cases[i].want);
        run_free(&r);
        heap_check_empty(&h);
    }
}

/* With nothing granted at all, what lies whole in a loan still comes, and reset clears the slate. */
static void lines_that_need_no_memory_get_none(void) {
    heap h = {0};
    stream_lines_desc desc;
    lines_run r;
    static trace want;
    static const char in[] = "one\ntwo\r\nthree\n";
    h.fail_at = 1;
    h.fail_from = true;
    memset(&desc, 0, sizeof desc);
    desc.allocator = heap_hook(&h);
    run_init(&r, &desc);
    reference_lines(&want, in, sizeof in - 1, 100);
    check_chunks(&r, in, sizeof in - 1, sizeof in, LEND_HEAP, &want);
    CHECK_EQ(h.calls, 0);
    run_restart(&r);
    run_feed(&r, "on", 2, LEND_HEAP);
    CHECK(h.failed);
    check_chunks(&r, in, sizeof in - 1, sizeof in, LEND_HEAP, &want);
    run_free(&r);
    heap_check_empty(&h);
}

/* ---- the protocol table at stream_decoder, row by row ---- */

static stream_status direct_feed(void *self, const void *data, size_t len) {
    return stream_lines_feed((stream_lines *)self, data, len);
}
static stream_status direct_next(void *self, stream_item *item) {
    return stream_lines_next((stream_lines *)self, item);
}
static stream_status direct_finish(void *self) { return stream_lines_finish((stream_lines *)self); }

static void check_next(const stream_decoder *d, stream_status want, const char *bytes) {
    stream_item item;
    memset(&item, 0x5a, sizeof item);
    CHECK_EQ(d->next(d->self, &item), want);
    if (bytes) CHECK_TEXT(item.ptr, item.len, bytes);
}

static void check_protocol(const stream_decoder *d, stream_lines *lines) {
    int i;
    /* next, before anything was fed: the loan has ended */
    check_next(d, STREAM_MORE, NULL);
    check_next(d, STREAM_MORE, NULL);
    /* feed, when the last loan is used up; of nothing too */
    CHECK_EQ(d->feed(d->self, NULL, 0), STREAM_OK);
    check_next(d, STREAM_MORE, NULL);
    CHECK_EQ(d->feed(d->self, "one\ntwo\nth", 10), STREAM_OK);
    /* feed, when part of a loan is left */
    CHECK_EQ(d->feed(d->self, "no\n", 3), STREAM_E_STATE);
    check_next(d, STREAM_OK, "one");
    CHECK_EQ(d->feed(d->self, "no\n", 3), STREAM_E_STATE);
    CHECK_EQ(d->feed(d->self, NULL, 0), STREAM_E_STATE);
    check_next(d, STREAM_OK, "two");
    CHECK_EQ(d->feed(d->self, "no\n", 3), STREAM_E_STATE);
    /* next, when the loan ends, and again: it is the caller's again, an item is open */
    check_next(d, STREAM_MORE, NULL);
    check_next(d, STREAM_MORE, NULL);
    CHECK_EQ(stream_lines_open(lines), 2);
    /* next, when an item was lost: the one after it is whole */
    CHECK_EQ(d->feed(d->self, "ree is too long\nfour\nfi", 23), STREAM_OK);
    check_next(d, STREAM_E_TOO_LONG, "three is");
    check_next(d, STREAM_OK, "four");
    /* finish, at any time: the rest of the loan still comes; twice is fine; feed is not */
    CHECK_EQ(d->finish(d->self), STREAM_OK);
    CHECK_EQ(d->finish(d->self), STREAM_OK);
    CHECK_EQ(d->feed(d->self, "no\n", 3), STREAM_E_STATE);
    CHECK_EQ(d->feed(d->self, NULL, 0), STREAM_E_STATE);
    /* next, finished, an item is open; then nothing is */
    check_next(d, STREAM_OK, "fi");
    for (i = 0; i < 3; i++) check_next(d, STREAM_END, NULL);
    CHECK_EQ(d->feed(d->self, "no\n", 3), STREAM_E_STATE);
    CHECK_EQ(d->feed(d->self, NULL, 0), STREAM_E_STATE);
    CHECK_EQ(d->finish(d->self), STREAM_OK);
    check_next(d, STREAM_END, NULL);
    CHECK_EQ(lines->scanned, 33);
    /* a refused feed took nothing, and reset starts anew */
    stream_lines_reset(lines);
    CHECK_EQ(d->feed(d->self, "a\n", 2), STREAM_OK);
    check_next(d, STREAM_OK, "a");
    /* the loan is used up though next has not said so: it may be fed */
    CHECK_EQ(d->feed(d->self, "b\n", 2), STREAM_OK);
    check_next(d, STREAM_OK, "b");
    check_next(d, STREAM_MORE, NULL);
    CHECK_EQ(d->finish(d->self), STREAM_OK);
    check_next(d, STREAM_END, NULL);
    /* finish with nothing ever fed */
    stream_lines_reset(lines);
    CHECK_EQ(d->finish(d->self), STREAM_OK);
    check_next(d, STREAM_END, NULL);
    check_next(d, STREAM_END, NULL);
}

static void lines_keep_the_protocol(void) {
    stream_lines lines;
    stream_lines_desc desc;
    stream_decoder d;
    memset(&desc, 0, sizeof desc);
    desc.max_len = 8;
    CHECK_EQ(stream_lines_init(&lines, &desc), STREAM_OK);
    d.self = &lines, d.feed = direct_feed, d.next = direct_next, d.finish = direct_finish;
    check_protocol(&d, &lines);
    stream_lines_reset(&lines);
    d = stream_lines_decoder(&lines);
    CHECK(d.self == &lines);
    check_protocol(&d, &lines);
    stream_lines_free(&lines);
}

static void statuses_have_texts(void) {
    int status, other;
    for (status = -10; status <= 7; status++) {
        const char *s = stream_status_text((stream_status)status);
        CHECK(s != NULL && strcmp(s, "unknown status") != 0);
        for (other = -10; other < status; other++)
            CHECK(strcmp(s, stream_status_text((stream_status)other)) != 0);
    }
    CHECK(strcmp(stream_status_text((stream_status)-11), "unknown status") == 0);
    CHECK(strcmp(stream_status_text((stream_status)8), "unknown status") == 0);
}

static void the_version_is_the_headers(void) {
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", STREAM_VERSION_MAJOR, STREAM_VERSION_MINOR, STREAM_VERSION_PATCH);
    CHECK_TEXT(text, strlen(text), STREAM_VERSION);
    CHECK_TEXT(stream_version(), strlen(stream_version()), STREAM_VERSION);
}

/* ==== bytes ========================================================================================== */

static size_t reference_find(const char *p, size_t n, const char *set, size_t set_len) {
    size_t i, k;
    for (i = 0; i < n; i++)
        for (k = 0; k < set_len; k++)
            if (p[i] == set[k]) return i;
    return n;
}

static void check_find(const char *p, size_t n) {
    CHECK_EQ(stream_find_byte(p, n, '\0'), reference_find(p, n, "", 1));
    CHECK_EQ(stream_find_byte(p, n, '\xff'), reference_find(p, n, "\xff", 1));
    CHECK_EQ(stream_find_newline(p, n), reference_find(p, n, "\n", 1));
    CHECK_EQ(stream_find_any(p, n, "\n\xff", 2), reference_find(p, n, "\n\xff", 2));
    CHECK_EQ(stream_find_any(p, n, "q\0\x80", 3), reference_find(p, n, "q\0\x80", 3));
    CHECK_EQ(stream_find_any(p, n, NULL, 0), n);
}

/* Every length and alignment before the unreadable page; a match at one place, at two, or only outside. */
static void bytes_are_found_at_every_length_and_alignment(void) {
    static const char needles[] = {'\n', '\0', '\xff', '\x80', 'q'};
    guard g = guard_make(1024);
    uint64_t seed = 3;
    size_t n, gap, k;
    for (n = 0; n <= 256; n++) {
        for (gap = 0; gap < 64; gap += scaled(100) < 50 ? 7 : 1) {
            char *p = g.end - gap - n;
            memset(g.end - 1024, '\n', 1024); /* decoys all around */
            if (n) memset(p, '.', n);
            check_find(p, n);
            for (k = 0; n > 0 && k < COUNT(needles); k++) {
                p[below(&seed, n)] = needles[k];
                check_find(p, n);
                p[n - 1] = needles[k];
                check_find(p, n);
            }
        }
        memset(g.base, '\n', 1024);
        if (n) memset(g.base, '.', n);
        check_find(g.base, n); /* and after the unreadable page before it */
    }
    guard_free(&g);
    CHECK_EQ(stream_find_byte(NULL, 0, 'a'), 0);
    CHECK_EQ(stream_find_newline(NULL, 0), 0);
    CHECK_EQ(stream_find_any(NULL, 0, "a", 1), 0);
}

static void bytes_are_found_at_every_position(void) {
    char in[257];
    size_t n, at;
    for (n = 0; n <= 256; n++) {
        memset(in, 'x', sizeof in);
        for (at = 0; at <= n; at++) {
            in[at] = '\n';
            CHECK_EQ(stream_find_newline(in, n), at);
            CHECK_EQ(stream_find_any(in, n, "\r\n", 2), at);
            in[at] = 'x';
        }
    }
}

static void bytes_find_each_of_the_256_values(void) {
    char in[256], set[256];
    size_t i;
    for (i = 0; i < 256; i++) in[i] = set[i] = (char)(unsigned char)i;
    for (i = 0; i < 256; i++) {
        CHECK_EQ(stream_find_byte(in, 256, (char)(unsigned char)i), i);
        CHECK_EQ(stream_find_any(in, 256, set + i, 1), i);
        CHECK_EQ(stream_find_any(in, 256, set + i, 256 - i), i);
    }
}

/* ==== utf8 =========================================================================================== */

/* RFC 3629, section 4: the ABNF of UTF8-char, one alternative a row. */
static const struct {
    size_t n;
    unsigned char low[4], high[4];
} utf8_rows[] = {
    {1, {0x00}, {0x7f}},
    {2, {0xc2, 0x80}, {0xdf, 0xbf}},
    {3, {0xe0, 0xa0, 0x80}, {0xe0, 0xbf, 0xbf}},
    {3, {0xe1, 0x80, 0x80}, {0xec, 0xbf, 0xbf}},
    {3, {0xed, 0x80, 0x80}, {0xed, 0x9f, 0xbf}},
    {3, {0xee, 0x80, 0x80}, {0xef, 0xbf, 0xbf}},
    {4, {0xf0, 0x90, 0x80, 0x80}, {0xf0, 0xbf, 0xbf, 0xbf}},
    {4, {0xf1, 0x80, 0x80, 0x80}, {0xf3, 0xbf, 0xbf, 0xbf}},
    {4, {0xf4, 0x80, 0x80, 0x80}, {0xf4, 0x8f, 0xbf, 0xbf}},
};

/* OK, MORE or E_INVALID for the whole text; in *offset where the first byte is that no valid text has
   there, or the length; in *open how many bytes the character open at the end has. */
static stream_status reference_utf8(const void *ptr, size_t n, size_t *offset, size_t *open) {
    const unsigned char *p = (const unsigned char *)ptr;
    size_t at = 0, row, k, best;
    *open = 0;
    *offset = n;
    while (at < n) {
        for (best = 0, row = 0; row < COUNT(utf8_rows); row++) {
            for (k = 0; k < utf8_rows[row].n && at + k < n; k++)
                if (p[at + k] < utf8_rows[row].low[k] || p[at + k] > utf8_rows[row].high[k]) break;
            if (k > best) best = k;
            if (k == utf8_rows[row].n) break;
        }
        if (row < COUNT(utf8_rows)) {
            at += best;
        } else if (at + best == n) {
            *open = best;
            return STREAM_MORE;
        } else {
            *offset = at + best;
            return STREAM_E_INVALID;
        }
    }
    return STREAM_OK;
}

/* Where to cut: before an open character, by definition and not by state machine: the last k bytes, k up to
   3, are an open character exactly when the grammar has a character that begins with them. */
static size_t reference_cut(const char *p, size_t n) {
    size_t k, offset, open;
    for (k = 1; k <= 3 && k <= n; k++)
        if (reference_utf8(p + n - k, k, &offset, &open) == STREAM_MORE && open == k) return n - k;
    return n;
}

/* Fed in three parts, cut at a and b. */
static void check_utf8_cuts(const char *p, size_t n, size_t a, size_t b, stream_status want,
                            size_t offset) {
    stream_utf8 s;
    stream_status status;
    memset(&s, 0, sizeof s);
    stream_utf8_feed(&s, p, a);
    stream_utf8_feed(&s, p + a, b - a);
    status = stream_utf8_feed(&s, p + b, n - b);
    if (status != want || s.offset != offset) {
        CHECK_EQ(status, want);
        CHECK_EQ(s.offset, offset);
        if (!TEST_QUIET) {
            printf("    cut at %zu and %zu: ", a, b);
            test_print_bytes(p, n);
            putchar('\n');
        }
    }
    CHECK_EQ(stream_utf8_finish(&s), want == STREAM_MORE ? STREAM_E_TRUNCATED : want);
}

/* Everything the section says about one text; cut in two at every place from `from` up to `to`. */
static stream_status check_utf8(const char *p, size_t n, size_t from, size_t to) {
    size_t offset, open, a;
    stream_status want = reference_utf8(p, n, &offset, &open);
    CHECK(stream_utf8_valid(p, n) == (want == STREAM_OK));
    CHECK_EQ(stream_utf8_cut(p, n), reference_cut(p, n));
    check_utf8_cuts(p, n, 0, 0, want, offset);
    for (a = from; a < to; a++) check_utf8_cuts(p, n, a, a, want, offset);
    return want;
}

static void utf8_of_one_and_two_bytes_is_judged_as_the_rfc_does(void) {
    char in[2];
    size_t a, b, valid = 0, valid_pairs = 0;
    for (a = 0; a < 256; a++) {
        in[0] = (char)(unsigned char)a;
        valid += check_utf8(in, 1, 0, 2) == STREAM_OK;
        for (b = 0; b < 256; b++) {
            in[1] = (char)(unsigned char)b;
            valid_pairs += check_utf8(in, 2, 0, 3) == STREAM_OK;
        }
    }
    CHECK_EQ(valid, 128);
    CHECK_EQ(valid_pairs, 128 * 128 + 30 * 64);
}

static void utf8_of_three_bytes_is_judged_as_the_rfc_does(void) {
    bool sparse = scaled(100) < 50;
    uint64_t seed = 8;
    char in[3];
    size_t a, b, c, valid = 0;
    for (a = 0; a < 256 && !TEST_QUIET; a++) {
        in[0] = (char)(unsigned char)a;
        for (b = 0; b < 256; b++) {
            in[1] = (char)(unsigned char)b;
            for (c = 0; c < 256; c += sparse ? 1 + below(&seed, 25) : 1) {
                in[2] = (char)(unsigned char)c;
                valid += check_utf8(in, 3, 1, 3) == STREAM_OK;
            }
        }
    }
    /* as many as the grammar has: the reference itself is on trial here */
    if (!sparse) CHECK_EQ(valid, 128 * 128 * 128 + 2 * 128 * 30 * 64 + (65536 - 2048 - 2048));
    else CHECK(valid > 100000);
}

/* Every code point, encoded by arithmetic that knows nothing of the grammar. */
static void utf8_of_every_code_point_is_valid_but_for_surrogates(void) {
    unsigned long cp, step = scaled(100) < 50 ? 5 : 1, wrong = 0;
    for (cp = 0; cp < 0x120000; cp += step) {
        unsigned char s[4];
        size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4, k;
        for (k = n; k-- > 1;) s[k] = (unsigned char)(0x80 | (cp >> (6 * (n - 1 - k)) & 0x3f));
        s[0] = (unsigned char)(n == 1 ? cp : (0xf00 >> n & 0xff) | (cp >> (6 * (n - 1))));
        wrong += stream_utf8_valid(s, n) != (cp < 0xd800 || (cp > 0xdfff && cp < 0x110000));
        if (n > 1) wrong += stream_utf8_valid(s, n - 1);
        if (n > 1 && cp < 0xd800) wrong += stream_utf8_cut(s, n - 1) != 0;
        wrong += n > 1 && cp < 0xd800 && stream_utf8_cut(s, n) != n;
    }
    CHECK_EQ(wrong, 0);
}

/* Four bytes from the edges of every range, at offsets 0 to 80 in ASCII, flush against the page. */
static void utf8_edges_are_seen_at_every_offset(void) {
    static const unsigned char lead[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec,
                                         0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xff};
    static const unsigned char next[] = {0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xe2};
    guard g = guard_make(128);
    size_t a, b, c, d, at, tail, wrong = 0, count = 0, step = scaled(100) < 50 ? 11 : 1;
    for (a = 0; a < COUNT(lead); a++) {
        for (b = 0; b < COUNT(next); b++) {
            for (c = 0; c < COUNT(next); c++) {
                for (d = 0; d < COUNT(next); d++) {
                    size_t offset, open;
                    char four[4];
                    stream_status want;
                    four[0] = (char)lead[a], four[1] = (char)next[b];
                    four[2] = (char)next[c], four[3] = (char)next[d];
                    want = reference_utf8(four, 4, &offset, &open);
                    for (at = count % step; at <= 80; at += step) {
                        char *p = g.end - 4 - at;
                        stream_utf8 s;
                        memset(p, 'x', at);
                        memcpy(p + at, four, 4);
                        memset(&s, 0, sizeof s);
                        wrong += stream_utf8_valid(p, at + 4) != (want == STREAM_OK);
                        wrong += stream_utf8_feed(&s, p, at + 4) != want || s.offset != at + offset;
                        wrong += want != STREAM_E_INVALID && stream_utf8_cut(p, at + 4) != at + 4 - open;
                    }
                    count++;
                    if (d % 3 == 0) { /* with text behind it, cut at every point */
                        char *p = g.end - 4 - 9 - 12;
                        memset(p, 'x', 25);
                        memcpy(p + 9, four, 4);
                        for (tail = 0; tail <= 12; tail += 4) check_utf8(p, 13 + tail, 0, 14 + tail);
                    }
                }
            }
        }
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(count, 22000);
    guard_free(&g);
}

/* Mixed text with now and then a broken byte, cut anywhere, at every alignment. */
/* Blocks of 64 bytes are looked at as a whole from the first byte on that is not ASCII: every edge at every place
   of a block, and across two. */
static void utf8_edges_are_seen_in_whole_blocks(void) {
    static const unsigned char edge[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF,
                                         0xE0, 0xE1, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};
    const size_t step = scaled(100) < 50 ? 7 : 1;
    unsigned long wrong = 0, valid = 0;
    size_t at, i, all = COUNT(edge) * COUNT(edge) * COUNT(edge) * COUNT(edge);
    char in[256];
    for (at = 2; at < 140; at += at < 58 || at > 70 ? 11 : 1) {
        const size_t n = at + 4 + 66;
        memset(in, 'a', sizeof in);
        memcpy(in, "\xC3\xA9", 2);
        for (i = 2; i + 3 <= at; i += 7) memcpy(in + i, "\xE2\x82\xAC", 3);
        for (i = at % step; i < all; i += step) {
            size_t offset, open;
            stream_status want;
            stream_utf8 s;
            in[at] = (char)edge[i % COUNT(edge)];
            if ((unsigned char)in[at] < 0xC0 && i % 64) continue; /* no lead: the rest says little more */
            in[at + 1] = (char)edge[i / COUNT(edge) % COUNT(edge)];
            in[at + 2] = (char)edge[i / (COUNT(edge) * COUNT(edge)) % COUNT(edge)];
            in[at + 3] = (char)edge[i / (COUNT(edge) * COUNT(edge) * COUNT(edge))];
            want = reference_utf8(in + at, 4 + 66, &offset, &open);
            memset(&s, 0, sizeof s);
            wrong += stream_utf8_feed(&s, in, n) != want || s.offset != at + offset;
            valid += want == STREAM_OK;
        }
    }
    CHECK_EQ(wrong, 0);
    CHECK(valid > 1000);
}

static void utf8_of_random_text_is_judged_the_same_in_fragments(void) {
    static const char *const words[] = {
        "plain ",       "\xc3\xa9",     "\xe2\x82\xac",     "\xf0\x9f\x98\x80", "0123456789abcdef",
        "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf", "\xc2\x80",         ""};
    guard g = guard_make(512);
    uint64_t seed = 77;
    size_t i, n, a, b, offset, open, valid = 0, count = scaled(60000);
    stream_status want;
    for (i = 0; i < count && !TEST_QUIET; i++) {
        char in[300];
        n = 0;
        while (n < sizeof in - 20 && below(&seed, 20)) {
            const char *word = words[below(&seed, COUNT(words))];
            memcpy(in + n, word, strlen(word));
            n += strlen(word);
        }
        if (n && i % 2) in[below(&seed, n)] = (char)below(&seed, 256);
        if (n && i % 3 == 0) n -= below(&seed, n < 4 ? n : 4);
        memcpy(g.end - n, in, n);
        b = below(&seed, n + 1);
        a = below(&seed, b + 1);
        want = reference_utf8(in, n, &offset, &open);
        check_utf8_cuts(g.end - n, n, a, b, want, offset);
        valid += check_utf8(g.end - n, n, a, a + 1) == STREAM_OK;
    }
    CHECK(valid > count / 4);
    guard_free(&g);
}

/* Offsets add up over fragments, an error stays, and the object is what it says. */
static void utf8_state_keeps_its_word(void) {
    stream_utf8 s, copy;
    CHECK(sizeof s <= 16); /* 12 where 64 bits are aligned to 32 */
    memset(&s, 0, sizeof s);
    CHECK_EQ(stream_utf8_finish(&s), STREAM_OK);
    CHECK_EQ(stream_utf8_feed(&s, NULL, 0), STREAM_OK);
    CHECK_EQ(stream_utf8_feed(&s, "ab\xf0\x9f", 4), STREAM_MORE);
    CHECK_EQ(s.offset, 4);
    CHECK_EQ(s.need, 2);
    CHECK_EQ(stream_utf8_feed(&s, NULL, 0), STREAM_MORE);
    CHECK_EQ(stream_utf8_finish(&s), STREAM_E_TRUNCATED);
    copy = s;
    CHECK_EQ(stream_utf8_feed(&s, "\x98\x80", 2), STREAM_OK);
    CHECK_EQ(s.offset, 6);
    CHECK_EQ(stream_utf8_feed(&copy, "\x98x", 2), STREAM_E_INVALID);
    CHECK_EQ(copy.offset, 5);
    CHECK_EQ(stream_utf8_feed(&copy, "x", 1), STREAM_E_INVALID);
    CHECK_EQ(stream_utf8_feed(&copy, NULL, 0), STREAM_E_INVALID);
    CHECK_EQ(copy.offset, 5);
    CHECK_EQ(stream_utf8_finish(&copy), STREAM_E_INVALID);
    CHECK(stream_utf8_valid(NULL, 0));
    CHECK_EQ(stream_utf8_cut(NULL, 0), 0);
}

static void utf8_cut_leaves_no_open_character(void) {
    static const char mixed[] =
        "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z\x80\xc3\xc3\xe2\x82\xe2\x82\x41\xf0\x9f\x98"
        "\xf0\x80\x80\xed\xa0\x80\xed\x9f\xf4\x90\x80\xf4\x8f\xbf\xc0\x80\xc1\xf5\x80\x80\x80"
        "\xe0\x80\xe0\xa0\xff\xfe\x80\x80\x80\x80\x80";
    static const unsigned char edges[] = {0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
                                          0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
                                          0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
    size_t n, a, b, c, d, e = COUNT(edges);
    for (n = 0; n < sizeof mixed; n++) {
        CHECK_EQ(stream_utf8_cut(mixed, n), reference_cut(mixed, n));
        CHECK(n - stream_utf8_cut(mixed, n) <= 3);
    }
    for (a = 0; a < e; a++) {
        for (b = 0; b < e; b++) {
            for (c = 0; c < e; c++) {
                for (d = 0; d < e; d++) {
                    char s[4];
                    s[0] = (char)edges[a], s[1] = (char)edges[b], s[2] = (char)edges[c],
                    s[3] = (char)edges[d];
                    for (n = 1; n <= 4; n++) CHECK_BYTES(s, stream_utf8_cut(s, n), s, reference_cut(s, n));
                }
            }
        }
    }
}

/* ==== reader ========================================================================================= */

#if defined(TEST_POSIX) && !defined(STREAM_NO_OS)

/* What answers in the kernel's stead while it is on: `data` in pieces of at most `piece` bytes, and from
   time to time an error instead. */
static struct {
    bool on;
    const char *data;
    size_t len, at, piece; /* piece 0: as much as is asked for */
    size_t asked;          /* by the last call */
    unsigned calls, fail_at, fail_every;
    int error;
} script;

static void script_start(const char *data, size_t len, size_t piece) {
    memset(&script, 0, sizeof script);
    script.on = true;
    script.data = data;
    script.len = len;
    script.piece = piece;
}

static ptrdiff_t test_read(int fd, void *data, size_t len) {
    size_t n = script.len - script.at;
    if (!script.on) return read(fd, data, len);
    script.calls++;
    script.asked = len;
    if (script.calls == script.fail_at || (script.fail_every && script.calls % script.fail_every == 0)) {
        errno = script.error;
        return -1;
    }
    if (n > len) n = len;
    if (script.piece && n > script.piece) n = script.piece;
    if (len < 1 << 20) memset(data, '\n', len); /* what lies behind the answer is nobody's */
    if (n) memcpy(data, script.data + script.at, n);
    script.at += n;
    errno = ENOTTY; /* means nothing after a success */
    return (ptrdiff_t)n;
}

static const char reader_text[] = "first\nsecond\r\n\n\r\nfifth is longer than sixteen\nsixth\rwith CR\n"
                                  "\xe2\x82\xac and \0 inside\nno end\r";

/* Pulls to END; EMPTY and E_IO are counted and left out of the trace. */
typedef struct reading {
    trace got;
    unsigned empty, failed;
} reading;

static void read_to_the_end(stream_reader *r, reading *result) {
    stream_item line;
    stream_status status;
    result->got.len = 0;
    result->empty = result->failed = 0;
    while ((status = stream_reader_next(r, &line)) != STREAM_END && !TEST_QUIET) {
        if (status == STREAM_EMPTY) result->empty++;
        else if (status == STREAM_E_IO) result->failed++;
        else trace_item(&result->got, status, &line);
        if (result->empty > 100000) {
            CHECK(false && "a reader that has come to its end");
            break;
        }
    }
    CHECK_EQ(stream_reader_next(r, &line), STREAM_END);
    CHECK_EQ(stream_reader_next(r, &line), STREAM_END);
}

static stream_reader_desc reader_desc(int fd, size_t buffer_len, size_t max_len) {
    stream_reader_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.fd = fd;
    desc.buffer_len = buffer_len;
    desc.lines.max_len = max_len;
    return desc;
}

static void check_reader(int fd, size_t buffer_len, stream_kernel_kind kind, const char *in, size_t n) {
    static trace want;
    static reading result;
    stream_reader_desc desc = reader_desc(fd, buffer_len, 16);
    stream_reader r;
    reference_lines(&want, in, n, 16);
    CHECK_EQ(stream_reader_init(&r, &desc), STREAM_OK);
    CHECK_EQ(r.kernel, kind);
    if (kind == STREAM_KERNEL_NONE) CHECK_EQ(r.kernel_len, 0);
    read_to_the_end(&r, &result);
    CHECK_TRACE(&result.got, &want, "read");
    CHECK_EQ(result.empty + result.failed, 0);
    CHECK_EQ(r.os_error, 0);
    stream_reader_free(&r);
}

static void write_all(int fd, const char *in, size_t n) {
    while (n > 0) {
        ssize_t done = write(fd, in, n);
        if (done < 0) abort();
        in += done;
        n -= (size_t)done;
    }
}

static const size_t reader_buffers[] = {1, 2, 3, 7, 16, 17, 18, 100, 0};

static void reader_reads_a_pipe(void) {
    size_t i;
    for (i = 0; i < COUNT(reader_buffers); i++) {
        int fd[2];
        if (pipe(fd) != 0) abort();
        write_all(fd[1], reader_text, sizeof reader_text - 1);
        close(fd[1]);
        check_reader(fd[0], reader_buffers[i], STREAM_KERNEL_PIPE, reader_text, sizeof reader_text - 1);
        CHECK_EQ(close(fd[0]), 0); /* the descriptor stayed ours */
    }
}

static void reader_reads_a_socket(void) {
    size_t i;
    for (i = 0; i < COUNT(reader_buffers); i++) {
        int fd[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) != 0) abort();
        write_all(fd[1], reader_text, sizeof reader_text - 1);
        close(fd[1]);
        check_reader(fd[0], reader_buffers[i], STREAM_KERNEL_SOCKET, reader_text, sizeof reader_text - 1);
        CHECK_EQ(close(fd[0]), 0);
    }
}

static void reader_reads_a_file(void) {
    size_t i;
    FILE *f = tmpfile();
    if (!f) abort();
    write_all(fileno(f), reader_text, sizeof reader_text - 1);
    for (i = 0; i < COUNT(reader_buffers); i++) {
        if (lseek(fileno(f), 0, SEEK_SET) != 0) abort();
        check_reader(fileno(f), reader_buffers[i], STREAM_KERNEL_NONE, reader_text, sizeof reader_text - 1);
    }
    fclose(f);
}

static void reader_reads_standard_input_by_default(void) {
    static trace want;
    static reading result;
    stream_reader r;
    int fd[2], saved = dup(0);
    if (pipe(fd) != 0 || dup2(fd[0], 0) != 0) abort();
    write_all(fd[1], reader_text, sizeof reader_text - 1);
    close(fd[1]);
    close(fd[0]);
    reference_lines(&want, reader_text, sizeof reader_text - 1, 1 << 20);
    CHECK_EQ(stream_reader_init(&r, NULL), STREAM_OK);
    CHECK_EQ(r.kernel, STREAM_KERNEL_PIPE);
    read_to_the_end(&r, &result);
    CHECK_TRACE(&result.got, &want, "standard input");
    stream_reader_free(&r);
    if (saved >= 0) {
        dup2(saved, 0);
        close(saved);
    } else {
        close(0);
    }
}

/* A byte at a time into a non-blocking pipe: EMPTY whenever it has run dry, never a line too early. */
static void reader_says_empty_on_a_dry_pipe(void) {
    static trace want;
    trace got = {NULL, 0, 0};
    stream_reader_desc desc;
    stream_reader r;
    stream_item line;
    stream_status status;
    size_t i, lines = 0;
    int fd[2];
    if (pipe(fd) != 0) abort();
    fcntl(fd[0], F_SETFL, O_NONBLOCK);
    desc = reader_desc(fd[0], 5, 16);
    CHECK_EQ(stream_reader_init(&r, &desc), STREAM_OK);
    CHECK_EQ(stream_reader_next(&r, &line), STREAM_EMPTY);
    for (i = 0; i < sizeof reader_text - 1; i++) {
        write_all(fd[1], reader_text + i, 1);
        for (lines = 0; (status = stream_reader_next(&r, &line)) != STREAM_EMPTY && lines < 3; lines++)
            trace_item(&got, status, &line);
        CHECK_EQ(lines, reader_text[i] == '\n');
    }
    CHECK_EQ(stream_reader_next(&r, &line), STREAM_EMPTY);
    close(fd[1]);
    for (lines = 0; (status = stream_reader_next(&r, &line)) != STREAM_END && lines < 3; lines++)
        trace_item(&got, status, &line);
    CHECK_EQ(lines, 1);
    CHECK_EQ(status, STREAM_END);
    reference_lines(&want, reader_text, sizeof reader_text - 1, 16);
    CHECK_TRACE(&got, &want, "dribbled");
    stream_reader_free(&r);
    close(fd[0]);
    free(got.bytes);
}

/* ---- the n-th system call answers with an error ---- */

static const size_t script_pieces[] = {1, 2, 5, 0};

static void reader_repeats_an_interrupted_read(void) {
    static trace want;
    static reading result;
    size_t i;
    unsigned n, calls;
    reference_lines(&want, reader_text, sizeof reader_text - 1, 16);
    for (i = 0; i < COUNT(script_pieces); i++) {
        for (n = calls = 1; n <= calls + 2; n++) {
            stream_reader_desc desc = reader_desc(-1, 7, 16);
            stream_reader r;
            script_start(reader_text, sizeof reader_text - 1, script_pieces[i]);
            script.error = EINTR;
            if (n == 1) script.fail_every = 2; /* first pass: a storm; it also counts the calls */
            else script.fail_at = n - 1;
            CHECK_EQ(stream_reader_init(&r, &desc), STREAM_OK);
            read_to_the_end(&r, &result);
            CHECK_TRACE(&result.got, &want, "interrupted");
            CHECK_EQ(result.empty + result.failed, 0);
            if (n == 1) calls = script.calls;
            stream_reader_free(&r);
        }
    }
    script.on = false;
}

static void reader_says_empty_once_for_each_eagain(void) {
    static trace want;
    static reading result;
    size_t i;
    unsigned n, calls;
    reference_lines(&want, reader_text, sizeof reader_text - 1, 16);
    for (i = 0; i < COUNT(script_pieces); i++) {
        for (n = calls = 1; n <= calls; n++) {
            stream_reader_desc desc = reader_desc(-1, 7, 16);
            stream_reader r;
            script_start(reader_text, sizeof reader_text - 1, script_pieces[i]);
            script.error = EAGAIN;
            script.fail_at = n;
            CHECK_EQ(stream_reader_init(&r, &desc), STREAM_OK);
            read_to_the_end(&r, &result);
            CHECK_TRACE(&result.got, &want, "with EAGAIN");
            CHECK_EQ(result.empty, 1);
            CHECK_EQ(result.failed, 0);
            CHECK_EQ(r.os_error, 0);
            if (n == 1) calls = script.calls - 1;
            stream_reader_free(&r);
        }
    }
    script.on = false;
}

/* A failed read is the end of the input: E_IO once, the tail, END, and the descriptor is left alone. */
static void reader_reports_a_failed_read_once_and_keeps_the_tail(void) {
    static const int errors[] = {EIO, EBADF, ECONNRESET};
    static trace want;
    size_t i, e;
    unsigned n, calls;
    for (i = 0; i < COUNT(script_pieces); i++) {
        for (e = 0; e < COUNT(errors); e++) {
            for (n = calls = 1; n <= calls; n++) {
                stream_reader_desc desc = reader_desc(-1, 7, 16);
                trace got = {NULL, 0, 0};
                stream_reader r;
                stream_item line;
                stream_status status;
                unsigned failed = 0;
                script_start(reader_text, sizeof reader_text - 1, script_pieces[i]);
                script.error = errors[e];
                script.fail_at = n;
                CHECK_EQ(stream_reader_init(&r, &desc), STREAM_OK);
                while ((status = stream_reader_next(&r, &line)) != STREAM_END) {
                    CHECK(status != STREAM_EMPTY);
                    if (status != STREAM_E_IO) {
                        trace_item(&got, status, &line);
                        continue;
                    }
                    failed++;
                    CHECK_EQ(r.os_error, errors[e]);
                    CHECK_EQ(line.len, 0);
                    CHECK_EQ(line.offset, script.at);
                    CHECK_EQ(script.calls, n);
                    if (failed > 1) break;
                }
                CHECK_EQ(failed, 1);
                CHECK_EQ(r.os_error, errors[e]);
                CHECK_EQ(stream_reader_next(&r, &line), STREAM_END);
                CHECK_EQ(script.calls, n);
                reference_lines(&want, reader_text, script.at, 16);
                CHECK_TRACE(&got, &want, "up to the failure");
                stream_reader_free(&r);
                free(got.bytes);
                if (n == 1) { /* how many calls there are without a failure */
                    static reading result;
                    script_start(reader_text, sizeof reader_text - 1, script_pieces[i]);
                    stream_reader_init(&r, &desc);
                    read_to_the_end(&r, &result);
                    calls = script.calls;
                    stream_reader_free(&r);
                }
            }
        }
    }
    script.on = false;
}

static void reader_reports_a_closed_descriptor(void) {
    stream_reader_desc desc = reader_desc(-1, 0, 0);
    stream_reader r;
    stream_item line;
    CHECK_EQ(stream_reader_init(&r, &desc), STREAM_OK);
    CHECK_EQ(r.kernel, STREAM_KERNEL_NONE);
    CHECK_EQ(stream_reader_next(&r, &line), STREAM_E_IO);
    CHECK_EQ(r.os_error, EBADF);
    CHECK_EQ(stream_reader_next(&r, &line), STREAM_END);
    stream_reader_free(&r);
}

/* ---- its memory ---- */

static void reader_in_memory_of_ours_allocates_nothing(void) {
    static trace want;
    static reading result;
    size_t size;
    reference_lines(&want, reader_text, sizeof reader_text - 1, 16);
    for (size = 1; size <= 20; size++) {
        heap h = {0};
        char *buffer = (char *)malloc(size), *line = (char *)malloc(17);
        stream_reader_desc desc = reader_desc(-1, size, 0);
        stream_reader r;
        desc.memory = buffer;
        desc.lines.memory = line;
        desc.lines.memory_len = 17;
        desc.lines.allocator = heap_hook(&h);
        script_start(reader_text, sizeof reader_text - 1, 0);
        CHECK_EQ(stream_reader_init(&r, &desc), STREAM_OK);
        read_to_the_end(&r, &result);
        CHECK_TRACE(&result.got, &want, "in memory of ours");
        stream_reader_free(&r);
        CHECK_EQ(h.calls, 0);
        free(buffer);
        free(line);
    }
    script.on = false;
}

static void reader_gives_all_memory_back_whatever_is_refused(void) {
    static trace want;
    static reading result;
    bool failed = true, ever_lost = false;
    size_t n, from, lost;
    reference_lines(&want, reader_text, sizeof reader_text - 1, 16);
    for (from = 0; from < 2; from++) {
        for (n = 1, failed = true; failed && n < 100; n++) {
            heap h = {0};
            stream_reader_desc desc = reader_desc(-1, 3, 16);
            stream_reader r;
            stream_status status;
            h.fail_at = n;
            h.fail_from = from != 0;
            desc.lines.first_len = 2;
            desc.lines.allocator = heap_hook(&h);
            script_start(reader_text, sizeof reader_text - 1, 0);
            status = stream_reader_init(&r, &desc);
            CHECK_EQ(status, n == 1 ? STREAM_E_NOMEM : STREAM_OK);
            if (status == STREAM_OK) {
                read_to_the_end(&r, &result);
                lost = torture_compare(&result.got, &want);
                CHECK(lost == 0 || (h.failed && (from || lost == 1)));
                if (lost) ever_lost = true;
            }
            stream_reader_free(&r);
            stream_reader_free(&r);
            heap_check_empty(&h);
            failed = h.failed;
        }
        CHECK(n > 3);
    }
    CHECK(ever_lost);
    script.on = false;
}

static void reader_reads_32_kib_at_a_time_by_default(void) {
    heap h = {0};
    stream_reader_desc desc = reader_desc(-1, 0, 0);
    stream_reader r;
    stream_item line;
    desc.lines.allocator = heap_hook(&h);
    script_start("a\n", 2, 0);
    CHECK_EQ(stream_reader_init(&r, &desc), STREAM_OK);
    CHECK_EQ(h.live, 32768);
    CHECK_EQ(stream_reader_next(&r, &line), STREAM_OK);
    CHECK_EQ(script.asked, 32768);
    CHECK_EQ(h.requests, 1);
    stream_reader_free(&r);
    heap_check_empty(&h);
    script.on = false;
}

static void reader_refuses_a_desc_that_cannot_be_meant(void) {
    char memory[8];
    stream_reader_desc desc = reader_desc(-1, 0, 0);
    stream_reader r;
    desc.memory = memory; /* of unknown size */
    CHECK_EQ(stream_reader_init(&r, &desc), STREAM_E_ARGUMENT);
    stream_reader_free(&r);
    desc.buffer_len = sizeof memory;
    desc.lines.memory = memory;
    desc.lines.memory_len = 1;
    CHECK_EQ(stream_reader_init(&r, &desc), STREAM_E_ARGUMENT);
    stream_reader_free(&r);
    memset(&r, 0, sizeof r);
    stream_reader_free(&r);
}

/* ---- the kernel's buffer ---- */

static void kernel_buffer_of_a_pipe_is_what_was_granted(void) {
#ifdef __linux__
    FILE *f = fopen("/proc/sys/fs/pipe-max-size", "r");
    unsigned long limit = 0;
    size_t granted = 0, want = 1 << 20, small;
    stream_reader_desc desc;
    stream_reader r;
    int fd[2];
    if (!f || fscanf(f, "%lu", &limit) != 1) limit = 4096;
    if (f) fclose(f);
    if (pipe(fd) != 0) abort();
    small = (size_t)fcntl(fd[0], F_GETPIPE_SZ);
    CHECK_EQ(stream_kernel_buffer(fd[0], 1, &granted), STREAM_KERNEL_PIPE);
    CHECK_EQ(granted, small); /* never to shrink */
    CHECK_EQ(stream_kernel_buffer(fd[1], want, &granted), STREAM_KERNEL_PIPE);
    CHECK(granted >= (want < limit ? want : limit));
    CHECK_EQ(granted, fcntl(fd[0], F_GETPIPE_SZ));
    want = granted;
    CHECK_EQ(stream_kernel_buffer(fd[0], 4096, &granted), STREAM_KERNEL_PIPE);
    CHECK_EQ(granted, want);
    CHECK_EQ(fcntl(fd[0], F_GETPIPE_SZ), want);
    CHECK_EQ(stream_kernel_buffer(fd[0], SIZE_MAX, &granted), STREAM_KERNEL_PIPE); /* there is no such */
    CHECK(granted >= want);
    close(fd[0]);
    close(fd[1]);
    if (pipe(fd) != 0) abort();
    desc = reader_desc(fd[0], 0, 0);
    desc.kernel_len = limit < 1 << 20 ? limit : 1 << 20;
    CHECK_EQ(stream_reader_init(&r, &desc), STREAM_OK);
    CHECK(r.kernel_len >= desc.kernel_len);
    CHECK_EQ(r.kernel_len, fcntl(fd[0], F_GETPIPE_SZ));
    stream_reader_free(&r);
    if (fcntl(fd[0], F_SETPIPE_SZ, 4096) == 4096) {
        CHECK_EQ(stream_reader_init(&r, &(stream_reader_desc){.fd = fd[0]}), STREAM_OK);
        CHECK_EQ(r.kernel_len, 65536);
        stream_reader_free(&r);
    }
    close(fd[0]);
    close(fd[1]);
#else
    test_skip("F_SETPIPE_SZ is Linux's");
#endif
}

static void kernel_buffer_of_a_socket_only_grows(void) {
    int fd[2], before = 0, after = 0;
    socklen_t len = sizeof before;
    size_t granted = 1;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) != 0) abort();
    getsockopt(fd[0], SOL_SOCKET, SO_RCVBUF, &before, &len);
    CHECK_EQ(stream_kernel_buffer(fd[0], 1, &granted), STREAM_KERNEL_SOCKET);
    CHECK_EQ(granted, before);
    CHECK_EQ(stream_kernel_buffer(fd[0], (size_t)before, &granted), STREAM_KERNEL_SOCKET);
    CHECK_EQ(granted, before);
    CHECK_EQ(stream_kernel_buffer(fd[0], (size_t)before + 1000, &granted), STREAM_KERNEL_SOCKET);
    getsockopt(fd[0], SOL_SOCKET, SO_RCVBUF, &after, &len);
    CHECK_EQ(granted, after);
    CHECK(after > before);
    close(fd[0]);
    close(fd[1]);
}

static void kernel_buffer_of_anything_else_is_none(void) {
    size_t granted = 1;
    FILE *f = tmpfile();
    if (!f) abort();
    CHECK_EQ(stream_kernel_buffer(fileno(f), 65536, &granted), STREAM_KERNEL_NONE);
    CHECK_EQ(granted, 0);
    granted = 1;
    CHECK_EQ(stream_kernel_buffer(-1, 65536, &granted), STREAM_KERNEL_NONE);
    CHECK_EQ(granted, 0);
    fclose(f);
}

static void source_of_a_descriptor_has_four_answers(void) {
    stream_source s;
    char data[8];
    size_t got = 99;
    int fd[2];
    if (pipe(fd) != 0) abort();
    fcntl(fd[0], F_SETFL, O_NONBLOCK);
    s = stream_source_fd(fd[0]);
    CHECK_EQ(s.read(s.ctx, data, sizeof data, &got), STREAM_EMPTY);
    CHECK_EQ(got, 0);
    write_all(fd[1], "abcdefghij", 10);
    CHECK_EQ(s.read(s.ctx, data, sizeof data, &got), STREAM_OK);
    CHECK_TEXT(data, got, "abcdefgh");
    CHECK_EQ(s.read(s.ctx, data, sizeof data, &got), STREAM_OK);
    CHECK_TEXT(data, got, "ij");
    close(fd[1]);
    CHECK_EQ(s.read(s.ctx, data, sizeof data, &got), STREAM_END);
    CHECK_EQ(got, 0);
    close(fd[0]);
    s = stream_source_fd(-1);
    errno = 0;
    CHECK_EQ(s.read(s.ctx, data, sizeof data, &got), STREAM_E_IO);
    CHECK_EQ(errno, EBADF);
    CHECK_EQ(got, 0);
    /* read(2) may take no more at once than a signed 32-bit number says */
    script_start("xyz", 3, 0);
    CHECK_EQ(s.read(s.ctx, data, SIZE_MAX, &got), STREAM_OK);
    CHECK_TEXT(data, got, "xyz");
    CHECK_EQ(script.asked, INT32_MAX);
    script.on = false;
}

#ifndef STREAM_NO_THREADS
typedef struct writer {
    int fd;
    const char *in;
    size_t n;
} writer;

static void *writer_main(void *arg) {
    writer *w = (writer *)arg;
    write_all(w->fd, w->in, w->n);
    close(w->fd);
    return NULL;
}

/* Megabytes through a blocking pipe and a blocking socket, the writer on another thread. */
static void reader_keeps_up_with_another_thread(void) {
    size_t n = scaled(4 << 20), i, wide;
    char *in = (char *)malloc(n);
    static trace want;
    static reading result;
    uint64_t seed = 5;
    if (!in) abort();
    for (i = 0; i < n; i++) in[i] = below(&seed, 90) ? (char)below(&seed, 256) : '\n';
    reference_lines(&want, in, n, 200);
    for (wide = 0; wide < 2; wide++) {
        stream_reader_desc desc;
        stream_reader r;
        pthread_t thread;
        writer w;
        int fd[2];
        if ((wide ? socketpair(AF_UNIX, SOCK_STREAM, 0, fd) : pipe(fd)) != 0) abort();
        w.fd = fd[1], w.in = in, w.n = n;
        if (pthread_create(&thread, NULL, writer_main, &w) != 0) abort();
        desc = reader_desc(fd[0], wide ? 0 : 1000, 200);
        CHECK_EQ(stream_reader_init(&r, &desc), STREAM_OK);
        read_to_the_end(&r, &result);
        pthread_join(thread, NULL);
        CHECK_TRACE(&result.got, &want, "from another thread");
        stream_reader_free(&r);
        close(fd[0]);
    }
    free(in);
}
#endif

static void the_clock_never_goes_back(void) {
    uint64_t before = stream_now_ns(), now, start = before;
    struct timespec t[2];
    int i;
    CHECK(before > 0);
    for (i = 0; i < 10000; i++, before = now) {
        now = stream_now_ns();
        if (now < before) CHECK(now >= before);
    }
    usleep(2000);
    now = stream_now_ns();
    CHECK(now - start >= 2000000 && now - start < UINT64_C(60000000000));
    clock_gettime(CLOCK_MONOTONIC, &t[0]); /* and it is the system's */
    now = stream_now_ns();
    clock_gettime(CLOCK_MONOTONIC, &t[1]);
    CHECK(now >= (uint64_t)t[0].tv_sec * 1000000000 + (uint64_t)t[0].tv_nsec);
    CHECK(now <= (uint64_t)t[1].tv_sec * 1000000000 + (uint64_t)t[1].tv_nsec);
}

#endif /* TEST_POSIX */

/* ==== flow =========================================================================================== */

/* The documentation as a plain struct. */
typedef struct flow_model {
    stream_flow_desc desc; /* with the defaults in place */
    uint64_t sent, consumed, max_lag, slowed;
    bool slow;
} flow_model;

static uint64_t model_lag(const flow_model *m) { return m->sent > m->consumed ? m->sent - m->consumed : 0; }

static bool model_slow(flow_model *m) {
    uint64_t lag = model_lag(m);
    if (!m->slow && lag > m->desc.high) {
        m->slow = true;
        m->slowed++;
    } else if (m->slow && lag < m->desc.low) {
        m->slow = false;
    }
    return m->slow;
}

static void model_sent(flow_model *m, uint64_t units) {
    m->sent += units;
    if (model_lag(m) > m->max_lag) m->max_lag = model_lag(m);
    model_slow(m);
}

static uint64_t model_delay(flow_model *m) {
    if (model_slow(m)) return m->desc.slow_delay_ns;
    return model_lag(m) > m->desc.size ? m->desc.delay_ns : 0;
}

/* A desc with some fields left at zero, and what it means. False when it is one to refuse. */
static bool model_init(flow_model *m, stream_flow_desc *desc, uint64_t *seed) {
    memset(m, 0, sizeof *m);
    memset(desc, 0, sizeof *desc);
    desc->size = below(seed, 3) ? below(seed, 12) : below(seed, 300);
    desc->high = below(seed, 2) ? 0 : below(seed, 40);
    desc->low = below(seed, 2) ? 0 : below(seed, 20);
    desc->delay_ns = below(seed, 2) ? 0 : 7;
    desc->slow_delay_ns = below(seed, 2) ? 0 : 70;
    m->desc = *desc;
    if (!m->desc.size) m->desc.size = 100;
    if (!m->desc.high) m->desc.high = 2 * m->desc.size;
    if (!m->desc.low) {
        m->desc.low = m->desc.size < 2 ? 1 : m->desc.size / 2;
        if (m->desc.low > m->desc.high) m->desc.low = m->desc.high;
    }
    if (!m->desc.delay_ns) m->desc.delay_ns = 10000000;
    if (!m->desc.slow_delay_ns) m->desc.slow_delay_ns = 100000000;
    return m->desc.low <= m->desc.high;
}

static void flow_does_as_the_model_does(void) {
    uint64_t seed = 4242, slowed = 0, refused = 0, delays[3] = {0, 0, 0};
    size_t i, k, count = scaled(1000000);
    for (i = 0; i < count && !TEST_QUIET; i += 500) {
        stream_flow_desc desc;
        stream_flow flow;
        flow_model m;
        bool fine = model_init(&m, &desc, &seed);
        CHECK_EQ(stream_flow_init(&flow, &desc), fine ? STREAM_OK : STREAM_E_ARGUMENT);
        if (!fine) refused++;
        for (k = 0; fine && k < 500; k++) {
            uint64_t units = below(&seed, 10), delay;
            switch (below(&seed, 6)) {
            case 0:
            case 1:
                stream_flow_sent(&flow, units);
                model_sent(&m, units);
                break;
            case 2:
                if (k / 100 % 2 && units > model_lag(&m))
                    units = model_lag(&m); /* else: more than was sent */
                stream_flow_consumed(&flow, units);
                m.consumed += units;
                break;
            case 3:
                units = model_lag(&m) * below(&seed, 3) / 2;
                if (below(&seed, 8)) units = 0;
                stream_flow_consumed(&flow, units);
                m.consumed += units;
                break;
            case 4: CHECK_EQ(stream_flow_slow(&flow), model_slow(&m)); break;
            default:
                delay = model_delay(&m);
                CHECK_EQ(stream_flow_delay_ns(&flow), delay);
                delays[delay == 0 ? 0 : delay == m.desc.delay_ns ? 1 : 2]++;
            }
            CHECK_EQ(stream_flow_lag(&flow), model_lag(&m));
            CHECK_EQ(stream_flow_max_lag(&flow), m.max_lag);
            CHECK_EQ(stream_flow_times_slowed(&flow), m.slowed);
            if (m.consumed > m.sent) { /* caught up with itself, so that the lag is not zero for ever */
                stream_flow_sent(&flow, m.consumed - m.sent);
                model_sent(&m, m.consumed - m.sent);
            }
        }
        slowed += m.slowed;
    }
    CHECK(slowed > count / 500); /* the walk went where things happen */
    CHECK(refused > 0 && delays[0] > 0 && delays[1] > 0 && delays[2] > 0);
}

/* The marks themselves: above, not at; below, not at. */
static void flow_turns_just_past_its_marks(void) {
    stream_flow_desc desc = {10, 20, 5, 1, 2, 0};
    stream_flow flow;
    CHECK_EQ(stream_flow_init(&flow, &desc), STREAM_OK);
    CHECK_EQ(stream_flow_delay_ns(&flow), 0);
    stream_flow_sent(&flow, 10);
    CHECK_EQ(stream_flow_delay_ns(&flow), 0);
    stream_flow_sent(&flow, 1);
    CHECK_EQ(stream_flow_delay_ns(&flow), 1);
    stream_flow_sent(&flow, 9);
    CHECK(!stream_flow_slow(&flow));
    CHECK_EQ(stream_flow_delay_ns(&flow), 1);
    stream_flow_sent(&flow, 1);
    CHECK(stream_flow_slow(&flow));
    CHECK_EQ(stream_flow_delay_ns(&flow), 2);
    stream_flow_consumed(&flow, 16);
    CHECK_EQ(stream_flow_lag(&flow), 5);
    CHECK_EQ(stream_flow_delay_ns(&flow), 2);
    stream_flow_consumed(&flow, 1);
    CHECK_EQ(stream_flow_delay_ns(&flow), 0);
    CHECK(!stream_flow_slow(&flow));
    CHECK_EQ(stream_flow_times_slowed(&flow), 1);
    CHECK_EQ(stream_flow_max_lag(&flow), 21);
}

static void flow_has_the_documented_defaults(void) {
    stream_flow flow;
    CHECK_EQ(stream_flow_init(&flow, NULL), STREAM_OK);
    stream_flow_sent(&flow, 100);
    CHECK_EQ(stream_flow_delay_ns(&flow), 0);
    stream_flow_sent(&flow, 100);
    CHECK_EQ(stream_flow_delay_ns(&flow), 10000000);
    stream_flow_sent(&flow, 1);
    CHECK_EQ(stream_flow_delay_ns(&flow), 100000000);
    stream_flow_consumed(&flow, 151);
    CHECK(stream_flow_slow(&flow));
    stream_flow_consumed(&flow, 1);
    CHECK(!stream_flow_slow(&flow));
}

static void flow_lag_saturates_at_zero(void) {
    stream_flow flow;
    stream_flow_init(&flow, NULL);
    stream_flow_consumed(&flow, 5);
    CHECK_EQ(stream_flow_lag(&flow), 0);
    CHECK_EQ(stream_flow_delay_ns(&flow), 0);
    stream_flow_sent(&flow, 3);
    CHECK_EQ(stream_flow_lag(&flow), 0);
    CHECK_EQ(stream_flow_max_lag(&flow), 0);
    stream_flow_sent(&flow, 3);
    CHECK_EQ(stream_flow_lag(&flow), 1);
}

static void flow_refuses_marks_the_wrong_way_round(void) {
    stream_flow flow;
    stream_flow_desc desc = {10, 5, 6, 0, 0, 0};
    CHECK_EQ(stream_flow_init(&flow, &desc), STREAM_E_ARGUMENT);
    desc.low = 5;
    CHECK_EQ(stream_flow_init(&flow, &desc), STREAM_OK);
    desc.low = 0;
    desc.high = 4; /* the default for low would be 5: it gives way */
    CHECK_EQ(stream_flow_init(&flow, &desc), STREAM_OK);
    CHECK_EQ(flow.desc.low, 4);
    desc.size = UINT64_MAX; /* twice that does not exist; there is no slow mode then */
    desc.high = 0;
    CHECK_EQ(stream_flow_init(&flow, &desc), STREAM_OK);
    stream_flow_sent(&flow, UINT64_MAX);
    CHECK(!stream_flow_slow(&flow));
    CHECK_EQ(stream_flow_delay_ns(&flow), 0);
    desc.size = UINT64_MAX / 5 * 2; /* twice that does */
    CHECK_EQ(stream_flow_init(&flow, &desc), STREAM_OK);
    stream_flow_sent(&flow, desc.size * 2);
    CHECK(!stream_flow_slow(&flow));
    stream_flow_sent(&flow, 1);
    CHECK(stream_flow_slow(&flow));
    desc.size = UINT64_MAX / 2; /* just */
    CHECK_EQ(stream_flow_init(&flow, &desc), STREAM_OK);
    stream_flow_sent(&flow, UINT64_MAX);
    CHECK(stream_flow_slow(&flow));
}

#ifndef STREAM_NO_THREADS
enum { FLOW_UNITS = 100000 };

static void *flow_consumer(void *arg) {
    stream_flow *flow = (stream_flow *)arg;
    uint64_t done = 0;
    while (done < FLOW_UNITS) {
        uint64_t lag = stream_flow_lag(flow);
        if (lag == 0) sched_yield();
        if (lag > 7) lag = 7;
        stream_flow_consumed(flow, lag);
        done += lag;
    }
    return NULL;
}

static void *flow_watcher(void *arg) {
    stream_flow *flow = (stream_flow *)arg;
    uint64_t highest = 0, n;
    for (n = 0; n < 20000; n++) {
        uint64_t max = stream_flow_max_lag(flow);
        if (max < highest) return flow; /* it only ever rises */
        highest = max;
        if (stream_flow_lag(flow) > FLOW_UNITS || stream_flow_times_slowed(flow) > FLOW_UNITS) return flow;
    }
    return NULL;
}

static void flow_works_between_threads(void) {
    static stream_flow flow; /* shared: not on one thread's stack */
    stream_flow_desc desc = {20, 40, 10, 1, 2, 0};
    pthread_t consumer, watcher;
    void *wrong;
    uint64_t i;
    CHECK_EQ(stream_flow_init(&flow, &desc), STREAM_OK);
    if (pthread_create(&consumer, NULL, flow_consumer, &flow) != 0) abort();
    if (pthread_create(&watcher, NULL, flow_watcher, &flow) != 0) abort();
    for (i = 0; i < FLOW_UNITS; i++) {
        stream_flow_sent(&flow, 1);
        if (stream_flow_slow(&flow) && stream_flow_delay_ns(&flow) > 0) sched_yield();
    }
    pthread_join(consumer, NULL);
    pthread_join(watcher, &wrong);
    CHECK(wrong == NULL);
    CHECK_EQ(stream_flow_lag(&flow), 0);
    CHECK(!stream_flow_slow(&flow));
    CHECK(stream_flow_max_lag(&flow) > 0);
}
#endif

/* ==== batch ========================================================================================== */

static void batch_is_full_after_so_many_items(void) {
    stream_batch b;
    stream_batch_desc desc = {3, 0, 1000};
    stream_batch_init(&b, &desc);
    CHECK_EQ(stream_batch_add(&b, 1 << 30, 0), false);
    CHECK_EQ(stream_batch_add(&b, 1 << 30, 0), false);
    CHECK_EQ(stream_batch_add(&b, 0, 0), true);
    CHECK_EQ(b.items, 3);
    CHECK_EQ(stream_batch_add(&b, 0, 0), true); /* still, when nobody flushed */
    stream_batch_flushed(&b);
    CHECK_EQ(b.items + b.bytes, 0);
    CHECK_EQ(stream_batch_add(&b, 0, 0), false);
}

static void batch_is_full_after_so_many_bytes(void) {
    stream_batch b;
    stream_batch_desc desc = {1000, 100, 1000};
    stream_batch_init(&b, &desc);
    CHECK_EQ(stream_batch_add(&b, 99, 0), false);
    CHECK_EQ(b.bytes, 99);
    CHECK_EQ(stream_batch_add(&b, 0, 0), false);
    CHECK_EQ(stream_batch_add(&b, 1, 0), true);
    stream_batch_flushed(&b);
    CHECK_EQ(stream_batch_add(&b, 101, 0), true);
    stream_batch_flushed(&b);
    CHECK_EQ(stream_batch_add(&b, 50, 0), false);
    CHECK_EQ(stream_batch_add(&b, SIZE_MAX, 0), true); /* the sum does not wrap */
}

/* Due at the deadline to the nanosecond, counted from the first item and no other. */
static void batch_is_due_at_its_deadline(void) {
    stream_batch b;
    stream_batch_desc desc = {100, 0, 50};
    stream_batch_init(&b, &desc);
    CHECK(!stream_batch_due(&b, 0));
    CHECK(!stream_batch_due(&b, UINT64_MAX));
    CHECK(stream_batch_wait_ns(&b, 0) == UINT64_MAX);
    CHECK(b.deadline_ns == UINT64_MAX);
    CHECK_EQ(stream_batch_add(&b, 1, 1000), false);
    CHECK_EQ(stream_batch_add(&b, 1, 1030), false);
    CHECK_EQ(b.deadline_ns, 1050);
    CHECK_EQ(stream_batch_wait_ns(&b, 1000), 50);
    CHECK_EQ(stream_batch_wait_ns(&b, 1049), 1);
    CHECK(!stream_batch_due(&b, 1049));
    CHECK(stream_batch_due(&b, 1050));
    CHECK(stream_batch_due(&b, 2000));
    CHECK_EQ(stream_batch_wait_ns(&b, 1050), 0);
    CHECK_EQ(stream_batch_wait_ns(&b, 9999), 0);
    CHECK_EQ(stream_batch_add(&b, 1, 1049), false);
    CHECK_EQ(stream_batch_add(&b, 1, 1050), true); /* late: flush now */
    stream_batch_flushed(&b);
    CHECK(!stream_batch_due(&b, UINT64_MAX));
    CHECK(stream_batch_wait_ns(&b, 5000) == UINT64_MAX);
    CHECK(b.deadline_ns == UINT64_MAX);
    CHECK_EQ(stream_batch_add(&b, 1, 5000), false);
    CHECK_EQ(b.deadline_ns, 5050);
}

static void batch_has_the_documented_defaults(void) {
    stream_batch b;
    stream_batch_desc zero = {0, 0, 0};
    int pass, i;
    for (pass = 0; pass < 2; pass++) {
        stream_batch_init(&b, pass ? &zero : NULL);
        for (i = 0; i < 31; i++) CHECK_EQ(stream_batch_add(&b, 1 << 26, 7), false);
        CHECK_EQ(b.deadline_ns, 5000007);
        CHECK_EQ(stream_batch_add(&b, 0, 7), true);
    }
}

/* At the end of time, and with a time that never comes: something waits, so nothing may say that nothing
   does. */
static void batch_deadlines_do_not_wrap(void) {
    static const uint64_t ages[] = {1, 5, 1000, UINT64_MAX / 2, UINT64_MAX - 1, UINT64_MAX};
    size_t a, k;
    for (a = 0; a < COUNT(ages); a++) {
        uint64_t times[8];
        times[0] = 0, times[1] = 1, times[2] = UINT64_MAX - ages[a], times[3] = UINT64_MAX - 1;
        times[4] = times[2] ? times[2] - 1 : 0, times[5] = times[2] + 1, times[6] = UINT64_MAX - 5;
        times[7] = UINT64_MAX / 2;
        for (k = 0; k < COUNT(times); k++) {
            uint64_t now = times[k], left = UINT64_MAX - 1 - now;
            stream_batch b;
            stream_batch_desc desc;
            if (now == UINT64_MAX) continue;
            desc.max_items = 100, desc.max_bytes = 0, desc.max_ns = ages[a];
            if (left > ages[a]) left = ages[a];
            stream_batch_init(&b, &desc);
            CHECK_EQ(stream_batch_add(&b, 1, now), left == 0);
            CHECK(b.deadline_ns != UINT64_MAX);
            CHECK(b.deadline_ns == now + left);
            CHECK(stream_batch_wait_ns(&b, now) == left);
            CHECK_EQ(stream_batch_due(&b, now), left == 0);
            CHECK(stream_batch_due(&b, UINT64_MAX));
            CHECK_EQ(stream_batch_wait_ns(&b, UINT64_MAX), 0);
        }
    }
}

/* ==== metrics ======================================================================================== */

static int compare_u64(const void *a, const void *b) {
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

/* Every quantile against the sorted values: exact below 32, the largest where everything shares the last
   bucket, else within 1/64. */
static void check_quantiles(uint64_t *values, size_t n) {
    static stream_histogram h;
    size_t i;
    unsigned pm;
    memset(&h, 0, sizeof h);
    for (i = 0; i < n; i++) stream_histogram_add(&h, values[i]);
    qsort(values, n, sizeof *values, compare_u64);
    CHECK_EQ(stream_histogram_count(&h), n);
    CHECK(stream_histogram_max_ns(&h) == values[n - 1]);
    for (pm = 0; pm <= 1000; pm++) {
        size_t rank = (n * pm + 999) / 1000;
        uint64_t want = values[rank ? rank - 1 : 0], got = stream_histogram_quantile_ns(&h, pm);
        uint64_t off = got > want ? got - want : want - got;
        if (want >> STREAM_HISTOGRAM_BITS) CHECK(got == values[n - 1]);
        else if (want < 32) CHECK_EQ(got, want);
        else if (want < UINT64_C(63) << (STREAM_HISTOGRAM_BITS - 6)) CHECK(off <= want / 64);
        CHECK(got <= values[n - 1]);
    }
    CHECK(stream_histogram_quantile_ns(&h, 5000) == stream_histogram_quantile_ns(&h, 1000));
}

enum { SAMPLES = 20000 };

static void histogram_quantiles_are_close_for_smooth_distributions(void) {
    static uint64_t v[SAMPLES];
    uint64_t seed = 11;
    size_t i;
    unsigned k;
    for (i = 0; i < SAMPLES; i++) v[i] = below(&seed, 32); /* exact */
    check_quantiles(v, SAMPLES);
    for (i = 0; i < SAMPLES; i++) v[i] = below(&seed, 100);
    check_quantiles(v, SAMPLES);
    for (i = 0; i < SAMPLES; i++) v[i] = 1000000 + below(&seed, 50000000); /* a latency, uniform */
    check_quantiles(v, SAMPLES);
    for (i = 0; i < SAMPLES; i++)
        v[i] = test_random(&seed) >> (24 + below(&seed, 40)); /* all scales */
    check_quantiles(v, SAMPLES);
    for (i = 0; i < SAMPLES; i++) { /* the tail of a queue: each step halves the odds */
        for (v[i] = 20000, k = 0; k < 20 && below(&seed, 2); k++) v[i] = v[i] * 3 / 2;
        v[i] += below(&seed, 100);
    }
    check_quantiles(v, SAMPLES);
}

static void histogram_quantiles_are_close_at_powers_of_two(void) {
    uint64_t v[3 * STREAM_HISTOGRAM_BITS];
    size_t n = 0, i;
    for (i = 0; i < STREAM_HISTOGRAM_BITS - 1; i++) {
        v[n++] = (UINT64_C(1) << i) - 1;
        v[n++] = UINT64_C(1) << i;
        v[n++] = (UINT64_C(1) << i) + 1;
    }
    check_quantiles(v, n);
    for (i = 0; i < n; i++) { /* and each alone: then the largest bounds it from above */
        uint64_t one = v[i];
        check_quantiles(&one, 1);
    }
}

static void histogram_keeps_the_largest_exactly(void) {
    uint64_t v[200];
    size_t i;
    for (i = 0; i < 100; i++) v[i] = 5 + i;
    for (i = 100; i < 200; i++) v[i] = (UINT64_C(1) << STREAM_HISTOGRAM_BITS) + i * 12345;
    check_quantiles(v, 200);
    v[150] = UINT64_MAX;
    check_quantiles(v, 200);
    for (i = 0; i < 200; i++) v[i] = UINT64_MAX;
    check_quantiles(v, 200);
    v[0] = (UINT64_C(1) << STREAM_HISTOGRAM_BITS) - 1;
    v[1] = UINT64_C(1) << STREAM_HISTOGRAM_BITS;
    check_quantiles(v, 1);
    check_quantiles(v + 1, 1);
    for (i = 0; i < 64; i++)
        v[i] = (uint64_t)(i + 1) << (STREAM_HISTOGRAM_BITS - 6); /* up to the last bucket and over it */
    v[64] = UINT64_C(1) << (STREAM_HISTOGRAM_BITS + 3);
    check_quantiles(v, 65);
}

static void histogram_of_nothing_is_zero(void) {
    static stream_histogram h;
    CHECK_EQ(stream_histogram_quantile_ns(&h, 0), 0);
    CHECK_EQ(stream_histogram_quantile_ns(&h, 500), 0);
    CHECK_EQ(stream_histogram_quantile_ns(&h, 1000), 0);
    CHECK_EQ(stream_histogram_max_ns(&h), 0);
    CHECK_EQ(stream_histogram_count(&h), 0);
    stream_histogram_add(&h, 0);
    CHECK_EQ(stream_histogram_quantile_ns(&h, 500), 0);
    CHECK_EQ(stream_histogram_count(&h), 1);
    memset(&h, 0, sizeof h);
}

static void counters_and_gauges_remember(void) {
    stream_counter c;
    stream_gauge g;
    memset(&c, 0, sizeof c);
    memset(&g, 0, sizeof g);
    CHECK_EQ(stream_counter_get(&c), 0);
    stream_counter_add(&c, 3);
    stream_counter_add(&c, UINT64_C(1) << 40);
    CHECK_EQ(stream_counter_get(&c), (UINT64_C(1) << 40) + 3);
    stream_gauge_set(&g, 7);
    stream_gauge_set(&g, 3);
    CHECK_EQ(stream_gauge_get(&g), 3);
    CHECK_EQ(stream_gauge_highest(&g), 7);
    stream_gauge_set(&g, 8);
    CHECK_EQ(stream_gauge_highest(&g), 8);
}

#ifndef STREAM_NO_THREADS
static struct {
    stream_counter counter;
    stream_gauge gauge;
    stream_histogram histogram;
} shared_metrics;
enum { ADDERS = 4, ADDS = 20000 };

static void *metrics_adder(void *arg) {
    uint64_t i, id = *(const uint64_t *)arg;
    char text[512];
    stream_metric row = {"x", NULL, NULL, NULL, STREAM_METRIC_HISTOGRAM, 0, NULL};
    row.value = &shared_metrics.histogram;
    for (i = 0; i < ADDS; i++) {
        stream_counter_add(&shared_metrics.counter, id);
        stream_gauge_set(&shared_metrics.gauge, i * ADDERS + id);
        stream_histogram_add(&shared_metrics.histogram, id * 1000 + i % 8);
        if (i % 5000 == 0)
            stream_metrics_json(&row, 1, text, sizeof text); /* readers are welcome meanwhile */
    }
    return NULL;
}

static void metrics_of_four_threads_are_exact_when_quiet(void) {
    pthread_t thread[ADDERS];
    uint64_t id[ADDERS], i, sum = 0;
    memset(&shared_metrics, 0, sizeof shared_metrics);
    for (i = 0; i < ADDERS; i++) {
        id[i] = i + 1;
        sum += (i + 1) * ADDS;
        if (pthread_create(&thread[i], NULL, metrics_adder, &id[i]) != 0) abort();
    }
    for (i = 0; i < ADDERS; i++) pthread_join(thread[i], NULL);
    CHECK_EQ(stream_counter_get(&shared_metrics.counter), sum);
    CHECK_EQ(stream_gauge_highest(&shared_metrics.gauge), (uint64_t)ADDS * ADDERS);
    CHECK_EQ(stream_histogram_count(&shared_metrics.histogram), (uint64_t)ADDS * ADDERS);
    CHECK_EQ(stream_histogram_max_ns(&shared_metrics.histogram), ADDERS * 1000 + 7);
    for (i = 0; i < ADDERS; i++) { /* a quarter of the values each */
        uint64_t got = stream_histogram_quantile_ns(&shared_metrics.histogram, (unsigned)(i * 250 + 125));
        CHECK(got >= id[i] * 1000 * 63 / 64 && got <= (id[i] * 1000 + 8) * 65 / 64);
    }
}
#endif

/* ---- text ---- */

/* A strict checker of RFC 8259, small enough to be seen to be right. NULL: not JSON. */
static const char *json_value(const char *p, const char *end, int depth);

static const char *json_string(const char *p, const char *end) {
    if (p >= end || *p++ != '"') return NULL;
    while (p < end && *p != '"') {
        if ((unsigned char)*p < 0x20) return NULL;
        if (*p == '\\') {
            if (++p >= end) return NULL;
            if (*p == 'u') {
                int i;
                for (i = 0; i < 4; i++)
                    if (++p >= end || !*p || !strchr("0123456789abcdefABCDEF", *p)) return NULL;
            } else if (!*p || !strchr("\"\\/bfnrt", *p)) {
                return NULL;
            }
        }
        p++;
    }
    return p < end ? p + 1 : NULL;
}

static const char *json_digits(const char *p, const char *end) {
    const char *start = p;
    while (p < end && *p >= '0' && *p <= '9') p++;
    return p > start ? p : NULL;
}

static const char *json_number(const char *p, const char *end) {
    const char *start = p, *q;
    if (p < end && *p == '-') start = ++p;
    p = json_digits(p, end);
    if (!p || (*start == '0' && p > start + 1)) return NULL;
    if (p < end && *p == '.' && !(p = json_digits(p + 1, end))) return NULL;
    if (p < end && (*p == 'e' || *p == 'E')) {
        q = p + 1;
        if (q < end && (*q == '+' || *q == '-')) q++;
        p = json_digits(q, end);
    }
    return p;
}

static const char *json_value(const char *p, const char *end, int depth) {
    if (p >= end || depth > 5) return NULL;
    if (*p == '"') return json_string(p, end);
    if (*p != '{') return json_number(p, end);
    if (++p < end && *p == '}') return p + 1;
    for (;;) {
        p = json_string(p, end);
        if (!p || p >= end || *p++ != ':') return NULL;
        p = json_value(p, end, depth + 1);
        if (!p || p >= end) return NULL;
        if (*p == '}') return p + 1;
        if (*p++ != ',') return NULL;
    }
}

static bool json_valid(const char *p, size_t n) {
    size_t offset, open;
    return reference_utf8(p, n, &offset, &open) == STREAM_OK && json_value(p, p + n, 0) == p + n;
}

typedef size_t metrics_writer(const stream_metric *rows, size_t count, char *dst, size_t cap);

/* The text, and the same under every cap: at most so many bytes are written, the same length is told. */
static void check_metrics(metrics_writer *write_to, const stream_metric *rows, size_t count,
                          const char *want) {
    char full[4096], part[4096 + 1];
    size_t need = write_to(rows, count, NULL, 0), cap, i, spilled = 0;
    CHECK_EQ(need, strlen(want));
    if (need > sizeof full) return;
    CHECK_EQ(write_to(rows, count, full, sizeof full), need);
    CHECK_TEXT(full, need, want);
    for (cap = 0; cap <= need + 1; cap++) {
        memset(part, 0x5a, sizeof part);
        CHECK_EQ(write_to(rows, count, part, cap), need);
        CHECK_BYTES(part, cap < need ? cap : need, full, cap < need ? cap : need);
        for (i = cap < need ? cap : need; i < sizeof part; i++) spilled += part[i] != 0x5a;
    }
    CHECK_EQ(spilled, 0);
}

static void metrics_of_every_kind_are_written(void) {
    static stream_histogram h;
    stream_counter lines;
    stream_gauge lag;
    uint64_t errors = 3, level = 1500, i;
    stream_metric rows[7] = {
        {"app_lines_total", "Lines read.", NULL, NULL, STREAM_METRIC_COUNTER, 0, NULL},
        {"app_lag", NULL, NULL, NULL, STREAM_METRIC_GAUGE, 0, NULL},
        {"app_errors_total", "By \\ kind,\nall of them", "kind", "io", STREAM_METRIC_TOTAL, 0, NULL},
        {"app_errors_total", "not written twice", "kind", "", STREAM_METRIC_TOTAL, 0, NULL},
        {"app:level_seconds", "A level.", NULL, NULL, STREAM_METRIC_VALUE, 3, NULL},
        {"app_seconds", "Latency.", NULL, NULL, STREAM_METRIC_HISTOGRAM, 0, NULL},
        {"app_seconds", NULL, "stage", "a\"b", STREAM_METRIC_HISTOGRAM, 0, NULL},
    };
    memset(&h, 0, sizeof h);
    memset(&lines, 0, sizeof lines);
    memset(&lag, 0, sizeof lag);
    stream_counter_add(&lines, 12345678901234567890u);
    stream_gauge_set(&lag, 9);
    stream_gauge_set(&lag, 4);
    for (i = 1; i <= 1000; i++)
        stream_histogram_add(&h, i <= 500 ? 20 : i <= 990 ? 25 : i <= 999 ? 30 : 31);
    rows[0].value = &lines, rows[1].value = &lag, rows[2].value = &errors, rows[3].value = &level;
    rows[4].value = &level, rows[5].value = &h, rows[6].value = &h;
    check_metrics(stream_metrics_prometheus, rows, 7,
                  "# HELP app_lines_total Lines read.\n"
                  "# TYPE app_lines_total counter\n"
                  "app_lines_total 12345678901234567890\n"
                  "# TYPE app_lag gauge\n"
                  "app_lag 4\n"
                  "# HELP app_errors_total By \\\\ kind,\\nall of them\n"
                  "# TYPE app_errors_total counter\n"
                  "app_errors_total{kind=\"io\"} 3\n"
                  "app_errors_total{kind=\"\"} 1500\n"
                  "# HELP app:level_seconds A level.\n"
                  "# TYPE app:level_seconds gauge\n"
                  "app:level_seconds 1.5\n"
                  "# HELP app_seconds Latency.\n"
                  "# TYPE app_seconds summary\n"
                  "app_seconds{quantile=\"0.5\"} 0.00000002\n"
                  "app_seconds{quantile=\"0.99\"} 0.000000025\n"
                  "app_seconds{quantile=\"0.999\"} 0.00000003\n"
                  "app_seconds_sum 0.000022551\n"
                  "app_seconds_count 1000\n"
                  "app_seconds{stage=\"a\\\"b\",quantile=\"0.5\"} 0.00000002\n"
                  "app_seconds{stage=\"a\\\"b\",quantile=\"0.99\"} 0.000000025\n"
                  "app_seconds{stage=\"a\\\"b\",quantile=\"0.999\"} 0.00000003\n"
                  "app_seconds_sum{stage=\"a\\\"b\"} 0.000022551\n"
                  "app_seconds_count{stage=\"a\\\"b\"} 1000\n");
    check_metrics(
        stream_metrics_json, rows, 7,
        "{\"app_lines_total\":12345678901234567890,"
        "\"app_lag\":4,"
        "\"app_errors_total{kind=\\\"io\\\"}\":3,"
        "\"app_errors_total{kind=\\\"\\\"}\":1500,"
        "\"app:level_seconds\":1.5,"
        "\"app_seconds\":{\"count\":1000,\"sum\":0.000022551,\"p50\":0.00000002,\"p99\":0.000000025,"
        "\"p999\":0.00000003,\"max\":0.000000031},"
        "\"app_seconds{stage=\\\"a\\\\\\\"b\\\"}\":{\"count\":1000,\"sum\":0.000022551,"
        "\"p50\":0.00000002,\"p99\":0.000000025,\"p999\":0.00000003,\"max\":0.000000031}}");
    check_metrics(stream_metrics_prometheus, rows, 0, "");
    check_metrics(stream_metrics_json, rows, 0, "{}");
}

/* Quotes, backslashes and newlines are escaped; what Prometheus or JSON cannot carry becomes '?'. */
/* A kind from a later version is shown, as 0, and harms nothing. */
static void metrics_of_no_known_kind_are_zero(void) {
    stream_metric row;
    char text[256];
    size_t len;
    memset(&row, 0, sizeof row);
    row.name = "later";
    row.kind = (stream_metric_kind)99;
    len = stream_metrics_json(&row, 1, text, sizeof text);
    CHECK_TEXT(text, len, "{\"later\":0}");
}

static void metrics_labels_are_escaped(void) {
    static const struct {
        const char *value, *prometheus, *json;
    } cases[] = {
        {"plain", "plain", "plain"},
        {"a\"b", "a\\\"b", "a\\\\\\\"b"},
        {"a\\b", "a\\\\b", "a\\\\\\\\b"},
        {"a\nb", "a\\nb", "a\\\\nb"},
        {"\\\"\n", "\\\\\\\"\\n", "\\\\\\\\\\\\\\\"\\\\n"},
        {"\xe2\x82\xac \xf0\x9f\x98\x80", "\xe2\x82\xac \xf0\x9f\x98\x80", "\xe2\x82\xac \xf0\x9f\x98\x80"},
        {"bad\xff\x80", "bad??", "bad??"},
        {"cut\xe2\x82", "cut??", "cut??"},
        {"tab\tbell\a", "tab?bell?", "tab?bell?"},
        {"\x7f{},=", "\x7f{},=", "\x7f{},="},
    };
    uint64_t one = 1;
    size_t i;
    for (i = 0; i < COUNT(cases); i++) {
        char want[200];
        stream_metric row = {"m", NULL, "l", NULL, STREAM_METRIC_VALUE, 0, NULL};
        row.label_value = cases[i].value;
        row.value = &one;
        snprintf(want, sizeof want, "# TYPE m gauge\nm{l=\"%s\"} 1\n", cases[i].prometheus);
        check_metrics(stream_metrics_prometheus, &row, 1, want);
        snprintf(want, sizeof want, "{\"m{l=\\\"%s\\\"}\":1}", cases[i].json);
        check_metrics(stream_metrics_json, &row, 1, want);
    }
}

static void metrics_json_is_json_whatever_the_label(void) {
    static const char *const not_json[] = {"{",           "{}x",          "{\"a\":01}", "{\"a\":1.}",
                                           "{\"a\":}",    "{\"a\" 1}",    "{a:1}",      "{\"\t\":1}",
                                           "{\"\\x\":1}", "{\"\xff\":1}", "{\"a\":1,}", "{\"a\":.5}"};
    static stream_histogram h;
    uint64_t seed = 13;
    size_t i, k;
    for (i = 0; i < COUNT(not_json); i++) CHECK(!json_valid(not_json[i], strlen(not_json[i])));
    CHECK(json_valid("{\"a\":{},\"\\\\\\u00e9\":-1.5e+3}", 27));
    memset(&h, 0, sizeof h);
    for (i = 0; i < scaled(20000); i++) {
        char label[12], out[2000];
        uint64_t value = test_random(&seed) >> below(&seed, 64);
        stream_metric rows[2] = {{"a", NULL, "l", NULL, STREAM_METRIC_VALUE, 0, NULL},
                                 {"h", NULL, "l", NULL, STREAM_METRIC_HISTOGRAM, 0, NULL}};
        size_t n = below(&seed, sizeof label);
        for (k = 0; k < n; k++)
            label[k] = below(&seed, 2) ? "\"\\\n\t/u\x80\xc3\xa9"[below(&seed, 9)]
                                              : (char)(1 + below(&seed, 255));
        label[n] = '\0';
        stream_histogram_add(&h, value);
        rows[0].label_value = rows[1].label_value = label;
        rows[0].decimals = (unsigned)below(&seed, 10);
        rows[0].value = &value, rows[1].value = &h;
        n = stream_metrics_json(rows, 2, out, sizeof out);
        CHECK(n <= sizeof out && json_valid(out, n));
    }
}

/* value / 10^decimals by other means: print with leading zeros, set the point, strip the end. */
static void reference_decimal(char *out, size_t cap, uint64_t value, unsigned decimals) {
    char digits[40];
    int n = snprintf(digits, sizeof digits, "%0*llu", (int)decimals + 1, (unsigned long long)value);
    size_t len;
    snprintf(out, cap, "%.*s.%s", n - (int)decimals, digits, digits + n - (int)decimals);
    for (len = strlen(out); len && out[len - 1] == '0';) len--;
    if (len && out[len - 1] == '.') len--;
    out[len] = '\0';
}

static void metrics_decimals_are_exact(void) {
    static const uint64_t values[] = {
        0,         1,          9,          10,         99,         100,        101,
        999999999, 1000000000, 1000000001, 1234567890, 1500000000, UINT64_MAX, UINT64_MAX - 5};
    uint64_t seed = 17;
    size_t i;
    unsigned d;
    for (i = 0; i < COUNT(values) + 2000; i++) {
        uint64_t value = i < COUNT(values) ? values[i] : test_random(&seed) >> below(&seed, 64);
        if (i % 3 == 2) value = value / 1000 * 1000;
        for (d = 0; d <= 9; d++) {
            char want[64], got[64], number[48];
            stream_metric row = {"x", NULL, NULL, NULL, STREAM_METRIC_VALUE, 0, NULL};
            row.decimals = d;
            row.value = &value;
            reference_decimal(number, sizeof number, value, d);
            snprintf(want, sizeof want, "{\"x\":%s}", number);
            CHECK_TEXT(got, stream_metrics_json(&row, 1, got, sizeof got), want);
        }
    }
}

static void metrics_decimals_look_as_documented(void) {
    static const struct {
        uint64_t value;
        unsigned decimals;
        const char *want;
    } cases[] = {
        {0, 0, "{\"x\":0}"},
        {0, 9, "{\"x\":0}"},
        {1, 9, "{\"x\":0.000000001}"},
        {999999999, 9, "{\"x\":0.999999999}"},
        {1500, 3, "{\"x\":1.5}"},
        {1000, 3, "{\"x\":1}"},
        {10, 1, "{\"x\":1}"},
        {100, 0, "{\"x\":100}"},
        {UINT64_MAX, 0, "{\"x\":18446744073709551615}"},
        {UINT64_MAX, 9, "{\"x\":18446744073.709551615}"},
        {5, 10, "{\"x\":0.000000005}"},
        {5, 1000, "{\"x\":0.000000005}"}, /* above 9 is 9, not a walk over the stack */
    };
    size_t i;
    for (i = 0; i < COUNT(cases); i++) {
        stream_metric row = {"x", NULL, NULL, NULL, STREAM_METRIC_VALUE, 0, NULL};
        row.decimals = cases[i].decimals;
        row.value = &cases[i].value;
        check_metrics(stream_metrics_json, &row, 1, cases[i].want);
    }
}

/* ==== pipeline ======================================================================================= */

/* Buffers that are counted, now and then refused, and spoilt when they are given back. */
typedef struct lender {
    uint64_t seed;
    size_t held, most, calls, refused, asked, capacity;
    size_t refuse_every, larger; /* every n-th call gets nothing; up to so much more than asked */
    char *ptr;
    bool wrong;
} lender;

static void *lender_acquire(void *ctx, size_t size, size_t *capacity) {
    lender *l = (lender *)ctx;
    l->asked = size;
    if (l->held) l->wrong = true;
    if (l->refuse_every && ++l->calls % l->refuse_every == 0) {
        l->refused++;
        return NULL;
    }
    l->capacity = size + (l->larger ? below(&l->seed, l->larger + 1) : 0);
    l->ptr = (char *)malloc(l->capacity);
    if (!l->ptr) abort();
    if (++l->held > l->most) l->most = l->held;
    *capacity = l->capacity;
    return l->ptr;
}

static void lender_release(void *ctx, void *data) {
    lender *l = (lender *)ctx;
    if (l->held != 1 || data != (void *)l->ptr) {
        l->wrong = true;
        return;
    }
    memset(l->ptr, '\n', l->capacity);
    free(l->ptr);
    l->ptr = NULL;
    l->held--;
}

static stream_buffers lender_buffers(lender *l) {
    stream_buffers b;
    b.ctx = l;
    b.acquire = lender_acquire;
    b.release = lender_release;
    return b;
}

/* A source of `len` bytes, then `end`; EMPTY now and then, answers of at most `piece` bytes. */
typedef struct script_source {
    const char *data;
    size_t len, at, piece, calls, empties, after_end;
    uint64_t seed;
    unsigned empty_odds; /* one answer in so many; 0: none */
    stream_status end;
    bool ended, wrong;
    const lender *lent; /* if there is one: then bytes go into its buffer, to its capacity */
} script_source;

static stream_status script_source_read(void *ctx, void *data, size_t cap, size_t *got) {
    script_source *s = (script_source *)ctx;
    size_t n = s->len - s->at;
    s->calls++;
    if (s->ended) s->after_end++;
    if (!data || cap == 0) s->wrong = true;
    if (s->lent && (s->lent->held != 1 || data != (void *)s->lent->ptr || cap > s->lent->capacity))
        s->wrong = true;
    if (s->empty_odds && below(&s->seed, s->empty_odds) == 0) {
        s->empties++;
        return STREAM_EMPTY;
    }
    if (n == 0) {
        s->ended = true;
        return s->end;
    }
    if (n > cap) n = cap;
    if (n > s->piece) n = 1 + below(&s->seed, s->piece);
    memset(data, '\n', cap);
    memcpy(data, s->data + s->at, n);
    s->at += n;
    *got = n;
    return STREAM_OK;
}

/* What a run of a pipeline came to; items and decoder errors are in the trace. */
typedef struct pipe_run {
    trace got;
    uint64_t ok, noise, lost, empty, full, failed;
} pipe_run;

static void pipe_pull(stream_pipeline *p, pipe_run *run, const lender *lent, const stream_flow *flow) {
    stream_item item;
    stream_status status;
    run->got.len = 0;
    run->ok = run->noise = run->lost = run->empty = run->full = run->failed = 0;
    while ((status = stream_pipeline_next(p, &item)) != STREAM_END && !TEST_QUIET) {
        bool idle = status == STREAM_EMPTY || status == STREAM_FULL || status == STREAM_E_IO;
        if (idle) CHECK_EQ(item.len, 0);
        if (idle) CHECK_EQ(item.offset, p->bytes); /* where the stream stands */
        if (idle && lent) CHECK_EQ(lent->held, 0);
        if (idle && flow) CHECK_EQ(stream_flow_lag(flow), 0);
        if (status == STREAM_EMPTY) run->empty++;
        else if (status == STREAM_FULL) run->full++;
        else if (status == STREAM_E_IO) run->failed++;
        else trace_item(&run->got, status, &item);
        if (status == STREAM_OK) run->ok++;
        if (status == STREAM_NOISE) run->noise++;
        if (status < 0 && status != STREAM_E_IO) run->lost++;
        if (run->empty + run->full > 1000000) {
            CHECK(false && "a pipeline that comes to its end");
            break;
        }
    }
    if (lent) CHECK_EQ(lent->held, 0);
    CHECK_EQ(stream_pipeline_next(p, &item), STREAM_END);
    CHECK_EQ(stream_pipeline_next(p, &item), STREAM_END);
    CHECK_EQ(p->items, run->ok);
    CHECK_EQ(p->noise, run->noise);
    CHECK_EQ(p->errors, run->lost + run->failed);
}

static size_t random_lines(char *out, size_t cap, uint64_t *seed) {
    size_t n = below(seed, cap + 1), i, rare = 2 + below(seed, 30);
    for (i = 0; i < n; i++)
        out[i] = below(seed, rare) ? "ab\r\0c"[below(seed, 5)] : '\n';
    return n;
}

/* Whatever the source, the buffers and the pool do: the plain decoder's items, once each. */
static void pipeline_items_are_the_decoders(void) {
    static trace want;
    static pipe_run run;
    uint64_t seed = 31, empty = 0, full = 0, failed = 0;
    size_t i, count = scaled(20000);
    stream_lines_desc lines_desc;
    stream_lines lines;
    memset(&lines_desc, 0, sizeof lines_desc);
    lines_desc.max_len = 20;
    stream_lines_init(&lines, &lines_desc);
    for (i = 0; i < count && !TEST_QUIET; i++) {
        char in[300];
        bool borrow = i % 3 != 0;
        heap h = {0};
        lender lent;
        script_source source;
        stream_flow flow;
        stream_pipeline_desc desc;
        stream_pipeline p;
        memset(&lent, 0, sizeof lent);
        memset(&source, 0, sizeof source);
        memset(&desc, 0, sizeof desc);
        lent.seed = source.seed = test_random(&seed);
        lent.larger = below(&seed, 2) * 10;
        lent.refuse_every = below(&seed, 2) * (2 + below(&seed, 5));
        source.data = in;
        source.len = random_lines(in, sizeof in, &seed);
        source.piece = 1 + below(&seed, 40);
        source.empty_odds = (unsigned)below(&seed, 6);
        if (source.empty_odds == 1) source.empty_odds = 0;
        source.end = i % 4 ? STREAM_END : STREAM_E_IO;
        source.lent = borrow ? &lent : NULL;
        desc.source.ctx = &source;
        desc.source.read = script_source_read;
        desc.decoder = stream_lines_decoder(&lines);
        if (borrow) desc.buffers = lender_buffers(&lent);
        desc.buffer_len = 1 + below(&seed, 50);
        desc.allocator = heap_hook(&h);
        desc.flow = i % 2 ? &flow : NULL;
        stream_flow_init(&flow, NULL);
        stream_lines_reset(&lines);
        reference_lines(&want, in, source.len, 20);
        CHECK_EQ(stream_pipeline_init(&p, &desc), STREAM_OK);
        pipe_pull(&p, &run, borrow ? &lent : NULL, desc.flow);
        CHECK_TRACE(&run.got, &want, "piped");
        CHECK_EQ(run.failed, source.end == STREAM_E_IO);
        CHECK_EQ(run.empty, source.empties);
        CHECK_EQ(run.full, lent.refused);
        CHECK_EQ(p.bytes, source.len);
        CHECK_EQ(p.reads, source.calls);
        CHECK_EQ(source.after_end, 0);
        CHECK(!source.wrong && !lent.wrong);
        if (borrow) CHECK_EQ(lent.asked, desc.buffer_len);
        if (borrow) CHECK_EQ(h.calls, 0);
        if (desc.flow) {
            CHECK_EQ(stream_flow_lag(&flow), 0);
            CHECK(stream_flow_max_lag(&flow) <= desc.buffer_len + lent.larger);
            CHECK((stream_flow_max_lag(&flow) > 0) == (source.len > 0));
            stream_flow_sent(&flow, 1); /* neither more nor less was consumed than sent */
            CHECK_EQ(stream_flow_lag(&flow), 1);
        }
        stream_pipeline_free(&p);
        stream_pipeline_free(&p);
        heap_check_empty(&h);
        CHECK(borrow || h.requests <= 1);
        empty += run.empty;
        full += run.full;
        failed += run.failed;
    }
    CHECK(empty > count / 2 && full > count / 2 && failed > count / 5);
    stream_lines_free(&lines);
}

/* A decoder with every outcome: letters are items, '#' is noise, '!' is broken, '(' wants a ')'. */
typedef struct letters {
    const char *cur, *end;
    uint64_t offset;
    bool open, finished;
} letters;

static stream_status letters_feed(void *self, const void *data, size_t len) {
    letters *l = (letters *)self;
    if (l->finished || l->cur != l->end) return STREAM_E_STATE;
    l->cur = (const char *)data;
    l->end = l->cur + len;
    return STREAM_OK;
}

static stream_status letters_next(void *self, stream_item *item) {
    letters *l = (letters *)self;
    memset(item, 0, sizeof *item);
    item->offset = l->offset;
    if (l->cur == l->end) {
        if (!l->finished) return STREAM_MORE;
        if (!l->open) return STREAM_END;
        l->open = false;
        return STREAM_E_TRUNCATED;
    }
    item->ptr = l->cur++;
    item->len = 1;
    item->size = 1;
    l->offset++;
    if (*item->ptr == '(') l->open = true;
    if (*item->ptr == ')') l->open = false;
    return *item->ptr == '#' ? STREAM_NOISE : *item->ptr == '!' ? STREAM_E_INVALID : STREAM_OK;
}

static stream_status letters_finish(void *self) {
    ((letters *)self)->finished = true;
    return STREAM_OK;
}

static stream_decoder letters_decoder(letters *l) {
    stream_decoder d;
    d.self = l;
    d.feed = letters_feed;
    d.next = letters_next;
    d.finish = letters_finish;
    return d;
}

static void letters_pipeline(stream_pipeline_desc *desc, letters *l, script_source *source,
                             const char *in) {
    memset(desc, 0, sizeof *desc);
    memset(l, 0, sizeof *l);
    memset(source, 0, sizeof *source);
    source->data = in;
    source->len = strlen(in);
    source->piece = source->len;
    source->end = STREAM_END;
    source->seed = 1;
    desc->source.ctx = source;
    desc->source.read = script_source_read;
    desc->decoder = letters_decoder(l);
    desc->buffer_len = 3;
}

static void pipeline_passes_on_what_the_decoder_says(void) {
    static pipe_run run;
    stream_pipeline_desc desc;
    stream_pipeline p;
    letters l;
    script_source source;
    letters_pipeline(&desc, &l, &source, "ab##c!!!d(");
    CHECK_EQ(stream_pipeline_init(&p, &desc), STREAM_OK);
    pipe_pull(&p, &run, NULL, NULL);
    CHECK_EQ(run.ok, 5);
    CHECK_EQ(run.noise, 2);
    CHECK_EQ(run.lost, 4); /* three times '!', and the end inside '(' */
    CHECK_EQ(p.errors, 4);
    CHECK_EQ(p.bytes, 10);
    stream_pipeline_free(&p);
}

/* The bytes of an item stay until the next call: the buffer is not given back before. */
static void pipeline_keeps_the_buffer_while_an_item_is_in_use(void) {
    lender lent;
    stream_pipeline_desc desc;
    stream_pipeline p;
    stream_item item;
    letters l;
    script_source source;
    const char *in = "abcde";
    size_t i;
    memset(&lent, 0, sizeof lent);
    letters_pipeline(&desc, &l, &source, in);
    desc.buffers = lender_buffers(&lent);
    CHECK_EQ(stream_pipeline_init(&p, &desc), STREAM_OK);
    CHECK_EQ(lent.held, 0); /* none before it is needed */
    for (i = 0; i < 5; i++) {
        CHECK_EQ(stream_pipeline_next(&p, &item), STREAM_OK);
        CHECK_EQ(lent.held, 1);
        CHECK_BYTES(item.ptr, item.len, in + i, 1);
        CHECK(item.ptr >= lent.ptr && item.ptr < lent.ptr + lent.capacity);
    }
    CHECK_EQ(stream_pipeline_next(&p, &item), STREAM_END);
    CHECK_EQ(lent.held, 0);
    stream_pipeline_free(&p);
    CHECK(!lent.wrong);
}

static void pipeline_gives_the_buffer_back_when_freed_early(void) {
    lender lent;
    heap h = {0};
    stream_pipeline_desc desc;
    stream_pipeline p;
    stream_item item;
    letters l;
    script_source source;
    memset(&lent, 0, sizeof lent);
    letters_pipeline(&desc, &l, &source, "abc");
    desc.buffers = lender_buffers(&lent);
    CHECK_EQ(stream_pipeline_init(&p, &desc), STREAM_OK);
    CHECK_EQ(stream_pipeline_next(&p, &item), STREAM_OK);
    CHECK_EQ(lent.held, 1);
    stream_pipeline_free(&p);
    CHECK_EQ(lent.held, 0);
    stream_pipeline_free(&p);
    CHECK(!lent.wrong);
    letters_pipeline(&desc, &l, &source, "abc");
    desc.allocator = heap_hook(&h);
    CHECK_EQ(stream_pipeline_init(&p, &desc), STREAM_OK);
    CHECK_EQ(h.calls, 0);
    CHECK_EQ(stream_pipeline_next(&p, &item), STREAM_OK);
    CHECK_EQ(h.live, 3);
    stream_pipeline_free(&p);
    heap_check_empty(&h);
}

/* FULL for as long as the pool has nothing, and not a byte is read meanwhile. */
static void pipeline_waits_for_a_buffer_without_reading(void) {
    static pipe_run run;
    lender lent;
    stream_pipeline_desc desc;
    stream_pipeline p;
    stream_item item;
    letters l;
    script_source source;
    int i;
    memset(&lent, 0, sizeof lent);
    letters_pipeline(&desc, &l, &source, "abcdefg");
    desc.buffers = lender_buffers(&lent);
    lent.refuse_every = 1;
    CHECK_EQ(stream_pipeline_init(&p, &desc), STREAM_OK);
    for (i = 0; i < 3; i++) CHECK_EQ(stream_pipeline_next(&p, &item), STREAM_FULL);
    CHECK_EQ(source.calls, 0);
    lent.refuse_every = 0;
    pipe_pull(&p, &run, &lent, NULL);
    CHECK_EQ(run.ok, 7);
    stream_pipeline_free(&p);
}

/* A refused allocation of its own buffer: E_NOMEM, and the next call tries again. */
static void pipeline_tries_again_after_a_refused_allocation(void) {
    static pipe_run run;
    heap h = {0};
    stream_pipeline_desc desc;
    stream_pipeline p;
    stream_item item;
    letters l;
    script_source source;
    letters_pipeline(&desc, &l, &source, "abcdefg");
    desc.allocator = heap_hook(&h);
    h.fail_at = 1;
    CHECK_EQ(stream_pipeline_init(&p, &desc), STREAM_OK);
    CHECK_EQ(stream_pipeline_next(&p, &item), STREAM_FULL);
    CHECK_EQ(source.calls, 0);
    pipe_pull(&p, &run, NULL, NULL);
    CHECK_EQ(run.ok, 7);
    CHECK_EQ(h.requests, 2); /* one buffer, kept over all reads */
    stream_pipeline_free(&p);
    heap_check_empty(&h);
}

static void pipeline_asks_for_32_kib_by_default(void) {
    lender lent;
    stream_pipeline_desc desc;
    stream_pipeline p;
    stream_item item;
    letters l;
    script_source source;
    memset(&lent, 0, sizeof lent);
    letters_pipeline(&desc, &l, &source, "a");
    desc.buffers = lender_buffers(&lent);
    desc.buffer_len = 0;
    CHECK_EQ(stream_pipeline_init(&p, &desc), STREAM_OK);
    CHECK_EQ(stream_pipeline_next(&p, &item), STREAM_OK);
    CHECK_EQ(lent.asked, 32768);
    stream_pipeline_free(&p);
}

static void pipeline_refuses_a_desc_that_cannot_be_meant(void) {
    lender lent;
    stream_pipeline_desc desc, broken;
    stream_pipeline p;
    letters l;
    script_source source;
    memset(&lent, 0, sizeof lent);
    letters_pipeline(&desc, &l, &source, "");
    desc.buffers = lender_buffers(&lent);
    CHECK_EQ(stream_pipeline_init(&p, NULL), STREAM_E_ARGUMENT);
    broken = desc, broken.source.read = NULL;
    CHECK_EQ(stream_pipeline_init(&p, &broken), STREAM_E_ARGUMENT);
    broken = desc, broken.decoder.feed = NULL;
    CHECK_EQ(stream_pipeline_init(&p, &broken), STREAM_E_ARGUMENT);
    broken = desc, broken.decoder.next = NULL;
    CHECK_EQ(stream_pipeline_init(&p, &broken), STREAM_E_ARGUMENT);
    broken = desc, broken.decoder.finish = NULL;
    CHECK_EQ(stream_pipeline_init(&p, &broken), STREAM_E_ARGUMENT);
    broken = desc, broken.buffers.acquire = NULL;
    CHECK_EQ(stream_pipeline_init(&p, &broken), STREAM_E_ARGUMENT);
    broken = desc, broken.buffers.release = NULL;
    CHECK_EQ(stream_pipeline_init(&p, &broken), STREAM_E_ARGUMENT);
    CHECK_EQ(stream_pipeline_init(&p, &desc), STREAM_OK);
    stream_pipeline_free(&p);
    memset(&p, 0, sizeof p);
    stream_pipeline_free(&p);
}

static void pipeline_passes_on_that_the_decoder_takes_no_more(void) {
    stream_pipeline_desc desc;
    stream_pipeline p;
    stream_item item;
    letters l;
    script_source source;
    letters_pipeline(&desc, &l, &source, "abc");
    letters_finish(&l);
    CHECK_EQ(stream_pipeline_init(&p, &desc), STREAM_OK);
    CHECK_EQ(stream_pipeline_next(&p, &item), STREAM_E_STATE);
    stream_pipeline_free(&p);
}

/* A source that breaks its word (OK with nothing, OK with more than there was room for) has failed. */
static size_t lie;
static stream_status lying_read(void *ctx, void *data, size_t cap, size_t *got) {
    (void)ctx;
    memset(data, 'a', cap);
    *got = lie ? cap + lie : 0;
    return STREAM_OK;
}

static void pipeline_takes_a_lying_source_for_a_failed_one(void) {
    for (lie = 0; lie < 2; lie++) {
        stream_pipeline_desc desc;
        stream_pipeline p;
        stream_item item;
        letters l;
        script_source source;
        letters_pipeline(&desc, &l, &source, "");
        desc.source.read = lying_read;
        CHECK_EQ(stream_pipeline_init(&p, &desc), STREAM_OK);
        CHECK_EQ(stream_pipeline_next(&p, &item), STREAM_E_IO);
        CHECK_EQ(stream_pipeline_next(&p, &item), STREAM_END);
        CHECK_EQ(p.bytes, 0);
        stream_pipeline_free(&p);
    }
}

#if defined(TEST_POSIX) && !defined(STREAM_NO_OS)
/* The whole chain: a descriptor, borrowed buffers, lines. */
static void pipeline_reads_a_descriptor(void) {
    static trace want;
    static pipe_run run;
    lender lent;
    stream_pipeline_desc desc;
    stream_lines_desc lines_desc;
    stream_pipeline p;
    stream_lines lines;
    int fd[2];
    if (pipe(fd) != 0) abort();
    write_all(fd[1], reader_text, sizeof reader_text - 1);
    close(fd[1]);
    memset(&lent, 0, sizeof lent);
    memset(&desc, 0, sizeof desc);
    memset(&lines_desc, 0, sizeof lines_desc);
    lines_desc.max_len = 16;
    stream_lines_init(&lines, &lines_desc);
    desc.source = stream_source_fd(fd[0]);
    desc.decoder = stream_lines_decoder(&lines);
    desc.buffers = lender_buffers(&lent);
    desc.buffer_len = 9;
    reference_lines(&want, reader_text, sizeof reader_text - 1, 16);
    CHECK_EQ(stream_pipeline_init(&p, &desc), STREAM_OK);
    pipe_pull(&p, &run, &lent, NULL);
    CHECK_TRACE(&run.got, &want, "piped from a descriptor");
    stream_pipeline_free(&p);
    stream_lines_free(&lines);
    close(fd[0]);
}
#endif

int main(void) {
    TEST_PROGRAM("stream");
    RUN(lines_frame_the_corpus_under_every_cut);
    RUN(lines_in_fixed_memory_frame_the_same);
    RUN(lines_at_every_limit_end_where_they_must);
    RUN(lines_of_random_bytes_match_the_reference);
    RUN(lines_default_to_one_mebibyte);
    RUN(lines_refuse_a_desc_that_cannot_be_meant);
    RUN(lines_take_the_smaller_of_limit_and_memory);
    RUN(lines_take_limits_up_to_a_quarter_of_memory);
    RUN(lines_may_move_while_no_loan_is_open);
    RUN(lines_reset_starts_from_offset_zero);
    RUN(lines_allocate_nothing_once_warm);
    RUN(lines_hold_no_more_than_the_limit);
    RUN(lines_survive_a_refusal_at_every_request);
    RUN(lines_too_long_and_refused_say_what_was_kept);
    RUN(lines_start_with_a_buffer_of_the_size_told);
    RUN(lines_that_need_no_memory_get_none);
    RUN(lines_keep_the_protocol);
    RUN(statuses_have_texts);
    RUN(the_version_is_the_headers);
    RUN(bytes_are_found_at_every_length_and_alignment);
    RUN(bytes_are_found_at_every_position);
    RUN(bytes_find_each_of_the_256_values);
    RUN(utf8_of_one_and_two_bytes_is_judged_as_the_rfc_does);
    RUN(utf8_of_three_bytes_is_judged_as_the_rfc_does);
    RUN(utf8_of_every_code_point_is_valid_but_for_surrogates);
    RUN(utf8_edges_are_seen_at_every_offset);
    RUN(utf8_edges_are_seen_in_whole_blocks);
    RUN(utf8_of_random_text_is_judged_the_same_in_fragments);
    RUN(utf8_state_keeps_its_word);
    RUN(utf8_cut_leaves_no_open_character);
#if defined(TEST_POSIX) && !defined(STREAM_NO_OS)
    RUN(reader_reads_a_pipe);
    RUN(reader_reads_a_socket);
    RUN(reader_reads_a_file);
    RUN(reader_reads_standard_input_by_default);
    RUN(reader_says_empty_on_a_dry_pipe);
    RUN(reader_repeats_an_interrupted_read);
    RUN(reader_says_empty_once_for_each_eagain);
    RUN(reader_reports_a_failed_read_once_and_keeps_the_tail);
    RUN(reader_reports_a_closed_descriptor);
    RUN(reader_in_memory_of_ours_allocates_nothing);
    RUN(reader_gives_all_memory_back_whatever_is_refused);
    RUN(reader_reads_32_kib_at_a_time_by_default);
    RUN(reader_refuses_a_desc_that_cannot_be_meant);
    RUN(kernel_buffer_of_a_pipe_is_what_was_granted);
    RUN(kernel_buffer_of_a_socket_only_grows);
    RUN(kernel_buffer_of_anything_else_is_none);
    RUN(source_of_a_descriptor_has_four_answers);
#ifndef STREAM_NO_THREADS
    RUN(reader_keeps_up_with_another_thread);
#endif
    RUN(the_clock_never_goes_back);
#endif
    RUN(flow_does_as_the_model_does);
    RUN(flow_turns_just_past_its_marks);
    RUN(flow_has_the_documented_defaults);
    RUN(flow_lag_saturates_at_zero);
    RUN(flow_refuses_marks_the_wrong_way_round);
#ifndef STREAM_NO_THREADS
    RUN(flow_works_between_threads);
#endif
    RUN(batch_is_full_after_so_many_items);
    RUN(batch_is_full_after_so_many_bytes);
    RUN(batch_is_due_at_its_deadline);
    RUN(batch_has_the_documented_defaults);
    RUN(batch_deadlines_do_not_wrap);
    RUN(histogram_quantiles_are_close_for_smooth_distributions);
    RUN(histogram_quantiles_are_close_at_powers_of_two);
    RUN(histogram_keeps_the_largest_exactly);
    RUN(histogram_of_nothing_is_zero);
    RUN(counters_and_gauges_remember);
#ifndef STREAM_NO_THREADS
    RUN(metrics_of_four_threads_are_exact_when_quiet);
#endif
    RUN(metrics_of_every_kind_are_written);
    RUN(metrics_of_no_known_kind_are_zero);
    RUN(metrics_labels_are_escaped);
    RUN(metrics_json_is_json_whatever_the_label);
    RUN(metrics_decimals_are_exact);
    RUN(metrics_decimals_look_as_documented);
    RUN(pipeline_items_are_the_decoders);
    RUN(pipeline_passes_on_what_the_decoder_says);
    RUN(pipeline_keeps_the_buffer_while_an_item_is_in_use);
    RUN(pipeline_gives_the_buffer_back_when_freed_early);
    RUN(pipeline_waits_for_a_buffer_without_reading);
    RUN(pipeline_tries_again_after_a_refused_allocation);
    RUN(pipeline_asks_for_32_kib_by_default);
    RUN(pipeline_refuses_a_desc_that_cannot_be_meant);
    RUN(pipeline_passes_on_that_the_decoder_takes_no_more);
    RUN(pipeline_takes_a_lying_source_for_a_failed_one);
#if defined(TEST_POSIX) && !defined(STREAM_NO_OS)
    RUN(pipeline_reads_a_descriptor);
#endif
    return test_end();
}
