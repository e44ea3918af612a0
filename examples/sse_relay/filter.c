/* SPDX-License-Identifier: MIT-0
   --drop, --only and --set: what becomes of an event on its way. */
#include <stdio.h>

#include "relay.h"

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
    f->rules = o->set.count;
    (void)stream_sse_init(&f->sse, NULL);
    f->active = f->rules || f->drop.count || f->only.count;
    return NULL;
}

static bool among(const texts *t, stream_slice name) {
    unsigned i;
    for (i = 0; i < t->count; i++)
        if (strlen(t->text[i]) == name.len && memcmp(t->text[i], name.ptr, name.len) == 0) return true;
    return false;
}

filter_verdict filter_event(relay *r, const stream_sse_event *event, stream_pool_buf **data) {
    filter *f = &r->filter;
    stream_slice type = stream_sse_type(event);
    stream_json_writer w;
    stream_pool_buf *buf;
    uint64_t hits;
    size_t len;
    if ((f->only.count && !among(&f->only, type)) || among(&f->drop, type)) {
        r->counts.filtered++;
        return FILTER_DROP;
    }
    /* What is no JSON ("[DONE]") is nothing that rules speak of. */
    if (f->rules == 0 || stream_json_check(event->data.ptr, event->data.len, &len) != STREAM_OK)
        return FILTER_PASS;
    if (stream_pool_acquire(r->s.pool, event->data.len + f->grows, &buf) != STREAM_OK) return FILTER_FAILED;
    stream_json_writer_init(&w, buf->data, buf->capacity);
    if (stream_json_rewrite(event->data.ptr, event->data.len, f->rule, f->rules, &w, &hits, NULL) !=
            STREAM_OK ||
        stream_json_writer_finish(&w, &len) != STREAM_OK) {
        stream_pool_release(buf);
        return FILTER_FAILED;
    }
    if (hits == 0) {
        stream_pool_release(buf);
        return FILTER_PASS;
    }
    buf->len = len;
    *data = buf;
    r->counts.rewritten++;
    return FILTER_CHANGED;
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

bool filter_block(relay *r, const char *ptr, size_t len, stream_pool_buf **out) {
    stream_sse *sse = &r->filter.sse;
    stream_item item;
    stream_pool_buf *data = NULL;
    stream_sse_event event;
    size_t need;
    bool good = false;
    stream_sse_reset(sse);
    (void)stream_sse_feed(sse, ptr, len);
    if (stream_sse_next(sse, &item) != STREAM_OK) return add(r, out, ptr, len); /* a comment, an id alone */
    event = sse->event;
    switch (filter_event(r, &event, &data)) {
    case FILTER_PASS: good = add(r, out, ptr, len); break;
    case FILTER_DROP: good = true; break;
    case FILTER_FAILED: break;
    case FILTER_CHANGED:
        if (!(item.flags & STREAM_COPIED)) { /* one line of data: everything around it stays as it is */
            size_t before = (size_t)(item.ptr - ptr);
            good = add(r, out, ptr, before) && add(r, out, data->data, data->len) &&
                   add(r, out, item.ptr + item.len, len - before - item.len);
        } else {
            event.data = stream_slice_of(data->data, data->len);
            (void)stream_sse_write(&event, NULL, 0, &need);
            good =
                room(r, out, need) && stream_sse_write(&event, (*out)->data + (*out)->len,
                                                       (*out)->capacity - (*out)->len, &need) == STREAM_OK;
            if (good) (*out)->len += need;
        }
        break;
    }
    stream_pool_release(data);
    return good;
}
