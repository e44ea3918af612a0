#!/bin/sh
# SPDX-License-Identifier: MIT-0
# stream_pool.h beside malloc, mimalloc and jemalloc in one run: bench/pool.c says what is compared. ROUNDS
# (20) is how often each row is measured. Rivals that are not installed are named and left out.
BUILD=${BUILD:-build}
CC=${CC:-cc}
out=$BUILD/bench
mkdir -p "$out"
printf '#define STREAM_POOL_IMPLEMENTATION\n#include "stream_pool.h"\n' |
    $CC -O2 -pthread -I. -x c -c - -o "$out/pool_implementation.o" || exit 1
$CC -O2 -pthread -I. '-DSIDE(x)=here_##x' -c bench/pool_here.c -o "$out/pool_here.o" || exit 1
$CC -O2 -pthread -I. '-DSIDE(x)=plain_##x' -DSTREAM_NO_THREADS -c bench/pool_here.c -o "$out/pool_plain.o" ||
    exit 1
$CC -O2 -pthread -I. bench/pool.c "$out"/pool_*.o -ldl -o "$out/pool" || exit 1
GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384 "$out/pool" "${ROUNDS:-20}" | tee "$out/pool.txt"
