/* SPDX-License-Identifier: MIT-0
   Fuzz target: a partial view whole, in fragments and beside pick; rewriting, whose result is looked up
   again; diff and merge, each undone by the other. All of it alike with every kernel. The input is one
   byte of choices, one of cuts, three rules (an operation's letter, a pointer, a NUL each, a value, a
   NUL), one document, a NUL, another document. */
#define STREAM_JSON__PATIENCE(len) ((uint32_t)((len) % 16)) /* so that members are sorted soon */
#include "fuzz_kernels.h"

static trace said; /* of one input with one kernel */

/* The next NUL-terminated piece of the input; "" when there is none. */
static const char *piece(const char **p, const char *e, size_t *n) {
    const char *begin = *p, *end = (const char *)memchr(begin, '\0', (size_t)(e - begin));
    *n = end ? (size_t)(end - begin) : 0;
    *p = end ? end + 1 : e;
    return end ? begin : "";
}

static stream_status to_sum(void *ctx, const char *ptr, size_t len) {
    trace *t = (trace *)ctx;
    while (len--) trace_add(t, (unsigned char)*ptr++);
    return STREAM_OK;
}

/* What is safe of a string, taken part by part, is the beginning of the string, and valid text by itself.
   */
static void shown(const char *json, const stream_json_field *f) {
    static char text[4096], part[4096];
    const char *raw = json + f->offset + 1;
    size_t n, m, half = f->safe / 2;
    stream_status status = stream_json_unescape(raw, f->safe, STREAM_JSON_PASS, text, sizeof text, &n);
    trace_status(&said, status);
    if (status != STREAM_OK) return;
    trace_bytes(&said, text, n);
    if (!f->whole) return;
    FUZZ_CHECK(f->safe == f->len - 2);
    /* Cut where a view of the first half says that it is safe. */
    {
        stream_json_view view;
        const char *const itself = "";
        stream_json_view_init(&view, &itself, 1);
        stream_json_view_feed(&view, raw - 1, half + 1);
        half = view.field[0].safe;
    }
    status = stream_json_unescape(raw, half, STREAM_JSON_PASS, part, sizeof part, &m);
    FUZZ_CHECK(status == STREAM_OK && m <= n);
    FUZZ_CHECK(memcmp(text, part, m) == 0);
    status = stream_json_unescape(raw + half, f->safe - half, STREAM_JSON_PASS, part, sizeof part, &half);
    FUZZ_CHECK(status == STREAM_OK && m + half == n && memcmp(text + m, part, half) == 0);
}

static void look(const char *json, size_t n, const char *const *pointers, size_t count, size_t step) {
    const char *all[4];
    stream_json_value found[4];
    stream_json_view whole, parts;
    stream_status status, picked;
    size_t i, at = 0;
    for (i = 0; i < count; i++) all[i] = pointers[i];
    all[count] = "/no such key"; /* so that pick goes on to the end */
    status = stream_json_view_init(&whole, all, count + 1);
    picked = stream_json_pick(json, n, all, count + 1, found);
    if (status == STREAM_E_ARGUMENT) return;
    stream_json_view_feed(&whole, json, n);
    stream_json_view_init(&parts, all, count + 1);
    while (at < n) {
        size_t take = step < n - at ? step : n - at;
        char *fragment = lend(json + at, take);
        size_t safe[4];
        for (i = 0; i < count; i++) safe[i] = parts.field[i].safe;
        stream_json_view_feed(&parts, fragment, take);
        take_back(fragment, take);
        at += take;
        for (i = 0; i < count; i++) {
            const stream_json_field *f = &parts.field[i];
            FUZZ_CHECK(f->offset + f->len <= parts.offset && f->safe <= f->len && f->safe >= safe[i]);
            if (parts.status >= 0 && f->type) FUZZ_CHECK(f->whole || f->offset + f->len == at);
        }
    }
    FUZZ_CHECK(whole.status == parts.status && whole.offset == parts.offset);
    FUZZ_CHECK(memcmp(whole.field, parts.field, sizeof whole.field) == 0);
    FUZZ_CHECK(whole.status == picked || whole.status == STREAM_E_INVALID);
    trace_status(&said, whole.status);
    trace_add(&said, whole.offset);
    for (i = 0; i < count; i++) {
        const stream_json_field *f = &whole.field[i];
        trace_add(&said, f->offset);
        trace_add(&said, f->len);
        trace_add(&said, f->safe);
        trace_add(&said, (unsigned)f->type << 1 | f->whole);
        if (f->type == STREAM_JSON_STRING) shown(json, f);
        if (f->whole)
            FUZZ_CHECK(found[i].ptr == json + f->offset && found[i].len == f->len &&
                       found[i].type == f->type);
        else
            FUZZ_CHECK(found[i].type == STREAM_JSON_NONE ||
                       (f->type == found[i].type && f->type < STREAM_JSON_STRING));
    }
}

/* No object has two keys alike, and it is not deep; with `whole`, none of its members is null. */
static bool plain(stream_json_value v, unsigned depth, bool whole) {
    stream_json_each each, earlier;
    stream_json_value key, value, other, unused;
    char name[64];
    size_t n;
    if (stream_json_each_init(&each, v) != STREAM_OK) return true;
    if (depth == 20) return false;
    while (stream_json_each_next(&each, &key, &value) == STREAM_OK) {
        if (key.type == STREAM_JSON_STRING) {
            if (whole && value.type == STREAM_JSON_NULL) return false;
            if (stream_json_string(key, STREAM_JSON_PASS, name, sizeof name, &n) != STREAM_OK) return false;
            stream_json_each_init(&earlier, v);
            while (stream_json_each_next(&earlier, &other, &unused) == STREAM_OK && other.ptr != key.ptr)
                if (stream_json_equals(other, name, n)) return false;
        }
        if (!plain(value, depth + 1, whole)) return false;
    }
    return true;
}

/* One rule that did something to a plain document: what it names is there now, or is not. */
static void changed(const char *was, size_t n, const char *now, size_t len, const stream_json_rule *rule) {
    const char *const pointer[1] = {rule->pointer};
    const char *last = strrchr(rule->pointer, '/'), *p;
    stream_json_value before, after;
    for (p = rule->pointer; *p; p++)
        if (*p & 0x80) return; /* a new key that is not UTF-8 is mended, and another one then */
    FUZZ_CHECK(stream_json_pick(was, n, pointer, 1, &before) == STREAM_OK);
    FUZZ_CHECK(stream_json_pick(now, len, pointer, 1, &after) == STREAM_OK);
    if (rule->op == STREAM_JSON_OP_REPLACE) FUZZ_CHECK(before.ptr != NULL);
    if (rule->op == STREAM_JSON_OP_DROP) {
        FUZZ_CHECK(before.ptr != NULL && len < n);
    } else if (last && strcmp(last, "/-") == 0) {
        FUZZ_CHECK(len > n || before.ptr); /* behind the last, or a member of this name */
    } else if (rule->value.ptr) {
        FUZZ_CHECK(after.len == rule->value.len && memcmp(after.ptr, rule->value.ptr, after.len) == 0);
    } else {
        FUZZ_CHECK(after.type == STREAM_JSON_NULL);
    }
}

static void rewrite(const char *json, size_t n, const stream_json_rule *rules, size_t count, uint8_t cap) {
    stream_json_writer w;
    trace in_memory = {0, 0, 0}, through = {0, 0, 0};
    uint64_t hits, again_hits;
    size_t need, len, offset, at, i;
    char buffer[256], *dst;
    stream_status status, valid = stream_json_check(json, n, &at), end;
    bool values = true;
    for (i = 0; i < count; i++)
        if (rules[i].value.type &&
            stream_json_check(rules[i].value.ptr, rules[i].value.len, &at) != STREAM_OK)
            values = false;
    stream_json_writer_init(&w, NULL, 0);
    status = stream_json_rewrite(json, n, rules, count, &w, &hits, &offset);
    end = stream_json_writer_finish(&w, &need);
    FUZZ_CHECK(status == STREAM_OK ? end == STREAM_FULL : end == status);
    FUZZ_CHECK(offset <= n && (count == 64 || hits >> count == 0));
    dst = (char *)malloc(need ? need : 1);
    if (!dst) exit(1);
    stream_json_writer_init(&w, dst, need);
    FUZZ_CHECK(stream_json_rewrite(json, n, rules, count, &w, &again_hits, NULL) == status &&
               again_hits == hits);
    FUZZ_CHECK(stream_json_writer_finish(&w, &len) == status && len == need);
    to_sum(&in_memory, dst, len);
    stream_json_writer_init_flush(&w, buffer, cap, to_sum, &through);
    stream_json_rewrite(json, n, rules, count, &w, NULL, NULL);
    FUZZ_CHECK(stream_json_writer_finish(&w, &len) == status && len == need);
    FUZZ_CHECK(status != STREAM_OK || in_memory.sum == through.sum);
    if (valid == STREAM_OK) FUZZ_CHECK(status == STREAM_OK || status == STREAM_E_ARGUMENT);
    if (valid == STREAM_OK && status == STREAM_OK && values)
        FUZZ_CHECK(stream_json_check(dst, need, &at) == STREAM_OK ||
                   stream_json_check(dst, need, &at) == STREAM_E_TOO_DEEP);
    if (status == STREAM_OK && hits == 0) FUZZ_CHECK(need == n && memcmp(dst, json, n) == 0);
    if (valid == STREAM_OK && status == STREAM_OK && values && count == 1 && hits &&
        plain(stream_json_value_of(json, n), 0, false))
        changed(json, n, dst, need, rules);
    trace_status(&said, status);
    trace_add(&said, offset);
    trace_add(&said, hits);
    trace_bytes(&said, dst, len);
    free(dst);
}

/* The same with some memory, or with enough: what came out without, unless a key stands twice. */
static void sorted(bool merge, stream_json_value a, stream_json_value b, const char *want, size_t want_len,
                   stream_status want_status) {
    const size_t room = want_len % 2 ? merge ? b.len : a.len : want_len % 64;
    char *memory = (char *)malloc(room ? room : 1), *dst = (char *)malloc(want_len ? want_len : 1);
    stream_json_writer w;
    stream_status status;
    size_t len;
    if (!memory || !dst) exit(1);
    stream_json_writer_init(&w, dst, want_len);
    status = merge ? stream_json_merge_sorted(a, b, &w, memory, room) : stream_json_diff_sorted(a, b, &w, memory, room);
    (void)stream_json_writer_finish(&w, &len);
    if (plain(a, 0, false) && plain(b, 0, false))
        FUZZ_CHECK(status == want_status && len == want_len && memcmp(dst, want, len) == 0);
    free(memory);
    free(dst);
}

/* One value, made by diff or merge; NULL when that was refused. */
static char *make(bool merge, stream_json_value a, stream_json_value b, size_t *len, stream_status *status) {
    stream_json_writer w;
    char *dst;
    size_t need;
    stream_json_writer_init(&w, NULL, 0);
    *status = merge ? stream_json_merge(a, b, &w) : stream_json_diff(a, b, &w);
    stream_json_writer_finish(&w, &need);
    dst = (char *)malloc(need ? need : 1);
    if (!dst) exit(1);
    stream_json_writer_init(&w, dst, need);
    FUZZ_CHECK((merge ? stream_json_merge(a, b, &w) : stream_json_diff(a, b, &w)) == *status);
    FUZZ_CHECK(stream_json_writer_finish(&w, len) == *status && *len == need);
    sorted(merge, a, b, dst, need, *status);
    trace_status(&said, *status);
    trace_bytes(&said, dst, *len);
    if (*status == STREAM_OK) return dst;
    free(dst);
    return NULL;
}

static void patch(const char *a, size_t an, const char *b, size_t bn) {
    stream_json_value x = stream_json_value_of(a, an), y = stream_json_value_of(b, bn);
    stream_status status;
    size_t at, len, merged_len, left_len;
    char *difference, *merged, *left;
    const bool valid =
        stream_json_check(a, an, &at) == STREAM_OK && stream_json_check(b, bn, &at) == STREAM_OK;
    difference = make(false, x, y, &len, &status);
    if (valid) FUZZ_CHECK(status == STREAM_OK || status == STREAM_E_TOO_DEEP);
    if (valid && difference) {
        FUZZ_CHECK(stream_json_check(difference, len, &at) == STREAM_OK);
        merged = make(true, x, stream_json_value_of(difference, len), &merged_len, &status);
        FUZZ_CHECK(merged || status == STREAM_E_TOO_DEEP);
        if (merged && plain(x, 0, true) && plain(y, 0, true)) { /* nothing is left that differs */
            FUZZ_CHECK(stream_json_check(merged, merged_len, &at) == STREAM_OK);
            left = make(false, y, stream_json_value_of(merged, merged_len), &left_len, &status);
            FUZZ_CHECK(left != NULL);
            if (y.type == STREAM_JSON_OBJECT) FUZZ_CHECK(left_len == 2 && memcmp(left, "{}", 2) == 0);
            else FUZZ_CHECK(left_len == y.len && memcmp(left, y.ptr, y.len) == 0);
            free(left);
        }
        free(merged);
    }
    free(difference);
    merged = make(true, x, y, &merged_len, &status);
    if (valid) FUZZ_CHECK(status == STREAM_OK || status == STREAM_E_TOO_DEEP);
    if (valid && merged) FUZZ_CHECK(stream_json_check(merged, merged_len, &at) == STREAM_OK);
    free(merged);
}

static uint64_t fuzz_outcome(const uint8_t *data, size_t len) {
    static const char ops[] = "=~+-";
    const char *p = (const char *)data, *e = p + len, *pointers[3], *value, *text;
    stream_json_rule rules[3];
    size_t i, n;
    char *a, *b;
    size_t an, bn;
    if (len < 2) return 0;
    p += 2;
    memset(&said, 0, sizeof said);
    memset(rules, 0, sizeof rules);
    for (i = 0; i < 3; i++) {
        const char *op;
        text = piece(&p, e, &n);
        op = n ? strchr(ops, *text) : NULL;
        rules[i].op = (stream_json_op)(op ? op - ops : 0);
        rules[i].pointer = pointers[i] = n ? text + 1 : text;
        value = piece(&p, e, &n);
        rules[i].value = stream_json_value_of(value, n);
    }
    text = p;
    value = (const char *)memchr(p, '\0', (size_t)(e - p));
    an = (size_t)((value ? value : e) - text);
    bn = value ? (size_t)(e - value - 1) : 0;
    a = fuzz_copy(text, an);
    b = fuzz_copy(value ? value + 1 : text, bn);
    look(a, an, pointers, data[0] & 3, 1 + data[1] % 16);
    rewrite(a, an, rules, data[0] & 3, data[1]);
    patch(a, an, b, bn);
    free(a);
    free(b);
    return said.sum;
}
