#!/bin/sh
# SPDX-License-Identifier: MIT-0
# test_io.exe under wine: stream_io on completion ports. Wine's own directory is made once, in the build directory.
BUILD=${BUILD:-build}
out=$BUILD/tests
wine=
for w in wine64 wine /usr/lib/wine/wine64; do
    if command -v $w >/dev/null; then wine=$w && break; fi
done
if [ -z "$wine" ] || ! command -v x86_64-w64-mingw32-gcc >/dev/null; then
    echo "skip io.wine: needs wine64 and x86_64-w64-mingw32-gcc"
    exit 0
fi
x86_64-w64-mingw32-gcc -O2 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -std=c11 -I. \
    -D__USE_MINGW_ANSI_STDIO=1 tests/test_io.c -o "$out/test_io.exe" -lws2_32 -lsynchronization || exit 1
mkdir -p "$BUILD/wine"
WINEPREFIX=$(cd "$BUILD/wine" && pwd)
WINEDEBUG=-all
export WINEPREFIX WINEDEBUG
if [ ! -f "$WINEPREFIX/made" ]; then
    timeout -k 5 300 "$wine" wineboot -i >/dev/null 2>&1 && : >"$WINEPREFIX/made"
fi
timeout -k 5 300 "$wine" "$out/test_io.exe" | tr -d '\r'
