/** Asking again and again, until an answer holds or the time is up. */
import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_MS = 500;

/** @returns the last answer, whether it holds or not */
export async function until<T>(
  ask: () => Promise<T>,
  holds: (answer: T) => boolean,
  withinMs: number,
  { signal }: { signal: AbortSignal },
): Promise<T> {
  const started = performance.now();
  for (;;) {
    const answer = await ask();
    if (holds(answer) || performance.now() - started > withinMs || signal.aborted) return answer;
    await sleep(Math.min(LOOK_MS, withinMs), undefined, { signal }).catch(() => undefined);
  }
}
