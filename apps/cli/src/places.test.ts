import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inventorySchema } from '../../orchestrator/src/schemas/endpoint.ts';
import { answer, fakeOrchestrator } from './fake-orchestrator.ts';

const BINARY = fileURLToPath(new URL('../bin/lmas.mjs', import.meta.url));
const GIB = 1024 ** 3;

const numbers = { cpus: 32, memoryBytes: 64 * GIB, memoryFreeBytes: 16 * GIB };
const vm = (name: string, changes: object = {}) => ({
  ...{ id: `id-${name}`, name, presence: 'running', memoryBytes: GIB, vcpus: 2, disks: [], networks: [] },
  ...{ managedBy: null, ...changes },
});
const INVENTORY = {
  host: { name: 'vcenter', version: 'vCenter 8', ...numbers },
  hosts: [
    { name: 'esx-2', id: 'host-2', cluster: null, state: 'maintenance', ...numbers },
    { name: 'esx-1', id: 'host-1', cluster: 'compute', state: 'connected', ...numbers },
  ],
  storage: [
    { name: 'shared', id: 'ds-2', usable: false, capacityBytes: null, freeBytes: null, shared: true },
    { name: 'local', usable: true, capacityBytes: 8 * GIB, freeBytes: GIB, shared: false, host: 'esx-1' },
  ],
  networks: [],
  vms: [vm('web', { host: 'esx-1' }), vm('off', { presence: 'stopped' })],
};

async function lmas(inventory: object, ...args: string[]): Promise<string> {
  await using fake = await fakeOrchestrator();
  fake.on('GET /v1/endpoints/vc/inventory', answer(200, inventorySchema, inventory));
  const child = spawn(process.execPath, [BINARY, ...args], {
    env: { PATH: process.env.PATH ?? '', LMAS_API_KEY: 'key', LMAS_URL: fake.url },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [[code], out, err] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)]);
  assert.equal(code, 0, err);
  return out;
}
const columnsOf = (table: string) =>
  table
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/));

test('hosts and storage of an endpoint are listed by name, and as they are with --json', {
  timeout: 60_000,
}, async () => {
  assert.deepEqual(columnsOf(await lmas(INVENTORY, 'host', 'list', 'vc')), [
    ['HOST', 'STATE', 'CLUSTER', 'CPUS', 'MEMORY', 'FREE', 'ID'],
    ['esx-1', 'connected', 'compute', '32', '64.0 GiB', '16.0 GiB', 'host-1'],
    ['esx-2', 'maintenance', '32', '64.0 GiB', '16.0 GiB', 'host-2'],
  ]);
  assert.deepEqual(columnsOf(await lmas(INVENTORY, 'storage', 'list', 'vc')), [
    ['STORAGE', 'STATE', 'SEEN BY', 'SIZE', 'FREE', 'ID'],
    ['local', 'usable', 'esx-1', '8.00 GiB', '1.00 GiB'],
    ['shared', 'not usable', 'several', 'unknown', 'unknown', 'ds-2'],
  ]);
  const { items } = JSON.parse(await lmas(INVENTORY, 'host', 'list', 'vc', '--json'));
  assert.deepEqual(items, [...INVENTORY.hosts].reverse());
});

test('a list of VMs says on which of several hosts each runs, and of one host nothing', {
  timeout: 60_000,
}, async () => {
  const [head, web, off] = columnsOf(await lmas(INVENTORY, 'vm', 'list', 'vc'));
  assert.deepEqual(
    [head?.slice(0, 3), web?.slice(0, 3), off?.[2]],
    [['VM', 'STATE', 'HOST'], ['web', 'running', 'esx-1'], '2'],
  );
  const [alone] = columnsOf(await lmas({ ...INVENTORY, hosts: INVENTORY.hosts.slice(0, 1) }, 'vm', 'list', 'vc'));
  assert.ok(alone?.includes('HOST') === false);
});
