/**
 * The verbs of one migration. XAPI drives it: one call moves the guest, and XAPI decides at the source when it stops and at
 * the destination when it starts. What is decided here is what to make of its end. A migration that XAPI reports as failed
 * may have brought the guest to the destination all the same, so after every end, good or bad, both pools are asked.
 *
 * Invariants: nothing here starts, stops or destroys a guest. Only a migration that bears our mark is cancelled. The map of
 * `host.migrate_receive` never leaves this process, and its session is ended with it. One verb at a time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type CheckReport,
  type ConfirmReport,
  type Flow,
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
import { isFault, toPluginError } from '../errors.ts';
import { addressesOf } from '../pool.ts';
import { bearsMark, clearMark, markResource, setMark } from './marker.ts';
import { Move } from './move.ts';
import { look, lookAtBoth, migrationTaskOf, placementOf, runsAt } from './placement.ts';
import { type Ends, isThereAlready, makePlan, type Plan, twinOf } from './plan.ts';
import { progressReporter } from './progress.ts';
import { FLOW, HTTP_PORT, HTTPS_PORT } from './receive-map.ts';
import { parseState, type XenState } from './state.ts';
import { cancelTask, followTask } from './task.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** xapi opens a few connections for each disk, and xenopsd three for the guest; retries come on top. */
const MAX_STREAMS = 64;
/** How long the records may lag behind the end of the task, and a cancelled task behind the cancel. */
const SETTLE_MS = 40_000;
const LOOK_MS = 500;
const GIVE_BACK_MS = 10_000;

/** Times that tests shorten. */
export interface DriverTimes {
  readonly settleMs?: number;
}

export class XenMigration implements MigrationDriver {
  readonly #ends: Ends;
  readonly #request: MigrationRequest<XenOptions>;
  readonly #context: MigrationContext;
  readonly #settleMs: number;
  #plan: Plan | undefined;
  /** From `perform` until it is known that nothing moves any more. */
  #move: Move | undefined;

  constructor(ends: Ends, request: MigrationRequest<XenOptions>, context: MigrationContext, times: DriverTimes = {}) {
    this.#ends = ends;
    this.#request = request;
    this.#context = context;
    this.#settleMs = times.settleMs ?? SETTLE_MS;
  }

  async check({ signal }: Options): Promise<CheckReport> {
    try {
      return await checkMigration(this.#ends, this.#request, { signal });
    } catch (error) {
      throw toPluginError(error, 'checking the migration');
    }
  }

  /** Decides where to, and changes nothing: XAPI makes what the destination needs in the one call that moves the guest. */
  async prepare({ signal }: Options): Promise<Prepared> {
    try {
      await this.#context.assertCurrent();
      const plan = await makePlan(this.#ends, this.#request, { signal });
      assertToBeHad(this.#ends, plan);
      const { host, network, address, vm } = plan;
      const gap = plan.gaps[0];
      if (gap !== undefined || host === undefined || network === undefined || address === undefined) {
        throw new PluginError('INCOMPATIBLE', gap?.message ?? 'The destination cannot receive this VM.', {
          remedy: gap?.remedy ?? 'Check the migration to see why.',
        });
      }
      this.#plan = plan;
      const state: XenState = {
        ...{ hostUuid: host.record.uuid, hostName: host.record.name_label, network, address },
        definition: JSON.stringify(vm.record),
      };
      return { flows: this.#flows(plan, address), sourceAddresses: senders(plan), state };
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
    const { id } = this.#request.vm;
    const move = new Move(this.#ends, this.#request, plan, state, options.onProgress);
    this.#move = move;
    try {
      await move.open(routes, { signal });
      await this.#context.recordIntent(markResource(id, this.#request.migrationId));
      await this.#context.assertCurrent();
      await setMark(this.#ends.source, id, this.#request.migrationId, { signal });
      await this.#context.assertCurrent();
      await move.run({ signal });
    } catch (error) {
      if (!(await this.#hasArrived(error))) {
        if (!move.isUnderWay) await this.#giveBack(signal);
        throw toPluginError(error, 'migrating');
      }
      this.#context.log.warn({ err: error }, 'the source reports a failure, but the guest runs at the destination');
    }
    await this.#closeMove();
    await options.onPointOfNoReturn();
  }

  async confirm(prepared: Prepared, { signal }: Options): Promise<ConfirmReport> {
    const { id } = this.#request.vm;
    try {
      const warnings = await this.#seeArrival(signal);
      await this.#closeMove();
      await this.#context.assertCurrent();
      await clearMark(this.#ends.destination, id, this.#request.migrationId, { signal });
      return {
        downtimeMs: null, // XAPI does not tell
        bytesTransferred: null,
        iterations: null,
        keptAtSource: [], // XAPI removes the disks it has moved
        sourceDefinition: parseState(prepared.state)?.definition ?? null,
        warnings,
      };
    } catch (error) {
      throw toPluginError(error, 'confirming the migration');
    }
  }

  async abort({ signal }: Options): Promise<VmPlacement> {
    const { id } = this.#request.vm;
    const started = performance.now();
    for (;;) {
      const seen = await lookAtBoth(this.#ends, id, { signal });
      const { record } = seen.source;
      const task = record === undefined ? undefined : migrationTaskOf(record);
      const ours = record !== undefined && task !== undefined && bearsMark(record, this.#request.migrationId);
      const late = performance.now() - started > this.#settleMs || signal.aborted;
      if (!ours || late) return this.#settled(placementOf(seen), signal);
      await this.#context.assertCurrent();
      await cancelTask(this.#ends.source.client, task, { signal });
      await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async locate({ signal }: Options): Promise<VmPlacement> {
    return placementOf(await lookAtBoth(this.#ends, this.#request.vm.id, { signal }));
  }

  async follow({
    signal,
    onProgress,
  }: {
    signal: AbortSignal;
    onProgress: (progress: MigrationProgress) => void;
  }): Promise<void> {
    const { record } = await look(this.#ends.source, this.#request.vm.id, { signal });
    const task = record === undefined ? undefined : migrationTaskOf(record);
    if (record === undefined || task === undefined) return;
    const report = progressReporter(record.memory_dynamic_max, 0, onProgress);
    try {
      await followTask(this.#ends.source.client, task, { signal, onProgress: report });
    } catch (error) {
      // How it ended is asked of the pools; only not to have seen its end is an error.
      if (!isFault(error)) throw toPluginError(error, 'following the migration');
    }
  }

  async release(resource: PluginResource, { signal }: Options): Promise<void> {
    if (resource.kind !== 'mark') throw new PluginError('INVALID_CONFIG', `Unknown resource kind ${resource.kind}.`);
    try {
      await this.#context.assertCurrent();
      await clearMark(this.#ends[resource.end], resource.id, this.#request.migrationId, { signal });
    } catch (error) {
      throw toPluginError(error, `releasing ${resource.id}`);
    }
  }

  /** XAPI has no limit of its own; the gateways have one. */
  async setBandwidth(bandwidthBytesPerSec: number | null): Promise<void> {
    if (bandwidthBytesPerSec === null || this.#request.tunnelled) return;
    throw new PluginError('NOT_MIGRATABLE', 'XAPI cannot limit the bandwidth of a migration.', {
      remedy: 'Use the tunnel, which can.',
    });
  }

  #flows(plan: Plan, address: string): readonly Flow[] {
    const common = { maxStreams: MAX_STREAMS, priority: 'bulk', addressGroup: 'host' } as const;
    const flows: Flow[] = [
      { id: FLOW.hostTls, host: address, port: HTTPS_PORT, ...common },
      { id: FLOW.hostPlain, host: address, port: HTTP_PORT, ...common },
    ];
    const coordinator = plan.destinationPool.hosts.get(plan.destinationPool.pool.master)?.address;
    if (!this.#request.options.relayCoordinator || coordinator === undefined || coordinator === address) return flows;
    const small = { maxStreams: MAX_STREAMS, priority: 'interactive', addressGroup: 'coordinator' } as const;
    flows.push({ id: FLOW.coordinatorTls, host: coordinator, port: HTTPS_PORT, ...small });
    flows.push({ id: FLOW.coordinatorPlain, host: coordinator, port: HTTP_PORT, ...small });
    return flows;
  }

  /** After any end but a cancel before the call: the guest may have made it although somebody reports otherwise. */
  async #hasArrived(error: unknown): Promise<boolean> {
    if (pluginErrorCode(error) === 'SUPERSEDED' || pluginErrorCode(error) === 'BUSY') return false;
    const options = { signal: AbortSignal.timeout(this.#settleMs) };
    const seen = await lookAtBoth(this.#ends, this.#request.vm.id, options);
    return placementOf(seen).where === 'destination' && runsAt(seen.destination);
  }

  /** Both pools have to say so. The source may lag behind its own task for a moment. */
  async #seeArrival(signal: AbortSignal): Promise<string[]> {
    const { id, name } = this.#request.vm;
    const started = performance.now();
    for (;;) {
      const seen = await lookAtBoth(this.#ends, id, { signal });
      const { where, source, destination, moving } = placementOf(seen);
      if (!moving && where === 'destination' && runsAt(seen.destination)) {
        if (source === 'absent') return [];
        return [
          `The source pool still has a record of ${name} (${source}). It must not be started there; remove it by hand.`,
        ];
      }
      if (performance.now() - started > this.#settleMs || signal.aborted) {
        throw new PluginError('OUTCOME_UNKNOWN', `The source says "${source}", the destination "${destination}".`, {
          remedy: `Look for ${id} in both pools (xe vm-list uuid=${id}). Start it in one of them only when it runs in neither.`,
        });
      }
      await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #settled(placement: VmPlacement, signal: AbortSignal): Promise<VmPlacement> {
    if (placement.where === 'source' && !placement.moving) await this.#giveBack(signal);
    return placement;
  }

  /**
   * Nothing of ours moves the guest any more: our mark and the map's session go. With the mark on, `abort` would take a
   * migration that somebody else begins for ours.
   */
  async #giveBack(signal: AbortSignal): Promise<void> {
    await this.#closeMove();
    try {
      await this.#context.assertCurrent();
      const options = { signal: signal.aborted ? AbortSignal.timeout(GIVE_BACK_MS) : signal };
      await clearMark(this.#ends.source, this.#request.vm.id, this.#request.migrationId, options);
    } catch (error) {
      if (pluginErrorCode(error) === 'SUPERSEDED') throw error;
      this.#context.log.warn({ err: error }, 'the mark of the migration could not be taken off the VM');
    }
  }

  async #closeMove(): Promise<void> {
    const move = this.#move;
    this.#move = undefined;
    await move?.close();
  }
}

/** What the contract calls not to be had: nothing of such a VM is touched at either end. */
function assertToBeHad(ends: Ends, plan: Plan): void {
  const { record } = plan.vm;
  const [operation] = Object.values(record.current_operations);
  if (operation !== undefined) {
    throw new PluginError(
      'BUSY',
      `The source pool is at ${operation} of ${record.name_label} already, for somebody else.`,
    );
  }
  if (record.power_state !== 'Running') {
    throw new PluginError('NOT_MIGRATABLE', `${record.name_label} is ${record.power_state}.`);
  }
  if (plan.host !== undefined && isThereAlready(ends, plan)) {
    throw new PluginError('NOT_MIGRATABLE', `${record.name_label} runs on a host of the destination already.`);
  }
  const twin = twinOf(plan);
  if (twin !== undefined) {
    throw new PluginError('NOT_MIGRATABLE', `The destination pool knows ${twin.uuid} already (${twin.power_state}).`);
  }
}

/** The hosts that open connections: the one that runs the guest, and the coordinator that works for it. */
function senders({ sourcePool, vm }: Plan): readonly string[] {
  const hosts = [vm.record.resident_on, sourcePool.pool.master].flatMap((ref) => sourcePool.hosts.get(ref) ?? []);
  return [...new Set(hosts.flatMap((host) => addressesOf(sourcePool, host)))];
}
