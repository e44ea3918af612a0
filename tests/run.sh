#!/bin/sh
# SPDX-License-Identifier: MIT-0
# Builds and runs every test, two at a time, and counts: `ok`, `FAIL` and `skip` lines come from the tests,
# and a test that ends badly without saying so is a failure of its own. SKIPS=fatal makes skips count.
# ONLY_TESTS="io io.tsan" runs those jobs alone.
BUILD=${BUILD:-build}
CC=${CC:-cc}
out=$BUILD/tests
export BUILD CC
mkdir -p "$out"
rm -f "$out"/*.log "$out/list"

job() { printf '%s\t%s\n' "$1" "$2" >>"$out/list"; } # name, command

W="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -std=c11 -pthread -I. -Iexamples/common"
works() { echo 'int main(void){return 0;}' | $1 -x c - -o "$out/probe" 2>/dev/null && "$out/probe" 2>/dev/null; }
variant() { # suffix, compiler and flags, tests...; `scale`, where it is set: percent of their cases
    suffix=$1 flags=$2
    shift 2
    if works "$flags"; then
        for t in "$@"; do
            run=${scale:+TEST_SCALE=\${TEST_SCALE:-$scale\} }$out/$t$suffix
            job "$t$suffix" "$flags $W -D_GNU_SOURCE tests/test_$t.c -o $out/$t$suffix && $run"
        done
    else
        for t in "$@"; do job "$t$suffix" "echo 'skip $t$suffix: $flags does not work here'"; done
    fi
}

# Where a library can be loaded before the C library, malloc itself is counted.
if $CC -shared -fPIC -O1 tests/count_malloc.c -o "$out/count_malloc.so" 2>/dev/null; then
    export TEST_COUNT_MALLOC="$PWD/$out/count_malloc.so"
fi
# What is done grows with the input and no faster, counted in basic blocks.
if $CC -fsanitize-coverage=trace-pc -O1 -c tests/count_blocks.c -o "$out/count_blocks.o" 2>/dev/null; then
    $CC -O1 -c tests/count_blocks.c -o "$out/count_blocks.o"
    job linear "$CC -O1 -fsanitize-coverage=trace-pc $W -D_GNU_SOURCE tests/test_linear.c $out/count_blocks.o -o $out/linear && $out/linear"
else
    job linear "echo 'skip linear: $CC has no -fsanitize-coverage=trace-pc'"
fi
job wrap "$CC $W -D_GNU_SOURCE tests/test_wrap.c -o $out/test_wrap && $out/test_wrap $BUILD/stream_wrap $BUILD/fake_llm"
# Every figure it tells, counted once more by other code.
if command -v python3 >/dev/null; then
    job wrap_totals "python3 tests/wrap_totals.py $BUILD/stream_wrap $BUILD/fake_llm \${STREAM_SHARED:-../shared}"
else
    job wrap_totals "echo 'skip wrap_totals: no python3 here'"
fi
# The tools with every call of the system and of malloc failing in turn, a sample of them: `make faults` has all.
if $CC -shared -fPIC -O1 tests/faults_inject.c -o "$out/faults_inject.so" 2>/dev/null; then
    $CC -O1 $W -D_GNU_SOURCE tests/faults.c -o "$out/faults" || exit 1
    # Most of it is waiting, so some scenarios at a time.
    faults() { job faults_$1 "$out/faults list | grep '^$1' | xargs -P 4 -I{} $out/faults {}"; }
    faults wrap
    faults relay
    if command -v tmux >/dev/null; then faults bridge
    else job faults_bridge "echo 'skip faults.bridge: no tmux here'"; fi
else
    job faults "echo 'skip faults: no library can be loaded before the C library here, which has to be glibc'"
fi
# Children, and what they inherit: nothing, however many are started at once.
for pair in ":-O2" ".asan:-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"; do
    v=${pair%%:*} flags=${pair#*:}
    if works "$CC $flags"; then
        job child$v "$CC $flags $W -D_GNU_SOURCE tests/test_child.c examples/common/child.c -o $out/test_child$v && $out/test_child$v"
    else
        job child$v "echo 'skip child$v: $CC $flags does not work here'"
    fi
done
# The longest first. Windows, as far as wine is that: completion ports, the decoders, stream_wrap.
job wine "sh tests/wine.sh"
job matrix "sh tests/matrix.sh"
job macos "sh tests/macos.sh"
job analyze "sh tests/analyze.sh quick"
job install "sh tests/install.sh"
job msvc "sh tests/msvc.sh"
job docs "sh tests/docs.sh"
job tune "sh tests/tune.sh"
net="sse http websocket bridge_screen bridge_control"
variant "" "$CC -O2" stream rings json json_edit pool io $net
variant .asan "$CC -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all" stream rings json json_edit pool io $net
variant .tsan "$CC -O1 -g -fsanitize=thread" stream rings pool io
# The pool where nothing is poisoned, and a release has its shortest way; without threads, and without caches
# that need none to set them up; and on other cache lines.
variant .quick "$CC -O2 -DTEST_QUICK" pool
variant .quick.tsan "$CC -O1 -g -fsanitize=thread -DTEST_QUICK" pool
variant .single "$CC -O2 -DTEST_QUICK -DSTREAM_NO_THREADS" pool
variant .single "$CC -O2 -DSTREAM_NO_THREADS" rings
variant .uncached "$CC -O2 -DSTREAM_POOL_NO_THREAD_LOCAL" pool
variant .line16 "$CC -O2 -DSTREAM_CACHE_LINE=16" pool
variant .line128 "$CC -O2 -DTEST_QUICK -DSTREAM_CACHE_LINE=128" pool
# Where there is no futex a channel sleeps on condition variables: the same cases.
variant .cond "$CC -O2 -DSTREAM_WAIT_PTHREAD" rings
variant .cond.tsan "$CC -O1 -g -fsanitize=thread -DSTREAM_WAIT_PTHREAD" rings
for s in "" .cond; do # the long proofs, a two-hundredth of them
    job soak_rings$s "$CC -O2 ${s:+-DSTREAM_WAIT_PTHREAD} $W -D_GNU_SOURCE tests/soak_rings.c -o $out/soak_rings$s && SOAK=\${SOAK:-0.5} $out/soak_rings$s"
done
# What differs is the code that is made; so of generated cases fewer will do.
if command -v clang >/dev/null; then
    scale=30
    variant .clang "clang -O2 -funsigned-char" stream rings json json_edit pool io $net
    scale=
    variant .clang.asan "clang -O1 -g -fsanitize=address,undefined,integer-divide-by-zero -fno-sanitize-recover=all" stream json json_edit pool sse
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
# Doubles and integers: two and a half million of them once (TEST_SCALE=100: ten), fewer in every other way to build their arithmetic.
numbers() { # suffix, percent, launcher, compiler and flags
    if works "$4" || [ "$3" ]; then
        job numbers$1 "$4 $W tests/test_numbers.c -o $out/numbers$1 && TEST_SCALE=\${TEST_SCALE:-$2} $3 $out/numbers$1"
    else
        job numbers$1 "echo 'skip numbers$1: $4 does not work here'"
    fi
}
numbers "" 25 "" "$CC -O2"
numbers .asan 2 "" "$CC -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
numbers .O0 2 "" "$CC -O0"
numbers .O3 2 "" "$CC -O3"
numbers .fast-math 2 "" "$CC -O2 -ffast-math"
numbers .no128 2 "" "$CC -O2 -U__SIZEOF_INT128__"
numbers .clang 2 "" "clang -O2 -funsigned-char"
numbers .i686 2 "" "i686-linux-gnu-gcc -O2 -static"
if command -v python3 >/dev/null; then
    job powers "python3 tests/powers.py stream_json.h && echo 'ok   numbers.powers'"
else
    job powers "echo 'skip numbers.powers: no python3 here'"
fi
if command -v node >/dev/null; then
    job ecmascript "$CC -O2 $W tests/test_numbers.c -o $out/numbers.dump && $out/numbers.dump dump 300000 | node tests/numbers.mjs"
else
    job ecmascript "echo 'skip numbers.ecmascript: no node here'"
fi
# Every vector kernel, forced by name, against the same cases (-O1: built in half the time); then other architectures.
scale=30
for k in scalar sse2 avx2 avx512; do
    case $k in avx512) flag=avx512_vbmi2 ;; *) flag=$k ;; esac
    if [ $k = scalar ] || { [ "$(uname -m)" = x86_64 ] && grep -qw $flag /proc/cpuinfo; }; then
        variant .$k "$CC -O1 -DSTREAM_JSON_KERNEL='\"$k\"'" json json_edit
        against .$k 20 "$CC -O2 -DSTREAM_JSON_KERNEL='\"$k\"'"
    else
        job json.$k "echo 'skip json.$k: this machine has no $k'"
    fi
done
variant .no-avx512 "$CC -O2 -DSTREAM_NO_AVX512" stream
variant .no-simd "$CC -O2 -DSTREAM_NO_SIMD" stream json json_edit
# A kernel that is not there is the best there is, where nobody asks for it by name.
variant .no-kernel "$CC -O2 -DSTREAM_JSON_KERNEL='\"none\"'" json_edit
scale=
for pair in aarch64:aarch64-linux-gnu s390x:s390x-linux-gnu arm:arm-linux-gnueabihf; do
    a=${pair%%:*} cross=${pair##*:}-gcc
    if command -v "$cross" >/dev/null && command -v qemu-$a >/dev/null; then
        for t in stream rings json json_edit pool io $net; do
            q= scale=5
            case $t in pool) q=-DTEST_QUICK ;; rings) scale=2 ;; esac # threads wait long for each other there
            # io: what qemu knows; it has no io_uring.
            only=; [ $t != io ] || only="epoll poll splice"
            job $t.$a "$cross $q -O2 -static -D_FILE_OFFSET_BITS=64 $W -D_GNU_SOURCE tests/test_$t.c -o $out/$t.$a && TEST_SCALE=$scale qemu-$a $out/$t.$a $only"
        done
        numbers .$a 1 qemu-$a "$cross -O2 -static"
    else
        job $a "echo 'skip $a: needs $cross and qemu-$a'"
    fi
done
# The kernel is chosen by what the processor has.
if [ "$(uname -m)" = x86_64 ]; then
    job cpu "$CC -O1 $W tests/test_cpu.c -o $out/cpu && sh tests/cpu.sh $out/cpu"
else
    job cpu "echo 'skip cpu: only x86-64 has several kernels'"
fi
# 32 bits of x86 run as they are: qemu's 64-bit loads and stores tear there.
scale=30
variant .i686 "i686-linux-gnu-gcc -O1 -static -D_FILE_OFFSET_BITS=64" stream rings json json_edit pool io $net
scale=
# Beside what others read these protocols with; the test names what is missing.
if command -v node >/dev/null; then
    job peer "$CC -O2 $W tests/peer.c -o $out/peer && node tests/peer.mjs $out/peer $BUILD/npm"
else
    job peer "echo 'skip peer: no node here'"
fi
# tmux_bridge: the page's reading of the wire beside ours; the tool beside tmux, other clients and a browser.
if command -v node >/dev/null; then
    job bridge_wire "$CC -O2 $W -D_GNU_SOURCE tests/bridge_peer.c -o $out/bridge_peer && node tests/bridge_wire.mjs $out/bridge_peer"
    job bridge "node tests/bridge.mjs $BUILD/tmux_bridge $BUILD/npm $out/bridge"
    job bridge_page "node tests/bridge_page.mjs $BUILD/tmux_bridge $BUILD/npm $out/bridge"
    job bridge.asan "sh tests/bridge_asan.sh"
else
    job bridge "echo 'skip bridge: no node here'"
fi
job wrap.asan "sh tests/wrap_asan.sh"
# sse_relay with the clients and servers that are installed: the test names those that are not.
if command -v node >/dev/null; then
    job relay "node tests/test_relay.mjs $BUILD/sse_relay $BUILD/npm"
    job relay.asan "sh tests/relay_asan.sh"
else
    job relay "echo 'skip relay: no node here'"
fi
job fuzz "sh tests/fuzz.sh replay"
# Memory orders and algorithms of what runs without locks: every weakened one must be caught.
if [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ]; then job order "sh tests/order.sh"
else job order "echo 'skip order: the checker is for Linux on x86-64'"; fi
job models "sh tests/models.sh"

# stream_io: kqueue on an emulation of it.
variant .kqueue "$CC -O2 -DSTREAM_IO_KQUEUE=1 -Itests/kqueue" io
variant .kqueue.asan "$CC -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -DSTREAM_IO_KQUEUE=1 -Itests/kqueue" io

list=$out/list
if [ "$ONLY_TESTS" ]; then
    awk -F'\t' -v names="$ONLY_TESTS" 'BEGIN { n = split(names, a, " ") } { for (i = 1; i <= n; i++) if ($1 == a[i]) { print; next } }' "$list" >"$list.some"
    list=$list.some
fi
cut -f1 "$list" | TEST_OUT=$out xargs -P 2 -I{} sh tests/one.sh {} "$list"

for name in $(cut -f1 "$list"); do
    echo "== $name"
    cat "$out/$name.log"
done >"$out/all.log"
grep -vE '^ok ' "$out/all.log" | grep -vE '^== ' || true
passed=$(grep -c '^ok ' "$out/all.log")
failed=$(grep -c '^FAIL ' "$out/all.log")
# Corpora that are not part of the project and vectors that this machine lacks are named, and never fatal.
skipped=$(grep '^skip ' "$out/all.log" | grep -vcE 'STREAM_SHARED|this machine has no')
if [ "$skipped" -gt 0 ]; then
    echo "$skipped skipped, each named above; \`make deps\` installs what they need"
    [ "$SKIPS" = fatal ] && failed=$((failed + skipped))
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
