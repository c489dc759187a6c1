/**
 * What a machine of the lab has used, from its own /proc: processor time of everything that runs or ran in it, and the
 * resident memory of what runs. proc(5): fields 14 to 17 of stat, in ticks of 10 ms.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { LabHost } from '../lab/src/index.ts';

const TICKS_PER_SEC = 100;
const PAGE_BYTES = 4_096;

export interface Usage {
  readonly cpuSeconds: number;
  readonly rssBytes: number;
}

export function usageOf(...machines: readonly LabHost[]): Usage {
  let ticks = 0;
  let pages = 0;
  for (const machine of machines) {
    const proc = machine.path('/proc');
    for (const pid of readdirSync(proc).filter((name) => /^\d+$/.test(name))) {
      const fields = statOf(`${proc}/${pid}/stat`);
      // After the command: state is field 3, so utime (14) is at 11, and what its dead children used at 13 and 14.
      for (const index of [11, 12, 13, 14]) ticks += Number(fields[index] ?? 0);
      pages += Number(fields[21] ?? 0);
    }
  }
  return { cpuSeconds: ticks / TICKS_PER_SEC, rssBytes: pages * PAGE_BYTES };
}

function statOf(path: string): string[] {
  try {
    const text = readFileSync(path, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return []; // it ended between the listing and the look; its time is counted with its parent's
  }
}
