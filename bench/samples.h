/* SPDX-License-Identifier: MIT-0
   Where a bench leaves each single measurement, for bench/report.py: one line in the file that BENCH_SAMPLES
   names, fields by tabs:  bench  case  who  role  unit  asked  value
   role: `ours`, the one the others of a case are compared with; `rival`; `bound`, what the machine can do at all.
   asked: `>= 2 x` of a rival (ours is so many times better), `<= 350` or `>= 950` of ours in its unit, or empty.
   unit: with a + before it more is better, else less. The n-th value of one who and the n-th of another were
   measured next to each other. */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stdio.h>
#include <stdlib.h>

static inline void bench_sample(const char *bench, const char *what, const char *who, const char *role,
                                const char *unit, const char *asked, double value) {
    const char *name = getenv("BENCH_SAMPLES");
    FILE *file = name && *name ? fopen(name, "a") : NULL;
    if (!file) return;
    fprintf(file, "%s\t%s\t%s\t%s\t%s\t%s\t%.9g\n", bench, what, who, role, unit, asked, value);
    fclose(file);
}

#endif
