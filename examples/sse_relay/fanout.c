/* SPDX-License-Identifier: MIT-0
   One source, many subscribers.

   An event is encoded once, into a pool buffer with its chunk framing around it, and every subscriber is
   sent that buffer. The last ones are kept in a ring, bounded by number and by bytes; a subscriber is a
   place in the ring. One that is slow falls behind there, costs nothing more than that, and is dealt with
   (--policy) when what it has not got is more than --client-bytes, or no longer kept. Urgent events have a
   lane of their own and no id: they overtake what waits, and nobody can resume behind one.

   With --diff an event is kept in two forms, whole and as a patch against the one before of its key. Who
   has that one gets the patch: that is when it was sent everything from some number on, without a gap, and
   the one before is not older than that. After an urgent event of any key the next of each comes whole.

   stream_broadcast is not what keeps them: its readers copy, and here the copy is what is to be shared. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "fanout.h"

enum { CHUNK_ROOM = 18, LEAST_ROOM = 3, LEAST_BATCH = 4, BATCH_BYTES = 16384 };

static uint64_t hash(stream_slice text) { /* FNV-1a */
    uint64_t h = UINT64_C(14695981039346656037);
    size_t i;
    for (i = 0; i < text.len; i++) h = (h ^ (unsigned char)text.ptr[i]) * UINT64_C(1099511628211);
    return h ? h : 1;
}

static uint64_t random_below(fanout *f, uint64_t n) { /* xorshift64: for spreading in time, nothing else */
    f->seed ^= f->seed << 13;
    f->seed ^= f->seed >> 7;
    f->seed ^= f->seed << 17;
    return f->seed % n;
}

/* What a connection is to us: c->user begins with `publishes`. */
static subscriber *subscriber_of(const server_conn *c) {
    subscriber *s = (subscriber *)c->user;
    return s && !s->publishes ? s : NULL;
}

static publication *publication_of(const server_conn *c) {
    publication *p = (publication *)c->user;
    return p && p->publishes ? p : NULL;
}

/* ---- events ---------------------------------------------------------------------------------------------
 */

/* [chunk head][event][CRLF] in one buffer. */
static fanout_outcome encode(fanout *f, const stream_sse_event *event, frame *out) {
    char head[CHUNK_ROOM];
    size_t need = 0, n;
    stream_pool_buf *buf;
    (void)stream_sse_write(event, NULL, 0, &need);
    if (stream_pool_acquire(f->r->s.pool, need + CHUNK_ROOM + 2, &buf) != STREAM_OK) return FANOUT_NO_MEMORY;
    if (stream_sse_write(event, buf->data + CHUNK_ROOM, buf->capacity - CHUNK_ROOM - 2, &need) !=
            STREAM_OK ||
        !need) {
        stream_pool_release(buf);
        return FANOUT_REFUSED;
    }
    n = http_chunk_head(need, head);
    memcpy(buf->data + CHUNK_ROOM - n, head, n);
    memcpy(buf->data + CHUNK_ROOM + need, HTTP_CHUNK_TAIL, 2);
    out->buf = buf;
    out->chunk = (uint32_t)n;
    out->len = (uint32_t)need;
    return FANOUT_PUBLISHED;
}

static void send_frame(subscriber *s, const frame *m) {
    bool chunked = s->c->framing == SERVER_CHUNKED;
    const char *ptr = m->buf->data + CHUNK_ROOM - (chunked ? m->chunk : 0);
    size_t len = m->len + (chunked ? m->chunk + 2 : 0);
    if (server_send(s->c, stream_pool_retain(m->buf), ptr, len) == STREAM_OK) {
        s->events++;
        s->bytes += m->len;
        s->chunks++;
        s->out_ns = s->f->r->s.now_ns;
    }
}

/* False: no memory. */
static bool send_text(subscriber *s, const stream_sse_event *event) {
    frame m;
    if (encode(s->f, event, &m) != FANOUT_PUBLISHED) return false;
    send_frame(s, &m);
    stream_pool_release(m.buf);
    return true;
}

static bool send_gap(subscriber *s, uint64_t lost) {
    stream_sse_event e;
    char data[96];
    int n = lost == UINT64_MAX
                ? snprintf(data, sizeof data, "{\"lost\":null,\"next\":\"%s-%llu\"}", s->f->epoch,
                           (unsigned long long)s->next)
                : snprintf(data, sizeof data, "{\"lost\":%llu,\"next\":\"%s-%llu\"}",
                           (unsigned long long)lost, s->f->epoch, (unsigned long long)s->next);
    memset(&e, 0, sizeof e);
    e.event = stream_slice_text("gap");
    e.data = stream_slice_of(data, (size_t)n);
    return send_text(s, &e);
}

/* The end of its stream: a whole one, unless it was not told yet what it has lost. */
static void end_one(subscriber *s) {
    if (s->gap && !send_gap(s, s->gap)) server_abort(s->c, SERVER_NO_MEMORY);
    else server_end(s->c);
}

static slot *slot_of(fanout *f, uint64_t number) { return &f->ring[number % f->ring_len]; }

uint64_t fanout_behind(const fanout *f, const subscriber *s) {
    uint64_t from = s->next < f->oldest ? f->oldest : s->next;
    return from >= f->next ? 0 : f->offset - f->ring[from % f->ring_len].offset;
}

static bool wanted(const subscriber *s, const slot *m) {
    unsigned i;
    if (s->topics == 0) return true;
    for (i = 0; i < s->topics; i++)
        if (s->topic[i] == m->topic) return true;
    return false;
}

/* What it gets of an event: the patch, if it has the event that this is against. */
static const frame *form_of(const subscriber *s, const slot *m) {
    bool has = m->patch.buf && m->previous >= s->since && !(m->foreign && s->topics);
    return has ? &m->patch : &m->frame;
}

/* What it is behind by, without the one that goes into its output next: one event, however long, is nothing
   to be behind by for who has taken all before. */
static uint64_t waiting(const fanout *f, const subscriber *s) {
    uint64_t behind = fanout_behind(f, s), from = s->next < f->oldest ? f->oldest : s->next;
    return behind && server_room(s->c) >= LEAST_ROOM ? behind - f->ring[from % f->ring_len].frame.len
                                                     : behind;
}

/* Deals with one that is too far behind: false when it is no longer there. */
static bool catch_up(subscriber *s) {
    fanout *f = s->f;
    uint64_t lost = 0, cap = f->r->o.client_bytes;
    bool over = waiting(f, s) > cap;
    if (!over) s->resuming = false;
    if (s->next >= f->oldest && (!over || s->resuming)) return true;
    if (f->r->o.policy == POLICY_DISCONNECT) {
        f->dropped[POLICY_DISCONNECT] += f->next - s->next;
        server_abort(s->c, SERVER_SLOW_CLIENT);
        return false;
    }
    if (s->next < f->oldest) {
        lost = f->oldest - s->next;
        s->next = s->since = f->oldest;
    }
    /* Conflation passes over what is outdated when it comes to it; what it can gain is not known before.
       The newest is never lost. */
    while (over && !s->resuming && s->next + 1 < f->next &&
           fanout_behind(f, s) > (f->r->o.policy == POLICY_CONFLATE ? cap : cap / 2)) {
        slot *m = slot_of(f, s->next++);
        if (f->r->o.policy == POLICY_CONFLATE && m->outdated)
            f->dropped[POLICY_CONFLATE]++;
        else if (wanted(s, m))
            lost++;
        s->since = s->next;
    }
    if (lost) {
        f->dropped[POLICY_DROP_OLDEST] += lost;
        s->lost += lost;
        if (s->gap != UINT64_MAX) s->gap += lost; /* one that was not told yet */
    }
    return true;
}

/* Several events in one buffer, chunk by chunk, for those who are some events behind: subscribers that keep
   up move together, and what was put together for the first serves the others. False: no memory, or not
   worth it. */
static bool send_batch(subscriber *s) {
    fanout *f = s->f;
    batch *b = &f->batch;
    if (s->c->framing != SERVER_CHUNKED || s->topics || f->next - s->next < LEAST_BATCH) return false;
    if (f->r->o.policy == POLICY_CONFLATE && s->stalled) return false;
    if (!b->buf || b->from != s->next || s->since < b->since_least || s->since > b->since_most) {
        uint64_t number;
        size_t first = 0;
        for (number = s->next; number < s->next + LEAST_BATCH; number++) {
            const frame *m = form_of(s, slot_of(f, number));
            first += m->chunk + m->len + 2;
        }
        if (first > BATCH_BYTES) return false;
        number = s->next;
        stream_pool_release(b->buf);
        b->buf = NULL;
        if (stream_pool_acquire(f->r->s.pool, BATCH_BYTES, &b->buf) != STREAM_OK) return false;
        b->from = number;
        b->payload = b->since_least = 0;
        b->since_most = UINT64_MAX;
        for (; number < f->next; number++) {
            const slot *one = slot_of(f, number);
            const frame *m = form_of(s, one);
            size_t len = m->chunk + m->len + 2;
            if (len > b->buf->capacity - b->buf->len) break;
            if (m == &one->patch && one->previous < b->since_most)
                b->since_most = one->previous;
            else if (m == &one->frame && one->patch.buf && one->previous >= b->since_least)
                b->since_least = one->previous + 1;
            memcpy(b->buf->data + b->buf->len, m->buf->data + CHUNK_ROOM - m->chunk, len);
            b->buf->len += len;
            b->payload += m->len;
        }
        b->to = number;
    }
    (void)server_send(s->c, stream_pool_retain(b->buf), b->buf->data, b->buf->len);
    s->events += b->to - b->from;
    s->bytes += b->payload;
    s->chunks++;
    s->out_ns = f->r->s.now_ns;
    s->next = b->to;
    return true;
}

/* Sends what there is and what finds a place. */
static void pull(subscriber *s) {
    fanout *f = s->f;
    if (!s->c || s->c->closing || s->c->ending) return;
    if (f->urgent_next - s->urgent > URGENT) s->urgent = f->urgent_next - URGENT;
    while (s->urgent < f->urgent_next && server_room(s->c) >= LEAST_ROOM) {
        slot *m = &f->urgent[s->urgent++ % URGENT];
        if (!wanted(s, m)) continue;
        send_frame(s, &m->frame);
        if (m->keyed) s->since = s->next; /* what comes now is older than what it has of that key */
    }
    if (!catch_up(s)) return;
    while (server_room(s->c) >= LEAST_ROOM && (s->gap || s->next < f->next)) {
        slot *m;
        if (s->gap) {
            if (!send_gap(s, s->gap)) break; /* with the next event, then */
            s->gap = 0;
            continue;
        }
        if (send_batch(s)) continue;
        m = slot_of(f, s->next++);
        if (!wanted(s, m)) continue;
        /* Only one that is behind misses what is outdated: to others it was new when it came. */
        if (f->r->o.policy == POLICY_CONFLATE && m->outdated && s->stalled) {
            f->dropped[POLICY_CONFLATE]++;
            s->since = s->next;
            continue;
        }
        send_frame(s, form_of(s, m));
    }
    if (s->next < f->next) {
        if (!s->stalled) {
            s->stalls++;
            s->stall_since = f->r->s.now_ns;
            f->r->counts.backpressure++;
        }
        s->stalled = true;
        stream_gauge_set(&f->r->counts.queue_bytes, fanout_behind(f, s) + s->c->out.bytes);
    } else {
        if (s->stalled) s->stalled_ns += f->r->s.now_ns - s->stall_since;
        s->stalled = false;
        if (f->ended) end_one(s);
    }
}

static void forget_oldest(fanout *f) {
    slot *m = slot_of(f, f->oldest++);
    f->bytes -= m->frame.len + m->patch.len;
    stream_pool_release(m->frame.buf);
    stream_pool_release(m->patch.buf);
    m->frame.buf = m->patch.buf = NULL;
}

/* A newer event of the same key: the one before is outdated. */
static void note_key(fanout *f, uint64_t key, uint64_t number) {
    key_place *p = &f->keys[key % KEYS];
    if (p->key == key && p->number >= f->oldest && p->number < number)
        slot_of(f, p->number)->outdated = true;
    p->key = key;
    p->number = number;
}

/* --diff: the other form of an event that is about to be kept. Without memory for it there is none. */
static void add_patch(fanout *f, const stream_sse_event *event, slot *fresh) {
    diff_found found;
    if (!f->diff) f->diff = diff_new(DIFF_KEYS_SHARED, f->r->o.ring_bytes);
    if (!f->diff || !diff_event(f->r, f->diff, event, f->next, fresh->topic, &found) || !found.patch)
        return;
    {
        char name[PATCH_NAME];
        stream_sse_event patched = diff_patched(event, found.patch, name);
        if (encode(f, &patched, &fresh->patch) == FANOUT_PUBLISHED) {
            fresh->previous = found.number;
            fresh->foreign = found.topic != fresh->topic;
            f->r->counts.patched++;
        }
    }
    stream_pool_release(found.patch);
}

void fanout_serve(fanout *f) {
    subscriber *s, *next;
    if (f->served == f->next && f->served_urgent == f->urgent_next) return;
    f->served = f->next;
    f->served_urgent = f->urgent_next;
    f->served_offset = f->offset;
    for (s = f->subscribers; s; s = next) {
        next = s->next_one;
        pull(s);
    }
}

void fanout_lose(fanout *f) {
    subscriber *s, *next;
    fanout_serve(f); /* what came before it */
    for (s = f->subscribers; s; s = next) {
        next = s->next_one;
        s->lost++;
        if (s->gap != UINT64_MAX) s->gap++;
        pull(s);
    }
}

fanout_outcome fanout_publish(fanout *f, const stream_sse_event *from, stream_slice topic, stream_slice key,
                              bool urgent) {
    stream_sse_event event = *from;
    fanout_outcome outcome;
    char id[40];
    slot fresh;
    size_t bytes;
    memset(&fresh, 0, sizeof fresh);
    event.id = stream_slice_of(NULL, 0);
    event.has_retry = false;
    if (!urgent) {
        int n = snprintf(id, sizeof id, "%s-%llu", f->epoch, (unsigned long long)f->next);
        event.id = stream_slice_of(id, (size_t)n);
    }
    outcome = encode(f, &event, &fresh.frame);
    if (outcome != FANOUT_PUBLISHED) {
        f->unpublished++;
        return outcome;
    }
    fresh.topic = hash(topic);
    f->published++;
    if (urgent) {
        slot *m = &f->urgent[f->urgent_next % URGENT];
        fresh.keyed = diff_keyed(f->r, &event);
        if (f->urgent_next - f->served_urgent == URGENT) fanout_serve(f);
        stream_pool_release(m->frame.buf);
        *m = fresh;
        f->urgent_next++;
    } else {
        if (f->r->filter.diff[0]) add_patch(f, &event, &fresh);
        bytes = (size_t)fresh.frame.len + fresh.patch.len;
        /* Nobody must lose, or be found too far behind with, what was not offered yet. */
        if (f->offset - f->served_offset + fresh.frame.len > f->r->o.client_bytes / 2 ||
            f->next - f->served >= f->ring_len)
            fanout_serve(f);
        while (f->next > f->oldest &&
               (f->next - f->oldest >= f->ring_len || f->bytes + bytes > f->r->o.ring_bytes))
            forget_oldest(f);
        fresh.offset = f->offset;
        *slot_of(f, f->next) = fresh;
        f->bytes += bytes;
        f->offset += fresh.frame.len;
        if (key.len) note_key(f, hash(key), f->next);
        f->next++;
    }
    return FANOUT_PUBLISHED;
}

fanout_outcome fanout_offer(fanout *f, const stream_sse_event *from, stream_slice topic, stream_slice key,
                            bool urgent) {
    stream_sse_event event = *from;
    stream_pool_buf *data = NULL;
    fanout_outcome outcome;
    switch (filter_event(f->r, from, &data)) {
    case FILTER_DROP: return FANOUT_LEFT_OUT;
    case FILTER_FAILED: f->unpublished++; return FANOUT_REFUSED;
    case FILTER_NO_MEMORY: f->unpublished++; return FANOUT_NO_MEMORY;
    case FILTER_CHANGED: event.data = stream_slice_of(data->data, data->len); break;
    case FILTER_PASS: break;
    }
    if (key.len == 0 && f->r->o.conflate_key) {
        const char *pointer = f->r->o.conflate_key;
        stream_json_value found;
        if (stream_json_pick(event.data.ptr, event.data.len, &pointer, 1, &found) == STREAM_OK)
            key = stream_slice_of(found.ptr, found.len);
    } else if (key.len == 0) {
        key = event.event;
    }
    outcome = fanout_publish(f, &event, topic, key, urgent);
    stream_pool_release(data);
    return outcome;
}

/* ---- subscribers ----------------------------------------------------------------------------------------
 */

/* "epoch-number" of ours: true, and the number. */
static bool parse_id(const fanout *f, stream_slice id, uint64_t *number) {
    size_t n = strlen(f->epoch), i;
    uint64_t v = 0;
    if (id.len < n + 2 || id.len > n + 20 || memcmp(id.ptr, f->epoch, n) != 0 || id.ptr[n] != '-')
        return false;
    for (i = n + 1; i < id.len; i++) {
        if (id.ptr[i] < '0' || id.ptr[i] > '9') return false;
        v = v * 10 + (uint64_t)(id.ptr[i] - '0');
    }
    *number = v;
    return true;
}

static void clock_of(subscriber *s) {
    if (s->f->r->o.ping_ns) server_timer(s->c, s->out_ns + s->f->r->o.ping_ns);
}

/* Whoever comes back under the same name takes the place of the one that was there, which may not have
   noticed yet that it has no connection any more. */
static void supersede(fanout *f, uint64_t client) {
    subscriber *s = f->subscribers;
    while (s && s->client != client) s = s->next_one;
    if (!s) return;
    f->superseded++;
    server_abort(s->c, SERVER_POLICY);
}

static void subscribe(fanout *f, server_conn *c) {
    relay *r = f->r;
    const http_head *h = &c->http.head;
    stream_slice last = http_field(h->fields, "last-event-id"), query = h->query, name, value;
    char text[256], cors[512];
    size_t len, n;
    bool bad = false;
    stream_sse_event hello;
    http_writer w;
    subscriber *s = (subscriber *)calloc(1, sizeof *s);
    if (!s) {
        server_abort(c, SERVER_NO_MEMORY);
        return;
    }
    fanout_serve(f); /* it begins behind what the others have been offered */
    s->f = f;
    s->c = c;
    s->next = s->since = f->next;
    s->urgent = f->urgent_next;
    s->began_ns = s->out_ns = r->s.now_ns;
    s->id = ++r->next_exchange;
    while (query.ptr && http_query_next(&query, &name, &value)) {
        if (http_percent_decode(value, true, text, sizeof text, &len) != STREAM_OK) {
            bad = true;
        } else if (http_same(name, "topic")) {
            if (s->topics == MAX_TOPICS)
                bad = true;
            else
                s->topic[s->topics++] = hash(stream_slice_of(text, len));
        } else if (http_same(name, "client")) {
            s->client = hash(stream_slice_of(text, len));
        } else if (http_same(name, "lasteventid") && !last.len) {
            memcpy(s->last, text, len < sizeof s->last ? len : 0);
            last = stream_slice_of(s->last, len < sizeof s->last ? len : 0);
            if (!last.len) bad = true;
        }
    }
    if (bad) {
        free(s);
        server_reply(c, 400, "text/plain", stream_slice_text("topic or lastEventId: not understood.\n"));
        return;
    }
    if (last.len) {
        uint64_t number;
        bool ours = parse_id(f, last, &number);
        if (ours && number + 1 >= f->oldest && number < f->next) {
            s->next = s->since = number + 1;
            s->resuming = true;
            f->replay_hits++;
        } else {
            s->next = s->since = f->oldest;
            s->resuming = true;
            s->gap = ours && number < f->next ? f->oldest - number - 1 : UINT64_MAX;
            f->replay_misses++;
        }
    }
    n = cors_fields(r, http_field(h->fields, "origin"), false, cors, sizeof cors);
    if (!server_begin(c, &w, 200, 1024)) {
        free(s);
        return;
    }
    http_write_text(&w, "Content-Type", "text/event-stream");
    http_write_text(&w, "Cache-Control", "no-cache, no-transform");
    http_write_text(&w, "X-Accel-Buffering", "no");
    relay_write_fields(&w, stream_slice_of(cors, n));
    server_begin_body(c, &w, UINT64_MAX);
    if (c->closing) {
        free(s);
        return;
    }
    if (c->head_only) {
        free(s);
        server_end(c);
        return;
    }
    if (s->client) supersede(f, s->client);
    c->user = s;
    s->next_one = f->subscribers;
    if (s->next_one) s->next_one->prev_one = s;
    f->subscribers = s;
    f->count++;
    memset(&hello, 0, sizeof hello);
    hello.has_retry = true; /* so that they do not all come back at once */
    hello.retry_ms = 1000 + random_below(f, 4000);
    send_text(s, &hello);
    source_wanted(f);
    clock_of(s);
    pull(s); /* and it may be gone */
}

static void publish_request(fanout *f, server_conn *c) {
    const http_head *h = &c->http.head;
    stream_slice given = http_field(h->fields, "authorization"), query = h->query, name, value;
    const char *token = f->r->o.token;
    size_t n = token ? strlen(token) : 0, i, len;
    unsigned differs = 0;
    publication *p;
    if (!token) {
        server_reply(c, 403, "text/plain", stream_slice_text("Publishing is off; see --token.\n"));
        return;
    }
    /* As long for a wrong token as for a right one. */
    if (given.len == n + 7 && given.ptr[6] == ' ' && http_same(stream_slice_of(given.ptr, 6), "bearer"))
        for (i = 0; i < n; i++) differs |= (unsigned)(given.ptr[7 + i] ^ token[i]);
    else
        differs = 1;
    if (differs) {
        server_reply_with(c, 401, "text/plain", stream_slice_text("WWW-Authenticate: Bearer\r\n"),
                          stream_slice_text("Not with this token.\n"));
        return;
    }
    p = (publication *)calloc(1, sizeof *p);
    if (!p || stream_pool_acquire(c->server->pool, 4096, &p->data) != STREAM_OK) {
        free(p);
        server_abort(c, SERVER_NO_MEMORY);
        return;
    }
    while (query.ptr && http_query_next(&query, &name, &value)) {
        char *to = NULL;
        if (http_same(name, "topic"))
            to = p->topic;
        else if (http_same(name, "event"))
            to = p->event;
        else if (http_same(name, "key"))
            to = p->key;
        if (http_same(name, "urgent"))
            p->urgent = true;
        else if (to && http_percent_decode(value, true, to, sizeof p->topic - 1, &len) == STREAM_OK &&
                 !memchr(to, 0, len))
            to[len] = '\0';
        else
            p->refused = true;
    }
    p->publishes = true;
    c->user = p;
}

static void drop_publication(server_conn *c) {
    publication *p = publication_of(c);
    if (!p) return;
    stream_pool_release(p->data);
    free(p);
    c->user = NULL;
}

void fanout_body(server_conn *c, stream_pool_buf *buf, stream_slice piece) {
    publication *p = publication_of(c);
    fanout *f = &((relay *)c->server->handler.ctx)->fan;
    (void)buf;
    if (!p || p->refused) return;
    if (p->data->len + piece.len > f->r->o.max_event) {
        p->refused = true;
        return;
    }
    if (p->data->len + piece.len > p->data->capacity) {
        stream_pool_buf *larger;
        size_t want = p->data->capacity * 2;
        while (want < p->data->len + piece.len) want *= 2;
        if (stream_pool_acquire(c->server->pool, want, &larger) != STREAM_OK) {
            p->refused = p->no_memory = true;
            return;
        }
        memcpy(larger->data, p->data->data, p->data->len);
        larger->len = p->data->len;
        stream_pool_release(p->data);
        p->data = larger;
    }
    memcpy(p->data->data + p->data->len, piece.ptr, piece.len);
    p->data->len += piece.len;
}

void fanout_request(server_conn *c) {
    publication *p = publication_of(c);
    fanout *f = &((relay *)c->server->handler.ctx)->fan;
    fanout_outcome outcome;
    stream_sse_event e;
    char body[64];
    int n;
    if (!p) return;
    memset(&e, 0, sizeof e);
    e.data = stream_slice_of(p->data->data, p->data->len);
    if (p->event[0])
        e.event = stream_slice_text(p->event);
    else if (p->topic[0])
        e.event = stream_slice_text(p->topic);
    if (p->refused)
        outcome = p->no_memory ? FANOUT_NO_MEMORY : FANOUT_REFUSED;
    else
        outcome = fanout_offer(f, &e, p->topic[0] ? stream_slice_text(p->topic) : stream_sse_type(&e),
                               stream_slice_text(p->key), p->urgent);
    if (outcome == FANOUT_REFUSED || outcome == FANOUT_NO_MEMORY) {
        drop_publication(c);
        if (outcome == FANOUT_NO_MEMORY)
            server_reply_with(c, 503, "text/plain", stream_slice_text("Retry-After: 1\r\n"),
                              stream_slice_text("No memory for it now.\n"));
        else
            server_reply(c, 400, "text/plain",
                         stream_slice_text("No event can be made of that; see --max-event.\n"));
        return;
    }
    n = p->urgent || outcome == FANOUT_LEFT_OUT ? snprintf(body, sizeof body, "{\"id\":null}\n")
                                                : snprintf(body, sizeof body, "{\"id\":\"%s-%llu\"}\n",
                                                           f->epoch, (unsigned long long)f->next - 1);
    drop_publication(c);
    server_reply(c, 200, "application/json", stream_slice_of(body, (size_t)n));
}

void fanout_head(server_conn *c) {
    relay *r = (relay *)c->server->handler.ctx;
    const http_head *h = &c->http.head;
    stream_slice path = h->path;
    bool get = http_same(h->method, "GET") || c->head_only;
    r->counts.requests++;
    if (h->query.ptr) path.len = (size_t)(h->query.ptr - path.ptr) - 1;
    if (admin_serves(r, c) || relay_preflight(r, c)) return;
    if (r->admin_listener != c->listener) {
        bool events = http_same(path, "/") || http_same(path, "/events"),
             publish = http_same(path, "/publish");
        if (events && get) {
            subscribe(&r->fan, c);
            return;
        }
        if (publish && http_same(h->method, "POST")) {
            publish_request(&r->fan, c);
            return;
        }
        if (events || publish) {
            server_reply_with(c, 405, "text/plain",
                              stream_slice_text(events ? "Allow: GET, HEAD\r\n" : "Allow: POST\r\n"),
                              stream_slice_text("GET /events, POST /publish.\n"));
            return;
        }
    }
    server_reply(c, 404, "text/plain",
                 stream_slice_text("There is nothing here: GET /events, POST /publish.\n"));
}

void fanout_room(server_conn *c) {
    subscriber *s = subscriber_of(c);
    if (s) pull(s);
}

void fanout_timer(server_conn *c) {
    static const char comment[] = ": ping\n\n";
    subscriber *s = subscriber_of(c);
    relay *r = (relay *)c->server->handler.ctx;
    if (!s || c->ending) return;
    if (r->s.now_ns - s->out_ns >= r->o.ping_ns && server_room(c) >= LEAST_ROOM) {
        stream_sse_event e;
        if (r->o.ping_event) {
            memset(&e, 0, sizeof e);
            e.event = stream_slice_text(r->o.ping_event);
            e.data = stream_slice_text("{}");
            send_text(s, &e);
        } else {
            (void)server_body(c, NULL, comment, sizeof comment - 1);
        }
        s->out_ns = r->s.now_ns;
        r->counts.pings++;
    } else if (r->s.now_ns - s->out_ns >= r->o.ping_ns) {
        s->out_ns = r->s.now_ns; /* no place: it has enough to read */
    }
    clock_of(s);
}

static void gone(server_conn *c, const char *reason) {
    subscriber *s = subscriber_of(c);
    fanout *f;
    if (!s) drop_publication(c);
    if (!s) return;
    f = s->f;
    log_subscriber(f->r, s, reason);
    c->user = NULL;
    if (s->prev_one)
        s->prev_one->next_one = s->next_one;
    else
        f->subscribers = s->next_one;
    if (s->next_one) s->next_one->prev_one = s->prev_one;
    f->count--;
    free(s);
    if (f->count == 0) source_unwanted(f);
}

void fanout_answered(server_conn *c) { gone(c, "done"); }
void fanout_closed(server_conn *c, server_reason reason) { gone(c, server_reason_text(reason)); }

void fanout_end(fanout *f) {
    subscriber *s, *next;
    f->ended = true;
    for (s = f->subscribers; s; s = next) {
        next = s->next_one;
        pull(s);
    }
}

bool fanout_retire_one(fanout *f) {
    subscriber *s = f->subscribers, *last = NULL;
    stream_sse_event bye;
    for (; s; s = s->next_one)
        if (!s->c->ending && !s->c->closing) last = s;
    if (!last) return false;
    memset(&bye, 0, sizeof bye);
    bye.has_retry = true;
    bye.retry_ms = 1000 + random_below(f, 9000);
    if (server_room(last->c) > 1) send_text(last, &bye);
    end_one(last);
    return true;
}

bool fanout_init(fanout *f, relay *r) {
    struct timespec now;
    f->r = r;
    f->seed = stream_now_ns() | 1;
    clock_gettime(CLOCK_REALTIME, &now); /* in milliseconds: some programs are started twice in a second */
    snprintf(f->epoch, sizeof f->epoch, "%llx",
             (unsigned long long)now.tv_sec * 1000 + (unsigned long long)now.tv_nsec / 1000000);
    f->ring_len = r->o.ring_events;
    f->ring = (slot *)calloc(f->ring_len, sizeof *f->ring);
    return f->ring != NULL && source_init(f);
}

void fanout_free(fanout *f) {
    size_t i;
    if (!f->r) return;
    source_free(f);
    while (f->ring && f->oldest < f->next) forget_oldest(f);
    for (i = 0; i < URGENT; i++) stream_pool_release(f->urgent[i].frame.buf);
    stream_pool_release(f->batch.buf);
    diff_free(f->diff);
    free(f->ring);
}
