/**
 * A vCenter's places, as one snapshot: hosts, clusters, datacenters, folders, resource pools, datastores and networks, with what
 * leads from one to the other. Touches nothing.
 */
import { PluginError } from '@lmas/plugin-api';
import type { z } from 'zod';
import type { Options, VimClient } from '../client.ts';
import { type Row, readAll } from '../properties.ts';
import {
  clusterSchema,
  computeSchema,
  datacenterSchema,
  datastoreSchema,
  type HostRecord,
  hostSchema,
  namedSchema,
  networkSchema,
  opaqueNetworkSchema,
  poolSchema,
  portgroupSchema,
  switchSchema,
} from '../records.ts';
import { type Ref, refKey, sameRef } from '../wire/data-objects.ts';

export type Host = Row<HostRecord>;
export type Datastore = Row<z.output<typeof datastoreSchema>>;
export type Datacenter = Row<z.output<typeof datacenterSchema>>;
export type Named = Row<z.output<typeof namedSchema>>;

/** A network as a network card is told of it. */
export interface Network extends Named {
  readonly portgroup?: { readonly key: string; readonly switchUuid: string } | undefined;
  readonly opaque?: { readonly id: string; readonly type: string } | undefined;
}

export interface Places {
  readonly hosts: readonly Host[];
  readonly computes: readonly (Row<z.output<typeof computeSchema>> & { readonly evcMode?: string | undefined })[];
  readonly datacenters: readonly Datacenter[];
  readonly folders: readonly Named[];
  readonly pools: readonly Row<z.output<typeof poolSchema>>[];
  readonly datastores: readonly Datastore[];
  readonly networks: readonly Network[];
}

export async function readPlaces(client: VimClient, options: Options): Promise<Places> {
  const [hosts, computes, clusters, datacenters, folders, pools, datastores, networks] = await Promise.all([
    readAll(client, 'HostSystem', hostSchema, options),
    readAll(client, 'ComputeResource', computeSchema, options),
    readAll(client, 'ClusterComputeResource', clusterSchema, options),
    readAll(client, 'Datacenter', datacenterSchema, options),
    readAll(client, 'Folder', namedSchema, options),
    readAll(client, 'ResourcePool', poolSchema, options),
    readAll(client, 'Datastore', datastoreSchema, options),
    readNetworks(client, options),
  ]);
  const evcModes = new Map(clusters.map(({ ref, record }) => [refKey(ref), record['summary.currentEVCModeKey']]));
  return {
    ...{ hosts, datacenters, folders, pools, datastores, networks },
    computes: computes.map((row) => ({ ...row, evcMode: evcModes.get(refKey(row.ref)) })),
  };
}

async function readNetworks(client: VimClient, options: Options): Promise<Network[]> {
  const [networks, portgroups, switches, opaque] = await Promise.all([
    readAll(client, 'Network', networkSchema, options),
    readAll(client, 'DistributedVirtualPortgroup', portgroupSchema, options),
    readAll(client, 'DistributedVirtualSwitch', switchSchema, options),
    readAll(client, 'OpaqueNetwork', opaqueNetworkSchema, options),
  ]);
  return networks.map((row) => {
    const portgroup = portgroups.find(({ ref }) => sameRef(ref, row.ref))?.record;
    const owner = switches.find(({ ref }) => sameRef(ref, portgroup?.['config.distributedVirtualSwitch']))?.record;
    const summary = opaque.find(({ ref }) => sameRef(ref, row.ref))?.record.summary;
    return {
      ...row,
      ...(portgroup === undefined || owner === undefined
        ? {}
        : { portgroup: { key: portgroup.key, switchUuid: owner.uuid } }),
      ...(summary === undefined ? {} : { opaque: { id: summary.opaqueNetworkId, type: summary.opaqueNetworkType } }),
    };
  });
}

/** All that bear the name; the one of that managed object id. */
export function allNamed<T extends Named>(rows: readonly T[], nameOrId: string): readonly T[] {
  const byId = rows.find(({ ref }) => ref.value === nameOrId);
  return byId === undefined ? rows.filter(({ record }) => decodeName(record.name) === nameOrId) : [byId];
}

/** By name, or by managed object id. @throws PluginError INVALID_CONFIG when several bear the name */
export function findByNameOrId<T extends Named>(rows: readonly T[], nameOrId: string, kind: string): T | undefined {
  const [first, ...others] = allNamed(rows, nameOrId);
  if (others.length === 0) return first;
  const ids = [first, ...others].map((row) => row?.ref.value).join(', ');
  throw new PluginError('INVALID_CONFIG', `There are several ${kind} called ${nameOrId}: ${ids}.`, {
    remedy: 'Name it by its id.',
  });
}

/** A datacenter's folders of VMs, at any depth, and the one that they are all in. */
export function vmFoldersOf({ folders }: Places, { record }: Datacenter): readonly Named[] {
  const within = new Set([refKey(record.vmFolder)]);
  for (let before = 0; before < within.size; ) {
    before = within.size;
    for (const { ref, record: folder } of folders)
      if (folder.parent !== undefined && within.has(refKey(folder.parent))) within.add(refKey(ref));
  }
  return folders.filter(({ ref }) => within.has(refKey(ref)));
}

/** vSphere writes `/`, `\` and `%` in names as `%2f`, `%5c` and `%25`. */
export const decodeName = (name: string): string =>
  name.replace(/%(2f|5c|25)/gi, (code) => String.fromCharCode(Number.parseInt(code.slice(1), 16)));

export const isLive = ({ record }: Host): boolean =>
  record['runtime.connectionState'] === 'connected' && !record['runtime.inMaintenanceMode'];

export const isUsable = ({ record }: Datastore): boolean =>
  record['summary.accessible'] && (record['summary.maintenanceMode'] ?? 'normal') === 'normal';

/** The hosts at this site. */
export function membersOf<H extends Host>(hosts: readonly H[], wanted: readonly string[]): readonly H[] {
  if (wanted.length === 0) return hosts;
  return hosts.filter(({ ref, record }) => wanted.includes(record.name) || wanted.includes(ref.value));
}

/** Up the tree to the datacenter; `undefined` when the login may not see the way. */
export function datacenterOf(places: Places, { record }: Host): Datacenter | undefined {
  const above = new Map(
    [...places.computes, ...places.folders].map((row) => [refKey(row.ref), row.record.parent] as const),
  );
  const seen = new Set<string>();
  for (let at: Ref | undefined = record.parent; at !== undefined && !seen.has(refKey(at)); at = above.get(refKey(at))) {
    const here = at;
    seen.add(refKey(here));
    const found = places.datacenters.find(({ ref }) => sameRef(ref, here));
    if (found !== undefined) return found;
  }
  return undefined;
}

export const memoryFreeBytes = ({ record }: Host): number =>
  (record['summary.hardware.memorySize'] ?? 0) - (record['summary.quickStats.overallMemoryUsage'] ?? 0) * 1024 ** 2;
