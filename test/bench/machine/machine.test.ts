import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { reasonsOf } from './disturbance.ts';
import { addedRssBytes, ticksOf } from './usage.ts';

const quiet = { foreignCores: 0.1, stolenCores: 0, lateShare: 0.01, lostPackets: 0 };

test('a quiet machine is no reason to distrust, each disturbance is one of its own', () => {
  assert.deepEqual(reasonsOf(quiet), []);
  assert.deepEqual(reasonsOf({ ...quiet, foreignCores: 1.5 }), ['others used 1.50 cores']);
  assert.deepEqual(reasonsOf({ ...quiet, stolenCores: 0.5, lateShare: 0.2, lostPackets: 3 }), [
    '0.50 cores were stolen',
    'the link was late in 20 %',
    'the emulator lost 3 packets for want of memory',
  ]);
});

test('processor time is read behind whatever a program calls itself', () => {
  const directory = mkdtempSync(join(tmpdir(), 'bench-usage-'));
  const file = join(directory, 'stat');
  try {
    // proc(5): pid (comm) state ppid … utime 14, stime 15, cutime 16, cstime 17
    writeFileSync(file, '42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 20 0 1 0 555');
    assert.equal(ticksOf(file), 127);
    assert.equal(ticksOf(join(directory, 'gone')), 0);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('memory is that of what has come since', () => {
  const usage = (entries: [string, number][]) => ({ cpuSeconds: 0, peakRssBytes: new Map(entries) });
  const before = usage([['gw-a/1', 5]]);
  assert.equal(
    addedRssBytes(
      before,
      usage([
        ['gw-a/1', 9],
        ['gw-a/7', 10],
        ['gw-b/7', 20],
      ]),
    ),
    30,
  );
});
