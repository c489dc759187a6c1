import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sampleMigration } from '../fake-orchestrator.ts';
import { describeMigration, placeOf } from './migration-text.ts';

const outlook = { verdict: 'diverges' as const, message: 'It never ends.', advice: 'Raise the limit.', etaMs: null };
const progress = {
  ...{ stage: 'memory' as const, percent: 47, bytesTransferred: 500, bytesTotal: 1_000, bytesRemaining: 500 },
  ...{ rateBytesPerSec: 1e6, dirtyRateBytesPerSec: 2e6, iteration: 3, etaMs: null, outlook },
  at: '2026-01-01T00:01:00.000Z',
};
const startedAt = '2026-01-01T00:00:00.000Z';
const nowMs = Date.parse('2026-01-01T00:01:07.000Z');

test('whether a VM will get across is said while it moves, with what to do; not once it is over', () => {
  const moving = sampleMigration({ phase: 'performing', startedAt, progress });
  assert.match(describeMigration(moving, nowMs, 100), /Outlook +diverges: It never ends\.\n +Raise the limit\./);
  const over = sampleMigration({ phase: 'failed', startedAt, progress });
  assert.doesNotMatch(describeMigration(over, nowMs, 100), /Outlook/);
});

test('what its report warns of is told also when somebody looks later', () => {
  const warnings = ['The source pool still has a record of xdb (stopped). It must not be started there.', 'And more.'];
  const facts = { downtimeMs: 12, bytesTransferred: null, iterations: null, sourceDefinition: null, keptAtSource: [] };
  const moved = sampleMigration({ phase: 'succeeded', startedAt, report: { ...facts, warnings } });
  assert.match(describeMigration(moved, nowMs, 120), /Warnings +The source pool .* there\.\n +And more\./);
  assert.doesNotMatch(describeMigration(sampleMigration({ startedAt }), nowMs, 120), /Warnings/);
});

test('of disks that move alone it says where they are, and that the VM never left', () => {
  const vcenter = { endpoint: 'vc-a', site: 'a' };
  const placeWith = (where: 'source' | 'destination' | 'unknown'): string =>
    placeOf(sampleMigration({ where, source: vcenter, destination: vcenter }));
  assert.equal(placeWith('source'), 'at vc-a, its disks where they were');
  assert.equal(placeWith('destination'), 'at vc-a, its disks where they were to go');
  assert.equal(placeWith('unknown'), 'at vc-a; where its disks are was not seen');
});
