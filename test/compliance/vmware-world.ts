/**
 * Two vCenters on loopback addresses, or one of them alone, for the compliance suite and the troubles: a VM runs at the first host.
 * The hosts say which VM runs where; the plugin is not asked.
 */
import type { EndpointSession } from '@lmas/plugin-api';
import { createVmwarePlugin } from '@lmas/plugin-vmware';
import type { HostOptions } from '../lab/vsphere/esxi/host.ts';
import type { VcenterSpec } from '../lab/vsphere/inventory/spec.ts';
import { alpha, beta, VCENTER_LOGIN, vmSpec } from '../lab/vsphere/two-vcenters.ts';
import { LocalVcenter } from '../lab/vsphere/vcenter.ts';
import type { ComplianceWorld } from './suite.ts';

/** With less patience for a vCenter that does not answer, and for what may come late. */
export const plugin = createVmwarePlugin({ settleMs: 4_000, lateMs: 1_500, unansweredMs: 30_000 });
export const VM = vmSpec('shop');
const silent = () => undefined;
export const log = { debug: silent, info: silent, warn: silent, error: silent };

export interface WorldShape {
  /** As in the endpoint's settings. */
  readonly protocol?: 'soap' | 'json';
  /** One vCenter for both ends: the hosts tell them apart. */
  readonly oneVCenter?: boolean;
  /** The endpoints do not say which hosts are theirs. */
  readonly hostless?: boolean;
  readonly source?: Partial<VcenterSpec>;
  readonly destination?: Partial<VcenterSpec>;
  /** Of the hosts of both. */
  readonly hosts?: HostOptions;
}

/** A cancel that comes over TLS reaches vCenter in this time, and ends the hold. */
const HOLDS_MS = 500;

/** The next hop of every host's vMotion stack: loopback addresses reach each other anyhow. */
const withGateways = (spec: VcenterSpec, vmotion: string): VcenterSpec => ({
  ...spec,
  hosts: spec.hosts.map((host) => ({ ...host, gateways: { vmotion } })),
});

type End = 'source' | 'destination';
type Settings = Readonly<Record<string, unknown>>;

export class VmwareWorld implements ComplianceWorld {
  readonly vm = { id: VM.instanceUuid, name: VM.name };
  readonly source: LocalVcenter;
  readonly destination: LocalVcenter;
  readonly shape: WorldShape;
  /** What the sessions warn of. */
  readonly log: string[] = [];
  readonly #alive = new Set<EndpointSession>();
  readonly #log = {
    ...log,
    warn: (fields: object, message: string) => this.log.push(`${message} ${JSON.stringify(fields)}`),
  };

  private constructor(source: LocalVcenter, destination: LocalVcenter, shape: WorldShape) {
    this.source = source;
    this.destination = destination;
    this.shape = shape;
  }

  static async make(shape: WorldShape = {}): Promise<VmwareWorld> {
    await using started = new AsyncDisposableStack();
    const start = async (spec: VcenterSpec) => started.use(await LocalVcenter.start(spec, shape.hosts));
    const source = await start({ ...withGateways(alpha([VM]), '127.1.1.1'), ...shape.source });
    const destination =
      shape.oneVCenter === true ? source : await start({ ...withGateways(beta(), '127.1.2.1'), ...shape.destination });
    started.move(); // the world stops them from here on
    return new VmwareWorld(source, destination, shape);
  }

  async connect(): Promise<{ source: EndpointSession; destination: EndpointSession }> {
    const [source, destination] = await Promise.all([this.session('source'), this.session('destination')]);
    return { source, destination };
  }

  async session(
    end: End,
    settings: Settings = {},
    password: string = VCENTER_LOGIN.password,
    by: typeof plugin = plugin,
  ): Promise<EndpointSession> {
    const credential = { kind: 'password', username: VCENTER_LOGIN.username, password } as const;
    const options = { signal: AbortSignal.timeout(20_000) };
    const session = await by.connect(this.#config(end, settings), { log: this.#log, credential }, options);
    this.#alive.add(session);
    return session;
  }

  /** What stands for an end that could not be connected to. */
  standIn(end: End, reason: Error, settings: Settings = {}): EndpointSession {
    const session = plugin.unreachable?.(this.#config(end, settings), reason);
    if (session === undefined) throw new Error('the plugin has nothing that stands for an endpoint');
    return session;
  }

  #config(end: End, settings: Settings) {
    const vcenter = this[end];
    const named = this.shape.oneVCenter === true && this.shape.hostless !== true;
    const hosts = named ? [end === 'source' ? 'esx-a1' : 'esx-a2'] : [];
    return plugin.configSchema.parse({
      host: vcenter.address,
      port: vcenter.port,
      tlsFingerprints: [vcenter.certificate?.fingerprint],
      ...(this.shape.protocol === undefined ? {} : { protocol: this.shape.protocol }),
      hosts,
      ...settings,
    });
  }

  /** Names of the hosts where it runs, of both vCenters. */
  running(): string[] {
    const vcenters = new Set([this.source, this.destination]);
    return [...vcenters].flatMap((vcenter) => vcenter.runsAt(VM.instanceUuid));
  }

  runningCopies() {
    const running = this.running();
    const there = this.shape.oneVCenter === true ? ['esx-a2'] : [...this.destination.hosts.keys()];
    return {
      source: running.some((host) => !there.includes(host)),
      destination: running.some((host) => there.includes(host)),
    };
  }

  /** Replayed from what the hosts wrote down. */
  maxRunningCopies(): number {
    const hosts = [...new Set([this.source, this.destination])].flatMap((vcenter) => [...vcenter.hosts.values()]);
    const changes = hosts
      .flatMap((host) => host.changes)
      .filter(({ instanceUuid }) => instanceUuid === VM.instanceUuid);
    let copies = 1;
    let most = 1;
    for (const { running } of changes.sort((one, other) => one.atMs - other.atMs)) {
      copies += running ? 1 : -1;
      most = Math.max(most, copies);
    }
    return most;
  }

  killOrchestrator(): void {
    for (const session of this.#alive) session.close().catch(() => undefined);
    this.#alive.clear();
  }

  setDestinationReachable(reachable: boolean): void {
    this.destination.endpoint.faults.set(reachable ? [] : [{ effect: { kind: 'drop', done: false } }]);
  }

  /** Between the halves of the bytes, for long enough that a cancel finds it there. */
  whilePerforming(action: () => void): void {
    const { gates } = this.source.endpoint;
    void gates.hold('half').then(() => {
      action();
      setTimeout(() => gates.release('half'), HOLDS_MS);
    });
  }

  /** What either vCenter found wrong with what it was asked, or answered. */
  violations(): string[] {
    return [...this.source.endpoint.violations, ...this.destination.endpoint.violations];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#alive) await session.close();
    await Promise.all([...new Set([this.source, this.destination])].map((vcenter) => vcenter.stop()));
  }
}
