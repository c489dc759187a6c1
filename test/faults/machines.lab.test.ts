/** A short play of `npm run faults` with a seed of its own: real hosts, real guests, several faults at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { machines } from './machines.ts';

const isRoot = process.getuid?.() === 0;
const skip = isRoot ? false : 'the lab needs root: run this as root to migrate real guests';
const SECONDS = 45;
const SEED = 20_121_122;

test('machines and daemons fail at random, and every promise holds', { skip, timeout: 300_000 }, async (t) => {
  let rounds = 0;
  await machines.play({
    seconds: SECONDS,
    seed: SEED,
    signal: t.signal,
    onRound: (line) => {
      rounds += 1;
      t.diagnostic(line.trim());
    },
  });
  assert.ok(rounds >= 1);
});
