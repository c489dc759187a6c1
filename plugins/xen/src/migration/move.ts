/**
 * One run of the call that moves the guest: the destination is asked to receive, its answer is led to the gateways, XAPI tries
 * it dry as far as it can, and then moves. Owns the session inside the receive map, and
 * keeps our own as long as the move goes on under it.
 */
import {
  type MigrationContext,
  type MigrationProgress,
  type MigrationRequest,
  PluginError,
  type Routes,
} from '@lmas/plugin-api';
import type { XapiClient } from '../client.ts';
import type { XenOptions } from '../config.ts';
import { isFault, withoutSecret } from '../errors.ts';
import { readPool } from '../pool.ts';
import { nothingSchema, type ReceiveMap, receiveMapSchema, refSchema } from '../records.ts';
import { dryRunParams, isRedirected, poolMigrateParams, sendParams, usesPoolMigrate } from './call.ts';
import { assertCanRunThere, assertCanSend } from './dry-run.ts';
import { markTask } from './marker.ts';
import type { Ends, Plan } from './plan.ts';
import { progressReporter } from './progress.ts';
import { redirect } from './receive-map.ts';
import { sessionResource, uuidOfSession } from './receive-session.ts';
import type { XenState } from './state.ts';
import { assertNoDetour } from './storage.ts';
import { followTask, keepCancelling } from './task.ts';

/** After a cancel: the task ends when XAPI gets to it. */
const CANCEL_LIMIT_MS = 120_000;
const TIDY_LIMIT_MS = 5_000;

interface Options {
  readonly signal: AbortSignal;
}

export class Move {
  readonly #ends: Ends;
  readonly #request: MigrationRequest<XenOptions>;
  readonly #context: MigrationContext;
  readonly #plan: Plan;
  readonly #state: XenState;
  readonly #onProgress: (fraction: number) => void;
  #map: ReceiveMap | undefined;
  #sessionUuid: string | null = null;
  #task: string | undefined;
  /** From before the call until its end was seen: the source uses the map's session meanwhile, with us or without. */
  #moving = false;
  /** While `VM.pool_migrate` moves it. */
  #kept: ReturnType<XapiClient['keepSessions']> | undefined;

  constructor(
    ends: Ends,
    request: MigrationRequest<XenOptions>,
    context: MigrationContext,
    plan: Plan,
    state: XenState,
    onProgress: (progress: MigrationProgress) => void,
  ) {
    this.#ends = ends;
    this.#request = request;
    this.#context = context;
    this.#plan = plan;
    this.#state = state;
    const diskBytes = plan.disks
      .filter(({ copied }) => copied)
      .reduce((sum, { record }) => sum + record.physical_utilisation, 0);
    this.#onProgress = progressReporter(plan.vm.record.memory_dynamic_max, diskBytes, onProgress);
  }

  /**
   * Asks the destination, and has XAPI try it dry, which proves a part of the route (dry-run.ts).
   * The session that the destination makes has no name before; it is journalled as soon as it has one.
   */
  async open(routes: Routes, options: Options): Promise<void> {
    const { source, destination } = this.#ends;
    const { host } = this.#plan;
    if (host === undefined) throw new PluginError('INCOMPATIBLE', 'No host was chosen.');
    if (usesPoolMigrate(this.#plan, this.#request)) {
      await assertCanRunThere(source.client, this.#plan.vm.ref, host.ref, this.#request, options);
      return;
    }
    const params = [host.ref, this.#state.network, {}];
    const received = await destination.client.call('host.migrate_receive', params, receiveMapSchema, options);
    this.#map = received;
    if (received.session_id !== undefined) {
      this.#sessionUuid = await uuidOfSession(destination, received.session_id, options);
    }
    if (this.#sessionUuid !== null) await this.#context.recordIntent(sessionResource(this.#sessionUuid));
    // Storage may have been unplugged, or the coordinator changed, since the plan was made.
    assertNoDetour(await readPool(destination.client, options), host.ref, this.#plan, this.#request);
    this.#map = isRedirected(this.#request) ? redirect(received, this.#state, routes) : received;
    const dryRun = dryRunParams(this.#plan, this.#map, this.#request);
    const { hosts, pool } = this.#plan.sourcePool;
    const coordinator = hosts.get(pool.master)?.name_label ?? source.client.coordinator;
    await assertCanSend(source.client, dryRun, received.session_id, { ...options, coordinator });
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
    const { source } = this.#ends;
    signal.throwIfAborted();
    const task = await this.#start(source.client);
    this.#task = task;
    const ended = new AbortController();
    const cancel = (): void => {
      void keepCancelling(source.client, task, { signal: ended.signal, log: this.#context.log });
    };
    signal.addEventListener('abort', cancel, { once: true });
    if (signal.aborted) cancel();
    try {
      // A cancel is a request: how the task ends decides, and it may end well.
      const patient = untilAfter(signal, CANCEL_LIMIT_MS);
      await markTask(source, task, this.#request.migrationId, { signal: patient });
      await followTask(source.client, task, { signal: patient, onProgress: this.#onProgress });
      this.#endSeen();
    } catch (error) {
      if (isFault(error)) this.#endSeen();
      throw error;
    } finally {
      ended.abort();
      signal.removeEventListener('abort', cancel);
    }
  }

  /** Never given up half-way: a call that XAPI takes after we have looked away would move a guest that nobody watches. */
  async #start(client: XapiClient): Promise<string> {
    const isPoolMigrate = usesPoolMigrate(this.#plan, this.#request);
    const [method, params] = isPoolMigrate
      ? (['VM.pool_migrate', poolMigrateParams(this.#plan, this.#state.network, this.#request)] as const)
      : (['VM.migrate_send', sendParams(this.#plan, this.#map ?? {}, this.#request)] as const);
    this.#moving = true;
    if (isPoolMigrate) this.#kept = client.keepSessions();
    try {
      return await client.call(`Async.${method}`, params, refSchema, { signal: client.closed });
    } catch (error) {
      if (isFault(error)) this.#endSeen();
      throw error;
    }
  }

  #endSeen(): void {
    this.#moving = false;
    this.#kept?.release();
  }

  /** Whether XAPI may still be at it: the call was made, and its end was not seen. */
  get isUnderWay(): boolean {
    return this.#moving;
  }

  /** Of the session in the map; `null` when there is none, or this login may not ask for it. */
  get sessionUuid(): string | null {
    return this.#sessionUuid;
  }

  /** Takes its rights from the migration: what it has not begun yet at the destination it cannot begin any more. */
  async cutOff(): Promise<boolean> {
    const session = this.#map?.session_id;
    return session !== undefined && (await this.#ends.destination.client.logOut(session));
  }

  /**
   * Ends the session that the destination made for this move, and forgets its task. Only when nothing moves with it any more, and
   * the mark is gone: without the task nobody could say that it has ended. Never throws.
   */
  async close(): Promise<void> {
    await this.cutOff();
    this.#map = undefined;
    this.#endSeen();
    const task = this.#task;
    this.#task = undefined;
    if (task === undefined) return;
    const options = { signal: AbortSignal.timeout(TIDY_LIMIT_MS) };
    await this.#ends.source.client.call('task.destroy', [task], nothingSchema, options).catch(() => undefined);
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
