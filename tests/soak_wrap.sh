#!/bin/sh
# SPDX-License-Identifier: MIT-0
# A day's output through stream_wrap, as fast as it goes, and PACE seconds (600) of one at its real pace with
# silences: no byte lost (sha256), memory flat to the page, latency. SOAK percent (100) of 24 GB.
set -u
BUILD=${BUILD:-build}
SOAK=${SOAK:-100}
PACE=${PACE:-600}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mib=$((24576 * SOAK / 100))
failed=0
check() { # name, what must hold
    name=$1
    shift
    if "$@"; then echo "ok   soak_wrap.$name"; else echo "FAIL soak_wrap.$name"; failed=1; fi
}
number() { sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p" "$2"; }

run() { # label, command...: sums, resident pages at each look, metrics
    label=$1
    shift
    rm -f "$dir/status"
    PAUSE=0 "$@" | sha256sum >"$dir/want"
    "$BUILD/stream_wrap" --metrics json --metrics-file "$dir/metrics" --status-file "$dir/status" -- "$@" |
        sha256sum >"$dir/got" &
    : >"$dir/rss"
    while kill -0 $! 2>/dev/null; do
        sleep 0.5
        pid=$(number pid "$dir/status" 2>/dev/null)
        [ "$pid" ] && sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" >>"$dir/rss" 2>/dev/null
    done
    wait $!
    check "$label.bytes" cmp -s "$dir/want" "$dir/got"
    # Its own pages, without those of the program's file. The first third: until everything was touched once. The
    # second says how much that is; nothing in the last is more. Less is the system's doing: it takes pages back.
    third=$(($(wc -l <"$dir/rss") / 3))
    low=$(sed "1,${third}d" "$dir/rss" | head -n "$third" | sort -n | tail -1)
    high=$(tail -n "$third" "$dir/rss" | sort -n | tail -1)
    p99=$(sed -n 's/.*latency_seconds":{[^}]*"p99":\([0-9.e-]*\).*/\1/p' "$dir/metrics")
    bytes=$(number stream_wrap_bytes_total "$dir/metrics")
    echo "  $label: $bytes bytes, ${low:-?}, then ${high:-?} KiB, p99 ${p99:-?} s"
    check "$label.memory" [ "${high:-1}" -le "${low:-0}" ]
}

run fast "$BUILD/fake_llm" --total "${mib}M" --seed 3
# As fast as it goes, the wrapper shares the processors with three others, and its latency is their doing too.
cat >"$dir/pace" <<'END'
for i in $(seq "$1"); do
    "$2" --seed "$i" --rate $([ "${PAUSE:-2}" = 0 ] && echo 0 || echo 200)
    sleep "${PAUSE:-2}"
done
END
run pace sh "$dir/pace" $((PACE / 5 + 1)) "$BUILD/fake_llm"
check pace.latency awk "BEGIN { exit !(${p99:-1} < 0.001) }"
exit $failed
