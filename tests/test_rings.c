/* SPDX-License-Identifier: MIT-0
   stream.h: ring, spsc, queue, channel, broadcast, flow over time, diff. Each against a plain reference with
   random calls, with counters that begin near their end; then between threads, on capacities so small that
   full and empty happen all the time, checking order and identity of every single item, never sums.

   TEST_SCALE=percent scales the random and threaded parts (100 by default, 12 under a sanitizer).
   TEST_HANDOFFS=n sets the number of channel hand-offs (a release run: 100000000).

   Build: cc -std=c11 -pthread -I. tests/test_rings.c */
#include <stddef.h>

/* Every system call of the channel comes here and is counted. */
struct timespec;
static long test_futex(void *word, int op, unsigned value, const struct timespec *deadline);
static ptrdiff_t test_write(int fd, const void *data, size_t len);
static ptrdiff_t test_read(int fd, void *data, size_t len);
#define STREAM_SYS_FUTEX(word, op, value, deadline) test_futex(word, op, value, deadline)
#define STREAM_SYS_WRITE(fd, data, len) test_write(fd, data, len)
#define STREAM_SYS_READ(fd, data, len) test_read(fd, data, len)

/* What condition variables are made with; the n-th of these calls is refused. */
#ifdef STREAM_WAIT_PTHREAD
#include <errno.h>
#include <pthread.h>
static int sleeper_refused;
#define SLEEPER_REFUSED (sleeper_refused && --sleeper_refused == 0)
static int sleeper_condattr_init(pthread_condattr_t *attr) {
    return SLEEPER_REFUSED ? EAGAIN : pthread_condattr_init(attr);
}
static int sleeper_mutex_init(pthread_mutex_t *lock, const pthread_mutexattr_t *attr) {
    return SLEEPER_REFUSED ? EAGAIN : pthread_mutex_init(lock, attr);
}
static int sleeper_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr) {
    return SLEEPER_REFUSED ? EAGAIN : pthread_cond_init(cond, attr);
}
#define pthread_condattr_init(attr) sleeper_condattr_init(attr)
#define pthread_mutex_init(lock, attr) sleeper_mutex_init(lock, attr)
#define pthread_cond_init(cond, attr) sleeper_cond_init(cond, attr)
#endif

#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Where counters begin: at rest, and so that they pass their end during the test. */
static const uint64_t starts[] = {0, UINT64_MAX - 20, UINT64_MAX / 2 - 20, 12345};

/* ---- an allocator that counts and refuses on request ------------------------------------------------ */

typedef struct heap {
    size_t live, blocks, requests, fail_at; /* fail_at: the request to refuse, from 1; 0: none */
    bool wrong;                             /* an old size was not the true one */
} heap;

enum { HEAP_HEADER = 16 };

static void *heap_resize(void *ctx, void *ptr, size_t old_size, size_t new_size, size_t align) {
    heap *h = (heap *)ctx;
    size_t true_size;
    if (ptr) { /* these objects allocate and free, and never resize */
        memcpy(&true_size, (char *)ptr - HEAP_HEADER, sizeof true_size);
        if (true_size != old_size || new_size != 0) h->wrong = true;
        memset(ptr, 0xdd, true_size);
        free((char *)ptr - HEAP_HEADER);
        h->live -= true_size;
        h->blocks--;
        return NULL;
    }
    if (align == 0 || align > HEAP_HEADER || new_size == 0) h->wrong = true;
    if (++h->requests == h->fail_at) return NULL;
    ptr = malloc(HEAP_HEADER + new_size);
    if (!ptr) return NULL;
    memcpy(ptr, &new_size, sizeof new_size);
    memset((char *)ptr + HEAP_HEADER, 0xdb, new_size);
    h->live += new_size;
    h->blocks++;
    return (char *)ptr + HEAP_HEADER;
}

static stream_allocator heap_hook(heap *h) {
    stream_allocator a;
    memset(h, 0, sizeof *h);
    a.resize = heap_resize;
    a.ctx = h;
    return a;
}

static void heap_check_empty(const heap *h) {
    CHECK_EQ(h->live, 0);
    CHECK_EQ(h->blocks, 0);
    CHECK(!h->wrong);
}

/* ---- threads ---------------------------------------------------------------------------------------- */

enum { MAX_THREADS = 8 };

typedef struct crew { /* threads that begin together */
    pthread_t thread[MAX_THREADS];
    void *(*work[MAX_THREADS])(void *);
    void *arg[MAX_THREADS];
    size_t count;
} crew;

static void crew_add(crew *c, void *(*work)(void *), void *arg) {
    c->work[c->count] = work;
    c->arg[c->count++] = arg;
}

static void crew_run(crew *c) {
    size_t i;
    for (i = 0; i < c->count; i++)
        if (pthread_create(&c->thread[i], NULL, c->work[i], c->arg[i]) != 0) abort();
    for (i = 0; i < c->count; i++) pthread_join(c->thread[i], NULL);
    c->count = 0;
}

/* ---- ring ------------------------------------------------------------------------------------------- */

/* The n-th byte of the stream that all ring tests send: neighbours differ, and laps differ. */
static char byte_at(uint64_t n) { return (char)(unsigned char)((n * 7 + (n >> 8) * 13 + (n >> 3)) & 0xff); }

static void fill(void *to, uint64_t from, size_t len) {
    size_t i;
    for (i = 0; i < len; i++) ((char *)to)[i] = byte_at(from + i);
}

static bool right(const void *bytes, uint64_t from, size_t len) {
    size_t i;
    for (i = 0; i < len; i++)
        if (((const char *)bytes)[i] != byte_at(from + i)) return false;
    return true;
}

/* Every call in any order against three counts: staged, published, consumed. The ring's own waste (what was
   given up before the end of the memory) is the one thing the reference does not know, so FULL is only
   judged where nothing can have been given up: after writes alone, or when empty and asked again. */
static void ring_model(void) {
    char buffer[64];
    uint64_t seed = 42;
    size_t capacity, s, step, steps = scaled(20000);
    for (capacity = 1; capacity <= 33; capacity += capacity < 9 ? 1 : 8) {
        for (s = 0; s < COUNT(starts); s++) {
            stream_ring ring;
            stream_ring_desc desc;
            heap h;
            uint64_t staged = 0, published = 0, consumed = 0;
            size_t reserved = 0, n, m;
            char *span = NULL;
            bool wasted = false; /* something may be given up between head and tail */
            memset(&desc, 0, sizeof desc);
            desc.capacity = capacity;
            desc.start = starts[s];
            desc.allocator = heap_hook(&h);
            CHECK_EQ(stream_ring_init(&ring, &desc), STREAM_OK);
            for (step = 0; step < steps / 20; step++) {
                stream_status st;
                stream_slice part[2];
                void *p;
                n = below(&seed, capacity + 2);
                switch (below(&seed, 10)) {
                case 0: /* write */
                    fill(buffer, staged, n);
                    st = stream_ring_write(&ring, buffer, n, &m);
                    reserved = 0;
                    if (!wasted) {
                        size_t room = capacity - (size_t)(staged - consumed);
                        CHECK_EQ(m, n < room ? n : room);
                    }
                    CHECK_EQ(st, m || n == 0 ? STREAM_OK : STREAM_FULL);
                    CHECK(m <= capacity - (size_t)(staged - consumed));
                    staged += m;
                    if (n) published = m ? staged : published;
                    break;
                case 1:
                case 2:
                case 3: /* reserve */
                    st = stream_ring_reserve(&ring, n, &p);
                    reserved = 0;
                    if (n > capacity) {
                        CHECK_EQ(st, STREAM_E_TOO_LONG);
                        break;
                    }
                    wasted = true;
                    if (st == STREAM_OK) {
                        CHECK(n <= capacity - (size_t)(staged - consumed));
                        reserved = n;
                        span = (char *)p;
                        memset(span, 0xEE, n);
                    } else {
                        CHECK_EQ(st, STREAM_FULL);
                        CHECK(p == NULL);
                        if (staged == consumed) { /* the rule for a producer that stalls */
                            CHECK_EQ(stream_ring_peek(&ring, part), STREAM_EMPTY);
                            CHECK_EQ(stream_ring_reserve(&ring, n, &p), STREAM_OK);
                            stream_ring_abort(&ring);
                        }
                    }
                    break;
                case 4: /* commit, stage */
                case 5:
                    m = below(&seed, reserved + 2);
                    if (m <= reserved) fill(span, staged, m);
                    if (below(&seed, 2)) {
                        st = stream_ring_stage(&ring, m);
                    } else {
                        st = stream_ring_commit(&ring, m);
                        if (m <= reserved) published = staged + m;
                    }
                    CHECK_EQ(st, m <= reserved ? STREAM_OK : STREAM_E_ARGUMENT);
                    if (m <= reserved) {
                        staged += m;
                        reserved = 0;
                    }
                    break;
                case 6:
                    if (below(&seed, 2)) {
                        stream_ring_publish(&ring);
                        published = staged;
                    } else {
                        stream_ring_abort(&ring);
                        reserved = 0;
                        CHECK_EQ(stream_ring_commit(&ring, 1), STREAM_E_ARGUMENT);
                    }
                    break;
                case 7: /* read */
                    st = stream_ring_read(&ring, buffer, n, &m);
                    CHECK_EQ(m, published - consumed < n ? (size_t)(published - consumed) : n);
                    CHECK_EQ(st, published == consumed ? STREAM_EMPTY : STREAM_OK);
                    CHECK(right(buffer, consumed, m));
                    consumed += m;
                    break;
                default: /* peek and consume */
                    st = stream_ring_peek(&ring, part);
                    CHECK_EQ(part[0].len + part[1].len, published - consumed);
                    CHECK_EQ(st, published == consumed ? STREAM_EMPTY : STREAM_OK);
                    CHECK(part[0].len || part[1].len == 0);
                    CHECK(right(part[0].ptr, consumed, part[0].len));
                    CHECK(right(part[1].ptr, consumed + part[0].len, part[1].len));
                    if (staged == consumed) wasted = false;
                    m = below(&seed, (size_t)(published - consumed) + 2);
                    if (m > published - consumed) {
                        CHECK_EQ(stream_ring_consume(&ring, m), STREAM_E_ARGUMENT);
                    } else {
                        CHECK_EQ(stream_ring_consume(&ring, m), STREAM_OK);
                        consumed += m;
                    }
                }
            }
            stream_ring_close(&ring);
            published = staged;
            CHECK_EQ(stream_ring_write(&ring, "x", 1, &m), STREAM_E_STATE);
            {
                void *p;
                CHECK_EQ(stream_ring_reserve(&ring, 1, &p), STREAM_E_STATE);
            }
            while (consumed < published) {
                CHECK_EQ(stream_ring_read(&ring, buffer, 1, &m), STREAM_OK);
                CHECK(m == 1 && right(buffer, consumed, 1));
                if (m == 0) break;
                consumed++;
            }
            CHECK_EQ(stream_ring_read(&ring, buffer, 1, &m), STREAM_END);
            CHECK_EQ(m, 0);
            stream_ring_free(&ring);
            heap_check_empty(&h);
        }
    }
}

/* The doc comment's rule, from every position: half of the capacity fits into an empty ring at once, all of
   it after the consumer has asked; and what was reserved whole is seen whole. */
static void ring_contiguous(void) {
    size_t capacity, at, len;
    for (capacity = 1; capacity <= 16; capacity++) {
        for (at = 0; at < capacity; at++) {
            for (len = 1; len <= capacity; len++) {
                char memory[16], junk[16];
                stream_ring ring;
                stream_ring_desc desc;
                stream_slice span[2];
                stream_status st;
                size_t n;
                void *p;
                memset(&desc, 0, sizeof desc);
                desc.capacity = capacity;
                desc.memory = memory;
                desc.start = UINT64_MAX - 5;
                CHECK_EQ(stream_ring_init(&ring, &desc), STREAM_OK);
                memset(junk, 0, sizeof junk);
                stream_ring_write(&ring, junk, at, &n);
                stream_ring_read(&ring, junk, at, &n);
                st = stream_ring_reserve(&ring, len, &p);
                if (len <= (capacity + 1) / 2) CHECK_EQ(st, STREAM_OK);
                if (st == STREAM_FULL) {
                    CHECK_EQ(stream_ring_peek(&ring, span), STREAM_EMPTY);
                    st = stream_ring_reserve(&ring, len, &p);
                }
                CHECK_EQ(st, STREAM_OK);
                if (st != STREAM_OK) return;
                CHECK((char *)p >= memory && (char *)p + len <= memory + capacity);
                fill(p, 0, len);
                CHECK_EQ(stream_ring_commit(&ring, len), STREAM_OK);
                CHECK_EQ(stream_ring_peek(&ring, span), STREAM_OK);
                CHECK_EQ(span[0].len, len);
                CHECK(span[0].ptr == (char *)p && right(span[0].ptr, 0, len));
                CHECK_EQ(stream_ring_consume(&ring, len), STREAM_OK);
                stream_ring_free(&ring);
            }
        }
    }
}

static void ring_staged_together(void) {
    char memory[8];
    stream_ring ring;
    stream_ring_desc desc;
    stream_slice span[2];
    size_t n;
    void *p;
    memset(&desc, 0, sizeof desc);
    desc.capacity = sizeof memory;
    desc.memory = memory;
    CHECK_EQ(stream_ring_init(&ring, &desc), STREAM_OK);
    stream_ring_write(&ring, "abcde", 5, &n);
    CHECK_EQ(stream_ring_peek(&ring, span), STREAM_OK);
    CHECK_EQ(stream_ring_consume(&ring, 5), STREAM_OK);
    /* Staged before and behind the part given up: nothing of it is seen before publish. */
    CHECK_EQ(stream_ring_reserve(&ring, 2, &p), STREAM_OK);
    memcpy(p, "12", 2);
    CHECK_EQ(stream_ring_stage(&ring, 2), STREAM_OK);
    CHECK_EQ(stream_ring_peek(&ring, span), STREAM_EMPTY);
    CHECK_EQ(stream_ring_reserve(&ring, 3, &p), STREAM_OK);
    memcpy(p, "345", 3);
    CHECK_EQ(stream_ring_stage(&ring, 3), STREAM_OK);
    CHECK_EQ(stream_ring_peek(&ring, span), STREAM_EMPTY);
    CHECK_EQ(stream_ring_writable(&ring), 2); /* 8 less 5 staged and 1 given up */
    stream_ring_publish(&ring);
    CHECK_EQ(stream_ring_peek(&ring, span), STREAM_OK);
    CHECK_TEXT(span[0].ptr, span[0].len, "12");
    CHECK_TEXT(span[1].ptr, span[1].len, "345");
    CHECK_EQ(stream_ring_consume(&ring, 2), STREAM_OK); /* and the part given up with it */
    CHECK_EQ(stream_ring_writable(&ring), 5);
    CHECK_EQ(stream_ring_consume(&ring, 4), STREAM_E_ARGUMENT);
    CHECK_EQ(stream_ring_consume(&ring, 3), STREAM_OK);
    CHECK_EQ(stream_ring_writable(&ring), 8);
    stream_ring_free(&ring);
}

static void ring_arguments(void) {
    char memory[4];
    stream_ring ring;
    stream_ring_desc desc;
    heap h;
    size_t n;
    CHECK_EQ(stream_ring_init(&ring, NULL), STREAM_OK);
    CHECK_EQ(stream_ring_writable(&ring), 65536);
    stream_ring_free(&ring);
    stream_ring_free(&ring);
    memset(&desc, 0, sizeof desc);
    desc.capacity = SIZE_MAX / 2 + 1;
    CHECK_EQ(stream_ring_init(&ring, &desc), STREAM_E_ARGUMENT);
    desc.capacity = 0;
    desc.memory = memory;
    CHECK_EQ(stream_ring_init(&ring, &desc), STREAM_E_ARGUMENT);
    desc.capacity = 4;
    CHECK_EQ(stream_ring_init(&ring, &desc), STREAM_OK);
    CHECK_EQ(stream_ring_write(&ring, "", 0, &n), STREAM_OK);
    CHECK_EQ(stream_ring_write(&ring, "abcdef", 6, &n), STREAM_OK);
    CHECK_EQ(n, 4);
    CHECK_BYTES(memory, 4, "abcd", 4);
    CHECK_EQ(stream_ring_write(&ring, "e", 1, &n), STREAM_FULL);
    CHECK_EQ(n, 0);
    CHECK_EQ(stream_ring_write(&ring, "", 0, &n), STREAM_OK);
    stream_ring_free(&ring);
    memset(&desc, 0, sizeof desc);
    desc.allocator = heap_hook(&h);
    h.fail_at = 1;
    CHECK_EQ(stream_ring_init(&ring, &desc), STREAM_E_NOMEM);
    stream_ring_free(&ring);
    heap_check_empty(&h);
}

/* What was reserved when the ring was closed comes too late: after END there is nothing. */
static void ring_closed_drops_a_reservation(void) {
    stream_ring ring;
    stream_ring_desc desc;
    char got[4];
    size_t n;
    void *span;
    memset(&desc, 0, sizeof desc);
    desc.capacity = 4;
    CHECK_EQ(stream_ring_init(&ring, &desc), STREAM_OK);
    CHECK_EQ(stream_ring_reserve(&ring, 2, &span), STREAM_OK);
    memcpy(span, "ab", 2);
    stream_ring_close(&ring);
    CHECK_EQ(stream_ring_read(&ring, got, sizeof got, &n), STREAM_END);
    CHECK_EQ(stream_ring_stage(&ring, 1), STREAM_E_ARGUMENT);
    CHECK_EQ(stream_ring_commit(&ring, 2), STREAM_E_ARGUMENT);
    CHECK_EQ(stream_ring_read(&ring, got, sizeof got, &n), STREAM_END);
    stream_ring_free(&ring);
}

/* A consumer that saw the part given up, and fewer bytes behind it, gets those of since as well. */
static void ring_reads_all_there_is_behind_a_part_given_up(void) {
    char buffer[8];
    stream_ring ring;
    stream_ring_desc desc;
    void *span;
    size_t n;
    memset(&desc, 0, sizeof desc);
    desc.capacity = 5;
    CHECK_EQ(stream_ring_init(&ring, &desc), STREAM_OK);
    CHECK_EQ(stream_ring_write(&ring, "ab", 2, &n), STREAM_OK);
    CHECK_EQ(stream_ring_read(&ring, buffer, 1, &n), STREAM_OK);
    CHECK_EQ(stream_ring_reserve(&ring, 4, &span), STREAM_FULL); /* the three bytes at the end are given up */
    CHECK_EQ(stream_ring_write(&ring, "c", 1, &n), STREAM_OK);
    CHECK_EQ(n, 1);
    CHECK_EQ(stream_ring_read(&ring, buffer, 1, &n), STREAM_OK); /* up to them, with "c" seen behind */
    CHECK_TEXT(buffer, n, "b");
    CHECK_EQ(stream_ring_write(&ring, "d", 1, &n), STREAM_OK);
    CHECK_EQ(n, 1);
    CHECK_EQ(stream_ring_read(&ring, buffer, 2, &n), STREAM_OK);
    CHECK_TEXT(buffer, n, "cd");
    CHECK_EQ(stream_ring_read(&ring, buffer, 2, &n), STREAM_EMPTY);
    stream_ring_free(&ring);
}

/* A ring as the source of a pipeline: lines come out as they went in, EMPTY when there is nothing, END. */
static void ring_feeds_pipeline(void) {
    stream_ring ring;
    stream_ring_desc ring_desc;
    stream_lines lines;
    stream_pipeline pipe;
    stream_pipeline_desc desc;
    stream_item item;
    size_t n;
    memset(&ring_desc, 0, sizeof ring_desc);
    ring_desc.capacity = 7;
    memset(&desc, 0, sizeof desc);
    CHECK_EQ(stream_ring_init(&ring, &ring_desc), STREAM_OK);
    CHECK_EQ(stream_lines_init(&lines, NULL), STREAM_OK);
    desc.source = stream_ring_source(&ring);
    desc.decoder = stream_lines_decoder(&lines);
    CHECK_EQ(stream_pipeline_init(&pipe, &desc), STREAM_OK);
    CHECK_EQ(stream_pipeline_next(&pipe, &item), STREAM_EMPTY);
    stream_ring_write(&ring, "one\ntw", 6, &n);
    CHECK_EQ(stream_pipeline_next(&pipe, &item), STREAM_OK);
    CHECK_TEXT(item.ptr, item.len, "one");
    CHECK_EQ(stream_pipeline_next(&pipe, &item), STREAM_EMPTY);
    stream_ring_write(&ring, "o\nthree", 7, &n);
    CHECK_EQ(n, 7);
    CHECK_EQ(stream_pipeline_next(&pipe, &item), STREAM_OK);
    CHECK_TEXT(item.ptr, item.len, "two");
    stream_ring_close(&ring);
    CHECK_EQ(stream_pipeline_next(&pipe, &item), STREAM_OK);
    CHECK_TEXT(item.ptr, item.len, "three");
    CHECK_EQ(stream_pipeline_next(&pipe, &item), STREAM_END);
    stream_pipeline_free(&pipe);
    stream_lines_free(&lines);
    stream_ring_free(&ring);
}

typedef struct ring_case {
    stream_ring ring;
    size_t capacity;
    uint64_t total, wrong, at; /* bytes to send; the first that was wrong */
} ring_case;

/* Sends the stream by whatever call comes up, in records that no call may tear. */
static void *ring_producer(void *arg) {
    ring_case *c = (ring_case *)arg;
    uint64_t seed = 1 + c->capacity, sent = 0;
    char buffer[64];
    while (sent < c->total) {
        size_t n = 1 + below(&seed, c->capacity), put = 0;
        void *span;
        if (n > c->total - sent) n = (size_t)(c->total - sent);
        if (below(&seed, 2)) {
            fill(buffer, sent, n);
            if (stream_ring_write(&c->ring, buffer, n, &put) != STREAM_OK) sched_yield();
            sent += put;
        } else if (stream_ring_reserve(&c->ring, n, &span) == STREAM_OK) {
            fill(span, sent, n);
            put = below(&seed, n + 1);
            if (below(&seed, 2)) stream_ring_commit(&c->ring, put);
            else stream_ring_stage(&c->ring, put);
            sent += put;
        } else {
            stream_ring_publish(&c->ring);
            sched_yield();
        }
    }
    stream_ring_close(&c->ring);
    return NULL;
}

static void *ring_consumer(void *arg) {
    ring_case *c = (ring_case *)arg;
    uint64_t seed = 99 + c->capacity, taken = 0;
    char buffer[64];
    for (;;) {
        size_t n = 1 + below(&seed, c->capacity), got = 0;
        stream_status st;
        if (below(&seed, 2)) {
            st = stream_ring_read(&c->ring, buffer, n, &got);
            if (!right(buffer, taken, got) && !c->wrong) c->wrong = 1, c->at = taken;
        } else {
            stream_slice span[2];
            st = stream_ring_peek(&c->ring, span);
            if (st == STREAM_OK) {
                if ((!right(span[0].ptr, taken, span[0].len) ||
                     !right(span[1].ptr, taken + span[0].len, span[1].len)) && !c->wrong)
                    c->wrong = 1, c->at = taken;
                got = below(&seed, span[0].len + span[1].len + 1);
                if (stream_ring_consume(&c->ring, got) != STREAM_OK) c->wrong = 1;
            }
        }
        taken += got;
        if (st == STREAM_END) break;
        if (st == STREAM_EMPTY) sched_yield();
    }
    if (taken != c->total) c->wrong = 1, c->at = taken;
    return NULL;
}

static void ring_between_threads(void) {
    static const size_t capacities[] = {1, 2, 3, 5, 8, 17, 64};
    size_t i;
    for (i = 0; i < COUNT(capacities); i++) {
        ring_case c;
        stream_ring_desc desc;
        crew workers;
        memset(&c, 0, sizeof c);
        memset(&desc, 0, sizeof desc);
        memset(&workers, 0, sizeof workers);
        desc.capacity = c.capacity = capacities[i];
        desc.start = starts[i % COUNT(starts)];
        c.total = scaled(60000) * (1 + c.capacity / 4);
        CHECK_EQ(stream_ring_init(&c.ring, &desc), STREAM_OK);
        crew_add(&workers, ring_producer, &c);
        crew_add(&workers, ring_consumer, &c);
        crew_run(&workers);
        CHECK_EQ(c.wrong, 0);
        if (c.wrong) printf("    capacity %zu: wrong at byte %llu\n", c.capacity, (unsigned long long)c.at);
        stream_ring_free(&c.ring);
    }
}

/* ---- spsc ------------------------------------------------------------------------------------------- */

/* Items are numbers in disguise: nothing points anywhere. */
static void *item_of(uint64_t n) { return (void *)(uintptr_t)n; }
static uint64_t number_of(void *item) { return (uint64_t)(uintptr_t)item; }

static void spsc_model(void) {
    uint64_t seed = 7;
    size_t capacity, s, step, steps = scaled(4000);
    for (capacity = 1; capacity <= 9; capacity++) {
        for (s = 0; s < COUNT(starts); s++) {
            stream_spsc ring;
            stream_spsc_desc desc;
            heap h;
            uint64_t pushed = 1, popped = 1;
            void *items[12];
            size_t i, n, got;
            memset(&desc, 0, sizeof desc);
            desc.capacity = capacity;
            desc.start = starts[s];
            desc.allocator = heap_hook(&h);
            CHECK_EQ(stream_spsc_init(&ring, &desc), STREAM_OK);
            for (step = 0; step < steps; step++) {
                size_t depth = (size_t)(pushed - popped);
                n = below(&seed, COUNT(items) + 1);
                switch (below(&seed, 4)) {
                case 0:
                    CHECK_EQ(stream_spsc_push(&ring, item_of(pushed)),
                             depth < capacity ? STREAM_OK : STREAM_FULL);
                    pushed += depth < capacity;
                    break;
                case 1:
                    items[0] = NULL;
                    CHECK_EQ(stream_spsc_pop(&ring, items), depth ? STREAM_OK : STREAM_EMPTY);
                    if (depth) CHECK_EQ(number_of(items[0]), popped++);
                    break;
                case 2:
                    for (i = 0; i < n; i++) items[i] = item_of(pushed + i);
                    got = stream_spsc_push_n(&ring, items, n);
                    CHECK_EQ(got, n < capacity - depth ? n : capacity - depth);
                    pushed += got;
                    break;
                default:
                    got = stream_spsc_pop_n(&ring, items, n);
                    CHECK_EQ(got, n < depth ? n : depth);
                    for (i = 0; i < got; i++) CHECK_EQ(number_of(items[i]), popped++);
                }
            }
            stream_spsc_free(&ring);
            heap_check_empty(&h);
        }
    }
}

static void spsc_arguments(void) {
    void *memory[4];
    stream_spsc ring;
    stream_spsc_desc desc;
    heap h;
    size_t i;
    CHECK_EQ(stream_spsc_memory(3), 4 * sizeof(void *));
    CHECK_EQ(stream_spsc_memory(0), 0);
    CHECK_EQ(stream_spsc_memory(SIZE_MAX / 32 + 1), 0);
    CHECK_EQ(stream_spsc_init(&ring, NULL), STREAM_OK);
    for (i = 0; i < 256; i++) CHECK_EQ(stream_spsc_push(&ring, &ring), STREAM_OK);
    CHECK_EQ(stream_spsc_push(&ring, &ring), STREAM_FULL);
    stream_spsc_free(&ring);
    stream_spsc_free(&ring);
    memset(&desc, 0, sizeof desc);
    desc.memory = memory;
    CHECK_EQ(stream_spsc_init(&ring, &desc), STREAM_E_ARGUMENT);
    desc.capacity = 3;
    CHECK_EQ(stream_spsc_init(&ring, &desc), STREAM_OK);
    for (i = 0; i < 3; i++) CHECK_EQ(stream_spsc_push(&ring, &memory[i]), STREAM_OK);
    CHECK_EQ(stream_spsc_push(&ring, NULL), STREAM_FULL);
    CHECK(memory[2] == (void *)&memory[2]);
    stream_spsc_free(&ring);
    memset(&desc, 0, sizeof desc);
    desc.capacity = SIZE_MAX;
    CHECK_EQ(stream_spsc_init(&ring, &desc), STREAM_E_ARGUMENT);
    desc.capacity = 10;
    desc.allocator = heap_hook(&h);
    h.fail_at = 1;
    CHECK_EQ(stream_spsc_init(&ring, &desc), STREAM_E_NOMEM);
    stream_spsc_free(&ring);
    heap_check_empty(&h);
}

typedef struct spsc_case {
    stream_spsc ring;
    size_t capacity;
    uint64_t *box; /* what the items point to: written before push, read after pop */
    uint64_t total, wrong;
} spsc_case;

static void *spsc_producer(void *arg) {
    spsc_case *c = (spsc_case *)arg;
    uint64_t seed = 3 + c->capacity, sent = 0;
    void *items[8];
    while (sent < c->total) {
        size_t n = 1, i;
        if (below(&seed, 2)) n += below(&seed, COUNT(items));
        if (n > COUNT(items)) n = COUNT(items);
        if (n > c->total - sent) n = (size_t)(c->total - sent);
        for (i = 0; i < n; i++) {
            c->box[sent + i] = sent + i + 1;
            items[i] = &c->box[sent + i];
        }
        if (n == 1) n = stream_spsc_push(&c->ring, items[0]) == STREAM_OK;
        else n = stream_spsc_push_n(&c->ring, items, n);
        sent += n;
        if (n == 0) sched_yield();
    }
    return NULL;
}

static void *spsc_consumer(void *arg) {
    spsc_case *c = (spsc_case *)arg;
    uint64_t seed = 5 + c->capacity, taken = 0;
    void *items[8];
    while (taken < c->total) {
        size_t n = 1 + below(&seed, COUNT(items)), i;
        n = n == 1 ? stream_spsc_pop(&c->ring, items) == STREAM_OK : stream_spsc_pop_n(&c->ring, items, n);
        for (i = 0; i < n; i++, taken++)
            if (items[i] != &c->box[taken] || c->box[taken] != taken + 1) c->wrong++;
        if (n == 0) sched_yield();
    }
    return NULL;
}

static void spsc_between_threads(void) {
    static const size_t capacities[] = {1, 2, 3, 8, 100};
    size_t i;
    for (i = 0; i < COUNT(capacities); i++) {
        spsc_case c;
        stream_spsc_desc desc;
        crew workers;
        memset(&c, 0, sizeof c);
        memset(&desc, 0, sizeof desc);
        memset(&workers, 0, sizeof workers);
        desc.capacity = c.capacity = capacities[i];
        desc.start = starts[i % COUNT(starts)];
        c.total = scaled(100000);
        c.box = (uint64_t *)calloc((size_t)c.total, sizeof *c.box);
        if (!c.box) abort();
        CHECK_EQ(stream_spsc_init(&c.ring, &desc), STREAM_OK);
        crew_add(&workers, spsc_producer, &c);
        crew_add(&workers, spsc_consumer, &c);
        crew_run(&workers);
        CHECK_EQ(c.wrong, 0);
        stream_spsc_free(&c.ring);
        free(c.box);
    }
}

/* ---- queue ------------------------------------------------------------------------------------------ */

/* Both lanes, every policy, every call, against two arrays. */
static void queue_model(void) {
    uint64_t seed = 77;
    size_t capacity, s, step, steps = scaled(3000);
    int policy;
    for (capacity = 1; capacity <= 9; capacity++) {
        for (s = 0; s < COUNT(starts); s++) {
            for (policy = 0; policy < 3; policy++) {
                stream_queue queue;
                stream_queue_desc desc;
                stream_queue_usage usage;
                heap h;
                uint64_t inside[2][16]; /* the oldest first */
                size_t depth[2] = {0, 0}, limit[2];
                uint64_t next = 1, pushed = 0, popped = 0, refused = 0, dropped_new = 0, dropped_old = 0;
                void *items[12], *back;
                size_t i, n, got, lane;
                memset(&desc, 0, sizeof desc);
                limit[0] = desc.capacity = capacity;
                limit[1] = desc.urgent = 1 + capacity / 2;
                desc.start = starts[s];
                desc.overflow = (stream_overflow)policy;
                desc.allocator = heap_hook(&h);
                CHECK_EQ(stream_queue_init(&queue, &desc), STREAM_OK);
                CHECK_EQ(h.live, stream_queue_memory(&desc));
                for (step = 0; step < steps; step++) {
                    n = below(&seed, COUNT(items) + 1);
                    switch (below(&seed, 6)) {
                    case 0:
                    case 1: { /* push, either lane */
                        stream_status st;
                        uint64_t item = next++;
                        bool full;
                        lane = below(&seed, 3) == 0;
                        full = depth[lane] == limit[lane];
                        back = item_of(999999);
                        st = lane ? stream_queue_push_urgent(&queue, item_of(item), &back)
                                  : stream_queue_push(&queue, item_of(item), &back);
                        CHECK_EQ(st, full && policy == 0 ? STREAM_FULL : STREAM_OK);
                        CHECK_EQ(number_of(back), !full || policy == 0 ? 0
                                                  : policy == 1        ? item : inside[lane][0]);
                        if (full && policy == 0) refused++;
                        if (full && policy == 1) dropped_new++;
                        if (full && policy == 2) {
                            dropped_old++;
                            popped++;
                            memmove(inside[lane], inside[lane] + 1, --depth[lane] * sizeof inside[0][0]);
                            full = false;
                        }
                        if (!full) {
                            inside[lane][depth[lane]++] = item;
                            pushed++;
                        }
                        break;
                    }
                    case 2:
                        for (i = 0; i < n; i++) items[i] = item_of(next + i);
                        got = stream_queue_push_n(&queue, items, n);
                        CHECK_EQ(got, n < limit[0] - depth[0] ? n : limit[0] - depth[0]);
                        for (i = 0; i < got; i++) inside[0][depth[0]++] = next + i;
                        next += n;
                        pushed += got;
                        refused += n - got;
                        break;
                    case 3:
                        n = 1 + n / 2;
                        /* fall through */
                    default: {
                        uint64_t want[16];
                        size_t all = 0;
                        for (lane = 2; lane-- > 0;)
                            for (i = 0; i < depth[lane]; i++) want[all++] = inside[lane][i];
                        if (n == 1) {
                            CHECK_EQ(stream_queue_pop(&queue, items), all ? STREAM_OK : STREAM_EMPTY);
                            got = all != 0;
                        } else {
                            got = stream_queue_pop_n(&queue, items, n);
                            CHECK_EQ(got, n < all ? n : all);
                        }
                        for (i = 0; i < got && i < all; i++) {
                            CHECK_EQ(number_of(items[i]), want[i]);
                            lane = depth[1] != 0;
                            memmove(inside[lane], inside[lane] + 1, --depth[lane] * sizeof inside[0][0]);
                            popped++;
                        }
                    }
                    }
                    stream_queue_stats(&queue, &usage);
                    CHECK_EQ(usage.depth, depth[0] + depth[1]);
                }
                CHECK_EQ(usage.pushed, pushed);
                CHECK_EQ(usage.popped, popped);
                CHECK_EQ(usage.refused, refused);
                CHECK_EQ(usage.dropped_new, dropped_new);
                CHECK_EQ(usage.dropped_old, dropped_old);
                stream_queue_free(&queue);
                heap_check_empty(&h);
            }
        }
    }
}

static void queue_arguments(void) {
    uint64_t memory[64];
    stream_queue queue;
    stream_queue_desc desc;
    heap h;
    size_t i;
    CHECK_EQ(stream_queue_memory(NULL), (256 + 16) * 16);
    CHECK_EQ(stream_queue_init(&queue, NULL), STREAM_OK);
    for (i = 0; i < 256; i++) CHECK_EQ(stream_queue_push(&queue, &queue, NULL), STREAM_OK);
    CHECK_EQ(stream_queue_push(&queue, &queue, NULL), STREAM_FULL);
    for (i = 0; i < 16; i++) CHECK_EQ(stream_queue_push_urgent(&queue, &queue, NULL), STREAM_OK);
    CHECK_EQ(stream_queue_push_urgent(&queue, &queue, NULL), STREAM_FULL);
    stream_queue_free(&queue);
    stream_queue_free(&queue);
    memset(&desc, 0, sizeof desc);
    desc.capacity = SIZE_MAX / 64 + 1;
    CHECK_EQ(stream_queue_memory(&desc), 0);
    CHECK_EQ(stream_queue_init(&queue, &desc), STREAM_E_ARGUMENT);
    desc.capacity = 3;
    desc.urgent = SIZE_MAX;
    CHECK_EQ(stream_queue_init(&queue, &desc), STREAM_E_ARGUMENT);
    desc.urgent = 1;
    desc.overflow = (stream_overflow)3;
    CHECK_EQ(stream_queue_init(&queue, &desc), STREAM_E_ARGUMENT);
    desc.overflow = STREAM_OVERFLOW_DROP_OLD;
    desc.allocator = heap_hook(&h);
    h.fail_at = 1;
    CHECK_EQ(stream_queue_init(&queue, &desc), STREAM_E_NOMEM);
    stream_queue_free(&queue);
    heap_check_empty(&h);
    desc.memory = memory;
    CHECK(stream_queue_memory(&desc) <= sizeof memory);
    CHECK_EQ(stream_queue_init(&queue, &desc), STREAM_OK);
    for (i = 0; i < 5; i++) /* and no word of what went */
        CHECK_EQ(stream_queue_push(&queue, &queue, NULL), STREAM_OK);
    stream_queue_free(&queue);
    heap_check_empty(&h);
}

/* Every item names its producer and its number. Whoever gets it says so in `taken`, a byte of its own. */
typedef struct queue_case {
    stream_queue queue;
    size_t producers, each;
    uint64_t capacity;
    uint32_t *box;        /* producers x each: written before push, read after pop */
    unsigned char *taken; /* by a consumer 1, dropped 2; twice is wrong */
    stream_counter done;  /* producers that are through */
    stream_counter wrong, dropped;
} queue_case;

typedef struct queue_worker {
    queue_case *c;
    size_t id;
} queue_worker;

static void queue_took(queue_case *c, void *item, unsigned char how) {
    size_t n = (size_t)((uint32_t *)item - c->box);
    if (n >= c->producers * c->each || c->box[n] != n + 1) {
        stream_counter_add(&c->wrong, 1);
        return;
    }
    if (__atomic_exchange_n(&c->taken[n], how, __ATOMIC_RELAXED)) stream_counter_add(&c->wrong, 1);
    if (how == 2) stream_counter_add(&c->dropped, 1);
}

static void *queue_producer(void *arg) {
    queue_worker *w = (queue_worker *)arg;
    queue_case *c = w->c;
    uint64_t seed = 11 + w->id;
    size_t sent = 0, first = w->id * c->each;
    while (sent < c->each) {
        void *items[5], *back = NULL;
        size_t n = 1 + below(&seed, COUNT(items)), i;
        if (n > c->each - sent) n = c->each - sent;
        for (i = 0; i < n; i++) {
            c->box[first + sent + i] = (uint32_t)(first + sent + i + 1);
            items[i] = &c->box[first + sent + i];
        }
        if (n > 1) {
            n = stream_queue_push_n(&c->queue, items, n);
        } else {
            n = stream_queue_push(&c->queue, items[0], &back) == STREAM_OK;
            if (back) queue_took(c, back, 2);
        }
        sent += n;
        if (n == 0) sched_yield();
    }
    stream_counter_add(&c->done, 1);
    return NULL;
}

static void *queue_consumer(void *arg) {
    queue_worker *w = (queue_worker *)arg;
    queue_case *c = w->c;
    uint64_t seed = 31 + w->id;
    uint32_t last[MAX_THREADS] = {0};
    for (;;) {
        void *items[5];
        size_t n = 1 + below(&seed, COUNT(items)), i;
        /* before looking: then nothing is the end */
        bool done = stream_counter_get(&c->done) == c->producers;
        if (n == 1) n = stream_queue_pop(&c->queue, items) == STREAM_OK;
        else n = stream_queue_pop_n(&c->queue, items, n);
        for (i = 0; i < n; i++) {
            uint32_t number;
            size_t producer;
            queue_took(c, items[i], 1);
            number = *(uint32_t *)items[i];
            producer = (number - 1) / c->each;
            if (number <= last[producer]) stream_counter_add(&c->wrong, 1); /* one producer's come in order */
            last[producer] = number;
        }
        if (n == 0 && done) return NULL;
        if (n == 0) sched_yield();
    }
}

static void queue_threads(size_t producers, size_t consumers, size_t capacity, stream_overflow overflow,
                          size_t each, uint64_t start) {
    queue_case c;
    queue_worker worker[MAX_THREADS];
    stream_queue_desc desc;
    stream_queue_usage usage;
    crew workers;
    size_t i, missing = 0;
    memset(&c, 0, sizeof c);
    memset(&desc, 0, sizeof desc);
    memset(&workers, 0, sizeof workers);
    desc.capacity = capacity;
    desc.overflow = overflow;
    desc.start = start;
    c.producers = producers;
    c.each = each;
    c.box = (uint32_t *)calloc(producers * each, sizeof *c.box);
    c.taken = (unsigned char *)calloc(producers * each, 1);
    if (!c.box || !c.taken) abort();
    CHECK_EQ(stream_queue_init(&c.queue, &desc), STREAM_OK);
    for (i = 0; i < producers + consumers; i++) {
        worker[i].c = &c;
        worker[i].id = i;
        crew_add(&workers, i < producers ? queue_producer : queue_consumer, &worker[i]);
    }
    crew_run(&workers);
    for (i = 0; i < producers * each; i++) missing += c.taken[i] == 0;
    CHECK_EQ(missing, 0);
    CHECK_EQ(stream_counter_get(&c.wrong), 0);
    stream_queue_stats(&c.queue, &usage);
    CHECK_EQ(usage.depth, 0);
    CHECK_EQ(usage.dropped_new + usage.dropped_old, stream_counter_get(&c.dropped));
    CHECK_EQ(usage.pushed + usage.dropped_new, producers * each);
    stream_queue_free(&c.queue);
    free(c.box);
    free(c.taken);
}

static void queue_between_threads(void) {
    static const size_t capacities[] = {1, 2, 3, 5, 64};
    size_t i, each = scaled(20000);
    for (i = 0; i < COUNT(capacities); i++) {
        uint64_t start = starts[i % COUNT(starts)];
        queue_threads(1, 1, capacities[i], STREAM_OVERFLOW_FAIL, each, start);
        queue_threads(2, 2, capacities[i], STREAM_OVERFLOW_FAIL, each, start);
        queue_threads(4, 1, capacities[i], STREAM_OVERFLOW_FAIL, each / 2, start);
        queue_threads(1, 4, capacities[i], STREAM_OVERFLOW_FAIL, each, start);
    }
}

static void queue_drops_between_threads(void) {
    static const size_t capacities[] = {1, 2, 3, 8};
    size_t i, each = scaled(20000);
    for (i = 0; i < COUNT(capacities); i++) {
        queue_threads(2, 2, capacities[i], STREAM_OVERFLOW_DROP_OLD, each, starts[i % COUNT(starts)]);
        queue_threads(3, 1, capacities[i], STREAM_OVERFLOW_DROP_OLD, each, starts[i % COUNT(starts)]);
        queue_threads(2, 2, capacities[i], STREAM_OVERFLOW_DROP_NEW, each, starts[i % COUNT(starts)]);
    }
}

/* What push_n put in together comes out together, and is seen all at once: batches of three from two
   producers, one consumer that takes up to three. So there is always room for all three, or for none. */
static void *queue_batcher(void *arg) {
    queue_worker *w = (queue_worker *)arg;
    size_t sent;
    for (sent = 0; sent < w->c->each;) {
        void *items[3];
        size_t i, n;
        for (i = 0; i < 3; i++) items[i] = item_of(1 + w->id * 1000000 + sent * 3 + i);
        for (n = 0; n < 3;) {
            size_t put = stream_queue_push_n(&w->c->queue, items + n, 3 - n);
            if (put && put < 3) stream_counter_add(&w->c->wrong, 1);
            n += put;
            if (put == 0) sched_yield();
        }
        sent++;
    }
    return NULL;
}

static void *queue_batch_reader(void *arg) {
    queue_case *c = ((queue_worker *)arg)->c;
    size_t taken = 0;
    while (taken < c->producers * c->each) {
        void *item[3];
        size_t n = stream_queue_pop_n(&c->queue, item, 3);
        if (n == 0) {
            sched_yield();
            continue;
        }
        if (n != 3 || number_of(item[1]) != number_of(item[0]) + 1 ||
            number_of(item[2]) != number_of(item[0]) + 2)
            stream_counter_add(&c->wrong, 1);
        taken++;
    }
    return NULL;
}

static void queue_batches_stay_together(void) {
    queue_case c;
    queue_worker worker[3];
    stream_queue_desc desc;
    crew workers;
    size_t i;
    memset(&c, 0, sizeof c);
    memset(&desc, 0, sizeof desc);
    memset(&workers, 0, sizeof workers);
    desc.capacity = 9;
    c.producers = 2;
    c.each = scaled(20000);
    CHECK_EQ(stream_queue_init(&c.queue, &desc), STREAM_OK);
    for (i = 0; i < 3; i++) {
        worker[i].c = &c;
        worker[i].id = i;
        crew_add(&workers, i < 2 ? queue_batcher : queue_batch_reader, &worker[i]);
    }
    crew_run(&workers);
    CHECK_EQ(stream_counter_get(&c.wrong), 0);
    stream_queue_free(&c.queue);
}

/* ---- channel ---------------------------------------------------------------------------------------- */

#ifdef STREAM__SLEEP_NONE
#define NOBODY_WAITS 1
#else
#define NOBODY_WAITS 0
#endif

static stream_counter calls_futex, calls_write, calls_read;
static int interrupts; /* so many reads and writes meet a signal first */

static STREAM__UNUSED long test_futex(void *word, int op, unsigned value, const struct timespec *deadline) {
    stream_counter_add(&calls_futex, 1);
#ifdef __linux__
    return syscall(SYS_futex, word, op, value, deadline, NULL, FUTEX_BITSET_MATCH_ANY);
#else
    (void)word, (void)op, (void)value, (void)deadline;
    return 0;
#endif
}

static ptrdiff_t test_write(int fd, const void *data, size_t len) {
    stream_counter_add(&calls_write, 1);
    if (interrupts > 0) {
        interrupts--;
        errno = EINTR;
        return -1;
    }
    return write(fd, data, len);
}

static ptrdiff_t test_read(int fd, void *data, size_t len) {
    stream_counter_add(&calls_read, 1);
    if (interrupts > 0) {
        interrupts--;
        errno = EINTR;
        return -1;
    }
    return read(fd, data, len);
}

static uint64_t calls(void) {
    return stream_counter_get(&calls_futex) + stream_counter_get(&calls_write) +
           stream_counter_get(&calls_read);
}

static uint64_t thread_cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Waits, without a fixed sleep, until so many threads have announced themselves. */
static void until_waiting(stream__sleepers *s, uint32_t count) {
    while ((stream__a32_load_seq_cst(&s->word) & STREAM__WAITING) < count) sched_yield();
}

static stream_channel_desc channel_of(size_t capacity) {
    stream_channel_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.queue.capacity = capacity;
    return desc;
}

static void channel_without_waiting(void) {
    stream_channel ch;
    stream_channel_desc desc = channel_of(0);
    stream_queue_usage usage;
    void *items[8], *back;
    size_t i, n;
    uint64_t before = calls();
    CHECK_EQ(stream_channel_init(&ch, &desc), STREAM_OK);
    CHECK_EQ(stream_channel_try_recv(&ch, items), STREAM_EMPTY);
    for (i = 1; i <= 100; i++) CHECK_EQ(stream_channel_try_send(&ch, item_of(i), NULL), STREAM_OK);
    CHECK_EQ(stream_channel_try_send(&ch, item_of(101), &back), STREAM_FULL);
    CHECK(back == NULL);
    CHECK_EQ(stream_channel_send(&ch, item_of(101), 0), STREAM_FULL);
    CHECK_EQ(stream_channel_send_urgent(&ch, item_of(1000), STREAM_FOREVER), STREAM_OK);
    CHECK_EQ(stream_channel_recv(&ch, items, STREAM_FOREVER), STREAM_OK);
    CHECK_EQ(number_of(items[0]), 1000);
    CHECK_EQ(stream_channel_recv_n(&ch, items, 8, 0, &n), STREAM_OK);
    CHECK_EQ(n, 8);
    for (i = 0; i < n; i++) CHECK_EQ(number_of(items[i]), i + 1);
    CHECK_EQ(stream_channel_send_n(&ch, items, 8, STREAM_FOREVER, &n), STREAM_OK);
    CHECK_EQ(n, 8);
    CHECK_EQ(stream_channel_send_n(&ch, items, 8, 0, &n), STREAM_FULL);
    CHECK_EQ(n, 0);
    stream_channel_close(&ch);
    stream_channel_close(&ch);
    CHECK_EQ(stream_channel_send(&ch, items, STREAM_FOREVER), STREAM_E_STATE);
    CHECK_EQ(stream_channel_send_urgent(&ch, items, STREAM_FOREVER), STREAM_E_STATE);
    CHECK_EQ(stream_channel_try_send(&ch, items, &back), STREAM_E_STATE);
    for (i = 9; i <= 100; i++) {
        CHECK_EQ(stream_channel_recv(&ch, items, STREAM_FOREVER), STREAM_OK);
        CHECK_EQ(number_of(items[0]), i);
    }
    CHECK_EQ(stream_channel_recv_n(&ch, items, 8, STREAM_FOREVER, &n), STREAM_OK);
    CHECK_EQ(n, 8);
    CHECK_EQ(stream_channel_recv(&ch, items, STREAM_FOREVER), STREAM_END);
    CHECK_EQ(stream_channel_try_recv(&ch, items), STREAM_END);
    CHECK_EQ(stream_channel_recv_n(&ch, items, 8, STREAM_FOREVER, &n), STREAM_END);
    CHECK_EQ(n, 0);
    stream_channel_stats(&ch, &usage);
    CHECK_EQ(usage.pushed, 109);
    CHECK_EQ(usage.popped, 109);
    CHECK_EQ(usage.refused, 1 + 1 + 8);
    stream_channel_free(&ch);
    stream_channel_free(&ch);
    CHECK_EQ(calls() - before, 0);
}

static void channel_policies(void) {
    int policy;
    for (policy = 1; policy <= 2; policy++) {
        stream_channel ch;
        stream_channel_desc desc = channel_of(2);
        void *back, *item;
        uint64_t i;
        desc.queue.overflow = (stream_overflow)policy;
        CHECK_EQ(stream_channel_init(&ch, &desc), STREAM_OK);
        CHECK_EQ(stream_channel_try_send(&ch, item_of(1), &back), STREAM_OK);
        CHECK_EQ(stream_channel_try_send(&ch, item_of(2), &back), STREAM_OK);
        CHECK(back == NULL);
        CHECK_EQ(stream_channel_try_send(&ch, item_of(3), &back), STREAM_OK);
        CHECK_EQ(number_of(back), policy == 1 ? 3 : 1);
        CHECK_EQ(stream_channel_send(&ch, item_of(4), 0), STREAM_FULL); /* send never drops */
        CHECK_EQ(stream_channel_recv(&ch, &item, 0), STREAM_OK);
        CHECK_EQ(number_of(item), policy == 1 ? 1 : 2);
        stream_channel_close(&ch);
        CHECK_EQ(stream_channel_try_send(&ch, item_of(5), &back), STREAM_E_STATE);
        CHECK(back == NULL);
        stream_channel_free(&ch);
        CHECK_EQ(stream_channel_init(&ch, &desc), STREAM_OK); /* and nobody asks for what is dropped */
        for (i = 1; i <= 5; i++) CHECK_EQ(stream_channel_try_send(&ch, item_of(i), NULL), STREAM_OK);
        CHECK_EQ(stream_channel_recv(&ch, &item, 0), STREAM_OK);
        CHECK_EQ(number_of(item), policy == 1 ? 1 : 4);
        stream_channel_free(&ch);
    }
}

static void channel_arguments(void) {
    stream_channel ch;
    stream_channel_desc desc = channel_of(SIZE_MAX);
    heap h;
    void *item;
    size_t got;
    CHECK_EQ(stream_channel_init(&ch, &desc), STREAM_E_ARGUMENT);
    stream_channel_free(&ch);
    desc = channel_of(3);
    desc.queue.allocator = heap_hook(&h);
    h.fail_at = 1;
    CHECK_EQ(stream_channel_init(&ch, &desc), STREAM_E_NOMEM);
    stream_channel_free(&ch);
    h.fail_at = 0;
    CHECK_EQ(stream_channel_init(&ch, NULL), STREAM_OK);
    CHECK_EQ(stream_channel_fd(&ch), -1);
    CHECK_EQ(stream_channel_arm(&ch), STREAM_E_STATE);
    /* 32767 threads wait already: number 32768 is sent away, and nothing is changed. */
    ch.receivers.word.v = STREAM__WAITING;
    CHECK_EQ(stream_channel_recv(&ch, &item, STREAM_FOREVER), NOBODY_WAITS ? STREAM_EMPTY : STREAM_E_STATE);
    CHECK_EQ(ch.receivers.word.v, STREAM__WAITING);
    ch.receivers.word.v = 0;
    while (stream_channel_try_send(&ch, &ch, NULL) == STREAM_OK) continue;
    ch.senders[0].word.v = STREAM__WAITING;
    CHECK_EQ(stream_channel_send(&ch, &ch, STREAM_FOREVER), NOBODY_WAITS ? STREAM_FULL : STREAM_E_STATE);
    CHECK_EQ(ch.senders[0].word.v, STREAM__WAITING);
    ch.senders[0].word.v = 0;
    CHECK_EQ(stream_channel_recv_n(&ch, &item, 0, STREAM_FOREVER, &got), STREAM_OK);
    CHECK_EQ(got, 0);
    stream_channel_free(&ch);
    /* The flow has a size of its own. */
    desc.flow.size = 1;
    desc.flow.low = 3;
    h.fail_at = 1; /* nothing is asked for */
    CHECK_EQ(stream_channel_init(&ch, &desc), STREAM_E_ARGUMENT); /* low above high, twice the size */
    desc = channel_of(3);
    desc.queue.allocator = heap_hook(&h);
    /* No descriptor to be had. */
    {
        struct rlimit was, none;
        CHECK_EQ(getrlimit(RLIMIT_NOFILE, &was), 0);
        none = was;
        none.rlim_cur = 0;
        desc.wake_fd = true;
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
        CHECK_EQ(stream_channel_init(&ch, &desc), STREAM_E_IO);
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &was), 0);
        stream_channel_free(&ch);
        CHECK_EQ(stream_channel_init(&ch, &desc), STREAM_OK);
        CHECK(stream_channel_fd(&ch) >= 0);
        stream_channel_free(&ch);
    }
    heap_check_empty(&h);
}

/* A signal at the wrong moment costs neither a wake-up nor an old one's reading. */
static void channel_descriptor_survives_signals(void) {
    stream_channel ch;
    stream_channel_desc desc = channel_of(0);
    struct pollfd p;
    void *item;
    desc.wake_fd = true;
    CHECK_EQ(stream_channel_init(&ch, &desc), STREAM_OK);
    p.fd = stream_channel_fd(&ch);
    p.events = POLLIN;
    CHECK_EQ(stream_channel_arm(&ch), STREAM_EMPTY);
    CHECK_EQ(stream_channel_arm(&ch), STREAM_EMPTY); /* it is already */
    interrupts = 2;
    CHECK_EQ(stream_channel_try_send(&ch, item_of(1), NULL), STREAM_OK);
    CHECK_EQ(interrupts, 0);
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(stream_channel_recv(&ch, &item, 0), STREAM_OK);
    interrupts = 2;
    CHECK_EQ(stream_channel_arm(&ch), STREAM_EMPTY);
    CHECK_EQ(interrupts, 0);
    CHECK_EQ(poll(&p, 1, 0), 0);
    stream_channel_free(&ch);
}

#ifdef STREAM_WAIT_PTHREAD
/* Each of the three places to sleep needs three things of the C library, which may refuse each. */
static void channel_without_anything_to_sleep_on(void) {
    stream_channel ch;
    stream_channel_desc desc = channel_of(3);
    heap h;
    int n;
    desc.queue.allocator = heap_hook(&h);
    for (n = 1; n <= 9; n++) {
        sleeper_refused = n;
        CHECK_EQ(stream_channel_init(&ch, &desc), STREAM_E_IO);
        CHECK_EQ(sleeper_refused, 0);
        heap_check_empty(&h);
    }
    CHECK_EQ(stream_channel_init(&ch, &desc), STREAM_OK);
    stream_channel_free(&ch);
    heap_check_empty(&h);
}
#endif

typedef struct sleeper {
    stream_channel *ch;
    uint64_t timeout_ns, took_ns, cpu_ns;
    bool sends;
    stream_status status;
    void *item;
} sleeper;

static void *sleep_in_channel(void *arg) {
    sleeper *s = (sleeper *)arg;
    uint64_t start = stream_now_ns(), cpu = thread_cpu_ns();
    s->status = s->sends ? stream_channel_send(s->ch, item_of(5), s->timeout_ns)
                         : stream_channel_recv(s->ch, &s->item, s->timeout_ns);
    s->cpu_ns = thread_cpu_ns() - cpu;
    s->took_ns = stream_now_ns() - start;
    return NULL;
}

/* Both sides: asleep for a while at no cost; the time runs out; close ends it; a hand-off ends it. */
static void channel_sleeps(void) {
    int sends, how;
    for (sends = 0; sends < 2; sends++) {
        for (how = 0; how < 3; how++) {
            stream_channel ch;
            stream_channel_desc desc = channel_of(1);
            sleeper s;
            pthread_t thread;
            void *item;
            memset(&s, 0, sizeof s);
            CHECK_EQ(stream_channel_init(&ch, &desc), STREAM_OK);
            if (sends) CHECK_EQ(stream_channel_send(&ch, item_of(4), 0), STREAM_OK);
            s.ch = &ch;
            s.sends = sends;
            s.timeout_ns = how == 0 ? 100000000 : STREAM_FOREVER;
            if (pthread_create(&thread, NULL, sleep_in_channel, &s) != 0) abort();
            if (how) {
                struct timespec a_while = {0, 100000000};
                until_waiting(sends ? &ch.senders[0] : &ch.receivers, 1);
                nanosleep(&a_while, NULL); /* what is measured is that nothing happens in it */
                if (how == 1) stream_channel_close(&ch);
                else if (sends) CHECK_EQ(stream_channel_recv(&ch, &item, 0), STREAM_OK);
                else CHECK_EQ(stream_channel_send(&ch, item_of(6), 0), STREAM_OK);
            }
            pthread_join(thread, NULL);
            CHECK(s.took_ns >= 100000000);
            CHECK(s.cpu_ns < 20000000);
            CHECK_EQ(s.status, how == 0 ? (sends ? STREAM_FULL : STREAM_EMPTY)
                               : how == 1 ? (sends ? STREAM_E_STATE : STREAM_END) : STREAM_OK);
            if (how == 2 && !sends) CHECK_EQ(number_of(s.item), 6);
            CHECK_EQ(ch.receivers.word.v, 0);
            CHECK_EQ(ch.senders[0].word.v, 0);
            stream_channel_free(&ch);
        }
    }
}

#ifndef STREAM__SLEEP_PTHREAD /* condition variables make system calls of their own */
/* One asleep, many items: one call wakes it, the others cost nothing until it sleeps again. */
static void channel_wakes_once(void) {
    stream_channel ch;
    stream_channel_desc desc = channel_of(64);
    sleeper s;
    pthread_t thread;
    uint64_t before;
    size_t i;
    memset(&s, 0, sizeof s);
    CHECK_EQ(stream_channel_init(&ch, &desc), STREAM_OK);
    s.ch = &ch;
    s.timeout_ns = STREAM_FOREVER;
    before = stream_counter_get(&calls_futex);
    if (pthread_create(&thread, NULL, sleep_in_channel, &s) != 0) abort();
    until_waiting(&ch.receivers, 1);
    for (i = 0; i < 64; i++) CHECK_EQ(stream_channel_send(&ch, item_of(i), 0), STREAM_OK);
    pthread_join(thread, NULL);
    CHECK_EQ(number_of(s.item), 0);
    CHECK(stream_counter_get(&calls_futex) - before <= 2); /* its sleep, if it got so far, and our wake */
    stream_channel_free(&ch);
}

#endif

typedef struct channel_case {
    stream_channel ch;
    size_t producers, each, chaos; /* one call in `chaos` is preceded by something that takes time */
    uint32_t *box;
    unsigned char *taken;
    stream_counter done, wrong, received, accepted;
    bool closes; /* somebody closes in the middle of it */
} channel_case;

typedef struct channel_worker {
    channel_case *c;
    size_t id;
} channel_worker;

static void dawdle(uint64_t *seed, size_t chaos) {
    volatile unsigned spin;
    struct timespec a_bit = {0, 1};
    if (below(seed, chaos)) return;
    switch (below(seed, 3)) {
    case 0: sched_yield(); break;
    case 1:
        for (spin = (unsigned)below(seed, 2000); spin > 0; spin--) {
        }
        break;
    default: nanosleep(&a_bit, NULL);
    }
}

static void channel_took(channel_case *c, void *item) {
    size_t n = (size_t)((uint32_t *)item - c->box);
    if (n >= c->producers * c->each || c->box[n] != n + 1 ||
        __atomic_exchange_n(&c->taken[n], 1, __ATOMIC_RELAXED))
        stream_counter_add(&c->wrong, 1);
    stream_counter_add(&c->received, 1);
}

static void *channel_producer(void *arg) {
    channel_worker *w = (channel_worker *)arg;
    channel_case *c = w->c;
    uint64_t seed = 1 + w->id;
    size_t sent = 0, first = w->id * c->each;
    stream_status st = STREAM_OK;
    while (sent < c->each && st != STREAM_E_STATE) {
        void *items[4];
        size_t n = 1 + below(&seed, COUNT(items)), i, got = 0;
        uint64_t timeout = below(&seed, 3) ? STREAM_FOREVER : below(&seed, 2000);
        if (n > c->each - sent) n = c->each - sent;
        for (i = 0; i < n; i++) {
            c->box[first + sent + i] = (uint32_t)(first + sent + i + 1);
            items[i] = &c->box[first + sent + i];
        }
        dawdle(&seed, c->chaos);
        if (n > 1) {
            st = stream_channel_send_n(&c->ch, items, n, timeout, &got);
        } else {
            st = stream_channel_send(&c->ch, items[0], timeout);
            got = st == STREAM_OK;
        }
        if (st == STREAM_OK ? got != n : got >= n) stream_counter_add(&c->wrong, 1);
        if (timeout == STREAM_FOREVER && st == STREAM_FULL) stream_counter_add(&c->wrong, 1);
        sent += got;
    }
    stream_counter_add(&c->accepted, sent);
    stream_counter_add(&c->done, 1);
    if (stream_counter_get(&c->done) == c->producers) stream_channel_close(&c->ch);
    return NULL;
}

static void *channel_consumer(void *arg) {
    channel_worker *w = (channel_worker *)arg;
    channel_case *c = w->c;
    uint64_t seed = 1000 + w->id;
    uint32_t last[MAX_THREADS] = {0};
    for (;;) {
        void *items[4];
        size_t n = 1 + below(&seed, COUNT(items)), got = 0, i;
        uint64_t timeout = below(&seed, 3) ? STREAM_FOREVER : below(&seed, 2000);
        stream_status st;
        dawdle(&seed, c->chaos);
        if (n > 1) {
            st = stream_channel_recv_n(&c->ch, items, n, timeout, &got);
        } else {
            st = stream_channel_recv(&c->ch, items, timeout);
            got = st == STREAM_OK;
        }
        for (i = 0; i < got; i++) {
            uint32_t number = *(uint32_t *)items[i];
            size_t producer = (number - 1) / c->each;
            channel_took(c, items[i]);
            if (number <= last[producer]) stream_counter_add(&c->wrong, 1);
            last[producer] = number;
        }
        if ((st == STREAM_OK) != (got > 0)) stream_counter_add(&c->wrong, 1);
        if (timeout == STREAM_FOREVER && st == STREAM_EMPTY) stream_counter_add(&c->wrong, 1);
        if (st == STREAM_END) return NULL;
    }
}

static void *channel_closer(void *arg) {
    channel_case *c = ((channel_worker *)arg)->c;
    while (stream_counter_get(&c->received) < c->each / 2) sched_yield();
    stream_channel_close(&c->ch);
    return NULL;
}

static void channel_threads(size_t producers, size_t consumers, size_t capacity, size_t each, size_t chaos,
                            bool closes, uint64_t start) {
    channel_case c;
    channel_worker worker[MAX_THREADS];
    stream_channel_desc desc = channel_of(capacity);
    crew workers;
    size_t i, missing = 0;
    memset(&c, 0, sizeof c);
    memset(&workers, 0, sizeof workers);
    desc.queue.start = start;
    c.producers = producers;
    c.each = each;
    c.chaos = chaos;
    c.closes = closes;
    c.box = (uint32_t *)calloc(producers * each, sizeof *c.box);
    c.taken = (unsigned char *)calloc(producers * each, 1);
    if (!c.box || !c.taken) abort();
    CHECK_EQ(stream_channel_init(&c.ch, &desc), STREAM_OK);
    for (i = 0; i < producers + consumers + closes; i++) {
        worker[i].c = &c;
        worker[i].id = i;
        if (i < producers) crew_add(&workers, channel_producer, &worker[i]);
        else crew_add(&workers, i < producers + consumers ? channel_consumer : channel_closer, &worker[i]);
    }
    crew_run(&workers);
    for (i = 0; i < producers * each; i++) missing += c.taken[i] == 0;
    CHECK_EQ(producers * each - missing, stream_counter_get(&c.accepted));
    if (!closes) CHECK_EQ(missing, 0);
    CHECK_EQ(stream_counter_get(&c.wrong), 0);
    CHECK_EQ(c.ch.receivers.word.v, 0);
    CHECK_EQ(c.ch.senders[0].word.v, 0);
    stream_channel_free(&c.ch);
    free(c.box);
    free(c.taken);
}

static void channel_hand_offs(void) {
    static const struct {
        size_t producers, consumers, capacity;
    } shape[] = {{1, 1, 1}, {2, 2, 1}, {2, 2, 3}, {1, 3, 2}, {3, 1, 2}, {2, 2, 64}, {1, 1, 100}};
    const char *text = getenv("TEST_HANDOFFS");
    size_t i, all = text ? (size_t)strtoul(text, NULL, 10) : scaled(400000), part = 2000000, left;
    for (i = 0; i < COUNT(shape); i++) {
        for (left = all / COUNT(shape); left; left -= left < part ? left : part) {
            size_t n = left < part ? left : part;
            channel_threads(shape[i].producers, shape[i].consumers, shape[i].capacity,
                            n / shape[i].producers + 1, 20, false, starts[i % COUNT(starts)]);
        }
    }
}

static void channel_close_loses_nothing(void) {
    size_t round;
    for (round = 0; round < scaled(300); round++)
        channel_threads(1 + round % 3, 1 + round % 2, 1 + round % 4, 200, 10, true,
                        starts[round % COUNT(starts)]);
}

/* As many receivers as items, each takes one and goes: whoever is told for nothing must not have cost
   another one its turn. */
static void *take_one(void *arg) {
    void *item;
    return item_of((uint64_t)stream_channel_recv((stream_channel *)arg, &item, STREAM_FOREVER) + 1);
}

static void *give_one(void *arg) {
    return item_of((uint64_t)stream_channel_send((stream_channel *)arg, arg, STREAM_FOREVER) + 1);
}

static void channel_everyone_is_served(void) {
    size_t round, i;
    stream_channel ch;
    stream_channel_desc desc = channel_of(1);
    CHECK_EQ(stream_channel_init(&ch, &desc), STREAM_OK);
    for (round = 0; round < scaled(2000); round++) {
        pthread_t thread[6];
        for (i = 0; i < 6; i++)
            if (pthread_create(&thread[i], NULL, (i + round) % 2 ? take_one : give_one, &ch) != 0) abort();
        for (i = 0; i < 6; i++) {
            void *status;
            pthread_join(thread[i], &status);
            if (number_of(status) != STREAM_OK + 1) CHECK_EQ(number_of(status), STREAM_OK + 1);
        }
    }
    CHECK_EQ(ch.receivers.word.v, 0);
    CHECK_EQ(ch.senders[0].word.v, 0);
    stream_channel_free(&ch);
}

/* An event loop: drain, arm, poll. Nothing is written to a loop that is awake. */
static void channel_in_event_loop(void) {
    channel_case c;
    channel_worker worker[2];
    stream_channel_desc desc = channel_of(8);
    crew workers;
    pthread_t thread[2];
    size_t i, missing = 0, arms = 0;
    uint64_t before = stream_counter_get(&calls_write);
    stream_status st = STREAM_OK;
    void *item;
    memset(&c, 0, sizeof c);
    memset(&workers, 0, sizeof workers);
    desc.wake_fd = true;
    c.producers = 2;
    c.each = scaled(20000);
    c.chaos = 10;
    c.box = (uint32_t *)calloc(c.producers * c.each, sizeof *c.box);
    c.taken = (unsigned char *)calloc(c.producers * c.each, 1);
    if (!c.box || !c.taken) abort();
    CHECK_EQ(stream_channel_init(&c.ch, &desc), STREAM_OK);
    CHECK_EQ(stream_channel_arm(&c.ch), STREAM_EMPTY);
    CHECK_EQ(stream_channel_send(&c.ch, &c.box[0], 0), STREAM_OK);
    CHECK_EQ(stream_channel_send(&c.ch, &c.box[0], 0), STREAM_OK);
    CHECK_EQ(stream_counter_get(&calls_write) - before, 1);
    CHECK_EQ(stream_channel_arm(&c.ch), STREAM_OK); /* something is there */
    CHECK_EQ(stream_channel_try_recv(&c.ch, &item), STREAM_OK);
    CHECK_EQ(stream_channel_try_recv(&c.ch, &item), STREAM_OK);
    before = stream_counter_get(&calls_write);
    for (i = 0; i < 2; i++) {
        worker[i].c = &c;
        worker[i].id = i;
        if (pthread_create(&thread[i], NULL, channel_producer, &worker[i]) != 0) abort();
    }
    while (st != STREAM_END) {
        struct pollfd p;
        while ((st = stream_channel_try_recv(&c.ch, &item)) == STREAM_OK) channel_took(&c, item);
        if (st == STREAM_END) break;
        arms++;
        if (stream_channel_arm(&c.ch) != STREAM_EMPTY) continue;
        p.fd = stream_channel_fd(&c.ch);
        p.events = POLLIN;
        CHECK_EQ(poll(&p, 1, -1), 1);
    }
    for (i = 0; i < 2; i++) pthread_join(thread[i], NULL);
    for (i = 0; i < c.producers * c.each; i++) missing += c.taken[i] == 0;
    CHECK_EQ(missing, 0);
    CHECK_EQ(stream_counter_get(&c.wrong), 0);
    CHECK(arms > 0);
    CHECK(stream_counter_get(&calls_write) - before <= arms);
    stream_channel_free(&c.ch);
    free(c.box);
    free(c.taken);
}

static void on_alarm(int signal) { (void)signal; }

/* Signals that interrupt every sleep change nothing: not the time it takes, not what comes out. */
static void channel_under_signals(void) {
    struct sigaction action, was;
    struct itimerval every = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    stream_channel ch;
    stream_channel_desc desc = channel_of(1);
    uint64_t start;
    void *item;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm; /* no SA_RESTART */
    sigaction(SIGALRM, &action, &was);
    CHECK_EQ(stream_channel_init(&ch, &desc), STREAM_OK);
    setitimer(ITIMER_REAL, &every, NULL);
    start = stream_now_ns();
    CHECK_EQ(stream_channel_recv(&ch, &item, 50000000), STREAM_EMPTY);
    CHECK(stream_now_ns() - start >= 50000000);
    channel_threads(1, 1, 1, scaled(5000), 5, false, 0);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &was, NULL);
    stream_channel_free(&ch);
}

/* ---- broadcast -------------------------------------------------------------------------------------- */

/* Item n is full of bytes that tell its number; its length is a matter of chance, but always the same. */
static size_t item_len(uint64_t n, size_t most) { return (size_t)((n * 2654435761u >> 7) % (most + 1)); }

static void item_fill(char *to, uint64_t n, size_t len) {
    size_t i;
    for (i = 0; i < len; i++) to[i] = (char)(unsigned char)((n + i * 5) & 0xff);
}

static bool item_right(const char *from, uint64_t n, size_t len, size_t most) {
    size_t i;
    if (len != item_len(n, most)) return false;
    for (i = 0; i < len; i++)
        if (from[i] != (char)(unsigned char)((n + i * 5) & 0xff)) return false;
    return true;
}

static uint64_t bytes_between(uint64_t from, uint64_t to, size_t most) {
    uint64_t sum = 0;
    for (; from != to; from++) sum += item_len(from, most);
    return sum;
}

/* Three readers of different manners against counting by hand: what is kept follows from the two bounds. */
static void broadcast_model(void) {
    static const size_t bounds[][2] = {{1, 8}, {1, 64}, {3, 64}, {4, 16}, {8, 24}, {100, 40}, {5, 1000}};
    uint64_t seed = 5;
    size_t b, s, step, i;
    for (b = 0; b < COUNT(bounds); b++) {
        for (s = 0; s < COUNT(starts); s++) {
            stream_broadcast cast;
            stream_broadcast_desc desc;
            stream_broadcast_reader reader[3];
            uint64_t next = starts[s], floor = next, oldest, newest;
            uint64_t lost[3] = {0, 0, 0}, lost_bytes[3] = {0, 0, 0};
            size_t most = bounds[b][1] < 30 ? bounds[b][1] : 30, used = 0;
            char buffer[64];
            heap h;
            memset(&desc, 0, sizeof desc);
            desc.max_items = bounds[b][0];
            desc.max_bytes = bounds[b][1];
            desc.max_held = 1;
            desc.start = starts[s];
            desc.allocator = heap_hook(&h);
            CHECK_EQ(stream_broadcast_init(&cast, &desc), STREAM_OK);
            CHECK_EQ(h.live, stream_broadcast_memory(&desc));
            for (i = 0; i < 3; i++)
                stream_broadcast_join(&cast, &reader[i], i ? STREAM_OVERRUN_NEWEST : STREAM_OVERRUN_OLDEST);
            for (step = 0; step < scaled(2000); step++) {
                size_t len, act = below(&seed, 9);
                stream_status st;
                stream_broadcast_reader *r = &reader[i = below(&seed, 3)];
                if (act < 3) { /* write */
                    size_t words;
                    uint64_t keep = floor;
                    size_t keep_used = used;
                    len = item_len(next, most);
                    words = (len + 7) / 8;
                    while (next - keep >= desc.max_items || keep_used + words > (desc.max_bytes + 7) / 8) {
                        keep_used -= (item_len(keep, most) + 7) / 8;
                        keep++;
                    }
                    item_fill(buffer, next, len);
                    st = stream_broadcast_write(&cast, buffer, len);
                    if (reader[2].held && (int64_t)(keep - reader[2].next) > 0) {
                        CHECK_EQ(st, STREAM_FULL);
                    } else {
                        CHECK_EQ(st, STREAM_OK);
                        floor = keep;
                        used = keep_used + words;
                        next++;
                    }
                } else if (act < 7) { /* read */
                    uint64_t at = r->next, want;
                    size_t cap = below(&seed, 4) ? sizeof buffer : below(&seed, most + 1);
                    memset(buffer, 0x55, sizeof buffer);
                    st = stream_broadcast_read(r, buffer, cap, &len);
                    if (at == next) {
                        CHECK_EQ(st, STREAM_EMPTY);
                    } else if ((int64_t)(floor - at) > 0) {
                        want = r->overrun == STREAM_OVERRUN_OLDEST ? floor : next - 1;
                        CHECK_EQ(st, STREAM_LOST);
                        CHECK_EQ(r->next, want);
                        CHECK_EQ(r->gap_items, want - at);
                        CHECK_EQ(r->gap_bytes, bytes_between(at, want, most));
                        lost[i] += want - at;
                        lost_bytes[i] += bytes_between(at, want, most);
                    } else if (item_len(at, most) > cap) {
                        CHECK_EQ(st, STREAM_FULL);
                        CHECK_EQ(len, item_len(at, most));
                        CHECK_EQ(r->next, at);
                    } else {
                        CHECK_EQ(st, STREAM_OK);
                        CHECK(item_right(buffer, at, len, most));
                        CHECK_EQ(buffer[len], 0x55);
                        CHECK_EQ(r->next, at + 1);
                    }
                    CHECK_EQ(r->lost_items, lost[i]);
                    CHECK_EQ(r->lost_bytes, lost_bytes[i]);
                } else if (act == 7) { /* look around */
                    uint64_t items, bytes;
                    stream_broadcast_range(&cast, &oldest, &newest);
                    CHECK_EQ(oldest, floor);
                    CHECK_EQ(newest, next);
                    stream_broadcast_lag(r, &items, &bytes);
                    CHECK_EQ(items, next - r->next);
                    CHECK_EQ(bytes, bytes_between(r->next, next, most));
                    CHECK_EQ(stream_broadcast_seek(r, next + 1), STREAM_E_RANGE);
                    if (r->held) {
                        CHECK_EQ(stream_broadcast_seek(r, r->next - 1), STREAM_E_STATE);
                    } else {
                        uint64_t to = floor + below(&seed, (size_t)(next - floor) + 1);
                        CHECK_EQ(stream_broadcast_seek(r, to), STREAM_OK);
                        CHECK_EQ(r->next, to);
                    }
                } else if (reader[2].held) {
                    stream_broadcast_let_go(&reader[2]);
                } else {
                    uint64_t at = reader[2].next;
                    CHECK_EQ(stream_broadcast_hold(&reader[2]), STREAM_OK);
                    if ((int64_t)(floor - at) > 0) { /* held from the oldest on: what is before is lost */
                        CHECK_EQ(reader[2].next, floor);
                        CHECK_EQ(reader[2].gap_items, floor - at);
                        lost[2] += floor - at;
                        lost_bytes[2] += bytes_between(at, floor, most);
                    } else {
                        CHECK_EQ(reader[2].next, at);
                    }
                    CHECK_EQ(reader[2].lost_items, lost[2]);
                    CHECK_EQ(reader[2].lost_bytes, lost_bytes[2]);
                    CHECK_EQ(stream_broadcast_hold(&reader[1]), STREAM_FULL);
                }
            }
            stream_broadcast_close(&cast);
            CHECK_EQ(stream_broadcast_write(&cast, "x", 1), STREAM_E_STATE);
            for (i = 0; i < 3; i++) {
                stream_status st;
                size_t len;
                while ((st = stream_broadcast_read(&reader[i], buffer, sizeof buffer, &len)) != STREAM_END)
                    CHECK(st == STREAM_OK || st == STREAM_LOST);
                CHECK_EQ(reader[i].next, next);
            }
            stream_broadcast_free(&cast);
            heap_check_empty(&h);
        }
    }
}

static void broadcast_arguments(void) {
    stream_broadcast cast;
    stream_broadcast_desc desc;
    stream_broadcast_reader r;
    uint64_t memory[64], items, bytes;
    char buffer[40];
    heap h;
    size_t len;
    CHECK_EQ(stream_broadcast_memory(NULL), 2048 * 16 + (1 << 20));
    CHECK_EQ(stream_broadcast_init(&cast, NULL), STREAM_OK);
    stream_broadcast_join(&cast, &r, STREAM_OVERRUN_OLDEST);
    CHECK_EQ(stream_broadcast_hold(&r), STREAM_FULL);
    stream_broadcast_let_go(&r);
    stream_broadcast_free(&cast);
    stream_broadcast_free(&cast);
    memset(&desc, 0, sizeof desc);
    desc.max_held = 1;
    CHECK_EQ(stream_broadcast_init(&cast, &desc), STREAM_OK);
    stream_broadcast_join(&cast, &r, STREAM_OVERRUN_OLDEST);
    CHECK_EQ(stream_broadcast_hold(&r), STREAM_OK);
    CHECK_EQ(stream_broadcast_hold(&r), STREAM_OK); /* it holds already: the one place there is */
    CHECK_EQ(stream_broadcast_write(&cast, "abc", 3), STREAM_OK);
    CHECK_EQ(stream_broadcast_read(&r, buffer, sizeof buffer, &len), STREAM_OK);
    CHECK_EQ(stream_broadcast_seek(&r, 0), STREAM_E_STATE); /* back to what it has let go */
    CHECK_EQ(stream_broadcast_seek(&r, 1), STREAM_OK);
    stream_broadcast_free(&cast);
    memset(&desc, 0, sizeof desc);
    desc.max_items = SIZE_MAX / 256 + 1;
    CHECK_EQ(stream_broadcast_memory(&desc), 0);
    CHECK_EQ(stream_broadcast_init(&cast, &desc), STREAM_E_ARGUMENT);
    desc.max_items = 2;
    desc.max_bytes = SIZE_MAX / 8 + 1;
    CHECK_EQ(stream_broadcast_init(&cast, &desc), STREAM_E_ARGUMENT);
    desc.max_bytes = 32;
    desc.max_held = SIZE_MAX / 8;
    CHECK_EQ(stream_broadcast_init(&cast, &desc), STREAM_E_ARGUMENT);
    desc.max_held = 0;
    desc.allocator = heap_hook(&h);
    h.fail_at = 1;
    CHECK_EQ(stream_broadcast_init(&cast, &desc), STREAM_E_NOMEM);
    stream_broadcast_free(&cast);
    heap_check_empty(&h);
    desc.memory = memory;
    CHECK(stream_broadcast_memory(&desc) <= sizeof memory);
    CHECK_EQ(stream_broadcast_init(&cast, &desc), STREAM_OK);
    stream_broadcast_join(&cast, &r, STREAM_OVERRUN_OLDEST);
    CHECK_EQ(stream_broadcast_write(&cast, "0123456789012345678901234567890123", 33), STREAM_E_TOO_LONG);
    CHECK_EQ(stream_broadcast_write(&cast, "01234567890123456789012345678901", 32), STREAM_OK);
    CHECK_EQ(stream_broadcast_write(&cast, "", 0), STREAM_OK);
    CHECK_EQ(stream_broadcast_read(&r, buffer, sizeof buffer, &len), STREAM_OK);
    CHECK_TEXT(buffer, len, "01234567890123456789012345678901");
    CHECK_EQ(stream_broadcast_read(&r, buffer, 0, &len), STREAM_OK);
    CHECK_EQ(len, 0);
    CHECK_EQ(stream_broadcast_seek(&r, 0), STREAM_OK);
    CHECK_EQ(stream_broadcast_write(&cast, "abc", 3), STREAM_OK); /* a third item: the first goes */
    CHECK_EQ(stream_broadcast_seek(&r, 0), STREAM_LOST);
    stream_broadcast_lag(&r, &items, &bytes);
    CHECK_EQ(items, 3);
    CHECK_EQ(bytes, 0); /* nothing tells how long the first was */
    CHECK_EQ(stream_broadcast_read(&r, buffer, sizeof buffer, &len), STREAM_LOST);
    CHECK_EQ(r.gap_items, 1);
    CHECK_EQ(r.gap_bytes, 0); /* nothing tells how long it was */
    CHECK_EQ(stream_broadcast_read(&r, buffer, sizeof buffer, &len), STREAM_OK);
    CHECK_EQ(len, 0);
    CHECK_EQ(stream_broadcast_read(&r, buffer, sizeof buffer, &len), STREAM_OK);
    CHECK_TEXT(buffer, len, "abc");
    stream_broadcast_free(&cast);
    heap_check_empty(&h);
}

typedef struct cast_case {
    stream_broadcast cast;
    stream_broadcast_reader reader[3];
    uint64_t first, count;
    size_t most;
    stream_counter wrong, joined;
} cast_case;

typedef struct cast_worker {
    cast_case *c;
    size_t id;
} cast_worker;

static void *cast_writer(void *arg) {
    cast_case *c = ((cast_worker *)arg)->c;
    uint64_t n, seed = 77;
    char buffer[64];
    while (stream_counter_get(&c->joined) < 2) sched_yield();
    for (n = c->first; n != c->first + c->count; n++) {
        size_t len = item_len(n, c->most);
        item_fill(buffer, n, len);
        while (stream_broadcast_write(&c->cast, buffer, len) == STREAM_FULL) sched_yield();
        if (below(&seed, 50) == 0) sched_yield();
    }
    stream_broadcast_close(&c->cast);
    return NULL;
}

/* Readers 0 and 1 may lose, 2 is held on to. Each item is either read, right and in order, or counted. */
static void *cast_reader(void *arg) {
    cast_worker *w = (cast_worker *)arg;
    cast_case *c = w->c;
    stream_broadcast_reader *r = &c->reader[w->id];
    uint64_t expect, lost = 0, lost_bytes = 0, read_bytes = 0, read = 0, seed = w->id;
    char buffer[64];
    if (w->id < 2) {
        stream_broadcast_join(&c->cast, r, w->id ? STREAM_OVERRUN_NEWEST : STREAM_OVERRUN_OLDEST);
        stream_counter_add(&c->joined, 1);
    }
    expect = r->next;
    for (;;) {
        size_t len;
        stream_status st = stream_broadcast_read(r, buffer, sizeof buffer, &len);
        if (st == STREAM_OK) {
            if (!item_right(buffer, expect, len, c->most)) stream_counter_add(&c->wrong, 1);
            expect++;
            read++;
            read_bytes += len;
        } else if (st == STREAM_LOST) {
            if (r->gap_items == 0 || r->next != expect + r->gap_items || w->id == 2)
                stream_counter_add(&c->wrong, 1);
            lost += r->gap_items;
            lost_bytes += r->gap_bytes;
            expect = r->next;
        } else if (st == STREAM_EMPTY) {
            sched_yield();
        } else {
            break;
        }
        if (below(&seed, 100) == 0) sched_yield();
    }
    if (read + lost != c->count || lost != r->lost_items || lost_bytes != r->lost_bytes ||
        read_bytes + lost_bytes != bytes_between(c->first, c->first + c->count, c->most))
        stream_counter_add(&c->wrong, 1);
    stream_broadcast_let_go(r);
    return NULL;
}

static void broadcast_between_threads(void) {
    static const size_t bounds[][2] = {{1, 64}, {2, 64}, {4, 40}, {64, 256}, {1000, 4096}};
    size_t b, i, held;
    for (b = 0; b < COUNT(bounds); b++) {
        for (held = 0; held < 2; held++) {
            cast_case c;
            cast_worker worker[4];
            stream_broadcast_desc desc;
            crew workers;
            memset(&c, 0, sizeof c);
            memset(&desc, 0, sizeof desc);
            memset(&workers, 0, sizeof workers);
            desc.max_items = bounds[b][0];
            desc.max_bytes = bounds[b][1];
            desc.max_held = 1;
            desc.start = c.first = starts[b % COUNT(starts)];
            c.count = scaled(held ? 20000 : 100000);
            c.most = 40;
            CHECK_EQ(stream_broadcast_init(&c.cast, &desc), STREAM_OK);
            if (held) {
                stream_broadcast_join(&c.cast, &c.reader[2], STREAM_OVERRUN_OLDEST);
                CHECK_EQ(stream_broadcast_hold(&c.reader[2]), STREAM_OK);
            }
            for (i = 0; i < 3 + held; i++) {
                worker[i].c = &c;
                worker[i].id = i ? i - 1 : 0;
                crew_add(&workers, i ? cast_reader : cast_writer, &worker[i]);
            }
            crew_run(&workers);
            CHECK_EQ(stream_counter_get(&c.wrong), 0);
            if (held) CHECK_EQ(c.reader[2].lost_items, 0);
            stream_broadcast_free(&c.cast);
        }
    }
}

/* ---- flow, over time -------------------------------------------------------------------------------- */

typedef struct loop { /* what came of a closed loop */
    uint64_t max_lag, consumed, ms, idle_ms, worst_recovery_ns, slowed;
} loop;

/* A producer that has bursts of 2000 to send, up to 20 in each millisecond, and heeds the advice; a consumer
   that takes cost_us for each (0: none at all). A fake clock ticks in steps of 100 us. */
static loop closed_loop(uint64_t cost_us, uint64_t ms, uint64_t chunk) {
    stream_flow flow;
    stream_flow_monitor monitor;
    uint64_t tick, resume_ns = 0, backlog = 0, spent_us = 0, queue = 0;
    loop l;
    memset(&l, 0, sizeof l);
    memset(&monitor, 0, sizeof monitor);
    CHECK_EQ(stream_flow_init(&flow, NULL), STREAM_OK);
    for (tick = 0; tick < ms * 10; tick++) {
        uint64_t now_ns = 1000 + tick * 100000, pause;
        if (tick % 5000 == 0 && backlog < 2000) backlog += 2000;
        if (tick % 10 == 0) { /* up to twenty in a millisecond, in sends of `chunk` */
            uint64_t sent = 0;
            while (sent < 20 && backlog && now_ns >= resume_ns) {
                pause = stream_flow_advise_ns(&flow, now_ns);
                if (pause) {
                    CHECK(pause <= 100000000);
                    resume_ns = now_ns + pause;
                    break;
                }
                stream_flow_sent(&flow, chunk);
                queue += chunk;
                sent += chunk;
                backlog -= chunk < backlog ? chunk : backlog;
            }
        }
        if (cost_us == 0) {
            stream_flow_consumed(&flow, queue);
            l.consumed += queue;
            queue = 0;
        } else if (queue) {
            for (spent_us += 100; queue && spent_us >= cost_us; spent_us -= cost_us) {
                stream_flow_consumed(&flow, 1);
                l.consumed++;
                queue--;
            }
        } else if (backlog) {
            l.idle_ms++; /* in tenths, for now: it could have worked, and there was something to do */
        }
        stream_flow_watch(&monitor, &flow, now_ns);
        if (monitor.lag != queue) CHECK_EQ(monitor.lag, queue);
    }
    l.idle_ms /= 10;
    l.max_lag = stream_flow_max_lag(&flow);
    l.ms = ms;
    l.worst_recovery_ns = monitor.worst_recovery_ns;
    l.slowed = monitor.times_slowed;
    CHECK_EQ(monitor.consumed, l.consumed);
    CHECK_EQ(monitor.max_lag, l.max_lag);
    return l;
}

static void flow_closed_loop(void) {
    static const uint64_t cost_us[] = {0, 1000, 10000}, chunks[] = {1, 5, 20};
    size_t i, k;
    for (i = 0; i < COUNT(cost_us); i++) {
        for (k = 0; k < COUNT(chunks); k++) {
            loop l = closed_loop(cost_us[i], 20000, chunks[k]);
            if (cost_us[i] == 0) {
                CHECK_EQ(l.consumed, 80000); /* forty bursts, all of them: it was never held up */
                CHECK(l.max_lag <= 20);
            } else {
                CHECK(l.consumed * 100 >= 20000000 / cost_us[i] * 95);
                CHECK(l.max_lag <= 100 + chunks[k]); /* size, and one send */
            }
            /* Twenty at once are twice the target of the slowest: only then it is too much for a moment. */
            CHECK_EQ(l.slowed > 0, cost_us[i] == 10000 && chunks[k] == 20);
            CHECK_EQ(l.worst_recovery_ns > 0, l.slowed > 0);
            CHECK(l.worst_recovery_ns <= 200000000);
        }
    }
}

/* A consumer that gets slower, and one that gets faster: the advice follows. */
static void flow_follows_the_consumer(void) {
    stream_flow flow;
    uint64_t ms, queue = 0, resume = 0, taken[4] = {0, 0, 0, 0}, largest[4] = {0, 0, 0, 0};
    static const uint64_t cost_ms[4] = {2, 10, 1, 5};
    CHECK_EQ(stream_flow_init(&flow, NULL), STREAM_OK);
    for (ms = 0; ms < 40000; ms++) {
        size_t phase = (size_t)(ms / 10000);
        while (ms >= resume) {
            uint64_t pause = stream_flow_advise_ns(&flow, ms * 1000000);
            if (pause) {
                resume = ms + (pause + 999999) / 1000000;
            } else {
                stream_flow_sent(&flow, 1);
                queue++;
            }
        }
        if (ms % 10000 > 3000 && queue > largest[phase]) largest[phase] = queue;
        if (queue && ms % cost_ms[phase] == 0) {
            stream_flow_consumed(&flow, 1);
            queue--;
            taken[phase]++;
        }
    }
    for (ms = 0; ms < 4; ms++) {
        CHECK(taken[ms] * cost_ms[ms] >= 9500);
        CHECK(largest[ms] <= 110 / cost_ms[ms] + 2); /* after three seconds: target_ns of work */
    }
}

/* Nothing is known at first: a few go out, then the producer is asked to wait, not longer than a millisecond
   or so; a consumer that stops altogether is waited for, 100 ms at a time. */
static void flow_first_advice(void) {
    stream_flow flow;
    uint64_t sent = 0, now = 0;
    CHECK_EQ(stream_flow_init(&flow, NULL), STREAM_OK);
    while (stream_flow_advise_ns(&flow, now) == 0 && sent < 100) stream_flow_sent(&flow, 1), sent++;
    CHECK_EQ(sent, 7); /* a sixteenth of 100, and one */
    CHECK_EQ(stream_flow_advise_ns(&flow, now), 1000001);
    now = 50000000;
    stream_flow_consumed(&flow, 1); /* 50 ms each, it seems: the target is two */
    CHECK_EQ(stream_flow_advise_ns(&flow, now), 100000000);
    CHECK(stream_flow_slow(&flow));
    stream_flow_consumed(&flow, 3);
    CHECK_EQ(stream_flow_lag(&flow), 3);
    now += 150000000;
    CHECK_EQ(stream_flow_advise_ns(&flow, now), 100000000); /* two too many, and three is still slow */
    CHECK(stream_flow_slow(&flow));
    stream_flow_consumed(&flow, 1);
    now += 50000000;
    CHECK_EQ((stream_flow_advise_ns(&flow, now) + 500000) / 1000000, 50); /* one too many */
    CHECK(!stream_flow_slow(&flow));
    stream_flow_consumed(&flow, 2);
    now += 100000000;
    CHECK_EQ(stream_flow_advise_ns(&flow, now), 0);
    CHECK(!stream_flow_slow(&flow));
    now += UINT64_C(1) << 60; /* half a lifetime of silence is no measurement */
    CHECK_EQ(stream_flow_advise_ns(&flow, now), 0);
    stream_flow_sent(&flow, 1);
    CHECK_EQ(stream_flow_advise_ns(&flow, now), 0);
}

/* Targets and times at the ends of what 64 bits hold. */
static void flow_at_the_limits(void) {
    stream_flow flow;
    stream_flow_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.size = 100;
    desc.target_ns = UINT64_MAX; /* any lag is soon enough: as much as the queue holds */
    CHECK_EQ(stream_flow_init(&flow, &desc), STREAM_OK);
    stream_flow_sent(&flow, 250);
    CHECK_EQ(stream_flow_advise_ns(&flow, 0), UINT64_MAX / 100 + 1); /* nothing is known yet */
    stream_flow_consumed(&flow, 100);
    CHECK_EQ(stream_flow_advise_ns(&flow, 1000000), 510000); /* 10 us each, 51 too many */
    stream_flow_sent(&flow, 50000);
    CHECK_EQ(stream_flow_advise_ns(&flow, 1000000), 100000000);
    CHECK(stream_flow_slow(&flow));
    /* Units that take longer than the target: two of them all the same. */
    desc.target_ns = 1000;
    CHECK_EQ(stream_flow_init(&flow, &desc), STREAM_OK);
    stream_flow_sent(&flow, 3);
    CHECK_EQ(stream_flow_advise_ns(&flow, 0), 0);
    stream_flow_consumed(&flow, 1);
    CHECK_EQ(stream_flow_advise_ns(&flow, 1000000), 1000000);
    stream_flow_consumed(&flow, 1);
    CHECK_EQ(stream_flow_advise_ns(&flow, 1000000), 0);
    /* Units that take no time at all, and a clock that stands at 0 when the flow turns slow. */
    desc.target_ns = 1;
    desc.size = 2000;
    CHECK_EQ(stream_flow_init(&flow, &desc), STREAM_OK);
    stream_flow_sent(&flow, 10000);
    CHECK_EQ(stream_flow_advise_ns(&flow, UINT64_MAX), 1);
    stream_flow_consumed(&flow, 8000);
    CHECK_EQ(stream_flow_advise_ns(&flow, 0), 1); /* never nothing, when something is too many */
    CHECK(stream_flow_slow(&flow));
    stream_flow_consumed(&flow, 1500);
    CHECK_EQ(stream_flow_advise_ns(&flow, 2), 0);
    CHECK(!stream_flow_slow(&flow));
}

static void flow_monitor(void) {
    stream_flow flow;
    stream_flow_monitor m, coarse;
    uint64_t s = 1000000000;
    memset(&m, 0, sizeof m);
    memset(&coarse, 0, sizeof coarse);
    coarse.window_ns = 10 * s;
    CHECK_EQ(stream_flow_init(&flow, NULL), STREAM_OK);
    stream_flow_sent(&flow, 5); /* before anybody watches: not in the rate */
    stream_flow_watch(&m, &flow, 7 * s);
    stream_flow_watch(&coarse, &flow, 7 * s);
    CHECK_EQ(m.sent_per_s, 0);
    CHECK_EQ(m.lag, 5);
    stream_flow_sent(&flow, 300);
    stream_flow_consumed(&flow, 105);
    stream_flow_watch(&m, &flow, 7 * s + s / 2);
    CHECK_EQ(m.sent_per_s, 600);
    CHECK_EQ(m.consumed_per_s, 210);
    CHECK_EQ(m.sent, 305);
    CHECK_EQ(m.consumed, 105);
    CHECK_EQ(m.lag, 200);
    CHECK_EQ(m.max_lag, 305);
    CHECK(m.slow);
    CHECK_EQ(m.times_slowed, 1);
    stream_flow_watch(&m, &flow, 8 * s);
    CHECK_EQ(m.sent_per_s, 300);
    stream_flow_watch(&m, &flow, 9 * s); /* the window has moved on: the burst is two seconds old */
    CHECK_EQ(m.sent_per_s, 0);
    stream_flow_watch(&coarse, &flow, 9 * s);
    CHECK_EQ(coarse.sent_per_s, 150);
    stream_flow_sent(&flow, UINT64_C(3000000000));
    stream_flow_watch(&m, &flow, 10 * s);
    CHECK_EQ(m.sent_per_s, 3000000000 / 1);
    stream_flow_watch(&coarse, &flow, 7 * s + (UINT64_C(1) << 40) * 10);
    CHECK_EQ(coarse.sent_per_s, 272848); /* 3000000300 in three hours, or 10995.116 s */
}

/* A channel advises from what its queue has counted; a sender that heeds it never meets a full channel. */
static void flow_of_a_channel(void) {
    stream_channel ch;
    stream_channel_desc desc = channel_of(64);
    stream_flow_monitor monitor;
    uint64_t ms, sent = 0, taken = 0, resume = 0;
    void *item;
    memset(&monitor, 0, sizeof monitor);
    desc.flow.low = 300;
    CHECK_EQ(stream_channel_init(&ch, &desc), STREAM_E_ARGUMENT); /* above high, which is twice 64 */
    stream_channel_free(&ch);
    desc.flow.low = 0;
    desc.queue.start = UINT64_MAX - 100;
    CHECK_EQ(stream_channel_init(&ch, &desc), STREAM_OK);
    for (ms = 0; ms < 5000; ms++) {
        while (ms >= resume) {
            uint64_t pause = stream_channel_advise_ns(&ch, ms * 1000000);
            if (pause) {
                resume = ms + (pause + 999999) / 1000000;
            } else {
                stream_status st = stream_channel_send(&ch, item_of(++sent), 0);
                if (st != STREAM_OK) CHECK_EQ(st, STREAM_OK);
            }
        }
        if (ms % 4 == 0 && stream_channel_try_recv(&ch, &item) == STREAM_OK) taken++;
        stream_flow_watch(&monitor, stream_channel_flow(&ch), ms * 1000000);
    }
    CHECK(taken >= 5000 / 4 * 95 / 100);
    CHECK(monitor.max_lag <= 64);
    CHECK(monitor.lag >= 20 && monitor.lag <= 27); /* 100 ms of work, and a little */
    CHECK(monitor.sent <= sent && monitor.sent + 1 >= sent);
    CHECK(monitor.consumed_per_s >= 230 && monitor.consumed_per_s <= 270);
    ch.asking.v = 1; /* another sender is asking */
    CHECK_EQ(stream_channel_advise_ns(&ch, 0), 0);
    ch.asking.v = 0;
    stream_channel_free(&ch);
}

static void *credits_taker(void *arg) {
    stream_credits *c = (stream_credits *)arg;
    uint64_t got = 0, seed = 3;
    while (got < 50000) {
        uint64_t want = 1 + below(&seed, 5), n;
        if (want > 50000 - got) want = 50000 - got;
        if (below(&seed, 2)) n = stream_credits_take_some(c, want);
        else n = stream_credits_take(c, want) == STREAM_OK ? want : 0;
        got += n;
        if (n == 0) sched_yield();
    }
    return NULL;
}

static void *credits_giver(void *arg) {
    stream_credits *c = (stream_credits *)arg;
    uint64_t given = 0;
    for (; given < 100000; given += 4) stream_credits_give(c, 4);
    return NULL;
}

static void flow_credits(void) {
    stream_credits c;
    crew workers;
    memset(&c, 0, sizeof c);
    memset(&workers, 0, sizeof workers);
    CHECK_EQ(stream_credits_take(&c, 1), STREAM_FULL);
    CHECK_EQ(stream_credits_take(&c, 0), STREAM_OK);
    CHECK_EQ(stream_credits_take_some(&c, 9), 0);
    stream_credits_give(&c, 7);
    CHECK_EQ(stream_credits_take(&c, 8), STREAM_FULL);
    CHECK_EQ(stream_credits_take(&c, 3), STREAM_OK);
    CHECK_EQ(stream_credits_left(&c), 4);
    CHECK_EQ(stream_credits_take_some(&c, 9), 4);
    CHECK_EQ(stream_credits_left(&c), 0);
    crew_add(&workers, credits_taker, &c);
    crew_add(&workers, credits_taker, &c);
    crew_add(&workers, credits_giver, &c);
    crew_run(&workers);
    CHECK_EQ(stream_credits_left(&c), 0);
}

/* ---- diff ------------------------------------------------------------------------------------------- */

static void diff_rows(void) {
    stream_diff diff;
    stream_diff_row row;
    const char *was = "one\ntwo\n\nfour", *now = "one\n2\n\nfour\nfive\n";
    stream_diff_init(&diff, was, strlen(was), now, strlen(now));
    CHECK_EQ(stream_diff_next(&diff, &row), STREAM_OK);
    CHECK_EQ(row.kind, STREAM_DIFF_CHANGED);
    CHECK_EQ(row.row, 1);
    CHECK_TEXT(row.was.ptr, row.was.len, "two");
    CHECK_TEXT(row.now.ptr, row.now.len, "2");
    CHECK_EQ(stream_diff_next(&diff, &row), STREAM_OK);
    CHECK_EQ(row.kind, STREAM_DIFF_ADDED);
    CHECK_EQ(row.row, 4);
    CHECK_TEXT(row.now.ptr, row.now.len, "five");
    CHECK_EQ(row.was.len, 0);
    CHECK_EQ(stream_diff_next(&diff, &row), STREAM_END);
    CHECK_EQ(stream_diff_next(&diff, &row), STREAM_END);
    stream_diff_init(&diff, "a\n", 2, NULL, 0);
    CHECK_EQ(stream_diff_next(&diff, &row), STREAM_OK);
    CHECK_EQ(row.kind, STREAM_DIFF_REMOVED);
    CHECK_TEXT(row.was.ptr, row.was.len, "a");
    CHECK_EQ(stream_diff_next(&diff, &row), STREAM_END);
    stream_diff_init(&diff, NULL, 0, NULL, 0);
    CHECK_EQ(stream_diff_next(&diff, &row), STREAM_END);
}

/* Applied to the old screen, the differences give the new one; and no row that is equal is among them. */
static void diff_rebuilds(void) {
    uint64_t seed = 9;
    size_t round;
    for (round = 0; round < scaled(20000); round++) {
        char text[2][64], rows[32][64], want[32][64];
        size_t len[2], count[2] = {0, 0}, width[2][32], k, i, last = 0;
        stream_diff diff;
        stream_diff_row row;
        for (k = 0; k < 2; k++) {
            len[k] = below(&seed, 24);
            for (i = 0; i < len[k]; i++) text[k][i] = "ab\n"[below(&seed, 3)];
            if (k && below(&seed, 2)) { /* mostly the same */
                memcpy(text[1], text[0], len[0]);
                len[1] = len[0];
                if (len[0]) text[1][below(&seed, len[0])] = 'c';
            }
            for (i = 0; i < len[k];) { /* split by hand */
                size_t n = 0;
                while (i + n < len[k] && text[k][i + n] != '\n') n++;
                memcpy(k ? want[count[k]] : rows[count[k]], text[k] + i, n);
                width[k][count[k]++] = n;
                i += n + 1;
            }
        }
        stream_diff_init(&diff, text[0], len[0], text[1], len[1]);
        while (stream_diff_next(&diff, &row) == STREAM_OK) {
            CHECK(row.row >= last);
            last = row.row + 1;
            CHECK_EQ(row.kind, row.row >= count[0]   ? STREAM_DIFF_ADDED
                               : row.row >= count[1] ? STREAM_DIFF_REMOVED : STREAM_DIFF_CHANGED);
            if (row.kind == STREAM_DIFF_CHANGED)
                CHECK(row.was.len != row.now.len || memcmp(row.was.ptr, row.now.ptr, row.was.len) != 0);
            if (row.kind != STREAM_DIFF_ADDED)
                CHECK_BYTES(row.was.ptr, row.was.len, rows[row.row], width[0][row.row]);
            memcpy(rows[row.row], row.now.ptr, row.now.len);
            width[0][row.row] = row.kind == STREAM_DIFF_REMOVED ? 0 : row.now.len;
        }
        for (i = 0; i < count[1]; i++) CHECK_BYTES(rows[i], width[0][i], want[i], width[1][i]);
    }
}

/* ---- fork ------------------------------------------------------------------------------------------- */

static stream_channel fork_channel;
static long fork_receiver_id;
static void *fork_receiver(void *arg) {
    uint64_t *got = (uint64_t *)arg;
    void *item;
#ifdef __linux__
    __atomic_store_n(&fork_receiver_id, syscall(SYS_gettid), __ATOMIC_RELEASE);
#endif
    while (stream_channel_recv(&fork_channel, &item, STREAM_FOREVER) == STREAM_OK)
        *got += number_of(item) == *got + 1;
    return NULL;
}

/* Until the thread sleeps in the kernel. To be counted as waiting is not enough here: on its way to sleep it
   holds a lock for a moment, if channels sleep on condition variables, and is inside a call. */
static void until_asleep(const long *id) {
#ifdef __linux__
    char path[64], stat[128] = "", *state;
    FILE *f;
    do {
        sched_yield();
        snprintf(path, sizeof path, "/proc/self/task/%ld/stat", __atomic_load_n(id, __ATOMIC_ACQUIRE));
        f = fopen(path, "r");
        if (!f) return; /* no such thing under an emulator, which has futexes */
        if (!fgets(stat, sizeof stat, f)) stat[0] = '\0';
        fclose(f);
        state = strrchr(stat, ')');
    } while (!state || state[1] == '\0' || state[2] != 'S');
#else
    (void)id;
#endif
}

/* A thread sleeps in the channel while the process forks. The child has all objects as they were, without
   that thread; it uses and frees them. The parent does not notice. */
static void fork_leaves_two_that_work(void) {
    static stream_ring ring;
    static stream_queue queue;
    static stream_broadcast cast;
    stream_broadcast_reader reader;
    stream_channel_desc desc = channel_of(4);
    pthread_t thread;
    uint64_t got = 0, n;
    size_t len;
    void *item;
    char buffer[8];
    int status = -1;
    pid_t child;
    CHECK_EQ(stream_ring_init(&ring, NULL), STREAM_OK);
    CHECK_EQ(stream_queue_init(&queue, NULL), STREAM_OK);
    CHECK_EQ(stream_channel_init(&fork_channel, &desc), STREAM_OK);
    CHECK_EQ(stream_broadcast_init(&cast, NULL), STREAM_OK);
    stream_broadcast_join(&cast, &reader, STREAM_OVERRUN_OLDEST);
    stream_ring_write(&ring, "abc", 3, &len);
    stream_queue_push(&queue, item_of(7), NULL);
    stream_broadcast_write(&cast, "xyz", 3);
    if (pthread_create(&thread, NULL, fork_receiver, &got) != 0) abort();
    until_waiting(&fork_channel.receivers, 1);
    until_asleep(&fork_receiver_id);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        bool fine = stream_ring_read(&ring, buffer, 8, &len) == STREAM_OK && len == 3;
        fine = fine && stream_queue_pop(&queue, &item) == STREAM_OK && number_of(item) == 7;
        fine = fine && stream_broadcast_read(&reader, buffer, 8, &len) == STREAM_OK;
        fine = fine && len == 3 && memcmp(buffer, "xyz", 3) == 0;
        fine = fine && stream_channel_send(&fork_channel, item_of(1), STREAM_FOREVER) == STREAM_OK;
        fine = fine && stream_channel_recv(&fork_channel, &item, STREAM_FOREVER) == STREAM_OK;
        fine = fine && number_of(item) == 1;
        fine = fine && stream_channel_recv(&fork_channel, &item, 1000) == STREAM_EMPTY;
        stream_channel_close(&fork_channel);
        fine = fine && stream_channel_recv(&fork_channel, &item, STREAM_FOREVER) == STREAM_END;
        stream_channel_free(&fork_channel);
        stream_broadcast_free(&cast);
        stream_queue_free(&queue);
        stream_ring_free(&ring);
        _exit(fine ? 0 : 1);
    }
    CHECK(child > 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    for (n = 1; n <= 100; n++)
        CHECK_EQ(stream_channel_send(&fork_channel, item_of(n), STREAM_FOREVER), STREAM_OK);
    stream_channel_close(&fork_channel);
    pthread_join(thread, NULL);
    CHECK_EQ(got, 100);
    CHECK_EQ(stream_ring_read(&ring, buffer, 8, &len), STREAM_OK);
    CHECK_EQ(stream_queue_pop(&queue, &item), STREAM_OK);
    CHECK_EQ(stream_broadcast_read(&reader, buffer, 8, &len), STREAM_OK);
    stream_channel_free(&fork_channel);
    stream_broadcast_free(&cast);
    stream_queue_free(&queue);
    stream_ring_free(&ring);
}

#ifdef STREAM_NO_THREADS
#define RUN_THREADED(function) ((void)function) /* there is but one */
#else
#define RUN_THREADED(function) RUN(function)
#endif

int main(void) {
    TEST_PROGRAM("rings");
    RUN(ring_model);
    RUN(ring_contiguous);
    RUN(ring_staged_together);
    RUN(ring_arguments);
    RUN(ring_closed_drops_a_reservation);
    RUN(ring_reads_all_there_is_behind_a_part_given_up);
    RUN(ring_feeds_pipeline);
    RUN_THREADED(ring_between_threads);
    RUN(spsc_model);
    RUN(spsc_arguments);
    RUN_THREADED(spsc_between_threads);
    RUN(queue_model);
    RUN(queue_arguments);
    RUN_THREADED(queue_between_threads);
    RUN_THREADED(queue_drops_between_threads);
    RUN_THREADED(queue_batches_stay_together);
    RUN(channel_without_waiting);
    RUN(channel_policies);
    RUN(channel_arguments);
    RUN_THREADED(channel_sleeps);
    RUN(channel_descriptor_survives_signals);
#ifdef STREAM_WAIT_PTHREAD
    RUN(channel_without_anything_to_sleep_on);
#endif
#ifndef STREAM__SLEEP_PTHREAD
    RUN_THREADED(channel_wakes_once);
#endif
    RUN_THREADED(channel_hand_offs);
    RUN_THREADED(channel_close_loses_nothing);
    RUN_THREADED(channel_everyone_is_served);
    RUN_THREADED(channel_in_event_loop);
    RUN_THREADED(channel_under_signals);
    RUN(broadcast_model);
    RUN(broadcast_arguments);
    RUN_THREADED(broadcast_between_threads);
    RUN(flow_closed_loop);
    RUN(flow_follows_the_consumer);
    RUN(flow_first_advice);
    RUN(flow_at_the_limits);
    RUN(flow_monitor);
    RUN(flow_of_a_channel);
    RUN_THREADED(flow_credits);
    RUN(diff_rows);
    RUN(diff_rebuilds);
    RUN_THREADED(fork_leaves_two_that_work);
    return test_end();
}
