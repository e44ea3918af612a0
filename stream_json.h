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

    - Framing counts brackets and skips strings; it does not check the grammar inside a value. A value
      that is framed and is not JSON shows when it is read: the reading functions say E_INVALID.
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
    [frame]     complete values out of fragments
    [read]      pointers, members, elements, strings, integers
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
     E_TRUNCATED   an object or array that its record's end, or the input's, cut off: the bytes there
                   were, without one CR before the LF. At the input's end also a scalar that could still
                   have become whole, and a bracket that could still have begun a value.
     E_TOO_LONG    a value or noise over max_len: the first max_len bytes; size is its full length
     E_TOO_DEEP    an object or array nested over max_depth: its bytes, as far as max_len allows
     E_NOMEM       the allocator refused while it was assembled: the head that could be kept

   Each comes once, when the item's end is known; stream_json_open() tells how far one has grown. Where
   several errors fit, it is the first of E_TOO_DEEP, E_TOO_LONG, E_NOMEM, E_TRUNCATED.

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
    STREAM_JSON_DOLLAR = 2        /* `$` outside a string ends a record; a line feed is white space */
} stream_json_mode;

typedef struct stream_json_desc {
    stream_json_mode mode;
    size_t max_len;             /* longest value or noise handed out whole, bytes; 0: 1 MiB */
    size_t max_depth;           /* deepest nesting; 0: 512 */
    size_t first_len;           /* first assembly buffer, bytes; 0: 4 KiB; doubles from there */
    void *memory;               /* NULL, or the assembly buffer: then nothing is ever allocated */
    size_t memory_len;          /* its size: max_len becomes at most memory_len - STREAM_JSON_SLACK */
    stream_allocator allocator; /* zero: malloc */
    const char *kernel;         /* NULL: the best this machine has; else "scalar", "sse2", "avx2", "neon" */
} stream_json_desc;

/* Assembly bytes above max_len: white space before noise, a CR, a value's first bytes after noise. */
#define STREAM_JSON_SLACK (64 + 1 + 32)

struct stream_json;
typedef const char *(*stream_json__kernel)(struct stream_json *json, const char *p, const char *e);

/* Where in a block of 64 bytes the bytes stand that framing is about: one bit a byte, the first lowest. */
typedef struct stream_json__block {
    uint64_t quote, backslash, open, close, end;
} stream_json__block;

typedef struct stream_json {
    uint64_t scanned; /* bytes looked at so far: never above the bytes fed (read only) */
    /* private */
    const char *cur, *end;   /* what is left of the loan */
    const char *start;       /* where the open item's part of this loan begins */
    const char *loan;        /* the loan's first byte: blocks of 64 are counted from it */
    const char *block_at;    /* the block whose masks are in `block`, or NULL */
    stream_json__block block;
    stream_json__kernel kernel;
    stream__assembly held;   /* the open item's bytes from earlier loans */
    uint64_t offset;         /* stream offset of the open item's first byte */
    uint64_t open;           /* length of its part in earlier loans */
    uint64_t mark, mark_end; /* where in it the value or scalar begins and ends */
    size_t mark_held;        /* and where in held, when it begins in an earlier loan */
    size_t depth, deepest;
    size_t max_len, max_depth;
    size_t shift;            /* bytes of held handed out by the last call */
    uint8_t state, first, element, token, token_at;
    char end_byte, last;     /* what ends a record, 0 for nothing; the last byte of the earlier part */
    bool in_string, escaped, after_noise, gap_lost, finished, terminated;
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

/* Checks strictly: RFC 8259 and UTF-8, one value with white space around it. OK: it is one. MORE: it is
   the beginning of one, as every prefix of a valid text is. E_INVALID: *offset is the first byte that
   cannot stand where it stands. E_TOO_DEEP: nested over STREAM_JSON_CHECK_DEPTH at *offset. Else *offset
   is len. A lone surrogate escape is valid, as the RFC has it. */
#define STREAM_JSON_CHECK_DEPTH 1024
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
#define STREAM__INLINE static inline __attribute__((always_inline, unused))
#endif

#ifndef STREAM_JSON_KERNEL
#define STREAM_JSON_KERNEL NULL
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The number of the lowest bit that is set; bits is not 0. */
static unsigned stream_json__lowest(uint64_t bits) {
#if defined(__GNUC__) || defined(__clang__)
    return (unsigned)__builtin_ctzll(bits);
#else
    unsigned n = 0;
    while (!(bits >> n & 1)) n++;
    return n;
#endif
}

static stream_json_type stream_json__type_of(char first) {
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

static stream_json__kernel stream_json__choose(const char *name);

STREAM_API stream_status stream_json_init(stream_json *json, const stream_json_desc *desc) {
    stream_json_desc d;
    stream_json__kernel kernel;
    memset(&d, 0, sizeof d);
    if (desc) d = *desc;
    if (!d.kernel) d.kernel = STREAM_JSON_KERNEL;
    kernel = stream_json__choose(d.kernel);
    if (d.mode > STREAM_JSON_DOLLAR || !kernel) return STREAM_E_ARGUMENT;
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
    json->max_depth = d.max_depth ? d.max_depth : 512;
    json->end_byte = d.mode == STREAM_JSON_NDJSON ? '\n' : d.mode == STREAM_JSON_DOLLAR ? '$' : '\0';
    json->terminated = true;
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
    json->gap_lost = json->finished = false;
    json->terminated = true;
}

STREAM_API stream_status stream_json_feed(stream_json *json, const void *data, size_t len) {
    if (json->finished || json->cur != json->end) return STREAM_E_STATE;
    json->cur = json->start = json->loan = (const char *)data;
    json->block_at = NULL;
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
    json->gap_lost = false;
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
    memset(item, 0, sizeof *item);
    item->offset = json->offset + from;
    item->size = to - from;
    item->kind = (uint32_t)stream_json__type_of(first); /* NONE for noise, whose first is 0 */
    if (from >= json->open) {
        item->ptr = json->start + (from - json->open);
        item->len = (size_t)item->size;
    } else {
        size_t begin = from ? json->mark_held : 0;
        if (to > json->open) stream_json__add(json, json->start, (size_t)(to - json->open));
        item->len = json->held.len - begin;
        item->ptr = item->len ? json->held.ptr + begin : NULL;
        if (item->len > item->size) item->len = (size_t)item->size; /* behind it stands a value's head */
        item->flags |= STREAM_COPIED;
        if (json->held.refused && item->len < item->size) status = STREAM_E_NOMEM;
    }
    if (item->size > json->max_len) {
        status = STREAM_E_TOO_LONG;
        if (item->len > json->max_len) item->len = json->max_len;
    }
    if (json->state == STREAM_JSON__VALUE && from == json->mark && json->deepest > json->max_depth)
        status = STREAM_E_TOO_DEEP;
    return status;
}

/* A bracket turned out to begin a value: cuts off the noise before it, if there is any. */
static stream_status stream_json__confirm(stream_json *json, stream_item *item) {
    stream_status status;
    json->state = STREAM_JSON__VALUE;
    json->depth = json->deepest = 1;
    json->in_string = json->escaped = false;
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

/* Follows an object or array from p: returns where it closes (past the bracket, depth 0), where its
   record ends (at the end byte, depth above 0), or e. This is the whole truth, byte by byte; the kernels
   below say the same, 64 bytes at a time. */
static const char *stream_json__follow_scalar(stream_json *json, const char *p, const char *e) {
    const char end_byte = json->end_byte;
    const bool ndjson = end_byte == '\n';
    size_t depth = json->depth;
    bool in_string = json->in_string, escaped = json->escaped;
    while (p < e) {
        if (in_string) {
            if (escaped) {
                if (ndjson && *p == '\n') break;
                escaped = false;
                p++;
                continue;
            }
            while (p < e && *p != '"' && *p != '\\' && *p != '\n') p++;
            if (p == e) break;
            if (*p == '\n' && ndjson) break;
            if (*p == '"') in_string = false;
            else if (*p == '\\') escaped = true;
            p++;
        } else {
            char c = *p;
            if (c == '"') {
                in_string = true;
            } else if ((c | 0x20) == '{') {
                if (++depth > json->deepest) json->deepest = depth;
            } else if ((c | 0x20) == '}') {
                if (--depth == 0) {
                    p++;
                    break;
                }
            } else if (c == end_byte && end_byte) {
                break;
            }
            p++;
        }
    }
    json->depth = depth;
    json->in_string = in_string;
    json->escaped = escaped;
    return p;
}


#if STREAM__SIMD_X86 || STREAM__SIMD_NEON

/* Bit i of the result: whether an odd number of bits is set in x up to and including i. */
STREAM__INLINE uint64_t stream_json__parity(uint64_t x) {
    x ^= x << 1;
    x ^= x << 2;
    x ^= x << 4;
    x ^= x << 8;
    x ^= x << 16;
    return x ^ x << 32;
}

STREAM__INLINE size_t stream_json__count(uint64_t x) { return (size_t)__builtin_popcountll(x); }

/* The state of a value between two blocks, in registers. */
typedef struct stream_json__scan {
    uint64_t string;  /* all ones inside a string, else 0 */
    uint64_t escaped; /* 1 when the next byte follows a backslash that escapes it */
    size_t depth, deepest;
} stream_json__scan;

/* Depth over the brackets in the order they stand; stops at the one that closes the value and says its
   place, 64 when none does. */
static unsigned stream_json__walk_brackets(stream_json__scan *s, uint64_t open, uint64_t close) {
    uint64_t rest = open | close;
    for (; rest; rest &= rest - 1) {
        unsigned at = stream_json__lowest(rest);
        if (open >> at & 1) {
            if (++s->depth > s->deepest) s->deepest = s->depth;
        } else if (--s->depth == 0) {
            return at;
        }
    }
    return 64;
}

/* Takes n bytes, whose masks begin at bit 0. Returns how many belong to the value, with *done when it or its
   record ends behind them; or 0 when only the byte-wise loop can tell.

       bytes       {"a\"}":[1]}\n      record ends at LF, whatever is open
       quote        1 . 1 .1
       escaped         1               a quote that a backslash takes away
       in string    111111.            parity of the quotes that are left
       open        1       1           outside strings only
       close                 11  */
STREAM__INLINE unsigned stream_json__take(stream_json__scan *s, const stream_json__block *m, unsigned from,
                                          unsigned n, bool ndjson, size_t max_depth, bool *done) {
    uint64_t valid = n == 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1;
    uint64_t quote = m->quote >> from, backslash = m->backslash >> from, end = m->end >> from & valid;
    uint64_t string, open, close, escaped_next = 0;
    size_t opens, closes;
    unsigned limit = n;

    if (backslash | s->escaped) {
        /* Runs of backslashes escape every second byte; a run that begins at an odd place is found by the
           carry of an addition (Langdale and Lemire, "Parsing Gigabytes of JSON per Second", 2019). */
        const uint64_t even = UINT64_C(0x5555555555555555);
        uint64_t active = backslash & ~s->escaped;
        uint64_t follows = active << 1 | s->escaped;
        uint64_t odd_runs = active & ~even & ~follows;
        uint64_t escaped = (even ^ ((odd_runs + active) << 1)) & follows;
        quote &= ~escaped;
        escaped_next = (active & ~escaped) >> (n - 1) & 1;
    }
    string = stream_json__parity(quote) ^ s->string;
    if (!ndjson) end &= ~string;
    if (end) {
        limit = stream_json__lowest(end);
        valid = (UINT64_C(1) << limit) - 1;
    }
    /* A backslash outside strings escapes nothing, so the sums above are off: no JSON has one. */
    if (backslash & ~string & valid) return 0;
    open = (m->open >> from) & ~string & valid;
    close = (m->close >> from) & ~string & valid;
    opens = stream_json__count(open);
    closes = stream_json__count(close);
    if (s->depth > closes && s->depth + opens <= max_depth) {
        s->depth += opens - closes; /* can neither reach 0 nor the limit in here */
    } else {
        unsigned at = stream_json__walk_brackets(s, open, close);
        if (at < 64) {
            *done = true;
            return at + 1;
        }
    }
    s->escaped = escaped_next;
    if (end) {
        *done = true;
        return limit;
    }
    s->string = 0 - (string >> (n - 1) & 1);
    return n;
}

STREAM__INLINE void stream_json__scan_in(stream_json__scan *s, const stream_json *json) {
    s->string = 0 - (uint64_t)json->in_string;
    s->escaped = json->escaped;
    s->depth = json->depth;
    s->deepest = json->deepest;
}

STREAM__INLINE void stream_json__scan_out(stream_json *json, const stream_json__scan *s) {
    json->in_string = s->string != 0;
    json->escaped = s->escaped != 0;
    json->depth = s->depth;
    json->deepest = s->deepest;
}

/* One kernel's loop over blocks of 64 bytes, counted from the loan's beginning. The masks of the last block
   are kept: the next value begins in it, and no byte is classified twice. What is short of a block is
   copied to one first, so nothing past the loan is read. */
#define STREAM_JSON__FOLLOW(name, target, classify)                                                        \
    target static const char *name(stream_json *json, const char *p, const char *e) {                      \
        stream_json__scan s;                                                                               \
        bool done = false;                                                                                 \
        stream_json__scan_in(&s, json);                                                                    \
        while (p < e && !done) {                                                                           \
            const char *base = json->loan + ((size_t)(p - json->loan) & ~(size_t)63);                      \
            unsigned from = (unsigned)(p - base), n, taken;                                                \
            n = e - base < 64 ? (unsigned)(e - p) : 64 - from;                                             \
            if (base != json->block_at) {                                                                  \
                if (e - base >= 64) {                                                                      \
                    classify(base, json->end_byte, &json->block);                                          \
                } else {                                                                                   \
                    char copy[64];                                                                         \
                    memset(copy, 0, sizeof copy);                                                          \
                    memcpy(copy, base, (size_t)(e - base));                                                \
                    classify(copy, json->end_byte, &json->block);                                          \
                }                                                                                          \
                json->block_at = base;                                                                     \
            }                                                                                              \
            taken = stream_json__take(&s, &json->block, from, n, json->end_byte == '\n', json->max_depth,  \
                                      &done);                                                              \
            p += taken;                                                                                    \
            if (taken == 0 && !done) {                                                                     \
                const char *stop = p + n;                                                                  \
                stream_json__scan_out(json, &s);                                                           \
                p = stream_json__follow_scalar(json, p, stop);                                             \
                if (json->depth == 0 || p < stop) return p;                                                \
                stream_json__scan_in(&s, json);                                                            \
            }                                                                                              \
        }                                                                                                  \
        stream_json__scan_out(json, &s);                                                                   \
        return p;                                                                                          \
    }

#endif

#if STREAM__SIMD_X86

#define STREAM_JSON__AVX2 __attribute__((target("avx2,popcnt,bmi,lzcnt")))

STREAM_JSON__AVX2 STREAM__FN uint64_t stream_json__equal_avx2(__m256i a, __m256i b, char c) {
    __m256i v = _mm256_set1_epi8(c);
    return (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, v)) |
           (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(b, v)) << 32;
}

/* { and [ differ from each other, and } from ], in bit 5 alone: or it in, and one comparison finds both. */
STREAM_JSON__AVX2 STREAM__FN void stream_json__classify_avx2(const char *p, char end, stream_json__block *m) {
    __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
    __m256i bit5 = _mm256_set1_epi8(0x20), a5 = _mm256_or_si256(a, bit5), b5 = _mm256_or_si256(b, bit5);
    m->quote = stream_json__equal_avx2(a, b, '"');
    m->backslash = stream_json__equal_avx2(a, b, '\\');
    m->open = stream_json__equal_avx2(a5, b5, '{');
    m->close = stream_json__equal_avx2(a5, b5, '}');
    m->end = end ? stream_json__equal_avx2(a, b, end) : 0;
}

STREAM_JSON__FOLLOW(stream_json__follow_avx2, STREAM_JSON__AVX2, stream_json__classify_avx2)

STREAM__FN uint64_t stream_json__equal_sse2(const __m128i v[4], char c) {
    __m128i x = _mm_set1_epi8(c);
    uint64_t bits = 0;
    int i;
    for (i = 0; i < 4; i++) bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v[i], x)) << (16 * i);
    return bits;
}

STREAM__FN void stream_json__classify_sse2(const char *p, char end, stream_json__block *m) {
    __m128i v[4], v5[4];
    int i;
    for (i = 0; i < 4; i++) {
        v[i] = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
        v5[i] = _mm_or_si128(v[i], _mm_set1_epi8(0x20));
    }
    m->quote = stream_json__equal_sse2(v, '"');
    m->backslash = stream_json__equal_sse2(v, '\\');
    m->open = stream_json__equal_sse2(v5, '{');
    m->close = stream_json__equal_sse2(v5, '}');
    m->end = end ? stream_json__equal_sse2(v, end) : 0;
}

STREAM_JSON__FOLLOW(stream_json__follow_sse2, , stream_json__classify_sse2)

#elif STREAM__SIMD_NEON

/* NEON has no movemask: each lane keeps one bit of its place in a byte, and three pairwise additions gather
   64 of them. */
STREAM__FN uint64_t stream_json__equal_neon(const uint8x16_t v[4], char c) {
    static const uint8_t places[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t place = vld1q_u8(places), x = vdupq_n_u8((uint8_t)c);
    uint8x16_t a = vpaddq_u8(vandq_u8(vceqq_u8(v[0], x), place), vandq_u8(vceqq_u8(v[1], x), place));
    uint8x16_t b = vpaddq_u8(vandq_u8(vceqq_u8(v[2], x), place), vandq_u8(vceqq_u8(v[3], x), place));
    a = vpaddq_u8(a, b);
    a = vpaddq_u8(a, a);
    return vgetq_lane_u64(vreinterpretq_u64_u8(a), 0);
}

STREAM__FN void stream_json__classify_neon(const char *p, char end, stream_json__block *m) {
    uint8x16_t v[4], v5[4];
    int i;
    for (i = 0; i < 4; i++) {
        v[i] = vld1q_u8((const uint8_t *)p + 16 * i);
        v5[i] = vorrq_u8(v[i], vdupq_n_u8(0x20));
    }
    m->quote = stream_json__equal_neon(v, '"');
    m->backslash = stream_json__equal_neon(v, '\\');
    m->open = stream_json__equal_neon(v5, '{');
    m->close = stream_json__equal_neon(v5, '}');
    m->end = end ? stream_json__equal_neon(v, end) : 0;
}

STREAM_JSON__FOLLOW(stream_json__follow_neon, , stream_json__classify_neon)

#endif

/* The one place where a kernel is chosen: by name, or the widest that this machine has. NULL when the name
   is none of them. */
static stream_json__kernel stream_json__choose(const char *name) {
#if STREAM__SIMD_X86
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt") && __builtin_cpu_supports("bmi");
    if (avx2 && (!name || stream__same_text(name, "avx2"))) return stream_json__follow_avx2;
    if (!name || stream__same_text(name, "sse2")) return stream_json__follow_sse2;
#elif STREAM__SIMD_NEON
    if (!name || stream__same_text(name, "neon")) return stream_json__follow_neon;
#endif
    return !name || stream__same_text(name, "scalar") ? stream_json__follow_scalar : NULL;
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
        item->flags = json->terminated || json->end_byte == 0 ? 0u : (uint32_t)STREAM_UNTERMINATED;
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
        if (stream_json__token_whole(json->token, json->token_at, (char)json->first)) status = STREAM_OK;
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
    const char end_byte = json->end_byte;
    stream_status status = STREAM_MORE;

    if (json->shift) { /* the last call handed out noise that stood before the open value */
        memmove(json->held.ptr, json->held.ptr + json->shift, json->held.len - json->shift);
        json->held.len -= json->shift;
        json->shift = 0;
    }
    while (p < e && status == STREAM_MORE) {
        const char c = *p;
        const bool ends = end_byte && c == end_byte;
        const bool space = !ends && stream_json__is_space(c);
        switch (json->state) {
        case STREAM_JSON__GAP:
            if (ends || c == '\n') {
                if (ends) json->terminated = true;
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
                json->after_noise = json->escaped = false;
                json->token = stream_json__token_begin(c);
                json->token_at = 1;
                if (c == '{' || c == '[') json->state = STREAM_JSON__OPEN;
                else if (c == '"') json->state = STREAM_JSON__STRING;
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
            if (c == '\n' && ends) {
                json->state = STREAM_JSON__NOISE;
            } else if (json->escaped) {
                json->escaped = false;
                p++;
            } else if (c == '"') {
                json->state = STREAM_JSON__AFTER;
                json->mark_end = stream_json__length(json, ++p);
                if (end_byte == 0) { /* a closing quote needs nothing after it */
                    status = stream_json__emit(json, item, STREAM_OK, json->mark, json->mark_end, c);
                    stream_json__begin(json, p);
                }
            } else {
                json->escaped = c == '\\';
                p++;
            }
            break;

        case STREAM_JSON__BARE:
            if (stream_json__token_step(&json->token, &json->token_at, (char)json->first, c)) {
                p++;
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
            if (space && end_byte) {
                p++;
            } else if (ends || end_byte == 0) {
                status = stream_json__emit(json, item, STREAM_OK, json->mark, json->mark_end, (char)json->first);
                json->terminated = ends;
                if (ends) p++;
                stream_json__begin(json, p);
            } else {
                json->state = STREAM_JSON__NOISE;
            }
            break;

        default: /* STREAM_JSON__VALUE */
            p = json->kernel(json, p, e);
            if (json->depth == 0) {
                status = stream_json__emit(json, item, STREAM_OK, json->mark, stream_json__length(json, p),
                                           (char)json->first);
                json->terminated = false;
                stream_json__begin(json, p);
            } else if (p < e) {
                status = stream_json__emit(json, item, STREAM_E_TRUNCATED, json->mark,
                                           stream_json__record_end(json, p), (char)json->first);
                json->terminated = true;
                stream_json__begin(json, ++p);
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

static const char *stream_json__spaces(const char *p, const char *e) {
    while (p < e && stream_json__is_space(*p)) p++;
    return p;
}

/* From the opening quote: past the closing one, or NULL when the bytes end before it. Short strings end in
   the first loop; a long one is left to memchr, and a quote it finds closes the string unless an odd number of
   backslashes stands before it. Every byte is passed once, but for the backslashes before a quote. */
static const char *stream_json__string_end(const char *p, const char *e) {
    const char *near = e - p > 32 ? p + 32 : e, *begin = p + 1;
    for (p++; p < near; p++) {
        if (*p == '"') return p + 1;
        if (*p == '\\' && ++p == e) return NULL;
    }
    while (p < e) {
        const char *quote = (const char *)memchr(p, '"', (size_t)(e - p)), *run = quote;
        if (!quote) return NULL;
        while (run > begin && run[-1] == '\\') run--;
        if ((quote - run) % 2 == 0) return quote + 1;
        p = quote + 1;
    }
    return NULL;
}

/* Past `depth` closing brackets, or NULL when the bytes end before them. */
static const char *stream_json__closed(const char *p, const char *e, size_t depth) {
    while (p < e) {
        char c = *p;
        if (c == '"') {
            p = stream_json__string_end(p, e);
            if (!p) return NULL;
            continue;
        }
        p++;
        if ((c | 0x20) == '{') depth++;
        else if ((c | 0x20) == '}' && --depth == 0) return p;
    }
    return NULL;
}

/* The value at p, which is no space; set when OK. MORE when the bytes end inside it: a bare value at
   their very end may go on, unless it stands `alone`. */
static stream_status stream_json__value_at(const char *p, const char *e, bool alone,
                                           stream_json_value *value) {
    const char *begin = p;
    stream_json_type type = stream_json__type_of(*p);
    if (type >= STREAM_JSON_ARRAY) {
        p = stream_json__closed(p + 1, e, 1);
    } else if (type == STREAM_JSON_STRING) {
        p = stream_json__string_end(p, e);
    } else {
        uint8_t state = stream_json__token_begin(*p), at = 1;
        if (state == 0) return STREAM_E_INVALID;
        for (p++; p < e && stream_json__token_step(&state, &at, *begin, *p); p++) {
        }
        if (p == e && !alone) return STREAM_MORE;
        if (!stream_json__token_whole(state, at, *begin)) return p == e ? STREAM_MORE : STREAM_E_INVALID;
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
static stream_status stream_json__member(const char **p, const char *e, bool object, bool begun,
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
    size_t len = key.ptr ? key.len - 2 : 0;
    bool escaped = len && memchr(name, '\\', len) != NULL;
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
            hit = len == k->step_len[i] && (len == 0 || memcmp(name, step, len) == 0);
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

/* The check is a loop over what may come next, with one bit a level for what is open. */
enum {
    STREAM_JSON__WANT_VALUE = 0, /* a value */
    STREAM_JSON__WANT_ELEMENT,   /* a value, or the end of an empty array */
    STREAM_JSON__WANT_MEMBER,    /* a key, or the end of an empty object */
    STREAM_JSON__WANT_KEY,
    STREAM_JSON__WANT_COLON,
    STREAM_JSON__WANT_COMMA, /* or the end of what is open */
    STREAM_JSON__WANT_NOTHING
};

/* A string from its opening quote, strictly. OK with *p past the closing one, MORE, or E_INVALID with *p at
   the first byte that cannot be. */
static stream_status stream_json__check_string(const char **p, const char *e) {
    const char *s = *p + 1;
    for (; s < e; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"') {
            *p = s + 1;
            return STREAM_OK;
        }
        if (c == '\\') {
            if (++s == e) break;
            if (*s == 'u') {
                unsigned n;
                for (n = 0; n < 4; n++) {
                    char h;
                    if (++s == e) return STREAM_MORE;
                    h = (char)(*s | 0x20);
                    if (!((*s >= '0' && *s <= '9') || (h >= 'a' && h <= 'f'))) goto invalid;
                }
            } else if (*s != '"' && *s != '\\' && *s != '/' && *s != 'b' && *s != 'f' && *s != 'n' &&
                       *s != 'r' && *s != 't') {
                goto invalid;
            }
        } else if (c >= 0x80) {
            unsigned need = c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
            unsigned char low = 0x80, high = 0xBF;
            if (c < 0xC2 || c > 0xF4) goto invalid;
            if (c == 0xE0) low = 0xA0;
            else if (c == 0xED) high = 0x9F;
            else if (c == 0xF0) low = 0x90;
            else if (c == 0xF4) high = 0x8F;
            for (; need; need--, low = 0x80, high = 0xBF) {
                if (++s == e) return STREAM_MORE;
                if ((unsigned char)*s < low || (unsigned char)*s > high) goto invalid;
            }
        } else if (c < 0x20) {
            goto invalid;
        }
    }
    return STREAM_MORE;
invalid:
    *p = s;
    return STREAM_E_INVALID;
}

STREAM_API stream_status stream_json_check(const char *json, size_t len, size_t *offset) {
    const char *p = json, *e = len ? json + len : json;
    uint8_t object[STREAM_JSON_CHECK_DEPTH / 8];
    size_t depth = 0;
    int want = STREAM_JSON__WANT_VALUE;
    stream_status status = STREAM_OK;
    for (;;) {
        char c;
        bool in_object = depth > 0 && (object[(depth - 1) / 8] >> ((depth - 1) % 8) & 1);
        p = stream_json__spaces(p, e);
        if (p == e) {
            *offset = len;
            return want == STREAM_JSON__WANT_NOTHING ? STREAM_OK : STREAM_MORE;
        }
        c = *p;
        if ((c == ']' && !in_object && (want == STREAM_JSON__WANT_ELEMENT || want == STREAM_JSON__WANT_COMMA)) ||
            (c == '}' && in_object && (want == STREAM_JSON__WANT_MEMBER || want == STREAM_JSON__WANT_COMMA))) {
            depth--;
            p++;
            want = depth ? STREAM_JSON__WANT_COMMA : STREAM_JSON__WANT_NOTHING;
        } else if (want == STREAM_JSON__WANT_COMMA && c == ',') {
            p++;
            want = in_object ? STREAM_JSON__WANT_KEY : STREAM_JSON__WANT_VALUE;
        } else if (want == STREAM_JSON__WANT_COLON && c == ':') {
            p++;
            want = STREAM_JSON__WANT_VALUE;
        } else if ((want == STREAM_JSON__WANT_KEY || want == STREAM_JSON__WANT_MEMBER) && c == '"') {
            status = stream_json__check_string(&p, e);
            want = STREAM_JSON__WANT_COLON;
        } else if (want > STREAM_JSON__WANT_ELEMENT) {
            status = STREAM_E_INVALID;
        } else if (c == '{' || c == '[') {
            if (depth == STREAM_JSON_CHECK_DEPTH) {
                *offset = (size_t)(p - json);
                return STREAM_E_TOO_DEEP;
            }
            if (c == '{') object[depth / 8] = (uint8_t)(object[depth / 8] | 1u << (depth % 8));
            else object[depth / 8] = (uint8_t)(object[depth / 8] & ~(1u << (depth % 8)));
            want = c == '{' ? STREAM_JSON__WANT_MEMBER : STREAM_JSON__WANT_ELEMENT;
            depth++;
            p++;
        } else {
            if (c == '"') {
                status = stream_json__check_string(&p, e);
            } else {
                uint8_t state = stream_json__token_begin(c), at = 1;
                if (state == 0) status = STREAM_E_INVALID;
                else
                    for (p++; p < e && stream_json__token_step(&state, &at, c, *p); p++) {
                    }
                if (state && !stream_json__token_whole(state, at, c))
                    status = p == e ? STREAM_MORE : STREAM_E_INVALID;
            }
            want = depth ? STREAM_JSON__WANT_COMMA : STREAM_JSON__WANT_NOTHING;
        }
        if (status != STREAM_OK) {
            *offset = status == STREAM_MORE ? len : (size_t)(p - json);
            return status;
        }
    }
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
