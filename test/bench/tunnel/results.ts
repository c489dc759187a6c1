/** The results of the tunnel benchmark as a file: rows for scripts, the method, and every single measurement. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { CONTENDERS } from '../contenders/index.ts';
import { describeMachine } from '../report/machine.ts';
import { type Sample, summarize } from '../report/sample.ts';
import type { Part } from './part.ts';
import { type Measurement, rowsOf } from './throughput/measurement.ts';

const METHOD = {
  linkShare: 'payload at the far end ÷ (first to last byte × TCP payload rate of the link)',
  timeTo90Ms: 'from the first byte until the goodput kept to 90 % of the link for a second',
  cpuSecPerGB:
    'user and system time of everything on both gateway machines, from /proc, after set-up; the load is not in it',
  rssBytes: 'largest resident memory of each process of the contender, both ends summed',
  load: 'one TCP stream of incompressible bytes, cheap sender and receiver on the hosts; compression off',
  order: 'all contenders of a cell after one another, all cells after one another, then all of it again',
  rows: 'medians of the measurements that nothing disturbed; of all, marked, where none was undisturbed',
};

export interface Results {
  /** One contender in one cell, once. */
  readonly measurements: Measurement[];
  /** By the name of the part. */
  readonly parts: Record<string, Sample[]>;
}

export function writeResults(file: string, { measurements, parts }: Results, known: readonly Part[]): void {
  const method = Object.fromEntries(known.map((part) => [part.name, part.method]));
  const results = {
    method: { ...METHOD, ...method },
    machine: describeMachine(),
    contenders: Object.fromEntries(CONTENDERS.map(({ name, what }) => [name, what])),
    rows: rowsOf(measurements),
    ...Object.fromEntries(Object.entries(parts).map(([name, samples]) => [name, summarize(samples)])),
    raw: { measurements, parts },
  };
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
}

/** What an earlier run has written; nothing if there is no file. */
export function readResults(file: string): Results {
  if (!existsSync(file)) return { measurements: [], parts: {} };
  return (JSON.parse(readFileSync(file, 'utf8')) as { raw: Results }).raw;
}
