/**
 * Refusals as an operator reads them: all are counted, few are written. Strangers cause them at any rate they like, and each line costs
 * a synchronous write and disk, so that of each code the first one is written whole, and from then on one summary for each interval in
 * which there were more. Codes are few, so that lines are, too.
 */
import type { ErrorCode, GatewayError } from './errors.ts';
import type { Log } from './log.ts';

export const summaryIntervalMs = 10_000;

interface Withheld {
  /** Since the last line. */
  count: number;
  lastFrom: string;
  timer: NodeJS.Timeout;
}

export class RefusalLog {
  /** By code, since the start. */
  readonly counts: Record<string, number> = {};
  readonly #log: Log;
  readonly #withheld = new Map<ErrorCode, Withheld>();

  constructor(log: Log) {
    this.#log = log;
  }

  note(error: GatewayError, from: string): void {
    const { code, message } = error;
    this.counts[code] = (this.counts[code] ?? 0) + 1;
    const withheld = this.#withheld.get(code);
    if (withheld === undefined) {
      this.#log.warn('refused', { code, message, from });
      this.#withheld.set(code, { count: 0, lastFrom: from, timer: this.#timer(code) });
    } else {
      withheld.count += 1;
      withheld.lastFrom = from;
    }
  }

  /** Writes what was withheld, and ends the timers. */
  stop(): void {
    for (const [code, withheld] of this.#withheld) {
      clearTimeout(withheld.timer);
      if (withheld.count > 0) this.#summarise(code, withheld);
    }
    this.#withheld.clear();
  }

  #timer(code: ErrorCode): NodeJS.Timeout {
    return setTimeout(() => this.#intervalOver(code), summaryIntervalMs).unref();
  }

  #intervalOver(code: ErrorCode): void {
    const withheld = this.#withheld.get(code);
    // After a quiet interval the next one is written whole again.
    if (withheld === undefined || withheld.count === 0) {
      this.#withheld.delete(code);
      return;
    }
    this.#summarise(code, withheld);
    withheld.count = 0;
    withheld.timer = this.#timer(code);
  }

  #summarise(code: ErrorCode, { count, lastFrom }: Withheld): void {
    this.#log.warn('refused again', { code, times: count, total: this.counts[code], lastFrom });
  }
}
