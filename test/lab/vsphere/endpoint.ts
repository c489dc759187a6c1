/**
 * A vCenter of the lab: an inventory, sessions, tasks and the methods that clients of a migration call, behind SOAP and VI/JSON. It
 * knows its hosts by their agents, and what it shows of them is what they say. Nothing here trusts its client: every request is
 * compared with the published types, and every answer too; `violations` must stay empty.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { HoldPoint, HostAgent, HostState } from './esxi/agent.ts';
import { notFound, VimFault } from './fault.ts';
import { type FaultEffect, FaultRules, type FaultSpec, faultOf, Gates } from './faults.ts';
import { Objects } from './inventory/objects.ts';
import { reconcile } from './inventory/reconcile.ts';
import { seed } from './inventory/seed.ts';
import type { HostSpec, VcenterSpec } from './inventory/spec.ts';
import { METHODS } from './methods/methods.ts';
import { seedService } from './methods/service.ts';
import { Arrivals } from './relocation/arrivals.ts';
import { type Check, checkField } from './schema/check.ts';
import { isAtLeast } from './schema/release.ts';
import type { Schema } from './schema/schema.ts';
import { type DataObject, type MoRef, textOf, type Value } from './schema/value.ts';
import { notAuthenticated, type Session, Sessions } from './sessions.ts';
import { Tasks } from './tasks.ts';

/** How moves go; a test changes it before it starts one. */
export interface RelocationScript {
  /** Of each flow; `null`: as fast as it goes. */
  bytesPerSec: number | null;
  /** TCP connections of each flow. */
  connections: number;
  /** One byte of each connection is not the one that was checksummed. */
  corrupt: boolean;
  /** The task ends so, although the VM runs at the destination. */
  failAfterArrival: FaultSpec | null;
}

/** What the published documents leave open, or practice contradicts: tried both ways. */
export interface Dialect {
  /** CancelTask after the point of no return: nothing happens, or it is refused. */
  lateCancel: 'ignored' | 'NotSupported';
  /** A VM from another vCenter gets a new instance UUID here, as after a collision. */
  newInstanceUuid: boolean;
  /** A thumbprint is compared as text, upper case; or its letters may be small. */
  thumbprintCase: 'any' | 'upper';
  /** VI/JSON: a property that is unset is answered with no content, or as not found. */
  unsetProperty: 204 | 404;
}

export interface CheckScript {
  readonly errors?: readonly FaultSpec[];
  readonly warnings?: readonly FaultSpec[];
}

/** What was really moved, for tests that look. */
export interface MoveRecord {
  readonly task: string;
  readonly vm: string;
  readonly method: string;
  readonly migrateEncryption: string;
  readonly vmotionBytes: number;
  readonly nfcBytes: number;
}

export interface Call {
  readonly endpoint: VsphereEndpoint;
  readonly target: MoRef;
  readonly parameters: Readonly<Record<string, Value>>;
  /** There is one for everything but the calls that make one. */
  readonly session: Session;
  /** Aborted with `ClientGone` when the client has hung up. */
  readonly signal: AbortSignal;
  /** Makes the session that the answer hands over. */
  readonly logIn: (userName: string, locale: string | undefined) => Session;
}

export type MethodHandler = (call: Call) => Value | undefined | Promise<Value | undefined>;
/** By managed object's type and name: `VirtualMachine.RelocateVM_Task`. */
export type Methods = Readonly<Record<string, MethodHandler>>;

export interface Answer {
  readonly result: Value | undefined;
  /** Made by this call. */
  readonly session: Session | undefined;
}

/** Thrown through the wire: the client gets no answer of the API. */
export class NoAnswer extends Error {
  readonly effect: Extract<FaultEffect, { kind: 'hang' | 'drop' | 'http' }>;

  constructor(effect: NoAnswer['effect']) {
    super(effect.kind);
    this.effect = effect;
  }
}

/** The client hung up before it had its answer: no mistake of anybody's, and nobody is left to tell. */
export class ClientGone extends NoAnswer {
  constructor() {
    super({ kind: 'drop', done: false });
  }
}

const LOOKS_AT_HOSTS_EVERY_MS = 100;
const WITHOUT_LOGIN: ReadonlySet<string> = new Set(['RetrieveServiceContent', 'Login', 'LoginByToken']);

/** What a method needs on the object that it is called on. */
const PRIVILEGES: Readonly<Record<string, string>> = {
  RelocateVM_Task: 'Resource.HotMigrate',
  MigrateVM_Task: 'Resource.HotMigrate',
  ReconfigVM_Task: 'VirtualMachine.Config.Settings',
  UpdateNetworkConfig: 'Host.Config.Network',
  RefreshNetworkSystem: 'Host.Config.Network',
};

export class VsphereEndpoint {
  readonly spec: VcenterSpec;
  readonly schema: Schema;
  readonly violations: string[] = [];
  readonly objects: Objects;
  readonly sessions: Sessions;
  readonly tasks: Tasks;
  readonly arrivals: Arrivals;
  readonly faults = new FaultRules();
  readonly gates = new Gates();
  readonly relocation: RelocationScript = {
    ...{ bytesPerSec: null, connections: 3, corrupt: false, failAfterArrival: null },
  };
  checks: CheckScript = {};
  readonly dialect: Dialect = {
    ...{ lateCancel: 'ignored', newInstanceUuid: false, thumbprintCase: 'any', unsetProperty: 204 },
  };
  /** Every call that came, for tests that count. */
  readonly calls: string[] = [];
  readonly moves: MoveRecord[] = [];
  /** What VMs send and receive, in kilobytes per second, by instance UUID; of others nothing is known. */
  readonly networkUse = new Map<string, number>();
  /** VMs on the way from here, by reference, and the task of each. */
  readonly moving = new Map<string, MoRef>();
  readonly #gone = new AbortController();
  /** Called when a call has come, before it is served. */
  onCall: (method: string) => void = () => undefined;
  readonly agents: ReadonlyMap<string, HostAgent>;
  readonly #lastParameters = new Map<string, Readonly<Record<string, Value>>>();

  private constructor(spec: VcenterSpec, schema: Schema, agents: ReadonlyMap<string, HostAgent>) {
    this.spec = spec;
    this.schema = schema;
    this.agents = agents;
    this.objects = new Objects(schema, this.violations);
    this.sessions = new Sessions(this.objects);
    this.tasks = new Tasks(this.objects, (signal) => this.gates.pass('queued', { signal }));
    this.arrivals = new Arrivals(this);
  }

  /** Asks every host what it has. @param agents by the host's name */
  static async make(
    spec: VcenterSpec,
    schema: Schema,
    agents: ReadonlyMap<string, HostAgent>,
  ): Promise<VsphereEndpoint> {
    const endpoint = new VsphereEndpoint(spec, schema, agents);
    const states = new Map<string, HostState>();
    for (const [name, agent] of agents) states.set(name, await agent.state());
    seedService(endpoint);
    seed(endpoint.objects, spec, states);
    void endpoint.#watchHosts();
    return endpoint;
  }

  /** As when its process is killed: it does nothing more, and tells its hosts nothing. What they do goes on. */
  die(): void {
    this.#gone.abort(new Error('the endpoint is gone'));
    this.sessions.endAll();
  }

  /** What its hosts do by themselves, it shows. */
  async #watchHosts(): Promise<void> {
    let missed: ReadonlySet<string> = new Set();
    while (!this.gone.aborted) {
      await delay(LOOKS_AT_HOSTS_EVERY_MS, undefined, { signal: this.gone, ref: false }).catch(() => undefined);
      if (!this.gone.aborted) missed = await reconcile(this, missed).catch(() => missed); // a host that dies is asked again
    }
  }

  /** Aborted by `die`. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  get apiVersion(): string {
    return this.spec.apiVersion ?? '8.0.2.0';
  }

  get offersViJson(): boolean {
    return this.spec.viJson ?? isAtLeast(this.apiVersion, '8.0.1.0');
  }

  /** What the last call of that name brought. */
  lastParameters(method: string): Readonly<Record<string, Value>> {
    return this.#lastParameters.get(method) ?? {};
  }

  hostSpec(ref: MoRef): HostSpec {
    const name = textOf(this.objects.get(ref, 'name'));
    const host = this.spec.hosts.find((one) => one.name === name);
    if (host === undefined) throw notFound(ref);
    return host;
  }

  agentOf(host: MoRef): HostAgent {
    const agent = this.agents.get(this.hostSpec(host).name);
    if (agent === undefined) throw new VimFault('HostNotConnected');
    return agent;
  }

  /** Where a move that begins now has to wait. */
  heldPoints(): HoldPoint[] {
    return (['half', 'switchover'] as const).filter((point) => this.gates.isHeld(point));
  }

  /**
   * @param session as the client named it
   * @throws VimFault, NoAnswer
   */
  async call(
    method: string,
    target: MoRef,
    raw: Readonly<Record<string, Value>>,
    { session: before, signal, json = false }: { session: Session | undefined; signal: AbortSignal; json?: boolean },
  ): Promise<Answer> {
    this.calls.push(method);
    const parameters = this.#checkedParameters(method, raw, json);
    this.#lastParameters.set(method, parameters);
    this.onCall(method);
    const effects = this.faults.on(method, [target.value, this.#nameOf(target)]);
    await this.#before(effects, before, signal);
    const session = this.sessions.find(before?.id);
    if (session === undefined && !WITHOUT_LOGIN.has(method)) throw notAuthenticated(target);
    this.#assertPermitted(method, target);
    const late = effects.find((effect) => effect.kind === 'late');
    if (late?.kind === 'late') {
      const serve = () => this.#serve(method, target, parameters, session, this.gone, effects);
      void this.gates
        .pass(late.name, { signal: this.gone })
        .then(serve)
        .catch(() => undefined); // nobody hears of it
      throw new NoAnswer({ kind: 'drop', done: false });
    }
    const answer = await this.#serve(method, target, parameters, session, signal, effects);
    const lost = effects.find((effect) => (effect.kind === 'hang' || effect.kind === 'drop') && effect.done);
    if (lost?.kind === 'hang' || lost?.kind === 'drop') throw new NoAnswer(lost);
    return answer;
  }

  async #before(effects: readonly FaultEffect[], session: Session | undefined, signal: AbortSignal): Promise<void> {
    for (const effect of effects) {
      if (effect.kind === 'expire-session' && session !== undefined) this.sessions.end(session);
      if (effect.kind === 'delay') await delay(effect.ms);
      if (effect.kind === 'hold') await this.gates.pass(effect.name, { signal });
      if (effect.kind === 'fault') throw faultOf(effect.fault);
      if (effect.kind === 'http' || ((effect.kind === 'hang' || effect.kind === 'drop') && !effect.done))
        throw new NoAnswer(effect);
    }
  }

  async #serve(
    method: string,
    target: MoRef,
    parameters: Readonly<Record<string, Value>>,
    session: Session | undefined,
    signal: AbortSignal,
    effects: readonly FaultEffect[],
  ): Promise<Answer> {
    const handler = this.#handlerOf(method, target);
    const taskFault = effects.find((effect) => effect.kind === 'task-fault');
    if (taskFault?.kind === 'task-fault') this.tasks.failNext(faultOf(taskFault.fault));
    let made: Session | undefined;
    const logIn = (userName: string, locale: string | undefined): Session => {
      made = this.sessions.open(userName, locale);
      return made;
    };
    const result = await handler({
      ...{ endpoint: this, target, parameters, signal, logIn },
      get session(): Session {
        if (session === undefined) throw notAuthenticated(target);
        return session;
      },
    });
    return { result: this.#checkedResult(method, result), session: made };
  }

  #handlerOf(method: string, target: MoRef): MethodHandler {
    this.objects.need(target);
    const found = Object.entries(METHODS).find(([name]) => {
      const [type = '', called] = name.split('.');
      return called === method && this.schema.managedDerives(target.type, type);
    });
    if (found === undefined) throw new VimFault('NotImplemented', {}, `${target.type}.${method}`);
    return found[1];
  }

  /** What is published of its release. */
  #knows(violations: string[]): Check {
    return { schema: this.schema, violations, release: this.apiVersion };
  }

  #checkedParameters(method: string, raw: Readonly<Record<string, Value>>, json: boolean): Record<string, Value> {
    const published = this.schema.method(method);
    if (published === undefined) throw new VimFault('MethodNotFound', { receiver: raw, method });
    const problems: string[] = [];
    const check = { ...this.#knows(problems), typeNamesRequired: json };
    const checked: Record<string, Value> = {};
    for (const field of published.parameters) {
      const value = checkField(check, field, raw[field.name], `${method}.${field.name}`);
      if (value !== undefined) checked[field.name] = value;
    }
    for (const name of Object.keys(raw))
      if (!published.parameters.some((field) => field.name === name)) problems.push(`${method}: no parameter ${name}`);
    this.refuse(problems);
    return checked;
  }

  /** What does not fit the published types is written down, and refused. */
  refuse(problems: readonly string[]): void {
    this.violations.push(...problems);
    if (problems.length > 0) throw new VimFault('InvalidRequest', {}, problems.join('; '));
  }

  #checkedResult(method: string, result: Value | undefined): Value | undefined {
    const field = this.schema.method(method)?.result;
    if (field === undefined) return undefined;
    const check = this.#knows(this.violations);
    return checkField(check, field, result, `${method} answers`);
  }

  /** A fault on its way out, with everything that its type has. */
  checkedFault({ faultName, fields }: VimFault): DataObject {
    const check = this.#knows(this.violations);
    const field = { name: 'fault', type: 'MethodFault', array: false, optional: false };
    return checkField(check, field, { _typeName: faultName, ...fields }, 'fault') as DataObject;
  }

  /** @throws VimFault NoPermission */
  #assertPermitted(method: string, target: MoRef): void {
    const needed = PRIVILEGES[method];
    const withheld = this.spec.withheldPrivileges?.find(
      ({ privilege, object }) => privilege === needed && (object === undefined || object === this.#nameOf(target)),
    );
    if (withheld !== undefined)
      throw new VimFault(
        'NoPermission',
        { object: target, privilegeId: withheld.privilege },
        'Permission to perform this operation was denied.',
      );
  }

  #nameOf(ref: MoRef): string | undefined {
    return textOf(this.objects.find(ref)?.properties.get('name'));
  }
}
