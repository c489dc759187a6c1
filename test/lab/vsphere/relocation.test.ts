/** Relocations of the endpoint: what moves, what a cancel does and when, two vCenters, routes, checks. The VM runs at one host at a time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VsphereEndpoint } from './endpoint.ts';
import type { VcenterSpec } from './inventory/spec.ts';
import { type AnsweredFault, dig, RawViJson } from './raw-client.ts';
import { type DataObject, type MoRef, moRef } from './schema/value.ts';
import { alpha, beta, VCENTER_LOGIN, vmSpec } from './two-vcenters.ts';
import { LocalVcenter } from './vcenter.ts';

const MIB = 1024 ** 2;
const VM = vmSpec('shop');
const PROV_CHECKER = moRef('VirtualMachineProvisioningChecker', 'ProvChecker');

const ref = ({ endpoint }: LocalVcenter, type: string, name: string): MoRef => {
  const found = endpoint.objects.byName(type, name);
  assert.ok(found, `${type} ${name}`);
  return found;
};

const relocateSpec = (members: object): object => ({ _typeName: 'VirtualMachineRelocateSpec', ...members });

const relocate = (client: RawViJson, vcenter: LocalVcenter, members: object): Promise<unknown> =>
  client.call(ref(vcenter, 'VirtualMachine', 'shop'), 'RelocateVM_Task', { spec: relocateSpec(members) });

const toSecondHost = (vcenter: LocalVcenter): object => ({
  host: ref(vcenter, 'HostSystem', 'esx-a2'),
  datastore: ref(vcenter, 'Datastore', 'local-2'),
});

/** What a task ended with: its fault's name, or `success`. */
const endOf = (info: DataObject): unknown =>
  info.state === 'success' ? 'success' : dig(info, 'error.fault._typeName');

function assertFits(...vcenters: readonly LocalVcenter[]): void {
  for (const { endpoint } of vcenters) assert.deepEqual(endpoint.violations, []);
}

function assertNeverTwo(...vcenters: readonly LocalVcenter[]): void {
  const changes = vcenters.flatMap(({ hosts }) => [...hosts.values()].flatMap((host) => host.changes));
  let copies = 1;
  for (const { running } of changes.toSorted((one, other) => one.atMs - other.atMs)) {
    copies += running ? 1 : -1;
    assert.ok(copies <= 1, 'two copies ran at one instant');
  }
}

test('memory and disks move with the host, a disk alone stays in the host, shared storage stays where it is', async () => {
  const disks = [
    { sizeBytes: 4 * MIB, datastore: 'local-1' },
    { sizeBytes: 2 * MIB, datastore: 'shared' },
  ];
  await using vcenter = await LocalVcenter.start(alpha([{ ...VM, disks }]));
  const client = await RawViJson.logIn(vcenter);
  const [host, local] = [ref(vcenter, 'HostSystem', 'esx-a2'), ref(vcenter, 'Datastore', 'local-2')];
  const disk = [{ _typeName: 'VirtualMachineRelocateSpecDiskLocator', diskId: 2_000, datastore: local }];
  assert.equal(endOf(await client.ended(await relocate(client, vcenter, { host, disk }))), 'success');
  const there = vcenter.host('esx-a2');
  assert.deepEqual(there.received, { vmotion: VM.memoryBytes + 4 * MIB, nfc: 0 });
  const datastore = ref(vcenter, 'Datastore', 'shared');
  assert.equal(endOf(await client.ended(await relocate(client, vcenter, { datastore }))), 'success');
  assert.equal(there.received.vmotion, VM.memoryBytes + 4 * MIB, 'nothing moved between hosts');
  assert.deepEqual(await client.get(datastore, 'vm'), [ref(vcenter, 'VirtualMachine', 'shop')]);
  assertFits(vcenter);
});

test('what is cold goes over NFC: everything of a VM that is off, the disks of one with snapshots', async () => {
  await using off = await LocalVcenter.start(alpha([{ ...VM, poweredOn: false }]));
  const client = await RawViJson.logIn(off);
  assert.equal(endOf(await client.ended(await relocate(client, off, toSecondHost(off)))), 'success');
  assert.deepEqual(off.host('esx-a2').received, { vmotion: 0, nfc: 4 * MIB });
  await using with2 = await LocalVcenter.start(alpha([{ ...VM, snapshots: ['before', 'after'] }]));
  const other = await RawViJson.logIn(with2);
  assert.equal(endOf(await other.ended(await relocate(other, with2, toSecondHost(with2)))), 'success');
  assert.deepEqual(with2.host('esx-a2').received, { vmotion: VM.memoryBytes, nfc: 4 * MIB });
  assertFits(off, with2);
});

test('MigrateVM_Task moves memory alone, and in the named power state only', async () => {
  const disks = [{ sizeBytes: 4 * MIB, datastore: 'shared' }];
  await using vcenter = await LocalVcenter.start(alpha([{ ...VM, disks }]));
  const client = await RawViJson.logIn(vcenter);
  const migrate = (state: string) =>
    client.call(ref(vcenter, 'VirtualMachine', 'shop'), 'MigrateVM_Task', {
      ...{ host: ref(vcenter, 'HostSystem', 'esx-a2'), priority: 'defaultPriority', state },
    });
  await assert.rejects(migrate('poweredOff'), { name: 'InvalidPowerState' });
  assert.equal(endOf(await client.ended(await migrate('poweredOn'))), 'success');
  assert.deepEqual(vcenter.runsAt(VM.instanceUuid), ['esx-a2']);
  assert.equal(vcenter.host('esx-a2').received.vmotion, VM.memoryBytes);
  assertFits(vcenter);
});

for (const gate of ['queued', 'checked', 'half', 'switchover'] as const)
  test(`a cancel at "${gate}" leaves the VM at the source`, async () => {
    await using vcenter = await LocalVcenter.start(alpha([VM]));
    const client = await RawViJson.logIn(vcenter);
    const there = vcenter.endpoint.gates.hold(gate);
    const task = (await relocate(client, vcenter, toSecondHost(vcenter))) as MoRef;
    await there;
    assert.equal(dig(await client.get(task, 'info'), 'state'), gate === 'queued' ? 'queued' : 'running');
    await client.call(task, 'CancelTask');
    const info = await client.ended(task);
    assert.deepEqual([endOf(info), info.cancelled], ['RequestCanceled', true]);
    assert.deepEqual(vcenter.runsAt(VM.instanceUuid), ['esx-a1']);
    assert.equal(dig(await client.get(ref(vcenter, 'VirtualMachine', 'shop'), 'runtime'), 'host.value'), 'host-11');
    await assert.rejects(client.call(task, 'CancelTask'), { name: 'InvalidState' });
    assertFits(vcenter);
  });

for (const lateCancel of ['ignored', 'NotSupported'] as const)
  test(`a cancel after the point of no return is ${lateCancel}, and the VM has moved`, async () => {
    await using vcenter = await LocalVcenter.start(alpha([VM]));
    vcenter.endpoint.dialect.lateCancel = lateCancel;
    const client = await RawViJson.logIn(vcenter);
    const there = vcenter.endpoint.gates.hold('arrived');
    const task = (await relocate(client, vcenter, toSecondHost(vcenter))) as MoRef;
    await there;
    assert.equal(dig(await client.get(task, 'info'), 'cancelable'), false);
    const cancelled = client.call(task, 'CancelTask');
    if (lateCancel === 'ignored') await cancelled;
    else await assert.rejects(cancelled, { name: 'NotSupported' });
    vcenter.endpoint.gates.release('arrived');
    assert.equal(endOf(await client.ended(task)), 'success');
    assert.deepEqual(vcenter.runsAt(VM.instanceUuid), ['esx-a2']);
  });

test('late success: the task says RequestCanceled, and the VM moves all the same', async () => {
  await using vcenter = await LocalVcenter.start(alpha([VM]));
  vcenter.endpoint.tasks.lateSuccess = true;
  const client = await RawViJson.logIn(vcenter);
  const there = vcenter.endpoint.gates.hold('switchover');
  const task = (await relocate(client, vcenter, toSecondHost(vcenter))) as MoRef;
  await there;
  await client.call(task, 'CancelTask');
  assert.equal(endOf(await client.ended(task)), 'RequestCanceled');
  assert.deepEqual(vcenter.runsAt(VM.instanceUuid), ['esx-a1']);
  const arrived = vcenter.endpoint.gates.hold('arrived');
  vcenter.endpoint.gates.release('switchover');
  await arrived;
  assert.deepEqual(vcenter.runsAt(VM.instanceUuid), ['esx-a2']);
  assertNeverTwo(vcenter);
  assertFits(vcenter);
});

test('a connection that breaks, and bytes that are not those that were sent, fail the move before switch-over', async () => {
  await using vcenter = await LocalVcenter.start(alpha([VM]));
  const client = await RawViJson.logIn(vcenter);
  const there = vcenter.endpoint.gates.hold('half');
  const cut = await relocate(client, vcenter, toSecondHost(vcenter));
  await there;
  vcenter.host('esx-a2').cutConnections();
  vcenter.endpoint.gates.release('half');
  assert.equal(endOf(await client.ended(cut)), 'GenericVmConfigFault');
  vcenter.endpoint.relocation.corrupt = true;
  assert.equal(
    endOf(await client.ended(await relocate(client, vcenter, toSecondHost(vcenter)))),
    'GenericVmConfigFault',
  );
  assert.deepEqual(vcenter.runsAt(VM.instanceUuid), ['esx-a1']);
  vcenter.endpoint.relocation.corrupt = false;
  assert.equal(endOf(await client.ended(await relocate(client, vcenter, toSecondHost(vcenter)))), 'success');
  assertNeverTwo(vcenter);
  assertFits(vcenter);
});

test('two tasks do not move one VM, and a task can be made to fail with any published fault', async () => {
  await using vcenter = await LocalVcenter.start(alpha([VM]));
  const client = await RawViJson.logIn(vcenter);
  const failedHost = ref(vcenter, 'HostSystem', 'esx-a1');
  const fields = { atSourceHost: true, failedHostName: 'esx-a1', failedHost };
  const effect = { kind: 'task-fault', fault: { name: 'MigrationFeatureNotSupported', fields } } as const;
  vcenter.endpoint.faults.add({ method: 'RelocateVM_Task', object: 'shop', times: 1, effect });
  const failed = await client.ended(await relocate(client, vcenter, toSecondHost(vcenter)));
  assert.equal(dig(failed, 'error.fault.failedHostName'), 'esx-a1');
  const there = vcenter.endpoint.gates.hold('half');
  const first = await relocate(client, vcenter, toSecondHost(vcenter));
  await there;
  const second = await client.ended(await relocate(client, vcenter, toSecondHost(vcenter)));
  assert.deepEqual([endOf(second), dig(second, 'error.fault.task')], ['TaskInProgress', first]);
  vcenter.endpoint.gates.release('half');
  assert.equal(endOf(await client.ended(first)), 'success');
  assertFits(vcenter);
});

/** Two vCenters, a route at both hosts, and what `alpha` needs to know of `beta`. */
async function twoVcenters(changes: Partial<VcenterSpec> = {}) {
  const source = await LocalVcenter.start({ ...alpha([VM]), ...changes });
  const destination = await LocalVcenter.start(beta());
  const [client, other] = await Promise.all([RawViJson.logIn(source), RawViJson.logIn(destination)]);
  await changeRoute(client, 'add', { network: '127.1.2.0', prefixLength: 24, gateway: '127.1.1.1' });
  await changeRoute(other, 'add', { network: '127.1.1.0', prefixLength: 24, gateway: '127.1.2.1' });
  const service = {
    ...{ _typeName: 'ServiceLocator', instanceUuid: destination.instanceUuid, url: destination.url },
    credential: { _typeName: 'ServiceLocatorNamePassword', ...VCENTER_LOGIN },
    sslThumbprint: destination.certificate?.thumbprint,
  };
  const spec = {
    service,
    host: ref(destination, 'HostSystem', 'esx-b1'),
    pool: ref(destination, 'ResourcePool', 'Resources'),
    datastore: ref(destination, 'Datastore', 'beta-store'),
  };
  return {
    ...{ source, destination, client, other, service, spec },
    [Symbol.asyncDispose]: async () => void (await Promise.all([source.stop(), destination.stop()])),
  };
}

function changeRoute(client: RawViJson, changeOperation: string, route: object): Promise<unknown> {
  const ipRoute = [{ _typeName: 'HostIpRouteOp', changeOperation, route: { _typeName: 'HostIpRouteEntry', ...route } }];
  const netStackInstance = {
    ...{ _typeName: 'HostNetStackInstance', key: 'vmotion' },
    routeTableConfig: { _typeName: 'HostIpRouteTableConfig', ipRoute },
  };
  const netStackSpec = [{ _typeName: 'HostNetworkConfigNetStackSpec', netStackInstance, operation: 'edit' }];
  return client.call(moRef('HostNetworkSystem', 'networkSystem-11'), 'UpdateNetworkConfig', {
    ...{ config: { _typeName: 'HostNetworkConfig', netStackSpec }, changeMode: 'modify' },
  });
}

const routesOf = (endpoint: VsphereEndpoint, name: string): unknown[] => {
  const host = endpoint.objects.byName('HostSystem', name) as MoRef;
  const stacks = endpoint.objects.at(host, 'config.network.netStackInstance') as readonly DataObject[];
  const routes = dig(
    stacks.find(({ key }) => key === 'vmotion'),
    'routeTableConfig.ipRoute',
  ) as readonly DataObject[];
  return routes.map(({ route }) => `${dig(route, 'network')}/${dig(route, 'prefixLength')} ${dig(route, 'gateway')}`);
};

test('across vCenters: the VM leaves one inventory and is in the other, with the networks and folder that were named', async () => {
  await using world = await twoVcenters();
  const { source, destination, client, spec } = world;
  const folder = ref(destination, 'Folder', 'arrived');
  const portgroup = ref(destination, 'DistributedVirtualPortgroup', 'dv-beta');
  const [dvs] = destination.endpoint.objects.all('DistributedVirtualSwitch');
  const port = {
    ...{ _typeName: 'DistributedVirtualSwitchPortConnection', switchUuid: dvs?.properties.get('uuid') },
    portgroupKey: portgroup.value,
  };
  const backing = { _typeName: 'VirtualEthernetCardDistributedVirtualPortBackingInfo', port };
  const device = { _typeName: 'VirtualVmxnet3', key: 4_000, backing };
  const deviceChange = [{ _typeName: 'VirtualDeviceConfigSpec', operation: 'edit', device }];
  const task = await relocate(client, source, { ...spec, folder, deviceChange });
  assert.equal(endOf(await client.ended(task)), 'success');
  assert.deepEqual([source.runsAt(VM.instanceUuid), destination.runsAt(VM.instanceUuid)], [[], ['esx-b1']]);
  assert.equal(source.endpoint.objects.byName('VirtualMachine', 'shop'), undefined);
  const vm = ref(destination, 'VirtualMachine', 'shop');
  const { objects } = destination.endpoint;
  assert.deepEqual([objects.get(vm, 'parent'), objects.get(vm, 'network')], [folder, [portgroup]]);
  assert.equal(destination.host('esx-b1').received.vmotion, VM.memoryBytes + 4 * MIB);
  assertNeverTwo(source, destination);
  assertFits(source, destination);
});

test('the other vCenter’s certificate, password, identity and objects are looked at before anything moves', async () => {
  await using world = await twoVcenters({ apiVersion: '9.0.0.0' });
  const { source, destination, client, service, spec } = world;
  const endWith = async (changes: object, members: object = {}): Promise<DataObject> =>
    client.ended(await relocate(client, source, { ...spec, ...members, service: { ...service, ...changes } }));
  const refused = await endWith({ sslThumbprint: 'AA:BB' });
  assert.equal(endOf(refused), 'SSLVerifyFault');
  assert.equal(dig(refused, 'error.fault.thumbprint'), destination.certificate?.thumbprint);
  assert.equal(dig(refused, 'error.fault.selfSigned'), true);
  const credential = { _typeName: 'ServiceLocatorNamePassword', username: 'root', password: 'wrong' };
  assert.equal(endOf(await endWith({ credential })), 'InvalidLogin');
  assert.equal(endOf(await endWith({ instanceUuid: source.instanceUuid })), 'InvalidArgument');
  assert.equal(endOf(await endWith({}, { datastore: undefined })), 'InvalidArgument');
  assert.equal(endOf(await endWith({}, { host: moRef('HostSystem', 'host-99') })), 'ManagedObjectNotFound');
  assert.deepEqual(source.runsAt(VM.instanceUuid), ['esx-a1']);
  const small = service.sslThumbprint?.toLowerCase();
  source.endpoint.dialect.thumbprintCase = 'upper';
  assert.equal(endOf(await endWith({ sslThumbprint: small })), 'SSLVerifyFault');
  destination.endpoint.dialect.newInstanceUuid = true;
  const sslCertificate = destination.certificate?.cert;
  assert.equal(endOf(await endWith({ sslThumbprint: 'AA:BB', sslCertificate })), 'InvalidArgument');
  const byCertificate = { sslThumbprint: undefined, sslCertificate };
  assert.equal(endOf(await endWith(byCertificate)), 'success');
  const vm = ref(destination, 'VirtualMachine', 'shop');
  assert.equal(destination.endpoint.objects.at(vm, 'config.uuid'), VM.uuid);
  assert.notEqual(destination.endpoint.objects.at(vm, 'config.instanceUuid'), VM.instanceUuid);
  assertFits(source, destination);
});

test('a release knows nothing of what is younger: the other vCenter’s certificate is no member before 9.0', async () => {
  await using world = await twoVcenters();
  const { source, destination, client, service, spec } = world;
  const certified = { ...spec, service: { ...service, sslCertificate: destination.certificate?.cert } };
  await assert.rejects(relocate(client, source, certified), { name: 'InvalidRequest' });
  assert.deepEqual(source.endpoint.violations, [
    'RelocateVM_Task.spec.service: ServiceLocator has no member sslCertificate',
  ]);
});

test('routes of a stack: added, shown, refused twice, removed; without one the other site is not reached', async () => {
  await using world = await twoVcenters();
  const { source, client, spec } = world;
  const route = { network: '127.1.2.0', prefixLength: 24, gateway: '127.1.1.1' };
  assert.deepEqual(routesOf(source.endpoint, 'esx-a1'), ['127.1.1.0/24 0.0.0.0', '127.1.2.0/24 127.1.1.1']);
  await assert.rejects(changeRoute(client, 'add', route), { name: 'AlreadyExists' });
  await assert.rejects(changeRoute(client, 'add', { ...route, network: '127.1.2.7' }), { name: 'PlatformConfigFault' });
  await changeRoute(client, 'remove', route);
  await assert.rejects(changeRoute(client, 'remove', route), { name: 'NotFound' });
  assert.deepEqual(routesOf(source.endpoint, 'esx-a1'), ['127.1.1.0/24 0.0.0.0']);
  const info = await client.ended(await relocate(client, source, spec));
  assert.match(String(dig(info, 'error.localizedMessage')), /network is unreachable/);
  assert.deepEqual(source.runsAt(VM.instanceUuid), ['esx-a1']);
  assertFits(source);
});

test('a vCenter that dies in the middle forgets its tasks; its hosts finish, and it shows what they say', async () => {
  await using world = await twoVcenters();
  const { source, destination, client, spec } = world;
  source.endpoint.relocation.bytesPerSec = 40 * MIB;
  await relocate(client, source, spec);
  await source.kill();
  await source.restart();
  const again = await RawViJson.logIn(source);
  while (destination.runsAt(VM.instanceUuid).length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  const search = { uuid: VM.instanceUuid, vmSearch: true, instanceUuid: true };
  while ((await again.call(moRef('SearchIndex', 'SearchIndex'), 'FindByUuid', search)) !== undefined);
  assertNeverTwo(source, destination);
  assertFits(source, destination);
});

test('checks find what keeps the VM from moving, and what the test says', async () => {
  await using world = await twoVcenters();
  const { source, client, spec } = world;
  const vm = ref(source, 'VirtualMachine', 'shop');
  const check = async (members: object): Promise<unknown> => {
    const task = await client.call(PROV_CHECKER, 'CheckRelocate_Task', {
      ...{ vm, spec: relocateSpec(members), testType: ['sourceTests', 'hostTests'] },
    });
    return dig(await client.ended(task), 'result._value.0');
  };
  assert.deepEqual(dig(await check(spec), 'error'), []);
  const host = ref(source, 'HostSystem', 'esx-a2');
  assert.equal(dig(await check({ host }), 'error.0.fault._typeName'), 'CannotAccessVmDisk');
  const issue = { atSourceHost: false, failedHost: 'esx-b1', network: 'vmotion' };
  source.endpoint.checks = {
    warnings: [{ name: 'VMotionLinkCapacityLow', fields: issue }],
    errors: [{ name: 'VMotionNotLicensed', fields: { ...issue, network: undefined } }],
  };
  const result = await check(spec);
  assert.equal(dig(result, 'warning.0.fault.network'), 'vmotion');
  assert.equal(dig(result, 'error.0.fault._typeName'), 'VMotionNotLicensed');
  assertFits(source);
});

test('how vMotion is encrypted can be changed, and not switched off for an encrypted VM', async () => {
  await using vcenter = await LocalVcenter.start(alpha([VM, vmSpec('secret', { encrypted: true })]));
  const client = await RawViJson.logIn(vcenter);
  const set = async (name: string): Promise<unknown> => {
    const spec = { _typeName: 'VirtualMachineConfigSpec', migrateEncryption: 'disabled' };
    return endOf(
      await client.ended(await client.call(ref(vcenter, 'VirtualMachine', name), 'ReconfigVM_Task', { spec })),
    );
  };
  assert.deepEqual([await set('shop'), await set('secret')], ['success', 'InvalidVmConfig']);
  assert.equal(endOf(await client.ended(await relocate(client, vcenter, toSecondHost(vcenter)))), 'success');
  const config = await client.get(ref(vcenter, 'VirtualMachine', 'shop'), 'config');
  assert.equal(dig(config, 'migrateEncryption'), 'disabled', 'it goes with the VM');
  assert.equal(vcenter.endpoint.moves[0]?.migrateEncryption, 'disabled');
  assertFits(vcenter);
});

test('what does not exist, or may not be done, is a fault of the call', async () => {
  const withheldPrivileges = [{ privilege: 'Resource.HotMigrate', object: 'shop' }];
  await using vcenter = await LocalVcenter.start(alpha([VM]));
  await using strict = await LocalVcenter.start({ ...alpha([VM]), withheldPrivileges });
  const [client, other] = await Promise.all([RawViJson.logIn(vcenter), RawViJson.logIn(strict)]);
  const nowhere = { host: moRef('HostSystem', 'host-99') };
  await assert.rejects(relocate(client, vcenter, nowhere), (error: AnsweredFault) => {
    assert.deepEqual([error.name, dig(error.fault, 'obj.value')], ['ManagedObjectNotFound', 'host-99']);
    return true;
  });
  await assert.rejects(relocate(other, strict, toSecondHost(strict)), { name: 'NoPermission' });
  assertFits(vcenter, strict);
});
