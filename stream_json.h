/*
stream_json.h 0.1.0 - JSON that arrives in fragments
SPDX-License-Identifier: MIT-0 (full text at the end of this file)

Finds complete JSON values in a stream of fragments, reads fields out of them without building a tree,
and writes JSON into your memory. Made for newline-delimited streams that also carry log lines, cut
records and records of any size: what is not JSON is handed out as noise, and never hides the value
that follows it.

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

LIMITS

    - Framing counts brackets and skips strings. What is framed and is not JSON shows when it is read (the
      reading functions say E_INVALID), or at once with `strict`, which checks the grammar in the same pass.
    - Checking and strict framing go STREAM_JSON_CHECK_DEPTH (1024) levels deep.
    - stream_json_pick takes at most 64 pointers of at most 32 steps.

CONFIGURATION (define before including, the same in every file)

    STREAM_JSON_IMPLEMENTATION  emit the function bodies here                  (one file only)
    STREAM_STATIC               make every function static                     (each file that includes)
    STREAM_API                  linkage of public functions                    extern
    STREAM_NO_MALLOC            no default allocator: give one, or memory      off
    STREAM_NO_SIMD              the scalar kernel only                         off
    STREAM_JSON_KERNEL          the kernel of a desc that names none           NULL: the best there is
    STREAM_MALLOC(n), STREAM_REALLOC(p, n), STREAM_FREE(p)
                                what the default allocator calls               malloc, realloc, free

CONTENTS (search for the banner)

    [base]      status, slices, items, decoders, the allocator hook (shared by the three headers)
    [frame]     complete values out of fragments; with `strict`, checked
    [read]      pointers, members, elements, strings, integers
    [check]     strictly, whole or in fragments
    [write]     JSON into caller memory
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

#ifndef STREAM_JSON_H
#define STREAM_JSON_H

#ifdef __cplusplus
extern "C" {
#endif

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
                   have become whole, and a bracket that could still have begun a value.
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
                   which begins with a number or a quote stays noise: `12 {}` is noise and an object.
                   CONCATENATED: wherever no noise precedes it; a bare one ends before white space,
                   a bracket, a comma or a quote. `12` at the end of a fragment may go on: MORE.

   In DOLLAR and CONCATENATED mode noise that began like a value may hold a line feed: `f() {` LF `x`. */

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
    size_t max_len;             /* longest value or noise handed out whole, bytes; 0: 1 MiB */
    size_t max_depth;           /* deepest nesting; 0: 512; with strict at most STREAM_JSON_CHECK_DEPTH */
    bool strict;                /* check as well: OK is a valid value, E_INVALID one that is not */
    size_t first_len;           /* first assembly buffer, bytes; 0: 4 KiB; doubles from there */
    void *memory;               /* NULL, or the assembly buffer: then nothing is ever allocated */
    size_t memory_len;          /* its size: max_len becomes at most memory_len - STREAM_JSON_SLACK */
    stream_allocator allocator; /* zero: malloc */
    const char *kernel;         /* NULL: the best this machine has; else "scalar", "sse2", "avx2", "neon" */
} stream_json_desc;

/* Assembly bytes above max_len: white space before noise, a CR, a value's first bytes after noise. */
#define STREAM_JSON_SLACK (64 + 1 + 32)

struct stream_json__scan;
typedef struct stream_json__kernel {
    const char *name;
    const char *(*follow)(struct stream_json__scan *s, const char *p, const char *e); /* frames */
    const char *(*check)(struct stream_json__scan *s, const char *p, const char *e);  /* and checks */
} stream_json__kernel;

/* Where in a block of 64 bytes the bytes stand that matter: one bit a byte, the first lowest. */
typedef struct stream_json__block {
    uint64_t quote, backslash, open, close, end;
} stream_json__block;

/* And those that matter to the grammar; brace: bit 5 is set, which tells { from [. */
typedef struct stream_json__rules {
    uint64_t colon, comma, brace, low, control, high;
} stream_json__rules;

/* What checking remembers of the value so far. */
typedef struct stream_json__grammar {
    uint64_t kinds[STREAM_JSON_CHECK_DEPTH / 64]; /* one bit a level: 1 object; the innermost 64 are in top */
    uint64_t top;
    size_t depth;
    uint16_t number;               /* of the number that goes on */
    uint8_t was;                   /* the last token */
    uint8_t hex, need, second;     /* digits, continuation bytes still to come; after which leads */
    uint8_t literal, literal_at;   /* first letter of the literal that goes on, letters so far */
    bool scalar;                   /* the last byte belongs to a number or literal */
    bool after_brace, after_comma; /* so the last colon, comma or bracket was a {, or a comma */
} stream_json__grammar;

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
    const stream_json__kernel *kernel;
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
    uint8_t batched;         /* values of scan.ends handed out */
    const char *ahead;       /* where the kernel stopped behind them */
    stream_json__scan scan;
} stream_json;

/* desc NULL: all defaults. OK or E_ARGUMENT; nothing is allocated until an item spans two loans. */
STREAM_API stream_status stream_json_init(stream_json *json, const stream_json_desc *desc);
/* Returns its memory; a zeroed object is fine. */
STREAM_API void stream_json_free(stream_json *json);
/* Ready for another stream from offset 0; keeps its memory and its limits. */
STREAM_API void stream_json_reset(stream_json *json);
/* Lends len bytes until next returns MORE. OK or E_STATE; takes constant time. */
STREAM_API stream_status stream_json_feed(stream_json *json, const void *data, size_t len);
/* The next item. ptr is valid until the next call on json. With END, item->flags says
   STREAM_UNTERMINATED when the last record had no terminator though its value was complete. */
STREAM_API stream_status stream_json_next(stream_json *json, stream_item *item);
/* No more input: next() now hands out the tail, then END. */
STREAM_API stream_status stream_json_finish(stream_json *json);
/* Bytes of the item that is still open, as of the last MORE. */
STREAM_API uint64_t stream_json_open(const stream_json *json);
/* After E_INVALID, until a later one: what is wrong, constant text, and the stream offset of the first byte that
   cannot stand where it stands. NULL when there was none. Only with strict. */
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

/* The value in json, white space around it left out; type NONE when there is none. */
STREAM_API stream_json_value stream_json_value_of(const char *json, size_t len);

/* Picks several values in one pass. pointers are RFC 6901: "/message/usage/output_tokens", "/content/0",
   "" for the whole; ~1 stands for / and ~0 for ~. out[i] answers pointers[i]; type NONE where there is
   nothing. Of duplicate keys the first that leads to a value counts, and the pass ends as soon as all
   are found. OK; MORE when json ends inside the value (what came before was picked, so the head of a
   cut record can be read; `{"n":12` picks no /n, for it may be 123); E_INVALID; E_ARGUMENT for over 64
   pointers, over 32 steps, a pointer that begins otherwise than with /. In every case out is filled. */
STREAM_API stream_status stream_json_pick(const char *json, size_t len, const char *const *pointers,
                                          size_t count, stream_json_value *out);

/* Walks the members of an object or the elements of an array, in the order they stand.

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
   E_INVALID; value is NONE unless OK. */
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
/* Whether a string, unescaped, is these bytes. Allocates and copies nothing. */
STREAM_API bool stream_json_equals(stream_json_value value, const char *text, size_t len);
/* An integer, exactly. E_TYPE when it is no number or has a fraction or exponent, E_RANGE, E_INVALID. */
STREAM_API stream_status stream_json_int64(stream_json_value value, int64_t *number);

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
/* The same for a whole text: OK, or MORE for the beginning of one, as every prefix of a valid text is (*offset
   is len then); E_INVALID or E_TOO_DEEP at *offset. */
STREAM_API stream_status stream_json_check(const char *json, size_t len, size_t *offset);

/* ==[ write ]========================================================================================
   JSON into caller memory, one value. Commas, colons and escapes are the writer's; a call out of order
   (a value where a key must be, an end that does not match) is remembered and writes nothing, so what
   comes out is never invalid. Strings that are not UTF-8 are mended with U+FFFD.

       stream_json_writer w;
       stream_json_writer_init(&w, dst, sizeof dst);
       stream_json_write_object(&w);
       stream_json_write_key(&w, "n", 1);
       stream_json_write_int64(&w, 42);
       stream_json_write_end(&w);
       if (stream_json_writer_finish(&w, &len) == STREAM_OK) send(dst, len);  */

#define STREAM_JSON_WRITER_DEPTH 256

typedef struct stream_json_writer {
    /* private */
    char *dst;
    size_t cap, len;
    stream_status status;
    unsigned depth;
    bool comma, after_key, done;
    uint8_t object[STREAM_JSON_WRITER_DEPTH / 8]; /* one bit a level: 1 object, 0 array */
} stream_json_writer;

/* dst may be NULL when cap is 0: then only the room needed is found out. */
STREAM_API void stream_json_writer_init(stream_json_writer *writer, char *dst, size_t cap);
STREAM_API void stream_json_write_object(stream_json_writer *writer);
STREAM_API void stream_json_write_array(stream_json_writer *writer);
/* Ends the innermost object or array. */
STREAM_API void stream_json_write_end(stream_json_writer *writer);
STREAM_API void stream_json_write_key(stream_json_writer *writer, const char *key, size_t len);
STREAM_API void stream_json_write_string(stream_json_writer *writer, const char *text, size_t len);
STREAM_API void stream_json_write_int64(stream_json_writer *writer, int64_t number);
STREAM_API void stream_json_write_uint64(stream_json_writer *writer, uint64_t number);
STREAM_API void stream_json_write_bool(stream_json_writer *writer, bool truth);
STREAM_API void stream_json_write_null(stream_json_writer *writer);
/* A value that is JSON already, byte for byte. It is the caller's word that it is one; NONE writes null. */
STREAM_API void stream_json_write_value(stream_json_writer *writer, stream_json_value value);
/* OK when one whole value was written and fits; FULL when it does not fit: *len is the room it needs;
   E_STATE for a call out of order or an unfinished value, E_TOO_DEEP. */
STREAM_API stream_status stream_json_writer_finish(const stream_json_writer *writer, size_t *len);

#ifdef __cplusplus
}
#endif
#endif /* STREAM_JSON_H */

/* ====================================================================================================
   IMPLEMENTATION
   ==================================================================================================== */
#if defined(STREAM_JSON_IMPLEMENTATION) && !defined(STREAM_JSON__IMPLEMENTED)
#define STREAM_JSON__IMPLEMENTED 1

/* Which vector kernels this compiler can build. x86-64 has SSE2 by definition; AVX2 is compiled for its own
   functions only and chosen at run time, so no compiler flag is asked for. */
#define STREAM__SIMD_X86 0
#define STREAM__SIMD_NEON 0
#if !defined(STREAM_NO_SIMD) && (defined(__GNUC__) || defined(__clang__))
#if defined(__x86_64__)
#undef STREAM__SIMD_X86
#define STREAM__SIMD_X86 1
#include <immintrin.h>
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
#undef STREAM__SIMD_NEON
#define STREAM__SIMD_NEON 1
#include <arm_neon.h>
#endif
#endif

#if defined(__GNUC__) || defined(__clang__)
#define STREAM__INLINE static inline __attribute__((always_inline, unused))
#elif defined(_MSC_VER)
#define STREAM__INLINE static __forceinline
#else
#define STREAM__INLINE static inline
#endif

/* What is called often but would crowd a loop's registers. */
#if defined(__GNUC__) || defined(__clang__)
#define STREAM__NOINLINE __attribute__((noinline))
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
/* With an instruction for it where the caller says that there is one. */
STREAM__INLINE unsigned stream_json__count(uint64_t bits, bool instruction) {
#if defined(__GNUC__) || defined(__clang__)
    if (instruction) return (unsigned)__builtin_popcountll(bits);
#else
    (void)instruction;
#endif
    bits -= bits >> 1 & UINT64_C(0x5555555555555555);
    bits = (bits & UINT64_C(0x3333333333333333)) + (bits >> 2 & UINT64_C(0x3333333333333333));
    return (unsigned)(((bits + (bits >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F)) * UINT64_C(0x0101010101010101) >> 56);
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

static const char *stream_json__literal(char first) {
    return first == 't' ? "true" : first == 'f' ? "false" : "null";
}

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
   comes from a vocabulary of three words that each kind of machine has (which bytes equal c, which are at most
   c, which lie in a range once bit 5 is set); everything else is arithmetic on masks and is the same code for
   all. The idea is Langdale and Lemire's ("Parsing Gigabytes of JSON per Second", VLDB Journal 28, 2019); here
   it is carried across any cut, ends at any bracket, and checks the grammar without a second pass.

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

/* The vocabulary: 64 bytes loaded, and what can be asked of them. */
#if STREAM__SIMD_X86

/* Hides where a constant comes from, so that it stays in a register through a loop: gcc 12 else makes each anew,
   three instructions every time. */
#define STREAM__KEEP(x) __asm__("" : "+x"(x))

#define STREAM__AVX2 __attribute__((target("avx2,popcnt,bmi,bmi2,lzcnt,pclmul")))

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
STREAM__AVX2 STREAM__INLINE uint64_t stream__bit5_avx2(stream__v64_avx2 v) {
    return stream__bits_avx2(_mm256_slli_epi16(v.a, 2), _mm256_slli_epi16(v.b, 2));
}
STREAM__AVX2 STREAM__INLINE uint64_t stream__parity_avx2(uint64_t x) {
    return (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(_mm_set_epi64x(0, (int64_t)x), _mm_set1_epi32(-1), 0));
}

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
STREAM__INLINE uint64_t stream__bit5_sse2(stream__v64_sse2 v) {
    return stream__bits_sse2(_mm_slli_epi16(v.v[0], 2), _mm_slli_epi16(v.v[1], 2), _mm_slli_epi16(v.v[2], 2),
                             _mm_slli_epi16(v.v[3], 2));
}
STREAM__INLINE uint64_t stream__parity_sse2(uint64_t x) { return stream__parity_any(x); }

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
STREAM__INLINE uint64_t stream__bit5_neon(stream__v64_neon v) {
    uint8x16_t x = vdupq_n_u8(0x20);
    return stream__bits_neon(vtstq_u8(v.v[0], x), vtstq_u8(v.v[1], x), vtstq_u8(v.v[2], x), vtstq_u8(v.v[3], x));
}
STREAM__INLINE uint64_t stream__parity_neon(uint64_t x) { return stream__parity_any(x); }

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
STREAM__INLINE uint64_t stream__bit5_scalar(stream__v64_scalar v) {
    uint64_t bits = 0;
    int i;
    for (i = 0; i < 8; i++) bits |= stream__gather(v.w[i] << 2) << (8 * i);
    return bits;
}
STREAM__INLINE uint64_t stream__parity_scalar(uint64_t x) { return stream__parity_any(x); }

/* The lowest n bits, n from 1 to 64. */
STREAM__INLINE uint64_t stream_json__below(unsigned n) { return ~UINT64_C(0) >> (64 - n); }

/* The bytes that a backslash escapes. Runs of backslashes escape every second byte; a run that begins at an
   odd place is found by the carry of an addition (Langdale and Lemire). */
STREAM__INLINE uint64_t stream_json__escaped(uint64_t backslash, uint64_t carry) {
    const uint64_t even = UINT64_C(0x5555555555555555);
    uint64_t active, follows, odd_runs;
    if ((backslash | carry) == 0) return 0;
    active = backslash & ~carry;
    follows = active << 1 | carry;
    odd_runs = active & ~even & ~follows;
    return (even ^ ((odd_runs + active) << 1)) & follows;
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
    unsigned from, to;
    bool done; /* the value, or its record, ends here */
} stream_json__stretch;

/* Depth over the brackets in the order they stand; stops at the one that closes the value and says its
   place, 64 when none does. */
static unsigned stream_json__walk_brackets(stream_json__scan *s, uint64_t open, uint64_t close) {
    uint64_t rest;
    for (rest = open | close; rest; rest &= rest - 1) {
        const unsigned at = stream_json__lowest(rest);
        if (open >> at & 1) {
            if (++s->depth > s->deepest) s->deepest = s->depth;
        } else if (--s->depth == 0) {
            return at;
        }
    }
    return 64;
}

/* Takes a stretch in which something may end: the value, its record, the loan, or, at a backslash outside
   strings, which escapes nothing, the sums. `stop` has these but for the brackets. */
STREAM__INLINE void stream_json__take(stream_json__scan *s, stream_json__stretch *t, uint64_t stop, bool popcnt) {
    unsigned at = 64;
    if (stop) {
        const bool end = (stop & (0 - stop) & s->block.end) != 0;
        stop &= 0 - stop;
        t->to = stream_json__lowest(stop) + !end;
        t->done = end || (stop & t->quote);
        t->valid &= end ? stop - 1 : stop | (stop - 1);
        t->open &= t->valid;
        t->close &= t->valid;
    }
    if (t->open == 0 && t->close && stream_json__count(t->close, popcnt) == s->depth)
        at = stream_json__highest(t->close); /* the end of most records */
    else
        at = stream_json__walk_brackets(s, t->open, t->close);
    if (at < 64) {
        s->depth = 0;
        t->done = true;
        t->to = at + 1;
        t->valid &= stream_json__below(at + 1);
    } else if (stop) {
        s->in_string = s->escaped = false;
        if (t->done && (stop & t->quote)) s->depth = 0;
    } else {
        s->in_string = t->string >> 63;
        s->escaped = t->to == 64 ? (s->block.backslash & ~t->escaped) >> 63 : t->escaped >> t->to & 1;
    }
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

/* The bytes from base to e, fewer than 64, with zeros behind them. */
STREAM__INLINE const char *stream_json__padded(char copy[64], const char *base, const char *e) {
    memset(copy, 0, 64);
    memcpy(copy, base, (size_t)(e - base));
    return copy;
}

/* How a kernel tells rare bytes: one mask for each of `total` characters, the first `equal` of them for the
   bytes that equal it, the others for those that are at most it. */
typedef void (*stream_json__masks)(const char *bytes, const char *set, unsigned equal, unsigned total,
                                   uint64_t *masks);

/* ==[ grammar: implementation ]======================================================================
   The grammar of RFC 8259 on masks. Nearly all of it is said by what stands before a token: a value follows
   [ : or a comma, a comma follows a value, a colon follows a string. What is left needs to know whether an
   object or an array is innermost (`kinds`, one bit a level): after a comma in an object stands a name, and
   between a name and the next comma or bracket stands exactly one colon. Each rule yields the bytes that break
   it; the first of them all is the fault, and it is the same byte a parser that goes byte by byte would stop
   at, because nothing before it was wrong.

   Rare bytes (white space between tokens, numbers, literals, escapes, characters beyond ASCII) are classified
   only in blocks that have them. */

/* What the last token was, as of the byte before a stretch. */
enum {
    STREAM_JSON__WAS_TEXT = 0, /* the inside of a string */
    STREAM_JSON__WAS_BRACE,
    STREAM_JSON__WAS_BRACKET,
    STREAM_JSON__WAS_COLON,
    STREAM_JSON__WAS_COMMA,
    STREAM_JSON__WAS_STRING,
    STREAM_JSON__WAS_VALUE /* any other value */
};

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

/* As behind the first token of a value: its bracket, or a bare first element of an array. */
static void stream_json__grammar_init(stream_json__grammar *g, uint8_t was) {
    g->top = was == STREAM_JSON__WAS_BRACE;
    g->depth = 1;
    g->number = 0;
    g->was = was;
    g->hex = g->need = g->second = g->literal = g->literal_at = 0;
    g->scalar = g->after_comma = false;
    g->after_brace = was == STREAM_JSON__WAS_BRACE;
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

/* UTF-8 (RFC 3629, section 4): continuation bytes stand just where a lead byte asks for them, and the second
   byte of four leads has narrower bounds. */
static uint64_t stream_json__check_utf8(stream_json__grammar *g, stream_json__masks masks, const char *bytes,
                                        const stream_json__stretch *t) {
    const unsigned from = t->from, to = t->to;
    const uint64_t pending = (uint64_t)g->need << from, valid = t->valid;
    enum { E0, ED, F0, F4, TO_7F, TO_8F, TO_9F, TO_BF, TO_C1, TO_DF, TO_EF, TO_F4, ALL };
    uint64_t m[ALL], lead, lead34, lead4, need, tail, fault;
    masks(bytes, "\xE0\xED\xF0\xF4\x7F\x8F\x9F\xBF\xC1\xDF\xEF\xF4", TO_7F, ALL, m);
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

/* What a backslash may stand before, and the four digits of \u. */
static uint64_t stream_json__check_escapes(stream_json__grammar *g, stream_json__masks masks, const char *bytes,
                                           const stream_json__stretch *t, uint64_t escaped) {
    const unsigned to = t->to;
    const uint64_t pending = (uint64_t)g->hex << t->from;
    uint64_t m[15], u, need, hex, fault;
    masks(bytes, "u\"\\/bfnrt/9@F`f", 9, 15, m);
    u = escaped & m[0];
    need = u << 1 | u << 2 | u << 3 | u << 4 | pending;
    hex = (m[10] & ~m[9]) | (m[12] & ~m[11]) | (m[14] & ~m[13]);
    fault = (escaped & ~(m[0] | m[1] | m[2] | m[3] | m[4] | m[5] | m[6] | m[7] | m[8])) | (need & ~hex);
    g->hex = (uint8_t)(stream_json__carry_after(u, 1, to) | stream_json__carry_after(u, 2, to) |
                       stream_json__carry_after(u, 3, to) | stream_json__carry_after(u, 4, to) |
                       (to < 4 ? pending >> to : 0));
    return fault;
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
   may not run into another. */
static uint64_t stream_json__check_numbers(stream_json__grammar *g, const uint64_t *m,
                                           const stream_json__stretch *t, uint64_t number) {
    const unsigned was = g->number, from = t->from, last = t->to - 1;
    uint64_t starts = number & ~stream_json__next_to(number, was, STREAM_JSON__IS_NUMBER, from);
    uint64_t digit, minus, plus, point, e, zero, sign, after_digit, after_minus, after_point, after_e, after_sign;
    uint64_t fraction, exponent, end_fraction, end_exponent, fault;
    digit = m[7] & ~m[6] & number;
    minus = m[1] & number;
    plus = m[2] & number;
    point = m[3] & number;
    e = (m[4] | m[5]) & number;
    after_digit = stream_json__next_to(digit, was, STREAM_JSON__IS_DIGIT, from);
    after_minus = stream_json__next_to(minus & starts, was, STREAM_JSON__IS_MINUS, from);
    after_point = stream_json__next_to(point, was, STREAM_JSON__IS_POINT, from);
    after_e = stream_json__next_to(e, was, STREAM_JSON__IS_E, from);
    sign = (minus | plus) & after_e;
    after_sign = stream_json__next_to(sign, was, STREAM_JSON__IS_SIGN, from);
    zero = m[0] & number & (starts | after_minus);
    fraction = after_point | stream_json__next_to(0, was, STREAM_JSON__IN_FRACTION, from);
    exponent = (after_e & digit) | after_sign | stream_json__next_to(0, was, STREAM_JSON__IN_EXPONENT, from);
    end_fraction = stream_json__move_over(fraction, digit);
    end_exponent = stream_json__move_over(exponent, digit);
    fault = (number & ~(digit | minus | plus | point | e)) | (minus & ~(starts | after_e)) | (plus & ~after_e) |
            ((point | e) & ~after_digit) | ((after_minus | after_point | after_sign) & ~digit) |
            (after_e & ~(digit | sign)) | (end_fraction & point) | (end_exponent & (point | e)) |
            (digit & stream_json__next_to(zero, was, STREAM_JSON__IS_ZERO, from));
    g->number = 0;
    if (number >> last & 1) {
        unsigned is = STREAM_JSON__IS_NUMBER;
        if (digit >> last & 1) {
            /* Where its digits begin tells what they are digits of. */
            const uint64_t others = ~digit & t->valid;
            const uint64_t begin = others ? UINT64_C(2) << stream_json__highest(others) : UINT64_C(1) << from;
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

/* Tokens that are neither strings nor structure. */
static uint64_t stream_json__check_scalars(stream_json__grammar *g, stream_json__masks masks, const char *bytes,
                                           const stream_json__stretch *t, uint64_t scalar) {
    uint64_t m[8], fault = 0, starts = scalar & ~(scalar << 1 | (uint64_t)g->scalar << t->from);
    masks(bytes, "0-+.eE/9", 6, 8, m);
    starts &= ~((m[7] & ~m[6]) | m[1]);
    if (starts || g->literal) fault = stream_json__check_literals(g, bytes, t, starts, &scalar);
    if (scalar || g->number) fault |= stream_json__check_numbers(g, m, t, scalar);
    return fault;
}

/* What stands outside strings. */
STREAM__INLINE uint64_t stream_json__check_tokens(stream_json__grammar *g, stream_json__masks masks,
                                                  const char *bytes, const stream_json__rules *r,
                                                  const stream_json__stretch *t) {
    const uint64_t valid = t->valid, brackets = t->open | t->close, brace = r->brace;
    const uint64_t opening = t->quote & t->string & valid, closing = t->quote & ~t->string & valid;
    const uint64_t outside = ~(t->string | closing) & valid;
    const uint64_t colon = r->colon & outside, comma = r->comma & outside;
    const uint64_t marks = brackets | colon | comma, others = ~marks & valid;
    const uint64_t low = r->low & outside, scalar = outside & ~(marks | low);
    const uint64_t left_brace = t->open & brace, left_bracket = t->open & ~brace;
    const uint64_t first = UINT64_C(1) << t->from, tokens = valid & ~low;
    uint64_t after_brace = left_brace << 1, after_bracket = left_bracket << 1, after_comma = comma << 1;
    uint64_t after_colon = colon << 1, after_string = closing << 1, after_value = (t->close | scalar) << 1;
    uint64_t object = 0 - (g->top & 1), first_name, next_name, ready, whole, fault = 0;

    switch (g->was) {
    case STREAM_JSON__WAS_BRACE: after_brace |= first; break;
    case STREAM_JSON__WAS_BRACKET: after_bracket |= first; break;
    case STREAM_JSON__WAS_COLON: after_colon |= first; break;
    case STREAM_JSON__WAS_COMMA: after_comma |= first; break;
    case STREAM_JSON__WAS_STRING: after_string |= first; break;
    case STREAM_JSON__WAS_VALUE: after_value |= first; break;
    default: break;
    }
    if (low) {
        uint64_t m[4], space;
        masks(bytes, " \n\r\t", 4, 4, m);
        space = (m[0] | m[1] | m[2] | m[3]) & low;
        fault = low & ~space;
        after_brace = stream_json__move_over(after_brace, space);
        after_bracket = stream_json__move_over(after_bracket, space);
        after_colon = stream_json__move_over(after_colon, space);
        after_comma = stream_json__move_over(after_comma, space);
        after_string = stream_json__move_over(after_string, space);
        after_value = stream_json__move_over(after_value, space);
    }
    ready = after_bracket | after_colon | after_comma; /* for a value */
    whole = after_string | after_value;                /* what a comma or a closing bracket may follow */
    /* The first colon, comma or bracket after each { and after each comma. */
    first_name = ((left_brace << 1 | (uint64_t)g->after_brace << t->from) + others) & marks;
    next_name = ((comma << 1 | (uint64_t)g->after_comma << t->from) + others) & marks;
    if (brackets) { /* object or array, at each byte: from each bracket on, what is then innermost */
        uint64_t rest = brackets, now = object, top = g->top;
        size_t depth = g->depth;
        do {
            const uint64_t bit = rest & (0 - rest), was = now;
            if (bit & t->open) {
                if (depth % 64 == 0 && depth) g->kinds[depth / 64 - 1] = top;
                top = top << 1 | ((bit & brace) != 0);
                depth++;
            } else {
                depth--;
                top >>= 1;
                if (depth % 64 == 0 && depth) top = g->kinds[depth / 64 - 1];
            }
            now = 0 - (top & 1);
            object ^= (was ^ now) & ~(bit | (bit - 1));
            rest &= rest - 1;
        } while (rest);
        g->top = top;
        g->depth = depth;
    }
    fault |= ((t->open | (scalar & ~(scalar << 1 | (uint64_t)g->scalar << t->from))) & ~ready) |
             (opening & ~(ready | after_brace)) |
             (t->close & ((brace ^ object) | ~(whole | (brace & after_brace) | (~brace & after_bracket)))) |
             (comma & ~whole) | (colon & ~(after_string & object & (first_name | next_name))) |
             (after_comma & object & ~opening) | (first_name & ~colon & ~(t->close & after_brace)) |
             (next_name & object & ~colon);
    if (scalar || g->number || g->literal) fault |= stream_json__check_scalars(g, masks, bytes, t, scalar);

    if (marks) {
        const uint64_t last = UINT64_C(1) << stream_json__highest(marks);
        g->after_brace = (left_brace & last) != 0;
        g->after_comma = (comma & last) != 0;
    }
    if (tokens) {
        const uint64_t last = UINT64_C(1) << stream_json__highest(tokens);
        g->was = last & t->string      ? STREAM_JSON__WAS_TEXT
                 : last & closing      ? STREAM_JSON__WAS_STRING
                 : last & comma        ? STREAM_JSON__WAS_COMMA
                 : last & colon        ? STREAM_JSON__WAS_COLON
                 : last & left_brace   ? STREAM_JSON__WAS_BRACE
                 : last & left_bracket ? STREAM_JSON__WAS_BRACKET
                                       : STREAM_JSON__WAS_VALUE;
    }
    g->scalar = scalar >> (t->to - 1) & 1;
    return fault & valid;
}

/* What may stand after the token `was`. */
static const char *stream_json__expected(unsigned was) {
    switch (was) {
    case STREAM_JSON__WAS_BRACE: return "expected a name or }";
    case STREAM_JSON__WAS_BRACKET: return "expected a value or ]";
    case STREAM_JSON__WAS_COLON: return "expected a value";
    case STREAM_JSON__WAS_COMMA: return "expected a value, in an object a name and its value";
    case STREAM_JSON__WAS_STRING: return "expected a comma, a closing bracket that matches or, after a name, a colon";
    default: return "expected a comma or a closing bracket that matches";
    }
}

/* Says where and why, once per value, from what the grammar knew before the stretch. */
static void stream_json__note(stream_json__scan *s, const stream_json__grammar *before, const char *bytes,
                              const char *base, const stream_json__stretch *t, uint64_t text, uint64_t tokens) {
    const unsigned at = stream_json__lowest(text | tokens);
    unsigned i = at, begin = at;
    s->checking = s->batching = false;
    s->fault = base + at;
    if (text >> at & 1) {
        bool digits = at - t->from < 4 && (before->hex >> (at - t->from) & 1);
        for (i = 1; i <= 4 && i <= at; i++) digits |= (t->escaped >> (at - i) & 1) && bytes[at - i] == 'u';
        if (digits) s->message = "expected four hexadecimal digits";
        else if (t->escaped >> at & 1) s->message = "no such escape";
        else if ((unsigned char)bytes[at] < 0x20) s->message = "control character in a string";
        else s->message = "not UTF-8";
        return;
    }
    while (begin > t->from && stream_json__in_token(bytes[begin - 1])) begin--;
    if (begin < at || stream_json__in_token(bytes[at])) {
        uint8_t state = stream_json__token_begin(bytes[begin]), step = 1;
        for (i = begin + 1; i < at && state; i++)
            if (!stream_json__token_step(&state, &step, bytes[begin], bytes[i])) state = 0;
        if (state == 0 || (begin < at && !stream_json__token_whole(state, step, bytes[begin])) ||
            (begin < at && stream_json__in_token(bytes[at])) || (begin == t->from && before->scalar)) {
            s->message = "neither a number nor true, false or null";
            return;
        }
        i = begin < at ? at : begin;
    }
    while (i > t->from && stream_json__is_space(bytes[i - 1])) i--;
    if (i == t->from) s->message = stream_json__expected(before->was);
    else if (bytes[i - 1] == '{') s->message = stream_json__expected(STREAM_JSON__WAS_BRACE);
    else if (bytes[i - 1] == '[') s->message = stream_json__expected(STREAM_JSON__WAS_BRACKET);
    else if (bytes[i - 1] == ':') s->message = stream_json__expected(STREAM_JSON__WAS_COLON);
    else if (bytes[i - 1] == ',') s->message = stream_json__expected(STREAM_JSON__WAS_COMMA);
    else if (bytes[i - 1] == '"') s->message = stream_json__expected(STREAM_JSON__WAS_STRING);
    else s->message = stream_json__expected(STREAM_JSON__WAS_VALUE);
}

/* Checks a stretch of the block at base: false when a byte in it cannot stand where it stands. */
STREAM__INLINE bool stream_json__valid(stream_json__scan *s, stream_json__masks masks, const char *bytes,
                                       const char *base, const stream_json__stretch *t, bool inside) {
    stream_json__grammar *g = &s->grammar;
    const uint64_t escaped = t->escaped & t->string & t->valid;
    uint64_t text = s->rules.control & t->string & t->valid, tokens = 0;
    stream_json__grammar before;
    before.was = g->was;
    before.hex = g->hex;
    before.scalar = g->scalar;
    if ((s->rules.high & t->valid) || g->need) text |= stream_json__check_utf8(g, masks, bytes, t) & t->valid;
    if (escaped || g->hex) text |= stream_json__check_escapes(g, masks, bytes, t, escaped) & t->valid;
    if (!inside) tokens = stream_json__check_tokens(g, masks, bytes, &s->rules, t);
    if ((text | tokens) == 0) return true;
    stream_json__note(s, &before, bytes, base, t, text, tokens);
    return false;
}

/* A bracket in a stretch is one too deep: what stands before it is checked, then it is the fault. */
static void stream_json__note_depth(stream_json__scan *s, stream_json__masks masks, const char *bytes,
                                    const char *base, const stream_json__stretch *t) {
    stream_json__stretch head = *t;
    size_t depth = s->grammar.depth;
    uint64_t rest;
    for (rest = t->open | t->close; rest; rest &= rest - 1) {
        if (!(t->open >> stream_json__lowest(rest) & 1)) depth--;
        else if (depth++ == s->max_depth) break;
    }
    head.to = stream_json__lowest(rest);
    if (head.to > head.from) {
        head.valid &= stream_json__below(head.to);
        head.open &= head.valid;
        head.close &= head.valid;
        if (!stream_json__valid(s, masks, bytes, base, &head, false)) return;
    }
    s->checking = s->batching = false;
    s->fault = base + head.to;
    s->message = "nested too deep";
}

/* One kernel. `masks` tells rare bytes; the loop goes over blocks of 64 bytes, counted from the loan's beginning,
   to frame and, with CHECK, to check as well. The masks of the last block are kept: the next value begins in it,
   and no byte is classified twice. What is short of a block is copied to one first, so nothing past the loan is
   read. Two things are said early because they are most of the work: a block inside a string, and one in which
   nothing ends. */
#define STREAM_JSON__MASKS(K, TARGET)                                                                                 \
    TARGET static void stream_json__masks_##K(const char *bytes, const char *set, unsigned equal, unsigned total,     \
                                              uint64_t *masks) {                                                      \
        const stream__v64_##K v = stream__load_##K(bytes);                                                            \
        unsigned i;                                                                                                   \
        for (i = 0; i < equal; i++) masks[i] = stream__is_##K(v, stream__all_##K((unsigned char)set[i]));             \
        for (; i < total; i++) masks[i] = stream__upto_##K(v, stream__all_##K((unsigned char)set[i]));                \
    }

#define STREAM_JSON__EXAMINE(K, TARGET)                                                                               \
    TARGET STREAM__NOINLINE static bool stream_json__examine_##K(stream_json__scan *s, const char *bytes, const char *base,            \
                                                const stream_json__stretch *t) {                                      \
        return stream_json__valid(s, stream_json__masks_##K, bytes, base, t, false);                                  \
    }                                                                                                                 \
    TARGET STREAM__NOINLINE static bool stream_json__inside_##K(stream_json__scan *s, const char *bytes, const stream_json__stretch *t) {\
        return stream_json__valid(s, stream_json__masks_##K, bytes, bytes, t, true);                                  \
    }

#define STREAM_JSON__LOOP(name, K, TARGET, POPCNT, CHECK)                                                             \
    TARGET static const char *name(stream_json__scan *s, const char *p, const char *e) {                              \
        const stream__c64_##K quote_ = stream__all_##K('"'), backslash_ = stream__all_##K('\\');                      \
        const stream__c64_##K open_ = stream__all_##K('{'), close_ = stream__all_##K('}');                            \
        const stream__c64_##K end_ = stream__all_##K((unsigned char)s->end_byte), bit5_ = stream__all_##K(0x20);      \
        const uint64_t ends = s->end_byte ? ~UINT64_C(0) : 0, spared = s->ends_strings ? 0 : ~UINT64_C(0);            \
        const uint64_t lone = s->lone ? ~UINT64_C(0) : 0;                                                             \
        const char *base = p - ((size_t)(p - s->loan) & 63), *bytes = base;                                           \
        const char *const full = s->loan + ((size_t)(e - s->loan) & ~(size_t)63); /* the loan's last whole block ends */\
        uint64_t in_string = 0 - (uint64_t)s->in_string, was_escape = s->escaped;                                     \
        uint64_t quote, backslash, end, open, close, escaped, stop, valid;                                            \
        size_t depth = s->depth, opens, closes;                                                                       \
        stream__v64_##K v;                                                                                            \
        stream_json__stretch t;                                                                                       \
        char copy[64];                                                                                                \
        if (!CHECK && (e - p < 16 || s->lone)) return stream_json__follow_bytes(s, p, e);                             \
        t.from = (unsigned)(p - base);                                                                                \
        t.done = false;                                                                                               \
        if (base == s->block_at) {                                                                                    \
            if (CHECK && base >= full) bytes = stream_json__padded(copy, base, e);                                    \
            quote = s->block.quote;                                                                                   \
            backslash = s->block.backslash;                                                                           \
            end = s->block.end;                                                                                       \
            open = s->block.open;                                                                                     \
            close = s->block.close;                                                                                   \
            goto partial;                                                                                             \
        }                                                                                                             \
        while (base < e) {                                                                                            \
            bytes = base < full ? base : stream_json__padded(copy, base, e);                                          \
            v = stream__load_##K(bytes);                                                                              \
            quote = stream__is_##K(v, quote_);                                                                        \
            backslash = stream__is_##K(v, backslash_);                                                                \
            end = stream__is_##K(v, end_) & ends;                                                                     \
            if (CHECK) {                                                                                              \
                s->rules.control = stream__upto_##K(v, stream__all_##K(0x1F));                                        \
                s->rules.high = stream__high_##K(v);                                                                  \
            }                                                                                                         \
            if (in_string && base < full && t.from == 0 && (end & ~spared) == 0) {                                    \
                escaped = stream_json__escaped(backslash, was_escape);                                                \
                if ((quote & ~escaped) == 0) {                                                                        \
                    was_escape = (backslash & ~escaped) >> 63;                                                        \
                    base += 64;                                                                                       \
                    if (CHECK) {                                                                                      \
                        t.string = t.valid = ~UINT64_C(0);                                                            \
                        t.escaped = escaped;                                                                          \
                        t.to = 64;                                                                                    \
                        if (!stream_json__inside_##K(s, bytes, &t)) break;            \
                    }                                                                                                 \
                    continue;                                                                                         \
                }                                                                                                     \
            }                                                                                                         \
            if (CHECK) {                                                                                              \
                s->rules.colon = stream__is_##K(v, stream__all_##K(':'));                                             \
                s->rules.comma = stream__is_##K(v, stream__all_##K(','));                                             \
                s->rules.low = stream__upto_##K(v, bit5_);                                                            \
                s->rules.brace = stream__bit5_##K(v);                                                                 \
            }                                                                                                         \
            v = stream__or_##K(v, bit5_);                                                                             \
            open = stream__is_##K(v, open_);                                                                          \
            close = stream__is_##K(v, close_);                                                                        \
            if (t.from) {                                                                                             \
            partial:                                                                                                  \
                valid = ~UINT64_C(0) << t.from;                                                                       \
                quote &= valid;                                                                                       \
                backslash &= valid;                                                                                   \
                end &= valid;                                                                                         \
                open &= valid;                                                                                        \
                close &= valid;                                                                                       \
            }                                                                                                         \
            t.escaped = stream_json__escaped(backslash, was_escape);                                                  \
            t.quote = quote & ~t.escaped;                                                                             \
            t.string = stream__parity_##K(t.quote) ^ in_string;                                                       \
            t.open = open & ~t.string;                                                                                \
            t.close = close & ~t.string;                                                                              \
            stop = (end & ~(t.string & spared)) | (backslash & ~t.string);                                            \
            if (CHECK) stop |= t.quote & lone & ~t.string;                                                            \
            opens = stream_json__count(t.open, POPCNT);                                                               \
            closes = stream_json__count(t.close, POPCNT);                                                             \
            if (stop == 0 && depth > closes && depth + opens <= s->max_depth && base < full) {                        \
                depth += opens - closes; /* can neither reach 0 nor the limit in here */                              \
                in_string = 0 - (t.string >> 63);                                                                     \
                was_escape = (backslash & ~t.escaped) >> 63;                                                          \
                base += 64;                                                                                           \
                if (CHECK) {                                                                                          \
                    t.to = 64;                                                                                        \
                    t.valid = ~UINT64_C(0) << t.from;                                                                 \
                    if (!stream_json__examine_##K(s, bytes, base - 64, &t)) break;           \
                }                                                                                                     \
                t.from = 0;                                                                                           \
                continue;                                                                                             \
            }                                                                                                         \
            {                                                                                                         \
                stream_json__stretch cold = t; /* by value, so that t stays in registers */                           \
                s->block.quote = quote;                                                                               \
                s->block.backslash = backslash;                                                                       \
                s->block.end = end;                                                                                   \
                s->block.open = open;                                                                                 \
                s->block.close = close;                                                                               \
                s->block_at = base;                                                                                   \
                s->depth = depth;                                                                                     \
                cold.to = base < full ? 64 : (unsigned)(e - base);                                                    \
                cold.valid = ~UINT64_C(0) << t.from & stream_json__below(cold.to);                                    \
                stream_json__take(s, &cold, stop, POPCNT);                                                            \
                if (CHECK && s->deepest > s->max_depth)                                                               \
                    stream_json__note_depth(s, stream_json__masks_##K, bytes, base, &cold);                           \
                else if (CHECK && cold.to > cold.from)                                                                \
                    (void)stream_json__examine_##K(s, bytes, base, &cold);                   \
                p = base + cold.to;                                                                                   \
                if (cold.done && stream_json__goes_on(s, p, e)) {                                                     \
                    if (CHECK) stream_json__grammar_init(&s->grammar, STREAM_JSON__WAS_BRACE);                        \
                    cold.to += 2; /* the record's end, the bracket */                                                 \
                } else if (cold.done || p == e) {                                                                     \
                    return p;                                                                                         \
                } else if (CHECK && !s->checking) {                                                                   \
                    return stream_json__follow_##K(s, p, e);                                                          \
                }                                                                                                     \
                depth = s->depth;                                                                                     \
                in_string = 0 - (uint64_t)s->in_string;                                                               \
                was_escape = s->escaped;                                                                              \
                t.from = cold.to & 63;                                                                                \
                if (cold.to < 64) goto partial;                                                                       \
                base += 64;                                                                                           \
            }                                                                                                         \
        }                                                                                                             \
        s->depth = depth;                                                                                             \
        s->in_string = in_string != 0;                                                                                \
        s->escaped = was_escape != 0;                                                                                 \
        return CHECK && !s->checking && base < e ? stream_json__follow_##K(s, base, e) : base;                        \
    }

#define STREAM_JSON__KERNEL(K, TARGET, POPCNT)                                                                        \
    STREAM_JSON__MASKS(K, TARGET)                                                                                     \
    STREAM_JSON__EXAMINE(K, TARGET)                                                                                   \
    STREAM_JSON__LOOP(stream_json__follow_##K, K, TARGET, POPCNT, 0)                                                  \
    STREAM_JSON__LOOP(stream_json__check_##K, K, TARGET, POPCNT, 1)                                                   \
    static const stream_json__kernel stream_json__##K = {#K, stream_json__follow_##K, stream_json__check_##K};

STREAM_JSON__KERNEL(scalar, , false)
#if STREAM__SIMD_X86
STREAM_JSON__KERNEL(sse2, , false)
STREAM_JSON__KERNEL(avx2, STREAM__AVX2, true)
#elif STREAM__SIMD_NEON
STREAM_JSON__KERNEL(neon, , true)
#endif

/* The one place where a kernel is chosen: by name, or the widest that this machine has. NULL when the name
   is none of them. */
static const stream_json__kernel *stream_json__choose(const char *name) {
    static const stream_json__kernel *const all[] = {
#if STREAM__SIMD_X86
        &stream_json__avx2, &stream_json__sse2,
#elif STREAM__SIMD_NEON
        &stream_json__neon,
#endif
        &stream_json__scalar};
    size_t i;
    for (i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (name && !stream__same_text(name, all[i]->name)) continue;
#if STREAM__SIMD_X86
        if (i == 0 && !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt") &&
                        __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("pclmul")))
            continue;
#endif
        return all[i];
    }
    return NULL;
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
    const stream_json__kernel *kernel;
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    kernel = stream_json__choose(d.kernel ? d.kernel : STREAM_JSON_KERNEL);
    if (d.mode > STREAM_JSON_RS || !kernel) return STREAM_E_ARGUMENT;
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
    json->max_len = d.max_len;
    json->mode = d.mode;
    json->strict = d.strict;
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
        uint8_t was = STREAM_JSON__WAS_VALUE;
        if (json->state != STREAM_JSON__FIRST)
            was = json->first == '{' ? STREAM_JSON__WAS_BRACE : STREAM_JSON__WAS_BRACKET;
        stream_json__grammar_init(g, was);
    }
    json->state = state;
}

/* Lets the kernel go on from p, and takes note of what it found wrong. */
static const char *stream_json__run(stream_json *json, const char *p, const char *e) {
    stream_json__scan *s = &json->scan;
    s->batching = json->mode == STREAM_JSON_NDJSON && json->state == STREAM_JSON__VALUE &&
                  s->checking == json->strict;
    p = (s->checking ? json->kernel->check : json->kernel->follow)(s, p, e);
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

STREAM_API stream_status stream_json_next(stream_json *json, stream_item *item) {
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
    *offset = json->fault;
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

/* The first quote or backslash at p or behind it, among at most 64 bytes; else where it gave up. */
STREAM__INLINE const char *stream_json__mark(const char *p, const char *e) {
    const char *stop = e - p > 64 ? p + 64 : e;
#if STREAM__SIMD_X86
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
    for (; stop - p >= 16; p += 16) {
        const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        const unsigned hit = (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash)));
        if (hit) return p + stream_json__lowest(hit);
    }
#elif STREAM__LITTLE_ENDIAN
    for (; stop - p >= 8; p += 8) {
        uint64_t v, q, b, hit;
        memcpy(&v, p, 8);
        q = v ^ STREAM__BYTES('"');
        b = v ^ STREAM__BYTES('\\');
        /* The lowest byte that is zero in either; what stands above a zero byte may be wrong. */
        hit = (((q - STREAM__BYTES(1)) & ~q) | ((b - STREAM__BYTES(1)) & ~b)) & STREAM__BYTES(0x80);
        if (hit) return p + stream_json__lowest(hit) / 8;
    }
#endif
    while (p < stop && *p != '"' && *p != '\\') p++;
    return p;
}

/* From the opening quote: past the closing one, or NULL when the bytes end before it. A long string is left to
   memchr, and a quote it finds closes the string unless an odd number of backslashes stands before it. Every byte
   is passed once, but for the backslashes before a quote. *escapes: whether one may be in it. */
STREAM__INLINE const char *stream_json__string_end(const char *p, const char *e, bool *escapes) {
    const char *const begin = ++p, *near = e - p > 64 ? p + 64 : e;
    *escapes = false;
    while (p < near) {
        p = stream_json__mark(p, near);
        if (p == near) break;
        if (*p == '"') return p + 1;
        *escapes = true;
        p += 2;
    }
    if (p > e) return NULL;
    while (p < e) {
        const char *quote = (const char *)memchr(p, '"', (size_t)(e - p)), *run = quote;
        *escapes = true;
        if (!quote) return NULL;
        while (run > begin && run[-1] == '\\') run--;
        if ((quote - run) % 2 == 0) return quote + 1;
        p = quote + 1;
    }
    return NULL;
}

/* Past `depth` closing brackets, or NULL when the bytes end before them. What is not closed soon is left to the
   framing kernel. */
static const char *stream_json__closed(const char *p, const char *e, size_t depth) {
    const char *near = e - p > 256 ? p + 256 : e;
    bool escapes;
    while (p < near) {
        const char c = *p;
        if (c == '"') {
            p = stream_json__string_end(p, e, &escapes);
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
        p = stream_json__choose(STREAM_JSON_KERNEL)->follow(&s, p, e);
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
    bool escapes, whole;
    if (type == STREAM_JSON_STRING) {
        p = stream_json__string_end(p, e, &escapes);
    } else if (type >= STREAM_JSON_ARRAY) {
        p = stream_json__closed(p + 1, e, 1);
    } else {
        if (type == STREAM_JSON_NONE) return STREAM_E_INVALID;
        p = stream_json__bare_end(p, e, &whole);
        if (p == e && !alone) return STREAM_MORE;
        if (!whole) return p == e ? STREAM_MORE : STREAM_E_INVALID;
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

/* The value of four hexadecimal digits, or -1. */
static int stream_json__hex4(const char *p) {
    int v = 0, i;
    for (i = 0; i < 4; i++) {
        char c = p[i];
        int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
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

/* Decodes the escape at *p (a backslash) into out and steps past it. Returns its length, 0 when broken. */
static size_t stream_json__escape_at(const char **p, const char *e, stream_json_surrogates surrogates,
                                     char out[4]) {
    const char *s = *p + 1;
    int high, low;
    if (s == e) return 0;
    if (*s != 'u') {
        switch (*s) {
        case '"':
        case '\\':
        case '/': out[0] = *s; break;
        case 'b': out[0] = '\b'; break;
        case 'f': out[0] = '\f'; break;
        case 'n': out[0] = '\n'; break;
        case 'r': out[0] = '\r'; break;
        case 't': out[0] = '\t'; break;
        default: return 0;
        }
        *p = s + 1;
        return 1;
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

STREAM_API stream_status stream_json_string(stream_json_value value, stream_json_surrogates surrogates,
                                            char *dst, size_t cap, size_t *len) {
    const char *p, *e;
    size_t n = 0;
    *len = 0;
    if (value.type != STREAM_JSON_STRING) return STREAM_E_TYPE;
    if (!stream_json__inside(value, &p, &e)) return STREAM_E_INVALID;
    while (p < e) {
        char small[4];
        const char *from = p;
        size_t run, take;
        if (*p == '\\') {
            run = stream_json__escape_at(&p, e, surrogates, small);
            if (run == 0) return STREAM_E_INVALID;
            from = small;
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
    *len = n;
    return n <= cap ? STREAM_OK : STREAM_FULL;
}

/* Whether a string's inside [p, e), unescaped, is text; in a pointer's step ~0 and ~1 are unescaped too. */
static bool stream_json__same(const char *p, const char *e, const char *text, size_t len, bool pointer) {
    size_t at = 0;
    while (p < e) {
        char small[4];
        size_t i, n = 1;
        small[0] = *p;
        if (*p == '"') return false; /* it would have to be escaped */
        if (*p == '\\') n = stream_json__escape_at(&p, e, STREAM_JSON_PASS, small);
        else p++;
        if (n == 0) return false;
        for (i = 0; i < n; i++) {
            char c;
            if (at == len) return false;
            c = text[at++];
            if (pointer && c == '~' && at < len) c = text[at++] == '1' ? '/' : '~';
            if (c != small[i]) return false;
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

STREAM_API stream_status stream_json_int64(stream_json_value value, int64_t *number) {
    const char *p = value.ptr, *e;
    uint64_t v = 0, limit = (uint64_t)INT64_MAX;
    bool negative = false, over = false;
    *number = 0;
    if (value.type != STREAM_JSON_NUMBER) return STREAM_E_TYPE;
    e = value.len ? p + value.len : p;
    if (p < e && *p == '-') {
        negative = true;
        limit++;
        p++;
    }
    if (p == e || *p < '0' || *p > '9' || (*p == '0' && e - p > 1 && p[1] >= '0' && p[1] <= '9'))
        return STREAM_E_INVALID;
    for (; p < e && *p >= '0' && *p <= '9'; p++) {
        unsigned d = (unsigned)(*p - '0');
        over = over || v > (limit - d) / 10;
        v = v * 10 + d;
    }
    if (p < e) return *p == '.' || *p == 'e' || *p == 'E' ? STREAM_E_TYPE : STREAM_E_INVALID;
    if (over) return STREAM_E_RANGE;
    *number = negative ? (int64_t)(0 - v) : (int64_t)v;
    return STREAM_OK;
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
    stream_json_value none;
    stream_status status =
        stream_json__member(&each->cur, each->end, each->type == STREAM_JSON_OBJECT, each->begun, &none);
    if (key) *key = none;
    memset(value, 0, sizeof *value);
    if (status != STREAM_OK) {
        if (status == STREAM_END) each->cur--; /* the bracket answers again */
        return status;
    }
    each->begun = true;
    status = stream_json__value_at(each->cur, each->end, false, value);
    if (status == STREAM_OK) each->cur += value->len;
    return status;
}

/* A pass descends into the containers on some wanted path and steps over all others. `step` is, for each
   pointer whose path leads into the innermost open container, the step to be found there. */
#define STREAM_JSON__STEPS 32

typedef struct stream_json__level {
    uint64_t inside; /* pointers that lead into this container */
    uint64_t whole;  /* pointers that name it: their length is known when it closes */
    const char *begin;
    size_t index;
    bool object, begun;
} stream_json__level;

typedef struct stream_json__picker {
    uint64_t wanted;
    const char *step[64];
    size_t step_len[64];
    uint64_t tilde; /* pointers whose present step has a ~ */
    size_t depth;
    stream_json__level level[STREAM_JSON__STEPS + 1];
} stream_json__picker;

static void stream_json__measure(stream_json__picker *k, unsigned i) {
    const char *s = k->step[i];
    uint64_t bit = UINT64_C(1) << i;
    k->tilde &= ~bit;
    for (; *s && *s != '/'; s++)
        if (*s == '~') k->tilde |= bit;
    k->step_len[i] = (size_t)(s - k->step[i]);
}

static void stream_json__step_in(stream_json__picker *k, uint64_t set) {
    for (; set; set &= set - 1) {
        unsigned i = stream_json__lowest(set);
        k->step[i] += k->step_len[i] + 1;
        stream_json__measure(k, i);
    }
}

static void stream_json__step_out(stream_json__picker *k, uint64_t set) {
    for (; set; set &= set - 1) {
        unsigned i = stream_json__lowest(set);
        const char *s = k->step[i] - 1; /* the slash before the step */
        while (s[-1] != '/') s--;
        k->step[i] = s;
        stream_json__measure(k, i);
    }
}

/* Which of the pointers in set have `key` (an object's) or `index` (an array's) as their present step. */
static uint64_t stream_json__matching(const stream_json__picker *k, uint64_t set, stream_json_value key,
                                      size_t index) {
    uint64_t hits = 0;
    const char *name = key.ptr ? key.ptr + 1 : NULL;
    const size_t len = key.ptr ? key.len - 2 : 0;
    const bool escaped = len && *stream_json__mark(name, name + len) != '"' && memchr(name, '\\', len);
    for (; set; set &= set - 1) {
        unsigned i = stream_json__lowest(set);
        const char *step = k->step[i];
        bool hit;
        if (!name) {
            size_t n = k->step_len[i], at, v = 0;
            hit = n > 0 && n < 10 && (n == 1 || step[0] != '0');
            for (at = 0; hit && at < n; at++) {
                hit = step[at] >= '0' && step[at] <= '9';
                v = v * 10 + (size_t)(step[at] - '0');
            }
            hit = hit && v == index;
        } else if (escaped || (k->tilde >> i & 1)) {
            hit = stream_json__same(name, name + len, step, k->step_len[i], true);
        } else {
            hit = len == k->step_len[i] && (len == 0 || (*name == *step && memcmp(name, step, len) == 0));
        }
        if (hit) hits |= UINT64_C(1) << i;
    }
    return hits;
}

static void stream_json__found(stream_json__picker *k, uint64_t set, const char *begin, const char *end,
                               stream_json_value *out) {
    k->wanted &= ~set;
    for (; set; set &= set - 1) {
        stream_json_value *value = &out[stream_json__lowest(set)];
        value->ptr = begin;
        value->len = (size_t)(end - begin);
        value->type = stream_json__type_of(*begin);
    }
}

/* The value at *p, which `whole` pointers name and `inside` ones lead into: steps over it, or opens it. */
static stream_status stream_json__visit(stream_json__picker *k, const char **p, const char *e, uint64_t whole,
                                        uint64_t inside, stream_json_value *out) {
    stream_json_value value;
    stream_status status;
    if (inside && (**p == '{' || **p == '[')) {
        stream_json__level *level = &k->level[k->depth++];
        level->inside = inside;
        level->whole = whole;
        level->begin = *p;
        level->index = 0;
        level->object = **p == '{';
        level->begun = false;
        if (k->depth > 1) stream_json__step_in(k, inside);
        (*p)++;
        return STREAM_OK;
    }
    status = stream_json__value_at(*p, e, k->depth == 0, &value);
    if (status != STREAM_OK) return status;
    *p += value.len;
    if (whole) stream_json__found(k, whole, value.ptr, *p, out);
    return STREAM_OK;
}

STREAM_API stream_status stream_json_pick(const char *json, size_t len, const char *const *pointers,
                                          size_t count, stream_json_value *out) {
    stream_json__picker k;
    const char *e = len ? json + len : json;
    const char *p = stream_json__spaces(json, e);
    uint64_t whole = 0;
    stream_status status;
    size_t i;

    if (count) memset(out, 0, count * sizeof *out);
    if (count > 64) return STREAM_E_ARGUMENT;
    k.wanted = k.tilde = 0;
    k.depth = 0;
    for (i = 0; i < count; i++) {
        const char *s = pointers[i];
        size_t steps = 0;
        if (!s || (*s && *s != '/')) return STREAM_E_ARGUMENT;
        if (*s) {
            k.wanted |= UINT64_C(1) << i;
            k.step[i] = s + 1;
            stream_json__measure(&k, (unsigned)i);
        } else {
            whole |= UINT64_C(1) << i;
        }
        for (; *s; s++) steps += *s == '/';
        if (steps > STREAM_JSON__STEPS) return STREAM_E_ARGUMENT;
    }
    if (p == e) return STREAM_MORE;
    {
        uint64_t inside = k.wanted;
        k.wanted |= whole;
        status = stream_json__visit(&k, &p, e, whole, inside, out);
    }
    while (status == STREAM_OK && k.depth > 0 && k.wanted) {
        stream_json__level *level = &k.level[k.depth - 1];
        stream_json_value key;
        uint64_t open = level->inside & k.wanted, hits, last = 0, set;
        if (open == 0) { /* all found in here: only its end is of interest */
            p = stream_json__closed(p, e, 1);
            status = p ? STREAM_END : STREAM_MORE;
        } else {
            status = stream_json__member(&p, e, level->object, level->begun, &key);
        }
        if (status == STREAM_END) {
            if (level->whole) stream_json__found(&k, level->whole, level->begin, p, out);
            k.depth--;
            if (k.depth > 0) stream_json__step_out(&k, level->inside);
            status = STREAM_OK;
            continue;
        }
        if (status != STREAM_OK) break;
        level->begun = true;
        hits = stream_json__matching(&k, open, key, level->index++);
        for (set = hits; set; set &= set - 1) {
            unsigned at = stream_json__lowest(set);
            if (k.step[at][k.step_len[at]] == '\0') last |= UINT64_C(1) << at;
        }
        status = stream_json__visit(&k, &p, e, last, hits & ~last, out);
    }
    return status;
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
    checker->kernel = stream_json__choose(kernel ? kernel : STREAM_JSON_KERNEL);
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
            stream_json__grammar_init(&s->grammar, *p++ == '{' ? STREAM_JSON__WAS_BRACE : STREAM_JSON__WAS_BRACKET);
            break;
        case STREAM_JSON__NESTED:
            p = c->kernel->check(s, p, e);
            if (s->fault)
                return stream_json__reject(c, begin, s->fault, s->message,
                                           s->deepest > s->max_depth ? STREAM_E_TOO_DEEP : STREAM_E_INVALID);
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
    *offset = (size_t)checker.offset;
    return checker.status;
}

/* ==[ write: implementation ]======================================================================== */

STREAM_API void stream_json_writer_init(stream_json_writer *writer, char *dst, size_t cap) {
    memset(writer, 0, sizeof *writer);
    writer->dst = dst;
    writer->cap = cap;
}

static void stream_json__write(stream_json_writer *w, const char *ptr, size_t len) {
    if (w->len < w->cap && len) {
        size_t room = w->cap - w->len;
        memcpy(w->dst + w->len, ptr, len < room ? len : room);
    }
    w->len += len;
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
    if (w->comma && !w->after_key) stream_json__write(w, ",", 1);
    w->after_key = key;
    w->comma = !key;
    if (!key && w->depth == 0) w->done = true;
    return true;
}

static void stream_json__open_level(stream_json_writer *w, bool object) {
    if (w->status == STREAM_OK && w->depth == STREAM_JSON_WRITER_DEPTH) w->status = STREAM_E_TOO_DEEP;
    if (!stream_json__may_write(w, false)) return;
    stream_json__write(w, object ? "{" : "[", 1);
    if (object) w->object[w->depth / 8] = (uint8_t)(w->object[w->depth / 8] | 1u << (w->depth % 8));
    else w->object[w->depth / 8] = (uint8_t)(w->object[w->depth / 8] & ~(1u << (w->depth % 8)));
    w->depth++;
    w->comma = w->done = false;
}

STREAM_API void stream_json_write_object(stream_json_writer *writer) { stream_json__open_level(writer, true); }
STREAM_API void stream_json_write_array(stream_json_writer *writer) { stream_json__open_level(writer, false); }

STREAM_API void stream_json_write_end(stream_json_writer *writer) {
    if (writer->status != STREAM_OK) return;
    if (writer->depth == 0 || writer->after_key) {
        writer->status = STREAM_E_STATE;
        return;
    }
    stream_json__write(writer, stream_json__in_object(writer) ? "}" : "]", 1);
    writer->depth--;
    writer->comma = true;
    writer->done = writer->depth == 0;
}

/* Length of the well-formed UTF-8 character at p, or 0 (RFC 3629, section 4). */
static size_t stream_json__utf8_at(const char *ptr, const char *e) {
    const unsigned char *p = (const unsigned char *)ptr;
    size_t left = (size_t)(e - ptr), need, i;
    unsigned char low = 0x80, high = 0xBF;
    if (p[0] < 0x80) return 1;
    if (p[0] < 0xC2 || p[0] > 0xF4) return 0;
    need = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    if (p[0] == 0xE0) low = 0xA0;
    else if (p[0] == 0xED) high = 0x9F;
    else if (p[0] == 0xF0) low = 0x90;
    else if (p[0] == 0xF4) high = 0x8F;
    if (left < need) return 0;
    for (i = 1; i < need; i++, low = 0x80, high = 0xBF)
        if (p[i] < low || p[i] > high) return 0;
    return need;
}

static void stream_json__write_quoted(stream_json_writer *w, const char *text, size_t len) {
    static const char hex[] = "0123456789abcdef";
    const char *p = text, *e = len ? text + len : text, *run = p;
    stream_json__write(w, "\"", 1);
    while (p < e) {
        char small[6];
        size_t n = 2, step = 1;
        unsigned char c = (unsigned char)*p;
        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            p++;
            continue;
        }
        if (c >= 0x80) {
            step = stream_json__utf8_at(p, e);
            if (step) {
                p += step;
                continue;
            }
            step = 1;
            n = 3;
            memcpy(small, "\xEF\xBF\xBD", 3);
        } else {
            small[0] = '\\';
            switch (c) {
            case '"':
            case '\\': small[1] = (char)c; break;
            case '\b': small[1] = 'b'; break;
            case '\f': small[1] = 'f'; break;
            case '\n': small[1] = 'n'; break;
            case '\r': small[1] = 'r'; break;
            case '\t': small[1] = 't'; break;
            default:
                memcpy(small + 1, "u00", 3);
                small[4] = hex[c >> 4];
                small[5] = hex[c & 15];
                n = 6;
            }
        }
        stream_json__write(w, run, (size_t)(p - run));
        stream_json__write(w, small, n);
        p += step;
        run = p;
    }
    stream_json__write(w, run, (size_t)(p - run));
    stream_json__write(w, "\"", 1);
}

STREAM_API void stream_json_write_key(stream_json_writer *writer, const char *key, size_t len) {
    if (!stream_json__may_write(writer, true)) return;
    stream_json__write_quoted(writer, key, len);
    stream_json__write(writer, ":", 1);
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

STREAM_API void stream_json_write_bool(stream_json_writer *writer, bool truth) {
    if (stream_json__may_write(writer, false)) stream_json__write(writer, truth ? "true" : "false", truth ? 4 : 5);
}

STREAM_API void stream_json_write_null(stream_json_writer *writer) {
    if (stream_json__may_write(writer, false)) stream_json__write(writer, "null", 4);
}

STREAM_API void stream_json_write_value(stream_json_writer *writer, stream_json_value value) {
    if (value.type == STREAM_JSON_NONE) stream_json_write_null(writer);
    else if (stream_json__may_write(writer, false)) stream_json__write(writer, value.ptr, value.len);
}

STREAM_API stream_status stream_json_writer_finish(const stream_json_writer *writer, size_t *len) {
    *len = writer->len;
    if (writer->status != STREAM_OK) return writer->status;
    if (!writer->done) return STREAM_E_STATE;
    return writer->len <= writer->cap ? STREAM_OK : STREAM_FULL;
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
