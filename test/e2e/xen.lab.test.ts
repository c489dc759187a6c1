/**
 * The Xen proof: two pools at two sites that only the link joins, real gateways, a real orchestrator. The pools move and check
 * bytes and tell which guest ran where; the gateways' counters tell which way they took.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { LmasClient, Migration, MigrationInput, Phase } from '@lmas/client';
import { type Lab, labDown, labUp } from '../lab/src/index.ts';
import { LabPool, POOL_LOGIN } from '../lab/xapi/lab-pool.ts';
import { uuidOf } from '../lab/xapi/model.ts';
import { OrchestratorProcess } from '../support/orchestrator.ts';
import { leftoversSince, type Traces, takeTraces } from '../support/traces.ts';
import { registerLab, siteId } from '../support/two-sites.ts';

const LAB = 'e2exen';
const MIB = 1024 ** 2;
const VM = { name: 'shop', uuid: uuidOf('e2e', 'shop'), memoryBytes: 96 * MIB };
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

/** Both pools as new, the VM at the source. */
async function fresh(): Promise<void> {
  await Promise.all([source?.stop(), destination?.stop()]);
  source = await LabPool.start(lab, 'a', [{ ...VM, disks: DISKS }]);
  destination = await LabPool.start(lab, 'b', []);
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
    traces = await takeTraces(lab);
    orchestrator = await OrchestratorProcess.start({ dataDir: join(lab.stateDir, 'orchestrator') });
    client = orchestrator.client();
    await registerLab(client, lab);
    await registerPools();
  });
  after(async () => {
    await orchestrator?.stop();
    await Promise.allSettled([source?.stop(), destination?.stop()]);
    assert.deepEqual((await labDown(LAB)).leftovers, []);
  });

  test('a VM with two disks: memory and disks go through the tunnel, and through nothing else', async () => {
    const before = await lab.linkStats();
    const migration = await until((await migrate()).id, isOver);
    assert.equal(migration.phase, 'succeeded', JSON.stringify(migration.error));
    assert.equal(migration.where, 'destination');
    assert.ok((migration.tunnel?.bytesDelivered ?? 0) >= MOVED_BYTES, `${migration.tunnel?.bytesDelivered} bytes`);
    const { received } = await destination.truth();
    assert.deepEqual(received, { disks: 40 * MIB, memory: VM.memoryBytes });
    const crossed = (await lab.linkStats()).ab.bytes - before.ab.bytes;
    assert.ok(crossed < MOVED_BYTES * 2, `${crossed} bytes on the link: nothing went twice`);
    await assertOneAt('destination');
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

  test('another coordinator before, and a lost session in the middle: it arrives', async () => {
    await fresh();
    await source.setCoordinator(1);
    await source.setFaults({ bytesPerSec: 30e6 });
    const { id } = await migrate();
    await until(id, isPerforming);
    await source.dropSessions();
    const migration = await until(id, isOver);
    assert.equal(migration.phase, 'succeeded', JSON.stringify(migration.error));
    await assertOneAt('destination');
  });

  test('the source reports a failure when the guest runs at the destination already: the record tells the truth', async () => {
    await fresh();
    await source.setFaults({ failAt: 'after-arrival' });
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
