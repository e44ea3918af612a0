#!/bin/sh
# SPDX-License-Identifier: MIT-0
# coverage.sh: the lines and branches of the three headers that the tests reach, all ways of building them taken
# together (GCC). What none reaches has to stand in tests/coverage.expected, with its reason.
BUILD=${BUILD:-build}
CC=gcc # its gcov is asked
out=$BUILD/coverage
export BUILD CC out
if ! command -v python3 >/dev/null || ! command -v gcov >/dev/null; then
    echo "skip coverage: needs gcc and python3"
    exit 0
fi
FLAGS="-std=gnu11 -D_GNU_SOURCE -O0 -g -w -pthread -I$out/src -I. -Iexamples/common --coverage"
FLAGS="$FLAGS -fprofile-update=atomic"
export FLAGS
one() { # name, percent of the cases, source, flags
    name=$1 scale=$2 source=$3
    shift 3
    mkdir -p "$out/$name"
    $CC $FLAGS "$@" "tests/$source.c" -o "$out/$name/program" -dumpdir "$out/$name/" ${LIBS:-} &&
        TEST_SCALE=$scale "$out/$name/program" >"$out/$name/log" 2>&1 ||
        echo "FAIL coverage.$name: its log is $out/$name/log"
}
# The memory-order checker runs the lock-free code in ways that threads hardly ever take.
order() { # program
    mkdir -p "$out/order_$1/src"
    header=stream.h
    [ "$1" != pool ] || header=stream_pool.h
    awk -v out="$out/order_$1/src" -f tests/order.awk tests/order.expected $header >/dev/null
    seen="-fsanitize=thread -Dmemcpy=order_memcpy -Dmemmove=order_memmove"
    seen="$seen -Dmemset=order_memset -Dmemcmp=order_memcmp"
    # The checker knows no other atomics; io_uring has them, which is never called.
    unused="-no-pie -Wl,--defsym=__tsan_atomic32_load=0,--defsym=__tsan_atomic32_store=0"
    $CC -std=gnu11 -O2 -w -Itests -DORDER_IMPLEMENTATION -x c -c tests/order.h -o "$out/order_$1/order.o" &&
        $CC -I"$out/order_$1/src" $FLAGS $seen -Itests -c "tests/order_$1.c" -o "$out/order_$1/test.o" &&
        $CC --coverage $unused "$out/order_$1/test.o" "$out/order_$1/order.o" -o "$out/order_$1/program" &&
        "$out/order_$1/program" >"$out/order_$1/log" 2>&1 ||
        echo "FAIL coverage.order_$1: its log is $out/order_$1/log"
}
if [ "$1" ]; then
    "$@"
    exit
fi
rm -rf "$out"
mkdir -p "$out/src"
# What is always inlined would be counted once for every place it is in.
sed 's/__always_inline__, //' stream_json.h >"$out/src/stream_json.h"
if cmp -s stream_json.h "$out/src/stream_json.h"; then
    echo "FAIL coverage: stream_json.h has no __always_inline__ to take away"
    exit 1
fi
xargs -P 2 -I{} sh -c 'sh tests/coverage.sh {}' <<END
one rings 20 test_rings
one stream 20 test_stream
one rings.cond 20 test_rings -DSTREAM_WAIT_PTHREAD
one rings.single 20 test_rings -DSTREAM_NO_THREADS
one pool 20 test_pool
one pool.quick 20 test_pool -DTEST_QUICK
one pool.uncached 20 test_pool -DSTREAM_POOL_NO_THREAD_LOCAL
one pool.single 20 test_pool -DTEST_QUICK -DSTREAM_NO_THREADS
one stream.avx2 20 test_stream -DSTREAM_NO_AVX512
one stream.single 20 test_stream -DSTREAM_NO_THREADS
one io 20 test_io
one io.kqueue 20 test_io -DSTREAM_IO_KQUEUE=1 -Itests/kqueue
one sse 20 test_sse
one json 5 test_json
one json.scalar 5 test_json -DSTREAM_JSON_KERNEL='\"scalar\"'
one json.sse2 5 test_json -DSTREAM_JSON_KERNEL='\"sse2\"'
one json.avx2 5 test_json -DSTREAM_NO_AVX512
one json.avx512 5 test_json -DSTREAM_JSON_KERNEL='\"avx512\"'
one json.no-simd 5 test_json -DSTREAM_NO_SIMD
one json_edit 10 test_json_edit
one json_edit.no-simd 10 test_json_edit -DSTREAM_NO_SIMD
one diff_json 5 diff_json
one numbers 1 test_numbers
one numbers.no128 1 test_numbers -U__SIZEOF_INT128__
order stream
order cond
order pool
END
# Which kernel a processor gets, as stream.h asks for it and as stream_json.h does.
mkdir "$out/cpu" "$out/cpu.json"
$CC $FLAGS tests/test_cpu.c -o "$out/cpu/program" -dumpdir "$out/cpu/" && sh tests/cpu.sh "$out/cpu/program" | grep -E '^(FAIL|skip)'
$CC $FLAGS -DSTREAM_JSON_IMPLEMENTATION -include "$out/src/stream_json.h" tests/test_cpu.c -o "$out/cpu.json/program" \
    -dumpdir "$out/cpu.json/" && sh tests/cpu.sh "$out/cpu.json/program" | grep -E '^(FAIL|skip)'
python3 tests/coverage.py "$out" tests/coverage.expected
