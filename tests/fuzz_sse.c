/* SPDX-License-Identifier: MIT-0
   Fuzz target: server-sent events, whole and split, in every mode, and beside a naive parser; and the
   encoder, whose output must read back as what went in, or which must have a reason to refuse. The first
   four bytes of the input choose mode, limits and cuts. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "fuzz_split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What an event is besides its data, so that the runs are compared in that as well. */
typedef struct watched {
    stream_sse *sse;
    trace sum;
} watched;

static stream_status watched_feed(void *self, const void *data, size_t len) {
    return stream_sse_feed(((watched *)self)->sse, data, len);
}
static void watched_slice(watched *w, stream_slice s) {
    size_t i;
    trace_add(&w->sum, s.ptr != NULL);
    for (i = 0; i < s.len; i++) trace_add(&w->sum, (unsigned char)s.ptr[i]);
}
static stream_status watched_next(void *self, stream_item *item) {
    watched *w = (watched *)self;
    stream_slice last;
    stream_status status = stream_sse_next(w->sse, item);
    if (status == STREAM_MORE || status == STREAM_END) return status;
    watched_slice(w, w->sse->event.event);
    watched_slice(w, w->sse->event.id);
    last = stream_sse_last_id(w->sse);
    if (last.len) watched_slice(w, last);
    trace_add(&w->sum, w->sse->event.has_retry ? w->sse->event.retry_ms : 1);
    return status;
}
static stream_status watched_finish(void *self) { return stream_sse_finish(((watched *)self)->sse); }

/* ---- the standard, read naively: the whole stream in memory, line by line ---------------------------- */

static void add_slice(trace *t, bool there, const char *ptr, size_t len) {
    trace_add(t, there);
    if (there) trace_bytes(t, ptr, len);
}

static bool line_is(const char *line, size_t len, const char *name) {
    return len == strlen(name) && memcmp(line, name, len) == 0;
}

/* What is said of the events that are dispatched. */
static trace naive(const char *p, size_t len) {
    static char data[2048], name[2048], id[2048], last[2048];
    trace t = {0, 0, 0};
    size_t at = len >= 3 && memcmp(p, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0, data_len = 0, name_len = 0, id_len = 0;
    size_t last_len = 0;
    bool has_data = false, has_id = false, has_retry = false;
    uint64_t retry = 0;
    FUZZ_CHECK(len <= sizeof data);
    while (at < len) {
        size_t end = at, colon, value;
        while (end < len && p[end] != '\n' && p[end] != '\r') end++;
        if (end == len) break; /* a line without an end is none */
        for (colon = at; colon < end && p[colon] != ':'; colon++) {
        }
        value = colon < end ? colon + 1 : end;
        if (value < end && p[value] == ' ') value++;
        if (end == at) {
            if (has_id) memcpy(last, id, last_len = id_len);
            if (has_data) {
                add_slice(&t, true, data, data_len);
                add_slice(&t, name_len > 0, name, name_len);
                add_slice(&t, has_id, id, id_len);
                add_slice(&t, last_len > 0, last, last_len);
                trace_add(&t, has_retry ? retry : 1);
                t.items++;
            }
            has_data = has_id = has_retry = false;
            data_len = name_len = 0;
        } else if (line_is(p + at, colon - at, "data")) {
            if (has_data) data[data_len++] = '\n';
            memcpy(data + data_len, p + value, end - value);
            data_len += end - value;
            has_data = true;
        } else if (line_is(p + at, colon - at, "event")) {
            memcpy(name, p + value, name_len = end - value);
        } else if (line_is(p + at, colon - at, "id") && !memchr(p + value, '\0', end - value)) {
            memcpy(id, p + value, id_len = end - value);
            has_id = true;
        } else if (line_is(p + at, colon - at, "retry") && value < end) {
            uint64_t n = 0;
            size_t i = value;
            for (; i < end && p[i] >= '0' && p[i] <= '9'; i++) {
                const uint64_t digit = (uint64_t)(p[i] - '0');
                n = n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : n * 10 + digit;
            }
            if (i == end) {
                retry = n;
                has_retry = true;
            }
        }
        at = end + 1;
        if (p[end] == '\r' && at < len && p[at] == '\n') at++;
    }
    return t;
}

static void as_the_standard_has_it(const uint8_t *data, size_t len) {
    const trace want = naive((const char *)data, len);
    trace got = {0, 0, 0};
    stream_sse sse;
    stream_item item;
    stream_status status;
    FUZZ_CHECK(stream_sse_init(&sse, NULL) == STREAM_OK);
    stream_sse_feed(&sse, data, len);
    stream_sse_finish(&sse);
    while ((status = stream_sse_next(&sse, &item)) != STREAM_END) {
        stream_slice last = stream_sse_last_id(&sse);
        if (status != STREAM_OK) {
            FUZZ_CHECK(status == STREAM_E_TRUNCATED);
            continue;
        }
        FUZZ_CHECK(sse.event.data.ptr == item.ptr && sse.event.data.len == item.len && item.len == item.size);
        add_slice(&got, true, item.ptr, item.len);
        add_slice(&got, sse.event.event.ptr != NULL, sse.event.event.ptr, sse.event.event.len);
        add_slice(&got, sse.event.id.ptr != NULL, sse.event.id.ptr, sse.event.id.len);
        add_slice(&got, last.len > 0, last.ptr, last.len);
        trace_add(&got, sse.event.has_retry ? sse.event.retry_ms : 1);
        got.items++;
    }
    FUZZ_CHECK(got.items == want.items && got.sum == want.sum);
    stream_sse_free(&sse);
}

static trace events(stream_sse *sse, const uint8_t *data, size_t len, const uint8_t *cuts, size_t count) {
    watched w;
    stream_decoder d;
    trace t;
    memset(&w, 0, sizeof w);
    w.sse = sse;
    d.self = &w;
    d.feed = watched_feed;
    d.next = watched_next;
    d.finish = watched_finish;
    t = fuzz_run_as(d, data, len, cuts, count, false); /* its bytes may be those of several lines */
    FUZZ_CHECK(sse->scanned == len);
    trace_add(&t, w.sum.sum);
    stream_sse_reset(sse);
    FUZZ_CHECK(stream_sse_set_last_id(sse, NULL, 0) == STREAM_OK);
    return t;
}

/* The bytes of a raw run, whatever its pieces; and where its blocks end, but for the LF of a CRLF. */
static trace raw(stream_sse *sse, const uint8_t *data, size_t len, size_t step) {
    trace t = {0, 0, 0};
    size_t at = 0, seen = 0;
    stream_item item;
    stream_status st;
    while (at < len) {
        size_t n = step < len - at ? step : len - at;
        FUZZ_CHECK(stream_sse_feed(sse, data + at, n) == STREAM_OK);
        while ((st = stream_sse_next(sse, &item)) != STREAM_MORE) {
            FUZZ_CHECK(st == STREAM_OK || st == STREAM_NOISE);
            FUZZ_CHECK(item.ptr == (const char *)data + seen && item.offset == seen);
            seen += item.len;
            if (st == STREAM_OK && item.kind == 0) {
                size_t end = seen;
                if (end >= 2 && item.len >= 2 && data[end - 2] == '\r' && data[end - 1] == '\n') end--;
                trace_add(&t, end);
                t.items++;
            }
        }
        at += n;
        FUZZ_CHECK(seen == at);
    }
    stream_sse_reset(sse);
    return t;
}

static bool breaks(stream_slice s) {
    return s.len && (memchr(s.ptr, '\n', s.len) || memchr(s.ptr, '\r', s.len) || memchr(s.ptr, '\0', s.len));
}

static void written(const uint8_t *data, size_t len, uint64_t retry) {
    size_t part = len / 4, n, i, k;
    stream_sse_event e;
    stream_sse sse;
    stream_item item;
    stream_status status;
    char *out, *lines;
    memset(&e, 0, sizeof e);
    e.data = stream_slice_of(data, len - 3 * part);
    e.event = stream_slice_of(data + len - 3 * part, part);
    e.id = stream_slice_of(data + len - 2 * part, part);
    e.comment = stream_slice_of(data + len - part, part);
    e.has_retry = (retry & 1) != 0;
    e.retry_ms = retry;
    status = stream_sse_write(&e, NULL, 0, &n);
    if (breaks(e.event) || breaks(e.id) || breaks(e.comment)) FUZZ_CHECK(status == STREAM_E_INVALID);
    else FUZZ_CHECK(status == STREAM_FULL);
    if (status != STREAM_FULL) return;
    FUZZ_CHECK(n <= 7 * len + 64);
    out = (char *)malloc(n);
    lines = (char *)malloc(e.data.len ? e.data.len : 1);
    if (!out || !lines) exit(1);
    FUZZ_CHECK(stream_sse_write(&e, out, n - 1, &k) == STREAM_FULL && k == n);
    FUZZ_CHECK(stream_sse_write(&e, out, n, &n) == STREAM_OK && n == k);
    for (i = k = 0; i < e.data.len; i++) { /* every line end comes back as LF */
        if (e.data.ptr[i] == '\n' && i && e.data.ptr[i - 1] == '\r') continue;
        lines[k++] = e.data.ptr[i] == '\r' ? '\n' : e.data.ptr[i];
    }
    FUZZ_CHECK(stream_sse_init(&sse, NULL) == STREAM_OK);
    stream_sse_feed(&sse, out, n);
    FUZZ_CHECK(stream_sse_next(&sse, &item) == STREAM_OK);
    FUZZ_CHECK(item.len == k && (k == 0 || memcmp(item.ptr, lines, k) == 0));
    FUZZ_CHECK(sse.event.event.len == part && (!part || memcmp(sse.event.event.ptr, e.event.ptr, part) == 0));
    FUZZ_CHECK(sse.event.id.len == part && (!part || memcmp(sse.event.id.ptr, e.id.ptr, part) == 0));
    FUZZ_CHECK(sse.event.has_retry == e.has_retry && (!e.has_retry || sse.event.retry_ms == e.retry_ms));
    FUZZ_CHECK(stream_sse_next(&sse, &item) == STREAM_MORE && stream_sse_open(&sse) == 0);
    stream_sse_free(&sse);
    free(lines);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    stream_sse_desc desc;
    stream_sse sse;
    heap h;
    trace whole, split;
    if (len <= 4) return 0;
    memset(&desc, 0, sizeof desc);
    if (data[0] & 1) desc.max_len = 1 + data[1] % 64;
    if (data[0] & 2) desc.max_field = 1 + data[1] / 16;
    desc.first_len = 1 + data[0] / 16;
    desc.allocator = fuzz_memory(&h, 0);
    FUZZ_CHECK(stream_sse_init(&sse, &desc) == STREAM_OK);
    whole = events(&sse, data + 4, len - 4, NULL, 0);
    split = events(&sse, data + 4, len - 4, data + 2, 2);
    FUZZ_CHECK(whole.sum == split.sum && whole.items == split.items);
    stream_sse_free(&sse);
    fuzz_memory_done(&h, 2 * (desc.max_len ? desc.max_len : 2 * len + 16) +
                             8 * (desc.max_field ? desc.max_field : 2 * len + 16));

    /* Where memory gives out, events are lost, and said to be; so are ids of events without data. */
    desc.allocator = fuzz_memory(&h, 1 + data[1] % 4);
    FUZZ_CHECK(stream_sse_init(&sse, &desc) == STREAM_OK);
    split = fuzz_run_as(stream_sse_decoder(&sse), data + 4, len - 4, data + 2, 2, false);
    FUZZ_CHECK(split.items >= whole.items);
    stream_sse_free(&sse);
    FUZZ_CHECK(h.live == 0 && h.blocks == 0 && !h.wrong);
    memset(&desc.allocator, 0, sizeof desc.allocator);

    desc.mode = STREAM_SSE_PIECES;
    FUZZ_CHECK(stream_sse_init(&sse, &desc) == STREAM_OK);
    whole = raw(&sse, data + 4, len - 4, len);
    split = raw(&sse, data + 4, len - 4, (size_t)data[2] + 1);
    FUZZ_CHECK(whole.sum == split.sum && whole.items == split.items);
    stream_sse_free(&sse);

    desc.mode = STREAM_SSE_BLOCKS;
    if (!memchr(data + 4, '\r', len - 4)) {
        FUZZ_CHECK(stream_sse_init(&sse, &desc) == STREAM_OK);
        whole = fuzz_run(stream_sse_decoder(&sse), data + 4, len - 4, NULL, 0);
        stream_sse_reset(&sse);
        split = fuzz_run(stream_sse_decoder(&sse), data + 4, len - 4, data + 2, 2);
        FUZZ_CHECK(whole.sum == split.sum && whole.items == split.items);
        stream_sse_free(&sse);
    }
    written(data + 4, len - 4, (uint64_t)data[1] << (data[0] & 56) | (data[0] & 1));
    if (len < 1000) as_the_standard_has_it(data + 4, len - 4);
    return 0;
}
