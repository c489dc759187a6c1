/**
 * Two networks joined by two machines, each the next hop of its hosts, in network namespaces of this machine (root needed): where transparent mode is
 * tried for real. `machine` runs commands inside; `close` ends what runs there and removes it all.
 *
 *   source ── gateway-a ══ gateway-b ── destination       IPv4 and IPv6, everything routed; source has a second address
 */
import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export type Machine = 'source' | 'gateway-a' | 'gateway-b' | 'destination';
const machines: readonly Machine[] = ['source', 'gateway-a', 'gateway-b', 'destination'];

export const addresses = {
  source: { 4: '10.91.1.10', 6: 'fd91:1::10' },
  /** Of the source as well. */
  bystander: { 4: '10.91.1.11', 6: 'fd91:1::11' },
  destination: { 4: '10.91.2.10', 6: 'fd91:2::10' },
  tunnel: { a: '10.91.0.1', b: '10.91.0.2' },
} as const;

export class NextHopNetwork {
  readonly #prefix: string;

  private constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** `prefix` keeps it apart from others of its kind. What is there under this name goes first. */
  static create(prefix: string): NextHopNetwork {
    const network = new NextHopNetwork(prefix);
    network.close();
    for (const machine of machines) must('ip', ['netns', 'add', network.#namespace(machine)]);
    network.#join('source', 'gateway-a', ['10.91.1.10/24', 'fd91:1::10/64'], ['10.91.1.1/24', 'fd91:1::1/64']);
    network.#join('gateway-a', 'gateway-b', ['10.91.0.1/30', 'fd91:0::1/64'], ['10.91.0.2/30', 'fd91:0::2/64']);
    network.#join('gateway-b', 'destination', ['10.91.2.1/24', 'fd91:2::1/64'], ['10.91.2.10/24', 'fd91:2::10/64']);
    network.#ip('source', 'address add 10.91.1.11/24 dev gateway-a', 'address add fd91:1::11/64 dev gateway-a nodad');
    network.#ip('source', 'route add default via 10.91.1.1', 'route add default via fd91:1::1 src fd91:1::10');
    network.#ip('destination', 'route add default via 10.91.2.1', 'route add default via fd91:2::1');
    network.#ip('gateway-a', 'route add 10.91.2.0/24 via 10.91.0.2', 'route add fd91:2::/64 via fd91:0::2');
    network.#ip('gateway-b', 'route add 10.91.1.0/24 via 10.91.0.1', 'route add fd91:1::/64 via fd91:0::1');
    for (const machine of ['gateway-a', 'gateway-b'] as const) {
      network.run(machine, ['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']);
    }
    return network;
  }

  /** What it printed; throws when it fails. */
  run(machine: Machine, command: readonly string[]): string {
    return must('ip', ['netns', 'exec', this.#namespace(machine), ...command]);
  }

  start(machine: Machine, command: readonly string[], options: SpawnOptions): ChildProcess {
    return spawn('ip', ['netns', 'exec', this.#namespace(machine), ...command], options);
  }

  /** Idempotent. */
  close(): void {
    for (const machine of machines) {
      const name = this.#namespace(machine);
      if (!namespaces().includes(name)) continue;
      for (const pid of must('ip', ['netns', 'pids', name]).split('\n').filter(Boolean)) kill(Number(pid));
      must('ip', ['netns', 'delete', name]);
    }
  }

  #namespace(machine: Machine): string {
    return `${this.#prefix}-${machine}`;
  }

  #ip(machine: Machine, ...lines: string[]): void {
    must('ip', ['-n', this.#namespace(machine), '-batch', '-'], `${lines.join('\n')}\n`);
  }

  /** Each end of the line bears the name of the machine that it leads to. */
  #join(left: Machine, right: Machine, ofLeft: readonly string[], ofRight: readonly string[]): void {
    const [here, there] = [this.#namespace(left), this.#namespace(right)];
    must('ip', ['link', 'add', right, 'netns', here, 'type', 'veth', 'peer', 'name', left, 'netns', there]);
    const up = (device: string, own: readonly string[]) => [
      ...own.map((address) => `address add ${address} dev ${device}${address.includes(':') ? ' nodad' : ''}`),
      `link set ${device} up`,
      'link set lo up',
    ];
    this.#ip(left, ...up(right, ofLeft));
    this.#ip(right, ...up(left, ofRight));
  }
}

function must(command: string, args: readonly string[], input = ''): string {
  const done = spawnSync(command, args, { input, encoding: 'utf8', timeout: 20_000 });
  if (done.status === 0) return done.stdout;
  throw new Error(`${command} ${args.join(' ')}: ${done.stderr || done.error?.message}`);
}

const namespaces = (): string[] =>
  must('ip', ['netns', 'list'])
    .split('\n')
    .map((line) => line.split(' ')[0] ?? '');

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    return; // It has ended by itself.
  }
  for (let tries = 0; tries < 200 && isThere(pid); tries += 1)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
}

function isThere(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
  } catch {
    return false;
  }
}
