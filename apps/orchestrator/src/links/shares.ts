/**
 * Divides what the limits allow among the migrations that run: max-min fair, by progressive filling (Bertsekas and
 * Gallager, Data Networks, 6.5.2). Pure.
 *
 * Everybody's share grows at the same pace until a limit is used up; those under it stop there, the others go on. So a
 * migration that is held lower by a limit of its own leaves the rest to the others, no limit is ever exceeded, and
 * nobody could have more unless somebody with no more than that had less.
 */
export interface Sharer {
  readonly id: string;
  /** Names of all that it counts under: the whole, its link, itself. */
  readonly groups: readonly string[];
}

/** The least that a gateway can be told; a limit divided among too many is exceeded rather than brought to a halt. */
const LEAST_BYTES_PER_SEC = 1_024;

/** @returns bytes per second, `null` for whoever stands under no limit at all */
export function shares(sharers: readonly Sharer[], limits: ReadonlyMap<string, number>): Map<string, number | null> {
  const result = new Map<string, number | null>(sharers.map(({ id }) => [id, null]));
  const left = new Map<string, { bytesPerSec: number; members: Set<Sharer> }>();
  for (const sharer of sharers) {
    for (const group of sharer.groups) {
      const bytesPerSec = limits.get(group);
      if (bytesPerSec === undefined) continue;
      const entry = left.get(group) ?? { bytesPerSec, members: new Set() };
      left.set(group, entry);
      entry.members.add(sharer);
    }
  }
  while (left.size > 0) {
    let tightest: { bytesPerSec: number; members: Set<Sharer> } | undefined;
    let share = Number.POSITIVE_INFINITY;
    for (const entry of left.values()) {
      const each = entry.bytesPerSec / entry.members.size;
      if (each < share) [tightest, share] = [entry, each];
    }
    for (const sharer of [...(tightest?.members ?? [])]) {
      result.set(sharer.id, Math.max(LEAST_BYTES_PER_SEC, Math.floor(share)));
      settle(left, sharer, share);
    }
  }
  return result;
}

/** Its share is known: it is taken out of everything that it counts under. */
function settle(left: Map<string, { bytesPerSec: number; members: Set<Sharer> }>, sharer: Sharer, share: number): void {
  for (const group of sharer.groups) {
    const entry = left.get(group);
    if (entry === undefined) continue;
    entry.bytesPerSec -= share;
    entry.members.delete(sharer);
    if (entry.members.size === 0) left.delete(group);
  }
}
