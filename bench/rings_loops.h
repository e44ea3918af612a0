/* SPDX-License-Identifier: MIT-0
   The loops that bench/rings.cpp times, one text for C and C++: Concurrency Kit is C and inline, most
   rivals are C++ and inline, and each gets the very same loop around its own code. */
#ifndef RINGS_LOOPS_H
#define RINGS_LOOPS_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_CAPACITY ((size_t)1024)
#define BENCH_BATCH    ((size_t)32)
#define BENCH_ALONE    ((size_t)64)

typedef struct bench_part { /* what one thread does */
    uint64_t first, count;  /* the items it sends, or how many it takes */
    uint64_t sum;           /* of the items it took */
    size_t chunk, id;       /* of bytes: in one call; which thread of its side it is */
    char *buffer;
} bench_part;

typedef void (*bench_loop)(void *queue, bench_part *part);

/* Full, or empty: everyone waits in the same way, a little while on the processor, then by giving it up. */
static inline void bench_idle(unsigned *tries) {
    if (++*tries % 64) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    } else {
        sched_yield();
    }
}

/* One at a time. PUSH is an expression with `item`, POP one that sets it; true: done. Items are numbers. */
#define BENCH_LOOPS(NAME, TYPE, BEFORE_PUSH, PUSH, BEFORE_POP, POP)                                        \
    void NAME##_produce(void *queue, bench_part *part);                                                    \
    void NAME##_produce(void *queue, bench_part *part) {                                                   \
        TYPE *q = (TYPE *)queue;                                                                           \
        uint64_t n = part->first, end = part->first + part->count;                                         \
        BEFORE_PUSH;                                                                                       \
        for (; n < end; n++) {                                                                             \
            void *item = (void *)(uintptr_t)n;                                                             \
            unsigned tries = 0;                                                                            \
            while (!(PUSH)) bench_idle(&tries);                                                            \
        }                                                                                                  \
    }                                                                                                      \
    void NAME##_consume(void *queue, bench_part *part);                                                    \
    void NAME##_consume(void *queue, bench_part *part) {                                                   \
        TYPE *q = (TYPE *)queue;                                                                           \
        uint64_t n, sum = 0;                                                                               \
        BEFORE_POP;                                                                                        \
        for (n = 0; n < part->count; n++) {                                                                \
            void *item = NULL;                                                                             \
            unsigned tries = 0;                                                                            \
            while (!(POP)) bench_idle(&tries);                                                             \
            sum += (uintptr_t)item;                                                                        \
        }                                                                                                  \
        part->sum = sum;                                                                                   \
    }                                                                                                      \
    void NAME##_alone(void *queue, bench_part *part);                                                      \
    void NAME##_alone(void *queue, bench_part *part) {                                                     \
        TYPE *q = (TYPE *)queue;                                                                           \
        uint64_t n = part->first, end = part->first + part->count, sum = 0;                                \
        size_t i;                                                                                          \
        BEFORE_PUSH;                                                                                       \
        BEFORE_POP;                                                                                        \
        while (n < end) {                                                                                  \
            unsigned tries = 0;                                                                            \
            for (i = 0; i < BENCH_ALONE; i++) {                                                            \
                void *item = (void *)(uintptr_t)n++;                                                       \
                while (!(PUSH)) bench_idle(&tries);                                                        \
            }                                                                                              \
            for (i = 0; i < BENCH_ALONE; i++) {                                                            \
                void *item = NULL;                                                                         \
                while (!(POP)) bench_idle(&tries);                                                         \
                sum += (uintptr_t)item;                                                                    \
            }                                                                                              \
        }                                                                                                  \
        part->sum = sum;                                                                                   \
    }

/* In batches. PUSH_N and POP_N take `items` and `want` and say how many. */
#define BENCH_BATCH_LOOPS(NAME, TYPE, BEFORE_PUSH, PUSH_N, BEFORE_POP, POP_N)                              \
    static void NAME##_produce(void *queue, bench_part *part) {                                            \
        TYPE *q = (TYPE *)queue;                                                                           \
        uint64_t n = part->first, end = part->first + part->count;                                         \
        void *batch[BENCH_BATCH];                                                                          \
        BEFORE_PUSH;                                                                                       \
        while (n < end) {                                                                                  \
            size_t i, got, left = end - n < BENCH_BATCH ? (size_t)(end - n) : BENCH_BATCH;                 \
            for (i = 0; i < left; i++) batch[i] = (void *)(uintptr_t)n++;                                  \
            for (i = 0; left; i += got, left -= got) {                                                     \
                void **items = batch + i;                                                                  \
                size_t want = left;                                                                        \
                unsigned tries = 0;                                                                        \
                while ((got = (PUSH_N)) == 0) bench_idle(&tries);                                          \
            }                                                                                              \
        }                                                                                                  \
    }                                                                                                      \
    static void NAME##_consume(void *queue, bench_part *part) {                                            \
        TYPE *q = (TYPE *)queue;                                                                           \
        uint64_t n = 0, sum = 0;                                                                           \
        void *items[BENCH_BATCH];                                                                          \
        BEFORE_POP;                                                                                        \
        while (n < part->count) {                                                                          \
            uint64_t left = part->count - n;                                                               \
            size_t i, got, want = left < BENCH_BATCH ? (size_t)left : BENCH_BATCH;                         \
            unsigned tries = 0;                                                                            \
            while ((got = (POP_N)) == 0) bench_idle(&tries);                                               \
            for (i = 0; i < got; i++) sum += (uintptr_t)items[i];                                          \
            n += got;                                                                                      \
        }                                                                                                  \
        part->sum = sum;                                                                                   \
    }

#endif
