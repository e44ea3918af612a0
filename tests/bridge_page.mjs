// SPDX-License-Identifier: MIT-0
// The page of tmux_bridge in Chromium, through playwright-core, beside what tmux says. Pictures go to
// OUT_DIR.
//
//     node tests/bridge_page.mjs BRIDGE NPM_DIR OUT_DIR [name...]
//
// Longer for the soak: FLOOD_SECONDS.
import {spawnSync} from 'node:child_process';
import {existsSync} from 'node:fs';
import {join} from 'node:path';

import {
    ask, Bridge, check, CORPUS, env, load, outDir, page, runAll, same, script, session, sleep, tmux, truth,
    until
} from './bridge_lib.mjs';

const playwright = load('playwright-core');
const chromium =
    ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(p => existsSync(p));

async function opened(browser, url, session, options = {}) {
    const context =
        await browser.newContext({viewport: {width: 1100, height: 700}, colorScheme: 'dark', ...options});
    const p = await context.newPage();
    p.problems = [];
    p.on('pageerror', e => p.problems.push(String(e)));
    p.on('console', m => m.type() === 'error' && p.problems.push(m.text()));
    if (session) { // with the cookie that the token would become
        const {origin, port, searchParams} = new URL(url);
        const name = 'tmux_bridge_' + port, value = searchParams.get('token');
        await context.addCookies([{name, value, url: origin, sameSite: 'Strict'}]);
        await p.goto(`${origin}/#${session}`);
        await p.waitForSelector('#state.live');
    } else {
        await p.goto(url);
    }
    return p;
}
const pageRows = p =>
    p.evaluate(() => [...document.querySelectorAll('#screen .row')].map(r => r.textContent.trimEnd()));
const pageShows = async (p, s) => {
    let got, want;
    await until('the page shows it', async () => {
        got = await pageRows(p);
        want = truth(s).map(r => r.trimEnd());
        return JSON.stringify(got) === JSON.stringify(want);
    }).catch(() => same(got, want, 'page'));
};
const picture = (p, name) => p.screenshot({path: join(outDir, name + '.png')});

// ---- cell by cell, beside tmux's own words ----------------------------------------------------------------

const rgb = hex => `rgb(${[1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16)).join(', ')})`;
const FG = rgb('#e4e6eb'), BG = rgb('#16181d'), CLEAR = 'rgba(0, 0, 0, 0)';
function indexed(i) { // xterm's 256 colours; the first 16 are the page's own
    if (i < 16) return rgb(page.paletteColour(i, 'dark'));
    const cube = [0, 95, 135, 175, 215, 255], n = i - 16;
    if (i > 231) return `rgb(${Array(3).fill(8 + 10 * (i - 232)).join(', ')})`;
    return `rgb(${[cube[Math.floor(n / 36)], cube[Math.floor(n / 6) % 6], cube[n % 6]].join(', ')})`;
}
// A second reading of SGR, which shares nothing with the tool's: rows of [character, style].
function ansiRows(capture) {
    const ACS = {
        j: '\u2518',
        k: '\u2510',
        l: '\u250c',
        m: '\u2514',
        n: '\u253c',
        q: '\u2500',
        t: '\u251c',
        u: '\u2524',
        v: '\u2534',
        w: '\u252c',
        x: '\u2502',
        a: '\u2592',
        '~': '\u00b7'
    };
    let s = {}, lines = false;
    return capture.split('\n').slice(0, -1).map(line => {
        const row = [];
        for (const m of line.matchAll(/\x1b\[([\d;:]*)m|\x0e|\x0f|([^\x1b])/gsu)) {
            if (m[0] === '\x0e' || m[0] === '\x0f') lines = m[0] === '\x0e';
            else if (m[1] !== undefined) s = sgr(s, m[1]);
            else for (const c of lines && ACS[m[2]] || m[2]) row.push([c, look(s)]);
        }
        return trimmed(row);
    });
}
function sgr(before, text) {
    const s = {...before}, all = text.split(';');
    for (let i = 0; i < all.length; i++) {
        const [v, sub] = all[i].split(':').map(Number);
        const colour = () => {
            const kind = all[++i];
            if (kind === '5') return indexed(Number(all[++i]));
            return `rgb(${[all[++i], all[++i], all[++i]].join(', ')})`;
        };
        if (!v) for (const k of Object.keys(s)) delete s[k];
        else if (v === 1) s.bold = true;
        else if (v === 2) s.dim = true;
        else if (v === 3) s.italic = true;
        else if (v === 4) s.under = sub !== 0;
        else if (v === 5 || v === 6) continue;
        else if (v === 7) s.reverse = true;
        else if (v === 8) s.hidden = true;
        else if (v === 9) s.strike = true;
        else if (v >= 30 && v < 38) s.fg = v - 30;
        else if (v === 38) s.fg = colour();
        else if (v === 39) delete s.fg;
        else if (v >= 40 && v < 48) s.bg = v - 40;
        else if (v === 48) s.bg = colour();
        else if (v === 49) delete s.bg;
        else if (v === 58) colour();
        else if (v >= 90 && v < 98) s.fg = v - 82;
        else if (v >= 100 && v < 108) s.bg = v - 92;
        else throw new Error('SGR ' + all[i]);
    }
    return s;
}
function look(s) {
    const of = c => typeof c === 'number' ? indexed(c) : c;
    let fg = s.fg, bg = of(s.bg) || CLEAR;
    if (s.bold && typeof fg === 'number' && fg < 8) fg += 8; // bold is bright
    fg = of(fg) || FG;
    if (s.bold && s.fg !== undefined) { // 38;5;1 is tmux's other way to say 31
        const low = [0, 1, 2, 3, 4, 5, 6, 7].find(i => indexed(i) === fg);
        if (low !== undefined) fg = indexed(low + 8);
    }
    if (s.reverse) [fg, bg] = [bg === CLEAR ? BG : bg, fg];
    if (s.hidden) fg = CLEAR;
    else if (s.dim) fg = 'dim';
    return [fg, bg, s.bold ? '700' : '400', s.italic ? 'italic' : 'normal',
        [s.under && 'underline', s.strike && 'line-through'].filter(x => x).join(' ') || 'none'].join('|');
}
const PLAIN = look({});
function trimmed(row) {
    while (row.length && row.at(-1)[0] === ' ' && row.at(-1)[1].split('|')[1] === CLEAR &&
        row.at(-1)[1].endsWith('none')) row.pop();
    // The colour of what shows nothing is nobody's business.
    return row.map(([c, how]) => [c, c === ' ' ? how.replace(/^[^|]*\|([^|]*)\|.*\|/, '$1|') : how]);
}
const pageCells = p => p.evaluate(() => [...document.querySelectorAll('#screen .row')].map(row => {
    const cells = [];
    for (const span of row.children) {
        const c = getComputedStyle(span), fg = c.color.startsWith('color(') ? 'dim' : c.color;
        const how = [fg, c.backgroundColor, c.fontWeight, c.fontStyle, c.textDecorationLine].join('|');
        for (const char of span.textContent) cells.push([char, how]);
    }
    return cells;
}));
async function equals(p, s, what) {
    let got, want;
    await until('cell by cell', async () => {
        want = ansiRows(tmux('capture-pane', '-p', '-e', '-N', '-t', `=${s}:`));
        got = (await pageCells(p)).map(trimmed);
        return JSON.stringify(got) === JSON.stringify(want);
    }).catch(() => {
        const row = want.findIndex((r, i) => JSON.stringify(r) !== JSON.stringify(got[i]));
        const col =
            row < 0 ? -1 : want[row].findIndex((c, i) => JSON.stringify(c) !== JSON.stringify(got[row][i]));
        same(row < 0 ? got.length : got[row].slice(Math.max(0, col)), row < 0 ? want.length :
            want[row].slice(Math.max(0, col)), `${what}: row ${row} from column ${col}`);
    });
    check(want.flat().length > 20, `${what}: there is something on it`);
}
const has = program => spawnSync('sh', ['-c', 'command -v ' + program]).status === 0;

const cases = {
    async page_shows_text_and_colours({bridge, browser}) {
        const s = session(`exec sh ${script('corpus2', CORPUS)}`, 100, 30);
        const p = await opened(browser, bridge.urls[0], s);
        await pageShows(p, s);
        const style = async text => p.evaluate(t => {
            const e = [...document.querySelectorAll('#screen span')].find(x => x.textContent === t),
                  c = getComputedStyle(e);
            return [
                c.color, c.backgroundColor, c.fontWeight, c.fontStyle, c.textDecorationLine,
                c.textDecorationStyle, c.textDecorationColor
            ];
        }, text);
        const bold = await style('bold'), curly = await style('curly'), colours = await style('colours'),
              dim = await style('dim');
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
        const p =
            await opened(browser, bridge.urls[1], s, {permissions: ['clipboard-read', 'clipboard-write']});
        await p.click('#scroll');
        await p.keyboard.type('echo typed-$((1+1)) "h\u00e9"');
        await p.keyboard.press('Enter');
        await until('it was typed', () => truth(s).includes('typed-2 h\u00e9'));
        await p.keyboard.type('cat');
        await p.keyboard.press('Enter');
        await p.evaluate(() => {
            const data = new DataTransfer();
            data.setData('text/plain', 'pasted one\npasted two\n');
            document.getElementById('keys').dispatchEvent(
                new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true}));
        });
        await until('the paste', () => truth(s).filter(r => r === 'pasted two').length === 2);
        await pageShows(p, s);
        await p.keyboard.press('Control+c');
        await until('the prompt', () => truth(s).some(r => r.startsWith('^C')));
        const copied = await p.evaluate(() => {
            const row =
                [...document.querySelectorAll('#screen .row')].find(r => r.textContent.startsWith('typed-2'));
            getSelection().selectAllChildren(row);
            const data = new DataTransfer(),
                  e = new ClipboardEvent('copy', {clipboardData: data, bubbles: true, cancelable: true});
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
        const seconds = Number(process.env.FLOOD_SECONDS || 5), times = [];
        await sleep(1500);
        const before = await heap();
        await sleep(seconds * 1000);
        const after = await heap();
        for (let i = 0; i < 8 && !times.some(t => t < 200); i++) { // this machine may have other things to do
            await p.evaluate(() => {
                window.seen = new Promise(done => {
                    addEventListener(
                        'keydown', () => (window.pressed = performance.now()), {once: true, capture: true});
                    const prompt = () => [...document.querySelectorAll('#screen .row')]
                        .some(r => /^\^C|^[$#] *$/.test(r.textContent));
                    new MutationObserver(() => prompt() &&
                        requestAnimationFrame(() => done(performance.now() - window.pressed)))
                        .observe(document.getElementById('screen'), {subtree: true, childList: true});
                });
            });
            await p.keyboard.press('Control+c');
            times.push(await p.evaluate(() => window.seen));
            if (times.at(-1) < 200) break;
            await p.keyboard.type('clear; yes 0123456789');
            await p.keyboard.press('Enter');
            await until('the flood', () => truth(s).every(r => /^[0-9]+$/.test(r)));
            await sleep(500);
        }
        console.log(`     Ctrl-C painted after ${times.map(t => t.toFixed(0))} ms; heap ` +
            `${(before / 1e6).toFixed(2)} -> ${(after / 1e6).toFixed(2)} MB over ${seconds} s`);
        check(Math.min(...times) < 200, `Ctrl-C is painted after ${times} ms`);
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
        await until('found', async () => (await p.textContent('#found')) === '1/1')
            .catch(async () => same(await p.textContent('#found'), '1/1'));
        await until('in view', () => p.evaluate(() => {
            const r = document.querySelector('.hit').getBoundingClientRect();
            return r.top >= 0 && r.bottom <= innerHeight;
        }));
        await picture(p, 'search');
        await p.press('#find', 'Escape');
        await until('back at the screen, with nothing that could be out of date', () => p.evaluate(() =>
            !document.querySelector('#history .row') && !document.querySelector('.hit')));
        await pageShows(p, s);
        same(p.problems, [], 'problems');
        await p.context().close();
    },
    async full_screen_programs_cell_by_cell({bridge, browser}) {
        const text = script('text.c',
            Array.from({length: 300},
                     (_, i) => i % 3
                         ? `    if (x[${i}] > 0x${i}) return "a${i}";`
                         : `/* ${i} \u4e2d\u6587 e\u0301 */ static const int n${i} = ${i};\t// tab`)
                    .join('\n') +
                '\n');
        const tried = [];
        for (const [program, command, keys] of [[
                 'vim',
                 `vim -u NONE -i NONE -N -n -c 'syntax on' -c 'set nu hls cul ls=2 nowrap' -c '/return' ${
                     text}`,
                 [':vsplit', 'Enter', 'C-f', 'j', 'v', 'j', 'w']
             ],
                 ['less', `less -N -i ${text}`, ['Space', '/return', 'Enter', 'n', 'n']],
                 ['top', 'top -d 0.3', ['z', 'x', 'V']]]) {
            if (!has(program)) {
                console.log(`     without ${program}, which is not here`);
                continue;
            }
            const s = session(`exec sh -c "echo before; ${command.replace(/"/g, '\\"')}; exec cat"`, 100, 30);
            const p = await opened(browser, bridge.urls[0], s);
            await until('it has drawn', () => truth(s).filter(r => r.trim()).length > 10);
            for (const k of keys) {
                tmux('send-keys', '-t', `=${s}:`, k);
                await sleep(40);
            }
            if (program === 'top') { // it would go on for ever
                await sleep(700);
                const pid = Number(spawnSync('pgrep', ['-P', ask(s, '#{pane_pid}'), 'top']).stdout) ||
                    Number(ask(s, '#{pane_pid}'));
                process.kill(pid, 'SIGSTOP');
                await equals(p, s, program);
                process.kill(pid, 'SIGCONT');
            } else {
                await equals(p, s, program);
            }
            await picture(p, program);
            for (const k of program === 'vim' ? ['Escape', ':qa!', 'Enter'] : ['q'])
                tmux('send-keys', '-t', `=${s}:`, k);
            await until('it has ended', () => ask(s, '#{pane_current_command}') === 'cat');
            if (program !== 'top') same(truth(s)[0].trimEnd(), 'before', 'the first screen again');
            await pageShows(p, s);
            same(p.problems, [], 'problems');
            await p.context().close();
            tried.push(program);
        }
        return tried.length ? '' : 'needs vim, less or top (make deps)';
    },
    async colours_and_widths_cell_by_cell({bridge, browser}) {
        const s = session('exec sh ' + script('table', `i=0; while [ $i -lt 256 ]; do
printf '\\033[38;5;%dm%3d\\033[48;5;%dm \\033[0m' $i $i $((255-i)); i=$((i+1))
[ $((i%32)) -ne 0 ] || echo; done
i=0; while [ $i -lt 120 ]; do printf '\\033[48;2;%d;%d;40m' $((i*2)) $((255-i*2))
printf '\\033[38;2;%d;0;9m#' $((i*2)); i=$((i+1)); done
printf '\\033[0m\\n'
for a in 1 2 3 4 7 8 9 '1;31' '1;7;34' '2;35' '3;4;9;92' '7;44;93' '4;38;5;200;48;2;1;2;3'; do
printf '\\033[%smattr %s \\346\\274\\242\\345\\255\\227 e\\314\\201\\033[0m ' "$a" "$a"; done; echo
${CORPUS.replace('exec sleep 1000', '')}
exec sleep 1000`),
            130, 40);
        const p = await opened(browser, bridge.urls[0], s);
        await until('the end', () => truth(s).some(r => r.startsWith('END')));
        await equals(p, s, 'the table');
        await picture(p, 'colours');
        same(p.problems, [], 'problems');
        await p.context().close();
    },
    async composed_text_is_typed_once({bridge, browser}) {
        const s = session('exec cat'), p = await opened(browser, bridge.urls[1], s);
        await p.click('#scroll');
        const cdp = await p.context().newCDPSession(p);
        for (const text of ['\u306b', '\u306b\u307b', '\u306b\u307b\u3093'])
            await cdp.send(
                'Input.imeSetComposition', {text, selectionStart: text.length, selectionEnd: text.length});
        await p.waitForSelector('#keys.composing');
        const opacity = await p.evaluate(() => getComputedStyle(document.getElementById('keys')).opacity);
        same(opacity, '1', 'what is being composed can be seen');
        await picture(p, 'composing');
        await sleep(200);
        same(truth(s).join('').trim(), '', 'nothing was typed yet');
        await cdp.send('Input.insertText', {text: '\u65e5\u672c'});
        await until('it is typed', () => truth(s)[0].startsWith('\u65e5\u672c'));
        await p.keyboard.type('!');
        await until('what follows', () => truth(s)[0].includes('!'));
        same(truth(s)[0].trimEnd(), '\u65e5\u672c!', 'typed once');
        check(!await p.$('#keys.composing'), 'and it is over');
        same(p.problems, [], 'problems');
        await p.context().close();
    },
    async fingers_have_keys({bridge, browser}) {
        const s = session(), phone = {viewport: {width: 390, height: 760}, hasTouch: true, isMobile: true};
        const p = await opened(browser, bridge.urls[1], s, phone);
        await p.waitForSelector('#touch button');
        const sizes = await p.evaluate(() => [...document.querySelectorAll('#touch button')].map(b => {
            const r = b.getBoundingClientRect();
            return [r.width, r.height];
        }));
        check(sizes.length >= 10 && sizes.every(([w, h]) => w >= 40 && h >= 40),
            `sizes ${JSON.stringify(sizes)}`);
        check(
            await p.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing sticks out');
        await p.tap('#scroll');
        await p.keyboard.insertText('echo finger; sleep 100');
        await p.keyboard.press('Enter');
        await until('it runs', () => truth(s).includes('finger'));
        await p.tap('#touch button >> text="Ctrl"');
        same(await p.getAttribute('#touch button >> text="Ctrl"', 'aria-pressed'), 'true');
        await p.keyboard.insertText('c');
        await until('it was Ctrl-C', () => truth(s).some(r => r.startsWith('^C')));
        same(await p.getAttribute('#touch button >> text="Ctrl"', 'aria-pressed'), 'false', 'once');
        await p.tap('#touch button >> text="\u2191"');
        await p.tap('#touch button >> text="^C"');
        await until('again', () => truth(s).filter(r => r.includes('^C')).length === 2);
        await picture(p, 'phone');
        same(p.problems, [], 'problems');
        await p.context().close();
    },
    async a_screen_reader_has_text_to_read({bridge, browser}) {
        const s = session('exec cat'), p = await opened(browser, bridge.urls[1], s);
        await p.click('#scroll');
        await p.keyboard.type('a line to be read');
        await until('it is said', async () => (await p.textContent('#said')) === 'a line to be read');
        const cdp = await p.context().newCDPSession(p),
              {nodes} = await cdp.send('Accessibility.getFullAXTree');
        const seen = nodes.filter(n => !n.ignored).map(n => `${n.role?.value}: ${n.name?.value}`);
        for (const want of ['textbox: type into the terminal', 'region: scrollback and screen',
                 'button: larger text', 'searchbox: Search the scrollback', 'StaticText: a line to be read',
                 'status: '])
            check(seen.some(n => n.startsWith(want)), `${want} in ${seen.join(', ').slice(0, 900)}`);
        same(await p.getAttribute('#said', 'aria-live'), 'polite');
        same(await p.getAttribute('html', 'lang'), 'en');
        await p.context().close();
    },
    async everything_can_be_read_in_light_and_dark({bridge, browser}) {
        const light = c => {
            const [r, g, b] = c.match(/\d+/g).slice(0, 3).map(v => v / 255)
                .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
            return .2126 * r + .7152 * g + .0722 * b;
        };
        const contrast = (a, b) => {
            const [x, y] = [light(a), light(b)].sort((m, n) => n - m);
            return (x + .05) / (y + .05);
        };
        const s = session('exec sh -c "echo text; exec cat"');
        for (const colorScheme of ['dark', 'light']) {
            const p = await opened(browser, bridge.urls[0], s, {colorScheme});
            same(await p.getAttribute('html', 'data-theme'), colorScheme, 'the theme is the system\'s');
            const pairs = await p.evaluate(() => {
                const behind = e => {
                    for (; e; e = e.parentElement) {
                        const c = getComputedStyle(e).backgroundColor;
                        if (c !== 'rgba(0, 0, 0, 0)') return c;
                    }
                };
                return ['#name', '#state', '#viewers', '#badge', '#fit', '#find', '#screen .row span']
                    .map(q => document.querySelector(q))
                    .map(e => [e.id || 'screen', getComputedStyle(e).color, behind(e)]);
            });
            for (const [what, fg, bg] of pairs)
                check(contrast(fg, bg) >= 4.5,
                    `${what} in ${colorScheme}: ${fg} on ${bg}, ${contrast(fg, bg).toFixed(2)}`);
            const bg = pairs.at(-1)[2];
            for (const i of [1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14]) { // black and white may be either
                const c = rgb(page.paletteColour(i, colorScheme));
                check(contrast(c, bg) >= 4.4, `colour ${i} in ${colorScheme}: ${contrast(c, bg).toFixed(2)}`);
            }
            await picture(p, 'theme-' + colorScheme);
            await p.context().close();
        }
    },
    async only_what_was_painted_is_acknowledged({browser}) {
        const s = session(), b = await Bridge.start('--session', s), context = await browser.newContext();
        await context.addInitScript(() => {
            const real = requestAnimationFrame;
            window.waiting = [];
            window.requestAnimationFrame = f => window.stopped ? window.waiting.push(f) : real(f);
        });
        const p = await context.newPage();
        await p.goto(b.urls[1]);
        await p.waitForSelector('#state.live');
        await p.click('#scroll');
        await p.keyboard.type('seq 1 1000000000');
        await p.keyboard.press('Enter');
        await until('the flood', async () => (await b.metrics()).updates_total > 20);
        await p.evaluate(() => (window.stopped = true));
        await sleep(500);
        const from = await b.metrics();
        await sleep(1000);
        const to = await b.metrics();
        check(to.updates_total > from.updates_total + 8, 'the session went on');
        same([to.delta_bytes_total, to.snapshots_total], [from.delta_bytes_total, from.snapshots_total],
            'what was sent to a page that paints nothing');
        await p.evaluate(() => {
            window.stopped = false;
            for (const f of window.waiting) requestAnimationFrame(f);
        });
        await until(
            'it goes on', async () => (await b.metrics()).delta_bytes_total > to.delta_bytes_total + 1000);
        await p.keyboard.press('Control+c');
        await until('the prompt', () => truth(s).some(r => /^[$#] ?$/.test(r)));
        await pageShows(p, s);
        await context.close();
        await b.stop();
    },
    async text_under_a_selection_stays({bridge, browser}) {
        const s = session('exec sh ' +
            script('changing', 'while :; do printf "\\033[Hnow %s\\n" $(date +%s%N); sleep .03; done'));
        const p = await opened(browser, bridge.urls[0], s), first = () => p.textContent('#screen .row');
        const box = await p.locator('#screen .row').first().boundingBox();
        await p.mouse.move(box.x + 2, box.y + box.height / 2);
        await p.mouse.down();
        await p.mouse.move(box.x + box.width - 2, box.y + box.height / 2, {steps: 5});
        await p.mouse.up();
        const copy = () => p.evaluate(() => {
            const data = new DataTransfer();
            document.dispatchEvent(
                new ClipboardEvent('copy', {clipboardData: data, bubbles: true, cancelable: true}));
            return data.getData('text/plain');
        });
        const text = await first(), got = await copy();
        check(/^n?ow \d{15,}/.test(got) && text.includes(got), `copied ${got} of ${text}`);
        await sleep(400);
        same([await first(), await copy()], [text, got], 'a while later');
        check((await p.evaluate(() => getComputedStyle(document.getElementById('state'), '::after').content))
                  .includes('held'),
            'it says so');
        await picture(p, 'selected');
        await p.mouse.click(box.x + 5, box.y + 200);
        await until('it goes on', async () => (await first()) !== text);
        same(p.problems, [], 'problems');
        await p.context().close();
    },
    async reconnecting_waits_longer_and_not_all_at_once({browser}) {
        const s = session('exec cat'), b = await Bridge.start('--session', s),
              context = await browser.newContext();
        await context.addInitScript(() => {
            window.tries = [];
            window.WebSocket = class extends WebSocket {
                constructor(...a) {
                    super(...a);
                    const one = {at: performance.now()};
                    window.tries.push(one);
                    this.addEventListener('close', () => (one.over = performance.now()));
                }
            };
        });
        const p = await context.newPage();
        await p.goto(b.urls[1]);
        await p.waitForSelector('#state.live');
        await b.stop();
        await until('some tries', async () => (await p.evaluate(() => window.tries.length)) >= 5);
        same(await p.$('#state.live'), null, 'state');
        check(/trying again in \d+ s|connecting/.test(await p.textContent('#state')),
            await p.textContent('#state'));
        const tries = await p.evaluate(() => window.tries), waits = [];
        for (let i = 1; i < 5; i++) waits.push((tries[i].at - tries[i - 1].over) / (300 * 2 ** (i - 1)));
        // Half as long to one and a half times as long; a timer may be late.
        check(waits.every((w, i) => w > .45 && w < 1.5 + 2000 / (300 * 2 ** i)),
            `waits are ${waits} of 300 ms, 600 ms ...`);
        check(Math.max(...waits) - Math.min(...waits) > .02, `they are not all the same: ${waits}`);
        for (const [what, event] of [['online', () => dispatchEvent(new Event('online'))],
            ['visibilitychange', () => document.dispatchEvent(new Event('visibilitychange'))]]) {
            await until(
                'it waits', async () => (await p.evaluate(() => window.tries.at(-1).over)) !== undefined);
            const n = await p.evaluate(() => window.tries.length);
            await p.evaluate(event);
            same(await p.evaluate(() => window.tries.length), n + 1, 'tries at once after ' + what);
        }
        const c = await Bridge.start('--session', s, '--listen', '127.0.0.1:' + b.port); // with other tokens
        await until('it knows', async () => (await p.textContent('#state')).startsWith('not allowed'));
        const n = await p.evaluate(() => window.tries.length);
        await sleep(700);
        same(await p.evaluate(() => window.tries.length), n, 'tries when there is no use in it');
        await picture(p, 'not-allowed');
        await p.goto(c.urls[0]);
        await p.waitForSelector('#state.live');
        await context.close();
        await c.stop();
    },
    async the_session_takes_the_size_of_the_window({browser}) {
        const s = session('exec cat', 80, 24), b = await Bridge.start('--session', s, '--resize');
        const reader = await opened(browser, b.urls[0], s), p = await opened(browser, b.urls[1], s);
        same([await reader.isVisible('#resize'), await p.isVisible('#resize')], [false, true], 'the button');
        await p.click('#resize');
        const size = () => ask(s, '#{pane_width} #{pane_height}').split(' ').map(Number);
        const fits = () => p.evaluate(() => {
            const css = getComputedStyle(document.documentElement), v = document.getElementById('view');
            return [Math.floor((v.clientWidth - 10) / parseFloat(css.getPropertyValue('--w'))),
                Math.floor((v.clientHeight - 10) / parseFloat(css.getPropertyValue('--h')))];
        });
        const both = async () => JSON.stringify(size()) === JSON.stringify(await fits());
        await until('the size of the window', both);
        const before = size();
        await p.setViewportSize({width: 800, height: 500});
        await until('the new size', async () => size()[0] < before[0] && await both());
        await p.keyboard.type('sized');
        await until('it goes on', () => truth(s)[0].startsWith('sized'));
        await pageShows(p, s);
        await pageShows(reader, s);
        same([...p.problems, ...reader.problems], [], 'problems');
        await p.context().close();
        await reader.context().close();
        await b.stop();
    },
    async the_turn_to_type_is_passed_on({browser}) {
        const s = session('exec cat'), b = await Bridge.start('--session', s, '--share', 'one');
        const first = await opened(browser, b.urls[1], s), second = await opened(browser, b.urls[1], s);
        same([await first.isVisible('#badge'), await second.textContent('#badge')],
            [false, 'read only: somebody else types']);
        await second.click('#scroll');
        await second.keyboard.type('unheard');
        await first.context().close();
        await second.waitForSelector('#badge', {state: 'hidden'});
        await second.keyboard.type('heard');
        await until('it is typed', () => truth(s)[0].startsWith('heard'));
        same(second.problems, [], 'problems');
        await second.context().close();
        await b.stop();
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
    common.browser =
        await playwright.chromium.launch({executablePath: chromium, args: ['--no-sandbox'], env});
    return '';
});
