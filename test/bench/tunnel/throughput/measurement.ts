/** What one measurement of the tunnel benchmark found, and how measurements become the rows of the table. Pure. */
import { median, spread } from '../../statistics.ts';

/** A quality of the link. */
export interface Cell {
  /** 0 is unlimited. */
  readonly rateMbit: number;
  readonly rttMs: number;
  readonly lossPct: number;
}

/** One contender in one cell, once. */
export interface Measurement extends Cell {
  readonly contender: string;
  /** When the going through the plan began that it belongs to: what was measured in one is compared. */
  readonly pass: string;
  readonly goodputBitsPerSec: number;
  /** Of the payload rate of the link; null where it has no rate. */
  readonly linkShare: number | null;
  /** Until the goodput kept to 90 % of the link for a second; null if it never did. */
  readonly timeTo90Ms: number | null;
  /** Both ends together; null where nothing runs between the hosts. */
  readonly cpuSecPerGB: number | null;
  /** Sender and receiver of the load. */
  readonly loadCpuSecPerGB: number;
  /** The most that each process of the contender had resident, summed over both ends. */
  readonly rssBytes: number;
  readonly seconds: number;
  /** See Disturbance. */
  readonly foreignCores: number;
  readonly lateShare: number;
  /** Why it cannot be trusted; empty if it can. */
  readonly disturbed: readonly string[];
}

/** The median of all trusted measurements of a contender in a cell; of all, if none can be trusted. */
export interface Row extends Cell {
  readonly contender: string;
  readonly goodputBitsPerSec: number;
  readonly linkShare: number | null;
  readonly timeTo90Ms: number | null;
  readonly cpuSecPerGB: number | null;
  readonly rssBytes: number;
  readonly measurements: number;
  readonly goodputSpread: readonly [number, number];
  readonly cpuSpread: readonly [number, number] | null;
  readonly trusted: boolean;
  /** Of those that were left out or, in a row that is not trusted, of those that are in it. */
  readonly disturbed: readonly string[];
}

export const cellName = ({ rateMbit, rttMs, lossPct }: Cell): string => `${rateMbit}/${rttMs}/${lossPct}`;

export function rowsOf(measurements: readonly Measurement[]): Row[] {
  const groups = Map.groupBy(measurements, (one) => `${cellName(one)} ${one.contender}`);
  return [...groups.values()].map(rowOf);
}

function rowOf(all: readonly Measurement[]): Row {
  const quiet = all.filter(({ disturbed }) => disturbed.length === 0);
  const trusted = quiet.length > 0;
  const used = trusted ? quiet : all;
  const [first] = used;
  if (!first) throw new RangeError('A row of nothing.');
  const goodput = used.map((one) => one.goodputBitsPerSec);
  const cpu = known(used.map((one) => one.cpuSecPerGB));
  return {
    ...cellOf(first),
    contender: first.contender,
    goodputBitsPerSec: median(goodput),
    linkShare: medianOrNull(known(used.map((one) => one.linkShare))),
    timeTo90Ms: medianOrNull(known(used.map((one) => one.timeTo90Ms))),
    cpuSecPerGB: medianOrNull(cpu),
    rssBytes: median(used.map((one) => one.rssBytes)),
    measurements: used.length,
    goodputSpread: spread(goodput),
    cpuSpread: cpu.length > 0 ? spread(cpu) : null,
    trusted,
    disturbed: [...new Set(all.flatMap(({ disturbed }) => disturbed))],
  };
}

const cellOf = ({ rateMbit, rttMs, lossPct }: Cell): Cell => ({ rateMbit, rttMs, lossPct });
const known = (values: readonly (number | null)[]): number[] => values.filter((value) => value !== null);
const medianOrNull = (values: readonly number[]): number | null => (values.length > 0 ? median(values) : null);

export interface Ratio {
  readonly cell: Cell;
  readonly contender: string;
  /** How many times as fast LMAS is. */
  readonly goodput: number;
  /** LMAS's processor time per GB over the other's. */
  readonly cpu: number | null;
  readonly passes: number;
}

/**
 * LMAS beside each other contender of the same cell: the median of the ratios within a pass, for a machine that is slow in
 * one pass is slow for both. Passes that nothing disturbed, if there is one.
 */
export function ratiosOf(measurements: readonly Measurement[]): Ratio[] {
  const pairs = measurements
    .filter(({ contender }) => contender === 'lmas')
    .flatMap((ours) => measurements.filter((other) => areCompared(ours, other)).map((other) => ({ ours, other })));
  const groups = Map.groupBy(pairs, ({ other }) => `${cellName(other)} ${other.contender}`);
  return [...groups.values()].map(ratioOf);
}

interface Pair {
  readonly ours: Measurement;
  readonly other: Measurement;
}

function areCompared(ours: Measurement, other: Measurement): boolean {
  return other.contender !== ours.contender && other.pass === ours.pass && cellName(other) === cellName(ours);
}

function ratioOf(all: readonly Pair[]): Ratio {
  const quiet = all.filter(({ ours, other }) => ours.disturbed.length + other.disturbed.length === 0);
  const used = quiet.length > 0 ? quiet : all;
  const [first] = used;
  if (!first) throw new RangeError('A ratio of nothing.');
  const cpu = used.map(({ ours, other }) =>
    ours.cpuSecPerGB !== null && other.cpuSecPerGB ? ours.cpuSecPerGB / other.cpuSecPerGB : null,
  );
  return {
    cell: cellOf(first.other),
    contender: first.other.contender,
    goodput: median(used.map(({ ours, other }) => ours.goodputBitsPerSec / other.goodputBitsPerSec)),
    cpu: medianOrNull(known(cpu)),
    passes: used.length,
  };
}
