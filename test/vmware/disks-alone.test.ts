/** A VM's disks move, and the VM stays on its host: from an endpoint to itself. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { VM } from '../compliance/vmware-world.ts';
import { alpha, beta, vmSpec } from '../lab/vsphere/two-vcenters.ts';
import { LocalVcenter } from '../lab/vsphere/vcenter.ts';
import { temporaryDirectory } from '../workflow/harness.ts';
import { orchestrate } from './orchestrated.ts';
import { Rehearsal, type Request, reached } from './rehearsal.ts';

const MIB = 1024 ** 2;
const DISKS = [1, 2].map((size) => ({ sizeBytes: size * MIB, datastore: 'local-1' }));
const ALONE: Partial<Request> = { disksAlone: true };
/** One endpoint has the whole vCenter, so both of its sessions have. */
const make = (vm: Partial<ReturnType<typeof vmSpec>> = {}): Promise<Rehearsal> =>
  Rehearsal.make({ oneVCenter: true, hostless: true, source: alpha([vmSpec(VM.name, { disks: DISKS, ...vm })]) });

describe('the disks of a VM alone', { concurrency: 2 }, () => {
  for (const protocol of ['soap', 'json'] as const) {
    test(`all of them, with its own files: the guest runs on where it is (${protocol})`, async () => {
      const source = alpha([vmSpec(VM.name, { disks: DISKS })]);
      await using rehearsal = await Rehearsal.make({ oneVCenter: true, hostless: true, source, protocol });
      const { signal, world } = rehearsal;
      const options = { datastore: 'shared' };
      const driver = await rehearsal.driver(options, ALONE);
      const { findings, memoryBytes, diskBytes } = await driver.check({ signal });
      assert.deepEqual(findings, []);
      assert.deepEqual([memoryBytes, diskBytes], [0, 3 * MIB], 'its memory goes nowhere');
      assert.equal((await driver.locate({ signal })).where, 'source');
      const prepared = await driver.prepare({ signal });
      assert.deepEqual([prepared.flows, prepared.transparentFlows, prepared.sourceAddresses], [[], undefined, []]);
      await rehearsal.perform(driver, prepared);
      const { spec } = world.source.endpoint.lastParameters('RelocateVM_Task') as unknown as {
        spec: Record<string, unknown>;
      };
      const { host, pool, folder, service, disk } = spec;
      assert.deepEqual([host, pool, folder, service], [undefined, undefined, undefined, undefined]);
      assert.equal((disk as unknown[]).length, 2);
      assert.deepEqual(world.running(), ['esx-a1']);
      const { warnings } = await driver.confirm(prepared, { signal });
      assert.deepEqual(warnings, []);
      const { where, source: left, moving } = await (await rehearsal.driver(options, ALONE)).locate({ signal });
      assert.deepEqual([where, left, moving], ['destination', 'absent', false]);
      assert.deepEqual(rehearsal.journal, [], 'nothing was made that would have to be taken away');
      assert.deepEqual(world.violations(), []);
    });
  }

  test('one of them, and everything else stays', async () => {
    await using rehearsal = await make();
    const changes = { ...ALONE, diskMap: { 'Hard disk 2': 'shared' } };
    const driver = await rehearsal.driver({}, changes);
    await rehearsal.move(driver);
    const { objects } = rehearsal.world.source.endpoint;
    const { spec } = rehearsal.world.source.endpoint.lastParameters('RelocateVM_Task') as unknown as {
      spec: { datastore: { value: string }; disk: { diskId: number; datastore: { value: string } }[] };
    };
    const id = (name: string) => objects.byName('Datastore', name)?.value;
    assert.deepEqual(
      spec.disk.map(({ diskId, datastore }) => [diskId, datastore.value]),
      [
        [2_000, id('local-1')],
        [2_001, id('shared')],
      ],
    );
    assert.equal(spec.datastore.value, id('local-1'));
    assert.equal((await driver.locate({ signal: rehearsal.signal })).where, 'destination');
    const there = await (await rehearsal.driver({}, changes)).check({ signal: rehearsal.signal });
    const already = there.findings.find(({ code }) => code === 'VM_THERE_ALREADY');
    assert.match(already?.message ?? '', /has its disks where they are to go/);
    const back = await rehearsal.driver({}, { ...ALONE, diskMap: { 'Hard disk 2': id('local-1') ?? '' } });
    await rehearsal.move(back);
    assert.equal((await back.locate({ signal: rehearsal.signal })).where, 'destination', 'also by the id');
  });

  test('where they go has to be said, and nothing else changes with them', async () => {
    await using rehearsal = await make();
    const findingsOf = async (options: Parameters<Rehearsal['driver']>[0], changes: Partial<Request> = ALONE) =>
      (await (await rehearsal.driver(options, changes)).check({ signal: rehearsal.signal })).findings;
    const [nowhere] = await findingsOf({});
    assert.deepEqual([nowhere?.code, nowhere?.severity], ['STORAGE_NOT_MAPPED', 'blocker']);
    assert.match(nowhere?.remedy ?? '', /diskMap, or one for all in the option datastore/);
    const [elsewhere] = await findingsOf({ datastore: 'shared', destinationHost: 'esx-a2' });
    assert.match(`${elsewhere?.code}: ${elsewhere?.message}`, /^SITE_NOT_CLEAR: .*esx-a2 is not the host that runs it/);
    const unseen = await findingsOf({ datastore: 'local-2' });
    assert.ok(unseen.every(({ code }) => code === 'STORAGE_NOT_MAPPED'));
    assert.match(unseen[0]?.message ?? '', /esx-a1 does not see the datastore local-2/);
    await assert.rejects((await rehearsal.driver({}, ALONE)).prepare({ signal: rehearsal.signal }), {
      code: 'INCOMPATIBLE',
      message: /nobody has said where to/,
    });
    const host = { hosts: ['esx-a1'] };
    const twice = await (await rehearsal.driver({ datastore: 'shared' }, {}, host)).check({ signal: rehearsal.signal });
    const remedy = twice.findings.find(({ code }) => code === 'VM_THERE_ALREADY')?.remedy;
    assert.match(remedy ?? '', /name its own endpoint as the destination, too/);
  });

  test('what is bound to the host is in the way of a move to another one only', async () => {
    const devices = [{ _typeName: 'VirtualUSB', key: 13_000, connected: true }];
    await using rehearsal = await make({ devices, snapshots: ['before'] });
    const driver = await rehearsal.driver({ datastore: 'shared' }, ALONE);
    assert.deepEqual((await driver.check({ signal: rehearsal.signal })).findings, []);
  });

  test('whoever takes over in the middle sees them move, and where they are in the end', async () => {
    await using rehearsal = await make();
    const { signal, world } = rehearsal;
    const options = { datastore: 'shared' };
    const half = world.source.endpoint.gates.hold('half');
    const driver = await rehearsal.driver(options, ALONE);
    const moved = rehearsal.move(driver);
    await reached(half, moved);
    const heir = await rehearsal.driver(options, ALONE);
    const { where, moving } = await heir.locate({ signal });
    assert.deepEqual([where, moving], ['source', true]);
    const followed = heir.follow({ signal, onProgress: () => undefined });
    world.source.endpoint.gates.release('half');
    await Promise.all([followed, moved]);
    assert.deepEqual(await heir.locate({ signal }), {
      ...{ source: 'absent', destination: 'running', where: 'destination', moving: false },
    });
    assert.deepEqual(world.running(), ['esx-a1']);
  });

  test('a cancel leaves them where they were', async () => {
    await using rehearsal = await make();
    const { world } = rehearsal;
    const cancel = new AbortController();
    const half = world.source.endpoint.gates.hold('half');
    const driver = await rehearsal.driver({ datastore: 'shared' }, ALONE);
    const performed = rehearsal.perform(driver, await driver.prepare({ signal: rehearsal.signal }), cancel.signal);
    await reached(half, performed);
    cancel.abort(); // which ends what is held there
    await assert.rejects(performed, { code: 'ABORTED' });
    const { where, source } = await driver.abort({ signal: rehearsal.signal });
    assert.deepEqual([where, source], ['source', 'running']);
    assert.deepEqual(world.running(), ['esx-a1']);
  });

  test('what was not asked for is never there, nor what the VM does not have', async () => {
    await using rehearsal = await make();
    for (const diskMap of [{}, { 'Hard disk 9': 'shared' }] as Record<string, string>[]) {
      const driver = await rehearsal.driver({}, { ...ALONE, diskMap });
      assert.equal((await driver.locate({ signal: rehearsal.signal })).where, 'source', JSON.stringify(diskMap));
    }
  });

  test('one that nobody named stays, also where its datastore is on its way into maintenance', async () => {
    await using rehearsal = await make();
    const { objects } = rehearsal.world.source.endpoint;
    const local = objects.byName('Datastore', 'local-1');
    assert.ok(local !== undefined);
    objects.merge(local, 'summary', { maintenanceMode: 'enteringMaintenance' });
    const driver = await rehearsal.driver({}, { ...ALONE, diskMap: { 'Hard disk 2': 'shared' } });
    const { findings, diskBytes } = await driver.check({ signal: rehearsal.signal });
    assert.deepEqual([findings, diskBytes], [[], 2 * MIB]);
  });

  test('what is moved on once all had arrived is told, and takes nothing back', async () => {
    await using rehearsal = await make();
    const { signal } = rehearsal;
    const driver = await rehearsal.driver({ datastore: 'shared' }, ALONE);
    const prepared = await driver.prepare({ signal });
    await rehearsal.perform(driver, prepared);
    await rehearsal.move(await rehearsal.driver({}, { ...ALONE, diskMap: { 'Hard disk 2': 'local-1' } }));
    const { warnings } = await driver.confirm(prepared, { signal });
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /^Hard disk 2 is on datastore-\d+ and not on datastore-\d+, where it was sent/);
  });

  test('they move from whichever host has the VM by then', async () => {
    const spec = alpha([vmSpec(VM.name, { disks: DISKS.map((disk) => ({ ...disk, datastore: 'shared' })) })]);
    const source = { ...spec, datastores: [...spec.datastores, { name: 'shared-2' }] };
    await using rehearsal = await Rehearsal.make({ oneVCenter: true, hostless: true, source });
    const { signal, world } = rehearsal;
    const driver = await rehearsal.driver({ datastore: 'shared-2' }, ALONE);
    await driver.check({ signal });
    await rehearsal.move(await rehearsal.driver({ destinationHost: 'esx-a2' }));
    const prepared = await driver.prepare({ signal });
    await rehearsal.perform(driver, prepared);
    assert.deepEqual((await driver.confirm(prepared, { signal })).warnings, []);
    assert.deepEqual(world.running(), ['esx-a2']);
  });

  test('a vCenter that does not tell where they are is taken for neither end', async () => {
    await using rehearsal = await make();
    const driver = await rehearsal.driver({ datastore: 'shared' }, ALONE);
    const effect = { kind: 'fault', fault: { name: 'SystemError', fields: { reason: 'vpxd' } } } as const;
    rehearsal.world.source.endpoint.faults.add({ method: 'RetrievePropertiesEx', effect });
    const { source, destination, where } = await driver.locate({ signal: rehearsal.signal });
    assert.deepEqual([source, destination, where], ['unreachable', 'unreachable', 'unknown']);
  });
});

test('over REST: from an endpoint to itself, past the gateways; anything else from there to there is refused in words', async () => {
  await using directory = await temporaryDirectory();
  await using a = await LocalVcenter.start(alpha([vmSpec(VM.name, { disks: DISKS })]));
  await using b = await LocalVcenter.start(beta());
  await using orchestrated = await orchestrate(directory.path, { a, b });
  const { api } = orchestrated;
  const wanted = { vm: VM.name, source: 'vc-a', destination: 'vc-a', options: { datastore: 'shared' } };
  const tunnelled = await api.call('POST', '/v1/migrations', wanted);
  assert.deepEqual([tunnelled.status, tunnelled.body.code], [422, 'SAME_ENDPOINT']);
  assert.match(JSON.stringify(tunnelled.body), /ask for transport `direct`/);
  const direct = { ...wanted, transport: 'direct' };
  const { body: nowhere } = await api.call('POST', '/v1/migration-checks', { ...direct, options: {} });
  assert.match(JSON.stringify(nowhere), /nobody has said where to/);
  const { id } = (await api.must('POST', '/v1/migrations', direct)) as { id: string };
  const ended = await api.ended(id);
  assert.equal(ended.phase, 'succeeded', JSON.stringify(ended));
  assert.deepEqual(a.runsAt(VM.instanceUuid), ['esx-a1']);
  const { objects } = a.endpoint;
  const vm = objects.byName('VirtualMachine', VM.name);
  assert.ok(vm !== undefined);
  assert.deepEqual(objects.get(vm, 'datastore'), [objects.byName('Datastore', 'shared')]);
  const again = await api.call('POST', '/v1/migration-checks', direct);
  assert.match(JSON.stringify(again.body), /VM_THERE_ALREADY/);
});
