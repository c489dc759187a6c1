import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Column, renderTable } from './table.ts';
import { displayWidth, printable, truncate } from './text.ts';

interface Row {
  id: string;
  name: string;
  place: string;
  size: string;
}
const columns: Column<Row>[] = [
  { title: 'ID', value: ({ id }) => id },
  { title: 'NAME', value: ({ name }) => name, minWidth: 6 },
  { title: 'PLACE', value: ({ place }) => place, dropOrder: 1 },
  { title: 'SIZE', value: ({ size }) => size, align: 'right' },
];
const rows: Row[] = [
  { id: 'm_0001', name: 'a-very-long-name-indeed', place: 'host-a', size: '1 GiB' },
  { id: 'm_2', name: 'db', place: 'host-b', size: '16 GiB' },
];

test('with room for everything nothing is cut', () => {
  assert.equal(
    renderTable(columns, rows, Number.POSITIVE_INFINITY),
    [
      'ID      NAME                     PLACE     SIZE',
      'm_0001  a-very-long-name-indeed  host-a   1 GiB',
      'm_2     db                       host-b  16 GiB',
      '',
    ].join('\n'),
  );
});

test('one absurdly long cell makes no line as long, not in a pipe either', () => {
  const absurd = { id: 'm_3', name: 'x'.repeat(100_000), place: 'host-a', size: '' };
  for (const width of [Number.POSITIVE_INFINITY, 200, 10]) {
    const text = renderTable(columns, [...rows, absurd], width);
    assert.ok(text.split('\n').every((line) => displayWidth(line) < 300));
    assert.match(text, /x…/);
  }
});

test('first long cells are cut, then a column is left out', () => {
  assert.equal(
    renderTable(columns, rows, 36),
    [
      'ID      NAME          PLACE     SIZE',
      'm_0001  a-very-long…  host-a   1 GiB',
      'm_2     db            host-b  16 GiB',
      '',
    ].join('\n'),
  );
  assert.ok(!renderTable(columns, rows, 28).includes('PLACE'));
});

test('no line is ever wider than the terminal, and ids stay whole, down to blocks', () => {
  for (let width = 60; width >= 20; width -= 1) {
    const text = renderTable(columns, rows, width);
    assert.ok(text.includes('m_0001'), `at ${width}`);
    if (text.startsWith('ID      NAME'))
      for (const line of text.split('\n')) assert.ok(displayWidth(line) <= width, `at ${width}: ${line}`);
  }
  assert.match(renderTable(columns, rows, 16), /^ID {5}m_0001\nNAME {3}a-very-long-name-indeed\n/);
});

test('wide and combining characters keep the columns straight', () => {
  const text = renderTable(columns, [{ id: 'm_1', name: '数据库', place: 'Zu\u0308rich', size: '🚚' }], 80);
  const [head = '', body = ''] = text.split('\n');
  assert.equal(displayWidth(body.slice(0, body.indexOf('Zu'))), head.indexOf('PLACE'));
  assert.equal(truncate('数据库', 5), '数据…');
});

test('nothing from outside can steer the terminal', () => {
  const text = renderTable(columns, [{ id: 'm_1', name: '\u001b[2Jx\n\u0007\u202ey', place: '', size: '' }], 80);
  assert.ok(!['\u001b', '\u0007', '\u202e'].some((character) => text.includes(character)));
  assert.equal(text.split('\n').length, 3);
  assert.equal(printable('a\r\nb', { keepNewlines: true }), 'a\nb');
});
