/**
 * Volumes at the destination for disks that are copied: made where they are missing, in the storage pool that covers the
 * path, or as a plain image where there is no pool.
 *
 * The intent is journalled before a volume is made, and the fact after it. A rollback takes away what the journal says
 * was made; for a mere intent, only a volume that is of our size and holds nothing: whoever else may have made one at
 * that very moment loses no data. A rollback may come late: what a VM at the destination uses by then is its disk, and
 * stays (presence is asked of the daemon; an end that does not answer loses nothing).
 */
import { basename, dirname } from 'node:path';
import { type MigrationContext, type MigrationRequest, PluginError, type PluginResource } from '@lmas/plugin-api';
import { uuidText } from './client.ts';
import type { KvmOptions } from './config.ts';
import { imagesOf } from './definition/definition.ts';
import { escapeXml } from './definition/xml.ts';
import { isFault } from './errors.ts';
import { createImage, type FileFacts, imageInfo, isAmong, isSameFile, removeFile, statFile } from './files.ts';
import type { CopiedDisk } from './migration/plan.ts';
import { ERROR, XML } from './rpc/constants.ts';
import type { ResultOf } from './rpc/procedures.ts';
import type { KvmSession } from './session.ts';

interface Options {
  readonly signal: AbortSignal;
}

type Pool = ResultOf<'storagePoolLookupByTargetPath'>['pool'];

/** Metadata that an empty qcow2 image has; data would be more. */
const EMPTY_BYTES = 1024 * 1024;

/** The pool whose directory holds `path`; `null` without one, or without a storage driver. */
export async function poolOf(session: KvmSession, path: string, { signal }: Options): Promise<Pool | null> {
  const client = await session.query({ signal });
  try {
    return (await client.call('storagePoolLookupByTargetPath', { path: dirname(path) }, { signal })).pool;
  } catch (error) {
    if (isFault(error)) return null;
    throw error;
  }
}

type NewVolume = Pick<CopiedDisk, 'to' | 'format'>;

async function createInPool(session: KvmSession, pool: Pool, disk: NewVolume, capacity: number, signal: AbortSignal) {
  const client = await session.query({ signal });
  const name = escapeXml(disk.to.slice(dirname(disk.to).length).replace(/^\//, ''));
  const format = escapeXml(disk.format);
  const xml =
    `<volume><name>${name}</name><capacity unit='bytes'>${capacity}</capacity><allocation>0</allocation>` +
    `<target><format type='${format}'/></target></volume>`;
  await client.call('storageVolCreateXml', { pool, xml, flags: 0 }, { signal });
}

/**
 * Makes a volume for each disk that has none at its place. What is there is looked at again, since it may have come after
 * the checks: it is used only if it may be overwritten, and never if it is the disk itself.
 * @returns the paths that were made
 * @throws PluginError NOT_MIGRATABLE when something is in the way, BUSY when a VM there uses what may be overwritten
 */
export async function createMissingVolumes(
  { source, destination }: { readonly source: KvmSession; readonly destination: KvmSession },
  request: MigrationRequest<KvmOptions>,
  disks: readonly CopiedDisk[],
  context: MigrationContext,
  { signal }: Options,
): Promise<string[]> {
  const created: string[] = [];
  for (const disk of disks) {
    const there = await statFile(destination.transport, disk.to, { signal });
    if (there !== null) {
      const here = await statFile(source.transport, disk.from, { signal });
      assertMayOverwrite(disk, here, there, mayOverwrite(request, disk.to));
      await assertUnused(destination, disk.to, request.vm.id, 'overwritten', { signal });
      continue;
    }
    const { capacityBytes } = disk;
    if (capacityBytes === null) {
      throw new PluginError('NOT_MIGRATABLE', `The size of ${disk.name} is unknown, so no volume can be made for it.`);
    }
    await createVolume(destination, request.migrationId, { ...disk, capacityBytes }, context, { signal });
    created.push(disk.to);
  }
  return created;
}

/** Where nothing is yet. Journalled before and after it is made. @throws PluginError, also when something is there */
export async function createVolume(
  destination: KvmSession,
  migrationId: string,
  disk: NewVolume & { readonly capacityBytes: number; readonly byHand?: string },
  context: MigrationContext,
  { signal }: Options,
): Promise<void> {
  const { to, format, capacityBytes, byHand } = disk;
  const pool = await poolOf(destination, to, { signal });
  const via = pool === null ? 'image' : 'pool';
  const resource = (made: boolean): PluginResource => ({
    kind: 'volume',
    id: to,
    end: 'destination',
    data: { migrationId, via, format, capacityBytes, made },
    ...(byHand !== undefined && { byHand }),
  });
  await context.recordIntent(resource(false));
  await context.assertCurrent();
  if (pool === null) await createImage(destination.transport, to, format, capacityBytes, { signal });
  else await createInPool(destination, pool, disk, capacityBytes, signal);
  await context.recordIntent(resource(true));
}

/** Whatever may be overwritten, or what an earlier move of this VM has left there; that nobody uses it is looked at besides. */
export const mayOverwrite = ({ options, mayReplace = [] }: MigrationRequest<KvmOptions>, path: string): boolean =>
  options.overwriteDisks || mayReplace.includes(path);

function assertMayOverwrite(disk: CopiedDisk, here: FileFacts | null, there: FileFacts, overwrite: boolean): void {
  if (here !== null && isSameFile(here, there)) {
    const message = `${disk.to} at the destination is the very file that ${disk.name} uses.`;
    throw new PluginError('NOT_MIGRATABLE', message, {
      remedy: 'List its directory in sharedPaths of both endpoints: copying it onto itself would destroy it.',
    });
  }
  if (overwrite) return;
  throw new PluginError('NOT_MIGRATABLE', `The destination has something at ${disk.to} already.`, {
    remedy: 'If it may be overwritten, set overwriteDisks; else map the disk elsewhere.',
  });
}

/**
 * Takes a journalled volume away. Idempotent; "not there" is done; what may hold somebody else's data is left.
 * @throws PluginError BUSY when the host knows this VM, or another one uses the volume; whatever the connection suffers
 */
export async function releaseVolume(
  session: KvmSession,
  resource: PluginResource,
  uuid: string,
  context: MigrationContext,
  { signal }: Options,
): Promise<void> {
  const { id: path, data } = resource;
  if ((await statFile(session.transport, path, { signal })) === null) return;
  if (data.made !== true) {
    const { format, capacityBytes } = data;
    const facts = await imageInfo(session.transport, path, String(format), { signal });
    if (facts.capacityBytes !== capacityBytes || facts.allocationBytes > EMPTY_BYTES) return;
  }
  await assertUnused(session, path, uuid, 'deleted', { signal });
  await context.assertCurrent();
  if (data.via !== 'pool') return removeFile(session.transport, path, { signal });
  const client = await session.query({ signal });
  try {
    const { volume } = await client.call('storageVolLookupByPath', { path }, { signal });
    await client.call('storageVolDelete', { volume, flags: 0 }, { signal });
  } catch (error) {
    if (!isFault(error, ERROR.NO_STORAGE_VOL)) throw error;
  }
}

/** @throws PluginError BUSY when the host knows this VM, or another one uses the volume */
async function assertUnused(
  session: KvmSession,
  path: string,
  uuid: string,
  what: 'deleted' | 'overwritten',
  { signal }: Options,
): Promise<void> {
  const client = await session.query({ signal });
  if ((await client.lookup(uuid, { signal })) !== null) {
    throw inUse(path, what, `${session.transport.peer} knows the VM that it was made for`);
  }
  const user = await userOf(session, path, uuid, { signal });
  if (user !== null) throw inUse(path, what, `the VM ${user} of ${session.transport.peer} uses it`);
}

/**
 * Which VM of this host, but for the one of this id, uses the file. Whatever runs, waits or is only defined counts, under any name of the file.
 * @throws PluginError when nobody can tell
 */
export async function userOf(
  session: KvmSession,
  path: string,
  except: string,
  { signal }: Options,
): Promise<string | null> {
  const client = await session.query({ signal });
  const { domains } = await client.call('connectListAllDomains', { needResults: 1, flags: 0 }, { signal });
  for (const domain of domains) {
    if (uuidText(domain.uuid) === except) continue;
    const sources = new Set<string>();
    try {
      for (const flags of [0, XML.inactive]) {
        for (const source of imagesOf(await client.xml(domain, flags, { signal }))) sources.add(source);
      }
    } catch (error) {
      if (isFault(error, ERROR.NO_DOMAIN)) continue; // gone since it was listed
      throw error;
    }
    // A name alone may be another pool's; then the volume is kept for nothing.
    const named = sources.has(path) || sources.has(basename(path));
    if (named || (await isAmong(session.transport, path, [...sources], { signal }))) return domain.name;
  }
  return null;
}

const inUse = (path: string, what: 'deleted' | 'overwritten', why: string): PluginError =>
  new PluginError('BUSY', `${path} is not ${what}: ${why}.`, {
    remedy:
      what === 'deleted'
        ? 'If a VM needs it, keep it: nothing is left to do. Otherwise remove that definition, and delete it by hand.'
        : 'Map the disk elsewhere, or take it from that VM if it needs it no more.',
  });
