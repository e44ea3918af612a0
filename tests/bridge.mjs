// SPDX-License-Identifier: MIT-0
// tmux_bridge as browsers and other clients see it: a private tmux server, the tool, npm's ws, and Chromium through
// playwright-core. Each case is named after the behaviour it shows.
//
//     node tests/bridge.mjs BRIDGE NPM_DIR OUT_DIR [name...]
//
// Pictures of the page go to OUT_DIR. Everything it starts it ends, by process id.
import {createRequire} from 'node:module';
import {execFileSync, spawn} from 'node:child_process';
import {createHash, randomBytes} from 'node:crypto';
import {existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join, resolve} from 'node:path';
import http from 'node:http';
import net from 'node:net';

const [bridgePath, npmDir, outDir, ...only] = process.argv.slice(2);
const require = createRequire(resolve(npmDir) + '/');
const load = name => {
    try {
        return require(name);
    } catch {
        return null;
    }
};
const WebSocket = load('ws'), playwright = load('playwright-core');
const page = createRequire(import.meta.url)('../examples/tmux_bridge/page.js');
const chromium = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(p => existsSync(p));
const home = mkdtempSync(join(tmpdir(), 'bridge-'));
const env = {...process.env, TMUX_TMPDIR: home, LC_ALL: 'C.UTF-8', TERM: 'xterm-256color', SHELL: '/bin/sh', PS1: '$ '};
delete env.TMUX;
mkdirSync(outDir, {recursive: true});

const sleep = ms => new Promise(r => setTimeout(r, ms));
const tmux = (...args) => execFileSync('tmux', ['-u', '-L', 't', ...args], {env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe']});
// Waits for a condition that something else brings about; there is no event to wait for in another process.
async function until(what, test, ms = 8000) {
    const end = Date.now() + ms;
    for (;;) {
        const got = await test();
        if (got) return got;
        if (Date.now() > end) throw new Error(`waited ${ms} ms in vain: ${what}`);
        await sleep(10);
    }
}
function same(got, want, what) {
    got = JSON.stringify(got);
    want = JSON.stringify(want);
    if (got !== want) throw new Error(`${what || 'value'} is ${got.slice(0, 600)}, not ${want.slice(0, 600)}`);
}
function check(holds, what) {
    if (!holds) throw new Error('not true: ' + what);
}

// ---- the tool, and what talks to it --------------------------------------------------------------------------------

class Bridge {
    static async start(...args) {
        const b = new Bridge();
        b.log = '';
        b.child = spawn(bridgePath, ['-L', 't', '--listen', '127.0.0.1:0', '--write-token', 'auto', ...args],
            {env, stdio: ['ignore', 'pipe', 'pipe']});
        b.exited = new Promise(r => b.child.on('exit', (code, signal) => r(signal || code)));
        b.child.stderr.on('data', d => (b.log += d));
        let text = '';
        b.child.stdout.on('data', d => (text += d));
        const urls = await until('the addresses', () => {
            const m = text.match(/http:\S+/g);
            return m && m.length === 2 && m;
        });
        b.host = new URL(urls[0]).host;
        [b.read, b.write] = urls.map(u => new URL(u).searchParams.get('token'));
        b.urls = urls;
        return b;
    }
    async stop() {
        this.child.kill('SIGTERM');
        const how = await Promise.race([this.exited, sleep(5000).then(() => 'nothing')]);
        if (how === 'nothing') this.child.kill('SIGKILL');
        return how;
    }
    get(path, headers = {}) {
        return new Promise((done, failed) => {
            const [host, port] = this.host.split(':');
            http.get({host, port, path, headers: {Host: this.host, ...headers}, agent: false}, r => {
                let body = '';
                r.on('data', d => (body += d));
                r.on('end', () => done({status: r.statusCode, headers: r.headers, body}));
            }).on('error', failed);
        });
    }
    async metrics() {
        const {body} = await this.get('/metrics', {Authorization: 'Bearer ' + this.read});
        return Object.fromEntries([...body.matchAll(/^tmux_bridge_(\w+) (\d+)/gm)].map(m => [m[1], Number(m[2])]));
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

class Viewer {
    constructor(bridge, session, {token = bridge.read, ack = true, headers = {}, wait = true} = {}) {
        this.updates = this.bytes = this.largest = 0;
        this.old = [];
        this.ack = ack;
        this.from = [0, 0];
        this.screen = new page.Screen({
            commit: () => {
                this.updates++;
                this.at = performance.now();
                if (this.ack) this.send('a', [8, this.screen.number]);
                if (this.seen) this.seen();
            },
            hello: rights => (this.rights = rights), viewers: (all, may) => (this.count = [all, may]),
            over: (r, t) => (this.over = [r, t]), old: (id, line, text) => this.old.push([line, page.textOf(text)]),
            oldEnd: (id, lines) => (this.oldEnd = lines)
        });
        this.ws = {readyState: 0, close: () => (this.left = true)};
        // A session is known to the tool a moment after tmux has made it.
        this.listed = wait ? until('it is listed', async () => JSON.parse((await bridge.get('/sessions',
            {Authorization: 'Bearer ' + bridge.read})).body).some(s => s.id === session && s.up)) : Promise.resolve();
        this.listed.then(() => this.left || this.open(bridge, session, token, headers), e => (this.error = e.message));
    }
    open(bridge, session, token, headers) {
        this.ws = new WebSocket(`ws://${bridge.host}/ws?session=${encodeURIComponent(session)}`,
            ['tmux_bridge', 'token.' + token], {headers, perMessageDeflate: false});
        this.ws.binaryType = 'arraybuffer';
        this.ws.on('message', data => {
            this.bytes += data.byteLength;
            this.largest = Math.max(this.largest, data.byteLength);
            this.screen.take(data);
        });
        this.ws.on('close', code => (this.closed = code));
        this.ws.on('error', e => (this.error = e.message));
        this.ws.on('open', () => this.send('h', [1, page.VERSION], [4, this.from[0]], [8, this.from[1]]));
    }
    send(...parts) {
        if (this.ws.readyState === 1) this.ws.send(page.message(...parts));
    }
    rows() {
        return this.screen.line.map(page.textOf);
    }
    ready() {
        return until('a first screen', () => this.updates || this.error && Promise.reject(new Error(this.error)));
    }
}

// What tmux says is on the screen.
const truth = session => tmux('capture-pane', '-p', '-t', '=' + session + ':').split('\n').slice(0, -1);
const shows = async (v, session, what) => {
    let got, want;
    await until(what || 'the screen as tmux has it', () => {
        got = v.rows().map(r => r.trimEnd());
        want = truth(session).map(r => r.trimEnd());
        return JSON.stringify(got) === JSON.stringify(want);
    }, 6000).catch(() => same(got, want, 'screen'));
};
let sessions = 0;
function session(command = 'exec sh', cols = 80, rows = 24) {
    const name = 's' + ++sessions;
    tmux('-f', '/dev/null', 'new-session', '-d', '-s', name, '-x', String(cols), '-y', String(rows), command);
    return name;
}
const script = (name, text) => {
    const path = join(home, name);
    writeFileSync(path, text);
    return path;
};

// ---- the cases -----------------------------------------------------------------------------------------------------

let bridge, browser;
const cases = {
    async foreign_origin_is_refused_before_tmux() {
        const s = session(), before = await bridge.metrics();
        const upgrade = {Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13',
            'Sec-WebSocket-Key': randomBytes(16).toString('base64')};
        const cookie = `tmux_bridge_${bridge.host.split(':')[1]}=${bridge.write}`;
        for (const headers of [{Origin: 'http://evil.example'}, {Origin: 'null'}, {Origin: 'http://127.0.0.1:1'},
            {Origin: `http://${bridge.host}.evil.example`}, {Host: 'evil.example'}, {Host: `evil.example:${bridge.host.split(':')[1]}`}]) {
            same((await bridge.get('/ws?session=' + s, {...upgrade, Cookie: cookie, ...headers})).status, 403, JSON.stringify(headers));
            same((await bridge.get('/', {Cookie: cookie, ...headers})).status, 403, JSON.stringify(headers));
        }
        same((await bridge.get('/ws?session=' + s, upgrade)).status, 403, 'no token');
        same((await bridge.get('/ws?session=' + s, {...upgrade, Cookie: cookie.slice(0, -1)})).status, 403, 'a token cut');
        same((await bridge.get('/', {})).status, 401, 'the page without a token');
        same((await bridge.get('/?token=' + bridge.read.replace(/.$/, 'x'))).status, 403, 'a wrong token');
        const after = await bridge.metrics();
        same(after.attaches_total <= before.attaches_total + 1 && after.captures_total - before.captures_total <= 2, true, 'tmux was left alone');
        check(after.refused_total >= before.refused_total + 15, 'refusals are counted');
    },
    async tokens_become_cookies_and_stay_out_of_logs() {
        const r = await bridge.get('/?token=' + bridge.write);
        same(r.status, 303);
        same(r.headers.location, '/');
        check(/HttpOnly; SameSite=Strict/.test(r.headers['set-cookie'][0]), 'the cookie is kept from scripts and other sites');
        const p = await bridge.get('/', {Cookie: r.headers['set-cookie'][0].split(';')[0]});
        same(p.status, 200);
        check(/default-src 'none'/.test(p.headers['content-security-policy']), 'a strict policy');
        check(!bridge.log.includes(bridge.write) && !bridge.log.includes(bridge.read), 'no token in the log');
        let size = 0;
        for (const f of ['/', '/page.js', '/page.css']) size += (await bridge.get(f, {Authorization: 'Bearer ' + bridge.read})).body.length;
        check(size < 60000, 'the page is under 60 KB');
    },
    async names_are_never_commands() {
        const name = `a';touch ${home}/pwned;'$(touch ${home}/pwned) #{q} %if"`.replace(/[.:]/g, '_');
        tmux('new-session', '-d', '-s', name, 'exec cat');
        const real = tmux('list-sessions', '-F', '#{session_name}').split('\n').find(n => n.startsWith('a\''));
        const listed = await until('it is listed', async () => JSON.parse((await bridge.get('/sessions',
            {Authorization: 'Bearer ' + bridge.read})).body).find(s => s.name === real && s.up));
        const v = new Viewer(bridge, listed.id, {token: bridge.write});
        await v.ready();
        const typed = `";touch ${home}/pwned;' $(touch ${home}/pwned) #{q} %0 ~ \\033 \u00e9\u4e2d`;
        v.send('t', typed);
        await until('it is shown as typed', () => v.rows().join('').includes(typed));
        for (const key of ['C-c; kill-server', '\'; kill-server', '-X', 'Up\nkill-server', '']) v.send('k', key);
        v.send('t', '\r');
        await sleep(200);
        check(!existsSync(join(home, 'pwned')), 'nothing was run');
        tmux('list-sessions');
        v.ws.close();
        tmux('kill-session', '-t', '=' + real);
    },
    async read_only_viewers_cannot_write_by_any_frame() {
        const s = session('exec cat'), v = new Viewer(bridge, s), before = await bridge.metrics();
        await v.ready();
        same(v.rights, 0);
        v.send('t', 'typed');
        v.send('k', 'x');
        v.send('k', 'C-d');
        v.send('p', [1, 3], 'pasted');
        v.send('z', [2, 10], [2, 5]);
        for (let type = 0; type < 256; type++)
            if (!'hab'.includes(String.fromCharCode(type))) v.send(String.fromCharCode(type), 'xyz');
        await until('they were counted', async () => (await bridge.metrics()).input_rejected_total >= before.input_rejected_total + 7);
        same(truth(s).join(''), '', 'the screen');
        same(tmux('display-message', '-p', '-t', `=${s}:`, '#{pane_width}x#{pane_height}').trim(), '80x24');
        v.ws.close();
    },
    async sizes_and_options_are_left_as_found() {
        const s = session('exec cat', 91, 17);
        const before = tmux('show-options', '-g') + tmux('show-options', '-gw') + tmux('show-options', '-t', `=${s}:`);
        const b = await Bridge.start('--session', s), v = new Viewer(b, s);
        await v.ready();
        same([v.screen.cols, v.screen.rows], [91, 17]);
        same(tmux('show-options', '-g') + tmux('show-options', '-gw') + tmux('show-options', '-t', `=${s}:`), before);
        tmux('resize-window', '-t', `=${s}:`, '-x', '60', '-y', '10');
        await until('the new size', () => v.screen.cols === 60 && v.screen.rows === 10);
        await shows(v, s);
        same(await b.stop(), 0, 'exit code');
        same(tmux('list-clients', '-t', '=' + s, '-F', '#{client_name}').trim().split('\n').length, 1, 'clients left: ours of the other tool');
        same(tmux('display-message', '-p', '-t', `=${s}:`, '#{window_width}').trim(), '60');
    },
    async snapshots_equal_the_live_screen() {
        const s = session(`exec sh ${script('corpus', CORPUS)}`, 100, 30), v = new Viewer(bridge, s);
        await until('all of it', () => v.rows().join('\n').includes('END'));
        await shows(v, s);
        // where tmux's own cursor went after each word is how wide the word is
        const ws = readFileSync(join(home, 'corpus'), 'utf8');
        check(ws.length > 100, 'a corpus');
        for (let i = 0; i < v.screen.rows; i++) {
            const cells = page.readRow(v.screen.line[i]), bar = cells.findIndex(c => c.text === '\u2502');
            if (bar < 0) continue;
            same(cells.slice(0, bar).reduce((n, c) => n + c.width, 0), 20, `columns before the bar of row ${i}: ${cells.map(c => c.text).join('')}`);
        }
        same([v.screen.x, v.screen.y], tmux('display-message', '-p', '-t', `=${s}:`, '#{cursor_x} #{cursor_y}').trim().split(' ').map(Number), 'cursor');
        const w = new Viewer(bridge, s);
        await w.ready();
        same(w.screen.line, v.screen.line, 'a late viewer has the same rows');
        same([w.screen.x, w.screen.y, w.screen.modes, w.screen.title], [v.screen.x, v.screen.y, v.screen.modes, v.screen.title]);
        same(v.screen.title, 'a title \u00e9');
        v.ws.close();
        w.ws.close();
    },
    async alternate_screen_in_and_out() {
        const s = session(), v = new Viewer(bridge, s, {token: bridge.write});
        await v.ready();
        v.send('t', 'echo before\r');
        await until('a line', () => v.rows().includes('before'));
        v.send('t', `printf '\\033[?1049h\\033[H\\033[31mother\\033[?1h\\033[?1002h\\033[?1006h\\033[?25l'; read x; printf '\\033[?1049l\\033[?25h\\033[?1l\\033[?1002l'\r`);
        await until('the other screen', () => v.screen.modes & 2 && v.rows()[0] === 'other');
        same(v.screen.modes & (1 | 4 | 32 | 128), 4 | 32 | 128, 'modes');
        await shows(v, s);
        v.send('k', 'Enter');
        await until('the first screen', () => !(v.screen.modes & 2) && v.rows().includes('before'));
        same(v.screen.modes & (1 | 4 | 32), 1, 'modes');
        await shows(v, s);
        v.ws.close();
    },
    async the_active_pane_is_followed() {
        const s = session('exec cat', 80, 24), v = new Viewer(bridge, s, {token: bridge.write});
        await v.ready();
        const first = tmux('display-message', '-p', '-t', `=${s}:`, '#{pane_id}').trim();
        tmux('split-window', '-d', '-t', first, 'exec cat');
        await until('half of the window', () => v.screen.rows < 24);
        for (let i = 0; i < 4; i++) {
            v.send('t', `word${i}\r`);
            tmux('select-pane', '-t', `=${s}:.${i % 2 ? 0 : 1}`); // while there is output
            await shows(v, s);
            v.send('t', `text${i}\r`);
            await until('it is typed there', () => v.rows().includes(`text${i}`));
            await shows(v, s);
        }
        tmux('kill-pane', '-t', first);
        await until('all of the window', () => v.screen.rows === 24);
        await shows(v, s);
        v.ws.close();
    },
    async control_c_acts_through_a_flood() {
        const s = session(), v = new Viewer(bridge, s, {token: bridge.write}), w = new Viewer(bridge, s);
        await v.ready();
        await w.ready();
        v.send('t', 'seq 1 1000000000\r');
        await until('the flood', () => v.rows().every(r => /^\d*$/.test(r)));
        const start = v.updates, t0 = performance.now();
        await sleep(3000);
        const rate = (v.updates - start) / ((performance.now() - t0) / 1000);
        const sent = performance.now();
        v.send('k', 'C-c');
        await until('the prompt', () => v.rows().some(r => r.startsWith('^C') || /^\$ ?$|^# ?$/.test(r)));
        const took = v.at - sent;
        console.log(`     ${rate.toFixed(1)} screens/s in the flood, Ctrl-C seen after ${took.toFixed(0)} ms, largest message ${v.largest}`);
        check(took < 200, `Ctrl-C is seen after ${took} ms`);
        check(rate > 15 && rate < 31, `${rate} screens a second`);
        check(v.largest <= 65536, 'messages are at most 64 KiB');
        await shows(w, s);
        same(w.screen.line, v.screen.line);
        v.ws.close();
        w.ws.close();
    },
    async nothing_happens_while_a_pane_is_quiet() {
        const s = session('exec cat'), v = new Viewer(bridge, s);
        await v.ready();
        await sleep(300);
        const before = await bridge.metrics(), cpu = bridge.cpu(), bytes = v.bytes;
        await sleep(2000);
        const after = await bridge.metrics();
        same(after.captures_total, before.captures_total, 'captures');
        check(bridge.cpu() - cpu <= .01, `CPU ${bridge.cpu() - cpu} s`);
        same(v.bytes, bytes, 'bytes to the viewer');
        v.ws.close();
    },
    async a_stopped_viewer_and_a_slow_one_cost_nobody_anything() {
        const s = session(`exec sh -c 'i=0; while :; do i=$((i+1)); echo "line $i $(date +%s%N)"; sleep 0.05; done'`);
        const fast = Array.from({length: 10}, () => new Viewer(bridge, s));
        for (const v of fast) await v.ready();
        const measure = async () => {
            const from = fast.map(v => v.updates);
            await sleep(2000);
            return fast.map((v, i) => v.updates - from[i]);
        };
        const alone = Math.min(...await measure());
        const stopped = new Viewer(bridge, s), silent = new Viewer(bridge, s, {ack: false});
        await stopped.ready();
        await silent.ready();
        stopped.ws._socket.pause(); // reads nothing any more
        const rss = bridge.rss(), beside = Math.min(...await measure());
        check(beside >= alone * .9, `${beside} screens beside a stopped viewer, ${alone} without`);
        check(bridge.rss() - rss < 2000, `memory grew by ${bridge.rss() - rss} KB`);
        check(silent.updates <= 8, `${silent.updates} screens without one ack`);
        silent.ack = true;
        silent.send('a', [8, silent.screen.number]);
        const n = silent.updates;
        await until('it goes on', () => silent.updates > n);
        stopped.ws._socket.resume();
        tmux('send-keys', '-t', `=${s}:`, 'C-c');
        await until('the end of it', () => tmux('list-sessions').split('\n').every(l => !l.startsWith(s + ':')));
        for (const v of [...fast, stopped, silent]) v.ws.close();
    },
    async fifty_viewers_converge() {
        const s = session(), all = Array.from({length: 50}, () => new Viewer(bridge, s));
        const w = new Viewer(bridge, s, {token: bridge.write});
        for (const v of all) await v.ready();
        await w.ready();
        await until('the count', () => w.count && w.count[0] === 51 && w.count[1] === 1);
        w.send('t', 'seq 1 100000; echo done\r');
        await until('the end', () => w.rows().includes('done'), 20000);
        await shows(w, s);
        await until('all the same', () => all.every(v => v.screen.number === w.screen.number));
        for (const v of all) same(v.screen.line, w.screen.line);
        for (const v of [...all, w]) v.ws.close();
    },
    async reconnecting_continues_by_number() {
        const s = session('exec cat'), v = new Viewer(bridge, s, {token: bridge.write});
        await v.ready();
        v.send('t', 'one\r');
        await until('one', () => v.rows().includes('one'));
        await sleep(150);
        const was = v.screen, before = await bridge.metrics();
        v.ws.terminate();
        tmux('send-keys', '-t', `=${s}:`, 'two', 'Enter');
        await until('two', () => truth(s).includes('two'));
        const w = new Viewer(bridge, s);
        Object.assign(w.screen, {line: was.line, rows: was.rows, cols: was.cols, number: was.number, run: was.run});
        w.from = [was.run, was.number];
        await until('two', () => w.rows().includes('two'));
        await shows(w, s);
        same((await bridge.metrics()).snapshots_total, before.snapshots_total, 'snapshots: it went on by deltas');
        const x = new Viewer(bridge, s); // of another run: everything
        x.from = [was.run + 1, was.number];
        await shows(x, s);
        w.ws.close();
        x.ws.close();
    },
    async a_paste_of_a_megabyte_is_whole() {
        const to = join(home, 'pasted'), s = session(`exec sh -c 'stty raw -echo; echo ready; exec head -c 1048576 >${to}'`);
        const v = new Viewer(bridge, s, {token: bridge.write});
        await until('the reader', () => v.rows().includes('ready'));
        let text = '';
        while (text.length < 1048576) text += randomBytes(60).toString('base64') + '\u00e9\u4e2d;"$#{}\'\\';
        const bytes = Buffer.from(text).subarray(0, 1048576);
        for (let i = bytes.length - 4; i < bytes.length; i++) bytes[i] = 46;
        for (let at = 0; at < bytes.length; at += 16384)
            v.send('p', [1, (at === 0 ? 1 : 0) | (at + 16384 >= bytes.length ? 2 : 0)], bytes.subarray(at, at + 16384));
        await until('all of it', () => existsSync(to) && readFileSync(to).length === bytes.length, 15000)
            .catch(() => same(readFileSync(to).length, bytes.length, 'bytes'));
        const hash = b => createHash('sha256').update(b).digest('hex');
        same(hash(readFileSync(to)), hash(bytes));
        same(tmux('list-buffers').trim(), '', 'buffers left');
        v.ws.close();
    },
    async scrollback_on_request() {
        const s = session(`exec sh -c 'seq 1 3000; exec cat'`), v = new Viewer(bridge, s);
        await until('the end', () => v.rows().includes('3000'));
        await sleep(200);
        v.send('b', [4, 1], [4, 0xffffffff], [4, 200]);
        await until('the answer', () => v.oldEnd !== undefined);
        const total = Number(tmux('display-message', '-p', '-t', `=${s}:`, '#{history_size}'));
        same(v.oldEnd, total);
        same(v.old.length, 200);
        const lines = (from, to) => tmux('capture-pane', '-p', '-t', `=${s}:`, '-S', String(from - total), '-E', String(to - total)).trimEnd().split('\n');
        same(v.old.map(l => l[1]), lines(total - 200, total - 1));
        same(v.old[0][0], total - 200);
        v.old = [];
        v.oldEnd = undefined;
        v.send('b', [4, 2], [4, 50], [4, 4000000000]);
        await until('the answer', () => v.oldEnd !== undefined);
        same(v.old.map(l => l[1]), lines(0, 49));
        v.ws.close();
    },
    async sessions_and_servers_come_and_go() {
        const at = ['-L', 'gone'], own = (...a) => execFileSync('tmux', ['-u', ...at, ...a], {env, encoding: 'utf8', stdio: 'pipe'});
        const b = await Bridge.start('-L', 'gone', '--session', 'work');
        const v = new Viewer(b, 'work', {wait: false});
        await until('open', () => v.ws.readyState === 1);
        own('-f', '/dev/null', 'new-session', '-d', '-s', 'work', 'exec cat');
        await v.ready();
        own('send-keys', '-t', '=work:', 'first', 'Enter');
        await until('the session', () => v.rows().includes('first'));
        own('kill-server');
        await until('word of its end', () => v.over && v.over[0] === 1);
        own('-f', '/dev/null', 'new-session', '-d', '-s', 'work', 'echo again; exec cat');
        await until('the new one', () => v.rows()[0] === 'again', 10000);
        const t0 = Date.now();
        same(await b.stop(), 0);
        check(Date.now() - t0 < 2000, 'it ends soon');
        same(v.over[0], 3);
        own('kill-server');
    },
    async websocket_errors_have_their_codes() {
        const s = session('exec cat');
        await new Viewer(bridge, s).ready();
        const send = bytes => new Promise((done, failed) => {
            const [host, port] = bridge.host.split(':'), sock = net.connect(port, host);
            let got = Buffer.alloc(0), open = false;
            sock.on('connect', () => sock.write(`GET /ws?session=${s} HTTP/1.1\r\nHost: ${bridge.host}\r\nUpgrade: websocket\r\n` +
                `Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n` +
                `Authorization: Bearer ${bridge.write}\r\n\r\n`));
            sock.on('data', d => {
                got = Buffer.concat([got, d]);
                const end = got.indexOf('\r\n\r\n');
                if (!open && end >= 0) {
                    open = true;
                    got = got.subarray(end + 4);
                    sock.write(Buffer.from(bytes));
                }
            });
            sock.on('error', failed);
            sock.on('close', () => {
                let at = 0, code = 0;
                while (at + 2 <= got.length) {
                    const len = got[at + 1] === 126 ? got.readUInt16BE(at + 2) : got[at + 1], head = got[at + 1] === 126 ? 4 : 2;
                    if (got[at] === 0x88) code = got.readUInt16BE(at + 2);
                    at += head + len;
                }
                done(code);
            });
        });
        const masked = (first, ...payload) => [first, 0x80 | payload.length, 0, 0, 0, 0, ...payload];
        same(await send([0x82, 0x01, 0x00]), 1002, 'unmasked');
        same(await send(masked(0xc2, 0)), 1002, 'a reserved bit');
        same(await send([0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 1009, 'too large');
        same(await send(masked(0x81, 65)), 1003, 'text');
        same(await send([...masked(0x02, 0x61), ...masked(0x89, 1), ...masked(0x88, 3, 0xe8)]), 1000, 'a ping between fragments, and Close');
        same(await send(masked(0x88, 3)), 1002, 'half a code');
        same(await send(masked(0x82, 0x74, 0xff, 0xff, 0xff, 0xff)), 1009, 'a frame of 4 GiB inside');
    },
};

const CORPUS = `printf '\\033]2;a title \\303\\251\\007'
bar() { w=$2; printf '%b' "$1"; while [ $w -lt 20 ]; do printf .; w=$((w+1)); done; printf '\\342\\224\\202\\n'; }
bar plain 5
bar '\\0344\\0270\\0255\\0346\\0226\\0207' 4
bar 'e\\0314\\0201a\\0314\\0200' 2
bar '\\0360\\0237\\0230\\0200' 2
bar '\\0360\\0237\\0221\\0250\\0342\\0200\\0215\\0360\\0237\\0221\\0251\\0342\\0200\\0215\\0360\\0237\\0221\\0247' 2
bar '\\0342\\0235\\0244\\0357\\0270\\0217' 2
bar '\\0360\\0237\\0221\\0215\\0360\\0237\\0217\\0275' 2
bar '\\0357\\0275\\0261\\0357\\0275\\0262' 2
bar '\\0355\\0225\\0234\\0352\\0270\\0200' 4
bar '\\0342\\0224\\0200\\0342\\0225\\0220' 2
printf '\\033[1;31mbold\\033[0m \\033[2;3;4mdim\\033[0m \\033[4:3;58;2;255;1;2mcurly\\033[0m \\033[38;2;9;200;99;48;5;53mcolours\\033[0m \\033[7mreverse\\033[0m\\n'
printf 'END'
exec sleep 1000
`;

// ---- in a browser --------------------------------------------------------------------------------------------------

async function opened(url, session, options = {}) {
    const context = await browser.newContext({viewport: {width: 1100, height: 700}, colorScheme: 'dark', ...options});
    const p = await context.newPage();
    p.problems = [];
    p.on('pageerror', e => p.problems.push(String(e)));
    p.on('console', m => m.type() === 'error' && p.problems.push(m.text()));
    await p.goto(url); // the token becomes a cookie
    if (session) {
        await p.goto('about:blank');
        await p.goto(`${new URL(url).origin}/#${session}`);
        await p.waitForSelector('#state.live');
    }
    return p;
}
const pageRows = p => p.evaluate(() => [...document.querySelectorAll('#screen .row')].map(r => r.textContent.trimEnd()));
const pageShows = async (p, s) => {
    let got, want;
    await until('the page shows it', async () => {
        got = await pageRows(p);
        want = truth(s).map(r => r.trimEnd());
        return JSON.stringify(got) === JSON.stringify(want);
    }).catch(() => same(got, want, 'page'));
};
const picture = (p, name) => p.screenshot({path: join(outDir, name + '.png')});

const inBrowser = {
    async page_shows_text_and_colours() {
        const s = session(`exec sh ${script('corpus2', CORPUS)}`, 100, 30);
        const p = await opened(bridge.urls[0], s);
        await pageShows(p, s);
        const style = async text => p.evaluate(t => {
            const e = [...document.querySelectorAll('#screen span')].find(x => x.textContent === t), c = getComputedStyle(e);
            return [c.color, c.backgroundColor, c.fontWeight, c.fontStyle, c.textDecorationLine, c.textDecorationStyle, c.textDecorationColor];
        }, text);
        const bold = await style('bold'), curly = await style('curly'), colours = await style('colours'), dim = await style('dim');
        same([bold[0], bold[2]], ['rgb(255, 123, 128)', '700'], 'bold red');
        same(curly.slice(4), ['underline', 'wavy', 'rgb(255, 1, 2)'], 'curly');
        same(colours.slice(0, 2), ['rgb(9, 200, 99)', 'rgb(95, 0, 95)'], 'colours');
        same([dim[3], dim[4]], ['italic', 'underline'], 'dim');
        // every bar stands in the same column of pixels
        const bars = await p.evaluate(() => [...document.querySelectorAll('#screen .row')].map(r => {
            const walk = document.createTreeWalker(r, NodeFilter.SHOW_TEXT);
            for (let n; (n = walk.nextNode());) {
                const at = n.data.indexOf('\u2502');
                if (at < 0 || !r.textContent.endsWith('\u2502')) continue;
                const range = document.createRange();
                range.setStart(n, n.data.lastIndexOf('\u2502'));
                range.setEnd(n, n.data.lastIndexOf('\u2502') + 1);
                const last = r.textContent.lastIndexOf('\u2502');
                if (last >= 0) r.bar = range.getBoundingClientRect().left;
            }
            return r.bar;
        }).filter(x => x !== undefined));
        check(bars.length >= 9 && bars.every(x => Math.abs(x - bars[0]) < 1), `bars at ${bars}`);
        await picture(p, 'corpus-dark');
        await p.click('#theme');
        await sleep(200);
        await picture(p, 'corpus-light');
        check(await p.isVisible('#badge'), 'it says that it is read-only');
        same(p.problems, [], 'problems');
        await p.context().close();
    },
    async keys_paste_and_copy_in_the_page() {
        const s = session();
        const p = await opened(bridge.urls[1], s, {permissions: ['clipboard-read', 'clipboard-write']});
        await p.click('#scroll');
        await p.keyboard.type('echo typed-$((1+1)) "h\u00e9"');
        await p.keyboard.press('Enter');
        await until('it was typed', () => truth(s).includes('typed-2 h\u00e9'));
        await p.keyboard.type('cat');
        await p.keyboard.press('Enter');
        await p.evaluate(() => {
            const data = new DataTransfer();
            data.setData('text/plain', 'pasted one\npasted two\n');
            document.getElementById('keys').dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true}));
        });
        await until('the paste', () => truth(s).filter(r => r === 'pasted two').length === 2);
        await pageShows(p, s);
        await p.keyboard.press('Control+c');
        await until('the prompt', () => truth(s).some(r => r.startsWith('^C')));
        const copied = await p.evaluate(() => {
            const row = [...document.querySelectorAll('#screen .row')].find(r => r.textContent.startsWith('typed-2'));
            getSelection().selectAllChildren(row);
            const data = new DataTransfer(), e = new ClipboardEvent('copy', {clipboardData: data, bubbles: true, cancelable: true});
            document.dispatchEvent(e);
            return data.getData('text/plain');
        });
        same(copied, 'typed-2 h\u00e9');
        await picture(p, 'typed');
        same(p.problems, [], 'problems');
        await p.context().close();
    },
    async a_flood_leaves_the_browser_alive() {
        const s = session();
        const p = await opened(bridge.urls[1], s);
        await p.click('#scroll');
        const cdp = await p.context().newCDPSession(p);
        const heap = async () => {
            await cdp.send('HeapProfiler.collectGarbage');
            return (await cdp.send('Runtime.getHeapUsage')).usedSize;
        };
        await p.keyboard.type('yes 0123456789012345678901234567890123456789');
        await p.keyboard.press('Enter');
        const seconds = Number(process.env.FLOOD_SECONDS || 8);
        await sleep(1500);
        const before = await heap();
        await sleep(seconds * 1000);
        const after = await heap();
        await p.evaluate(() => {
            window.seen = new Promise(done => {
                addEventListener('keydown', () => (window.pressed = performance.now()), {once: true, capture: true});
                new MutationObserver(() => [...document.querySelectorAll('#screen .row')].some(r => /^\\^C|^[$#] *$/.test(r.textContent)) &&
                    requestAnimationFrame(() => done(performance.now() - window.pressed))).observe(document.getElementById('screen'),
                    {subtree: true, childList: true});
            });
        });
        await p.keyboard.press('Control+c');
        const took = await p.evaluate(() => window.seen);
        console.log(`     Ctrl-C painted after ${took.toFixed(0)} ms; heap ${(before / 1e6).toFixed(2)} -> ${(after / 1e6).toFixed(2)} MB over ${seconds} s`);
        check(took < 200, `Ctrl-C is painted after ${took} ms`);
        check(after < before * 1.25 + 500000, `heap ${before} -> ${after}`);
        await pageShows(p, s);
        same(p.problems, [], 'problems');
        await p.context().close();
    },
    async scrollback_search_and_picker() {
        const s = session(`exec sh -c 'seq 1 2000; exec cat'`);
        const p = await opened(bridge.urls[0]);
        await p.waitForSelector('#pick a');
        await picture(p, 'picker');
        await p.click(`#pick a >> text="${s}"`);
        await p.waitForSelector('#state.live');
        await pageShows(p, s);
        await p.mouse.move(400, 300);
        await p.mouse.wheel(0, -300);
        await p.waitForSelector('#history .row');
        await p.fill('#find', '1234');
        await until('found', async () => (await p.textContent('#found')) === '1/1', 8000)
            .catch(async () => same(await p.textContent('#found'), '1/1'));
        await until('in view', () => p.evaluate(() => {
            const r = document.querySelector('.hit').getBoundingClientRect();
            return r.top >= 0 && r.bottom <= innerHeight;
        }));
        await picture(p, 'search');
        same(p.problems, [], 'problems');
        await p.context().close();
    },
    async page_reconnects_by_itself() {
        const s = session('exec cat');
        let b = await Bridge.start('--session', s);
        const p = await opened(b.urls[1]);
        await p.waitForSelector('#state.live');
        const port = b.host.split(':')[1], token = script('token', b.write + '\n');
        await b.stop();
        await until('it says so', async () => !(await p.$('#state.live')));
        await picture(p, 'lost');
        b = await Bridge.start('--session', s, '--listen', '127.0.0.1:' + port, '--write-token', token);
        await p.waitForSelector('#state.live', {timeout: 20000});
        await p.click('#scroll');
        await p.keyboard.type('after');
        await until('it is typed', () => truth(s).includes('after'));
        await pageShows(p, s);
        await p.context().close();
        await b.stop();
    },
};

// ---- all of them ---------------------------------------------------------------------------------------------------

let failed = 0;
async function runAll(list, why) {
    for (const [name, run] of Object.entries(list)) {
        if (only.length && !only.includes(name)) continue;
        if (why) {
            console.log(`skip bridge.${name}: ${why}`);
            continue;
        }
        try {
            await Promise.race([run(), sleep(60000).then(() => Promise.reject(new Error('no end after 60 s')))]);
            if (bridge.child.exitCode !== null || bridge.child.signalCode) throw new Error('tmux_bridge has ended: ' + bridge.log);
            console.log(`ok   bridge.${name}`);
        } catch (error) {
            failed++;
            console.log(`  ${error.message}\nFAIL bridge.${name}`);
            if (bridge.child.exitCode !== null || bridge.child.signalCode) {
                console.log(bridge.log.slice(-3000));
                bridge = await Bridge.start();
            }
        }
    }
}
let why = '';
try {
    tmux('-V');
} catch {
    why = 'needs tmux';
}
if (!WebSocket) why = 'needs npm ws (make deps)';
try {
    if (!why) {
        session('exec cat');
        bridge = await Bridge.start();
    }
    await runAll(cases, why);
    const missing = why || (!playwright ? 'needs npm playwright-core (make deps)' : !chromium ? 'needs chromium' : '');
    if (!missing) browser = await playwright.chromium.launch({executablePath: chromium, args: ['--no-sandbox']});
    await runAll(inBrowser, missing);
} finally {
    if (browser) await browser.close();
    if (bridge) await bridge.stop();
    if (bridge && /runtime error|AddressSanitizer/.test(bridge.log)) {
        failed++;
        console.log(bridge.log.slice(-4000) + '\nFAIL bridge.sanitizers');
    }
    try {
        tmux('kill-server');
    } catch {
        // it has ended with its last session
    }
    rmSync(home, {recursive: true, force: true});
}
process.exit(failed ? 1 : 0);
