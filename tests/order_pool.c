/* SPDX-License-Identifier: MIT-0
   The memory orders of stream_pool.h under tests/order.h. Buffers are written by whoever has them alone and
   read by whoever shares them, with plain accesses: a buffer handed to two threads at once, or to the next
   one before the last one's accesses are over, is a data race. Poisoning and wiping count as writes. All
   threads of a case are one to the compiler, so that the caches are those the threads set up: the default
   ones run through the same functions. */
#include "order.h"

#define STREAM_POOL_NO_THREAD_LOCAL
#define STREAM_POOL_POISON(ptr, size)   order_touch(ptr, size)
#define STREAM_POOL_UNPOISON(ptr, size) order_touch(ptr, size)
#define STREAM_POOL_IMPLEMENTATION
#include "stream_pool.h"

const char *const order_sites[] = {
#include "stream_pool.sites"
};
const unsigned order_site_count = sizeof order_sites / sizeof order_sites[0];
const unsigned order_grain = 2; /* no two threads have parts of one word */

static stream_pool pool;
static stream_pool_buf *held[4]; /* what begin hands to the threads */
static stream_pool_cache cache[ORDER_THREADS];

static void make(size_t size, size_t count, bool wipe, uint64_t most) {
    stream_pool_desc desc;
    unsigned i;
    memset(&desc, 0, sizeof desc);
    desc.tiers[0].size = size;
    desc.tiers[0].count = count;
    if (most) {
        desc.tiers[1].size = 2 * size;
        desc.tiers[1].count = 1;
    }
    desc.max_bytes = most;
    desc.zero_on_release = wipe;
    desc.allocator.resize = order_resize;
    ORDER_CHECK(stream_pool_init(&pool, &desc) == STREAM_OK);
    for (i = 0; i < ORDER_THREADS; i++) ORDER_CHECK(stream_pool_cache_init(&cache[i], &pool) == STREAM_OK);
}

static stream_pool_buf *get(size_t size) {
    stream_pool_buf *buf;
    ORDER_CHECK(stream_pool_acquire(&pool, size, &buf) == STREAM_OK);
    return buf;
}

/* The same through the thread's cache. */
static stream_pool_buf *get_cached(void) {
    stream_pool_buf *buf;
    ORDER_CHECK(stream_pool_cache_acquire(&cache[order_self()], 8, &buf) == STREAM_OK);
    return buf;
}
static void put_cached(stream_pool_buf *buf) {
    ORDER_CHECK(stream_pool_cache_release(&cache[order_self()], buf) == STREAM_OK);
}

/* Buffers that are kept when the threads begin. */
static void keep(unsigned n) {
    unsigned i;
    for (i = 0; i < n; i++) held[i] = get(8);
    for (i = 0; i < n; i++) stream_pool_release(held[i]);
}

/* Alone with a buffer: every byte is ours. */
static void use(stream_pool_buf *buf) {
    unsigned i;
    for (i = 0; i < 8; i++) buf->data[i] = (char)(order_self() + 1);
    buf->len = 8;
    for (i = 0; i < 8; i++) ORDER_CHECK(buf->data[i] == (char)(order_self() + 1));
}

static void look(const stream_pool_buf *buf) { ORDER_CHECK(buf->data[0] == buf->data[7]); }

/* Nothing is lost: the books agree, and all memory comes back with the pool. */
static void end(void) {
    stream_pool_usage usage;
    stream_pool_counts *c = &usage.total;
    stream_pool_buf *all[8], *next;
    unsigned n = 0, i, k;
    stream_pool_stats(&pool, &usage);
    ORDER_CHECK(c->misused == 0 && c->in_use == 0);
    ORDER_CHECK(c->allocated - c->discarded == c->kept);
    ORDER_CHECK(order_live() == c->kept + 1);
    while (n < 8 && ((next = stream_pool__take(pool.core, NULL, 0)) != NULL ||
                     (next = stream_pool__search(pool.core, 0, UINT64_MAX, STREAM_POOL__OUT | 1)) != NULL)) {
        all[n++] = next;
        use(next);
    }
    ORDER_CHECK(n == usage.tier[0].kept);
    for (i = 0; i < n; i++)
        for (k = 0; k < i; k++) ORDER_CHECK(all[i] != all[k]);
    for (i = 0; i < n; i++) ORDER_CHECK(stream_pool_release(all[i]) == STREAM_OK);
    stream_pool_free(&pool);
    ORDER_CHECK(order_live() == 0);
}

/* One buffer goes round: what the last owner did is over before the next one begins. */
static void round_begin(void) {
    make(8, 1, false, 0);
    keep(1);
}
static void round_once(void) {
    stream_pool_buf *buf = get(8);
    use(buf);
    ORDER_CHECK(stream_pool_release(buf) == STREAM_OK);
}

/* ABA: one thread sleeps in a pop while the other takes two and puts the first back. */
static void aba_begin(void) {
    make(8, 3, false, 0);
    keep(3);
}
static void aba_two(void) {
    stream_pool_buf *a = get(8), *b = get(8);
    use(a);
    use(b);
    stream_pool_release(a);
    stream_pool_release(b);
}

/* The same on the list of blank places, where a trim puts them. */
static void blank_begin(void) {
    make(8, 2, false, 0);
    keep(2);
    stream_pool_trim(&pool);
}
static void trim(void) { stream_pool_trim(&pool); }

/* Nothing is kept and no slot was used yet. */
static void fresh_begin(void) { make(8, 2, false, 0); }

/* A shared buffer: readers let go in any order, the last one wipes it and puts it back for a writer. */
static void shared_begin(void) {
    make(8, 1, true, 0);
    held[0] = get(8);
    memset(held[0]->data, 1, 8);
    ORDER_CHECK(stream_pool_retain(held[0]) == held[0]);
}
static void shared_reader(void) {
    look(held[0]);
    ORDER_CHECK(stream_pool_release(held[0]) == STREAM_OK);
}
static void shared_further(void) { /* passes it to a holder who is the same thread */
    ORDER_CHECK(stream_pool_retain(held[0]) == held[0]);
    look(held[0]);
    ORDER_CHECK(stream_pool_release(held[0]) == STREAM_OK);
    look(held[0]);
    ORDER_CHECK(stream_pool_release(held[0]) == STREAM_OK);
}

/* Who sees one reference may write. */
static void alone_writer(void) {
    if (stream_pool_refs(held[0]) == 1) use(held[0]);
    ORDER_CHECK(stream_pool_release(held[0]) == STREAM_OK);
}

/* The pool is freed while buffers are out, and one is kept: the last to go takes the tables along. */
static void farewell_begin(void) {
    make(8, 3, false, 0);
    held[0] = get(8);
    held[1] = get(8);
    held[2] = get(8);
    stream_pool_release(held[2]);
}
static void farewell_free(void) { stream_pool_free(&pool); }
static void farewell_0(void) {
    use(held[0]);
    ORDER_CHECK(stream_pool_release(held[0]) == STREAM_OK);
}
static void farewell_1(void) {
    use(held[1]);
    ORDER_CHECK(stream_pool_release(held[1]) == STREAM_OK);
}
static void farewell_end(void) { ORDER_CHECK(order_live() == 0); }

/* The cap: a large one makes room by giving small kept ones back. */
static void cap_begin(void) {
    make(8, 2, false, 24);
    keep(2);
}
static void cap_large(void) {
    stream_pool_buf *buf;
    if (stream_pool_acquire(&pool, 16, &buf) != STREAM_OK) return;
    ORDER_CHECK(pool.core->bytes_peak.v <= 24);
    use(buf);
    stream_pool_release(buf);
}
static void cap_small(void) {
    stream_pool_buf *buf;
    if (stream_pool_acquire(&pool, 8, &buf) != STREAM_OK) return;
    use(buf);
    stream_pool_release(buf);
}

/* Statistics and the idle trim beside work. */
static void idle(void) {
    stream_pool_usage usage;
    stream_pool_trim_idle(&pool);
    stream_pool_stats(&pool, &usage);
    stream_pool_trim_idle(&pool);
}

static void end_holding_1(void) {
    ORDER_CHECK(stream_pool_release(held[1]) == STREAM_OK);
    end();
}

/* Places for four, so that a cache remembers two. quick: releases take the short way, though we poison. */
static void cached(unsigned out, bool quick) {
    unsigned i;
    make(8, 4, false, 0);
    if (quick) pool.core->quick[0] = pool.core->hold[0];
    for (i = 0; i < out; i++) held[i] = get(8);
}
static void cached_none(void) { cached(0, true); }
static void cached_one(void) { cached(1, true); }
static void cached_one_slow(void) { cached(1, false); }
static void cached_two(void) { cached(2, true); }
static void cached_three(void) { cached(3, true); }
static void cached_three_slow(void) { cached(3, false); }

static void put(unsigned n) { /* past any cache */
    unsigned i;
    for (i = 0; i < n; i++) {
        use(held[i]);
        ORDER_CHECK(stream_pool_release(held[i]) == STREAM_OK);
    }
}
static void put_2(void) { put(2); }
static void remember(unsigned n) {
    unsigned i;
    for (i = 0; i < n; i++) {
        use(held[i]);
        put_cached(held[i]);
    }
}
static void remember_1(void) { remember(1); }
static void remember_3(void) { remember(3); } /* the third goes on the list */
static void remember_and_free(void) {
    remember(2);
    stream_pool_cache_free(&cache[order_self()]);
}
static void cached_once(void) {
    stream_pool_buf *buf = get_cached();
    use(buf);
    put_cached(buf);
}
static void cached_twice(void) { /* the second time it is remembered, unless someone else has it */
    cached_once();
    cached_once();
}
static void cached_pair(void) {
    stream_pool_buf *a = get_cached(), *b = get_cached();
    use(a);
    use(b);
    put_cached(a);
    put_cached(b);
}
static void share_cached(void) {
    look(held[0]);
    put_cached(held[0]);
}
static void cached_shared(void) {
    cached(1, true);
    memset(held[0]->data, 1, 8);
    ORDER_CHECK(stream_pool_retain(held[0]) == held[0]);
}

/* The pool is freed under caches: one remembers a buffer, and both get one more, or see that they may not. */
static void farewell_cached_begin(void) {
    cached(3, true);
    ORDER_CHECK(stream_pool_cache_release(&cache[1], held[2]) == STREAM_OK);
}
static void farewell_cached_0(void) {
    use(held[0]);
    put_cached(held[0]);
}
static void farewell_cached_1(void) {
    use(held[1]);
    put_cached(held[1]);
}
static void farewell_cached_slow(void) {
    cached(3, false);
    ORDER_CHECK(stream_pool_cache_release(&cache[1], held[2]) == STREAM_OK);
}

static const order_case cases[] = {
    {"round", round_begin, {round_once, round_once}, end, 3},
    {"round-of-three", round_begin, {round_once, round_once, round_once}, end, 0},
    {"aba", aba_begin, {round_once, aba_two}, end, 0},
    {"blank-places", blank_begin, {round_once, aba_two}, end, 0},
    {"trim", aba_begin, {aba_two, trim}, end, 0},
    {"fresh", fresh_begin, {round_once, round_once}, end, 0},
    {"shared", shared_begin, {shared_reader, shared_reader, round_once}, end, 0},
    {"shared-further", shared_begin, {shared_reader, shared_further}, end, 0},
    {"alone", shared_begin, {shared_reader, alone_writer}, end, 3},
    {"farewell", farewell_begin, {farewell_free, farewell_0, farewell_1}, farewell_end, 0},
    {"cap", cap_begin, {cap_large, cap_small}, end, 0},
    {"idle", aba_begin, {idle, aba_two}, end, 0},
    {"cached.claimed", cached_one, {remember_1, round_once}, end, 0},
    {"cached.claimed-slow", cached_one_slow, {remember_1, round_once}, end, 0},
    {"cached.twice", cached_none, {cached_twice, round_once}, end, 0},
    {"cached.both", cached_two, {remember_1, cached_pair}, end_holding_1, 0},
    {"cached.refill", cached_two, {put_2, cached_twice, round_once}, end, 0},
    {"cached.refill-pair", cached_two, {put_2, cached_pair, cached_once}, end, 0},
    {"cached.shed", cached_three, {remember_3, round_once}, end, 0},
    {"cached.shed-slow", cached_three_slow, {remember_3, aba_two}, end, 0},
    {"cached.given-up", cached_two, {remember_and_free, aba_two}, end, 0},
    {"cached.trim", cached_two, {remember_and_free, trim, round_once}, end, 0},
    {"cached.trim-remembered", cached_one, {remember_1, trim}, end, 0},
    {"cached.idle", cached_one, {remember_1, idle, round_once}, end, 0},
    {"cached.shared", cached_shared, {share_cached, share_cached, round_once}, end, 0},
    {"cached.farewell",
     farewell_cached_begin,
     {farewell_cached_0, farewell_cached_1, farewell_free},
     farewell_end,
     0},
    {"cached.farewell-slow",
     farewell_cached_slow,
     {farewell_cached_0, farewell_cached_1, farewell_free},
     farewell_end,
     0},
    {"cached.farewell-shed", cached_three, {remember_3, farewell_free}, farewell_end, 0},
    {NULL, NULL, {NULL}, NULL, 0},
};

int main(int argc, char **argv) { return order_main(argc, argv, "order.pool", cases); }
