/**
 * The verbs of one migration. What they mean to the guest is decided here, once for both modes; how the bytes get moved
 * is in direct.ts and peer-to-peer.ts, the last step in hand-over.ts, and what to do with a migration that nobody drives in settle.ts.
 *
 * Invariants: we destroy the guest at the source only after the destination was seen to run it, or has said that it
 * started it, and never while it holds memory that post-copy has not pulled over; we resume it only after the destination
 * has answered that it knows no such VM. In direct mode nobody else does either, so there are never two. Peer to peer,
 * libvirt decides at the source: it resumes the guest when it gets no answer to Finish, also when only the answer was
 * lost; then there are two, `locate` says `both`, and nothing here touches either. A driver is used by one caller, one
 * verb at a time.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  type CheckReport,
  type ConfirmReport,
  type ConvergencePolicy,
  type MigrationContext,
  type MigrationDriver,
  type MigrationProgress,
  type MigrationRequest,
  PluginError,
  type PluginResource,
  type Prepared,
  pluginErrorCode,
  type Routes,
  type VmPlacement,
} from '@lmas/plugin-api';
import { checkMigration } from '../checks/check.ts';
import type { KvmOptions } from '../config.ts';
import { afterArrival, isFault, toPluginError } from '../errors.ts';
import type { Domain, EventBody } from '../rpc/procedures.ts';
import { releaseVolume } from '../volumes.ts';
import { report, startWithHostThere } from './arrival.ts';
import { AUTOSTART, resumeAutostart } from './autostart.ts';
import { DEFAULT_MAX_DOWNTIME_MS } from './convergence.ts';
import { DirectRun } from './direct.ts';
import { HandOver } from './hand-over.ts';
import { mibPerSec } from './parameters.ts';
import { type PeerToPeerRoutes, PeerToPeerRun } from './peer-to-peer.ts';
import { bringThrough, RECOVERY_LIMITS, type RecoveryLimits } from './post-copy.ts';
import { policyOf, prepareRun, resumeSettings, setMaxDowntime } from './prepare.ts';
import { pause, watchJob } from './progress.ts';
import { type Ends, lookAtBoth, placementOf, postCopyOf, type SettleOptions, settle } from './settle.ts';
import { type CompletedStats, look, readCompleted } from './sighting.ts';
import { parsePrepared } from './state.ts';
import { readXbzrle, xbzrleHint } from './xbzrle.ts';

interface Options {
  readonly signal: AbortSignal;
}

const BROKEN_LOOK_MS = 2_000;
/** VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY. */
const MAX_SPEED_POSTCOPY = 1;

/** Times that tests shorten. */
export interface DriverTimes {
  readonly finishSettleMs?: number;
  readonly settleTimeoutMs?: number;
  readonly clearGraceMs?: number;
  readonly restartGraceMs?: number;
  readonly recovery?: RecoveryLimits;
}

export class KvmMigration implements MigrationDriver {
  readonly #ends: Ends;
  readonly #request: MigrationRequest<KvmOptions>;
  readonly #context: MigrationContext;
  readonly #times: DriverTimes;
  #run: DirectRun | PeerToPeerRun | undefined;
  #memoryBytes = 0;
  #completed: CompletedStats | undefined;
  #performing: Promise<unknown> = Promise.resolve();
  readonly #handOver: HandOver;
  readonly #stop = new AbortController();

  constructor(ends: Ends, request: MigrationRequest<KvmOptions>, context: MigrationContext, times: DriverTimes = {}) {
    this.#ends = ends;
    this.#request = request;
    this.#context = context;
    this.#times = times;
    this.#handOver = new HandOver(ends, request, context, times);
  }

  async check({ signal }: Options): Promise<CheckReport> {
    try {
      return await checkMigration(this.#ends, this.#request, { signal });
    } catch (error) {
      throw toPluginError(error, 'checking the migration');
    }
  }

  async prepare({ signal }: Options): Promise<Prepared> {
    try {
      const { run, prepared, plan } = await prepareRun(this.#ends, this.#request, this.#context, { signal });
      this.#run = run;
      this.#memoryBytes = plan.definition.memoryBytes;
      await this.#rememberCompletion(plan.domain, signal);
      return prepared;
    } catch (error) {
      this.#run?.close();
      throw toPluginError(error, 'preparing the migration');
    }
  }

  async perform(
    _prepared: Prepared,
    routes: Routes,
    options: {
      signal: AbortSignal;
      onProgress: (progress: MigrationProgress) => void;
      onPointOfNoReturn: () => Promise<void>;
    },
  ): Promise<void> {
    const run = this.#run;
    if (run === undefined || run.phase !== 'prepared') {
      throw new PluginError('HYPERVISOR_FAULT', 'This run has not prepared the destination, or has used it already.', {
        remedy: 'Abort the migration, which is safe, and start it again.',
      });
    }
    const { memory, disks } = routes;
    if (memory === undefined) throw noMemoryRoute();
    const watching = new AbortController();
    const progress = watchJob(this.#ends.source, run.domain, this.#memoryBytes, options.onProgress, {
      ...{ signal: watching.signal, hints: xbzrleHint(this.#request.options) },
    });
    const signal = AbortSignal.any([options.signal, this.#stop.signal]);
    const performing =
      run instanceof DirectRun
        ? run.perform(memory, disks, { signal })
        : this.#performByPeers(run, { memory, disks, control: routes.control }, signal, options.onPointOfNoReturn);
    this.#performing = performing.catch(() => undefined);
    try {
      await performing;
    } finally {
      watching.abort();
      await progress;
    }
    await options.onPointOfNoReturn();
  }

  async recoverPostCopy(
    prepared: Prepared,
    routes: Routes,
    { signal, onProgress }: { signal: AbortSignal; onProgress: (progress: MigrationProgress) => void },
  ): Promise<void> {
    const { memory, disks, control } = routes;
    if (memory === undefined) throw noMemoryRoute();
    const watching = new AbortController();
    let progress: Promise<void> | undefined;
    try {
      const source = await look(this.#ends.source, this.#request.vm.id, 'source', { signal });
      if (source.presence === 'unreachable') throw toPluginError(source.error, 'looking at the source');
      if (source.domain === undefined) return;
      const settings = resumeSettings(this.#ends, this.#request, this.#context, source.domain);
      const run = PeerToPeerRun.reattach(settings, prepared.flows);
      progress = watchJob(this.#ends.source, source.domain, 0, onProgress, { signal: watching.signal });
      await this.#bringThrough(run, { memory, disks, control }, signal);
    } finally {
      watching.abort();
      await progress;
    }
  }

  async confirm(prepared: Prepared, { signal }: Options): Promise<ConfirmReport> {
    const state = parsePrepared(prepared);
    const run = this.#run;
    try {
      const live = run instanceof DirectRun && run.phase === 'performed' ? run : undefined;
      const handOver = this.#handOver;
      const arrival = await (live === undefined ? handOver.seeArrival({ signal }) : handOver.letGo(live, { signal }));
      await this.#context.assertCurrent();
      return await report(this.#ends, this.#request, state, { ...arrival, stats: this.#completed }, { signal });
    } catch (error) {
      const translated = toPluginError(error, 'confirming the migration');
      if (!this.#handOver.arrived) throw translated;
      // Where it is not clear that the destination's is the copy that counts, nothing of it is changed.
      if (translated.code !== 'OUTCOME_UNKNOWN') {
        await startWithHostThere(this.#ends, this.#request, state, this.#context, { signal });
      }
      throw afterArrival(translated);
    } finally {
      run?.close();
    }
  }

  async abort({
    signal,
    performed = true,
    pastNoReturn = true,
    late = false,
  }: Parameters<MigrationDriver['abort']>[0]): Promise<VmPlacement> {
    const run = this.#run;
    this.#stop.abort();
    try {
      if (run instanceof DirectRun) await this.#cancel(run, signal);
    } finally {
      // Whatever is left incoming goes with its connection.
      run?.close();
    }
    // A job bears no mark of ours.
    const options = { ...this.#settleOptions(signal), performed: performed && !late, pastNoReturn };
    const placement = await settle(this.#ends, this.#request.vm.id, options);
    // A destination that is gone cannot be asked; but in direct mode nobody else tells it to let the guest go.
    const isDirect = this.#request.options.mode === 'direct';
    const neverLetGo = isDirect && (run instanceof DirectRun ? !run.finishSent : !pastNoReturn);
    const isHere = placement.source === 'running' && placement.destination === 'unreachable' && !placement.moving;
    return neverLetGo && isHere ? { ...placement, where: 'source' } : placement;
  }

  async locate({ signal }: Options): Promise<VmPlacement> {
    const placement = placementOf(await lookAtBoth(this.#ends, this.#request.vm.id, { signal }));
    // In direct mode a job waits for us, with the guest perhaps standing still: it must never be waited for in turn.
    return { ...placement, moving: placement.moving && this.#request.options.mode === 'peer-to-peer' };
  }

  async follow({
    signal,
    onProgress,
  }: {
    signal: AbortSignal;
    onProgress: (progress: MigrationProgress) => void;
  }): Promise<void> {
    const seen = await look(this.#ends.source, this.#request.vm.id, 'source', { signal });
    if (seen.presence === 'unreachable') throw toPluginError(seen.error, 'following the migration');
    if (seen.domain === undefined) return;
    const over = new AbortController();
    // A broken post-copy keeps its job, and waits for a recovery, perhaps for ever.
    const broken = new AbortController();
    const watching = this.#untilBroken(AbortSignal.any([signal, over.signal])).then(() => broken.abort());
    try {
      const either = AbortSignal.any([signal, broken.signal]);
      const hints = xbzrleHint(this.#request.options);
      await watchJob(this.#ends.source, seen.domain, 0, onProgress, { signal: either, untilIdle: true, hints });
    } catch (error) {
      // The domain may have left while we asked; its connection may not.
      const after = await look(this.#ends.source, this.#request.vm.id, 'source', { signal });
      if (after.presence === 'unreachable') throw toPluginError(error, 'following the migration');
    } finally {
      over.abort();
      await watching;
    }
    if (signal.aborted) throw new PluginError('ABORTED', 'Stopped following the migration.');
  }

  async release(resource: PluginResource, { signal }: Options): Promise<void> {
    const { id } = this.#request.vm;
    try {
      await this.#context.assertCurrent();
      if (resource.kind === AUTOSTART) return await resumeAutostart(this.#ends, id, this.#context, { signal });
      if (resource.kind !== 'volume')
        throw new PluginError('INVALID_CONFIG', `Unknown resource kind ${resource.kind}.`);
      await releaseVolume(this.#ends[resource.end], resource, id, this.#context, { signal });
    } catch (error) {
      throw toPluginError(error, `releasing ${resource.id}`);
    }
  }

  /** The pause can be changed while it runs; how much the guest is slowed down is fixed when it begins. */
  async setConvergence(policy: ConvergencePolicy, { signal }: Options): Promise<readonly string[]> {
    const before = policyOf(this.#request);
    const after = policyOf({ ...this.#request, ...policy });
    try {
      const client = await this.#ends.source.query({ signal });
      const domain = await client.lookup(this.#request.vm.id, { signal });
      if (domain === null) return [];
      const downtimeMs = after.maxDowntimeMs ?? DEFAULT_MAX_DOWNTIME_MS;
      await setMaxDowntime(this.#ends, { domain }, downtimeMs, this.#context, { signal });
    } catch (error) {
      throw toPluginError(error, 'changing the longest pause');
    }
    if (isDeepStrictEqual(before.throttling, after.throttling)) return [];
    return ['How much the guest is slowed down was fixed when the migration began, and stays.'];
  }

  /** For the memory. Disk mirrors keep the limit with which they began: libvirt changes nothing else during a migration. */
  async setBandwidth(bandwidthBytesPerSec: number | null, { signal }: Options): Promise<void> {
    try {
      const client = await this.#ends.source.query({ signal });
      const domain = await client.lookup(this.#request.vm.id, { signal });
      if (domain === null) return;
      await this.#context.assertCurrent();
      const limit = mibPerSec(bandwidthBytesPerSec, 1);
      const phases = this.#request.options.postCopy ? [0, MAX_SPEED_POSTCOPY] : [0];
      for (const flags of phases) {
        await client.call('domainMigrateSetMaxSpeed', { domain, mibPerSec: limit, flags }, { signal });
      }
    } catch (error) {
      throw toPluginError(error, 'changing the bandwidth');
    }
  }

  #settleOptions(signal: AbortSignal): SettleOptions {
    const onRefused = (step: string, error: unknown): void =>
      this.#context.log.warn({ err: error, step }, 'what has to be done now was refused; looking again');
    return { signal, assertCurrent: () => this.#context.assertCurrent(), onRefused, ...this.#times };
  }

  /** The source's own account of the job, for a destination that has none; it decides nothing. */
  async #rememberCompletion(domain: Domain, signal: AbortSignal): Promise<void> {
    const client = await this.#ends.source.query({ signal });
    const remember = ({ params }: EventBody<'jobCompleted'>): void => {
      this.#completed = readCompleted(params);
      const xbzrle = readXbzrle(params);
      if (xbzrle !== undefined) this.#context.log.info({ xbzrle }, 'what xbzrle saved of the pages that went again');
    };
    try {
      await client.subscribe('jobCompleted', domain, remember, { signal });
    } catch (error) {
      if (!isFault(error)) throw error;
    }
  }

  /** A post-copy that breaks is taken up again at once: the guest stands still, and its routes are still there. */
  async #performByPeers(
    run: PeerToPeerRun,
    routes: PeerToPeerRoutes,
    signal: AbortSignal,
    onPointOfNoReturn: () => Promise<void>,
  ): Promise<void> {
    try {
      await run.perform(routes, { signal, onPointOfNoReturn });
    } catch (error) {
      if (!run.switched || pluginErrorCode(error) === 'SUPERSEDED') throw error;
      this.#context.log.warn({ err: error }, 'the migration failed after the switch to post-copy');
      // A cancel does not reach past the switch; only `abort` ends the attempts, and leaves everything as it is.
      await this.#bringThrough(run, routes, this.#stop.signal);
      const { presence } = await look(this.#ends.source, this.#request.vm.id, 'source', { signal: this.#stop.signal });
      if (presence === 'running') throw error;
    }
  }

  #bringThrough(run: PeerToPeerRun, routes: PeerToPeerRoutes, signal: AbortSignal): Promise<void> {
    return bringThrough(this.#ends, this.#request.vm.id, (domain) => run.resume(routes, domain, { signal }), {
      ...{ signal, log: this.#context.log, limits: this.#times.recovery ?? RECOVERY_LIMITS },
    });
  }

  /** Resolves when post-copy is broken, or `signal` aborts. */
  async #untilBroken(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const seen = await lookAtBoth(this.#ends, this.#request.vm.id, { signal });
      if (postCopyOf(seen) === 'broken') return;
      await pause(BROKEN_LOOK_MS, signal);
    }
  }

  /** Cancels what this very process began; the rest is settled by looking. */
  async #cancel(run: DirectRun, signal: AbortSignal): Promise<void> {
    await Promise.race([this.#performing, aborted(signal)]);
    const before = run.phase;
    if (before !== 'prepared' && before !== 'performed' && before !== 'perform-failed') return;
    await this.#context.assertCurrent();
    const dropped = await run.dropIncoming({ signal });
    // After a failed Perform the source has resumed its guest by itself, and there is nothing to confirm.
    if (before === 'perform-failed' || !dropped) return;
    const { presence } = await look(this.#ends.destination, this.#request.vm.id, 'destination', { signal });
    if (presence !== 'absent') return;
    await run.confirm(true, { signal }).catch((error: unknown) => {
      this.#context.log.warn({ err: error }, 'The cancelling Confirm failed; the source is settled by what is seen');
    });
  }
}

const noMemoryRoute = (): PluginError => new PluginError('INVALID_CONFIG', 'There is no route for the flow "memory".');

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
