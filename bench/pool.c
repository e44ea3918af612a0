/* SPDX-License-Identifier: MIT-0
   stream_pool.h beside malloc (the C library's), mimalloc and jemalloc, in one process and one run.

   What is compared: who hands out and takes back, nothing else. No byte of a buffer is read or written unless
   the row says so: a pool is for buffers that are filled anyway, and filling costs the same wherever they
   come from. The rivals are called through pointers, the pool across a file boundary unless the row says
   that it is in the caller's file. Ours gives more for it: a reference count, alignment to a cache line,
   counters, a second release refused, and buffers that lie in one thread's cache found by any other.

   Figures are nanoseconds of CPU time of the whole process per buffer, the best of many short rounds; all
   take turns within each round, so that a change of the machine's speed hits all alike. `make bench-pool`
   runs it; bench/pool.sh builds it and lets the C library reserve the room for thread-local data that
   jemalloc needs. */
#define _GNU_SOURCE
#include "stream_pool.h"
#include "samples.h"

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

static double ns_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}
static double cpu_ns(void) { return ns_of(CLOCK_PROCESS_CPUTIME_ID); }
static double thread_ns(void) { return ns_of(CLOCK_THREAD_CPUTIME_ID); }

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

typedef enum row { PAIR, PAIR_TOUCH, PAIR_CACHE, PAIR_HERE, HOLD, HOLD_TOUCH, HOLD_HERE, PASS } row;

/* bench/pool_here.c, once as it is and once without threads. */
int here_open(const stream_pool_desc *desc);
void here_pairs(size_t size, int n);
void here_held(size_t size, int n);
int plain_open(const stream_pool_desc *desc);
int plain_acquire(size_t size, stream_pool_buf **buf);
int plain_release(stream_pool_buf *buf);

static double theirs(row what, int who, size_t size, int n) {
    void *(*get)(size_t) = allocate[who];
    void (*put)(void *) = give_back[who];
    void *one, *many[OUTSTANDING];
    double start = cpu_ns();
    int k, j;
    switch (what) {
    case PAIR_CACHE:
    case PAIR_HERE:
    case PAIR: PAIRS(n, THEIRS_GET, THEIRS_PUT) break;
    case PAIR_TOUCH: PAIRS(n, THEIRS_TOUCH, THEIRS_PUT) break;
    case HOLD_HERE:
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
    case PAIR_HERE: here_pairs(size, n); break;
    case HOLD_HERE: here_held(size, n); break;
    case HOLD: HELD(n, OURS_GET, OURS_PUT) break;
    default: HELD(n, OURS_TOUCH, OURS_PUT) break;
    }
    start = cpu_ns() - start;
    stream_pool_cache_free(&cache);
    return start;
}

/* ---- here and there: one thread acquires, another releases --------------------------------------------- */

/* What passes the pointers on is the same for all: a ring of batches, each handed over with one store. */
enum { BATCH = 32, BATCHES = 16 };
static struct pass_batch {
    void *item[BATCH];
    uint64_t full; /* written by one side, then by the other */
    char apart[56];
} ring[BATCHES] __attribute__((aligned(64)));
static struct {
    int who, n;
    size_t size;
    double waited; /* there */
} pass;

/* The time a side spends waiting is told, to be taken off: it depends on who else is using the machine. */
static double wait_for(uint64_t *word, uint64_t value) {
    double start;
    if (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value) return 0;
    start = thread_ns();
    while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != value) sched_yield();
    return thread_ns() - start;
}

static void *pass_there(void *arg) {
    int i, j;
    (void)arg;
    for (i = 0; i < pass.n; i++) {
        struct pass_batch *l = &ring[i % BATCHES];
        pass.waited += wait_for(&l->full, 1);
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
    double start, waited = 0;
    int i, j;
    memset(ring, 0, sizeof ring);
    pass.who = who;
    pass.n = n;
    pass.size = size;
    pass.waited = 0;
    start = cpu_ns();
    if (pthread_create(&there, NULL, pass_there, NULL) != 0) abort();
    for (i = 0; i < n; i++) {
        struct pass_batch *l = &ring[i % BATCHES];
        waited += wait_for(&l->full, 0);
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
    return cpu_ns() - start - waited - pass.waited;
}

/* ---- rows --------------------------------------------------------------------------------------------- */

static int rounds = 40;
static int failures;

static void measure(const char *title, row what, int n, int per, double malloc_goal, double best_goal) {
    static const size_t sizes[] = {4, 8, 16, 32, 64, 256};
    size_t s;
    printf("\n%s\n  %7s", title, "KiB");
    for (s = 0; s < ALL; s++) printf(" %10s", names[s]);
    printf("   malloc/pool  best rival/pool\n");
    for (s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        double best[ALL], rival = 1e30, by_malloc, by_best;
        char what_size[80], asked[16];
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
                snprintf(what_size, sizeof what_size, "%s, %zu KiB", title, sizes[s]);
                snprintf(asked, sizeof asked, ">= %g x", who == 0 ? malloc_goal : best_goal);
                bench_sample("pool", what_size, names[who], who == OURS ? "ours" : "rival", "ns",
                             who == OURS ? "" : asked, t / n / per);
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

/* ---- what bounds a pair -------------------------------------------------------------------------------- */

static __attribute__((noinline)) int idle_acquire(stream_pool *p, size_t size, stream_pool_buf **buf) {
    __asm__ volatile("" : : "r"(p), "r"(size) : "memory");
    *buf = NULL;
    return 0;
}
static __attribute__((noinline)) int idle_release(stream_pool_buf *buf) {
    __asm__ volatile("" : : "r"(buf) : "memory");
    return 0;
}
#define IDLE_GET(v)  if (idle_acquire(&pool, size, &(v)) != 0) abort()
#define IDLE_PUT(v)  idle_release(v)
#define PLAIN_GET(v) if (plain_acquire(size, &(v)) != 0) abort()
#define PLAIN_PUT(v) plain_release(v)

static void bounds(void) {
    static const char *const what[] = {
        "two calls that do nothing",            "two exchanges of a word nobody else uses",
        "the pool with plain loads and stores", "the pool, cache held in hands",
        "the pool, in the caller's file",       "malloc"};
    enum { WHAT = sizeof what / sizeof what[0] };
    static uint64_t word;
    double best[WHAT];
    size_t size = 4096;
    int n = 20000, i, k, round;
    for (i = 0; i < WHAT; i++) best[i] = 1e30;
    for (round = 0; round < rounds; round++) {
        for (i = 0; i < WHAT; i++) {
            stream_pool_buf *one;
            double start = cpu_ns(), t = 0;
            switch (i) {
            case 0: PAIRS(n, IDLE_GET, IDLE_PUT) break;
            case 1:
                for (k = 0; k < 2 * n; k++) {
                    uint64_t seen = (uint64_t)k & 1;
                    if (!__atomic_compare_exchange_n(&word, &seen, seen ^ 1, false, __ATOMIC_ACQ_REL,
                                                     __ATOMIC_ACQUIRE))
                        abort();
                }
                break;
            case 2: PAIRS(n, PLAIN_GET, PLAIN_PUT) break;
            case 3: t = ours(PAIR_CACHE, size, n); break;
            case 4: here_pairs(size, n); break;
            default: t = theirs(PAIR, 0, size, n); break;
            }
            if (t == 0) t = cpu_ns() - start;
            if (t / n < best[i]) best[i] = t / n;
        }
    }
    printf("\nwhat bounds a pair, 4 KiB\n");
    for (i = 0; i < WHAT; i++) printf("  %10.2f  %s\n", best[i], what[i]);
}

/* ---- memory ------------------------------------------------------------------------------------------- */

static double rss_mib(void) {
    long pages = 0, total = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &total, &pages) != 2) abort();
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1048576.0;
}

/* As a relay goes about it: what is read into 16 KiB becomes events of up to 4 KiB, which twenty subscribers
   hold until they have caught up; one event in a thousand is larger than all tiers. Default tiers, from an
   empty pool on. */
static void relay(void) {
    enum { SUBSCRIBERS = 20, LAG = 16, EVENTS = 200000 };
    static stream_pool_buf *queue[SUBSCRIBERS][LAG];
    stream_pool p;
    stream_pool_usage usage;
    uint64_t seed = 1;
    double start;
    int i, k;
    memset(queue, 0, sizeof queue);
    if (stream_pool_init(&p, NULL) != STREAM_OK) abort();
    start = cpu_ns();
    for (i = 0; i < EVENTS; i++) {
        stream_pool_buf *in, *event;
        size_t size;
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        size = seed >> 54 == 0 ? 100000 : 1 + (size_t)(seed >> 32) % 4096;
        if (stream_pool_acquire(&p, 16384, &in) != STREAM_OK) abort();
        if (stream_pool_acquire(&p, size, &event) != STREAM_OK) abort();
        for (k = 0; k < SUBSCRIBERS; k++) {
            stream_pool_buf **slot = &queue[k][(i / (1 + k)) % LAG];
            if (i % (1 + k) != 0) continue; /* the slower ones take not all */
            stream_pool_release(*slot);
            *slot = stream_pool_retain(event);
        }
        stream_pool_release(event);
        stream_pool_release(in);
    }
    start = cpu_ns() - start;
    stream_pool_stats(&p, &usage);
    printf("\nrelay: %d events, %llu buffers allocated, %u.%u %% reused, %.0f ns an event%s\n", EVENTS,
           (unsigned long long)usage.total.allocated, (unsigned)usage.total.reuse_permille / 10,
           (unsigned)usage.total.reuse_permille % 10, start / EVENTS,
           usage.total.reuse_permille < 990 ? "   below the goal" : "");
    failures += usage.total.reuse_permille < 990;
    for (i = 0; i < SUBSCRIBERS; i++)
        for (k = 0; k < LAG; k++) stream_pool_release(queue[i][k]);
    stream_pool_free(&p);
}

static void burst(size_t size, size_t total) {
    size_t n = total / size, i;
    stream_pool_buf **bufs = (stream_pool_buf **)malloc(n * sizeof *bufs);
    stream_pool_desc desc;
    stream_pool p;
    double base, top, kept, trimmed = 0;
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
    for (call = 0; call < 3; call++) { /* a little work lies between two calls; how long, they do not know */
        for (i = 0; i < 1000; i++) {
            if (stream_pool_acquire(&p, size, &bufs[0]) != STREAM_OK) abort();
            stream_pool_release(bufs[0]);
        }
        stream_pool_trim_idle(&p);
        trimmed = rss_mib();
        printf(" %10.1f", trimmed);
    }
    printf("%s\n", trimmed > base + 8 ? "   above the goal" : "");
    failures += trimmed > base + 8;
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
    if (stream_pool_init(&pool, &desc) != STREAM_OK || !here_open(&desc) || !plain_open(&desc)) return 1;
    printf("ns of CPU time per buffer, best of %d rounds; stream_pool.h %s\n", rounds, STREAM_VERSION);
    measure("acquire, release: one after the other, untouched", PAIR, 20000, 1, 5, 3);
    measure("the same, the pool in the caller's file", PAIR_HERE, 20000, 1, 5, 3);
    measure("the same, through a cache held in hands", PAIR_CACHE, 20000, 1, 0, 0);
    measure("the same, first byte written", PAIR_TOUCH, 20000, 1, 0, 0);
    bounds();
    measure("64 acquired, then 64 released, untouched", HOLD, 200, OUTSTANDING, 0, 5);
    measure("the same, the pool in the caller's file", HOLD_HERE, 200, OUTSTANDING, 0, 5);
    measure("the same, first bytes written", HOLD_TOUCH, 200, OUTSTANDING, 0, 0);
    measure("acquired here, released there", PASS, 4000, BATCH, 0, 2);
    stream_pool_free(&pool);
    relay();
    printf("\nresident MiB around a burst of 1 GiB, one trim_idle every ten seconds after it\n"
           "  %7s %10s %10s %10s %10s %10s %10s\n",
           "KiB", "before", "burst", "released", "10 s", "20 s", "30 s");
    burst((size_t)4 << 10, (size_t)1 << 30);
    burst((size_t)256 << 10, (size_t)1 << 30);
    printf("\n%d figures short of the goal\n", failures);
    return 0;
}
