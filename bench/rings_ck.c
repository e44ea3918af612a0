/* SPDX-License-Identifier: MIT-0
   Concurrency Kit's part of bench/rings.cpp: its headers are C and do not compile as C++. */
#include <ck_fifo.h>
#include <ck_ring.h>
#include <stdlib.h>

#include "rings_loops.h"

typedef struct ck_case {
    ck_ring_t ring;
    ck_ring_buffer_t *buffer;
} ck_case;

/* One cell of its ring stays empty: twice the capacity is the nearest it can do. */
void *ck_case_make(void);
void *ck_case_make(void) {
    ck_case *c = (ck_case *)aligned_alloc(64, (sizeof *c + 63) / 64 * 64);
    if (!c) abort();
    c->buffer = (ck_ring_buffer_t *)calloc(2 * BENCH_CAPACITY, sizeof *c->buffer);
    if (!c->buffer) abort();
    ck_ring_init(&c->ring, 2 * BENCH_CAPACITY);
    return c;
}
void ck_case_free(void *queue);
void ck_case_free(void *queue) {
    free(((ck_case *)queue)->buffer);
    free(queue);
}

BENCH_LOOPS(ck_spsc, ck_case, (void)0, ck_ring_enqueue_spsc(&q->ring, q->buffer, item), (void)0,
            ck_ring_dequeue_spsc(&q->ring, q->buffer, &item))
BENCH_LOOPS(ck_mpmc, ck_case, (void)0, ck_ring_enqueue_mpmc(&q->ring, q->buffer, item), (void)0,
            ck_ring_dequeue_mpmc(&q->ring, q->buffer, &item))

/* A list of entries: those the consumer is done with come back by recycle; the bound is their number. */
typedef struct ck_list {
    ck_fifo_spsc_t fifo;
    ck_fifo_spsc_entry_t entry[BENCH_CAPACITY + 1];
    size_t used;
} ck_list;

void *ck_list_make(void);
void *ck_list_make(void) {
    ck_list *c = (ck_list *)aligned_alloc(64, (sizeof *c + 63) / 64 * 64);
    if (!c) abort();
    ck_fifo_spsc_init(&c->fifo, &c->entry[0]);
    c->used = 1;
    return c;
}
void ck_list_free(void *queue);
void ck_list_free(void *queue) { free(queue); }

static inline int ck_list_push(ck_list *q, void *item) {
    ck_fifo_spsc_entry_t *entry = ck_fifo_spsc_recycle(&q->fifo);
    if (!entry) {
        if (q->used > BENCH_CAPACITY) return 0;
        entry = &q->entry[q->used++];
    }
    ck_fifo_spsc_enqueue(&q->fifo, entry, item);
    return 1;
}
BENCH_LOOPS(ck_list, ck_list, (void)0, ck_list_push(q, item), (void)0,
            ck_fifo_spsc_dequeue(&q->fifo, &item))
