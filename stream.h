/*
stream.h 0.1.0 - handle endless input in C with bounded memory
SPDX-License-Identifier: MIT-0 (full text at the end of this file)

Lines, UTF-8, backpressure, batching, rings and channels between threads, frames, server-sent events,
metrics and a ready-made pipeline for programs that read streams: pipes, sockets, children that talk all day. Bytes in, items
out, and no I/O inside the decoders: you lend bytes, you pull items, and what you hold never grows
with the input.

SWITCHING IT ON

    Copy this one file. In exactly one C or C++ file, before any system header:

        #define STREAM_IMPLEMENTATION
        #include "stream.h"

    Everywhere else include it plainly. C99 to C17, C++11 to C++20; links libc and nothing more.

A COMPLETE PROGRAM: number the lines of standard input, however long they are

        #define STREAM_IMPLEMENTATION
        #include "stream.h"
        #include <stdio.h>

        int main(void) {
            stream_reader r;
            stream_item line;
            stream_status st;
            unsigned long n = 0;
            if (stream_reader_init(&r, NULL) != STREAM_OK) return 1;
            while ((st = stream_reader_next(&r, &line)) != STREAM_END) {
                if (st == STREAM_OK) printf("%6lu  %.*s\n", ++n, (int)line.len, line.ptr);
                else fprintf(stderr, "offset %llu: %s\n", (unsigned long long)line.offset,
                             stream_status_text(st));
            }
            stream_reader_free(&r);
            return 0;
        }

GUARANTEES

    - Memory is bounded by the desc you give, whatever arrives. After init, and once an assembly
      buffer has grown to the longest item seen, nothing is allocated.
    - Every byte is looked at once per layer. An item that lies whole in the bytes you lent comes
      back as a slice of them; only one that spans two loans is copied, once.
    - Where the input is cut makes no difference: the same bytes give the same items, offsets and
      errors.
    - An error concerns one item, names its stream offset, and leaves the next item whole.
    - Nothing is read outside [ptr, ptr + len); no padding is asked of you.
    - Rings, queues and broadcasts never wait, lock, or enter the kernel. A channel does so only to sleep
      and to wake one that sleeps; nothing is lost between the two.
    - Shared words are touched by named, ordered operations alone; the reason for each order stands beside
      it. ThreadSanitizer has nothing to say, and nothing is suppressed.
    - No abort, no exit, no printing, no recursion on input, no mutable global state.

LIMITS

    - LF ends a line, and one CR before it is dropped. Nothing else frames: a lone CR, U+2028, VT
      and FF are ordinary bytes.
    - Decoders are single-threaded objects; counters, gauges, histograms, stream_flow and everything from
      [ring] to [broadcast] are not: who may call what is said at each.
    - Rings and their kin work between the threads of one process, not in memory shared by several.
    - 64-bit atomics are taken for granted; a 32-bit processor without them needs STREAM_NO_THREADS.
    - On Windows link with synchronization.lib and ws2_32.lib (-lsynchronization -lws2_32); channels have no wake
      descriptor there, stream_io no poll, and there is no splice.
    - On Windows the reader takes C runtime descriptors (set them to binary mode yourself).

CONFIGURATION (define before including, the same in every file)

    STREAM_IMPLEMENTATION   emit the function bodies here                  (one file only)
    STREAM_STATIC           make every function static                     (each file that includes)
    STREAM_API              linkage of public functions                    extern
    STREAM_NO_OS            leave out everything that touches a descriptor or a clock
                                                                           off; on where no known OS
    STREAM_NO_MALLOC        no default allocator: give one, or memory      off
    STREAM_NO_THREADS       plain loads and stores instead of atomics; then, and under STREAM_NO_OS,
                            channels do not wait                           off
    STREAM_NO_AVX512        AVX2 at most, and less code                    off
    STREAM_WAIT_PTHREAD     channels sleep on condition variables          off; on where no futex
    STREAM_MALLOC(n), STREAM_REALLOC(p, n), STREAM_FREE(p)
                            what the default allocator calls               malloc, realloc, free
    STREAM_SYS_READ(fd, p, n)
                            the system call behind every read              read
    STREAM_SYS_WRITE(fd, p, n)
                            the one that wakes an event loop               write
    STREAM_SYS_FUTEX(word, op, value, deadline)
                            the one that sleeps and wakes on Linux         futex
    STREAM_SYS_WRITEV, _RECV, _SEND, _SENDMSG, _ACCEPT, _CONNECT, _POLL, _EPOLL_CTL, _EPOLL_WAIT, _KEVENT,
    _URING_SETUP, _URING_ENTER, _SPLICE, _TEE, _NOW
                            those behind stream_io and stream_splice, by the same names
    STREAM_IO_EPOLL, STREAM_IO_URING, STREAM_IO_KQUEUE, STREAM_IO_IOCP
                            1 or 0: compile that backend in                what the system has
    STREAM_CACHE_LINE       what keeps two threads' fields apart, bytes    64 (128 on Apple arm64)

CONTENTS (search for the banner)

    [base]      status, slices, items, decoders, the allocator hook (shared by the three headers)
    [atomics]   ordered loads and stores (shared with stream_pool.h)
    [bytes]     find a byte, a newline, any of a few
    [utf8]      validation, whole and in fragments; where to cut
    [lines]     the line decoder, no I/O
    [reader]    lines from a descriptor, three tiers of buffers
    [flow]      how far a consumer lags, and what the producer should do about it; credits
    [batch]     flush after N items, N bytes or T
    [ring]      bytes from one thread to one other
    [spsc]      pointers from one thread to one other
    [queue]     pointers between any number of threads, bounded, with an urgent lane
    [channel]   a queue that waits, closes, and wakes event loops
    [broadcast] one writer, many readers, each at its own place
    [diff]      which rows of a screen changed
    [frame]     [type][length][payload], both ways
    [sse]       server-sent events, both ways; or only where they end
    [metrics]   counters, gauges, latency histogram; Prometheus and JSON text
    [pipeline]  source -> borrowed buffer -> decoder -> you, with metrics wired
    [io]        many descriptors in one thread: epoll, io_uring, kqueue, poll, completion ports
    [splice]    bytes from one descriptor to another without a copy
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

#ifndef STREAM_H
#define STREAM_H

#if !defined(STREAM_NO_OS) && !defined(_WIN32) && !defined(__unix__) && !defined(__APPLE__)
#define STREAM_NO_OS 1
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* STREAM_VERSION as it was where the implementation was compiled. Constant text; any thread. */
STREAM_API const char *stream_version(void);

/* ==[ bytes ]========================================================================================
   Index of the first match in ptr[0, len), or len when there is none. Any thread. */

STREAM_API size_t stream_find_byte(const void *ptr, size_t len, char byte);
STREAM_API size_t stream_find_newline(const void *ptr, size_t len);
/* Any of the set_len bytes of `set`, NUL included if it is among them. */
STREAM_API size_t stream_find_any(const void *ptr, size_t len, const char *set, size_t set_len);

/* A slice of bytes, or of a text without its NUL. */
STREAM_API stream_slice stream_slice_of(const void *ptr, size_t len);
STREAM_API stream_slice stream_slice_text(const char *text);

/* ==[ utf8 ]=========================================================================================
   UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */

/* Whether all of it is well-formed. Any thread. */
STREAM_API bool stream_utf8_valid(const void *ptr, size_t len);

/* The longest prefix that does not end inside a character that could still become valid: where to cut
   text for display, or a send, without making a U+FFFD. At most 3 bytes are left behind. Bytes that
   are no UTF-8 anyway are not held back. */
STREAM_API size_t stream_utf8_cut(const void *ptr, size_t len);

/* Validation in fragments. Zero it to start; 16 bytes, may be copied. */
typedef struct stream_utf8 {
    uint64_t offset; /* bytes accepted; after E_INVALID the offset of the first byte that cannot be */
    uint8_t need;    /* continuation bytes the open character still wants, 0 to 3 */
    uint8_t low, high; /* bounds of the next one */
    uint8_t failed;
} stream_utf8;

/* OK: all characters complete so far. MORE: one is open. E_INVALID: see offset; stays so. */
STREAM_API stream_status stream_utf8_feed(stream_utf8 *state, const void *ptr, size_t len);
/* OK, E_TRUNCATED when a character is open, E_INVALID. */
STREAM_API stream_status stream_utf8_finish(const stream_utf8 *state);

/* ==[ lines ]========================================================================================
   Bytes in, lines out. Follows the protocol at stream_decoder above. One thread at a time. The object
   may be moved while no loan is open.

   A line over max_len is reported once, when its end is known: STREAM_E_TOO_LONG, ptr/len the first
   max_len bytes, size its full length. Until then stream_lines_open() tells how far it has grown.
   If the allocator refuses, the line being assembled is lost (STREAM_E_NOMEM, with the head that could
   be kept) and the next one is whole. After finish, a last line without LF comes out with
   STREAM_UNTERMINATED (a CR at its end is then kept: nothing followed it). */

typedef struct stream_lines_desc {
    size_t max_len;             /* longest line handed out whole, without its end, bytes; 0: 1 MiB */
    size_t first_len;           /* first assembly buffer, bytes; 0: 4 KiB; doubles from there */
    void *memory;               /* NULL, or the assembly buffer: then nothing is ever allocated */
    size_t memory_len;          /* its size, at least 2; max_len becomes at most memory_len - 1 */
    stream_allocator allocator; /* zero: malloc */
} stream_lines_desc;

typedef struct stream_lines {
    uint64_t scanned; /* bytes looked at so far: never above the bytes fed (read only) */
    /* private */
    const char *cur, *end; /* what is left of the loan */
    stream__assembly held; /* the open line's bytes from earlier loans, at most max_len + 1 of them */
    uint64_t offset;       /* stream offset of cur */
    uint64_t open;         /* length of the open line in earlier loans */
    size_t max_len;
    char last; /* last byte of the open line's earlier part */
    bool finished;
} stream_lines;

/* desc NULL: all defaults. OK, or E_ARGUMENT when memory_len is below 2 or max_len above SIZE_MAX / 4;
   nothing is allocated until a line spans two loans. */
STREAM_API stream_status stream_lines_init(stream_lines *lines, const stream_lines_desc *desc);
/* Returns its memory; a zeroed object is fine. */
STREAM_API void stream_lines_free(stream_lines *lines);
/* Ready for another stream from offset 0; keeps its memory and its limits. */
STREAM_API void stream_lines_reset(stream_lines *lines);
/* Lends len bytes until next returns MORE. OK or E_STATE; takes constant time. */
STREAM_API stream_status stream_lines_feed(stream_lines *lines, const void *data, size_t len);
/* The next line in *line: OK, MORE, END, E_TOO_LONG, E_NOMEM. */
STREAM_API stream_status stream_lines_next(stream_lines *lines, stream_item *line);
/* No more input: next() now hands out the tail, then END. May be called before MORE, and twice. */
STREAM_API stream_status stream_lines_finish(stream_lines *lines);
/* Bytes of the line that is still open, as of the last MORE. */
STREAM_API uint64_t stream_lines_open(const stream_lines *lines);
/* The same decoder behind function pointers. */
STREAM_API stream_decoder stream_lines_decoder(stream_lines *lines);

/* ==[ flow ]=========================================================================================
   How far a consumer lags behind its producer, in a unit of your choice (messages, bytes), and what the
   producer had best do about it. It advises and never sleeps. One producer thread calls sent, slow,
   delay_ns and advise_ns; one consumer thread calls consumed; any thread may read lag and watch.

   Slow mode has hysteresis: it begins when the lag rises above `high` and ends when it falls below
   `low`, so that it does not flutter about one mark.

   Two kinds of advice. delay_ns knows the marks only. advise_ns also measures how fast the consumer drains
   the queue, and keeps as much in it as the consumer does in target_ns: enough that it never has to wait,
   so little that nothing is old when its turn comes. It asks the producer to ask again:

       while ((pause = stream_flow_advise_ns(&flow, now_ns)) > 0) wait(pause);
       stream_flow_sent(&flow, send());

   Then the lag stays below the target, but for what one send puts on top. Slow mode begins above twice the
   target, which takes a single send as large as that or a consumer that slows down, and ends below one and a
   half. A send of up to twice the target is recovered from in one and a half target_ns, 150 ms by default.
   While no rate is known, a sixteenth of size goes out and the producer is asked to wait until the consumer
   has shown what it can. */

typedef struct stream_flow_desc {
    uint64_t size;          /* what the queue between the two holds, in units; 0: 100 */
    uint64_t high;          /* slow mode begins above this lag; 0: 2 x size */
    uint64_t low;           /* and ends below this one; 0: size / 2, at least 1, at most high */
    uint64_t delay_ns;      /* advised while the lag is above size; 0: 10 ms */
    uint64_t slow_delay_ns; /* advised in slow mode, and the most that advise_ns asks for; 0: 100 ms */
    uint64_t target_ns;     /* advise_ns: how much work the queue should hold; 0: 100 ms */
} stream_flow_desc;

typedef struct stream_flow {
    /* private; the producer writes the first group, the consumer the second: a line apart, so that
       neither's store takes the line from the other */
    stream__a64 sent;
    stream__a64 slow;    /* 0 or 1 */
    stream__a64 slowed;  /* times slow mode began */
    stream__a64 max_lag; /* high-water mark */
    stream__a64 recovery_ns, worst_recovery_ns; /* how long slow mode lasted: the last time, the longest */
    stream_flow_desc desc;
    uint64_t high, low;  /* the marks in force: desc's, or after the measured rate */
    uint64_t cost;       /* nanoseconds the consumer takes for 1024 units; 0: not known yet */
    uint64_t mark_ns, mark_consumed; /* where the measurement that is going on began */
    uint64_t asked;      /* sent, when advise_ns was called last */
    uint64_t slow_since; /* the first advise_ns in slow mode; 0: not in it */
    bool measuring, idle; /* idle: the queue ran empty since mark_ns, so the consumer could do more */
    char apart[STREAM_CACHE_LINE];
    stream__a64 consumed;
} stream_flow;

/* desc NULL: all defaults. E_ARGUMENT when low is above high. */
STREAM_API stream_status stream_flow_init(stream_flow *flow, const stream_flow_desc *desc);
STREAM_API void stream_flow_sent(stream_flow *flow, uint64_t units);
STREAM_API void stream_flow_consumed(stream_flow *flow, uint64_t units);
/* Units sent and not yet consumed. */
STREAM_API uint64_t stream_flow_lag(const stream_flow *flow);
/* Whether slow mode is on, after judging the present lag. */
STREAM_API bool stream_flow_slow(stream_flow *flow);
/* How long the producer should pause before it sends again: 0, delay_ns or slow_delay_ns. */
STREAM_API uint64_t stream_flow_delay_ns(stream_flow *flow);
/* 0: send. Else: pause so long, and ask again. From the first call on, the marks follow the measured rate. */
STREAM_API uint64_t stream_flow_advise_ns(stream_flow *flow, uint64_t now_ns);
STREAM_API uint64_t stream_flow_max_lag(const stream_flow *flow);
STREAM_API uint64_t stream_flow_times_slowed(const stream_flow *flow);

/* What one watcher sees of a flow; any number may watch, each with a monitor and a window of its own. Zero it
   to start. */
typedef struct stream_flow_monitor {
    uint64_t window_ns;                 /* yours to set; rates are over the last one or two; 0: 1 s */
    uint64_t sent, consumed, lag, max_lag, times_slowed;
    uint64_t sent_per_s, consumed_per_s;
    uint64_t recovery_ns, worst_recovery_ns; /* slow mode, as advise_ns saw it begin and end; 0: never yet */
    bool slow;
    /* private */
    bool begun;
    struct {
        uint64_t ns, sent, consumed;
    } older, newer;
} stream_flow_monitor;

/* Fills in the numbers. One thread for each monitor. */
STREAM_API void stream_flow_watch(stream_flow_monitor *monitor, const stream_flow *flow, uint64_t now_ns);

/* A budget, of bytes or messages: the consumer gives what it has room for, producers take before they send.
   Zero it to start. What the giver did before is seen by whoever takes what it gave. Any thread. */
typedef struct stream_credits {
    stream__a64 left;
} stream_credits;

STREAM_API void stream_credits_give(stream_credits *credits, uint64_t units);
/* All of them (OK) or none (FULL). */
STREAM_API stream_status stream_credits_take(stream_credits *credits, uint64_t units);
/* At most so many; how many. */
STREAM_API uint64_t stream_credits_take_some(stream_credits *credits, uint64_t most);
STREAM_API uint64_t stream_credits_left(const stream_credits *credits);

/* ==[ batch ]========================================================================================
   When to flush: after so many items, so many bytes, or so long after the first of them. It holds
   counts, not items. One thread. */

typedef struct stream_batch_desc {
    size_t max_items;   /* 0: 32 */
    size_t max_bytes;   /* 0: no limit */
    uint64_t max_ns;    /* age of the oldest item; 0: 5 ms */
} stream_batch_desc;

typedef struct stream_batch {
    size_t items, bytes;  /* waiting now (read only) */
    uint64_t deadline_ns; /* when they are due; UINT64_MAX when nothing waits (read only) */
    stream_batch_desc desc;
} stream_batch;

STREAM_API void stream_batch_init(stream_batch *batch, const stream_batch_desc *desc);
/* Counts one item; true when the batch should be flushed now. */
STREAM_API bool stream_batch_add(stream_batch *batch, size_t bytes, uint64_t now_ns);
/* True when something waits and its time has come. */
STREAM_API bool stream_batch_due(const stream_batch *batch, uint64_t now_ns);
/* Nanoseconds to wait at the most: 0 when due, UINT64_MAX when nothing waits. */
STREAM_API uint64_t stream_batch_wait_ns(const stream_batch *batch, uint64_t now_ns);
/* Call after flushing: nothing waits any more. */
STREAM_API void stream_batch_flushed(stream_batch *batch);

/* ==[ ring ]=========================================================================================
   Bytes from one thread to one other (spsc): one producer, one consumer, no lock, no system call, never
   waits. One fixed block of memory, all of it usable. Producer and consumer may be the same thread.

   Each side may copy (write, read) or work in the ring itself: the producer reserves a span, fills it and
   commits as much of it as it used; the consumer peeks at spans and consumes. A span is contiguous: a
   record that is reserved whole never straddles the end of the memory, and the consumer sees it in one
   piece. For that the producer may have to give up what is left before the end and start again at the
   beginning. The rule for a producer that stalls: a record of up to half the capacity fits as soon as that
   much more than its own length is free; a longer one, up to the whole capacity, fits at the latest when
   the consumer has taken everything and has then asked once more (peek and read step over what was given
   up). write never gives anything up.

   Several steps can be made visible at once: stage instead of commit, then publish. The consumer sees all
   of them or none.

   Fork: the child has a copy of its own and may use it if no other thread was inside a call on the ring
   when the process forked; to free it is always safe. */

/* Puts at most `cap` bytes at data and says how many in *got. OK (got above 0), EMPTY (would block),
   END, or E_IO. */
typedef struct stream_source {
    void *ctx;
    stream_status (*read)(void *ctx, void *data, size_t cap, size_t *got);
} stream_source;

typedef struct stream_ring_desc {
    size_t capacity;            /* bytes, any number up to SIZE_MAX / 2; 0: 64 KiB */
    void *memory;               /* NULL, or the ring's memory: capacity bytes of yours, then not 0 */
    uint64_t start;             /* where its counters begin; tests let them begin near their end */
    stream_allocator allocator; /* zero: malloc; called in init and free only */
} stream_ring_desc;

/* Producer and consumer write to different cache lines, each beside a copy of what it last saw of the
   other's counter, and look at the other's line only when that copy says full, or empty. In a stream that
   flows that is once for many calls. */
typedef struct stream_ring {
    /* private; the counters run freely, only their differences mean anything */
    char apart[STREAM_CACHE_LINE];
    stream__a64 tail;    /* bytes published; the producer writes, the consumer reads */
    stream__a64 mark;    /* where the part given up last begins; written before the tail that covers it */
    stream__a64 closed;  /* 0 or 1 */
    uint64_t staged;     /* bytes written, published or not; from here on the producer's own */
    uint64_t head_seen;
    size_t write_at;     /* staged, as an index into bytes */
    size_t reserved;     /* length of the open reservation */
    char *producer_bytes;
    size_t producer_capacity;
    char apart_too[STREAM_CACHE_LINE];
    stream__a64 head;    /* bytes consumed; the consumer writes, the producer reads */
    uint64_t tail_seen;  /* from here on the consumer's own */
    uint64_t mark_seen;
    size_t read_at;      /* head, as an index into bytes */
    char *consumer_bytes;
    size_t consumer_capacity;
    bool fixed;          /* the memory is the caller's */
    stream_allocator allocator;
    char apart_at_last[STREAM_CACHE_LINE];
} stream_ring;

/* desc NULL: all defaults. OK, E_ARGUMENT, E_NOMEM. The object must not be moved afterwards. */
STREAM_API stream_status stream_ring_init(stream_ring *ring, const stream_ring_desc *desc);
/* When both sides are done. A zeroed object is fine. */
STREAM_API void stream_ring_free(stream_ring *ring);

/* The producer's. None of them waits.

   Copies what fits, publishes it (with anything staged before) and says how much it was in *put: OK (at
   least one byte, or len is 0), FULL (nothing), E_STATE after close. Drops an open reservation. */
STREAM_API stream_status stream_ring_write(stream_ring *ring, const void *data, size_t len, size_t *put);
/* A contiguous span of len bytes to fill, valid until commit, stage, abort or write. OK, FULL,
   E_TOO_LONG above the capacity, E_STATE after close. */
STREAM_API stream_status stream_ring_reserve(stream_ring *ring, size_t len, void **span);
/* The first len bytes of the span are the consumer's now. OK, or E_ARGUMENT (and nothing happens) when
   that is more than was reserved. */
STREAM_API stream_status stream_ring_commit(stream_ring *ring, size_t len);
/* The same, but not to be seen before publish. */
STREAM_API stream_status stream_ring_stage(stream_ring *ring, size_t len);
STREAM_API void stream_ring_publish(stream_ring *ring);
/* The span is not needed after all. */
STREAM_API void stream_ring_abort(stream_ring *ring);
/* Bytes that write would take now; a lower bound, for the consumer may be making more. */
STREAM_API size_t stream_ring_writable(stream_ring *ring);
/* Publishes what is staged and drops an open reservation; nothing comes after it. The consumer gets END when it
   has taken all. */
STREAM_API void stream_ring_close(stream_ring *ring);

/* The consumer's. None of them waits.

   Copies at most cap bytes to data and says how many in *got: OK (at least one, or cap is 0), EMPTY, END. */
STREAM_API stream_status stream_ring_read(stream_ring *ring, void *data, size_t cap, size_t *got);
/* All that is published, in place: span[0], and span[1] when it goes on at the beginning of the memory
   (else its len is 0). Valid until consume or read takes it. OK, EMPTY, END. */
STREAM_API stream_status stream_ring_peek(stream_ring *ring, stream_slice span[2]);
/* Gives the first len bytes of what peek showed last back to the producer. OK, or E_ARGUMENT (and nothing
   happens) when that is more than there is. */
STREAM_API stream_status stream_ring_consume(stream_ring *ring, size_t len);
/* The ring as the source of a pipeline, on the consumer's thread. */
STREAM_API stream_source stream_ring_source(stream_ring *ring);

/* ==[ spsc ]=========================================================================================
   Pointers from one thread to one other: a ring as above whose unit is a pointer. Nothing waits. What a
   pointer points to is yours; what you wrote there before push is there after pop.

   push and pop are inline: they cost less than a call. */

typedef struct stream_spsc_desc {
    size_t capacity;            /* pointers, any number up to SIZE_MAX / 32; 0: 256 */
    void *memory;               /* NULL, or stream_spsc_memory(capacity) bytes aligned for pointers */
    uint64_t start;             /* as in stream_ring_desc */
    stream_allocator allocator; /* zero: malloc; called in init and free only */
} stream_spsc_desc;

typedef struct stream_spsc {
    /* private; as in stream_ring */
    char apart[STREAM_CACHE_LINE];
    stream__a64 tail;
    uint64_t head_seen; /* from here on the producer's own */
    void **producer_slot;
    uint64_t producer_mask, capacity;
    char apart_too[STREAM_CACHE_LINE];
    stream__a64 head;
    uint64_t tail_seen; /* from here on the consumer's own */
    void **consumer_slot;
    uint64_t consumer_mask;
    bool fixed;
    stream_allocator allocator;
    char apart_at_last[STREAM_CACHE_LINE];
} stream_spsc;

/* Bytes of memory for so many pointers; 0 when capacity is out of range. */
STREAM_API size_t stream_spsc_memory(size_t capacity);
/* desc NULL: all defaults. OK, E_ARGUMENT, E_NOMEM. The object must not be moved afterwards. */
STREAM_API stream_status stream_spsc_init(stream_spsc *ring, const stream_spsc_desc *desc);
/* When both sides are done; what is still inside is yours to fetch before. A zeroed object is fine. */
STREAM_API void stream_spsc_free(stream_spsc *ring);

/* OK or FULL. Producer. */
STREAM__FN stream_status stream_spsc_push(stream_spsc *ring, void *item) {
    uint64_t tail = stream__a64_load_relaxed(&ring->tail); /* relaxed: our own */
    if (tail - ring->head_seen >= ring->capacity) {
        /* acquire, from pop's release: the slots given back have been read, we may write them. */
        ring->head_seen = stream__a64_load_acquire(&ring->head);
        if (tail - ring->head_seen >= ring->capacity) return STREAM_FULL;
    }
    STREAM__WRITES(&ring->producer_slot[tail & ring->producer_mask], sizeof item);
    ring->producer_slot[tail & ring->producer_mask] = item;
    stream__a64_store_release(&ring->tail, tail + 1); /* release: the slot, and what item points to */
    return STREAM_OK;
}

/* OK or EMPTY. Consumer. */
STREAM__FN stream_status stream_spsc_pop(stream_spsc *ring, void **item) {
    uint64_t head = stream__a64_load_relaxed(&ring->head); /* relaxed: our own */
    if (head == ring->tail_seen) {
        /* acquire, from push's release: the slots, and what their pointers point to. */
        ring->tail_seen = stream__a64_load_acquire(&ring->tail);
        if (head == ring->tail_seen) return STREAM_EMPTY;
    }
    STREAM__READS(&ring->consumer_slot[head & ring->consumer_mask], sizeof *item);
    *item = ring->consumer_slot[head & ring->consumer_mask];
    stream__a64_store_release(&ring->head, head + 1); /* release: we have read the slot */
    return STREAM_OK;
}

/* As many of the count pointers as fit, made visible at once; how many that was. Producer. */
STREAM_API size_t stream_spsc_push_n(stream_spsc *ring, void *const *items, size_t count);
/* At most cap pointers, their slots given back at once; how many. Consumer. */
STREAM_API size_t stream_spsc_pop_n(stream_spsc *ring, void **items, size_t cap);

/* ==[ queue ]========================================================================================
   Pointers between any number of threads (mpmc), bounded, first in, first out, with a second lane for
   urgent ones that overtake. Nothing waits (stream_channel does). No thread can make another one's call
   take longer by being stopped, with one exception that all such queues share: an item whose push is
   interrupted half way is not there yet, nor are those behind it in its lane.

   When a lane is full, push does as the overflow policy says, and counts it. It hands back in *dropped
   the pointer that is yours again, if there is one: to free it, to log it.

   Memory: 16 bytes for each item, capacities rounded up to powers of two. A queue of capacity n never
   holds more than n. Fork: as with stream_ring. */

typedef enum stream_overflow {
    STREAM_OVERFLOW_FAIL = 0,     /* push returns FULL; the item stays yours */
    STREAM_OVERFLOW_DROP_NEW = 1, /* push returns OK and hands the item back in *dropped */
    STREAM_OVERFLOW_DROP_OLD = 2  /* push hands the oldest of that lane back in *dropped and takes its place;
                                     when a consumer is just taking that one, as DROP_NEW */
} stream_overflow;

typedef struct stream_queue_desc {
    size_t capacity;            /* items in the ordinary lane; 0: 256 */
    size_t urgent;              /* items in the urgent lane; 0: 16 */
    stream_overflow overflow;   /* 0: FAIL */
    void *memory;               /* NULL, or stream_queue_memory(desc) bytes aligned for uint64_t */
    uint64_t start;             /* as in stream_ring_desc */
    stream_allocator allocator; /* zero: malloc; called in init and free only */
} stream_queue_desc;

typedef struct stream__cell {
    stream__a64 turn; /* whose turn it is: see the implementation */
    void *item;       /* theirs alone while it is their turn */
} stream__cell;

typedef struct stream__lane {
    char apart[STREAM_CACHE_LINE];
    stream__a64 tail; /* twice the number of items pushed, + 1 when closed */
    char apart_too[STREAM_CACHE_LINE];
    stream__a64 head; /* twice the number of items popped */
    char apart_at_last[STREAM_CACHE_LINE];
    stream__cell *cell; /* from here on constant */
    uint64_t mask;      /* cells - 1 */
    uint64_t spare;     /* cells - capacity */
} stream__lane;

typedef struct stream_queue {
    /* private */
    stream__lane lane[2]; /* ordinary, urgent */
    stream_overflow overflow;
    size_t memory_len; /* 0: the memory is the caller's */
    uint64_t start;
    stream_allocator allocator;
    stream__a64 refused, dropped_new, dropped_old;
} stream_queue;

typedef struct stream_queue_usage {
    uint64_t depth;         /* items inside now, both lanes */
    uint64_t pushed, popped; /* ever; those dropped to make room count as popped */
    uint64_t refused;       /* by FAIL, and by push_n */
    uint64_t dropped_new, dropped_old;
} stream_queue_usage;

/* Bytes of memory a queue as described needs; 0 when a capacity is above SIZE_MAX / 64. */
STREAM_API size_t stream_queue_memory(const stream_queue_desc *desc);
/* desc NULL: all defaults. OK, E_ARGUMENT, E_NOMEM. The object must not be moved afterwards. */
STREAM_API stream_status stream_queue_init(stream_queue *queue, const stream_queue_desc *desc);
/* When no thread uses it any more; what is still inside is yours to pop before. A zeroed object is fine. */
STREAM_API void stream_queue_free(stream_queue *queue);

/* OK or FULL; any thread. dropped may be NULL when a pointer may be lost without a trace. */
STREAM_API stream_status stream_queue_push(stream_queue *queue, void *item, void **dropped);
/* The same for the urgent lane, which pop empties first. */
STREAM_API stream_status stream_queue_push_urgent(stream_queue *queue, void *item, void **dropped);
/* The next item, urgent ones first. OK or EMPTY; any thread. */
STREAM_API stream_status stream_queue_pop(stream_queue *queue, void **item);
/* As many of the count items as fit in the ordinary lane, in one step, nobody else's in between; how many
   that was. The rest stays yours, whatever the policy. Any thread. */
STREAM_API size_t stream_queue_push_n(stream_queue *queue, void *const *items, size_t count);
/* At most cap items, in one step from each lane; how many. Any thread. */
STREAM_API size_t stream_queue_pop_n(stream_queue *queue, void **items, size_t cap);
/* Any thread; exact when the queue is quiet. */
STREAM_API void stream_queue_stats(const stream_queue *queue, stream_queue_usage *usage);

/* ==[ channel ]======================================================================================
   A queue that waits: pointers between any number of threads (mpmc), bounded, with an urgent lane, an end,
   and advice for senders. A side that has to wait sleeps in the kernel (futex, WaitOnAddress, elsewhere a
   condition variable) and uses no processor time; while nobody sleeps there is no system call on either
   side.

       sender                                        receiver
       while (stream_channel_send(&ch, item,         while (stream_channel_recv(&ch, &item,
                  STREAM_FOREVER) == STREAM_OK)                 STREAM_FOREVER) == STREAM_OK)
           item = next();                                use(item);
       stream_channel_close(&ch);                    (END: closed, and nothing is left)

   After close nothing goes in any more; what had gone in comes out; and everybody who sleeps wakes up. An
   item whose send returned OK is never lost, whatever closes when.

   Up to 32767 threads may wait for the same thing; one more is not let in (E_STATE) instead of waiting.

   Where there is nothing to sleep on (STREAM_NO_OS, STREAM_NO_THREADS) every timeout counts as 0.

   Fork: as with stream_ring; but a thread that slept at that moment does no harm, it sleeps in the parent
   only. The descriptor of wake_fd is shared by both: the child must not arm it. */

#define STREAM_FOREVER UINT64_MAX

#if defined(STREAM_NO_OS) || defined(STREAM_NO_THREADS)
#define STREAM__SLEEP_NONE 1
#elif !defined(_WIN32) && (!defined(__linux__) || defined(STREAM_WAIT_PTHREAD))
#define STREAM__SLEEP_PTHREAD 1
#endif

#ifdef STREAM__SLEEP_PTHREAD
#ifdef __cplusplus
}
#include <pthread.h>
extern "C" {
#else
#include <pthread.h>
#endif
#endif

typedef struct stream__sleepers {
    char apart[STREAM_CACHE_LINE];
    stream__a32 word; /* who waits, who was told to look again, armed: see the implementation */
#ifdef STREAM__SLEEP_PTHREAD
    pthread_mutex_t lock;
    pthread_cond_t wake;
    long pid; /* of the process that made them */
#endif
    char apart_too[STREAM_CACHE_LINE];
} stream__sleepers;

typedef struct stream_channel_desc {
    stream_queue_desc queue; /* as for stream_queue, but capacity 0: 100 */
    stream_flow_desc flow;   /* for advise_ns; size 0: the queue's capacity */
    bool wake_fd;            /* make a descriptor for event loops; not on Windows */
} stream_channel_desc;

typedef struct stream_channel {
    /* private */
    stream_queue queue;
    stream__sleepers receivers, senders[2]; /* those who wait for an item; for room in each lane */
    stream_flow flow;                       /* filled in from the queue's counts when somebody asks */
    stream__a64 asking;                     /* 1 while a sender is in advise_ns */
    int wake_read, wake_write;              /* -1: none */
    bool made;
} stream_channel;

/* desc NULL: all defaults. OK, E_ARGUMENT, E_NOMEM, or E_IO when the system has no descriptor (or no lock)
   to give. The object must not be moved afterwards. */
STREAM_API stream_status stream_channel_init(stream_channel *channel, const stream_channel_desc *desc);
/* When no thread uses it any more (to make them leave: close, and let them run into END and E_STATE). What
   is still inside is yours to receive before. A zeroed object is fine. */
STREAM_API void stream_channel_free(stream_channel *channel);

/* Any thread; waits for room up to timeout_ns (0: not at all, STREAM_FOREVER) and never drops. OK, FULL when
   the time is up, E_STATE after close: the item stays yours. */
STREAM_API stream_status stream_channel_send(stream_channel *channel, void *item, uint64_t timeout_ns);
/* The same for the urgent lane, which receivers empty first. */
STREAM_API stream_status stream_channel_send_urgent(stream_channel *channel, void *item, uint64_t timeout_ns);
/* All count items, as room comes; *sent says how many went in, also when the result is FULL or E_STATE. */
STREAM_API stream_status stream_channel_send_n(stream_channel *channel, void *const *items, size_t count,
                                               uint64_t timeout_ns, size_t *sent);
/* Never waits; when full, does as the overflow policy says: see stream_queue_push, and E_STATE after close.
   *dropped is set whatever the result. */
STREAM_API stream_status stream_channel_try_send(stream_channel *channel, void *item, void **dropped);

/* Any thread; waits for an item up to timeout_ns. OK, EMPTY when the time is up, END. */
STREAM_API stream_status stream_channel_recv(stream_channel *channel, void **item, uint64_t timeout_ns);
/* Waits for one, then takes what there is, at most cap (0: OK at once); *got says how many. */
STREAM_API stream_status stream_channel_recv_n(stream_channel *channel, void **items, size_t cap,
                                               uint64_t timeout_ns, size_t *got);
/* Never waits. OK, EMPTY, END. */
STREAM_API stream_status stream_channel_try_recv(stream_channel *channel, void **item);

/* For a sender that had rather not run into a full channel: 0, or how long to pause before it asks again, as
   stream_flow_advise_ns says it. Any thread; while one sender asks, others are told 0. */
STREAM_API uint64_t stream_channel_advise_ns(stream_channel *channel, uint64_t now_ns);
/* The channel's flow for a stream_flow_monitor, up to date as of the last advise_ns. */
STREAM_API const stream_flow *stream_channel_flow(const stream_channel *channel);

/* Any thread, more than once if you like. Does not wait. */
STREAM_API void stream_channel_close(stream_channel *channel);
/* As stream_queue_stats. */
STREAM_API void stream_channel_stats(const stream_channel *channel, stream_queue_usage *usage);

#ifndef STREAM_NO_OS
/* For an event loop that waits for descriptors: receive until EMPTY, then arm. EMPTY: armed; go and wait
   until stream_channel_fd is readable, and then receive again. OK: do not wait, there is something, if only
   the end. E_STATE: made without wake_fd. A sender makes a system call only if the loop has armed, and then
   once. One thread. */
STREAM_API stream_status stream_channel_arm(stream_channel *channel);
/* To wait for, not to read; -1 without wake_fd. It stays the channel's. */
STREAM_API int stream_channel_fd(const stream_channel *channel);
#endif

/* ==[ broadcast ]====================================================================================
   One writer, any number of readers, each at its own place: every reader gets every item, as long as it
   keeps up. The last items are kept, bounded by number and by bytes; the writer never waits and is never
   slowed down by a reader. A reader that falls behind what is kept is told how much it lost and goes on at
   the oldest item there is, or at the newest. Items have numbers that count up for ever, and a reader may
   go back to any number that is still kept (what an SSE client's Last-Event-ID wants).

   A reader that must not lose anything can be held on to: then write returns FULL instead of overwriting
   what that one has not read.

   Readers are yours, one thread each; to join changes nothing in the broadcast. Nothing waits: a reader
   that finds EMPTY is woken by other means.

   Items are copied in and out, eight bytes at a time, by ordered loads and stores: a reader may be copying
   what the writer is just overwriting, and finds out afterwards (the idea of a seqlock; without stand-alone
   fences every word is an acquire or a release, see Boehm, "Can Seqlocks Get Along With Programming
   Language Memory Models?", 2012). On x86 these are plain moves.

   Memory: 16 bytes for each item kept and the bytes, both rounded up to powers of two. Fork: as with
   stream_ring. */

typedef struct stream_broadcast_desc {
    size_t max_items;           /* kept at most; 0: 1024 */
    size_t max_bytes;           /* kept at most, each item rounded up to 8; 0: 1 MiB */
    size_t max_held;            /* readers that can be held on to at a time; 0: none */
    void *memory;               /* NULL, or stream_broadcast_memory(desc) bytes aligned for uint64_t */
    uint64_t start;             /* number of the first item */
    stream_allocator allocator; /* zero: malloc; called in init and free only */
} stream_broadcast_desc;

typedef struct stream__kept { /* what is known of a kept item */
    stream__a64 at, offset; /* index of its first word; bytes of all items before it */
} stream__kept;

typedef struct stream__held {
    stream__a64 used, next; /* 0 or 1; the number of the item the reader wants next */
    char apart[STREAM_CACHE_LINE];
} stream__held;

typedef struct stream_broadcast {
    /* private */
    char apart[STREAM_CACHE_LINE];
    stream__a64 next;   /* number of the next item; what is below it is published */
    stream__a64 floor;  /* number of the oldest item kept; stored before an older one is overwritten */
    stream__a64 closed; /* 0 or 1 */
    char apart_too[STREAM_CACHE_LINE];
    uint64_t at, floor_at; /* the writer's: words ever written, and those no longer kept */
    uint64_t bytes;        /* of all items ever, without rounding */
    uint64_t wanted_from;  /* no reader that is held on to wants an item below */
    stream__kept *kept;    /* from here on constant */
    stream__a64 *word;
    stream__held *held;
    uint64_t kept_mask, word_mask, max_items, max_words;
    size_t max_held;
    size_t memory_len;     /* 0: the memory is the caller's */
    stream_allocator allocator;
} stream_broadcast;

typedef enum stream_overrun { /* where a reader that fell behind goes on */
    STREAM_OVERRUN_OLDEST = 0, /* at the oldest item kept: it loses the least, and may soon lose again */
    STREAM_OVERRUN_NEWEST = 1  /* at the newest: it is up to date at once */
} stream_overrun;

typedef struct stream_broadcast_reader {
    uint64_t next;                   /* number of the item it gets next (read only) */
    uint64_t gap_items, gap_bytes;   /* lost when it fell behind the last time (read only); bytes are 0 after
                                        a seek to what was no longer kept: nothing tells any more */
    uint64_t lost_items, lost_bytes; /* and every time (read only) */
    /* private */
    stream_broadcast *broadcast;
    stream__held *held;
    uint64_t seen;   /* items below are published, as far as it has looked */
    uint64_t offset; /* bytes of all items before next; not known after a seek to what was no longer kept */
    bool known;
    stream_overrun overrun;
} stream_broadcast_reader;

/* Bytes of memory for a broadcast as described; 0 when a limit is out of range. */
STREAM_API size_t stream_broadcast_memory(const stream_broadcast_desc *desc);
/* desc NULL: all defaults. OK, E_ARGUMENT, E_NOMEM. The object must not be moved afterwards. */
STREAM_API stream_status stream_broadcast_init(stream_broadcast *broadcast,
                                               const stream_broadcast_desc *desc);
/* When the writer and all readers are done. A zeroed object is fine. */
STREAM_API void stream_broadcast_free(stream_broadcast *broadcast);

/* The writer's. OK; FULL when a reader that is held on to has yet to read what would have to go;
   E_TOO_LONG when the item would not fit even alone; E_STATE after close. */
STREAM_API stream_status stream_broadcast_write(stream_broadcast *broadcast, const void *data, size_t len);
/* Nothing comes after it. Readers get END when they have read all. */
STREAM_API void stream_broadcast_close(stream_broadcast *broadcast);
/* Numbers of the oldest item kept and of the next one to be written: any thread. */
STREAM_API void stream_broadcast_range(const stream_broadcast *broadcast, uint64_t *oldest, uint64_t *next);

/* Makes *reader one, before the next item to be written. Any thread. */
STREAM_API void stream_broadcast_join(stream_broadcast *broadcast, stream_broadcast_reader *reader,
                                      stream_overrun overrun);
/* Goes to item `number`, back or ahead. OK; LOST, when it is no longer kept: the next read will say so too.
   Or nothing happens: E_RANGE above the number of the next item, E_STATE when a reader that is held on to
   wants to go back. The reader's thread. */
STREAM_API stream_status stream_broadcast_seek(stream_broadcast_reader *reader, uint64_t number);
/* Holds on to a reader, from its place or, if that is no longer kept, from the oldest item: then it has lost
   what lies between, and gap_items, lost_items and their bytes say so. FULL when max_held others are. On the
   WRITER's thread, while the reader is not used. */
STREAM_API stream_status stream_broadcast_hold(stream_broadcast_reader *reader);
/* Lets it go; it stays a reader. The reader's thread. A held reader must be let go before it is forgotten. */
STREAM_API void stream_broadcast_let_go(stream_broadcast_reader *reader);

/* Copies the next item to data and its length to *len. OK; EMPTY; END; FULL: cap is too small, *len says
   what is needed, and the item is still there; LOST: items are gone, how many says reader->gap_items, the
   next read goes on at reader->next. The reader's thread. */
STREAM_API stream_status stream_broadcast_read(stream_broadcast_reader *reader, void *data, size_t cap,
                                               size_t *len);
/* How far it is behind. The reader's thread. */
STREAM_API void stream_broadcast_lag(const stream_broadcast_reader *reader, uint64_t *items, uint64_t *bytes);

/* ==[ diff ]=========================================================================================
   Which lines of a text changed, row by row: for a terminal's screen, of which only those are sent. Both
   snapshots are yours and stay as they are until the diff is done; nothing is copied, no memory is needed,
   and each byte is looked at once or twice. Any thread. */

typedef struct stream_diff {
    /* private */
    const char *was, *was_end, *now, *now_end;
    size_t row;
} stream_diff;

typedef enum stream_diff_kind {
    STREAM_DIFF_CHANGED = 0,
    STREAM_DIFF_ADDED = 1,  /* there was no such row before */
    STREAM_DIFF_REMOVED = 2 /* there is no such row any more */
} stream_diff_kind;

typedef struct stream_diff_row {
    stream_diff_kind kind;
    size_t row;            /* from 0 */
    stream_slice was, now; /* without LF; slices of the snapshots; empty where there is no such row */
} stream_diff_row;

/* Rows end with LF; the last one may lack it. */
STREAM_API void stream_diff_init(stream_diff *diff, const void *was, size_t was_len, const void *now,
                                 size_t now_len);
/* The next row that differs: OK, or END. */
STREAM_API stream_status stream_diff_next(stream_diff *diff, stream_diff_row *row);

/* ==[ frame ]========================================================================================
   Messages as [1 byte type][4 bytes length, big endian][payload]: bytes in, frames out. Follows the protocol
   at stream_decoder above: item.kind is the type, ptr/len the payload, offset where the payload begins. One
   thread at a time. The object may be moved while no loan is open.

   A frame announced to be over max_len is reported at once, before any of it is kept: STREAM_E_TOO_LONG,
   len 0, size the length announced. Its payload is stepped over, and the frame behind it comes out whole. If
   the allocator refuses, the frame is lost (STREAM_E_NOMEM, with what could be kept). A frame that the end of
   the input cuts is STREAM_E_TRUNCATED, with what came of it; cut inside its head, len and size are 0. */

#define STREAM_FRAME_HEAD 5 /* bytes before the payload */

typedef struct stream_frame_desc {
    size_t max_len;             /* longest payload handed out, bytes; 0: 1 MiB; at most 4 GiB - 1 */
    size_t first_len;           /* first assembly buffer, bytes; 0: 4 KiB; doubles from there */
    void *memory;               /* NULL, or the assembly buffer: then nothing is ever allocated */
    size_t memory_len;          /* its size, at least 1; max_len becomes at most this */
    stream_allocator allocator; /* zero: malloc */
} stream_frame_desc;

typedef struct stream_frame {
    uint64_t scanned; /* bytes stepped over so far: never above the bytes fed (read only) */
    /* private */
    const char *cur, *end; /* what is left of the loan */
    stream__assembly held; /* the open frame's payload from earlier loans */
    uint64_t offset;       /* stream offset of cur */
    size_t max_len;
    uint32_t size, seen;   /* of the open frame's payload: announced; gone by */
    uint8_t head[STREAM_FRAME_HEAD], head_len;
    bool skip, finished;   /* skip: the open frame has been reported already */
} stream_frame;

/* desc NULL: all defaults. OK, or E_ARGUMENT when a limit is out of range; nothing is allocated until a
   payload spans two loans. */
STREAM_API stream_status stream_frame_init(stream_frame *frame, const stream_frame_desc *desc);
/* Returns its memory; a zeroed object is fine. */
STREAM_API void stream_frame_free(stream_frame *frame);
/* Ready for another stream from offset 0; keeps its memory and its limits. */
STREAM_API void stream_frame_reset(stream_frame *frame);
/* Lends len bytes until next returns MORE. OK or E_STATE; takes constant time. */
STREAM_API stream_status stream_frame_feed(stream_frame *frame, const void *data, size_t len);
/* The next frame in *item: OK, MORE, END, E_TOO_LONG, E_NOMEM, E_TRUNCATED. */
STREAM_API stream_status stream_frame_next(stream_frame *frame, stream_item *item);
STREAM_API stream_status stream_frame_finish(stream_frame *frame);
/* The same decoder behind function pointers. */
STREAM_API stream_decoder stream_frame_decoder(stream_frame *frame);

/* The head of a frame whose payload you send yourself, right behind it. OK, or E_RANGE when len does not fit
   in 32 bits. Any thread. */
STREAM_API stream_status stream_frame_head(uint8_t type, size_t len, char head[STREAM_FRAME_HEAD]);
/* A whole frame to dst. OK; FULL: nothing was written; E_RANGE. *len: its length, also with FULL. Any
   thread. */
STREAM_API stream_status stream_frame_write(uint8_t type, const void *data, size_t data_len, void *dst,
                                            size_t cap, size_t *len);

/* ==[ sse ]==========================================================================================
   Server-sent events, as the WHATWG HTML standard has them (9.2.5, Parsing an event stream, and 9.2.6,
   Interpreting an event stream), read and written. Follows the protocol at stream_decoder above. One thread
   at a time. The object may be moved while no loan is open.

       stream_sse_feed(&sse, chunk, n);
       while ((st = stream_sse_next(&sse, &item)) != STREAM_MORE)
           if (st == STREAM_OK) use(stream_sse_type(&sse.event), sse.event.data);

   An item is one event that a browser would dispatch: ptr/len its data (the lines joined by LF), offset where
   the data begins. sse.event has the rest of it. It is handed out by the call that sees the last byte of its
   blank line: after CR, LF is not waited for. An event with one line of data that lies whole in the loan is a
   slice of it; one that spans two loans, or has several lines of data, is assembled (STREAM_COPIED).
   Comments, unknown fields and events without data cost time and no memory.

   The bytes of data, name and id are handed out as they came. The standard reads the stream as UTF-8 with
   U+FFFD for what is none; nothing that frames is touched by that, so check or replace each as you need.

   Data over max_len, or a name or an id over max_field, lose the event: STREAM_E_TOO_LONG when its end is
   known, ptr/len the head of the data, size its full length, sse.error which of them it was. If the allocator
   refuses, it is lost as well (STREAM_E_NOMEM). The next event is whole. The end of the input discards
   an event that no blank line has ended, as the standard wants it; it is reported as STREAM_E_TRUNCATED, with
   what there is of it in the item and in sse.event. STREAM_UNTERMINATED then says that its last line was
   whole, and only the blank line is missing.

   Two raw modes are for those who pass streams on. They hand out the bytes as they are, cut behind the blank
   lines. A block is everything up to and including a blank line: the bytes of an event, of a comment, or the
   blank line alone. STREAM_SSE_BLOCKS hands out whole blocks of at most max_len bytes (E_TOO_LONG and
   E_TRUNCATED as above; a tail of comments is no loss: OK, STREAM_UNTERMINATED). STREAM_SSE_PIECES holds
   nothing and has no limit: it hands out what of a block is in the loan, STREAM_SSE_PART in item.kind when
   more of it will follow; E_TRUNCATED with len 0 and the open block's size when the input ends in one. If a
   loan ends between the CR and the LF of a blank line, the block goes out with the CR, and the LF comes as
   STREAM_NOISE of its own: where such a stream is cut shows, but its bytes are the same and nothing waits. */

typedef enum stream_sse_mode {
    STREAM_SSE_EVENTS = 0,
    STREAM_SSE_BLOCKS = 1,
    STREAM_SSE_PIECES = 2
} stream_sse_mode;

enum { STREAM_SSE_PART = 1 }; /* item.kind in STREAM_SSE_PIECES: the block does not end with this piece */

/* One event, from the decoder or for stream_sse_write. A slice whose ptr is NULL is a field left out. */
typedef struct stream_sse_event {
    stream_slice data;
    stream_slice event;   /* its name; from the decoder never empty: NULL then, which means "message" */
    stream_slice id;      /* from the decoder: the one in this event, NULL when it has none */
    stream_slice comment; /* for the encoder only */
    uint64_t retry_ms;    /* reconnection time, if has_retry */
    bool has_retry;
} stream_sse_event;

typedef struct stream_sse_desc {
    stream_sse_mode mode;
    size_t max_len;             /* longest data, or block, handed out whole, bytes; 0: 1 MiB */
    size_t max_field;           /* longest event name and id, bytes; 0: 1 KiB */
    size_t first_len;           /* first assembly buffer, bytes; 0: 4 KiB; doubles from there */
    void *memory;               /* NULL, or all memory it may use: then nothing is ever allocated */
    size_t memory_len;          /* its size, at least 8: four times max_field (0: an eighth of it, at most
                                   1 KiB), the rest for data; all of it for STREAM_SSE_BLOCKS */
    stream_allocator allocator; /* zero: malloc */
} stream_sse_desc;

typedef struct stream__sse_text { /* a field's value: a slice of the loan until it cannot be one any more */
    stream__assembly held;
    const char *ptr;
    size_t len;
    uint64_t size; /* length of it all, also of what is not kept */
    bool seen, copied;
} stream__sse_text;

typedef struct stream_sse {
    stream_sse_event event; /* the event handed out last: valid as long as its item (read only) */
    uint64_t retry_ms;      /* reconnection time the stream asked for last, if has_retry (read only) */
    bool has_retry;
    const char *error;      /* with an error status: what it is about; constant text (read only) */
    uint64_t scanned;       /* bytes looked at so far: never above the bytes fed (read only) */
    /* private */
    const char *cur, *end;  /* what is left of the loan */
    const char *lf, *cr;    /* the next of each in the loan, or its end; NULL: not looked for yet */
    stream__sse_text data, name, id, id_line; /* id_line: of the open line, which may turn out void */
    stream__assembly last;  /* the last event id */
    stream__assembly held;  /* the open block's bytes from earlier loans (STREAM_SSE_BLOCKS) */
    uint64_t offset;        /* stream offset of cur */
    uint64_t block;         /* stream offset of the open block */
    uint64_t data_at;       /* stream offset of the open event's data */
    uint64_t number, retry; /* the open line's digits, and what the open event's retry field came to */
    stream_sse_mode mode;
    uint8_t state, field;   /* where in the line the parser is, and in which field */
    uint8_t bom, key_len;   /* bytes of a byte order mark seen, 3 when it is settled */
    char key[6];            /* the field's name so far */
    bool after_cr;          /* an LF now would belong to the CR before it */
    uint8_t digits;         /* of the open line's retry: 0 none yet, 1 nothing else so far, 2 no number */
    bool retried;           /* the open event has a retry field that counts */
    bool id_void;           /* the open line's id has a NUL in it */
    bool real;              /* the open block is more than comments */
    bool finished;
} stream_sse;

/* desc NULL: all defaults. OK, or E_ARGUMENT when the memory is too small or a limit above SIZE_MAX / 4;
   nothing is allocated until an event spans two loans or has an id. */
STREAM_API stream_status stream_sse_init(stream_sse *sse, const stream_sse_desc *desc);
/* Returns its memory; a zeroed object is fine. */
STREAM_API void stream_sse_free(stream_sse *sse);
/* Ready for another stream from offset 0, after a reconnect: keeps its memory, its limits, the last event
   id and the reconnection time. */
STREAM_API void stream_sse_reset(stream_sse *sse);
/* Lends len bytes until next returns MORE. OK or E_STATE; takes constant time. */
STREAM_API stream_status stream_sse_feed(stream_sse *sse, const void *data, size_t len);
/* The next event in *item and sse->event: OK, MORE, END, E_TOO_LONG, E_NOMEM, E_TRUNCATED. */
STREAM_API stream_status stream_sse_next(stream_sse *sse, stream_item *item);
/* No more input: next() reports what is open, then END. May be called before MORE, and twice. */
STREAM_API stream_status stream_sse_finish(stream_sse *sse);
/* Bytes of the block that is open as of the last MORE; 0: a comment could be put in here. */
STREAM_API uint64_t stream_sse_open(const stream_sse *sse);
/* The same decoder behind function pointers. */
STREAM_API stream_decoder stream_sse_decoder(stream_sse *sse);

/* What a client sends as Last-Event-ID: the id as of the last blank line, len 0 when there is none. Valid
   until the next call on sse. An id counts also in an event without data, and in one that was lost. */
STREAM_API stream_slice stream_sse_last_id(const stream_sse *sse);
/* Starts from an id kept elsewhere. OK; E_INVALID when it has CR, LF or NUL in it; E_TOO_LONG; E_NOMEM. */
STREAM_API stream_status stream_sse_set_last_id(stream_sse *sse, const void *id, size_t len);

/* The event's name: "message" when it has none. Valid as long as event is. Any thread. */
STREAM_API stream_slice stream_sse_type(const stream_sse_event *event);

/* Writes one event, in the order comment, event, id, retry, data, and the blank line; LF ends each line. CR,
   LF and CRLF in the data each begin another data line, and come back as LF. Name, id and comment with CR,
   LF or NUL in them are refused: whatever it is given, the output is one event at most, with these fields
   and no others. Without data it is none to a browser, but a comment keeps a connection alive, and an id is
   remembered. With nothing at all, nothing is written.
   OK; FULL: nothing was written, *len says how much room it takes; E_INVALID. At most 7 bytes for each byte
   of input, and 64 more. Any thread. */
STREAM_API stream_status stream_sse_write(const stream_sse_event *event, void *dst, size_t cap, size_t *len);

/* ==[ metrics ]======================================================================================
   Counters, gauges and a latency histogram that any number of threads may write and read (relaxed
   atomics: exact when quiet, momentary otherwise). Zero them to start. */

typedef struct stream_counter {
    stream__a64 value;
} stream_counter;

typedef struct stream_gauge {
    stream__a64 value, highest;
} stream_gauge;

STREAM_API void stream_counter_add(stream_counter *counter, uint64_t n);
STREAM_API uint64_t stream_counter_get(const stream_counter *counter);
STREAM_API void stream_gauge_set(stream_gauge *gauge, uint64_t value);
STREAM_API uint64_t stream_gauge_get(const stream_gauge *gauge);
STREAM_API uint64_t stream_gauge_highest(const stream_gauge *gauge);

/* Log-linear buckets: 32 to each power of two, so a bucket is at most 1/32 of its value wide and the
   middle that quantile() reports is within 1/64 (1.6 %). Values below 32 ns are exact. Everything from
   2^STREAM_HISTOGRAM_BITS ns (18 minutes) on shares the last bucket, for which the exact max stands. */
#define STREAM_HISTOGRAM_BITS 40
#define STREAM_HISTOGRAM_BUCKETS ((STREAM_HISTOGRAM_BITS - 5 + 1) * 32)

typedef struct stream_histogram {
    stream__a64 count, sum_ns, max_ns;
    stream__a64 bucket[STREAM_HISTOGRAM_BUCKETS];
} stream_histogram;

STREAM_API void stream_histogram_add(stream_histogram *histogram, uint64_t ns);
/* The value below which `per_mille` of 1000 lie: 500 the median, 990 p99, 999 p99.9. 0 when empty. */
STREAM_API uint64_t stream_histogram_quantile_ns(const stream_histogram *histogram, unsigned per_mille);
STREAM_API uint64_t stream_histogram_count(const stream_histogram *histogram);
STREAM_API uint64_t stream_histogram_max_ns(const stream_histogram *histogram);

typedef enum stream_metric_kind {
    STREAM_METRIC_COUNTER = 0,  /* const stream_counter * */
    STREAM_METRIC_GAUGE = 1,    /* const stream_gauge * */
    STREAM_METRIC_HISTOGRAM = 2, /* const stream_histogram *; written in seconds */
    STREAM_METRIC_TOTAL = 3,    /* const uint64_t *, a plain count of the calling thread's own */
    STREAM_METRIC_VALUE = 4     /* const uint64_t *, a plain level of the calling thread's own */
} stream_metric_kind;

/* One row of a table that describes a program's metrics; everything it points to is yours. */
typedef struct stream_metric {
    const char *name;   /* [a-zA-Z_:][a-zA-Z0-9_:]*; rows of one name stand together */
    const char *help;   /* one line, or NULL */
    const char *label;  /* NULL, or the name of one label */
    const char *label_value; /* its value, any UTF-8 */
    stream_metric_kind kind;
    unsigned decimals;  /* the value is divided by 10^decimals when written, 0 to 9 */
    const void *value;
} stream_metric;

/* Write all rows as Prometheus text exposition 0.0.4, or as one JSON object (a labelled row's key is
   name{label="value"}). At most cap bytes go to dst, without NUL; the result is the length of the whole
   text, so a result above cap means: not enough room, call again with that much. */
STREAM_API size_t stream_metrics_prometheus(const stream_metric *rows, size_t count, char *dst, size_t cap);
STREAM_API size_t stream_metrics_json(const stream_metric *rows, size_t count, char *dst, size_t cap);

/* ==[ pipeline ]=====================================================================================
   The whole idea in one object: a source, a borrowed buffer, a decoder, and you pulling items. The
   buffer is held only while bytes are in it, so a thousand idle pipelines on one pool hold none. One
   thread. */

typedef struct stream_pipeline_desc {
    stream_source source;
    stream_decoder decoder;
    stream_buffers buffers;  /* zero: one buffer of its own, kept */
    size_t buffer_len;       /* bytes asked of buffers.acquire and read at a time; 0: 32 KiB */
    stream_flow *flow;       /* NULL, or told of bytes read (sent) and bytes decoded (consumed) */
    stream_allocator allocator; /* for the buffer of its own; zero: malloc */
} stream_pipeline_desc;

typedef struct stream_pipeline {
    /* counts so far (read only) */
    uint64_t bytes, reads, items, noise, errors;
    /* private */
    stream_pipeline_desc desc;
    void *buffer;       /* borrowed, or NULL */
    size_t buffer_cap, loaned;
    bool ended;
} stream_pipeline;

/* E_ARGUMENT when source.read or the decoder is missing. The desc is copied; what it points to must
   outlive the pipeline. */
STREAM_API stream_status stream_pipeline_init(stream_pipeline *pipe, const stream_pipeline_desc *desc);
/* Gives the buffer back; a zeroed object is fine. Source and decoder are yours to free. */
STREAM_API void stream_pipeline_free(stream_pipeline *pipe);
/* The next item. OK, NOISE and the decoder's errors as the decoder says them; EMPTY when the source
   has nothing now; E_IO once when it fails (then the tail, then END); FULL when no read buffer is to be
   had, borrowed or its own: nothing was lost, call again later. */
STREAM_API stream_status stream_pipeline_next(stream_pipeline *pipe, stream_item *item);

#ifndef STREAM_NO_OS

/* ==[ reader ]=======================================================================================
   Lines from a descriptor, through three tiers of buffers: the kernel's (asked to grow, never to
   shrink), one fixed read buffer, and the assembly of a line that spans two reads. One thread. */

/* Nanoseconds of a clock that never goes back. Any thread. */
STREAM_API uint64_t stream_now_ns(void);

typedef enum stream_kernel_kind {
    STREAM_KERNEL_NONE = 0, /* a file, a terminal: no buffer to ask for */
    STREAM_KERNEL_PIPE = 1,
    STREAM_KERNEL_SOCKET = 2
} stream_kernel_kind;

/* Asks the kernel for a buffer of `want` bytes behind fd and reports what it is and what is granted
   (0 where the system does not say). A refusal is no error: the stream works, only less smoothly. A
   socket's is only asked for when it is smaller; the system's own limit (rmem_max) caps what it then gets,
   and a TCP buffer set by hand is no longer tuned by the kernel. */
STREAM_API stream_kernel_kind stream_kernel_buffer(int fd, size_t want, size_t *granted);

/* A source for a pipeline that reads fd. The descriptor stays yours. An interrupted read is repeated;
   the error number of a failed one is errno's. */
STREAM_API stream_source stream_source_fd(int fd);

typedef struct stream_reader_desc {
    int fd;                  /* 0: standard input; stays yours, blocking or not */
    size_t kernel_len;       /* kernel buffer to ask for, bytes; 0: 64 KiB */
    size_t buffer_len;       /* read buffer, bytes; 0: 32 KiB */
    void *memory;            /* NULL, or the read buffer: buffer_len bytes of yours, not 0 */
    stream_lines_desc lines; /* the third tier; its allocator also serves the read buffer */
} stream_reader_desc;

typedef struct stream_reader {
    stream_kernel_kind kernel; /* what fd is (read only) */
    size_t kernel_len;         /* what the kernel granted, bytes; 0 unknown (read only) */
    int os_error;              /* errno of the read that failed (read only) */
    /* private */
    stream_lines lines;
    char *buffer;
    size_t buffer_len;
    int fd;
    bool fixed;
} stream_reader;

/* desc NULL: standard input, all defaults. OK, E_ARGUMENT, E_NOMEM. */
STREAM_API stream_status stream_reader_init(stream_reader *reader, const stream_reader_desc *desc);
STREAM_API void stream_reader_free(stream_reader *reader);
/* The next line, valid until the next call. Blocks when fd does; on a non-blocking fd EMPTY means:
   wait until it is readable. A failed read is E_IO once (see os_error), then the tail, then END. */
STREAM_API stream_status stream_reader_next(stream_reader *reader, stream_item *line);

/* ==[ io ]===========================================================================================
   Many descriptors in one thread, without waiting for any single one. You submit operations; each comes back
   exactly once, when it is done, whatever becomes of it. An operation is a struct of yours, so nothing is
   allocated for it, however many are under way. An echo server, whole but for the listening socket:

       typedef struct { stream_io_file file; stream_io_op op; char data[4096]; } client;

       stream_io_init(&io, NULL);
       stream_io_attach(&io, &listener, listening_fd);
       stream_io_accept(&io, &incoming, &listener);
       while (stream_io_wait(&io, STREAM_FOREVER) >= 0) {
           while ((op = stream_io_next(&io)) != NULL) {
               client *c = (client *)op->user;
               if (op->verb == STREAM_IO_ACCEPT) {
                   if (op->status == STREAM_OK && (c = new_client()) != NULL) {
                       stream_io_attach(&io, &c->file, op->fd);
                       c->op.user = c;
                       stream_io_read(&io, &c->op, &c->file, c->data, sizeof c->data);
                   }
                   stream_io_accept(&io, op, &listener);
               } else if (op->status != STREAM_OK) {
                   stream_io_close(&io, &c->file), free(c);
               } else if (op->verb == STREAM_IO_READ) {
                   stream_io_write(&io, op, &c->file, c->data, op->bytes);
               } else {
                   stream_io_read(&io, op, &c->file, c->data, sizeof c->data);
               }
           }
       }

   The same on every system, whatever does the work below: epoll (the default on Linux), io_uring, kqueue
   (macOS, the BSDs), poll (any POSIX), I/O completion ports (Windows).

     - Sockets, pipes, terminals and regular files. Those the system cannot wait for (regular files,
       /dev/null) are read and written at once; with io_uring without blocking the thread.
     - A read gives what there is, at least one byte; after the last one END, and END again to whoever asks
       again. A writer that hangs up takes nothing away: what it wrote comes first. A terminal or
       pseudo-terminal that hangs up is an END too.
     - A write is done when all of it is written. Reads of a file are served in the order in which they were
       submitted, and so are its writes; reads and writes do not wait for each other.
     - After stream_io_close or _detach nothing of that file comes out but CANCELLED, once for each
       operation, and the descriptor may be used again at once.
     - One descriptor that is always ready does not keep others waiting.
     - The cost of an operation does not depend on how many others are in flight (poll excepted; a timer
       costs a logarithm).

   Descriptors that others share: the flag O_NONBLOCK belongs to everybody who inherited the same pipe or
   terminal, so it is left as it is. A socket is asked not to wait, call by call. A blocking pipe or
   terminal is opened a second time, for ourselves, where the system can do that (Linux, /proc); elsewhere it
   is asked first whether it would wait, and written to in pieces small enough not to. There, somebody
   else who reads the same pipe may snatch the bytes away in between, and then we wait. Only a socket
   that accepts or connects is made non-blocking.

   Thread rules: one thread uses a stream_io and all that belongs to it; only stream_io_wake and
   stream_io_post may be called by others. Fork: the child must not use the parent's.

   A write to a pipe that nobody reads raises SIGPIPE, as ever; ignore it, and the operation says E_IO with
   EPIPE. Sockets never raise it. */

/* What the system calls an open file: a descriptor; on Windows a HANDLE or a SOCKET. */
#if defined(_WIN32)
typedef intptr_t stream_fd;
#else
typedef int stream_fd;
#endif

typedef enum stream_io_verb {
    STREAM_IO_NONE = 0,
    STREAM_IO_READ,
    STREAM_IO_WRITE, /* and writev */
    STREAM_IO_ACCEPT,
    STREAM_IO_CONNECT,
    STREAM_IO_POLL,
    STREAM_IO_TIMER,
    STREAM_IO_POST
} stream_io_verb;

/* What stream_io_poll waits for and reports. */
enum {
    STREAM_IO_READABLE = 1, /* a read would not wait */
    STREAM_IO_WRITABLE = 2, /* a write would not wait */
    STREAM_IO_HANGUP = 4    /* the other side has gone; reported whether asked for or not */
};

struct stream_io;
struct stream_io_file;

/* One operation. Zeroed before its first use (user apart), and then used again and again. From submission
   until stream_io_next hands it out it, its file and the memory it names belong to the stream_io: they must
   stay where they are, and be neither read nor changed. */
typedef struct stream_io_op {
    void *user; /* yours; never touched */
    /* what it came to (read only, once handed out) */
    stream_io_verb verb;
    stream_status status; /* OK; END of a read; CANCELLED; E_IO, see os_error; E_TYPE: not with this file */
    int os_error;         /* errno's or GetLastError's value with E_IO, else 0 */
    uint32_t events;      /* of a poll: STREAM_IO_READABLE and so on */
    size_t bytes;         /* read or written; a write that failed or was cancelled tells how far it came */
    stream_fd fd;         /* of an accept: the new descriptor, yours; else -1 */
    /* private */
    struct stream_io_op *next, *prev, *child; /* in a queue, a list, or the heap of timers */
    struct stream_io_file *file;
    uint64_t deadline_ns, order;
    const stream_slice *parts; /* of a write */
    size_t count, part, part_done;
    stream_slice one; /* the buffer of a read, a write of one part, an address */
    uint8_t state, stage;
#if defined(_WIN32)
    uint64_t os[24];
#else
    uint64_t os[8];
#endif
} stream_io_op;

/* A descriptor that a stream_io works with. Zeroed, or attached, or detached and out of use. */
typedef struct stream_io_file {
    stream_fd fd;     /* as attached; -1 after close and detach (read only) */
    uint32_t pending; /* operations submitted and not handed out yet; at 0 the memory is yours (read only) */
    /* private */
    struct stream_io *io;
    struct stream_io_file *next, *prev, *dirty_next, *dirty_prev;
    struct stream_io_op *head[3], *tail[3]; /* what reads, what writes, what polls */
    stream_fd own;                          /* what is really read and written: fd, or opened by us */
    uint32_t flags;
    uint8_t ready, watched;
#if defined(_WIN32)
    uint64_t position; /* in a regular file */
#endif
} stream_io_file;

typedef struct stream_io_desc {
    /* Which backends to try, in this order, separated by commas: "epoll", "io_uring", "kqueue", "poll",
       "iocp". NULL: the system's own. A single name is that or nothing. */
    const char *backends;
    unsigned entries;           /* io_uring: length of its submission queue; 0: 256 */
    stream_allocator allocator; /* for the table of the poll backend; zero: malloc */
} stream_io_desc;

typedef struct stream__io_ring { /* of io_uring */
    void *rings, *entries, *cqes;
    size_t rings_len, entries_len;
    uint32_t *sq_head, *sq_tail, *cq_head, *cq_tail;
    uint32_t sq_mask, cq_mask, sq_len;
    uint32_t active;        /* operations in the kernel */
    uint32_t tail;          /* ours of the submissions */
    bool disabled, polling; /* not begun yet; the wake descriptor is being watched */
} stream__io_ring;

typedef struct stream_io {
    uint32_t in_flight; /* operations submitted and not handed out yet (read only) */
    int os_error;       /* of the call that failed last (read only) */
    /* private */
    const struct stream__io_backend *backend;
    stream_io_file *files, *dirty;
    stream_io_op *done, *done_last, *timers;
    uint64_t order;
    unsigned budget;
    bool woken;
    stream_allocator allocator;
    void *table; /* poll: what the system call wants to see */
    size_t table_len;
    stream_fd fd; /* of the epoll, kqueue or ring; a completion port */
    int wake_read, wake_write;
    stream__io_ring ring;
    char apart[STREAM_CACHE_LINE];
    stream__a64 posted; /* a stack of operations, newest first */
    stream__a64 sleep;  /* awake, woken, asleep */
    char apart_too[STREAM_CACHE_LINE];
} stream_io;

/* desc NULL: all defaults. OK; E_TYPE when no such backend was compiled in; E_IO with os_error when the
   system has none of those named, or no descriptor to give. The object must not be moved afterwards. */
STREAM_API stream_status stream_io_init(stream_io *io, const stream_io_desc *desc);
/* What is in flight never comes out, and the system no longer touches its memory. Files are detached, their
   descriptors stay open. A zeroed object is fine. */
STREAM_API void stream_io_free(stream_io *io);
/* The backend's name, constant text. */
STREAM_API const char *stream_io_backend(const stream_io *io);

/* Begins to work with fd: one file for each descriptor, one stream_io at a time; on Windows a handle
   belongs to the first one for ever. OK; E_IO with io's os_error when fd is none; E_STATE while the file is
   in use. */
STREAM_API stream_status stream_io_attach(stream_io *io, stream_io_file *file, stream_fd fd);
/* Ends that: what is in flight comes out CANCELLED, and fd is yours again, open. */
STREAM_API void stream_io_detach(stream_io *io, stream_io_file *file);
/* The same, and closes fd. A file that is not attached is fine. */
STREAM_API void stream_io_close(stream_io *io, stream_io_file *file);

/* Submission. OK: it will come out of stream_io_next, once, with its result; everything that can go wrong
   outside your program is told there. E_STATE when op is in flight already or file is not attached,
   E_ARGUMENT when there is no room to read into: then nothing was submitted. */
STREAM_API stream_status stream_io_read(stream_io *io, stream_io_op *op, stream_io_file *file, void *data,
                                        size_t cap);
STREAM_API stream_status stream_io_write(stream_io *io, stream_io_op *op, stream_io_file *file,
                                         const void *data, size_t len);
/* Several pieces in a row; the array, too, must stay until the operation is done. */
STREAM_API stream_status stream_io_writev(stream_io *io, stream_io_op *op, stream_io_file *file,
                                          const stream_slice *parts, size_t count);
/* file is a listening socket; op->fd is the new one: non-blocking, closed on exec, still to be attached.
   When the process has no descriptor left (EMFILE) the connection stays queued: accept again when one is
   free. */
STREAM_API stream_status stream_io_accept(stream_io *io, stream_io_op *op, stream_io_file *file);
/* file is a fresh socket, address a struct sockaddr of len bytes that stays until the operation is done.
   After a failure or a cancel close the socket. */
STREAM_API stream_status stream_io_connect(stream_io *io, stream_io_op *op, stream_io_file *file,
                                           const void *address, size_t len);
/* Waits until the descriptor is what events asks for, and takes nothing from it: for a reader of standard
   output that leaves (events 0), a channel's wake descriptor, a library with a descriptor of its own. One for
   each file at a time is served. E_TYPE on Windows. */
STREAM_API stream_status stream_io_poll(stream_io *io, stream_io_op *op, stream_io_file *file,
                                        uint32_t events);
/* Done, OK, when stream_now_ns() has reached deadline_ns: never before, at most about a millisecond after. */
STREAM_API stream_status stream_io_timer(stream_io *io, stream_io_op *op, uint64_t deadline_ns);

/* Asks for op back: it comes out CANCELLED, or with its result if that was faster. One that is not in
   flight is left alone. */
STREAM_API void stream_io_cancel(stream_io *io, stream_io_op *op);

/* Collects what is done, and if there is nothing waits for it up to timeout_ns. OK: call stream_io_next.
   EMPTY: the time is up, or stream_io_wake was called, or a signal came. E_IO with os_error, E_NOMEM (poll
   only): nothing was lost, and it may work the next time. */
STREAM_API stream_status stream_io_wait(stream_io *io, uint64_t timeout_ns);
/* The next operation that is done; its memory, and its file's if that has no other, is yours again. NULL:
   wait. One by one, so that what you do about this one (close!) counts for the next. */
STREAM_API stream_io_op *stream_io_next(stream_io *io);

/* Makes the wait that runs now, or else the next one, return. Any thread, and signal handlers. A system
   call only if the loop sleeps; many wakes before one wait are one. */
STREAM_API void stream_io_wake(stream_io *io);
/* Any thread: op, with whatever you made it carry, comes out of stream_io_next over there, OK. Order is
   kept for each posting thread. E_STATE when it is in flight. */
STREAM_API stream_status stream_io_post(stream_io *io, stream_io_op *op);

#if !defined(_WIN32)

/* ==[ splice ]=======================================================================================
   Moves bytes from one descriptor to another, and if you like to a second one as well, without copying them
   where the system can do that (Linux: splice, tee), and by reading and writing where it cannot. Which of
   both it is makes no difference to the bytes. It never waits, whether the descriptors are blocking or not,
   and leaves their flags alone: wait as the result says, with stream_io_poll for example, and go on. One
   thread.

       while ((st = stream_splice_step(&s, SIZE_MAX, &moved)) != STREAM_END) {
           if (st == STREAM_EMPTY)     wait_until_readable(from);
           else if (st == STREAM_FULL) wait_until_writable(stream_splice_blocked(&s));
           else if (st != STREAM_OK)   break;
       }

   Not without copying: to a blocking socket (make it non-blocking), a terminal, a file opened with
   O_APPEND, a device. What refuses the call is found out by calling it, and what was under way then is not
   lost. SIGPIPE: ignore it, as with stream_io. POSIX. */

typedef struct stream_splice_desc {
    int from, to; /* stay yours */
    int tee;      /* a second descriptor that gets every byte; 0: none (duplicate a descriptor that is 0) */
    bool copy;    /* never splice: read and write */
    size_t buffer_len; /* of the copying way, bytes; 0: 64 KiB */
    size_t pipe_len;   /* asked for between two descriptors of which none is a pipe, bytes; 0: 1 MiB */
    stream_allocator allocator; /* for that buffer, once copying begins; zero: malloc */
} stream_splice_desc;

typedef struct stream_splice {
    uint64_t bytes;   /* that reached `to` so far (read only) */
    uint64_t spliced; /* of these, without being copied here (read only) */
    int os_error;     /* with E_IO (read only) */
    int failed;       /* with E_IO: the descriptor it happened on (read only) */
    /* private */
    stream_splice_desc desc;
    uint32_t from_flags, to_flags, tee_flags;
    int mid[2], mid_tee[2]; /* pipes of our own: for `to`, for `tee` */
    size_t in_mid, teed, in_mid_tee; /* bytes in mid; of these the first, given to mid_tee too; bytes there */
    char *buffer;
    size_t len, to_done, tee_done; /* bytes in the buffer, and how far each side has them */
    int blocked;
    bool direct, ended;
} stream_splice;

/* OK, E_ARGUMENT, E_IO with os_error (not a descriptor; no pipe to be had), E_NOMEM. */
STREAM_API stream_status stream_splice_init(stream_splice *splice, const stream_splice_desc *desc);
/* What is still on its way (see stream_splice_held) is lost. A zeroed object is fine. */
STREAM_API void stream_splice_free(stream_splice *splice);
/* Moves up to max bytes, as much as goes without waiting. OK: *moved bytes reached `to`, go on. EMPTY: the
   source has none now. FULL: a destination takes none now, see stream_splice_blocked. END: the source has
   ended and everything has arrived. E_IO: see os_error and failed; when that is the tee, stream_splice_untee
   and go on. E_NOMEM: call again when there is memory. *moved counts whatever the result. */
STREAM_API stream_status stream_splice_step(stream_splice *splice, size_t max, size_t *moved);
/* After FULL: the descriptor to wait for. */
STREAM_API int stream_splice_blocked(const stream_splice *splice);
/* Bytes taken from the source that have not reached every destination yet. */
STREAM_API size_t stream_splice_held(const stream_splice *splice);
/* No more bytes for the tee. */
STREAM_API void stream_splice_untee(stream_splice *splice);

#endif /* POSIX */

#endif /* STREAM_NO_OS */

#ifdef __cplusplus
}
#endif
#endif /* STREAM_H */

/* ====================================================================================================
   IMPLEMENTATION
   ==================================================================================================== */
#if defined(STREAM_IMPLEMENTATION) && !defined(STREAM__IMPLEMENTED)
#define STREAM__IMPLEMENTED 1

#ifndef STREAM_NO_OS

/* Which backends of stream_io are compiled in. */
#ifndef STREAM_IO_EPOLL
#if defined(__linux__)
#define STREAM_IO_EPOLL 1
#else
#define STREAM_IO_EPOLL 0
#endif
#endif
#ifndef STREAM_IO_URING
#define STREAM_IO_URING 0
#if defined(__linux__) && defined(__GNUC__) && defined(__has_include)
#if __has_include(<linux/io_uring.h>) && __has_include(<linux/time_types.h>)
#undef STREAM_IO_URING
#define STREAM_IO_URING 1
#endif
#endif
#endif
#ifndef STREAM_IO_KQUEUE
#if defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
    defined(__DragonFly__)
#define STREAM_IO_KQUEUE 1
#else
#define STREAM_IO_KQUEUE 0
#endif
#endif
#ifndef STREAM_IO_IOCP
#if defined(_WIN32)
#define STREAM_IO_IOCP 1
#else
#define STREAM_IO_IOCP 0
#endif
#endif

#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <winsock2.h>
#include <ws2tcpip.h>
#include <mswsock.h>
#include <windows.h>
#include <io.h>
#ifdef _MSC_VER
#pragma comment(lib, "synchronization.lib") /* WaitOnAddress */
#pragma comment(lib, "ws2_32.lib")
#endif
#else
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#endif
#if STREAM_IO_EPOLL
#include <sys/epoll.h>
#endif
#if STREAM_IO_KQUEUE
#include <sys/event.h>
#endif
#if STREAM_IO_URING
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <sys/mman.h>
#endif
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#ifndef STREAM_SYS_READ
#define STREAM_SYS_READ(fd, ptr, len) read(fd, ptr, len)
#endif
#ifndef STREAM_SYS_WRITE
#define STREAM_SYS_WRITE(fd, ptr, len) write(fd, ptr, len)
#endif
#ifndef CLOCK_MONOTONIC
#error "stream.h: include the implementation before any system header, or define _POSIX_C_SOURCE 200809L"
#endif
#endif
#include <errno.h>
#endif /* STREAM_NO_OS */

#ifdef __cplusplus
extern "C" {
#endif

STREAM_API const char *stream_version(void) { return STREAM_VERSION; }

/* ==[ bytes: implementation ]======================================================================== */

STREAM_API size_t stream_find_byte(const void *ptr, size_t len, char byte) {
    const char *hit = len ? (const char *)memchr(ptr, (unsigned char)byte, len) : NULL;
    return hit ? (size_t)(hit - (const char *)ptr) : len;
}

STREAM_API size_t stream_find_newline(const void *ptr, size_t len) { return stream_find_byte(ptr, len, '\n'); }

STREAM_API size_t stream_find_any(const void *ptr, size_t len, const char *set, size_t set_len) {
    const unsigned char *p = (const unsigned char *)ptr;
    uint32_t in[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    size_t i;
    for (i = 0; i < set_len; i++) {
        unsigned char c = (unsigned char)set[i];
        in[c >> 5] |= UINT32_C(1) << (c & 31);
    }
    for (i = 0; i < len; i++)
        if (in[p[i] >> 5] >> (p[i] & 31) & 1) break;
    return i;
}

STREAM_API stream_slice stream_slice_of(const void *ptr, size_t len) {
    stream_slice slice;
    slice.ptr = (const char *)ptr;
    slice.len = len;
    return slice;
}

STREAM_API stream_slice stream_slice_text(const char *text) {
    size_t len = 0;
    while (len < SIZE_MAX && text[len]) len++; /* not strlen, nor a loop that a compiler turns into it */
    return stream_slice_of(text, len);
}

/* ==[ shared block: utf8 ]== the same bytes in stream.h and stream_json.h */
#ifndef STREAM__UTF8
#define STREAM__UTF8 1

/* Which vector kernels this compiler can build. x86-64 has SSE2 unless a kernel's flags take it away; AVX2 and AVX-512
   are compiled for their own functions only and chosen at run time, so no compiler flag is asked for. */
#define STREAM__SIMD_X86 0
#define STREAM__SIMD_NEON 0
#if !defined(STREAM_NO_SIMD) && (defined(__GNUC__) || defined(__clang__))
#if defined(__x86_64__) && defined(__SSE2__) && (defined(__clang__) || __GNUC__ >= 5)
#undef STREAM__SIMD_X86
#define STREAM__SIMD_X86 1
#include <immintrin.h>
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
#undef STREAM__SIMD_NEON
#define STREAM__SIMD_NEON 1
#include <arm_neon.h>
#endif
#endif

#if STREAM__SIMD_X86
#define STREAM__AVX2 __attribute__((__target__("avx2,popcnt,bmi,bmi2,lzcnt,pclmul")))
#ifndef STREAM_NO_AVX512
#define STREAM__AVX512 __attribute__((__target__("avx512f,avx512bw,avx2,popcnt,bmi,bmi2,lzcnt,pclmul")))
#endif

static void stream__cpuid(uint32_t leaf, uint32_t out[4]) {
    __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(0));
}

/* How many bytes a vector has that this machine knows and its system saves: 64 with what STREAM__AVX512 names, 32
   with what STREAM__AVX2 names, else 16. Those that know AVX-512 but not its VBMI2 (before Ice Lake) lower their clock
   for it, so they count as 32. Not by __builtin_cpu_supports: what that reads is missing in the runtime library of
   some compilers (Zig's). */
static unsigned stream__ask_width(void) {
    const uint32_t basic = 1u << 1 /* pclmul */ | 1u << 23 /* popcnt */ | 3u << 27 /* osxsave, avx */;
    const uint32_t later = 1u << 3 /* bmi */ | 1u << 5 /* avx2 */ | 1u << 8 /* bmi2 */;
    uint32_t r[4], low, high, widest = 0;
    stream__cpuid(0, r);
    if (r[0] < 7) return 16;
    stream__cpuid(1, r);
    if ((r[2] & basic) != basic) return 16;
    stream__cpuid(7, r);
    if ((r[1] & later) != later) return 16;
#ifdef STREAM__AVX512
    widest = r[1] >> 16 /* avx512f */ & r[1] >> 30 /* avx512bw */ & r[2] >> 6 /* vbmi2 */ & 1;
#endif
    stream__cpuid(0x80000001u, r);
    if (!(r[2] & 1u << 5 /* lzcnt */)) return 16;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    (void)high;
    return (low & 6) != 6 ? 16 : widest && (low & 0xE0) == 0xE0 ? 64 : 32;
}

/* Asked once: in a virtual machine each question leaves it, for microseconds. Threads that come at the same
   time find and write the same answer, so its word needs no order. */
static unsigned stream__vector_width(void) {
    static uint32_t known; /* 0: not asked */
    uint32_t answer = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (!answer) __atomic_store_n(&known, answer = stream__ask_width(), __ATOMIC_RELAXED);
    return answer;
}
#endif

#if STREAM__SIMD_X86 || STREAM__SIMD_NEON
/* UTF-8 by three tables of sixteen, after Keiser and Lemire ("Validating UTF-8 In Less Than One Instruction Per
   Byte", Software: Practice and Experience 51, 2021): what two neighbouring bytes may be wrong with is told by
   the halves of the first and the upper half of the second; where all three agree on an error, there is one. Only
   that a third or fourth byte must be a continuation is left to say: there STREAM__TWO is no error but due. */
#define STREAM__SHORT 1       /* a lead, then no continuation */
#define STREAM__LONG 2        /* ASCII, then a continuation */
#define STREAM__OVERLONG_3 4  /* E0, then below A0 */
#define STREAM__TOO_LARGE 8   /* F4, then above 8F; or F5 and up */
#define STREAM__SURROGATE 16  /* ED, then above 9F */
#define STREAM__OVERLONG_2 32 /* C0 or C1 */
#define STREAM__OVERLONG_4 64 /* F0, then below 90; or F5 and up, then below 90 */
#define STREAM__TWO 128       /* two continuations */
#define STREAM__ANY (STREAM__SHORT | STREAM__LONG | STREAM__TWO)
static const uint8_t stream__utf8_first_high[16] = {
    STREAM__LONG, STREAM__LONG, STREAM__LONG, STREAM__LONG, STREAM__LONG, STREAM__LONG, STREAM__LONG, STREAM__LONG,
    STREAM__TWO, STREAM__TWO, STREAM__TWO, STREAM__TWO, STREAM__SHORT | STREAM__OVERLONG_2, STREAM__SHORT,
    STREAM__SHORT | STREAM__OVERLONG_3 | STREAM__SURROGATE,
    STREAM__SHORT | STREAM__TOO_LARGE | STREAM__OVERLONG_4};
#define STREAM__BEYOND (STREAM__ANY | STREAM__TOO_LARGE | STREAM__OVERLONG_4) /* F5 and up */
static const uint8_t stream__utf8_first_low[16] = {
    STREAM__ANY | STREAM__OVERLONG_3 | STREAM__OVERLONG_2 | STREAM__OVERLONG_4, STREAM__ANY | STREAM__OVERLONG_2,
    STREAM__ANY, STREAM__ANY, STREAM__ANY | STREAM__TOO_LARGE, STREAM__BEYOND, STREAM__BEYOND, STREAM__BEYOND,
    STREAM__BEYOND, STREAM__BEYOND, STREAM__BEYOND, STREAM__BEYOND, STREAM__BEYOND,
    STREAM__BEYOND | STREAM__SURROGATE, STREAM__BEYOND, STREAM__BEYOND};
#define STREAM__CONTINUES (STREAM__LONG | STREAM__OVERLONG_2 | STREAM__TWO)
static const uint8_t stream__utf8_second_high[16] = {
    STREAM__SHORT, STREAM__SHORT, STREAM__SHORT, STREAM__SHORT, STREAM__SHORT, STREAM__SHORT, STREAM__SHORT,
    STREAM__SHORT, STREAM__CONTINUES | STREAM__OVERLONG_3 | STREAM__OVERLONG_4,
    STREAM__CONTINUES | STREAM__OVERLONG_3 | STREAM__TOO_LARGE,
    STREAM__CONTINUES | STREAM__SURROGATE | STREAM__TOO_LARGE,
    STREAM__CONTINUES | STREAM__SURROGATE | STREAM__TOO_LARGE, STREAM__SHORT, STREAM__SHORT, STREAM__SHORT,
    STREAM__SHORT};

#if STREAM__SIMD_X86
/* Whether 64 bytes, from where a character begins, are without a fault, but for what the last three begin. */
STREAM__AVX2 static bool stream__is_utf8_avx2(const char *p) {
#define STREAM__TABLE(t) _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(t)))
    const __m256i first_high = STREAM__TABLE(stream__utf8_first_high), low = _mm256_set1_epi8(15);
    const __m256i first_low = STREAM__TABLE(stream__utf8_first_low);
    const __m256i second_high = STREAM__TABLE(stream__utf8_second_high);
#undef STREAM__TABLE
    __m256i before = _mm256_setzero_si256(), wrong = _mm256_setzero_si256();
    int i;
    for (i = 0; i < 2; i++) {
        const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32 * i));
        const __m256i across = _mm256_permute2x128_si256(before, v, 0x21);
        const __m256i one = _mm256_alignr_epi8(v, across, 15), two = _mm256_alignr_epi8(v, across, 14);
        const __m256i three = _mm256_alignr_epi8(v, across, 13);
        const __m256i pair = _mm256_and_si256(
            _mm256_and_si256(_mm256_shuffle_epi8(first_high, _mm256_and_si256(_mm256_srli_epi16(one, 4), low)),
                             _mm256_shuffle_epi8(first_low, _mm256_and_si256(one, low))),
            _mm256_shuffle_epi8(second_high, _mm256_and_si256(_mm256_srli_epi16(v, 4), low)));
        /* The top bit where the byte two before is E0 and up, or the one three before F0 and up. */
        const __m256i due = _mm256_or_si256(_mm256_subs_epu8(two, _mm256_set1_epi8(0x60)),
                                            _mm256_subs_epu8(three, _mm256_set1_epi8(0x70)));
        wrong = _mm256_or_si256(wrong, _mm256_xor_si256(pair, _mm256_and_si256(due, _mm256_set1_epi8((char)0x80))));
        before = v;
    }
    return _mm256_testz_si256(wrong, wrong);
}
#ifdef STREAM__AVX512
/* The same in two: what it needs in registers, each told to be kept there, as gcc 12 makes those of one byte anew in a
   loop; and a block behind the bytes one, two and three places before its own, where what is wrong is not zero. */
typedef struct stream__utf8_avx512 {
    __m512i first_high, first_low, second_high, low, second, third, top;
} stream__utf8_avx512;
STREAM__AVX512 static inline stream__utf8_avx512 stream__utf8_begin_avx512(void) {
/* With a mask, as without one gcc 12's header warns of itself. */
#define STREAM__TABLE(t) _mm512_maskz_broadcast_i32x4(0xFFFF, _mm_loadu_si128((const __m128i *)(const void *)(t)))
    stream__utf8_avx512 c;
    c.first_high = STREAM__TABLE(stream__utf8_first_high);
    c.first_low = STREAM__TABLE(stream__utf8_first_low);
    c.second_high = STREAM__TABLE(stream__utf8_second_high);
#undef STREAM__TABLE
    c.low = _mm512_set1_epi8(15);
    c.second = _mm512_set1_epi8(0x60);
    c.third = _mm512_set1_epi8(0x70);
    c.top = _mm512_set1_epi8((char)0x80);
    __asm__("" : "+v"(c.low), "+v"(c.second), "+v"(c.third), "+v"(c.top));
    return c;
}
STREAM__AVX512 static inline __m512i stream__utf8_wrong_avx512(const stream__utf8_avx512 *c, __m512i v, __m512i one,
                                                               __m512i two, __m512i three) {
    const __m512i pair = _mm512_and_si512(
        _mm512_and_si512(_mm512_shuffle_epi8(c->first_high, _mm512_and_si512(_mm512_srli_epi16(one, 4), c->low)),
                         _mm512_shuffle_epi8(c->first_low, _mm512_and_si512(one, c->low))),
        _mm512_shuffle_epi8(c->second_high, _mm512_and_si512(_mm512_srli_epi16(v, 4), c->low)));
    const __m512i due = _mm512_or_si512(_mm512_subs_epu8(two, c->second), _mm512_subs_epu8(three, c->third));
    return _mm512_xor_si512(pair, _mm512_and_si512(due, c->top));
}
STREAM__AVX512 static bool stream__is_utf8_avx512(const char *p) {
    const stream__utf8_avx512 c = stream__utf8_begin_avx512();
    const __m512i v = _mm512_loadu_si512(p), across = _mm512_maskz_alignr_epi32(0xFFF0, v, v, 12);
    const __m512i wrong =
        stream__utf8_wrong_avx512(&c, v, _mm512_alignr_epi8(v, across, 15), _mm512_alignr_epi8(v, across, 14),
                                  _mm512_alignr_epi8(v, across, 13));
    return _mm512_test_epi8_mask(wrong, wrong) == 0;
}
#endif
#else
static bool stream__is_utf8_neon(const char *p) { /* the same */
    const uint8x16_t first_high = vld1q_u8(stream__utf8_first_high), first_low = vld1q_u8(stream__utf8_first_low);
    const uint8x16_t second_high = vld1q_u8(stream__utf8_second_high);
    uint8x16_t before = vdupq_n_u8(0), wrong = vdupq_n_u8(0);
    int i;
    for (i = 0; i < 4; i++) {
        const uint8x16_t v = vld1q_u8((const uint8_t *)p + 16 * i), one = vextq_u8(before, v, 15);
        const uint8x16_t pair = vandq_u8(vandq_u8(vqtbl1q_u8(first_high, vshrq_n_u8(one, 4)),
                                                  vqtbl1q_u8(first_low, vandq_u8(one, vdupq_n_u8(15)))),
                                         vqtbl1q_u8(second_high, vshrq_n_u8(v, 4)));
        const uint8x16_t due = vorrq_u8(vqsubq_u8(vextq_u8(before, v, 14), vdupq_n_u8(0x60)),
                                        vqsubq_u8(vextq_u8(before, v, 13), vdupq_n_u8(0x70)));
        wrong = vorrq_u8(wrong, veorq_u8(pair, vandq_u8(due, vdupq_n_u8(0x80))));
        before = v;
    }
    return vmaxvq_u8(wrong) == 0;
}
#endif
#endif

#endif /* STREAM__UTF8 */
/* ==[ end of shared block: utf8 ]== */

/* ==[ utf8: implementation ]=========================================================================
   The decoder of the WHATWG Encoding Standard (section UTF-8 decoder) without the decoding: after a lead
   byte only its first continuation has narrowed bounds. ASCII is skipped eight bytes at a time; what is not is
   looked at 64 bytes at a time where there are vectors, and byte by byte to find a fault. */

/* How many of the bytes, from where a character begins, are whole characters in blocks without a fault. */
static size_t stream__utf8_blocks(const unsigned char *p, size_t len) {
    size_t i = 0;
#if STREAM__SIMD_X86 || STREAM__SIMD_NEON
#if STREAM__SIMD_X86
    const unsigned width = stream__vector_width();
#ifdef STREAM__AVX512
    bool (*const is_utf8)(const char *) = width == 64 ? stream__is_utf8_avx512 : stream__is_utf8_avx2;
#else
    bool (*const is_utf8)(const char *) = stream__is_utf8_avx2;
#endif
    if (width == 16) return 0;
#else
    bool (*const is_utf8)(const char *) = stream__is_utf8_neon;
#endif
    while (len - i >= 64 && is_utf8((const char *)p + i)) {
        i += 64; /* less the beginning of a character that ends in the next block */
        i -= p[i - 1] >= 0xC0 ? 1 : p[i - 2] >= 0xE0 ? 2 : p[i - 3] >= 0xF0 ? 3 : 0;
    }
#else
    (void)p, (void)len;
#endif
    return i;
}

STREAM_API stream_status stream_utf8_feed(stream_utf8 *state, const void *ptr, size_t len) {
    const unsigned char *p = (const unsigned char *)ptr;
    size_t i = 0;
    uint8_t need = state->need, low = state->low, high = state->high;
    if (state->failed) return STREAM_E_INVALID;
    while (i < len) {
        unsigned char c = p[i];
        if (need) {
            if (c < low || c > high) break;
            low = 0x80;
            high = 0xBF;
            need--;
        } else if (c < 0x80) {
            uint64_t word;
            while (len - i >= 8) {
                memcpy(&word, p + i, 8);
                if (word & UINT64_C(0x8080808080808080)) break;
                i += 8;
            }
            if (i == len) break;
            if (p[i] >= 0x80) continue;
        } else {
            const size_t whole = len - i >= 64 ? stream__utf8_blocks(p + i, len - i) : 0;
            if (whole) {
                i += whole;
                continue;
            }
            low = 0x80;
            high = 0xBF;
            if (c >= 0xC2 && c <= 0xDF) {
                need = 1;
            } else if (c >= 0xE0 && c <= 0xEF) {
                need = 2;
                if (c == 0xE0) low = 0xA0;  /* below: overlong */
                if (c == 0xED) high = 0x9F; /* above: surrogates */
            } else if (c >= 0xF0 && c <= 0xF4) {
                need = 3;
                if (c == 0xF0) low = 0x90;  /* below: overlong */
                if (c == 0xF4) high = 0x8F; /* above: past U+10FFFF */
            } else {
                break;
            }
        }
        i++;
    }
    state->need = need;
    state->low = low;
    state->high = high;
    state->offset += i;
    if (i < len) {
        state->failed = 1;
        return STREAM_E_INVALID;
    }
    return need ? STREAM_MORE : STREAM_OK;
}

STREAM_API stream_status stream_utf8_finish(const stream_utf8 *state) {
    if (state->failed) return STREAM_E_INVALID;
    return state->need ? STREAM_E_TRUNCATED : STREAM_OK;
}

STREAM_API bool stream_utf8_valid(const void *ptr, size_t len) {
    stream_utf8 state;
    memset(&state, 0, sizeof state);
    return stream_utf8_feed(&state, ptr, len) == STREAM_OK;
}

STREAM_API size_t stream_utf8_cut(const void *ptr, size_t len) {
    const unsigned char *p = (const unsigned char *)ptr;
    size_t back;
    for (back = 1; back <= 3 && back <= len; back++) {
        unsigned char c = p[len - back];
        if (c < 0x80) return len;
        if (c >= 0xC0) {
            /* The last lead byte: held back only while what follows it could still become valid. */
            stream_utf8 state;
            memset(&state, 0, sizeof state);
            return stream_utf8_feed(&state, p + len - back, back) == STREAM_MORE ? len - back : len;
        }
    }
    return len;
}

/* ==[ lines: implementation ]======================================================================== */

STREAM_API stream_status stream_lines_init(stream_lines *lines, const stream_lines_desc *desc) {
    stream_lines_desc d;
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    if (d.max_len == 0) d.max_len = d.memory ? SIZE_MAX : (size_t)1 << 20;
    if (d.memory) {
        if (d.memory_len < 2) return STREAM_E_ARGUMENT;
        if (d.max_len > d.memory_len - 1) d.max_len = d.memory_len - 1;
    }
    if (d.max_len > SIZE_MAX / 4) return STREAM_E_ARGUMENT;
    if (d.first_len == 0) d.first_len = 4096;
    memset(lines, 0, sizeof *lines);
    lines->max_len = d.max_len;
    /* One byte above max_len: a CR that may or may not turn out to belong to the line's end. */
    stream__assembly_init(&lines->held, &d.allocator, d.memory, d.first_len, d.max_len + 1);
    return STREAM_OK;
}

STREAM_API void stream_lines_free(stream_lines *lines) {
    stream__assembly_free(&lines->held);
    memset(lines, 0, sizeof *lines);
}

STREAM_API void stream_lines_reset(stream_lines *lines) {
    stream__assembly_clear(&lines->held);
    lines->cur = lines->end = NULL;
    lines->scanned = lines->offset = lines->open = 0;
    lines->finished = false;
}

STREAM_API stream_status stream_lines_feed(stream_lines *lines, const void *data, size_t len) {
    if (lines->finished || lines->cur != lines->end) return STREAM_E_STATE;
    lines->cur = (const char *)data;
    lines->end = len ? lines->cur + len : lines->cur;
    return STREAM_OK;
}

STREAM_API stream_status stream_lines_finish(stream_lines *lines) {
    lines->finished = true;
    return STREAM_OK;
}

STREAM_API uint64_t stream_lines_open(const stream_lines *lines) { return lines->open; }

/* Hands out the line whose earlier part is held and whose last part is `piece`. */
static stream_status stream__lines_emit(stream_lines *lines, stream_item *line, size_t piece, bool ended) {
    uint64_t raw = lines->open + piece;
    char last = piece ? lines->cur[piece - 1] : lines->last;
    stream_status status = STREAM_OK;

    memset(line, 0, sizeof *line);
    line->offset = lines->offset - lines->open;
    line->size = raw;
    if (ended && raw && last == '\r') line->size--;
    if (!ended) line->flags |= STREAM_UNTERMINATED;
    if (lines->open == 0) {
        line->ptr = lines->cur;
        line->len = piece;
    } else {
        stream__assembly_add(&lines->held, lines->cur, piece);
        line->ptr = lines->held.ptr;
        line->len = lines->held.len;
        line->flags |= STREAM_COPIED;
        if (lines->held.refused) status = STREAM_E_NOMEM;
    }
    if (line->len > line->size) line->len = (size_t)line->size;
    if (line->size > lines->max_len && line->len >= lines->max_len) { /* a shorter head: E_NOMEM it stays */
        status = STREAM_E_TOO_LONG;
        line->len = lines->max_len;
    }
    lines->open = 0;
    stream__assembly_clear(&lines->held); /* its bytes stay until something is added */
    return status;
}

STREAM_API stream_status stream_lines_next(stream_lines *lines, stream_item *line) {
    size_t left = (size_t)(lines->end - lines->cur), at;
    stream_status status;
    at = stream_find_newline(lines->cur, left);
    lines->scanned += at + (at < left);
    if (at < left || (lines->finished && lines->open + left > 0)) {
        status = stream__lines_emit(lines, line, at, at < left);
        at += at < left;
        if (at) lines->cur += at; /* NULL when nothing is lent, and NULL + 0 is not defined in C */
        lines->offset += at;
        return status;
    }
    memset(line, 0, sizeof *line);
    if (left) {
        stream__assembly_add(&lines->held, lines->cur, left);
        lines->last = lines->end[-1];
        lines->open += left;
        lines->offset += left;
        lines->cur = lines->end;
    }
    line->offset = lines->offset;
    return lines->finished ? STREAM_END : STREAM_MORE;
}

static stream_status stream__lines_feed(void *self, const void *data, size_t len) {
    return stream_lines_feed((stream_lines *)self, data, len);
}
static stream_status stream__lines_next(void *self, stream_item *line) {
    return stream_lines_next((stream_lines *)self, line);
}
static stream_status stream__lines_finish(void *self) { return stream_lines_finish((stream_lines *)self); }

STREAM_API stream_decoder stream_lines_decoder(stream_lines *lines) {
    stream_decoder decoder;
    decoder.self = lines;
    decoder.feed = stream__lines_feed;
    decoder.next = stream__lines_next;
    decoder.finish = stream__lines_finish;
    return decoder;
}

/* ==[ flow: implementation ]=========================================================================
   The two counters only grow, each by one thread; the lag is their difference. A reader that sees the
   consumer's newer count beside the producer's older one would find it negative: it saturates at 0. */

STREAM_API stream_status stream_flow_init(stream_flow *flow, const stream_flow_desc *desc) {
    stream_flow_desc d;
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    if (d.size == 0) d.size = 100;
    if (d.high == 0) d.high = d.size > UINT64_MAX / 2 ? UINT64_MAX : d.size * 2;
    if (d.low == 0) {
        d.low = d.size / 2 ? d.size / 2 : 1;
        if (d.low > d.high) d.low = d.high;
    }
    if (d.delay_ns == 0) d.delay_ns = UINT64_C(10000000);
    if (d.slow_delay_ns == 0) d.slow_delay_ns = UINT64_C(100000000);
    if (d.target_ns == 0) d.target_ns = UINT64_C(100000000);
    if (d.low > d.high) return STREAM_E_ARGUMENT;
    memset(flow, 0, sizeof *flow);
    flow->desc = d;
    flow->high = d.high;
    flow->low = d.low;
    return STREAM_OK;
}

STREAM_API uint64_t stream_flow_lag(const stream_flow *flow) {
    /* Relaxed: the lag is a measure, no data is reached through it. */
    uint64_t consumed = stream__a64_load_relaxed(&flow->consumed);
    uint64_t sent = stream__a64_load_relaxed(&flow->sent);
    return sent > consumed ? sent - consumed : 0;
}

STREAM_API bool stream_flow_slow(stream_flow *flow) {
    uint64_t lag = stream_flow_lag(flow);
    bool slow = stream__a64_load_relaxed(&flow->slow) != 0;
    if (!slow && lag > flow->high) {
        slow = true;
        stream__a64_store_relaxed(&flow->slow, 1);
        stream__a64_add_relaxed(&flow->slowed, 1);
    } else if (slow && lag < flow->low) {
        slow = false;
        stream__a64_store_relaxed(&flow->slow, 0);
    }
    return slow;
}

STREAM_API void stream_flow_sent(stream_flow *flow, uint64_t units) {
    uint64_t lag;
    stream__a64_add_relaxed(&flow->sent, units);
    lag = stream_flow_lag(flow);
    if (lag > stream__a64_load_relaxed(&flow->max_lag)) stream__a64_store_relaxed(&flow->max_lag, lag);
    (void)stream_flow_slow(flow);
}

STREAM_API void stream_flow_consumed(stream_flow *flow, uint64_t units) {
    stream__a64_add_relaxed(&flow->consumed, units);
}

STREAM_API uint64_t stream_flow_delay_ns(stream_flow *flow) {
    if (stream_flow_slow(flow)) return flow->desc.slow_delay_ns;
    return stream_flow_lag(flow) > flow->desc.size ? flow->desc.delay_ns : 0;
}

STREAM_API uint64_t stream_flow_max_lag(const stream_flow *flow) {
    return stream__a64_load_relaxed(&flow->max_lag);
}

STREAM_API uint64_t stream_flow_times_slowed(const stream_flow *flow) {
    return stream__a64_load_relaxed(&flow->slowed);
}

/* Units that cost ns, to the nearest; at least 2 (one in work and one to come), at most what the queue
   holds. */
static uint64_t stream__flow_units(const stream_flow *flow, uint64_t ns) {
    uint64_t units = ns > UINT64_MAX / 2048 ? UINT64_MAX : (ns * 2048 / flow->cost + 1) / 2;
    if (units < 2) units = 2;
    return units < flow->desc.size ? units : flow->desc.size;
}

/* Learns from what was consumed since the last call. A stretch in which the queue ran empty only shows that
   the consumer is at least so fast. */
static void stream__flow_measure(stream_flow *flow, uint64_t consumed, uint64_t now_ns) {
    uint64_t ns = now_ns - flow->mark_ns, units = consumed - flow->mark_consumed, cost;
    if (consumed >= flow->asked) flow->idle = true; /* everything sent by then is done */
    flow->asked = stream__a64_load_relaxed(&flow->sent); /* relaxed: our own */
    if (flow->measuring) {
        /* Four units or as long as the target, so that one unit more or less does not matter much; the very
           first time one must do. */
        if (units < 4 && ns < flow->desc.target_ns && (flow->cost || units == 0)) return;
        cost = (ns > UINT64_MAX / 1024 ? UINT64_MAX : ns * 1024) / (units ? units : 1);
        if (cost == 0) cost = 1;
        if (flow->cost == 0 || (flow->idle && cost < flow->cost)) flow->cost = cost;
        else if (!flow->idle) flow->cost = flow->cost - flow->cost / 4 + cost / 4 + 1;
    }
    flow->measuring = true;
    flow->idle = false;
    flow->mark_ns = now_ns;
    flow->mark_consumed = consumed;
}

STREAM_API uint64_t stream_flow_advise_ns(stream_flow *flow, uint64_t now_ns) {
    uint64_t consumed = stream__a64_load_relaxed(&flow->consumed); /* relaxed: as in lag */
    uint64_t lag = stream_flow_lag(flow), target, over, pause;
    bool slow;
    stream__flow_measure(flow, consumed, now_ns);
    if (flow->cost == 0) return lag > flow->desc.size / 16 ? flow->desc.target_ns / 100 + 1 : 0;
    target = stream__flow_units(flow, flow->desc.target_ns);
    flow->high = target * 2;
    flow->low = target + target / 2;
    slow = stream_flow_slow(flow);
    if (slow && flow->slow_since == 0) flow->slow_since = now_ns ? now_ns : 1;
    if (!slow && flow->slow_since) {
        uint64_t took = now_ns - flow->slow_since;
        flow->slow_since = 0;
        stream__a64_store_relaxed(&flow->recovery_ns, took);
        stream__a64_raise(&flow->worst_recovery_ns, took);
    }
    over = lag < target ? 0 : lag - target + 1; /* in slow mode it is not below: low is above the target */
    if (over == 0) return 0;
    if (over > stream__flow_units(flow, flow->desc.slow_delay_ns)) return flow->desc.slow_delay_ns;
    pause = over * flow->cost / 1024;
    if (pause == 0) pause = 1;
    return pause < flow->desc.slow_delay_ns ? pause : flow->desc.slow_delay_ns;
}

/* d x 10^9 / ns, without overflow for any window below nine years. */
static uint64_t stream__per_second(uint64_t d, uint64_t ns) {
    while (ns >> 34) {
        ns >>= 1;
        d >>= 1;
    }
    return ns ? d / ns * UINT64_C(1000000000) + d % ns * UINT64_C(1000000000) / ns : 0;
}

STREAM_API void stream_flow_watch(stream_flow_monitor *monitor, const stream_flow *flow, uint64_t now_ns) {
    uint64_t window_ns = monitor->window_ns ? monitor->window_ns : UINT64_C(1000000000), ns;
    /* Relaxed: measures, through which nothing is reached. */
    monitor->consumed = stream__a64_load_relaxed(&flow->consumed);
    monitor->sent = stream__a64_load_relaxed(&flow->sent);
    monitor->lag = monitor->sent > monitor->consumed ? monitor->sent - monitor->consumed : 0;
    monitor->max_lag = stream_flow_max_lag(flow);
    monitor->times_slowed = stream_flow_times_slowed(flow);
    monitor->slow = stream__a64_load_relaxed(&flow->slow) != 0;
    monitor->recovery_ns = stream__a64_load_relaxed(&flow->recovery_ns);
    monitor->worst_recovery_ns = stream__a64_load_relaxed(&flow->worst_recovery_ns);
    if (!monitor->begun || now_ns - monitor->newer.ns >= window_ns) {
        monitor->older = monitor->newer;
        monitor->newer.ns = now_ns;
        monitor->newer.sent = monitor->sent;
        monitor->newer.consumed = monitor->consumed;
        if (!monitor->begun) monitor->older = monitor->newer;
        monitor->begun = true;
    }
    ns = now_ns - monitor->older.ns;
    monitor->sent_per_s = stream__per_second(monitor->sent - monitor->older.sent, ns);
    monitor->consumed_per_s = stream__per_second(monitor->consumed - monitor->older.consumed, ns);
}

STREAM_API void stream_credits_give(stream_credits *credits, uint64_t units) {
    stream__a64_add_release(&credits->left, units); /* release: what made the room */
}

STREAM_API uint64_t stream_credits_take_some(stream_credits *credits, uint64_t most) {
    uint64_t left = stream__a64_load_relaxed(&credits->left); /* relaxed: the exchange receives */
    for (;;) {
        uint64_t take = left < most ? left : most;
        if (take == 0) return 0;
        /* acquire: give's release. Relaxed, and what made the room may not be over when the room is used.
           A taker publishes nothing: the release half is there for want of a weaker call. */
        if (stream__a64_cas_acq_rel(&credits->left, &left, left - take)) return take;
    }
}

STREAM_API stream_status stream_credits_take(stream_credits *credits, uint64_t units) {
    uint64_t left = stream__a64_load_relaxed(&credits->left); /* relaxed: the exchange receives */
    do {
        if (left < units) return STREAM_FULL;
    } while (!stream__a64_cas_acq_rel(&credits->left, &left, left - units)); /* as in take_some */
    return STREAM_OK;
}

STREAM_API uint64_t stream_credits_left(const stream_credits *credits) {
    return stream__a64_load_relaxed(&credits->left); /* relaxed: a measure */
}

/* ==[ batch: implementation ]======================================================================== */

STREAM_API void stream_batch_init(stream_batch *batch, const stream_batch_desc *desc) {
    memset(batch, 0, sizeof *batch);
    if (desc) batch->desc = *desc;
    if (batch->desc.max_items == 0) batch->desc.max_items = 32;
    if (batch->desc.max_bytes == 0) batch->desc.max_bytes = SIZE_MAX;
    if (batch->desc.max_ns == 0) batch->desc.max_ns = UINT64_C(5000000);
    batch->deadline_ns = UINT64_MAX;
}

STREAM_API bool stream_batch_add(stream_batch *batch, size_t bytes, uint64_t now_ns) {
    if (batch->items++ == 0) {
        uint64_t max_ns = batch->desc.max_ns;
        /* UINT64_MAX would say that nothing waits. */
        batch->deadline_ns = now_ns >= UINT64_MAX - max_ns ? UINT64_MAX - 1 : now_ns + max_ns;
    }
    batch->bytes = bytes > SIZE_MAX - batch->bytes ? SIZE_MAX : batch->bytes + bytes;
    return batch->items >= batch->desc.max_items || batch->bytes >= batch->desc.max_bytes ||
           now_ns >= batch->deadline_ns;
}

STREAM_API bool stream_batch_due(const stream_batch *batch, uint64_t now_ns) {
    return batch->items > 0 && now_ns >= batch->deadline_ns;
}

STREAM_API uint64_t stream_batch_wait_ns(const stream_batch *batch, uint64_t now_ns) {
    if (batch->items == 0) return UINT64_MAX;
    return now_ns >= batch->deadline_ns ? 0 : batch->deadline_ns - now_ns;
}

STREAM_API void stream_batch_flushed(stream_batch *batch) {
    batch->items = batch->bytes = 0;
    batch->deadline_ns = UINT64_MAX;
}

/* ==[ ring: implementation ]=========================================================================
   Two free-running counters, tail (bytes published) and head (bytes consumed). Three pairs of ordered
   accesses carry everything; one step weaker and each breaks:

     tail   release by publish, acquire by the consumer: the bytes below it, and mark. Weaker, and the
            consumer reads bytes that are not there yet.
     head   release by the consumer, acquire by the producer: the consumer's reads of the bytes below it.
            Weaker, and the producer writes over bytes that are still being copied out.
     closed release by close, acquire by the consumer: the last tail. Weaker, and the consumer says END
            while bytes it has not seen are published.

   The part given up before the end of the memory is [mark, end of that lap). One word is enough for it:
   to give up a part the producer needs it free, and so the consumer has passed the one before. */

/* The smallest power of two that is not below n; n is 1 to SIZE_MAX / 2 + 1. */
static size_t stream__power_of_two(size_t n) {
    size_t p = 1;
    while (p < n) p *= 2;
    return p;
}

STREAM_API stream_status stream_ring_init(stream_ring *ring, const stream_ring_desc *desc) {
    stream_ring_desc d;
    char *bytes;
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    memset(ring, 0, sizeof *ring);
    if (d.capacity > SIZE_MAX / 2 || (d.memory && d.capacity == 0)) return STREAM_E_ARGUMENT;
    if (d.capacity == 0) d.capacity = 65536;
    bytes = (char *)(d.memory ? d.memory : stream__resize(&d.allocator, NULL, 0, d.capacity, 1));
    if (!bytes) return STREAM_E_NOMEM;
    ring->producer_bytes = ring->consumer_bytes = bytes;
    ring->producer_capacity = ring->consumer_capacity = d.capacity;
    ring->fixed = d.memory != NULL;
    ring->allocator = d.allocator;
    /* Relaxed: whoever hands the ring to the other thread publishes it. */
    stream__a64_store_relaxed(&ring->tail, d.start);
    stream__a64_store_relaxed(&ring->head, d.start);
    stream__a64_store_relaxed(&ring->mark, d.start - 1); /* nothing is given up: it lies behind head */
    ring->staged = ring->head_seen = ring->tail_seen = d.start;
    ring->mark_seen = d.start - 1;
    return STREAM_OK;
}

STREAM_API void stream_ring_free(stream_ring *ring) {
    if (ring->consumer_bytes && !ring->fixed)
        stream__resize(&ring->allocator, ring->consumer_bytes, ring->consumer_capacity, 0, 1);
    memset(ring, 0, sizeof *ring);
}

/* Bytes the producer may fill; looks at the consumer's counter only when what it saw last is not enough. */
static size_t stream__ring_room(stream_ring *ring, size_t want) {
    size_t room = ring->producer_capacity - (size_t)(ring->staged - ring->head_seen);
    if (room < want) {
        ring->head_seen = stream__a64_load_acquire(&ring->head); /* acquire: see head above */
        room = ring->producer_capacity - (size_t)(ring->staged - ring->head_seen);
    }
    return room;
}

static void stream__ring_stage(stream_ring *ring, size_t len) {
    STREAM__WRITES(ring->producer_bytes + ring->write_at, len);
    ring->staged += len;
    ring->write_at += len;
    if (ring->write_at == ring->producer_capacity) ring->write_at = 0;
}

STREAM_API void stream_ring_publish(stream_ring *ring) {
    stream__a64_store_release(&ring->tail, ring->staged); /* release: see tail above */
}

STREAM_API stream_status stream_ring_write(stream_ring *ring, const void *data, size_t len, size_t *put) {
    size_t room, first;
    *put = 0;
    ring->reserved = 0;
    if (stream__a64_load_relaxed(&ring->closed)) return STREAM_E_STATE; /* relaxed: our own */
    if (len == 0) return STREAM_OK;
    room = stream__ring_room(ring, len);
    if (room == 0) return STREAM_FULL;
    if (len > room) len = room;
    first = ring->producer_capacity - ring->write_at;
    if (first > len) first = len;
    memcpy(ring->producer_bytes + ring->write_at, data, first);
    stream__ring_stage(ring, first);
    if (len > first) {
        memcpy(ring->producer_bytes, (const char *)data + first, len - first);
        stream__ring_stage(ring, len - first);
    }
    stream_ring_publish(ring);
    *put = len;
    return STREAM_OK;
}

STREAM_API stream_status stream_ring_reserve(stream_ring *ring, size_t len, void **span) {
    size_t to_end = ring->producer_capacity - ring->write_at;
    ring->reserved = 0;
    *span = NULL;
    if (stream__a64_load_relaxed(&ring->closed)) return STREAM_E_STATE; /* relaxed: our own */
    if (len > ring->producer_capacity) return STREAM_E_TOO_LONG;
    if (len > to_end) {
        bool alone = stream__a64_load_relaxed(&ring->tail) == ring->staged; /* relaxed: our own */
        if (stream__ring_room(ring, to_end) < to_end) return STREAM_FULL;
        stream__a64_store_relaxed(&ring->mark, ring->staged); /* relaxed: the tail above it publishes it */
        ring->staged += to_end;
        ring->write_at = 0;
        /* At once, so that the consumer can step over it even if no room is found behind it; but never
           together with what is staged and not to be seen yet. */
        if (alone) stream_ring_publish(ring);
    }
    if (stream__ring_room(ring, len) < len) return STREAM_FULL;
    ring->reserved = len;
    *span = ring->producer_bytes + ring->write_at;
    return STREAM_OK;
}

STREAM_API stream_status stream_ring_stage(stream_ring *ring, size_t len) {
    if (len > ring->reserved) return STREAM_E_ARGUMENT;
    stream__ring_stage(ring, len);
    ring->reserved = 0;
    return STREAM_OK;
}

STREAM_API stream_status stream_ring_commit(stream_ring *ring, size_t len) {
    stream_status status = stream_ring_stage(ring, len);
    if (status == STREAM_OK) stream_ring_publish(ring);
    return status;
}

STREAM_API void stream_ring_abort(stream_ring *ring) { ring->reserved = 0; }

STREAM_API size_t stream_ring_writable(stream_ring *ring) { return stream__ring_room(ring, SIZE_MAX); }

STREAM_API void stream_ring_close(stream_ring *ring) {
    ring->reserved = 0;
    stream_ring_publish(ring);
    stream__a64_store_release(&ring->closed, 1); /* release: see closed above */
}

static void stream__ring_look(stream_ring *ring) {
    ring->tail_seen = stream__a64_load_acquire(&ring->tail); /* acquire: see tail above */
    ring->mark_seen = stream__a64_load_relaxed(&ring->mark); /* relaxed: tail brought it */
}

/* Gives everything before the index `at` of this lap (or the next one's beginning) and `head` back. */
static void stream__ring_take(stream_ring *ring, uint64_t head, size_t at) {
    ring->read_at = at == ring->consumer_capacity ? 0 : at;
    stream__a64_store_release(&ring->head, head); /* release: see head above */
}

/* The same as spans below, when there is a part given up among the bytes seen. */
static uint64_t stream__ring_spans_marked(stream_ring *ring, size_t *first, size_t *second, uint64_t *lap) {
    uint64_t head = stream__a64_load_relaxed(&ring->head); /* relaxed: our own */
    size_t seen = (size_t)(ring->tail_seen - head);
    size_t to_end = ring->consumer_capacity - ring->read_at;
    if (ring->mark_seen == head) { /* the consumer stands before the part given up: step over it */
        head += to_end;
        stream__ring_take(ring, head, 0);
        seen -= to_end;
        to_end = ring->consumer_capacity;
    }
    *lap = head + to_end;
    *first = seen < to_end ? seen : to_end;
    *second = seen - *first;
    if (ring->mark_seen - head < seen) *first = (size_t)(ring->mark_seen - head);
    return head;
}

/* The published bytes as last seen: `first` of them from read_at on, `second` at the beginning of the
   memory, and *lap, the counter that belongs to that beginning. */
STREAM__FN uint64_t stream__ring_spans(stream_ring *ring, size_t *first, size_t *second, uint64_t *lap) {
    uint64_t head = stream__a64_load_relaxed(&ring->head); /* relaxed: our own */
    size_t seen = (size_t)(ring->tail_seen - head);
    size_t to_end = ring->consumer_capacity - ring->read_at;
    if (ring->mark_seen - head < seen) return stream__ring_spans_marked(ring, first, second, lap);
    *lap = head + to_end;
    *first = seen < to_end ? seen : to_end;
    *second = seen - *first;
    return head;
}

static stream_status stream__ring_nothing(stream_ring *ring) {
    uint64_t head;
    /* acquire: see closed above; so the tail looked at after it is the last one. */
    if (!stream__a64_load_acquire(&ring->closed)) return STREAM_EMPTY;
    stream__ring_look(ring);
    head = stream__a64_load_relaxed(&ring->head); /* relaxed: our own */
    if (ring->tail_seen == head) return STREAM_END;
    return STREAM_OK; /* not nothing, after all */
}

STREAM_API stream_status stream_ring_peek(stream_ring *ring, stream_slice span[2]) {
    size_t first, second;
    uint64_t lap;
    stream_status status;
    do {
        stream__ring_look(ring);
        stream__ring_spans(ring, &first, &second, &lap);
        status = first + second ? STREAM_OK : stream__ring_nothing(ring);
    } while (status == STREAM_OK && first + second == 0);
    span[0].ptr = ring->consumer_bytes + ring->read_at;
    span[0].len = first;
    span[1].ptr = ring->consumer_bytes;
    span[1].len = second;
    return status;
}

STREAM_API stream_status stream_ring_consume(stream_ring *ring, size_t len) {
    size_t first, second;
    uint64_t lap, head = stream__ring_spans(ring, &first, &second, &lap);
    if (len > first + second) return STREAM_E_ARGUMENT;
    STREAM__READS(ring->consumer_bytes + ring->read_at, len < first ? len : first);
    if (len > first) STREAM__READS(ring->consumer_bytes, len - first);
    if (len < first || second == 0) stream__ring_take(ring, head + len, ring->read_at + len);
    else stream__ring_take(ring, lap + (len - first), len - first);
    return STREAM_OK;
}

STREAM_API stream_status stream_ring_read(stream_ring *ring, void *data, size_t cap, size_t *got) {
    size_t first, second;
    uint64_t lap, head, from = stream__a64_load_relaxed(&ring->head); /* relaxed: our own */
    *got = 0;
    if (ring->tail_seen - from < cap || ring->tail_seen == from) stream__ring_look(ring);
    head = stream__ring_spans(ring, &first, &second, &lap);
    /* Nothing; or less than is wanted, because a part of what was seen is given up: look once more. */
    if (first + second == 0 || (first + second < cap && ring->tail_seen - from != first + second)) {
        stream_slice span[2];
        stream_status status = stream_ring_peek(ring, span);
        if (status != STREAM_OK) return status;
        head = stream__ring_spans(ring, &first, &second, &lap);
    }
    if (cap > first + second) cap = first + second;
    if (cap < first) first = cap;
    if (first) memcpy(data, ring->consumer_bytes + ring->read_at, first);
    STREAM__READS(ring->consumer_bytes + ring->read_at, first);
    if (cap > first) memcpy((char *)data + first, ring->consumer_bytes, cap - first);
    STREAM__READS(ring->consumer_bytes, cap - first);
    if (cap > first) stream__ring_take(ring, lap + (cap - first), cap - first);
    else stream__ring_take(ring, head + cap, ring->read_at + cap);
    *got = cap;
    return STREAM_OK;
}

static stream_status stream__ring_read(void *ctx, void *data, size_t cap, size_t *got) {
    return stream_ring_read((stream_ring *)ctx, data, cap, got);
}

STREAM_API stream_source stream_ring_source(stream_ring *ring) {
    stream_source source;
    source.ctx = ring;
    source.read = stream__ring_read;
    return source;
}

/* ==[ spsc: implementation ]=========================================================================
   As the ring, with slots for bytes; push and pop stand in the declarations. */

STREAM_API size_t stream_spsc_memory(size_t capacity) {
    if (capacity == 0 || capacity > SIZE_MAX / 32) return 0;
    return stream__power_of_two(capacity) * sizeof(void *);
}

STREAM_API stream_status stream_spsc_init(stream_spsc *ring, const stream_spsc_desc *desc) {
    stream_spsc_desc d;
    size_t len;
    void **slot;
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    memset(ring, 0, sizeof *ring);
    if (d.memory && d.capacity == 0) return STREAM_E_ARGUMENT;
    if (d.capacity == 0) d.capacity = 256;
    len = stream_spsc_memory(d.capacity);
    if (len == 0) return STREAM_E_ARGUMENT;
    slot = (void **)(d.memory ? d.memory : stream__resize(&d.allocator, NULL, 0, len, sizeof(void *)));
    if (!slot) return STREAM_E_NOMEM;
    memset(slot, 0, len); /* so that the first lap meets no page fault */
    ring->producer_slot = ring->consumer_slot = slot;
    ring->producer_mask = ring->consumer_mask = len / sizeof(void *) - 1;
    ring->capacity = d.capacity;
    ring->fixed = d.memory != NULL;
    ring->allocator = d.allocator;
    /* Relaxed: whoever hands the ring to the other thread publishes it. */
    stream__a64_store_relaxed(&ring->tail, d.start);
    stream__a64_store_relaxed(&ring->head, d.start);
    ring->head_seen = ring->tail_seen = d.start;
    return STREAM_OK;
}

STREAM_API void stream_spsc_free(stream_spsc *ring) {
    if (ring->consumer_slot && !ring->fixed)
        stream__resize(&ring->allocator, ring->consumer_slot,
                       (size_t)(ring->consumer_mask + 1) * sizeof(void *), 0, sizeof(void *));
    memset(ring, 0, sizeof *ring);
}

STREAM_API size_t stream_spsc_push_n(stream_spsc *ring, void *const *items, size_t count) {
    uint64_t tail = stream__a64_load_relaxed(&ring->tail); /* relaxed: our own */
    uint64_t room = ring->capacity - (tail - ring->head_seen);
    size_t at = (size_t)(tail & ring->producer_mask), first;
    if (room < count) {
        ring->head_seen = stream__a64_load_acquire(&ring->head); /* acquire: as in push */
        room = ring->capacity - (tail - ring->head_seen);
        if (room < count) count = (size_t)room;
    }
    if (count == 0) return 0;
    first = (size_t)ring->producer_mask + 1 - at;
    if (first > count) first = count;
    STREAM__WRITES(ring->producer_slot + at, first * sizeof *items);
    STREAM__WRITES(ring->producer_slot, (count - first) * sizeof *items);
    memcpy(ring->producer_slot + at, items, first * sizeof *items);
    memcpy(ring->producer_slot, items + first, (count - first) * sizeof *items);
    stream__a64_store_release(&ring->tail, tail + count); /* release: as in push */
    return count;
}

STREAM_API size_t stream_spsc_pop_n(stream_spsc *ring, void **items, size_t cap) {
    uint64_t head = stream__a64_load_relaxed(&ring->head); /* relaxed: our own */
    size_t at = (size_t)(head & ring->consumer_mask), first;
    if (ring->tail_seen - head < cap) {
        ring->tail_seen = stream__a64_load_acquire(&ring->tail); /* acquire: as in pop */
        if (ring->tail_seen - head < cap) cap = (size_t)(ring->tail_seen - head);
    }
    if (cap == 0) return 0;
    first = (size_t)ring->consumer_mask + 1 - at;
    if (first > cap) first = cap;
    STREAM__READS(ring->consumer_slot + at, first * sizeof *items);
    STREAM__READS(ring->consumer_slot, (cap - first) * sizeof *items);
    memcpy(items, ring->consumer_slot + at, first * sizeof *items);
    memcpy(items + first, ring->consumer_slot, (cap - first) * sizeof *items);
    stream__a64_store_release(&ring->head, head + cap); /* release: as in pop */
    return cap;
}

/* ==[ queue: implementation ]========================================================================
   A bounded queue with a turn in each cell, after Dmitry Vyukov's (1024cores.net, "Bounded MPMC queue").
   Positions run freely in steps of two. The cell of position p says in `turn` who may touch it:

     p                 the producer that takes tail from p to p + 2
     p + 1             the consumer that takes head from p to p + 2
     p + 2 x cells     the producer of the next lap

   Taking tail or head claims a position and publishes nothing, so it is relaxed. turn is what carries the
   item: stored with release when it changes hands (weaker, and the other reads the item of the last lap,
   or writes over one not yet read), loaded with acquire by the one whose turn it is. Steps of two leave
   tail a bit that closes the lane for good, and keep a lane of one cell unambiguous.

   A capacity that is no power of two: the position `capacity` before ours must have been popped too.

   `waited` is for the channel, where threads sleep: each side then stores a turn and looks for sleepers,
   or announces itself as a sleeper and looks at the turn, and only one order for all of these four
   (seq_cst) makes sure that one of the two sees the other. Of several turns handed over in one call only
   the first is stored so, and last: nobody gets to see the others before that one, and who looks at another
   has learnt from tail or head that the first was taken. For that, taking is a release there, and who is
   about to sleep loads tail or head with acquire; weaker, and the others' turns may be old to him. */

STREAM__FN bool stream__lane_take(stream__a64 *position, uint64_t *seen, uint64_t value, bool waited) {
    return waited ? stream__a64_cas_acq_rel(position, seen, value)
                  : stream__a64_cas_relaxed(position, seen, value);
}

STREAM__FN uint64_t stream__turn_load(const stream__cell *cell, bool waited) {
    return waited ? stream__a64_load_seq_cst(&cell->turn) : stream__a64_load_acquire(&cell->turn);
}

STREAM__FN void stream__turn_store(stream__cell *cell, uint64_t turn, bool waited) {
    if (waited) stream__a64_store_seq_cst(&cell->turn, turn);
    else stream__a64_store_release(&cell->turn, turn);
}

STREAM__FN stream__cell *stream__lane_cell(const stream__lane *lane, uint64_t position) {
    return &lane->cell[(position >> 1) & lane->mask];
}

/* How far the cell that decides about pushing at `tail` is from being free: 0 free, below 0 full, above 0
   when tail is old. */
STREAM__FN int64_t stream__lane_room(const stream__lane *lane, uint64_t tail, bool waited) {
    if (lane->spare) {
        uint64_t behind = tail - 2 * (lane->mask + 1 - lane->spare);
        int64_t off = (int64_t)(stream__turn_load(stream__lane_cell(lane, behind), waited) -
                                (tail + 2 * lane->spare));
        if (off) return off;
    }
    return (int64_t)(stream__turn_load(stream__lane_cell(lane, tail), waited) - tail);
}

/* Pushes as many of count items as fit, together. 0: full, or closed. */
STREAM__FN size_t stream__lane_push(stream__lane *lane, void *const *items, size_t count, bool waited) {
    uint64_t tail = stream__a64_load_relaxed(&lane->tail);
    size_t n, i;
    for (;;) {
        int64_t off = 0;
        if (tail & 1 || count == 0) return 0;
        for (n = 0; n < count; n++) {
            off = stream__lane_room(lane, tail + 2 * n, waited);
            if (off) break;
        }
        if (n) {
            if (stream__lane_take(&lane->tail, &tail, tail + 2 * n, waited)) break;
        } else {
            if (off < 0) return 0;
            tail = stream__a64_load_relaxed(&lane->tail);
        }
    }
    for (i = n; i-- > 0;) {
        stream__cell *cell = stream__lane_cell(lane, tail + 2 * i);
        STREAM__WRITES(&cell->item, sizeof cell->item);
        cell->item = items[i];
        stream__turn_store(cell, tail + 2 * i + 1, waited && i == 0);
    }
    return n;
}

/* Pops at most cap items, together. 0: nothing there. */
STREAM__FN size_t stream__lane_pop(stream__lane *lane, void **items, size_t cap, bool waited) {
    uint64_t head = stream__a64_load_relaxed(&lane->head);
    size_t n, i;
    for (;;) {
        int64_t off = 0;
        if (cap == 0) return 0;
        for (n = 0; n < cap; n++) {
            off = (int64_t)(stream__turn_load(stream__lane_cell(lane, head + 2 * n), waited) -
                            (head + 2 * n + 1));
            if (off) break;
        }
        if (n) {
            if (stream__lane_take(&lane->head, &head, head + 2 * n, waited)) break;
        } else {
            if (off < 0) return 0;
            head = stream__a64_load_relaxed(&lane->head);
        }
    }
    for (i = n; i-- > 0;) {
        stream__cell *cell = stream__lane_cell(lane, head + 2 * i);
        STREAM__READS(&cell->item, sizeof cell->item);
        items[i] = cell->item;
        stream__turn_store(cell, head + 2 * i + 2 * (lane->mask + 1), waited && i == 0);
    }
    return n;
}

/* The same two for one item, which is what nearly everybody wants: without the inner loop, and with the cell
   at hand, they take three quarters of the time. */
STREAM__FN bool stream__lane_push_one(stream__lane *lane, void *item, bool waited) {
    uint64_t tail = stream__a64_load_relaxed(&lane->tail);
    stream__cell *cell;
    for (;;) {
        int64_t off;
        if (tail & 1) return false;
        cell = stream__lane_cell(lane, tail);
        off = stream__lane_room(lane, tail, waited);
        if (off == 0) {
            if (stream__a64_cas_relaxed(&lane->tail, &tail, tail + 2)) break;
        } else {
            if (off < 0) return false;
            tail = stream__a64_load_relaxed(&lane->tail);
        }
    }
    STREAM__WRITES(&cell->item, sizeof cell->item);
    cell->item = item;
    stream__turn_store(cell, tail + 1, waited);
    return true;
}

STREAM__FN bool stream__lane_pop_one(stream__lane *lane, void **item, bool waited) {
    uint64_t head = stream__a64_load_relaxed(&lane->head), lap = 2 * (lane->mask + 1);
    stream__cell *cell;
    for (;;) {
        int64_t off;
        cell = stream__lane_cell(lane, head);
        off = (int64_t)(stream__turn_load(cell, waited) - (head + 1));
        if (off == 0) {
            if (stream__a64_cas_relaxed(&lane->head, &head, head + 2)) break;
        } else {
            if (off < 0) return false;
            head = stream__a64_load_relaxed(&lane->head);
        }
    }
    STREAM__READS(&cell->item, sizeof cell->item);
    *item = cell->item;
    stream__turn_store(cell, head + lap, waited);
    return true;
}

/* Puts item where the oldest one of a full lane made room. OK: done, that one is in *old. EMPTY: not done,
   for the lane is no longer full, or a consumer is busy with that very item. E_STATE: closed in the middle
   of it; the oldest one is in *old all the same. */
static stream_status stream__lane_evict(stream__lane *lane, void *item, void **old, bool waited) {
    uint64_t tail = stream__a64_load_relaxed(&lane->tail), seen = tail;
    uint64_t head = tail - 2 * (lane->mask + 1 - lane->spare);
    stream__cell *oldest = stream__lane_cell(lane, head), *cell = stream__lane_cell(lane, tail);
    uint64_t next_lap = head + 2 * (lane->mask + 1);
    if (tail & 1 || stream__turn_load(oldest, waited) != head + 1) return STREAM_EMPTY;
    if (cell != oldest && stream__turn_load(cell, waited) != tail) return STREAM_EMPTY;
    if (!stream__lane_take(&lane->head, &head, head + 2, waited)) return STREAM_EMPTY;
    STREAM__READS(&oldest->item, sizeof oldest->item);
    *old = oldest->item;
    /* Popped, but its cell not handed on: as long as that is so, nobody can push at tail but we. */
    while (!stream__lane_take(&lane->tail, &seen, tail + 2, waited)) {
        if (seen == tail) continue; /* a weak exchange may fail without a reason */
        stream__turn_store(oldest, next_lap, waited);
        return STREAM_E_STATE;
    }
    STREAM__WRITES(&cell->item, sizeof cell->item);
    cell->item = item;
    stream__turn_store(cell, tail + 1, waited);
    if (cell != oldest) stream__turn_store(oldest, next_lap, waited);
    return STREAM_OK;
}

/* What the policy says of a lane that was full, or closed. */
static stream_status stream__queue_overflow(stream_queue *queue, stream__lane *lane, void *item, void **back,
                                            bool waited) {
    void *old = NULL;
    stream_status status = STREAM_EMPTY;
    bool drop_old = queue->overflow == STREAM_OVERFLOW_DROP_OLD;
    int tries;
    /* Eight: others may make room and fill it again between our looking and our taking. */
    for (tries = 0; drop_old && status == STREAM_EMPTY && tries < 8; tries++) {
        status = stream__lane_evict(lane, item, &old, waited);
        if (status == STREAM_EMPTY && stream__lane_push_one(lane, item, waited)) return STREAM_OK;
    }
    if (status != STREAM_EMPTY) {
        stream__a64_add_relaxed(&queue->dropped_old, 1);
        if (back) *back = old;
        return status;
    }
    if (stream__a64_load_relaxed(&lane->tail) & 1) return STREAM_E_STATE; /* relaxed: it stays closed */
    if (queue->overflow == STREAM_OVERFLOW_FAIL) {
        stream__a64_add_relaxed(&queue->refused, 1);
        return STREAM_FULL;
    }
    stream__a64_add_relaxed(&queue->dropped_new, 1);
    if (back) *back = item;
    return STREAM_OK;
}

/* One push by the policy: OK, FULL, E_STATE when the lane is closed. *back becomes the pointer that is the
   caller's again, or NULL. */
STREAM__FN stream_status stream__queue_push(stream_queue *queue, stream__lane *lane, void *item, void **back,
                                            bool waited) {
    if (back) *back = NULL;
    if (stream__lane_push_one(lane, item, waited)) return STREAM_OK;
    return stream__queue_overflow(queue, lane, item, back, waited);
}

/* Cells for a capacity; 0 when it is out of range. */
static size_t stream__lane_cells(size_t capacity) {
    return capacity > SIZE_MAX / 64 ? 0 : stream__power_of_two(capacity);
}

static void stream__queue_resolve(stream_queue_desc *d, const stream_queue_desc *desc) {
    memset(d, 0, sizeof *d);
    if (desc) *d = *desc;
    if (d->capacity == 0) d->capacity = 256;
    if (d->urgent == 0) d->urgent = 16;
}

STREAM_API size_t stream_queue_memory(const stream_queue_desc *desc) {
    stream_queue_desc d;
    size_t ordinary, urgent;
    stream__queue_resolve(&d, desc);
    ordinary = stream__lane_cells(d.capacity);
    urgent = stream__lane_cells(d.urgent);
    return ordinary && urgent ? (ordinary + urgent) * sizeof(stream__cell) : 0;
}

static void stream__lane_init(stream__lane *lane, stream__cell *cell, size_t capacity, uint64_t start) {
    uint64_t cells = stream__lane_cells(capacity), i;
    lane->cell = cell;
    lane->mask = cells - 1;
    lane->spare = cells - capacity;
    /* Relaxed: whoever hands the queue to other threads publishes it. */
    stream__a64_store_relaxed(&lane->tail, start);
    stream__a64_store_relaxed(&lane->head, start);
    for (i = 0; i < cells; i++) {
        uint64_t position = start + 2 * i;
        stream__a64_store_relaxed(&stream__lane_cell(lane, position)->turn, position);
    }
}

STREAM_API stream_status stream_queue_init(stream_queue *queue, const stream_queue_desc *desc) {
    stream_queue_desc d;
    stream__cell *cell;
    void *memory;
    size_t len;
    memset(queue, 0, sizeof *queue);
    stream__queue_resolve(&d, desc);
    len = stream_queue_memory(&d);
    if (len == 0 || (unsigned)d.overflow > STREAM_OVERFLOW_DROP_OLD) return STREAM_E_ARGUMENT;
    memory = d.memory ? d.memory : stream__resize(&d.allocator, NULL, 0, len, sizeof(uint64_t));
    if (!memory) return STREAM_E_NOMEM;
    memset(memory, 0, len);
    cell = (stream__cell *)memory;
    stream__lane_init(&queue->lane[0], cell, d.capacity, d.start << 1);
    stream__lane_init(&queue->lane[1], cell + stream__lane_cells(d.capacity), d.urgent, d.start << 1);
    queue->overflow = d.overflow;
    queue->memory_len = d.memory ? 0 : len;
    queue->start = d.start << 1;
    queue->allocator = d.allocator;
    return STREAM_OK;
}

STREAM_API void stream_queue_free(stream_queue *queue) {
    if (queue->memory_len)
        stream__resize(&queue->allocator, queue->lane[0].cell, queue->memory_len, 0, sizeof(uint64_t));
    memset(queue, 0, sizeof *queue);
}

STREAM_API stream_status stream_queue_push(stream_queue *queue, void *item, void **dropped) {
    return stream__queue_push(queue, &queue->lane[0], item, dropped, false);
}

STREAM_API stream_status stream_queue_push_urgent(stream_queue *queue, void *item, void **dropped) {
    return stream__queue_push(queue, &queue->lane[1], item, dropped, false);
}

STREAM_API stream_status stream_queue_pop(stream_queue *queue, void **item) {
    if (stream__lane_pop_one(&queue->lane[1], item, false)) return STREAM_OK;
    return stream__lane_pop_one(&queue->lane[0], item, false) ? STREAM_OK : STREAM_EMPTY;
}

STREAM_API size_t stream_queue_push_n(stream_queue *queue, void *const *items, size_t count) {
    size_t n = stream__lane_push(&queue->lane[0], items, count, false);
    if (n < count) stream__a64_add_relaxed(&queue->refused, count - n);
    return n;
}

STREAM_API size_t stream_queue_pop_n(stream_queue *queue, void **items, size_t cap) {
    size_t n = stream__lane_pop(&queue->lane[1], items, cap, false);
    return n + stream__lane_pop(&queue->lane[0], items + n, cap - n, false);
}

STREAM_API void stream_queue_stats(const stream_queue *queue, stream_queue_usage *usage) {
    int i;
    memset(usage, 0, sizeof *usage);
    /* Relaxed: measures, through which nothing is reached. A head read before its tail is not above it. */
    for (i = 0; i < 2; i++) {
        uint64_t head = stream__a64_load_relaxed(&queue->lane[i].head) - queue->start;
        uint64_t tail = stream__a64_load_relaxed(&queue->lane[i].tail) - queue->start;
        usage->popped += head >> 1;
        usage->pushed += tail >> 1;
    }
    usage->depth = usage->pushed > usage->popped ? usage->pushed - usage->popped : 0;
    usage->refused = stream__a64_load_relaxed(&queue->refused);
    usage->dropped_new = stream__a64_load_relaxed(&queue->dropped_new);
    usage->dropped_old = stream__a64_load_relaxed(&queue->dropped_old);
}

/* ==[ channel: implementation ]======================================================================
   Whoever finds nothing (or no room) announces itself in `word`, looks again, and sleeps while the word
   is what it was. Whoever put something there (or took something away) looks at the word, and if more wait
   than were told, tells one and wakes it. That is Dekker's pattern, each side writing its own word before
   it reads the other's, and needs one order for all four accesses: the turn of the cell and the word are
   seq_cst, here and in the queue's functions with `waited`. Weaker, and both read what was before: one
   sleeps on an item that is there.

     bits 0-14   threads that wait
     bits 15-29  how many of them were told to look again: a second item finds them told, and makes no
                 second system call
     bit 30      an event loop is armed

   Everyone who leaves takes one telling along, if there is one, and then tries again; so a telling is never
   lost, but it may reach the wrong one: two items in a row may be published in the wrong order, and the one
   who was told of the second finds the first still missing. Therefore everyone who took an item (or put
   one) and sees that there is more, and a thread that was not told, tells the next. */

enum {
    STREAM__WAITING = 0x7fff,
    STREAM__TOLD = 0x8000, /* one of them */
    STREAM__ARMED = 0x40000000
};

static uint32_t stream__untold(uint32_t word) {
    return (word & STREAM__WAITING) - ((word >> 15) & STREAM__WAITING);
}

#if defined(STREAM__SLEEP_NONE)

/* Never called: nobody waits. */
static bool stream__sleep(stream__sleepers *s, uint32_t word, uint64_t deadline_ns) {
    (void)s, (void)word, (void)deadline_ns;
    return false;
}
static void stream__wake(stream__sleepers *s, uint32_t count) { (void)s, (void)count; }
static bool stream__sleepers_init(stream__sleepers *s) {
    (void)s;
    return true;
}
static void stream__sleepers_free(stream__sleepers *s) { (void)s; }

#elif defined(_WIN32)

/* Sleeps while the word is what it was; false when the deadline has passed. May return early. */
static bool stream__sleep(stream__sleepers *s, uint32_t word, uint64_t deadline_ns) {
    DWORD ms = INFINITE;
    if (deadline_ns != STREAM_FOREVER) {
        uint64_t now = stream_now_ns(), left;
        if (now >= deadline_ns) return false;
        left = (deadline_ns - now + 999999) / 1000000;
        ms = left < 0x7fffffff ? (DWORD)left : 0x7fffffff;
    }
    WaitOnAddress((volatile VOID *)&s->word.v, &word, sizeof word, ms);
    return true;
}

static void stream__wake(stream__sleepers *s, uint32_t count) {
    if (count > 1) WakeByAddressAll(&s->word.v);
    else WakeByAddressSingle(&s->word.v);
}

static bool stream__sleepers_init(stream__sleepers *s) {
    (void)s;
    return true;
}
static void stream__sleepers_free(stream__sleepers *s) { (void)s; }

#elif defined(STREAM__SLEEP_PTHREAD)

static bool stream__sleep(stream__sleepers *s, uint32_t word, uint64_t deadline_ns) {
    bool in_time = true;
    pthread_mutex_lock(&s->lock);
    if (stream__a32_load_seq_cst(&s->word) == word) {
        if (deadline_ns == STREAM_FOREVER) {
            pthread_cond_wait(&s->wake, &s->lock);
        } else {
            uint64_t ns = deadline_ns;
            struct timespec at;
#ifdef __APPLE__
            uint64_t now = stream_now_ns();
            ns = now < deadline_ns ? deadline_ns - now : 0;
#endif
            at.tv_sec = (time_t)(ns / 1000000000);
            at.tv_nsec = (long)(ns % 1000000000);
#ifdef __APPLE__
            pthread_cond_timedwait_relative_np(&s->wake, &s->lock, &at);
#else
            pthread_cond_timedwait(&s->wake, &s->lock, &at);
#endif
            in_time = stream_now_ns() < deadline_ns;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return in_time;
}

static void stream__wake(stream__sleepers *s, uint32_t count) {
    /* Whoever saw the old word is asleep once the lock can be had, or has not looked yet. */
    pthread_mutex_lock(&s->lock);
    pthread_mutex_unlock(&s->lock);
    if (count > 1) pthread_cond_broadcast(&s->wake);
    else pthread_cond_signal(&s->wake);
}

static bool stream__sleepers_init(stream__sleepers *s) {
    pthread_condattr_t attr;
    bool done;
    if (pthread_condattr_init(&attr) != 0) return false;
#ifndef __APPLE__
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
#endif
    done = pthread_mutex_init(&s->lock, NULL) == 0;
    if (done && pthread_cond_init(&s->wake, &attr) != 0) {
        pthread_mutex_destroy(&s->lock);
        done = false;
    }
    pthread_condattr_destroy(&attr);
    s->pid = (long)getpid();
    return done;
}

/* In a child those who slept when it was forked are still counted, and glibc would wait for them for ever.
   What is left behind is nothing, or on some systems a few bytes. */
static void stream__sleepers_free(stream__sleepers *s) {
    if (s->pid != (long)getpid()) return;
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
}

#else /* Linux */

#ifndef STREAM_SYS_FUTEX
/* A C library whose time_t is wider than the kernel's long needs the call that takes it so. */
#if defined(SYS_futex_time64) && defined(SYS_futex)
#define STREAM__FUTEX (sizeof(time_t) > sizeof(long) ? SYS_futex_time64 : SYS_futex)
#elif defined(SYS_futex_time64)
#define STREAM__FUTEX SYS_futex_time64
#else
#define STREAM__FUTEX SYS_futex
#endif
#define STREAM_SYS_FUTEX(word, op, value, deadline) \
    syscall(STREAM__FUTEX, word, op, value, deadline, NULL, FUTEX_BITSET_MATCH_ANY)
#endif

static bool stream__sleep(stream__sleepers *s, uint32_t word, uint64_t deadline_ns) {
    struct timespec at, *deadline = NULL;
    if (deadline_ns != STREAM_FOREVER) {
        at.tv_sec = (time_t)(deadline_ns / 1000000000);
        at.tv_nsec = (long)(deadline_ns % 1000000000);
        deadline = &at;
    }
    /* BITSET: this one takes the moment to wake up at, not the time to sleep. */
    return STREAM_SYS_FUTEX(&s->word.v, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, word, deadline) == 0 ||
           errno != ETIMEDOUT;
}

static void stream__wake(stream__sleepers *s, uint32_t count) {
    STREAM_SYS_FUTEX(&s->word.v, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, NULL);
}

static bool stream__sleepers_init(stream__sleepers *s) {
    (void)s;
    return true;
}
static void stream__sleepers_free(stream__sleepers *s) { (void)s; }

#endif

static void stream__channel_wake_fd(stream_channel *channel);

/* Tells up to count threads that have not been told, and the event loop. */
static void stream__tell(stream_channel *channel, stream__sleepers *s, uint32_t seen, size_t count) {
    uint32_t tell, then;
    do {
        tell = stream__untold(seen);
        if (tell > count) tell = (uint32_t)count;
        if (tell == 0 && !(seen & STREAM__ARMED)) return;
        then = (seen & ~(uint32_t)STREAM__ARMED) + tell * STREAM__TOLD;
    } while (!stream__a32_cas_seq_cst(&s->word, &seen, then));
    if (tell) stream__wake(s, tell);
    if (seen & STREAM__ARMED) stream__channel_wake_fd(channel);
}

/* The same, after count items were put (or taken): nearly always nobody waits, and then it is one load. */
STREAM__FN void stream__tell_if(stream_channel *channel, stream__sleepers *s, size_t count) {
    uint32_t seen = stream__a32_load_seq_cst(&s->word); /* seq_cst: see above */
    if (seen) stream__tell(channel, s, seen, count);
}

/* Whether an item can be popped now, or never any more. */
static bool stream__channel_ended(const stream_channel *channel) {
    int i;
    for (i = 0; i < 2; i++) {
        /* seq_cst as close's: whoever announced itself too late for close to see it sees close here. */
        uint64_t tail = stream__a64_load_seq_cst(&channel->queue.lane[i].tail);
        if (!(tail & 1) || stream__a64_load_relaxed(&channel->queue.lane[i].head) != tail - 1) return false;
    }
    return true;
}

static bool stream__channel_ready(const stream_channel *channel) {
    int i;
    for (i = 0; i < 2; i++) {
        const stream__lane *lane = &channel->queue.lane[i];
        /* acquire: see waited; an old one says ready, and pop knows. */
        uint64_t head = stream__a64_load_acquire(&lane->head);
        if ((int64_t)(stream__turn_load(stream__lane_cell(lane, head), true) - (head + 1)) >= 0) return true;
    }
    return stream__channel_ended(channel);
}

/* Whether there is room in the lane, or never any more. */
static bool stream__channel_roomy(const stream__lane *lane) {
    uint64_t tail = stream__a64_load_seq_cst(&lane->tail); /* seq_cst: as in ended */
    return tail & 1 || stream__lane_room(lane, tail, true) >= 0;
}

/* One round of waiting for an item (lane NULL) or for room in a lane. OK: look again. EMPTY: the time is up,
   look once more. E_STATE: no more than 32767 threads can wait here. */
static stream_status stream__channel_wait(stream_channel *channel, const stream__lane *lane,
                                          stream__sleepers *s, uint64_t deadline_ns) {
    bool in_time = true;
    uint32_t seen = stream__a32_load_seq_cst(&s->word), left;
    do {
        if ((seen & STREAM__WAITING) == STREAM__WAITING) return STREAM_E_STATE;
    } while (!stream__a32_cas_seq_cst(&s->word, &seen, seen + 1)); /* seq_cst: see above */
    seen = stream__a32_load_seq_cst(&s->word);
    if (!(lane ? stream__channel_roomy(lane) : stream__channel_ready(channel)) &&
        !((seen >> 15) & STREAM__WAITING))
        in_time = stream__sleep(s, seen, deadline_ns);
    do { /* leave, with a telling if there is one */
        left = seen - 1;
        if ((left >> 15) & STREAM__WAITING) left -= STREAM__TOLD;
    } while (!stream__a32_cas_seq_cst(&s->word, &seen, left));
    return in_time ? STREAM_OK : STREAM_EMPTY;
}

/* The moment timeout_ns from now; 36 years are for ever, so that a 32-bit time_t holds all others. */
static uint64_t stream__deadline(uint64_t timeout_ns) {
#ifdef STREAM__SLEEP_NONE
    return timeout_ns;
#else
    return timeout_ns < UINT64_C(1) << 60 ? stream_now_ns() + timeout_ns : STREAM_FOREVER;
#endif
}

/* After n items were pushed. */
static void stream__channel_sent(stream_channel *channel, int urgent, size_t n) {
    const stream__lane *lane = &channel->queue.lane[urgent];
    stream__sleepers *senders = &channel->senders[urgent];
    uint32_t others;
    stream__tell_if(channel, &channel->receivers, n);
    others = stream__a32_load_seq_cst(&senders->word);
    if (others && stream__channel_roomy(lane)) stream__tell(channel, senders, others, 1);
}

static stream_status stream__channel_send(stream_channel *channel, int urgent, void *const *items,
                                          size_t count, uint64_t timeout_ns, size_t *sent) {
    stream__lane *lane = &channel->queue.lane[urgent];
    stream__sleepers *senders = &channel->senders[urgent];
    stream_status waited = STREAM_OK;
    uint64_t deadline_ns = 0;
    *sent = 0;
#ifdef STREAM__SLEEP_NONE
    timeout_ns = 0;
#endif
    for (;;) {
        size_t n = stream__lane_push(lane, items + *sent, count - *sent, true);
        if (n) {
            stream__channel_sent(channel, urgent, n);
            *sent += n;
        }
        if (*sent == count) return STREAM_OK;
        if (stream__a64_load_relaxed(&lane->tail) & 1) { /* relaxed: it stays closed */
            /* we may have left with another one's telling */
            stream__tell_if(channel, senders, STREAM__WAITING);
            return STREAM_E_STATE;
        }
        if (timeout_ns == 0 || waited != STREAM_OK) {
            stream__a64_add_relaxed(&channel->queue.refused, count - *sent);
            return waited == STREAM_E_STATE ? STREAM_E_STATE : STREAM_FULL;
        }
        if (deadline_ns == 0) deadline_ns = stream__deadline(timeout_ns);
        waited = stream__channel_wait(channel, lane, senders, deadline_ns);
    }
}

static stream_status stream__channel_recv(stream_channel *channel, void **items, size_t cap,
                                          uint64_t timeout_ns, size_t *got) {
    stream__sleepers *receivers = &channel->receivers;
    stream_status waited = STREAM_OK;
    uint64_t deadline_ns = 0;
#ifdef STREAM__SLEEP_NONE
    timeout_ns = 0;
#endif
    for (;;) {
        size_t urgent = stream__lane_pop(&channel->queue.lane[1], items, cap, true);
        size_t n = stream__lane_pop(&channel->queue.lane[0], items + urgent, cap - urgent, true);
        *got = urgent + n;
        if (urgent) stream__tell_if(channel, &channel->senders[1], urgent);
        if (n) stream__tell_if(channel, &channel->senders[0], n);
        if (*got || cap == 0) {
            uint32_t others = stream__a32_load_seq_cst(&receivers->word);
            if (others && stream__channel_ready(channel)) stream__tell(channel, receivers, others, 1);
            return STREAM_OK;
        }
        if (stream__channel_ended(channel)) {
            /* the last item may have gone unheard by them */
            stream__tell_if(channel, receivers, STREAM__WAITING);
            return STREAM_END;
        }
        if (timeout_ns == 0 || waited != STREAM_OK)
            return waited == STREAM_E_STATE ? STREAM_E_STATE : STREAM_EMPTY;
        if (deadline_ns == 0) deadline_ns = stream__deadline(timeout_ns);
        waited = stream__channel_wait(channel, NULL, receivers, deadline_ns);
    }
}

STREAM_API stream_status stream_channel_send(stream_channel *channel, void *item, uint64_t timeout_ns) {
    size_t sent;
    return stream__channel_send(channel, 0, &item, 1, timeout_ns, &sent);
}

STREAM_API stream_status stream_channel_send_urgent(stream_channel *channel, void *item,
                                                    uint64_t timeout_ns) {
    size_t sent;
    return stream__channel_send(channel, 1, &item, 1, timeout_ns, &sent);
}

STREAM_API stream_status stream_channel_send_n(stream_channel *channel, void *const *items, size_t count,
                                               uint64_t timeout_ns, size_t *sent) {
    return stream__channel_send(channel, 0, items, count, timeout_ns, sent);
}

STREAM_API stream_status stream_channel_try_send(stream_channel *channel, void *item, void **dropped) {
    stream_status status = stream__queue_push(&channel->queue, &channel->queue.lane[0], item, dropped, true);
    if (status == STREAM_OK) stream__channel_sent(channel, 0, 1);
    return status;
}

STREAM_API stream_status stream_channel_recv(stream_channel *channel, void **item, uint64_t timeout_ns) {
    size_t got;
    return stream__channel_recv(channel, item, 1, timeout_ns, &got);
}

STREAM_API stream_status stream_channel_recv_n(stream_channel *channel, void **items, size_t cap,
                                               uint64_t timeout_ns, size_t *got) {
    return stream__channel_recv(channel, items, cap, timeout_ns, got);
}

STREAM_API stream_status stream_channel_try_recv(stream_channel *channel, void **item) {
    size_t got;
    return stream__channel_recv(channel, item, 1, 0, &got);
}

STREAM_API void stream_channel_close(stream_channel *channel) {
    int i;
    for (i = 0; i < 2; i++) {
        stream__a64 *tail = &channel->queue.lane[i].tail;
        uint64_t seen = stream__a64_load_relaxed(tail); /* relaxed: the exchange below checks it */
        /* seq_cst: written here, then the words read; those who sleep write theirs, then read this. And what
           was done before close is seen by whoever gets END. */
        while (!(seen & 1) && !stream__a64_cas_seq_cst(tail, &seen, seen | 1)) {
        }
    }
    for (i = 0; i < 2; i++) stream__tell_if(channel, &channel->senders[i], STREAM__WAITING);
    stream__tell_if(channel, &channel->receivers, STREAM__WAITING);
}

STREAM_API void stream_channel_stats(const stream_channel *channel, stream_queue_usage *usage) {
    stream_queue_stats(&channel->queue, usage);
}

STREAM_API uint64_t stream_channel_advise_ns(stream_channel *channel, uint64_t now_ns) {
    uint64_t nobody = 0, pause;
    stream_queue_usage usage;
    /* acquire and release: the flow is one thread's at a time. */
    if (!stream__a64_cas_acq_rel(&channel->asking, &nobody, 1)) return 0;
    stream_queue_stats(&channel->queue, &usage);
    /* The flow counts in steps from what it had: nothing is added to any counter when items are sent. */
    stream_flow_consumed(&channel->flow, usage.popped - stream__a64_load_relaxed(&channel->flow.consumed));
    stream_flow_sent(&channel->flow, usage.pushed - stream__a64_load_relaxed(&channel->flow.sent));
    pause = stream_flow_advise_ns(&channel->flow, now_ns);
    stream__a64_store_release(&channel->asking, 0);
    return pause;
}

STREAM_API const stream_flow *stream_channel_flow(const stream_channel *channel) { return &channel->flow; }

#if defined(STREAM_NO_OS) || defined(_WIN32)

static bool stream__channel_open_fd(stream_channel *channel) {
    (void)channel;
    return false;
}
static void stream__channel_close_fd(stream_channel *channel) { (void)channel; }
static void stream__channel_wake_fd(stream_channel *channel) { (void)channel; }
#ifndef STREAM_NO_OS
static void stream__channel_drain_fd(stream_channel *channel) { (void)channel; }
#endif

#else

static bool stream__channel_open_fd(stream_channel *channel) {
#ifdef __linux__
    channel->wake_read = channel->wake_write = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return channel->wake_read >= 0;
#else
    int fd[2], i;
    if (pipe(fd) != 0) return false;
    channel->wake_read = fd[0];
    channel->wake_write = fd[1];
    for (i = 0; i < 2; i++) {
        if (fcntl(fd[i], F_SETFD, FD_CLOEXEC) != 0) return false;
        if (fcntl(fd[i], F_SETFL, O_NONBLOCK) != 0) return false;
    }
    return true;
#endif
}

static void stream__channel_close_fd(stream_channel *channel) {
    if (channel->wake_read >= 0) close(channel->wake_read);
    if (channel->wake_write >= 0 && channel->wake_write != channel->wake_read) close(channel->wake_write);
}

static void stream__channel_wake_fd(stream_channel *channel) {
    uint64_t one = 1;
    /* Full means readable, and that is all we want. */
    while (STREAM_SYS_WRITE(channel->wake_write, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

static void stream__channel_drain_fd(stream_channel *channel) {
    char bytes[64];
    ptrdiff_t n;
    do n = (ptrdiff_t)STREAM_SYS_READ(channel->wake_read, bytes, sizeof bytes);
    while (n == (ptrdiff_t)sizeof bytes || (n < 0 && errno == EINTR));
}

#endif

#ifndef STREAM_NO_OS

STREAM_API stream_status stream_channel_arm(stream_channel *channel) {
    stream__sleepers *s = &channel->receivers;
    uint32_t seen = stream__a32_load_seq_cst(&s->word);
    if (channel->wake_read < 0) return STREAM_E_STATE;
    /* Not armed: either never yet, or somebody has told us since, and written (or will at once: then we wake
       up once for nothing). */
    if (!(seen & STREAM__ARMED)) stream__channel_drain_fd(channel);
    while (!(seen & STREAM__ARMED) && !stream__a32_cas_seq_cst(&s->word, &seen, seen | STREAM__ARMED)) {
    }
    if (!stream__channel_ready(channel)) return STREAM_EMPTY;
    seen = stream__a32_load_seq_cst(&s->word);
    while (seen & STREAM__ARMED && !stream__a32_cas_seq_cst(&s->word, &seen, seen - STREAM__ARMED)) {
    }
    return STREAM_OK;
}

STREAM_API int stream_channel_fd(const stream_channel *channel) { return channel->wake_read; }

#endif

STREAM_API stream_status stream_channel_init(stream_channel *channel, const stream_channel_desc *desc) {
    stream_channel_desc d;
    stream_status status;
    int made = 0;
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    memset(channel, 0, sizeof *channel);
    channel->wake_read = channel->wake_write = -1;
#if defined(STREAM_NO_OS) || defined(_WIN32)
    if (d.wake_fd) return STREAM_E_ARGUMENT;
#endif
    if (d.queue.capacity == 0) d.queue.capacity = 100;
    if (d.flow.size == 0) d.flow.size = d.queue.capacity;
    status = stream_flow_init(&channel->flow, &d.flow);
    if (status == STREAM_OK) status = stream_queue_init(&channel->queue, &d.queue);
    if (status != STREAM_OK) return status;
    if (stream__sleepers_init(&channel->receivers)) made++;
    if (made == 1 && stream__sleepers_init(&channel->senders[0])) made++;
    if (made == 2 && stream__sleepers_init(&channel->senders[1])) made++;
    if (made == 3 && (!d.wake_fd || stream__channel_open_fd(channel))) {
        channel->made = true;
        return STREAM_OK;
    }
    stream__channel_close_fd(channel);
    if (made > 0) stream__sleepers_free(&channel->receivers);
    if (made > 1) stream__sleepers_free(&channel->senders[0]);
    if (made > 2) stream__sleepers_free(&channel->senders[1]);
    stream_queue_free(&channel->queue);
    memset(channel, 0, sizeof *channel);
    return STREAM_E_IO;
}

STREAM_API void stream_channel_free(stream_channel *channel) {
    if (channel->made) {
        stream__channel_close_fd(channel);
        stream__sleepers_free(&channel->receivers);
        stream__sleepers_free(&channel->senders[0]);
        stream__sleepers_free(&channel->senders[1]);
        stream_queue_free(&channel->queue);
    }
    memset(channel, 0, sizeof *channel);
}

/* ==[ broadcast: implementation ]====================================================================
   The writer raises `floor` above the items it is about to overwrite, overwrites, and raises `next`. A
   reader takes what is below `next`, copies, and looks at `floor` afterwards: if its item was still kept,
   every word it copied is the item's. kept[n].offset is written with item n - 1, so that it is right for
   the next item too, and tells the length of the one before.

     next   release by the writer, acquire by readers: the words of the items below, and their entries.
     words  (of items and entries) release by the writer, acquire by readers. If a reader got a single word
            of a later item, then what came before that word's store, the raised floor, has reached it as
            well. Weaker on either side, and it may look at floor, see the old one, and believe a torn copy.
     floor  relaxed where a copy is judged, for the words bring it. Where a reader goes on at it: release by
            the writer, acquire by the reader, for kept[floor].offset and for a next that is not below it.
     held->next, used   release by the reader, acquire by the writer: its copying is over.

   floor and next change with every item, and a reader that looks at them takes their line from the writer. So
   next is looked at when all that was seen of it is read; and by a reader that is held on to floor is not
   looked at, for nothing that it wants is overwritten. */

static void stream__broadcast_resolve(stream_broadcast_desc *d, const stream_broadcast_desc *desc) {
    memset(d, 0, sizeof *d);
    if (desc) *d = *desc;
    if (d->max_items == 0) d->max_items = 1024;
    if (d->max_bytes == 0) d->max_bytes = (size_t)1 << 20;
}

/* The three parts: entries, words, held readers. False when a limit is out of range. */
static bool stream__broadcast_parts(const stream_broadcast_desc *d, size_t part[3]) {
    if (d->max_items > SIZE_MAX / 256 || d->max_bytes > SIZE_MAX / 8) return false;
    if (d->max_held > SIZE_MAX / 4 / sizeof(stream__held)) return false;
    part[0] = stream__power_of_two(d->max_items + 1) * sizeof(stream__kept); /* and the next one's offset */
    part[1] = stream__power_of_two((d->max_bytes + 7) / 8) * sizeof(stream__a64);
    part[2] = d->max_held * sizeof(stream__held);
    return true;
}

STREAM_API size_t stream_broadcast_memory(const stream_broadcast_desc *desc) {
    stream_broadcast_desc d;
    size_t part[3];
    stream__broadcast_resolve(&d, desc);
    return stream__broadcast_parts(&d, part) ? part[0] + part[1] + part[2] : 0;
}

STREAM_API stream_status stream_broadcast_init(stream_broadcast *broadcast,
                                               const stream_broadcast_desc *desc) {
    stream_broadcast_desc d;
    size_t part[3], len;
    char *memory;
    memset(broadcast, 0, sizeof *broadcast);
    stream__broadcast_resolve(&d, desc);
    if (!stream__broadcast_parts(&d, part)) return STREAM_E_ARGUMENT;
    len = part[0] + part[1] + part[2];
    memory = (char *)(d.memory ? d.memory : stream__resize(&d.allocator, NULL, 0, len, sizeof(uint64_t)));
    if (!memory) return STREAM_E_NOMEM;
    memset(memory, 0, len);
    broadcast->kept = (stream__kept *)(void *)memory;
    broadcast->word = (stream__a64 *)(void *)(memory + part[0]);
    broadcast->held = (stream__held *)(void *)(memory + part[0] + part[1]);
    broadcast->kept_mask = part[0] / sizeof(stream__kept) - 1;
    broadcast->word_mask = part[1] / sizeof(stream__a64) - 1;
    broadcast->max_items = d.max_items;
    broadcast->max_words = (d.max_bytes + 7) / 8;
    broadcast->max_held = d.max_held;
    broadcast->memory_len = d.memory ? 0 : len;
    broadcast->allocator = d.allocator;
    /* Relaxed: whoever hands the broadcast to other threads publishes it. */
    stream__a64_store_relaxed(&broadcast->next, d.start);
    stream__a64_store_relaxed(&broadcast->floor, d.start);
    broadcast->wanted_from = d.start;
    return STREAM_OK;
}

STREAM_API void stream_broadcast_free(stream_broadcast *broadcast) {
    if (broadcast->memory_len)
        stream__resize(&broadcast->allocator, broadcast->kept, broadcast->memory_len, 0, sizeof(uint64_t));
    memset(broadcast, 0, sizeof *broadcast);
}

/* Whether a reader that is held on to has yet to read item `number`, the oldest one kept. They only go ahead,
   so they are looked at no oftener than they were all seen to be further. */
static bool stream__broadcast_wanted(stream_broadcast *broadcast, uint64_t number, uint64_t next) {
    size_t i;
    if ((int64_t)(broadcast->wanted_from - number) > 0) return false;
    for (i = 0; i < broadcast->max_held; i++) {
        const stream__held *held = &broadcast->held[i];
        uint64_t at;
        if (!stream__a64_load_acquire(&held->used)) continue; /* acquire, twice: see held above */
        at = stream__a64_load_acquire(&held->next);
        if ((int64_t)(at - next) < 0) next = at;
    }
    broadcast->wanted_from = next;
    return next == number;
}

STREAM_API stream_status stream_broadcast_write(stream_broadcast *broadcast, const void *data, size_t len) {
    const char *from = (const char *)data;
    uint64_t words = (uint64_t)len / 8 + (len % 8 != 0), word, i;
    /* Relaxed: these are the writer's own. */
    uint64_t next = stream__a64_load_relaxed(&broadcast->next);
    uint64_t floor = stream__a64_load_relaxed(&broadcast->floor), floor_at = broadcast->floor_at;
    stream__kept *kept = broadcast->kept;
    if (stream__a64_load_relaxed(&broadcast->closed)) return STREAM_E_STATE;
    if (words > broadcast->max_words) return STREAM_E_TOO_LONG;
    while (next - floor >= broadcast->max_items || broadcast->at + words - floor_at > broadcast->max_words) {
        if (stream__broadcast_wanted(broadcast, floor, next)) return STREAM_FULL;
        floor++;
        floor_at = broadcast->at;
        if (floor != next) floor_at = stream__a64_load_relaxed(&kept[floor & broadcast->kept_mask].at);
    }
    broadcast->floor_at = floor_at;
    stream__a64_store_release(&broadcast->floor, floor); /* release: see floor above */
    /* release, here and below: see words above */
    stream__a64_store_release(&kept[next & broadcast->kept_mask].at, broadcast->at);
    for (i = 0; i < words; i++) {
        size_t left = len - (size_t)i * 8;
        word = 0;
        if (left >= 8) memcpy(&word, from + i * 8, 8);
        else memcpy(&word, from + i * 8, left);
        stream__a64_store_release(&broadcast->word[(broadcast->at + i) & broadcast->word_mask], word);
    }
    broadcast->at += words;
    broadcast->bytes += len;
    stream__a64_store_release(&kept[(next + 1) & broadcast->kept_mask].offset, broadcast->bytes);
    stream__a64_store_release(&broadcast->next, next + 1); /* release: see next above */
    return STREAM_OK;
}

STREAM_API void stream_broadcast_close(stream_broadcast *broadcast) {
    stream__a64_store_release(&broadcast->closed, 1); /* release: the last next */
}

STREAM_API void stream_broadcast_range(const stream_broadcast *broadcast, uint64_t *oldest, uint64_t *next) {
    /* acquire: so that oldest is not above next; and both are measures. */
    *oldest = stream__a64_load_acquire(&broadcast->floor);
    *next = stream__a64_load_relaxed(&broadcast->next);
}

/* Whether item `number` is no longer kept. */
static bool stream__broadcast_gone(const stream_broadcast *broadcast, uint64_t number) {
    uint64_t floor = stream__a64_load_relaxed(&broadcast->floor); /* relaxed: see floor above */
    return (int64_t)(floor - number) > 0;
}

/* Bytes of all items before `number`, which may be the next one; false when it is no longer kept. */
static bool stream__broadcast_offset(const stream_broadcast *broadcast, uint64_t number, uint64_t *offset) {
    /* acquire: see words above */
    *offset = stream__a64_load_acquire(&broadcast->kept[number & broadcast->kept_mask].offset);
    return !stream__broadcast_gone(broadcast, number);
}

/* The next item's number, with its offset. */
static uint64_t stream__broadcast_next(const stream_broadcast *broadcast, uint64_t *offset) {
    uint64_t next;
    do next = stream__a64_load_acquire(&broadcast->next); /* acquire: see next above */
    while (!stream__broadcast_offset(broadcast, next, offset)); /* only if the writer went all around */
    return next;
}

STREAM_API void stream_broadcast_join(stream_broadcast *broadcast, stream_broadcast_reader *reader,
                                      stream_overrun overrun) {
    memset(reader, 0, sizeof *reader);
    reader->broadcast = broadcast;
    reader->overrun = overrun;
    reader->next = reader->seen = stream__broadcast_next(broadcast, &reader->offset);
    reader->known = true;
}

static void stream__broadcast_place(stream_broadcast_reader *reader, uint64_t next) {
    reader->next = next;
    if (reader->held) stream__a64_store_release(&reader->held->next, next); /* release: see held above */
}

/* Goes on at item `number`, which has that offset, and counts what lies between. */
static void stream__broadcast_skip(stream_broadcast_reader *reader, uint64_t number, uint64_t offset) {
    reader->gap_items = number - reader->next;
    reader->gap_bytes = reader->known ? offset - reader->offset : 0;
    reader->lost_items += reader->gap_items;
    reader->lost_bytes += reader->gap_bytes;
    reader->offset = offset;
    reader->known = true;
    stream__broadcast_place(reader, number);
}

STREAM_API stream_status stream_broadcast_seek(stream_broadcast_reader *reader, uint64_t number) {
    uint64_t next = stream__a64_load_acquire(&reader->broadcast->next); /* acquire: see next above */
    if ((int64_t)(number - next) > 0) return STREAM_E_RANGE;
    if (reader->held && (int64_t)(number - reader->next) < 0) return STREAM_E_STATE;
    stream__broadcast_place(reader, number);
    reader->known = stream__broadcast_offset(reader->broadcast, number, &reader->offset);
    return reader->known ? STREAM_OK : STREAM_LOST;
}

STREAM_API stream_status stream_broadcast_hold(stream_broadcast_reader *reader) {
    stream_broadcast *broadcast = reader->broadcast;
    size_t i;
    if (reader->held) return STREAM_OK;
    for (i = 0; i < broadcast->max_held; i++) {
        stream__held *held = &broadcast->held[i];
        if (stream__a64_load_acquire(&held->used)) continue; /* acquire: see held above */
        if (stream__broadcast_gone(broadcast, reader->next)) {
            uint64_t floor = stream__a64_load_relaxed(&broadcast->floor), offset; /* the writer's thread */
            (void)stream__broadcast_offset(broadcast, floor, &offset);
            stream__broadcast_skip(reader, floor, offset);
        }
        reader->held = held;
        /* look again; relaxed, as the writer's */
        broadcast->wanted_from = stream__a64_load_relaxed(&broadcast->floor);
        /* Relaxed: only the writer's thread reads them before the reader's thread takes over. */
        stream__a64_store_relaxed(&held->next, reader->next);
        stream__a64_store_relaxed(&held->used, 1);
        return STREAM_OK;
    }
    return STREAM_FULL;
}

STREAM_API void stream_broadcast_let_go(stream_broadcast_reader *reader) {
    if (reader->held) stream__a64_store_release(&reader->held->used, 0); /* release: see held above */
    reader->held = NULL;
}

/* The reader's item is gone: goes on where there is one, and counts. */
static stream_status stream__broadcast_resume(stream_broadcast_reader *reader) {
    const stream_broadcast *broadcast = reader->broadcast;
    uint64_t number, offset;
    do {
        number = stream__a64_load_acquire(&broadcast->next) - 1; /* acquire: see next above */
        if (reader->overrun == STREAM_OVERRUN_OLDEST || stream__broadcast_gone(broadcast, number))
            number = stream__a64_load_acquire(&broadcast->floor); /* acquire: see floor above */
    } while (!stream__broadcast_offset(broadcast, number, &offset)); /* the writer has moved on: look again */
    stream__broadcast_skip(reader, number, offset);
    return STREAM_LOST;
}

STREAM_API stream_status stream_broadcast_read(stream_broadcast_reader *reader, void *data, size_t cap,
                                               size_t *len) {
    const stream_broadcast *broadcast = reader->broadcast;
    uint64_t number = reader->next, at, end, offset, size, i, word;
    char *to = (char *)data;
    *len = 0;
    if ((int64_t)(reader->seen - number) <= 0) {
        reader->seen = stream__a64_load_acquire(&broadcast->next); /* acquire: see next above */
        if (reader->seen == number) {
            if (!stream__a64_load_acquire(&broadcast->closed)) return STREAM_EMPTY; /* acquire: see close */
            reader->seen = stream__a64_load_relaxed(&broadcast->next); /* relaxed: closed has brought all */
            if (reader->seen == number) return STREAM_END;
        }
    }
    /* acquire, here and below: see words above */
    at = stream__a64_load_acquire(&broadcast->kept[number & broadcast->kept_mask].at);
    end = stream__a64_load_acquire(&broadcast->kept[(number + 1) & broadcast->kept_mask].offset);
    offset = stream__a64_load_acquire(&broadcast->kept[number & broadcast->kept_mask].offset);
    if (!reader->held && stream__broadcast_gone(broadcast, number)) return stream__broadcast_resume(reader);
    size = end - offset;
    *len = (size_t)size;
    if (size > cap) return STREAM_FULL;
    for (i = 0; i < size / 8; i++) {
        word = stream__a64_load_acquire(&broadcast->word[(at + i) & broadcast->word_mask]);
        memcpy(to + i * 8, &word, 8);
    }
    if (size % 8) {
        word = stream__a64_load_acquire(&broadcast->word[(at + i) & broadcast->word_mask]);
        memcpy(to + i * 8, &word, (size_t)(size % 8));
    }
    if (!reader->held && stream__broadcast_gone(broadcast, number)) {
        *len = 0;
        return stream__broadcast_resume(reader);
    }
    reader->offset = end;
    reader->known = true;
    stream__broadcast_place(reader, number + 1);
    return STREAM_OK;
}

STREAM_API void stream_broadcast_lag(const stream_broadcast_reader *reader, uint64_t *items,
                                     uint64_t *bytes) {
    uint64_t offset, next = stream__broadcast_next(reader->broadcast, &offset);
    *items = next - reader->next;
    *bytes = reader->known ? offset - reader->offset : 0;
}

/* ==[ diff: implementation ]========================================================================= */

STREAM_API void stream_diff_init(stream_diff *diff, const void *was, size_t was_len, const void *now,
                                 size_t now_len) {
    diff->was = (const char *)was;
    diff->was_end = was_len ? diff->was + was_len : diff->was;
    diff->now = (const char *)now;
    diff->now_end = now_len ? diff->now + now_len : diff->now;
    diff->row = 0;
}

/* The row at *at, which moves behind it; false when there is none. */
static bool stream__diff_row(const char **at, const char *end, stream_slice *row) {
    row->ptr = *at;
    row->len = 0;
    if (*at == end) return false;
    row->len = stream_find_newline(*at, (size_t)(end - *at));
    *at += row->len;
    if (*at != end) ++*at;
    return true;
}

STREAM_API stream_status stream_diff_next(stream_diff *diff, stream_diff_row *row) {
    for (;;) {
        bool was = stream__diff_row(&diff->was, diff->was_end, &row->was);
        bool now = stream__diff_row(&diff->now, diff->now_end, &row->now);
        if (!was && !now) return STREAM_END;
        row->row = diff->row++;
        row->kind = !was ? STREAM_DIFF_ADDED : !now ? STREAM_DIFF_REMOVED : STREAM_DIFF_CHANGED;
        if (!was || !now || row->was.len != row->now.len ||
            (row->was.len && memcmp(row->was.ptr, row->now.ptr, row->was.len) != 0))
            return STREAM_OK;
    }
}

/* ==[ frame: implementation ]======================================================================== */

/* Whether it can be said in the four bytes there are. */
static bool stream__frame_fits(size_t len) {
#if SIZE_MAX > UINT32_MAX
    return len <= UINT32_MAX;
#else
    (void)len;
    return true;
#endif
}

STREAM_API stream_status stream_frame_init(stream_frame *frame, const stream_frame_desc *desc) {
    stream_frame_desc d;
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    if (d.max_len == 0) d.max_len = d.memory ? d.memory_len : (size_t)1 << 20;
    if (d.memory && d.max_len > d.memory_len) d.max_len = d.memory_len;
    if (d.max_len == 0 || d.max_len > SIZE_MAX / 4 || !stream__frame_fits(d.max_len))
        return STREAM_E_ARGUMENT;
    if (d.first_len == 0) d.first_len = 4096;
    memset(frame, 0, sizeof *frame);
    frame->max_len = d.max_len;
    stream__assembly_init(&frame->held, &d.allocator, d.memory, d.first_len, d.max_len);
    return STREAM_OK;
}

STREAM_API void stream_frame_free(stream_frame *frame) {
    stream__assembly_free(&frame->held);
    memset(frame, 0, sizeof *frame);
}

STREAM_API void stream_frame_reset(stream_frame *frame) {
    stream__assembly_clear(&frame->held);
    frame->cur = frame->end = NULL;
    frame->scanned = frame->offset = 0;
    frame->size = frame->seen = 0;
    frame->head_len = 0;
    frame->skip = frame->finished = false;
}

STREAM_API stream_status stream_frame_feed(stream_frame *frame, const void *data, size_t len) {
    if (frame->finished || frame->cur != frame->end) return STREAM_E_STATE;
    frame->cur = (const char *)data;
    frame->end = len ? frame->cur + len : frame->cur;
    return STREAM_OK;
}

STREAM_API stream_status stream_frame_finish(stream_frame *frame) {
    frame->finished = true;
    return STREAM_OK;
}

static void stream__frame_advance(stream_frame *frame, size_t n) {
    frame->cur += n;
    frame->offset += n;
    frame->scanned += n;
}

/* The open frame as an item; the next byte begins another one. */
static stream_status stream__frame_emit(stream_frame *frame, stream_item *item, stream_status status) {
    item->kind = frame->head[0];
    item->size = frame->size;
    item->offset = frame->offset - frame->seen;
    if (frame->held.refused && status == STREAM_OK) status = STREAM_E_NOMEM;
    stream__assembly_clear(&frame->held); /* its bytes stay until something is added */
    frame->head_len = 0;
    frame->skip = false;
    frame->seen = 0;
    return status;
}

STREAM_API stream_status stream_frame_next(stream_frame *frame, stream_item *item) {
    memset(item, 0, sizeof *item);
    for (;;) {
        size_t left = (size_t)(frame->end - frame->cur), take;
        if (frame->head_len < STREAM_FRAME_HEAD) {
            take = (size_t)STREAM_FRAME_HEAD - frame->head_len;
            if (take > left) take = left;
            if (take) {
                memcpy(frame->head + frame->head_len, frame->cur, take);
                stream__frame_advance(frame, take);
                frame->head_len = (uint8_t)(frame->head_len + take);
            }
            if (frame->head_len < STREAM_FRAME_HEAD) break;
            frame->size = (uint32_t)frame->head[1] << 24 | (uint32_t)frame->head[2] << 16 |
                          (uint32_t)frame->head[3] << 8 | frame->head[4];
            if (frame->size > frame->max_len) {
                frame->skip = true;
                item->kind = frame->head[0];
                item->size = frame->size;
                item->offset = frame->offset;
                return STREAM_E_TOO_LONG;
            }
            continue;
        }
        take = frame->size - frame->seen;
        if (take > left) take = left;
        if (!frame->skip && frame->seen == 0 && take == frame->size) { /* whole in the loan */
            item->ptr = frame->cur;
            item->len = take;
            if (take) stream__frame_advance(frame, take); /* NULL + 0 is not defined in C */
            frame->seen = frame->size;
            return stream__frame_emit(frame, item, STREAM_OK);
        }
        if (take == 0) break;
        if (!frame->skip) stream__assembly_add(&frame->held, frame->cur, take);
        stream__frame_advance(frame, take);
        frame->seen += (uint32_t)take;
        if (frame->seen < frame->size) break;
        if (frame->skip) {
            stream__frame_emit(frame, item, STREAM_OK); /* it was reported when its head came */
            memset(item, 0, sizeof *item);
            continue;
        }
        item->ptr = frame->held.ptr;
        item->len = frame->held.len;
        item->flags = STREAM_COPIED;
        return stream__frame_emit(frame, item, STREAM_OK);
    }
    item->offset = frame->offset;
    if (!frame->finished) return STREAM_MORE;
    if (frame->head_len == 0) return STREAM_END;
    if (frame->head_len < STREAM_FRAME_HEAD) {
        frame->head_len = 0;
        return STREAM_E_TRUNCATED;
    }
    if (frame->skip) { /* reported once already */
        frame->head_len = 0;
        return STREAM_END;
    }
    item->ptr = frame->held.ptr;
    item->len = frame->held.len;
    item->flags = frame->held.len ? STREAM_COPIED : 0;
    return stream__frame_emit(frame, item, STREAM_E_TRUNCATED);
}

static stream_status stream__frame_feed(void *self, const void *data, size_t len) {
    return stream_frame_feed((stream_frame *)self, data, len);
}
static stream_status stream__frame_next(void *self, stream_item *item) {
    return stream_frame_next((stream_frame *)self, item);
}
static stream_status stream__frame_finish(void *self) { return stream_frame_finish((stream_frame *)self); }

STREAM_API stream_decoder stream_frame_decoder(stream_frame *frame) {
    stream_decoder decoder;
    decoder.self = frame;
    decoder.feed = stream__frame_feed;
    decoder.next = stream__frame_next;
    decoder.finish = stream__frame_finish;
    return decoder;
}

STREAM_API stream_status stream_frame_head(uint8_t type, size_t len, char head[STREAM_FRAME_HEAD]) {
    unsigned char bytes[STREAM_FRAME_HEAD];
    if (!stream__frame_fits(len)) return STREAM_E_RANGE;
    bytes[0] = type;
    bytes[1] = (unsigned char)(len >> 24 & 0xFF);
    bytes[2] = (unsigned char)(len >> 16 & 0xFF);
    bytes[3] = (unsigned char)(len >> 8 & 0xFF);
    bytes[4] = (unsigned char)(len & 0xFF);
    memcpy(head, bytes, sizeof bytes);
    return STREAM_OK;
}

STREAM_API stream_status stream_frame_write(uint8_t type, const void *data, size_t data_len, void *dst,
                                            size_t cap, size_t *len) {
    char head[STREAM_FRAME_HEAD];
    stream_status status = stream_frame_head(type, data_len, head);
    if (status == STREAM_OK && data_len > SIZE_MAX - STREAM_FRAME_HEAD) status = STREAM_E_RANGE;
    *len = status == STREAM_OK ? STREAM_FRAME_HEAD + data_len : 0;
    if (status != STREAM_OK) return status;
    if (cap < *len) return STREAM_FULL;
    memcpy(dst, head, sizeof head);
    if (data_len) memcpy((char *)dst + sizeof head, data, data_len);
    return STREAM_OK;
}

/* ==[ sse: implementation ]==========================================================================
   A line is taken apart as it comes: the first bytes of it decide which field it is (no known name is
   longer than five), and from then on its value goes where it belongs, however many loans it spans. So
   nothing is held but what an event is made of, and no byte is seen twice. The ends of lines are found by
   looking for LF and for CR each on their own, and remembering the one that is further away: the C
   library's search is much faster than any loop that looks for both. */

enum { STREAM__SSE_START, STREAM__SSE_KEY, STREAM__SSE_SPACE, STREAM__SSE_VALUE, STREAM__SSE_SKIP };
enum { STREAM__SSE_NONE, STREAM__SSE_DATA, STREAM__SSE_EVENT, STREAM__SSE_ID, STREAM__SSE_RETRY };

/* Starts the value over. */
static void stream__sse_text_clear(stream__sse_text *t) {
    stream__assembly_clear(&t->held); /* its bytes stay until something is added */
    t->ptr = NULL;
    t->len = 0;
    t->size = 0;
    t->seen = t->copied = false;
}

/* Moves what is still a slice of the loan into the buffer. */
static void stream__sse_text_hold(stream__sse_text *t) {
    if (!t->copied && t->len) stream__assembly_add(&t->held, t->ptr, t->len);
    t->copied = true;
}

/* What is a slice already is held before more comes: by the end of the loan, or the LF between two lines. */
static void stream__sse_text_add(stream__sse_text *t, const char *ptr, size_t len) {
    t->size += len;
    if (t->copied) {
        stream__assembly_add(&t->held, ptr, len);
    } else {
        t->ptr = ptr;
        t->len = len;
    }
}

/* What of it is kept, at most max bytes; ptr is never NULL when the field was there. */
static stream_slice stream__sse_text_get(const stream__sse_text *t, size_t max) {
    stream_slice s;
    s.ptr = NULL;
    s.len = 0;
    if (!t->seen) return s;
    s.ptr = t->copied ? t->held.ptr : t->ptr;
    s.len = t->copied ? t->held.len : t->len;
    if (s.len > max) s.len = max;
    if (s.len == 0) s.ptr = "";
    return s;
}

STREAM_API stream_status stream_sse_init(stream_sse *sse, const stream_sse_desc *desc) {
    stream_sse_desc d;
    char *memory;
    size_t first_field;
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    memory = (char *)d.memory;
    if (memory && d.memory_len < 8) return STREAM_E_ARGUMENT;
    if (d.max_field == 0) {
        d.max_field = 1024;
        if (memory && d.max_field > d.memory_len / 8) d.max_field = d.memory_len / 8;
    }
    if (d.mode != STREAM_SSE_EVENTS) d.max_field = 0;
    if (d.max_field > SIZE_MAX / 4) return STREAM_E_ARGUMENT;
    if (memory) {
        size_t rest;
        if (d.max_field > (d.memory_len - 1) / 4) return STREAM_E_ARGUMENT;
        rest = d.memory_len - 4 * d.max_field;
        if (d.max_len == 0 || d.max_len > rest) d.max_len = rest;
    }
    if (d.max_len == 0) d.max_len = (size_t)1 << 20;
    if (d.max_len > SIZE_MAX / 4) return STREAM_E_ARGUMENT;
    if (d.first_len == 0) d.first_len = 4096;
    first_field = d.first_len < 64 ? d.first_len : 64;
    memset(sse, 0, sizeof *sse);
    sse->mode = d.mode;
    stream__assembly_init(&sse->held, &d.allocator, memory, d.first_len, d.max_len);
    stream__assembly_init(&sse->data.held, &d.allocator, memory, d.first_len, d.max_len);
    if (memory) memory += d.max_len;
    stream__assembly_init(&sse->name.held, &d.allocator, memory, first_field, d.max_field);
    if (memory) memory += d.max_field;
    stream__assembly_init(&sse->id.held, &d.allocator, memory, first_field, d.max_field);
    if (memory) memory += d.max_field;
    stream__assembly_init(&sse->id_line.held, &d.allocator, memory, first_field, d.max_field);
    if (memory) memory += d.max_field;
    stream__assembly_init(&sse->last, &d.allocator, memory, first_field, d.max_field);
    return STREAM_OK;
}

STREAM_API void stream_sse_free(stream_sse *sse) {
    stream__assembly_free(&sse->data.held);
    stream__assembly_free(&sse->name.held);
    stream__assembly_free(&sse->id.held);
    stream__assembly_free(&sse->id_line.held);
    stream__assembly_free(&sse->last);
    stream__assembly_free(&sse->held);
    memset(sse, 0, sizeof *sse);
}

/* Nothing of an event yet. What was handed out stays where it is. */
static void stream__sse_block_begin(stream_sse *sse) {
    stream__sse_text_clear(&sse->data);
    stream__sse_text_clear(&sse->name);
    stream__sse_text_clear(&sse->id);
    stream__sse_text_clear(&sse->id_line);
    stream__assembly_clear(&sse->held);
    sse->block = sse->offset;
    sse->retried = sse->real = false;
    sse->state = STREAM__SSE_START;
}

STREAM_API void stream_sse_reset(stream_sse *sse) {
    sse->cur = sse->end = sse->lf = sse->cr = NULL;
    sse->offset = sse->scanned = 0;
    sse->bom = 0;
    sse->after_cr = sse->finished = false;
    sse->error = NULL;
    memset(&sse->event, 0, sizeof sse->event);
    stream__sse_block_begin(sse);
}

STREAM_API stream_status stream_sse_feed(stream_sse *sse, const void *data, size_t len) {
    if (sse->finished || sse->cur != sse->end) return STREAM_E_STATE;
    sse->cur = (const char *)data;
    sse->end = len ? sse->cur + len : sse->cur;
    sse->lf = sse->cr = NULL;
    return STREAM_OK;
}

STREAM_API stream_status stream_sse_finish(stream_sse *sse) {
    sse->finished = true;
    return STREAM_OK;
}

STREAM_API uint64_t stream_sse_open(const stream_sse *sse) { return sse->offset - sse->block; }

static void stream__sse_advance(stream_sse *sse, size_t n) {
    sse->cur += n;
    sse->offset += n;
    sse->scanned += n;
}

/* Where the line that goes on at cur ends: at CR, LF or the end of the loan. */
static const char *stream__sse_line_end(stream_sse *sse) {
    const char *from = sse->cur;
    if (!sse->lf || sse->lf < from) sse->lf = from + stream_find_byte(from, (size_t)(sse->end - from), '\n');
    if (!sse->cr || sse->cr < from) sse->cr = from + stream_find_byte(from, (size_t)(sse->end - from), '\r');
    return sse->lf < sse->cr ? sse->lf : sse->cr;
}

/* The byte order mark of the stream is no part of it. Bytes of a mark that turns out to be none are the start
   of a field's name, and no name that is known starts so. */
static void stream__sse_mark(stream_sse *sse) {
    static const unsigned char mark[3] = {0xEF, 0xBB, 0xBF};
    while (sse->bom < 3 && sse->cur != sse->end) {
        if ((unsigned char)*sse->cur != mark[sse->bom]) {
            if (sse->bom) {
                sse->state = STREAM__SSE_SKIP;
                sse->real = true;
            }
            sse->bom = 3;
            return;
        }
        stream__sse_advance(sse, 1);
        sse->bom++;
    }
}

/* At the start of a line: nor is the LF of a CRLF. A block begins behind them. */
static void stream__sse_line_start(stream_sse *sse) {
    if (sse->after_cr && sse->cur != sse->end) {
        sse->after_cr = false;
        if (*sse->cur == '\n') {
            if (sse->offset == sse->block) sse->block++;
            stream__sse_advance(sse, 1);
        }
    }
    if (sse->bom < 3) {
        stream__sse_mark(sse);
        if (sse->bom == 3 && sse->offset == 3) sse->block = 3; /* there is one: the first block is behind it */
    }
}

/* The field whose name the key is, or begins with the key if the name may still go on. */
static uint8_t stream__sse_field(const stream_sse *sse, bool open) {
    static const char name[4][6] = {"data", "event", "id", "retry"};
    static const uint8_t len[4] = {4, 5, 2, 5};
    uint8_t i;
    for (i = 0; i < 4; i++)
        if ((open ? sse->key_len <= len[i] : sse->key_len == len[i]) &&
            memcmp(sse->key, name[i], sse->key_len) == 0)
            return (uint8_t)(i + 1);
    return STREAM__SSE_NONE;
}

/* The name of a field is whole. */
static void stream__sse_field_begin(stream_sse *sse) {
    sse->field = stream__sse_field(sse, false);
    switch (sse->field) {
    case STREAM__SSE_DATA:
        if (sse->data.seen) { /* another line: LF joins them */
            sse->data.size++;
            stream__sse_text_hold(&sse->data);
            stream__assembly_add(&sse->data.held, "\n", 1);
        }
        break;
    case STREAM__SSE_EVENT:
        stream__sse_text_clear(&sse->name); /* the last one counts */
        sse->name.seen = true;
        break;
    case STREAM__SSE_ID: /* one with a NUL does not count: the one before it may still be wanted */
        stream__sse_text_clear(&sse->id_line);
        sse->id_line.seen = true;
        sse->id_void = false;
        break;
    case STREAM__SSE_RETRY:
        sse->number = 0;
        sse->digits = 0;
        break;
    default: sse->state = STREAM__SSE_SKIP; return;
    }
    sse->state = STREAM__SSE_SPACE;
}

/* The value of a known field begins at cur, or is empty. */
static void stream__sse_value_begin(stream_sse *sse) {
    sse->state = STREAM__SSE_VALUE;
    if (sse->field == STREAM__SSE_DATA && !sse->data.seen) {
        sse->data.seen = true;
        sse->data_at = sse->offset;
    }
}

static void stream__sse_value_add(stream_sse *sse, const char *ptr, size_t len) {
    size_t i;
    switch (sse->field) {
    case STREAM__SSE_DATA: stream__sse_text_add(&sse->data, ptr, len); break;
    case STREAM__SSE_EVENT: stream__sse_text_add(&sse->name, ptr, len); break;
    case STREAM__SSE_ID:
        stream__sse_text_add(&sse->id_line, ptr, len);
        if (stream_find_byte(ptr, len, '\0') < len) sse->id_void = true;
        break;
    default: /* retry; a number that does not fit is as good as for ever */
        for (i = 0; i < len; i++) {
            uint64_t digit = (uint64_t)(unsigned char)ptr[i] - '0';
            if (digit > 9) sse->digits = 2;
            if (sse->digits == 2) break;
            sse->digits = 1;
            sse->number = sse->number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : sse->number * 10 + digit;
        }
    }
}

/* len bytes of a line that is open, none of them CR or LF. */
static void stream__sse_take(stream_sse *sse, size_t len) {
    const char *end = sse->cur + len;
    size_t n;
    if (sse->state == STREAM__SSE_START) {
        sse->state = STREAM__SSE_KEY;
        sse->key_len = 0;
    }
    if (sse->state == STREAM__SSE_KEY) {
        for (n = 0; n < len && sse->cur[n] != ':' && sse->key_len < sizeof sse->key; n++)
            sse->key[sse->key_len++] = sse->cur[n];
        if (sse->key_len == sizeof sse->key) sse->state = STREAM__SSE_SKIP;
        stream__sse_advance(sse, n);
        if (sse->state == STREAM__SSE_KEY && sse->cur < end) {
            stream__sse_advance(sse, 1);
            stream__sse_field_begin(sse); /* a comment is a field without a name, and known to nobody */
        }
    }
    if (sse->cur == end) return;
    if (sse->state == STREAM__SSE_SPACE) {
        if (*sse->cur == ' ') stream__sse_advance(sse, 1);
        stream__sse_value_begin(sse);
    }
    n = (size_t)(end - sse->cur);
    if (sse->state == STREAM__SSE_VALUE && n) stream__sse_value_add(sse, sse->cur, n);
    stream__sse_advance(sse, n);
}

/* A line that is not blank has ended. */
static void stream__sse_line_done(stream_sse *sse) {
    if (sse->state == STREAM__SSE_KEY) stream__sse_field_begin(sse); /* no colon: all of it is the name */
    if (sse->state == STREAM__SSE_SPACE) stream__sse_value_begin(sse);
    if (sse->state == STREAM__SSE_VALUE && sse->field == STREAM__SSE_ID && !sse->id_void) {
        stream__sse_text line = sse->id_line;
        sse->id_line = sse->id;
        sse->id = line;
    }
    if (sse->state == STREAM__SSE_VALUE && sse->field == STREAM__SSE_RETRY && sse->digits == 1) {
        sse->retried = sse->has_retry = true;
        sse->retry = sse->retry_ms = sse->number;
    }
    sse->state = STREAM__SSE_START;
}

/* The open event in *item and sse->event. */
static void stream__sse_describe(stream_sse *sse, stream_item *item) {
    sse->event.data = stream__sse_text_get(&sse->data, sse->data.held.max);
    sse->event.event = stream__sse_text_get(&sse->name, sse->name.held.max);
    sse->event.id = stream__sse_text_get(&sse->id, sse->id.held.max);
    if (sse->event.event.len == 0) sse->event.event.ptr = NULL;
    sse->event.has_retry = sse->retried;
    sse->event.retry_ms = sse->retried ? sse->retry : 0;
    memset(item, 0, sizeof *item);
    item->ptr = sse->event.data.ptr;
    item->len = sse->event.data.len;
    item->size = sse->data.size;
    item->offset = sse->data.seen ? sse->data_at : sse->block;
    item->flags = sse->data.copied ? STREAM_COPIED : 0;
}

static bool stream__sse_refused(const stream__sse_text *t) { return t->copied && t->held.refused; }

/* The blank line has come: MORE when it ends nothing that is handed out. */
static stream_status stream__sse_dispatch(stream_sse *sse, stream_item *item) {
    stream_status status = sse->data.seen ? STREAM_OK : STREAM_MORE;
    stream__sse_describe(sse, item);
    sse->error = NULL;
    if (sse->id.size > sse->id.held.max) {
        status = STREAM_E_TOO_LONG;
        sse->error = "id longer than max_field";
    } else if (sse->id.seen) {
        stream__sse_text_hold(&sse->id);
        if (sse->id.held.refused) { /* the old one stands */
            status = STREAM_E_NOMEM;
        } else {
            stream__assembly old = sse->last;
            sse->last = sse->id.held;
            sse->id.held = old;
            if (sse->event.id.len) sse->event.id.ptr = sse->last.ptr;
        }
    }
    if (sse->data.seen && status >= 0) {
        if (sse->name.size > sse->name.held.max) {
            status = STREAM_E_TOO_LONG;
            sse->error = "event name longer than max_field";
        } else if (stream__sse_refused(&sse->data) || stream__sse_refused(&sse->name)) {
            status = STREAM_E_NOMEM;
        } else if (sse->data.size > sse->data.held.max) {
            status = STREAM_E_TOO_LONG;
            sse->error = "data longer than max_len";
        }
    }
    if (status == STREAM_E_NOMEM) sse->error = "out of memory";
    stream__sse_block_begin(sse);
    return status;
}

/* The loan ends, an event may be open: what it has of the loan is copied now. */
static void stream__sse_park(stream_sse *sse) {
    stream__sse_text *all[4];
    size_t i;
    all[0] = &sse->data;
    all[1] = &sse->name;
    all[2] = &sse->id;
    all[3] = &sse->id_line;
    for (i = 0; i < 4; i++)
        if (all[i]->len) stream__sse_text_hold(all[i]);
}

/* The input has ended: whether an event is open, or a line that could have made one. */
static bool stream__sse_cut(const stream_sse *sse) {
    if (sse->data.seen || sse->name.seen || sse->id.seen) return true;
    if (sse->state == STREAM__SSE_SPACE || sse->state == STREAM__SSE_VALUE) return true;
    return sse->state == STREAM__SSE_KEY && stream__sse_field(sse, true) != STREAM__SSE_NONE;
}

static stream_status stream__sse_next_event(stream_sse *sse, stream_item *item) {
    stream_status status;
    for (;;) {
        const char *end;
        bool blank;
        if (sse->state == STREAM__SSE_START) stream__sse_line_start(sse);
        if (sse->cur == sse->end) break;
        end = stream__sse_line_end(sse);
        if (end != sse->cur) stream__sse_take(sse, (size_t)(end - sse->cur));
        if (end == sse->end) break;
        blank = sse->state == STREAM__SSE_START;
        sse->after_cr = *end == '\r';
        if (!blank) stream__sse_line_done(sse);
        stream__sse_advance(sse, 1);
        if (blank) {
            status = stream__sse_dispatch(sse, item);
            if (status != STREAM_MORE) return status;
        }
    }
    memset(item, 0, sizeof *item);
    memset(&sse->event, 0, sizeof sse->event);
    item->offset = sse->offset;
    if (!sse->finished) {
        stream__sse_park(sse);
        return STREAM_MORE;
    }
    if (!stream__sse_cut(sse)) return STREAM_END;
    if (sse->state == STREAM__SSE_SPACE) stream__sse_value_begin(sse);
    stream__sse_describe(sse, item);
    if (sse->state == STREAM__SSE_START) item->flags |= STREAM_UNTERMINATED;
    sse->error = "the input ended inside an event";
    stream__sse_block_begin(sse);
    return STREAM_E_TRUNCATED;
}

/* What of the open block is in the loan, from `from` on, as an item; `whole`: its end is there. */
static stream_status stream__sse_emit(stream_sse *sse, stream_item *item, const char *from, bool whole) {
    stream_status status = STREAM_OK;
    size_t n = (size_t)(sse->cur - from);
    sse->error = NULL;
    item->ptr = from;
    item->len = n;
    item->size = n;
    item->offset = sse->offset - n;
    if (sse->mode == STREAM_SSE_PIECES) {
        item->kind = whole ? 0 : STREAM_SSE_PART;
    } else {
        item->size = sse->offset - sse->block;
        item->offset = sse->block;
        if (item->size > n) { /* it began in an earlier loan */
            stream__assembly_add(&sse->held, from, n);
            item->ptr = sse->held.ptr;
            item->len = sse->held.len;
            item->flags = STREAM_COPIED;
        }
        if (sse->held.refused) {
            status = STREAM_E_NOMEM;
            sse->error = "out of memory";
        } else if (item->size > sse->held.max) {
            if (item->len > sse->held.max) item->len = sse->held.max;
            status = STREAM_E_TOO_LONG;
            sse->error = "block longer than max_len";
        }
    }
    if (whole) stream__sse_block_begin(sse);
    return status;
}

static stream_status stream__sse_next_block(stream_sse *sse, stream_item *item) {
    const char *from = sse->cur;
    bool left = sse->cur != sse->end;
    memset(item, 0, sizeof *item);
    if (left && sse->after_cr) {
        sse->after_cr = false;
        if (*sse->cur == '\n') {
            stream__sse_advance(sse, 1);
            if (sse->offset - 1 == sse->block) { /* its block is out already */
                item->ptr = from;
                item->size = item->len = 1;
                item->offset = sse->block++;
                return STREAM_NOISE;
            }
        }
    }
    while (sse->cur != sse->end) {
        const char *end;
        char last;
        if (sse->state == STREAM__SSE_START) stream__sse_mark(sse);
        if (sse->cur == sse->end) break;
        end = stream__sse_line_end(sse);
        if (end != sse->cur) {
            if (sse->state == STREAM__SSE_START && *sse->cur != ':') sse->real = true;
            sse->state = STREAM__SSE_SKIP;
            stream__sse_advance(sse, (size_t)(end - sse->cur));
            if (end == sse->end) break;
        }
        last = *end;
        stream__sse_advance(sse, 1);
        if (last == '\r' && sse->cur == sse->end) sse->after_cr = true;
        if (last == '\r' && sse->cur != sse->end && *sse->cur == '\n') stream__sse_advance(sse, 1);
        if (sse->state == STREAM__SSE_START) return stream__sse_emit(sse, item, from, true);
        sse->state = STREAM__SSE_START;
    }
    if (sse->mode == STREAM_SSE_PIECES) {
        if (left) return stream__sse_emit(sse, item, from, false);
    } else if (left) {
        stream__assembly_add(&sse->held, from, (size_t)(sse->cur - from));
    }
    item->offset = sse->offset;
    if (!sse->finished) return STREAM_MORE;
    if (sse->offset == sse->block) return STREAM_END;
    if (sse->mode == STREAM_SSE_PIECES) { /* all of it is out already */
        bool cut = sse->real;
        item->size = sse->offset - sse->block;
        item->offset = sse->block;
        sse->error = "the input ended inside an event";
        stream__sse_block_begin(sse);
        return cut ? STREAM_E_TRUNCATED : STREAM_END;
    }
    {
        bool cut = sse->real;
        stream_status status = stream__sse_emit(sse, item, sse->cur, true);
        item->flags |= cut ? 0 : STREAM_UNTERMINATED;
        if (!cut) return status;
        sse->error = "the input ended inside an event";
        return STREAM_E_TRUNCATED;
    }
}

STREAM_API stream_status stream_sse_next(stream_sse *sse, stream_item *item) {
    if (sse->mode == STREAM_SSE_EVENTS) return stream__sse_next_event(sse, item);
    return stream__sse_next_block(sse, item);
}

static stream_status stream__sse_feed(void *self, const void *data, size_t len) {
    return stream_sse_feed((stream_sse *)self, data, len);
}
static stream_status stream__sse_next(void *self, stream_item *item) {
    return stream_sse_next((stream_sse *)self, item);
}
static stream_status stream__sse_finish(void *self) { return stream_sse_finish((stream_sse *)self); }

STREAM_API stream_decoder stream_sse_decoder(stream_sse *sse) {
    stream_decoder decoder;
    decoder.self = sse;
    decoder.feed = stream__sse_feed;
    decoder.next = stream__sse_next;
    decoder.finish = stream__sse_finish;
    return decoder;
}

STREAM_API stream_slice stream_sse_last_id(const stream_sse *sse) {
    stream_slice id;
    id.ptr = sse->last.ptr;
    id.len = sse->last.len;
    return id;
}

/* Whether it may stand in a field of one line. */
static bool stream__sse_one_line(const void *ptr, size_t len) {
    return stream_find_byte(ptr, len, '\n') == len && stream_find_byte(ptr, len, '\r') == len &&
           stream_find_byte(ptr, len, '\0') == len;
}

STREAM_API stream_status stream_sse_set_last_id(stream_sse *sse, const void *id, size_t len) {
    if (!stream__sse_one_line(id, len)) return STREAM_E_INVALID;
    if (len > sse->last.max) return STREAM_E_TOO_LONG;
    stream__assembly_clear(&sse->last);
    stream__assembly_add(&sse->last, (const char *)id, len);
    if (!sse->last.refused) return STREAM_OK;
    stream__assembly_clear(&sse->last);
    return STREAM_E_NOMEM;
}

STREAM_API stream_slice stream_sse_type(const stream_sse_event *event) {
    stream_slice type = event->event;
    if (type.len == 0) {
        type.ptr = "message";
        type.len = 7;
    }
    return type;
}

typedef struct stream__sse_out {
    char *at; /* NULL: only count */
    size_t len;
} stream__sse_out;

static void stream__sse_put(stream__sse_out *out, const char *ptr, size_t len) {
    if (out->at && len) {
        memcpy(out->at, ptr, len);
        out->at += len;
    }
    out->len += len;
}

/* name, value, LF. The space goes with every value: one of its own would else be taken for it. */
static void stream__sse_put_field(stream__sse_out *out, const char *name, size_t name_len, const char *ptr,
                                  size_t len) {
    stream__sse_put(out, name, name_len);
    stream__sse_put(out, ": ", len ? 2 : 1);
    stream__sse_put(out, ptr, len);
    stream__sse_put(out, "\n", 1);
}

static void stream__sse_put_event(stream__sse_out *out, const stream_sse_event *e) {
    if (e->comment.ptr) stream__sse_put_field(out, "", 0, e->comment.ptr, e->comment.len);
    if (e->event.ptr) stream__sse_put_field(out, "event", 5, e->event.ptr, e->event.len);
    if (e->id.ptr) stream__sse_put_field(out, "id", 2, e->id.ptr, e->id.len);
    if (e->has_retry) {
        char digits[20];
        size_t n = sizeof digits;
        uint64_t v = e->retry_ms;
        do digits[--n] = (char)('0' + v % 10);
        while ((v /= 10) != 0);
        stream__sse_put_field(out, "retry", 5, digits + n, sizeof digits - n);
    }
    if (e->data.ptr) { /* LF and CR are looked for as in the decoder */
        const char *at = e->data.ptr, *end = at + e->data.len, *lf = NULL, *cr = NULL, *stop;
        for (;;) {
            if (!lf || lf < at) lf = at + stream_find_byte(at, (size_t)(end - at), '\n');
            if (!cr || cr < at) cr = at + stream_find_byte(at, (size_t)(end - at), '\r');
            stop = lf < cr ? lf : cr;
            stream__sse_put_field(out, "data", 4, at, (size_t)(stop - at));
            if (stop == end) break;
            at = stop + (stop == cr && lf == cr + 1 && lf != end ? 2 : 1);
        }
    }
    if (out->len) stream__sse_put(out, "\n", 1);
}

STREAM_API stream_status stream_sse_write(const stream_sse_event *event, void *dst, size_t cap, size_t *len) {
    stream__sse_out out;
    *len = 0;
    if (!stream__sse_one_line(event->event.ptr, event->event.len) ||
        !stream__sse_one_line(event->id.ptr, event->id.len) ||
        !stream__sse_one_line(event->comment.ptr, event->comment.len))
        return STREAM_E_INVALID;
    out.at = NULL;
    out.len = 0;
    stream__sse_put_event(&out, event);
    *len = out.len;
    if (out.len > cap) return STREAM_FULL;
    out.at = (char *)dst;
    out.len = 0;
    if (*len) stream__sse_put_event(&out, event);
    return STREAM_OK;
}

/* ==[ metrics: implementation ]====================================================================== */

STREAM_API void stream_counter_add(stream_counter *counter, uint64_t n) {
    stream__a64_add_relaxed(&counter->value, n);
}

STREAM_API uint64_t stream_counter_get(const stream_counter *counter) {
    return stream__a64_load_relaxed(&counter->value);
}

STREAM_API void stream_gauge_set(stream_gauge *gauge, uint64_t value) {
    stream__a64_store_relaxed(&gauge->value, value);
    stream__a64_raise(&gauge->highest, value);
}

STREAM_API uint64_t stream_gauge_get(const stream_gauge *gauge) {
    return stream__a64_load_relaxed(&gauge->value);
}

STREAM_API uint64_t stream_gauge_highest(const stream_gauge *gauge) {
    return stream__a64_load_relaxed(&gauge->highest);
}

static unsigned stream__log2(uint64_t v) { /* v > 0 */
#if defined(__GNUC__) || defined(__clang__)
    return 63u - (unsigned)__builtin_clzll(v);
#else
    unsigned bit = 0, step;
    for (step = 32; step; step /= 2) {
        if (v >> step) {
            v >>= step;
            bit += step;
        }
    }
    return bit;
#endif
}

STREAM_API void stream_histogram_add(stream_histogram *histogram, uint64_t ns) {
    size_t bucket = (size_t)(ns & 31);
    if (ns >> STREAM_HISTOGRAM_BITS) {
        bucket = STREAM_HISTOGRAM_BUCKETS - 1;
    } else if (ns >= 32) {
        unsigned e = stream__log2(ns);
        bucket = (size_t)(e - 4) * 32 + (size_t)((ns >> (e - 5)) & 31);
    }
    stream__a64_add_relaxed(&histogram->bucket[bucket], 1);
    stream__a64_add_relaxed(&histogram->sum_ns, ns);
    stream__a64_add_relaxed(&histogram->count, 1);
    stream__a64_raise(&histogram->max_ns, ns);
}

STREAM_API uint64_t stream_histogram_count(const stream_histogram *histogram) {
    return stream__a64_load_relaxed(&histogram->count);
}

STREAM_API uint64_t stream_histogram_max_ns(const stream_histogram *histogram) {
    return stream__a64_load_relaxed(&histogram->max_ns);
}

STREAM_API uint64_t stream_histogram_quantile_ns(const stream_histogram *histogram, unsigned per_mille) {
    uint64_t total = 0, rank, below = 0, max = stream_histogram_max_ns(histogram);
    size_t i;
    /* The buckets' own sum, not count: while others write, the two may differ. */
    for (i = 0; i < STREAM_HISTOGRAM_BUCKETS; i++) total += stream__a64_load_relaxed(&histogram->bucket[i]);
    if (total == 0) return 0;
    if (per_mille > 1000) per_mille = 1000;
    rank = total / 1000 * per_mille + (total % 1000 * per_mille + 999) / 1000;
    if (rank == 0) rank = 1;
    for (i = 0; i < STREAM_HISTOGRAM_BUCKETS - 1; i++) {
        below += stream__a64_load_relaxed(&histogram->bucket[i]);
        if (below >= rank) {
            uint64_t low = i, width = 1;
            if (i >= 32) {
                width = UINT64_C(1) << (i / 32 - 1);
                low = (32 + i % 32) * width;
            }
            low += width / 2;
            return low < max ? low : max;
        }
    }
    return max;
}

/* Text into caller memory: counts everything, writes what fits. */
typedef struct stream__text {
    char *dst;
    size_t cap, len;
} stream__text;

static void stream__put(stream__text *t, char c) {
    if (t->len < t->cap) t->dst[t->len] = c;
    t->len++;
}

static void stream__puts(stream__text *t, const char *s) {
    while (*s) stream__put(t, *s++);
}

/* v / 10^decimals, without trailing zeros. */
static void stream__put_number(stream__text *t, uint64_t v, unsigned decimals) {
    char digits[32];
    unsigned n = 0;
    if (decimals > 9) decimals = 9;
    while (decimals > 0 && v % 10 == 0) {
        v /= 10;
        decimals--;
    }
    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
        if (n == decimals) digits[n++] = '.';
    } while (v || n <= decimals);
    if (digits[n - 1] == '.') digits[n++] = '0';
    while (n) stream__put(t, digits[--n]);
}

/* A label's value inside Prometheus quotes; in JSON the whole key is quoted once more. */
static void stream__put_label(stream__text *t, const stream_metric *m, const char *extra,
                              const char *extra_value, bool json) {
    const char *quote = json ? "\\\"" : "\"";
    const char *s;
    if (!m->label && !extra) return;
    stream__put(t, '{');
    if (m->label) {
        stream_utf8 state;
        bool utf8;
        memset(&state, 0, sizeof state);
        for (s = m->label_value; *s; s++) stream_utf8_feed(&state, s, 1);
        utf8 = stream_utf8_finish(&state) == STREAM_OK;
        stream__puts(t, m->label);
        stream__put(t, '=');
        stream__puts(t, quote);
        for (s = m->label_value; *s; s++) {
            unsigned char c = (unsigned char)*s;
            if (c == '\\') stream__puts(t, json ? "\\\\\\\\" : "\\\\");
            else if (c == '"') stream__puts(t, json ? "\\\\\\\"" : "\\\"");
            else if (c == '\n') stream__puts(t, json ? "\\\\n" : "\\n");
            else if (c < 0x20 || (c >= 0x80 && !utf8)) stream__put(t, '?');
            else stream__put(t, (char)c);
        }
        stream__puts(t, quote);
    }
    if (extra) {
        if (m->label) stream__put(t, ',');
        stream__puts(t, extra);
        stream__put(t, '=');
        stream__puts(t, quote);
        stream__puts(t, extra_value);
        stream__puts(t, quote);
    }
    stream__put(t, '}');
}

static uint64_t stream__metric_value(const stream_metric *m) {
    switch (m->kind) {
    case STREAM_METRIC_COUNTER: return stream_counter_get((const stream_counter *)m->value);
    case STREAM_METRIC_GAUGE: return stream_gauge_get((const stream_gauge *)m->value);
    case STREAM_METRIC_TOTAL:
    case STREAM_METRIC_VALUE: return *(const uint64_t *)m->value;
    default: return 0; /* a histogram is not one number */
    }
}

static const struct {
    unsigned per_mille;
    const char *quantile, *key;
} stream__quantiles[3] = {{500, "0.5", "p50"}, {990, "0.99", "p99"}, {999, "0.999", "p999"}};

STREAM_API size_t stream_metrics_prometheus(const stream_metric *rows, size_t count, char *dst, size_t cap) {
    stream__text t;
    size_t i, q;
    t.dst = dst;
    t.cap = cap;
    t.len = 0;
    for (i = 0; i < count; i++) {
        const stream_metric *m = &rows[i];
        if (i == 0 || !stream__same_text(m->name, rows[i - 1].name)) {
            const char *s;
            if (m->help) {
                stream__puts(&t, "# HELP ");
                stream__puts(&t, m->name);
                stream__put(&t, ' ');
                for (s = m->help; *s; s++) {
                    if (*s == '\\') stream__puts(&t, "\\\\");
                    else if (*s == '\n') stream__puts(&t, "\\n");
                    else stream__put(&t, *s);
                }
                stream__put(&t, '\n');
            }
            stream__puts(&t, "# TYPE ");
            stream__puts(&t, m->name);
            stream__puts(&t, m->kind == STREAM_METRIC_HISTOGRAM                                    ? " summary\n"
                             : m->kind == STREAM_METRIC_COUNTER || m->kind == STREAM_METRIC_TOTAL ? " counter\n"
                                                                                                   : " gauge\n");
        }
        if (m->kind == STREAM_METRIC_HISTOGRAM) {
            const stream_histogram *h = (const stream_histogram *)m->value;
            for (q = 0; q < 3; q++) {
                stream__puts(&t, m->name);
                stream__put_label(&t, m, "quantile", stream__quantiles[q].quantile, false);
                stream__put(&t, ' ');
                stream__put_number(&t, stream_histogram_quantile_ns(h, stream__quantiles[q].per_mille), 9);
                stream__put(&t, '\n');
            }
            for (q = 0; q < 2; q++) {
                stream__puts(&t, m->name);
                stream__puts(&t, q ? "_count" : "_sum");
                stream__put_label(&t, m, NULL, NULL, false);
                stream__put(&t, ' ');
                if (q) stream__put_number(&t, stream_histogram_count(h), 0);
                else stream__put_number(&t, stream__a64_load_relaxed(&h->sum_ns), 9);
                stream__put(&t, '\n');
            }
        } else {
            stream__puts(&t, m->name);
            stream__put_label(&t, m, NULL, NULL, false);
            stream__put(&t, ' ');
            stream__put_number(&t, stream__metric_value(m), m->decimals);
            stream__put(&t, '\n');
        }
    }
    return t.len;
}

STREAM_API size_t stream_metrics_json(const stream_metric *rows, size_t count, char *dst, size_t cap) {
    stream__text t;
    size_t i, q;
    t.dst = dst;
    t.cap = cap;
    t.len = 0;
    stream__put(&t, '{');
    for (i = 0; i < count; i++) {
        const stream_metric *m = &rows[i];
        if (i) stream__put(&t, ',');
        stream__put(&t, '"');
        stream__puts(&t, m->name);
        stream__put_label(&t, m, NULL, NULL, true);
        stream__puts(&t, "\":");
        if (m->kind == STREAM_METRIC_HISTOGRAM) {
            const stream_histogram *h = (const stream_histogram *)m->value;
            stream__puts(&t, "{\"count\":");
            stream__put_number(&t, stream_histogram_count(h), 0);
            stream__puts(&t, ",\"sum\":");
            stream__put_number(&t, stream__a64_load_relaxed(&h->sum_ns), 9);
            for (q = 0; q < 3; q++) {
                stream__puts(&t, ",\"");
                stream__puts(&t, stream__quantiles[q].key);
                stream__puts(&t, "\":");
                stream__put_number(&t, stream_histogram_quantile_ns(h, stream__quantiles[q].per_mille), 9);
            }
            stream__puts(&t, ",\"max\":");
            stream__put_number(&t, stream_histogram_max_ns(h), 9);
            stream__put(&t, '}');
        } else {
            stream__put_number(&t, stream__metric_value(m), m->decimals);
        }
    }
    stream__put(&t, '}');
    return t.len;
}

/* ==[ pipeline: implementation ]===================================================================== */

STREAM_API stream_status stream_pipeline_init(stream_pipeline *pipe, const stream_pipeline_desc *desc) {
    if (!desc || !desc->source.read || !desc->decoder.feed || !desc->decoder.next || !desc->decoder.finish)
        return STREAM_E_ARGUMENT;
    if ((desc->buffers.acquire == NULL) != (desc->buffers.release == NULL)) return STREAM_E_ARGUMENT;
    memset(pipe, 0, sizeof *pipe);
    pipe->desc = *desc;
    if (pipe->desc.buffer_len == 0) pipe->desc.buffer_len = 32768;
    return STREAM_OK;
}

static stream_status stream__pipeline_acquire(stream_pipeline *pipe) {
    stream_pipeline_desc *d = &pipe->desc;
    if (pipe->buffer) return STREAM_OK;
    if (d->buffers.acquire) {
        pipe->buffer_cap = 0;
        pipe->buffer = d->buffers.acquire(d->buffers.ctx, d->buffer_len, &pipe->buffer_cap);
        return pipe->buffer ? STREAM_OK : STREAM_FULL;
    }
    pipe->buffer = stream__resize(&d->allocator, NULL, 0, d->buffer_len, 1);
    pipe->buffer_cap = d->buffer_len;
    return pipe->buffer ? STREAM_OK : STREAM_FULL;
}

/* Gives a borrowed buffer back; one of its own stays until the end. */
static void stream__pipeline_release(stream_pipeline *pipe, bool own_too) {
    stream_pipeline_desc *d = &pipe->desc;
    if (!pipe->buffer) return;
    if (d->buffers.release) d->buffers.release(d->buffers.ctx, pipe->buffer);
    else if (own_too) stream__resize(&d->allocator, pipe->buffer, pipe->buffer_cap, 0, 1);
    else return;
    pipe->buffer = NULL;
}

STREAM_API void stream_pipeline_free(stream_pipeline *pipe) {
    stream__pipeline_release(pipe, true);
    memset(pipe, 0, sizeof *pipe);
}

STREAM_API stream_status stream_pipeline_next(stream_pipeline *pipe, stream_item *item) {
    stream_pipeline_desc *d = &pipe->desc;
    for (;;) {
        stream_status status;
        size_t got = 0;
        if (pipe->loaned || pipe->ended) {
            status = d->decoder.next(d->decoder.self, item);
            if (status == STREAM_OK) pipe->items++;
            else if (status == STREAM_NOISE) pipe->noise++;
            else if (status < 0) pipe->errors++;
            if (status != STREAM_MORE) return status;
            if (d->flow) stream_flow_consumed(d->flow, pipe->loaned);
            pipe->loaned = 0;
        }
        memset(item, 0, sizeof *item);
        item->offset = pipe->bytes;
        status = stream__pipeline_acquire(pipe);
        if (status != STREAM_OK) return status;
        status = d->source.read(d->source.ctx, pipe->buffer, pipe->buffer_cap, &got);
        pipe->reads++;
        if (status == STREAM_OK && got > 0 && got <= pipe->buffer_cap) {
            pipe->bytes += got;
            pipe->loaned = got;
            if (d->flow) stream_flow_sent(d->flow, got);
            status = d->decoder.feed(d->decoder.self, pipe->buffer, got);
            if (status != STREAM_OK) return status;
            continue;
        }
        stream__pipeline_release(pipe, false);
        if (status == STREAM_EMPTY) return STREAM_EMPTY;
        pipe->ended = true;
        d->decoder.finish(d->decoder.self);
        if (status != STREAM_END) {
            pipe->errors++;
            return STREAM_E_IO;
        }
    }
}

#ifndef STREAM_NO_OS

/* ==[ reader: implementation ]======================================================================= */

#if defined(_WIN32)

STREAM_API uint64_t stream_now_ns(void) {
    LARGE_INTEGER frequency, now;
    uint64_t f, n;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&now);
    f = (uint64_t)frequency.QuadPart;
    n = (uint64_t)now.QuadPart;
    return n / f * UINT64_C(1000000000) + n % f * UINT64_C(1000000000) / f;
}

#ifndef STREAM_SYS_READ
#define STREAM_SYS_READ(fd, ptr, len) _read(fd, ptr, (unsigned)(len))
#endif

STREAM_API stream_kernel_kind stream_kernel_buffer(int fd, size_t want, size_t *granted) {
    DWORD kind = GetFileType((HANDLE)_get_osfhandle(fd));
    (void)want; /* a pipe's buffer is fixed when it is made */
    *granted = 0;
    return kind == FILE_TYPE_PIPE ? STREAM_KERNEL_PIPE : STREAM_KERNEL_NONE;
}

#else /* POSIX */

STREAM_API uint64_t stream_now_ns(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) return 0;
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

#if defined(__linux__) && !defined(F_SETPIPE_SZ)
#define F_SETPIPE_SZ 1031
#define F_GETPIPE_SZ 1032
#endif

STREAM_API stream_kernel_kind stream_kernel_buffer(int fd, size_t want, size_t *granted) {
    struct stat st;
    *granted = 0;
    if (fstat(fd, &st) != 0) return STREAM_KERNEL_NONE;
    if (want > (size_t)INT32_MAX) want = (size_t)INT32_MAX;
    if (S_ISFIFO(st.st_mode)) {
#if defined(__linux__)
        int have = fcntl(fd, F_GETPIPE_SZ);
        /* Above /proc/sys/fs/pipe-max-size the kernel refuses an ordinary user: ask for half. */
        while (have >= 0 && (size_t)have < want && fcntl(fd, F_SETPIPE_SZ, (int)want) < 0) want /= 2;
        have = fcntl(fd, F_GETPIPE_SZ);
        if (have > 0) *granted = (size_t)have;
#endif
        return STREAM_KERNEL_PIPE;
    }
    if (S_ISSOCK(st.st_mode)) {
        int have = 0, ask = (int)want;
        socklen_t len = (socklen_t)sizeof have;
        /* Only ever raised: a TCP socket whose buffer was set by hand is no longer tuned by the kernel. */
        if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, (void *)&have, &len) == 0 && (size_t)have < want)
            (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, (const void *)&ask, (socklen_t)sizeof ask);
        len = (socklen_t)sizeof have;
        if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, (void *)&have, &len) == 0 && have > 0)
            *granted = (size_t)have;
        return STREAM_KERNEL_SOCKET;
    }
    return STREAM_KERNEL_NONE;
}

#endif /* POSIX */

static stream_status stream__fd_read(int fd, void *data, size_t cap, size_t *got) {
    if (cap > (size_t)INT32_MAX) cap = (size_t)INT32_MAX;
    for (;;) {
        ptrdiff_t n = (ptrdiff_t)STREAM_SYS_READ(fd, data, cap);
        *got = n > 0 ? (size_t)n : 0;
        if (n > 0) return STREAM_OK;
        if (n == 0) return STREAM_END;
        if (errno == EINTR) continue;
        if (errno == EAGAIN) return STREAM_EMPTY;
#if defined(EWOULDBLOCK) && EWOULDBLOCK != EAGAIN
        if (errno == EWOULDBLOCK) return STREAM_EMPTY;
#endif
        return STREAM_E_IO;
    }
}

static stream_status stream__source_fd_read(void *ctx, void *data, size_t cap, size_t *got) {
    return stream__fd_read((int)(intptr_t)ctx, data, cap, got);
}

STREAM_API stream_source stream_source_fd(int fd) {
    stream_source source;
    source.ctx = (void *)(intptr_t)fd;
    source.read = stream__source_fd_read;
    return source;
}

STREAM_API stream_status stream_reader_init(stream_reader *reader, const stream_reader_desc *desc) {
    stream_reader_desc d;
    stream_status status;
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    memset(reader, 0, sizeof *reader);
    if (d.memory && d.buffer_len == 0) return STREAM_E_ARGUMENT;
    if (d.kernel_len == 0) d.kernel_len = 65536;
    if (d.buffer_len == 0) d.buffer_len = 32768;
    status = stream_lines_init(&reader->lines, &d.lines);
    if (status != STREAM_OK) return status;
    reader->fd = d.fd;
    reader->fixed = d.memory != NULL;
    reader->buffer_len = d.buffer_len;
    reader->buffer = d.memory ? (char *)d.memory
                              : (char *)stream__resize(&d.lines.allocator, NULL, 0, d.buffer_len, 1);
    if (!reader->buffer) {
        memset(reader, 0, sizeof *reader);
        return STREAM_E_NOMEM;
    }
    reader->kernel = stream_kernel_buffer(d.fd, d.kernel_len, &reader->kernel_len);
    return STREAM_OK;
}

STREAM_API void stream_reader_free(stream_reader *reader) {
    if (reader->buffer && !reader->fixed)
        stream__resize(&reader->lines.held.allocator, reader->buffer, reader->buffer_len, 0, 1);
    stream_lines_free(&reader->lines);
    memset(reader, 0, sizeof *reader);
}

STREAM_API stream_status stream_reader_next(stream_reader *reader, stream_item *line) {
    for (;;) {
        size_t got;
        stream_status status = stream_lines_next(&reader->lines, line);
        if (status != STREAM_MORE) return status;
        status = stream__fd_read(reader->fd, reader->buffer, reader->buffer_len, &got);
        if (status == STREAM_OK) {
            stream_lines_feed(&reader->lines, reader->buffer, got);
        } else if (status == STREAM_END) {
            stream_lines_finish(&reader->lines);
        } else {
            if (status == STREAM_E_IO) {
                reader->os_error = errno;
                stream_lines_finish(&reader->lines);
            }
            return status;
        }
    }
}

/* ==[ io: implementation ]===========================================================================
   Every file has three lanes, first in, first out: what reads (and accepts), what writes (and connects), what
   polls. Only the head of a lane is worked on. There are two kinds of backends:

     readiness (epoll, kqueue, poll): the head is attempted at once; only when that would wait is the
       descriptor watched, edge-triggered, and the head attempted again at the next edge. `ready` says
       for each lane that there was an edge since an attempt would have waited last. So a descriptor that
       is never exhausted is never watched, and one that is costs no system call to keep watching.
     completion (io_uring, IOCP): the head is given to the system, which says when it is done.

   Whatever is done goes to one list, and stream_io_next takes from its front. */

enum { STREAM__IN = 0, STREAM__OUT = 1, STREAM__WATCH = 2, STREAM__LANES = 3 };

/* The states of an operation. */
enum {
    STREAM__OP_IDLE = 0,
    STREAM__OP_QUEUED, /* in a lane */
    STREAM__OP_ACTIVE, /* in a lane, and the system works on it */
    STREAM__OP_TIMER,
    STREAM__OP_DONE /* in the list of those done, or posted */
};

/* Bits of an operation's stage. */
enum {
    STREAM__STAGE_BEGUN = 1,    /* a connection is on its way */
    STREAM__STAGE_POLLING = 2,  /* io_uring: waits for readiness, then is done over */
    STREAM__STAGE_CANCEL = 4,   /* is to be cancelled */
    STREAM__STAGE_CANCELLED = 8 /* the system was told */
};

/* What a descriptor is. */
enum {
    STREAM__FD_SOCKET = 1,
    STREAM__FD_TCP = 2,
    STREAM__FD_DATAGRAM = 4, /* an empty read is an empty message, not the end */
    STREAM__FD_PIPE = 8,
    STREAM__FD_TERMINAL = 16,
    STREAM__FD_FREE = 32,      /* never waits, or cannot be waited for */
    STREAM__FD_NONBLOCK = 64,
    STREAM__FD_HUNG = 128,     /* there is more to read than its bytes: a hang-up, an error */
    STREAM__FD_ATTACHED = 256,
    STREAM__FD_READS = 512, /* opened for that */
    STREAM__FD_WRITES = 1024,
    STREAM__FD_LEVEL = 2048 /* watched for states, not for edges */
};

enum {
    STREAM__IO_BUDGET = 256,
    STREAM__IO_BATCH = 32,
    STREAM__AWAKE = 0,
    STREAM__WOKEN = 1,
    STREAM__ASLEEP = 2
};

typedef struct stream__io_backend {
    const char *name;
    /* OK, or E_IO with io->os_error and nothing left behind */
    stream_status (*init)(stream_io *io, const stream_io_desc *desc);
    void (*free)(stream_io *io);
    stream_status (*attach)(stream_io *io, stream_io_file *file);
    /* The lanes hold nothing but ACTIVE operations. */
    void (*detach)(stream_io *io, stream_io_file *file);
    /* The lane's head is new. */
    void (*start)(stream_io *io, stream_io_file *file, int lane);
    /* An ACTIVE one whose stage says CANCEL. */
    void (*cancel)(stream_io *io, stream_io_op *op);
    /* Waits once. OK; EMPTY when a signal came; E_IO, E_NOMEM. */
    stream_status (*collect)(stream_io *io, uint64_t wait_ns);
    /* Ends a collect that sleeps: any thread, signal handlers. */
    void (*wake)(stream_io *io);
} stream__io_backend;

#ifndef STREAM_SYS_NOW
#define STREAM_SYS_NOW() stream_now_ns()
#endif

/* The least number of milliseconds that is not shorter. */
static int stream__io_ms(uint64_t ns) {
    uint64_t ms = ns / 1000000 + (ns % 1000000 != 0);
    if (ns == STREAM_FOREVER) return -1;
    return ms < 0x7fffffff ? (int)ms : 0x7fffffff;
}

static void stream__io_done(stream_io *io, stream_io_op *op, stream_status status, int os_error) {
    op->state = STREAM__OP_DONE;
    op->status = status;
    op->os_error = os_error;
    op->next = NULL;
    if (io->done) io->done_last->next = op;
    else io->done = op;
    io->done_last = op;
}

static int stream__io_lane(const stream_io_op *op) {
    switch (op->verb) {
    case STREAM_IO_READ:
    case STREAM_IO_ACCEPT: return STREAM__IN;
    case STREAM_IO_WRITE:
    case STREAM_IO_CONNECT: return STREAM__OUT;
    default: return STREAM__WATCH;
    }
}

/* From its lane to the list of those done. */
static void stream__io_finish(stream_io *io, stream_io_op *op, stream_status status, int os_error) {
    stream_io_file *file = op->file;
    int lane = stream__io_lane(op);
    if (op->prev) op->prev->next = op->next;
    else file->head[lane] = op->next;
    if (op->next) op->next->prev = op->prev;
    else file->tail[lane] = op->prev;
    stream__io_done(io, op, status, os_error);
}

/* Moves a write n bytes on, and past parts that are empty; true when nothing is left. */
static bool stream__io_advance(stream_io_op *op, size_t n) {
    op->bytes += n;
    op->part_done += n;
    while (op->part < op->count && op->part_done >= op->parts[op->part].len) {
        op->part_done -= op->parts[op->part].len;
        op->part++;
    }
    return op->part == op->count;
}

/* Files with something to hand to the system, for backends that do so in batches. */
STREAM__FN void stream__io_dirty(stream_io *io, stream_io_file *file) {
    if (file->dirty_prev || io->dirty == file) return;
    file->dirty_next = io->dirty;
    if (io->dirty) io->dirty->dirty_prev = file;
    io->dirty = file;
}

static void stream__io_clean(stream_io *io, stream_io_file *file) {
    if (!file->dirty_prev && io->dirty != file) return;
    if (file->dirty_prev) file->dirty_prev->dirty_next = file->dirty_next;
    else io->dirty = file->dirty_next;
    if (file->dirty_next) file->dirty_next->dirty_prev = file->dirty_prev;
    file->dirty_next = file->dirty_prev = NULL;
}

/* Timers: a pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986) through the operations themselves.
   `child` is the first child, `next` the next sibling, `prev` the sibling before or, for the first, the
   parent. Equal deadlines come out in the order in which they went in. */
static stream_io_op *stream__timer_meld(stream_io_op *a, stream_io_op *b) {
    if (!a || !b) return a ? a : b;
    if (b->deadline_ns < a->deadline_ns || (b->deadline_ns == a->deadline_ns && b->order < a->order)) {
        stream_io_op *t = a;
        a = b;
        b = t;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child) a->child->prev = b;
    a->child = b;
    return a;
}

/* One heap of a row of siblings: in pairs from the left, then all pairs from the right. */
static stream_io_op *stream__timer_gather(stream_io_op *row) {
    stream_io_op *pairs = NULL, *heap = NULL;
    while (row) {
        stream_io_op *a = row, *b = a->next;
        row = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b) b->next = b->prev = NULL;
        a = stream__timer_meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    while (pairs) {
        stream_io_op *a = pairs;
        pairs = a->next;
        a->next = NULL;
        heap = stream__timer_meld(heap, a);
    }
    return heap;
}

static void stream__timer_remove(stream_io *io, stream_io_op *op) {
    stream_io_op *below = stream__timer_gather(op->child);
    op->child = NULL;
    if (io->timers == op) {
        io->timers = below;
        return;
    }
    if (op->prev->child == op) op->prev->child = op->next;
    else op->prev->next = op->next;
    if (op->next) op->next->prev = op->prev;
    io->timers = stream__timer_meld(io->timers, below);
}

/* Those whose time has come; returns how long until the next, at most wait_ns. */
static uint64_t stream__timer_expire(stream_io *io, uint64_t wait_ns) {
    uint64_t now, left;
    if (!io->timers) return wait_ns;
    now = STREAM_SYS_NOW();
    while (io->timers && io->timers->deadline_ns <= now) {
        stream_io_op *op = io->timers;
        stream__timer_remove(io, op);
        stream__io_done(io, op, STREAM_OK, 0);
    }
    if (!io->timers) return wait_ns;
    left = io->timers->deadline_ns - now;
    return left < wait_ns ? left : wait_ns;
}

/* What other threads posted, oldest first. */
static void stream__io_take_posted(stream_io *io) {
    uint64_t seen = stream__a64_load_relaxed(&io->posted);
    stream_io_op *op, *row = NULL;
    if (seen == 0) return;
    while (!stream__a64_cas_acq_rel(&io->posted, &seen, 0)) {
    }
    for (op = (stream_io_op *)(uintptr_t)seen; op;) {
        stream_io_op *before = op->next;
        op->next = row;
        row = op;
        op = before;
    }
    while (row) {
        op = row;
        row = op->next;
        io->in_flight++;
        stream__io_done(io, op, STREAM_OK, 0);
    }
}

/* Takes back what the system does not work on, and asks it for the rest. */
static void stream__io_cancel_all(stream_io *io, stream_io_file *file) {
    int lane;
    for (lane = 0; lane < STREAM__LANES; lane++) {
        stream_io_op *op = file->head[lane], *next;
        for (; op; op = next) {
            next = op->next;
            if (op->state == STREAM__OP_ACTIVE) op->stage |= STREAM__STAGE_CANCEL;
            else stream__io_finish(io, op, STREAM_CANCELLED, 0);
        }
    }
}

#if defined(_WIN32)

static void stream__os_close(stream_fd fd, uint32_t flags) {
    if (flags & STREAM__FD_SOCKET) closesocket((SOCKET)fd);
    else CloseHandle((HANDLE)fd);
}

#else

/* Every system call of [io] and [splice] can be replaced; each gives -1 and errno. */
#ifndef STREAM_SYS_WRITEV
#define STREAM_SYS_WRITEV(fd, parts, count) writev(fd, parts, count)
#endif
#ifndef STREAM_SYS_RECV
#define STREAM_SYS_RECV(fd, ptr, len, flags) recv(fd, ptr, len, flags)
#endif
#ifndef STREAM_SYS_SEND
#define STREAM_SYS_SEND(fd, ptr, len, flags) send(fd, ptr, len, flags)
#endif
#ifndef STREAM_SYS_SENDMSG
#define STREAM_SYS_SENDMSG(fd, message, flags) sendmsg(fd, message, flags)
#endif
#ifndef STREAM_SYS_ACCEPT
#if defined(SOCK_CLOEXEC) && defined(SOCK_NONBLOCK) && !defined(__APPLE__)
#define STREAM_SYS_ACCEPT(fd) accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)
#else
#define STREAM_SYS_ACCEPT(fd) stream__os_accept(fd)
/* Not in one step here: a fork in between hands the socket down. */
static STREAM__UNUSED int stream__os_accept(int fd) {
    int got = accept(fd, NULL, NULL);
    if (got >= 0) {
        (void)fcntl(got, F_SETFD, FD_CLOEXEC);
        (void)fcntl(got, F_SETFL, O_NONBLOCK);
    }
    return got;
}
#endif
#endif
#ifndef STREAM_SYS_CONNECT
#define STREAM_SYS_CONNECT(fd, address, len) connect(fd, address, len)
#endif
#ifndef STREAM_SYS_POLL
#define STREAM_SYS_POLL(fds, count, ms) poll(fds, count, ms)
#endif

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

static void stream__os_close(int fd, uint32_t flags) {
    (void)flags;
    (void)close(fd);
}

/* What fd is: 0, or an error number. */
static int stream__os_flags(int fd, uint32_t *flags) {
    struct stat st;
    int mode = fcntl(fd, F_GETFL), access = mode & O_ACCMODE;
    *flags = 0;
    if (mode < 0 || fstat(fd, &st) != 0) return errno;
    if (mode & O_NONBLOCK) *flags |= STREAM__FD_NONBLOCK;
    if (access != O_WRONLY) *flags |= STREAM__FD_READS;
    if (access != O_RDONLY) *flags |= STREAM__FD_WRITES;
    if (S_ISSOCK(st.st_mode)) {
        int type = 0;
        socklen_t len = (socklen_t)sizeof type;
        *flags |= STREAM__FD_SOCKET;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, (void *)&type, &len) == 0 && type == SOCK_DGRAM)
            *flags |= STREAM__FD_DATAGRAM;
#ifdef SO_PROTOCOL
        len = (socklen_t)sizeof type;
        if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, (void *)&type, &len) == 0 && type == IPPROTO_TCP)
            *flags |= STREAM__FD_TCP;
#endif
#ifdef SO_NOSIGPIPE
        type = 1;
        (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, (const void *)&type, (socklen_t)sizeof type);
#endif
    } else if (S_ISFIFO(st.st_mode)) {
        *flags |= STREAM__FD_PIPE;
    } else if (S_ISCHR(st.st_mode)) {
        if (isatty(fd)) *flags |= STREAM__FD_TERMINAL;
    } else if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode)) {
        *flags |= STREAM__FD_FREE; /* and not an eventfd, a timerfd, a pidfd, which are of no type */
    }
    return 0;
}

static int stream__os_error(void) {
#if defined(EWOULDBLOCK) && EWOULDBLOCK != EAGAIN
    if (errno == EWOULDBLOCK) return EAGAIN;
#endif
    return errno;
}

/* Of `events` (POLLIN, POLLOUT) and what is always reported, what holds now; or minus an error number. Never
   waits. */
static int stream__os_poll(int fd, int events) {
    struct pollfd p;
    int n;
    p.fd = fd;
    p.events = (short)events;
    do {
        p.revents = 0;
        n = (int)STREAM_SYS_POLL(&p, 1, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return errno == EAGAIN ? -ENOMEM : -errno;
    return n > 0 ? p.revents : 0;
}

/* A blocking pipe, terminal or device that others share: ask before each call whether it would wait. */
static bool stream__os_cautious(uint32_t flags) {
    return !(flags & (STREAM__FD_SOCKET | STREAM__FD_NONBLOCK | STREAM__FD_FREE));
}

/* Bytes; 0 at the end; or minus the error number, -EAGAIN when it would wait. */
static ptrdiff_t stream__os_read(int fd, uint32_t flags, void *data, size_t cap) {
    ptrdiff_t n = stream__os_cautious(flags) ? stream__os_poll(fd, POLLIN) : POLLIN;
    if (n <= 0) return n ? n : -EAGAIN;
    do {
        n = flags & STREAM__FD_SOCKET ? (ptrdiff_t)STREAM_SYS_RECV(fd, data, cap, MSG_DONTWAIT)
                                      : (ptrdiff_t)STREAM_SYS_READ(fd, data, cap);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) return n;
    n = -stream__os_error();
    /* What a terminal says once its other side has gone. */
    return n == -EIO && (flags & STREAM__FD_TERMINAL) ? 0 : n;
}

/* Writes what goes of parts, from byte `skip` of the first on. As stream__os_read. */
static ptrdiff_t stream__os_write(int fd, uint32_t flags, const stream_slice *parts, size_t count,
                                  size_t skip) {
    struct iovec v[16];
    size_t used = 0, total = 0, most = (size_t)INT32_MAX;
    ptrdiff_t n;
    if (stream__os_cautious(flags)) {
        n = stream__os_poll(fd, POLLOUT);
        if (n <= 0) return n ? n : -EAGAIN;
        /* So much a pipe takes without waiting once it takes anything; a terminal promises less. */
        most = flags & STREAM__FD_PIPE ? (size_t)512 : (size_t)256;
#ifdef PIPE_BUF
        if (flags & STREAM__FD_PIPE) most = (size_t)PIPE_BUF;
#endif
    }
    for (; used < count && used < sizeof v / sizeof v[0] && total < most; used++) {
        size_t len = parts[used].len - skip;
        if (len > most - total) len = most - total;
        v[used].iov_base = (void *)((uintptr_t)parts[used].ptr + skip); /* NULL when it is empty */
        v[used].iov_len = len;
        total += len;
        skip = 0;
    }
    if ((flags & STREAM__FD_SOCKET) && used == 1) { /* the shorter way through the kernel */
        do n = (ptrdiff_t)STREAM_SYS_SEND(fd, v[0].iov_base, v[0].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
    } else if (flags & STREAM__FD_SOCKET) {
        struct msghdr message;
        memset(&message, 0, sizeof message);
        message.msg_iov = v;
        message.msg_iovlen = (unsigned short)used; /* an int here, a size_t there */
        do n = (ptrdiff_t)STREAM_SYS_SENDMSG(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
    } else {
        do n = used == 1 ? (ptrdiff_t)STREAM_SYS_WRITE(fd, v[0].iov_base, v[0].iov_len)
                         : (ptrdiff_t)STREAM_SYS_WRITEV(fd, v, (int)used);
        while (n < 0 && errno == EINTR);
    }
    if (n < 0) return -stream__os_error();
    return n == 0 && total > 0 ? -EIO : n; /* nothing taken and no reason given: not to be asked for ever */
}

static uint32_t stream__os_events(int revents) {
    return (revents & POLLIN ? (uint32_t)STREAM_IO_READABLE : 0) |
           (revents & POLLOUT ? (uint32_t)STREAM_IO_WRITABLE : 0) |
           (revents & (POLLHUP | POLLERR | POLLNVAL) ? (uint32_t)STREAM_IO_HANGUP : 0);
}

static int stream__os_poll_mask(const stream_io_op *op) {
    return (op->count & STREAM_IO_READABLE ? POLLIN : 0) | (op->count & STREAM_IO_WRITABLE ? POLLOUT : 0);
}

/* ---- what the readiness backends share ---- */

static bool stream__io_failed(stream_io *io, stream_io_op *op, int os_error) {
    if (os_error == EAGAIN) return false;
    stream__io_finish(io, op, STREAM_E_IO, os_error);
    return true;
}

static bool stream__io_nonblock(stream_io_file *file) {
    int mode;
    if (file->flags & STREAM__FD_NONBLOCK) return true;
    mode = fcntl(file->own, F_GETFL);
    if (mode < 0 || fcntl(file->own, F_SETFL, mode | O_NONBLOCK) != 0) return false;
    file->flags |= STREAM__FD_NONBLOCK;
    return true;
}

static bool stream__io_attempt_connect(stream_io *io, stream_io_file *file, stream_io_op *op) {
    int error = 0;
    socklen_t len = (socklen_t)sizeof error;
    if (!(op->stage & STREAM__STAGE_BEGUN)) {
        if (!stream__io_nonblock(file)) return stream__io_failed(io, op, errno);
        if (STREAM_SYS_CONNECT(file->own, (const struct sockaddr *)(const void *)op->one.ptr,
                               (socklen_t)op->one.len) == 0) {
            stream__io_finish(io, op, STREAM_OK, 0);
            return true;
        }
        /* Interrupted, it goes on all the same. EAGAIN is a Unix socket's full queue, which nobody can
           wait for: an error. */
        if (errno != EINPROGRESS && errno != EINTR && errno != EALREADY) {
            stream__io_finish(io, op, STREAM_E_IO, errno);
            return true;
        }
        op->stage |= STREAM__STAGE_BEGUN;
        if (errno != EINTR) return false;
    }
    if (getsockopt(file->own, SOL_SOCKET, SO_ERROR, (void *)&error, &len) != 0) error = errno;
    if (error == 0) {
        struct sockaddr_storage peer;
        len = (socklen_t)sizeof peer;
        if (getpeername(file->own, (struct sockaddr *)(void *)&peer, &len) != 0) {
            if (errno == ENOTCONN) return false; /* an edge, but not ours */
            error = errno;
        }
    }
    stream__io_finish(io, op, error ? STREAM_E_IO : STREAM_OK, error);
    return true;
}

/* Tries the head of a lane once; false when it would have to wait. */
static bool stream__io_attempt(stream_io *io, stream_io_file *file, stream_io_op *op) {
    ptrdiff_t n;
    int fd;
    switch (op->verb) {
    case STREAM_IO_READ:
        n = stream__os_read(file->own, file->flags, (void *)(uintptr_t)op->one.ptr, op->one.len);
        if (n < 0) return stream__io_failed(io, op, (int)-n);
        op->bytes = (size_t)n;
        /* TCP gives all it has: less than asked for means that the next byte comes with an edge of its own.
           Nobody else promises that; they are watched for the state, or asked until they would wait. */
        if (op->bytes < op->one.len && (file->flags & (STREAM__FD_TCP | STREAM__FD_LEVEL)) &&
            !(file->flags & STREAM__FD_HUNG))
            file->ready &= (uint8_t)~(1u << STREAM__IN);
        stream__io_finish(io, op, n > 0 || (file->flags & STREAM__FD_DATAGRAM) ? STREAM_OK : STREAM_END, 0);
        return true;
    case STREAM_IO_WRITE:
        while (op->part < op->count) {
            n = stream__os_write(file->own, file->flags, op->parts + op->part, op->count - op->part,
                                 op->part_done);
            if (n < 0) return stream__io_failed(io, op, (int)-n);
            stream__io_advance(op, (size_t)n);
        }
        stream__io_finish(io, op, STREAM_OK, 0);
        return true;
    case STREAM_IO_ACCEPT:
        if (!stream__io_nonblock(file)) return stream__io_failed(io, op, errno);
        do fd = (int)STREAM_SYS_ACCEPT(file->own);
        while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
        if (fd < 0) return stream__io_failed(io, op, stream__os_error());
        op->fd = fd;
        stream__io_finish(io, op, STREAM_OK, 0);
        return true;
    case STREAM_IO_CONNECT: return stream__io_attempt_connect(io, file, op);
    default:
        n = stream__os_poll(file->own, stream__os_poll_mask(op));
        if (n < 0) return stream__io_failed(io, op, (int)-n);
        op->events = stream__os_events((int)n);
        if (op->events == 0) return false;
        stream__io_finish(io, op, STREAM_OK, 0);
        return true;
    }
}

enum { STREAM__WATCHED_IN = 1, STREAM__WATCHED_OUT = 2, STREAM__WATCHED = 4 };

/* What has to be watched for the head of a lane. */
static uint8_t stream__io_needs(const stream_io_op *op, int lane) {
    if (lane == STREAM__IN) return STREAM__WATCHED | STREAM__WATCHED_IN;
    if (lane == STREAM__OUT) return STREAM__WATCHED | STREAM__WATCHED_OUT;
    return (uint8_t)(STREAM__WATCHED | (op->count & STREAM_IO_READABLE ? STREAM__WATCHED_IN : 0) |
                     (op->count & STREAM_IO_WRITABLE ? STREAM__WATCHED_OUT : 0));
}

/* Works through a lane until it would have to wait; then `watch` must see to it that an edge is reported, the
   present state included: 0 or an error number, EPERM when the descriptor cannot be watched at all. */
static void stream__io_run(stream_io *io, stream_io_file *file, int lane,
                           int (*watch)(stream_io *io, stream_io_file *file, uint8_t needs)) {
    uint8_t bit = (uint8_t)(1u << lane);
    stream_io_op *op;
    while ((op = file->head[lane]) != NULL) {
        uint8_t needs = stream__io_needs(op, lane);
        int error;
        if (file->ready & bit) {
            if (stream__io_attempt(io, file, op)) continue;
            if (!(file->flags & STREAM__FD_FREE)) {
                file->ready &= (uint8_t)~bit;
            } else if (lane != STREAM__WATCH) {
                stream__io_finish(io, op, STREAM_E_IO, EAGAIN);
                continue;
            } else {
                return;
            }
        }
        if ((file->watched & needs) == needs) return;
        error = watch(io, file, (uint8_t)(file->watched | needs));
        if (error == 0) {
            file->watched |= needs;
            return;
        }
        if (error == EPERM) {
            file->flags |= STREAM__FD_FREE;
            file->ready |= bit;
        } else {
            stream__io_finish(io, op, STREAM_E_IO, error);
        }
    }
}

/* The same pipe or terminal through a description of our own, whose flags are nobody else's. */
static STREAM__UNUSED void stream__io_reopen(stream_io_file *file) {
#if defined(__linux__)
    static const char prefix[] = "/proc/self/fd/";
    char path[sizeof prefix + 12], digits[12];
    size_t len = sizeof prefix - 1, n = 0;
    unsigned fd = (unsigned)file->fd;
    struct stat st;
    int mode =
        file->flags & STREAM__FD_READS ? file->flags & STREAM__FD_WRITES ? O_RDWR : O_RDONLY : O_WRONLY;
    if (!(file->flags & (STREAM__FD_PIPE | STREAM__FD_TERMINAL))) return;
    /* The master's side of a pseudo-terminal: opened again it would be another one. */
    if (fstat(file->fd, &st) != 0 || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(5, 2))) return;
    memcpy(path, prefix, len);
    do digits[n++] = (char)('0' + fd % 10);
    while ((fd /= 10) != 0);
    while (n > 0) path[len++] = digits[--n];
    path[len] = '\0';
    mode = open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (mode < 0) return;
    file->own = mode;
    file->flags |= STREAM__FD_NONBLOCK;
#else
    (void)file; /* /dev/fd shares the description elsewhere */
#endif
}

static stream_status stream__io_attach_ready(stream_io *io, stream_io_file *file) {
    int error = stream__os_flags(file->fd, &file->flags);
    if (error) {
        io->os_error = error;
        return STREAM_E_IO;
    }
    if (stream__os_cautious(file->flags)) stream__io_reopen(file);
    file->ready = (1u << STREAM__LANES) - 1; /* for all we know */
    return STREAM_OK;
}

static void stream__io_close_own(stream_io_file *file) {
    if (file->own != file->fd) (void)close(file->own);
}

/* An edge on some lanes. A poll is asked about at any. */
static void stream__io_edge(stream_io *io, stream_io_file *file, unsigned lanes, bool hung,
                            int (*watch)(stream_io *io, stream_io_file *file, uint8_t needs)) {
    int lane;
    if (hung) file->flags |= STREAM__FD_HUNG;
    file->ready |= (uint8_t)(lanes | 1u << STREAM__WATCH);
    for (lane = 0; lane < STREAM__LANES; lane++)
        if (file->head[lane] && (file->ready >> lane & 1)) stream__io_run(io, file, lane, watch);
}

/* Only completion backends have something to cancel. */
static void stream__io_cancel_none(stream_io *io, stream_io_op *op) { (void)io, (void)op; }

/* A descriptor that other threads write to and the backend watches: an eventfd, else a pipe. */
static STREAM__UNUSED stream_status stream__io_wake_open(stream_io *io) {
#if defined(__linux__)
    io->wake_read = io->wake_write = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (io->wake_read >= 0) return STREAM_OK;
#else
    int ends[2];
    if (pipe(ends) == 0) {
        io->wake_read = ends[0];
        io->wake_write = ends[1];
        (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
        (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
        (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
        (void)fcntl(ends[1], F_SETFL, O_NONBLOCK);
        return STREAM_OK;
    }
#endif
    io->os_error = errno;
    return STREAM_E_IO;
}

static STREAM__UNUSED void stream__io_wake_close(stream_io *io) {
    if (io->wake_read >= 0) (void)close(io->wake_read);
    if (io->wake_write >= 0 && io->wake_write != io->wake_read) (void)close(io->wake_write);
}

static STREAM__UNUSED void stream__io_wake_write(stream_io *io) {
    uint64_t one = 1;
    int saved = errno; /* a signal handler must not disturb it */
    ptrdiff_t n;
    do n = (ptrdiff_t)STREAM_SYS_WRITE(io->wake_write, &one, sizeof one);
    while (n < 0 && errno == EINTR); /* full: it is readable already */
    errno = saved;
}

static STREAM__UNUSED void stream__io_wake_drain(stream_io *io) {
    uint64_t count[8];
    ptrdiff_t n;
    do n = (ptrdiff_t)STREAM_SYS_READ(io->wake_read, count, sizeof count);
    while (n == (ptrdiff_t)sizeof count || (n < 0 && errno == EINTR));
}

#endif /* POSIX */

#if STREAM_IO_EPOLL
/* ---- epoll ---- */

#ifndef STREAM_SYS_EPOLL_CTL
#define STREAM_SYS_EPOLL_CTL(epoll, op, fd, event) epoll_ctl(epoll, op, fd, event)
#endif
#ifndef STREAM_SYS_EPOLL_WAIT
#define STREAM_SYS_EPOLL_WAIT(epoll, events, count, ms) epoll_wait(epoll, events, count, ms)
#endif

static int stream__epoll_watch(stream_io *io, stream_io_file *file, uint8_t needs) {
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = (uint32_t)EPOLLRDHUP;
    if (!(file->flags & STREAM__FD_LEVEL)) event.events |= (uint32_t)EPOLLET;
    if (needs & STREAM__WATCHED_IN) event.events |= (uint32_t)EPOLLIN | (uint32_t)EPOLLPRI;
    if (needs & STREAM__WATCHED_OUT) event.events |= (uint32_t)EPOLLOUT;
    event.data.ptr = file;
    return STREAM_SYS_EPOLL_CTL(io->fd, file->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, file->own, &event) == 0
               ? 0
               : errno;
}

static void stream__epoll_start(stream_io *io, stream_io_file *file, int lane) {
    if (lane == STREAM__WATCH) file->ready |= 1u << STREAM__WATCH; /* to be asked about at least once */
    stream__io_run(io, file, lane, stream__epoll_watch);
}

static void stream__epoll_forget(stream_io *io, stream_io_file *file) {
    struct epoll_event none; /* old kernels want to see one */
    memset(&none, 0, sizeof none);
    if (file->watched) (void)STREAM_SYS_EPOLL_CTL(io->fd, EPOLL_CTL_DEL, file->own, &none);
}

static void stream__epoll_detach(stream_io *io, stream_io_file *file) {
    stream__epoll_forget(io, file);
    stream__io_close_own(file);
}

static stream_status stream__epoll_init(stream_io *io, const stream_io_desc *desc) {
    struct epoll_event event;
    (void)desc;
    if (stream__io_wake_open(io) != STREAM_OK) return STREAM_E_IO;
    memset(&event, 0, sizeof event);
    event.events = (uint32_t)EPOLLIN;
    io->fd = epoll_create1(EPOLL_CLOEXEC);
    if (io->fd >= 0 && STREAM_SYS_EPOLL_CTL(io->fd, EPOLL_CTL_ADD, io->wake_read, &event) == 0)
        return STREAM_OK;
    io->os_error = errno;
    if (io->fd >= 0) (void)close(io->fd);
    stream__io_wake_close(io);
    return STREAM_E_IO;
}

static void stream__epoll_free(stream_io *io) {
    (void)close(io->fd);
    stream__io_wake_close(io);
}

/* What the heads of the lanes wait for. */
static uint8_t stream__epoll_wanted(const stream_io_file *file) {
    uint8_t needs = 0;
    int lane;
    for (lane = 0; lane < STREAM__LANES; lane++)
        if (file->head[lane]) needs |= stream__io_needs(file->head[lane], lane);
    return needs;
}

/* A state that nobody waits for would be reported again and again: it is no longer watched. `ready` keeps
   it. */
static void stream__epoll_relax(stream_io *io, stream_io_file *file) {
    uint8_t needs = stream__epoll_wanted(file);
    if (needs == 0) { /* even without asking for any, one hears of a hang-up */
        stream__epoll_forget(io, file);
        file->watched = 0;
    } else if (stream__epoll_watch(io, file, needs) == 0) {
        file->watched = needs;
    }
}

static stream_status stream__epoll_collect(stream_io *io, uint64_t wait_ns) {
    struct epoll_event events[STREAM__IO_BATCH];
    int i, n = STREAM_SYS_EPOLL_WAIT(io->fd, events, STREAM__IO_BATCH, stream__io_ms(wait_ns));
    if (n < 0) {
        io->os_error = errno;
        return errno == EINTR ? STREAM_EMPTY : STREAM_E_IO;
    }
    for (i = 0; i < n; i++) {
        stream_io_file *file = (stream_io_file *)events[i].data.ptr;
        uint32_t e = events[i].events;
        bool over = (e & ((uint32_t)EPOLLHUP | (uint32_t)EPOLLERR)) != 0;
        unsigned lanes = over ? 1u << STREAM__IN | 1u << STREAM__OUT : 0;
        uint8_t seen = 0;
        bool vain;
        if (!file) {
            stream__io_wake_drain(io);
            continue;
        }
        if (e & ((uint32_t)EPOLLIN | (uint32_t)EPOLLPRI | (uint32_t)EPOLLRDHUP)) lanes |= 1u << STREAM__IN;
        if (e & (uint32_t)EPOLLOUT) lanes |= 1u << STREAM__OUT;
        if (lanes & 1u << STREAM__IN) seen |= STREAM__WATCHED_IN;
        if (lanes & 1u << STREAM__OUT) seen |= STREAM__WATCHED_OUT;
        /* A state that nobody waits for. Looked at before it is served: a lane that is served now will most
           likely be submitted to again. */
        vain = (file->flags & STREAM__FD_LEVEL) != 0 &&
               (over ? stream__epoll_wanted(file) == 0 : (seen & ~stream__epoll_wanted(file)) != 0);
        stream__io_edge(io, file, lanes, over || (e & ((uint32_t)EPOLLPRI | (uint32_t)EPOLLRDHUP)),
                        stream__epoll_watch);
        if (vain) stream__epoll_relax(io, file);
    }
    return STREAM_OK;
}

static stream_status stream__epoll_attach(stream_io *io, stream_io_file *file) {
    stream_status status = stream__io_attach_ready(io, file);
    if (!(file->flags & STREAM__FD_TCP)) file->flags |= STREAM__FD_LEVEL;
    return status;
}

static const stream__io_backend stream__io_epoll = {
    "epoll", stream__epoll_init, stream__epoll_free, stream__epoll_attach, stream__epoll_detach,
    stream__epoll_start, stream__io_cancel_none, stream__epoll_collect, stream__io_wake_write};
#endif

#if !defined(_WIN32)
/* ---- poll: works everywhere, and looks at every busy file each time ---- */

static int stream__poll_watch(stream_io *io, stream_io_file *file, uint8_t needs) {
    (void)io, (void)file, (void)needs; /* the heads of the lanes say what to look for */
    return 0;
}

static void stream__poll_start(stream_io *io, stream_io_file *file, int lane) {
    if (lane == STREAM__WATCH) file->ready |= 1u << STREAM__WATCH;
    stream__io_run(io, file, lane, stream__poll_watch);
}

static stream_status stream__poll_attach(stream_io *io, stream_io_file *file) {
    stream_status status = stream__io_attach_ready(io, file);
    file->flags |= STREAM__FD_LEVEL;
    return status;
}

static void stream__poll_detach(stream_io *io, stream_io_file *file) {
    (void)io;
    stream__io_close_own(file);
}

static stream_status stream__poll_init(stream_io *io, const stream_io_desc *desc) {
    (void)desc;
    return stream__io_wake_open(io);
}

static void stream__poll_free(stream_io *io) {
    if (io->table) stream__resize(&io->allocator, io->table, io->table_len, 0, sizeof(void *));
    stream__io_wake_close(io);
}

/* One entry of the table: the system's part comes first, all of them in a row; then the files. */
static stream_status stream__poll_collect(stream_io *io, uint64_t wait_ns) {
    const size_t each = sizeof(struct pollfd) + sizeof(stream_io_file *);
    size_t cap = io->table_len / each, count = 1, i;
    stream_io_file *file, **files;
    struct pollfd *fds;
    int n;
    for (file = io->files; file; file = file->next) count++;
    if (count > cap) {
        size_t len = (count + count / 2 + 16) * each;
        void *grown = stream__resize(&io->allocator, io->table, io->table_len, len, sizeof(void *));
        if (!grown) return STREAM_E_NOMEM;
        io->table = grown;
        io->table_len = len;
        cap = len / each;
    }
    files = (stream_io_file **)io->table;
    fds = (struct pollfd *)(void *)(files + cap);
    memset(&fds[0], 0, sizeof fds[0]);
    fds[0].fd = io->wake_read;
    fds[0].events = POLLIN;
    for (count = 1, file = io->files; file; file = file->next) {
        const stream_io_op *watch = file->head[STREAM__WATCH];
        int events = (file->head[STREAM__IN] ? POLLIN : 0) | (file->head[STREAM__OUT] ? POLLOUT : 0) |
                     (watch ? stream__os_poll_mask(watch) : 0);
        if (events == 0 && (!watch || (file->flags & STREAM__FD_FREE))) continue;
        files[count] = file;
        memset(&fds[count], 0, sizeof fds[count]);
        fds[count].fd = file->own;
        fds[count].events = (short)events;
        count++;
    }
    n = STREAM_SYS_POLL(fds, (nfds_t)count, stream__io_ms(wait_ns));
    if (n < 0) {
        io->os_error = errno;
        return errno == EINTR ? STREAM_EMPTY : STREAM_E_IO;
    }
    for (i = 1; n > 0 && i < count; i++) {
        int e = fds[i].revents;
        bool over = (e & (POLLHUP | POLLERR | POLLNVAL)) != 0;
        if (e == 0) continue;
        stream__io_edge(io, files[i],
                        (e & POLLIN || over ? 1u << STREAM__IN : 0) |
                            (e & POLLOUT || over ? 1u << STREAM__OUT : 0),
                        over, stream__poll_watch);
    }
    if (fds[0].revents) stream__io_wake_drain(io);
    return STREAM_OK;
}

static const stream__io_backend stream__io_poll = {
    "poll", stream__poll_init, stream__poll_free, stream__poll_attach, stream__poll_detach,
    stream__poll_start, stream__io_cancel_none, stream__poll_collect, stream__io_wake_write};
#endif

#if STREAM_IO_KQUEUE
/* ---- kqueue ---- */

#ifndef STREAM_SYS_KEVENT
#define STREAM_SYS_KEVENT(queue, changes, changed, events, count, timeout) \
    kevent(queue, changes, changed, events, count, timeout)
#endif

static int stream__kqueue_change(stream_io *io, uintptr_t ident, int filter, unsigned flags, unsigned fflags,
                                 void *data) {
    struct kevent change;
    int n;
    memset(&change, 0, sizeof change);
    change.ident = ident;
    /* The types of these fields differ from system to system: EV_SET knows them. */
#if defined(__NetBSD__)
    EV_SET(&change, ident, (uint32_t)filter, flags, fflags, 0, (intptr_t)data);
#else
    EV_SET(&change, ident, (short)filter, (unsigned short)flags, fflags, 0, data);
#endif
    do n = STREAM_SYS_KEVENT(io->fd, &change, 1, NULL, 0, NULL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? errno : 0;
}

static int stream__kqueue_watch(stream_io *io, stream_io_file *file, uint8_t needs) {
    uint8_t fresh = needs & (uint8_t)~file->watched;
    int error = 0;
    /* A poll for a hang-up alone: a writer hears of it through its own filter, a reader too. */
    if ((needs & (STREAM__WATCHED_IN | STREAM__WATCHED_OUT)) == 0)
        fresh |= file->flags & STREAM__FD_WRITES ? STREAM__WATCHED_OUT : STREAM__WATCHED_IN;
    if (fresh & STREAM__WATCHED_IN)
        error = stream__kqueue_change(io, (uintptr_t)file->own, EVFILT_READ, EV_ADD | EV_CLEAR, 0, file);
    if (error == 0 && (fresh & STREAM__WATCHED_OUT)) {
        error = stream__kqueue_change(io, (uintptr_t)file->own, EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, file);
        if (error && (fresh & STREAM__WATCHED_IN))
            (void)stream__kqueue_change(io, (uintptr_t)file->own, EVFILT_READ, EV_DELETE, 0, NULL);
    }
    if (error == 0) file->watched |= fresh;
    return error;
}

static stream_status stream__kqueue_attach(stream_io *io, stream_io_file *file) {
    stream_status status = stream__io_attach_ready(io, file);
    file->flags &= ~(uint32_t)STREAM__FD_TCP; /* an urgent byte makes no edge here: ask until it would wait */
    return status;
}

static void stream__kqueue_start(stream_io *io, stream_io_file *file, int lane) {
    if (lane == STREAM__WATCH) file->ready |= 1u << STREAM__WATCH;
    stream__io_run(io, file, lane, stream__kqueue_watch);
}

static void stream__kqueue_detach(stream_io *io, stream_io_file *file) {
    if (file->watched & STREAM__WATCHED_IN)
        (void)stream__kqueue_change(io, (uintptr_t)file->own, EVFILT_READ, EV_DELETE, 0, NULL);
    if (file->watched & STREAM__WATCHED_OUT)
        (void)stream__kqueue_change(io, (uintptr_t)file->own, EVFILT_WRITE, EV_DELETE, 0, NULL);
    stream__io_close_own(file);
}

static stream_status stream__kqueue_init(stream_io *io, const stream_io_desc *desc) {
    (void)desc;
    io->fd = kqueue();
    if (io->fd < 0) {
        io->os_error = errno;
        return STREAM_E_IO;
    }
    (void)fcntl(io->fd, F_SETFD, FD_CLOEXEC); /* a fork does not inherit it, only an exec without one */
#if defined(EVFILT_USER) && defined(NOTE_TRIGGER)
    io->os_error = stream__kqueue_change(io, 0, EVFILT_USER, EV_ADD | EV_CLEAR, 0, NULL);
#else
    if (stream__io_wake_open(io) == STREAM_OK)
        io->os_error = stream__kqueue_change(io, (uintptr_t)io->wake_read, EVFILT_READ, EV_ADD, 0, NULL);
#endif
    if (io->os_error == 0) return STREAM_OK;
    (void)close(io->fd);
    stream__io_wake_close(io);
    return STREAM_E_IO;
}

static void stream__kqueue_free(stream_io *io) {
    (void)close(io->fd);
    stream__io_wake_close(io);
}

static stream_status stream__kqueue_collect(stream_io *io, uint64_t wait_ns) {
    struct kevent events[STREAM__IO_BATCH];
    struct timespec timeout;
    int i, n;
    /* Some systems refuse what is longer than a day; that is as good as any. */
    if (wait_ns != STREAM_FOREVER && wait_ns > UINT64_C(86400000000000)) wait_ns = UINT64_C(86400000000000);
    timeout.tv_sec = (time_t)(wait_ns / 1000000000);
    timeout.tv_nsec = (long)(wait_ns % 1000000000);
    n = STREAM_SYS_KEVENT(io->fd, NULL, 0, events, STREAM__IO_BATCH,
                          wait_ns == STREAM_FOREVER ? NULL : &timeout);
    if (n < 0) {
        io->os_error = errno;
        return errno == EINTR ? STREAM_EMPTY : STREAM_E_IO;
    }
    for (i = 0; i < n; i++) {
        stream_io_file *file = (stream_io_file *)(uintptr_t)events[i].udata;
        bool over = (events[i].flags & (EV_EOF | EV_ERROR)) != 0;
        unsigned lanes = over ? 1u << STREAM__IN | 1u << STREAM__OUT : 0;
        if (!file) {
            if (io->wake_read >= 0) stream__io_wake_drain(io);
            continue;
        }
        lanes |= events[i].filter == EVFILT_READ ? 1u << STREAM__IN : 1u << STREAM__OUT;
        stream__io_edge(io, file, lanes, over, stream__kqueue_watch);
    }
    return STREAM_OK;
}

static void stream__kqueue_wake(stream_io *io) {
#if defined(EVFILT_USER) && defined(NOTE_TRIGGER)
    int saved = errno; /* a signal handler must not disturb it */
    (void)stream__kqueue_change(io, 0, EVFILT_USER, 0, NOTE_TRIGGER, NULL);
    errno = saved;
#else
    stream__io_wake_write(io);
#endif
}

static const stream__io_backend stream__io_kqueue = {
    "kqueue", stream__kqueue_init, stream__kqueue_free, stream__kqueue_attach, stream__kqueue_detach,
    stream__kqueue_start, stream__io_cancel_none, stream__kqueue_collect, stream__kqueue_wake};
#endif

#if STREAM_IO_URING
/* ---- io_uring, by raw system calls ----
   The queue of submissions is empty but for the duration of a flush: what the kernel did not take is rolled
   back into the lanes. So nothing that names a descriptor is left anywhere once it is closed. */

#ifndef STREAM_SYS_URING_SETUP
#define STREAM_SYS_URING_SETUP(entries, params) (int)syscall(__NR_io_uring_setup, entries, params)
#endif
#ifndef STREAM_SYS_URING_REGISTER
#define STREAM_SYS_URING_REGISTER(fd, code, arg, count) \
    (int)syscall(__NR_io_uring_register, fd, code, arg, count)
#endif
#ifndef STREAM_SYS_URING_ENTER
#define STREAM_SYS_URING_ENTER(fd, submit, want, flags, arg, len) \
    (int)syscall(__NR_io_uring_enter, fd, submit, want, flags, arg, len)
#endif

/* The last argument of a submission comes back with its completion: an operation, with bit 0 set the
   request to cancel it, or this one. */
#define STREAM__URING_WAKE UINT64_C(2)

static int stream__uring_setup(stream_io *io, unsigned entries, unsigned flags, struct io_uring_params *p) {
    memset(p, 0, sizeof *p);
    p->flags = (uint32_t)IORING_SETUP_CLAMP | flags;
    io->fd = STREAM_SYS_URING_SETUP(entries, p);
    return io->fd < 0 ? errno : 0;
}

static void stream__uring_unmap(stream_io *io) {
    if (io->ring.rings) (void)munmap(io->ring.rings, io->ring.rings_len);
    if (io->ring.entries) (void)munmap(io->ring.entries, io->ring.entries_len);
    (void)close(io->fd);
    stream__io_wake_close(io);
}

static stream_status stream__uring_init(stream_io *io, const stream_io_desc *desc) {
    const uint32_t features = (uint32_t)IORING_FEAT_SINGLE_MMAP | (uint32_t)IORING_FEAT_NODROP |
                              (uint32_t)IORING_FEAT_SUBMIT_STABLE | (uint32_t)IORING_FEAT_RW_CUR_POS |
                              (uint32_t)IORING_FEAT_EXT_ARG;
    stream__io_ring *ring = &io->ring;
    struct io_uring_params p;
    size_t cq_end;
    char *base;
    uint32_t i;
    int error;
    /* Completions are worked off when we ask for them instead of interrupting us: a kernel of 6.1 or later.
       That binds the ring to one thread, the first to wait; until then it is disabled. */
#if defined(IORING_SETUP_DEFER_TASKRUN) && defined(IORING_SETUP_SINGLE_ISSUER)
    error = stream__uring_setup(io, desc->entries,
                                (uint32_t)IORING_SETUP_SINGLE_ISSUER | (uint32_t)IORING_SETUP_DEFER_TASKRUN |
                                    (uint32_t)IORING_SETUP_R_DISABLED,
                                &p);
    ring->disabled = error == 0;
    if (error == EINVAL)
#endif
        error = stream__uring_setup(io, desc->entries, 0, &p);
    if (error == 0 && (p.features & features) != features) {
        (void)close(io->fd);
        io->fd = -1;
        error = ENOSYS;
    }
    if (error) {
        io->os_error = error;
        return STREAM_E_IO;
    }
    cq_end = p.cq_off.cqes + (size_t)p.cq_entries * sizeof(struct io_uring_cqe);
    ring->rings_len = p.sq_off.array + (size_t)p.sq_entries * sizeof(uint32_t);
    if (ring->rings_len < cq_end) ring->rings_len = cq_end;
    ring->entries_len = (size_t)p.sq_entries * sizeof(struct io_uring_sqe);
    ring->rings = mmap(NULL, ring->rings_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, io->fd,
                       (off_t)IORING_OFF_SQ_RING);
    if (ring->rings == MAP_FAILED) ring->rings = NULL;
    ring->entries = mmap(NULL, ring->entries_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, io->fd,
                         (off_t)IORING_OFF_SQES);
    if (ring->entries == MAP_FAILED) ring->entries = NULL;
    if (!ring->rings || !ring->entries || stream__io_wake_open(io) != STREAM_OK) {
        io->os_error = errno;
        stream__uring_unmap(io);
        return STREAM_E_IO;
    }
    base = (char *)ring->rings;
    ring->sq_head = (uint32_t *)(void *)(base + p.sq_off.head);
    ring->sq_tail = (uint32_t *)(void *)(base + p.sq_off.tail);
    ring->cq_head = (uint32_t *)(void *)(base + p.cq_off.head);
    ring->cq_tail = (uint32_t *)(void *)(base + p.cq_off.tail);
    ring->cqes = base + p.cq_off.cqes;
    ring->sq_len = p.sq_entries;
    ring->sq_mask = p.sq_entries - 1;
    ring->cq_mask = p.cq_entries - 1;
    for (i = 0; i < p.sq_entries; i++) ((uint32_t *)(void *)(base + p.sq_off.array))[i] = i;
    return STREAM_OK;
}

static struct io_uring_sqe *stream__uring_entry(stream_io *io, uint32_t at) {
    return (struct io_uring_sqe *)io->ring.entries + (at & io->ring.sq_mask);
}

/* Hands the kernel what is in the queue, and with wait_ns above 0 sleeps until something is done. 0 or an
   error number; what was not taken is back in its lane. */
static int stream__uring_enter(stream_io *io, uint64_t wait_ns) {
    stream__io_ring *ring = &io->ring;
    uint32_t head = __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE), count = ring->tail - head;
    struct io_uring_getevents_arg arg;
    struct __kernel_timespec timeout;
    int n, error = 0;
    if (ring->disabled) {
        if (STREAM_SYS_URING_REGISTER(io->fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) != 0) error = errno;
        ring->disabled = error != 0;
    }
    memset(&arg, 0, sizeof arg);
    if (wait_ns != STREAM_FOREVER) {
        timeout.tv_sec = (long long)(wait_ns / 1000000000);
        timeout.tv_nsec = (long long)(wait_ns % 1000000000);
        arg.ts = (uint64_t)(uintptr_t)&timeout;
    }
    __atomic_store_n(ring->sq_tail, ring->tail, __ATOMIC_RELEASE);
    n = error ? -1
              : STREAM_SYS_URING_ENTER(io->fd, count, wait_ns > 0 ? 1u : 0u,
                                       (uint32_t)IORING_ENTER_GETEVENTS | (uint32_t)IORING_ENTER_EXT_ARG,
                                       &arg, sizeof arg);
    if (n < 0 && error == 0) error = errno;
    head = __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
    while (ring->tail != head) {
        uint64_t user = stream__uring_entry(io, --ring->tail)->user_data;
        stream_io_op *op = (stream_io_op *)(uintptr_t)(user & ~UINT64_C(1));
        if (user == STREAM__URING_WAKE) {
            ring->polling = false;
            continue;
        }
        if (user & 1) {
            op->stage &= (uint8_t)~STREAM__STAGE_CANCELLED;
        } else {
            op->state = STREAM__OP_QUEUED;
            ring->active--;
        }
        stream__io_dirty(io, op->file);
    }
    __atomic_store_n(ring->sq_tail, ring->tail, __ATOMIC_RELEASE);
    return error == ETIME ? 0 : error;
}

/* Room for one more submission, zeroed; NULL when the kernel takes none now. */
static struct io_uring_sqe *stream__uring_next(stream_io *io) {
    struct io_uring_sqe *entry;
    if (io->ring.tail - __atomic_load_n(io->ring.sq_head, __ATOMIC_ACQUIRE) == io->ring.sq_len &&
        stream__uring_enter(io, 0) != 0)
        return NULL;
    entry = stream__uring_entry(io, io->ring.tail);
    memset(entry, 0, sizeof *entry);
    return entry;
}

static void stream__uring_poll_entry(struct io_uring_sqe *entry, int fd, int events) {
    entry->opcode = IORING_OP_POLL_ADD;
    entry->fd = fd;
    entry->poll32_events = (uint32_t)events;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    entry->poll32_events = (uint32_t)events << 16 | (uint32_t)events >> 16; /* its halves are swapped */
#endif
}

static void stream__uring_write_entry(struct io_uring_sqe *entry, const stream_io_file *file,
                                      stream_io_op *op) {
    const stream_slice *part = op->parts + op->part;
    size_t rest = op->count - op->part;
    bool socket = (file->flags & STREAM__FD_SOCKET) != 0;
    if (rest == 1 || op->part_done > 0) {
        size_t len = part->len - op->part_done;
        entry->opcode = socket ? IORING_OP_SEND : IORING_OP_WRITE;
        entry->addr = (uint64_t)(uintptr_t)(part->ptr + op->part_done);
        entry->len = len < (size_t)INT32_MAX ? (uint32_t)len : (uint32_t)INT32_MAX;
    } else {
        struct iovec *v = (struct iovec *)(uintptr_t)part;
        if (rest > 1024) rest = 1024;
        if (socket) {
            struct msghdr *message = (struct msghdr *)(void *)op->os;
            memset(message, 0, sizeof *message);
            message->msg_iov = v;
            message->msg_iovlen = (unsigned short)rest;
            entry->opcode = IORING_OP_SENDMSG;
            entry->addr = (uint64_t)(uintptr_t)message;
            entry->len = 1;
        } else {
            entry->opcode = IORING_OP_WRITEV;
            entry->addr = (uint64_t)(uintptr_t)v;
            entry->len = (uint32_t)rest;
        }
    }
    if (socket) entry->msg_flags = MSG_NOSIGNAL;
    else entry->off = UINT64_MAX; /* at the file's own position */
}

static void stream__uring_fill(struct io_uring_sqe *entry, const stream_io_file *file, stream_io_op *op) {
    int lane = stream__io_lane(op);
    entry->fd = file->own;
    if (op->stage & STREAM__STAGE_POLLING) {
        stream__uring_poll_entry(entry, file->own, lane == STREAM__IN ? POLLIN : POLLOUT);
        return;
    }
    switch (op->verb) {
    case STREAM_IO_READ:
        entry->opcode = file->flags & STREAM__FD_SOCKET ? IORING_OP_RECV : IORING_OP_READ;
        entry->addr = (uint64_t)(uintptr_t)op->one.ptr;
        entry->len = (uint32_t)op->one.len;
        if (!(file->flags & STREAM__FD_SOCKET)) entry->off = UINT64_MAX;
        break;
    case STREAM_IO_WRITE: stream__uring_write_entry(entry, file, op); break;
    case STREAM_IO_ACCEPT:
        entry->opcode = IORING_OP_ACCEPT;
        entry->accept_flags = (uint32_t)SOCK_CLOEXEC | (uint32_t)SOCK_NONBLOCK;
        break;
    case STREAM_IO_CONNECT:
        entry->opcode = IORING_OP_CONNECT;
        entry->addr = (uint64_t)(uintptr_t)op->one.ptr;
        entry->off = op->one.len;
        break;
    default: stream__uring_poll_entry(entry, file->own, stream__os_poll_mask(op)); break;
    }
}

/* Fills the queue from the files that have something to submit. */
static void stream__uring_flush(stream_io *io) {
    stream_io_file *file;
    while ((file = io->dirty) != NULL) {
        int lane;
        stream__io_clean(io, file); /* first: what is rolled back makes it dirty again */
        for (lane = 0; lane < STREAM__LANES; lane++) {
            stream_io_op *op = file->head[lane];
            bool cancel = op && op->state == STREAM__OP_ACTIVE;
            struct io_uring_sqe *entry;
            if (!op || (cancel && (op->stage & (STREAM__STAGE_CANCEL | STREAM__STAGE_CANCELLED)) !=
                                      STREAM__STAGE_CANCEL))
                continue;
            if (!cancel && op->verb == STREAM_IO_WRITE && op->part == op->count) {
                stream__io_finish(io, op, STREAM_OK, 0); /* of nothing */
                lane--;
                continue;
            }
            if (!cancel && op->verb == STREAM_IO_POLL && (file->flags & STREAM__FD_FREE)) {
                /* The kernel refuses to poll these, which never wait. */
                op->events = stream__os_events(stream__os_poll_mask(op));
                if (op->events == 0) continue;
                stream__io_finish(io, op, STREAM_OK, 0);
                lane--;
                continue;
            }
            entry = stream__uring_next(io);
            if (!entry) {
                stream__io_dirty(io, file);
                return;
            }
            entry->user_data = (uint64_t)(uintptr_t)op;
            if (cancel) {
                entry->opcode = IORING_OP_ASYNC_CANCEL;
                entry->fd = -1;
                entry->addr = entry->user_data;
                entry->user_data |= 1;
                op->stage |= STREAM__STAGE_CANCELLED;
            } else {
                stream__uring_fill(entry, file, op);
                op->state = STREAM__OP_ACTIVE;
                io->ring.active++;
            }
            io->ring.tail++;
        }
    }
}

/* A stream_slice is laid out as an iovec is. */
typedef char stream__slice_is_iovec[sizeof(struct iovec) == sizeof(stream_slice) &&
                                            offsetof(struct iovec, iov_base) == offsetof(stream_slice, ptr) &&
                                            offsetof(struct iovec, iov_len) == offsetof(stream_slice, len)
                                        ? 1
                                        : -1];

/* What an operation came to; false: not done yet, submit it (again). */
static bool stream__uring_result(stream_io *io, stream_io_op *op, int result) {
    stream_io_file *file = op->file;
    bool cancel = (op->stage & STREAM__STAGE_CANCEL) != 0, polled = (op->stage & STREAM__STAGE_POLLING) != 0;
    op->state = STREAM__OP_QUEUED;
    op->stage &= (uint8_t)~STREAM__STAGE_POLLING;
    if (result == -ECANCELED || (cancel && (polled || result == -EINTR || result == -EAGAIN))) {
        stream__io_finish(io, op, STREAM_CANCELLED, 0);
        return true;
    }
    if (result == -EINTR || (result >= 0 && polled)) return false;
    if (result == -EAGAIN && op->verb != STREAM_IO_CONNECT) { /* O_NONBLOCK: it does not wait for us */
        op->stage |= STREAM__STAGE_POLLING;
        return false;
    }
    if (result == -EIO && op->verb == STREAM_IO_READ && (file->flags & STREAM__FD_TERMINAL)) result = 0;
    if (result < 0) {
        if (op->verb == STREAM_IO_ACCEPT && result == -ECONNABORTED) return false;
        if (op->verb == STREAM_IO_POLL && result == -EOPNOTSUPP) { /* a device that never waits */
            file->flags |= STREAM__FD_FREE;
            return false;
        }
        stream__io_finish(io, op, STREAM_E_IO, -result);
        return true;
    }
    switch (op->verb) {
    case STREAM_IO_READ:
        op->bytes = (size_t)result;
        stream__io_finish(io, op,
                          result > 0 || (file->flags & STREAM__FD_DATAGRAM) ? STREAM_OK : STREAM_END, 0);
        return true;
    case STREAM_IO_WRITE:
        if (result == 0) {
            stream__io_finish(io, op, STREAM_E_IO, EIO);
        } else if (stream__io_advance(op, (size_t)result)) {
            stream__io_finish(io, op, STREAM_OK, 0);
        } else {
            if (!cancel) return false;
            stream__io_finish(io, op, STREAM_CANCELLED, 0);
        }
        return true;
    case STREAM_IO_ACCEPT: op->fd = result; break;
    case STREAM_IO_POLL:
        op->events = stream__os_events(result);
        if (op->events == 0) return false;
        break;
    default: break;
    }
    stream__io_finish(io, op, STREAM_OK, 0);
    return true;
}

/* Takes what is done out of the completion queue; how many. */
static uint32_t stream__uring_reap(stream_io *io) {
    stream__io_ring *ring = &io->ring;
    uint32_t head = *ring->cq_head, tail = __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE),
             count = tail - head;
    for (; head != tail; head++) {
        const struct io_uring_cqe *entry = (const struct io_uring_cqe *)ring->cqes + (head & ring->cq_mask);
        stream_io_op *op;
        stream_io_file *file;
        int lane;
        if (entry->user_data & 1) continue; /* what became of it, the operation itself says */
        if (entry->user_data == STREAM__URING_WAKE) {
            ring->polling = false;
            stream__io_wake_drain(io);
            continue;
        }
        op = (stream_io_op *)(uintptr_t)entry->user_data;
        file = op->file;
        lane = stream__io_lane(op);
        ring->active--;
        if (!stream__uring_result(io, op, entry->res) && !(file->flags & STREAM__FD_ATTACHED))
            stream__io_finish(io, op, STREAM_CANCELLED, 0); /* to be done again, but on what? */
        if (file->head[lane]) stream__io_dirty(io, file);
    }
    __atomic_store_n(ring->cq_head, tail, __ATOMIC_RELEASE);
    return count;
}

static stream_status stream__uring_collect(stream_io *io, uint64_t wait_ns) {
    stream__io_ring *ring = &io->ring;
    int error;
    if (!ring->polling && wait_ns > 0) {
        struct io_uring_sqe *entry = stream__uring_next(io);
        if (entry) {
            stream__uring_poll_entry(entry, io->wake_read, POLLIN);
            entry->user_data = STREAM__URING_WAKE;
            ring->polling = true;
            ring->tail++;
        }
    }
    stream__uring_flush(io);
    /* A write of nothing is done already; and without the wake descriptor nobody may sleep. */
    if (io->done || !ring->polling || *ring->cq_head != __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE))
        wait_ns = 0;
    error = stream__uring_enter(io, wait_ns);
    if (stream__uring_reap(io) > 0 || error == 0) return STREAM_OK;
    io->os_error = error;
    return error == EINTR ? STREAM_EMPTY : STREAM_E_IO;
}

static stream_status stream__uring_attach(stream_io *io, stream_io_file *file) {
    io->os_error = stream__os_flags(file->fd, &file->flags);
    return io->os_error ? STREAM_E_IO : STREAM_OK;
}

static void stream__uring_start(stream_io *io, stream_io_file *file, int lane) {
    (void)lane;
    stream__io_dirty(io, file);
}

static void stream__uring_cancel(stream_io *io, stream_io_op *op) { stream__io_dirty(io, op->file); }

/* The kernel keeps the descriptors of what it works on alive, and is told now to stop. If it takes no
   submissions now, the request stays with the file, which names no descriptor, and goes with the next flush.
   */
static void stream__uring_detach(stream_io *io, stream_io_file *file) {
    if (!file->head[STREAM__IN] && !file->head[STREAM__OUT] && !file->head[STREAM__WATCH]) {
        stream__io_clean(io, file);
        return;
    }
    stream__io_dirty(io, file);
    stream__uring_flush(io);
    (void)stream__uring_enter(io, 0);
}

static void stream__uring_free(stream_io *io) {
    int tries = 0;
    /* Until it has let go of every buffer; a kernel that keeps refusing to be asked is left alone. */
    while (io->ring.active > 0 && tries < 1000) {
        if (stream__uring_collect(io, UINT64_C(100000000)) < 0) tries++;
    }
    stream__uring_unmap(io);
}

static const stream__io_backend stream__io_uring = {
    "io_uring", stream__uring_init, stream__uring_free, stream__uring_attach, stream__uring_detach,
    stream__uring_start, stream__uring_cancel, stream__uring_collect, stream__io_wake_write};
#endif

#if STREAM_IO_IOCP
/* ---- I/O completion ports ----
   What was not opened for overlapped work (a console, an anonymous pipe, inherited standard handles), or
   belongs to another port already, cannot be given to ours: a thread of the system's pool waits in the call
   instead, and posts what it came to. */

/* In op->os: the system's part, then what an accept wants to have beside, or a worker. */
typedef struct stream__iocp_part {
    OVERLAPPED overlapped;
    union {
        char addresses[2 * (sizeof(struct sockaddr_in6) + 16)];
        struct {
            HANDLE thread, port;
            volatile LONG stage; /* 0 not begun, 1 in the call, 2 over, or cancelled before it began */
            DWORD error;
        } work;
    } u;
} stream__iocp_part;

typedef char stream__iocp_part_fits[sizeof(stream__iocp_part) <= sizeof(((stream_io_op *)0)->os) ? 1 : -1];

static stream__iocp_part *stream__iocp_part_of(stream_io_op *op) {
    return (stream__iocp_part *)(void *)op->os;
}

static stream_io_op *stream__iocp_op(OVERLAPPED *overlapped) {
    return (stream_io_op *)(void *)((char *)overlapped - offsetof(stream_io_op, os));
}

static stream_status stream__iocp_init(stream_io *io, const stream_io_desc *desc) {
    WSADATA data;
    HANDLE port;
    int error = WSAStartup(MAKEWORD(2, 2), &data);
    (void)desc;
    if (error) {
        io->os_error = error;
        return STREAM_E_IO;
    }
    port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
    if (!port) {
        io->os_error = (int)GetLastError();
        WSACleanup();
        return STREAM_E_IO;
    }
    io->fd = (stream_fd)port;
    return STREAM_OK;
}

static stream_status stream__iocp_attach(stream_io *io, stream_io_file *file) {
    int type = 0, len = (int)sizeof type;
    if (getsockopt((SOCKET)file->fd, SOL_SOCKET, SO_TYPE, (char *)&type, &len) == 0) {
        file->flags = STREAM__FD_SOCKET | (type == SOCK_DGRAM ? (uint32_t)STREAM__FD_DATAGRAM : 0u);
        /* Refused when it was associated before, with this port as we take it. */
        (void)CreateIoCompletionPort((HANDLE)file->fd, (HANDLE)io->fd, 0, 0);
        return STREAM_OK;
    }
    SetLastError(NO_ERROR);
    switch (file->fd == -1 ? FILE_TYPE_UNKNOWN : GetFileType((HANDLE)file->fd)) {
    case FILE_TYPE_DISK: file->flags = STREAM__FD_FREE; break;
    case FILE_TYPE_PIPE: file->flags = STREAM__FD_PIPE; break;
    case FILE_TYPE_CHAR: file->flags = STREAM__FD_TERMINAL; break;
    default:
        io->os_error = GetLastError() ? (int)GetLastError() : ERROR_INVALID_HANDLE;
        return STREAM_E_IO;
    }
    if (CreateIoCompletionPort((HANDLE)file->fd, (HANDLE)io->fd, 0, 0)) file->flags |= STREAM__FD_NONBLOCK;
    return STREAM_OK;
}

/* In a thread of the pool. */
static DWORD WINAPI stream__iocp_work(void *arg) {
    stream_io_op *op = (stream_io_op *)arg;
    stream__iocp_part *part = stream__iocp_part_of(op);
    HANDLE port = part->u.work.port;
    DWORD n = 0;
    (void)DuplicateHandle(GetCurrentProcess(), GetCurrentThread(), GetCurrentProcess(),
                          &part->u.work.thread, 0, FALSE, DUPLICATE_SAME_ACCESS);
    if (InterlockedCompareExchange(&part->u.work.stage, 1, 0) != 0) {
        part->u.work.error = ERROR_OPERATION_ABORTED;
    } else {
        HANDLE handle = (HANDLE)op->file->own, event = NULL;
        OVERLAPPED *overlapped = NULL;
        BOOL ok;
        if (op->file->flags & STREAM__FD_PIPE) {
            /* Overlapped or not, it takes one of these; the low bit keeps other ports out of it. */
            event = CreateEventW(NULL, TRUE, FALSE, NULL);
            overlapped = event ? &part->overlapped : NULL;
            part->overlapped.hEvent = (HANDLE)((uintptr_t)event | 1);
        }
        if (op->verb == STREAM_IO_READ) {
            ok = ReadFile(handle, (void *)(uintptr_t)op->one.ptr, (DWORD)op->one.len, &n, overlapped);
        } else {
            const stream_slice *piece = op->parts + op->part;
            size_t len = piece->len - op->part_done;
            ok = WriteFile(handle, piece->ptr + op->part_done, len < 65536 ? (DWORD)len : 65536, &n,
                           overlapped);
        }
        if (!ok && overlapped && (GetLastError() == ERROR_IO_PENDING || GetLastError() == ERROR_MORE_DATA))
            ok = GetOverlappedResult(handle, overlapped, &n, TRUE);
        part->u.work.error = ok ? NO_ERROR : GetLastError();
        if (event) (void)CloseHandle(event);
        InterlockedExchange(&part->u.work.stage, 2);
    }
    PostQueuedCompletionStatus(port, n, 1, &part->overlapped);
    return 0;
}

static DWORD stream__iocp_accept(stream_io_file *file, stream_io_op *op) {
    stream__iocp_part *part = stream__iocp_part_of(op);
    struct sockaddr_storage address;
    int len = (int)sizeof address;
    GUID id = WSAID_ACCEPTEX;
    LPFN_ACCEPTEX accept_ex = NULL;
    DWORD n = 0;
    SOCKET s;
    if (getsockname((SOCKET)file->own, (struct sockaddr *)(void *)&address, &len) != 0 ||
        WSAIoctl((SOCKET)file->own, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof id, &accept_ex,
                 sizeof accept_ex, &n, NULL, NULL) != 0)
        return (DWORD)WSAGetLastError();
    s = WSASocketW(address.ss_family, SOCK_STREAM, 0, NULL, 0,
                   WSA_FLAG_OVERLAPPED | 0x80 /* not inherited */);
    if (s == INVALID_SOCKET) return (DWORD)WSAGetLastError();
    op->fd = (stream_fd)s;
    n = (DWORD)(sizeof part->u.addresses / 2);
    if (accept_ex((SOCKET)file->own, s, part->u.addresses, 0, n, n, &n, &part->overlapped)) return NO_ERROR;
    return (DWORD)WSAGetLastError();
}

static DWORD stream__iocp_connect(stream_io_file *file, stream_io_op *op) {
    const struct sockaddr *address = (const struct sockaddr *)(const void *)op->one.ptr;
    struct sockaddr_storage any;
    GUID id = WSAID_CONNECTEX;
    LPFN_CONNECTEX connect_ex = NULL;
    DWORD n = 0;
    memset(&any, 0, sizeof any);
    memcpy(&any.ss_family, &address->sa_family, sizeof any.ss_family); /* of different types, the same size */
    /* It insists on a bound socket; one that is already is fine. */
    (void)bind((SOCKET)file->own, (struct sockaddr *)(void *)&any, (int)op->one.len);
    if (WSAIoctl((SOCKET)file->own, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof id, &connect_ex,
                 sizeof connect_ex, &n, NULL, NULL) != 0)
        return (DWORD)WSAGetLastError();
    if (connect_ex((SOCKET)file->own, address, (int)op->one.len, NULL, 0, &n,
                   &stream__iocp_part_of(op)->overlapped))
        return NO_ERROR;
    return (DWORD)WSAGetLastError();
}

/* Gives the system a read or a write. */
static DWORD stream__iocp_transfer(stream_io_file *file, stream_io_op *op) {
    OVERLAPPED *overlapped = &stream__iocp_part_of(op)->overlapped;
    DWORD n = 0;
    BOOL ok;
    if (file->flags & STREAM__FD_SOCKET) {
        WSABUF v[16];
        DWORD used = 0, flags = 0;
        int result;
        if (op->verb == STREAM_IO_READ) {
            v[0].buf = (char *)(uintptr_t)op->one.ptr;
            v[0].len = (ULONG)op->one.len;
            result = WSARecv((SOCKET)file->own, v, 1, NULL, &flags, overlapped, NULL);
        } else {
            size_t i, skip = op->part_done;
            for (i = op->part; i < op->count && used < 16; i++, used++, skip = 0) {
                size_t len = op->parts[i].len - skip;
                v[used].buf = (char *)((uintptr_t)op->parts[i].ptr + skip); /* NULL when it is empty */
                v[used].len = len < (size_t)INT32_MAX ? (ULONG)len : (ULONG)INT32_MAX;
                if (v[used].len < len) {
                    used++;
                    break;
                }
            }
            result = WSASend((SOCKET)file->own, v, used, NULL, 0, overlapped, NULL);
        }
        return result == 0 ? NO_ERROR : (DWORD)WSAGetLastError();
    }
    if (!(file->flags & STREAM__FD_NONBLOCK)) {
        overlapped = NULL; /* from where the handle stands, which others may share, and moving it */
    } else if (file->flags & STREAM__FD_FREE) { /* an overlapped one stands nowhere: from the beginning */
        overlapped->Offset = (DWORD)file->position;
        overlapped->OffsetHigh = (DWORD)(file->position >> 32);
    }
    if (op->verb == STREAM_IO_READ) {
        ok = ReadFile((HANDLE)file->own, (void *)(uintptr_t)op->one.ptr, (DWORD)op->one.len,
                      overlapped ? NULL : &n, overlapped);
    } else {
        const stream_slice *piece = op->parts + op->part;
        size_t len = piece->len - op->part_done;
        ok = WriteFile((HANDLE)file->own, piece->ptr + op->part_done,
                       len < (size_t)INT32_MAX ? (DWORD)len : (DWORD)INT32_MAX, overlapped ? NULL : &n,
                       overlapped);
    }
    if (!overlapped) stream__iocp_part_of(op)->overlapped.InternalHigh = n;
    return ok ? NO_ERROR : GetLastError();
}

static void stream__iocp_result(stream_io *io, stream_io_op *op, DWORD error, size_t n);

static void stream__iocp_start(stream_io *io, stream_io_file *file, int lane) {
    stream_io_op *op;
    while ((op = file->head[lane]) != NULL && op->state == STREAM__OP_QUEUED) {
        stream__iocp_part *part = stream__iocp_part_of(op);
        bool ported = (file->flags & (STREAM__FD_SOCKET | STREAM__FD_NONBLOCK)) != 0;
        DWORD error = NO_ERROR;
        if (op->verb == STREAM_IO_POLL ||
            ((op->verb == STREAM_IO_ACCEPT || op->verb == STREAM_IO_CONNECT) &&
             !(file->flags & STREAM__FD_SOCKET))) {
            stream__io_finish(io, op, STREAM_E_TYPE, 0);
            continue;
        }
        if (op->verb == STREAM_IO_WRITE && op->part == op->count) {
            stream__io_finish(io, op, STREAM_OK, 0);
            continue;
        }
        memset(part, 0, sizeof *part);
        op->state = STREAM__OP_ACTIVE;
        io->ring.active++;
        if (!ported && !(file->flags & STREAM__FD_FREE)) {
            part->u.work.port = (HANDLE)io->fd;
            if (QueueUserWorkItem(stream__iocp_work, op, WT_EXECUTELONGFUNCTION)) return;
            error = GetLastError();
        } else if (op->verb == STREAM_IO_ACCEPT) {
            error = stream__iocp_accept(file, op);
        } else if (op->verb == STREAM_IO_CONNECT) {
            error = stream__iocp_connect(file, op);
        } else {
            error = stream__iocp_transfer(file, op);
        }
        /* A port hears of success, too, also when there was no wait. */
        if (ported && (error == NO_ERROR || error == ERROR_IO_PENDING || error == ERROR_MORE_DATA)) return;
        io->ring.active--;
        op->state = STREAM__OP_QUEUED;
        stream__iocp_result(io, op, error, error == NO_ERROR ? (size_t)part->overlapped.InternalHigh : 0);
    }
}

static bool stream__iocp_ended(DWORD error) {
    return error == ERROR_HANDLE_EOF || error == ERROR_BROKEN_PIPE || error == ERROR_PIPE_NOT_CONNECTED;
}

/* What an operation, in its lane and no longer ACTIVE, came to; a write may go on. */
static void stream__iocp_result(stream_io *io, stream_io_op *op, DWORD error, size_t n) {
    stream_io_file *file = op->file;
    bool attached = (file->flags & STREAM__FD_ATTACHED) != 0;
    if (file->flags & STREAM__FD_FREE) file->position += n;
    if (error == ERROR_MORE_DATA && op->verb == STREAM_IO_READ) error = NO_ERROR;
    if (op->verb == STREAM_IO_READ && error == NO_ERROR) op->bytes = n;
    if (op->verb == STREAM_IO_WRITE && !stream__io_advance(op, n) && error == NO_ERROR) {
        if (attached && !(op->stage & STREAM__STAGE_CANCEL) && n > 0) return;
        error = n > 0 ? ERROR_OPERATION_ABORTED : ERROR_WRITE_FAULT;
    }
    if (op->verb == STREAM_IO_ACCEPT && op->fd != -1 && (error || !attached)) {
        (void)closesocket((SOCKET)op->fd);
        op->fd = -1;
    }
    if (!attached || (error == ERROR_OPERATION_ABORTED && (op->stage & STREAM__STAGE_CANCEL))) {
        stream__io_finish(io, op, STREAM_CANCELLED, 0);
    } else if (op->verb == STREAM_IO_READ &&
               (stream__iocp_ended(error) ||
                (error == NO_ERROR && n == 0 && !(file->flags & STREAM__FD_DATAGRAM)))) {
        stream__io_finish(io, op, STREAM_END, 0);
    } else if (error) {
        stream__io_finish(io, op, STREAM_E_IO, (int)error);
    } else {
        if (op->verb == STREAM_IO_ACCEPT) {
            SOCKET listener = (SOCKET)file->own;
            (void)setsockopt((SOCKET)op->fd, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, (const char *)&listener,
                             (int)sizeof listener);
        } else if (op->verb == STREAM_IO_CONNECT) {
            (void)setsockopt((SOCKET)file->own, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, NULL, 0);
        }
        stream__io_finish(io, op, STREAM_OK, 0);
    }
}

static void stream__iocp_cancel(stream_io *io, stream_io_op *op) {
    stream__iocp_part *part = stream__iocp_part_of(op);
    (void)io;
    if (op->file->flags & (STREAM__FD_SOCKET | STREAM__FD_NONBLOCK)) {
        (void)CancelIoEx((HANDLE)op->file->own, &part->overlapped);
        return;
    }
    if (InterlockedCompareExchange(&part->u.work.stage, 2, 0) == 0) return; /* before it began */
    /* In the call, or on its way in or out: a few instructions, so this does not go round often. */
    while (InterlockedCompareExchange(&part->u.work.stage, 1, 1) == 1 &&
           !CancelSynchronousIo(part->u.work.thread) &&
           !CancelIoEx((HANDLE)op->file->own, &part->overlapped)) {
        if (GetLastError() != ERROR_NOT_FOUND) break;
        SwitchToThread();
    }
}

static void stream__iocp_detach(stream_io *io, stream_io_file *file) {
    int lane;
    for (lane = 0; lane < STREAM__LANES; lane++)
        if (file->head[lane]) stream__iocp_cancel(io, file->head[lane]);
}

static stream_status stream__iocp_collect(stream_io *io, uint64_t wait_ns) {
    OVERLAPPED_ENTRY entries[STREAM__IO_BATCH];
    ULONG i, n = 0;
    DWORD ms = wait_ns == STREAM_FOREVER ? INFINITE : (DWORD)stream__io_ms(wait_ns);
    if (!GetQueuedCompletionStatusEx((HANDLE)io->fd, entries, STREAM__IO_BATCH, &n, ms, FALSE)) {
        if (GetLastError() == WAIT_TIMEOUT) return STREAM_OK;
        io->os_error = (int)GetLastError();
        return STREAM_E_IO;
    }
    for (i = 0; i < n; i++) {
        stream_io_op *op;
        stream_io_file *file;
        DWORD error = NO_ERROR, bytes = entries[i].dwNumberOfBytesTransferred, flags = 0;
        int lane;
        if (!entries[i].lpOverlapped) continue; /* a wake */
        op = stream__iocp_op(entries[i].lpOverlapped);
        file = op->file;
        lane = stream__io_lane(op);
        if (entries[i].lpCompletionKey == 1) {
            stream__iocp_part *part = stream__iocp_part_of(op);
            error = part->u.work.error;
            if (part->u.work.thread) (void)CloseHandle(part->u.work.thread);
        } else if (!(file->flags & STREAM__FD_ATTACHED)) {
            error = ERROR_OPERATION_ABORTED;
        } else if (file->flags & STREAM__FD_SOCKET) {
            if (!WSAGetOverlappedResult((SOCKET)file->own, entries[i].lpOverlapped, &bytes, FALSE, &flags))
                error = (DWORD)WSAGetLastError();
        } else if (!GetOverlappedResult((HANDLE)file->own, entries[i].lpOverlapped, &bytes, FALSE)) {
            error = GetLastError();
        }
        io->ring.active--;
        op->state = STREAM__OP_QUEUED;
        stream__iocp_result(io, op, error, bytes);
        if (file->flags & STREAM__FD_ATTACHED) stream__iocp_start(io, file, lane);
    }
    return STREAM_OK;
}

static void stream__iocp_wake(stream_io *io) { (void)PostQueuedCompletionStatus((HANDLE)io->fd, 0, 0, NULL); }

static void stream__iocp_free(stream_io *io) {
    int tries = 0;
    while (io->ring.active > 0 && tries < 1000)
        if (stream__iocp_collect(io, UINT64_C(100000000)) < 0) tries++;
    (void)CloseHandle((HANDLE)io->fd);
    WSACleanup();
}

static const stream__io_backend stream__io_iocp = {
    "iocp", stream__iocp_init, stream__iocp_free, stream__iocp_attach, stream__iocp_detach,
    stream__iocp_start, stream__iocp_cancel, stream__iocp_collect, stream__iocp_wake};
#endif

/* ---- the verbs ---- */

static const stream__io_backend *const stream__io_backends[] = {
#if STREAM_IO_EPOLL
    &stream__io_epoll,
#endif
#if STREAM_IO_KQUEUE
    &stream__io_kqueue,
#endif
#if STREAM_IO_IOCP
    &stream__io_iocp,
#endif
#if STREAM_IO_URING
    &stream__io_uring,
#endif
#if !defined(_WIN32)
    &stream__io_poll,
#endif
    NULL};

/* The part of a list that ends at a comma. */
static bool stream__io_named(const char *list, const char *name) {
    while (*name && *list == *name) list++, name++;
    return *name == '\0' && (*list == '\0' || *list == ',');
}

STREAM_API stream_status stream_io_init(stream_io *io, const stream_io_desc *desc) {
    stream_io_desc d;
    const char *name;
    stream_status status = STREAM_E_TYPE;
    int os_error = 0;
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    if (d.entries == 0) d.entries = 256;
    for (name = d.backends ? d.backends : ""; status != STREAM_OK;) {
        size_t i;
        for (i = 0; stream__io_backends[i] && status != STREAM_OK; i++) {
            if (d.backends && !stream__io_named(name, stream__io_backends[i]->name)) continue;
            memset(io, 0, sizeof *io);
            io->allocator = d.allocator;
            io->fd = -1;
            io->wake_read = io->wake_write = -1;
            io->backend = stream__io_backends[i];
            status = io->backend->init(io, &d);
            if (status != STREAM_OK) os_error = io->os_error;
        }
        while (*name && *name != ',') name++;
        if (*name == '\0') break;
        name++;
    }
    if (status != STREAM_OK) {
        memset(io, 0, sizeof *io);
        io->os_error = os_error;
    }
    return status;
}

STREAM_API void stream_io_free(stream_io *io) {
    if (!io->backend) return;
    while (io->files) stream_io_detach(io, io->files);
    io->backend->free(io);
    for (; io->done; io->done = io->done->next)
        if (io->done->fd != -1) stream__os_close(io->done->fd, STREAM__FD_SOCKET); /* accepted in vain */
    memset(io, 0, sizeof *io);
}

STREAM_API const char *stream_io_backend(const stream_io *io) {
    return io->backend ? io->backend->name : "none";
}

STREAM_API stream_status stream_io_attach(stream_io *io, stream_io_file *file, stream_fd fd) {
    stream_status status;
    if ((file->flags & STREAM__FD_ATTACHED) || file->pending) return STREAM_E_STATE;
    memset(file, 0, sizeof *file);
    file->fd = file->own = fd;
    status = io->backend->attach(io, file);
    if (status != STREAM_OK) {
        memset(file, 0, sizeof *file);
        file->fd = -1;
        return status;
    }
    file->flags |= STREAM__FD_ATTACHED;
    file->io = io;
    file->next = io->files;
    if (io->files) io->files->prev = file;
    io->files = file;
    return STREAM_OK;
}

STREAM_API void stream_io_detach(stream_io *io, stream_io_file *file) {
    if (!(file->flags & STREAM__FD_ATTACHED)) return;
    stream__io_cancel_all(io, file);
    io->backend->detach(io, file);
    file->flags &= ~(uint32_t)STREAM__FD_ATTACHED;
    file->fd = file->own = -1;
    if (file->prev) file->prev->next = file->next;
    else io->files = file->next;
    if (file->next) file->next->prev = file->prev;
    file->next = file->prev = NULL;
}

STREAM_API void stream_io_close(stream_io *io, stream_io_file *file) {
    stream_fd fd = file->fd;
    uint32_t flags = file->flags;
    if (!(flags & STREAM__FD_ATTACHED)) return;
    stream_io_detach(io, file);
    stream__os_close(fd, flags);
}

static void stream__io_begin(stream_io_op *op, stream_io_verb verb) {
    op->verb = verb;
    op->status = STREAM_OK;
    op->os_error = 0;
    op->events = 0;
    op->bytes = 0;
    op->fd = -1;
    op->next = op->prev = op->child = NULL;
    op->file = NULL;
    op->count = op->part = op->part_done = 0;
    op->stage = 0;
}

static stream_status stream__io_submit(stream_io *io, stream_io_op *op, stream_io_file *file) {
    int lane = stream__io_lane(op);
    op->file = file;
    op->state = STREAM__OP_QUEUED;
    op->prev = file->tail[lane];
    if (op->prev) op->prev->next = op;
    else file->head[lane] = op;
    file->tail[lane] = op;
    file->pending++;
    io->in_flight++;
    if (file->head[lane] == op) io->backend->start(io, file, lane);
    return STREAM_OK;
}

/* Whether op may be submitted for file. */
static bool stream__io_idle(const stream_io *io, const stream_io_op *op, const stream_io_file *file) {
    return op->state == STREAM__OP_IDLE && (file->flags & STREAM__FD_ATTACHED) && file->io == io;
}

STREAM_API stream_status stream_io_read(stream_io *io, stream_io_op *op, stream_io_file *file, void *data,
                                        size_t cap) {
    if (!stream__io_idle(io, op, file)) return STREAM_E_STATE;
    if (cap == 0) return STREAM_E_ARGUMENT;
    stream__io_begin(op, STREAM_IO_READ);
    op->one.ptr = (char *)data;
    op->one.len = cap < (size_t)INT32_MAX ? cap : (size_t)INT32_MAX;
    return stream__io_submit(io, op, file);
}

STREAM_API stream_status stream_io_writev(stream_io *io, stream_io_op *op, stream_io_file *file,
                                          const stream_slice *parts, size_t count) {
    if (!stream__io_idle(io, op, file)) return STREAM_E_STATE;
    stream__io_begin(op, STREAM_IO_WRITE);
    op->parts = parts;
    op->count = count;
    stream__io_advance(op, 0);
    return stream__io_submit(io, op, file);
}

STREAM_API stream_status stream_io_write(stream_io *io, stream_io_op *op, stream_io_file *file,
                                         const void *data, size_t len) {
    if (op->state != STREAM__OP_IDLE) return STREAM_E_STATE;
    op->one.ptr = (const char *)data;
    op->one.len = len;
    return stream_io_writev(io, op, file, &op->one, 1);
}

STREAM_API stream_status stream_io_accept(stream_io *io, stream_io_op *op, stream_io_file *file) {
    if (!stream__io_idle(io, op, file)) return STREAM_E_STATE;
    stream__io_begin(op, STREAM_IO_ACCEPT);
    return stream__io_submit(io, op, file);
}

STREAM_API stream_status stream_io_connect(stream_io *io, stream_io_op *op, stream_io_file *file,
                                           const void *address, size_t len) {
    if (!stream__io_idle(io, op, file)) return STREAM_E_STATE;
    stream__io_begin(op, STREAM_IO_CONNECT);
    op->one.ptr = (const char *)address;
    op->one.len = len;
    return stream__io_submit(io, op, file);
}

STREAM_API stream_status stream_io_poll(stream_io *io, stream_io_op *op, stream_io_file *file,
                                        uint32_t events) {
    if (!stream__io_idle(io, op, file)) return STREAM_E_STATE;
    stream__io_begin(op, STREAM_IO_POLL);
    op->count = events;
    return stream__io_submit(io, op, file);
}

STREAM_API stream_status stream_io_timer(stream_io *io, stream_io_op *op, uint64_t deadline_ns) {
    if (op->state != STREAM__OP_IDLE) return STREAM_E_STATE;
    stream__io_begin(op, STREAM_IO_TIMER);
    op->state = STREAM__OP_TIMER;
    op->deadline_ns = deadline_ns;
    op->order = io->order++;
    io->in_flight++;
    io->timers = stream__timer_meld(io->timers, op);
    return STREAM_OK;
}

STREAM_API void stream_io_cancel(stream_io *io, stream_io_op *op) {
    if (op->state == STREAM__OP_TIMER) {
        stream__timer_remove(io, op);
        stream__io_done(io, op, STREAM_CANCELLED, 0);
    } else if (op->state == STREAM__OP_QUEUED) {
        stream_io_file *file = op->file;
        int lane = stream__io_lane(op);
        bool was_head = file->head[lane] == op;
        stream__io_finish(io, op, STREAM_CANCELLED, 0);
        if (was_head && file->head[lane]) io->backend->start(io, file, lane);
    } else if (op->state == STREAM__OP_ACTIVE && !(op->stage & STREAM__STAGE_CANCEL)) {
        op->stage |= STREAM__STAGE_CANCEL;
        io->backend->cancel(io, op);
    }
}

STREAM_API stream_status stream_io_wait(stream_io *io, uint64_t timeout_ns) {
    bool endless = timeout_ns == STREAM_FOREVER;
    uint64_t deadline_ns = 0;
    io->budget = STREAM__IO_BUDGET;
    if (!endless && timeout_ns > 0) {
        deadline_ns = STREAM_SYS_NOW();
        deadline_ns = deadline_ns < STREAM_FOREVER - timeout_ns ? deadline_ns + timeout_ns : STREAM_FOREVER;
    }
    for (;;) {
        uint64_t wait_ns = timeout_ns;
        uint64_t seen = STREAM__AWAKE;
        bool sleeps = false, woken = false;
        stream_status status;
        stream__io_take_posted(io);
        wait_ns = stream__timer_expire(io, wait_ns);
        if (io->done) wait_ns = 0;
        if (wait_ns > 0) {
            /* Who posts or wakes writes `sleep` after what it wants seen, and we before we sleep. One of the
               two exchanges is behind the other: theirs finds us asleep and wakes us, or ours finds that we were
               woken. Relaxed: what was to be seen is acquired when we are awake again. */
            sleeps = true;
            while (!stream__a64_cas_relaxed(&io->sleep, &seen, STREAM__ASLEEP)) {
                if (seen == STREAM__WOKEN) break;
            }
            if (seen == STREAM__WOKEN) wait_ns = 0;
        }
        status = io->backend->collect(io, wait_ns);
        /* Awake again, whatever it was; a wake that came with work to hand out has done its duty. */
        seen = sleeps ? STREAM__ASLEEP : STREAM__AWAKE;
        while (!stream__a64_cas_acq_rel(&io->sleep, &seen, STREAM__AWAKE)) {
        }
        woken = seen == STREAM__WOKEN;
        stream__io_take_posted(io);
        (void)stream__timer_expire(io, 0);
        if (io->done) return STREAM_OK;
        if (status != STREAM_OK || woken) return status < 0 ? status : STREAM_EMPTY;
        if (timeout_ns == 0) return STREAM_EMPTY;
        if (!endless) {
            uint64_t now = STREAM_SYS_NOW();
            if (now >= deadline_ns) return STREAM_EMPTY;
            timeout_ns = deadline_ns - now;
        }
    }
}

STREAM_API stream_io_op *stream_io_next(stream_io *io) {
    stream_io_op *op = io->done;
    stream_io_file *file;
    if (!op || io->budget == 0) return NULL;
    io->budget--;
    io->in_flight--;
    io->done = op->next;
    file = op->file;
    if (file) {
        /* Done before its file was closed, and not handed out before: too late. */
        if (!(file->flags & STREAM__FD_ATTACHED)) {
            if (op->fd != -1) stream__os_close(op->fd, STREAM__FD_SOCKET);
            op->fd = -1;
            op->status = STREAM_CANCELLED;
            op->os_error = 0;
        }
        if (--file->pending == 0) stream__io_clean(io, file);
    }
    op->next = NULL;
    op->file = NULL;
    op->state = STREAM__OP_IDLE;
    return op;
}

STREAM_API void stream_io_wake(stream_io *io) {
    uint64_t seen = STREAM__AWAKE;
    /* Also over somebody else's wake, for what we wrote before goes with ours only: without that a woken thread
       could miss it and sleep. */
    while (!stream__a64_cas_acq_rel(&io->sleep, &seen, STREAM__WOKEN)) {
    }
    if (seen == STREAM__ASLEEP) io->backend->wake(io);
}

STREAM_API stream_status stream_io_post(stream_io *io, stream_io_op *op) {
    uint64_t seen;
    if (op->state != STREAM__OP_IDLE) return STREAM_E_STATE;
    stream__io_begin(op, STREAM_IO_POST);
    op->state = STREAM__OP_DONE;
    seen = stream__a64_load_relaxed(&io->posted);
    do op->next = (stream_io_op *)(uintptr_t)seen; /* acq_rel below: what op carries is published with it */
    while (!stream__a64_cas_acq_rel(&io->posted, &seen, (uint64_t)(uintptr_t)op));
    stream_io_wake(io);
    return STREAM_OK;
}

#if !defined(_WIN32)

/* ==[ splice: implementation ]=======================================================================
   Three ways. Direct: one side is a pipe, and splice moves from the one to the other. Through `mid`, a pipe
   of our own, when none is, or when there is a tee: then tee duplicates what mid holds into mid_tee, and
   each is emptied into its destination. Copying: a buffer.

   Two pipes of which one says EAGAIN do not tell which: the source is asked, for if it has bytes it was the
   destination that took none. With mid there is no doubt, since it is only filled when empty.

   When splice is refused on the way (EINVAL), what the pipes of our own hold goes the copying way first, in
   order: what only the tee lacks, what only `to` lacks, and what both do. */

#ifndef STREAM_SYS_SPLICE
#define STREAM_SYS_SPLICE(from, to, len, flags) splice(from, NULL, to, NULL, len, flags)
#endif
#ifndef STREAM_SYS_TEE
#define STREAM_SYS_TEE(from, to, len, flags) tee(from, to, len, flags)
#endif

/* Whoever holds a byte of the buffer back. */
static bool stream__splice_copied(const stream_splice *s) {
    return s->to_done == s->len && s->tee_done == s->len;
}

static stream_status stream__splice_failed(stream_splice *s, int fd, int os_error) {
    s->failed = fd;
    s->os_error = os_error;
    return STREAM_E_IO;
}

/* Reads into the buffer what is next on its way, for whom it is; OK, EMPTY, END, E_IO. */
static stream_status stream__splice_fill(stream_splice *s, size_t max) {
    const uint32_t own = STREAM__FD_PIPE | STREAM__FD_NONBLOCK;
    size_t cap = s->desc.buffer_len;
    uint32_t flags = own;
    int fd = s->desc.from;
    ptrdiff_t n;
    if (!s->buffer) {
        s->buffer = (char *)stream__resize(&s->desc.allocator, NULL, 0, cap, 1);
        if (!s->buffer) return STREAM_E_NOMEM;
    }
    if (s->in_mid_tee > 0) fd = s->mid_tee[0], cap = cap < s->in_mid_tee ? cap : s->in_mid_tee;
    else if (s->teed > 0) fd = s->mid[0], cap = cap < s->teed ? cap : s->teed;
    else if (s->in_mid > 0) fd = s->mid[0], cap = cap < s->in_mid ? cap : s->in_mid;
    else flags = s->from_flags, cap = cap < max ? cap : max;
    n = stream__os_read(fd, flags, s->buffer, cap);
    if (n == -EAGAIN) return STREAM_EMPTY;
    if (n < 0) return stream__splice_failed(s, fd, (int)-n);
    if (n == 0) {
        s->ended = true;
        return STREAM_END;
    }
    s->len = (size_t)n;
    s->to_done = s->tee_done = 0;
    if (s->desc.tee < 0) s->tee_done = s->len;
    if (fd == s->mid_tee[0]) {
        s->in_mid_tee -= s->len;
        s->to_done = s->len;
    } else if (fd == s->mid[0]) {
        if (s->teed > 0) {
            s->teed -= s->len;
            s->tee_done = s->len;
        }
        s->in_mid -= s->len;
    }
    return STREAM_OK;
}

/* Writes what the buffer holds for one side; OK when it has all of it, FULL, E_IO. */
static stream_status stream__splice_put(stream_splice *s, int fd, uint32_t flags, size_t *done) {
    while (*done < s->len) {
        stream_slice part;
        ptrdiff_t n;
        part.ptr = s->buffer + *done;
        part.len = s->len - *done;
        n = stream__os_write(fd, flags, &part, 1, 0);
        if (n == -EAGAIN) {
            s->blocked = fd;
            return STREAM_FULL;
        }
        if (n < 0) return stream__splice_failed(s, fd, (int)-n);
        *done += (size_t)n;
    }
    return STREAM_OK;
}

/* Empties the buffer; both sides get their chance even if one blocks. */
static stream_status stream__splice_flush(stream_splice *s, size_t *moved) {
    size_t before = s->to_done;
    stream_status to = stream__splice_put(s, s->desc.to, s->to_flags, &s->to_done), second = STREAM_OK;
    *moved += s->to_done - before;
    s->bytes += s->to_done - before;
    if (to < 0) return to;
    if (s->desc.tee >= 0) second = stream__splice_put(s, s->desc.tee, s->tee_flags, &s->tee_done);
    if (second < 0) return second;
    if (to == STREAM_FULL) s->blocked = s->desc.to;
    return to != STREAM_OK ? to : second;
}

static stream_status stream__splice_copy(stream_splice *s, size_t max, size_t *moved) {
    for (;;) {
        stream_status status;
        if (!stream__splice_copied(s)) {
            status = stream__splice_flush(s, moved);
            if (status != STREAM_OK) return status;
        }
        if (*moved >= max && s->in_mid == 0 && s->in_mid_tee == 0) return STREAM_OK;
        status = stream__splice_fill(s, max - (*moved < max ? *moved : max));
        if (status != STREAM_OK) return status;
    }
}

#if defined(__linux__)

enum { STREAM__SPLICE_REFUSED = 1 << 20 }; /* an answer beside stream_status: not here, copy */

/* Bytes, 0 at the end, or minus an error number. */
static ptrdiff_t stream__splice_move(int from, int to, size_t len) {
    ptrdiff_t n;
    if (len > (size_t)1 << 30) len = (size_t)1 << 30;
    do n = (ptrdiff_t)STREAM_SYS_SPLICE(from, to, len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -stream__os_error() : n;
}

/* From the source; waits for it as little as everything else here. */
static ptrdiff_t stream__splice_take(stream_splice *s, int to, size_t len) {
    /* SPLICE_F_NONBLOCK speaks of pipes only. */
    if (!(s->from_flags & (STREAM__FD_PIPE | STREAM__FD_NONBLOCK | STREAM__FD_FREE))) {
        int ready = stream__os_poll(s->desc.from, POLLIN);
        if (ready <= 0) return ready ? ready : -EAGAIN;
    }
    return stream__splice_move(s->desc.from, to, len);
}

static bool stream__splice_refused(ptrdiff_t n) { return n == -EINVAL || n == -ENOSYS || n == -EOPNOTSUPP; }

static int stream__splice_direct(stream_splice *s, size_t max, size_t *moved) {
    while (*moved < max) {
        ptrdiff_t n = stream__splice_take(s, s->desc.to, max - *moved);
        if (n > 0) {
            *moved += (size_t)n;
            s->bytes += (size_t)n;
            s->spliced += (size_t)n;
        } else if (n == 0) {
            s->ended = true;
            return STREAM_END;
        } else if (n == -EAGAIN) {
            int ready = stream__os_poll(s->desc.from, POLLIN);
            if (ready < 0) return stream__splice_failed(s, s->desc.from, -ready);
            if (ready == 0) return STREAM_EMPTY;
            s->blocked = s->desc.to;
            return STREAM_FULL;
        } else if (stream__splice_refused(n)) {
            return STREAM__SPLICE_REFUSED;
        } else {
            /* The destination's errors are its own; all others are the source's. */
            return stream__splice_failed(
                s, n == -EPIPE || n == -ENOSPC || n == -EFBIG ? s->desc.to : s->desc.from, (int)-n);
        }
    }
    return STREAM_OK;
}

/* Empties a pipe of ours into its destination. OK, FULL, E_IO, refused. */
static int stream__splice_drain(stream_splice *s, int mid, int to, uint32_t flags, size_t *left, size_t most,
                                size_t *moved) {
    while (most > 0) {
        ptrdiff_t n;
        n = flags & (STREAM__FD_NONBLOCK | STREAM__FD_PIPE | STREAM__FD_FREE)
                ? POLLOUT
                : stream__os_poll(to, POLLOUT);
        n = n > 0 ? stream__splice_move(mid, to, most) : n < 0 ? n : -EAGAIN;
        if (n == -EAGAIN) {
            s->blocked = to;
            return STREAM_FULL;
        }
        if (stream__splice_refused(n)) return STREAM__SPLICE_REFUSED;
        if (n <= 0) return stream__splice_failed(s, to, n < 0 ? (int)-n : EIO);
        *left -= (size_t)n;
        most -= (size_t)n;
        *moved += (size_t)n;
    }
    return STREAM_OK;
}

static int stream__splice_through(stream_splice *s, size_t max, size_t *moved) {
    size_t done, nothing;
    ptrdiff_t n;
    int to, second;
    for (;;) {
        if (s->in_mid == 0 && s->in_mid_tee == 0) {
            if (*moved >= max) return STREAM_OK;
            n = stream__splice_take(s, s->mid[1], max - *moved);
            if (n == 0) {
                s->ended = true;
                return STREAM_END;
            }
            if (n == -EAGAIN) return STREAM_EMPTY;
            if (stream__splice_refused(n)) return STREAM__SPLICE_REFUSED;
            if (n < 0) return stream__splice_failed(s, s->desc.from, (int)-n);
            s->in_mid = (size_t)n;
        }
        if (s->desc.tee >= 0 && s->teed == 0 && s->in_mid_tee == 0) {
            do n = (ptrdiff_t)STREAM_SYS_TEE(s->mid[0], s->mid_tee[1], s->in_mid, SPLICE_F_NONBLOCK);
            while (n < 0 && errno == EINTR);
            if (n <= 0) return STREAM__SPLICE_REFUSED; /* an empty pipe has no reason to */
            s->teed = s->in_mid_tee = (size_t)n;
        }
        done = 0;
        to = stream__splice_drain(s, s->mid[0], s->desc.to, s->to_flags, &s->in_mid,
                                  s->desc.tee >= 0 ? s->teed : s->in_mid, &done);
        if (s->desc.tee >= 0) s->teed -= done;
        *moved += done;
        s->bytes += done;
        s->spliced += done;
        if (to != STREAM_OK && to != STREAM_FULL) return to;
        nothing = 0;
        second = s->desc.tee < 0 ? (int)STREAM_OK
                                 : stream__splice_drain(s, s->mid_tee[0], s->desc.tee, s->tee_flags,
                                                        &s->in_mid_tee, s->in_mid_tee, &nothing);
        if (to == STREAM_FULL) s->blocked = s->desc.to;
        if (second != STREAM_OK && second != STREAM_FULL) return second;
        if (to == STREAM_FULL || second == STREAM_FULL) return STREAM_FULL;
    }
}

static int stream__splice_pipe(int ends[2], size_t len) {
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        ends[0] = ends[1] = -1;
        return errno;
    }
    while (len > 65536 && fcntl(ends[0], F_SETPIPE_SZ, (int)len) < 0) len /= 2;
    return 0;
}

/* Which way: 0, or an error number. */
static int stream__splice_choose(stream_splice *s) {
    const uint32_t sock = STREAM__FD_SOCKET, nonblock = STREAM__FD_NONBLOCK;
    size_t len = s->desc.pipe_len < (size_t)INT32_MAX ? s->desc.pipe_len : (size_t)INT32_MAX;
    int error = 0;
    /* splice into a blocking socket waits, whatever it is told. */
    if ((s->to_flags & (sock | nonblock)) == sock || (s->to_flags & STREAM__FD_TERMINAL) ||
        (s->from_flags & (STREAM__FD_TERMINAL | STREAM__FD_DATAGRAM)))
        s->desc.copy = true;
    if (s->desc.tee >= 0 &&
        ((s->tee_flags & (sock | nonblock)) == sock || (s->tee_flags & STREAM__FD_TERMINAL)))
        s->desc.copy = true;
    if (s->desc.copy) return 0;
    s->direct = s->desc.tee < 0 && ((s->from_flags | s->to_flags) & STREAM__FD_PIPE);
    if (!s->direct) error = stream__splice_pipe(s->mid, len);
    if (error == 0 && s->desc.tee >= 0) error = stream__splice_pipe(s->mid_tee, len);
    return error;
}

#endif

static void stream__splice_close(int ends[2]) {
    if (ends[0] >= 0) (void)close(ends[0]);
    if (ends[1] >= 0) (void)close(ends[1]);
    ends[0] = ends[1] = -1;
}

STREAM_API stream_status stream_splice_init(stream_splice *splice, const stream_splice_desc *desc) {
    stream_splice *s = splice;
    int error;
    memset(s, 0, sizeof *s);
    s->mid[0] = s->mid[1] = s->mid_tee[0] = s->mid_tee[1] = s->blocked = s->failed = -1;
    if (!desc || desc->from < 0 || desc->to < 0 || desc->tee < 0) return STREAM_E_ARGUMENT;
    s->desc = *desc;
    if (s->desc.buffer_len == 0) s->desc.buffer_len = 65536;
    if (s->desc.pipe_len == 0) s->desc.pipe_len = (size_t)1 << 20;
    if (s->desc.tee == 0) s->desc.tee = -1;
    error = stream__os_flags(s->desc.from, &s->from_flags);
    if (!error) error = stream__os_flags(s->desc.to, &s->to_flags);
    if (!error && s->desc.tee >= 0) error = stream__os_flags(s->desc.tee, &s->tee_flags);
#if defined(__linux__)
    if (!error) error = stream__splice_choose(s);
#else
    s->desc.copy = true;
#endif
    if (error) {
        stream_splice_free(s);
        s->os_error = error;
        return STREAM_E_IO;
    }
    return STREAM_OK;
}

STREAM_API void stream_splice_free(stream_splice *splice) {
    if (splice->desc.buffer_len > 0) { /* initialised */
        stream__splice_close(splice->mid);
        stream__splice_close(splice->mid_tee);
    }
    if (splice->buffer)
        stream__resize(&splice->desc.allocator, splice->buffer, splice->desc.buffer_len, 0, 1);
    memset(splice, 0, sizeof *splice);
}

STREAM_API stream_status stream_splice_step(stream_splice *splice, size_t max, size_t *moved) {
    stream_splice *s = splice;
    *moved = 0;
    if (s->ended) return STREAM_END; /* which is found out only when nothing is held */
#if defined(__linux__)
    if (!s->desc.copy) {
        int status = s->direct ? stream__splice_direct(s, max, moved) : stream__splice_through(s, max, moved);
        if (status != STREAM__SPLICE_REFUSED) return (stream_status)status;
        s->desc.copy = true;
    }
#endif
    return stream__splice_copy(s, max, moved);
}

STREAM_API int stream_splice_blocked(const stream_splice *splice) { return splice->blocked; }

STREAM_API size_t stream_splice_held(const stream_splice *splice) {
    const stream_splice *s = splice;
    size_t to = s->len - s->to_done + s->in_mid, tee = 0;
    if (s->desc.tee >= 0) tee = s->len - s->tee_done + s->in_mid_tee + s->in_mid - s->teed;
    return to > tee ? to : tee;
}

STREAM_API void stream_splice_untee(stream_splice *splice) {
    stream_splice *s = splice;
    if (s->desc.buffer_len == 0) return;
    s->desc.tee = -1;
    s->tee_done = s->len;
    s->in_mid_tee = s->teed = 0;
    stream__splice_close(s->mid_tee);
}

#endif /* POSIX */

#endif /* STREAM_NO_OS */

#ifdef __cplusplus
}
#endif
#endif /* STREAM_IMPLEMENTATION */

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
