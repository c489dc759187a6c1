/**
 * A hypervisor plugin for a world in memory: the contract kept to the letter, with faults on command at the far end. For
 * tests of the workflow, and for people who try the API without hypervisors.
 */
import {
  type EndpointSession,
  type HypervisorPlugin,
  type Inventory,
  type MigrationContext,
  type MigrationDriver,
  type MigrationRequest,
  PluginError,
  type Presence,
  pluginErrorCode,
  type VmPlacement,
  type VmSummary,
  whereIs,
} from '@lmas/plugin-api';
import { z } from 'zod';
import { WorldConnection } from './client.ts';

const configSchema = z.strictObject({ socketPath: z.string(), host: z.enum(['source', 'destination']) });
const optionsSchema = z.strictObject({
  durationMs: z.int().min(0).default(50).describe('How long the memory takes to move.'),
  peerToPeer: z.boolean().default(false).describe('The migration goes on without the orchestrator.'),
  createVolume: z.boolean().default(false).describe('The destination lacks the disk: it is made, and rolled back.'),
});
type Config = z.output<typeof configSchema>;
type Options = z.output<typeof optionsSchema>;

interface WorldVm {
  readonly id: string;
  readonly name: string;
  readonly memoryBytes: number;
  readonly presence: Presence;
}

class SimulatedSession implements EndpointSession {
  readonly connection: WorldConnection;

  constructor(connection: WorldConnection) {
    this.connection = connection;
  }

  get closed(): AbortSignal {
    return this.connection.closed;
  }

  async inventory(): Promise<Inventory> {
    const { vms } = await this.connection.call<{ vms: WorldVm[] }>('inventory', {});
    return {
      host: { name: this.connection.host, version: '1', cpus: 8, memoryBytes: 64 << 20, memoryFreeBytes: 32 << 20 },
      networks: ['default'],
      vms: vms.map(summary),
    };
  }

  async findVm(idOrName: string): Promise<VmSummary> {
    return summary(await this.connection.call<WorldVm>('find', { idOrName }));
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}

const summary = ({ id, name, presence, memoryBytes }: WorldVm): VmSummary => ({
  id,
  name,
  presence,
  memoryBytes,
  vcpus: 1,
  disks: [],
  networks: ['default'],
  managedBy: null,
});

function driver(
  source: WorldConnection,
  destination: WorldConnection,
  { vm, migrationId, options }: MigrationRequest<Options>,
  context: MigrationContext,
): MigrationDriver {
  const vmId = vm.id;
  const volume = options.createVolume ? `volume-${vmId}` : null;
  let performed = false;

  const look = async (end: WorldConnection): Promise<{ presence: Presence; moving: boolean }> => {
    try {
      return await end.call('presence', { vmId });
    } catch {
      return { presence: 'unreachable', moving: false }; // an end that does not answer says nothing
    }
  };
  const locate = async (): Promise<VmPlacement> => {
    const [here, there] = await Promise.all([look(source), look(destination)]);
    return {
      source: here.presence,
      destination: there.presence,
      where: whereIs(here.presence, there.presence),
      moving: here.moving,
    };
  };

  return {
    locate,
    async check() {
      const there = await look(destination);
      const findings =
        there.presence === 'absent'
          ? []
          : [
              {
                severity: 'blocker' as const,
                code: 'VM_EXISTS',
                message: `The destination knows ${vm.name} already (${there.presence}).`,
                remedy: 'Remove it there.',
              },
            ];
      return { findings, memoryBytes: 1 << 30, diskBytes: 0 };
    },
    async prepare() {
      if (volume !== null) {
        await context.recordIntent({ kind: 'volume', id: volume, end: 'destination', data: {} });
      }
      await context.assertCurrent();
      await destination.call('prepare', { vm: { ...vm, memoryBytes: 1 << 30 }, migrationId, volume });
      return {
        flows: [{ id: 'memory', host: '192.0.2.2', port: 49_152, maxStreams: 8, priority: 'bulk' }],
        sourceAddresses: ['192.0.2.1'],
        state: { prepared: true },
      };
    },
    async perform(_prepared, _routes, { signal, onProgress }) {
      await context.assertCurrent();
      const stop = () => void source.call('abort-job', { vmId }).catch(() => undefined); // the perform call tells
      signal.throwIfAborted();
      signal.addEventListener('abort', stop, { once: true });
      try {
        const { durationMs, peerToPeer } = options;
        await source.call('perform', { vmId, migrationId, durationMs, peerToPeer }, (percent) =>
          onProgress({
            stage: 'memory',
            percent,
            bytesTotal: 1 << 30,
            bytesTransferred: Math.round((percent / 100) * (1 << 30)),
            bytesRemaining: Math.round((1 - percent / 100) * (1 << 30)),
            rateBytesPerSec: 1e8,
            dirtyRateBytesPerSec: 1e6,
            iteration: 1,
          }),
        );
        performed = true;
      } finally {
        signal.removeEventListener('abort', stop);
      }
    },
    async confirm() {
      let there = await look(destination);
      if (there.presence !== 'running') {
        if (!performed) throw new PluginError('OUTCOME_UNKNOWN', `The destination does not run it: ${there.presence}.`);
        await context.assertCurrent();
        await destination.call('finish', { vmId, cancelled: false });
        there = await look(destination);
        if (there.presence !== 'running') throw new PluginError('OUTCOME_UNKNOWN', 'It was not seen to run.');
      }
      await context.assertCurrent();
      await source.call('confirm', { vmId, cancelled: false }).catch((cause: unknown) => {
        throw new PluginError(pluginErrorCode(cause) ?? 'HYPERVISOR_FAULT', 'The source could not be tidied.', {
          cause,
          arrived: true,
        });
      });
      return {
        downtimeMs: 1,
        bytesTransferred: 1 << 30,
        iterations: 1,
        keptAtSource: [],
        sourceDefinition: '<vm/>',
        warnings: [],
      };
    },
    async abort({ performed: ours = true }) {
      const before = await locate();
      const isAnswered = before.source !== 'unreachable' && before.destination !== 'unreachable';
      if (!isAnswered || before.destination === 'running') return before;
      if (!ours && before.moving) return before; // somebody else's
      await context.assertCurrent();
      await source.call('abort-job', { vmId });
      await destination.call('finish', { vmId, cancelled: true });
      const there = await look(destination);
      // Only an answer on a live connection lets the source go on.
      if (there.presence === 'absent') {
        await context.assertCurrent();
        await source.call('confirm', { vmId, cancelled: true });
      }
      return await locate();
    },
    async follow({ signal }) {
      for (;;) {
        signal.throwIfAborted();
        const { presence, moving } = await look(source);
        if (presence === 'unreachable') throw new PluginError('CONNECTION_LOST', 'The source is away.');
        if (!moving) return;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    async release({ id }) {
      await context.assertCurrent();
      await destination.call('delete-volume', { volume: id, migrationId });
    },
    async setBandwidth() {},
  };
}

const plugin: HypervisorPlugin<Config, Options> = {
  name: 'simulated',
  apiVersion: 1,
  capabilities: {
    redirectedRoute: true,
    transparentRoute: false,
    copiesDisks: true,
    postCopy: false,
    survivesController: true,
  },
  configSchema,
  optionsSchema,
  async connect({ socketPath, host }) {
    return new SimulatedSession(await WorldConnection.open(socketPath, host));
  },
  unreachable: ({ host }, reason) => new SimulatedSession(WorldConnection.broken(host, reason)),
  migration({ source, destination }, request, context) {
    if (!(source instanceof SimulatedSession) || !(destination instanceof SimulatedSession)) {
      throw new PluginError('INVALID_CONFIG', 'These sessions are another plugin’s.');
    }
    return driver(source.connection, destination.connection, request, context);
  },
};

export default plugin;
