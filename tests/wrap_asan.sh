#!/bin/sh
# SPDX-License-Identifier: MIT-0
# The outside tests of stream_wrap once more, on a build with AddressSanitizer and UBSan.
set -e
out=$BUILD/tests
flags="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -I."
if ! echo 'int main(void){return 0;}' | $CC $flags -x c - -o "$out/probe.asan" 2>/dev/null; then
    echo "skip wrap.asan: $CC has no AddressSanitizer here"
    exit 0
fi
$CC $flags examples/stream_wrap/*.c examples/common/*.c -o "$out/stream_wrap.asan"
$CC -O1 -std=c11 -D_GNU_SOURCE -I. tests/test_wrap.c -o "$out/test_wrap_asan"
TEST_SANITIZED=1 ASAN_OPTIONS=abort_on_error=0 "$out/test_wrap_asan" "$out/stream_wrap.asan" "$BUILD/fake_llm"
