/**
 * Scripted libvirt daemons for tests: two hosts that speak the real RPC over in-memory streams and migrate imaginary
 * guests between them, with libvirt's rules about who owns what:
 *
 * - the job at the source belongs to the connection of Begin; when that is lost before Perform the job is dropped, during
 *   Perform nothing happens, after it the job is dropped and the guest stays paused;
 * - the incoming guest belongs to the connection of Prepare and is destroyed with it, until Finish has begun;
 * - a Perform whose destination is gone fails, and the guest runs on at the source;
 * - peer to peer, the source resumes its guest when no reply to Finish comes, whatever the destination did;
 * - in post-copy a Perform that fails leaves both copies where they are, and only POSTCOPY_RESUME takes it up again.
 *
 * `on` scripts a procedure: hold it, refuse it, or lose its reply after its effect. The world keeps count: `violations` lists
 * every instant at which two copies ran, every resumption of a copy that another one had overtaken, and every copy that was
 * destroyed while the other one needed its memory.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import { uuidBytes, uuidText } from '../client.ts';
import { configSchema, type KvmConfig } from '../config.ts';
import { ABORT_JOB, ERROR, JOB, MIGRATE, OPERATION, PAUSED, RUNNING, SHUTOFF, STATE } from '../rpc/constants.ts';
import {
  encodePacket,
  KEEPALIVE,
  keepalivePacket,
  PACKET_TYPE,
  type Packet,
  PacketDecoder,
  PROGRAM,
  remoteError,
  STATUS,
} from '../rpc/packets.ts';
import { type ArgsOf, type Domain, PROCEDURES, type Procedure, type ProcedureName } from '../rpc/procedures.ts';
import { stringOf, type TypedParam } from '../rpc/typed-params.ts';
import { decode, encode } from '../rpc/xdr.ts';
import { KvmSession } from '../session.ts';
import type { CommandResult, HostTransport } from '../transport.ts';

export class Refusal extends Error {
  readonly number: number;

  constructor(number: number, message: string) {
    super(message);
    this.number = number;
  }
}

/** What to do with the next call of a procedure. */
export type Script =
  /** Run `before`, then the procedure. */
  | { readonly do: 'hold'; readonly before: (connection: FakeConnection) => Promise<void> | void }
  /** No effect, an error. */
  | { readonly do: 'refuse'; readonly number: number }
  /** The connection breaks before the procedure has any effect. */
  | { readonly do: 'cut-before' }
  /** The procedure has its effect, and the connection breaks before its reply. */
  | { readonly do: 'cut-after' }
  /** The effect, and an error. */
  | { readonly do: 'refuse-after'; readonly number: number }
  /** The effect, then this, then the reply if there is still a connection. */
  | { readonly do: 'after'; readonly run: () => Promise<void> | void };

export interface PerformControl {
  finish(): void;
  fail(refusal: Refusal): void;
  /** Peer to peer, in post-copy: the daemons lose each other, and QEMU goes on by itself. `finish` and `fail` still work. */
  loseControl(): void;
}

class ControlLost extends Error {}

interface Guest {
  name: string;
  uuid: string;
  id: number;
  state: number;
  reason: number;
  persistent: boolean;
  autostart: boolean;
  job: {
    kind: 'out' | 'in';
    owner: FakeConnection;
    phase: 'begun' | 'performing' | 'performed' | 'finishing' | 'broken';
  } | null;
  /** Somebody else's job (OPERATION.*), which keeps migrations out and must never be aborted. */
  foreignJob: number | null;
  /** A part of its memory is at the other end, or of the other one's here. */
  postCopy: boolean;
  /** Which moment of the guest's life this copy holds: a resumption of an older one than has run is a violation. */
  life: number;
}

export class FakeConnection {
  readonly host: FakeHost;
  readonly #stream: Duplex;
  readonly #decoder = new PacketDecoder();
  open = true;

  constructor(host: FakeHost, stream: Duplex) {
    this.host = host;
    this.#stream = stream;
    stream.on('data', (chunk: Buffer) => {
      for (const packet of this.#decoder.push(chunk)) void this.#serve(packet);
    });
    stream.on('close', () => this.cut());
    stream.on('error', () => this.cut());
    stream.on('end', () => this.cut());
  }

  /** Breaks the connection, and does what libvirt does then. Idempotent. */
  cut(): void {
    if (!this.open) return;
    this.open = false;
    this.#stream.destroy();
    this.host.connectionLost(this);
  }

  async #serve(packet: Packet): Promise<void> {
    if (packet.program === PROGRAM.keepalive) {
      if (packet.procedure === KEEPALIVE.ping) this.#send(keepalivePacket(KEEPALIVE.pong));
      return;
    }
    const entry = Object.entries(PROCEDURES).find(([, { number }]) => number === packet.procedure);
    if (entry === undefined) throw new Error(`the fake does not know procedure ${packet.procedure}`);
    const name = entry[0] as ProcedureName;
    const procedure = entry[1] as unknown as Procedure<unknown, unknown>;
    const script = this.host.takeScript(name);
    this.host.calls.push(name);
    const header = {
      program: PROGRAM.remote,
      procedure: packet.procedure,
      type: PACKET_TYPE.reply,
      serial: packet.serial,
    };
    try {
      if (script?.do === 'hold') await script.before(this);
      if (script?.do === 'cut-before') return this.cut();
      if (script?.do === 'refuse') throw new Refusal(script.number, 'refused by script');
      const args = decode(procedure.args, packet.payload);
      const result = await this.host.handle(name, args, this);
      if (script?.do === 'cut-after') return this.cut();
      if (script?.do === 'after') await script.run();
      if (script?.do === 'refuse-after') throw new Refusal(script.number, 'refused by script, after the effect');
      this.#send(encodePacket({ ...header, status: STATUS.ok, payload: encode(procedure.result, result) }));
    } catch (error) {
      const { number = ERROR.INTERNAL_ERROR, message } = error as Refusal;
      const nulls = { about: null, str1: null, str2: null, str3: null, network: null };
      const fault = { code: number, domain: 10, message, level: 2, int1: 0, int2: 0, ...nulls };
      this.#send(encodePacket({ ...header, status: STATUS.error, payload: encode(remoteError, fault) }));
    }
  }

  #send(bytes: Buffer): void {
    if (this.open) this.#stream.write(bytes);
  }
}

export class FakeWorld {
  readonly violations: string[] = [];
  readonly hosts: FakeHost[] = [];
  /** The youngest moment of each guest's life that has run anywhere. */
  readonly #lives = new Map<string, number>();

  addHost(name: string, files: string): FakeHost {
    const host = new FakeHost(this, name, files);
    this.hosts.push(host);
    return host;
  }

  hostOf(address: string): FakeHost | undefined {
    return this.hosts.find((host) => host.address === address);
  }

  /** Called after every change of a state. */
  witness(uuid: string): void {
    const running = this.hosts.filter((host) => host.guests.get(uuid)?.state === STATE.running);
    if (running.length > 1) this.violations.push(`${running.length} copies of ${uuid} run`);
    for (const host of running) {
      const life = host.guests.get(uuid)?.life ?? 0;
      const youngest = this.#lives.get(uuid) ?? 0;
      if (life < youngest) this.violations.push(`${host.name} resumed a copy of ${uuid} that was overtaken`);
      this.#lives.set(uuid, Math.max(life, youngest));
    }
  }

  /** Where it runs now. */
  running(uuid: string): string[] {
    return this.hosts.filter((host) => host.guests.get(uuid)?.state === STATE.running).map(({ name }) => name);
  }
}

export class FakeHost {
  readonly world: FakeWorld;
  readonly name: string;
  readonly address: string;
  /** Directory in which the guests' disks are. */
  files: string;
  readonly guests = new Map<string, Guest>();
  readonly calls: ProcedureName[] = [];
  readonly #connections = new Set<FakeConnection>();
  readonly #transports: (() => void)[] = [];
  readonly #scripts = new Map<ProcedureName, Script[]>();
  #nextId = 1;
  /** While true nobody can connect, and every connection is gone. */
  #down = false;
  /** How long an incoming guest outlives its connection: libvirt notices a dead client late. */
  autoDestroyDelayMs = 0;
  /** Resolves the Perform that is under way. */
  #performing: PerformControl | undefined;
  /** Called when a Perform begins; by default it ends at once. */
  onPerform: (control: PerformControl) => void = ({ finish }) => finish();
  /** Called when a broken post-copy is taken up again; by default it ends at once. */
  onResume: (control: PerformControl) => void = ({ finish }) => finish();
  /** Peer to peer: the reply to the next Finish is lost between the daemons, and this one takes that for a failure. */
  losesFinishReply = false;
  /** The pass that is under way. */
  iteration = 1;
  remainingBytes = 50;
  libvirtVersion = 9_000_000n;
  /** What the host's sysctl says. */
  userfaultfd = '1';
  /** Programs that a login here may not run. */
  readonly failingCommands = new Set<string>();
  /** Called before each command that is run here. */
  beforeCommand: () => void = () => undefined;

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
    this.#down = down;
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
    const id = this.#nextId++;
    this.guests.set(uuid, {
      ...{ name, uuid, id, state: STATE.running, reason: RUNNING.booted },
      ...{ persistent: true, autostart: false, job: null, foreignJob: null, postCopy: false, life: 0 },
    });
    this.world.witness(uuid);
  }

  /** The guest shuts itself down. */
  endGuest(uuid: string): void {
    this.#stop(this.#find(uuid), SHUTOFF.shutdown);
  }

  /** A transport to this host, as the session takes it over. Commands run on this machine. */
  transport(): HostTransport {
    const closed = new AbortController();
    this.#transports.push(() => closed.abort(new Error('killed')));
    return {
      peer: `fake host ${this.name}`,
      closed: closed.signal,
      openSocket: async () => {
        if (this.#down || closed.signal.aborted) throw new Error('connection refused');
        const [near, far] = duplexPair();
        // As a socket: when one side is destroyed the other one ends.
        near.on('close', () => far.destroy());
        far.on('close', () => near.destroy());
        this.#connections.add(new FakeConnection(this, far));
        return near;
      },
      exec: (command, { signal }) => this.#exec(command, signal),
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

  #exec(command: readonly string[], signal: AbortSignal): Promise<CommandResult> {
    const answer = (exitCode: number, text: string): Promise<CommandResult> =>
      Promise.resolve({ exitCode, stdout: Buffer.from(exitCode === 0 ? text : ''), stderr: Buffer.from(text) });
    this.beforeCommand();
    if (this.failingCommands.has(command[0] ?? '')) return answer(126, 'permission denied');
    if (command[1] === '/proc/sys/vm/unprivileged_userfaultfd') return answer(0, `${this.userfaultfd}\n`);
    return runHere(command, signal);
  }

  connectionLost(connection: FakeConnection): void {
    this.#connections.delete(connection);
    for (const guest of this.guests.values()) {
      if (guest.job?.owner !== connection || guest.postCopy) continue;
      if (guest.job.kind === 'out' && guest.job.phase !== 'performing') guest.job = null;
      else if (guest.job.kind === 'in' && guest.job.phase !== 'finishing') this.#destroyLater(guest);
    }
  }

  async handle(name: ProcedureName, args: unknown, connection: FakeConnection): Promise<unknown> {
    const handler = this.#handlers[name];
    if (handler === undefined) throw new Refusal(ERROR.NO_SUPPORT, `the fake does not do ${name}`);
    return handler(args as never, connection);
  }

  readonly #handlers: {
    [N in ProcedureName]?: (args: ArgsOf<N>, connection: FakeConnection) => unknown;
  } = {
    authList: () => ({ types: [0] }),
    connectOpen: () => undefined,
    connectSupportsFeature: () => ({ supported: 1 }),
    connectGetLibVersion: () => ({ version: this.libvirtVersion }),
    connectGetVersion: () => ({ version: 7_002_000n }),
    connectGetHostname: () => ({ hostname: this.name }),
    connectGetCapabilities: () => ({ xml: `<capabilities><host><uuid>${this.name}</uuid></host></capabilities>` }),
    connectGetDomainCapabilities: () => ({ xml: '<domainCapabilities/>' }),
    connectListAllNetworks: () => ({ networks: [{ name: 'default', uuid: Buffer.alloc(16) }], count: 1 }),
    connectListAllDomains: () => {
      const domains = [...this.guests.values()].map((guest) => this.#domain(guest));
      return { domains, count: domains.length };
    },
    nodeGetFreeMemory: () => ({ bytes: 8n * 1024n ** 3n }),
    nodeGetInfo: () => ({
      ...{ model: Array.from({ length: 32 }, () => 0), memoryKib: 16_777_216n, cpus: 4 },
      ...{ mhz: 2000, nodes: 1, sockets: 1, cores: 4, threads: 1 },
    }),
    domainLookupByUuid: ({ uuid }) => ({ domain: this.#domain(this.#find(uuidText(uuid))) }),
    domainLookupByName: ({ name }) => {
      const guest = [...this.guests.values()].find((candidate) => candidate.name === name);
      if (guest === undefined) throw new Refusal(ERROR.NO_DOMAIN, 'no such domain');
      return { domain: this.#domain(guest) };
    },
    domainGetState: ({ domain }) => {
      const { state, reason } = this.#of(domain);
      return { state, reason };
    },
    domainIsPersistent: ({ domain }) => ({ persistent: this.#of(domain).persistent ? 1 : 0 }),
    domainGetXmlDesc: ({ domain }) => ({ xml: guestXml(this.#of(domain), this.files) }),
    domainGetBlockInfo: () => ({ allocation: 65_536n, capacity: 1_048_576n, physical: 65_536n }),
    domainListAllSnapshots: () => ({ snapshots: [], count: 0 }),
    domainGetJobStats: ({ domain }) => {
      const { job, foreignJob } = this.#of(domain);
      if (job?.kind === 'in') throw new Refusal(ERROR.OPERATION_UNSUPPORTED, 'only on the source host');
      const counts = { data_total: 100, data_remaining: this.remainingBytes, memory_iteration: this.iteration };
      const params = Object.entries(counts).map(
        ([field, value]): TypedParam => ({ field, type: 'ullong', value: BigInt(value) }),
      );
      if (job === null && foreignJob === null) return { type: JOB.none, params: [] };
      const operation: TypedParam = { field: 'operation', type: 'int', value: foreignJob ?? OPERATION.migrationOut };
      return { type: JOB.unbounded, params: [operation, ...params] };
    },
    storagePoolLookupByTargetPath: () => {
      throw new Refusal(ERROR.NO_STORAGE_POOL, 'no pool');
    },
    domainGetAutostart: ({ domain }) => ({ autostart: this.#of(domain).autostart ? 1 : 0 }),
    domainSetAutostart: ({ domain, autostart }) => {
      const guest = this.#of(domain);
      if (!guest.persistent) throw new Refusal(ERROR.OPERATION_INVALID, 'cannot set autostart for transient domain');
      guest.autostart = autostart !== 0;
    },
    connectDomainEventCallbackRegisterAny: () => ({ callbackId: 1 }),
    domainMigrateSetMaxDowntime: () => undefined,
    domainMigrateSetMaxSpeed: () => undefined,
    domainDestroy: ({ domain }) => this.#stop(this.#of(domain), SHUTOFF.destroyed),
    domainResume: ({ domain }) => {
      const guest = this.#of(domain);
      if (guest.state !== STATE.paused) throw new Refusal(ERROR.OPERATION_INVALID, 'not paused');
      if (guest.job !== null) throw new Refusal(ERROR.OPERATION_TIMEOUT, 'cannot acquire state change lock');
      this.#set(guest, STATE.running, RUNNING.unknown);
    },
    domainUndefineFlags: ({ domain }) => {
      const guest = this.#of(domain);
      guest.persistent = false;
      if (guest.state === STATE.shutOff) this.guests.delete(guest.uuid);
    },
    domainAbortJob: ({ domain }) => {
      const guest = this.#of(domain);
      if (guest.foreignJob !== null) {
        guest.foreignJob = null;
        this.world.violations.push(`${this.name} was told to abort a job of ${guest.uuid} that is no migration`);
        return;
      }
      if (guest.job === null) throw new Refusal(ERROR.OPERATION_INVALID, 'no job is active on the domain');
      if (guest.postCopy) throw new Refusal(ERROR.OPERATION_INVALID, 'cannot abort migration in post-copy mode');
      this.#performing?.fail(new Refusal(ERROR.OPERATION_ABORTED, 'operation aborted: canceled by client'));
    },
    domainMigrateStartPostCopy: ({ domain }) => {
      const guest = this.#of(domain);
      const incoming = this.#peerOf(guest);
      if (guest.job?.phase !== 'performing' || incoming === undefined || guest.postCopy) {
        throw new Refusal(ERROR.OPERATION_INVALID, 'post-copy can only be started while migration is in progress');
      }
      guest.life += 1;
      incoming.guest.life = guest.life + 1;
      incoming.guest.persistent = true;
      this.#setPostCopy(guest, incoming, 'under-way');
    },
    domainAbortJobFlags: ({ domain, flags }) => {
      const guest = this.#of(domain);
      if (flags !== ABORT_JOB.postCopy || !guest.postCopy)
        throw new Refusal(ERROR.OPERATION_INVALID, 'not in post-copy');
      this.#setPostCopy(guest, this.#peerOf(guest), 'broken');
    },
    domainMigrateBegin3Params: ({ domain, flags }, owner) => {
      const guest = this.#of(domain);
      if (guest.job !== null || guest.foreignJob !== null) throw new Refusal(ERROR.OPERATION_TIMEOUT, 'another job');
      // A job whose owner is gone by then is dropped at once.
      if ((flags & MIGRATE.changeProtection) !== 0 && owner.open) guest.job = { kind: 'out', owner, phase: 'begun' };
      return { cookie: Buffer.from(`${guest.uuid}\0`), xml: guestXml(guest, this.files) };
    },
    domainMigratePrepare3Params: ({ params, cookie }, owner) => {
      const uuid = cookie.toString('utf8').slice(0, 36);
      if (this.guests.has(uuid)) throw new Refusal(ERROR.OPERATION_FAILED, 'domain exists');
      this.#prepareIncoming(uuid, nameIn(params), owner);
      return { cookie, uri: null };
    },
    domainMigratePerform3Params: (args, owner) => this.#perform(args, owner),
    domainMigrateFinish3Params: ({ params, flags, cancelled }) => {
      const name = stringOf(params, 'destination_name');
      const guest = [...this.guests.values()].find((candidate) => candidate.name === name);
      if (guest?.job?.kind !== 'in') throw new Refusal(ERROR.OPERATION_INVALID, 'domain is not being migrated');
      return this.#finish(guest, flags, cancelled !== 0);
    },
    domainMigrateConfirm3Params: ({ domain, cancelled }) => {
      const guest = this.#of(domain);
      guest.job = null;
      if (cancelled === 0) this.#stop(guest, SHUTOFF.migrated);
      else if (guest.state === STATE.paused) this.#set(guest, STATE.running, RUNNING.migrationCanceled);
    },
  };

  #prepareIncoming(uuid: string, name: string, owner: FakeConnection): Guest {
    const guest: Guest = {
      ...{ name, uuid, id: this.#nextId++, state: STATE.paused, reason: PAUSED.migration },
      ...{ persistent: false, autostart: false, job: { kind: 'in', owner, phase: 'begun' } as const },
      ...{ foreignJob: null, postCopy: false, life: -1 },
    };
    this.guests.set(uuid, guest);
    if (!owner.open) this.#destroyLater(guest);
    return guest;
  }

  async #perform(args: ArgsOf<'domainMigratePerform3Params'>, owner: FakeConnection): Promise<{ cookie: Buffer }> {
    const guest = this.#of(args.domain);
    const peerToPeer = (args.flags & MIGRATE.peerToPeer) !== 0;
    const host = /tcp:\/\/([0-9.]+):/.exec(stringOf(args.params, 'migrate_uri') ?? '')?.[1] ?? '';
    const destination = this.world.hostOf(host);
    if (destination === undefined) throw new Refusal(ERROR.SYSTEM_ERROR, 'unable to connect to server');
    if ((args.flags & MIGRATE.postCopyResume) !== 0) return this.#resumePostCopy(guest, destination, args.flags);
    if (peerToPeer) {
      guest.job = { kind: 'out', owner, phase: 'performing' };
      destination.#prepareIncoming(guest.uuid, guest.name, owner);
    }
    if (guest.job === null) throw new Refusal(ERROR.OPERATION_INVALID, 'no migration has begun');
    guest.job.phase = 'performing';
    await this.#dataFlows(guest, destination, args.flags, (control) => this.onPerform(control));
    try {
      const incoming = destination.guests.get(guest.uuid);
      if (incoming?.job?.kind !== 'in')
        throw new Refusal(ERROR.OPERATION_FAILED, 'lost connection to destination host');
      if (!guest.postCopy) {
        this.#set(guest, STATE.paused, PAUSED.migration);
        guest.life += 1;
        incoming.life = guest.life + 1;
      }
    } catch (error) {
      this.#performFailed(guest, destination, peerToPeer);
      throw error;
    }
    if (peerToPeer) this.#arrived(guest, destination, args.flags);
    else if (guest.job !== null) {
      guest.job.phase = 'performed';
      if (!owner.open) guest.job = null;
    }
    return { cookie: Buffer.from(`${guest.uuid}\0`) };
  }

  async #dataFlows(
    guest: Guest,
    destination: FakeHost,
    flags: number,
    script: (control: PerformControl) => void,
  ): Promise<void> {
    let attended = true;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#performing = {
          finish: () => (attended ? resolve() : this.#arrived(guest, destination, flags)),
          fail: (refusal) => (attended ? reject(refusal) : this.#performFailed(guest, destination, true)),
          loseControl: () => {
            attended = false;
            reject(new ControlLost());
          },
        };
        script(this.#performing);
      });
    } catch (error) {
      if (error instanceof ControlLost) {
        this.#set(guest, STATE.paused, PAUSED.postCopyFailed);
        throw new Refusal(ERROR.INTERNAL_ERROR, 'client socket is closed');
      }
      this.#performFailed(guest, destination, (flags & MIGRATE.peerToPeer) !== 0);
      throw error;
    } finally {
      this.#performing = undefined;
    }
  }

  /** libvirt resumes the guest itself and ends the job; peer to peer it also clears the destination. Not in post-copy. */
  #performFailed(guest: Guest, destination: FakeHost, peerToPeer: boolean): void {
    const incoming = destination.guests.get(guest.uuid);
    if (guest.postCopy) {
      this.#setPostCopy(guest, incoming === undefined ? undefined : { host: destination, guest: incoming }, 'broken');
      return;
    }
    guest.job = null;
    if (peerToPeer && incoming?.job?.kind === 'in') destination.#stop(incoming, SHUTOFF.failed);
    if (guest.state === STATE.paused) this.#set(guest, STATE.running, RUNNING.migrationCanceled);
  }

  /** Peer to peer Finish and Confirm follow at once. */
  #arrived(guest: Guest, destination: FakeHost, flags: number): void {
    const incoming = destination.guests.get(guest.uuid);
    const { postCopy } = guest;
    guest.postCopy = false;
    if (incoming !== undefined) {
      incoming.postCopy = false;
      destination.#finish(incoming, flags, false);
    }
    guest.job = null;
    if (this.losesFinishReply && !postCopy) {
      // Confirm with "cancelled", as libvirt does whenever Finish brought no domain back.
      this.losesFinishReply = false;
      this.#set(guest, STATE.running, RUNNING.migrationCanceled);
      throw new Refusal(ERROR.OPERATION_FAILED, 'client socket is closed');
    }
    this.#stop(guest, SHUTOFF.migrated);
  }

  async #resumePostCopy(guest: Guest, destination: FakeHost, flags: number): Promise<{ cookie: Buffer }> {
    const incoming = destination.guests.get(guest.uuid);
    if (destination.#down) throw new Refusal(ERROR.SYSTEM_ERROR, 'unable to connect to server');
    if (guest.job?.phase !== 'broken' || incoming?.job?.phase !== 'broken') {
      throw new Refusal(ERROR.OPERATION_INVALID, 'the post-copy migration has not failed');
    }
    this.#setPostCopy(guest, { host: destination, guest: incoming }, 'under-way');
    await this.#dataFlows(guest, destination, flags, (control) => this.onResume(control));
    this.#arrived(guest, destination, flags);
    return { cookie: Buffer.alloc(0) };
  }

  #setPostCopy(guest: Guest, peer: { host: FakeHost; guest: Guest } | undefined, how: 'under-way' | 'broken'): void {
    const broken = how === 'broken';
    for (const one of [guest, peer?.guest]) {
      if (one === undefined) continue;
      one.postCopy = true;
      if (one.job !== null) one.job.phase = broken ? 'broken' : 'performing';
    }
    this.#set(guest, STATE.paused, broken ? PAUSED.postCopyFailed : PAUSED.postCopy);
    if (peer !== undefined) {
      peer.host.#set(peer.guest, STATE.running, broken ? RUNNING.postCopyFailed : RUNNING.postCopy);
    }
  }

  /** The copy at the other host. */
  #peerOf({ uuid }: Guest): { host: FakeHost; guest: Guest } | undefined {
    const host = this.world.hosts.find((other) => other !== this && other.guests.has(uuid));
    const guest = host?.guests.get(uuid);
    return host === undefined || guest === undefined ? undefined : { host, guest };
  }

  #finish(guest: Guest, flags: number, cancelled: boolean): { domain: Domain; cookie: Buffer } {
    if (cancelled || guest.life < 0) {
      this.#stop(guest, SHUTOFF.failed);
      throw new Refusal(ERROR.MIGRATE_FINISH_OK, 'migration successfully aborted');
    }
    guest.job = null;
    if ((flags & MIGRATE.persistDestination) !== 0) guest.persistent = true;
    this.#set(guest, STATE.running, RUNNING.migrated);
    return { domain: this.#domain(guest), cookie: Buffer.alloc(0) };
  }

  #destroyLater(guest: Guest): void {
    const destroy = (): void => {
      if (this.guests.get(guest.uuid) === guest && guest.job?.kind === 'in') this.#stop(guest, SHUTOFF.destroyed);
    };
    if (this.autoDestroyDelayMs === 0) destroy();
    else setTimeout(destroy, this.autoDestroyDelayMs).unref();
  }

  #stop(guest: Guest, reason: number): void {
    if (guest.postCopy) this.world.violations.push(`${this.name} destroyed a copy of ${guest.uuid} in post-copy`);
    guest.job = null;
    guest.id = -1;
    this.#set(guest, STATE.shutOff, reason);
    if (!guest.persistent) this.guests.delete(guest.uuid);
  }

  #set(guest: Guest, state: number, reason: number): void {
    guest.state = state;
    guest.reason = reason;
    this.world.witness(guest.uuid);
  }

  #find(uuid: string): Guest {
    const guest = this.guests.get(uuid);
    if (guest === undefined) throw new Refusal(ERROR.NO_DOMAIN, 'Domain not found');
    return guest;
  }

  #of(domain: Domain): Guest {
    return this.#find(uuidText(domain.uuid));
  }

  #domain({ name, uuid, id }: Guest): Domain {
    return { name, uuid: uuidBytes(uuid), id };
  }
}

const nameIn = (params: readonly TypedParam[]): string =>
  /<name>([^<]*)<\/name>/.exec(stringOf(params, 'destination_xml') ?? '')?.[1] ?? '';

function guestXml({ name, uuid }: Guest, files: string): string {
  return `<domain type='kvm'><name>${name}</name><uuid>${uuid}</uuid><memory unit='KiB'>1048576</memory><vcpu>2</vcpu>
    <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
    <devices><disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/>
    <source file='${files}/vda.img'/><target dev='vda' bus='virtio'/></disk>
    <interface type='network'><source network='default'/></interface></devices></domain>`;
}

function runHere(command: readonly string[], signal: AbortSignal): Promise<CommandResult> {
  const { promise, resolve, reject } = Promise.withResolvers<CommandResult>();
  const [program = '', ...args] = command;
  const child = spawn(program, args, { signal, stdio: ['ignore', 'pipe', 'pipe'] });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  child.on('error', reject);
  child.on('close', (exitCode) => resolve({ exitCode, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) }));
  return promise;
}
