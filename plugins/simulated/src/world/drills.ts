/**
 * What drills leave at the hosts of a world: a backup of a VM that is held open at its source, a receiver and a volume at the
 * destination, and the copy that runs from it. Each bears the mark of its drill, and nobody else takes it away.
 *
 * As the world does, it never helps: it does what it is told, and remembers each copy that was connected to a network which is in
 * use, that bore the VM's own name or identifier, or that was one of two.
 */
import type { Presence } from '@lmas/plugin-api';
import { WorldError } from './errors.ts';
import { pause } from './pause.ts';

/** Nobody is on it but copies. */
export const ISOLATED_NETWORK = 'isolated';
/** Who looks after a copy: moved away, it would stay for ever. */
const OWNER = 'a drill of LMAS';

interface Vm {
  readonly id: string;
  readonly name: string;
  readonly memoryBytes?: number;
  readonly vcpus?: number;
  readonly managedBy?: string;
}

/** What drills need of the world that they are in. */
export interface Hosts {
  readonly hosts: readonly string[];
  readonly isLinkCut: boolean;
  readonly violations: { readonly vmId: string; readonly what: string }[];
  vms(host: string): readonly Vm[];
  vm(host: string, vmId: string): (Required<Omit<Vm, 'managedBy'>> & { readonly presence: Presence }) | undefined;
  presence(host: string, vmId: string): { readonly moving: boolean };
  rateBetween(...hosts: readonly string[]): number;
  addVm(host: string, vm: Vm): void;
  removeVm(host: string, vmId: string): void;
  changed(): void;
}

export interface DrilledCopy {
  readonly drill: string;
  readonly host: string;
  /** The VM that it is a copy of. */
  readonly of: string;
  readonly networks: readonly string[];
}

interface Volume {
  readonly drill: string;
  isWhole: boolean;
}

export interface CopyState {
  readonly percent: number;
  readonly bytesTotal: number;
  readonly bytesTransferred: number;
  readonly rateBytesPerSec: number;
}

export interface CopyOptions {
  readonly drill: string;
  readonly destination: string;
  readonly volume: string;
  /** How long it takes; `null`: as the link is. */
  readonly durationMs: number | null;
  readonly onProgress: (state: CopyState) => void;
  /** Aborts when the one who started it is gone. */
  readonly controller: AbortSignal;
}

const TICKS = 5;

export class Drills {
  /** VM → drill that holds a point in time of it open. */
  readonly backups = new Map<string, string>();
  /** `host/volume` → drill that listens there. */
  readonly receivers = new Map<string, string>();
  /** `host/volume`. */
  readonly volumes = new Map<string, Volume>();
  /** Copies that run, by their own identifier. */
  readonly copies = new Map<string, DrilledCopy>();
  /** How many copies were ever started. */
  started = 0;
  readonly #world: Hosts;
  readonly #copying = new Map<string, AbortController>();

  constructor(world: Hosts) {
    this.#world = world;
  }

  /** How much of drills there is, wherever it is. */
  get leftovers(): string[] {
    const names = [...this.backups.keys()].map((vm) => `backup of ${vm}`);
    const there = [...this.receivers.keys()].map((name) => `receiver ${name}`);
    return [...names, ...there, ...[...this.volumes.keys()].map((name) => `volume ${name}`), ...this.copies.keys()];
  }

  beginBackup(host: string, vmId: string, drill: string): void {
    const vm = this.#world.vm(host, vmId);
    if (vm === undefined) throw new WorldError('VM_NOT_FOUND', `There is no VM ${vmId}.`);
    if (vm.presence !== 'running') throw new WorldError('NOT_MIGRATABLE', `${vm.name} is ${vm.presence}.`);
    const other = this.backups.get(vmId);
    const isBusy = this.#world.presence(host, vmId).moving || (other !== undefined && other !== drill);
    if (isBusy) throw new WorldError('BUSY', `${vm.name} is being moved or copied.`);
    this.backups.set(vmId, drill);
    this.#world.changed();
  }

  endBackup(vmId: string, drill: string): void {
    if (this.backups.get(vmId) !== drill) return;
    this.#copying.get(drill)?.abort(new WorldError('ABORTED', 'The backup was ended.'));
    this.backups.delete(vmId);
    this.#world.changed();
  }

  receive(host: string, volume: string, drill: string): void {
    const name = `${host}/${volume}`;
    this.volumes.set(name, { drill, isWhole: false });
    this.receivers.set(name, drill);
    this.#world.changed();
  }

  stopReceiving(host: string, volume: string, drill: string): void {
    const name = `${host}/${volume}`;
    if (this.receivers.get(name) === drill) this.receivers.delete(name);
    this.#world.changed();
  }

  deleteVolume(host: string, volume: string, drill: string): void {
    const name = `${host}/${volume}`;
    if (this.volumes.get(name)?.drill === drill) this.volumes.delete(name);
    this.#world.changed();
  }

  /** Sends what the backup holds to whoever listens at the destination. */
  async copyDisks(host: string, vmId: string, options: CopyOptions): Promise<void> {
    const { drill, destination, volume, durationMs, onProgress } = options;
    const aborted = new AbortController();
    this.#copying.set(drill, aborted);
    this.#world.changed();
    const stop = AbortSignal.any([aborted.signal, options.controller]);
    const bytesTotal = this.#world.vm(host, vmId)?.memoryBytes ?? 0;
    const linkBytesPerSec = this.#world.rateBetween(host, destination);
    const totalMs = durationMs ?? (bytesTotal / linkBytesPerSec) * 1_000;
    try {
      for (let tick = 0; tick < TICKS; ) {
        if (this.backups.get(vmId) !== drill) throw new WorldError('STREAM_FAILED', 'There is no backup to be sent.');
        await pause(Math.max(1, totalMs / TICKS), stop);
        if (this.#world.isLinkCut) continue;
        tick += 1;
        const bytesTransferred = Math.round((bytesTotal * tick) / TICKS);
        onProgress({ percent: (100 * tick) / TICKS, bytesTotal, bytesTransferred, rateBytesPerSec: linkBytesPerSec });
      }
      const received = this.volumes.get(`${destination}/${volume}`);
      const isHeard = this.receivers.get(`${destination}/${volume}`) === drill;
      if (received === undefined || !isHeard) throw new WorldError('STREAM_FAILED', 'Nobody listens there.');
      received.isWhole = true;
    } finally {
      this.#copying.delete(drill);
      this.#world.changed();
    }
  }

  get isAnyCopying(): boolean {
    return this.#copying.size > 0;
  }

  abortCopy(drill: string): void {
    this.#copying.get(drill)?.abort(new WorldError('ABORTED', 'The copying was stopped.'));
  }

  /** @param of the VM that it is a copy of */
  startCopy(
    host: string,
    copy: Vm,
    { drill, of, volume, networks }: Omit<DrilledCopy, 'host'> & { readonly volume: string },
  ): void {
    const received = this.volumes.get(`${host}/${volume}`);
    if (received?.drill !== drill || !received.isWhole)
      throw new WorldError('STREAM_FAILED', 'Its disks are not here.');
    if (this.#world.vm(host, copy.id) !== undefined)
      throw new WorldError('BUSY', `${host} knows ${copy.name} already.`);
    this.#heed(copy, { drill, of, networks });
    this.copies.set(copy.id, { drill, host, of, networks });
    this.started += 1;
    this.#world.addVm(host, { ...copy, managedBy: OWNER });
  }

  removeCopy(host: string, copyId: string, drill: string): void {
    if (this.copies.get(copyId)?.drill !== drill) return;
    this.copies.delete(copyId);
    this.#world.removeVm(host, copyId);
  }

  #heed({ id, name }: Vm, { drill, of, networks }: Omit<DrilledCopy, 'host'>): void {
    const wrong: string[] = [];
    if (networks.some((network) => network !== ISOLATED_NETWORK)) wrong.push(`its copy is on ${networks.join(', ')}`);
    if (id === of) wrong.push('its copy has its identifier');
    const originals = [...this.#world.hosts].flatMap((host) => this.#world.vms(host)).filter((vm) => vm.id === of);
    if (originals.some((vm) => vm.name === name)) wrong.push('its copy has its name');
    if ([...this.copies.values()].some((other) => other.drill === drill)) wrong.push('two copies run for one drill');
    this.#world.violations.push(...wrong.map((what) => ({ vmId: of, what })));
  }
}
