/**
 * A pool of hosts, each at addresses of its own: the calls of the API, sessions, tasks and events, and the services that
 * receive a guest. What it knows of the guests is the truth of the lab: which runs where is told by `running`.
 *
 * Not there: everything that no migration asks for. Nothing here trusts its client: parameters are checked against the
 * published signatures, and bytes against their checksums.
 */
import { randomUUID } from 'node:crypto';
import type { Server } from 'node:net';
import { Fault } from './fault.ts';
import { type ClassName, Database, NULL_REF, type PoolSpec, removeVm, seed, type XapiRecord } from './model.ts';
import { receive } from './receiver.ts';
import { assertCanSend, type SendFaults, send } from './sender.ts';
import { assertFits } from './signatures.ts';
import { endTask, newTask, type Running } from './tasks.ts';
import { type Certificate, listen, type Request, type Wire } from './wire.ts';

const CLASSES: readonly ClassName[] = [
  'pool',
  'host',
  'host_metrics',
  'network',
  'PIF',
  'SR',
  'PBD',
  'VM',
  'VM_guest_metrics',
  'VBD',
  'VDI',
  'VIF',
  'task',
];

/** What a test tells the pool to do wrong; everything is off until it is told. */
export interface PoolFaults extends SendFaults {
  /** Calls of this name are answered so, `times` times. */
  refuse?:
    | { readonly method: string; readonly code: string; readonly params?: readonly string[]; readonly times?: number }
    | undefined;
  /** The call is made, and the connection closed instead of an answer, once. */
  loseReplyOf?: string | undefined;
  /** Called when a call has come, before it is served. */
  onCall?: ((method: string) => void) | undefined;
  /** As releases that know no trailing parameters. */
  oldRelease?: boolean;
  /** What the published documents leave open, and what is therefore tried both ways. */
  dialect?: Dialect;
}

export interface Dialect {
  /** Answers have the form of JSON-RPC 1.0, whatever was asked. */
  readonly answersAs1?: boolean;
  /** Whole numbers are decimal strings, as in XML-RPC. */
  readonly numbersAsText?: boolean;
  /** The result of a task is the bare reference, and no XML around it. */
  readonly bareResult?: boolean;
}

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
  readonly #params = new Map<string, readonly unknown[]>();
  readonly tasks = new Map<string, Running>();
  /** Called whenever a guest begins or ends to run here. */
  onGuest: (guest: Guest) => void = () => undefined;
  readonly #sessions = new Set<string>();
  readonly #servers: Server[] = [];
  readonly #wires = new Set<Wire>();
  #coordinator = 0;
  #deaf = false;

  constructor(spec: PoolSpec) {
    this.spec = spec;
    seed(this.database, spec);
  }

  /** Listens at 443 and 80 of each member's two addresses. */
  async start(certificateOf: (member: string) => Certificate): Promise<void> {
    for (const [index, member] of this.spec.members.entries()) {
      const addresses = new Set([member.management, member.migration]);
      for (const address of addresses) {
        const handler = (request: Request) => this.#handle(request, index);
        this.#servers.push(...(await listen(address, certificateOf(member.name), handler)));
      }
    }
  }

  async stop(): Promise<void> {
    for (const wire of this.#wires) wire.socket.destroy();
    for (const task of this.tasks.values()) task.cancel.abort();
    await Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }

  /** As a firewall that drops the API's port: what is connected breaks, what comes is not answered. Streams go on. */
  setDeaf(deaf: boolean): void {
    this.#deaf = deaf;
  }

  get members() {
    return this.spec.members;
  }

  /** Another member becomes coordinator: sessions and tasks are not known there. */
  setCoordinator(index: number): void {
    this.#coordinator = index;
    const host = this.database.byName('host', this.spec.members[index]?.name ?? '');
    const [pool = ''] = this.database.table('pool').keys();
    this.database.update('pool', pool, { master: host });
    this.dropSessions();
    for (const task of this.tasks.values()) task.cancel.abort();
    for (const ref of this.database.table('task').keys()) this.database.remove('task', ref);
  }

  dropSessions(): void {
    this.#sessions.clear();
  }

  endSession(ref: string): void {
    this.#sessions.delete(ref);
  }

  isSession(ref: string): boolean {
    return this.#sessions.has(ref);
  }

  newSession(): string {
    const ref = `OpaqueRef:${randomUUID()}`;
    this.#sessions.add(ref);
    return ref;
  }

  get openSessions(): number {
    return this.#sessions.size;
  }

  /** What the last call of that name brought, without the session. */
  lastParams(method: string): readonly unknown[] {
    return this.#params.get(method) ?? [];
  }

  /** Guests that run here now. */
  running(): string[] {
    return [...this.database.table('VM').values()]
      .filter((vm) => vm.power_state === 'Running' && vm.resident_on !== NULL_REF && !vm.is_control_domain)
      .map(({ uuid }) => String(uuid));
  }

  /** @throws when this pool has no such VM */
  guest(uuid: string): XapiRecord {
    return this.database.need('VM', this.database.byUuid('VM', uuid) ?? NULL_REF);
  }

  setRunning(ref: string, host: string): void {
    this.database.update('VM', ref, { power_state: 'Running', resident_on: host, domid: 11 });
    this.onGuest({ uuid: String(this.database.need('VM', ref).uuid), running: true });
  }

  setHalted(ref: string): void {
    const { uuid } = this.database.need('VM', ref);
    this.database.update('VM', ref, { power_state: 'Halted', resident_on: NULL_REF, domid: -1 });
    this.onGuest({ uuid: String(uuid), running: false });
  }

  async #handle(request: Request, member: number) {
    const { pathname } = request.url;
    if (!this.#wires.has(request.wire)) {
      this.#wires.add(request.wire);
      request.wire.socket.once('close', () => this.#wires.delete(request.wire));
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
    if (call === undefined) return { status: 500, type: 'text/html', body: '<html><body>Internal error</body></html>' };
    const { dialect = {} } = this.faults;
    const { method, params, id } = call;
    const version = dialect.answersAs1 === true ? 1 : call.version;
    this.calls.push(method);
    this.#params.set(method, params.slice(1));
    this.faults.onCall?.(method);
    let answer: object;
    try {
      const result = await this.#call(method, params, member);
      answer = version === 2 ? { jsonrpc: '2.0', result, id } : { result, error: null, id };
    } catch (error) {
      const { code, params: data } = error instanceof Fault ? error : new Fault('INTERNAL_ERROR', String(error));
      answer =
        version === 2
          ? { jsonrpc: '2.0', error: { code: 1, message: code, data }, id }
          : { result: null, error: [code, ...data], id };
    }
    if (this.faults.loseReplyOf === method) {
      this.faults.loseReplyOf = undefined;
      wire.socket.destroy();
      return 'taken' as const;
    }
    const numbers = (_: string, value: unknown) =>
      dialect.numbersAsText === true && Number.isInteger(value) ? String(value) : value;
    return { status: 200, type: 'application/json', body: JSON.stringify(answer, numbers) };
  }

  async #call(method: string, params: readonly unknown[], member: number): Promise<unknown> {
    if (member !== this.#coordinator) {
      throw new Fault('HOST_IS_SLAVE', this.spec.members[this.#coordinator]?.management ?? '');
    }
    if (method === 'session.login_with_password') return this.#logIn(params);
    if (method === 'system.listMethods') return METHODS;
    const [session, ...rest] = params;
    if (typeof session !== 'string' || !this.#sessions.has(session))
      throw new Fault('SESSION_INVALID', String(session));
    const { refuse } = this.faults;
    if (refuse !== undefined && refuse.method === method) {
      this.faults.refuse = (refuse.times ?? 1) > 1 ? { ...refuse, times: (refuse.times ?? 1) - 1 } : undefined;
      throw new Fault(refuse.code, ...(refuse.params ?? []));
    }
    const asynchronous = method.startsWith('Async.');
    const plain = asynchronous ? method.slice('Async.'.length) : method;
    assertFits(plain, rest, this.faults.oldRelease !== true);
    if (asynchronous) return this.#start(method, (task) => this.#serve(plain, rest, { session, task }));
    return this.#serve(plain, rest, { session });
  }

  #logIn(params: readonly unknown[]): string {
    const [username, password] = params;
    if (params.length < 2 || params.length > 4)
      throw new Fault('MESSAGE_PARAMETER_COUNT_MISMATCH', 'session.login_with_password');
    const { login } = this.spec;
    if (username !== login.username || password !== login.password) {
      throw new Fault('SESSION_AUTHENTICATION_FAILED', String(username), 'Authentication failure');
    }
    return this.newSession();
  }

  /** A task that runs on by itself, whoever listens. */
  #start(label: string, work: (task: Running) => Promise<unknown>): string {
    const ref = newTask(this.database, label);
    const running: Running = { ref, cancel: new AbortController(), cancellable: true };
    this.tasks.set(ref, running);
    work(running).then(
      (result) => endTask(this.database, ref, { result, bare: this.faults.dialect?.bareResult === true }),
      (error: unknown) => endTask(this.database, ref, { error }),
    );
    return ref;
  }

  async #serve(method: string, params: readonly unknown[], context: CallContext): Promise<unknown> {
    const dot = method.indexOf('.');
    const kind = method.slice(0, dot) as ClassName;
    const name = method.slice(dot + 1);
    if (CLASSES.includes(kind)) {
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

interface CallContext {
  readonly session: string;
  /** Of an asynchronous call. */
  readonly task?: Running;
}

type Served = (pool: XapiPool, params: readonly unknown[], context: CallContext) => unknown;

const SERVED: Readonly<Record<string, Served>> = {
  'VM.get_by_uuid': ({ database }, [uuid]) => {
    const ref = database.byUuid('VM', String(uuid));
    if (ref === undefined) throw new Fault('UUID_INVALID', 'VM', String(uuid));
    return ref;
  },
  'VM.get_by_name_label': ({ database }, [name]) =>
    [...database.table('VM')].filter(([, vm]) => vm.name_label === name).map(([ref]) => ref),
  'VM.add_to_other_config': (pool, [vm, key, value]) => {
    const config = pool.need('VM', vm).other_config as Record<string, string>;
    if (String(key) in config) throw new Fault('MAP_DUPLICATE_KEY', 'VM', 'other_config', String(vm), String(key));
    pool.database.update('VM', String(vm), { other_config: { ...config, [String(key)]: String(value) } });
    return '';
  },
  'VM.remove_from_other_config': (pool, [vm, key]) => {
    const { [String(key)]: _, ...rest } = pool.need('VM', vm).other_config as Record<string, string>;
    pool.database.update('VM', String(vm), { other_config: rest });
    return '';
  },
  'VM.assert_can_migrate': async (pool, params) => {
    await assertCanSend(pool, params);
    return '';
  },
  'VM.migrate_send': (pool, params, { task }) => send(pool, params, task),
  'VM.destroy': ({ database }, [vm]) => {
    removeVm(database, String(vm));
    return '';
  },
  'VM.pool_migrate_complete': (pool, [vm, host]) => {
    pool.need('VM', vm);
    pool.need('host', host);
    return '';
  },
  'VM.pool_migrate': (pool, [vm, host]) => poolMigrate(pool, String(vm), String(host)),
  'host.migrate_receive': (pool, [host, network]) => migrateReceive(pool, String(host), String(network)),
  'host.compute_free_memory': (pool, [host]) => pool.need('host_metrics', pool.need('host', host).metrics).memory_free,
  'task.cancel': (pool, [ref]) => {
    const running = pool.tasks.get(String(ref));
    pool.need('task', ref);
    if (running === undefined || !running.cancellable)
      throw new Fault('OPERATION_NOT_ALLOWED', 'the task cannot be cancelled any more');
    pool.database.update('task', String(ref), { status: 'cancelling' });
    running.cancel.abort();
    return '';
  },
  'task.destroy': ({ database }, [ref]) => {
    database.remove('task', String(ref));
    return '';
  },
  'event.from': (pool, [classes, token, timeout]) =>
    eventFrom(pool, classes as string[], String(token), Number(timeout)),
  'event.inject': ({ database }) => String(database.generation),
  'session.get_this_host': ({ database }) => [...database.table('pool').values()][0]?.master,
  'session.logout': (pool, _, { session }) => {
    pool.endSession(session);
    return '';
  },
};

/** What clients learn the classes from. */
const METHODS: readonly string[] = [
  ...CLASSES.flatMap((kind) => ['get_all', 'get_all_records', 'get_record'].map((name) => `${kind}.${name}`)),
  ...Object.keys(SERVED),
];

function migrateReceive(pool: XapiPool, host: string, network: string): Record<string, string> {
  const { PIFs } = pool.need('host', host);
  const pif = (PIFs as string[]).map((ref) => pool.need('PIF', ref)).find((candidate) => candidate.network === network);
  if (pif === undefined) throw new Fault('HOST_CANNOT_ATTACH_NETWORK', host, network);
  if (pif.IP === '') throw new Fault('INTERFACE_HAS_NO_IP', network);
  const [record] = pool.database.table('pool').values();
  const coordinator = pool.need('host', record?.master);
  const session = pool.newSession();
  return {
    SM: `http://${pif.IP}/services/SM?session_id=${session}`,
    host,
    xenops: `http://${pif.IP}/services/xenops?session_id=${session}`,
    session_id: session,
    master: `http://${coordinator.address}`,
  };
}

/** Inside one pool, with storage that both hosts see: the guest changes its host, and the lab moves no bytes for it. */
function poolMigrate(pool: XapiPool, vm: string, host: string): string {
  pool.need('host', host);
  const record = pool.need('VM', vm);
  if (record.power_state !== 'Running')
    throw new Fault('VM_BAD_POWER_STATE', vm, 'running', String(record.power_state).toLowerCase());
  pool.database.update('VM', vm, { resident_on: host });
  return '';
}

/** All there is for a new reader; then what has changed since, as soon as something has. */
async function eventFrom(pool: XapiPool, classes: readonly string[], token: string, timeoutS: number) {
  const wanted = (kind: string, ref: string) =>
    classes.some(
      (one) => one === '*' || one.toLowerCase() === kind.toLowerCase() || one === `${kind.toLowerCase()}/${ref}`,
    );
  const { database } = pool;
  if (token === '') {
    const events = CLASSES.flatMap((kind) =>
      [...database.table(kind)]
        .filter(([ref]) => wanted(kind, ref))
        .map(([ref, snapshot]) => eventOf(kind, ref, 'add', snapshot)),
    );
    return { events, token: String(database.generation), valid_ref_counts: validRefCounts(database) };
  }
  const since = Number(token);
  const deadline = performance.now() + timeoutS * 1_000;
  for (;;) {
    const changes = database.changesSince(since).filter(({ kind, ref }) => wanted(kind, ref));
    const left = deadline - performance.now();
    if (changes.length > 0 || left <= 0) {
      const events = changes.map(({ kind, ref, operation }) => eventOf(kind, ref, operation, database.get(kind, ref)));
      return { events, token: String(database.generation), valid_ref_counts: validRefCounts(database) };
    }
    await database.changed(Math.min(left, 1_000));
  }
}

const validRefCounts = (database: Database): Record<string, number> =>
  Object.fromEntries(CLASSES.map((kind) => [kind.toLowerCase(), database.table(kind).size]));

const eventOf = (kind: ClassName, ref: string, operation: string, snapshot: unknown) => ({
  id: '0',
  timestamp: new Date().toISOString(),
  class: kind.toLowerCase(),
  operation,
  ref,
  ...(snapshot === undefined ? {} : { snapshot }),
});

interface Call {
  readonly method: string;
  readonly params: readonly unknown[];
  readonly id: unknown;
  readonly version: 1 | 2;
}

function parseCall(body: string): Call | undefined {
  try {
    const { jsonrpc, method, params, id } = JSON.parse(body) as Record<string, unknown>;
    if (typeof method !== 'string' || !Array.isArray(params) || id === null || id === undefined) return undefined;
    return { method, params, id, version: jsonrpc === '2.0' ? 2 : 1 };
  } catch {
    return undefined; // answered with the page that XAPI shows
  }
}
