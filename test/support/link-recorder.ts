/**
 * When the payload of a migration was on the link: samples the lab's byte counter of one direction while it runs. The
 * same yardstick for every contender, because none of them is asked.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Lab } from '../lab/src/index.ts';

const PERIOD_MS = 50;
/** What comes before and after this much of all bytes is set-up and good-byes, not payload. */
const EDGE = 0.0005;

export interface LinkRecording {
  /** From the first to the last byte of payload. */
  readonly durationMs: number;
  /** All bytes that crossed, headers and retransmissions included. */
  readonly wireBytes: number;
}

export class LinkRecorder {
  readonly #samples: { atMs: number; bytes: number }[] = [];
  readonly #stopping = new AbortController();
  readonly #done: Promise<void>;

  /** Starts at once. @param direction `ab` from site A to site B, or `ba` */
  constructor(lab: Lab, direction: 'ab' | 'ba') {
    this.#done = this.#sample(lab, direction);
  }

  /** Ends the recording. Idempotent. @param fromMs leaves out what came before, in milliseconds since 1970 */
  async stop(fromMs = 0): Promise<LinkRecording> {
    this.#stopping.abort();
    await this.#done;
    return evaluate(this.#samples.filter(({ atMs }) => atMs >= fromMs));
  }

  async #sample(lab: Lab, direction: 'ab' | 'ba'): Promise<void> {
    const { signal } = this.#stopping;
    while (true) {
      const stopping = signal.aborted;
      const stats = await lab.linkStats();
      this.#samples.push({ atMs: performance.timeOrigin + performance.now(), bytes: stats[direction].deliveredBytes });
      if (stopping) return;
      await delay(PERIOD_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** Exported for its test. Times between two samples are interpolated. */
export function evaluate(samples: readonly { atMs: number; bytes: number }[]): LinkRecording {
  const base = samples[0]?.bytes ?? 0;
  const wireBytes = (samples.at(-1)?.bytes ?? 0) - base;
  const reached = (bytes: number): number => {
    for (let i = 1; i < samples.length; i++) {
      const [before, after] = [samples[i - 1], samples[i]];
      if (!before || !after || after.bytes - base < bytes) continue;
      const share = (bytes - (before.bytes - base)) / Math.max(1, after.bytes - before.bytes);
      return before.atMs + share * (after.atMs - before.atMs);
    }
    return samples.at(-1)?.atMs ?? 0;
  };
  return { durationMs: reached(wireBytes * (1 - EDGE)) - reached(wireBytes * EDGE), wireBytes };
}
