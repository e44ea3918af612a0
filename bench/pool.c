/* SPDX-License-Identifier: MIT-0
   stream_pool.h beside malloc (the C library's), mimalloc and jemalloc, in one process and one run.

   What is compared: who hands out and takes back, nothing else. No byte of a buffer is read or written unless
   the row says so: a pool is for buffers that are filled anyway, and filling costs the same wherever they come
   from. The rivals are called through pointers, the pool across a file boundary, as a program would call them.
   Ours gives more for it (a reference count, alignment to a cache line, counters, a second release refused).

   Figures are nanoseconds of CPU time of the whole process per buffer, the best of many short rounds; rivals take
   turns within each round, so that a change of the machine's speed hits all alike. `make bench` runs it; bench/pool.sh
   builds it and lets the C library reserve the room for thread-local data that jemalloc needs. */
#define _GNU_SOURCE
#include "stream_pool.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { RIVALS = 3, OURS = 3, ALL = 4, OUTSTANDING = 64 };
static const char *const names[ALL] = {"malloc", "mimalloc", "jemalloc", "pool"};
static void *(*allocate[RIVALS])(size_t);
static void (*give_back[RIVALS])(void *);
static stream_pool pool;

static double cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* What a row does, once for the rivals and once for us. GET(v) and PUT(v) are the two calls. */
#define PAIRS(n, GET, PUT)                                                                                  \
    for (k = 0; k < (n); k++) {                                                                             \
        GET(one);                                                                                           \
        PUT(one);                                                                                           \
    }
#define HELD(n, GET, PUT)                                                                                   \
    for (k = 0; k < (n); k++) {                                                                             \
        for (j = 0; j < OUTSTANDING; j++) {                                                                 \
            GET(many[j]);                                                                                   \
        }                                                                                                   \
        for (j = 0; j < OUTSTANDING; j++) PUT(many[j]);                                                     \
    }
#define THEIRS_GET(v)   ((v) = get(size))
#define THEIRS_TOUCH(v) (*(volatile char *)((v) = get(size)) = 1)
#define THEIRS_PUT(v)   put(v)
#define OURS_GET(v)     if (stream_pool_acquire(&pool, size, &(v)) != STREAM_OK) abort()
#define OURS_TOUCH(v)   OURS_GET(v); *(volatile char *)(v)->data = 1
#define OURS_PUT(v)     stream_pool_release(v)
#define CACHE_GET(v)    if (stream_pool_cache_acquire(&cache, size, &(v)) != STREAM_OK) abort()
#define CACHE_PUT(v)    stream_pool_cache_release(&cache, v)

typedef enum row { PAIR, PAIR_TOUCH, PAIR_CACHE, HOLD, HOLD_TOUCH, PASS } row;

static double theirs(row what, int who, size_t size, int n) {
    void *(*get)(size_t) = allocate[who];
    void (*put)(void *) = give_back[who];
    void *one, *many[OUTSTANDING];
    double start = cpu_ns();
    int k, j;
    switch (what) {
    case PAIR_CACHE:
    case PAIR: PAIRS(n, THEIRS_GET, THEIRS_PUT) break;
    case PAIR_TOUCH: PAIRS(n, THEIRS_TOUCH, THEIRS_PUT) break;
    case HOLD: HELD(n, THEIRS_GET, THEIRS_PUT) break;
    default: HELD(n, THEIRS_TOUCH, THEIRS_PUT) break;
    }
    return cpu_ns() - start;
}

static double ours(row what, size_t size, int n) {
    stream_pool_buf *one, *many[OUTSTANDING];
    stream_pool_cache cache;
    double start;
    int k, j;
    stream_pool_cache_init(&cache, &pool);
    start = cpu_ns();
    switch (what) {
    case PAIR: PAIRS(n, OURS_GET, OURS_PUT) break;
    case PAIR_TOUCH: PAIRS(n, OURS_TOUCH, OURS_PUT) break;
    case PAIR_CACHE: PAIRS(n, CACHE_GET, CACHE_PUT) break;
    case HOLD: HELD(n, OURS_GET, OURS_PUT) break;
    default: HELD(n, OURS_TOUCH, OURS_PUT) break;
    }
    start = cpu_ns() - start;
    stream_pool_cache_free(&cache);
    return start;
}

/* ---- here and there: one thread acquires, another releases ------------------------------------------- */

/* What passes the pointers on is the same for all: a ring of batches, each handed over with one store. What it
   costs by itself is measured as well, by one who hands out always the same. */
enum { BATCH = 32, BATCHES = 16 };
static struct pass_batch {
    void *item[BATCH];
    uint64_t full; /* written by one side, then by the other */
    char apart[56];
} ring[BATCHES] __attribute__((aligned(64)));
static struct {
    int who, n;
    size_t size;
} pass;

static void wait_for(uint64_t *word, uint64_t value) {
    int spins = 0;
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value) {
        if (++spins % 1000 == 0) sched_yield();
    }
}

static void *pass_there(void *arg) {
    int i, j;
    (void)arg;
    for (i = 0; i < pass.n; i++) {
        struct pass_batch *l = &ring[i % BATCHES];
        wait_for(&l->full, 1);
        if (pass.who == OURS) {
            for (j = 0; j < BATCH; j++) stream_pool_release((stream_pool_buf *)l->item[j]);
        } else {
            for (j = 0; j < BATCH; j++) give_back[pass.who](l->item[j]);
        }
        __atomic_store_n(&l->full, 0, __ATOMIC_RELEASE);
    }
    return NULL;
}

static double pass_here(int who, size_t size, int n) {
    pthread_t there;
    double start;
    int i, j;
    memset(ring, 0, sizeof ring);
    pass.who = who;
    pass.n = n;
    pass.size = size;
    start = cpu_ns();
    if (pthread_create(&there, NULL, pass_there, NULL) != 0) abort();
    for (i = 0; i < n; i++) {
        struct pass_batch *l = &ring[i % BATCHES];
        wait_for(&l->full, 0);
        if (who == OURS) {
            for (j = 0; j < BATCH; j++) {
                stream_pool_buf *buf;
                if (stream_pool_acquire(&pool, size, &buf) != STREAM_OK) abort();
                l->item[j] = buf;
            }
        } else {
            for (j = 0; j < BATCH; j++) l->item[j] = allocate[who](size);
        }
        __atomic_store_n(&l->full, 1, __ATOMIC_RELEASE);
    }
    pthread_join(there, NULL);
    return cpu_ns() - start;
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

static int rounds = 40;
static int failures;

static void measure(const char *title, row what, int n, int per, double malloc_goal, double best_goal) {
    static const size_t sizes[] = {4, 8, 16, 32, 64, 256};
    size_t s;
    printf("\n%s\n  %7s %10s %10s %10s %10s   malloc/pool  best rival/pool\n", title, "KiB", names[0], names[1],
           names[2], names[3]);
    for (s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        double best[ALL], rival = 1e30, by_malloc, by_best;
        int round, who;
        for (who = 0; who < ALL; who++) best[who] = 1e30;
        for (round = 0; round < rounds; round++) {
            for (who = 0; who < ALL; who++) {
                double t;
                if (who != OURS && !allocate[who]) continue;
                if (what == PASS)
                    t = pass_here(who, sizes[s] << 10, n);
                else
                    t = who == OURS ? ours(what, sizes[s] << 10, n) : theirs(what, who, sizes[s] << 10, n);
                if (t / n / per < best[who]) best[who] = t / n / per;
            }
        }
        for (who = 0; who < RIVALS; who++)
            if (best[who] < rival) rival = best[who];
        by_malloc = best[0] / best[OURS];
        by_best = rival / best[OURS];
        printf("  %7zu", sizes[s]);
        for (who = 0; who < ALL; who++)
            if (best[who] < 1e30)
                printf(" %10.2f", best[who]);
            else
                printf(" %10s", "-");
        printf("   %8.1f x   %8.1f x%s\n", by_malloc, by_best,
               by_malloc < malloc_goal || by_best < best_goal ? "   below the goal" : "");
        failures += by_malloc < malloc_goal || by_best < best_goal;
        fflush(stdout);
    }
}

/* ---- memory ---------------------------------------------------------------------------------------------- */

static double rss_mib(void) {
    long pages = 0, total = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &total, &pages) != 2) abort();
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1048576.0;
}

static void burst(size_t size, size_t total) {
    size_t n = total / size, i;
    stream_pool_buf **bufs = (stream_pool_buf **)malloc(n * sizeof *bufs);
    stream_pool_desc desc;
    stream_pool p;
    double base, top, kept, trimmed;
    int call;
    memset(&desc, 0, sizeof desc);
    desc.tiers[0].size = size;
    desc.tiers[0].count = n;
    if (!bufs || stream_pool_init(&p, &desc) != STREAM_OK) abort();
    memset(bufs, 0, n * sizeof *bufs);
    base = rss_mib();
    for (i = 0; i < n; i++) {
        if (stream_pool_acquire(&p, size, &bufs[i]) != STREAM_OK) abort();
        memset(bufs[i]->data, 1, size);
    }
    top = rss_mib();
    for (i = 0; i < n; i++) stream_pool_release(bufs[i]);
    kept = rss_mib();
    printf("  %7zu %10.1f %10.1f %10.1f", size >> 10, base, top, kept);
    for (call = 0; call < 3; call++) { /* one every ten seconds, with a little work between */
        for (i = 0; i < 1000; i++) {
            if (stream_pool_acquire(&p, size, &bufs[0]) != STREAM_OK) abort();
            stream_pool_release(bufs[0]);
        }
        stream_pool_trim_idle(&p);
        trimmed = rss_mib();
        printf(" %10.1f", trimmed);
    }
    printf("\n");
    stream_pool_free(&p);
    free(bufs);
}

static void load(int who, const char *library, const char *get, const char *put) {
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    if (!handle) {
        printf("not measured: %s (%s)\n", names[who], dlerror());
        return;
    }
    *(void **)&allocate[who] = dlsym(handle, get);
    *(void **)&give_back[who] = dlsym(handle, put);
}

int main(int argc, char **argv) {
    stream_pool_desc desc;
    size_t i;
    memset(&desc, 0, sizeof desc);
    if (argc > 1) rounds = atoi(argv[1]);
    allocate[0] = malloc;
    give_back[0] = free;
    load(1, "libmimalloc.so.2", "mi_malloc", "mi_free");
    load(2, "libjemalloc.so.2", "malloc", "free");
    for (i = 0; i < 7; i++) {
        desc.tiers[i].size = (size_t)4096 << i;
        desc.tiers[i].count = 1000;
    }
    if (stream_pool_init(&pool, &desc) != STREAM_OK) return 1;
    printf("ns of CPU time per buffer, best of %d rounds; %s\n", rounds, STREAM_VERSION);
    measure("acquire, release: one after the other, untouched", PAIR, 20000, 1, 5, 3);
    measure("the same through a cache held in hands", PAIR_CACHE, 20000, 1, 5, 3);
    measure("the same, first byte written", PAIR_TOUCH, 20000, 1, 0, 0);
    measure("64 acquired, then 64 released, untouched", HOLD, 200, OUTSTANDING, 0, 5);
    measure("the same, first bytes written", HOLD_TOUCH, 200, OUTSTANDING, 0, 0);
    measure("acquired here, released there", PASS, 4000, BATCH, 0, 2);
    stream_pool_free(&pool);
    printf("\nresident MiB around a burst of 1 GiB\n  %7s %10s %10s %10s %10s %10s %10s\n", "KiB", "before", "burst",
           "released", "10 s", "20 s", "30 s");
    burst((size_t)4 << 10, (size_t)1 << 30);
    burst((size_t)256 << 10, (size_t)1 << 30);
    if (failures) printf("\n%d rows below the goal\n", failures);
    return 0;
}
