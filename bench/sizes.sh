#!/bin/sh
# SPDX-License-Identifier: MIT-0
# For firmware: the RAM of each object; the flash that the linker keeps of a header for a program that uses just
# this of it (code and tables, with what it needs of libgcc and newlib-nano, -Os, sections collected, no threads, no
# malloc); and the stack, the longest way down the compiler's own call graph: without what functions of libgcc and
# the C library take (memcpy, a division: some ten bytes), nor callbacks.
# Needs arm-none-eabi-gcc, of version 10 or later; PREFIX=other- takes another compiler.
prefix=${PREFIX:-arm-none-eabi-}
if ! command -v "${prefix}gcc" >/dev/null; then
    echo "sizes: no ${prefix}gcc here (make deps)" >&2
    exit 1
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
flags="-Os -ffunction-sections -fdata-sections -DSTREAM_NO_THREADS -DSTREAM_NO_MALLOC -DSTREAM_NO_OS -DSTREAM_NO_SIMD -I."

ram() { # header, objects
    for object in $2; do
        for cpu in cortex-m0 cortex-m4; do
            printf '#include "%s.h"\nchar probe[sizeof(%s)];\n' "$1" "$object" >"$dir/ram.c"
            "${prefix}gcc" $flags -mcpu=$cpu -mthumb -c "$dir/ram.c" -o "$dir/ram.o" || exit 1
            "${prefix}nm" -S -t d "$dir/ram.o" | awk '$4 == "probe" { print $2 + 0 }'
        done | paste -s -d ' ' | awk -v name="$object" '{ printf "| `%s` | %d | %d |\n", name, $1, $2 }'
    done
}

flash() { # header, macro, what, statements over static objects, switches
    for cpu in cortex-m0 cortex-m4; do
        {
            printf '#define %s_IMPLEMENTATION\n#include "%s.h"\n' "$2" "$1"
            printf 'static char memory[4096], text[4096];\nvolatile size_t size;\nvoid use(void);\n'
            printf 'void use(void) {\nsize_t n = size;\n(void)memory, (void)text, (void)n;\n%s\n}\n' "$4"
        } >"$dir/use.c"
        "${prefix}gcc" $flags $5 -mcpu=$cpu -mthumb -fcallgraph-info=su -c "$dir/use.c" -o "$dir/use.o" || exit 1
        "${prefix}gcc" -mcpu=$cpu -mthumb --specs=nano.specs -nostartfiles -Wl,--gc-sections,-e,use \
            "$dir/use.o" -o "$dir/use" || exit 1
        "${prefix}size" "$dir/use" | awk 'NR == 2 { print $1 }'
        "${prefix}nm" "$dir/use" | cat - "$dir/use.ci" | stack
    done | paste -s -d ' ' | awk -v name="$3" '{ printf "| %s | %d | %d | %d | %d |\n", name, $1, $3, $2, $4 }'
}
# What a call through a pointer leads to: a kernel of those that were linked, but where it is the caller's allocator
# or flush function.
stack() {
    awk 'function deepest(f, i, n, most) {
            if (f in known) return known[f]
            for (i = 1; i <= calls[f]; i++) if ((n = deepest(callee[f, i])) > most) most = n
            return known[f] = most + frame[f]
        }
        NF == 3 && $3 ~ /_(follow|check)_scalar$/ { kernel[++kernels] = $3 }
        $1 == "node:" {
            gsub(/"[^ ]*:|"/, "", $4)
            if (match($0, /[0-9]+ bytes/)) frame[$4] = substr($0, RSTART, RLENGTH) + 0
        }
        $1 == "edge:" {
            gsub(/"[^ ]*:|"/, "", $4)
            gsub(/"[^ ]*:|"/, "", $6)
            if ($6 != "__indirect_call") callee[$4, ++calls[$4]] = $6
            else if ($4 !~ /assembly|free|writ/) for (i = 1; i <= kernels; i++) callee[$4, ++calls[$4]] = kernel[i]
        }
        END { print deepest("use") }'
}
json() { flash stream_json STREAM_JSON "$1" "$2" "${3:-}"; }

echo '| RAM of an object, bytes | Cortex-M0 | Cortex-M4 |'
echo '|---|---|---|'
ram stream "stream_lines stream_ring stream_spsc stream_queue stream_broadcast stream_flow stream_batch stream_histogram"
ram stream_json "stream_json stream_json_checker stream_json_view stream_json_writer stream_json_each"
ram stream_pool "stream_pool stream_pool_buf"
echo
echo '| for what is used, bytes | flash, Cortex-M0 | M4 | stack, M0 | M4 |'
echo '|---|---|---|---|---|'
frame='static stream_json j; stream_json_desc d; stream_item item; memset(&d, 0, sizeof d); d.memory = memory;
    d.memory_len = sizeof memory; d.kernel = "scalar"; stream_json_init(&j, &d); stream_json_feed(&j, text, n);
    while (stream_json_next(&j, &item) == STREAM_OK) n += item.len;'
pick='static const char *const want[] = {"/a"}; stream_json_value v; stream_json_pick(text, n, want, 1, &v);'
writer='static stream_json_writer w; stream_json_writer_init(&w, memory, sizeof memory); stream_json_write_object(&w);
    stream_json_write_key(&w, "a", n); stream_json_write_string(&w, text, n);
    stream_json_write_int64(&w, (int64_t)n); stream_json_write_end(&w); stream_json_writer_finish(&w, &n);'
json 'framing, with and without `strict`' "$frame"
json 'framing under STREAM_JSON_NO_STRICT' "$frame" -DSTREAM_JSON_NO_STRICT
json 'the same with STREAM_JSON_SHAPE=1' "$frame" '-DSTREAM_JSON_NO_STRICT -DSTREAM_JSON_SHAPE=1'
json 'picking by pointers' "$pick"
json 'framing and picking' "$frame { $pick }"
json 'strict checking' 'stream_json_check(text, n, &n);'
json 'a partial view' 'static stream_json_view v; static const char *const want[] = {"/a"};
    stream_json_view_init(&v, want, 1); stream_json_view_feed(&v, text, n);'
json 'writing' "$writer"
json 'writing, doubles too' "$writer stream_json_write_double(&w, (double)n);"
json 'reading a double' 'double x; stream_json_double(stream_json_value_of(text, n), &x); size = x > 1;'
rewrite='static stream_json_writer w; static stream_json_rule r; r.pointer = "/a";
    stream_json_writer_init(&w, memory, sizeof memory); stream_json_rewrite(text, n, &r, 1, &w, NULL, NULL);'
json 'rewriting' "$rewrite"
json 'rewriting under STREAM_JSON_NO_STRICT' "$rewrite" -DSTREAM_JSON_NO_STRICT
json 'comparing and merging' 'static stream_json_writer w; stream_json_value v = stream_json_value_of(text, n);
    stream_json_writer_init(&w, memory, sizeof memory); stream_json_diff(v, v, &w); stream_json_merge(v, v, &w);'
flash stream STREAM 'lines' 'static stream_lines l; stream_item item; stream_lines_init(&l, NULL);
    stream_lines_feed(&l, text, n); while (stream_lines_next(&l, &item) == STREAM_OK) n += item.len;'
flash stream_pool STREAM_POOL 'a pool' 'static stream_pool p; stream_pool_buf *b; stream_pool_init(&p, NULL);
    if (stream_pool_acquire(&p, n, &b) == STREAM_OK) stream_pool_release(b);'
