#!/bin/sh
# SPDX-License-Identifier: MIT-0
# One job of tests/run.sh: one.sh NAME LIST runs NAME's command from LIST and keeps what it says. One that hangs is
# given up after TEST_LIMIT seconds (in the foreground: an interrupt from the terminal reaches all).
log=$TEST_OUT/$1.log
limit=${TEST_LIMIT:-1200} timed=
start=$(date +%s)
command -v timeout >/dev/null && timed="timeout --foreground -k 10 $limit"
$timed sh -c "$(grep "^$1	" "$2" | cut -f2-)" >"$log" 2>&1 </dev/null
code=$?
if [ $code -eq 124 ]; then echo "FAIL $1: not done after $limit s" >>"$log"; fi
if [ $code -ne 0 ] && ! grep -q '^FAIL ' "$log"; then echo "FAIL $1: ended with $code" >>"$log"; fi
if ! grep -qE '^(ok|FAIL|skip) ' "$log"; then echo "FAIL $1: said nothing" >>"$log"; fi
echo "  $1: $(grep -c '^ok ' "$log") ok, $(($(date +%s) - start)) s"
