// SPDX-License-Identifier: MIT-0
// tmux_bridge as clients see it: a private tmux server, the tool, npm's ws, bare sockets. Each case is named
// after the behaviour it shows. What a browser makes of it is in bridge_page.mjs.
//
//     node tests/bridge.mjs BRIDGE NPM_DIR OUT_DIR [name...]
//
// Longer for the soak: FLOOD_SECONDS.
import {execFileSync, spawnSync} from 'node:child_process';
import {createHash, randomBytes} from 'node:crypto';
import {existsSync, readFileSync, readdirSync, readlinkSync, statSync} from 'node:fs';
import net from 'node:net';
import {join} from 'node:path';

import {
    ask, Bridge, bridgePath, check, CORPUS, env, home, median, page, runAll, same, script, session,
    sessionNames, shows, sleep, tmux, tmuxAt, truth, until, Viewer
} from './bridge_lib.mjs';

// Something between a viewer and the tool that lets so many bytes a second through to the viewer.
function slowLink(port, rate) {
    const server = net.createServer(near => {
        const far = net.connect(port, '127.0.0.1');
        let queue = Buffer.alloc(0);
        near.pipe(far);
        far.on('data', d => {
            queue = Buffer.concat([queue, d]);
            if (queue.length > 2000) far.pause();
        });
        const timer = setInterval(() => {
            near.write(queue.subarray(0, rate / 20));
            queue = queue.subarray(rate / 20);
            if (queue.length < 2000) far.resume();
        }, 50);
        const end = () => {
            clearInterval(timer);
            near.destroy();
            far.destroy();
        };
        for (const x of [near, far]) x.on('close', end).on('error', end);
    });
    return new Promise(done => server.listen(0, '127.0.0.1', () =>
        done({port: server.address().port, close: () => server.close()})));
}

// The port that a socket of that inode listens at; 0: it does not.
function portOf(inode) {
    for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n')) {
        const f = line.trim().split(/\s+/);
        if (f[9] === inode && f[3] === '0A') return parseInt(f[1].split(':')[1], 16);
    }
    return 0;
}

const cases = {
    async foreign_origin_is_refused_before_tmux({bridge}) {
        const s = session(), before = await bridge.metrics();
        const upgrade = {Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13',
            'Sec-WebSocket-Key': randomBytes(16).toString('base64')};
        const cookie = `tmux_bridge_${bridge.host.split(':')[1]}=${bridge.write}`;
        for (const headers of [{Origin: 'http://evil.example'}, {Origin: 'null'},
                 {Origin: 'http://127.0.0.1:1'}, {Origin: `http://${bridge.host}.evil.example`},
                 {Host: 'evil.example'}, {Host: `evil.example:${bridge.host.split(':')[1]}`}]) {
            same((await bridge.get('/ws?session=' + s, {...upgrade, Cookie: cookie, ...headers})).status, 403,
                JSON.stringify(headers));
            same((await bridge.get('/', {Cookie: cookie, ...headers})).status, 403, JSON.stringify(headers));
        }
        same((await bridge.get('/ws?session=' + s, upgrade)).status, 403, 'no token');
        same((await bridge.get('/ws?session=' + s, {...upgrade, Cookie: cookie.slice(0, -1)})).status, 403,
            'a token cut');
        same((await bridge.get('/', {})).status, 401, 'the page without a token');
        same((await bridge.get('/?token=' + bridge.read.replace(/.$/, 'x'))).status, 403, 'a wrong token');
        const after = await bridge.metrics();
        same(after.attaches_total <= before.attaches_total + 1 &&
                after.captures_total - before.captures_total <= 2,
            true, 'tmux was left alone');
        check(after.refused_total >= before.refused_total + 15, 'refusals are counted');
    },
    async tokens_become_cookies_and_stay_out_of_logs({bridge}) {
        const r = await bridge.get('/?token=' + bridge.write);
        same(r.status, 303);
        same(r.headers.location, '/');
        check(/HttpOnly; SameSite=Strict/.test(r.headers['set-cookie'][0]),
            'the cookie is not for scripts, nor for other sites');
        const p = await bridge.get('/', {Cookie: r.headers['set-cookie'][0].split(';')[0]});
        same(p.status, 200);
        check(/default-src 'none'/.test(p.headers['content-security-policy']), 'a strict policy');
        check(!bridge.log.includes(bridge.write) && !bridge.log.includes(bridge.read), 'no token in the log');
        let size = 0;
        for (const f of ['/', '/page.js', '/page.css'])
            size += (await bridge.get(f, {Authorization: 'Bearer ' + bridge.read})).body.length;
        check(size < 60000, 'the page is under 60 KB');
    },
    async names_are_never_commands({bridge}) {
        const name = `a';touch ${home}/pwned;'$(touch ${home}/pwned) #{q} %if"`.replace(/[.:]/g, '_');
        tmux('new-session', '-d', '-s', name, 'exec cat');
        const real =
            tmux('list-sessions', '-F', '#{session_name}').split('\n').find(n => n.startsWith('a\''));
        const listed = await until('it is listed', async () => JSON.parse((await bridge.get('/sessions',
            {Authorization: 'Bearer ' + bridge.read})).body).find(s => s.name === real && s.up));
        const v = new Viewer(bridge, listed.id, {token: bridge.write});
        await v.ready();
        const typed = `";touch ${home}/pwned;' $(touch ${home}/pwned) #{q} %0 ~ \\033 \u00e9\u4e2d`;
        v.send('t', typed);
        await until('it is shown as typed', () => v.rows().join('').includes(typed));
        for (const key of ['C-c; kill-server', '\'; kill-server', '-X', 'Up\nkill-server', ''])
            v.send('k', key);
        v.send('t', '\r');
        await sleep(200);
        check(!existsSync(join(home, 'pwned')), 'nothing was run');
        tmux('list-sessions');
        v.ws.close();
        tmux('kill-session', '-t', '=' + real);
    },
    async read_only_viewers_cannot_write_by_any_frame({bridge}) {
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
        await until('they were counted',
            async () => (await bridge.metrics()).input_rejected_total >= before.input_rejected_total + 7);
        same(truth(s).join(''), '', 'the screen');
        same(tmux('display-message', '-p', '-t', `=${s}:`, '#{pane_width}x#{pane_height}').trim(), '80x24');
        v.ws.close();
    },
    async sizes_and_options_are_left_as_found({bridge}) {
        const s = session('exec cat', 91, 17);
        const before =
            tmux('show-options', '-g') + tmux('show-options', '-gw') + tmux('show-options', '-t', `=${s}:`);
        const b = await Bridge.start('--session', s), v = new Viewer(b, s);
        await v.ready();
        same([v.screen.cols, v.screen.rows], [91, 17]);
        same(tmux('show-options', '-g') + tmux('show-options', '-gw') + tmux('show-options', '-t', `=${s}:`),
            before);
        tmux('resize-window', '-t', `=${s}:`, '-x', '60', '-y', '10');
        await until('the new size', () => v.screen.cols === 60 && v.screen.rows === 10);
        await shows(v, s);
        same(await b.stop(), 0, 'exit code');
        same(tmux('list-clients', '-t', '=' + s, '-F', '#{client_name}').trim().split('\n').length, 1,
            'clients left: ours of the other tool');
        same(tmux('display-message', '-p', '-t', `=${s}:`, '#{window_width}').trim(), '60');
    },
    async snapshots_equal_the_live_screen({bridge}) {
        const s = session(`exec sh ${script('corpus', CORPUS)}`, 100, 30), v = new Viewer(bridge, s);
        await until('all of it', () => v.rows().join('\n').includes('END'));
        await shows(v, s);
        // where tmux's own cursor went after each word is how wide the word is
        const ws = readFileSync(join(home, 'corpus'), 'utf8');
        check(ws.length > 100, 'a corpus');
        for (let i = 0; i < v.screen.rows; i++) {
            const cells = page.readRow(v.screen.line[i]), bar = cells.findIndex(c => c.text === '\u2502');
            if (bar < 0) continue;
            same(cells.slice(0, bar).reduce((n, c) => n + c.width, 0), 20,
                `columns before the bar of row ${i}: ${cells.map(c => c.text).join('')}`);
        }
        same([v.screen.x, v.screen.y],
            tmux('display-message', '-p', '-t', `=${s}:`, '#{cursor_x} #{cursor_y}')
                .trim()
                .split(' ')
                .map(Number),
            'cursor');
        const w = new Viewer(bridge, s);
        await w.ready();
        same(w.screen.line, v.screen.line, 'a late viewer has the same rows');
        same([w.screen.x, w.screen.y, w.screen.modes, w.screen.title],
            [v.screen.x, v.screen.y, v.screen.modes, v.screen.title]);
        same(v.screen.title, 'a title \u00e9');
        v.ws.close();
        w.ws.close();
    },
    async alternate_screen_in_and_out({bridge}) {
        const s = session(), v = new Viewer(bridge, s, {token: bridge.write});
        await v.ready();
        v.send('t', 'echo before\r');
        await until('a line', () => v.rows().includes('before'));
        v.send('t',
            `printf '\\033[?1049h\\033[H\\033[31mother\\033[?1h\\033[?1002h\\033[?1006h\\033[?25l'; ` +
            `read x; printf '\\033[?1049l\\033[?25h\\033[?1l\\033[?1002l'\r`);
        await until('the other screen', () => v.screen.modes & 2 && v.rows()[0] === 'other');
        same(v.screen.modes & (1 | 4 | 32 | 128), 4 | 32 | 128, 'modes');
        await shows(v, s);
        v.send('k', 'Enter');
        await until('the first screen', () => !(v.screen.modes & 2) && v.rows().includes('before'));
        same(v.screen.modes & (1 | 4 | 32), 1, 'modes');
        await shows(v, s);
        v.ws.close();
    },
    async the_active_pane_is_followed({bridge}) {
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
    async control_c_acts_through_a_flood({bridge}) {
        const s = session(), v = new Viewer(bridge, s, {token: bridge.write}), w = new Viewer(bridge, s);
        await v.ready();
        await w.ready();
        const rates = [], times = [];
        // This machine may have other things to do.
        for (let i = 0; i < 8 && !(times.some(t => t < 200) && rates.some(r => r > 3)); i++) {
            v.send('t', 'seq 1 1000000000\r');
            await until('the flood', () => v.rows().every(r => /^\d*$/.test(r)));
            const start = v.updates, t0 = performance.now();
            await sleep(2000);
            rates.push((v.updates - start) / ((performance.now() - t0) / 1000));
            const sent = performance.now();
            v.send('k', 'C-c');
            await until('the prompt', () => v.rows().some(r => r.startsWith('^C') || /^\$ ?$|^# ?$/.test(r)));
            times.push(v.at - sent);
            v.send('t', 'clear\r');
            await until('an empty screen', () => v.rows().filter(r => r.trim()).length < 2);
        }
        console.log(`     ${rates.map(r => r.toFixed(1))} screens/s in the flood, Ctrl-C seen after ` +
            `${times.map(t => t.toFixed(0))} ms, largest message ${v.largest}`);
        check(Math.min(...times) < 200, `Ctrl-C is seen after ${times} ms`);
        check(Math.max(...rates) > 3 && Math.max(...rates) < 31, `${rates} screens a second`);
        check(v.largest <= 65536, 'messages are at most 64 KiB');
        await shows(w, s);
        same(w.screen.line, v.screen.line);
        v.ws.close();
        w.ws.close();
    },
    async nothing_happens_while_a_pane_is_quiet({bridge}) {
        const s = session('exec cat'), v = new Viewer(bridge, s);
        await v.ready();
        await sleep(300);
        let cpu = 1;
        for (let i = 0; i < 4 && cpu >= .025; i++) { // its clock ticks for others on the machine, too
            const before = await bridge.metrics(), from = bridge.cpu(), bytes = v.bytes;
            await sleep(2000);
            const after = await bridge.metrics();
            same(after.captures_total, before.captures_total, 'captures');
            same(v.bytes, bytes, 'bytes to the viewer');
            cpu = Math.min(cpu, bridge.cpu() - from);
        }
        check(cpu < .025, `CPU ${cpu} s`);
        v.ws.close();
    },
    async fifty_viewers_converge({bridge}) {
        const s = session(), all = Array.from({length: 50}, () => new Viewer(bridge, s));
        const w = new Viewer(bridge, s, {token: bridge.write});
        for (const v of all) await v.ready();
        await w.ready();
        await until('the count', () => w.count && w.count[0] === 51 && w.count[1] === 1);
        w.send('t', 'seq 1 100000; echo done\r');
        await until('the end', () => w.rows().includes('done'));
        await shows(w, s);
        await until('all the same', () => all.every(v => v.screen.number === w.screen.number));
        for (const v of all) same(v.screen.line, w.screen.line);
        const late = new Viewer(bridge, s);
        await until('a late one too', () => late.screen.number === w.screen.number);
        same(late.screen.line, w.screen.line);
        check(late.bytes < 8000, `${late.bytes} bytes to see a screen behind 100000 lines`);
        for (const v of [...all, w, late]) v.ws.close();
    },
    async reconnecting_continues_by_number({bridge}) {
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
        Object.assign(
            w.screen, {line: was.line, rows: was.rows, cols: was.cols, number: was.number, run: was.run});
        w.from = [was.run, was.number];
        await until('two', () => w.rows().includes('two'));
        await shows(w, s);
        same((await bridge.metrics()).snapshots_total, before.snapshots_total,
            'snapshots: it went on by deltas');
        const x = new Viewer(bridge, s); // of another run: everything
        x.from = [was.run + 1, was.number];
        await shows(x, s);
        w.ws.close();
        x.ws.close();
    },
    async scrollback_on_request({bridge}) {
        const s = session(`exec sh -c 'seq 1 3000; exec cat'`), v = new Viewer(bridge, s);
        await until('the end', () => v.rows().includes('3000'));
        await sleep(200);
        v.send('b', [4, 1], [4, 0xffffffff], [4, 200]);
        await until('the answer', () => v.oldEnd !== undefined);
        const total = Number(tmux('display-message', '-p', '-t', `=${s}:`, '#{history_size}'));
        same(v.oldEnd, total);
        same(v.old.length, 200);
        const lines = (from, to) => tmux('capture-pane', '-p', '-t', `=${s}:`, '-S', String(from - total),
            '-E',
            String(
                to - total)).trimEnd().split('\n');
        same(v.old.map(l => l[1]), lines(total - 200, total - 1));
        same(v.old[0][0], total - 200);
        v.old = [];
        v.oldEnd = undefined;
        v.send('b', [4, 2], [4, 50], [4, 4000000000]);
        await until('the answer', () => v.oldEnd !== undefined);
        same(v.old.map(l => l[1]), lines(0, 49));
        v.ws.close();
    },
    async sessions_and_servers_come_and_go({bridge}) {
        const at = ['-L', 'gone'],
              own = (...a) =>
                  execFileSync('tmux', ['-u', ...at, ...a], {env, encoding: 'utf8', stdio: 'pipe'});
        const b = await Bridge.run(['-L', 'gone', '--session', 'work', '--write-token', 'auto'], 2);
        const v = new Viewer(b, 'work', {wait: false});
        await until('open', () => v.ws.readyState === 1);
        await until('it says what tmux says', () => /no server running|error connecting/.test(b.log));
        own('-f', '/dev/null', 'new-session', '-d', '-s', 'work', 'exec cat');
        await v.ready();
        own('send-keys', '-t', '=work:', 'first', 'Enter');
        await until('the session', () => v.rows().includes('first'));
        own('kill-server');
        await until('word of its end', () => v.over && v.over[0] === 1);
        own('-f', '/dev/null', 'new-session', '-d', '-s', 'work', 'echo again; exec cat');
        await until('the new one', () => v.rows()[0] === 'again');
        same(await b.stop(), 0);
        same(v.over[0], 3);
        own('kill-server');
    },
    async tokens_are_taken_by_cookie_by_header_and_as_a_subprotocol({bridge}) {
        const s = session('exec cat'), v = new Viewer(bridge, s);
        await v.ready();
        same(v.ws.protocol, 'tmux_bridge', 'the subprotocol that is answered, not the token');
        const upgrade = {
            Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13',
            'Sec-WebSocket-Key': randomBytes(16).toString('base64')
        };
        const cookie = `tmux_bridge_${bridge.port}=${bridge.read}`;
        for (const how of [{Cookie: `a=b; ${cookie}; c=d`}, {Authorization: 'Bearer ' + bridge.read},
            {'Sec-WebSocket-Protocol': 'tmux_bridge, token.' + bridge.read}]) {
            const r = await bridge.get('/ws?session=' + s, {...upgrade, ...how});
            same(r.status, 101, Object.keys(how)[0]);
            check(!JSON.stringify(r.headers).includes(bridge.read), 'the token is not sent back');
        }
        for (const how of [{Cookie: cookie + 'x'}, {Authorization: 'Basic ' + bridge.read},
                 {Cookie: `x${cookie}`}, {'Sec-WebSocket-Protocol': bridge.read}])
            same((await bridge.get('/ws?session=' + s, {...upgrade, ...how})).status, 403,
                JSON.stringify(how));
        check(!bridge.log.includes(bridge.read) && !bridge.log.includes(bridge.write), 'no token in the log');
        v.ws.close();
    },
    async health_and_metrics({bridge}) {
        same((await bridge.get('/healthz')).body, 'ok\n');
        same((await bridge.get('/healthz', {Host: 'evil.example'})).status, 403, 'by another name');
        same((await bridge.get('/metrics')).status, 401, 'metrics without a token');
        const auth = {Authorization: 'Bearer ' + bridge.read}, {body} = await bridge.get('/metrics', auth);
        for (const name of ['viewers', 'captures_total', 'updates_total', 'snapshots_total', 'skipped_total',
            'input_rejected_total', 'input_held_total', 'refused_total', 'bytes_out_total'])
            check(new RegExp(`^# TYPE tmux_bridge_${name} \\w+\ntmux_bridge_${name} \\d+$`, 'm').test(body) ||
                new RegExp(`^tmux_bridge_${name} \\d+$`, 'm').test(body), name);
        same((await bridge.get('/', auth, 'POST')).status, 405);
        const head = await bridge.get('/', auth, 'HEAD');
        same([head.status, head.body], [200, '']);
        same((await bridge.get('/nothing', auth)).status, 404);
    },
    async every_session_is_listed({bridge}) {
        const made = Array.from({length: 30}, (_, i) => `many-${i}-${'\u4e2d"\\'.repeat(40)}`);
        tmux(...made.flatMap(name => ['new-session', '-d', '-s', name, 'exec cat', ';']).slice(0, -1));
        const real =
            tmux('list-sessions', '-F', '#{session_name}').split('\n').filter(n => n.startsWith('many-'));
        same(real.length, 30);
        await until('all are listed', async () => {
            const list = await bridge.sessions();
            return real.every(n => list.some(l => l.id === n && l.name === n && l.up));
        });
        const before = await bridge.metrics();
        tmux('rename-session', '-t', '=' + real[0], 'many-renamed');
        await until('the new name', async () => {
            const list = await bridge.sessions();
            return list.some(l => l.id === 'many-renamed' && l.up) && !list.some(l => l.id === real[0]);
        });
        same((await bridge.metrics()).attaches_total, before.attaches_total,
            'attaches: it is the same session');
        for (const name of ['many-renamed', ...real.slice(1)]) tmux('kill-session', '-t', '=' + name);
        await until('none is', async () => !(await bridge.sessions()).some(l => l.name.startsWith('many-')));
    },
    async nothing_is_captured_while_nobody_watches({bridge}) {
        const s = session(`exec sh -c 'seq 1 100000; echo the end; exec cat'`);
        await until('it is listed', async () => (await bridge.sessions()).some(l => l.id === s && l.up));
        await until('the end', () => truth(s).includes('the end'));
        const before = await bridge.metrics(), first = [];
        tmux('send-keys', '-t', `=${s}:`, 'unseen', 'Enter');
        await until('it was typed', () => truth(s).includes('unseen'));
        await sleep(100);
        same((await bridge.metrics()).captures_total, before.captures_total, 'captures');
        const v = new Viewer(bridge, s);
        v.seen = () => first.push(v.has('unseen'));
        await v.ready();
        same(first[0], true, 'the very first screen is the present one');
        await shows(v, s);
        v.ws.close();
    },
    async an_owner_may_set_the_size({bridge}) {
        const s = session('exec cat', 91, 17), size = () => ask(s, '#{pane_width}x#{pane_height}');
        const option = () => tmux('show-options', '-gw', 'window-size') +
            tmux('show-options', '-t', `=${s}:`) + tmux('show-options', '-w', '-t', `=${s}:`);
        const before = option(), b = await Bridge.start('--session', s, '--resize');
        const v = new Viewer(b, s, {token: b.write}), w = new Viewer(b, s),
              other = new Viewer(bridge, s, {token: bridge.write});
        for (const x of [v, w, other]) await x.ready();
        same([v.rights, w.rights, other.rights], [3, 0, 1], 'rights');
        const rejected = (await b.metrics()).input_rejected_total;
        w.send('z', [2, 50], [2, 20]); // not one who may
        other.send('z', [2, 50], [2, 20]); // not where nobody may
        for (const bad of [[0, 0], [19, 10], [501, 10], [50, 3], [50, 301], [65535, 65535]])
            v.send('z', [2, bad[0]], [2, bad[1]]);
        v.send('z', [2, 50]);
        await until(
            'they were counted', async () => (await b.metrics()).input_rejected_total === rejected + 8);
        same(size(), '91x17', 'size');
        v.send('z', [2, 100], [2, 30]);
        for (const x of [v, w, other])
            await until('the new size', () => x.screen.cols === 100 && x.screen.rows === 30);
        same(size(), '100x30', 'size');
        v.send('t', 'sized\r');
        await until('it goes on', () => w.has('sized'));
        await shows(w, s);
        v.ws.close();
        await until('it is left to others', () => tmux('list-clients', '-F', '#{client_pid} #{client_flags}',
            '-t', '=' + s).trim().split('\n').every(l => l.includes('ignore-size')));
        same(await b.stop(), 0);
        same(option(), before, 'options');
        for (const x of [w, other]) x.ws.close();
    },
    async one_writer_at_a_time() {
        const s = session('exec cat'), b = await Bridge.start('--session', s, '--share', 'one');
        const first = new Viewer(b, s, {token: b.write});
        await first.ready();
        const second = new Viewer(b, s, {token: b.write}), third = new Viewer(b, s, {token: b.write});
        await second.ready();
        await third.ready();
        same([first.rights, second.rights, third.rights], [1, 4, 4], 'rights');
        second.send('t', 'not yet');
        first.send('t', 'one\r');
        await until('what the first typed', () => second.has('one'));
        await until('the other was counted', async () => (await b.metrics()).input_rejected_total === 1);
        same(second.count, [3, 1], 'viewers and writers');
        first.ws.close();
        await until('it is the turn of the next', () => second.rights === 1);
        same(third.rights, 4, 'rights of the third');
        second.send('t', 'two\r');
        await until('what the second typed', () => third.has('two'));
        check(!truth(s).join('').includes('not yet'), 'nothing of what it typed before');
        await b.stop();
        const watch = await Bridge.start('--session', s, '--share', 'watch');
        const w = new Viewer(watch, s, {token: watch.write});
        await w.ready();
        w.send('t', 'no');
        await until('it was counted', async () => (await watch.metrics()).input_rejected_total === 1);
        same(w.rights, 0, 'rights');
        await watch.stop();
    },
    async input_comes_whole_and_in_order_however_fast({bridge}) {
        const to = join(home, 'burst'),
              s = session(`exec sh -c 'stty raw -echo; echo ready; exec cat >${to}'`);
        const v = new Viewer(bridge, s, {token: bridge.write});
        await until('the reader', () => v.has('ready'));
        let all = [], want = '';
        for (let i = 0; i < 3000; i++) { // more than tmux is ever asked at a time
            const text = `<${i}>`;
            all.push(Buffer.from(page.message('t', text)), Buffer.from(page.message('k', 'Enter')),
                Buffer.from(page.message('k', 'x')));
            want += text + '\rx';
        }
        all = Buffer.concat(all);
        for (let at = 0; at < all.length; at += 30000) v.ws.send(all.subarray(at, at + 30000));
        await until('all of it', () => existsSync(to) && statSync(to).size >= want.length);
        check(readFileSync(to, 'utf8') === want, 'the same, in the same order');
        check((await bridge.metrics()).input_held_total > 0, 'it had to wait');
        v.ws.close();
    },
    async a_tmux_that_hangs_loses_no_input() {
        const to = join(home, 'hung');
        const s = session(`exec sh -c 'stty raw -echo; echo ready; exec cat >${to}'`);
        const b = await Bridge.start('--session', s, '--input-rate', '100M');
        const v = new Viewer(b, s, {token: b.write}), w = new Viewer(b, s);
        await until('the reader', () => v.has('ready'));
        await w.ready();
        const server = Number(ask(s, '#{pid}')), rss = b.rss();
        const text = randomBytes(3 << 20).toString('base64').slice(0, 3 << 20);
        process.kill(server, 'SIGSTOP'); // ours
        let grown;
        try {
            for (let at = 0; at < text.length; at += 8192) v.send('t', text.slice(at, at + 8192));
            await until('it is held', async () => (await b.metrics()).input_held_total > 0);
            await sleep(300);
            grown = b.rss() - rss;
        } finally {
            process.kill(server, 'SIGCONT');
        }
        console.log(`     ${text.length >> 10} KB sent to a tmux that hangs: memory grew by ${grown} KB`);
        check(grown < 12000, `memory grew by ${grown} KB for ${text.length} bytes`);
        await until('all of it', () => existsSync(to) && statSync(to).size >= text.length);
        check(readFileSync(to, 'latin1') === text, 'the same');
        same(await b.stop(), 0);
        await until('the other viewer was there to the end', () => w.closed === 1001);
    },
    async a_viewer_that_sends_too_fast_has_to_wait() {
        const to = join(home, 'rated'),
              s = session(`exec sh -c 'stty raw -echo; echo ready; exec cat >${to}'`);
        const quiet = session('exec cat'), b = await Bridge.start('--input-rate', '4K');
        const v = new Viewer(b, s, {token: b.write}), w = new Viewer(b, quiet, {token: b.write});
        await until('the reader', () => v.has('ready'));
        await w.ready();
        const t0 = performance.now(), text = 'x'.repeat(500);
        for (let i = 0; i < 24; i++) v.send('t', text);
        w.send('t', 'beside\r');
        await until('another viewer is not held', () => w.has('beside'));
        check(statSync(to).size < 12000, 'the first one still is');
        await until('all of it', () => existsSync(to) && statSync(to).size === 12000);
        const took = performance.now() - t0;
        check(took > 1500, `12000 bytes took ${took} ms at 4 K a second`);
        check((await b.metrics()).input_held_total > 0, 'it was held');
        same(await b.stop(), 0);
    },
    async a_bracketed_paste_is_whole_through_output_and_others({bridge}) {
        const to = script('pasted', ''), size = 1 << 20;
        // A slow reader, and output all the while.
        const s = session('exec sh ' + script('paster', `stty raw -echo; printf '\\033[?2004hready\\r\\n'
while [ ! -e ${to}.seen ]; do sleep .02; done
(while :; do date; sleep .02; done) &
while [ ! -e ${to}.stop ]; do dd bs=8192 count=1 2>/dev/null; sleep .002; done >${to}
kill $!
`));
        const v = new Viewer(bridge, s, {token: bridge.write}),
              w = new Viewer(bridge, s, {token: bridge.write});
        await until('the reader', () => v.has('ready'));
        await w.ready();
        script('pasted.seen', ''); // which the output is about to move off the screen
        let text = '';
        while (text.length < size) text += randomBytes(60).toString('base64') + '\u00e9\u4e2d;"$#{}\'\\';
        const bytes = Buffer.from(text).subarray(0, size);
        for (let i = bytes.length - 4; i < bytes.length; i++) bytes[i] = 46;
        v.paste(bytes);
        const begun = w.updates;
        for (let i = 0; i < 100; i++) { // keys of somebody else, before, inside of and behind it
            w.send('t', '|');
            await sleep(10);
        }
        const end = Buffer.from('\x1b[201~'), length = size + 12 + 100;
        await until('all of it', () => statSync(to).size >= length)
            .catch(() => same(statSync(to).size, length));
        check(w.updates - begun > 10, 'output went on');
        const got = readFileSync(to), from = got.indexOf('\x1b[200~') + 6;
        check(from >= 6 && got.indexOf(end) === from + size, 'the paste is in one piece');
        const hash = b => createHash('sha256').update(b).digest('hex');
        same(hash(got.subarray(from, from + size)), hash(bytes), 'sha256');
        same(tmux('list-buffers').trim(), '', 'buffers left');
        script('pasted.stop', '');
        w.send('t', '|');
        v.ws.close();
        w.ws.close();
    },
    async a_viewer_over_its_cap_gets_one_snapshot() {
        const s = session(`exec sh -c 'while :; do head -c 3000 /dev/urandom | base64; sleep .02; done'`);
        const b = await Bridge.start('--session', s, '--viewer-cap', '8K');
        const slow = new Viewer(b, s, {ack: false}), fast = new Viewer(b, s);
        await slow.ready();
        await fast.ready();
        await until('it has stopped', async () => {
            const n = slow.messages;
            await sleep(300);
            return n === slow.messages;
        });
        const seen = slow.updates, number = slow.screen.number, skipped = (await b.metrics()).skipped_total;
        await until('far ahead', () => fast.screen.number > number + 30);
        same(slow.updates, seen, 'screens without an ack');
        same([slow.snapshots, fast.snapshots], [1, 1], 'snapshots so far');
        slow.ack = true;
        slow.send('a', [8, number]);
        await until('it goes on', () => slow.updates > seen + 5);
        same([slow.snapshots, fast.snapshots], [2, 1], 'one snapshot for all it missed, and none for others');
        check(slow.screen.number > number + 30, 'it is where the others are');
        check((await b.metrics()).skipped_total >= skipped + 25, 'what it missed is counted');
        same(await b.stop(), 0);
    },
    async slow_viewers_do_not_delay_others({bridge}) {
        const s = session('exec sh ' + script('ticks', 'while :; do date +%s%N; sleep .04; done'));
        const fast = Array.from({length: 47}, () => new Viewer(bridge, s)), late = []; // 50 in all
        for (const v of fast) {
            await v.ready();
            v.seen = () => {
                const last = v.rows().filter(r => /^\d{19}$/.test(r)).at(-1);
                if (last) late.push(Date.now() - Number(last.slice(0, 13)));
            };
        }
        const measure = async () => {
            late.length = 0;
            await sleep(2000);
            return [median(late), late.sort((x, y) => x - y)[Math.floor(late.length * .95)], late.length];
        };
        const last = v => v.rows().filter(r => /^\d{19}$/.test(r)).at(-1) || '0';
        const age = v => Date.now() - Number(last(v).slice(0, 13));
        let good = false;
        for (let i = 0; i < 8 && !good; i++) { // this machine may have other things to do
            const alone = await measure(), link = await slowLink(bridge.port, 2000);
            const behind = new Viewer(bridge, s, {via: link.port}), stopped = new Viewer(bridge, s);
            const silent = new Viewer(bridge, s, {ack: false});
            for (const v of [behind, stopped, silent]) await v.ready();
            stopped.ws._socket.pause(); // reads nothing any more
            const rss = bridge.rss(), beside = await measure(), updates = behind.updates;
            console.log(`     p50, p95 (ms), screens: alone ${alone}; ` +
                `beside a link of 16 kbit/s and stopped ones ${beside}`);
            good = beside[0] < alone[0] + 25 && beside[1] < alone[1] + 60 && beside[2] >= alone[2] * .7;
            check(bridge.rss() - rss < 2000, `memory grew by ${bridge.rss() - rss} KB`);
            check(silent.updates <= 8, `${silent.updates} screens without one ack`);
            await until('the slow one is not far behind',
                () => behind.updates > updates && age(behind) < 2000);
            for (const v of [behind, stopped, silent]) v.ws.terminate();
            link.close();
        }
        check(good, 'nobody is later for it');
        tmux('send-keys', '-t', `=${s}:`, 'C-c');
        await until('the end of it', () => !sessionNames().includes(s));
        for (const v of fast) v.ws.terminate();
    },
    async a_pane_never_waits_for_the_bridge() {
        const done = join(home, 'done'), s = session(), b = await Bridge.start('--session', s);
        const v = new Viewer(b, s, {token: b.write});
        await v.ready();
        b.child.kill('SIGSTOP');
        tmux('send-keys', '-t', `=${s}:`, `seq 1 1000000; touch ${done}; sleep 2; seq 5 1000000000`, 'Enter');
        await until('a million lines, with nobody to read them', () => existsSync(done));
        await sleep(1500); // and longer than tmux waits before it pauses the pane for us
        b.child.kill('SIGCONT');
        const from = v.updates;
        await until('it goes on', () => v.updates > from + 10);
        v.send('k', 'C-c');
        await until('the prompt', () => truth(s).some(r => /^[$#] ?$/.test(r)));
        await shows(v, s);
        same((await b.metrics()).replies_lost_total, 0, 'answers lost');
        same(await b.stop(), 0);
    },
    async any_bytes_at_all_leave_everything_in_step({bridge}) {
        const s = session(), v = new Viewer(bridge, s, {token: bridge.write});
        await v.ready();
        // All byte values, escapes that do not end, what looks like control mode's own lines.
        let noise = '', seed = 7;
        for (let i = 0; i < 60000; i++) {
            seed = (seed * 1103515245 + 12345) % 2147483648;
            const kind = seed >> 8 & 15;
            noise += kind < 12 ? String.fromCharCode(seed >> 16 & 255) : [
                '%end 1 2 3\r\n', '%begin 1 2 1\n', '%exit\n', '\x1b[', '\x1b]52;c;', '\x1bP'
            ][(seed >> 16) % 6];
        }
        const file = script('noise', Buffer.from(noise.replace(/\x05|\x1b\[[^a-z]*c/g, ''), 'latin1'));
        v.send('t', `cat ${file}; printf '\\033\\\\\\033c\\033[2J'; reset -Q; clear; echo th''e end\r`);
        await until('the end', () => v.has('the end'));
        await shows(v, s);
        v.send('t', `clear; printf '\\377\\376 \\303( \\355\\240\\200 \\360\\237\\n'; echo behind\r`);
        await until('what is behind', () => v.has('behind'));
        await shows(v, s);
        same((await bridge.metrics()).replies_lost_total, 0, 'answers lost');
        v.ws.close();
    },
    async a_redraw_storm_is_thirty_screens_a_second({bridge}) {
        const s = session('exec sh ' + script('storm', `printf '\\033[?1049h'
i=0; while :; do i=$((i+1)); printf '\\033[H'; r=0
while [ $r -lt 23 ]; do r=$((r+1))
printf '\\033[%d;1H\\033[3%dm%d row %d\\033[K\\033[0m' $r $((i%8)) $i $r; done
[ $((i%50)) -ne 0 ] || sleep .01; done`),
            80, 24);
        const v = new Viewer(bridge, s);
        await until('the storm', () => v.has('row 23'));
        const from = v.updates, t0 = performance.now();
        await sleep(2000);
        const rate = (v.updates - from) / ((performance.now() - t0) / 1000);
        console.log(`     ${rate.toFixed(1)} screens/s, largest message ${v.largest}`);
        check(rate < 31, `${rate} screens a second`);
        await until('it goes on', () => v.updates > from + 10);
        check(v.largest <= 65536, 'messages are at most 64 KiB');
        const pane = Number(ask(s, '#{pane_pid}'));
        process.kill(pane, 'SIGSTOP'); // one of ours, in our tmux
        await shows(v, s);
        process.kill(pane, 'SIGKILL');
        v.ws.close();
    },
    async the_largest_screens_come_in_small_messages({bridge}) {
        let text = '';
        for (let row = 0; row < 240; row++) {
            for (let col = 0; col < 390; col++)
                text += (col % 3 ? '' : `\x1b[38;5;${(row * 7 + col) % 256}m`) +
                    randomBytes(1).toString('hex')[0];
            text += '\n';
        }
        const file = script('large.txt', text),
              s = session(
                  'exec sh ' + script('large', `cat ${file}; printf 'THE END'; exec sleep 1000`), 400, 250);
        const v = new Viewer(bridge, s);
        await until('the end', () => v.has('THE END'));
        const w = new Viewer(bridge, s);
        await w.ready();
        check(w.bytes > 65536 && w.messages > 1, `${w.bytes} bytes in ${w.messages} messages`);
        check(w.largest <= 65536, `a message of ${w.largest} bytes`);
        same(w.screen.line, v.screen.line);
        await shows(w, s);
        v.ws.close();
        w.ws.close();
    },
    async pings_find_who_has_gone() {
        const s = session('exec cat'), b = await Bridge.start('--session', s, '--ping', '200ms');
        const alive = new Viewer(b, s), gone = new Viewer(b, s);
        await alive.ready();
        await gone.ready();
        gone.ws._socket.pause(); // answers nothing any more
        const t0 = performance.now();
        await until('it is cut off', async () => (await b.metrics()).viewers === 1);
        const took = performance.now() - t0;
        check(took > 200 && took < 10000, `after ${took} ms`); // the default would be 45 s
        check(alive.pings >= 2 && alive.closed === undefined, `${alive.pings} pings for one that answers`);
        gone.ws.terminate();
        same(await b.stop(), 0);
    },
    async scrollback_has_its_numbers_while_output_flows({bridge}) {
        const s = session('exec sh ' + script('count', `tmux -L t set -g history-limit 50000
i=0; while [ $i -lt 1500 ]; do i=$((i+1)); echo $i; [ $((i%8)) -ne 0 ] || sleep .005; done; exec cat`));
        const v = new Viewer(bridge, s);
        await until('it has begun', () => v.rows().some(r => Number(r) > 100));
        let asked = 0, moving = 0;
        while (!v.has('1500')) {
            v.old = [];
            v.oldEnd = undefined;
            v.send('b', [4, ++asked], [4, 0xffffffff], [4, 40]);
            await until('the answer', () => v.oldEnd !== undefined);
            for (const [line, text] of v.old) same(text, String(line + 1), `line ${line}`);
            moving += v.old.length;
        }
        check(moving > 200, `${moving} lines while they moved`);
        v.ws.close();
    },
    async a_recording_plays_back_to_the_same_screen() {
        const s = session(), file = join(home, 'session.cast');
        const b = await Bridge.start('--session', s, '--record', file),
              v = new Viewer(b, s, {token: b.write});
        await v.ready();
        v.send('t', `stty -echo; read secret; stty echo\r`);
        await until('it reads', () => ask(s, '#{pane_current_command}') === 'sh');
        await sleep(100);
        v.send('t', 'open sesame\r');
        v.send('t', `sh ${script('corpus3', CORPUS.replace('exec sleep 1000', ''))}; seq 1 200\r`);
        await until('all of it', () => v.has('200'));
        v.send('t', `sh ${script('corpus4', CORPUS.replace('exec sleep 1000', ''))}\r`);
        await until('all of it', () => v.has('END'));
        tmux('resize-window', '-t', `=${s}:`, '-x', '90', '-y', '26');
        await until('the new size', () => v.screen.cols === 90);
        await shows(v, s);
        await sleep(100);
        const want = tmux('capture-pane', '-p', '-e', '-t', `=${s}:`),
              cursor = ask(s, '#{cursor_x} #{cursor_y}');
        same(await b.stop(), 0);
        same(statSync(file).mode & 0o777, 0o600, 'mode');
        const [head, ...events] = readFileSync(file, 'utf8').trimEnd().split('\n').map(l => JSON.parse(l));
        same([head.version, head.width, head.height], [2, 80, 24], 'head');
        check(Math.abs(head.timestamp - Date.now() / 1000) < 100, 'the time');
        check(events.every((e, i) => (e[1] === 'o' || e[1] === 'r') && (!i || e[0] >= events[i - 1][0])),
            'events');
        same(events.filter(e => e[1] === 'r').map(e => e[2]), ['90x26'], 'sizes');
        check(!readFileSync(file, 'utf8').includes('sesame'), 'what was typed unseen is not in it');
        // A terminal that nobody doubts: tmux.
        const play = script('play', events.filter(e => e[1] === 'o').map(e => e[2]).join(''));
        const p = session(`exec sh -c 'cat ${play}; exec sleep 1000'`, 90, 26);
        await until('it was played', () => ask(p, '#{cursor_x} #{cursor_y}') === cursor &&
            truth(p).some(r => r.startsWith('END')));
        same(tmux('capture-pane', '-p', '-e', '-t', `=${p}:`), want, 'what is played');
        const again =
            spawnSync(bridgePath, ['-L', 't', '--session', s, '--record', file], {env, encoding: 'utf8'});
        same(again.status, 1, 'exit code for a file that is there');
        check(again.stderr.includes(file), again.stderr);
    },
    async exec_has_a_server_of_its_own() {
        const servers = () => execFileSync('sh',
            [
                '-c', `grep -slF TMUX_TMPDIR=${home} /proc/[0-9]*/environ | cut -d/ -f3 | while read p; do
            { tr '\\0' ' ' </proc/$p/cmdline; } 2>/dev/null; echo; done |
            grep -c 'tmux_bridge_[0-9].*new-session' || true`
            ],
            {encoding: 'utf8'}).trim();
        const b = await Bridge.run(['--exec', 'echo "$TERM $COLORTERM"; read x; exit 3'], 1);
        const v = new Viewer(b, 'main');
        await until('what it prints', () => v.has('screen-256color truecolor'));
        same(servers(), '1', 'private servers');
        tmuxAt(`tmux_bridge_${b.child.pid}`, 'send-keys', '-t', '=main:', 'Enter');
        same(await Promise.race([b.exited, sleep(30000)]), 0, 'exit code when the command has ended');
        same(v.overs, [1, 3], 'what the viewer was told');
        await until('the server has gone', () => servers() === '0');
        const c = await Bridge.run(['--exec', 'cat'], 1);
        await new Viewer(c, 'main').ready();
        same(await c.stop(), 0, 'exit code when asked to end');
        await until('the server has gone', () => servers() === '0');
        const d = await Bridge.run(['--exec', 'cat'], 1);
        await new Viewer(d, 'main').ready();
        await sleep(100);
        d.child.kill('SIGKILL');
        await until('the server does not outlive it', () => servers() === '0');
    },
    async options_do_what_they_say({bridge}) {
        const s = session(), token = script('a_token', 'abcdefghij-ABCDEFGHIJ_0123456789\nmore\n');
        const b = await Bridge.run(
            [
                '-S', join(home, `tmux-${process.getuid()}`, 't'), '--tmux', '/usr/bin/tmux', '--session', s,
                '--host', 'term.example', '--host', 'other.example:8443', '--max-viewers', '1', '--interval',
                '250ms', '--token', token
            ],
            1);
        same([new URL(b.urls[0]).host, b.read], ['term.example', 'abcdefghij-ABCDEFGHIJ_0123456789']);
        const links = fd => { // it may be closed by now
            try {
                return readlinkSync(`/proc/${b.child.pid}/fd/${fd}`);
            } catch {
                return '';
            }
        };
        b.port = readdirSync(`/proc/${b.child.pid}/fd`)
                     .map(links)
                     .filter(l => l.startsWith('socket:'))
                     .map(l => portOf(l.slice(8, -1)))
                     .find(p => p);
        for (const [host, want] of [['term.example', 200], ['other.example:8443', 200],
                 ['term.example:1', 403], [`127.0.0.1:${b.port}`, 200], [`localhost:${b.port}`, 200],
                 ['127.0.0.1', 403]])
            same((await b.get('/', {Host: host, Authorization: 'Bearer ' + b.read})).status, want, host);
        const v = new Viewer(b, s), origin = {Origin: 'https://term.example', Host: 'term.example'};
        await v.ready();
        const w = new Viewer(b, s, {headers: origin, wait: false});
        await until('the second is refused', () => w.error);
        check(w.error.includes('503'), w.error);
        tmux('send-keys', '-t', `=${s}:`, 'seq 1 1000000000', 'Enter');
        await until('the flood', () => v.rows().every(r => /^\d*$/.test(r)));
        const from = v.updates, t0 = performance.now();
        await until('screens', () => v.updates >= from + 5);
        const ms = performance.now() - t0;
        check(ms >= 900, `${v.updates - from} screens in ${ms} ms, one in 250 ms`);
        tmux('send-keys', '-t', `=${s}:`, 'C-c');
        v.ws.close();
        same(await b.stop(), 0);
    },
    async every_option_of_help_is_known_and_tested() {
        const run = (...args) => spawnSync(bridgePath, args, {env, encoding: 'utf8', timeout: 30000});
        const help = run('--help'), version = run('--version');
        same([help.status, version.status], [0, 0]);
        check(/^tmux_bridge \d+\.\d+\.\d+\n$/.test(version.stdout), version.stdout);
        const flags = [...new Set(help.stdout.match(/(?<=[ ,])--?[a-zA-Z][a-z-]*/g))];
        check(flags.length >= 18, flags.join(' '));
        const tests = readFileSync(new URL(import.meta.url), 'utf8') +
            readFileSync(new URL('./bridge_lib.mjs', import.meta.url), 'utf8');
        for (const f of flags) check(tests.includes(`'${f}'`), `${f} has a test`);
        check(help.stdout.split('\n').every(l => l.length <= 110), 'lines of --help');
        const short = script('short_token', 'tooshort\n'), odd = script('odd_token', 'abcdefghijklmnop;q\n');
        for (const bad of [['--nothing', 'x'], ['--listen'], ['--interval', '0'], ['--interval', 'x'],
                 ['--viewer-cap', '0'], ['--viewer-cap', '9999G'], ['--max-viewers', '0'],
                 ['--max-viewers', '100001'], ['--input-rate', '0'], ['--ping', 'never'], ['--share', 'some'],
                 ['--share', 'one'], ['--resize'], ['--session', ''], ['--session', 'x'.repeat(256)],
                 ['--token', short], ['--token', odd], ['--token', '/nowhere'], ['--write-token', short],
                 ['--record', '/tmp/x.cast'], ['-L', 'a', '-S', 'b'], ['--exec', 'cat', '--session', 'x'],
                 ['--exec', 'cat', '-L', 'x']]) {
            const r = run(...bad);
            same(r.status, 2, 'exit code of ' + bad.join(' '));
            check(r.stderr.includes(bad[0]) && r.stderr.split('\n').length === 2,
                `${bad.join(' ')}: ${r.stderr}`);
        }
        for (const bad of [['--listen', '127.0.0.1:99999'], ['--listen', 'no.such.host.invalid:1']]) {
            const r = run('-L', 't', ...bad);
            same(r.status, 1, 'exit code of ' + bad.join(' '));
            check(r.stderr.includes(bad[1]), r.stderr);
        }
        const none = run('--tmux', '/nowhere/tmux', '--listen', '127.0.0.1:0');
        same(none.status, 1, 'exit code without a tmux');
        check(none.stderr.includes('/nowhere/tmux') && none.stderr.includes('--tmux'), none.stderr);
        const same_token = script('same_token', '0123456789abcdef0123456789abcdef\n');
        same(run('--token', same_token, '--write-token', same_token).status, 2, 'one token for both');
    },
    async websocket_errors_have_their_codes({bridge}) {
        const s = session('exec cat');
        await new Viewer(bridge, s).ready();
        const send = bytes => new Promise((done, failed) => {
            const [host, port] = bridge.host.split(':'), sock = net.connect(port, host);
            let got = Buffer.alloc(0), open = false;
            sock.on('connect',
                () => sock.write(
                    `GET /ws?session=${s} HTTP/1.1\r\nHost: ${bridge.host}\r\nUpgrade: websocket\r\n` +
                    `Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${
                        randomBytes(16).toString('base64')}\r\n` +
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
                    const len = got[at + 1] === 126 ? got.readUInt16BE(at + 2) : got[at + 1],
                          head = got[at + 1] === 126 ? 4 : 2;
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
        same(await send([...masked(0x02, 0x61), ...masked(0x89, 1), ...masked(0x88, 3, 0xe8)]), 1000,
            'a ping between fragments, and Close');
        same(await send(masked(0x88, 3)), 1002, 'half a code');
        same(await send(masked(0x82, 0x74, 0xff, 0xff, 0xff, 0xff)), 1009, 'a frame of 4 GiB inside');
    },
};

await runAll('bridge', cases);
