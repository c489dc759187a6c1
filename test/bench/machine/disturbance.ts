/**
 * Whether a measurement can be trusted: what else the machine did meanwhile, and whether the emulated link kept its times.
 * Nothing here is a guess from the result: a slow contender on a quiet machine is slow.
 */
import { readdirSync, readFileSync } from 'node:fs';
import type { Lab } from '../../lab/src/index.ts';
import { TICKS_PER_SEC, ticksOf, usageOf } from './usage.ts';

/** Above these a measurement is disturbed. */
const MOST_FOREIGN_CORES = 0.25;
const MOST_STOLEN_CORES = 0.1;
const MOST_LATE_SHARE = 0.05;

export interface Disturbance {
  /** Processors that neither the lab nor this program used, and that were busy all the same. */
  readonly foreignCores: number;
  /** Processors that the hypervisor below gave to others. */
  readonly stolenCores: number;
  /** Share of the link's deliveries that came more than a millisecond late. */
  readonly lateShare: number;
  /** What the emulator lost because it had no room, not because the link is said to lose. */
  readonly lostPackets: number;
  /** In words; empty: the measurement can be trusted. */
  readonly reasons: readonly string[];
}

interface Snapshot {
  readonly atMs: number;
  readonly busySeconds: number;
  readonly stolenSeconds: number;
  readonly oursSeconds: number;
  readonly deliveries: number;
  readonly late: number;
  readonly lost: number;
}

export class DisturbanceWatch {
  readonly #lab: Lab;
  readonly #start: Snapshot;

  readonly #others: readonly number[];

  private constructor(lab: Lab, others: readonly number[], start: Snapshot) {
    this.#lab = lab;
    this.#others = others;
    this.#start = start;
  }

  /** @param others processes outside the lab that take part */
  static async start(lab: Lab, others: readonly number[] = []): Promise<DisturbanceWatch> {
    return new DisturbanceWatch(lab, others, await snapshot(lab, others));
  }

  /** @param endedSeconds processor time of programs of the load that have ended since the start */
  async stop(endedSeconds: number): Promise<Disturbance> {
    const end = await snapshot(this.#lab, this.#others);
    const start = this.#start;
    const seconds = (end.atMs - start.atMs) / 1_000;
    const ours = end.oursSeconds - start.oursSeconds + endedSeconds;
    const foreignCores = Math.max(0, end.busySeconds - start.busySeconds - ours) / seconds;
    const stolenCores = (end.stolenSeconds - start.stolenSeconds) / seconds;
    const lateShare = (end.late - start.late) / Math.max(1, end.deliveries - start.deliveries);
    const found = { foreignCores, stolenCores, lateShare, lostPackets: end.lost - start.lost };
    return { ...found, reasons: reasonsOf(found) };
  }
}

/** Exported for its test. */
export function reasonsOf(found: Omit<Disturbance, 'reasons'>): string[] {
  const { foreignCores, stolenCores, lateShare, lostPackets } = found;
  const reasons: string[] = [];
  if (foreignCores > MOST_FOREIGN_CORES) reasons.push(`others used ${foreignCores.toFixed(2)} cores`);
  if (stolenCores > MOST_STOLEN_CORES) reasons.push(`${stolenCores.toFixed(2)} cores were stolen`);
  if (lateShare > MOST_LATE_SHARE) reasons.push(`the link was late in ${(lateShare * 100).toFixed(0)} %`);
  if (lostPackets > 0) reasons.push(`the emulator lost ${lostPackets} packets for want of memory`);
  return reasons;
}

async function snapshot(lab: Lab, others: readonly number[]): Promise<Snapshot> {
  const link = await lab.linkStats();
  const { cpuSeconds } = usageOf(...Object.values(lab.machines));
  const own = process.cpuUsage();
  const busy = machineTicks();
  const beside = others.reduce((sum, pid) => sum + ticksOf(`/proc/${pid}/stat`), kernelTicks());
  return {
    atMs: performance.now(),
    busySeconds: busy.busy / TICKS_PER_SEC,
    stolenSeconds: busy.stolen / TICKS_PER_SEC,
    oursSeconds: cpuSeconds + (own.user + own.system + link.cpuUs) / 1e6 + beside / TICKS_PER_SEC,
    deliveries: link.ab.deliveries + link.ba.deliveries,
    late: link.ab.late + link.ba.late,
    lost: link.ab.droppedMemory + link.ba.droppedMemory,
  };
}

/** proc(5), /proc/stat: user nice system idle iowait irq softirq steal. Interrupts are nobody's in particular, and left out. */
function machineTicks(): { busy: number; stolen: number } {
  const [line = ''] = readFileSync('/proc/stat', 'latin1').split('\n', 1);
  const [user = 0, nice = 0, system = 0, , , , , stolen = 0] = line.trim().split(/\s+/).slice(1).map(Number);
  return { busy: user + nice + system, stolen };
}

/** Threads of the kernel: children of kthreadd, whose id is 2. */
function kernelTicks(): number {
  let ticks = 0;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    if (isKernelThread(pid)) ticks += ticksOf(`/proc/${pid}/stat`);
  }
  return ticks;
}

function isKernelThread(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ')[1] === '2';
  } catch {
    return false; // it has ended
  }
}
