/** Scripted `ip` and daemons of a destination: what in a network speaks against a copy there, and in which words. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DrillRequest } from '@lmas/plugin-api';
import type { KvmOptions } from '../config.ts';
import { readDefinition } from '../definition/definition.ts';
import { FakeDrillWorld } from '../testing/drill-world.ts';
import { wire, wireOrRefuse } from './networks.ts';

const signal = AbortSignal.timeout(60_000);

/** With a network `bridged` over `br-drill`, which libvirt did not make; `quiet` and its `virbr7` are the world's. */
class Networks implements AsyncDisposable {
  readonly world = new FakeDrillWorld();
  readonly isolated = this.world.destination.bridges.get('virbr7') ?? assert.fail();
  readonly foreign = {
    addresses: [] as string[],
    ports: new Map<string, string | undefined>(),
    onTop: new Map<string, string>(),
  };

  constructor() {
    const { bridges, networks } = this.world.destination;
    bridges.set('br-drill', this.foreign);
    networks.set('bridged', "<network><name>bridged</name><forward mode='bridge'/><bridge name='br-drill'/></network>");
  }

  /** A VM of the destination with one NIC. */
  addGuest(name: string, tap: string, metadata = ''): void {
    const { destination } = this.world;
    const uuid = `0c0ffee0-0000-4000-8000-00000000000${destination.guests.size}`;
    destination.addGuest(name, uuid);
    destination.guest(uuid).xml =
      `<domain type='kvm'><name>${name}</name><uuid>${uuid}</uuid>${metadata}<devices><interface type='bridge'>
       <source bridge='br-drill'/><target dev='${tap}'/></interface></devices></domain>`;
  }

  async #arguments(to: string): Promise<Parameters<typeof wire>> {
    const { destination } = await this.world.connect();
    const definition = readDefinition(
      `<domain type='kvm'><name>web</name><uuid>${this.world.vm.id}</uuid><devices><interface type='network'>
       <source network='default'/></interface></devices></domain>`,
    );
    return [
      destination,
      definition,
      { networkMap: { default: to } } as unknown as DrillRequest<KvmOptions>,
      { signal },
    ];
  }

  async codes(to: string): Promise<string[]> {
    const { findings } = await wire(...(await this.#arguments(to)));
    return findings.map(({ severity, code }) => `${severity} ${code}`);
  }

  /** Asserts that it is accepted, with one warning or none. @returns what that says */
  async accepted(to: string): Promise<string> {
    const { targets, findings } = await wireOrRefuse(...(await this.#arguments(to)));
    assert.ok(targets.default !== undefined && findings.length <= 1, JSON.stringify(findings));
    return findings[0]?.message ?? '';
  }

  /** Asserts that it is refused, by the check and by whatever starts a copy. @returns why */
  async refused(to: string): Promise<string> {
    const settings = await this.#arguments(to);
    const { targets, findings } = await wire(...settings);
    const codes = findings.map(({ severity, code }) => `${severity} ${code}`);
    assert.deepEqual([codes, targets], [['blocker DRILL_NETWORK_NOT_ISOLATED'], {}], to);
    await assert.rejects(wireOrRefuse(...settings), { code: 'INCOMPATIBLE', message: findings[0]?.message ?? '' });
    return findings[0]?.message ?? '';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.world.killOrchestrator();
    await this.world[Symbol.asyncDispose]();
  }
}

describe('a network without <forward>', () => {
  test('is refused with a card, a VLAN, a container or a tap of no VM in its bridge, and says which', async () => {
    await using networks = new Networks();
    const { ports } = networks.isolated;
    for (const [port, kind, words] of [
      ['eth0', undefined, 'eth0 (a network card)'],
      ['bond0', 'bond', 'bond0 (bond)'],
      ['bond0.7', 'vlan', 'bond0.7 (vlan)'],
      ['veth1', 'veth', 'veth1 (veth)'],
      ['tap0', 'tun', 'tap0 (a tap of no VM that libvirt runs)'],
    ] as const) {
      ports.set(port, kind);
      for (const to of ['quiet', 'virbr7']) {
        const why = await networks.refused(to);
        assert.ok(why.includes(`its bridge virbr7 leads out of it by ${words}:`), why);
      }
      ports.delete(port);
    }
  });

  test('may have what libvirt puts there, what has nothing behind it, and copies of other drills', async () => {
    await using networks = new Networks();
    const mark = "<metadata><d:drill xmlns:d='urn:lmas:drill:1' migration='m_other' vm='another'/></metadata>";
    networks.addGuest('db-drill-01234567', 'vnet4', mark);
    networks.isolated.ports.set('virbr7-nic', 'tun').set('dummy0', 'dummy').set('vnet4', 'tun');
    assert.equal(await networks.accepted('quiet'), '');
  });

  test('is warned of with another VM in it', async () => {
    await using networks = new Networks();
    networks.addGuest('jump-host', 'vnet5');
    networks.isolated.ports.set('vnet5', 'tun');
    assert.deepEqual(await networks.codes('quiet'), ['warning DRILL_NETWORK_SHARED']);
    assert.match(await networks.accepted('quiet'), /meet the copy: jump-host\./);
  });
});

for (const to of ['br-drill', 'bridged']) {
  test(`${to}, a bridge that is not libvirt’s: refused with a card, an address, a container or a VM in it, and says which`, async () => {
    await using networks = new Networks();
    const { addresses, ports } = networks.foreign;
    assert.equal(await networks.accepted(to), '');
    ports.set('eth0', undefined);
    assert.match(await networks.refused(to), /leads out by eth0 \(a network card\)\./);
    ports.clear();
    addresses.push('172.17.0.1');
    assert.match(await networks.refused(to), /: the host is in it as 172\.17\.0\.1,/);
    ports.set('veth1', 'veth');
    assert.match(await networks.refused(to), /leads out by veth1 \(veth\); the host is in it as 172\.17\.0\.1,/);
    addresses.pop();
    ports.clear();
    networks.addGuest('mail', 'vnet3');
    ports.set('vnet3', 'tun');
    assert.match(await networks.refused(to), /VMs are in it: mail\./);
  });

  test(`${to}: a VLAN may be one for drills, and copies of other drills may be there`, async () => {
    await using networks = new Networks();
    networks.foreign.ports.set('bond0.7', 'vlan');
    assert.deepEqual(await networks.codes(to), ['warning DRILL_NETWORK_HAS_UPLINK']);
    assert.match(await networks.accepted(to), /bond0\.7 \(vlan\)/);
    networks.foreign.ports.clear();
    const mark = "<metadata><d:drill xmlns:d='urn:lmas:drill:1' migration='m_other' vm='another'/></metadata>";
    networks.addGuest('db-drill-01234567', 'vnet4', mark);
    networks.foreign.ports.set('vnet4', 'tun');
    assert.equal(await networks.accepted(to), '');
  });
}

test('a tap whose VM has ended while it was asked for is in nobody’s way', async () => {
  await using networks = new Networks();
  const { ports } = networks.foreign;
  ports.set('vnet6', 'tun');
  networks.world.destination.on('connectListAllDomains', { do: 'hold', before: () => ports.clear() });
  assert.equal(await networks.accepted('br-drill'), '');
});

test('a VLAN or a macvtap on top of a bridge is no port of it, and leads out of it', async () => {
  await using networks = new Networks();
  networks.foreign.onTop.set('br-drill.100', 'vlan').set('macvtap0', 'macvtap');
  for (const to of ['br-drill', 'bridged']) {
    const why = await networks.refused(to);
    assert.match(why, /leads out by br-drill\.100 \(vlan, on top of it\), macvtap0 \(macvtap, on top of it\)\./);
  }
  assert.equal(await networks.accepted('quiet'), '', 'they are on another bridge');
});

test('a kernel that does not answer is no empty bridge', async () => {
  await using networks = new Networks();
  const { destination } = networks.world;
  networks.foreign.ports.set('eth0', undefined);
  // What `ip` ends with when netlink does not answer, and when it knows no such interface.
  destination.failingCommands.set('ip', 1);
  await assert.rejects(networks.codes('br-drill'), { code: 'HYPERVISOR_FAULT' });
  destination.failingCommands.clear();
  destination.bridges.delete('br-drill');
  assert.deepEqual(await networks.codes('br-drill'), ['blocker NETWORK_MISSING'], 'nor is one that is gone');
});

test('nor is one that does not answer any more when its taps are looked for again', async () => {
  await using networks = new Networks();
  const { destination } = networks.world;
  networks.foreign.ports.set('vnet6', 'tun');
  destination.on('connectListAllDomains', { do: 'hold', before: () => void destination.failingCommands.set('ip', 1) });
  await assert.rejects(networks.codes('br-drill'), { code: 'HYPERVISOR_FAULT' });
});
