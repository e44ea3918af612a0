#!/bin/sh
# SPDX-License-Identifier: MIT-0
# cpu.sh PROGRAM...: test_cpu on processors that lack what the wider kernels need, each thing alone, and on one that has
# what AVX2 needs: qemu's of these names. (Without BMI1, but with BMI2, glibc itself uses what is not there.)
if ! command -v qemu-x86_64 >/dev/null; then
    echo "skip cpu: no qemu-x86_64 here"
    exit 0
fi
for pair in Nehalem:sse2 Haswell:avx2 Haswell,-avx2:sse2 Haswell,-xsave:sse2 Haswell,-pclmulqdq:sse2 \
    Haswell,-popcnt:sse2 Haswell,-bmi2:sse2 Haswell,-bmi1,-bmi2:sse2 Haswell,-abm:sse2 core2duo:sse2 \
    qemu64,level=6:sse2; do
    cpu=${pair%:*} said=$(qemu-x86_64 -cpu "${pair%:*}" "$1" "${pair##*:}" 2>&1) # with what qemu cannot emulate
    code=$?
    echo "$said" | grep -v '^qemu-x86_64: warning' | sed "s/cpu\./cpu.$cpu./"
    [ $code -eq 0 ] || echo "FAIL cpu.$cpu: ended with $code"
done
