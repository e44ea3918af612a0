/* SPDX-License-Identifier: MIT-0
   examples/common/websocket and digest: frames against a naive reference written from RFC 6455, under every cut
   of the input; the cases of that standard one by one; the handshake; what is written reads back.

   TEST_SCALE=percent scales the random parts (100 by default, 12 under a sanitizer).

   Build: cc -std=c11 -I. -Iexamples/common tests/test_websocket.c */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#include "test.h"
#include "cuts.h"
#include "digest.c"
#include "http.c"
#include "websocket.c"

/* ==== digests =========================================================================================== */

static void sha1_is_the_standards(void) {
    static const struct {
        const char *text;
        size_t repeat;
        const char *hex;
    } known[] = {{"", 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
                 {"abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d"},
                 {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
                  "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
                 {"a", 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"},
                 {"0123456701234567012345670123456701234567012345670123456701234567", 10,
                  "dea356a2cddd90c7a7ecedc5ebb563934f460452"}};
    static char text[1000000];
    size_t i, k;
    for (i = 0; i < COUNT(known); i++) {
        uint8_t digest[SHA1_LEN];
        char hex[41];
        size_t n = strlen(known[i].text);
        for (k = 0; k < known[i].repeat; k++) memcpy(text + k * n, known[i].text, n);
        sha1(text, n * known[i].repeat, digest);
        for (k = 0; k < SHA1_LEN; k++) snprintf(hex + 2 * k, 3, "%02x", digest[k]);
        CHECK_TEXT(hex, 40, known[i].hex);
    }
    { /* every length about the ends of a block: the digest of all their digests,
     by another implementation */
        static char all[200 * SHA1_LEN];
        uint8_t digest[SHA1_LEN];
        char hex[41];
        memset(text, 'x', 200);
        for (i = 0; i < 200; i++) {
            sha1(text, i, digest);
            memcpy(all + i * SHA1_LEN, digest, SHA1_LEN);
        }
        sha1(all, sizeof all, digest);
        for (k = 0; k < SHA1_LEN; k++) snprintf(hex + 2 * k, 3, "%02x", digest[k]);
        CHECK_TEXT(hex, 40, "bbd580c3a0c872a603baa084a09981df9eb680e5");
    }
}

static void base64_is_the_standards_and_strict(void) {
    static const char *const known[][2] = {{"", ""},         {"f", "Zg=="},         {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar",
                                                                                         "Zm9vYmFy"}};
    static const char *const bad[] = {"Z",     "Zg",    "Zg=",      "Zg===",    "Zh==", "Zm9=", "Z===",
                                      "====",
                                      "Zm9v=", "Zg==Zg==", "Zm-v", "Zm_v", "Zm9\n", " Zm9", "Zm=v", "Z=9v"};
    uint8_t bytes[64], back[66];
    char text[96];
    uint64_t seed = 64;
    size_t i, k, n;
    for (i = 0; i < COUNT(known); i++) {
        n = strlen(known[i][0]);
        base64_encode(known[i][0], n, text);
        CHECK_TEXT(text, BASE64_LEN(n), known[i][1]);
    }
    for (i = 0; i < COUNT(bad); i++) CHECK(!base64_decode(bad[i], strlen(bad[i]), back, &n));
    CHECK(!base64_decode("Zm\0v", 4, back, &n));
    for (i = 0; i < scaled(2000); i++) {
        size_t len = below(&seed, sizeof bytes);
        for (k = 0; k < len; k++) bytes[k] = (uint8_t)test_random(&seed);
        base64_encode(bytes, len, text);
        CHECK(base64_decode(text, BASE64_LEN(len), back, &n));
        CHECK_BYTES(back, n, bytes, len);
    }
    CHECK(same_secret("abc", 3, "abc", 3));
    CHECK(!same_secret("abc", 3, "abd", 3));
    CHECK(!same_secret("abc", 3, "abcd", 4));
    CHECK(!same_secret("abc", 3, "ab", 2));
    CHECK(same_secret("", 0, "", 0));
}

static void masks_are_the_same_at_every_length_and_place(void) {
    static const uint8_t mask[4] = {0x12, 0xef, 0x00, 0xa5};
    char room[96], want[96];
    size_t align, len, at, i;
    for (align = 0; align < 9; align++) {
        for (len = 0; len < 70; len++) {
            for (at = 0; at < 9; at++) {
                for (i = 0; i < sizeof room; i++) room[i] = (char)(i * 7);
                memcpy(want, room, sizeof room);
                for (i = 0; i < len; i++)
                    want[align + i] = (char)(want[align + i] ^ (char)mask[(at + i) % 4]);
                ws_mask(room + align, len, mask, at);
                CHECK_BYTES(room, sizeof room, want, sizeof want);
            }
        }
    }
}

/* ==== frames ============================================================================================ */

static void say_ws(notes *t, void *self, stream_status status, const stream_item *item) {
    static bool open;
    const ws *w = (const ws *)self;
    if (t->len == 0) open = false;
    if (status != STREAM_OK) {
        if (open) notes_add(t, "\n");
        open = false;
        notes_add(t, "error %d at %llu: %s (%s)\n", w->close_code, (unsigned long long)item->offset,
                  w->error,
                  stream_status_text(status));
        return;
    }
    if (item->size != item->len) CHECK_EQ(item->size, item->len);
    if (item->kind >= 8) {
        if (open) notes_add(t, " ");
        notes_add(t, "<%s ", item->kind == WS_CLOSE ? "close" : item->kind == WS_PING ? "ping" : "pong");
        if (item->kind == WS_CLOSE) notes_add(t, "%d ", w->close_code);
        notes_quote(t, item->len ? item->ptr : "", item->len);
        notes_add(t, " at %llu>%s", (unsigned long long)item->offset, open ? " " : "\n");
        CHECK((item->flags & (WS_FIRST | WS_LAST)) == (WS_FIRST | WS_LAST));
        return;
    }
    if (item->flags & WS_FIRST) {
        if (open) CHECK(false && "a message begins inside another");
        notes_add(t, "%s at %llu: ", item->kind == WS_TEXT ? "text" : "binary",
                  (unsigned long long)item->offset);
    } else if (!open) {
        CHECK(false && "a message without a beginning");
    }
    open = true;
    {
        notes piece = {NULL, 0, 0};
        notes_quote(&piece, item->len ? item->ptr : "", item->len);
        notes_bytes(t, piece.ptr + 1, piece.len - 2);
        notes_free(&piece);
    }
    if (item->flags & WS_LAST) {
        notes_add(t, "|\n");
        open = false;
    }
}

static ws_desc restart_desc;
static void ws_restart(void *self) { ws_init((ws *)self, &restart_desc); }

/* NULL: as it is taken whole. */
static void check_ws(ws_role role, uint64_t max_message, const char *in, size_t n, const char *text) {
    static ws w;
    subject s;
    notes want = {NULL, 0, 0};
    memset(&restart_desc, 0, sizeof restart_desc);
    restart_desc.role = role;
    restart_desc.max_message = max_message;
    ws_init(&w, &restart_desc);
    memset(&s, 0, sizeof s);
    s.decoder = ws_decoder(&w);
    s.reset = ws_restart;
    s.say = say_ws;
    s.scanned = offsetof(ws, scanned) + 1;
    if (text) {
        notes_bytes(&want, text, strlen(text));
    } else {
        subject_restart(&s);
        subject_feed(&s, in, n, LEND_PAGE_START);
        subject_finish(&s);
        notes_bytes(&want, s.got.ptr, s.got.len);
    }
    CUTS_CHECK(&s, in, n, &want);
    notes_free(&s.got);
    notes_free(&want);
}

/* As a client reads them, without masks. The first six are the examples of RFC 6455, 5.7. */
static const example frames[] = {
    EXAMPLE("\x81\x05Hello", "text at 2: Hello|\n"),
    EXAMPLE("\x01\x03Hel\x80\x02lo", "text at 2: Hello|\n"),
    EXAMPLE("\x89\x05Hello\x8a\x05Hello", "<ping [Hello] at 2>\n<pong [Hello] at 9>\n"),
    EXAMPLE("\x82\0", "binary at 2: |\n"),
    EXAMPLE("\x81\0\x82\x01\0", "text at 2: |\nbinary at 4: \\00|\n"),
    EXAMPLE("\x01\0\0\0\x80\0", "text at 6: |\n"),
    EXAMPLE("\x01\x01" "a\x89\0\0\x01" "b\x8a\x02xy\x80\x01" "c",
            "text at 2: a <ping [] at 5> b <pong [xy] at 10> c|\n"),
    EXAMPLE("\x88\0", "<close 1005 [] at 2>\n"),
    EXAMPLE("\x88\x02\x03\xe8", "<close 1000 [\\03\\e8] at 2>\n"),
    EXAMPLE("\x88\x05\x0f\xa0" "bye\x81\x05" "after", "<close 4000 [\\0f\\a0bye] at 2>\n"),
    EXAMPLE("\x01\x01" "a\x88\0\x80\x01" "b", "text at 2: a <close 1005 [] at 5> "),
    /* reserved */
    EXAMPLE("\xc1\0", "error 1002 at 0: reserved bit set (invalid input)\n"),
    EXAMPLE("\xa1\0", "error 1002 at 0: reserved bit set (invalid input)\n"),
    EXAMPLE("\x91\0", "error 1002 at 0: reserved bit set (invalid input)\n"),
    EXAMPLE("\xf9\0", "error 1002 at 0: reserved bit set (invalid input)\n"),
    EXAMPLE("\x83\0", "error 1002 at 0: reserved opcode (invalid input)\n"),
    EXAMPLE("\x87\0", "error 1002 at 0: reserved opcode (invalid input)\n"),
    EXAMPLE("\x8b\0", "error 1002 at 0: reserved opcode (invalid input)\n"),
    EXAMPLE("\x8f\0", "error 1002 at 0: reserved opcode (invalid input)\n"),
    /* fragments */
    EXAMPLE("\x80\0", "error 1002 at 0: continuation of no message (invalid input)\n"),
    EXAMPLE("\x81\x01" "a\x80\0",
            "text at 2: a|\nerror 1002 at 3: continuation of no message (invalid input)\n"),
    EXAMPLE("\0\x01" "a", "error 1002 at 0: continuation of no message (invalid input)\n"),
    EXAMPLE("\x01\x01" "a\x81\x01" "b",
            "text at 2: a\nerror 1002 at 3: message inside a message (invalid input)\n"),
    EXAMPLE("\x02\x01" "a\x01\x01" "b",
            "binary at 2: a\nerror 1002 at 3: message inside a message (invalid input)\n"),
    EXAMPLE("\x09\0", "error 1002 at 0: control frame in fragments (invalid input)\n"),
    EXAMPLE("\x08\0", "error 1002 at 0: control frame in fragments (invalid input)\n"),
    EXAMPLE("\x89\x7e\0\x7e", "error 1002 at 1: control frame longer than 125 bytes (invalid input)\n"),
    EXAMPLE("\x88\x7f", "error 1002 at 1: control frame longer than 125 bytes (invalid input)\n"),
    EXAMPLE("\x81\x80\0\0\0\0", "error 1002 at 1: frame with a mask (invalid input)\n"),
    /* lengths */
    EXAMPLE("\x82\x7e\0\x7d", "error 1002 at 3: length that is not in its shortest form (invalid input)\n"),
    EXAMPLE("\x82\x7f\0\0\0\0\0\0\xff\xff",
            "error 1002 at 9: length that is not in its shortest form (invalid input)\n"),
    EXAMPLE("\x82\x7f\x80\0\0\0\0\0\0\0", "error 1002 at 9: length above 2^63 (invalid input)\n"),
    EXAMPLE("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff" "a",
            "error 1009 at 10: message longer than max_message (item longer than the limit)\n"),
    EXAMPLE("\x82\x7f\0\0\0\0\0\x10\0\1",
            "error 1009 at 10: message longer than max_message (item longer than the limit)\n"),
    EXAMPLE("\x02\x01" "a\0\x7f\0\0\0\0\0\x10\0\0",
            "binary at 2: a\nerror 1009 at 13: message longer than max_message (item longer than the limit)\n"),
    /* Close */
    EXAMPLE("\x88\x01\x03", "error 1002 at 3: Close with half a code (invalid input)\n"),
    EXAMPLE("\x88\x02\x03\xe7", "error 1002 at 4: Close with a code that none may send (invalid input)\n"),
    EXAMPLE("\x88\x02\x03\xed", "error 1002 at 4: Close with a code that none may send (invalid input)\n"),
    EXAMPLE("\x88\x03\x03\xe8\xff",
            "error 1007 at 5: Close with a reason that is no UTF-8 (invalid input)\n"),
    EXAMPLE("\x88\x04\x03\xe8\xe2\x82",
            "error 1007 at 6: Close with a reason that is no UTF-8 (invalid input)\n"),
    /* UTF-8: at the first byte that cannot be, and only there */
    EXAMPLE("\x81\x05" "ab\xff" "cd",
            "text at 2: ab\nerror 1007 at 4: text that is no UTF-8 (invalid input)\n"),
    EXAMPLE("\x81\x02\xc3\x28", "text at 2: \\c3\nerror 1007 at 3: text that is no UTF-8 (invalid input)\n"),
    EXAMPLE("\x81\x01\xc3", "text at 2: \\c3\nerror 1007 at 3: text that is no UTF-8 (invalid input)\n"),
    EXAMPLE("\x81\x01\xff", "error 1007 at 2: text that is no UTF-8 (invalid input)\n"),
    EXAMPLE("\x01\x02\xf0\x9f\x89\0\0\x01\x92\x80\x01\xa9",
            "text at 2: \\f0\\9f <ping [] at 6> \\92\\a9|\n"),
    EXAMPLE("\x01\x02\xf0\x9f\x80\x01\x92",
            "text at 2: \\f0\\9f\\92\nerror 1007 at 7: text that is no UTF-8 (invalid input)\n"),
    EXAMPLE("\x01\x01\xc3\x80\0",
            "text at 2: \\c3\nerror 1007 at 5: text that is no UTF-8 (invalid input)\n"),
    EXAMPLE("\x81\x03\xed\xa0\x80",
            "text at 2: \\ed\nerror 1007 at 3: text that is no UTF-8 (invalid input)\n"),
    EXAMPLE("\x81\x04\xf4\x90\x80\x80",
            "text at 2: \\f4\nerror 1007 at 3: text that is no UTF-8 (invalid input)\n"),
    EXAMPLE("\x82\x02\xc3\x28", "binary at 2: \\c3(|\n"),
    EXAMPLE("\x81\x01\x61\x81\x01\xa9",
            "text at 2: a|\nerror 1007 at 5: text that is no UTF-8 (invalid input)\n"),
    /* the end in the middle */
    EXAMPLE("", ""),
    EXAMPLE("\x81", "error 1006 at 1: the input ended inside a message (input ended inside an item)\n"),
    EXAMPLE("\x81\x02" "a",
            "text at 2: a\nerror 1006 at 3: the input ended inside a message (input ended inside an item)\n"),
    EXAMPLE("\x01\x01" "a",
            "text at 2: a\nerror 1006 at 3: the input ended inside a message (input ended inside an item)\n"),
    EXAMPLE("\x89\x02" "a",
            "error 1006 at 3: the input ended inside a message (input ended inside an item)\n"),
    EXAMPLE("\x82\x7e\1",
            "error 1006 at 3: the input ended inside a message (input ended inside an item)\n"),
};

static void frames_are_read_as_the_standard_says(void) {
    size_t i;
    for (i = 0; i < COUNT(frames); i++) check_ws(WS_CLIENT, 0, frames[i].ptr, frames[i].len, frames[i].want);
    check_ws(WS_SERVER, 0, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11,
             "text at 6: Hello|\n"); /* RFC 6455, 5.7 */
    check_ws(WS_SERVER, 0, "\x81\x05Hello", 7, "error 1002 at 1: frame without a mask (invalid input)\n");
    check_ws(WS_SERVER, 0, "\x89\x80" "abcd", 6, "<ping [] at 6>\n");
    check_ws(WS_SERVER, 4, "\x82\x84\0\0\0\0" "abcd\x82\x85\0\0\0\0" "abcde", 21,
             "binary at 6: abcd|\nerror 1009 at 16: message longer than max_message (item longer than the limit)\n");
}

static void every_close_code_is_judged(void) {
    int code;
    for (code = 0; code < 65536; code++) {
        char in[4] = {(char)(unsigned char)0x88, 2, (char)(unsigned char)(code >> 8),
                      (char)(unsigned char)(code & 255)};
        bool good = (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
                    (code >= 3000 && code <= 4999);
        ws_desc desc;
        ws w;
        stream_item item;
        stream_status st;
        memset(&desc, 0, sizeof desc);
        desc.role = WS_CLIENT;
        ws_init(&w, &desc);
        ws_feed(&w, in, 4);
        st = ws_next(&w, &item);
        if (st != (good ? STREAM_OK : STREAM_E_INVALID) || w.close_code != (good ? code : 1002))
            CHECK_EQ(code, -1);
        CHECK_EQ(w.closed, good);
    }
}

/* Messages of every length about the edges, cut into random frames with controls between, written by ws_head
   and masked: what is read is what went in. */
static void what_is_written_reads_back(void) {
    static const size_t edge[] = {0, 1, 2, 7, 8, 9, 124, 125, 126, 127, 128, 255, 256, 65535, 65536, 65537};
    uint64_t seed = 0x3b5;
    size_t turn, role;
    static char payload[70000], wire[200000], got[70000];
    for (turn = 0; turn < sizeof payload; turn++) payload[turn] = (char)(turn * 31 >> 3);
    for (role = 0; role < 2; role++) {
        for (turn = 0; turn < scaled(400); turn++) {
            size_t len = turn < COUNT(edge) ? edge[turn] : below(&seed,
                turn % 8 ? 300 : 66000), at = 0, n = 0, pings = 0;
            ws_desc desc;
            ws w;
            stream_item item;
            stream_status st;
            bool done = false, first = true;
            memset(&desc, 0, sizeof desc);
            desc.role = role ? WS_CLIENT : WS_SERVER;
            do {
                size_t part = turn % 3 ? below(&seed, len - at + 1) : len - at;
                uint8_t mask[4];
                uint64_t random = test_random(&seed);
                memcpy(mask, &random, 4);
                if (turn % 5 == 0) {
                    n += ws_head(WS_PING, true, 3, role ? NULL : mask, wire + n);
                    memcpy(wire + n, "abc", 3);
                    if (!role) ws_mask(wire + n, 3, mask, 0);
                    n += 3;
                    pings++;
                }
                done = at + part == len && (turn & 1 || part == 0 || turn % 3 == 0);
                n += ws_head(first ? WS_BINARY : 0, done, part, role ? NULL : mask, wire + n);
                memcpy(wire + n, payload + at, part);
                if (!role) ws_mask(wire + n, part, mask, 0);
                n += part;
                at += part;
                first = false;
            } while (!done && n < sizeof wire - 70000);
            if (!done) {
                n += ws_head(0, true, 0, role ? NULL : (const uint8_t *)"mask", wire + n);
                len = at;
            }
            ws_init(&w, &desc);
            at = 0;
            done = false;
            {
                size_t from = 0, step = turn % 4 ? 1 + below(&seed, 5000) : n;
                for (; from < n; from += step) {
                    ws_feed(&w, wire + from, step < n - from ? step : n - from);
                    while ((st = ws_next(&w, &item)) != STREAM_MORE) {
                        CHECK_EQ(st, STREAM_OK);
                        if (st != STREAM_OK) break;
                        if (item.kind == WS_PING) {
                            CHECK_TEXT(item.ptr, item.len, "abc");
                            pings--;
                            continue;
                        }
                        if (at + item.len <= sizeof got) memcpy(got + at, item.ptr, item.len);
                        at += item.len;
                        if (item.flags & WS_LAST) done = true;
                    }
                }
            }
            ws_finish(&w);
            CHECK_EQ(ws_next(&w, &item), STREAM_END);
            CHECK(done);
            CHECK_EQ(pings, 0);
            CHECK_BYTES(got, at, payload, len);
        }
    }
}

static void random_frames_are_taken_alike_under_every_cut(void) {
    uint64_t seed = 0x6455;
    size_t i, turns = scaled(1500);
    for (i = 0; i < turns; i++) {
        static const unsigned char first[] = {0x81, 0x01, 0x82, 0x02, 0x80, 0x00, 0x89, 0x8a, 0x88, 0x81,
                                              0x01, 0x80};
        static const char letters[] = "ab\xc3\xa9\xf0\x9f\x92\xa9\x80\xff";
        char in[400];
        size_t n = 0, count = 1 + below(&seed, 6), k;
        bool masked = i & 1;
        while (count--) {
            size_t len = below(&seed, 12);
            uint8_t mask[4] = {1, 2, 3, (uint8_t)i};
            in[n++] = (char)first[below(&seed, sizeof first)];
            if (i % 31 == 0) in[n - 1] = (char)test_random(&seed);
            in[n++] = (char)(unsigned char)(len | (masked ? 0x80u : 0u));
            if (masked) memcpy(in + n, mask, 4), n += 4;
            for (k = 0; k < len; k++)
                in[n + k] = letters[below(&seed, i % 4 ? 2 : sizeof letters - 1)];
            if (masked) ws_mask(in + n, len, mask, 0);
            n += len;
        }
        check_ws(masked ? WS_SERVER : WS_CLIENT, i % 5 ? 0 : 10, in, n, NULL);
    }
}

/* Nothing is held, whatever is announced and however small the frames are. */
static void a_connection_costs_its_struct(void) {
    CHECK(sizeof(ws) <= 320);
}

static void heads_are_the_shortest(void) {
    static const struct {
        uint64_t len;
        const char *bytes;
        size_t n;
    } want[] = {{0, "\x82\x00", 2},          {125, "\x82\x7d", 2},
                {126, "\x82\x7e\x00\x7e", 4}, {65535, "\x82\x7e\xff\xff", 4},
                {65536, "\x82\x7f\0\0\0\0\0\x01\0\0", 10}, {UINT64_C(0x7fffffffffffffff),
                                                            "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 10}};
    char head[WS_MAX_HEAD];
    size_t i;
    for (i = 0; i < COUNT(want); i++) {
        size_t n = ws_head(WS_BINARY, true, want[i].len, NULL, head);
        CHECK_BYTES(head, n, want[i].bytes, want[i].n);
        n = ws_head(WS_BINARY, false, want[i].len, (const uint8_t *)"mask", head);
        CHECK_EQ(n, want[i].n + 4);
        CHECK_EQ((unsigned char)head[0], 0x02);
        CHECK_EQ((unsigned char)head[1], (unsigned char)want[i].bytes[1] | 0x80);
        CHECK_BYTES(head + n - 4, 4, "mask", 4);
    }
}

static void close_reasons_are_cut_at_a_character(void) {
    char payload[WS_MAX_CONTROL], reason[200];
    size_t i;
    CHECK_EQ(ws_close_payload(1005, "x", payload), 0);
    CHECK_EQ(ws_close_payload(1000, NULL, payload), 2);
    CHECK_BYTES(payload, 2, "\x03\xe8", 2);
    CHECK_EQ(ws_close_payload(4000, "bye", payload), 5);
    CHECK_BYTES(payload, 5, "\x0f\xa0" "bye", 5);
    for (i = 115; i < 130; i++) {
        size_t n;
        memset(reason, 'a', i);
        strcpy(reason + i, "\xf0\x9f\x92\xa9");
        n = ws_close_payload(1000, reason, payload);
        CHECK(n <= WS_MAX_CONTROL && n + 3 >= (i + 6 < WS_MAX_CONTROL ? i + 6 : WS_MAX_CONTROL));
        CHECK(stream_utf8_valid(payload + 2, n - 2));
    }
}

/* ==== the handshake ===================================================================================== */

static int judge(const char *lines, char accept[WS_ACCEPT_LEN], const char **error) {
    char in[600];
    http h;
    stream_item item;
    stream_slice key;
    int status = -1;
    snprintf(in, sizeof in, "%s\r\n", lines);
    http_init(&h, NULL);
    http_feed(&h, in, strlen(in));
    *error = "no head";
    if (http_next(&h, &item) == STREAM_OK) {
        status = ws_request(&h.head, &key, error);
        if (status == 101) ws_accept(key, accept);
    }
    http_free(&h);
    return status;
}

static void handshakes_are_judged(void) {
#define UP "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
    static const struct {
        const char *lines;
        int status;
    } cases[] = {
        {UP KEY VERSION, 101},
        {UP "Origin: x\r\nSec-WebSocket-Extensions: permessage-deflate\r\n" VERSION KEY, 101},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, upgrade\r\nUpgrade: h2c, websocket\r\n" KEY VERSION, 101},
        {"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" KEY VERSION, 405},
        {"GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" KEY VERSION, 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n" KEY VERSION, 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n" KEY VERSION, 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n" KEY VERSION, 400},
        {UP VERSION, 400},
        {UP KEY KEY VERSION, 400},
        {UP "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n" VERSION, 400},
        {UP "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n" VERSION, 400},
        {UP "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n" VERSION, 400},
        {UP "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZXh4\r\n" VERSION, 400},
        {UP "Sec-WebSocket-Key: \r\n" VERSION, 400},
        {UP KEY, 426},
        {UP KEY "Sec-WebSocket-Version: 8\r\n", 426},
        {UP KEY "Sec-WebSocket-Version: 13, 8\r\n", 426},
        {UP KEY VERSION VERSION, 426},
        {UP KEY VERSION "Content-Length: 3\r\n", 400},
    };
    char accept[WS_ACCEPT_LEN];
    const char *error;
    size_t i;
    for (i = 0; i < COUNT(cases); i++) {
        int status = judge(cases[i].lines, accept, &error);
        if (status != cases[i].status) printf("    %s", cases[i].lines);
        CHECK_EQ(status, cases[i].status);
        CHECK_EQ(error == NULL, status == 101);
        if (status == 101)
            CHECK_BYTES(accept, sizeof accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28); /* RFC 6455, 1.3 */
    }
}

static void acceptances_are_judged(void) {
#define YES "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    static const struct {
        const char *lines;
        bool good;
    } cases[] = {{YES ACCEPT, true},
                 {"HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" ACCEPT, false},
                 {"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n" ACCEPT, false},
                 {YES, false},
                 {YES ACCEPT ACCEPT, false},
                 {YES "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", false},
                 {YES ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n", false}};
    size_t i;
    for (i = 0; i < COUNT(cases); i++) {
        char in[400];
        http h;
        http_desc desc;
        stream_item item;
        memset(&desc, 0, sizeof desc);
        desc.role = HTTP_RESPONSES;
        snprintf(in, sizeof in, "%s\r\n", cases[i].lines);
        http_init(&h, &desc);
        http_feed(&h, in, strlen(in));
        CHECK_EQ(http_next(&h, &item), STREAM_OK);
        CHECK_EQ(ws_response(&h.head, stream_slice_text("dGhlIHNhbXBsZSBub25jZQ==")) == NULL, cases[i].good);
        http_free(&h);
    }
}

int main(void) {
    TEST_PROGRAM("websocket");
    RUN(sha1_is_the_standards);
    RUN(base64_is_the_standards_and_strict);
    RUN(masks_are_the_same_at_every_length_and_place);
    RUN(frames_are_read_as_the_standard_says);
    RUN(every_close_code_is_judged);
    RUN(what_is_written_reads_back);
    RUN(random_frames_are_taken_alike_under_every_cut);
    RUN(a_connection_costs_its_struct);
    RUN(heads_are_the_shortest);
    RUN(close_reasons_are_cut_at_a_character);
    RUN(handshakes_are_judged);
    RUN(acceptances_are_judged);
    return test_end();
}
