import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { allGood, type DemoResult, type DemoRun, renderJson, renderTable, writeFailure } from './demo-report.ts';

const run: DemoRun = {
  succeeded: true,
  totalMs: 14_000,
  downtimeMs: 240,
  bytes: 1.1e9,
  goodputBitsPerSec: 9e8,
  linkShare: 0.95,
  iterations: 4,
  memoryVerified: true,
  maxCopies: 1,
};
const result: DemoResult = {
  link: { rateMbit: 1_000, rttMs: 100, lossPct: 0, kind: 'emulated' },
  direct: { ...run, totalMs: 56_000 },
  lmas: run,
  ratio: 4,
  leftovers: [],
};

test('the demonstration is good only if every promise held', () => {
  assert.equal(allGood(result), true);
  assert.equal(allGood({ ...result, leftovers: ['gw-a: process lmas-gateway'] }), false);
  for (const broken of [
    { succeeded: false },
    { memoryVerified: false },
    { maxCopies: 2 },
    { maxCopies: 0 },
    { iterations: 2 },
    { iterations: null },
  ]) {
    assert.equal(allGood({ ...result, lmas: { ...run, ...broken } }), false);
    assert.equal(allGood({ ...result, direct: { ...run, ...broken } }), false);
  }
});

test('the table says what failed and what was left', () => {
  const table = renderTable({ ...result, lmas: { ...run, memoryVerified: false }, leftovers: ['gw-a: file x'] });
  assert.match(table, /guest memory verified +yes +NO/);
  assert.match(table, /gw-a: file x/);
});

test('for scripts milliseconds are whole, and nothing else is rounded', () => {
  const measured = { ...run, totalMs: 14_000.123_456, downtimeMs: 240.7, linkShare: 0.951, migration: { id: 'm' } };
  const read = JSON.parse(renderJson({ ...result, lmas: measured, ratio: 4.001 }));
  assert.deepEqual(read, { ...result, lmas: { ...run, downtimeMs: 241, linkShare: 0.951 }, ratio: 4.001 });
});

test('the columns line up', () => {
  const rows = renderTable(result)
    .split('\n')
    .filter((line) => /^ {2}(total|bytes|share)/.test(line));
  assert.equal(new Set(rows.map((row) => row.length)).size, 1);
});

test('what went wrong is written as JSON; where that cannot be, both are told', () => {
  const directory = mkdtempSync(join(tmpdir(), 'lmas-demo-report-'));
  try {
    const lines: string[] = [];
    const file = join(directory, 'result.json');
    writeFailure(file, new Error('the lab did not come up'), (line) => lines.push(line));
    assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), { error: 'the lab did not come up' });
    assert.equal(lines.length, 0);
    writeFailure(join(directory, 'gone', 'result.json'), new Error('the lab did not come up'), (line) =>
      lines.push(line),
    );
    assert.match(lines.join(), /^--json .*result\.json could not be written: ENOENT/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
