#!/bin/sh
# SPDX-License-Identifier: MIT-0
# Builds and runs every test, two at a time, and counts: `ok`, `FAIL` and `skip` lines come from the tests,
# and a test that ends badly without saying so is a failure of its own. SKIPS=fatal makes skips count.
BUILD=${BUILD:-build}
CC=${CC:-cc}
out=$BUILD/tests
export BUILD CC
mkdir -p "$out"
rm -f "$out"/*.log "$out/list"

job() { printf '%s\t%s\n' "$1" "$2" >>"$out/list"; } # name, command

W="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -std=c11 -pthread -I."
works() { echo 'int main(void){return 0;}' | $1 -x c - -o "$out/probe" 2>/dev/null && "$out/probe" 2>/dev/null; }
variant() { # suffix, compiler and flags, tests...
    suffix=$1 flags=$2
    shift 2
    if works "$flags"; then
        for t in "$@"; do
            job "$t$suffix" "$flags $W -D_GNU_SOURCE tests/test_$t.c -o $out/$t$suffix && $out/$t$suffix"
        done
    else
        for t in "$@"; do job "$t$suffix" "echo 'skip $t$suffix: $flags does not work here'"; done
    fi
}

# Where a library can be loaded before the C library, malloc itself is counted.
if $CC -shared -fPIC -O1 tests/count_malloc.c -o "$out/count_malloc.so" 2>/dev/null; then
    export TEST_COUNT_MALLOC="$PWD/$out/count_malloc.so"
fi
job wrap "$CC $W -D_GNU_SOURCE tests/test_wrap.c -o $out/test_wrap && $out/test_wrap $BUILD/stream_wrap $BUILD/fake_llm"
job matrix "sh tests/matrix.sh"
job docs "sh tests/docs.sh"
variant "" "$CC -O2" stream rings json pool io
variant .asan "$CC -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all" stream rings json pool io
variant .tsan "$CC -O1 -g -fsanitize=thread" stream rings pool io
# Where there is no futex a channel sleeps on condition variables: the same cases.
variant .cond "$CC -O2 -DSTREAM_WAIT_PTHREAD" rings
variant .cond.tsan "$CC -O1 -g -fsanitize=thread -DSTREAM_WAIT_PTHREAD" rings
if command -v clang >/dev/null; then
    variant .clang "clang -O2 -funsigned-char" stream rings json pool io
    variant .clang.asan "clang -O1 -g -fsanitize=address,undefined,integer-divide-by-zero -fno-sanitize-recover=all" stream rings json pool io
else
    job clang "echo 'skip clang: no clang here'"
fi
# Against other implementations, those that are installed: the test names those that are not.
libs=
works "$CC -ljansson" && libs="$libs -DHAVE_JANSSON -ljansson"
works "$CC -lyajl" && libs="$libs -DHAVE_YAJL -lyajl"
against() { # suffix, percent, compiler and flags
    job diff_json$1 "$3 $W -D_GNU_SOURCE tests/diff_json.c -o $out/diff_json$1 $libs && TEST_SCALE=\${TEST_SCALE:-$2} $out/diff_json$1"
}
against "" 100 "$CC -O2"
against .asan 12 "$CC -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
# Every vector kernel, forced by name, against the same cases; then the other architectures.
for k in scalar sse2 avx2; do
    if [ $k = scalar ] || { [ "$(uname -m)" = x86_64 ] && grep -qw $k /proc/cpuinfo; }; then
        variant .$k "$CC -O2 -DSTREAM_JSON_KERNEL='\"$k\"'" json
        against .$k 20 "$CC -O2 -DSTREAM_JSON_KERNEL='\"$k\"'"
    else
        job json.$k "echo 'skip json.$k: this machine has no $k'"
    fi
done
for a in aarch64 s390x; do
    if command -v $a-linux-gnu-gcc >/dev/null && command -v qemu-$a >/dev/null; then
        for t in stream rings json pool io; do
            # io: what qemu knows; it has no io_uring.
            only=; [ $t != io ] || only="epoll poll splice"
            job $t.$a "$a-linux-gnu-gcc -O2 -static $W -D_GNU_SOURCE tests/test_$t.c -o $out/$t.$a && TEST_SCALE=5 qemu-$a $out/$t.$a $only"
        done
    else
        job $a "echo 'skip $a: needs $a-linux-gnu-gcc and qemu-$a'"
    fi
done
job wrap.asan "sh tests/wrap_asan.sh"
job fuzz "sh tests/fuzz.sh replay"

# stream_io: kqueue on an emulation of it; completion ports under wine.
variant .kqueue "$CC -O2 -DSTREAM_IO_KQUEUE=1 -Itests/kqueue" io
variant .kqueue.asan "$CC -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -DSTREAM_IO_KQUEUE=1 -Itests/kqueue" io
job io.wine "sh tests/wine.sh"

list=$out/list
cut -f1 "$list" | TEST_OUT=$out xargs -P 2 -I{} sh tests/one.sh {} "$list"

for name in $(cut -f1 "$list"); do
    echo "== $name"
    cat "$out/$name.log"
done >"$out/all.log"
grep -vE '^ok ' "$out/all.log" | grep -vE '^== ' || true
passed=$(grep -c '^ok ' "$out/all.log")
failed=$(grep -c '^FAIL ' "$out/all.log")
# Corpora that are not part of the project are extra: their absence is named, and never fatal.
skipped=$(grep '^skip ' "$out/all.log" | grep -vc 'STREAM_SHARED')
if [ "$skipped" -gt 0 ]; then
    echo "$skipped skipped, each named above; \`make deps\` installs what they need"
    [ "$SKIPS" = fatal ] && failed=$((failed + skipped))
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
