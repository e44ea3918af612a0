/* SPDX-License-Identifier: MIT-0
   For the fuzz targets of what has vector code: what a target makes of an input, as one number, must be the
   same with every kernel of this machine, and in a build of the library without a vector instruction in it:
   tests/fuzz.sh compiles such a target twice, the second time with FUZZ_SCALAR, and links both. The target
   defines fuzz_outcome() and nothing else; STREAM_IMPLEMENTATION as well when it needs more than JSON, and
   FUZZ_NO_JSON when it needs none. */
#ifndef FUZZ_KERNELS_H
#define FUZZ_KERNELS_H

#ifdef FUZZ_SCALAR
#define STREAM_NO_SIMD
#define STREAM_STATIC
#endif
#include "stream.h"
#ifndef FUZZ_NO_JSON
static const char *fuzz_kernel; /* what a desc that names none gets, and all functions without a desc */
#define STREAM_JSON_KERNEL fuzz_kernel
#define STREAM_JSON_IMPLEMENTATION
#include "stream_json.h"
#endif
#include "fuzz_split.h"

static uint64_t fuzz_outcome(const uint8_t *data, size_t len);
uint64_t fuzz_scalar(const uint8_t *data, size_t len);

#ifdef FUZZ_SCALAR
uint64_t fuzz_scalar(const uint8_t *data, size_t len) {
#ifndef FUZZ_NO_JSON
    fuzz_kernel = "scalar";
#endif
    return fuzz_outcome(data, len);
}
#else
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    const uint64_t plain = fuzz_scalar(data, len);
#ifdef FUZZ_NO_JSON
    FUZZ_CHECK(fuzz_outcome(data, len) == plain);
#else
    static const char *const kernels[] = {"avx512", "avx2", "sse2", "neon", "scalar"};
    stream_json_checker known;
    size_t i;
    for (i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        fuzz_kernel = kernels[i];
        if (stream_json_checker_init(&known, fuzz_kernel) != STREAM_OK) continue; /* not on this machine */
        FUZZ_CHECK(fuzz_outcome(data, len) == plain);
    }
#endif
    return 0;
}
#endif

#endif
