/** A migration of which one pool cannot be connected to: the other one is asked alone, and nothing is claimed of what nobody has answered. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EndpointSession, type MigrationDriver, PluginError, type PluginResource } from '@lmas/plugin-api';
import { XenWorld } from '../compliance/xen-world.ts';
import { assertOneAt, context, driverOf, impatient, journalling, perform, requestOf } from './driving.ts';

const signal = AbortSignal.timeout(110_000);
const silent = () => undefined;
const REASON = new PluginError('UNREACHABLE', 'nobody is there');
const isReason = (error: { code?: string; message: string }): boolean =>
  error.code === 'UNREACHABLE' && error.message.includes('nobody is there');

type End = 'source' | 'destination';
type Hosts = Readonly<Record<End, readonly string[]>>;
const EVERY: Hosts = { source: [], destination: [] };
const ONE_POOL: Hosts = { source: ['alpha-1'], destination: ['alpha-2'] };

/** A driver as a recovery makes it, with what stands for that end. With `hosts` of one pool, both ends are the source's. */
async function driverWithout(away: End | undefined, world: XenWorld, hosts = EVERY): Promise<MigrationDriver> {
  const of = async (end: End): Promise<EndpointSession> => {
    const pool = hosts === EVERY ? world[end] : world.source;
    if (end === away) return world.standIn(pool, REASON, hosts[end]);
    return await world.session(pool, undefined, undefined, hosts[end]);
  };
  const ends = { source: await of('source'), destination: await of('destination') };
  return impatient.migration(ends, requestOf(world), context);
}

test('what stands for a pool answers every question with the reason, and can be closed', async () => {
  await using world = await XenWorld.make();
  const session = world.standIn(world.source, REASON);
  assert.equal(session.closed.reason, REASON);
  await assert.rejects(session.inventory({ signal }), isReason);
  await assert.rejects(session.findVm(world.vm.name, { signal }), isReason);
  await assert.rejects(async () => await session.load?.({ signal, intervalMs: 1_000 }), isReason);
  const steps = await Array.fromAsync(session.verify?.({ signal }) ?? []);
  assert.ok(steps.length > 0 && steps.every(({ outcome }) => outcome !== 'ok'));
  await session.close();
  await session.close();
  assert.deepEqual(world.source.calls, []);
});

for (const away of ['source', 'destination'] as const) {
  test(`without the ${away} nothing is begun, and nothing ended`, async () => {
    await using world = await XenWorld.make();
    const driver = await driverWithout(away, world);
    await assert.rejects(driver.check({ signal }), isReason);
    await assert.rejects(driver.prepare({ signal }), isReason);
    const prepared = { flows: [], sourceAddresses: [], state: null };
    await assert.rejects(driver.confirm(prepared, { signal }), { code: 'OUTCOME_UNKNOWN' });
    const { where, [away]: presence } = await driver.abort({ signal });
    assert.deepEqual([where, presence], ['unknown', 'unreachable']);
    assertOneAt(world, 'source');
  });
}

for (const wanted of ['goes on', 'is cancelled'] as const) {
  test(`without the destination the source tells of the move, which ${wanted}, and gives up what is there`, async () => {
    await using world = await XenWorld.make();
    const { source } = world;
    const journal: PluginResource[] = [];
    source.faults.holdAt = 'memory';
    const begun = Promise.withResolvers<void>();
    world.whilePerforming(() => begun.resolve());
    const first = await driverOf(world, {}, journalling(journal));
    const performing = perform(first, await first.prepare({ signal })).catch(silent);
    await begun.promise;
    world.killOrchestrator();
    await performing;
    const driver = await driverWithout('destination', world);
    const seen = await driver.locate({ signal });
    assert.deepEqual(
      [seen.source, seen.destination, seen.where, seen.moving],
      ['running', 'unreachable', 'unknown', true],
    );
    const mark = journal.find(({ kind }) => kind === 'mark');
    assert.ok(mark !== undefined);
    if (wanted === 'is cancelled') {
      const after = await driver.abort({ signal });
      assert.deepEqual([after.source, after.where, after.moving], ['running', 'unknown', false]);
      assert.ok(source.calls.includes('task.cancel'));
      await driver.release(mark, { signal });
      assert.deepEqual(source.guest(world.vm.id).other_config, {});
      assertOneAt(world, 'source');
      return;
    }
    const following = driver.follow({ signal, onProgress: silent });
    source.faults.holdAt = undefined;
    await following;
    const after = await driver.locate({ signal });
    assert.deepEqual([after.source, after.where, after.moving], ['absent', 'unknown', false]);
    await assert.rejects(driver.release(mark, { signal }), isReason, 'it went along with the guest');
    assertOneAt(world, 'destination');
  });
}

test('of one pool that spans both sites an end has the VM only if its host is surely its own', async () => {
  await using world = await XenWorld.make();
  const seenWithout = async (away: End, hosts = ONE_POOL) => {
    const { source, destination } = await (await driverWithout(away, world, hosts)).locate({ signal });
    return [source, destination];
  };
  assert.deepEqual(await seenWithout('source'), ['unreachable', 'unreachable']);
  assert.deepEqual(await seenWithout('destination'), ['running', 'unreachable']);
  assert.deepEqual(await seenWithout('destination', { ...ONE_POOL, destination: ['alpha-1', 'alpha-2'] }), [
    'unreachable',
    'unreachable',
  ]);
  const driver = await driverWithout(undefined, world, ONE_POOL);
  const prepared = await driver.prepare({ signal });
  await perform(driver, prepared);
  await driver.confirm(prepared, { signal });
  assert.deepEqual(await seenWithout('source'), ['unreachable', 'running']);
  assert.deepEqual(await seenWithout('destination'), ['unreachable', 'unreachable']);
});
