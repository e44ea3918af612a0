/* SPDX-License-Identifier: MIT-0
   stream_sse and stream_frame against naive references written from the standard and from the documentation,
   under every cut of the input; the encoder by reading back what it wrote.

   TEST_SCALE=percent scales the random parts (100 by default, 12 under a sanitizer), STREAM_SHARED says where
   the recordings are (../shared).

   Build: cc -std=c11 -pthread -I. tests/test_sse.c */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "test.h"
#include "cuts.h"

/* ==== the reference: the whole stream in memory, the standard read literally ========================== */

typedef struct value { /* a field's value, or none */
    char bytes[4096];
    size_t len;
    bool seen;
} value;

static void value_set(value *v, const char *ptr, size_t len) {
    if (len > sizeof v->bytes) abort();
    if (len) memcpy(v->bytes, ptr, len);
    v->len = len;
    v->seen = true;
}

static void note_value(notes *t, const char *name, const value *v, size_t max) {
    notes_add(t, " %s=", name);
    if (v->seen) notes_quote(t, v->bytes, v->len < max ? v->len : max);
    else notes_bytes(t, "-", 1);
}

typedef struct reference {
    value data, name, id, last;
    bool has_retry;
    uint64_t retry, block, data_at;
    size_t max_len, max_field;
} reference;

static void note_event(notes *t, const reference *r, stream_status status, unsigned flags) {
    notes_add(t, "%s", stream_status_text(status));
    note_value(t, "data", &r->data, r->max_len);
    if (r->name.len) note_value(t, "event", &r->name, r->max_field);
    else notes_add(t, " event=-");
    note_value(t, "id", &r->id, r->max_field);
    notes_add(t, " retry=%lld", r->has_retry ? (long long)r->retry : -1);
    notes_add(t, " last=");
    notes_quote(t, r->last.bytes, r->last.len);
    notes_add(t, " at=%llu size=%llu flags=%u\n", (unsigned long long)(r->data.seen ? r->data_at : r->block),
              (unsigned long long)r->data.len, flags);
}

static void reference_begin(reference *r, size_t block) {
    r->data.seen = r->name.seen = r->id.seen = false;
    r->data.len = r->name.len = r->id.len = 0;
    r->has_retry = false;
    r->block = block;
}

static void reference_field(reference *r, const char *line, size_t len, size_t at) {
    const char *colon = len ? (const char *)memchr(line, ':', len) : NULL;
    size_t name = colon ? (size_t)(colon - line) : len, from = colon ? name + 1 : len, i;
    if (from < len && line[from] == ' ') from++;
    if (name == 4 && memcmp(line, "data", 4) == 0) {
        if (!r->data.seen) r->data_at = at + from;
        if (r->data.seen) r->data.bytes[r->data.len++] = '\n';
        if (r->data.len + len - from >= sizeof r->data.bytes) abort();
        memcpy(r->data.bytes + r->data.len, line + from, len - from);
        r->data.len += len - from;
        r->data.seen = true;
    } else if (name == 5 && memcmp(line, "event", 5) == 0) {
        value_set(&r->name, line + from, len - from);
    } else if (name == 2 && memcmp(line, "id", 2) == 0) {
        if (!memchr(line + from, 0, len - from)) value_set(&r->id, line + from, len - from);
    } else if (name == 5 && memcmp(line, "retry", 5) == 0) {
        uint64_t number = 0;
        for (i = from; i < len && line[i] >= '0' && line[i] <= '9'; i++) {
            uint64_t digit = (uint64_t)(line[i] - '0');
            number = number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : number * 10 + digit;
        }
        if (i == len && len > from) {
            r->has_retry = true;
            r->retry = number;
        }
    }
}

/* What the end of the input leaves open: an event, or a line that could still have become part of one. */
static bool reference_open(const reference *r, const char *line, size_t len) {
    static const char *const name[] = {"data", "event", "id", "retry"};
    size_t i;
    if (r->data.seen || r->name.seen || r->id.seen) return true;
    for (i = 0; i < 4; i++) {
        size_t n = strlen(name[i]);
        if (len == 0) continue;
        if (len <= n ? memcmp(line, name[i], len) == 0 : memcmp(line, name[i], n) == 0 && line[n] == ':')
            return true;
    }
    return false;
}

static void reference_events(notes *t, const char *in, size_t n, size_t max_len, size_t max_field) {
    static reference r;
    size_t at = n >= 3 && memcmp(in, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0, end;
    memset(&r, 0, sizeof r);
    r.max_len = max_len;
    r.max_field = max_field;
    t->len = 0;
    reference_begin(&r, at);
    while (at < n) {
        for (end = at; end < n && in[end] != '\r' && in[end] != '\n';) end++;
        if (end == n) { /* the last line has no end */
            bool open = reference_open(&r, in + at, n - at);
            const char *line = in + at;
            size_t len = n - at;
            if ((len >= 5 && memcmp(line, "data:", 5) == 0) || (len >= 6 && memcmp(line, "event:", 6) == 0))
                reference_field(&r, line, len, at); /* as much of the value as has come */
            if (open) note_event(t, &r, STREAM_E_TRUNCATED, 0);
            return;
        }
        if (end > at) {
            reference_field(&r, in + at, end - at, at);
        } else {
            bool long_id = r.id.seen && r.id.len > max_field;
            if (r.id.seen && !long_id) value_set(&r.last, r.id.bytes, r.id.len);
            if (long_id || (r.data.seen && (r.name.len > max_field || r.data.len > max_len)))
                note_event(t, &r, STREAM_E_TOO_LONG, 0);
            else if (r.data.seen)
                note_event(t, &r, STREAM_OK, 0);
        }
        {
            size_t next = end + 1;
            if (in[end] == '\r' && next < n && in[next] == '\n') next++;
            if (end == at) reference_begin(&r, next);
            at = next;
        }
    }
    if (reference_open(&r, "", 0)) note_event(t, &r, STREAM_E_TRUNCATED, STREAM_UNTERMINATED);
}

/* ==== the decoder's own words ========================================================================== */

static void note_slice(notes *t, const char *name, stream_slice s) {
    notes_add(t, " %s=", name);
    notes_quote(t, s.ptr, s.len);
}

static void say_event(notes *t, void *self, stream_status status, const stream_item *item) {
    const stream_sse *sse = (const stream_sse *)self;
    notes_add(t, "%s", stream_status_text(status));
    note_slice(t, "data", sse->event.data);
    note_slice(t, "event", sse->event.event);
    note_slice(t, "id", sse->event.id);
    notes_add(t, " retry=%lld", sse->event.has_retry ? (long long)sse->event.retry_ms : -1);
    notes_add(t, " last=");
    {
        stream_slice last = stream_sse_last_id(sse);
        notes_quote(t, last.len ? last.ptr : "", last.len);
    }
    notes_add(t, " at=%llu size=%llu flags=%u\n", (unsigned long long)item->offset,
              (unsigned long long)item->size,
              (unsigned)(item->flags & ~(uint32_t)STREAM_COPIED));
    if (item->ptr != sse->event.data.ptr || item->len != sse->event.data.len)
        CHECK(false && "the item is the data");
    if (status < 0) CHECK(sse->error != NULL);
    if (item->kind) CHECK_EQ(item->kind, 0);
}

static void sse_restart(void *self) {
    stream_sse *sse = (stream_sse *)self;
    stream_sse_reset(sse);
    if (stream_sse_set_last_id(sse, "", 0) != STREAM_OK) CHECK(false && "an empty id is refused");
    sse->has_retry = false;
}

static subject sse_subject(stream_sse *sse) {
    subject s;
    memset(&s, 0, sizeof s);
    s.decoder = stream_sse_decoder(sse);
    s.reset = sse_restart;
    s.say = say_event;
    s.scanned = offsetof(stream_sse, scanned) + 1;
    return s;
}

static void check_events(const stream_sse_desc *desc, size_t max_len, size_t max_field, const char *in,
                         size_t n) {
    static notes want;
    stream_sse sse;
    subject s;
    CHECK_EQ(stream_sse_init(&sse, desc), STREAM_OK);
    s = sse_subject(&sse);
    reference_events(&want, in, n, max_len, max_field);
    CUTS_CHECK(&s, in, n, &want);
    notes_free(&s.got);
    stream_sse_free(&sse);
}

/* ==== cases ============================================================================================= */

static const sample corpus[] = {
    SAMPLE(""),
    SAMPLE("\n"),
    SAMPLE("\r"),
    SAMPLE("\r\n"),
    SAMPLE("\n\n\r\r\r\n\r\n"),
    SAMPLE("data: a\n\n"),
    SAMPLE("data: a\r\r"),
    SAMPLE("data: a\r\n\r\n"),
    SAMPLE("data: a\r\n\n"),
    SAMPLE("data: a\n\r\n"),
    SAMPLE("data: a\r\rdata: b\r\n\r\ndata: c\n\n"),
    SAMPLE("data:a\n\ndata: a\n\ndata:  a\n\ndata:\ta\n\ndata :a\n\n"),
    SAMPLE("data\n\ndata\ndata\n\ndata:\n\ndata: \n\ndata:\ndata:\ndata:x\n\n"),
    SAMPLE("data: YHOO\ndata: +2\ndata: 10\n\n"),
    SAMPLE(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n"),
    SAMPLE("event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n"),
    SAMPLE("event: a\nevent: b\ndata: x\n\ndata: y\n\nevent:\ndata: z\n\nevent: c\n\ndata: w\n\n"),
    SAMPLE("event\ndata: x\n\nevent: a\nevent\ndata: y\n\n"),
    SAMPLE("id: 1\ndata: x\n\ndata: y\n\nid: 2\n\ndata: z\n\nid\ndata: none\n\n"),
    SAMPLE("id: 1\nid: 2\ndata: x\n\nid: 3\nid: 4\0\ndata: y\n\nid: \0\ndata: z\n\nid: 5\0"),
    SAMPLE("id: a\0b\nid:ok\ndata: x\n\n"),
    SAMPLE("retry: 1000\ndata: x\n\nretry: 10x\ndata: y\n\nretry:\ndata: z\n\nretry: -1\n\nretry\n\nretry: 99\n\n"),
    SAMPLE("retry: 18446744073709551615\ndata: x\n\nretry: 18446744073709551616\ndata: y\n\nretry:  5\ndata: z\n\n"),
    SAMPLE("retry: 007\nretry: 8\nretry: 9 \ndata: x\n\nretry: 12"),
    SAMPLE("\xEF\xBB\xBF" "data: x\n\n"),
    SAMPLE("\xEF\xBB\xBF\xEF\xBB\xBF" "data: x\n\ndata: y\n\n"),
    SAMPLE("\xEF\xBB" "data: x\n\ndata: y\n\n"),
    SAMPLE("\xEF" "data: x\n\ndata: y\n\n"),
    SAMPLE("\xEF\xBB\ndata: y\n\n"),
    SAMPLE("\xEF\xBB\xBF"),
    SAMPLE("\xEF\xBB\xBF\n\ndata: y\n\n"),
    SAMPLE("\xEF\xBB\xBF\r\ndata: y\r\n\r\n"),
    SAMPLE("\n\xEF\xBB\xBF" "data: y\n\ndata: z\n\n"),
    SAMPLE("Data: x\nDATA: y\n\ndat: x\n\ndataa: x\n\nevents: x\ndata: z\n\nretry2: 5\n\n"),
    SAMPLE("unknown: x\nunknown\n:\n: \n::\n:data: x\ndata: real\n\n"),
    SAMPLE(":\n:\n\n:\n\n: ping\n\n"),
    SAMPLE("data: x"),
    SAMPLE("data: x\n"),
    SAMPLE("data: x\r"),
    SAMPLE("data: x\r\n"),
    SAMPLE("data: x\n\ndata: y\nda"),
    SAMPLE("data: x\n\nd"),
    SAMPLE("data: x\n\ndataa"),
    SAMPLE("data: x\n\n: comment"),
    SAMPLE("data: x\n\nfoo: comment"),
    SAMPLE("data: x\n\nfoo: comment\n"),
    SAMPLE("data: x\n\nevent: y\n"),
    SAMPLE("data: x\n\nevent"),
    SAMPLE("data: x\n\nevent: unfin"),
    SAMPLE("data: x\n\nid: 7\n"),
    SAMPLE("data: x\n\nid: 7"),
    SAMPLE("data: x\n\nretry: 7"),
    SAMPLE("data: x\n\nretry: 7\n"),
    SAMPLE("data: \0\n\ndata:\0\0\ndata\0: x\n\n"),
    SAMPLE("data: a:b:c\nid: x:y\nevent: :\n\n"),
    SAMPLE("data: \xff\xfe\xc3\n\ndata: \xe2\x80\xa8\xc2\x85\v\f\n\n"),
    SAMPLE("data: 12345678\n\ndata: 123456789\n\ndata: 1234567\n\n"),
    SAMPLE("data: 1234\ndata: 567\n\ndata: 1234\ndata: 5678\n\ndata: 12345678\ndata\n\n"),
    SAMPLE("id: 1234567\ndata: x\n\nid: 12345\ndata: y\n\nid: 123456789\n\ndata: z\n\n"),
    SAMPLE("event: 1234567\ndata: x\n\nevent: 123456789\n\nevent: 123\ndata: y\n\n"),
    SAMPLE("event: 123456789\nid: 123456789\ndata: 123456789\nretry: 5\n\ndata: fine\n\n"),
    SAMPLE("id: 123456789\nid: 3\ndata: x\n\n"),
    SAMPLE("data: 123456789 123456789\nda"),
};

static void events_are_the_standards_under_every_cut(void) {
    size_t i;
    for (i = 0; i < COUNT(corpus); i++) check_events(NULL, 1 << 20, 1024, corpus[i].ptr, corpus[i].len);
}

static void limits_lose_one_event_and_no_more(void) {
    static const size_t limits[][2] = {{1, 1}, {2, 3}, {7, 5}, {8, 6}, {9, 7}, {40, 8}};
    size_t i, k;
    for (k = 0; k < COUNT(limits); k++) {
        stream_sse_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.max_len = limits[k][0];
        desc.max_field = limits[k][1];
        desc.first_len = 1;
        for (i = 0; i < COUNT(corpus); i++)
            check_events(&desc, desc.max_len, desc.max_field, corpus[i].ptr, corpus[i].len);
    }
}

static void fixed_memory_gives_the_same(void) {
    char memory[100];
    size_t i;
    for (i = 0; i < COUNT(corpus); i++) {
        stream_sse_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.memory = memory;
        desc.memory_len = 32;
        check_events(&desc, 16, 4, corpus[i].ptr, corpus[i].len);
        desc.memory_len = 100;
        desc.max_field = 8;
        check_events(&desc, 68, 8, corpus[i].ptr, corpus[i].len);
        desc.memory_len = 8;
        desc.max_field = 0;
        check_events(&desc, 4, 1, corpus[i].ptr, corpus[i].len);
    }
}

/* Pieces that mean something, put together without sense. */
static size_t random_stream(uint64_t *seed, char *to, size_t pieces) {
    static const sample part[] = {
        SAMPLE("data"), SAMPLE("data:"), SAMPLE("data: "), SAMPLE("event: "), SAMPLE("id:"), SAMPLE("id: "),
        SAMPLE("retry: "), SAMPLE("\n"), SAMPLE("\n"), SAMPLE("\n\n"), SAMPLE("\r"), SAMPLE("\r\n"), SAMPLE("\r\n\r\n"),
        SAMPLE(":"), SAMPLE(" "), SAMPLE("x"), SAMPLE("7"), SAMPLE("\0"), SAMPLE("\xEF\xBB\xBF"), SAMPLE("\xEF"),
        SAMPLE("text of some length"), SAMPLE("eventid"), SAMPLE("\n\ndata: "), SAMPLE("\r\r"), SAMPLE("d"), SAMPLE("\xE2\x80\xA8"),
    };
    size_t len = 0;
    while (pieces--) {
        const sample *p = &part[below(seed, COUNT(part))];
        memcpy(to + len, p->ptr, p->len);
        len += p->len;
    }
    return len;
}

static void random_streams_match_the_reference(void) {
    uint64_t seed = 0x55e1;
    size_t turns = scaled(1500), i;
    static char in[4096];
    for (i = 0; i < turns; i++) {
        size_t n = random_stream(&seed, in, 1 + below(&seed, i % 10 ? 14 : 150));
        stream_sse_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.max_len = 1 + below(&seed, 30);
        desc.max_field = 1 + below(&seed, 12);
        desc.first_len = 1 + below(&seed, 8);
        if (i % 3) check_events(NULL, 1 << 20, 1024, in, n);
        else check_events(&desc, desc.max_len, desc.max_field, in, n);
    }
}

/* The same stream with each of the three line ends has the same events. */
static void line_ends_make_no_difference(void) {
    static const char *const ends[] = {"\n", "\r", "\r\n"};
    static const char text[] = "event: e|id: 1|data: one|data: two||: c||data: three||retry: 5|id: 2||data||";
    notes want = {NULL, 0, 0}, got = {NULL, 0, 0};
    size_t i, k;
    for (k = 0; k < 3; k++) {
        char in[256];
        size_t n = 0;
        stream_sse sse;
        stream_item item;
        for (i = 0; i < sizeof text - 1; i++) {
            const char *put = ends[k];
            if (text[i] != '|') in[n++] = text[i];
            else while (*put) in[n++] = *put++;
        }
        got.len = 0;
        CHECK_EQ(stream_sse_init(&sse, NULL), STREAM_OK);
        stream_sse_feed(&sse, in, n);
        while (stream_sse_next(&sse, &item) == STREAM_OK) {
            item.offset = item.size = 0;
            say_event(&got, &sse, STREAM_OK, &item);
        }
        stream_sse_free(&sse);
        if (k == 0) notes_bytes(&want, got.ptr, got.len);
        CHECK(want.len > 100);
        CHECK_BYTES(got.ptr, got.len, want.ptr, want.len);
    }
    notes_free(&want);
    notes_free(&got);
}

/* What a blank line ends is handed out by the call that sees its last byte: CR is not made to wait for LF. */
static void nothing_waits_for_a_byte_that_may_not_come(void) {
    static const char *const ends[] = {"\n\n", "\r\r", "\r\n\r", "\n\r", "\r\n\n"};
    size_t i;
    for (i = 0; i < COUNT(ends); i++) {
        stream_sse sse;
        stream_item item;
        size_t n = strlen(ends[i]);
        CHECK_EQ(stream_sse_init(&sse, NULL), STREAM_OK);
        stream_sse_feed(&sse, "data: x", 7);
        CHECK_EQ(stream_sse_next(&sse, &item), STREAM_MORE);
        stream_sse_feed(&sse, ends[i], n - 1);
        CHECK_EQ(stream_sse_next(&sse, &item), STREAM_MORE);
        CHECK(stream_sse_open(&sse) > 0);
        stream_sse_feed(&sse, ends[i] + n - 1, 1);
        CHECK_EQ(stream_sse_next(&sse, &item), STREAM_OK);
        CHECK_TEXT(item.ptr, item.len, "x");
        CHECK_EQ(stream_sse_next(&sse, &item), STREAM_MORE);
        CHECK_EQ(stream_sse_open(&sse), 0);
        stream_sse_feed(&sse, "\n", 1); /* LF of a CRLF, or another blank line: nothing either way */
        CHECK_EQ(stream_sse_next(&sse, &item), STREAM_MORE);
        CHECK_EQ(stream_sse_open(&sse), 0);
        stream_sse_free(&sse);
    }
}

static void events_whole_in_the_loan_are_slices_of_it(void) {
    static const char in[] = "event: e\nid: 4\nretry: 1\n: c\ndata: one\n\ndata: a\ndata: b\n\n";
    heap h;
    stream_sse sse;
    stream_sse_desc desc;
    stream_item item;
    memset(&h, 0, sizeof h);
    memset(&desc, 0, sizeof desc);
    desc.allocator = heap_hook(&h);
    CHECK_EQ(stream_sse_init(&sse, &desc), STREAM_OK);
    stream_sse_feed(&sse, in, sizeof in - 1);
    CHECK_EQ(stream_sse_next(&sse, &item), STREAM_OK);
    CHECK(item.ptr == strstr(in, "one"));
    CHECK_EQ(item.flags, 0);
    CHECK(sse.event.event.ptr == in + 7);
    CHECK_EQ(h.requests, 1); /* the last event id, which outlives the loan */
    CHECK_EQ(stream_sse_next(&sse, &item), STREAM_OK);
    CHECK_TEXT(item.ptr, item.len, "a\nb");
    CHECK_EQ(item.flags, STREAM_COPIED);
    CHECK_EQ(stream_sse_next(&sse, &item), STREAM_MORE);
    stream_sse_free(&sse);
    CHECK_EQ(h.live, 0);
    CHECK(!h.wrong);
}

static void the_last_id_outlives_a_reconnect(void) {
    stream_sse sse;
    stream_item item;
    CHECK_EQ(stream_sse_init(&sse, NULL), STREAM_OK);
    CHECK_EQ(stream_sse_last_id(&sse).len, 0);
    CHECK_EQ(stream_sse_set_last_id(&sse, "kept", 4), STREAM_OK);
    stream_sse_feed(&sse, "data: x\n\n", 9);
    CHECK_EQ(stream_sse_next(&sse, &item), STREAM_OK);
    CHECK(sse.event.id.ptr == NULL);
    CHECK_TEXT(stream_sse_last_id(&sse).ptr, stream_sse_last_id(&sse).len, "kept");
    CHECK_EQ(stream_sse_next(&sse, &item), STREAM_MORE);
    stream_sse_feed(&sse, "id: 9\nretry: 250\n\nid: 10\ndata: cut", 34);
    CHECK_EQ(stream_sse_next(&sse, &item), STREAM_MORE);
    stream_sse_finish(&sse);
    CHECK_EQ(stream_sse_next(&sse, &item), STREAM_E_TRUNCATED);
    CHECK_TEXT(sse.event.id.ptr, sse.event.id.len, "10");
    CHECK_EQ(stream_sse_next(&sse, &item), STREAM_END);
    stream_sse_reset(&sse); /* the id of the event that was cut does not count */
    CHECK_TEXT(stream_sse_last_id(&sse).ptr, stream_sse_last_id(&sse).len, "9");
    CHECK(sse.has_retry && sse.retry_ms == 250);
    stream_sse_feed(&sse, "\xEF\xBB\xBFid\n\n", 7);
    CHECK_EQ(stream_sse_next(&sse, &item), STREAM_MORE);
    CHECK_EQ(stream_sse_last_id(&sse).len, 0);
    CHECK_EQ(stream_sse_set_last_id(&sse, "a\nb", 3), STREAM_E_INVALID);
    CHECK_EQ(stream_sse_set_last_id(&sse, "a\rb", 3), STREAM_E_INVALID);
    CHECK_EQ(stream_sse_set_last_id(&sse, "a\0b", 3), STREAM_E_INVALID);
    {
        static char longest[1025];
        memset(longest, 'i', sizeof longest);
        CHECK_EQ(stream_sse_set_last_id(&sse, longest, 1025), STREAM_E_TOO_LONG);
        CHECK_EQ(stream_sse_set_last_id(&sse, longest, 1024), STREAM_OK);
        CHECK_EQ(stream_sse_last_id(&sse).len, 1024);
    }
    stream_sse_free(&sse);
}

/* Every request for memory refused in turn: one event is lost and said to be, what was known stays known. */
static void refused_memory_loses_one_event(void) {
    static const char *const part[] = {"event: na", "me\nid: 1", "2\ndata: o", "ne\ndata: two\n",
                                       "\nid: 77777777",
                                       "777777777777777777777777777777777777777777777777777777777777777777777\n",
                                       "data: three\n\n", "data: four", "\n\n", "id: 5\n\ndata: five\n\n"};
    size_t fail, from, i;
    for (from = 0; from < 2; from++) {
        for (fail = 1; fail < 20; fail++) {
            heap h;
            stream_sse sse;
            stream_sse_desc desc;
            stream_item item;
            stream_status st;
            size_t lost = 0, good = 0, other = 0, ids = 0;
            memset(&h, 0, sizeof h);
            memset(&desc, 0, sizeof desc);
            desc.allocator = heap_hook(&h);
            desc.first_len = 2;
            h.fail_at = fail;
            h.fail_from = from != 0;
            CHECK_EQ(stream_sse_init(&sse, &desc), STREAM_OK);
            for (i = 0; i < COUNT(part); i++) {
                char copy[100];
                size_t n = strlen(part[i]);
                memcpy(copy, part[i], n);
                CHECK_EQ(stream_sse_feed(&sse, copy, n), STREAM_OK);
                while ((st = stream_sse_next(&sse, &item)) != STREAM_MORE) {
                    if (st == STREAM_OK) {
                        good++;
                        CHECK((item.len == 7 && memcmp(item.ptr, "one\ntwo", 7) == 0 &&
                               sse.event.id.len == 2) ||
                              (item.len == 5 && memcmp(item.ptr, "three", 5) == 0 &&
                               sse.event.id.len > 60) ||
                              (item.len == 4 && memcmp(item.ptr, "four", 4) == 0) ||
                              (item.len == 4 && memcmp(item.ptr, "five", 4) == 0));
                    } else if (st == STREAM_E_NOMEM) {
                        lost++;
                        ids += item.size == 0; /* `id: 5`, which has no data */
                        CHECK(sse.error != NULL);
                    } else {
                        other++;
                    }
                }
                memset(copy, '\n', sizeof copy);
            }
            CHECK_EQ(other, 0);
            if (h.requests < fail) CHECK_EQ(lost, 0);
            else if (!from) CHECK_EQ(lost, 1);
            CHECK_EQ(good + lost, 4 + ids);
            if (good && !from) CHECK(stream_sse_last_id(&sse).len > 0);
            stream_sse_free(&sse);
            CHECK_EQ(h.live, 0);
            CHECK(!h.wrong);
        }
    }
}

/* A stream of any length, in fragments, with events over the limit: memory stays under the limits. */
static void memory_stays_under_the_limits(void) {
    heap h;
    stream_sse sse;
    stream_sse_desc desc;
    stream_item item;
    uint64_t seed = 99;
    size_t i, warm;
    static char in[1 << 14];
    memset(&h, 0, sizeof h);
    memset(&desc, 0, sizeof desc);
    desc.allocator = heap_hook(&h);
    desc.max_len = 3000;
    desc.max_field = 100;
    CHECK_EQ(stream_sse_init(&sse, &desc), STREAM_OK);
    for (i = 0; i < 6; i++) { /* each of the buffers for ids comes to its full size, as they take turns */
        static char longest[1200];
        memset(longest, 'x', sizeof longest);
        memcpy(longest, "id: ", 4);
        memcpy(longest + 104, "\nevent: ", 8);
        memcpy(longest + 212, "\ndata: ", 7);
        stream_sse_feed(&sse, longest, 50);
        while (stream_sse_next(&sse, &item) != STREAM_MORE) continue;
        stream_sse_feed(&sse, longest + 50, 1150);
        while (stream_sse_next(&sse, &item) != STREAM_MORE) continue;
        stream_sse_feed(&sse, "\n\n", 2);
        CHECK_EQ(stream_sse_next(&sse, &item), STREAM_OK);
        while (stream_sse_next(&sse, &item) != STREAM_MORE) continue;
    }
    warm = h.requests;
    for (i = 0; i < scaled(20000); i++) {
        size_t n = random_stream(&seed, in, 1 + below(&seed, 60));
        if (i % 50 == 7) {
            memset(in, 'x', sizeof in); /* the middle of something endless */
            n = sizeof in;
        }
        CHECK_EQ(stream_sse_feed(&sse, in, n), STREAM_OK);
        while (stream_sse_next(&sse, &item) != STREAM_MORE) continue;
    }
    CHECK(h.peak <= 3000 + 3000 / 2 + 4 * 100 + 100); /* while it grows, the old buffer is there as well */
    CHECK_EQ(h.requests, warm);
    stream_sse_free(&sse);
    CHECK_EQ(h.live, 0);
}

static void a_desc_that_cannot_be_meant_is_refused(void) {
    stream_sse sse;
    stream_sse_desc desc;
    char memory[16];
    memset(&desc, 0, sizeof desc);
    desc.max_len = SIZE_MAX / 4 + 1;
    CHECK_EQ(stream_sse_init(&sse, &desc), STREAM_E_ARGUMENT);
    desc.max_len = 0;
    desc.max_field = SIZE_MAX / 4 + 1;
    CHECK_EQ(stream_sse_init(&sse, &desc), STREAM_E_ARGUMENT);
    desc.max_field = 0;
    desc.memory = memory;
    desc.memory_len = 7;
    CHECK_EQ(stream_sse_init(&sse, &desc), STREAM_E_ARGUMENT);
    desc.memory_len = 16;
    desc.max_field = 4;
    CHECK_EQ(stream_sse_init(&sse, &desc), STREAM_E_ARGUMENT);
    desc.max_field = 3;
    CHECK_EQ(stream_sse_init(&sse, &desc), STREAM_OK);
    stream_sse_free(&sse);
    memset(&sse, 0, sizeof sse);
    stream_sse_free(&sse);
}

/* ==== raw modes =========================================================================================
   The LF of a CRLF that ends a block goes with the block or comes as noise, depending on the cut: it is left
   out of the notes, and of the reference's. */

static void reference_blocks(notes *t, const char *in, size_t n, size_t max_len, bool pieces) {
    size_t block = 0, at = n >= 3 && memcmp(in, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0, end, next, shown;
    bool real = false;
    t->len = 0;
    for (; at < n; at = next) {
        for (end = at; end < n && in[end] != '\r' && in[end] != '\n';) end++;
        if (end > at && in[at] != ':' && !(end == n && at == 0 && n < 3 && memcmp(in, "\xEF\xBB\xBF",
                                                                                  n) == 0)) real = true;
        next = end + (end < n);
        if (end < n && in[end] == '\r' && next < n && in[next] == '\n') next++;
        if (end > at) continue;
        shown = end + 1 - block;
        if (pieces) {
            notes_quote(t, in + block, shown);
            notes_add(t, "|\n");
        } else {
            notes_add(t, "%s at=%zu size=%zu flags=0 ", shown > max_len ? "long" : "ok", block, shown);
            notes_quote(t, in + block, shown < max_len ? shown : max_len);
            notes_add(t, "\n");
        }
        block = next;
        real = false;
    }
    if (block == n) return;
    shown = n - block;
    if (pieces) {
        notes_quote(t, in + block, shown);
        if (real) notes_add(t, "cut at=%zu size=%zu\n", block, shown);
    } else {
        notes_add(t, "%s at=%zu size=%zu flags=%d ", real ? "cut" : shown > max_len ? "long" : "ok", block,
                  shown,
                  real ? 0 : STREAM_UNTERMINATED);
        notes_quote(t, in + block, shown < max_len ? shown : max_len);
        notes_add(t, "\n");
    }
}

static void say_block(notes *t, void *self, stream_status status, const stream_item *item) {
    const stream_sse *sse = (const stream_sse *)self;
    bool crlf = item->len >= 2 && item->len == item->size && memcmp(item->ptr + item->len - 2, "\r\n",
                                                                    2) == 0;
    uint64_t size = item->size - crlf;
    if (item->flags & STREAM_UNTERMINATED || status == STREAM_E_TRUNCATED) crlf = false, size = item->size;
    if (status == STREAM_NOISE) {
        if (item->len != 1 || *item->ptr != '\n' || item->size != 1) CHECK(false && "noise that is no LF");
        return;
    }
    if (status < 0) CHECK(sse->error != NULL);
    notes_add(t, "%s at=%llu size=%llu flags=%u ",
              status == STREAM_OK ? "ok" : status == STREAM_E_TOO_LONG ? "long" : "cut",
              (unsigned long long)item->offset, (unsigned long long)size, (unsigned)(item->flags & ~(uint32_t)STREAM_COPIED));
    notes_quote(t, item->ptr ? item->ptr : "", item->len - crlf);
    notes_add(t, "\n");
}

/* Pieces of one block are put together. */
static void say_piece(notes *t, void *self, stream_status status, const stream_item *item) {
    static bool open;
    (void)self;
    if (t->len == 0 || t->ptr[t->len - 1] == '\n') open = false;
    if (status == STREAM_NOISE) return;
    if (status != STREAM_OK) {
        notes_add(t, "cut at=%llu size=%llu\n", (unsigned long long)item->offset,
                  (unsigned long long)item->size);
        return;
    }
    if (item->size != item->len || item->flags) CHECK(false && "a piece is all there is");
    if (open) t->len--; /* the bracket */
    else notes_bytes(t, "[", 1);
    {
        bool whole = item->kind != STREAM_SSE_PART;
        bool crlf = whole && item->len >= 2 && memcmp(item->ptr + item->len - 2, "\r\n", 2) == 0;
        notes piece = {NULL, 0, 0};
        notes_quote(&piece, item->ptr, item->len - crlf);
        notes_bytes(t, piece.ptr + 1, piece.len - 1);
        notes_free(&piece);
        if (whole) notes_add(t, "|\n");
        open = !whole;
    }
}

static void check_raw(const char *in, size_t n, size_t max_len) {
    static notes want;
    stream_sse_desc desc;
    stream_sse sse;
    subject s;
    size_t cut;
    memset(&desc, 0, sizeof desc);
    desc.mode = STREAM_SSE_BLOCKS;
    desc.max_len = max_len;
    desc.first_len = 2;
    /* A long block's CRLF is not in its head, so its size tells of the cut: there only LF is exact. */
    if (n < max_len || !memchr(in, '\r', n)) {
        CHECK_EQ(stream_sse_init(&sse, &desc), STREAM_OK);
        s = sse_subject(&sse);
        s.say = say_block;
        reference_blocks(&want, in, n, max_len, false);
        CUTS_CHECK(&s, in, n, &want);
        notes_free(&s.got);
        stream_sse_free(&sse);
    }
    desc.mode = STREAM_SSE_PIECES;
    desc.max_len = 1;
    CHECK_EQ(stream_sse_init(&sse, &desc), STREAM_OK);
    s = sse_subject(&sse);
    s.say = say_piece;
    reference_blocks(&want, in, n, 0, true);
    CUTS_CHECK(&s, in, n, &want);
    notes_free(&s.got);
    /* All bytes, none twice, none held: piece for piece they are the loan's. */
    for (cut = 0; cut <= n && n < 2000; cut++) {
        size_t part, at = 0;
        stream_sse_reset(&sse);
        for (part = 0; part < 2; part++) {
            stream_item item;
            stream_status st;
            CHECK_EQ(stream_sse_feed(&sse, in + at, part ? n - cut : cut), STREAM_OK);
            while ((st = stream_sse_next(&sse, &item)) != STREAM_MORE) {
                CHECK(st == STREAM_OK || st == STREAM_NOISE);
                CHECK(item.ptr == in + at);
                CHECK_EQ(item.offset, at);
                at += item.len;
            }
            CHECK_EQ(at, part ? n : cut);
        }
    }
    stream_sse_free(&sse);
}

static void raw_modes_cut_behind_blank_lines_and_leave_the_bytes_alone(void) {
    static const size_t limits[] = {1, 2, 3, 8, 40, 1000};
    uint64_t seed = 0x4a37;
    size_t i, k;
    static char in[4096];
    for (i = 0; i < COUNT(corpus); i++)
        for (k = i % 2; k < COUNT(limits); k += 2) check_raw(corpus[i].ptr, corpus[i].len, limits[k]);
    for (i = 0; i < scaled(300); i++) {
        size_t n = random_stream(&seed, in, 1 + below(&seed, 12));
        check_raw(in, n, 1 + below(&seed, 40));
        check_raw(in, n, 5000);
    }
}

static void raw_blocks_survive_refused_memory(void) {
    heap h;
    stream_sse sse;
    stream_sse_desc desc;
    stream_item item;
    memset(&h, 0, sizeof h);
    memset(&desc, 0, sizeof desc);
    desc.mode = STREAM_SSE_BLOCKS;
    desc.allocator = heap_hook(&h);
    h.fail_at = 1;
    CHECK_EQ(stream_sse_init(&sse, &desc), STREAM_OK);
    CHECK_EQ(stream_sse_set_last_id(&sse, "x", 1), STREAM_E_TOO_LONG); /* ids are not its business */
    stream_sse_feed(&sse, "data: x\n", 8);
    CHECK_EQ(stream_sse_next(&sse, &item), STREAM_MORE);
    stream_sse_feed(&sse, "\ndata: y\n\n", 10);
    CHECK_EQ(stream_sse_next(&sse, &item), STREAM_E_NOMEM);
    CHECK_EQ(item.size, 9);
    CHECK_EQ(stream_sse_next(&sse, &item), STREAM_OK);
    CHECK_TEXT(item.ptr, item.len, "data: y\n\n");
    CHECK_EQ(item.offset, 9);
    stream_sse_free(&sse);
    CHECK_EQ(h.live, 0);
}

/* ==== the encoder ======================================================================================= */

static void check_written(const stream_sse_event *e, const char *want) {
    char out[512];
    size_t len, needed, cap;
    memset(out, '#', sizeof out);
    CHECK_EQ(stream_sse_write(e, out, sizeof out, &len), STREAM_OK);
    CHECK_TEXT(out, len, want);
    for (cap = 0; cap < len; cap++) {
        memset(out, '#', sizeof out);
        CHECK_EQ(stream_sse_write(e, out, cap, &needed), STREAM_FULL);
        CHECK_EQ(needed, len);
        CHECK_EQ(out[0], '#');
    }
    CHECK_EQ(stream_sse_write(e, out, len, &needed), STREAM_OK);
    CHECK_EQ(out[len], '#');
}

static void events_are_written_as_documented(void) {
    stream_sse_event e;
    memset(&e, 0, sizeof e);
    check_written(&e, "");
    e.data = stream_slice_text("");
    check_written(&e, "data:\n\n");
    e.data = stream_slice_text("one");
    check_written(&e, "data: one\n\n");
    e.data = stream_slice_text(" one\ntwo\rthree\r\nfour\n\rfive\n");
    check_written(&e, "data:  one\ndata: two\ndata: three\ndata: four\ndata:\ndata: five\ndata:\n\n");
    e.data = stream_slice_text("\r");
    check_written(&e, "data:\ndata:\n\n");
    e.data = stream_slice_text("x");
    e.event = stream_slice_text("delta");
    e.id = stream_slice_text("42");
    e.comment = stream_slice_text("note");
    e.has_retry = true;
    e.retry_ms = UINT64_MAX;
    check_written(&e, ": note\nevent: delta\nid: 42\nretry: 18446744073709551615\ndata: x\n\n");
    e.data = e.event = e.comment = stream_slice_of(NULL, 0);
    e.id = stream_slice_text("");
    e.retry_ms = 0;
    check_written(&e, "id:\nretry: 0\n\n");
    memset(&e, 0, sizeof e);
    e.comment = stream_slice_text("");
    check_written(&e, ":\n\n");
}

static void nothing_can_be_injected(void) {
    static const sample bad[] = {SAMPLE("\n"), SAMPLE("\r"), SAMPLE("\r\n"), SAMPLE("\0"),
                                 SAMPLE("a\ndata: x"),
                                 SAMPLE("a\rdata: x"), SAMPLE("a\0b"), SAMPLE("a\n"), SAMPLE("a\r\n\r\n")};
    size_t i, len = 1;
    char out[100];
    for (i = 0; i < COUNT(bad); i++) {
        stream_sse_event e;
        memset(&e, 0, sizeof e);
        e.data = stream_slice_text("x");
        e.event = stream_slice_of(bad[i].ptr, bad[i].len);
        CHECK_EQ(stream_sse_write(&e, out, sizeof out, &len), STREAM_E_INVALID);
        CHECK_EQ(len, 0);
        e.event = stream_slice_of(NULL, 0);
        e.id = stream_slice_of(bad[i].ptr, bad[i].len);
        CHECK_EQ(stream_sse_write(&e, out, sizeof out, &len), STREAM_E_INVALID);
        e.id = stream_slice_of(NULL, 0);
        e.comment = stream_slice_of(bad[i].ptr, bad[i].len);
        CHECK_EQ(stream_sse_write(&e, out, sizeof out, &len), STREAM_E_INVALID);
    }
}

/* Any bytes at all: what is not refused comes back as exactly one event, equal but for CR and CRLF in data. */
static void what_is_written_reads_back(void) {
    static const char set[] = {'\r', '\n', '\0', ':', ' ', 'a', 'd', 'i', '\xEF', '\xBB', '\xBF', '7'};
    uint64_t seed = 0xe4c;
    size_t turn, i, written = 0;
    for (turn = 0; turn < scaled(40000); turn++) {
        char field[4][24], out[600], want[24];
        size_t n[4], len, room, w = 0;
        stream_sse_event e;
        stream_sse sse;
        stream_item item;
        for (i = 0; i < 4; i++) {
            n[i] = below(&seed, sizeof field[i]);
            for (len = 0; len < n[i]; len++) {
                field[i][len] = set[below(&seed, sizeof set)];
                if (i && (turn & 3) && strchr("\r\n", field[i][len])) field[i][len] = 'x'; /* NUL included */
            }
        }
        memset(&e, 0, sizeof e);
        e.data = stream_slice_of(field[0], n[0]);
        if (turn & 4) e.event = stream_slice_of(field[1], n[1]);
        if (turn & 8) e.id = stream_slice_of(field[2], n[2]);
        if (turn & 16) e.comment = stream_slice_of(field[3], n[3]);
        e.has_retry = turn & 32;
        e.retry_ms = test_random(&seed);
        if (stream_sse_write(&e, out, sizeof out, &len) != STREAM_OK) continue;
        written++;
        CHECK(len <= 7 * (n[0] + e.event.len + e.id.len + e.comment.len) + 64);
        for (i = 0; i < n[0]; i++) {
            if (field[0][i] == '\r' && i + 1 < n[0] && field[0][i + 1] == '\n') continue;
            want[w++] = field[0][i] == '\r' ? '\n' : field[0][i];
        }
        CHECK_EQ(stream_sse_init(&sse, NULL), STREAM_OK);
        CHECK_EQ(stream_sse_feed(&sse, out, len), STREAM_OK);
        CHECK_EQ(stream_sse_next(&sse, &item), STREAM_OK);
        CHECK_BYTES(item.ptr, item.len, want, w);
        CHECK_BYTES(sse.event.event.ptr, sse.event.event.len, e.event.ptr, e.event.len);
        CHECK_EQ(sse.event.id.ptr != NULL, e.id.ptr != NULL);
        CHECK_BYTES(sse.event.id.ptr, sse.event.id.len, e.id.ptr, e.id.len);
        CHECK_EQ(sse.event.has_retry, e.has_retry);
        if (e.has_retry) CHECK(sse.event.retry_ms == e.retry_ms);
        /* Written once more from what was read, it is the same but for the comment, and reads the same. */
        if (w && e.comment.ptr == NULL && e.event.len) {
            char again[600];
            CHECK_EQ(stream_sse_write(&sse.event, again, sizeof again, &room), STREAM_OK);
            CHECK_BYTES(again, room, out, len);
        }
        CHECK_EQ(stream_sse_next(&sse, &item), STREAM_MORE);
        CHECK_EQ(stream_sse_open(&sse), 0);
        stream_sse_free(&sse);
    }
    CHECK(written > turn / 4);
}

static void a_type_defaults_to_message(void) {
    stream_sse_event e;
    memset(&e, 0, sizeof e);
    CHECK_TEXT(stream_sse_type(&e).ptr, stream_sse_type(&e).len, "message");
    e.event = stream_slice_text("");
    CHECK_TEXT(stream_sse_type(&e).ptr, stream_sse_type(&e).len, "message");
    e.event = stream_slice_text("delta");
    CHECK_TEXT(stream_sse_type(&e).ptr, stream_sse_type(&e).len, "delta");
}

/* A recorded session, each record an event: written by the encoder, with every line end, read in pieces. */
static void a_recorded_session_comes_back_record_for_record(void) {
    const char *root = getenv("STREAM_SHARED");
    char path[600];
    FILE *f;
    char *in, *out, *back;
    size_t n, len = 0, records = 0, at, end, k;
    static const size_t chunk[] = {1, 7, 997, 65536};
    snprintf(path, sizeof path, "%s/data/claude/session-tools.ndjson", root ? root : "../shared");
    f = fopen(path, "rb");
    if (!f) {
        test_skip("no ../shared/data/claude/session-tools.ndjson (STREAM_SHARED says where)");
        return;
    }
    in = (char *)malloc(1 << 20);
    out = (char *)malloc(1 << 21);
    back = (char *)malloc(1 << 20);
    if (!in || !out || !back) abort();
    n = fread(in, 1, 1 << 20, f);
    fclose(f);
    for (at = 0; at < n; at = end + 1, records++) {
        stream_sse_event e;
        char id[24];
        size_t wrote;
        end = at + stream_find_newline(in + at, n - at);
        memset(&e, 0, sizeof e);
        e.data = stream_slice_of(in + at, end - at);
        snprintf(id, sizeof id, "%zu", records);
        e.id = stream_slice_text(id);
        CHECK_EQ(stream_sse_write(&e, out + len, ((size_t)1 << 21) - len, &wrote), STREAM_OK);
        len += wrote;
    }
    CHECK(records > 10);
    for (k = 0; k < COUNT(chunk); k++) {
        stream_sse sse;
        stream_item item;
        char id[24];
        size_t seen = 0, length = 0;
        CHECK_EQ(stream_sse_init(&sse, NULL), STREAM_OK);
        for (at = 0; at < len; at += chunk[k]) {
            stream_sse_feed(&sse, out + at, chunk[k] < len - at ? chunk[k] : len - at);
            while (stream_sse_next(&sse, &item) == STREAM_OK) {
                memcpy(back + length, item.ptr, item.len);
                length += item.len;
                back[length++] = '\n';
                snprintf(id, sizeof id, "%zu", seen++);
                CHECK_TEXT(sse.event.id.ptr, sse.event.id.len, id);
            }
        }
        CHECK_EQ(seen, records);
        CHECK_BYTES(back, length, in, n);
        stream_sse_free(&sse);
    }
    free(in);
    free(out);
    free(back);
}

/* ==== frames ============================================================================================ */

static void say_frame(notes *t, void *self, stream_status status, const stream_item *item) {
    (void)self;
    notes_add(t, "%s kind=%u at=%llu size=%llu ", stream_status_text(status), (unsigned)item->kind,
              (unsigned long long)item->offset, (unsigned long long)item->size);
    notes_quote(t, item->len ? item->ptr : "", item->len);
    notes_add(t, "\n");
}

static void frame_restart(void *self) { stream_frame_reset((stream_frame *)self); }

static void reference_frames(notes *t, const char *in, size_t n, size_t max_len) {
    const unsigned char *p = (const unsigned char *)in;
    size_t at = 0;
    t->len = 0;
    while (at < n) {
        uint64_t size;
        if (n - at < 5) {
            notes_add(t, "%s kind=0 at=%zu size=0 []\n", stream_status_text(STREAM_E_TRUNCATED), n);
            return;
        }
        size = (uint64_t)p[at + 1] << 24 | (uint64_t)p[at + 2] << 16 | (uint64_t)p[at + 3] << 8 | p[at + 4];
        at += 5;
        if (size > max_len || size > n - at) {
            notes_add(t, "%s kind=%u at=%zu size=%llu ",
                      stream_status_text(size > max_len ? STREAM_E_TOO_LONG : STREAM_E_TRUNCATED), p[at - 5], at,
                      (unsigned long long)size);
            notes_quote(t, in + at, size > max_len ? 0 : n - at);
            notes_add(t, "\n");
        } else {
            notes_add(t, "ok kind=%u at=%zu size=%zu ", p[at - 5], at, (size_t)size);
            notes_quote(t, in + at, (size_t)size);
            notes_add(t, "\n");
        }
        at = size > n - at ? n : at + (size_t)size;
    }
}

static void check_frames(const stream_frame_desc *desc, size_t max_len, const char *in, size_t n) {
    static notes want;
    stream_frame frame;
    subject s;
    CHECK_EQ(stream_frame_init(&frame, desc), STREAM_OK);
    memset(&s, 0, sizeof s);
    s.decoder = stream_frame_decoder(&frame);
    s.reset = frame_restart;
    s.say = say_frame;
    s.scanned = offsetof(stream_frame, scanned) + 1;
    reference_frames(&want, in, n, max_len);
    CUTS_CHECK(&s, in, n, &want);
    notes_free(&s.got);
    stream_frame_free(&frame);
}

static void frames_come_back_under_every_cut(void) {
    static const size_t len[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 255, 256, 257, 1000};
    static const sample odd[] = {
        SAMPLE(""), SAMPLE("\x01"), SAMPLE("\x01\0\0\0"), SAMPLE("\x01\0\0\0\0"), SAMPLE("\x01\0\0\0\x01"),
        SAMPLE("\xff\xff\xff\xff\xff"), SAMPLE("\xff\xff\xff\xff\xff" "abc"), SAMPLE("\x07\0\0\0\x03" "ab"),
        SAMPLE("\x01\0\0\0\x03" "abc\x02\0\0\0\0\x03\0\0\0\x01" "d\x04\0"), SAMPLE("\x05\x7f\xff\xff\xff" "ab"),
        SAMPLE("\x05\x80\0\0\0" "ab"), SAMPLE("\x05\0\x01\0\0" "ab"),
    };
    stream_frame_desc desc;
    static char in[4096], payload[1000], memory[16];
    const size_t step = scaled(20) > 2 ? 1 : 4; /* under an emulator every fourth limit */
    size_t i, k, n = 0, one;
    memset(&desc, 0, sizeof desc);
    for (i = 0; i < sizeof payload; i++) payload[i] = (char)i;
    for (i = 0; i < COUNT(len); i++) {
        CHECK_EQ(stream_frame_write((uint8_t)(i + 250), payload, len[i], in + n, 4, &one), STREAM_FULL);
        CHECK_EQ(one, len[i] + 5);
        CHECK_EQ(stream_frame_write((uint8_t)(i + 250), payload, len[i], in + n, one, &one), STREAM_OK);
        n += one;
    }
    check_frames(NULL, 1 << 20, in, n);
    for (k = 0; k < COUNT(len); k += step) {
        desc.max_len = len[k] ? len[k] : 3;
        desc.first_len = 1;
        check_frames(&desc, desc.max_len, in, n);
        for (i = 0; i < COUNT(odd); i++) check_frames(&desc, desc.max_len, odd[i].ptr, odd[i].len);
    }
    memset(&desc, 0, sizeof desc);
    desc.memory = memory;
    desc.memory_len = sizeof memory;
    check_frames(&desc, sizeof memory, in, n);
    for (i = 0; i < COUNT(odd); i++) check_frames(&desc, sizeof memory, odd[i].ptr, odd[i].len);
}

static void frames_are_the_bytes_documented(void) {
    char head[STREAM_FRAME_HEAD];
    CHECK_EQ(stream_frame_head(0x81, 0x01020304, head), STREAM_OK);
    CHECK_BYTES(head, sizeof head, "\x81\x01\x02\x03\x04", 5);
#if SIZE_MAX > UINT32_MAX
    CHECK_EQ(stream_frame_head(1, UINT32_MAX, head), STREAM_OK);
    CHECK_EQ(stream_frame_head(1, (size_t)UINT32_MAX + 1, head), STREAM_E_RANGE);
    {
        size_t len = 1;
        CHECK_EQ(stream_frame_write(1, head, SIZE_MAX, head, 0, &len), STREAM_E_RANGE);
        CHECK_EQ(len, 0);
    }
#endif
}

/* A length is refused before anything is kept; one that is allowed costs what has come, not what is said. */
static void frames_cost_what_comes_not_what_is_announced(void) {
    heap h;
    stream_frame frame;
    stream_frame_desc desc;
    stream_item item;
    memset(&h, 0, sizeof h);
    memset(&desc, 0, sizeof desc);
    desc.allocator = heap_hook(&h);
    desc.max_len = 1 << 24;
    CHECK_EQ(stream_frame_init(&frame, &desc), STREAM_OK);
    stream_frame_feed(&frame, "\x01\xff\xff\xff\xff", 5);
    CHECK_EQ(stream_frame_next(&frame, &item), STREAM_E_TOO_LONG);
    CHECK_EQ(item.size, UINT32_MAX);
    CHECK_EQ(stream_frame_next(&frame, &item), STREAM_MORE);
    CHECK_EQ(h.requests, 0);
    stream_frame_reset(&frame);
    stream_frame_feed(&frame, "\x01\x00\xff\xff\xff" "abc", 8);
    CHECK_EQ(stream_frame_next(&frame, &item), STREAM_MORE);
    CHECK(h.live <= 4096);
    h.fail_at = h.requests + 1; /* the next growth is refused: this frame is lost, and only this */
    {
        static char rest[0xffffff - 3 + 6];
        memset(rest, 'x', sizeof rest);
        memcpy(rest + sizeof rest - 6, "\x02\0\0\0\x01y", 6);
        stream_frame_feed(&frame, rest, sizeof rest);
        CHECK_EQ(stream_frame_next(&frame, &item), STREAM_E_NOMEM);
        CHECK_EQ(item.size, 0xffffff);
        CHECK_EQ(item.len, 4096);
        CHECK_EQ(stream_frame_next(&frame, &item), STREAM_OK);
        CHECK_EQ(item.kind, 2);
        CHECK_TEXT(item.ptr, item.len, "y");
        CHECK(item.ptr == rest + sizeof rest - 1);
    }
    stream_frame_free(&frame);
    CHECK_EQ(h.live, 0);
}

static void frames_refuse_a_desc_that_cannot_be_meant(void) {
    stream_frame frame;
    stream_frame_desc desc;
    char memory[4];
    memset(&desc, 0, sizeof desc);
    desc.max_len = SIZE_MAX / 4 + 1;
    CHECK_EQ(stream_frame_init(&frame, &desc), STREAM_E_ARGUMENT);
#if SIZE_MAX > UINT32_MAX
    desc.max_len = (size_t)UINT32_MAX + 1;
    CHECK_EQ(stream_frame_init(&frame, &desc), STREAM_E_ARGUMENT);
    desc.max_len = UINT32_MAX;
    CHECK_EQ(stream_frame_init(&frame, &desc), STREAM_OK);
#endif
    desc.max_len = 0;
    desc.memory = memory;
    CHECK_EQ(stream_frame_init(&frame, &desc), STREAM_E_ARGUMENT);
    memset(&frame, 0, sizeof frame);
    stream_frame_free(&frame);
    desc.memory_len = sizeof memory;
    desc.max_len = 100; /* more than the memory holds: as much as it does */
    CHECK_EQ(stream_frame_init(&frame, &desc), STREAM_OK);
    CHECK_EQ(frame.max_len, sizeof memory);
    CHECK_EQ(stream_frame_feed(&frame, "", 0), STREAM_OK);
    CHECK_EQ(stream_frame_feed(&frame, "x", 1), STREAM_OK);
    CHECK_EQ(stream_frame_feed(&frame, "x", 1), STREAM_E_STATE); /* the loan is not used up */
    CHECK_EQ(stream_frame_finish(&frame), STREAM_OK);
    CHECK_EQ(stream_frame_feed(&frame, "x", 1), STREAM_E_STATE);
    stream_frame_free(&frame);
}

/* A frame whose memory is refused and which is never ended: what is missing counts. */
static void a_frame_refused_and_cut_off_is_cut_off(void) {
    heap h;
    stream_frame frame;
    stream_frame_desc desc;
    stream_item item;
    memset(&h, 0, sizeof h);
    memset(&desc, 0, sizeof desc);
    desc.allocator = heap_hook(&h);
    h.fail_at = 1;
    CHECK_EQ(stream_frame_init(&frame, &desc), STREAM_OK);
    CHECK_EQ(stream_frame_feed(&frame, "\x01\0\0\0\x05" "abc", 8), STREAM_OK);
    CHECK_EQ(stream_frame_next(&frame, &item), STREAM_MORE);
    CHECK_EQ(stream_frame_finish(&frame), STREAM_OK);
    CHECK_EQ(stream_frame_next(&frame, &item), STREAM_E_TRUNCATED);
    CHECK_EQ(item.len, 0);
    CHECK_EQ(item.size, 5);
    CHECK_EQ(stream_frame_next(&frame, &item), STREAM_END);
    stream_frame_free(&frame);
    CHECK_EQ(h.live, 0);
}

/* Of memory that is given, four times max_field is for ids and names; the rest, or less, is for data. */
static void memory_is_shared_out_as_told(void) {
    static char memory[16384];
    stream_sse sse;
    stream_sse_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.memory = memory;
    desc.memory_len = sizeof memory;
    CHECK_EQ(stream_sse_init(&sse, &desc), STREAM_OK);
    CHECK_EQ(sse.last.max, 1024);
    CHECK_EQ(sse.data.held.max, sizeof memory - 4 * 1024);
    desc.max_len = 100;
    CHECK_EQ(stream_sse_init(&sse, &desc), STREAM_OK);
    CHECK_EQ(sse.data.held.max, 100);
    desc.max_len = sizeof memory;
    CHECK_EQ(stream_sse_init(&sse, &desc), STREAM_OK);
    CHECK_EQ(sse.data.held.max, sizeof memory - 4 * 1024);
    CHECK_EQ(stream_sse_feed(&sse, "x", 1), STREAM_OK);
    CHECK_EQ(stream_sse_feed(&sse, "x", 1), STREAM_E_STATE); /* the loan is not used up */
    CHECK_EQ(stream_sse_finish(&sse), STREAM_OK);
    CHECK_EQ(stream_sse_feed(&sse, "x", 1), STREAM_E_STATE);
    stream_sse_free(&sse);
}

/* A buffer that was used before, and a value of nothing that spans loans. */
static void an_empty_field_across_loans_is_empty(void) {
    static const char *const part[] = {"event: a\nid: b\ndata: on", "e\n\nevent:", "\nid:", "\ndata:",
                                       "\n\n"};
    stream_sse sse;
    stream_item item;
    size_t i, events = 0;
    CHECK_EQ(stream_sse_init(&sse, NULL), STREAM_OK);
    for (i = 0; i < COUNT(part); i++) {
        CHECK_EQ(stream_sse_feed(&sse, part[i], strlen(part[i])), STREAM_OK);
        while (stream_sse_next(&sse, &item) == STREAM_OK) {
            CHECK_TEXT(item.ptr, item.len, events ? "" : "one");
            CHECK(item.ptr != NULL);
            CHECK(sse.event.id.ptr != NULL);
            CHECK_TEXT(sse.event.id.ptr, sse.event.id.len, events ? "" : "b");
            events++;
        }
    }
    CHECK_EQ(events, 2);
    stream_sse_free(&sse);
}

static void an_id_may_be_refused_memory(void) {
    heap h;
    stream_sse sse;
    stream_sse_desc desc;
    memset(&h, 0, sizeof h);
    memset(&desc, 0, sizeof desc);
    desc.allocator = heap_hook(&h);
    h.fail_at = 1;
    CHECK_EQ(stream_sse_init(&sse, &desc), STREAM_OK);
    CHECK_EQ(stream_sse_set_last_id(&sse, "1", 1), STREAM_E_NOMEM);
    CHECK_EQ(stream_sse_last_id(&sse).len, 0);
    CHECK_EQ(stream_sse_set_last_id(&sse, "2", 1), STREAM_OK);
    CHECK_TEXT(stream_sse_last_id(&sse).ptr, stream_sse_last_id(&sse).len, "2");
    stream_sse_free(&sse);
    CHECK_EQ(h.live, 0);
}

int main(void) {
    TEST_PROGRAM("sse");
    RUN(events_are_the_standards_under_every_cut);
    RUN(limits_lose_one_event_and_no_more);
    RUN(fixed_memory_gives_the_same);
    RUN(random_streams_match_the_reference);
    RUN(line_ends_make_no_difference);
    RUN(nothing_waits_for_a_byte_that_may_not_come);
    RUN(events_whole_in_the_loan_are_slices_of_it);
    RUN(the_last_id_outlives_a_reconnect);
    RUN(refused_memory_loses_one_event);
    RUN(memory_stays_under_the_limits);
    RUN(a_desc_that_cannot_be_meant_is_refused);
    RUN(raw_modes_cut_behind_blank_lines_and_leave_the_bytes_alone);
    RUN(raw_blocks_survive_refused_memory);
    RUN(events_are_written_as_documented);
    RUN(nothing_can_be_injected);
    RUN(what_is_written_reads_back);
    RUN(a_type_defaults_to_message);
    RUN(a_recorded_session_comes_back_record_for_record);
    RUN(frames_come_back_under_every_cut);
    RUN(frames_are_the_bytes_documented);
    RUN(frames_cost_what_comes_not_what_is_announced);
    RUN(frames_refuse_a_desc_that_cannot_be_meant);
    RUN(a_frame_refused_and_cut_off_is_cut_off);
    RUN(memory_is_shared_out_as_told);
    RUN(an_empty_field_across_loans_is_empty);
    RUN(an_id_may_be_refused_memory);
    return test_end();
}
