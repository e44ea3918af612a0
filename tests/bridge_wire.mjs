// SPDX-License-Identifier: MIT-0
// The page's reading of the wire, without a page: screens from tests/bridge_peer.c, messages that are broken,
// names of keys, colours.
//
//     node tests/bridge_wire.mjs PEER
import {execFileSync} from 'node:child_process';
import {createRequire} from 'node:module';
import assert from 'node:assert/strict';

const page = createRequire(import.meta.url)('../examples/tmux_bridge/page.js');
const bytes = hex => new Uint8Array(Buffer.from(hex, 'hex')).buffer;
const hex = text => Buffer.from(text).toString('hex');
let failed = 0;
function test(name, run) {
    try {
        run();
        console.log(`ok   bridge_wire.${name}`);
    } catch (error) {
        failed++;
        console.log(`  ${String(error.message).slice(0, 1500)}\nFAIL bridge_wire.${name}`);
    }
}

test('screens_arrive_cell_by_cell', () => {
    const lines = execFileSync(process.argv[2], {encoding: 'utf8', maxBuffer: 1 << 28}).trimEnd().split('\n');
    const s = new page.Screen();
    let row = 0, screens = 0, deltas = 0, moves = 0;
    for (const line of lines) {
        const [kind, ...rest] = line.split(' ');
        if (kind === 'M') {
            if (row) assert.equal(row, s.rows);
            deltas += rest[0].startsWith('44') || rest[0].startsWith('55');
            moves += rest[0].includes('4d00000006');
            s.take(bytes(rest[0]));
            row = 0;
            screens++;
        } else if (kind === 'S') {
            assert.deepEqual(
                [s.cols, s.rows, s.x, s.y, s.modes].join(' ') + ' ' + hex(s.title), rest.join(' '));
        } else {
            const cells = page.readRow(s.line[row++]);
            assert.equal(cells
                             .map(c => `[${hex(c.text)},${c.width},${c.style.a},${c.style.fg},${c.style.bg},${
                                      c.style.ul}]`)
                             .join(''),
                rest[0] || '');
        }
    }
    assert.ok(screens === 600 && deltas > 400 && moves > 10, `${screens} ${deltas} ${moves}`);
});

test('broken_messages_are_refused', () => {
    const begun = () => {
        const s = new page.Screen();
        s.take(bytes('530000000c' + '0000000000000005' + '00500018' + '4300000008' + '0000000000000000'));
        assert.deepEqual([s.number, s.rows, s.cols], [5, 24, 80]);
        return s;
    };
    for (const bad of ['44000000',
             '5500000001' +
                 '06',
             '5500000004' +
                 '07' +
                 '0000' +
                 '00',
             '4400000001' +
                 '07',
             '4400000000',
             '5200000004' +
                 '0018' +
                 '0141',
             '5200000004' +
                 '0000' +
                 '0241',
             '5200000004' +
                 '0000' +
                 '1141',
             '5200000003' +
                 '0000' +
                 '0f',
             '4d00000006' +
                 '001700000002',
             '53000000020000',
             '480000000701' +
                 '00' +
                 '00000000' +
                 '41'])
        assert.throws(() => begun().take(bytes(bad)), bad);
    const s = begun(); // types of a later version are stepped over
    s.take(bytes('7e00000003' + '010203' + '5200000006' + '0000' + '0141' + '1142'));
    assert.deepEqual(s.line.slice(0, 2), ['A', 'AB']);
    s.take(bytes('4400000001' + '06'));
    assert.equal(s.number, 0, 'a screen that is not whole is none to go on from');
});

test('messages_to_the_server', () => {
    assert.equal(Buffer.from(page.message('h', [1, 1], [4, 7], [8, 9])).toString('hex'),
        '680000000d' +
            '01' +
            '00000007' +
            '0000000000000009');
    assert.equal(Buffer.from(page.message('t', '\u00e9')).toString('hex'), '7400000002c3a9');
});

test('keys_have_the_names_tmux_knows', () => {
    const key = (k, mods = '') => page.keyName({
        key: k,
        ctrlKey: mods.includes('c'),
        altKey: mods.includes('a'),
        shiftKey: mods.includes('s'),
        metaKey: mods.includes('m'),
        isComposing: mods.includes('i')
    });
    for (const [k, mods, want] of [['a', '', null], ['A', 's', null], ['a', 'c', 'C-a'], ['A', 'cs', 'C-a'],
             ['x', 'a', 'M-x'], ['x', 'ca', 'C-M-x'], ['Enter', '', 'Enter'], ['Tab', '', 'Tab'],
             ['Tab', 's', 'BTab'], ['ArrowUp', 'cs', 'C-S-Up'], ['F12', '', 'F12'], ['F13', '', null],
             ['Delete', '', 'DC'], [' ', 'c', 'C-Space'], [' ', '', null], ['Dead', '', null],
             ['Process', '', null], ['\u00e9', 'a', null], ['a', 'm', null], ['Enter', 'i', null],
             ['Backspace', 's', 'BSpace'], ['Shift', 's', null], ['/', 'c', 'C-/']])
        assert.equal(key(k, mods), want, `${k} ${mods}`);
});

test('colours_and_looks', () => {
    assert.equal(page.paletteColour(16, 'dark'), 'rgb(0,0,0)');
    assert.equal(page.paletteColour(231, 'dark'), 'rgb(255,255,255)');
    assert.equal(page.paletteColour(110, 'dark'), 'rgb(135,175,215)');
    assert.equal(page.paletteColour(232, 'dark'), 'rgb(8,8,8)');
    assert.equal(page.paletteColour(255, 'dark'), 'rgb(238,238,238)');
    assert.deepEqual(page.look({a: 0, fg: 0, bg: 0, ul: 0}, 'dark'), {});
    assert.deepEqual(page.look({a: 128, fg: 0x2010203, bg: 0, ul: 0}, 'dark'),
        {color: 'var(--bg)', backgroundColor: 'rgb(1,2,3)'});
    assert.deepEqual(page.look({a: 1 | 4 | 3 << 3 | 512, fg: 0, bg: 0, ul: 0x2000009}, 'dark'), {
        fontWeight: 'bold',
        fontStyle: 'italic',
        textDecorationLine: 'underline line-through',
        textDecorationStyle: 'wavy',
        textDecorationColor: 'rgb(0,0,9)'
    });
});

process.exit(failed ? 1 : 0);
