import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Sample, sampleLine, sampleTable, summarize } from './sample.ts';
import { markdownTable, textTable } from './table.ts';

const sample = (who: string, ms: number | null, ...disturbed: string[]): Sample => ({
  labels: { who },
  values: { ms },
  disturbed,
});
const columns = { ms: { title: 'wait, ms', text: (value: number) => value.toFixed(1) } };

test('samples with the same labels are one row, their median; disturbed ones only where there is no other', () => {
  const rows = summarize([sample('a', 1), sample('b', 9, 'noise'), sample('a', 3), sample('a', 100, 'noise')]);
  assert.deepEqual(rows, [
    { labels: { who: 'a' }, values: { ms: 2 }, measurements: 2, trusted: true },
    { labels: { who: 'b' }, values: { ms: 9 }, measurements: 1, trusted: false },
  ]);
});

test('what could not be known stays unknown, and counts for nothing', () => {
  assert.equal(summarize([sample('a', null)])[0]?.values.ms, null);
  assert.equal(summarize([sample('a', null), sample('a', 4)])[0]?.values.ms, 4);
});

test('rows become tables of text and of Markdown, and what is not to be trusted is marked', () => {
  const table = sampleTable(summarize([sample('one', 12.34), sample('another', null, 'noise')]), columns);
  assert.equal(textTable(table), ['who      wait, ms', 'one          12.3', 'another       — *'].join('\n'));
  assert.equal(
    markdownTable(table),
    ['| who | wait, ms |', '| --- | ---: |', '| one | 12.3 |', '| another | — * |'].join('\n'),
  );
});

test('a sample in one line says why it is not to be trusted', () => {
  assert.equal(sampleLine(sample('a', 1, 'noise'), columns), 'a: wait, ms 1.0  DISTURBED: noise');
});
