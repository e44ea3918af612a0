/* SPDX-License-Identifier: MIT-0
   The long proofs of stream.h's rings and channels: what only shows after very many operations, or very long
   waiting. `make soak-rings` runs all of it, `make test` a small part.

     - 1,000,000,000 operations on each of ring, spsc, queue and broadcast, between two threads: everything
       arrives in order, memory does not grow, and afterwards an operation costs what it did before.
     - 100,000,000 hand-offs through channels of several shapes, with random waits on both sides and random
       time limits: each arrives exactly once, each sender's in order, nobody is left asleep.
     - A side that waits costs no processor time, by the clock of its own thread, whichever side it is.

   SOAK=percent (100) scales the numbers. What was measured is printed beside the verdicts.

   Build: cc -std=c11 -pthread -I. tests/soak_rings.c */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static uint64_t soaked(uint64_t full) {
    const char *text = getenv("SOAK");
    double percent = text ? strtod(text, NULL) : 100;
    uint64_t n = (uint64_t)((double)full * percent / 100);
    return n > 1000 ? n : 1000;
}

static uint64_t thread_cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *item_of(uint64_t n) { return (void *)(uintptr_t)n; }
static uint64_t number_of(const void *item) { return (uint64_t)(uintptr_t)item; }

/* Resident memory in KiB; 0 where nobody tells. */
static long resident_kib(void) {
    long pages = 0, all;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f) return 0;
    if (fscanf(f, "%ld %ld", &all, &pages) != 2) pages = 0;
    fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* ---- a thousand million operations ------------------------------------------------------------------ */

typedef struct flood {
    const char *name;
    bool (*put)(uint64_t n); /* false: full */
    bool (*get)(uint64_t *n);
    uint64_t operations, wrong;
    long resident[2]; /* KiB when a tenth was through, and at the end */
} flood;

static stream_ring ring;
static stream_spsc spsc;
static stream_queue queue;
static stream_broadcast cast;
static stream_broadcast_reader reader;

static bool ring_put(uint64_t n) {
    size_t put;
    if (stream_ring_writable(&ring) < sizeof n) return false;
    return stream_ring_write(&ring, &n, sizeof n, &put) == STREAM_OK;
}
static bool ring_get(uint64_t *n) {
    size_t got;
    return stream_ring_read(&ring, n, sizeof *n, &got) == STREAM_OK && got == sizeof *n;
}
static bool spsc_put(uint64_t n) { return stream_spsc_push(&spsc, item_of(n)) == STREAM_OK; }
static bool spsc_get(uint64_t *n) {
    void *item;
    if (stream_spsc_pop(&spsc, &item) != STREAM_OK) return false;
    *n = number_of(item);
    return true;
}
static bool queue_put(uint64_t n) { return stream_queue_push(&queue, item_of(n), NULL) == STREAM_OK; }
static bool queue_get(uint64_t *n) {
    void *item;
    if (stream_queue_pop(&queue, &item) != STREAM_OK) return false;
    *n = number_of(item);
    return true;
}
static bool cast_put(uint64_t n) { return stream_broadcast_write(&cast, &n, sizeof n) == STREAM_OK; }
static bool cast_get(uint64_t *n) {
    size_t len;
    return stream_broadcast_read(&reader, n, sizeof *n, &len) == STREAM_OK;
}

static void *flood_producer(void *arg) {
    flood *f = (flood *)arg;
    uint64_t n;
    for (n = 0; n < f->operations / 2; n++)
        while (!f->put((uintptr_t)n)) sched_yield();
    return NULL;
}

static void *flood_consumer(void *arg) {
    flood *f = (flood *)arg;
    uint64_t n, got = 0;
    for (n = 0; n < f->operations / 2; n++) {
        if (n == f->operations / 20) f->resident[0] = resident_kib();
        while (!f->get(&got)) sched_yield();
        if (got != (uintptr_t)n) f->wrong++;
    }
    f->resident[1] = resident_kib();
    return NULL;
}

/* Nanoseconds for a put and a get, by one thread's own clock and the best of many: what two threads reach
   together depends on what else the machine does, this does not. */
static double flood_pace(const flood *f) {
    uint64_t best = UINT64_MAX, n, got, cpu;
    int i;
    for (i = 0; i < 50; i++) {
        cpu = thread_cpu_ns();
        for (n = 0; n < 20000; n++)
            if (!f->put((uintptr_t)n) || !f->get(&got) || got != n) return 0;
        cpu = thread_cpu_ns() - cpu;
        if (cpu < best) best = cpu;
    }
    return (double)best / 20000;
}

/* A push and a pop are two operations. */
static void flood_run(const char *name, bool (*put)(uint64_t), bool (*get)(uint64_t *)) {
    static flood f;
    pthread_t thread[2];
    uint64_t begin;
    double seconds, before, after;
    int tries = 0;
    memset(&f, 0, sizeof f);
    f.name = name;
    f.put = put;
    f.get = get;
    f.operations = soaked(1000000000) / 200 * 200;
    before = flood_pace(&f);
    begin = stream_now_ns();
    if (pthread_create(&thread[0], NULL, flood_producer, &f) != 0) abort();
    if (pthread_create(&thread[1], NULL, flood_consumer, &f) != 0) abort();
    pthread_join(thread[0], NULL);
    pthread_join(thread[1], NULL);
    seconds = (double)(stream_now_ns() - begin) / 1e9;
    CHECK_EQ(f.wrong, 0);
    CHECK(TEST_SANITIZED || f.resident[1] <= f.resident[0] + 512); /* sanitizers keep books of their own */
    do after = flood_pace(&f); /* a busy machine may need several looks; one that got slower stays slow */
    while (after > before * 1.25 && ++tries < 20);
    CHECK(before > 0 && after > 0);
    /* Some machines have two gears. A sample runs for too short a time to tell how fast: it shows the figures only. */
    CHECK(soaked(1000000) < 1000000 || after <= before * 2);
    printf("  %-9s %llu operations in %.1f s; %.1f ns before, %.1f after; %ld KiB, then %ld\n", name,
           (unsigned long long)f.operations, seconds, before, after, f.resident[0], f.resident[1]);
}

static void a_thousand_million(void) {
    stream_broadcast_desc desc;
    stream_ring_desc small;
    memset(&desc, 0, sizeof desc);
    memset(&small, 0, sizeof small);
    small.capacity = 4096;
    desc.max_held = 1;
    CHECK_EQ(stream_ring_init(&ring, &small), STREAM_OK);
    CHECK_EQ(stream_spsc_init(&spsc, NULL), STREAM_OK);
    CHECK_EQ(stream_queue_init(&queue, NULL), STREAM_OK);
    CHECK_EQ(stream_broadcast_init(&cast, &desc), STREAM_OK);
    stream_broadcast_join(&cast, &reader, STREAM_OVERRUN_OLDEST);
    CHECK_EQ(stream_broadcast_hold(&reader), STREAM_OK);
    flood_run("ring", ring_put, ring_get);
    flood_run("spsc", spsc_put, spsc_get);
    flood_run("queue", queue_put, queue_get);
    flood_run("broadcast", cast_put, cast_get);
    stream_broadcast_free(&cast);
    stream_queue_free(&queue);
    stream_spsc_free(&spsc);
    stream_ring_free(&ring);
}

/* ---- a hundred million hand-offs -------------------------------------------------------------------- */

enum { MOST = 3, SENDER_SHIFT = 28 }; /* threads on one side; an item is its sender and its number */

typedef struct relay {
    stream_channel ch;
    size_t senders, receivers;
    uint64_t each;              /* items of one sender */
    unsigned char *seen[MOST];  /* a bit for each item of a sender */
    stream_counter finished, taken, twice, out_of_order, slept;
} relay;

typedef struct relay_thread {
    relay *r;
    size_t id;
} relay_thread;

/* Now and then something takes time: the processor is given up, or spent, or the thread sleeps. */
static void dawdle(uint64_t *seed) {
    uint64_t chance = test_random(seed) % 4096;
    struct timespec a_bit = {0, 1};
    volatile unsigned spin;
    if (chance < 2) nanosleep(&a_bit, NULL);
    else if (chance < 12) sched_yield();
    else if (chance < 40)
        for (spin = (unsigned)(test_random(seed) % 2000); spin > 0; spin--) {
        }
}

/* Mostly without a limit, sometimes not at all, sometimes so short that it runs out. */
static uint64_t patience(uint64_t *seed) {
    uint64_t chance = test_random(seed) % 16;
    return chance == 0 ? 0 : chance < 3 ? test_random(seed) % 20000 : STREAM_FOREVER;
}

static void *relay_sender(void *arg) {
    relay_thread *t = (relay_thread *)arg;
    relay *r = t->r;
    uint64_t n = 0, seed = 7 + t->id;
    while (n < r->each) {
        dawdle(&seed);
        if (test_random(&seed) % 4) {
            void *item = item_of((uint64_t)t->id << SENDER_SHIFT | n);
            n += stream_channel_send(&r->ch, item, patience(&seed)) == STREAM_OK;
        } else {
            void *items[8];
            size_t want = (size_t)(test_random(&seed) % COUNT(items)) + 1, i, sent;
            if (want > r->each - n) want = (size_t)(r->each - n);
            for (i = 0; i < want; i++) items[i] = item_of((uint64_t)t->id << SENDER_SHIFT | (n + i));
            (void)stream_channel_send_n(&r->ch, items, want, patience(&seed), &sent);
            n += sent;
        }
    }
    stream_counter_add(&r->finished, 1);
    if (stream_counter_get(&r->finished) == r->senders) stream_channel_close(&r->ch);
    return NULL;
}

static void *relay_receiver(void *arg) {
    relay_thread *t = (relay_thread *)arg;
    relay *r = t->r;
    uint64_t next[MOST] = {0}, seed = 77 + t->id, taken = 0, twice = 0, out_of_order = 0;
    for (;;) {
        void *items[8];
        size_t got, i;
        stream_status st;
        dawdle(&seed);
        if (test_random(&seed) % 4) {
            st = stream_channel_recv(&r->ch, items, patience(&seed));
            got = st == STREAM_OK;
        } else {
            st = stream_channel_recv_n(&r->ch, items, COUNT(items), patience(&seed), &got);
        }
        if (st == STREAM_END) break;
        for (i = 0; i < got; i++) {
            uint64_t sender = number_of(items[i]) >> SENDER_SHIFT;
            uint64_t n = number_of(items[i]) & (((uint64_t)1 << SENDER_SHIFT) - 1);
            unsigned char bit;
            if (sender >= r->senders || n >= r->each) {
                out_of_order++;
                continue;
            }
            if (n < next[sender]) out_of_order++;
            next[sender] = n + 1;
            bit = (unsigned char)(1u << n % 8);
            if (__atomic_fetch_or(&r->seen[sender][n / 8], bit, __ATOMIC_RELAXED) & bit) twice++;
        }
        taken += got;
    }
    stream_counter_add(&r->taken, taken);
    stream_counter_add(&r->twice, twice);
    stream_counter_add(&r->out_of_order, out_of_order);
    return NULL;
}

static void relay_run(size_t senders, size_t receivers, size_t capacity, uint64_t hand_offs) {
    static relay r;
    relay_thread t[2 * MOST];
    pthread_t thread[2 * MOST];
    stream_channel_desc desc;
    struct rusage before, after;
    uint64_t begin;
    double seconds;
    size_t i;
    memset(&r, 0, sizeof r);
    memset(&desc, 0, sizeof desc);
    desc.queue.capacity = capacity;
    desc.queue.start = UINT64_MAX - 1000; /* the counters pass their end early on */
    r.senders = senders;
    r.receivers = receivers;
    r.each = hand_offs / senders;
    for (i = 0; i < senders; i++)
        if ((r.seen[i] = (unsigned char *)calloc(1, (size_t)(r.each / 8 + 1))) == NULL) abort();
    CHECK(r.each < (uint64_t)1 << SENDER_SHIFT);
    CHECK_EQ(stream_channel_init(&r.ch, &desc), STREAM_OK);
    getrusage(RUSAGE_SELF, &before);
    begin = stream_now_ns();
    for (i = 0; i < senders + receivers; i++) {
        t[i].r = &r;
        t[i].id = i < senders ? i : i - senders;
        if (pthread_create(&thread[i], NULL, i < senders ? relay_sender : relay_receiver, &t[i]) != 0)
            abort();
    }
    for (i = 0; i < senders + receivers; i++) pthread_join(thread[i], NULL);
    seconds = (double)(stream_now_ns() - begin) / 1e9;
    getrusage(RUSAGE_SELF, &after);
    CHECK_EQ(stream_counter_get(&r.taken), r.each * senders); /* and none twice: then each once */
    CHECK_EQ(stream_counter_get(&r.twice), 0);
    CHECK_EQ(stream_counter_get(&r.out_of_order), 0);
    CHECK_EQ(r.ch.receivers.word.v, 0);
    CHECK_EQ(r.ch.senders[0].word.v, 0);
    printf("  %zu to %zu, capacity %3zu: %llu hand-offs in %.1f s, %ld times a thread slept\n", senders,
           receivers, capacity, (unsigned long long)(r.each * senders), seconds,
           after.ru_nvcsw - before.ru_nvcsw);
    stream_channel_free(&r.ch);
    for (i = 0; i < senders; i++) free(r.seen[i]);
}

static void a_hundred_million_hand_offs(void) {
    static const struct {
        size_t senders, receivers, capacity, share; /* of a hundred */
    } shape[] = {{1, 1, 1, 5},  {1, 1, 100, 25}, {2, 2, 1, 5},  {2, 2, 3, 10},
                 {3, 1, 2, 10}, {1, 3, 5, 10},   {3, 3, 64, 35}};
    size_t i;
    for (i = 0; i < COUNT(shape); i++)
        relay_run(shape[i].senders, shape[i].receivers, shape[i].capacity,
                  soaked(100000000) * shape[i].share / 100);
}

/* ---- waiting costs nothing -------------------------------------------------------------------------- */

typedef struct waiter {
    stream_channel ch;
    bool sends;
    uint64_t count, cpu_ns;
} waiter;

static void *waiter_run(void *arg) {
    waiter *w = (waiter *)arg;
    uint64_t cpu = thread_cpu_ns(), n;
    void *item;
    for (n = 0; n < w->count; n++) {
        stream_status st = w->sends ? stream_channel_send(&w->ch, item_of(n), STREAM_FOREVER)
                                    : stream_channel_recv(&w->ch, &item, STREAM_FOREVER);
        if (st != STREAM_OK) abort();
    }
    w->cpu_ns = thread_cpu_ns() - cpu;
    return NULL;
}

/* The other side does one thing every `pause`; how much of the time does this side's thread run? */
static void waiting_run(bool sends, uint64_t pause_ns, uint64_t count) {
    static waiter w;
    stream_channel_desc desc;
    pthread_t thread;
    struct timespec pause;
    uint64_t begin, took, n;
    double percent;
    void *item;
    memset(&w, 0, sizeof w);
    memset(&desc, 0, sizeof desc);
    desc.queue.capacity = 1;
    w.sends = sends;
    w.count = count;
    pause.tv_sec = (time_t)(pause_ns / 1000000000);
    pause.tv_nsec = (long)(pause_ns % 1000000000);
    CHECK_EQ(stream_channel_init(&w.ch, &desc), STREAM_OK);
    begin = stream_now_ns();
    if (pthread_create(&thread, NULL, waiter_run, &w) != 0) abort();
    for (n = 0; n < count; n++) {
        nanosleep(&pause, NULL); /* what is measured is the time between */
        if (sends) CHECK_EQ(stream_channel_recv(&w.ch, &item, STREAM_FOREVER), STREAM_OK);
        else CHECK_EQ(stream_channel_send(&w.ch, item_of(n), STREAM_FOREVER), STREAM_OK);
    }
    pthread_join(thread, NULL);
    took = stream_now_ns() - begin;
    percent = (double)w.cpu_ns * 100 / (double)took;
    printf("  a %s that waits, a hand-off every %4.0f ms for %.1f s: %.3f %% of a processor, %.1f us each\n",
           sends ? "sender  " : "receiver", (double)pause_ns / 1e6, (double)took / 1e9, percent,
           (double)w.cpu_ns / 1e3 / (double)count);
    /* A thread that is woken runs for some microseconds; that is all there may be. */
    CHECK(percent < (pause_ns >= 1000000000 ? 0.5 : TEST_SANITIZED ? 30.0 : 10.0));
    stream_channel_free(&w.ch);
}

static void waiting_costs_nothing(void) {
    uint64_t seconds = soaked(1000000) / 100000; /* 10 */
    int sends;
    if (seconds == 0) seconds = 1;
    for (sends = 0; sends < 2; sends++) {
        waiting_run(sends, 1000000, seconds * 100);
        waiting_run(sends, UINT64_C(1000000000), seconds);
    }
}

int main(void) {
    TEST_PROGRAM("soak_rings");
    RUN(a_thousand_million);
    RUN(a_hundred_million_hand_offs);
    RUN(waiting_costs_nothing);
    return test_end();
}
