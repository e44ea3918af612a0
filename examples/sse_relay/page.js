// SPDX-License-Identifier: MIT-0
'use strict';
// What /streams and /buffer-pool-metrics say, once a second while the page is seen.

const $ = (id) => document.getElementById(id);
const units = (n, step, names) => {
    let i = 0;
    for (; n >= step && i < names.length - 1; i++) n /= step;
    return `${i && n < 100 ? n.toFixed(1) : Math.round(n)}${names[i]}`;
};
const bytes = (n) => units(n, 1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB']);
const count = (n) => units(n, 1000, ['', 'k', 'M', 'G']);
const time = (ms) => (ms < 1000 ? `${ms} ms` : ms < 120000 ? `${(ms / 1000).toFixed(1)} s` : ms < 7200000 ? `${Math.round(ms / 60000)} min` : `${Math.round(ms / 3600000)} h`);

// Rows are used again, and only what differs is touched: a selection stays.
function fill(body, rows, marks) {
    while (body.rows.length > rows.length) body.deleteRow(-1);
    rows.forEach((cells, r) => {
        const row = body.rows[r] || body.insertRow();
        row.className = marks && marks[r] ? 'slow' : '';
        cells.forEach((text, c) => {
            const cell = row.cells[c] || row.insertCell();
            if (cell.textContent !== String(text)) cell.textContent = text;
        });
    });
}

function totals(list) {
    const dl = $('totals');
    list.forEach(([name, value], i) => {
        let box = dl.children[i];
        if (!box) {
            box = dl.appendChild(document.createElement('div'));
            box.appendChild(document.createElement('dt')).textContent = name;
            box.appendChild(document.createElement('dd'));
        }
        if (box.lastChild.textContent !== value) box.lastChild.textContent = value;
    });
}

let before = null;

function show(now, pool) {
    const s = before ? Math.max(1, now.uptimeMs - before.uptimeMs) / 1000 : 1, was = before || now;
    totals([
        ['clients', count(now.clients)],
        ['streams', count(now.total)],
        ['events a second', count((now.events - was.events) / s)],
        ['sent a second', bytes((now.bytesSent - was.bytesSent) / s)],
        ['waiting for clients', bytes(now.streams.reduce((n, one) => n + one.lagBytes, 0))],
        ['held up, times', count(now.backpressure)],
        ['pool in use', `${count(pool.totalInUse)} of ${count(pool.totalBuffers)}`],
        ['pool reuse', `${(pool.reusePermille / 10).toFixed(1)} %`],
        ['pool memory', bytes(pool.totalBytes)],
    ]);
    fill($('streams'), now.streams.map((one) => [
        one.id, `${one.method} ${one.target}${one.status ? ` ${one.status}` : ''}`, time(one.durationMs), count(one.eventCount),
        bytes(one.bytes), `${bytes(one.bytesPerSecond)}/s`, one.lagEvents ? `${bytes(one.lagBytes)}, ${count(one.lagEvents)} ev` : bytes(one.lagBytes),
        time(one.idleMs), one.backpressureEvents ? `${count(one.backpressureEvents)} x, ${time(one.backpressureMs)}` : '',
    ]), now.streams.map((one) => one.lagBytes > 65536));
    $('few').hidden = now.streams.length === now.total;
    $('few').textContent = `${now.streams.length} of ${now.total} are shown.`;
    fill($('tiers'), pool.tiers.map((t) => [
        t.size ? bytes(t.size) : 'any size', count(t.inUse), count(t.buffers - t.inUse), count(t.highWater), count(t.allocated),
        `${(t.reusePermille / 10).toFixed(1)} %`,
    ]));
    before = now;
}

async function look() {
    if (!document.hidden) {
        try {
            const [now, pool] = await Promise.all(['streams', 'buffer-pool-metrics'].map(async (path) => {
                const answer = await fetch(path, { cache: 'no-store' });
                if (!answer.ok) throw new Error(`${answer.status}`);
                return answer.json();
            }));
            show(now, pool);
            $('state').className = 'live';
            $('state').textContent = `up ${time(now.uptimeMs)}`;
        } catch (error) {
            before = null;
            $('state').className = '';
            $('state').textContent = `no answer (${error.message}); trying again`;
        }
    }
    setTimeout(look, 1000);
}

document.addEventListener('visibilitychange', () => { before = null; });
look();
