#!/bin/sh
# SPDX-License-Identifier: MIT-0
# The rings, queues and channels of stream.h beside Concurrency Kit, moodycamel's queues, boost.lockfree,
# pipes and a mutex with condition variables, in one process: builds bench/rings.cpp with the rivals that are
# here, runs it, prints its tables and keeps them in build/bench/rings.md. bench/rings.cpp says what is
# measured and how, and which variables it obeys. Compiled with:
#   CFLAGS (-O2)    stream.h, in a C file of its own, as its users do
#   CXXFLAGS (-O3)  the bench, and with it everything that is inline: the rivals, and stream_spsc_push and pop
set -eu
BUILD=${BUILD:-build}
CC=${CC:-cc}
CXX=${CXX:-c++}
CFLAGS=${CFLAGS:--O2}
CXXFLAGS=${CXXFLAGS:--O3}
out=$BUILD/bench
mkdir -p "$out"
W="-Wall -Wextra -Wno-stringop-overflow" # what gcc 12 thinks of moodycamel's atomics

if [ "$(uname -s)" != Linux ] || ! command -v "$CXX" >/dev/null; then
    echo "bench: rings needs Linux and a C++ compiler (make deps)" >&2
    exit 1
fi
flags= missing= objects=$out/rings_ours.o
has() { # what, header, flag
    echo "#include <$2>" >"$out/probe.cpp"
    # shellcheck disable=SC2086
    if $CXX -std=c++17 $CXXFLAGS -c "$out/probe.cpp" -o "$out/probe.o" 2>/dev/null; then
        flags="$flags $3"
    else
        missing="$missing $1"
    fi
}
has boost boost/lockfree/spsc_queue.hpp -DHAVE_BOOST
has readerwriterqueue readerwriterqueue/readerwritercircularbuffer.h -DHAVE_READERWRITERQUEUE
has concurrentqueue concurrentqueue/blockingconcurrentqueue.h -DHAVE_CONCURRENTQUEUE
# shellcheck disable=SC2086
if $CC $W $CXXFLAGS -c bench/rings_ck.c -o "$out/rings_ck.o" 2>/dev/null; then
    flags="$flags -DHAVE_CK"
    objects="$objects $out/rings_ck.o"
else
    missing="$missing ck"
fi
[ -z "$missing" ] || echo "bench: not here, so not measured:$missing (make deps)"
# shellcheck disable=SC2086
$CC $W $CFLAGS -DBENCH_OURS -x c -c bench/rings.cpp -o "$out/rings_ours.o"
# shellcheck disable=SC2086
$CXX -std=c++17 $W $CXXFLAGS -pthread bench/rings.cpp $objects -o "$out/rings" $flags

[ -z "${ONLY:-}" ] || exec "$out/rings"
# A pipe would hide how the bench ended.
{
    sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1
    echo "stream.h: $($CC --version | head -n 1), $CFLAGS; the rest: $($CXX --version | head -n 1), $CXXFLAGS"
    "$out/rings" || echo $? >"$out/rings.failed"
} | tee "$out/rings.md"
if [ -f "$out/rings.failed" ]; then
    rm "$out/rings.failed"
    exit 1
fi
