/**
 * A gateway machine with one address, and hypervisors that need one to themselves: the second migration waits in the queue before anything is made
 * for it, and holds up nobody who needs none. The plugin is the simulated one, which says here how many a VM's move takes.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { HypervisorPlugin } from '@lmas/plugin-api';
import simulated from '@lmas/plugin-simulated';
import { Redis } from 'ioredis';
import { readConfig } from '../../apps/orchestrator/src/config.ts';
import { createLog } from '../../apps/orchestrator/src/log.ts';
import { type Orchestrator, startOrchestrator } from '../../apps/orchestrator/src/main.ts';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import { createRegistry } from '../../apps/orchestrator/src/plugins/registry.ts';
import { keys } from '../../apps/orchestrator/src/redis/keys.ts';
import { createSimulatedProvisioner } from '../simulated/gateways.ts';
import { Api, SHORT, type Stage, setStage, temporaryDirectory } from './harness.ts';

/** As the check says it, by VM. */
const addressesOf = new Map<string, number>();

const demanding: HypervisorPlugin = {
  ...(simulated as HypervisorPlugin),
  migration(ends, request, context) {
    const driver = (simulated as HypervisorPlugin).migration(ends, request, context);
    const check = driver.check.bind(driver);
    return Object.assign(driver, {
      check: async (options: { signal: AbortSignal }) => ({
        ...(await check(options)),
        gatewayAddresses: addressesOf.get(request.vm.id),
      }),
    });
  },
};

const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;

/** One more VM at the stage's source. */
function addVm(stage: Stage, addresses: number): string {
  const id = randomUUID();
  stage.world.addVm('source', { id, name: `vm-${id.slice(0, 8)}` });
  addressesOf.set(id, addresses);
  return id;
}

async function held(stage: Stage) {
  const hold = stage.world.faults.arm('source.perform', 'hold-before');
  const { id } = await stage.submit();
  await hold.reached;
  return { id, release: hold.release };
}

const waitsForAddress = ({ waiting }: Migration): boolean =>
  waiting?.blockedBy.some(({ kind }) => kind === 'gateway-address') === true;

const gatewayOf = async (site: string) =>
  (await api.must<{ gateway: object & { moreHypervisorAddresses: string[] } }>('GET', `/v1/sites/${site}`)).gateway;

const giveAddresses = async (site: string, moreHypervisorAddresses: readonly string[]) =>
  await api.call(
    'PATCH',
    `/v1/sites/${site}`,
    { gateway: { ...(await gatewayOf(site)), moreHypervisorAddresses } },
    { 'if-match': '*' },
  );

async function succeeded(id: string): Promise<Migration> {
  const migration = await api.ended(id);
  assert.deepEqual([migration.phase, migration.where], ['succeeded', 'destination'], JSON.stringify(migration.error));
  return migration;
}

describe('one address', { concurrency: 1 }, () => {
  before(async () => {
    // Nobody looks by himself again and again: who may go on is told so.
    const rare = { LMAS_RECOVERY_INTERVAL_MS: '60000' };
    const config = readConfig({ ...SHORT, ...rare, LMAS_DATA_DIR: directory.path, LMAS_CONCURRENCY: '2' });
    const parts = { plugins: createRegistry([demanding]), gateways: createSimulatedProvisioner };
    orchestrator = await startOrchestrator(config, createLog(config.logLevel), parts);
    api = await Api.of(orchestrator);
  });
  after(async () => {
    await orchestrator.stop();
    await directory[Symbol.asyncDispose]();
  });

  test('the second one waits in the queue and says for what; one that needs none goes on; then it is its turn', async () => {
    await using stage = await setStage(() => api, directory.path);
    addressesOf.set(stage.vmId, 1);
    const first = await held(stage);
    const { id } = await stage.submit({ vm: addVm(stage, 1) });
    const waiting = await api.until(id, waitsForAddress);
    assert.match(waiting.waiting?.reason ?? '', /the gateway machine of site w\S+-source has 1 address/);
    assert.deepEqual(
      [waiting.phase, waiting.timeline.at(-1)?.phase],
      ['checking', 'checking'],
      'nothing was made for it',
    );
    await succeeded((await stage.submit({ vm: addVm(stage, 0) })).id);
    assert.ok(waitsForAddress(await api.migration(id)));
    first.release();
    const one = await succeeded(first.id);
    const { runs, waits } = await succeeded(id);
    assert.deepEqual([runs, waits.map(({ reason }) => reason)], [2, ['addresses']]);
    stage.assertClean(one);
    const metrics = await fetch(`${api.url}/metrics`, { headers: { authorization: `Bearer ${api.key}` } });
    const lines = (await metrics.text()).split('\n');
    const counted = lines.filter((line) =>
      /^lmas_migration_wait_duration_seconds_count\{reason="(hosts|addresses)"/.test(line),
    );
    assert.deepEqual(counted, [
      'lmas_migration_wait_duration_seconds_count{reason="hosts",plugin="simulated"} 0',
      'lmas_migration_wait_duration_seconds_count{reason="addresses",plugin="simulated"} 1',
    ]);
  });

  test('the way back uses the other machine’s address, and a direct one uses none', async () => {
    await using stage = await setStage(() => api, directory.path);
    addressesOf.set(stage.vmId, 1);
    const first = await held(stage);
    const back = addVm(stage, 0);
    await succeeded((await stage.submit({ vm: back })).id);
    addressesOf.set(back, 1);
    const ends = { source: stage.destination, destination: stage.source };
    await succeeded((await stage.submit({ vm: back, ...ends })).id);
    await succeeded((await stage.submit({ vm: addVm(stage, 1), transport: 'direct' })).id);
    first.release();
    stage.assertClean(await succeeded(first.id));
  });

  test('an address that is added to the machine lets the next one go on at once; none can be taken away meanwhile', async () => {
    await using stage = await setStage(() => api, directory.path);
    addressesOf.set(stage.vmId, 1);
    const first = await held(stage);
    const { id } = await stage.submit({ vm: addVm(stage, 1) });
    await api.until(id, waitsForAddress);
    assert.equal((await giveAddresses(stage.source, ['192.0.2.2'])).status, 200);
    await succeeded(id);
    const taken = await giveAddresses(stage.source, ['192.0.2.3']);
    assert.deepEqual([taken.status, taken.body.code], [409, 'IN_USE']);
    first.release();
    stage.assertClean(await succeeded(first.id));
    assert.equal((await giveAddresses(stage.source, [])).status, 200);
  });

  test('one that waits for more than there are by now is refused, and the next one behind it goes on', async () => {
    await using stage = await setStage(() => api, directory.path);
    assert.equal((await giveAddresses(stage.source, ['192.0.2.2'])).status, 200);
    addressesOf.set(stage.vmId, 1);
    const first = await held(stage);
    const { id: second } = await stage.submit({ vm: addVm(stage, 2) });
    await api.until(second, waitsForAddress);
    // As when somebody has changed the site in the moment in which it was submitted: from then on the API refuses that.
    const redis = new Redis({ path: join(directory.path, 'redis', 'redis.sock') });
    const site = JSON.parse((await redis.hget(keys.sites, stage.source)) ?? '{}');
    site.gateway.moreHypervisorAddresses = [];
    await redis.hset(keys.sites, stage.source, JSON.stringify(site));
    redis.disconnect();
    const { id: third } = await stage.submit({ vm: addVm(stage, 1) });
    const refused = await api.ended(second);
    assert.deepEqual([refused.phase, refused.error?.code], ['failed', 'CHECK_FAILED']);
    assert.match(refused.error?.message ?? '', /needs 2 addresses.*has 1/);
    await api.until(third, waitsForAddress);
    first.release();
    await succeeded(third);
    stage.assertClean(await succeeded(first.id));
  });

  test('more than there are is refused with what to do, and nothing waits for it', async () => {
    await using stage = await setStage(() => api, directory.path);
    addressesOf.set(stage.vmId, 2);
    const refused = await api.ended((await stage.submit()).id);
    assert.deepEqual([refused.phase, refused.error?.code], ['failed', 'CHECK_FAILED']);
    assert.match(
      `${refused.error?.message} ${refused.error?.remedy}`,
      /needs 2 addresses.*has 1.*moreHypervisorAddresses/,
    );
    stage.assertClean(refused);
  });
});
