/* SPDX-License-Identifier: MIT-0
   Fuzz target: an event stream on its way through sse_relay's --set, --drop, --only and --diff, cut into
   blocks as the proxy does. What a client reads of the result, patches applied, is what it would have read
   without --diff; JSON stays JSON; what no rule is about passes byte by byte. The input is one byte of
   choices, one for where the allocator refuses, two of cuts, two rules, --drop, --only and --diff, each
   with a NUL behind it (empty: not given), and the stream. */
#define STREAM_IMPLEMENTATION
#ifdef FUZZ_SCALAR /* the tool's names a second time */
#define diff_new              scalar_diff_new
#define diff_free             scalar_diff_free
#define diff_keyed            scalar_diff_keyed
#define diff_event            scalar_diff_event
#define diff_patched          scalar_diff_patched
#define filter_init           scalar_filter_init
#define filter_event          scalar_filter_event
#define filter_block          scalar_filter_block
#define filter_terminal       scalar_filter_terminal
#define filter_terminal_block scalar_filter_terminal_block
#endif
#include "fuzz_kernels.h"
#define STREAM_POOL_IMPLEMENTATION
#include "stream_pool.h"
#include "../examples/sse_relay/filter.c"

enum { MOST_EVENTS = 200, NODES = 1 << 12, UNITS = 1 << 13, TEXT = 1 << 16 };

/* ---- JSON as a tree: text that is known to be valid ---------------------------------------------------- */

typedef struct node {
    const char *ptr; /* of what is no string and no container, as it is spelled */
    size_t len;
    size_t units, count;      /* of a string: where its text begins, and how long it is */
    struct node *first, *key; /* of a container; of a member, whose key it is */
    struct node *next;
    char type; /* the first character */
} node;

static node nodes[NODES];
static uint16_t units[UNITS];
static size_t nodes_used, units_used;

static node *new_node(char type) {
    node *n = &nodes[nodes_used++];
    FUZZ_CHECK(nodes_used < NODES);
    memset(n, 0, sizeof *n);
    n->type = type;
    return n;
}

static void space(const char **p, const char *e) {
    while (*p < e && (**p == ' ' || **p == '\t' || **p == '\n' || **p == '\r')) ++*p;
}

/* UTF-16, so that an escaped character and a plain one are the same. */
static void unit(uint32_t c) {
    FUZZ_CHECK(units_used + 2 < UNITS);
    if (c >= 0x10000) {
        units[units_used++] = (uint16_t)(0xD800 + ((c - 0x10000) >> 10));
        c = 0xDC00 + (c & 0x3FF);
    }
    units[units_used++] = (uint16_t)c;
}

static node *string(const char **p) {
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    node *n = new_node('"');
    const unsigned char *s = (const unsigned char *)*p + 1;
    n->units = units_used;
    while (*s != '"') {
        uint32_t c = *s++;
        int more = c < 0xC0 ? 0 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
        if (c == '\\' && *s == 'u') {
            char hex[5] = {0};
            memcpy(hex, s + 1, 4);
            c = (uint32_t)strtoul(hex, NULL, 16);
            s += 5;
        } else if (c == '\\') {
            c = (unsigned char)meant[strchr(letters, *s++) - letters];
        } else if (more) {
            c &= 0x3Fu >> more;
            while (more-- > 0) c = c << 6 | (*s++ & 0x3F);
        }
        unit(c);
    }
    n->count = units_used - n->units;
    *p = (const char *)s + 1;
    return n;
}

static node *tree(const char **p, const char *e) {
    node *n, **last;
    space(p, e);
    if (**p == '"') return string(p);
    n = new_node(**p);
    last = &n->first;
    n->ptr = *p;
    if (n->type != '{' && n->type != '[') {
        while (*p < e && !strchr(",]} \t\r\n", **p)) ++*p;
        n->len = (size_t)(*p - n->ptr);
        return n;
    }
    for (++*p, space(p, e); **p != '}' && **p != ']'; space(p, e)) {
        node *key = NULL;
        if (**p == ',') {
            ++*p;
            space(p, e);
        }
        if (n->type == '{') {
            key = string(p);
            space(p, e);
            ++*p; /* the colon */
        }
        *last = tree(p, e);
        (*last)->key = key;
        last = &(*last)->next;
    }
    ++*p;
    return n;
}

static node *tree_of(const char *ptr, size_t len) { return tree(&ptr, ptr + len); }

static bool same_string(const node *a, const node *b) {
    return a->count == b->count && memcmp(units + a->units, units + b->units, 2 * a->count) == 0;
}

static node *found_in(const node *object, const node *key) {
    node *n = object->first;
    while (n && !same_string(n->key, key)) n = n->next;
    return n;
}

static bool same_tree(const node *a, const node *b) {
    const node *x = a->first, *y = b->first;
    if (a->type == '"' || b->type == '"') return a->type == b->type && same_string(a, b);
    if (a->type != '{' && a->type != '[')
        return a->len == b->len && memcmp(a->ptr, b->ptr, a->len) == 0;
    if (a->type != b->type) return false;
    for (; x && y; x = x->next, y = y->next) {
        const node *other = a->type == '{' ? found_in(b, x->key) : y;
        if (!other || !same_tree(x, other)) return false;
    }
    return !x && !y;
}

/* Every key stands once in its object. */
static bool plain(const node *n) {
    const node *x;
    for (x = n->first; x; x = x->next)
        if ((x->key && found_in(n, x->key) != x) || !plain(x)) return false;
    return true;
}

/* RFC 7386, word by word. */
static node *patched_by(const node *whole, const node *patch) {
    node *n = new_node(patch->type), **last = &n->first;
    const node *x;
    if (patch->type != '{') {
        *n = *patch;
        return n;
    }
    for (x = whole && whole->type == '{' ? whole->first : NULL; x; x = x->next) {
        const node *change = found_in(patch, x->key);
        if (change && change->type == 'n') continue;
        if (change) {
            *last = patched_by(x, change);
        } else {
            *last = new_node(x->type);
            **last = *x;
        }
        (*last)->key = x->key;
        (*last)->next = NULL;
        last = &(*last)->next;
    }
    for (x = patch->first; x; x = x->next) {
        if (x->type == 'n' || (whole && whole->type == '{' && found_in(whole, x->key))) continue;
        *last = patched_by(NULL, x);
        (*last)->key = x->key;
        (*last)->next = NULL;
        last = &(*last)->next;
    }
    return n;
}

/* ---- streams ------------------------------------------------------------------------------------------- */

typedef struct event { /* as a client reads it; all of it in `text` */
    const char *type, *data, *id;
    size_t type_len, data_len, id_len;
    uint64_t retry_ms;
    bool has_id, has_retry;
} event;

typedef struct reading {
    event e[MOST_EVENTS];
    size_t count, used;
    char text[TEXT];
} reading;

static const char *keep(reading *r, stream_slice s) {
    char *p = r->text + r->used;
    FUZZ_CHECK(s.len < TEXT - r->used);
    if (s.len) memcpy(p, s.ptr, s.len);
    p[s.len] = '\0';
    r->used += s.len + 1;
    return p;
}

/* What a client makes of a stream. */
static void read_all(reading *r, const char *ptr, size_t len) {
    stream_sse sse;
    stream_item item;
    stream_status status;
    r->count = r->used = 0;
    FUZZ_CHECK(stream_sse_init(&sse, NULL) == STREAM_OK && stream_sse_feed(&sse, ptr, len) == STREAM_OK);
    stream_sse_finish(&sse);
    while ((status = stream_sse_next(&sse, &item)) != STREAM_END) {
        event *e = &r->e[r->count];
        if (status != STREAM_OK) continue; /* cut off, and lost to a client */
        FUZZ_CHECK(++r->count < MOST_EVENTS);
        memset(e, 0, sizeof *e);
        e->type_len = stream_sse_type(&sse.event).len;
        e->type = keep(r, stream_sse_type(&sse.event));
        e->data_len = sse.event.data.len;
        e->data = keep(r, sse.event.data);
        e->has_id = sse.event.id.ptr != NULL;
        e->id_len = sse.event.id.len;
        e->id = keep(r, sse.event.id);
        e->retry_ms = sse.event.retry_ms;
        e->has_retry = sse.event.has_retry;
    }
    stream_sse_free(&sse);
}

static bool same_text(const char *a, size_t a_len, const char *b, size_t b_len) {
    return a_len == b_len && memcmp(a, b, a_len) == 0;
}

/* ---- what must come of it ------------------------------------------------------------------------------ */

typedef struct state { /* the last whole of a name and a key, as a client has it */
    const char *type, *data;
    size_t type_len, data_len;
    stream_json_value key;
} state;

static bool json(const char *ptr, size_t len) {
    size_t offset;
    return stream_json_check(ptr, len, &offset) == STREAM_OK;
}

static bool named(const texts *t, const event *e) {
    unsigned i;
    for (i = 0; i < t->count; i++)
        if (same_text(t->text[i], strlen(t->text[i]), e->type, e->type_len)) return true;
    return false;
}

/* What --set makes of an event's data: into `after`, or as it is. One rule alone changes one place. */
static void set_by_rules(const filter *f, const event *in, reading *after, const char **data, size_t *len) {
    char made[4096];
    const char *p;
    stream_json_writer w;
    stream_json_value was;
    uint64_t hits;
    size_t n, front = 0, back = 0, most;
    *data = in->data;
    *len = in->data_len;
    if (!f->rules || !json(in->data, in->data_len)) return;
    stream_json_writer_init(&w, made, sizeof made);
    FUZZ_CHECK(stream_json_rewrite(in->data, in->data_len, f->rule, f->rules, &w, &hits, NULL) == STREAM_OK);
    FUZZ_CHECK(stream_json_writer_finish(&w, &n) == STREAM_OK);
    if (!hits) return;
    *data = keep(after, stream_slice_of(made, n));
    *len = n;
    if (f->rules > 1 || !plain(tree_of(in->data, in->data_len))) return;
    p = f->pointer[0];
    FUZZ_CHECK(stream_json_pick(in->data, in->data_len, &p, 1, &was) == STREAM_OK);
    most = n < in->data_len ? n : in->data_len;
    while (front < most && made[front] == in->data[front]) front++;
    while (back < most && made[n - 1 - back] == in->data[in->data_len - 1 - back]) back++;
    if (was.ptr) { /* before and behind the value nothing has changed */
        FUZZ_CHECK(front >= (size_t)(was.ptr - in->data));
        FUZZ_CHECK(back >= (size_t)(in->data + in->data_len - was.ptr) - was.len);
        FUZZ_CHECK(n == in->data_len - was.len + f->rule[0].value.len);
    } else { /* something was put in, and nothing taken */
        FUZZ_CHECK(n > in->data_len && front + back >= in->data_len);
    }
}

/* The event came out: whole, or as the patch that makes it of the one before. */
static void came_out(const event *in, const event *out, const char *data, size_t len, const char *pointer,
                     state *states, size_t *count, bool *unlike) {
    stream_json_value key = {NULL, 0, STREAM_JSON_NONE}, other;
    const bool object = json(data, len) && stream_json_value_of(data, len).type == STREAM_JSON_OBJECT;
    const bool whole = same_text(in->type, in->type_len, out->type, out->type_len) &&
                       same_text(data, len, out->data, out->data_len);
    size_t i;
    FUZZ_CHECK(out->has_id == in->has_id && same_text(in->id, in->id_len, out->id, out->id_len));
    FUZZ_CHECK(out->has_retry == in->has_retry && out->retry_ms == in->retry_ms);
    if (json(in->data, in->data_len)) FUZZ_CHECK(json(out->data, out->data_len));
    if (object && *pointer) {
        *unlike |= !plain(tree_of(data, len)); /* of keys that stand twice nobody says which counts */
        FUZZ_CHECK(stream_json_pick(data, len, &pointer, 1, &key) == STREAM_OK);
    }
    for (i = 0; i < *count; i++)
        if (key.ptr && same_text(states[i].type, states[i].type_len, in->type, in->type_len) &&
            same_text(states[i].key.ptr, states[i].key.len, key.ptr, key.len))
            break;
    if (!whole) {
        FUZZ_CHECK(*pointer && key.ptr && i < *count && out->data_len < len);
        FUZZ_CHECK(out->type_len == in->type_len + 6 && memcmp(out->type + in->type_len, ".patch", 6) == 0);
        FUZZ_CHECK(memcmp(out->type, in->type, in->type_len) == 0);
        FUZZ_CHECK(stream_json_pick(out->data, out->data_len, &pointer, 1, &other) == STREAM_OK);
        FUZZ_CHECK(same_text(other.ptr, other.len, key.ptr, key.len));
        if (!*unlike)
            FUZZ_CHECK(same_tree(patched_by(tree_of(states[i].data, states[i].data_len),
                                            tree_of(out->data, out->data_len)),
                                 tree_of(data, len)));
    }
    if (!key.ptr) return;
    if (i == *count) ++*count;
    states[i].type = in->type;
    states[i].type_len = in->type_len;
    states[i].data = data;
    states[i].data_len = len;
    states[i].key = key;
}

/* A block that rules have changed, and whose data is one line: all around the data is as it was. */
static void around(const char *block, size_t len, const char *out, size_t out_len) {
    size_t from = 0, i, lines = 0, at = 0, end = 0, front = 0, back = 0;
    for (i = 0; i <= len; i++) {
        if (i < len && block[i] != '\n' && block[i] != '\r') continue;
        if (i - from >= 4 && memcmp(block + from, "data", 4) == 0 &&
            (i - from == 4 || block[from + 4] == ':')) {
            lines++;
            at = from;
            end = i;
        }
        from = i + 1;
    }
    if (lines != 1) return;
    while (front < at && front < out_len && block[front] == out[front]) front++;
    while (back < len - end && back < out_len && block[len - 1 - back] == out[out_len - 1 - back]) back++;
    FUZZ_CHECK(front == at && back == len - end);
}

/* ---- one run ------------------------------------------------------------------------------------------- */

/* The next NUL-terminated piece of the input; "" when there is none. */
static const char *piece(const char **p, const char *e) {
    const char *begin = *p, *end = (const char *)memchr(begin, '\0', (size_t)(e - begin));
    *p = end ? end + 1 : e;
    return end ? begin : "";
}

static void give(texts *t, const char *text) {
    if (*text) t->text[t->count++] = text;
}

/* The blocks of the stream, as the proxy cuts them; false when memory gave out. */
static bool pass(relay *r, diff_state **d, const char *stream, size_t len, fuzz_cuts *cuts,
                 stream_pool_buf **out) {
    stream_sse blocks;
    stream_sse_desc desc;
    stream_item item;
    stream_status status;
    size_t at = 0, done = 0;
    bool good = true;
    memset(&desc, 0, sizeof desc);
    desc.mode = STREAM_SSE_PIECES;
    FUZZ_CHECK(stream_sse_init(&blocks, &desc) == STREAM_OK);
    while (good && at < len) {
        const size_t n = fuzz_next_cut(cuts, len - at);
        FUZZ_CHECK(stream_sse_feed(&blocks, stream + at, n) == STREAM_OK);
        at += n;
        while (good && ((status = stream_sse_next(&blocks, &item)) == STREAM_OK || status == STREAM_NOISE)) {
            const size_t before = *out ? (*out)->len : 0, end = (size_t)(item.ptr + item.len - stream);
            const relay_counts were = r->counts;
            char *block;
            if (item.kind == STREAM_SSE_PART) continue;
            block = lend(stream + done, end - done);
            good = filter_block(r, d, block, end - done, done == 0, out);
            (void)filter_terminal_block(r, block, end - done, done == 0);
            take_back(block, end - done);
            if (good && *out) {
                const char *now = (*out)->data + before, *was = stream + done;
                const size_t now_len = (*out)->len - before, was_len = end - done;
                if (r->counts.filtered != were.filtered) FUZZ_CHECK(now_len == (done == 0));
                else if (r->counts.patched != were.patched) FUZZ_CHECK(now_len > 0);
                else if (r->counts.rewritten != were.rewritten) around(was, was_len, now, now_len);
                else FUZZ_CHECK(same_text(was, was_len, now, now_len));
            }
            done = end;
        }
    }
    stream_sse_free(&blocks);
    return good;
}

static uint64_t fuzz_outcome(const uint8_t *data, size_t len) {
    static relay r;
    static options o;
    static reading before, after, sets;
    static state states[MOST_EVENTS];
    const char *p = (const char *)data, *e = p + len, *which, *name;
    trace t = {0, 0, 0};
    stream_pool pool;
    stream_pool_desc desc;
    stream_pool_buf *out = NULL;
    diff_state *d = NULL;
    fuzz_cuts cuts = {NULL, 0, 0};
    size_t i, k = 0, count = 0;
    bool unlike = false, good;
    heap h;
    if (len < 4 || len > 600) return 0;
    p += 4;
    memset(&r, 0, sizeof r);
    memset(&o, 0, sizeof o);
    memset(&desc, 0, sizeof desc);
    give(&o.set, piece(&p, e));
    give(&o.set, piece(&p, e));
    give(&o.drop, piece(&p, e));
    give(&o.only, piece(&p, e));
    name = piece(&p, e);
    o.diff = *name ? name : NULL;
    o.chunk = 16 + data[0];
    desc.tiers[0].size = 16;
    desc.tiers[0].count = 8;
    desc.tiers[1].size = 48;
    desc.tiers[1].count = 4;
    desc.allocator = fuzz_memory(&h, 0);
    if (filter_init(&r.filter, &o, &which) != NULL) return 0;
    r.o = o;
    r.s.pool = &pool;
    FUZZ_CHECK(stream_pool_init(&pool, &desc) == STREAM_OK);
    if (data[1]) h.fail_at = h.requests + data[1];
    h.fail_from = true;
    cuts.cuts = data + 2;
    cuts.count = 2;
    good = pass(&r, &d, p, (size_t)(e - p), &cuts, &out);
    FUZZ_CHECK(good || h.failed);
    if (good && out) {
        read_all(&before, p, (size_t)(e - p));
        read_all(&after, out->data, out->len);
        sets.used = 0;
        for (i = 0; i < before.count; i++) {
            const event *in = &before.e[i];
            const char *changed;
            size_t changed_len;
            if ((o.only.count && !named(&o.only, in)) || named(&o.drop, in)) continue;
            nodes_used = units_used = 0;
            set_by_rules(&r.filter, in, &sets, &changed, &changed_len);
            /* What has changed and has several lines is written anew, which takes a name without a NUL. */
            if (changed != in->data && memchr(in->type, '\0', in->type_len) &&
                memchr(in->data, '\n', in->data_len))
                continue;
            FUZZ_CHECK(k < after.count);
            came_out(in, &after.e[k++], changed, changed_len, r.filter.diff, states, &count, &unlike);
        }
        FUZZ_CHECK(k == after.count);
        trace_bytes(&t, out->data, out->len);
    }
    trace_add(&t, r.counts.rewritten);
    trace_add(&t, r.counts.patched);
    stream_pool_release(out);
    diff_free(d);
    stream_sse_free(&r.filter.sse);
    stream_pool_free(&pool);
    fuzz_memory_done(&h, SIZE_MAX);
    return t.sum;
}
