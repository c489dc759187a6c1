/** A migration of which one vCenter cannot be connected to: the other one is asked alone, and nothing is claimed of what nobody has answered. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type MigrationDriver, PluginError } from '@lmas/plugin-api';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import { plugin, VM } from '../compliance/vmware-world.ts';
import { alpha, beta } from '../lab/vsphere/two-vcenters.ts';
import { LocalVcenter } from '../lab/vsphere/vcenter.ts';
import { temporaryDirectory } from '../workflow/harness.ts';
import { orchestrate, untilHeld } from './orchestrated.ts';
import { GATEWAYS, Rehearsal, reached, TUNNELLED } from './rehearsal.ts';
import { routesAt } from './seen-routes.ts';

type End = 'source' | 'destination';
type Options = Parameters<Rehearsal['request']>[0];
const REASON = new PluginError('UNREACHABLE', 'nobody is there');
const isReason = (error: { code?: string; message: string }): boolean =>
  error.code === 'UNREACHABLE' && error.message.includes('nobody is there');

/** A driver as a recovery makes it, with what stands for that end. */
async function driverWithout(away: End, rehearsal: Rehearsal, options: Options = {}): Promise<MigrationDriver> {
  const { world } = rehearsal;
  const of = async (end: End) => (end === away ? world.standIn(end, REASON) : await world.session(end));
  const ends = { source: await of('source'), destination: await of('destination') };
  return plugin.migration(ends, rehearsal.request(options, TUNNELLED), rehearsal.context());
}

describe('what stands for a vCenter that could not be connected to', { concurrency: 4 }, () => {
  test('answers every question with the reason, and can be closed', async () => {
    await using rehearsal = await Rehearsal.make();
    const { signal } = rehearsal;
    const session = rehearsal.world.standIn('source', REASON);
    assert.equal(session.closed.reason, REASON);
    await assert.rejects(session.inventory({ signal }), isReason);
    await assert.rejects(session.findVm(VM.name, { signal }), isReason);
    await assert.rejects(async () => await session.load?.({ signal, intervalMs: 1_000 }), isReason);
    const steps = await Array.fromAsync(session.verify?.({ signal }) ?? []);
    assert.ok(steps.length > 0 && steps.every(({ outcome }) => outcome !== 'ok'));
    await session.close();
    await session.close();
    assert.deepEqual(rehearsal.world.source.endpoint.calls, []);
  });

  for (const away of ['source', 'destination'] as const) {
    test(`begins nothing, and ends nothing (the ${away})`, async () => {
      await using rehearsal = await Rehearsal.make();
      const { signal, world } = rehearsal;
      const driver = await driverWithout(away, rehearsal);
      await assert.rejects(driver.check({ signal }), isReason);
      await assert.rejects(driver.prepare({ signal }), isReason);
      const prepared = { flows: [], sourceAddresses: [], state: null };
      await assert.rejects(driver.confirm(prepared, { signal }), { code: 'OUTCOME_UNKNOWN' });
      const { where, [away]: presence } = await driver.abort({ signal });
      assert.deepEqual([where, presence, world.running()], ['unknown', 'unreachable', ['esx-a1']]);
    });
  }

  for (const wanted of ['goes on', 'is cancelled'] as const) {
    test(`is not the source: that one tells of the move, which ${wanted}`, async () => {
      await using rehearsal = await Rehearsal.make();
      const { signal, world } = rehearsal;
      const { gates } = world.source.endpoint;
      const there = gates.hold('half');
      const moving = assert.rejects(rehearsal.move(await rehearsal.driver()));
      await reached(there, moving);
      world.killOrchestrator();
      await moving;
      const driver = await driverWithout('destination', rehearsal);
      const seen = await driver.locate({ signal });
      const { source, destination, where, moving: isMoving } = seen;
      assert.deepEqual([source, destination, where, isMoving], ['running', 'unreachable', 'unknown', true]);
      if (wanted === 'is cancelled') {
        const after = await driver.abort({ signal });
        assert.deepEqual([after.source, after.where, after.moving], ['running', 'unknown', false]);
        assert.deepEqual([world.running(), rehearsal.count('CancelTask')], [['esx-a1'], 1]);
        return;
      }
      const following = driver.follow({ signal, onProgress: () => undefined });
      gates.release('half');
      await following;
      const after = await driver.locate({ signal });
      assert.deepEqual([after.source, after.where, after.moving], ['absent', 'unknown', false]);
      assert.deepEqual(world.running(), ['esx-b1']);
    });
  }

  test('is not the destination: that one tells that the VM runs there, and gives up the route that it has', async () => {
    const shape = { source: { hosts: alpha([VM]).hosts }, destination: { hosts: beta().hosts } };
    await using rehearsal = await Rehearsal.make(shape);
    const { signal, world } = rehearsal;
    await rehearsal.move(await rehearsal.driver({}, TUNNELLED, { routes: 'temporary' }));
    world.killOrchestrator();
    const driver = await driverWithout('source', rehearsal);
    const { source, destination, where, moving } = await driver.locate({ signal });
    assert.deepEqual([source, destination, where, moving], ['unreachable', 'running', 'unknown', false]);
    for (const resource of rehearsal.journal) {
      const release = driver.release(resource, { signal });
      if (resource.end === 'source') await assert.rejects(release, isReason);
      else await release;
    }
    assert.deepEqual(routesAt(world.source, 'esx-a1').length, 1);
    assert.deepEqual(routesAt(world.destination, 'esx-b1'), []);
  });

  for (const { vm, away } of [
    { vm: 'has gone', away: 'source' },
    { vm: 'has stayed', away: 'destination' },
  ] as const) {
    test(`is the ${away}, and the VM ${vm}: the other one puts its encryption back`, async () => {
      await using rehearsal = await Rehearsal.make();
      const { signal, world } = rehearsal;
      const tunnel = { encrypts: true, nextHops: { source: '127.1.1.1', destination: '127.1.2.1' } };
      const moving = rehearsal.move(await rehearsal.driver({ encryption: 'disable' }, { ...TUNNELLED, tunnel }));
      if (vm === 'has gone') await moving;
      else {
        const refused = { kind: 'task-fault', fault: { name: 'MigrationDisabled' } } as const;
        world.source.endpoint.faults.add({ method: 'RelocateVM_Task', effect: refused });
        await assert.rejects(moving, { code: 'NOT_MIGRATABLE' });
      }
      const there = vm === 'has gone' ? world.destination : world.source;
      const ref = there.endpoint.objects.byName('VirtualMachine', VM.name);
      assert.ok(ref !== undefined);
      const set = () => there.endpoint.objects.at(ref, 'config.migrateEncryption');
      const [setting] = rehearsal.journal;
      assert.ok(setting?.atEitherEnd === true);
      assert.equal(set(), 'disabled');
      // The one that does not know the VM cannot do it alone: nothing is claimed.
      const wrong = await driverWithout(away === 'source' ? 'destination' : 'source', rehearsal);
      await assert.rejects(wrong.release(setting, { signal }), isReason);
      const driver = await driverWithout(away, rehearsal);
      await driver.release(setting, { signal });
      await driver.release(setting, { signal });
      assert.equal(set(), 'opportunistic');
    });
  }

  test('an entry that does not run proves nothing while the other one is silent: the VM may have left it behind', async () => {
    await using rehearsal = await Rehearsal.make();
    const { signal, world } = rehearsal;
    const tunnel = { encrypts: true, nextHops: { source: '127.1.1.1', destination: '127.1.2.1' } };
    const refused = { kind: 'task-fault', fault: { name: 'MigrationDisabled' } } as const;
    world.source.endpoint.faults.add({ method: 'RelocateVM_Task', effect: refused });
    const first = await rehearsal.driver({ encryption: 'disable' }, { ...TUNNELLED, tunnel });
    await assert.rejects(rehearsal.move(first), { code: 'NOT_MIGRATABLE' });
    world.source.host('esx-a1').shutDown(VM.instanceUuid);
    const { objects } = world.source.endpoint;
    const ref = objects.byName('VirtualMachine', VM.name);
    assert.ok(ref !== undefined);
    objects.merge(ref, 'runtime', { powerState: 'poweredOff' });
    const [setting] = rehearsal.journal;
    assert.ok(setting !== undefined);
    const driver = await driverWithout('destination', rehearsal);
    await assert.rejects(driver.release(setting, { signal }), isReason);
  });

  for (const { how, hostless, options } of [
    { how: 'both name their hosts', hostless: false, options: {} },
    { how: 'the migration names its host', hostless: true, options: { destinationHost: 'esx-a2' } },
  ]) {
    test(`of one vCenter that spans both sites: an end has the VM only if its host is surely its own (${how})`, async () => {
      await using rehearsal = await Rehearsal.make({ oneVCenter: true, hostless });
      const { signal, world } = rehearsal;
      const seenWithout = async (away: End) => {
        const { source, destination } = await (await driverWithout(away, rehearsal, options)).locate({ signal });
        return [source, destination];
      };
      assert.deepEqual(await seenWithout('source'), ['unreachable', 'unreachable']);
      assert.deepEqual(await seenWithout('destination'), ['running', 'unreachable']);
      await rehearsal.move(await rehearsal.driver(options));
      assert.deepEqual(world.running(), ['esx-a2']);
      assert.deepEqual(await seenWithout('source'), ['unreachable', 'running']);
      assert.deepEqual(await seenWithout('destination'), ['unreachable', 'unreachable']);
    });
  }
});

const LIMIT_MS = 60_000;

test('a vCenter that is lost before all is taken down keeps back nothing but its own route', async () => {
  await using directory = await temporaryDirectory();
  await using source = await LocalVcenter.start(alpha([VM]));
  await using destination = await LocalVcenter.start(beta());
  await using stand = await orchestrate(directory.path, { a: source, b: destination });
  const { api } = stand;
  const half = source.endpoint.gates.hold('half');
  const request = { vm: VM.name, source: 'vc-a', destination: 'vc-b' };
  const { id } = await api.must<Migration>('POST', '/v1/migrations', request);
  await untilHeld(api, id, half, LIMIT_MS);
  for (const { endpoint } of [source, destination]) {
    endpoint.faults.set([
      { method: 'UpdateNetworkConfig', effect: { kind: 'fault', fault: { name: 'HostConfigFault' } } },
    ]);
  }
  await api.must('POST', `/v1/migrations/${id}/cancel`);
  const stuck = await api.until(id, ({ teardown }) => teardown === 'incomplete', LIMIT_MS);
  assert.deepEqual([stuck.phase, stuck.where, stuck.leftovers.length], ['cancelled', 'source', 2]);

  await destination.kill();
  source.endpoint.faults.set([]);
  const left = await api.until(id, ({ leftovers }) => leftovers.length === 1, LIMIT_MS);
  assert.match(left.leftovers[0] ?? '', /^route .* at the destination: /);
  assert.deepEqual([left.teardown, routesAt(source, 'esx-a1')], ['incomplete', []]);

  await destination.restart();
  destination.endpoint.faults.set([]);
  await api.until(id, ({ teardown }) => teardown === 'complete', LIMIT_MS);
  assert.deepEqual([routesAt(destination, 'esx-b1'), source.runsAt(VM.instanceUuid)], [[], ['esx-a1']]);
  assert.deepEqual([...source.endpoint.violations, ...destination.endpoint.violations], []);
});

test('the destination’s vCenter is lost in the middle, and the guest is shut down there: unknown, until both can be asked', async () => {
  await using directory = await temporaryDirectory();
  await using source = await LocalVcenter.start(alpha([VM]));
  await using destination = await LocalVcenter.start(beta());
  const vcenters = { a: source, b: destination };
  await using stand = await orchestrate(directory.path, vcenters, {}, { LMAS_SETTLE_MS: '1000' });
  const { api } = stand;
  const routes = () => [...routesAt(source, 'esx-a1'), ...routesAt(destination, 'esx-b1')].length;

  const half = source.endpoint.gates.hold('half');
  const request = { vm: VM.name, source: 'vc-a', destination: 'vc-b' };
  const { id } = await api.must<Migration>('POST', '/v1/migrations', request);
  await untilHeld(api, id, half, LIMIT_MS);
  await destination.kill();
  source.endpoint.gates.release('half');
  const host = destination.host('esx-b1');
  for (const deadline = performance.now() + LIMIT_MS; host.running().length === 0; await delay(20))
    assert.ok(performance.now() < deadline, 'the hosts did not go on');
  host.shutDown(VM.instanceUuid);
  const isLost = ({ phase, teardown }: Migration) => phase === 'failed' && teardown === 'incomplete';
  const lost = await api.until(id, isLost, LIMIT_MS);
  assert.deepEqual([lost.where, lost.error?.code], ['unknown', 'OUTCOME_UNKNOWN'], JSON.stringify(lost.error));
  assert.deepEqual(
    routesAt(source, 'esx-a1'),
    [`127.1.2.11/32 via ${GATEWAYS.source}`],
    'nobody knows if it is needed',
  );

  await destination.restart();
  const found = await api.until(id, ({ teardown }) => teardown === 'complete', LIMIT_MS);
  assert.deepEqual([found.phase, found.where, routes()], ['failed', 'destination', 0]);
  assert.match(found.error?.remedy ?? '', /it is powered off at the destination/);
  assert.deepEqual(
    [source.runsAt(VM.instanceUuid), destination.runsAt(VM.instanceUuid)],
    [[], []],
    'nobody started it',
  );
  assert.deepEqual([...source.endpoint.violations, ...destination.endpoint.violations], []);
});
