/**
 * The two control connections of a run and the plugin's driver on top of them. It owns the sessions: connections that
 * broke are made anew on the next use, and all are gone when it is closed or its run is lost, so that a run which was
 * taken over cannot touch a hypervisor any more. One that cannot close them, because its process is stopped, loses them to
 * the next run: the plugin is told the run's token with every connection.
 */
import {
  type ConvergencePolicy,
  type DrillDriver,
  type EndpointSession,
  type HypervisorPlugin,
  type MigrationContext,
  type MigrationDriver,
  PluginError,
  type PluginResource,
  pluginErrorCode,
  type RelocationDriver,
  type VmSummary,
} from '@lmas/plugin-api';
import { failureOfEnds, type Connected as Opened } from '../endpoints/connector.ts';
import { isSuperseded, LmasError } from '../errors.ts';
import { policyOf } from '../migrations/changes.ts';
import { ENDS, type End } from '../migrations/record.ts';
import { tunnelFacts } from '../migrations/tunnel-facts.ts';
import { raceSignal } from '../time/waiting.ts';
import { tracedCalls } from '../tracing/spans.ts';
import { intendResource, joinHolders, withdrawIntent } from './plugin-resources.ts';
import type { Run } from './run.ts';
import type { Tools } from './tools.ts';

type Waiting = { readonly signal: AbortSignal };

interface Connected {
  readonly plugin: HypervisorPlugin;
  readonly source: EndpointSession;
  readonly destination: EndpointSession;
  /** Ends that a stand-in speaks for, because nobody answered there, and why. */
  readonly silent: ReadonlyMap<End, unknown>;
  driver: MigrationDriver | undefined;
  drill: DrillDriver | undefined;
  relocation: RelocationDriver | undefined;
}

/** What answered at first does not any more. */
const isLost = (connected: Connected): boolean =>
  ENDS.some((end) => connected[end].closed.aborted && !connected.silent.has(end));

/** What takes away what a plugin has made. */
export type Releaser = Pick<MigrationDriver, 'release'>;

export class Hypervisors implements AsyncDisposable {
  readonly #run: Run;
  readonly #tools: Pick<Tools, 'connector' | 'changes' | 'sites' | 'holders'>;
  #policy: ConvergencePolicy | undefined;
  #connected: Connected | undefined;
  /** Made to take things away, with a silent end in it: that one is not asked again for each of them. */
  #releasing: Connected | undefined;
  #closed = false;

  constructor(run: Run, tools: Pick<Tools, 'connector' | 'changes' | 'sites' | 'holders'>) {
    this.#run = run;
    this.#tools = tools;
    run.lost.addEventListener('abort', () => void this.close(), { once: true });
  }

  /** Looks the VM up at the source. @throws PluginError VM_NOT_FOUND */
  async findVm(idOrName: string, { signal }: Waiting): Promise<VmSummary> {
    const { source, plugin } = await this.#connect(signal);
    const asked = tracedCalls(source, 'plugin', this.#spanAttributes(plugin));
    return await raceSignal(asked.findVm(idOrName, { signal }), this.#run.lost);
  }

  /** The driver, on live connections. The VM must have been looked up before (its id is in the record). */
  async driver({ signal }: Waiting): Promise<MigrationDriver> {
    const policy = await this.policy();
    return await this.#bind(await this.#connect(signal), policy);
  }

  /** The convergence that this run's drivers were made for: as it was asked for when the first of them was. */
  async policy(): Promise<ConvergencePolicy> {
    const { id, request } = this.#run.migration;
    this.#policy ??= policyOf(request, await this.#tools.changes.get(id));
    return this.#policy;
  }

  /**
   * As `driver`, but one end may be silent, if the plugin can do with that: it is `unreachable` to the driver then. For
   * questions after the fact; nothing is begun with it.
   */
  async driverOfWhoAnswers({ signal }: Waiting): Promise<MigrationDriver> {
    const policy = await this.policy();
    return await this.#bind(await this.#connect(signal, { oneIsEnough: true }), policy);
  }

  /**
   * The driver of a drill, as `driver` is that of a move. `oneIsEnough`: one end may be silent, for what the other one can do alone.
   * @throws LmasError DRILL_NOT_SUPPORTED
   */
  async drill({ signal, oneIsEnough = false }: Waiting & { readonly oneIsEnough?: boolean }): Promise<DrillDriver> {
    return this.#bindDrill(await this.#connect(signal, { oneIsEnough }));
  }

  /** The driver of a relocation, as `drill` is that of a drill. @throws LmasError RELOCATION_NOT_SUPPORTED */
  async relocation({ signal, oneIsEnough = false }: Waiting & { oneIsEnough?: boolean }): Promise<RelocationDriver> {
    return this.#bindRelocation(await this.#connect(signal, { oneIsEnough }));
  }

  /**
   * What takes that away. The other end may be silent, if the plugin can do with that: where the VM is was decided before, and what served
   * the move alone is of no use without the gateways, which go as well. But what was made for a VM that stayed may hold what is left of it,
   * should its end be lost: that waits for both. Of what goes with the VM either end may be the silent one.
   */
  async releaser({ end, lifetime, atEitherEnd }: PluginResource, { signal }: Waiting): Promise<Releaser> {
    const { purpose } = this.#run.migration;
    const isMove = purpose === 'move';
    if (isMove && lifetime !== 'migration') return await this.driver({ signal });
    const connected = await this.#connectToRelease(signal);
    if (atEitherEnd !== true) connected[end].closed.throwIfAborted();
    if (isMove) return await this.#bind(connected, await this.policy());
    return purpose === 'drill' ? this.#bindDrill(connected) : this.#bindRelocation(connected);
  }

  /** Why an end could not be connected to that a stand-in speaks for now; `undefined`: it could, or nobody has tried. */
  whySilent(end: End): unknown {
    return this.#connected?.silent.get(end);
  }

  /** Whether a migration of this plugin may go on without us. */
  async survivesController({ signal }: Waiting): Promise<boolean> {
    // Not a second time: new connections in the place of those with a stand-in would take the driver's from it.
    const { plugin } = this.#connected ?? (await this.#connect(signal, { oneIsEnough: true }));
    return plugin.capabilities.survivesController;
  }

  /** Whether gateways intercept the traffic of this plugin, always or where a request asks for it. */
  async canBeIntercepted({ signal }: Waiting): Promise<boolean> {
    return (await this.#connect(signal)).plugin.capabilities.transparentRoute;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.disconnect();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Drops both connections; the next use makes new ones. */
  async disconnect(): Promise<void> {
    const connected = this.#connected;
    this.#connected = undefined;
    if (connected === undefined) return;
    await Promise.allSettled([connected.source.close(), connected.destination.close()]);
  }

  async #bind(connected: Connected, policy: ConvergencePolicy): Promise<MigrationDriver> {
    const { request: asked, source, destination } = this.#run.migration;
    const tunnel = await tunnelFacts(this.#tools.sites, asked, { source: source.site, destination: destination.site });
    const { plugin } = connected;
    const request = { ...this.#request(plugin), ...policy, tunnel };
    const makeDriver = () => plugin.migration(connected, request, this.#context());
    connected.driver ??= tracedCalls(makeDriver(), 'plugin', this.#spanAttributes(plugin));
    return connected.driver;
  }

  #bindDrill(connected: Connected): DrillDriver {
    const { plugin } = connected;
    const made = connected.drill ?? plugin.drill?.(connected, this.#request(plugin), this.#context());
    if (made === undefined) throw new LmasError('DRILL_NOT_SUPPORTED');
    connected.drill ??= tracedCalls(made, 'plugin', this.#spanAttributes(plugin));
    return connected.drill;
  }

  #bindRelocation(connected: Connected): RelocationDriver {
    const { plugin } = connected;
    const made = connected.relocation ?? plugin.relocation?.(connected, this.#request(plugin), this.#context());
    if (made === undefined) throw new LmasError('RELOCATION_NOT_SUPPORTED');
    connected.relocation ??= tracedCalls(made, 'plugin', this.#spanAttributes(plugin));
    return connected.relocation;
  }

  #context(): MigrationContext {
    return {
      log: this.#run.log,
      assertCurrent: () => this.#run.assertCurrent(),
      recordIntent: (resource) => intendResource(this.#run, this.#tools.holders, resource),
      joinHolders: (resource) => joinHolders(this.#run, this.#tools.holders, resource),
      withdrawIntent: (resource) => withdrawIntent(this.#run, this.#tools.holders, resource),
    };
  }

  #spanAttributes({ name }: HypervisorPlugin) {
    return { 'lmas.plugin': name, 'lmas.migration.id': this.#run.id };
  }

  async #connectToRelease(signal: AbortSignal): Promise<Connected> {
    const before = this.#releasing;
    const isUsable = before !== undefined && before === this.#connected && !isLost(before);
    this.#releasing = isUsable ? before : await this.#connect(signal, { oneIsEnough: true });
    return this.#releasing;
  }

  async #connect(signal: AbortSignal, { oneIsEnough = false } = {}): Promise<Connected> {
    const before = this.#connected;
    if (before !== undefined && !before.source.closed.aborted && !before.destination.closed.aborted) return before;
    // Both, also when only one broke: what the old driver left at the other end is bound to its connection.
    await this.disconnect();
    const { source, destination } = this.#run.migration;
    const either = AbortSignal.any([signal, this.#run.lost]);
    const endpoints = [source.endpoint, destination.endpoint];
    const { id: migrationId, token, log } = this.#run;
    const options = { signal: either, run: { migrationId, token }, log };
    const attempts = endpoints.map((endpoint) => this.#tools.connector.connect(endpoint, options));
    const opened = await Promise.allSettled(attempts);
    const stands = oneIsEnough ? await this.#standIns(endpoints, opened) : opened;
    const [a, b] = stands;
    if (a?.status === 'fulfilled' && b?.status === 'fulfilled' && !this.#closed) {
      const { plugin } = a.value;
      const ends = { source: a.value.session, destination: b.value.session };
      const silent = new Map(
        ENDS.flatMap((end, index) => {
          const result = opened[index];
          return result?.status === 'rejected' ? [[end, result.reason as unknown] as const] : [];
        }),
      );
      this.#connected = { plugin, ...ends, silent, driver: undefined, drill: undefined, relocation: undefined };
      return this.#connected;
    }
    const sessions = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value.session] : []));
    await Promise.allSettled(sessions.map((session) => session.close()));
    const reasons: unknown[] = opened.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
    throw reasons.length > 0 ? failureOfEnds(reasons) : new PluginError('CONNECTION_LOST', 'The run is closing.');
  }

  /** In the place of the one that could not be connected to, where the other one could. */
  async #standIns(
    endpoints: readonly string[],
    opened: readonly PromiseSettledResult<Opened>[],
  ): Promise<readonly PromiseSettledResult<Opened>[]> {
    if (!opened.some(({ status }) => status === 'fulfilled')) return opened;
    // An end that knows of a later run is not silent: this one has to leave.
    if (opened.some((result) => result.status === 'rejected' && isSuperseded(result.reason))) return opened;
    return await Promise.all(
      opened.map(async (result, index) => {
        if (result.status === 'fulfilled' || pluginErrorCode(result.reason) === undefined) return result;
        const value = await this.#tools.connector.unreachable(endpoints[index] ?? '', result.reason as Error);
        if (value === undefined) return result;
        this.#run.log.warn({ err: result.reason, endpoint: endpoints[index] }, 'asking the other end alone');
        return { status: 'fulfilled', value } as const;
      }),
    );
  }

  #request(plugin: HypervisorPlugin) {
    const { id, vm, request } = this.#run.migration;
    return {
      migrationId: id,
      vm: { id: vm.id ?? '', name: vm.name },
      options: plugin.optionsSchema.parse(request.options),
      networkMap: request.networkMap,
      diskMap: request.diskMap,
      disksAlone: request.source === request.destination,
      mayReplace: request.mayReplace,
      // Through a tunnel the gateways hold the limit (see share.ts).
      bandwidthBytesPerSec: request.transport === 'tunnel' ? null : request.bandwidthBytesPerSec,
      tunnelled: request.transport === 'tunnel',
    };
  }
}
