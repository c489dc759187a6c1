/**
 * One run of the call that moves the guest: the destination is asked to receive, its answer is led to the gateways, XAPI tries
 * the whole of it dry over the very connections that it will use, and then moves. Owns the session inside the receive map.
 */
import { type MigrationProgress, type MigrationRequest, PluginError, type Routes } from '@lmas/plugin-api';
import type { XapiClient } from '../client.ts';
import type { XenOptions } from '../config.ts';
import { isFault, toPluginError, withoutSecret } from '../errors.ts';
import { nothingSchema, type ReceiveMap, receiveMapSchema, refSchema } from '../records.ts';
import type { Ends, Plan } from './plan.ts';
import { progressReporter } from './progress.ts';
import { redirect } from './receive-map.ts';
import type { XenState } from './state.ts';
import { cancelTask, followTask } from './task.ts';

/** A dry run imports the guest's description at the destination. */
const DRY_RUN_TIMEOUT_MS = 180_000;
/** After a cancel: the task ends when XAPI gets to it. */
const CANCEL_LIMIT_MS = 120_000;

interface Options {
  readonly signal: AbortSignal;
}

export class Move {
  readonly #ends: Ends;
  readonly #request: MigrationRequest<XenOptions>;
  readonly #plan: Plan;
  readonly #state: XenState;
  readonly #onProgress: (fraction: number) => void;
  #map: ReceiveMap | undefined;
  /** From before the call until its end was seen: the source uses the map's session meanwhile, with us or without. */
  #moving = false;

  constructor(
    ends: Ends,
    request: MigrationRequest<XenOptions>,
    plan: Plan,
    state: XenState,
    onProgress: (progress: MigrationProgress) => void,
  ) {
    this.#ends = ends;
    this.#request = request;
    this.#plan = plan;
    this.#state = state;
    const diskBytes = plan.disks
      .filter(({ copied }) => copied)
      .reduce((sum, { record }) => sum + record.physical_utilisation, 0);
    this.#onProgress = progressReporter(plan.vm.record.memory_dynamic_max, diskBytes, onProgress);
  }

  /** Asks the destination, and proves the route: the dry run uses the same connections as the migration. */
  async open(routes: Routes, options: Options): Promise<void> {
    if (this.#usesPoolMigrate) return;
    const { destination } = this.#ends;
    const { host } = this.#plan;
    if (host === undefined) throw new PluginError('INCOMPATIBLE', 'No host was chosen.');
    const received = await destination.client.call(
      'host.migrate_receive',
      [host.ref, this.#state.network, {}],
      receiveMapSchema,
      options,
    );
    this.#map = received;
    this.#map = this.#request.tunnelled ? redirect(received, this.#state.address, routes) : received;
    await this.#dryRun(options);
  }

  /** Moves the guest. @throws XapiFault, PluginError ABORTED when it was cancelled by `signal` */
  async run(options: Options): Promise<void> {
    try {
      await this.#run(options);
    } catch (error) {
      throw withoutSecret(error, this.#map?.session_id);
    }
  }

  async #run({ signal }: Options): Promise<void> {
    const { client } = this.#ends.source;
    const [method, params] = this.#usesPoolMigrate
      ? this.#poolMigrate()
      : (['VM.migrate_send', this.#sendParams()] as const);
    signal.throwIfAborted();
    const task = await this.#start(client, method, params);
    const cancel = (): void => {
      cancelTask(client, task, { signal: AbortSignal.timeout(CANCEL_LIMIT_MS) }).catch(() => undefined);
    };
    signal.addEventListener('abort', cancel, { once: true });
    if (signal.aborted) cancel();
    try {
      // A cancel is a request: how the task ends decides, and it may end well.
      await followTask(client, task, { signal: untilAfter(signal, CANCEL_LIMIT_MS), onProgress: this.#onProgress });
      this.#moving = false;
    } catch (error) {
      this.#moving = !isFault(error);
      throw error;
    } finally {
      signal.removeEventListener('abort', cancel);
      await client
        .call('task.destroy', [task], nothingSchema, { signal: AbortSignal.timeout(5_000) })
        .catch(() => undefined);
    }
  }

  /** Never given up half-way: a call that XAPI takes after we have looked away would move a guest that nobody watches. */
  async #start(client: XapiClient, method: string, params: readonly unknown[]): Promise<string> {
    this.#moving = true;
    try {
      return await client.call(`Async.${method}`, params, refSchema, { signal: client.closed });
    } catch (error) {
      this.#moving = !isFault(error);
      throw error;
    }
  }

  /** Whether XAPI may still be at it: the call was made, and its end was not seen. */
  get isUnderWay(): boolean {
    return this.#moving;
  }

  /** Ends the session that the destination made for this move. Only when nothing moves with it any more. Never throws. */
  async close(): Promise<void> {
    const session = this.#map?.session_id;
    this.#map = undefined;
    this.#moving = false;
    if (session !== undefined) await this.#ends.destination.client.logOut(session);
  }

  /** It builds its address itself, so it cannot be led anywhere; and it leaves the disks where they are. */
  get #usesPoolMigrate(): boolean {
    return this.#plan.samePool && !this.#request.tunnelled && this.#plan.disks.every(({ copied }) => !copied);
  }

  #poolMigrate(): readonly [string, readonly unknown[]] {
    const options = { ...this.#options(), live: 'true', network: this.#state.network };
    return ['VM.pool_migrate', [this.#plan.vm.ref, this.#plan.host?.ref, options]];
  }

  /** Without the maps of newer releases, which older ones refuse as too many parameters. */
  #sendParams(): readonly unknown[] {
    const { vm, vdiMap, vifMap } = this.#plan;
    return [vm.ref, this.#map, true, vdiMap, vifMap, this.#options()];
  }

  #options(): Readonly<Record<string, string>> {
    const { force, compress } = this.#request.options;
    return { ...(force ? { force: 'true' } : {}), ...(compress === undefined ? {} : { compress: String(compress) }) };
  }

  async #dryRun({ signal }: Options): Promise<void> {
    try {
      const options = { signal, timeoutMs: DRY_RUN_TIMEOUT_MS };
      await this.#ends.source.client.call('VM.assert_can_migrate', this.#sendParams(), nothingSchema, options);
    } catch (thrown) {
      const error = withoutSecret(thrown, this.#map?.session_id);
      const said = toPluginError(error, 'the dry run over the route');
      if (!isFault(error) || said.code !== 'STREAM_FAILED') throw error;
      throw new PluginError('STREAM_FAILED', said.message, {
        cause: error,
        ...(said.native === undefined ? {} : { native: said.native }),
        remedy:
          'The source host cannot reach the destination this way. See that it may connect to the gateway’s ports 443 and 80, and the far gateway to the destination host’s.',
      });
    }
  }
}

/** Aborts some time after `signal` does. */
function untilAfter(signal: AbortSignal, ms: number): AbortSignal {
  const later = new AbortController();
  const start = (): void => {
    setTimeout(() => later.abort(signal.reason), ms).unref();
  };
  if (signal.aborted) start();
  else signal.addEventListener('abort', start, { once: true });
  return later.signal;
}
