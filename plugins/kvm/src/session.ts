/**
 * A session to one libvirt host: what the orchestrator asks of an endpoint, and where a migration gets its connections.
 * Owns the transport and every libvirt connection opened over it; `close` ends them all.
 *
 * A libvirt daemon may be restarted while SSH stays up: the query connection is then opened anew. `closed` is about the
 * transport only.
 */
import {
  type EndpointSession,
  type Inventory,
  type Load,
  PluginError,
  type VmDisk,
  type VmSummary,
} from '@lmas/plugin-api';
import { LibvirtClient, uuidText } from './client.ts';
import type { KvmConfig } from './config.ts';
import { type Definition, type DiskDefinition, readDefinition } from './definition/definition.ts';
import { isFault, toPluginError } from './errors.ts';
import { freeMemoryBytes } from './free-memory.ts';
import { measureLoad } from './load.ts';
import { presenceOf } from './presence.ts';
import { ERROR, XML } from './rpc/constants.ts';
import type { Domain } from './rpc/procedures.ts';
import { StoragePools } from './storage.ts';
import { brokenTransport, type HostTransport } from './transport.ts';

interface Options {
  readonly signal: AbortSignal;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export class KvmSession implements EndpointSession {
  readonly config: KvmConfig;
  readonly transport: HostTransport;
  readonly closed: AbortSignal;
  readonly #clients = new Set<LibvirtClient>();
  readonly #storage: StoragePools;
  #query: Promise<LibvirtClient> | undefined;
  #ended = false;

  private constructor(config: KvmConfig, transport: HostTransport) {
    this.config = config;
    this.transport = transport;
    this.closed = transport.closed;
    this.#storage = new StoragePools(this.closed);
  }

  /** Takes the transport over, and proves that libvirt answers. @throws PluginError */
  static async open(config: KvmConfig, transport: HostTransport, options: Options): Promise<KvmSession> {
    const session = new KvmSession(config, transport);
    try {
      await session.query(options);
      return session;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  /** Stands for a host that could not be connected to: whoever asks it anything is told `reason`. */
  static unreachable(config: KvmConfig, reason: Error): KvmSession {
    return new KvmSession(config, brokenTransport(config, reason));
  }

  /** A connection of its own, for what a daemon binds to a connection. The session closes it at the latest. */
  async openClient(options: Options): Promise<LibvirtClient> {
    if (this.#ended) throw new PluginError('CONNECTION_LOST', `The session to ${this.transport.peer} is closed.`);
    const stream = await this.transport.openSocket(options);
    const client = await LibvirtClient.open(stream, this.transport.peer, options);
    this.#clients.add(client);
    client.closed.addEventListener('abort', () => this.#clients.delete(client), { once: true });
    return client;
  }

  /** The connection for questions, shared; opened again if the daemon went away in between. */
  async query(options: Options): Promise<LibvirtClient> {
    for (;;) {
      const asked = this.#query;
      const current = await unlessAborted(
        asked?.catch(() => undefined),
        options,
      );
      if (current !== undefined && !current.closed.aborted) return current;
      if (this.#query !== asked) continue; // somebody else opens it just now
      const opening = this.openClient(options);
      this.#query = opening;
      return await opening;
    }
  }

  async inventory(options: Options): Promise<Inventory> {
    try {
      const client = await this.query(options);
      const [node, free, hostname, version, networks, storage, list] = await Promise.all([
        client.call('nodeGetInfo', undefined, options),
        freeMemoryBytes(this, options),
        client.call('connectGetHostname', undefined, options),
        client.call('connectGetVersion', undefined, options),
        this.networks(options),
        this.#storage.look(client, options),
        client.call('connectListAllDomains', { needResults: 1, flags: 0 }, options),
      ]);
      const vms: VmSummary[] = [];
      for (const domain of list.domains) {
        const summary = await this.#summary(client, domain, options);
        if (summary !== null) vms.push(summary);
      }
      const name = hostname.hostname;
      const numbers = { cpus: node.cpus, memoryBytes: Number(node.memoryKib) * 1024, memoryFreeBytes: free };
      return {
        host: { name, version: `QEMU ${versionText(Number(version.version))}`, ...numbers },
        hosts: [{ name, cluster: null, state: 'connected', ...numbers }],
        ...(storage !== undefined && { storage }),
        networks,
        vms,
      };
    } catch (error) {
      throw toPluginError(error, `taking the inventory of ${this.transport.peer}`);
    }
  }

  /** Names of libvirt networks; a host without the network driver has none. */
  async networks(options: Options): Promise<string[]> {
    const client = await this.query(options);
    try {
      const { networks } = await client.call('connectListAllNetworks', { needResults: 1, flags: 0 }, options);
      return networks.map(({ name }) => name);
    } catch (error) {
      if (isFault(error)) return [];
      throw error;
    }
  }

  async load(options: Options & { intervalMs: number; dirtyRates?: boolean }): Promise<Load> {
    try {
      return await measureLoad(await this.query(options), options);
    } catch (error) {
      throw toPluginError(error, `measuring the load of ${this.transport.peer}`);
    }
  }

  async findVm(idOrName: string, options: Options): Promise<VmSummary> {
    try {
      const client = await this.query(options);
      const byId = UUID.test(idOrName) ? await client.lookup(idOrName, options) : null;
      const domain = byId ?? (await client.lookupByName(idOrName, options));
      const summary = domain === null ? null : await this.#summary(client, domain, options);
      if (summary !== null) return summary;
    } catch (error) {
      throw toPluginError(error, `looking for ${idOrName}`);
    }
    throw new PluginError('VM_NOT_FOUND', `${this.transport.peer} has no VM ${idOrName}.`);
  }

  async close(): Promise<void> {
    this.#ended = true;
    for (const client of this.#clients) client.close();
    await this.transport.close().catch(() => undefined);
  }

  /** `null` when the domain went away while we looked at it. */
  async #summary(client: LibvirtClient, domain: Domain, options: Options): Promise<VmSummary | null> {
    try {
      const state = await client.state(domain, options);
      const definition = readDefinition(await client.xml(domain, XML.inactive, options));
      return {
        id: uuidText(domain.uuid),
        name: domain.name,
        presence: presenceOf(state, domain.id, 'source'),
        memoryBytes: definition.memoryBytes,
        vcpus: definition.vcpus,
        disks: await this.#disks(client, domain, definition, options),
        networks: networksOf(definition),
        managedBy: definition.managedBy,
        labels: definition.labels,
      };
    } catch (error) {
      if (isFault(error, ERROR.NO_DOMAIN)) return null;
      throw error;
    }
  }

  async #disks(
    client: LibvirtClient,
    domain: Domain,
    definition: Definition,
    options: Options,
  ): Promise<readonly VmDisk[]> {
    const disks: VmDisk[] = [];
    for (const disk of definition.disks) {
      const sizeBytes = await diskCapacity(client, domain, disk, options);
      disks.push({ name: disk.name, location: disk.location ?? null, sizeBytes, readOnly: disk.readOnly });
    }
    return disks;
  }
}

/** Waits for what others wait for as well. @throws the signal's reason */
async function unlessAborted<T>(work: Promise<T> | undefined, { signal }: Options): Promise<T | undefined> {
  const stopped = Promise.withResolvers<never>();
  const stop = (): void => stopped.reject(signal.reason);
  signal.throwIfAborted();
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([work, stopped.promise]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** What the guest sees of a disk; `null` when it is empty or nobody can tell. */
export async function diskCapacity(
  client: LibvirtClient,
  domain: Domain,
  disk: DiskDefinition,
  options: Options,
): Promise<number | null> {
  if (disk.location === undefined) return null;
  try {
    const info = await client.call('domainGetBlockInfo', { domain, path: disk.name, flags: 0 }, options);
    return Number(info.capacity);
  } catch (error) {
    if (isFault(error)) return null;
    throw error;
  }
}

const networksOf = (definition: Definition): string[] => [
  ...new Set(definition.interfaces.flatMap(({ source }) => (source === undefined ? [] : [source]))),
];

/** libvirt writes 7.2.19 as 7002019. */
export function versionText(version: number): string {
  return `${Math.floor(version / 1_000_000)}.${Math.floor(version / 1_000) % 1_000}.${version % 1_000}`;
}
