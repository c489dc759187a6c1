/**
 * Moves that the source's pool has forgotten, because its tool stack was restarted, while whoever sends the guest goes on or not; and ends
 * that the records do not tell. Nothing is called undone, or done, before that is known; the pools themselves say what ran where.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MigrationDriver, PluginResource, Prepared } from '@lmas/plugin-api';
import { plugin, XenWorld } from '../compliance/xen-world.ts';
import { removeVm } from '../lab/xapi/model.ts';
import type { Stage } from '../lab/xapi/sender.ts';
import { assertOneAt, context, driverOf, impatient, journalling, perform } from './driving.ts';

const signal = AbortSignal.timeout(110_000);
const silent = () => undefined;

interface Begun {
  readonly driver: MigrationDriver;
  readonly prepared: Prepared;
  /** The error that `perform` ended with. */
  readonly performing: Promise<unknown>;
}

/** A migration that has come to `stage`, and stands there. */
async function begunUntil(world: XenWorld, stage: Stage, told = context, by = plugin): Promise<Begun> {
  const reached = Promise.withResolvers<void>();
  world.source.faults.holdAt = stage;
  world.source.faults.onStage = (begun) => {
    if (begun === stage) reached.resolve();
  };
  const driver = await driverOf(world, {}, told, by);
  const prepared = await driver.prepare({ signal });
  const performing = perform(driver, prepared).then(
    () => undefined,
    (error: unknown) => error,
  );
  await Promise.race([reached.promise, performing]);
  return { driver, prepared, performing };
}

async function goOn(world: XenWorld): Promise<void> {
  world.source.faults.holdAt = undefined;
  while (!world.runningCopies().destination) await world.source.database.changed(20);
}

const codeOf = (error: unknown): unknown => (error as { code?: unknown } | undefined)?.code;
const mapSession = (world: XenWorld): string =>
  (world.source.lastParams('Async.VM.migrate_send')[1] as { session_id: string }).session_id;

test('restarted while memory moves: it is not called undone, nothing is taken from it, and it arrives', async () => {
  await using world = await XenWorld.make();
  const { driver, prepared, performing } = await begunUntil(world, 'memory', context, impatient);
  world.source.restartToolStack('go-on');
  const error = await performing;
  assert.equal(codeOf(error), 'CONNECTION_LOST');
  assert.match((error as Error).message, /^The pool has forgotten the task .* its tool stack was restarted\.$/);
  const { where, moving, destination } = await driver.locate({ signal });
  assert.deepEqual({ where, moving, destination }, { where: 'source', moving: true, destination: 'incoming' });
  assert.equal((await driver.abort({ signal })).moving, true, 'what may arrive is not stopped half-way');
  assert.ok(world.destination.sessions.has(mapSession(world)), 'and keeps what it needs to arrive');
  await goOn(world);
  while ((await driver.locate({ signal })).moving) await world.destination.database.changed(20);
  await driver.confirm(prepared, { signal });
  assertOneAt(world, 'destination');
});

test('restarted while disks move: nobody can follow it, so it is cut off, and stays at the source for good', async () => {
  await using world = await XenWorld.make();
  const { driver, performing } = await begunUntil(world, 'disks');
  world.source.restartToolStack('go-on');
  assert.equal(codeOf(await performing), 'CONNECTION_LOST');
  assert.equal((await driver.locate({ signal })).moving, true);
  const session = mapSession(world);
  await assert.rejects(driver.follow({ signal, onProgress: silent }), { code: 'ABORTED' });
  const { where, moving, destination } = await driver.abort({ signal });
  assert.deepEqual({ where, moving, destination }, { where: 'source', moving: false, destination: 'absent' });
  assert.ok(!world.destination.sessions.has(session));
  // What still sends is refused by the destination, and gives up.
  world.source.faults.holdAt = undefined;
  const ended = new Promise<void>((resolve) => {
    world.source.onOperationEnd = resolve;
  });
  await ended;
  assert.deepEqual(world.source.guest(world.vm.id).other_config, {});
  assert.equal(world.destination.database.table('VM').size, 0);
  assertOneAt(world, 'source');
});

test('a run without memory of it cuts it off as well, by the UUID of the session in the mark', async () => {
  await using world = await XenWorld.make();
  const { performing } = await begunUntil(world, 'disks');
  world.killOrchestrator();
  await performing;
  world.source.restartToolStack('go-on');
  const session = mapSession(world);
  assert.ok(world.destination.sessions.has(session));
  const { where, moving } = await (await driverOf(world)).abort({ signal });
  assert.deepEqual({ where, moving }, { where: 'source', moving: false });
  assert.ok(!world.destination.sessions.has(session));
  assertOneAt(world, 'source');
});

test('a copy that whoever sent it has left at the destination is named until it is gone, and never destroyed by us', async () => {
  await using world = await XenWorld.make();
  const journal: PluginResource[] = [];
  const { driver, performing } = await begunUntil(world, 'memory', journalling(journal), impatient);
  world.source.restartToolStack('die');
  assert.equal(codeOf(await performing), 'CONNECTION_LOST');
  assert.equal((await driver.abort({ signal })).moving, true, 'nobody can say that it will not arrive');
  const copy = journal.find(({ kind }) => kind === 'copy');
  assert.ok(copy !== undefined);
  await assert.rejects(driver.release(copy, { signal }), (error: { message: string; remedy?: string }) => {
    assert.match(error.message, /incomplete copy of shop/);
    assert.match(error.remedy ?? '', /xe vm-uninstall/);
    return true;
  });
  const [left = ''] = world.destination.database.table('VM').keys();
  removeVm(world.destination.database, left); // as a person does
  await driver.release(copy, { signal });
  const { where, moving } = await driver.abort({ signal });
  assert.deepEqual({ where, moving }, { where: 'source', moving: false });
  assert.ok(!world.destination.calls.includes('VM.destroy'));
  assertOneAt(world, 'source');
});

test('a tool stack that has only begun to start is asked again: its refusal is not the end of the task', async () => {
  await using world = await XenWorld.make();
  const { driver, prepared, performing } = await begunUntil(world, 'memory');
  world.source.faults.refuse = { method: 'task.get_record', code: 'HOST_STILL_BOOTING', times: 2 };
  await goOn(world);
  assert.equal(await performing, undefined);
  await driver.confirm(prepared, { signal });
  assertOneAt(world, 'destination');
});

test('the guest was given away, and the destination does not know it: nobody says that it is at the source', async () => {
  await using world = await XenWorld.make();
  world.source.faults.failAt = 'given';
  const driver = await driverOf(world, {}, context, impatient);
  const prepared = await driver.prepare({ signal });
  await assert.rejects(perform(driver, prepared), { code: 'STREAM_FAILED' });
  assert.deepEqual(
    [world.source.guest(world.vm.id).power_state, world.destination.database.table('VM').size],
    ['Halted', 0],
  );
  assertOneAt(world, 'destination');
  const { source, where } = await driver.abort({ signal });
  assert.deepEqual({ source, where }, { source: 'stopped', where: 'unknown' });
  await assert.rejects(driver.confirm(prepared, { signal }), { code: 'OUTCOME_UNKNOWN' });
  assert.notDeepEqual(world.source.guest(world.vm.id).other_config, {}, 'the mark stays, and stops the next migration');
  const next = await driverOf(world, { migrationId: 'm_2' });
  await assert.rejects(next.prepare({ signal }), { code: 'NOT_MIGRATABLE' });
});

test('both records say that it runs while the source still tidies: there is one guest, at the destination', async () => {
  await using world = await XenWorld.make();
  const { driver, prepared, performing } = await begunUntil(world, 'arrived', context, impatient);
  const records = [world.source, world.destination].map((pool) => pool.guest(world.vm.id).power_state);
  assert.deepEqual(records, ['Running', 'Running']);
  const { where, moving } = await driver.locate({ signal });
  assert.deepEqual({ where, moving }, { where: 'destination', moving: true });
  await assert.rejects(driver.confirm(prepared, { signal }), { code: 'OUTCOME_UNKNOWN', arrived: true });
  world.source.faults.holdAt = undefined;
  await performing;
  await driver.confirm(prepared, { signal });
  assertOneAt(world, 'destination');
});

test('a move that an administrator begins later is not ours, whatever mark has stayed on the VM', async () => {
  await using world = await XenWorld.make();
  const { source } = world;
  const theirs = await begunUntil(world, 'memory');
  const vm = source.database.byUuid('VM', world.vm.id) ?? '';
  const [task = ''] = source.database.table('task').keys();
  const take = (mark: string): void => {
    source.database.update('task', task, { other_config: {} });
    source.database.update('VM', vm, { other_config: { 'lmas-migration': mark } });
  };
  for (const stale of [`m_ours ${new Date(Date.now() - 600_000).toISOString()} -`, 'm_ours']) {
    take(stale);
    const ours = await driverOf(world, { migrationId: 'm_ours' });
    assert.equal((await ours.abort({ signal })).moving, true);
    assert.ok(!source.calls.includes('task.cancel'));
    const told: unknown[] = [];
    const enough = AbortSignal.timeout(300);
    await assert.rejects(ours.follow({ signal: enough, onProgress: (progress) => told.push(progress) }));
    assert.deepEqual(told, [], 'and its progress is not told as ours');
  }
  // The same one, right after the mark: the reply to our call was lost.
  take(`m_ours ${String(source.database.need('task', task).created)} -`);
  const ours = await driverOf(world, { migrationId: 'm_ours' });
  assert.equal((await ours.abort({ signal })).where, 'source');
  assert.ok(source.calls.includes('task.cancel'));
  await theirs.performing;
  assertOneAt(world, 'source');
});

test('after a crash the session in the map is ended by its UUID; what is journalled holds no secret', async () => {
  await using world = await XenWorld.make();
  const journal: PluginResource[] = [];
  const { performing } = await begunUntil(world, 'memory', journalling(journal));
  const session = mapSession(world);
  world.killOrchestrator();
  await performing;
  assert.ok(!JSON.stringify(journal).includes(session));
  assert.ok(!JSON.stringify(world.source.guest(world.vm.id).other_config).includes(session));
  assert.ok(world.destination.sessions.has(session), 'nobody has ended it yet');
  const next = await driverOf(world);
  assert.equal((await next.abort({ signal })).where, 'source');
  for (const resource of journal.toReversed()) await next.release(resource, { signal });
  assert.ok(!world.destination.sessions.has(session));
  for (const resource of journal.toReversed()) await next.release(resource, { signal });
  assertOneAt(world, 'source');
});

test('a login that may not ask for sessions migrates all the same, and has none journalled', async () => {
  await using world = await XenWorld.make();
  const journal: PluginResource[] = [];
  world.destination.faults.refuse = { method: 'session.get_uuid', code: 'RBAC_PERMISSION_DENIED' };
  const driver = await driverOf(world, {}, journalling(journal));
  const prepared = await driver.prepare({ signal });
  await perform(driver, prepared);
  await driver.confirm(prepared, { signal });
  assert.deepEqual(
    journal.map(({ kind }) => kind),
    ['mark', 'copy'],
  );
  assertOneAt(world, 'destination');
});

test('an arrival that nobody confirmed leaves no mark: releasing it takes it off wherever the VM is', async () => {
  await using world = await XenWorld.make();
  const journal: PluginResource[] = [];
  const driver = await driverOf(world, {}, journalling(journal));
  await perform(driver, await driver.prepare({ signal }));
  const mark = journal.find(({ kind }) => kind === 'mark');
  assert.ok(mark?.lifetime === 'migration');
  assert.notDeepEqual(world.destination.guest(world.vm.id).other_config, {});
  await driver.release(mark, { signal });
  assert.deepEqual(world.destination.guest(world.vm.id).other_config, {});
});
