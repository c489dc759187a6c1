/**
 * A member that dies without a word: what is connected to it stays so, and nobody answers. The pool is found at the others, and no call
 * is made twice for that.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XenWorld } from '../compliance/xen-world.ts';
import { assertOneAt, driverOf, perform } from './driving.ts';

const signal = AbortSignal.timeout(170_000);
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
  await session.close();
  assert.equal(source.sessions.count, 0, 'the one that was given up is ended, too');
});
