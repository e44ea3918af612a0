/* SPDX-License-Identifier: MIT-0
   Fuzz target: framing and checking, with every kernel, whole and split, all alike; and every reader over
   every framed value. The first four bytes of the input choose mode, limits and cuts. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"
#include "fuzz_split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char *const kernels[] = {"scalar", "sse2", "avx2", "neon"};
enum { KERNELS = sizeof kernels / sizeof *kernels };

static void read_everything(const char *ptr, size_t len) {
    static const char *const want[] = {"/a", "/type", "/a/b/0", "", "/~01/x", "/0/1"};
    stream_json_value v[6], key, value;
    stream_json_each each;
    char text[64];
    size_t n, at;
    int64_t i;
    uint64_t u;
    double d;
    stream_status valid = stream_json_check(ptr, len, &at);
    FUZZ_CHECK(at <= len);
    FUZZ_CHECK(stream_json_pick(ptr, len, want, 6, v) != STREAM_E_INVALID || valid != STREAM_OK);
    for (n = 0; n < 6; n++)
        FUZZ_CHECK(v[n].type == STREAM_JSON_NONE || (v[n].ptr >= ptr && v[n].ptr + v[n].len <= ptr + len));
    if (stream_json_each_init(&each, stream_json_value_of(ptr, len)) == STREAM_OK) {
        stream_status status;
        while ((status = stream_json_each_next(&each, &key, &value)) == STREAM_OK) {
            stream_status string = stream_json_string(value, STREAM_JSON_PASS, text, sizeof text, &n);
            FUZZ_CHECK(string != STREAM_OK || stream_json_equals(value, text, n));
            if (stream_json_int64(value, &i) == STREAM_OK && stream_json_uint64(value, &u) == STREAM_OK)
                FUZZ_CHECK(i >= 0 && u == (uint64_t)i);
            if (stream_json_int64(value, &i) == STREAM_OK && i > -(1LL << 53) && i < 1LL << 53)
                FUZZ_CHECK(stream_json_double(value, &d) == STREAM_OK && d == (double)i);
            stream_json_equals(key, "type", 4);
        }
        FUZZ_CHECK(valid != STREAM_OK || status == STREAM_END);
    }
    if (valid == STREAM_OK) /* every prefix of a valid text may go on */
        for (n = 0; n < len && n < 64; n++) FUZZ_CHECK(stream_json_check(ptr, n, &at) >= 0);
}

/* Through a kernel's checker in fragments; the first fragment is the whole when there are no cuts. */
static trace check_run(const char *kernel, const uint8_t *data, size_t len, const uint8_t *cuts,
                       size_t count) {
    trace t = {0, 0, 0};
    stream_json_checker checker;
    size_t at = 0, turn = 0;
    FUZZ_CHECK(stream_json_checker_init(&checker, kernel) == STREAM_OK);
    while (at < len) {
        size_t n = count ? (size_t)cuts[turn++ % count] + 1 : len;
        char *fragment;
        if (n > len - at) n = len - at;
        fragment = (char *)malloc(n);
        if (!fragment) exit(1);
        memcpy(fragment, data + at, n);
        stream_json_checker_feed(&checker, fragment, n);
        free(fragment);
        at += n;
    }
    trace_add(&t, (uint64_t)(int64_t)checker.status);
    trace_add(&t, checker.offset);
    for (at = 0; checker.message && checker.message[at]; at++)
        trace_add(&t, (unsigned char)checker.message[at]);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    stream_json_desc desc;
    stream_json json;
    stream_item item;
    trace first = {0, 0, 0}, checked = {0, 0, 0};
    uint8_t choice;
    size_t i, split;
    if (len < 4) return 0;
    choice = data[0];
    memset(&desc, 0, sizeof desc);
    desc.mode = (stream_json_mode)(choice % 4);
    if (choice & 4) desc.max_len = 1 + data[1] % 64;
    if (choice & 8) desc.max_depth = 1 + data[1] / 64;
    desc.strict = (choice & 16) != 0;
    desc.first_len = 1 + data[2] % 16;
    for (i = 0; i < KERNELS; i++) {
        desc.kernel = kernels[i];
        if (stream_json_init(&json, &desc) != STREAM_OK) continue; /* not on this machine */
        for (split = 0; split < 2; split++) {
            const uint8_t *cuts = split ? data + 2 : NULL;
            trace t = fuzz_run(stream_json_decoder(&json), data + 4, len - 4, cuts, 2 * split);
            trace c = check_run(kernels[i], data + 4, len - 4, cuts, 2 * split);
            FUZZ_CHECK(json.scanned == len - 4);
            if (i == 0 && !split) {
                first = t;
                checked = c;
            }
            FUZZ_CHECK(t.sum == first.sum && t.items == first.items);
            FUZZ_CHECK(c.sum == checked.sum);
            stream_json_reset(&json);
        }
        stream_json_free(&json);
    }
    desc.kernel = NULL;
    FUZZ_CHECK(stream_json_init(&json, &desc) == STREAM_OK);
    if (len > 4) {
        stream_status status;
        stream_json_feed(&json, data + 4, len - 4);
        stream_json_finish(&json);
        while ((status = stream_json_next(&json, &item)) != STREAM_END) {
            char *copy = (char *)malloc(item.len + 1); /* exactly sized: one byte too far is a crash */
            size_t at;
            if (!copy) break;
            memcpy(copy, item.ptr, item.len);
            copy = (char *)realloc(copy, item.len ? item.len : 1);
            read_everything(copy, item.len);
            if (desc.strict && (status == STREAM_OK || status == STREAM_E_INVALID))
                FUZZ_CHECK((stream_json_check(copy, item.len, &at) == STREAM_OK) == (status == STREAM_OK));
            free(copy);
        }
    }
    stream_json_free(&json);
    return 0;
}
