/** Each finding of the checks of plain Xen: one thing is changed at a host, and exactly that is found. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import type { MigrationContext, MigrationRequest } from '@lmas/plugin-api';
import { startSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { DOM0_SSHD, plugin, VM, type XlHost, XlWorld, xlMissing } from '../compliance/xl-world.ts';
import type { GuestConfig, HostSettings, ScriptedDomain } from '../lab/xl/host.ts';

const signal = AbortSignal.timeout(110_000);
const silent = () => undefined;
const context: MigrationContext = {
  log: { debug: silent, info: silent, warn: silent, error: silent },
  recordIntent: async () => undefined,
  assertCurrent: async () => undefined,
};

type Changes = Partial<Omit<MigrationRequest, 'options'>> & { readonly options?: object };
type Case = readonly [what: string, change: (world: XlWorld) => unknown, expected: string, changes?: Changes];

const set = ({ host }: XlHost, fields: Partial<HostSettings>): void => host.set({ ...host.settings, ...fields });
const setGuest = ({ source }: XlWorld, fields: Partial<ScriptedDomain>): Promise<void> =>
  source.host.change((domains) => domains.map((domain) => ({ ...domain, ...fields })));
const setConfig = (world: XlWorld, fields: Partial<GuestConfig>): Promise<void> =>
  setGuest(world, { config: { ...(world.source.host.domains()[0]?.config as GuestConfig), ...fields } });
const disk = (fields: object) => ({ disks: [{ pdev_path: '/dev/null', vdev: 'xvda', readwrite: 1, ...fields }] });
const addThere = ({ destination }: XlWorld, fields: Partial<ScriptedDomain>): Promise<number> =>
  destination.host.add({
    ...{ name: 'other', uuid: '00000000-0000-4000-8000-000000000001', memoryMib: 8, vcpus: 1 },
    ...{ state: 'running', config: null, ...fields },
  });

/** Puts back, whatever came of the test, what it has changed at a host. */
function restoring({ host }: XlHost): () => Promise<void> {
  const [settings, domains] = [host.settings, host.domains()];
  return async () => {
    host.set(settings);
    await host.change(() => domains);
  };
}

const cases: readonly Case[] = [
  ['a guest that does not run', (world) => setGuest(world, { state: 'paused' }), 'VM_NOT_RUNNING blocker'],
  [
    'a guest left half-way',
    (world) => setGuest(world, { name: `${VM.name}--migratedaway` }),
    'VM_BEING_MIGRATED blocker',
  ],
  ['a guest without configuration', (world) => setGuest(world, { config: null }), 'NO_CONFIGURATION blocker'],
  ['a PCI device', (world) => setConfig(world, { pcidevs: [{ bus: 1 }] }), 'PCI_DEVICE blocker'],
  ['an older Xen', ({ destination }) => set(destination, { version: '4.16.5' }), 'OLDER_VERSION blocker'],
  ['another processor', ({ destination }) => set(destination, { hwCaps: 'x' }), 'CPU_DIFFERS blocker'],
  [
    'another processor that was levelled',
    ({ destination }) => set(destination, { hwCaps: 'x' }),
    'CPU_DIFFERS warning',
    { options: { allowOtherCpu: true } },
  ],
  ['an xl that cannot resume', ({ source }) => set(source, { cannotResume: true }), 'CANNOT_RESUME warning'],
  ['memory that Dom0 holds', ({ destination }) => set(destination, { freeMib: 4 }), 'NOT_ENOUGH_MEMORY warning'],
  [
    'too little memory',
    ({ destination }) => set(destination, { freeMib: 4, totalMib: 512 }),
    'NOT_ENOUGH_MEMORY blocker',
  ],
  ['the same guest there', (world) => addThere(world, { uuid: VM.id }), 'VM_EXISTS blocker'],
  [
    'a copy that is being received, or was left',
    (world) => addThere(world, { uuid: VM.id, name: `${VM.name}--incoming`, state: 'paused' }),
    'COPY_THERE blocker',
  ],
  ['its name taken there', (world) => addThere(world, { name: VM.name }), 'NAME_EXISTS blocker'],
  ['a disk that is not shared', (world) => setConfig(world, disk({ pdev_path: '/srv/x' })), 'DISK_NOT_SHARED blocker'],
  [
    'a path that only begins like a shared one',
    (world) => setConfig(world, disk({ pdev_path: '/device' })),
    'DISK_NOT_SHARED blocker',
  ],
  [
    'a disk that is not there',
    (world) => setConfig(world, disk({ pdev_path: '/dev/nowhere' })),
    'DISK_MISSING blocker',
  ],
  ['a disk by script', (world) => setConfig(world, disk({ script: 'block-iscsi' })), 'DISK_BY_SCRIPT note'],
  ['a disk to be moved', silent, 'DISKS_STAY blocker', { diskMap: { xvda: '/dev/zero' } }],
  [
    'a bridge that is not there',
    (world) => setConfig(world, { nics: [{ bridge: 'xenbr9' }] }),
    'NETWORK_MISSING blocker',
  ],
  ['a network to be changed', silent, 'NETWORKS_STAY blocker', { networkMap: { lo: 'xenbr1' } }],
  ['a network that it is not in', silent, 'NETWORK_UNKNOWN blocker', { networkMap: { Lo: 'xenbr1' } }],
  ['a downtime that is asked for', silent, 'DOWNTIME_NOT_SET note', { maxDowntimeMs: 100 }],
  [
    'a bandwidth without the tunnel',
    silent,
    'BANDWIDTH_NOT_LIMITED warning',
    { bandwidthBytesPerSec: 1e6, tunnelled: false },
  ],
];

describe('checks of plain Xen', { skip: xlMissing() }, () => {
  const opened = new AsyncDisposableStack();
  let world: XlWorld;
  let ends: Awaited<ReturnType<XlWorld['connect']>>;
  let restore: (() => Promise<void>)[] = [];
  before(async () => {
    world = opened.use(await XlWorld.make(opened.use(await startSshd(DOM0_SSHD))));
    ends = await world.connect();
    for (const end of [ends.source, ends.destination]) opened.defer(() => end.close());
    restore = [world.source, world.destination].map(restoring);
  });
  afterEach(async () => {
    for (const putBack of restore) await putBack();
  });
  after(() => opened.disposeAsync());

  async function found({ options = {}, ...changes }: Changes = {}): Promise<string[]> {
    const request = {
      ...{ migrationId: 'm_1', vm: VM, networkMap: {}, diskMap: {}, convergence: 'balanced' as const },
      ...{ maxDowntimeMs: null, bandwidthBytesPerSec: null, tunnelled: true },
      ...changes,
      options: plugin.optionsSchema.parse(options),
    };
    const { findings } = await plugin.migration(ends, request, context).check({ signal });
    return findings.map(({ code, severity }) => `${code} ${severity}`);
  }

  test('nothing is found where nothing is wrong', async () => {
    assert.deepEqual(await found(), []);
  });

  for (const [what, change, expected, changes] of cases) {
    test(`${what}: ${expected}`, async () => {
      await change(world);
      assert.deepEqual(await found(changes), [expected]);
    });
  }

  test('prepare refuses what is not to be had, and touches nothing', async () => {
    const request = {
      ...{ migrationId: 'm_2', vm: VM, networkMap: {}, diskMap: {}, convergence: 'balanced' as const },
      ...{ maxDowntimeMs: null, bandwidthBytesPerSec: null, tunnelled: true, options: plugin.optionsSchema.parse({}) },
    };
    const domid = await addThere(world, { name: `${VM.name}--incoming`, uuid: VM.id, state: 'paused' });
    const driver = plugin.migration(ends, request, context);
    await assert.rejects(driver.prepare({ signal }), { code: 'NOT_MIGRATABLE' });
    assert.ok(world.destination.host.domains().some((domain) => domain.domid === domid));
    await driver.abort({ signal });
    assert.ok(
      world.destination.host.domains().some((domain) => domain.domid === domid),
      'somebody else’s',
    );
  });
});
