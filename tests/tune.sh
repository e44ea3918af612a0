#!/bin/sh
# SPDX-License-Identifier: MIT-0
# stream_tune from outside: its options, what it writes, what it says of nonsense.
BUILD=${BUILD:-build}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

check() { # name, status it must have ended with, command; the rest of the case looks at $dir/out and $dir/err
    name=$1 want=$2
    shift 2
    "$@" >"$dir/out" 2>"$dir/err" </dev/null
    got=$?
    [ $got -eq "$want" ] && return
    echo "FAIL tune.$name: ended with $got, not $want: $(head -n 1 "$dir/err")"
    return 1
}
has() { # file, pattern
    grep -Eq -- "$2" "$1" && return
    echo "FAIL tune.$name: no $2 in $(head -c 300 "$1")"
    return 1
}
done_() { echo "ok   tune.$name"; }

"$BUILD/fake_llm" --total 300K >"$dir/data" || exit 1
check recording 0 "$BUILD/stream_tune" --rounds 1 --json "$dir/j" --env "$dir/e" "$dir/data" &&
    has "$dir/out" '^Read [0-9]+ bytes at a time, pool (on|off)' &&
    has "$dir/e" '^STREAM_RESPONSE_CHUNK_SIZE=(4096|8192|16384|32768|65536|131072)$' &&
    has "$dir/e" '^STREAM_BUFFER_POOL_ENABLED=[01]$' &&
    has "$dir/j" '^\{"bytes":3[0-9]{5},.*"settings":\[(\{[^{}]*\},){11}\{[^{}]*\}\]\}$' && done_
check command 0 "$BUILD/stream_tune" --rounds 1 --max 20000 -- "$BUILD/fake_llm" --total 300K &&
    has "$dir/out" '^20000 bytes' && done_
check standard-input 1 "$BUILD/stream_tune" - && has "$dir/err" 'no data' && done_
check missing-file 1 "$BUILD/stream_tune" "$dir/none" && has "$dir/err" 'none: No such file' && done_
check missing-command 127 "$BUILD/stream_tune" -- "$dir/none" && has "$dir/err" 'none: No such file' && done_
check rounds 2 "$BUILD/stream_tune" --rounds 0 "$dir/data" &&
    has "$dir/err" 'rounds takes a number from 1 to 51' && done_
check option 2 "$BUILD/stream_tune" --nonsense "$dir/data" &&
    has "$dir/err" 'nonsense: no such option' && done_
check help 0 "$BUILD/stream_tune" --help && has "$dir/out" '^usage: stream_tune' && done_
check nothing 2 "$BUILD/stream_tune" && has "$dir/err" '^usage: stream_tune' && done_
check full-disk 1 "$BUILD/stream_tune" --rounds 1 --json /dev/full "$dir/data" &&
    has "$dir/err" 'No space left' && done_
