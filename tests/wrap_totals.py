#!/usr/bin/env python3
# SPDX-License-Identifier: MIT-0
"""stream_wrap beside a second opinion: wrap_totals.py STREAM_WRAP FAKE_LLM [SHARED].

Every stream (made by fake_llm, and those recorded from real CLIs in SHARED/data) goes through each output
mode; what comes out is read with Python's json, and each figure of the state, the summary and the metrics is
counted here once more, from the bytes, by other code."""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter

WRAP, FAKE = sys.argv[1:3]
SHARED = sys.argv[3] if len(sys.argv) > 3 else "../shared"
failed = 0


def report(name, wrong):
    global failed
    failed += bool(wrong)
    for text in wrong[:5]:
        print("  " + text)
    print(("FAIL" if wrong else "ok  ") + " wrap_totals." + name, flush=True)


def no_constant(text):
    raise ValueError(text + " is no JSON")


def strict(text):
    return json.loads(text, parse_constant=no_constant)


def wrap(stream, *options):
    done = subprocess.run([WRAP, *options], input=stream, capture_output=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def records_of(stream):
    """(offset, record) of each line that is one."""
    offset, found = 0, []
    for line in stream.split(b"\n"):
        if line.strip():
            found.append((offset, strict(line.decode("utf-8"))))
        offset += len(line) + 1
    return found


def blocks(record):
    content = record.get("message", {}).get("content")
    return content if isinstance(content, list) else []


class Totals:
    """What the records of Claude Code add up to."""

    def __init__(self, records):
        self.types, self.tools = Counter(), {}
        self.messages, usage, started, streamed = {}, None, {}, None
        self.cost, self.text, self.session, self.model, self.result = None, [], "", "", False
        for _, r in records:
            self.types[r.get("type", "(none)")] += 1
            kind = r.get("type")
            if kind == "system" and r.get("subtype") == "init":
                self.session, self.model = r.get("session_id", ""), r.get("model", "")
            elif kind == "stream_event":
                event = r["event"]
                if event["type"] == "message_start":
                    streamed = event["message"]["id"]
                    self.messages[streamed] = dict(event["message"].get("usage", {}))
                elif event["type"] == "message_delta":
                    for key in ("input_tokens", "output_tokens"):
                        if event.get("usage", {}).get(key):
                            self.messages[streamed][key] = event["usage"][key]
            elif kind == "assistant":
                if r["message"].get("id") != streamed:
                    self.messages[r["message"].get("id")] = dict(r["message"].get("usage", {}))
                for b in blocks(r):
                    if b["type"] in ("tool_use", "server_tool_use"):
                        started[b["id"]] = b["name"]
                    elif b["type"] == "text" and not r.get("parent_tool_use_id"):
                        self.text.append(b["text"])
            elif kind == "user":
                for b in blocks(r):
                    if b["type"] == "tool_result" and b["tool_use_id"] in started:
                        calls = self.tools.setdefault(started[b["tool_use_id"]], [0, 0])
                        calls[0] += 1
                        calls[1] += b.get("is_error") is True
            elif kind == "result":
                usage, self.cost, self.result = r.get("usage"), r.get("total_cost_usd"), True
        self.started = len(started)
        keys = {"input": "input_tokens", "output": "output_tokens", "cache_read": "cache_read_input_tokens",
                "cache_write": "cache_creation_input_tokens"}
        sums = [usage] if usage else list(self.messages.values())
        self.tokens = {ours: sum(u.get(theirs) or 0 for u in sums) for ours, theirs in keys.items()}


def shown(text):
    """As a terminal may have it."""
    text = text.replace("\r", "")
    text = re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", "\ufffd", text)
    return text if not text or text.endswith("\n") else text + "\n"


def equal(wrong, what, got, want):
    if got != want:
        wrong.append(f"{what} is {got!r}, not {want!r}")


def check_raw(stream, wrong):
    code, out, err = wrap(stream)
    equal(wrong, "raw: exit code", code, 0)
    equal(wrong, "raw: bytes", out == stream, True)
    equal(wrong, "raw: standard error", err, b"")


def check_events(stream, records, totals, wrong):
    code, out, _ = wrap(stream, "--output=events", "--name=a \"name\"")
    equal(wrong, "events: exit code", code, 0)
    at, pieces, seen = dict(records), [], Counter()
    last = 0
    for line in out.decode("utf-8").split("\n")[:-1]:
        event = strict(line)
        seen[event["event"]] += 1
        equal(wrong, "events: wrap", event["wrap"], 'a "name"')
        if event["ms"] < last:
            wrong.append(f"events: time goes back: {line[:100]}")
        last = event["ms"]
        if re.search(r"[\x00-\x1f]", line):
            wrong.append(f"events: a control character: {line[:100]}")
        if event["event"] in ("record", "result"):
            equal(wrong, "events: a record", event["record"], at.get(event["offset"]))
        if event["event"] == "text" and event["source"] == "assistant":
            pieces.append(event["text"])
        if event["event"] == "tool_end" and "name" in event:
            equal(wrong, "events: a tool's name", event["name"] in totals.tools, True)
    equal(wrong, "events: text", "".join(pieces), "".join(totals.text))
    equal(wrong, "events: tool_start", seen["tool_start"], totals.started)
    equal(wrong, "events: tool_end", seen["tool_end"], sum(n for n, _ in totals.tools.values()))
    equal(wrong, "events: start", seen["start"], 1)
    equal(wrong, "events: result", seen["result"], int(totals.result))
    equal(wrong, "events: end", seen["end"], 1)
    for kind in ("oversize", "truncated", "invalid"):
        equal(wrong, "events: " + kind, seen[kind], 0)


def check_text(stream, totals, wrong):
    code, out, _ = wrap(stream, "--output=text")
    equal(wrong, "text: exit code", code, 0)
    equal(wrong, "text", out.decode("utf-8"), "".join(shown(t) for t in totals.text))


def check_state(stream, records, totals, directory, wrong):
    status = os.path.join(directory, "status")
    code, _, err = wrap(stream, "--status-file", status, "--summary")
    with open(status, "rb") as file:
        state = strict(file.read().decode("utf-8"))
    equal(wrong, "state: exit_code", (state["exit_code"], code), (0, 0))
    equal(wrong, "state: types", state["types"], dict(totals.types))
    equal(wrong, "state: tokens", state["tokens"], totals.tokens)
    equal(wrong, "state: tools", {t["name"]: [t["calls"], t["failed"]] for t in state["tools"]}, totals.tools)
    want = {"records": len(records), "bytes": len(stream), "written": len(stream), "lag": 0,
            "messages": len(totals.messages), "tools_started": totals.started, "cost_usd": totals.cost,
            "session_id": totals.session, "model": totals.model, "noise": 0, "invalid": 0, "oversize": 0,
            "truncated": 0, "unterminated": not stream.endswith(b"\n"), "state": "exit",
            "missing": None if totals.result else "the stream ended without a result"}
    for key, value in want.items():
        equal(wrong, "state: " + key, state[key], value)
    summary = err.decode("utf-8")
    line = re.search(r"^-- stream_wrap: (\d+) records, (\d+) bytes in \d+:\d\d, exit code 0$", summary, re.M)
    equal(wrong, "summary: head", line and tuple(map(int, line.groups())), (len(records), len(stream)))
    kinds = {m[1]: int(m[0]) for m in re.findall(r"^ +(\d+) (\S+)$", summary, re.M)}
    equal(wrong, "summary: types", kinds, dict(totals.types))
    line = re.search(r"^ +(\d+) messages, (\d+) tools, ", summary, re.M)
    equal(wrong, "summary: messages, tools", line and tuple(map(int, line.groups())),
          (len(totals.messages), totals.started))
    calls = {m[1]: int(m[0]) for m in re.findall(r"^ +(\d+) (\S+): [\d.]+ s, the longest", summary, re.M)}
    equal(wrong, "summary: tools", calls, {name: n for name, (n, _) in totals.tools.items()})
    if totals.cost is not None:
        equal(wrong, "summary: cost", f"${totals.cost:.4f}" in summary, True)


SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-z]+="(?:[^"\\\n]|\\[\\n"])*"\})? '
                    r'(-?[0-9.]+(?:e[+-]?[0-9]+)?)')


def lint(text, wrong):
    """The text format, to the letter: each family once, told before its samples; no sample twice."""
    kind, samples, family = {}, {}, None
    for line in text.split("\n")[:-1]:
        told = re.fullmatch(r"# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)", line)
        if told and told[1] == "HELP":
            equal(wrong, "metrics: told twice: " + told[2], told[2] in kind, False)
            family, kind[told[2]] = told[2], None
        elif told:
            equal(wrong, "metrics: type of " + told[2], (told[2], kind.get(told[2], 1)), (family, None))
            kind[family] = told[3]
        else:
            sample = SAMPLE.fullmatch(line)
            if not sample:
                wrong.append("metrics: not understood: " + line)
                continue
            base = re.sub(r"_(sum|count)$", "", sample[1]) if kind[family] == "summary" else sample[1]
            equal(wrong, "metrics: family of " + line, base, family)
            equal(wrong, "metrics: twice " + line, sample[1] + (sample[2] or "") in samples, False)
            equal(wrong, "metrics: " + line, kind[family] == "counter", family.endswith("_total"))
            samples[sample[1] + (sample[2] or "")] = float(sample[3])
    return samples


def check_metrics(stream, totals, wrong):
    _, _, err = wrap(stream, "--metrics=prometheus")
    samples = lint(err.decode("utf-8"), wrong)
    want = {f'records_total{{type="{name}"}}': n for name, n in totals.types.items()}
    want.update({f'tokens_total{{kind="{name}"}}': n for name, n in totals.tokens.items()})
    want.update({"bytes_total": len(stream), "messages_total": len(totals.messages),
                 "tools_total": totals.started, "cost_usd": round(totals.cost or 0, 9), "exit_code": 0})
    for key, value in want.items():
        equal(wrong, "metrics: " + key, samples.get("stream_wrap_" + key), value)
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "metrics"], input=err, capture_output=True)
        equal(wrong, "promtool", (done.returncode, done.stdout + done.stderr), (0, b""))


def check(name, stream, directory):
    wrong = []
    records = records_of(stream)
    totals = Totals(records)
    check_raw(stream, wrong)
    check_events(stream, records, totals, wrong)
    check_text(stream, totals, wrong)
    check_state(stream, records, totals, directory, wrong)
    check_metrics(stream, totals, wrong)
    report(name, wrong)


def check_labels():
    """Types of records that no label may have as they are."""
    wrong = []
    names = ['(others)', '(none)', 'a"b', "back\\slash", "new\nline", "\x1b[31m", "", "é" * 40]
    names += [f"t{i}" for i in range(40)]
    stream = b"".join(json.dumps({"type": n}).encode() + b"\n" for n in names)
    samples = lint(wrap(stream, "--metrics=prometheus")[2].decode("utf-8"), wrong)
    total = sum(v for k, v in samples.items() if k.startswith("stream_wrap_records_total"))
    equal(wrong, "metrics: all types", total, len(names))
    report("labels", wrong)


def main():
    with tempfile.TemporaryDirectory() as directory:
        for seed in range(1, 7):
            for name, options in (("", []), (".whole", ["--no-partial"]), (".crlf", ["--crlf", "--turns=9"]),
                                  (".cut", ["--fault=no-result"])):
                made = subprocess.run([FAKE, f"--seed={seed}", *options], capture_output=True, timeout=60)
                check(f"seed{seed}{name}", made.stdout, directory)
        recorded = sorted(glob.glob(os.path.join(SHARED, "data", "claude", "*.ndjson")))
        for path in recorded:
            with open(path, "rb") as file:
                check("recorded." + os.path.basename(path), file.read(), directory)
        if not recorded:
            print("skip wrap_totals.recorded: no ../shared/data/claude (STREAM_SHARED says where)")
        check_labels()
    sys.exit(1 if failed else 0)


main()
