/**
 * The Xen proof: two pools at two sites that only the link joins, real gateways, a real orchestrator. The pools move and check
 * bytes and tell which guest ran where; the gateways' counters tell which way they took, and the kernel of a router that
 * nothing went beside it.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { LmasClient, Migration, MigrationInput, Phase } from '@lmas/client';
import { type Lab, type LabHost, labDown, labUp } from '../lab/src/index.ts';
import { LabPool, POOL_LOGIN } from '../lab/xapi/lab-pool.ts';
import { uuidOf } from '../lab/xapi/model.ts';
import { OrchestratorProcess } from '../support/orchestrator.ts';
import { leftoversSince, type Traces, takeTraces } from '../support/traces.ts';
import { registerLab, siteId } from '../support/two-sites.ts';
import { WanWatch } from '../support/wan-watch.ts';

const LAB = 'e2exen';
const MIB = 1024 ** 2;
const VM = { name: 'shop', uuid: uuidOf('e2e', 'shop'), memoryBytes: 96 * MIB };
const OTHER = { name: 'mail', uuid: uuidOf('e2e', 'mail'), memoryBytes: 16 * MIB };
const DISKS = [{ sizeBytes: 32 * MIB }, { sizeBytes: 8 * MIB }];
const MOVED_BYTES = VM.memoryBytes + 40 * MIB;
const ENDS_WITHIN_MS = 120_000;
const SITES = ['a', 'b'] as const;

let lab: Lab;
let traces: Traces;
let orchestrator: OrchestratorProcess;
let client: LmasClient;
let source: LabPool;
let destination: LabPool;

async function registerPools(): Promise<void> {
  await client.createCredential({ id: 'pool', kind: 'password', ...POOL_LOGIN });
  for (const [i, pool] of [source, destination].entries()) {
    const site = SITES[i] ?? 'a';
    await client.createEndpoint({
      id: `pool-${site}`,
      site: siteId(site),
      plugin: 'xen',
      credential: 'pool',
      config: {
        host: pool.spec.members[0]?.management,
        tlsFingerprints: [...pool.fingerprints],
        migrationNetwork: 'migration',
      },
    });
  }
}

/** A second one, for migrations that are led to two hosts. */
async function addAddress(machine: LabHost): Promise<string> {
  const address = machine.dataAddress.replace(/\d+$/, (last) => String(Number(last) + 40));
  await machine.exec(['ip', 'address', 'add', `${address}/26`, 'dev', 'data']);
  return address;
}

/** What a site has to do for the transparent route, and nothing else: forwarding at the gateway machines, a route at each host. */
async function routeThroughGateways(): Promise<AsyncDisposable> {
  const stack = new AsyncDisposableStack();
  const [from, to] = [source, destination].map((pool) => pool.spec.members[0]?.migration ?? '');
  for (const [site, peer] of [
    ['a', to],
    ['b', from],
  ] as const) {
    const { host, gatewayHost } = lab.sites[site];
    await gatewayHost.exec(['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv4.conf.all.send_redirects=0']);
    await gatewayHost.exec(['sysctl', '-qw', 'net.ipv4.conf.data.send_redirects=0']);
    const route = [`${peer}/32`, 'via', gatewayHost.dataAddress];
    await host.exec(['ip', 'route', 'add', ...route]);
    stack.defer(async () => {
      await host.exec(['ip', 'route', 'del', ...route]);
    });
  }
  return stack;
}

type PoolChanges = NonNullable<Parameters<typeof LabPool.start>[3]>;

/** Both pools as new, the VM at the source. */
async function fresh(more: PoolChanges = {}, there: PoolChanges = {}): Promise<void> {
  await Promise.all([source?.stop(), destination?.stop()]);
  source = await LabPool.start(lab, 'a', more.vms ?? [{ ...VM, disks: DISKS }], more);
  destination = await LabPool.start(lab, 'b', [], there);
}

const migrate = (changes: Partial<MigrationInput> = {}): Promise<Migration> =>
  client.createMigration({
    vm: VM.name,
    source: 'pool-a',
    destination: 'pool-b',
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
const isPerforming = ({ phase, progress }: Migration): boolean =>
  phase === 'performing' && (progress?.percent ?? 0) > 5;

/** One copy, at that end, and never two: replayed from what both pools wrote down. */
async function assertOneAt(end: 'source' | 'destination'): Promise<void> {
  const [from, to] = await Promise.all([source.truth(), destination.truth()]);
  assert.deepEqual([from.running.length, to.running.length], end === 'source' ? [1, 0] : [0, 1]);
  let copies = 1;
  for (const { running } of [...from.changes, ...to.changes].sort((one, other) => one.atMs - other.atMs)) {
    copies += running ? 1 : -1;
    assert.ok(copies <= 1, 'two copies ran at one instant');
  }
}

async function assertNothingLeft(): Promise<void> {
  assert.deepEqual(await leftoversSince(traces, lab, () => false), []);
}

describe('Xen, from pool to pool through the tunnel', { concurrency: 1 }, () => {
  before(async () => {
    await labDown(LAB);
    lab = await labUp({ name: LAB, rateMbit: 1_000, rttMs: 40 });
    await fresh();
    const second = await addAddress(lab.sites.a.gatewayHost);
    traces = await takeTraces(lab);
    orchestrator = await OrchestratorProcess.start({
      dataDir: join(lab.stateDir, 'orchestrator'),
      // A source whose other gateway is gone waits for as long as the streams do.
      env: { LMAS_TUNNEL_GRACE_MS: '10000' },
    });
    client = orchestrator.client();
    await registerLab(client, lab, { a: [second] });
    await registerPools();
  });
  after(async () => {
    await orchestrator?.stop();
    await Promise.allSettled([source?.stop(), destination?.stop()]);
    assert.deepEqual((await labDown(LAB)).leftovers, []);
  });

  /** What crossed the link, and that it was the two gateways alone who did. */
  async function assertOnlyTheTunnel(watch: WanWatch): Promise<number> {
    const gateways = SITES.map((site) => lab.sites[site].gatewayHost.dataAddress);
    const flows = await watch.flows();
    const beside = flows.filter(({ from, to }) => !gateways.includes(from) || !gateways.includes(to));
    assert.deepEqual(beside, [], 'only the gateways talk over the link');
    return flows.find(({ from }) => from === gateways[0])?.bytes ?? 0;
  }

  async function moveIntercepted(): Promise<void> {
    await using watch = await WanWatch.start(lab);
    const options = { route: 'transparent', destinationHost: 'beta-1' };
    const migration = await until((await migrate({ options })).id, isOver);
    assert.equal(migration.phase, 'succeeded', JSON.stringify(migration.error));
    assert.ok((migration.tunnel?.bytesDelivered ?? 0) >= MOVED_BYTES, `${migration.tunnel?.bytesDelivered} bytes`);
    assert.ok((await assertOnlyTheTunnel(watch)) >= MOVED_BYTES);
    const { received, callers } = await destination.truth();
    assert.deepEqual(received, { disks: 40 * MIB, memory: VM.memoryBytes });
    assert.ok(callers.includes(source.spec.members[0]?.migration ?? ''), `as the source itself: ${callers.join(', ')}`);
    assert.ok(!callers.includes(lab.sites.b.gatewayHost.dataAddress), 'and not as the gateway');
  }

  test('a VM with two disks: memory and disks go through the tunnel, and through nothing else', async () => {
    await using watch = await WanWatch.start(lab);
    const migration = await until((await migrate()).id, isOver);
    assert.equal(migration.phase, 'succeeded', JSON.stringify(migration.error));
    assert.equal(migration.where, 'destination');
    assert.ok((migration.tunnel?.bytesDelivered ?? 0) >= MOVED_BYTES, `${migration.tunnel?.bytesDelivered} bytes`);
    const { received } = await destination.truth();
    assert.deepEqual(received, { disks: 40 * MIB, memory: VM.memoryBytes });
    const crossed = await assertOnlyTheTunnel(watch);
    assert.ok(crossed >= MOVED_BYTES && crossed < MOVED_BYTES * 2, `${crossed} bytes: all of it, and nothing twice`);
    await assertOneAt('destination');
    await assertNothingLeft();
  });

  test('an old release that knows no TLS: its plain HTTP crosses in the tunnel; the coordinator’s API, too, when asked for', async () => {
    // What changes shared storage the coordinator alone would serve, at its own address.
    await fresh({ httpsOnly: false, oldRelease: true }, { storage: [{ name: 'local storage', members: ['beta-2'] }] });
    await using watch = await WanWatch.start(lab);
    const options = { relayCoordinator: true, destinationHost: 'beta-2' };
    const migration = await until((await migrate({ options })).id, isOver);
    assert.equal(migration.phase, 'succeeded', JSON.stringify(migration.error));
    assert.ok((migration.tunnel?.bytesDelivered ?? 0) >= MOVED_BYTES, `${migration.tunnel?.bytesDelivered} bytes`);
    assert.ok((await assertOnlyTheTunnel(watch)) >= MOVED_BYTES);
    const { callers } = await destination.truth();
    const members = source.spec.members.flatMap(({ management, migration: address }) => [management, address]);
    assert.deepEqual(
      callers.filter((caller) => members.includes(caller)),
      [],
      'the source reached the other coordinator through the gateways alone',
    );
    await assertOneAt('destination');
    await assertNothingLeft();
  });

  test('intercepted: XAPI is told the destination’s own address, and sees the source’s; nothing crosses beside the tunnel', async () => {
    await fresh();
    const routes = await routeThroughGateways();
    try {
      await moveIntercepted();
    } finally {
      await routes[Symbol.asyncDispose]();
    }
    await assertOneAt('destination');
    await assertNothingLeft();
  });

  test('two that need three addresses of a gateway machine that has two: the second waits in the queue, and goes then', async () => {
    await fresh({ vms: [VM, OTHER].map((vm) => ({ ...vm, disks: [] })) });
    await source.setFaults({ holdAt: 'memory' });
    const first = await migrate({ options: { relayCoordinator: true, destinationHost: 'beta-2' } });
    await until(first.id, ({ phase }) => phase === 'performing');
    const second = await migrate({ vm: OTHER.name });
    const { waiting, phase } = await until(second.id, (one) => one.waiting?.blockedBy[0]?.kind === 'gateway-address');
    assert.deepEqual(
      [phase, waiting?.blockedBy[0]],
      ['checking', { kind: 'gateway-address', id: siteId('a'), limit: 2 }],
    );
    await source.letGo();
    for (const { id } of [first, second]) {
      const { phase: end, error } = await until(id, isOver);
      assert.equal(end, 'succeeded', JSON.stringify(error));
    }
    const [from, to] = await Promise.all([source.truth(), destination.truth()]);
    assert.deepEqual([from.running.length, to.running.length], [0, 2]);
    await assertNothingLeft();
  });

  test('a cancel while data flows leaves the VM at the source and nothing at the destination', async () => {
    await fresh();
    await source.setFaults({ bytesPerSec: 20e6 });
    const { id } = await migrate();
    await until(id, isPerforming);
    await client.cancelMigration(id);
    const migration = await until(id, isOver);
    assert.deepEqual([migration.phase, migration.where], ['cancelled', 'source'], JSON.stringify(migration.error));
    await assertOneAt('source');
    await assertNothingLeft();
  });

  test('a cancel after the guest has arrived is too late: the record says that it did', async () => {
    await fresh();
    await source.setFaults({ holdAt: 'arrived' });
    const { id } = await migrate();
    await until(id, isPerforming);
    while ((await destination.truth()).running.length === 0) await delay(50);
    await client.cancelMigration(id);
    await source.setFaults({ holdAt: 'disks' }); // is over: held no longer
    const migration = await until(id, isOver);
    assert.deepEqual([migration.phase, migration.where], ['succeeded', 'destination'], JSON.stringify(migration.error));
    await assertOneAt('destination');
    await assertNothingLeft();
  });

  test('a member that sends on to another coordinator, and a session lost in the middle: it arrives', async () => {
    await fresh();
    await source.setCoordinator(1);
    await source.setFaults({ bytesPerSec: 30e6 });
    const { id } = await migrate();
    await until(id, isPerforming);
    await source.dropSessions();
    const migration = await until(id, isOver);
    assert.equal(migration.phase, 'succeeded', JSON.stringify(migration.error));
    assert.ok((await source.truth()).redirects > 0, 'HOST_IS_SLAVE was answered, and followed');
    await assertOneAt('destination');
  });

  test('another coordinator in the middle: it has lost the task, and the VM runs on at the source', async () => {
    await fresh();
    await source.setFaults({ bytesPerSec: 20e6 });
    const { id } = await migrate();
    await until(id, isPerforming);
    await source.setCoordinator(1);
    const migration = await until(id, isOver);
    assert.deepEqual([migration.phase, migration.where], ['failed', 'source'], JSON.stringify(migration.error));
    await assertOneAt('source');
    await assertNothingLeft();
  });

  for (const sites of [['a'], ['b'], ['a', 'b']] as const) {
    test(`gateway ${sites.join(' and ')} killed while data flows: it is said that it was, and the VM runs on at the source`, async () => {
      await fresh();
      await source.setFaults({ bytesPerSec: 20e6 });
      const { id } = await migrate();
      await until(id, isPerforming);
      for (const site of sites) {
        await lab.sites[site].gatewayHost.exec(['pkill', '-KILL', '-f', 'lmas-gateway'], { allowFailure: true });
      }
      const migration = await until(id, isOver);
      assert.deepEqual([migration.phase, migration.where], ['failed', 'source'], JSON.stringify(migration.error));
      assert.match(migration.error?.code ?? '', /GATEWAY|TUNNEL/);
      await assertOneAt('source');
      await assertNothingLeft();
    });
  }

  test('the source reports a failure when the guest runs at the destination already: the record tells the truth', async () => {
    await fresh();
    await source.setFaults({ failAt: 'arrived' });
    const migration = await until((await migrate()).id, isOver);
    assert.deepEqual([migration.phase, migration.where], ['succeeded', 'destination'], JSON.stringify(migration.error));
    assert.match(migration.report?.warnings.join() ?? '', /must not be started there/);
    await assertOneAt('destination');
    await assertNothingLeft();
  });

  test('the orchestrator is killed while data flows: the pools go on, and the next run finishes it', async () => {
    await fresh();
    await source.setFaults({ bytesPerSec: 25e6 });
    const { id } = await migrate();
    await until(id, isPerforming);
    await orchestrator.kill();
    await orchestrator.restart();
    const migration = await until(id, isOver);
    assert.deepEqual([migration.phase, migration.where], ['succeeded', 'destination'], JSON.stringify(migration.error));
    const { calls } = await source.truth();
    assert.equal(calls.filter((method) => method === 'Async.VM.migrate_send').length, 1, 'never triggered twice');
    await assertOneAt('destination');
    await assertNothingLeft();
  });
});
