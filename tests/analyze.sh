#!/bin/sh
# SPDX-License-Identifier: MIT-0
# analyze.sh: what static analysis says of the three headers, as implementations, and of the tools and examples:
# nothing, or it is a failure. What is left out stands here, with its reason. analyze.sh quick: only what looks at
# each place by itself (clang-tidy), a minute; the rest follows paths through the code, some minutes.
build=${BUILD:-build}
out=$build/analyze
mkdir -p "$out"
bad=0
headers="stream:STREAM stream_json:STREAM_JSON stream_pool:STREAM_POOL"
flags="-std=gnu11 -I. -Iexamples/common"
say() { # name, log: ok when it is empty
    if [ -s "$2" ]; then
        cat "$2"
        echo "FAIL analyze.$1"
        bad=1
    else
        echo "ok   analyze.$1"
    fi
}
# A warning of clang's and the line it is about become one line; those that a rule below names are left out.
findings() { # log, rules
    awk '/ warning: | error: / { w = $0; if (getline > 0) print w " | " $0; else print w }' "$1" |
        awk -v rules="$2" 'BEGIN { while ((getline r <rules) > 0) if (r !~ /^#/ && r != "") known[++n] = r }
            { for (i = 1; i <= n; i++) { split(known[i], k, " # "); if (index($0, k[1]) && index($0, k[2])) next } print }'
}

# ---- clang-tidy ----------------------------------------------------------------------------------------------
checks="-*,bugprone-*,cert-*,portability-*,performance-*,misc-*"
leave_out() { checks="$checks,-$1"; } # check, reason
leave_out bugprone-easily-swappable-parameters "a pointer and a length, from and to: most functions here"
leave_out bugprone-reserved-identifier "_GNU_SOURCE and the like are how a C library is asked"
leave_out cert-dcl37-c "the same under another name"
leave_out cert-dcl51-cpp "and another"
leave_out bugprone-narrowing-conversions "-Wconversion, an error here, says more of it"
leave_out bugprone-implicit-widening-of-multiplication-result "8 * i, with constants that end below a hundred"
leave_out bugprone-macro-parentheses "names, types and flags of compiled-in kernels cannot stand in parentheses"
leave_out bugprone-branch-clone "branches are in the order of a grammar, not of what they do"
leave_out bugprone-not-null-terminated-result "bytes with a length are not text with a NUL"
leave_out performance-no-int-to-ptr "io_uring hands pointers back as integers; tags stand in pointers"
leave_out cert-err33-c "what cannot be said on stderr cannot be said; what snprintf cut was for eyes"
leave_out cert-err34-c "how many numbers sscanf read is looked at; they are the kernel's and tmux's"
cat >"$out/tidy.rules" <<'END'
# What the line has # and also. No recursion but this:
stream_json__follow_ # misc-no-recursion
# (the kernel that checks goes on in the one that does not, which calls nobody)
'run_subagent' # misc-no-recursion
'turn' # misc-no-recursion
# (fake_llm: a subagent has no subagents)
END
tidy() { # name, log, files and flags
    name=$1
    shift
    clang-tidy -quiet -checks="$checks" -header-filter='.*' "$@" >"$out/tidy.$name" 2>"$out/tidy.err"
    grep -q 'error' "$out/tidy.err" && cat "$out/tidy.err" >"$out/log" || findings "$out/tidy.$name" "$out/tidy.rules" >"$out/log"
    say "tidy.$name" "$out/log"
}
if command -v clang-tidy >/dev/null; then
    for h in $headers; do
        tidy "${h%%:*}" -extra-arg=-xc "${h%%:*}.h" -- $flags -D"${h##*:}_IMPLEMENTATION"
    done
    for tool in common sse_relay stream_tune stream_wrap tmux_bridge; do
        page=$build/bridge
        [ $tool != sse_relay ] || page=$build/relay
        tidy $tool examples/$tool/*.c -- $flags -I"$page"
    done
    tidy examples examples/*.c -- $flags
else
    echo "skip analyze.tidy: no clang-tidy here"
fi
[ "$1" = quick ] && exit $bad

# ---- clang --analyze ------------------------------------------------------------------------------------------
# All that is on of itself, and some more; but not the advice to use memcpy_s, which no C library has.
clang_analyze="clang --analyze --analyzer-output text
    -Xclang -analyzer-checker=nullability,valist,optin.portability,security.FloatLoopCounter,security.insecureAPI.rand
    -Xclang -analyzer-checker=security.insecureAPI.strcpy
    -Xclang -analyzer-disable-checker=security.insecureAPI.DeprecatedOrUnsafeBufferHandling"
cat >"$out/clang.rules" <<'END'
# What the line has # and also. Between no bytes in a buffer of none and one of them there is nothing:
memcpy(w->dst + w->used, ptr, len); # core.NonNullParamChecker
# Where to look again is written down when the second pass begins: stream_json__walk_next.
const char *p = *at; # core.uninitialized.Assign
# Every level below the depth was written down on the way in.
name.ptr = at[written]; # core.uninitialized.Assign
# Without a cache one buffer is asked for, and no more than one come.
if (got > 1) cache->n[tier] = got - 1; # core.NullDereference
cache->place[tier][got - 1] = place; # core.NullDereference
# A fault was filled in by who says that there is one: check_field.
(f.at - item->ptr) # core.UndefinedBinaryOperatorResult
# What leaves a list takes its head along: leave, unlist.
while (s->leaving) destroy(s->leaving); # unix.Malloc
if (u->next) u->next->prev = u; # unix.Malloc
unlist(u, &r->idle); # unix.Malloc
if (u->e) exchange_drop(u->e); # unix.Malloc
# A diff state has places for DIFF_KEYS or DIFF_KEYS_SHARED events: diff_new.
l = &d->last[d->turn++ % d->keys]; # core.DivideZero
# main returns: the process ends, and its memory.
if (pthread_create(&counter, NULL, count, &ch) != 0) return 1; # unix.Malloc
stream_io_attach(&io, &c->file, op->fd) != STREAM_OK) return 1; # unix.Malloc
# An option that must have a value has one: getopt_long.
for (; *at >= '0' && *at <= '9'; at++) { # core.NullDereference
if (strcmp(text, faults[i].name) == 0) # core.NonNullParamChecker
END
analyzed() { # name, flags and a file
    name=$1
    shift
    $clang_analyze "$@" -o /dev/null >"$out/clang.$name" 2>&1
    findings "$out/clang.$name" "$out/clang.rules" >>"$out/log"
}
if command -v clang >/dev/null; then
    for h in $headers; do
        : >"$out/log"
        analyzed "${h%%:*}" $flags -x c -D"${h##*:}_IMPLEMENTATION" "${h%%:*}.h"
        say "clang.${h%%:*}" "$out/log"
    done
    : >"$out/log"
    for f in examples/*.c examples/*/*.c; do
        page=$build/bridge
        case $f in */sse_relay/*) page=$build/relay ;; esac
        analyzed "$(echo "$f" | tr / .)" $flags -I"$page" "$f"
    done
    say clang.examples "$out/log"
else
    echo "skip analyze.clang: no clang here"
fi

# ---- gcc -fanalyzer and cppcheck -------------------------------------------------------------------------------
# cppcheck: the two halves of a label come and go together, as every caller has it.
false_alarms="--suppress=ctunullpointer:stream.h"
# And a character is spelled out before it is compared: stream_json__same_text.
false_alarms="$false_alarms --suppress=uninitvar:stream_json.h"
# A stretch, and the digits of a block, are filled in field by field before they are handed on.
false_alarms="$false_alarms --suppress=ctuuninitvar:stream_json.h"
binary64="-DFLT_RADIX=2 -DDBL_MANT_DIG=53 -DDBL_MAX_EXP=1024" # it reads no system headers
for h in $headers; do
    name=${h%%:*} flag=-D${h##*:}_IMPLEMENTATION
    if gcc -fanalyzer -E -x c /dev/null >/dev/null 2>&1; then
        gcc -std=gnu11 -O1 -fanalyzer -x c "$flag" -c "$name.h" -o "$out/$name.o" >"$out/log" 2>&1
        say "gcc.$name" "$out/log"
    else
        echo "skip analyze.gcc.$name: no gcc with -fanalyzer here"
    fi
    if command -v cppcheck >/dev/null; then
        cppcheck -q --enable=warning,performance,portability --std=c11 --language=c "$flag" \
            -D__linux__ -D__x86_64__ -D__GNUC__=12 $binary64 $false_alarms "$name.h" >"$out/log" 2>&1
        say "cppcheck.$name" "$out/log"
    else
        echo "skip analyze.cppcheck.$name: no cppcheck here"
    fi
done
exit $bad
