#!/bin/sh
# SPDX-License-Identifier: MIT-0
# fuzz.sh: each target under libFuzzer for FUZZ_SECONDS (30). fuzz.sh replay: only the kept inputs, with any
# compiler. Findings are kept in tests/corpus/TARGET: a bug that was found once is looked for for ever.
BUILD=${BUILD:-build}
out=$BUILD/fuzz
mkdir -p "$out"
targets=$(ls tests/fuzz_*.c | sed 's|tests/fuzz_||; s|\.c$||' | grep -v '^replay$')
if [ "$1" = replay ]; then
    for t in $targets; do
        if ${CC:-cc} -O1 -g -I. -Itests -Iexamples/common "tests/fuzz_$t.c" tests/fuzz_replay.c -o "$out/$t.replay" &&
            "$out/$t.replay" tests/corpus/$t/*; then
            echo "ok   fuzz.$t ($(ls tests/corpus/$t | wc -l) inputs)"
        else
            echo "FAIL fuzz.$t"
        fi
    done
    exit 0
fi
if ! command -v clang >/dev/null; then
    echo "fuzz: needs clang with libFuzzer (make deps)" >&2
    exit 1
fi
bad=0
for t in $targets; do
    clang -O2 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I. -Itests -Iexamples/common "tests/fuzz_$t.c" \
        -o "$out/$t" || exit 1
    mkdir -p "$out/corpus_$t"
    "$out/$t" -max_total_time="${FUZZ_SECONDS:-30}" -max_len=512 -print_final_stats=1 \
        -artifact_prefix="$out/finding_$t." "$out/corpus_$t" "tests/corpus/$t" >"$out/$t.log" 2>&1 || bad=1
    echo "$t: $(grep -o 'number_of_executed_units: .*' "$out/$t.log"), $(ls "$out"/finding_"$t".* 2>/dev/null | wc -l) findings"
done
exit $bad
