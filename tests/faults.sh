#!/bin/sh
# SPDX-License-Identifier: MIT-0
# The points of every scenario of tests/faults.c, some scenarios at a time, and what it comes to: a table on
# standard output, and in build/faults/report.md. FAULTS_JOBS (4): how many at a time; most of a run is
# waiting. ONLY="wrap.pty relay": those alone.
BUILD=${BUILD:-build}
out=$BUILD/faults
mkdir -p "$out"
rm -f "$out"/*.log
begun=$(date +%s)
list=$("$BUILD/tests/faults" list)
if [ "$ONLY" ]; then
    list=$(for name in $list; do
        for wanted in $ONLY; do case $name in "$wanted" | "$wanted".*) echo "$name" ;; esac; done
    done)
fi
# The last ones take longest.
echo "$list" | sort | BUILD=$BUILD FAULTS=all xargs -P "${FAULTS_JOBS:-4}" -I{} sh -c \
    '"$BUILD/tests/faults" {} >"$BUILD/faults/{}.log" 2>&1 || echo "  exit code $?" >>"$BUILD/faults/{}.log"
     grep -E "^(ok |FAIL|skip)" "$BUILD/faults/{}.log" || echo "FAIL faults.{}: no result"'
# What failed, each point with how to run it again.
for name in $list; do
    grep -q '^ok ' "$out/$name.log" || { echo "== $name"; cat "$out/$name.log"; }
done
for name in $list; do grep "^  $name: memory" "$out/$name.log" || echo "  $name: none"; done |
    awk -v seconds="$(($(date +%s) - begun))" '
    BEGIN {
        print "| scenario | memory | bytes | descriptors | waiting | processes | points | failures |"
        print "|---|---|---|---|---|---|---|---|"
    }
    function row(name, a) {
        printf "| %s | %d | %d | %d | %d | %d | %d | %d |\n", name, a[1], a[2], a[3], a[4], a[5],
            a[1] + a[2] + a[3] + a[4] + a[5], a[6]
    }
    {
        name = $1
        sub(":", "", name)
        if ($2 == "none") { broken++; next }
        for (i = 1; i <= 6; i++) { v[i] = $(2 * i + 1) + 0; all[i] += v[i] }
        again += $15
        row(name, v)
        scenarios++
    }
    END {
        row("all", all)
        printf "\n%d scenarios, %d points tried, %d failures, %d without a result; " \
            "%d runs were late and tried again; %d minutes %d seconds\n", scenarios, all[1] + all[2] + all[3] + all[4] + all[5], all[6],
            broken, again, int(seconds / 60), seconds % 60
        exit all[6] + broken > 0
    }' >"$out/report.md"
code=$?
cat "$out/report.md"
exit $code
