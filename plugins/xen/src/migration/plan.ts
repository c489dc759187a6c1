/**
 * What is to move, and to where: the guest with its disks and networks, the member that is to run it, the address that takes
 * the traffic, and the maps that XAPI wants. Made of snapshots of both pools; touches nothing. What cannot be decided is
 * left out of the maps and named in `gaps`, so that the checks tell all of them at once.
 */
import { type MigrationRequest, PluginError } from '@lmas/plugin-api';
import { addressOf } from '../addresses.ts';
import type { XapiClient } from '../client.ts';
import type { XenOptions } from '../config.ts';
import { type Guests, isLive, membersOf, memoryFree, type Pool, readGuests, readPool } from '../pool.ts';
import { gpuGroupSchema, type HostRecord, recordsOf, type VdiRecord, type VmRecord } from '../records.ts';
import type { XenSession } from '../session.ts';
import { type GpuGroups, mapFormats, mapGpus } from './newer-maps.ts';
import { oneNamed } from './one-named.ts';
import { detoursOf, forbids, placeDisks } from './storage.ts';

export interface Ends {
  readonly source: XenSession;
  readonly destination: XenSession;
}

interface Row<T> {
  readonly ref: string;
  readonly record: T;
}

/** A disk of the guest or of one of its snapshots. */
export interface PlannedDisk extends Row<VdiRecord> {
  /** As the guest sees it (`xvda`), and as `diskMap` names it. */
  readonly device: string;
  /** The same for people; of a snapshot's disk the snapshot's name, too. */
  readonly name: string;
  /** `userdevice` in the guest, which moves along; of a snapshot's disk `undefined`. */
  readonly place: string | undefined;
  /** Where it goes; `undefined` when nobody could say. */
  readonly destinationSr: string | undefined;
  /** Whether its bytes have to cross the link. */
  readonly copied: boolean;
}

export interface Gap {
  readonly kind: 'site' | 'host' | 'address' | 'storage' | 'network' | 'network-unknown' | 'gpu' | 'format';
  readonly message: string;
  readonly remedy: string;
}

export interface Plan {
  readonly sourcePool: Pool;
  readonly destinationPool: Pool;
  /** Everything there is at the destination, for what must not be there twice. */
  readonly destinationGuests: Guests;
  readonly vm: Row<VmRecord>;
  readonly samePool: boolean;
  readonly host: Row<HostRecord> | undefined;
  readonly network: string | undefined;
  /** Address of `host` in `network`. */
  readonly address: string | undefined;
  readonly disks: readonly PlannedDisk[];
  /** VDI → SR, VIF → network, as XAPI takes them. */
  readonly vdiMap: Readonly<Record<string, string>>;
  readonly vifMap: Readonly<Record<string, string>>;
  /** VGPU → GPU group, VDI → image format, where they were asked for. */
  readonly vgpuMap: Readonly<Record<string, string>>;
  readonly vdiFormatMap: Readonly<Record<string, string>>;
  /** CD drives with a disc inside, which never move. */
  readonly discs: readonly string[];
  readonly gaps: readonly Gap[];
}

/**
 * @param before UUID of the member that an earlier plan has chosen: as long as it is no worse than others, it stays
 * @throws PluginError VM_NOT_FOUND, and whatever the connections suffer
 */
export async function makePlan(
  { source, destination }: Ends,
  request: MigrationRequest<XenOptions>,
  { before, ...options }: { signal: AbortSignal; before?: string | undefined },
): Promise<Plan> {
  const [sourcePool, guests, destinationPool, destinationGuests, gpuGroups] = await Promise.all([
    readPool(source.client, options),
    readGuests(source.client, options),
    readPool(destination.client, options),
    readGuests(destination.client, options),
    request.options.gpuGroup === undefined ? new Map() : readGpuGroups(destination.client, options),
  ]);
  const found = [...guests.vms].find(([, { uuid }]) => uuid === request.vm.id);
  if (found === undefined) throw new PluginError('VM_NOT_FOUND', `The source pool has no VM ${request.vm.id}.`);
  const vm = { ref: found[0], record: found[1] };
  const gaps: Gap[] = [];
  const samePool = sourcePool.pool.uuid === destinationPool.pool.uuid;
  const parts = { request, sourcePool, destinationPool, guests, vm, samePool, gaps };
  const moving = movingParts(vm, guests);
  const host = chooseHost(parts, destination, moving.disks, before);
  const network = chooseNetwork(parts, destination, host);
  const { disks, gaps: homeless } = placeDisks(parts, moving.disks, host?.ref);
  gaps.push(...homeless, ...strangersOf(parts, moving.vifs));
  return {
    sourcePool,
    destinationPool,
    destinationGuests,
    vm,
    samePool,
    host,
    ...network,
    disks,
    vdiMap: Object.fromEntries(disks.flatMap(({ ref, destinationSr: sr }) => (sr === undefined ? [] : [[ref, sr]]))),
    // Inside one pool networks stay as they are, and XAPI refuses a map.
    vifMap: samePool ? {} : mapInterfaces(parts, moving.vifs),
    vgpuMap: mapGpus(parts, moving.vgpus, gpuGroups),
    vdiFormatMap: mapFormats(parts, disks),
    discs: moving.discs,
    gaps,
  };
}

/** A record of the very same VM at the destination, from whenever. */
export const twinOf = ({ destinationGuests, vm, samePool }: Plan): VmRecord | undefined =>
  samePool ? undefined : [...destinationGuests.vms.values()].find(({ uuid }) => uuid === vm.record.uuid);

/** In one pool: whether it runs at a host of the destination's site before anything was done. */
export const isThereAlready = ({ destination }: Ends, { samePool, destinationPool, vm }: Plan): boolean =>
  samePool && membersOf(destinationPool, destination.config.hosts).has(vm.record.resident_on);

export interface Parts {
  readonly request: MigrationRequest<XenOptions>;
  readonly sourcePool: Pool;
  readonly destinationPool: Pool;
  readonly guests: Guests;
  readonly vm: Row<VmRecord>;
  readonly samePool: boolean;
  readonly gaps: Gap[];
}

export type LooseDisk = Pick<PlannedDisk, 'ref' | 'record' | 'device' | 'name' | 'place'>;

const readGpuGroups = (client: XapiClient, options: { signal: AbortSignal }): Promise<GpuGroups> =>
  client.call('GPU_group.get_all_records', [], recordsOf(gpuGroupSchema), options);

/** XAPI wants the disks, interfaces and GPUs of the guest's snapshots mapped as well. */
function movingParts(vm: Row<VmRecord>, guests: Guests) {
  const disks = new Map<string, LooseDisk>();
  const discs: string[] = [];
  const vifs: string[] = [];
  const vgpus: string[] = [];
  const snapshots = vm.record.snapshots.flatMap((ref) => guests.vms.get(ref) ?? []);
  for (const holder of [vm.record, ...snapshots]) {
    vifs.push(...holder.VIFs);
    vgpus.push(...holder.VGPUs);
    for (const vbd of holder.VBDs.flatMap((ref) => guests.vbds.get(ref) ?? [])) {
      const device = vbd.device === '' ? vbd.userdevice : vbd.device;
      const vdi = guests.vdis.get(vbd.VDI);
      if (vbd.type === 'CD' && !vbd.empty && holder === vm.record) discs.push(device);
      if (vbd.type === 'CD' || vdi === undefined || disks.has(vbd.VDI)) continue;
      const name = holder === vm.record ? device : `${device} of snapshot "${holder.name_label}"`;
      const place = holder === vm.record ? vbd.userdevice : undefined;
      disks.set(vbd.VDI, { ref: vbd.VDI, record: vdi, device, name, place });
    }
  }
  return { disks: [...disks.values()], discs, vifs, vgpus };
}

function chooseHost(
  parts: Parts,
  destination: XenSession,
  disks: readonly LooseDisk[],
  before: string | undefined,
): Row<HostRecord> | undefined {
  const { request, sourcePool, destinationPool: pool, vm, samePool, gaps } = parts;
  const members = membersOf(pool, destination.config.hosts);
  if (samePool && destination.config.hosts.length === 0) {
    // Where the guest is could not be told either: one pool has one record of it, whose host says at which site it runs.
    gaps.push({
      kind: 'site',
      message: 'Both ends are one pool, and nobody said which of its hosts are at the destination.',
      remedy: 'Set `hosts` in the settings of both endpoints.',
    });
    return undefined;
  }
  const wanted = request.options.destinationHost;
  if (wanted !== undefined) {
    const row = oneNamed(members, wanted, 'hosts', gaps, {
      kind: 'host',
      message: `The destination has no member "${wanted}" at this site.`,
      remedy: `Name one of: ${[...members.values()].map(({ name_label: name }) => name).join(', ')}.`,
    });
    return row === undefined ? undefined : { ref: row[0], record: row[1] };
  }
  const candidates = [...members]
    .filter(([ref, host]) => isLive(pool, host) && !(samePool && ref === vm.record.resident_on))
    .sort(([, a], [, b]) => memoryFree(pool, b) - memoryFree(pool, a))
    .sort(([, a], [, b]) => Number(b.uuid === before) - Number(a.uuid === before));
  // Storage decides before memory does: best where it leads the source nowhere else, then where it is plugged in at all.
  const detours = new Map(
    candidates.map(([ref]) => [
      ref,
      detoursOf(pool, ref, { disks: placeDisks(parts, disks, ref).disks, samePool, sourcePool }),
    ]),
  );
  const chosen =
    candidates.find(([ref]) => detours.get(ref)?.length === 0) ??
    candidates.find(([ref]) => detours.get(ref)?.every((detour) => !forbids(detour, request))) ??
    candidates[0];
  if (chosen !== undefined) return { ref: chosen[0], record: chosen[1] };
  gaps.push({
    kind: 'host',
    message: 'No member of the destination pool at this site is enabled and alive.',
    remedy: 'Enable a host, or correct `hosts` in the settings of the endpoint.',
  });
  return undefined;
}

function chooseNetwork(
  { destinationPool: pool, gaps }: Parts,
  destination: XenSession,
  host: Row<HostRecord> | undefined,
): { network: string | undefined; address: string | undefined } {
  if (host === undefined) return { network: undefined, address: undefined };
  const pifs = host.record.PIFs.flatMap((ref) => pool.pifs.get(ref) ?? []);
  const named = destination.config.migrationNetwork;
  const without: Gap = {
    kind: 'address',
    message: `${host.record.name_label} has no address in ${named === undefined ? 'the management network' : `network "${named}"`}.`,
    remedy:
      'Give that interface an address, or set `migrationNetwork` of the endpoint to a network in which it has one.',
  };
  const wanted = named === undefined ? undefined : oneNamed(pool.networks, named, 'networks', gaps, without)?.[0];
  if (named !== undefined && wanted === undefined) return { network: undefined, address: undefined };
  const pif = pifs.find((candidate) => (named === undefined ? candidate.management : candidate.network === wanted));
  const address = pif === undefined ? undefined : addressOf(pif);
  if (address === undefined) gaps.push(without);
  return { network: pif?.network, address };
}

const networkOf = ({ sourcePool, guests }: Parts, vif: string) =>
  sourcePool.networks.get(guests.vifs.get(vif)?.network ?? '');

/** A slip of the pen would leave an interface to the network that has the same name at the destination. */
function strangersOf(parts: Parts, vifs: readonly string[]): Gap[] {
  const own = vifs.flatMap((ref) => networkOf(parts, ref) ?? []);
  const known = new Set(own.flatMap(({ uuid, name_label: name }) => [uuid, name]));
  const has = [...new Set(own.map(({ name_label: name }) => name))].join(', ') || 'none';
  return Object.keys(parts.request.networkMap).flatMap((name) =>
    known.has(name)
      ? []
      : {
          kind: 'network-unknown',
          message: `The network map names ${name}, which the VM does not have.`,
          remedy: `Correct the network map: its networks are ${has}.`,
        },
  );
}

function mapInterfaces(parts: Parts, vifs: readonly string[]) {
  const { request, destinationPool, gaps } = parts;
  const map: Record<string, string> = {};
  const found = new Map<string, string | undefined>();
  for (const ref of vifs) {
    const own = networkOf(parts, ref);
    if (own === undefined) continue;
    const name = request.networkMap[own.uuid] ?? request.networkMap[own.name_label] ?? own.name_label;
    if (!found.has(name)) {
      const row = oneNamed(destinationPool.networks, name, 'networks', gaps, {
        kind: 'network',
        message: `The destination has no network "${name}".`,
        remedy: 'Map it in networkMap to a network of the destination pool.',
      });
      found.set(name, row?.[0]);
    }
    const network = found.get(name);
    if (network !== undefined) map[ref] = network;
  }
  return map;
}
