/**
 * A source older than XAPI 22.30, which sends its storage calls, and the session in them, without TLS; and a newer one, which does so when its
 * `migration-https-only` is off. No call tells that.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XenWorld } from '../compliance/xen-world.ts';
import { assertOneAt, driverOf, migrate } from './driving.ts';

const signal = AbortSignal.timeout(110_000);

test('a source that sends in the clear is led to no coordinator past the tunnel: its session would cross the link as it is', async () => {
  await using world = await XenWorld.make({ oldRelease: true, httpsOnly: false });
  const options = { destinationHost: 'beta-2' };
  const found = async (tunnelled: boolean) =>
    (await (await driverOf(world, { tunnelled, options })).check({ signal })).findings.filter(
      ({ code }) => code === 'STORAGE_REDIRECTED',
    );
  const [finding] = await found(true);
  assert.equal(finding?.severity, 'blocker');
  assert.match(finding?.message ?? '', /in the clear/);
  assert.match(finding?.remedy ?? '', /Choose beta-1 as destinationHost/);
  await assert.rejects((await driverOf(world, { tunnelled: true, options })).prepare({ signal }), {
    code: 'INCOMPATIBLE',
  });
  assert.deepEqual(await found(false), [], 'direct: all of it goes as it is');
  await migrate(await driverOf(world, { tunnelled: true }));
  assert.equal(world.destination.storageRedirects, 0, 'the coordinator receives');
  assertOneAt(world, 'destination');
});

test('whether a newer source was told to send in the clear cannot be seen: the finding says so, unless the port for that is closed', async () => {
  await using world = await XenWorld.make({ httpsOnly: false });
  const { destination } = world;
  const options = { destinationHost: 'beta-2' };
  const found = async () => {
    const { findings } = await (await driverOf(world, { tunnelled: true, options })).check({ signal });
    return findings.find(({ code }) => code === 'STORAGE_REDIRECTED');
  };
  const unseen = await found();
  assert.equal(unseen?.severity, 'warning');
  assert.match(unseen?.message ?? '', /unless migration-https-only is off/);
  destination.database.update('host', destination.database.byName('host', 'beta-1'), { https_only: true });
  const closed = await found();
  assert.equal(closed?.severity, 'warning');
  assert.doesNotMatch(closed?.message ?? '', /migration-https-only/);
});
