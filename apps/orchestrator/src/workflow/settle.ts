/**
 * After something went wrong past the hand-over's intent, or after a crash: both ends are asked where the VM is, until
 * they say so, and what is there is finished or undone.
 *
 *   locate ─┬─ in post-copy ─────────→ wait or recover ─→ locate again
 *           ├─ destination ──────────→ confirm ─→ succeeded
 *           ├─ still moving by itself ─→ follow ─→ locate again
 *           ├─ both ─────────────────→ nothing is touched, a person decides
 *           ├─ paused, after too long a silence (silence.ts) ─→ nothing is resumed, a person decides
 *           ├─ an end is silent ──────→ wait, ask again … until the time is up: unknown
 *           │    (only the destination, and no return was passed: as below, by what the source alone proves)
 *           └─ source, or paused ─────→ abort ─┬─ it runs there ─→ source: failed or cancelled
 *                                              ├─ it moves on all the same ─→ locate again … until the time is up: unknown
 *                                              └─ it stands still ─→ abort again … until the time is up: a person resumes it
 *
 * Invariants: nothing is resumed or destroyed here on the word of one end alone; `abort` keeps the same rule inside. Once
 * the plugin has said that the guest arrived, nothing is undone at all: the source is tidied, or left to a person.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { hasArrived, type MigrationDriver, pluginErrorCode, type VmPlacement } from '@lmas/plugin-api';
import { describeError, errorCode, isSuperseded, LmasError } from '../errors.ts';
import type { Tunnel } from '../gateways/tunnel.ts';
import { ENDS, type MigrationError } from '../migrations/record.ts';
import { Deadline, raceSignal } from '../time/waiting.ts';
import { inSpan } from '../tracing/spans.ts';
import {
  arrivedUntidied,
  askedAfterSilence,
  byHand,
  type Ending,
  notMigrated,
  pausedAtSource,
  succeeded,
  toMigrationError,
  undecided,
} from './ending.ts';
import type { Hypervisors } from './hypervisors.ts';
import { completePostCopy } from './post-copy.ts';
import { ProgressReporter } from './progress.ts';
import type { Run } from './run.ts';
import { keepShare } from './share.ts';
import { mustBeAsked, noteAnswers, standsForTooLong } from './silence.ts';
import { totalDeadline, untilNoReturn } from './stages.ts';
import { confirm } from './steps/confirm.ts';
import type { Tools } from './tools.ts';

/** One round of questions; a hypervisor that hangs must not eat the whole time there is. */
const ATTEMPT_MS = 120_000;
/** How long both ends may go on answering without a verdict: more time brings nothing new. */
const INDECISION_MS = 60_000;
/** The two ends are not asked at the same instant: a hand-over in between looks like two copies, once. */
const SIGHTINGS_OF_BOTH = 3;
/** The migration itself was stopped on purpose: it is not followed, even where it could go on. */
export const STOPPED: ReadonlySet<string> = new Set(['CANCELLED', 'STAGE_TIMEOUT', 'NO_PROGRESS', 'GATEWAY_ENDED']);

export interface Trouble {
  readonly run: Run;
  readonly tools: Tools;
  readonly hypervisors: Hypervisors;
  readonly tunnel: Tunnel | undefined;
  /** Why the way forward ended. */
  readonly cause: unknown;
}

interface Settling extends Trouble {
  /** The reason that the record will name: that of the run in which it began to go wrong. */
  readonly failure: MigrationError;
  readonly onSeen: (found: VmPlacement) => void;
}

export async function settle(trouble: Trouble): Promise<Ending> {
  return await inSpan('settle', {}, () => untilSettled(trouble));
}

async function untilSettled(trouble: Trouble): Promise<Ending> {
  const { run, tools, cause } = trouble;
  run.log.warn({ err: cause }, 'finding out where the VM is');
  await noteArrival(run, cause);
  const failure = run.notes.failure ?? toMigrationError(run, cause);
  using deadline = new Deadline(tools.settings.settleMs, 'OUTCOME_UNKNOWN', unknownMessage(failure));
  let sightingsOfBoth = 0;
  let undecidedSince: number | undefined;
  let standing: Ending | undefined;
  let doubt: Doubt = 'again';
  /** What keeps an end from answering, as it was said last. */
  let unheard: string | null = null;
  const onSeen = (found: VmPlacement) => {
    unheard = silenceInWords(trouble, found);
  };
  for (;;) {
    try {
      const verdict = await attempt({ ...trouble, failure, onSeen }, deadline);
      if (typeof verdict !== 'string' && !('unlessResumed' in verdict)) return verdict;
      standing = typeof verdict === 'string' ? undefined : verdict.unlessResumed;
      doubt = verdict === 'moving' ? 'moving' : 'again';
      if (standing !== undefined && deadline.signal.aborted) return standing;
      undecidedSince = verdict === 'undecided' ? (undecidedSince ?? performance.now()) : undefined;
      if (undecidedSince !== undefined && performance.now() - undecidedSince > INDECISION_MS) {
        return undecided(run, 'unknown', new LmasError('OUTCOME_UNKNOWN', unknownMessage(failure)), failure);
      }
      sightingsOfBoth = verdict === 'both' ? sightingsOfBoth + 1 : 0;
      if (sightingsOfBoth >= SIGHTINGS_OF_BOTH) return undecided(run, 'both', new LmasError('BOTH_RUNNING'), failure);
    } catch (error) {
      if (run.lost.aborted || isSuperseded(error)) throw error;
      run.log.warn({ err: error }, 'where the VM is could not be found out; asking again');
      await noteArrival(run, error);
      doubt = 'again';
      unheard = lastWord(error);
    }
    if (deadline.signal.aborted) {
      if (run.notes.arrived) return arrivedUntidied(run);
      return undecided(run, 'unknown', deadline.signal.reason, failure, byHand(run, 'unknown', unheard));
    }
    await (standing === undefined ? showDoubt(run, doubt, unheard) : showStanding(run, standing));
    await sleep(tools.settings.settleRetryMs, undefined, {
      signal: AbortSignal.any([run.lost, deadline.signal]),
    }).catch(() => run.lost.throwIfAborted()); // past the deadline there is one last attempt
  }
}

/** The destination's word is kept: neither a crash nor a silent source takes it back. */
async function noteArrival(run: Run, error: unknown): Promise<void> {
  if (!hasArrived(error) || run.notes.arrived) return;
  await run.update(
    ({ migration, notes }) => {
      notes.arrived = true;
      migration.where = 'destination';
      migration.byHand = null;
    },
    { type: 'log', message: 'the VM runs at the destination; the source is still to be tidied' },
  );
}

/** The guest stands still at the source: how that ends if it cannot be resumed in time. */
interface Standing {
  readonly unlessResumed: Ending;
}

/** A run that is killed while it undoes things must not make the next one forget why. */
async function noteFailure(run: Run, failure: MigrationError): Promise<void> {
  if (run.notes.failure !== null) return;
  await run.update(({ notes }) => {
    notes.failure = failure;
  });
}

/**
 * What goes on by itself has its own limits: that time is not counted against the deadline.
 * `again`: an end was silent, or things moved on meanwhile. `moving`: the migration goes on although it was cancelled.
 * `undecided`: both answered, and it still is not clear.
 */
async function attempt(
  trouble: Settling,
  deadline: Deadline,
): Promise<Ending | Standing | 'both' | Doubt | 'undecided'> {
  const { run, hypervisors, failure, onSeen } = trouble;
  const signal = AbortSignal.any([run.lost, AbortSignal.timeout(ATTEMPT_MS)]);
  await run.assertCurrent();
  await noteFailure(run, failure);
  const driver = await hypervisors.driverOfWhoAnswers({ signal });
  const found = await raceSignal(driver.locate({ signal }), run.lost);
  run.log.info({ placement: found }, 'located');
  onSeen(found);
  await noteAnswers(run, found);
  if (found.where === 'both') return 'both';
  if (found.postCopy !== undefined && !isSilent(found)) {
    return await completePostCopy(trouble, driver, found.postCopy, () => deadline.touch());
  }
  if (found.where === 'destination') return await finish(run, driver, signal);
  if (isSilent(found) && !mayDoWithoutDestination(run, found)) return 'again';
  if (run.notes.arrived) return found.source === 'running' ? 'undecided' : 'again';
  const performed = run.notes.prepared !== null;
  if (performed && found.moving && !STOPPED.has(failure.code) && (await hypervisors.survivesController({ signal }))) {
    if (await follow(trouble, driver, deadline)) return 'again';
  }
  if (mustBeAsked(run, found)) {
    const words = askedAfterSilence(run.migration, found.destination);
    return undecided(run, 'unknown', new LmasError('OUTCOME_UNKNOWN', unknownMessage(failure)), failure, words);
  }
  await run.assertCurrent();
  const pastNoReturn = run.migration.pointOfNoReturnAt !== null;
  const after = await raceSignal(driver.abort({ signal, performed, pastNoReturn }), run.lost);
  run.log.info({ placement: after }, 'aborted');
  onSeen(after);
  if (after.where === 'both') return 'both';
  // What does not heed its cancel may still arrive. What was never set in motion is somebody else's move.
  if (performed && after.moving) return isSilent(after) ? 'again' : 'moving';
  // Past the hand-over a source that is merely defined proves nothing: the guest may have run, and ended, elsewhere.
  if (after.where === 'source' && pastNoReturn && after.source === 'stopped') return 'undecided';
  // A guest that we may have stopped has to run again. What was never set in motion stands still for somebody else's reason.
  if (after.where === 'source' && after.source === 'paused' && performed) {
    return { unlessResumed: pausedAtSource(run, after, reasonOf(run, failure)) };
  }
  if (after.where === 'source') {
    return notMigrated(run, reasonOf(run, failure), performed ? after.destination : undefined);
  }
  return after.where === 'unknown' && !isSilent(after) ? 'undecided' : 'again';
}

/** The VM runs at the destination: what is left is to tidy the source and to say so. */
async function finish(run: Run, driver: MigrationDriver, signal: AbortSignal): Promise<Ending> {
  if (run.migration.phase !== 'confirming') {
    await passOrIgnoreCancel(run);
    await run.enter('confirming', ({ migration }) => {
      migration.where = 'destination';
    });
  }
  return succeeded(await confirm(run, driver, { signal }));
}

/** It is done already: a cancel that came just before can only be told so. */
async function passOrIgnoreCancel(run: Run): Promise<void> {
  try {
    await run.passPointOfNoReturn();
  } catch (error) {
    if (errorCode(error) !== 'CANCELLED') throw error;
  }
}

/** Waits for a migration that goes on by itself, within the limit of the whole. False when it was, or has to be, stopped. */
async function follow({ run, tools, tunnel }: Trouble, driver: MigrationDriver, deadline: Deadline): Promise<boolean> {
  const { noProgressMs } = run.migration.request.timeouts;
  using stalled = new Deadline(noProgressMs, 'NO_PROGRESS', `No progress for ${noProgressMs} ms.`);
  using total = totalDeadline(run);
  using reporter = new ProgressReporter(run, tunnel, tools.settings.progressIntervalMs, () => stalled.touch());
  const stops = [total.signal, stalled.signal, ...(tunnel === undefined ? [] : [tunnel.ended])];
  const signal = AbortSignal.any([run.lost, untilNoReturn(run, stops)]);
  if (signal.aborted) return false;
  run.log.info({}, 'following a migration that went on by itself');
  using _share = keepShare(run, tools, tunnel, driver);
  deadline.stop();
  try {
    await raceSignal(driver.follow({ signal, onProgress: (progress) => reporter.report(progress) }), run.lost);
    return true;
  } catch (error) {
    run.lost.throwIfAborted();
    if (signal.aborted || pluginErrorCode(error) === 'ABORTED') return false;
    throw error;
  } finally {
    deadline.touch();
  }
}

const isSilent = ({ source, destination }: VmPlacement): boolean =>
  source === 'unreachable' || destination === 'unreachable';

/** Nobody was asked to let the guest go: the source can be told to stop, or be followed, and the plugin says what that proves. */
function mayDoWithoutDestination(run: Run, found: VmPlacement): boolean {
  if (run.migration.pointOfNoReturnAt !== null || run.notes.arrived || found.postCopy !== undefined) return false;
  // The destination may be back before the plugin is done, and be believed.
  return found.source !== 'unreachable' && !standsForTooLong(run, found);
}

/** A cancel that came while we were asking is what the person remembers. */
const reasonOf = (run: Run, failure: MigrationError): MigrationError =>
  run.cancelled.aborted && run.migration.pointOfNoReturnAt === null
    ? toMigrationError(run, run.cancelled.reason)
    : failure;

const unknownMessage = ({ message }: MigrationError): string =>
  `Where the VM runs could not be found out in time, after: ${message}`;

type Doubt = 'again' | 'moving';
const DOUBTS: Readonly<Record<Doubt, string>> = {
  again: 'an end does not answer; asking again',
  moving: 'the migration goes on although it was cancelled; asking again',
};

/** The ends that do not answer, each with its last error where that is known; null: both do. */
function silenceInWords({ run, hypervisors }: Pick<Trouble, 'run' | 'hypervisors'>, found: VmPlacement): string | null {
  const words = ENDS.filter((end) => found[end] === 'unreachable').map(
    (end) => lastWord(hypervisors.whySilent(end)) ?? `${run.migration[end].endpoint}: It does not answer.`,
  );
  return words.length === 0 ? null : words.join(' ');
}

/** Connecting to an endpoint fails with a message that names it. */
function lastWord(error: unknown): string | null {
  if (error === undefined) return null;
  const { code, message } = describeError(error);
  return code === 'INTERNAL' ? null : message;
}

async function showDoubt(run: Run, doubt: Doubt, unheard: string | null): Promise<void> {
  if (run.notes.arrived) return;
  const words = byHand(run, 'unknown', unheard);
  // Once for each reason: a login that is refused is no silence that passes by itself.
  if (run.migration.where === 'unknown' && (unheard === null || run.migration.byHand === words)) return;
  const why = unheard === null || doubt === 'moving' ? '' : `: ${unheard}`;
  await run.update(
    ({ migration }) => {
      migration.where = 'unknown';
      migration.byHand = words;
    },
    { type: 'log', message: `${DOUBTS[doubt]}${why}` },
  );
}

async function showStanding(run: Run, { where, byHand }: Ending): Promise<void> {
  if (run.migration.byHand === byHand) return;
  await run.update(
    ({ migration }) => {
      migration.where = where;
      migration.byHand = byHand;
    },
    { type: 'log', message: 'the VM stands still at the source; trying again to resume it' },
  );
}
