/**
 * How much may be on its way: the measured bandwidth-delay product with a little more, between a floor and what the operator and the
 * peer allow. It works as one congestion window over all subflows: their own would together fill the queue of the bottleneck and
 * overflow it, and what is lost on one subflow holds back the bytes behind it on all.
 *
 *   startup ──a queue builds up, or the rate stopped growing──▶ steady ──the rate grew by half──▶ startup
 *
 * In startup the gain is large, so that the window doubles each round trip while it is the limit; in steady the surplus is small and
 * follows the queue that pings see: it keeps the link busy, discovers more bandwidth, and leaves the queue short. The rate is that of arrival at the peer, not of delivery
 * (which stands still and jumps when something is missing); the round-trip time the smallest of late.
 */

const floorBytes = 2 << 20;
const initialBytes = 8 << 20;
const startupGain = 2;
/** In steady state: while no queue is seen, while a short one is, and while it is longer than wanted. */
const steadyGains = { noQueue: 1.4, shortQueue: 1.2, longQueue: 1.1 } as const;
const startupGrowth = 1.2;
const plateauRounds = 3;
/** A round trip longer than the shortest by this, or by this share of it, says that a queue builds up. */
const queueMs = 12;
const queueShare = 0.12;
const recentRtts = 3;
const longQueueMs = 40;
const noQueueMs = 6;
/** A frame counts when it is complete and acknowledged, which takes longer than the round trip of a packet. */
const slackMs = 25;
const shortestRoundMs = 50;
/** In steady state a rate is the average of so many rounds, because arrivals come in bursts, and the largest of so many counts. */
const averagedRounds = 4;
const rateRounds = 12;
const rttKeepMs = 30_000;

export class Window {
  readonly #maxBytes: number;
  readonly #rounds: { bytes: number; ms: number }[] = [];
  #limited = false;
  #bytes: number;
  #minRttMs: number | null = null;
  #minRttAtMs = 0;
  /** The newest few round trips; a busy processor makes single ones look longer than they were. */
  #recentRttMs: number[] = [];
  #roundAtMs = 0;
  #roundBytes = 0;
  #startup = true;
  #bestRate = 0;
  #roundsWithoutGrowth = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#bytes = Math.min(maxBytes, initialBytes);
  }
  get bytes(): number {
    return this.#bytes;
  }
  get rttMs(): number | null {
    return this.#minRttMs;
  }
  /** Whether round trips should be measured often: the end of the startup shows in them first. */
  get isStartup(): boolean {
    return this.#startup;
  }

  sampleRtt(rttMs: number, nowMs: number): void {
    this.#recentRttMs.push(rttMs);
    if (this.#recentRttMs.length > recentRtts) this.#recentRttMs.shift();
    if (this.#minRttMs !== null && rttMs > this.#minRttMs && nowMs - this.#minRttAtMs < rttKeepMs) return;
    this.#minRttMs = rttMs;
    this.#minRttAtMs = nowMs;
  }

  /** A probe is over: what it found out is enough, and what comes next must not begin with the large window of a startup. */
  settle(): void {
    if (!this.#startup || this.#rounds.length === 0) return;
    this.#leaveStartup();
    this.#resize();
  }

  /**
   * `arrivedBytes` is the running total that the peer has acknowledged; `limited` says that the window held something back since
   * the last call. Returns whether the window changed.
   */
  sampleArrived(arrivedBytes: number, limited: boolean, nowMs: number): boolean {
    this.#limited ||= limited;
    const elapsedMs = nowMs - this.#roundAtMs;
    if (elapsedMs < Math.max(shortestRoundMs, (this.#minRttMs ?? 0) + slackMs)) return false;
    const wasLimited = this.#limited;
    const bytes = this.#roundAtMs === 0 ? 0 : arrivedBytes - this.#roundBytes;
    this.#limited = false;
    this.#roundAtMs = nowMs;
    this.#roundBytes = arrivedBytes;
    const rate = (bytes * 1000) / elapsedMs;
    // A sender without work says nothing about the link, unless it shows that more goes than was known.
    if (bytes === 0 || (!wasLimited && rate <= this.#bestRate)) return false;
    this.#rounds.push({ bytes, ms: elapsedMs });
    if (this.#rounds.length > rateRounds) this.#rounds.shift();
    this.#judge(rate, wasLimited);
    return this.#resize();
  }

  #judge(rate: number, limited: boolean): void {
    if (!this.#startup) {
      // The link may have become slower: what was best long ago is forgotten with the rounds that saw it.
      const now = this.#steadyRate();
      this.#startup = now > this.#bestRate * 1.5;
      this.#bestRate = now;
      this.#roundsWithoutGrowth = 0;
    } else if (rate > this.#bestRate * startupGrowth) {
      this.#bestRate = rate;
      this.#roundsWithoutGrowth = 0;
    } else if (limited) {
      this.#roundsWithoutGrowth += 1;
    }
    const shortest = this.#minRttMs ?? 0;
    const queued = this.#queueingMs() > Math.max(queueMs, shortest * queueShare);
    if (this.#startup && limited && (queued || this.#roundsWithoutGrowth >= plateauRounds)) this.#leaveStartup();
  }

  #leaveStartup(): void {
    this.#startup = false;
    // The rounds of the climb say less than the link can do.
    this.#rounds.splice(0, this.#rounds.length - 2);
    this.#bestRate = this.#steadyRate();
  }

  /** How much longer than the shortest round trip the newest ones take, at least. */
  #queueingMs(): number {
    return this.#recentRttMs.length === 0 ? 0 : Math.min(...this.#recentRttMs) - (this.#minRttMs ?? 0);
  }

  #steadyGain(): number {
    const queueingMs = this.#queueingMs();
    if (queueingMs > longQueueMs) return steadyGains.longQueue;
    return queueingMs < noQueueMs ? steadyGains.noQueue : steadyGains.shortQueue;
  }

  /** Largest average of consecutive rounds, bytes per second. */
  #steadyRate(): number {
    let best = 0;
    for (let end = this.#rounds.length; end > 0; end -= 1) {
      const part = this.#rounds.slice(Math.max(0, end - averagedRounds), end);
      if (part.length < averagedRounds && best > 0) break;
      const bytes = part.reduce((sum, round) => sum + round.bytes, 0);
      const ms = part.reduce((sum, round) => sum + round.ms, 0);
      best = Math.max(best, (bytes * 1000) / ms);
    }
    return best;
  }

  #resize(): boolean {
    const before = this.#bytes;
    const gain = this.#startup ? startupGain : this.#steadyGain();
    const bandwidthDelay =
      ((this.#startup ? this.#bestRate : this.#steadyRate()) * ((this.#minRttMs ?? 0) + slackMs)) / 1000;
    const wanted = Math.max(floorBytes, gain * bandwidthDelay);
    // In startup it never shrinks: a first round that caught only a few frames is no reason to slow down.
    const next = this.#startup ? Math.max(before, wanted) : wanted;
    this.#bytes = Math.round(Math.min(this.#maxBytes, next));
    return this.#bytes !== before;
  }
}
