/**
 * Waits for the end of `xl migrate`, and tells it to stop when that is wanted. A cancel is a request: the relay decides whether it
 * comes in time, and how xl ends is the answer. One that came too late is over in a moment; if it is not, the other end has
 * gone without a word, and the relay has to go, too: xl then leaves the guest suspended, for others to decide.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Dom0, XlEnd } from './client.ts';
import type { XlSteps } from './steps.ts';

/** After a cancel: xl has to resume its guest. */
const CANCEL_LIMIT_MS = 120_000;

export interface Following {
  readonly dom0: Dom0;
  readonly steps: XlSteps;
  readonly migrationId: string;
  readonly onSent: (bytes: number) => void;
  /** How long a handshake may take to its end once a cancel came too late. */
  readonly patienceMs: number;
}

export async function followToItsEnd(following: Following, { signal }: { signal: AbortSignal }): Promise<XlEnd> {
  const { dom0, steps, migrationId, onSent, patienceMs } = following;
  const ended = new AbortController();
  const givenUp = new AbortController();
  const cancel = async (): Promise<void> => {
    const limit = AbortSignal.timeout(CANCEL_LIMIT_MS);
    limit.addEventListener('abort', () => givenUp.abort(limit.reason), { once: true });
    await steps.cancel({ signal: limit });
    await sleep(patienceMs, undefined, { signal: ended.signal });
    await steps.cancel({ signal: limit }, { force: true });
  };
  const onAbort = (): void =>
    void cancel().catch((error: unknown) => {
      if (!ended.signal.aborted) givenUp.abort(error);
    });
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await dom0.follow(migrationId, onSent, { signal: givenUp.signal });
  } finally {
    ended.abort();
    signal.removeEventListener('abort', onAbort);
  }
}
