/**
 * The orchestrator's time. A browser's own clock may be wrong by hours, and all times that the page shows beside it are the
 * orchestrator's: so it is set by the answers, whose `Date` header says when each was given.
 */

/** `Date` knows whole seconds. */
const PRECISION_MS = 1_000;

let offsetMs = 0;

/**
 * Sets it by an answer that has just come. It is moved no further than the answer asks for: so the seconds that `Date` leaves out
 * make no clock jump to and fro.
 */
export function setClock(headers: Pick<Headers, 'get'>, browserMs = Date.now()): void {
  const leastMs = Date.parse(headers.get('date') ?? '') - browserMs;
  if (!Number.isNaN(leastMs)) offsetMs = Math.min(Math.max(offsetMs, leastMs), leastMs + PRECISION_MS);
}

/** Milliseconds since 1970, by the orchestrator's clock. */
export function nowMs(browserMs = Date.now()): number {
  return browserMs + offsetMs;
}
