#!/bin/sh
# SPDX-License-Identifier: MIT-0
# run.sh [save | compare]: every bench under one runner, shortened to fit a quarter of an hour on two cores, then
# bench/report.py: build/bench/report.md, report.json and plots. `save` keeps the report as build/bench/saved.json;
# `compare` judges this run by the one kept. ONLY_BENCH ("basics json ...") names the benches to run.
BUILD=${BUILD:-build}
out=$BUILD/bench
mkdir -p "$out"
BENCH_SAMPLES=$out/samples.tsv
export BUILD BENCH_SAMPLES
if ! command -v python3 >/dev/null; then
    echo "bench: the report needs python3 (make deps)" >&2
    exit 1
fi
if [ "${1:-}" = compare ] && [ ! -f "$out/saved.json" ]; then
    echo "bench: nothing to compare with: make bench-save first" >&2
    exit 1
fi
rm -f "$BENCH_SAMPLES" "$out/wrap.json"
wanted() { case " ${ONLY_BENCH:-basics instructions json rings pool io wrap relay bridge} " in *" $1 "*) ;; *) return 1 ;; esac; }

failed=
run() { # name, command
    wanted "$1" || return 0
    echo "== $1"
    sh -c "$2" || failed="$failed $1"
}
run basics '${CC:-cc} -O2 -I. -D_GNU_SOURCE bench/basics.c -o $BUILD/bench/basics -pthread && $BUILD/bench/basics'
run instructions 'sh bench/instructions.sh'
run json 'ROUNDS=3 sh bench/json.sh'
run rings 'ROUNDS=5 sh bench/rings.sh'
run pool 'ROUNDS=10 sh bench/pool.sh'
run io 'OPERATIONS=50000 SIZE=512M sh bench/io.sh'
run wrap 'sh bench/wrap.sh'
if command -v node >/dev/null; then
    run relay 'ROUNDS=3 node bench/relay.mjs $BUILD/sse_relay $BUILD/relay_load'
    run bridge 'node bench/bridge.mjs $BUILD/tmux_bridge $BUILD/npm'
else
    echo "bench: not here, so not measured: node (make deps)"
fi
[ -z "$failed" ] || echo "bench: ended with an error:$failed" >&2

case ${1:-} in
compare) python3 bench/report.py "$BENCH_SAMPLES" "$out" compare "$out/saved.json" ;;
*) python3 bench/report.py "$BENCH_SAMPLES" "$out" ;;
esac
result=$?
[ "${1:-}" != save ] || cp "$out/report.json" "$out/saved.json"
echo "the report: $out/report.md"
exit $result
