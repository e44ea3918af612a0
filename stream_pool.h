/*
stream_pool.h 0.1.0 - buffers by the tier, shared by reference count, returned from any thread
SPDX-License-Identifier: MIT-0 (full text at the end of this file)

For programs that move messages: an event, a request or a read lands in a buffer of the pool, several
consumers hold it, and the last one to let go puts it back. After the first minute nothing is
allocated any more, and what the pool may hold is a number you wrote down.

SWITCHING IT ON

    Copy this one file. In exactly one C or C++ file:

        #define STREAM_POOL_IMPLEMENTATION
        #include "stream_pool.h"

    Everywhere else include it plainly. C99 to C17, C++11 to C++20; links libc and nothing more.

A COMPLETE PROGRAM: a thousand messages through one buffer

        #define STREAM_POOL_IMPLEMENTATION
        #include "stream_pool.h"
        #include <stdio.h>

        int main(void) {
            stream_pool pool;
            stream_pool_usage usage;
            int i;
            if (stream_pool_init(&pool, NULL) != STREAM_OK) return 1;
            for (i = 0; i < 1000; i++) {
                stream_pool_buf *buf;
                if (stream_pool_acquire(&pool, 256, &buf) != STREAM_OK) return 1;
                buf->len = (size_t)snprintf(buf->data, buf->capacity, "message %d", i);
                stream_pool_release(buf);
            }
            stream_pool_stats(&pool, &usage);
            printf("%llu allocated, %llu reused\n", (unsigned long long)usage.total.allocated,
                   (unsigned long long)usage.total.reused);
            stream_pool_free(&pool);
            return 0;
        }

GUARANTEES

    - A kept buffer is always used before a new one is allocated; acquire and release of a kept buffer
      take no lock, make no system call and never wait for another thread.
    - A tier keeps at most its `count` buffers. What is asked for beyond that, or above the largest
      tier, is allocated, served, and given back to the allocator when it is released. Both are counted.
    - max_bytes is never exceeded, not for a moment. Before an acquire is refused, a larger kept buffer
      is served in its place, and smaller kept ones are given back to make room.
    - Buffer data is aligned to STREAM_CACHE_LINE, so no two threads meet in one cache line.
    - A second release of a kept buffer is refused, counted and harmless. Under AddressSanitizer the
      data of kept buffers, and the bytes past every capacity, are poisoned.
    - Buffers may outlive the pool: stream_pool_free with buffers still out is safe.
    - No abort, no exit, no printing, no mutable global state, no thread of its own.

LIMITS

    - A buffer does not grow and does not move. Need more: acquire a larger one and copy.
    - A second release can be told only while the buffer lies in the pool. Once it has been handed out
      again, or has gone back to the allocator, it looks like somebody's rightful release, or like any
      use after free: run with pass_through under AddressSanitizer to find those.
    - A buffer costs its capacity and up to 2 * STREAM_CACHE_LINE bytes of header and alignment; every
      buffer a tier may keep costs 32 bytes of table from init on (62 KiB for the default tiers).
    - References count to 2^32 - 1, buffers of a tier to 2^32 - 2, tiers to 8.
    - The free lists tell an old head from a new one by a 32-bit generation: a thread that sleeps inside
      one acquire while exactly 2^32 others finish, and then finds the same buffer on top, is not noticed.

CONFIGURATION (define before including, the same in every file)

    STREAM_POOL_IMPLEMENTATION  emit the function bodies here                   (one file only)
    STREAM_STATIC               make every function static                      (each file that includes)
    STREAM_API                  linkage of public functions                     extern
    STREAM_NO_MALLOC            no default allocator: give one, or memory       off
    STREAM_NO_THREADS           plain loads and stores instead of atomics       off
    STREAM_MALLOC(n), STREAM_REALLOC(p, n), STREAM_FREE(p)
                                what the default allocator calls                malloc, realloc, free
    STREAM_CACHE_LINE           alignment of data, and what keeps two threads' fields apart, bytes:
                                a power of two, 16 to 4096                      64 (128 on Apple arm64)
    STREAM_POOL_POISON(p, n), STREAM_POOL_UNPOISON(p, n)
                                called as bytes become untouchable, and usable again; for valgrind or a
                                test (with the implementation)                  AddressSanitizer, or nothing

CONTENTS (search for the banner)

    [base]      status, the allocator hook, stream_buffers (shared by the three headers)
    [atomics]   ordered loads and stores (shared with stream.h)
    [pool]      declarations: everyday, then configuration, then expert
    [core]      what a pool is made of, and who may write which word
    [list]      the free lists
    [make]      buffers made and unmade; the cap
    [use]       init and free, acquire, retain, release
    [care]      trim, statistics, the bridge to stream_buffers
*/

/* ==[ shared block: base ]== the same bytes in stream.h, stream_json.h and stream_pool.h; kept so by
   `make blocks`. Included together, the first header in serves all. */
#ifndef STREAM__BASE
#define STREAM__BASE 1

/* Before the first system header: under a strict -std= glibc else hides what stream.h needs of POSIX. */
#if defined(__linux__) && !defined(_GNU_SOURCE) && \
    (defined(STREAM_IMPLEMENTATION) || defined(STREAM_JSON_IMPLEMENTATION) || defined(STREAM_POOL_IMPLEMENTATION))
#define _GNU_SOURCE 1
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define STREAM_VERSION_MAJOR 0
#define STREAM_VERSION_MINOR 1
#define STREAM_VERSION_PATCH 0
#define STREAM_VERSION "0.1.0"

#if defined(__GNUC__) || defined(__clang__)
#define STREAM__UNUSED __attribute__((unused))
#else
#define STREAM__UNUSED
#endif

/* A private function: one copy per file, silent when nothing there uses it. */
#define STREAM__FN static inline STREAM__UNUSED

#ifndef STREAM_API
#ifdef STREAM_STATIC
#define STREAM_API static STREAM__UNUSED
#else
#define STREAM_API extern
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What a call came to. Zero is success, positive values are outcomes to act on, negative ones are
   errors. Values never change once released; new ones are added at the ends. */
typedef enum stream_status {
    STREAM_OK = 0,    /* done, or: one item handed out */
    STREAM_MORE = 1,  /* the loan is used up: feed more, or finish */
    STREAM_END = 2,   /* finished and nothing is left, now and for ever */
    STREAM_EMPTY = 3, /* nothing there yet: wait for readiness and call again */
    STREAM_FULL = 4,  /* no room: make some and call again */
    STREAM_NOISE = 5, /* bytes that belong to no item, handed out like one */
    STREAM_LOST = 6,  /* the reader fell behind and items are gone; how many stands beside */
    STREAM_CANCELLED = 7, /* taken back before it was done */

    STREAM_E_INVALID = -1,   /* the input breaks the format */
    STREAM_E_TRUNCATED = -2, /* the input, or its record, ended inside an item */
    STREAM_E_TOO_LONG = -3,  /* longer than the cap; the head is handed out */
    STREAM_E_TOO_DEEP = -4,  /* nested deeper than the limit */
    STREAM_E_NOMEM = -5,     /* the allocator refused */
    STREAM_E_IO = -6,        /* the operating system refused; its error number is beside */
    STREAM_E_ARGUMENT = -7,  /* a parameter cannot be meant */
    STREAM_E_STATE = -8,     /* called out of order */
    STREAM_E_RANGE = -9,     /* the number does not fit the type asked for */
    STREAM_E_TYPE = -10      /* the value is of another type */
} stream_status;

/* Constant English text, never NULL; a few nanoseconds, no memory. Any thread. */
STREAM__FN const char *stream_status_text(stream_status status) {
    switch (status) {
    case STREAM_OK: return "ok";
    case STREAM_MORE: return "more input needed";
    case STREAM_END: return "end of stream";
    case STREAM_EMPTY: return "nothing there yet";
    case STREAM_FULL: return "no room";
    case STREAM_NOISE: return "bytes that belong to no item";
    case STREAM_LOST: return "fell behind, items lost";
    case STREAM_CANCELLED: return "cancelled";
    case STREAM_E_INVALID: return "invalid input";
    case STREAM_E_TRUNCATED: return "input ended inside an item";
    case STREAM_E_TOO_LONG: return "item longer than the limit";
    case STREAM_E_TOO_DEEP: return "nested deeper than the limit";
    case STREAM_E_NOMEM: return "out of memory";
    case STREAM_E_IO: return "system error";
    case STREAM_E_ARGUMENT: return "bad argument";
    case STREAM_E_STATE: return "call out of order";
    case STREAM_E_RANGE: return "number out of range";
    case STREAM_E_TYPE: return "value of another type";
    }
    return "unknown status";
}

/* Borrowed bytes. Never NUL-terminated; ptr may be NULL when len is 0. */
typedef struct stream_slice {
    const char *ptr;
    size_t len;
} stream_slice;

/* Flags of an item. */
enum {
    STREAM_UNTERMINATED = 1, /* the input ended where the item's terminator should have been */
    STREAM_COPIED = 2        /* assembled in the decoder's buffer: it spanned two loans */
};

/* What every decoder hands out. ptr belongs to the decoder or to the loan: it is valid until the next
   call on that decoder, on that thread. With an error status the item describes what was lost. */
typedef struct stream_item {
    const char *ptr;
    size_t len;      /* bytes at ptr */
    uint64_t offset; /* stream offset of ptr[0] */
    uint64_t size;   /* length of the whole item in the stream; above len when only its head was kept */
    uint32_t kind;   /* what the decoder says of it, 0 where there is only one kind */
    uint32_t flags;  /* STREAM_UNTERMINATED, STREAM_COPIED */
} stream_item;

/* Any decoder behind three verbs, for code that works with all of them. self must outlive it.
   What each verb does, for every decoder of these headers:

   call      when                           result            bytes taken   then
   feed      the last loan is used up       OK                none yet      next until MORE
   feed      part of a loan is left         E_STATE           none          next until MORE, then feed
   feed      after finish                   E_STATE           none          reset, or stop
   next      a whole item is there          OK                the item      use it, next
   next      bytes that are no item         NOISE             those bytes   use or drop it, next
   next      an item was lost               E_...             the item      report it, next
   next      the loan ends, item or none    MORE              all of it     the loan is yours again
   next      finished, an item is open      OK, E_TRUNCATED   -             use or report it, next
   next      finished, nothing is open      END               -             stop
   finish    any time                       OK                none          next until END */
typedef struct stream_decoder {
    void *self;
    stream_status (*feed)(void *self, const void *data, size_t len);
    stream_status (*next)(void *self, stream_item *item);
    stream_status (*finish)(void *self);
} stream_decoder;

/* Where a pipeline borrows its read buffers. acquire gives memory of at least `size` bytes and says
   how much in *capacity, or NULL when there is none now; release takes back what acquire gave. */
typedef struct stream_buffers {
    void *ctx;
    void *(*acquire)(void *ctx, size_t size, size_t *capacity);
    void (*release)(void *ctx, void *data);
} stream_buffers;

/* One function for everything: ptr NULL allocates, new_size 0 frees (and the result is ignored),
   else it resizes and keeps the smaller of both sizes. NULL means refused, and the old block stands.
   A zeroed hook means malloc. The hook is copied into the object that uses it; ctx must outlive it. */
typedef struct stream_allocator {
    void *(*resize)(void *ctx, void *ptr, size_t old_size, size_t new_size, size_t align);
    void *ctx;
} stream_allocator;

#ifndef STREAM_NO_MALLOC
#ifndef STREAM_MALLOC
#include <stdlib.h>
#define STREAM_MALLOC(size) malloc(size)
#define STREAM_REALLOC(ptr, size) realloc(ptr, size)
#define STREAM_FREE(ptr) free(ptr)
#endif
#endif

/* Not strcmp: these headers ask a bare-metal C library for mem* only. */
STREAM__FN bool stream__same_text(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *a == *b;
}

/* Every allocation of these headers passes here. No block of theirs needs more than malloc's
   alignment when the default allocator serves it. */
STREAM__FN void *stream__resize(const stream_allocator *a, void *ptr, size_t old_size, size_t new_size,
                                size_t align) {
    if (a->resize) return a->resize(a->ctx, ptr, old_size, new_size, align);
#ifdef STREAM_NO_MALLOC
    return NULL;
#else
    if (new_size == 0) {
        STREAM_FREE(ptr);
        return NULL;
    }
    return ptr ? STREAM_REALLOC(ptr, new_size) : STREAM_MALLOC(new_size);
#endif
}

/* An assembly buffer: grows by doubling from `first` up to `max`, then takes no more. */
typedef struct stream__assembly {
    stream_allocator allocator;
    char *ptr;
    size_t len, cap, first, max;
    bool fixed;   /* ptr is the caller's memory */
    bool refused; /* the allocator said no since the last clear */
} stream__assembly;

STREAM__FN void stream__assembly_init(stream__assembly *b, const stream_allocator *a, void *memory,
                                      size_t first, size_t max) {
    memset(b, 0, sizeof *b);
    b->allocator = *a;
    b->first = first < max ? first : max;
    b->max = max;
    if (memory) {
        b->ptr = (char *)memory;
        b->cap = max;
        b->fixed = true;
    }
}

STREAM__FN void stream__assembly_free(stream__assembly *b) {
    if (b->ptr && !b->fixed) stream__resize(&b->allocator, b->ptr, b->cap, 0, 1);
    b->ptr = NULL;
    b->len = b->cap = 0;
}

STREAM__FN void stream__assembly_clear(stream__assembly *b) {
    b->len = 0;
    b->refused = false;
}

/* Keeps as much of the bytes as the bounds allow; what did not fit is the caller's to count. */
STREAM__FN void stream__assembly_add(stream__assembly *b, const char *ptr, size_t len) {
    size_t room = b->max - b->len;
    size_t take = len < room ? len : room;
    if (take > b->cap - b->len && !b->refused) {
        size_t want = b->cap ? b->cap : b->first;
        void *grown;
        while (want < b->len + take) want = want > b->max / 2 ? b->max : want * 2;
        grown = stream__resize(&b->allocator, b->ptr, b->cap, want, 1);
        if (grown) {
            b->ptr = (char *)grown;
            b->cap = want;
        } else {
            b->refused = true;
        }
    }
    if (take > b->cap - b->len) take = b->cap - b->len;
    if (take) memcpy(b->ptr + b->len, ptr, take);
    b->len += take;
}

#ifdef __cplusplus
}
#endif
#endif /* STREAM__BASE */
/* ==[ end of shared block: base ]== */

/* ==[ shared block: atomics ]== the same bytes in stream.h and stream_pool.h */
#ifndef STREAM__ATOMICS
#define STREAM__ATOMICS 1

#ifndef STREAM_CACHE_LINE
#if defined(__APPLE__) && defined(__aarch64__)
#define STREAM_CACHE_LINE 128
#else
#define STREAM_CACHE_LINE 64
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Shared words are wrapped so that a plain access does not compile by accident. The order is part of
   the function's name; there are no stand-alone fences (ThreadSanitizer does not model them). seq_cst is
   for the one pattern that nothing weaker serves: each side writes its own word, then reads the other's.
   A test may replace this block (STREAM__ATOMICS defined) by one that plays other threads' parts. */
typedef struct stream__a64 {
#if defined(__GNUC__) || defined(__clang__)
    __attribute__((aligned(8))) /* the i386 ABI would give it 4, and a word across two lines */
#endif
    uint64_t v;
} stream__a64;

typedef struct stream__a32 { /* the size a futex has */
    uint32_t v;
} stream__a32;

/* Plain memory that passes from thread to thread under the protection of such words is announced where it
   is read and written, so that a checker can hear of it. They cost nothing. */
#define STREAM__READS(ptr, len) ((void)0)
#define STREAM__WRITES(ptr, len) ((void)0)

#if defined(STREAM_NO_THREADS)
STREAM__FN uint64_t stream__a64_load_relaxed(const stream__a64 *a) { return a->v; }
STREAM__FN uint64_t stream__a64_load_acquire(const stream__a64 *a) { return a->v; }
STREAM__FN uint64_t stream__a64_load_seq_cst(const stream__a64 *a) { return a->v; }
STREAM__FN void stream__a64_store_relaxed(stream__a64 *a, uint64_t v) { a->v = v; }
STREAM__FN void stream__a64_store_release(stream__a64 *a, uint64_t v) { a->v = v; }
STREAM__FN void stream__a64_store_seq_cst(stream__a64 *a, uint64_t v) { a->v = v; }
STREAM__FN void stream__a64_add_relaxed(stream__a64 *a, uint64_t v) { a->v += v; }
STREAM__FN uint64_t stream__a64_add_release(stream__a64 *a, uint64_t v) { return (a->v += v) - v; }
STREAM__FN uint64_t stream__a64_sub_acq_rel(stream__a64 *a, uint64_t v) { return (a->v -= v) + v; }
STREAM__FN bool stream__a64_cas_acq_rel(stream__a64 *a, uint64_t *seen, uint64_t v) {
    if (a->v != *seen) {
        *seen = a->v;
        return false;
    }
    a->v = v;
    return true;
}
STREAM__FN bool stream__a64_cas_relaxed(stream__a64 *a, uint64_t *seen, uint64_t v) {
    return stream__a64_cas_acq_rel(a, seen, v);
}
STREAM__FN bool stream__a64_cas_seq_cst(stream__a64 *a, uint64_t *seen, uint64_t v) {
    return stream__a64_cas_acq_rel(a, seen, v);
}
STREAM__FN uint32_t stream__a32_load_seq_cst(const stream__a32 *a) { return a->v; }
STREAM__FN bool stream__a32_cas_seq_cst(stream__a32 *a, uint32_t *seen, uint32_t v) {
    if (a->v != *seen) {
        *seen = a->v;
        return false;
    }
    a->v = v;
    return true;
}
#elif defined(__GNUC__) || defined(__clang__)
STREAM__FN uint64_t stream__a64_load_relaxed(const stream__a64 *a) {
    return __atomic_load_n(&a->v, __ATOMIC_RELAXED);
}
STREAM__FN uint64_t stream__a64_load_acquire(const stream__a64 *a) {
    return __atomic_load_n(&a->v, __ATOMIC_ACQUIRE);
}
STREAM__FN uint64_t stream__a64_load_seq_cst(const stream__a64 *a) {
    return __atomic_load_n(&a->v, __ATOMIC_SEQ_CST);
}
STREAM__FN void stream__a64_store_relaxed(stream__a64 *a, uint64_t v) {
    __atomic_store_n(&a->v, v, __ATOMIC_RELAXED);
}
STREAM__FN void stream__a64_store_release(stream__a64 *a, uint64_t v) {
    __atomic_store_n(&a->v, v, __ATOMIC_RELEASE);
}
STREAM__FN void stream__a64_store_seq_cst(stream__a64 *a, uint64_t v) {
    __atomic_store_n(&a->v, v, __ATOMIC_SEQ_CST);
}
STREAM__FN void stream__a64_add_relaxed(stream__a64 *a, uint64_t v) {
    __atomic_fetch_add(&a->v, v, __ATOMIC_RELAXED);
}
STREAM__FN uint64_t stream__a64_add_release(stream__a64 *a, uint64_t v) {
    return __atomic_fetch_add(&a->v, v, __ATOMIC_RELEASE);
}
STREAM__FN uint64_t stream__a64_sub_acq_rel(stream__a64 *a, uint64_t v) {
    return __atomic_fetch_sub(&a->v, v, __ATOMIC_ACQ_REL);
}
STREAM__FN bool stream__a64_cas_relaxed(stream__a64 *a, uint64_t *seen, uint64_t v) {
    return __atomic_compare_exchange_n(&a->v, seen, v, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
STREAM__FN bool stream__a64_cas_acq_rel(stream__a64 *a, uint64_t *seen, uint64_t v) {
    return __atomic_compare_exchange_n(&a->v, seen, v, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
STREAM__FN bool stream__a64_cas_seq_cst(stream__a64 *a, uint64_t *seen, uint64_t v) {
    return __atomic_compare_exchange_n(&a->v, seen, v, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
STREAM__FN uint32_t stream__a32_load_seq_cst(const stream__a32 *a) {
    return __atomic_load_n(&a->v, __ATOMIC_SEQ_CST);
}
STREAM__FN bool stream__a32_cas_seq_cst(stream__a32 *a, uint32_t *seen, uint32_t v) {
    return __atomic_compare_exchange_n(&a->v, seen, v, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
#elif defined(_MSC_VER)
#include <intrin.h>
/* Interlocked operations are full barriers: stronger than asked, never weaker. An aligned 64-bit volatile
   load or store is atomic on x64 and arm64, and there a barrier of the compiler's (x64) or the data memory
   barrier (arm64) makes it an acquire or a release; elsewhere the exchange form does both. */
#if defined(_M_ARM64)
#define STREAM__BARRIER() __dmb(_ARM64_BARRIER_ISH)
#else
#define STREAM__BARRIER() _ReadWriteBarrier()
#endif
STREAM__FN uint64_t stream__a64_load_seq_cst(const stream__a64 *a) {
    return (uint64_t)_InterlockedCompareExchange64((volatile __int64 *)(uintptr_t)&a->v, 0, 0);
}
STREAM__FN uint64_t stream__a64_load_relaxed(const stream__a64 *a) {
#if defined(_WIN64)
    return (uint64_t)__iso_volatile_load64((const volatile __int64 *)&a->v);
#else
    return stream__a64_load_seq_cst(a);
#endif
}
STREAM__FN uint64_t stream__a64_load_acquire(const stream__a64 *a) {
    uint64_t v = stream__a64_load_relaxed(a);
    STREAM__BARRIER();
    return v;
}
STREAM__FN void stream__a64_store_seq_cst(stream__a64 *a, uint64_t v) {
    __int64 seen = *(volatile __int64 *)&a->v, was;
    while ((was = _InterlockedCompareExchange64((volatile __int64 *)&a->v, (__int64)v, seen)) != seen)
        seen = was;
}
STREAM__FN void stream__a64_store_relaxed(stream__a64 *a, uint64_t v) {
#if defined(_WIN64)
    __iso_volatile_store64((volatile __int64 *)&a->v, (__int64)v);
#else
    stream__a64_store_seq_cst(a, v);
#endif
}
STREAM__FN void stream__a64_store_release(stream__a64 *a, uint64_t v) {
    STREAM__BARRIER();
    stream__a64_store_relaxed(a, v);
}
STREAM__FN uint64_t stream__a64_add_release(stream__a64 *a, uint64_t v) {
    uint64_t seen = stream__a64_load_relaxed(a), was;
    for (;;) {
        was = (uint64_t)_InterlockedCompareExchange64((volatile __int64 *)&a->v, (__int64)(seen + v),
                                                      (__int64)seen);
        if (was == seen) return was;
        seen = was;
    }
}
STREAM__FN void stream__a64_add_relaxed(stream__a64 *a, uint64_t v) {
    (void)stream__a64_add_release(a, v);
}
STREAM__FN uint64_t stream__a64_sub_acq_rel(stream__a64 *a, uint64_t v) {
    return stream__a64_add_release(a, 0 - v);
}
STREAM__FN bool stream__a64_cas_acq_rel(stream__a64 *a, uint64_t *seen, uint64_t v) {
    uint64_t was = (uint64_t)_InterlockedCompareExchange64((volatile __int64 *)&a->v, (__int64)v,
                                                           (__int64)*seen);
    if (was == *seen) return true;
    *seen = was;
    return false;
}
STREAM__FN bool stream__a64_cas_relaxed(stream__a64 *a, uint64_t *seen, uint64_t v) {
    return stream__a64_cas_acq_rel(a, seen, v);
}
STREAM__FN bool stream__a64_cas_seq_cst(stream__a64 *a, uint64_t *seen, uint64_t v) {
    return stream__a64_cas_acq_rel(a, seen, v);
}
STREAM__FN uint32_t stream__a32_load_seq_cst(const stream__a32 *a) {
    return (uint32_t)_InterlockedCompareExchange((volatile long *)(uintptr_t)&a->v, 0, 0);
}
STREAM__FN bool stream__a32_cas_seq_cst(stream__a32 *a, uint32_t *seen, uint32_t v) {
    uint32_t was = (uint32_t)_InterlockedCompareExchange((volatile long *)&a->v, (long)v, (long)*seen);
    if (was == *seen) return true;
    *seen = was;
    return false;
}
#else
#error "stream.h: no atomics known for this compiler; define STREAM_NO_THREADS for one thread"
#endif

/* Raises *a to v if v is larger. Relaxed: a statistic, it publishes nothing. */
STREAM__FN void stream__a64_raise(stream__a64 *a, uint64_t v) {
    uint64_t seen = stream__a64_load_relaxed(a);
    while (seen < v && !stream__a64_cas_acq_rel(a, &seen, v)) {
    }
}

#ifdef __cplusplus
}
#endif
#endif /* STREAM__ATOMICS */
/* ==[ end of shared block: atomics ]== */

#ifndef STREAM_POOL_H
#define STREAM_POOL_H

#if STREAM_CACHE_LINE < 16 || STREAM_CACHE_LINE > 4096 || (STREAM_CACHE_LINE & (STREAM_CACHE_LINE - 1))
#error "stream_pool.h: STREAM_CACHE_LINE must be a power of two from 16 to 4096"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ==[ pool ]== everyday ------------------------------------------------------------------------- */

#define STREAM_POOL_MAX_TIERS 8

/* A pool is a handle: it may be moved in memory. Zeroed, or freed, it is no pool: acquire says
   E_STATE. */
typedef struct stream_pool {
    struct stream_pool__core *core;
} stream_pool;

/* A buffer. It belongs to whoever holds a reference, until the release of that reference; the pool, its
   owner in the end, touches neither data nor len in between. Any thread may hold it: hand it over as
   you would any memory (queue, mutex, release store). While refs is above one, treat the bytes as
   read-only. */
typedef struct stream_pool_buf {
    char *data;      /* aligned to STREAM_CACHE_LINE; read the pointer, do not change it */
    size_t capacity; /* bytes at data: the tier's size, or exactly what was asked for above all tiers */
    size_t len;      /* yours: how much of it means something; 0 at acquire */

    struct stream_pool__core *core; /* private from here on */
    stream__a64 refs;
    uint32_t slot; /* place in the tier's table, plus 1; 0: none, goes back to the allocator at release */
    uint16_t tier;
    uint16_t back; /* bytes from the start of the allocation to data */
    uint64_t mark; /* says that this is a buffer; last, so that writing in front of data hits it first */
} stream_pool_buf;

struct stream_pool_desc;

/* Sets up a pool: one allocation, for the tables; no buffer is allocated yet. desc is read here and not
   kept; NULL means all zero. What desc->allocator.ctx and desc->memory point to must outlive the pool
   and every buffer of it. The pool is the caller's; one thread initialises it.
   E_ARGUMENT: the desc cannot be meant (see its fields); E_NOMEM: no memory for the tables. On an error
   the pool is zeroed. */
STREAM_API stream_status stream_pool_init(stream_pool *pool, const struct stream_pool_desc *desc);

/* Gives every kept buffer and the tables back, and zeroes the pool. A zeroed pool or NULL is fine.
   Buffers still out stay valid, and may be retained and released as before, by any thread, even while
   this runs: each goes back to the allocator with its last reference, and the last of them takes the
   tables along (in arena mode the memory is yours again then). No thread may be in any other call on
   this pool, now or later. */
STREAM_API void stream_pool_free(stream_pool *pool);

/* Hands out a buffer of at least size bytes, with one reference, which is the caller's; 0 means the
   smallest. The bytes in it are whatever was there before, unless zero_on_release is set. Any thread;
   never waits.
   FULL: max_bytes or the arena is used up: release something and call again. E_NOMEM: the allocator
   refused.
   E_ARGUMENT: no buffer of that size can ever be had here. E_STATE: not a pool. On all of these *buf is
   NULL, and all but the last are counted as refused. */
STREAM_API stream_status stream_pool_acquire(stream_pool *pool, size_t size, stream_pool_buf **buf);

/* Adds a reference and returns buf: call it once for each further holder, while holding one yourself.
   Any thread. NULL when buf is NULL or none of ours, when it was released already (counted as misused),
   or when 2^32 - 1 references are out. */
STREAM_API stream_pool_buf *stream_pool_retain(stream_pool_buf *buf);

/* Gives one reference back; with the last one the buffer returns to the pool, and the pointer is stale.
   Any thread, in whatever order. NULL is fine.
   E_STATE: it was released already and lies in the pool; counted as misused, nothing else happens.
   E_ARGUMENT: not a buffer of any pool, as far as that can be told from an address and the word in
   front of it; nothing happens. */
STREAM_API stream_status stream_pool_release(stream_pool_buf *buf);

/* ==[ pool ]== configuration -------------------------------------------------------------------- */

typedef struct stream_pool_tier {
    size_t size;  /* bytes in each buffer */
    size_t count; /* how many are kept for the next acquire; 0: none. In arena mode: how many there are */
} stream_pool_tier;

/* All zero is a sensible pool. */
typedef struct stream_pool_desc {
    /* Sizes rise strictly; the first zero entry ends the list, and only zero ones may follow. All zero:
       4 KiB x 1000 (SSE events), 8 KiB x 500 (JSON), 16 KiB x 500 (HTTP). */
    stream_pool_tier tiers[STREAM_POOL_MAX_TIERS];

    /* The most bytes of capacity that may exist at once, in use and kept together. 0: no cap. A request
       whose buffer would be larger than all of it is E_ARGUMENT. Not together with memory: there the
       tiers are the cap. */
    uint64_t max_bytes;

    /* Every acquire allocates, every release frees; capacities stay the same. For leak hunting, and as
       the off switch. Not together with memory. */
    bool pass_through;

    /* Every buffer comes all zero: wiped when its last reference goes, whether it is kept or not, and
       when it is made. Costs a memset of the whole capacity each time. */
    bool zero_on_release;

    /* Arena mode: tables and buffers live here, any alignment, and no allocator is ever called.
       memory_size must be at least stream_pool_memory(desc). NULL and 0: the allocator serves. */
    void *memory;
    size_t memory_size;

    stream_allocator allocator; /* zero: malloc. Called by any thread that acquires or releases */
} stream_pool_desc;

/* The bytes arena mode needs for these tiers; NULL: the default ones. 0: the tiers cannot be meant, or
   do not fit the address space. Any thread. */
STREAM_API size_t stream_pool_memory(const stream_pool_desc *desc);

/* ==[ pool ]== expert --------------------------------------------------------------------------- */

/* References out; 1, seen by its holder, means that nobody else has it and nobody else's use of it is
   still under way: you may write. Any thread that holds one. */
STREAM_API uint32_t stream_pool_refs(const stream_pool_buf *buf);

/* From the data pointer back to its handle, for code that carries bare pointers. data belongs to a
   buffer the caller holds. NULL when it is none, as far as that can be told. Any thread. */
STREAM_API stream_pool_buf *stream_pool_buf_of(void *data);

/* Gives all kept buffers back to the allocator; returns their bytes. 0 in arena mode. Any thread. */
STREAM_API size_t stream_pool_trim(stream_pool *pool);

/* Gives back as many kept buffers of each tier as no acquire has needed since the call before; returns
   their bytes. Called every few seconds, it has given the buffers of a burst back two calls after the
   burst is over, and never takes what is in regular use. 0 in arena mode. Any thread; one at a time, or
   each finds less. */
STREAM_API size_t stream_pool_trim_idle(stream_pool *pool);

/* Where buffers went. allocated - discarded == in_use + kept, and allocated + reused is the number of
   acquires that were served. Exact when no other call is under way, close when some are. */
typedef struct stream_pool_counts {
    size_t size;               /* the tier's buffer size; 0 in oversize and total */
    uint64_t allocated;        /* acquires served with a new buffer */
    uint64_t reused;           /* acquires served with a kept one */
    uint64_t discarded;        /* buffers given back: at release, by a trim, to make room under the cap */
    uint64_t refused;          /* acquires that got nothing, by the tier they would have had */
    uint64_t misused;          /* releases and retains of what was released already */
    uint64_t in_use;           /* buffers out now */
    uint64_t kept;             /* buffers waiting for an acquire now */
    uint64_t bytes;            /* capacity of both */
    uint64_t high_water;       /* the most buffers there ever were at once, in use or kept; no new one is
                                  made while one is kept, so that many were needed */
    uint64_t high_water_bytes; /* the most capacity there ever was at once */
    uint32_t reuse_permille;   /* reused per 1000 acquires served */
} stream_pool_counts;

typedef struct stream_pool_usage {
    size_t tiers; /* entries in tier */
    stream_pool_counts tier[STREAM_POOL_MAX_TIERS];
    stream_pool_counts oversize; /* above the largest tier */
    stream_pool_counts total;    /* high waters are of the sum, not the sum of high waters; misused includes
                                    foreign pointers given to the release of stream_pool_buffers */
} stream_pool_usage;

/* Fills usage, all zero if this is no pool. Walks the tables: a microsecond or two for the default
   tiers; it disturbs nobody. Any thread. */
STREAM_API void stream_pool_stats(const stream_pool *pool, stream_pool_usage *usage);

/* This pool behind the interface a pipeline borrows its memory from. acquire hands out the data pointer
   of a buffer, release takes it back; stream_pool_buf_of finds the handle in between. Valid until
   stream_pool_free, wherever the pool is moved to. Any thread. */
STREAM_API stream_buffers stream_pool_buffers(stream_pool *pool);

#ifdef __cplusplus
}
#endif
#endif /* STREAM_POOL_H */

#if defined(STREAM_POOL_IMPLEMENTATION) && !defined(STREAM_POOL__IMPLEMENTED)
#define STREAM_POOL__IMPLEMENTED 1

#if !defined(STREAM_POOL_POISON) || !defined(STREAM_POOL_UNPOISON)
#if defined(STREAM_POOL_POISON) || defined(STREAM_POOL_UNPOISON)
#error "stream_pool.h: define both of STREAM_POOL_POISON and STREAM_POOL_UNPOISON, or neither"
#endif
#if defined(__SANITIZE_ADDRESS__)
#define STREAM_POOL__ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STREAM_POOL__ASAN 1
#endif
#endif
#ifdef STREAM_POOL__ASAN
#include <sanitizer/asan_interface.h>
#define STREAM_POOL_POISON(ptr, size)   ASAN_POISON_MEMORY_REGION(ptr, size)
#define STREAM_POOL_UNPOISON(ptr, size) ASAN_UNPOISON_MEMORY_REGION(ptr, size)
#else
#define STREAM_POOL_POISON(ptr, size)   ((void)(ptr), (void)(size))
#define STREAM_POOL_UNPOISON(ptr, size) ((void)(ptr), (void)(size))
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ==[ core ]== what a pool is made of, and who may write which word ------------------------------

   A buffer of a tier is bound to a slot of that tier's table from when it is made until it is given back.
   Who holds the buffer holds the slot: the words of a slot have one writer at a time, and ownership passes
   with the list they are on.

       acquire    kept -> caller           pop
                  none kept: a slot from `empty` or never used yet, a new buffer in it
                  no slot left: a new buffer without one
       release    caller -> kept           push
                  without a slot -> allocator
       trim       kept -> allocator, slot -> empty

   Hence what is counted per acquire is counted in the slot, by one load and one store. The common acquire
   and release together cost three read-modify-writes (pop, drop the reference, push) and write one word
   that all threads share, the head of `kept`. Everything else shared is written only where an allocator
   is called as well.

   core->refs is one for the pool and one for every buffer that exists. Kept ones count too, so it moves
   only where buffers are made and unmade, and yet the last buffer out, long after stream_pool_free, finds
   that it is the last.

   A cache per thread, once there is one, goes between the caller and `kept`, and owns slots as a caller
   does, with OUT clear. */

enum {
    STREAM_POOL__OUT = 1,    /* slot->use: the buffer is with a caller */
    STREAM_POOL__FILLED = 2, /* there is a buffer */
    STREAM_POOL__USE = 4     /* one acquire; they are counted above the two flags */
};

/* Two values of a list index, which is a slot's number plus 1: the end of a list, and, as head of `kept`,
   that the pool was freed and nothing is kept any more. */
#define STREAM_POOL__NONE   0u
#define STREAM_POOL__CLOSED 0xffffffffu

#define STREAM_POOL__MARK     UINT64_C(0x9e3779b97f4a7c15)
#define STREAM_POOL__HEADER   sizeof(stream_pool_buf)
#define STREAM_POOL__OVERHEAD (STREAM_POOL__HEADER + STREAM_CACHE_LINE - 1)
#define STREAM_POOL__LIMIT    (SIZE_MAX / 2) /* no sum of sizes gets above it, so none of them wraps */

/* The header ends where data begins, so its size decides whether refs is aligned. */
typedef char stream_pool__header_is_aligned[STREAM_POOL__HEADER % sizeof(uint64_t) == 0 ? 1 : -1];

typedef struct stream_pool__slot {
    stream__a64 next;     /* index below in the list; written by the owner, read by anyone who pops */
    stream__a64 use;      /* acquires and flags; written by the owner, read by stats and trim_idle */
    stream__a64 seen;     /* use as trim_idle last saw it; its alone */
    stream_pool_buf *buf; /* the owner's alone */
} stream_pool__slot;

typedef struct stream_pool__shelf {
    stream__a64 kept; /* hot: {32-bit generation, 32-bit index} of the list of kept buffers */
    char apart_from_counts[STREAM_CACHE_LINE];
    stream__a64 empty;  /* list of slots that lost their buffer */
    stream__a64 fresh;  /* slots taken into use so far; those above were never touched */
    stream__a64 placed; /* buffers made into a slot, ever */
    stream__a64 live, peak, bytes, bytes_peak;
    stream__a64 allocated, discarded, refused, misused;
    char apart_from_next[STREAM_CACHE_LINE];
} stream_pool__shelf;

typedef struct stream_pool__core {
    /* written where buffers are made and unmade */
    stream__a64 refs, peak, bytes, bytes_peak, misused;
    char apart_from_shelves[STREAM_CACHE_LINE];
    stream_pool__shelf shelf[STREAM_POOL_MAX_TIERS + 1]; /* [tiers] is the oversize one */
    /* written by init alone, read by all */
    size_t size[STREAM_POOL_MAX_TIERS];
    stream_pool__slot *slots[STREAM_POOL_MAX_TIERS];
    uint32_t count[STREAM_POOL_MAX_TIERS]; /* slots in the table */
    char *blocks[STREAM_POOL_MAX_TIERS];   /* arena mode: the buffers, a stride apart */
    uint64_t max_bytes;
    stream_allocator allocator;
    void *raw;
    size_t raw_size;
    unsigned tiers;
    bool arena, wipe;
} stream_pool__core;

/* Where init puts what, as offsets from the core. */
typedef struct stream_pool__layout {
    stream_pool_tier tier[STREAM_POOL_MAX_TIERS];
    size_t slots[STREAM_POOL_MAX_TIERS], blocks[STREAM_POOL_MAX_TIERS];
    size_t tables, all; /* bytes: core and tables; and the arena's buffers. Either with room to align */
    unsigned tiers;
} stream_pool__layout;

STREAM__FN size_t stream_pool__round(size_t size) {
    return (size + (STREAM_CACHE_LINE - 1)) & ~(size_t)(STREAM_CACHE_LINE - 1);
}

STREAM__FN char *stream_pool__align(char *ptr) {
    return ptr + ((0 - (uintptr_t)ptr) & (STREAM_CACHE_LINE - 1));
}

/* From one buffer of an arena tier to the next: the header ends where data is aligned. */
STREAM__FN size_t stream_pool__stride(size_t size) {
    return stream_pool__round(STREAM_POOL__HEADER) + stream_pool__round(size);
}

STREAM__FN bool stream_pool__extend(size_t *total, size_t count, size_t each) {
    if (*total > STREAM_POOL__LIMIT || count > (STREAM_POOL__LIMIT - *total) / each) return false;
    *total = stream_pool__round(*total + count * each);
    return true;
}

/* The one place where zeros of a desc become values and nonsense is refused. */
STREAM__FN bool stream_pool__plan(const stream_pool_desc *desc, stream_pool__layout *l) {
    static const stream_pool_tier usual[] = {{4096, 1000}, {8192, 500}, {16384, 500}};
    size_t total = stream_pool__round(sizeof(stream_pool__core));
    unsigned i;
    memset(l, 0, sizeof *l);
    memcpy(l->tier, desc->tiers, sizeof l->tier);
    for (i = 0; i < STREAM_POOL_MAX_TIERS; i++) {
        const stream_pool_tier *t = &l->tier[i];
        if (t->size == 0) {
            if (t->count != 0) return false;
            continue;
        }
        if (l->tiers != i || (i > 0 && t->size <= t[-1].size)) return false;
        if (t->size > STREAM_POOL__LIMIT - STREAM_POOL__OVERHEAD - STREAM_CACHE_LINE) return false;
        if (t->count >= STREAM_POOL__CLOSED) return false;
        l->tiers = i + 1;
    }
    if (l->tiers == 0) {
        memcpy(l->tier, usual, sizeof usual);
        l->tiers = sizeof usual / sizeof usual[0];
    }
    if (desc->pass_through) { /* a tier that keeps none is just that */
        for (i = 0; i < l->tiers; i++) l->tier[i].count = 0;
    }
    for (i = 0; i < l->tiers; i++) {
        l->slots[i] = total;
        if (!stream_pool__extend(&total, l->tier[i].count, sizeof(stream_pool__slot))) return false;
    }
    l->tables = total + STREAM_CACHE_LINE - 1;
    for (i = 0; i < l->tiers; i++) {
        l->blocks[i] = total;
        if (stream_pool__extend(&total, l->tier[i].count, stream_pool__stride(l->tier[i].size))) continue;
        l->all = 0; /* more than there are addresses: well as a bound on what is kept, not as an arena */
        return true;
    }
    l->all = total + STREAM_CACHE_LINE - 1;
    return true;
}

/* Last one out. The allocator is copied because it lives in what it frees. */
STREAM__FN void stream_pool__drop(stream_pool__core *core) {
    /* Acq_rel: release, so that all this thread did to the core is over before another one frees it;
       acquire, so that the one that frees it comes after all of them. Either one weaker and the core is
       freed under a thread that is still counting in it. */
    if (stream__a64_sub_acq_rel(&core->refs, 1) == 1 && !core->arena) {
        stream_allocator allocator = core->allocator;
        stream__resize(&allocator, core->raw, core->raw_size, 0, 1);
    }
}

/* A memset that stays, though the memory is freed next: compilers drop stores nobody reads. */
STREAM__FN void stream_pool__wipe(void *ptr, size_t size) {
    void *(*volatile set)(void *, int, size_t) = memset;
    set(ptr, 0, size);
}

STREAM__FN uint64_t stream_pool__mark(const stream_pool_buf *buf) {
    return (uint64_t)(uintptr_t)buf ^ STREAM_POOL__MARK;
}

/* Most pointers that are not ours are not aligned as ours are, and then nothing is read through them. */
STREAM__FN bool stream_pool__is(const stream_pool_buf *buf) {
    return buf && (((uintptr_t)buf + STREAM_POOL__HEADER) & (STREAM_CACHE_LINE - 1)) == 0 &&
           buf->mark == stream_pool__mark(buf);
}

/* ==[ list ]== the free lists ----------------------------------------------------------------------

   Treiber's stack (1986), of indices into a table that lives as long as the core: whoever is late reads a
   `next` that is stale, never one that is freed. Each pop raises the generation in the head's upper half,
   so the compare of a late pop fails even if its index is on top again (ABA); a push need not raise it, as
   no index comes back on top without a pop of it. All writes to a head are read-modify-writes, which keep
   alive the release sequences of all earlier pushes: who acquires the head has received all slots below. */

/* Takes the top slot's index, or NONE. */
STREAM__FN uint32_t stream_pool__pop(stream__a64 *list, const stream_pool__slot *slots) {
    /* Acquire, here and where the exchange fails: receives slot->next, and the buffer behind it, as the
       push published them. Relaxed, an old `next` could go with this head, and the exchange would
       install it. */
    uint64_t head = stream__a64_load_acquire(list), below;
    uint32_t index;
    do {
        index = (uint32_t)head;
        if (index == STREAM_POOL__NONE || index == STREAM_POOL__CLOSED) return STREAM_POOL__NONE;
        /* Relaxed: if this slot has another owner by now, who writes it, the exchange fails on the
           generation and the value is thrown away; if not, the acquire above has ordered it. */
        below = stream__a64_load_relaxed(&slots[index - 1].next);
        /* The acquire half has been had by the load; release publishes nothing. Relaxed would do. */
    } while (!stream__a64_cas_acq_rel(list, &head, ((head >> 32) + 1) << 32 | below));
    return index;
}

/* Puts a slot on top; false if the list is closed. After true the caller owns the slot no more and may
   not touch the core either: its last reference may be the one that just went on the list. */
STREAM__FN bool stream_pool__push(stream__a64 *list, stream_pool__slot *slots, uint32_t index) {
    uint64_t head = stream__a64_load_relaxed(list); /* relaxed: only compared */
    do {
        if ((uint32_t)head == STREAM_POOL__CLOSED) return false;
        stream__a64_store_relaxed(&slots[index - 1].next, (uint32_t)head); /* published by the exchange */
        /* Release: publishes slot->next, slot->buf, the header and the wiped bytes to the pop that
           takes them. Weaker, and that pop could follow an old `next`, or its thread's first writes to
           data could be overtaken by our last ones. */
    } while (!stream__a64_cas_acq_rel(list, &head, head >> 32 << 32 | index));
    return true;
}

/* ==[ make ]== buffers made and unmade; the cap ---------------------------------------------------- */

/* A slot without a buffer, as index; NONE when all have one, and for oversize. */
STREAM__FN uint32_t stream_pool__slot_take(stream_pool__core *core, unsigned tier) {
    stream_pool__shelf *shelf = &core->shelf[tier];
    uint64_t fresh;
    uint32_t index;
    if (tier >= core->tiers) return STREAM_POOL__NONE;
    index = stream_pool__pop(&shelf->empty, core->slots[tier]);
    if (index) return index;
    fresh = stream__a64_load_relaxed(&shelf->fresh); /* relaxed: only hands out numbers, each once */
    while (fresh < core->count[tier]) {
        if (stream__a64_cas_acq_rel(&shelf->fresh, &fresh, fresh + 1)) return (uint32_t)fresh + 1;
    }
    return STREAM_POOL__NONE;
}

/* Counts bytes, at most max_bytes, against the cap before they are asked for, so that no two threads exceed
   it together; what then exists is in *now. */
STREAM__FN bool stream_pool__reserve(stream_pool__core *core, size_t bytes, uint64_t *now) {
    uint64_t seen = stream__a64_load_relaxed(&core->bytes); /* relaxed: just a sum */
    do {
        if (seen > core->max_bytes - bytes) return false;
        *now = seen + bytes;
    } while (!stream__a64_cas_acq_rel(&core->bytes, &seen, *now));
    return true;
}

/* Bytes past the capacity that belong to the buffer's block. */
STREAM__FN size_t stream_pool__slack(const stream_pool__core *core, const stream_pool_buf *buf) {
    return core->arena ? (0 - buf->capacity) & (STREAM_CACHE_LINE - 1) : STREAM_POOL__OVERHEAD - buf->back;
}

/* A new buffer with one reference. FULL: the cap, or the arena, has no room; E_NOMEM. */
STREAM__FN stream_status stream_pool__make(stream_pool__core *core, unsigned tier, size_t capacity,
                                           stream_pool_buf **out) {
    stream_pool__shelf *shelf = &core->shelf[tier];
    uint32_t index = stream_pool__slot_take(core, tier);
    char *block = NULL, *data;
    uint64_t bytes = 0;
    stream_pool_buf *buf;
    if (core->arena) {
        if (index == STREAM_POOL__NONE) return STREAM_FULL;
        block = core->blocks[tier] + (size_t)(index - 1) * stream_pool__stride(capacity);
    }
    if (!stream_pool__reserve(core, capacity, &bytes)) {
        if (index) stream_pool__push(&shelf->empty, core->slots[tier], index);
        return STREAM_FULL;
    }
    if (!core->arena) {
        block = (char *)stream__resize(&core->allocator, NULL, 0, capacity + STREAM_POOL__OVERHEAD, 1);
        if (!block) {
            stream__a64_add_relaxed(&core->bytes, 0 - (uint64_t)capacity);
            if (index) stream_pool__push(&shelf->empty, core->slots[tier], index);
            return STREAM_E_NOMEM;
        }
    }
    data = stream_pool__align(block + STREAM_POOL__HEADER);
    buf = (stream_pool_buf *)(void *)data - 1;
    buf->data = data;
    buf->capacity = capacity;
    buf->len = 0;
    buf->core = core;
    buf->slot = index;
    buf->tier = (uint16_t)tier;
    buf->back = (uint16_t)(data - block);
    buf->mark = stream_pool__mark(buf);
    stream__a64_store_relaxed(&buf->refs, 1); /* relaxed: nobody else knows the buffer yet */
    if (core->wipe) stream_pool__wipe(data, capacity);
    STREAM_POOL_POISON(data + capacity, stream_pool__slack(core, buf));

    /* Counters: relaxed, they publish nothing; whoever wants them exact has joined the threads by then.
       The adds that return a value are release for want of a weaker one. */
    stream__a64_raise(&core->bytes_peak, bytes);
    stream__a64_raise(&core->peak, stream__a64_add_release(&core->refs, 1)); /* +1 is in the pool's own */
    stream__a64_raise(&shelf->peak, stream__a64_add_release(&shelf->live, 1) + 1);
    stream__a64_raise(&shelf->bytes_peak, stream__a64_add_release(&shelf->bytes, capacity) + capacity);
    stream__a64_add_relaxed(&shelf->allocated, 1);
    if (index) {
        stream_pool__slot *slot = &core->slots[tier][index - 1];
        uint64_t use = stream__a64_load_relaxed(&slot->use); /* relaxed: we own the slot */
        slot->buf = buf;
        stream__a64_add_relaxed(&shelf->placed, 1);
        stream__a64_store_relaxed(&slot->use,
                                  (use + STREAM_POOL__USE) | STREAM_POOL__OUT | STREAM_POOL__FILLED);
    }
    *out = buf;
    return STREAM_OK;
}

/* Gives a buffer that the caller alone holds back to the allocator. The core may be gone afterwards if
   the pool is. */
STREAM__FN void stream_pool__discard(stream_pool__core *core, stream_pool_buf *buf) {
    stream_pool__shelf *shelf = &core->shelf[buf->tier];
    size_t capacity = buf->capacity;
    STREAM_POOL_UNPOISON(buf->data, capacity + stream_pool__slack(core, buf));
    stream__a64_add_relaxed(&shelf->discarded, 1);
    stream__a64_add_relaxed(&shelf->live, 0 - UINT64_C(1));
    stream__a64_add_relaxed(&shelf->bytes, 0 - (uint64_t)capacity);
    if (buf->slot) {
        stream_pool__slot *slot = &core->slots[buf->tier][buf->slot - 1];
        uint64_t use = stream__a64_load_relaxed(&slot->use); /* ours until the push */
        stream__a64_store_relaxed(&slot->use, use & ~(uint64_t)(STREAM_POOL__OUT | STREAM_POOL__FILLED));
        slot->buf = NULL;
        stream_pool__push(&shelf->empty, core->slots[buf->tier], buf->slot);
    }
    buf->mark = 0;
    if (!core->arena)
        stream__resize(&core->allocator, buf->data - buf->back, capacity + STREAM_POOL__OVERHEAD, 0, 1);
    stream__a64_add_relaxed(&core->bytes, 0 - (uint64_t)capacity); /* not before the free */
    stream_pool__drop(core);
}

STREAM__FN stream_pool_buf *stream_pool__pop_kept(stream_pool__core *core, unsigned tier) {
    stream_pool__slot *slots = core->slots[tier];
    uint32_t index = stream_pool__pop(&core->shelf[tier].kept, slots);
    return index ? slots[index - 1].buf : NULL;
}

/* Makes room under the cap: gives back one kept buffer of the tiers below, the largest there is. */
STREAM__FN bool stream_pool__discard_one(stream_pool__core *core, unsigned below) {
    if (core->arena) return false;
    while (below-- > 0) {
        stream_pool_buf *buf = stream_pool__pop_kept(core, below);
        if (!buf) continue;
        stream_pool__discard(core, buf);
        return true;
    }
    return false;
}

/* ==[ use ]== init and free, acquire, retain, release ---------------------------------------------- */

STREAM_API stream_status stream_pool_init(stream_pool *pool, const stream_pool_desc *desc) {
    stream_pool_desc zero;
    stream_pool__layout l;
    stream_pool__core *core;
    char *raw;
    size_t raw_size;
    unsigned i;
    if (!pool) return STREAM_E_ARGUMENT;
    pool->core = NULL;
    memset(&zero, 0, sizeof zero);
    if (!desc) desc = &zero;
    if (!stream_pool__plan(desc, &l)) return STREAM_E_ARGUMENT;
    if (desc->memory || desc->memory_size) {
        if (desc->max_bytes || desc->pass_through) return STREAM_E_ARGUMENT;
        if (!desc->memory || l.all == 0 || desc->memory_size < l.all) return STREAM_E_ARGUMENT;
        raw = (char *)desc->memory;
        raw_size = desc->memory_size;
    } else {
        raw_size = l.tables;
        raw = (char *)stream__resize(&desc->allocator, NULL, 0, raw_size, 1);
        if (!raw) return STREAM_E_NOMEM;
    }
    core = (stream_pool__core *)(void *)stream_pool__align(raw);
    memset(core, 0, l.tables - (STREAM_CACHE_LINE - 1));
    core->max_bytes = desc->max_bytes ? desc->max_bytes : UINT64_MAX;
    core->allocator = desc->allocator;
    core->raw = raw;
    core->raw_size = raw_size;
    core->tiers = l.tiers;
    core->arena = desc->memory != NULL;
    core->wipe = desc->zero_on_release;
    for (i = 0; i < l.tiers; i++) {
        core->size[i] = l.tier[i].size;
        core->count[i] = (uint32_t)l.tier[i].count;
        core->slots[i] = (stream_pool__slot *)(void *)((char *)core + l.slots[i]);
        if (core->arena) core->blocks[i] = (char *)core + l.blocks[i];
    }
    stream__a64_store_relaxed(&core->refs, 1); /* relaxed: the caller publishes the pool */
    pool->core = core;
    return STREAM_OK;
}

STREAM_API void stream_pool_free(stream_pool *pool) {
    stream_pool__core *core;
    unsigned i;
    if (!pool || !pool->core) return;
    core = pool->core;
    pool->core = NULL;
    for (i = 0; i < core->tiers; i++) {
        stream__a64 *kept = &core->shelf[i].kept;
        uint64_t head = stream__a64_load_relaxed(kept); /* relaxed: the exchange does the receiving */
        /* Acquire: receives all slots of the list, as a pop would. From here on a release that comes
           late sees CLOSED and gives its buffer back itself; one that came in time is on the list. */
        while (!stream__a64_cas_acq_rel(kept, &head, STREAM_POOL__CLOSED)) {
        }
        while ((uint32_t)head != STREAM_POOL__NONE) {
            stream_pool__slot *slot = &core->slots[i][(uint32_t)head - 1];
            head = stream__a64_load_relaxed(&slot->next); /* relaxed: the list is ours alone */
            stream_pool__discard(core, slot->buf);
        }
    }
    stream_pool__drop(core);
}

/* A kept buffer of this tier, as its new owner gets it. */
STREAM__FN stream_pool_buf *stream_pool__take(stream_pool__core *core, unsigned tier) {
    stream_pool__slot *slots = core->slots[tier];
    uint32_t index = stream_pool__pop(&core->shelf[tier].kept, slots);
    stream_pool_buf *buf;
    uint64_t use;
    if (!index) return NULL;
    buf = slots[index - 1].buf;
    use = stream__a64_load_relaxed(&slots[index - 1].use); /* relaxed: we own the slot */
    stream__a64_store_relaxed(&slots[index - 1].use, (use + STREAM_POOL__USE) | STREAM_POOL__OUT);
    STREAM_POOL_UNPOISON(buf->data, buf->capacity);
    buf->len = 0;
    stream__a64_store_relaxed(&buf->refs, 1); /* relaxed: the caller publishes the buffer */
    return buf;
}

/* Nothing of the right size is kept: make one, else serve a larger one, else give back smaller ones and
   try again, else refuse. Each turn gives back one buffer, so turns end when the pool keeps nothing. */
STREAM__FN stream_status stream_pool__acquire_slow(stream_pool__core *core, unsigned tier, size_t size,
                                                   stream_pool_buf **out) {
    stream_status status = STREAM_E_ARGUMENT;
    bool oversize = tier == core->tiers;
    size_t capacity = oversize ? size : core->size[tier];
    unsigned i;
    bool possible = capacity <= core->max_bytes && capacity <= STREAM_POOL__LIMIT - STREAM_POOL__OVERHEAD &&
                    !(oversize && core->arena);
    while (possible) {
        status = stream_pool__make(core, tier, capacity, out);
        if (status == STREAM_OK) return status;
        for (i = tier; i < core->tiers; i++) {
            *out = stream_pool__take(core, i);
            if (*out) return STREAM_OK;
        }
        possible = stream_pool__discard_one(core, tier);
    }
    stream__a64_add_relaxed(&core->shelf[tier].refused, 1);
    return status;
}

STREAM__FN stream_status stream_pool__acquire(stream_pool__core *core, size_t size, stream_pool_buf **out) {
    unsigned tier = 0;
    while (tier < core->tiers && size > core->size[tier]) tier++;
    if (tier < core->tiers) {
        *out = stream_pool__take(core, tier);
        if (*out) return STREAM_OK;
    }
    return stream_pool__acquire_slow(core, tier, size, out);
}

STREAM_API stream_status stream_pool_acquire(stream_pool *pool, size_t size, stream_pool_buf **buf) {
    if (!buf) return STREAM_E_ARGUMENT;
    *buf = NULL;
    if (!pool || !pool->core) return STREAM_E_STATE;
    return stream_pool__acquire(pool->core, size, buf);
}

STREAM__FN void stream_pool__misused(const stream_pool_buf *buf) {
    stream__a64_add_relaxed(&buf->core->shelf[buf->tier].misused, 1);
}

STREAM_API stream_pool_buf *stream_pool_retain(stream_pool_buf *buf) {
    uint64_t refs;
    if (!stream_pool__is(buf)) return NULL;
    refs = stream__a64_load_relaxed(&buf->refs); /* relaxed: a number, compared below */
    do {
        if (refs == UINT32_MAX) return NULL;
        if (refs == 0) {
            stream_pool__misused(buf);
            return NULL;
        }
        /* An exchange and no add, which would raise a released buffer from the dead for a moment.
           Relaxed would do: the caller's own reference keeps the buffer, and handing it over is what
           publishes. */
    } while (!stream__a64_cas_acq_rel(&buf->refs, &refs, refs + 1));
    return buf;
}

STREAM_API stream_status stream_pool_release(stream_pool_buf *buf) {
    stream_pool__core *core;
    stream_pool__slot *slots;
    uint64_t refs, use;
    if (!buf) return STREAM_OK;
    if (!stream_pool__is(buf)) return STREAM_E_ARGUMENT;
    refs = stream__a64_load_relaxed(&buf->refs); /* relaxed: a number, compared below */
    do {
        if (refs == 0) {
            stream_pool__misused(buf);
            return STREAM_E_STATE;
        }
        /* Acq_rel: release, so that all we did with the bytes comes before what the last holder does
           next; acquire, so that the last holder comes after all the others. Without either, a buffer
           is wiped, poisoned or handed out again under a thread that still reads it. */
    } while (!stream__a64_cas_acq_rel(&buf->refs, &refs, refs - 1));
    if (refs != 1) return STREAM_OK;

    core = buf->core;
    if (core->wipe) stream_pool__wipe(buf->data, buf->capacity);
    if (buf->slot) {
        slots = core->slots[buf->tier];
        use = stream__a64_load_relaxed(&slots[buf->slot - 1].use); /* relaxed: ours until the push */
        stream__a64_store_relaxed(&slots[buf->slot - 1].use, use & ~(uint64_t)STREAM_POOL__OUT);
        STREAM_POOL_POISON(buf->data, buf->capacity);
        if (stream_pool__push(&core->shelf[buf->tier].kept, slots, buf->slot)) return STREAM_OK;
    }
    stream_pool__discard(core, buf);
    return STREAM_OK;
}

STREAM_API uint32_t stream_pool_refs(const stream_pool_buf *buf) {
    /* Acquire: receives what the others' releases published. Relaxed, one who sees 1 and writes could
       overtake the last read of one who has just let go. */
    return stream_pool__is(buf) ? (uint32_t)stream__a64_load_acquire(&buf->refs) : 0;
}

/* ==[ care ]== trim, statistics, the bridge to stream_buffers --------------------------------------- */

STREAM_API size_t stream_pool_memory(const stream_pool_desc *desc) {
    stream_pool_desc zero;
    stream_pool__layout l;
    memset(&zero, 0, sizeof zero);
    return stream_pool__plan(desc ? desc : &zero, &l) ? l.all : 0;
}

STREAM_API stream_pool_buf *stream_pool_buf_of(void *data) {
    stream_pool_buf *buf;
    if (!data || ((uintptr_t)data & (STREAM_CACHE_LINE - 1)) != 0) return NULL;
    buf = (stream_pool_buf *)data - 1;
    return stream_pool__is(buf) ? buf : NULL;
}

STREAM__FN size_t stream_pool__trim_tier(stream_pool__core *core, unsigned tier, uint64_t most) {
    size_t bytes = 0;
    while (most-- > 0) { /* bounded: others may go on releasing */
        stream_pool_buf *buf = stream_pool__pop_kept(core, tier);
        if (!buf) break;
        bytes += buf->capacity;
        stream_pool__discard(core, buf);
    }
    return bytes;
}

STREAM_API size_t stream_pool_trim(stream_pool *pool) {
    size_t bytes = 0;
    unsigned i;
    if (!pool || !pool->core || pool->core->arena) return 0;
    for (i = 0; i < pool->core->tiers; i++)
        bytes += stream_pool__trim_tier(pool->core, i, pool->core->count[i]);
    return bytes;
}

STREAM_API size_t stream_pool_trim_idle(stream_pool *pool) {
    stream_pool__core *core;
    size_t bytes = 0;
    unsigned i;
    if (!pool || !pool->core || pool->core->arena) return 0;
    core = pool->core;
    for (i = 0; i < core->tiers; i++) {
        uint64_t idle = 0, n = stream__a64_load_relaxed(&core->shelf[i].fresh), k;
        for (k = 0; k < n; k++) {
            stream_pool__slot *slot = &core->slots[i][k];
            uint64_t use = stream__a64_load_relaxed(&slot->use); /* relaxed: an estimate, safe if stale */
            if (use == stream__a64_load_relaxed(&slot->seen) && (use & STREAM_POOL__FILLED) &&
                !(use & STREAM_POOL__OUT))
                idle++;
            stream__a64_store_relaxed(&slot->seen, use); /* OUT counts as use until the next call */
        }
        /* How many went unused is what counts, not which: those on top go, and those that stay, from
           below, are the ones used next. To dig for the unused ones would take the others off the list
           meanwhile, and an acquire just then would find nothing. */
        bytes += stream_pool__trim_tier(core, i, idle);
    }
    return bytes;
}

/* Counters are read one after the other: while others work, a difference may come out below zero. */
STREAM__FN uint64_t stream_pool__less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

STREAM__FN uint32_t stream_pool__permille(uint64_t part, uint64_t rest) {
    while (part > UINT64_MAX / 2000 || rest > UINT64_MAX / 2000) {
        part >>= 1;
        rest >>= 1;
    }
    return part + rest ? (uint32_t)(part * 1000 / (part + rest)) : 0;
}

STREAM__FN void stream_pool__count(const stream_pool__core *core, unsigned tier, stream_pool_counts *c,
                                   stream_pool_counts *total) {
    const stream_pool__shelf *shelf = &core->shelf[tier];
    uint64_t out = 0, filled = 0, uses = 0, live, k, n = stream__a64_load_relaxed(&shelf->fresh);
    for (k = 0; k < n; k++) {
        uint64_t use = stream__a64_load_relaxed(&core->slots[tier][k].use);
        out += use & STREAM_POOL__OUT;
        filled += (use & STREAM_POOL__FILLED) != 0;
        uses += use / STREAM_POOL__USE;
    }
    live = stream__a64_load_relaxed(&shelf->live);
    c->size = tier < core->tiers ? core->size[tier] : 0;
    c->allocated = stream__a64_load_relaxed(&shelf->allocated);
    c->reused = stream_pool__less(uses, stream__a64_load_relaxed(&shelf->placed));
    c->discarded = stream__a64_load_relaxed(&shelf->discarded);
    c->refused = stream__a64_load_relaxed(&shelf->refused);
    c->misused = stream__a64_load_relaxed(&shelf->misused);
    c->kept = stream_pool__less(filled, out);
    c->in_use = stream_pool__less(live, c->kept); /* those without a slot are out as long as they live */
    c->bytes = stream__a64_load_relaxed(&shelf->bytes);
    c->high_water = stream__a64_load_relaxed(&shelf->peak);
    c->high_water_bytes = stream__a64_load_relaxed(&shelf->bytes_peak);
    c->reuse_permille = stream_pool__permille(c->reused, c->allocated);
    total->allocated += c->allocated;
    total->reused += c->reused;
    total->discarded += c->discarded;
    total->refused += c->refused;
    total->misused += c->misused;
    total->in_use += c->in_use;
    total->kept += c->kept;
    total->bytes += c->bytes;
}

STREAM_API void stream_pool_stats(const stream_pool *pool, stream_pool_usage *usage) {
    const stream_pool__core *core;
    unsigned i;
    memset(usage, 0, sizeof *usage);
    if (!pool || !pool->core) return;
    core = pool->core;
    usage->tiers = core->tiers;
    for (i = 0; i <= core->tiers; i++)
        stream_pool__count(core, i, i < core->tiers ? &usage->tier[i] : &usage->oversize, &usage->total);
    usage->total.misused += stream__a64_load_relaxed(&core->misused);
    usage->total.high_water = stream__a64_load_relaxed(&core->peak);
    usage->total.high_water_bytes = stream__a64_load_relaxed(&core->bytes_peak);
    usage->total.reuse_permille = stream_pool__permille(usage->total.reused, usage->total.allocated);
}

STREAM__FN void *stream_pool__lend(void *ctx, size_t size, size_t *capacity) {
    stream_pool_buf *buf = NULL;
    if (!ctx || stream_pool__acquire((stream_pool__core *)ctx, size, &buf) != STREAM_OK) return NULL;
    if (capacity) *capacity = buf->capacity;
    return buf->data;
}

STREAM__FN void stream_pool__take_back(void *ctx, void *data) {
    stream_pool__core *core = (stream_pool__core *)ctx;
    stream_pool_buf *buf;
    if (!core || !data) return;
    buf = stream_pool_buf_of(data);
    if (buf && buf->core == core)
        stream_pool_release(buf);
    else
        stream__a64_add_relaxed(&core->misused, 1);
}

STREAM_API stream_buffers stream_pool_buffers(stream_pool *pool) {
    stream_buffers buffers;
    buffers.ctx = pool ? pool->core : NULL;
    buffers.acquire = stream_pool__lend;
    buffers.release = stream_pool__take_back;
    return buffers;
}

#ifdef __cplusplus
}
#endif
#endif /* STREAM_POOL_IMPLEMENTATION */

/*
MIT No Attribution

Copyright 2026 the stream.h authors

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute, sublicense,
and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do so.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT
LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN
NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY,
WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE
SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
*/
