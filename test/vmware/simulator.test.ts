/**
 * The plugin against a simulator that is not ours: govmomi's, as Debian packages it (0.24), built here. It knows no cancel, no checks and no
 * progress, and its tasks are over when the call returns; what it shows is that the plugin's SOAP is understood by a stranger.
 */
import assert from 'node:assert/strict';
import type { X509Certificate } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import type { EndpointSession, MigrationRequest } from '@lmas/plugin-api';
import { log, plugin } from '../compliance/vmware-world.ts';
import { Simulator } from '../lab/vsphere/go/programs.ts';
import { sendSoap } from '../lab/vsphere/raw-client.ts';

let simulator: Simulator;
let fingerprint: string;
let signal: AbortSignal;

/** As an operator reads it on the machine; the simulator makes a certificate at each start. */
function certificateOf({ hostname, port }: URL): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false }, () => {
      const certificate = socket.getPeerX509Certificate();
      socket.destroy();
      if (certificate === undefined) reject(new Error('no certificate'));
      else resolve(certificate);
    });
    socket.once('error', reject);
  });
}

async function session(password = 'pass'): Promise<EndpointSession> {
  const config = plugin.configSchema.parse({
    host: simulator.url.hostname,
    port: Number(simulator.url.port),
    tlsFingerprints: [fingerprint],
  });
  return await plugin.connect(
    config,
    { log, credential: { kind: 'password', username: 'user', password } },
    { signal },
  );
}

const migration = async (vm: { id: string; name: string }, options: object) => {
  const [source, destination] = [await session(), await session()];
  const request = {
    migrationId: 'm_00000000-0000-4000-8000-000000000002',
    vm,
    options: plugin.optionsSchema.parse(options),
    ...{ networkMap: {}, diskMap: {}, convergence: 'balanced' as const, maxDowntimeMs: null },
    ...{ bandwidthBytesPerSec: null, tunnelled: false },
  } satisfies MigrationRequest<ReturnType<typeof plugin.optionsSchema.parse>>;
  const context = { log, recordIntent: async () => undefined, assertCurrent: async () => undefined };
  const driver = plugin.migration({ source, destination }, request, context);
  return { driver, close: () => Promise.all([source.close(), destination.close()]) };
};

describe('against govmomi’s simulator', { concurrency: 1 }, () => {
  before(async () => {
    simulator = await Simulator.start();
    fingerprint = (await certificateOf(simulator.url)).fingerprint256;
    signal = AbortSignal.timeout(120_000); // not before: on a machine without its cache the simulator is built first, for minutes
  });
  after(async () => simulator?.[Symbol.asyncDispose]());

  test('login, and a login that is refused; SOAP, because it speaks nothing else', async () => {
    await assert.rejects(session('wrong'), { code: 'LOGIN_REFUSED' });
    const there = await session();
    const steps = await Array.fromAsync(there.verify?.({ signal }) ?? []);
    assert.match(steps.find(({ name }) => name === 'version')?.seen ?? '', /spoken as SOAP/);
    await there.close();
  });

  test('the inventory: hosts, networks and VMs with their disks', async () => {
    const there = await session();
    const { storage, ...seen } = await there.inventory({ signal });
    const { host, hosts, networks, vms } = seen;
    assert.ok(host.cpus > 0 && host.memoryBytes > 0);
    assert.ok(networks.includes('VM Network'));
    assert.equal(vms.length, 4);
    for (const vm of vms)
      assert.ok(vm.presence === 'running' && vm.disks.length === 1 && vm.memoryBytes > 0, JSON.stringify(vm));
    const [first] = vms;
    assert.ok(first !== undefined);
    assert.deepEqual(await there.findVm(first.name, { signal }), await there.findVm(first.id, { signal }));
    assert.deepEqual(
      hosts?.map(({ name, cluster }) => [name, cluster]),
      [['DC0_H0', null], ...[0, 1, 2].map((n) => [`DC0_C0_H${n}`, 'DC0_C0'])],
    );
    assert.ok(storage?.[0]?.name === 'LocalDS_0' && storage[0].usable && (storage[0].capacityBytes ?? 0) > 0);
    const { storage: _, ...again } = await there.inventory({ signal });
    assert.deepEqual(again, seen, 'the second look is the first one, brought up to date');
    await there.close();
  });

  test('how busy it is: processors of the host and the VMs, and what these send and receive', async () => {
    const there = await session();
    const { vms } = await there.inventory({ signal });
    const load = await there.load?.({ signal, intervalMs: 20_000 });
    assert.deepEqual(load?.vms.map(({ id }) => id).sort(), vms.map(({ id }) => id).sort());
    for (const { networkBytesPerSec } of load?.vms ?? [])
      assert.ok(networkBytesPerSec !== null && networkBytesPerSec >= 0, `${networkBytesPerSec}`);
    await there.close();
  });

  test('a relocation to another host, by name; its task is over when the call returns', async () => {
    const there = await session();
    const vm = await there.findVm('DC0_C0_RP0_VM0', { signal });
    const hosts = ['DC0_C0_H0', 'DC0_C0_H1', 'DC0_C0_H2'];
    const seen: string[] = [];
    for (const destinationHost of hosts) {
      const { driver, close } = await migration({ id: vm.id, name: vm.name }, { destinationHost });
      const { where } = await driver.locate({ signal });
      if (where === 'source') {
        const prepared = await driver.prepare({ signal });
        await driver.perform(
          prepared,
          {},
          { signal, onProgress: () => undefined, onPointOfNoReturn: async () => undefined },
        );
        await driver.confirm(prepared, { signal });
        assert.equal((await driver.locate({ signal })).where, 'destination');
        seen.push(destinationHost);
      }
      await close();
    }
    assert.ok(seen.length >= 2, `moved to ${seen}`);
    await there.close();
  });

  test('a session that an administrator has ended is made again', async () => {
    const there = await session();
    const before = await there.inventory({ signal });
    assert.ok((await endOtherSessions()) > 0);
    assert.deepEqual(await there.inventory({ signal }), before);
    await there.close();
  });
});

/** As somebody else who is logged in. @returns how many there were */
async function endOtherSessions(): Promise<number> {
  const at = { address: simulator.url.hostname, port: Number(simulator.url.port), certificate: 'unverified' } as const;
  const manager = '<_this type="SessionManager">SessionManager</_this>';
  const call = async (method: string, inside: string, cookie?: string) =>
    await sendSoap(at, `<${method} xmlns="urn:vim25">${inside}</${method}>`, cookie);
  const login = await call('Login', `${manager}<userName>user</userName><password>pass</password>`);
  const cookie = login.headers['set-cookie']?.[0]?.split(';')[0];
  const asked =
    '<propSet><type>SessionManager</type><pathSet>sessionList</pathSet></propSet><objectSet><obj type="SessionManager">SessionManager</obj></objectSet>';
  const collector = '<_this type="PropertyCollector">propertyCollector</_this>';
  const { body } = await call('RetrievePropertiesEx', `${collector}<specSet>${asked}</specSet><options/>`, cookie);
  const keys = [...body.matchAll(/<key>([^<]+)<\/key>/g)].flatMap((match) => match[1] ?? []);
  const others = keys.filter((key) => cookie?.includes(key) !== true);
  for (const key of others) await call('TerminateSession', `${manager}<sessionId>${key}</sessionId>`, cookie);
  return others.length;
}
