/**
 * How busy a pool is: the values of its data sources, unknown for what is not recorded or has no value yet, and every other refusal an
 * error. A guest that goes meanwhile is no error either.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { EndpointSession, Load } from '@lmas/plugin-api';
import { XenWorld } from '../compliance/xen-world.ts';

const signal = AbortSignal.timeout(60_000);

describe('load of a pool', () => {
  let world: XenWorld;
  let session: EndpointSession;
  before(async () => {
    world = await XenWorld.make();
    session = await world.session(world.source);
  });
  after(() => world[Symbol.asyncDispose]());
  beforeEach(() => {
    world.source.faults.dataSources = {};
    world.source.faults.refuse = undefined;
  });

  async function load(): Promise<Load> {
    assert.ok(session.load !== undefined);
    return await session.load({ signal, intervalMs: 200 });
  }

  test('the cores of its hosts; cores, memory and traffic of each guest', async () => {
    const memoryBytes = Number(world.source.guest(world.vm.id).memory_dynamic_max);
    assert.deepEqual(await load(), {
      intervalMs: 5_000,
      host: { cpuCores: 2 * 8 * 0.25 },
      vms: [{ id: world.vm.id, cpuCores: 1, memoryBytes, networkBytesPerSec: 1_500, dirtyRateBytesPerSec: null }],
    });
  });

  test('what is not recorded, or has no value yet, is unknown', async () => {
    world.source.faults.dataSources = { cpu_avg: null, cpu0: null, cpu1: Number.NaN, vif_0_rx: null };
    const { host, vms } = await load();
    assert.equal(host.cpuCores, null);
    assert.deepEqual([vms[0]?.cpuCores, vms[0]?.networkBytesPerSec], [null, 500]);
  });

  for (const method of ['host.query_data_source', 'VM.query_data_source', 'VM.get_data_sources']) {
    test(`a refusal of ${method} is told, and not taken for an idle pool`, async () => {
      world.source.faults.refuse = { method, code: 'RBAC_PERMISSION_DENIED' };
      await assert.rejects(load(), { code: 'LOGIN_REFUSED' });
    });
  }

  test('a guest that is shut down while it is asked after is left out', async () => {
    world.source.faults.refuse = { method: 'VM.query_data_source', code: 'VM_BAD_POWER_STATE' };
    assert.deepEqual((await load()).vms, []);
  });
});
