/* SPDX-License-Identifier: MIT-0
   The test harness: named cases, checks that survive NDEBUG and print both values, one line a case.

   A test program is a list of functions and a main that RUNs them:

       static void adds(void) { CHECK_EQ(1 + 1, 2); }
       int main(void) { RUN(adds); return test_end(); }

   Lines are `ok name`, `FAIL name` and `skip name: reason`; tests/run counts them. A case that checked
   nothing has failed. */
#ifndef TEST_H
#define TEST_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *program, *name, *skipped;
    unsigned long checks, failures, failed_cases;
} test;

static void test_fail(const char *file, int line) {
    test.failures++;
    printf("  %s:%d: ", file, line);
}

/* The first failures of a case tell the story; a loop that goes wrong must not fill the disk. */
#define TEST_QUIET (test.failures > 20)

#define CHECK(cond) test_true((cond) ? 1 : 0, #cond, __FILE__, __LINE__)

static inline void test_true(int holds, const char *text, const char *file, int line) {
    test.checks++;
    if (holds) return;
    if (TEST_QUIET) {
        test.failures++;
        return;
    }
    test_fail(file, line);
    printf("not true: %s\n", text);
}

#define CHECK_EQ(got, want) test_eq((long long)(got), (long long)(want), #got, __FILE__, __LINE__)

static inline void test_eq(long long got, long long want, const char *text, const char *file, int line) {
    test.checks++;
    if (got == want) return;
    if (TEST_QUIET) {
        test.failures++;
        return;
    }
    test_fail(file, line);
    printf("%s is %lld, not %lld\n", text, got, want);
}

#define CHECK_BYTES(got, got_len, want, want_len) \
    test_bytes((const char *)(got), got_len, (const char *)(want), want_len, #got, __FILE__, __LINE__)
#define CHECK_TEXT(got, got_len, want) CHECK_BYTES(got, got_len, want, strlen(want))

static inline void test_print_bytes(const char *p, size_t n) {
    size_t i;
    putchar('"');
    for (i = 0; i < n && i < 120; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') putchar(c);
        else printf("\\x%02x", c);
    }
    printf(i < n ? "\"... (%zu bytes)" : "\" (%zu bytes)", n);
}

static inline void test_bytes(const char *got, size_t got_len, const char *want, size_t want_len,
                              const char *text, const char *file, int line) {
    test.checks++;
    if (got_len == want_len && (got_len == 0 || memcmp(got, want, got_len) == 0)) return;
    if (TEST_QUIET) {
        test.failures++;
        return;
    }
    test_fail(file, line);
    printf("%s is ", text);
    test_print_bytes(got, got_len);
    printf(", not ");
    test_print_bytes(want, want_len);
    putchar('\n');
}

/* Ends the running case as skipped; skips are fatal in CI, so the reason names what is missing. */
static inline void test_skip(const char *reason) { test.skipped = reason; }

static inline void test_run(const char *name, void (*function)(void)) {
    test.name = name;
    test.skipped = NULL;
    test.checks = test.failures = 0;
    function();
    if (test.failures == 0 && test.skipped) {
        printf("skip %s.%s: %s\n", test.program, name, test.skipped);
    } else if (test.failures || test.checks == 0) {
        test.failed_cases++;
        printf("FAIL %s.%s (%lu of %lu checks)\n", test.program, name, test.failures, test.checks);
    } else {
        printf("ok   %s.%s (%lu checks)\n", test.program, name, test.checks);
    }
    fflush(stdout);
}

#define TEST_PROGRAM(text) (test.program = (text))
#define RUN(function) test_run(#function, function)

static inline int test_end(void) { return test.failed_cases ? 1 : 0; }

/* ---- what every test of a size needs ----------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define TEST_SANITIZED 1
#endif
#endif
#ifndef TEST_SANITIZED
#define TEST_SANITIZED 0
#endif
#ifndef TEST_SANITIZED_PERCENT /* of its cases that a test tries under sanitizers */
#define TEST_SANITIZED_PERCENT 12
#endif

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* TEST_SCALE percent of a number of cases; never none. */
static inline size_t scaled(size_t full) {
    static double percent;
    if (!(percent > 0)) {
        const char *text = getenv("TEST_SCALE");
        percent = text ? strtod(text, NULL) : 0;
        if (!(percent > 0)) percent = TEST_SANITIZED ? TEST_SANITIZED_PERCENT : 100;
    }
    return (size_t)((double)full * percent / 100) + 1;
}

/* The seed of one test: the same each time, another one for each TEST_SEED. */
static inline uint64_t seed_of(uint64_t salt) {
    const char *text = getenv("TEST_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : 1;
    return (seed + salt) * UINT64_C(0x9E3779B97F4A7C15) | 1;
}

/* A small fixed generator (xorshift64*, Vigna 2016), so that a random run can be repeated by its seed. */
static inline uint64_t test_random(uint64_t *state) {
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(2685821657736338717);
}

/* From 0 to n - 1; the upper bits, the lowest are the weakest. */
static inline size_t below(uint64_t *seed, size_t n) { return (size_t)((test_random(seed) >> 8) % n); }

/* The bytes in a block of exactly their size, so that a sanitizer sees one byte too far; the caller frees. */
static inline char *exact(const char *bytes, size_t n) {
    char *p = (char *)malloc(n);
    if (!p && n) exit(1);
    if (n) memcpy(p, bytes, n);
    return p;
}

#endif
