/** In which order things are taken down, and what waits for what. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PluginError, type PluginErrorCode, type PluginResource } from '@lmas/plugin-api';
import { resourceSchema } from '../migrations/journal-entry.ts';
import type { Hypervisors } from './hypervisors.ts';
import { Journal } from './journal.ts';
import type { Run } from './run.ts';
import { tearDown } from './teardown.ts';
import type { Tools } from './tools.ts';

const route: PluginResource = {
  ...{ kind: 'route', id: 'r', end: 'source', data: {}, lifetime: 'migration', shared: true, leadsToBarrier: true },
  byHand: 'Take it away.',
};
const setting: PluginResource = {
  ...{ kind: 'setting', id: 's', end: 'source', data: {}, lifetime: 'migration', behindBarrier: true },
};

const journalled = (resource: PluginResource, notes: { withdrawn?: true } = {}) =>
  resourceSchema.parse({ kind: 'plugin', resource, ...notes });

/** A migration whose VM is there, and a hypervisor that answers the release of what `refuses` names with that. */
function parts(where: 'source' | 'unknown', refuses: Map<string, PluginErrorCode>) {
  const told: string[] = [];
  const journal = new Journal([], async () => undefined);
  const migration: { where: 'source' | 'unknown' | 'both'; byHand: null; purpose: string } = {
    ...{ where, byHand: null, purpose: 'move' },
  };
  const run = {
    ...{
      id: 'm_1',
      journal,
      migration,
      notes: { isOpen: false },
      lost: new AbortController().signal,
    },
    ...{ log: { warn: () => undefined }, assertCurrent: async () => undefined },
  } as unknown as Run;
  const holders = {
    letGo: async () => 'last',
    gone: async (_name: string, _id: string, { kept = false } = {}) => void (kept && told.push('kept')),
    withdraw: async (name: string) => void told.push(`withdraw ${name}`),
  };
  const release = async ({ kind }: PluginResource): Promise<void> => {
    const code = refuses.get(kind);
    if (code !== undefined) throw new PluginError(code, 'no');
    told.push(`release ${kind}`);
  };
  const hypervisors = { releaser: async () => ({ release }) } as unknown as Hypervisors;
  const tools = { settings: { teardownMs: 10_000 }, holders } as unknown as Tools;
  return { told, journal, migration, takeDown: () => tearDown(run, tools, hypervisors) };
}

test('what leads to a barrier stays as long as something stands behind it', async () => {
  const refuses = new Map<string, PluginErrorCode>([['setting', 'UNREACHABLE']]);
  const { told, journal, takeDown } = parts('source', refuses);
  await journal.intend(journalled(route));
  await journal.intend(journalled(setting));
  const { failed } = await takeDown();
  assert.deepEqual(told, []);
  assert.deepEqual(
    failed.map(({ outOfReach }) => outOfReach),
    [true, true],
    'it waits for what is out of reach, and can be given up with it',
  );
  assert.match(failed[1]?.text ?? '', /^route r at the source: It leads to a barrier.* Take it away\.$/);
  refuses.clear();
  assert.deepEqual((await takeDown()).failed, []);
  assert.deepEqual(told, ['release setting', 'release route']);
});

test('an intent that was withdrawn by a run that died is struck out by the next one, and nothing is taken away', async () => {
  for (const where of ['source', 'unknown'] as const) {
    const { told, journal, takeDown } = parts(where, new Map());
    await journal.intend(journalled(route, { withdrawn: true }));
    assert.deepEqual(await takeDown(), { failed: [], left: [], told: [] });
    assert.deepEqual([told, journal.unreleased()], [['withdraw route:r'], []]);
  }
});

test('what was left while nobody knew where the VM runs goes once it is found at the source, but for what was made for it at the destination', async () => {
  const autostart: PluginResource = { kind: 'autostart', id: 'web', end: 'source', data: {} };
  const volume: PluginResource = { kind: 'volume', id: 'v', end: 'destination', data: {} };
  const { told, journal, migration, takeDown } = parts('unknown', new Map());
  for (const resource of [autostart, volume]) await journal.intend(journalled(resource));
  assert.equal((await takeDown()).left.length, 2);
  assert.deepEqual(told, []);
  migration.where = 'source';
  const { failed, left } = await takeDown();
  assert.deepEqual([failed, left.length], [[], 1]);
  assert.match(left[0] ?? '', /^volume v at the destination: left alone, the VM may have run with it/);
  assert.deepEqual([told, journal.unreleased().length], [['release autostart'], 1]);
});

test('what a relocation has made at the destination is held: it goes once the VM is found at the source, unless it was seen at both', async () => {
  for (const where of ['unknown', 'both'] as const) {
    const volume: PluginResource = { kind: 'volume', id: 'v', end: 'destination', data: {} };
    const { told, journal, migration, takeDown } = parts('unknown', new Map());
    Object.assign(migration, { where, purpose: 'relocation' });
    await journal.intend(journalled(volume));
    assert.equal((await takeDown()).left.length, 1);
    migration.where = 'source';
    assert.equal((await takeDown()).left.length, where === 'both' ? 1 : 0);
    assert.deepEqual(told, where === 'both' ? [] : ['release volume']);
  }
});
