/**
 * The VMware proof: a vCenter with its hosts at each of two sites that only the link joins, real gateways, a real orchestrator. The hosts have no
 * way to each other's vMotion network but a route to the gateway machine beside them; the plugin sets it. They move and check bytes; the
 * routers write down what crossed the link.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { LmasClient, Migration, MigrationInput, Phase } from '@lmas/client';
import { type Lab, labDown, labUp } from '../lab/src/index.ts';
import { LabVcenter } from '../lab/vsphere/lab-vcenter.ts';
import { VCENTER_LOGIN, vmSpec } from '../lab/vsphere/two-vcenters.ts';
import { OrchestratorProcess } from '../support/orchestrator.ts';
import { leftoversSince, type Traces, takeTraces } from '../support/traces.ts';
import { registerLab, siteId } from '../support/two-sites.ts';
import { captureWan, seenOnWan } from '../support/wan-capture.ts';

const LAB = 'e2evmware';
const MIB = 1024 ** 2;
const DISK_BYTES = 16 * MIB;
const MEMORY_BYTES = 64 * MIB;
const guest = (name: string) =>
  vmSpec(name, { memoryBytes: MEMORY_BYTES, disks: [{ sizeBytes: DISK_BYTES, datastore: 'local-1' }] });
const VM = guest('shop');
const ENDS_WITHIN_MS = 90_000;
const SITES = ['a', 'b'] as const;

let lab: Lab;
let traces: Traces;
let orchestrator: OrchestratorProcess;
let client: LmasClient;
let source: LabVcenter;
let destination: LabVcenter;

/** What a site has to do, and nothing else: the gateway machine forwards what it does not intercept. */
async function prepareGatewayMachines(): Promise<void> {
  for (const { gatewayHost } of SITES.map((site) => lab.sites[site])) {
    await gatewayHost.exec(['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv4.conf.all.send_redirects=0']);
    await gatewayHost.exec(['sysctl', '-qw', 'net.ipv4.conf.data.send_redirects=0']);
  }
}

async function registerVcenters(): Promise<void> {
  await client.createCredential({ id: 'vcenter', kind: 'password', ...VCENTER_LOGIN });
  for (const [i, vcenter] of [source, destination].entries()) {
    const site = SITES[i] ?? 'a';
    const { fingerprint } = vcenter.certificate;
    await client.createEndpoint({
      id: `vcenter-${site}`,
      site: siteId(site),
      plugin: 'vmware',
      credential: 'vcenter',
      config: { host: vcenter.address, tlsFingerprints: [fingerprint], routes: 'temporary' },
    });
  }
}

/** Both vCenters as new, the VMs at the first host of the source. */
async function fresh(vms = [VM]): Promise<void> {
  await Promise.all([source?.stop(), destination?.stop()]);
  [source, destination] = await Promise.all([LabVcenter.start(lab, 'a', vms), LabVcenter.start(lab, 'b', [])]);
}

const migrate = (changes: Partial<MigrationInput> = {}): Promise<Migration> =>
  client.createMigration({
    ...{ vm: VM.name, source: 'vcenter-a', destination: 'vcenter-b' },
    ...{ options: { destinationHost: 'esx-b1' } },
    ...changes,
  });

async function until(id: string, holds: (migration: Migration) => boolean): Promise<Migration> {
  const deadline = performance.now() + ENDS_WITHIN_MS;
  for (;;) {
    const migration = await client.getMigration(id).catch(() => undefined); // it may be down at this moment
    if (migration !== undefined && holds(migration)) return migration;
    if (performance.now() > deadline)
      assert.fail(`not in time: ${JSON.stringify(migration)}\n${orchestrator.logTail()}`);
    await delay(100);
  }
}

const isOver = ({ phase, teardown }: Migration): boolean =>
  (['succeeded', 'failed', 'cancelled'] as Phase[]).includes(phase) && teardown !== 'pending';

async function ended(id: string): Promise<Migration> {
  return await until(id, isOver);
}

async function runningAt(vcenter: LabVcenter): Promise<string[]> {
  return (await vcenter.hostTruths()).flatMap(({ running }) => running);
}

/** One copy, at that end, and never two: replayed from what the hosts wrote down. */
async function assertOneAt(end: 'source' | 'destination'): Promise<void> {
  const copies = [await runningAt(source), await runningAt(destination)].map((running) => running.length);
  assert.deepEqual(copies, end === 'source' ? [1, 0] : [0, 1]);
  const hosts = [...(await source.hostTruths()), ...(await destination.hostTruths())];
  let running = 1;
  for (const change of hosts.flatMap(({ changes }) => changes).sort((one, other) => one.atMs - other.atMs)) {
    running += change.running ? 1 : -1;
    assert.ok(running <= 1, 'two copies ran at one instant');
  }
}

/** No process, rule or file of ours, no route at any host, nothing that the published types forbid. */
async function assertEverythingRestored(): Promise<void> {
  for (const vcenter of [source, destination]) {
    assert.deepEqual(await vcenter.kernelRoutes(), []);
    assert.deepEqual((await vcenter.truth()).violations, []);
  }
  assert.deepEqual(await leftoversSince(traces, lab, () => false), []);
}

/** Everything that crossed the link went from one gateway machine to the other. */
async function assertOnlyTunnel(atLeastBytes: number): Promise<void> {
  const { a, b } = lab.sites;
  const gateways = [a.gatewayHost.dataAddress, b.gatewayHost.dataAddress];
  const seen = await seenOnWan(lab);
  const others = seen.filter(
    ({ from, to, protocol }) => !gateways.includes(from) || !gateways.includes(to) || protocol !== 'tcp',
  );
  assert.deepEqual(others, []);
  const crossed = seen.reduce((sum, { bytes }) => sum + bytes, 0);
  assert.ok(crossed > atLeastBytes, `${crossed} bytes crossed, ${atLeastBytes} were to be moved`);
}

/** A migration of which half of the bytes have crossed, and no more will until `half` is released. */
async function halfWay(
  options: Record<string, string> = {},
  timeouts: { noProgressMs?: number } = {},
): Promise<string> {
  await source.hold('half');
  const { id } = await migrate({ options: { destinationHost: 'esx-b1', ...options }, timeouts });
  await source.reached('half');
  return id;
}

const CONNECT = `
const [localAddress, host] = process.argv.slice(1);
const socket = require('node:net').connect({ localAddress, host, port: 8000 });
const say = (how) => { console.log(how); process.exit(); };
socket.once('connect', () => say('connected')).once('error', ({ code }) => say(code));
`;

/** What becomes of a connection that the first host of a site makes to the vMotion port of the other's, as one of a move. */
async function connectionFrom(site: 'a' | 'b'): Promise<string> {
  const [own, other] = site === 'a' ? [source, destination] : [destination, source];
  const [from = '', to = ''] = [own.vmotionAddresses[0], other.vmotionAddresses[0]];
  const { stdout } = await lab.sites[site].host.exec([process.execPath, '-e', CONNECT, from, to]);
  return stdout.trim();
}

describe('VMware, from vCenter to vCenter through the tunnel', { concurrency: 1 }, () => {
  before(async () => {
    await labDown(LAB);
    lab = await labUp({ name: LAB, rateMbit: 1_000, rttMs: 40 });
    await prepareGatewayMachines();
    await fresh();
    traces = await takeTraces(lab);
    orchestrator = await OrchestratorProcess.start({ dataDir: join(lab.stateDir, 'orchestrator') });
    client = orchestrator.client();
    await registerLab(client, lab);
    await registerVcenters();
  });
  after(async () => {
    await orchestrator?.stop();
    await Promise.allSettled([source?.stop(), destination?.stop()]);
    assert.deepEqual((await labDown(LAB)).leftovers, []);
  });

  test('memory (TCP 8000) and the cold disk of a VM with a snapshot (TCP 902) go through the tunnel, and nothing else crosses the link', async () => {
    await fresh([{ ...VM, snapshots: ['before'] }]);
    const steps = await client.testEndpoint('vcenter-a');
    assert.ok(steps.ok, JSON.stringify(steps));
    await captureWan(lab);
    const migration = await ended((await migrate()).id);
    assert.deepEqual([migration.phase, migration.where], ['succeeded', 'destination'], JSON.stringify(migration.error));
    const [truth] = await destination.hostTruths();
    assert.deepEqual(truth?.received, { vmotion: MEMORY_BYTES, nfc: DISK_BYTES });
    assert.ok(
      (migration.tunnel?.bytesDelivered ?? 0) >= MEMORY_BYTES + DISK_BYTES,
      `${migration.tunnel?.bytesDelivered}`,
    );
    await assertOnlyTunnel(MEMORY_BYTES + DISK_BYTES);
    assert.ok(migration.progress !== null && migration.findings.some(({ code }) => code === 'ROUTE_IS_SET'));
    const { calls } = await source.truth();
    const changes = calls.filter((call) => call === 'UpdateNetworkConfig').length;
    assert.equal(changes, 4, 'a route of the vMotion and one of the provisioning stack, set and taken away');
    await assertOneAt('destination');
    await assertEverythingRestored();
  });

  test('a cancel while data flows leaves the VM at the source, with the encryption setting that it had', async () => {
    await fresh();
    await source.hold('half');
    const { id } = await migrate({ options: { destinationHost: 'esx-b1', encryption: 'disable' } });
    await source.reached('half');
    await client.cancelMigration(id);
    const migration = await ended(id);
    assert.deepEqual([migration.phase, migration.where], ['cancelled', 'source'], JSON.stringify(migration.error));
    assert.equal(
      (await source.truth()).calls.filter((call) => call === 'ReconfigVM_Task').length,
      2,
      'disabled, and restored',
    );
    await assertOneAt('source');
    await assertEverythingRestored();
  });

  test('two VMs between the same two hosts: the second waits until the gateways can tell them apart', async () => {
    const other = guest('stock');
    await fresh([VM, other]);
    await source.hold('half');
    const first = await migrate();
    await source.reached('half');
    const second = await migrate({ vm: other.name });
    for await (const { event } of client.watchMigration(second.id)) {
      if (event.message.includes(`waits for ${first.id}`)) break;
    }
    const waiting = await until(second.id, (migration) => migration.waiting !== null);
    assert.deepEqual([waiting.phase, waiting.waiting?.blockedBy.map(({ kind }) => kind)], ['checking', ['host-pair']]);
    await source.release('half');
    for (const { id } of [first, second]) {
      const migration = await ended(id);
      assert.deepEqual(
        [migration.phase, migration.where],
        ['succeeded', 'destination'],
        JSON.stringify(migration.error),
      );
    }
    assert.deepEqual((await runningAt(destination)).sort(), [VM.instanceUuid, other.instanceUuid].sort());
    await assertEverythingRestored();
  });

  test('a gateway is killed in the middle of a move in the clear: it fails, the VM stays, all is put back, and nothing passed the tunnel', async () => {
    await fresh();
    await captureWan(lab);
    const id = await halfWay({ encryption: 'disable' });
    await source.script({ faults: [{ method: 'ReconfigVM_Task', effect: { kind: 'hold', name: 'put back' } }] });
    await source.hold('put back');
    // The launcher's path is in the command line of every gateway of this machine, which has a PID namespace of its own.
    await lab.sites.a.gatewayHost.exec(['pkill', '-KILL', '-f', 'lmas-gateway'], { allowFailure: true });
    await source.release('half');
    await source.reached('put back');
    assert.deepEqual([await connectionFrom('a'), await connectionFrom('b')], ['ECONNREFUSED', 'ECONNREFUSED']);
    await source.release('put back');
    const migration = await ended(id);
    assert.deepEqual([migration.phase, migration.where], ['failed', 'source'], JSON.stringify(migration.error));
    assert.equal(migration.error?.code, 'GATEWAY_ENDED');
    await assertOnlyTunnel(0);
    await assertOneAt('source');
    await assertEverythingRestored();
  });

  test('the destination’s gateway is killed in the middle of a move with its own encryption: it fails, the VM stays, and all is put back', async () => {
    await fresh();
    const id = await halfWay();
    await lab.sites.b.gatewayHost.exec(['pkill', '-KILL', '-f', 'lmas-gateway'], { allowFailure: true });
    await source.release('half');
    const migration = await ended(id);
    assert.deepEqual([migration.phase, migration.where], ['failed', 'source'], JSON.stringify(migration.error));
    assert.equal(migration.error?.code, 'GATEWAY_ENDED');
    const { calls } = await source.truth();
    assert.ok(!calls.includes('ReconfigVM_Task'), 'its encryption is as it was');
    await assertOneAt('source');
    await assertEverythingRestored();
  });

  test('both vCenters end all sessions in the middle: new logins follow the same move to its end, and take the routes away', async () => {
    await fresh();
    const id = await halfWay();
    for (const vcenter of [source, destination]) await vcenter.endSessions();
    await source.release('half');
    const migration = await ended(id);
    assert.deepEqual([migration.phase, migration.where], ['succeeded', 'destination'], JSON.stringify(migration.error));
    const { calls } = await source.truth();
    assert.equal(calls.filter((call) => call === 'RelocateVM_Task').length, 1, 'never triggered twice');
    assert.ok(calls.filter((call) => call === 'Login').length > 1);
    await assertOneAt('destination');
    await assertEverythingRestored();
  });

  test('the source vCenter is killed in the middle and comes back: the record tells where the VM is', async () => {
    await fresh();
    // Whether the hosts go on nothing tells, so they are waited for so long.
    const id = await halfWay({}, { noProgressMs: 20_000 });
    await source.kill();
    await source.restart();
    const migration = await ended(id);
    const end = (await runningAt(destination)).length === 1 ? 'destination' : 'source';
    assert.equal(migration.where, end, JSON.stringify(migration.error));
    assert.equal(migration.phase, end === 'destination' ? 'succeeded' : 'failed');
    await assertOneAt(end);
    await assertEverythingRestored();
  });

  test('the destination vCenter is killed in the middle: its host receives the VM all the same, and the record tells so once it is back', async () => {
    await fresh();
    const id = await halfWay();
    await destination.kill();
    await source.release('half');
    const deadline = performance.now() + ENDS_WITHIN_MS;
    while ((await runningAt(destination)).length === 0) {
      assert.ok(performance.now() < deadline, 'the hosts did not go on');
      await delay(100);
    }
    assert.notEqual((await client.getMigration(id)).phase, 'failed');
    await destination.restart();
    const migration = await ended(id);
    assert.deepEqual([migration.phase, migration.where], ['succeeded', 'destination'], JSON.stringify(migration.error));
    const { calls } = await source.truth();
    assert.equal(calls.filter((call) => call === 'RelocateVM_Task').length, 1, 'never triggered twice');
    await assertOneAt('destination');
    await assertEverythingRestored();
  });

  test('the orchestrator is killed in the middle: the hosts go on, and the next run finishes it', async () => {
    await fresh();
    const id = await halfWay();
    await orchestrator.kill();
    await source.release('half');
    await orchestrator.restart();
    const migration = await ended(id);
    assert.deepEqual([migration.phase, migration.where], ['succeeded', 'destination'], JSON.stringify(migration.error));
    const { calls } = await source.truth();
    assert.equal(calls.filter((call) => call === 'RelocateVM_Task').length, 1, 'never triggered twice');
    await assertOneAt('destination');
    await assertEverythingRestored();
  });
});
