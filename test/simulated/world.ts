/**
 * A hypervisor pair, two gateway machines and one link, all in memory: what the simulated plugin and the simulated
 * gateways act upon. It lives in the test's own process, so it survives an orchestrator that is killed.
 *
 * It never helps: like a real hypervisor it does what it is told, counts the running copies of every VM after each
 * change, and remembers every instant at which there were two.
 */
import { EventEmitter } from 'node:events';
import type { Presence } from '@lmas/plugin-api';
import { Faults, WorldError } from './faults.ts';

export type HostName = 'source' | 'destination';

interface SimulatedVm {
  readonly id: string;
  readonly name: string;
  readonly memoryBytes: number;
  presence: Presence;
  /** The whole memory has arrived: it could run. */
  complete: boolean;
}

interface Move {
  readonly vmId: string;
  readonly migrationId: string;
  readonly peerToPeer: boolean;
  readonly aborted: AbortController;
}

export interface Violation {
  readonly vmId: string;
  readonly what: string;
}

export class World {
  readonly faults = new Faults();
  readonly violations: Violation[] = [];
  /** Every change of a VM's presence, in order. */
  readonly history: { vmId: string; host: HostName; presence: Presence; atMs: number }[] = [];
  readonly hosts: Record<HostName, Map<string, SimulatedVm>> = { source: new Map(), destination: new Map() };
  /** Volume → migration that made it. */
  readonly volumes = new Map<string, string>();
  /** `<site>/<owner>-<end>` of every gateway process there is. */
  readonly gateways = new Map<string, SimulatedGateway>();
  /** How many migrations were begun per VM: never more than was asked for. */
  readonly performs = new Map<string, number>();
  readonly #moves = new Map<string, Move>();
  readonly #changes = new EventEmitter().setMaxListeners(0);

  addVm(vm: { id: string; name: string; memoryBytes?: number }): void {
    this.#set('source', { memoryBytes: 1 << 30, complete: true, ...vm }, 'running');
  }

  presence(host: HostName, vmId: string): { presence: Presence; moving: boolean } {
    return { presence: this.hosts[host].get(vmId)?.presence ?? 'absent', moving: this.#moves.has(vmId) };
  }

  running(vmId: string): HostName[] {
    return (['source', 'destination'] as const).filter((host) => this.hosts[host].get(vmId)?.presence === 'running');
  }

  /** The destination waits for a guest. */
  prepare(vm: { id: string; name: string; memoryBytes: number }, migrationId: string, volume: string | null): void {
    if (this.#moves.has(vm.id)) throw new WorldError('BUSY', `${vm.name} is being migrated.`);
    if (this.hosts.destination.has(vm.id)) throw new WorldError('BUSY', `The destination knows ${vm.name} already.`);
    if (volume !== null) this.volumes.set(volume, migrationId);
    this.#set('destination', { ...vm, complete: false }, 'incoming');
  }

  /** Moves memory for `durationMs`; direct: the source stands still at the end. Peer to peer: it goes through to the end. */
  async perform(
    vmId: string,
    migrationId: string,
    options: {
      durationMs: number;
      peerToPeer: boolean;
      onProgress: (percent: number) => void;
      controller: AbortSignal;
    },
  ): Promise<void> {
    const source = this.#at('source', vmId);
    if (this.#moves.has(vmId)) throw new WorldError('BUSY', `${vmId} is being migrated.`);
    this.performs.set(vmId, (this.performs.get(vmId) ?? 0) + 1);
    const move: Move = { vmId, migrationId, peerToPeer: options.peerToPeer, aborted: new AbortController() };
    this.#moves.set(vmId, move);
    const stop = options.peerToPeer ? move.aborted.signal : AbortSignal.any([move.aborted.signal, options.controller]);
    try {
      const steps = 10;
      for (let step = 1; step <= steps; step++) {
        await pause(options.durationMs / steps, stop);
        options.onProgress((100 * step) / steps);
      }
      const incoming = this.hosts.destination.get(vmId);
      if (incoming?.presence !== 'incoming') throw new WorldError('STREAM_FAILED', 'Nobody waits at the destination.');
      this.#set('source', source, 'paused');
      incoming.complete = true;
      if (!options.peerToPeer) return;
      this.#set('destination', incoming, 'running');
      this.#remove('source', vmId);
    } finally {
      this.#moves.delete(vmId);
      this.#changes.emit('change');
    }
  }

  abortJob(vmId: string): void {
    this.#moves.get(vmId)?.aborted.abort(new WorldError('ABORTED', 'The job was aborted.'));
  }

  /** Starts the guest that has arrived, or (cancelled) throws away what waits. */
  finish(vmId: string, cancelled: boolean): void {
    const vm = this.hosts.destination.get(vmId);
    if (cancelled) {
      if (vm === undefined) return;
      if (vm.presence === 'running') throw new WorldError('BUSY', 'It runs already.');
      this.#remove('destination', vmId);
      return;
    }
    if (vm === undefined || !vm.complete) throw new WorldError('STREAM_FAILED', 'Its memory is not here.');
    this.#set('destination', vm, 'running');
  }

  /** Undefines the source's copy, or (cancelled) lets it run again. */
  confirm(vmId: string, cancelled: boolean): void {
    const vm = this.hosts.source.get(vmId);
    if (cancelled) {
      if (vm?.presence === 'paused') this.#set('source', vm, 'running');
      return;
    }
    if (vm?.presence === 'running') throw new WorldError('BUSY', 'It runs.');
    this.#remove('source', vmId);
  }

  /** As when it was told to end, or somebody killed it. */
  endGateway(name: string): void {
    this.gateways.delete(name);
    this.#changes.emit('change');
  }

  deleteVolume(volume: string, migrationId: string): void {
    if (this.volumes.get(volume) === migrationId) this.volumes.delete(volume);
  }

  /** Resolves once `condition` holds; looked at after every change. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise((resolve) => this.#changes.once('change', resolve));
  }

  #at(host: HostName, vmId: string): SimulatedVm {
    const vm = this.hosts[host].get(vmId);
    if (vm === undefined) throw new WorldError('VM_NOT_FOUND', `There is no VM ${vmId}.`);
    return vm;
  }

  #set(host: HostName, vm: Omit<SimulatedVm, 'presence'>, presence: Presence): void {
    const existing = this.hosts[host].get(vm.id);
    if (existing === undefined) this.hosts[host].set(vm.id, { ...vm, presence });
    else existing.presence = presence;
    this.#note(vm.id, host, presence);
  }

  #remove(host: HostName, vmId: string): void {
    if (this.hosts[host].delete(vmId)) this.#note(vmId, host, 'absent');
  }

  #note(vmId: string, host: HostName, presence: Presence): void {
    this.history.push({ vmId, host, presence, atMs: performance.now() });
    if (this.running(vmId).length > 1) this.violations.push({ vmId, what: `two copies run after ${host} ${presence}` });
    this.#changes.emit('change');
  }
}

export interface SimulatedGateway {
  token: number;
  configured: boolean;
  routes: Set<string>;
}

async function pause(ms: number, stop: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      stop.removeEventListener('abort', onStop);
      resolve();
    }
    function onStop(): void {
      clearTimeout(timer);
      reject(stop.reason);
    }
    if (stop.aborted) onStop();
    else stop.addEventListener('abort', onStop, { once: true });
  });
}
