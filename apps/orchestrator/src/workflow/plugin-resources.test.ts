/** What is journalled, held, released, in which order, and what a failure leaves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type MigrationDriver, PluginError, type PluginResource } from '@lmas/plugin-api';
import type { Holders } from '../migrations/holders.ts';
import { intendResource, isToBeReleased, joinHolders, releaseResource, withdrawIntent } from './plugin-resources.ts';
import type { Run } from './run.ts';

const route: PluginResource = {
  kind: 'route',
  id: 'h/1',
  end: 'source',
  data: {},
  lifetime: 'migration',
  shared: true,
};
const volume: PluginResource = { kind: 'volume', id: 'v', end: 'destination', data: {} };
const { signal } = new AbortController();

/** @param others how many hold it beside us */
function parts(others: number) {
  const told: string[] = [];
  const run = {
    id: 'm_1',
    lost: signal,
    assertCurrent: async () => undefined,
    journal: {
      intend: async ({ resource, withdrawn = false }: { resource: PluginResource; withdrawn?: boolean }) =>
        void told.push(`journal ${resource.id}${withdrawn ? ', withdrawn' : ''}`),
      markReleased: async ({ resource }: { resource: PluginResource }) => void told.push(`strike out ${resource.id}`),
    },
  } as unknown as Run;
  const holders: Holders = {
    hold: async (name, _id, { onlyIfHeld = false, pending = false }) => {
      const held = !onlyIfHeld || others > 0;
      told.push(`hold ${name} ${held}${pending ? ', pending' : ''}`);
      return held;
    },
    withdraw: async (name) => void told.push(`withdraw ${name}`),
    letGo: async (name) => {
      told.push(`let go ${name}`);
      return others > 0 ? 'others' : 'last';
    },
    gone: async (name, _id, { kept = false } = {}) => void told.push(`gone ${name}${kept ? ', kept' : ''}`),
  };
  const driver = {
    release: async ({ id }: PluginResource) => void told.push(`release ${id}`),
  } as unknown as MigrationDriver;
  return { told, run, holders, driver };
}

test('what is made is journalled before it is held; what is nobody else’s is only journalled', async () => {
  const { told, run, holders } = parts(0);
  await intendResource(run, holders, route);
  await intendResource(run, holders, volume);
  assert.deepEqual(told, ['journal h/1', 'hold route:h/1 true', 'journal v']);
});

test('what is there already is held before it is journalled, and not journalled when nobody holds it', async () => {
  const alone = parts(0);
  assert.equal(await joinHolders(alone.run, alone.holders, route), false);
  assert.deepEqual(alone.told, ['hold route:h/1 false']);
  const shared = parts(1);
  assert.equal(await joinHolders(shared.run, shared.holders, route), true);
  assert.deepEqual(shared.told, ['hold route:h/1 true', 'journal h/1']);
});

test('what is asked for is held as such until it is made', async () => {
  const { told, run, holders } = parts(0);
  await intendResource(run, holders, { ...route, pending: true });
  await intendResource(run, holders, route);
  assert.deepEqual(told, ['journal h/1', 'hold route:h/1 true, pending', 'journal h/1', 'hold route:h/1 true']);
});

test('what turned out to be somebody else’s is noted as such before it is let go, and struck out then', async () => {
  for (const others of [0, 1]) {
    const { told, run, holders } = parts(others);
    await withdrawIntent(run, holders, route);
    assert.deepEqual(told, ['journal h/1, withdrawn', 'withdraw route:h/1', 'strike out h/1']);
  }
});

test('only the last one releases it; a release that failed leaves it held', async () => {
  const shared = parts(1);
  await releaseResource(shared.run, shared.holders, shared.driver, route, signal);
  assert.deepEqual(shared.told, ['let go route:h/1']);
  const last = parts(0);
  await releaseResource(last.run, last.holders, last.driver, route, signal);
  assert.deepEqual(last.told, ['let go route:h/1', 'release h/1', 'gone route:h/1']);
  const failing = parts(0);
  const driver = { release: () => Promise.reject(new Error('no answer')) } as unknown as MigrationDriver;
  await assert.rejects(releaseResource(failing.run, failing.holders, driver, route, signal), /no answer/);
  assert.deepEqual(failing.told, ['let go route:h/1', 'gone route:h/1, kept']);
});

test('what was given up half-way may still be taken away: until the time limit nobody takes hold of it', async () => {
  const never = { release: () => new Promise<void>(() => undefined) } as unknown as MigrationDriver;
  const late = parts(0);
  const stopped = AbortSignal.timeout(10);
  await assert.rejects(releaseResource(late.run, late.holders, never, route, stopped), { name: 'TimeoutError' });
  assert.deepEqual(late.told, ['let go route:h/1']);
  for (const code of ['TIMEOUT', 'CONNECTION_LOST'] as const) {
    const silent = parts(0);
    const driver = { release: () => Promise.reject(new PluginError(code, 'no answer')) } as unknown as MigrationDriver;
    await assert.rejects(releaseResource(silent.run, silent.holders, driver, route, signal), { code });
    assert.deepEqual(silent.told, ['let go route:h/1']);
  }
});

test('what serves the move goes after every clear ending, what belongs to the VM only where it did not leave', () => {
  const of = (resource: PluginResource) =>
    (['source', 'destination', 'both', 'unknown'] as const).map((where) => isToBeReleased(where, resource));
  assert.deepEqual(of(route), [true, true, false, false]);
  assert.deepEqual(of(volume), [true, false, false, false]);
});
