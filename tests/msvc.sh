#!/bin/sh
# SPDX-License-Identifier: MIT-0
# The headers as MSVC reads them, as far as that can be told without it: clang in its Microsoft mode, mingw's
# system headers, and the macros of MSVC in place of GNU's (tests/msvc/msvc.h). Warnings are errors; no word that
# is GNU's alone may be left. tests/wine.sh runs what comes out.
set -u
BUILD=${BUILD:-build}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
target=x86_64-w64-mingw32
if ! command -v clang >/dev/null || ! echo '#include <windows.h>' | clang --target=$target -x c -fsyntax-only - 2>/dev/null; then
    echo "skip msvc: needs clang and mingw-w64"
    exit 0
fi
# A language-extension-token is such a word as __forceinline: the point of it.
W="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Wno-language-extension-token -Wno-builtin-macro-redefined"
msvc="clang --target=$target -fms-extensions -I tests/msvc -I. -include tests/msvc/msvc.h -O1 $W"

say() { # name: ok when the log is empty
    if [ -s "$dir/log" ]; then
        head -8 "$dir/log"
        echo "FAIL msvc.$1"
    else
        echo "ok   msvc.$1"
    fi
}
for name in stream stream_json stream_pool; do
    macro=$(echo "$name" | tr a-z A-Z)
    printf '#include "%s.h"\nint stream_test_unit;\n' "$name" >"$dir/decl.c"
    printf '#define %s_IMPLEMENTATION\n#include "%s.h"\n' "$macro" "$name" >"$dir/impl.c"
    for lang in "c -std=c11" "c -std=c17" "c++ -std=c++14" "c++ -std=c++20"; do
        : >"$dir/log"
        for f in decl impl; do $msvc -x $lang -c "$dir/$f.c" -o "$dir/$f.o" >>"$dir/log" 2>&1 || echo "exit $?" >>"$dir/log"; done
        say "$name.${lang##*=}"
    done
    $msvc -x c -std=c11 -E "$dir/impl.c" | awk -v own="$name.h" '
        /^# [0-9]+ "/ { mine = index($3, own) > 0; next }
        mine && /__attribute__|__builtin_[^o]|__asm|__extension__|__atomic_|__int128|__typeof|__sync_/' >"$dir/log"
    say "$name.no-gnu-word"
done
# The tool that is built for Windows: its own rooms know nothing of it.
: >"$dir/log"
for f in examples/stream_wrap/*.c examples/common/windows/*.c examples/common/text.c \
    examples/common/implementation.c; do
    plain=
    case $f in */stream_wrap/* | */text.c) plain=-DTEST_PLAIN ;; esac
    $msvc $plain -x c -std=c11 -c "$f" -o "$dir/tool.o" >>"$dir/log" 2>&1 || echo "exit $?" >>"$dir/log"
done
say stream_wrap
