#!/bin/sh
# SPDX-License-Identifier: MIT-0
# Documents that cannot lie: every program in README.md and in the headers' first comments compiles without
# a warning, those the README shows from examples/ are the same there, and what they print is right.
set -u
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
W="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -I."
CC=${CC:-cc}
verdict() { # name, log
    if [ -s "$2" ]; then
        head -5 "$2"
        echo "FAIL docs.$1"
    else
        echo "ok   docs.$1"
    fi
}

awk -v check=1 -f tests/blocks.awk stream.h stream_json.h stream_pool.h >"$dir/log" 2>&1
verdict shared-blocks "$dir/log"

for h in stream stream_json stream_pool; do
    awk '/^A COMPLETE PROGRAM/ { f = 1; next } /^[A-Z]/ { f = 0 } f { sub(/^        /, ""); print }' $h.h >"$dir/$h.c"
    : >"$dir/log"
    grep -q 'int main' "$dir/$h.c" || echo "no program in $h.h" >"$dir/log"
    $CC $W "$dir/$h.c" -o "$dir/$h" >>"$dir/log" 2>&1
    verdict "$h.h" "$dir/log"
done
printf 'a\nb\r\nc' | "$dir/stream" >"$dir/out"
printf '     1  a\n     2  b\n     3  c\n' | diff - "$dir/out" >"$dir/log" 2>&1
verdict stream.h-runs "$dir/log"
printf '{"type":"a"}\nnoise\n{"type":"b"}' | "$dir/stream_json" >"$dir/out" 2>"$dir/err"
printf '"a"\n"b"\n' | diff - "$dir/out" >"$dir/log" 2>&1
grep -q 'offset 13' "$dir/err" || echo "noise not reported" >>"$dir/log"
verdict stream_json.h-runs "$dir/log"
"$dir/stream_pool" | grep -q 'reused' || echo "said nothing of reuse" >"$dir/log"
verdict stream_pool.h-runs "$dir/log"

# The short examples in stream_json.h's sections, each the body of a function that has what it takes as given.
for section in read partial write rewrite; do
    {
        printf '#define STREAM_JSON_IMPLEMENTATION\n#include "stream_json.h"\n'
        printf 'extern char dst[1000];\nint arrives(const char **text, size_t *len);\n'
        printf 'void show(const char *bytes, size_t len);\n'
        printf 'stream_status snippet(const char *text, size_t len);\n'
        printf 'stream_status snippet(const char *text, size_t len) {\n'
        case $section in
        read) printf 'stream_json_value v = stream_json_value_of(text, len);\n' ;;
        rewrite) printf 'const char *json = text;\nsize_t dst_len;\nstream_json_writer w;\n' ;;
        esac
        [ $section = rewrite ] && printf 'stream_status status;\n'
        awk -v section="$section" '
            index($0, "/* ==[ " section " ]===") == 1 { on = 1; next }
            /^\/\* ==\[/ { on = 0 }
            on && !inside && /^       [a-z}]/ { inside = 1; print "{" }
            inside && !/^       / { inside = 0; print "}" }
            on && inside { sub(/  \*\/$/, ""); print }' stream_json.h | sed 's/) \.\.\.$/) show(text, len);/'
        case $section in
        rewrite) printf 'show(dst, dst_len);\nreturn status;\n}\n' ;;
        *) printf 'return STREAM_OK;\n}\n' ;;
        esac
    } >"$dir/snippet.c"
    $CC $W -std=c11 -Wno-unused-parameter -c "$dir/snippet.c" -o "$dir/snippet.o" >"$dir/log" 2>&1
    grep -q '^{' "$dir/snippet.c" || echo "no example in [$section]" >"$dir/log"
    verdict "stream_json.h-$section" "$dir/log"
done

# README: blocks fenced as c are whole programs; one after <!-- FILE --> is that file's text, and after one a block
# fenced as text is what it prints.
awk -v dir="$dir" '
    /^<!-- examples\/.*-->$/ { file = $2; next }
    /^```c$/ { n++; out = dir "/readme" n ".c"; inside = 1; print file > (out ".file"); close(out ".file"); file = ""; next }
    /^```text$/ && out { inside = 2; printf "" > (out ".text"); next }
    /^```/ { if (inside == 2) out = ""; inside = 0; next }
    inside == 1 { print > out }
    inside == 2 { print > (out ".text") }
    END { print n + 0 > (dir "/count") }' README.md
n=$(cat "$dir/count")
[ "$n" -ge 4 ] || echo "README.md shows only $n programs" >"$dir/log"
verdict readme-has-programs "$dir/log"
i=1
while [ $i -le "$n" ]; do
    : >"$dir/log"
    $CC $W -pthread "$dir/readme$i.c" -o "$dir/readme$i" >>"$dir/log" 2>&1
    file=$(cat "$dir/readme$i.c.file")
    [ -z "$file" ] || diff "$dir/readme$i.c" "$file" >>"$dir/log" 2>&1
    [ ! -e "$dir/readme$i.c.text" ] || "$dir/readme$i" </dev/null | diff - "$dir/readme$i.c.text" >>"$dir/log" 2>&1
    verdict "readme-program-$i" "$dir/log"
    i=$((i + 1))
done
for t in run test; do grep -q "make $t" README.md || echo "README.md does not name make $t" >"$dir/log"; done
verdict readme-commands "$dir/log"
# Every file that the README links to exists.
grep -oE '\]\([^)#:]+\)' README.md | sed 's/^](//; s/)$//' | while read -r f; do [ -e "$f" ] || echo "no $f"; done >"$dir/log"
verdict readme-links "$dir/log"

# The examples run.
: >"$dir/log"
printf 'one\ntwo\n' | "$BUILD/lines" | grep -q two || echo "lines" >>"$dir/log"
"$BUILD/fake_llm" | "$BUILD/json" 2>/dev/null | grep -q '1 result' || echo "json" >>"$dir/log"
"$BUILD/fake_llm" | "$BUILD/pipeline" | grep -q ' 0 pieces of noise, 0 lost' || echo "pipeline" >>"$dir/log"
"$BUILD/pool" | grep -q reused || echo "pool" >>"$dir/log"
printf 'abc\n\nhello' | "$BUILD/channel" | tr '\n' ' ' | grep -qx '3 0 5 ' || echo "channel" >>"$dir/log"
"$BUILD/flow" >/dev/null || echo "flow" >>"$dir/log"
printf 'id: 7\r\nevent: add\r\ndata: x\r\n\r\n' | "$BUILD/sse" | grep -q '^add #7: x$' || echo "sse" >>"$dir/log"
verdict examples-run "$dir/log"
for f in examples/*.c; do
    case $f in */fake_llm.c) ;; *) [ "$(wc -l <"$f")" -lt 40 ] || echo "$f is not under 40 lines" ;; esac
done >"$dir/log"
verdict examples-are-short "$dir/log"
