#!/bin/sh
# SPDX-License-Identifier: MIT-0
# stream_wrap, which passes a stream through and counts its records by type, beside the usual ways to do only
# one of both, in one hyperfine run over a file made here; and between two pipes, as it stands behind a child. The
# rows "bound" do less than any such program must: bench/wrap_bound.c. SIZE (32M) is the file's. Ratios are to
# stream_wrap, and in the closing lines of the best runs; reports go to build/bench/wrap.json and wrap.md.
BUILD=${BUILD:-build}
CC=${CC:-cc}
out=$BUILD/bench
size=${SIZE:-32M}
mkdir -p "$out"
if ! command -v hyperfine >/dev/null; then
    echo "bench: needs hyperfine (make deps)" >&2
    exit 1
fi
$CC -O2 -I. -D_GNU_SOURCE bench/wrap_bound.c -o "$out/wrap_bound" || exit 1
file=$out/stream.$size.ndjson
[ -f "$file" ] || "$BUILD/fake_llm" --total "$size" >"$file" || exit 1

# Output goes through a pipe, so that `cat` cannot hand pages over without a copy (hyperfine's default is
# /dev/null, which costs nothing at all).
measure() { # name of the reports, -n name command...
    reports=$out/$1
    shift
    hyperfine --warmup 1 --min-runs "${RUNS:-5}" --output pipe --export-json "$reports.json" \
        --export-markdown "$reports.md" --export-csv "$reports.csv" "$@" || exit 1
    awk -F, -v bytes="$(wc -c <"$file")" 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        NR == 2 { ours = $at["min"] }
        { printf "%-26s %8.3f GB/s, %5.2f s of CPU a GB, %6.2f times stream_wrap\n", $1, bytes / $at["min"] / 1e9,
          ($at["user"] + $at["system"]) / bytes * 1e9, $at["min"] / ours }' "$reports.csv"
    echo
}

set -- -n "stream_wrap" "$BUILD/stream_wrap --metrics json <$file 2>$out/counts.json" \
    -n "cat (counts nothing)" "cat <$file" \
    -n "bound: read and write" "$out/wrap_bound copy <$file" \
    -n "bound: ... and framing" "$out/wrap_bound frame <$file"
missing=
if command -v jq >/dev/null; then set -- "$@" -n "jq -r .type" "jq -r .type <$file"; else missing="$missing jq"; fi
if command -v node >/dev/null; then
    set -- "$@" -n "node readline + JSON.parse" "node bench/readline.mjs <$file"
else
    missing="$missing node"
fi
if command -v python3 >/dev/null; then
    set -- "$@" -n "python json.loads" "python3 bench/readlines.py <$file 2>$out/python.counts"
else
    missing="$missing python3"
fi
[ -z "$missing" ] || echo "bench: not here, so not measured:$missing"
measure wrap "$@"
grep -o '"stream_wrap_records_total{[^,]*' "$out/counts.json"

echo
echo "Between two pipes, of which the first is fed by cat:"
measure wrap_pipes -n "stream_wrap" "cat $file | $BUILD/stream_wrap --metrics json 2>$out/counts.json" \
    -n "cat (counts nothing)" "cat $file | cat" \
    -n "bound: read and write" "cat $file | $out/wrap_bound copy" \
    -n "bound: ... and framing" "cat $file | $out/wrap_bound frame"
