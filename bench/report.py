#!/usr/bin/env python3
# SPDX-License-Identifier: MIT-0
"""report.py SAMPLES DIRECTORY [compare SAVED]: what bench/samples.h left in SAMPLES, as DIRECTORY/report.json,
report.md and four plots (SVG); hyperfine's DIRECTORY/wrap.json is taken in as well.

The ratio of ours to a rival is the median of the ratios of single rounds, for the n-th rounds of both were
measured next to each other on the same shared machine; its interval (95 %) comes from drawing rounds again, with
repetition, 2000 times. A figure asked for counts as reached when the median does.

`compare` reads an older report.json, and judges by what a noisy machine leaves comparable: ratios to rivals
measured in the same run (worse: the intervals do not touch, and ours lost a twentieth or more), and counts of
instructions (worse: a hundredth more)."""
import json
import math
import os
import random
import sys


def quantile(values, part):
    ordered = sorted(values)
    at = part * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def median(values):
    return quantile(values, 0.5)


def interval(values):
    if len(values) < 3:
        return [min(values), max(values)]
    draw = random.Random(1)
    medians = [median(draw.choices(values, k=len(values))) for _ in range(2000)]
    return [quantile(medians, 0.025), quantile(medians, 0.975)]


def read(name):
    cases = {}
    for line in open(name, encoding="utf-8"):
        bench, case, who, role, unit, asked, value = line.rstrip("\n").split("\t")
        entry = cases.setdefault((bench, case, unit), {}).setdefault(
            who, {"role": role, "asked": asked, "values": []})
        entry["values"].append(float(value))
    return cases


def from_hyperfine(name, cases):
    if not os.path.exists(name):
        return
    for result in json.load(open(name, encoding="utf-8"))["results"]:
        who = result["command"]
        if who.startswith("bound"):
            continue
        cases.setdefault(("wrap", "whole programs", "s"), {})[who] = {
            "role": "ours" if who == "stream_wrap" else "rival", "asked": "", "values": result["times"]}


def holds(asked, value):
    limit = float(asked[3:].split()[0])
    return value <= limit if asked.startswith("<=") else value >= limit


def judge(cases):
    rows = []
    for (bench, case, unit), whos in cases.items():
        ours = next((name for name, entry in whos.items() if entry["role"] == "ours"), None)
        for who, entry in whos.items():
            values = entry["values"]
            row = {"bench": bench, "case": case, "unit": unit, "who": who, "role": entry["role"],
                   "rounds": len(values), "median": median(values),
                   "spread": [quantile(values, 0.25), quantile(values, 0.75)]}
            if ours is not None and who != ours:
                pairs = [pair for pair in zip(whos[ours]["values"], values) if min(pair) > 0]
                ratios = [a / b if unit[0] == "+" else b / a for a, b in pairs]
                if ratios:
                    row["ratio"], row["interval"] = median(ratios), interval(ratios)
            if entry["asked"]:
                row["asked"] = entry["asked"]
                said = row.get("ratio") if entry["asked"].endswith("x") else row["median"]
                row["met"] = said is not None and holds(entry["asked"], said)
            rows.append(row)
    return rows


def number(value):
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def markdown(rows):
    out = []
    bench = None
    for row in rows:
        if row["bench"] in ("memory", "latency", "buffers", "fragments"):
            continue
        if row["bench"] != bench:
            bench = row["bench"]
            out += ["", f"## {bench}", "", "| case | who | median | spread | ours is better by | asked | met |",
                    "|---|---|--:|--:|--:|---|---|"]
        ratio = ""
        if "ratio" in row:
            low, high = row["interval"]
            ratio = f"{row['ratio']:.2f} x ({low:.2f} to {high:.2f})"
        unit = row["unit"].lstrip("+")
        out.append(f"| {row['case']} | {row['who']}{' (bound)' if row['role'] == 'bound' else ''} "
                   f"| {number(row['median'])} {unit} | {number(row['spread'][0])} to {number(row['spread'][1])} "
                   f"| {ratio} | {row.get('asked', '')} | {'' if 'met' not in row else 'yes' if row['met'] else 'NO'} |")
    asked = [row for row in rows if "met" in row]
    out += ["", f"{sum(row['met'] for row in asked)} of {len(asked)} figures asked for are reached."]
    return "\n".join(out).lstrip() + "\n"


class Plot:
    """Lines over axes, either of which may be logarithmic; nothing but SVG text."""
    WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 360, 70, 130, 40, 50
    COLOURS = ["#1f5fbf", "#c8501e", "#3a8f3a", "#7a4fb0"]

    def __init__(self, title, x_title, y_title, x_log=False, y_log=False):
        self.title, self.x_title, self.y_title = title, x_title, y_title
        self.x_log, self.y_log, self.lines = x_log, y_log, []

    def add(self, name, points):
        points = [(x, y) for x, y in points if (x > 0 or not self.x_log) and (y > 0 or not self.y_log)]
        if points:
            self.lines.append((name, points))

    @staticmethod
    def scale(values, log, low, high):
        least, most = min(values), max(values)
        if log:
            least, most = math.log10(least), math.log10(most)
        else:
            least = min(least, 0)
        span = (most - least) or 1
        return lambda v: low + ((math.log10(v) if log else v) - least) / span * (high - low)

    @staticmethod
    def ticks(values, log):
        least, most = min(values), max(values)
        if log:
            return [10.0 ** e for e in range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
                    if least <= 10.0 ** e <= most] or [least, most]
        step = 10.0 ** math.floor(math.log10(most or 1))
        if (most or 1) / step < 3:
            step /= 5
        return [step * i for i in range(int(most / step) + 1)]

    def write(self, name):
        if not self.lines:
            return
        xs = [x for _, points in self.lines for x, _ in points]
        ys = [y for _, points in self.lines for _, y in points]
        x_at = self.scale(xs, self.x_log, self.LEFT, self.WIDTH - self.RIGHT)
        y_at = self.scale(ys, self.y_log, self.HEIGHT - self.BOTTOM, self.TOP)
        out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.WIDTH} {self.HEIGHT}" '
               'font-family="sans-serif" font-size="12">',
               f'<rect width="{self.WIDTH}" height="{self.HEIGHT}" fill="white"/>',
               f'<text x="{self.LEFT}" y="22" font-size="15">{self.title}</text>',
               f'<text x="{(self.LEFT + self.WIDTH - self.RIGHT) / 2}" y="{self.HEIGHT - 12}" '
               f'text-anchor="middle">{self.x_title}</text>',
               f'<text transform="translate(16 {self.HEIGHT / 2}) rotate(-90)" '
               f'text-anchor="middle">{self.y_title}</text>']
        for tick in self.ticks(xs, self.x_log):
            out.append(f'<text x="{x_at(tick):.1f}" y="{self.HEIGHT - self.BOTTOM + 16}" text-anchor="middle" '
                       f'fill="#555">{number(tick)}</text>')
        for tick in self.ticks(ys, self.y_log):
            y = y_at(tick)
            out.append(f'<path d="M{self.LEFT} {y:.1f}H{self.WIDTH - self.RIGHT}" stroke="#ddd"/>'
                       f'<text x="{self.LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#555">'
                       f'{number(tick)}</text>')
        for i, (label, points) in enumerate(self.lines):
            colour = self.COLOURS[i % len(self.COLOURS)]
            path = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in points)
            out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
                       f'<text x="{self.WIDTH - self.RIGHT + 10}" y="{self.TOP + 16 + 18 * i}" '
                       f'fill="{colour}">{label}</text>')
        with open(name, "w", encoding="utf-8") as file:
            file.write("\n".join(out + ["</svg>"]) + "\n")


def plots(cases, directory):
    plot = Plot("Records taken in, by the size of the read buffer", "bytes read at a time", "MB/s", x_log=True)
    buffers = cases.get(("buffers", "through a pipe", "+MB/s")) or {}
    plot.add("stream", sorted((float(who), median(entry["values"])) for who, entry in buffers.items()))
    plot.write(directory + "/buffers.svg")

    plot = Plot("Framing a record, by the size of fragments", "bytes fed at a time", "ns a record", True, True)
    fragments = cases.get(("fragments", "framing", "ns")) or {}
    plot.add("stream", sorted((float(who), median(entry["values"])) for who, entry in fragments.items()))
    plot.write(directory + "/fragments.svg")

    plot = Plot("Memory while output comes in", "% of the output", "MiB above the start")
    for who, entry in (cases.get(("memory", "over the input", "MiB")) or {}).items():
        plot.add(who, [(100 * i / len(entry["values"]), v) for i, v in enumerate(entry["values"])])
    plot.write(directory + "/memory.svg")

    plot = Plot("From written to looked at", "% of the records", "ms", y_log=True)
    for who, entry in (cases.get(("latency", "written to looked at", "ms")) or {}).items():
        plot.add(who, [(100 * i / len(entry["values"]), v) for i, v in enumerate(entry["values"])])
    plot.write(directory + "/latency.svg")


def compare(rows, saved_name):
    saved = {(row["bench"], row["case"], row["who"]): row
             for row in json.load(open(saved_name, encoding="utf-8"))}
    worse = better = same = 0
    for row in rows:
        old = saved.get((row["bench"], row["case"], row["who"]))
        if old and row["unit"] == "instructions":
            change = old["median"] / row["median"]
            if 0.99 < change < 1 / 0.99:
                same += 1
                continue
            worse += change < 1
            better += change > 1
            print(f"{'worse ' if change < 1 else 'better'} {row['case']}: {number(old['median'])} -> "
                  f"{number(row['median'])} instructions")
            continue
        if "ratio" not in row or "ratio" not in (old or {}) or row["role"] == "bound":
            continue
        apart = row["interval"][1] < old["interval"][0] or row["interval"][0] > old["interval"][1]
        change = row["ratio"] / old["ratio"]
        if not apart or 0.95 < change < 1 / 0.95:
            same += 1
            continue
        worse += change < 1
        better += change > 1
        print(f"{'worse ' if change < 1 else 'better'} {row['bench']}, {row['case']}, beside {row['who']}: "
              f"{old['ratio']:.2f} -> {row['ratio']:.2f} x")
    print(f"{worse} worse, {better} better, {same} the same or within the noise")
    return worse > 0


def main():
    samples, directory = sys.argv[1:3]
    cases = read(samples)
    from_hyperfine(directory + "/wrap.json", cases)
    rows = judge(cases)
    with open(directory + "/report.json", "w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)
        file.write("\n")
    text = markdown(rows)
    with open(directory + "/report.md", "w", encoding="utf-8") as file:
        file.write(text)
    plots(cases, directory)
    if len(sys.argv) > 4 and sys.argv[3] == "compare":
        return compare(rows, sys.argv[4])
    print(text.split("\n")[-2])
    return 0


sys.exit(main())
