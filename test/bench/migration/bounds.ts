/** What LMAS is held to in a migration. Pure. */

/** From Perform to running at the destination: all bytes at the link's rate and a tenth, and two seconds. */
export function performBoundMs(bytes: number, linkBitsPerSec: number): number {
  return (1.1 * bytes * 8_000) / linkBitsPerSec + 2_000;
}

export interface Buffered {
  readonly inFlightBytes: number;
  readonly goodputBitsPerSec: number;
}

/** The guest's silence: the limit that was set, the time that what is on its way takes, and three round trips. */
export function downtimeBoundMs(limitMs: number, buffered: Buffered, rttMs: number): number {
  return limitMs + (buffered.inFlightBytes * 8_000) / buffered.goodputBitsPerSec + 3 * rttMs;
}
