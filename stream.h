/*
stream.h 0.1.0 - handle endless input in C with bounded memory
SPDX-License-Identifier: MIT-0 (full text at the end of this file)

Lines, UTF-8, backpressure, batching, metrics and a ready-made pipeline for programs that read
streams: pipes, sockets, children that talk all day. Bytes in, items out, and no I/O inside the
decoders: you lend bytes, you pull items, and what you hold never grows with the input.

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
    - No abort, no exit, no printing, no recursion on input, no mutable global state.

LIMITS

    - LF ends a line, and one CR before it is dropped. Nothing else frames: a lone CR, U+2028, VT
      and FF are ordinary bytes.
    - Decoders are single-threaded objects; counters, gauges, histograms and stream_flow are not.
    - On Windows the reader takes C runtime descriptors (set them to binary mode yourself).

CONFIGURATION (define before including, the same in every file)

    STREAM_IMPLEMENTATION   emit the function bodies here                  (one file only)
    STREAM_STATIC           make every function static                     (each file that includes)
    STREAM_API              linkage of public functions                    extern
    STREAM_NO_OS            leave out everything that touches a descriptor or a clock
                                                                           off; on where no known OS
    STREAM_NO_MALLOC        no default allocator: give one, or memory      off
    STREAM_NO_THREADS       plain loads and stores instead of atomics      off
    STREAM_MALLOC(n), STREAM_REALLOC(p, n), STREAM_FREE(p)
                            what the default allocator calls               malloc, realloc, free
    STREAM_SYS_READ(fd, p, n)
                            the system call behind every read              read
    STREAM_CACHE_LINE       what keeps two threads' fields apart, bytes    64 (128 on Apple arm64)

CONTENTS (search for the banner)

    [base]      status, slices, items, decoders, the allocator hook (shared by the three headers)
    [atomics]   ordered loads and stores (shared with stream_pool.h)
    [bytes]     find a byte, a newline, any of a few
    [utf8]      validation, whole and in fragments; where to cut
    [lines]     the line decoder, no I/O
    [reader]    lines from a descriptor, three tiers of buffers
    [flow]      how far a consumer lags, and what the producer should do about it
    [batch]     flush after N items, N bytes or T
    [metrics]   counters, gauges, latency histogram; Prometheus and JSON text
    [pipeline]  source -> borrowed buffer -> decoder -> you, with metrics wired
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
   the function's name; there are no stand-alone fences (ThreadSanitizer does not model them). */
typedef struct stream__a64 {
#if defined(__GNUC__) || defined(__clang__)
    __attribute__((aligned(8))) /* the i386 ABI would give it 4, and a word across two lines */
#endif
    uint64_t v;
} stream__a64;

#if defined(STREAM_NO_THREADS)
STREAM__FN uint64_t stream__a64_load_relaxed(const stream__a64 *a) { return a->v; }
STREAM__FN uint64_t stream__a64_load_acquire(const stream__a64 *a) { return a->v; }
STREAM__FN void stream__a64_store_relaxed(stream__a64 *a, uint64_t v) { a->v = v; }
STREAM__FN void stream__a64_store_release(stream__a64 *a, uint64_t v) { a->v = v; }
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
#elif defined(__GNUC__) || defined(__clang__)
STREAM__FN uint64_t stream__a64_load_relaxed(const stream__a64 *a) {
    return __atomic_load_n(&a->v, __ATOMIC_RELAXED);
}
STREAM__FN uint64_t stream__a64_load_acquire(const stream__a64 *a) {
    return __atomic_load_n(&a->v, __ATOMIC_ACQUIRE);
}
STREAM__FN void stream__a64_store_relaxed(stream__a64 *a, uint64_t v) {
    __atomic_store_n(&a->v, v, __ATOMIC_RELAXED);
}
STREAM__FN void stream__a64_store_release(stream__a64 *a, uint64_t v) {
    __atomic_store_n(&a->v, v, __ATOMIC_RELEASE);
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
STREAM__FN bool stream__a64_cas_acq_rel(stream__a64 *a, uint64_t *seen, uint64_t v) {
    return __atomic_compare_exchange_n(&a->v, seen, v, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
#elif defined(_MSC_VER)
#include <intrin.h>
/* Interlocked operations are full barriers: stronger than asked, never weaker. An aligned 64-bit
   volatile load is atomic on x64 and arm64; elsewhere the exchange form reads it. */
STREAM__FN uint64_t stream__a64_load_acquire(const stream__a64 *a) {
    return (uint64_t)_InterlockedCompareExchange64((volatile __int64 *)(uintptr_t)&a->v, 0, 0);
}
STREAM__FN uint64_t stream__a64_load_relaxed(const stream__a64 *a) {
#if defined(_WIN64)
    return *(const volatile uint64_t *)&a->v;
#else
    return stream__a64_load_acquire(a);
#endif
}
STREAM__FN void stream__a64_store_relaxed(stream__a64 *a, uint64_t v) {
    __int64 seen = *(volatile __int64 *)&a->v, was;
    while ((was = _InterlockedCompareExchange64((volatile __int64 *)&a->v, (__int64)v, seen)) != seen)
        seen = was;
}
STREAM__FN void stream__a64_store_release(stream__a64 *a, uint64_t v) { stream__a64_store_relaxed(a, v); }
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

/* ==[ bytes ]========================================================================================
   Index of the first match in ptr[0, len), or len when there is none. Any thread. */

STREAM_API size_t stream_find_byte(const void *ptr, size_t len, char byte);
STREAM_API size_t stream_find_newline(const void *ptr, size_t len);
/* Any of the set_len bytes of `set`, NUL included if it is among them. */
STREAM_API size_t stream_find_any(const void *ptr, size_t len, const char *set, size_t set_len);

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
   How far a consumer lags behind its producer, in a unit of your choice (messages, bytes), and what
   the producer had best do about it. It advises and never sleeps. One producer thread calls sent, slow
   and delay_ns; one consumer thread calls consumed; any thread may read lag.

   Slow mode has hysteresis: it begins when the lag rises above `high` and ends when it falls below
   `low`, so that it does not flutter about one mark. */

typedef struct stream_flow_desc {
    uint64_t size;          /* what the queue between the two holds, in units; 0: 100 */
    uint64_t high;          /* slow mode begins above this lag; 0: 2 x size */
    uint64_t low;           /* and ends below this one; 0: size / 2, at least 1, at most high */
    uint64_t delay_ns;      /* advised while the lag is above size; 0: 10 ms */
    uint64_t slow_delay_ns; /* advised in slow mode; 0: 100 ms */
} stream_flow_desc;

typedef struct stream_flow {
    /* private; the producer writes the first group, the consumer the second: a line apart, so that
       neither's store takes the line from the other */
    stream__a64 sent;
    stream__a64 slow;    /* 0 or 1 */
    stream__a64 slowed;  /* times slow mode began */
    stream__a64 max_lag; /* high-water mark */
    stream_flow_desc desc;
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
STREAM_API uint64_t stream_flow_max_lag(const stream_flow *flow);
STREAM_API uint64_t stream_flow_times_slowed(const stream_flow *flow);

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

/* Puts at most `cap` bytes at data and says how many in *got. OK (got above 0), EMPTY (would block),
   END, or E_IO. */
typedef struct stream_source {
    void *ctx;
    stream_status (*read)(void *ctx, void *data, size_t cap, size_t *got);
} stream_source;

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
#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#include <io.h>
#else
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifndef CLOCK_MONOTONIC
#error "stream.h: include the implementation before any system header, or define _POSIX_C_SOURCE 200809L"
#endif
#endif
#include <errno.h>
#endif /* STREAM_NO_OS */

#ifdef __cplusplus
extern "C" {
#endif

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

/* ==[ utf8: implementation ]=========================================================================
   The decoder of the WHATWG Encoding Standard (section UTF-8 decoder) without the decoding: after a lead
   byte only its first continuation has narrowed bounds. ASCII is skipped eight bytes at a time. */

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
    if (d.low > d.high) return STREAM_E_ARGUMENT;
    memset(flow, 0, sizeof *flow);
    flow->desc = d;
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
    if (!slow && lag > flow->desc.high) {
        slow = true;
        stream__a64_store_relaxed(&flow->slow, 1);
        stream__a64_add_relaxed(&flow->slowed, 1);
    } else if (slow && lag < flow->desc.low) {
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
    case STREAM_METRIC_HISTOGRAM: break;
    }
    return 0;
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

#ifndef STREAM_SYS_READ
#define STREAM_SYS_READ(fd, ptr, len) read(fd, ptr, len)
#endif

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
