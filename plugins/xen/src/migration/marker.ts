/**
 * Whose migration it is. XAPI's task bears no name of ours, and after a crash only a migration that is ours may be cancelled, so the guest
 * carries in `other_config`, while it moves: the migration's id, since when by the pool's own clock, and the UUID of the session in the receive
 * map. The task gets the id as soon as the call has answered with it. A task that has none is ours only if it began right after the mark:
 * whatever an administrator begins later, with a mark that stayed on, is not.
 */
import { PluginError, type PluginResource } from '@lmas/plugin-api';
import { isFault } from '../errors.ts';
import { nothingSchema, type TaskRecord, taskSchema, timeSchema, type VmRecord } from '../records.ts';
import type { XenSession } from '../session.ts';
import { migrationTaskOf } from './placement.ts';

export const MARK_KEY = 'lmas-migration';
const NO_SESSION = '-';
/** From the mark to the call that follows at once: as long as that call may take. */
const CALL_WITHIN_MS = 90_000;
/** XAPI tells whole seconds. */
const CLOCK_STEP_MS = 1_000;

interface Options {
  readonly signal: AbortSignal;
}

export interface Mark {
  readonly migrationId: string;
  /** By the source pool's clock; `null` in a mark of an earlier release of ours. */
  readonly sinceMs: number | null;
  /** UUID of the session in the receive map, if it could be had. */
  readonly session: string | null;
}

export const markResource = (vmUuid: string, migrationId: string): PluginResource => ({
  kind: 'mark',
  id: vmUuid,
  end: 'source',
  data: { migrationId },
  // It goes along with the VM; and where the VM is, the next migration must not find it.
  lifetime: 'migration',
});

/** Of whatever migration. */
export function markOf({ other_config: config }: Pick<VmRecord, 'other_config'>): Mark | undefined {
  const [migrationId, since, session] = config[MARK_KEY]?.split(' ') ?? [];
  if (migrationId === undefined || migrationId === '') return undefined;
  return {
    migrationId,
    sinceMs: since === undefined ? null : (timeSchema.safeParse(since).data ?? null),
    session: session === undefined || session === NO_SESSION ? null : session,
  };
}

export const bearsMark = (record: VmRecord, migrationId: string): boolean =>
  markOf(record)?.migrationId === migrationId;

/**
 * Never over the mark of another migration, also one that came a moment ago: XAPI adds no key that is there.
 * @param clock the member whose clock is asked: the coordinator, which makes the tasks
 * @throws PluginError BUSY when somebody else moves the guest, or is about to
 */
export async function setMark(
  session: XenSession,
  vmUuid: string,
  mark: { readonly migrationId: string; readonly session: string | null },
  clock: string,
  options: Options,
): Promise<void> {
  const vm = await session.vm(vmUuid, options);
  if (vm === null) throw new PluginError('VM_NOT_FOUND', `The source pool has no VM ${vmUuid}.`);
  if (migrationTaskOf(vm.record) !== undefined) {
    throw new PluginError('BUSY', `${vm.record.name_label} is being migrated already, by somebody else.`);
  }
  const { client } = session;
  const sinceMs = await client.call('host.get_servertime', [clock], timeSchema, options);
  const value = [mark.migrationId, new Date(sinceMs).toISOString(), mark.session ?? NO_SESSION].join(' ');
  if (bearsMark(vm.record, mark.migrationId)) {
    await client.call('VM.remove_from_other_config', [vm.ref, MARK_KEY], nothingSchema, options);
  }
  try {
    await client.call('VM.add_to_other_config', [vm.ref, MARK_KEY, value], nothingSchema, options);
  } catch (error) {
    if (!isFault(error, 'MAP_DUPLICATE_KEY')) throw error;
    throw new PluginError('BUSY', `${vm.record.name_label} bears the mark of another migration.`, { cause: error });
  }
}

/** Takes our mark off, and nobody else's. A guest that is not there bears none. */
export async function clearMark(
  session: XenSession,
  vmUuid: string,
  migrationId: string,
  options: Options,
): Promise<void> {
  const vm = await session.vm(vmUuid, options);
  if (vm === null || !bearsMark(vm.record, migrationId)) return;
  try {
    await session.client.call('VM.remove_from_other_config', [vm.ref, MARK_KEY], nothingSchema, options);
  } catch (error) {
    if (!isFault(error, 'HANDLE_INVALID')) throw error;
  }
}

/**
 * Wherever the guest is. A destination that is silent is waited for only while the guest does not run at the source. A source that is
 * silent always is: that the guest runs at the destination does not say that the source's record, with the mark on, is gone.
 */
export async function releaseMark(
  ends: { readonly source: XenSession; readonly destination: XenSession },
  vmUuid: string,
  migrationId: string,
  options: Options,
): Promise<void> {
  const [there, here] = await Promise.allSettled(
    [ends.destination, ends.source].map((session) => clearMark(session, vmUuid, migrationId, options)),
  );
  if (here?.status === 'rejected') throw here.reason;
  if (there?.status !== 'rejected') return;
  const vm = await ends.source.vm(vmUuid, options);
  if (vm?.record.power_state !== 'Running') throw there.reason;
}

/** Some releases let only pool operators write there; then the time of its beginning has to do. Never throws. */
export async function markTask(
  { client }: XenSession,
  task: string,
  migrationId: string,
  options: Options,
): Promise<void> {
  const params = [task, MARK_KEY, migrationId];
  await client.call('task.add_to_other_config', params, nothingSchema, options).catch(() => undefined);
}

/** Whether that task, whether it goes on or has ended, is the call that this mark announced, and none from before. */
export function isTaskOf({ other_config: config, created }: TaskRecord, { migrationId, sinceMs }: Mark): boolean {
  if (config[MARK_KEY] !== migrationId) return false;
  return created === null || sinceMs === null || created >= sinceMs - CLOCK_STEP_MS;
}

/** Whether the task that moves the guest now is the one that this mark announced. */
export async function isOurs({ client }: XenSession, task: string, mark: Mark, options: Options): Promise<boolean> {
  let record: TaskRecord;
  try {
    record = await client.call('task.get_record', [task], taskSchema, options);
  } catch (error) {
    if (isFault(error)) return false; // gone, or not to be seen: not to be cancelled either
    throw error;
  }
  if (MARK_KEY in record.other_config) return isTaskOf(record, mark);
  if (mark.sinceMs === null || record.created === null) return false;
  const afterMs = record.created - mark.sinceMs;
  return afterMs >= -CLOCK_STEP_MS && afterMs <= CALL_WITHIN_MS;
}
