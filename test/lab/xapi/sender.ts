/**
 * The source's half of `VM.migrate_send` and `VM.pool_migrate`: API calls to the destination's coordinator, each disk, the guest's
 * description, and the memory with xenopsd's synchronisation points.
 *
 * Invariant: the guest stops here before the destination is told to start it.
 */
import type { CallContext } from './calls.ts';
import type { Sending } from './checked-stream.ts';
import { type Field, NULL_REF, type XapiRecord } from './database.ts';
import { Fault } from './fault.ts';
import { removeVm } from './model.ts';
import type { XapiPool } from './pool.ts';
import { type Disk, Route } from './route.ts';
import type { Running } from './tasks.ts';

export interface SendFaults {
  bytesPerSec: number;
  /** Ends with an error there; from `given` on the guest runs at the destination all the same. */
  failAt?: Stage | undefined;
  /** Stands still there until it is taken away. */
  holdAt?: Stage | undefined;
  /** Called when a stage begins. */
  onStage?: ((stage: Stage) => void) | undefined;
}

/** `given`: the guest runs at the destination, whose tool stack does not know it yet; `arrived`: it does. */
export type Stage = 'disks' | 'memory' | 'given' | 'arrived';

interface Move {
  readonly vm: string;
  readonly record: XapiRecord;
  readonly map: Record<string, string>;
  readonly vdiMap: Record<string, string>;
  readonly vifMap: Record<string, string>;
  /** VGPU → GPU group, VDI → image format, where a release takes them. */
  readonly vgpuMap: Record<string, string>;
  readonly formats: Record<string, string>;
  /** The guest keeps its record, and what is on storage that stays does not move. */
  readonly samePool: boolean;
}

/** What `VM.assert_can_migrate` looks at, a dry run of the description's import included: the coordinator does, whichever host has the guest. */
export async function assertCanSend(pool: XapiPool, params: readonly unknown[]): Promise<void> {
  const move = readMove(pool, params);
  if (move.record.power_state !== 'Running') {
    throw new Fault('VM_BAD_POWER_STATE', move.vm, 'running', String(move.record.power_state).toLowerCase());
  }
  assertIdle(move);
  pool.assertStorageMotion();
  const route = new Route(pool, pool.coordinatorRef, move.map);
  await route.api('host.get_record', [move.map.host ?? '']);
  for (const { sr } of disksOf(pool, move)) await route.api('SR.get_record', [sr]);
  for (const network of Object.values(move.vifMap)) await route.api('network.get_record', [network]);
  for (const group of Object.values(move.vgpuMap)) await route.api('GPU_group.get_record', [group]);
  if (!move.samePool) await route.importMetadata(description(pool, move), true);
}

export async function send(pool: XapiPool, params: readonly unknown[], task: Running | undefined): Promise<string> {
  if (task === undefined)
    throw new Fault('INTERNAL_ERROR', 'the endpoint of the lab serves migrate_send as a task only');
  const move = readMove(pool, params);
  return await asOperation(pool, move, 'migrate_send', task, async () => {
    await assertReady(pool, params);
    return await sendGuest(pool, move, task);
  });
}

/** One operation of a VM at a time; a tool stack that was restarted meanwhile knows nothing of it any more. */
async function asOperation(
  pool: XapiPool,
  move: Pick<Move, 'vm' | 'record' | 'map'>,
  operation: string,
  task: Running,
  work: () => Promise<string>,
): Promise<string> {
  assertIdle(move);
  pool.database.update('VM', move.vm, { current_operations: { [task.ref]: operation } });
  try {
    return await work();
  } catch (error) {
    if (task.cancel.signal.aborted && task.cancellable) throw new Fault('TASK_CANCELLED', task.ref);
    if (error instanceof Fault) throw error;
    throw new Fault(
      'VM_MIGRATE_FAILED',
      move.vm,
      'source',
      'destination',
      // XAPI quotes what it talked to, and with it the session.
      `${error instanceof Error ? error.message : String(error)} (${move.map.xenops}, ${move.map.session_id})`,
    );
  } finally {
    pool.endOperation(move.vm);
  }
}

/** The same checks again, now that the operation is ours. */
async function assertReady(pool: XapiPool, params: readonly unknown[]): Promise<void> {
  const { record } = readMove(pool, params);
  if (record.power_state !== 'Running')
    throw new Fault('VM_BAD_POWER_STATE', String(params[0]), 'running', String(record.power_state));
}

const routeOf = (pool: XapiPool, { record, map }: Move): Route => new Route(pool, String(record.resident_on), map);

async function sendGuest(pool: XapiPool, move: Move, task: Running): Promise<string> {
  const route = routeOf(pool, move);
  const disks = disksOf(pool, move).filter(({ ref, sr }) => pool.need('VDI', ref).SR !== sr);
  const memory = Number(move.record.memory_dynamic_max);
  const sending = sendingOf(pool, task, memory + disks.reduce((sum, { bytes }) => sum + bytes, 0));
  await route.api('host.get_record', [move.map.host ?? '']);
  let arrived = move.samePool ? move.vm : undefined;
  ejectDiscs(pool, move);
  try {
    await reach(pool, 'disks', task);
    for (const disk of disks) await route.sendDisk(disk, move.vm, sending);
    arrived ??= await route.importMetadata(description(pool, move), false);
    await reach(pool, 'memory', task);
    await route.sendMemory(memory, arrived, sending, () => giveAway(pool, move.vm, task));
    await reach(pool, 'given', task);
    await route.api('VM.pool_migrate_complete', [arrived, move.map.host ?? '']);
    await reach(pool, 'arrived', task);
    // What belongs to the guest beside its record (its statistics and messages, too) follows it under the same session.
    if (!move.samePool && move.record.ha_always_run === true) {
      await route.api('VM.set_ha_always_run', [arrived, true]);
    }
    if (!move.samePool) removeVm(pool.database, move.vm);
    return arrived;
  } catch (error) {
    // Tidying up, XAPI destroys what the destination knows of the guest, wherever it failed; one that runs is refused there.
    if (!task.dead && !move.samePool && arrived !== undefined) {
      await route.api('VM.destroy', [arrived]).catch(() => undefined);
    }
    throw error;
  }
}

/** Discs are in no map, and do not move. */
function ejectDiscs({ database }: XapiPool, { record }: Move): void {
  for (const ref of record.VBDs as string[]) {
    if (database.need('VBD', ref).type === 'CD') database.update('VBD', ref, { VDI: NULL_REF, empty: true });
  }
}

/** From this xapi on `VM.pool_migrate` looks at the option `network`. */
const MIGRATE_NETWORK_XAPI = 1_297;

/**
 * Inside one pool, with storage that both hosts see: the source builds the address itself, from `network` of the options, if it knows that, or
 * from the host's record, and sends the memory alone.
 */
export async function poolMigrate(
  pool: XapiPool,
  params: readonly unknown[],
  { task, session }: CallContext,
): Promise<string> {
  if (task === undefined)
    throw new Fault('INTERNAL_ERROR', 'the endpoint of the lab serves pool_migrate as a task only');
  const [vm, host, options] = params as [string, string, Record<string, string>];
  const record = pool.need('VM', vm) as XapiRecord;
  const { address } = pool.need('host', host);
  if (record.power_state !== 'Running')
    throw new Fault('VM_BAD_POWER_STATE', vm, 'running', String(record.power_state).toLowerCase());
  const { xapi } = pool.releaseOf(String(record.resident_on));
  const network = xapi >= MIGRATE_NETWORK_XAPI ? options.network : undefined;
  const at = network === undefined ? String(address) : pool.addressIn(host, network);
  // The coordinator goes on under the caller's session, and forwards to another member under one of its own.
  const isForwarded = record.resident_on !== pool.coordinatorRef;
  const used = isForwarded ? pool.sessions.open() : session;
  const xenops = `http://${at}/services/xenops?session_id=${used}`;
  return await asOperation(pool, { vm, record, map: { xenops } }, 'pool_migrate', task, async () => {
    const memory = Number(record.memory_dynamic_max);
    const route = new Route(pool, String(record.resident_on), { xenops });
    await reach(pool, 'memory', task);
    await route.sendMemory(memory, vm, sendingOf(pool, task, memory), () => giveAway(pool, vm, task));
    await reach(pool, 'given', task);
    pool.settle(vm);
    await reach(pool, 'arrived', task);
    return '';
  }).finally(() => {
    if (isForwarded) pool.sessions.end(used);
  });
}

function sendingOf(pool: XapiPool, task: Running, total: number): Sending {
  let done = 0;
  return {
    bytesPerSec: pool.faults.bytesPerSec,
    signal: task.cancel.signal,
    onBytes: (bytes: number) => {
      done += bytes;
      if (pool.database.get('task', task.ref) !== undefined)
        pool.database.update('task', task.ref, { progress: (done / total) * 0.98 });
    },
  };
}

/** From here the guest runs at the destination, or nowhere. XAPI looks away from what xenopsd tells until the operation is over. */
function giveAway(pool: XapiPool, vm: string, task: Running): void {
  task.cancellable = false;
  if (pool.database.get('task', task.ref) !== undefined)
    pool.database.update('task', task.ref, { allowed_operations: [] });
  pool.endDomain(vm);
  if (task.forgotten) pool.settle(vm);
}

async function reach(pool: XapiPool, stage: Stage, task: Running): Promise<void> {
  pool.faults.onStage?.(stage);
  while (pool.faults.holdAt === stage && !task.dead && !(task.cancellable && task.cancel.signal.aborted))
    await pool.database.changed(50);
  if (task.dead) throw new Error('the tool stack was restarted');
  if (pool.faults.failAt === stage) {
    pool.faults.failAt = undefined;
    throw new Error(`told to fail at ${stage}`);
  }
  if (task.cancellable) task.cancel.signal.throwIfAborted();
}

function readMove(pool: XapiPool, params: readonly unknown[]): Move {
  const [vm, map, , vdiMap, vifMap, , vgpuMap = {}, formats = {}] = params as [
    string,
    Record<string, string>,
    boolean,
    Record<string, string>,
    Record<string, string>,
    Record<string, string>,
    Record<string, string>?,
    Record<string, string>?,
  ];
  const record = pool.need('VM', vm) as XapiRecord;
  for (const key of ['SM', 'xenops', 'host', 'session_id', 'master']) {
    if (map[key] === undefined) throw new Fault('INTERNAL_ERROR', `the destination map lacks ${key}`);
  }
  const samePool = pool.database.get('host', map.host ?? '') !== undefined;
  const move = { vm, record, map, vdiMap, vifMap, vgpuMap, formats, samePool };
  for (const vgpu of Object.keys(vgpuMap)) pool.need('VGPU', vgpu);
  for (const vdi of Object.keys(formats)) pool.need('VDI', vdi);
  if (samePool && Object.keys(vifMap).length > 0)
    throw new Fault('OPERATION_NOT_ALLOWED', 'VIF mapping is not allowed for intra-pool migration');
  if (samePool) return move;
  for (const vif of record.VIFs as string[]) if (vifMap[vif] === undefined) throw new Fault('VIF_NOT_IN_MAP', vif);
  return move;
}

function assertIdle({ vm, record }: Pick<Move, 'vm' | 'record'>): void {
  if (Object.keys(record.current_operations as object).length > 0)
    throw new Fault('OTHER_OPERATION_IN_PROGRESS', 'VM', vm);
}

function disksOf(pool: XapiPool, { record, vdiMap }: Move): Disk[] {
  return (record.VBDs as string[]).flatMap((ref) => {
    const vbd = pool.need('VBD', ref);
    if (vbd.type === 'CD') return [];
    const vdi = String(vbd.VDI);
    const sr = vdiMap[vdi];
    if (sr === undefined) throw new Fault('VDI_NOT_IN_MAP', vdi);
    if (pool.need('VDI', vdi).cbt_enabled === true) throw new Fault('VDI_CBT_ENABLED', vdi);
    return [{ ref: vdi, bytes: Number(pool.need('VDI', vdi).virtual_size), sr, userdevice: String(vbd.userdevice) }];
  });
}

/** What XAPI exports of a guest, as far as the lab's destination needs it. */
function description(pool: XapiPool, move: Move): object {
  const { uuid, name_label, memory_static_max, memory_dynamic_min, memory_dynamic_max, VCPUs_max, other_config } =
    move.record;
  return {
    vm: {
      uuid,
      name_label,
      memory_static_max,
      memory_dynamic_min,
      memory_dynamic_max,
      VCPUs_max,
      other_config,
    } as Record<string, Field | undefined>,
    disks: disksOf(pool, move).map(({ ref, bytes, sr, userdevice }) => ({
      ...{ bytes, sr, userdevice, format: move.formats[ref] ?? '' },
    })),
    gpuGroups: (move.record.VGPUs as string[]).map((vgpu) => move.vgpuMap[vgpu]),
    networks: (move.record.VIFs as string[]).map((vif) => move.vifMap[vif]),
  };
}
