/* SPDX-License-Identifier: MIT-0
   --drop, --only, --set and --diff: what becomes of an event on its way; --terminal: which one is the last.
 */
#include <stdio.h>
#include <stdlib.h>

#include "relay.h"

enum { MAX_PATCHED = 200 }; /* longest name of an event that --diff looks at */

/* "/pointer=json" taken apart into a rule; the pointer's copy lies in `memory`. */
static const char *parse_rule(const char *text, stream_json_rule *rule, char *memory, size_t cap) {
    const char *equals = strchr(text, '='), *p;
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

static bool among(const texts *t, stream_slice name) {
    unsigned i;
    for (i = 0; i < t->count; i++)
        if (strlen(t->text[i]) == name.len && memcmp(t->text[i], name.ptr, name.len) == 0) return true;
    return false;
}

/* ---- --diff ---- */

void diff_free(diff_state *d) {
    unsigned i;
    for (i = 0; d && i < DIFF_KEYS; i++) stream_pool_release(d->last[i].json);
    free(d);
}

static uint64_t name_hash(stream_slice name) { /* FNV-1a */
    uint64_t h = UINT64_C(14695981039346656037);
    size_t i;
    for (i = 0; i < name.len; i++) h = (h ^ (unsigned char)name.ptr[i]) * UINT64_C(1099511628211);
    return h;
}

static stream_json_value key_of(const filter *f, const char *json, size_t len) {
    const char *pointer = f->diff;
    stream_json_value key = {NULL, 0, STREAM_JSON_NONE};
    (void)stream_json_pick(json, len, &pointer, 1, &key);
    return key;
}

/* The patch from one to the other with the key in it: true when there is one that is shorter than the
   whole. A patch cannot set null, so what has one goes whole; a string that says so costs a patch, no more.
 */
static bool make_patch(relay *r, const stream_pool_buf *from, stream_slice to, stream_json_value key,
                       stream_pool_buf **out) {
    const filter *f = &r->filter;
    stream_json_writer w;
    stream_pool_buf *buf;
    size_t len, head, i;
    for (i = 0; i + 4 <= to.len; i++)
        if (to.ptr[i] == 'n' && memcmp(to.ptr + i, "null", 4) == 0) return false;
    if (stream_pool_acquire(r->s.pool, to.len + sizeof f->diff, &buf) != STREAM_OK) return false;
    head = (size_t)snprintf(buf->data, buf->capacity, "{\"%s\":%.*s", f->diff + 1, (int)key.len, key.ptr);
    stream_json_writer_init(&w, buf->data + head, buf->capacity - head);
    if (head + 2 < to.len &&
        stream_json_diff(stream_json_value_of(from->data, from->len), stream_json_value_of(to.ptr, to.len),
                         &w) == STREAM_OK &&
        stream_json_writer_finish(&w, &len) == STREAM_OK && head + len < to.len) {
        /* {"key":1 and {"changed":2} become one object */
        buf->data[head] = len > 2 ? ',' : '}';
        buf->len = len > 2 ? head + len : head + 1;
        *out = buf;
        return true;
    }
    stream_pool_release(buf);
    return false;
}

/* What the client is sent of it instead; the whole is kept for the next one. *data: what --set made of it.
 */
static filter_verdict diff_event(relay *r, diff_state **state, const stream_sse_event *event,
                                 stream_pool_buf **data) {
    stream_slice whole = *data ? stream_slice_of((*data)->data, (*data)->len) : event->data;
    stream_json_value key = key_of(&r->filter, whole.ptr, whole.len);
    filter_verdict unchanged = *data ? FILTER_CHANGED : FILTER_PASS;
    uint64_t name = name_hash(stream_sse_type(event));
    stream_pool_buf *kept, *patch = NULL;
    diff_state *d;
    unsigned i;
    if (stream_json_value_of(whole.ptr, whole.len).type != STREAM_JSON_OBJECT ||
        key.type == STREAM_JSON_NONE || key.len > 1024 || stream_sse_type(event).len > MAX_PATCHED)
        return unchanged;
    if (!*state) *state = (diff_state *)calloc(1, sizeof **state);
    d = *state;
    if (!d || stream_pool_acquire(r->s.pool, whole.len, &kept) != STREAM_OK) return FILTER_FAILED;
    memcpy(kept->data, whole.ptr, whole.len);
    kept->len = whole.len;
    for (i = 0; i < DIFF_KEYS; i++) {
        stream_json_value other;
        if (!d->last[i].json || d->last[i].name != name) continue;
        other = key_of(&r->filter, d->last[i].json->data, d->last[i].json->len);
        if (other.len == key.len && memcmp(other.ptr, key.ptr, key.len) == 0) break;
    }
    if (i == DIFF_KEYS)
        i = d->turn++ % DIFF_KEYS;
    else
        (void)make_patch(r, d->last[i].json, whole, key, &patch);
    stream_pool_release(d->last[i].json);
    d->last[i].name = name;
    d->last[i].json = kept;
    if (!patch) return unchanged;
    stream_pool_release(*data);
    *data = patch;
    return FILTER_PATCHED;
}

/* ---- */

filter_verdict filter_event(relay *r, diff_state **d, const stream_sse_event *event,
                            stream_pool_buf **data) {
    filter *f = &r->filter;
    stream_slice type = stream_sse_type(event);
    filter_verdict verdict = FILTER_PASS;
    stream_json_writer w;
    stream_pool_buf *buf;
    uint64_t hits;
    size_t len;
    if ((f->only.count && !among(&f->only, type)) || among(&f->drop, type)) {
        r->counts.filtered++;
        return FILTER_DROP;
    }
    /* What is no JSON ("[DONE]") is nothing that rules speak of. */
    if ((f->rules == 0 && !(d && f->diff[0])) ||
        stream_json_check(event->data.ptr, event->data.len, &len) != STREAM_OK)
        return FILTER_PASS;
    if (f->rules) {
        if (stream_pool_acquire(r->s.pool, event->data.len + f->grows, &buf) != STREAM_OK)
            return FILTER_FAILED;
        stream_json_writer_init(&w, buf->data, buf->capacity);
        if (stream_json_rewrite(event->data.ptr, event->data.len, f->rule, f->rules, &w, &hits, NULL) !=
                STREAM_OK ||
            stream_json_writer_finish(&w, &len) != STREAM_OK) {
            stream_pool_release(buf);
            return FILTER_FAILED;
        }
        buf->len = len;
        if (hits) {
            *data = buf;
            verdict = FILTER_CHANGED;
        } else {
            stream_pool_release(buf);
        }
    }
    if (d && f->diff[0]) verdict = diff_event(r, d, event, data);
    if (verdict != FILTER_PASS) r->counts.rewritten++;
    return verdict;
}

bool filter_terminal(const relay *r, const stream_sse_event *event) {
    return among(&r->o.terminal, event->data) || among(&r->o.terminal, stream_sse_type(event));
}

bool filter_terminal_block(relay *r, const char *ptr, size_t len) {
    stream_sse *sse = &r->filter.sse;
    stream_item item;
    stream_sse_reset(sse);
    (void)stream_sse_feed(sse, ptr, len);
    return stream_sse_next(sse, &item) == STREAM_OK && filter_terminal(r, &sse->event);
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

bool filter_block(relay *r, diff_state **d, const char *ptr, size_t len, stream_pool_buf **out) {
    stream_sse *sse = &r->filter.sse;
    stream_item item;
    stream_pool_buf *data = NULL;
    stream_sse_event event;
    bool good = false;
    stream_sse_reset(sse);
    (void)stream_sse_feed(sse, ptr, len);
    if (stream_sse_next(sse, &item) != STREAM_OK) return add(r, out, ptr, len); /* a comment, an id alone */
    event = sse->event;
    switch (filter_event(r, d, &event, &data)) {
    case FILTER_PASS: good = add(r, out, ptr, len); break;
    case FILTER_DROP: good = true; break;
    case FILTER_FAILED: break;
    case FILTER_CHANGED:
        if (item.flags & STREAM_COPIED) { /* several lines of data: written anew */
            event.data = stream_slice_of(data->data, data->len);
            good = add_event(r, out, &event);
        } else { /* one line: everything around it stays as it is */
            size_t before = (size_t)(item.ptr - ptr);
            good = add(r, out, ptr, before) && add(r, out, data->data, data->len) &&
                   add(r, out, item.ptr + item.len, len - before - item.len);
        }
        break;
    case FILTER_PATCHED: {
        char name[MAX_PATCHED + 8];
        stream_slice type = stream_sse_type(&event);
        int n = snprintf(name, sizeof name, "%.*s.patch", (int)type.len, type.ptr);
        event.event = stream_slice_of(name, (size_t)n);
        event.data = stream_slice_of(data->data, data->len);
        good = add_event(r, out, &event);
        break;
    }
    }
    stream_pool_release(data);
    return good;
}
