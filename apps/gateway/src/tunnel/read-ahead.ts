/**
 * How much may be read from hypervisors before there is credit to send it: enough for full frames, no more, because a hypervisor takes
 * what we swallow for what the link carries. Shared by the streams of a session, with something kept for each, so that a stalled
 * stream never keeps another one from being read.
 * Invariant: `heldBytes` is the sum of what all streams have read and not yet put into frames.
 */

/** What every stream may hold whatever the others do; all together beyond that; one alone at most. */
const guaranteedBytes = 64 << 10;
const sharedBytes = 1 << 20;
const perStreamBytes = 512 << 10;

export class ReadAhead {
  heldBytes = 0;

  /** A stream that holds `pendingBytes` has to stop reading. */
  stops(pendingBytes: number): boolean {
    return pendingBytes >= perStreamBytes || (pendingBytes >= guaranteedBytes && this.heldBytes >= sharedBytes);
  }
  /** A stream that stopped may read again: at half, so that reads stay large. Always true for one that holds nothing. */
  resumes(pendingBytes: number): boolean {
    if (pendingBytes >= perStreamBytes / 2) return false;
    return pendingBytes < guaranteedBytes / 2 || this.heldBytes < sharedBytes;
  }
}
