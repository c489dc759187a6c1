/**
 * How much memory a gateway takes at most: resident memory against its bound, and what the kernel holds for its sockets,
 * while the link is full and while the receiver hardly reads.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayStatus } from '@lmas/gateway-api';
import type { Lab, LabHost } from '../../lab/src/index.ts';
import { SINK_PORT } from '../contenders/contender.ts';
import type { GatewayClient } from '../contenders/gateway-client.ts';
import { openGatewayPair } from '../contenders/gateway-pair.ts';
import { placeLoad, receive, send } from '../load/load.ts';
import { DisturbanceWatch } from '../machine/disturbance.ts';
import { socketMemoryBytes } from '../machine/socket-memory.ts';
import type { Sample } from '../report/sample.ts';
import { megabytes, type Part } from './part.ts';
import type { Cell } from './throughput/measurement.ts';
import { describeCell } from './throughput/report.ts';

const PERIOD_MS = 200;
/** And what the one stream has. */
const ALLOWANCE_BYTES = (64 << 20) + (64 << 10);

interface Load {
  readonly name: string;
  readonly cell: Cell;
  /** What the receiver takes; null: all it can get. */
  readonly readBytesPerSec: number | null;
}

const at = (rttMs: number): Cell => ({ rateMbit: 1_000, rttMs, lossPct: 0 });
const LOADS: readonly Load[] = [
  { name: 'the link is full', cell: at(100), readBytesPerSec: null },
  { name: 'the link is full', cell: at(200), readBytesPerSec: null },
  { name: 'the receiver reads 1 MB/s', cell: at(100), readBytesPerSec: 1_000_000 },
];

export const memory: Part = {
  name: 'memory',
  title: 'Memory of one gateway, at most',
  method:
    'Resident memory as the gateway reports it, before the stream (some 300 ms after the probe that warms the pair up) and the largest while it runs; the bound is idle + 2 × largest window + 64 MiB and 64 KiB for the one stream. Kernel memory is that of all its TCP sockets (ss -m), to be at most 2 × window, and 1 MiB for the one stream. Sampled five times a second.',
  columns: {
    idleRssBytes: { title: 'idle RSS MB', text: megabytes },
    peakRssBytes: { title: 'RSS MB', text: megabytes },
    boundBytes: { title: 'bound MB', text: megabytes },
    windowBytes: { title: 'window MB', text: megabytes },
    inFlightBytes: { title: 'in flight MB', text: megabytes },
    bufferedBytes: { title: 'buffered MB', text: megabytes },
    kernelBytes: { title: 'kernel MB', text: megabytes },
  },
  async *measure(lab, { quick, signal }) {
    for (const load of quick ? LOADS.slice(0, 1) : LOADS) {
      signal.throwIfAborted();
      await lab.setLink(load.cell);
      yield* await measureLoad(lab, load, quick ? 6 : 15);
    }
  },
};

async function measureLoad(lab: Lab, { name, cell, readBytesPerSec }: Load, seconds: number): Promise<Sample[]> {
  const { a, b } = lab.sites;
  await placeLoad(a.host, b.host);
  using sink = await receive(b.host, SINK_PORT, seconds, readBytesPerSec);
  await using pair = await openGatewayPair(lab, {});
  const ends = [
    new Watched('source', a.gatewayHost, pair.source),
    new Watched('destination', b.gatewayHost, pair.destination),
  ];
  await Promise.all(ends.map((end) => end.look()));
  const watch = await DisturbanceWatch.start(lab);
  const load = { seconds, pattern: 'random', congestionControl: 'default' } as const;
  let running = true;
  const stream = send(a.host, pair.entry.host, pair.entry.port, load).finally(() => {
    running = false;
  });
  while (running) {
    await Promise.all(ends.map((end) => end.look()));
    await sleep(PERIOD_MS);
  }
  const [sent, received] = await Promise.all([stream, sink.answer]);
  const { reasons } = await watch.stop(sent.cpuSeconds + received.cpuSeconds);
  return ends.map((end) => ({
    labels: { link: describeCell(cell), while: name, gateway: end.name },
    values: end.values(),
    disturbed: reasons,
  }));
}

/** One gateway, looked at again and again; keeps the largest of everything. */
class Watched {
  readonly name: string;
  readonly #machine: LabHost;
  readonly #client: GatewayClient;
  readonly #peak = { rss: 0, window: 0, inFlight: 0, buffered: 0, kernel: 0 };
  #idleRssBytes: number | null = null;

  constructor(name: string, machine: LabHost, client: GatewayClient) {
    this.name = name;
    this.#machine = machine;
    this.#client = client;
  }

  async look(): Promise<void> {
    const [status, kernel] = await Promise.all([this.#client.status(), socketMemoryBytes(this.#machine)]);
    this.#idleRssBytes ??= status.rssBytes;
    this.#keep(status, kernel);
  }

  #keep({ rssBytes, session }: GatewayStatus, kernel: number): void {
    const peak = this.#peak;
    peak.rss = Math.max(peak.rss, rssBytes);
    peak.window = Math.max(peak.window, session?.windowBytes ?? 0);
    peak.inFlight = Math.max(peak.inFlight, session?.inFlightBytes ?? 0);
    peak.buffered = Math.max(peak.buffered, session?.bufferedBytes ?? 0);
    peak.kernel = Math.max(peak.kernel, kernel);
  }

  values() {
    const { rss, window, inFlight, buffered, kernel } = this.#peak;
    const idle = this.#idleRssBytes ?? 0;
    return {
      idleRssBytes: idle,
      peakRssBytes: rss,
      boundBytes: idle + 2 * window + ALLOWANCE_BYTES,
      windowBytes: window,
      inFlightBytes: inFlight,
      bufferedBytes: buffered,
      kernelBytes: kernel,
    };
  }
}
