/**
 * One measurement: a way is made, the load runs over it for its time, the way is taken down. Processor time is that of
 * everything on both gateway machines from the moment the way stands; the hosts, where the load runs, are kept apart.
 */
import type { Lab } from '../../../lab/src/index.ts';
import { type Contender, SINK_PORT } from '../../contenders/contender.ts';
import { type Pattern, placeLoad, receive, send } from '../../load/load.ts';
import { DisturbanceWatch } from '../../machine/disturbance.ts';
import { addedRssBytes, usageOf } from '../../machine/usage.ts';
import { goodputBitsPerSec, linkShare, timeToShareMs } from '../../statistics.ts';
import type { Cell, Measurement } from './measurement.ts';

/** What is still on its way at the end of the load may take this long to arrive, then the measurement is over. */
const DRAIN_SECONDS = 3;

export interface MeasureOptions {
  readonly seconds: number;
  readonly pass: string;
  readonly pattern?: Pattern;
}

export async function measure(
  lab: Lab,
  cell: Cell,
  contender: Contender,
  { seconds, pass, pattern = 'random' }: MeasureOptions,
): Promise<Measurement> {
  const { a, b } = lab.sites;
  await placeLoad(a.host, b.host);
  await forgetPaths(lab);
  const gateways = [a.gatewayHost, b.gatewayHost];
  const idle = usageOf(...gateways);
  using sink = await receive(b.host, SINK_PORT, seconds + DRAIN_SECONDS);
  await using way = await contender.open(lab);
  const watch = await DisturbanceWatch.start(lab);
  const before = usageOf(...gateways);
  const sent = await send(a.host, way.entry.host, way.entry.port, {
    seconds,
    pattern,
    congestionControl: contender.sourceCongestionControl ?? 'default',
  });
  const received = await sink.answer;
  const after = usageOf(...gateways);
  const loadSeconds = sent.cpuSeconds + received.cpuSeconds;
  const disturbance = await watch.stop(loadSeconds);
  if (received.whole && received.bytes !== sent.bytes) {
    throw new Error(`${contender.name} was given ${sent.bytes} bytes and delivered ${received.bytes}.`);
  }
  const goodput = goodputBitsPerSec(received.bytes, received.firstByteNs, received.lastByteNs);
  const gigabytes = received.bytes / 1e9;
  return {
    ...cell,
    contender: contender.name,
    pass,
    goodputBitsPerSec: goodput,
    linkShare: linkShare(goodput, cell.rateMbit),
    timeTo90Ms: timeToShareMs(received.totalAtIntervals, cell.rateMbit, 0.9),
    cpuSecPerGB: contender.between ? (after.cpuSeconds - before.cpuSeconds) / gigabytes : null,
    loadCpuSecPerGB: loadSeconds / gigabytes,
    rssBytes: addedRssBytes(idle, after),
    seconds,
    foreignCores: disturbance.foreignCores,
    lateShare: disturbance.lateShare,
    disturbed: disturbance.reasons,
  };
}

/** The kernel remembers what it has learnt about a path; no contender may profit from another's experience. */
async function forgetPaths(lab: Lab): Promise<void> {
  for (const machine of Object.values(lab.machines)) await machine.exec(['ip', 'tcp_metrics', 'flush']);
}
