/* SPDX-License-Identifier: MIT-0
   Fuzz target: framing and checking, whole and split, beside naive ones that have the whole input before
   them; and every reader over every framed value, each beside another way to the same answer. All of it
   alike with every kernel. The first four bytes of the input choose mode, limits and cuts. */
#include "fuzz_kernels.h"

#define reference_item trace_item
#include "json_reference.h"

/* ---- framing ------------------------------------------------------------------------------------------- */

/* A framer that is looked into between its loans. */
typedef struct watched {
    stream_json *json;
    const uint8_t *data;
    size_t fed, max_len;
    bool refused; /* the allocator may have */
    trace errors;
} watched;

static stream_status watched_feed(void *self, const void *data, size_t len) {
    watched *w = (watched *)self;
    stream_item item;
    stream_status status = stream_json_peek(w->json, &item);
    if (status == STREAM_OK && item.size) { /* what has arrived of a value, and all of it but a CR */
        const bool cr = w->json->mode == STREAM_JSON_NDJSON && w->data[w->fed - 1] == '\r';
        FUZZ_CHECK(item.offset + item.size == w->fed ||
                   (cr && item.offset + item.size + 1 == w->fed && item.len == item.size));
        FUZZ_CHECK(item.size <= stream_json_open(w->json));
        FUZZ_CHECK(item.len == (item.size < w->max_len ? item.size : w->max_len) ||
                   (w->refused && item.len < item.size));
        FUZZ_CHECK(item.len == 0 || memcmp(item.ptr, w->data + item.offset, item.len) == 0);
        if (item.len) FUZZ_CHECK(item.kind == (item.ptr[0] == '{' ? STREAM_JSON_OBJECT : STREAM_JSON_ARRAY));
    }
    FUZZ_CHECK(stream_json_open(w->json) <= w->fed);
    status = stream_json_feed(w->json, data, len);
    if (status == STREAM_OK) w->fed += len;
    return status;
}

static stream_status watched_next(void *self, stream_item *item) {
    watched *w = (watched *)self;
    stream_status status = stream_json_next(w->json, item);
    FUZZ_CHECK(w->json->scanned <= w->fed);
    if (status == STREAM_OK || status == STREAM_NOISE) FUZZ_CHECK(item->len == item->size);
    FUZZ_CHECK(item->len <= w->max_len);
    if (status == STREAM_E_NOMEM) FUZZ_CHECK(w->refused);
    if (status == STREAM_E_INVALID) {
        uint64_t at;
        const char *message = stream_json_error(w->json, &at);
        size_t check_at;
        FUZZ_CHECK(message && at >= item->offset && at < item->offset + item->size);
        FUZZ_CHECK(stream_json_check(item->ptr, item->len, &check_at) < 0 && item->offset + check_at == at);
        trace_add(&w->errors, at);
        trace_bytes(&w->errors, message, strlen(message));
    }
    if (status == STREAM_OK && w->json->strict) {
        size_t at;
        FUZZ_CHECK(stream_json_check(item->ptr, item->len, &at) == STREAM_OK);
    }
    return status;
}

static stream_status watched_finish(void *self) { return stream_json_finish(((watched *)self)->json); }

static trace framed(stream_json *json, const stream_json_desc *desc, const uint8_t *data, size_t len,
                    const uint8_t *cuts, bool refused) {
    watched w;
    stream_decoder d;
    trace t;
    memset(&w, 0, sizeof w);
    w.json = json;
    w.data = data;
    w.max_len = desc->max_len ? desc->max_len : (size_t)1 << 20;
    w.refused = refused;
    d.self = &w;
    d.feed = watched_feed;
    d.next = watched_next;
    d.finish = watched_finish;
    t = fuzz_run(d, data, len, cuts, cuts ? 2 : 0);
    FUZZ_CHECK(json->scanned == len);
    trace_add(&t, w.errors.sum);
    stream_json_reset(json);
    return t;
}

/* The input behind its first line many times: what is alike is compared where it comes whole, and not where it comes
   in pieces. */
static void alike(trace *t, stream_json *json, const stream_json_desc *desc, const uint8_t *data, size_t len,
                  const uint8_t *cuts) {
    enum { MOST = 300, TIMES = 20 };
    static uint8_t text[(TIMES + 1) * MOST];
    const uint8_t *lf = (const uint8_t *)memchr(data, '\n', len);
    const size_t line = lf ? (size_t)(lf + 1 - data) : 0;
    trace whole, split;
    size_t i, n = 0;
    if (line == 0 || len > MOST || desc->mode != STREAM_JSON_NDJSON) return;
    for (i = 0; i < TIMES; i++, n += line) memcpy(text + n, data, line);
    memcpy(text + n, data, len);
    whole = framed(json, desc, text, n + len, NULL, false);
    split = framed(json, desc, text, n + len, cuts, false);
    FUZZ_CHECK(whole.sum == split.sum && whole.items == split.items);
    trace_add(t, whole.sum);
}

/* ---- checking ------------------------------------------------------------------------------------------ */

static trace checked(const uint8_t *data, size_t len, const uint8_t *cuts) {
    trace t = {0, 0, 0};
    fuzz_cuts c = {NULL, 0, 0};
    stream_json_checker checker;
    stream_status status = STREAM_MORE;
    size_t at = 0;
    c.cuts = cuts;
    c.count = cuts ? 2 : 0;
    FUZZ_CHECK(stream_json_checker_init(&checker, NULL) == STREAM_OK);
    while (at < len) {
        const size_t n = fuzz_next_cut(&c, len - at);
        const stream_status before = status;
        char *loan = lend(data + at, n);
        status = stream_json_checker_feed(&checker, loan, n);
        take_back(loan, n);
        at += n;
        FUZZ_CHECK(status == checker.status && (before >= 0 || status == before));
        FUZZ_CHECK(status < 0 ? checker.offset < at && checker.message != NULL
                              : checker.offset == at && checker.message == NULL);
    }
    trace_status(&t, checker.status);
    trace_add(&t, checker.offset);
    if (checker.message) trace_bytes(&t, checker.message, strlen(checker.message));
    return t;
}

/* The whole, its split, the naive check, and the beginnings of what is valid. */
static void check(trace *t, const uint8_t *data, size_t len, const uint8_t *cuts) {
    const trace whole = checked(data, len, NULL), split = checked(data, len, cuts);
    size_t at, naive_at, n;
    const stream_status naive = reference_check((const char *)data, len, &naive_at);
    FUZZ_CHECK(whole.sum == split.sum);
    FUZZ_CHECK(stream_json_check((const char *)data, len, &at) == naive && at == naive_at);
    if (naive == STREAM_OK)
        for (n = 0; n < len; n += 1 + n / 64) {
            FUZZ_CHECK(stream_json_check((const char *)data, n, &at) >= 0 && at == n);
        }
    trace_add(t, whole.sum);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static void seen(trace *t, const char *base, size_t len, stream_json_value v) {
    trace_add(t, v.type);
    FUZZ_CHECK((v.type == STREAM_JSON_NONE) == (v.ptr == NULL));
    if (v.type == STREAM_JSON_NONE) return;
    FUZZ_CHECK(v.ptr >= base && v.len > 0 && v.ptr + v.len <= base + len);
    trace_add(t, (uint64_t)(v.ptr - base));
    trace_add(t, v.len);
}

static void read_number(trace *t, stream_json_value v) {
    int64_t i;
    uint64_t u, bits;
    double d;
    const stream_status is = stream_json_int64(v, &i), us = stream_json_uint64(v, &u);
    const stream_status ds = stream_json_double(v, &d);
    FUZZ_CHECK((is == STREAM_OK || i == 0) && (us == STREAM_OK || u == 0));
    if (is == STREAM_OK && us == STREAM_OK) FUZZ_CHECK(i >= 0 && u == (uint64_t)i);
    if (is == STREAM_OK && us != STREAM_OK) FUZZ_CHECK(us == STREAM_E_RANGE && i < 0);
    if (is == STREAM_OK) FUZZ_CHECK(ds == STREAM_OK && d == (double)i);
    if (us == STREAM_OK) FUZZ_CHECK(ds == STREAM_OK && d == (double)u);
    if (ds != STREAM_OK && ds != STREAM_E_RANGE) FUZZ_CHECK(d == 0);
    memcpy(&bits, &d, 8);
    trace_status(t, is);
    trace_status(t, us);
    trace_status(t, ds);
    trace_add(t, bits);
}

static void read_string(trace *t, stream_json_value v) {
    static char text[4096], again[4096];
    size_t n, need, policy, cap;
    stream_status status;
    for (policy = STREAM_JSON_PASS; policy <= STREAM_JSON_REJECT; policy++) {
        const stream_json_surrogates as = (stream_json_surrogates)policy;
        status = stream_json_string(v, as, text, sizeof text, &n);
        trace_status(t, status);
        FUZZ_CHECK(status == STREAM_OK || status == STREAM_E_TYPE || status == STREAM_E_INVALID);
        if (status != STREAM_OK) continue;
        FUZZ_CHECK(n + 2 <= v.len);
        trace_bytes(t, text, n);
        if (policy != STREAM_JSON_REPLACE) FUZZ_CHECK(stream_json_equals(v, text, n));
        FUZZ_CHECK(n == 0 || !stream_json_equals(v, text, n - 1));
        cap = n / 2; /* less room: the head, and how much it takes */
        status = stream_json_string(v, as, again, cap, &need);
        FUZZ_CHECK(need == n && status == (cap < n ? STREAM_FULL : STREAM_OK));
        FUZZ_CHECK(memcmp(text, again, cap) == 0);
        if (v.len <= sizeof again) { /* in its own memory */
            stream_json_value own = v;
            memcpy(again, v.ptr, v.len);
            own.ptr = again;
            FUZZ_CHECK(stream_json_string(own, as, again, v.len, &need) == STREAM_OK && need == n);
            FUZZ_CHECK(memcmp(text, again, n) == 0);
        }
        FUZZ_CHECK(stream_json_unescape(v.ptr + 1, v.len - 2, as, again, sizeof again, &need) == STREAM_OK);
        FUZZ_CHECK(need == n && memcmp(text, again, n) == 0);
    }
}

/* "/" and the key as a pointer's step; false when it cannot be one. */
static bool to_pointer(stream_json_value key, char *pointer, size_t cap) {
    char name[64];
    size_t n, i, at = 0;
    if (stream_json_string(key, STREAM_JSON_PASS, name, sizeof name, &n) != STREAM_OK) return false;
    pointer[at++] = '/';
    for (i = 0; i < n; i++) {
        if (name[i] == '\0' || at + 3 > cap) return false;
        if (name[i] == '~' || name[i] == '/') {
            pointer[at++] = '~';
            pointer[at++] = name[i] == '~' ? '0' : '1';
        } else {
            pointer[at++] = name[i];
        }
    }
    pointer[at] = '\0';
    return true;
}

/* Every value of a container by itself; what each hands out, pick finds, the first of duplicate keys. */
static void read_members(trace *t, const char *base, size_t len, stream_json_value v, unsigned depth) {
    stream_json_each each;
    stream_json_value key, value, found;
    stream_status status;
    unsigned index = 0;
    char pointer[140];
    const char *const want[1] = {pointer};
    if (stream_json_each_init(&each, v) != STREAM_OK) {
        FUZZ_CHECK(v.type != STREAM_JSON_OBJECT && v.type != STREAM_JSON_ARRAY);
        return;
    }
    while ((status = stream_json_each_next(&each, &key, &value)) == STREAM_OK) {
        seen(t, base, len, key);
        seen(t, base, len, value);
        FUZZ_CHECK((key.type == STREAM_JSON_STRING) == (v.type == STREAM_JSON_OBJECT));
        read_number(t, value);
        read_string(t, value);
        read_string(t, key);
        if (index < 8) {
            bool known = true;
            if (key.type) known = to_pointer(key, pointer, sizeof pointer);
            else snprintf(pointer, sizeof pointer, "/%u", index);
            if (known) {
                stream_json_pick(v.ptr, v.len, want, 1, &found);
                FUZZ_CHECK(key.type ? found.ptr && found.ptr <= value.ptr : found.ptr == value.ptr);
                FUZZ_CHECK(found.ptr != value.ptr || found.len == value.len);
            }
        }
        if (depth < 3) read_members(t, base, len, value, depth + 1);
        index++;
    }
    FUZZ_CHECK(value.type == STREAM_JSON_NONE);
    trace_status(t, status);
}

/* Pickers of all pointers, of which some lead on where others end, and of the first few. */
static const char *const want[] = {"/a", "/type", "/0/1", "/~01/x", "/a/b/0", "", "/a/b"};
enum { WANT = sizeof want / sizeof *want, FEW = 4 };
static stream_json_picker all, few;

static bool same(stream_json_value a, stream_json_value b) {
    return a.ptr == b.ptr && a.len == b.len && a.type == b.type;
}

static void read_everything(trace *t, const char *ptr, size_t len) {
    stream_json_value v[WANT], w[WANT], one;
    size_t n, at;
    const stream_status valid = stream_json_check(ptr, len, &at);
    const stream_status status = stream_json_pick(ptr, len, want, WANT, v);
    FUZZ_CHECK(valid != STREAM_OK || status == STREAM_OK);
    trace_status(t, valid);
    trace_status(t, status);
    FUZZ_CHECK(stream_json_picker_pick(&all, ptr, len, w) == status);
    for (n = 0; n < WANT; n++) FUZZ_CHECK(same(w[n], v[n]));
    (void)stream_json_picker_pick(&few, ptr, len, w);
    for (n = 0; n < FEW && status != STREAM_E_INVALID; n++) FUZZ_CHECK(same(w[n], v[n]));
    for (n = 0; n < WANT; n++) {
        /* Each for itself as well. */
        const stream_status alone = stream_json_pick(ptr, len, want + n, 1, &one);
        seen(t, ptr, len, v[n]);
        if (status == STREAM_E_INVALID) continue; /* somewhere it alone may not have come to */
        FUZZ_CHECK(same(one, v[n]));
        FUZZ_CHECK(alone == status || (alone == STREAM_OK && one.ptr));
    }
    one = stream_json_value_of(ptr, len);
    seen(t, ptr, len, one);
    read_members(t, ptr, len, one, 0);
}

/* ---- all of it ----------------------------------------------------------------------------------------- */

static uint64_t fuzz_outcome(const uint8_t *data, size_t len) {
    static char memory[STREAM_JSON_SLACK + 64];
    stream_json_desc desc;
    stream_json json;
    heap h;
    stream_item item;
    stream_status status;
    trace whole, split, t = {0, 0, 0};
    const uint8_t *cuts = data + 2;
    uint8_t choice;
    unsigned values = 0;
    size_t most;
    if (len < 4) return 0;
    choice = data[0];
    memset(&desc, 0, sizeof desc);
    desc.mode = (stream_json_mode)(choice % 4);
    if (choice & 4) desc.max_len = 1 + data[1] % 64;
    if (choice & 8) desc.max_depth = 1 + data[1] / 64;
    desc.strict = (choice & 16) != 0;
    desc.first_len = 1 + data[2] % 16;
    if (choice & 32) { /* in the caller's memory */
        desc.memory = memory;
        desc.memory_len = STREAM_JSON_SLACK + 1 + data[1] % 64;
        desc.max_len = 1 + data[1] % 64;
    }
    desc.allocator = fuzz_memory(&h, 0);
    data += 4;
    len -= 4;

    FUZZ_CHECK(stream_json_init(&json, &desc) == STREAM_OK);
    whole = framed(&json, &desc, data, len, NULL, false);
    split = framed(&json, &desc, data, len, cuts, false);
    FUZZ_CHECK(whole.sum == split.sum && whole.items == split.items);
    trace_add(&t, whole.sum);
    if (desc.mode != STREAM_JSON_RS && !desc.strict) {
        trace naive = {0, 0, 0};
        reference_frame(&desc, (const char *)data, len, &naive);
        trace_add(&naive, 0); /* no errors of a check */
        FUZZ_CHECK(naive.sum == whole.sum && naive.items == whole.items);
    }
    alike(&t, &json, &desc, data, len, cuts);
    check(&t, data, len, cuts);

    FUZZ_CHECK(stream_json_picker_init(&all, want, WANT) == STREAM_OK);
    FUZZ_CHECK(stream_json_picker_init(&few, want, FEW) == STREAM_OK);
    stream_json_feed(&json, data, len);
    stream_json_finish(&json);
    while ((status = stream_json_next(&json, &item)) != STREAM_END) {
        char *copy;
        if (values++ == 8) break;
        copy = fuzz_copy(item.ptr, item.len); /* exactly sized: one byte too far is a crash */
        read_everything(&t, copy, item.len);
        free(copy);
    }
    stream_json_free(&json);
    most = (desc.max_len ? desc.max_len : 2 * len + 16) + STREAM_JSON_SLACK;
    fuzz_memory_done(&h, desc.memory ? 0 : 2 * most);

    /* Where memory gives out items are lost, and said to be; what is handed out is as it should be. */
    if (desc.memory) return t.sum;
    desc.allocator = fuzz_memory(&h, 1 + choice / 64);
    FUZZ_CHECK(stream_json_init(&json, &desc) == STREAM_OK);
    split = framed(&json, &desc, data, len, cuts, true);
    trace_add(&t, split.sum);
    stream_json_free(&json);
    FUZZ_CHECK(h.live == 0 && h.blocks == 0 && !h.wrong);
    return t.sum;
}
