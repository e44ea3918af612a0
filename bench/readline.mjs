// SPDX-License-Identifier: MIT-0
// The obvious way in Node: readline, JSON.parse, count by type.
import { createInterface } from 'node:readline';
const counts = {};
for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  if (!line) continue;
  const { type } = JSON.parse(line);
  counts[type] = (counts[type] ?? 0) + 1;
}
console.log(counts);
