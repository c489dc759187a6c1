/**
 * The verbs of one drill between two simulated hosts. The VM at the source is looked at and backed up, nothing else; the
 * connections are the sessions'.
 */
import {
  blocker,
  type CheckReport,
  type DrillCopy,
  type DrillDriver,
  type DrillRequest,
  type Finding,
  type MigrationContext,
  type MigrationProgress,
  PluginError,
  type PluginResource,
  type Prepared,
  type Presence,
  warning,
} from '@lmas/plugin-api';
import { z } from 'zod';
import type { WorldConnection } from './client.ts';
import type { SimulatedOptions } from './config.ts';
import { type CopyState, ISOLATED_NETWORK } from './world/drills.ts';
import { uuidOf } from './world/ids.ts';
import type { SimulatedVm } from './world/world.ts';

/** Of documentation (RFC 5737): nobody is there, and nothing is sent. */
const ADDRESSES = { source: '192.0.2.1', destination: '192.0.2.2', port: 10_809 };
/** What every simulated VM is on. */
const NETWORK = 'default';

const stateSchema = z.object({ memoryBytes: z.number(), vcpus: z.number() });

interface Ends {
  readonly source: WorldConnection;
  readonly destination: WorldConnection;
}

export class SimulatedDrill implements DrillDriver {
  readonly #ends: Ends;
  readonly #request: DrillRequest<SimulatedOptions>;
  readonly #context: MigrationContext;

  constructor(ends: Ends, request: DrillRequest<SimulatedOptions>, context: MigrationContext) {
    this.#ends = ends;
    this.#request = request;
    this.#context = context;
  }

  get #names() {
    const { vm, migrationId } = this.#request;
    const copy = { id: uuidOf(`drill ${migrationId}`), name: `${vm.name}-drill-${migrationId.slice(2, 10)}` };
    return { vmId: vm.id, migrationId, volume: `${copy.name}-vda`, copy };
  }

  /** Isolated networks of the destination that the copy is connected to. */
  get #networks(): string[] {
    const network = this.#request.networkMap[NETWORK];
    return network === undefined ? [] : [network];
  }

  async check(): Promise<CheckReport> {
    const { vmId, copy } = this.#names;
    const vm = await this.#ends.source.call<SimulatedVm>('find', { idOrName: vmId });
    const { presence } = await this.#ends.destination.call<{ presence: Presence }>('presence', { vmId: copy.id });
    const findings: Finding[] = [];
    const { name } = this.#request.vm;
    if (vm.presence !== 'running')
      findings.push(blocker('NOT_RUNNING', `${name} is ${vm.presence}.`, 'Start it first.'));
    if (presence !== 'absent')
      findings.push(blocker('COPY_EXISTS', `${copy.name} is there already.`, 'Remove it at the destination.'));
    if (this.#networks.length === 0)
      findings.push(
        warning(
          'NIC_NOT_CONNECTED',
          `The copy of ${name} has no link: no isolated network is named for ${NETWORK}.`,
          'Name one.',
        ),
      );
    for (const network of this.#networks.filter((each) => each !== ISOLATED_NETWORK))
      findings.push(blocker('NETWORK_NOT_ISOLATED', `${network} is in use.`, `Name ${ISOLATED_NETWORK}.`));
    return { findings, memoryBytes: 0, diskBytes: vm.memoryBytes, dirtyRateBytesPerSec: 0 };
  }

  async prepare(): Promise<Prepared> {
    const { vmId, migrationId, volume } = this.#names;
    const { source, destination } = this.#ends;
    const { memoryBytes, vcpus } = await source.call<SimulatedVm>('find', { idOrName: vmId });
    await this.#intend({ kind: 'volume', id: volume, end: 'destination' });
    await this.#intend({ kind: 'receiver', id: volume, end: 'destination' });
    await this.#context.assertCurrent();
    await destination.call('receive', { volume, migrationId });
    await this.#intend({ kind: 'backup', id: vmId, end: 'source' });
    await this.#context.assertCurrent();
    await source.call('begin-backup', { vmId, migrationId });
    const { destination: host, port } = ADDRESSES;
    return {
      flows: [{ id: 'disks', host, port, maxStreams: 4, priority: 'bulk' }],
      sourceAddresses: [ADDRESSES.source],
      state: { memoryBytes, vcpus },
    };
  }

  async #intend(resource: Omit<PluginResource, 'data'>): Promise<void> {
    await this.#context.recordIntent({ ...resource, data: {}, byHand: `Remove the ${resource.kind} ${resource.id}.` });
  }

  async copy(
    _prepared: Prepared,
    _routes: object,
    { signal, onProgress }: { signal: AbortSignal; onProgress: (progress: MigrationProgress) => void },
  ): Promise<void> {
    const { vmId, migrationId, volume } = this.#names;
    const { source, destination } = this.#ends;
    const { durationMs } = this.#request.options;
    await this.#context.assertCurrent();
    signal.throwIfAborted();
    // The call itself tells how the abort went.
    const stop = () => void source.call('abort-copy', { vmId, migrationId }).catch(() => undefined);
    signal.addEventListener('abort', stop, { once: true });
    try {
      const args = { vmId, migrationId, volume, durationMs, destination: destination.host };
      await source.call('copy-disks', args, (state: CopyState) => onProgress(toProgress(state)));
    } finally {
      signal.removeEventListener('abort', stop);
    }
    await this.#context.assertCurrent();
    await destination.call('stop-receiving', { volume, migrationId });
  }

  async start(prepared: Prepared): Promise<DrillCopy> {
    const { vmId, migrationId, volume, copy } = this.#names;
    const { destination } = this.#ends;
    const networks = this.#networks;
    await this.#intend({ kind: 'copy', id: copy.id, end: 'destination' });
    await this.#context.assertCurrent();
    const guest = { ...copy, ...stateSchema.parse(prepared.state) };
    await destination.call('start-copy', { vmId, migrationId, volume, networks, copy: guest });
    if (!(await this.isRunning())) throw new PluginError('HYPERVISOR_FAULT', `${copy.name} was not seen to run.`);
    const disks = [{ name: 'vda', location: volume }];
    return { vm: copy, networks, disks, startedAt: new Date().toISOString() };
  }

  async isRunning(): Promise<boolean> {
    const { copy } = this.#names;
    const { presence } = await this.#ends.destination.call<{ presence: Presence }>('presence', { vmId: copy.id });
    return presence === 'running';
  }

  async release({ kind, id }: PluginResource): Promise<void> {
    const { migrationId } = this.#request;
    const { source, destination } = this.#ends;
    await this.#context.assertCurrent();
    switch (kind) {
      case 'copy':
        return void (await destination.call('remove-copy', { copyId: id, migrationId }));
      case 'receiver':
        return void (await destination.call('stop-receiving', { volume: id, migrationId }));
      case 'volume':
        return void (await destination.call('delete-copied-volume', { volume: id, migrationId }));
      case 'backup':
        return void (await source.call('end-backup', { vmId: id, migrationId }));
      default:
        throw new PluginError('HYPERVISOR_FAULT', `No drill makes a ${kind}.`);
    }
  }
}

const toProgress = ({ percent, bytesTotal, bytesTransferred, rateBytesPerSec }: CopyState): MigrationProgress => ({
  ...{ stage: 'disks', percent, bytesTotal, bytesTransferred, rateBytesPerSec },
  bytesRemaining: bytesTotal - bytesTransferred,
  dirtyRateBytesPerSec: null,
  iteration: null,
});
