# SPDX-License-Identifier: MIT-0
# stream_wrap.exe on a terminal, under wine: wine_terminal.py WINE STREAM_WRAP.EXE TEST_WRAP_WINDOWS.EXE
# The status line is drawn, and CTRL+C ends the child and what it started. (Asking the child first takes a
# console that passes events on, which wine's does not: it is ended at once, exit code 137.)
import os, pty, select, sys, time

wine, wrap, child = sys.argv[1:4]
os.environ["TERM"] = "xterm"
pid, screen = pty.fork()
if pid == 0:
    os.execvp(wine, [wine, wrap, "--", child, "tree"])
seen, asked, end = b"", False, time.monotonic() + 60
while time.monotonic() < end:
    if not select.select([screen], [], [], 1)[0]:
        continue
    try:
        part = os.read(screen, 4096)
    except OSError:  # the terminal has hung up
        part = b""
    if not part:
        break
    seen += part
    if not asked and seen.count(b'"pid":') == 2 and b"ago" in seen:
        asked = True
        os.write(screen, b"\x03")
else:
    os.kill(pid, 9)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
results = {"draws_a_status_line": b"last 0:0" in seen, "ctrl_c_ends_the_tree": asked and code == 137}
for name, good in results.items():
    if good:
        print("ok   wine.terminal." + name)
    else:
        print("FAIL wine.terminal.%s: code %d, %r" % (name, code, seen[-500:]))
