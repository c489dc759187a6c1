/**
 * What relocations do at the hosts of a world: a VM that is off is kept from starting with its host, its disk is sent, and its definition
 * is put at the destination, held, before the source forgets its own.
 *
 * As the world does, it never helps: it does what it is told, and remembers each moment at which two definitions of a VM could be
 * started, or at which there was none at all.
 */
import type { Presence } from '@lmas/plugin-api';
import { WorldError } from './errors.ts';
import { pause } from './pause.ts';

interface Vm {
  readonly id: string;
  readonly name: string;
  readonly memoryBytes: number;
  readonly vcpus: number;
}

interface Defined extends Vm {
  readonly presence: Presence;
  heldBy?: string | undefined;
}

/** What relocations need of the world that they are in. */
export interface RelocationHosts {
  readonly hosts: readonly string[];
  readonly isLinkCut: boolean;
  readonly violations: { readonly vmId: string; readonly what: string }[];
  vm(host: string, vmId: string): Defined | undefined;
  rateBetween(...hosts: readonly string[]): number;
  define(host: string, vm: Vm, heldBy: string): void;
  removeVm(host: string, vmId: string): void;
  changed(): void;
}

interface Disk {
  readonly relocation: string;
  isWhole: boolean;
}

export interface SendState {
  readonly percent: number;
  readonly bytesTotal: number;
  readonly bytesTransferred: number;
  readonly rateBytesPerSec: number;
}

export interface SendOptions {
  readonly relocation: string;
  readonly destination: string;
  readonly volume: string;
  /** How long it takes; `null`: as the link is. */
  readonly durationMs: number | null;
  readonly onProgress: (state: SendState) => void;
  /** Aborts when the one who started it is gone. */
  readonly controller: AbortSignal;
}

const TICKS = 5;

export class Relocations {
  /** VM → relocation for which it does not start with its host. */
  readonly keptOff = new Map<string, string>();
  /** `host/volume`: what was made for a disk at a destination. */
  readonly disks = new Map<string, Disk>();
  readonly #world: RelocationHosts;
  readonly #sending = new Map<string, AbortController>();

  constructor(world: RelocationHosts) {
    this.#world = world;
  }

  get isAnySending(): boolean {
    return this.#sending.size > 0;
  }

  keepOff(host: string, vmId: string, relocation: string): void {
    this.#resting(host, vmId);
    if ((this.keptOff.get(vmId) ?? relocation) !== relocation)
      throw new WorldError('BUSY', `${vmId} is being relocated.`);
    this.keptOff.set(vmId, relocation);
    this.#world.changed();
  }

  letBe(vmId: string, relocation: string): void {
    if (this.keptOff.get(vmId) === relocation) this.keptOff.delete(vmId);
    this.#world.changed();
  }

  receive(host: string, volume: string, relocation: string): void {
    this.disks.set(`${host}/${volume}`, { relocation, isWhole: false });
    this.#world.changed();
  }

  deleteDisk(host: string, vmId: string, volume: string, relocation: string): void {
    const name = `${host}/${volume}`;
    if (this.#world.vm(host, vmId) !== undefined) throw new WorldError('BUSY', `${host} has the VM of ${volume}.`);
    if (this.disks.get(name)?.relocation === relocation) this.disks.delete(name);
    this.#world.changed();
  }

  async send(host: string, vmId: string, options: SendOptions): Promise<void> {
    const { relocation, destination, volume, durationMs, onProgress } = options;
    const { memoryBytes: bytesTotal } = this.#resting(host, vmId);
    const aborted = new AbortController();
    this.#sending.set(relocation, aborted);
    this.#world.changed();
    const stop = AbortSignal.any([aborted.signal, options.controller]);
    const linkBytesPerSec = this.#world.rateBetween(host, destination);
    const totalMs = durationMs ?? (bytesTotal / linkBytesPerSec) * 1_000;
    try {
      for (let tick = 0; tick < TICKS; ) {
        await pause(Math.max(1, totalMs / TICKS), stop);
        if (this.#world.isLinkCut) continue;
        tick += 1;
        const bytesTransferred = Math.round((bytesTotal * tick) / TICKS);
        onProgress({ percent: (100 * tick) / TICKS, bytesTotal, bytesTransferred, rateBytesPerSec: linkBytesPerSec });
      }
      const disk = this.disks.get(`${destination}/${volume}`);
      if (disk?.relocation !== relocation) throw new WorldError('STREAM_FAILED', 'Nobody listens there.');
      disk.isWhole = true;
    } finally {
      this.#sending.delete(relocation);
      this.#world.changed();
    }
  }

  abortSend(relocation: string): void {
    this.#sending.get(relocation)?.abort(new WorldError('ABORTED', 'The copying was stopped.'));
  }

  hold(host: string, guest: Vm, volume: string, relocation: string): void {
    const disk = this.disks.get(`${host}/${volume}`);
    if (disk?.relocation !== relocation || !disk.isWhole)
      throw new WorldError('STREAM_FAILED', 'Its disk is not here.');
    const there = this.#world.vm(host, guest.id);
    if (there !== undefined && there.heldBy !== relocation)
      throw new WorldError('NOT_MIGRATABLE', `${host} knows ${guest.name} already.`);
    if (there === undefined) this.#world.define(host, guest, relocation);
    this.#heed(guest.id);
  }

  forget(host: string, vmId: string): void {
    if (this.#world.vm(host, vmId) === undefined) return;
    this.#resting(host, vmId);
    this.#world.removeVm(host, vmId);
    this.#heed(vmId);
  }

  letGo(host: string, vmId: string, relocation: string): void {
    const there = this.#world.vm(host, vmId);
    if (there === undefined) throw new WorldError('VM_NOT_FOUND', `There is no VM ${vmId}.`);
    if (there.heldBy === relocation) there.heldBy = undefined;
    this.#heed(vmId);
  }

  dropHeld(host: string, vmId: string, relocation: string): void {
    const there = this.#world.vm(host, vmId);
    if (there === undefined) return;
    if (there.heldBy !== relocation)
      throw new WorldError('BUSY', `${host} has ${there.name}, which this relocation does not hold.`);
    this.#world.removeVm(host, vmId);
    this.#heed(vmId);
  }

  #resting(host: string, vmId: string): Defined {
    const vm = this.#world.vm(host, vmId);
    if (vm === undefined) throw new WorldError('VM_NOT_FOUND', `There is no VM ${vmId}.`);
    if (vm.presence !== 'stopped') throw new WorldError('NOT_MIGRATABLE', `${vm.name} is ${vm.presence}.`);
    return vm;
  }

  #heed(vmId: string): void {
    const defined = this.#world.hosts.flatMap((host) => this.#world.vm(host, vmId) ?? []);
    const startable = defined.filter(({ heldBy }) => heldBy === undefined);
    if (startable.length > 1) this.#world.violations.push({ vmId, what: 'two definitions can be started' });
    if (defined.length === 0) this.#world.violations.push({ vmId, what: 'nobody has its definition' });
    this.#world.changed();
  }
}
