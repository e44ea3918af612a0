/* SPDX-License-Identifier: MIT-0
   Fuzz target: the input says which calls a writer gets, right ones and wrong ones. Whatever they are, the
   output is the same into memory of any size and through any buffer, what was written without an error is
   valid JSON, and what was put in reads back. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"
#include "fuzz_split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

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

/* What was put in last, when it was a value of its own. */
typedef struct written {
    char kind;
    const char *text;
    size_t len;
    uint64_t bits;
} written;

static void play(stream_json_writer *w, const uint8_t *p, size_t len, written *last) {
    const uint8_t *e = p + len;
    memset(last, 0, sizeof *last);
    while (p < e) {
        const uint8_t call = *p++;
        size_t n = call >> 4, left = (size_t)(e - p);
        const char *text = (const char *)p;
        uint64_t bits = 0;
        double d;
        if (n == 15 && left) n = 16 + *p;
        if (n > left) n = left;
        memcpy(&bits, p, left < 8 ? left : 8);
        memcpy(&d, &bits, 8);
        last->kind = (char)(call & 15);
        last->text = text;
        last->len = n;
        last->bits = bits;
        switch (call & 15) {
        case 0: stream_json_write_object(w); break;
        case 1: stream_json_write_array(w); break;
        case 2: stream_json_write_end(w); break;
        case 3: stream_json_write_key(w, text, n); break;
        case 4: stream_json_write_string(w, text, n); break;
        case 5: stream_json_write_int64(w, (int64_t)bits); break;
        case 6: stream_json_write_uint64(w, bits); break;
        case 7: stream_json_write_double(w, d); break;
        case 8: stream_json_write_bool(w, call >> 4 & 1); break;
        case 9: stream_json_write_null(w); break;
        case 10: stream_json_write_json(w, text, n); break;
        case 11:
            stream_json_write_key(w, text, n);
            stream_json_write_string(w, text, n);
            break;
        default: continue;
        }
        if ((call & 15) == 5 || (call & 15) == 6 || (call & 15) == 7) n = left < 8 ? left : 8;
        else if ((call & 15) < 3 || (call & 15) == 8 || (call & 15) == 9) n = 0;
        p += n;
    }
}

/* A lone value reads back as what was put in. */
static void read_back(stream_json_value v, const written *last) {
    int64_t i;
    uint64_t u, bits;
    double d;
    switch (last->kind) {
    case 4:
        if (stream_utf8_valid(last->text, last->len))
            FUZZ_CHECK(stream_json_equals(v, last->text, last->len));
        FUZZ_CHECK(v.type == STREAM_JSON_STRING);
        break;
    case 5: FUZZ_CHECK(stream_json_int64(v, &i) == STREAM_OK && (uint64_t)i == last->bits); break;
    case 6: FUZZ_CHECK(stream_json_uint64(v, &u) == STREAM_OK && u == last->bits); break;
    case 7:
        FUZZ_CHECK(stream_json_double(v, &d) == STREAM_OK);
        memcpy(&bits, &d, 8);
        FUZZ_CHECK(bits == last->bits && v.len <= 25);
        break;
    default: break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    stream_json_writer w;
    written last;
    output o;
    stream_status status, again;
    size_t need, n, at, cap;
    char *dst;
    if (len < 2) return 0;
    stream_json_writer_init(&w, NULL, 0);
    play(&w, data + 2, len - 2, &last);
    status = stream_json_writer_finish(&w, &need);
    FUZZ_CHECK(status == (need ? STREAM_FULL : status) || status < 0);

    dst = (char *)malloc(need ? need : 1); /* exactly sized: one byte too far is a crash */
    if (!dst) exit(1);
    stream_json_writer_init(&w, dst, need);
    play(&w, data + 2, len - 2, &last);
    again = stream_json_writer_finish(&w, &n);
    FUZZ_CHECK(n == need && again == (status == STREAM_FULL ? STREAM_OK : status));
    if (again == STREAM_OK) {
        FUZZ_CHECK(stream_json_check(dst, n, &at) == STREAM_OK);
        if (dst[0] != '{' && dst[0] != '[') read_back(stream_json_value_of(dst, n), &last);
    } else {
        FUZZ_CHECK(stream_json_check(dst, n, &at) >= 0); /* an error leaves what could still become valid */
    }

    cap = data[0] % (need + 1);
    {
        char *part = (char *)malloc(cap ? cap : 1);
        if (!part) exit(1);
        stream_json_writer_init(&w, part, cap);
        play(&w, data + 2, len - 2, &last);
        again = stream_json_writer_finish(&w, &n);
        FUZZ_CHECK(n == need && (again == status || (again == STREAM_OK && cap == need)));
        FUZZ_CHECK(memcmp(part, dst, cap) == 0);
        memset(&o, 0, sizeof o);
        o.bytes = (char *)malloc(need ? need : 1);
        if (!o.bytes) exit(1);
        o.cap = need;
        o.refuse = data[1] % 8;
        stream_json_writer_init_flush(&w, part, cap, take, &o);
        play(&w, data + 2, len - 2, &last);
        again = stream_json_writer_finish(&w, &n);
        if (o.refuse && o.calls >= o.refuse) FUZZ_CHECK(again == STREAM_E_IO && o.calls == o.refuse);
        else FUZZ_CHECK(again == (status == STREAM_FULL ? STREAM_OK : status) && n == need);
        FUZZ_CHECK(memcmp(o.bytes, dst, o.n) == 0 && (again != STREAM_OK || o.n == need));
        free(o.bytes);
        free(part);
    }
    free(dst);
    return 0;
}
