#!/bin/sh
# SPDX-License-Identifier: MIT-0
# fuzz.sh: each target under libFuzzer for FUZZ_SECONDS (30). fuzz.sh afl: under AFL++ for AFL_SECONDS (30).
# fuzz.sh replay: only the kept inputs, with any compiler. FUZZ_TARGETS="json sse": those alone. A finding is
# repaired, and its input kept in tests/corpus/TARGET: what was found once is looked for for ever.
BUILD=${BUILD:-build}
out=$BUILD/fuzz
mkdir -p "$out"
targets=${FUZZ_TARGETS:-$(ls tests/fuzz_*.c | sed 's|tests/fuzz_||; s|\.c$||' | grep -v '^replay$')}
include="-I. -Itests -Iexamples/common"

# Compiler, target, output, what else there is for it. What compares kernels has a second part, the library
# without vectors, of which no edge is counted: the same edges would count twice.
compile() {
    second=
    if grep -q fuzz_kernels.h "tests/fuzz_$2.c"; then
        second=$3.scalar.o
        ${uncounted:-$1} $flags -Wno-unused-function -DFUZZ_SCALAR $include -c "tests/fuzz_$2.c" -o "$second" || return 1
    fi
    $1 $flags $include "tests/fuzz_$2.c" $second $4 -o "$3"
}

if [ "$1" = replay ]; then
    flags="-O0 -g" # to compile takes longer than to run
    for t in $targets; do
        if compile "${CC:-cc}" "$t" "$out/$t.replay" tests/fuzz_replay.c && "$out/$t.replay" tests/corpus/$t/*; then
            echo "ok   fuzz.$t ($(ls tests/corpus/$t | wc -l) inputs)"
        else
            echo "FAIL fuzz.$t"
        fi
    done
    exit 0
fi

bad=0 report=$out/report.libfuzzer
# A table begins anew; when only some targets run, the rows of the others stay.
head() { # its title
    if [ "$FUZZ_TARGETS" ] && [ -f "$report" ]; then
        awk -v these=" $FUZZ_TARGETS " 'NR == 1 || !index(these, " " $1 " ")' "$report" >"$out/rows"
        mv "$out/rows" "$report"
    else
        printf '%-16s %12s %8s %9s\n' "$1" executions seconds findings >"$report"
    fi
}
say() { # target, executions, seconds, findings: a row of the table
    printf '%-16s %12s %8s %9s\n' "$@" >>"$report"
    [ "$4" = 0 ] || bad=1
}
finish() {
    cat "$report"
    cat "$out"/report.libfuzzer "$out"/report.afl 2>/dev/null >"$out/report.txt"
    exit $bad
}

if [ "$1" = afl ]; then
    report=$out/report.afl
    if ! command -v afl-clang-fast >/dev/null || ! command -v afl-fuzz >/dev/null; then
        echo "skip fuzz.afl: no afl-clang-fast here (Debian's package afl++)"
        exit 0
    fi
    # A core dump may go to a program, and the clock of the processor may vary: here neither matters.
    export AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_SKIP_CPUFREQ=1 AFL_NO_UI=1 AFL_NO_AFFINITY=1
    flags="-O2 -g -fsanitize=address,undefined -fsanitize-undefined-trap-on-error"
    uncounted=clang
    head "under AFL++"
    for t in $targets; do
        AFL_QUIET=1 compile afl-clang-fast "$t" "$out/$t.afl" -fsanitize=fuzzer >"$out/$t.afl.log" 2>&1 || {
            cat "$out/$t.afl.log"
            exit 1
        }
        # What an earlier run found is where this one begins.
        in=tests/corpus/$t words=
        [ -f "$in.dict" ] && words="-x $in.dict"
        [ -d "$out/afl_$t" ] && in=-
        afl-fuzz -V "${AFL_SECONDS:-30}" -t 2000+ -m none -G 512 $words -i $in -o "$out/afl_$t" -- "$out/$t.afl" \
            >>"$out/$t.afl.log" 2>&1 || tail -20 "$out/$t.afl.log"
        awk -F ' *: *' -v t="$t" '{ v[$1] = $2 } END { print t, v["execs_done"] + 0, v["run_time"] + 0, v["saved_crashes"] + v["saved_hangs"] }' \
            "$out/afl_$t/default/fuzzer_stats" >"$out/row" 2>/dev/null || echo "$t 0 0 1" >"$out/row"
        say $(cat "$out/row")
    done
    finish
fi

if ! command -v clang >/dev/null; then
    echo "fuzz: needs clang with libFuzzer (make deps)" >&2
    exit 1
fi
flags="-O2 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
head "under libFuzzer"
for t in $targets; do
    compile clang "$t" "$out/$t" -fsanitize=fuzzer || exit 1
    mkdir -p "$out/corpus_$t"
    begun=$(date +%s) words=
    [ -f "tests/corpus/$t.dict" ] && words="-dict=tests/corpus/$t.dict"
    # The targets' features are many: weighing them takes longer than the runs.
    "$out/$t" -max_total_time="${FUZZ_SECONDS:-30}" -max_len=512 -entropic=0 -rss_limit_mb=1500 -print_final_stats=1 \
        $words -artifact_prefix="$out/finding_$t." "$out/corpus_$t" "tests/corpus/$t" >"$out/$t.log" 2>&1 || bad=1
    say "$t" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/$t.log" | grep . || echo 0)" \
        $(($(date +%s) - begun)) "$(ls "$out"/finding_"$t".* 2>/dev/null | wc -l)"
done
finish
