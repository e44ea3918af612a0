/* SPDX-License-Identifier: MIT-0
   Fuzz target: JSON framing whole against split, and every reader over every framed value. The first four
   bytes of the input choose mode, limits and cuts. */
#define STREAM_IMPLEMENTATION
#include "stream.h"
#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"
#include "fuzz_split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void read_everything(const char *ptr, size_t len) {
    static const char *const want[] = {"/a", "/type", "/a/b/0", "", "/~01/x", "/0/1"};
    stream_json_value v[6], key, value;
    stream_json_each each;
    char text[64];
    size_t n, at;
    int64_t i;
    stream_status valid = stream_json_check(ptr, len, &at);
    FUZZ_CHECK(at <= len);
    FUZZ_CHECK(stream_json_pick(ptr, len, want, 6, v) != STREAM_E_INVALID || valid != STREAM_OK);
    for (n = 0; n < 6; n++) FUZZ_CHECK(v[n].type == STREAM_JSON_NONE || (v[n].ptr >= ptr && v[n].ptr + v[n].len <= ptr + len));
    if (stream_json_each_init(&each, stream_json_value_of(ptr, len)) == STREAM_OK) {
        stream_status status;
        while ((status = stream_json_each_next(&each, &key, &value)) == STREAM_OK) {
            stream_json_string(value, STREAM_JSON_PASS, text, sizeof text, &n);
            stream_json_int64(value, &i);
            stream_json_equals(key, "type", 4);
        }
        FUZZ_CHECK(valid != STREAM_OK || status == STREAM_END);
    }
    if (valid == STREAM_OK) /* every prefix of a valid text may go on */
        for (n = 0; n < len && n < 64; n++) FUZZ_CHECK(stream_json_check(ptr, n, &at) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    stream_json_desc desc;
    stream_json json;
    stream_item item;
    trace whole, split;
    uint8_t choice;
    if (len < 4) return 0;
    choice = data[0];
    memset(&desc, 0, sizeof desc);
    desc.mode = (stream_json_mode)(choice % 3);
    if (choice & 4) desc.max_len = 1 + data[1] % 64;
    if (choice & 8) desc.max_depth = 1 + data[1] / 64;
    desc.first_len = 1 + data[2] % 16;
    FUZZ_CHECK(stream_json_init(&json, &desc) == STREAM_OK);
    whole = fuzz_run(stream_json_decoder(&json), data + 4, len - 4, NULL, 0);
    FUZZ_CHECK(json.scanned == len - 4);
    stream_json_reset(&json);
    split = fuzz_run(stream_json_decoder(&json), data + 4, len - 4, data + 2, 2);
    FUZZ_CHECK(whole.sum == split.sum && whole.items == split.items);
    stream_json_reset(&json);
    if (len > 4) {
        stream_json_feed(&json, data + 4, len - 4);
        stream_json_finish(&json);
        while (stream_json_next(&json, &item) != STREAM_END) {
            char *copy = (char *)malloc(item.len + 1); /* exactly sized: one byte too far is a crash */
            if (!copy) break;
            memcpy(copy, item.ptr, item.len);
            copy = (char *)realloc(copy, item.len ? item.len : 1);
            read_everything(copy, item.len);
            free(copy);
        }
    }
    stream_json_free(&json);
    return 0;
}
