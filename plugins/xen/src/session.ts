/**
 * A session to one pool: what the orchestrator asks of an endpoint. Owns the login.
 */
import {
  type EndpointSession,
  type Inventory,
  type Load,
  PluginError,
  type Presence,
  type VerificationStep,
  type VmSummary,
} from '@lmas/plugin-api';
import { XapiClient } from './client.ts';
import type { XenConfig } from './config.ts';
import { isFault, toPluginError } from './errors.ts';
import { measureLoad } from './load.ts';
import { Mirror } from './mirror.ts';
import { hostsOf, storageOf } from './places.ts';
import { findByNameOrUuid, type Guests, isGuest, isLive, membersOf, type Pool } from './pool.ts';
import { NULL_REF, refSchema, type VmRecord, vmSchema } from './records.ts';
import { verifyPool } from './verify.ts';

interface Options {
  readonly signal: AbortSignal;
}

export class XenSession implements EndpointSession {
  readonly config: XenConfig;
  readonly client: XapiClient;

  readonly #mirror: Mirror;

  constructor(config: XenConfig, client: XapiClient) {
    this.config = config;
    this.client = client;
    this.#mirror = new Mirror(client);
  }

  /** Stands for a pool that could not be connected to: whoever asks it anything is told `reason`. */
  static unreachable(config: XenConfig, reason: Error): XenSession {
    return new XenSession(config, XapiClient.unreachable(config, reason));
  }

  get closed(): AbortSignal {
    return this.client.closed;
  }

  /** The pool as a whole, with the sums over the members at this site. */
  async inventory(options: Options): Promise<Inventory> {
    try {
      const { pool, guests } = await this.#mirror.look(options);
      const members = membersOf(pool, this.config.hosts);
      const live = [...members.values()].filter((host) => isLive(pool, host));
      const metrics = live.flatMap((host) => pool.hostMetrics.get(host.metrics) ?? []);
      const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);
      const vms = [...guests.vms].filter(([, vm]) => isGuest(vm) && this.#isHere(vm, members));
      return {
        host: {
          name: pool.pool.name_label || this.config.host,
          version: versionOf(pool),
          cpus: sum(live.map(({ cpu_info: cpu }) => Number(cpu.cpu_count ?? 0))),
          memoryBytes: sum(metrics.map(({ memory_total: total }) => total)),
          memoryFreeBytes: sum(metrics.map(({ memory_free: free }) => free)),
        },
        hosts: hostsOf(pool, members),
        storage: storageOf(pool, members),
        networks: [...pool.networks.values()].map(({ name_label: name }) => name),
        vms: vms.map(([, vm]) => summaryOf(vm, pool, guests)),
      };
    } catch (error) {
      throw toPluginError(error, `taking the inventory of ${this.config.host}`);
    }
  }

  /** The pool as a whole. XAPI averages over five seconds, whatever was asked for. */
  async load(options: Options): Promise<Load> {
    try {
      const { pool, guests } = await this.#mirror.look(options);
      return await measureLoad(this.client, { pool, members: membersOf(pool, this.config.hosts), guests }, options);
    } catch (error) {
      throw toPluginError(error, `measuring the load of the pool at ${this.config.host}`);
    }
  }

  async findVm(idOrName: string, options: Options): Promise<VmSummary> {
    try {
      const { pool, guests } = await this.#mirror.look(options);
      const members = membersOf(pool, this.config.hosts);
      const here = new Map([...guests.vms].filter(([, vm]) => isGuest(vm) && this.#isHere(vm, members)));
      const found = findByNameOrUuid(here, idOrName, 'VMs');
      if (found !== undefined) return summaryOf(found[1], pool, guests);
    } catch (error) {
      throw toPluginError(error, `looking for ${idOrName}`);
    }
    throw new PluginError('VM_NOT_FOUND', `The pool at ${this.config.host} has no VM ${idOrName}.`);
  }

  /** `null` when the pool has answered that it does not know it. */
  async vm(uuid: string, options: Options): Promise<{ ref: string; record: VmRecord } | null> {
    try {
      const ref = await this.client.call('VM.get_by_uuid', [uuid], refSchema, options);
      return { ref, record: await this.client.call('VM.get_record', [ref], vmSchema, options) };
    } catch (error) {
      if (isFault(error, 'UUID_INVALID', 'HANDLE_INVALID')) return null;
      throw error;
    }
  }

  verify(options: Options): AsyncIterable<VerificationStep> {
    return verifyPool(this, options);
  }

  close(): Promise<void> {
    return this.client.close();
  }

  /** A VM that runs nowhere belongs to every endpoint of its pool. */
  #isHere(vm: VmRecord, members: ReadonlyMap<string, unknown>): boolean {
    return vm.resident_on === NULL_REF || members.has(vm.resident_on);
  }
}

const versionOf = ({ hosts, pool }: Pool): string => {
  const version = hosts.get(pool.master)?.software_version ?? {};
  const brand = version.product_brand ?? 'Xen';
  return `${brand} ${version.product_version ?? version.platform_version ?? ''}`.trim();
};

const PRESENCE: Readonly<Record<VmRecord['power_state'], Presence>> = {
  Running: 'running',
  Paused: 'paused',
  Halted: 'stopped',
  Suspended: 'stopped',
};

export const presenceOf = ({ power_state: state }: VmRecord): Presence => PRESENCE[state];

function summaryOf(vm: VmRecord, pool: Pool, guests: Guests): VmSummary {
  const networks = vm.VIFs.flatMap((ref) => pool.networks.get(guests.vifs.get(ref)?.network ?? '')?.name_label ?? []);
  const disks = vm.VBDs.flatMap((ref) => {
    const vbd = guests.vbds.get(ref);
    if (vbd === undefined || vbd.type === 'CD') return [];
    const vdi = guests.vdis.get(vbd.VDI);
    const sr = vdi === undefined ? undefined : pool.srs.get(vdi.SR);
    return [
      {
        name: vbd.device === '' ? vbd.userdevice : vbd.device,
        location: vdi === undefined ? null : `${sr?.name_label ?? vdi.SR}/${vdi.uuid}`,
        sizeBytes: vdi?.virtual_size ?? null,
        readOnly: vbd.mode === 'RO',
      },
    ];
  });
  const host = pool.hosts.get(vm.resident_on)?.name_label;
  return {
    id: vm.uuid,
    name: vm.name_label,
    presence: presenceOf(vm),
    memoryBytes: vm.memory_dynamic_max,
    vcpus: vm.VCPUs_max,
    disks,
    networks: [...new Set(networks)],
    managedBy: managerOf(vm),
    labels: vm.tags,
    ...(host !== undefined && { host }),
  };
}

/** OpenStack's driver for XenAPI marked its VMs so (nova/virt/xenapi/vm_utils.py). */
const NOVA_MARK = 'nova_uuid';

export const managerOf = ({ other_config: config }: VmRecord): string | null => (NOVA_MARK in config ? 'nova' : null);
