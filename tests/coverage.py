#!/usr/bin/env python3
# SPDX-License-Identifier: MIT-0
"""coverage.py DIRECTORY EXPECTED: merges what gcov says of every program below DIRECTORY, prints a table, and
fails for each line or branch of the headers that no program reached and EXPECTED does not name, and for each
that EXPECTED names and that is reached or not there.

EXPECTED has one line for each line of source:  header | n | the line, without indentation | reason
n is how many of its branches nobody takes, or `line` when it is never run at all. A reason that begins with
`sometimes:` is about what depends on how threads meet: it may be reached, or not.

gcov numbers the branches of a line. Programs in which a line has other branches, because another part of the
header is compiled, are kept apart, and the one that reaches most of them counts."""
import glob
import json
import os
import subprocess
import sys

HEADERS = ("stream.h", "stream_json.h", "stream_pool.h")


def collect(directory):
    runs, branches = {}, {}
    for data in sorted(glob.glob(directory + "/**/*.gcda", recursive=True)):
        said = subprocess.run(["gcov", "-b", "--json-format", "--stdout", data], capture_output=True, check=True)
        for file in json.loads(said.stdout)["files"]:
            header = os.path.basename(file["file"])
            if header not in HEADERS:
                continue
            for line in file["lines"]:
                key = header, line["line_number"]
                runs[key] = runs.get(key, 0) + line["count"]
                taken = [branch["count"] > 0 for branch in line["branches"]]
                if taken:
                    known = branches.setdefault(key, {}).setdefault(len(taken), [False] * len(taken))
                    for i, was in enumerate(taken):
                        known[i] |= was
    best = {key: max(ways.values(), key=lambda taken: (sum(taken) / len(taken), len(taken)))
            for key, ways in branches.items()}
    return runs, best


def main():
    directory, expected_file = sys.argv[1:]
    runs, branches = collect(directory)
    source = {header: open(header, encoding="utf-8").read().split("\n") for header in HEADERS}
    expected = {}
    for number, text in enumerate(open(expected_file, encoding="utf-8"), 1):
        if text.strip() and not text.startswith("#"):
            try:
                header, count, rest = text.strip().split(" | ", 2)
                line, reason = rest.rsplit(" | ", 1) # the source may have one, too
            except ValueError:
                sys.exit(f"{expected_file}:{number}: not four fields")
            expected[header, line] = [count, reason, number, False]
    failures = 0
    rows = []
    for header in HEADERS:
        reached, total, taken, ways, named = 0, 0, 0, 0, 0
        for key in sorted(key for key in runs if key[0] == header):
            line = source[header][key[1] - 1].strip()
            total += 1
            reached += runs[key] > 0
            missed = branches.get(key, []).count(False)
            ways += len(branches.get(key, []))
            taken += branches.get(key, []).count(True)
            have = "line" if runs[key] == 0 else str(missed) if missed else None
            want = expected.get((header, line))
            if want:
                want[3] = want[3] or have is not None
                named += have is not None
            if have and not (want and (want[0] == have or want[1].startswith("sometimes:"))):
                failures += 1
                print(f"{header} | {have} | {line} | line {key[1]}: {branches.get(key, '')}")
        rows.append(f"| {header:<13} | {total:5} | {100 * reached / total:6.2f} % | {ways:8} | "
                    f"{100 * taken / ways:6.2f} % | {named:5} |")
    for (header, line), (count, reason, number, seen) in expected.items():
        if not seen and not reason.startswith("sometimes:"):
            failures += 1
            print(f"{expected_file}:{number}: reached, or not there: {header} | {line}")
    table = ["| header        | lines | reached  | branches | taken    | named |", "|---|--:|--:|--:|--:|--:|"] + rows
    print("\n".join(table))
    with open(directory + "/coverage.md", "w", encoding="utf-8") as report:
        report.write("\n".join(table) + "\n")
    if failures:
        print(f"FAIL coverage: {failures} lines above are not named in {expected_file}, or wrongly")
    else:
        print("ok   coverage: what is not reached is named")
    return failures > 0


sys.exit(main())
