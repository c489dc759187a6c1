/**
 * Reads the VM at the source and decides what its copy will be and where: the same answer for the checks and for the drill
 * itself. No side effects.
 *
 * Every disk that holds something is copied, shared storage or not: the copy never opens a file that the VM has. What can be
 * written is read through a backup, a point in time; a medium that cannot (a CD-ROM) is read as it lies there.
 */
import { dirname } from 'node:path';
import { type DrillRequest, PluginError } from '@lmas/plugin-api';
import type { KvmOptions } from '../config.ts';
import { type Definition, type DiskDefinition, readDefinition } from '../definition/definition.ts';
import { descend, parseXml, textOf } from '../definition/xml.ts';
import { isFault } from '../errors.ts';
import { ERROR } from '../rpc/constants.ts';
import type { Domain } from '../rpc/procedures.ts';
import { diskCapacity, type KvmSession } from '../session.ts';
import { heldBytes } from './held.ts';
import { type DrillNames, drillNames, fileName } from './names.ts';
import { scratchName } from './scratch.ts';

interface Options {
  readonly signal: AbortSignal;
}

export interface Ends {
  readonly source: KvmSession;
  readonly destination: KvmSession;
}

export interface PlannedDisk {
  /** Target name: `vda`. */
  readonly name: string;
  /** `backup`: its content at one moment, while the VM writes on. `file`: nobody writes to it. */
  readonly via: 'backup' | 'file';
  readonly from: string;
  readonly fromFormat: string;
  readonly to: string;
  readonly format: 'raw' | 'qcow2';
  /** What the guest sees; `null` when libvirt cannot tell. */
  readonly capacityBytes: number | null;
  /** What it holds, at most: what has to cross, and what a backup may have to keep of it. */
  readonly heldBytes: number;
  /** Where a backup keeps what the VM overwrites meanwhile; `undefined` for one that is read as it lies there. */
  readonly scratch: string | undefined;
}

export interface DrillPlan {
  readonly names: DrillNames;
  readonly domain: Domain;
  /** Live, without secrets. */
  readonly xml: string;
  readonly definition: Definition;
  readonly disks: readonly PlannedDisk[];
  /** Drives whose medium is not a file or a device of the source: they are empty in the copy. */
  readonly emptied: readonly string[];
  /** At the destination, for what is no disk (UEFI variables). */
  readonly directory: string;
}

/** Where libvirt keeps images if nobody says otherwise. */
const IMAGES = '/var/lib/libvirt/images';

/** The directory of the storage pool `default`, which most hosts have. */
async function defaultDirectory(session: KvmSession, options: Options): Promise<string> {
  const client = await session.query(options);
  try {
    const { pool } = await client.call('storagePoolLookupByName', { name: 'default' }, options);
    const { xml } = await client.call('storagePoolGetXmlDesc', { pool, flags: 0 }, options);
    const path = textOf(descend(parseXml(xml, 'pool').root, 'target', 'path'));
    return path === undefined || isDevice(path) ? IMAGES : path;
  } catch (error) {
    if (isFault(error)) return IMAGES;
    throw error;
  }
}

export const isDevice = (path: string): boolean => path === '/dev' || path.startsWith('/dev/');

const isMedium = ({ device }: DiskDefinition): boolean => device === 'cdrom' || device === 'floppy';
const isLocal = ({ sourceType }: DiskDefinition): boolean => sourceType === 'file' || sourceType === 'block';

/** @throws PluginError VM_NOT_FOUND, and whatever the connections suffer */
export async function makeDrillPlan(
  { source, destination }: Ends,
  request: DrillRequest<KvmOptions>,
  options: Options,
): Promise<DrillPlan> {
  const client = await source.query(options);
  const domain = await client.lookup(request.vm.id, options);
  if (domain === null) throw new PluginError('VM_NOT_FOUND', `${source.transport.peer} has no VM ${request.vm.id}.`);
  const xml = await client.xml(domain, 0, options);
  const definition = readDefinition(xml);
  const names = drillNames(request.migrationId, request.vm.name);
  const { drill } = request.options;
  const directory = drill.directory ?? (await defaultDirectory(destination, options));
  const scratchDefault = drill.scratchDirectory ?? (await defaultDirectory(source, options));
  const disks: PlannedDisk[] = [];
  const emptied: string[] = [];
  for (const disk of definition.disks) {
    const { name, location } = disk;
    if (location === undefined) continue;
    const via = disk.readOnly ? 'file' : 'backup';
    if (via === 'file' && !isLocal(disk) && isMedium(disk)) {
      emptied.push(name);
      continue;
    }
    const format = disk.format === 'qcow2' ? 'qcow2' : 'raw';
    const hint = drill.directory === undefined ? request.diskMap[name] : undefined;
    const place = hint === undefined || isDevice(hint) ? directory : dirname(hint);
    const scratchPlace = drill.scratchDirectory ?? (disk.sourceType === 'file' ? dirname(location) : scratchDefault);
    const capacityBytes = await diskCapacity(client, domain, disk, options);
    const held = await heldBytes(source.transport, disk, capacityBytes, options);
    disks.push({
      ...{ name, via, from: location, fromFormat: disk.format, format },
      to: inside(place, fileName(names, name, format === 'raw' ? 'img' : 'qcow2')),
      ...{ capacityBytes, heldBytes: held },
      scratch: via === 'file' ? undefined : inside(scratchPlace, scratchName(names, name, held)),
    });
  }
  return { names, domain, xml, definition, disks, emptied, directory };
}

export const inside = (directory: string, file: string): string => `${directory.replace(/\/+$/, '')}/${file}`;

/** The socket of another drill's backup, or of anybody's: what the running backup says of itself; `null` without one. */
export async function backupXml(session: KvmSession, domain: Domain, options: Options): Promise<string | null> {
  const client = await session.query(options);
  try {
    return (await client.call('domainBackupGetXmlDesc', { domain, flags: 0 }, options)).xml;
  } catch (error) {
    // A domain without a process has no backup either.
    if (isFault(error, ERROR.NO_DOMAIN_BACKUP, ERROR.NO_DOMAIN, ERROR.OPERATION_INVALID)) return null;
    throw error;
  }
}
