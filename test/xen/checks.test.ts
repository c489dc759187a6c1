/**
 * Each finding of the Xen plugin's checks: one thing is changed in a pool, and exactly that is found. What is not to be had
 * is refused by `prepare`, too, for the time between the two.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import type { MigrationContext, MigrationDriver, MigrationRequest } from '@lmas/plugin-api';
import { plugin, XenWorld } from '../compliance/xen-world.ts';
import type { ClassName, XapiRecord } from '../lab/xapi/database.ts';
import { addVbd, addVdi, addVif, emptyVm } from '../lab/xapi/model.ts';
import type { XapiPool } from '../lab/xapi/pool.ts';

const signal = AbortSignal.timeout(280_000);
const silent = () => undefined;
const context: MigrationContext = {
  log: { debug: silent, info: silent, warn: silent, error: silent },
  recordIntent: async () => undefined,
  assertCurrent: async () => undefined,
};
/** Always there through a tunnel: the dry run is made later. */
const LATER = 'DRY_RUN_LATER';

type Changes = Partial<Omit<MigrationRequest, 'options'>> & { readonly options?: object };

let world: XenWorld;
let ends: Awaited<ReturnType<XenWorld['connect']>>;

function driver({ options = {}, ...changes }: Changes = {}): MigrationDriver {
  const request = {
    ...{ migrationId: 'm_1', vm: world.vm, networkMap: {}, diskMap: {}, convergence: 'balanced' },
    ...{ maxDowntimeMs: null, bandwidthBytesPerSec: null, tunnelled: true },
    ...changes,
    options: plugin.optionsSchema.parse(options),
  } as Parameters<typeof plugin.migration>[1];
  return plugin.migration(ends, request, context);
}

/** What is found, as `code severity`. */
async function found(changes: Changes = {}): Promise<string[]> {
  const { findings } = await driver(changes).check({ signal });
  return findings.filter(({ code }) => code !== LATER).map(({ code, severity }) => `${code} ${severity}`);
}

const first = ({ database }: XapiPool, kind: ClassName): string => [...database.table(kind).keys()][0] ?? '';
const set = (pool: XapiPool, kind: ClassName, fields: XapiRecord, ref = first(pool, kind)): void =>
  pool.database.update(kind, ref, fields);
const vmRef = (): string => world.source.database.byUuid('VM', world.vm.id) ?? '';
const setVm = (fields: XapiRecord): void => set(world.source, 'VM', fields, vmRef());

/** Puts back, whatever came of the test, what it has changed of a pool and told it to do. */
function restoring({ database, faults }: XapiPool): () => void {
  const kinds: readonly ClassName[] = ['pool', 'host', 'host_metrics', 'network', 'PIF', 'SR', 'PBD'];
  const guests: readonly ClassName[] = ['VM', 'VM_guest_metrics', 'VBD', 'VDI', 'VIF'];
  const saved = [...kinds, ...guests].map((kind) => [kind, structuredClone(database.table(kind))] as const);
  return () => {
    delete faults.refuse;
    for (const [kind, rows] of saved) {
      database.table(kind).clear();
      for (const [ref, row] of structuredClone(rows)) database.table(kind).set(ref, row);
    }
  };
}

/** A snapshot with a disk and an interface of its own. */
function addSnapshot(): { readonly vdi: string; readonly vif: string } {
  const { database } = world.source;
  const ref = database.add(
    'VM',
    emptyVm({
      uuid: 'snapshot',
      name_label: 'before',
      is_a_snapshot: true,
      memory_static_max: 1,
      memory_dynamic_min: 1,
      memory_dynamic_max: 1,
    }),
  );
  const vdi = addVdi(database, first(world.source, 'SR'), {
    uuid: 'vdi-of-snapshot',
    name_label: 'old',
    virtual_size: 1024,
  });
  addVbd(database, ref, vdi, '0');
  addVif(database, ref, database.byName('network', 'lan'), '0');
  const { snapshots } = database.need('VM', vmRef());
  setVm({ snapshots: [...(snapshots as string[]), ref] });
  return { vdi, vif: (database.need('VM', ref).VIFs as string[])[0] ?? '' };
}

function insertDisc(): void {
  const { database } = world.source;
  const disc = addVdi(database, first(world.source, 'SR'), { uuid: 'disc', name_label: 'iso', virtual_size: 1024 });
  addVbd(database, vmRef(), disc, '3');
  const [vbd = ''] = database.find('VBD', ({ VDI }) => VDI === disc) ?? [];
  database.update('VBD', vbd, { type: 'CD', empty: false });
}

/** Another one at the destination, as the first or the one of that name is. */
function addTwin(kind: ClassName, fields: XapiRecord, like?: string): void {
  const { database } = world.destination;
  const ref = like === undefined ? first(world.destination, kind) : database.byName(kind, like);
  database.add(kind, { ...database.need(kind, ref), uuid: `twin-${kind}`, ...fields });
}

const addThere = (fields: XapiRecord): string =>
  world.destination.database.add(
    'VM',
    emptyVm({ memory_static_max: 1, memory_dynamic_min: 1, memory_dynamic_max: 1, ...fields }),
  );

const setLicence = (pool: XapiPool, host: string): void =>
  set(pool, 'host', { license_params: { restrict_storage_xen_motion: 'true' } }, pool.database.byName('host', host));

const MIB = 1024 ** 2;
const cases: readonly (readonly [what: string, change: () => void, expected: string, changes?: Changes])[] = [
  [
    'a disk with changed-block tracking',
    () => set(world.source, 'VDI', { cbt_enabled: true }),
    'CHANGED_BLOCK_TRACKING blocker',
  ],
  ['a disk that is reset at boot', () => set(world.source, 'VDI', { on_boot: 'reset' }), 'DISK_RESETS blocker'],
  [
    'a disk with changed-block tracking that stays on storage which both pools see',
    () => {
      set(world.source, 'VDI', { cbt_enabled: true });
      const { uuid = '' } = world.source.database.need('SR', first(world.source, 'SR'));
      set(world.destination, 'SR', { uuid });
    },
    'CHANGED_BLOCK_TRACKING blocker',
  ],
  ['an encrypted disk', () => set(world.source, 'VDI', { sm_config: { key_hash: 'x' } }), 'DISK_ENCRYPTED blocker'],
  ['a disc in a drive', insertDisc, 'DISC_INSERTED warning'],
  ['a PCI device', () => setVm({ attached_PCIs: ['OpaqueRef:pci'] }), 'PCI_DEVICE blocker'],
  ['a USB device', () => setVm({ VUSBs: ['OpaqueRef:usb'] }), 'USB_DEVICE blocker'],
  ['a virtual GPU', () => setVm({ VGPUs: ['OpaqueRef:gpu'] }), 'VIRTUAL_GPU warning'],
  ['high availability', () => setVm({ ha_restart_priority: 'restart' }), 'HA_PROTECTED warning'],
  ['a manager of its own', () => setVm({ other_config: { nova_uuid: 'x' } }), 'VM_MANAGED warning'],
  [
    'no drivers in the guest',
    () => set(world.source, 'VM_guest_metrics', { PV_drivers_detected: false, other: {} }),
    'NO_GUEST_DRIVERS warning',
  ],
  ['another operation', () => setVm({ current_operations: { 'OpaqueRef:task': 'snapshot' } }), 'VM_BUSY blocker'],
  [
    'another migration',
    () => setVm({ current_operations: { 'OpaqueRef:task': 'migrate_send' } }),
    'VM_BEING_MIGRATED blocker',
  ],
  ['a VM that does not run', () => setVm({ power_state: 'Halted' }), 'VM_NOT_RUNNING blocker'],
  [
    'the mark of an earlier migration',
    () => setVm({ other_config: { 'lmas-migration': 'm_0 2026-01-01T00:00:00Z -' } }),
    'EARLIER_MIGRATION blocker',
  ],
  [
    'an older host',
    () => {
      for (const ref of world.destination.database.table('host').keys())
        set(world.destination, 'host', { software_version: { platform_version: '3.2.1' } }, ref);
    },
    'OLDER_VERSION blocker',
  ],
  [
    'a disabled host',
    () => set(world.destination, 'host', { enabled: false }),
    'HOST_NOT_READY blocker',
    { options: { destinationHost: 'beta-1' } },
  ],
  [
    'too little memory',
    () => {
      for (const ref of world.destination.database.table('host_metrics').keys())
        set(world.destination, 'host_metrics', { memory_free: MIB }, ref);
    },
    'NOT_ENOUGH_MEMORY blocker',
  ],
  [
    'memory that has to be squeezed out',
    () => {
      setVm({ memory_dynamic_min: MIB });
      for (const ref of world.destination.database.table('host_metrics').keys())
        set(world.destination, 'host_metrics', { memory_free: 2 * MIB }, ref);
    },
    'NOT_ENOUGH_MEMORY warning',
  ],
  [
    'memory that other guests there have to give',
    () => {
      const { database } = world.destination;
      const grown = { power_state: 'Running', memory_dynamic_max: 64 * MIB };
      for (const [ref, { metrics }] of database.table('host')) {
        addThere({ uuid: `balloon-${ref}`, name_label: 'balloon', ...grown, resident_on: ref });
        set(world.destination, 'host_metrics', { memory_free: MIB }, String(metrics));
      }
    },
    'NOT_ENOUGH_MEMORY warning',
  ],
  [
    'memory of which XAPI does not say whether it is enough',
    () => {
      for (const ref of world.destination.database.table('host_metrics').keys())
        set(world.destination, 'host_metrics', { memory_free: MIB }, ref);
      world.destination.faults.refuse = { method: 'host.compute_free_memory', code: 'HOST_OFFLINE' };
    },
    'NOT_ENOUGH_MEMORY warning',
  ],
  ['more processors than there are', () => setVm({ VCPUs_max: 9 }), 'NOT_ENOUGH_CPUS blocker'],
  [
    'a licence without Storage XenMotion, of another host than the receiving one',
    () => setLicence(world.destination, 'beta-2'),
    'LICENCE blocker',
    { options: { destinationHost: 'beta-1' } },
  ],
  [
    'a licence of the sending host without it, and no disk to copy',
    () => {
      setLicence(world.source, 'alpha-1');
      setVm({ VBDs: [] });
    },
    'LICENCE blocker',
  ],
  [
    'full storage',
    () => set(world.destination, 'SR', { physical_size: MIB, physical_utilisation: 0 }),
    'NOT_ENOUGH_STORAGE blocker',
  ],
  [
    'storage that hangs on no host',
    () => {
      for (const ref of world.destination.database.table('PBD').keys())
        set(world.destination, 'PBD', { currently_attached: false }, ref);
    },
    'STORAGE_NOT_ATTACHED blocker',
  ],
  ['storage that is not there', silent, 'STORAGE_NOT_MAPPED blocker', { diskMap: { xvda: 'nowhere' } }],
  [
    'no default storage',
    () => set(world.destination, 'pool', { default_SR: 'OpaqueRef:NULL' }),
    'STORAGE_NOT_MAPPED blocker',
  ],
  [
    'storage of which there are two of that name',
    () => addTwin('SR', { name_label: 'storage of beta' }),
    'STORAGE_NOT_MAPPED blocker',
    { diskMap: { xvda: 'storage of beta', xvdb: 'storage of beta' } },
  ],
  [
    'a network of which there are two of that name',
    () => addTwin('network', { name_label: 'lan' }, 'lan'),
    'NETWORK_NOT_MAPPED blocker',
  ],
  [
    'a host of which there are two of that name',
    () => {
      for (const ref of world.destination.database.table('host').keys())
        set(world.destination, 'host', { name_label: 'beta' }, ref);
    },
    'NO_DESTINATION_HOST blocker',
    { options: { destinationHost: 'beta' } },
  ],
  [
    'a migration network of which there are two of that name',
    () => addTwin('network', { name_label: 'migration' }, 'migration'),
    'NO_MIGRATION_ADDRESS blocker',
  ],
  ['a disk that the VM does not have', silent, 'DISK_UNKNOWN blocker', { diskMap: { xvdz: 'storage of beta' } }],
  ['a network that is not there', silent, 'NETWORK_NOT_MAPPED blocker', { networkMap: { lan: 'nowhere' } }],
  ['a network that the VM is not in', silent, 'NETWORK_UNKNOWN blocker', { networkMap: { Lan: 'migration' } }],
  ['a host that is not there', silent, 'NO_DESTINATION_HOST blocker', { options: { destinationHost: 'gamma-1' } }],
  [
    'no address in the migration network',
    () => {
      for (const ref of world.destination.database.table('PIF').keys()) set(world.destination, 'PIF', { IP: '' }, ref);
    },
    'NO_MIGRATION_ADDRESS blocker',
  ],
  ['the same VM there', () => addThere({ uuid: world.vm.id, name_label: 'other' }), 'VM_EXISTS blocker'],
  [
    'another VM of that name there',
    () => addThere({ uuid: 'other', name_label: world.vm.name }),
    'NAME_EXISTS warning',
  ],
  ['a downtime that is asked for', silent, 'DOWNTIME_NOT_SET note', { maxDowntimeMs: 100 }],
  [
    'many snapshots',
    () => {
      for (let i = 0; i < 2; i += 1) addSnapshot();
    },
    'MANY_SNAPSHOTS warning',
  ],
];

describe('checks of the Xen plugin', () => {
  const opened = new AsyncDisposableStack();
  let restore: (() => void)[] = [];
  before(async () => {
    world = opened.use(await XenWorld.make());
    ends = await world.connect();
    restore = [world.source, world.destination].map(restoring);
  });
  afterEach(() => {
    for (const putBack of restore) putBack();
  });
  after(() => opened.disposeAsync());

  test('nothing is found where nothing is wrong', async () => {
    assert.deepEqual(await found(), []);
  });

  for (const [what, change, expected, changes] of cases) {
    test(`${what}: ${expected}`, async () => {
      change();
      assert.deepEqual([...new Set(await found(changes))], [expected]);
    });
  }

  test('of a disk that the VM does not have those are told that it has; full storage, by which settings to choose another', async () => {
    const remedyOf = async (changes: Changes) => (await driver(changes).check({ signal })).findings[0]?.remedy ?? '';
    assert.match(await remedyOf({ diskMap: { xvdz: 'storage of beta' }, tunnelled: false }), /its disks are \w+/);
    set(world.destination, 'SR', { physical_size: MIB, physical_utilisation: 0 });
    assert.match(await remedyOf({ tunnelled: false }), /diskMap.*option defaultStorage/);
  });

  test('a transparent route is told by the commands that make it, with the addresses that there are', async () => {
    const options = { destinationHost: 'beta-2', route: 'transparent' };
    const tunnel = { encrypts: true, nextHops: { source: '127.0.9.5', destination: '127.0.9.6' } };
    const one = driver({ options, tunnel });
    const { transparentFlows = [] } = await one.prepare({ signal });
    const pairs = transparentFlows.flatMap((flow) => flow.pairs);
    const remedyOf = async (each: MigrationDriver) =>
      (await each.check({ signal })).findings.find(({ code }) => code === 'HOST_ROUTES_NEEDED')?.remedy ?? '';
    const remedy = await remedyOf(one);
    assert.ok(pairs.length > 0);
    for (const { source, destination } of pairs) {
      assert.ok(remedy.includes(`ip route add ${destination}/32 via 127.0.9.5`), remedy);
      assert.ok(remedy.includes(`ip route add ${source}/32 via 127.0.9.6`), remedy);
    }
    assert.match(await remedyOf(driver({ options })), /via GATEWAY/);
    assert.equal(await remedyOf(driver()), '');
    assert.equal(await remedyOf(driver({ options, tunnelled: false })), '');
  });

  test('a bandwidth limit is the tunnel’s', async () => {
    assert.ok((await found({ tunnelled: false, bandwidthBytesPerSec: 1e6 })).includes('BANDWIDTH_NOT_LIMITED warning'));
    assert.deepEqual(await found({ bandwidthBytesPerSec: 1e6 }), []);
  });

  test('disks and interfaces of snapshots are mapped, and a snapshot’s disk goes where the guest’s goes', async () => {
    const { vdi, vif } = addSnapshot();
    const other = world.destination.database.add('SR', {
      ...world.destination.database.need('SR', first(world.destination, 'SR')),
      uuid: 'other-sr',
      name_label: 'other',
    });
    world.source.faults.refuse = { method: 'Async.VM.migrate_send', code: 'OPERATION_NOT_ALLOWED' };
    const move = driver({ diskMap: { xvda: 'other' }, tunnelled: false });
    const prepared = await move.prepare({ signal });
    await assert.rejects(
      move.perform(prepared, {}, { signal, onProgress: silent, onPointOfNoReturn: async () => undefined }),
    );
    const [, , , vdiMap, vifMap] = world.source.lastParams('Async.VM.migrate_send') as [
      string,
      object,
      boolean,
      Record<string, string>,
      Record<string, string>,
    ];
    assert.equal(vdiMap[vdi], other);
    assert.equal(Object.keys(vdiMap).length, 3);
    assert.equal(vifMap[vif], world.destination.database.byName('network', 'lan'));
  });

  test('it says what only one migration at a time can have: addresses of the gateway, or the way to the receiving host', async () => {
    const report = async (changes: Changes) => {
      const one = driver(changes);
      const { hosts, gatewayAddresses } = await one.check({ signal });
      const { flows } = await one.prepare({ signal });
      assert.equal(new Set(flows.map(({ addressGroup }) => addressGroup)).size, gatewayAddresses ?? 0);
      return { hosts, gatewayAddresses };
    };
    const options = { destinationHost: 'beta-2' };
    set(world.destination, 'SR', { shared: false }); // which leads nowhere else
    assert.deepEqual(await report({ options }), { hosts: undefined, gatewayAddresses: 1 });
    const relayed = { ...options, relayCoordinator: true };
    assert.deepEqual(await report({ options: relayed }), { hosts: undefined, gatewayAddresses: 2 });
    const { database } = world.destination;
    const hosts = {
      source: world.source.database.need('pool', first(world.source, 'pool')).uuid,
      destination: database.need('host', database.byName('host', 'beta-2')).uuid,
    };
    const intercepted = { ...options, route: 'transparent' };
    assert.deepEqual(await report({ options: intercepted }), { hosts, gatewayAddresses: undefined });
    const direct = await driver({ options, tunnelled: false }).check({ signal });
    assert.deepEqual([direct.hosts, direct.gatewayAddresses], [hosts, undefined]);
  });

  test('the host of the check is the host of the migration, unless it can receive no more', async () => {
    const memory = (name: string, free: number) => {
      const { database } = world.destination;
      const { metrics } = database.need('host', database.byName('host', name));
      database.update('host_metrics', String(metrics), { memory_free: free });
    };
    const hostOf = async (one: MigrationDriver) =>
      ((await one.prepare({ signal })).state as { hostName: string }).hostName;
    set(world.destination, 'SR', { shared: false });
    memory('beta-1', 64 * 1024 ** 3);
    const one = driver();
    await one.check({ signal });
    memory('beta-1', 1024 ** 3);
    assert.equal(await hostOf(one), 'beta-1');
    assert.equal(await hostOf(driver()), 'beta-2');
    const { database } = world.destination;
    set(world.destination, 'host', { enabled: false }, database.byName('host', 'beta-1'));
    assert.equal(await hostOf(one), 'beta-2');
  });

  test('a VM that a record calls halted is looked for before anybody starts it', async () => {
    setVm({ power_state: 'Halted' });
    const lookFirst = /^See first that it runs nowhere: xl list -v at every host of both pools/;
    const { findings } = await driver().check({ signal });
    assert.match(findings.find(({ code }) => code === 'VM_NOT_RUNNING')?.remedy ?? '', lookFirst);
    await assert.rejects(driver().prepare({ signal }), { code: 'NOT_MIGRATABLE', remedy: lookFirst });
  });

  const refused: readonly (readonly [what: string, change: () => void, code: string])[] = [
    ['another operation', () => setVm({ current_operations: { 'OpaqueRef:task': 'snapshot' } }), 'BUSY'],
    ['a VM that does not run', () => setVm({ power_state: 'Halted' }), 'NOT_MIGRATABLE'],
    ['the same VM there', () => addThere({ uuid: world.vm.id, name_label: 'other' }), 'NOT_MIGRATABLE'],
  ];
  for (const [what, change, code] of refused) {
    test(`prepare refuses ${what}: ${code}`, async () => {
      change();
      await assert.rejects(driver().prepare({ signal }), { code });
    });
  }
});
