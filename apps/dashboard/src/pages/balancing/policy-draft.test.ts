import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BalancingPolicy } from '@lmas/client';
import { usesAfter } from './after-moves.ts';
import { draftOf, emptyPolicy, settingsOf } from './policy-draft.ts';

const resource = { weight: 1, high: 0.85, low: 0.57 };
const policy = {
  id: 'hall-1',
  description: '',
  endpoints: ['host-a', 'host-b'],
  mode: 'propose',
  counts: 'vms',
  cpu: resource,
  memory: resource,
  network: { ...resource, weight: 0 },
  networkCapacityBytesPerSec: { 'host-a': 125_000_000 },
  intervalMs: 90_000,
  minGain: 0.05,
  maxMovesPerHour: 6,
  maxConcurrent: 1,
  rules: { pinned: ['db-*'], ignored: ['test-*'], affinity: [], antiAffinity: [{ vms: ['web-1', 'web-2'] }] },
  migration: { transport: 'direct', priority: 70 },
  pausedAt: null,
  createdAt: '2030-01-01T00:00:00.000Z',
} as unknown as BalancingPolicy;

test('a policy goes through the form and back as it was, also what the form has no field for', () => {
  const { id: _, pausedAt: __, createdAt: ___, ...settings } = policy;
  assert.deepEqual(settingsOf(draftOf(policy), policy), settings);
  assert.equal(draftOf(policy).thresholds.cpu.low, 57, 'no 56.99999999999999');
});

test('what was typed becomes settings in the units of the API', () => {
  const settings = settingsOf({ ...emptyPolicy, apart: ' web-* , \n\nmail-1,mail-2', intervalMinutes: 0.5 });
  assert.deepEqual(settings.rules?.antiAffinity, [{ vms: ['web-*'] }, { vms: ['mail-1', 'mail-2'] }]);
  assert.deepEqual([settings.intervalMs, settings.cpu?.high, settings.minGain], [30_000, 0.85, 0.05]);
});

test('hosts will use what the last move that concerns them expects', () => {
  const uses = (cpu: number) => ({ cpu, memory: null, network: null });
  const after = usesAfter([
    { source: 'a', destination: 'b', expected: { source: uses(0.7), destination: uses(0.5) } },
    { source: 'a', destination: 'c', expected: { source: uses(0.6), destination: uses(0.4) } },
  ]);
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((host) => after.get(host)?.cpu),
    [0.6, 0.5, 0.4, undefined],
  );
});
