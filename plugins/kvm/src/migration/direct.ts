/**
 * Direct mode: we drive both daemons ourselves, and give Prepare and Perform different addresses. That is how the traffic
 * gets to the gateway without either host knowing of it.
 *
 *   Begin (source) → Prepare (destination) → Perform (source) → Finish (destination) → Confirm (source)
 *
 * Each end has a connection of its own for the run, because the daemons bind the job at the source and the incoming guest
 * at the destination to the connection that made them. A DirectRun owns both; closing them is itself a roll-back: before
 * Perform the source drops the job and its guest runs on, before Finish the destination destroys the incoming guest.
 */
import { PluginError, pluginErrorCode } from '@lmas/plugin-api';
import type { LibvirtClient } from '../client.ts';
import { isFault, toPluginError } from '../errors.ts';
import { ERROR } from '../rpc/constants.ts';
import type { Domain } from '../rpc/procedures.ts';
import type { TypedParam } from '../rpc/typed-params.ts';
import type { KvmSession } from '../session.ts';
import {
  destinationFlags,
  finishParams,
  type HostPort,
  performParams,
  prepareParams,
  sourceFlags,
} from './parameters.ts';
import { leasePorts, releasePorts } from './ports.ts';
import { abortMigration } from './sighting.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** A port may be taken by somebody else, or by libvirt's own memory of an earlier migration: then another one. */
const PREPARE_ATTEMPTS = 3;
/** Finish starts the guest: fast, unless the destination is in trouble. */
const FINISH_TIMEOUT_MS = 60_000;
const CANCEL_TIMEOUT_MS = 15_000;

/** How far the run has come; each value is set before the call that it names is sent. */
export type RunPhase = 'prepared' | 'performing' | 'performed' | 'perform-failed' | 'finishing' | 'finished';

export interface RunSettings {
  readonly source: KvmSession;
  readonly destination: KvmSession;
  readonly domain: Domain;
  readonly flags: number;
  readonly common: readonly TypedParam[];
  readonly copiesDisks: boolean;
  /** `null`: no post-copy. */
  readonly postCopyAfterPasses: number | null;
  readonly assertCurrent: () => Promise<void>;
}

/** How Finish ended: let go, refused by the daemon, or nobody knows. */
export type FinishOutcome =
  | { readonly kind: 'started' }
  | { readonly kind: 'refused'; readonly error: PluginError }
  | { readonly kind: 'lost'; readonly error: PluginError };

export class DirectRun {
  phase: RunPhase = 'prepared';
  readonly #settings: RunSettings;
  readonly #source: LibvirtClient;
  readonly #destination: LibvirtClient;
  readonly #ports: readonly number[];
  #cookie: Buffer;
  #params: readonly TypedParam[];

  private constructor(
    settings: RunSettings,
    clients: { source: LibvirtClient; destination: LibvirtClient },
    prepared: { cookie: Buffer; params: readonly TypedParam[]; ports: readonly number[] },
  ) {
    this.#settings = settings;
    this.#source = clients.source;
    this.#destination = clients.destination;
    this.#cookie = prepared.cookie;
    this.#params = prepared.params;
    this.#ports = prepared.ports;
  }

  /** Begin and Prepare. On failure both connections are closed again, which undoes them. */
  static async prepare(
    settings: RunSettings,
    { signal }: Options,
  ): Promise<{ run: DirectRun; memory: HostPort; disks: HostPort | undefined }> {
    const source = await settings.source.openClient({ signal });
    let destination: LibvirtClient | undefined;
    try {
      destination = await settings.destination.openClient({ signal });
      await settings.assertCurrent();
      const begin = await source.call(
        'domainMigrateBegin3Params',
        { domain: settings.domain, params: settings.common, flags: sourceFlags(settings.flags) },
        { signal },
      );
      const prepared = await prepareDestination(settings, destination, begin, { signal });
      const run = new DirectRun(settings, { source, destination }, prepared);
      return { run, memory: prepared.memory, disks: prepared.disks };
    } catch (error) {
      destination?.close();
      source.close();
      throw toPluginError(error, 'preparing the destination');
    }
  }

  /** Whether the destination was ever asked to let the guest go; if not, it cannot run there. */
  get finishSent(): boolean {
    return this.phase === 'finishing' || this.phase === 'finished';
  }

  get domain(): Domain {
    return this.#settings.domain;
  }

  /**
   * Sends the guest; resolves when it stands still with everything sent. When `signal` aborts, or the connection that
   * keeps the incoming guest alive is lost, the source is asked to stop, and its answer is waited for.
   * @throws PluginError ABORTED, STREAM_FAILED, CONNECTION_LOST …
   */
  async perform(memory: HostPort, disks: HostPort | undefined, { signal }: Options): Promise<void> {
    const params = performParams(this.#settings.common, memory, disks);
    await this.#settings.assertCurrent();
    this.phase = 'performing';
    this.#params = params;
    const { domain, flags } = this.#settings;
    const call = this.#source.call(
      'domainMigratePerform3Params',
      { domain, destinationUri: null, params, cookie: this.#cookie, flags: sourceFlags(flags) },
      // Not our caller's signal: what counts is how the source ends it.
      { signal: new AbortController().signal },
    );
    const stop = AbortSignal.any([signal, this.#destination.closed]);
    const over = new AbortController();
    const stopping = this.#stopWhen(stop, over.signal);
    try {
      this.#cookie = (await call).cookie;
      this.phase = 'performed';
    } catch (error) {
      this.phase = 'perform-failed';
      if (signal.aborted) throw new PluginError('ABORTED', 'The migration was stopped.', { cause: error });
      if (this.#destination.closed.aborted) throw this.#destination.closed.reason;
      throw toPluginError(error, 'sending the guest', { flowing: true });
    } finally {
      over.abort();
      await stopping;
    }
    // It may have come through just before it heard us; the guest stands still, and `cancel` lets it go on here.
    if (signal.aborted) throw new PluginError('ABORTED', 'The migration was stopped after everything was sent.');
    if (this.#destination.closed.aborted) throw this.#destination.closed.reason;
  }

  /** Lets the guest go at the destination. Asks once: after a lost reply only looking tells. */
  async finish({ signal }: Options): Promise<FinishOutcome> {
    await this.#settings.assertCurrent();
    this.phase = 'finishing';
    const patience = AbortSignal.any([signal, AbortSignal.timeout(FINISH_TIMEOUT_MS)]);
    try {
      this.#cookie = await this.#sendFinish(0, patience);
      return { kind: 'started' };
    } catch (error) {
      const refused = isFault(error) && !isFault(error, ERROR.RPC);
      const translated = toPluginError(error, 'starting the guest at the destination');
      return { kind: refused ? 'refused' : 'lost', error: translated };
    } finally {
      this.phase = 'finished';
    }
  }

  /**
   * Ends the job at the source: the guest there is destroyed, or with `cancelled` resumed. The caller has made sure, at
   * the destination, which of the two is right.
   * @throws PluginError
   */
  async confirm(cancelled: boolean, { signal }: Options): Promise<void> {
    await this.#settings.assertCurrent();
    const { domain, flags } = this.#settings;
    try {
      await this.#source.call(
        'domainMigrateConfirm3Params',
        {
          domain,
          params: this.#params,
          cookie: this.#cookie,
          flags: sourceFlags(flags),
          cancelled: cancelled ? 1 : 0,
        },
        { signal },
      );
    } catch (error) {
      throw toPluginError(error, 'confirming the migration at the source');
    }
  }

  /**
   * Tells the destination to drop the incoming guest, before Finish was ever asked for. Answers whether it said so.
   * Nothing is confirmed at the source here.
   */
  async dropIncoming({ signal }: Options): Promise<boolean> {
    if (this.finishSent) return false;
    try {
      await this.#sendFinish(1, AbortSignal.any([signal, AbortSignal.timeout(CANCEL_TIMEOUT_MS)]));
      return true;
    } catch (error) {
      // A cancelled Finish answers with an error of its own (MIGRATE_FINISH_OK, or what broke the migration).
      return isFault(error);
    }
  }

  /**
   * Gives the destination's connection up: what is still incoming there is destroyed with it, unless a Finish is under
   * way, which then goes on to its end.
   */
  releaseDestination(): void {
    this.#destination.close();
  }

  /** Idempotent. */
  close(): void {
    this.#destination.close();
    this.#source.close();
    releasePorts(this.#settings.destination, this.#ports);
  }

  async #sendFinish(cancelled: 0 | 1, signal: AbortSignal): Promise<Buffer> {
    const { domain, flags } = this.#settings;
    const params = finishParams(this.#params, domain.name);
    const args = { params, cookie: this.#cookie, flags: destinationFlags(flags), cancelled };
    return (await this.#destination.call('domainMigrateFinish3Params', args, { signal })).cookie;
  }

  /** Asks the source to abort, again and again, until Perform has ended: the job may not have begun at the first try. */
  async #stopWhen(stop: AbortSignal, over: AbortSignal): Promise<void> {
    await aborted(AbortSignal.any([stop, over]));
    while (!over.aborted) {
      const patience = AbortSignal.any([over, AbortSignal.timeout(CANCEL_TIMEOUT_MS)]);
      try {
        await this.#settings.assertCurrent();
        const client = await this.#settings.source.query({ signal: patience });
        await abortMigration(client, this.#settings.domain, { signal: patience });
      } catch (error) {
        // No job yet, or no more: Perform's own end tells. A session that is gone cannot be asked any more.
        // A newer run decides by itself what becomes of the job.
        if (this.#settings.source.closed.aborted || pluginErrorCode(error) === 'SUPERSEDED') return;
        if (!isFault(error)) await pauseAfterLoss(over);
      }
      await pauseAfterLoss(over);
    }
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

const pauseAfterLoss = (over: AbortSignal): Promise<void> =>
  Promise.race([aborted(over), new Promise<void>((resolve) => setTimeout(resolve, 300).unref())]);

/** Failures that another port may cure. */
const PORT_TROUBLE: readonly number[] = [ERROR.INTERNAL_ERROR, ERROR.SYSTEM_ERROR];

async function prepareDestination(
  settings: RunSettings,
  client: LibvirtClient,
  begin: { readonly cookie: Buffer; readonly xml: string },
  { signal }: Options,
): Promise<{
  cookie: Buffer;
  params: readonly TypedParam[];
  ports: readonly number[];
  memory: HostPort;
  disks: HostPort | undefined;
}> {
  const host = settings.destination.config.migrationAddress;
  for (let attempt = 1; ; attempt += 1) {
    const ports = leasePorts(settings.destination, settings.copiesDisks ? 2 : 1);
    const [memoryPort, disksPort] = ports;
    const memory = { host, port: memoryPort ?? 0 };
    const params = prepareParams(settings.common, begin.xml, memory, disksPort);
    try {
      await settings.assertCurrent();
      const { cookie } = await client.call(
        'domainMigratePrepare3Params',
        { params, cookie: begin.cookie, flags: destinationFlags(settings.flags) },
        { signal },
      );
      const disks = disksPort === undefined ? undefined : { host, port: disksPort };
      return { cookie, params, ports, memory, disks };
    } catch (error) {
      releasePorts(settings.destination, ports);
      if (attempt >= PREPARE_ATTEMPTS || !isFault(error, ...PORT_TROUBLE)) throw error;
    }
  }
}
