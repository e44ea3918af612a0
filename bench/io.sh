#!/bin/sh
# SPDX-License-Identifier: MIT-0
# Echo beside libuv and libevent, in one run: nanoseconds of processor time for an operation, the best of ROUNDS
# (3) turns, taken in turn so that all see the same machine; and the rivals' time divided by that of epoll. Then
# bytes from pipe to pipe beside cat and pv. CONNECTIONS ("1 10 100 1000 10000") as far as descriptors go.
BUILD=${BUILD:-build}
CC=${CC:-cc}
out=$BUILD/bench
mkdir -p "$out"
has() { echo 'int main(void){return 0;}' | $CC -x c - -o "$out/probe" "$@" 2>/dev/null; }
libs=
has -luv && libs="$libs -DHAVE_UV -luv"
has -levent_core && libs="$libs -DHAVE_EVENT -levent_core"
# shellcheck disable=SC2086
$CC -O2 -I. -D_GNU_SOURCE bench/io.c -o "$out/io" -pthread $libs || exit 1

sample() { # bench/samples.h says what
    [ -z "${BENCH_SAMPLES:-}" ] || printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$@" >>"$BENCH_SAMPLES"
}

for kind in tcp unix; do
    for n in ${CONNECTIONS:-1 10 100 1000 10000}; do
        : >"$out/io.txt"
        round=0
        while [ $round -lt "${ROUNDS:-3}" ]; do
            for name in raw epoll io_uring poll libuv libevent; do
                [ $name = poll ] && [ "$n" -gt 1000 ] && continue
                ns=$("$out/io" $name "$n" $kind "${OPERATIONS:-100000}") || continue
                echo "$name $ns" >>"$out/io.txt"
                case $name in
                epoll) role=ours asked= ;;
                lib*) role=rival asked=">= 1.2 x" ;;
                raw) role=bound asked= ;;
                *) role=rival asked= ;;
                esac
                sample io "$kind echo, $n connections" "$name" $role ns "$asked" "$ns"
            done
            round=$((round + 1))
        done
        awk -v n="$n" -v kind=$kind '
            !($1 in best) || $2 < best[$1] { best[$1] = $2 }
            END {
                if (!("epoll" in best)) { printf "%-5s %6d connections: not enough descriptors\n", kind, n; exit }
                printf "%-5s %6d connections:", kind, n
                split("raw epoll io_uring poll libuv libevent", name, " ")
                for (i = 1; i <= 6; i++) if (name[i] in best) printf "  %s %d (%.2f)", name[i], best[name[i]], best[name[i]] / best["epoll"]
                print ""
            }' "$out/io.txt"
    done
done

$CC -O2 -I. -D_GNU_SOURCE bench/splice.c -o "$out/splice" -pthread || exit 1
size=${SIZE:-2G}
echo "pipe to pipe, $size, seconds (best of ${ROUNDS:-3}):"
: >"$out/splice.txt"
round=0
while [ $round -lt "${ROUNDS:-3}" ]; do
    for name in "$out/splice" "$out/splice copy" cat "pv -q"; do
        command -v "${name%% *}" >/dev/null || continue
        start=$(date +%s%N)
        "$out/splice" source "$size" | $name | "$out/splice" drain
        end=$(date +%s%N)
        echo "${name##*/}	$(((end - start) / 1000000))" >>"$out/splice.txt"
        case $name in
        */splice) role=ours asked= ;;
        *copy) role=rival asked= ;;
        *) role=rival asked=">= 1 x" ;;
        esac
        sample io "pipe to pipe, $size" "${name##*/}" $role ms "$asked" "$(((end - start) / 1000000))"
    done
    round=$((round + 1))
done
awk -F '\t' '!($1 in best) || $2 < best[$1] { best[$1] = $2 } END { for (k in best) printf "  %-12s %.3f\n", k, best[k] / 1000 }' \
    "$out/splice.txt"
