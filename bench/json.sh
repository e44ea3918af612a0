#!/bin/sh
# SPDX-License-Identifier: MIT-0
# stream_json.h beside simdjson and yajl, in one process: builds bench/json.cpp with the rivals that are here,
# runs it, prints its table and keeps it in build/bench/json.md. bench/json.cpp says what is measured and how,
# and which variables it obeys. Compiled with:
#   CFLAGS (-O2)                  stream_json.h, in a C file of its own, as its users do
#   CXXFLAGS (-O3 -march=native)  the bench, and what of the rivals is in headers
#   SIMDJSON                      a directory with simdjson.h and simdjson.cpp: these, compiled with CXXFLAGS,
#                                 in place of the library installed. For 3.0.1 g++ gains nothing over Debian's
#                                 library; clang++ is a fifth faster on deltas and numbers, a quarter slower
#                                 on structure.
set -eu
BUILD=${BUILD:-build}
CC=${CC:-cc}
CXX=${CXX:-c++}
CFLAGS=${CFLAGS:--O2}
CXXFLAGS=${CXXFLAGS:--O3 -march=native}
out=$BUILD/bench
mkdir -p "$out"
W="-Wall -Wextra"

if ! command -v "$CXX" >/dev/null; then
    echo "bench: json needs a C++ compiler (make deps)" >&2
    exit 1
fi
builds() { # what, probe, flags: adds them where the probe compiles and links, else names what is missing
    what=$1 probe=$2
    shift 2
    echo "$probe" >"$out/probe.cpp"
    # shellcheck disable=SC2086
    if $CXX -std=c++17 $CXXFLAGS -I. "$out/probe.cpp" -o "$out/probe" "$@" 2>/dev/null; then
        flags="$flags $*"
    else
        missing="$missing $what"
    fi
}
flags= missing=
if [ -n "${SIMDJSON:-}" ]; then
    # shellcheck disable=SC2086
    $CXX -std=c++17 $CXXFLAGS -pthread -I"$SIMDJSON" -c "$SIMDJSON/simdjson.cpp" -o "$out/simdjson.o"
    flags="-DHAVE_SIMDJSON -I$SIMDJSON $out/simdjson.o"
else
    builds simdjson '#include <simdjson.h>
        int main() { simdjson::ondemand::parser p; return p.allocate(1000); }' \
        -DHAVE_SIMDJSON -lsimdjson
fi
builds yajl '#include <yajl/yajl_parse.h>
    int main() { return yajl_alloc(nullptr, nullptr, nullptr) == nullptr; }' -DHAVE_YAJL -lyajl
[ -z "$missing" ] || echo "bench: not here, so not measured:$missing (make deps)"

# Us twice: once with everything, once for nothing but a check that is held to SSE2.
ours() { # object, flags
    object=$1
    shift
    # shellcheck disable=SC2086
    $CC $W $CFLAGS "$@" -x c -c bench/json.cpp -o "$out/$object"
}
ours json_ours.o -DBENCH_OURS=bench_check
objects=$out/json_ours.o
if [ "$(uname -m)" = x86_64 ]; then
    ours json_sse2.o -DBENCH_OURS=bench_check_sse2 '-DSTREAM_JSON_KERNEL="sse2"'
    # Not STREAM_STATIC, which would compile to other code than users get.
    if objcopy --keep-global-symbol=bench_check_sse2 "$out/json_sse2.o"; then
        objects="$objects $out/json_sse2.o"
        flags="$flags -DHAVE_SSE2"
    fi
fi
echo '#include "stream_json.h"
int main() { stream_json_desc desc = {}; desc.strict = true; return desc.strict; }' >"$out/probe.cpp"
if $CXX -I. -c "$out/probe.cpp" -o "$out/probe.o" 2>/dev/null; then
    flags="$flags -DHAVE_STRICT"
else
    echo "bench: stream_json.h does not know desc.strict"
fi
# shellcheck disable=SC2086
$CXX -std=c++17 $W $CXXFLAGS -pthread bench/json.cpp $objects -o "$out/json" $flags

[ -z "${ONLY:-}" ] || exec "$out/json"
# A pipe would hide how the bench ended.
{
    sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1
    echo "stream_json.h: $($CC --version | head -n 1), $CFLAGS;"
    echo "the rest: $($CXX --version | head -n 1), $CXXFLAGS"
    "$out/json" || echo $? >"$out/json.failed"
} | tee "$out/json.md"
if [ -f "$out/json.failed" ]; then
    rm "$out/json.failed"
    exit 1
fi
