/**
 * What processes take of the machine's processors, and how long the main thread of one was ready and had none: on a busy machine
 * the second says how much of a latency is the neighbours'. From proc(5): fields 14 to 17 of stat; the first two numbers of
 * schedstat, nanoseconds on a processor and in the run queue.
 */
import { readFileSync } from 'node:fs';
import { TICKS_PER_SEC, ticksOf } from '../machine/usage.ts';

export interface ProcessorUse {
  /** Processors in use, on average: all threads. */
  readonly cores: number;
  /** Share of the time in which the main thread waited for a processor. */
  readonly waitedShare: number;
}

/**
 * @param pids the one whose main thread is looked at first
 * @returns what was used from now to the call of the result
 */
export function watchProcessor(pids: readonly number[]): () => ProcessorUse {
  const [first = 0] = pids;
  const ticks = () => pids.reduce((sum, pid) => sum + ticksOf(`/proc/${pid}/stat`), 0);
  const look = () => ({ atMs: performance.now(), cpuTicks: ticks(), waitedNs: waitedNsOf(first) });
  const start = look();
  return () => {
    const end = look();
    const seconds = (end.atMs - start.atMs) / 1_000;
    return {
      cores: (end.cpuTicks - start.cpuTicks) / TICKS_PER_SEC / seconds,
      waitedShare: (end.waitedNs - start.waitedNs) / 1e9 / seconds,
    };
  };
}

const waitedNsOf = (pid: number): number =>
  Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'latin1').split(' ')[1]);
