/**
 * A pool of hosts, each at addresses of its own: the calls of the API, sessions, tasks and events, and the services that
 * receive a guest. What it knows of the guests is the truth of the lab: which runs where is told by `running`.
 *
 * Not there: everything that no migration asks for. Nothing here trusts its client or itself: parameters and answers are checked
 * against the published shapes, and bytes against their checksums.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { type CallContext, METHODS, SERVED } from './calls.ts';
import { CLASS_NAMES, type ClassName, Database, NULL_REF, type XapiRecord } from './database.ts';
import { Fault } from './fault.ts';
import { answerTo, BROKEN, type Dialect, parseCall } from './json-rpc.ts';
import { type MemberSpec, type PoolSpec, seed } from './model.ts';
import { receive } from './receiver.ts';
import type { SendFaults } from './sender.ts';
import { Sessions } from './sessions.ts';
import { assertAnswers, assertFits, type Release } from './signatures.ts';
import { endTask, newTask, type Running } from './tasks.ts';
import { type Certificate, listen, type Request, type Wire } from './wire.ts';

/** What a test tells the pool to do wrong; everything is off until it is told. */
export interface PoolFaults extends SendFaults {
  /** Calls of this name are answered so, `times` times. */
  refuse?:
    | { readonly method: string; readonly code: string; readonly params?: readonly string[]; readonly times?: number }
    | undefined;
  /** The call is made, and the connection closed instead of an answer, once. */
  loseReplyOf?: string | undefined;
  /** Calls of this name are not made: the connection is closed, a proxy says that nobody is behind it, or nobody says anything; `times` times. */
  turnAway?:
    | { readonly method: string; readonly by: 'hanging-up' | 'saying-nothing' | 503; readonly times?: number }
    | undefined;
  /** Called when a call has come, before it is served. */
  onCall?: ((method: string) => void) | undefined;
  /** Data sources beside those that there are, or in their place; `null`: not recorded, NaN: no value yet. */
  dataSources?: Readonly<Record<string, number | null>>;
  /** What the published documents leave open, and what is therefore tried both ways. */
  dialect?: Dialect;
}

const UNAVAILABLE = { status: 503, type: 'text/html', body: '<html><body>Service unavailable</body></html>' };

interface Guest {
  readonly uuid: string;
  readonly running: boolean;
}

export class XapiPool {
  readonly database = new Database();
  readonly spec: PoolSpec;
  readonly faults: PoolFaults = { bytesPerSec: 60e6 };
  /** Every call that came, for tests that count. */
  readonly calls: string[] = [];
  /** From where they came. */
  readonly callers = new Set<string>();
  /** Of every connection that brought a guest: from where to where. */
  readonly streams: { readonly source: string; readonly destination: string; readonly port: number }[] = [];
  /** How many were sent on to the coordinator. */
  redirects = 0;
  readonly #params = new Map<string, readonly unknown[]>();
  readonly tasks = new Map<string, Running>();
  /** Called whenever a guest begins or ends to run here. */
  onGuest: (guest: Guest) => void = () => undefined;
  /** Called when a VM's operation is over, however. */
  onOperationEnd: () => void = () => undefined;
  /** How often a source was sent on to the coordinator by its storage service. */
  storageRedirects = 0;
  /** What really runs, by uuid, and on which host: records may lag behind, or be wrong. */
  readonly #domains = new Map<string, string>();
  readonly sessions = new Sessions();
  /** By member. */
  readonly #servers: Server[][] = [];
  /** Members that have died: what was connected stays so, and nobody answers. */
  readonly #dead = new Set<number>();
  readonly #unheard = new Set<Socket>();
  readonly #wires = new Set<Wire>();
  #coordinator = 0;
  #deaf = false;

  constructor(spec: PoolSpec) {
    this.spec = spec;
    seed(this.database, spec);
    for (const { power_state: state, uuid, resident_on: host } of this.database.table('VM').values()) {
      if (state === 'Running') this.#domains.set(String(uuid), String(host));
    }
  }

  /** Listens at 443 and 80 of each member's two addresses. */
  async start(certificateOf: (member: string) => Certificate): Promise<void> {
    for (const [index, member] of this.spec.members.entries()) {
      const addresses = new Set([member.management, member.migration]);
      for (const address of addresses) {
        const handler = (request: Request) => this.#handle(request, index);
        const servers = await listen(address, certificateOf(member.name), handler);
        this.#servers[index] = [...(this.#servers[index] ?? []), ...servers];
      }
    }
  }

  async stop(): Promise<void> {
    for (const wire of this.#wires) wire.socket.destroy();
    for (const socket of this.#unheard) socket.destroy();
    for (const task of this.tasks.values()) endWork(task);
    await Promise.all(this.#servers.flat().map((server) => new Promise((resolve) => server.close(resolve))));
  }

  /** A member's API dies without a word: no reset, no end. Who connects is let in by nobody, and waits. */
  async silence(member: number): Promise<void> {
    this.#dead.add(member);
    const heard = this.#servers[member] ?? [];
    const { management = '' } = this.spec.members[member] ?? {};
    const port = 443;
    // Connections that there are live on; a listener that is closed only takes no more.
    for (const server of heard) server.close();
    const mute = createServer((socket) => {
      this.#unheard.add(socket);
      socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve, reject) => {
      mute.once('error', reject);
      mute.listen({ host: management, port }, resolve);
    });
    this.#servers[member] = [mute];
  }

  /** As a firewall that drops the API's port: what is connected breaks, what comes is not answered. Streams go on. */
  setDeaf(deaf: boolean): void {
    this.#deaf = deaf;
  }

  get members() {
    return this.spec.members;
  }

  get coordinator(): MemberSpec {
    const member = this.spec.members[this.#coordinator];
    if (member === undefined) throw new Error('no such member');
    return member;
  }

  /** Another member becomes coordinator, and its tool stack starts for that; whoever worked on the tasks is told to stop. */
  setCoordinator(index: number): void {
    this.#coordinator = index;
    const host = this.database.byName('host', this.coordinator.name);
    const [pool = ''] = this.database.table('pool').keys();
    this.database.update('pool', pool, { master: host });
    for (const task of this.tasks.values()) task.cancel.abort();
    this.restartToolStack('go-on');
  }

  /**
   * As `xe-toolstack-restart` at the coordinator: sessions, tasks and operations are kept in memory, and are gone.
   * @param moves whether what sends a guest (another host's tool stack, xenopsd) goes on with it, or is gone as well
   */
  restartToolStack(moves: 'go-on' | 'die'): void {
    this.sessions.endAll();
    for (const task of this.tasks.values()) {
      task.forgotten = true;
      if (moves === 'die') endWork(task);
    }
    for (const ref of this.database.table('task').keys()) this.database.remove('task', ref);
    for (const ref of this.database.table('VM').keys()) {
      this.database.update('VM', ref, { current_operations: {} });
      this.settle(ref);
    }
  }

  /** What the last call of that name brought, without the session. */
  lastParams(method: string): readonly unknown[] {
    return this.#params.get(method) ?? [];
  }

  /** Guests that run here now, whatever the records say. */
  running(): string[] {
    return [...this.#domains.keys()];
  }

  /** @throws when this pool has no such VM */
  guest(uuid: string): XapiRecord {
    return this.database.need('VM', this.database.byUuid('VM', uuid) ?? NULL_REF);
  }

  /** What one of its hosts is not licensed for the pool may not do. @throws Fault */
  assertStorageMotion(): void {
    for (const { license_params: licence = {} } of this.database.table('host').values()) {
      if ((licence as Record<string, string>).restrict_storage_xen_motion === 'true')
        throw new Fault('LICENCE_RESTRICTION', 'Storage_motion');
    }
  }

  /** The address of that host in a network, as URLs have it. @throws Fault */
  addressIn(host: string, network: string): string {
    const { PIFs } = this.need('host', host);
    const pifs = (PIFs as string[]).map((ref) => this.need('PIF', ref));
    const pif = pifs.find((candidate) => candidate.network === network);
    if (pif === undefined) throw new Fault('HOST_CANNOT_ATTACH_NETWORK', host, network);
    const [six = ''] = (pif.IPv6 as string[]).filter((address) => !address.startsWith('fe80:'));
    const address = pif.primary_address_type === 'IPv6' ? six.replace(/\/.*/, '') : String(pif.IP);
    if (address === '') throw new Fault('INTERFACE_HAS_NO_IP', network);
    return address.includes(':') ? `[${address}]` : address;
  }

  startDomain(ref: string, host: string): void {
    const uuid = String(this.database.need('VM', ref).uuid);
    this.#domains.set(uuid, host);
    this.onGuest({ uuid, running: true });
  }

  endDomain(ref: string): void {
    const uuid = String(this.database.need('VM', ref).uuid);
    this.#domains.delete(uuid);
    this.onGuest({ uuid, running: false });
  }

  /** Writes into the record what really runs. */
  settle(ref: string): void {
    const vm = this.database.get('VM', ref);
    if (vm === undefined || vm.is_control_domain === true) return;
    const host = this.#domains.get(String(vm.uuid));
    const power_state = host === undefined ? 'Halted' : 'Running';
    if (vm.power_state === power_state && vm.resident_on === (host ?? NULL_REF)) return;
    this.database.update('VM', ref, {
      power_state,
      resident_on: host ?? NULL_REF,
      domid: host === undefined ? -1 : 11,
    });
  }

  endOperation(ref: string): void {
    this.onOperationEnd();
    if (this.database.get('VM', ref) === undefined) return;
    this.database.update('VM', ref, { current_operations: {} });
    this.settle(ref);
  }

  async #handle(request: Request, member: number) {
    const { pathname } = request.url;
    if (!this.#wires.has(request.wire)) {
      this.#wires.add(request.wire);
      request.wire.socket.once('close', () => this.#wires.delete(request.wire));
    }
    if (this.#dead.has(member)) {
      this.#unheard.add(request.wire.socket);
      return 'taken' as const;
    }
    if (this.#deaf && pathname === '/jsonrpc') {
      request.wire.socket.destroy();
      return 'taken' as const;
    }
    if (request.method === 'POST' && pathname === '/jsonrpc') return this.#jsonRpc(request, member);
    if (pathname.startsWith('/services/') || pathname === '/import_metadata') return receive(this, request, member);
    return { status: 404, type: 'text/html', body: '<html><body>Not found</body></html>' };
  }

  async #jsonRpc({ body, wire }: Request, member: number) {
    const call = parseCall(body);
    if (call === undefined) return BROKEN;
    const { method, params } = call;
    this.calls.push(method);
    this.callers.add(wire.socket.remoteAddress ?? '');
    this.#params.set(method, params.slice(1));
    this.faults.onCall?.(method);
    const turned = this.#turnedAway(method);
    if (turned === 503) return UNAVAILABLE;
    if (turned === 'saying-nothing') {
      this.#unheard.add(wire.socket);
      return 'taken' as const;
    }
    if (turned !== undefined) {
      wire.socket.destroy();
      return 'taken' as const;
    }
    const answer = await answerTo(call, this.faults.dialect ?? {}, () => this.#call(method, params, member));
    if (this.#dead.has(member)) return 'taken' as const;
    if (this.faults.loseReplyOf === method) {
      this.faults.loseReplyOf = undefined;
      wire.socket.destroy();
      return 'taken' as const;
    }
    return answer;
  }

  #turnedAway(method: string): 'hanging-up' | 'saying-nothing' | 503 | undefined {
    const { turnAway } = this.faults;
    if (turnAway?.method !== method) return undefined;
    const left = (turnAway.times ?? 1) - 1;
    this.faults.turnAway = left > 0 ? { ...turnAway, times: left } : undefined;
    return turnAway.by;
  }

  async #call(method: string, params: readonly unknown[], member: number): Promise<unknown> {
    if (member !== this.#coordinator) {
      this.redirects += 1;
      throw new Fault('HOST_IS_SLAVE', this.spec.members[this.#coordinator]?.management ?? '');
    }
    if (method === 'session.login_with_password') return this.#logIn(params);
    if (method === 'system.listMethods') return METHODS;
    const [session, ...rest] = params;
    if (!this.sessions.has(session)) throw new Fault('SESSION_INVALID', String(session));
    const { refuse } = this.faults;
    if (refuse !== undefined && refuse.method === method) {
      this.faults.refuse = (refuse.times ?? 1) > 1 ? { ...refuse, times: (refuse.times ?? 1) - 1 } : undefined;
      throw new Fault(refuse.code, ...(refuse.params ?? []));
    }
    const asynchronous = method.startsWith('Async.');
    const plain = asynchronous ? method.slice('Async.'.length) : method;
    assertFits(plain, rest, this.releaseOf(this.coordinatorRef));
    const result = asynchronous
      ? this.#start(method, (task) => this.#serve(plain, rest, { session, task }))
      : await this.#serve(plain, rest, { session });
    assertAnswers(method, result);
    return result;
  }

  get coordinatorRef(): string {
    const [pool] = this.database.table('pool').values();
    return String(pool?.master ?? NULL_REF);
  }

  /** As that host's record says it. */
  releaseOf(host: string): Release {
    const record = this.database.get('host', host) ?? {};
    const { API_version_major: major = 0, API_version_minor: minor = 0, software_version: software = {} } = record;
    const [first = 0, second = 0] = ((software as Record<string, string>).xapi_build ?? '').split('.').map(Number);
    return { api: Number(major) * 1_000 + Number(minor), xapi: first * 1_000 + second };
  }

  #logIn(params: readonly unknown[]): string {
    const [username, password] = params;
    if (params.length < 2 || params.length > 4)
      throw new Fault('MESSAGE_PARAMETER_COUNT_MISMATCH', 'session.login_with_password');
    const { login } = this.spec;
    if (username !== login.username || password !== login.password) {
      throw new Fault('SESSION_AUTHENTICATION_FAILED', String(username), 'Authentication failure');
    }
    return this.sessions.open();
  }

  /** A task that runs on by itself, whoever listens. */
  #start(label: string, work: (task: Running) => Promise<unknown>): string {
    const ref = newTask(this.database, label);
    const running: Running = { ref, cancel: new AbortController(), cancellable: true, forgotten: false, dead: false };
    this.tasks.set(ref, running);
    const answered = work(running).then((result) => {
      assertAnswers(label.slice('Async.'.length), result);
      return result;
    });
    answered.then(
      (result) => endTask(this.database, ref, { result, bare: this.faults.dialect?.bareResult === true }),
      (error: unknown) => endTask(this.database, ref, { error }),
    );
    return ref;
  }

  async #serve(method: string, params: readonly unknown[], context: CallContext): Promise<unknown> {
    const dot = method.indexOf('.');
    const kind = method.slice(0, dot) as ClassName;
    const name = method.slice(dot + 1);
    if (CLASS_NAMES.includes(kind)) {
      if (name === 'get_all_records') return Object.fromEntries(this.database.table(kind));
      if (name === 'get_all') return [...this.database.table(kind).keys()];
      if (name === 'get_record') return this.#need(kind, String(params[0]));
    }
    const served = SERVED[method];
    if (served === undefined) throw new Fault('MESSAGE_METHOD_UNKNOWN', method);
    return served(this, params, context);
  }

  #need(kind: ClassName, ref: string) {
    const record = this.database.get(kind, ref);
    if (record === undefined) throw new Fault('HANDLE_INVALID', kind, ref);
    return record;
  }

  need(kind: ClassName, ref: unknown) {
    return this.#need(kind, String(ref));
  }
}

function endWork(task: Running): void {
  task.dead = true;
  task.cancel.abort();
}
