// The kernel's own emulator, where it has one: a bridge between the two ends of the line, and a netem on each way out.
// netem decides per buffer, so super-packets are taken apart before they get there (gso_max_segs 1 on the routers' ends).

import { setTimeout as sleep } from 'node:timers/promises';
import { run } from './command.ts';
import {
  type Direction,
  type DirectionStats,
  FULL_PACKET_BYTES,
  type Link,
  type LinkOptions,
  queueMsOf,
} from './link.ts';
import { netnsOf, SITES } from './names.ts';

/** Whether the kernel has netem; the only reliable way to know is to ask for one. */
export async function hasNetem(name: string): Promise<boolean> {
  const tried = await run('tc', ['-n', netnsOf(name, 'wan'), 'qdisc', 'add', 'dev', 'lo', 'root', 'netem'], {
    allowFailure: true,
  });
  if (tried.code !== 0) return false;
  await run('tc', ['-n', netnsOf(name, 'wan'), 'qdisc', 'del', 'dev', 'lo', 'root']);
  return true;
}

export async function startNetem(name: string): Promise<void> {
  const lines = [
    'link add line type bridge forward_delay 0',
    'link set dev line up',
    'link set dev a master line',
    'link set dev b master line',
  ];
  await run('ip', ['-n', netnsOf(name, 'wan'), '-batch', '-'], { input: `${lines.join('\n')}\n` });
  for (const site of SITES)
    await run('ip', ['-n', netnsOf(name, `rtr-${site}`), 'link', 'set', 'wan', 'gso_max_segs', '1']);
}

export function netemArguments(options: LinkOptions): string[] {
  const bytesPerMs = (options.rateMbit * 1e6) / 8 / 1000;
  const held =
    options.rateMbit > 0 ? ((queueMsOf(options) + options.rttMs / 2) * bytesPerMs) / FULL_PACKET_BYTES : 1_000_000;
  const args = ['limit', String(Math.max(100, Math.ceil(held))), 'delay', `${options.rttMs / 2}ms`];
  if (options.jitterMs) args.push(`${options.jitterMs / 2}ms`);
  if (options.lossPct > 0) args.push('loss', `${options.lossPct}%`);
  if (options.rateMbit > 0) args.push('rate', `${options.rateMbit}mbit`, '24');
  return args;
}

interface QdiscRow {
  kind: string;
  bytes: number;
  packets: number;
  drops: number;
}

/** `current` gives the settings to return to after an outage. */
export function netemLink(name: string, current: () => LinkOptions): Link {
  const netns = netnsOf(name, 'wan');
  const apply = (way: string, args: string[]) =>
    run('tc', ['-n', netns, 'qdisc', 'replace', 'dev', way, 'root', 'netem', ...args]);
  const waysOf = (direction: Direction) => (direction === 'both' ? ['a', 'b'] : [direction === 'ab' ? 'b' : 'a']);
  const cut = new Set<string>();
  const statsOf = async (way: string): Promise<DirectionStats> => {
    const { stdout } = await run('tc', ['-n', netns, '-s', '-j', 'qdisc', 'show', 'dev', way]);
    const row = (JSON.parse(stdout) as QdiscRow[]).find((qdisc) => qdisc.kind === 'netem');
    const [packets, bytes, drops] = [row?.packets ?? 0, row?.bytes ?? 0, row?.drops ?? 0];
    const known = {
      packets: packets + drops,
      bytes,
      deliveredPackets: packets,
      deliveredBytes: bytes,
      droppedOther: drops,
    };
    const unknown = {
      droppedQueue: 0,
      droppedLoss: 0,
      droppedOutage: 0,
      droppedMemory: 0,
      deliveries: packets,
      late: 0,
      lateMaxNs: 0,
      lateSumNs: 0,
      queueMaxNs: 0,
    };
    return { ...known, ...unknown, outage: cut.has(way) };
  };
  const outage = async (direction: Direction, how: number | 'on' | 'off'): Promise<void> => {
    for (const way of waysOf(direction)) {
      if (how === 'off') cut.delete(way);
      else cut.add(way);
      await apply(way, how === 'off' ? netemArguments(current()) : ['loss', '100%']);
    }
    if (typeof how !== 'number') return;
    await sleep(how);
    await outage(direction, 'off');
  };
  return {
    kind: 'netem',
    async set(options) {
      for (const way of ['a', 'b']) await apply(way, netemArguments(options));
    },
    async stats() {
      return { kind: 'netem', cpuUs: 0, ab: await statsOf('b'), ba: await statsOf('a') };
    },
    outage,
  };
}
