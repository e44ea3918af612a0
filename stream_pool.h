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

    - Acquire and release of a kept buffer take no lock, make no system call and never wait for another
      thread. Each thread finds the buffers it released last first, in a cache of its own, without writing
      to memory that others write.
    - A cache only remembers where to look, and owns nothing. Threads may end, sleep for ever or fork, and
      a pool may be freed, without a word to any cache: what it remembered is there for everybody else.
    - A tier keeps at most its `count` buffers, wherever they lie. What is asked for beyond that, or above
      the largest tier, is allocated, served, and given back when it is released. Both are counted.
    - max_bytes is never exceeded, not for a moment. Before an acquire is refused, every kept buffer of
      its tier, in whatever cache, is found, a larger kept one is served in its place, and smaller kept
      ones are given back to make room.
    - Buffer data is aligned to STREAM_CACHE_LINE, so no two threads meet in one cache line.
    - A second release of a kept buffer is refused, counted and harmless, even if two threads do it at
      once. Under AddressSanitizer the data of kept buffers, and the bytes past every capacity, are
      poisoned.
    - Buffers may outlive the pool: stream_pool_free with buffers still out is safe.
    - No abort, no exit, no printing, no thread of its own, and no global state but what each thread's
      cache remembers.

LIMITS

    - A buffer does not grow and does not move. Need more: acquire a larger one and copy.
    - A second release can be told only until the buffer is handed out again: then it looks like somebody's
      rightful release. Run with pass_through under AddressSanitizer to find those.
    - A kept buffer is used before a new one is allocated if it is in the thread's own cache, on the shared
      list, or among 64 that a look into the tier's table finds; in a large tier one may lie elsewhere, in
      another thread's cache (which holds up to 64 of a tier, fewer of large ones).
    - A thread's cache serves two pools. Further ones work without, and take the place of one now and then.
    - A buffer costs its capacity and up to 80 + STREAM_CACHE_LINE bytes of header and alignment; every
      buffer that a tier may keep costs a cache line of table from init on (125 KiB for the default tiers),
      and each thread some 4 KiB for its caches.
    - References count to 2^32 - 1, buffers of a tier to 2^32 - 2, tiers to 8.
    - The free lists tell an old head from a new one by a 32-bit generation: a thread that sleeps inside
      one acquire while exactly 2^32 others finish, and then finds the same buffer on top, is not noticed.

CONFIGURATION (define before including, the same in every file)

    STREAM_POOL_IMPLEMENTATION  emit the function bodies here                   (one file only)
    STREAM_STATIC               make every function static                      (each file that includes)
    STREAM_API                  linkage of public functions                     extern
    STREAM_NO_MALLOC            no default allocator: give one, or memory       off
    STREAM_NO_THREADS           plain loads and stores instead of atomics, and one shared list instead of
                                caches per thread                               off
    STREAM_POOL_NO_THREAD_LOCAL no caches but those you set up (with the implementation): for a compiler
                                without thread-local variables, or threads of your own making   off
    STREAM_MALLOC(n), STREAM_REALLOC(p, n), STREAM_FREE(p)
                                what the default allocator calls                malloc, realloc, free
    STREAM_CACHE_LINE           alignment of data, and what keeps two threads' fields apart, bytes:
                                a power of two, 16 to 4096                      64 (128 on Apple arm64)
    STREAM_POOL_GIVE_BACK()     called when a trim has freed a MiB or more through the default allocator, so
                                that it reaches the system (with the implementation)
                                malloc_trim(0) with glibc, else nothing
    STREAM_POOL_POISON(p, n), STREAM_POOL_UNPOISON(p, n)
                                called as bytes become untouchable, and usable again; for valgrind or a
                                test (with the implementation)                  AddressSanitizer, or nothing

CONTENTS (search for the banner)

    [base]      status, the allocator hook, stream_buffers (shared by the three headers)
    [atomics]   ordered loads and stores (shared with stream.h)
    [pool]      declarations: everyday, then configuration, then expert
    [core]      what a pool is made of, and who may write which word
    [list]      the shared lists
    [make]      buffers made and unmade; the cap
    [find]      kept buffers found: in a cache, on a list, anywhere
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
#define STREAM_VERSION /* "major.minor.patch" */ \
    STREAM__TEXT(STREAM_VERSION_MAJOR) "." STREAM__TEXT(STREAM_VERSION_MINOR) "." STREAM__TEXT(STREAM_VERSION_PATCH)
#define STREAM__TEXT(x) STREAM__TEXT_OF(x)
#define STREAM__TEXT_OF(x) #x

#if defined(__GNUC__) || defined(__clang__)
#define STREAM__UNUSED __attribute__((__unused__))
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
#if !defined(STREAM_MALLOC) && !defined(STREAM_REALLOC) && !defined(STREAM_FREE)
#include <stdlib.h>
#define STREAM_MALLOC(size) malloc(size)
#define STREAM_REALLOC(ptr, size) realloc(ptr, size)
#define STREAM_FREE(ptr) free(ptr)
#elif !defined(STREAM_MALLOC) || !defined(STREAM_REALLOC) || !defined(STREAM_FREE)
#error "STREAM_MALLOC, STREAM_REALLOC and STREAM_FREE are defined together or not at all"
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
    __attribute__((__aligned__(8))) /* the i386 ABI would give it 4, and a word across two lines */
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

/* STREAM_VERSION as it was where the implementation was compiled. Constant text; any thread. */
STREAM_API const char *stream_pool_version(void);

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
    stream__a64 state;              /* whose it is; under [core] */
    stream__a64 uses;               /* how often it was handed out again */
    uint32_t place;                 /* in the tier's table, plus 1; 0: none, so it is freed at release */
    uint16_t tier;
    uint16_t back; /* bytes from the start of the allocation to data */
    uint64_t mark; /* says that this is a buffer */
} stream_pool_buf;

struct stream_pool_desc;

/* Sets up a pool: one allocation, for the tables; no buffer is allocated yet. desc is read here and not
   kept; NULL means all zero. What desc->allocator.ctx and desc->memory point to must outlive the pool
   and every buffer of it. The pool is the caller's; one thread initialises it.
   E_ARGUMENT: the desc cannot be meant (see its fields); E_NOMEM: no memory for the tables. On an error
   the pool is zeroed. */
STREAM_API stream_status stream_pool_init(stream_pool *pool, const struct stream_pool_desc *desc);

/* Gives every kept buffer and the tables back, whichever thread's cache they are in, and zeroes the pool.
   A zeroed pool or NULL is fine.
   Buffers still out stay valid, and may be retained and released as before, by any thread, even while
   this runs: each goes back to the allocator with its last reference, and the last of them takes the
   tables along (in arena mode the memory is yours again then). No thread may be in any other call on
   this pool, now or later; what their caches remember of it does no harm. */
STREAM_API void stream_pool_free(stream_pool *pool);

/* Hands out a buffer of at least size bytes, with one reference, which is the caller's; 0 means the
   smallest. The bytes in it are whatever was there before, unless zero_on_release is set. Any thread;
   never waits. After fork the child may go on using the pool: what lay in other threads' caches is there,
   what they had out stays out, and so does what a call of theirs was moving just then, 33 at most for each.
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
   E_STATE: it was released already; counted as misused, nothing else happens. Told as long as the pool
   lives and the buffer was not handed out again (one above the largest tier, or beyond its tier's count,
   is gone at once: a second release of it is a use after free).
   E_ARGUMENT: not a buffer of any pool, as far as that can be told from an address and a word behind it;
   nothing happens. */
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

/* A cache to hold in your hands: for where a thread is not the right owner (tasks that move between
   threads, a compiler without thread-local variables), or where it should serve more pools than a thread's
   own does. It remembers the buffers released through it, and is looked into first by an acquire through
   it. It is the caller's memory, about 2 KiB; one thread at a time may use it. */
#define STREAM_POOL_CACHE 64

typedef struct stream_pool_cache {
    struct stream_pool__core *core; /* private, all three */
    uint32_t n[STREAM_POOL_MAX_TIERS + 1]; /* [MAX_TIERS] is for what is above all tiers, and stays 0 */
    uint32_t place[STREAM_POOL_MAX_TIERS][STREAM_POOL_CACHE]; /* as in stream_pool_buf; the newest last */
} stream_pool_cache;

/* Sets up an empty cache for this pool; nothing is allocated. E_ARGUMENT, E_STATE: no cache, not a pool. */
STREAM_API stream_status stream_pool_cache_init(stream_pool_cache *cache, stream_pool *pool);

/* Puts what the cache remembers on the shared lists, where others find it sooner, and zeroes the cache.
   May be left out, before stream_pool_free as well; not after it. A zeroed cache or NULL is fine. */
STREAM_API void stream_pool_cache_free(stream_pool_cache *cache);

/* As stream_pool_acquire and stream_pool_release, through this cache. They mix with the plain ones: a
   buffer may be released through another cache, or none. A buffer of another pool, and one released after
   stream_pool_free, goes its way past the cache. E_STATE for an acquire: the cache is zeroed. */
STREAM_API stream_status stream_pool_cache_acquire(stream_pool_cache *cache, size_t size,
                                                   stream_pool_buf **buf);
STREAM_API stream_status stream_pool_cache_release(stream_pool_cache *cache, stream_pool_buf *buf);

/* References out; 1, seen by its holder, means that nobody else has it and nobody else's use of it is
   still under way: you may write. Any thread that holds one. */
STREAM_API uint32_t stream_pool_refs(const stream_pool_buf *buf);

/* From the data pointer back to its handle, for code that carries bare pointers. data belongs to a
   buffer the caller holds. NULL when it is none, as far as that can be told. Any thread. */
STREAM_API stream_pool_buf *stream_pool_buf_of(void *data);

/* Gives all kept buffers, in whatever cache, back to the allocator; returns their bytes. 0 in arena mode.
   Any thread. */
STREAM_API size_t stream_pool_trim(stream_pool *pool);

/* Gives back as many kept buffers of each tier as no acquire has needed since the call before, in whatever
   cache; returns their bytes. Call it every ten seconds or so, from a timer you have or every few thousand
   messages: the buffers of a burst are back two calls after it is over, and what is in regular use stays.
   A call that frees much takes as long as the allocator does (1 GiB: some 100 ms with glibc). 0 in arena
   mode. Any thread; one at a time, or each finds less. */
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
    uint64_t high_water;       /* the most buffers there ever were at once, in use or kept */
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

#if defined(STREAM_POOL_POISON)
#if !defined(STREAM_POOL_UNPOISON)
#error "stream_pool.h: define both of STREAM_POOL_POISON and STREAM_POOL_UNPOISON, or neither"
#endif
#define STREAM_POOL__POISONS 1
#elif defined(STREAM_POOL_UNPOISON)
#error "stream_pool.h: define both of STREAM_POOL_POISON and STREAM_POOL_UNPOISON, or neither"
#else
#if defined(__SANITIZE_ADDRESS__)
#define STREAM_POOL__POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STREAM_POOL__POISONS 1
#endif
#endif
#ifdef STREAM_POOL__POISONS
#include <sanitizer/asan_interface.h>
#define STREAM_POOL_POISON(ptr, size)   ASAN_POISON_MEMORY_REGION(ptr, size)
#define STREAM_POOL_UNPOISON(ptr, size) ASAN_UNPOISON_MEMORY_REGION(ptr, size)
#else
#define STREAM_POOL__POISONS            0
#define STREAM_POOL_POISON(ptr, size)   ((void)(ptr), (void)(size))
#define STREAM_POOL_UNPOISON(ptr, size) ((void)(ptr), (void)(size))
#endif
#endif

/* glibc gives the end of its heap back by itself, but no hole in it, and one buffer still in use makes all
   that lies below it a hole: measured, 1 GiB of 4 KiB buffers freed but for the one used last left all of
   it resident. */
#ifndef STREAM_POOL_GIVE_BACK
#if defined(__GLIBC__) && !defined(STREAM_NO_MALLOC)
#include <malloc.h>
#define STREAM_POOL_GIVE_BACK() ((void)malloc_trim(0))
#else
#define STREAM_POOL_GIVE_BACK() ((void)0)
#endif
#endif

/* As STREAM__FN, for what is rare and shall stay out of the way of what is not. */
#if defined(__GNUC__) || defined(__clang__)
#define STREAM_POOL__RARE_FN static __attribute__((__noinline__, __cold__, __unused__))
#elif defined(_MSC_VER)
#define STREAM_POOL__RARE_FN static __declspec(noinline)
#else
#define STREAM_POOL__RARE_FN static
#endif

#if defined(STREAM_NO_THREADS) || defined(STREAM_POOL_NO_THREAD_LOCAL)
#elif defined(__cplusplus)
#define STREAM_POOL__THREAD_LOCAL thread_local
#elif defined(_MSC_VER)
#define STREAM_POOL__THREAD_LOCAL __declspec(thread)
#elif defined(__GNUC__) || defined(__clang__)
#define STREAM_POOL__THREAD_LOCAL __thread
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define STREAM_POOL__THREAD_LOCAL _Thread_local
#endif

#ifdef __cplusplus
extern "C" {
#endif

STREAM_API const char *stream_pool_version(void) { return STREAM_VERSION; }

/* ==[ core ]== what a pool is made of, and who may write which word ------------------------------

   A buffer of a tier is bound to a place in that tier's table from when it is made until it is given back.
   The place is a cache line of its own, and is the buffer's handle: it lives as long as the core, so that
   even who is late, or wrong, finds a handle there. Whose the buffer is, its `state` says, and only it:

       0                 never used
       OUT    | n        with callers, who hold n references
       CACHED            kept. Whoever exchanges this for something else has it; caches remember where
       LISTED | below    kept, on the tier's list of kept ones. Who pops it has it
       BLANK  | below    no buffer; on the list of such places
       BUSY              on the way from one of these to another, in one thread's hands
       OUT    | LOOSE    has no place (above all tiers, or all places taken): freed with its last reference

       acquire    CACHED -> OUT     a place that the thread's cache remembers
                  LISTED -> OUT     pop; and some more, LISTED -> CACHED, for the cache to remember
                  CACHED -> OUT     a place that the search through the table hits upon
                  BLANK or 0 -> OUT a new buffer
                  -                 all places taken: a new buffer, LOOSE
       release    OUT -> CACHED     and the thread's cache remembers; if that is full, its older half goes
                  CACHED -> LISTED  first
                  OUT -> LISTED     without a cache: push
       trim       LISTED or CACHED -> BUSY -> BLANK

   That a cache only remembers, and an exchange decides, costs the common acquire and release one
   read-modify-write each, of a line that no other thread is using: 0.9 of the 6.5 ns of a pair, where it was
   measured (`make bench-pool` has the row). It buys that kept buffers can be taken out
   of any cache at any time, by a trim, a search under the cap, stream_pool_free, or the next thread after one
   that has ended. A cache that could be written without an exchange could not be emptied by others (Attiya
   et al., Laws of Order, 2011: no taking away without an atomic operation or a fence on the owner's side),
   and to ask its owner to is no use while that sleeps.

   Who holds the buffer holds its handle: the words of a handle but `state` have one writer at a time. What is
   counted per acquire is counted there, in `uses`, by one load and one store. Words that all threads share
   are written only where a list or an allocator is used.

   core->refs is one for the pool and one for every buffer that exists. Kept ones count too, so it moves
   only where buffers are made and unmade, and yet the last buffer out, long after stream_pool_free, finds
   that it is the last. */

#define STREAM_POOL__OUT    (UINT64_C(1) << 32)
#define STREAM_POOL__CACHED (UINT64_C(2) << 32)
#define STREAM_POOL__LISTED (UINT64_C(4) << 32)
#define STREAM_POOL__BLANK  (UINT64_C(8) << 32)
#define STREAM_POOL__BUSY   (UINT64_C(16) << 32)
#define STREAM_POOL__LOOSE  (UINT64_C(32) << 32)
#define STREAM_POOL__IDLE   (UINT64_C(64) << 32)  /* with CACHED, LISTED: unused since trim_idle saw it */
#define STREAM_POOL__ORPHAN (UINT64_C(128) << 32) /* with OUT, BUSY: the pool was freed, do not keep */
#define STREAM_POOL__KEPT   (STREAM_POOL__CACHED | STREAM_POOL__LISTED)

/* Two values of a list's head: the end of a list, as in `below`, and that the pool was freed and nothing is
   kept any more. */
#define STREAM_POOL__NONE   0u
#define STREAM_POOL__CLOSED 0xffffffffu

#define STREAM_POOL__MARK     UINT64_C(0x9e3779b97f4a7c15)
#define STREAM_POOL__STEP     stream_pool__round(sizeof(stream_pool_buf)) /* from place to place */
#define STREAM_POOL__FRONT    sizeof(stream_pool__front)
#define STREAM_POOL__OVERHEAD (sizeof(stream_pool_buf) + STREAM_POOL__FRONT + STREAM_CACHE_LINE - 1)
#define STREAM_POOL__LIMIT    (SIZE_MAX / 2) /* no sum of sizes gets above it, so none of them wraps */

enum {
    STREAM_POOL__LOOKS = 64,             /* places looked at before a new buffer is made */
    STREAM_POOL__CACHE_BYTES = 4 << 20,  /* a cache remembers no more of a tier, but 4 buffers at least */
    STREAM_POOL__STRANGERS = 256         /* calls on a further pool until it takes the place of one */
};

/* Lies in front of a buffer's data, for who knows nothing but that pointer. Two 64-bit numbers, so that it
   keeps data aligned whatever the size of a pointer. */
typedef struct stream_pool__front {
    uint64_t buf;  /* the handle's address */
    uint64_t mark; /* last, so that writing in front of data hits it first */
} stream_pool__front;

typedef struct stream_pool__shelf {
    stream__a64 kept; /* {32-bit generation, 32-bit place} of the list of kept buffers */
    char apart_from_counts[STREAM_CACHE_LINE];
    stream__a64 blank; /* list of places that lost their buffer */
    stream__a64 fresh; /* places taken into use so far; those above were never touched */
    stream__a64 next;  /* where the next search begins */
    stream__a64 live, peak, bytes, bytes_peak;
    stream__a64 allocated, discarded, refused, misused;
    char apart_from_next[STREAM_CACHE_LINE];
} stream_pool__shelf;

typedef struct stream_pool__core {
    /* written by init alone, read by all */
    size_t size[STREAM_POOL_MAX_TIERS + 1]; /* [tiers] and above: SIZE_MAX, where every search ends */
    char *table[STREAM_POOL_MAX_TIERS + 1];
    uint32_t count[STREAM_POOL_MAX_TIERS + 1]; /* places in the table; these three are 0 from [tiers] on */
    uint32_t hold[STREAM_POOL_MAX_TIERS + 1];  /* how many a cache remembers */
    uint32_t quick[STREAM_POOL_MAX_TIERS + 1]; /* the same, or 0 where a release has more to do */
    char *blocks[STREAM_POOL_MAX_TIERS];   /* arena mode: the buffers, a stride apart */
    uint64_t max_bytes;
    stream_allocator allocator;
    void *raw;
    size_t raw_size;
    unsigned tiers;
    bool arena, wipe;
    char apart_from_sums[STREAM_CACHE_LINE];
    /* written where buffers are made and unmade */
    stream__a64 refs, peak, bytes, bytes_peak, misused;
    char apart_from_shelves[STREAM_CACHE_LINE];
    stream_pool__shelf shelf[STREAM_POOL_MAX_TIERS + 1]; /* [tiers] is the oversize one */
} stream_pool__core;

/* Where init puts what, as offsets from the core. */
typedef struct stream_pool__layout {
    stream_pool_tier tier[STREAM_POOL_MAX_TIERS];
    size_t table[STREAM_POOL_MAX_TIERS], blocks[STREAM_POOL_MAX_TIERS];
    size_t tables, all; /* bytes: core and tables; and the arena's buffers. Either with room to align */
    unsigned tiers;
} stream_pool__layout;

STREAM__FN size_t stream_pool__round(size_t size) {
    return (size + (STREAM_CACHE_LINE - 1)) & ~(size_t)(STREAM_CACHE_LINE - 1);
}

STREAM__FN char *stream_pool__align(char *ptr) {
    return ptr + ((0 - (uintptr_t)ptr) & (STREAM_CACHE_LINE - 1));
}

/* From one buffer of an arena tier to the next: what lies in front ends where data is aligned. */
STREAM__FN size_t stream_pool__stride(size_t size) {
    return stream_pool__round(STREAM_POOL__FRONT) + stream_pool__round(size);
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
        l->table[i] = total;
        if (!stream_pool__extend(&total, l->tier[i].count, STREAM_POOL__STEP)) return false;
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

/* How many buffers of a tier a cache remembers: of large ones fewer, as they lie there for one thread. And
   half of them at most, so that no thread has to search for the few that another one has just released. */
STREAM__FN uint32_t stream_pool__hold(size_t size, size_t count) {
    size_t hold = STREAM_POOL__CACHE_BYTES / size;
    if (hold < 4) hold = 4;
    if (hold > STREAM_POOL_CACHE) hold = STREAM_POOL_CACHE;
    if (hold > (count + 1) / 2) hold = (count + 1) / 2;
    return (uint32_t)hold;
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

STREAM__FN uint64_t stream_pool__mark(const void *ptr) {
    return (uint64_t)(uintptr_t)ptr ^ STREAM_POOL__MARK;
}

/* Most pointers that are not ours are not aligned as ours are, and then nothing is read through them. */
STREAM__FN bool stream_pool__is(const stream_pool_buf *buf) {
    return buf && ((uintptr_t)buf & 15) == 0 && buf->mark == stream_pool__mark(buf);
}

STREAM__FN stream_pool_buf *stream_pool__at(char *table, uint32_t place) {
    return (stream_pool_buf *)(void *)(table + (size_t)(place - 1) * STREAM_POOL__STEP);
}

/* The smallest tier whose buffers are large enough; [tiers] if none is. */
STREAM__FN unsigned stream_pool__tier_of(const stream_pool__core *core, size_t size) {
    unsigned tier = size > core->size[3] ? 4 : 0; /* halves the way */
    while (size > core->size[tier]) tier++;       /* [tiers] ends it */
    return tier;
}

/* ==[ list ]== the shared lists --------------------------------------------------------------------

   Treiber's stack (1986), of places in a table that lives as long as the core: whoever is late reads a
   `below` that is stale, never one that is freed. Each pop raises the generation in the head's upper half,
   so the compare of a late pop fails even if its place is on top again (ABA); a push need not raise it, as
   no place comes back on top without a pop of it. All writes to a head are read-modify-writes, which keep
   alive the release sequences of all earlier pushes: who acquires the head has received all places below.
   Several places go on or come off in one exchange: as long as the head is the same, so is all below it. */

/* Takes up to `most` places from the top: the first one, or NONE, and how many. Each one's state says which
   is below it. `kind` is what all on this list are. */
STREAM__FN uint32_t stream_pool__pop(stream__a64 *list, char *table, uint64_t kind, uint32_t most,
                                     uint32_t *got) {
    for (;;) {
        /* Acquire: receives the states below, and the handles, as the pushes published them. Relaxed, an old
           `below` could go with this head, and the exchange would install it. */
        uint64_t head = stream__a64_load_acquire(list), state;
        uint32_t first = (uint32_t)head, below = first;
        *got = 0;
        if (first == STREAM_POOL__NONE || first == STREAM_POOL__CLOSED) return STREAM_POOL__NONE;
        do {
            /* Relaxed: if this place has another owner by now, who writes it, the exchange fails on the
               generation and the value is thrown away; if not, the acquire above has ordered it. */
            state = stream__a64_load_relaxed(&stream_pool__at(table, below)->state);
            if (!(state & kind)) break; /* it has another owner; what is below that is no place */
            below = (uint32_t)state;
        } while (++*got < most && below != STREAM_POOL__NONE);
        /* Relaxed: what there is to receive, the load has received, and there is nothing to publish. */
        if (state & kind && stream__a64_cas_relaxed(list, &head, ((head >> 32) + 1) << 32 | below))
            return first;
    }
}

/* Puts places that the caller owns on top, `first` to `last`, whose states between them are linked already;
   false if the list is closed. After true the caller owns them no more and may not touch the core either: its
   last reference may be one that just went on the list. */
STREAM__FN bool stream_pool__push(stream__a64 *list, uint64_t kind, uint32_t first, stream_pool_buf *last) {
    uint64_t head = stream__a64_load_relaxed(list); /* relaxed: only compared */
    do {
        if ((uint32_t)head == STREAM_POOL__CLOSED) return false;
        stream__a64_store_relaxed(&last->state, kind | (uint32_t)head); /* published by the exchange */
        /* Release: publishes the states, the handles and the wiped bytes to the pop that takes them. Weaker,
           and that pop could follow an old `below`, or its thread's first writes to data could be overtaken
           by our last ones. */
    } while (!stream__a64_cas_acq_rel(list, &head, head >> 32 << 32 | first));
    return true;
}

/* ==[ make ]== buffers made and unmade; the cap ---------------------------------------------------- */

/* A place without a buffer, owned by the caller; NONE when all have one, and for oversize. */
STREAM__FN uint32_t stream_pool__place_take(stream_pool__core *core, unsigned tier) {
    stream_pool__shelf *shelf = &core->shelf[tier];
    uint64_t fresh;
    uint32_t place, got;
    if (tier >= core->tiers) return STREAM_POOL__NONE;
    place = stream_pool__pop(&shelf->blank, core->table[tier], STREAM_POOL__BLANK, 1, &got);
    if (place) return place;
    fresh = stream__a64_load_relaxed(&shelf->fresh); /* relaxed: only hands out numbers, each once */
    while (fresh < core->count[tier]) {
        if (stream__a64_cas_relaxed(&shelf->fresh, &fresh, fresh + 1)) return (uint32_t)fresh + 1;
    }
    return STREAM_POOL__NONE;
}

STREAM__FN void stream_pool__place_leave(stream_pool__core *core, unsigned tier, uint32_t place) {
    if (!place) return;
    stream_pool__push(&core->shelf[tier].blank, STREAM_POOL__BLANK, place,
                      stream_pool__at(core->table[tier], place));
}

/* Counts bytes, at most max_bytes, against the cap before they are asked for, so that no two threads exceed
   it together; what then exists is in *now. */
STREAM__FN bool stream_pool__reserve(stream_pool__core *core, size_t bytes, uint64_t *now) {
    uint64_t seen = stream__a64_load_relaxed(&core->bytes); /* relaxed: just a sum */
    do {
        if (seen > core->max_bytes - bytes) return false;
        *now = seen + bytes;
    } while (!stream__a64_cas_relaxed(&core->bytes, &seen, *now));
    return true;
}

/* Bytes past the capacity that belong to the buffer's block. */
STREAM__FN size_t stream_pool__slack(const stream_pool__core *core, const stream_pool_buf *buf) {
    return core->arena ? (0 - buf->capacity) & (STREAM_CACHE_LINE - 1) : STREAM_POOL__OVERHEAD - buf->back;
}

/* Where a buffer's data begins in its block: behind what lies in front, and the handle if it has no place. */
STREAM__FN char *stream_pool__data(char *block, uint32_t place) {
    return stream_pool__align(block + STREAM_POOL__FRONT + (place ? 0 : sizeof(stream_pool_buf)));
}

/* A new buffer with one reference. FULL: the cap, or the arena, has no room; E_NOMEM. */
STREAM__FN stream_status stream_pool__make(stream_pool__core *core, unsigned tier, size_t capacity,
                                           stream_pool_buf **out) {
    stream_pool__shelf *shelf = &core->shelf[tier];
    uint32_t place = stream_pool__place_take(core, tier);
    char *block = NULL, *data;
    uint64_t bytes = 0;
    stream_pool__front *front;
    stream_pool_buf *buf;
    if (core->arena) {
        if (place == STREAM_POOL__NONE) return STREAM_FULL;
        block = core->blocks[tier] + (size_t)(place - 1) * stream_pool__stride(capacity);
    }
    if (!stream_pool__reserve(core, capacity, &bytes)) {
        stream_pool__place_leave(core, tier, place);
        return STREAM_FULL;
    }
    if (!core->arena) {
        block = (char *)stream__resize(&core->allocator, NULL, 0, capacity + STREAM_POOL__OVERHEAD, 1);
        if (!block) {
            stream__a64_add_relaxed(&core->bytes, 0 - (uint64_t)capacity);
            stream_pool__place_leave(core, tier, place);
            return STREAM_E_NOMEM;
        }
    }
    data = stream_pool__data(block, place);
    front = (stream_pool__front *)(void *)data - 1;
    buf = place ? stream_pool__at(core->table[tier], place) : (stream_pool_buf *)(void *)front - 1;
    STREAM__WRITES(front, sizeof *front);
    STREAM__WRITES(buf, offsetof(stream_pool_buf, state));
    front->buf = (uint64_t)(uintptr_t)buf;
    front->mark = stream_pool__mark(data);
    buf->data = data;
    buf->capacity = capacity;
    buf->len = 0;
    buf->core = core;
    buf->place = place;
    buf->tier = (uint16_t)tier;
    buf->back = (uint16_t)(data - block);
    buf->mark = stream_pool__mark(buf);
    if (core->wipe) stream_pool__wipe(data, capacity);
    STREAM_POOL_POISON(data + capacity, stream_pool__slack(core, buf));
    /* Relaxed: the caller publishes the buffer, and who finds the place in the table leaves OUT alone. */
    stream__a64_store_relaxed(&buf->state, STREAM_POOL__OUT | (place ? 0 : STREAM_POOL__LOOSE) | 1);

    /* Counters: relaxed, they publish nothing; whoever wants them exact has joined the threads by then.
       The adds that return a value are release for want of a weaker one. */
    stream__a64_raise(&core->bytes_peak, bytes);
    stream__a64_raise(&core->peak, stream__a64_add_release(&core->refs, 1)); /* +1 is in the pool's own */
    stream__a64_raise(&shelf->peak, stream__a64_add_release(&shelf->live, 1) + 1);
    stream__a64_raise(&shelf->bytes_peak, stream__a64_add_release(&shelf->bytes, capacity) + capacity);
    stream__a64_add_relaxed(&shelf->allocated, 1);
    *out = buf;
    return STREAM_OK;
}

/* Gives a buffer that the caller alone holds back to the allocator. The core may be gone afterwards if
   the pool is. */
STREAM__FN void stream_pool__discard(stream_pool__core *core, stream_pool_buf *buf) {
    stream_pool__shelf *shelf = &core->shelf[buf->tier];
    size_t capacity = buf->capacity;
    char *block = buf->data - buf->back;
    STREAM__READS(buf, offsetof(stream_pool_buf, state));
    STREAM_POOL_UNPOISON(buf->data, capacity + stream_pool__slack(core, buf));
    ((stream_pool__front *)(void *)buf->data - 1)->mark = 0;
    stream__a64_add_relaxed(&shelf->discarded, 1);
    stream__a64_add_relaxed(&shelf->live, 0 - UINT64_C(1));
    stream__a64_add_relaxed(&shelf->bytes, 0 - (uint64_t)capacity);
    if (buf->place)
        stream_pool__place_leave(core, buf->tier, buf->place);
    else
        buf->mark = 0;
    if (!core->arena) stream__resize(&core->allocator, block, capacity + STREAM_POOL__OVERHEAD, 0, 1);
    stream__a64_add_relaxed(&core->bytes, 0 - (uint64_t)capacity); /* not before the free */
    stream_pool__drop(core);
}

/* ==[ find ]== kept buffers found: in a cache, on a list, anywhere ---------------------------------- */

/* CACHED -> to, whoever's cache remembers it; false if it is not, or no longer, CACHED. seen: the state as
   the caller knows or guesses it. */
STREAM__FN bool stream_pool__claim(stream_pool_buf *buf, uint64_t seen, uint64_t to) {
    while (seen & STREAM_POOL__CACHED) {
        /* Acquire: receives the handle and the bytes as the release, or the refill, published them. Relaxed,
           the new owner's first writes could overtake the old one's last reads. Release publishes nothing
           but a link that the push publishes again. */
        if (stream__a64_cas_acq_rel(&buf->state, &seen, to)) return true;
    }
    return false;
}

/* A kept buffer, whose state says OUT already, as its new owner gets it. */
STREAM__FN stream_pool_buf *stream_pool__hand_out(stream_pool_buf *buf) {
    STREAM__READS(buf, offsetof(stream_pool_buf, len));
    STREAM__WRITES(&buf->len, sizeof buf->len);
    /* relaxed: ours, and others only add it up */
    stream__a64_store_relaxed(&buf->uses, stream__a64_load_relaxed(&buf->uses) + 1);
    STREAM_POOL_UNPOISON(buf->data, buf->capacity);
    buf->len = 0;
    return buf;
}

/* The newest buffer of a tier that the cache remembers and that is still there. */
STREAM__FN stream_pool_buf *stream_pool__recall(stream_pool__core *core, stream_pool_cache *cache,
                                                unsigned tier) {
    while (cache->n[tier] > 0) {
        uint32_t place = cache->place[tier][--cache->n[tier]];
        stream_pool_buf *buf;
        /* The cache may be thinking of a freed pool that lay at the same address: any place will do, if
           there is such a one. */
        if (place > core->count[tier]) continue;
        buf = stream_pool__at(core->table[tier], place);
        if (stream_pool__claim(buf, STREAM_POOL__CACHED, STREAM_POOL__OUT | 1))
            return stream_pool__hand_out(buf);
    }
    return NULL;
}

/* The newest buffer on the list; and with a cache, which is empty, some more for it to remember. */
STREAM__FN stream_pool_buf *stream_pool__take(stream_pool__core *core, stream_pool_cache *cache,
                                              unsigned tier) {
    char *table = core->table[tier];
    uint32_t got, place, most = cache ? core->hold[tier] / 2 + 1 : 1;
    stream_pool_buf *first, *buf;
    place = stream_pool__pop(&core->shelf[tier].kept, table, STREAM_POOL__LISTED, most, &got);
    if (!place) return NULL;
    first = stream_pool__at(table, place);
    /* Relaxed, here and below: what we popped is ours. The store: the caller publishes the buffer. */
    place = (uint32_t)stream__a64_load_relaxed(&first->state);
    stream__a64_store_relaxed(&first->state, STREAM_POOL__OUT | 1);
    if (got > 1) cache->n[tier] = got - 1;
    for (got--; got > 0; got--) {
        cache->place[tier][got - 1] = place;
        buf = stream_pool__at(table, place);
        place = (uint32_t)stream__a64_load_relaxed(&buf->state);
        /* Release: hands on what the pop received to whoever claims it, which need not be this thread. */
        stream__a64_store_release(&buf->state, STREAM_POOL__CACHED);
    }
    return stream_pool__hand_out(first);
}

/* Looks at `most` places of a tier, from where the last search ended, for a buffer that somebody's cache
   remembers, or nobody's any more; its state is `to` then. Two searches at once may look at the same
   places. */
STREAM__FN stream_pool_buf *stream_pool__search(stream_pool__core *core, unsigned tier, uint64_t most,
                                                uint64_t to) {
    stream_pool__shelf *shelf = &core->shelf[tier];
    uint64_t fresh = stream__a64_load_relaxed(&shelf->fresh); /* relaxed: these two say where to look, and */
    uint64_t next = stream__a64_load_relaxed(&shelf->next);   /* not what is there */
    stream_pool_buf *buf = NULL;
    bool found = false;
    for (most = most < fresh ? most : fresh; most > 0 && !found; most--) {
        if (next >= fresh) next = 0;
        buf = stream_pool__at(core->table[tier], (uint32_t)++next);
        found = stream_pool__claim(buf, stream__a64_load_relaxed(&buf->state), to); /* relaxed: a guess */
    }
    stream__a64_store_relaxed(&shelf->next, next);
    return found ? buf : NULL;
}

/* A kept buffer of this tier, wherever it is, to be discarded. */
STREAM__FN stream_pool_buf *stream_pool__remove(stream_pool__core *core, unsigned tier) {
    stream__a64 *kept = &core->shelf[tier].kept;
    uint32_t got, place = stream_pool__pop(kept, core->table[tier], STREAM_POOL__LISTED, 1, &got);
    stream_pool_buf *buf;
    if (!place) return stream_pool__search(core, tier, UINT64_MAX, STREAM_POOL__BUSY);
    buf = stream_pool__at(core->table[tier], place);
    stream__a64_store_relaxed(&buf->state, STREAM_POOL__BUSY); /* relaxed: says only that it is not kept */
    return buf;
}

/* Makes room under the cap: gives back one kept buffer of the tiers below, the largest there is. */
STREAM__FN bool stream_pool__discard_one(stream_pool__core *core, unsigned below) {
    if (core->arena) return false;
    while (below-- > 0) {
        stream_pool_buf *buf = stream_pool__remove(core, below);
        if (!buf) continue;
        stream_pool__discard(core, buf);
        return true;
    }
    return false;
}

/* The oldest n that the cache remembers of a tier go on the shared list, in their order. The caller holds a
   buffer, or the pool is not being freed. */
STREAM__FN void stream_pool__shed(stream_pool__core *core, stream_pool_cache *cache, unsigned tier,
                                  uint32_t n) {
    stream__a64 *kept = &core->shelf[tier].kept;
    uint32_t *places = cache->place[tier], i, first = STREAM_POOL__NONE, last = STREAM_POOL__NONE;
    char *table = core->table[tier];
    for (i = 0; i < n; i++) {
        uint32_t place = places[i];
        uint64_t linked = STREAM_POOL__LISTED | first;
        if (place > core->count[tier]) continue; /* as in recall */
        if (!stream_pool__claim(stream_pool__at(table, place), STREAM_POOL__CACHED, linked)) continue;
        if (!last) last = place;
        first = place;
    }
    cache->n[tier] -= n;
    memmove(places, places + n, cache->n[tier] * sizeof places[0]);
    if (!first) return;
    if (stream_pool__push(kept, STREAM_POOL__LISTED, first, stream_pool__at(table, last))) return;
    for (i = first; i; i = first) { /* the pool is being freed, and these are ours */
        stream_pool_buf *buf = stream_pool__at(table, i);
        first = i == last ? STREAM_POOL__NONE : (uint32_t)stream__a64_load_relaxed(&buf->state);
        stream_pool__discard(core, buf);
    }
}

#ifdef STREAM_POOL__THREAD_LOCAL
/* What this thread remembers. Of pools only the address is known here, which is compared and never followed:
   a pool may be freed, and another one lie there, as recall explains. */
static STREAM_POOL__THREAD_LOCAL struct stream_pool__memory {
    stream_pool_cache cache[2];
    uint32_t strangers; /* calls on pools that no cache is for */
} stream_pool__mine;

/* This thread's cache for a pool, if it is the first one. */
STREAM__FN stream_pool_cache *stream_pool__first(const stream_pool__core *core) {
    return stream_pool__mine.cache[0].core == core ? &stream_pool__mine.cache[0] : NULL;
}

/* Else: the second one, or one that goes over to this pool, or NULL. One not used so far goes over at once.
   One that another pool uses does so seldom, as what it remembers is then found by searches only; and it is
   the one that stayed the last time. */
STREAM__FN stream_pool_cache *stream_pool__further(stream_pool__core *core) {
    stream_pool_cache *cache = stream_pool__mine.cache;
    if (cache[1].core == core) return &cache[1];
    if (cache[0].core && cache[1].core) {
        if (++stream_pool__mine.strangers % STREAM_POOL__STRANGERS != 0) return NULL;
        cache += stream_pool__mine.strangers / STREAM_POOL__STRANGERS & 1;
    } else if (cache[0].core) {
        cache++;
    }
    memset(cache, 0, sizeof *cache);
    cache->core = core;
    return cache;
}

STREAM__FN void stream_pool__forget(const stream_pool__core *core) {
    stream_pool_cache *cache = stream_pool__mine.cache;
    if (cache[0].core == core) cache[0].core = NULL;
    if (cache[1].core == core) cache[1].core = NULL;
}
#else
STREAM__FN stream_pool_cache *stream_pool__first(const stream_pool__core *core) {
    (void)core;
    return NULL;
}

STREAM__FN stream_pool_cache *stream_pool__further(const stream_pool__core *core) {
    (void)core;
    return NULL;
}

STREAM__FN void stream_pool__forget(const stream_pool__core *core) { (void)core; }
#endif

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
    for (i = l.tiers; i <= STREAM_POOL_MAX_TIERS; i++) core->size[i] = SIZE_MAX;
    for (i = 0; i < l.tiers; i++) {
        core->size[i] = l.tier[i].size;
        core->count[i] = (uint32_t)l.tier[i].count;
        core->hold[i] = stream_pool__hold(l.tier[i].size, l.tier[i].count);
        core->quick[i] = core->wipe || STREAM_POOL__POISONS ? 0 : core->hold[i];
        core->table[i] = (char *)core + l.table[i];
        if (core->arena) core->blocks[i] = (char *)core + l.blocks[i];
    }
    stream__a64_store_relaxed(&core->refs, 1); /* relaxed: the caller publishes the pool */
    pool->core = core;
    return STREAM_OK;
}

STREAM_API void stream_pool_free(stream_pool *pool) {
    stream_pool__core *core;
    unsigned i;
    uint32_t place, fresh;
    if (!pool || !pool->core) return;
    core = pool->core;
    pool->core = NULL;
    stream_pool__forget(core);
    for (i = 0; i < core->tiers; i++) {
        stream__a64 *kept = &core->shelf[i].kept;
        uint64_t state = stream__a64_load_relaxed(kept); /* relaxed: the exchange does the receiving */
        /* Acquire: receives all places of the list, as a pop would. From here on who would put a buffer on
           the list sees CLOSED and gives it back himself; what came in time is on the list. */
        while (!stream__a64_cas_acq_rel(kept, &state, STREAM_POOL__CLOSED)) {
        }
        while ((uint32_t)state != STREAM_POOL__NONE) {
            stream_pool_buf *buf = stream_pool__at(core->table[i], (uint32_t)state);
            state = stream__a64_load_relaxed(&buf->state); /* relaxed: the list is ours alone */
            stream_pool__discard(core, buf);
        }
        /* What caches remember; and who has yet to release a buffer into one shall see that he may not. */
        /* relaxed: no acquire is under way */
        fresh = (uint32_t)stream__a64_load_relaxed(&core->shelf[i].fresh);
        for (place = 1; place <= fresh; place++) {
            stream_pool_buf *buf = stream_pool__at(core->table[i], place);
            state = stream__a64_load_relaxed(&buf->state); /* relaxed: a guess */
            while (state & (STREAM_POOL__OUT | STREAM_POOL__BUSY)) {
                /* In the order of exchanges on this word, a release comes before, and is CACHED below, or
                   after, and sees the mark. Relaxed: the mark is all that it tells. */
                if (stream__a64_cas_relaxed(&buf->state, &state, state | STREAM_POOL__ORPHAN)) break;
            }
            if (stream_pool__claim(buf, state, STREAM_POOL__BUSY)) stream_pool__discard(core, buf);
        }
    }
    stream_pool__drop(core);
}

/* The newest one remembered was not there. Take an older one, or from the list, or come upon one; else make
   one; else search all there are, of this size and larger ones; else give back a smaller one and try again;
   else refuse. Each turn gives back one buffer, so turns end when the pool keeps nothing. */
STREAM_POOL__RARE_FN stream_status stream_pool__acquire_slow(stream_pool__core *core,
                                                             stream_pool_cache *cache, size_t size,
                                                             stream_pool_buf **out) {
    const uint64_t one = STREAM_POOL__OUT | 1;
    stream_status status = STREAM_E_ARGUMENT;
    unsigned tier = stream_pool__tier_of(core, size);
    bool oversize = tier == core->tiers;
    size_t capacity = oversize ? size : core->size[tier];
    unsigned i = tier;
    bool possible = capacity <= core->max_bytes && capacity <= STREAM_POOL__LIMIT - STREAM_POOL__OVERHEAD;
    while (i < core->tiers && core->count[i] == 0) i++;
    if (core->arena && i == core->tiers) possible = false; /* there is none as large, nor will there be */
    *out = NULL;
    if (!oversize) {
        stream_pool_buf *buf;
        if (cache) *out = stream_pool__recall(core, cache, tier);
        if (*out) return STREAM_OK;
        *out = stream_pool__take(core, cache, tier);
        if (*out) return STREAM_OK;
        buf = stream_pool__search(core, tier, STREAM_POOL__LOOKS, one);
        if (buf) {
            *out = stream_pool__hand_out(buf);
            return STREAM_OK;
        }
    }
    while (possible) {
        status = stream_pool__make(core, tier, capacity, out);
        if (status == STREAM_OK) return status;
        for (i = tier; i < core->tiers; i++) {
            stream_pool_buf *buf;
            *out = stream_pool__take(core, NULL, i);
            if (*out) return STREAM_OK;
            buf = stream_pool__search(core, i, UINT64_MAX, one);
            if (buf) {
                *out = stream_pool__hand_out(buf);
                return STREAM_OK;
            }
            /* An arena's larger ones are there already, used before or not. */
            if (core->arena && i > tier && stream_pool__make(core, i, core->size[i], out) == STREAM_OK)
                return STREAM_OK;
        }
        possible = stream_pool__discard_one(core, tier);
    }
    *out = NULL;
    stream__a64_add_relaxed(&core->shelf[tier].refused, 1);
    return status;
}

/* The common case: what the cache remembers last is there. */
STREAM__FN stream_status stream_pool__acquire(stream_pool__core *core, stream_pool_cache *cache, size_t size,
                                              stream_pool_buf **out) {
    unsigned tier = stream_pool__tier_of(core, size);
    uint32_t n = cache->n[tier], place;
    if (n > 0 && (place = cache->place[tier][n - 1]) <= core->count[tier]) { /* both as in recall and claim */
        uint64_t kept = STREAM_POOL__CACHED;
        stream_pool_buf *buf = stream_pool__at(core->table[tier], place);
        if (stream__a64_cas_acq_rel(&buf->state, &kept, STREAM_POOL__OUT | 1)) {
            cache->n[tier] = n - 1;
            *out = stream_pool__hand_out(buf);
            return STREAM_OK;
        }
    }
    return stream_pool__acquire_slow(core, cache, size, out);
}

STREAM_POOL__RARE_FN stream_status stream_pool__acquire_further(stream_pool__core *core, size_t size,
                                                                stream_pool_buf **out) {
    stream_pool_cache *cache = stream_pool__further(core);
    return cache ? stream_pool__acquire(core, cache, size, out)
                 : stream_pool__acquire_slow(core, NULL, size, out);
}

STREAM_API stream_status stream_pool_acquire(stream_pool *pool, size_t size, stream_pool_buf **buf) {
    if (!buf) return STREAM_E_ARGUMENT;
    if (pool && pool->core) {
        stream_pool_cache *cache = stream_pool__first(pool->core);
        if (cache) return stream_pool__acquire(pool->core, cache, size, buf);
        return stream_pool__acquire_further(pool->core, size, buf);
    }
    *buf = NULL;
    return STREAM_E_STATE;
}

STREAM__FN void stream_pool__misused(const stream_pool_buf *buf) {
    stream__a64_add_relaxed(&buf->core->shelf[buf->tier].misused, 1);
}

STREAM_API stream_pool_buf *stream_pool_retain(stream_pool_buf *buf) {
    uint64_t state;
    if (!stream_pool__is(buf)) return NULL;
    state = stream__a64_load_relaxed(&buf->state); /* relaxed: a number, compared below */
    do {
        if (!(state & STREAM_POOL__OUT)) {
            stream_pool__misused(buf);
            return NULL;
        }
        if ((uint32_t)state == UINT32_MAX) return NULL;
        /* An exchange and no add, which would raise a released buffer from the dead for a moment. Relaxed:
           the caller's own reference keeps the buffer, and handing it over is what publishes. */
    } while (!stream__a64_cas_relaxed(&buf->state, &state, state + 1));
    return buf;
}

/* All that a release can meet. The cache is this pool's, or NULL. */
STREAM_POOL__RARE_FN stream_status stream_pool__release_slow(stream_pool_buf *buf, stream_pool_cache *cache) {
    stream_pool__core *core;
    uint64_t state = stream__a64_load_relaxed(&buf->state); /* relaxed: as in retain */
    uint64_t busy = STREAM_POOL__BUSY;
    uint32_t place, n, hold;
    unsigned tier;
    bool last;
    do {
        if (!(state & STREAM_POOL__OUT)) {
            stream_pool__misused(buf);
            return STREAM_E_STATE;
        }
        last = (uint32_t)state == 1;
        /* Acq_rel: release, so that all we did with the bytes comes before what the last holder does
           next; acquire, so that the last holder comes after all the others. Without either, a buffer
           is wiped, poisoned or handed out again under a thread that still reads it. */
    } while (!stream__a64_cas_acq_rel(&buf->state, &state, last ? busy : state - 1));
    if (!last) return STREAM_OK;

    core = buf->core;
    tier = buf->tier;
    place = buf->place;
    if (core->wipe) stream_pool__wipe(buf->data, buf->capacity);
    if (!(state & (STREAM_POOL__LOOSE | STREAM_POOL__ORPHAN))) {
        STREAM_POOL_POISON(buf->data, buf->capacity);
        if (cache) {
            hold = core->hold[tier];
            n = cache->n[tier] < hold ? 0 : cache->n[tier] - hold / 2;
            if (n) stream_pool__shed(core, cache, tier, n);
            while (busy == STREAM_POOL__BUSY) {
                /* Release: publishes the handle and the wiped bytes to whoever claims it. After this the
                   core may be gone, and only the cache is ours. */
                if (!stream__a64_cas_acq_rel(&buf->state, &busy, STREAM_POOL__CACHED)) continue;
                cache->place[tier][cache->n[tier]++] = place;
                return STREAM_OK;
            } /* else the pool has been freed since */
        } else if (stream_pool__push(&core->shelf[tier].kept, STREAM_POOL__LISTED, place, buf)) {
            return STREAM_OK;
        }
    }
    stream_pool__discard(core, buf);
    return STREAM_OK;
}

/* The common case: it is the last reference, and the cache has room. */
STREAM__FN stream_status stream_pool__release(stream_pool_buf *buf, stream_pool_cache *cache) {
    uint64_t state = STREAM_POOL__OUT | 1;
    unsigned tier = buf->tier;
    uint32_t place = buf->place, n = cache->n[tier];
    if (n < buf->core->quick[tier]) {
        cache->place[tier][n] = place;
        /* Acq_rel, as in release_slow: this is all of that in one exchange. */
        if (stream__a64_cas_acq_rel(&buf->state, &state, STREAM_POOL__CACHED)) {
            cache->n[tier] = n + 1;
            return STREAM_OK;
        }
    }
    return stream_pool__release_slow(buf, cache);
}

STREAM_POOL__RARE_FN stream_status stream_pool__release_further(stream_pool_buf *buf) {
    stream_pool_cache *cache = stream_pool__further(buf->core);
    return cache ? stream_pool__release(buf, cache) : stream_pool__release_slow(buf, NULL);
}

STREAM_API stream_status stream_pool_release(stream_pool_buf *buf) {
    stream_pool_cache *cache;
    if (!buf) return STREAM_OK;
    if (!stream_pool__is(buf)) return STREAM_E_ARGUMENT;
    cache = stream_pool__first(buf->core);
    if (cache) return stream_pool__release(buf, cache);
    return stream_pool__release_further(buf);
}

STREAM_API stream_status stream_pool_cache_init(stream_pool_cache *cache, stream_pool *pool) {
    if (!cache) return STREAM_E_ARGUMENT;
    memset(cache, 0, sizeof *cache);
    if (!pool || !pool->core) return STREAM_E_STATE;
    cache->core = pool->core;
    return STREAM_OK;
}

STREAM_API void stream_pool_cache_free(stream_pool_cache *cache) {
    unsigned i;
    if (!cache || !cache->core) return;
    for (i = 0; i < cache->core->tiers; i++) stream_pool__shed(cache->core, cache, i, cache->n[i]);
    cache->core = NULL;
}

STREAM_API stream_status stream_pool_cache_acquire(stream_pool_cache *cache, size_t size,
                                                   stream_pool_buf **buf) {
    if (!buf) return STREAM_E_ARGUMENT;
    if (cache && cache->core) return stream_pool__acquire(cache->core, cache, size, buf);
    *buf = NULL;
    return STREAM_E_STATE;
}

STREAM_API stream_status stream_pool_cache_release(stream_pool_cache *cache, stream_pool_buf *buf) {
    if (!buf) return STREAM_OK;
    if (!stream_pool__is(buf)) return STREAM_E_ARGUMENT;
    if (cache && cache->core == buf->core) return stream_pool__release(buf, cache);
    return stream_pool__release_slow(buf, NULL);
}

STREAM_API uint32_t stream_pool_refs(const stream_pool_buf *buf) {
    uint64_t state;
    if (!stream_pool__is(buf)) return 0;
    /* Acquire: receives what the others' releases published. Relaxed, one who sees 1 and writes could
       overtake the last read of one who has just let go. */
    state = stream__a64_load_acquire(&buf->state);
    return state & STREAM_POOL__OUT ? (uint32_t)state : 0;
}

/* ==[ care ]== trim, statistics, the bridge to stream_buffers --------------------------------------- */

STREAM_API size_t stream_pool_memory(const stream_pool_desc *desc) {
    stream_pool_desc zero;
    stream_pool__layout l;
    memset(&zero, 0, sizeof zero);
    return stream_pool__plan(desc ? desc : &zero, &l) ? l.all : 0;
}

STREAM_API stream_pool_buf *stream_pool_buf_of(void *data) {
    const stream_pool__front *front;
    if (!data || ((uintptr_t)data & (STREAM_CACHE_LINE - 1)) != 0) return NULL;
    front = (const stream_pool__front *)data - 1;
    return front->mark == stream_pool__mark(data) ? (stream_pool_buf *)(uintptr_t)front->buf : NULL;
}

STREAM__FN size_t stream_pool__trim_tier(stream_pool__core *core, unsigned tier, uint64_t most) {
    size_t bytes = 0;
    while (most-- > 0) { /* bounded: others may go on releasing */
        stream_pool_buf *buf = stream_pool__remove(core, tier);
        if (!buf) break;
        bytes += buf->capacity;
        stream_pool__discard(core, buf);
    }
    return bytes;
}

STREAM__FN size_t stream_pool__trimmed(const stream_pool__core *core, size_t bytes) {
    if (bytes >> 20 && !core->allocator.resize) STREAM_POOL_GIVE_BACK();
    return bytes;
}

STREAM_API size_t stream_pool_trim(stream_pool *pool) {
    size_t bytes = 0;
    unsigned i;
    if (!pool || !pool->core || pool->core->arena) return 0;
    for (i = 0; i < pool->core->tiers; i++)
        bytes += stream_pool__trim_tier(pool->core, i, pool->core->count[i]);
    return stream_pool__trimmed(pool->core, bytes);
}

STREAM_API size_t stream_pool_trim_idle(stream_pool *pool) {
    stream_pool__core *core;
    size_t bytes = 0;
    unsigned i;
    if (!pool || !pool->core || pool->core->arena) return 0;
    core = pool->core;
    for (i = 0; i < core->tiers; i++) {
        uint64_t idle = 0, n = stream__a64_load_relaxed(&core->shelf[i].fresh), k;
        for (k = 1; k <= n; k++) {
            stream_pool_buf *buf = stream_pool__at(core->table[i], (uint32_t)k);
            uint64_t state = stream__a64_load_relaxed(&buf->state); /* relaxed: an estimate, safe if stale */
            if (!(state & STREAM_POOL__KEPT)) continue;
            if (state & STREAM_POOL__IDLE)
                idle++;
            else /* goes with the next use; relaxed: only a mark, and if it fails, there was a use just now */
                stream__a64_cas_relaxed(&buf->state, &state, state | STREAM_POOL__IDLE);
        }
        /* How many went unused is what counts, not which: those on top of the list go, and those that stay,
           from below, are the ones used next. To dig for the unused ones would take the others off the list
           meanwhile, and an acquire just then would find nothing. */
        bytes += stream_pool__trim_tier(core, i, idle);
    }
    return stream_pool__trimmed(pool->core, bytes);
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
    uint64_t kept = 0, uses = 0, k, n = stream__a64_load_relaxed(&shelf->fresh);
    for (k = 1; k <= n; k++) {
        const stream_pool_buf *buf = stream_pool__at(core->table[tier], (uint32_t)k);
        kept += (stream__a64_load_relaxed(&buf->state) & STREAM_POOL__KEPT) != 0;
        uses += stream__a64_load_relaxed(&buf->uses);
    }
    c->size = tier < core->tiers ? core->size[tier] : 0;
    c->allocated = stream__a64_load_relaxed(&shelf->allocated);
    c->reused = uses;
    c->discarded = stream__a64_load_relaxed(&shelf->discarded);
    c->refused = stream__a64_load_relaxed(&shelf->refused);
    c->misused = stream__a64_load_relaxed(&shelf->misused);
    c->kept = kept;
    c->in_use = stream_pool__less(stream__a64_load_relaxed(&shelf->live), kept);
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
    stream_pool pool;
    pool.core = (stream_pool__core *)ctx;
    if (stream_pool_acquire(&pool, size, &buf) != STREAM_OK) return NULL;
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
