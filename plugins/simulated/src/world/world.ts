/**
 * Hosts with running VMs, all in memory: what the plugin acts upon. A world that a test or another process serves on a
 * socket survives an orchestrator that is killed.
 *
 * It never helps: like a real hypervisor it does what it is told, counts the running copies of every VM after each
 * change, and remembers every instant at which there were two.
 */
import { EventEmitter } from 'node:events';
import type { Presence, StorageSummary } from '@lmas/plugin-api';
import { Drills } from './drills.ts';
import { WorldError } from './errors.ts';
import { Faults } from './faults.ts';
import { Images } from './images.ts';
import { pause } from './pause.ts';
import { PreCopy, type PreCopyState } from './pre-copy.ts';
import { Relocations } from './relocations.ts';

export interface Guest {
  readonly id: string;
  readonly name: string;
  readonly memoryBytes: number;
  readonly vcpus: number;
  /** How fast it writes to its memory. */
  readonly dirtyRateBytesPerSec: number;
  readonly labels?: readonly string[];
  /** That it is connected to; `default` without it. */
  readonly networks?: readonly string[];
  /** Who else looks after it; nobody without it. */
  readonly managedBy?: string;
  /** What it uses, until a script says otherwise (`setUse`). */
  cpuCores: number;
  networkBytesPerSec: number;
}

export interface Shape {
  readonly cpus: number;
  readonly memoryBytes: number;
  /** Shown, and that is all: nothing that moves takes room there. */
  readonly storage?: readonly StorageSummary[];
}

export interface SimulatedVm extends Guest {
  presence: Presence;
  /** The whole memory has arrived: it could run. */
  complete: boolean;
  /** The relocation that has put its definition here, and for which nobody can start it yet. */
  heldBy?: string | undefined;
}

export interface MoveOptions {
  readonly destination: string;
  /** How long it takes, whatever the guest and the link are like; `null`: as they are. */
  readonly durationMs: number | null;
  readonly maxDowntimeMs: number;
  readonly autoConverge: boolean;
  readonly bandwidthBytesPerSec: number | null;
  readonly peerToPeer: boolean;
  readonly onProgress: (state: MoveState) => void;
  /** Aborts when the one who started it is gone: the end of a direct migration. */
  readonly controller: AbortSignal;
}

export interface MoveState extends PreCopyState {
  readonly bytesTotal: number;
  readonly rateBytesPerSec: number;
}

interface Move {
  readonly aborted: AbortController;
  bandwidthBytesPerSec: number | null;
  copy: PreCopy | undefined;
}

export interface Violation {
  readonly vmId: string;
  readonly what: string;
}

const GIB = 1 << 30;
export const DEFAULT_GUEST = {
  memoryBytes: GIB,
  vcpus: 2,
  dirtyRateBytesPerSec: 0,
  cpuCores: 0,
  networkBytesPerSec: 0,
};
const DEFAULT_SHAPE: Shape = { cpus: 64, memoryBytes: 1024 * GIB };
/** 1 Gbit/s. */
const DEFAULT_RATE_BYTES_PER_SEC = 125_000_000;
const TICKS = 10;
const TICK_MS = { min: 5, max: 500 };

export class World {
  readonly faults = new Faults();
  /** What drills have made, and the copies that run for them. */
  readonly drills = new Drills(this);
  /** What relocations of VMs that are off have made. */
  readonly relocations = new Relocations(this);
  /** Disks that are copied. */
  readonly images = new Images();
  /** Call (`<host>.<verb>`) → how long it takes. */
  readonly delaysMs = new Map<string, number>();
  readonly violations: Violation[] = [];
  /** Volume → migration that made it. */
  readonly volumes = new Map<string, string>();
  /** VMs of which a setting is changed: what moves them is in the clear. */
  readonly changedSettings = new Set<string>();
  /** How many migrations were begun per VM: never more than was asked for. */
  readonly performs = new Map<string, number>();
  /** Host → what its link carries for each migration, where that is not the usual 1 Gbit/s. */
  readonly rates = new Map<string, number>();
  /** Host → its size, where that is not the usual 64 processors and a tebibyte. */
  readonly shapes = new Map<string, Shape>();
  /** While it is cut, nothing moves and nothing fails. */
  isLinkCut = false;
  readonly #hosts = new Map<string, Map<string, SimulatedVm>>();
  readonly #moves = new Map<string, Move>();
  readonly #changes = new EventEmitter().setMaxListeners(0);

  /** Starts a VM on a host; the host is made if need be. */
  addVm(host: string, vm: Pick<Guest, 'id' | 'name'> & Partial<Guest>): void {
    this.#set(host, { ...DEFAULT_GUEST, complete: true, ...vm }, 'running');
  }

  /** A definition alone; one that is held has to be let go before it can be started. */
  define(host: string, vm: Pick<Guest, 'id' | 'name'> & Partial<Guest>, heldBy: string | undefined): void {
    this.#set(host, { ...DEFAULT_GUEST, complete: true, ...vm, heldBy }, 'stopped');
  }

  /** As somebody at its host does it. */
  powerOff(host: string, vmId: string): void {
    this.#set(host, this.#at(host, vmId), 'stopped');
  }

  /** Likewise. @throws WorldError while it is held */
  start(host: string, vmId: string): void {
    const vm = this.#at(host, vmId);
    if (vm.heldBy !== undefined) throw new WorldError('NOT_MIGRATABLE', `${vm.name} is held.`);
    this.#set(host, vm, 'running');
  }

  /** Whoever it was: it is gone. */
  removeVm(host: string, vmId: string): void {
    this.#remove(host, vmId);
  }

  addHost(host: string): void {
    this.#vms(host);
  }

  get hosts(): readonly string[] {
    return [...this.#hosts.keys()];
  }

  shape(host: string): Shape {
    return this.shapes.get(host) ?? DEFAULT_SHAPE;
  }

  /** What a VM uses from now on, wherever it is. */
  setUse(vmId: string, use: Partial<Pick<Guest, 'cpuCores' | 'networkBytesPerSec'>>): void {
    for (const vms of this.#hosts.values()) Object.assign(vms.get(vmId) ?? {}, use);
  }

  vms(host: string): SimulatedVm[] {
    return [...this.#vms(host).values()];
  }

  /** By id. */
  vm(host: string, vmId: string): SimulatedVm | undefined {
    return this.#vms(host).get(vmId);
  }

  presence(host: string, vmId: string): { presence: Presence; moving: boolean } {
    return { presence: this.vm(host, vmId)?.presence ?? 'absent', moving: this.#moves.has(vmId) };
  }

  /** Every host on which it runs. */
  running(vmId: string): string[] {
    return [...this.#hosts].filter(([, vms]) => vms.get(vmId)?.presence === 'running').map(([host]) => host);
  }

  /** How many VMs are on their way now. */
  get moving(): number {
    return this.#moves.size;
  }

  /**
   * The host waits for a guest. `controller` aborts when the one who directs the migration is gone: then nobody else could let the guest go,
   * and until it has arrived the host throws away what it has of it.
   */
  prepare(
    host: string,
    guest: Pick<Guest, 'id' | 'name'> & Partial<Guest>,
    migrationId: string,
    volume: string | null,
    { controller }: { readonly controller?: AbortSignal } = {},
  ): void {
    if (this.#moves.has(guest.id)) throw new WorldError('BUSY', `${guest.name} is being migrated.`);
    if (this.#vms(host).has(guest.id)) throw new WorldError('BUSY', `${host} knows ${guest.name} already.`);
    if (volume !== null) this.volumes.set(volume, migrationId);
    this.#set(host, { ...DEFAULT_GUEST, ...guest, complete: false }, 'incoming');
    const incoming = this.#at(host, guest.id);
    const drop = () => {
      const isSame = this.vm(host, guest.id) === incoming;
      if (isSame && incoming.presence === 'incoming' && !incoming.complete) this.#remove(host, guest.id);
    };
    if (controller?.aborted === true) drop();
    else controller?.addEventListener('abort', drop, { once: true });
  }

  /** Moves the memory. Direct: the source stands still at the end. Peer to peer: it goes through to the end. */
  async perform(host: string, vmId: string, options: MoveOptions): Promise<MoveState> {
    const source = this.#at(host, vmId);
    if (this.#moves.has(vmId)) throw new WorldError('BUSY', `${vmId} is being migrated.`);
    if (this.drills.backups.has(vmId)) throw new WorldError('BUSY', `A backup of ${vmId} is under way.`);
    this.performs.set(vmId, (this.performs.get(vmId) ?? 0) + 1);
    const { bandwidthBytesPerSec } = options;
    const move: Move = { aborted: new AbortController(), bandwidthBytesPerSec, copy: undefined };
    this.#moves.set(vmId, move);
    this.changed();
    const stop = options.peerToPeer ? move.aborted.signal : AbortSignal.any([move.aborted.signal, options.controller]);
    try {
      const state = await this.#send(host, source, move, options, stop);
      const incoming = this.vm(options.destination, vmId);
      if (incoming?.presence !== 'incoming') throw new WorldError('STREAM_FAILED', 'Nobody waits at the destination.');
      this.#set(host, source, 'paused');
      incoming.complete = true;
      if (options.peerToPeer) {
        this.#set(options.destination, incoming, 'running');
        this.#remove(host, vmId);
      }
      return state;
    } finally {
      this.#moves.delete(vmId);
      this.changed();
    }
  }

  async #send(
    host: string,
    guest: SimulatedVm,
    move: Move,
    options: MoveOptions,
    stop: AbortSignal,
  ): Promise<MoveState> {
    const { durationMs, destination } = options;
    const linkBytesPerSec = this.rateBetween(host, destination);
    const rate = () =>
      durationMs === null
        ? Math.min(linkBytesPerSec, move.bandwidthBytesPerSec ?? Number.POSITIVE_INFINITY)
        : (guest.memoryBytes * 1_000) / Math.max(1, durationMs);
    const copy = new PreCopy({ ...guest, ...options, ...(durationMs === null ? {} : { dirtyRateBytesPerSec: 0 }) });
    move.copy = copy;
    const state = (): MoveState => ({
      ...copy.state,
      bytesTotal: guest.memoryBytes,
      rateBytesPerSec: Math.round(rate()),
    });
    const tickMs = clamp(((guest.memoryBytes / rate()) * 1_000) / TICKS, TICK_MS);
    for (let last = performance.now(); !copy.isDone; ) {
      await pause(tickMs, stop);
      const now = performance.now();
      if (!this.isLinkCut) copy.advance(now - last, rate());
      last = now;
      options.onProgress(state());
    }
    return state();
  }

  rateBetween(...hosts: readonly string[]): number {
    const rates = hosts.flatMap((host) => this.rates.get(host) ?? []);
    return rates.length === 0 ? DEFAULT_RATE_BYTES_PER_SEC : Math.min(...rates);
  }

  /** `null` is unlimited. Of a VM that does not move, it is nothing to anybody. */
  setBandwidth(vmId: string, bandwidthBytesPerSec: number | null): void {
    const move = this.#moves.get(vmId);
    if (move !== undefined) move.bandwidthBytesPerSec = bandwidthBytesPerSec;
  }

  /** Of a VM that does not move, it is nothing to anybody. */
  steer(vmId: string, steering: { maxDowntimeMs: number; autoConverge: boolean }): void {
    this.#moves.get(vmId)?.copy?.steer(steering);
  }

  bandwidth(vmId: string): number | null | undefined {
    return this.#moves.get(vmId)?.bandwidthBytesPerSec;
  }

  abortJob(vmId: string): void {
    this.#moves.get(vmId)?.aborted.abort(new WorldError('ABORTED', 'The job was aborted.'));
  }

  /** At the destination: starts the guest that has arrived, or (cancelled) throws away what waits. */
  finish(host: string, vmId: string, cancelled: boolean): void {
    const vm = this.vm(host, vmId);
    if (cancelled) {
      if (vm === undefined) return;
      if (vm.presence === 'running') throw new WorldError('BUSY', 'It runs already.');
      this.#remove(host, vmId);
      return;
    }
    if (vm === undefined || !vm.complete) throw new WorldError('STREAM_FAILED', 'Its memory is not here.');
    this.#set(host, vm, 'running');
  }

  /** At the source: undefines its copy, or (cancelled) lets it run again. */
  confirm(host: string, vmId: string, cancelled: boolean): void {
    const vm = this.vm(host, vmId);
    if (cancelled) {
      if (vm?.presence === 'paused') this.#set(host, vm, 'running');
      return;
    }
    if (vm?.presence === 'running') throw new WorldError('BUSY', 'It runs.');
    this.#remove(host, vmId);
  }

  deleteVolume(volume: string, migrationId: string): void {
    if (this.volumes.get(volume) === migrationId) this.volumes.delete(volume);
  }

  changeSetting(vmId: string, isChanged: boolean): void {
    if (isChanged) this.changedSettings.add(vmId);
    else this.changedSettings.delete(vmId);
    this.changed();
  }

  /** Resolves once `condition` holds; looked at after every change. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise((resolve) => this.#changes.once('change', resolve));
  }

  /** Lets `until` look again. */
  changed(): void {
    this.#changes.emit('change');
  }

  #vms(host: string): Map<string, SimulatedVm> {
    const vms = this.#hosts.get(host) ?? new Map<string, SimulatedVm>();
    this.#hosts.set(host, vms);
    return vms;
  }

  #at(host: string, vmId: string): SimulatedVm {
    const vm = this.vm(host, vmId);
    if (vm === undefined) throw new WorldError('VM_NOT_FOUND', `There is no VM ${vmId}.`);
    return vm;
  }

  #set(host: string, vm: Omit<SimulatedVm, 'presence'>, presence: Presence): void {
    const existing = this.vm(host, vm.id);
    if (existing === undefined) this.#vms(host).set(vm.id, { ...vm, presence });
    else existing.presence = presence;
    this.#note(vm.id, host, presence);
  }

  #remove(host: string, vmId: string): void {
    if (this.#vms(host).delete(vmId)) this.#note(vmId, host, 'absent');
  }

  #note(vmId: string, host: string, presence: Presence): void {
    if (presence === 'running' && this.running(vmId).length > 1) {
      this.violations.push({ vmId, what: `two copies run after ${host} ${presence}` });
    }
    this.changed();
  }
}

const clamp = (value: number, { min, max }: { min: number; max: number }): number =>
  Math.max(min, Math.min(max, value));
