/** The results of the migration benchmark as a file. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describeMachine } from '../report/machine.ts';
import { type Column, type Sample, summarize } from '../report/sample.ts';

const METHOD = {
  performMs: 'from when the source’s libvirt says that it performs to the guest’s first heartbeat at the destination',
  performBoundMs: '1.1 × bytes ÷ link rate + 2 s',
  downtimeMs: 'the guest’s silence across the move, by its heartbeats with the kernel’s time stamps',
  downtimeBoundMs: 'limit + bytes on their way in the gateways ÷ goodput + 3 RTT',
  inFlightRtts: 'the most the gateways had taken and not delivered, as time at the link’s rate, in round trips',
  verified:
    'the guest has checked every page at the destination, and no second copy was ever heard; else there is no row',
};

export function writeSamples(
  file: string,
  samples: readonly Sample[],
  columns: Readonly<Record<string, Column>>,
): void {
  const titles = Object.fromEntries(Object.entries(columns).map(([name, { title }]) => [name, title]));
  const rows = summarize(samples);
  const results = { method: METHOD, titles, machine: describeMachine(), rows, samples };
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
}

/** What an earlier run has written; nothing if there is no file. */
export function readSamples(file: string): Sample[] {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { samples: Sample[] }).samples : [];
}
