/**
 * How a migration ends: decided once, before the teardown. And the words for a person where no machine may decide.
 */
import { describeError } from '../errors.ts';
import type { Outcome } from '../migrations/phases.ts';
import type { Migration, MigrationError } from '../migrations/record.ts';
import type { Run } from './run.ts';

export interface Ending {
  readonly outcome: Outcome;
  readonly where: Migration['where'];
  readonly error: MigrationError | null;
  readonly report: Migration['report'];
  readonly byHand: string | null;
}

export function succeeded(report: Migration['report']): Ending {
  return { outcome: 'succeeded', where: 'destination', error: null, report, byHand: null };
}

/** The VM is at the source and stays there; `cause` says why. */
export function notMigrated(run: Run, cause: unknown): Ending {
  const error = toMigrationError(run, cause);
  const outcome = error.code === 'CANCELLED' ? 'cancelled' : 'failed';
  return { outcome, where: 'source', error: outcome === 'cancelled' ? null : error, report: null, byHand: null };
}

/** Nobody can say, or two run: nothing was destroyed, nothing resumed. */
export function undecided(run: Run, where: 'both' | 'unknown', cause: unknown): Ending {
  return {
    outcome: 'failed',
    where,
    error: toMigrationError(run, cause),
    report: null,
    byHand: byHand(run.migration, where),
  };
}

export function byHand({ vm, source, destination }: Migration, where: 'both' | 'unknown'): string {
  const ends = `${source.endpoint} (source) and ${destination.endpoint} (destination)`;
  if (where === 'both') {
    return (
      `VM ${vm.name} runs on both ${ends}. Nothing was stopped. Find out which copy holds the data that counts, then ` +
      'power the other one off on its own host and remove its definition there. Do not start it again.'
    );
  }
  return (
    `It could not be made sure where VM ${vm.name} runs; nothing was destroyed and nothing resumed. Look at ${ends}. ` +
    'If one of them runs it, leave it so and remove what is left of it at the other. If it is paused at the source and ' +
    'the destination neither runs nor holds it, resume it at the source. Never resume it at one end before you have ' +
    'seen that the other does not run it.'
  );
}

function toMigrationError(run: Run, cause: unknown): MigrationError {
  const facts = describeError(cause);
  if (facts.code === 'INTERNAL') run.log.error({ err: cause }, 'unexpected error');
  const { code, message, remedy, retryable, native } = facts;
  return { code, message, remedy, retryable, phase: run.migration.phase, native };
}
