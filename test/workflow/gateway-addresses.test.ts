/**
 * A gateway machine with one address, and hypervisors that need one to themselves: the second migration waits in the queue before anything is made
 * for it, and holds up nobody who needs none. The plugin is the simulated one, which says here how many a VM's move takes.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { HypervisorPlugin } from '@lmas/plugin-api';
import simulated from '@lmas/plugin-simulated';
import { readConfig } from '../../apps/orchestrator/src/config.ts';
import { createLog } from '../../apps/orchestrator/src/log.ts';
import { type Orchestrator, startOrchestrator } from '../../apps/orchestrator/src/main.ts';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import { createRegistry } from '../../apps/orchestrator/src/plugins/registry.ts';
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

async function succeeded(id: string): Promise<Migration> {
  const migration = await api.ended(id);
  assert.deepEqual([migration.phase, migration.where], ['succeeded', 'destination'], JSON.stringify(migration.error));
  return migration;
}

describe('one address', { concurrency: 1 }, () => {
  before(async () => {
    const config = readConfig({ ...SHORT, LMAS_DATA_DIR: directory.path, LMAS_CONCURRENCY: '2' });
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
    assert.equal((await succeeded(id)).runs, 2);
    stage.assertClean(one);
  });

  test('the way back uses the other machine’s address, and what goes straight uses none', async () => {
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
