/**
 * The verbs of one migration. XAPI drives it: one call moves the guest, and XAPI decides at the source when it stops and at
 * the destination when it starts. What is decided here is what to make of its end. A migration that XAPI reports as failed
 * may have brought the guest to the destination all the same, so after every end, good or bad, both pools are asked.
 *
 * Invariants: nothing here starts, stops or destroys a guest. Only a migration that is ours is cancelled (marker.ts), and none is over
 * before its end was seen (standing.ts). The map of `host.migrate_receive` never leaves this process, and its session is ended with the
 * migration. One verb at a time.
 */
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
import type { XenOptions } from '../config.ts';
import { toPluginError } from '../errors.ts';
import { type AbortTimes, followToItsEnd, stopIt } from './abort.ts';
import { compareArrival, intendedDisks } from './arrival.ts';
import { isRedirected } from './call.ts';
import { relayedCoordinator, trafficOf } from './flows.ts';
import { copyResource, releaseCopy } from './incoming-copy.ts';
import { clearMark, markResource, releaseMark, setMark } from './marker.ts';
import { Move } from './move.ts';
import { runsAt } from './placement.ts';
import { type Ends, makePlan, type Plan } from './plan.ts';
import { endSession } from './receive-session.ts';
import { type Standing, standingOf } from './standing.ts';
import { parseState, type XenState } from './state.ts';
import { assertNoDetour } from './storage.ts';
import { assertToBeHad, lookFirst } from './to-be-had.ts';
import { until } from './waiting.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** How long the records may lag behind the end of the task, and a cancelled task behind the cancel. */
const SETTLE_MS = 40_000;
/** How long XAPI has for tidying up by itself what it has forgotten to be at. */
const QUIET_MS = 5_000;
const GIVE_BACK_MS = 10_000;

/** Times that tests shorten. */
export type DriverTimes = Partial<AbortTimes>;

export class XenMigration implements MigrationDriver {
  readonly #ends: Ends;
  readonly #request: MigrationRequest<XenOptions>;
  readonly #context: MigrationContext;
  readonly #times: AbortTimes;
  /** What the check said of hosts and addresses holds for this one. */
  #checkedHost: string | undefined;
  #plan: Plan | undefined;
  /** XAPI’s own name for what went wrong while it moved: who has to look needs it, whatever is said afterwards. */
  #fault: PluginError['native'];
  /** From `perform` until it is known that nothing moves any more. */
  #move: Move | undefined;

  constructor(ends: Ends, request: MigrationRequest<XenOptions>, context: MigrationContext, times: DriverTimes = {}) {
    this.#ends = ends;
    this.#request = request;
    this.#context = context;
    this.#times = { settleMs: SETTLE_MS, quietMs: QUIET_MS, ...times };
  }

  async check({ signal }: Options): Promise<CheckReport> {
    try {
      const { report, plan } = await checkMigration(this.#ends, this.#request, { signal });
      this.#checkedHost = plan.host?.record.uuid;
      return report;
    } catch (error) {
      throw toPluginError(error, 'checking the migration');
    }
  }

  /** Decides where to, and changes nothing: XAPI makes what the destination needs in the one call that moves the guest. */
  async prepare({ signal }: Options): Promise<Prepared> {
    try {
      await this.#context.assertCurrent();
      const plan = await makePlan(this.#ends, this.#request, { signal, before: this.#checkedHost });
      assertToBeHad(this.#ends, plan, this.#request.migrationId);
      const { host, network, address, vm } = plan;
      const gap = plan.gaps[0];
      if (gap !== undefined || host === undefined || network === undefined || address === undefined) {
        throw new PluginError('INCOMPATIBLE', gap?.message ?? 'The destination cannot receive this VM.', {
          remedy: gap?.remedy ?? 'Check the migration to see why.',
        });
      }
      assertNoDetour(plan.destinationPool, host.ref, plan, this.#request);
      this.#plan = plan;
      const coordinator = relayedCoordinator(plan, address, this.#request);
      // What only one migration at a time can have was taken for the host that was checked.
      const anyHostWillDo = isRedirected(this.#request) && coordinator === null;
      if (this.#checkedHost !== undefined && this.#checkedHost !== host.record.uuid && !anyHostWillDo) {
        throw new PluginError(
          'BUSY',
          `${host.record.name_label} would receive it now, and not the host that was checked.`,
          {
            remedy: 'Submit the migration again: it is checked anew.',
          },
        );
      }
      const state: XenState = {
        ...{ hostUuid: host.record.uuid, hostName: host.record.name_label, network, address, coordinator },
        disks: intendedDisks(plan),
        definition: JSON.stringify(vm.record),
      };
      return { ...trafficOf(plan, { address, coordinator }, this.#request), state };
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
    const { signal } = options;
    const plan = this.#plan;
    const state = parseState(prepared.state);
    if (plan === undefined || state === null) {
      throw new PluginError('HYPERVISOR_FAULT', 'This run has not prepared the migration.', {
        remedy: 'Abort the migration, which is safe, and start it again.',
      });
    }
    const move = new Move(this.#ends, this.#request, this.#context, plan, state, options.onProgress);
    this.#move = move;
    try {
      await move.open(routes, { signal });
      await this.#announce(plan, move, { signal });
      await move.run({ signal });
    } catch (error) {
      const fault = toPluginError(error, 'migrating');
      this.#fault = fault.native;
      const { arrived, safe } = await this.#lookAfter(error);
      if (!arrived) {
        if (!move.isUnderWay && safe) await this.#giveBack(signal);
        throw fault;
      }
      this.#context.log.warn({ err: error }, 'the source reports a failure, but the guest runs at the destination');
    }
    // The source tells the destination more under the map's session, after the guest runs there; `confirm` sees the end of that.
    if (!move.isUnderWay) await this.#closeMove();
    await options.onPointOfNoReturn();
  }

  /** What a run that comes after a crash needs in order to know this migration, and what it may leave behind. */
  async #announce(plan: Plan, move: Move, { signal }: Options): Promise<void> {
    const { migrationId, vm } = this.#request;
    await this.#context.recordIntent(markResource(vm.id, migrationId));
    if (!plan.samePool) await this.#context.recordIntent(copyResource(vm.id));
    await this.#context.assertCurrent();
    const mark = { migrationId, session: move.sessionUuid };
    await setMark(this.#ends.source, vm.id, mark, plan.sourcePool.pool.master, { signal });
    await this.#context.assertCurrent();
  }

  async confirm(prepared: Prepared, { signal }: Options): Promise<ConfirmReport> {
    const { id } = this.#request.vm;
    try {
      const { standing, warnings } = await this.#seeArrival(signal);
      const state = parseState(prepared.state);
      warnings.push(...(await compareArrival(this.#ends.destination, standing.destination, state, { signal })));
      await this.#closeMove();
      await this.#context.assertCurrent();
      await clearMark(this.#ends.destination, id, this.#request.migrationId, { signal });
      return {
        downtimeMs: null, // XAPI does not tell
        bytesTransferred: null,
        iterations: null,
        keptAtSource: [], // XAPI removes the disks it has moved
        sourceDefinition: state?.definition ?? null,
        warnings,
      };
    } catch (error) {
      throw toPluginError(error, 'confirming the migration');
    }
  }

  async abort({ signal }: Options): Promise<VmPlacement> {
    const placement = await stopIt(this.#case(), this.#times, { signal });
    if (placement.where === 'source' && !placement.moving) await this.#giveBack(signal);
    return placement;
  }

  async locate({ signal }: Options): Promise<VmPlacement> {
    return (await this.#stand({ signal })).placement;
  }

  async follow({
    signal,
    onProgress,
  }: {
    signal: AbortSignal;
    onProgress: (progress: MigrationProgress) => void;
  }): Promise<void> {
    try {
      await followToItsEnd(this.#case(), this.#times, { signal, onProgress });
    } catch (error) {
      throw toPluginError(error, 'following the migration');
    }
  }

  async release(resource: PluginResource, { signal }: Options): Promise<void> {
    const end = this.#ends[resource.end];
    const { migrationId } = this.#request;
    try {
      await this.#context.assertCurrent();
      switch (resource.kind) {
        case 'mark':
          return await releaseMark(this.#ends, resource.id, migrationId, { signal });
        case 'session':
          return await endSession(end, resource.id, { signal });
        case 'copy':
          return await releaseCopy(end, resource.id, migrationId, { signal });
        default:
          throw new PluginError('INVALID_CONFIG', `Unknown resource kind ${resource.kind}.`);
      }
    } catch (error) {
      throw toPluginError(error, `releasing ${resource.kind} ${resource.id}`);
    }
  }

  /** XAPI has no limit of its own; the gateways have one. */
  async setBandwidth(bandwidthBytesPerSec: number | null): Promise<void> {
    if (bandwidthBytesPerSec === null || this.#request.tunnelled) return;
    throw new PluginError('NOT_MIGRATABLE', 'XAPI cannot limit the bandwidth of a migration.', {
      remedy: 'Use the tunnel, which can.',
    });
  }

  #stand(options: Options) {
    return standingOf(this.#ends, this.#request.vm.id, this.#request.migrationId, options);
  }

  #case() {
    return { ends: this.#ends, request: this.#request, context: this.#context, move: this.#move };
  }

  /** After any end but that of a call which was not made: the guest may have made it although somebody reports otherwise. */
  async #lookAfter(error: unknown): Promise<{ arrived: boolean; safe: boolean }> {
    const code = pluginErrorCode(error);
    if (code === 'SUPERSEDED' || code === 'BUSY') return { arrived: false, safe: true };
    const { destination, placement } = await this.#stand({ signal: AbortSignal.timeout(this.#times.settleMs) });
    const arrived = placement.where === 'destination' && runsAt(destination);
    return { arrived, safe: placement.where === 'source' };
  }

  /** Both pools have to say so. The source may lag behind its own task for a moment. */
  async #seeArrival(signal: AbortSignal): Promise<{ standing: Standing; warnings: string[] }> {
    const { id, name } = this.#request.vm;
    const isThere = ({ destination, placement: { where, moving } }: Standing) =>
      !moving && where === 'destination' && runsAt(destination);
    const standing = await until(() => this.#stand({ signal }), isThere, this.#times.settleMs, { signal });
    const { source, destination, where } = standing.placement;
    if (!isThere(standing)) {
      // The source may take long over what it still has to tidy; that the guest runs there is not taken back by that.
      const arrived = where === 'destination' && runsAt(standing.destination);
      throw new PluginError('OUTCOME_UNKNOWN', `The source says "${source}", the destination "${destination}".`, {
        arrived,
        remedy: `${lookFirst(id)} Where it runs, leave it so. Only when it runs nowhere may it be started, in the one pool whose disks of it are whole.`,
        ...(this.#fault === undefined ? {} : { native: this.#fault }),
      });
    }
    if (source === 'absent') return { standing, warnings: [] };
    const protectedBy = standing.source.record?.ha_restart_priority ?? '';
    const danger =
      protectedBy === '' ? '' : ' The source pool’s high availability may start it: take the protection off at once.';
    const warning = `The source pool still has a record of ${name} (${source}). It must not be started there. Remove the record alone, in the source pool (xe vm-destroy uuid=${id}; vm-uninstall would take disks along), once xl list shows the guest at the destination.${danger}`;
    return { standing, warnings: [warning] };
  }

  /**
   * Nothing of ours moves the guest any more: our mark and the map's session go. With the mark on, the next migration would be
   * refused, and this one looked for.
   */
  async #giveBack(signal: AbortSignal): Promise<void> {
    try {
      await this.#context.assertCurrent();
      const options = { signal: signal.aborted ? AbortSignal.timeout(GIVE_BACK_MS) : signal };
      await clearMark(this.#ends.source, this.#request.vm.id, this.#request.migrationId, options);
    } catch (error) {
      // The task stays: to whoever finds the mark it alone tells that the migration is over.
      await this.#move?.cutOff();
      if (pluginErrorCode(error) === 'SUPERSEDED') throw error;
      this.#context.log.warn({ err: error }, 'the mark of the migration could not be taken off the VM');
      return;
    }
    await this.#closeMove();
  }

  async #closeMove(): Promise<void> {
    const move = this.#move;
    this.#move = undefined;
    await move?.close();
  }
}
