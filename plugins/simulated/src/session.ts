/**
 * A session with one simulated host.
 */
import type { EndpointSession, Inventory, Load, RunIdentity, VmSummary } from '@lmas/plugin-api';
import { WorldConnection } from './client.ts';
import type { SimulatedConfig } from './config.ts';
import { ISOLATED_NETWORK } from './world/drills.ts';
import { connectLocally } from './world/local.ts';
import type { Shape, SimulatedVm } from './world/world.ts';

const placeOf = ({ socketPath, world }: SimulatedConfig): string => socketPath ?? `world ${world}`;

export class SimulatedSession implements EndpointSession {
  readonly connection: WorldConnection;

  private constructor(connection: WorldConnection) {
    this.connection = connection;
  }

  static async open(config: SimulatedConfig, run?: RunIdentity): Promise<SimulatedSession> {
    const { host, socketPath } = config;
    return new SimulatedSession(
      socketPath === undefined
        ? await WorldConnection.open(placeOf(config), host, connectLocally(config), run)
        : await WorldConnection.dial(socketPath, host, run),
    );
  }

  static unreachable(config: SimulatedConfig, reason: Error): SimulatedSession {
    return new SimulatedSession(WorldConnection.broken(placeOf(config), config.host, reason));
  }

  get closed(): AbortSignal {
    return this.connection.closed;
  }

  async inventory({ signal }: { signal: AbortSignal }): Promise<Inventory> {
    const answer = await this.connection.ask<Shape & { vms: SimulatedVm[] }>('inventory', {}, { signal });
    const { vms, cpus, memoryBytes: size, storage = [] } = answer;
    const taken = vms.filter(({ presence }) => presence !== 'stopped');
    const used = taken.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
    const name = this.connection.host;
    const numbers = { cpus, memoryBytes: size, memoryFreeBytes: Math.max(0, size - used) };
    return {
      host: { name, version: 'simulated', ...numbers },
      hosts: [{ name, cluster: null, state: 'connected', ...numbers }],
      storage,
      networks: ['default', ISOLATED_NETWORK],
      vms: vms.map(summary),
    };
  }

  /** A script knows what is used now; it is all the same however long one looks. */
  async load({ intervalMs, signal }: { intervalMs: number; signal: AbortSignal }): Promise<Load> {
    const { vms } = await this.connection.ask<{ vms: SimulatedVm[] }>('load', {}, { signal });
    return {
      intervalMs,
      host: { cpuCores: vms.reduce((sum, { cpuCores }) => sum + cpuCores, 0) },
      vms: vms.map(({ id, cpuCores, memoryBytes, networkBytesPerSec, dirtyRateBytesPerSec }) => ({
        ...{ id, cpuCores, memoryBytes, networkBytesPerSec, dirtyRateBytesPerSec },
      })),
    };
  }

  /** To its end, whoever gives up meanwhile: runs are tested with a host that cannot be hurried. */
  async findVm(idOrName: string): Promise<VmSummary> {
    return summary(await this.connection.call<SimulatedVm>('find', { idOrName }));
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}

const summary = ({ id, name, presence, memoryBytes, vcpus, labels, networks, managedBy }: SimulatedVm): VmSummary => ({
  id,
  name,
  presence,
  memoryBytes,
  vcpus,
  disks: [],
  networks: networks ?? ['default'],
  managedBy: managedBy ?? null,
  labels: labels ?? [],
});
