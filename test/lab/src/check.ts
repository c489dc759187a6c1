// Is the line as it says it is? Round trips of pings, then the rate of one BBR stream, against theory. The two
// ends run in the routers' namespaces, next to the line: these have buffers that one stream can fill it with, which the machines have not.

import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { build } from './build.ts';
import { run } from './command.ts';
import { LabError } from './errors.ts';
import type { Lab } from './lab.ts';
import { type LinkStats, payloadRate } from './link.ts';
import { netnsOf } from './names.ts';

export interface LinkCheck {
  rttMs: { wanted: number; median: number; min: number; max: number };
  /** TCP payload per second of one stream; theory is what the line carries of it. Absent for an unlimited line. */
  payloadMbit: { theory: number | undefined; measured: number; share: number | undefined };
  /** Processor time the emulator used, in cores, while the stream ran. */
  emulatorCores: number;
  late: { deliveries: number; late: number; maxMs: number };
  passed: boolean;
}

const PINGS = 20;
const RTT_TOLERANCE_MS = 0.5;
const SHARE_WANTED = 0.97;
/** A stream needs some round trips to find the rate; they are not part of the measurement. */
const WARM_UP_ROUND_TRIPS = 30;

export async function checkLink(lab: Lab, options: { seconds: number }): Promise<LinkCheck> {
  const peer = join(import.meta.dirname, 'check-peer.ts');
  const [from, to] = [netnsOf(lab.name, 'rtr-a'), netnsOf(lab.name, 'rtr-b')];
  const { a, b } = lab.addresses.router;
  // Where the kernel has no BBR its default must do.
  await run('ip', ['-n', from, 'route', 'replace', b.wan, 'dev', 'wan', 'src', a.wan, 'congctl', 'bbr'], {
    allowFailure: true,
  });
  const server = start(to, [peer, 'serve', b.wan]);
  try {
    const port = (await firstLine(server)).trim();
    const probed = await run('ip', ['netns', 'exec', from, await build('lab-probe'), b.wan, String(PINGS)]);
    const rtts = probed.stdout
      .split('\n')
      .filter(Boolean)
      .map((us) => Number(us) / 1000)
      .sort((one, other) => one - other);
    const warmUpMs = Math.max(1000, WARM_UP_ROUND_TRIPS * lab.link.rttMs);
    const before = await lab.linkStats();
    const startedMs = performance.now();
    const sent = start(from, [peer, 'send', b.wan, port, String(warmUpMs), String(options.seconds * 1000)]);
    const payloadBits = Number(await firstLine(sent));
    const after = await lab.linkStats();
    return judge(lab, rtts, payloadBits, before, after, performance.now() - startedMs);
  } finally {
    server.kill();
  }
}

function judge(
  lab: Lab,
  rtts: number[],
  payloadBits: number,
  before: LinkStats,
  after: LinkStats,
  elapsedMs: number,
): LinkCheck {
  const wanted = lab.link.rttMs;
  const median = rtts[Math.floor(rtts.length / 2)] ?? Number.NaN;
  const theory = lab.link.rateMbit > 0 ? payloadRate(lab.link.rateMbit) / 1e6 : undefined;
  const measured = payloadBits / 1e6;
  const share = theory === undefined ? undefined : measured / theory;
  return {
    rttMs: { wanted, median, min: rtts[0] ?? Number.NaN, max: rtts.at(-1) ?? Number.NaN },
    payloadMbit: { theory, measured, share },
    emulatorCores: (after.cpuUs - before.cpuUs) / 1000 / elapsedMs,
    late: {
      deliveries: after.ab.deliveries + after.ba.deliveries - before.ab.deliveries - before.ba.deliveries,
      late: after.ab.late + after.ba.late - before.ab.late - before.ba.late,
      maxMs: Math.max(after.ab.lateMaxNs, after.ba.lateMaxNs) / 1e6,
    },
    passed:
      Math.abs(median - wanted) <= RTT_TOLERANCE_MS + (lab.link.jitterMs ?? 0) &&
      (share === undefined || share >= SHARE_WANTED || lab.link.lossPct > 0),
  };
}

export function printCheck(check: LinkCheck): string {
  const { rttMs, payloadMbit, late } = check;
  const theory =
    payloadMbit.theory === undefined
      ? 'no limit set'
      : `theory ${payloadMbit.theory.toFixed(1)}, ${((payloadMbit.share ?? 0) * 100).toFixed(1)} %`;
  return [
    `round trip   ${rttMs.median.toFixed(2)} ms (wanted ${rttMs.wanted}; ${rttMs.min.toFixed(2)} to ${rttMs.max.toFixed(2)})`,
    `one stream   ${payloadMbit.measured.toFixed(1)} Mbit/s of TCP payload (${theory})`,
    `emulator     ${(check.emulatorCores * 100).toFixed(0)} % of a core; ${late.late} of ${late.deliveries} deliveries over 1 ms late, at most ${late.maxMs.toFixed(1)} ms`,
    check.passed ? 'as it should be' : 'NOT as it should be',
  ].join('\n');
}

function start(netns: string, args: string[]): ChildProcess {
  return spawn('ip', ['netns', 'exec', netns, process.execPath, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => reject(new LabError('LAB_COMMAND_FAILED', `check-peer ended with ${code}`)));
    if (child.stdout) createInterface({ input: child.stdout }).once('line', resolve);
  });
}
