/**
 * The proof for plain Xen: two hosts at two sites with the scripted xl, which keeps xl's handshake and moves checked bytes; real
 * sshd, gateways and orchestrator. The kernel of a router tells that nothing goes beside the tunnel.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { LmasClient, Migration } from '@lmas/client';
import { type Lab, labDown, labUp } from '../lab/src/index.ts';
import type { HostSettings } from '../lab/xl/host.ts';
import { forgetTruth, LabXlHost, truthOf } from '../lab/xl/lab-host.ts';
import { OrchestratorProcess } from '../support/orchestrator.ts';
import { leftoversSince, type Traces, takeTraces } from '../support/traces.ts';
import { CREDENTIAL_ID, registerLab, siteId } from '../support/two-sites.ts';
import { WanWatch } from '../support/wan-watch.ts';

const LAB = 'e2exl';
const MIB = 1024 ** 2;
const GUEST = { name: 'shop', uuid: '3d6a7c1e-52f4-4a52-8d0e-0d1c5a9be001', memoryMib: 64 };
const ENDS_WITHIN_MS = 60_000;
const SITES = ['a', 'b'] as const;

let lab: Lab;
let traces: Traces;
let orchestrator: OrchestratorProcess;
let client: LmasClient;
let source: LabXlHost;
let destination: LabXlHost;

async function fresh(more: Partial<HostSettings> = {}): Promise<void> {
  source?.remove();
  destination?.remove();
  forgetTruth(lab);
  source = await LabXlHost.start(lab, 'a', GUEST, more);
  destination = await LabXlHost.start(lab, 'b', null);
}

const migrate = (): Promise<Migration> =>
  client.createMigration({ vm: GUEST.name, source: 'xen-a', destination: 'xen-b' });

async function until(id: string, holds: (migration: Migration) => boolean): Promise<Migration> {
  const deadline = performance.now() + ENDS_WITHIN_MS;
  for (;;) {
    const migration = await client.getMigration(id).catch(() => undefined); // it may be down at this moment
    if (migration !== undefined && holds(migration)) return migration;
    if (performance.now() > deadline || (migration !== undefined && isOver(migration)))
      assert.fail(`not in time: ${JSON.stringify(migration)}\n${orchestrator.logTail()}`);
    await delay(100);
  }
}

const isOver = ({ phase, teardown }: Migration): boolean =>
  ['succeeded', 'failed', 'cancelled'].includes(phase) && teardown !== 'pending';
const isPerforming = ({ phase, progress }: Migration): boolean =>
  phase === 'performing' && (progress?.percent ?? 0) > 5;

/** One copy, at that end, and never two; and nothing of it all is left. */
async function assertOneAt(end: 'source' | 'destination'): Promise<void> {
  assert.deepEqual([source.running, destination.running], end === 'source' ? [1, 0] : [0, 1]);
  let copies = 0;
  for (const { runs } of truthOf(lab)) {
    copies += runs ? 1 : -1;
    assert.ok(copies <= 1, 'two copies ran at one instant');
  }
  assert.deepEqual(await leftoversSince(traces, lab, (line) => line.includes('/run/xl/')), []);
}

describe('plain Xen, from host to host through the tunnel', { concurrency: 1 }, () => {
  before(async () => {
    await labDown(LAB);
    lab = await labUp({ name: LAB, rateMbit: 1_000, rttMs: 40 });
    await fresh();
    traces = await takeTraces(lab);
    orchestrator = await OrchestratorProcess.start({ dataDir: join(lab.stateDir, 'orchestrator') });
    client = orchestrator.client();
    await registerLab(client, lab);
    for (const [i, host] of [source, destination].entries()) {
      const site = SITES[i] ?? 'a';
      const endpoint = { id: `xen-${site}`, site: siteId(site), plugin: 'xl', credential: CREDENTIAL_ID };
      await client.createEndpoint({ ...endpoint, config: { ...host.config } });
    }
  });
  after(async () => {
    await orchestrator?.stop();
    assert.deepEqual((await labDown(LAB)).leftovers, []);
  });

  test('the endpoints verify themselves, and a guest goes through the tunnel and through nothing else', async () => {
    for (const site of SITES) {
      const { ok, steps } = await client.testEndpoint(`xen-${site}`);
      assert.ok(ok, JSON.stringify(steps));
    }
    await using watch = await WanWatch.start(lab);
    const migration = await until((await migrate()).id, isOver);
    assert.deepEqual([migration.phase, migration.where], ['succeeded', 'destination'], JSON.stringify(migration.error));
    const bytes = GUEST.memoryMib * MIB;
    assert.ok((migration.tunnel?.bytesDelivered ?? 0) >= bytes, `${migration.tunnel?.bytesDelivered} bytes`);
    const gateways = SITES.map((site) => lab.sites[site].gatewayHost.dataAddress);
    const flows = await watch.flows();
    assert.ok(
      flows.every(({ from, to }) => gateways.includes(from) && gateways.includes(to)),
      JSON.stringify(flows),
    );
    assert.ok((flows.find(({ from }) => from === gateways[0])?.bytes ?? 0) >= bytes);
    await assertOneAt('destination');
  });

  test('both gateways killed while memory moves: the guest runs on at the source', async () => {
    await fresh({ bytesPerSec: 10e6 });
    const { id } = await migrate();
    await until(id, isPerforming);
    for (const site of SITES) {
      await lab.sites[site].gatewayHost.exec(['pkill', '-KILL', '-f', 'lmas-gateway'], { allowFailure: true });
    }
    const migration = await until(id, isOver);
    assert.deepEqual([migration.phase, migration.where], ['failed', 'source'], JSON.stringify(migration.error));
    await assertOneAt('source');
  });

  test('the orchestrator killed while memory moves: xl goes on, and the next run finishes it', async () => {
    await fresh({ bytesPerSec: 10e6 });
    const { id } = await migrate();
    await until(id, isPerforming);
    await orchestrator.kill();
    await orchestrator.restart();
    const migration = await until(id, isOver);
    assert.deepEqual([migration.phase, migration.where], ['succeeded', 'destination'], JSON.stringify(migration.error));
    await assertOneAt('destination');
  });
});
