/**
 * What a pool consists of: the tables that inventory, checks and plans are made of. For a plan they are read in one sweep, anew each
 * time, for XAPI answers all of it in one round trip per class; the inventory follows their changes (mirror.ts).
 */
import { PluginError } from '@lmas/plugin-api';
import type { z } from 'zod';
import { addressesOfPif, canonical } from './addresses.ts';
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

type Row<T> = readonly [ref: string, record: T];

/** By table: which class of XAPI it is read from, and what of its records. */
type Shapes = Readonly<Record<string, { readonly kind: string; readonly shape: z.ZodType }>>;
export type Tables<S extends Shapes> = {
  readonly [Name in keyof S]: ReadonlyMap<string, z.infer<S[Name]['shape']>>;
};

export const POOL_SHAPES = {
  pools: { kind: 'pool', shape: poolSchema },
  hosts: { kind: 'host', shape: hostSchema },
  hostMetrics: { kind: 'host_metrics', shape: hostMetricsSchema },
  networks: { kind: 'network', shape: networkSchema },
  pifs: { kind: 'PIF', shape: pifSchema },
  srs: { kind: 'SR', shape: srSchema },
  pbds: { kind: 'PBD', shape: pbdSchema },
} as const;

/** The guests with what they are made of; large in large pools. */
export const GUESTS_SHAPES = {
  vms: { kind: 'VM', shape: vmSchema },
  vbds: { kind: 'VBD', shape: vbdSchema },
  vdis: { kind: 'VDI', shape: vdiSchema },
  vifs: { kind: 'VIF', shape: vifSchema },
} as const;

export interface Pool extends Omit<Tables<typeof POOL_SHAPES>, 'pools'> {
  readonly pool: z.infer<typeof poolSchema>;
}
export type Guests = Tables<typeof GUESTS_SHAPES>;

interface Options {
  readonly signal: AbortSignal;
}

async function readTables<S extends Shapes>(client: XapiClient, shapes: S, options: Options): Promise<Tables<S>> {
  const reading = Object.entries(shapes).map(async ([name, { kind, shape }]) => {
    return [name, await client.call(`${kind}.get_all_records`, [], recordsOf(shape), options)] as const;
  });
  return Object.fromEntries(await Promise.all(reading)) as Tables<S>;
}

/** @throws PluginError HYPERVISOR_FAULT when there is no pool in it */
export function poolOf(client: XapiClient, { pools, ...tables }: Tables<typeof POOL_SHAPES>): Pool {
  const pool = pools.values().next().value;
  if (pool === undefined) throw new PluginError('HYPERVISOR_FAULT', `${client.coordinator} belongs to no pool.`);
  client.rememberMembers([...tables.hosts.values()].map(({ address }) => address));
  return { pool, ...tables };
}

export const readPool = async (client: XapiClient, options: Options): Promise<Pool> =>
  poolOf(client, await readTables(client, POOL_SHAPES, options));

export const readGuests = (client: XapiClient, options: Options): Promise<Guests> =>
  readTables(client, GUESTS_SHAPES, options);

/** What people call a virtual machine: no template, no snapshot, not the control domain of a host. */
export const isGuest = (vm: VmRecord): boolean => !vm.is_a_template && !vm.is_a_snapshot && !vm.is_control_domain;

/** By UUID, else all of that name. */
export function rowsNamed<T extends { readonly uuid: string; readonly name_label: string }>(
  table: ReadonlyMap<string, T>,
  nameOrUuid: string,
): readonly Row<T>[] {
  const rows = [...table];
  const byUuid = rows.find(([, { uuid }]) => uuid === nameOrUuid);
  return byUuid === undefined ? rows.filter(([, { name_label: name }]) => name === nameOrUuid) : [byUuid];
}

/** For people: of several which nobody can choose for them. */
export const ambiguity = (what: string, name: string, rows: readonly Row<{ readonly uuid: string }>[]): string =>
  `Several ${what} are called "${name}": ${rows.map(([, { uuid }]) => uuid).join(', ')}.`;

/** `undefined` when there is none. @throws PluginError INVALID_CONFIG when several bear that name */
export function findByNameOrUuid<T extends { readonly uuid: string; readonly name_label: string }>(
  table: ReadonlyMap<string, T>,
  nameOrUuid: string,
  what: string,
): Row<T> | undefined {
  const rows = rowsNamed(table, nameOrUuid);
  if (rows.length > 1) {
    throw new PluginError('INVALID_CONFIG', `${ambiguity(what, nameOrUuid, rows)} Name one by its UUID.`);
  }
  return rows[0];
}

/** The members of the pool that an endpoint stands for: all, or those that its configuration names. */
export function membersOf({ hosts }: Pool, named: readonly string[]): ReadonlyMap<string, HostRecord> {
  if (named.length === 0) return hosts;
  return new Map([...hosts].filter(([, { uuid, name_label: name }]) => named.includes(uuid) || named.includes(name)));
}

export const isLive = (pool: Pool, host: HostRecord): boolean =>
  host.enabled && (pool.hostMetrics.get(host.metrics)?.live ?? false);

/**
 * Names of the members whose licence lacks Storage XenMotion. One is enough: what a pool may do is what all its hosts may
 * (pool_features_helpers.ml), and its coordinator refuses `host.migrate_receive` and `VM.assert_can_migrate`, with disks to copy or without.
 */
export const withoutStorageMotion = ({ hosts }: Pool): readonly string[] =>
  [...hosts.values()]
    .filter(({ license_params: licence }) => licence.restrict_storage_xen_motion === 'true')
    .map(({ name_label: name }) => name);

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
  const addresses = host.PIFs.flatMap((ref) => pool.pifs.get(ref) ?? []).flatMap(addressesOfPif);
  return [...new Set([canonical(host.address), ...addresses])].filter((address) => address !== '');
}
