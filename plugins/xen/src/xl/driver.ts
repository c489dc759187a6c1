/**
 * The verbs of one migration with xl. At the destination a listener of ours waits for the one connection that knows this
 * migration's token, and becomes `xl migrate-receive`; at the source `xl migrate` runs detached, with our relay as its
 * transport. xl drives: it suspends, gives away, starts and resumes. What is decided here is what to make of an end that xl
 * calls undefined, by looking at both ends (sighting.ts).
 *
 * Invariants: while xl works at the source nothing is done but to ask its relay to end, which refuses once the guest may have
 * been given away. `xl migrate` is begun once for a migration, however often somebody tries. One verb at a time.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type CheckReport,
  type ConfirmReport,
  type MigrationContext,
  type MigrationDriver,
  type MigrationProgress,
  type MigrationRequest,
  PluginError,
  type PluginResource,
  type Prepared,
  type Routes,
  type VmPlacement,
} from '@lmas/plugin-api';
import { checkMigration } from './checks.ts';
import type { XlEnd } from './client.ts';
import type { XlOptions } from './config.ts';
import { toPluginError } from './errors.ts';
import { followToItsEnd } from './following.ts';
import { progressReporter } from './progress.ts';
import { deadCopyOf, placementOf, remedyFor, type Sightings } from './sighting.ts';
import { parseState, type XlState } from './state.ts';
import { type Ends, XlSteps } from './steps.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** Times that tests shorten. */
export interface DriverTimes {
  /** How long a verb goes on looking for an end of what is under way. */
  readonly settleMs?: number;
  /** How long a receiver may take to end by itself once its stream has, and a handshake to go on in which a cancel came too late. */
  readonly receiverEndsMs?: number;
}

const SETTLE_MS = 40_000;
const RECEIVER_ENDS_MS = 10_000;
const LOOK_MS = 250;
const FLOW = 'memory';

type Kind = 'receiver' | 'sender';

export class XlMigration implements MigrationDriver {
  readonly #ends: Ends;
  readonly #request: MigrationRequest<XlOptions>;
  readonly #context: MigrationContext;
  readonly #steps: XlSteps;
  readonly #settleMs: number;
  readonly #receiverEndsMs: number;
  /** Known to the listener, and told to the relay: whoever has it may deliver a guest. Never stored. */
  #token: string | undefined;

  constructor(ends: Ends, request: MigrationRequest<XlOptions>, context: MigrationContext, times: DriverTimes = {}) {
    this.#ends = ends;
    this.#request = request;
    this.#context = context;
    this.#settleMs = times.settleMs ?? SETTLE_MS;
    this.#receiverEndsMs = times.receiverEndsMs ?? RECEIVER_ENDS_MS;
    this.#steps = new XlSteps(ends, request, context, { receiverEndsMs: this.#receiverEndsMs });
  }

  async check({ signal }: Options): Promise<CheckReport> {
    try {
      return await checkMigration(this.#ends, this.#request, { signal });
    } catch (error) {
      throw toPluginError(error, 'checking the migration');
    }
  }

  async prepare({ signal }: Options): Promise<Prepared> {
    const { source, destination } = this.#ends;
    try {
      await this.#context.assertCurrent();
      const { guests } = await source.describe({ signal });
      const guest = guests.find(({ domain }) => domain.uuid === this.#request.vm.id);
      const seen = await this.#steps.look({ signal });
      assertToBeHad(seen, this.#request.vm.name);
      await this.#context.recordIntent(this.#resource('receiver'));
      this.#token = randomBytes(32).toString('hex');
      const port = await this.#steps.receive(this.#token, { signal });
      // Only now: until the destination was found free, nothing there is touched.
      const deadCopy = deadCopyOf(seen);
      if (deadCopy !== undefined) await this.#steps.discard(deadCopy, { signal });
      const { migrationAddress: address } = destination.config;
      const memoryBytes = (guest?.domain.memoryMib ?? 0) * 1024 ** 2;
      const state: XlState = { port, memoryBytes, definition: guest?.definition ?? null };
      const flow = { id: FLOW, host: address, port, maxStreams: 1, priority: 'bulk' } as const;
      return { flows: [flow], sourceAddresses: [source.config.migrationAddress], state };
    } catch (error) {
      throw toPluginError(error, 'preparing the migration');
    }
  }

  async perform(
    prepared: Prepared,
    routes: Routes,
    options: {
      signal: AbortSignal;
      onProgress: (progress: MigrationProgress) => void;
      onPointOfNoReturn: () => Promise<void>;
    },
  ): Promise<void> {
    const { signal, onProgress, onPointOfNoReturn } = options;
    const state = parseState(prepared.state);
    const route = routes[FLOW];
    if (this.#token === undefined || state === null || route === undefined) {
      throw new PluginError('HYPERVISOR_FAULT', 'This run has not prepared the migration.', {
        remedy: 'Abort the migration, which is safe, and start it again.',
      });
    }
    const report = progressReporter(state.memoryBytes, onProgress);
    try {
      await this.#begin(route, this.#token, signal);
      const end = await this.#follow(report, { signal });
      if (!(await this.#hasArrived(end))) throw failureOf(end, signal);
    } catch (error) {
      throw toPluginError(error, 'migrating');
    }
    await onPointOfNoReturn();
  }

  async confirm(prepared: Prepared, { signal }: Options): Promise<ConfirmReport> {
    try {
      const seen = await this.#untilArrived(signal);
      const sent = seen.source.look?.sent ?? null;
      const { domain } = seen.source;
      const warnings = await this.#steps.startsAtBoot({ signal });
      // Suspended is what a migration leaves. Anything else is somebody's who brings the guest back, or keeps it.
      if (domain?.suspended === true) await this.#steps.destroyAtSource(domain.domid, { signal });
      else if (domain !== undefined) {
        warnings.push(`The source holds ${domain.name} (${seen.source.presence}), which no migration has left there.`);
      }
      for (const end of ['destination', 'source'] as const) await this.#steps.clear(end, { signal });
      return {
        ...{ downtimeMs: null, iterations: null, bytesTransferred: sent, keptAtSource: [] },
        sourceDefinition: parseState(prepared.state)?.definition ?? null,
        warnings,
      };
    } catch (error) {
      throw toPluginError(error, 'confirming the migration');
    }
  }

  async abort({ signal, performed = true }: { signal: AbortSignal; performed?: boolean }): Promise<VmPlacement> {
    const started = performance.now();
    for (;;) {
      const seen = await this.#steps.look({ signal });
      const passedMs = performance.now() - started;
      if (!performed || passedMs > this.#settleMs || signal.aborted) return placementOf(seen);
      try {
        // A handshake that we cannot see may be a slow one: without its answer the guest would stand still.
        const force = passedMs > this.#receiverEndsMs && seen.destination.presence !== 'unreachable';
        if (!(await this.#bringToAnEnd(seen, { signal, force }))) return placementOf(seen);
      } catch (error) {
        const fault = toPluginError(error, 'bringing the migration to an end');
        if (fault.code === 'SUPERSEDED') throw fault;
        // Whoever called decides whether to try again; what is true now is the answer.
        this.#context.log.warn({ err: fault }, 'a step towards the end of the migration was refused');
        return placementOf(await this.#steps.look({ signal }));
      }
      await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async locate({ signal }: Options): Promise<VmPlacement> {
    return placementOf(await this.#steps.look({ signal }));
  }

  async follow({
    signal,
    onProgress,
  }: {
    signal: AbortSignal;
    onProgress: (progress: MigrationProgress) => void;
  }): Promise<void> {
    try {
      const { source } = await this.#steps.look({ signal });
      if (source.look?.send !== 'working') return;
      const report = progressReporter((source.domain?.memoryMib ?? 0) * 1024 ** 2, onProgress);
      await this.#ends.source.dom0.follow(this.#request.migrationId, report, { signal });
    } catch (error) {
      throw toPluginError(error, 'following the migration');
    }
  }

  async release(resource: PluginResource, { signal }: Options): Promise<void> {
    if (resource.kind !== 'receiver' && resource.kind !== 'sender') {
      throw new PluginError('INVALID_CONFIG', `Unknown resource kind ${resource.kind}.`);
    }
    try {
      const seen = resource.kind === 'receiver' ? await this.#steps.look({ signal }) : undefined;
      const deadCopy = seen && deadCopyOf(seen);
      if (deadCopy?.migration === this.#request.migrationId) await this.#steps.discard(deadCopy, { signal });
      await this.#steps.clear(resource.end, { signal });
    } catch (error) {
      throw toPluginError(error, `releasing the ${resource.kind}`);
    }
  }

  /** xl has no limit of its own; the gateways have one. */
  async setBandwidth(bandwidthBytesPerSec: number | null): Promise<void> {
    if (bandwidthBytesPerSec === null || this.#request.tunnelled) return;
    throw new PluginError('NOT_MIGRATABLE', 'xl cannot limit the bandwidth of a migration.', {
      remedy: 'Use the tunnel, which can.',
    });
  }

  #resource(kind: Kind): PluginResource {
    const end = kind === 'receiver' ? 'destination' : 'source';
    return { kind, end, id: this.#request.migrationId, data: {} };
  }

  async #begin(route: { host: string; port: number }, token: string, signal: AbortSignal): Promise<void> {
    const { domid } = this.#steps.assertRunsHere(await this.#steps.look({ signal }));
    await this.#context.recordIntent(this.#resource('sender'));
    await this.#steps.send(domid, route, token, { signal });
  }

  #follow(onSent: (bytes: number) => void, options: Options): Promise<XlEnd> {
    const { dom0 } = this.#ends.source;
    const { migrationId } = this.#request;
    const following = { dom0, steps: this.#steps, migrationId, onSent, patienceMs: this.#receiverEndsMs };
    return followToItsEnd(following, options);
  }

  /** xl's success is the destination's own word. After anything else it is looked for. */
  async #hasArrived({ exit }: XlEnd): Promise<boolean> {
    if (exit === 0) return true;
    const seen = await this.#steps.look({ signal: AbortSignal.timeout(this.#settleMs) });
    return placementOf(seen).where === 'destination';
  }

  /** @returns what was seen when the guest ran at the destination, and nowhere else @throws PluginError OUTCOME_UNKNOWN */
  async #untilArrived(signal: AbortSignal): Promise<Sightings> {
    const started = performance.now();
    for (;;) {
      const seen = await this.#steps.look({ signal });
      const { where, source, destination, moving } = placementOf(seen);
      if (!moving && where === 'destination' && destination === 'running') return seen;
      const remedy = moving || seen.source.look?.send === 'none' ? null : remedyFor(seen);
      const isForward =
        remedy?.do === 'unpause' || (remedy?.do === 'stop-receiver' && seen.source.look?.given === true);
      if (remedy !== null && isForward) await this.#steps.apply(remedy, { signal });
      else if (!this.#mayChange(seen) || performance.now() - started > this.#settleMs || signal.aborted) {
        throw new PluginError('OUTCOME_UNKNOWN', `The source says "${source}", the destination "${destination}".`, {
          remedy: `Look for ${this.#request.vm.name} at both hosts (xl list -v). Let it run at one of them only, and only where its memory is not older than its disks.`,
        });
      }
      await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Whether the next look may see something else, without us. */
  #mayChange({ source, destination }: Sightings): boolean {
    if (this.#ends.source.closed.aborted || this.#ends.destination.closed.aborted) return false;
    const isSilent = source.look === undefined || destination.look === undefined;
    return isSilent || source.look.send === 'working' || destination.look.receive === 'working';
  }

  /** One step towards the end of what this migration has begun. @returns whether there may be more to do */
  async #bringToAnEnd(seen: Sightings, { signal, force }: Options & { readonly force: boolean }): Promise<boolean> {
    const { source, destination } = seen;
    if (source.look?.send === 'none' && destination.look?.receive === 'listening') {
      await this.#steps.clear('destination', { signal });
      return false;
    }
    if (source.look?.send === 'working') {
      await this.#steps.cancel({ signal }, { force });
      return true;
    }
    const remedy = remedyFor(seen);
    if (remedy === null) return false;
    await this.#steps.apply(remedy, { signal });
    return true;
  }
}

/** What the contract calls not to be had: nothing of such a guest is touched at either end. */
function assertToBeHad(seen: Sightings, name: string): void {
  const { source, destination } = seen;
  for (const { presence, error } of [source, destination]) if (presence === 'unreachable') throw error;
  if (source.presence !== 'running') {
    throw new PluginError('NOT_MIGRATABLE', `${name} is ${source.presence} at the source.`);
  }
  const [other] = source.look?.others ?? [];
  if (other !== undefined) throw new PluginError('BUSY', `${name} is being saved or moved already: ${other}.`);
  if (destination.presence !== 'absent' && deadCopyOf(seen) === undefined) {
    throw new PluginError('NOT_MIGRATABLE', `The destination knows ${name} already (${destination.presence}).`);
  }
}

function failureOf({ exit, log }: XlEnd, signal: AbortSignal): PluginError {
  const last = log.trim().split('\n').slice(-4).join(' / ');
  const how = exit === null ? 'was killed' : `ended with ${exit}`;
  const native = { name: 'xl migrate', message: last };
  if (signal.aborted) return new PluginError('ABORTED', 'xl migrate was told to stop.', { native });
  return new PluginError('STREAM_FAILED', `xl migrate ${how}: ${last}`, { native });
}
