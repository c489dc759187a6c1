/**
 * The migration benchmark: the same running VM moved over the same link, by LMAS and by what libvirt and QEMU bring
 * themselves. Every mover starts with a fresh VM at site A; times are by libvirt's word at the source and by the guest's
 * heartbeats at the destination, never by the mover's.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { payloadRate } from '../../lab/src/index.ts';
import { World } from '../../support/world.ts';
import { type Benchmark, numberOption, readOptions, UsageError } from '../benchmark.ts';
import { DisturbanceWatch } from '../machine/disturbance.ts';
import { type Column, type Sample, sampleLine, sampleTable, summarize } from '../report/sample.ts';
import { textTable } from '../report/table.ts';
import { downtimeBoundMs, performBoundMs } from './bounds.ts';
import { PerformClock } from './clock.ts';
import { MOVERS, type Mover } from './movers.ts';
import { placeQemuCertificates } from './qemu-tls.ts';
import { readSamples, writeSamples } from './results.ts';

const LINK = { rateMbit: 1_000, rttMs: 100, lossPct: 0 } as const;
const MAX_DOWNTIME_MS = 300;
const VM = { name: 'bench', workingSetMib: 64, dirtyPagesPerSec: 2_500 } as const;
/** Memory beyond what the guest fills: the guest itself and its devices. */
const SPARE_MIB = 64;

const HELP = `Usage: npm run bench -- migration [options]

Moves a running VM over ${LINK.rateMbit} Mbit/s and ${LINK.rttMs} ms: from Perform to the first heartbeat at the destination, downtime on the
lab's clock, and the bounds that LMAS is held to.

  --quick            once each, with 512 MiB; without it five times, with 1024 MiB
  --runs N           how often each
  --movers NAMES     only these, separated by commas
  --json FILE        write rows, method and every measurement as JSON
  --append           keep what the file holds already: rows are medians of all of it
  --lab NAME         name of the lab that is built (default benchvm)
  --help             show this

Movers:
${MOVERS.map(({ name, what }) => `  ${name.padEnd(18)} ${what}`).join('\n')}`;

const OPTIONS = {
  quick: { type: 'boolean', default: false },
  runs: { type: 'string' },
  movers: { type: 'string' },
  json: { type: 'string' },
  append: { type: 'boolean', default: false },
  lab: { type: 'string', default: 'benchvm' },
} as const;

const seconds: Column['text'] = (ms) => (ms / 1_000).toFixed(2);
const whole: Column['text'] = (value) => value.toFixed(0);
export const COLUMNS: Readonly<Record<string, Column>> = {
  performMs: { title: 'Perform to running, s', text: seconds },
  performBoundMs: { title: 'bound, s', text: seconds },
  downtimeMs: { title: 'downtime, ms', text: whole },
  downtimeBoundMs: { title: 'bound, ms', text: whole },
  megabytes: { title: 'MB', text: whole },
  goodputMbit: { title: 'Mbit/s', text: whole },
  inFlightRtts: { title: 'in the gateways, RTT', text: (value) => value.toFixed(2) },
  totalMs: { title: 'request to end, s', text: seconds },
};

export const migrationBenchmark: Benchmark = {
  name: 'migration',
  summary: 'a running VM, moved by LMAS and by libvirt and QEMU themselves',
  help: HELP,
  async run(args, { signal }) {
    const options = readOptions(args, OPTIONS);
    const file = options.json;
    const samples = file !== undefined && options.append ? readSamples(file) : [];
    const runs = options.runs === undefined ? (options.quick ? 1 : 5) : numberOption('--runs', options.runs, 1, 100);
    const movers = options.movers === undefined ? MOVERS : options.movers.split(',').map(moverNamed);
    const world = await World.up({ ...LINK, name: options.lab }, placeQemuCertificates);
    try {
      await world.client.testLink({ source: 'site-a', destination: 'site-b', durationMs: 0 }, { signal }); // the upload
      for (let i = 0; i < runs; i++) {
        for (const mover of movers) {
          signal.throwIfAborted();
          const sample = await measure(world, mover, options.quick ? 512 : 1_024, signal);
          samples.push(sample);
          console.log(sampleLine(sample, COLUMNS));
          if (file !== undefined) writeSamples(file, samples, COLUMNS);
        }
      }
    } finally {
      await world.down();
    }
    console.log(`\n${textTable(sampleTable(summarize(samples), COLUMNS))}`);
    return 0;
  },
};

/** @throws UsageError */
function moverNamed(name: string): Mover {
  const found = MOVERS.find((mover) => mover.name === name);
  if (!found)
    throw new UsageError(`There is no mover "${name}". There is: ${MOVERS.map((one) => one.name).join(', ')}.`);
  return found;
}

async function measure(world: World, mover: Mover, fillMib: number, signal: AbortSignal): Promise<Sample> {
  const { lab } = world;
  for (const machine of Object.values(lab.machines)) await machine.exec(['ip', 'tcp_metrics', 'flush']);
  const vm = await world.startVm({ ...VM, fillMib, memoryMib: fillMib + SPARE_MIB });
  try {
    using clock = new PerformClock(lab.sites.a.host, VM.name);
    const { pid } = world.orchestrator;
    const watch = await DisturbanceWatch.start(lab, pid === undefined ? [] : [pid]);
    const requestedAt = performance.now();
    const { bytes, inFlightBytes } = await mover.move(world, VM.name, { maxDowntimeMs: MAX_DOWNTIME_MS, signal });
    const totalMs = performance.now() - requestedAt;
    await sleep(500, undefined, { signal }); // the silence of the switchover ends with a heartbeat from the other side
    const { reasons } = await watch.stop(0);
    await vm.assertLivesAt('b'); // every page, by the guest's own word
    const [move] = vm.seen.heartbeats.moves;
    if (!move) throw new Error('The guest was not heard to move.');
    const performMs = move.fromMs + move.ms - clock.startedAtMs;
    const goodputBitsPerSec = bytes === null ? null : (bytes * 8_000) / performMs;
    const buffered = inFlightBytes === null || goodputBitsPerSec === null ? null : { inFlightBytes, goodputBitsPerSec };
    return {
      labels: { mover: mover.name, memory: `${fillMib} MiB` },
      values: {
        performMs,
        performBoundMs: bytes === null ? null : performBoundMs(bytes, LINK.rateMbit * 1e6),
        downtimeMs: move.ms,
        downtimeBoundMs: buffered && downtimeBoundMs(MAX_DOWNTIME_MS, buffered, LINK.rttMs),
        megabytes: bytes === null ? null : bytes / 1e6,
        goodputMbit: goodputBitsPerSec === null ? null : goodputBitsPerSec / 1e6,
        inFlightRtts: inFlightBytes === null ? null : (inFlightBytes * 8_000) / payloadRate(LINK.rateMbit) / LINK.rttMs,
        totalMs,
      },
      disturbed: reasons,
    };
  } finally {
    await vm.remove();
  }
}
