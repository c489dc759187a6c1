/**
 * What a pool consists of, read in one sweep: the tables that inventory, checks and plans are made of. A snapshot: it is
 * taken anew for each question, for XAPI answers all of it in one round trip per class.
 */
import { PluginError } from '@lmas/plugin-api';
import type { z } from 'zod';
import type { XapiClient } from './client.ts';
import {
  type HostRecord,
  hostMetricsSchema,
  hostSchema,
  networkSchema,
  pbdSchema,
  pifSchema,
  poolSchema,
  recordsOf,
  type SrRecord,
  srSchema,
  type VmRecord,
  vbdSchema,
  vdiSchema,
  vifSchema,
  vmSchema,
} from './records.ts';

type Table<S extends z.ZodType> = ReadonlyMap<string, z.infer<S>>;
type Row<T> = readonly [ref: string, record: T];

export interface Pool {
  readonly pool: z.infer<typeof poolSchema>;
  readonly hosts: Table<typeof hostSchema>;
  readonly hostMetrics: Table<typeof hostMetricsSchema>;
  readonly networks: Table<typeof networkSchema>;
  readonly pifs: Table<typeof pifSchema>;
  readonly srs: Table<typeof srSchema>;
  readonly pbds: Table<typeof pbdSchema>;
}

/** The guests with what they are made of; large in large pools. */
export interface Guests {
  readonly vms: Table<typeof vmSchema>;
  readonly vbds: Table<typeof vbdSchema>;
  readonly vdis: Table<typeof vdiSchema>;
  readonly vifs: Table<typeof vifSchema>;
}

interface Options {
  readonly signal: AbortSignal;
}

const all = <S extends z.ZodType>(client: XapiClient, kind: string, shape: S, options: Options): Promise<Table<S>> =>
  client.call(`${kind}.get_all_records`, [], recordsOf(shape as z.ZodType<z.infer<S>>), options);

export async function readPool(client: XapiClient, options: Options): Promise<Pool> {
  const [pools, hosts, hostMetrics, networks, pifs, srs, pbds] = await Promise.all([
    all(client, 'pool', poolSchema, options),
    all(client, 'host', hostSchema, options),
    all(client, 'host_metrics', hostMetricsSchema, options),
    all(client, 'network', networkSchema, options),
    all(client, 'PIF', pifSchema, options),
    all(client, 'SR', srSchema, options),
    all(client, 'PBD', pbdSchema, options),
  ]);
  const pool = pools.values().next().value;
  if (pool === undefined) throw new PluginError('HYPERVISOR_FAULT', `${client.coordinator} belongs to no pool.`);
  client.rememberMembers([...hosts.values()].map(({ address }) => address));
  return { pool, hosts, hostMetrics, networks, pifs, srs, pbds };
}

export async function readGuests(client: XapiClient, options: Options): Promise<Guests> {
  const [vms, vbds, vdis, vifs] = await Promise.all([
    all(client, 'VM', vmSchema, options),
    all(client, 'VBD', vbdSchema, options),
    all(client, 'VDI', vdiSchema, options),
    all(client, 'VIF', vifSchema, options),
  ]);
  return { vms, vbds, vdis, vifs };
}

/** What people call a virtual machine: no template, no snapshot, not the control domain of a host. */
export const isGuest = (vm: VmRecord): boolean => !vm.is_a_template && !vm.is_a_snapshot && !vm.is_control_domain;

/** By UUID, else by name. `undefined` when there is none; a name that several bear is refused by `ambiguous`. */
export function findByNameOrUuid<T extends { readonly uuid: string; readonly name_label: string }>(
  table: ReadonlyMap<string, T>,
  nameOrUuid: string,
  what: string,
): Row<T> | undefined {
  const rows = [...table];
  const byUuid = rows.find(([, { uuid }]) => uuid === nameOrUuid);
  if (byUuid !== undefined) return byUuid;
  const byName = rows.filter(([, { name_label: name }]) => name === nameOrUuid);
  if (byName.length > 1) {
    const uuids = byName.map(([, { uuid }]) => uuid).join(', ');
    throw new PluginError(
      'INVALID_CONFIG',
      `Several ${what} are called "${nameOrUuid}": ${uuids}. Name one by its UUID.`,
    );
  }
  return byName[0];
}

/** The members of the pool that an endpoint stands for: all, or those that its configuration names. */
export function membersOf({ hosts }: Pool, named: readonly string[]): ReadonlyMap<string, HostRecord> {
  if (named.length === 0) return hosts;
  return new Map([...hosts].filter(([, { uuid, name_label: name }]) => named.includes(uuid) || named.includes(name)));
}

export const isLive = (pool: Pool, host: HostRecord): boolean =>
  host.enabled && (pool.hostMetrics.get(host.metrics)?.live ?? false);

/** Whether the storage is plugged in at that host: only then does it serve it without sending the source elsewhere. */
export const isAttached = (pool: Pool, sr: SrRecord, hostRef: string): boolean =>
  sr.PBDs.some((ref) => {
    const pbd = pool.pbds.get(ref);
    return pbd?.host === hostRef && pbd.currently_attached;
  });

export const memoryFree = (pool: Pool, host: HostRecord): number =>
  pool.hostMetrics.get(host.metrics)?.memory_free ?? 0;

/** Every address that a host may send from. */
export function addressesOf(pool: Pool, host: HostRecord): readonly string[] {
  const addresses = host.PIFs.flatMap((ref) => pool.pifs.get(ref)?.IP ?? []).filter((address) => address !== '');
  return [...new Set([host.address, ...addresses])].filter((address) => address !== '');
}
