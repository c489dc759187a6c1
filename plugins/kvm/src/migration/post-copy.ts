/**
 * Post-copy: when to switch to it, and how to take it up again when its streams broke.
 *
 *   pre-copy ──passes done──▶ point of no return ──START_POST_COPY──▶ under way ──rest pulled over──▶ at the destination
 *                                                                      │    ▲
 *                                                          streams lost ▼    │ the same migration again, POSTCOPY_RESUME
 *                                                                     broken ┘
 *
 * Invariant: from the switch on nothing here, or anywhere else in this plugin, aborts, destroys or resumes either copy:
 * each holds memory that the other one lacks. What cannot be recovered is left as it is, with what to do by hand.
 */
import { type Logger, PluginError, pluginErrorCode } from '@lmas/plugin-api';
import { isFault, toPluginError } from '../errors.ts';
import { ABORT_JOB, JOB } from '../rpc/constants.ts';
import type { Domain } from '../rpc/procedures.ts';
import { numberOf } from '../rpc/typed-params.ts';
import type { KvmSession } from '../session.ts';
import { pause } from './progress.ts';
import { type Ends, lookAtBoth, postCopyOf, type Sightings } from './settle.ts';
import { look } from './sighting.ts';

interface Options {
  readonly signal: AbortSignal;
}

const PASS_POLL_MS = 200;
const SWITCH_ATTEMPTS = 5;
const SWITCH_INTERVAL_MS = 300;

/** How long and how often a broken post-copy migration is taken up again before a person has to look. */
export interface RecoveryLimits {
  /** In a row, without any memory moving in between. */
  readonly attempts: number;
  readonly intervalMs: number;
  /** Since memory moved last, unless both ends say that all is well. */
  readonly timeMs: number;
  /** One end says that it is broken, the other one does not, and nothing moves: then it is paused on purpose. */
  readonly stallMs: number;
}
export const RECOVERY_LIMITS: RecoveryLimits = { attempts: 60, intervalMs: 5_000, timeMs: 900_000, stallMs: 30_000 };

/** Resolves when memory was sent over `passes` times; false when `signal` aborts first. Polls that fail are skipped. */
export async function passesDone(
  source: KvmSession,
  domain: Domain,
  passes: number,
  { signal }: Options,
): Promise<boolean> {
  while (!signal.aborted) {
    try {
      const job = await (await source.query({ signal })).jobStats(domain, 0, { signal });
      // libvirt counts the pass that is under way.
      if (job.type === JOB.unbounded && (numberOf(job.params, 'memory_iteration') ?? 0) > passes)
        return !signal.aborted;
    } catch (error) {
      if (source.closed.aborted) throw toPluginError(error, 'waiting for the switch to post-copy');
    }
    await pause(PASS_POLL_MS, signal);
  }
  return false;
}

/**
 * Asks the source to switch. Resolves when it has accepted, or when there is nothing to switch any more because the
 * migration got across, or ended, without (then `signal` aborts).
 * @throws PluginError when it refuses while the guest still runs there: the caller stops the migration
 */
export async function startPostCopy(
  source: KvmSession,
  domain: Domain,
  uuid: string,
  { signal, assertCurrent }: Options & { assertCurrent: () => Promise<void> },
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await assertCurrent();
      await (await source.query({ signal })).call('domainMigrateStartPostCopy', { domain, flags: 0 }, { signal });
      return;
    } catch (error) {
      if (signal.aborted) return;
      if (pluginErrorCode(error) === 'SUPERSEDED' || source.closed.aborted) throw toPluginError(error, SWITCHING);
      // Refused, or the reply was lost: what the guest does tells whether it has switched.
      const seen = await look(source, uuid, 'source', { signal });
      const waits = seen.presence === 'unreachable' || (seen.presence === 'running' && seen.moving);
      if (!waits) return;
      if (attempt >= SWITCH_ATTEMPTS) throw toPluginError(error, SWITCHING);
      await pause(SWITCH_INTERVAL_MS, signal);
    }
  }
}
const SWITCHING = 'switching to post-copy';

/**
 * Takes a post-copy migration to its end: waits while it goes on by itself, takes it up again when it is broken.
 * Resolves when the source is no longer needed (or, if it never switched, runs on); the caller looks where the guest is.
 * @param resume the same migration again; resolves when that has come to its end
 * @throws PluginError OUTCOME_UNKNOWN when the limits are used up or the destination has lost the guest, CONNECTION_LOST
 */
export async function bringThrough(
  ends: Ends,
  uuid: string,
  resume: (domain: Domain) => Promise<void>,
  { signal, log, limits }: Options & { readonly log: Logger; readonly limits: RecoveryLimits },
): Promise<void> {
  let attempts = 0;
  let cause: unknown;
  let last: number | undefined;
  let movedAt = performance.now();
  for (;;) {
    const seen = await lookAtBoth(ends, uuid, { signal });
    if (signal.aborted) throw new PluginError('ABORTED', 'The recovery of the post-copy migration was given up.');
    assertConnected(ends, seen);
    const { source, destination } = seen;
    const silent = source.presence === 'unreachable' || destination.presence === 'unreachable';
    const postCopy = postCopyOf(seen);
    if (!silent && postCopy === undefined) return;
    const remaining = source.domain === undefined ? last : await remainingBytes(ends.source, source.domain, signal);
    if (remaining !== undefined && remaining !== last) {
      last = remaining;
      movedAt = performance.now();
      attempts = 0;
    }
    const stillMs = performance.now() - movedAt;
    const well = source.postCopy !== 'broken' && destination.postCopy !== 'broken';
    if ((silent || !well) && (stillMs > limits.timeMs || attempts >= limits.attempts)) throw brokenPostCopy(cause);
    if (!silent && source.domain !== undefined && postCopy === 'broken') {
      const { presence } = destination;
      if (presence === 'absent' || presence === 'stopped') throw lostAtDestination(presence, cause);
      attempts += 1;
      log.warn({ attempt: attempts }, 'post-copy is broken; taking it up again');
      // A refusal may only mean that one end has not noticed yet, or that things moved on: the next look tells.
      cause = await resume(source.domain).then(
        () => cause,
        (error: unknown) => error,
      );
    } else if (!silent && source.domain !== undefined && !well && stillMs > limits.stallMs) {
      await pausePostCopy(ends.source, source.domain, signal);
    }
    await pause(limits.intervalMs, signal);
  }
}

/** `undefined` when libvirt does not say. */
async function remainingBytes(source: KvmSession, domain: Domain, signal: AbortSignal): Promise<number | undefined> {
  try {
    const { params } = await (await source.query({ signal })).jobStats(domain, 0, { signal });
    return numberOf(params, 'data_remaining');
  } catch {
    // Asked again at the next look, which also finds out whether the session is still there.
    return undefined;
  }
}

/** Makes the source close its stream, so that the other end notices as well. Best effort: the next look tells. */
async function pausePostCopy(source: KvmSession, domain: Domain, signal: AbortSignal): Promise<void> {
  const flags = ABORT_JOB.postCopy;
  try {
    await (await source.query({ signal })).call('domainAbortJobFlags', { domain, flags }, { signal });
  } catch (error) {
    if (!isFault(error)) assertAlive(source, error);
  }
}

function assertAlive(session: KvmSession, error: unknown): void {
  if (session.closed.aborted) throw toPluginError(error, 'pausing the post-copy migration');
}

/** A session that is gone stays gone; a daemon that is being restarted comes back. */
function assertConnected(ends: Ends, seen: Sightings): void {
  for (const end of ['source', 'destination'] as const) {
    if (!ends[end].closed.aborted) continue;
    throw toPluginError(seen[end].error ?? ends[end].closed.reason, 'watching the post-copy migration');
  }
}

/** What a person has to know and do when post-copy stays broken. */
export function brokenPostCopy(cause?: unknown): PluginError {
  return new PluginError(
    'OUTCOME_UNKNOWN',
    'The post-copy migration is broken: each host holds a part of the memory.',
    {
      cause,
      remedy:
        'Never destroy, reset or resume the VM at either host: each holds memory that the other lacks. Mend the link, then on the source host: virsh migrate --live --p2p --postcopy --postcopy-resume VM DESTINATION_URI tcp://DESTINATION:PORT. Afterwards the VM runs at the destination, and what is shut off at the source can be undefined.',
    },
  );
}

function lostAtDestination(presence: string, cause: unknown): PluginError {
  const message = `The destination has lost the VM in the middle of post-copy (it says "${presence}").`;
  return new PluginError('OUTCOME_UNKNOWN', message, {
    cause,
    remedy:
      'Nothing was resumed: if the guest had been started at the destination, the copy at the source is older than what ran there, and its disks may have been written to since. Save what you need of it (virsh dump), then destroy it and start the VM afresh from its disks, or from a backup.',
  });
}
