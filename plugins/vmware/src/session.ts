/**
 * A session to one vCenter: what the orchestrator asks of an endpoint. Owns the login.
 */
import {
  type EndpointSession,
  type Inventory,
  type Load,
  PluginError,
  type VerificationStep,
  type VmSummary,
  verifyInOrder,
} from '@lmas/plugin-api';
import type { z } from 'zod';
import { verification } from './checks/verification.ts';
import { type Options, VimClient } from './client.ts';
import type { VmwareConfig } from './config.ts';
import { toPluginError } from './errors.ts';
import { loadOf, runningVms } from './inventory/load.ts';
import { Mirror, type Seen, type ShownVm, shownVmSchema } from './inventory/mirror.ts';
import { NetworkUse } from './inventory/network-use.ts';
import { decodeName, type Host, membersOf } from './inventory/places.ts';
import { hostSummary, hostsOf, namesOf, storageOf, summaryOf } from './inventory/summary.ts';
import { type Row, readAll, readObject, readObjects } from './properties.ts';
import {
  datastoreSchema,
  followedHostSchema,
  hostLoadSchema,
  hostMemorySchema,
  hostSchema,
  namedSchema,
  networkSchema,
  optionalRefSchema,
  vmLoadSchema,
  vmSchema,
} from './records.ts';
import { type Ref, refKey, sameRef } from './wire/data-objects.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const namesSchema = vmSchema.pick({ name: true, 'config.template': true, 'config.instanceUuid': true });

export class VmwareSession implements EndpointSession {
  readonly config: VmwareConfig;
  readonly client: VimClient;
  readonly #mirror: Mirror;
  readonly #networkUse: NetworkUse;

  constructor(config: VmwareConfig, client: VimClient) {
    this.config = config;
    this.client = client;
    this.#mirror = new Mirror(client);
    this.#networkUse = new NetworkUse(client);
  }

  /** Stands for a vCenter that could not be connected to: whoever asks it anything is told `reason`. */
  static unreachable(config: VmwareConfig, reason: Error): VmwareSession {
    return new VmwareSession(config, VimClient.unreachable(config, reason));
  }

  get closed(): AbortSignal {
    return this.client.closed;
  }

  /** The vCenter as a whole, with the sums over the hosts at this site. */
  async inventory(options: Options): Promise<Inventory> {
    try {
      const seen = await this.#mirror.look(options);
      const hosts = await this.#withMemory(this.#membersIn(seen), options);
      const networks = seen.rows('Network', networkSchema);
      const names = { networks: namesOf(networks), hosts: namesOf(hosts) };
      const vms = seen.rows('VirtualMachine', shownVmSchema).filter((vm) => isGuest(vm) && isAt(vm, hosts));
      return {
        host: hostSummary(hosts, this.config.host, this.client.content.about.fullName),
        hosts: hostsOf(hosts, seen.rows('ClusterComputeResource', namedSchema)),
        storage: storageOf(seen.rows('Datastore', datastoreSchema), hosts),
        networks: [...new Set(networks.map(({ record }) => decodeName(record.name)))],
        vms: vms.map((vm) => summaryOf(vm, names)),
      };
    } catch (error) {
      throw toPluginError(error, `taking the inventory of ${this.config.host}`);
    }
  }

  /** Of the hosts at this site together, over the time that vSphere averages by itself. */
  async load(options: Options): Promise<Load> {
    try {
      const [hosts, vms] = await Promise.all([
        readAll(this.client, 'HostSystem', hostLoadSchema, options),
        readAll(this.client, 'VirtualMachine', vmLoadSchema, options),
      ]);
      const [members, guests] = [membersOf(hosts, this.config.hosts), vms.filter(isGuest)];
      return loadOf(members, guests, await this.#networkUse.of(runningVms(members, guests), options));
    } catch (error) {
      throw toPluginError(error, `measuring the load of ${this.config.host}`);
    }
  }

  async findVm(idOrName: string, options: Options): Promise<VmSummary> {
    try {
      const followed = await this.#findFollowed(idOrName, options);
      if (followed !== undefined) return followed;
      const ref = (await this.#byUuid(idOrName, options)) ?? (await this.#byName(idOrName, options));
      const record = ref === null ? null : await readObject(this.client, ref, shownVmSchema, options);
      if (ref !== null && record !== null && (await this.#isHere({ ref, record }, options))) {
        const host = record['runtime.host'];
        const [networks, hosts] = await Promise.all(
          [record.network, host === undefined ? [] : [host]].map((refs) =>
            readObjects(this.client, refs, namedSchema, options),
          ),
        );
        return summaryOf({ ref, record }, { networks: namesOf(networks ?? []), hosts: namesOf(hosts ?? []) });
      }
    } catch (error) {
      throw toPluginError(error, `looking for ${idOrName}`);
    }
    throw new PluginError('VM_NOT_FOUND', `The vCenter ${this.config.host} has no VM ${idOrName}.`);
  }

  /** Among what is followed anyway; what is not there is asked for by itself, as it may be one that cannot be read. */
  async #findFollowed(idOrName: string, options: Options): Promise<VmSummary | undefined> {
    if (!this.#mirror.follows) return undefined;
    const seen = await this.#mirror.look(options);
    const all = seen.rows('VirtualMachine', namesSchema).filter(isGuest);
    const byUuid = all.find(({ record }) => record['config.instanceUuid'] === idOrName);
    const found = byUuid ?? theOnly(all, idOrName);
    const vm = found === undefined ? undefined : seen.row(found.ref, shownVmSchema);
    const hosts = this.#membersIn(seen);
    if (vm === undefined || !isAt(vm, hosts)) return undefined;
    return summaryOf(vm, { networks: namesOf(seen.rows('Network', networkSchema)), hosts: namesOf(hosts) });
  }

  #membersIn(seen: Seen): readonly Followed[] {
    return membersOf(seen.rows('HostSystem', followedHostSchema), this.config.hosts);
  }

  /** With how much of their memory is used now. */
  async #withMemory(hosts: readonly Followed[], options: Options): Promise<readonly Host[]> {
    const refs = hosts.map(({ ref }) => ref);
    const rows = await readObjects(this.client, refs, hostMemorySchema, options);
    const used = new Map(rows.map(({ ref, record }) => [refKey(ref), record]));
    return hosts.map(({ ref, record }) => ({ ref, record: { ...record, ...used.get(refKey(ref)) } }));
  }

  /** `null` when the vCenter has answered that it does not know it. */
  async #byUuid(uuid: string, options: Options): Promise<Ref | null> {
    if (!UUID.test(uuid)) return null;
    const params = { uuid, vmSearch: true, instanceUuid: true };
    return await this.client.call(this.client.content.searchIndex, 'FindByUuid', params, optionalRefSchema, options);
  }

  async #byName(name: string, options: Options): Promise<Ref | null> {
    return theOnly(await readAll(this.client, 'VirtualMachine', namesSchema, options), name)?.ref ?? null;
  }

  async #isHere(vm: Row<ShownVm>, options: Options): Promise<boolean> {
    if (!isGuest(vm)) return false;
    if (this.config.hosts.length === 0) return true;
    return isAt(vm, await this.members(options));
  }

  /** The hosts at this site. */
  async members(options: Options): Promise<readonly Host[]> {
    return membersOf(await readAll(this.client, 'HostSystem', hostSchema, options), this.config.hosts);
  }

  /** A VM as `shape` shows it; `null` when the vCenter has answered that it does not know it. */
  async vm<S extends z.ZodObject>(uuid: string, shape: S, options: Options): Promise<Row<z.output<S>> | null> {
    const ref = await this.#byUuid(uuid, options);
    const record = ref === null ? null : await readObject(this.client, ref, shape, options);
    return ref === null || record === null ? null : { ref, record };
  }

  verify({ signal }: { signal: AbortSignal }): AsyncIterable<VerificationStep> {
    return verifyInOrder(verification(this), { signal });
  }

  close(): Promise<void> {
    return this.client.close();
  }
}

type Followed = Row<z.output<typeof followedHostSchema>>;

/** @throws PluginError INVALID_CONFIG when several bear the name */
function theOnly(rows: readonly Row<z.output<typeof namesSchema>>[], name: string) {
  const [first, ...others] = rows.filter((row) => isGuest(row) && decodeName(row.record.name) === name);
  if (others.length === 0) return first;
  throw new PluginError('INVALID_CONFIG', `There are several VMs called ${name}.`, {
    remedy: 'Name it by its instance UUID (lmas vm list shows them).',
  });
}

const isGuest = ({ record }: { readonly record: Pick<ShownVm, 'config.template'> }): boolean =>
  record['config.template'] !== true;

/** A VM without a host belongs to every endpoint of its vCenter. */
const isAt = ({ record }: Row<ShownVm>, hosts: readonly Pick<Host, 'ref'>[]): boolean =>
  record['runtime.host'] === undefined || hosts.some(({ ref }) => sameRef(ref, record['runtime.host']));
