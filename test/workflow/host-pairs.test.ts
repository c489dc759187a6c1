/**
 * Endpoints of many hosts whose traffic is intercepted: who finds its two hosts taken waits for them in the queue, where it holds up nobody, and
 * goes on when it is its turn. The plugin is the simulated one, which says here between which hosts a VM would go.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { HypervisorPlugin, MigrationDriver, VmRef } from '@lmas/plugin-api';
import simulated from '@lmas/plugin-simulated';
import { ISOLATED_NETWORK } from '@lmas/plugin-simulated/world';
import { readConfig } from '../../apps/orchestrator/src/config.ts';
import { createLog } from '../../apps/orchestrator/src/log.ts';
import { type Orchestrator, startOrchestrator } from '../../apps/orchestrator/src/main.ts';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import { createRegistry } from '../../apps/orchestrator/src/plugins/registry.ts';
import { createSimulatedProvisioner } from '../simulated/gateways.ts';
import { Api, SHORT, type Stage, setStage, temporaryDirectory } from './harness.ts';

type Hosts = { readonly source: string; readonly destination: string };

/** As the check says it, by VM. */
const hostsOf = new Map<string, Hosts>();
const between = (source: string, destination: string): Hosts => ({
  source: `vc-1/${source}`,
  destination: `vc-2/${destination}`,
});

type Checking = Pick<MigrationDriver, 'check'>;
function sayingHosts<Driver extends Checking>(driver: Driver, { vm }: { readonly vm: VmRef }): Driver {
  const check = driver.check.bind(driver);
  return Object.assign(driver, {
    check: async (options: { signal: AbortSignal }) => ({ ...(await check(options)), hosts: hostsOf.get(vm.id) }),
  });
}

const plain = simulated as HypervisorPlugin;
const crowded: HypervisorPlugin = {
  ...plain,
  capabilities: { ...simulated.capabilities, redirectedRoute: false, transparentRoute: true, manyHosts: true },
  migration: (ends, request, context) => sayingHosts(plain.migration(ends, request, context), request),
  drill: (ends, request, context) =>
    sayingHosts(plain.drill?.(ends, request, context) ?? assert.fail('it has drills'), request),
};

const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;

/** Two workers: one that waits and holds its own would leave room for one only. Nobody is killed here, so a lease may be long. */
async function start(): Promise<void> {
  const config = readConfig({
    ...{ ...SHORT, LMAS_RUN_LEASE_MS: '20000' },
    ...{ LMAS_DATA_DIR: directory.path, LMAS_CONCURRENCY: '2' },
  });
  const parts = { plugins: createRegistry([crowded]), gateways: createSimulatedProvisioner };
  orchestrator = await startOrchestrator(config, createLog(config.logLevel), parts);
  api = await Api.of(orchestrator);
}

async function stageBetween(hosts: Hosts): Promise<Stage> {
  const stage = await setStage(() => api, directory.path);
  hostsOf.set(stage.vmId, hosts);
  return stage;
}

/** A migration that has its hosts, and does not come to its end until it is let go. */
async function held(stage: Stage, input: Parameters<Stage['submit']>[0] = {}) {
  const hold = stage.world.faults.arm('source.perform', 'hold-before');
  const { id } = await stage.submit(input);
  await hold.reached;
  return { id, release: hold.release };
}

const waitsForHosts = ({ waiting }: Migration): boolean =>
  waiting?.blockedBy.some(({ kind }) => kind === 'host-pair') === true;

async function succeeded(id: string, stage: Stage): Promise<Migration> {
  const migration = await api.ended(id);
  assert.deepEqual([migration.phase, migration.where], ['succeeded', 'destination'], JSON.stringify(migration.error));
  stage.assertClean(migration);
  return migration;
}

describe('the same two hosts', { concurrency: 1 }, () => {
  before(start);
  after(async () => {
    await orchestrator.stop();
    await directory[Symbol.asyncDispose]();
  });

  test('the second one waits in the queue, and another with hosts of its own goes on meanwhile', async () => {
    await using one = await stageBetween(between('a', 'b'));
    await using other = await stageBetween(between('b', 'a'));
    hostsOf.set(other.vmId, { source: 'vc-2/b', destination: 'vc-1/a' });
    await using third = await stageBetween(between('a', 'c'));
    const first = await held(one);
    const { id } = await other.submit();
    const waiting = await api.until(id, waitsForHosts);
    assert.deepEqual([waiting.phase, waiting.waiting?.blockedBy[0]?.id], ['checking', 'vc-1/a~vc-2/b']);
    await succeeded((await third.submit()).id, third);
    assert.ok(waitsForHosts(await api.migration(id)));
    first.release();
    await succeeded(first.id, one);
    const { runs, waits } = await succeeded(id, other);
    assert.deepEqual([runs, waits.map(({ reason }) => reason)], [2, ['hosts']]);
    assert.ok(waits.every(({ endedAt }) => endedAt !== null));
    const headers = { authorization: `Bearer ${api.key}` };
    const metrics = await (await fetch(`${api.url}/metrics`, { headers })).text();
    const series = metrics.split('\n');
    assert.ok(series.includes('lmas_migration_recoveries_total{plugin="simulated"} 0'), 'no run was lost');
    const waited = 'lmas_migration_wait_duration_seconds_count{reason="hosts",plugin="simulated"} 1';
    assert.ok(series.includes(waited), 'a time of its own');
  });

  test('a VM that goes to other hosts while it waits goes on between those', async () => {
    await using one = await stageBetween(between('a', 'b'));
    await using other = await stageBetween(between('a', 'b'));
    await using third = await stageBetween(between('a', 'c'));
    const first = await held(one);
    const { id } = await other.submit();
    await api.until(id, waitsForHosts);
    hostsOf.set(other.vmId, between('a', 'c'));
    const elsewhere = await held(third);
    first.release();
    await succeeded(first.id, one);
    assert.equal((await api.until(id, ({ waiting, runs }) => waiting !== null && runs === 2)).phase, 'checking');
    elsewhere.release();
    await succeeded(elsewhere.id, third);
    assert.equal((await succeeded(id, other)).runs, 3);
  });

  test('one that waits is cancelled at once', async () => {
    await using one = await stageBetween(between('a', 'b'));
    await using other = await stageBetween(between('a', 'b'));
    const first = await held(one);
    const { id } = await other.submit();
    await api.until(id, waitsForHosts);
    await api.must('POST', `/v1/migrations/${id}/cancel`);
    const cancelled = await api.ended(id);
    assert.deepEqual([cancelled.phase, cancelled.where], ['cancelled', 'source']);
    other.assertClean(cancelled);
    first.release();
    await succeeded(first.id, one);
  });

  test('the limit of the whole holds for one that waits', async () => {
    await using one = await stageBetween(between('a', 'b'));
    await using other = await stageBetween(between('a', 'b'));
    const first = await held(one);
    const { id } = await other.submit({ timeouts: { totalMs: 1_000 } });
    await api.until(id, waitsForHosts);
    const late = await api.ended(id);
    assert.deepEqual([late.phase, late.error?.code], ['failed', 'STAGE_TIMEOUT']);
    first.release();
    await succeeded(first.id, one);
  });

  test('a drill that waits is in the way of no move of its VM', async () => {
    await using one = await stageBetween(between('a', 'b'));
    await using other = await stageBetween(between('a', 'b'));
    const first = await held(one);
    const { id } = await other.submit({ drill: { keepMs: 0 }, networkMap: { default: ISOLATED_NETWORK } });
    await api.until(id, waitsForHosts);
    hostsOf.set(other.vmId, between('a', 'c'));
    await succeeded((await other.submit()).id, other);
    assert.ok(waitsForHosts(await api.migration(id)));
    first.release();
    await succeeded(first.id, one);
    const { phase, error, runs } = await api.ended(id);
    assert.deepEqual([phase, error?.code, runs], ['failed', 'VM_NOT_FOUND', 2], 'the VM is at the source no more');
    assert.deepEqual(other.world.drills.leftovers, []);
  });

  test('one that waits after an attempt that failed says so, too, and can be cancelled', async () => {
    await using one = await stageBetween(between('a', 'b'));
    await using other = await stageBetween(between('a', 'c'));
    const elsewhere = await held(other);
    const gateway = one.world.faults.arm('gateway.start', 'hold-before', { times: 1 });
    const { id } = await one.submit({ retries: { max: 1, backOffMs: 100 } });
    await gateway.reached;
    hostsOf.set(one.vmId, between('a', 'c'));
    one.world.faults.arm('gateway.configure', 'reply-lost');
    gateway.release();
    const waiting = await api.until(id, waitsForHosts, 10_000);
    assert.equal(waiting.failedAttempts.length, 1);
    await api.must('POST', `/v1/migrations/${id}/cancel`);
    assert.equal((await api.ended(id)).phase, 'cancelled');
    elsewhere.release();
    await succeeded(elsewhere.id, other);
  });

  test('the pause before a retry is nobody else’s', async () => {
    await using one = await stageBetween(between('a', 'b'));
    await using other = await stageBetween(between('a', 'b'));
    one.world.faults.arm('gateway.start', 'reply-lost');
    const { id } = await one.submit({ retries: { max: 1, backOffMs: 60_000 } });
    await api.until(id, ({ failedAttempts }) => failedAttempts.length === 1);
    await succeeded((await other.submit()).id, other);
    await api.must('POST', `/v1/migrations/${id}/cancel`);
    assert.equal((await api.ended(id)).phase, 'cancelled');
  });

  test('direct ones go beside each other, and not beside one that is intercepted', async () => {
    await using one = await stageBetween(between('a', 'b'));
    await using two = await stageBetween(between('a', 'b'));
    await using tunnelled = await stageBetween(between('a', 'b'));
    const first = await held(one, { transport: 'direct' });
    const second = await held(two, { transport: 'direct' });
    first.release();
    await succeeded(first.id, one);
    const { id } = await tunnelled.submit();
    await api.until(id, waitsForHosts);
    second.release();
    await succeeded(second.id, two);
    await succeeded(id, tunnelled);
  });

  test('an orchestrator that ends forgets nobody who waits', async () => {
    await using one = await stageBetween(between('a', 'b'));
    await using other = await stageBetween(between('a', 'b'));
    const first = await held(one);
    const { id } = await other.submit();
    await api.until(id, waitsForHosts);
    const stopped = orchestrator.stop();
    first.release();
    await stopped;
    await start();
    await api.ended(first.id);
    await succeeded(id, other);
  });
});
