/** One migration in a table: short words for its phase and its place. */
import { hasEnded, type Migration } from '@lmas/client';
import { isUndecided } from './migration-text.ts';

/** An `unknown` that is no alarm is not shown as one. */
export function placeInShort(migration: Migration): string {
  return migration.where === 'unknown' && !isUndecided(migration) ? '-' : migration.where;
}

export function describePhase(migration: Migration): string {
  return `${KINDS[migration.purpose]}${phaseInWords(migration)}`;
}

const KINDS: Readonly<Record<Migration['purpose'], string>> = { move: '', drill: 'drill, ', relocation: 'off, ' };

function phaseInWords(migration: Migration): string {
  const { phase, progress, cancelRequestedAt } = migration;
  if (hasEnded(migration)) return phase;
  if (cancelRequestedAt !== null) return `${phase} (cancelling)`;
  return phase === 'performing' && progress !== null ? `${phase} ${Math.floor(progress.percent)} %` : phase;
}
