/**
 * Trying again by itself: only while nothing was handed over, only after faults that pass (a machine that is away, a
 * tunnel that did not come up), never after a login was refused or a check has found a reason not to migrate. What the
 * failed attempt made is taken down first; each pause is twice as long as the one before, with some chance in it, so that
 * many that failed together do not come back together.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { sshErrorCode } from '@lmas/ssh';
import { describeError } from '../errors.ts';
import { now } from '../migrations/record.ts';
import type { Run } from './run.ts';
import { phaseOf, totalDeadline } from './stages.ts';

const PASSING: ReadonlySet<string> = new Set([
  'UNREACHABLE',
  'CONNECTION_LOST',
  'TIMEOUT',
  'GATEWAY_UNREACHABLE',
  'GATEWAY_START_FAILED',
  'GATEWAY_ENDED',
  'GATEWAY_CORRUPT',
  'NO_FREE_PORT',
  'TUNNEL_NOT_ESTABLISHED',
]);
/** What never passes before something was handed over, and looks as if it did: whoever has granted other attempts expects one. */
const PASSING_LOOK: ReadonlySet<string> = new Set(['INTERRUPTED', 'STREAM_FAILED']);
const HANDED_OVER =
  'It is not tried again by itself: the destination had been told of the VM already, and from there on a person decides.';
const LONGEST_PAUSE_MS = 300_000;

/** Whether the forward way may be gone once more after `cause`. `alsoPassing`: faults that pass for this purpose. */
export function mayTryAgain(
  { migration, journal, cancelled }: Run,
  cause: unknown,
  alsoPassing: readonly string[] = [],
): boolean {
  if (journal.has('hand-over') || cancelled.aborted) return false;
  if (migration.failedAttempts.length >= migration.request.retries.max) return false;
  const { code } = describeError(cause);
  return (PASSING.has(code) || alsoPassing.includes(code)) && !isRefusedLogin(cause);
}

/** Where somebody may wonder why there is no other attempt, although some were granted: why; `null` where nobody will. */
export function whyNoOtherAttempt({ migration, journal }: Run, code: string): string | null {
  const isPassing = PASSING.has(code) || PASSING_LOOK.has(code);
  const someAreLeft = migration.failedAttempts.length < migration.request.retries.max;
  return isPassing && someAreLeft && journal.has('hand-over') ? HANDED_OVER : null;
}

/** A gateway machine that refuses the login is `GATEWAY_UNREACHABLE`; SSH's own answer is underneath. */
function isRefusedLogin(error: unknown): boolean {
  if (sshErrorCode(error) === 'LOGIN_REFUSED') return true;
  return error instanceof Error && error.cause !== undefined && isRefusedLogin(error.cause);
}

/**
 * Writes the failed attempt down and waits. @throws the reason why there will be no other one: a cancel, the limit of the
 * whole, or that the run was lost
 */
export async function pauseBeforeRetry(run: Run, cause: unknown): Promise<void> {
  const { code, message } = describeError(cause);
  const phase = phaseOf(run);
  const { backOffMs } = run.migration.request.retries;
  const exponential = backOffMs * 2 ** run.migration.failedAttempts.length;
  const pauseMs = Math.round(Math.min(LONGEST_PAUSE_MS, exponential) * (0.75 + Math.random() / 2));
  run.log.warn({ err: cause, pauseMs }, 'the attempt failed before anything was handed over; trying again');
  await run.update(
    ({ migration }) => {
      migration.failedAttempts.push({ at: now(), phase, code, message });
    },
    { type: 'log', message: `${code}: ${message} Trying again in ${Math.round(pauseMs / 1_000)} s.` },
  );
  using total = totalDeadline(run);
  const stop = AbortSignal.any([run.lost, total.signal]);
  await sleep(pauseMs, undefined, { signal: stop }).catch(() => stop.throwIfAborted());
}
