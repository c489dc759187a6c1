/** What is measured where: the quick plan, the full plan, and a plan made of cells and contenders that were named. Pure. */
import { UsageError } from '../../benchmark.ts';
import { type Cell, cellName } from './measurement.ts';

export interface PlanStep {
  readonly cell: Cell;
  readonly contenders: readonly string[];
  readonly seconds: number;
}

export interface Plan {
  readonly steps: readonly PlanStep[];
  /** How often the whole plan is gone through; everything is measured once before anything is measured twice. */
  readonly repeats: number;
}

const cell = (rateMbit: number, rttMs: number, lossPct: number): Cell => ({ rateMbit, rttMs, lossPct });
const grid = (rttsMs: readonly number[], losses: readonly number[]): Cell[] =>
  rttsMs.flatMap((rttMs) => losses.map((lossPct) => cell(1_000, rttMs, lossPct)));

const UNSHAPED = cell(0, 0, 0);
const FAST = cell(2_500, 100, 0);
/** Where all alternatives are compared in the quick plan. */
const TYPICAL = cell(1_000, 100, 0.1);
const OTHERS = ['direct-cubic', 'direct-bbr', 'ssh', 'stunnel', 'haproxy'];
const FIXED = ['lmas-1', 'lmas-8', 'lmas-64'];
const ALL_FIXED = ['lmas-1', 'lmas-2', 'lmas-4', 'lmas-8', 'lmas-16', 'lmas-32', 'lmas-64'];

export const QUICK: Plan = {
  steps: [
    { cell: UNSHAPED, contenders: ['lmas', 'haproxy', 'stunnel', 'ssh', 'reference'], seconds: 6 },
    { cell: TYPICAL, contenders: ['lmas', ...FIXED, ...OTHERS], seconds: 6 },
    ...grid([0, 100, 200], [0, 0.1, 1])
      .filter((other) => cellName(other) !== cellName(TYPICAL))
      .map((other) => ({ cell: other, contenders: ['lmas', 'direct-cubic'], seconds: 6 })),
    { cell: FAST, contenders: ['lmas', 'direct-cubic'], seconds: 8 },
  ],
  repeats: 1,
};

export const FULL: Plan = {
  steps: [
    {
      cell: UNSHAPED,
      contenders: ['lmas', 'lmas-1core', 'lmas-2cores', 'haproxy', 'stunnel', 'ssh', 'reference'],
      seconds: 30,
    },
    ...grid([0, 20, 100, 200], [0, 0.1, 1]).map((one) => ({
      cell: one,
      contenders: ['lmas', ...ALL_FIXED, 'lmas-swapped', 'lmas-cubic', ...OTHERS],
      seconds: 30,
    })),
    { cell: FAST, contenders: ['lmas', ...ALL_FIXED, 'lmas-swapped', 'direct-cubic', 'direct-bbr'], seconds: 30 },
  ],
  repeats: 3,
};

export interface PlanChoice {
  readonly cells?: readonly Cell[] | undefined;
  readonly contenders?: readonly string[] | undefined;
  readonly seconds?: number | undefined;
  readonly repeats?: number | undefined;
}

/** The plan, narrowed to what was chosen. Cells and contenders that were both named are all measured, planned or not. */
export function narrow(plan: Plan, { cells, contenders, seconds, repeats }: PlanChoice): Plan {
  const usual = seconds ?? plan.steps[0]?.seconds ?? 30;
  const kept = (chosen: Cell): PlanStep =>
    plan.steps.find((step) => cellName(step.cell) === cellName(chosen)) ?? {
      cell: chosen,
      contenders: ['lmas', 'direct-cubic'],
      seconds: usual,
    };
  const steps = (cells?.map(kept) ?? plan.steps)
    .map((step) => ({
      cell: step.cell,
      contenders: contendersOf(step, contenders, cells !== undefined),
      seconds: seconds ?? step.seconds,
    }))
    .filter((step) => step.contenders.length > 0);
  return { steps, repeats: repeats ?? plan.repeats };
}

function contendersOf(step: PlanStep, named: readonly string[] | undefined, cellsNamed: boolean): readonly string[] {
  if (named === undefined) return step.contenders;
  return cellsNamed ? named : named.filter((name) => step.contenders.includes(name));
}

/** `RATE/RTT/LOSS,…` in Mbit/s, milliseconds and percent. @throws UsageError */
export function parseCells(text: string): Cell[] {
  return text.split(',').map((one) => {
    const parts = one.split('/').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
    const [rateMbit = Number.NaN, rttMs = Number.NaN, lossPct = Number.NaN] = parts;
    if (parts.length === 3 && parts.every((part) => part >= 0)) return cell(rateMbit, rttMs, lossPct);
    throw new UsageError(`"${one}" is no cell. Cells are RATE/RTT/LOSS, such as 1000/100/0.1; rate 0 is unlimited.`);
  });
}
