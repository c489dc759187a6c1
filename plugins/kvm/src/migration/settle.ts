/**
 * Brings a migration that nobody drives any more to an end, with no memory of what happened before. It looks at both ends
 * again and again and does the one thing that is certain to be right, or nothing:
 *
 *   source             destination     does
 *   ─────────────────  ──────────────  ──────────────────────────────────────────────────────────────
 *   anything, moving   anything        asks the source to abort, waits
 *   a job that is no   anything        never ends it; what would be done below waits for it
 *     migration
 *   running            incoming        waits for libvirt to destroy the incoming guest; then destroys it itself:
 *                                      without a job at the source nobody can bring it to life any more
 *   running            stopped: failed removes that definition: our Finish left it there, and could not start it
 *   running            anything else   nothing: the VM is at the source
 *   anything           running         nothing: the VM is at the destination (or at both: a person has to look)
 *   stopped by a       incoming        waits: either Finish was under way and it will run, or libvirt destroys it
 *     migration                          with the connection that prepared it; never decides this itself
 *   stopped by a       absent          resumes the source: the only copy there is
 *     migration
 *   stopped by a       stopped         nothing: Finish defines the VM before it lets it go, so it may have run there
 *     migration
 *   moving             unreachable     asks the source to abort, if nobody was asked to let the guest go
 *   anything else      unreachable     nothing: silence is no answer
 *   in post-copy       anything        nothing: each end holds memory that the other one lacks
 *
 * Invariant: the source is resumed only after the destination has answered, on a live connection, that it knows no such
 * VM. An incoming guest that is gone cannot come back, since only a new Prepare makes one.
 */
import { type Presence, type VmPlacement, type Where, whereIs } from '@lmas/plugin-api';
import { isFault, toPluginError } from '../errors.ts';
import type { KvmSession } from '../session.ts';
import { pause } from './progress.ts';
import { abortMigration, endedByFailure, look, type PostCopy, type Sighting } from './sighting.ts';
import { undefine } from './undefine.ts';

/** libvirt notices a dead client after 30 s (5 s of silence, five pings) and then destroys what it left incoming. */
const SETTLE_TIMEOUT_MS = 40_000;
/** How long a running source waits for libvirt to clear the destination by itself. */
const CLEAR_GRACE_MS = 5_000;
/** A daemon that is being restarted is back within seconds; a host whose SSH connection is gone is not waited for. */
const RESTART_GRACE_MS = 15_000;
const LOOK_INTERVAL_MS = 200;
const ABORT_INTERVAL_MS = 1_000;
/** The VM runs, and what cannot be removed is told: nothing else waits for it. */
const REMOVAL_ATTEMPTS = 5;

export interface Ends {
  readonly source: KvmSession;
  readonly destination: KvmSession;
}

export interface SettleOptions {
  readonly signal: AbortSignal;
  /** Awaited before each side effect. */
  readonly assertCurrent: () => Promise<void>;
  /** Called each time the one thing to do was refused, or its reply was lost; it is tried again. */
  readonly onRefused?: (step: string, error: unknown) => void;
  /** False: this migration never began to move, so what moves is somebody else's. Default true. */
  readonly performed?: boolean;
  /** False: nobody was asked to let the guest go. Default true. */
  readonly pastNoReturn?: boolean;
  readonly settleTimeoutMs?: number;
  readonly clearGraceMs?: number;
  readonly restartGraceMs?: number;
}

export interface Sightings {
  readonly source: Sighting;
  readonly destination: Sighting;
}

/** `stopped` at the destination is evidence that the guest was let go there: Finish defines it first. */
export function placeOf(source: Presence, destination: Presence): Where {
  if (source === 'paused' && destination === 'stopped') return 'unknown';
  return whereIs(source, destination);
}

/**
 * Whether part of the guest's memory is still at the source. Once the source holds no process that is over, whatever
 * the destination still says. It is broken when neither end goes on: a source that only lost its control connection says
 * so too, while QEMU sends on by itself (seen with libvirt 9.0).
 */
export function postCopyOf({ source, destination }: Sightings): PostCopy | undefined {
  if (source.presence !== 'paused') return undefined;
  if (source.postCopy === undefined && destination.postCopy === undefined) return undefined;
  const stands = destination.postCopy === 'broken' || destination.presence !== 'running';
  return source.postCopy === 'broken' && stands ? 'broken' : 'under-way';
}

export function placementOf(seen: Sightings): VmPlacement {
  const source = seen.source.presence;
  const destination = seen.destination.presence;
  const postCopy = postCopyOf(seen);
  if (postCopy === undefined) {
    return { source, destination, where: placeOf(source, destination), moving: seen.source.moving };
  }
  const arrived = postCopy === 'under-way' && destination === 'running';
  return {
    source,
    destination,
    where: arrived ? 'destination' : 'unknown',
    moving: postCopy === 'under-way',
    postCopy,
  };
}

export async function lookAtBoth(ends: Ends, uuid: string, options: { signal: AbortSignal }): Promise<Sightings> {
  // The source first: if the guest moves between the two looks, it is seen twice rather than never.
  const source = await look(ends.source, uuid, 'source', options);
  return { source, destination: await look(ends.destination, uuid, 'destination', options) };
}

/** Before we have asked for anything to move, whatever moves there is as foreign as a backup; so is a failure at the destination. */
function asSomebodyElses({ source, destination }: Sightings): Sightings {
  const foreignJob = source.foreignJob || source.moving;
  return { source: { ...source, moving: false, foreignJob }, destination: { ...destination, state: undefined } };
}

type Step = 'done' | 'wait' | 'abort-job' | 'clear-destination' | 'remove-definition' | 'resume-source';

/** The table above. Pure. @param waitedMs since the source was first seen running without a job */
export function nextStep(
  seen: Sightings,
  waitedMs: number,
  { clearGraceMs = CLEAR_GRACE_MS, pastNoReturn = true }: Pick<SettleOptions, 'clearGraceMs' | 'pastNoReturn'> = {},
): Step {
  const { source, destination } = seen;
  if (source.presence === 'unreachable' || postCopyOf(seen) !== undefined) return 'done';
  if (destination.presence === 'unreachable') return source.moving && !pastNoReturn ? 'abort-job' : 'done';
  if (source.moving) return destination.presence === 'running' ? 'wait' : 'abort-job';
  if (destination.presence === 'running' || destination.presence === 'paused') return 'done';
  if (source.presence === 'running') {
    // `prepare` has seen that the destination did not know the VM. What was shut down there has run, and is a person's.
    if (endedByFailure(destination)) return 'remove-definition';
    if (destination.presence !== 'incoming') return 'done';
    return source.foreignJob || waitedMs < clearGraceMs ? 'wait' : 'clear-destination';
  }
  if (destination.presence === 'incoming') return 'wait';
  if (source.presence === 'paused' && source.pausedByMigration && destination.presence === 'absent') {
    return source.foreignJob ? 'wait' : 'resume-source';
  }
  return 'done';
}

async function act(
  step: Step,
  ends: Ends,
  seen: Sightings,
  { signal, onRefused = () => undefined }: Pick<SettleOptions, 'signal' | 'onRefused'>,
): Promise<void> {
  const options = { signal };
  try {
    if (step === 'abort-job' && seen.source.domain !== undefined) {
      await abortMigration(await ends.source.query(options), seen.source.domain, options);
    } else if (step === 'clear-destination' && seen.destination.domain !== undefined) {
      await (await ends.destination.query(options)).call('domainDestroy', { domain: seen.destination.domain }, options);
    } else if (step === 'remove-definition' && seen.destination.domain !== undefined) {
      await undefine(ends.destination, seen.destination.domain, options);
    } else if (step === 'resume-source' && seen.source.domain !== undefined) {
      await (await ends.source.query(options)).call('domainResume', { domain: seen.source.domain }, options);
    }
  } catch (error) {
    // A refusal mostly means that things have moved on since we looked, and a lost reply is no answer: look again.
    if (!isFault(error) && signal.aborted) throw toPluginError(error, 'settling the migration');
    onRefused(step, error);
  }
}

function mayComeBack(ends: Ends, seen: Sightings): boolean {
  const silent = (['source', 'destination'] as const).filter((end) => seen[end].presence === 'unreachable');
  return silent.length > 0 && silent.every((end) => !ends[end].closed.aborted);
}

/**
 * Settles, and says where the VM is then. When the time is up it may stand still at the source (`paused`): because the
 * destination still holds the incoming guest, a foreign job lasts, or the daemon refuses to resume it.
 * @throws PluginError SUPERSEDED from `assertCurrent`, ABORTED
 */
export async function settle(ends: Ends, uuid: string, options: SettleOptions): Promise<VmPlacement> {
  const { signal, assertCurrent, settleTimeoutMs = SETTLE_TIMEOUT_MS } = options;
  const { restartGraceMs = RESTART_GRACE_MS, performed = true } = options;
  const started = performance.now();
  let stableSince: number | undefined;
  let abortedAt = Number.NEGATIVE_INFINITY;
  let removals = 0;
  for (;;) {
    const found = await lookAtBoth(ends, uuid, { signal });
    const seen = performed ? found : asSomebodyElses(found);
    const now = performance.now();
    const stable = seen.source.presence === 'running' && !seen.source.moving;
    stableSince = stable ? (stableSince ?? now) : undefined;
    const step = nextStep(seen, stableSince === undefined ? 0 : now - stableSince, options);
    if (step === 'remove-definition') removals += 1;
    const late = now - started > settleTimeoutMs || signal.aborted || removals > REMOVAL_ATTEMPTS;
    const mayReturn = now - started < restartGraceMs && mayComeBack(ends, seen);
    if (late || (step === 'done' && !mayReturn)) return placementOf(seen);
    if (step !== 'done' && step !== 'wait' && (step !== 'abort-job' || now - abortedAt > ABORT_INTERVAL_MS)) {
      if (step === 'abort-job') abortedAt = now;
      await assertCurrent();
      await act(step, ends, seen, options);
    }
    await pause(LOOK_INTERVAL_MS, signal);
  }
}
