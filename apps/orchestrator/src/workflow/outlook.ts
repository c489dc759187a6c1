/**
 * Will this VM converge on this link? Pre-copy sends what the guest wrote during the pass before, so that each pass is shorter by dirty rate ÷ goodput;
 * it is over when what remains goes across within the allowed downtime. Pure. With R to send, G the goodput and D the dirty rate, passes take
 * (R − G × downtime) ÷ (G − D) together, and never end when D ≥ G. Where of pages only a share s is sent, their differences, the link carries
 * G ÷ s of them. An estimate: guests change their minds.
 */

import { formatByteRate, formatPeriod } from '@lmas/format';
import type { Convergence } from '@lmas/plugin-api';

/** QEMU's own default (`downtime-limit`). */
const DEFAULT_DOWNTIME_MS = 300;
/** From here on passes shrink so slowly that a small change of the guest's mood decides. */
const NARROW_SHARE = 0.75;
/** However little a page changes, it costs something; and of a rate without end nobody could make sense. */
const LEAST_SENT_SHARE = 0.01;

export interface Situation {
  readonly bytesRemaining: number;
  /** The dirty rate; null where the hypervisor has not said. */
  readonly dirtyRateBytesPerSec: number | null;
  /** The hypervisor counts its passes, and measures what the guest writes from one to the next; others never say. */
  readonly countsPasses: boolean;
  /** What the link carries of this migration, as measured. */
  readonly goodputBytesPerSec: number | null;
  /** Of a page that goes again, as the hypervisor says; undefined: pages go whole. */
  readonly sentShareOfPages?: number | undefined;
  /** What would make the hypervisor send differences, where it could and does not. */
  readonly differencesOption?: string | undefined;
  /** What holds now: what is set already is no advice. */
  readonly convergence: Convergence;
  readonly maxDowntimeMs: number | null;
  /** The limit that somebody set. */
  readonly bandwidthBytesPerSec: number | null;
}

export interface Outlook {
  readonly verdict: 'converges' | 'narrow' | 'diverges' | 'unknown';
  readonly message: string;
  /** What to do about it. */
  readonly advice: string | null;
  /** Until the switchover. */
  readonly etaMs: number | null;
}

export function predictOutlook(situation: Situation): Outlook {
  const { bytesRemaining, dirtyRateBytesPerSec: dirty, maxDowntimeMs } = situation;
  const goodput = situation.goodputBytesPerSec;
  if (goodput === null || goodput <= 0) return unknown('The link’s rate is not known yet.');
  if (dirty === null) {
    const when = situation.countsPasses ? ' yet: that is measured after the first pass' : '';
    return unknown(`The hypervisor has not told the dirty rate${when}.`);
  }
  const pagesPerSec = goodput / Math.max(LEAST_SENT_SHARE, situation.sentShareOfPages ?? 1);
  const differences = pagesPerSec > goodput ? `, ${rate(pagesPerSec)} of memory as differences` : '';
  const rates = `The dirty rate is ${rate(dirty)}, the link carries ${rate(goodput)}${differences}`;
  const switchableBytes = (goodput * (maxDowntimeMs ?? DEFAULT_DOWNTIME_MS)) / 1_000;
  if (bytesRemaining <= switchableBytes) {
    return { verdict: 'converges', message: 'What remains fits into the allowed downtime.', advice: null, etaMs: 0 };
  }
  if (dirty >= pagesPerSec) {
    const message = `${rates}: it will not get across like this.`;
    return { verdict: 'diverges', message, advice: divergenceAdvice(situation, goodput), etaMs: null };
  }
  const etaMs = Math.round(((bytesRemaining - switchableBytes) / (pagesPerSec - dirty)) * 1_000);
  if (dirty < NARROW_SHARE * pagesPerSec) {
    return { verdict: 'converges', message: `${rates}: it converges.`, advice: null, etaMs };
  }
  const advice = `Let it run while that is acceptable. ${remedies(situation)}`;
  return { verdict: 'narrow', message: `${rates}: it converges, but slowly.`, advice, etaMs };
}

const unknown = (message: string): Outlook => ({ verdict: 'unknown', message, advice: null, etaMs: null });

function divergenceAdvice(situation: Situation, goodput: number): string {
  const pauseMs = Math.ceil((situation.bytesRemaining / goodput) * 1_000);
  return `${remedies(situation)} A pause of about ${formatPeriod(pauseMs)} would be needed to move what remains now.`;
}

function remedies({ bandwidthBytesPerSec, differencesOption, convergence }: Situation): string {
  const limit = bandwidthBytesPerSec === null ? '' : `Raise the bandwidth limit of ${rate(bandwidthBytesPerSec)}. `;
  const others = [
    ...(convergence === 'must-finish' ? [] : ['set convergence to must-finish']),
    'allow post-copy',
    ...(differencesOption === undefined
      ? []
      : [`send differences (option ${differencesOption}, from the next attempt on)`]),
    'allow a longer downtime',
  ].join(', ');
  return `${limit}${others.charAt(0).toUpperCase()}${others.slice(1)}, or migrate when the dirty rate is lower.`;
}

const rate = formatByteRate;
