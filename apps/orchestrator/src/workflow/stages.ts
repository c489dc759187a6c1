/**
 * The time limits of a migration, and what stops it: a person's cancel, a stage's limit, the limit of the whole, the end of
 * a gateway. None of them reaches past the point of no return.
 */
import type { Phase } from '../migrations/phases.ts';
import { Deadline, raceSignal } from '../time/waiting.ts';
import { inStageSpan } from '../tracing/migration-spans.ts';
import type { Run } from './run.ts';

/** Aborts on a cancel, or when the whole takes too long (counted from the first run's start). Dispose of it. */
export function totalDeadline(run: Run): Disposable & { readonly signal: AbortSignal } {
  const { totalMs } = run.migration.request.timeouts;
  const { startedAt } = run.migration;
  const spentMs = startedAt === null ? 0 : Date.now() - Date.parse(startedAt);
  const limit = new Deadline(Math.max(0, totalMs - spentMs), 'STAGE_TIMEOUT', `It took longer than ${totalMs} ms.`);
  const signal = untilNoReturn(run, [limit.signal, run.cancelled]);
  return { signal, [Symbol.dispose]: () => limit.stop() };
}

/** Aborts with the first of `signals`, unless the point of no return was passed before. */
export function untilNoReturn(run: Run, signals: readonly AbortSignal[]): AbortSignal {
  const stop = new AbortController();
  for (const signal of signals) {
    const heed = () => {
      if (run.migration.pointOfNoReturnAt === null) stop.abort(signal.reason);
    };
    if (signal.aborted) heed();
    else signal.addEventListener('abort', heed, { once: true, signal: stop.signal });
  }
  return stop.signal;
}

export interface Stage {
  readonly phase: Phase;
  /** `undefined`: only the whole has a limit. */
  readonly limitMs?: number;
  readonly stop: AbortSignal;
  /** Called when the work does not heed the stop: nothing of it may go on beside what comes next. */
  readonly dropConnections: () => Promise<void>;
}

/** The stage that each run is in, or that failed last: the record does not go back for another attempt. */
const stages = new WeakMap<Run, Phase>();

/** In which phase this attempt is. From the hand-over on there is no other attempt, and the record says. */
export function phaseOf(run: Run): Phase {
  return (run.journal.has('hand-over') ? undefined : stages.get(run)) ?? run.migration.phase;
}

/** How long stopped work may take to come to rest. */
const STOP_GRACE_MS = 30_000;

/**
 * Enters a phase and does its work under its limit. When the work failed because it was stopped, the reason of the stop
 * is thrown, not the echo that came back from whoever was stopped.
 */
export async function runStage<T>(
  run: Run,
  { phase, limitMs, stop, dropConnections }: Stage,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  stop.throwIfAborted();
  stages.set(run, phase);
  // A recovery may look again at what an earlier phase looked at; the record does not go back for that.
  if (!run.migration.timeline.some((entry) => entry.phase === phase)) await run.enter(phase);
  using limit =
    limitMs === undefined
      ? undefined
      : new Deadline(limitMs, 'STAGE_TIMEOUT', `The stage ${phase} took longer than ${limitMs} ms.`);
  const signals = limit === undefined ? [stop] : [stop, limit.signal];
  const signal = AbortSignal.any([...signals, run.lost]);
  try {
    const result = await untilStuck(
      inStageSpan(phase, () => work(signal)),
      signal,
      dropConnections,
    );
    signal.throwIfAborted(); // done, but too late
    return result;
  } catch (error) {
    run.lost.throwIfAborted();
    if (stop.aborted) throw stop.reason;
    if (limit?.signal.aborted) throw limit.signal.reason;
    throw error;
  }
}

async function untilStuck<T>(work: Promise<T>, signal: AbortSignal, onStuck: () => Promise<void>): Promise<T> {
  const stuck = new AbortController();
  let grace: NodeJS.Timeout | undefined;
  const onStop = () => {
    grace = setTimeout(() => stuck.abort(signal.reason), STOP_GRACE_MS);
  };
  if (signal.aborted) onStop();
  else signal.addEventListener('abort', onStop, { once: true });
  try {
    return await raceSignal(work, stuck.signal);
  } finally {
    clearTimeout(grace);
    signal.removeEventListener('abort', onStop);
    if (stuck.signal.aborted) await onStuck();
  }
}
