/**
 * Whether `auto` finds as good a number of subflows as somebody who tried them all: LMAS beside the best of the fixed
 * numbers, cell by cell. Pure.
 */
import { type Cell, cellName, type Measurement, type Row, ratiosOf, rowsOf } from './measurement.ts';

/** How far auto may stay behind the best fixed number. */
export const LEAST_OF_BEST = 0.9;
/** One fixed number is the best of nothing. */
const LEAST_FIXED = 2;
/** As contenders/lmas.ts calls those with a fixed number. */
const FIXED = /^lmas-\d+$/;

export interface AutoBesideBest {
  readonly cell: Cell;
  /** The contender whose fixed number has the largest median; of equals the one that was measured first. */
  readonly best: string;
  readonly bestBitsPerSec: number;
  readonly autoBitsPerSec: number;
  /** Auto's median over the best one's. */
  readonly ofMedians: number;
  /** The median of auto over the best one within a pass; null where no pass has both. */
  readonly ofPasses: number | null;
  readonly passes: number;
  /** Both medians are of measurements that nothing disturbed. */
  readonly trusted: boolean;
}

export const hasFixedSubflows = ({ contender }: Pick<Row, 'contender'>): boolean => FIXED.test(contender);

/** Each cell where auto and at least two fixed numbers were measured. */
export function autoBesideBest(measurements: readonly Measurement[]): AutoBesideBest[] {
  const ratios = ratiosOf(measurements);
  const cells = Map.groupBy(rowsOf(measurements), cellName);
  return [...cells].flatMap(([name, rows]) => {
    const auto = rows.find(({ contender }) => contender === 'lmas');
    const fixed = rows.filter(hasFixedSubflows);
    const [best] = fixed.toSorted((one, other) => other.goodputBitsPerSec - one.goodputBitsPerSec);
    if (!auto || !best || fixed.length < LEAST_FIXED) return [];
    const ratio = ratios.find(({ cell, contender }) => cellName(cell) === name && contender === best.contender);
    return {
      cell: { rateMbit: auto.rateMbit, rttMs: auto.rttMs, lossPct: auto.lossPct },
      best: best.contender,
      bestBitsPerSec: best.goodputBitsPerSec,
      autoBitsPerSec: auto.goodputBitsPerSec,
      ofMedians: auto.goodputBitsPerSec / best.goodputBitsPerSec,
      ofPasses: ratio?.goodput ?? null,
      passes: ratio?.passes ?? 0,
      trusted: auto.trusted && best.trusted,
    };
  });
}
