#!/bin/sh
# SPDX-License-Identifier: MIT-0
# analyze.sh: what static analysis says of the three headers, as implementations: nothing, or it is a failure.
# What is left out stands here, with its reason.
CC=gcc
out=${BUILD:-build}/analyze
mkdir -p "$out"
bad=0
# cppcheck: the two halves of a label come and go together, as every caller has it.
false_alarms="--suppress=ctunullpointer:stream.h"
# And a character is spelled out before it is compared: stream_json__same_text.
false_alarms="$false_alarms --suppress=uninitvar:stream_json.h"
binary64="-DFLT_RADIX=2 -DDBL_MANT_DIG=53 -DDBL_MAX_EXP=1024" # it reads no system headers
say() { # name, log: ok when it is empty
    if [ -s "$2" ]; then
        cat "$2"
        echo "FAIL analyze.$1"
        bad=1
    else
        echo "ok   analyze.$1"
    fi
}
for h in stream:STREAM stream_json:STREAM_JSON stream_pool:STREAM_POOL; do
    name=${h%%:*} flag=-D${h##*:}_IMPLEMENTATION
    if $CC -fanalyzer -E -x c /dev/null >/dev/null 2>&1; then
        $CC -std=gnu11 -O1 -fanalyzer -x c "$flag" -c "$name.h" -o "$out/$name.o" >"$out/log" 2>&1
        say "gcc.$name" "$out/log"
    else
        echo "skip analyze.gcc.$name: no gcc with -fanalyzer here"
    fi
    if command -v cppcheck >/dev/null; then
        cppcheck -q --enable=warning,performance,portability --std=c11 --language=c "$flag" \
            -D__linux__ -D__x86_64__ -D__GNUC__=12 $binary64 $false_alarms "$name.h" >"$out/log" 2>&1
        say "cppcheck.$name" "$out/log"
    else
        echo "skip analyze.cppcheck.$name: no cppcheck here"
    fi
done
exit $bad
