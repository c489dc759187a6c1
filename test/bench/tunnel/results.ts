/** The results of the tunnel benchmark as a file: rows for scripts, the method, and every single measurement. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { CONTENDERS } from '../contenders/index.ts';
import { type Measurement, rowsOf } from './measurement.ts';

const METHOD = {
  share: 'payload at the far end ÷ (first to last byte × TCP payload rate of the link)',
  timeTo90Ms: 'from the first byte until the goodput kept to 90 % of the link for a second',
  cpuSecPerGB:
    'user and system time of everything on both gateway machines, from /proc, after set-up; the load is not in it',
  rssBytes: 'largest resident memory of each process of the contender, both ends summed',
  load: 'one TCP stream of incompressible bytes, cheap sender and receiver on the hosts; compression off',
  order: 'all contenders of a cell after one another, all cells after one another, then all of it again',
  rows: 'medians of the measurements that nothing disturbed; of all, marked, where none was undisturbed',
};

export function writeResults(file: string, measurements: readonly Measurement[]): void {
  const results = {
    method: METHOD,
    machine: { processors: cpus().length, kernel: release(), node: process.version },
    contenders: Object.fromEntries(CONTENDERS.map(({ name, what }) => [name, what])),
    rows: rowsOf(measurements),
    measurements,
  };
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
}

/** The measurements in a file that an earlier run has written; none if there is no file. */
export function readMeasurements(file: string): Measurement[] {
  if (!existsSync(file)) return [];
  return (JSON.parse(readFileSync(file, 'utf8')) as { measurements: Measurement[] }).measurements;
}
