/** Cancels whose call is lost or refused: XAPI is told until it has answered, for who has asked believes that it stops. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { createXenPlugin } from '@lmas/plugin-xen';
import { XenWorld } from '../compliance/xen-world.ts';
import { assertOneAt, context, driverOf, perform } from './driving.ts';

const signal = AbortSignal.timeout(110_000);
const silent = () => undefined;

for (const [how, by] of [
  ['its connection was closed', 'hanging-up'],
  ['nobody was behind the proxy', 503],
] as const) {
  test(`a cancel that never reached XAPI is repeated until it has answered (${how})`, async () => {
    await using world = await XenWorld.make();
    const { faults, calls } = world.source;
    const mind = new AbortController();
    faults.bytesPerSec = 10e6;
    faults.turnAway = { method: 'task.cancel', by, times: 2 };
    world.whilePerforming(() => mind.abort());
    const driver = await driverOf(world);
    const prepared = await driver.prepare({ signal });
    await assert.rejects(perform(driver, prepared, mind.signal), { code: 'ABORTED' });
    assert.equal(calls.filter((method) => method === 'task.cancel').length, 3);
    assert.equal((await driver.abort({ signal })).where, 'source');
    assertOneAt(world, 'source');
  });
}

test('XAPI refuses the cancel: that is an answer, and is logged', async () => {
  await using world = await XenWorld.make();
  const { faults, calls } = world.source;
  const mind = new AbortController();
  faults.refuse = { method: 'task.cancel', code: 'OPERATION_NOT_ALLOWED', times: 9 };
  world.whilePerforming(() => mind.abort());
  const warnings: unknown[] = [];
  const log = { ...context.log, warn: (fields: object) => void warnings.push(fields) };
  const driver = await driverOf(world, {}, { ...context, log });
  const prepared = await driver.prepare({ signal });
  await perform(driver, prepared, mind.signal);
  assert.equal(calls.filter((method) => method === 'task.cancel').length, 1);
  assert.ok(warnings.some((fields) => inspect(fields).includes('OPERATION_NOT_ALLOWED')));
  await driver.confirm(prepared, { signal });
  assertOneAt(world, 'destination');
});

const SECONDS_20 = createXenPlugin({ settleMs: 20_000 });

for (const [how, by] of [
  ['its connection is closed', 'hanging-up'],
  ['its packets are dropped', 'saying-nothing'],
] as const)
  test(`a recovery whose cancel is lost makes it again, as long as it has time (${how})`, async () => {
    await using world = await XenWorld.make();
    const { faults } = world.source;
    faults.holdAt = 'memory';
    const begun = Promise.withResolvers<void>();
    world.whilePerforming(() => begun.resolve());
    const first = await driverOf(world);
    const performing = perform(first, await first.prepare({ signal })).catch(silent);
    await begun.promise;
    world.killOrchestrator();
    await performing;
    faults.turnAway = { method: 'task.cancel', by };
    const { where, moving } = await (await driverOf(world, {}, context, SECONDS_20)).abort({ signal });
    assert.deepEqual({ where, moving }, { where: 'source', moving: false });
    assertOneAt(world, 'source');
  });
