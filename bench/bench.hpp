// SPDX-License-Identifier: MIT-0
// What the benches in C++ share. BENCH_NAME is what a failure calls them.
#ifndef BENCH_HPP
#define BENCH_HPP

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <string>

[[noreturn]] static void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    std::fflush(stdout);
    std::fputs("FAIL bench-" BENCH_NAME ": ", stderr);
    std::vfprintf(stderr, format, args);
    std::fputc('\n', stderr);
    va_end(args);
    std::exit(1);
}

static std::string text(const char *format, ...) {
    char line[512];
    va_list args;
    va_start(args, format);
    std::vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return line;
}

static size_t env_size(const char *name, size_t otherwise) {
    const char *value = std::getenv(name);
    char *end;
    if (!value || !*value) return otherwise;
    unsigned long long n = std::strtoull(value, &end, 10);
    if (*end == 'K') n <<= 10, end++;
    else if (*end == 'M') n <<= 20, end++;
    else if (*end == 'G') n <<= 30, end++;
    if (*end || n == 0) die("%s=%s is no size", name, value);
    return size_t(n);
}

#endif
