/* SPDX-License-Identifier: MIT-0
   examples/common/http: messages taken apart as the standards say, under every cut of the input; everything
   that two parsers could read in two ways is refused, with its place; what is written reads back.

   TEST_SCALE=percent scales the random parts (100 by default, 12 under a sanitizer).

   Build: cc -std=c11 -I. -Iexamples/common tests/test_http.c */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "test.h"
#include "cuts.h"
#include "http.c"

/* ==== notes ============================================================================================= */

static void note_head(notes *t, const http *h) {
    static const char *const framing[] = {"none", "length", "chunked", "close"};
    const http_head *d = &h->head;
    notes_add(t, "head 1.%d ", d->minor);
    if (h->role == HTTP_REQUESTS) {
        notes_bytes(t, d->method.ptr, d->method.len);
        notes_add(t, " path=");
        notes_quote(t, d->path.ptr, d->path.len);
        notes_add(t, " query=");
        notes_quote(t, d->query.ptr, d->query.len);
        notes_add(t, " host=");
        notes_quote(t, d->host.ptr, d->host.len);
    } else {
        notes_add(t, "%d ", d->status);
        notes_quote(t, d->reason.ptr, d->reason.len);
    }
    notes_add(t, " %s", framing[d->framing]);
    if (d->framing == HTTP_LENGTH) notes_add(t, "=%llu", (unsigned long long)d->length);
    notes_add(t, "%s%s%s\n", d->keep_alive ? " keep" : " last", d->upgrade ? " upgrade" : "",
              d->expect_continue ? " expect" : "");
}

static void say_http(notes *t, void *self, stream_status status, const stream_item *item) {
    const http *h = (const http *)self;
    if (status != STREAM_OK) {
        if (!h->error) CHECK(false && "an error without a text");
        notes_add(t, "error %d at %llu: %s (%s)\n", h->status, (unsigned long long)item->offset, h->error,
                  stream_status_text(status));
        return;
    }
    if (item->size != item->len) CHECK_EQ(item->size, item->len);
    switch (item->kind) {
    case HTTP_HEAD: note_head(t, h); break;
    case HTTP_BODY: /* pieces are put together */
        if (item->len == 0) CHECK(false && "a piece of nothing");
        if (t->len >= 2 && memcmp(t->ptr + t->len - 2, "]\n", 2) == 0 && h->body > item->len) t->len -= 2;
        else notes_add(t, "body [");
        {
            notes piece = {NULL, 0, 0};
            notes_quote(&piece, item->ptr, item->len);
            notes_bytes(t, piece.ptr + 1, piece.len - 1);
            notes_add(t, "\n");
            notes_free(&piece);
        }
        break;
    case HTTP_TRAILERS: {
        stream_slice rest = stream_slice_of(item->ptr, item->len), name, value;
        notes_add(t, "trailers");
        while (http_field_next(&rest, &name, &value)) {
            notes_add(t, " ");
            notes_quote(t, name.ptr, name.len);
            notes_quote(t, value.ptr, value.len);
        }
        notes_add(t, "\n");
        break;
    }
    case HTTP_DONE: notes_add(t, "done at %llu\n", (unsigned long long)item->offset); break;
    default: CHECK(false && "an item of no kind");
    }
}

static void http_restart(void *self) { http_reset((http *)self); }

/* The input under every cut must be taken as the text says, in which $ is the input's length; NULL: as it is
   taken whole. */
static void check_http(const http_desc *desc, const char *in, size_t n, const char *text) {
    http h;
    subject s;
    notes want = {NULL, 0, 0};
    CHECK_EQ(http_init(&h, desc), STREAM_OK);
    memset(&s, 0, sizeof s);
    s.decoder = http_decoder(&h);
    s.reset = http_restart;
    s.say = say_http;
    s.scanned = offsetof(http, scanned) + 1;
    if (text) {
        for (; *text; text++) {
            if (text[0] == '$' && text[1] == '\n') notes_add(&want, "%zu", n);
            else notes_bytes(&want, text, 1);
        }
    } else {
        subject_restart(&s);
        subject_feed(&s, in, n, LEND_PAGE_START);
        subject_finish(&s);
        notes_bytes(&want, s.got.ptr, s.got.len);
    }
    CUTS_CHECK(&s, in, n, &want);
    notes_free(&s.got);
    notes_free(&want);
    http_free(&h);
}

/* ==== requests ========================================================================================== */

static const example requests[] = {
    EXAMPLE("", ""),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "head 1.1 GET path=[/] query=- host=[a] none keep\ndone at $\n"),
    EXAMPLE("GET /a/b?x=1&y=2 HTTP/1.1\r\nHost: a.b:80\r\nX: y\r\n\r\nGET /2 HTTP/1.1\r\nHost:b\r\n\r\n",
            "head 1.1 GET path=[/a/b?x=1&y=2] query=[x=1&y=2] host=[a.b:80] none keep\ndone at 49\n"
            "head 1.1 GET path=[/2] query=- host=[b] none keep\ndone at $\n"),
    EXAMPLE("\r\nGET /? HTTP/1.1\r\nhOST:\t[::1]:8080 \t\r\n\r\n",
            "head 1.1 GET path=[/?] query=[] host=[[::1\\5d:8080] none keep\ndone at $\n"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "head 1.1 POST path=[/] query=- host=[a] length=5 keep\nbody [hello]\ndone at 52\n"
            "head 1.1 GET path=[/] query=- host=[a] none keep\ndone at $\n"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 000\r\n\r\n",
            "head 1.1 POST path=[/] query=- host=[a] none keep\ndone at $\n"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n",
            "head 1.1 POST path=[/] query=- host=[a] chunked keep\nbody [hello world]\ndone at $\n"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n00a ; a=\"b c\"\t;d\r\n0123456789\r\n000;e\r\nA: b\r\nC:  d \r\n\r\n",
            "head 1.1 POST path=[/] query=- host=[a] chunked keep\nbody [0123456789]\ntrailers [A][b] [C][d]\n"
            "done at $\n"),
    EXAMPLE("GET / HTTP/1.0\r\n\r\n", "head 1.0 GET path=[/] query=- host=- none last\ndone at $\n"),
    EXAMPLE("GET / HTTP/1.0\r\nConnection: foo, Keep-Alive\r\n\r\n",
            "head 1.0 GET path=[/] query=- host=- none keep\ndone at $\n"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, keep-alive\r\n\r\n",
            "head 1.1 GET path=[/] query=- host=[a] none last\ndone at $\n"),
    EXAMPLE("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
            "head 1.1 GET path=[/ws] query=- host=[a] none keep upgrade\ndone at $\n"),
    EXAMPLE("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
            "head 1.1 GET path=[/ws] query=- host=[a] none keep\ndone at $\n"),
    EXAMPLE("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
            "head 1.1 PUT path=[/] query=- host=[a] length=1 keep expect\nbody [x]\ndone at $\n"),
    EXAMPLE("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            "head 1.1 OPTIONS path=[*] query=- host=[a] none keep\ndone at $\n"),
    EXAMPLE("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
            "head 1.1 CONNECT path=[] query=- host=[a:443] none keep\ndone at $\n"),
    EXAMPLE("GET http://Host.example/x?y HTTP/1.1\r\nHost: hoST.example\r\n\r\n",
            "head 1.1 GET path=[/x?y] query=[y] host=[hoST.example] none keep\ndone at $\n"),
    EXAMPLE("GET HTTP://a HTTP/1.1\r\nHost: a\r\n\r\n",
            "head 1.1 GET path=[/] query=- host=[a] none keep\ndone at $\n"),
    EXAMPLE("GET /a?b|{}\\`^[] HTTP/1.1\r\nHost: a\r\nV: \x80\xff\t x\r\nEmpty:\r\n\r\n",
            "head 1.1 GET path=[/a?b|{}\\5c`^[\\5d] query=[b|{}\\5c`^[\\5d] host=[a] none keep\ndone at $\n"),
    EXAMPLE("M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n",
            "head 1.1 M-SEARCH!#$%&'*+.^_`|~ path=[/] query=- host=[a] none keep\ndone at $\n"),
};

static void requests_are_taken_apart(void) {
    size_t i;
    for (i = 0; i < COUNT(requests); i++)
        check_http(NULL, requests[i].ptr, requests[i].len, requests[i].want);
}

/* Everything that has been used to make two parsers disagree, and everything that is simply wrong. What comes
   behind it is never taken for a message: each of these is followed by one that must not appear. */
static const example smuggled[] = {
    /* both lengths, or one twice */
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nhello", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\nhello", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xef\xbc\x95\r\n\r\nhello", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nContent Length: 5\r\n\r\nhello", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nContent-Length\t: 5\r\n\r\nhello", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nContent_Length\0: 5\r\n\r\nhello", "400"),
    /* codings */
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "501"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", "501"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "501"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", "501"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", "501"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", "501"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0b" "chunked\r\n\r\n0\r\n\r\n", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\r\n : chunked\r\n\r\n0\r\n\r\n", "400"),
    EXAMPLE("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nConnection: Transfer-Encoding, content-length\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n", "400"),
    EXAMPLE("POST / HTTP/1.1\r\nHost: a\r\nConnection: a b\r\n\r\n", "400"),
    /* line ends */
    EXAMPLE("GET / HTTP/1.1\nHost: a\n\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\n\n", "400"),
    EXAMPLE("GET / HTTP/1.1\rHost: a\r\r", "400"),
    EXAMPLE("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", "400"),
    EXAMPLE("\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("\r\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE(" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[0m\r\n\r\n", "400"),
    /* the first line */
    EXAMPLE("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1x\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET / http/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "505"),
    EXAMPLE("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"),
    EXAMPLE("GET / HTTP/0.9\r\nHost: a\r\n\r\n", "505"),
    EXAMPLE("GET / HTTP/1.10\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/11\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1,1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET /\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET a HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET * HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET /\"a HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET /<a> HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("CONNECT /a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("\x16\x03\x01\x02\0\x01", "400"), /* TLS */
    EXAMPLE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"), /* HTTP/2 */
    /* Host */
    EXAMPLE("GET / HTTP/1.1\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost:\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a:0\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", "400"),
    /* fields */
    EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\n: no name\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\nna(me: x\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\nn\xc3\xa9: x\r\n\r\n", "400"),
    EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-maybe\r\n\r\n", "417"),
    /* chunks */
#define CHUNKED "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    EXAMPLE(CHUNKED "\r\n", "400"),
    EXAMPLE(CHUNKED "x\r\n", "400"),
    EXAMPLE(CHUNKED "5\nhello\r\n", "400"),
    EXAMPLE(CHUNKED "5\rhello\r\n", "400"),
    EXAMPLE(CHUNKED "5\r\r\nhello\r\n", "400"),
    EXAMPLE(CHUNKED "5 \r\nhello\r\n", "400"),
    EXAMPLE(CHUNKED "5\t\r\nhello\r\n", "400"),
    EXAMPLE(CHUNKED " 5\r\nhello\r\n", "400"),
    EXAMPLE(CHUNKED "+5\r\nhello\r\n", "400"),
    EXAMPLE(CHUNKED "-5\r\nhello\r\n", "400"),
    EXAMPLE(CHUNKED "0x5\r\nhello\r\n", "400"),
    EXAMPLE(CHUNKED "5h\r\nhello\r\n", "400"),
    EXAMPLE(CHUNKED "5,5\r\nhello\r\n", "400"),
    EXAMPLE(CHUNKED "10000000000000005\r\nhello\r\n", "400"),
    EXAMPLE(CHUNKED "8000000000000000\r\nhello\r\n", "400"),
    EXAMPLE(CHUNKED "00000000000000005\r\nhello\r\n", "400"),
    EXAMPLE(CHUNKED "\xef\xbc\x95\r\nhello\r\n", "400"),
    EXAMPLE(CHUNKED "5;\n\r\nhello\r\n", "400"),
    EXAMPLE(CHUNKED "5;a\nb\r\nhello\r\n", "400"),
    EXAMPLE(CHUNKED "5;a\0b\r\nhello\r\n", "400"),
    EXAMPLE(CHUNKED "5;a\rb\r\nhello\r\n", "400"),
    EXAMPLE(CHUNKED "0\r\nX\r\n\r\n", "400"),
    EXAMPLE(CHUNKED "0\r\nX: y\n\r\n", "400"),
    EXAMPLE(CHUNKED "0\r\n X: y\r\n\r\n", "400"),
    EXAMPLE(CHUNKED "0\r\nX : y\r\n\r\n", "400"),
    EXAMPLE(CHUNKED "0\r\nContent-Length: 5\r\n\r\n", "400"),
    EXAMPLE(CHUNKED "0\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
    EXAMPLE(CHUNKED "0\r\nhost: b\r\n\r\n", "400"),
    EXAMPLE(CHUNKED "0\r\n\n", "400"),
};

static void what_could_be_read_in_two_ways_is_refused(void) {
    static const char behind[] = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t i;
    for (i = 0; i < COUNT(smuggled); i++) {
        char in[600];
        size_t n = smuggled[i].len;
        http h;
        stream_item item;
        stream_status st;
        size_t errors = 0;
        memcpy(in, smuggled[i].ptr, n);
        memcpy(in + n, behind, sizeof behind - 1);
        n += sizeof behind - 1;
        check_http(NULL, in, n, NULL);
        CHECK_EQ(http_init(&h, NULL), STREAM_OK);
        http_feed(&h, in, n);
        while ((st = http_next(&h, &item)) != STREAM_MORE) {
            if (st < 0) {
                if (h.status != atoi(smuggled[i].want)) {
                    printf("    of ");
                    test_print_bytes(smuggled[i].ptr, smuggled[i].len);
                    printf(": %s\n", h.error);
                }
                CHECK_EQ(h.status, atoi(smuggled[i].want));
                CHECK(item.offset <= n);
                errors++;
            } else if (item.kind == HTTP_HEAD) {
                CHECK(!http_same(h.head.path, "/smuggled"));
            } else {
                CHECK(item.kind == HTTP_BODY);
            }
        }
        if (errors != 1) {
            printf("    of ");
            test_print_bytes(smuggled[i].ptr, smuggled[i].len);
            putchar('\n');
        }
        CHECK_EQ(errors, 1);
        http_free(&h);
    }
}

static void errors_name_their_place(void) {
    static const example wrong[] = {
        EXAMPLE("GET / HTTP/1.1\r\nHost: a\nX", "error 400 at 23: LF without CR (invalid input)\n"),
        EXAMPLE("GET / HTTP/1.1\r\nHost: a\rX", "error 400 at 24: CR without LF (invalid input)\n"),
        EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\n b",
                "error 400 at 25: line that begins with white space (invalid input)\n"),
        EXAMPLE("GET /\x01", "error 400 at 5: control character in a head (invalid input)\n"),
        EXAMPLE("GET /a\"b HTTP/1.1\r\n\r\n",
                "error 400 at 6: character in the target that must be escaped (invalid input)\n"),
        EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\nCo : x\r\n\r\n",
                "error 400 at 27: white space in or behind a field name (invalid input)\n"),
        EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\n",
                "error 400 at 42: Content-Length that is no number (invalid input)\n"),
        EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                "error 400 at 25: Host more than once (invalid input)\n"),
        EXAMPLE("GET / HTTP/1.1\r\nX: b\r\n\r\n", "error 400 at 16: no Host (invalid input)\n"),
        EXAMPLE("GET / HT",
                "error 400 at 8: the input ended inside a message (input ended inside an item)\n"),
        EXAMPLE("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel",
                "head 1.1 GET path=[/] query=- host=[a] length=5 keep\nbody [hel]\n"
                "error 400 at 49: the input ended inside a message (input ended inside an item)\n"),
        EXAMPLE(CHUNKED "5\r\nhello\r\n0\r\n",
                "head 1.1 POST path=[/] query=- host=[a] chunked keep\nbody [hello]\n"
                "error 400 at 69: the input ended inside a message (input ended inside an item)\n"),
        EXAMPLE(CHUNKED "4\r\nhello\r\n0\r\n\r\n",
                "head 1.1 POST path=[/] query=- host=[a] chunked keep\nbody [hell]\n"
                "error 400 at 63: chunk longer than its size (invalid input)\n"),
        EXAMPLE(CHUNKED "6\r\nhello\r\n0\r\n\r\n",
                "head 1.1 POST path=[/] query=- host=[a] chunked keep\nbody [hello\\0d]\n"
                "error 400 at 65: chunk longer than its size (invalid input)\n"),
    };
    size_t i;
    for (i = 0; i < COUNT(wrong); i++) check_http(NULL, wrong[i].ptr, wrong[i].len, wrong[i].want);
}

/* ==== responses ========================================================================================= */

static void responses_are_taken_apart(void) {
    static const example responses[] = {
        EXAMPLE("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 \r\n\r\n",
                "head 1.1 200 [OK] length=2 keep\nbody [hi]\ndone at 40\nhead 1.1 204 [No Content] none keep\ndone at 67\n"
                "head 1.1 304 [] none keep\ndone at $\n"),
        EXAMPLE("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
                "head 1.1 200 [] chunked keep\nbody [abc]\ntrailers [X][y]\ndone at $\n"),
        EXAMPLE("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                "head 1.1 100 [Continue] none keep\nhead 1.1 103 [Early Hints] none keep\nhead 1.1 200 [OK] none keep\n"
                "done at $\n"),
        EXAMPLE("HTTP/1.1 200 OK\r\n\r\nall of it\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
                "head 1.1 200 [OK] close last\nbody [all of it\\0d\\0a\\0d\\0aHTTP/1.1 200 OK\\0d\\0a\\0d\\0a]\ndone at $\n"),
        EXAMPLE("HTTP/1.0 200 OK\r\n\r\n", "head 1.0 200 [OK] close last\ndone at $\n"),
        EXAMPLE("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
                "head 1.0 200 [OK] length=1 keep\nbody [x]\ndone at $\n"),
        EXAMPLE("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\x81\0",
                "head 1.1 101 [Switching Protocols] close last upgrade\nbody [\\81\\00]\ndone at $\n"),
        EXAMPLE("HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                "head 1.1 204 [No] none keep\ndone at 38\nhead 1.1 200 [OK] none keep\ndone at $\n"),
        EXAMPLE("HTTP/1.1 200 caf\xc3\xa9\r\nContent-Length: 0\r\n\r\n",
                "head 1.1 200 [caf\\c3\\a9] none keep\ndone at $\n"),
        EXAMPLE("\r\nHTTP/1.1 200 OK\r\n\r\n",
                "error 502 at 0: empty line where a head must begin (invalid input)\n"),
        EXAMPLE("HTTP/1.1 2000 OK\r\n\r\n",
                "error 502 at 8: status that is not three digits (invalid input)\n"),
        EXAMPLE("HTTP/1.1 20 OK\r\n\r\n",
                "error 502 at 8: status that is not three digits (invalid input)\n"),
        EXAMPLE("HTTP/1.1  200 OK\r\n\r\n",
                "error 502 at 8: status that is not three digits (invalid input)\n"),
        EXAMPLE("HTTP/1.1 099 OK\r\n\r\n",
                "error 502 at 9: status below 100 or above 599 (invalid input)\n"),
        EXAMPLE("HTTP/1.1 600 OK\r\n\r\n",
                "error 502 at 9: status below 100 or above 599 (invalid input)\n"),
        EXAMPLE("HTTP/2 200 OK\r\n\r\n",
                "error 502 at 0: no HTTP version where one must be (invalid input)\n"),
        EXAMPLE("ICY 200 OK\r\n\r\n", "error 502 at 0: no HTTP version where one must be (invalid input)\n"),
        EXAMPLE("HTTP/1.1 200 OK\nContent-Length: 0\n\n",
                "error 502 at 15: LF without CR (invalid input)\n"),
        EXAMPLE("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "error 502 at 17: Content-Length beside Transfer-Encoding (invalid input)\n"),
        EXAMPLE("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                "error 502 at 36: Content-Length more than once (invalid input)\n"),
        EXAMPLE("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
                "error 502 at 36: Transfer-Encoding other than chunked (invalid input)\n"),
    };
    http_desc desc;
    size_t i;
    memset(&desc, 0, sizeof desc);
    desc.role = HTTP_RESPONSES;
    for (i = 0; i < COUNT(responses); i++)
        check_http(&desc, responses[i].ptr, responses[i].len, responses[i].want);
}

static void a_response_to_head_has_no_body(void) {
    static const char in[] = "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
                             "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    http h;
    http_desc desc;
    stream_item item;
    size_t cut;
    memset(&desc, 0, sizeof desc);
    desc.role = HTTP_RESPONSES;
    CHECK_EQ(http_init(&h, &desc), STREAM_OK);
    for (cut = 0; cut < sizeof in; cut++) {
        notes got = {NULL, 0, 0};
        stream_status st;
        http_reset(&h);
        CHECK(http_idle(&h));
        http_expect_no_body(&h);
        http_feed(&h, in, cut);
        while ((st = http_next(&h, &item)) != STREAM_MORE) say_http(&got, &h, st, &item);
        http_feed(&h, in + cut, sizeof in - 1 - cut);
        while ((st = http_next(&h, &item)) != STREAM_MORE) say_http(&got, &h, st, &item);
        CHECK(http_idle(&h));
        CHECK_TEXT(got.ptr, got.len,
                   "head 1.1 103 [Early] none keep\nhead 1.1 200 [OK] none keep\ndone at 60\n"
                                     "head 1.1 200 [OK] length=2 keep\nbody [hi]\ndone at 100\n");
        notes_free(&got);
    }
    http_free(&h);
}

#define LITERAL(text) text, sizeof(text) - 1

/* ==== limits ============================================================================================ */

static void limits_are_exact(void) {
    http_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.max_head = 64;
    desc.first_head = 1;
    check_http(&desc, LITERAL("GET / HTTP/1.1\r\nHost: a\r\nX: 2345678901234567890123456789012345\r\n\r\n"),
               NULL);
    check_http(&desc, LITERAL("GET / HTTP/1.1\r\nHost: a\r\nX: 23456789012345678901234567890123\r\n\r\n"),
               "head 1.1 GET path=[/] query=- host=[a] none keep\ndone at $\n");
    check_http(&desc, LITERAL("GET / HTTP/1.1\r\nHost: a\r\nX: 234567890123456789012345678901234\r\n\r\n"),
               "error 431 at 64: head longer than max_head (item longer than the limit)\n");
    check_http(&desc, LITERAL("GET /3456789012345678901234567890123456789012345678901234567890123456789"),
               "error 414 at 64: head longer than max_head (item longer than the limit)\n");
    check_http(&desc,
               LITERAL(CHUNKED "0\r\nA: 4567890123456789012345678901234567890123456789012345678901234567\r\n\r\n"), NULL);
    memset(&desc, 0, sizeof desc);
    desc.max_target = 8;
    check_http(&desc, LITERAL("GET /2345678 HTTP/1.1\r\nHost: a\r\n\r\n"),
               "head 1.1 GET path=[/2345678] query=- host=[a] none keep\ndone at $\n");
    check_http(&desc, LITERAL("GET /23456789 HTTP/1.1\r\nHost: a\r\n\r\n"),
               "error 414 at 4: target longer than max_target (item longer than the limit)\n");
    check_http(&desc, LITERAL("GET /2345678901234567890123456789012345678901234567890"),
               "error 414 at 40: target longer than max_target (item longer than the limit)\n");
    memset(&desc, 0, sizeof desc);
    desc.max_fields = 2;
    check_http(&desc, LITERAL("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"),
               "head 1.1 GET path=[/] query=- host=[a] none keep\ndone at $\n");
    check_http(&desc, LITERAL("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nZ: y\r\n\r\n"),
               "error 431 at 36: more fields than max_fields (item longer than the limit)\n");
    check_http(&desc, LITERAL(CHUNKED "0\r\nX: y\r\nZ: y\r\n\r\n"), NULL);
    memset(&desc, 0, sizeof desc);
    desc.max_body = 4;
    check_http(&desc, LITERAL("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n1234"),
               "head 1.1 POST path=[/] query=- host=[a] length=4 keep\nbody [1234]\ndone at $\n");
    check_http(&desc, LITERAL("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345"),
               "error 413 at 0: body longer than max_body (item longer than the limit)\n");
    {
        static const char in[] = CHUNKED "3\r\n123\r\n2\r\n45\r\n0\r\n\r\n";
        check_http(&desc, in, sizeof in - 1,
                   "head 1.1 POST path=[/] query=- host=[a] chunked keep\nbody [1234]\n"
                   "error 413 at 68: body longer than max_body (item longer than the limit)\n");
    }
    {
        static char in[6000] = CHUNKED "1;";
        size_t n = strlen(in);
        memset(in + n, 'e', sizeof in - n);
        check_http(NULL, in, sizeof in, NULL);
    }
}

static void memory_may_be_the_callers_or_refused(void) {
    static const char in[] = "GET /a HTTP/1.1\r\nHost: a\r\nX: some more of it\r\n\r\n";
    char memory[64];
    http_desc desc;
    http h;
    heap heap_;
    stream_item item;
    memset(&desc, 0, sizeof desc);
    desc.memory = memory;
    desc.memory_len = 63;
    CHECK_EQ(http_init(&h, &desc), STREAM_E_ARGUMENT);
    desc.memory_len = sizeof memory;
    check_http(&desc, in, sizeof in - 1, "head 1.1 GET path=[/a] query=- host=[a] none keep\ndone at $\n");
    memset(&desc, 0, sizeof desc);
    desc.max_head = SIZE_MAX / 4 + 1;
    CHECK_EQ(http_init(&h, &desc), STREAM_E_ARGUMENT);

    memset(&heap_, 0, sizeof heap_);
    memset(&desc, 0, sizeof desc);
    desc.allocator = heap_hook(&heap_);
    desc.first_head = 8;
    CHECK_EQ(http_init(&h, &desc), STREAM_OK);
    http_feed(&h, in, sizeof in - 1);
    CHECK_EQ(http_next(&h, &item), STREAM_OK);
    CHECK(item.ptr == in && item.flags == 0);
    CHECK_EQ(http_next(&h, &item), STREAM_OK);
    CHECK_EQ(http_next(&h, &item), STREAM_MORE);
    CHECK_EQ(heap_.requests, 0); /* whole in the loan: nothing is needed */
    http_feed(&h, in, 20);
    CHECK_EQ(http_next(&h, &item), STREAM_MORE);
    CHECK(heap_.live >= 20);
    http_feed(&h, in + 20, sizeof in - 1 - 20);
    CHECK_EQ(http_next(&h, &item), STREAM_OK);
    CHECK_EQ(item.flags, STREAM_COPIED);
    CHECK_TEXT(h.head.path.ptr, h.head.path.len, "/a");
    CHECK_EQ(http_next(&h, &item), STREAM_OK);
    CHECK_EQ(heap_.live, 0); /* an idle connection, and one with a body open, hold nothing */
    CHECK_EQ(http_next(&h, &item), STREAM_MORE);
    heap_.fail_at = heap_.requests + 2;
    http_feed(&h, in, 6);
    CHECK_EQ(http_next(&h, &item), STREAM_MORE);
    http_feed(&h, in + 6, 20);
    CHECK_EQ(http_next(&h, &item), STREAM_MORE);
    http_feed(&h, in + 26, sizeof in - 1 - 26);
    CHECK_EQ(http_next(&h, &item), STREAM_E_NOMEM);
    CHECK_EQ(h.status, 503);
    CHECK_EQ(http_next(&h, &item), STREAM_MORE);
    http_free(&h);
    CHECK_EQ(heap_.live, 0);
    CHECK(!heap_.wrong);
    memset(&h, 0, sizeof h);
    http_free(&h);
}

static void the_rest_belongs_to_the_next_protocol(void) {
    static const char in[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n\x81\x85rest";
    http h;
    stream_item item;
    stream_slice rest;
    CHECK_EQ(http_init(&h, NULL), STREAM_OK);
    http_feed(&h, in, sizeof in - 1);
    CHECK_EQ(http_next(&h, &item), STREAM_OK);
    CHECK(h.head.upgrade);
    rest = http_rest(&h);
    CHECK_TEXT(rest.ptr, rest.len, "\x81\x85rest");
    CHECK_EQ(h.scanned, sizeof in - 1);
    CHECK_EQ(http_next(&h, &item), STREAM_END);
    CHECK_EQ(http_feed(&h, in, 1), STREAM_E_STATE);
    http_free(&h);
}

static void random_bytes_are_taken_alike_under_every_cut(void) {
    static const sample part[] = {
        SAMPLE("GET / HTTP/1.1\r\n"), SAMPLE("POST /x?y HTTP/1.1\r\n"), SAMPLE("HTTP/1.1 200 OK\r\n"), SAMPLE("HTTP/1.1 100 C\r\n"),
        SAMPLE("Host: a\r\n"), SAMPLE("Host: a\r\n\r\n"), SAMPLE("Content-Length: 3\r\n"), SAMPLE("Transfer-Encoding: chunked\r\n"),
        SAMPLE("Transfer-Encoding: chunked\r\n\r\n"), SAMPLE("Connection: close\r\n"), SAMPLE("\r\n"), SAMPLE("\r\n\r\n"), SAMPLE("\r"),
        SAMPLE("\n"), SAMPLE("3\r\nabc\r\n"), SAMPLE("0\r\n\r\n"), SAMPLE("0\r\n"), SAMPLE("abc"), SAMPLE(" "), SAMPLE(":"), SAMPLE("X: y\r\n"),
        SAMPLE("1;x\r\nz\r\n"), SAMPLE("\0"), SAMPLE("\x80"),
    };
    uint64_t seed = 0x477f;
    size_t i, turns = scaled(1500);
    for (i = 0; i < turns; i++) {
        static char in[4096];
        size_t n = 0, pieces = 1 + below(&seed, 12);
        http_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.role = i & 1 ? HTTP_RESPONSES : HTTP_REQUESTS;
        desc.first_head = 1 + below(&seed, 30);
        if (i % 5 == 0) desc.max_body = 1 + below(&seed, 6);
        if (i % 7 == 0) desc.max_fields = 1 + below(&seed, 3);
        if (i % 3) { /* something that begins well */
            const sample *p = &part[i & 1 ? 2 : below(&seed, 2)];
            memcpy(in, p->ptr, p->len);
            n = p->len;
            if (!(i & 1) && i % 4) memcpy(in + n, "Host: a\r\n", 9), n += 9;
        }
        while (pieces--) {
            const sample *p = &part[below(&seed, COUNT(part))];
            memcpy(in + n, p->ptr, p->len);
            n += p->len;
        }
        check_http(&desc, in, n, NULL);
    }
}

/* ==== fields, writing, addresses ======================================================================== */

static void fields_are_found(void) {
    stream_slice f = stream_slice_text("A: 1\r\nb:  two \r\na: 3\r\nConnection: x-hop , close\r\nX-Hop: y\r\n\r\n"), v;
    v = http_field(f, "B");
    CHECK_TEXT(v.ptr, v.len, "two");
    v = http_field(f, "a");
    CHECK_TEXT(v.ptr, v.len, "1");
    CHECK(http_field(f, "c").ptr == NULL);
    CHECK_EQ(http_field_count(f, "a"), 2);
    CHECK_EQ(http_field_count(f, "ab"), 0);
    CHECK(http_list_has(stream_slice_text("gzip, Chunked ,x"), "chunked"));
    CHECK(!http_list_has(stream_slice_text("gzip, chunkedx"), "chunked"));
    CHECK(!http_list_has(stream_slice_text(""), ""));
    CHECK(http_hop_by_hop(f, stream_slice_text("x-HOP")));
    CHECK(http_hop_by_hop(f, stream_slice_text("TE")));
    CHECK(http_hop_by_hop(f, stream_slice_text("Transfer-Encoding")));
    CHECK(!http_hop_by_hop(f, stream_slice_text("b")));
    {
        char out[200];
        http_writer w;
        http_write_begin(&w, out, sizeof out);
        http_write_forwarded(&w,
                             stream_slice_text("Host: a\r\nA: 1\r\nKeep-Alive: 5\r\nConnection: x-hop, close\r\nX-Hop: y\r\n"
                                                   "Content-Length: 5\r\nTE: x\r\nb:  two \r\nUpgrade: z\r\nExpect: 100-continue\r\n\r\n"));
        CHECK_EQ(http_write_end(&w), STREAM_OK);
        CHECK_TEXT(out, w.len, "A: 1\r\nb: two\r\n\r\n");
    }
}

static void heads_are_written_and_nothing_can_be_injected(void) {
    static const char *const bad[] = {"a\r\nX: y", "a\nX: y", "a\r", "\x01", "a\x7f"};
    char out[300];
    http_writer w;
    size_t i, cap, len;
    http_write_begin(&w, out, sizeof out);
    http_write_response(&w, 200, NULL);
    http_write_text(&w, "Content-Type", "text/event-stream");
    http_write_number(&w, "Content-Length", UINT64_MAX);
    http_write_field(&w, "X", stream_slice_of("a\tb\xff", 4));
    CHECK_EQ(http_write_end(&w), STREAM_OK);
    CHECK_TEXT(out, w.len,
               "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 18446744073709551615\r\n"
                           "X: a\tb\xff\r\n\r\n");
    len = w.len;
    for (cap = 0; cap < len; cap++) {
        memset(out, '#', sizeof out);
        http_write_begin(&w, out, cap);
        http_write_response(&w, 200, NULL);
        http_write_text(&w, "Content-Type", "text/event-stream");
        http_write_number(&w, "Content-Length", UINT64_MAX);
        http_write_field(&w, "X", stream_slice_of("a\tb\xff", 4));
        CHECK_EQ(http_write_end(&w), STREAM_FULL);
        CHECK_EQ(w.len, len);
        CHECK_EQ(out[cap], '#');
    }
    http_write_begin(&w, out, sizeof out);
    http_write_request(&w, stream_slice_text("GET"), stream_slice_text("/x?y"));
    CHECK_EQ(http_write_end(&w), STREAM_OK);
    CHECK_TEXT(out, w.len, "GET /x?y HTTP/1.1\r\n\r\n");
    for (i = 0; i < COUNT(bad); i++) {
        http_write_begin(&w, out, sizeof out);
        http_write_text(&w, "A", bad[i]);
        CHECK_EQ(http_write_end(&w), STREAM_E_INVALID);
        http_write_begin(&w, out, sizeof out);
        http_write_text(&w, bad[i], "a");
        CHECK_EQ(http_write_end(&w), STREAM_E_INVALID);
        http_write_begin(&w, out, sizeof out);
        http_write_number(&w, bad[i], 1);
        CHECK_EQ(http_write_end(&w), STREAM_E_INVALID);
        http_write_begin(&w, out, sizeof out);
        http_write_response(&w, 200, bad[i]);
        CHECK_EQ(http_write_end(&w), STREAM_E_INVALID);
        http_write_begin(&w, out, sizeof out);
        http_write_request(&w, stream_slice_text("GET"), stream_slice_text(bad[i]));
        CHECK_EQ(http_write_end(&w), STREAM_E_INVALID);
        http_write_begin(&w, out, sizeof out);
        http_write_request(&w, stream_slice_text(bad[i]), stream_slice_text("/"));
        CHECK_EQ(http_write_end(&w), STREAM_E_INVALID);
    }
    http_write_begin(&w, out, sizeof out);
    http_write_request(&w, stream_slice_text("GET"), stream_slice_text("/ HTTP/1.1"));
    CHECK_EQ(http_write_end(&w), STREAM_E_INVALID);
    http_write_begin(&w, out, sizeof out);
    http_write_response(&w, 99, NULL);
    CHECK_EQ(http_write_end(&w), STREAM_E_INVALID);
    http_write_begin(&w, out, sizeof out);
    http_write_text(&w, "", "x");
    CHECK_EQ(http_write_end(&w), STREAM_E_INVALID);
}

static void chunks_written_read_back(void) {
    static const uint64_t sizes[] = {1, 9, 10, 15, 16, 255, 256, 4095, 65536, UINT64_C(0xfffffffff),
                                     UINT64_MAX};
    static const char *const want[] = {"1", "9", "a", "f", "10", "ff", "100", "fff", "10000", "fffffffff",
                                       "ffffffffffffffff"};
    char head[18];
    size_t i, n;
    for (i = 0; i < COUNT(sizes); i++) {
        n = http_chunk_head(sizes[i], head);
        CHECK(n == strlen(want[i]) + 2 && n <= sizeof head);
        CHECK_BYTES(head, n - 2, want[i], strlen(want[i]));
        CHECK_BYTES(head + n - 2, 2, "\r\n", 2);
    }
}

static void dates_are_written_as_the_standard_does(void) {
    static const struct {
        uint64_t seconds;
        const char *text;
    } dates[] = {{0, "Thu, 01 Jan 1970 00:00:00 GMT"},          {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
                 {951782399, "Mon, 28 Feb 2000 23:59:59 GMT"},  {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
                 {1709251199, "Thu, 29 Feb 2024 23:59:59 GMT"}, {4107542400,
                                                                 "Mon, 01 Mar 2100 00:00:00 GMT"},
                 {1767225599, "Wed, 31 Dec 2025 23:59:59 GMT"}, {253402300799,
                                                                 "Fri, 31 Dec 9999 23:59:59 GMT"}};
    char text[HTTP_DATE];
    size_t i;
    for (i = 0; i < COUNT(dates); i++) {
        http_date(dates[i].seconds, text);
        CHECK_TEXT(text, sizeof text, dates[i].text);
    }
}

static void reasons_are_the_registered_ones(void) {
    CHECK_TEXT(http_reason(200), strlen(http_reason(200)), "OK");
    CHECK_TEXT(http_reason(418), strlen(http_reason(418)), "Unknown");
    CHECK_TEXT(http_reason(431), strlen(http_reason(431)), "Request Header Fields Too Large");
}

static void addresses_are_taken_apart(void) {
    static const struct {
        const char *text, *host;
        uint16_t port;
        bool ipv6;
    } good[] = {{"a", "a", 0, false},
                {"a:1", "a", 1, false},
                {"127.0.0.1:65535", "127.0.0.1", 65535, false},
                {"my_host-1.example.:080", "my_host-1.example.", 80, false},
                {"[::]", "::", 0, true},
                {"[::1]:8080", "::1", 8080, true},
                {"[1:2:3:4:5:6:7:8]", "1:2:3:4:5:6:7:8", 0, true},
                {"[1::8]", "1::8", 0, true},
                {"[1:2:3:4:5:6:7::]", "1:2:3:4:5:6:7::", 0, true},
                {"[::ffff:1.2.3.4]:5", "::ffff:1.2.3.4", 5, true},
                {"[1:2:3:4:5:6:255.0.0.1]", "1:2:3:4:5:6:255.0.0.1", 0, true}};
    static const char *const bad[] = {"",          ":",           "a:",          "a:0",         "a:65536",
                                      "a:123456",
                                      "a:x",       "a b",         "a/b",         "a@b",         "a%41",      "[",
                                      "[]",        "[:]",         "[:::]",       "[1]",         "[1:2:3:4:5:6:7]",
                                      "[1:2:3:4:5:6:7:8:9]",      "[1::2::3]",   "[12345::]",   "[::1]a",    "[::1]:",
                                      "[::1%eth0]", "[1:2:3:4:5:6:7:1.2.3.4]",   "[::1.2.3]",   "[::1.2.3.256]",
                                      "[::01.2.3.4]", "[:1::2]",  "[1:2:3:4:5:6:7:8:]", "[1:2:3:4::5:6:7:8]", "::1"};
    http_address a;
    size_t i;
    for (i = 0; i < COUNT(good); i++) {
        const char *wrong = http_host_parse(stream_slice_text(good[i].text), &a);
        if (wrong) printf("    %s: %s\n", good[i].text, wrong);
        CHECK(wrong == NULL);
        CHECK_TEXT(a.host.ptr, a.host.len, good[i].host);
        CHECK_EQ(a.port, good[i].port);
        CHECK_EQ(a.ipv6, good[i].ipv6);
    }
    for (i = 0; i < COUNT(bad); i++) {
        if (!http_host_parse(stream_slice_text(bad[i]), &a)) printf("    %s is taken\n", bad[i]);
        CHECK(http_host_parse(stream_slice_text(bad[i]), &a) != NULL);
    }
    {
        static char longest[300];
        memset(longest, 'a', sizeof longest);
        CHECK(http_host_parse(stream_slice_of(longest, 253), &a) == NULL);
        CHECK(http_host_parse(stream_slice_of(longest, 254), &a) != NULL);
        memcpy(longest, "unix:/", 6);
        CHECK(http_address_parse(stream_slice_of(longest, 5 + 107), &a) == NULL);
        CHECK(a.unix_path.len == 107 && a.unix_path.ptr == longest + 5);
        CHECK(http_address_parse(stream_slice_of(longest, 5 + 108), &a) != NULL);
    }
    CHECK(http_address_parse(stream_slice_text(":8080"), &a) == NULL);
    CHECK(a.port == 8080 && a.host.len == 0 && a.unix_path.ptr == NULL);
    CHECK(http_address_parse(stream_slice_text(":"), &a) != NULL);
    CHECK(http_address_parse(stream_slice_text("unix:"), &a) != NULL);
    CHECK(http_address_parse(stream_slice_of("unix:/a\0b", 9), &a) != NULL);
    CHECK(http_address_parse(stream_slice_text("localhost:1"), &a) == NULL && a.port == 1);
}

static void urls_are_taken_apart(void) {
    static const struct {
        const char *text, *host, *authority, *target, *path;
        uint16_t port;
    } good[] = {{"http://a", "a", "a", "/", "", 80},
                {"HTTP://a:8080/", "a", "a:8080", "/", "", 8080},
                {"http://[::1]:9/x/y?z=1&w", "::1", "[::1]:9", "/x/y?z=1&w", "", 9},
                {"unix:/run/s.sock", "", "localhost", "/", "/run/s.sock", 0},
                {"unix:/run/s.sock:/v1?x", "", "localhost", "/v1?x", "/run/s.sock", 0}};
    static const char *const bad[] = {"",         "a",       "https://a", "ftp://a", "http://", "http:///x",
                                      "http://u:p@a/",
                                      "http://a/ b", "http://a/#f", "http://a:0/", "http://a?x", "http://a/\"", "unix:", "unix:/a:b"};
    http_url u;
    size_t i;
    for (i = 0; i < COUNT(good); i++) {
        CHECK(http_url_parse(stream_slice_text(good[i].text), &u) == NULL);
        CHECK_TEXT(u.address.host.ptr, u.address.host.len, good[i].host);
        CHECK_TEXT(u.address.unix_path.ptr, u.address.unix_path.len, good[i].path);
        CHECK_TEXT(u.authority.ptr, u.authority.len, good[i].authority);
        CHECK_TEXT(u.target.ptr, u.target.len, good[i].target);
        CHECK_EQ(u.address.port, good[i].port);
    }
    for (i = 0; i < COUNT(bad); i++) {
        if (!http_url_parse(stream_slice_text(bad[i]), &u)) printf("    %s is taken\n", bad[i]);
        CHECK(http_url_parse(stream_slice_text(bad[i]), &u) != NULL);
    }
}

static void queries_are_decoded(void) {
    stream_slice q = stream_slice_text("topic=a%20b&&x&=y&topic=c+d%2B&"), name, value;
    char out[16];
    size_t len, n = 0;
    static const char *const want[][2] = {{"topic", "a%20b"}, {"x", ""}, {"", "y"}, {"topic", "c+d%2B"}};
    while (http_query_next(&q, &name, &value)) {
        CHECK(n < 4);
        CHECK_TEXT(name.ptr, name.len, want[n][0]);
        CHECK_TEXT(value.ptr, value.len, want[n][1]);
        n++;
    }
    CHECK_EQ(n, 4);
    CHECK_EQ(http_percent_decode(stream_slice_text("c+d%2B%00%fF"), true, out, sizeof out, &len), STREAM_OK);
    CHECK_BYTES(out, len, "c d+\0\xff", 6);
    CHECK_EQ(http_percent_decode(stream_slice_text("c+d"), false, out, sizeof out, &len), STREAM_OK);
    CHECK_TEXT(out, len, "c+d");
    CHECK_EQ(http_percent_decode(stream_slice_text("%"), false, out, sizeof out, &len), STREAM_E_INVALID);
    CHECK_EQ(http_percent_decode(stream_slice_text("a%4"), false, out, sizeof out, &len), STREAM_E_INVALID);
    CHECK_EQ(http_percent_decode(stream_slice_text("%4g"), false, out, sizeof out, &len), STREAM_E_INVALID);
    CHECK_EQ(http_percent_decode(stream_slice_text("%+1"), false, out, sizeof out, &len), STREAM_E_INVALID);
    CHECK_EQ(http_percent_decode(stream_slice_text("%41%42%43"), false, out, 2, &len), STREAM_FULL);
    CHECK_EQ(len, 3);
    strcpy(out, "%41x%42");
    CHECK_EQ(http_percent_decode(stream_slice_text(out), false, out, sizeof out, &len), STREAM_OK);
    CHECK_TEXT(out, len, "AxB");
}

int main(void) {
    TEST_PROGRAM("http");
    RUN(requests_are_taken_apart);
    RUN(what_could_be_read_in_two_ways_is_refused);
    RUN(errors_name_their_place);
    RUN(responses_are_taken_apart);
    RUN(a_response_to_head_has_no_body);
    RUN(limits_are_exact);
    RUN(memory_may_be_the_callers_or_refused);
    RUN(the_rest_belongs_to_the_next_protocol);
    RUN(random_bytes_are_taken_alike_under_every_cut);
    RUN(fields_are_found);
    RUN(heads_are_written_and_nothing_can_be_injected);
    RUN(chunks_written_read_back);
    RUN(dates_are_written_as_the_standard_does);
    RUN(reasons_are_the_registered_ones);
    RUN(addresses_are_taken_apart);
    RUN(urls_are_taken_apart);
    RUN(queries_are_decoded);
    return test_end();
}
