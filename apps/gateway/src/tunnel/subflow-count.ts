/**
 * How many subflows a session has. One TCP connection carries a link only as long as its congestion window holds out: losses, small buffers
 * and shares of others keep it small, and then more connections carry more. Beyond that they only cost. So there are few at first; more are
 * tried when all of them were full and nothing else held the sender back, and kept if the goodput grew; fewer are tried when they were seldom
 * full, and kept if it did not fall. What failed is tried again only after a pause that doubles. Pure: told what was seen, says what is wanted.
 *
 *   steady ──all full──▶ more ──goodput grew──▶ steady          (else back, and a pause)
 *      └──seldom full──▶ fewer ──it did not fall──▶ steady      (else back, and a pause)
 */

import type { SessionConfig } from '@lmas/gateway-api';

export interface SubflowRange {
  min: number;
  max: number;
}

/** Three lanes, and three that carry bulk. More than 32 cost more than they bring on every path that was measured. */
const auto: SubflowRange = { min: 6, max: 32 };

export function subflowRange(setting: SessionConfig['subflows']): SubflowRange {
  if (setting === 'auto') return auto;
  return typeof setting === 'number' ? { min: setting, max: setting } : setting;
}

/** What the sender saw since it looked last. */
export interface CountSample {
  nowMs: number;
  rttMs: number;
  deliveredBytes: number;
  /**
   * What kept more from being sent: the subflows, all full; something else (pace, window, limit); nothing, for lack of work; or it was a time
   * that tells nothing about their number: the rate of the link was being searched for, or fought for.
   */
  heldBy: 'subflows' | 'other' | 'nothing' | 'unclear';
}

/** Three lanes and four that carry bulk. */
const initial = 7;
/** Shorter looks say more about bursts than about the link; a subflow that is new needs its round trips. */
const shortestRoundMs = 600;
const roundTrips = 6;
/** Of the looks of a round, so many have to be full to ask for more, and so few to ask for less. */
const crowded = 0.5;
const roomy = 0.1;
const growth = 2;
const shrinkage = 0.8;
/** With work missing at more looks than this, a round tells nothing. */
const idle = 0.3;
/** More have to bring so much, and fewer may cost so little. The pace alone makes one round differ from the next by some percent. */
const leastGain = 1.05;
const mostLoss = 0.94;
/** Fewer are tried only after so long without need. */
const calmMs = 10_000;
const firstPauseMs = 15_000;
const longestPauseMs = 600_000;
/** Until those that were taken back, or that replace what was lost, are at speed again. */
const recoveryRounds = 2;
/** When nothing has arrived for so long the path is gone, or nobody reads: neither says anything about the number of subflows. */
const silenceMs = 300;
const silentRoundTrips = 3;

interface Trial {
  from: number;
  bytesPerSec: number;
  /** One round after the change is over. */
  settled: boolean;
}

interface Round {
  startedAtMs: number;
  startBytes: number;
  looks: number;
  fullLooks: number;
  idleLooks: number;
}

export class SubflowCount {
  /** All of them, lanes included. */
  wanted: number;
  readonly range: Readonly<SubflowRange>;
  /** Whether it has seen enough to want anything in particular. */
  isInformed = false;
  #round: Round | null = null;
  #trial: Trial | null = null;
  /** When something arrived last, or nothing was to. */
  #arrival = { nowMs: Number.NEGATIVE_INFINITY, bytes: -1 };
  /** Rounds that say more about what was taken back or lost than about the path. */
  #ignoredRounds = 0;
  #calmSinceMs: number | null = null;
  /** Before the first of the trials of fewer that went well, one after the other: what each costs adds up. */
  #bestBytesPerSec = 0;
  readonly #more = new Pause();
  readonly #fewer = new Pause();

  constructor(range: SubflowRange) {
    this.range = range;
    this.wanted = Math.min(range.max, Math.max(range.min, initial));
  }

  /** Returns whether more are tried from now on, which makes it worth while to search for the rate of the link anew. */
  sample({ nowMs, rttMs, deliveredBytes, heldBy }: CountSample): boolean {
    if (heldBy === 'nothing' || deliveredBytes > this.#arrival.bytes) this.#arrival = { nowMs, bytes: deliveredBytes };
    const isSilent = nowMs - this.#arrival.nowMs > Math.max(silenceMs, silentRoundTrips * rttMs);
    if (isSilent) this.#giveUp();
    if (isSilent || heldBy === 'unclear') {
      this.#round = null;
      return false;
    }
    this.#round ??= { startedAtMs: nowMs, startBytes: deliveredBytes, looks: 0, fullLooks: 0, idleLooks: 0 };
    const round = this.#round;
    round.looks += 1;
    if (heldBy === 'subflows') round.fullLooks += 1;
    if (heldBy === 'nothing') round.idleLooks += 1;
    const elapsedMs = nowMs - round.startedAtMs;
    if (elapsedMs < Math.max(shortestRoundMs, roundTrips * rttMs)) return false;
    this.#round = null;
    if (round.idleLooks > idle * round.looks) return false;
    this.isInformed = true;
    const before = this.wanted;
    const bytesPerSec = ((deliveredBytes - round.startBytes) * 1_000) / elapsedMs;
    this.#judge(bytesPerSec, round.fullLooks / round.looks, nowMs);
    return this.#trial !== null && this.wanted > before; // not where fewer were too few: then it is known
  }

  /** What is being tried can't be judged. */
  #giveUp(): void {
    if (this.#trial !== null) this.wanted = this.#trial.from;
    this.#trial = null;
    this.#calmSinceMs = null;
    this.#bestBytesPerSec = 0;
    this.#ignoredRounds = recoveryRounds;
  }

  #judge(bytesPerSec: number, full: number, nowMs: number): void {
    if (this.#ignoredRounds > 0) {
      this.#ignoredRounds -= 1;
      return;
    }
    if (full > roomy || this.#trial !== null) this.#calmSinceMs = null;
    else this.#calmSinceMs ??= nowMs;
    if (this.#trial !== null) this.#judgeTrial(this.#trial, bytesPerSec, full, nowMs);
    if (this.#trial !== null || this.#ignoredRounds > 0) return;
    const { min, max } = this.range;
    const calm = this.#calmSinceMs !== null && nowMs - this.#calmSinceMs >= calmMs;
    if (full >= crowded && this.wanted < max && this.#more.isOver(nowMs))
      this.#try(Math.min(max, Math.ceil(this.wanted * growth)), bytesPerSec);
    else if (calm && this.wanted > min && this.#fewer.isOver(nowMs))
      this.#try(Math.max(min, Math.min(this.wanted - 1, Math.round(this.wanted * shrinkage))), bytesPerSec);
  }

  #try(count: number, bytesPerSec: number): void {
    this.#bestBytesPerSec = count < this.wanted ? Math.max(this.#bestBytesPerSec, bytesPerSec) : 0;
    this.#trial = { from: this.wanted, bytesPerSec: Math.max(this.#bestBytesPerSec, bytesPerSec), settled: false };
    this.wanted = count;
  }

  #judgeTrial(trial: Trial, bytesPerSec: number, full: number, nowMs: number): void {
    const more = this.wanted > trial.from;
    const good = more
      ? bytesPerSec >= trial.bytesPerSec * leastGain
      : bytesPerSec >= trial.bytesPerSec * mostLoss && full < crowded;
    // New subflows need a round to start; that fewer are not enough shows at once.
    if (!trial.settled && (more || good)) {
      trial.settled = true;
      return;
    }
    this.#trial = null;
    const pause = more ? this.#more : this.#fewer;
    if (good) pause.forget();
    else {
      this.wanted = trial.from;
      this.#bestBytesPerSec = 0;
      this.#ignoredRounds = recoveryRounds;
      pause.begin(nowMs);
    }
  }
}

/** How long something that failed is left alone: each time for twice as long. */
class Pause {
  #untilMs = Number.NEGATIVE_INFINITY;
  #nextMs = firstPauseMs;

  isOver(nowMs: number): boolean {
    return nowMs >= this.#untilMs;
  }
  begin(nowMs: number): void {
    this.#untilMs = nowMs + this.#nextMs;
    this.#nextMs = Math.min(longestPauseMs, 2 * this.#nextMs);
  }
  forget(): void {
    this.#nextMs = firstPauseMs;
  }
}
