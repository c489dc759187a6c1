import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Presence, type Where, whereIs } from './placement.ts';

const verdicts: [source: Presence, destination: Presence, where: Where][] = [
  ['running', 'absent', 'source'],
  ['running', 'incoming', 'source'],
  ['running', 'paused', 'source'],
  ['running', 'stopped', 'source'],
  ['running', 'running', 'both'],
  ['paused', 'running', 'destination'],
  ['absent', 'running', 'destination'],
  ['stopped', 'running', 'destination'],
  ['paused', 'incoming', 'source'],
  ['paused', 'absent', 'source'],
  ['paused', 'paused', 'unknown'],
  ['absent', 'paused', 'destination'],
  ['stopped', 'absent', 'source'],
  ['absent', 'stopped', 'destination'],
  ['stopped', 'stopped', 'unknown'],
  ['absent', 'absent', 'unknown'],
  ['absent', 'incoming', 'unknown'],
];

for (const [source, destination, where] of verdicts) {
  test(`source ${source}, destination ${destination}: ${where}`, () => {
    assert.equal(whereIs(source, destination), where);
  });
}

test('an end that did not answer never yields a verdict, except that nothing is ever read into its silence', () => {
  const others: Presence[] = ['running', 'paused', 'incoming', 'stopped', 'absent', 'unreachable'];
  for (const other of others) {
    assert.equal(whereIs('unreachable', other), 'unknown');
    assert.equal(whereIs(other, 'unreachable'), 'unknown');
  }
});
