/* SPDX-License-Identifier: MIT-0
   stream_pool.h: tiers, references, counters, the cap, the arena, misuse, failing allocators, and threads
   on tiers so small that empty, full and discard happen all the time.

   Build: cc -std=c11 -pthread -I. tests/test_pool.c */
#define _POSIX_C_SOURCE 200809L

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is poisoned. AddressSanitizer knows by itself; elsewhere the pool tells us, and a shadow of one
   arena remembers. */
#if defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#ifdef TEST_ASAN
#include <sanitizer/asan_interface.h>
#elif !defined(TEST_QUICK) /* with it nothing is poisoned, and a release has its shortest way */
#define TEST_SHADOW 1
static struct {
    bool on;
    const char *base;
    bool shadow[8192];
} poison;
static void poison_set(const void *ptr, size_t size, bool value) {
    size_t at;
    if (!poison.on) return;
    for (at = (size_t)((const char *)ptr - poison.base); size > 0; size--) poison.shadow[at++] = value;
}
#define STREAM_POOL_POISON(ptr, size)   poison_set(ptr, size, true)
#define STREAM_POOL_UNPOISON(ptr, size) poison_set(ptr, size, false)
#endif

#include "stream_pool.h" /* the declarations and the atomics */

#ifndef STREAM_NO_THREADS
#include <pthread.h>
#include <sched.h>

/* The windows in which two threads can hurt each other are a few instructions wide. Here a thread gives its
   turn away before one in 32 atomic operations, and they are as wide as a time slice: without it a list
   that lacks its generations, or a cap counted by load and store, passes the stress below. */
static bool pause_on;
static _Thread_local uint64_t pause_seed;
static void pause_maybe(void) {
    if (!pause_on) return;
    pause_seed = pause_seed * UINT64_C(6364136223846793005) + (uintptr_t)&pause_seed;
    if (pause_seed >> 59 == 0) sched_yield();
}
#define stream__a64_load_relaxed(a)      (pause_maybe(), stream__a64_load_relaxed(a))
#define stream__a64_load_acquire(a)      (pause_maybe(), stream__a64_load_acquire(a))
#define stream__a64_store_relaxed(a, v)  (pause_maybe(), stream__a64_store_relaxed(a, v))
#define stream__a64_store_release(a, v)  (pause_maybe(), stream__a64_store_release(a, v))
#define stream__a64_add_relaxed(a, v)    (pause_maybe(), stream__a64_add_relaxed(a, v))
#define stream__a64_add_release(a, v)    (pause_maybe(), stream__a64_add_release(a, v))
#define stream__a64_sub_acq_rel(a, v)    (pause_maybe(), stream__a64_sub_acq_rel(a, v))
#define stream__a64_cas_relaxed(a, s, v) (pause_maybe(), stream__a64_cas_relaxed(a, s, v))
#define stream__a64_cas_acq_rel(a, s, v) (pause_maybe(), stream__a64_cas_acq_rel(a, s, v))
#endif

#define STREAM_POOL_IMPLEMENTATION
#include "stream_pool.h"
#include "test.h"

#include <stdarg.h>
#include <time.h>
#if !defined(STREAM_NO_THREADS) && !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

/* ---- an allocator that counts, fails on request, and hands out every alignment there is ---------------
 */

typedef struct heap_block { /* lies in front of each block, unaligned, and its size also behind it */
    size_t size, shift;
} heap_block;

typedef struct heap {
    size_t live, blocks, calls;
    size_t payload,
        payload_peak;   /* live without the pool's overhead, and without its tables, the first block */
    size_t fail_at;     /* the request to refuse, from 1; 0: none */
    bool fail_from;     /* and all after it */
    bool failed;        /* a request was refused */
    bool wrong;         /* freed with another size than it was allocated with, resized, or written beyond */
    const char *forbid; /* eight bytes that must not be left in freed blocks */
    bool leftover;      /* they were */
#ifndef STREAM_NO_THREADS
    pthread_mutex_t lock;
#endif
} heap;

static void heap_init(heap *h) {
    memset(h, 0, sizeof *h);
#ifndef STREAM_NO_THREADS
    pthread_mutex_init(&h->lock, NULL);
#endif
}

static void *heap_do(heap *h, char *ptr, size_t old_size, size_t new_size) {
    heap_block b;
    char *raw;
    size_t i;
    if (new_size == 0) {
        if (!ptr) return NULL;
        memcpy(&b, ptr - sizeof b, sizeof b);
        if (b.size != old_size || memcmp(ptr + b.size, &b.size, sizeof b.size) != 0) h->wrong = true;
        for (i = 0; h->forbid && i + 8 <= b.size; i++) {
            if (memcmp(ptr + i, h->forbid, 8) == 0) h->leftover = true;
        }
        h->live -= b.size;
        h->blocks--;
        h->payload -= b.size - STREAM_POOL__OVERHEAD;
        free(ptr - sizeof b - b.shift);
        return NULL;
    }
    if (ptr || old_size) h->wrong = true;
    h->calls++;
    if (h->fail_at && (h->calls == h->fail_at || (h->fail_from && h->calls > h->fail_at))) {
        h->failed = true;
        return NULL;
    }
    b.size = new_size;
    b.shift = h->calls % STREAM_CACHE_LINE;
    raw = (char *)malloc(b.shift + sizeof b + new_size + sizeof b.size);
    if (!raw) return NULL;
    ptr = raw + b.shift + sizeof b;
    memcpy(ptr - sizeof b, &b, sizeof b);
    memset(ptr, 0x5a, new_size);
    memcpy(ptr + new_size, &b.size, sizeof b.size);
    h->live += new_size;
    h->blocks++;
    h->payload = h->blocks == 1 ? 0 : h->payload + new_size - STREAM_POOL__OVERHEAD;
    if (h->payload > h->payload_peak) h->payload_peak = h->payload;
    return ptr;
}

static void *heap_resize(void *ctx, void *ptr, size_t old_size, size_t new_size, size_t align) {
    heap *h = (heap *)ctx;
    void *result;
    (void)align;
#ifndef STREAM_NO_THREADS
    pause_maybe();
    pthread_mutex_lock(&h->lock);
#endif
    result = heap_do(h, (char *)ptr, old_size, new_size);
#ifndef STREAM_NO_THREADS
    pthread_mutex_unlock(&h->lock);
#endif
    return result;
}

/* ---- little helpers ----------------------------------------------------------------------------- */

/* A desc over heap h: size, count, size, count, ..., 0. */
static stream_pool_desc desc_of(heap *h, ...) {
    stream_pool_desc d;
    va_list args;
    int i, size;
    memset(&d, 0, sizeof d);
    va_start(args, h);
    for (i = 0; (size = va_arg(args, int)) != 0; i++) {
        d.tiers[i].size = (size_t)size;
        d.tiers[i].count = (size_t)va_arg(args, int);
    }
    va_end(args);
    if (h) {
        d.allocator.resize = heap_resize;
        d.allocator.ctx = h;
    }
    return d;
}

static stream_pool_buf *get(stream_pool *pool, size_t size) {
    stream_pool_buf *buf = NULL;
    CHECK_EQ(stream_pool_acquire(pool, size, &buf), STREAM_OK);
    CHECK(buf != NULL);
    return buf;
}

/* Two pointers, printed as numbers when they differ. */
#define CHECK_SAME(got, want) CHECK_EQ((intptr_t)(const void *)(got), (intptr_t)(const void *)(want))

static void put(stream_pool_buf *buf) { CHECK_EQ(stream_pool_release(buf), STREAM_OK); }

static void refused(stream_pool *pool, size_t size, stream_status why) {
    stream_pool_buf *buf = (stream_pool_buf *)(void *)&buf;
    CHECK_EQ(stream_pool_acquire(pool, size, &buf), why);
    CHECK(buf == NULL);
}

static stream_pool_usage usage_of(const stream_pool *pool) {
    stream_pool_usage u;
    stream_pool_stats(pool, &u);
    CHECK_EQ(u.total.allocated - u.total.discarded, u.total.in_use + u.total.kept);
    return u;
}

static void check_counts(stream_pool_counts c, int allocated, int reused, int discarded, int in_use,
                         int kept, int high_water) {
    CHECK_EQ(c.allocated, allocated);
    CHECK_EQ(c.reused, reused);
    CHECK_EQ(c.discarded, discarded);
    CHECK_EQ(c.in_use, in_use);
    CHECK_EQ(c.kept, kept);
    CHECK_EQ(c.high_water, high_water);
    if (c.size) {
        CHECK_EQ(c.bytes, (uint64_t)(in_use + kept) * c.size);
        CHECK_EQ(c.high_water_bytes, (uint64_t)high_water * c.size);
    }
}

static void check_heap_empty(const heap *h) {
    CHECK_EQ(h->live, 0);
    CHECK_EQ(h->blocks, 0);
    CHECK(!h->wrong);
}

/* ---- tiers --------------------------------------------------------------------------------------- */

static void tier_boundaries(void) {
    static const struct {
        size_t size, capacity;
    } cases[] = {{0, 64},      {1, 64},      {63, 64},    {64, 64},    {65, 100},
                 {99, 100},    {100, 100},   {101, 1000}, {999, 1000}, {1000, 1000},
                 {1001, 1001}, {1002, 1002}, {5000, 5000}};
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    size_t i;
    heap_init(&h);
    d = desc_of(&h, 64, 2, 100, 1, 1000, 1, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    for (i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) { /* once new, once reused */
        size_t at = i % (sizeof cases / sizeof cases[0]);
        stream_pool_buf *buf = get(&pool, cases[at].size);
        CHECK_EQ(buf->capacity, cases[at].capacity);
        CHECK_EQ(buf->len, 0);
        CHECK_EQ((uintptr_t)buf->data % STREAM_CACHE_LINE, 0);
        memset(buf->data, 0xee, buf->capacity);
        buf->len = buf->capacity;
        put(buf);
    }
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

static void defaults(void) {
    static const struct {
        size_t size, capacity;
    } cases[] = {{1, 4096},     {4096, 4096},   {4097, 8192},   {8191, 8192},  {8192, 8192},
                 {8193, 16384}, {16383, 16384}, {16384, 16384}, {16385, 16385}};
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_usage u;
    size_t i;
    heap_init(&h);
    d = desc_of(&h, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    CHECK_EQ(h.calls, 1);
    CHECK(h.live < 2000 * STREAM_POOL__STEP + 12000); /* tables for 2000 buffers, and no buffer */
    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        stream_pool_buf *buf = get(&pool, cases[i].size);
        CHECK_EQ(buf->capacity, cases[i].capacity);
        put(buf);
    }
    u = usage_of(&pool);
    CHECK_EQ(u.tiers, 3);
    check_counts(u.tier[0], 1, 1, 0, 0, 1, 1);
    check_counts(u.tier[1], 1, 2, 0, 0, 1, 1);
    check_counts(u.tier[2], 1, 2, 0, 0, 1, 1);
    check_counts(u.oversize, 1, 0, 1, 0, 0, 1);
    stream_pool_free(&pool);
    check_heap_empty(&h);
#ifndef STREAM_NO_MALLOC
    CHECK_EQ(stream_pool_init(&pool, NULL), STREAM_OK);
    put(get(&pool, 1));
    stream_pool_free(&pool);
#endif
}

static void the_version_is_the_headers(void) {
    CHECK_TEXT(stream_pool_version(), strlen(stream_pool_version()), STREAM_VERSION);
}

/* As many tiers as there can be: each size finds its own. */
static void eight_tiers(void) {
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    size_t size, i;
    heap_init(&h);
    d = desc_of(&h, 0);
    for (i = 0; i < STREAM_POOL_MAX_TIERS; i++) {
        d.tiers[i].size = (size_t)16 << i;
        d.tiers[i].count = 2;
    }
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    for (size = 1; size <= (size_t)16 << (STREAM_POOL_MAX_TIERS - 1); size++) {
        stream_pool_buf *buf = get(&pool, size);
        size_t want = 16;
        while (want < size) want *= 2;
        CHECK_EQ(buf->capacity, want);
        put(buf);
    }
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

#ifndef STREAM_NO_MALLOC
/* Much that malloc has is offered to the system when it is trimmed. */
static void trim_much(void) {
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_buf *buf[2];
    memset(&d, 0, sizeof d);
    d.tiers[0].size = (size_t)1 << 20;
    d.tiers[0].count = 4;
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    buf[0] = get(&pool, 1);
    buf[1] = get(&pool, 1);
    put(buf[0]);
    put(buf[1]);
    CHECK_EQ(stream_pool_trim(&pool), 2 << 20);
    stream_pool_free(&pool);
}
#endif

static void init_refuses(void) {
    heap h;
    char memory[16384];
    stream_pool pool;
    stream_pool_desc d;
    int i;
    heap_init(&h);
    for (i = 0; i < 13; i++) {
        d = desc_of(&h, 64, 2, 128, 2, 0);
        switch (i) {
        case 0: d.tiers[1].size = 63; break;                      /* falling */
        case 1: d.tiers[1].size = 64; break;                      /* level */
        case 2: d.tiers[1].size = 0; break;                       /* buffers of no size */
        case 3: d.tiers[3].size = 256; break;                     /* a gap */
        case 4: d.tiers[0].size = 0, d.tiers[0].count = 0; break; /* a gap in front */
        case 5: d.tiers[7].count = 1; break;                      /* a count after the end */
        case 6: d.tiers[1].size = SIZE_MAX; break;                /* more than there is */
        case 7: d.tiers[1].count = SIZE_MAX; break;               /* the tables alone are */
        case 8: d.memory = memory, d.memory_size = 1; break;      /* too small */
        case 9: d.memory_size = sizeof memory; break;             /* none */
        case 10: d.memory = memory, d.memory_size = sizeof memory, d.max_bytes = 64; break;
        case 11: d.memory = memory, d.memory_size = sizeof memory, d.pass_through = true; break;
        case 12: d.tiers[0].count = (size_t)UINT32_MAX; break; /* one more than an index can name */
        default: break;
        }
        memset(&pool, 0x11, sizeof pool);
        CHECK_EQ(stream_pool_init(&pool, &d), STREAM_E_ARGUMENT);
        CHECK(pool.core == NULL);
        stream_pool_free(&pool);
        if (i < 8) CHECK_EQ(stream_pool_memory(&d), 0);
    }
    CHECK_EQ(stream_pool_init(NULL, &d), STREAM_E_ARGUMENT);
    CHECK_EQ(h.calls, 0);
    /* An arena nobody has room for is no reason to refuse a pool that only keeps so many. */
    d = desc_of(&h, 64, 2, 128, 2, 0);
    d.tiers[1].size = SIZE_MAX / 4;
    d.tiers[1].count = 3;
    CHECK_EQ(stream_pool_memory(&d), 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    stream_pool_free(&pool);
    d.memory = memory, d.memory_size = sizeof memory;
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_E_ARGUMENT);
    /* Sums of tiers each of which would fit: more than half of all addresses, and once around. */
    d = desc_of(&h, 1, 1, 2, 1, 0);
    d.tiers[0].size = SIZE_MAX / 2 - 8192;
    CHECK(stream_pool_memory(&d) == 0);
    d.tiers[1].size = SIZE_MAX / 2 - 8191;
    CHECK_EQ(stream_pool_memory(&d), 0);
    d.tiers[2].size = SIZE_MAX / 2 - 8190;
    d.tiers[2].count = 1;
    CHECK_EQ(stream_pool_memory(&d), 0);
    check_heap_empty(&h);
}

/* ---- reuse and what is counted --------------------------------------------------------------------- */

static void reuse(void) {
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_buf *a, *b, *c;
    stream_pool_usage u;
    char *data;
    int i;
    heap_init(&h);
    d = desc_of(&h, 64, 2, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    a = get(&pool, 10);
    data = a->data;
    a->len = 10;
    check_counts(usage_of(&pool).tier[0], 1, 0, 0, 1, 0, 1);
    put(a);
    check_counts(usage_of(&pool).tier[0], 1, 0, 0, 0, 1, 1);
    b = get(&pool, 64);
    CHECK(b == a && b->data == data);
    CHECK_EQ(b->len, 0);
    c = get(&pool, 1);
    CHECK(c != b);
    check_counts(usage_of(&pool).tier[0], 2, 1, 0, 2, 0, 2);
    put(b);
    put(c);
    CHECK_SAME(get(&pool, 1), c); /* the last one back is the first one out: its bytes are in the cache */
    CHECK_SAME(get(&pool, 1), b);
    put(b);
    put(c);
    for (i = 0; i < 1000; i++) put(get(&pool, 1));
    u = usage_of(&pool);
    check_counts(u.tier[0], 2, 1003, 0, 0, 2, 2);
    check_counts(u.total, 2, 1003, 0, 0, 2, 2);
    CHECK_EQ(u.total.bytes, 128);
    CHECK_EQ(u.total.high_water_bytes, 128);
    CHECK_EQ(u.total.reuse_permille, 998);
    CHECK_EQ(u.total.refused + u.total.misused, 0);
    CHECK_EQ(h.calls, 3);
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

static void beyond_count(void) {
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_buf *bufs[5];
    int i;
    heap_init(&h);
    d = desc_of(&h, 64, 1, 128, 0, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    for (i = 0; i < 5; i++) bufs[i] = get(&pool, 64);
    check_counts(usage_of(&pool).tier[0], 5, 0, 0, 5, 0, 5);
    for (i = 0; i < 5; i++) put(bufs[i]);
    check_counts(usage_of(&pool).tier[0], 5, 0, 4, 0, 1, 5);
    CHECK_SAME(get(&pool, 64), bufs[0]);
    put(bufs[0]);
    put(get(&pool, 65)); /* a tier that keeps none */
    put(get(&pool, 128));
    check_counts(usage_of(&pool).tier[1], 2, 0, 2, 0, 0, 1);
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

static void oversize(void) {
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_buf *a, *b;
    stream_pool_usage u;
    heap_init(&h);
    d = desc_of(&h, 64, 1, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    a = get(&pool, 65);
    b = get(&pool, 1000000);
    CHECK_EQ(a->capacity, 65);
    CHECK_EQ(b->capacity, 1000000);
    put(a);
    u = usage_of(&pool);
    check_counts(u.oversize, 2, 0, 1, 1, 0, 2);
    CHECK_EQ(u.oversize.bytes, 1000000);
    CHECK_EQ(u.oversize.high_water_bytes, 1000065);
    put(b);
    u = usage_of(&pool);
    check_counts(u.oversize, 2, 0, 2, 0, 0, 2);
    CHECK_EQ(u.oversize.bytes, 0);
    refused(&pool, SIZE_MAX, STREAM_E_ARGUMENT);
    refused(&pool, SIZE_MAX - 1, STREAM_E_ARGUMENT);
    refused(&pool, SIZE_MAX - 63, STREAM_E_ARGUMENT);
    refused(&pool, SIZE_MAX / 2 + 1, STREAM_E_ARGUMENT);
    refused(&pool, SIZE_MAX / 2, STREAM_E_ARGUMENT);
    CHECK_EQ(usage_of(&pool).oversize.refused, 5);
    CHECK_EQ(h.calls, 3);
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

static void permille(void) {
    CHECK_EQ(stream_pool__permille(0, 0), 0);
    CHECK_EQ(stream_pool__permille(0, 7), 0);
    CHECK_EQ(stream_pool__permille(7, 0), 1000);
    CHECK_EQ(stream_pool__permille(1, 2), 333);
    CHECK_EQ(stream_pool__permille(UINT64_MAX, UINT64_MAX), 500);
    CHECK_EQ(stream_pool__permille(UINT64_MAX, 1), 1000);
    CHECK_EQ(stream_pool__permille(1, UINT64_MAX), 0);
}

/* ---- the cap --------------------------------------------------------------------------------------- */

static void cap(void) {
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_buf *a, *b, *c;
    stream_pool_usage u;
    heap_init(&h);
    d = desc_of(&h, 64, 4, 128, 4, 0);
    d.max_bytes = 192;
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    a = get(&pool, 64);
    b = get(&pool, 128);
    refused(&pool, 1, STREAM_FULL);
    refused(&pool, 100, STREAM_FULL);
    refused(&pool, 129, STREAM_FULL);
    refused(&pool, 193, STREAM_E_ARGUMENT); /* never, whatever is released */
    u = usage_of(&pool);
    CHECK_EQ(u.tier[0].refused, 1);
    CHECK_EQ(u.tier[1].refused, 1);
    CHECK_EQ(u.oversize.refused, 2);
    CHECK_EQ(u.total.refused, 4);
    CHECK_EQ(u.total.bytes, 192);
    put(a);
    CHECK_SAME(get(&pool, 1), a);
    refused(&pool, 1, STREAM_FULL);

    put(b); /* a larger kept one serves before anything is refused */
    CHECK_SAME(get(&pool, 1), b);
    put(a);
    put(b);

    c = get(&pool, 192); /* kept ones go to make room */
    u = usage_of(&pool);
    CHECK_EQ(u.total.bytes, 192);
    CHECK_EQ(u.total.kept, 0);
    CHECK_EQ(u.total.high_water_bytes, 192);
    refused(&pool, 1, STREAM_FULL);
    put(c);
    put(get(&pool, 1));  /* kept, 64 */
    a = get(&pool, 129); /* 129 + 64 is one too much: the 64 goes */
    CHECK_EQ(usage_of(&pool).total.bytes, 129);
    CHECK_EQ(usage_of(&pool).total.kept, 0);
    put(a);
    put(get(&pool, 1));
    a = get(&pool, 128); /* 128 + 64 is exactly the cap: nothing goes */
    CHECK_EQ(usage_of(&pool).total.kept, 1);
    put(a);
    stream_pool_free(&pool);
    check_heap_empty(&h);

    d.max_bytes = 127; /* a cap below a tier: that tier can never be had */
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    refused(&pool, 65, STREAM_E_ARGUMENT);
    put(get(&pool, 64));
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

static void slots_come_back(void) {
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_buf *a;
    int i;
    heap_init(&h);
    d = desc_of(&h, 64, 1, 128, 1, 0);
    d.max_bytes = 128;
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    for (i = 0; i < 5; i++) { /* refused by the cap, by the allocator, discarded: the place is not lost */
        a = get(&pool, 128);
        refused(&pool, 1, STREAM_FULL);
        put(a);
        CHECK_EQ(stream_pool_trim(&pool), 128);
        h.fail_at = h.calls + 1;
        refused(&pool, 1, STREAM_E_NOMEM);
        h.fail_at = 0;
        put(get(&pool, 1));
        CHECK_EQ(usage_of(&pool).tier[0].kept, 1);
        CHECK_EQ(stream_pool_trim(&pool), 64);
    }
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

/* ---- allocators that fail --------------------------------------------------------------------------- */

static void nomem(void) {
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_buf *a, *b;
    heap_init(&h);
    d = desc_of(&h, 64, 2, 128, 2, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    a = get(&pool, 64);
    b = get(&pool, 128);
    h.fail_at = 1;
    h.fail_from = true;
    refused(&pool, 64, STREAM_E_NOMEM);
    refused(&pool, 1000, STREAM_E_NOMEM);
    CHECK_EQ(usage_of(&pool).total.bytes, 192);
    put(b);
    CHECK_SAME(get(&pool, 64), b); /* a larger kept one instead */
    put(b);
    refused(&pool, 1000, STREAM_E_NOMEM); /* gave back all it kept, in vain */
    CHECK_EQ(usage_of(&pool).total.kept, 0);
    CHECK_EQ(usage_of(&pool).total.in_use, 1);
    h.fail_at = 0;
    put(a);
    put(get(&pool, 128));
    h.fail_at = h.calls + 1;
    h.fail_from = false;
    put(get(&pool, 1000)); /* gave back one, and that helped */
    check_counts(usage_of(&pool).tier[1], 2, 1, 2, 0, 0, 1);
    check_counts(usage_of(&pool).tier[0], 1, 0, 0, 0, 1, 1);
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

/* A bit of everything; whatever is refused is passed over. */
static void everything(heap *h, uint64_t max_bytes) {
    static const size_t sizes[] = {1, 64, 65, 128, 129, 1000, 64, 64, 64, 128};
    stream_pool_desc d = desc_of(h, 64, 2, 128, 1, 0);
    stream_pool pool;
    stream_pool_buf *bufs[10];
    stream_pool_usage u;
    int i, round, have = 0;
    d.max_bytes = max_bytes;
    if (stream_pool_init(&pool, &d) != STREAM_OK) return;
    for (round = 0; round < 3; round++) {
        for (i = 0; i < 10; i++) {
            stream_status st = stream_pool_acquire(&pool, sizes[i], &bufs[i]);
            CHECK((st == STREAM_OK) == (bufs[i] != NULL));
            if (st == STREAM_OK) {
                have++;
                memset(bufs[i]->data, 0x77, bufs[i]->capacity);
            } else {
                CHECK(st == STREAM_E_NOMEM || (max_bytes && st == STREAM_FULL));
            }
        }
        u = usage_of(&pool);
        CHECK_EQ(u.total.in_use, have);
        if (max_bytes) CHECK(u.total.high_water_bytes <= max_bytes);
        for (i = 0; i < 10; i++) {
            put(bufs[i]);
            have -= bufs[i] != NULL;
        }
        if (round == 1) stream_pool_trim(&pool);
        CHECK_EQ(usage_of(&pool).total.in_use, 0);
    }
    stream_pool_free(&pool);
}

static void torture(void) {
    int from, capped;
    for (from = 0; from < 2; from++) {
        for (capped = 0; capped < 2; capped++) {
            size_t n = 0;
            heap h;
            do {
                heap_init(&h);
                h.fail_at = ++n;
                h.fail_from = from != 0;
                everything(&h, capped ? 1500 : 0);
                check_heap_empty(&h);
            } while (h.failed && n < 1000);
            CHECK(n > 10 && n < 1000);
        }
    }
}

/* ---- the arena -------------------------------------------------------------------------------------- */

static void *no_allocator(void *ctx, void *ptr, size_t old_size, size_t new_size, size_t align) {
    (void)ptr, (void)old_size, (void)new_size, (void)align;
    *(int *)ctx += 1;
    return NULL;
}

static void arena(void) {
    stream_pool_desc d = desc_of(NULL, 64, 2, 128, 1, 0);
    size_t need = stream_pool_memory(&d), shift;
    int asked = 0;
    d.allocator.resize = no_allocator;
    d.allocator.ctx = &asked;
    CHECK(need > 0 && need < 8192);
    for (shift = 0; shift < 130; shift++) {          /* any alignment, to the byte */
        char *memory = (char *)malloc(shift + need); /* exactly: AddressSanitizer watches the end */
        stream_pool pool;
        stream_pool_buf *a, *b, *c;
        stream_pool_usage u;
        memset(memory, 0x5a, shift + need);
        d.memory = memory + shift;
        d.memory_size = need - 1;
        CHECK_EQ(stream_pool_init(&pool, &d), STREAM_E_ARGUMENT);
        d.memory_size = need;
        CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
        a = get(&pool, 64);
        b = get(&pool, 64);
        c = get(&pool, 100);
        CHECK(a->data + 64 <= b->data || b->data + 64 <= a->data);
        CHECK_EQ((uintptr_t)a->data % STREAM_CACHE_LINE + (uintptr_t)c->data % STREAM_CACHE_LINE, 0);
        CHECK(c->data + 128 <= memory + shift + need);
        memset(a->data, 1, 64);
        memset(b->data, 2, 64);
        memset(c->data, 3, 128);
        refused(&pool, 64, STREAM_FULL);
        refused(&pool, 100, STREAM_FULL);
        refused(&pool, 129, STREAM_E_ARGUMENT);
        put(c);
        CHECK_SAME(get(&pool, 64), c); /* a larger one, as no smaller one is left */
        put(b);
        refused(&pool, 65, STREAM_FULL); /* a smaller one is no help */
        CHECK_SAME(get(&pool, 1), b);
        CHECK(a->data[0] == 1 && a->data[63] == 1);
        put(a);
        put(b);
        put(c);
        CHECK_EQ(stream_pool_trim(&pool), 0);
        CHECK_EQ(stream_pool_trim_idle(&pool), 0);
        u = usage_of(&pool);
        check_counts(u.tier[0], 2, 1, 0, 0, 2, 2);
        check_counts(u.tier[1], 1, 1, 0, 0, 1, 1);
        CHECK_EQ(u.total.refused, 4);
        CHECK_EQ(u.total.bytes, 256);
        a = get(&pool, 1);
        stream_pool_free(&pool);
        memset(a->data, 4, 64); /* still ours */
        put(a);
        memset(memory, 0, shift + need); /* all of it the caller's again, nothing poisoned */
        free(memory);
    }
    CHECK_EQ(asked, 0);

    memset(&d, 0, sizeof d); /* the default tiers as an arena: a sum to check */
    need = stream_pool_memory(NULL);
    CHECK_EQ(need, stream_pool_memory(&d));
    CHECK(need > 1000 * 4096 + 500 * 8192 + 500 * 16384);
    CHECK(need < 1000 * 4096 + 500 * 8192 + 500 * 16384 + 2000 * 300);
}

/* Tiers of none: what only they could serve is never to be had, and not a matter of waiting. */
static void arena_empty_tiers(void) {
    stream_pool_desc d = desc_of(NULL, 64, 1, 128, 0, 0);
    stream_pool pool;
    stream_pool_buf *a;
    d.memory_size = stream_pool_memory(&d);
    d.memory = malloc(d.memory_size);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    refused(&pool, 100, STREAM_E_ARGUMENT);
    a = get(&pool, 64);
    refused(&pool, 100, STREAM_E_ARGUMENT);
    refused(&pool, 64, STREAM_FULL);
    put(a);
    put(get(&pool, 64));
    stream_pool_free(&pool);
    free(d.memory);

    d = desc_of(NULL, 64, 0, 128, 1, 0);
    d.memory_size = stream_pool_memory(&d);
    d.memory = malloc(d.memory_size);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    a = get(&pool, 1); /* the larger one */
    CHECK_EQ(a->capacity, 128);
    refused(&pool, 1, STREAM_FULL);
    put(a);
    stream_pool_free(&pool);
    free(d.memory);
}

static void arena_full_size(void) {
    stream_pool_desc d = desc_of(NULL, 64, 200, 4096, 3, 0);
    stream_pool_buf *bufs[203], *none;
    stream_pool pool;
    int i, round, asked = 0;
    d.allocator.resize = no_allocator;
    d.allocator.ctx = &asked;
    d.memory_size = stream_pool_memory(&d);
    d.memory = malloc(d.memory_size);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    for (round = 0; round < 3; round++) {
        for (i = 0; i < 203; i++) {
            bufs[i] = get(&pool, i < 200 ? 64 : 4096);
            memset(bufs[i]->data, i, bufs[i]->capacity);
        }
        CHECK_EQ(stream_pool_acquire(&pool, 1, &none), STREAM_FULL);
        for (i = 0; i < 203; i++) {
            size_t k, same = 0;
            for (k = 0; k < bufs[i]->capacity; k++) same += bufs[i]->data[k] == (char)i;
            CHECK_EQ(same, bufs[i]->capacity);
            put(bufs[i]);
        }
    }
    stream_pool_free(&pool);
    free(d.memory);
    CHECK_EQ(asked, 0);
}

/* ---- references, and what is none -------------------------------------------------------------------- */

static void references(void) {
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_buf *a, *b;
    heap_init(&h);
    d = desc_of(&h, 64, 1, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    a = get(&pool, 64);
    CHECK_EQ(stream_pool_refs(a), 1);
    CHECK_SAME(stream_pool_retain(a), a);
    CHECK_SAME(stream_pool_retain(a), a);
    CHECK_EQ(stream_pool_refs(a), 3);
    put(a);
    put(a);
    CHECK_EQ(stream_pool_refs(a), 1);
    CHECK_EQ(usage_of(&pool).total.in_use, 1);
    b = get(&pool, 64);
    CHECK(b != a); /* not back yet */
    put(a);
    CHECK_EQ(usage_of(&pool).tier[0].kept, 1);
    CHECK_EQ(stream_pool_refs(a), 0);
    CHECK_EQ(stream_pool_refs(NULL), 0);
    CHECK_SAME(stream_pool_retain(NULL), NULL);
    put(NULL);

    CHECK_SAME(get(&pool, 64), a);
    stream__a64_store_relaxed(&a->state, STREAM_POOL__OUT | (UINT32_MAX - 1));
    CHECK_SAME(stream_pool_retain(a), a);
    CHECK_SAME(stream_pool_retain(a), NULL); /* refused, not wrapped */
    CHECK_EQ(stream_pool_refs(a), UINT32_MAX);
    CHECK_EQ(usage_of(&pool).total.misused, 0);
    stream__a64_store_relaxed(&a->state, STREAM_POOL__OUT | 1);
    put(a);
    put(b);
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

static void misuse(void) {
    heap h;
    stream_pool pool, other;
    stream_pool_desc d;
    stream_pool_buf *a, *b;
    char foreign[3 * STREAM_CACHE_LINE + sizeof(stream_pool_buf)];
    char *aligned;
    size_t i;
    heap_init(&h);
    d = desc_of(&h, 64, 2, 128, 1, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    CHECK_EQ(stream_pool_init(&other, &d), STREAM_OK);
    a = get(&pool, 64);
    b = get(&pool, 65);
    put(a);
    put(b);
    for (i = 0; i < 3; i++) CHECK_EQ(stream_pool_release(a), STREAM_E_STATE);
    CHECK_EQ(stream_pool_release(b), STREAM_E_STATE);
    CHECK_SAME(stream_pool_retain(a), NULL);
    CHECK_EQ(usage_of(&pool).tier[0].misused, 4);
    CHECK_EQ(usage_of(&pool).tier[1].misused, 1);
    CHECK_EQ(usage_of(&pool).total.misused, 5);
    CHECK_EQ(usage_of(&pool).total.kept, 2); /* it is there once */
    CHECK_SAME(get(&pool, 64), a);
    b = get(&pool, 64);
    CHECK(b != a);
    CHECK_EQ(usage_of(&pool).tier[0].in_use, 2);

    /* Foreign pointers: none aligned like ours is read through; one that is lacks the mark. */
    memset(foreign, 0, sizeof foreign);
    for (i = 1; i < STREAM_CACHE_LINE; i++) {
        CHECK(stream_pool_buf_of(a->data + i) == NULL);
        CHECK_EQ(stream_pool_release((stream_pool_buf *)(void *)((char *)a + i)), STREAM_E_ARGUMENT);
    }
    aligned = stream_pool__align(foreign + STREAM_CACHE_LINE);
    CHECK(stream_pool_buf_of(aligned) == NULL);
    CHECK_EQ(stream_pool_release((stream_pool_buf *)(void *)aligned), STREAM_E_ARGUMENT);
    CHECK_SAME(stream_pool_retain((stream_pool_buf *)(void *)aligned), NULL);
    CHECK_EQ(stream_pool_refs((stream_pool_buf *)(void *)aligned), 0);
    memcpy(aligned, (const void *)a, sizeof *a); /* a copy of a handle is no buffer */
    CHECK_EQ(stream_pool_release((stream_pool_buf *)(void *)aligned), STREAM_E_ARGUMENT);
    memcpy(aligned - STREAM_POOL__FRONT, a->data - STREAM_POOL__FRONT, STREAM_POOL__FRONT);
    CHECK(stream_pool_buf_of(aligned) == NULL); /* nor is a copy of what lies in front of data */
    CHECK(stream_pool_buf_of(NULL) == NULL);

    put(a);
    put(b);
    stream_pool_free(&pool);
    stream_pool_free(&other);
    check_heap_empty(&h);
}

static void not_a_pool(void) {
    stream_pool pool;
    stream_pool_usage u;
    stream_buffers s;
    volatile uintptr_t nowhere = 64 * STREAM_CACHE_LINE;
    memset(&pool, 0, sizeof pool);
    stream_pool_free(NULL);
    stream_pool_free(&pool);
    stream_pool_free(&pool);
    refused(&pool, 1, STREAM_E_STATE);
    refused(NULL, 1, STREAM_E_STATE);
    CHECK_EQ(stream_pool_acquire(&pool, 1, NULL), STREAM_E_ARGUMENT);
    CHECK_EQ(stream_pool_trim(&pool) + stream_pool_trim(NULL), 0);
    CHECK_EQ(stream_pool_trim_idle(&pool) + stream_pool_trim_idle(NULL), 0);
    memset(&u, 0xff, sizeof u);
    stream_pool_stats(&pool, &u);
    CHECK_EQ(u.tiers + u.total.allocated + u.oversize.allocated, 0);
    memset(&u, 0xff, sizeof u);
    stream_pool_stats(NULL, &u);
    CHECK_EQ(u.tiers + u.total.allocated, 0);
    s = stream_pool_buffers(&pool);
    CHECK_SAME(s.acquire(s.ctx, 1, NULL), NULL);
    s.release(s.ctx, NULL);
    s.release(s.ctx, (void *)nowhere); /* not looked at: nothing was lent */
    s = stream_pool_buffers(NULL);
    CHECK(s.ctx == NULL);
}

static void free_with_buffers_out(void) {
    heap h;
    stream_pool pool, moved;
    stream_pool_desc d;
    stream_pool_buf *a, *b, *c, *k;
    heap_init(&h);
    d = desc_of(&h, 64, 2, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    a = get(&pool, 64);
    k = get(&pool, 64);
    b = get(&pool, 64);
    c = get(&pool, 1000);
    put(k);
    moved = pool; /* a pool is a handle */
    memset(&pool, 0, sizeof pool);
    CHECK_EQ(h.blocks, 5);
    stream_pool_free(&moved);
    CHECK(moved.core == NULL);
    CHECK_EQ(h.blocks, 4); /* the kept one is gone */
    memset(a->data, 1, a->capacity);
    memset(c->data, 1, c->capacity);
    CHECK_SAME(stream_pool_retain(a), a);
    put(a);
    CHECK_EQ(h.blocks, 4);
    put(a);
    CHECK_EQ(h.blocks, 3);
    put(b);
    CHECK_EQ(h.blocks, 2);
    put(c);
    check_heap_empty(&h); /* and the tables with the last */
}

/* ---- options ------------------------------------------------------------------------------------------
 */

static size_t nonzero(const stream_pool_buf *buf) {
    size_t i, n = 0;
    for (i = 0; i < buf->capacity; i++) n += buf->data[i] != 0;
    return n;
}

static void zero_on_release(void) {
    static const size_t sizes[] = {64, 64, 64, 100, 1000};
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_buf *bufs[5];
    int round, i;
    heap_init(&h);
    h.forbid = "SECRET!!";
    d = desc_of(&h, 64, 2, 100, 1, 0);
    d.zero_on_release = true;
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    for (round = 0; round < 3; round++) {
        for (i = 0; i < 5; i++) {
            size_t at;
            bufs[i] = get(&pool, sizes[i]);
            CHECK_EQ(nonzero(bufs[i]), 0);
            for (at = 0; at < bufs[i]->capacity; at++) bufs[i]->data[at] = "SECRET!!"[at % 8];
            CHECK_SAME(stream_pool_retain(bufs[i]), bufs[i]);
            put(bufs[i]);
            CHECK_EQ(nonzero(bufs[i]), sizes[i]); /* not before the last reference goes */
        }
        for (i = 0; i < 5; i++) put(bufs[i]);
        stream_pool_trim(&pool);
    }
    CHECK(!h.leftover);
    bufs[0] = get(&pool, 64);
    memcpy(bufs[0]->data, "SECRET!!", 8);
    stream_pool_free(&pool);
    put(bufs[0]);
    CHECK(!h.leftover);
    check_heap_empty(&h);

    d.zero_on_release = false; /* the check can fail */
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    bufs[0] = get(&pool, 64);
    memcpy(bufs[0]->data, "SECRET!!", 8);
    put(bufs[0]);
    stream_pool_free(&pool);
    CHECK(h.leftover);
}

static void pass_through(void) {
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_buf *a, *b;
    stream_pool_usage u;
    heap_init(&h);
    d = desc_of(&h, 64, 2, 128, 2, 0);
    d.pass_through = true;
    d.max_bytes = 256;
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    a = get(&pool, 1);
    CHECK_EQ(a->capacity, 64); /* the same as ever */
    b = get(&pool, 65);
    CHECK_EQ(b->capacity, 128);
    refused(&pool, 65, STREAM_FULL);
    put(a);
    put(b);
    CHECK_EQ(h.blocks, 1);
    put(get(&pool, 1));
    put(get(&pool, 200));
    u = usage_of(&pool);
    check_counts(u.tier[0], 2, 0, 2, 0, 0, 1);
    check_counts(u.tier[1], 1, 0, 1, 0, 0, 1);
    check_counts(u.oversize, 1, 0, 1, 0, 0, 1);
    CHECK_EQ(u.total.bytes + u.total.reused, 0);
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

static void trim(void) {
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_buf *bufs[6];
    int i;
    heap_init(&h);
    d = desc_of(&h, 64, 4, 128, 4, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    CHECK_EQ(stream_pool_trim(&pool), 0);
    for (i = 0; i < 6; i++) bufs[i] = get(&pool, i < 3 ? 64 : 128);
    CHECK_EQ(stream_pool_trim(&pool), 0);
    for (i = 0; i < 5; i++) put(bufs[i]);
    CHECK_EQ(stream_pool_trim(&pool), 3 * 64 + 2 * 128);
    CHECK_EQ(stream_pool_trim(&pool), 0);
    CHECK_EQ(h.blocks, 2);
    check_counts(usage_of(&pool).total, 6, 0, 5, 1, 0, 6);
    put(bufs[5]);
    for (i = 0; i < 6; i++) bufs[i] = get(&pool, i < 3 ? 64 : 128);
    for (i = 0; i < 6; i++) put(bufs[i]);
    check_counts(usage_of(&pool).tier[0], 6, 0, 3, 0, 3, 3);
    check_counts(usage_of(&pool).tier[1], 5, 1, 2, 0, 3, 3);
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

static void trim_idle(void) {
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_buf *bufs[10], *held;
    int i, round;
    heap_init(&h);
    d = desc_of(&h, 64, 10, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    for (i = 0; i < 10; i++) bufs[i] = get(&pool, 64); /* the burst */
    for (i = 0; i < 10; i++) put(bufs[i]);
    CHECK_EQ(stream_pool_trim_idle(&pool), 0); /* all were needed since the last call */
    for (round = 0; round < 5; round++) {      /* two at a time from now on */
        for (i = 0; i < 20; i++) {
            stream_pool_buf *a = get(&pool, 64), *b = get(&pool, 64);
            put(a);
            put(b);
        }
        CHECK_EQ(stream_pool_trim_idle(&pool), round == 0 ? 8 * 64 : 0);
        CHECK_EQ(usage_of(&pool).total.kept, 2);
    }
    check_counts(usage_of(&pool).total, 10, 200, 8, 0, 2, 10);
    held = get(&pool, 64); /* held over a call: in use until the one after it came back */
    CHECK_EQ(stream_pool_trim_idle(&pool), 64);
    put(held);
    CHECK_EQ(stream_pool_trim_idle(&pool), 0);
    CHECK_EQ(stream_pool_trim_idle(&pool), 64);
    CHECK_EQ(stream_pool_trim_idle(&pool), 0);
    CHECK_EQ(h.blocks, 1);
    put(get(&pool, 64));
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

static void buffers_interface(void) {
    heap h;
    stream_pool pool, other;
    stream_pool_desc d;
    stream_buffers s;
    stream_pool_buf *buf;
    char *data;
    size_t capacity = 0;
    heap_init(&h);
    d = desc_of(&h, 64, 2, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    CHECK_EQ(stream_pool_init(&other, &d), STREAM_OK);
    s = stream_pool_buffers(&pool);
    data = (char *)s.acquire(s.ctx, 10, &capacity);
    CHECK(data != NULL);
    CHECK_EQ(capacity, 64);
    buf = stream_pool_buf_of(data);
    CHECK(buf && buf->data == data && buf->capacity == 64);
    CHECK_SAME(stream_pool_retain(buf), buf); /* keep it beyond what the pipeline does */
    s.release(s.ctx, data);
    CHECK_EQ(usage_of(&pool).total.in_use, 1);
    s.release(s.ctx, data);
    CHECK_EQ(usage_of(&pool).total.in_use, 0);
    s.release(s.ctx, NULL);
    CHECK_SAME(s.acquire(s.ctx, 1, NULL), data); /* whoever knows the size need not ask */
    s.release(s.ctx, data);
    CHECK_EQ(usage_of(&pool).total.misused, 0);
    s.release(s.ctx, data); /* again */
    CHECK_EQ(usage_of(&pool).tier[0].misused, 1);
    buf = get(&other, 64);
    s.release(s.ctx, buf->data);     /* to the wrong pool */
    s.release(s.ctx, buf->data + 1); /* no buffer's data */
    CHECK_EQ(usage_of(&pool).total.misused, 3);
    CHECK_EQ(usage_of(&other).total.in_use, 1);
    put(buf);
    h.fail_at = 1;
    h.fail_from = true;
    CHECK_SAME(s.acquire(s.ctx, 1000, &capacity), NULL);
    stream_pool_free(&pool);
    stream_pool_free(&other);
    check_heap_empty(&h);
}

/* ---- caches ------------------------------------------------------------------------------------------- */

static stream_pool_buf *cache_get(stream_pool_cache *cache, size_t size) {
    stream_pool_buf *buf = NULL;
    CHECK_EQ(stream_pool_cache_acquire(cache, size, &buf), STREAM_OK);
    CHECK(buf != NULL);
    return buf;
}

static void cache_put(stream_pool_cache *cache, stream_pool_buf *buf) {
    CHECK_EQ(stream_pool_cache_release(cache, buf), STREAM_OK);
}

static void caches(void) {
    heap h;
    stream_pool pool, other;
    stream_pool_cache mine, yours;
    stream_pool_desc d;
    stream_pool_buf *a, *b, *c;
    heap_init(&h);
    d = desc_of(&h, 64, 10, 128, 10, 0);
    memset(&pool, 0, sizeof pool);
    CHECK_EQ(stream_pool_cache_init(&mine, &pool), STREAM_E_STATE);
    CHECK_EQ(stream_pool_cache_init(&mine, NULL), STREAM_E_STATE);
    CHECK_EQ(stream_pool_cache_acquire(&mine, 1, &a), STREAM_E_STATE);
    CHECK_EQ(stream_pool_cache_acquire(NULL, 1, &a), STREAM_E_STATE);
    CHECK(a == NULL);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    CHECK_EQ(stream_pool_init(&other, &d), STREAM_OK);
    CHECK_EQ(stream_pool_cache_init(NULL, &pool), STREAM_E_ARGUMENT);
    CHECK_EQ(stream_pool_cache_init(&mine, &pool), STREAM_OK);
    CHECK_EQ(stream_pool_cache_init(&yours, &pool), STREAM_OK);
    CHECK_EQ(stream_pool_cache_acquire(&mine, 1, NULL), STREAM_E_ARGUMENT);
    CHECK_EQ(stream_pool_cache_release(&mine, NULL), STREAM_OK);
    CHECK_EQ(stream_pool_cache_release(&mine, (stream_pool_buf *)(void *)&mine), STREAM_E_ARGUMENT);
    a = cache_get(&mine, 64);
    b = cache_get(&mine, 64);
    c = cache_get(&mine, 65);
    cache_put(&mine, a);
    cache_put(&mine, c);
    cache_put(&mine, b);
    check_counts(usage_of(&pool).total, 3, 0, 0, 0, 3, 3);
    CHECK_SAME(cache_get(&mine, 1), b); /* last in, first out, each tier for itself */
    CHECK_SAME(cache_get(&mine, 1), a);
    CHECK_SAME(cache_get(&mine, 128), c);
    CHECK_EQ(usage_of(&pool).total.reused, 3);

    /* Released through one, it is what that one hands out next; but the other one finds it too. */
    cache_put(&yours, a);
    cache_put(&mine, b);
    CHECK_SAME(cache_get(&yours, 64), a);
    cache_put(&yours, a);
    CHECK_SAME(cache_get(&mine, 64), b);
    CHECK_SAME(cache_get(&mine, 64), a); /* taken from yours */
    CHECK_EQ(usage_of(&pool).total.allocated, 3);
    cache_put(&mine, a); /* now both remember it */
    CHECK_SAME(cache_get(&yours, 64), a);
    check_counts(usage_of(&pool).tier[0], 2, 6, 0, 2, 0, 2);
    put(b); /* through neither */
    CHECK_SAME(get(&pool, 64), b);
    put(b);
    CHECK_SAME(cache_get(&mine, 64), b); /* what mine remembered of a is stale: passed over */

    /* References, other pools' buffers, buffers without a place. */
    CHECK_SAME(stream_pool_retain(b), b);
    cache_put(&mine, b);
    CHECK_EQ(stream_pool_refs(b), 1);
    cache_put(&mine, b);
    b = get(&other, 64);
    cache_put(&mine, b);
    CHECK_EQ(usage_of(&other).total.kept, 1);
    CHECK_SAME(get(&other, 64), b);
    put(b);
    b = cache_get(&mine, 1000);
    cache_put(&mine, b);
    CHECK_EQ(usage_of(&pool).oversize.discarded, 1);

    cache_put(&yours, a);
    cache_put(&yours, c);
    stream_pool_cache_free(&yours); /* on the shared list: found first */
    CHECK_EQ(stream_pool_cache_acquire(&yours, 1, &b), STREAM_E_STATE);
    stream_pool_cache_free(&yours);
    stream_pool_cache_free(NULL);
    CHECK_SAME(get(&pool, 128), c);
    put(c);
    CHECK_EQ(usage_of(&pool).total.misused, 0);
    stream_pool_free(&pool); /* mine still remembers some */
    stream_pool_free(&other);
    check_heap_empty(&h);
}

/* A cache holds half a tier, no more than STREAM_POOL_CACHE, and fewer of large ones: what it gives up is its
   older half, and comes off the list newest first. */
static void cache_overflows(void) {
    heap h;
    stream_pool pool;
    stream_pool_cache cache;
    stream_pool_desc d;
    stream_pool_buf *bufs[200];
    int i;
    heap_init(&h);
    CHECK_EQ(stream_pool__hold(1, 0), 0);
    CHECK_EQ(stream_pool__hold(1, 1), 1);
    CHECK_EQ(stream_pool__hold(1, 2), 1);
    CHECK_EQ(stream_pool__hold(4096, 1000), STREAM_POOL_CACHE);
    CHECK_EQ(stream_pool__hold((size_t)1 << 18, 1000), 16);
    CHECK_EQ(stream_pool__hold((size_t)1 << 30, 1000), 4);
    d = desc_of(&h, 64, 200, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    CHECK_EQ(stream_pool_cache_init(&cache, &pool), STREAM_OK);
    for (i = 0; i < 200; i++) bufs[i] = cache_get(&cache, 64);
    for (i = 0; i < 200; i++) {
        cache_put(&cache, bufs[i]);
        CHECK(cache.n[0] <= STREAM_POOL_CACHE);
    }
    CHECK_EQ(usage_of(&pool).tier[0].kept, 200);
    for (i = 200; i-- > 0;) CHECK_SAME(cache_get(&cache, 64), bufs[i]); /* still in the order of a stack */
    check_counts(usage_of(&pool).tier[0], 200, 200, 0, 200, 0, 200);
    for (i = 0; i < 200; i++) cache_put(&cache, bufs[i]);
    stream_pool_cache_free(&cache);
    for (i = 200; i-- > 0;) CHECK_SAME(get(&pool, 64), bufs[i]);
    for (i = 0; i < 200; i++) put(bufs[i]);
    CHECK_EQ(stream_pool_trim(&pool), 200 * 64);
    CHECK_EQ(h.blocks, 1);
    for (i = 0; i < 10; i++) put(get(&pool, 64)); /* nothing remembered is there any more */
    check_counts(usage_of(&pool).tier[0], 201, 409, 200, 0, 1, 200);
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

/* Whatever other caches remember, nothing is refused that could be served, and the cap holds. */
static void cap_with_caches(void) {
    enum { BUFS = 200 };
    heap h;
    stream_pool pool;
    stream_pool_cache theirs[4];
    stream_pool_desc d;
    stream_pool_buf *bufs[BUFS], *a, *b;
    int i, round;
    heap_init(&h);
    d = desc_of(&h, 64, 300, 128, 300, 0);
    d.max_bytes = BUFS * 64;
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    for (i = 0; i < 4; i++) CHECK_EQ(stream_pool_cache_init(&theirs[i], &pool), STREAM_OK);
    for (round = 0; round < 3; round++) {
        for (i = 0; i < BUFS; i++) bufs[i] = cache_get(&theirs[i % 4], 64);
        refused(&pool, 1, STREAM_FULL);
        for (i = 0; i < BUFS; i++) cache_put(&theirs[i % 4], bufs[i]);
        for (i = 0; i < BUFS; i++) bufs[i] = get(&pool, 64); /* all of them, out of their caches */
        refused(&pool, 1, STREAM_FULL);
        CHECK_EQ(usage_of(&pool).tier[0].allocated, BUFS * (1 + round));
        for (i = 0; i < BUFS; i++) cache_put(&theirs[i % 4], bufs[i]);
        /* small ones make room, out of their caches */
        for (i = 0; i < BUFS / 2; i++) bufs[i] = get(&pool, 128);
        refused(&pool, 1, STREAM_FULL);
        CHECK_EQ(usage_of(&pool).tier[0].kept, 0);
        for (i = 0; i < BUFS / 2; i++) cache_put(&theirs[i % 4], bufs[i]);
        a = get(&pool, 1); /* a larger one serves */
        CHECK_EQ(a->capacity, 128);
        b = get(&pool, 128);
        put(a);
        put(b);
        CHECK_EQ(stream_pool_trim(&pool), BUFS * 64);
        CHECK_EQ(h.blocks, 1);
    }
    CHECK_EQ(usage_of(&pool).total.high_water_bytes, BUFS * 64);
    CHECK(h.payload_peak <= BUFS * 64);
    stream_pool_free(&pool);
    check_heap_empty(&h);

    d.max_bytes = 0; /* the same where the allocator says no */
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    for (i = 0; i < 4; i++) CHECK_EQ(stream_pool_cache_init(&theirs[i], &pool), STREAM_OK);
    for (i = 0; i < BUFS; i++) bufs[i] = cache_get(&theirs[i % 4], i < BUFS / 2 ? 64 : 128);
    for (i = 0; i < BUFS; i++) cache_put(&theirs[i % 4], bufs[i]);
    h.fail_at = 1;
    h.fail_from = true;
    for (i = 0; i < BUFS; i++) bufs[i] = get(&pool, 64);
    refused(&pool, 64, STREAM_E_NOMEM);
    for (i = 0; i < BUFS; i++) cache_put(&theirs[i % 4], bufs[i]);
    refused(&pool, 200, STREAM_E_NOMEM); /* gave back all that was kept, in vain */
    CHECK_EQ(usage_of(&pool).total.kept, 0);
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

/* Released twice, whatever lies between: through a cache, another one, none; kept in a cache, on the list,
   given back to the allocator. */
static void misuse_with_caches(void) {
    heap h;
    stream_pool pool;
    stream_pool_cache mine, yours;
    stream_pool_desc d;
    stream_pool_buf *a, *b;
    int i;
    heap_init(&h);
    d = desc_of(&h, 64, 10, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    CHECK_EQ(stream_pool_cache_init(&mine, &pool), STREAM_OK);
    CHECK_EQ(stream_pool_cache_init(&yours, &pool), STREAM_OK);
    a = cache_get(&mine, 64);
    CHECK_EQ(stream_pool_cache_release(NULL, a), STREAM_OK); /* then as without one */
    a = cache_get(&mine, 64);
    b = cache_get(&mine, 64);
    cache_put(&mine, a);
    for (i = 0; i < 4; i++) {
        CHECK_EQ(stream_pool_cache_release(&mine, a), STREAM_E_STATE);
        CHECK_EQ(stream_pool_cache_release(&yours, a), STREAM_E_STATE);
        CHECK_EQ(stream_pool_release(a), STREAM_E_STATE);
        CHECK_SAME(stream_pool_retain(a), NULL);
        CHECK_EQ(stream_pool_refs(a), 0);
        if (i == 0) stream_pool_trim_idle(&pool);  /* looked at, and marked for it */
        if (i == 1) stream_pool_cache_free(&mine); /* on the list */
        if (i == 2) CHECK_EQ(stream_pool_trim(&pool), 64);
    }
    CHECK_EQ(usage_of(&pool).total.misused, 16);
    CHECK_EQ(usage_of(&pool).total.in_use, 1);
    cache_put(&yours, b);
    CHECK_SAME(cache_get(&yours, 64), b);
    a = cache_get(&yours, 64);
    CHECK(a != b);
    cache_put(&yours, a);
    cache_put(&yours, b);
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

/* Old bytes are never seen, whichever way a buffer comes: remembered, from the list, found, new. */
static void zero_with_caches(void) {
    enum { BUFS = 40 };
    heap h;
    stream_pool pool;
    stream_pool_cache mine, yours;
    stream_pool_desc d;
    stream_pool_buf *bufs[BUFS];
    int i, round;
    heap_init(&h);
    h.forbid = "SECRET!!";
    d = desc_of(&h, 64, BUFS, 0);
    d.zero_on_release = true;
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    CHECK_EQ(stream_pool_cache_init(&mine, &pool), STREAM_OK);
    CHECK_EQ(stream_pool_cache_init(&yours, &pool), STREAM_OK);
    for (round = 0; round < 6; round++) {
        for (i = 0; i < BUFS; i++) {
            size_t at;
            bufs[i] = round % 3 == 0   ? cache_get(&mine, 64)
                      : round % 3 == 1 ? cache_get(&yours, 64)
                                       : get(&pool, 64);
            CHECK_EQ(nonzero(bufs[i]), 0);
            for (at = 0; at < 64; at++) bufs[i]->data[at] = "SECRET!!"[at % 8];
        }
        for (i = 0; i < BUFS; i++) cache_put(&mine, bufs[i]);
        if (round == 3) stream_pool_trim(&pool);
    }
    CHECK_EQ(usage_of(&pool).total.reused, 4 * BUFS);
    stream_pool_free(&pool);
    CHECK(!h.leftover);
    check_heap_empty(&h);
}

/* A trim reaches into caches, an idle one takes only what nobody has used since. */
static void trim_with_caches(void) {
    heap h;
    stream_pool pool;
    stream_pool_cache mine, idle;
    stream_pool_desc d;
    stream_pool_buf *bufs[30];
    int i, call;
    heap_init(&h);
    d = desc_of(&h, 64, 60, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    CHECK_EQ(stream_pool_cache_init(&mine, &pool), STREAM_OK);
    CHECK_EQ(stream_pool_cache_init(&idle, &pool), STREAM_OK);
    for (i = 0; i < 30; i++) bufs[i] = cache_get(i < 10 ? &mine : &idle, 64);
    for (i = 0; i < 30; i++) cache_put(i < 10 ? &mine : &idle, bufs[i]);
    CHECK_EQ(stream_pool_trim_idle(&pool), 0);
    for (call = 0; call < 3; call++) {
        for (i = 0; i < 10; i++) bufs[i] = cache_get(&mine, 64);
        for (i = 0; i < 10; i++) cache_put(&mine, bufs[i]);
        CHECK_EQ(stream_pool_trim_idle(&pool), call == 0 ? 20 * 64 : 0); /* one who never calls again */
    }
    check_counts(usage_of(&pool).tier[0], 30, 30, 20, 0, 10, 30);
    CHECK_EQ(h.blocks, 11);
    CHECK_EQ(stream_pool_trim_idle(&pool), 10 * 64);
    put(cache_get(&idle, 64)); /* what it remembers is gone */
    check_counts(usage_of(&pool).tier[0], 31, 30, 30, 0, 1, 30);
    CHECK_EQ(stream_pool_trim(&pool), 64);
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

/* A freed pool's address, with another pool at it: what is remembered of the first one is of no use and no
   harm. The second one has fewer tiers, fewer places, and other sizes. */
static void address_reused(void) {
    stream_pool_desc big = desc_of(NULL, 64, 100, 128, 100, 256, 100, 0), small = desc_of(NULL, 96, 3, 0);
    stream_pool_buf *bufs[300], *none;
    stream_pool_cache cache;
    stream_pool pool;
    int i, round;
    void *core = NULL;
    big.memory_size = small.memory_size = stream_pool_memory(&big);
    big.memory = small.memory = malloc(big.memory_size);
    for (round = 0; round < 4; round++) {
        bool first = round % 2 == 0;
        int n = first ? 300 : 3;
        CHECK_EQ(stream_pool_init(&pool, first ? &big : &small), STREAM_OK);
        if (!core) core = pool.core;
        CHECK_SAME(pool.core, core);
        if (round == 0) CHECK_EQ(stream_pool_cache_init(&cache, &pool), STREAM_OK);
        CHECK_EQ(stream_pool_cache_acquire(&cache, 1000, &none), STREAM_E_ARGUMENT);
        for (i = 0; i < n; i++) {
            bufs[i] = i % 2 ? get(&pool, first ? (size_t)64 << i / 100 : 1)
                            : cache_get(&cache, first ? (size_t)64 << i / 100 : 1);
            memset(bufs[i]->data, i, bufs[i]->capacity);
        }
        CHECK_EQ(stream_pool_cache_acquire(&cache, 1, &none), STREAM_FULL);
        for (i = 0; i < n; i++) {
            size_t k, same = 0;
            for (k = 0; k < bufs[i]->capacity; k++) same += bufs[i]->data[k] == (char)i;
            CHECK_EQ(same, bufs[i]->capacity);
            if (i % 3)
                put(bufs[i]);
            else
                cache_put(&cache, bufs[i]);
        }
        CHECK_EQ(usage_of(&pool).total.kept, n);
        stream_pool_free(&pool);
    }
    free(big.memory);
}

/* A thread has caches for two pools, and now and then for a third. */
static void many_pools(void) {
    enum { POOLS = 5 };
    heap h;
    stream_pool pools[POOLS];
    stream_pool_desc d;
    stream_pool_buf *bufs[POOLS][8];
    int i, k, round;
    heap_init(&h);
    d = desc_of(&h, 64, 20, 0);
    for (i = 0; i < POOLS; i++) CHECK_EQ(stream_pool_init(&pools[i], &d), STREAM_OK);
    for (round = 0; round < 200; round++) {
        for (i = 0; i < POOLS; i++)
            for (k = 0; k < 8; k++) bufs[i][k] = get(&pools[i], 64);
        for (k = 0; k < 8; k++)
            for (i = 0; i < POOLS; i++) put(bufs[i][k]);
    }
    for (i = 0; i < POOLS; i++) check_counts(usage_of(&pools[i]).tier[0], 8, 199 * 8, 0, 0, 8, 8);
    for (i = 0; i < POOLS; i++) stream_pool_free(&pools[i]);
    check_heap_empty(&h);
}

/* What a relay does: connections that come and go, read into 16 KiB, pass on events of up to 4 KiB that
   several subscribers hold for a while, and now and then a large one. */
static void relay(void) {
    enum { SUBSCRIBERS = 20, LAG = 16, EVENTS = 20000 };
    static stream_pool_buf *queue[SUBSCRIBERS][LAG];
    uint64_t seed = 7;
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_usage u;
    int n, i;
    heap_init(&h);
    d = desc_of(&h, 0);
    d.max_bytes = 8 << 20;
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    for (n = 0; n < EVENTS; n++) {
        stream_pool_buf *in = get(&pool, 16384);
        stream_pool_buf *event = get(&pool, 1 + (size_t)(test_random(&seed) >> 20) % 4096);
        stream_pool_buf *rewritten = n % 3 ? NULL : get(&pool, 8000);
        for (i = 0; i < SUBSCRIBERS; i++) { /* each lags by its own measure */
            int at = n % (1 + (i * 7 + n / 1000) % LAG);
            put(queue[i][at]);
            queue[i][at] = stream_pool_retain(event);
        }
        put(event);
        put(rewritten);
        put(in);
        if (n % 1000 == 0) stream_pool_trim_idle(&pool);
    }
    for (i = 0; i < SUBSCRIBERS * LAG; i++) {
        put(queue[i / LAG][i % LAG]);
        queue[i / LAG][i % LAG] = NULL;
    }
    u = usage_of(&pool);
    CHECK(u.total.reuse_permille >= 990);
    CHECK(u.total.allocated < 200);
    CHECK_EQ(u.total.in_use, 0);
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

/* After a burst two idle trims are enough, with the usual work going on between them. */
static void burst(void) {
    enum { BUFS = 5000 };
    static stream_pool_buf *bufs[BUFS];
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    size_t before;
    int i, k;
    heap_init(&h);
    d = desc_of(&h, 256, BUFS, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    for (i = 0; i < 8; i++) bufs[i] = get(&pool, 256);
    for (i = 0; i < 8; i++) put(bufs[i]);
    before = h.live;
    for (i = 0; i < BUFS; i++) bufs[i] = get(&pool, 256);
    for (i = 0; i < BUFS; i++) put(bufs[i]);
    CHECK(h.live > before + (BUFS - 9) * (size_t)256);
    for (k = 0; k < 2; k++) {
        for (i = 0; i < 8; i++) bufs[i] = get(&pool, 256);
        for (i = 0; i < 8; i++) put(bufs[i]);
        stream_pool_trim_idle(&pool);
    }
    CHECK(h.live <= before);
    CHECK_EQ(usage_of(&pool).total.kept, 8);
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

#if defined(TEST_ASAN) || defined(TEST_SHADOW)
static bool is_poisoned(const char *ptr) {
#ifdef TEST_ASAN
    return __asan_address_is_poisoned(ptr) != 0;
#else
    return poison.shadow[ptr - poison.base];
#endif
}

static void poisoned(void) {
    stream_pool_desc d = desc_of(NULL, 64, 2, 100, 1, 0);
    stream_pool pool;
    stream_pool_buf *a, *b;
    char *memory, *data;
    size_t i, n = 0;
    d.memory_size = stream_pool_memory(&d);
    d.memory = memory = (char *)malloc(d.memory_size);
#ifdef TEST_SHADOW
    poison.on = true;
    poison.base = memory;
    memset(poison.shadow, 0, sizeof poison.shadow);
    CHECK(d.memory_size <= sizeof poison.shadow);
#endif
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    a = get(&pool, 64);
    b = get(&pool, 100);
    data = b->data;
    for (i = 0; i < 100; i++) n += is_poisoned(data + i);
    CHECK_EQ(n, 0);
    CHECK(is_poisoned(data + 100)); /* one past the capacity */
    CHECK(is_poisoned(data + stream_pool__round(100) - 1));
    CHECK_SAME(stream_pool_retain(b), b);
    put(b);
    CHECK(!is_poisoned(data));
    put(b);
    for (i = 0; i < 100; i++) n += is_poisoned(data + i);
    CHECK_EQ(n, 100);
    CHECK_EQ(stream_pool_release(b), STREAM_E_STATE); /* the header is not */
    CHECK_SAME(get(&pool, 100), b);
    for (i = 0; i < 100; i++) n += is_poisoned(data + i);
    CHECK_EQ(n, 100);
    put(b);
    stream_pool_free(&pool);
    put(a);
    for (i = 0, n = 0; i < d.memory_size; i++) n += is_poisoned(memory + i);
    CHECK_EQ(n, 0);
#ifdef TEST_SHADOW
    poison.on = false;
#endif
    free(memory);
}
#endif

/* ---- the list itself ----------------------------------------------------------------------------------
 */

/* What a thread meets that read the head and `next`, slept, and comes back to the same slot on top with
   another one below: its exchange has to fail. */
static void generation(void) {
    char room[3 * (sizeof(stream_pool_buf) + STREAM_CACHE_LINE) + STREAM_CACHE_LINE];
    char *table = stream_pool__align(room);
    stream__a64 list;
    uint64_t seen, before, want[] = {0, 0xfffffffeu, 0xffffffffu};
    uint32_t got;
    size_t i;
    const uint64_t kind = STREAM_POOL__LISTED;
    for (i = 0; i < 3; i++) {
        memset(room, 0, sizeof room);
        stream__a64_store_relaxed(&list, want[i] << 32);
        CHECK_EQ(stream_pool__push(&list, kind, 2, stream_pool__at(table, 2)), true);
        CHECK_EQ(stream_pool__push(&list, kind, 1, stream_pool__at(table, 1)), true);
        seen = before = stream__a64_load_acquire(&list); /* the sleeper: head 1, below it 2 */
        CHECK_EQ((uint32_t)seen, 1);
        CHECK_EQ(stream_pool__pop(&list, table, kind, 1, &got), 1);
        CHECK_EQ(stream_pool__pop(&list, table, kind, 1, &got), 2);
        CHECK_EQ(stream_pool__pop(&list, table, kind, 1, &got), 0);
        CHECK_EQ(stream_pool__push(&list, kind, 1, stream_pool__at(table, 1)), true); /* 2 is with somebody */
        CHECK_EQ((uint32_t)stream__a64_load_acquire(&list), 1);
        CHECK_EQ(stream__a64_cas_acq_rel(&list, &seen, 2), false);
        CHECK(seen != before);
        CHECK_EQ(stream_pool__push(&list, kind, 3, stream_pool__at(table, 3)), true);
        CHECK_EQ(stream_pool__pop(&list, table, kind, 7, &got), 3); /* several at once: one generation */
        CHECK_EQ(got, 2);
        CHECK_EQ((uint32_t)stream__a64_load_relaxed(&stream_pool__at(table, 3)->state), 1);
        CHECK_EQ(stream__a64_load_acquire(&list) >> 32, (uint32_t)(want[i] + 3));
        CHECK_EQ(stream_pool__pop(&list, table, kind, 1, &got), 0);
    }
    stream__a64_store_relaxed(&list, STREAM_POOL__CLOSED);
    CHECK_EQ(stream_pool__push(&list, kind, 1, stream_pool__at(table, 1)), false);
    CHECK_EQ(stream_pool__pop(&list, table, kind, 1, &got), 0);
}

/* ---- a model -------------------------------------------------------------------------------------------
 */

/* Random calls beside the dullest bookkeeping there is. */
static void model(void) {
    enum { MOST = 12, STEPS = 20000 };
    static const size_t sizes[] = {64, 96, 200};
    uint64_t seed = 20260401;
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_usage u;
    struct {
        stream_pool_buf *buf;
        char fill;
        int refs;
    } held[MOST];
    uint64_t served = 0, refusals = 0;
    int step, i, n = 0;
    size_t k, bytes;
    heap_init(&h);
    d = desc_of(&h, 64, 2, 96, 1, 200, 2, 0);
    d.max_bytes = 1000;
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    for (step = 0; step < STEPS; step++) {
        uint64_t r = test_random(&seed) >> 20;
        int what = (int)(r % 100);
        r /= 100;
        if (what < 40 && n < MOST) {
            size_t size = (size_t)(r % 300);
            stream_status st = stream_pool_acquire(&pool, size, &held[n].buf);
            if (st == STREAM_OK) {
                for (k = 0; k < 3 && size > sizes[k]; k++) continue;
                if (k == 3)
                    CHECK_EQ(held[n].buf->capacity, size);
                else
                    CHECK(held[n].buf->capacity >= sizes[k]);
                held[n].fill = (char)step;
                held[n].refs = 1;
                memset(held[n].buf->data, held[n].fill, held[n].buf->capacity);
                for (i = 0; i < n; i++) CHECK(held[i].buf != held[n].buf);
                n++;
                served++;
            } else {
                CHECK_EQ(st, STREAM_FULL);
                refusals++;
            }
        } else if (what < 55 && n > 0) {
            i = (int)(r % (uint64_t)n);
            CHECK_SAME(stream_pool_retain(held[i].buf), held[i].buf);
            held[i].refs++;
        } else if (what < 98 && n > 0) {
            size_t same = 0;
            i = (int)(r % (uint64_t)n);
            for (k = 0; k < held[i].buf->capacity; k++) same += held[i].buf->data[k] == held[i].fill;
            CHECK_EQ(same, held[i].buf->capacity);
            CHECK_EQ(stream_pool_refs(held[i].buf), held[i].refs);
            put(held[i].buf);
            if (--held[i].refs == 0) held[i] = held[--n];
        } else if (what == 98) {
            stream_pool_trim_idle(&pool);
        } else if (what == 99 && r % 4 == 0) {
            stream_pool_trim(&pool);
        }
        for (i = 0, bytes = 0; i < n; i++) bytes += held[i].buf->capacity;
        u = usage_of(&pool);
        CHECK_EQ(u.total.in_use, n);
        CHECK_EQ(u.total.allocated + u.total.reused, served);
        CHECK_EQ(u.total.refused, refusals);
        CHECK_EQ(u.total.bytes, bytes + u.tier[0].kept * 64 + u.tier[1].kept * 96 + u.tier[2].kept * 200);
        CHECK(u.total.bytes <= 1000);
        CHECK(u.tier[0].kept <= 2 && u.tier[1].kept <= 1 && u.tier[2].kept <= 2 && u.oversize.kept == 0);
        CHECK_EQ(h.blocks, 1 + u.total.in_use + u.total.kept);
    }
    CHECK(refusals > 100 && u.total.reused > 100 && u.total.discarded > 100);
    while (n > 0) {
        put(held[n - 1].buf);
        if (--held[n - 1].refs == 0) n--;
    }
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

/* ---- threads --------------------------------------------------------------------------------------------
 */

#ifndef STREAM_NO_THREADS

enum { ROUNDS = 4000 };

/* A yield on a machine with other work may cost a time slice, so rounds end early when it gets late. */
static struct timespec late_from;
static void stress_begin(void) {
    clock_gettime(CLOCK_MONOTONIC, &late_from);
    late_from.tv_nsec += 300000000;
    if (late_from.tv_nsec >= 1000000000) {
        late_from.tv_nsec -= 1000000000;
        late_from.tv_sec++;
    }
    pause_on = true;
}
static void stress_end(void) { pause_on = false; }
static bool late(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec > late_from.tv_sec || (t.tv_sec == late_from.tv_sec && t.tv_nsec > late_from.tv_nsec);
}

enum { THREADS = 4, PLACES = 3 };

/* What one thread hands to another: a buffer, and what has to be in it. */
typedef struct parcel {
    stream_pool_buf *buf;
    uint64_t cookie;
} parcel;

typedef struct stress {
    stream_pool pool;
    pthread_mutex_t lock;
    parcel places[PLACES];
    unsigned char *arrived[THREADS]; /* how often each parcel of each thread was received; under lock */
    bool trim, wiped;
} stress;

typedef struct worker {
    stress *s;
    uint64_t id, rounds, served, refused, wrong;
} worker;

static void fill(stream_pool_buf *buf, uint64_t cookie) {
    size_t i;
    for (i = 0; i + 8 <= buf->capacity; i += 8) memcpy(buf->data + i, &cookie, 8);
}

/* Counts the words that are not the owner's: one is enough to show that two threads had the buffer. */
static uint64_t damage(const stream_pool_buf *buf, uint64_t cookie) {
    uint64_t word, wrong = 0;
    size_t i;
    for (i = 0; i + 8 <= buf->capacity; i += 8) {
        memcpy(&word, buf->data + i, 8);
        wrong += word != cookie;
    }
    return wrong;
}

/* Puts a parcel where the other threads look, and takes what lay there. */
static parcel swap(stress *s, uint64_t place, parcel mine) {
    parcel theirs;
    pthread_mutex_lock(&s->lock);
    theirs = s->places[place];
    s->places[place] = mine;
    if (theirs.buf) s->arrived[theirs.cookie >> 32][(uint32_t)theirs.cookie]++;
    pthread_mutex_unlock(&s->lock);
    return theirs;
}

static void receive(worker *w, parcel p) {
    if (!p.buf) return;
    w->wrong += damage(p.buf, p.cookie);
    w->wrong += stream_pool_release(p.buf) != STREAM_OK;
}

static void *work(void *arg) {
    static const size_t sizes[] = {64,  65,  256, 100, 256,
                                   200, 256, 300, 256, 128}; /* seldom the hot tier */
    static const parcel nothing = {NULL, 0};
    worker *w = (worker *)arg;
    stress *s = w->s;
    uint64_t seed = w->id + 77;
    uint32_t seq;
    for (seq = 0; seq < ROUNDS && !late(); seq++, w->rounds++) {
        uint64_t r = test_random(&seed) >> 16;
        parcel p;
        int i;
        p.cookie = w->id << 32 | seq;
        for (i = 0; i < 3; i++) { /* short and hot: in and out of the list as fast as it goes */
            stream_pool_buf *a, *b;
            stream_status st = stream_pool_acquire(&s->pool, 64, &a);
            if (st != STREAM_OK) {
                w->refused++;
                continue;
            }
            if (s->wiped) w->wrong += nonzero(a);
            fill(a, p.cookie);
            w->served++;
            if (stream_pool_acquire(&s->pool, 64, &b) == STREAM_OK) {
                w->served++;
                w->wrong += a == b;
                fill(b, ~p.cookie);
            } else {
                w->refused++;
                b = NULL;
            }
            /* The upper one first, the lower one still out: the order that hurts a list without
             * generations. */
            w->wrong += damage(a, p.cookie) + (stream_pool_refs(a) != 1);
            w->wrong += stream_pool_release(a) != STREAM_OK;
            if (!b) continue;
            if (r >> (20 + i) & 1) sched_yield();
            w->wrong += damage(b, ~p.cookie) + (stream_pool_refs(b) != 1);
            w->wrong += stream_pool_release(b) != STREAM_OK;
        }
        if (stream_pool_acquire(&s->pool, sizes[r % 10], &p.buf) != STREAM_OK) {
            w->refused++;
            pthread_mutex_lock(&s->lock);
            s->arrived[w->id][seq]++; /* nobody is to wait for it */
            pthread_mutex_unlock(&s->lock);
            receive(w, swap(s, r % PLACES, nothing));
            continue;
        }
        w->served++;
        if (s->wiped) w->wrong += nonzero(p.buf);
        w->wrong += p.buf->len != 0;
        p.buf->len = 1;
        fill(p.buf, p.cookie);
        if (r & 0x100) sched_yield();
        if (r & 0x200) { /* shared: whoever is last, here or there, puts it back */
            stream_pool_buf *mine = stream_pool_retain(p.buf);
            w->wrong += mine != p.buf;
            receive(w, swap(s, r % PLACES, p));
            w->wrong += damage(mine, p.cookie);
            w->wrong += stream_pool_release(mine) != STREAM_OK;
        } else {
            receive(w, swap(s, r % PLACES, p));
        }
        if (s->trim && (r & 0xfc00) == 0) {
            stream_pool_usage u;
            if (r & 0x10000)
                stream_pool_trim(&s->pool);
            else
                stream_pool_trim_idle(&s->pool);
            stream_pool_stats(&s->pool, &u);
        }
    }
    return NULL;
}

static void run_stress(const stream_pool_desc *d, bool trims) {
    static const parcel nothing = {NULL, 0};
    stress s;
    worker w[THREADS];
    pthread_t threads[THREADS];
    stream_pool_usage u;
    uint64_t served = 0, refusals = 0, wrong = 0, lost = 0, doubled = 0;
    int i, k;
    memset(&s, 0, sizeof s);
    pthread_mutex_init(&s.lock, NULL);
    s.trim = trims;
    s.wiped = d->zero_on_release;
    CHECK_EQ(stream_pool_init(&s.pool, d), STREAM_OK);
    for (i = 0; i < THREADS; i++) {
        s.arrived[i] = (unsigned char *)calloc(ROUNDS, 1);
        memset(&w[i], 0, sizeof w[i]);
        w[i].s = &s;
        w[i].id = (uint64_t)i;
    }
    stress_begin();
    for (i = 0; i < THREADS; i++) CHECK_EQ(pthread_create(&threads[i], NULL, work, &w[i]), 0);
    for (i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    stress_end();
    for (i = 0; i < PLACES; i++) receive(&w[0], swap(&s, (uint64_t)i, nothing));
    for (i = 0; i < THREADS; i++) {
        served += w[i].served;
        refusals += w[i].refused;
        wrong += w[i].wrong;
        for (k = 0; k < (int)w[i].rounds; k++) {
            lost += s.arrived[i][k] == 0;
            doubled += s.arrived[i][k] > 1;
        }
        free(s.arrived[i]);
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(lost, 0);
    CHECK_EQ(doubled, 0);
    u = usage_of(&s.pool);
    CHECK_EQ(u.total.in_use, 0);
    CHECK_EQ(u.total.allocated + u.total.reused, served);
    CHECK_EQ(u.total.refused, refusals);
    CHECK_EQ(u.total.misused, 0);
    CHECK_EQ(u.tier[0].bytes, u.tier[0].kept * 64);
    CHECK_EQ(u.tier[1].bytes, u.tier[1].kept * 256);
    CHECK(u.tier[0].kept <= 2 && u.tier[1].kept <= 2 && u.oversize.kept == 0);
    if (d->max_bytes) CHECK(u.total.high_water_bytes <= d->max_bytes);
    if (d->max_bytes || d->memory)
        CHECK(refusals > 0); /* the edges were met */
    else
        CHECK(u.total.discarded > 0 && u.total.reused > 0);
    stream_pool_free(&s.pool);
    pthread_mutex_destroy(&s.lock);
}

static void stress_heap(void) {
    heap h;
    stream_pool_desc d;
    heap_init(&h);
    d = desc_of(&h, 64, 2, 256, 2, 0);
    run_stress(&d, true);
    d.zero_on_release = true;
    run_stress(&d, false);
    check_heap_empty(&h);
}

static void stress_cap(void) {
    heap h;
    stream_pool_desc d;
    heap_init(&h);
    d = desc_of(&h, 64, 2, 256, 2, 0);
    d.max_bytes = 900;
    run_stress(&d, true);
    CHECK(h.payload_peak <= 900); /* as the allocator saw it: freed before the room is given away */
    CHECK(h.payload_peak > 600);
    check_heap_empty(&h);
}

static void stress_arena(void) {
    stream_pool_desc d = desc_of(NULL, 64, 2, 256, 2, 0);
    int asked = 0;
    d.allocator.resize = no_allocator;
    d.allocator.ctx = &asked;
    d.memory_size = stream_pool_memory(&d);
    d.memory = malloc(d.memory_size);
    run_stress(&d, false);
    CHECK_EQ(asked, 0);
    free(d.memory);
}

/* As many threads as slots, and nothing but the list: each takes two, and puts the upper one back while the
   lower one is out, the order that hurts a list without generations. */
typedef struct lister {
    stream_pool *pool;
    uint64_t id, wrong;
} lister;

static void *list_work(void *arg) {
    lister *l = (lister *)arg;
    uint64_t cookie;
    int i;
    for (i = 0; i < 5 * ROUNDS && !late(); i++) {
        stream_pool_buf *a, *b;
        cookie = l->id << 32 | (uint32_t)i;
        if (stream_pool_acquire(l->pool, 64, &a) != STREAM_OK) continue;
        fill(a, cookie);
        if (stream_pool_acquire(l->pool, 64, &b) == STREAM_OK) fill(b, ~cookie);
        l->wrong += damage(a, cookie);
        l->wrong += stream_pool_release(a) != STREAM_OK;
        if (!b) continue;
        l->wrong += damage(b, ~cookie);
        l->wrong += stream_pool_release(b) != STREAM_OK;
    }
    return NULL;
}

static void stress_list(void) {
    int n, i, asked = 0;
    for (n = 2; n <= 4; n++) {
        stream_pool_desc d = desc_of(NULL, 64, n, 0);
        pthread_t threads[4];
        lister l[4];
        stream_pool pool;
        d.allocator.resize = no_allocator;
        d.allocator.ctx = &asked;
        d.memory_size = stream_pool_memory(&d);
        d.memory = malloc(d.memory_size);
        CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
        stress_begin();
        for (i = 0; i < n; i++) {
            l[i].pool = &pool;
            l[i].id = (uint64_t)i;
            l[i].wrong = 0;
            CHECK_EQ(pthread_create(&threads[i], NULL, list_work, &l[i]), 0);
        }
        for (i = 0; i < n; i++) pthread_join(threads[i], NULL);
        stress_end();
        for (i = 0; i < n; i++) CHECK_EQ(l[i].wrong, 0);
        for (i = 0; i < n; i++) get(&pool, 64); /* all are there, each once */
        refused(&pool, 64, STREAM_FULL);
        CHECK_EQ(usage_of(&pool).total.in_use, n);
        stream_pool_free(&pool);
        free(d.memory);
    }
    CHECK_EQ(asked, 0);
}

/* A new pool, all threads at once: each slot is taken into use once. */
typedef struct taker {
    stream_pool *pool;
    pthread_barrier_t *start;
    stream_pool_buf *bufs[60];
    int n;
} taker;

static void *take_all(void *arg) {
    taker *t = (taker *)arg;
    t->n = 0;
    pthread_barrier_wait(t->start);
    while (t->n < 60 && stream_pool_acquire(t->pool, 64, &t->bufs[t->n]) == STREAM_OK) {
        fill(t->bufs[t->n], (uint64_t)(uintptr_t)&t->bufs[t->n]);
        t->n++;
    }
    return NULL;
}

static void first_use_race(void) {
    int round, i, k, asked = 0;
    stream_pool_desc d = desc_of(NULL, 64, 60, 0);
    d.allocator.resize = no_allocator;
    d.allocator.ctx = &asked;
    d.memory_size = stream_pool_memory(&d);
    d.memory = malloc(d.memory_size);
    for (round = 0; round < 40; round++) {
        pthread_barrier_t start;
        pthread_t threads[3];
        taker t[3];
        stream_pool pool;
        uint64_t wrong = 0;
        CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
        pthread_barrier_init(&start, NULL, 3);
        stress_begin();
        for (i = 0; i < 3; i++) {
            t[i].pool = &pool;
            t[i].start = &start;
            CHECK_EQ(pthread_create(&threads[i], NULL, take_all, &t[i]), 0);
        }
        for (i = 0; i < 3; i++) pthread_join(threads[i], NULL);
        stress_end();
        CHECK_EQ(t[0].n + t[1].n + t[2].n, 60);
        for (i = 0; i < 3; i++) {
            for (k = 0; k < t[i].n; k++) {
                wrong += damage(t[i].bufs[k], (uint64_t)(uintptr_t)&t[i].bufs[k]);
                wrong += stream_pool_release(t[i].bufs[k]) != STREAM_OK;
            }
        }
        CHECK_EQ(wrong, 0);
        CHECK_EQ(usage_of(&pool).total.kept, 60);
        stream_pool_free(&pool);
        pthread_barrier_destroy(&start);
    }
    free(d.memory);
    CHECK_EQ(asked, 0);
}

/* One reference, two threads that both think it is theirs: one is right, and the buffer is there once. */
typedef struct duel {
    pthread_barrier_t *start;
    stream_pool_buf **bufs;
    int rounds, wins, losses, other;
} duel;

static void *duellist(void *arg) {
    duel *d = (duel *)arg;
    int i;
    for (i = 0; i < d->rounds; i++) {
        stream_status st;
        if (i % 100 == 0) pthread_barrier_wait(d->start);
        st = stream_pool_release(d->bufs[i]);
        if (st == STREAM_OK)
            d->wins++;
        else if (st == STREAM_E_STATE)
            d->losses++;
        else
            d->other++;
    }
    return NULL;
}

static void double_release_race(void) {
    enum { BUFS = 3000 };
    static stream_pool_buf *bufs[BUFS];
    pthread_barrier_t start;
    pthread_t threads[2];
    duel d[2];
    stream_pool pool;
    stream_pool_desc desc = desc_of(NULL, 64, BUFS, 0);
    stream_pool_usage u;
    int i;
    desc.memory_size = stream_pool_memory(&desc);
    desc.memory = malloc(desc.memory_size);
    CHECK_EQ(stream_pool_init(&pool, &desc), STREAM_OK);
    for (i = 0; i < BUFS; i++) bufs[i] = get(&pool, 64);
    pthread_barrier_init(&start, NULL, 2);
    for (i = 0; i < 2; i++) {
        memset(&d[i], 0, sizeof d[i]);
        d[i].start = &start;
        d[i].bufs = bufs;
        d[i].rounds = BUFS;
        CHECK_EQ(pthread_create(&threads[i], NULL, duellist, &d[i]), 0);
    }
    for (i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    CHECK_EQ(d[0].wins + d[1].wins, BUFS);
    CHECK_EQ(d[0].losses + d[1].losses, BUFS);
    u = usage_of(&pool);
    CHECK_EQ(u.total.misused, BUFS);
    CHECK_EQ(u.total.kept, BUFS);
    for (i = 0; i < BUFS; i++) bufs[i] = get(&pool, 64);
    refused(&pool, 64, STREAM_FULL); /* each is there once */
    CHECK_EQ(usage_of(&pool).total.in_use, BUFS);
    for (i = 0; i < BUFS; i++) put(bufs[i]);
    pthread_barrier_destroy(&start);
    stream_pool_free(&pool);
    free(desc.memory);
}

/* refs says 1: then the others are through with the bytes, and they may be written. */
static void *reader(void *arg) {
    stream_pool_buf **bufs = (stream_pool_buf **)arg;
    uint64_t wrong = 0;
    int i;
    for (i = 0; bufs[i]; i++) {
        wrong += damage(bufs[i], (uint64_t)i);
        wrong += stream_pool_release(bufs[i]) != STREAM_OK;
    }
    return wrong ? arg : NULL;
}

static void alone_again(void) {
    enum { BUFS = 500 };
    stream_pool_buf *bufs[BUFS + 1], *theirs[BUFS + 1];
    pthread_t thread;
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    void *wrong = NULL;
    int i;
    heap_init(&h);
    d = desc_of(&h, 64, BUFS, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    for (i = 0; i < BUFS; i++) {
        bufs[i] = get(&pool, 64);
        fill(bufs[i], (uint64_t)i);
        theirs[i] = stream_pool_retain(bufs[i]);
    }
    theirs[BUFS] = NULL;
    CHECK_EQ(pthread_create(&thread, NULL, reader, theirs), 0);
    for (i = 0; i < BUFS; i++) {
        while (stream_pool_refs(bufs[i]) != 1) sched_yield();
        fill(bufs[i], ~(uint64_t)i);
        put(bufs[i]);
    }
    pthread_join(thread, &wrong);
    CHECK(wrong == NULL);
    CHECK_EQ(usage_of(&pool).total.kept, BUFS);
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

/* Threads that retain and release one buffer all the time: no reference is lost, none is gained. */
static void *sharer(void *arg) {
    stream_pool_buf *buf = (stream_pool_buf *)arg;
    int i;
    for (i = 0; i < 6000 && !late(); i++) {
        if (stream_pool_retain(buf) != buf || stream_pool_release(buf) != STREAM_OK) return arg;
    }
    return NULL;
}

static void retain_race(void) {
    pthread_t threads[3];
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_buf *buf;
    void *wrong;
    int i;
    heap_init(&h);
    d = desc_of(&h, 64, 1, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    buf = get(&pool, 64);
    stress_begin();
    for (i = 0; i < 3; i++) CHECK_EQ(pthread_create(&threads[i], NULL, sharer, buf), 0);
    for (i = 0; i < 3; i++) {
        pthread_join(threads[i], &wrong);
        CHECK(wrong == NULL);
    }
    stress_end();
    CHECK_EQ(stream_pool_refs(buf), 1);
    put(buf);
    CHECK_EQ(usage_of(&pool).total.kept, 1);
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

/* Releases that meet stream_pool_free: kept in time or given back, never lost, never in freed tables. */
typedef struct leaver {
    pthread_barrier_t *start;
    stream_pool_buf *bufs[4];
    int wrong;
} leaver;

static void *leave(void *arg) {
    leaver *l = (leaver *)arg;
    int i;
    pthread_barrier_wait(l->start);
    for (i = 0; i < 4; i++) l->wrong += stream_pool_release(l->bufs[i]) != STREAM_OK;
    return NULL;
}

static void free_race(void) {
    int round, i, k;
    for (round = 0; round < 300; round++) {
        pthread_barrier_t start;
        pthread_t threads[2];
        leaver l[2];
        heap h;
        stream_pool pool;
        stream_pool_desc d;
        heap_init(&h);
        d = desc_of(&h, 64, 6, 0);
        CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
        pthread_barrier_init(&start, NULL, 3);
        for (i = 0; i < 2; i++) {
            l[i].start = &start;
            l[i].wrong = 0;
            for (k = 0; k < 4; k++) l[i].bufs[k] = get(&pool, 64);
        }
        for (k = 0; k < 4; k++) stream_pool_retain(l[0].bufs[k]); /* half of them shared between the two */
        for (k = 0; k < 2; k++) {
            put(l[1].bufs[k]);
            l[1].bufs[k] = l[0].bufs[k];
        }
        put(l[0].bufs[2]);
        put(l[0].bufs[3]);
        for (i = 0; i < 2; i++) CHECK_EQ(pthread_create(&threads[i], NULL, leave, &l[i]), 0);
        pthread_barrier_wait(&start);
        stream_pool_free(&pool);
        for (i = 0; i < 2; i++) pthread_join(threads[i], NULL);
        CHECK_EQ(l[0].wrong + l[1].wrong, 0);
        check_heap_empty(&h);
        pthread_barrier_destroy(&start);
    }
}

/* ---- threads that come and go ------------------------------------------------------------------------- */

/* A thread of its own, one step at a time. */
typedef struct guest {
    pthread_t thread;
    pthread_barrier_t turn;
    stream_pool *pool;
    size_t size;
    int take;     /* this step: how many to acquire and release; -1: end */
    int wrong, served;
} guest;

static void *visit(void *arg) {
    guest *g = (guest *)arg;
    for (;;) {
        stream_pool_buf *bufs[64];
        int i;
        pthread_barrier_wait(&g->turn);
        if (g->take < 0) return NULL;
        for (g->served = 0; g->served < g->take; g->served++) {
            if (stream_pool_acquire(g->pool, g->size, &bufs[g->served]) != STREAM_OK) break;
            memset(bufs[g->served]->data, g->served, bufs[g->served]->capacity);
        }
        for (i = 0; i < g->served; i++) {
            size_t k;
            for (k = 0; k < bufs[i]->capacity; k++) g->wrong += bufs[i]->data[k] != (char)i;
            g->wrong += stream_pool_release(bufs[i]) != STREAM_OK;
        }
        pthread_barrier_wait(&g->turn);
    }
}

static void guest_begin(guest *g, stream_pool *pool, size_t size) {
    memset(g, 0, sizeof *g);
    g->pool = pool;
    g->size = size;
    pthread_barrier_init(&g->turn, NULL, 2);
    CHECK_EQ(pthread_create(&g->thread, NULL, visit, g), 0);
}

static void guest_take(guest *g, int take) {
    g->take = take;
    pthread_barrier_wait(&g->turn);
    pthread_barrier_wait(&g->turn);
    CHECK_EQ(g->wrong, 0);
}

static void guest_end(guest *g) {
    g->take = -1;
    pthread_barrier_wait(&g->turn);
    pthread_join(g->thread, NULL);
    pthread_barrier_destroy(&g->turn);
}

/* What ended threads, and one that sleeps, remembered: nothing new is allocated as long as it is there. */
static void ended_threads(void) {
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_buf *bufs[60];
    guest g, sleeper;
    int i;
    heap_init(&h);
    d = desc_of(&h, 64, 60, 0);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    guest_begin(&sleeper, &pool, 64);
    guest_take(&sleeper, 20);
    for (i = 0; i < 30; i++) {
        guest_begin(&g, &pool, 64);
        guest_take(&g, 1 + i);
        guest_end(&g);
    }
    check_counts(usage_of(&pool).tier[0], 30, 20 + 30 * 31 / 2 - 30, 0, 0, 30, 30);
    for (i = 0; i < 30; i++) bufs[i] = get(&pool, 64);
    CHECK_EQ(usage_of(&pool).total.allocated, 30);
    for (i = 0; i < 30; i++) put(bufs[i]);
    guest_take(&sleeper, 60); /* wakes to find some of its own gone */
    CHECK_EQ(sleeper.served, 60);
    CHECK_EQ(usage_of(&pool).total.allocated, 60);
    CHECK_EQ(stream_pool_trim(&pool), 60 * 64);
    CHECK_EQ(h.blocks, 1);
    guest_take(&sleeper, 5); /* and all of them */
    CHECK_EQ(usage_of(&pool).total.kept, 5);
    stream_pool_free(&pool); /* it still sleeps */
    check_heap_empty(&h);
    guest_end(&sleeper);
    check_heap_empty(&h);
}

/* Pools freed and made again at the same address, in other shapes, under a thread that remembers them all. */
static void pools_come_and_go(void) {
    stream_pool_desc shapes[3];
    char *memory;
    size_t most = 0;
    guest g;
    stream_pool pool;
    int round;
    shapes[0] = desc_of(NULL, 64, 100, 128, 60, 0);
    shapes[1] = desc_of(NULL, 96, 2, 0);
    shapes[2] = desc_of(NULL, 32, 40, 64, 1, 128, 7, 0);
    for (round = 0; round < 3; round++)
        if (stream_pool_memory(&shapes[round]) > most) most = stream_pool_memory(&shapes[round]);
    memory = (char *)malloc(most);
    guest_begin(&g, &pool, 64);
    for (round = 0; round < 30; round++) {
        static const int places[] = {160, 2, 8};
        stream_pool_desc *d = &shapes[round * 7 % 5 % 3];
        int there = places[d - shapes];
        d->memory = memory;
        d->memory_size = most;
        CHECK_EQ(stream_pool_init(&pool, d), STREAM_OK);
        guest_take(&g, 64);
        CHECK_EQ(g.served, there < 64 ? there : 64);
        guest_take(&g, 1);
        CHECK_EQ(g.served, 1);
        CHECK_EQ(usage_of(&pool).total.kept, there < 64 ? there : 64);
        stream_pool_free(&pool);
        memset(memory, 0x5a, most); /* ours again, whatever the thread remembers */
    }
    guest_end(&g);
    free(memory);
}

/* The child goes on with the pool: with what lay in the caches of threads that it does not have, too. */
static void after_fork(void) {
#if defined(_WIN32)
    test_skip("no fork here");
#else
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_buf *bufs[40], *held;
    stream_pool_usage u;
    guest g;
    pid_t child;
    int i, status = -1;
    heap_init(&h);
    d = desc_of(&h, 64, 40, 0);
    d.max_bytes = 40 * 64;
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    guest_begin(&g, &pool, 64);
    guest_take(&g, 40);
    held = get(&pool, 64);
    child = fork();
    if (child == 0) {
        int wrong = 0;
        for (i = 0; i < 39; i++) {
            wrong += stream_pool_acquire(&pool, 64, &bufs[i]) != STREAM_OK || bufs[i] == held;
            if (bufs[i]) memset(bufs[i]->data, 7, 64);
        }
        stream_pool_stats(&pool, &u);
        wrong += u.total.in_use != 40 || u.total.allocated != 40;
        for (i = 0; i < 39; i++) wrong += stream_pool_release(bufs[i]) != STREAM_OK;
        wrong += stream_pool_release(held) != STREAM_OK || stream_pool_release(held) != STREAM_E_STATE;
        wrong += stream_pool_trim(&pool) != 40 * 64;
        stream_pool_free(&pool);
        wrong += h.blocks != 0 || h.wrong;
        _exit(wrong ? 1 : 0);
    }
    CHECK(child > 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    put(held); /* here nothing has changed */
    guest_take(&g, 40);
    CHECK_EQ(g.served, 40);
    CHECK_EQ(usage_of(&pool).total.allocated, 40);
    guest_end(&g);
    stream_pool_free(&pool);
    check_heap_empty(&h);
#endif
}

/* Forked in the midst of things: whatever the other threads were doing, the child finds no buffer twice,
   refuses nothing that is there, and loses at most what each of them had in its hands or was moving. */
typedef struct busy {
    stream_pool *pool;
    stream__a64 *stop;
} busy;

static void *keep_busy(void *arg) {
    busy *b = (busy *)arg;
    while (!stream__a64_load_acquire(b->stop)) {
        stream_pool_buf *a, *c;
        if (stream_pool_acquire(b->pool, 64, &a) != STREAM_OK) continue;
        if (stream_pool_acquire(b->pool, 64, &c) == STREAM_OK) stream_pool_release(c);
        stream_pool_release(a);
    }
    return NULL;
}

static void fork_amid(void) {
#if defined(_WIN32)
    test_skip("no fork here");
#else
    enum { PLACES_THERE = 40, BUSY = 2 };
    stream_pool_desc d = desc_of(NULL, 64, PLACES_THERE, 0);
    stream_pool pool;
    stream__a64 stop;
    pthread_t threads[BUSY];
    busy b;
    int i, round, asked = 0;
    d.allocator.resize = no_allocator;
    d.allocator.ctx = &asked;
    d.memory_size = stream_pool_memory(&d);
    d.memory = malloc(d.memory_size);
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    stream__a64_store_relaxed(&stop, 0);
    b.pool = &pool;
    b.stop = &stop;
    stress_begin();
    for (i = 0; i < BUSY; i++) CHECK_EQ(pthread_create(&threads[i], NULL, keep_busy, &b), 0);
    for (round = 0; round < 40; round++) {
        int status = -1;
        pid_t child = fork();
        if (child == 0) {
            stream_pool_buf *bufs[PLACES_THERE + 1];
            int n = 0, k, wrong = 0;
            pause_on = false;
            while (n <= PLACES_THERE && stream_pool_acquire(&pool, 64, &bufs[n]) == STREAM_OK) n++;
            wrong += n > PLACES_THERE;
            /* two out, and half a cache on the way */
            wrong += n < PLACES_THERE - BUSY * (2 + PLACES_THERE / 4 + 1);
            for (i = 0; i < n; i++)
                for (k = 0; k < i; k++) wrong += bufs[i] == bufs[k];
            for (i = 0; i < n; i++) wrong += stream_pool_release(bufs[i]) != STREAM_OK;
            stream_pool_free(&pool);
            _exit(wrong ? 1 : 0);
        }
        CHECK(child > 0);
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
    }
    stream__a64_store_release(&stop, 1);
    for (i = 0; i < BUSY; i++) pthread_join(threads[i], NULL);
    stress_end();
    CHECK_EQ(usage_of(&pool).total.in_use, 0);
    stream_pool_free(&pool);
    CHECK_EQ(asked, 0);
    free(d.memory);
#endif
}

/* Threads that end all the time, and hand what they hold to the next: nothing is lost in their caches. */
typedef struct relay_race {
    stream_pool *pool;
    stream_pool_buf *baton;
    uint64_t cookie, wrong;
} relay_race;

static void *run_leg(void *arg) {
    relay_race *r = (relay_race *)arg;
    stream_pool_buf *bufs[12];
    int i, n;
    if (r->baton) {
        r->wrong += damage(r->baton, r->cookie);
        r->wrong += stream_pool_release(r->baton) != STREAM_OK;
    }
    for (n = 0; n < 12 && stream_pool_acquire(r->pool, 64, &bufs[n]) == STREAM_OK; n++)
        fill(bufs[n], r->cookie + 1 + (uint64_t)n);
    for (i = 1; i < n; i++) {
        r->wrong += damage(bufs[i], r->cookie + 1 + (uint64_t)i);
        r->wrong += stream_pool_release(bufs[i]) != STREAM_OK;
    }
    r->baton = n ? bufs[0] : NULL;
    r->cookie++;
    return NULL;
}

static void short_lives(void) {
    enum { RUNNERS = 3 };
    heap h;
    stream_pool pool;
    stream_pool_desc d;
    stream_pool_usage u;
    relay_race r[RUNNERS];
    pthread_t threads[RUNNERS];
    int leg, i;
    heap_init(&h);
    d = desc_of(&h, 64, 40, 0);
    d.max_bytes = 40 * 64;
    CHECK_EQ(stream_pool_init(&pool, &d), STREAM_OK);
    memset(r, 0, sizeof r);
    stress_begin();
    for (leg = 0; leg < 60; leg++) {
        for (i = 0; i < RUNNERS; i++) {
            r[i].pool = &pool;
            if (leg == 0) r[i].cookie = (uint64_t)i << 32;
            CHECK_EQ(pthread_create(&threads[i], NULL, run_leg, &r[i]), 0);
        }
        for (i = 0; i < RUNNERS; i++) pthread_join(threads[i], NULL);
        CHECK_EQ(usage_of(&pool).total.in_use, RUNNERS);
    }
    stress_end();
    for (i = 0; i < RUNNERS; i++) {
        CHECK_EQ(r[i].wrong, 0);
        put(r[i].baton);
    }
    u = usage_of(&pool);
    CHECK(u.total.allocated <= 40 && u.total.misused == 0 && u.total.refused == 0);
    stream_pool_free(&pool);
    check_heap_empty(&h);
}

#endif /* STREAM_NO_THREADS */

int main(void) {
    TEST_PROGRAM("pool");
    RUN(tier_boundaries);
    RUN(defaults);
    RUN(init_refuses);
    RUN(the_version_is_the_headers);
    RUN(eight_tiers);
#ifndef STREAM_NO_MALLOC
    RUN(trim_much);
#endif
    RUN(reuse);
    RUN(beyond_count);
    RUN(oversize);
    RUN(permille);
    RUN(cap);
    RUN(slots_come_back);
    RUN(nomem);
    RUN(torture);
    RUN(arena);
    RUN(arena_empty_tiers);
    RUN(arena_full_size);
    RUN(references);
    RUN(misuse);
    RUN(not_a_pool);
    RUN(free_with_buffers_out);
    RUN(zero_on_release);
    RUN(pass_through);
    RUN(trim);
    RUN(trim_idle);
    RUN(buffers_interface);
    RUN(caches);
    RUN(cache_overflows);
    RUN(cap_with_caches);
    RUN(misuse_with_caches);
    RUN(zero_with_caches);
    RUN(trim_with_caches);
    RUN(address_reused);
    RUN(many_pools);
    RUN(relay);
    RUN(burst);
#if defined(TEST_ASAN) || defined(TEST_SHADOW)
    RUN(poisoned);
#endif
    RUN(generation);
    RUN(model);
#ifndef STREAM_NO_THREADS
    RUN(stress_heap);
    RUN(stress_cap);
    RUN(stress_arena);
    RUN(stress_list);
    RUN(first_use_race);
    RUN(double_release_race);
    RUN(alone_again);
    RUN(retain_race);
    RUN(free_race);
    RUN(ended_threads);
    RUN(pools_come_and_go);
    RUN(short_lives);
    RUN(after_fork);
    RUN(fork_amid);
#endif
    return test_end();
}
