#!/bin/sh
# SPDX-License-Identifier: MIT-0
# Instructions of the hot loops, by callgrind: what a noisy machine cannot hide. Needs valgrind; bench/basics.c's
# `once` is what is counted, with the kernels that valgrind knows of this processor's.
BUILD=${BUILD:-build}
CC=${CC:-cc}
out=$BUILD/bench
mkdir -p "$out"
if ! command -v valgrind >/dev/null; then
    echo "bench: instructions needs valgrind (make deps)" >&2
    exit 0
fi
$CC -O2 -I. -D_GNU_SOURCE bench/basics.c -o "$out/basics" -pthread || exit 1
count() { # name
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$out/basics" once "$1" 2>&1 |
        awk '/Collected/ { print $NF }'
}
base=$(count nothing)
records=$("$out/basics" once records)
for name in lines frame pick strict sse spsc pool; do
    n=$(($(count $name) - base))
    awk -v n="$n" -v r="$records" -v name=$name 'BEGIN { printf "%-8s %8.1f instructions a record\n", name, n / r }'
    [ -z "${BENCH_SAMPLES:-}" ] || awk -v n="$n" -v r="$records" -v name=$name \
        'BEGIN { printf "instructions\t%s, a record\tstream.h\tours\tinstructions\t\t%.1f\n", name, n / r }' \
        >>"$BENCH_SAMPLES"
done
