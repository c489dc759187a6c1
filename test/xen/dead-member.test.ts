/**
 * A member that dies without a word: what is connected to it stays so, and nobody answers. The pool is found at the others, and no call
 * is made twice for that.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { plugin, XenWorld } from '../compliance/xen-world.ts';
import { assertOneAt, context, driverOf, perform, requestOf } from './driving.ts';
import { nameOf } from './loopback-names.ts';

const signal = AbortSignal.timeout(170_000);
async function settled(holds: () => boolean, what = 'settled'): Promise<void> {
  for (const started = performance.now(); !holds(); await sleep(10)) {
    assert.ok(performance.now() - started < 5_000, what);
  }
}
const count = (calls: readonly string[], method: string): number => calls.filter((call) => call === method).length;

test('the coordinator dies while memory moves, and the other member takes over: it is asked, and the guest is at the source', async () => {
  await using world = await XenWorld.make();
  const { source } = world;
  source.faults.holdAt = 'memory';
  const died = Promise.withResolvers<void>();
  world.whilePerforming(() => {
    source.silence(0).then(() => {
      source.setCoordinator(1);
      died.resolve();
    }, died.reject);
  });
  const driver = await driverOf(world);
  const performing = assert.rejects(perform(driver, await driver.prepare({ signal })), { code: 'CONNECTION_LOST' });
  await died.promise;
  await performing;
  const { where, moving } = await driver.abort({ signal });
  assert.deepEqual({ where, moving }, { where: 'source', moving: false });
  assert.equal(count(source.calls, 'Async.VM.migrate_send'), 1);
  assertOneAt(world, 'source');
});

test('the member that the settings name is dead: the others that they name are asked, and one that is silent is waited for once', async () => {
  await using world = await XenWorld.make();
  const { source } = world;
  const [dead, other] = source.members.map(({ management }) => management);
  await source.silence(0);
  const session = (more: object) => world.session(source, undefined, undefined, [], more);
  const started = performance.now();
  await assert.rejects(session({ otherMembers: [other] }), { code: 'UNREACHABLE' });
  const waitedMs = performance.now() - started;
  assert.ok(waitedMs < 15_000, `the other one calls the dead one coordinator, which was asked already: ${waitedMs} ms`);
  source.setCoordinator(1);
  const found = await session({ otherMembers: [other] });
  assert.equal((await found.findVm(world.vm.id, { signal })).presence, 'running');
  assert.equal((await session({ host: other, otherMembers: [dead] })).closed.aborted, false);
});

test('a call that was lost is not repeated; the next one is made with a new login', async () => {
  await using world = await XenWorld.make();
  const { source } = world;
  const session = await world.session(source);
  const logins = count(source.calls, 'session.login_with_password');
  source.faults.loseReplyOf = 'event.from';
  await assert.rejects(session.findVm(world.vm.id, { signal }), { code: 'CONNECTION_LOST' });
  assert.deepEqual([count(source.calls, 'event.from'), source.sessions.count], [1, 1]);
  await session.findVm(world.vm.id, { signal });
  assert.equal(count(source.calls, 'session.login_with_password'), logins + 1);
  await settled(() => source.sessions.count === 1, 'the session that was given up is ended with the next login');
  await session.close();
  assert.equal(source.sessions.count, 0);
});

test('sessions that were given up are ended with the last one of them, too, though nobody is logged in then', async () => {
  await using world = await XenWorld.make();
  const { source } = world;
  const session = await world.session(source);
  source.faults.loseReplyOf = 'event.from';
  await assert.rejects(session.findVm(world.vm.id, { signal }), { code: 'CONNECTION_LOST' });
  await session.close();
  assert.equal(source.sessions.count, 0);
});

for (const [how, faults] of [
  ['lost', { loseReplyOf: 'event.from' }],
  ['answered by a proxy', { turnAway: { method: 'event.from', by: 503 } }],
] as const) {
  test(`the coordinator alone is pinned, and an answer is ${how}: the other member is passed over, and the pool is found`, async () => {
    await using world = await XenWorld.make();
    const { source } = world;
    const session = await world.session(source, undefined, 'alpha-1');
    await session.findVm(world.vm.id, { signal }); // from here on the other member is known
    await settled(() => source.sessions.count === 1);
    Object.assign(source.faults, faults);
    await assert.rejects(session.findVm(world.vm.id, { signal }));
    assert.equal((await session.findVm(world.vm.id, { signal })).presence, 'running');
    assert.equal(source.redirects, 0, 'the one that is not trusted was asked for nothing');
    source.setCoordinator(1);
    await assert.rejects(session.findVm(world.vm.id, { signal }), { code: 'HOST_KEY_MISMATCH' });
    source.setCoordinator(0);
    assert.equal((await session.findVm(world.vm.id, { signal })).presence, 'running');
  });
}

test('the coordinator alone is pinned, and an answer is lost while the guest moves: the move is followed to its end', async () => {
  await using world = await XenWorld.make();
  const { source, destination } = world;
  const ends = {
    source: await world.session(source, undefined, 'alpha-1'),
    destination: await world.session(destination, undefined, 'beta-1'),
  };
  const driver = plugin.migration(ends as never, requestOf(world), context);
  const prepared = await driver.prepare({ signal });
  world.whilePerforming(() => Object.assign(source.faults, { loseReplyOf: 'event.from' }));
  await perform(driver, prepared);
  assert.equal(source.faults.loseReplyOf, undefined, 'one was lost');
  await driver.confirm(prepared, { signal });
  assert.equal(count(source.calls, 'Async.VM.migrate_send'), 1);
  assertOneAt(world, 'destination');
});

test('a member that the settings name is known by its address as well: dead, it is waited for once', async () => {
  await using world = await XenWorld.make();
  const { source } = world;
  const [dead = '', other] = source.members.map(({ management }) => management);
  await source.silence(0);
  const started = performance.now();
  const session = world.session(source, undefined, undefined, [], { host: nameOf(dead), otherMembers: [other] });
  await assert.rejects(session, { code: 'UNREACHABLE' });
  const waitedMs = performance.now() - started;
  assert.ok(waitedMs < 15_000, `what the other one calls coordinator was asked already: ${waitedMs} ms`);
});
