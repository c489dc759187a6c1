/**
 * After what a question is asked once more by itself: nobody has answered it, or only somebody who could not. What the
 * orchestrator has refused it refuses again, and what an endpoint did not answer is for people to ask again.
 */
import { LmasApiError, LmasConnectionError } from '@lmas/client';

/** Soon enough for whoever waits in front of the page, seldom enough for an orchestrator that has just come back. */
export const AGAIN_MS = 4_000;

/** @returns in how many milliseconds; undefined: it was answered */
export function againInMs(error: unknown): number | undefined {
  if (error instanceof LmasConnectionError) return error.retryable ? AGAIN_MS : undefined;
  if (!(error instanceof LmasApiError)) return undefined;
  const { status, code, retryAfterMs = 0 } = error;
  const cannotAnswer = status === 503 || status === 429 || (status >= 500 && code === `HTTP_${status}`); // the last: a proxy
  return cannotAnswer ? Math.max(AGAIN_MS, retryAfterMs) : undefined;
}
