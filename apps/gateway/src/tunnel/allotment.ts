/**
 * What each stream may have of memory that all share, whatever the others do: as much as it likes while few have something, then a sixteenth of what
 * is left, and in any case as little as keeps it alive. So streams that stall one after the other leave something to those that come, and all
 * together have no more than the whole and that little for each (Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet
 * switches", IEEE/ACM Transactions on Networking 6/2, 1998). Pure.
 */
const shareShift = 4;

export interface Bounds {
  /** However little is left. */
  readonly leastBytes: number;
  /** However much is left. */
  readonly mostBytes: number;
}

/** Of `leftBytes`, which may be negative. */
export function allotment(leftBytes: number, { leastBytes, mostBytes }: Bounds): number {
  return Math.max(leastBytes, Math.min(mostBytes, leftBytes >> shareShift));
}
