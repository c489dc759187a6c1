/**
 * A connection to one host, and what the orchestrator asks of it when no migration is under way.
 */
import type { EndpointSession, Inventory, VmSummary } from '@lmas/plugin-api';
import { z } from 'zod';
import type { Client } from './client.ts';

const vmSchema = z.object({
  id: z.string(),
  name: z.string(),
  presence: z.enum(['running', 'paused', 'incoming', 'stopped', 'absent']),
  memoryBytes: z.number(),
  vcpus: z.number(),
});
const inventorySchema = z.object({ cpus: z.number(), memoryBytes: z.number(), vms: z.array(vmSchema) });

export class TinySession implements EndpointSession {
  readonly client: Client;

  constructor(client: Client) {
    this.client = client;
  }

  get closed(): AbortSignal {
    return this.client.closed;
  }

  async inventory(): Promise<Inventory> {
    const { vms, cpus, memoryBytes } = inventorySchema.parse(await this.client.call('inventory', {}));
    const memoryFreeBytes = vms.reduce((free, vm) => free - vm.memoryBytes, memoryBytes);
    return {
      host: { name: this.client.host, version: 'tiny', cpus, memoryBytes, memoryFreeBytes },
      networks: ['default'],
      vms: vms.map(toSummary),
    };
  }

  async findVm(idOrName: string): Promise<VmSummary> {
    return toSummary(vmSchema.parse(await this.client.call('find', { idOrName })));
  }

  async close(): Promise<void> {
    this.client.close();
  }
}

function toSummary(vm: z.infer<typeof vmSchema>): VmSummary {
  return { ...vm, disks: [], networks: ['default'], managedBy: null };
}
