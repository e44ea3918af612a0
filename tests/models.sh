#!/bin/sh
# SPDX-License-Identifier: MIT-0
# Searches the whole state space of each model in tests/models with spin: once for broken assertions and
# deadlocks; then as the model's head says: with other sizes (also), for going round without progress
# (progress), and each weakened variant (-DWEAK_..., with more flags on the same line), which must fail.
# TEST_SCALE=1000 and more: also the sizes that take long.
BUILD=${BUILD:-build}
CC=${CC:-cc}
models=${*:-$(cd tests/models && ls ./*.pml | sed 's|^\./||; s|\.pml$||')}
root=$(pwd)
if ! command -v spin >/dev/null; then
    for m in $models; do echo "skip model.$m: needs spin"; done
    exit 0
fi

pan() { # model, directory, spin's flags, gcc's flags, pan's flags: its report; a trail is not kept
    mkdir -p "$2" && (
        cd "$2" || exit 1
        spin -a $3 "$root/tests/models/$1.pml" && $CC -w -DCOLLAPSE -DMEMLIM=1500 $4 pan.c -o pan && ./pan $5
    ) 2>&1
}
states() { sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$1" | head -1; }
# No error, nothing left out, and in the first run no statement of the model that never runs (but where its
# head says `parts`: then each run is of a part). Small ones take longer to compile than to run: `large` ones
# are optimised.
whole() { # log
    grep -q 'errors: 0' "$1" && ! grep -qE 'Search not completed|max search depth' "$1" || return 1
    case $1 in */safety.log) ;; *) return 0 ;; esac
    grep -q '^   parts$' "tests/models/$m.pml" ||
        ! grep -v -e '"-end-"' "$1" | grep -qE '\.pml:[0-9]+, state '
}

bad=0
report() { # name, log
    if whole "$2"; then
        echo "ok   model.$1 ($(states "$2") states)"
    else
        grep -v '^Depth=' "$2"
        echo "FAIL model.$1"
        bad=1
    fi
}
for m in $models; do
    dir=$root/$BUILD/tests/models/$m
    rm -rf "$dir"
    mkdir -p "$dir"
    optimise=-O0
    grep -qE '^   large$' "tests/models/$m.pml" && optimise=-O1
    pan "$m" "$dir/safety" "" "$optimise -DSAFETY" "-m300000 -w22" >"$dir/safety.log"
    report "$m" "$dir/safety.log"
    sed -n 's/^   \(also\|long\|progress\)/\1/p' "tests/models/$m.pml" >"$dir/variants"
    while read -r what flags; do
        [ "$what" = long ] && [ "${TEST_SCALE:-100}" -lt 1000 ] && continue
        [ "$what" = long ] && optimise=-O1
        if [ "$what" != progress ]; then
            pan "$m" "$dir/run" "$flags" "$optimise -DSAFETY" "-m300000 -w22" >"$dir/run.log"
        else pan "$m" "$dir/run" "$flags" "$optimise -DNP" "-l -m300000 -w22" >"$dir/run.log"; fi
        report "$m $what $flags" "$dir/run.log"
    done <"$dir/variants"
    sed -n 's/^   -D\(WEAK_[A-Z_]*\)\(\( -D[^ ]*\)*\).*/\1 \2/p' "tests/models/$m.pml" >"$dir/weakened"
    while read -r weak flags; do
        pan "$m" "$dir/$weak" "-D$weak $flags" "-O0 -DSAFETY" "-m300000 -w22" >"$dir/$weak.log"
        if grep -q 'errors: 1' "$dir/$weak.log"; then
            echo "ok   model.$m.$weak (caught:" \
                "$(sed -n 's/^pan:[0-9]*: \(.*\) (at depth.*/\1/p' "$dir/$weak.log"))"
        else
            grep -v '^Depth=' "$dir/$weak.log"
            echo "FAIL model.$m.$weak: not caught"
            bad=1
        fi
    done <"$dir/weakened"
done
exit $bad
