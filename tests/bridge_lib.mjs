// SPDX-License-Identifier: MIT-0
// What the tests of tmux_bridge share: a private tmux server, the tool, a viewer made of npm's ws and the
// page's own reading of the wire, and a runner. Whatever way a test ends, a janitor ends what it started:
// processes are known by a directory of this run in their environment, and by nothing else.
import {createRequire} from 'node:module';
import {execFileSync, spawn} from 'node:child_process';
import {mkdirSync, mkdtempSync, readFileSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join, resolve} from 'node:path';
import http from 'node:http';
import {janitor} from './janitor.mjs';

export const [bridgePath, npmDir, outDir, ...only] = process.argv.slice(2);
const require = createRequire(resolve(npmDir) + '/');
export const load = name => {
    try {
        return require(name);
    } catch {
        return null;
    }
};
export const WebSocket = load('ws');
export const page = createRequire(import.meta.url)('../examples/tmux_bridge/page.js');
export const home = mkdtempSync(join(tmpdir(), 'bridge-'));
export const env = {
    ...process.env, TMUX_TMPDIR: home, LC_ALL: 'C.UTF-8', TERM: 'xterm-256color', SHELL: '/bin/sh', PS1: '$ '
};
delete env.TMUX;
mkdirSync(outDir, {recursive: true});

janitor(home);

export const sleep = ms => new Promise(r => setTimeout(r, ms));
export const tmuxAt = (socket, ...args) => execFileSync('tmux', ['-u', '-L', socket, ...args],
    {env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe']});
export const tmux = (...args) => tmuxAt('t', ...args);
// Waits for a condition that something else brings about; there is no event to wait for in another process.
// A machine that has other things to do may need a while; so long it takes only when it never happens.
const SOON = 30000;
export async function until(what, test) {
    const end = Date.now() + SOON;
    for (;;) {
        const got = await test();
        if (got) return got;
        if (Date.now() > end) throw new Error(`waited ${SOON} ms in vain: ${what}`);
        await sleep(10);
    }
}
export function same(got, want, what) {
    got = JSON.stringify(got);
    want = JSON.stringify(want);
    if (got !== want)
        throw new Error(`${what || 'value'} is ${got.slice(0, 600)}, not ${want.slice(0, 600)}`);
}
export function check(holds, what) {
    if (!holds) throw new Error('not true: ' + what);
}
export const median = list => [...list].sort((a, b) => a - b)[list.length >> 1];

// ---- the tool, and what talks to it -----------------------------------------------------------------------

export class Bridge {
    // On the tests' tmux server, and with a token to write.
    static async start(...args) {
        const b = await Bridge.run(['-L', 't', '--write-token', 'auto', ...args], 2);
        await until('it is attached', async () => (await b.sessions()).every(s => s.up));
        return b;
    }
    static async run(args, tokens) {
        const b = new Bridge();
        b.log = '';
        b.child =
            spawn(bridgePath, ['--listen', '127.0.0.1:0', ...args], {env, stdio: ['ignore', 'pipe', 'pipe']});
        b.exited = new Promise(r => b.child.on('exit', (code, signal) => r(signal || code)));
        b.child.stderr.on('data', d => (b.log += d));
        let text = '';
        b.child.stdout.on('data', d => (text += d));
        const urls = await until('the addresses', () => {
            const m = text.match(/http:\S+/g);
            return m && m.length === tokens && m;
        });
        b.host = new URL(urls[0]).host;
        b.port = b.host.split(':')[1];
        [b.read, b.write] = urls.map(u => new URL(u).searchParams.get('token'));
        b.urls = urls;
        return b;
    }
    async stop() {
        this.child.kill('SIGTERM');
        const how = await Promise.race([this.exited, sleep(SOON).then(() => 'nothing')]);
        if (how === 'nothing') this.child.kill('SIGKILL');
        return how;
    }
    get ended() {
        return this.child.exitCode !== null || this.child.signalCode !== null;
    }
    get(path, headers = {}, method = 'GET') {
        return new Promise((done, failed) => {
            const about = {
                host: '127.0.0.1',
                port: this.port,
                path,
                method,
                agent: false,
                headers: {Host: this.host, ...headers}
            };
            http.request(about, r => {
                let body = '';
                r.on('data', d => (body += d));
                r.on('end', () => done({status: r.statusCode, headers: r.headers, body}));
            }).on('upgrade', r => {
                r.socket.destroy();
                done({status: r.statusCode, headers: r.headers, body: ''});
            }).on('error', failed).end();
        });
    }
    async sessions() {
        return JSON.parse((await this.get('/sessions', {Authorization: 'Bearer ' + this.read})).body);
    }
    async metrics() {
        const {body} = await this.get('/metrics', {Authorization: 'Bearer ' + this.read});
        return Object.fromEntries(
            [...body.matchAll(/^tmux_bridge_(\w+) (\d+)/gm)].map(m => [m[1], Number(m[2])]));
    }
    // CPU time in seconds so far.
    cpu() {
        const f = readFileSync(`/proc/${this.child.pid}/stat`, 'utf8').split(') ')[1].split(' ');
        return (Number(f[11]) + Number(f[12])) / 100;
    }
    rss() {
        return Number(readFileSync(`/proc/${this.child.pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]);
    }
}

export class Viewer {
    // wait: until the session is listed. via: another port, of something between.
    constructor(bridge, session, {token = bridge.read, ack = true, headers = {}, wait = true, via = 0} = {}) {
        this.updates = this.bytes = this.largest = this.messages = this.snapshots = this.pings = 0;
        this.old = [];
        this.overs = [];
        this.ack = ack;
        this.from = [0, 0];
        this.screen = new page.Screen({
            commit: () => {
                this.updates++;
                this.at = performance.now();
                if (this.ack) this.send('a', [8, this.screen.number]);
                if (this.seen) this.seen();
            },
            hello: rights => (this.rights = rights),
            rights: rights => (this.rights = rights),
            viewers: (all, may) => (this.count = [all, may]),
            over: (r, t) => this.overs.push((this.over = [r, t])[0]),
            old: (id, line, text) => this.old.push([line, page.textOf(text)]),
            oldEnd: (id, n) => (this.oldEnd = n)
        });
        this.ws = {readyState: 0, close: () => (this.left = true), terminate: () => (this.left = true)};
        // A session is known to the tool a moment after tmux has made it.
        this.listed = wait ? until('it is listed', async () =>
            (await bridge.sessions()).some(s => s.id === session && s.up)) : Promise.resolve();
        this.listed.then(() => this.left || this.open(bridge, session, token, headers, via),
            e => (this.error = e.message));
    }
    open(bridge, session, token, headers, via) {
        this.ws =
            new WebSocket(`ws://127.0.0.1:${via || bridge.port}/ws?session=${encodeURIComponent(session)}`,
                ['tmux_bridge', 'token.' + token],
                {headers: {Host: bridge.host, ...headers}, perMessageDeflate: false});
        this.ws.binaryType = 'arraybuffer';
        this.ws.on('message', data => {
            this.bytes += data.byteLength;
            this.messages++;
            this.largest = Math.max(this.largest, data.byteLength);
            if (new Uint8Array(data)[0] === 83) this.snapshots++;
            this.screen.take(data);
        });
        this.ws.on('ping', () => this.pings++);
        this.ws.on('close', code => (this.closed = code));
        this.ws.on('error', e => (this.error = e.message));
        this.ws.on('open', () => this.send('h', [1, page.VERSION], [4, this.from[0]], [8, this.from[1]]));
    }
    send(...parts) {
        if (this.ws.readyState === 1) this.ws.send(page.message(...parts));
    }
    paste(bytes, piece = 16384) {
        for (let at = 0; at < bytes.length; at += piece)
            this.send('p', [1, (at === 0 ? 1 : 0) | (at + piece >= bytes.length ? 2 : 0)],
                bytes.subarray(at, at + piece));
    }
    rows() {
        return this.screen.line.map(page.textOf);
    }
    has(text) {
        return this.rows().some(r => r.includes(text));
    }
    ready() {
        return until('a first screen',
            () => this.updates || this.error && Promise.reject(new Error(this.error)));
    }
}

// ---- what is on the screen --------------------------------------------------------------------------------

// As tmux says it.
export const truth = session =>
    tmux('capture-pane', '-p', '-t', '=' + session + ':').split('\n').slice(0, -1);
export async function shows(v, session, what) {
    let got, want;
    await until(what || 'the screen as tmux has it', () => {
        got = v.rows().map(r => r.trimEnd());
        want = truth(session).map(r => r.trimEnd());
        return JSON.stringify(got) === JSON.stringify(want);
    }).catch(() => same(got, want, 'screen'));
}
export const sessionNames = () => tmux('list-sessions', '-F', '#{session_name}').trim().split('\n');
let sessions = 0;
export function session(command = 'exec sh', cols = 80, rows = 24) {
    const name = 's' + ++sessions;
    tmux('-f', '/dev/null', 'new-session', '-d', '-s', name, '-x', String(cols), '-y', String(rows), command);
    return name;
}
export const ask = (session, format) => tmux('display-message', '-p', '-t', `=${session}:`, format).trim();
export function script(name, text) {
    const path = join(home, name);
    writeFileSync(path, text);
    return path;
}

// Words of all widths, each with a bar behind it in column 20; styles; a title.
export const CORPUS = `printf '\\033]2;a title \\303\\251\\007'
bar() { w=$2; printf '%b' "$1"
while [ $w -lt 20 ]; do printf .; w=$((w+1)); done; printf '\\342\\224\\202\\n'; }
bar plain 5
bar '\\0344\\0270\\0255\\0346\\0226\\0207' 4
bar 'e\\0314\\0201a\\0314\\0200' 2
bar '\\0360\\0237\\0230\\0200' 2
man='\\0360\\0237\\0221\\0250' woman='\\0360\\0237\\0221\\0251'
girl='\\0360\\0237\\0221\\0247' zwj='\\0342\\0200\\0215'
bar "$man$zwj$woman$zwj$girl" 2
bar '\\0342\\0235\\0244\\0357\\0270\\0217' 2
bar '\\0360\\0237\\0221\\0215\\0360\\0237\\0217\\0275' 2
bar '\\0357\\0275\\0261\\0357\\0275\\0262' 2
bar '\\0355\\0225\\0234\\0352\\0270\\0200' 4
bar '\\0342\\0224\\0200\\0342\\0225\\0220' 2
printf '\\033[1;31mbold\\033[0m \\033[2;3;4mdim\\033[0m \\033[4:3;58;2;255;1;2mcurly\\033[0m '
printf '\\033[38;2;9;200;99;48;5;53mcolours\\033[0m \\033[7mreverse\\033[0m\\n'
printf 'END'
exec sleep 1000
`;

// ---- the runner -------------------------------------------------------------------------------------------

// Why nothing can be run here; empty: it can.
export function missing() {
    try {
        tmux('-V');
    } catch {
        return 'needs tmux';
    }
    return WebSocket ? '' : 'needs npm ws (make deps)';
}

const LIMIT = 240000 + 1000 * Number(process.env.FLOOD_SECONDS || 0);

// Runs cases named NAME.case with a bridge for all of them; `given` makes what else they take, or says what
// is missing.
export async function runAll(name, cases, given) {
    const result = {failed: 0};
    const fail = (which, why) => {
        result.failed++;
        console.log(`  ${why}\nFAIL ${name}.${which}`);
    };
    let why = missing(), common = {};
    const start = async () => (common.bridge = await Bridge.start());
    try {
        if (!why) {
            session('exec cat'); // so that the server stays
            await start();
            if (given) why = await given(common);
        }
        for (const [which, run] of Object.entries(cases)) {
            if (only.length && !only.includes(which)) continue;
            if (why) {
                console.log(`skip ${name}.${which}: ${why}`);
                continue;
            }
            // tmux 3.3a may die when a session comes while a control client connects (see terminal.c).
            await until('all is attached', async () => {
                const up = (await common.bridge.sessions()).filter(s => s.up).map(s => s.id);
                return sessionNames().every(name => up.includes(name));
            }).catch(() => {});
            const begun = performance.now();
            let timer;
            try {
                const skip = await Promise.race([
                    run(common),
                    new Promise((_, no) => (timer = setTimeout(() => no(new Error('no end in time')), LIMIT)))
                ]);
                if (common.bridge.ended) throw new Error('tmux_bridge has ended');
                if (skip) {
                    console.log(`skip ${name}.${which}: ${skip}`);
                    continue;
                }
                const took = ((performance.now() - begun) / 1000).toFixed(1);
                console.log(`ok   ${name}.${which}${process.env.TIMES ? ` (${took} s)` : ''}`);
            } catch (error) {
                fail(which, error.stack && process.env.STACKS ? error.stack : error.message);
                if (common.bridge.ended) {
                    console.log(common.bridge.log.slice(-3000));
                    await start();
                }
            } finally {
                clearTimeout(timer);
            }
        }
    } catch (error) {
        fail('setup', error.message);
    } finally {
        if (common.browser) await common.browser.close();
        if (common.bridge) {
            const how = await common.bridge.stop();
            if (how !== 0) fail('exit_code', `${how}: ${common.bridge.log.slice(-4000)}`);
            else if (/runtime error|Sanitizer/.test(common.bridge.log))
                fail('sanitizers', common.bridge.log.slice(-4000));
        }
    }
    process.exit(result.failed ? 1 : 0);
}
