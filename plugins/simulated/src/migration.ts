/**
 * The verbs of one migration between two simulated hosts: the contract kept to the letter, with whatever goes wrong at
 * the far end on command. The connections are the sessions'.
 */
import {
  blocker,
  type ConfirmReport,
  type ConvergencePolicy,
  type Finding,
  type MigrationContext,
  type MigrationDriver,
  type MigrationProgress,
  type MigrationRequest,
  PluginError,
  type Prepared,
  type Presence,
  pluginErrorCode,
  type TransparentFlow,
  type VmPlacement,
  whereIs,
} from '@lmas/plugin-api';
import type { WorldConnection } from './client.ts';
import type { SimulatedOptions } from './config.ts';
import { steeringOf } from './convergence.ts';
import type { Image } from './world/images.ts';
import type { MoveState, SimulatedVm } from './world/world.ts';

const FOLLOW_MS = 20;
/** Of documentation (RFC 5737): nobody is there, and nothing is sent. */
const ADDRESSES = { source: '192.0.2.1', destination: '192.0.2.2', port: 49_152 };

const IN_THE_CLEAR: TransparentFlow = {
  id: 'clear',
  pairs: [{ source: ADDRESSES.source, destination: ADDRESSES.destination }],
  ports: [ADDRESSES.port],
  ...{ maxStreams: 8, priority: 'bulk', barrier: true },
};

const SETTING = { kind: 'setting', end: 'source', data: {}, lifetime: 'migration', behindBarrier: true } as const;

interface Ends {
  readonly source: WorldConnection;
  readonly destination: WorldConnection;
}

const ownedBy = (owner: string, name: string): Finding =>
  blocker(
    'MANAGED_BY_OTHER',
    `${name} belongs to ${owner}, which would not know where it went.`,
    `Leave it to ${owner}.`,
  );

export class SimulatedMigration implements MigrationDriver {
  readonly #ends: Ends;
  readonly #request: MigrationRequest<SimulatedOptions>;
  readonly #context: MigrationContext;
  #bandwidthBytesPerSec: number | null;
  #performed: MoveState | undefined;

  constructor(ends: Ends, request: MigrationRequest<SimulatedOptions>, context: MigrationContext) {
    this.#ends = ends;
    this.#request = request;
    this.#context = context;
    this.#bandwidthBytesPerSec = request.bandwidthBytesPerSec;
  }

  get #vmId(): string {
    return this.#request.vm.id;
  }

  async check() {
    const vm = await this.#ends.source.call<SimulatedVm>('find', { idOrName: this.#vmId });
    const { memoryBytes, dirtyRateBytesPerSec, presence, managedBy } = vm;
    const there = await this.#look(this.#ends.destination);
    const taken = {
      severity: 'blocker' as const,
      code: 'VM_EXISTS',
      message: `The destination knows ${this.#request.vm.name} already (${there.presence}).`,
      remedy:
        there.presence === 'incoming' ? 'A migration is bringing it there: wait for its end.' : 'Remove it there.',
    };
    const off = blocker(
      'NOT_RUNNING',
      `${this.#request.vm.name} is powered off.`,
      'Start it first, or ask for it to be moved as it is: powerState `off`.',
    );
    const findings = [
      ...(presence === 'stopped' ? [off] : []),
      ...(there.presence === 'absent' ? [] : [taken]),
      ...(managedBy === undefined ? [] : [ownedBy(managedBy, this.#request.vm.name)]),
      ...(await this.#checkImage()),
    ];
    return { findings, memoryBytes, diskBytes: 0, dirtyRateBytesPerSec };
  }

  async prepare(): Promise<Prepared> {
    const { migrationId } = this.#request;
    const volume = this.#request.options.createVolume ? `volume-${this.#vmId}` : null;
    if (volume !== null) {
      await this.#context.recordIntent({ kind: 'volume', id: volume, end: 'destination', data: {} });
    }
    const guest = await this.#ends.source.call<SimulatedVm>('find', { idOrName: this.#vmId });
    await this.#context.assertCurrent();
    await this.#receiveImage();
    const { peerToPeer } = this.#request.options;
    await this.#ends.destination.call('prepare', { guest, migrationId, volume, peerToPeer });
    const { destination: host, port } = ADDRESSES;
    return {
      flows: [{ id: 'memory', host, port, maxStreams: 8, priority: 'bulk' }],
      ...(this.#request.options.changeSetting ? { transparentFlows: [IN_THE_CLEAR] } : {}),
      sourceAddresses: [ADDRESSES.source],
      state: { prepared: true },
      atSource: LEFT_AT_SOURCE,
    };
  }

  async perform(
    _prepared: Prepared,
    _routes: object,
    {
      signal,
      onProgress,
      onPointOfNoReturn,
    }: {
      signal: AbortSignal;
      onProgress: (progress: MigrationProgress) => void;
      onPointOfNoReturn: () => Promise<void>;
    },
  ): Promise<void> {
    const { source, destination } = this.#ends;
    const { durationMs, peerToPeer } = this.#request.options;
    await this.#changeSetting();
    await this.#context.assertCurrent();
    signal.throwIfAborted();
    // The perform call itself tells how the abort went.
    const stop = () => void source.call('abort-job', { vmId: this.#vmId }).catch(() => undefined);
    signal.addEventListener('abort', stop, { once: true });
    try {
      this.#performed = await source.call<MoveState>(
        'perform',
        {
          vmId: this.#vmId,
          destination: destination.host,
          durationMs,
          peerToPeer,
          ...steeringOf(this.#request, this.#request.options),
          bandwidthBytesPerSec: this.#bandwidthBytesPerSec,
        },
        (state: MoveState) => onProgress(toProgress(state)),
      );
    } finally {
      signal.removeEventListener('abort', stop);
    }
    // Direct: the source stands still, and nothing runs at the destination yet. Peer to peer: it is done already.
    await onPointOfNoReturn();
  }

  async confirm(): Promise<ConfirmReport> {
    const { source, destination } = this.#ends;
    let there = await this.#look(destination);
    if (there.presence !== 'running') {
      if (this.#performed === undefined) {
        throw new PluginError('OUTCOME_UNKNOWN', `The destination does not run it: ${there.presence}.`);
      }
      await this.#context.assertCurrent();
      await destination.call('finish', { vmId: this.#vmId, cancelled: false });
      there = await this.#look(destination);
      if (there.presence !== 'running') throw new PluginError('OUTCOME_UNKNOWN', 'It was not seen to run.');
    }
    await this.#context.assertCurrent();
    await source.call('confirm', { vmId: this.#vmId, cancelled: false }).catch((cause: unknown) => {
      const code = pluginErrorCode(cause) ?? 'HYPERVISOR_FAULT';
      throw new PluginError(code, 'The source could not be tidied.', { cause, arrived: true });
    });
    const image = this.#image;
    if (image !== null) await source.call('keep-image', { path: image });
    return {
      downtimeMs: this.#performed === undefined ? null : 1,
      bytesTransferred: this.#performed?.bytesTransferred ?? null,
      iterations: this.#performed?.iteration ?? null,
      ...LEFT_AT_SOURCE,
      keptAtSource: image === null ? [] : [{ kind: 'disk', id: image }],
      warnings: [],
    };
  }

  async abort({
    performed = true,
    pastNoReturn = true,
    late = false,
  }: Partial<Parameters<MigrationDriver['abort']>[0]> = {}): Promise<VmPlacement> {
    const { source, destination } = this.#ends;
    const before = await this.locate();
    const isAlone = before.destination === 'unreachable';
    if (before.source === 'unreachable' || (isAlone && pastNoReturn) || before.destination === 'running') return before;
    if ((late || !performed) && before.moving) return before; // somebody else's
    await this.#context.assertCurrent();
    await source.call('abort-job', { vmId: this.#vmId });
    if (isAlone) return await this.#lookAlone();
    await destination.call('finish', { vmId: this.#vmId, cancelled: true });
    const there = await this.#look(destination);
    // Only an answer on a live connection lets the source go on.
    if (there.presence === 'absent') {
      await this.#context.assertCurrent();
      await source.call('confirm', { vmId: this.#vmId, cancelled: true });
    }
    return await this.locate();
  }

  /** Direct, nobody but us lets the guest go at the destination; peer to peer, the source may have. */
  async #lookAlone(): Promise<VmPlacement> {
    const seen = await this.locate();
    const isHere = seen.source === 'running' && seen.destination === 'unreachable' && !seen.moving;
    return isHere && !this.#request.options.peerToPeer ? { ...seen, where: 'source' } : seen;
  }

  async locate(): Promise<VmPlacement> {
    const [here, there] = await Promise.all([this.#look(this.#ends.source), this.#look(this.#ends.destination)]);
    return {
      source: here.presence,
      destination: there.presence,
      where: whereIs(here.presence, there.presence),
      moving: here.moving,
    };
  }

  async follow({ signal }: { signal: AbortSignal }): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      const { presence, moving } = await this.#look(this.#ends.source);
      if (presence === 'unreachable') throw new PluginError('CONNECTION_LOST', 'The source is away.');
      if (!moving) return;
      await new Promise((resolve) => setTimeout(resolve, FOLLOW_MS));
    }
  }

  /** For the time of the move alone. */
  async #changeSetting(): Promise<void> {
    if (!this.#request.options.changeSetting) return;
    const id = this.#vmId;
    const byHand = `Put the setting of ${this.#request.vm.name} back.`;
    await this.#context.recordIntent({ ...SETTING, id, byHand });
    await this.#context.assertCurrent();
    await this.#ends.source.call('change-setting', { vmId: id });
  }

  /** Where its disk is, at either end; null: it has none of its own. */
  get #image(): string | null {
    return this.#request.options.copyDisk ? `/images/${this.#vmId}.img` : null;
  }

  async #checkImage(): Promise<Finding[]> {
    const path = this.#image;
    if (path === null) return [];
    const there = await this.#ends.destination.call<Image | null>('look-image', { path });
    if (there === null) return [];
    if (!(this.#request.mayReplace ?? []).includes(path)) {
      const message = `The destination has something at ${path} already.`;
      return [blocker('DESTINATION_DISK_EXISTS', message, 'Remove it there, or name it in mayReplace.')];
    }
    if (there.usedBy === null || there.usedBy === this.#vmId) return [];
    return [blocker('DESTINATION_DISK_IN_USE', `${path} is the disk of another VM.`, 'Take it from that VM.')];
  }

  /** A rollback takes away what was not there before. */
  async #receiveImage(): Promise<void> {
    const path = this.#image;
    if (path === null) return;
    const { destination } = this.#ends;
    const former = await destination.call<Image | null>('look-image', { path });
    if (former === null) await this.#context.recordIntent({ kind: 'image', id: path, end: 'destination', data: {} });
    await this.#context.assertCurrent();
    await destination.call('receive-image', { path, vmId: this.#vmId });
  }

  async release({ kind, id }: { readonly kind: string; readonly id: string }): Promise<void> {
    await this.#context.assertCurrent();
    if (kind === SETTING.kind) return void (await this.#ends.source.call('restore-setting', { vmId: id }));
    if (kind === 'image') return void (await this.#ends.destination.call('delete-image', { path: id }));
    await this.#ends.destination.call('delete-volume', { volume: id, migrationId: this.#request.migrationId });
  }

  async setConvergence(policy: ConvergencePolicy): Promise<readonly string[]> {
    await this.#context.assertCurrent();
    await this.#ends.source.call('steer', { vmId: this.#vmId, ...steeringOf(policy, this.#request.options) });
    return [];
  }

  async setBandwidth(bandwidthBytesPerSec: number | null): Promise<void> {
    this.#bandwidthBytesPerSec = bandwidthBytesPerSec;
    await this.#context.assertCurrent();
    await this.#ends.source.call('set-bandwidth', { vmId: this.#vmId, bandwidthBytesPerSec });
  }

  /** An end that does not answer says nothing. */
  async #look(end: WorldConnection): Promise<{ presence: Presence; moving: boolean }> {
    try {
      return await end.call('presence', { vmId: this.#vmId });
    } catch {
      return { presence: 'unreachable', moving: false };
    }
  }
}

const LEFT_AT_SOURCE = { keptAtSource: [], sourceDefinition: '<vm/>' };

const toProgress = (state: MoveState): MigrationProgress => ({
  stage: 'memory',
  percent: state.percent,
  bytesTotal: state.bytesTotal,
  bytesTransferred: state.bytesTransferred,
  bytesRemaining: state.bytesRemaining,
  rateBytesPerSec: state.rateBytesPerSec,
  dirtyRateBytesPerSec: state.iteration === 1 ? null : state.dirtyRateBytesPerSec, // measured from pass to pass
  iteration: state.iteration,
});
