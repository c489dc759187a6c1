/**
 * What is to move, and to where: the VM with its disks and network cards, the host that is to run it, and where each part goes. Made
 * of snapshots of both vCenters; touches nothing. What cannot be decided is left out and named in `gaps`, so that the checks
 * tell all of them at once.
 */
import { type MigrationRequest, PluginError } from '@lmas/plugin-api';
import type { VmwareOptions } from '../config.ts';
import { listed } from '../in-words.ts';
import {
  allNamed,
  datacenterOf,
  decodeName,
  findByNameOrId,
  type Host,
  isLive,
  membersOf,
  memoryFreeBytes,
  type Places,
  readPlaces,
  vmFoldersOf,
} from '../inventory/places.ts';
import type { Row } from '../properties.ts';
import { type VmRecord, vmSchema } from '../records.ts';
import { type KernelNetwork, readKernelNetwork, refreshNetwork } from '../routes/host-network.ts';
import type { KernelNetworks } from '../routes/ways.ts';
import type { VmwareSession } from '../session.ts';
import { type Ref, sameRef } from '../wire/data-objects.ts';
import { copiesAt } from './arrived-as.ts';
import { gapsOfDisksAlone } from './disks-alone.ts';
import { findOrGap, type Gap } from './gap.ts';
import { mapCards, type PlannedCard } from './network-cards.ts';
import { type PlannedDisk, placeDisks } from './storage.ts';

export interface Ends {
  readonly source: VmwareSession;
  readonly destination: VmwareSession;
}

/** What the parts of a plan are made from. */
export interface Parts {
  readonly request: MigrationRequest<VmwareOptions>;
  readonly sourcePlaces: Places;
  readonly destinationPlaces: Places;
  readonly vm: Row<VmRecord>;
  readonly sameVCenter: boolean;
}

export interface Plan extends Parts {
  readonly sourceHost: Host | undefined;
  readonly host: Host | undefined;
  /** `undefined`: it stays in the one it is in. */
  readonly pool: Ref | undefined;
  readonly folder: Ref | undefined;
  /** Of the VM's own files; `undefined`: they stay. */
  readonly datastore: Ref | undefined;
  readonly disks: readonly PlannedDisk[];
  readonly cards: readonly PlannedCard[];
  /** Of the two hosts, when both are known. */
  readonly networks: KernelNetworks | undefined;
  /** The destination vCenter has a VM of the same identity already. */
  readonly hasTwin: boolean;
  /** VMs of another vCenter that have its BIOS UUID already. */
  readonly copies: readonly Ref[];
  readonly gaps: readonly Gap[];
}

/** @throws PluginError VM_NOT_FOUND, and whatever the connections suffer */
export async function makePlan(
  ends: Ends,
  request: MigrationRequest<VmwareOptions>,
  options: { signal: AbortSignal },
): Promise<Plan> {
  const { source, destination } = ends;
  const sameVCenter = isSameVCenter(ends);
  const [vm, sourcePlaces, otherPlaces, twin] = await Promise.all([
    source.vm(request.vm.id, vmSchema, options),
    readPlaces(source.client, options),
    sameVCenter ? undefined : readPlaces(destination.client, options),
    sameVCenter ? null : destination.vm(request.vm.id, vmSchema.pick({ name: true }), options),
  ]);
  if (vm === null) throw new PluginError('VM_NOT_FOUND', `The source vCenter has no VM ${request.vm.id}.`);
  const parts: Parts = { request, sourcePlaces, destinationPlaces: otherPlaces ?? sourcePlaces, vm, sameVCenter };
  const sourceHost = sourcePlaces.hosts.find(({ ref }) => sameRef(ref, vm.record['runtime.host']));
  const gaps: Gap[] = sourceHost === undefined ? [sourceNotSeen(vm)] : [];
  const copies = sameVCenter ? [] : await copiesAt(destination, vm.record['config.uuid'], options);
  const host = chooseHost(parts, sourceHost, destination, gaps);
  const storage = placeDisks(parts, host);
  gaps.push(...gapsOfDisksAlone(request, sourceHost, host));
  const cards = mapCards(parts, host);
  const place = host === undefined ? nowhere(parts, gaps) : placeAt(parts, sourceHost, host, gaps);
  return {
    ...parts,
    ...place,
    ...{ sourceHost, host, cards: cards.cards, disks: storage.disks, datastore: storage.datastore },
    networks: await readNetworks(ends, sourceHost, host, request, options),
    hasTwin: twin !== null,
    copies,
    gaps: [...gaps, ...storage.gaps, ...cards.gaps],
  };
}

/** Left out of what the vCenter tells, for the login may not read it, or not all of it. */
const sourceNotSeen = ({ record }: Row<VmRecord>): Gap => ({
  kind: 'source-host',
  message: `The host that runs ${record.name} cannot be seen by this login.`,
  remedy:
    'Give the login System.View and System.Read on that host, or on a folder above; what of it could not be read is in the log.',
});

/** Without a host nothing has a place; but what the destination has nowhere is told all the same. */
function nowhere({ request, destinationPlaces }: Parts, gaps: Gap[]) {
  const { pools, folders } = destinationPlaces;
  for (const [kind, rows, wanted] of [
    ['pool', pools, request.options.resourcePool],
    ['folder', folders, request.options.folder],
  ] as const) {
    if (wanted === undefined || allNamed(rows, wanted).length > 0) continue;
    gaps.push({
      kind,
      message: `The destination has no ${kind} ${wanted}.`,
      remedy: 'Choose one that is there, by name or id.',
    });
  }
  return { pool: undefined, folder: undefined };
}

export const isSameVCenter = ({ source, destination }: Ends): boolean => {
  const [one, other] = [source, destination].map(({ client }) => client.content.about.instanceUuid);
  return one !== undefined && one === other;
};

async function readNetworks(
  { source, destination }: Ends,
  sourceHost: Host | undefined,
  host: Host | undefined,
  { tunnelled, disksAlone }: MigrationRequest,
  options: { signal: AbortSignal },
): Promise<KernelNetworks | undefined> {
  if (sourceHost === undefined || host === undefined || disksAlone === true) return undefined;
  const read = async ({ client }: VmwareSession, at: Host): Promise<KernelNetwork> => {
    if (tunnelled) await refreshNetwork(client, at, options); // else nothing goes by its routes
    return await readKernelNetwork(client, at, options);
  };
  const [from, to] = await Promise.all([read(source, sourceHost), read(destination, host)]);
  return { source: from, destination: to };
}

/**
 * Inside one vCenter only its host says at which end a VM is. Of a destination whose hosts are named, every one of them is that end, also
 * when the VM was sent to another one of them: vSphere's own balancing may have moved it on since.
 */
export function hostsOfDestination(
  hosts: readonly Host[],
  { config }: VmwareSession,
  { destinationHost }: VmwareOptions,
): readonly Host[] {
  if (config.hosts.length > 0) return membersOf(hosts, config.hosts);
  const only = destinationHost === undefined ? undefined : findByNameOrId(hosts, destinationHost, 'hosts');
  return only === undefined ? [] : [only];
}

function chooseHost(
  parts: Parts,
  sourceHost: Host | undefined,
  destination: VmwareSession,
  gaps: Gap[],
): Host | undefined {
  const { request, destinationPlaces, sameVCenter } = parts;
  const { destinationHost } = request.options;
  if (request.disksAlone === true && destinationHost === undefined) return sourceHost;
  const members = membersOf(destinationPlaces.hosts, destination.config.hosts);
  if (destinationHost !== undefined) {
    const there = members.filter(isLive).map(({ record }) => record.name);
    const gap = (what: string): Gap => ({
      kind: 'host',
      message: `The destination host ${destinationHost} ${what}.`,
      remedy: `Name one of: ${listed(there, ', ') || 'none is connected and out of maintenance'}.`,
    });
    const wanted = findOrGap(members, destinationHost, gap('is not there'), gaps);
    if (wanted !== undefined && !isLive(wanted)) gaps.push(gap('is not connected, or in maintenance'));
    return wanted;
  }
  if (sameVCenter && destination.config.hosts.length === 0) {
    gaps.push({
      kind: 'site',
      message: 'Source and destination are one vCenter, and nobody has said which of its hosts are the destination.',
      remedy: 'Name them in `hosts` of the endpoint, or one in the option destinationHost.',
    });
    return undefined;
  }
  const live = members.filter(isLive);
  const best = live.toSorted(
    (one, other) => fitness(parts, other) - fitness(parts, one) || memoryFreeBytes(other) - memoryFreeBytes(one),
  )[0];
  if (best === undefined) {
    gaps.push({
      kind: 'host',
      message: 'No host of the destination is connected and out of maintenance.',
      remedy: 'Bring one back, or name others in `hosts` of the endpoint.',
    });
  }
  return best;
}

/** The fewer gaps a host leaves, the better; among equals, free memory decides. */
const fitness = (parts: Parts, host: Host): number =>
  -(placeDisks(parts, host).gaps.length + mapCards(parts, host).gaps.length);

function placeAt(parts: Parts, sourceHost: Host | undefined, host: Host, gaps: Gap[]) {
  const { request, sourcePlaces, destinationPlaces, sameVCenter } = parts;
  const { resourcePool, folder } = request.options;
  const compute = destinationPlaces.computes.find(({ ref }) => sameRef(ref, host.record.parent));
  const staysInCompute = sameVCenter && sameRef(sourceHost?.record.parent, host.record.parent);
  const datacenter = datacenterOf(destinationPlaces, host);
  const before = sourceHost === undefined ? undefined : datacenterOf(sourcePlaces, sourceHost);
  const staysInDatacenter = sameVCenter && sameRef(before?.ref, datacenter?.ref);
  // A name means one of the places that this host has: every cluster's root pool is called Resources.
  const pools = destinationPlaces.pools.filter(({ record }) => sameRef(record.owner, host.record.parent));
  const folders = datacenter === undefined ? destinationPlaces.folders : vmFoldersOf(destinationPlaces, datacenter);
  return {
    pool:
      named(pools, resourcePool, missing('pool', resourcePool, host), gaps) ??
      (staysInCompute ? undefined : compute?.record.resourcePool),
    folder:
      named(folders, folder, missing('folder', folder, host), gaps) ??
      (staysInDatacenter ? undefined : datacenter?.record.vmFolder),
  };
}

const named = (rows: Places['folders'], wanted: string | undefined, gap: Gap, gaps: Gap[]): Ref | undefined =>
  wanted === undefined ? undefined : findOrGap(rows, wanted, gap, gaps)?.ref;

const missing = (kind: 'pool' | 'folder', wanted: string | undefined, { record }: Host): Gap => ({
  kind,
  message: `${record.name} has no ${kind} ${wanted} in its ${kind === 'pool' ? 'cluster' : 'datacenter'}.`,
  remedy: 'Choose one that is there, by name or id.',
});

/** In one vCenter: whether it runs at a host of the destination before anything was done, or its disks alone are where they are to go. */
export function isThereAlready({ destination }: Ends, plan: Plan): boolean {
  if (!plan.sameVCenter) return false;
  if (plan.request.disksAlone === true) return plan.gaps.length === 0 && plan.datastore === undefined;
  const { hosts } = destination.config;
  const one = plan.host === undefined ? [] : [plan.host];
  const members = hosts.length > 0 ? membersOf(plan.destinationPlaces.hosts, hosts) : one;
  return members.some(({ ref }) => sameRef(ref, plan.sourceHost?.ref));
}

/** In words, after the VM's name. */
export const thereAlready = ({ request }: Plan): string =>
  request.disksAlone === true ? 'has its disks where they are to go' : 'runs on a host of the destination already';

export const nameOf = (rows: readonly Row<{ readonly name: string }>[], ref: Ref | undefined): string =>
  decodeName(rows.find((row) => sameRef(row.ref, ref))?.record.name ?? ref?.value ?? 'nothing');
