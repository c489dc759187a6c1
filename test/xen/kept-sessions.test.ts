/** Questions of people to a pool: one login for all of them, what others change is seen at once, and what ends the session. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HypervisorPlugin } from '@lmas/plugin-api';
import { readConfig } from '../../apps/orchestrator/src/config.ts';
import { createLog } from '../../apps/orchestrator/src/log.ts';
import { startOrchestrator } from '../../apps/orchestrator/src/main.ts';
import { createRegistry } from '../../apps/orchestrator/src/plugins/registry.ts';
import { PASSWORD, plugin, XenWorld } from '../compliance/xen-world.ts';
import { createSimulatedProvisioner } from '../simulated/gateways.ts';
import { Api, SHORT, temporaryDirectory } from '../workflow/harness.ts';

interface Shown {
  vms: { name: string; presence: string }[];
}

test('two inventories use one login and see what changed in between; a cut is not noticed; a removed endpoint ends it', async () => {
  await using directory = await temporaryDirectory();
  await using world = await XenWorld.make();
  const config = readConfig({ ...SHORT, LMAS_DATA_DIR: directory.path });
  const parts = { plugins: createRegistry([plugin as HypervisorPlugin]), gateways: createSimulatedProvisioner };
  const orchestrator = await startOrchestrator(config, createLog(config.logLevel), parts);
  await using _stop = { [Symbol.asyncDispose]: () => orchestrator.stop() };
  const api = await Api.of(orchestrator);
  const pool = world.source;
  const { database, sessions } = pool;
  const [member] = pool.spec.members;
  const tlsFingerprints = pool.spec.members.map(({ name }) => world.fingerprintOf(name));
  const settings = { host: member?.management, tlsFingerprints, migrationNetwork: 'migration' };
  const credential = { id: 'pool', kind: 'password', username: 'root', password: PASSWORD };
  await api.must('POST', '/v1/credentials', credential);
  await api.must('POST', '/v1/sites', { id: 'a', gateway: null });
  await api.must('POST', '/v1/endpoints', { id: 'xa', site: 'a', plugin: 'xen', credential: 'pool', config: settings });
  const look = async () => {
    const { vms } = await api.must<Shown>('GET', '/v1/endpoints/xa/inventory');
    return vms.map(({ name, presence }) => `${name} ${presence}`);
  };
  const logins = () => pool.calls.filter((call) => call === 'session.login_with_password').length;
  /** Sessions are ended beside what people wait for. */
  const untilSessions = async (count: number) => {
    for (let left = 200; sessions.count !== count; left -= 1) {
      assert.ok(left > 0, `${sessions.count} sessions`);
      await sleep(20);
    }
  };
  const vm = database.byUuid('VM', world.vm.id) ?? '';

  assert.deepEqual(await look(), ['shop running']);
  const before = pool.calls.length;
  database.update('VM', vm, { name_label: 'boutique', power_state: 'Paused' });
  assert.deepEqual(await look(), ['boutique paused']);
  assert.deepEqual(pool.calls.slice(before), ['event.from']);
  assert.notEqual(pool.lastParams('event.from')[1], '', 'only what has changed');
  await Promise.all([look(), look(), look()]);
  assert.equal(logins(), 1);

  pool.faults.turnAway = { method: 'event.from', by: 'hanging-up' };
  database.update('VM', vm, { name_label: 'shop', power_state: 'Running' });
  assert.deepEqual(await look(), ['shop running']);
  await untilSessions(1);
  await api.must('DELETE', '/v1/endpoints/xa');
  await untilSessions(0);
});
