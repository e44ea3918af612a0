// SPDX-License-Identifier: MIT-0
// sse_relay beside nginx (proxy_buffering off), nginx with nchan, and a relay written with node's http: as
// a proxy, CPU per event and the time it adds; as a fan-out, CPU per delivered event, events a second, memory
// per subscriber. Servers are measured in turn, in several rounds, and the best round of each counts: nothing
// else on this machine can make one better. CPU is that of the server's process, from /proc; the load comes
// from bench/relay_load.c, and so do servers that make the system calls nobody can do without and do nothing
// else: what they cost is the bound.
//
//     node bench/relay.mjs SSE_RELAY RELAY_LOAD [proxy|fanout]     ROUNDS=3 SUBSCRIBERS=1000
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sample } from './samples.mjs';

const [relayPath, loadPath, only] = process.argv.slice(2);
const ROUNDS = Number(process.env.ROUNDS || 3), SUBSCRIBERS = Number(process.env.SUBSCRIBERS || 1000);

// ---- the relay in node, in a process of its own
if (relayPath === '--node-proxy') {
    const agent = new http.Agent({ keepAlive: true });
    http.createServer((q, s) => {
        const { url: path, method, headers } = q;
        const to = { host: '127.0.0.1', port: loadPath, path, method, headers, agent };
        q.pipe(http.request(to, (a) => {
            s.writeHead(a.statusCode, a.headers);
            s.flushHeaders();
            a.pipe(s);
        }));
    }).listen(Number(only), '127.0.0.1');
} else if (relayPath === '--node-fanout') {
    const all = new Set();
    http.createServer((q, s) => {
        if (q.method === 'POST') {
            let body = '';
            q.on('data', (d) => { body += d; });
            q.on('end', () => {
                for (const one of all) one.write(`data: ${body}\n\n`);
                s.end('{}');
            });
            return;
        }
        s.writeHead(200, { 'Content-Type': 'text/event-stream' });
        s.write('retry: 1000\n\n');
        all.add(s);
        s.on('close', () => all.delete(s));
    }).listen(Number(only), '127.0.0.1');
} else {
    await main();
}

async function main() {
    const dir = mkdtempSync(join(tmpdir(), 'bench-'));
    const freePort = async () => {
        const s = net.createServer().listen(0, '127.0.0.1');
        await once(s, 'listening');
        const { port } = s.address();
        await new Promise((yes) => s.close(yes));
        return port;
    };
    const listens = async (port) => {
        for (let i = 0; i < 500; i++) {
            const s = net.connect(port, '127.0.0.1');
            const up = await new Promise((yes) => {
                s.on('connect', () => yes(true)).on('error', () => yes(false));
            });
            s.destroy();
            if (up) return;
            await new Promise((yes) => setTimeout(yes, 20));
        }
        throw new Error(`nothing listens at ${port}`);
    };
    const servers = [];
    const start = async (name, port, command, args, env = {}) => {
        const child = spawn(command, args, { stdio: 'ignore', env: { ...process.env, ...env } });
        const s = { name, port, child, pid: child.pid };
        servers.push(s);
        await listens(port);
        return s;
    };
    const nginx = async (name, port, http, load = '') => {
        const conf = join(dir, `${name.replace(/\W/g, '_')}.conf`);
        writeFileSync(conf, `${load} daemon off; worker_processes 1;
pid ${conf}.pid; error_log ${conf}.log crit; worker_rlimit_nofile 20000; events { worker_connections 10000; }
http { access_log off; client_body_temp_path ${dir}; proxy_temp_path ${dir}; fastcgi_temp_path ${dir};
uwsgi_temp_path ${dir}; scgi_temp_path ${dir}; keepalive_requests 1000000; ${http} }`);
        const s = await start(name, port, 'nginx', ['-p', dir, '-c', conf]);
        const parent = (pid) => {
            try {
                return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')[1]);
            } catch {
                return 0; // it has ended meanwhile
            }
        };
        const worker = () => readdirSync('/proc').find((p) => /^\d+$/.test(p) && parent(p) === s.child.pid);
        while (!worker()) await new Promise((yes) => setTimeout(yes, 20));
        s.pid = Number(worker());
        return s;
    };
    const load = (...args) => {
        const r = spawnSync(loadPath, args.map(String), { encoding: 'utf8', timeout: 120000 });
        if (r.status !== 0) throw new Error(`relay_load ${args.join(' ')}: ${r.stderr}`);
        return JSON.parse(r.stdout);
    };
    // The better of two results, field by field: what could disturb it only ever makes it worse. Memory is
    // that of the first round: later ones find it there.
    const more = /deliveredPerSecond|busy|kib/;
    const better = (a, b) => Object.fromEntries(Object.keys(b).map((k) =>
        [k, !a ? b[k] : more.test(k) ? Math.max(a[k], b[k]) : Math.min(a[k], b[k])]));
    const role = (s) => (s.name === 'sse_relay' ? 'ours' : s.bound ? 'bound' : 'rival');
    // figures: of each, how it is called, its unit, what is asked of it beside nginx, and where it stands in
    // a result.
    const rounds = (list, measure, what, figures) => {
        const best = new Map();
        for (let i = 0; i < ROUNDS; i++) {
            for (const s of list) {
                const result = measure(s);
                for (const [name, unit, asked, field] of figures) {
                    sample('relay', `${what}: ${name}`, s.name, role(s), unit,
                        s.name.startsWith('nginx') ? asked : '', result[field]);
                }
                best.set(s.name, better(best.get(s.name), result));
            }
        }
        return best;
    };
    const hasNginx = !spawnSync('nginx', ['-v']).error;
    const nchan = '/usr/lib/nginx/modules/ngx_nchan_module.so';
    const me = fileURLToPath(import.meta.url);
    const uring = { STREAM_IO_BACKEND: 'io_uring,epoll' };
    const cells = (row) => row.map((x) => String(x).padStart(14)).join(' ');
    const print = (name, row) => console.log(`  ${name.padEnd(20)}${cells(row)}`);
    // Ours as a share of those it is measured by.
    const shares = (list) => {
        const ours = list.find((s) => s.name === 'sse_relay').row;
        for (const s of list) {
            if (!s.bound && !s.name.startsWith('nginx')) continue;
            print(`of ${s.name}`, ours.map((x, i) => (s.row[i] > 0.1 ? (x / s.row[i]).toFixed(2) : '-')));
        }
    };

    const proxies = async () => {
        const up = await freePort(), ports = [];
        for (let i = 0; i < 5; i++) ports.push(await freePort());
        const list = [{ name: 'nobody between', port: up, pid: process.pid, bound: true }];
        const ours = ['--upstream', `http://127.0.0.1:${up}`, '--access-log', 'off'];
        const at = (port) => ['--listen', `127.0.0.1:${port}`];
        list.push(await start('sse_relay', ports[0], relayPath, [...at(ports[0]), ...ours]));
        list.push(await start('sse_relay, io_uring', ports[1], relayPath, [...at(ports[1]), ...ours], uring));
        list.push({ ...await start('only receive, send', ports[2], loadPath, ['bare-proxy', ports[2], up]),
            bound: true });
        if (hasNginx) {
            list.push(await nginx('nginx', ports[3], `upstream u { server 127.0.0.1:${up}; keepalive 64; }
server { listen 127.0.0.1:${ports[3]}; location / { proxy_pass http://u; proxy_http_version 1.1;
proxy_set_header Connection ""; proxy_buffering off; } }`));
        } else {
            console.log('  nginx: not found');
        }
        list.push(await start('node http', ports[4], process.execPath, [me, '--node-proxy', up, ports[4]]));
        for (const [streams, rate] of [[50, 5000], [500, 20000]]) {
            const best = rounds(list, (s) => load('proxy', s.pid, s.port, up, streams, rate, 2),
                `proxy, ${streams} streams, ${rate} events a second`,
                [['CPU an event', 'ns', '>= 1.43 x', 'cpuPerEventNs'], ['p99', 'us', '', 'p99us']]);
            const direct = best.get('nobody between');
            console.log(`proxy, ${streams} streams, ${rate} events a second in all`);
            print('', ['CPU us/event', 'added p50 us', 'added p99 us']);
            for (const s of list.slice(1)) {
                const b = best.get(s.name);
                s.row = [b.cpuPerEventNs / 1e3, b.p50us - direct.p50us, b.p99us - direct.p99us];
                print(s.name, s.row.map((x) => x.toFixed(2)));
            }
            shares(list.slice(1));
        }
    };

    const fanouts = async () => {
        const ports = [], list = [];
        for (let i = 0; i < 5; i++) ports.push(await freePort());
        // Its source is one that never says anything.
        const dumb = net.createServer((s) => s.on('error', () => {})).listen(0, '127.0.0.1');
        await once(dumb, 'listening');
        const ours = ['--fanout', '--access-log', 'off', '--client-bytes', '4M', '--token', 't',
            '--upstream', `http://127.0.0.1:${dumb.address().port}`, '--header-timeout', '1h'];
        const at = (port) => ['--listen', `127.0.0.1:${port}`];
        const args = ['/events', '/publish', 'Authorization: Bearer t'];
        list.push({ ...await start('sse_relay', ports[0], relayPath, [...at(ports[0]), ...ours]), args });
        list.push({ args,
            ...await start('sse_relay, io_uring', ports[1], relayPath, [...at(ports[1]), ...ours], uring) });
        list.push({ args, bound: true,
            ...await start('only send', ports[2], loadPath, ['bare-fanout', ports[2]]) });
        if (hasNginx && existsSync(nchan)) {
            const s = await nginx('nginx + nchan', ports[3], `nchan_shared_memory_size 256m;
server { listen 127.0.0.1:${ports[3]};
location /sub { nchan_subscriber eventsource; nchan_channel_id t; nchan_subscriber_first_message newest; }
location /pub { nchan_publisher http; nchan_channel_id t; nchan_message_buffer_length 1024;
nchan_message_timeout 1h; } }`, `load_module ${nchan};`);
            list.push({ ...s, args: ['/sub', '/pub', 'Accept: text/json'] });
        } else {
            console.log('  nchan: not found');
        }
        list.push({ args: ['/', '/', ''],
            ...await start('node http', ports[4], process.execPath, [me, '--node-fanout', 0, ports[4]]) });
        let first = true; // later there is memory that was not given back, for the next subscribers
        for (const [events, size, publishers] of [[60, 100, 1], [160, 100, 8], [64, 4000, 8]]) {
            const best = rounds(list,
                (s) => load('fanout', s.pid, s.port, ...s.args, SUBSCRIBERS, events, size, publishers),
                `fan-out to ${SUBSCRIBERS}, ${size} bytes, ${publishers} publishing`,
                [['CPU a delivered event', 'ns', '>= 2 x', 'cpuPerDeliveredNs'],
                    ['delivered', '+events/s', '>= 2 x', 'deliveredPerSecond']]);
            const who = publishers === 1 ? 'one publisher, who waits' : `${publishers} publishers at once`;
            console.log(`fan-out to ${SUBSCRIBERS}, ${size} bytes, ${who}`);
            print('', ['CPU us/deliv.', 'delivered/s', ...(first ? ['KiB/subscriber'] : [])]);
            for (const s of list) {
                const b = best.get(s.name);
                s.row = [b.cpuPerDeliveredNs / 1e3, b.deliveredPerSecond];
                if (first) s.row.push(b.kibPerSubscriber);
                print(s.name, s.row.map((x, i) => x.toFixed(i === 1 ? 0 : 2)));
            }
            shares(list);
            first = false;
        }
        dumb.close();
    };

    try {
        if (only !== 'fanout') await proxies();
        if (only !== 'proxy') await fanouts();
    } finally {
        await Promise.all(servers.map((s) => {
            const end = once(s.child, 'exit');
            if (s.child.exitCode !== null) return null; // it has failed: the load says so
            s.child.kill('SIGTERM');
            s.child.kill('SIGTERM');
            return end;
        }));
        rmSync(dir, { recursive: true, force: true });
    }
    process.exit(0);
}
