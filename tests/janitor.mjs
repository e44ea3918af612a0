// SPDX-License-Identifier: MIT-0
// Ends what a test has started, whatever way the test ends: processes that have TMUX_TMPDIR=DIR in their
// environment, and no others, by their ids; then the directory goes. It waits in a process of its own for the
// end of a pipe.
import {spawn} from 'node:child_process';

const SCRIPT = `cat >/dev/null
for again in 1 2 3; do
    for p in $(grep -slF "TMUX_TMPDIR=$1" /proc/[0-9]*/environ | cut -d/ -f3); do
        kill -9 "$p" 2>/dev/null
    done
done
rm -rf "$1"`;

export function janitor(dir) {
    const child = spawn('sh', ['-c', SCRIPT, 'janitor', dir],
        {stdio: ['pipe', 'ignore', 'ignore'], detached: true, env: {PATH: process.env.PATH}});
    child.unref();
    child.stdin.unref();
}
