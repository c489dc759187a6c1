/**
 * The rate of the bottleneck, as measured, and the pace just under it. The kernel's congestion control works for each subflow alone; all of
 * them together would keep a queue in the network, behind which every small message waits. So the sum is paced: a little below the largest
 * rate of arrival of late, less while a queue shows in the round trips, and now and then a little above it, to see whether there is more.
 *
 *   startup ──a queue shows, or the rate stopped growing──▶ paced ──a queue that does not obey──▶ contended
 *      ▲                                                      │  ▲                                   │
 *      └──────the rate fell by half, or is not known at all───┘  └──────────────after a while────────┘
 *
 * In startup and while contended (somebody else fills the queue, and waiting for it to drain would be giving way for ever) there is no pace:
 * the subflows' own congestion control does.
 */
import type { LinkSample } from './link-watch.ts';

/** Arrivals come in bursts: shorter rounds say more about those than about the link. */
const shortestRoundMs = 100;
/** The newest rate of a climb is measured over at least so long. */
const shortestClimbMs = 50;
/** The largest rate of so many rounds counts. */
const rateRounds = 10;
const startupGrowth = 1.2;
const plateauRounds = 3;
/** A queue that ends the startup: longer than this and this share of the round trip. */
const startupQueueMs = 8;
const startupQueueShare = 0.1;
const cruise = 0.99;
/** A queue this long is none: round trips are not that exact. */
const toleratedQueueMs = 3;
/** Of the time that a change of pace takes to show, so much of a queue is drained: more would swing. */
const stiffness = 0.4;
const controlDelayMs = 60;
const slowest = 0.7;
/** Every so many rounds one is faster by this; while that brings more, the next ones are, by twice as much each. */
const probeRounds = 8;
const probe = 0.04;
const largestProbe = 0.25;
const probeGrowth = 1.008;
/** So many of the largest probes that brought more, one after the other, show that the rate is not known at all: it is looked for anew. */
const unknownAfterProbes = 3;
/** How much the measured rate may be corrected, and by how much each round. */
const largestBias = 0.025;
const biasStep = 0.002;
/** What is new needs round trips to be at speed: so many rounds are faster, unless a queue shows. */
const searchRounds = 12;
/** A queue so long that does not obey is somebody else's: of a short path it may never be longer than the round trip. */
const contendedQueueMs = 30;
const contendedQueueShare = 0.6;
const contendedAfterRounds = 10;
const contendedMs = 5_000;

type State = 'startup' | 'paced' | 'contended';

export class LinkRate {
  state: State = 'startup';
  /** Largest rate of arrival of late; 0 while it is not known. */
  bytesPerSec = 0;
  /** How fast the session may send; null: as fast as its subflows can. */
  paceBytesPerSec: number | null = null;
  /** How long the queue in the network is. */
  queueMs = 0;

  readonly #rounds: number[] = [];
  #climb: { nowMs: number; deliveredBytes: number }[] = [];
  #climbed = 0;
  #plateau = 0;
  #limited = false;
  #roundAtMs: number | null = null;
  #roundBytes = 0;
  #bias = 0;
  #probe = 0;
  #step = probe;
  #sinceProbe = 0;
  #searchRounds = 0;
  #beforeProbe = 0;
  #largeFinds = 0;
  #shortestMs = 0;
  #queuedRounds = 0;
  #contendedAtMs = 0;

  /** `limited` says that more would have been sent since the last sample if window, pace or subflows had let it. */
  sample({ nowMs, deliveredBytes, rttMs, minRttMs }: LinkSample, limited: boolean): void {
    const shortestMs = minRttMs ?? 0;
    this.#shortestMs = shortestMs;
    this.#limited ||= limited;
    if (rttMs !== null) this.queueMs = Math.max(0, rttMs - shortestMs);
    if (this.state === 'startup') this.#climbOn(nowMs, deliveredBytes, Math.max(shortestClimbMs, shortestMs));
    this.#roundAtMs ??= this.#beginRound(nowMs, deliveredBytes);
    const elapsedMs = nowMs - this.#roundAtMs;
    if (elapsedMs >= Math.max(shortestRoundMs, shortestMs)) {
      this.#endRound(((deliveredBytes - this.#roundBytes) * 1_000) / elapsedMs, nowMs);
      this.#roundAtMs = this.#beginRound(nowMs, deliveredBytes);
    }
    const queued = this.queueMs > Math.max(startupQueueMs, shortestMs * startupQueueShare);
    if (this.state === 'startup' && limited && queued && this.bytesPerSec > 0) this.#beginPacing();
    if (this.state === 'paced') this.#pace(shortestMs);
  }

  /** There may be more now than there was: searches for it again. */
  search(): void {
    if (this.state !== 'paced') return;
    this.#searchRounds = searchRounds;
    this.#largeFinds = 0;
    this.#step = largestProbe;
    this.#beginProbe();
  }

  /** The rate doubles with each round trip: the newest one counts, not the last full round. */
  #climbOn(nowMs: number, deliveredBytes: number, roundMs: number): void {
    this.#climb.push({ nowMs, deliveredBytes });
    while (nowMs - (this.#climb[1]?.nowMs ?? nowMs) >= roundMs) this.#climb.shift();
    const [oldest] = this.#climb;
    if (oldest === undefined || nowMs - oldest.nowMs < shortestClimbMs) return;
    const rate = ((deliveredBytes - oldest.deliveredBytes) * 1_000) / (nowMs - oldest.nowMs);
    this.bytesPerSec = Math.max(this.bytesPerSec, rate);
  }

  #beginRound(nowMs: number, deliveredBytes: number): number {
    this.#roundBytes = deliveredBytes;
    this.#limited = false;
    return nowMs;
  }

  #endRound(rate: number, nowMs: number): void {
    const before = this.bytesPerSec;
    // A sender without work says nothing about the link, unless it shows that more goes than was known.
    if (rate === 0 || (!this.#limited && rate <= before)) return;
    this.#rounds.push(rate);
    if (this.#rounds.length > rateRounds) this.#rounds.shift();
    const best = Math.max(...this.#rounds);
    this.bytesPerSec = this.state === 'startup' ? Math.max(before, best) : best;
    if (this.state === 'startup') this.#judgeStartup(rate);
    else if (this.state === 'paced') this.#judgePace(before, nowMs);
    else if (nowMs - this.#contendedAtMs > contendedMs) this.#beginPacing();
  }

  #judgeStartup(rate: number): void {
    if (rate > this.#climbed * startupGrowth) {
      this.#climbed = rate;
      this.#plateau = 0;
    } else if (this.#limited) this.#plateau += 1;
    if (this.#plateau >= plateauRounds) this.#beginPacing();
  }

  #judgePace(before: number, nowMs: number): void {
    if (this.bytesPerSec < before / 2) {
      this.#leavePacing('startup');
      return;
    }
    this.#learnBias();
    this.#chooseProbe();
    if (this.#largeFinds >= unknownAfterProbes) {
      this.#leavePacing('startup');
      return;
    }
    const longest = Math.max(2 * toleratedQueueMs, contendedQueueShare * this.#shortestMs);
    this.#queuedRounds = this.queueMs > Math.min(contendedQueueMs, longest) ? this.#queuedRounds + 1 : 0;
    if (this.#queuedRounds < contendedAfterRounds) return;
    this.#contendedAtMs = nowMs;
    this.#leavePacing('contended');
  }

  /** What a probe finds shows in its own round and in the next one. */
  #chooseProbe(): void {
    this.#sinceProbe += 1;
    this.#searchRounds = this.queueMs > 2 * toleratedQueueMs ? 0 : Math.max(0, this.#searchRounds - 1);
    if (this.#searchRounds > 0) {
      this.#beginProbe();
      return;
    }
    const found = this.#sinceProbe <= 2 && this.bytesPerSec > this.#beforeProbe * probeGrowth;
    const due = this.#sinceProbe >= probeRounds && this.queueMs <= 2 * toleratedQueueMs;
    const isFree = found && this.queueMs <= toleratedQueueMs;
    if (isFree && this.#step === largestProbe) this.#largeFinds += 1;
    else if (this.#sinceProbe > 2) this.#largeFinds = 0;
    if (isFree) this.#step = Math.min(largestProbe, 2 * this.#step);
    else if (due) this.#step = probe;
    else {
      this.#probe = 0;
      return;
    }
    this.#beginProbe();
  }

  #beginProbe(): void {
    this.#probe = this.#step;
    this.#sinceProbe = 0;
    this.#beforeProbe = this.bytesPerSec;
  }

  /** The largest of several rounds is a little more than the link carries; the queue tells how much. */
  #learnBias(): void {
    if (this.queueMs > toleratedQueueMs) this.#bias = Math.min(largestBias, this.#bias + biasStep);
    else this.#bias = Math.max(0, this.#bias - biasStep / 2);
  }

  #pace(shortestMs: number): void {
    const excessMs = Math.max(0, this.queueMs - toleratedQueueMs);
    const drain = (stiffness * excessMs) / (shortestMs + controlDelayMs);
    this.paceBytesPerSec = this.bytesPerSec * Math.max(slowest, cruise + this.#probe - this.#bias - drain);
  }

  #beginPacing(): void {
    this.state = 'paced';
    this.#climb = [];
    this.#bias = 0;
    this.#probe = 0;
    this.#step = probe;
    this.#sinceProbe = 0;
    this.#beforeProbe = this.bytesPerSec;
    this.#queuedRounds = 0;
    // The rounds of the climb say less than the link can do.
    this.#rounds.splice(0, this.#rounds.length, this.bytesPerSec);
  }

  #leavePacing(state: State): void {
    this.state = state;
    this.#climbed = 0;
    this.#plateau = 0;
    this.#largeFinds = 0;
    this.paceBytesPerSec = null;
  }
}
