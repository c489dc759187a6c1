import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MigrationEvent } from '@lmas/client';
import { sampleOf, thinned } from './history.ts';

function event(over: object): MigrationEvent {
  const migration = {
    phase: 'performing',
    progress: { rateBytesPerSec: 100, dirtyRateBytesPerSec: 10 },
    tunnel: null,
    ...over,
  };
  return { at: '2030-01-01T00:00:01.000Z', type: 'progress', message: '', migration } as unknown as MigrationEvent;
}

test('what the tunnel delivers counts; without one, what the hypervisor says', () => {
  assert.deepEqual(sampleOf(event({})), {
    atMs: Date.parse('2030-01-01T00:00:01.000Z'),
    throughputBitsPerSec: 800,
    dirtyRateBitsPerSec: 80,
  });
  assert.equal(sampleOf(event({ tunnel: { now: { sendBitsPerSec: 900 } } }))?.throughputBitsPerSec, 900);
});

test('only while memory moves is there anything to plot', () => {
  assert.equal(sampleOf(event({ phase: 'checking' })), undefined);
  assert.equal(sampleOf(event({ progress: null })), undefined);
});

test('a long course is thinned out where it is old, and keeps its ends', () => {
  const samples = Array.from({ length: 1_801 }, (_, atMs) => ({
    atMs,
    throughputBitsPerSec: 1,
    dirtyRateBitsPerSec: 1,
  }));
  const kept = thinned(samples);
  assert.equal(kept.length, 1_351);
  assert.equal(kept[0]?.atMs, 0);
  assert.deepEqual(kept.slice(-900), samples.slice(-900));
  assert.equal(thinned(samples.slice(1)).length, 1_800);
});
