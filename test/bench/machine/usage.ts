/**
 * What machines of the lab have used, from their own /proc: processor time of everything that runs or ran in them, and
 * the most memory that what runs now has had resident. proc(5): fields 14 to 17 of stat, in ticks of 10 ms; VmHWM.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { LabHost } from '../../lab/src/index.ts';

export const TICKS_PER_SEC = 100;

export interface Usage {
  readonly cpuSeconds: number;
  /** Largest resident memory of each process that runs now, by machine and id. */
  readonly peakRssBytes: ReadonlyMap<string, number>;
}

export function usageOf(...machines: readonly LabHost[]): Usage {
  let ticks = 0;
  const peakRssBytes = new Map<string, number>();
  for (const machine of machines) {
    const proc = machine.path('/proc');
    for (const pid of readdirSync(proc).filter((name) => /^\d+$/.test(name))) {
      ticks += ticksOf(`${proc}/${pid}/stat`);
      peakRssBytes.set(`${machine.name}/${pid}`, peakRssOf(`${proc}/${pid}/status`));
    }
  }
  return { cpuSeconds: ticks / TICKS_PER_SEC, peakRssBytes };
}

/** Memory of what runs in `after` and did not yet run in `before`. */
export function addedRssBytes(before: Usage, after: Usage): number {
  let bytes = 0;
  for (const [process, peak] of after.peakRssBytes) if (!before.peakRssBytes.has(process)) bytes += peak;
  return bytes;
}

/** Ticks of the process and of its children that have ended. */
export function ticksOf(statFile: string): number {
  const text = readOrNothing(statFile);
  // After the command: state is field 3, so utime (14) is at 11, and what its dead children used at 13 and 14.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index] ?? 0), 0);
}

function peakRssOf(statusFile: string): number {
  const [, kib = '0'] = /^VmHWM:\s+(\d+) kB$/m.exec(readOrNothing(statusFile)) ?? [];
  return Number(kib) * 1_024;
}

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // it ended between the listing and the look; its time is counted with its parent's
  }
}
