/**
 * Two hosts with plain Xen: the scripted xl of test/lab/xl behind one real sshd, each with its domains, and a guest at the
 * first. The relays in front of sshd are the network that can be taken away.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { ConnectContext, RunIdentity } from '@lmas/plugin-api';
import { createXlPlugin } from '@lmas/plugin-xen/xl';
import { type Relay, sshdMissing, startRelay, type TestSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { XlSession } from '../../plugins/xen/src/xl/session.ts';
import { type HostSettings, readTruth, ScriptedHost, type TruthEntry } from '../lab/xl/host.ts';
import type { ComplianceWorld } from './suite.ts';

const silent = () => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };
const SHARED = '/dev';
const MEMORY_MIB = 8;
const SLOW_BYTES_PER_SEC = 1.5e6;
/** Notes of running migrations are kept where a reboot empties it. */
const IN_MEMORY = mkdtempSync('/dev/shm/lmas-xl-');
process.once('exit', () => rmSync(IN_MEMORY, { recursive: true, force: true }));
/** xl is started dozens of times for each test. */
const CACHE = mkdtempSync(join(tmpdir(), 'lmas-xl-cache-'));
process.once('exit', () => rmSync(CACHE, { recursive: true, force: true }));

/** A Dom0 has no person's shell set-up, which would be run for each command, and no search path of his. */
export const DOM0_SSHD = ['MaxStartups 100', 'SetEnv SHLVL=2 PATH=/usr/sbin:/usr/bin:/sbin:/bin'];

export const plugin = createXlPlugin({ settleMs: 15_000, receiverEndsMs: 1_000 });
export const VM = { id: '5b1c6b5e-8f0e-4a53-9f0d-4f2f0f3ab001', name: 'web server' };

/** Whether this machine can play two Dom0s; else what is missing. */
export function xlMissing(): string | false {
  if (process.getuid?.() !== 0) return 'xl wants root';
  if (!existsSync('/usr/bin/python3')) return 'python3 is not installed (apt-get install python3)';
  return sshdMissing();
}

/**
 * All hosts of all tests are this machine, and their ports must not meet. The first one of a block is held by its process for as long as it
 * lives; all are below those that the kernel gives to connections.
 */
const PORTS = 4;
const BLOCK_PORTS = 1_000;
const BLOCKS = { from: 20_000, below: 32_000 };
let block: Promise<{ next: number }> | undefined;

async function claimBlock(): Promise<{ next: number }> {
  for (let first = BLOCKS.from; first < BLOCKS.below; first += BLOCK_PORTS) {
    const holder = createServer().unref().listen(first, '127.0.0.1');
    const isOurs = await once(holder, 'listening').then(
      () => true,
      () => false,
    );
    if (isOurs) return { next: first + 1 };
  }
  throw new Error('all ports are taken by other tests');
}

/** In the migration network. */
export interface Addresses {
  readonly source: string;
  readonly destination: string;
}

export interface XlHost {
  readonly host: ScriptedHost;
  readonly config: ReturnType<typeof plugin.configSchema.parse>;
  /** In front of sshd. */
  readonly network: Relay;
}

async function makeHost(
  directory: string,
  name: string,
  settings: Partial<HostSettings>,
  sshd: TestSshd,
  migrationAddress: string,
): Promise<XlHost> {
  const host = ScriptedHost.make(join(directory, name), { name, truth: join(directory, 'truth'), ...settings }, CACHE);
  const network = await startRelay(sshd.port);
  block ??= claimBlock();
  const ports = await block;
  const from = ports.next;
  ports.next += PORTS;
  const config = plugin.configSchema.parse({
    ...{ host: sshd.host, port: network.port, hostKeys: [sshd.hostKeys.ed25519], migrationAddress },
    ...{ receivePorts: { from, to: from + PORTS - 1 }, sharedPaths: [SHARED], xlPath: host.program },
    lockPath: host.lockPath,
    runDirectory: join(IN_MEMORY, basename(directory), name),
  });
  return { host, config, network };
}

export class XlWorld implements ComplianceWorld {
  readonly vm = VM;
  readonly source: XlHost;
  readonly destination: XlHost;
  readonly #directory: string;
  readonly #sshd: TestSshd;
  readonly #watch = new AbortController();

  private constructor(directory: string, sshd: TestSshd, source: XlHost, destination: XlHost) {
    this.#directory = directory;
    this.#sshd = sshd;
    this.source = source;
    this.destination = destination;
  }

  /** @param sshd stays the caller's */
  static async make(
    sshd: TestSshd,
    settings: Partial<HostSettings> = {},
    addresses: Addresses = { source: '127.0.0.1', destination: '127.0.0.1' },
  ): Promise<XlWorld> {
    const directory = mkdtempSync(join(tmpdir(), 'lmas-xl-'));
    const source = await makeHost(directory, 'alpha', settings, sshd, addresses.source);
    const destination = await makeHost(directory, 'beta', {}, sshd, addresses.destination);
    await source.host.add({
      ...{ name: VM.name, uuid: VM.id, memoryMib: MEMORY_MIB, vcpus: 2, state: 'running' },
      config: {
        c_info: { type: 'pvh', name: VM.name, uuid: VM.id },
        b_info: { max_vcpus: 2, max_memkb: MEMORY_MIB * 1024, target_memkb: MEMORY_MIB * 1024 },
        disks: [{ pdev_path: '/dev/null', vdev: 'xvda', format: 'raw', readwrite: 1 }],
        nics: [{ devid: 0, mac: '00:16:3e:00:00:01', bridge: 'lo' }],
      },
    });
    return new XlWorld(directory, sshd, source, destination);
  }

  async connect(run?: RunIdentity) {
    const [source, destination] = await Promise.all(
      [this.source, this.destination].map((end) => this.connectTo(end, run)),
    );
    if (source === undefined || destination === undefined) throw new Error('unreachable');
    return { source, destination };
  }

  async connectTo({ config }: XlHost, run?: RunIdentity): Promise<XlSession> {
    const { username, privateKey } = this.#sshd;
    const context: ConnectContext = { log, credential: { kind: 'ssh-key', username, privateKey }, run };
    const session = await plugin.connect(config, context, { signal: AbortSignal.timeout(20_000) });
    assert.ok(session instanceof XlSession);
    return session;
  }

  truth(): readonly TruthEntry[] {
    return readTruth(join(this.#directory, 'truth'));
  }

  runningCopies(): { source: boolean; destination: boolean } {
    const runs = ({ host }: XlHost): boolean =>
      host.domains().some(({ uuid, state }) => uuid === VM.id && state === 'running');
    return { source: runs(this.source), destination: runs(this.destination) };
  }

  maxRunningCopies(): number {
    let now = 0;
    let most = 0;
    for (const { runs } of this.truth()) {
      now += runs ? 1 : -1;
      most = Math.max(most, now);
    }
    return most;
  }

  killOrchestrator(): void {
    this.source.network.cut();
    this.destination.network.cut();
  }

  setDestinationReachable(reachable: boolean): void {
    if (!reachable) this.destination.network.cut();
  }

  /** From half-way on the rest takes longer than a cancel. */
  whilePerforming(action: () => void): void {
    const { host } = this.source;
    host.set({ ...host.settings, bytesPerSec: SLOW_BYTES_PER_SEC });
    host.reached('half-sent', this.#watch.signal).then(action, () => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch.abort();
    await Promise.all([this.source, this.destination].map(({ network }) => network[Symbol.asyncDispose]()));
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
