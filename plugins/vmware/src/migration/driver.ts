/**
 * The verbs of one migration. vSphere drives it: one task moves the VM, and vSphere alone decides when it stops here and runs there.
 * What is decided here is what to make of its end. A task that reports a failure, or a cancel, may have moved the VM all the
 * same, so after every end, good or bad, both vCenters are asked.
 *
 * Invariants: nothing here starts, stops or destroys a VM. The move is triggered once. Only a task of our own login is cancelled.
 * Routes and the encryption setting are journalled before they are changed. One verb at a time.
 */
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
  pluginErrorCode,
  type Routes,
  type VmPlacement,
} from '@lmas/plugin-api';
import { checkMigration } from '../checks/check.ts';
import type { VmwareOptions } from '../config.ts';
import { isFault, toPluginError } from '../errors.ts';
import { ROUTE, removeRoute } from '../routes/static-routes.ts';
import { setTemporaryRoutes } from '../routes/temporary.ts';
import { flowsOf, pairsOf } from '../routes/ways.ts';
import type { Ref } from '../wire/data-objects.ts';
import { arrivalWarnings, endWarnings, entryWarnings, failureWarnings, identityWarnings } from './arrival.ts';
import type { Lasting } from './arrived-as.ts';
import { UNANSWERED_MS } from './asked.ts';
import { endedThere } from './at-rest.ts';
import { disableEncryption, ENCRYPTION, restoreEncryption } from './encryption.ts';
import { lookOnceMore } from './last-look.ts';
import { Move } from './move.ts';
import { lookAtBoth, moveUnderWay, placementOf, type Sightings } from './placement.ts';
import { type Ends, makePlan, type Plan } from './plan.ts';
import { memoryBytesOf, progressReporter, sizesOf } from './progress.ts';
import { lastingOf, parseState, stateOf } from './state.ts';
import { cancelTask, followTask, isOurs, mayCancelAgain, TaskForgotten } from './task.ts';
import { assertSameHosts, assertToBeHad, pinned } from './to-be-had.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** How long the records may lag behind the end of a task, and a cancelled task behind the cancel. */
const SETTLE_MS = 40_000;
/** A cancel that came during the switch-over may be confirmed and the VM move all the same, a moment later. */
const LATE_MS = 3_000;
const LOOK_MS = 250;

/** Times that tests shorten. */
export interface DriverTimes {
  readonly settleMs?: number;
  readonly lateMs?: number;
  /** How long what vSphere never answered to may still come. */
  readonly unansweredMs?: number;
}

export class VmwareMigration implements MigrationDriver {
  readonly #ends: Ends;
  readonly #request: MigrationRequest<VmwareOptions>;
  readonly #context: MigrationContext;
  readonly #settleMs: number;
  readonly #lateMs: number;
  readonly #unansweredMs: number;
  #plan: Plan | undefined;
  /** By what else the VM is known where it goes, once this run knows it. */
  #lasting: Lasting | null = null;
  /** It was seen powered off at the destination for long enough to be believed. */
  #hasEnded = false;
  /** This run has seen the task end well. */
  #isDone = false;
  /** When the vCenter, started anew, knew nothing of the move: whether its hosts go on with it nothing tells, until it has arrived. */
  #forgottenAtMs: number | undefined;
  /** What vSphere has reported of a move that has arrived all the same. */
  #failure: PluginError | undefined;

  constructor(
    ends: Ends,
    request: MigrationRequest<VmwareOptions>,
    context: MigrationContext,
    { settleMs = SETTLE_MS, lateMs = LATE_MS, unansweredMs = UNANSWERED_MS }: DriverTimes = {},
  ) {
    this.#ends = ends;
    this.#request = request;
    this.#context = context;
    this.#settleMs = settleMs;
    this.#lateMs = lateMs;
    this.#unansweredMs = unansweredMs;
  }

  async check({ signal }: Options): Promise<CheckReport> {
    try {
      const { report, plan } = await checkMigration(this.#ends, this.#request, { signal });
      this.#plan = plan;
      return report;
    } catch (error) {
      throw toPluginError(error, 'checking the migration');
    }
  }

  /** Decides where to, and changes nothing: vSphere makes what the destination needs in the one task that moves the VM. */
  async prepare({ signal }: Options): Promise<Prepared> {
    try {
      await this.#context.assertCurrent();
      const plan = await makePlan(this.#ends, pinned(this.#request, this.#plan), { signal });
      assertToBeHad(this.#ends, plan);
      assertSameHosts(this.#plan, plan);
      const [gap] = plan.gaps;
      if (gap !== undefined || plan.host === undefined) {
        throw new PluginError('INCOMPATIBLE', gap?.message ?? 'The destination cannot receive this VM.', {
          remedy: gap?.remedy ?? 'Check the migration to see why.',
        });
      }
      this.#plan = plan;
      this.#lasting = lastingOf(plan);
      return { flows: [], ...this.#trafficOf(plan), neverLeftPaused: true, state: stateOf(plan) };
    } catch (error) {
      throw toPluginError(error, 'preparing the migration');
    }
  }

  async perform(
    _prepared: Prepared,
    _routes: Routes,
    options: {
      signal: AbortSignal;
      onProgress: (progress: MigrationProgress) => void;
      onPointOfNoReturn: () => Promise<void>;
    },
  ): Promise<void> {
    const { signal } = options;
    const plan = this.#plan;
    if (plan === undefined) {
      throw new PluginError('HYPERVISOR_FAULT', 'This run has not prepared the migration.', {
        remedy: 'Abort the migration, which is safe, and start it again.',
      });
    }
    const move = new Move(this.#ends, plan, { unansweredMs: this.#unansweredMs, log: this.#context.log });
    try {
      await setTemporaryRoutes(this.#ends, plan, this.#context, { signal });
      await disableEncryption(this.#ends, plan, this.#context, { signal });
      await lookOnceMore(this.#ends, plan, { signal });
      await this.#context.assertCurrent();
      await move.run({ signal, onProgress: progressReporter(...sizesOf(plan), options.onProgress) });
      this.#isDone = true;
      await this.#assertArrived();
    } catch (error) {
      if (error instanceof TaskForgotten) {
        this.#forgottenAtMs = performance.now();
        this.#context.log.warn(
          {},
          'the vCenter has forgotten the move; its hosts may go on with it, which is waited for',
        );
      }
      if (!(await this.#hasArrived(error, move, signal)))
        throw stoppedBy(signal, error) ?? toPluginError(error, 'migrating');
      this.#failure = toPluginError(error, 'migrating');
      this.#context.log.warn({ err: this.#failure }, 'the task reports a failure, but the VM runs at the destination');
    }
    await options.onPointOfNoReturn();
  }

  async confirm(prepared: Prepared, { signal }: Options): Promise<ConfirmReport> {
    try {
      const state = parseState(prepared.state);
      this.#lasting = state?.lasting ?? null;
      const { uuid, warnings } = await this.#seeArrival(signal);
      warnings.push(
        ...failureWarnings(this.#failure),
        ...(await arrivalWarnings(this.#ends.destination, uuid, state, { signal })),
      );
      return {
        downtimeMs: null, // vSphere does not tell
        bytesTransferred: null,
        iterations: null,
        keptAtSource: [], // vSphere removes the disks that it has moved
        sourceDefinition: state?.definition ?? null,
        warnings,
      };
    } catch (error) {
      throw toPluginError(error, 'confirming the migration');
    }
  }

  async abort({
    signal,
    performed = true,
    late = false,
  }: Parameters<MigrationDriver['abort']>[0]): Promise<VmPlacement> {
    const { client } = this.#ends.source;
    const started = performance.now();
    /** Tasks that are asked to end, and whether vSphere has answered that. */
    const asked = new Map<string, boolean>();
    let overSince: number | undefined;
    for (;;) {
      const seen = await this.#look({ signal });
      const placement = placementOf(seen);
      const task = moveUnderWay(seen);
      overSince = task === undefined ? (overSince ?? performance.now()) : undefined;
      // A task bears no mark of a migration, only the login, which people may have as well.
      const ours = performed && !late && task !== undefined && isOurs(task, client);
      const isAwaited = ours
        ? performance.now() - started <= this.#settleMs
        : placement.where !== 'destination' &&
          ((asked.size > 0 && this.#mayStillArrive(overSince)) || this.#isJustForgotten());
      if (!isAwaited || signal.aborted) return placement;
      if (ours && asked.get(task.task.value) !== true) {
        await this.#context.assertCurrent();
        const isTold = asked.has(task.task.value);
        asked.set(task.task.value, false);
        if (await this.#isCancelAnswered(task.task, { signal, isTold })) asked.set(task.task.value, true);
      }
      await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async locate({ signal }: Options): Promise<VmPlacement> {
    return placementOf(await this.#look({ signal }));
  }

  async follow({
    signal,
    onProgress,
  }: {
    signal: AbortSignal;
    onProgress: (progress: MigrationProgress) => void;
  }): Promise<void> {
    const seen = await this.#look({ signal });
    const task = moveUnderWay(seen);
    if (task === undefined) return;
    try {
      // Which of the disks are copied only the run knew that has begun it.
      const memoryBytes = this.#request.disksAlone === true ? 0 : memoryBytesOf(seen.source.record);
      const report = progressReporter(memoryBytes, 0, onProgress);
      await followTask(this.#ends.source.client, task.task, { signal, onProgress: report });
    } catch (error) {
      // How it ended is asked of the vCenters; only not to have seen its end is an error.
      if (!isFault(error)) throw toPluginError(error, 'following the migration');
    }
  }

  async release(resource: PluginResource, { signal }: Options): Promise<void> {
    try {
      await this.#context.assertCurrent();
      const options = { signal, unansweredMs: this.#unansweredMs, log: this.#context.log };
      if (resource.kind === ROUTE) await removeRoute(this.#ends[resource.end].client, resource, options);
      else if (resource.kind === ENCRYPTION) await restoreEncryption(this.#ends, resource, options);
      else throw new PluginError('INVALID_CONFIG', `Unknown resource kind ${resource.kind}.`);
    } catch (error) {
      throw toPluginError(error, `releasing ${resource.kind} ${resource.id}`);
    }
  }

  /** vSphere has no limit of its own for one migration; the gateways have one. */
  async setBandwidth(bandwidthBytesPerSec: number | null): Promise<void> {
    if (bandwidthBytesPerSec === null || this.#request.tunnelled) return;
    throw new PluginError('NOT_MIGRATABLE', 'vSphere cannot limit the bandwidth of one migration.', {
      ...(this.#request.disksAlone === true ? {} : { remedy: 'Use the tunnel, which can.' }),
    });
  }

  /** Of disks alone nothing goes from host to host. */
  #trafficOf({ networks }: Plan): Pick<Prepared, 'transparentFlows' | 'sourceAddresses'> {
    if (networks === undefined) return { sourceAddresses: [] };
    const sources = pairsOf(networks, 'vmotion').map(({ source }) => source.address);
    const barrier = this.#request.options.encryption === 'disable';
    return { transparentFlows: flowsOf(networks, { barrier }), sourceAddresses: [...new Set(sources)] };
  }

  #look(options: Options): Promise<Sightings> {
    return lookAtBoth(this.#ends, this.#request, { ...options, lasting: this.#lasting });
  }

  /** @throws PluginError where vSphere refuses; without an answer, or after another fault, it is asked again */
  async #isCancelAnswered(task: Ref, { signal, isTold }: Options & { readonly isTold: boolean }): Promise<boolean> {
    try {
      await cancelTask(this.#ends.source.client, task, { signal });
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      if (!mayCancelAgain(error)) throw toPluginError(error, 'cancelling the migration');
      if (!isTold)
        this.#context.log.warn(
          { err: toPluginError(error, 'cancelling the migration') },
          'nothing came of the cancel of the move, which is asked for again',
        );
      return false;
    }
  }

  /** @param overSince when a cancelled task was first seen to be over; `undefined`: somebody else's goes on */
  #mayStillArrive(overSince: number | undefined): boolean {
    return overSince !== undefined && performance.now() - overSince < this.#lateMs;
  }

  /** Its disks were where they were to go, says the task; where one is elsewhere since, that is told. */
  #hasMovedDisks({ source, destination }: Sightings): boolean {
    const isSeen = [source, destination].some(({ presence }) => presence === 'running');
    return this.#isDone && this.#request.disksAlone === true && isSeen;
  }

  #isJustForgotten(): boolean {
    return this.#forgottenAtMs !== undefined && performance.now() - this.#forgottenAtMs <= this.#settleMs;
  }

  /** Long enough for the records to have caught up. */
  #isLongSince(momentMs: number): boolean {
    return performance.now() - momentMs > this.#settleMs / 2;
  }

  /** Another session may be answered, this one never again. */
  #isOneSilentForGood(): boolean {
    return this.#ends.source.closed.aborted || this.#ends.destination.closed.aborted;
  }

  /** After a good end: the records may lag behind the task. */
  async #assertArrived(): Promise<void> {
    await this.#seeArrival(AbortSignal.timeout(2 * this.#settleMs)); // it has a limit of its own; this one is for a look that hangs
  }

  /** After any bad end but one before the call: the VM may have made it although somebody reports otherwise. */
  async #hasArrived(error: unknown, { isCalled }: Move, signal: AbortSignal): Promise<boolean> {
    const code = pluginErrorCode(error) ?? '';
    if (['SUPERSEDED', 'OUTCOME_UNKNOWN'].includes(code) || (code === 'BUSY' && !isCalled)) return false;
    const isCancelled = isFault(error, 'RequestCanceled') || code === 'BUSY'; // it began elsewhere, and was cancelled
    const overSince = performance.now();
    for (;;) {
      const seen = await this.#look({ signal: AbortSignal.timeout(this.#settleMs) });
      if (arrived(seen)) return true;
      const isAwaited = isCancelled
        ? this.#mayStillArrive(overSince)
        : this.#forgottenAtMs !== undefined && !signal.aborted;
      if (!isAwaited) return false;
      await sleep(LOOK_MS);
    }
  }

  /**
   * Both vCenters have to say so. The source may lag behind its own task for a moment, and the destination with the power state: a guest
   * that stays off there has arrived, and was shut down since.
   */
  async #seeArrival(signal: AbortSignal): Promise<{ uuid: string; warnings: string[] }> {
    const { id, name } = this.#request.vm;
    const started = performance.now();
    let endedSince: number | undefined;
    for (;;) {
      const seen = await this.#look({ signal });
      const { source, destination } = placementOf(seen);
      endedSince = endedThere(source, destination) ? (endedSince ?? performance.now()) : undefined;
      const late = performance.now() - started > this.#settleMs || signal.aborted || this.#isOneSilentForGood();
      const runs =
        (arrived(seen) && (source === 'absent' || (source === 'stopped' && late))) || this.#hasMovedDisks(seen);
      const ended = endedSince !== undefined && (late || this.#hasEnded || this.#isLongSince(endedSince));
      if (runs || ended) {
        this.#hasEnded = ended;
        const uuid = seen.destination.record?.['config.instanceUuid'] ?? id;
        const isLeft = this.#request.disksAlone === true ? 'absent' : source;
        const warnings = [...(ended ? endWarnings(name) : entryWarnings(isLeft, name))];
        return { uuid, warnings: [...warnings, ...identityWarnings(uuid, this.#request.vm)] };
      }
      if (late) {
        throw new PluginError('OUTCOME_UNKNOWN', `The source says "${source}", the destination "${destination}".`, {
          remedy:
            this.#request.disksAlone === true
              ? `See in which datastores the disks of ${name} are. It is one VM: nothing is to be removed or started.`
              : `Look for the instance UUID ${id} in both vCenters. Power it on in one of them only when it runs in neither.`,
        });
      }
      await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** What was given up because of `signal` may have ended in any error; vSphere's own answer counts for more. */
const stoppedBy = (signal: AbortSignal, error: unknown): PluginError | undefined =>
  signal.aborted && !isFault(error) && pluginErrorCode(error) === undefined
    ? new PluginError('ABORTED', 'The migration was cancelled.', { cause: error })
    : undefined;

const arrived = (seen: Sightings): boolean => {
  const { where, destination, moving } = placementOf(seen);
  return where === 'destination' && destination === 'running' && !moving;
};
