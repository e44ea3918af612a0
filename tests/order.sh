#!/bin/sh
# SPDX-License-Identifier: MIT-0
# order.sh [PROGRAM...]: the memory orders of the lock-free code, each program of tests/order_*.c under the
# checker of tests/order.h. First as the header is, which must be well; then each mutant in which one acquire,
# release or seq_cst is weakened, which must not. tests/order.expected names those that make no difference.
# TEST_SCALE=percent of the schedules of `make test`; 10000 for a release.
BUILD=${BUILD:-build}
CC=${CC:-cc}
out=$BUILD/tests/order
mkdir -p "$out"
W="-std=gnu11 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -D_GNU_SOURCE"
# The checker sees plain accesses through -fsanitize=thread, and copies through these names.
SEEN="-fsanitize=thread -Dmemcpy=order_memcpy -Dmemmove=order_memmove"
SEEN="$SEEN -Dmemset=order_memset -Dmemcmp=order_memcmp"

# The mutants a program is for: what stands in both ways of sleeping is weakened under the one, and what
# matters to sleeping under the other too.
only_of() { case $1 in cond) echo '^stream__(sleep|tell|tell_if|channel_wait)$' ;; esac; }
but_of() { case $1 in stream) echo '^stream__sleep$' ;; esac; }
header_of() { case $1 in pool) echo stream_pool.h ;; litmus) ;; *) echo stream.h ;; esac; }

build() { # program
    $CC $W -O2 -Itests -DORDER_IMPLEMENTATION -x c -c tests/order.h -o "$out/$1.order.o" &&
        $CC $W -O1 $SEEN -I"$out/$1" -Itests -c "tests/order_$1.c" -o "$out/$1.o" &&
        $CC "$out/$1.o" "$out/$1.order.o" -o "$out/order_$1"
}

bad=0
for program in ${*:-litmus pool stream cond}; do
    mkdir -p "$out/$program"
    header=$(header_of "$program")
    if [ "$header" ] && ! awk -v out="$out/$program" -v only="$(only_of "$program")" \
        -v but="$(but_of "$program")" -f tests/order.awk tests/order.expected "$header"; then
        echo "FAIL order.$program: tests/order.expected names what is not there"
        bad=1
    fi
    if ! build "$program"; then
        echo "FAIL order.$program: does not build"
        exit 1
    fi
    "$out/order_$program" || bad=1
    [ "$header" ] || continue
    "$out/order_$program" mutants <"$out/$program/${header%.h}.mutants" || bad=1
done
exit $bad
