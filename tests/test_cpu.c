/* SPDX-License-Identifier: MIT-0
   test_cpu KERNEL: the kernel that is chosen where nobody names one, on the processor that this runs on, is KERNEL;
   wider ones are refused by name, and what there is runs. (An emulator can be told what its processor lacks: one
   instruction that is not there, and this program dies of it.) */
#define STREAM_IMPLEMENTATION
#define STREAM_JSON_IMPLEMENTATION
#include "stream.h"
#include "stream_json.h"
#include "test.h"

static const char *expected;
static const char *const kernels[] = {"avx512", "avx2", "sse2", "neon", "scalar"}; /* the widest first */

/* Events that are alike, then one that is not, one of numbers, brackets; text of every length of character. */
static size_t records(char *p, size_t many) {
    const char *const begin = p;
    size_t i;
    for (i = 0; i < many; i++)
        p += sprintf(p, "{\"type\":\"delta\",\"index\":%u,\"text\":\"gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \\u20ac\\n "
                        "\xF0\x9F\x8E\x89 and some more of what is plain, so that a block is full\",\"done\":false}\n",
                     (unsigned)i);
    for (i = 0; i < many; i++)
        p += sprintf(p, "[1,-2.5e3,0.125,[%u,12345678901234567890],{\"a\":[],\"b\":{},\"c\":[[[{}]]]}, true , null]\n",
                     (unsigned)i);
    return (size_t)(p - begin);
}

static void the_widest_there_is_is_chosen(void) {
    stream_json json;
    stream_json_desc desc;
    stream_json_checker checker;
    bool narrower = false;
    size_t k;
    CHECK_EQ(stream_json_init(&json, NULL), STREAM_OK);
    CHECK_TEXT(json.kernel->name, strlen(json.kernel->name), expected);
    stream_json_free(&json);
    memset(&desc, 0, sizeof desc);
    for (k = 0; k < COUNT(kernels); k++) {
        narrower = narrower || strcmp(kernels[k], expected) == 0;
        desc.kernel = kernels[k];
        desc.strict = k % 2;
        if (strcmp(kernels[k], "neon") == 0) continue;
        CHECK_EQ(stream_json_init(&json, &desc), narrower ? STREAM_OK : STREAM_E_ARGUMENT);
        CHECK_EQ(stream_json_checker_init(&checker, kernels[k]), narrower ? STREAM_OK : STREAM_E_ARGUMENT);
    }
}

static void every_kernel_there_is_runs(void) {
    enum { MANY = 40 };
    static char text[MANY * 600];
    static const char *const want[] = {"/type", "/done"};
    const size_t len = records(text, MANY);
    size_t k, strict, ran = 0;
    for (k = 0; k <= COUNT(kernels); k++)
        for (strict = 0; strict < 2; strict++) {
            stream_json json;
            stream_json_desc desc;
            stream_json_picker picker;
            stream_json_value out[2];
            stream_item item;
            uint64_t offset;
            size_t n = 0;
            memset(&desc, 0, sizeof desc);
            desc.kernel = k < COUNT(kernels) ? kernels[k] : NULL;
            desc.strict = strict;
            if (stream_json_init(&json, &desc) != STREAM_OK) continue;
            ran++;
            CHECK_EQ(stream_json_picker_init(&picker, want, 2), STREAM_OK);
            stream_json_feed(&json, text, len);
            while (stream_json_next(&json, &item) == STREAM_OK) {
                CHECK_EQ(stream_json_picker_pick(&picker, item.ptr, item.len, out), STREAM_OK);
                CHECK_EQ(out[1].type, n < MANY ? STREAM_JSON_FALSE : STREAM_JSON_NONE);
                CHECK_EQ(stream_json_check(item.ptr, item.len, NULL), STREAM_OK);
                n++;
            }
            CHECK_EQ(n, 2 * MANY);
            stream_json_feed(&json, "[1,tru]\n", 8);
            CHECK_EQ(stream_json_next(&json, &item), strict ? STREAM_E_INVALID : STREAM_OK);
            if (strict) CHECK(stream_json_error(&json, &offset) != NULL && offset == len + 6);
            stream_json_free(&json);
        }
    CHECK(ran >= 4); /* scalar, and the usual one */
}

static void utf8_is_judged(void) {
    enum { MANY = 40 };
    static char text[MANY * 600];
    const size_t len = records(text, MANY);
    size_t at;
    stream_utf8 state;
    memset(&state, 0, sizeof state);
    CHECK_EQ(stream_utf8_feed(&state, text, len), STREAM_OK);
    for (at = 1000; at < 1300; at++) {
        const char was = text[at];
        text[at] = '\xFF';
        memset(&state, 0, sizeof state);
        CHECK_EQ(stream_utf8_feed(&state, text, len), STREAM_E_INVALID);
        text[at] = was;
    }
}

int main(int argc, char **argv) {
    TEST_PROGRAM("cpu");
    if (argc != 2) return 2;
    expected = argv[1];
    RUN(the_widest_there_is_is_chosen);
    RUN(every_kernel_there_is_runs);
    RUN(utf8_is_judged);
    return test_end();
}
