/**
 * A session with one simulated host.
 */
import type { EndpointSession, Inventory, RunIdentity, VmSummary } from '@lmas/plugin-api';
import { WorldConnection } from './client.ts';
import type { SimulatedConfig } from './config.ts';
import { connectLocally } from './world/local.ts';
import type { SimulatedVm } from './world/world.ts';

const placeOf = ({ socketPath, world }: SimulatedConfig): string => socketPath ?? `world ${world}`;

const HOST_CPUS = 64;
const HOST_MEMORY_BYTES = 2 ** 40;

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

  async inventory(): Promise<Inventory> {
    const { vms } = await this.connection.call<{ vms: SimulatedVm[] }>('inventory', {});
    const used = vms.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
    return {
      host: {
        name: this.connection.host,
        version: '1',
        cpus: HOST_CPUS,
        memoryBytes: HOST_MEMORY_BYTES,
        memoryFreeBytes: Math.max(0, HOST_MEMORY_BYTES - used),
      },
      networks: ['default'],
      vms: vms.map(summary),
    };
  }

  async findVm(idOrName: string): Promise<VmSummary> {
    return summary(await this.connection.call<SimulatedVm>('find', { idOrName }));
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}

const summary = ({ id, name, presence, memoryBytes, vcpus }: SimulatedVm): VmSummary => ({
  id,
  name,
  presence,
  memoryBytes,
  vcpus,
  disks: [],
  networks: ['default'],
  managedBy: null,
});
