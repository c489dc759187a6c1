/**
 * A migration that is under way without us: followed to its end, or stopped. What the pool has forgotten can be neither, so its rights are
 * taken from it: without the session of the receive map the source can begin nothing more at the destination. That is done only
 * while the destination has no record of the guest: later the guest may be on its way in, and must be able to arrive.
 */
import {
  type MigrationContext,
  type MigrationProgress,
  type MigrationRequest,
  PluginError,
  type VmPlacement,
} from '@lmas/plugin-api';
import type { XenOptions } from '../config.ts';
import { isFault, XapiSilence } from '../errors.ts';
import { clearMark, markTask } from './marker.ts';
import type { Move } from './move.ts';
import type { Ends } from './plan.ts';
import { progressReporter } from './progress.ts';
import { endSession } from './receive-session.ts';
import { type Fate, type Standing, standingOf } from './standing.ts';
import { cancelTask, followTask } from './task.ts';
import { until } from './waiting.ts';

interface Options {
  readonly signal: AbortSignal;
}

export interface AbortTimes {
  /** For records that lag behind their task, and tasks behind their cancel. */
  readonly settleMs: number;
  /** For a move that was forgotten: how long it may still show what it does. */
  readonly quietMs: number;
}

export interface Case {
  readonly ends: Ends;
  readonly request: MigrationRequest<XenOptions>;
  readonly context: MigrationContext;
  /** Of this very process, if it has made the call. */
  readonly move: Move | undefined;
}

const stand = ({ ends, request }: Case, options: Options): Promise<Standing> =>
  standingOf(ends, request.vm.id, request.migrationId, options);

const isNotOurs = (fate: Fate): boolean => fate.kind === 'idle' || (fate.kind === 'moving' && !fate.ours);

/** Answers where the guest is then; `moving` when it could not be stopped, or is somebody else's. */
export async function stopIt(the: Case, { settleMs, quietMs }: AbortTimes, { signal }: Options): Promise<VmPlacement> {
  const started = performance.now();
  const passed = (): number => performance.now() - started;
  const tryOnce = async (): Promise<Standing> => {
    const standing = await stand(the, { signal });
    const { fate } = standing;
    if (isNotOurs(fate) || signal.aborted) return standing;
    await the.context.assertCurrent();
    if (fate.kind === 'moving') {
      await adopt(the, fate.task, { signal });
      await cancel(the, fate.task, { signal });
    }
    if (fate.kind === 'lost' && passed() > quietMs) return await cutOff(the, standing, { signal });
    return standing;
  };
  const { placement } = await until(tryOnce, ({ fate }) => isNotOurs(fate), settleMs, { signal });
  return placement;
}

/** A call that was lost is made again with the next look, as long as the task goes on. */
async function cancel({ ends, context }: Case, task: string, options: Options): Promise<void> {
  try {
    await cancelTask(ends.source.client, task, options);
  } catch (error) {
    if (!(error instanceof XapiSilence)) throw error;
    context.log.warn({ err: error }, 'the call to cancel the migration was lost');
  }
}

/** A task whose reply was lost bears no mark yet; without one nobody could say later that it has ended. */
const adopt = ({ ends, request }: Case, task: string, options: Options): Promise<void> =>
  markTask(ends.source, task, request.migrationId, options);

/** The guest is at the source for good once its session is gone and the destination, asked after that, has no record of it. */
async function cutOff(the: Case, standing: Standing, options: Options): Promise<Standing> {
  const { fate, source, destination, samePool } = standing;
  if (fate.kind !== 'lost' || samePool || source.presence !== 'running' || destination.presence !== 'absent') {
    return standing;
  }
  if (!(await endRights(the, fate.mark.session, options))) return standing;
  const after = await stand(the, options);
  if (after.fate.kind !== 'lost' || after.destination.presence !== 'absent') return after;
  the.context.log.warn({}, 'the source pool has forgotten the migration; it can no longer reach the destination');
  await clearMark(the.ends.source, the.request.vm.id, the.request.migrationId, options);
  return await stand(the, options);
}

async function endRights({ ends, move, context }: Case, uuid: string | null, options: Options): Promise<boolean> {
  if (await move?.cutOff()) return true;
  if (uuid === null) return false;
  try {
    await endSession(ends.destination, uuid, options);
    return true;
  } catch (error) {
    context.log.warn({ err: error }, 'the session of the receive map could not be ended');
    return false;
  }
}

/**
 * Waits for the end of what moves the guest. Somebody else's move is waited for as well, and none of it is told as ours.
 * @throws PluginError ABORTED when the pool has forgotten it, and nothing shows that it goes on: it has to be stopped
 */
export async function followToItsEnd(
  the: Case,
  { quietMs }: AbortTimes,
  { signal, onProgress }: Options & { onProgress: (progress: MigrationProgress) => void },
): Promise<void> {
  const isLost = ({ fate }: Standing): boolean => fate.kind === 'lost';
  const standing = await until(
    () => stand(the, { signal }),
    (seen) => !isLost(seen),
    quietMs,
    { signal },
  );
  const { fate, source } = standing;
  if (isLost(standing)) {
    throw new PluginError('ABORTED', 'The source pool has forgotten the task that moved the VM.', {
      remedy: 'Look whether its tool stack was restarted, or its coordinator changed.',
    });
  }
  if (fate.kind !== 'moving' || source.record === undefined) return;
  if (fate.ours) await adopt(the, fate.task, { signal });
  const tell = fate.ours ? progressReporter(source.record.memory_dynamic_max, 0, onProgress) : () => undefined;
  try {
    await followTask(the.ends.source.client, fate.task, { signal, onProgress: tell });
  } catch (error) {
    // How it ended is asked of the pools; only not to have seen its end is an error.
    if (!isFault(error)) throw error;
  }
}
