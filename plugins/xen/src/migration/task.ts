/**
 * An asynchronous call of XAPI, followed to its end. The task goes on whether we listen or not; events only tell when it is
 * worth looking. A pool that falls silent for a while (a restart of its tool stack, another coordinator) is waited for.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, PluginError } from '@lmas/plugin-api';
import type { XapiClient } from '../client.ts';
import { isFault, toPluginError, XapiFault, XapiSilence } from '../errors.ts';
import { eventBatchSchema, nothingSchema, type TaskRecord, taskSchema } from '../records.ts';

/** Seconds of one wait for events: below the idle time-outs of what may stand in between. */
const EVENT_WAIT_S = 15;
const EVENT_CALL_TIMEOUT_MS = 30_000;
const LOOK_AGAIN_MS = 1_000;
const CANCEL_AGAIN_MS = 1_000;
/** XAPI answers it at once. */
const CANCEL_CALL_TIMEOUT_MS = 10_000;
/** Longer than a tool stack needs to restart or a pool to change its coordinator. */
const SILENCE_LIMIT_MS = 120_000;

interface Options {
  readonly signal: AbortSignal;
}

/**
 * Waits for the end of `task`.
 * @throws XapiFault with what it ended with; PluginError CONNECTION_LOST when nobody who knows can be asked, ABORTED by `signal`
 */
export async function followTask(
  client: XapiClient,
  task: string,
  { signal, onProgress }: Options & { onProgress: (fraction: number) => void },
): Promise<void> {
  let token = '';
  let silentSince: number | undefined;
  for (;;) {
    if (signal.aborted) throw new PluginError('ABORTED', 'Stopped following the task.', { cause: signal.reason });
    let record: TaskRecord | undefined;
    try {
      record = await client.call('task.get_record', [task], taskSchema, { signal });
      silentSince = undefined;
      // XAPI calls every task complete that is over, also one that has failed or was cancelled.
      if (!isOver(record) || record.status === 'success') onProgress(record.progress);
      if (!isOver(record)) token = await nextEvent(client, task, token, signal);
    } catch (error) {
      if (!isPassing(error) || signal.aborted) throw lost(error);
      silentSince ??= performance.now();
      if (performance.now() - silentSince > SILENCE_LIMIT_MS) throw lost(error);
      await sleep(LOOK_AGAIN_MS, undefined, { signal }).catch(() => undefined);
      continue;
    }
    if (isOver(record)) return assertSucceeded(record);
  }
}

/** No answer, or one of a tool stack that has only just begun to start: the task is asked after again. */
const isPassing = (error: unknown): boolean => error instanceof XapiSilence || isFault(error, 'HOST_STILL_BOOTING');

/**
 * Whatever the pool answers instead of the task's record is not the task's end: a pool that has forgotten it (another coordinator, a
 * tool stack that was restarted) leaves its outcome to be looked for.
 */
function lost(error: unknown): unknown {
  if (error instanceof PluginError) return error;
  if (isFault(error, 'HANDLE_INVALID')) {
    return new PluginError(
      'CONNECTION_LOST',
      'The pool has forgotten the task of the migration: it has another coordinator, or its tool stack was restarted.',
      {
        cause: error,
        native: { name: error.code, message: error.params.join(', ') },
        remedy:
          'See that the pool has a coordinator and answers (xe host-list at a member); where the VM runs is looked for.',
      },
    );
  }
  const doing = 'following the migration';
  return new PluginError('CONNECTION_LOST', toPluginError(error, doing).message, { cause: error });
}

export const isOver = ({ status }: TaskRecord): boolean => status !== 'pending' && status !== 'cancelling';

/** What it resulted in is not asked: the guest is looked for in both pools whatever the task says. */
function assertSucceeded({ status, error_info: error }: TaskRecord): void {
  if (status === 'success') return;
  if (status === 'cancelled') throw new XapiFault('TASK_CANCELLED', error.slice(1));
  throw new XapiFault(error[0] ?? 'INTERNAL_ERROR', error.slice(1));
}

async function nextEvent(client: XapiClient, task: string, token: string, signal: AbortSignal): Promise<string> {
  try {
    const params = [[`task/${task}`], token, EVENT_WAIT_S];
    const options = { signal, timeoutMs: EVENT_CALL_TIMEOUT_MS };
    return (await client.call('event.from', params, eventBatchSchema, options)).token;
  } catch (error) {
    if (isFault(error, 'EVENTS_LOST', 'SESSION_NOT_REGISTERED')) return '';
    throw error;
  }
}

/** Asks for its end; a task that cannot be cancelled any more goes on, and says so by succeeding. */
export async function cancelTask(client: XapiClient, task: string, options: Options): Promise<void> {
  try {
    const call = { ...options, timeoutMs: CANCEL_CALL_TIMEOUT_MS };
    await client.call('task.cancel', [task], nothingSchema, call);
  } catch (error) {
    if (!isFault(error)) throw error;
  }
}

/**
 * Asks for its end until the pool has answered: a call that was lost has stopped nothing, and nobody would know. Ends with `signal`, and
 * never throws. A refusal is an answer; how the task ends decides.
 */
export async function keepCancelling(
  client: XapiClient,
  task: string,
  { signal, log }: Options & { readonly log: Logger },
): Promise<void> {
  while (!signal.aborted) {
    try {
      const options = { signal, timeoutMs: CANCEL_CALL_TIMEOUT_MS };
      return await client.call('task.cancel', [task], nothingSchema, options);
    } catch (error) {
      if (signal.aborted) return;
      if (!isPassing(error)) {
        log.warn({ err: error }, 'the pool refuses to cancel the migration');
        return;
      }
      log.warn({ err: error }, 'the call to cancel the migration was lost, and is made again');
    }
    await sleep(CANCEL_AGAIN_MS, undefined, { signal }).catch(() => undefined);
  }
}
