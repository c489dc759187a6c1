/** MHz of cores and what a balloon has taken, as the balancing counts them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostLoadSchema, vmLoadSchema } from '../records.ts';
import { loadOf, runningVms } from './load.ts';

const host = (id: string, changes: Record<string, unknown> = {}) => ({
  ref: { type: 'HostSystem', value: id },
  record: hostLoadSchema.parse({
    ...{ name: id, 'runtime.connectionState': 'connected', 'runtime.inMaintenanceMode': false },
    ...{ 'summary.hardware.cpuMhz': 2_000, 'summary.hardware.numCpuCores': 8, 'summary.hardware.numCpuThreads': 16 },
    'summary.quickStats.overallCpuUsage': 4_000,
    ...changes,
  }),
});
const vm = (id: string, at: string, changes: Record<string, unknown> = {}) => ({
  ref: { type: 'VirtualMachine', value: id },
  record: vmLoadSchema.parse({
    ...{ 'config.instanceUuid': id, 'config.hardware.memoryMB': 1_024 },
    ...{ 'runtime.host': { type: 'HostSystem', value: at }, 'runtime.powerState': 'poweredOn' },
    ...{ 'runtime.connectionState': 'connected', 'summary.quickStats.overallCpuUsage': 1_000 },
    ...changes,
  }),
});
const MIB = 1024 ** 2;
const UNKNOWN: ReadonlyMap<string, number> = new Map();

test('a host that is used up uses all of its processors, as the inventory counts them', () => {
  const { host: all } = loadOf([host('h1', { 'summary.quickStats.overallCpuUsage': 16_000 })], [], UNKNOWN);
  assert.equal(all.cpuCores, 16);
  assert.equal(loadOf([host('h1'), host('h2')], [], UNKNOWN).host.cpuCores, 8);
});

test('a VM counts by its host, and has what its balloon has left it', () => {
  const { vms } = loadOf(
    [host('h1'), host('h2', { 'summary.hardware.numCpuThreads': 8 })],
    [vm('a', 'h1'), vm('b', 'h2', { 'summary.quickStats.balloonedMemory': 24 })],
    new Map([['VirtualMachine:b', 5_000]]),
  );
  const [first, second] = vms;
  assert.deepEqual([first?.cpuCores, first?.memoryBytes], [1, 1_024 * MIB]);
  assert.deepEqual([second?.cpuCores, second?.memoryBytes], [0.5, 1_000 * MIB]);
  assert.deepEqual([first?.networkBytesPerSec, first?.dirtyRateBytesPerSec], [null, null]);
  assert.equal(second?.networkBytesPerSec, 5_000);
});

test('what is not told is unknown, and of others than the site’s running VMs nothing is told', () => {
  const silent = { 'summary.quickStats.overallCpuUsage': undefined };
  const hosts = [host('h1'), host('h2', silent), host('h3', { 'runtime.inMaintenanceMode': true, ...silent })];
  const guests = [vm('a', 'h1', silent), vm('off', 'h1', { 'runtime.powerState': 'poweredOff' }), vm('other', 'h9')];
  const { host: all, vms } = loadOf(hosts, guests, UNKNOWN);
  assert.deepEqual(runningVms(hosts, guests), [{ type: 'VirtualMachine', value: 'a' }]);
  assert.equal(all.cpuCores, null);
  assert.deepEqual(
    vms.map(({ id, cpuCores }) => [id, cpuCores]),
    [['a', null]],
  );
});
