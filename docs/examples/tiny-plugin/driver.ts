/**
 * The verbs of one migration:
 *
 *   source       running ──perform──▶ paused ──────────────confirm──▶ absent
 *   destination  absent ──prepare──▶ incoming ──finish──▶ running
 *
 * Invariant: the source is let run again only after the destination has answered, on a live connection, that it does not
 * run the VM and has thrown away what waited there.
 */
import {
  blocker,
  type CheckReport,
  type ConfirmReport,
  type MigrationContext,
  type MigrationDriver,
  type MigrationProgress,
  type MigrationRequest,
  PluginError,
  type Prepared,
  type Presence,
  pluginErrorCode,
  type Routes,
  type VmPlacement,
  whereIs,
} from '@lmas/plugin-api';
import { z } from 'zod';
import type { Client } from './client.ts';

const guestSchema = z.looseObject({ memoryBytes: z.number() });
const sightingSchema = z.object({
  presence: z.enum(['running', 'paused', 'incoming', 'stopped', 'absent']),
  moving: z.boolean(),
});
const moveSchema = z.object({
  percent: z.number(),
  bytesTotal: z.number(),
  bytesTransferred: z.number(),
  bytesRemaining: z.number(),
  rateBytesPerSec: z.number(),
  iteration: z.number(),
});
/** Where a simulated host listens and from where it connects: nobody is there (RFC 5737). */
const RECEIVER = { host: '192.0.2.2', port: 49_152 };
const SENDER = '192.0.2.1';
const DEFAULT_DOWNTIME_MS = 300;
const FOLLOW_INTERVAL_MS = 500;

export class TinyMigration implements MigrationDriver {
  readonly #source: Client;
  readonly #destination: Client;
  readonly #request: MigrationRequest;
  readonly #context: MigrationContext;
  /** Whether this very driver has brought the memory across: only then may it start the guest. */
  #performed = false;

  constructor(ends: { source: Client; destination: Client }, request: MigrationRequest, context: MigrationContext) {
    this.#source = ends.source;
    this.#destination = ends.destination;
    this.#request = request;
    this.#context = context;
  }

  async check(): Promise<CheckReport> {
    const { id, name } = this.#request.vm;
    const { memoryBytes } = guestSchema.parse(await this.#source.call('find', { idOrName: id }));
    const there = await this.#look(this.#destination);
    const taken = blocker(
      'VM_EXISTS',
      `The destination knows ${name} already (${there.presence}).`,
      'Remove it there.',
    );
    return { findings: there.presence === 'absent' ? [] : [taken], memoryBytes, diskBytes: 0 };
  }

  async prepare(): Promise<Prepared> {
    const { migrationId, vm } = this.#request;
    const guest = await this.#source.call('find', { idOrName: vm.id });
    await this.#context.assertCurrent();
    await this.#destination.call('prepare', { guest, migrationId, volume: null });
    return {
      flows: [{ id: 'memory', ...RECEIVER, maxStreams: 1, priority: 'bulk' }],
      sourceAddresses: [SENDER],
      state: null,
    };
  }

  async perform(
    _prepared: Prepared,
    _routes: Routes, // a hypervisor that sends something is told routes.memory as the destination's address
    options: {
      signal: AbortSignal;
      onProgress: (progress: MigrationProgress) => void;
      onPointOfNoReturn: () => Promise<void>;
    },
  ): Promise<void> {
    const { signal, onProgress, onPointOfNoReturn } = options;
    const vmId = this.#request.vm.id;
    await this.#context.assertCurrent();
    if (signal.aborted) throw new PluginError('ABORTED', 'It was stopped before it began.');
    // How the stop went is told by the end of `perform` itself; a run that was taken over stops nothing.
    const askToStop = async () => {
      await this.#context.assertCurrent();
      await this.#source.call('abort-job', { vmId });
    };
    const stop = (): void => void askToStop().catch(() => undefined);
    signal.addEventListener('abort', stop, { once: true });
    try {
      await this.#source.call('perform', { vmId, ...this.#wishes() }, (state) => onProgress(toProgress(state)));
    } finally {
      signal.removeEventListener('abort', stop);
    }
    await onPointOfNoReturn();
    this.#performed = true;
  }

  async confirm(): Promise<ConfirmReport> {
    const vmId = this.#request.vm.id;
    if ((await this.#look(this.#destination)).presence !== 'running') {
      if (!this.#performed) throw new PluginError('OUTCOME_UNKNOWN', 'The VM was not seen to run at the destination.');
      await this.#context.assertCurrent();
      await this.#destination.call('finish', { vmId, cancelled: false });
    }
    try {
      await this.#context.assertCurrent();
      await this.#source.call('confirm', { vmId, cancelled: false });
    } catch (cause) {
      const code = pluginErrorCode(cause) ?? 'HYPERVISOR_FAULT';
      throw new PluginError(code, 'The source could not be tidied.', { cause, arrived: true });
    }
    const unknown = { downtimeMs: null, bytesTransferred: null, iterations: null, sourceDefinition: null };
    return { ...unknown, keptAtSource: [], warnings: [] };
  }

  async abort({ performed = true }: { performed?: boolean } = {}): Promise<VmPlacement> {
    const vmId = this.#request.vm.id;
    const seen = await this.locate();
    const isSilent = seen.source === 'unreachable' || seen.destination === 'unreachable';
    const isSomebodyElses = seen.moving && !performed;
    if (isSilent || isSomebodyElses || seen.destination === 'running') return seen;
    await this.#context.assertCurrent();
    await this.#source.call('abort-job', { vmId });
    await this.#context.assertCurrent();
    await this.#destination.call('finish', { vmId, cancelled: true });
    if ((await this.#look(this.#destination)).presence === 'absent') {
      await this.#context.assertCurrent();
      await this.#source.call('confirm', { vmId, cancelled: true });
    }
    return this.locate();
  }

  async locate(): Promise<VmPlacement> {
    const [here, there] = await Promise.all([this.#look(this.#source), this.#look(this.#destination)]);
    const where = whereIs(here.presence, there.presence);
    return { source: here.presence, destination: there.presence, where, moving: here.moving };
  }

  async follow({ signal }: { signal: AbortSignal }): Promise<void> {
    while ((await this.#look(this.#source)).moving) {
      signal.throwIfAborted();
      await new Promise((resolve) => setTimeout(resolve, FOLLOW_INTERVAL_MS));
    }
  }

  async release(): Promise<void> {
    // Nothing is journalled: an incoming copy is no resource, `abort` throws it away.
  }

  async setBandwidth(bandwidthBytesPerSec: number | null): Promise<void> {
    await this.#context.assertCurrent();
    await this.#source.call('set-bandwidth', { vmId: this.#request.vm.id, bandwidthBytesPerSec });
  }

  /** An end that does not answer has said nothing. */
  async #look(end: Client): Promise<{ presence: Presence; moving: boolean }> {
    try {
      return sightingSchema.parse(await end.call('presence', { vmId: this.#request.vm.id }));
    } catch {
      return { presence: 'unreachable', moving: false };
    }
  }

  #wishes(): object {
    const { bandwidthBytesPerSec, convergence, maxDowntimeMs } = this.#request;
    return {
      destination: this.#destination.host,
      durationMs: null,
      peerToPeer: false,
      bandwidthBytesPerSec,
      maxDowntimeMs: maxDowntimeMs ?? DEFAULT_DOWNTIME_MS,
      autoConverge: convergence === 'must-finish' || convergence === 'fast-switchover',
    };
  }
}

function toProgress(state: unknown): MigrationProgress {
  return { stage: 'memory', ...moveSchema.parse(state), dirtyRateBytesPerSec: null };
}
