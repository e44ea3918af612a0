// SPDX-License-Identifier: MIT-0
// The page of tmux_bridge. First the wire, which knows nothing of the page (and runs under node for the
// tests); then the screen as rows of text with styles; then keys, paste, mouse and touch; then the
// connection. The table of messages stands in screen.h.
'use strict';

// ---- the wire ---------------------------------------------------------------------------------------------

const VERSION = 2;
const MAY_WRITE = 1, MAY_RESIZE = 2, MAY_LATER = 4;
const BOLD = 1, DIM = 2, ITALIC = 4, UNDERLINE = 56, BLINK = 64, REVERSE = 128, HIDDEN = 256, STRIKE = 512,
      OVERLINE = 1024;
const CURSOR = 1, ALTERNATE = 2, MOUSE = 16 | 32 | 64, MOUSE_DRAG = 32, MOUSE_ALL = 64, MOUSE_SGR = 128;
const decoder = new TextDecoder('utf-8', {ignoreBOM: true}), encoder = new TextEncoder();

// Cells of a row: [{text, width, style: {a, fg, bg, ul}}]; colours as in screen.h.
function readRow(row) {
    const cells = [], chars = Array.from(row);
    let i = 0, a = 0, fg = 0, bg = 0, ul = 0, width = 1, style = null;
    const digits = n => {
        let v = 0;
        while (n-- > 0 && i < chars.length) v = v << 6 | chars[i++].charCodeAt(0) & 63;
        return v;
    };
    const colour = () => {
        const kind = chars[i++];
        return kind === 'i' ? 0x1000000 | digits(2) & 255 : kind === 'r' ? 0x2000000 | digits(4) : 0;
    };
    while (i < chars.length) {
        const c = chars[i].charCodeAt(0);
        let joined = 1;
        if (c < 32) {
            i++;
            if (c === 1) a = digits(3);
            else if (c === 2) fg = colour();
            else if (c === 3) bg = colour();
            else if (c === 4) ul = colour();
            else if (c === 5) a = fg = bg = ul = 0;
            else if (c === 14) width = 2;
            else if (c === 15) width = 1;
            else if (c === 16) {
                for (let n = digits(2); n > 0 && cells.length; n--) cells.push(cells[cells.length - 1]);
            } else if (c === 17) joined = digits(1);
            if (c <= 5) style = null;
            if (c !== 17) continue;
        }
        if (!style) style = {a, fg, bg, ul};
        cells.push({text: chars.slice(i, i + joined).join(''), width, style});
        i += joined;
    }
    return cells;
}

const textOf = row => readRow(row).map(c => c.text).join('');

// What the messages make of a screen. on: functions for what is no part of it.
class Screen {
    constructor(on) {
        this.on = on || {};
        this.cols = this.rows = this.x = this.y = this.modes = this.number = this.run = 0;
        this.line = [];
        this.title = '';
        this.dirty = new Set();
        this.open = false;
    }

    // One WebSocket message.
    take(buffer) {
        const view = new DataView(buffer), bytes = new Uint8Array(buffer);
        let at = 0;
        while (at < bytes.length) {
            if (at + 5 > bytes.length) throw new Error('a frame that is cut');
            const type = String.fromCharCode(bytes[at]), len = view.getUint32(at + 1);
            at += 5;
            if (at + len > bytes.length) throw new Error('a frame that is cut');
            this.frame(type, new DataView(buffer, at, len), bytes.subarray(at, at + len));
            at += len;
        }
    }

    frame(type, v, bytes) {
        const text = from => decoder.decode(bytes.subarray(from));
        if (type === 'S') {
            this.next = Number(v.getBigUint64(0));
            this.number = 0; // of a screen that is not whole nothing can follow
            this.cols = v.getUint16(8);
            this.rows = v.getUint16(10);
            this.line = new Array(this.rows).fill('');
            for (let i = 0; i < this.rows; i++) this.dirty.add(i);
            this.open = this.sized = true;
        } else if (type === 'D') {
            this.begin(v.getUint8(0));
        } else if (type === 'M') {
            const to = v.getUint16(0), from = v.getUint16(2), count = v.getUint16(4);
            const moved = this.line.slice(from, from + count);
            for (let i = 0; i < count; i++) this.set(to + i, moved[i]);
        } else if (type === 'R') {
            this.readRows(v, bytes, 0);
        } else if (type === 'U') {
            this.begin(v.getUint8(0));
            this.readRows(v, bytes, 1);
            this.commit();
        } else if (type === 'T') {
            this.title = text(0);
        } else if (type === 'C') {
            if (bytes.length) {
                this.x = v.getUint16(0);
                this.y = v.getUint16(2);
            }
            if (bytes.length > 4) this.modes = v.getUint32(4);
            this.commit();
        } else if (type === 'H') {
            const run = v.getUint32(2);
            if (v.getUint8(0) !== VERSION) throw new Error('the page is of another version: reload it');
            if (run !== this.run) this.number = 0;
            this.run = run;
            if (this.on.hello) this.on.hello(v.getUint8(1), text(6));
        } else if (type === 'W') {
            if (this.on.rights) this.on.rights(v.getUint8(0));
        } else if (type === 'L') {
            if (this.on.old) this.on.old(v.getUint32(0), v.getUint32(4), text(8));
        } else if (type === 'E') {
            if (this.on.oldEnd) this.on.oldEnd(v.getUint32(0), v.getUint32(4));
        } else if (type === 'V') {
            if (this.on.viewers) this.on.viewers(v.getUint16(0), v.getUint16(2));
        } else if (type === 'X') {
            if (this.on.over) this.on.over(v.getUint8(0), text(1));
        } // what a later version adds is stepped over
    }

    begin(low) { // a delta, by the lowest bits of its number
        this.next = this.number + 1;
        if (!this.number || low !== this.next % 256) throw new Error('a delta of another screen');
        this.number = 0;
        this.open = true;
    }

    readRows(v, bytes, at) {
        const long = n => n < 15 ? n : v.getUint16((at += 2) - 2);
        let row = v.getUint16(at), before = encoder.encode(this.line[row]);
        for (at += 2; at < bytes.length; row++) {
            const head = bytes[at++], same = long(head >> 4), other = long(head & 15);
            if (same > before.length || at + other > bytes.length) throw new Error('rows that are cut');
            const line = new Uint8Array(same + other);
            line.set(before.subarray(0, same));
            line.set(bytes.subarray(at, at + other), same);
            this.set(row, decoder.decode(line));
            before = line;
            at += other;
        }
    }

    commit() {
        this.number = this.next;
        this.open = false;
        if (this.on.commit) this.on.commit();
    }

    set(row, text) {
        if (row >= this.rows) throw new Error('a row that is not there');
        this.line[row] = text;
        this.dirty.add(row);
    }
}

// A message to the server: numbers are [bytes, value], the rest is text or bytes.
function message(type, ...parts) {
    const made = parts.map(p => {
        if (typeof p === 'string') return encoder.encode(p);
        if (!Array.isArray(p)) return p;
        const b = new Uint8Array(p[0]), v = new DataView(b.buffer);
        if (p[0] === 1) v.setUint8(0, p[1]);
        else if (p[0] === 2) v.setUint16(0, p[1]);
        else if (p[0] === 4) v.setUint32(0, p[1]);
        else v.setBigUint64(0, BigInt(p[1]));
        return b;
    });
    const len = made.reduce((n, b) => n + b.length, 0), all = new Uint8Array(5 + len);
    let at = 5;
    all[0] = type.charCodeAt(0);
    new DataView(all.buffer).setUint32(1, len);
    for (const b of made) {
        all.set(b, at);
        at += b.length;
    }
    return all;
}

// Says which screens were painted: every second one at once, a single one a little later. That is half the
// messages, and as the server goes on for four screens nobody waits for them.
class Acks {
    constructor(send) {
        this.send = send;
        this.count = this.timer = 0;
    }
    painted(number) {
        this.number = number;
        if (++this.count >= 2) this.flush();
        else this.timer = setTimeout(() => this.flush(), 50);
    }
    flush() {
        clearTimeout(this.timer);
        this.count = 0;
        this.send(message('a', [8, this.number]));
    }
}

// ---- keys -------------------------------------------------------------------------------------------------

const NAMES = {
    Enter: 'Enter',
    Tab: 'Tab',
    Escape: 'Escape',
    Backspace: 'BSpace',
    Delete: 'DC',
    Insert: 'IC',
    ArrowUp: 'Up',
    ArrowDown: 'Down',
    ArrowLeft: 'Left',
    ArrowRight: 'Right',
    Home: 'Home',
    End: 'End',
    PageUp: 'PPage',
    PageDown: 'NPage'
};

// tmux's name of a key, or null when the text it makes says it better, or it makes nothing.
function keyName(e) {
    let name = NAMES[e.key] || (/^F([1-9]|1[0-2])$/.test(e.key) ? e.key : null);
    if (e.metaKey || e.isComposing || e.key === 'Process' || e.key === 'Dead') return null;
    if (e.getModifierState && e.getModifierState('AltGraph')) return null;
    if (!name) {
        if (!(e.ctrlKey || e.altKey) || e.key.length !== 1) return null;
        name = e.key === ' ' ? 'Space' : e.key;
        if (e.ctrlKey && name.length === 1) name = name.toLowerCase();
        if (name.charCodeAt(0) > 126) return null;
        return (e.ctrlKey ? 'C-' : '') + (e.altKey ? 'M-' : '') + name;
    }
    if (name === 'Tab' && e.shiftKey) return (e.ctrlKey ? 'C-' : '') + 'BTab';
    return (e.ctrlKey ? 'C-' : '') + (e.altKey ? 'M-' : '') +
        (e.shiftKey && name !== 'Enter' && name !== 'BSpace' && name !== 'Escape' ? 'S-' : '') + name;
}

// ---- colours ----------------------------------------------------------------------------------------------

const PALETTE = {
    dark: [
        '#2e3436', '#f2545b', '#6cc644', '#e5b83b', '#5b9df5', '#c678dd', '#2fc2c2', '#d5d9e0', '#7d8594',
        '#ff7b80', '#8fe06a', '#ffd866', '#86bbff', '#dda0f0', '#5fe0e0', '#ffffff'
    ],
    light: [
        '#000000', '#b3151c', '#23720b', '#7a5a00', '#0b4fb3', '#8a1fa8', '#006a70', '#8a8f99', '#4a4f59',
        '#d1242f', '#2c8a10', '#8f6b00', '#1f6feb', '#a535c6', '#007f86', '#d0d4dc'
    ]
};
function paletteColour(i, theme) {
    if (i < 16) return PALETTE[theme][i];
    if (i >= 232) return `rgb(${[8, 8, 8].map(v => v + 10 * (i - 232))})`;
    return `rgb(${[36, 6, 1].map(d => Math.floor((i - 16) / d) % 6).map(v => v && 55 + 40 * v)})`;
}
function colourOf(c, theme, bold) {
    if (!c) return '';
    if (c >= 0x2000000) return `rgb(${c >> 16 & 255},${c >> 8 & 255},${c & 255})`;
    return paletteColour(bold && (c & 255) < 8 ? (c & 255) + 8 : c & 255, theme);
}

// Style properties of a cell, as the style sheet of an element takes them.
function look(s, theme) {
    let fg = colourOf(s.fg, theme, s.a & BOLD), bg = colourOf(s.bg, theme);
    const p = {};
    if (s.a & REVERSE) [fg, bg] = [bg || 'var(--bg)', fg || 'var(--fg)'];
    if (s.a & HIDDEN) fg = 'transparent';
    else if (s.a & DIM) fg = `color-mix(in srgb, ${fg || 'var(--fg)'} 60%, ${bg || 'var(--bg)'})`;
    if (fg) p.color = fg;
    if (bg) p.backgroundColor = bg;
    if (s.a & BOLD) p.fontWeight = 'bold';
    if (s.a & ITALIC) p.fontStyle = 'italic';
    const lines = [], under = (s.a & UNDERLINE) >> 3;
    if (under) lines.push('underline');
    if (s.a & STRIKE) lines.push('line-through');
    if (s.a & OVERLINE) lines.push('overline');
    if (lines.length) {
        p.textDecorationLine = lines.join(' ');
        if (under) p.textDecorationStyle = ['', 'solid', 'double', 'wavy', 'dotted', 'dashed'][under];
        if (s.ul) p.textDecorationColor = colourOf(s.ul, theme);
    }
    return p;
}

// ---- the page ---------------------------------------------------------------------------------------------

function start() {
    const $ = id => document.getElementById(id), root = document.documentElement;
    const view = $('view'), scroll = $('scroll'), grid = $('screen'), history = $('history'),
          cursor = $('cursor');
    const keys = $('keys'), state = $('state'), find = $('find');
    const kept = (k, v) => {
        try {
            if (v !== undefined) localStorage.setItem(k, v);
            return localStorage.getItem(k);
        } catch {
            return null;
        }
    };
    let theme = kept('theme') || (matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark');
    let size = Number(kept('size')) || 0, cw = 8, ch = 17, rowOf = [], writable = false, socket = null,
        following = true;
    let painting = false, selecting = false, held = false, session = '';
    const widths = new Map(), pen = document.createElement('canvas').getContext('2d');
    const acks = new Acks(send);
    const screen = new Screen({commit: soon, hello, rights, old, oldEnd, viewers, over});

    // -- drawing

    function fits(text) { // whether the font gives it the width of a cell
        let ok = widths.get(text);
        if (ok === undefined) {
            if (widths.size > 4000) widths.clear();
            ok = Math.abs(pen.measureText(text).width - cw) < .01;
            widths.set(text, ok);
        }
        return ok;
    }

    function draw(div, row) {
        const made = document.createDocumentFragment();
        let span = null, style = null, run = '';
        const end = () => {
            if (run) span.append(run);
            run = '';
        };
        const begin = (s, cells) => {
            end();
            span = document.createElement('span');
            Object.assign(span.style, look(s, theme));
            if (s.a & BLINK) span.className = 'blink';
            if (cells) {
                span.className += ' cell';
                span.style.width = cells * cw + 'px';
            }
            made.append(span);
        };
        for (const c of readRow(row)) {
            const plain = c.width === 1 && (c.text.length === 1 && c.text < '\x7f' || fits(c.text));
            if (!plain) {
                begin(c.style, c.width);
                run = c.text;
                style = null;
            } else {
                if (c.style !== style) begin(c.style, 0);
                style = c.style;
                run += c.text;
            }
        }
        end();
        div.replaceChildren(made);
    }

    function measure() {
        const base = 100, family = getComputedStyle(grid).fontFamily;
        pen.font = `${base}px ${family}`;
        const per = pen.measureText('MMMMMMMMMM').width / 10 / base;
        let px = size;
        if (!px && screen.cols) {
            px = Math.min(
                (view.clientWidth - 10) / screen.cols / per, (view.clientHeight - 10) / screen.rows / 1.18);
            px = Math.max(4, Math.min(40, Math.floor(px * 4) / 4));
        }
        px = px || 14;
        pen.font = `${px}px ${family}`;
        cw = pen.measureText('MMMMMMMMMM').width / 10;
        ch = Math.round(px * 1.17); // so that drawn lines meet
        widths.clear();
        grid.style.fontSize = history.style.fontSize = px + 'px';
        root.style.setProperty('--w', cw + 'px');
        root.style.setProperty('--h', ch + 'px');
    }

    function redraw() {
        measure();
        for (let i = 0; i < screen.rows; i++) screen.dirty.add(i);
        for (const div of history.children) draw(div, div.row);
        soon();
    }

    function soon() {
        if (painting || screen.open) return;
        painting = true;
        requestAnimationFrame(paint);
    }

    function paint() {
        painting = false;
        if (screen.open || selecting) return; // what comes meanwhile is for the next time
        held = selected();
        state.dataset.held = held ? ', held while text is selected' : '';
        if (held) return;
        if (over.why && socket) { // it has come back
            over.why = '';
            say('live', true);
        }
        if (screen.sized) {
            screen.sized = false;
            measure();
        }
        while (rowOf.length < screen.rows) {
            const div = document.createElement('div');
            div.className = 'row';
            rowOf.push(div);
            grid.append(div);
        }
        while (rowOf.length > screen.rows) rowOf.pop().remove();
        for (const i of screen.dirty) draw(rowOf[i], screen.line[i]);
        screen.dirty.clear();
        grid.style.width = cw * screen.cols + 'px';
        cursor.hidden = !(screen.modes & CURSOR);
        cursor.style.left = screen.x * cw + 'px';
        cursor.style.top = screen.y * ch + 'px';
        keys.style.left = Math.min(screen.x * cw, view.clientWidth - 20) + 'px';
        keys.style.top = view.offsetTop + Math.min(screen.y * ch, view.clientHeight - 30) + 'px';
        $('title').textContent = screen.title;
        if (following) {
            if (history.firstChild) forget(); // more has gone there since: it is asked for again
            scroll.scrollTop = scroll.scrollHeight;
        }
        const number = screen.number;
        setTimeout(() => {
            acks.painted(number);
            root.dataset.painted = number;
        });
        clearTimeout(paint.says);
        paint.says =
            setTimeout(() => ($('said').textContent = textOf(screen.line[screen.y] || '').trim()), 700);
    }

    // Text that somebody is about to copy must stay: nothing is painted, so nothing more is sent either.
    function selected() {
        const s = getSelection();
        return !s.isCollapsed && grid.contains(s.anchorNode) && s.toString().length > 0;
    }
    document.addEventListener('selectionchange', () => held && !selected() && soon());

    // -- the scrollback

    const CHUNK = 500, MOST = 20000;
    let asked = 0, oldest = Infinity, coming = [], waiting = false, wheeled = false;

    function older(count) { // asks for lines before those that are there
        if (waiting || oldest === 0 || screen.modes & ALTERNATE || history.children.length >= MOST) return;
        waiting = true;
        coming = [];
        send(message('b', [4, ++asked], [4, oldest === Infinity ? 0xffffffff : oldest], [4, count || CHUNK]));
    }
    function old(id, line, text) {
        if (id === asked) coming.push([line, text]);
    }
    function oldEnd(id, lines) {
        if (id !== asked) return;
        const below = scroll.scrollHeight - scroll.scrollTop, made = document.createDocumentFragment();
        waiting = false;
        for (const [, text] of coming) {
            const div = document.createElement('div');
            div.className = 'row';
            div.row = text;
            draw(div, text);
            made.append(div);
        }
        oldest = coming.length ? coming[0][0] : lines ? oldest : 0;
        coming = [];
        history.prepend(made);
        scroll.scrollTop = scroll.scrollHeight - below - (wheeled ? 3 * ch : 0);
        wheeled = false;
        if (find.value) search(0);
    }
    function forget() {
        history.replaceChildren();
        oldest = Infinity;
        asked++; // what is on its way is no longer wanted
        waiting = wheeled = false;
    }

    scroll.addEventListener('scroll', () => {
        following = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < ch;
        if (!following && scroll.scrollTop < 10 * ch) older();
    });
    scroll.addEventListener('wheel', e => {
        if (mouse(e, e.deltaY < 0 ? 64 : 65, true)) return e.preventDefault();
        if (e.deltaY >= 0 || scroll.scrollTop > 0) return;
        following = false;
        wheeled = true;
        older();
    }, {passive: false});

    let hits = [], hit = -1;
    function search(step) {
        const want = find.value.toLowerCase();
        if (!step) {
            for (const div of hits) div.classList.remove('hit');
            hits = want
                ? [...history.children, ...rowOf].filter(d => d.textContent.toLowerCase().includes(want))
                : [];
            for (const div of hits) div.classList.add('hit');
            hit = hits.length - 1;
        } else if (hits.length) {
            hit = (hit + step + hits.length) % hits.length;
        }
        $('found').textContent = want ? `${hits.length ? hit + 1 : 0}/${hits.length}` : '';
        if (hits[hit]) {
            following = false;
            hits[hit].scrollIntoView({block: 'nearest'});
        }
    }
    function searching() {
        following = false; // what is searched must not go away
        older(5000);
    }
    find.addEventListener('focus', searching);
    find.addEventListener('input', () => search(0));
    find.addEventListener('keydown', e => {
        if (e.key === 'Enter') search(e.shiftKey ? 1 : -1);
        if (e.key === 'Escape') {
            find.value = '';
            search(0);
            toScreen();
            soon();
            keys.focus();
        }
    });

    // -- keys, paste, mouse, touch

    let sticky = '';
    const type = text => writable && text && (toScreen(), send(message('t', text)));
    const press = name => writable && (toScreen(), send(message('k', name)));
    function toScreen() { // whoever types looks at the screen
        following = true;
        if (held) getSelection().removeAllRanges();
        scroll.scrollTop = scroll.scrollHeight;
    }
    keys.addEventListener('keydown', e => {
        const name = keyName(e);
        // The browser's copy and paste.
        if ((e.ctrlKey || e.metaKey) && e.shiftKey && /^[cv]$/i.test(e.key)) return;
        if (e.ctrlKey && e.key === 'c' && !getSelection().isCollapsed) return;
        if (e.ctrlKey && e.key === 'v') return;
        if (!name) return;
        e.preventDefault();
        press(name);
    });
    keys.addEventListener('compositionstart', () => keys.classList.add('composing'));
    keys.addEventListener('compositionend', () => {
        keys.classList.remove('composing');
        take();
    });
    keys.addEventListener('input', e => e.isComposing || take());
    function take() {
        const text = keys.value;
        keys.value = '';
        if (sticky && text.length === 1) press(sticky + text.toLowerCase());
        else type(text.replace(/\n/g, '\r'));
        if (sticky) setSticky('');
    }
    keys.addEventListener('focus', () => document.body.classList.add('typing'));
    keys.addEventListener('blur', () => document.body.classList.remove('typing'));
    document.addEventListener('paste', e => {
        if (e.target === find || !writable) return;
        const bytes = encoder.encode(e.clipboardData.getData('text/plain')), piece = 16384;
        e.preventDefault();
        for (let at = 0; at < bytes.length; at += piece)
            send(message('p', [1, (at === 0 ? 1 : 0) | (at + piece >= bytes.length ? 2 : 0)],
                bytes.subarray(at, at + piece)));
    });
    document.addEventListener('copy', e => {
        if (e.target === find) return;
        const text = getSelection().toString().replace(/[ \t]+$/gm, '');
        if (!text) return;
        e.clipboardData.setData('text/plain', text);
        e.preventDefault();
    });

    function mouse(e, button, down) {
        if (!writable || !(screen.modes & MOUSE) || !(screen.modes & MOUSE_SGR) || e.shiftKey) return false;
        const box = grid.getBoundingClientRect();
        const x = Math.floor((e.clientX - box.left) / cw) + 1, y = Math.floor((e.clientY - box.top) / ch) + 1;
        if (x < 1 || y < 1 || x > screen.cols || y > screen.rows) return false;
        const code = button + (e.altKey ? 8 : 0) + (e.ctrlKey ? 16 : 0);
        send(message('t', `\x1b[<${code};${x};${y}${down ? 'M' : 'm'}`));
        return true;
    }
    scroll.addEventListener('mousedown', e => {
        if (mouse(e, e.button, true)) {
            e.preventDefault();
            keys.focus({preventScroll: true});
        } else {
            selecting = true; // nothing moves under a selection in the making
        }
    });
    addEventListener('mouseup', e => {
        if (!selecting) return void mouse(e, e.button, false);
        selecting = false;
        soon();
        if (getSelection().isCollapsed && view.contains(e.target)) keys.focus({preventScroll: true});
    });
    scroll.addEventListener('mousemove', e => {
        if (selecting || !(screen.modes & (e.buttons ? MOUSE_DRAG | MOUSE_ALL : MOUSE_ALL))) return;
        const now = `${Math.floor(e.clientX / cw)},${Math.floor(e.clientY / ch)}`;
        if (now === mouse.last) return;
        mouse.last = now;
        mouse(e, 32 + (e.buttons & 1 ? 0 : e.buttons & 4 ? 1 : e.buttons & 2 ? 2 : 3), true);
    });
    scroll.addEventListener('keydown', e => {
        if (e.key.length === 1 && !e.ctrlKey && !e.metaKey) keys.focus({preventScroll: true});
    });

    function setSticky(to) {
        sticky = sticky === to ? '' : to;
        for (const b of $('touch').children)
            if (b.sticky) b.setAttribute('aria-pressed', String(b.sticky === sticky));
    }
    for (const [label, name] of [['Esc', 'Escape'], ['Tab', 'Tab'], ['Ctrl', 'C-'], ['Alt', 'M-'],
             ['\u2190', 'Left'], ['\u2193', 'Down'], ['\u2191', 'Up'], ['\u2192', 'Right'], ['^C', 'C-c'],
             ['PgUp', 'PPage'], ['PgDn', 'NPage']]) {
        const b = document.createElement('button');
        b.textContent = label;
        b.sticky = name.endsWith('-') ? name : '';
        b.addEventListener('click', () => {
            if (b.sticky) setSticky(name);
            else press(name);
            keys.focus({preventScroll: true});
        });
        $('touch').append(b);
    }

    // -- size and theme

    function zoom(by, to = 0) { // 0: as large as fits
        size = by ? Math.max(4, Math.min(60, (size || parseFloat(grid.style.fontSize) || 14) + by)) : to;
        kept('size', size);
        redraw();
        setSize();
    }
    $('smaller').addEventListener('click', () => zoom(-1));
    $('larger').addEventListener('click', () => zoom(1));
    $('fit').addEventListener('click', () => zoom(0));

    // The session in the size of the window, for those who may: the letters keep theirs.
    function setSize() {
        if (!resizing || !(may & MAY_RESIZE)) return;
        const cols = Math.floor((view.clientWidth - 10) / cw),
              rows = Math.floor((view.clientHeight - 10) / ch);
        const to = [Math.max(20, Math.min(500, cols)), Math.max(4, Math.min(300, rows))];
        if (to[0] === screen.cols && to[1] === screen.rows) return;
        send(message('z', [2, to[0]], [2, to[1]]));
    }
    $('resize').addEventListener('click', () => {
        resizing = !resizing;
        $('resize').setAttribute('aria-pressed', String(resizing));
        if (resizing && !size) zoom(0, 14);
        else setSize();
        keys.focus({preventScroll: true});
    });
    $('theme').addEventListener('click', () => {
        theme = theme === 'dark' ? 'light' : 'dark';
        root.dataset.theme = theme;
        kept('theme', theme);
        redraw();
    });
    root.dataset.theme = theme;
    new ResizeObserver(() => {
        if (screen.rows && !size) redraw();
        clearTimeout(setSize.later);
        setSize.later = setTimeout(setSize, 150); // when it has come to rest
    }).observe(view);

    // -- the connection

    let tries = 0, timer = 0, may = 0, resizing = false;
    function say(text, live) {
        state.textContent = text;
        state.className = live ? 'live' : '';
    }
    function send(bytes) {
        if (socket && socket.readyState === 1) socket.send(bytes);
    }
    function rights(r) {
        may = r;
        writable = (may & MAY_WRITE) !== 0;
        $('badge').hidden = writable;
        $('badge').textContent = may & MAY_LATER ? 'read only: somebody else types' : 'read only';
        $('resize').hidden = !(may & MAY_RESIZE);
        $('touch').hidden = !writable || !matchMedia('(pointer: coarse)').matches;
        keys.readOnly = !writable;
        if (writable) keys.focus({preventScroll: true});
        setSize();
    }
    function hello(r, name) {
        tries = 0;
        say('live', true);
        $('name').textContent = name;
        document.title = name + ' \u2013 tmux_bridge';
        forget();
        rights(r);
    }
    function viewers(all, writers) {
        $('viewers').textContent = `${all} watching` + (writers ? `, ${writers} may type` : '');
    }
    function over(reason, text) {
        over.why =
            text || ['', 'the session has ended', 'refused', 'the server is stopping'][reason] || 'over';
        say(over.why);
    }
    // Whether it was only the connection: a session may be known by another name now, or the token no longer.
    async function allowed() {
        const answer = await fetch('/sessions', {cache: 'no-store'}).catch(() => null);
        if (!answer || answer.status !== 401 && answer.status !== 403) return true;
        clearTimeout(timer);
        tries = Infinity; // there is no use in trying
        say('not allowed: open the address that was printed');
        return false;
    }
    function connect() {
        clearTimeout(timer);
        if (socket || tries === Infinity) return;
        const mine =
            new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws?session=` +
                    encodeURIComponent(session),
                'tmux_bridge');
        socket = mine;
        over.why = '';
        mine.binaryType = 'arraybuffer';
        say('connecting');
        let opened = false;
        mine.onopen = () =>
            (opened = true) && mine.send(message('h', [1, VERSION], [4, screen.run], [8, screen.number]));
        mine.onmessage = e => {
            if (mine !== socket) return;
            try {
                screen.take(e.data);
            } catch (error) {
                screen.number = 0; // so that the next connection begins anew
                screen.open = false;
                mine.close(4000, error.message.slice(0, 100));
            }
        };
        mine.onclose = () => {
            if (mine !== socket) return;
            socket = null;
            screen.open = false;
            const wait = Math.min(15000, 300 * 2 ** tries++) * (.5 + Math.random());
            say(`${over.why || 'connection lost'}, trying again in ${Math.ceil(wait / 1000)} s`);
            timer = setTimeout(connect, wait);
            if (!opened) allowed();
        };
    }
    const again = () => socket || document.hidden || tries === Infinity || (tries = 0, connect());
    addEventListener('online', again);
    document.addEventListener('visibilitychange', again);

    async function pick() {
        let list = [];
        try {
            const answer = await fetch('/sessions', {cache: 'no-store'});
            if (answer.status === 401 || answer.status === 403) return allowed();
            list = await answer.json();
        } catch {
            say('no answer, trying again');
            return void setTimeout(pick, 1000 + 2000 * Math.random());
        }
        session = decodeURIComponent(location.hash.slice(1)) || (list.length === 1 ? list[0].id : '');
        if (session) return connect();
        say('choose a session');
        $('pick').hidden = false;
        $('pick').replaceChildren(...list.map(s => {
            const li = document.createElement('li'), a = document.createElement('a');
            a.textContent = s.name;
            a.dataset.about = s.up ? s.viewers ? `${s.viewers} watching` : '' : 'not there yet';
            a.href = '#' + encodeURIComponent(s.id);
            li.append(a);
            return li;
        }));
    }
    addEventListener('hashchange', () => location.reload());
    pick();
}

if (typeof document !== 'undefined') start();
else module.exports = {VERSION, Acks, Screen, readRow, textOf, message, keyName, look, paletteColour};
