/* SPDX-License-Identifier: MIT-0
   --drop, --only, --set and --diff: what becomes of an event on its way; --terminal: which one is the last.
 */
#include <stdio.h>
#include <stdlib.h>

#include "relay.h"

enum { MAX_PATCHED = 200, MAX_KEY = 1024 }; /* longest name and key of an event that --diff looks at */

/* "/pointer=json" taken apart into a rule; the pointer's copy lies in `memory`. */
static const char *parse_rule(const char *text, stream_json_rule *rule, char *memory, size_t cap) {
    const char *equals = strchr(text, '='), *p;
    stream_json_writer w;
    size_t len = equals ? (size_t)(equals - text) : 0, offset;
    if (!equals || len == 0 || text[0] != '/') return "is not /pointer=json";
    if (len >= cap) return "has a pointer that is too long";
    for (p = equals + 1; *p; p++)
        if (*p == '\n' || *p == '\r') return "has a value of several lines";
    if (stream_json_check(equals + 1, strlen(equals + 1), &offset) != STREAM_OK)
        return "has a value that is no JSON";
    memcpy(memory, text, len);
    memory[len] = '\0';
    memset(rule, 0, sizeof *rule);
    rule->pointer = memory;
    rule->value = stream_json_value_of(equals + 1, strlen(equals + 1));
    stream_json_writer_init(&w, NULL, 0);
    if (stream_json_rewrite("{}", 2, rule, 1, &w, NULL, NULL) != STREAM_OK)
        return "has a pointer that is none, or goes too deep";
    return NULL;
}

const char *filter_init(filter *f, const options *o, const char **which) {
    unsigned i;
    memset(f, 0, sizeof *f);
    f->drop = o->drop;
    f->only = o->only;
    for (i = 0; i < o->set.count; i++) {
        const char *wrong = parse_rule(o->set.text[i], &f->rule[i], f->pointer[i], sizeof f->pointer[i]);
        if (wrong) {
            *which = o->set.text[i];
            return wrong;
        }
        f->grows += f->rule[i].value.len + strlen(f->pointer[i]) + 8;
    }
    if (o->diff) {
        const char *name = o->diff + (*o->diff == '/'), *p;
        *which = o->diff;
        if (!*name || strlen(name) > sizeof f->diff - 2) return "is no name of a member";
        for (p = name; *p; p++)
            if ((unsigned char)*p < 0x20 || strchr("\"\\/~", *p)) return "is no name of a plain member";
        snprintf(f->diff, sizeof f->diff, "/%s", name);
    }
    f->rules = o->set.count;
    (void)stream_sse_init(&f->sse, NULL);
    f->active = f->rules || f->drop.count || f->only.count || f->diff[0];
    return NULL;
}

/* A name with a NUL in it can be read, but not be written: what is written anew has none. */
static bool writable(const stream_sse_event *event) {
    return stream_find_byte(event->event.ptr, event->event.len, '\0') == event->event.len;
}

static bool among(const texts *t, stream_slice name) {
    unsigned i;
    for (i = 0; i < t->count; i++)
        if (strlen(t->text[i]) == name.len && memcmp(t->text[i], name.ptr, name.len) == 0) return true;
    return false;
}

/* ---- --diff ---- */

diff_state *diff_new(unsigned keys, size_t most_bytes) {
    diff_state *d = (diff_state *)calloc(1, sizeof *d + keys * sizeof d->last[0]);
    if (!d) return NULL;
    d->keys = keys;
    d->most_bytes = most_bytes;
    return d;
}

static void forget(diff_state *d, diff_last *l) {
    if (!l->json) return;
    d->bytes -= l->json->len;
    stream_pool_release(l->json);
    l->json = NULL;
    l->hash = 0;
}

void diff_free(diff_state *d) {
    unsigned i;
    for (i = 0; d && i < d->keys; i++) forget(d, &d->last[i]);
    free(d);
}

static uint64_t name_hash(stream_slice name, stream_slice key) { /* FNV-1a */
    uint64_t h = UINT64_C(14695981039346656037);
    size_t i;
    for (i = 0; i < name.len; i++) h = (h ^ (unsigned char)name.ptr[i]) * UINT64_C(1099511628211);
    h = (h ^ '\n') * UINT64_C(1099511628211); /* no name has one */
    for (i = 0; i < key.len; i++) h = (h ^ (unsigned char)key.ptr[i]) * UINT64_C(1099511628211);
    return h;
}

/* The member's value; without a pointer: --diff has nothing to do with this event. */
static stream_slice key_of(const filter *f, const stream_sse_event *event) {
    const char *pointer = f->diff;
    stream_json_value key = {NULL, 0, STREAM_JSON_NONE};
    stream_slice data = event->data;
    size_t offset;
    if (!f->diff[0] || stream_sse_type(event).len > MAX_PATCHED || !writable(event) ||
        stream_json_value_of(data.ptr, data.len).type != STREAM_JSON_OBJECT ||
        stream_json_check(data.ptr, data.len, &offset) != STREAM_OK ||
        stream_json_pick(data.ptr, data.len, &pointer, 1, &key) != STREAM_OK || key.len > MAX_KEY)
        return stream_slice_of(NULL, 0);
    return stream_slice_of(key.ptr, key.len);
}

bool diff_keyed(const relay *r, const stream_sse_event *event) {
    return key_of(&r->filter, event).ptr != NULL;
}

/* The patch from one to the other with the key in it: true when there is one that is shorter than the
   whole. A patch cannot set null, so what has one goes whole; a string that says so costs a patch, no more.
 */
static bool make_patch(relay *r, const stream_pool_buf *from, stream_slice to, stream_slice key,
                       stream_pool_buf **out) {
    const filter *f = &r->filter;
    stream_json_writer w;
    stream_pool_buf *buf, *sorted;
    size_t len, head, i;
    for (i = 0; i + 4 <= to.len; i++)
        if (to.ptr[i] == 'n' && memcmp(to.ptr + i, "null", 4) == 0) return false;
    if (stream_pool_acquire(r->s.pool, to.len + sizeof f->diff, &buf) != STREAM_OK) return false;
    if (stream_pool_acquire(r->s.pool, from->len, &sorted) != STREAM_OK) {
        stream_pool_release(buf);
        return false;
    }
    head = (size_t)snprintf(buf->data, buf->capacity, "{\"%s\":%.*s", f->diff + 1, (int)key.len, key.ptr);
    stream_json_writer_init(&w, buf->data + head, buf->capacity - head);
    if (head + 2 < to.len &&
        stream_json_diff_sorted(stream_json_value_of(from->data, from->len), stream_json_value_of(to.ptr, to.len),
                                &w, sorted->data, sorted->capacity) == STREAM_OK &&
        stream_json_writer_finish(&w, &len) == STREAM_OK && head + len < to.len) {
        /* {"key":1 and {"changed":2} become one object */
        buf->data[head] = len > 2 ? ',' : '}';
        buf->len = len > 2 ? head + len : head + 1;
        *out = buf;
        buf = NULL;
    }
    stream_pool_release(sorted);
    if (buf) stream_pool_release(buf);
    return buf == NULL;
}

bool diff_event(relay *r, diff_state *d, const stream_sse_event *event, uint64_t number, uint64_t topic,
                diff_found *found) {
    stream_slice whole = event->data, key = key_of(&r->filter, event);
    stream_pool_buf *kept;
    diff_last *l = NULL;
    uint64_t hash;
    unsigned i;
    memset(found, 0, sizeof *found);
    if (!key.ptr) return true;
    found->keyed = true;
    hash = name_hash(stream_sse_type(event), key);
    for (i = 0; i < d->keys && !l; i++) {
        diff_last *one = &d->last[i];
        if (one->hash == hash && one->json && one->key_len == key.len &&
            memcmp(one->json->data + one->key_at, key.ptr, key.len) == 0)
            l = one;
    }
    if (l) {
        found->number = l->number;
        found->topic = l->topic;
        (void)make_patch(r, l->json, whole, key, &found->patch);
    } else {
        l = &d->last[d->turn++ % d->keys];
    }
    forget(d, l);
    if (stream_pool_acquire(r->s.pool, whole.len, &kept) != STREAM_OK) {
        stream_pool_release(found->patch);
        found->patch = NULL;
        return false;
    }
    memcpy(kept->data, whole.ptr, whole.len);
    kept->len = whole.len;
    l->hash = hash;
    l->json = kept;
    l->key_at = (size_t)(key.ptr - whole.ptr);
    l->key_len = key.len;
    l->number = number;
    l->topic = topic;
    d->bytes += whole.len;
    for (i = 0; i < d->keys && d->bytes > d->most_bytes; i++) {
        diff_last *oldest = &d->last[d->turn++ % d->keys];
        if (oldest != l) forget(d, oldest);
    }
    return true;
}

stream_sse_event diff_patched(const stream_sse_event *event, const stream_pool_buf *patch,
                              char name[PATCH_NAME]) {
    stream_sse_event patched = *event;
    stream_slice type = stream_sse_type(event);
    int n = snprintf(name, PATCH_NAME, "%.*s.patch", (int)type.len, type.ptr);
    patched.event = stream_slice_of(name, (size_t)n);
    patched.data = stream_slice_of(patch->data, patch->len);
    return patched;
}

/* ---- */

filter_verdict filter_event(relay *r, const stream_sse_event *event, stream_pool_buf **data) {
    filter *f = &r->filter;
    stream_slice type = stream_sse_type(event);
    stream_json_writer w;
    stream_pool_buf *buf;
    stream_status status;
    uint64_t hits;
    size_t len, room = event->data.len + f->grows;
    if ((f->only.count && !among(&f->only, type)) || among(&f->drop, type)) {
        r->counts.filtered++;
        return FILTER_DROP;
    }
    /* What is no JSON ("[DONE]") is nothing that rules speak of. */
    if (f->rules == 0 || stream_json_check(event->data.ptr, event->data.len, &len) != STREAM_OK)
        return FILTER_PASS;
    for (;;) {
        if (stream_pool_acquire(r->s.pool, room, &buf) != STREAM_OK) return FILTER_NO_MEMORY;
        stream_json_writer_init(&w, buf->data, buf->capacity);
        (void)stream_json_rewrite(event->data.ptr, event->data.len, f->rule, f->rules, &w, &hits, NULL);
        status = stream_json_writer_finish(&w, &room);
        if (status == STREAM_OK) break;
        stream_pool_release(buf);
        /* A key that stands several times is set as often, and a new one may need escapes. */
        if (status != STREAM_FULL) return FILTER_FAILED;
    }
    if (!hits) {
        stream_pool_release(buf);
        return FILTER_PASS;
    }
    buf->len = room;
    *data = buf;
    r->counts.rewritten++;
    return FILTER_CHANGED;
}

bool filter_terminal(const relay *r, const stream_sse_event *event) {
    return among(&r->o.terminal, event->data) || among(&r->o.terminal, stream_sse_type(event));
}

/* Takes a block apart; true when it is an event, filter.sse.event. Behind the beginning of a stream a byte
   order mark is none, but part of a field that nobody knows. */
static bool take_apart(relay *r, const char *ptr, size_t len, bool first, stream_item *item) {
    stream_sse *sse = &r->filter.sse;
    stream_sse_reset(sse);
    if (!first) {
        (void)stream_sse_feed(sse, "\n", 1);
        (void)stream_sse_next(sse, item);
    }
    (void)stream_sse_feed(sse, ptr, len);
    return stream_sse_next(sse, item) == STREAM_OK;
}

bool filter_terminal_block(relay *r, const char *ptr, size_t len, bool first) {
    stream_item item;
    return take_apart(r, ptr, len, first, &item) && filter_terminal(r, &r->filter.sse.event);
}

/* Room for `more` bytes behind (*out)->len, in a larger buffer if need be. */
static bool room(relay *r, stream_pool_buf **out, size_t more) {
    stream_pool_buf *larger;
    size_t have = *out ? (*out)->len : 0;
    if (*out && (*out)->capacity - have >= more) return true;
    if (stream_pool_acquire(r->s.pool, have + more > r->o.chunk ? (have + more) * 2 : r->o.chunk,
                            &larger) != STREAM_OK)
        return false;
    if (have) memcpy(larger->data, (*out)->data, have);
    larger->len = have;
    stream_pool_release(*out);
    *out = larger;
    return true;
}

static bool add(relay *r, stream_pool_buf **out, const char *ptr, size_t len) {
    if (len == 0) return true;
    if (!room(r, out, len)) return false;
    memcpy((*out)->data + (*out)->len, ptr, len);
    (*out)->len += len;
    return true;
}

static bool add_event(relay *r, stream_pool_buf **out, const stream_sse_event *event) {
    size_t need;
    (void)stream_sse_write(event, NULL, 0, &need);
    if (!room(r, out, need) || stream_sse_write(event, (*out)->data + (*out)->len,
                                                (*out)->capacity - (*out)->len, &need) != STREAM_OK)
        return false;
    (*out)->len += need;
    return true;
}

/* The block as --set left it. */
static bool add_block(relay *r, stream_pool_buf **out, const stream_item *item,
                      const stream_sse_event *event, const char *ptr, size_t len) {
    size_t before = (size_t)(item->ptr - ptr);
    if (item->flags & STREAM_COPIED)
        return add_event(r, out, event); /* several lines of data: written anew */
    /* one line: everything around it stays as it is */
    return add(r, out, ptr, before) && add(r, out, event->data.ptr, event->data.len) &&
           add(r, out, item->ptr + item->len, len - before - item->len);
}

bool filter_block(relay *r, diff_state **d, const char *ptr, size_t len, bool first, stream_pool_buf **out) {
    stream_item item;
    stream_pool_buf *data = NULL;
    stream_sse_event event;
    filter_verdict verdict;
    diff_found found;
    bool good;
    if (!take_apart(r, ptr, len, first, &item))
        return add(r, out, ptr, len); /* a comment, an id alone */
    event = r->filter.sse.event;
    verdict = filter_event(r, &event, &data);
    if (verdict == FILTER_FAILED || verdict == FILTER_NO_MEMORY) return false;
    /* A blank line in the place of the first block: behind it no byte order mark becomes one. */
    if (verdict == FILTER_DROP) return !first || add(r, out, "\n", 1);
    if (data && (item.flags & STREAM_COPIED) && !writable(&event)) { /* it cannot pass as it was, either */
        stream_pool_release(data);
        r->counts.filtered++;
        return !first || add(r, out, "\n", 1);
    }
    if (data) event.data = stream_slice_of(data->data, data->len);
    memset(&found, 0, sizeof found);
    good = true;
    if (r->filter.diff[0]) {
        if (!*d) *d = diff_new(DIFF_KEYS, SIZE_MAX);
        good = *d && diff_event(r, *d, &event, 0, 0, &found);
    }
    if (good && found.patch) {
        char name[PATCH_NAME];
        stream_sse_event patched = diff_patched(&event, found.patch, name);
        good = add_event(r, out, &patched);
        r->counts.patched++;
    } else if (good) {
        good = data ? add_block(r, out, &item, &event, ptr, len) : add(r, out, ptr, len);
    }
    stream_pool_release(found.patch);
    stream_pool_release(data);
    return good;
}
