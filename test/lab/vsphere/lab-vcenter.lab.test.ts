/**
 * The vCenters of the lab and their hosts, on machines that only have routes: nothing crosses without one, what UpdateNetworkConfig sets is in the
 * kernel, and a move goes on when its vCenter dies. The gateway machines only forward here; what a real gateway adds, `npm run e2e -- vmware` proves.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Lab, labDown, labUp } from '../src/index.ts';
import { LabVcenter } from './lab-vcenter.ts';
import { type AnsweredFault, dig, RawViJson } from './raw-client.ts';
import { type DataObject, type MoRef, moRef } from './schema/value.ts';
import { VCENTER_LOGIN, vmSpec } from './two-vcenters.ts';

const LAB = 'vsphere';
const MIB = 1024 ** 2;
const VM = vmSpec('shop', { memoryBytes: 24 * MIB, disks: [{ sizeBytes: 8 * MIB, datastore: 'local-1' }] });
/** A host that the gateway machine tells of a shorter way would take it. */
const NO_REDIRECTS = ['net.ipv4.conf.all.send_redirects=0', 'net.ipv4.conf.data.send_redirects=0'];
const MOVED_BYTES = 32 * MIB;

let lab: Lab;
let source: LabVcenter;
let destination: LabVcenter;
let atSource: RawViJson;
let atDestination: RawViJson;

async function fresh(): Promise<void> {
  await Promise.all([source?.stop(), destination?.stop()]);
  [source, destination] = await Promise.all([LabVcenter.start(lab, 'a', [VM]), LabVcenter.start(lab, 'b', [])]);
  [atSource, atDestination] = await Promise.all([RawViJson.logIn(source), RawViJson.logIn(destination)]);
}

/** In each vCenter the first of its kind has the same reference. */
const HOST = moRef('HostSystem', 'host-11');
const NETWORK_SYSTEM = moRef('HostNetworkSystem', 'networkSystem-11');
const POOL = moRef('ResourcePool', 'resgroup-11');
const DATASTORE = moRef('Datastore', 'datastore-11');

async function find(client: RawViJson): Promise<MoRef | undefined> {
  const parameters = { uuid: VM.instanceUuid, vmSearch: true, instanceUuid: true };
  return (await client.call(moRef('SearchIndex', 'SearchIndex'), 'FindByUuid', parameters)) as MoRef | undefined;
}

async function relocateAcross(): Promise<MoRef> {
  const about = (await atDestination.get(moRef('ServiceInstance', 'ServiceInstance'), 'content')) as DataObject;
  const service = {
    _typeName: 'ServiceLocator',
    instanceUuid: dig(about, 'about.instanceUuid'),
    url: destination.url,
    credential: { _typeName: 'ServiceLocatorNamePassword', ...VCENTER_LOGIN },
    sslThumbprint: destination.certificate.thumbprint,
  };
  const spec = { _typeName: 'VirtualMachineRelocateSpec', service, host: HOST, pool: POOL, datastore: DATASTORE };
  return (await atSource.call((await find(atSource)) as MoRef, 'RelocateVM_Task', { spec })) as MoRef;
}

async function changeRoute(
  client: RawViJson,
  changeOperation: 'add' | 'remove',
  gateway: string,
  to: string,
): Promise<void> {
  const [network, prefixLength] = to.split('/');
  const route = { _typeName: 'HostIpRouteEntry', network, prefixLength: Number(prefixLength), gateway };
  const routeTableConfig = {
    _typeName: 'HostIpRouteTableConfig',
    ipRoute: [{ _typeName: 'HostIpRouteOp', changeOperation, route }],
  };
  const netStackInstance = { _typeName: 'HostNetStackInstance', key: 'vmotion', routeTableConfig };
  const config = {
    _typeName: 'HostNetworkConfig',
    netStackSpec: [{ _typeName: 'HostNetworkConfigNetStackSpec', netStackInstance, operation: 'edit' }],
  };
  await client.call(NETWORK_SYSTEM, 'UpdateNetworkConfig', { config, changeMode: 'modify' });
}

/** Between the vMotion networks of the sites, through the gateway machine of each. */
async function changeRoutes(operation: 'add' | 'remove'): Promise<void> {
  const { a, b } = lab.sites;
  const networkOf = (address: string) => `${address.replace(/\d+$/, (last) => String(Number(last) & ~63))}/26`;
  const [networkA, networkB] = [networkOf(a.host.dataAddress), networkOf(b.host.dataAddress)];
  await changeRoute(atSource, operation, a.gatewayHost.dataAddress, networkB);
  await changeRoute(atDestination, operation, b.gatewayHost.dataAddress, networkA);
}

async function runningAt(vcenter: LabVcenter): Promise<readonly string[]> {
  return (await vcenter.hostTruths()).flatMap(({ running }) => running);
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, 'not in time');
    await delay(50);
  }
}

async function assertNoViolations(): Promise<void> {
  for (const vcenter of [source, destination]) assert.deepEqual((await vcenter.truth()).violations, []);
}

describe('vCenters of the lab', { concurrency: 1 }, () => {
  before(async () => {
    await labDown(LAB);
    lab = await labUp({ name: LAB, rateMbit: 1_000, rttMs: 20 });
    for (const { gatewayHost } of [lab.sites.a, lab.sites.b])
      await gatewayHost.exec(['sysctl', '-qw', 'net.ipv4.ip_forward=1', ...NO_REDIRECTS]);
    await fresh();
  });
  after(async () => {
    await Promise.allSettled([source?.stop(), destination?.stop()]);
    assert.deepEqual((await labDown(LAB)).leftovers, []);
  });

  test('without a route the hosts do not reach each other: the task fails, the VM stays', async () => {
    const before = await lab.linkStats();
    const info = await atSource.ended(await relocateAcross());
    assert.equal(dig(info, 'error.fault._typeName'), 'GenericVmConfigFault');
    assert.match(String(dig(info, 'error.localizedMessage')), /no route to/);
    assert.deepEqual([await runningAt(source), await runningAt(destination)], [[VM.instanceUuid], []]);
    assert.ok((await lab.linkStats()).ab.bytes - before.ab.bytes < MIB, 'nothing of the guest crossed');
  });

  test('a gateway outside the stack’s network is refused, and no route is left', async () => {
    const { host } = lab.sites.a;
    await assert.rejects(changeRoute(atSource, 'add', host.address, '192.0.2.0/24'), (error: AnsweredFault) => {
      assert.equal(error.fault._typeName, 'PlatformConfigFault');
      return true;
    });
    assert.deepEqual(await source.kernelRoutes(), []);
  });

  test('with a route at both hosts the VM moves over the WAN; the routes are in the kernel, and go again', async () => {
    await changeRoutes('add');
    const { a, b } = lab.sites;
    const ways = [await source.kernelRoutes(), await destination.kernelRoutes()];
    assert.deepEqual(
      ways.map(([way = '']) => way.split(' ')[2]),
      [a.gatewayHost.dataAddress, b.gatewayHost.dataAddress],
    );
    const before = await lab.linkStats();
    const info = await atSource.ended(await relocateAcross());
    assert.equal(info.state, 'success', JSON.stringify(info.error));
    assert.deepEqual([await runningAt(source), await runningAt(destination)], [[], [VM.instanceUuid]]);
    const [there] = await destination.hostTruths();
    assert.deepEqual(there?.received, { vmotion: MOVED_BYTES, nfc: 0 });
    assert.deepEqual(there?.connections, { vmotion: 4, nfc: 0 }, 'one for control, three for data');
    const after = await lab.linkStats();
    assert.ok(after.ab.bytes - before.ab.bytes > MOVED_BYTES, 'there');
    assert.ok(after.ba.bytes - before.ba.bytes > MOVED_BYTES / 10, 'and back');
    assert.deepEqual([await find(atSource), (await find(atDestination))?.type], [undefined, 'VirtualMachine']);
    await changeRoutes('remove');
    assert.deepEqual([await source.kernelRoutes(), await destination.kernelRoutes()], [[], []]);
    await assertNoViolations();
  });

  test('the source’s vCenter is killed in the middle: the hosts finish, and both inventories say so afterwards', async () => {
    await fresh();
    await changeRoutes('add');
    await source.script({ relocation: { bytesPerSec: 8 * MIB } });
    const before = await lab.linkStats();
    await relocateAcross();
    await until(async () => (await lab.linkStats()).ab.bytes - before.ab.bytes > 2 * MIB);
    await source.kill();
    assert.deepEqual(await runningAt(source), [VM.instanceUuid], 'it is still on its way');
    await until(async () => (await runningAt(destination)).length === 1);
    await source.restart();
    atSource = await RawViJson.logIn(source);
    await until(async () => (await find(atDestination)) !== undefined);
    assert.equal(await find(atSource), undefined);
    const changes = [...(await source.hostTruths()), ...(await destination.hostTruths())].flatMap(
      (truth) => truth.changes,
    );
    const order = changes.toSorted((one, other) => one.atMs - other.atMs).map(({ running }) => running);
    assert.deepEqual(order, [false, true], 'it ended at the source before it began at the destination');
    await changeRoutes('remove');
    await assertNoViolations();
  });
});
