# SPDX-License-Identifier: MIT-0
# What a script does with a stream of JSON lines: parses each, counts by type, passes it on.
import collections
import json
import sys

counts = collections.Counter()
for line in sys.stdin.buffer:
    counts[json.loads(line).get("type")] += 1
    sys.stdout.buffer.write(line)
print(dict(counts), file=sys.stderr)
