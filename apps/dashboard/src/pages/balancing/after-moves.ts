/** What the hosts of a pass will use once the moves that came of it are done. Pure. */
import type { BalancingMove } from '@lmas/client';
import type { Uses } from './policy-words.tsx';

type Planned = Pick<BalancingMove, 'source' | 'destination' | 'expected'>;

/**
 * By endpoint; hosts that no move concerns are not in it.
 * @param moves in the order in which they were decided: each expects those before it to be done
 */
export function usesAfter(moves: readonly Planned[]): ReadonlyMap<string, Uses> {
  const after = new Map<string, Uses>();
  for (const { source, destination, expected } of moves) {
    after.set(source, expected.source);
    after.set(destination, expected.destination);
  }
  return after;
}
