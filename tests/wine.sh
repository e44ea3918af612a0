#!/bin/sh
# SPDX-License-Identifier: MIT-0
# The tests that know Windows, under wine: built by mingw's gcc, and by clang from what MSVC sees of the
# headers (tests/msvc.sh). test_io is stream_io on completion ports, test_wrap_windows the tool from outside.
# Wine's own directory is made once, in the build directory. Of the numbers the C library there has wrong ones
# to compare with; they are left to other systems.
BUILD=${BUILD:-build}
out=$BUILD/tests
# Debian's wine64 is linked to 0x7d000000, Linux puts a heap up to 1 GiB behind it, and at 0x7ffe0000 wine must have
# a page of its own: one process of some 8,000 cannot start. Where addresses are not random, all can.
if [ -z "${ADDRESSES_FIXED-}" ] && setarch -R true 2>/dev/null; then
    ADDRESSES_FIXED=1 exec setarch -R sh "$0"
fi
wine=
for w in wine64 wine /usr/lib/wine/wine64; do
    if command -v $w >/dev/null; then wine=$w && break; fi
done
if [ -z "$wine" ] || ! command -v x86_64-w64-mingw32-gcc >/dev/null; then
    echo "skip wine: needs wine64 and x86_64-w64-mingw32-gcc"
    exit 0
fi
mkdir -p "$out" "$BUILD/wine"
WINEPREFIX=$(cd "$BUILD/wine" && pwd)
WINEDEBUG=-all
TEST_SCALE=${TEST_SCALE:-5}
export WINEPREFIX WINEDEBUG TEST_SCALE
if [ ! -f "$WINEPREFIX/made" ]; then
    timeout -k 5 300 "$wine" wineboot -i >/dev/null 2>&1 && : >"$WINEPREFIX/made"
fi

# Helpers of cases that are written for Linux have no use there.
W="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Wno-unused-function -std=c11
    -I. -Iexamples/common -D__USE_MINGW_ANSI_STDIO=1"
libs="-lws2_32 -lsynchronization -lpsapi"
# A test and what it is linked with; what it says it cannot do on Windows is no lack of this machine.
one() { # label, test, arguments, compiler, flags
    exe=$out/$2.$1.exe objects=
    case $2 in child | wrap_windows) more=$(echo examples/common/windows/*.c) ;; *) more= ;; esac
    for f in tests/test_$2.c $more; do
        object=$exe.$(basename "$f" .c).o
        objects="$objects $object"
        if ! $4 $W $5 -c "$f" -o "$object" 2>"$exe.log"; then
            cat "$exe.log"
            echo "FAIL wine.$1.$2: does not build"
            return
        fi
    done
    if ! x86_64-w64-mingw32-gcc $objects -o "$exe" $libs 2>"$exe.log"; then
        cat "$exe.log"
        echo "FAIL wine.$1.$2: does not link"
        return
    fi
    timeout -k 5 300 "$wine" "$exe" $3 >"$exe.log" 2>&1 </dev/null
    code=$?
    tr -d '\r' <"$exe.log" | grep -v '^skip .*only written for Linux' | sed "s/^ok   /ok   wine.$1./"
    [ $code -eq 0 ] || echo "FAIL wine.$1.$2: ended with $code"
}
each() { # label, compiler, flags
    for t in io json json_edit sse http websocket child; do one "$1" $t "" "$2" "$3"; done
}
each mingw x86_64-w64-mingw32-gcc -O1
if make -s BUILD="$BUILD" CFLAGS="-O1 -g -std=c11 -Werror" windows >"$out/windows.log" 2>&1; then
    one mingw wrap_windows "$BUILD/stream_wrap.exe $BUILD/fake_llm.exe" x86_64-w64-mingw32-gcc -O1
    if command -v python3 >/dev/null; then
        timeout -k 5 100 python3 tests/wine_terminal.py "$wine" "$BUILD/stream_wrap.exe" \
            "$out/wrap_windows.mingw.exe"
    else
        echo "skip wine.terminal: no python3 here"
    fi
else
    cat "$out/windows.log"
    echo "FAIL wine.windows: does not build"
fi
if command -v clang >/dev/null; then
    each msvc "clang --target=x86_64-w64-mingw32 -fms-extensions" \
        "-O2 -Wno-language-extension-token -I tests/msvc -include tests/msvc/msvc.h"
else
    echo "skip wine.msvc: no clang here"
fi
