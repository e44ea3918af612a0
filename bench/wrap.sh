#!/bin/sh
# SPDX-License-Identifier: MIT-0
# stream_wrap, which passes a stream through and counts its records by type, beside the usual ways to do only
# one of both, in one hyperfine run over a file made here. SIZE (32M) is the file's. Ratios are to stream_wrap;
# the report goes to build/bench/wrap.json and wrap.md.
BUILD=${BUILD:-build}
out=$BUILD/bench
size=${SIZE:-32M}
mkdir -p "$out"
if ! command -v hyperfine >/dev/null; then
    echo "bench: needs hyperfine (make deps)" >&2
    exit 1
fi
file=$out/stream.$size.ndjson
[ -f "$file" ] || "$BUILD/fake_llm" --total "$size" >"$file" || exit 1

set -- -n "stream_wrap" "$BUILD/stream_wrap --metrics json <$file 2>$out/counts.json" \
    -n "cat (counts nothing)" "cat <$file"
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

# Output goes through a pipe, so that `cat` cannot hand pages over without a copy (hyperfine's default is
# /dev/null, which costs nothing at all).
hyperfine --warmup 1 --min-runs "${RUNS:-5}" --output pipe --export-json "$out/wrap.json" \
    --export-markdown "$out/wrap.md" "$@"
echo
grep -o '"stream_wrap_records_total{[^,]*' "$out/counts.json"
