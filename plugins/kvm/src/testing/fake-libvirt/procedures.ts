/** What each procedure does at a scripted daemon; what it does not know it refuses. */
import { uuidText } from '../../client.ts';
import { readDefinition } from '../../definition/definition.ts';
import {
  ABORT_JOB,
  DIRTY_RATE,
  DOMAIN_STATS,
  ERROR,
  JOB,
  LIST_POOLS,
  MIGRATE,
  OPERATION,
  POOL_STATE,
  RUNNING,
  SHUTOFF,
  STATE,
  UNDEFINE,
} from '../../rpc/constants.ts';
import type { ArgsOf, ProcedureName } from '../../rpc/procedures.ts';
import { numberOf, stringOf, type TypedParam } from '../../rpc/typed-params.ts';
import { beginBackup, endBackup } from './backups.ts';
import type { FakeConnection } from './connection.ts';
import { domainOf, type Guest, guestXml } from './guest.ts';
import type { FakeHost, FakePool } from './host.ts';
import { Refusal } from './refusal.ts';

export type Procedures = {
  [N in ProcedureName]?: (args: ArgsOf<N>, connection: FakeConnection) => unknown;
};

export const proceduresOf = (host: FakeHost): Procedures => ({
  ...aboutTheHost(host),
  ...aboutGuests(host),
  ...aboutMigrations(host),
  ...aboutDrills(host),
});

const aboutTheHost = (host: FakeHost): Procedures => ({
  authList: () => ({ types: [0] }),
  connectOpen: () => undefined,
  connectSupportsFeature: () => ({ supported: 1 }),
  connectGetLibVersion: () => ({ version: host.libvirtVersion }),
  connectGetVersion: () => ({ version: 7_002_000n }),
  connectGetHostname: () => ({ hostname: host.name }),
  connectGetCapabilities: () => ({ xml: `<capabilities><host><uuid>${host.name}</uuid></host></capabilities>` }),
  connectGetDomainCapabilities: () => ({ xml: '<domainCapabilities/>' }),
  connectListAllNetworks: () => {
    const networks = [...host.networks.keys()].map((name) => ({ name, uuid: Buffer.alloc(16) }));
    return { networks, count: networks.length };
  },
  connectListAllStoragePools: ({ flags }) => {
    const isListed = ({ state, isNetworked }: FakePool) =>
      state !== POOL_STATE.inactive && ((flags & LIST_POOLS.networked) === 0 || isNetworked);
    const pools = [...host.pools].filter(([, pool]) => isListed(pool));
    return { pools: pools.map(([name]) => ({ name, uuid: Buffer.alloc(16) })), count: pools.length };
  },
  storagePoolGetInfo: ({ pool: { name } }) => {
    const pool = host.pools.get(name);
    if (pool === undefined) throw new Refusal(ERROR.NO_STORAGE_POOL, 'no pool');
    return pool;
  },
  networkGetXmlDesc: ({ network }) => ({ xml: host.networks.get(network.name) ?? '' }),
  connectListAllDomains: () => {
    const domains = [...host.guests.values()].map((guest) => domainOf(guest));
    return { domains, count: domains.length };
  },
  nodeGetCpuStats: ({ nparams }) => {
    const cpuNs = BigInt(Math.round(performance.now() * 1e6)); // one core busy, three idle
    const counters = { kernel: 0n, user: cpuNs, idle: 3n * cpuNs, iowait: 0n };
    const stats = Object.entries(counters).map(([field, value]) => ({ field, value }));
    if (nparams !== 0 && nparams !== stats.length) throw new Refusal(ERROR.INVALID_ARG, 'another number of values');
    return { stats: nparams === 0 ? [] : stats, nparams: stats.length };
  },
  connectGetAllDomainStats: ({ domains, stats }) => {
    const cpuNs = BigInt(Math.round(performance.now() * 5e5)); // half a core
    const params: TypedParam[] = [
      { field: 'cpu.time', type: 'ullong', value: cpuNs },
      { field: 'balloon.current', type: 'ullong', value: 65_536n },
      { field: 'net.count', type: 'uint', value: 1 },
      { field: 'net.0.rx.bytes', type: 'ullong', value: cpuNs },
      { field: 'net.0.tx.bytes', type: 'ullong', value: 7n },
    ];
    const asked = domains.map(({ uuid }) => uuidText(uuid));
    const running = [...host.guests.values()].filter(
      ({ uuid, state }) => state === STATE.running && (asked.length === 0 || asked.includes(uuid)),
    );
    const wantsRates = (stats & DOMAIN_STATS.dirtyRate) !== 0;
    if (wantsRates && running.some(({ uuid }) => host.withoutDirtyRates.has(uuid))) {
      throw new Refusal(ERROR.INTERNAL_ERROR, "unable to execute QEMU command 'query-dirty-rate'");
    }
    return {
      records: running.map((guest) => ({
        domain: domainOf(guest),
        params: wantsRates ? [...params, ...dirtyRateOf(guest)] : params,
      })),
    };
  },
  nodeGetFreeMemory: () => ({ bytes: host.freeMemoryBytes }),
  nodeGetInfo: () => ({
    ...{ model: Array.from({ length: 32 }, () => 0), memoryKib: 16_777_216n, cpus: 4 },
    ...{ mhz: 2000, nodes: 1, sockets: 1, cores: 4, threads: 1 },
  }),
});

/** A measurement goes on for one look. */
function dirtyRateOf({ dirtyRate }: Guest): TypedParam[] {
  const status =
    dirtyRate === null ? DIRTY_RATE.unstarted : dirtyRate.isOver ? DIRTY_RATE.measured : DIRTY_RATE.measuring;
  const params: TypedParam[] = [{ field: 'dirtyrate.calc_status', type: 'int', value: status }];
  if (dirtyRate === null) return params;
  const mibPerSec = dirtyRate.isOver ? BigInt(dirtyRate.mibPerSec) : -1n;
  dirtyRate.isOver = true;
  return [...params, { field: 'dirtyrate.megabytes_per_second', type: 'llong', value: mibPerSec }];
}

const aboutGuests = (host: FakeHost): Procedures => ({
  domainLookupByUuid: ({ uuid }) => ({ domain: domainOf(host.guest(uuidText(uuid))) }),
  domainLookupByName: ({ name }) => {
    const guest = [...host.guests.values()].find((candidate) => candidate.name === name);
    if (guest === undefined) throw new Refusal(ERROR.NO_DOMAIN, 'no such domain');
    return { domain: domainOf(guest) };
  },
  domainGetState: ({ domain }) => {
    const { state, reason } = host.guestOf(domain);
    return { state, reason };
  },
  domainIsPersistent: ({ domain }) => ({ persistent: host.guestOf(domain).persistent ? 1 : 0 }),
  domainGetXmlDesc: ({ domain }) => ({ xml: guestXml(host.guestOf(domain), host.files) }),
  domainGetBlockInfo: () => ({ allocation: 65_536n, capacity: host.capacityBytes, physical: 65_536n }),
  domainListAllSnapshots: () => ({ snapshots: [], count: host.snapshots }),
  domainListAllCheckpoints: ({ domain }) => ({ checkpoints: [], count: host.guestOf(domain).checkpoints }),
  domainGetJobStats: ({ domain }) => {
    const { job, foreignJob, backup } = host.guestOf(domain);
    if (job?.kind === 'in') throw new Refusal(ERROR.OPERATION_UNSUPPORTED, 'only on the source host');
    const counts = {
      data_total: 100,
      data_remaining: host.remainingBytes,
      memory_iteration: host.iteration,
      ...host.moreCounts,
    };
    const params = Object.entries(counts).map(
      ([field, value]): TypedParam => ({ field, type: 'ullong', value: BigInt(value) }),
    );
    const other = backup === null ? foreignJob : OPERATION.backup;
    if (job === null && other === null) return { type: JOB.none, params: [] };
    const operation: TypedParam = { field: 'operation', type: 'int', value: other ?? OPERATION.migrationOut };
    return { type: JOB.unbounded, params: [operation, ...params] };
  },
  storagePoolLookupByTargetPath: () => {
    throw new Refusal(ERROR.NO_STORAGE_POOL, 'no pool');
  },
  domainGetAutostart: ({ domain }) => ({ autostart: host.guestOf(domain).autostart ? 1 : 0 }),
  domainSetAutostart: ({ domain, autostart }) => {
    const guest = host.guestOf(domain);
    if (!guest.persistent) throw new Refusal(ERROR.OPERATION_INVALID, 'cannot set autostart for transient domain');
    if (guest.job !== null) throw new Refusal(ERROR.OPERATION_TIMEOUT, 'cannot acquire state change lock');
    guest.autostart = autostart !== 0;
  },
  connectDomainEventCallbackRegisterAny: () => ({ callbackId: 1 }),
  domainStartDirtyRateCalc: ({ domain }) => {
    if (host.libvirtVersion < 7_002_000n) throw new Refusal(ERROR.RPC, 'unknown procedure: 427');
    const guest = host.guestOf(domain);
    if (guest.state !== STATE.running) throw new Refusal(ERROR.OPERATION_INVALID, 'domain is not running');
    if (host.withoutDirtyRates.has(guest.uuid)) throw new Refusal(ERROR.CONFIG_UNSUPPORTED, 'QEMU does not support it');
    if (guest.job !== null || guest.foreignJob !== null || guest.backup !== null)
      throw new Refusal(ERROR.OPERATION_TIMEOUT, 'cannot acquire state change lock');
    guest.dirtyRate = { mibPerSec: host.dirtyMibPerSec, isOver: false };
  },
  domainMigrateSetMaxDowntime: () => undefined,
  domainMigrateSetMaxSpeed: () => undefined,
  domainDestroy: ({ domain }) => host.stop(host.guestOf(domain), SHUTOFF.destroyed),
  domainResume: ({ domain }) => {
    const guest = host.guestOf(domain);
    if (guest.state !== STATE.paused) throw new Refusal(ERROR.OPERATION_INVALID, 'not paused');
    if (guest.job !== null) throw new Refusal(ERROR.OPERATION_TIMEOUT, 'cannot acquire state change lock');
    host.set(guest, STATE.running, RUNNING.unknown);
  },
  domainUndefineFlags: ({ domain, flags }) => {
    const guest = host.guestOf(domain);
    if ((flags & UNDEFINE.checkpointsMetadata) !== 0 && host.libvirtVersion < 5_006_000n) {
      throw new Refusal(ERROR.INVALID_ARG, 'unsupported flags (0x10) in function qemuDomainUndefineFlags');
    }
    if (guest.checkpoints > 0 && guest.state === STATE.shutOff && (flags & UNDEFINE.checkpointsMetadata) === 0) {
      throw new Refusal(ERROR.OPERATION_INVALID, `cannot delete inactive domain with ${guest.checkpoints} checkpoints`);
    }
    if (guest.hasManagedSave && (flags & UNDEFINE.managedSave) === 0)
      throw new Refusal(ERROR.OPERATION_INVALID, 'Refusing to undefine while domain managed save image exists');
    guest.persistent = false;
    guest.autostart = false;
    if (guest.state === STATE.shutOff) host.guests.delete(guest.uuid);
  },
});

const aboutMigrations = (host: FakeHost): Procedures => ({
  domainAbortJob: ({ domain }) => {
    const guest = host.guestOf(domain);
    if (guest.backup !== null) {
      endBackup(guest.backup);
      guest.backup = null;
      return;
    }
    if (guest.foreignJob !== null) {
      guest.foreignJob = null;
      host.world.violations.push(`${host.name} was told to abort a job of ${guest.uuid} that is no migration`);
      return;
    }
    if (guest.job === null) throw new Refusal(ERROR.OPERATION_INVALID, 'no job is active on the domain');
    if (guest.postCopy) throw new Refusal(ERROR.OPERATION_INVALID, 'cannot abort migration in post-copy mode');
    host.migrations.abort();
  },
  domainMigrateStartPostCopy: ({ domain }) => {
    const guest = host.guestOf(domain);
    const incoming = host.migrations.peerOf(guest);
    if (guest.job?.phase !== 'performing' || incoming === undefined || guest.postCopy) {
      throw new Refusal(ERROR.OPERATION_INVALID, 'post-copy can only be started while migration is in progress');
    }
    guest.life += 1;
    incoming.guest.life = guest.life + 1;
    incoming.guest.persistent = true;
    host.migrations.setPostCopy(guest, incoming, 'under-way');
  },
  domainAbortJobFlags: ({ domain, flags }) => {
    const guest = host.guestOf(domain);
    if (flags !== ABORT_JOB.postCopy || !guest.postCopy) throw new Refusal(ERROR.OPERATION_INVALID, 'not in post-copy');
    host.migrations.setPostCopy(guest, host.migrations.peerOf(guest), 'broken');
  },
  domainMigrateBegin3Params: ({ domain, params, flags }, owner) => {
    assertCompression(params, flags);
    const guest = host.guestOf(domain);
    if (guest.job !== null || guest.foreignJob !== null || guest.backup !== null)
      throw new Refusal(ERROR.OPERATION_TIMEOUT, 'another job');
    // A job whose owner is gone by then is dropped at once.
    if ((flags & MIGRATE.changeProtection) !== 0 && owner.open) guest.job = { kind: 'out', owner, phase: 'begun' };
    return { cookie: Buffer.from(`${guest.uuid}\0`), xml: guestXml(guest, host.files) };
  },
  domainMigratePrepare3Params: ({ params, cookie, flags }, owner) => {
    assertCompression(params, flags);
    const uuid = cookie.toString('utf8').slice(0, 36);
    if (host.guests.has(uuid)) throw new Refusal(ERROR.OPERATION_FAILED, 'domain exists');
    host.migrations.prepareIncoming(uuid, nameIn(params), owner);
    return { cookie, uri: null };
  },
  domainMigratePerform3Params: (args, owner) => {
    assertCompression(args.params, args.flags);
    return host.migrations.perform(args, owner);
  },
  domainMigrateFinish3Params: ({ params, flags, cancelled }) => {
    const name = stringOf(params, 'destination_name');
    const guest = [...host.guests.values()].find((candidate) => candidate.name === name);
    if (guest?.job?.kind !== 'in') throw new Refusal(ERROR.OPERATION_INVALID, 'domain is not being migrated');
    return host.migrations.finish(guest, flags, cancelled !== 0);
  },
  domainMigrateConfirm3Params: ({ domain, cancelled }) => {
    const guest = host.guestOf(domain);
    guest.job = null;
    if (cancelled === 0) host.stop(guest, SHUTOFF.migrated);
    else if (guest.state === STATE.paused) host.set(guest, STATE.running, RUNNING.migrationCanceled);
  },
});

/** qemuMigrationParamsSetCompression, and what QEMU says of the size. */
function assertCompression(params: readonly TypedParam[], flags: number): void {
  const method = stringOf(params, 'compression');
  const cacheBytes = numberOf(params, 'compression.xbzrle.cache');
  if (method !== undefined && (flags & MIGRATE.parallel) !== 0)
    throw new Refusal(ERROR.INVALID_ARG, `Compression method '${method}' isn't supported with parallel migration`);
  if (cacheBytes === undefined) return;
  if (method !== 'xbzrle') throw new Refusal(ERROR.INVALID_ARG, 'Turn xbzrle compression on to tune it');
  if (cacheBytes < 4096 || !Number.isInteger(Math.log2(cacheBytes)))
    throw new Refusal(ERROR.INTERNAL_ERROR, 'xbzrle_cache_size: not a power of two no less than the target page size');
}

const aboutDrills = (host: FakeHost): Procedures => ({
  domainBackupBegin: ({ domain, backupXml }) => {
    const guest = host.guestOf(domain);
    guest.backup = beginBackup(guest, backupXml, guestXml(guest, host.files));
  },
  domainBackupGetXmlDesc: ({ domain }) => {
    const { backup } = host.guestOf(domain);
    if (backup === null) throw new Refusal(ERROR.NO_DOMAIN_BACKUP, 'no domain backup job present');
    return { xml: backup.xml };
  },
  domainCreateXml: ({ xml }) => {
    const { name, uuid } = readDefinition(xml);
    if (host.guests.has(uuid)) throw new Refusal(ERROR.OPERATION_FAILED, 'domain exists');
    host.addGuest(name, uuid);
    const guest = host.guest(uuid);
    Object.assign(guest, { xml, persistent: false });
    return { domain: domainOf(guest) };
  },
  domainDefineXml: ({ xml }) => {
    const { name, uuid } = readDefinition(xml);
    const twin = [...host.guests.values()].find((guest) => guest.name === name && guest.uuid !== uuid);
    if (twin !== undefined) throw new Refusal(ERROR.OPERATION_FAILED, `domain '${name}' already exists`);
    host.define(name, uuid, xml);
    return { domain: domainOf(host.guest(uuid)) };
  },
  secretLookupByUuid: ({ uuid }) => {
    if (!host.secrets.has(uuidText(uuid))) throw new Refusal(ERROR.NO_SECRET, 'no secret with matching uuid');
    return { secret: { uuid, usageType: 1, usageId: '/images/vda.img' } };
  },
  domainHasManagedSaveImage: ({ domain }) => ({ result: host.guestOf(domain).hasManagedSave ? 1 : 0 }),
  storagePoolLookupByName: () => {
    throw new Refusal(ERROR.NO_STORAGE_POOL, 'no pool');
  },
});

const nameIn = (params: readonly TypedParam[]): string =>
  /<name>([^<]*)<\/name>/.exec(stringOf(params, 'destination_xml') ?? '')?.[1] ?? '';
