/**
 * The Xen plugin where pools misbehave: other coordinators, lost sessions, lost replies, late failures, somebody else's
 * migrations. The pools themselves say what ran where.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import type { PluginError } from '@lmas/plugin-api';
import { XenWorld } from '../compliance/xen-world.ts';
import type { Dialect } from '../lab/xapi/json-rpc.ts';
import { assertOneAt, context, driverOf, impatient, migrate, perform } from './driving.ts';

const signal = AbortSignal.timeout(280_000);
const silent = () => undefined;

test('a member that is not the coordinator says who is', async () => {
  await using world = await XenWorld.make();
  world.source.setCoordinator(1);
  await migrate(await driverOf(world));
  assertOneAt(world, 'destination');
});

test('the dry run goes out from the coordinator, and where that is not let through the remedy says so', async () => {
  await using world = await XenWorld.make();
  const { source, destination } = world;
  source.setCoordinator(1);
  const [sender, coordinator] = source.spec.members;
  source.faults.refuse = { method: 'Async.VM.migrate_send', code: 'OPERATION_NOT_ALLOWED' };
  const driver = await driverOf(world);
  const prepared = await driver.prepare({ signal });
  await assert.rejects(perform(driver, prepared), { native: { name: 'OPERATION_NOT_ALLOWED', message: '' } });
  const came = (member = sender) =>
    [member?.management, member?.migration].some((at) => destination.callers.has(at ?? ''));
  assert.deepEqual([came(coordinator), came(sender)], [true, false]);
  const redirected = await driverOf(world, { tunnelled: true });
  const { flows, ...more } = await redirected.prepare({ signal });
  const nobody = flows.map((flow) => ({ ...flow, host: flow.host.replace(/\d+$/, '99') }));
  await assert.rejects(perform(redirected, { flows: nobody, ...more }), {
    code: 'STREAM_FAILED',
    remedy: /^alpha-2, the source pool’s coordinator, .* cannot reach the destination/,
  });
  assertOneAt(world, 'source');
});

test('a session that has run out is renewed, in the middle of anything', async () => {
  await using world = await XenWorld.make();
  const driver = await driverOf(world);
  world.source.sessions.endAll();
  const prepared = await driver.prepare({ signal });
  world.whilePerforming(() => world.source.sessions.endAll());
  await perform(driver, prepared);
  await driver.confirm(prepared, { signal });
  assertOneAt(world, 'destination');
});

test('a password that was changed is tried once, and never again', async () => {
  await using world = await XenWorld.make();
  await assert.rejects(world.session(world.source, 'wrong'), { code: 'LOGIN_REFUSED' });
  const logins = world.source.calls.filter((method) => method === 'session.login_with_password').length;
  assert.equal(logins, 1);
});

test('a certificate that is not pinned gets no password', async () => {
  await using world = await XenWorld.make();
  await assert.rejects(world.session(world.source, undefined, 'beta-1'), { code: 'HOST_KEY_MISMATCH' });
  assert.deepEqual(world.source.calls, []);
});

test('another coordinator in the middle: the task is lost, both pools are asked, and one copy runs', async () => {
  await using world = await XenWorld.make();
  const driver = await driverOf(world);
  const prepared = await driver.prepare({ signal });
  world.whilePerforming(() => world.source.setCoordinator(1));
  await assert.rejects(perform(driver, prepared), { code: 'CONNECTION_LOST' });
  const { where } = await driver.abort({ signal });
  assert.equal(where, 'source');
  assertOneAt(world, 'source');
});

test('the reply to the migration call is lost: it is followed, not repeated', async () => {
  await using world = await XenWorld.make();
  const driver = await driverOf(world);
  const prepared = await driver.prepare({ signal });
  world.source.faults.loseReplyOf = 'Async.VM.migrate_send';
  await assert.rejects(perform(driver, prepared), { code: 'CONNECTION_LOST' });
  assert.equal((await driver.locate({ signal })).moving, true);
  await driver.follow({ signal, onProgress: silent });
  await driver.confirm(prepared, { signal });
  assertOneAt(world, 'destination');
  assert.equal(world.source.calls.filter((method) => method === 'Async.VM.migrate_send').length, 1);
});

test('the source reports a failure after the guest has arrived: it has arrived', async () => {
  await using world = await XenWorld.make();
  world.source.faults.failAt = 'arrived';
  const driver = await driverOf(world);
  const prepared = await driver.prepare({ signal });
  await perform(driver, prepared);
  const { warnings } = await driver.confirm(prepared, { signal });
  assert.match(warnings.join(), /must not be started there/);
  assertOneAt(world, 'destination');
});

test('a failure before the hand-over leaves the guest at the source, and nothing of it at the destination', async () => {
  for (const failAt of ['disks', 'memory'] as const) {
    await using world = await XenWorld.make();
    world.source.faults.failAt = failAt;
    const driver = await driverOf(world);
    const prepared = await driver.prepare({ signal });
    const percents: number[] = [];
    const performing = perform(driver, prepared, signal, ({ percent }) => percents.push(percent ?? 0));
    await assert.rejects(performing, { code: 'STREAM_FAILED' });
    assert.ok(!percents.includes(100), `${failAt}: all is said to have gone`);
    assert.equal((await driver.abort({ signal })).where, 'source');
    assertOneAt(world, 'source');
    assert.equal(world.destination.database.table('VM').size, 0);
    assert.equal(world.destination.database.table('VDI').size, 0);
    assert.deepEqual(world.source.guest(world.vm.id).other_config, {});
  }
});

test('a cancel that comes too late changes nothing: the guest arrives', async () => {
  await using world = await XenWorld.make();
  const mind = new AbortController();
  world.source.faults.onStage = (stage) => {
    if (stage === 'arrived') mind.abort();
  };
  const driver = await driverOf(world);
  const prepared = await driver.prepare({ signal });
  await perform(driver, prepared, AbortSignal.any([mind.signal, signal]));
  await driver.confirm(prepared, { signal });
  assertOneAt(world, 'destination');
});

test('a migration that somebody else has begun is left alone: refused, and never cancelled', async () => {
  await using world = await XenWorld.make();
  world.source.faults.holdAt = 'memory';
  const theirs = await driverOf(world, { migrationId: 'm_theirs' });
  const prepared = await theirs.prepare({ signal });
  const moving = Promise.withResolvers<void>();
  world.whilePerforming(() => moving.resolve());
  const performing = perform(theirs, prepared);
  await moving.promise;
  const ours = await driverOf(world);
  await assert.rejects(ours.prepare({ signal }), { code: 'BUSY' });
  const { findings } = await ours.check({ signal });
  assert.ok(findings.some(({ severity, code }) => severity === 'blocker' && code === 'VM_BEING_MIGRATED'));
  assert.equal((await ours.abort({ signal })).moving, true);
  world.source.faults.holdAt = undefined;
  await performing;
  await theirs.confirm(prepared, { signal });
  assertOneAt(world, 'destination');
});

test('where nobody can say where the guest is, XAPI’s own code is kept, and where to look comes before any start', async () => {
  await using world = await XenWorld.make();
  world.source.faults.failAt = 'memory';
  const driver = await driverOf(world, {}, context, impatient);
  const prepared = await driver.prepare({ signal });
  await assert.rejects(perform(driver, prepared), { code: 'STREAM_FAILED' });
  await assert.rejects(driver.confirm(prepared, { signal }), (error: PluginError) => {
    assert.deepEqual([error.code, error.native?.name], ['OUTCOME_UNKNOWN', 'VM_MIGRATE_FAILED']);
    assert.match(
      error.remedy ?? '',
      /^See first that it runs nowhere: xl list -v at every host of both pools.*Only when it runs nowhere/,
    );
    return true;
  });
});

test('what the documents leave open is understood either way', async () => {
  const dialects: readonly Dialect[] = [{ answersAs1: true }, { numbersAsText: true }, { bareResult: true }];
  for (const dialect of dialects) {
    await using world = await XenWorld.make();
    for (const pool of [world.source, world.destination]) pool.faults.dialect = dialect;
    await migrate(await driverOf(world));
    assertOneAt(world, 'destination');
  }
});

test('a refusal in the form of JSON-RPC 1.0 is a refusal, and nothing moves', async () => {
  await using world = await XenWorld.make();
  world.source.faults.dialect = { answersAs1: true };
  world.source.faults.refuse = { method: 'VM.assert_can_migrate', code: 'LICENCE_RESTRICTION' };
  const driver = await driverOf(world);
  const prepared = await driver.prepare({ signal });
  await assert.rejects(perform(driver, prepared), { code: 'INCOMPATIBLE' });
  assert.ok(!world.source.calls.includes('Async.VM.migrate_send'));
  assertOneAt(world, 'source');
});

test('pools that take plain HTTP move the VM over it', async () => {
  await using world = await XenWorld.make({ httpsOnly: false });
  await migrate(await driverOf(world));
  assertOneAt(world, 'destination');
});

test('the session in the map is in no error, no log and no note, and it is ended', async () => {
  await using world = await XenWorld.make();
  world.source.faults.failAt = 'memory';
  const logged: unknown[] = [];
  const note = (...said: readonly unknown[]): unknown => logged.push(said);
  const driver = await driverOf(world, {}, { ...context, log: { debug: note, info: note, warn: note, error: note } });
  const prepared = await driver.prepare({ signal });
  const error = await perform(driver, prepared).catch((thrown: unknown) => thrown);
  logged.push(error, prepared, await driver.abort({ signal }));
  const map = world.source.lastParams('Async.VM.migrate_send')[1] as { readonly session_id: string };
  assert.match(map.session_id, /^OpaqueRef:/);
  const told = inspect(logged, { depth: Number.POSITIVE_INFINITY, showHidden: true });
  assert.match(told, /VM_MIGRATE_FAILED/);
  assert.ok(!told.includes(map.session_id), told);
  assert.ok(!world.destination.sessions.has(map.session_id));
});

test('the map’s session lives as long as the migration, and no longer', async () => {
  await using world = await XenWorld.make();
  const driver = await driverOf(world);
  const prepared = await driver.prepare({ signal });
  world.source.faults.loseReplyOf = 'Async.VM.migrate_send';
  await assert.rejects(perform(driver, prepared), { code: 'CONNECTION_LOST' });
  const { session_id: session } = world.source.lastParams('Async.VM.migrate_send')[1] as { session_id: string };
  assert.ok(world.destination.sessions.has(session));
  await driver.follow({ signal, onProgress: silent });
  await driver.confirm(prepared, { signal });
  assert.ok(!world.destination.sessions.has(session));
});

test('the guest runs at the destination, and nobody hears of the task: the session stays until the source has told all', async () => {
  await using world = await XenWorld.make();
  const { source, destination } = world;
  const { database, faults } = source;
  database.update('VM', database.byUuid('VM', world.vm.id) ?? '', { ha_always_run: true });
  faults.holdAt = 'arrived';
  faults.onStage = (stage) => {
    if (stage !== 'arrived') return;
    faults.refuse = { method: 'task.get_record', code: 'HANDLE_INVALID' };
    for (const task of database.table('task').keys()) database.update('task', task, { progress: 0.99 });
  };
  const driver = await driverOf(world);
  const prepared = await driver.prepare({ signal });
  await perform(driver, prepared);
  const { session_id: session } = source.lastParams('Async.VM.migrate_send')[1] as { session_id: string };
  assert.ok(destination.sessions.has(session));
  faults.holdAt = undefined;
  const { warnings } = await driver.confirm(prepared, { signal });
  assert.deepEqual(warnings, []);
  assert.equal(destination.guest(world.vm.id).ha_always_run, true);
  assert.ok(!destination.sessions.has(session));
  assertOneAt(world, 'destination');
});

test('a cancel in the very moment of the call: XAPI is told, and the guest stays', async () => {
  await using world = await XenWorld.make();
  const mind = new AbortController();
  world.source.faults.onCall = (method) => {
    if (method === 'Async.VM.migrate_send') mind.abort();
  };
  const driver = await driverOf(world);
  const prepared = await driver.prepare({ signal });
  await assert.rejects(perform(driver, prepared, mind.signal), { code: 'ABORTED' });
  assert.ok(world.source.calls.includes('task.cancel'));
  assert.deepEqual(await driver.abort({ signal }), {
    ...{ source: 'running', destination: 'absent', where: 'source', moving: false },
  });
  assertOneAt(world, 'source');
});

test('somebody else is first: our mark goes, and theirs is never cancelled', async () => {
  await using world = await XenWorld.make();
  const vm = world.source.database.byUuid('VM', world.vm.id) ?? '';
  world.source.faults.onCall = (method) => {
    if (method !== 'Async.VM.migrate_send') return;
    world.source.database.update('VM', vm, { current_operations: { 'OpaqueRef:theirs': 'pool_migrate' } });
  };
  const driver = await driverOf(world);
  const prepared = await driver.prepare({ signal });
  await assert.rejects(perform(driver, prepared), { code: 'BUSY' });
  assert.deepEqual(world.source.guest(world.vm.id).other_config, {});
  assert.equal((await driver.abort({ signal })).moving, true);
  assert.ok(!world.source.calls.includes('task.cancel'));
});

test('another migration has put its mark on in between: it stays, and nothing moves', async () => {
  await using world = await XenWorld.make();
  const { source } = world;
  const vm = source.database.byUuid('VM', world.vm.id) ?? '';
  const theirs = { 'lmas-migration': `m_theirs ${new Date().toISOString()} -` };
  // Before the guest is looked at once more, and after that.
  for (const moment of ['VM.assert_can_migrate', 'host.get_servertime']) {
    source.database.update('VM', vm, { other_config: {} });
    const driver = await driverOf(world);
    const prepared = await driver.prepare({ signal });
    source.faults.onCall = (method) => {
      if (method === moment) source.database.update('VM', vm, { other_config: theirs });
    };
    await assert.rejects(perform(driver, prepared), { code: 'BUSY' });
    await driver.abort({ signal });
    assert.deepEqual(source.guest(world.vm.id).other_config, theirs);
    source.faults.onCall = undefined;
  }
  assert.ok(!source.calls.includes('Async.VM.migrate_send'));
  assertOneAt(world, 'source');
});

test('one who gives up while a session is renewed takes it from nobody else', async () => {
  await using world = await XenWorld.make();
  const { source } = await world.connect();
  world.source.sessions.endAll();
  const impatient = new AbortController();
  world.source.faults.onCall = (method) => {
    if (method === 'session.login_with_password') impatient.abort();
  };
  const [given, kept] = await Promise.allSettled([
    source.findVm(world.vm.id, { signal: impatient.signal }),
    source.findVm(world.vm.id, { signal }),
  ]);
  assert.deepEqual([given.status, kept.status], ['rejected', 'fulfilled']);
});

test('faults keep their names, and become the code that the workflow knows', async () => {
  const expected: readonly (readonly [code: string, ours: string])[] = [
    ['OTHER_OPERATION_IN_PROGRESS', 'BUSY'],
    ['VM_HOST_INCOMPATIBLE_VERSION_MIGRATE', 'INCOMPATIBLE'],
    ['RBAC_PERMISSION_DENIED', 'LOGIN_REFUSED'],
    ['VDI_CBT_ENABLED', 'NOT_MIGRATABLE'],
    ['SOMETHING_NEW', 'HYPERVISOR_FAULT'],
  ];
  await using world = await XenWorld.make();
  for (const [code, ours] of expected) {
    const driver = await driverOf(world);
    const prepared = await driver.prepare({ signal });
    world.source.faults.refuse = { method: 'Async.VM.migrate_send', code };
    await assert.rejects(perform(driver, prepared), (error: { code?: string; native?: { name: string } }) => {
      assert.deepEqual([error.code, error.native?.name], [ours, code]);
      return true;
    });
    await driver.abort({ signal });
  }
  assertOneAt(world, 'source');
});
