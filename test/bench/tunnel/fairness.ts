/**
 * What a migration leaves for others: one ordinary TCP stream (CUBIC) that has to share the link, and a small packet that
 * goes back and forth, beside nothing, beside ordinary streams, and beside our pair without and with a limit.
 */
import { type Lab, payloadRate } from '../../lab/src/index.ts';
import { type Contender, SINK_PORT } from '../contenders/contender.ts';
import { directCubic } from '../contenders/direct.ts';
import { lmas, lmasLimited } from '../contenders/lmas.ts';
import { answerQuestions, ask, placeLoad, type Received, receive, send } from '../load/load.ts';
import { DisturbanceWatch } from '../machine/disturbance.ts';
import type { Sample } from '../report/sample.ts';
import { bytesBetween, goodputBitsPerSec, linkShare, percentile } from '../statistics.ts';
import { milliseconds, type Part, percent } from './part.ts';
import type { Cell } from './throughput/measurement.ts';
import { describeCell } from './throughput/report.ts';

const BYSTANDER_PORT = 7_003;
const PING_PORT = 7_004;
const PING = { periodMs: 20, requestBytes: 64, answerBytes: 64 } as const;
/** The bystander comes when the migration runs already. */
const HEAD_START_SECONDS = 3;

const ORDINARY = { pattern: 'random', congestionControl: 'default' } as const;

/** So near that the bystander's own buffers would let it fill the link alone. */
const CELL: Cell = { rateMbit: 1_000, rttMs: 20, lossPct: 0 };

const shareBytesPerSec = (share: number): number => Math.round((payloadRate(CELL.rateMbit) / 8) * share);

interface Beside {
  readonly name: string;
  readonly contender: Contender | null;
}

const EVERYTHING: readonly Beside[] = [
  { name: 'nothing', contender: null },
  { name: 'one direct stream, CUBIC', contender: directCubic },
  { name: 'LMAS, no limit', contender: lmas },
  { name: 'LMAS, limit 80 % of the link', contender: lmasLimited(shareBytesPerSec(0.8)) },
  { name: 'LMAS, limit 50 % of the link', contender: lmasLimited(shareBytesPerSec(0.5)) },
];

export const fairness: Part = {
  name: 'fairness',
  title: 'What is left for others',
  method:
    'One CUBIC stream from host to host joins three seconds after the migration’s stream; a 64-byte packet goes back and forth between the hosts every 20 ms. Limits are those of our one session. Shares are over the time in which both streams run.',
  columns: {
    bystanderShare: { title: 'share of the bystander', text: percent },
    ourShare: { title: 'share of the migration', text: percent },
    pingP50Ms: { title: 'ping, median ms', text: milliseconds },
    pingP99Ms: { title: 'ping, p99 ms', text: milliseconds },
  },
  async *measure(lab, { quick, signal }) {
    await lab.setLink(CELL);
    const beside = quick ? EVERYTHING.filter(({ name }) => name.startsWith('LMAS')) : EVERYTHING;
    for (const one of beside) {
      signal.throwIfAborted();
      yield await measureBeside(lab, one, quick ? 8 : 20);
    }
  },
};

async function measureBeside(lab: Lab, { name, contender }: Beside, seconds: number): Promise<Sample> {
  const { a, b } = lab.sites;
  await placeLoad(a.host, b.host);
  const ourSeconds = seconds + HEAD_START_SECONDS;
  const far = b.host.dataAddress;
  const later = { seconds, afterSeconds: contender === null ? 0 : HEAD_START_SECONDS };
  using _pings = await answerQuestions(b.host, PING_PORT, { ...PING, seconds });
  using bystander = await receive(b.host, BYSTANDER_PORT, seconds);
  using sink = await receive(b.host, SINK_PORT, ourSeconds);
  await using way = contender && (await contender.open(lab));
  const watch = await DisturbanceWatch.start(lab);
  const [took, theirSender, ourSender] = await Promise.all([
    ask(a.host, far, PING_PORT, { ...PING, ...later }),
    send(a.host, far, BYSTANDER_PORT, { ...ORDINARY, ...later }),
    way && send(a.host, way.entry.host, way.entry.port, { ...ORDINARY, seconds: ourSeconds }),
  ]);
  const theirs = await bystander.answer;
  const ours = way && (await sink.answer);
  const cpuSeconds = [theirSender, ourSender, theirs, ours].map((one) => one?.cpuSeconds ?? 0);
  const { reasons } = await watch.stop(cpuSeconds.reduce((sum, one) => sum + one));
  const shareOf = (received: Received): number | null => {
    const { firstByteNs, lastByteNs } = theirs;
    const bytes = bytesBetween(received, firstByteNs, lastByteNs);
    return linkShare(goodputBitsPerSec(bytes, firstByteNs, lastByteNs), CELL.rateMbit);
  };
  return {
    labels: { link: describeCell(CELL), beside: name },
    values: {
      bystanderShare: shareOf(theirs),
      ourShare: ours && shareOf(ours),
      pingP50Ms: percentile(took, 0.5) / 1_000,
      pingP99Ms: percentile(took, 0.99) / 1_000,
    },
    disturbed: reasons,
  };
}
