/**
 * Reads the VM at the source and decides what has to move and where to: the same answer for the checks and for the
 * migration itself. No side effects.
 */
import { type MigrationRequest, PluginError } from '@lmas/plugin-api';
import type { KvmOptions } from '../config.ts';
import { type Definition, type DiskDefinition, readDefinition } from '../definition/definition.ts';
import { changesDefinition, type Mapping, mapDefinition } from '../definition/mapping.ts';
import { XML } from '../rpc/constants.ts';
import type { Domain } from '../rpc/procedures.ts';
import type { KvmSession } from '../session.ts';

export interface CopiedDisk {
  /** Target name: `vda`. */
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly format: string;
  /** What the guest sees; `null` when libvirt could not tell. */
  readonly capacityBytes: number | null;
  /** What is really in use at the source. */
  readonly allocationBytes: number | null;
}

export interface Plan {
  readonly domain: Domain;
  /** The live definition, without secrets. */
  readonly definition: Definition;
  /** Started with its host; libvirt does not take this along. */
  readonly autostart: boolean;
  /** The definition that stays when the VM is off, without secrets: for the report. */
  readonly sourceXml: string;
  readonly copied: readonly CopiedDisk[];
  /**
   * Every writable disk that is not copied lies in a directory that both endpoints are configured to share, and no host
   * caches it. libvirt knows shared storage only by the type of its file system; here somebody has vouched for it.
   */
  readonly vouched: boolean;
  readonly mapping: Mapping;
}

const under = (path: string, directory: string): boolean =>
  path === directory || path.startsWith(directory.endsWith('/') ? directory : `${directory}/`);

/** Whether the disk has to be copied for the destination to have it. */
export function needsCopy(
  disk: DiskDefinition,
  request: MigrationRequest<KvmOptions>,
  sharedPaths: SharedPaths,
): boolean {
  const { location } = disk;
  if (location === undefined || disk.readOnly || disk.sourceType === 'network') return false;
  if (request.options.disks !== 'auto') return request.options.disks === 'copy';
  return !isShared(disk, request, sharedPaths);
}

type SharedPaths = { readonly source: readonly string[]; readonly destination: readonly string[] };

export function isShared(
  { name, location }: DiskDefinition,
  { diskMap }: MigrationRequest<KvmOptions>,
  sharedPaths: SharedPaths,
): boolean {
  if (location === undefined) return false;
  return (
    sharedPaths.source.some((directory) => under(location, directory)) &&
    sharedPaths.destination.some((directory) => under(diskMap[name] ?? location, directory))
  );
}

const UNCACHED: readonly (string | undefined)[] = ['none', 'directsync'];

async function measure(
  source: KvmSession,
  domain: Domain,
  name: string,
  signal: AbortSignal,
): Promise<{ capacityBytes: number | null; allocationBytes: number | null }> {
  const client = await source.query({ signal });
  try {
    const info = await client.call('domainGetBlockInfo', { domain, path: name, flags: 0 }, { signal });
    return { capacityBytes: Number(info.capacity), allocationBytes: Number(info.allocation) };
  } catch (error) {
    if (client.closed.aborted || signal.aborted) throw error;
    return { capacityBytes: null, allocationBytes: null };
  }
}

/** @throws PluginError VM_NOT_FOUND, and whatever the connection suffers */
export async function makePlan(
  source: KvmSession,
  destination: KvmSession,
  request: MigrationRequest<KvmOptions>,
  { signal }: { signal: AbortSignal },
): Promise<Plan> {
  const client = await source.query({ signal });
  const domain = await client.lookup(request.vm.id, { signal });
  if (domain === null) throw new PluginError('VM_NOT_FOUND', `${source.transport.peer} has no VM ${request.vm.id}.`);
  const definition = readDefinition(await client.xml(domain, 0, { signal }));
  const sourceXml = await client.xml(domain, XML.inactive, { signal });
  const { autostart } = await client.call('domainGetAutostart', { domain }, { signal });
  const sharedPaths = { source: source.config.sharedPaths, destination: destination.config.sharedPaths };
  const copied: CopiedDisk[] = [];
  for (const disk of definition.disks) {
    if (!needsCopy(disk, request, sharedPaths) || disk.location === undefined) continue;
    const to = request.diskMap[disk.name] ?? disk.location;
    const size = await measure(source, domain, disk.name, signal);
    copied.push({ name: disk.name, from: disk.location, to, format: disk.format, ...size });
  }
  const staying = definition.disks.filter(
    (disk) => disk.location !== undefined && !disk.readOnly && !copied.some(({ name }) => name === disk.name),
  );
  const vouched =
    staying.length > 0 &&
    staying.every((disk) => isShared(disk, request, sharedPaths) && UNCACHED.includes(disk.cache));
  const flattened = new Set(
    definition.disks
      .filter((disk) => disk.hasBacking && copied.some((copy) => copy.name === disk.name))
      .map(({ name }) => name),
  );
  return {
    domain,
    definition,
    autostart: autostart !== 0,
    sourceXml,
    copied,
    vouched,
    mapping: { disks: request.diskMap, networks: request.networkMap, flattened },
  };
}

/**
 * The destination's live and persistent definitions, when they have to differ from the source's. They hold what libvirt
 * calls security-sensitive (graphics passwords): they go to libvirt and nowhere else.
 */
export async function mappedDefinitions(
  source: KvmSession,
  plan: Plan,
  { signal }: { signal: AbortSignal },
): Promise<{ live: string; persistent: string } | undefined> {
  if (!changesDefinition(plan.mapping)) return undefined;
  const client = await source.query({ signal });
  const live = await client.xml(plan.domain, XML.secure | XML.migratable, { signal });
  const persistent = await client.xml(plan.domain, XML.secure | XML.migratable | XML.inactive, { signal });
  return { live: mapDefinition(live, plan.mapping), persistent: mapDefinition(persistent, plan.mapping) };
}
