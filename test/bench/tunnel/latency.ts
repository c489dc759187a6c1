/**
 * How long a small question waits for its answer beside a stream that fills the link, through the same contender. Ours has an interactive
 * route for it: what a control connection between hypervisors waits. On a bulk route, which memory and disks have, only what has little under
 * way goes first: there it is asked as well. A page that a guest in post-copy asks for comes in the stream of its memory.
 */
import type { Lab } from '../../lab/src/index.ts';
import { ANSWER_PORT, type Contender, type Entry, SINK_PORT, type Way } from '../contenders/contender.ts';
import { haproxy } from '../contenders/haproxy.ts';
import { lmas } from '../contenders/lmas.ts';
import { ssh } from '../contenders/ssh.ts';
import { type AskOptions, answerQuestions, ask, placeLoad, receive, send } from '../load/load.ts';
import { DisturbanceWatch } from '../machine/disturbance.ts';
import type { Sample } from '../report/sample.ts';
import { goodputBitsPerSec, linkShare, percentile } from '../statistics.ts';
import { milliseconds, type Part, percent } from './part.ts';
import type { Cell } from './throughput/measurement.ts';
import { describeCell } from './throughput/report.ts';

/** As large as a page with its header one way, a receipt back: it shares its direction with the stream. */
const QUESTION = { periodMs: 10, requestBytes: 4_104, answerBytes: 16 } as const;
/** What has more than 32 KiB under way on a bulk route is bulk itself there: so this is asked less often. */
const BULK_QUESTION = { ...QUESTION, periodMs: 50 } as const;
/** Of the stream's time: what comes before is its start, what comes after its end. */
const MARGIN_SECONDS = 2;

const at = (rttMs: number, lossPct: number): Cell => ({ rateMbit: 1_000, rttMs, lossPct });
/** The first two are what the quick run has time for. */
export const CELLS: readonly Cell[] = [at(100, 0), at(100, 0.1), at(0, 0), at(20, 0.1), at(200, 0), at(200, 0.1)];
const QUICK_CELLS = 2;

export const latency: Part = {
  name: 'latency',
  title: 'A small question beside a stream that fills the link',
  method:
    '4 KiB every 10 ms in the direction of the stream, on an interactive route where there is such a thing, a receipt of 16 bytes back; timed from when it was due; what has no answer ten seconds after the last one counts with all the time that it was waited for. First alone, then beside one saturating stream through the same contender. Where there are routes of both kinds the full run asks on a bulk route as well, every 50 ms: a row of its own.',
  columns: {
    unloadedMs: { title: 'alone, median ms', text: milliseconds },
    unloadedP99Ms: { title: 'alone, p99 ms', text: milliseconds },
    p50Ms: { title: 'beside, median ms', text: milliseconds },
    p99Ms: { title: 'beside, p99 ms', text: milliseconds },
    addedP99Ms: { title: 'p99 − alone, ms', text: milliseconds },
    linkShare: { title: 'share of the stream', text: percent },
  },
  async *measure(lab, { quick, cells, contenders, signal }) {
    const seconds = quick ? 6 : 20;
    const asked = contenders ?? (quick ? [lmas] : [lmas, haproxy, ssh]);
    for (const cell of cells ?? (quick ? CELLS.slice(0, QUICK_CELLS) : CELLS)) {
      await lab.setLink(cell);
      for (const contender of asked) {
        signal.throwIfAborted();
        yield* measureOne(lab, cell, contender, seconds, quick);
      }
    }
  },
};

async function* measureOne(
  lab: Lab,
  cell: Cell,
  contender: Contender,
  seconds: number,
  quick: boolean,
): AsyncIterable<Sample> {
  await placeLoad(lab.sites.a.host, lab.sites.b.host);
  await using way = await contender.open(lab);
  for (const asking of askingsOf(contender.name, way, quick))
    yield await measureAsking(lab, cell, way, asking, seconds);
}

export interface Asking {
  /** Of the row. */
  readonly name: string;
  readonly entry: Entry;
  readonly question: Omit<AskOptions, 'seconds'>;
}

/** What is asked where on this way; in the quick run only what matters most. Pure; exported for its test. */
export function askingsOf(name: string, { askEntry, bulkAskEntry }: Way, quick: boolean): Asking[] {
  if (askEntry === null) throw new Error('This contender takes one stream only.');
  const askings = [{ name, entry: askEntry, question: QUESTION }];
  if (bulkAskEntry === undefined || quick) return askings;
  return [...askings, { name: `${name}, bulk route`, entry: bulkAskEntry, question: BULK_QUESTION }];
}

async function measureAsking(lab: Lab, cell: Cell, way: Way, asking: Asking, seconds: number): Promise<Sample> {
  const { a, b } = lab.sites;
  const alone = await questions(lab, asking, Math.min(seconds, 5));
  using sink = await receive(b.host, SINK_PORT, seconds + 2 * MARGIN_SECONDS);
  const watch = await DisturbanceWatch.start(lab);
  const load = { seconds: seconds + 2 * MARGIN_SECONDS, pattern: 'random', congestionControl: 'default' } as const;
  const stream = send(a.host, way.entry.host, way.entry.port, load);
  const beside = await questions(lab, asking, seconds, MARGIN_SECONDS);
  const [sent, received] = await Promise.all([stream, sink.answer]);
  const { reasons } = await watch.stop(sent.cpuSeconds + received.cpuSeconds);
  const unloadedMs = percentile(alone, 0.5) / 1_000;
  const p99Ms = percentile(beside, 0.99) / 1_000;
  const goodput = goodputBitsPerSec(received.bytes, received.firstByteNs, received.lastByteNs);
  return {
    labels: { link: describeCell(cell), contender: asking.name },
    values: {
      unloadedMs,
      unloadedP99Ms: percentile(alone, 0.99) / 1_000,
      p50Ms: percentile(beside, 0.5) / 1_000,
      p99Ms,
      addedP99Ms: p99Ms - unloadedMs,
      linkShare: linkShare(goodput, cell.rateMbit),
    },
    disturbed: reasons,
  };
}

/** @returns microseconds of each answer */
async function questions(lab: Lab, { entry, question }: Asking, seconds: number, afterSeconds = 0): Promise<number[]> {
  const { a, b } = lab.sites;
  const options = { ...question, seconds, afterSeconds };
  using _listener = await answerQuestions(b.host, ANSWER_PORT, options);
  return await ask(a.host, entry.host, entry.port, options);
}
