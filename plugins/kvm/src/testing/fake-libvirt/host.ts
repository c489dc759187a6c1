/**
 * A host with a scripted daemon: its guests, who is connected, and what a test can do to both. Commands that a session runs here
 * run on this machine.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { duplexPair } from 'node:stream';
import { uuidText } from '../../client.ts';
import { configSchema, type KvmConfig } from '../../config.ts';
import { ERROR, RUNNING, SHUTOFF, STATE } from '../../rpc/constants.ts';
import type { Domain, ProcedureName } from '../../rpc/procedures.ts';
import { KvmSession } from '../../session.ts';
import type { CommandOptions, CommandResult, HostTransport } from '../../transport.ts';
import { answerIp, type FakeBridge } from './bridges.ts';
import { FakeConnection, type Script } from './connection.ts';
import type { Guest } from './guest.ts';
import { FakeMigrations, type PerformControl } from './migrations.ts';
import { proceduresOf } from './procedures.ts';
import { Refusal } from './refusal.ts';
import type { FakeWorld } from './world.ts';

/** As libvirt tells of it. */
export interface FakePool {
  readonly state: number;
  readonly isNetworked: boolean;
  readonly capacity: bigint;
  readonly allocation: bigint;
  readonly available: bigint;
}

export class FakeHost {
  readonly world: FakeWorld;
  readonly name: string;
  /** Where it receives and connects from; nobody really listens there unless a test makes it an address of this machine. */
  address: string;
  /** Directory in which the guests' disks are. */
  files: string;
  readonly guests = new Map<string, Guest>();
  readonly calls: ProcedureName[] = [];
  /** What the latest call of each procedure said. */
  readonly args = new Map<ProcedureName, unknown>();
  readonly #connections = new Set<FakeConnection>();
  readonly #transports: (() => void)[] = [];
  readonly #scripts = new Map<ProcedureName, Script[]>();
  #lastId = 0;
  readonly migrations = new FakeMigrations(this);
  readonly #procedures = proceduresOf(this);
  /** While true nobody can connect, and every connection is gone. See `setDown`. */
  isDown = false;
  /** How long an incoming guest outlives its connection: libvirt notices a dead client late. */
  autoDestroyDelayMs = 0;
  /** Called when a Perform begins; by default it ends at once. */
  onPerform: (control: PerformControl) => void = ({ finish }) => finish();
  /** Called when a broken post-copy is taken up again; by default it ends at once. */
  onResume: (control: PerformControl) => void = ({ finish }) => finish();
  /** The next Finish defines the guest, cannot start it, and says so. */
  failsToStart = false;
  /** Peer to peer: the reply to the next Finish is lost between the daemons, and this one takes that for a failure. */
  losesFinishReply = false;
  /** The pass that is under way. */
  iteration = 1;
  remainingBytes = 50;
  /** What else the statistics of a job count. */
  moreCounts: Readonly<Record<string, number>> = {};
  libvirtVersion = 9_000_000n;
  /** Unused altogether, as libvirt counts. */
  freeMemoryBytes = 8n * 1024n ** 3n;
  /** What the kernel could make free, caches and all; without it, an old kernel's file that does not say. */
  availableMemoryBytes: bigint | undefined;
  /** What a measurement finds that begins now, and is over when somebody looks for the second time. */
  dirtyMibPerSec = 7;
  /** As `net-dumpxml` shows them. */
  readonly networks = new Map([
    ['default', "<network><name>default</name><forward mode='nat'/><bridge name='virbr0'/></network>"],
  ]);
  readonly pools = new Map<string, FakePool>();
  /** Of the kernel, whoever made them. */
  readonly bridges = new Map<string, FakeBridge>();
  /** What the host's sysctl says. */
  userfaultfd = '1';
  /** Where files below `/run` are looked for; without it, on this machine. */
  runDirectory: string | undefined;
  /** Of every guest here. */
  snapshots = 0;
  /** By uuid. */
  readonly secrets = new Set<string>();
  /** Of every disk here. */
  capacityBytes = 1_048_576n;
  /** In every file system here; this machine's own unless told. */
  freeDiskBytes: number | undefined;
  /** As which release of QEMU its programs answer; they are this machine's unless told. */
  qemuVersion: string | undefined;
  /** Guests, by uuid, that an earlier QEMU runs. */
  readonly withoutDirtyRates = new Set<string>();
  /** Programs that fail here, with what exit code: 126 of one that the login may not run. */
  readonly failingCommands = new Map<string, number>();
  /** Every command that was run here, oldest first. */
  readonly commands: (readonly string[])[] = [];
  /** Called before each command that is run here. */
  beforeCommand: (command: readonly string[]) => void = () => undefined;

  constructor(world: FakeWorld, name: string, files: string) {
    this.world = world;
    this.name = name;
    this.address = name === 'a' ? '192.0.2.1' : '192.0.2.2';
    this.files = files;
  }

  /** Scripts the next call of a procedure; several are used up in order. */
  on(name: ProcedureName, script: Script): void {
    this.#scripts.set(name, [...(this.#scripts.get(name) ?? []), script]);
  }

  takeScript(name: ProcedureName): Script | undefined {
    return this.#scripts.get(name)?.shift();
  }

  /** The daemon cannot be reached any more, or again. */
  setDown(down: boolean): void {
    this.isDown = down;
    if (down) this.cutConnections();
  }

  /** Whoever is connected dies: its connections break, and its sessions never come back. */
  killClients(): void {
    for (const kill of this.#transports.splice(0)) kill();
    this.cutConnections();
  }

  cutConnections(): void {
    for (const connection of [...this.#connections]) connection.cut();
  }

  addGuest(name: string, uuid: string): void {
    this.#add({ name, uuid, id: this.nextId(), state: STATE.running, reason: RUNNING.booted, xml: null });
  }

  #add(guest: Pick<Guest, 'name' | 'uuid' | 'id' | 'state' | 'reason' | 'xml'>): void {
    this.guests.set(guest.uuid, {
      ...guest,
      ...{ persistent: true, autostart: false, job: null, foreignJob: null, postCopy: false, life: 0 },
      ...{ checkpoints: 0, backup: null, dirtyRate: null, hasManagedSave: false },
    });
    this.world.witness(guest.uuid);
  }

  /** Defines a guest that is off, or another definition of one that is there. */
  define(name: string, uuid: string, xml: string): void {
    const known = this.guests.get(uuid);
    if (known !== undefined) Object.assign(known, { name, xml, persistent: true });
    else this.#add({ name, uuid, id: -1, state: STATE.shutOff, reason: SHUTOFF.unknown, xml });
  }

  /** Somebody starts it. @throws Refusal */
  start(uuid: string): void {
    const guest = this.guest(uuid);
    if (/held-by-lmas/.test(guest.xml ?? '')) throw new Refusal(ERROR.INTERNAL_ERROR, 'could not open kernel file');
    guest.id = this.nextId();
    this.set(guest, STATE.running, RUNNING.booted);
  }

  /** The guest shuts itself down. */
  endGuest(uuid: string): void {
    this.stop(this.guest(uuid), SHUTOFF.shutdown);
  }

  /** A transport to this host, as the session takes it over. Commands run on this machine. */
  transport(): HostTransport {
    const closed = new AbortController();
    const lost = Promise.withResolvers<never>();
    lost.promise.catch(() => undefined);
    closed.signal.addEventListener('abort', () => lost.reject(closed.signal.reason));
    this.#transports.push(() => closed.abort(new Error('killed')));
    return {
      peer: `fake host ${this.name}`,
      closed: closed.signal,
      openSocket: async () => {
        if (this.isDown || closed.signal.aborted) throw new Error('connection refused');
        const [near, far] = duplexPair();
        // As a socket: when one side is destroyed the other one ends.
        near.on('close', () => far.destroy());
        far.on('close', () => near.destroy());
        this.#connections.add(new FakeConnection(this, far));
        return near;
      },
      exec: (command, options) => Promise.race([lost.promise, this.#exec(command, options)]),
      close: async () => {
        closed.abort(new Error('closed'));
      },
    };
  }

  /** Listens at a Unix socket as the daemon does, for those who come through a real SSH server. */
  async serve(socketPath: string): Promise<AsyncDisposable> {
    const server = createServer((stream) => this.#connections.add(new FakeConnection(this, stream)));
    server.listen(socketPath);
    await once(server, 'listening');
    const dispose = async (): Promise<void> => {
      const closed = once(server, 'close');
      server.close();
      this.cutConnections();
      await closed;
    };
    return { [Symbol.asyncDispose]: dispose };
  }

  /** @param portRange at which it receives; the plugin's own default without it */
  session(signal: AbortSignal, portRange?: { from: number; to: number }): Promise<KvmSession> {
    return KvmSession.open(this.config(portRange), this.transport(), { signal });
  }

  config(portRange?: { from: number; to: number }): KvmConfig {
    return configSchema.parse({
      host: this.name,
      hostKeys: [`SHA256:${'A'.repeat(43)}`],
      migrationAddress: this.address,
      sharedPaths: ['/srv/shared'],
      peerToPeer: { uriScheme: 'qemu+tcp' },
      portRange,
    });
  }

  #exec(command: readonly string[], options: CommandOptions): Promise<CommandResult> {
    const answer = (exitCode: number, text: string): Promise<CommandResult> =>
      Promise.resolve({ exitCode, stdout: Buffer.from(exitCode === 0 ? text : ''), stderr: Buffer.from(text) });
    this.commands.push(command);
    this.beforeCommand(command);
    const failure = this.failingCommands.get(command[0] ?? '');
    if (failure !== undefined) return answer(failure, 'failed by script');
    if (this.qemuVersion !== undefined) {
      if (command[1] === '--version') return answer(0, `${command[0]} version ${this.qemuVersion} (Debian)\n`);
      if (command.includes('--target-is-zero') && Number.parseFloat(this.qemuVersion) < 5) {
        return answer(1, "qemu-img: unrecognized option '--target-is-zero'");
      }
    }
    if (this.freeDiskBytes !== undefined && command[0] === 'stat' && command[1] === '-f')
      return answer(0, `${this.freeDiskBytes} 1`);
    if (command[0] === 'ip') return answer(0, answerIp(this.bridges));
    if (command[1] === '/proc/meminfo') return answer(0, meminfoOf(this));
    if (command[1] === '/proc/sys/vm/unprivileged_userfaultfd') return answer(0, `${this.userfaultfd}\n`);
    // The directory of a guest's own, which real hosts have below /var/lib/libvirt.
    if (command[2]?.includes('/libvirt/qemu/domain-')) return answer(0, this.files);
    return runHere(
      command.map((word) =>
        this.runDirectory === undefined ? word : word.replace(/^\/run\//, `${this.runDirectory}/`),
      ),
      options,
    );
  }

  connectionLost(connection: FakeConnection): void {
    this.#connections.delete(connection);
    for (const guest of this.guests.values()) {
      if (guest.job?.owner !== connection || guest.postCopy) continue;
      if (guest.job.kind === 'out' && guest.job.phase !== 'performing') guest.job = null;
      else if (guest.job.kind === 'in' && guest.job.phase !== 'finishing') this.destroyLater(guest);
    }
  }

  async handle(name: ProcedureName, args: unknown, connection: FakeConnection): Promise<unknown> {
    const handler = this.#procedures[name];
    if (handler === undefined) throw new Refusal(ERROR.NO_SUPPORT, `the fake does not do ${name}`);
    return handler(args as never, connection);
  }

  nextId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }

  destroyLater(guest: Guest): void {
    const destroy = (): void => {
      if (this.guests.get(guest.uuid) === guest && guest.job?.kind === 'in') this.stop(guest, SHUTOFF.destroyed);
    };
    if (this.autoDestroyDelayMs === 0) destroy();
    else setTimeout(destroy, this.autoDestroyDelayMs).unref();
  }

  /** It ends here. */
  stop(guest: Guest, reason: number): void {
    if (guest.postCopy) this.world.violations.push(`${this.name} destroyed a copy of ${guest.uuid} in post-copy`);
    guest.job = null;
    guest.id = -1;
    this.set(guest, STATE.shutOff, reason);
    if (!guest.persistent) this.guests.delete(guest.uuid);
  }

  set(guest: Guest, state: number, reason: number): void {
    guest.state = state;
    guest.reason = reason;
    this.world.witness(guest.uuid);
  }

  guest(uuid: string): Guest {
    const guest = this.guests.get(uuid);
    if (guest === undefined) throw new Refusal(ERROR.NO_DOMAIN, 'Domain not found');
    return guest;
  }

  guestOf(domain: Domain): Guest {
    return this.guest(uuidText(domain.uuid));
  }
}

function meminfoOf({ freeMemoryBytes, availableMemoryBytes }: FakeHost): string {
  const line = (name: string, bytes: bigint): string =>
    `${`${name}:`.padEnd(15)}${String(bytes / 1024n).padStart(9)} kB\n`;
  const available = availableMemoryBytes === undefined ? '' : line('MemAvailable', availableMemoryBytes);
  return line('MemTotal', 64n * 1024n ** 3n) + line('MemFree', freeMemoryBytes) + available;
}

function runHere(command: readonly string[], { signal, stdin, onStdout }: CommandOptions): Promise<CommandResult> {
  const { promise, resolve, reject } = Promise.withResolvers<CommandResult>();
  const [program = '', ...args] = command;
  const child = spawn(program, args, { signal, stdio: ['pipe', 'pipe', 'pipe'] });
  // A program that does not read its input may be gone before it is written.
  child.stdin.on('error', () => undefined);
  child.stdin.end(stdin);
  if (onStdout !== undefined) child.stdout.on('data', onStdout);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  child.on('error', reject);
  child.on('close', (exitCode) => resolve({ exitCode, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) }));
  return promise;
}
