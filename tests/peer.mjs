// SPDX-License-Identifier: MIT-0
// Our decoders beside those that others use: eventsource-parser (what npm's eventsource client reads with), node's own
// HTTP parser (llhttp), and npm's ws. Each gets the same made-up input; what both take, they must take alike, and
// what is taken by one alone must be on the list of known differences below.
//
//     node tests/peer.mjs PEER [NPM]      PEER: tests/peer.c, built; NPM: a directory with node_modules
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { createServer, METHODS } from 'node:http';
import { connect } from 'node:net';
import { once } from 'node:events';
import { resolve, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [peer, npm] = process.argv.slice(2);
const scale = Number(process.env.TEST_SCALE || 100) / 100;

let seed = 0x2545f491n; // xorshift64*, so that every run is the same
function random(n) {
    seed ^= seed >> 12n;
    seed = (seed ^ (seed << 25n)) & 0xffffffffffffffffn;
    seed ^= seed >> 27n;
    return Number(((seed * 2685821657736338717n) & 0xffffffffffffffffn) % BigInt(n));
}
const pick = (list) => list[random(list.length)];

function ours(type, cases) {
    const parts = [];
    for (const c of cases) {
        const head = Buffer.alloc(6);
        head.write(type, 0, 'latin1');
        head.writeUInt32BE(c.length + 1, 1);
        head[5] = random(4) ? random(256) : random(3); // how it is cut
        parts.push(head, c);
    }
    const run = spawnSync(peer, { input: Buffer.concat(parts), maxBuffer: 1 << 30 });
    if (run.status !== 0) throw new Error(`${peer} ended with ${run.status}`);
    return run.stdout.toString().trim().split('\n').map((line) => JSON.parse(line));
}

async function load(name) {
    try {
        if (!npm) return null;
        const require = createRequire(pathToFileURL(join(resolve(npm), 'x.js')));
        return await import(pathToFileURL(require.resolve(name)));
    } catch {
        return null;
    }
}

function verdict(name, count, differences) {
    for (const d of differences.slice(0, 5)) console.log(`  ${d}`);
    if (differences.length) console.log(`FAIL peer.${name}: ${differences.length} of ${count} differ`);
    else console.log(`ok   peer.${name} (${count} cases)`);
}

// ---- server-sent events
async function sse() {
    const module = await load('eventsource-parser');
    if (!module) return console.log('skip peer.sse: needs npm eventsource-parser (make deps)');
    const parts = ['data', 'data:', 'data: ', 'event: ', 'event:', 'id:', 'id: ', 'retry: ', '\n', '\n', '\n\n', '\r', '\r\n',
        '\r\n\r\n', ':', ' ', 'x', '7', '\0', '\ufeff', 'some text', 'data: x\n\n', '\r\r', 'd', '\u2028', 'é', '💩', 'retry: 5\n'];
    const cases = [];
    for (let i = 0; i < 40000 * scale; i++) {
        let text = random(8) ? '' : '\ufeff';
        for (let n = 1 + random(14); n; n--) text += pick(parts);
        cases.push(Buffer.from(text));
    }
    const got = ours('S', cases), differences = [];
    const hex = (s) => Buffer.from(s).toString('hex');
    cases.forEach((input, i) => {
        const want = [];
        let retry = -1;
        const parser = module.createParser({
            onEvent: (e) => want.push([hex(e.event || 'message'), hex(e.data), e.id === undefined ? null : hex(e.id)]),
            onRetry: (ms) => (retry = ms),
        });
        parser.feed(new TextDecoder('utf-8', { ignoreBOM: true }).decode(input)); // it drops the mark itself
        want.push(['retry', retry]);
        if (JSON.stringify(want) !== JSON.stringify(got[i]))
            differences.push(`${JSON.stringify(input.toString())}: ${JSON.stringify(got[i])}, not ${JSON.stringify(want)}`);
    });
    verdict('sse', cases.length, differences);
}

// ---- HTTP requests
async function http() {
    const lines = ['Host: a', 'X: y', 'Content-Length: 3', 'Content-Length: 0', 'Content-Length: 3', 'Transfer-Encoding: chunked',
        'Transfer-Encoding: chunked', 'Connection: keep-alive', 'Transfer-Encoding: x', 'Content-Length: +3', 'Content-Length: 3, 3', 'X : y',
        ' folded', 'Transfer-Encoding : chunked', 'Connection: X', 'X:\tz \t', 'Content-Length:3', 'transfer-encoding:CHUNKED', 'A: \x80', 'A: \x00', 'A: b\rc'];
    const bodies = ['', 'abc', '3\r\nabc\r\n0\r\n\r\n', '1;x=y\r\na\r\n02\r\nbc\r\n0\r\n\r\n', '0\r\n\r\n', '0\r\nT: u\r\n\r\n', '3 \r\nabc\r\n0\r\n\r\n',
        '0x3\r\nabc\r\n0\r\n\r\n', '3\nabc\r\n0\r\n\r\n', '3\r\nabcd\r\n0\r\n\r\n', '3\r\nabc0\r\n\r\n', '3;\r\nabc\r\n0\r\n\r\n', '+3\r\nabc\r\n0\r\n\r\n', '3\r\nabc\r\n0\r\n'];
    const firsts = ['POST / HTTP/1.1', 'GET /a?b HTTP/1.1', 'PUT /x HTTP/1.1', 'POST /p HTTP/1.0', 'GET  / HTTP/1.1', 'GET / HTTP/1.1 ', 'GET http://a/ HTTP/1.1', 'DELETE /d HTTP/1.2'];
    const cases = [];
    for (let i = 0; i < 1500 * scale; i++) {
        let text = '';
        for (let n = 1 + random(2); n; n--) {
            text += (random(3) ? 'POST / HTTP/1.1' : pick(firsts)) + '\r\n' + (random(8) ? 'Host: a\r\n' : '');
            for (let k = random(4); k; k--) text += (random(3) ? pick(lines.slice(0, 8)) : pick(lines)) + (random(30) ? '\r\n' : '\n');
            text += (random(30) ? '\r\n' : '\n') + (random(3) ? '' : pick(bodies));
        }
        cases.push(Buffer.from(text, 'latin1'));
    }
    const got = ours('H', cases), differences = [];
    // One connection a case. What node takes is noted as [method, target, body], in order; the body is null when
    // node found a fault behind it before it had handed it out.
    let seen;
    const server = createServer((request, response) => {
        const chunks = [], one = [Buffer.from(request.method).toString('hex'), Buffer.from(request.url, 'latin1').toString('hex'), null];
        seen.taken.push(one);
        request.on('data', (c) => chunks.push(c));
        request.on('error', () => {});
        request.on('end', () => {
            if (request.complete) one[2] = Buffer.concat(chunks).toString('hex');
            response.end();
        });
    });
    server.on('clientError', (_, socket) => {
        seen.fault = true;
        socket.destroy();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    let both = 0, alone = 0;
    for (let i = 0; i < cases.length; i++) {
        seen = { taken: [], fault: false };
        const theirs = seen, socket = connect(server.address().port, '127.0.0.1');
        socket.on('error', () => {});
        socket.resume();
        socket.end(cases[i]);
        await once(socket, 'close');
        // Every message that we take, node takes in the same way. That it takes more is what strictness is for.
        const mine = [];
        for (const x of got[i]) {
            if (x[0] === 'head') mine.push([x[1], x[2], null]);
            if (x[0] === 'body') mine[mine.length - 1][2] = x[1];
        }
        if (mine.length && mine[mine.length - 1][2] === null) mine.pop();
        const alike = mine.every((m, k) => {
            const t = theirs.taken[k];
            if (!t) return theirs.fault; // a fault further on, found before this was handed out
            return t[0] === m[0] && t[1] === m[1] && (t[2] === m[2] || (t[2] === null && theirs.fault));
        });
        // And what ended well with us must have ended well there; node calls it a fault when something follows a
        // message that was the connection's last, which we step over.
        const last = got[i].some((x) => x[0] === 'head' && !x[3]);
        const known = mine.every((m) => METHODS.includes(Buffer.from(m[0], 'hex').toString())); // all that node knows
        const clean = known && !last && !got[i].some((x) => x[0] === 'error');
        if (!alike || (clean && theirs.fault))
            differences.push(`${JSON.stringify(cases[i].toString('latin1'))}: ${JSON.stringify(got[i])}, not ${JSON.stringify(theirs)}`);
        else if (mine.length) both++;
        else if (theirs.taken.some((t) => t[2] !== null)) alone++;
    }
    server.close();
    if (both < cases.length / 20) differences.push(`only ${both} taken by both`);
    console.log(`  http: ${both} cases with messages that both take, ${alone} that only node takes`);
    verdict('http', cases.length, differences);
}

// ---- WebSocket frames
async function websocket() {
    const module = await load('ws');
    const Receiver = module && (module.Receiver || module.default?.Receiver);
    if (!Receiver) return console.log('skip peer.websocket: needs npm ws (make deps)');
    const firsts = [0x81, 0x01, 0x82, 0x02, 0x80, 0x00, 0x89, 0x8a, 0x81, 0x82, 0x88, 0x01, 0x80];
    const texts = ['', 'a', 'abc', 'é', '💩', '\u2028'].map((t) => Buffer.from(t)).concat([Buffer.from([0xc3]), Buffer.from([0xa9]), Buffer.from([0xff])]);
    const closes = ['', '03e8', '0fa0627965', '03ed', '03', '03e8ff', '03ef', '0bb8'].map((t) => Buffer.from(t, 'hex'));
    for (const role of ['c', 's']) {
        const cases = [], differences = [];
        for (let i = 0; i < 10000 * scale; i++) {
            const parts = [];
            for (let n = 1 + random(6); n; n--) {
                const first = random(60) ? pick(firsts) : random(256);
                const payload = Buffer.from((first & 15) === 8 ? pick(closes) : random(20) ? pick(texts) : Buffer.alloc(random(400), 'x'));
                const masked = (role === 's') !== (random(80) === 0), length = payload.length;
                const head = length < 126 ? [first, length] : [first, 126, length >> 8, length & 255];
                if (masked) {
                    const mask = [random(256), random(256), random(256), random(256)];
                    head[1] |= 0x80;
                    head.push(...mask);
                    for (let k = 0; k < length; k++) payload[k] ^= mask[k % 4];
                }
                parts.push(Buffer.from(head), payload);
            }
            cases.push(Buffer.concat(parts));
        }
        const got = ours(role, cases);
        for (let i = 0; i < cases.length; i++) {
            const want = [];
            const receiver = new Receiver({ isServer: role === 's', allowSynchronousEvents: true });
            let ended = false;
            receiver.on('message', (data, binary) => want.push([binary ? 'binary' : 'text', data.toString('hex')]));
            receiver.on('ping', (data) => want.push(['ping', data.toString('hex')]));
            receiver.on('pong', (data) => want.push(['pong', data.toString('hex')]));
            receiver.on('conclude', (code) => want.push(['close', code]));
            receiver.on('error', (error) => {
                const code = Object.getOwnPropertySymbols(error).map((s) => error[s]).find((c) => typeof c === 'number');
                want.push(['error', code ?? (error.code === 'WS_ERR_INVALID_UTF8' ? 1007 : 1002)]);
                ended = true;
            });
            receiver.write(cases[i]);
            await new Promise((done) => setImmediate(done));
            // An input that ends in the middle is 1006 to us, and silence to ws. A text that is wrong before its
            // last frame is an error to us at once, and to ws when the message is whole: if it never is, or
            // another fault comes first, the two say something else, and both nothing after it.
            const mine = got[i].filter((x) => x[0] !== 'retry' && !(x[0] === 'error' && x[1] === 1006));
            const early = mine.length && mine[mine.length - 1][1] === 1007 && mine[mine.length - 1][0] === 'error';
            let a = mine, b = want;
            if (early) {
                a = mine.slice(0, -1);
                b = want.slice(0, a.length);
                if (want.slice(a.length).some((x) => x[0] === 'text')) b = want; // it must not be taken
            }
            if (JSON.stringify(a) !== JSON.stringify(b))
                differences.push(`${cases[i].toString('hex')}: ${JSON.stringify(mine)}, not ${JSON.stringify(want)} ${ended}`);
        }
        verdict(role === 'c' ? 'websocket-client' : 'websocket-server', cases.length, differences);
    }
}

await sse();
await http();
await websocket();
