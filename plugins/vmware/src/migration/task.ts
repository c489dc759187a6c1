/**
 * vSphere's tasks: those that move a VM or set it are found, followed to their end, and cancelled. A task goes on whether we listen or not;
 * changes only tell when it is worth looking. A vCenter that falls silent for a while (a restart, a lost session), or answers with a
 * fault when it is asked how the task is, is waited for: of the task itself that says nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { PluginError } from '@lmas/plugin-api';
import { z } from 'zod';
import type { VimClient } from '../client.ts';
import { isFault, toPluginError, VimFault, VimSilence } from '../errors.ts';
import { type Row, readObject, readObjects, Watch } from '../properties.ts';
import { nothingSchema, type TaskInfo, taskInfoSchema, taskManagerSchema, type VmRecord } from '../records.ts';
import { type Ref, refKey, sameRef } from '../wire/data-objects.ts';

/** Seconds of one wait for changes: below the idle time-outs of what may stand in between. */
const WAIT_S = 15;
const LOOK_AGAIN_MS = 500;
/** Longer than a failover of a vCenter's services; a longer one is left to who settles the migration. */
const SILENCE_LIMIT_MS = 120_000;
/** vSphere takes a cancel at once, or says that it does not. */
const CANCEL_TIMEOUT_MS = 10_000;

interface Options {
  readonly signal: AbortSignal;
}

/** What a login may not see of others' tasks is missing. */
const taskSchema = z.object({ info: taskInfoSchema.optional() });

export const isOver = ({ state }: TaskInfo): boolean => state === 'success' || state === 'error';

/** VirtualMachine.relocate, VirtualMachine.migrate, and what DRS and maintenance mode begin (Drm.ExecuteVMotionLRO). */
const MOVES = /^VirtualMachine\.(relocate|migrate)$|vmotion/i;
const RECONFIGURATIONS = /^VirtualMachine\.reconfigure$/;

type VmWithTasks = Row<Pick<VmRecord, 'recentTask'>>;

/** The tasks that move a VM, or have moved it lately. */
export const movesOf = (client: VimClient, vm: VmWithTasks, options: Options): Promise<TaskInfo[]> =>
  tasksOf(client, vm, MOVES, options);

/** The same of those that change its settings. */
export const reconfigurationsOf = (client: VimClient, vm: VmWithTasks, options: Options): Promise<TaskInfo[]> =>
  tasksOf(client, vm, RECONFIGURATIONS, options);

/**
 * The VM's own list is a part of the vCenter's, and which part vSphere does not say: so both are asked. What is forgotten
 * meanwhile is missing.
 */
async function tasksOf(client: VimClient, vm: VmWithTasks, kind: RegExp, options: Options): Promise<TaskInfo[]> {
  const manager = await readObject(client, client.content.taskManager, taskManagerSchema, options);
  const recent = new Map([...vm.record.recentTask, ...(manager?.recentTask ?? [])].map((ref) => [refKey(ref), ref]));
  const rows = await readObjects(client, [...recent.values()], taskSchema, { ...options, complete: true });
  return rows
    .flatMap(({ record }) => record.info ?? [])
    .filter(({ descriptionId, entity }) => kind.test(descriptionId) && sameRef(entity, vm.ref));
}

/** Begun by our login. Another migration of ours cannot have: one at a time has the VM. */
export const isOurs = ({ reason }: TaskInfo, client: VimClient): boolean =>
  reason?.userName !== undefined && reason.userName.toLowerCase() === client.userName?.toLowerCase();

/**
 * Waits for the end of `task`, and answers its result.
 * @param silenceLimitMs how long nobody may be able to say how the task is
 * @throws VimFault with what the task ended with, and with nothing else; PluginError CONNECTION_LOST when nobody who knows can be
 * asked, ABORTED by `signal`
 */
export async function followTask(
  client: VimClient,
  task: Ref,
  {
    signal,
    onProgress = () => undefined,
    silenceLimitMs = SILENCE_LIMIT_MS,
  }: Options & { readonly onProgress?: (percent: number) => void; readonly silenceLimitMs?: number },
): Promise<unknown> {
  let silentSince: number | undefined;
  let watch: Watch | undefined;
  try {
    for (;;) {
      if (signal.aborted) throw new PluginError('ABORTED', 'Stopped following the task.', { cause: signal.reason });
      let ended: TaskInfo | undefined;
      try {
        const info = await readTask(client, task, { signal });
        silentSince = undefined;
        if (info.progress !== undefined) onProgress(info.progress);
        if (isOver(info)) ended = info;
        else {
          if (watch?.isStale !== false) watch = await Watch.object(client, task, ['info'], { signal });
          await watch.next(WAIT_S, { signal });
        }
      } catch (error) {
        if (signal.aborted) continue;
        if (error instanceof VimFault && isGoneWatch(error, task)) {
          watch = undefined;
          // A new one may be gone as soon; the next look at the task itself does not depend on it.
          await sleep(LOOK_AGAIN_MS, undefined, { signal }).catch(() => undefined);
        } else if (!(error instanceof VimSilence || error instanceof VimFault)) throw error;
        else {
          silentSince ??= performance.now();
          if (performance.now() - silentSince > silenceLimitMs) throw lost(error);
          await sleep(LOOK_AGAIN_MS, undefined, { signal }).catch(() => undefined);
        }
      }
      if (ended !== undefined) return resultOf(ended, client);
    }
  } finally {
    await watch?.close();
  }
}

async function readTask(client: VimClient, task: Ref, options: Options): Promise<TaskInfo> {
  const record = await readObject(client, task, taskSchema, options);
  if (record?.info !== undefined) return record.info;
  throw new TaskForgotten();
}

/** The vCenter knows nothing of it: it has been started anew. The hosts that are at it may go on all the same. */
export class TaskForgotten extends PluginError {
  constructor() {
    super('CONNECTION_LOST', 'The vCenter has forgotten the task.');
  }
}

/** The collector went with the session that it belonged to; the task itself is asked for by `readTask`. */
const isGoneWatch = (error: VimFault, task: Ref): boolean =>
  isFault(error, 'ManagedObjectNotFound', 'InvalidCollectorVersion') &&
  (error.detail.obj as Ref | undefined)?.value !== task.value;

const lost = (error: unknown): PluginError =>
  new PluginError('CONNECTION_LOST', toPluginError(error, 'following the task').message, { cause: error });

function resultOf({ state, error, result }: TaskInfo, client: VimClient): unknown {
  if (state === 'success') return result;
  if (error === undefined) throw new VimFault('MethodFault', 'The task failed and does not say why.', undefined);
  const { _typeName: name } = error.fault;
  throw client.discreet(new VimFault(name, error.localizedMessage ?? name, error.fault));
}

/** Its answers to a cancel that it will never take: it is over, is cancelled already, or is not there. */
const TOO_LATE = ['InvalidState', 'RequestCanceled', 'ManagedObjectNotFound'] as const;

/**
 * Asks for its end.
 * @throws also VimFault: a vCenter that fails at it has stopped nothing (`mayCancelAgain`). So has one that answers NotSupported: the task
 * cannot be cancelled now, whether not yet or not any more, and goes on
 */
export async function cancelTask(client: VimClient, task: Ref, { signal }: Options): Promise<void> {
  try {
    await client.call(task, 'CancelTask', {}, nothingSchema, { signal, timeoutMs: CANCEL_TIMEOUT_MS });
  } catch (error) {
    if (!isFault(error, ...TOO_LATE)) throw error;
  }
}

/** Nothing came of that cancel, and something may come of the next one. */
export const mayCancelAgain = (error: unknown): boolean =>
  error instanceof VimSilence || (isFault(error) && !isFault(error, 'NoPermission'));
