// SPDX-License-Identifier: MIT-0
// What bench/samples.h says, for benches in JavaScript.
import { appendFileSync } from 'node:fs';

export function sample(bench, what, who, role, unit, asked, value) {
    const file = process.env.BENCH_SAMPLES;
    if (file && Number.isFinite(value)) {
        appendFileSync(file, [bench, what, who, role, unit, asked, value].join('\t') + '\n');
    }
}
