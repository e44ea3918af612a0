/* SPDX-License-Identifier: MIT-0
   Fuzz target: the input is a list of calls on a pool by one thread, beside counters of what must be where.
   Its tiers are small, so that a kept buffer is always found. The first three bytes choose how it keeps
   its buffers, the cap and the tiers' number, two for each tier its size and count. */
#define STREAM_POOL_IMPLEMENTATION
#include "stream_pool.h"
#define STREAM_IMPLEMENTATION
#include "fuzz_split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { SLOTS = 40, TIERS = 4, BUFFERS = 12 };

/* What a tier has. What is out and has no place in its table is in `loose`, too. */
typedef struct tier {
    size_t size, count;
    uint64_t out, loose, kept, least_kept; /* least: since the last trim_idle */
    uint64_t allocated, reused, discarded, refused, misused, bytes, peak, bytes_peak;
} tier;

typedef struct slot { /* a buffer that is out */
    stream_pool_buf *buf;
    size_t capacity;
    uint32_t refs;
    unsigned tier;
    bool loose;
    unsigned char fill; /* what is in every byte of it */
} slot;

typedef struct model {
    tier t[TIERS + 1]; /* [tiers]: above all of them */
    unsigned tiers;
    uint64_t max_bytes, bytes, bytes_peak, buffers, peak, foreign;
    bool arena, wipe, refusing; /* the allocator refuses just now */
    slot slots[SLOTS];
    size_t used;
    stream_pool_buf *stale; /* was released, and has a place, so that its handle is still one */
    unsigned stale_tier;
} model;

static void count_made(model *m, unsigned i, size_t capacity) {
    tier *t = &m->t[i];
    const uint64_t live = ++t->out + t->kept;
    t->allocated++;
    t->bytes += capacity;
    m->bytes += capacity;
    m->buffers++;
    if (live > t->peak) t->peak = live;
    if (t->bytes > t->bytes_peak) t->bytes_peak = t->bytes;
    if (m->buffers > m->peak) m->peak = m->buffers;
    if (m->bytes > m->bytes_peak) m->bytes_peak = m->bytes;
}

static void count_gone(model *m, unsigned i, size_t capacity, uint64_t n) {
    m->t[i].discarded += n;
    m->t[i].bytes -= n * capacity;
    m->bytes -= n * capacity;
    m->buffers -= n;
}

static void keep_less(tier *t, uint64_t n) {
    t->kept -= n;
    if (t->kept < t->least_kept) t->least_kept = t->kept;
}

static bool place_left(const tier *t) { return t->out - t->loose + t->kept < t->count; }

/* A buffer of tier i is made: OK, or why not. */
static stream_status made(model *m, unsigned i, size_t capacity, bool *loose) {
    *loose = !place_left(&m->t[i]);
    if (m->arena && *loose) return STREAM_FULL;
    if (m->bytes + capacity > m->max_bytes) return STREAM_FULL;
    if (!m->arena && m->refusing) return STREAM_E_NOMEM;
    count_made(m, i, capacity);
    m->t[i].loose += *loose;
    return STREAM_OK;
}

/* What an acquire must do; *served is the tier whose buffer it is. */
static stream_status acquired(model *m, size_t size, unsigned *served, bool *loose) {
    unsigned t = 0, i;
    size_t capacity;
    stream_status status = STREAM_E_ARGUMENT;
    bool ever = !m->arena;
    *loose = false;
    while (t < m->tiers && m->t[t].size < size) t++;
    capacity = t < m->tiers ? m->t[t].size : size;
    for (i = t; i < m->tiers; i++) ever |= m->t[i].count > 0;
    if (capacity > m->max_bytes || capacity > SIZE_MAX / 4) ever = false;
    while (ever) {
        if (m->t[t].kept == 0) status = made(m, t, capacity, loose);
        if (m->t[t].kept == 0 && status == STREAM_OK) {
            *served = t;
            return STREAM_OK;
        }
        for (i = t; i < m->tiers; i++) {
            *served = i;
            if (m->t[i].kept) {
                keep_less(&m->t[i], 1);
                m->t[i].out++;
                m->t[i].reused++;
                *loose = false;
                return STREAM_OK;
            }
            if (m->arena && i > t && made(m, i, m->t[i].size, loose) == STREAM_OK) return STREAM_OK;
        }
        for (i = t; i > 0 && !m->t[i - 1].kept; i--) {
        }
        if (i == 0 || m->arena) break;
        keep_less(&m->t[i - 1], 1);
        count_gone(m, i - 1, m->t[i - 1].size, 1);
    }
    m->t[t].refused++;
    return status;
}

static void got(model *m, stream_pool_buf *buf, size_t size, unsigned served, bool loose) {
    slot *s = &m->slots[m->used++];
    size_t i;
    FUZZ_CHECK(buf && buf->len == 0 && ((uintptr_t)buf->data & (STREAM_CACHE_LINE - 1)) == 0);
    FUZZ_CHECK(buf->capacity == (served < m->tiers ? m->t[served].size : size) && buf->capacity >= size);
    FUZZ_CHECK(stream_pool_refs(buf) == 1 && stream_pool_buf_of(buf->data) == buf);
    for (i = 0; i + 1 < m->used; i++) FUZZ_CHECK(m->slots[i].buf != buf);
    for (i = 0; m->wipe && i < buf->capacity; i++) FUZZ_CHECK(buf->data[i] == 0);
    s->buf = buf;
    s->capacity = buf->capacity;
    s->refs = 1;
    s->tier = served;
    s->loose = loose;
    s->fill = (unsigned char)(m->t[served].allocated * 7 + m->t[served].reused * 13 + 1);
    memset(buf->data, s->fill, s->capacity);
    buf->len = s->capacity;
}

/* Nobody wrote into it while we had it. */
static void still_ours(const slot *s) {
    size_t i;
    FUZZ_CHECK(s->buf->capacity == s->capacity && s->buf->len == s->capacity);
    FUZZ_CHECK(stream_pool_refs(s->buf) == s->refs);
    for (i = 0; i < s->capacity; i++) FUZZ_CHECK((unsigned char)s->buf->data[i] == s->fill);
}

/* One reference of slot k less; the buffer's end when it was the last. */
static void let_go(model *m, size_t k, bool pool_lives) {
    slot *s = &m->slots[k];
    tier *t = &m->t[s->tier];
    if (--s->refs > 0) return;
    t->out--;
    if (s->loose) {
        t->loose--;
        count_gone(m, s->tier, s->capacity, 1);
    } else if (pool_lives) {
        t->kept++;
        m->stale = s->buf;
        m->stale_tier = s->tier;
    }
    m->slots[k] = m->slots[--m->used];
}

static void same_counts(const tier *t, const stream_pool_counts *c, size_t size) {
    FUZZ_CHECK(c->size == size && c->allocated == t->allocated && c->reused == t->reused);
    FUZZ_CHECK(c->discarded == t->discarded && c->refused == t->refused && c->misused == t->misused);
    FUZZ_CHECK(c->in_use == t->out && c->kept == t->kept && c->bytes == t->bytes);
    FUZZ_CHECK(c->high_water == t->peak && c->high_water_bytes == t->bytes_peak);
    FUZZ_CHECK(c->allocated - c->discarded == c->in_use + c->kept);
    FUZZ_CHECK(c->reuse_permille ==
               (t->allocated + t->reused ? t->reused * 1000 / (t->allocated + t->reused) : 0));
}

static void compare(const model *m, const stream_pool *pool) {
    stream_pool_usage u;
    unsigned i;
    stream_pool_stats(pool, &u);
    FUZZ_CHECK(u.tiers == m->tiers);
    for (i = 0; i < m->tiers; i++) same_counts(&m->t[i], &u.tier[i], m->t[i].size);
    same_counts(&m->t[i], &u.oversize, 0);
    FUZZ_CHECK(u.total.bytes == m->bytes && u.total.bytes <= m->max_bytes);
    FUZZ_CHECK(u.total.high_water == m->peak && u.total.high_water_bytes == m->bytes_peak);
    FUZZ_CHECK(u.total.in_use == m->used && u.total.in_use + u.total.kept == m->buffers);
    FUZZ_CHECK(u.total.misused >= m->foreign);
}

static void trim(model *m, stream_pool *pool) {
    size_t bytes = 0;
    unsigned i;
    for (i = 0; i < m->tiers && !m->arena; i++) {
        const uint64_t n = m->t[i].kept;
        bytes += (size_t)n * m->t[i].size;
        keep_less(&m->t[i], n);
        count_gone(m, i, m->t[i].size, n);
    }
    FUZZ_CHECK(stream_pool_trim(pool) == bytes);
}

/* Which of those kept an acquire takes is not said, so that only bounds are known of those it has not. */
static void trim_idle(model *m, stream_pool *pool, bool quiet) {
    stream_pool_usage u;
    const size_t bytes = stream_pool_trim_idle(pool);
    size_t sum = 0;
    unsigned i;
    stream_pool_stats(pool, &u);
    if (m->arena) FUZZ_CHECK(bytes == 0);
    for (i = 0; i < m->tiers && !m->arena; i++) {
        tier *t = &m->t[i];
        const uint64_t n = t->kept - u.tier[i].kept;
        FUZZ_CHECK(u.tier[i].kept <= t->kept && n <= t->least_kept);
        if (quiet) FUZZ_CHECK(u.tier[i].kept == 0); /* two calls with nothing between them */
        sum += (size_t)n * t->size;
        keep_less(t, n);
        count_gone(m, i, t->size, n);
        t->least_kept = t->kept;
    }
    FUZZ_CHECK(bytes == sum);
}

/* All that can be told of a buffer that was released, while it is. */
static void use_again(model *m, bool retain) {
    size_t i;
    for (i = 0; i < m->used; i++)
        if (m->slots[i].buf == m->stale) return; /* it was handed out since */
    m->t[m->stale_tier].misused++;
    FUZZ_CHECK(stream_pool_refs(m->stale) == 0);
    if (retain) FUZZ_CHECK(stream_pool_retain(m->stale) == NULL);
    else FUZZ_CHECK(stream_pool_release(m->stale) == STREAM_E_STATE);
}

static void run(const uint8_t *p, const uint8_t *e, const stream_pool_desc *desc, model *m, heap *h) {
    static union {
        char bytes[4 * STREAM_CACHE_LINE];
        uint64_t aligned;
    } elsewhere;
    char *foreign = elsewhere.bytes + STREAM_CACHE_LINE;
    stream_pool pool;
    stream_pool_cache cache;
    stream_buffers buffers;
    bool quiet = false;
    foreign += (0 - (uintptr_t)foreign) & (STREAM_CACHE_LINE - 1);
    FUZZ_CHECK(stream_pool_init(&pool, desc) == STREAM_OK);
    FUZZ_CHECK(stream_pool_cache_init(&cache, &pool) == STREAM_OK);
    buffers = stream_pool_buffers(&pool);
    for (; e - p >= 2; p += 2) {
        const size_t k = m->used ? p[1] % m->used : 0;
        size_t size = p[1] < 250 ? p[1] * 3u / 2 : p[1] == 250 ? SIZE_MAX : p[1] == 251 ? SIZE_MAX / 2 : 4000;
        const bool was_quiet = quiet;
        stream_pool_buf *buf = NULL;
        stream_status status;
        unsigned served = 0, op = p[0] % 16;
        bool loose = false;
        if (op < 6 && m->used == SLOTS) op = 6;
        quiet = op == 12;
        switch (op) {
        case 0:
        case 1:
        case 2:
        case 3:
        case 4:
            status = acquired(m, size, &served, &loose);
            FUZZ_CHECK((op < 3 ? stream_pool_acquire(&pool, size, &buf)
                               : stream_pool_cache_acquire(&cache, size, &buf)) == status);
            FUZZ_CHECK((buf == NULL) == (status != STREAM_OK));
            if (buf) got(m, buf, size, served, loose);
            break;
        case 5: {
            size_t capacity = 0;
            void *memory = buffers.acquire(buffers.ctx, size, &capacity);
            status = acquired(m, size, &served, &loose);
            FUZZ_CHECK((memory != NULL) == (status == STREAM_OK));
            if (!memory) break;
            got(m, stream_pool_buf_of(memory), size, served, loose);
            FUZZ_CHECK(capacity == m->slots[m->used - 1].buf->capacity);
            break;
        }
        case 6:
        case 7:
        case 8:
        case 9:
            if (!m->used) break;
            still_ours(&m->slots[k]);
            buf = m->slots[k].buf;
            if (op < 8) FUZZ_CHECK(stream_pool_release(buf) == STREAM_OK);
            else if (op == 8) FUZZ_CHECK(stream_pool_cache_release(&cache, buf) == STREAM_OK);
            else buffers.release(buffers.ctx, buf->data);
            let_go(m, k, true);
            break;
        case 10:
            if (!m->used) break;
            FUZZ_CHECK(stream_pool_retain(m->slots[k].buf) == m->slots[k].buf);
            m->slots[k].refs++;
            break;
        case 11:
            trim(m, &pool);
            break;
        case 12:
            trim_idle(m, &pool, was_quiet);
            break;
        case 13:
            if (m->stale) use_again(m, p[1] % 2);
            break;
        case 14:
            m->refusing = p[1] % 2;
            h->fail_at = m->refusing;
            break;
        default:
            if (p[1] % 2) { /* what it remembered is there for all */
                stream_pool_cache_free(&cache);
                FUZZ_CHECK(stream_pool_cache_acquire(&cache, 1, &buf) == STREAM_E_STATE && !buf);
                FUZZ_CHECK(stream_pool_cache_init(&cache, &pool) == STREAM_OK);
            } else {
                buffers.release(buffers.ctx, foreign);
                m->foreign++;
            }
        }
        compare(m, &pool);
    }
    h->fail_at = 0;
    /* Those that are out outlive the pool. */
    stream_pool_free(&pool);
    FUZZ_CHECK(pool.core == NULL && stream_pool_acquire(&pool, 1, &m->stale) == STREAM_E_STATE);
    while (m->used) {
        const size_t k = m->used / 2;
        still_ours(&m->slots[k]);
        FUZZ_CHECK(stream_pool_retain(m->slots[k].buf) && stream_pool_release(m->slots[k].buf) == STREAM_OK);
        FUZZ_CHECK((k % 2 ? stream_pool_release(m->slots[k].buf)
                          : stream_pool_cache_release(&cache, m->slots[k].buf)) == STREAM_OK);
        let_go(m, k, false);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static model m;
    stream_pool_desc desc;
    heap h;
    size_t size = 0;
    unsigned i;
    if (len < 3 + 2 * TIERS) return 0;
    memset(&desc, 0, sizeof desc);
    memset(&m, 0, sizeof m);
    m.tiers = 1 + data[0] % TIERS;
    m.arena = data[0] & 16;
    m.wipe = desc.zero_on_release = data[0] & 32;
    desc.pass_through = (data[0] & 64) && !m.arena;
    if (data[1] && !m.arena) desc.max_bytes = 8 * (uint64_t)data[1];
    m.max_bytes = desc.max_bytes ? desc.max_bytes : UINT64_MAX;
    for (i = 0; i < m.tiers; i++) {
        size += 1 + data[3 + 2 * i] % 128;
        desc.tiers[i].size = m.t[i].size = size;
        desc.tiers[i].count = data[4 + 2 * i] % BUFFERS;
        m.t[i].count = desc.pass_through ? 0 : desc.tiers[i].count;
    }
    desc.allocator = fuzz_memory(&h, 0);
    if (m.arena) {
        desc.memory_size = stream_pool_memory(&desc);
        desc.memory = malloc(desc.memory_size + data[2] % 16);
        if (!desc.memory) exit(1);
        memset(desc.memory, 0xdb, desc.memory_size + data[2] % 16);
        desc.memory = (char *)desc.memory + data[2] % 16; /* any alignment */
    }
    run(data + 3 + 2 * TIERS, data + len, &desc, &m, &h);
    if (m.arena) FUZZ_CHECK(h.calls == 0);
    fuzz_memory_done(&h, SIZE_MAX);
    if (m.arena) free((char *)desc.memory - data[2] % 16);
    return 0;
}
