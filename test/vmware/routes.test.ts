/** Static routes at the hosts and the encryption setting: set for a move, shared, left alone where they are somebody else's, put back. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PluginResource } from '@lmas/plugin-api';
import { createVmwarePlugin } from '@lmas/plugin-vmware';
import { plugin } from '../compliance/vmware-world.ts';
import type { Route } from '../lab/vsphere/esxi/agent.ts';
import { setHostNetwork } from '../lab/vsphere/inventory/seed.ts';
import type { VcenterSpec } from '../lab/vsphere/inventory/spec.ts';
import { alpha, beta, vmSpec } from '../lab/vsphere/two-vcenters.ts';
import type { LocalVcenter } from '../lab/vsphere/vcenter.ts';
import { GATEWAYS, Rehearsal, reached, TUNNELLED } from './rehearsal.ts';
import { routesAt } from './seen-routes.ts';

const SOURCE = '127.1.1.11';
const DESTINATION = '127.1.2.11';
const TEMPORARY = { routes: 'temporary' };

/** No default gateway: without a route a host reaches its own network only. */
const bare = (spec: VcenterSpec): Partial<VcenterSpec> => ({ hosts: spec.hosts });

const both = ({ world }: Rehearsal) => [routesAt(world.source, 'esx-a1'), routesAt(world.destination, 'esx-b1')];
const OURS = [[`${DESTINATION}/32 via ${GATEWAYS.source}`], [`${SOURCE}/32 via ${GATEWAYS.destination}`]];

async function withoutRoutes(protocol?: 'soap' | 'json'): Promise<Rehearsal> {
  const shape = { source: bare(alpha([vmSpec('shop')])), destination: bare(beta()) };
  return await Rehearsal.make({ ...shape, ...(protocol === undefined ? {} : { protocol }) });
}

/** vMotion adapters have addresses of IPv6 alone. This machine has none of them: others stand in. */
async function overIpv6(protocol?: 'soap' | 'json'): Promise<Rehearsal> {
  const addresses = (site: 1 | 2, hosts: readonly number[]) => ({
    management: hosts.map((host) => `127.0.${site}.${host}`),
    vmotion: hosts.map((host) => `fd00:${site}::${host}`),
    prefixLength: 64,
  });
  const onIpv4 = (spec: VcenterSpec): Partial<VcenterSpec> => ({
    hosts: spec.hosts.map((host) => ({
      ...host,
      vmkernels: host.vmkernels.map((nic) => (nic.stack === 'vmotion' ? nic : { ...nic, prefixLength: 24 })),
    })),
  });
  return await Rehearsal.make({
    source: onIpv4(alpha([vmSpec('shop')], addresses(1, [11, 12]))),
    destination: onIpv4(beta([], addresses(2, [11]))),
    hosts: { standIn: (address) => address.replace(/^fd00:(\d)::(\d+)$/, '127.1.$1.$2') },
    ...(protocol === undefined ? {} : { protocol }),
  });
}

/** Each host has a second vMotion adapter, of IPv6. */
async function overBothFamilies(): Promise<Rehearsal> {
  const withIpv6 = (spec: VcenterSpec, site: 1 | 2): Partial<VcenterSpec> => ({
    hosts: spec.hosts.map((host, i) => {
      const vmk3 = { device: 'vmk3', address: `fd00:${site}::${11 + i}`, prefixLength: 64 };
      return { ...host, vmkernels: [...host.vmkernels, { ...vmk3, stack: 'vmotion', services: [] }] };
    }),
  });
  return await Rehearsal.make({
    source: withIpv6(alpha([vmSpec('shop')]), 1),
    destination: withIpv6(beta(), 2),
    hosts: { standIn: (address) => address.replace(/^fd00:(\d)::(\d+)$/, '127.1.$1.$2') },
  });
}

/** Straight at the host, as esxcli does it: the vCenter does not show it yet. */
async function changeUnseen({ endpoint }: LocalVcenter, host: string, routes: readonly Route[]): Promise<void> {
  const agent = endpoint.agents.get(host);
  const stack = (await agent?.state())?.stacks.find(({ key }) => key === 'vmotion');
  assert.ok(agent !== undefined && stack !== undefined);
  await agent.setStack({ ...stack, routes });
}

/** The same, and the vCenter shows it. */
async function changeRoutes(vcenter: LocalVcenter, host: string, routes: readonly Route[]): Promise<void> {
  const { endpoint } = vcenter;
  await changeUnseen(vcenter, host, routes);
  const [agent, ref] = [endpoint.agents.get(host), endpoint.objects.byName('HostSystem', host)];
  assert.ok(agent !== undefined && ref !== undefined);
  setHostNetwork(endpoint.objects, ref, endpoint.hostSpec(ref), (await agent.state()).stacks, endpoint.spec);
}

/** As an administrator does it, past the plugin. */
async function setByHand(rehearsal: Rehearsal, gateway: string): Promise<void> {
  const other = await rehearsal.driver(
    {},
    { ...TUNNELLED, tunnel: { encrypts: true, nextHops: { ...GATEWAYS, source: gateway } } },
    TEMPORARY,
  );
  const prepared = await other.prepare({ signal: rehearsal.signal });
  rehearsal.world.source.endpoint.faults.set([
    { method: 'RelocateVM_Task', effect: { kind: 'fault', fault: { name: 'InvalidState' } } },
  ]);
  await assert.rejects(rehearsal.perform(other, prepared));
  rehearsal.world.source.endpoint.faults.set([]);
  // The other end's is taken back, so that the one at the source is all there is.
  const there = rehearsal.journal.find(({ end }) => end === 'destination');
  assert.ok(there !== undefined);
  await other.release(there, { signal: rehearsal.signal });
  rehearsal.journal.length = 0;
}

describe('temporary routes', { concurrency: true }, () => {
  for (const protocol of ['soap', 'json'] as const) {
    test(`are set at both hosts before the move, journalled first, and taken away by whoever has the journal (${protocol})`, async () => {
      await using rehearsal = await withoutRoutes(protocol);
      const driver = await rehearsal.driver({}, TUNNELLED, TEMPORARY);
      const { findings } = await driver.check({ signal: rehearsal.signal });
      assert.deepEqual(
        findings.filter(({ severity }) => severity === 'blocker').map(({ code }) => code),
        [],
      );
      rehearsal.world.source.endpoint.onCall = (method) => {
        if (method === 'UpdateNetworkConfig') assert.ok(rehearsal.journal.length > 0, 'nothing is journalled yet');
      };
      await rehearsal.move(driver);
      assert.deepEqual(both(rehearsal), OURS);
      for (const { lifetime, shared } of rehearsal.journal) assert.deepEqual([lifetime, shared], ['migration', true]);
      rehearsal.world.killOrchestrator();
      const next = await rehearsal.driver({}, TUNNELLED, TEMPORARY);
      await rehearsal.release(next);
      await rehearsal.release(next);
      assert.deepEqual(both(rehearsal), [[], []]);
      assert.deepEqual(rehearsal.world.running(), ['esx-b1']);
      assert.deepEqual(rehearsal.world.violations(), []);
    });
  }

  test('one that another migration holds is shared, and the journal says so', async () => {
    await using rehearsal = await withoutRoutes();
    await setByHand(rehearsal, GATEWAYS.source);
    const driver = await rehearsal.driver({}, TUNNELLED, TEMPORARY);
    const prepared = await driver.prepare({ signal: rehearsal.signal });
    // Whoever knows the migrations says that one of them has made it.
    rehearsal.held.add(await idOfSourceRoute(rehearsal));
    const calls = rehearsal.count('UpdateNetworkConfig');
    await rehearsal.perform(driver, prepared);
    assert.equal(rehearsal.count('UpdateNetworkConfig'), calls, 'it was there');
    assert.deepEqual(rehearsal.journal.map(({ end }) => end).sort(), ['destination', 'source']);
  });

  test('one that is there and nobody holds is somebody else’s: used, not journalled, never taken', async () => {
    await using rehearsal = await withoutRoutes();
    await setByHand(rehearsal, GATEWAYS.source);
    const driver = await rehearsal.driver({}, TUNNELLED, TEMPORARY);
    await rehearsal.move(driver);
    assert.deepEqual(
      rehearsal.journal.map(({ end }) => end),
      ['destination'],
    );
    await rehearsal.release(driver);
    assert.deepEqual(both(rehearsal), [OURS[0], []]);
  });

  test('one that leads elsewhere refuses the migration, and stays', async () => {
    await using rehearsal = await withoutRoutes();
    await setByHand(rehearsal, '127.1.1.77');
    const driver = await rehearsal.driver({}, TUNNELLED, TEMPORARY);
    const { findings } = await driver.check({ signal: rehearsal.signal });
    const found = findings.find(({ code }) => code === 'ROUTE_ELSEWHERE');
    assert.equal(found?.severity, 'blocker');
    const removal = `ip route ipv4 remove --netstack=vmotion --network=${DESTINATION}/32 --gateway=127.1.1.77`;
    assert.ok(found.remedy.includes(removal), found.remedy);
    await assert.rejects(rehearsal.move(driver), { code: 'INCOMPATIBLE' });
    await rehearsal.release(driver);
    assert.deepEqual(both(rehearsal), [[`${DESTINATION}/32 via 127.1.1.77`], []]);
    assert.deepEqual(rehearsal.world.running(), ['esx-a1']);
  });

  test('one that somebody has changed since is not ours any more', async () => {
    await using rehearsal = await withoutRoutes();
    const driver = await rehearsal.driver({}, TUNNELLED, TEMPORARY);
    await rehearsal.move(driver);
    const ours = rehearsal.journal.find(({ end }) => end === 'source') as PluginResource;
    const changed = { ...ours, data: { ...ours.data, gateway: '127.1.1.99' } };
    await driver.release(changed, { signal: rehearsal.signal });
    assert.deepEqual(both(rehearsal)[0], OURS[0]);
  });

  for (const { whose, held } of [
    { whose: 'another migration’s is shared, so that it stays', held: true },
    { whose: 'nobody’s who migrates leads there for good', held: false },
  ]) {
    test(`a wider one that leads there already: ${whose}, and none is set beside it`, async () => {
      await using rehearsal = await withoutRoutes();
      const { source } = rehearsal.world;
      const wider = { network: '127.1.2.0', prefixLength: 24, gateway: GATEWAYS.source };
      await changeRoutes(source, 'esx-a1', [wider]);
      const driver = await rehearsal.driver({}, TUNNELLED, TEMPORARY);
      if (held) rehearsal.held.add(await idOfSourceRoute(rehearsal, '127.1.2.0/24'));
      await rehearsal.move(driver);
      assert.equal(rehearsal.count('UpdateNetworkConfig'), 0);
      const mine = rehearsal.journal.filter(({ end }) => end === 'source');
      assert.deepEqual(
        mine.map(({ id, shared }) => [id.endsWith('/vmotion/127.1.2.0/24'), shared]),
        held ? [[true, true]] : [],
      );
      // As the orchestrator has the last one that holds it do.
      await rehearsal.release(driver);
      assert.deepEqual(both(rehearsal), [held ? [] : [`127.1.2.0/24 via ${GATEWAYS.source}`], []]);
    });
  }

  test('a wider one that has gone with its migration before this one could share it is made up for by one of its own', async () => {
    await using rehearsal = await withoutRoutes();
    const { source } = rehearsal.world;
    await changeRoutes(source, 'esx-a1', [{ network: '127.1.2.0', prefixLength: 24, gateway: GATEWAYS.source }]);
    const driver = await rehearsal.driver({}, TUNNELLED, TEMPORARY);
    const prepared = await driver.prepare({ signal: rehearsal.signal });
    await changeRoutes(source, 'esx-a1', []);
    await rehearsal.perform(driver, prepared);
    assert.deepEqual(both(rehearsal), OURS);
    await rehearsal.release(driver);
    assert.deepEqual(both(rehearsal), [[], []]);
  });

  test('lead to as much of the peer’s network as the endpoint says, never to all of it', async () => {
    await using rehearsal = await withoutRoutes();
    await rehearsal.move(await rehearsal.driver({}, TUNNELLED, { ...TEMPORARY, routePrefixLength: 24 }));
    assert.deepEqual(both(rehearsal), [
      [`127.1.2.0/24 via ${GATEWAYS.source}`],
      [`127.1.1.0/24 via ${GATEWAYS.destination}`],
    ]);
    await assert.rejects(rehearsal.driver({}, TUNNELLED, { ...TEMPORARY, routePrefixLength: 0 }));
  });

  test('are never wider than the peer’s own network, whatever the endpoint says', async () => {
    await using rehearsal = await withoutRoutes();
    await rehearsal.move(await rehearsal.driver({}, TUNNELLED, { ...TEMPORARY, routePrefixLength: 8 }));
    assert.deepEqual(both(rehearsal), [
      [`127.1.2.0/24 via ${GATEWAYS.source}`],
      [`127.1.1.0/24 via ${GATEWAYS.destination}`],
    ]);
  });

  test('lead to the barrier where there is one, and say so', async () => {
    for (const encryption of ['leave', 'disable'] as const) {
      await using rehearsal = await withoutRoutes();
      await rehearsal.move(await rehearsal.driver({ encryption }, TUNNELLED, TEMPORARY));
      const routes = rehearsal.journal.filter(({ kind }) => kind === 'route');
      assert.deepEqual(
        routes.map(({ leadsToBarrier = false }) => leadsToBarrier),
        [encryption === 'disable', encryption === 'disable'],
      );
    }
  });

  for (const protocol of ['soap', 'json'] as const) {
    test(`of IPv6 are set at both hosts, carry the move, and are taken away (${protocol})`, async () => {
      await using rehearsal = await overIpv6(protocol);
      const tunnel = { encrypts: true, nextHops: { source: 'fd00:1::5', destination: 'fd00:2::5' } };
      const driver = await rehearsal.driver({}, { ...TUNNELLED, tunnel }, TEMPORARY);
      const prepared = await driver.prepare({ signal: rehearsal.signal });
      const [flow] = prepared.transparentFlows ?? [];
      assert.deepEqual(flow?.pairs, [{ source: 'fd00:1::11', destination: 'fd00:2::11' }]);
      await rehearsal.perform(driver, prepared);
      assert.deepEqual(both(rehearsal), [['fd00:2::11/128 via fd00:1::5'], ['fd00:1::11/128 via fd00:2::5']]);
      for (const { byHand } of rehearsal.journal) assert.match(byHand ?? '', /route ipv6 remove .*\/128 /);
      rehearsal.world.killOrchestrator();
      const next = await rehearsal.driver({}, { ...TUNNELLED, tunnel }, TEMPORARY);
      await rehearsal.release(next);
      await rehearsal.release(next);
      assert.deepEqual([both(rehearsal), rehearsal.world.running()], [[[], []], ['esx-b1']]);
      assert.deepEqual(rehearsal.world.violations(), []);
    });
  }

  test('of both families: each is led by the gateway’s address of its own, the endpoint’s or the site’s', async () => {
    await using rehearsal = await overBothFamilies();
    const { world, signal } = rehearsal;
    const ends = {
      source: await world.session('source', { ...TEMPORARY, vmotionGateway: 'fd00:1::5' }),
      destination: await world.session('destination', { ...TEMPORARY, vmotionGateway: 'fd00:2::5' }),
    };
    const driver = plugin.migration(ends, rehearsal.request({}, TUNNELLED), rehearsal.context());
    const { findings } = await driver.check({ signal });
    assert.deepEqual(
      findings.filter(({ severity }) => severity === 'blocker'),
      [],
    );
    await rehearsal.move(driver);
    assert.deepEqual(both(rehearsal), [
      [`${DESTINATION}/32 via ${GATEWAYS.source}`, 'fd00:2::11/128 via fd00:1::5'],
      [`${SOURCE}/32 via ${GATEWAYS.destination}`, 'fd00:1::11/128 via fd00:2::5'],
    ]);
    await rehearsal.release(driver);
    assert.deepEqual([both(rehearsal), world.running()], [[[], []], ['esx-b1']]);
  });

  test('of IPv6: one that is there already in other letters is the same, and one that leads elsewhere refuses the move', async () => {
    await using rehearsal = await overIpv6();
    const tunnel = { encrypts: true, nextHops: { source: 'fd00:1::5', destination: 'fd00:2::5' } };
    const { source } = rehearsal.world;
    const route = { network: 'FD00:2:0:0::11', prefixLength: 128 };
    await changeRoutes(source, 'esx-a1', [{ ...route, gateway: 'fd00:0001::0005' }]);
    const driver = await rehearsal.driver({}, { ...TUNNELLED, tunnel }, TEMPORARY);
    await driver.prepare({ signal: rehearsal.signal });
    await changeRoutes(source, 'esx-a1', [{ ...route, gateway: 'fd00:1::77' }]);
    const other = await rehearsal.driver({}, { ...TUNNELLED, tunnel }, TEMPORARY);
    await assert.rejects(rehearsal.move(other), { code: 'INCOMPATIBLE', message: /by way of fd00:1::77/ });
    await changeRoutes(source, 'esx-a1', [{ ...route, gateway: 'fd00:0001::0005' }]);
    await rehearsal.move(driver);
    assert.equal(rehearsal.count('UpdateNetworkConfig'), 0);
    assert.deepEqual(
      rehearsal.journal.map(({ end }) => end),
      ['destination'],
      'the one at the source is somebody else’s',
    );
  });

  test('a cancel while one is being set waits for it, so that it can be taken away', async () => {
    await using rehearsal = await withoutRoutes();
    const { endpoint } = rehearsal.world.source;
    const mind = new AbortController();
    endpoint.faults.add({ method: 'UpdateNetworkConfig', effect: { kind: 'delay', ms: 500 } });
    endpoint.onCall = (method) => {
      if (method === 'UpdateNetworkConfig') mind.abort();
    };
    const driver = await rehearsal.driver({}, TUNNELLED, TEMPORARY);
    const prepared = await driver.prepare({ signal: rehearsal.signal });
    await assert.rejects(rehearsal.perform(driver, prepared, mind.signal), { code: 'ABORTED' });
    assert.deepEqual(both(rehearsal), [OURS[0], []]);
    await rehearsal.release(driver);
    assert.deepEqual([both(rehearsal), rehearsal.count('RelocateVM_Task')], [[[], []], 0]);
  });

  test('one whose answer was lost may come when everybody has looked away: it is looked for, and the journal says so', async () => {
    await using rehearsal = await withoutRoutes();
    const { endpoint } = rehearsal.world.source;
    void endpoint.gates.hold('late route');
    endpoint.faults.add({ method: 'UpdateNetworkConfig', effect: { kind: 'late', name: 'late route' } });
    await assert.rejects(rehearsal.move(await rehearsal.driver({}, TUNNELLED, TEMPORARY)), { code: 'CONNECTION_LOST' });
    const [ours] = rehearsal.journal;
    assert.equal(typeof ours?.data.askedAtMs, 'number', 'not answered');
    endpoint.faults.set([]);
    rehearsal.world.killOrchestrator();
    const next = await rehearsal.driver({}, TUNNELLED, TEMPORARY);
    let looks = 0;
    endpoint.onCall = (method) => {
      if (method === 'RetrievePropertiesEx') looks += 1;
      if (looks === 2) endpoint.gates.release('late route'); // it has been looked for, and was not there
    };
    await rehearsal.release(next);
    assert.deepEqual(both(rehearsal), [[], []]);
    assert.equal(rehearsal.count('UpdateNetworkConfig'), 2, 'set late, and taken away');
  });

  test('one that was answered is looked for once', async () => {
    await using rehearsal = await withoutRoutes();
    await rehearsal.move(await rehearsal.driver({}, TUNNELLED, TEMPORARY));
    for (const { data, byHand } of rehearsal.journal) {
      assert.ok(!('askedAtMs' in data));
      assert.match(byHand ?? '', /esxcli network ip route ipv4 remove --netstack=vmotion --network=127\.1\.\d\.11\/32/);
    }
    const next = await rehearsal.driver({}, TUNNELLED, TEMPORARY);
    await rehearsal.release(next);
    const looks = rehearsal.count('RetrievePropertiesEx');
    await rehearsal.release(next);
    assert.equal(rehearsal.count('RetrievePropertiesEx'), looks + 1);
  });

  for (const { whose, gateway, held } of [
    { whose: 'nobody’s who migrates', gateway: GATEWAYS.source, held: false },
    { whose: 'another migration’s', gateway: GATEWAYS.source, held: true },
    { whose: 'one that leads elsewhere', gateway: '127.1.1.77', held: false },
  ]) {
    test(`one that comes between the look and the call is looked at like any other: ${whose}`, async () => {
      await using rehearsal = await withoutRoutes();
      const { endpoint } = rehearsal.world.source;
      const asAsked = endpoint.gates.hold('asked');
      endpoint.faults.add({ method: 'UpdateNetworkConfig', times: 1, effect: { kind: 'hold', name: 'asked' } });
      const driver = await rehearsal.driver({}, TUNNELLED, TEMPORARY);
      const moving = rehearsal.move(driver);
      await reached(asAsked, moving);
      await changeRoutes(rehearsal.world.source, 'esx-a1', [{ network: DESTINATION, prefixLength: 32, gateway }]);
      if (held) rehearsal.held.add(await idOfSourceRoute(rehearsal));
      endpoint.gates.release('asked');
      if (gateway === GATEWAYS.source) await moving;
      else await assert.rejects(moving, { code: 'INCOMPATIBLE' });
      const mine = rehearsal.journal.filter(({ end }) => end === 'source');
      assert.equal(mine.length, held ? 1 : 0, 'journalled only where it is a migration’s');
      if (!held) await rehearsal.release(driver);
      assert.deepEqual(both(rehearsal)[0], [`${DESTINATION}/32 via ${gateway}`]);
    });
  }

  test('one that is led elsewhere while the move is prepared: the move is not triggered', async () => {
    await using rehearsal = await withoutRoutes();
    const { source } = rehearsal.world;
    const asSet = source.endpoint.gates.hold('queued'); // the task that disables encrypted vMotion
    const driver = await rehearsal.driver({ encryption: 'disable' }, TUNNELLED, TEMPORARY);
    const moving = rehearsal.move(driver);
    await reached(asSet, moving);
    await changeRoutes(source, 'esx-a1', [{ network: DESTINATION, prefixLength: 32, gateway: '127.1.1.77' }]);
    source.endpoint.gates.release('queued');
    await assert.rejects(moving, { code: 'INCOMPATIBLE', message: /esx-a1 to 127\.1\.2\.11 do not pass the gateway/ });
    await rehearsal.release(driver);
    assert.equal(rehearsal.count('RelocateVM_Task'), 0);
    assert.deepEqual(both(rehearsal), [[`${DESTINATION}/32 via 127.1.1.77`], []]);
  });

  test('a VM that goes to another host meanwhile would take another way: the move is not triggered', async () => {
    await using rehearsal = await withoutRoutes();
    const { endpoint } = rehearsal.world.source;
    const asked = endpoint.gates.hold('asked');
    endpoint.faults.add({ method: 'UpdateNetworkConfig', effect: { kind: 'hold', name: 'asked' } });
    const moving = rehearsal.move(await rehearsal.driver({}, TUNNELLED, TEMPORARY));
    await reached(asked, moving);
    const [vm, host] = [
      endpoint.objects.byName('VirtualMachine', 'shop'),
      endpoint.objects.byName('HostSystem', 'esx-a2'),
    ];
    assert.ok(vm !== undefined && host !== undefined);
    endpoint.moving.set(vm.value, vm); // as a task of somebody else's, which the inventory goes by
    endpoint.objects.merge(vm, 'runtime', { host });
    endpoint.gates.release('asked');
    await assert.rejects(moving, { code: 'BUSY', message: /gone from esx-a1 to host-/ });
    assert.equal(rehearsal.count('RelocateVM_Task'), 0);
  });

  test('one that has gone between that look and the call: the move is stopped where it began', async () => {
    await using rehearsal = await withoutRoutes();
    const { endpoint } = rehearsal.world.source;
    const [vm, host] = [
      endpoint.objects.byName('VirtualMachine', 'shop'),
      endpoint.objects.byName('HostSystem', 'esx-a2'),
    ];
    assert.ok(vm !== undefined && host !== undefined);
    void endpoint.gates.hold('queued');
    let hasBegun = false;
    endpoint.onCall = (method) => {
      if (method === 'RelocateVM_Task') hasBegun = true;
      // With each question anew: the inventory goes by what the hosts say.
      if (hasBegun && method === 'RetrievePropertiesEx') endpoint.objects.merge(vm, 'runtime', { host });
      if (method === 'CancelTask') endpoint.gates.release('queued');
    };
    const moving = rehearsal.move(await rehearsal.driver({}, TUNNELLED, TEMPORARY));
    await assert.rejects(moving, { code: 'BUSY', message: /gone from esx-a1 to host-/ });
    assert.deepEqual([rehearsal.count('RelocateVM_Task'), rehearsal.count('CancelTask')], [1, 1]);
    assert.deepEqual(rehearsal.world.running(), ['esx-a1']);
  });

  test('one that was stopped so and moves all the same, a moment later, has arrived', async () => {
    await using rehearsal = await withoutRoutes();
    const { world } = rehearsal;
    const { endpoint } = world.source;
    const [vm, own, other] = [
      endpoint.objects.byName('VirtualMachine', 'shop'),
      endpoint.objects.byName('HostSystem', 'esx-a1'),
      endpoint.objects.byName('HostSystem', 'esx-a2'),
    ];
    assert.ok(vm !== undefined && own !== undefined && other !== undefined);
    endpoint.tasks.lateSuccess = true;
    void endpoint.gates.hold('queued');
    let isElsewhere = false;
    endpoint.onCall = (method) => {
      if (method === 'RelocateVM_Task') isElsewhere = true;
      if (isElsewhere && method === 'RetrievePropertiesEx') endpoint.objects.merge(vm, 'runtime', { host: other });
      if (method !== 'CancelTask') return;
      isElsewhere = false;
      endpoint.objects.merge(vm, 'runtime', { host: own });
      setImmediate(() => endpoint.gates.release('queued'));
    };
    const ends = {
      source: await world.session('source', TEMPORARY),
      destination: await world.session('destination', TEMPORARY),
    };
    const patient = createVmwarePlugin({ settleMs: 4_000, lateMs: 30_000 });
    await rehearsal.move(patient.migration(ends, rehearsal.request({}, TUNNELLED), rehearsal.context()));
    assert.equal(rehearsal.count('CancelTask'), 1);
    assert.deepEqual(world.running(), ['esx-b1']);
  });

  test('one at a host whose stacks cannot be read, or that is in the inventory no more, is not “not there”', async () => {
    await using rehearsal = await withoutRoutes();
    const { objects } = rehearsal.world.source.endpoint;
    const driver = await rehearsal.driver({}, TUNNELLED, TEMPORARY);
    await rehearsal.move(driver);
    const ours = rehearsal.journal.find(({ end }) => end === 'source') as PluginResource;
    const host = objects.byName('HostSystem', 'esx-a1');
    const config = host === undefined ? undefined : objects.get(host, 'config');
    assert.ok(host !== undefined && config !== undefined);
    objects.set(host, { config: undefined });
    const { signal } = rehearsal;
    const unreadable = { code: 'HYPERVISOR_FAULT', message: /The TCP\/IP stacks of esx-a1 cannot be read/ };
    await assert.rejects(driver.release(ours, { signal }), unreadable);
    objects.set(host, { config });
    // A host has other stacks, too: one that is seen not to be there has no routes.
    const another = { ...ours, data: { ...ours.data, stack: 'taken-away' } };
    await driver.release(another, { signal });
    assert.deepEqual(both(rehearsal), OURS);
    await rehearsal.release(driver);
    assert.deepEqual(both(rehearsal), [[], []]);
    const theirs = rehearsal.journal.find(({ end }) => end === 'destination') as PluginResource;
    const removed = { ...theirs, data: { ...theirs.data, host: 'host-99' } };
    await assert.rejects(driver.release(removed, { signal }), {
      code: 'UNREACHABLE',
      message: /esx-b1 is not in the inventory .* still runs somewhere: esxcli network ip route ipv4 remove /,
    });
  });

  test('a host whose stacks cannot be read any more gets none', async () => {
    await using rehearsal = await withoutRoutes();
    const { objects } = rehearsal.world.source.endpoint;
    const driver = await rehearsal.driver({}, TUNNELLED, TEMPORARY);
    const prepared = await driver.prepare({ signal: rehearsal.signal });
    const host = objects.byName('HostSystem', 'esx-a1');
    assert.ok(host !== undefined);
    objects.set(host, { config: undefined });
    await assert.rejects(rehearsal.perform(driver, prepared), { code: 'HYPERVISOR_FAULT', message: /cannot be read/ });
    assert.deepEqual([rehearsal.journal, rehearsal.count('UpdateNetworkConfig')], [[], 0]);
  });

  for (const { fault, journalled } of [
    { fault: 'HostConfigFault', journalled: 0 },
    // What its host has done, that vCenter does not know itself.
    { fault: 'HostCommunication', journalled: 1 },
  ]) {
    test(`of a call that ends in ${fault}, ${journalled === 0 ? 'nothing is ours: one that is there then is somebody else’s, and stays' : 'one that is there then may be ours'}`, async () => {
      await using rehearsal = await withoutRoutes();
      const { source } = rehearsal.world;
      source.endpoint.faults.add({ method: 'UpdateNetworkConfig', effect: { kind: 'fault', fault: { name: fault } } });
      const driver = await rehearsal.driver({}, TUNNELLED, TEMPORARY);
      await assert.rejects(rehearsal.move(driver));
      assert.equal(rehearsal.journal.length, journalled);
      for (const { pending, data } of rehearsal.journal)
        assert.deepEqual([pending, data.askedAtMs], [undefined, undefined]);
      source.endpoint.faults.set([]);
      await changeRoutes(source, 'esx-a1', [{ network: DESTINATION, prefixLength: 32, gateway: GATEWAYS.source }]);
      await rehearsal.release(driver);
      assert.deepEqual(both(rehearsal), [journalled === 0 ? OURS[0] : [], []]);
    });
  }

  test('a host that refuses one: the migration ends, and what was set is given back', async () => {
    await using rehearsal = await withoutRoutes();
    const refused = { kind: 'fault', fault: { name: 'HostConfigFault' } } as const;
    rehearsal.world.destination.endpoint.faults.add({ method: 'UpdateNetworkConfig', effect: refused });
    const driver = await rehearsal.driver({}, TUNNELLED, TEMPORARY);
    await assert.rejects(
      rehearsal.move(driver),
      (error: { native?: { name: string } }) => error.native?.name === 'HostConfigFault',
    );
    await rehearsal.release(driver);
    assert.deepEqual([both(rehearsal), rehearsal.world.running()], [[[], []], ['esx-a1']]);
    assert.equal(rehearsal.count('RelocateVM_Task'), 0);
  });
});

describe('permanent routes', { concurrency: true }, () => {
  test('that are missing refuse the migration, with the command for each host; nothing is set', async () => {
    await using rehearsal = await withoutRoutes();
    const driver = await rehearsal.driver({}, TUNNELLED);
    const missing = (await driver.check({ signal: rehearsal.signal })).findings.filter(
      ({ code }) => code === 'ROUTE_MISSING',
    );
    assert.deepEqual(
      missing.map(({ remedy }) => /esxcli.*?(?= —)/.exec(remedy)?.[0]),
      [
        `esxcli network ip route ipv4 add --netstack=vmotion --network=${DESTINATION}/32 --gateway=${GATEWAYS.source}`,
        `esxcli network ip route ipv4 add --netstack=vmotion --network=${SOURCE}/32 --gateway=${GATEWAYS.destination}`,
      ],
    );
    await assert.rejects(rehearsal.move(driver), { code: 'INCOMPATIBLE' });
    assert.ok(!rehearsal.world.source.endpoint.calls.includes('UpdateNetworkConfig'));
  });

  for (const protocol of ['soap', 'json'] as const) {
    test(`that were set at the hosts themselves are seen where the login may have them looked at anew (${protocol})`, async () => {
      await using rehearsal = await withoutRoutes(protocol);
      const { world, signal } = rehearsal;
      const route = (network: string, gateway: string) => [{ network, prefixLength: 32, gateway }];
      await changeUnseen(world.source, 'esx-a1', route(DESTINATION, GATEWAYS.source));
      await changeUnseen(world.destination, 'esx-b1', route(SOURCE, GATEWAYS.destination));
      const fields = { object: world.destination.endpoint.objects.byName('HostSystem', 'esx-b1') };
      const refused = { name: 'NoPermission', fields: { ...fields, privilegeId: 'Host.Config.Network' } };
      world.destination.endpoint.faults.set([
        { method: 'RefreshNetworkSystem', effect: { kind: 'fault', fault: refused } },
      ]);
      const driver = await rehearsal.driver({}, TUNNELLED);
      const missing = (await driver.check({ signal })).findings.filter(({ code }) => code === 'ROUTE_MISSING');
      assert.equal(missing.length, 1);
      assert.match(missing[0]?.message ?? '', /^At esx-b1 /);
      assert.match(missing[0]?.remedy ?? '', /then refresh the host in the vSphere Client/);
      world.destination.endpoint.faults.set([]);
      await rehearsal.move(driver);
      assert.deepEqual([both(rehearsal), world.running()], [OURS, ['esx-b1']]);
      assert.deepEqual(world.violations(), []);
    });
  }

  test('by the stack’s own gateway are enough; a gateway of the endpoint counts for more than the site’s', async () => {
    await using rehearsal = await Rehearsal.make();
    const nextHops = { source: '127.1.1.1', destination: '127.1.2.1' };
    const driver = await rehearsal.driver({}, { ...TUNNELLED, tunnel: { encrypts: true, nextHops } });
    const blockers = (await driver.check({ signal: rehearsal.signal })).findings.filter(
      ({ severity }) => severity === 'blocker',
    );
    assert.deepEqual(blockers, []);
    const other = await rehearsal.driver(
      {},
      { ...TUNNELLED, tunnel: { encrypts: true, nextHops } },
      { vmotionGateway: '127.1.1.66' },
    );
    const { findings } = await other.check({ signal: rehearsal.signal });
    assert.deepEqual(
      findings.filter(({ severity }) => severity === 'blocker').map(({ code }) => code),
      // At the destination it is in another network.
      ['ROUTE_MISSING', 'GATEWAY_NOT_IN_NETWORK'],
    );
  });

  test('a gateway that is in no network of the stack is told beforehand, with the setting that names another', async () => {
    const provisioned = (site: 1 | 2, hosts: readonly number[]) => ({
      management: hosts.map((host) => `127.0.${site}.${host}`),
      vmotion: hosts.map((host) => `127.1.${site}.${host}`),
      provisioning: hosts.map((host) => `127.3.${site}.${host}`),
      prefixLength: 24,
    });
    await using rehearsal = await Rehearsal.make({
      source: bare(alpha([vmSpec('shop')], provisioned(1, [11, 12]))),
      destination: bare(beta([], provisioned(2, [11]))),
    });
    const { world, signal } = rehearsal;
    const blockersWith = async (gateways: readonly [object, object]) => {
      const ends = {
        source: await world.session('source', { ...TEMPORARY, ...gateways[0] }),
        destination: await world.session('destination', { ...TEMPORARY, ...gateways[1] }),
      };
      const driver = plugin.migration(ends, rehearsal.request({}, TUNNELLED), rehearsal.context());
      return (await driver.check({ signal })).findings.filter(({ severity }) => severity === 'blocker');
    };
    const found = await blockersWith([{}, {}]);
    assert.deepEqual(
      found.map(({ code }) => code),
      ['GATEWAY_NOT_IN_NETWORK', 'GATEWAY_NOT_IN_NETWORK'],
    );
    assert.match(found[0]?.message ?? '', /127\.1\.1\.5 is in no network of esx-a1 \(provisioning, vmk2/);
    assert.match(found[0]?.remedy ?? '', /^Set provisioningGateway /);
    const named = [{ provisioningGateway: '127.3.1.5' }, { provisioningGateway: '127.3.2.5' }] as const;
    assert.deepEqual(await blockersWith(named), []);
  });

  test('a gateway that is known by a name only cannot be a next hop', async () => {
    await using rehearsal = await Rehearsal.make();
    const nextHops = { source: 'gw-a.example.org', destination: 'gw-b.example.org' };
    const driver = await rehearsal.driver({}, { ...TUNNELLED, tunnel: { encrypts: true, nextHops } });
    const { findings } = await driver.check({ signal: rehearsal.signal });
    assert.ok(findings.some(({ code }) => code === 'NO_GATEWAY_ADDRESS'));
  });

  test('hosts in one network pass no gateway', async () => {
    const spec = beta([], { management: ['127.0.2.11'], vmotion: ['127.1.1.77'], prefixLength: 24 });
    await using rehearsal = await Rehearsal.make({ destination: spec });
    const { findings } = await (await rehearsal.driver({}, TUNNELLED)).check({ signal: rehearsal.signal });
    const found = findings.filter(({ code }) => code === 'SAME_NETWORK');
    assert.deepEqual(
      found.map(({ severity }) => severity),
      ['blocker'],
      'once, though both ends see it',
    );
    const message = found[0]?.message ?? '';
    for (const seen of [/esx-a1 \(vmotion.* has 127\.1\.1\.77 in its/, /esx-b1 \(vmotion.* has 127\.1\.1\.11 in its/])
      assert.match(message, seen);
  });
});

describe('encrypted vMotion', { concurrency: true }, () => {
  const setting = ({ endpoint }: LocalVcenter, vm = 'shop') => {
    const ref = endpoint.objects.byName('VirtualMachine', vm);
    return ref === undefined ? undefined : endpoint.objects.at(ref, 'config.migrateEncryption');
  };
  const TUNNEL_HERE = {
    ...TUNNELLED,
    tunnel: { encrypts: true, nextHops: { source: '127.1.1.1', destination: '127.1.2.1' } },
  };

  test('is seen, reported and left alone by default', async () => {
    await using rehearsal = await Rehearsal.make();
    const driver = await rehearsal.driver({}, TUNNEL_HERE);
    const { findings } = await driver.check({ signal: rehearsal.signal });
    assert.ok(findings.some(({ code, severity }) => code === 'ENCRYPTED_VMOTION' && severity === 'note'));
    await rehearsal.move(driver);
    assert.equal(rehearsal.world.source.endpoint.moves[0]?.migrateEncryption, 'opportunistic');
    assert.deepEqual(rehearsal.journal, []);
    assert.ok(!rehearsal.world.source.endpoint.calls.includes('ReconfigVM_Task'));
  });

  test('is disabled for the move on request, and put back where the VM is then, also by another run', async () => {
    await using rehearsal = await Rehearsal.make({
      source: { ...alpha([vmSpec('shop', { migrateEncryption: 'required' })]), hosts: gatewayed('required') },
    });
    await rehearsal.move(await rehearsal.driver({ encryption: 'disable' }, TUNNEL_HERE));
    assert.equal(rehearsal.world.source.endpoint.moves[0]?.migrateEncryption, 'disabled');
    assert.equal(setting(rehearsal.world.destination), 'disabled');
    rehearsal.world.killOrchestrator();
    await rehearsal.release(await rehearsal.driver({ encryption: 'disable' }, TUNNEL_HERE));
    assert.equal(setting(rehearsal.world.destination), 'required');
  });

  /** Whoever reads properties is not told the VM's configuration; it can be found all the same. */
  const withholdConfig = ({ endpoint }: LocalVcenter) => {
    const { objects } = endpoint;
    const vm = objects.byName('VirtualMachine', 'shop');
    assert.ok(vm !== undefined);
    endpoint.onCall = (method) => {
      if (method !== 'RetrievePropertiesEx') return;
      const config = objects.get(vm, 'config');
      objects.set(vm, { config: undefined });
      setImmediate(() => objects.set(vm, { config }));
    };
  };

  /** It was disabled for a move that failed, and waits to be put back. */
  const disabledInVain = async (rehearsal: Rehearsal) => {
    rehearsal.world.source.endpoint.faults.add({
      method: 'RelocateVM_Task',
      effect: { kind: 'task-fault', fault: { name: 'MigrationDisabled' } },
    });
    const driver = await rehearsal.driver({ encryption: 'disable' }, TUNNEL_HERE);
    await assert.rejects(rehearsal.move(driver), { code: 'NOT_MIGRATABLE' });
    assert.equal(setting(rehearsal.world.source), 'disabled');
    return driver;
  };

  test('is put back at the source when the VM stays', async () => {
    await using rehearsal = await Rehearsal.make();
    const driver = await disabledInVain(rehearsal);
    await rehearsal.release(driver);
    await rehearsal.release(driver);
    assert.equal(setting(rehearsal.world.source), 'opportunistic');
    assert.equal(rehearsal.count('ReconfigVM_Task'), 2);
  });

  test('what somebody has chosen since stays', async () => {
    await using rehearsal = await Rehearsal.make();
    const { source } = rehearsal.world;
    const driver = await disabledInVain(rehearsal);
    const vm = source.endpoint.objects.byName('VirtualMachine', 'shop');
    assert.ok(vm !== undefined);
    source.endpoint.objects.merge(vm, 'config', { migrateEncryption: 'required' });
    await rehearsal.release(driver);
    assert.deepEqual([setting(source), rehearsal.count('ReconfigVM_Task')], ['required', 1]);
  });

  test('what somebody has chosen between the check and the move is what is put back', async () => {
    await using rehearsal = await Rehearsal.make();
    const { source, destination } = rehearsal.world;
    const driver = await rehearsal.driver({ encryption: 'disable' }, TUNNEL_HERE);
    const prepared = await driver.prepare({ signal: rehearsal.signal });
    const vm = source.endpoint.objects.byName('VirtualMachine', 'shop');
    assert.ok(vm !== undefined);
    source.endpoint.objects.merge(vm, 'config', { migrateEncryption: 'required' });
    await rehearsal.perform(driver, prepared);
    assert.equal(source.endpoint.moves[0]?.migrateEncryption, 'disabled');
    await rehearsal.release(driver);
    assert.equal(setting(destination), 'required');
  });

  test('a configuration that the vCenter does not tell is no setting: nothing is changed by it, and nothing counts as put back', async () => {
    await using rehearsal = await Rehearsal.make();
    const { source } = rehearsal.world;
    const untold = { code: 'HYPERVISOR_FAULT', message: /does not tell the VM’s configuration/ };
    const first = await rehearsal.driver({ encryption: 'disable' }, TUNNEL_HERE);
    const prepared = await first.prepare({ signal: rehearsal.signal });
    withholdConfig(source);
    await assert.rejects(rehearsal.perform(first, prepared), untold);
    assert.deepEqual([rehearsal.journal, rehearsal.count('ReconfigVM_Task')], [[], 0]);
    source.endpoint.onCall = () => undefined;
    const driver = await disabledInVain(rehearsal);
    withholdConfig(source);
    await assert.rejects(rehearsal.release(driver), untold);
    source.endpoint.onCall = () => undefined;
    await rehearsal.release(driver);
    assert.equal(setting(source), 'opportunistic');
  });

  test('what is sent while it is disabled stands behind a barrier, which is to be taken away after it; else nothing does', async () => {
    await using rehearsal = await Rehearsal.make();
    const barriers = async (encryption: 'leave' | 'disable') => {
      const driver = await rehearsal.driver({ encryption }, TUNNEL_HERE);
      const { transparentFlows = [] } = await driver.prepare({ signal: rehearsal.signal });
      assert.ok(transparentFlows.length > 0);
      return new Set(transparentFlows.map(({ barrier }) => barrier));
    };
    assert.deepEqual(await barriers('leave'), new Set([undefined]));
    assert.deepEqual(await barriers('disable'), new Set([true]));
    await rehearsal.move(await rehearsal.driver({ encryption: 'disable' }, TUNNEL_HERE));
    const [setting] = rehearsal.journal;
    assert.deepEqual([setting?.kind, setting?.behindBarrier, setting?.lifetime], ['encryption', true, 'migration']);
    assert.match(setting?.byHand ?? '', /set its Encrypted vMotion to "opportunistic"/);
  });

  test('a setting whose answer was lost is looked for until it can come no more', async () => {
    await using rehearsal = await Rehearsal.make();
    const { endpoint } = rehearsal.world.source;
    void endpoint.gates.hold('late setting');
    endpoint.faults.add({ method: 'ReconfigVM_Task', times: 1, effect: { kind: 'late', name: 'late setting' } });
    await assert.rejects(rehearsal.move(await rehearsal.driver({ encryption: 'disable' }, TUNNEL_HERE)), {
      code: 'CONNECTION_LOST',
    });
    let looks = 0;
    endpoint.onCall = (method) => {
      if (method === 'FindByUuid') looks += 1;
      if (looks === 3) endpoint.gates.release('late setting');
    };
    await rehearsal.release(await rehearsal.driver({ encryption: 'disable' }, TUNNEL_HERE));
    assert.deepEqual([setting(rehearsal.world.source), rehearsal.count('ReconfigVM_Task')], ['opportunistic', 2]);
  });

  test('is put back where the destination has given the VM a new instance UUID, also by another run', async () => {
    await using rehearsal = await Rehearsal.make();
    const { destination } = rehearsal.world;
    destination.endpoint.dialect.newInstanceUuid = true;
    await rehearsal.move(await rehearsal.driver({ encryption: 'disable' }, TUNNEL_HERE));
    assert.equal(setting(destination), 'disabled');
    rehearsal.world.killOrchestrator();
    await rehearsal.release(await rehearsal.driver({ encryption: 'disable' }, TUNNEL_HERE));
    assert.equal(setting(destination), 'opportunistic');
  });

  test('a VM that is known nowhere is no setting that was put back', async () => {
    await using rehearsal = await Rehearsal.make();
    const driver = await rehearsal.driver({ encryption: 'disable' }, TUNNEL_HERE);
    await rehearsal.move(driver);
    const [setting] = rehearsal.journal;
    assert.ok(setting !== undefined);
    const ofAnother = {
      ...{ ...setting, id: '00000000-0000-4000-8000-00000000dead' },
      data: { ...setting.data, lasting: null },
    };
    await assert.rejects(driver.release(ofAnother, { signal: rehearsal.signal }), {
      code: 'VM_NOT_FOUND',
      message: /^Neither 127.* knows the VM .*dead/,
    });
  });

  test('a cancel while it is being set waits for the task, so that it can be put back', async () => {
    await using rehearsal = await Rehearsal.make();
    const { source } = rehearsal.world;
    const mind = new AbortController();
    const there = source.endpoint.gates.hold('queued').then(() => {
      mind.abort();
      setTimeout(() => source.endpoint.gates.release('queued'), 500);
    });
    const driver = await rehearsal.driver({ encryption: 'disable' }, TUNNEL_HERE);
    const prepared = await driver.prepare({ signal: rehearsal.signal });
    await assert.rejects(rehearsal.perform(driver, prepared, mind.signal), { code: 'ABORTED' });
    await there;
    assert.deepEqual([setting(source), rehearsal.count('RelocateVM_Task')], ['disabled', 0]);
    await rehearsal.release(driver);
    assert.equal(setting(source), 'opportunistic');
  });

  test('another run that puts it back waits for the task of one that was killed', async () => {
    await using rehearsal = await Rehearsal.make();
    const { source } = rehearsal.world;
    const there = source.endpoint.gates.hold('queued');
    const moving = assert.rejects(rehearsal.move(await rehearsal.driver({ encryption: 'disable' }, TUNNEL_HERE)));
    await reached(there, moving);
    rehearsal.world.killOrchestrator();
    await moving;
    const next = await rehearsal.driver({ encryption: 'disable' }, TUNNEL_HERE);
    setTimeout(() => source.endpoint.gates.release('queued'), 500);
    await rehearsal.release(next);
    assert.deepEqual([setting(source), rehearsal.count('ReconfigVM_Task')], ['opportunistic', 2]);
  });

  test('is never disabled without a tunnel that encrypts, nor of a VM that is encrypted itself', async () => {
    await using rehearsal = await Rehearsal.make();
    const plain = { ...TUNNEL_HERE, tunnel: { ...TUNNEL_HERE.tunnel, encrypts: false } };
    for (const changes of [{}, plain]) {
      const driver = await rehearsal.driver({ encryption: 'disable' }, changes);
      const { findings } = await driver.check({ signal: rehearsal.signal });
      assert.ok(findings.some(({ code, severity }) => code === 'ENCRYPTION_NEEDED' && severity === 'blocker'));
      await assert.rejects(rehearsal.move(driver), { code: 'NOT_MIGRATABLE' });
    }
    await using encrypted = await Rehearsal.make({ source: { hosts: gatewayed('required', true) } });
    const driver = await encrypted.driver({ encryption: 'disable' }, TUNNEL_HERE);
    await assert.rejects(encrypted.move(driver), { code: 'NOT_MIGRATABLE' });
    for (const { world } of [rehearsal, encrypted]) assert.ok(!world.source.endpoint.calls.includes('ReconfigVM_Task'));
  });

  /** Hosts with a VM that is set so. */
  function gatewayed(migrateEncryption: 'required', encrypted = false): VcenterSpec['hosts'] {
    const { hosts } = alpha([vmSpec('shop', { migrateEncryption, encrypted })]);
    return hosts.map((host) => ({ ...host, gateways: { vmotion: '127.1.1.1' } }));
  }
});

async function idOfSourceRoute(rehearsal: Rehearsal, network = `${DESTINATION}/32`): Promise<string> {
  const { instanceUuid } = rehearsal.world.source;
  const ref = rehearsal.world.source.endpoint.objects.byName('HostSystem', 'esx-a1');
  return `${instanceUuid}/${ref?.value}/vmotion/${network}`;
}
