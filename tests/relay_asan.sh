#!/bin/sh
# SPDX-License-Identifier: MIT-0
# The outside tests of sse_relay once more, on a build with AddressSanitizer and UBSan.
set -e
out=$BUILD/tests
flags="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -I."
if ! echo 'int main(void){return 0;}' | $CC $flags -x c - -o "$out/probe.asan" 2>/dev/null; then
    echo "skip relay.asan: $CC has no AddressSanitizer here"
    exit 0
fi
[ -f "$BUILD/relay/page.h" ] || make -s BUILD="$BUILD" "$BUILD/relay/page.h"
$CC $flags -I"$BUILD/relay" examples/sse_relay/*.c examples/common/*.c -o "$out/sse_relay.asan"
node tests/test_relay.mjs "$out/sse_relay.asan" "$BUILD/npm"
