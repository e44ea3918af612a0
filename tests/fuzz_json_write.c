/* SPDX-License-Identifier: MIT-0
   Fuzz target: the input says which calls a writer gets, right ones and wrong ones. Whatever they are, the
   output is the same into memory of any size and through any buffer, what was written without an error is
   valid JSON, and read back it is what was put in, call by call. All of it alike with every kernel. */
#define STREAM_IMPLEMENTATION
#include "fuzz_kernels.h"

typedef struct output {
    char *bytes;
    size_t n, cap, calls, refuse;
} output;

static stream_status take(void *ctx, const char *ptr, size_t len) {
    output *o = (output *)ctx;
    FUZZ_CHECK(len > 0 && len <= o->cap - o->n);
    if (++o->calls == o->refuse) return STREAM_E_IO;
    memcpy(o->bytes + o->n, ptr, len);
    o->n += len;
    return STREAM_OK;
}

/* The calls of a run, in their order. */
typedef struct call {
    char kind;
    const char *text;
    size_t len;
    uint64_t bits;
} call;

enum { CALLS = 512 };
static call calls[CALLS];
static size_t called;

static void note(unsigned kind, const char *text, size_t len, uint64_t bits) {
    call *c = &calls[called < CALLS - 1 ? called++ : called];
    c->kind = (char)kind;
    c->text = text;
    c->len = len;
    c->bits = bits;
}

static void play(stream_json_writer *w, const uint8_t *p, size_t len) {
    const uint8_t *e = p + len;
    called = 0;
    while (p < e && called < CALLS - 2) {
        const uint8_t code = *p++;
        size_t n = code >> 4, left = (size_t)(e - p);
        const char *text = (const char *)p;
        uint64_t bits = 0;
        double d;
        if (n == 15 && left) n = 16 + *p;
        if (n > left) n = left;
        memcpy(&bits, p, left < 8 ? left : 8);
        memcpy(&d, &bits, 8);
        switch (code & 15) {
        case 0: stream_json_write_object(w); break;
        case 1: stream_json_write_array(w); break;
        case 2: stream_json_write_end(w); break;
        case 3: stream_json_write_key(w, text, n); break;
        case 4: stream_json_write_string(w, text, n); break;
        case 5: stream_json_write_int64(w, (int64_t)bits); break;
        case 6: stream_json_write_uint64(w, bits); break;
        case 7: stream_json_write_double(w, d); break;
        case 8: stream_json_write_bool(w, code >> 4 & 1); break;
        case 9: stream_json_write_null(w); break;
        case 10: stream_json_write_json(w, text, n); break;
        case 11:
            stream_json_write_key(w, text, n);
            stream_json_write_string(w, text, n);
            break;
        default: continue;
        }
        if ((code & 15) == 11) {
            note(3, text, n, 0);
            note(4, text, n, 0);
        } else {
            note(code & 15, text, n, (code & 15) == 8 ? code >> 4 & 1 : bits);
        }
        if ((code & 15) == 5 || (code & 15) == 6 || (code & 15) == 7) n = left < 8 ? left : 8;
        else if ((code & 15) < 3 || (code & 15) == 8 || (code & 15) == 9) n = 0;
        p += n;
    }
}

/* UTF-8 as it is to come out: one U+FFFD for each longest beginning of a character, and for each byte that
   begins none. Room for three times len. */
static size_t mended(const char *text, size_t len, char *dst) {
    size_t at = 0, n = 0;
    while (at < len) {
        stream_utf8 state;
        size_t take = 0;
        stream_status status = STREAM_MORE;
        memset(&state, 0, sizeof state);
        while (at + take < len && status == STREAM_MORE)
            status = stream_utf8_feed(&state, text + at + take++, 1);
        if (status == STREAM_OK) {
            memcpy(dst + n, text + at, take);
            n += take;
        } else { /* the byte that was wrong may begin another one, unless it is the first */
            if (status == STREAM_E_INVALID && take > 1) take--;
            memcpy(dst + n, "\xEF\xBF\xBD", 3);
            n += 3;
        }
        at += take;
    }
    return n;
}

static void read_text(stream_json_value v, const call *c) {
    static char text[3 * 512];
    FUZZ_CHECK(v.type == STREAM_JSON_STRING);
    FUZZ_CHECK(stream_json_equals(v, text, mended(c->text, c->len, text)));
}

/* What comes of the calls from *at on, which it takes. */
static void read_back(stream_json_value v, size_t *at) {
    const call *c = &calls[(*at)++];
    stream_json_each each;
    stream_json_value key, value;
    stream_status status;
    int64_t i;
    uint64_t u, bits;
    double d;
    FUZZ_CHECK(*at <= called);
    switch (c->kind) {
    case 0:
    case 1:
        FUZZ_CHECK(v.type == (c->kind ? STREAM_JSON_ARRAY : STREAM_JSON_OBJECT));
        FUZZ_CHECK(stream_json_each_init(&each, v) == STREAM_OK);
        while ((status = stream_json_each_next(&each, &key, &value)) == STREAM_OK) {
            if (c->kind == 0) {
                FUZZ_CHECK(calls[*at].kind == 3);
                read_text(key, &calls[(*at)++]);
            }
            read_back(value, at);
        }
        FUZZ_CHECK(status == STREAM_END && calls[(*at)++].kind == 2);
        break;
    case 4: read_text(v, c); break;
    case 5: FUZZ_CHECK(stream_json_int64(v, &i) == STREAM_OK && (uint64_t)i == c->bits); break;
    case 6: FUZZ_CHECK(stream_json_uint64(v, &u) == STREAM_OK && u == c->bits); break;
    case 7:
        FUZZ_CHECK(stream_json_double(v, &d) == STREAM_OK);
        memcpy(&bits, &d, 8);
        FUZZ_CHECK(bits == c->bits && v.len <= 25);
        break;
    case 8: FUZZ_CHECK(v.type == (c->bits ? STREAM_JSON_TRUE : STREAM_JSON_FALSE)); break;
    case 9: FUZZ_CHECK(v.type == STREAM_JSON_NULL); break;
    case 10: {
        const stream_json_value put = stream_json_value_of(c->text, c->len);
        FUZZ_CHECK(v.len <= put.len && memcmp(v.ptr, put.ptr, v.len) == 0);
        break;
    }
    default: FUZZ_CHECK(!"a call that writes a value");
    }
}

static uint64_t fuzz_outcome(const uint8_t *data, size_t len) {
    stream_json_writer w;
    trace t = {0, 0, 0};
    output o;
    stream_status status, again;
    size_t need, n, at, cap;
    char *dst;
    if (len < 2) return 0;
    stream_json_writer_init(&w, NULL, 0);
    play(&w, data + 2, len - 2);
    status = stream_json_writer_finish(&w, &need);
    FUZZ_CHECK(status == (need ? STREAM_FULL : status) || status < 0);

    dst = (char *)malloc(need ? need : 1); /* exactly sized: one byte too far is a crash */
    if (!dst) exit(1);
    stream_json_writer_init(&w, dst, need);
    play(&w, data + 2, len - 2);
    again = stream_json_writer_finish(&w, &n);
    FUZZ_CHECK(n == need && again == (status == STREAM_FULL ? STREAM_OK : status));
    if (again == STREAM_OK) {
        FUZZ_CHECK(stream_json_check(dst, n, &at) == STREAM_OK);
        at = 0;
        read_back(stream_json_value_of(dst, n), &at);
        FUZZ_CHECK(at == called);
    } else {
        FUZZ_CHECK(stream_json_check(dst, n, &at) >= 0); /* an error leaves what could still become valid */
    }

    trace_status(&t, again);
    trace_bytes(&t, dst, need);

    cap = data[0] % (need + 1);
    {
        char *part = (char *)malloc(cap ? cap : 1);
        if (!part) exit(1);
        stream_json_writer_init(&w, part, cap);
        play(&w, data + 2, len - 2);
        again = stream_json_writer_finish(&w, &n);
        FUZZ_CHECK(n == need && (again == status || (again == STREAM_OK && cap == need)));
        FUZZ_CHECK(memcmp(part, dst, cap) == 0);
        memset(&o, 0, sizeof o);
        o.bytes = (char *)malloc(need ? need : 1);
        if (!o.bytes) exit(1);
        o.cap = need;
        o.refuse = data[1] % 8;
        stream_json_writer_init_flush(&w, part, cap, take, &o);
        play(&w, data + 2, len - 2);
        again = stream_json_writer_finish(&w, &n);
        if (o.refuse && o.calls >= o.refuse) FUZZ_CHECK(again == STREAM_E_IO && o.calls == o.refuse);
        else FUZZ_CHECK(again == (status == STREAM_FULL ? STREAM_OK : status) && n == need);
        FUZZ_CHECK(memcmp(o.bytes, dst, o.n) == 0 && (again != STREAM_OK || o.n == need));
        free(o.bytes);
        free(part);
    }
    free(dst);
    return t.sum;
}
