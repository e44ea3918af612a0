/* SPDX-License-Identifier: MIT-0
   HTTP/1.1 without any I/O: bytes in, heads and bodies out, after RFC 9110 and RFC 9112, and strict about it.
   What two parsers could read in two ways is refused: bare CR or LF, folded lines, white space before a
   colon, Content-Length twice or beside Transfer-Encoding, codings other than chunked, chunk sizes that are
   not plain hexadecimal. A body is never held: its pieces are slices of the bytes you lent.

   Reading follows the one protocol of stream.h (see stream_decoder there):

       http_feed(&http, chunk, n);
       while ((st = http_next(&http, &item)) != STREAM_MORE)
           if (st != STREAM_OK) answer(http.status, http.error);      // and close: nothing comes after it
           else if (item.kind == HTTP_HEAD) begin(&http.head);
           else if (item.kind == HTTP_BODY) pass_on(item.ptr, item.len);
           else if (item.kind == HTTP_DONE) respond();

   but for one thing: where a message is broken, nobody can say where the next one begins. After an error the
   rest of the input is stepped over; so is what comes behind a message that said the connection would close.
   One thread at a time for each object; no state besides. */
#ifndef COMMON_HTTP_H
#define COMMON_HTTP_H

#include "stream.h"

typedef enum http_role {
    HTTP_REQUESTS = 0, /* a server reads requests */
    HTTP_RESPONSES = 1 /* a client reads responses */
} http_role;

/* item.kind. A message is one HEAD, any number of BODY, TRAILERS if there are any, and DONE. An interim
   response (1xx, not 101) is a HEAD only, and the response proper follows. */
enum {
    HTTP_HEAD = 1,     /* ptr/len: the head with its empty line; http.head has it taken apart */
    HTTP_BODY = 2,     /* a piece of the body, at least one byte, without its framing */
    HTTP_TRAILERS = 3, /* ptr/len: field lines, for http_field_next */
    HTTP_DONE = 4      /* the message is whole; len 0 */
};

typedef enum http_framing {
    HTTP_NO_BODY = 0,
    HTTP_LENGTH = 1,     /* Content-Length */
    HTTP_CHUNKED = 2,
    HTTP_UNTIL_CLOSE = 3 /* a response that ends when the connection does; after 101, the other protocol */
} http_framing;

/* A head taken apart. The slices lie in the head's bytes: valid as long as its item, until the next call on
   the decoder. */
typedef struct http_head {
    int minor;            /* HTTP/1.minor: 0 or 1 */
    stream_slice method;  /* requests */
    stream_slice target;  /* as it came */
    stream_slice host;    /* host[:port], from the target if it has one, else from Host; empty under 1.0 */
    stream_slice path;    /* of the target, with its query; "*", or empty with CONNECT */
    stream_slice query;   /* what follows the ?; ptr NULL when there is none */
    int status;           /* responses: 100 to 599 */
    stream_slice reason;
    stream_slice fields;  /* all field lines, for http_field and http_field_next */
    http_framing framing;
    uint64_t length;      /* with HTTP_LENGTH */
    bool keep_alive;      /* the connection can be used again after this message */
    bool upgrade;         /* Upgrade is there, and Connection names it */
    bool expect_continue; /* the client waits for 100 before it sends the body */
} http_head;

typedef struct http_desc {
    http_role role;
    size_t max_head;            /* longest head, and longest trailers, bytes; 0: 16 KiB; at least 64 */
    size_t first_head;          /* first buffer for a head that spans two loans; 0: 1 KiB; doubles */
    size_t max_target;          /* longest request target; 0: 8 KiB */
    size_t max_fields;          /* field lines; 0: 100 */
    uint64_t max_body;          /* longest body; 0: no limit */
    void *memory;               /* NULL, or the buffer for heads: then nothing is ever allocated; else one is
                                   allocated while a head that spans two loans is open or in use */
    size_t memory_len;          /* its size, at least 64; max_head becomes at most this */
    stream_allocator allocator; /* zero: malloc */
} http_desc;

typedef struct http {
    /* read only */
    http_head head;    /* of the open message; its slices are valid as long as the HEAD item */
    int status;        /* with an error: what a server answers, 400 to 505; always 502 for responses */
    const char *error; /* with an error: constant text */
    uint64_t scanned;  /* bytes looked at so far: never above the bytes fed */
    uint64_t body;     /* bytes of the open message's body so far */
    /* private */
    const char *cur, *end; /* what is left of the loan */
    char *held;            /* the open head's bytes from earlier loans; returned as soon as it was used */
    size_t held_len, held_cap, first_head, max_head;
    stream_allocator allocator;
    uint64_t offset;       /* stream offset of cur */
    uint64_t start;        /* stream offset of the open head, or trailers */
    uint64_t left;         /* of the body or the chunk */
    size_t max_target, max_fields;
    uint64_t max_body;
    size_t line, lines;    /* bytes of the open line, lines before it */
    size_t extra;          /* bytes of chunk extensions in the open message */
    uint8_t role, state;
    uint8_t digits;        /* of the open chunk size */
    bool cr, blank, bodyless, finished;
    bool fixed, refused, spent; /* held: the caller's; the allocator said no; the item in it was handed out */
} http;

/* desc NULL: requests, all defaults. OK, or E_ARGUMENT when a limit is out of range. */
stream_status http_init(http *h, const http_desc *desc);
/* Returns its memory; a zeroed object is fine. */
void http_free(http *h);
/* Ready for another connection. */
void http_reset(http *h);
/* Lends len bytes until next returns MORE. OK or E_STATE. */
stream_status http_feed(http *h, const void *data, size_t len);
/* OK, MORE, END; E_INVALID, E_TOO_LONG or E_NOMEM, once, with http.status and http.error, and in item->offset
   where it was seen; E_TRUNCATED when the input ends inside a message. */
stream_status http_next(http *h, stream_item *item);
stream_status http_finish(http *h);
stream_decoder http_decoder(http *h);

/* The next response answers a HEAD request: it has no body, whatever its head says. */
void http_expect_no_body(http *h);
/* No message is open, and another may come: before the first, or between two. */
bool http_idle(const http *h);
/* After a HEAD with which the connection changes its protocol: what is left of the loan, which belongs to the
   new one. The decoder has ended. */
stream_slice http_rest(http *h);

/* ---- fields -------------------------------------------------------------------------------------------
   Of a head or of trailers that a decoder handed out: they are well-formed. */

/* The next field line of *rest, which shrinks: false when there is none. The value is without the white space
   around it. */
bool http_field_next(stream_slice *rest, stream_slice *name, stream_slice *value);
/* The value of the first field of that name (any case); ptr NULL when there is none. */
stream_slice http_field(stream_slice fields, const char *name);
/* How many lines have that name. */
size_t http_field_count(stream_slice fields, const char *name);
/* Whether a comma-separated value has that token (any case). */
bool http_list_has(stream_slice value, const char *token);
/* Whether the field is for this hop only: one of those the standard names, or named by a Connection of these
   fields. */
bool http_hop_by_hop(stream_slice fields, stream_slice name);
/* Equal but for the case of ASCII letters. */
bool http_same(stream_slice a, const char *b);

/* ---- writing ------------------------------------------------------------------------------------------
   Into memory of yours. Nothing that is given can make another line: what is no token, target or field value
   is refused. An error stays, so that only the end need be asked. */

typedef struct http_writer {
    char *ptr;
    size_t cap;
    size_t len;           /* bytes written, or, above cap, what room it takes */
    stream_status status; /* OK; E_INVALID: something could not stand where it was put */
} http_writer;

void http_write_begin(http_writer *w, void *memory, size_t cap);
/* METHOD target HTTP/1.1 */
void http_write_request(http_writer *w, stream_slice method, stream_slice target);
/* HTTP/1.1 status reason; reason NULL: the usual one. */
void http_write_response(http_writer *w, int status, const char *reason);
void http_write_field(http_writer *w, const char *name, stream_slice value);
void http_write_text(http_writer *w, const char *name, const char *value);
void http_write_number(http_writer *w, const char *name, uint64_t value);
/* All fields of a head or of trailers but those for this hop only, Host, Content-Length and Expect: what a
   proxy passes on. The framing, and the host, it says for itself. */
void http_write_forwarded(http_writer *w, stream_slice fields);
/* The same, without those of these names either; the list ends with NULL. */
void http_write_forwarded_but(http_writer *w, stream_slice fields, const char *const *names);
/* The empty line. OK; FULL: len says how much room it takes; E_INVALID. */
stream_status http_write_end(http_writer *w);

/* What goes before and behind the bytes of a chunk; len must not be 0, which ends the body. The result is the
   length of what is in head, at most 18. */
size_t http_chunk_head(uint64_t len, char head[18]);
#define HTTP_CHUNK_TAIL "\r\n"
#define HTTP_CHUNK_LAST "0\r\n\r\n"

/* The usual reason phrase; "Unknown" when there is none. */
const char *http_reason(int status);
/* "Sun, 06 Nov 1994 08:49:37 GMT", for Date; without NUL. */
#define HTTP_DATE 29
void http_date(uint64_t unix_seconds, char text[HTTP_DATE]);

/* ---- addresses ---------------------------------------------------------------------------------------- */

typedef struct http_address {
    stream_slice host; /* a name, an IPv4 address, or an IPv6 address without brackets; empty: not given */
    stream_slice unix_path; /* ptr not NULL: a Unix socket, and the rest means nothing */
    uint16_t port;     /* 0: not given */
    bool ipv6;
} http_address;

typedef struct http_url {
    http_address address;
    stream_slice authority; /* host[:port] as it came, "localhost" for a Unix socket: for Host */
    stream_slice target;    /* path and query; "/" when there is none */
} http_url;

/* host, host:port, [IPv6], [IPv6]:port. NULL when it is well-formed, else what is wrong with it. */
const char *http_host_parse(stream_slice text, http_address *address);
/* The same, and :port, and unix:/path: what --listen takes. */
const char *http_address_parse(stream_slice text, http_address *address);
/* http://host[:port][/path][?query], or unix:/socket[:/path]: what --upstream takes. The port is 80 when
   there is none. */
const char *http_url_parse(stream_slice text, http_url *url);

/* The next name=value of a query, both still encoded: false when there is none. */
bool http_query_next(stream_slice *rest, stream_slice *name, stream_slice *value);
/* Undoes percent-encoding; with `form` + is a space. OK; E_INVALID: % without two digits; FULL: *len says how
   much room it takes. dst may be src.ptr's own memory. */
stream_status http_percent_decode(stream_slice src, bool form, char *dst, size_t cap, size_t *len);

#endif
