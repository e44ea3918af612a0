#!/bin/sh
# SPDX-License-Identifier: MIT-0
# Each header alone in an empty directory, as declarations only and as implementation, under every compiler
# and standard found, warnings as errors; then twice in one program with STREAM_STATIC; then all together.
set -u
root=$(pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
W="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
headers="stream:STREAM stream_json:STREAM_JSON stream_pool:STREAM_POOL"

for h in $headers; do
    name=${h%%:*} macro=${h##*:}
    mkdir "$dir/$name"
    cp "$root/$name.h" "$dir/$name/"
    printf '#include "%s.h"\nint stream_test_unit;\n' "$name" >"$dir/$name/decl.c"
    printf '#define %s_IMPLEMENTATION\n#include "%s.h"\n' "$macro" "$name" >"$dir/$name/impl.c"
    for f in decl impl; do cp "$dir/$name/$f.c" "$dir/$name/$f.cpp"; done
done

say() { # name, log: ok when the log is empty
    if [ -s "$2" ]; then
        head -5 "$2"
        echo "FAIL matrix.$1"
    else
        echo "ok   matrix.$1"
    fi
}
each() { # label, extension, compiler and flags: every header, both ways
    # Static functions cannot be declared and left undefined: with STREAM_STATIC each file implements.
    case $3 in *STREAM_STATIC*) ways=impl ;; *) ways="decl impl" ;; esac
    for h in $headers; do
        name=${h%%:*}
        : >"$dir/log"
        for f in $ways; do
            (cd "$dir/$name" && $3 $W -c "$f.$2" -o "$f.o") >>"$dir/log" 2>&1 || echo "exit $?" >>"$dir/log"
        done
        say "$1.$name" "$dir/log"
    done
}
compiler() { # command, label, extension, flags...
    if command -v "${1%% *}" >/dev/null; then each "$2" "$3" "$1 $4"; else echo "skip matrix.$2: no ${1%% *} here"; fi
}

# Optimized where warnings come that need it, which are gcc's; else what the language says of it.
compiler gcc gcc.c11 c "-std=c11 -O2 -Wc++-compat"
compiler gcc gcc.Og c "-Og"
compiler clang clang.c11 c "-std=c11 -O0 -Wc++-compat"
for cc in gcc clang; do
    compiler $cc $cc.c99 c "-std=c99 -O0 -Wc++-compat"
    for std in c17 c2x; do compiler $cc $cc.$std c "-std=$std -fsyntax-only -Wc++-compat"; done
    compiler $cc $cc.O0 c "-O0 -DNDEBUG -funsigned-char"
    compiler $cc $cc.static c "-O0 -DSTREAM_STATIC -DSTREAM_NO_AVX512"
    compiler $cc $cc.bare c "-O0 -ffreestanding -DSTREAM_NO_OS -DSTREAM_NO_MALLOC -DSTREAM_NO_THREADS"
done
for cc in g++ clang++; do
    for std in c++11 c++20; do compiler $cc $cc.$std cpp "-std=$std -O0"; done
    compiler $cc $cc.c++14 cpp "-std=c++14 -fsyntax-only"
done
compiler g++ g++.c++17 cpp "-std=c++17 -O2"
compiler clang++ clang++.c++17 cpp "-std=c++17 -O0"
# A system's kernel has no vectors. (clang 14 gives up on doubles then, whatever the file.)
[ "$(uname -m)" != x86_64 ] || compiler gcc gcc.no-sse c "-O0 -mno-sse2 -ffreestanding -DSTREAM_NO_OS"
compiler x86_64-w64-mingw32-gcc mingw c "-O0"
# Behind the system's own header, which has names of many kinds as macros.
compiler x86_64-w64-mingw32-gcc mingw.windows c "-O0 -include winsock2.h -include windows.h"
# The tests of these are built with optimization by jobs of their own.
compiler aarch64-linux-gnu-gcc aarch64 c "-O0"
compiler s390x-linux-gnu-gcc s390x c "-O0"
compiler i686-linux-gnu-gcc i686 c "-O0"
compiler arm-linux-gnueabihf-gcc armhf c "-O0"
bare="-mthumb -DSTREAM_NO_OS -DSTREAM_NO_THREADS -DSTREAM_NO_MALLOC -DSTREAM_NO_SIMD"
for cpu in cortex-m0 cortex-m4; do
    compiler arm-none-eabi-gcc $cpu c "-O0 -mcpu=$cpu $bare" # with -Os below
    compiler arm-none-eabi-gcc $cpu.guess c "-O0 -mcpu=$cpu -DSTREAM_NO_THREADS -DSTREAM_NO_MALLOC" # no system: it knows
done

# The parts of examples/common that know no system, under every compiler.
common() { # command, label, flags
    if ! command -v "$1" >/dev/null; then
        echo "skip matrix.$2.common: no $1 here"
        return
    fi
    : >"$dir/log"
    for f in digest http websocket; do
        $1 $W $3 -I"$root" -c "$root/examples/common/$f.c" -o "$dir/$f.o" >>"$dir/log" 2>&1 || echo "exit $?" >>"$dir/log"
    done
    say "$2.common" "$dir/log"
}
for std in c99 c17; do
    common gcc gcc.$std "-std=$std -O2 -Wc++-compat"
    common clang clang.$std "-std=$std -O2 -Wc++-compat -funsigned-char"
done
common x86_64-w64-mingw32-gcc mingw "-O2"
common s390x-linux-gnu-gcc s390x "-O2"
common i686-linux-gnu-gcc i686 "-O2"

# Two private copies in one program, and the three headers together in every order.
cp "$root"/stream*.h "$dir/"
unit() { # file, use
    printf '#define STREAM_STATIC\n#define STREAM_IMPLEMENTATION\n#define STREAM_JSON_IMPLEMENTATION\n' >"$1"
    printf '#define STREAM_POOL_IMPLEMENTATION\n#include "stream.h"\n#include "stream_json.h"\n' >>"$1"
    printf '#include "stream_pool.h"\n%s\n' "$2" >>"$1"
}
# Each copy with objects of its own; and one that the other copy made.
unit "$dir/one.c" 'int two(stream_channel *ch);
int swap(stream_pool *pool, stream_pool_buf **buf);
int main(void) {
    stream_channel ch;
    stream_pool pool, own;
    stream_pool_buf *buf, *mine;
    stream_pool_usage usage;
    void *item = 0;
    int i, bad = stream_channel_init(&ch, 0) != STREAM_OK || two(&ch);
    bad = bad || stream_pool_init(&pool, 0) != STREAM_OK || stream_pool_init(&own, 0) != STREAM_OK;
    for (i = 0; i < 100 && !bad; i++) { /* from here to there and from there to here, and one of each side */
        bad = stream_pool_acquire(&pool, 1, &buf) != STREAM_OK || stream_pool_retain(buf) != buf;
        bad = bad || swap(&pool, &buf) || stream_pool_release(buf) != STREAM_OK;
        bad = bad || stream_pool_acquire(&own, 1, &mine) != STREAM_OK || mine->data == buf->data;
        bad = bad || stream_pool_release(mine) != STREAM_OK || stream_pool_release(buf) != STREAM_E_STATE;
    }
    stream_pool_stats(&pool, &usage);
    bad = bad || usage.total.in_use || usage.total.allocated > 2 || usage.total.reused < 198;
    bad = bad || stream_pool_trim(&pool) != usage.total.allocated * 4096; /* what the other remembers, too */
    stream_pool_free(&pool);
    stream_pool_free(&own);
    bad = bad || stream_channel_recv(&ch, &item, STREAM_FOREVER) != STREAM_OK || item != (void *)&ch;
    stream_channel_free(&ch);
    return bad;
}'
unit "$dir/two.c" 'int two(stream_channel *ch);
int swap(stream_pool *pool, stream_pool_buf **buf);
int swap(stream_pool *pool, stream_pool_buf **buf) {
    return stream_pool_release(*buf) != STREAM_OK || stream_pool_release(*buf) != STREAM_OK ||
           stream_pool_acquire(pool, 1, buf) != STREAM_OK;
}
int two(stream_channel *ch) {
    stream_channel own;
    void *item = 0;
    int bad = stream_channel_init(&own, 0) != STREAM_OK || stream_channel_try_send(&own, ch, 0) != STREAM_OK;
    bad = bad || stream_channel_try_recv(&own, &item) != STREAM_OK || stream_channel_send(ch, item, 0) != STREAM_OK;
    stream_channel_free(&own);
    return bad;
}'
(cd "$dir" && ${CC:-cc} $W -O0 one.c two.c -o both && ./both) >"$dir/log" 2>&1 || echo "exit $?" >>"$dir/log"
say static-twice "$dir/log"

: >"$dir/log"
for order in "stream stream_json stream_pool" "stream_pool stream_json stream" "stream_json stream stream_pool"; do
    {
        echo '#define STREAM_IMPLEMENTATION'
        echo '#define STREAM_JSON_IMPLEMENTATION'
        echo '#define STREAM_POOL_IMPLEMENTATION'
        for name in $order $order; do echo "#include \"$name.h\""; done
        echo 'int main(void) { return 0; }'
    } >"$dir/all.c"
    (cd "$dir" && ${CC:-cc} $W -O0 all.c -o all && ./all) >>"$dir/log" 2>&1 || echo "exit $?" >>"$dir/log"
done
say any-order "$dir/log"

# What a library object may need and may offer: no stdio, no exit, no malloc but through the hook's default;
# nothing exported without the prefix.
for h in $headers; do
    name=${h%%:*}
    (cd "$dir/$name" && ${CC:-cc} -O1 -c impl.c -o impl.o && nm -g impl.o) >"$dir/nm" 2>&1
    grep -E ' U (abort|_?exit|_Exit|quick_exit|atexit|raise|longjmp|system|getenv|signal|setlocale|__assert_fail)$' \
        "$dir/nm" >"$dir/log"
    grep -E ' U (_*v?[fds]?n?printf(_chk)?|f?put(s|c|char)|fwrite|perror|std(out|err)|strto[a-z]+|ato[a-z]+|s?rand(om)?)$' \
        "$dir/nm" >>"$dir/log"
    grep -E ' [TDBRVWC] ' "$dir/nm" | grep -vE ' stream_' >>"$dir/log"
    grep -q ' T stream_' "$dir/nm" || echo "no nm" >>"$dir/log"
    say "symbols.$name" "$dir/log"
    # Memory is asked for in one place, which STREAM_NO_MALLOC takes away.
    (cd "$dir/$name" && ${CC:-cc} -O0 -DSTREAM_NO_MALLOC -c impl.c -o impl.o && nm -u impl.o) >"$dir/nm" 2>&1 || echo "no nm" >>"$dir/nm"
    grep -E ' U (malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|strdup|free)$|no nm' "$dir/nm" >"$dir/log"
    say "no-malloc.$name" "$dir/log"
    # Bare metal needs mem* of its C library, beside what the compiler itself calls for arithmetic and jumps.
    command -v arm-none-eabi-gcc >/dev/null || continue
    for cpu in cortex-m0 cortex-m4; do
        (cd "$dir/$name" && arm-none-eabi-gcc -Os -mcpu=$cpu $bare $W -c impl.c -o arm.o && arm-none-eabi-nm -u arm.o) >"$dir/nm" 2>&1
        grep -vE '^ *U (mem(chr|cmp|cpy|move|set)|__aeabi_[a-z0-9]+|__c[lt]zdi2|__gnu_thumb1_case_[a-z]+)$' "$dir/nm" >"$dir/log"
        say "bare-symbols.$cpu.$name" "$dir/log"
    done
done

# Framing and rewriting leave the checker out: no byte of it is linked, and who asks for it is refused. And what compares
# records, where none is remembered.
cat >"$dir/frame.c" <<'END'
#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"
int main(void) {
    stream_json json;
    stream_json_desc desc;
    stream_json_writer writer;
    stream_json_rule rule;
    stream_item item;
    char out[20];
    size_t at;
    memset(&desc, 0, sizeof desc);
    if (stream_json_init(&json, &desc) != STREAM_OK || stream_json_feed(&json, "[1]\n", 4) != STREAM_OK) return 1;
    if (stream_json_next(&json, &item) != STREAM_OK || item.len != 3) return 2;
    stream_json_free(&json);
    stream_json_writer_init(&writer, out, sizeof out);
    memset(&rule, 0, sizeof rule);
    rule.pointer = "/a";
    if (stream_json_rewrite("{\"a\":1,\"b\":x}", 13, &rule, 1, &writer, NULL, &at) != STREAM_E_INVALID ||
        at != 11)
        return 4;
    desc.strict = true;
#if defined(STREAM_JSON_NO_STRICT)
    return stream_json_init(&json, &desc) == STREAM_E_ARGUMENT ? 0 : 3;
#else
    return stream_json_init(&json, &desc) == STREAM_OK ? 0 : 3;
#endif
}
END
leaves_out() { # name, switch, what must not be linked
    (cd "$dir" && ${CC:-cc} $W -O1 $2 -ffunction-sections -fdata-sections -Wl,--gc-sections frame.c -o frame && ./frame) \
        >"$dir/log" 2>&1 || echo "exit $?" >>"$dir/log"
    nm "$dir/frame" | grep -E "$3" >>"$dir/log"
    say "$1" "$dir/log"
}
leaves_out no-strict -DSTREAM_JSON_NO_STRICT 'stream_json__(check|settle_check)'
leaves_out no-shape -DSTREAM_JSON_SHAPE=1 'stream_json__(next_other|next_alike|learn)'
