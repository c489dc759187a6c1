/**
 * The verbs of one relocation between two simulated hosts; the connections are the sessions'. Every VM has one disk, as large as its
 * memory, that only its host sees.
 */
import {
  blocker,
  type CheckReport,
  type ConfirmReport,
  type Finding,
  type MigrationContext,
  type MigrationProgress,
  PluginError,
  type PluginResource,
  type Prepared,
  type Presence,
  type RelocatedPresence,
  type RelocationDriver,
  type RelocationPlacement,
  type RelocationRequest,
  whereRelocated,
} from '@lmas/plugin-api';
import type { WorldConnection } from './client.ts';
import type { SimulatedOptions } from './config.ts';
import type { SendState } from './world/relocations.ts';
import type { SimulatedVm } from './world/world.ts';

/** Of documentation (RFC 5737): nobody is there, and nothing is sent. */
const ADDRESSES = { source: '192.0.2.1', destination: '192.0.2.2', port: 10_809 };

interface Ends {
  readonly source: WorldConnection;
  readonly destination: WorldConnection;
}

interface Seen {
  readonly presence: Presence;
  readonly isHeld: boolean;
}

export class SimulatedRelocation implements RelocationDriver {
  readonly #ends: Ends;
  readonly #request: RelocationRequest<SimulatedOptions>;
  readonly #context: MigrationContext;

  constructor(ends: Ends, request: RelocationRequest<SimulatedOptions>, context: MigrationContext) {
    this.#ends = ends;
    this.#request = request;
    this.#context = context;
  }

  get #ids() {
    const { vm, migrationId } = this.#request;
    return { vmId: vm.id, migrationId, volume: `disk of ${vm.id}` };
  }

  async check(): Promise<CheckReport> {
    const { source, destination } = this.#ends;
    const { vmId } = this.#ids;
    const { name, presence, memoryBytes } = await source.call<SimulatedVm>('find', { idOrName: vmId });
    const findings: Finding[] = [];
    if (presence !== 'stopped')
      findings.push(blocker('NOT_POWERED_OFF', `${name} is ${presence}.`, 'Move it as it runs, or shut it down.'));
    const there = await destination.call<Seen>('look', this.#ids);
    if (there.presence !== 'absent')
      findings.push(blocker('VM_EXISTS', `The destination knows ${name} already (${there.presence}).`, 'Remove it.'));
    return { findings, memoryBytes: 0, diskBytes: memoryBytes, dirtyRateBytesPerSec: 0 };
  }

  async prepare(): Promise<Prepared> {
    const { vmId, migrationId, volume } = this.#ids;
    await this.#intend({ kind: 'kept-off', id: vmId, end: 'source', lifetime: 'migration' });
    await this.#context.assertCurrent();
    await this.#ends.source.call('keep-off', { vmId, migrationId });
    await this.#intend({ kind: 'disk', id: volume, end: 'destination' });
    await this.#context.assertCurrent();
    await this.#ends.destination.call('receive-disk', { volume, migrationId });
    const { destination: host, port } = ADDRESSES;
    const flows = [{ id: 'disks', host, port, maxStreams: 4, priority: 'bulk' }] as const;
    return { flows, sourceAddresses: [ADDRESSES.source], state: null };
  }

  async #intend(resource: Omit<PluginResource, 'data'>): Promise<void> {
    await this.#context.recordIntent({ ...resource, data: {}, byHand: `Remove the ${resource.kind} ${resource.id}.` });
  }

  async copy(
    _prepared: Prepared,
    _routes: object,
    { signal, onProgress }: { signal: AbortSignal; onProgress: (progress: MigrationProgress) => void },
  ): Promise<void> {
    const { source, destination } = this.#ends;
    const { durationMs } = this.#request.options;
    await this.#context.assertCurrent();
    signal.throwIfAborted();
    // The call itself tells how the abort went.
    const stop = () => void source.call('abort-send', this.#ids).catch(() => undefined);
    signal.addEventListener('abort', stop, { once: true });
    try {
      const args = { ...this.#ids, durationMs, destination: destination.host };
      await source.call('send-disk', args, (state: SendState) => onProgress(toProgress(state)));
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  async place(): Promise<ConfirmReport> {
    const { source, destination } = this.#ends;
    const { vmId, migrationId, volume } = this.#ids;
    const here = await source.call<Seen>('look', this.#ids);
    if (here.presence !== 'absent') {
      const guest = await source.call<SimulatedVm>('find', { idOrName: vmId });
      await this.#intend({ kind: 'definition', id: vmId, end: 'destination' });
      await this.#context.assertCurrent();
      await destination.call('hold', { guest, volume, migrationId });
      await this.#context.assertCurrent();
      await source.call('forget', { vmId, migrationId });
    }
    const there = await destination.call<Seen>('look', this.#ids);
    if (there.presence === 'absent')
      throw new PluginError('OUTCOME_UNKNOWN', 'Neither end has a definition of the VM.', {
        remedy: 'Look for it at both hosts.',
      });
    if (there.isHeld) {
      await this.#context.assertCurrent();
      await destination.call('let-go', { vmId, migrationId });
    }
    return {
      ...{ downtimeMs: null, bytesTransferred: null, iterations: null },
      ...{ keptAtSource: [], sourceDefinition: null, warnings: [] },
    };
  }

  async locate(): Promise<RelocationPlacement> {
    const [source, destination] = await Promise.all([
      this.#look(this.#ends.source),
      this.#look(this.#ends.destination),
    ]);
    return { source, destination, where: whereRelocated(source, destination) };
  }

  /** An end that does not answer says nothing. */
  async #look(end: WorldConnection): Promise<RelocatedPresence> {
    try {
      const { presence, isHeld } = await end.call<Seen>('look', this.#ids);
      return isHeld ? 'held' : presence;
    } catch {
      return 'unreachable';
    }
  }

  async release({ kind, id }: PluginResource): Promise<void> {
    const { source, destination } = this.#ends;
    const { migrationId } = this.#request;
    await this.#context.assertCurrent();
    switch (kind) {
      case 'kept-off':
        return void (await source.call('let-be', { vmId: id, migrationId }));
      case 'disk':
        return void (await destination.call('delete-disk', { ...this.#ids, volume: id }));
      case 'definition':
        return await this.#dropHeld();
      default:
        throw new PluginError('HYPERVISOR_FAULT', `No relocation makes a ${kind}.`);
    }
  }

  async #dropHeld(): Promise<void> {
    const { source, destination } = this.#ends;
    const { isHeld } = await destination.call<Seen>('look', this.#ids);
    if (isHeld && (await source.call<Seen>('look', this.#ids)).presence === 'absent')
      throw new PluginError('BUSY', 'The source has no definition of the VM: the one that is held is the only one.');
    await destination.call('drop-held', this.#ids);
  }
}

const toProgress = ({ percent, bytesTotal, bytesTransferred, rateBytesPerSec }: SendState): MigrationProgress => ({
  ...{ stage: 'disks', percent, bytesTotal, bytesTransferred, rateBytesPerSec },
  bytesRemaining: bytesTotal - bytesTransferred,
  dirtyRateBytesPerSec: null,
  iteration: null,
});
