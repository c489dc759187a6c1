/** What it takes to believe, after an unclear ending, where a VM is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Presence, VmPlacement } from '@lmas/plugin-api';
import { whereIs } from '@lmas/plugin-api';
import { Journal } from './journal.ts';
import { restsAt, runsOnlyAt } from './late-sighting.ts';

const seen = (source: Presence, destination: Presence, changes: Partial<VmPlacement> = {}): VmPlacement => ({
  ...{ source, destination, where: whereIs(source, destination), moving: false },
  ...changes,
});

test('it runs at one end, the other one has answered, and nothing moves', () => {
  assert.equal(runsOnlyAt(seen('running', 'absent')), 'source');
  assert.equal(runsOnlyAt(seen('absent', 'running')), 'destination');
  assert.equal(runsOnlyAt(seen('stopped', 'running')), 'destination');
});

test('everything less is left to a person', () => {
  const unclear = [
    ...[seen('running', 'unreachable'), seen('unreachable', 'running'), seen('running', 'running')],
    ...[seen('running', 'incoming'), seen('running', 'stopped'), seen('running', 'paused'), seen('paused', 'running')],
    ...[seen('paused', 'absent'), seen('stopped', 'absent'), seen('absent', 'stopped'), seen('absent', 'absent')],
    ...[seen('running', 'absent', { moving: true }), seen('absent', 'running', { postCopy: 'broken' })],
  ];
  assert.deepEqual(
    unclear.filter((placement) => runsOnlyAt(placement) !== undefined),
    [],
  );
});

test('one that is powered off is found where its hypervisor leaves no doubt, and nowhere else', () => {
  assert.equal(restsAt(seen('absent', 'stopped', { atRest: true })), 'destination');
  assert.equal(restsAt(seen('stopped', 'absent', { atRest: true })), 'source');
  const unclear = [
    ...[seen('absent', 'stopped'), seen('stopped', 'absent'), seen('absent', 'stopped', { atRest: false })],
    ...[seen('stopped', 'stopped', { atRest: true }), seen('absent', 'stopped', { atRest: true, moving: true })],
  ];
  assert.deepEqual(
    unclear.filter((placement) => restsAt(placement) !== undefined),
    [],
  );
});

test('what is left on purpose is journalled as such, once, and is still to be released', async () => {
  const written: (string | null)[] = [];
  const journal = new Journal([], async ({ leftAt, releasedAt }) => void written.push(leftAt, releasedAt));
  const resource = { kind: 'barrier', end: 'source', site: 'a' } as const;
  await journal.intend(resource);
  await journal.markLeft(resource);
  await journal.markLeft(resource);
  assert.deepEqual(
    written.map((time) => time === null),
    [true, true, false, true],
  );
  assert.deepEqual(journal.unreleased(), [resource]);
  await journal.markReleased(resource);
  assert.deepEqual(journal.unreleased(), []);
});
