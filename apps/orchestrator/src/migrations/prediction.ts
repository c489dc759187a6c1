/**
 * How long a migration will take, and whether it will converge, from what is known before it begins. Pure.
 *
 * The model is plain pre-copy (Clark et al., Live Migration of Virtual Machines, NSDI 2005). With rate R and dirty rate D,
 * pass 0 sends the memory and the disks; each later pass sends what was written during the one before, D/R times as much.
 * The last one is sent while the guest stands still, as soon as it fits into the longest pause. If D ≥ R it never does;
 * if the policy lets the guest be slowed down, D is what is left of it by then.
 *
 * What the model leaves out: guests write in bursts and mostly to the same pages, zero pages cost nothing, the link is
 * shared, and starting the guest takes time of its own. So every answer is a range, from a link 10 % faster and a guest
 * 30 % calmer than measured to a link 20 % slower and a guest 30 % busier, or by as much as the measurement may be wrong where
 * that is more; and what is not known stays `unknown`.
 */
import type { z } from 'zod';
import type { predictionSchema } from '../schemas/migration-check.ts';

export type Prediction = z.infer<typeof predictionSchema>;

export interface PredictionFacts {
  readonly memoryBytes: number;
  readonly diskBytes: number;
  /** What the link will carry for this migration; null: nobody has measured or set it. */
  readonly rateBytesPerSec: number | null;
  readonly dirtyRateBytesPerSec: number | null;
  /** Its standard error; default: 0. */
  readonly dirtyRateErrorBytesPerSec?: number | undefined;
  readonly maxDowntimeMs: number;
  /** How little of its dirty rate a guest may be left with, 0 to 1; 1: it is not slowed down. */
  readonly leastSpeed: number;
}

const MAX_PASSES = 50;
/** A century. What is longer is no number that anybody needs, and could become one that no record may hold. */
const LONGEST_MS = 100 * 365 * 24 * 3_600_000;
/** From handing the guest over to its first instruction, whatever is left to be sent. */
const SWITCHOVER_MS = { low: 10, high: 250 };
const GOOD = { rate: 1.1, dirty: -0.3 };
const BAD = { rate: 0.8, dirty: 0.3 };

interface Outcome {
  readonly durationMs: number;
  readonly downtimeMs: number;
  readonly passes: number;
  readonly throttled: boolean;
}

export function predict(facts: PredictionFacts): Prediction {
  const { dirtyRateBytesPerSec, memoryBytes, diskBytes } = facts;
  // A link that carries nothing is one of which nothing is known: no time can be told for it.
  const rateBytesPerSec = facts.rateBytesPerSec !== null && facts.rateBytesPerSec > 0 ? facts.rateBytesPerSec : null;
  const known = { rateBytesPerSec, dirtyRateBytesPerSec };
  if (rateBytesPerSec === null) {
    return { ...known, convergence: 'unknown', passes: null, durationMs: null, downtimeMs: null };
  }
  const atLeastMs = ((memoryBytes + diskBytes) / (rateBytesPerSec * GOOD.rate)) * 1_000;
  if (dirtyRateBytesPerSec === null) {
    const durationMs = range(atLeastMs, undefined);
    return { ...known, convergence: 'unknown', passes: null, durationMs, downtimeMs: null };
  }
  const scaled = ({ rate, dirty }: typeof GOOD) =>
    preCopy(facts, rateBytesPerSec * rate, shifted(dirtyRateBytesPerSec, dirty, facts.dirtyRateErrorBytesPerSec));
  const [good, likely, bad] = [scaled(GOOD), scaled({ rate: 1, dirty: 0 }), scaled(BAD)];
  return {
    ...known,
    convergence: likely === undefined ? 'no' : likely.throttled ? 'only-slowed-down' : 'yes',
    passes: likely?.passes ?? null,
    durationMs: good === undefined ? null : range(good.durationMs, bad?.durationMs),
    downtimeMs:
      good === undefined
        ? null
        : range(good.downtimeMs + SWITCHOVER_MS.low, bad && bad.downtimeMs + SWITCHOVER_MS.high),
  };
}

/** By a share of it, or by its error where that is more. */
const shifted = (value: number, share: number, error = 0): number =>
  Math.max(0, value + Math.sign(share) * Math.max(Math.abs(share) * value, error));

const wholeMs = (ms: number): number => Math.round(Math.min(ms, LONGEST_MS));
const range = (low: number, high: number | undefined) => ({
  low: wholeMs(low),
  high: high === undefined ? null : wholeMs(high),
});

/** `undefined`: it does not converge. */
function preCopy(facts: PredictionFacts, rate: number, dirtyRate: number): Outcome | undefined {
  const { memoryBytes, diskBytes, maxDowntimeMs, leastSpeed } = facts;
  let left = memoryBytes + diskBytes;
  let durationMs = 0;
  let speed = 1;
  for (let passes = 1; passes <= MAX_PASSES; passes++) {
    const passMs = (left / rate) * 1_000;
    durationMs += passMs;
    left = Math.min(memoryBytes, (dirtyRate * speed * passMs) / 1_000);
    const lastMs = (left / rate) * 1_000;
    if (lastMs <= maxDowntimeMs) {
      return { durationMs: durationMs + lastMs, downtimeMs: lastMs, passes, throttled: speed < 1 };
    }
    const converges = dirtyRate * speed < rate;
    if (!converges && speed <= leastSpeed) return undefined;
    if (!converges) speed = Math.max(leastSpeed, speed / 2);
  }
  return undefined;
}
