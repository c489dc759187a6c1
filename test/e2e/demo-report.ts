/**
 * What the demonstration measured, as a table for people and as JSON for scripts, and what stopped it.
 */
import { writeFileSync } from 'node:fs';
import type { MeasuredMigration } from '../support/measured-migration.ts';

export type DemoRun = Omit<MeasuredMigration, 'migration'>;

export interface DemoResult {
  readonly link: { readonly rateMbit: number; readonly rttMs: number; readonly lossPct: number; readonly kind: string };
  readonly direct: DemoRun;
  readonly lmas: DemoRun;
  /** How many times as fast LMAS was: total time over total time. */
  readonly ratio: number;
  readonly leftovers: readonly string[];
}

/** Memory that crosses in one pass proves little: pages must have changed behind its back, more than once. */
const PASSES_AT_LEAST = 3;

/** Whether the demonstration may end with exit code 0. */
export function allGood({ direct, lmas, leftovers }: DemoResult): boolean {
  const good = ({ succeeded, memoryVerified, maxCopies, iterations }: DemoRun): boolean =>
    succeeded && memoryVerified && maxCopies === 1 && (iterations ?? 0) >= PASSES_AT_LEAST;
  return good(direct) && good(lmas) && leftovers.length === 0;
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const megabits = (bits: number): string => `${(bits / 1e6).toFixed(0)} Mbit/s`;
const yes = (value: boolean): string => (value ? 'yes' : 'NO');

const ROWS: readonly [label: string, value: (run: DemoRun) => string][] = [
  ['succeeded', (run) => yes(run.succeeded)],
  ['total time', (run) => seconds(run.totalMs)],
  ['downtime (guest silent)', (run) => `${run.downtimeMs.toFixed(0)} ms`],
  ['bytes', (run) => `${(run.bytes / 1e6).toFixed(0)} MB`],
  ['throughput', (run) => megabits(run.goodputBitsPerSec)],
  ['share of the link', (run) => `${(run.linkShare * 100).toFixed(0)} %`],
  ['pre-copy passes', (run) => String(run.iterations ?? '?')],
  ['guest memory verified', (run) => yes(run.memoryVerified)],
  ['copies running, at most', (run) => String(run.maxCopies)],
];

/** For scripts: without the records, and no finer than was measured. */
export function renderJson(result: DemoResult): string {
  const plain = (key: string, value: unknown): unknown => {
    if (key === 'migration') return undefined;
    return typeof value === 'number' && key.endsWith('Ms') ? Math.round(value) : value;
  };
  return `${JSON.stringify(result, plain, 2)}\n`;
}

/** The table at the end, ready to print. */
export function renderTable({ direct, lmas, link, ratio, leftovers }: DemoResult): string {
  const rows = [
    ['', 'without LMAS', 'with LMAS'],
    ['how', 'one TCP stream, cubic', 'parallel, encrypted'],
    ...ROWS.map(([label, value]) => [label, value(direct), value(lmas)]),
  ];
  const width = (column: number): number => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  const [label, left, right] = [width(0), width(1), width(2)];
  const lines = rows.map(
    ([a = '', b = '', c = '']) => `  ${a.padEnd(label)}   ${b.padStart(left)}   ${c.padStart(right)}`,
  );
  return [
    `The same VM, twice, over ${link.rateMbit} Mbit/s with ${link.rttMs} ms round trip and ${link.lossPct} % loss (${link.kind}):`,
    '',
    ...lines.slice(0, 2),
    `  ${'─'.repeat(label + left + right + 6)}`,
    ...lines.slice(2),
    '',
    `  Through LMAS it took ${seconds(lmas.totalMs)} instead of ${seconds(direct.totalMs)}: ${ratio.toFixed(1)} times as fast.`,
    `  Left over on the machines: ${leftovers.length === 0 ? 'nothing.' : ''}`,
    ...leftovers.map((leftover) => `    ${leftover}`),
  ].join('\n');
}

const inWords = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/**
 * A script never takes an earlier result for this one. `reason` is what the run ends with: that it could not be written is only told.
 */
export function writeFailure(file: string, reason: unknown, say: (line: string) => void): void {
  try {
    writeFileSync(file, `${JSON.stringify({ error: inWords(reason) }, null, 2)}\n`);
  } catch (error) {
    say(`--json ${file} could not be written: ${inWords(error)}`);
  }
}
