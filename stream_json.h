/*
stream_json.h 0.1.0 - JSON that arrives in fragments
SPDX-License-Identifier: MIT-0 (full text at the end of this file)

Finds complete JSON values in a stream of fragments, checks them, reads fields out of them without building
a tree, shows what has arrived of one that is still open, and writes, rewrites and compares JSON. Made for
newline-delimited streams that also carry log lines, cut records and records of any size: what is not JSON
is handed out as noise, and never hides the value that follows it.

SWITCHING IT ON

    Copy this one file. In exactly one C or C++ file:

        #define STREAM_JSON_IMPLEMENTATION
        #include "stream_json.h"

    Everywhere else include it plainly. C99 to C17, C++11 to C++20; needs libc's mem* functions, and
    malloc unless you give memory.

A COMPLETE PROGRAM: print the "type" of every record of standard input

        #define STREAM_JSON_IMPLEMENTATION
        #include "stream_json.h"
        #include <stdio.h>

        int main(void) {
            static const char *const want[] = {"/type"};
            char chunk[32768];
            stream_json json;
            stream_item item;
            stream_json_value type;
            stream_status st;
            size_t n;
            stream_json_init(&json, NULL);
            do {
                n = fread(chunk, 1, sizeof chunk, stdin);
                if (n) stream_json_feed(&json, chunk, n);
                else stream_json_finish(&json);
                while ((st = stream_json_next(&json, &item)) != STREAM_MORE && st != STREAM_END) {
                    if (st == STREAM_OK) {
                        stream_json_pick(item.ptr, item.len, want, 1, &type);
                        printf("%.*s\n", (int)type.len, type.ptr ? type.ptr : "");
                    } else {
                        fprintf(stderr, "offset %llu: %s\n", (unsigned long long)item.offset,
                                stream_status_text(st));
                    }
                }
            } while (n);
            stream_json_free(&json);
            return 0;
        }

GUARANTEES

    - Memory is bounded by max_len, whatever arrives; a value that lies whole in the bytes you lent
      comes back as a slice of them.
    - Where the input is cut makes no difference: same items, offsets and errors.
    - In NDJSON mode a line feed always ends a record, so a cut record never swallows the next.
    - Nothing is read outside what you lent; no padding, no recursion, no tree, no locale.
    - Numbers are exact: a double is the nearest one however many digits there are, and is written in the
      fewest digits that read back as it; with integer arithmetic only, whatever the rounding mode.
    - A writer gives valid JSON or says why not, and how much room it needs.

LIMITS

    - Framing counts brackets and skips strings. What is framed and is not JSON shows when it is read (the
      reading functions say E_INVALID), or at once with `strict`, which checks the grammar in the same pass.
    - Checking and strict framing go STREAM_JSON_CHECK_DEPTH (1024) levels deep.
    - stream_json_pick, a picker and stream_json_rewrite take at most 64 pointers of at most 32 steps, a view 16.
    - A writer nests STREAM_JSON_WRITER_DEPTH (256) levels deep, comparing and merging enter
      STREAM_JSON_PATCH_DEPTH (64) objects inside each other.
    - Unasked, nothing is converted: numbers and strings stay as they are written, and two numbers are the same
      to [patch] when they are spelled alike.
    - Vectors need gcc or clang (also as mingw-w64 and clang-cl), and x86-64 or little-endian aarch64; what else
      there is gets the scalar kernel.
    - Stack, on a Cortex-M0: framing takes 1.8 KB, strict framing, checking and picking 3, rewriting 4.3, comparing
      and merging 6.4, all else less than 1 (`make sizes`).

CONFIGURATION (define before including, the same in every file)

    STREAM_JSON_IMPLEMENTATION  emit the function bodies here                  (one file only)
    STREAM_STATIC               make every function static: then each file     off
                                that includes has the bodies, too
    STREAM_API                  linkage of public functions                    extern
    STREAM_NO_MALLOC            no default allocator: give one, or memory      off
    STREAM_NO_SIMD              the scalar kernel only                         off
    STREAM_NO_AVX512            AVX2 at most, and less code                    off
    STREAM_JSON_NO_STRICT       a desc that says `strict` is refused, and     off
                                stream_json_rewrite names the token, not
                                the byte, that is wrong: a linker that
                                collects unused sections leaves the checker
                                out, more than half of framing's flash
    STREAM_JSON_KERNEL          the kernel, by name, where a desc names none   NULL: the best there is,
                                and of all that has no desc                    as where there is no such one
    STREAM_JSON_SHAPE           bytes of a record that a picker, strict        512, of 1 to 16384
                                framing, and framing without vectors,
                                compare the next one with
    STREAM_MALLOC(n), STREAM_REALLOC(p, n), STREAM_FREE(p)
                                what the default allocator calls               malloc, realloc, free

CONTENTS (search for the banner)

    [base]      status, slices, items, decoders, the allocator hook (shared by the three headers)
    [frame]     complete values out of fragments; with `strict`, checked
    [read]      pointers, members, elements, strings, integers, doubles
    [check]     strictly, whole or in fragments
    [partial]   the fields of a value that is still arriving
    [write]     JSON into caller memory, or through a small buffer
    [rewrite]   copy a value while setting, adding and dropping what pointers name
    [patch]     what changed between two values: make and apply merge patches
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

#ifndef STREAM_JSON_H
#define STREAM_JSON_H

#ifdef __cplusplus
extern "C" {
#endif

/* STREAM_VERSION as it was where the implementation was compiled. Constant text; any thread. */
STREAM_API const char *stream_json_version(void);

/* What a value is; the `kind` of a framed item. */
typedef enum stream_json_type {
    STREAM_JSON_NONE = 0, /* not there, or not JSON */
    STREAM_JSON_NULL = 1,
    STREAM_JSON_FALSE = 2,
    STREAM_JSON_TRUE = 3,
    STREAM_JSON_NUMBER = 4,
    STREAM_JSON_STRING = 5,
    STREAM_JSON_ARRAY = 6,
    STREAM_JSON_OBJECT = 7
} stream_json_type;

/* ==[ frame ]========================================================================================
   Bytes in, values out. Follows the protocol at stream_decoder above. One thread at a time.

   What next() hands out, beside MORE and END:

     OK            a complete value: kind is its stream_json_type, ptr/len its bytes, nothing around it
     NOISE         bytes between values that are no value and not only white space. A run of noise ends
                   at a line feed (the LF, and one CR before it, left out), at the mode's terminator, or
                   where a value begins. White space before it is part of it when it is at most 64 bytes.
     E_INVALID     with strict: a value, framed as ever, whose inside is not JSON; stream_json_error() tells
     E_TRUNCATED   an object or array that its record's end, or the input's, cut off: the bytes there
                   were, without one CR before the LF. At the input's end also a scalar that could still
                   have become whole, and a bracket that could still have begun a value; in RS mode also a
                   scalar that no white space ends (RFC 7464: it may have been cut).
     E_TOO_LONG    a value or noise over max_len: the first max_len bytes; size is its full length
     E_TOO_DEEP    an object or array nested over max_depth: its bytes, as far as max_len allows
     E_NOMEM       the allocator refused while it was assembled: the head that could be kept

   Each comes once, when the item's end is known; stream_json_open() tells how far one has grown. Where
   several errors fit, it is the first of E_TOO_DEEP, E_TOO_LONG, E_NOMEM, E_TRUNCATED, E_INVALID.

   What begins a value:

     { and [       anywhere, also in the middle of noise, when what follows can: { needs " or }, [ needs
                   a value or ] (after a bare value white space, a comma or ]). So `[INFO] {"a":1}` is
                   noise and an object, and so is `x{"a":1}`. After noise this must show within 32 bytes.
     a scalar      NDJSON, DOLLAR: when it follows no noise and ends its record, so that a log line
                   which begins with a number or a quote stays noise: `12 {}` is noise and an object. A
                   quote that begins a record begins a string: `"{}" x` is noise as a whole, and so is
                   what stands behind one that is never closed, up to the record's end.
                   RS: the same, and before white space it is whole.
                   CONCATENATED: wherever no noise precedes it; a bare one ends before white space,
                   a bracket, a comma or a quote. `12` at the end of a fragment may go on: MORE.

   Except in NDJSON mode noise that began like a value may hold a line feed: `f() {` LF `x`.

   In NDJSON mode strict framing, and framing without vectors, compares each record with those before it: where only
   numbers, literals and strings differ, just these are checked. It makes no difference to what comes out. Of a record
   that is not like those before up to 4 KiB are then looked at twice, if they lie in one loan; where that is in vain
   it is tried ever less often. A decoder takes 1.7 KiB, of which what it compares with takes 1; a STREAM_JSON_SHAPE
   below 64 leaves that out, and 3.4 KB of a Cortex-M0's flash. */

typedef enum stream_json_mode {
    STREAM_JSON_NDJSON = 0,       /* a line feed ends a record, whatever is open; {}{} is two values */
    STREAM_JSON_CONCATENATED = 1, /* values back to back; a line feed is white space */
    STREAM_JSON_DOLLAR = 2,       /* `$` outside a string ends a record; a line feed is white space */
    STREAM_JSON_RS = 3            /* RFC 7464: RS (0x1E) begins a record and ends the one before, whatever is
                                     open; a line feed is white space */
} stream_json_mode;

/* What strict framing and checking allow for nesting. */
#define STREAM_JSON_CHECK_DEPTH 1024

typedef struct stream_json_desc {
    stream_json_mode mode;
    size_t max_len;             /* longest value or noise handed out whole, bytes, at most SIZE_MAX / 4;
                                   0: 1 MiB, or all that memory has room for */
    size_t max_depth;           /* deepest nesting; 0: 512; with strict at most STREAM_JSON_CHECK_DEPTH */
    bool strict;                /* check as well: OK is a valid value, E_INVALID one that is not */
    size_t first_len;           /* first assembly buffer, bytes; 0: 4 KiB; doubles from there */
    void *memory;               /* NULL, or the assembly buffer: then nothing is ever allocated */
    size_t memory_len;          /* its size, above STREAM_JSON_SLACK: max_len becomes at most the rest */
    stream_allocator allocator; /* zero: malloc */
    const char *kernel;         /* NULL: the best there is; else "scalar", "sse2", "avx2", "avx512", "neon" */
} stream_json_desc;

/* Assembly bytes above max_len: white space before noise, a CR, a value's first bytes after noise. */
#define STREAM_JSON_SLACK (64 + 1 + 32)

struct stream_json__scan;
typedef struct stream_json__kernel { /* one that frames, or one that checks as well */
    const char *name;
    unsigned width; /* bytes of the vectors it needs */
    const char *(*run)(struct stream_json__scan *s, const char *p, const char *e);
    /* Inside a string: from p to the block of 64 bytes in which it ends, or to `full`. */
    const char *(*inside)(struct stream_json__scan *s, const char *p, const char *full, uint64_t *was_escape);
} stream_json__kernel;

/* Where in a block of 64 bytes the bytes stand that matter: one bit a byte, the first lowest. */
typedef struct stream_json__block {
    uint64_t quote, backslash, open, close, end;
} stream_json__block;

/* And those that matter to the grammar; low: up to the space; brace: bit 5 is
   set, which tells { from [. */
typedef struct stream_json__rules {
    uint64_t colon, comma, low, brace, control, high;
} stream_json__rules;

/* What checking remembers of the value so far. */
typedef struct stream_json__grammar {
    uint64_t kinds[STREAM_JSON_CHECK_DEPTH / 64]; /* one bit a level: 1 object; the innermost 64 are in top */
    uint64_t top;                                 /* from bit 0, the innermost, up */
    size_t depth;
    /* 0 or 1: the next token may be a value, may be a name, is a colon; the last one ended a value, began an
       object or array. */
    uint64_t value, name, colon, ended, begun;
    uint16_t number;               /* of the number that goes on */
    uint8_t hex, need, second;     /* digits, continuation bytes still to come; after which leads */
    uint8_t literal, literal_at;   /* first letter of the literal that goes on, letters so far */
    bool scalar, in_name;          /* the last byte belongs to a number or literal; to a name */
} stream_json__grammar;

#ifndef STREAM_JSON_SHAPE
#define STREAM_JSON_SHAPE 512 /* bytes */
#elif STREAM_JSON_SHAPE < 1 || STREAM_JSON_SHAPE > 16384
#error "STREAM_JSON_SHAPE is from 1 to 16384"
#endif
#define STREAM_JSON__COMPARES (STREAM_JSON_SHAPE >= 64)
#define STREAM_JSON__PARTS (STREAM_JSON_SHAPE < 512 ? 16 + STREAM_JSON_SHAPE / 8 : 80)

/* What the records of a stream have in common: parts of the text, between which stands what differs. */
typedef struct stream_json__shape {
    uint32_t vain;  /* records that were not alike since so many in a row were */
    uint8_t misses; /* in a row that were not, at most 2 */
    uint8_t hits;   /* in a row that were */
    uint8_t parts;  /* 0: none is known */
    struct {
        uint16_t at, len; /* in `text`: what stands before a value */
        uint8_t field;    /* the value it is, or that it is passed over, or that there is none */
    } part[STREAM_JSON__PARTS];
    char text[STREAM_JSON_SHAPE];
} stream_json__shape;

#define STREAM_JSON__BATCH 16

/* A value being followed. */
typedef struct stream_json__scan {
    const char *loan;     /* the loan's first byte: blocks of 64 are counted from it */
    const char *block_at; /* the block whose masks are in `block`, or NULL */
    stream_json__block block;
    stream_json__rules rules;
    size_t depth, deepest, max_depth;
    char end_byte;        /* what ends a record, 0 for nothing */
    bool ends_strings;    /* even inside a string */
    bool lone;            /* the value is a string */
    bool in_string, escaped;
    bool checking;        /* and no fault so far */
    bool batching;        /* may go on to the next records; the ends of those before are kept */
    uint8_t count;
    const char *ends[STREAM_JSON__BATCH];
    const char *fault;    /* the byte that cannot stand where it stands, until it has been taken note of */
    const char *message;
    stream_json__grammar grammar;
} stream_json__scan;

typedef struct stream_json {
    uint64_t scanned; /* bytes looked at so far: never above the bytes fed (read only) */
    /* private */
    const char *cur, *end;   /* what is left of the loan */
    const char *start;       /* where the open item's part of this loan begins */
    const stream_json__kernel *kernel, *checks; /* the second with strict, else NULL */
    stream__assembly held;   /* the open item's bytes from earlier loans */
    uint64_t offset;         /* stream offset of the open item's first byte */
    uint64_t open;           /* length of its part in earlier loans */
    uint64_t mark, mark_end; /* where in it the value or scalar begins and ends */
    uint64_t fault;          /* stream offset of the byte that `message` is about */
    const char *message;
    size_t mark_held;        /* mark's place in held, when it lies in an earlier loan */
    size_t max_len, shift;   /* shift: bytes of held handed out by the last call */
    stream_json_mode mode;
    uint8_t state, first, element, token, token_at;
    char last;               /* the last byte of the earlier part */
    bool strict, faulty;     /* faulty: the open value is not valid */
    bool after_noise, gap_lost, finished, terminated;
    bool compares;           /* records with the one before */
    uint8_t batched;         /* values of scan.ends handed out */
    const char *ahead;       /* where the kernel stopped behind them */
    stream_json__scan scan;
#if STREAM_JSON__COMPARES
    stream_json__shape shape;
#endif
} stream_json;

/* desc NULL: all defaults. OK or E_ARGUMENT; nothing is allocated until an item spans two loans. */
STREAM_API stream_status stream_json_init(stream_json *json, const stream_json_desc *desc);
/* Returns its memory; a zeroed object is fine. */
STREAM_API void stream_json_free(stream_json *json);
/* Ready for another stream from offset 0; keeps its memory and its limits. */
STREAM_API void stream_json_reset(stream_json *json);
/* Lends len bytes until next returns MORE. OK or E_STATE; takes constant time. */
STREAM_API stream_status stream_json_feed(stream_json *json, const void *data, size_t len);
/* The next item. ptr is valid until the next call on json. With END, item->flags says STREAM_UNTERMINATED when the
   last record had no terminator though its value was complete, unless noise or a cut value behind it says so. */
STREAM_API stream_status stream_json_next(stream_json *json, stream_item *item);
/* No more input: next() now hands out the tail, then END. */
STREAM_API stream_status stream_json_finish(stream_json *json);
/* Bytes of the item that is still open, as of the last MORE. */
STREAM_API uint64_t stream_json_open(const stream_json *json);
/* After MORE: what has arrived of the object or array that is still open, for a partial view (below) or to show it.
   item is filled as by next: ptr is valid until the next call on json, size counts the bytes so far, len stays at
   max_len, or at what memory there was for, when there are more. In NDJSON mode a CR comes with the byte behind
   it, for it may be the line end's. OK; EMPTY when none is open, as yet; E_STATE before MORE. Constant time. */
STREAM_API stream_status stream_json_peek(const stream_json *json, stream_item *item);
/* After E_INVALID, until a later one: what is wrong, constant text, and the stream offset of the first byte that
   cannot stand where it stands (offset may be NULL). NULL when there was none. Only with strict. */
STREAM_API const char *stream_json_error(const stream_json *json, uint64_t *offset);
/* The same decoder behind function pointers. */
STREAM_API stream_decoder stream_json_decoder(stream_json *json);

/* ==[ read ]=========================================================================================
   Reading needs no tree and no memory: values are slices of the bytes you pass, and live as long as
   those. These functions keep no state; any thread. They follow the structure (quotes, brackets, commas,
   colons) and stop with E_INVALID where it breaks; scalars are judged by the function that reads them. */

typedef struct stream_json_value {
    const char *ptr;       /* the value as written: strings with their quotes; NULL when NONE */
    size_t len;
    stream_json_type type; /* by its first byte */
} stream_json_value;

/* All of json but the white space around it, by its first byte: type NONE when that begins no value. */
STREAM_API stream_json_value stream_json_value_of(const char *json, size_t len);

/* Picks several values in one pass. pointers are RFC 6901: "/message/usage/output_tokens", "/content/0",
   "" for the whole; ~1 stands for / and ~0 for ~. out[i] answers pointers[i]; type NONE where there is
   nothing. Of duplicate keys the first that leads to a value counts, and the pass ends as soon as all
   are found. OK; MORE when json ends inside the value (what came before was picked, so the head of a
   cut record can be read; `{"n":12` picks no /n, for it may be 123); E_INVALID; E_ARGUMENT for over 64
   pointers, over 32 steps, a pointer that begins otherwise than with /, a ~ before anything but 0 and 1. In every
   case out is filled. */
STREAM_API stream_status stream_json_pick(const char *json, size_t len, const char *const *pointers,
                                          size_t count, stream_json_value *out);

/* The same for the records of a stream, which are mostly alike: what stands between the values picked is compared with
   the record before, byte for byte, and where nothing else is there only the values themselves are read. What differs
   from one to the next, a number or a string, is learnt to be passed over; a record of another shape is read as
   stream_json_pick reads it, and remembered instead. The answers are the same, always, so a picker may be asked about
   anything; for records that have nothing in common, or are of several shapes in turn, it costs a little more than
   stream_json_pick. What is remembered is a copy, at most STREAM_JSON_SHAPE bytes. (Speculation on structure that
   repeats: Li et al., "Mison: A Fast JSON Parser for Data Analytics", VLDB 2017.)

       static const char *const want[] = {"/type", "/event/delta/text"};
       stream_json_picker picker;
       stream_json_value found[2];
       stream_json_picker_init(&picker, want, 2);
       if (stream_json_picker_pick(&picker, text, len, found) == STREAM_OK) ...
*/
typedef struct stream_json_picker {
    /* private */
    const char *const *pointers;
    size_t count;
    bool nested; /* one of the pointers leads on where another ends */
    stream_json__shape shape;
} stream_json_picker;

/* `pointers`, and what they point to, must outlive the picker; nothing is to be freed. E_ARGUMENT as for
   stream_json_pick. A picker serves one thread at a time. */
STREAM_API stream_status stream_json_picker_init(stream_json_picker *picker, const char *const *pointers,
                                                 size_t count);
/* As stream_json_pick, with the pointers given to init. */
STREAM_API stream_status stream_json_picker_pick(stream_json_picker *picker, const char *json, size_t len,
                                                 stream_json_value *out);

/* Walks the members of an object or the elements of an array, in the order they stand. Of duplicate keys all
   come: who wants the last one to count, and not the first as in stream_json_pick, keeps the last one seen.

       stream_json_each each;
       stream_json_value key, value;
       for (stream_json_each_init(&each, v); stream_json_each_next(&each, &key, &value) == STREAM_OK;) ...
*/
typedef struct stream_json_each {
    /* private */
    const char *cur, *end;
    stream_json_type type;
    bool begun;
} stream_json_each;

/* OK, or E_TYPE for a value that is neither. */
STREAM_API stream_status stream_json_each_init(stream_json_each *each, stream_json_value value);
/* The next one; key is NONE in an array, and may be NULL. OK, END, MORE when the bytes end inside, or
   E_INVALID; key and value are NONE unless OK. What is not OK stays. */
STREAM_API stream_status stream_json_each_next(stream_json_each *each, stream_json_value *key,
                                               stream_json_value *value);

/* What to make of a \u escape that is half a surrogate pair. */
typedef enum stream_json_surrogates {
    STREAM_JSON_PASS = 0,    /* three bytes, as if it were a character (WTF-8): nothing is lost */
    STREAM_JSON_REPLACE = 1, /* U+FFFD */
    STREAM_JSON_REJECT = 2   /* E_INVALID */
} stream_json_surrogates;

/* Unescapes a string into dst, without NUL, and says its length in *len. dst may be value.ptr itself:
   the result is never longer. OK; FULL when cap is too small (*len is the room it needs, and the first
   cap bytes were written); E_TYPE; E_INVALID for a broken escape or quote. */
STREAM_API stream_status stream_json_string(stream_json_value value, stream_json_surrogates surrogates,
                                            char *dst, size_t cap, size_t *len);
/* The same for len bytes from inside a string, which may be any part of it that begins and ends where `safe`
   of a partial view (below) said, or at its quotes: the results of the parts, one after another, are the
   result for the whole. OK, FULL, E_INVALID as above. */
STREAM_API stream_status stream_json_unescape(const char *raw, size_t len, stream_json_surrogates surrogates,
                                              char *dst, size_t cap, size_t *out_len);
/* Whether a string, unescaped, is these bytes. Allocates and copies nothing. */
STREAM_API bool stream_json_equals(stream_json_value value, const char *text, size_t len);
/* An integer, exactly; -0 is 0. E_TYPE: no number, or one with a fraction or an exponent, as 1.0 and 1e2.
   E_RANGE: the type does not hold it, as uint64_t holds no negative one. E_INVALID. Without OK *number
   is 0. */
STREAM_API stream_status stream_json_int64(stream_json_value value, int64_t *number);
STREAM_API stream_status stream_json_uint64(stream_json_value value, uint64_t *number);
/* The double nearest to a number of any length, of two equally near the even one; -0 keeps its sign. E_RANGE:
   beyond the largest double, *number is the infinity of its sign then. E_TYPE, E_INVALID: *number is 0. No
   locale, no libm, no floating point, less than 1 KiB of stack. */
STREAM_API stream_status stream_json_double(stream_json_value value, double *number);

/* ==[ check ]========================================================================================
   Strict: RFC 8259 and UTF-8 (RFC 3629), one value with white space around it, nested up to
   STREAM_JSON_CHECK_DEPTH. A lone surrogate escape is valid, as the RFC has it, and so is a number that no
   double can hold. To check while framing, say `strict` in stream_json_desc. */

typedef struct stream_json_checker {
    stream_status status; /* OK: so far one whole value (a number may still grow); MORE; an error (read only) */
    uint64_t offset;      /* bytes taken; with an error: of the first that cannot stand where it stands */
    const char *message;  /* constant text: why it cannot; NULL without an error */
    /* private */
    const stream_json__kernel *kernel;
    uint8_t state, token, token_at;
    char first;
    stream_json__scan scan;
} stream_json_checker;

/* kernel as in stream_json_desc, or NULL. OK, or E_ARGUMENT for a kernel that this machine has not. */
STREAM_API stream_status stream_json_checker_init(stream_json_checker *checker, const char *kernel);
/* Checks the next len bytes and returns checker->status: OK, MORE, E_INVALID, E_TOO_DEEP. An error stays. */
STREAM_API stream_status stream_json_checker_feed(stream_json_checker *checker, const void *data, size_t len);
/* The same for a whole text: OK, or MORE for the beginning of one, as every prefix of a valid text is
   (*offset, which may be NULL, is len then); E_INVALID or E_TOO_DEEP at *offset. */
STREAM_API stream_status stream_json_check(const char *json, size_t len, size_t *offset);

/* ==[ partial ]======================================================================================
   A view follows one value that is still arriving and tells at any moment how far the fields that pointers
   name have come: of what type each is, where its bytes lie, and how much of a string can be shown. It looks
   at every byte once, keeps none and allocates nothing; the end of what has not arrived is never made up.

       static const char *const want[] = {"/path", "/content"};
       stream_json_view view;
       size_t shown = 0, n;
       stream_json_view_init(&view, want, 2);
       while (arrives(&text, &len)) { // the value so far, as stream_json_peek gives it, or put together
           const stream_json_field *content = &view.field[1];
           stream_json_view_feed(&view, text + view.offset, len - view.offset);
           // dst takes all that is new: unescaped it is never longer. FULL would leave it for the next time.
           if (stream_json_unescape(text + content->offset + 1 + shown, content->safe - shown,
                                    STREAM_JSON_REPLACE, dst, sizeof dst, &n) == STREAM_OK) {
               show(dst, n);
               shown = content->safe;
           }
       }

   It finds what stream_json_pick finds: of duplicate keys the first that leads to a value, structure followed
   as far as the pointers lead, what lies beside them skipped by its brackets and quotes only. */

#define STREAM_JSON_VIEW_FIELDS 16
#define STREAM_JSON_VIEW_STEPS 32

typedef struct stream_json_field {
    size_t offset;         /* of its first byte, from the first byte that the view was fed */
    size_t len;            /* its bytes so far, quotes included */
    size_t safe;           /* of a string: this many bytes behind its opening quote end inside no escape, no
                              pair of surrogate escapes and no UTF-8 character; never less than before */
    stream_json_type type; /* by its first byte; NONE: it has not begun */
    bool whole;            /* its end has been seen; of a number or literal that is what follows it, so
                              when nothing does, only status OK tells */
} stream_json_field;

typedef struct stream_json__path {
    uint32_t inside; /* fields whose pointers lead into this container */
    uint32_t whole;  /* fields that it is */
    uint32_t index;  /* of the next element */
    uint32_t prefix; /* where in their pointers the step begins that is to be found here */
} stream_json__path;

typedef struct stream_json_view {
    stream_status status; /* OK: the value is whole (a lone number may still grow); MORE; E_INVALID. Read only */
    size_t offset;        /* bytes taken; with E_INVALID: of the byte that cannot stand where it stands */
    stream_json_field field[STREAM_JSON_VIEW_FIELDS]; /* one for each pointer, in their order (read only) */
    /* private */
    const char *pointer[STREAM_JSON_VIEW_FIELDS];
    const char *match[STREAM_JSON_VIEW_FIELDS]; /* what must come next in the key */
    stream_json__path level[STREAM_JSON_VIEW_STEPS + 1];
    uint64_t objects;             /* which levels are, one bit each */
    size_t safe, skip;            /* skip: brackets open in what is skipped */
    uint32_t wanted, open;        /* fields: not begun; begun and not whole */
    uint32_t matching;            /* fields that the key, as far as it goes, may belong to */
    uint32_t whole, into, prefix; /* of the value that is next or goes on */
    uint32_t high, unit;          /* a high surrogate that waits for its low one; digits of \u */
    uint8_t depth, state, token, token_at;
    uint8_t escape, need;         /* 1 behind a backslash, 5 to 2 in \u; continuation bytes to come */
    char first;
    bool quoted;
} stream_json_view;

/* pointers as for stream_json_pick, up to STREAM_JSON_VIEW_FIELDS of up to STREAM_JSON_VIEW_STEPS steps. OK, or
   E_ARGUMENT, as for a ~ before anything but 0 and 1. The texts, not their array, must outlive the view. */
STREAM_API stream_status stream_json_view_init(stream_json_view *view, const char *const *pointers,
                                               size_t count);
/* The next len bytes, of which none is needed any more when it returns view->status. An error stays. */
STREAM_API stream_status stream_json_view_feed(stream_json_view *view, const void *data, size_t len);

/* ==[ write ]========================================================================================
   One value into caller memory, or through a small buffer to wherever it goes. Commas, colons and escapes are
   the writer's; a call out of order (a value where a key must be, an end that does not match) is remembered
   and writes nothing, so what comes out is never invalid. Text that is not UTF-8 is mended: one U+FFFD for
   each longest beginning of a character, and for each byte that begins none (the Encoding Standard's way).

       stream_json_writer w;
       stream_json_writer_init(&w, dst, sizeof dst);
       stream_json_write_object(&w);
       stream_json_write_key(&w, "n", 1);
       stream_json_write_int64(&w, 42);
       stream_json_write_end(&w);
       if (stream_json_writer_finish(&w, &len) == STREAM_OK) show(dst, len);  */

#define STREAM_JSON_WRITER_DEPTH 256

/* Takes the next len bytes of the output, cut anywhere: the writer's buffer, or bytes that the writer was
   just given; they are valid until it returns. Anything but OK ends the writing and is what the writer then
   says. It must not call the writer. */
typedef stream_status (*stream_json_flush)(void *ctx, const char *ptr, size_t len);

typedef struct stream_json_writer {
    /* private */
    char *dst;
    size_t cap, used, len; /* used: bytes in dst; len: of the whole output so far */
    stream_json_flush flush;
    void *ctx;
    stream_status status;
    unsigned depth;
    bool comma, after_key, done;
    uint8_t object[STREAM_JSON_WRITER_DEPTH / 8]; /* one bit a level: 1 object, 0 array */
} stream_json_writer;

/* dst may be NULL when cap is 0: then only the room needed is found out. */
STREAM_API void stream_json_writer_init(stream_json_writer *writer, char *dst, size_t cap);
/* Output of any size through a buffer of cap bytes: flush gets it whenever the buffer is full and in finish.
   Text longer than the buffer is not copied. The buffer and ctx must live until finish. */
STREAM_API void stream_json_writer_init_flush(stream_json_writer *writer, char *buffer, size_t cap,
                                              stream_json_flush flush, void *ctx);
STREAM_API void stream_json_write_object(stream_json_writer *writer);
STREAM_API void stream_json_write_array(stream_json_writer *writer);
/* Ends the innermost object or array. */
STREAM_API void stream_json_write_end(stream_json_writer *writer);
STREAM_API void stream_json_write_key(stream_json_writer *writer, const char *key, size_t len);
STREAM_API void stream_json_write_string(stream_json_writer *writer, const char *text, size_t len);
STREAM_API void stream_json_write_int64(stream_json_writer *writer, int64_t number);
STREAM_API void stream_json_write_uint64(stream_json_writer *writer, uint64_t number);
/* The shortest number that stream_json_double reads back as this one, spelled as ECMAScript does: 0.1, 1e+21,
   -0. An infinity or NaN, which JSON has no number for, writes nothing and is remembered as E_ARGUMENT; they
   are known by their bits, under -ffast-math too. */
STREAM_API void stream_json_write_double(stream_json_writer *writer, double number);
STREAM_API void stream_json_write_bool(stream_json_writer *writer, bool truth);
STREAM_API void stream_json_write_null(stream_json_writer *writer);
/* A value that is JSON already, byte for byte. It is the caller's word that it is one, as is every item of a
   strict stream_json and every value in it. NONE writes null; a value of another type without bytes is
   E_ARGUMENT. */
STREAM_API void stream_json_write_value(stream_json_writer *writer, stream_json_value value);
/* The same for text of any kind: it is checked first (RFC 8259, see [check]), and what is not one whole value
   writes nothing and is remembered as E_INVALID, E_TRUNCATED or E_TOO_DEEP. White space around it is left
   out. */
STREAM_API void stream_json_write_json(stream_json_writer *writer, const char *json, size_t len);
/* OK when one whole value was written and fits, or went through flush; FULL when it does not fit: *len is the
   room it needs, and the first cap bytes are there. Else the first thing that went wrong: E_STATE for a call
   out of order; E_TOO_DEEP; E_ARGUMENT; what flush or a check said, after which nothing more is flushed. E_STATE
   for a value that is not finished, which it may still become. *len is the length of the output, flushed or not
   (SIZE_MAX when that is not enough to tell). Saying it again changes nothing. */
STREAM_API stream_status stream_json_writer_finish(stream_json_writer *writer, size_t *len);

/* ==[ rewrite ]======================================================================================
   Copies a value and changes on the way what pointers name. What no rule touches comes out byte for byte:
   white space, spelling of numbers and strings, duplicate keys. For members SET is what RFC 6902 calls add, REPLACE
   and DROP are its replace and remove; for elements ADD is its add. But what is not there is no error, and several
   rules all speak of the value as it came, not of each other's results.

       static const char model[] = "\"small\"";
       stream_json_rule rules[2];
       memset(rules, 0, sizeof rules);
       rules[0].pointer = "/model";
       rules[0].value = stream_json_value_of(model, sizeof model - 1);
       rules[1].pointer = "/metadata/user";
       rules[1].op = STREAM_JSON_OP_DROP;
       stream_json_writer_init(&w, dst, sizeof dst);
       stream_json_rewrite(json, len, rules, 2, &w, NULL, NULL);
       status = stream_json_writer_finish(&w, &dst_len);  */

typedef enum stream_json_op {
    STREAM_JSON_OP_SET = 0, /* puts value in the place of what is there; as ADD where nothing is */
    STREAM_JSON_OP_REPLACE, /* only in the place of what is there */
    STREAM_JSON_OP_ADD,     /* only what is not there: a member, behind the others; in an array, before the
                               element of that index, or behind the last for the index after it and for "-" */
    STREAM_JSON_OP_DROP     /* takes it out, with its comma */
} stream_json_op;

typedef struct stream_json_rule {
    const char *pointer; /* as for stream_json_pick; with duplicate keys it names every value it leads to */
    stream_json_op op;
    stream_json_value value; /* written as by stream_json_write_value; not for DROP */
} stream_json_rule;

/* Copies json, with the white space around it, to where the writer expects a value; dst must not be json's
   own memory. Of several rules for one place the first that can be applied is; but whatever ADD and SET put
   into an array where nothing was, all comes, in the order of the rules. Rules whose place is not there, or lies
   inside what was replaced, do nothing; bit i of *hits (which may be NULL, and is set in every case) says whether
   rules[i] did something.

   OK, also when the output does not fit, which stream_json_writer_finish tells. E_INVALID and E_TRUNCATED: of
   the input, at *offset (which may be NULL); inside values that rules step over only quotes and brackets are
   looked at, so that the output is valid where the input and the rules' values are. E_ARGUMENT for over 64
   rules, over 32 steps, a bad pointer, an operation that is none, DROP of the whole, a value without bytes. Every
   error is remembered by the writer. */
STREAM_API stream_status stream_json_rewrite(const char *json, size_t len, const stream_json_rule *rules,
                                             size_t count, stream_json_writer *writer, uint64_t *hits,
                                             size_t *offset);

/* ==[ patch ]========================================================================================
   What changed between two values, as a merge patch (RFC 7386, now 7396), and the other way round. Both write
   one value to where the writer expects one; values are copied as they are spelled, and what is written anew
   has no white space. dst must not be memory of theirs.

   A merge patch cannot set a member to null, for null there means to drop it: merge(a, diff(a, b)) equals b
   when in b, outside of arrays, no member is null. Arrays are replaced whole.

   Values are equal when they are of one type and: numbers are spelled alike (1 and 1.0 are not: to somebody
   they differ), strings and keys are the same text unescaped, arrays have equal elements in the same order,
   objects equal members in any order. Keys of one object are taken to be unique; of duplicates it is not said
   which counts. Where arrays and objects lie more than STREAM_JSON_PATCH_DEPTH deep in an array they are equal only
   if spelled alike. What is copied is not read: it is the caller's word that it is JSON.

   Objects whose members come in the same order are passed once or twice. Others cost the product of their
   numbers of members at worst: with a million bytes from somebody who wants that, minutes. So who does not
   trust his input gives memory, in which members are sorted where looking for them has passed more than 16 times
   the bytes of their object. Nothing is allocated; about 6 KiB of stack.

   OK, also when the output does not fit. E_INVALID, E_TRUNCATED: an object that breaks off, or is none where
   its members are looked at. E_TOO_DEEP: more than STREAM_JSON_PATCH_DEPTH objects inside each other had to
   be entered. E_ARGUMENT: `to` or `patch` is NONE. Every error is remembered by the writer. */

#define STREAM_JSON_PATCH_DEPTH 64

/* The patch that makes `to` of `from`: {} when both are objects and equal; NONE is a value that was not
   there. */
STREAM_API stream_status stream_json_diff(stream_json_value from, stream_json_value to,
                                          stream_json_writer *writer);
/* The target with the patch applied. NONE is a target that is not there. */
STREAM_API stream_status stream_json_merge(stream_json_value target, stream_json_value patch,
                                           stream_json_writer *writer);
/* The same with memory, which is the caller's again when they return: 4 bytes for each member of the objects of
   `from`, or of `patch`, that are open at a time. As many bytes as that value is long are always enough. For
   objects that find no room in it the cost is as without. */
STREAM_API stream_status stream_json_diff_sorted(stream_json_value from, stream_json_value to,
                                                 stream_json_writer *writer, void *memory, size_t memory_len);
STREAM_API stream_status stream_json_merge_sorted(stream_json_value target, stream_json_value patch,
                                                  stream_json_writer *writer, void *memory, size_t memory_len);

#ifdef __cplusplus
}
#endif
#endif /* STREAM_JSON_H */

/* ====================================================================================================
   IMPLEMENTATION
   ==================================================================================================== */
#if defined(STREAM_JSON_IMPLEMENTATION) && !defined(STREAM_JSON__IMPLEMENTED)
#define STREAM_JSON__IMPLEMENTED 1

#include <float.h>

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

#if defined(__GNUC__) || defined(__clang__)
#define STREAM__INLINE static inline __attribute__((__always_inline__, __unused__))
#elif defined(_MSC_VER)
#define STREAM__INLINE static __forceinline
#else
#define STREAM__INLINE static inline
#endif

/* What a kernel's table points at. Not always_inline: gcc finds at -Og what such a pointer is, and refuses, as there it
   inlines nothing that it finds so. */
#if defined(__GNUC__) || defined(__clang__)
#define STREAM__WORD static inline __attribute__((__unused__))
#else
#define STREAM__WORD static
#endif

/* What is called often but would crowd a loop's registers. */
#if defined(__GNUC__) || defined(__clang__)
#define STREAM__NOINLINE __attribute__((__noinline__))
#else
#define STREAM__NOINLINE
#endif

#if defined(__BYTE_ORDER__) ? __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ : defined(_WIN32)
#define STREAM__LITTLE_ENDIAN 1
#else
#define STREAM__LITTLE_ENDIAN 0
#endif

#ifndef STREAM_JSON_KERNEL
#define STREAM_JSON_KERNEL NULL
#endif

#ifdef __cplusplus
extern "C" {
#endif

STREAM_API const char *stream_json_version(void) { return STREAM_VERSION; }

/* The number of the lowest bit that is set, and of the highest; bits is not 0. How many are set. */
#if defined(__GNUC__) || defined(__clang__)
STREAM__INLINE unsigned stream_json__lowest(uint64_t bits) { return (unsigned)__builtin_ctzll(bits); }
STREAM__INLINE unsigned stream_json__highest(uint64_t bits) { return 63u - (unsigned)__builtin_clzll(bits); }
#else
STREAM__INLINE unsigned stream_json__lowest(uint64_t bits) {
    unsigned n = 0;
    while (!(bits >> n & 1)) n++;
    return n;
}
STREAM__INLINE unsigned stream_json__highest(uint64_t bits) {
    unsigned n = 63;
    while (!(bits >> n & 1)) n--;
    return n;
}
#endif
/* In each byte how many are set in it and those below. */
STREAM__INLINE uint64_t stream_json__sums(uint64_t bits) {
    bits -= bits >> 1 & UINT64_C(0x5555555555555555);
    bits = (bits & UINT64_C(0x3333333333333333)) + (bits >> 2 & UINT64_C(0x3333333333333333));
    return ((bits + (bits >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F)) * UINT64_C(0x0101010101010101);
}
STREAM__INLINE unsigned stream_json__count(uint64_t bits) { return (unsigned)(stream_json__sums(bits) >> 56); }

/* Eight bytes, the first one lowest. Compilers make one load of it where that is one. */
STREAM__INLINE uint64_t stream_json__load8(const char *p) {
    const unsigned char *s = (const unsigned char *)p;
    return (uint64_t)s[0] | (uint64_t)s[1] << 8 | (uint64_t)s[2] << 16 | (uint64_t)s[3] << 24 |
           (uint64_t)s[4] << 32 | (uint64_t)s[5] << 40 | (uint64_t)s[6] << 48 | (uint64_t)s[7] << 56;
}

STREAM__INLINE stream_json_type stream_json__type_of(char first) {
    switch (first) {
    case '{': return STREAM_JSON_OBJECT;
    case '[': return STREAM_JSON_ARRAY;
    case '"': return STREAM_JSON_STRING;
    case 't': return STREAM_JSON_TRUE;
    case 'f': return STREAM_JSON_FALSE;
    case 'n': return STREAM_JSON_NULL;
    default: return first == '-' || (first >= '0' && first <= '9') ? STREAM_JSON_NUMBER : STREAM_JSON_NONE;
    }
}

static bool stream_json__is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

/* A number or a literal, byte by byte (RFC 8259, section 6). */
enum {
    STREAM_JSON__NEGATIVE = 1,
    STREAM_JSON__ZERO,
    STREAM_JSON__DIGITS,
    STREAM_JSON__POINT,
    STREAM_JSON__FRACTION,
    STREAM_JSON__E,
    STREAM_JSON__E_SIGN,
    STREAM_JSON__EXPONENT,
    STREAM_JSON__LITERAL
};

/* The state after a bare value's first byte, 0 when none begins so. */
static uint8_t stream_json__token_begin(char c) {
    if (c == '-') return STREAM_JSON__NEGATIVE;
    if (c == '0') return STREAM_JSON__ZERO;
    if (c >= '1' && c <= '9') return STREAM_JSON__DIGITS;
    return c == 't' || c == 'f' || c == 'n' ? STREAM_JSON__LITERAL : 0;
}

/* By bits 3 and 4 of the first letter, so that no jump depends on which it is. Nothing begins as the last one does,
   whose bits are others. */
static const char stream_json__letters[4][8] = {"false", "null", "true", "\1"};

static const char *stream_json__literal(char first) { return stream_json__letters[(unsigned char)first >> 3 & 3]; }

/* Takes c into the token when it can go on so. `at` counts a literal's letters. */
static bool stream_json__token_step(uint8_t *state, uint8_t *at, char first, char c) {
    bool digit = c >= '0' && c <= '9';
    switch (*state) {
    case STREAM_JSON__NEGATIVE:
        if (!digit) return false;
        *state = c == '0' ? STREAM_JSON__ZERO : STREAM_JSON__DIGITS;
        return true;
    case STREAM_JSON__DIGITS:
        if (digit) return true;
        /* fall through */
    case STREAM_JSON__ZERO:
        if (c == '.') *state = STREAM_JSON__POINT;
        else if (c == 'e' || c == 'E') *state = STREAM_JSON__E;
        else return false;
        return true;
    case STREAM_JSON__POINT:
        if (!digit) return false;
        *state = STREAM_JSON__FRACTION;
        return true;
    case STREAM_JSON__FRACTION:
        if (digit) return true;
        if (c != 'e' && c != 'E') return false;
        *state = STREAM_JSON__E;
        return true;
    case STREAM_JSON__E:
        if (c == '+' || c == '-') *state = STREAM_JSON__E_SIGN;
        else if (digit) *state = STREAM_JSON__EXPONENT;
        else return false;
        return true;
    case STREAM_JSON__E_SIGN:
        if (!digit) return false;
        *state = STREAM_JSON__EXPONENT;
        return true;
    case STREAM_JSON__EXPONENT: return digit;
    default: {
        const char *word = stream_json__literal(first);
        if (word[*at] == '\0' || word[*at] != c) return false;
        (*at)++;
        return true;
    }
    }
}

static bool stream_json__token_whole(uint8_t state, uint8_t at, char first) {
    if (state == STREAM_JSON__LITERAL) return stream_json__literal(first)[at] == '\0';
    return state == STREAM_JSON__ZERO || state == STREAM_JSON__DIGITS || state == STREAM_JSON__FRACTION ||
           state == STREAM_JSON__EXPONENT;
}

/* Whether c is neither white space nor of the structure: part of a number, a literal, or of nothing. */
static bool stream_json__in_token(char c) {
    return !stream_json__is_space(c) && c != '"' && c != ':' && c != ',' && (c | 0x20) != '{' && (c | 0x20) != '}';
}

/* ==[ kernels: implementation ]======================================================================
   Framing and checking look at 64 bytes at a time, as masks: bit i says something of byte i. What a byte is
   comes from a small vocabulary that each kind of machine has (which bytes equal c, which are at most c, whether
   all are plain text, or of numbers); everything else is arithmetic on masks and is the same code for all. The
   idea is Langdale and Lemire's ("Parsing Gigabytes of JSON per Second", VLDB Journal 28, 2019); here it is
   carried across any cut, ends at any bracket, and checks the grammar without a second pass.

   One more: where masks are of no use (a backslash outside strings, a fragment of a few bytes), framing goes
   byte by byte. */

/* Follows an object or array from p: returns where it closes (past the bracket, depth 0), where its record
   ends (at the end byte, depth above 0), or e. The whole truth of framing. */
static const char *stream_json__follow_bytes(stream_json__scan *s, const char *p, const char *e) {
    const char end_byte = s->end_byte;
    const bool ends = end_byte != '\0', anywhere = s->ends_strings;
    size_t depth = s->depth;
    bool in_string = s->in_string, escaped = s->escaped;
    while (p < e) {
        char c = *p;
        if (ends && c == end_byte && (anywhere || !in_string)) break;
        p++;
        if (in_string) {
            if (escaped) {
                escaped = false;
            } else if (c != '"') {
                escaped = c == '\\';
            } else {
                in_string = false;
                if (s->lone) {
                    depth = 0;
                    break;
                }
            }
        } else if (c == '"') {
            in_string = true;
        } else if ((c | 0x20) == '{') {
            if (++depth > s->deepest) s->deepest = depth;
        } else if ((c | 0x20) == '}' && --depth == 0) {
            break;
        }
    }
    s->depth = depth;
    s->in_string = in_string;
    s->escaped = escaped;
    return p;
}

/* Bit i of the result: whether an odd number of bits is set in x up to and including i. */
STREAM__INLINE uint64_t stream__parity_any(uint64_t x) {
    x ^= x << 1;
    x ^= x << 2;
    x ^= x << 4;
    x ^= x << 8;
    x ^= x << 16;
    return x ^ x << 32;
}

/* Asks for what lies a page behind p: a processor looks ahead by itself, but to the end of a page. With it framing
   32 MiB of long strings or numbers took 0.65 of the time; 2 MiB, which a cache holds, the same (loans of 32 KiB). It
   is a hint, which reads nothing, be what lies there the loan's, another's or no memory at all. */
#if defined(__GNUC__) || defined(__clang__)
#define STREAM__AHEAD(p) __builtin_prefetch((const void *)((uintptr_t)(p) + 4096))
#else
#define STREAM__AHEAD(p) ((void)(p))
#endif

/* The vocabulary: 64 bytes loaded, and what can be asked of them. */
#if STREAM__SIMD_X86

/* Hides where a constant comes from, so that it stays in a register through a loop: gcc 12 else makes each anew,
   three instructions every time. */
#define STREAM__KEEP(x) __asm__("" : "+x"(x))


typedef __m256i stream__c64_avx2;
typedef struct stream__v64_avx2 {
    __m256i a, b;
} stream__v64_avx2;

STREAM__AVX2 STREAM__INLINE uint64_t stream__bits_avx2(__m256i a, __m256i b) {
    return (uint64_t)(uint32_t)_mm256_movemask_epi8(a) | (uint64_t)(uint32_t)_mm256_movemask_epi8(b) << 32;
}
STREAM__AVX2 STREAM__INLINE stream__v64_avx2 stream__load_avx2(const char *p) {
    stream__v64_avx2 v;
    v.a = _mm256_loadu_si256((const __m256i *)(const void *)p);
    v.b = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
    return v;
}
STREAM__AVX2 STREAM__INLINE stream__c64_avx2 stream__all_avx2(unsigned char c) {
    stream__c64_avx2 x = _mm256_set1_epi8((char)c);
    STREAM__KEEP(x);
    return x;
}
STREAM__AVX2 STREAM__INLINE uint64_t stream__is_avx2(stream__v64_avx2 v, stream__c64_avx2 c) {
    return stream__bits_avx2(_mm256_cmpeq_epi8(v.a, c), _mm256_cmpeq_epi8(v.b, c));
}
STREAM__AVX2 STREAM__INLINE uint64_t stream__upto_avx2(stream__v64_avx2 v, stream__c64_avx2 c) {
    return stream__bits_avx2(_mm256_cmpeq_epi8(_mm256_min_epu8(v.a, c), v.a),
                             _mm256_cmpeq_epi8(_mm256_min_epu8(v.b, c), v.b));
}
STREAM__AVX2 STREAM__INLINE stream__v64_avx2 stream__or_avx2(stream__v64_avx2 v, stream__c64_avx2 c) {
    v.a = _mm256_or_si256(v.a, c);
    v.b = _mm256_or_si256(v.b, c);
    return v;
}
STREAM__AVX2 STREAM__INLINE uint64_t stream__high_avx2(stream__v64_avx2 v) { return stream__bits_avx2(v.a, v.b); }
STREAM__AVX2 STREAM__INLINE bool stream__plain_avx2(stream__v64_avx2 v, stream__c64_avx2 c) {
    return _mm256_movemask_epi8(_mm256_and_si256(_mm256_cmpgt_epi8(v.a, c), _mm256_cmpgt_epi8(v.b, c))) == -1;
}
STREAM__AVX2 STREAM__INLINE __m256i stream__odd32_avx2(__m256i v) {
    const __m256i quote = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('"'));
    const __m256i marks = _mm256_or_si256(quote, _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\')));
    return _mm256_or_si256(marks, _mm256_cmpgt_epi8(_mm256_set1_epi8(' '), v));
}
STREAM__AVX2 STREAM__INLINE uint64_t stream__odd_avx2(stream__v64_avx2 v) {
    return stream__bits_avx2(stream__odd32_avx2(v.a), stream__odd32_avx2(v.b));
}
STREAM__AVX2 STREAM__INLINE __m256i stream__numeric32_avx2(__m256i v) {
    const __m256i above = _mm256_sub_epi8(v, _mm256_set1_epi8('+')), most = _mm256_set1_epi8('9' - '+');
    const __m256i e = _mm256_or_si256(v, _mm256_set1_epi8(' '));
    return _mm256_or_si256(_mm256_cmpeq_epi8(_mm256_max_epu8(above, most), most),
                           _mm256_cmpeq_epi8(e, _mm256_set1_epi8('e')));
}
STREAM__AVX2 STREAM__INLINE bool stream__numeric_avx2(stream__v64_avx2 v) {
    const __m256i both = _mm256_and_si256(stream__numeric32_avx2(v.a), stream__numeric32_avx2(v.b));
    return _mm256_movemask_epi8(both) == -1;
}
STREAM__AVX2 STREAM__INLINE uint64_t stream__bit5_avx2(stream__v64_avx2 v) {
    return stream__bits_avx2(_mm256_slli_epi16(v.a, 2), _mm256_slli_epi16(v.b, 2));
}
STREAM__AVX2 STREAM__INLINE uint64_t stream__parity_avx2(uint64_t x) {
    return (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(_mm_set_epi64x(0, (int64_t)x), _mm_set1_epi32(-1), 0));
}
STREAM__AVX2 STREAM__INLINE unsigned stream__count_avx2(uint64_t x) { return (unsigned)__builtin_popcountll(x); }

#ifdef STREAM__AVX512
typedef __m512i stream__c64_avx512;
typedef __m512i stream__v64_avx512;

STREAM__AVX512 STREAM__INLINE stream__v64_avx512 stream__load_avx512(const char *p) { return _mm512_loadu_si512(p); }
STREAM__AVX512 STREAM__INLINE stream__c64_avx512 stream__all_avx512(unsigned char c) {
    stream__c64_avx512 x = _mm512_set1_epi8((char)c);
    __asm__("" : "+v"(x));
    return x;
}
/* A mask, in a register of words: gcc 12 else reckons in those of masks, which costs framing a tenth of its time. */
STREAM__INLINE uint64_t stream__word_avx512(uint64_t mask) {
    __asm__("" : "+r"(mask));
    return mask;
}
STREAM__AVX512 STREAM__INLINE uint64_t stream__is_avx512(stream__v64_avx512 v, stream__c64_avx512 c) {
    return stream__word_avx512(_mm512_cmpeq_epi8_mask(v, c));
}
STREAM__AVX512 STREAM__INLINE uint64_t stream__upto_avx512(stream__v64_avx512 v, stream__c64_avx512 c) {
    return stream__word_avx512(_mm512_cmple_epu8_mask(v, c));
}
STREAM__AVX512 STREAM__INLINE stream__v64_avx512 stream__or_avx512(stream__v64_avx512 v, stream__c64_avx512 c) {
    return _mm512_or_si512(v, c);
}
STREAM__AVX512 STREAM__INLINE uint64_t stream__high_avx512(stream__v64_avx512 v) {
    return stream__word_avx512(_mm512_movepi8_mask(v));
}
STREAM__AVX512 STREAM__INLINE bool stream__plain_avx512(stream__v64_avx512 v, stream__c64_avx512 c) {
    return _mm512_cmple_epi8_mask(v, c) == 0;
}
STREAM__AVX512 STREAM__INLINE uint64_t stream__odd_avx512(stream__v64_avx512 v) {
    return stream__word_avx512(_mm512_cmplt_epi8_mask(v, _mm512_set1_epi8(' '))) |
           stream__is_avx512(v, _mm512_set1_epi8('"')) | stream__is_avx512(v, _mm512_set1_epi8('\\'));
}
STREAM__AVX512 STREAM__INLINE bool stream__numeric_avx512(stream__v64_avx512 v) {
    const __m512i e = _mm512_or_si512(v, _mm512_set1_epi8(' ')), low = _mm512_set1_epi8('+');
    const __mmask64 others = _mm512_cmpneq_epi8_mask(e, _mm512_set1_epi8('e'));
    return !_mm512_mask_cmpgt_epu8_mask(others, _mm512_sub_epi8(v, low), _mm512_set1_epi8('9' - '+'));
}
STREAM__AVX512 STREAM__INLINE uint64_t stream__bit5_avx512(stream__v64_avx512 v) {
    return stream__word_avx512(_mm512_test_epi8_mask(v, _mm512_set1_epi8(0x20)));
}
#define stream__parity_avx512 stream__parity_avx2
#define stream__count_avx512 stream__count_avx2
#endif

typedef __m128i stream__c64_sse2;
typedef struct stream__v64_sse2 {
    __m128i v[4];
} stream__v64_sse2;

STREAM__INLINE uint64_t stream__bits_sse2(__m128i a, __m128i b, __m128i c, __m128i d) {
    return (uint64_t)((uint32_t)_mm_movemask_epi8(a) | (uint32_t)_mm_movemask_epi8(b) << 16) |
           (uint64_t)((uint32_t)_mm_movemask_epi8(c) | (uint32_t)_mm_movemask_epi8(d) << 16) << 32;
}
STREAM__INLINE stream__v64_sse2 stream__load_sse2(const char *p) {
    stream__v64_sse2 v;
    v.v[0] = _mm_loadu_si128((const __m128i *)(const void *)p);
    v.v[1] = _mm_loadu_si128((const __m128i *)(const void *)(p + 16));
    v.v[2] = _mm_loadu_si128((const __m128i *)(const void *)(p + 32));
    v.v[3] = _mm_loadu_si128((const __m128i *)(const void *)(p + 48));
    return v;
}
STREAM__INLINE stream__c64_sse2 stream__all_sse2(unsigned char c) {
    stream__c64_sse2 x = _mm_set1_epi8((char)c);
    STREAM__KEEP(x);
    return x;
}
STREAM__INLINE uint64_t stream__is_sse2(stream__v64_sse2 v, stream__c64_sse2 c) {
    return stream__bits_sse2(_mm_cmpeq_epi8(v.v[0], c), _mm_cmpeq_epi8(v.v[1], c), _mm_cmpeq_epi8(v.v[2], c),
                             _mm_cmpeq_epi8(v.v[3], c));
}
STREAM__INLINE uint64_t stream__upto_sse2(stream__v64_sse2 v, stream__c64_sse2 c) {
    return stream__bits_sse2(
        _mm_cmpeq_epi8(_mm_min_epu8(v.v[0], c), v.v[0]), _mm_cmpeq_epi8(_mm_min_epu8(v.v[1], c), v.v[1]),
        _mm_cmpeq_epi8(_mm_min_epu8(v.v[2], c), v.v[2]), _mm_cmpeq_epi8(_mm_min_epu8(v.v[3], c), v.v[3]));
}
STREAM__INLINE stream__v64_sse2 stream__or_sse2(stream__v64_sse2 v, stream__c64_sse2 c) {
    int i;
    for (i = 0; i < 4; i++) v.v[i] = _mm_or_si128(v.v[i], c);
    return v;
}
STREAM__INLINE uint64_t stream__high_sse2(stream__v64_sse2 v) {
    return stream__bits_sse2(v.v[0], v.v[1], v.v[2], v.v[3]);
}
STREAM__INLINE bool stream__plain_sse2(stream__v64_sse2 v, stream__c64_sse2 c) {
    return _mm_movemask_epi8(
               _mm_and_si128(_mm_and_si128(_mm_cmpgt_epi8(v.v[0], c), _mm_cmpgt_epi8(v.v[1], c)),
                             _mm_and_si128(_mm_cmpgt_epi8(v.v[2], c), _mm_cmpgt_epi8(v.v[3], c)))) == 0xFFFF;
}
STREAM__INLINE __m128i stream__odd16_sse2(__m128i v) {
    const __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
    const __m128i marks = _mm_or_si128(quote, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    return _mm_or_si128(marks, _mm_cmpgt_epi8(_mm_set1_epi8(' '), v));
}
STREAM__INLINE uint64_t stream__odd_sse2(stream__v64_sse2 v) {
    return stream__bits_sse2(stream__odd16_sse2(v.v[0]), stream__odd16_sse2(v.v[1]), stream__odd16_sse2(v.v[2]),
                             stream__odd16_sse2(v.v[3]));
}
STREAM__INLINE __m128i stream__numeric16_sse2(__m128i v) {
    const __m128i above = _mm_sub_epi8(v, _mm_set1_epi8('+')), most = _mm_set1_epi8('9' - '+');
    const __m128i e = _mm_or_si128(v, _mm_set1_epi8(' '));
    return _mm_or_si128(_mm_cmpeq_epi8(_mm_max_epu8(above, most), most), _mm_cmpeq_epi8(e, _mm_set1_epi8('e')));
}
STREAM__INLINE bool stream__numeric_sse2(stream__v64_sse2 v) {
    const __m128i a = _mm_and_si128(stream__numeric16_sse2(v.v[0]), stream__numeric16_sse2(v.v[1]));
    const __m128i b = _mm_and_si128(stream__numeric16_sse2(v.v[2]), stream__numeric16_sse2(v.v[3]));
    return _mm_movemask_epi8(_mm_and_si128(a, b)) == 0xFFFF;
}
STREAM__INLINE uint64_t stream__bit5_sse2(stream__v64_sse2 v) {
    return stream__bits_sse2(_mm_slli_epi16(v.v[0], 2), _mm_slli_epi16(v.v[1], 2), _mm_slli_epi16(v.v[2], 2),
                             _mm_slli_epi16(v.v[3], 2));
}
STREAM__INLINE uint64_t stream__parity_sse2(uint64_t x) { return stream__parity_any(x); }
STREAM__INLINE unsigned stream__count_sse2(uint64_t x) { return stream_json__count(x); }

#elif STREAM__SIMD_NEON

typedef uint8x16_t stream__c64_neon;
typedef struct stream__v64_neon {
    uint8x16_t v[4];
} stream__v64_neon;

/* NEON has no movemask: each lane keeps one bit of its place in a byte, and three pairwise additions gather
   64 of them. */
STREAM__INLINE uint64_t stream__bits_neon(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d) {
    static const uint8_t places[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t place = vld1q_u8(places);
    a = vpaddq_u8(vandq_u8(a, place), vandq_u8(b, place));
    c = vpaddq_u8(vandq_u8(c, place), vandq_u8(d, place));
    a = vpaddq_u8(a, c);
    a = vpaddq_u8(a, a);
    return vgetq_lane_u64(vreinterpretq_u64_u8(a), 0);
}
STREAM__INLINE stream__v64_neon stream__load_neon(const char *p) {
    stream__v64_neon v;
    int i;
    for (i = 0; i < 4; i++) v.v[i] = vld1q_u8((const uint8_t *)p + 16 * i);
    return v;
}
STREAM__INLINE stream__c64_neon stream__all_neon(unsigned char c) { return vdupq_n_u8(c); }
STREAM__INLINE uint64_t stream__is_neon(stream__v64_neon v, stream__c64_neon c) {
    return stream__bits_neon(vceqq_u8(v.v[0], c), vceqq_u8(v.v[1], c), vceqq_u8(v.v[2], c), vceqq_u8(v.v[3], c));
}
STREAM__INLINE uint64_t stream__upto_neon(stream__v64_neon v, stream__c64_neon c) {
    return stream__bits_neon(vcleq_u8(v.v[0], c), vcleq_u8(v.v[1], c), vcleq_u8(v.v[2], c), vcleq_u8(v.v[3], c));
}
STREAM__INLINE stream__v64_neon stream__or_neon(stream__v64_neon v, stream__c64_neon c) {
    int i;
    for (i = 0; i < 4; i++) v.v[i] = vorrq_u8(v.v[i], c);
    return v;
}
STREAM__INLINE uint64_t stream__high_neon(stream__v64_neon v) {
    return ~stream__upto_neon(v, stream__all_neon(0x7F));
}
STREAM__INLINE bool stream__plain_neon(stream__v64_neon v, stream__c64_neon c) {
    const int8x16_t least = vminq_s8(vminq_s8(vreinterpretq_s8_u8(v.v[0]), vreinterpretq_s8_u8(v.v[1])),
                                     vminq_s8(vreinterpretq_s8_u8(v.v[2]), vreinterpretq_s8_u8(v.v[3])));
    return vminvq_s8(least) > vgetq_lane_s8(vreinterpretq_s8_u8(c), 0);
}
STREAM__INLINE uint8x16_t stream__odd16_neon(uint8x16_t v) {
    const uint8x16_t marks = vorrq_u8(vceqq_u8(v, vdupq_n_u8('"')), vceqq_u8(v, vdupq_n_u8('\\')));
    return vorrq_u8(marks, vcltq_s8(vreinterpretq_s8_u8(v), vdupq_n_s8(' ')));
}
STREAM__INLINE uint64_t stream__odd_neon(stream__v64_neon v) {
    return stream__bits_neon(stream__odd16_neon(v.v[0]), stream__odd16_neon(v.v[1]), stream__odd16_neon(v.v[2]),
                             stream__odd16_neon(v.v[3]));
}
STREAM__INLINE uint8x16_t stream__numeric16_neon(uint8x16_t v) {
    const uint8x16_t in = vcleq_u8(vsubq_u8(v, vdupq_n_u8('+')), vdupq_n_u8('9' - '+'));
    return vorrq_u8(in, vceqq_u8(vorrq_u8(v, vdupq_n_u8(' ')), vdupq_n_u8('e')));
}
STREAM__INLINE bool stream__numeric_neon(stream__v64_neon v) {
    const uint8x16_t a = vandq_u8(stream__numeric16_neon(v.v[0]), stream__numeric16_neon(v.v[1]));
    return vminvq_u8(vandq_u8(a, vandq_u8(stream__numeric16_neon(v.v[2]), stream__numeric16_neon(v.v[3])))) == 0xFF;
}
STREAM__INLINE uint64_t stream__bit5_neon(stream__v64_neon v) {
    uint8x16_t x = vdupq_n_u8(0x20);
    return stream__bits_neon(vtstq_u8(v.v[0], x), vtstq_u8(v.v[1], x), vtstq_u8(v.v[2], x), vtstq_u8(v.v[3], x));
}
STREAM__INLINE uint64_t stream__parity_neon(uint64_t x) { return stream__parity_any(x); }
STREAM__INLINE unsigned stream__count_neon(uint64_t x) { return (unsigned)__builtin_popcountll(x); }

#endif

/* The scalar one: eight words of eight bytes, the first byte lowest whatever the machine's order is. */
typedef uint64_t stream__c64_scalar;
typedef struct stream__v64_scalar {
    uint64_t w[8];
} stream__v64_scalar;

#define STREAM__BYTES(b) (UINT64_C(0x0101010101010101) * (b))

/* Gathers the top bits of the eight bytes: the multiplication moves bit 8i to bit 56 + i. */
STREAM__INLINE uint64_t stream__gather(uint64_t tops) {
    return ((tops >> 7 & STREAM__BYTES(1)) * UINT64_C(0x0102040810204080)) >> 56;
}
STREAM__INLINE stream__v64_scalar stream__load_scalar(const char *p) {
    stream__v64_scalar v;
    int i;
#if STREAM__LITTLE_ENDIAN
    for (i = 0; i < 8; i++) memcpy(&v.w[i], p + 8 * i, 8);
#else
    for (i = 0; i < 8; i++) {
        int k;
        v.w[i] = 0;
        for (k = 7; k >= 0; k--) v.w[i] = v.w[i] << 8 | (unsigned char)p[8 * i + k];
    }
#endif
    return v;
}
STREAM__INLINE stream__c64_scalar stream__all_scalar(unsigned char c) { return STREAM__BYTES(c); }
/* Seven bits of each byte are compared by an addition that cannot carry into the next byte; the eighth is
   seen to apart. */
STREAM__INLINE uint64_t stream__is_scalar(stream__v64_scalar v, stream__c64_scalar c) {
    uint64_t bits = 0;
    int i;
    for (i = 0; i < 8; i++) {
        uint64_t x = v.w[i] ^ c;
        bits |= stream__gather(~(((x & STREAM__BYTES(0x7F)) + STREAM__BYTES(0x7F)) | x)) << (8 * i);
    }
    return bits;
}
STREAM__INLINE uint64_t stream__upto_scalar(stream__v64_scalar v, stream__c64_scalar c) {
    uint64_t bits = 0, add = STREAM__BYTES(0x7F) - (c & STREAM__BYTES(0x7F));
    int i;
    for (i = 0; i < 8; i++) {
        uint64_t x = v.w[i], above = (x & STREAM__BYTES(0x7F)) + add;
        bits |= stream__gather(c >> 63 ? ~(above & x) : ~(above | x)) << (8 * i);
    }
    return bits;
}
STREAM__INLINE stream__v64_scalar stream__or_scalar(stream__v64_scalar v, stream__c64_scalar c) {
    int i;
    for (i = 0; i < 8; i++) v.w[i] |= c;
    return v;
}
STREAM__INLINE uint64_t stream__high_scalar(stream__v64_scalar v) {
    uint64_t bits = 0;
    int i;
    for (i = 0; i < 8; i++) bits |= stream__gather(v.w[i]) << (8 * i);
    return bits;
}
STREAM__INLINE bool stream__plain_scalar(stream__v64_scalar v, stream__c64_scalar c) {
    uint64_t high = 0, above = STREAM__BYTES(0x80);
    int i;
    for (i = 0; i < 8; i++) {
        high |= v.w[i];
        above &= (v.w[i] & STREAM__BYTES(0x7F)) + (STREAM__BYTES(0x7F) - c);
    }
    return ((high | ~above) & STREAM__BYTES(0x80)) == 0;
}
STREAM__INLINE bool stream__numeric_scalar(stream__v64_scalar v) {
    uint64_t others = 0;
    int i;
    for (i = 0; i < 8; i++) {
        const uint64_t x = v.w[i], not_e = (x | STREAM__BYTES(' ')) ^ STREAM__BYTES('e');
        const uint64_t low = x & STREAM__BYTES(0x7F);
        others |= x | (((not_e & STREAM__BYTES(0x7F)) + STREAM__BYTES(0x7F)) &
                       (~(low + STREAM__BYTES(0x80 - '+')) | (low + STREAM__BYTES(0x7F - '9'))));
    }
    return (others & STREAM__BYTES(0x80)) == 0;
}
STREAM__INLINE uint64_t stream__bit5_scalar(stream__v64_scalar v) {
    uint64_t bits = 0;
    int i;
    for (i = 0; i < 8; i++) bits |= stream__gather(v.w[i] << 2) << (8 * i);
    return bits;
}
STREAM__INLINE uint64_t stream__parity_scalar(uint64_t x) { return stream__parity_any(x); }
STREAM__INLINE unsigned stream__count_scalar(uint64_t x) { return stream_json__count(x); }

static bool stream__is_utf8_scalar(const char *p) {
    (void)p;
    return false;
}
#if STREAM__SIMD_X86
#define stream__is_utf8_sse2 stream__is_utf8_scalar /* which has no table look-up */
#endif

/* Which of the escaped bytes are not one of the eight characters that may stand alone behind a backslash, one by
   one, as they are few. */
static uint64_t stream__odd_escapes_scalar(const char *bytes, uint64_t escaped) {
    /* For each 32 characters those that may: " and /, \ alone, b f n r t. */
    static const uint32_t may[8] = {0, 1u << 2 | 1u << 15, 1u << 28,
                                    1u << 2 | 1u << 6 | 1u << 14 | 1u << 18 | 1u << 20, 0, 0, 0, 0};
    uint64_t odd = 0;
    for (; escaped; escaped &= escaped - 1) {
        const unsigned char c = (unsigned char)bytes[stream_json__lowest(escaped)];
        if (!(may[c >> 5] >> (c & 31) & 1)) odd |= escaped & (0 - escaped);
    }
    return odd;
}

#if STREAM__SIMD_X86 || STREAM__SIMD_NEON
/* The same in tables: by its high half each of the eight has one of the bits 1 2 4 8 (2. 5. 6. 7.), by its low half
   all the bits of the rows in which it stands there. For those who ask, u has 16, and of the hexadecimal digits those of
   one row have 32 (3.), those of two 64 (4. 6.). */
static const uint8_t stream__escape_high[16] = {0, 0, 1, 0, 0, 2, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0};
static const uint8_t stream__escape_low[16] = {32,          32 | 64, 1 | 4 | 8 | 32 | 64, 32 | 64, 8 | 32 | 64,
                                               16 | 32 | 64, 4 | 32 | 64, 32, 32, 32, 0, 0, 2, 0, 4, 1};
#endif
#if STREAM__SIMD_X86
#define stream__odd_escapes_sse2 stream__odd_escapes_scalar
STREAM__AVX2 STREAM__WORD uint64_t stream__odd_escapes_avx2(const char *bytes, uint64_t escaped) {
#define STREAM__TABLE(t) _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(t)))
    const __m256i high = STREAM__TABLE(stream__escape_high), low = STREAM__TABLE(stream__escape_low);
#undef STREAM__TABLE
    const __m256i half = _mm256_set1_epi8(15), zero = _mm256_setzero_si256();
    stream__v64_avx2 v = stream__load_avx2(bytes);
    v.a = _mm256_and_si256(_mm256_shuffle_epi8(low, v.a),
                           _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16(v.a, 4), half)));
    v.b = _mm256_and_si256(_mm256_shuffle_epi8(low, v.b),
                           _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16(v.b, 4), half)));
    return escaped & stream__is_avx2(v, zero);
}
#ifdef STREAM__AVX512
static const uint8_t stream__letter_high[16] = {0, 0, 1, 32, 64, 2, 4 | 64, 8 | 16, 0, 0, 0, 0, 0, 0, 0, 0};
/* What it needs in registers to tell which bytes may stand alone, are u, are digits. */
typedef struct stream__letters_avx512 {
    __m512i table_high, table_low, low, alone, u, hex;
} stream__letters_avx512;
STREAM__AVX512 STREAM__INLINE stream__letters_avx512 stream__letters_begin_avx512(void) {
#define STREAM__TABLE(t) _mm512_maskz_broadcast_i32x4(0xFFFF, _mm_loadu_si128((const __m128i *)(const void *)(t)))
    stream__letters_avx512 c;
    c.table_high = STREAM__TABLE(stream__letter_high);
    c.table_low = STREAM__TABLE(stream__escape_low);
#undef STREAM__TABLE
    c.low = c.alone = stream__all_avx512(15);
    c.u = stream__all_avx512(16);
    c.hex = stream__all_avx512(32 | 64);
    return c;
}
STREAM__AVX512 STREAM__INLINE __m512i stream__kinds_avx512(const stream__letters_avx512 *c, __m512i v) {
    const __m512i row = _mm512_shuffle_epi8(c->table_high, _mm512_and_si512(_mm512_srli_epi16(v, 4), c->low));
    return _mm512_and_si512(_mm512_shuffle_epi8(c->table_low, v), row);
}
STREAM__AVX512 STREAM__WORD uint64_t stream__odd_escapes_avx512(const char *bytes, uint64_t escaped) {
    const stream__letters_avx512 c = stream__letters_begin_avx512();
    const __m512i kinds = stream__kinds_avx512(&c, stream__load_avx512(bytes));
    return escaped & stream__word_avx512(_mm512_testn_epi8_mask(kinds, c.alone));
}
#endif
#elif STREAM__SIMD_NEON
STREAM__WORD uint64_t stream__odd_escapes_neon(const char *bytes, uint64_t escaped) {
    const uint8x16_t high = vld1q_u8(stream__escape_high), low = vld1q_u8(stream__escape_low);
    stream__v64_neon v = stream__load_neon(bytes);
    int i;
    for (i = 0; i < 4; i++)
        v.v[i] = vandq_u8(vqtbl1q_u8(low, vandq_u8(v.v[i], vdupq_n_u8(15))),
                          vqtbl1q_u8(high, vshrq_n_u8(v.v[i], 4)));
    return escaped & stream__is_neon(v, vdupq_n_u8(0));
}
#endif

/* Literals one by one: none where one of `scalar` stands behind one. */
static uint64_t stream__literals_scalar(const char *bytes, uint64_t starts, uint64_t scalar) {
    uint64_t all = 0, behind = 0;
    for (; starts; starts &= starts - 1) {
        const unsigned at = stream_json__lowest(starts), from = at < 56 ? at : 56;
        const uint64_t token = stream_json__load8(bytes + from) >> 8 * (at - from);
        const unsigned which = token >> 3 & 3, letters = which ? 4 : 5;
        const uint64_t odd = (token ^ stream_json__load8(stream_json__letters[which])) &
                             ((UINT64_C(1) << 8 * letters) - 1);
        const uint64_t end = (uint64_t)(odd == 0) << letters << at; /* the bit behind it, if the block has that */
        all |= end - (end ? UINT64_C(1) << at : 0);
        behind |= end;
    }
    return behind & scalar ? 0 : all;
}
/* By their letters, without a jump: how many there are nobody can foretell. */
#define STREAM__LITERALS(K, TARGET)                                                                          \
    TARGET STREAM__WORD uint64_t stream__literals_##K(const char *bytes, uint64_t starts, uint64_t scalar) { \
        const stream__v64_##K v = stream__load_##K(bytes);                                                   \
        uint64_t n = stream__is_##K(v, stream__all_##K('n')), u = stream__is_##K(v, stream__all_##K('u'));   \
        uint64_t l = stream__is_##K(v, stream__all_##K('l')), t = stream__is_##K(v, stream__all_##K('t'));   \
        uint64_t r = stream__is_##K(v, stream__all_##K('r')), e = stream__is_##K(v, stream__all_##K('e'));   \
        uint64_t f = stream__is_##K(v, stream__all_##K('f')), a = stream__is_##K(v, stream__all_##K('a'));   \
        uint64_t s = stream__is_##K(v, stream__all_##K('s'));                                                \
        uint64_t four = (n & u >> 1 & l >> 2 & l >> 3) | (t & r >> 1 & u >> 2 & e >> 3);                     \
        uint64_t five = f & a >> 1 & l >> 2 & s >> 3 & e >> 4;                                               \
        return (four & starts & ~scalar >> 4) * 15 | (five & starts & ~scalar >> 5) * 31;                    \
    }
#if STREAM__SIMD_X86
#define stream__literals_sse2 stream__literals_scalar /* four registers a block: masks cost it more than the jump */
STREAM__LITERALS(avx2, STREAM__AVX2)
#ifdef STREAM__AVX512
STREAM__LITERALS(avx512, STREAM__AVX512)
#endif
#elif STREAM__SIMD_NEON
STREAM__LITERALS(neon, )
#endif

/* Without a jump that depends on the bracket: nobody could foretell it. */
static uint64_t stream__object_after_scalar(uint64_t *top, uint64_t open, uint64_t close, uint64_t object,
                                            uint64_t *bottom) {
    uint64_t rest, kinds = *top, after = 0, below = 0;
    for (rest = open | close; rest; rest &= rest - 1) {
        const uint64_t bit = rest & (0 - rest);
        const uint64_t opens = 0 - (uint64_t)((open & bit) != 0), more = kinds + kinds + ((object & bit) != 0);
        kinds >>= 1;
        kinds ^= (kinds ^ more) & opens;
        after |= bit & (0 - (kinds & 1));
        below |= kinds - 4;
    }
    *top = kinds;
    *bottom = below;
    return after;
}
#if STREAM__SIMD_X86
#define stream__object_after_sse2 stream__object_after_scalar
/* The lowest n bits in reverse order, where the others are 0. A byte's: Anderson, Bit Twiddling Hacks. */
STREAM__INLINE uint64_t stream__reverse(uint64_t x, unsigned n) {
    if (n <= 8)
        return ((x * 0x80200802 & UINT64_C(0x0884422110)) * UINT64_C(0x0101010101) >> 32 & 0xFF) >> (8 - n);
    x = (x >> 1 & STREAM__BYTES(0x55)) | (x & STREAM__BYTES(0x55)) << 1;
    x = (x >> 2 & STREAM__BYTES(0x33)) | (x & STREAM__BYTES(0x33)) << 2;
    x = (x >> 4 & STREAM__BYTES(0x0F)) | (x & STREAM__BYTES(0x0F)) << 4;
    return __builtin_bswap64(x) >> (64 - n);
}
/* What is known behind the brackets that have been taken, and those that have not. */
typedef struct stream__brackets {
    uint64_t kinds, below, after;
    uint64_t open, close, opened; /* opened: the kinds of the `left` that open, the last one lowest */
    unsigned left;
} stream__brackets;
/* Pushes those that open before the next that closes, and pops those that close behind them, each at once. Where none
   closes any more that is no fault: in vain costs less than a jump that is not foretold. */
STREAM__AVX2 STREAM__INLINE void stream__take_brackets(stream__brackets *b) {
    const uint64_t upto = b->close ^ (b->close - 1);
    const unsigned opens = stream__count_avx2(b->open & upto);
    uint64_t closing;
    unsigned closes;
    b->open &= ~upto;
    b->left -= opens;
    b->kinds = b->kinds << opens | _bzhi_u64(b->opened >> b->left, opens);
    closing = b->close & (b->open ^ (b->open - 1));
    closes = stream__count_avx2(closing);
    b->close ^= closing;
    b->after |= _pdep_u64(b->kinds >> 1, closing);
    b->kinds >>= closes;
    b->below |= b->kinds - 4;
}
STREAM__AVX2 STREAM__WORD uint64_t stream__object_after_avx2(uint64_t *top, uint64_t open, uint64_t close,
                                                               uint64_t object, uint64_t *bottom) {
    stream__brackets b;
    b.kinds = *top;
    b.below = 0;
    b.after = object;
    b.open = open;
    b.close = close;
    b.left = stream__count_avx2(open);
    b.opened = stream__reverse(_pext_u64(object, open), b.left);
    if (stream__count_avx2(close) > 2) {
        stream__take_brackets(&b);
        stream__take_brackets(&b);
        stream__take_brackets(&b);
    }
    while (b.close) stream__take_brackets(&b);
    *top = b.kinds << b.left | _bzhi_u64(b.opened, b.left);
    *bottom = b.below;
    return b.after;
}
#define stream__object_after_avx512 stream__object_after_avx2
#elif STREAM__SIMD_NEON
#define stream__object_after_neon stream__object_after_scalar
#endif

/* The lowest n bits, n from 1 to 64. */
STREAM__INLINE uint64_t stream_json__below(unsigned n) { return ~UINT64_C(0) >> (64 - n); }

/* The bytes that a backslash escapes. Runs of backslashes escape every second byte; a run that begins at an
   odd place is found by the carry of an addition (Langdale and Lemire). */
STREAM__INLINE uint64_t stream_json__escaped_by(uint64_t backslash, uint64_t carry) {
    const uint64_t even = UINT64_C(0x5555555555555555);
    const uint64_t active = backslash & ~carry;
    const uint64_t follows = active << 1 | carry;
    const uint64_t odd_runs = active & ~even & ~follows;
    return (even ^ ((odd_runs + active) << 1)) & follows;
}

/* The same where there mostly are none. In long strings there are in every other block, and no branch is foretold. */
STREAM__INLINE uint64_t stream_json__escaped(uint64_t backslash, uint64_t carry) {
    return (backslash | carry) == 0 ? 0 : stream_json__escaped_by(backslash, carry);
}

/* A stretch of a block, from bit `from` on:

       bytes       {"a\"}":[1]}
       quote        1    1       those that open or close a string
       escaped         1
       string       11111        from each opening quote to before the closing one
       open        1       1     outside strings, up to where the value or its record ends
       close                 11
       valid       111111111111  the bytes that belong to the value: from `from` to before `to` */
typedef struct stream_json__stretch {
    uint64_t quote, escaped, string, open, close, valid;
    stream_json__rules rules; /* the whole block's, when it is checked */
    unsigned from, to;
} stream_json__stretch;

typedef struct stream_json__digits {
    uint64_t digit, zero, minus, point;
} stream_json__digits;

/* How a kernel tells rare bytes. masks: one for each of `total` characters, the first `equal` of them for the
   bytes that equal it, the others for those that are at most it. digits, signs: what numbers are made of.
   odd_escapes: which of the escaped bytes may not stand alone behind a backslash: u, and those that are wrong.
   is_utf8: whether 64 bytes of which the first begins a character are UTF-8, as far as they go; false also where
   it cannot say. object_after: the brackets behind which an object is innermost, where `object` are those that open
   one; *top has the kinds of all that are open, the innermost lowest, behind them a 0 and a 1, and room for more;
   *bottom gets its highest bit where all are closed behind one of them. literals: the bytes of those at `starts`
   that end before the block does and have none of `scalar` behind them; which it leaves out are asked about again. */
typedef struct stream_json__words {
    void (*masks)(const char *bytes, const char *set, unsigned equal, unsigned total, uint64_t *masks);
    void (*digits)(const char *bytes, stream_json__digits *digits);
    void (*signs)(const char *bytes, stream_json__digits *digits);
    uint64_t (*odd_escapes)(const char *bytes, uint64_t escaped);
    bool (*is_utf8)(const char *bytes);
    uint64_t (*object_after)(uint64_t *top, uint64_t open, uint64_t close, uint64_t object, uint64_t *bottom);
    uint64_t (*literals)(const char *bytes, uint64_t starts, uint64_t scalar);
} stream_json__words;

/* A stretch checked in a kernel's words. */
typedef bool stream_json__examine(stream_json__scan *s, const char *bytes, const char *base,
                                  const stream_json__stretch *t);

/* Depth over the brackets in the order they stand; stops at the one that closes the value and says its
   place, 64 when none does. */
STREAM__INLINE unsigned stream_json__walk_brackets(stream_json__scan *s, uint64_t open, uint64_t close) {
    size_t depth = s->depth, deepest = s->deepest;
    unsigned closed = 64;
    uint64_t rest;
    for (rest = open | close; rest; rest &= rest - 1) {
        if (open & rest & (0 - rest)) {
            if (++depth > deepest) deepest = depth;
        } else if (--depth == 0) {
            closed = stream_json__lowest(rest);
            break;
        }
    }
    s->depth = depth;
    s->deepest = deepest;
    return closed;
}

/* How many bits are set in each four of x. */
STREAM__INLINE uint64_t stream_json__nibbles(uint64_t x) {
    x -= x >> 1 & STREAM__BYTES(0x55);
    return (x & STREAM__BYTES(0x33)) + (x >> 2 & STREAM__BYTES(0x33));
}

/* Whether a value that is `depth` deep, at most 64, stays open through a block in which as many brackets or more are
   closed, as far as sixteen groups of four bytes tell, each taken as if its closing brackets stood first. */
STREAM__INLINE bool stream_json__stays_open(size_t depth, uint64_t open, uint64_t close) {
    const uint64_t top = STREAM__BYTES(0x80), one = STREAM__BYTES(1);
    const uint64_t opens = stream_json__nibbles(open), closes = stream_json__nibbles(close);
    const uint64_t low_opens = opens & STREAM__BYTES(15), low_closes = closes & STREAM__BYTES(15);
    /* In each byte what the groups before have opened, which with the depth is at most 127, and closed. */
    const uint64_t before = ((low_opens + (opens >> 4 & STREAM__BYTES(15))) * one << 8) + one * depth;
    const uint64_t after = (low_closes + (closes >> 4 & STREAM__BYTES(15))) * one;
    const uint64_t low = (before | top) - ((after << 8) + low_closes + one);
    const uint64_t high = ((before + low_opens) | top) - (after + one);
    return (low & high & top) == top;
}

/* A value ends at p. Where the next record plainly begins behind it, as most do in a stream of records, its end is
   noted and the next value is begun: its first bracket is taken. */
STREAM__INLINE bool stream_json__goes_on(stream_json__scan *s, const char *p, const char *e) {
    if (s->depth > 0 || !s->batching || e - p < 3 || p[0] != s->end_byte || p[1] != '{' || p[2] != '"' ||
        s->deepest > s->max_depth || s->count == STREAM_JSON__BATCH)
        return false;
    s->ends[s->count++] = p;
    s->depth = s->deepest = 1;
    s->in_string = s->escaped = false;
    return true;
}

/* Whether at `end`, the bit of p, where nothing else ends in a block, one record ends and the next begins, as plainly
   as they mostly do: before it no bracket but those that close the one, behind it none that closes. `closes` are
   closed before it, `opens` opened behind it. */
STREAM__INLINE bool stream_json__turns(const stream_json__scan *s, const char *p, const stream_json__stretch *t,
                                       uint64_t end, size_t depth, size_t closes, size_t opens) {
    const uint64_t head = end - 1;
    return !(end == 0 || !s->batching || s->count == STREAM_JSON__BATCH || ((t->open & head) | (t->close & ~head)) ||
             !(t->close & end >> 1) || closes != depth || end >> 62) &&
           p[1] == '{' && p[2] == '"' && s->deepest <= s->max_depth && opens <= s->max_depth;
}

/* The bytes from base to e, fewer than 64, with zeros behind them. How many there are nobody can foretell, so 64 are
   copied where the loan has them: a copy of as many as there are costs jumps. */
STREAM__INLINE const char *stream_json__padded(char copy[128], const char *loan, const char *base, const char *e) {
    const size_t n = (size_t)(e - base);
    memset(copy + 64, 0, 64);
    if (e - loan >= 64) memcpy(copy, e - 64, 64);
    else memcpy(copy + 64 - n, base, n);
    return copy + 64 - n;
}

/* ==[ grammar: implementation ]======================================================================
   The grammar of RFC 8259 on masks. What may stand at a byte outside strings is told by the token before it: a
   value stands behind [ and : and, in an array, behind a comma; a name behind { and, in an object, behind a
   comma; a comma or a closing bracket behind a value; a colon behind a name and nowhere else. All else is asked of
   a block only when it has such bytes: white space, the insides of numbers and literals, escapes, characters
   beyond ASCII. Each question yields the bytes that are wrong, and the first of them all is the fault: the same
   byte a parser that goes byte by byte would stop at, because nothing before it was wrong. */

/* Of the number that the byte before a stretch belongs to. */
enum {
    STREAM_JSON__IS_NUMBER = 1,
    STREAM_JSON__IS_DIGIT = 2,
    STREAM_JSON__IS_MINUS = 4,
    STREAM_JSON__IS_ZERO = 8, /* which nothing but . e E may follow */
    STREAM_JSON__IS_POINT = 16,
    STREAM_JSON__IS_E = 32,
    STREAM_JSON__IS_SIGN = 64, /* behind E */
    STREAM_JSON__IN_FRACTION = 128,
    STREAM_JSON__IN_EXPONENT = 256
};

/* As behind the first byte of an object or array, or behind an array's first element. */
static void stream_json__grammar_init(stream_json__grammar *g, uint8_t last) {
    memset(&g->top, 0, sizeof *g - offsetof(stream_json__grammar, top));
    g->depth = 1;
    g->top = last == '{';
    g->name = last == '{';
    g->value = last == '[';
    g->begun = last == '{' || last == '[';
    g->ended = !g->begun;
}

/* The bytes that come next after those in x; the stretch's first is told by what the last one ended with. */
STREAM__INLINE uint64_t stream_json__next_to(uint64_t x, unsigned was, unsigned flag, unsigned from) {
    return x << 1 | (uint64_t)((was & flag) != 0) << from;
}

/* Marks move right over the bytes in `over` to the first that is none. */
STREAM__INLINE uint64_t stream_json__move_over(uint64_t marks, uint64_t over) {
    return (marks & ~over) | (((marks & over) + over) & ~over);
}

/* The k bytes after each of those in x, as they fall behind `to`. */
STREAM__INLINE uint64_t stream_json__carry_after(uint64_t x, unsigned k, unsigned to) {
    return to >= k ? x >> (to - k) : x << (k - to);
}

/* Notes what a character that p cuts still asks for, by the three bytes before it. False where no byte can follow the
   last of them, which is a fault right there. */
STREAM__INLINE bool stream_json__cut_character(stream_json__grammar *g, const char *p) {
    const unsigned a = (unsigned char)p[-3], b = (unsigned char)p[-2], c = (unsigned char)p[-1];
    g->need = 0;
    if (((a & a << 1) | (b & b << 1) | (c & c << 1)) & 0x80) {
        if (c == 0xC0 || c == 0xC1 || c > 0xF4) return false;
        g->need = (uint8_t)((a >= 0xF0) | (b >= 0xF0 ? 3 : b >= 0xE0) |
                            (c >= 0xF0 ? 7 : c >= 0xE0 ? 3 : c >= 0xC0));
        g->second = (uint8_t)((c == 0xE0) | (c == 0xED) << 1 | (c == 0xF0) << 2 | (c == 0xF4) << 3);
    }
    return true;
}

/* Whether a block that begins with a character is UTF-8 (RFC 3629, section 4); notes what a character cut at its end
   still asks for. False also where it cannot say. */
STREAM__INLINE bool stream_json__is_utf8(stream_json__grammar *g, const stream_json__words *words,
                                         const char *bytes) {
    return words->is_utf8(bytes) && stream_json__cut_character(g, bytes + 64);
}

/* The same of any stretch: continuation bytes stand just where a lead byte asks for them, and the second byte of
   four leads has narrower bounds. Returns the bytes that are wrong. */
static uint64_t stream_json__check_utf8(stream_json__grammar *g, const stream_json__words *words,
                                        const char *bytes, const stream_json__stretch *t) {
    const unsigned from = t->from, to = t->to;
    const uint64_t pending = (uint64_t)g->need << from, valid = t->valid;
    enum { E0, ED, F0, F4, TO_7F, TO_8F, TO_9F, TO_BF, TO_C1, TO_DF, TO_EF, TO_F4, ALL };
    uint64_t m[ALL], lead, lead34, lead4, need, tail, fault;
    words->masks(bytes, "\xE0\xED\xF0\xF4\x7F\x8F\x9F\xBF\xC1\xDF\xEF\xF4", TO_7F, ALL, m);
    tail = m[TO_BF] & ~m[TO_7F];
    lead4 = m[TO_F4] & ~m[TO_EF] & valid;
    lead34 = (m[TO_EF] & ~m[TO_DF] & valid) | lead4;
    lead = (m[TO_DF] & ~m[TO_C1] & valid) | lead34;
    need = lead << 1 | lead34 << 2 | lead4 << 3 | pending;
    fault = (need ^ tail) | (m[TO_C1] & ~m[TO_BF]) | ~m[TO_F4] |
            (tail & ((stream_json__next_to(m[E0] & valid, g->second, 1, from) & m[TO_9F]) |
                     (stream_json__next_to(m[ED] & valid, g->second, 2, from) & ~m[TO_9F]) |
                     (stream_json__next_to(m[F0] & valid, g->second, 4, from) & m[TO_8F]) |
                     (stream_json__next_to(m[F4] & valid, g->second, 8, from) & ~m[TO_8F])));
    g->need = (uint8_t)(stream_json__carry_after(lead, 1, to) | stream_json__carry_after(lead34, 2, to) |
                        stream_json__carry_after(lead4, 3, to) | (to < 3 ? pending >> to : 0));
    g->second = (uint8_t)((m[E0] >> (to - 1) & 1) | (m[ED] >> (to - 1) & 1) << 1 | (m[F0] >> (to - 1) & 1) << 2 |
                          (m[F4] >> (to - 1) & 1) << 3);
    return fault;
}

/* Whether the four bytes at p are hexadecimal digits: in each byte an addition carries into the top bit. Digit by
   digit, as stream_json__hex4 goes, costs 2.5 % of checking text with colours (callgrind: 3.5 % of instructions). */
static bool stream_json__are_hex4(const char *p) {
    const uint32_t each = UINT32_C(0x01010101), top = each * 0x80;
    uint32_t x, letter, is;
    memcpy(&x, p, 4);
    letter = x | each * 0x20;
    if (x & top) return false;
    is = ((x + each * (0x80 - '0')) & ~(x + each * (0x7F - '9'))) |
         ((letter + each * (0x80 - 'a')) & ~(letter + each * (0x7F - 'f')));
    return (is & top) == top;
}

/* Escapes that are not one of the eight characters: u, which asks for four digits, or wrong. */
static uint64_t stream_json__check_escapes(stream_json__grammar *g, const stream_json__words *words,
                                           const char *bytes, const stream_json__stretch *t, uint64_t odd) {
    const unsigned to = t->to;
    const uint64_t pending = (uint64_t)g->hex << t->from;
    uint64_t rest, u = 0, m[6], need, hex;
    bool whole = pending == 0;
    for (rest = odd; rest; rest &= rest - 1) {
        const unsigned at = stream_json__lowest(rest);
        if (bytes[at] == 'u') {
            u |= rest & (0 - rest);
            whole = whole && at + 4 < to && stream_json__are_hex4(bytes + at + 1);
        }
    }
    if (whole) return odd & ~u;
    words->masks(bytes, "/9@F`f", 0, 6, m);
    need = u << 1 | u << 2 | u << 3 | u << 4 | pending;
    hex = (m[1] & ~m[0]) | (m[3] & ~m[2]) | (m[5] & ~m[4]);
    g->hex = (uint8_t)(stream_json__carry_after(u, 1, to) | stream_json__carry_after(u, 2, to) |
                       stream_json__carry_after(u, 3, to) | stream_json__carry_after(u, 4, to) |
                       (to < 4 ? pending >> to : 0));
    return (odd & ~u) | (need & ~hex);
}

/* Literals, one by one: their bytes are few. Takes what is theirs out of *scalars. */
static uint64_t stream_json__check_literals(stream_json__grammar *g, const char *bytes,
                                            const stream_json__stretch *t, uint64_t starts, uint64_t *scalars) {
    uint64_t fault = 0;
    unsigned at = t->from;
    while (g->literal || starts) {
        const char *word;
        if (!g->literal) {
            at = stream_json__lowest(starts);
            starts &= starts - 1;
            if (bytes[at] != 't' && bytes[at] != 'f' && bytes[at] != 'n') {
                fault |= UINT64_C(1) << at;
                continue;
            }
            g->literal = (uint8_t)bytes[at];
            g->literal_at = 0;
        }
        word = stream_json__literal((char)g->literal);
        for (; at < t->to && word[g->literal_at] && word[g->literal_at] == bytes[at]; at++, g->literal_at++)
            *scalars &= ~(UINT64_C(1) << at);
        if (at == t->to) break; /* it goes on in the next stretch, or ends right before it */
        if (word[g->literal_at] || (*scalars >> at & 1)) fault |= UINT64_C(1) << at;
        g->literal = 0;
    }
    return fault;
}

/* Numbers: every sign, point and E is judged by the byte before it, and the digits of a fraction or an exponent
   may not run into another. Exponents are rare. */
STREAM__INLINE uint64_t stream_json__check_numbers(stream_json__grammar *g, const stream_json__words *words,
                                                   const char *bytes, const stream_json__stretch *t,
                                                   const unsigned from, const unsigned last,
                                                   const stream_json__digits *d, uint64_t number) {
    const unsigned was = g->number;
    const uint64_t starts = number & ~stream_json__next_to(number, was, STREAM_JSON__IS_NUMBER, from);
    const uint64_t digit = d->digit & number, minus = d->minus & number, point = d->point & number;
    const uint64_t after_digit = stream_json__next_to(digit, was, STREAM_JSON__IS_DIGIT, from);
    const uint64_t after_minus = stream_json__next_to(minus & starts, was, STREAM_JSON__IS_MINUS, from);
    const uint64_t after_point = stream_json__next_to(point, was, STREAM_JSON__IS_POINT, from);
    const uint64_t zero = d->zero & number & (starts | after_minus), others = number & ~(digit | minus | point);
    const uint64_t fraction = after_point | stream_json__next_to(0, was, STREAM_JSON__IN_FRACTION, from);
    uint64_t e = 0, sign = 0, exponent = 0;
    uint64_t fault = (point & ~after_digit) | ((after_minus | after_point) & ~digit) |
                     (stream_json__move_over(fraction, digit) & point) |
                     (digit & stream_json__next_to(zero, was, STREAM_JSON__IS_ZERO, from));
    if (others || (was & (STREAM_JSON__IS_E | STREAM_JSON__IS_SIGN | STREAM_JSON__IN_EXPONENT))) {
        uint64_t m[3], plus, after_e, after_sign;
        words->masks(bytes, "+eE", 3, 3, m);
        plus = m[0] & others;
        e = (m[1] | m[2]) & others;
        after_e = stream_json__next_to(e, was, STREAM_JSON__IS_E, from);
        sign = (minus | plus) & after_e;
        after_sign = stream_json__next_to(sign, was, STREAM_JSON__IS_SIGN, from);
        exponent = (after_e & digit) | after_sign | stream_json__next_to(0, was, STREAM_JSON__IN_EXPONENT, from);
        fault |= (others & ~(plus | e)) | (plus & ~after_e) | (e & ~after_digit) | (after_sign & ~digit) |
                 (after_e & ~(digit | sign)) | (stream_json__move_over(exponent, digit) & (point | e));
    }
    fault |= minus & ~(starts | sign);
    g->number = 0;
    if (number >> last & 1) {
        unsigned is = STREAM_JSON__IS_NUMBER;
        if (digit >> last & 1) {
            /* Where its digits begin tells what they are digits of. */
            const uint64_t before = ~digit & t->valid;
            const uint64_t begin = before ? UINT64_C(2) << stream_json__highest(before) : UINT64_C(1) << from;
            is |= STREAM_JSON__IS_DIGIT;
            if (zero >> last & 1) is |= STREAM_JSON__IS_ZERO;
            if (fraction & begin) is |= STREAM_JSON__IN_FRACTION;
            if (exponent & begin) is |= STREAM_JSON__IN_EXPONENT;
        }
        if ((minus & starts) >> last & 1) is |= STREAM_JSON__IS_MINUS;
        if (point >> last & 1) is |= STREAM_JSON__IS_POINT;
        if (e >> last & 1) is |= STREAM_JSON__IS_E;
        if (sign >> last & 1) is |= STREAM_JSON__IS_SIGN;
        g->number = (uint16_t)is;
    }
    return fault;
}

/* Whether the only token of a block, at bit `at`, is a digit or a literal. */
STREAM__INLINE bool stream_json__plain_token(const char *bytes, uint64_t scalar, unsigned at) {
    const char c = bytes[at];
    const uint64_t token = scalar >> at;
    if (at > 64 - 6) return false; /* it may go on */
    if (c >= '0' && c <= '9') return token == 1;
    return c == 'n'   ? token == 15 && memcmp(bytes + at, "null", 4) == 0
           : c == 't' ? token == 15 && memcmp(bytes + at, "true", 4) == 0
                      : c == 'f' && token == 31 && memcmp(bytes + at + 1, "alse", 4) == 0;
}

/* Whether a block begins with what is left of the literal that goes on, if one does, and nothing of a token behind it;
   *head are the bytes that are. */
STREAM__INLINE bool stream_json__ends_literal(const stream_json__grammar *g, const char *bytes, uint64_t scalar,
                                              uint64_t *head) {
    const unsigned which = g->literal >> 3 & 3, open = g->literal != 0;
    const unsigned left = ((which ? 4u : 5u) - g->literal_at) & (0 - open); /* at most 4 */
    const uint64_t rest = stream_json__load8(stream_json__letters[which]) >> 8 * g->literal_at;
    *head = (UINT64_C(1) << left) - 1;
    return ((stream_json__load8(bytes) ^ rest) & ((UINT64_C(1) << 8 * left) - 1)) == 0 && !(scalar >> left & open);
}

/* The bytes with which a literal begins that goes on behind the block's end, or ends there; *letters are how many,
   *first is the first of them or 0. */
STREAM__INLINE uint64_t stream_json__begins_literal(const char *bytes, uint64_t scalar, uint8_t *first,
                                                    uint8_t *letters) {
    const unsigned n = 63 - stream_json__highest(~scalar | UINT64_C(1) << 57); /* of the last token, 6 where more */
    const uint64_t token = stream_json__load8(bytes + 56) >> 8 >> (56 - 8 * n);
    const uint64_t odd = (token ^ stream_json__load8(stream_json__letters[token >> 3 & 3])) &
                         ((UINT64_C(1) << 8 * n) - 1);
    const uint64_t is = 0 - (uint64_t)(odd == 0);
    *first = (uint8_t)(token & is);
    *letters = (uint8_t)n;
    return ~UINT64_C(0) << 1 << (63 - n) & is;
}

/* Tokens that are neither strings nor structure. */
STREAM__INLINE uint64_t stream_json__check_scalars(stream_json__grammar *g, const stream_json__words *words,
                                                   const char *bytes, const stream_json__stretch *t,
                                                   uint64_t scalar, uint64_t starts) {
    const unsigned to = t->to;
    stream_json__digits d;
    uint64_t literals = 0, head = 0, tail = 0, integers, fault = 0;
    uint8_t literal = g->literal, letters = g->literal_at;
    bool plain = !literal;
    words->digits(bytes, &d);
    if ((starts & ~d.digit) || literal) { /* literals that end before the stretch does */
        literals = words->literals(bytes, starts & ~d.digit, scalar | ~stream_json__below(to));
        if (to == 64) { /* one that goes on into it does so from its first byte */
            plain = stream_json__ends_literal(g, bytes, scalar, &head);
            tail = stream_json__begins_literal(bytes, scalar, &literal, &letters);
        }
    }
    integers = scalar & ~(literals | head | tail);
    if (plain && (integers & ~d.digit) == 0 && !(d.zero & starts & integers >> 1) &&
        (g->number & ~(STREAM_JSON__IS_NUMBER | STREAM_JSON__IS_DIGIT)) == 0) {
        /* Nothing else but integers without a sign. */
        const unsigned zero = (d.zero & starts) >> (to - 1) & 1;
        g->number = !(integers >> (to - 1) & 1) ? 0 : STREAM_JSON__IS_NUMBER | STREAM_JSON__IS_DIGIT;
        if (zero) g->number |= STREAM_JSON__IS_ZERO;
        g->literal = literal;
        g->literal_at = letters;
        return 0;
    }
    scalar &= ~literals;
    words->signs(bytes, &d);
    starts &= ~(literals | d.digit | d.minus);
    if (starts || g->literal) fault = stream_json__check_literals(g, bytes, t, starts, &scalar);
    if (scalar || g->number) fault |= stream_json__check_numbers(g, words, bytes, t, t->from, to - 1, &d, scalar);
    return fault;
}

/* The kinds of all that are open. */
typedef struct stream_json__levels {
    uint64_t top;
    size_t depth;
} stream_json__levels;

/* The brackets behind which an object is innermost, where one word may not hold the kinds of all that are open. */
static uint64_t stream_json__object_after_deep(stream_json__grammar *g, stream_json__levels *to, uint64_t open,
                                               uint64_t close, uint64_t brace) {
    uint64_t rest, after = 0, top = g->top;
    size_t depth = g->depth;
    for (rest = open | close; rest; rest &= rest - 1) {
        const uint64_t bit = rest & (0 - rest);
        if (open & bit) {
            if (depth % 64 == 0 && depth) g->kinds[depth / 64 - 1] = top;
            top = top << 1 | ((brace & bit) != 0);
            depth++;
        } else {
            top >>= 1;
            depth--;
            if (depth % 64 == 0 && depth) top = g->kinds[depth / 64 - 1];
        }
        if (top & 1) after |= bit;
    }
    to->top = top;
    to->depth = depth;
    return after;
}

/* The bytes of a stretch at which an object, not an array, is innermost; at a bracket: what was before it. What is
   open behind it is in *to, for g to take. False where all may be closed before its end: then the stretch may be asked
   about again in parts, because as many brackets as close that much leave too few to write to g->kinds and come back;
   and where more are closed than were ever open. */
STREAM__INLINE bool stream_json__objects(stream_json__grammar *g, const stream_json__words *words, uint64_t open,
                                         uint64_t close, uint64_t brace, unsigned from, uint64_t *object,
                                         stream_json__levels *to) {
    const uint64_t others = ~(open | close);
    const unsigned opens = stream_json__count(open), closes = stream_json__count(close);
    uint64_t begin = (g->top & 1) << from, bottom = 0;
    *object = 0;
    if (g->depth + opens < closes) return false;
    to->top = g->top;
    to->depth = g->depth + opens - closes;
    if (open | close) {
        if (g->depth + opens < 63) {
            to->top |= UINT64_C(2) << g->depth; /* it stays there: it moves with those before it */
            begin |= words->object_after(&to->top, open, close, open & brace, &bottom) << 1;
        } else {
            bottom = (uint64_t)(g->depth <= closes) << 63;
            begin |= stream_json__object_after_deep(g, to, open, close, brace) << 1;
        }
    }
    *object = (others + begin) ^ others; /* an addition carries from behind each bracket to the next */
    return !(bottom >> 63);
}

static const char stream_json__not_utf8[] = "not UTF-8";

/* Says where and why, once per value. `text` and `others` are the bytes that are wrong in strings and outside;
   `expected` is what could have stood there, `hex` what \u still asked for when the stretch began. */
static void stream_json__note(stream_json__scan *s, const char *bytes, const char *base,
                              const stream_json__stretch *t, uint64_t text, unsigned at, const char *expected,
                              unsigned hex) {
    s->checking = s->batching = false;
    s->fault = base + at;
    s->message = expected;
    if (text >> at & 1) {
        unsigned i;
        bool digits = at - t->from < 4 && (hex >> (at - t->from) & 1);
        for (i = 1; i <= 4 && i <= at; i++) digits |= (t->escaped >> (at - i) & 1) && bytes[at - i] == 'u';
        if (digits) s->message = "expected four hexadecimal digits";
        else if (t->escaped >> at & 1) s->message = "no such escape";
        else if ((unsigned char)bytes[at] < 0x20) s->message = "control character in a string";
        else s->message = stream_json__not_utf8;
    }
}

/* Checks what is inside strings, where `odd` are the escapes of more than one character. Returns the bytes that are
   wrong. */
STREAM__INLINE uint64_t stream_json__check_text(stream_json__grammar *g, const stream_json__words *words,
                                                const char *bytes, const stream_json__stretch *t, uint64_t odd) {
    uint64_t text = t->rules.control & t->string;
    if (((t->rules.high & t->valid) || g->need) &&
        !(t->valid == ~UINT64_C(0) && !g->need && stream_json__is_utf8(g, words, bytes)))
        text |= stream_json__check_utf8(g, words, bytes, t);
    if (odd || g->hex) text |= stream_json__check_escapes(g, words, bytes, t, odd);
    return text & t->valid;
}

/* The same apart, where it is rare. */
STREAM__NOINLINE static uint64_t stream_json__check_text_apart(stream_json__grammar *g,
                                                               const stream_json__words *words,
                                                               const char *bytes,
                                                               const stream_json__stretch *t) {
    const uint64_t escaped = t->escaped & t->string & t->valid;
    return stream_json__check_text(g, words, bytes, t, escaped ? words->odd_escapes(bytes, escaped) : 0);
}

/* Of the byte before a block in the midst of an array's numbers, each 0 or 1: whether a value may stand behind it, a
   comma; whether it is a number's, and which of it: stream_json__grammar's flags apart. */
typedef struct stream_json__among {
    uint64_t value, ended, scalar, digit, minus, zero, point, e, sign, fraction, exponent;
} stream_json__among;

/* False where another token than a number is open, or one is in an object. */
STREAM__INLINE bool stream_json__among_begin(const stream_json__grammar *g, stream_json__among *was) {
    const unsigned is = g->number;
    was->value = g->value;
    was->ended = g->ended;
    was->scalar = g->scalar;
    was->digit = (is & STREAM_JSON__IS_DIGIT) != 0;
    was->minus = (is & STREAM_JSON__IS_MINUS) != 0;
    was->zero = (is & STREAM_JSON__IS_ZERO) != 0;
    was->point = (is & STREAM_JSON__IS_POINT) != 0;
    was->e = (is & STREAM_JSON__IS_E) != 0;
    was->sign = (is & STREAM_JSON__IS_SIGN) != 0;
    was->fraction = (is & STREAM_JSON__IN_FRACTION) != 0;
    was->exponent = (is & STREAM_JSON__IN_EXPONENT) != 0;
    return !((g->top & 1) || g->literal);
}

/* Whether all 64 bytes are commas and numbers, and each may stand where it stands; where not, nothing has changed. The
   rules are those of stream_json__check_numbers, here without a jump: what is where nobody can foretell. */
STREAM__INLINE bool stream_json__among_numbers(stream_json__among *was, const stream_json__digits *d, uint64_t comma,
                                               uint64_t e, uint64_t plus) {
    const uint64_t digit = d->digit, minus = d->minus, point = d->point, number = ~comma;
    const uint64_t starts = number & ~(number << 1 | was->scalar), after_e = e << 1 | was->e;
    const uint64_t after_minus = (minus & starts) << 1 | was->minus, after_point = point << 1 | was->point;
    const uint64_t zero = d->zero & (starts | after_minus), sign = (minus | plus) & after_e;
    const uint64_t after_sign = sign << 1 | was->sign, after_digit = digit << 1 | was->digit;
    const uint64_t fraction = (after_point | was->fraction) & digit;
    const uint64_t exponent = (after_e | after_sign | was->exponent) & digit;
    /* Sums carry to the bytes behind fractions and exponents, and out of the block where one goes on. */
    const uint64_t behind = fraction + digit, behind_e = exponent + digit;
    if (~(digit | comma | minus | point | e | plus) | (starts & 1 & ~was->value) |
        (comma & ~(number << 1 | was->ended)) | (minus & ~(starts | sign)) | (plus & ~sign) |
        ((point | e) & ~after_digit) | ((after_minus | after_point | after_sign) & ~digit) |
        (after_e & ~(digit | sign)) | (digit & (zero << 1 | was->zero)) |
        (~digit & (((behind | was->fraction) & point) | ((behind_e | was->exponent) & (point | e)))))
        return false;
    was->value = comma >> 63;
    was->ended = was->scalar = number >> 63;
    was->digit = digit >> 63;
    was->minus = (minus & starts) >> 63;
    was->zero = zero >> 63;
    was->point = point >> 63;
    was->e = e >> 63;
    was->sign = sign >> 63;
    was->fraction = behind < digit;
    was->exponent = behind_e < digit;
    return true;
}

STREAM__INLINE void stream_json__among_end(stream_json__grammar *g, const stream_json__among *was) {
    g->value = (uint8_t)was->value;
    g->ended = (uint8_t)was->ended;
    g->scalar = was->scalar != 0;
    g->name = g->begun = g->colon = 0;
    g->number = (uint16_t)(was->scalar * STREAM_JSON__IS_NUMBER | was->digit * STREAM_JSON__IS_DIGIT |
                           was->minus * STREAM_JSON__IS_MINUS | was->zero * STREAM_JSON__IS_ZERO |
                           was->point * STREAM_JSON__IS_POINT | was->e * STREAM_JSON__IS_E |
                           was->sign * STREAM_JSON__IS_SIGN | was->fraction * STREAM_JSON__IN_FRACTION |
                           was->exponent * STREAM_JSON__IN_EXPONENT);
}

/* Checks a stretch of the block at base, whose bytes are at `bytes`: false when one of them cannot stand where it
   stands. from, to and valid are those of the stretch, apart because most are of a whole block, for which this is
   compiled once more. */
STREAM__INLINE bool stream_json__valid(stream_json__scan *s, const stream_json__words *words,
                                       const char *bytes, const char *base,
                                       const stream_json__stretch *t, const unsigned from, const unsigned to,
                                       const uint64_t valid, const uint64_t object,
                                       const stream_json__levels *levels) {
    stream_json__grammar *g = &s->grammar;
    const unsigned hex = g->hex;
    const uint64_t string = t->string & valid;
    const uint64_t opening = t->quote & string, closing = t->quote & ~t->string & valid;
    const uint64_t outside = valid & ~(string | closing), low = t->rules.low & outside;
    const uint64_t colon = t->rules.colon & outside, comma = t->rules.comma & outside;
    const uint64_t brace = t->rules.brace, open = t->open, close = t->close;
    const uint64_t scalar = outside & ~(colon | comma | open | close | low);
    const uint64_t starts = scalar & ~(scalar << 1 | (uint64_t)g->scalar << from);
    uint64_t text = 0;
    uint64_t names, ended, values, value, name, after, begun, due, last = 0, named, rest, fault;
    uint64_t space = 0, others = 0;
    if (((t->rules.high | t->escaped) & valid) | (t->rules.control & string) | g->need | hex)
        text = stream_json__check_text_apart(g, words, bytes, t);
    if (low) {
        uint64_t m[4];
        words->masks(bytes, " \n\r\t", 4, 4, m);
        space = (m[0] | m[1] | m[2] | m[3]) & low;
        others = low & ~space;
    }
    if (scalar || g->number || g->literal) {
        const bool alone = to == 64 && starts && !(starts & (starts - 1)) && !g->number && !g->literal;
        if (!alone || !stream_json__plain_token(bytes, scalar, stream_json__lowest(starts)))
            others |= stream_json__check_scalars(g, words, bytes, t, scalar, starts) & valid;
    }
    /* Behind which bytes a value, a name may stand, ... */
    names = (open & brace) | (comma & object);
    values = (open & ~brace) | colon | (comma & ~object);
    ended = closing | scalar | close;
    /* ... and so where. */
    value = values << 1 | g->value << from;
    name = names << 1 | g->name << from;
    after = ended << 1 | g->ended << from;
    begun = open << 1 | g->begun << from;
    due = g->colon << from;
    if (space) {
        const uint64_t tokens = valid & ~space;
        value = stream_json__move_over(value, space);
        name = stream_json__move_over(name, space);
        after = stream_json__move_over(after, space);
        begun = stream_json__move_over(begun, space);
        due = stream_json__move_over(due, space);
        last = tokens ? UINT64_C(1) << stream_json__highest(tokens) : 0;
    }
    /* The strings that are names: an addition carries from a name's first bit to behind its last. */
    rest = string + ((opening & name) | (uint64_t)g->in_name << from);
    named = rest & closing;
    due |= stream_json__move_over(named << 1, space);
    fault = ((open | starts) & ~value) | (opening & ~(value | name)) | (comma & ~after) |
            (close & ((brace ^ object) | ~(after | begun))) | (colon ^ due);
    fault = (fault & valid) | text | others;
    if (fault) {
        const uint64_t bit = fault & (0 - fault);
        stream_json__note(s, bytes, base, t, text, stream_json__lowest(fault),
                          bit & ((scalar & ~starts) | (starts & value) | (others & ~scalar & ~low))
                              ? "neither a number nor true, false or null"
                          : bit & due    ? "expected a colon"
                          : bit & value  ? bit & begun ? "expected a value or ]" : "expected a value"
                          : bit & name   ? bit & begun ? "expected a name or }" : "expected a name"
                          : bit & object ? "expected a comma or }"
                                         : "expected a comma or ]",
                          hex);
        return false;
    }
    g->top = levels->top;
    g->depth = levels->depth;
    g->scalar = scalar >> (to - 1) & 1;
    g->in_name = (string & ~rest) >> (to - 1) & 1;
    if (!space) { /* the same as below with `last` the last bit; a shift by a constant, 2 % of checking deltas */
        g->value = values >> (to - 1) & 1;
        g->name = names >> (to - 1) & 1;
        g->ended = ended >> (to - 1) & 1;
        g->begun = open >> (to - 1) & 1;
        g->colon = named >> (to - 1) & 1;
    } else if (last) {
        g->value = (values & last) != 0;
        g->name = (names & last) != 0;
        g->ended = (ended & last) != 0;
        g->begun = (open & last) != 0;
        g->colon = (named & last) != 0;
    }
    return true;
}

static const char stream_json__too_deep[] = "nested too deep";

/* A bracket in a stretch is one too deep: it is the fault, unless it may not stand there at all, or there is
   one before it. */
static void stream_json__note_depth(stream_json__scan *s, stream_json__examine *examine, const char *bytes,
                                    const char *base, const stream_json__stretch *t) {
    stream_json__stretch head = *t;
    size_t depth = s->grammar.depth;
    uint64_t rest;
    for (rest = t->open | t->close; rest; rest &= rest - 1) {
        if (!(t->open >> stream_json__lowest(rest) & 1)) depth--;
        else if (depth++ == s->max_depth) break;
    }
    head.to = stream_json__lowest(rest) + 1;
    head.valid &= stream_json__below(head.to);
    head.open &= head.valid;
    head.close &= head.valid;
    if (!examine(s, bytes, base, &head)) return;
    s->checking = s->batching = false;
    s->fault = base + head.to - 1;
    s->message = stream_json__too_deep;
}

/* One kernel. `masks` tells rare bytes; the loop goes over blocks of 64 bytes, counted from the loan's beginning,
   to frame and, with CHECK, to check as well. Two things are said in the loop because they are most of the work:
   a block inside a string, and one in which nothing ends. All others are settled apart, stretch by stretch: up to
   where something ends, which is the value, its record, the loan, or, at a backslash outside strings, which
   escapes nothing, the sums. The masks of the last block are kept: the next value begins in it, and no byte is
   classified twice. What is short of a block is copied to one first, so nothing past the loan is read. */
#define STREAM_JSON__MASKS(K, TARGET)                                                                        \
    TARGET static void stream_json__masks_##K(const char *bytes, const char *set, unsigned equal,            \
                                              unsigned total, uint64_t *masks) {                             \
        const stream__v64_##K v = stream__load_##K(bytes);                                                   \
        unsigned i;                                                                                          \
        for (i = 0; i < equal; i++)                                                                          \
            masks[i] = stream__is_##K(v, stream__all_##K((unsigned char)set[i]));                            \
        for (; i < total; i++) masks[i] = stream__upto_##K(v, stream__all_##K((unsigned char)set[i]));       \
    }                                                                                                        \
    TARGET STREAM__WORD void stream_json__digits_##K(const char *bytes, stream_json__digits *d) {            \
        const stream__v64_##K v = stream__load_##K(bytes);                                                   \
        d->digit = stream__upto_##K(v, stream__all_##K('9')) & ~stream__upto_##K(v, stream__all_##K('/'));   \
        d->zero = stream__is_##K(v, stream__all_##K('0'));                                                   \
    }                                                                                                        \
    TARGET STREAM__WORD void stream_json__signs_##K(const char *bytes, stream_json__digits *d) {             \
        const stream__v64_##K v = stream__load_##K(bytes);                                                   \
        d->minus = stream__is_##K(v, stream__all_##K('-'));                                                  \
        d->point = stream__is_##K(v, stream__all_##K('.'));                                                  \
    }                                                                                                        \
    static const stream_json__words stream_json__words_##K = {                                               \
        stream_json__masks_##K, stream_json__digits_##K,  stream_json__signs_##K, stream__odd_escapes_##K,   \
        stream__is_utf8_##K,    stream__object_after_##K, stream__literals_##K};

#define STREAM_JSON__EXAMINE(K, TARGET)                                                                      \
    TARGET STREAM__NOINLINE static bool stream_json__judge_##K(                                              \
        stream_json__scan *s, const char *bytes, const char *base, const stream_json__stretch *t,            \
        uint64_t object, const stream_json__levels *levels) {                                                \
        return stream_json__valid(s, &stream_json__words_##K, bytes, base, t,                                \
                                  t->from, t->to, t->valid, object, levels);                                 \
    }                                                                                                        \
    TARGET STREAM__WORD bool stream_json__examine_##K(stream_json__scan *s, const char *bytes,               \
                                                      const char *base, const stream_json__stretch *t) {     \
        stream_json__levels levels;                                                                          \
        uint64_t object;                                                                                     \
        (void)stream_json__objects(&s->grammar, &stream_json__words_##K, t->open, t->close, t->rules.brace,  \
                                   t->from, &object, &levels);                                               \
        return stream_json__judge_##K(s, bytes, base, t, object, &levels);                                   \
    }                                                                                                        \
    TARGET STREAM__NOINLINE static bool stream_json__text_##K(stream_json__scan *s, const char *base,        \
                                                                uint64_t escaped, uint64_t odd) {            \
        const stream__v64_##K v = stream__load_##K(base);                                                    \
        const unsigned hex = s->grammar.hex;                                                                 \
        stream_json__stretch t;                                                                              \
        uint64_t text;                                                                                       \
        t.string = t.valid = ~UINT64_C(0);                                                                   \
        t.rules.control = stream__upto_##K(v, stream__all_##K(0x1F));                                        \
        t.rules.high = stream__high_##K(v);                                                                  \
        t.escaped = escaped;                                                                                 \
        t.from = 0;                                                                                          \
        t.to = 64;                                                                                           \
        text = stream_json__check_text(&s->grammar, &stream_json__words_##K, base, &t, odd);                 \
        if (text) stream_json__note(s, base, base, &t, text, stream_json__lowest(text), NULL, hex);          \
        return text == 0;                                                                                    \
    }

/* The same compiled for whole blocks. */
#define STREAM_JSON__JUDGE_WHOLE(K, TARGET)                                                                  \
    TARGET STREAM__INLINE bool stream_json__judge_whole_##K(                                                 \
        stream_json__scan *s, const char *bytes, const char *base, const stream_json__stretch *t,            \
        uint64_t object, const stream_json__levels *levels) {                                                \
        return stream_json__valid(s, &stream_json__words_##K, bytes, base, t, 0, 64, ~UINT64_C(0), object,   \
                                  levels);                                                                   \
    }

/* Passes over whole blocks in which nothing begins or ends but numbers, from base to at most `full`. */
#define STREAM_JSON__NUMBERS(name, K, TARGET, CHECK)                                                         \
    TARGET STREAM__NOINLINE static const char *name(stream_json__scan *s, const char *base,                  \
                                                    const char *full) {                                      \
        stream_json__among was;                                                                              \
        stream_json__digits d;                                                                               \
        const char *const begin = base;                                                                      \
        if (CHECK && !stream_json__among_begin(&s->grammar, &was)) return base;                              \
        for (; base < full; base += 64) {                                                                    \
            const stream__v64_##K v = stream__load_##K(base);                                                \
            uint64_t comma, e, plus;                                                                         \
            STREAM__AHEAD(base);                                                                             \
            if (!CHECK) {                                                                                    \
                if (!stream__numeric_##K(v)) break;                                                          \
                continue;                                                                                    \
            }                                                                                                \
            stream_json__digits_##K(base, &d);                                                               \
            stream_json__signs_##K(base, &d);                                                                \
            comma = stream__is_##K(v, stream__all_##K(','));                                                 \
            plus = stream__is_##K(v, stream__all_##K('+'));                                                  \
            e = stream__is_##K(stream__or_##K(v, stream__all_##K(' ')), stream__all_##K('e'));               \
            if (!stream_json__among_numbers(&was, &d, comma, e, plus)) break;                                \
        }                                                                                                    \
        if (CHECK && base > begin) stream_json__among_end(&s->grammar, &was);                                \
        return base;                                                                                         \
    }

/* Takes the block at base from *at on; its masks are made unless s->block_at says that they are there. True: the
   kernel goes on at *at, in the next block, or unchecked after a fault. False: the value, its record or the loan ends
   there. */
#define STREAM_JSON__SETTLE(name, K, TARGET, CHECK)                                                          \
    TARGET STREAM__NOINLINE static bool name(stream_json__scan *s, const char *base, const char **at,        \
                                             const char *e) {                                                \
        char copy[128];                                                                                      \
        const char *const bytes = e - base < 64 ? stream_json__padded(copy, s->loan, base, e) : base;        \
        const unsigned to = e - base < 64 ? (unsigned)(e - base) : 64;                                       \
        uint64_t backslash, end;                                                                             \
        unsigned from = (unsigned)(*at - base);                                                              \
        if (s->block_at != base) {                                                                           \
            stream__v64_##K v = stream__load_##K(bytes);                                                     \
            if (CHECK) {                                                                                     \
                s->rules.control = stream__upto_##K(v, stream__all_##K(0x1F));                               \
                s->rules.high = stream__high_##K(v);                                                         \
                s->rules.colon = stream__is_##K(v, stream__all_##K(':'));                                    \
                s->rules.comma = stream__is_##K(v, stream__all_##K(','));                                    \
                s->rules.low = stream__upto_##K(v, stream__all_##K(' '));                                    \
                s->rules.brace = stream__bit5_##K(v);                                                        \
            }                                                                                                \
            s->block.quote = stream__is_##K(v, stream__all_##K('"'));                                        \
            s->block.backslash = stream__is_##K(v, stream__all_##K('\\'));                                   \
            s->block.end = s->end_byte ? stream__is_##K(v, stream__all_##K((unsigned char)s->end_byte)) : 0; \
            v = stream__or_##K(v, stream__all_##K(' '));                                                     \
            s->block.open = stream__is_##K(v, stream__all_##K('{'));                                         \
            s->block.close = stream__is_##K(v, stream__all_##K('}'));                                        \
            s->block_at = base;                                                                              \
        }                                                                                                    \
        backslash = s->block.backslash;                                                                      \
        end = s->block.end;                                                                                  \
        for (;;) {                                                                                           \
            uint64_t valid = ~UINT64_C(0) << from & stream_json__below(to);                                  \
            /* Only a block's first byte can be escaped from before the stretch. */                          \
            const uint64_t escaped = stream_json__escaped(backslash & valid, s->escaped);                    \
            const uint64_t quote = s->block.quote & valid & ~escaped;                                        \
            const uint64_t string = stream__parity_##K(quote) ^ (0 - (uint64_t)s->in_string);                \
            const uint64_t ends = end & ~(s->ends_strings ? 0 : string) & valid;                             \
            uint64_t stop = ends | (backslash & ~string & valid), open, close;                               \
            unsigned upto = to, closed;                                                                      \
            bool done = false;                                                                               \
            if (CHECK && s->lone) stop |= quote & ~string;                                                   \
            if (stop) {                                                                                      \
                stop &= 0 - stop;                                                                            \
                done = (stop & (ends | quote)) != 0;                                                         \
                upto = stream_json__lowest(stop) + !(stop & ends);                                           \
                valid &= stop & ends ? stop - 1 : stop | (stop - 1);                                         \
            }                                                                                                \
            open = s->block.open & ~string & valid;                                                          \
            close = s->block.close & ~string & valid;                                                        \
            if (open == 0 && close && stream__count_##K(close) == s->depth) { /* as most records end */      \
                closed = stream_json__highest(close);                                                        \
                s->depth = 0;                                                                                \
            } else {                                                                                         \
                closed = stream_json__walk_brackets(s, open, close);                                         \
            }                                                                                                \
            if (closed < 64) {                                                                               \
                done = true;                                                                                 \
                upto = closed + 1;                                                                           \
                valid &= stream_json__below(upto);                                                           \
                open &= valid;                                                                               \
                close &= valid;                                                                              \
            } else if (stop) {                                                                               \
                s->in_string = s->escaped = false;                                                           \
                if (stop & quote) s->depth = 0;                                                              \
            } else {                                                                                         \
                s->in_string = string >> 63;                                                                 \
                s->escaped = upto == 64 ? (backslash & ~escaped) >> 63 : escaped >> upto & 1;                \
            }                                                                                                \
            if (CHECK) {                                                                                     \
                stream_json__stretch t;                                                                      \
                t.quote = quote;                                                                             \
                t.escaped = escaped;                                                                         \
                t.string = string;                                                                           \
                t.open = open;                                                                               \
                t.close = close;                                                                             \
                t.valid = valid;                                                                             \
                t.rules = s->rules;                                                                          \
                t.from = from;                                                                               \
                t.to = upto;                                                                                 \
                if (s->deepest > s->max_depth)                                                               \
                    stream_json__note_depth(s, stream_json__examine_##K, bytes, base, &t);                   \
                else if (upto > from) (void)stream_json__examine_##K(s, bytes, base, &t);                    \
            }                                                                                                \
            from = upto;                                                                                     \
            if (done) {                                                                                      \
                *at = base + from;                                                                           \
                if (!stream_json__goes_on(s, base + from, e)) return false;                                  \
                if (CHECK) stream_json__grammar_init(&s->grammar, '{');                                      \
                from += 2; /* the record's end, the bracket */                                               \
            }                                                                                                \
            *at = base + from;                                                                               \
            if (*at == e) return false;                                                                      \
            if (from >= 64 || (CHECK && !s->checking)) return true;                                          \
        }                                                                                                    \
    }

/* Passes over whole blocks inside a string, from base to at most `full`: returns the first in which something ends,
   or the one behind a fault. */
#define STREAM_JSON__INSIDE(name, K, TARGET, CHECK)                                                          \
    TARGET STREAM__NOINLINE static const char *name(stream_json__scan *s, const char *base, const char *full,\
                                                    uint64_t *was_escape) {                                  \
        const stream__c64_##K quote_ = stream__all_##K('"'), backslash_ = stream__all_##K('\\');             \
        const stream__c64_##K end_ = stream__all_##K((unsigned char)s->end_byte);                            \
        const stream__c64_##K control_ = stream__all_##K(0x1F);                                              \
        const uint64_t ends = s->end_byte && s->ends_strings ? ~UINT64_C(0) : 0;                             \
        uint64_t was = *was_escape;                                                                          \
        for (; base < full; base += 64) {                                                                    \
            const stream__v64_##K v = stream__load_##K(base);                                                \
            const uint64_t quote = stream__is_##K(v, quote_), backslash = stream__is_##K(v, backslash_);     \
            const uint64_t escaped = stream_json__escaped_by(backslash, was);                                \
            uint64_t odd = 0;                                                                                \
            STREAM__AHEAD(base);                                                                             \
            if (quote & ~escaped) break;                                                                     \
            if (CHECK) odd = stream__odd_escapes_##K(base, escaped);                                         \
            /* What ends strings is a control character, and so not plain. */                                \
            if (!CHECK || !stream__plain_##K(v, control_) || (odd | s->grammar.need | s->grammar.hex)) {     \
                if (stream__is_##K(v, end_) & ends) break;                                                   \
                if (CHECK && !stream_json__text_##K(s, base, escaped, odd)) full = base; /* the last one */  \
            }                                                                                                \
            was = (backslash & ~escaped) >> 63;                                                              \
        }                                                                                                    \
        *was_escape = was;                                                                                   \
        return base;                                                                                         \
    }

/* The same checked, where a block is one register: without a jump at what nobody can foretell in long text, escapes of
   more than one character and characters beyond ASCII. That takes a quarter of the time off strict framing of the
   bench's text; with AVX2, where it is twice the instructions, it took nothing off. A loan's first block, before which no
   byte may be read, and one in which something is wrong are left to the function that all kernels have; behind it the
   loop above begins anew. */
#define STREAM_JSON__INSIDE_CHECK(K, TARGET) STREAM_JSON__INSIDE(stream_json__inside_check_##K, K, TARGET, 1)
#define STREAM_JSON__INSIDE_APART(K, TARGET)
#ifdef STREAM__AVX512
STREAM__AVX512 static bool stream_json__text_avx512(stream_json__scan *s, const char *base, uint64_t escaped,
                                                    uint64_t odd);
STREAM__AVX512 STREAM__NOINLINE static const char *stream_json__inside_check_avx512(stream_json__scan *s,
                                                                                    const char *base,
                                                                                    const char *full,
                                                                                    uint64_t *was_escape) {
    const stream__c64_avx512 quote_ = stream__all_avx512('"'), backslash_ = stream__all_avx512('\\');
    const stream__c64_avx512 space_ = stream__all_avx512(' ');
    const stream__utf8_avx512 utf8 = stream__utf8_begin_avx512();
    const stream__letters_avx512 letters = stream__letters_begin_avx512();
    const char *const begin = base;
    uint64_t was = *was_escape, hex = s->grammar.hex, escaped = 0, carry = 0;
    bool apart = false;
    for (; base < full; base += 64) {
        const stream__v64_avx512 v = stream__load_avx512(base);
        const uint64_t backslash = stream__is_avx512(v, backslash_);
        __m512i kinds, wrong;
        uint64_t alone, u, pairs, digits;
        STREAM__AHEAD(base);
        escaped = stream_json__escaped_by(backslash, was);
        carry = (backslash & ~escaped) >> 63;
        if (stream__is_avx512(v, quote_) & ~escaped) break;
        if ((apart = base == s->loan)) break;
        kinds = stream__kinds_avx512(&letters, v);
        alone = stream__word_avx512(_mm512_test_epi8_mask(kinds, letters.alone));
        u = escaped & stream__word_avx512(_mm512_test_epi8_mask(kinds, letters.u));
        digits = stream__word_avx512(_mm512_test_epi8_mask(kinds, letters.hex));
        pairs = u << 1 | u << 2;
        wrong = stream__utf8_wrong_avx512(&utf8, v, stream__load_avx512(base - 1), stream__load_avx512(base - 2),
                                          stream__load_avx512(base - 3));
        wrong = _mm512_or_si512(wrong, _mm512_subs_epu8(space_, v));
        apart = ((escaped & ~(alone | u)) | ((pairs | pairs << 2 | hex) & ~digits) |
                 stream__word_avx512(_mm512_test_epi8_mask(wrong, wrong))) != 0;
        if (apart) break;
        hex = u >> 60 | u >> 61 | u >> 62 | u >> 63;
        was = carry;
    }
    s->grammar.hex = (uint8_t)hex;
    if (base > begin && !stream_json__cut_character(&s->grammar, base)) {
        s->checking = s->batching = false;
        s->fault = base - 1;
        s->message = stream_json__not_utf8;
    } else if (apart && !(s->end_byte && s->ends_strings &&
                          stream__is_avx512(stream__load_avx512(base),
                                            stream__all_avx512((unsigned char)s->end_byte)))) {
        (void)stream_json__text_avx512(s, base, escaped, stream__odd_escapes_avx512(base, escaped));
        was = carry;
        base += 64;
    }
    *was_escape = was;
    return base;
}
#endif

#define STREAM_JSON__LOOP(name, SETTLE, INSIDE, NUMBERS, K, TARGET, CHECK)                                   \
    TARGET static const char *name(stream_json__scan *s, const char *p, const char *e) {                     \
        const stream__c64_##K quote_ = stream__all_##K('"'), backslash_ = stream__all_##K('\\');             \
        const stream__c64_##K open_ = stream__all_##K('{'), close_ = stream__all_##K('}');                   \
        const stream__c64_##K end_ = stream__all_##K((unsigned char)s->end_byte);                            \
        const stream__c64_##K space_ = stream__all_##K(0x20), control_ = stream__all_##K(0x1F);              \
        const stream__c64_##K colon_ = stream__all_##K(':'), comma_ = stream__all_##K(',');                  \
        const uint64_t ends = s->end_byte ? ~UINT64_C(0) : 0, spared = s->ends_strings ? 0 : ~UINT64_C(0);   \
        const uint64_t lone = s->lone ? ~UINT64_C(0) : 0;                                                    \
        const char *base = p - ((size_t)(p - s->loan) & 63);                                                 \
        const char *const full = s->loan + ((size_t)(e - s->loan) & ~(size_t)63);                            \
        uint64_t in_string = 0 - (uint64_t)s->in_string, was_escape = s->escaped;                            \
        size_t depth = s->depth;                                                                             \
        stream_json__stretch t;                                                                              \
        if (!CHECK && (e - p < 16 || s->lone)) return stream_json__follow_bytes(s, p, e);                    \
        t.valid = ~UINT64_C(0);                                                                              \
        t.from = 0;                                                                                          \
        t.to = 64;                                                                                           \
        while (base < e) {                                                                                   \
            while (p == base && base < full) {                                                               \
                stream__v64_##K v = stream__load_##K(base);                                                  \
                const uint64_t quote = stream__is_##K(v, quote_), backslash = stream__is_##K(v, backslash_); \
                const uint64_t end = stream__is_##K(v, end_) & ends;                                         \
                const uint64_t escaped = stream_json__escaped(backslash, was_escape);                        \
                uint64_t string, stop, object;                                                               \
                stream_json__levels levels;                                                                  \
                const char *next = base + 64, *turn = next; /* where one record ends and the next begins */  \
                size_t below;                                                                                \
                bool valid = true;                                                                           \
                STREAM__AHEAD(base);                                                                         \
                t.quote = quote & ~escaped;                                                                  \
                if ((~in_string | t.quote | (end & ~spared)) == 0) { /* one branch, that is foretold */      \
                    p = base = INSIDE(s, base, full, &was_escape);                                           \
                    if (CHECK && !s->checking) goto out;                                                     \
                    continue;                                                                                \
                }                                                                                            \
                if (CHECK) {                                                                                 \
                    t.rules.control = stream__upto_##K(v, control_);                                         \
                    t.rules.high = stream__high_##K(v);                                                      \
                    t.rules.colon = stream__is_##K(v, colon_);                                               \
                    t.rules.comma = stream__is_##K(v, comma_);                                               \
                    t.rules.low = stream__upto_##K(v, space_);                                               \
                    t.rules.brace = stream__bit5_##K(v);                                                     \
                }                                                                                            \
                v = stream__or_##K(v, space_);                                                               \
                string = stream__parity_##K(t.quote) ^ in_string;                                            \
                t.open = stream__is_##K(v, open_) & ~string;                                                 \
                t.close = stream__is_##K(v, close_) & ~string;                                               \
                stop = (end & ~(string & spared)) | (backslash & ~string);                                   \
                if (CHECK) stop |= t.quote & lone & ~string;                                                 \
                if (stop == 0) {                                                                             \
                    const size_t closes = stream__count_##K(t.close), opens = stream__count_##K(t.open);     \
                    if (depth + opens > s->max_depth) break;                                                 \
                    if (!CHECK && depth <= closes && !stream_json__stays_open(depth, t.open, t.close)) break;\
                    below = depth + opens - closes;                                                          \
                } else {                                                                                     \
                    const uint64_t head = stop - 1;                                                          \
                    turn = base + stream_json__lowest(stop);                                                 \
                    below = stream__count_##K(t.open & ~head);                                               \
                    if ((stop & head) || !stream_json__turns(s, turn, &t, stop & end, depth,                 \
                                                             stream__count_##K(t.close & head), below))      \
                        break;                                                                               \
                    if (CHECK) {                                                                             \
                        t.rules.low ^= stop;                                                                 \
                        t.rules.comma |= stop; /* it separates two values, in no object */                   \
                    }                                                                                        \
                }                                                                                            \
                if (CHECK) {                                                                                 \
                    const bool stays_open =                                                                  \
                        stream_json__objects(&s->grammar, &stream_json__words_##K, t.open, t.close,          \
                                             t.rules.brace, 0, &object, &levels);                            \
                    if (!stays_open && !stop) break;                                                         \
                    t.string = string;                                                                       \
                    t.escaped = escaped;                                                                     \
                    valid = stream_json__judge_whole_##K(s, base, base, &t, object, &levels);                \
                    if (!valid && s->fault < turn) goto out;                                                 \
                }                                                                                            \
                if (stop) {                                                                                  \
                    s->ends[s->count++] = turn;                                                              \
                    s->deepest = 1;                                                                          \
                    if (CHECK && !valid) { /* unchecked from behind the second value's bracket on */         \
                        p = turn + 2;                                                                        \
                        depth = 1;                                                                           \
                        in_string = was_escape = 0;                                                          \
                        goto out;                                                                            \
                    }                                                                                        \
                } else if (!(t.quote | t.open | t.close)) {                                                  \
                    next = NUMBERS(s, next, full);                                                           \
                }                                                                                            \
                depth = below;                                                                               \
                in_string = 0 - (string >> 63);                                                              \
                was_escape = (backslash & ~escaped) >> 63;                                                   \
                p = base = next;                                                                             \
            }                                                                                                \
            if (base == e) break;                                                                            \
            s->depth = depth;                                                                                \
            s->in_string = in_string != 0;                                                                   \
            s->escaped = was_escape != 0;                                                                    \
            if (!SETTLE(s, base, &p, e)) return p;                                                           \
            depth = s->depth;                                                                                \
            in_string = 0 - (uint64_t)s->in_string;                                                          \
            was_escape = s->escaped;                                                                         \
            if (CHECK && !s->checking) break;                                                                \
            base += 64;                                                                                      \
        }                                                                                                    \
    out:                                                                                                     \
        s->depth = depth;                                                                                    \
        s->in_string = in_string != 0;                                                                       \
        s->escaped = was_escape != 0;                                                                        \
        return CHECK && !s->checking && p < e ? stream_json__follow_##K(s, p, e) : p;                        \
    }

#define STREAM_JSON__KERNEL(K, TARGET, WHOLE, TEXT)                                                          \
    STREAM_JSON__MASKS(K, TARGET)                                                                            \
    STREAM_JSON__EXAMINE(K, TARGET)                                                                          \
    WHOLE(K, TARGET)                                                                                         \
    STREAM_JSON__SETTLE(stream_json__settle_##K, K, TARGET, 0)                                               \
    STREAM_JSON__INSIDE(stream_json__inside_##K, K, TARGET, 0)                                               \
    STREAM_JSON__NUMBERS(stream_json__numbers_##K, K, TARGET, 0)                                             \
    STREAM_JSON__LOOP(stream_json__follow_##K, stream_json__settle_##K, stream_json__inside_##K,             \
                      stream_json__numbers_##K, K, TARGET, 0)                                                \
    STREAM_JSON__SETTLE(stream_json__settle_check_##K, K, TARGET, 1)                                         \
    TEXT(K, TARGET)                                                                                          \
    STREAM_JSON__NUMBERS(stream_json__numbers_check_##K, K, TARGET, 1)                                       \
    STREAM_JSON__LOOP(stream_json__check_##K, stream_json__settle_check_##K, stream_json__inside_check_##K,  \
                      stream_json__numbers_check_##K, K, TARGET, 1)

/* The scalar one, for small machines, has one way for all blocks. */
#define STREAM_JSON__JUDGE_ALIKE(K, TARGET)
#define stream_json__judge_whole_scalar stream_json__judge_scalar
STREAM_JSON__KERNEL(scalar, , STREAM_JSON__JUDGE_ALIKE, STREAM_JSON__INSIDE_CHECK)
#if STREAM__SIMD_X86
STREAM_JSON__KERNEL(sse2, , STREAM_JSON__JUDGE_WHOLE, STREAM_JSON__INSIDE_CHECK)
STREAM_JSON__KERNEL(avx2, STREAM__AVX2, STREAM_JSON__JUDGE_WHOLE, STREAM_JSON__INSIDE_CHECK)
#ifdef STREAM__AVX512
STREAM_JSON__KERNEL(avx512, STREAM__AVX512, STREAM_JSON__JUDGE_WHOLE, STREAM_JSON__INSIDE_APART)
#endif
#elif STREAM__SIMD_NEON
STREAM_JSON__KERNEL(neon, , STREAM_JSON__JUDGE_WHOLE, STREAM_JSON__INSIDE_CHECK)
#endif

/* All there are, the widest first. Framing and checking have a table each, so that a linker can leave out
   the one that a program has no use for. */
static const stream_json__kernel stream_json__framers[] = {
#if STREAM__SIMD_X86
#ifdef STREAM__AVX512
    {"avx512", 64, stream_json__follow_avx512, stream_json__inside_avx512},
#endif
    {"avx2", 32, stream_json__follow_avx2, stream_json__inside_avx2},
    {"sse2", 16, stream_json__follow_sse2, stream_json__inside_sse2},
#elif STREAM__SIMD_NEON
    {"neon", 16, stream_json__follow_neon, stream_json__inside_neon},
#endif
    {"scalar", 0, stream_json__follow_scalar, stream_json__inside_scalar}};
static const stream_json__kernel stream_json__checkers[] = {
#if STREAM__SIMD_X86
#ifdef STREAM__AVX512
    {"avx512", 64, stream_json__check_avx512, stream_json__inside_check_avx512},
#endif
    {"avx2", 32, stream_json__check_avx2, stream_json__inside_check_avx2},
    {"sse2", 16, stream_json__check_sse2, stream_json__inside_check_sse2},
#elif STREAM__SIMD_NEON
    {"neon", 16, stream_json__check_neon, stream_json__inside_check_neon},
#endif
    {"scalar", 0, stream_json__check_scalar, stream_json__inside_check_scalar}};

/* The one place where a kernel is chosen: by name, or the widest that this machine has. NULL when the name
   is none of them. */
static const stream_json__kernel *stream_json__choose(const stream_json__kernel *all, const char *name) {
    size_t i;
    for (i = 0; i < sizeof stream_json__framers / sizeof *all; i++) {
        if (name && !stream__same_text(name, all[i].name)) continue;
#if STREAM__SIMD_X86
        if (all[i].width > stream__vector_width()) continue;
#endif
        return &all[i];
    }
    return NULL;
}

/* The same; who names none gets STREAM_JSON_KERNEL, where that is there. */
static const stream_json__kernel *stream_json__named(const stream_json__kernel *all, const char *name) {
    const stream_json__kernel *const usual = name ? NULL : stream_json__choose(all, STREAM_JSON_KERNEL);
    return usual ? usual : stream_json__choose(all, name);
}

/* ==[ frame: implementation ]========================================================================

   The open item begins at `offset` in the stream. Its earlier part, `open` bytes, is kept in `held` (as
   far as the bounds allow); its later part is the loan from `start` on. `mark` is where, inside the item,
   a value may begin: the item before it is white space, or noise that the value will cut off.

       state    the item so far is                              a record's end makes of it
       GAP      white space                                     nothing
       NOISE    something that is no value                      noise
       OPEN     ... and a bracket, not yet known to be a value  noise
       FIRST    ... and part of its first element, a bare one   noise
       STRING   white space and part of a string                noise
       BARE     white space and part of a number or literal     a value when whole, else noise
       AFTER    white space, a whole scalar, white space        a value
       VALUE    ... and an object or array, not yet closed      truncated */
enum {
    STREAM_JSON__GAP = 0,
    STREAM_JSON__NOISE,
    STREAM_JSON__OPEN,
    STREAM_JSON__FIRST,
    STREAM_JSON__STRING,
    STREAM_JSON__BARE,
    STREAM_JSON__AFTER,
    STREAM_JSON__VALUE
};

enum { STREAM_JSON__GAP_KEPT = 64, STREAM_JSON__TENTATIVE = 32 };

STREAM_API stream_status stream_json_init(stream_json *json, const stream_json_desc *desc) {
    static const char end_bytes[] = {'\n', '\0', '$', '\x1E'};
    stream_json_desc d;
    const stream_json__kernel *kernel, *checks = NULL;
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    kernel = stream_json__named(stream_json__framers, d.kernel);
#ifndef STREAM_JSON_NO_STRICT
    if (d.strict) checks = stream_json__named(stream_json__checkers, d.kernel);
#endif
    if ((unsigned)d.mode > STREAM_JSON_RS || !kernel || (d.strict && !checks)) return STREAM_E_ARGUMENT;
    if (d.max_depth == 0) d.max_depth = 512;
    if (d.strict && d.max_depth > STREAM_JSON_CHECK_DEPTH) return STREAM_E_ARGUMENT;
    if (d.max_len == 0) d.max_len = d.memory ? SIZE_MAX : (size_t)1 << 20;
    if (d.memory) {
        if (d.memory_len <= STREAM_JSON_SLACK) return STREAM_E_ARGUMENT;
        if (d.max_len > d.memory_len - STREAM_JSON_SLACK) d.max_len = d.memory_len - STREAM_JSON_SLACK;
    }
    if (d.max_len > SIZE_MAX / 4) return STREAM_E_ARGUMENT;
    if (d.first_len == 0) d.first_len = 4096;
    memset(json, 0, sizeof *json);
    stream__assembly_init(&json->held, &d.allocator, d.memory, d.first_len, d.max_len + STREAM_JSON_SLACK);
    json->kernel = kernel;
    json->checks = checks;
    json->max_len = d.max_len;
    json->mode = d.mode;
    json->strict = d.strict;
    /* Framing by vectors is faster than comparing. */
    json->compares = d.mode == STREAM_JSON_NDJSON && (checks || stream__same_text(kernel->name, "scalar"));
    json->terminated = true;
    json->scan.max_depth = d.max_depth;
    json->scan.end_byte = end_bytes[d.mode];
    json->scan.ends_strings = d.mode == STREAM_JSON_NDJSON || d.mode == STREAM_JSON_RS;
    return STREAM_OK;
}

STREAM_API void stream_json_free(stream_json *json) {
    stream__assembly_free(&json->held);
    memset(json, 0, sizeof *json);
}

STREAM_API void stream_json_reset(stream_json *json) {
    stream__assembly_clear(&json->held);
    json->cur = json->end = json->start = NULL;
    json->scanned = json->offset = json->open = 0;
    json->shift = 0;
    json->state = STREAM_JSON__GAP;
    json->gap_lost = json->finished = json->faulty = false;
    json->scan.fault = json->scan.message = json->message = NULL;
    json->scan.count = json->batched = 0;
    json->terminated = true;
}

STREAM_API stream_status stream_json_feed(stream_json *json, const void *data, size_t len) {
    if (json->finished || json->cur != json->end) return STREAM_E_STATE;
    json->cur = json->start = json->scan.loan = (const char *)data;
    json->scan.block_at = NULL;
    json->end = len ? json->cur + len : json->cur;
    return STREAM_OK;
}

STREAM_API stream_status stream_json_finish(stream_json *json) {
    json->finished = true;
    return STREAM_OK;
}

STREAM_API uint64_t stream_json_open(const stream_json *json) {
    if (json->state == STREAM_JSON__GAP) return 0;
    /* White space before a value is not its, before noise it is. */
    return json->state < STREAM_JSON__OPEN || json->after_noise ? json->open : json->open - json->mark;
}

STREAM_API stream_status stream_json_peek(const stream_json *json, stream_item *item) {
    memset(item, 0, sizeof *item);
    if (json->cur != json->end) return STREAM_E_STATE;
    if (json->state != STREAM_JSON__VALUE) return STREAM_EMPTY;
    item->len = json->held.len - json->mark_held; /* all of it is there: the loan was used up */
    if (item->len > json->max_len) item->len = json->max_len;
    item->ptr = item->len ? json->held.ptr + json->mark_held : NULL;
    item->size = json->open - json->mark;
    item->offset = json->offset + json->mark;
    item->kind = (uint32_t)stream_json__type_of((char)json->first);
    item->flags = STREAM_COPIED;
    if (json->scan.end_byte == '\n' && item->len == item->size && item->ptr[item->len - 1] == '\r') {
        item->len--; /* of the record's end, perhaps */
        item->size--;
    }
    return STREAM_OK;
}

/* Length of the open item up to p. */
static uint64_t stream_json__length(const stream_json *json, const char *p) {
    return json->open + (uint64_t)(p - json->start);
}

/* The next item begins at p. What held has handed out stays readable until something is added. */
static void stream_json__begin(stream_json *json, const char *p) {
    json->offset += stream_json__length(json, p);
    json->start = p;
    json->open = 0;
    json->state = STREAM_JSON__GAP;
    json->gap_lost = json->faulty = false;
    stream__assembly_clear(&json->held);
}

/* Adds to held, which after a refusal takes no more: what comes later would stand in the wrong place. */
static void stream_json__add(stream_json *json, const char *ptr, size_t len) {
    if (!json->held.refused) stream__assembly_add(&json->held, ptr, len);
}

/* Keeps the loan from `start` to p, with held filled up to `limit` bytes at the most. */
static void stream_json__hold(stream_json *json, const char *p, size_t limit) {
    size_t len = (size_t)(p - json->start);
    size_t room = limit > json->held.len ? limit - json->held.len : 0;
    if (len > 0) json->last = p[-1];
    stream_json__add(json, json->start, len < room ? len : room);
    json->open += len;
    json->start = p;
}

/* The loan ends inside an item. Noise leaves room in held for the first bytes of a value behind it. */
static void stream_json__keep(stream_json *json, const char *p) {
    size_t noise_limit = json->max_len + STREAM_JSON__GAP_KEPT + 1;
    bool marked = json->state >= STREAM_JSON__OPEN;
    if (marked && json->mark >= json->open) {
        stream_json__hold(json, json->start + (json->mark - json->open), noise_limit);
        /* An earlier bracket that came to nothing may have filled the room kept for this one. */
        if (json->held.len > noise_limit) json->held.len = noise_limit;
        json->mark_held = json->held.len;
    }
    stream_json__hold(json, p, marked ? json->held.max : noise_limit);
}

/* Describes the bytes [from, to) of the open item, which end at or before the scan position; from is 0
   or mark. */
static stream_status stream_json__emit(stream_json *json, stream_item *item, stream_status status,
                                       uint64_t from, uint64_t to, char first) {
    item->offset = json->offset + from;
    item->size = to - from;
    item->kind = (uint32_t)stream_json__type_of(first); /* NONE for noise, whose first is 0 */
    item->flags = 0;
    if (from >= json->open) {
        item->ptr = json->start + (from - json->open);
        item->len = (size_t)item->size;
    } else {
        size_t begin = from ? json->mark_held : 0;
        if (to > json->open) stream_json__add(json, json->start, (size_t)(to - json->open));
        item->len = json->held.len - begin;
        item->ptr = item->len ? json->held.ptr + begin : NULL;
        if (item->len > item->size) item->len = (size_t)item->size; /* behind it stands a value's head */
        item->flags = STREAM_COPIED;
        if (json->held.refused && item->len < item->size) status = STREAM_E_NOMEM;
    }
    if (item->size > json->max_len) {
        status = STREAM_E_TOO_LONG;
        if (item->len > json->max_len) item->len = json->max_len;
    }
    if (status == STREAM_OK && json->faulty) status = STREAM_E_INVALID;
    if (json->state == STREAM_JSON__VALUE && from == json->mark && json->scan.deepest > json->scan.max_depth)
        status = STREAM_E_TOO_DEEP;
    return status;
}

/* From here on a kernel follows the open value: an object or array, its first bracket taken and perhaps the
   bare value behind it, or a string, its first quote taken. */
static void stream_json__follow(stream_json *json, uint8_t state) {
    stream_json__scan *s = &json->scan;
    s->lone = s->in_string = state == STREAM_JSON__STRING;
    s->escaped = false;
    s->depth = s->deepest = 1;
    if (json->strict && !s->checking) s->block_at = NULL; /* its masks may lack the rules' */
    s->checking = json->strict;
    json->faulty = false;
    if (s->checking) {
        stream_json__grammar *g = &s->grammar;
        stream_json__grammar_init(g, json->state == STREAM_JSON__FIRST ? 0 : json->first);
    }
    json->state = state;
}

/* Lets the kernel go on from p, and takes note of what it found wrong. */
static const char *stream_json__run(stream_json *json, const char *p, const char *e) {
    stream_json__scan *s = &json->scan;
    s->batching = json->mode == STREAM_JSON_NDJSON && json->state == STREAM_JSON__VALUE &&
                  s->checking == json->strict;
#if STREAM_JSON__COMPARES
    if (json->shape.parts && json->shape.misses == 0) s->batching = false; /* the next will be compared */
#endif
    p = (s->checking ? json->checks : json->kernel)->run(s, p, e);
    if (s->fault) {
        json->faulty = true;
        json->fault = json->offset + stream_json__length(json, s->fault);
        json->message = s->message;
        s->fault = NULL;
    }
    return p;
}

/* A bracket turned out to begin a value: cuts off the noise before it, if there is any. */
static stream_status stream_json__confirm(stream_json *json, stream_item *item) {
    stream_status status;
    stream_json__follow(json, STREAM_JSON__VALUE);
    if (!json->after_noise) return STREAM_OK;
    status = stream_json__emit(json, item, STREAM_NOISE, 0, json->mark, 0);
    json->offset += json->mark;
    if (json->mark < json->open) {
        json->open -= json->mark;
        json->shift = json->mark_held;
    } else {
        json->start += json->mark - json->open;
        json->open = 0;
        stream__assembly_clear(&json->held);
    }
    json->mark = 0;
    json->mark_held = 0;
    return status;
}

/* Where the record's bytes end at p: before a CR when the record ends with LF. */
static uint64_t stream_json__record_end(const stream_json *json, const char *p) {
    uint64_t to = stream_json__length(json, p);
    char last = p > json->start ? p[-1] : json->last;
    return *p == '\n' && last == '\r' ? to - 1 : to;
}

/* The record ends at *p, inside a value. */
static stream_status stream_json__cut(stream_json *json, stream_item *item, const char **p) {
    stream_status status = stream_json__emit(json, item, STREAM_E_TRUNCATED, json->mark,
                                             stream_json__record_end(json, *p), (char)json->first);
    json->terminated = true;
    stream_json__begin(json, ++*p);
    return status;
}

/* What is open when the input ends. */
static stream_status stream_json__tail(stream_json *json, stream_item *item) {
    const char *e = json->end;
    uint64_t len = stream_json__length(json, e);
    stream_status status = STREAM_E_TRUNCATED;
    uint64_t from = json->mark;
    char first = (char)json->first;
    switch (json->state) {
    case STREAM_JSON__GAP:
        memset(item, 0, sizeof *item);
        item->offset = json->offset + len;
        item->flags = json->terminated || json->scan.end_byte == 0 ? 0u : (uint32_t)STREAM_UNTERMINATED;
        return STREAM_END;
    case STREAM_JSON__NOISE:
        from = 0;
        first = '\0';
        status = STREAM_NOISE;
        break;
    case STREAM_JSON__OPEN:
    case STREAM_JSON__FIRST:
        if (json->after_noise) return stream_json__confirm(json, item);
        break;
    case STREAM_JSON__BARE:
        if (json->mode != STREAM_JSON_RS &&
            stream_json__token_whole(json->token, json->token_at, (char)json->first))
            status = STREAM_OK;
        break;
    case STREAM_JSON__AFTER:
        len = json->mark_end;
        status = STREAM_OK;
        break;
    default: break;
    }
    json->terminated = status != STREAM_OK;
    status = stream_json__emit(json, item, status, from, len, first);
    item->flags |= STREAM_UNTERMINATED;
    stream_json__begin(json, e);
    return status;
}

/* The next of the records whose ends are known. */
STREAM__INLINE void stream_json__hand_out(stream_json *json, stream_item *item) {
    size_t len = (size_t)(json->scan.ends[json->batched++] - json->start);
    item->ptr = json->start;
    item->size = item->len = len;
    item->offset = json->offset;
    item->kind = STREAM_JSON_OBJECT;
    item->flags = 0;
    json->start += ++len;
    json->cur = json->start;
    json->offset += len;
    json->scanned += len;
}

/* The next of those behind the first, when there is one and it is not too long. */
STREAM__INLINE bool stream_json__next_of_batch(stream_json *json, stream_item *item) {
    if (json->batched == 0 || json->batched == json->scan.count ||
        (size_t)(json->scan.ends[json->batched] - json->start) > json->max_len)
        return false;
    stream_json__hand_out(json, item);
    return true;
}

STREAM__NOINLINE static stream_status stream_json__next_item(stream_json *json, stream_item *item) {
    const char *p = json->cur, *const e = json->end;
    const char *const entry = p;
    const char end_byte = json->scan.end_byte;
    stream_status status = STREAM_MORE;

    if (json->shift) { /* the last call handed out noise that stood before the open value */
        memmove(json->held.ptr, json->held.ptr + json->shift, json->held.len - json->shift);
        json->held.len -= json->shift;
        json->shift = 0;
    }
    while (p < e && status == STREAM_MORE) {
        const char c = *p;
        if (c == '{' && json->state == STREAM_JSON__GAP && e - p > 1 && p[1] == '"') { /* most records */
            json->mark = stream_json__length(json, p++);
            json->first = '{';
            json->after_noise = false;
            stream_json__follow(json, STREAM_JSON__VALUE);
        }
        const bool ends = end_byte && c == end_byte;
        const bool over = ends || (c == '\n' && json->mode == STREAM_JSON_RS); /* RFC 7464 ends a text with LF */
        const bool space = !ends && stream_json__is_space(c);
        switch (json->state) {
        case STREAM_JSON__GAP:
            if (ends || c == '\n') {
                if (over) json->terminated = true;
                stream_json__begin(json, ++p);
            } else if (space) {
                p++;
                if (json->gap_lost || stream_json__length(json, p) > STREAM_JSON__GAP_KEPT) {
                    stream_json__begin(json, p);
                    json->gap_lost = true;
                }
            } else {
                json->mark = stream_json__length(json, p);
                json->first = (uint8_t)c;
                json->after_noise = false;
                json->token = stream_json__token_begin(c);
                json->token_at = 1;
                if (c == '{' || c == '[') json->state = STREAM_JSON__OPEN;
                else if (c == '"') stream_json__follow(json, STREAM_JSON__STRING);
                else if (json->token) json->state = STREAM_JSON__BARE;
                else json->state = STREAM_JSON__NOISE;
                if (json->state != STREAM_JSON__NOISE) p++;
            }
            break;

        case STREAM_JSON__NOISE:
            while (p < e && *p != '\n' && (*p | 0x20) != '{' && (*p != end_byte || !end_byte)) p++;
            if (p == e) break;
            if ((*p | 0x20) == '{') {
                json->mark = stream_json__length(json, p);
                json->first = (uint8_t)*p;
                json->after_noise = true;
                json->state = STREAM_JSON__OPEN;
                p++;
                break;
            }
            status = stream_json__emit(json, item, STREAM_NOISE, 0, stream_json__record_end(json, p), 0);
            if (*p == end_byte) json->terminated = true;
            stream_json__begin(json, ++p);
            break;

        case STREAM_JSON__OPEN:
            if (json->after_noise && stream_json__length(json, p) - json->mark >= STREAM_JSON__TENTATIVE) {
                json->state = STREAM_JSON__NOISE;
            } else if (space) {
                p++;
            } else if (c == '"' || c == (json->first == '{' ? '}' : ']') ||
                       (json->first == '[' && (c | 0x20) == '{')) {
                status = stream_json__confirm(json, item);
                if (status == STREAM_OK) status = STREAM_MORE;
            } else if (json->first == '[' && (json->token = stream_json__token_begin(c)) != 0) {
                json->element = (uint8_t)c;
                json->token_at = 1;
                json->state = STREAM_JSON__FIRST;
                p++;
            } else {
                json->state = STREAM_JSON__NOISE;
            }
            break;

        case STREAM_JSON__FIRST:
            if (json->after_noise && stream_json__length(json, p) - json->mark >= STREAM_JSON__TENTATIVE) {
                json->state = STREAM_JSON__NOISE;
            } else if (stream_json__token_step(&json->token, &json->token_at, (char)json->element, c)) {
                p++;
            } else if (stream_json__token_whole(json->token, json->token_at, (char)json->element) &&
                       (space || c == ',' || c == ']')) {
                status = stream_json__confirm(json, item);
                if (status == STREAM_OK) status = STREAM_MORE;
            } else {
                json->state = STREAM_JSON__NOISE;
            }
            break;

        case STREAM_JSON__STRING:
            p = stream_json__run(json, p, e);
            if (json->scan.depth == 0) {
                json->state = STREAM_JSON__AFTER;
                json->mark_end = stream_json__length(json, p);
                if (end_byte == 0) { /* a closing quote needs nothing after it */
                    status = stream_json__emit(json, item, STREAM_OK, json->mark, json->mark_end, '"');
                    stream_json__begin(json, p);
                }
            } else if (p < e) {
                if (json->mode == STREAM_JSON_RS) status = stream_json__cut(json, item, &p);
                else json->state = STREAM_JSON__NOISE;
            }
            break;

        case STREAM_JSON__BARE:
            if (stream_json__token_step(&json->token, &json->token_at, (char)json->first, c)) {
                p++;
            } else if (ends && json->mode == STREAM_JSON_RS) {
                status = stream_json__cut(json, item, &p); /* RFC 7464, section 2.4: it may have been longer */
            } else if (stream_json__token_whole(json->token, json->token_at, (char)json->first) &&
                       (space || ends ||
                        (end_byte == 0 && (c == '"' || c == ',' || (c | 0x20) == '{' || (c | 0x20) == '}')))) {
                json->state = STREAM_JSON__AFTER;
                json->mark_end = stream_json__length(json, p);
            } else {
                json->state = STREAM_JSON__NOISE;
            }
            break;

        case STREAM_JSON__AFTER:
            if (space && !over && end_byte) {
                p++;
            } else if (over || end_byte == 0) {
                status = stream_json__emit(json, item, STREAM_OK, json->mark, json->mark_end, (char)json->first);
                json->terminated = over;
                if (over) p++;
                stream_json__begin(json, p);
            } else {
                json->state = STREAM_JSON__NOISE;
            }
            break;

        default: /* STREAM_JSON__VALUE */
            if (json->scan.count == 0) p = json->ahead = stream_json__run(json, p, e);
            if (json->batched < json->scan.count) { /* the kernel went on to later records: one by one */
                const bool faulty = json->faulty;
                const size_t deepest = json->scan.deepest;
                p = json->scan.ends[json->batched++];
                json->faulty = false;
                json->scan.deepest = 0;
                status = stream_json__emit(json, item, STREAM_OK, json->mark, stream_json__length(json, p),
                                           (char)json->first);
                stream_json__begin(json, ++p);
                json->state = STREAM_JSON__VALUE;
                json->mark = 0;
                json->first = '{';
                json->faulty = faulty;
                json->scan.deepest = deepest;
                break;
            }
            p = json->ahead;
            json->scan.count = json->batched = 0;
            if (json->scan.depth == 0) {
                status = stream_json__emit(json, item, STREAM_OK, json->mark, stream_json__length(json, p),
                                           (char)json->first);
                json->terminated = false;
                stream_json__begin(json, p);
            } else if (p < e) {
                status = stream_json__cut(json, item, &p);
            }
            break;
        }
    }
    json->cur = p;
    json->scanned += (uint64_t)(p - entry);
    if (status != STREAM_MORE) return status;
    if (json->finished) return stream_json__tail(json, item);
    stream_json__keep(json, p);
    memset(item, 0, sizeof *item);
    item->offset = json->offset + json->open;
    return STREAM_MORE;
}

STREAM_API const char *stream_json_error(const stream_json *json, uint64_t *offset) {
    if (offset) *offset = json->fault;
    return json->message;
}

static stream_status stream_json__feed(void *self, const void *data, size_t len) {
    return stream_json_feed((stream_json *)self, data, len);
}
static stream_status stream_json__next(void *self, stream_item *item) {
    return stream_json_next((stream_json *)self, item);
}
static stream_status stream_json__finish(void *self) { return stream_json_finish((stream_json *)self); }

STREAM_API stream_decoder stream_json_decoder(stream_json *json) {
    stream_decoder decoder;
    decoder.self = json;
    decoder.feed = stream_json__feed;
    decoder.next = stream_json__next;
    decoder.finish = stream_json__finish;
    return decoder;
}

/* ==[ read: implementation ]========================================================================= */

STREAM__INLINE const char *stream_json__spaces(const char *p, const char *e) {
    while (p < e && (unsigned char)*p <= ' ' && stream_json__is_space(*p)) p++;
    return p;
}

#if STREAM__SIMD_X86
/* Which of the 16 bytes at p are a quote or a backslash. */
STREAM__INLINE unsigned stream_json__mark16(const char *p) {
    const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    return (unsigned)_mm_movemask_epi8(
        _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
}
#endif

/* The first quote or backslash at p or behind it; e if there is none. */
STREAM__INLINE const char *stream_json__mark(const char *p, const char *e) {
#if STREAM__LITTLE_ENDIAN && !STREAM__SIMD_X86
    for (; e - p >= 8; p += 8) {
        uint64_t v, q, b, hit;
        memcpy(&v, p, 8);
        q = v ^ STREAM__BYTES('"');
        b = v ^ STREAM__BYTES('\\');
        /* The lowest byte that is zero in either; what stands above a zero byte may be wrong. */
        hit = (((q - STREAM__BYTES(1)) & ~q) | ((b - STREAM__BYTES(1)) & ~b)) & STREAM__BYTES(0x80);
        if (hit) return p + stream_json__lowest(hit) / 8;
    }
#endif
    while (p < e && *p != '"' && *p != '\\') p++;
    return p;
}

/* From p inside a string that begins at `begin`: past the closing quote, or NULL when the bytes end before it. A
   long string is left to memchr, and a quote it finds closes the string unless an odd number of backslashes stands
   before it. Where one is escaped others will be, so from there the framing kernel goes on, to the last 64 bytes. */
STREAM__NOINLINE static const char *stream_json__string_rest(const char *begin, const char *p, const char *e) {
    const char *const soon = e - p > 64 ? p + 64 : e;
#if STREAM__SIMD_X86
    while (soon - p >= 16) {
        const unsigned hit = stream_json__mark16(p);
        if (!hit) {
            p += 16;
            continue;
        }
        p += stream_json__lowest(hit);
        if (*p == '"') return p + 1;
        p += 2;
    }
#endif
    while (p < soon) {
        p = stream_json__mark(p, soon);
        if (p == soon) break;
        if (*p == '"') return p + 1;
        p += 2;
    }
    while (p < e) {
        const char *quote = (const char *)memchr(p, '"', (size_t)(e - p)), *run = quote;
        stream_json__scan s;
        uint64_t escaped = 0;
        if (!quote) return NULL;
        while (run > begin && run[-1] == '\\') run--;
        if ((quote - run) % 2 == 0) return quote + 1;
        p = quote + 1;
        s.end_byte = 0;
        s.ends_strings = false;
        p = stream_json__named(stream_json__framers, NULL)
                ->inside(&s, p, p + ((size_t)(e - p) & ~(size_t)63), &escaped);
        if (escaped && p < e) p++;
    }
    return NULL;
}

/* From the opening quote: past the closing one, or NULL when the bytes end before it. */
STREAM__INLINE const char *stream_json__string_end(const char *p, const char *e) {
    const char *const begin = ++p;
#if STREAM__SIMD_X86
    if (e - p >= 16) { /* most are short */
        const unsigned hit = stream_json__mark16(p);
        if (!hit) return stream_json__string_rest(begin, p + 16, e);
        p += stream_json__lowest(hit);
        if (*p == '"') return p + 1;
    }
#endif
    return stream_json__string_rest(begin, p, e);
}

/* Past `depth` closing brackets, or NULL when the bytes end before them. What is not closed soon is left to the
   framing kernel. */
static const char *stream_json__closed(const char *p, const char *e, size_t depth) {
    const char *soon = e - p > 256 ? p + 256 : e;
    while (p < soon) {
        const char c = *p;
        if (c == '"') {
            p = stream_json__string_end(p, e);
            if (!p) return NULL;
            continue;
        }
        p++;
        if ((c | 0x20) == '{') depth++;
        else if ((c | 0x20) == '}' && --depth == 0) return p;
    }
    if (p < e) {
        stream_json__scan s;
        memset(&s, 0, offsetof(stream_json__scan, ends));
        s.loan = p;
        s.depth = s.deepest = depth;
        s.max_depth = SIZE_MAX / 2;
        p = stream_json__named(stream_json__framers, NULL)->run(&s, p, e);
        if (s.depth == 0) return p;
    }
    return NULL;
}

/* Past a number or literal that begins at p, as far as it can be one; *whole: it is. */
static const char *stream_json__bare_end(const char *p, const char *e, bool *whole) {
    const char first = *p;
    if (first == '-' || (first >= '0' && first <= '9')) {
        const char *digits = p + (first == '-');
        p = digits;
        if (p < e && *p == '0') p++;
        else while (p < e && *p >= '0' && *p <= '9') p++;
        *whole = p > digits;
        if (*whole && p < e && (*p == '.' || (*p | 0x20) == 'e')) {
            uint8_t state = *p == '.' ? STREAM_JSON__POINT : STREAM_JSON__E, at = 1;
            for (p++; p < e && stream_json__token_step(&state, &at, first, *p); p++) {
            }
            *whole = stream_json__token_whole(state, at, first);
        }
        return p;
    } else {
        const char *word = stream_json__literal(first);
        const size_t f = first == 'f';
        *whole = true;
        if (e - p > 4 && memcmp(p + f, f ? "alse" : word, 4) == 0) return p + 4 + f;
        while (p < e && *word && *p == *word) p++, word++;
        *whole = *word == '\0';
        return p;
    }
}

/* The value at p, which is no space; set when OK. MORE when the bytes end inside it: a bare value at
   their very end may go on, unless it stands `alone`. */
STREAM__INLINE stream_status stream_json__value_at(const char *p, const char *e, bool alone,
                                                   stream_json_value *value) {
    const char *begin = p;
    const stream_json_type type = stream_json__type_of(*p);
    bool whole;
    if (type == STREAM_JSON_STRING) {
        p = stream_json__string_end(p, e);
    } else if (type >= STREAM_JSON_ARRAY) {
        p = stream_json__closed(p + 1, e, 1);
    } else {
        if (type == STREAM_JSON_NONE) return STREAM_E_INVALID;
        p = stream_json__bare_end(p, e, &whole);
        if (p == e && !alone) return STREAM_MORE;
        if (!whole && p == e) return STREAM_MORE;
        if (!whole || (p < e && stream_json__in_token(*p))) return STREAM_E_INVALID; /* 12 of 12abc is no value */
    }
    if (!p) return STREAM_MORE;
    value->ptr = begin;
    value->len = (size_t)(p - begin);
    value->type = type;
    return STREAM_OK;
}

STREAM_API stream_json_value stream_json_value_of(const char *json, size_t len) {
    stream_json_value value;
    const char *e = len ? json + len : json;
    const char *p = stream_json__spaces(json, e);
    while (e > p && stream_json__is_space(e[-1])) e--;
    memset(&value, 0, sizeof value);
    if (p == e || stream_json__type_of(*p) == STREAM_JSON_NONE) return value;
    value.type = stream_json__type_of(*p);
    value.ptr = p;
    value.len = (size_t)(e - p);
    return value;
}

static int stream_json__hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The value of four hexadecimal digits, or -1. */
static int stream_json__hex4(const char *p) {
    int v = 0, i;
    for (i = 0; i < 4; i++) {
        int d = stream_json__hex(p[i]);
        if (d < 0) return -1;
        v = v * 16 + d;
    }
    return v;
}

static size_t stream_json__utf8_put(char out[4], uint32_t c) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | (c >> 6));
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | (c >> 12));
        out[1] = (char)(0x80 | ((c >> 6) & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xF0 | (c >> 18));
    out[1] = (char)(0x80 | ((c >> 12) & 63));
    out[2] = (char)(0x80 | ((c >> 6) & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* What a backslash and c mean, 0 for nothing. */
static char stream_json__unescaped(char c) {
    switch (c) {
    case '"':
    case '\\':
    case '/': return c;
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return '\0';
    }
}

/* Decodes the escape at *p (a backslash) into out and steps past it. Returns its length, 0 when broken. */
static size_t stream_json__escape_at(const char **p, const char *e, stream_json_surrogates surrogates,
                                     char out[4]) {
    const char *s = *p + 1;
    int high, low;
    if (s == e) return 0;
    if (*s != 'u') {
        *p = s + 1;
        out[0] = stream_json__unescaped(*s);
        return out[0] != '\0';
    }
    if (e - s < 5 || (high = stream_json__hex4(s + 1)) < 0) return 0;
    *p = s + 5;
    if (high < 0xD800 || high > 0xDFFF) return stream_json__utf8_put(out, (uint32_t)high);
    if (high < 0xDC00 && e - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u' &&
        (low = stream_json__hex4(*p + 2)) >= 0xDC00 && low <= 0xDFFF) {
        *p += 6;
        return stream_json__utf8_put(out, 0x10000u + (((uint32_t)high - 0xD800u) << 10) +
                                              ((uint32_t)low - 0xDC00u));
    }
    if (surrogates == STREAM_JSON_REJECT) return 0;
    return stream_json__utf8_put(out, surrogates == STREAM_JSON_REPLACE ? 0xFFFDu : (uint32_t)high);
}

/* The inside of a string value: false when it is none, or its quotes do not match. */
static bool stream_json__inside(stream_json_value value, const char **p, const char **e) {
    if (value.type != STREAM_JSON_STRING || value.len < 2 || value.ptr[value.len - 1] != '"') return false;
    *p = value.ptr + 1;
    *e = value.ptr + value.len - 1;
    return true;
}

STREAM_API stream_status stream_json_unescape(const char *raw, size_t len, stream_json_surrogates surrogates,
                                              char *dst, size_t cap, size_t *out_len) {
    const char *p = raw, *e = len ? raw + len : raw;
    size_t n = 0;
    *out_len = 0;
    while (p < e) {
        char unit[4];
        const char *from = p;
        size_t run, take;
        if (*p == '\\') {
            run = stream_json__escape_at(&p, e, surrogates, unit);
            if (run == 0) return STREAM_E_INVALID;
            from = unit;
        } else {
            const char *stop = (const char *)memchr(p, '\\', (size_t)(e - p));
            run = (size_t)((stop ? stop : e) - p);
            if (memchr(p, '"', run)) return STREAM_E_INVALID;
            p += run;
        }
        take = n < cap ? (run < cap - n ? run : cap - n) : 0;
        if (take) memmove(dst + n, from, take);
        n += run;
    }
    *out_len = n;
    return n <= cap ? STREAM_OK : STREAM_FULL;
}

STREAM_API stream_status stream_json_string(stream_json_value value, stream_json_surrogates surrogates,
                                            char *dst, size_t cap, size_t *len) {
    const char *p, *e;
    *len = 0;
    if (value.type != STREAM_JSON_STRING) return STREAM_E_TYPE;
    if (!stream_json__inside(value, &p, &e)) return STREAM_E_INVALID;
    return stream_json_unescape(p, (size_t)(e - p), surrogates, dst, cap, len);
}

/* Whether a string's inside [p, e), unescaped, is text; in a pointer's step ~0 and ~1 are unescaped too. */
static bool stream_json__same(const char *p, const char *e, const char *text, size_t len, bool pointer) {
    size_t at = 0;
    while (p < e) {
        char unit[4];
        size_t i, n = 1;
        unit[0] = *p;
        if (*p == '"') return false; /* it would have to be escaped */
        if (*p == '\\') n = stream_json__escape_at(&p, e, STREAM_JSON_PASS, unit);
        else p++;
        if (n == 0) return false;
        for (i = 0; i < n; i++) {
            char c;
            if (at == len) return false;
            c = text[at++];
            if (pointer && c == '~') c = text[at++] == '1' ? '/' : '~'; /* a pointer's text has been checked */
            if (c != unit[i]) return false;
        }
    }
    return at == len;
}

STREAM_API bool stream_json_equals(stream_json_value value, const char *text, size_t len) {
    const char *p, *e;
    if (!stream_json__inside(value, &p, &e)) return false;
    if ((size_t)(e - p) == len && (len == 0 || memcmp(p, text, len) == 0))
        return len == 0 || (!memchr(p, '\\', len) && !memchr(p, '"', len));
    if (e == p || memchr(p, '\\', (size_t)(e - p)) == NULL) return false;
    return stream_json__same(p, e, text, len, false);
}

STREAM_API stream_status stream_json_each_init(stream_json_each *each, stream_json_value value) {
    memset(each, 0, sizeof *each);
    if (value.type < STREAM_JSON_ARRAY) return STREAM_E_TYPE;
    each->cur = each->end = value.ptr;
    if (value.len) { /* of a lost item nothing may be there */
        each->cur++;
        each->end += value.len;
    }
    each->type = value.type;
    return STREAM_OK;
}

/* Steps over the comma before a member and over the key and colon of an object's: OK with *p at the
   value, END with *p past the closing bracket, MORE, E_INVALID. */
STREAM__INLINE stream_status stream_json__member(const char **p, const char *e, bool object, bool begun,
                                         stream_json_value *key) {
    const char *s = stream_json__spaces(*p, e);
    memset(key, 0, sizeof *key);
    if (s == e) return STREAM_MORE;
    if (*s == (object ? '}' : ']')) {
        *p = s + 1;
        return STREAM_END;
    }
    if (begun) {
        if (*s != ',') return STREAM_E_INVALID;
        s = stream_json__spaces(s + 1, e);
        if (s == e) return STREAM_MORE;
    }
    if (object) {
        stream_status status;
        if (*s != '"') return STREAM_E_INVALID;
        status = stream_json__value_at(s, e, false, key);
        if (status != STREAM_OK) return status;
        s = stream_json__spaces(s + key->len, e);
        if (s == e) return STREAM_MORE;
        if (*s != ':') return STREAM_E_INVALID;
        s = stream_json__spaces(s + 1, e);
        if (s == e) return STREAM_MORE;
    }
    *p = s;
    return STREAM_OK;
}

STREAM_API stream_status stream_json_each_next(stream_json_each *each, stream_json_value *key,
                                               stream_json_value *value) {
    stream_json_value name;
    const char *p = each->cur;
    stream_status status =
        stream_json__member(&p, each->end, each->type == STREAM_JSON_OBJECT, each->begun, &name);
    memset(value, 0, sizeof *value);
    if (status == STREAM_OK) status = stream_json__value_at(p, each->end, false, value);
    if (status == STREAM_OK) {
        each->begun = true;
        each->cur = p + value->len;
    } else {
        memset(&name, 0, sizeof name);
    }
    if (key) *key = name;
    return status;
}

/* A pass descends into the containers on some wanted path and steps over all others. `step` is, for each
   pointer, where in it the step stands that is looked for in the innermost of them. */
#define STREAM_JSON__STEPS 32

typedef struct stream_json__level {
    uint64_t inside; /* pointers that lead into this container */
    uint64_t whole;  /* pointers that name it: their length is known when it closes */
    const char *begin;
    size_t index;    /* members or elements so far */
} stream_json__level;

/* Whether the text of a key, between its quotes, is the step at `step`: then what follows the step, a slash or the
   pointer's end; else NULL. Byte by byte, as most keys differ in the first; ~ and escapes are spelled out first. */
STREAM__INLINE const char *stream_json__step_over(const char *name, size_t len, const char *step) {
    size_t n;
    for (n = 0; name[n] == step[n]; n++) {
        if ((unsigned char)(name[n] - '_') <= 'z' - '_') continue; /* nearly all are */
        if (n == len || name[n] == '~' || name[n] == '/' || name[n] == '\\' || name[n] == '\0') break;
    }
    if (n == len) {
        if (step[n] == '/' || step[n] == '\0') return step + n;
        if (step[n] != '~') return NULL;
    }
    if (step[n] == '~' || (n < len && name[n] == '\\')) {
        const char *end = step;
        while (*end && *end != '/') end++;
        if (stream_json__same(name, name + len, step, (size_t)(end - step), true)) return end;
    }
    return NULL;
}

/* Whether the step is an array's index, the same way. */
static const char *stream_json__index_over(size_t index, const char *step) {
    size_t n = 0, v = 0;
    while (n < 10 && step[n] >= '0' && step[n] <= '9') v = v * 10 + (size_t)(step[n++] - '0');
    if (n == 0 || n == 10 || (n > 1 && step[0] == '0') || v != index || (step[n] && step[n] != '/')) return NULL;
    return step + n;
}

/* The next member that steps of the pointers in `open` name, from *at on: behind the opening brace, or behind a
   value. OK with *at at its value, END past the closing brace, MORE, E_INVALID. */
STREAM__INLINE stream_status stream_json__find_member(const char **at, const char *e, bool first, const char **step,
                                                      uint64_t open, uint64_t *whole, uint64_t *inside) {
    const char *p = *at, *name;
    uint64_t set, hits = 0;
    stream_json_value value;
    bool plain;
    for (;; first = false) {
        if (!first && e - p > 1 && *p == ',' && p[1] == '"') { /* mostly */
            p++;
        } else {
            p = stream_json__spaces(p, e);
            if (p == e) return STREAM_MORE;
            if (*p == '}') {
                *at = p + 1;
                return STREAM_END;
            }
            if (!first) {
                if (*p != ',') return STREAM_E_INVALID;
                p = stream_json__spaces(p + 1, e);
                if (p == e) return STREAM_MORE;
            }
            if (*p != '"') return STREAM_E_INVALID;
        }
        name = p + 1;
        p = stream_json__string_end(p, e);
        if (!p) return STREAM_MORE;
        plain = *name != '\\' && *name != '"'; /* and not empty */
        for (set = open; set; set &= set - 1) {
            const unsigned i = stream_json__lowest(set);
            const char *behind;
            if (plain && *step[i] != *name && *step[i] != '~') continue;
            behind = stream_json__step_over(name, (size_t)(p - 1 - name), step[i]);
            if (!behind) continue;
            hits |= set & (0 - set);
            *(*behind ? inside : whole) |= set & (0 - set);
            if (*behind) step[i] = behind + 1;
        }
        if (e - p > 1 && *p == ':' && (unsigned char)p[1] > ' ') {
            p++;
        } else {
            p = stream_json__spaces(p, e);
            if (p == e) return STREAM_MORE;
            if (*p != ':') return STREAM_E_INVALID;
            p = stream_json__spaces(p + 1, e);
            if (p == e) return STREAM_MORE;
        }
        if (hits) {
            *at = p;
            return STREAM_OK;
        }
        if (*p == '"') {
            p = stream_json__string_end(p, e);
            if (!p) return STREAM_MORE;
        } else {
            const stream_status status = stream_json__value_at(p, e, false, &value);
            if (status != STREAM_OK) return status;
            p += value.len;
        }
    }
}

/* The same for the elements of an array, of which *index is the next. */
STREAM__NOINLINE static stream_status stream_json__find_element(const char **at, const char *e, size_t *index,
                                                                const char **step, uint64_t open,
                                                                uint64_t *whole, uint64_t *inside) {
    const char *p = *at;
    for (;;) {
        stream_json_value value;
        stream_status status;
        uint64_t set;
        p = stream_json__spaces(p, e);
        if (p == e) return STREAM_MORE;
        if (*p == ']') {
            *at = p + 1;
            return STREAM_END;
        }
        if (*index > 0) {
            if (*p != ',') return STREAM_E_INVALID;
            p = stream_json__spaces(p + 1, e);
            if (p == e) return STREAM_MORE;
        }
        for (set = open; set; set &= set - 1) {
            const unsigned i = stream_json__lowest(set);
            const char *behind = stream_json__index_over(*index, step[i]);
            if (!behind) continue;
            *(*behind ? inside : whole) |= set & (0 - set);
            if (*behind) step[i] = behind + 1;
        }
        ++*index;
        if (*whole | *inside) {
            *at = p;
            return STREAM_OK;
        }
        status = stream_json__value_at(p, e, false, &value);
        if (status != STREAM_OK) return status;
        p += value.len;
    }
}

/* A container is left, or there was none: the steps that led into it are looked for again. */
static void stream_json__step_back(const char **step, uint64_t set) {
    for (; set; set &= set - 1) {
        const char **s = &step[stream_json__lowest(set)];
        for (*s -= 1; (*s)[-1] != '/'; *s -= 1) {
        }
    }
}

STREAM__INLINE void stream_json__found(uint64_t set, const stream_json_value *value, stream_json_value *out) {
    for (; set; set &= set - 1) out[stream_json__lowest(set)] = *value;
}

/* How many steps a pointer has (RFC 6901, section 3); SIZE_MAX when it is none, or one of 4 GiB. Where two
   such pointers lead the same way, they are the same text. */
static size_t stream_json__steps(const char *pointer) {
    const char *s = pointer;
    size_t steps = 0;
    if (!s || (*s && *s != '/')) return SIZE_MAX;
    for (; *s; s++) {
        steps += *s == '/';
        if (*s == '~' && s[1] != '0' && s[1] != '1') return SIZE_MAX;
    }
    return (size_t)(s - pointer) < UINT32_MAX ? steps : SIZE_MAX;
}

STREAM_API stream_status stream_json_pick(const char *json, size_t len, const char *const *pointers,
                                          size_t count, stream_json_value *out) {
    const char *step[64];
    stream_json__level levels[STREAM_JSON__STEPS], *level = levels; /* `depth` of them are open; the innermost */
    const char *const e = len ? json + len : json, *p = stream_json__spaces(json, e);
    uint64_t wanted, open, whole = 0, inside = 0;
    size_t depth = 0, i;

    if (count) memset(out, 0, count * sizeof *out);
    if (count > 64) return STREAM_E_ARGUMENT;
    for (i = 0; i < count; i++) {
        const char *s = pointers[i], *nul;
        if (!s || (*s && *s != '/')) return STREAM_E_ARGUMENT;
        if (*s) {
            inside |= UINT64_C(1) << i;
            step[i] = s + 1;
        } else {
            whole |= UINT64_C(1) << i;
        }
        nul = (const char *)memchr(s, 0, STREAM_JSON__STEPS + 1); /* a shorter one has no room for too many steps */
        if ((!nul || memchr(s, '~', (size_t)(nul - s))) && stream_json__steps(s) > STREAM_JSON__STEPS)
            return STREAM_E_ARGUMENT;
    }
    if (p == e) return STREAM_MORE;
    wanted = inside | whole;
    for (;;) {
        stream_status status;
        /* At a value that `whole` name and `inside` lead into. */
        if (inside && (*p | 0x20) == '{') {
            level = &levels[depth++];
            level->inside = inside;
            level->whole = whole;
            level->begin = p++;
            level->index = 0;
        } else {
            stream_json_value value;
            status = stream_json__value_at(p, e, depth == 0, &value);
            if (status != STREAM_OK) return status;
            p += value.len;
            stream_json__found(whole, &value, out);
            wanted &= ~whole;
            if (depth == 0 || !wanted) return STREAM_OK;
            stream_json__step_back(step, inside);
        }
        /* To the next one, past the ends of those containers that close before it. */
        for (;;) {
            open = level->inside & wanted;
            whole = inside = 0;
            if (open == 0) { /* all found in here: only its end is of interest */
                p = p < e && (*p | 0x20) == '}' ? p + 1 : stream_json__closed(p, e, 1);
                status = p ? STREAM_END : STREAM_MORE;
            } else if (*level->begin == '{') {
                status = stream_json__find_member(&p, e, level->index++ == 0, step, open, &whole, &inside);
            } else {
                status = stream_json__find_element(&p, e, &level->index, step, open, &whole, &inside);
            }
            if (status != STREAM_END) break;
            if (level->whole) {
                const stream_json_value value = stream_json_value_of(level->begin, (size_t)(p - level->begin));
                stream_json__found(level->whole, &value, out);
                wanted &= ~level->whole;
            }
            if (--depth == 0 || !wanted) return STREAM_OK;
            stream_json__step_back(step, open);
            level--;
        }
        if (status != STREAM_OK) return status;
    }
}

/* ==[ numbers: implementation ]======================================================================

   Doubles are read and printed with integers only: their bits are taken apart and put together. So neither
   the rounding mode, nor x87, nor -ffast-math, nor a locale changes a result, and a core without floating
   point pulls in no floating-point helper.

   Both ways need 10^q to more than 64 bits. stream_json__power makes it, to 128 bits and a known error, out
   of two short tables; tests/powers.py makes the tables and proves the bounds that are claimed below.

   Reading: the first 19 digits times 10^q, as an interval that is sure to hold the number. Where both its
   ends round to the same double, that is the answer (W. D. Clinger, How to read floating point numbers
   accurately, 1990; D. Lemire, Number parsing at a gigabyte per second, 2021). Else the number is compared
   exactly, in big integers, with the point half way between the two doubles.

   Printing: the shortest decimal in the interval that reads back as the number, by three products and a
   few comparisons (R. Giulietti, The Schubfach way to render doubles, 2020). */

#if FLT_RADIX != 2 || DBL_MANT_DIG != 53 || DBL_MAX_EXP != 1024
#error "stream_json.h needs double to be IEEE 754 binary64"
#endif

/* The zero bits above the highest one; x is not 0. */
static unsigned stream_json__leading(uint64_t x) {
#if defined(__GNUC__) || defined(__clang__)
    return (unsigned)__builtin_clzll(x);
#else
    unsigned n = 0, step;
    for (step = 32; step; step /= 2)
        if (!(x >> (64 - step))) n += step, x <<= step;
    return n;
#endif
}

/* a * b: the high word returned, the low one in *low. */
STREAM__FN uint64_t stream_json__multiply(uint64_t a, uint64_t b, uint64_t *low) {
#ifdef __SIZEOF_INT128__
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    *low = (uint64_t)product;
    return (uint64_t)(product >> 64);
#else
    const uint64_t half = 0xFFFFFFFF;
    uint64_t mid = (a >> 32) * (b & half), under = (a & half) * (b & half);
    uint64_t sum = (a & half) * (b >> 32) + (mid & half) + (under >> 32);
    *low = sum << 32 | (under & half);
    return (a >> 32) * (b >> 32) + (mid >> 32) + (sum >> 32);
#endif
}

/* 192 bits, or 128 with low left out. */
typedef struct stream_json__wide {
    uint64_t high, mid, low;
} stream_json__wide;

STREAM__FN stream_json__wide stream_json__product(uint64_t x, uint64_t high, uint64_t mid) {
    stream_json__wide p;
    uint64_t carry = stream_json__multiply(x, mid, &p.low);
    p.high = stream_json__multiply(x, high, &p.mid);
    p.mid += carry;
    p.high += p.mid < carry;
    return p;
}

/* 5^i, shifted until its top bit is bit 63. */
static const uint64_t stream_json__fives[16] = {
    0x8000000000000000, 0xa000000000000000, 0xc800000000000000, 0xfa00000000000000,
    0x9c40000000000000, 0xc350000000000000, 0xf424000000000000, 0x9896800000000000,
    0xbebc200000000000, 0xee6b280000000000, 0x9502f90000000000, 0xba43b74000000000,
    0xe8d4a51000000000, 0x9184e72a00000000, 0xb5e620f480000000, 0xe35fa931a0000000,
};
/* 10^(16 i - 352), its top 128 bits. */
static const uint64_t stream_json__tens[43][2] = {
    {0xcd42a11346f34f7d, 0x0092757bf2623727}, {0xe3e27a444d8d98b7, 0xfd1b1b2308169b25},
    {0xfd00b897478238d0, 0x8920b098955522b4}, {0x8c71dcd9ba0b4925, 0x9ff0c08b7f1d0b14},
    {0x9becce62836ac577, 0x4ee367f9430aec32}, {0xad1c8eab5ee43b66, 0xda3243650005eecf},
    {0xc0314325637a1939, 0xfa911155fefb5308}, {0xd5605fcdcf32e1d6, 0xfb1e4a9a90880a64},
    {0xece53cec4a314ebd, 0xa4f8bf5635246428}, {0x8380dea93da4bc60, 0x4247cb9e59f71e6d},
    {0x91ff83775423cc06, 0x7b6306a34627ddcf}, {0xa21727db38cb002f, 0xb8ada00e5a506a7c},
    {0xb3f4e093db73a093, 0x59ed216765690f56}, {0xc7caba6e7c5382c8, 0xfe64a52ee96b8fc0},
    {0xddd0467c64bce4a0, 0xac7cb3f6d05ddbde}, {0xf64335bcf065d37d, 0x4d4617b5ff4a16d5},
    {0x88b402f7fd75539b, 0x11dbcb0218ebb414}, {0x97c560ba6b0919a5, 0xdccd879fc967d41a},
    {0xa87fea27a539e9a5, 0x3f2398d747b36224}, {0xbb127c53b17ec159, 0x5560c018580d5d52},
    {0xcfb11ead453994ba, 0x67de18eda5814af2}, {0xe69594bec44de15b, 0x4c2ebe687989a9b3},
    {0x8000000000000000, 0x0000000000000000}, {0x8e1bc9bf04000000, 0x0000000000000000},
    {0x9dc5ada82b70b59d, 0xf020000000000000}, {0xaf298d050e4395d6, 0x9670b12b7f410000},
    {0xc2781f49ffcfa6d5, 0x3cbf6b71c76b25fb}, {0xd7e77a8f87daf7fb, 0xdc33745ec97be906},
    {0xefb3ab16c59b14a2, 0xc5cfe94ef3ea101e}, {0x850fadc09923329e, 0x03e2cf6bc604ddb0},
    {0x93ba47c980e98cdf, 0xc66f336c36b10137}, {0xa402b9c5a8d3a6e7, 0x5f16206c9c6209a6},
    {0xb616a12b7fe617aa, 0x577b986b314d6009}, {0xca28a291859bbf93, 0x7d7b8f7503cfdcfe},
    {0xe070f78d3927556a, 0x85bbe253f47b1417}, {0xf92e0c3537826145, 0xa7709a56ccdf8a82},
    {0x8a5296ffe33cc92f, 0x82bd6b70d99aaa6f}, {0x9991a6f3d6bf1765, 0xacca6da1e0a8ef29},
    {0xaa7eebfb9df9de8d, 0xddbb901b98feeab7}, {0xbd49d14aa79dbc82, 0x4b2d8644d8a74e18},
    {0xd226fc195c6a2f8c, 0x73832eec6fff3111}, {0xe950df20247c83fd, 0x47c6b82ef32a2069},
    {0x81842f29f2cce375, 0xe6a1158300d46640},
};

/* floor(log2(10^q)), for the q of the tables. (Made positive before it is shifted: what >> does to a
   negative number is the compiler's affair.) */
static int stream_json__log2(int q) {
    return (int)((q * INT32_C(217706) + (INT32_C(2048) << 16)) >> 16) - 2048;
}

/* Brings the top bit, here at bit 62 or 63 of high, to 63: the places shifted by. Without a branch, which
   would be taken at random. */
STREAM__FN unsigned stream_json__normalize(stream_json__wide *x) {
    unsigned s = (unsigned)(~x->high >> 63);
    x->high = x->high << s | (x->mid >> 63 & s);
    x->mid = x->mid << s | (x->low >> 63 & s);
    return s;
}

/* 10^q, as (g + d) * 2^(log2(q) - 127): g = high:mid with its top bit set, 0 <= d < 3. For 0 <= q <= 27 g is
   exact and mid is 0. -352 <= q <= 335. */
STREAM__FN stream_json__wide stream_json__power(int q) {
    unsigned at = (unsigned)(q + 352);
    const uint64_t *ten = stream_json__tens[at / 16];
    stream_json__wide g = stream_json__product(stream_json__fives[at % 16], ten[0], ten[1]);
    stream_json__normalize(&g);
    return g;
}

#define STREAM_JSON__INFINITY (UINT64_C(0x7FF) << 52)
#define STREAM_JSON__FRACTION_BITS ((UINT64_C(1) << 52) - 1)

/* A number taken apart: its first significant digits, at most 19 of them, are w, and it is w * 10^q, or
   with `more` something from there up to (w + 1) * 10^q. */
typedef struct stream_json__decimal {
    uint64_t w;
    int64_t q;
    const char *digits, *end; /* from after the sign to before the exponent */
    bool negative, more;
} stream_json__decimal;

static bool stream_json__digit(char c) { return c >= '0' && c <= '9'; }

/* Eight digits at p, if so many are there, taken into *w. */
static bool stream_json__take8(const char *p, uint64_t *w) {
    const uint64_t nibbles = UINT64_C(0xF0F0F0F0F0F0F0F0), threes = UINT64_C(0x3030303030303030);
    uint64_t x = stream_json__load8(p);
    /* Digits are the bytes with high nibble 3 that keep it when 6 is added. */
    if ((x & nibbles) != threes || ((x + UINT64_C(0x0606060606060606)) & nibbles) != threes) return false;
    x -= threes; /* then neighbours are joined: digits to pairs, pairs to fours, fours to one number */
    x = (x * 10 + (x >> 8)) & UINT64_C(0x00FF00FF00FF00FF);
    x = (x * 100 + (x >> 16)) & UINT64_C(0x0000FFFF0000FFFF);
    x = (x * 10000 + (x >> 32)) & UINT64_C(0xFFFFFFFF);
    *w = *w * 100000000 + x;
    return true;
}

/* Checks the grammar (RFC 8259, section 6) of the whole of [p, e) and takes the number apart. */
static bool stream_json__take_number(const char *p, const char *e, stream_json__decimal *d) {
    const char *begin;
    int64_t exponent = 0, q = 0;
    uint64_t w = 0;
    size_t count;
    d->more = false;
    d->negative = p < e && *p == '-';
    if (d->negative) p++;
    /* w runs over, modulo 2^64, when there are many digits. */
    for (begin = p; p < e && stream_json__digit(*p); p++) w = w * 10 + (uint64_t)(*p - '0');
    d->digits = begin;
    count = (size_t)(p - begin);
    if (count == 0 || (count > 1 && *begin == '0')) return false;
    if (p < e && *p == '.') {
        begin = ++p;
        while (e - p >= 8 && stream_json__take8(p, &w)) p += 8;
        for (; p < e && stream_json__digit(*p); p++) w = w * 10 + (uint64_t)(*p - '0');
        if (p == begin) return false;
        count += (size_t)(p - begin);
        q = begin - p;
    }
    d->end = p;
    if (p < e && (*p == 'e' || *p == 'E')) {
        bool minus = false;
        p++;
        if (p < e && (*p == '-' || *p == '+')) minus = *p++ == '-';
        for (begin = p; p < e && stream_json__digit(*p); p++) /* no text is long enough to outweigh 10^17 */
            if (exponent < INT64_C(100000000000000000)) exponent = exponent * 10 + (*p - '0');
        if (p == begin) return false;
        q += minus ? -exponent : exponent;
    }
    if (p < e) return false;
    if (count > 19) { /* again, from the first digit that is not 0 */
        int taken = 0;
        for (w = 0, p = d->digits; count && taken < 19; p++) {
            if (*p == '.') continue;
            w = w * 10 + (uint64_t)(*p - '0');
            taken += w != 0;
            count--;
        }
        d->more = count > 0;
        q += (int64_t)count;
    }
    d->w = w;
    d->q = q;
    return true;
}

/* The double nearest to a number whose w is not 0 and whose q is in [-342, 308]. True: *bits is it. False: it
   is *bits or the next above. */
static bool stream_json__estimate(const stream_json__decimal *d, uint64_t *bits) {
    int q = (int)d->q, exponent, drop = 11;
    unsigned shift = stream_json__leading(d->w);
    stream_json__wide g = stream_json__power(q), p = stream_json__product(d->w << shift, g.high, g.mid);
    bool exact = q >= 0 && q < 28 && !d->more; /* then g has 64 bits, p 128: nothing was lost */
    uint64_t half, rest, reach, up;
    exponent = stream_json__log2(q) + 64 - (int)(shift + stream_json__normalize(&p));
    /* Now p is at 2^exponent, its top bit being 1. The number is p or up to 10 units of mid more (the errors
       of g and of leaving out low, times 2 for the normalizing); where `more` adds to w, 2^(shift + 1) units
       of high are to be added too. */
    *bits = STREAM_JSON__INFINITY;
    if (exponent > 1023) return true;
    if (exponent >= -1022) {
        *bits = (uint64_t)(exponent + 1022) << 52; /* the leading 1 of the fraction counts one more */
    } else {
        *bits = 0; /* below 2^-1022 a double has fewer digits */
        drop -= exponent + 1022;
        if (drop > 65) return true;
        if (drop == 65) {
            drop--;
            p.mid = p.mid >> 1 | p.high << 63;
            p.high >>= 1;
        }
    }
    if (drop < 64) *bits += p.high >> drop;
    half = UINT64_C(1) << (drop - 1);
    rest = p.high & (half | (half - 1));
    reach = rest + (p.mid > UINT64_MAX - 10) + (d->more ? UINT64_C(2) << shift : 0);
    up = (rest > half) | ((rest == half) & ((p.mid != 0) | (exact & *bits & 1)));
    *bits += up;
    return (exact | up | (reach < half)) != 0;
}

/* Integers of up to 83 * 32 bits. What is half way between two doubles has at most 768 digits, so 768 digits
   of a number and a 1 for the rest tell on which side it is. They are below 2^2555, and the other side, times
   the power of five that meets them, is below 2^2595. */
typedef struct stream_json__big {
    uint32_t word[84]; /* lowest first */
    unsigned count;    /* the highest one is not 0 */
} stream_json__big;

/* x is not 0. */
static void stream_json__big_set(stream_json__big *b, uint64_t x) {
    b->word[0] = (uint32_t)x;
    b->word[1] = (uint32_t)(x >> 32);
    b->count = b->word[1] ? 2 : 1;
}

static void stream_json__big_multiply(stream_json__big *b, uint32_t factor, uint32_t add) {
    uint64_t carry = add;
    unsigned i;
    for (i = 0; i < b->count; i++) {
        carry += (uint64_t)b->word[i] * factor;
        b->word[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry) b->word[b->count++] = (uint32_t)carry;
}

static void stream_json__big_fives(stream_json__big *b, unsigned n) {
    uint32_t rest = 1;
    for (; n >= 13; n -= 13) stream_json__big_multiply(b, UINT32_C(1220703125), 0); /* 5^13 */
    for (; n; n--) rest *= 5;
    stream_json__big_multiply(b, rest, 0);
}

static void stream_json__big_shift(stream_json__big *b, unsigned n) {
    stream_json__big_multiply(b, UINT32_C(1) << n % 32, 0);
    memmove(b->word + n / 32, b->word, b->count * sizeof *b->word);
    memset(b->word, 0, n / 32 * sizeof *b->word);
    b->count += n / 32;
}

/* Of the double whose bits are `low` and the next above, the one nearer to the number. */
static uint64_t stream_json__settle(const stream_json__decimal *d, uint64_t low) {
    stream_json__big number, middle;
    uint64_t fraction = low & STREAM_JSON__FRACTION_BITS;
    int q = (int)d->q, exponent = (int)(low >> 52);
    unsigned i;
    if (exponent) fraction |= UINT64_C(1) << 52;
    else exponent = 1;
    stream_json__big_set(&middle, 2 * fraction + 1); /* times 2^(exponent - 1076) */
    stream_json__big_set(&number, d->w);
    if (d->more) { /* all digits, as far as they matter, and a 1 for the rest when it is not all 0 */
        const char *p = d->digits;
        uint32_t nine = 0, unit = 1;
        int kept = 0;
        number.count = 0;
        for (; p < d->end && kept < 768; p++) {
            if (*p == '.' || (*p == '0' && kept == 0)) continue;
            nine = nine * 10 + (uint32_t)(*p - '0');
            unit *= 10;
            kept++;
            if (unit == 1000000000) {
                stream_json__big_multiply(&number, unit, nine);
                nine = 0;
                unit = 1;
            }
        }
        stream_json__big_multiply(&number, unit, nine);
        while (p < d->end && (*p == '0' || *p == '.')) p++;
        if (p < d->end) {
            stream_json__big_multiply(&number, 10, 1);
            kept++;
        }
        q += 19 - kept;
    }
    if (q < 0) stream_json__big_fives(&middle, (unsigned)-q);
    else stream_json__big_fives(&number, (unsigned)q);
    q -= exponent - 1076; /* what is left of the exponents: powers of 2 */
    if (q < 0) stream_json__big_shift(&middle, (unsigned)-q);
    else stream_json__big_shift(&number, (unsigned)q);
    if (number.count != middle.count) return low + (number.count > middle.count);
    for (i = number.count; i-- > 0;)
        if (number.word[i] != middle.word[i]) return low + (number.word[i] > middle.word[i]);
    return low + (low & 1);
}

/* The number written in [p, e), rounded to nearest, half way to even. OK; E_INVALID when that is no JSON
   number, *out is 0 then; E_RANGE when it rounds to more than the largest double, *out is an infinity of its
   sign then. What is too small becomes a 0 of its sign. */
static stream_status stream_json__parse_double(const char *p, const char *e, double *out) {
    stream_json__decimal d;
    uint64_t bits = 0, sign = 0;
    stream_status status = STREAM_E_INVALID;
    if (stream_json__take_number(p, e, &d)) {
        /* w < 2^64, so that w * 10^-343 is less than half of the least double. */
        if (d.w && d.q > 308) bits = STREAM_JSON__INFINITY;
        else if (d.w && d.q >= -342 && !stream_json__estimate(&d, &bits))
            bits = stream_json__settle(&d, bits);
        status = bits == STREAM_JSON__INFINITY ? STREAM_E_RANGE : STREAM_OK;
        sign = (uint64_t)d.negative << 63;
    }
    bits |= sign;
    memcpy(out, &bits, sizeof *out);
    return status;
}

/* An integer's magnitude, and its sign beside it; E_RANGE when that alone is over 2^64 - 1. */
static stream_status stream_json__integer(stream_json_value value, uint64_t *magnitude, bool *negative) {
    const char *p = value.ptr, *e;
    uint64_t v = 0;
    bool over = false;
    *negative = false;
    *magnitude = 0;
    if (value.type != STREAM_JSON_NUMBER) return STREAM_E_TYPE;
    e = value.len ? p + value.len : p;
    if (p < e && *p == '-') {
        *negative = true;
        p++;
    }
    if (p == e || !stream_json__digit(*p) || (*p == '0' && e - p > 1 && stream_json__digit(p[1])))
        return STREAM_E_INVALID;
    for (; p < e && stream_json__digit(*p); p++) {
        uint64_t d = (uint64_t)(*p - '0');
        over = over || v > UINT64_MAX / 10 || v * 10 > UINT64_MAX - d;
        v = v * 10 + d;
    }
    if (p < e) {
        stream_json__decimal d;
        return stream_json__take_number(value.ptr, e, &d) ? STREAM_E_TYPE : STREAM_E_INVALID;
    }
    *magnitude = v;
    return over ? STREAM_E_RANGE : STREAM_OK;
}

STREAM_API stream_status stream_json_int64(stream_json_value value, int64_t *number) {
    uint64_t v;
    bool negative;
    stream_status status = stream_json__integer(value, &v, &negative);
    *number = 0;
    if (status != STREAM_OK) return status;
    if (v > (uint64_t)INT64_MAX + negative) return STREAM_E_RANGE;
    *number = negative && v ? -(int64_t)(v - 1) - 1 : (int64_t)v;
    return STREAM_OK;
}

STREAM_API stream_status stream_json_uint64(stream_json_value value, uint64_t *number) {
    uint64_t v;
    bool negative;
    stream_status status = stream_json__integer(value, &v, &negative);
    *number = 0;
    if (status != STREAM_OK) return status;
    if (negative && v) return STREAM_E_RANGE;
    *number = v;
    return STREAM_OK;
}

/* x * g / 2^128 for a g that is at most 3 too large, rounded to odd: an integer when the true product is one,
   else the odd one of its neighbours; so it compares with even numbers as the true product does. x < 2^59, so
   the error is below 2^61 in units of low; and what is no integer is further than that from any, above or
   below: tests/powers.py proves it for every x and g that are asked for. */
STREAM__FN uint64_t stream_json__odd_product(uint64_t x, stream_json__wide g) {
    stream_json__wide p = stream_json__product(x, g.high, g.mid);
    return p.high | ((p.mid | p.low >> 61) != 0);
}

/* The decimal for a finite, positive double: digits * 10^*exponent, below 10^17, perhaps with zeros at its
   end. */
static uint64_t stream_json__shortest(uint64_t bits, int *exponent) {
    uint64_t c = bits & STREAM_JSON__FRACTION_BITS, low, v, high, s, tens;
    int q = (int)(bits >> 52), k;
    bool lopsided = c == 0 && q > 1;   /* a power of 2: what is below is nearer */
    bool out = (c & 1) != 0, down, up; /* an odd double does not own the ends of its interval */
    unsigned shift;
    stream_json__wide g;
    if (q) c |= UINT64_C(1) << 52;
    else q = 1;
    q -= 1075;
    /* The interval is 2^q wide, or 3/4 of that. k: 10^k is no wider, and 10^(k+1) is. */
    k = (int)((q * INT32_C(315653) - (lopsided ? INT32_C(131237) : 0) + (INT32_C(1024) << 20)) >> 20) - 1024;
    g = stream_json__power(-k);
    g.mid += 3; /* too large now, no more too small; it never carries (tests/powers.py) */
    shift = (unsigned)(stream_json__log2(-k) + q + 1);
    /* The ends of the interval and the double itself, in units of 10^k / 4. */
    low = stream_json__odd_product((4 * c - 2 + lopsided) << shift, g);
    v = stream_json__odd_product((4 * c) << shift, g);
    high = stream_json__odd_product((4 * c + 2) << shift, g);
    *exponent = k;
    s = v / 4;
    tens = s - s % 10; /* at most one multiple of 10^(k+1) is inside; then nothing else as short is */
    down = low + out <= 4 * tens;
    up = 4 * (tens + 10) + out <= high;
    if (down != up) return down ? tens : tens + 10;
    /* Else multiples of 10^k are inside, s or s + 1 among them: the nearest, of two the even one. Only below
       a power of 2 can the nearest be outside. */
    return s + (low > 4 * s || v > 4 * s + 2 || (v == 4 * s + 2 && s & 1));
}

/* Eight digits of n, below 10^8: the inverse of stream_json__take8. Gives how many zeros they end with. */
STREAM__FN unsigned stream_json__put8(char *p, uint32_t n) {
    uint64_t x = n / 10000 | (uint64_t)(n % 10000) << 32, y;
    y = (x * 5243 >> 19) & UINT64_C(0x0000007F0000007F); /* / 100, which is right below 43698 */
    x = y | (x - y * 100) << 16;
    y = (x * 103 >> 10) & UINT64_C(0x000F000F000F000F); /* / 10, which is right below 179 */
    x = y | (x - y * 10) << 8;
    y = x + UINT64_C(0x3030303030303030);
    p[0] = (char)y;
    p[1] = (char)(y >> 8);
    p[2] = (char)(y >> 16);
    p[3] = (char)(y >> 24);
    p[4] = (char)(y >> 32);
    p[5] = (char)(y >> 40);
    p[6] = (char)(y >> 48);
    p[7] = (char)(y >> 56);
    return x ? stream_json__leading(x) / 8 : 8;
}

/* The shortest decimal that reads back as v, and of those the nearest to v, written as ECMAScript does
   (Number::toString; also RFC 8785), but for -0, which keeps its sign or it would not read back. v is finite.
   Gives the length, at most 25; the rest of out may be written over, for copies of a fixed size are a few
   instructions and others are calls. */
static size_t stream_json__print_double(double v, char out[40]) {
    char digits[40], *p = out;
    uint64_t bits, decimal;
    int exponent, point, from = 0, len, zeros;
    memcpy(&bits, &v, sizeof bits);
    if (bits >> 63) *p++ = '-';
    bits &= ~(UINT64_C(1) << 63);
    if (bits == 0) {
        *p++ = '0';
        return (size_t)(p - out);
    }
    decimal = stream_json__shortest(bits, &exponent);
    digits[0] = (char)('0' + decimal / UINT64_C(10000000000000000));
    decimal %= UINT64_C(10000000000000000);
    zeros = (int)stream_json__put8(digits + 1, (uint32_t)(decimal / 100000000));
    len = 17 - (int)stream_json__put8(digits + 9, (uint32_t)(decimal % 100000000));
    memset(digits + 17, '0', 23);
    if (len == 9) len -= zeros;
    while (digits[from] == '0') from++;
    len -= from;
    point = 17 - from + exponent; /* the number is 0.digits * 10^point */
    if (point > -6 && point <= 0) {
        memcpy(p, "0.00000", 7);
        memcpy(p + 2 - point, digits + from, 17);
        p += 2 - point + len;
    } else if (point > 0 && point <= 21) {
        memcpy(p, digits + from, 21);
        if (point < len) {
            p[point] = '.';
            memcpy(p + point + 1, digits + from + point, 16);
            len++;
        } else {
            len = point;
        }
        p += len;
    } else {
        *p++ = digits[from];
        if (len > 1) {
            *p++ = '.';
            memcpy(p, digits + from + 1, 16);
            p += len - 1;
        }
        *p++ = 'e';
        *p++ = point > 0 ? '+' : '-';
        point = point > 0 ? point - 1 : 1 - point;
        if (point >= 100) *p++ = (char)('0' + point / 100);
        if (point >= 10) *p++ = (char)('0' + point / 10 % 10);
        *p++ = (char)('0' + point % 10);
    }
    return (size_t)(p - out);
}

STREAM_API stream_status stream_json_double(stream_json_value value, double *number) {
    *number = 0;
    if (value.type != STREAM_JSON_NUMBER) return STREAM_E_TYPE;
    return stream_json__parse_double(value.ptr, value.len ? value.ptr + value.len : value.ptr, number);
}

/* ==[ check: implementation ]======================================================================== */

enum {
    STREAM_JSON__BEFORE = 0, /* white space so far */
    STREAM_JSON__NESTED,     /* in an object, array or string: a kernel's */
    STREAM_JSON__TOKEN,      /* in a number or literal */
    STREAM_JSON__BEHIND,     /* the value is complete: white space only */
    STREAM_JSON__FAULTY
};

STREAM_API stream_status stream_json_checker_init(stream_json_checker *checker, const char *kernel) {
    memset(checker, 0, offsetof(stream_json_checker, scan.grammar));
    checker->kernel = stream_json__named(stream_json__checkers, kernel);
    checker->status = STREAM_MORE;
    checker->scan.max_depth = STREAM_JSON_CHECK_DEPTH;
    return checker->kernel ? STREAM_OK : STREAM_E_ARGUMENT;
}

static stream_status stream_json__reject(stream_json_checker *c, const char *begin, const char *p, const char *message,
                                         stream_status status) {
    c->offset += (uint64_t)(p - begin);
    c->message = message;
    c->state = STREAM_JSON__FAULTY;
    return c->status = status;
}

STREAM_API stream_status stream_json_checker_feed(stream_json_checker *checker, const void *data, size_t len) {
    stream_json_checker *c = checker;
    stream_json__scan *s = &c->scan;
    const char *const begin = (const char *)data, *p = begin, *const e = len ? p + len : p;
    s->loan = p;
    s->block_at = NULL;
    while (p < e && c->state != STREAM_JSON__FAULTY) {
        switch (c->state) {
        case STREAM_JSON__BEFORE:
        case STREAM_JSON__BEHIND:
            while (p < e && stream_json__is_space(*p)) p++;
            if (p == e) break;
            if (c->state == STREAM_JSON__BEHIND)
                return stream_json__reject(c, begin, p, "expected nothing but white space behind the value",
                                           STREAM_E_INVALID);
            c->first = *p;
            c->token = stream_json__token_begin(*p);
            c->token_at = 1;
            c->state = c->token ? STREAM_JSON__TOKEN : STREAM_JSON__NESTED;
            if (!c->token && stream_json__type_of(*p) == STREAM_JSON_NONE)
                return stream_json__reject(c, begin, p, "expected a value", STREAM_E_INVALID);
            s->lone = s->in_string = *p == '"';
            s->depth = s->deepest = 1;
            s->checking = true;
            stream_json__grammar_init(&s->grammar, (uint8_t)*p++);
            break;
        case STREAM_JSON__NESTED: /* A kernel follows brackets behind a fault too: not to the end of gigabytes. */
            p = c->kernel->run(s, p, e - p > 32768 ? p + 32768 - ((p - begin) & 63) : e);
            if (s->fault)
                return stream_json__reject(c, begin, s->fault, s->message,
                                           s->message == stream_json__too_deep ? STREAM_E_TOO_DEEP
                                                                               : STREAM_E_INVALID);
            if (s->depth == 0) c->state = STREAM_JSON__BEHIND;
            break;
        default: /* STREAM_JSON__TOKEN */
            while (p < e && stream_json__token_step(&c->token, &c->token_at, c->first, *p)) p++;
            if (p == e) break;
            if (!stream_json__token_whole(c->token, c->token_at, c->first) || stream_json__in_token(*p))
                return stream_json__reject(c, begin, p, "neither a number nor true, false or null", STREAM_E_INVALID);
            c->state = STREAM_JSON__BEHIND;
        }
    }
    if (c->state == STREAM_JSON__FAULTY) return c->status;
    c->offset += len;
    c->status = c->state == STREAM_JSON__BEHIND ||
                        (c->state == STREAM_JSON__TOKEN && stream_json__token_whole(c->token, c->token_at, c->first))
                    ? STREAM_OK
                    : STREAM_MORE;
    return c->status;
}

STREAM_API stream_status stream_json_check(const char *json, size_t len, size_t *offset) {
    stream_json_checker checker;
    stream_json_checker_init(&checker, NULL);
    stream_json_checker_feed(&checker, json, len);
    if (offset) *offset = (size_t)checker.offset;
    return checker.status;
}

/* ==[ partial: implementation ]====================================================================== */

/* The first byte that a string cannot hold as it is, or that is not ASCII; e when there is none. In words of
   eight, where subtracting shows a byte that was too small in its top bit (what a borrow adds stands above a
   true one); where no stop is near, in whole blocks by the vocabulary of the kernels that every machine of
   the kind has. */
static const char *stream_json__plain(const char *p, const char *e) {
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
#if STREAM__SIMD_X86 || STREAM__SIMD_NEON
    const char *blocks = e - p >= 128 ? p + 32 : e;
#else
    const char *const blocks = e;
#endif
    while (e - p >= 8) {
        uint64_t x;
#if STREAM__SIMD_X86 || STREAM__SIMD_NEON
        for (; p >= blocks && e - p >= 64; p += 64) {
#if STREAM__SIMD_X86
            x = stream__odd_sse2(stream__load_sse2(p));
#else
            x = stream__odd_neon(stream__load_neon(p));
#endif
            if (x) return p + stream_json__lowest(x);
        }
        if (e - p < 8) break;
#endif
        memcpy(&x, p, 8);
        x |= (x - ones * 0x20) | ((x ^ ones * '"') - ones) | ((x ^ ones * '\\') - ones);
        if (x & tops) {
#if STREAM__LITTLE_ENDIAN
            return p + stream_json__lowest(x & tops) / 8;
#else
            break;
#endif
        }
        p += 8;
    }
    (void)blocks;
    while (p < e && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' && *p != '\\') p++;
    return p;
}

/* The first quote or backslash. */
static const char *stream_json__to_quote(const char *p, const char *e) {
    while ((p = stream_json__plain(p, e)) < e && *p != '"' && *p != '\\')
        while (++p < e && (unsigned char)*p >= 0x80) {
        }
    return p;
}

static bool stream_json__step_ends(const char *s) { return *s == '\0' || *s == '/'; }

/* Whether the step at s is this index: digits only, no zero before others. */
static bool stream_json__is_index(const char *s, uint32_t index) {
    uint32_t n = 0;
    const char *begin = s;
    if (*s == '0' && !stream_json__step_ends(s + 1)) return false;
    for (; stream_json__digit(*s) && s - begin < 9; s++) n = n * 10 + (uint32_t)(*s - '0');
    return s > begin && stream_json__step_ends(s) && n == index;
}

enum {
    STREAM_JSON__VIEW_VALUE = 0,   /* a value must begin */
    STREAM_JSON__VIEW_FIRST_VALUE, /* or the array ends */
    STREAM_JSON__VIEW_KEY,         /* a key must begin */
    STREAM_JSON__VIEW_FIRST_KEY,   /* or the object ends */
    STREAM_JSON__VIEW_IN_KEY,
    STREAM_JSON__VIEW_COLON,
    STREAM_JSON__VIEW_BEHIND, /* a comma or the end */
    STREAM_JSON__VIEW_STRING,
    STREAM_JSON__VIEW_TOKEN, /* in a number or literal */
    STREAM_JSON__VIEW_SKIP,  /* in a value nobody asked about the inside of */
    STREAM_JSON__VIEW_DONE,
    STREAM_JSON__VIEW_FAULTY
};

STREAM_API stream_status stream_json_view_init(stream_json_view *view, const char *const *pointers,
                                               size_t count) {
    size_t i;
    memset(view, 0, sizeof *view);
    view->status = STREAM_E_ARGUMENT;
    view->state = STREAM_JSON__VIEW_FAULTY;
    if (count > STREAM_JSON_VIEW_FIELDS) return STREAM_E_ARGUMENT;
    for (i = 0; i < count; i++) {
        if (stream_json__steps(pointers[i]) > STREAM_JSON_VIEW_STEPS) return STREAM_E_ARGUMENT;
        view->pointer[i] = pointers[i];
        view->wanted |= UINT32_C(1) << i;
        if (*pointers[i]) view->into |= UINT32_C(1) << i;
        else view->whole |= UINT32_C(1) << i;
    }
    view->prefix = 1;
    view->state = STREAM_JSON__VIEW_VALUE;
    view->status = STREAM_MORE;
    return STREAM_OK;
}

static bool stream_json__view_in_object(const stream_json_view *v) {
    return v->depth > 0 && (v->objects >> (v->depth - 1) & 1);
}

/* The next value is what the step of these fields names. */
static void stream_json__view_hits(stream_json_view *v, uint32_t hits) {
    v->whole = v->into = 0;
    for (; hits; hits &= hits - 1) {
        unsigned i = stream_json__lowest(hits);
        const char *s = v->pointer[i] + v->level[v->depth - 1].prefix;
        while (!stream_json__step_ends(s)) s++;
        if (*s) v->into |= UINT32_C(1) << i;
        else v->whole |= UINT32_C(1) << i;
        v->prefix = (uint32_t)(s - v->pointer[i]) + 1;
    }
}

/* The value that ends here, at offset `end`: back to the container it is in. */
static void stream_json__view_end(stream_json_view *v, uint32_t whole, size_t end) {
    stream_json__path *level = &v->level[v->depth ? v->depth - 1 : 0];
    v->open &= ~whole;
    for (; whole; whole &= whole - 1) {
        stream_json_field *f = &v->field[stream_json__lowest(whole)];
        f->len = end - f->offset;
        f->whole = true;
        if (f->type == STREAM_JSON_STRING) f->safe = f->len - 2;
    }
    v->state = STREAM_JSON__VIEW_BEHIND;
    if (v->depth == 0) {
        v->state = STREAM_JSON__VIEW_DONE;
    } else if ((level->inside & v->wanted) == 0) { /* all in here have begun: only its end is of interest */
        v->whole = level->whole;
        v->skip = 1;
        v->quoted = false;
        v->depth--;
        v->state = STREAM_JSON__VIEW_SKIP;
    }
}

/* A value that begins with c at offset `at`; false when none does. */
static bool stream_json__view_begin(stream_json_view *v, char c, size_t at) {
    stream_json_type type = stream_json__type_of(c);
    uint32_t set;
    if (type == STREAM_JSON_NONE) return false;
    if (v->depth > 0 && !stream_json__view_in_object(v)) {
        stream_json__path *level = &v->level[v->depth - 1];
        uint32_t hits = 0;
        for (set = level->inside & v->wanted; set; set &= set - 1)
            if (stream_json__is_index(v->pointer[stream_json__lowest(set)] + level->prefix, level->index))
                hits |= set & (0 - set);
        stream_json__view_hits(v, hits);
        level->index += level->index < UINT32_MAX;
    }
    for (set = v->whole; set; set &= set - 1) {
        stream_json_field *f = &v->field[stream_json__lowest(set)];
        f->type = type;
        f->offset = at;
    }
    v->wanted &= ~v->whole;
    v->open |= v->whole;
    if (type >= STREAM_JSON_ARRAY && v->into) {
        stream_json__path *level = &v->level[v->depth];
        uint64_t bit = UINT64_C(1) << v->depth++;
        level->inside = v->into;
        level->whole = v->whole;
        level->index = 0;
        level->prefix = v->prefix;
        v->objects = c == '{' ? v->objects | bit : v->objects & ~bit;
        v->state = c == '{' ? STREAM_JSON__VIEW_FIRST_KEY : STREAM_JSON__VIEW_FIRST_VALUE;
    } else if (type >= STREAM_JSON_STRING) {
        v->skip = type >= STREAM_JSON_ARRAY;
        v->quoted = type == STREAM_JSON_STRING;
        v->safe = at + 1;
        v->state = v->quoted && v->whole ? STREAM_JSON__VIEW_STRING : STREAM_JSON__VIEW_SKIP;
    } else {
        v->first = c;
        v->token = stream_json__token_begin(c);
        v->token_at = 1;
        v->state = STREAM_JSON__VIEW_TOKEN;
    }
    return true;
}

/* The next bytes of a key, unescaped: fields whose step goes on otherwise are out. */
static void stream_json__view_match(stream_json_view *v, const char *bytes, size_t n) {
    uint32_t set;
    for (set = v->matching; set; set &= set - 1) {
        unsigned i = stream_json__lowest(set);
        const char *s = v->match[i];
        size_t k;
        for (k = 0; k < n && !stream_json__step_ends(s); k++, s++) {
            char c = *s;
            if (c == '~') c = *++s == '1' ? '/' : '~';
            if (c != bytes[k]) break;
        }
        if (k < n) v->matching &= ~(UINT32_C(1) << i);
        v->match[i] = s;
    }
}

/* A code point of a key; no second one waits. */
static void stream_json__view_put(stream_json_view *v, uint32_t c) {
    char bytes[4];
    v->high = 0;
    if (v->matching) stream_json__view_match(v, bytes, stream_json__utf8_put(bytes, c));
}

/* One byte of a key or of a string that is watched, at offset `at`; escapes may stand half on each side of a
   cut. False: the closing quote. */
static bool stream_json__view_text(stream_json_view *v, char c, size_t at) {
    unsigned char u = (unsigned char)c;
    if (v->escape > 1) {
        int digit = stream_json__hex(c);
        if (digit >= 0) {
            v->unit = v->unit << 4 | (uint32_t)digit;
            if (--v->escape > 1) return true;
            v->escape = 0;
            v->safe = at + 1;
            if (v->high && v->unit >= 0xDC00 && v->unit <= 0xDFFF) {
                stream_json__view_put(v, 0x10000 + ((v->high - 0xD800) << 10) + (v->unit - 0xDC00));
                return true;
            }
            if (v->high) stream_json__view_put(v, v->high);
            if (v->unit >= 0xD800 && v->unit <= 0xDBFF) {
                v->high = v->unit;
                v->safe = at - 5; /* where its escape began */
            } else {
                stream_json__view_put(v, v->unit);
            }
            return true;
        }
        v->escape = 0; /* broken: it ends before this byte, and the key is none that anybody asked for */
        v->high = v->matching = 0;
        v->safe = at;
    }
    if (v->escape == 1) {
        v->escape = 0;
        if (c == 'u') {
            v->escape = 5;
            v->unit = 0;
            return true;
        }
        if (v->high) stream_json__view_put(v, v->high);
        c = stream_json__unescaped(c);
        if (c) stream_json__view_match(v, &c, 1);
        else v->matching = 0;
        v->safe = at + 1;
        return true;
    }
    if (c == '\\') {
        v->escape = 1;
        v->need = 0;
        if (!v->high) v->safe = at;
        return true;
    }
    if (v->high) stream_json__view_put(v, v->high);
    if (c == '"') {
        v->need = 0;
        return false;
    }
    if (u >= 0x80 && u < 0xC0 && v->need > 0) {
        v->need--;
    } else {
        v->need = u < 0xC2 || u > 0xF4 ? 0 : u < 0xE0 ? 1 : u < 0xF0 ? 2 : 3;
        v->safe = at;
    }
    if (v->need == 0) v->safe = at + 1;
    stream_json__view_match(v, &c, 1);
    return true;
}

STREAM_API stream_status stream_json_view_feed(stream_json_view *view, const void *data, size_t len) {
    stream_json_view *v = view;
    const char *p = (const char *)data, *const e = len ? p + len : p;
    const size_t base = v->offset;
#define STREAM_JSON__AT(q) (base + (size_t)((q) - (const char *)data))
    bool fine = v->state != STREAM_JSON__VIEW_FAULTY;
    uint32_t set;
    if (!fine) return v->status;
    while (fine && p < e) {
        if (v->state <= STREAM_JSON__VIEW_FIRST_KEY || v->state == STREAM_JSON__VIEW_COLON ||
            v->state == STREAM_JSON__VIEW_BEHIND || v->state == STREAM_JSON__VIEW_DONE) {
            p = stream_json__spaces(p, e);
            if (p == e) break;
        }
        switch (v->state) {
        case STREAM_JSON__VIEW_FIRST_KEY:
        case STREAM_JSON__VIEW_FIRST_VALUE:
        case STREAM_JSON__VIEW_BEHIND:
            if (*p == (stream_json__view_in_object(v) ? '}' : ']')) {
                p++;
                v->depth--;
                stream_json__view_end(v, v->level[v->depth].whole, STREAM_JSON__AT(p));
            } else if (v->state == STREAM_JSON__VIEW_BEHIND) {
                fine = *p == ',';
                p += fine;
                v->state = stream_json__view_in_object(v) ? STREAM_JSON__VIEW_KEY : STREAM_JSON__VIEW_VALUE;
            } else {
                v->state =
                    v->state == STREAM_JSON__VIEW_FIRST_KEY ? STREAM_JSON__VIEW_KEY : STREAM_JSON__VIEW_VALUE;
            }
            break;
        case STREAM_JSON__VIEW_KEY:
            fine = *p == '"';
            p += fine;
            v->matching = v->level[v->depth - 1].inside & v->wanted;
            for (set = v->matching; set; set &= set - 1) {
                unsigned i = stream_json__lowest(set);
                v->match[i] = v->pointer[i] + v->level[v->depth - 1].prefix;
            }
            v->state = STREAM_JSON__VIEW_IN_KEY;
            break;
        case STREAM_JSON__VIEW_IN_KEY:
            if (v->matching == 0 && v->escape == 0) p = stream_json__to_quote(p, e);
            if (p == e || stream_json__view_text(v, *p++, 0)) break;
            for (set = v->matching; set; set &= set - 1)
                if (!stream_json__step_ends(v->match[stream_json__lowest(set)]))
                    v->matching &= ~(set & (0 - set));
            stream_json__view_hits(v, v->matching);
            v->matching = 0;
            v->state = STREAM_JSON__VIEW_COLON;
            break;
        case STREAM_JSON__VIEW_COLON:
            fine = *p == ':';
            p += fine;
            v->state = STREAM_JSON__VIEW_VALUE;
            break;
        case STREAM_JSON__VIEW_VALUE:
            fine = stream_json__view_begin(v, *p, STREAM_JSON__AT(p));
            p += fine;
            break;
        case STREAM_JSON__VIEW_STRING:
            if ((v->escape | v->need | v->high) == 0) {
                p = stream_json__plain(p, e);
                v->safe = STREAM_JSON__AT(p);
                if (p == e) break;
            }
            p++;
            if (!stream_json__view_text(v, p[-1], STREAM_JSON__AT(p) - 1))
                stream_json__view_end(v, v->whole, STREAM_JSON__AT(p));
            break;
        case STREAM_JSON__VIEW_SKIP:
            if (v->escape) {
                v->escape = 0;
                p++;
            } else if (v->quoted) {
                p = stream_json__to_quote(p, e);
                if (p == e) break;
                v->escape = *p == '\\';
                v->quoted = v->escape;
                p++;
                if (!v->quoted && v->skip == 0) stream_json__view_end(v, v->whole, STREAM_JSON__AT(p));
            } else {
                char c = *p++;
                v->quoted = c == '"';
                if ((c | 0x20) == '{') v->skip++;
                else if ((c | 0x20) == '}' && --v->skip == 0)
                    stream_json__view_end(v, v->whole, STREAM_JSON__AT(p));
            }
            break;
        case STREAM_JSON__VIEW_TOKEN:
            while (p < e && stream_json__token_step(&v->token, &v->token_at, v->first, *p)) p++;
            if (p == e) break;
            fine = stream_json__token_whole(v->token, v->token_at, v->first) && !stream_json__in_token(*p);
            if (fine) stream_json__view_end(v, v->whole, STREAM_JSON__AT(p));
            break;
        default: /* STREAM_JSON__VIEW_DONE: only white space may follow */ fine = false;
        }
    }
    v->offset = STREAM_JSON__AT(p);
#undef STREAM_JSON__AT
    for (set = v->open; set; set &= set - 1) {
        stream_json_field *f = &v->field[stream_json__lowest(set)];
        f->len = v->offset - f->offset;
        if (f->type == STREAM_JSON_STRING) f->safe = v->safe - f->offset - 1;
    }
    if (!fine) {
        v->state = STREAM_JSON__VIEW_FAULTY;
        return v->status = STREAM_E_INVALID;
    }
    if (v->state == STREAM_JSON__VIEW_TOKEN && v->depth == 0)
        v->status = stream_json__token_whole(v->token, v->token_at, v->first) ? STREAM_OK : STREAM_MORE;
    else
        v->status = v->state == STREAM_JSON__VIEW_DONE ? STREAM_OK : STREAM_MORE;
    return v->status;
}

/* ==[ write: implementation ]======================================================================== */

STREAM_API void stream_json_writer_init(stream_json_writer *writer, char *dst, size_t cap) {
    memset(writer, 0, sizeof *writer);
    writer->dst = dst;
    writer->cap = cap;
}

STREAM_API void stream_json_writer_init_flush(stream_json_writer *writer, char *buffer, size_t cap,
                                              stream_json_flush flush, void *ctx) {
    stream_json_writer_init(writer, buffer, cap);
    writer->flush = flush;
    writer->ctx = ctx;
}

/* The rest of the buffer does not take these bytes. */
static void stream_json__spill(stream_json_writer *w, const char *ptr, size_t len) {
    if (!w->flush) {
        if (w->used < w->cap) memcpy(w->dst + w->used, ptr, w->cap - w->used);
        w->used = w->cap;
        return;
    }
    if (w->status != STREAM_OK) return;
    if (w->used) w->status = w->flush(w->ctx, w->dst, w->used);
    w->used = 0;
    if (w->status != STREAM_OK) return;
    if (len >= w->cap) {
        w->status = w->flush(w->ctx, ptr, len);
    } else {
        memcpy(w->dst, ptr, len);
        w->used = len;
    }
}

static void stream_json__write(stream_json_writer *w, const char *ptr, size_t len) {
    if (len == 0) return;
    w->len = len < SIZE_MAX - w->len ? w->len + len : SIZE_MAX;
    if (len <= w->cap - w->used) {
        memcpy(w->dst + w->used, ptr, len);
        w->used += len;
    } else {
        stream_json__spill(w, ptr, len);
    }
}

STREAM__INLINE void stream_json__put(stream_json_writer *w, char c) {
    if (w->used < w->cap && w->len < SIZE_MAX) {
        w->dst[w->used++] = c;
        w->len++;
    } else {
        stream_json__write(w, &c, 1);
    }
}

static bool stream_json__in_object(const stream_json_writer *w) {
    unsigned at = w->depth - 1;
    return w->depth > 0 && (w->object[at / 8] >> (at % 8) & 1);
}

/* Whether a value (or a key) may stand here; puts the comma before it. */
static bool stream_json__may_write(stream_json_writer *w, bool key) {
    if (w->status != STREAM_OK) return false;
    if (w->done || (key ? !stream_json__in_object(w) || w->after_key
                        : stream_json__in_object(w) && !w->after_key)) {
        w->status = STREAM_E_STATE;
        return false;
    }
    if (w->comma) stream_json__put(w, ','); /* never behind a key */
    w->after_key = key;
    w->comma = !key;
    if (!key && w->depth == 0) w->done = true;
    return true;
}

static void stream_json__open_level(stream_json_writer *w, bool object) {
    if (w->status == STREAM_OK && w->depth == STREAM_JSON_WRITER_DEPTH) w->status = STREAM_E_TOO_DEEP;
    if (!stream_json__may_write(w, false)) return;
    stream_json__put(w, object ? '{' : '[');
    if (object) w->object[w->depth / 8] = (uint8_t)(w->object[w->depth / 8] | 1u << (w->depth % 8));
    else w->object[w->depth / 8] = (uint8_t)(w->object[w->depth / 8] & ~(1u << (w->depth % 8)));
    w->depth++;
    w->comma = w->done = false;
}

STREAM_API void stream_json_write_object(stream_json_writer *writer) {
    stream_json__open_level(writer, true);
}

STREAM_API void stream_json_write_array(stream_json_writer *writer) {
    stream_json__open_level(writer, false);
}

STREAM_API void stream_json_write_end(stream_json_writer *writer) {
    if (writer->status != STREAM_OK) return;
    if (writer->depth == 0 || writer->after_key) {
        writer->status = STREAM_E_STATE;
        return;
    }
    stream_json__put(writer, stream_json__in_object(writer) ? '}' : ']');
    writer->depth--;
    writer->comma = true;
    writer->done = writer->depth == 0;
}

/* The well-formed UTF-8 character at p (RFC 3629, section 4), where no ASCII is: its length. When there is
   none, *good is false, and it is the length of what begins one as far as it does, or 1. */
static size_t stream_json__utf8_at(const char *ptr, const char *e, bool *good) {
    const unsigned char *p = (const unsigned char *)ptr;
    size_t left = (size_t)(e - ptr), need, i;
    unsigned char low = 0x80, high = 0xBF;
    need = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    if (p[0] == 0xE0) low = 0xA0;
    else if (p[0] == 0xED) high = 0x9F;
    else if (p[0] == 0xF0) low = 0x90;
    else if (p[0] == 0xF4) high = 0x8F;
    *good = p[0] >= 0xC2 && p[0] <= 0xF4;
    for (i = 1; *good && i < need; i++, low = 0x80, high = 0xBF) {
        *good = i < left && p[i] >= low && p[i] <= high;
        if (!*good) return i;
    }
    return i;
}

/* The inside of a string. */
static void stream_json__write_text(stream_json_writer *w, const char *text, size_t len) {
    static const char hex[] = "0123456789abcdef", letters[] = "btn?fr"; /* from 0x08 */
    const char *p = text, *e = len ? text + len : text, *run = p;
    for (;;) {
        size_t step;
        bool good = true;
        unsigned char c;
        p = stream_json__plain(p, e);
        for (step = 0; p < e && (unsigned char)*p >= 0x80; p += step) {
            step = stream_json__utf8_at(p, e, &good);
            if (!good) break;
        }
        if (p == e) break;
        c = (unsigned char)*p;
        if (good && c >= 0x20 && c != '"' && c != '\\') continue;
        stream_json__write(w, run, (size_t)(p - run));
        run = p;
        if (!good) {
            stream_json__write(w, "\xEF\xBF\xBD", 3);
            p = run += step;
            continue;
        }
        stream_json__put(w, '\\');
        p++;
        if (c >= 0x20) continue; /* the character itself begins the next run */
        run = p;
        if (c >= 0x08 && c <= 0x0D && c != 0x0B) {
            stream_json__put(w, letters[c - 0x08]);
        } else {
            char u[5] = {'u', '0', '0', 0, 0};
            u[3] = hex[c >> 4];
            u[4] = hex[c & 15];
            stream_json__write(w, u, 5);
        }
    }
    stream_json__write(w, run, (size_t)(p - run));
}

static void stream_json__write_quoted(stream_json_writer *w, const char *text, size_t len) {
    stream_json__put(w, '"');
    stream_json__write_text(w, text, len);
    stream_json__put(w, '"');
}

STREAM_API void stream_json_write_key(stream_json_writer *writer, const char *key, size_t len) {
    if (!stream_json__may_write(writer, true)) return;
    stream_json__write_quoted(writer, key, len);
    stream_json__put(writer, ':');
}

STREAM_API void stream_json_write_string(stream_json_writer *writer, const char *text, size_t len) {
    if (stream_json__may_write(writer, false)) stream_json__write_quoted(writer, text, len);
}

static void stream_json__write_number(stream_json_writer *w, uint64_t magnitude, bool negative) {
    char digits[21];
    size_t at = sizeof digits;
    if (!stream_json__may_write(w, false)) return;
    do digits[--at] = (char)('0' + magnitude % 10);
    while (magnitude /= 10);
    if (negative) digits[--at] = '-';
    stream_json__write(w, digits + at, sizeof digits - at);
}

STREAM_API void stream_json_write_int64(stream_json_writer *writer, int64_t number) {
    stream_json__write_number(writer, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, number < 0);
}

STREAM_API void stream_json_write_uint64(stream_json_writer *writer, uint64_t number) {
    stream_json__write_number(writer, number, false);
}

STREAM_API void stream_json_write_double(stream_json_writer *writer, double number) {
    char digits[40];
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    if ((bits & STREAM_JSON__INFINITY) == STREAM_JSON__INFINITY) {
        if (writer->status == STREAM_OK) writer->status = STREAM_E_ARGUMENT;
    } else if (stream_json__may_write(writer, false)) {
        stream_json__write(writer, digits, stream_json__print_double(number, digits));
    }
}

STREAM_API void stream_json_write_bool(stream_json_writer *writer, bool truth) {
    if (stream_json__may_write(writer, false))
        stream_json__write(writer, truth ? "true" : "false", truth ? 4 : 5);
}

STREAM_API void stream_json_write_null(stream_json_writer *writer) {
    if (stream_json__may_write(writer, false)) stream_json__write(writer, "null", 4);
}

STREAM_API void stream_json_write_value(stream_json_writer *writer, stream_json_value value) {
    if (value.type == STREAM_JSON_NONE) {
        stream_json_write_null(writer);
    } else if (value.len == 0) {
        if (writer->status == STREAM_OK) writer->status = STREAM_E_ARGUMENT;
    } else if (stream_json__may_write(writer, false)) {
        stream_json__write(writer, value.ptr, value.len);
    }
}

STREAM_API void stream_json_write_json(stream_json_writer *writer, const char *json, size_t len) {
    size_t at;
    stream_status status;
    if (writer->status != STREAM_OK) return;
    status = stream_json_check(json, len, &at);
    if (status == STREAM_OK) stream_json_write_value(writer, stream_json_value_of(json, len));
    else writer->status = status == STREAM_MORE ? STREAM_E_TRUNCATED : status;
}

STREAM_API stream_status stream_json_writer_finish(stream_json_writer *writer, size_t *len) {
    *len = writer->len;
    if (writer->status != STREAM_OK) return writer->status;
    if (!writer->done) return STREAM_E_STATE;
    if (!writer->flush) return writer->len <= writer->cap ? STREAM_OK : STREAM_FULL;
    if (writer->used) writer->status = writer->flush(writer->ctx, writer->dst, writer->used);
    writer->used = 0;
    return writer->status;
}

/* ==[ shapes: implementation ]=======================================================================

   Most records of a stream are like the one before: where they are, they are compared, and what differs is read. */

/* A shape is parts of what is written, and what stands behind each: the value of that number, a number, literal or
   string that is passed over, or the end. */
enum { STREAM_JSON__PASSED = 254, STREAM_JSON__END = 255 };

/* Adds a part, if there is room. */
static bool stream_json__add_part(stream_json__shape *shape, const char *ptr, size_t len, uint8_t field) {
    const size_t i = shape->parts;
    const size_t used = i ? (size_t)(shape->part[i - 1].at + shape->part[i - 1].len) : 0;
    if (i == STREAM_JSON__PARTS || len > sizeof shape->text - used) return false;
    memcpy(shape->text + used, ptr, len);
    shape->part[i].at = (uint16_t)used;
    shape->part[i].len = (uint16_t)len;
    shape->part[i].field = field;
    shape->parts++;
    return true;
}

/* Whether a string, number or literal that ends at `at`, in a record or a shape from `begin` to e, may be passed over:
   it is no name, and not what tells that a brace begins a value, as where no JSON is some other may stand for a name. */
static bool stream_json__may_pass(const char *begin, const char *token, const char *at, const char *e) {
    const char *const next = stream_json__spaces(at, e);
    return next < e && *next != ':' && !(*begin == '{' && stream_json__spaces(begin + 1, token) == token);
}

/* Remembers the shape of a record that was read: the values found, in the order they stand, and what is before each;
   the rest of it only where something is missing, as else it was not looked at. Long strings are passed over. */
static void stream_json__learn(stream_json__shape *shape, const char *json, const char *e,
                               const stream_json_value *out, size_t count, bool whole) {
    uint8_t order[64];
    size_t found = 0, i, k;
    const char *p = json, *at, *end;
    shape->parts = 0;
    for (i = 0; i < count; i++) {
        if (out[i].type == STREAM_JSON_NONE) continue;
        for (k = found++; k > 0 && out[order[k - 1]].ptr > out[i].ptr; k--) order[k] = order[k - 1];
        order[k] = (uint8_t)i;
    }
    whole |= found < count;
    for (i = 0; i < found + whole; i++) {
        const char *const to = i < found ? out[order[i]].ptr : e;
        bool fits = to >= p; /* none inside another */
        for (at = p; fits && at < to && (size_t)(at - p) <= sizeof shape->text; at = end) {
            end = *at == '"' ? stream_json__string_end(at, to) : at + 1;
            if (!end) break;
            if (end - at <= 64 || !stream_json__may_pass(json, at, end, to)) continue;
            fits = stream_json__add_part(shape, p, (size_t)(at - p), STREAM_JSON__PASSED);
            p = end;
        }
        fits = fits && stream_json__add_part(shape, p, (size_t)(to - p),
                                             i < found ? order[i] : (uint8_t)STREAM_JSON__END);
        if (!fits) {
            shape->parts = 0;
            return;
        }
        if (i < found) p = to + out[order[i]].len;
    }
}

/* At p the record differs from part i of the shape, or ends within it. Where it differs in a number, a literal or a
   string that is no name, such a one is passed over from now on, if no more than `most` are. */
static bool stream_json__loosen(stream_json__shape *shape, size_t i, const char *p, const char *e, unsigned most) {
    const char *const part = shape->text + shape->part[i].at, *const end = part + shape->part[i].len;
    const char *differs = part, *begin, *at = part;
    unsigned k, passed = 0;
    for (k = 0; k < shape->parts; k++) passed += shape->part[k].field == STREAM_JSON__PASSED;
    while (p < e && *differs == *p) differs++, p++;
    if (p == e || shape->parts == STREAM_JSON__PARTS || passed >= most) return false;
    for (begin = part; begin <= differs; begin = at) {
        if (*begin == '"') at = stream_json__string_end(begin, end);
        else while (at < end && stream_json__in_token(*at)) at++;
        if (!at) return false;
        if (at == begin) at++;
        else if (differs <= at) break; /* a number may be longer than the one before */
    }
    if (begin > differs || !stream_json__may_pass(shape->text, begin, at, end)) return false;
    memmove(shape->part + i + 1, shape->part + i, (shape->parts - i) * sizeof *shape->part);
    shape->parts++;
    shape->part[i].len = (uint16_t)(begin - part);
    shape->part[i].field = STREAM_JSON__PASSED;
    shape->part[i + 1].at = (uint16_t)(at - shape->text);
    shape->part[i + 1].len = (uint16_t)(end - at);
    return true;
}

/* Past what is neither plain nor a quote, an escape or a character beyond ASCII; NULL when it is none of a string. */
STREAM__NOINLINE static const char *stream_json__valid_character(const char *p, const char *e) {
    char none[4];
    bool good = false;
    if ((unsigned char)*p >= 0x80) p += stream_json__utf8_at(p, e, &good);
    else if (*p == '\\') good = stream_json__escape_at(&p, e, STREAM_JSON_PASS, none) > 0;
    return good ? p : NULL;
}

/* What a kernel looks at: whether two strings of bytes are the same; and from behind an opening quote past the closing
   one, when there is one and all before it may stand in a string, else NULL. */
typedef struct stream_json__eyes {
    bool (*same)(const char *a, const char *b, size_t len);
    const char *(*string)(const char *p, const char *e);
} stream_json__eyes;

/* Most parts are long, but a bracket or two. */
STREAM__WORD bool stream_json__same_bytes(const char *a, const char *b, size_t len) {
    return len < 3 ? len == 0 || (a[0] == b[0] && a[len - 1] == b[len - 1]) : memcmp(a, b, len) == 0;
}
static const char *stream_json__string_scalar(const char *p, const char *e) {
    while (p && p < e) {
        p = stream_json__plain(p, e);
        if (p == e) break;
        if (*p == '"') return p + 1;
        p = stream_json__valid_character(p, e);
    }
    return NULL;
}
/* Where a string whose 64 bytes before p are well is gone on with: at what p cuts, an escape or a character. */
STREAM__INLINE const char *stream_json__last_begun(const char *p, uint64_t escape) {
    const unsigned char a = (unsigned char)p[-1], b = (unsigned char)p[-2], c = (unsigned char)p[-3];
    return p - (escape || a >= 0xC0 ? 1 : a < 0x80 ? 0 : b >= 0xE0 ? 2 : c >= 0xF0 ? 3 : 0);
}
/* Most end in their first 64 bytes: a shorter look would more often be in vain, which nobody can foretell. For the same
   reason what is odd in them is looked at together. */
#define STREAM_JSON__STRING(K, TARGET)                                                                       \
    TARGET STREAM__WORD const char *stream_json__string_##K(const char *p, const char *e) {                  \
        while (p && e - p >= 64) {                                                                           \
            const stream__v64_##K v = stream__load_##K(p);                                                   \
            uint64_t odd = stream__odd_##K(v), backslash, escaped, quote, upto;                              \
            if (!odd) {                                                                                      \
                p += 64;                                                                                     \
                continue;                                                                                    \
            }                                                                                                \
            if (p[stream_json__lowest(odd)] == '"') return p + stream_json__lowest(odd) + 1;                 \
            backslash = stream__is_##K(v, stream__all_##K('\\'));                                            \
            escaped = stream_json__escaped_by(backslash, 0);                                                 \
            quote = stream__is_##K(v, stream__all_##K('"')) & ~escaped;                                      \
            upto = quote ^ (quote - 1); /* the one that closes */                                            \
            odd &= ~(backslash | escaped | quote) & upto;                                                    \
            if (odd & stream__high_##K(v) && stream__is_utf8_##K(p)) odd &= ~stream__high_##K(v);            \
            odd |= stream__odd_escapes_##K(p, escaped & upto);                                               \
            if (!odd) {                                                                                      \
                if (quote) return p + stream_json__lowest(quote) + 1;                                        \
                p = stream_json__last_begun(p + 64, (backslash & ~escaped) >> 63);                           \
                continue;                                                                                    \
            }                                                                                                \
            p += stream_json__lowest(odd);                                                                   \
            p = stream_json__valid_character(p - (escaped >> stream_json__lowest(odd) & 1), e);              \
        }                                                                                                    \
        return stream_json__string_scalar(p, e);                                                             \
    }
#if STREAM__SIMD_X86
#define stream_json__same_sse2 stream_json__same_bytes
#define stream_json__same_avx2 stream_json__same_bytes
STREAM_JSON__STRING(sse2, )
STREAM_JSON__STRING(avx2, STREAM__AVX2)
#ifdef STREAM__AVX512
STREAM_JSON__STRING(avx512, STREAM__AVX512)
STREAM__AVX512 STREAM__WORD bool stream_json__same_avx512(const char *a, const char *b, size_t len) {
    __mmask64 last;
    for (; len > 64; a += 64, b += 64, len -= 64)
        if (_mm512_cmpneq_epi8_mask(stream__load_avx512(a), stream__load_avx512(b))) return false;
    last = _bzhi_u64(~UINT64_C(0), (unsigned)len);
    return !_mm512_cmpneq_epi8_mask(_mm512_maskz_loadu_epi8(last, a), _mm512_maskz_loadu_epi8(last, b));
}
#endif
#elif STREAM__SIMD_NEON
#define stream_json__same_neon stream_json__same_bytes
STREAM_JSON__STRING(neon, )
#endif
#define stream_json__same_scalar stream_json__same_bytes

/* Past the number, literal or string at p, when it is a valid one. */
STREAM__INLINE const char *stream_json__valid_scalar(const stream_json__eyes *eyes, const char *p, const char *e) {
    bool whole;
    if (p < e && *p == '"') return eyes->string(p + 1, e);
    if (p == e) return NULL;
    p = stream_json__bare_end(p, e, &whole);
    return whole ? p : NULL;
}
/* How many values a picker passes over one by one: to pick, which takes an array at once, is soon faster (a fifth of
   the time with 76). What is checked gains by each. */
enum { STREAM_JSON__PASSES = 12 };

/* Whether the record that begins at p is like the shape, if need be one that is loosened: where it ends, or NULL. With
   `out`, which then has what is picked, that is where the last of it ends; else what differs is valid. */
STREAM__INLINE const char *stream_json__alike_by(const stream_json__eyes *eyes, stream_json__shape *shape,
                                                 const char *p, const char *e, bool loosen, stream_json_value *out,
                                                 bool nested) {
    size_t i = 0, n;
    while (i < shape->parts) {
        const size_t len = shape->part[i].len, field = shape->part[i].field;
        if ((size_t)(e - p) < len || !eyes->same(p, shape->text + shape->part[i].at, len)) {
            if (!loosen || !stream_json__loosen(shape, i, p, e, out ? STREAM_JSON__PASSES : STREAM_JSON__PARTS))
                return NULL;
            continue;
        }
        for (n = 0; !out && n < len; n += 64) STREAM__AHEAD(p + n); /* what is picked from was framed just now */
        p += len;
        if (field == STREAM_JSON__END) break;
        if (out) {
            stream_json_value value;
            if (p == e || stream_json__value_at(p, e, false, &value) != STREAM_OK) return NULL;
            /* Where a container stands, names are read that are no part of the shape. */
            if (value.type >= STREAM_JSON_ARRAY && (field == STREAM_JSON__PASSED || nested)) return NULL;
            if (field != STREAM_JSON__PASSED) out[field] = value;
            p += value.len;
        } else {
            p = stream_json__valid_scalar(eyes, p, e);
            if (!p) return NULL;
        }
        i++;
    }
    return p;
}

typedef const char *stream_json__alike(stream_json__shape *shape, const char *p, const char *e, bool loosen,
                                       stream_json_value *out, bool nested);
#define STREAM_JSON__ALIKE(K, TARGET)                                                                        \
    TARGET static const char *stream_json__alike_##K(stream_json__shape *shape, const char *p, const char *e,\
                                                     bool loosen, stream_json_value *out, bool nested) {     \
        static const stream_json__eyes eyes = {stream_json__same_##K, stream_json__string_##K};              \
        return stream_json__alike_by(&eyes, shape, p, e, loosen, out, nested);                               \
    }
STREAM_JSON__ALIKE(scalar, )
#if STREAM__SIMD_X86
STREAM_JSON__ALIKE(sse2, )
STREAM_JSON__ALIKE(avx2, STREAM__AVX2)
#ifdef STREAM__AVX512
STREAM_JSON__ALIKE(avx512, STREAM__AVX512)
#endif
#elif STREAM__SIMD_NEON
STREAM_JSON__ALIKE(neon, )
#endif
/* In the order of stream_json__framers. */
static stream_json__alike *const stream_json__alikes[] = {
#if STREAM__SIMD_X86
#ifdef STREAM__AVX512
    stream_json__alike_avx512,
#endif
    stream_json__alike_avx2, stream_json__alike_sse2,
#elif STREAM__SIMD_NEON
    stream_json__alike_neon,
#endif
    stream_json__alike_scalar};
/* Where as many were in vain as a power of two, or none: records of which none is like the one before would be learnt
   for nothing, so ever less often. A hit or two is no reason to begin anew: of shapes that come in turn each would be
   learnt and loosened over and over, for several times what a pick takes. */
STREAM__INLINE bool stream_json__learns(const stream_json__shape *shape) {
    return (shape->vain & (shape->vain - 1)) == 0;
}
/* So it is with loosening, but what was just learnt has four records to be loosened by. */
STREAM__INLINE bool stream_json__loosens(const stream_json__shape *shape) {
    const uint32_t fours = shape->vain / 4;
    return (fours & (fours - 1)) == 0;
}
STREAM__INLINE void stream_json__missed(stream_json__shape *shape) {
    shape->vain++;
    shape->hits = 0;
    if (shape->misses < 2) shape->misses++;
}
STREAM__INLINE void stream_json__hit(stream_json__shape *shape, unsigned records) {
    enum { IN_A_ROW = 4 };
    records += shape->hits;
    shape->misses = 0;
    shape->hits = records < IN_A_ROW ? (uint8_t)records : (uint8_t)IN_A_ROW;
    if (shape->hits == IN_A_ROW) shape->vain = 0;
}

STREAM_API stream_status stream_json_picker_init(stream_json_picker *picker, const char *const *pointers,
                                                 size_t count) {
    stream_json_value none[64];
    size_t i, k, n;
    memset(picker, 0, sizeof *picker);
    if (count > 64 || stream_json_pick("0", 1, pointers, count, none) != STREAM_OK) return STREAM_E_ARGUMENT;
    picker->pointers = pointers;
    picker->count = count;
    for (i = 0; i < count; i++) {
        for (k = 0; k < count; k++) {
            for (n = 0; pointers[i][n] && pointers[i][n] == pointers[k][n];) n++;
            if (!pointers[i][n] && pointers[k][n] == '/') picker->nested = true;
        }
    }
    return STREAM_OK;
}

STREAM_API stream_status stream_json_picker_pick(stream_json_picker *picker, const char *json, size_t len,
                                                 stream_json_value *out) {
    stream_json__shape *const shape = &picker->shape;
    const char *const e = len ? json + len : json;
    const bool learns = stream_json__learns(shape), loosens = stream_json__loosens(shape);
    const stream_json__kernel *const kernel = stream_json__named(stream_json__framers, NULL);
    stream_status status;
    /* Where most comparing was in vain only every eighth is compared. */
    if (shape->parts && len && (shape->hits || loosens || shape->vain % 8 == 0)) {
        if (shape->part[shape->parts - 1].field == STREAM_JSON__END) memset(out, 0, picker->count * sizeof *out);
        if (stream_json__alikes[kernel - stream_json__framers](shape, json, e, loosens, out, picker->nested)) {
            stream_json__hit(shape, 1);
            return STREAM_OK;
        }
    }
    status = stream_json_pick(json, len, picker->pointers, picker->count, out);
    /* A bare value's end is what follows it, which no shape holds. */
    if (status == STREAM_OK && learns && stream_json_value_of(json, len).type >= STREAM_JSON_STRING)
        stream_json__learn(shape, json, e, out, picker->count, false);
    stream_json__missed(shape);
    return status;
}

#if STREAM_JSON__COMPARES
/* How many bytes of a record may be looked at in vain. */
enum { STREAM_JSON__IN_VAIN = 4096 };

/* Goes on over the next records as long as each is like those before and the loan has all of it; hands out the
   first. */
static bool stream_json__next_alike(stream_json *json, stream_item *item) {
    stream_json__shape *const shape = &json->shape;
    const bool loosen = stream_json__loosens(shape);
    stream_json__alike *const alike = stream_json__alikes[json->kernel - stream_json__framers];
    const char *p = json->cur;
    unsigned count = 0;
    if (json->state != STREAM_JSON__GAP || json->open) return false; /* open: of white space from an earlier loan */
    if (p < json->end && *p == '\n') { /* of the record before */
        json->terminated = true;
        json->scanned++;
        json->cur = ++p;
        stream_json__begin(json, p);
    }
    while (p < json->end && count < STREAM_JSON__BATCH) {
        const char *const e = json->end - p > STREAM_JSON__IN_VAIN ? p + STREAM_JSON__IN_VAIN : json->end;
        const char *const end = alike(shape, p, e, loosen, NULL, false);
        if (!end || end == e || *end != '\n' || (size_t)(end - p) > json->max_len) {
            if (count == 0 && memchr(p, '\n', (size_t)(e - p))) stream_json__missed(shape);
            break;
        }
        json->scan.ends[count++] = end;
        p = end + 1;
    }
    json->scan.count = (uint8_t)count;
    json->batched = 0;
    if (count == 0) return false;
    stream_json__hit(shape, count);
    json->terminated = true;
    stream_json__hand_out(json, item);
    return true;
}

STREAM__NOINLINE static stream_status stream_json__next_other(stream_json *json, stream_item *item) {
    stream_json__shape *const shape = &json->shape;
    stream_status status;
    if (shape->parts && stream_json__next_alike(json, item)) return STREAM_OK;
    status = stream_json__next_item(json, item);
    if (status == STREAM_OK && item->kind == STREAM_JSON_OBJECT) {
        /* One that is not alike may be the exception. */
        if (shape->misses != 1 && stream_json__learns(shape) && (shape->misses || !shape->parts))
            stream_json__learn(shape, item->ptr, item->ptr + item->len, NULL, 0, true);
        if (!shape->parts) stream_json__missed(shape);
    }
    return status;
}
#endif

STREAM_API stream_status stream_json_next(stream_json *json, stream_item *item) {
    if (stream_json__next_of_batch(json, item)) return STREAM_OK;
#if STREAM_JSON__COMPARES
    if (json->compares) return stream_json__next_other(json, item);
#endif
    return stream_json__next_item(json, item);
}

/* ==[ rewrite: implementation ]======================================================================
   The input is copied in runs; `from` is what has not been. The comma before a member belongs to the run
   before it until it shows whether the member stays. */

#define STREAM_JSON__RULES 64

typedef struct stream_json__copied {
    uint64_t inside; /* rules whose pointers lead into this container */
    uint64_t seen;   /* those of them whose member was there */
    uint32_t index, prefix;
    bool object;
    bool begun;   /* a member was passed */
    bool kept;    /* one was written */
    bool dropped; /* the last one was not: `from` is at its end */
} stream_json__copied;

typedef struct stream_json__rewriter {
    const stream_json_rule *rules;
    stream_json_writer *w;
    const char *p, *e, *from;
    uint64_t hits;
    uint64_t op[4]; /* rules by operation */
    size_t depth;
    stream_json__copied level[STREAM_JSON__STEPS + 1];
} stream_json__rewriter;

static void stream_json__copy_to(stream_json__rewriter *r, const char *to) {
    if (r->from >= to) return;
    stream_json__write(r->w, r->from, (size_t)(to - r->from));
    r->from = to;
}

/* The value of the first rule in the set, and that it did something. */
static void stream_json__apply(stream_json__rewriter *r, uint64_t set) {
    const stream_json_rule *rule = &r->rules[stream_json__lowest(set)];
    r->hits |= set & (0 - set);
    if (rule->value.type == STREAM_JSON_NONE) stream_json__write(r->w, "null", 4);
    else stream_json__write(r->w, rule->value.ptr, rule->value.len);
}

/* The last step of a pointer as a key, with its colon. */
static void stream_json__write_step(stream_json_writer *w, const char *step) {
    stream_json__put(w, '"');
    while (*step) {
        const char *begin = step;
        while (*step && *step != '~') step++;
        stream_json__write_text(w, begin, (size_t)(step - begin));
        if (*step) {
            stream_json__put(w, step[1] == '1' ? '/' : '~');
            step += 2;
        }
    }
    stream_json__put(w, '"');
    stream_json__put(w, ':');
}

static bool stream_json__is_key(stream_json_value key, const char *step, size_t len) {
    const char *name = key.ptr + 1;
    size_t n = key.len - 2;
    if ((n && memchr(name, '\\', n)) || (len && memchr(step, '~', len)))
        return stream_json__same(name, name + n, step, len, true);
    return n == len && (n == 0 || memcmp(name, step, n) == 0);
}

/* Opens the container at p, or passes the value there, which `here` rules name and `into` ones lead into. */
static stream_status stream_json__copy_value(stream_json__rewriter *r, uint64_t here, uint64_t into,
                                             uint32_t prefix) {
    stream_json_value value;
    stream_status status;
    uint64_t change = here & (r->op[STREAM_JSON_OP_SET] | r->op[STREAM_JSON_OP_REPLACE]);
    if (!change && into && (*r->p == '{' || *r->p == '[')) {
        stream_json__copied *level = &r->level[r->depth++];
        memset(level, 0, sizeof *level);
        level->inside = into;
        level->prefix = prefix;
        level->object = *r->p++ == '{';
        return STREAM_OK;
    }
    status = stream_json__value_at(r->p, r->e, r->depth == 0, &value);
    if (status != STREAM_OK) return status;
    if (change) {
        stream_json__copy_to(r, r->p);
        stream_json__apply(r, change);
        r->from = r->p + value.len;
    }
    r->p += value.len;
    return STREAM_OK;
}

/* What is added behind the members of a container that ends: what was not there, in the order of the
   rules. */
static void stream_json__append(stream_json__rewriter *r, const stream_json__copied *level,
                                const char *behind) {
    uint64_t set = level->inside & ~level->seen & (r->op[STREAM_JSON_OP_SET] | r->op[STREAM_JSON_OP_ADD]);
    uint64_t earlier, done = 0;
    bool kept = level->kept;
    for (; set; set &= set - 1) {
        const char *pointer = r->rules[stream_json__lowest(set)].pointer, *step = pointer + level->prefix;
        bool same = false;
        const char *end = step;
        while (!stream_json__step_ends(end)) end++;
        if (*end) continue; /* it leads further */
        if (!level->object && !(step[0] == '-' && step[1] == '\0') &&
            !stream_json__is_index(step, level->index))
            continue;
        if (level->object)
            for (earlier = done; earlier; earlier &= earlier - 1)
                same = same || stream__same_text(r->rules[stream_json__lowest(earlier)].pointer, pointer);
        if (same) continue;
        done |= set & (0 - set);
        stream_json__copy_to(r, behind);
        if (kept) stream_json__put(r->w, ',');
        kept = true;
        if (level->object) stream_json__write_step(r->w, step);
        stream_json__apply(r, set);
    }
}

/* The next member of the innermost container, or its end. */
static stream_status stream_json__copy_member(stream_json__rewriter *r) {
    stream_json__copied *level = &r->level[r->depth - 1];
    const char *behind = r->p, *comma = NULL, *lead = behind;
    stream_json_value key;
    uint64_t set, here = 0, into = 0, drop;
    uint32_t prefix = 0;
    stream_status status = stream_json__member(&r->p, r->e, level->object, level->begun, &key);
    if (status == STREAM_END) {
        stream_json__append(r, level, behind);
        r->depth--;
        return STREAM_OK;
    }
    if (status != STREAM_OK) return status;
    if (level->begun) {
        comma = stream_json__spaces(behind, r->e);
        lead = comma + 1;
        if (level->dropped) r->from = comma; /* with what was between it and the member */
    }
    level->dropped = false;

    for (set = level->inside; set; set &= set - 1) {
        const char *pointer = r->rules[stream_json__lowest(set)].pointer;
        const char *step = pointer + level->prefix, *end = step;
        while (!stream_json__step_ends(end)) end++;
        if (level->object ? !stream_json__is_key(key, step, (size_t)(end - step))
                          : !stream_json__is_index(step, level->index))
            continue;
        if (*end) into |= set & (0 - set);
        else here |= set & (0 - set);
        prefix = (uint32_t)(end - pointer) + 1;
    }
    level->seen |= here;
    level->index += level->index < UINT32_MAX;

    if (!level->object) { /* what comes before this element */
        for (set = here & r->op[STREAM_JSON_OP_ADD]; set; set &= set - 1) {
            stream_json__copy_to(r, comma && r->from <= comma ? comma : lead);
            r->from = lead;
            if (level->kept) stream_json__put(r->w, ',');
            stream_json__apply(r, set);
            level->kept = true;
        }
    }
    here &= ~r->op[STREAM_JSON_OP_ADD];
    drop = here & r->op[STREAM_JSON_OP_DROP];
    if (drop && (here & (0 - here) & drop)) { /* the first rule for it */
        stream_json_value value;
        status = stream_json__value_at(r->p, r->e, false, &value);
        if (status != STREAM_OK) return status;
        r->hits |= here & (0 - here);
        stream_json__copy_to(r, comma && r->from <= comma ? comma : lead);
        r->p += value.len;
        r->from = r->p;
        level->dropped = level->begun = true;
        return STREAM_OK;
    }
    if (!level->kept) {
        if (comma) r->from = lead;
    } else if (!comma || r->from > comma) {
        stream_json__put(r->w, ',');
    }
    level->begun = level->kept = true;
    return stream_json__copy_value(r, here & ~drop, into, prefix);
}

STREAM_API stream_status stream_json_rewrite(const char *json, size_t len, const stream_json_rule *rules,
                                             size_t count, stream_json_writer *writer, uint64_t *hits,
                                             size_t *offset) {
    stream_json__rewriter r;
    stream_status status = count > STREAM_JSON__RULES ? STREAM_E_ARGUMENT : STREAM_OK;
    uint64_t whole = 0, into = 0;
    size_t i, at = 0;
    memset(&r, 0, offsetof(stream_json__rewriter, level));
    if (hits) *hits = 0;
    if (offset) *offset = 0;
    r.rules = rules;
    r.w = writer;
    r.p = r.from = json;
    r.e = len ? json + len : json;
    for (i = 0; status == STREAM_OK && i < count; i++) {
        const uint64_t bit = UINT64_C(1) << i;
        if (stream_json__steps(rules[i].pointer) > STREAM_JSON__STEPS ||
            (unsigned)rules[i].op > STREAM_JSON_OP_DROP ||
            (*rules[i].pointer == '\0' && rules[i].op == STREAM_JSON_OP_DROP) ||
            (rules[i].op != STREAM_JSON_OP_DROP && rules[i].value.type != STREAM_JSON_NONE &&
             rules[i].value.len == 0)) {
            status = STREAM_E_ARGUMENT;
            break;
        }
        r.op[rules[i].op] |= bit;
        if (*rules[i].pointer) into |= bit;
        else whole |= bit;
    }
    if (status == STREAM_OK) {
        if (!stream_json__may_write(writer, false)) return writer->status;
        r.p = stream_json__spaces(r.p, r.e);
        status = r.p < r.e ? stream_json__copy_value(&r, whole, into, 1) : STREAM_MORE;
        while (status == STREAM_OK && r.depth > 0 && writer->status == STREAM_OK)
            status = stream_json__copy_member(&r);
        if (status == STREAM_OK && writer->status == STREAM_OK) {
            r.p = stream_json__spaces(r.p, r.e);
            if (r.p < r.e) status = STREAM_E_INVALID;
            stream_json__copy_to(&r, r.p);
        }
    }
    if (hits) *hits = r.hits;
    if (status == STREAM_MORE) {
        status = STREAM_E_TRUNCATED;
        at = len;
    } else if (status == STREAM_E_INVALID) {
        at = (size_t)(stream_json__spaces(r.p, r.e) - json);
#ifndef STREAM_JSON_NO_STRICT
        /* The steps above do not say where in a token; this does, unless it stops at what lies too deep for it. */
        {
            size_t fault;
            if (stream_json_check(json, len, &fault) == STREAM_E_INVALID) at = fault;
        }
#endif
    }
    if (offset) *offset = at;
    if (writer->status == STREAM_OK) writer->status = status;
    return writer->status;
}

/* ==[ patch: implementation ]======================================================================== */

/* The next byte of a string's inside, or those that the escape there stands for; how many. Of a broken escape the
   backslash is one that no text has, and *broken is set. */
static size_t stream_json__text_at(const char **p, const char *e, int out[4], bool *broken) {
    const char *const at = *p;
    char bytes[4];
    size_t n = 1, i;
    out[0] = (unsigned char)*at;
    *p = at + 1;
    if (*at != '\\') return 1;
    *p = at;
    n = stream_json__escape_at(p, e, STREAM_JSON_PASS, bytes);
    for (i = 0; i < n; i++) out[i] = (unsigned char)bytes[i];
    if (n) return n;
    *p = at + 1;
    *broken = true;
    out[0] = 256;
    return 1;
}

/* The order of two strings' insides by their bytes unescaped: below 0, 0, above. */
static int stream_json__order(const char *p, const char *pe, const char *q, const char *qe, bool *broken) {
    int a[4], b[4];
    size_t i = 0, k = 0, an = 0, bn = 0;
    while (p < pe && q < qe && *p == *q && *p != '\\') p++, q++;
    if (p < pe && q < qe && *p != '\\' && *q != '\\') return (unsigned char)*p < (unsigned char)*q ? -1 : 1;
    for (;; i++, k++) {
        if (i == an) {
            if (p == pe) return k == bn && q == qe ? 0 : -1;
            an = stream_json__text_at(&p, pe, a, broken);
            i = 0;
        }
        if (k == bn) {
            if (q == qe) return 1;
            bn = stream_json__text_at(&q, qe, b, broken);
            k = 0;
        }
        if (a[i] != b[k]) return a[i] < b[k] ? -1 : 1;
    }
}

/* Whether they are the same text, however they are escaped. */
static bool stream_json__same_text(const char *p, const char *pe, const char *q, const char *qe) {
    bool broken = false;
    return stream_json__order(p, pe, q, qe, &broken) == 0 && !broken;
}

static bool stream_json__same_string(stream_json_value a, stream_json_value b) {
    return stream_json__same_text(a.ptr + 1, a.ptr + a.len - 1, b.ptr + 1, b.ptr + b.len - 1);
}

/* How a member is looked for. */
enum {
    STREAM_JSON__NEAR = 0, /* from where it is expected, while that is within `quota` */
    STREAM_JSON__FAR,      /* so as well, whatever it takes: there is no room to sort */
    STREAM_JSON__SORTED    /* among y's members sorted by their keys */
};

/* Two objects (or arrays) x and y walked together: first the members of x, each with that of y of the same
   key, then the members of y whose key x has not. Where x is none, all of y. */
typedef struct stream_json__both {
    const char *x, *y; /* behind their opening brackets */
    uint64_t paired;   /* which of y's first 64 members x has, too */
    uint32_t at;       /* the number of y's next member */
    uint32_t sorted;   /* where in the walker's memory y's members are, or would be */
    uint32_t quota;    /* SORTED: how many they are; NEAR: bytes that may still be passed in vain */
    uint8_t way;
    bool second;       /* x is through */
    bool array;
} stream_json__both;

typedef struct stream_json__walker {
    const char *x, *x_end, *y, *y_end; /* where in each it goes on, and where the whole ends */
    const char *again;                 /* where in x the next key of y may be */
    uint32_t *sorted;                  /* where members begin in their objects; TAKEN: x has that one, too */
    uint32_t room, used;               /* how many there may be, and are */
    size_t depth;
    stream_json__both level[STREAM_JSON_PATCH_DEPTH];
} stream_json__walker;

#define STREAM_JSON__TAKEN (UINT32_C(1) << 31)

/* The bytes that may be passed in vain in an object of so many before its members are sorted. */
STREAM__FN uint32_t stream_json__patience(size_t len) {
    return len < UINT32_MAX / 16 - 256 ? 16 * ((uint32_t)len + 256) : UINT32_MAX;
}
#ifndef STREAM_JSON__PATIENCE /* tests have less */
#define STREAM_JSON__PATIENCE(len) stream_json__patience(len)
#endif

static void stream_json__walker_init(stream_json__walker *k, stream_json_value x, stream_json_value y,
                                     uint32_t *memory, uint32_t room) {
    k->x = x.ptr;
    k->x_end = x.len ? x.ptr + x.len : x.ptr;
    k->y = y.ptr;
    k->y_end = y.len ? y.ptr + y.len : y.ptr;
    k->sorted = memory;
    k->room = room;
    k->used = 0;
    k->depth = 0;
}

/* Goes into y, an object or an array, and into x if it is one, too. */
static stream_status stream_json__walk_into(stream_json__walker *k, stream_json_value x,
                                            stream_json_value y) {
    stream_json__both *level;
    if (k->depth == STREAM_JSON_PATCH_DEPTH) return STREAM_E_TOO_DEEP;
    level = &k->level[k->depth++];
    memset(level, 0, sizeof *level);
    level->array = y.type == STREAM_JSON_ARRAY;
    level->sorted = k->used;
    level->way = k->used < k->room ? STREAM_JSON__NEAR : STREAM_JSON__FAR;
    level->quota = STREAM_JSON__PATIENCE(y.len);
    level->y = k->y = y.ptr + 1;
    if (x.type == y.type) level->x = k->x = x.ptr + 1;
    return STREAM_OK;
}

/* Back to what it is in. */
static void stream_json__walk_out(stream_json__walker *k) {
    k->used = k->level[--k->depth].sorted;
}

/* The member at *at of what begins at `begin`. */
static stream_status stream_json__walk_step(const char **at, const char *begin, const char *e, bool array,
                                            stream_json_value *key, stream_json_value *value) {
    stream_status status = stream_json__member(at, e, !array, *at != begin, key);
    if (status == STREAM_OK) status = stream_json__value_at(*at, e, false, value);
    if (status == STREAM_OK) *at += value->len;
    else memset(value, 0, sizeof *value);
    return status;
}

/* Looks for a key from *at on, then before it: OK with *at behind the member and *index its number (from
   *index at *at), END when it is not there, FULL when members of more than *left bytes had to be passed (NULL:
   there is no such bound). */
static stream_status stream_json__walk_find(const char **at, const char *begin, const char *e,
                                            uint32_t *index, uint32_t *left, stream_json_value key,
                                            stream_json_value *value) {
    const char *p = *at;
    uint32_t n = *index;
    bool wrapped = false;
    for (;;) {
        const char *const member = p;
        stream_json_value name;
        stream_status status;
        if (wrapped && p >= *at) status = STREAM_END;
        else status = stream_json__walk_step(&p, begin, e, false, &name, value);
        if (status == STREAM_END && !wrapped) {
            wrapped = true;
            p = begin;
            n = 0;
            continue;
        }
        if (status == STREAM_END) memset(value, 0, sizeof *value);
        if (status != STREAM_OK) return status;
        if (stream_json__same_string(name, key)) {
            *at = p;
            *index = n;
            return STREAM_OK;
        }
        if (left) {
            if ((size_t)(p - member) > *left) return STREAM_FULL;
            *left -= (uint32_t)(p - member);
        }
        n += n < UINT32_MAX;
    }
}

static const char *stream_json__key_of(const stream_json__both *level, uint32_t member) {
    return level->y + (member & ~STREAM_JSON__TAKEN);
}

/* The order of a key of y and another string. */
static int stream_json__order_of_key(const stream_json__walker *k, const stream_json__both *level, uint32_t member,
                                     const char *other, const char *end, bool *broken) {
    const char *const key = stream_json__key_of(level, member);
    return stream_json__order(key + 1, stream_json__string_end(key, k->y_end) - 1, other + 1, end - 1, broken);
}

static int stream_json__order_of_keys(const stream_json__walker *k, const stream_json__both *level, uint32_t a,
                                      uint32_t b) {
    const char *const other = stream_json__key_of(level, b);
    bool broken = false;
    return stream_json__order_of_key(k, level, a, other, stream_json__string_end(other, k->y_end), &broken);
}

/* The member of y that has this key, or NULL. */
static uint32_t *stream_json__walk_search(const stream_json__walker *k, const stream_json__both *level,
                                          stream_json_value key) {
    uint32_t *from = k->sorted + level->sorted;
    size_t n = level->quota;
    while (n > 0) {
        bool broken = false;
        const int order = stream_json__order_of_key(k, level, from[n / 2], key.ptr, key.ptr + key.len, &broken);
        if (order == 0) return broken ? NULL : from + n / 2;
        if (order < 0) from += n / 2 + 1;
        n = order < 0 ? n - n / 2 - 1 : n / 2;
    }
    return NULL;
}

/* Sorts y's members, and takes those of which x was asked for already. False: no room, or no object. (Heapsort,
   Williams and Floyd 1964: no more memory, no recursion, n log n whatever the input.) */
static bool stream_json__walk_sort(stream_json__walker *k, stream_json__both *level) {
    uint32_t *const member = k->sorted + level->sorted;
    const uint32_t room = k->room - level->sorted;
    const char *p = level->y;
    stream_json_value key, value;
    stream_status status;
    uint32_t n = 0, i, end;
    for (; (status = stream_json__walk_step(&p, level->y, k->y_end, false, &key, &value)) == STREAM_OK; n++) {
        if (n == room || (size_t)(key.ptr - level->y) >= STREAM_JSON__TAKEN) return false;
        member[n] = (uint32_t)(key.ptr - level->y);
    }
    if (status != STREAM_END) return false;
    for (i = n / 2, end = n; end > 1;) {
        uint32_t moved, at, below;
        if (i > 0) {
            moved = member[--i];
        } else {
            moved = member[--end];
            member[end] = member[0];
        }
        for (at = i; (below = 2 * at + 1) < end; at = below) {
            if (below + 1 < end && stream_json__order_of_keys(k, level, member[below], member[below + 1]) < 0) below++;
            if (stream_json__order_of_keys(k, level, moved, member[below]) >= 0) break;
            member[at] = member[below];
        }
        member[at] = moved;
    }
    level->quota = n;
    k->used = level->sorted + n;
    for (p = level->x; p < k->x && stream_json__walk_step(&p, level->x, k->x_end, false, &key, &value) == STREAM_OK;) {
        uint32_t *const found = stream_json__walk_search(k, level, key);
        if (found) *found |= STREAM_JSON__TAKEN;
    }
    return true;
}

/* The member of y for one of x: OK, or END when there is none. */
static stream_status stream_json__walk_look(stream_json__walker *k, stream_json__both *level, stream_json_value key,
                                            stream_json_value *y) {
    uint32_t *found;
    const char *p;
    while (level->way != STREAM_JSON__SORTED) {
        const stream_status status = stream_json__walk_find(
            &k->y, level->y, k->y_end, &level->at, level->way == STREAM_JSON__NEAR ? &level->quota : NULL, key, y);
        if (status == STREAM_OK) {
            if (level->at < 64) level->paired |= UINT64_C(1) << level->at;
            level->at += level->at < UINT32_MAX;
        }
        if (status != STREAM_FULL) return status;
        level->way = stream_json__walk_sort(k, level) ? STREAM_JSON__SORTED : STREAM_JSON__FAR;
    }
    memset(y, 0, sizeof *y);
    found = stream_json__walk_search(k, level, key);
    if (!found) return STREAM_END;
    *found |= STREAM_JSON__TAKEN;
    p = stream_json__key_of(level, *found);
    return stream_json__walk_step(&p, p, k->y_end, false, &key, y);
}

/* Whether x, which is through, had y's member of number n. */
static bool stream_json__walk_had(stream_json__walker *k, stream_json__both *level, uint32_t n, stream_json_value key) {
    const uint32_t *found;
    while (level->way != STREAM_JSON__SORTED) {
        stream_json_value other;
        stream_status status;
        uint32_t index = 0;
        if (n < 64 || !level->x) return n < 64 && (level->paired >> n & 1);
        status = stream_json__walk_find(&k->again, level->x, k->x_end, &index,
                                        level->way == STREAM_JSON__NEAR ? &level->quota : NULL, key, &other);
        if (status != STREAM_FULL) return status == STREAM_OK;
        level->way = stream_json__walk_sort(k, level) ? STREAM_JSON__SORTED : STREAM_JSON__FAR;
    }
    found = stream_json__walk_search(k, level, key);
    return found && (*found & STREAM_JSON__TAKEN);
}

/* OK: the next member, x or y is NONE where only the other has it. END: the innermost pair is through. */
static stream_status stream_json__walk_next(stream_json__walker *k, stream_json_value *key,
                                            stream_json_value *x, stream_json_value *y) {
    stream_json__both *level = &k->level[k->depth - 1];
    stream_status status;
    uint32_t n;
    if (level->array) {
        status = stream_json__walk_step(&k->x, level->x, k->x_end, true, key, x);
        if (status < 0 || status == STREAM_MORE) return status;
        n = status == STREAM_END;
        if (n) stream_json__walk_out(k);
        status = stream_json__walk_step(&k->y, level->y, k->y_end, true, key, y);
        return status == STREAM_END && !n ? STREAM_OK : status;
    }
    if (!level->second) {
        status = STREAM_END;
        if (level->x) status = stream_json__walk_step(&k->x, level->x, k->x_end, false, key, x);
        if (status == STREAM_OK) {
            status = stream_json__walk_look(k, level, *key, y);
            return status == STREAM_END ? STREAM_OK : status;
        }
        if (status != STREAM_END) return status;
        level->second = true;
        level->at = 0;
        k->y = level->y;
        if (level->x) k->again = level->x;
    }
    memset(x, 0, sizeof *x);
    do {
        status = stream_json__walk_step(&k->y, level->y, k->y_end, false, key, y);
        if (status == STREAM_END) stream_json__walk_out(k);
        if (status != STREAM_OK) return status;
        n = level->at;
        level->at += n < UINT32_MAX;
    } while (stream_json__walk_had(k, level, n, *key));
    return STREAM_OK;
}

/* Whether two values mean the same; also false when that lies too deep to be seen. Sorts behind what `in` has. */
static bool stream_json__equal(const stream_json__walker *in, stream_json_value a, stream_json_value b) {
    stream_json__walker k;
    stream_json_value key, x = a, y = b;
    if (a.type == STREAM_JSON_NONE) return false;
    stream_json__walker_init(&k, a, b, in->room > in->used ? in->sorted + in->used : NULL, in->room - in->used);
    for (;;) {
        stream_status status = STREAM_END;
        if (x.type != y.type) return false;
        if (x.len != y.len || memcmp(x.ptr, y.ptr, x.len) != 0) {
            if (x.type == STREAM_JSON_STRING ? !stream_json__same_string(x, y) : x.type < STREAM_JSON_ARRAY)
                return false;
            if (x.type >= STREAM_JSON_ARRAY && stream_json__walk_into(&k, x, y) != STREAM_OK) return false;
        }
        while (k.depth > 0 && status == STREAM_END) status = stream_json__walk_next(&k, &key, &x, &y);
        if (status != STREAM_OK) return status == STREAM_END;
    }
}

/* A key as it is spelled. */
static void stream_json__write_member(stream_json_writer *w, stream_json_value key) {
    if (!stream_json__may_write(w, true)) return;
    stream_json__write(w, key.ptr, key.len);
    stream_json__put(w, ':');
}

/* How a walk ends: both must have ended with their brackets. */
static stream_status stream_json__walked(const stream_json__walker *k, stream_status status,
                                         stream_json_writer *w) {
    if (status == STREAM_END) status = k->y == k->y_end && k->x == k->x_end ? STREAM_OK : STREAM_E_INVALID;
    if (status == STREAM_MORE) status = STREAM_E_TRUNCATED;
    if (w->status == STREAM_OK) w->status = status;
    return w->status;
}

/* memory, from where a uint32_t may lie, and how many there may be. */
static uint32_t *stream_json__room(void *memory, size_t len, uint32_t *room) {
    const size_t off = memory ? (size_t)(0 - (uintptr_t)memory) & 3 : 0, n = memory && len > off ? (len - off) / 4 : 0;
    *room = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
    return n ? (uint32_t *)(void *)((char *)memory + off) : NULL;
}

STREAM_API stream_status stream_json_diff_sorted(stream_json_value from, stream_json_value to,
                                                 stream_json_writer *writer, void *memory, size_t memory_len) {
    stream_json__walker k;
    const char *at[STREAM_JSON_PATCH_DEPTH + 1]; /* the key that the walk is at, in each level */
    stream_json_value key, x, y;
    size_t written = 1; /* levels that are in the patch */
    stream_status status = STREAM_OK;
    uint32_t room, *const sorted = stream_json__room(memory, memory_len, &room);
    stream_json__walker_init(&k, to, from, sorted, room);
    if ((to.type == STREAM_JSON_OBJECT && !to.len) || (from.type == STREAM_JSON_OBJECT && !from.len))
        return stream_json__walked(&k, STREAM_E_TRUNCATED, writer);
    if (to.type != STREAM_JSON_OBJECT || from.type != STREAM_JSON_OBJECT) {
        if (to.type == STREAM_JSON_NONE) return stream_json__walked(&k, STREAM_E_ARGUMENT, writer);
        stream_json_write_value(writer, to);
        return writer->status;
    }
    stream_json_write_object(writer);
    status = stream_json__walk_into(&k, to, from);
    while (status == STREAM_OK && k.depth > 0 && writer->status == STREAM_OK) {
        status = stream_json__walk_next(&k, &key, &x, &y);
        if (status == STREAM_END) {
            if (written > k.depth) {
                stream_json_write_end(writer);
                written--;
            }
            if (k.depth > 0) status = STREAM_OK;
        } else if (status == STREAM_OK && x.type == STREAM_JSON_OBJECT && y.type == STREAM_JSON_OBJECT) {
            if (x.len == y.len && memcmp(x.ptr, y.ptr, x.len) == 0) continue;
            at[k.depth] = key.ptr;
            status = stream_json__walk_into(&k, x, y); /* nothing is written until something differs */
        } else if (status == STREAM_OK && !stream_json__equal(&k, x, y)) {
            for (; written < k.depth; written++) {
                stream_json_value name = key;
                name.ptr = at[written];
                name.len = (size_t)(stream_json__string_end(name.ptr, k.x_end) - name.ptr);
                stream_json__write_member(writer, name);
                stream_json_write_object(writer);
            }
            stream_json__write_member(writer, key);
            stream_json_write_value(writer, x); /* NONE: null */
        }
    }
    return stream_json__walked(&k, status, writer);
}

STREAM_API stream_status stream_json_diff(stream_json_value from, stream_json_value to,
                                          stream_json_writer *writer) {
    return stream_json_diff_sorted(from, to, writer, NULL, 0);
}

STREAM_API stream_status stream_json_merge_sorted(stream_json_value target, stream_json_value patch,
                                                  stream_json_writer *writer, void *memory, size_t memory_len) {
    stream_json__walker k;
    stream_json_value key, x, y;
    stream_status status = STREAM_OK;
    uint32_t room, *const sorted = stream_json__room(memory, memory_len, &room);
    if (patch.type != STREAM_JSON_OBJECT) {
        if (patch.type == STREAM_JSON_NONE && writer->status == STREAM_OK) writer->status = STREAM_E_ARGUMENT;
        stream_json_write_value(writer, patch);
        return writer->status;
    }
    if (target.type != STREAM_JSON_OBJECT) memset(&target, 0, sizeof target);
    stream_json__walker_init(&k, target, patch, sorted, room);
    if (!patch.len || (target.type && !target.len))
        return stream_json__walked(&k, STREAM_E_TRUNCATED, writer);
    stream_json_write_object(writer);
    status = stream_json__walk_into(&k, target, patch);
    while (status == STREAM_OK && k.depth > 0 && writer->status == STREAM_OK) {
        status = stream_json__walk_next(&k, &key, &x, &y);
        if (status == STREAM_END) {
            stream_json_write_end(writer);
            if (k.depth > 0) status = STREAM_OK;
        } else if (status == STREAM_OK && y.type != STREAM_JSON_NULL) {
            stream_json__write_member(writer, key);
            if (y.type == STREAM_JSON_OBJECT) {
                stream_json_write_object(writer);
                status = stream_json__walk_into(&k, x, y);
            } else {
                stream_json_write_value(writer, y.type ? y : x);
            }
        }
    }
    return stream_json__walked(&k, status, writer);
}

STREAM_API stream_status stream_json_merge(stream_json_value target, stream_json_value patch,
                                           stream_json_writer *writer) {
    return stream_json_merge_sorted(target, patch, writer, NULL, 0);
}

#ifdef __cplusplus
}
#endif
#endif /* STREAM_JSON_IMPLEMENTATION */

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
