/**
 * Moves that were decided as one, because a rule keeps their VMs together: either all of them are begun, or none. Pure.
 */
import type { BalancingMove } from './types.ts';

/** The others of the same decision. Each decision has a sentence of its own, which names its VMs and both ends. */
export const companionsOf = (move: BalancingMove, all: readonly BalancingMove[]): BalancingMove[] =>
  all.filter(
    (other) =>
      other.id !== move.id &&
      other.pass === move.pass &&
      other.source === move.source &&
      other.destination === move.destination &&
      other.text === move.text,
  );

/** Whose migration is there, or will be. */
export const isBegun = ({ state }: BalancingMove): boolean =>
  state === 'submitting' || state === 'submitted' || state === 'ended';

export const isToCome = ({ state }: BalancingMove): boolean => state === 'proposed' || state === 'decided';

/** Which will never be begun. */
export const isLost = (move: BalancingMove): boolean => !isBegun(move) && !isToCome(move);
