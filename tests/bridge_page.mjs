// SPDX-License-Identifier: MIT-0
// The page of tmux_bridge in Chromium, through playwright-core, beside what tmux says. Pictures go to OUT_DIR.
//
//     node tests/bridge_page.mjs BRIDGE NPM_DIR OUT_DIR [name...]
//
// Longer for the soak: FLOOD_SECONDS.
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {
    ask, Bridge, check, CORPUS, env, load, median, outDir, page, runAll, same, script, session, sleep, tmux, truth, until
} from './bridge_lib.mjs';

const playwright = load('playwright-core');
const chromium = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(p => existsSync(p));

async function opened(browser, url, session, options = {}) {
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

const cases = {
    async page_shows_text_and_colours({bridge, browser}) {
        const s = session(`exec sh ${script('corpus2', CORPUS)}`, 100, 30);
        const p = await opened(browser, bridge.urls[0], s);
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
    async keys_paste_and_copy_in_the_page({bridge, browser}) {
        const s = session();
        const p = await opened(browser, bridge.urls[1], s, {permissions: ['clipboard-read', 'clipboard-write']});
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
    async a_flood_leaves_the_browser_alive({bridge, browser}) {
        const s = session();
        const p = await opened(browser, bridge.urls[1], s);
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
    async scrollback_search_and_picker({bridge, browser}) {
        const s = session(`exec sh -c 'seq 1 2000; exec cat'`);
        const p = await opened(browser, bridge.urls[0]);
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
    async page_reconnects_by_itself({bridge, browser}) {
        const s = session('exec cat');
        let b = await Bridge.start('--session', s);
        const p = await opened(browser, b.urls[1]);
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

await runAll('bridge_page', cases, async common => {
    if (!playwright) return 'needs npm playwright-core (make deps)';
    if (!chromium) return 'needs chromium (make deps)';
    common.browser = await playwright.chromium.launch({executablePath: chromium, args: ['--no-sandbox'], env});
    return '';
});
