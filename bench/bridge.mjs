// SPDX-License-Identifier: MIT-0
// tmux_bridge beside websocketd, which runs `tmux attach` for each viewer: 50 viewers of one session while it
// prints. CPU and memory are those of the server and of all processes it started, the tmux server apart;
// bytes are those that arrive at the viewers. One run, one machine, the same session and the same flood for
// both.
//
//     node bench/bridge.mjs BRIDGE NPM_DIR [viewers [seconds]]
import {createRequire} from 'node:module';
import {execFileSync, spawn} from 'node:child_process';
import {mkdtempSync, readFileSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join, resolve} from 'node:path';
import net from 'node:net';
import {janitor} from '../tests/janitor.mjs';
import {sample} from './samples.mjs';

const [bridgePath, npmDir, viewersText = '50', secondsText = '5'] = process.argv.slice(2);
const VIEWERS = Number(viewersText), SECONDS = Number(secondsText);
const WebSocket = createRequire(resolve(npmDir) + '/')('ws');
const page = createRequire(import.meta.url)('../examples/tmux_bridge/page.js');
const home = mkdtempSync(join(tmpdir(), 'bench-'));
const env = {
    ...process.env,
    TMUX_TMPDIR: home,
    LC_ALL: 'C.UTF-8',
    TERM: 'xterm-256color',
    SHELL: '/bin/sh',
    PS1: '$ '
};
delete env.TMUX;
janitor(home);
const sleep = ms => new Promise(r => setTimeout(r, ms));
const tmux = (...args) => execFileSync('tmux', ['-u', '-L', 'b', ...args], {env, encoding: 'utf8'});

// All processes of a tree: CPU seconds, resident and proportional memory in KiB.
function tree(root) {
    const of = new Map();
    for (const pid of readdirSync('/proc').filter(p => /^\d+$/.test(p))) {
        try {
            const f = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
            of.set(Number(pid), {parent: Number(f[1]), cpu: (Number(f[11]) + Number(f[12])) / 100});
        } catch {
            continue; // it has ended meanwhile
        }
    }
    const total = {cpu: 0, pss: 0, processes: 0}, todo = [root];
    while (todo.length) {
        const pid = todo.pop();
        if (!of.has(pid)) continue;
        total.cpu += of.get(pid).cpu;
        total.pss +=
            Number((readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8').match(/^Pss:\s+(\d+)/m) || [0, 0])[1]);
        total.processes++;
        for (const [child, p] of of) if (p.parent === pid) todo.push(child);
    }
    return total;
}
const serverCpu = () => {
    const pid = tmux('display-message', '-p', '-t', '=bench:', '#{pid}').trim();
    const f = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return (Number(f[11]) + Number(f[12])) / 100;
};

async function measure(name, pid, connect) {
    const viewers = [], empty = tree(pid);
    let bytes = 0;
    for (let i = 0; i < VIEWERS; i++) {
        viewers.push(connect(n => (bytes += n)));
        if (i % 10 === 9) await sleep(100);
    }
    await sleep(1500);
    const quiet = tree(pid);
    await sleep(2000);
    const idle = tree(pid).cpu - quiet.cpu, first = bytes;
    const before = tree(pid), server = serverCpu();
    tmux('send-keys', '-t', '=bench:', 'seq 1 1000000000', 'Enter');
    await sleep(SECONDS * 1000);
    const after = tree(pid), flood = bytes - first;
    const used = serverCpu() - server;
    tmux('send-keys', '-t', '=bench:', 'C-c');
    await sleep(500);
    const latency = [];
    for (let i = 0; i < 20; i++) { // until one viewer has what was typed
        const t0 = performance.now();
        const seen = new Promise(r => (viewers[0].wanted = [`mark${i}x`, () => r(performance.now() - t0)]));
        tmux('send-keys', '-t', '=bench:', `echo mark$((${i}))x`, 'Enter');
        latency.push(await Promise.race([seen, sleep(2000).then(() => 2000)]));
        await sleep(60);
    }
    latency.sort((a, b) => a - b);
    for (const v of viewers) v.close();
    await sleep(500);
    const r = {
        cpu: (after.cpu - before.cpu) / SECONDS / VIEWERS * 100,
        memory: (after.pss - empty.pss) / VIEWERS,
        bytes: flood / VIEWERS / SECONDS,
        idle: idle / 2 * 100,
        server: used / SECONDS * 100,
        p50: latency[10],
        processes: after.processes
    };
    const ours = name === 'tmux_bridge';
    for (const [what, unit, asked, value] of [['CPU a viewer', '%', '>= 10 x', r.cpu],
        ['memory a viewer', 'KiB', '>= 5 x', r.memory], ['on the wire under a flood', 'KiB/s', '>= 20 x', r.bytes / 1024]])
        sample('bridge', what, name, ours ? 'ours' : 'rival', unit, ours ? '' : asked, value);
    if (ours) sample('bridge', 'update latency', name, 'ours', 'ms', '<= 50', r.p50);
    console.log(`${name.padEnd(12)} ${r.cpu.toFixed(3).padStart(9)} % ${
                    r.memory.toFixed(0).padStart(8)} KiB ${(r.bytes / 1024).toFixed(1).padStart(9)} KiB/s ` +
        `${r.idle.toFixed(1).padStart(6)} % ${r.server.toFixed(0).padStart(8)} % ${
            r.p50.toFixed(0).padStart(7)} ms ${String(r.processes).padStart(6)}`);
    return r;
}

const running = [];
try {
    tmux('-f', '/dev/null', 'new-session', '-d', '-s', 'bench', '-x', '80', '-y', '24', 'exec sh');
    console.log(`${VIEWERS} viewers, ${SECONDS} s of seq; CPU and memory for each viewer, tmux server apart`);
    console.log('                   CPU       memory   on the wire   idle   tmux CPU     p50  processes');

    const b = spawn(bridgePath, ['-L', 'b', '--session', 'bench', '--listen', '127.0.0.1:0'],
        {env, stdio: ['ignore', 'pipe', 'ignore']});
    running.push(b);
    const url = new URL(String(await new Promise(r => b.stdout.once('data', r))).match(/http:\S+/)[0]);
    await sleep(500);
    const ours = await measure('tmux_bridge', b.pid, count => {
        const v = new WebSocket(`ws://${url.host}/ws?session=bench`,
            ['tmux_bridge', 'token.' + url.searchParams.get('token')], {perMessageDeflate: false});
        v.binaryType = 'arraybuffer';
        const acks = new page.Acks(bytes => v.readyState === 1 && v.send(bytes)); // as the page does
        const s = new page.Screen({commit() {
            acks.painted(s.number);
            if (v.wanted && s.line.some(l => page.textOf(l) === v.wanted[0])) v.wanted[1]();
        }});
        v.on('open', () => v.send(page.message('h', [1, page.VERSION], [4, 0], [8, 0])));
        v.on('message', d => {
            count(d.byteLength);
            s.take(d);
        });
        return v;
    });
    b.kill('SIGTERM');
    await sleep(500);

    const port = await new Promise(r => {
        const l = net.createServer().listen(0, '127.0.0.1', () => {
            const {port: p} = l.address();
            l.close(() => r(p));
        });
    });
    const w = spawn('websocketd',
        [
            '--address=127.0.0.1', `--port=${port}`, '--binary=true', '--loglevel=fatal',
            '--passenv=PATH,TMUX_TMPDIR,LC_ALL,TERM,SHELL', 'script', '-qfec',
            'stty rows 24 cols 80; exec tmux -u -L b attach -t =bench', '/dev/null'
        ],
        {env, stdio: 'ignore'});
    running.push(w);
    await sleep(500);
    const theirs = await measure('websocketd', w.pid, count => {
        const v = new WebSocket(`ws://127.0.0.1:${port}/`, {perMessageDeflate: false});
        let text = '';
        v.on('message', d => {
            count(d.length);
            text = (text + d.toString('latin1')).slice(-4000);
            if (v.wanted && text.includes(v.wanted[0])) v.wanted[1]();
        });
        v.on('error', e => console.error(e.message));
        return v;
    });
    console.log(`ratio        ${(ours.cpu / theirs.cpu).toFixed(3).padStart(9)}   ${
        (ours.memory / theirs.memory).toFixed(3).padStart(8)}     ${
        (ours.bytes / theirs.bytes).toFixed(3).padStart(9)}`);
} finally {
    for (const c of running) if (c.exitCode === null) c.kill('SIGKILL');
    try {
        tmux('kill-server');
    } catch {
        // it has ended with its last session
    }
    rmSync(home, {recursive: true, force: true});
}
