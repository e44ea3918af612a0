// SPDX-License-Identifier: MIT-0
// Judges lines `bits text` of `test_numbers dump N` by this engine's own Number::toString; -0 keeps its sign.
import { createInterface } from 'node:readline';
const bytes = new DataView(new ArrayBuffer(8));
let lines = 0, wrong = 0;
for await (const line of createInterface({ input: process.stdin })) {
    const [bits, text] = line.split(' ');
    bytes.setBigUint64(0, BigInt('0x' + bits));
    const value = bytes.getFloat64(0);
    const want = Object.is(value, -0) ? '-0' : String(value);
    lines++;
    if (text !== want && ++wrong < 20) console.log(`${bits}: ${text}, not ${want}`);
}
console.log(`${wrong || !lines ? 'FAIL' : 'ok  '} numbers.ecmascript (${lines} checks)`);
process.exit(wrong || !lines ? 1 : 0);
