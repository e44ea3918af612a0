/* SPDX-License-Identifier: MIT-0
   The pool compiled into the file that uses it, so that the compiler may inline it, for bench/pool.c. With
   STREAM_NO_THREADS it is the pool with plain loads and stores instead of exchanges, through a cache held in
   hands, and its two calls stand for themselves: what is left then is what the exchanges do not cost. */
#define _GNU_SOURCE
#define STREAM_STATIC
#define STREAM_POOL_IMPLEMENTATION
#include "stream_pool.h"

#include <stdlib.h>

int SIDE(open)(const stream_pool_desc *desc);
int SIDE(acquire)(size_t size, stream_pool_buf **buf);
int SIDE(release)(stream_pool_buf *buf);
void SIDE(pairs)(size_t size, int n);
void SIDE(held)(size_t size, int n);

static stream_pool pool;
static stream_pool_cache cache;

int SIDE(open)(const stream_pool_desc *desc) {
    return stream_pool_init(&pool, desc) == STREAM_OK && stream_pool_cache_init(&cache, &pool) == STREAM_OK;
}

int SIDE(acquire)(size_t size, stream_pool_buf **buf) { return stream_pool_cache_acquire(&cache, size, buf); }
int SIDE(release)(stream_pool_buf *buf) { return stream_pool_cache_release(&cache, buf); }

void SIDE(pairs)(size_t size, int n) {
    while (n-- > 0) {
        stream_pool_buf *buf;
        if (stream_pool_acquire(&pool, size, &buf) != STREAM_OK) abort();
        stream_pool_release(buf);
    }
}

void SIDE(held)(size_t size, int n) {
    while (n-- > 0) {
        stream_pool_buf *bufs[64];
        int i;
        for (i = 0; i < 64; i++)
            if (stream_pool_acquire(&pool, size, &bufs[i]) != STREAM_OK) abort();
        for (i = 0; i < 64; i++) stream_pool_release(bufs[i]);
    }
}
