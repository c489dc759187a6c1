/**
 * The tunnel benchmark: every contender over the same emulated link with the same load, cell by cell, interleaved, so
 * that what the machine does meanwhile hits all of them alike.
 *
 * Share = payload at the far end ÷ (first to last byte × TCP payload rate of the link). CPU is that of both gateway
 * machines together, from /proc; the load generators are not in it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type Lab, labDown, labUp, payloadRate } from '../lab/src/index.ts';
import { CONTENDERS, type Contender, SINK_PORT } from './contenders.ts';
import { usageOf } from './machine-usage.ts';
import type { Received } from './traffic.ts';

const TRAFFIC = fileURLToPath(new URL('./traffic.ts', import.meta.url));

export interface Cell {
  readonly rateMbit: number;
  readonly rttMs: number;
  readonly lossPct: number;
}

export interface Row extends Cell {
  readonly contender: string;
  readonly goodputBitsPerSec: number;
  readonly linkShare: number;
  /** Both ends together; null where nothing runs between the hosts. */
  readonly cpuSecPerGB: number | null;
  readonly rssBytes: number;
}

export interface Plan {
  readonly cells: readonly Cell[];
  readonly seconds: number;
  readonly repeats: number;
}

const at = (rttMs: number, lossPct: number): Cell => ({ rateMbit: 1_000, rttMs, lossPct });
export const QUICK: Plan = { cells: [at(0, 0), at(100, 0), at(100, 0.1), at(100, 1)], seconds: 12, repeats: 1 };
export const FULL: Plan = {
  cells: [0, 20, 100, 200].flatMap((rttMs) => [0, 0.1, 1].map((lossPct) => at(rttMs, lossPct))),
  seconds: 30,
  repeats: 3,
};

/** Measures every cell of the plan; a row is the median of its repetitions. */
export async function benchTunnel(plan: Plan, onRow: (row: Row) => void, signal: AbortSignal): Promise<Row[]> {
  const lab = await labUp({ name: 'bench' });
  const rows: Row[] = [];
  try {
    for (const cell of plan.cells) {
      await lab.setLink(cell);
      const measured = new Map<Contender, Row[]>(CONTENDERS.map((contender) => [contender, []]));
      for (let i = 0; i < plan.repeats; i++) {
        for (const contender of CONTENDERS) {
          signal.throwIfAborted();
          measured.get(contender)?.push(await measure(lab, cell, contender, plan.seconds));
        }
      }
      for (const repeated of measured.values()) {
        const row = median(repeated);
        rows.push(row);
        onRow(row);
      }
    }
    return rows;
  } finally {
    await labDown('bench');
  }
}

async function measure(lab: Lab, cell: Cell, contender: Contender, seconds: number): Promise<Row> {
  const { a, b } = lab.sites;
  const idle = usageOf(a.gatewayHost, b.gatewayHost);
  const sink = spawn('nsenter', b.host.enterArguments([process.execPath, TRAFFIC, 'receive', String(SINK_PORT)]), {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  try {
    const answer = collect(sink.stdout);
    await once(sink.stderr, 'data'); // it listens
    await using way = await contender.open(lab);
    const before = usageOf(a.gatewayHost, b.gatewayHost);
    const { host, port } = way.entry;
    const timeoutMs = seconds * 1_000 + 120_000;
    await a.host.exec([process.execPath, TRAFFIC, 'send', host, String(port), String(seconds)], { timeoutMs });
    const received = JSON.parse(await answer) as Received;
    const after = usageOf(a.gatewayHost, b.gatewayHost);
    const goodputBitsPerSec = (received.bytes * 8_000) / (received.lastByteAtMs - received.firstByteAtMs);
    return {
      ...cell,
      contender: contender.name,
      goodputBitsPerSec,
      linkShare: goodputBitsPerSec / payloadRate(cell.rateMbit),
      cpuSecPerGB: contender.name === 'direct' ? null : (after.cpuSeconds - before.cpuSeconds) / (received.bytes / 1e9),
      rssBytes: Math.max(0, after.rssBytes - idle.rssBytes),
    };
  } finally {
    sink.kill('SIGKILL');
  }
}

async function collect(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** By goodput; the whole row, so that its CPU belongs to it. */
function median(rows: readonly Row[]): Row {
  const sorted = rows.toSorted((one, other) => one.goodputBitsPerSec - other.goodputBitsPerSec);
  const row = sorted[Math.floor((sorted.length - 1) / 2)];
  if (!row) throw new RangeError('A median of nothing.');
  return row;
}
