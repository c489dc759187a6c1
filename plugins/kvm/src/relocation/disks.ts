/**
 * The disks of a VM that is off which only its source has: each is copied as a file, by qemu-img at the source to what receives it at the
 * destination, as the disks of a drill are (drill/receiver.ts, drill/transfer.ts).
 *
 * Invariant: what the destination gets is what the source has when its definition goes. While qemu-img reads an image it holds QEMU's
 * lock on it, so that the VM cannot start; and an image that was written to since `prepare`, whoever did that, is never left for its copy.
 */
import { type Flow, type MigrationProgress, PluginError, type Routes } from '@lmas/plugin-api';
import { dropKey, makeKey, putKey } from '../drill/key.ts';
import { drillNames } from '../drill/names.ts';
import { startReceivers, stopReceivers } from '../drill/receiver.ts';
import { transfer } from '../drill/transfer.ts';
import { imageInfo, statFile, wholeSectors } from '../files.ts';
import type { CopiedDisk } from '../migration/plan.ts';
import { createMissingVolumes } from '../volumes.ts';
import { asMigration, type Placing, type RelocationPlan, type RelocationState } from './plan.ts';

interface Options {
  readonly signal: AbortSignal;
}

export const KEY = 'key';

export const isCopyable = ({ format }: CopiedDisk): boolean => format === 'raw' || format === 'qcow2';

/** The two directories of the key, named after the record. */
export const keyDirectories = ({ migrationId, vm }: { migrationId: string; vm: { name: string } }) =>
  drillNames(migrationId, vm.name).keyDirectory;

/** Places at the destination, somebody who listens for each, and the key at the source. Journalled first. @throws PluginError */
export async function awaitDisks(
  { ends, request, context }: Placing,
  plan: RelocationPlan,
  { signal }: Options,
): Promise<{ flows: readonly Flow[]; disks: RelocationState['disks'] }> {
  if (plan.copied.length === 0) return { flows: [], disks: [] };
  const copied = plan.copied.map((disk) => {
    return { ...disk, capacityBytes: disk.capacityBytes === null ? null : wholeSectors(disk.capacityBytes) };
  });
  const disks: RelocationState['disks'] = [];
  const seen = await Promise.all(copied.map(({ from }) => statFile(ends.source.transport, from, { signal })));
  const created = await createMissingVolumes(ends, asMigration(request), copied, context, { signal });
  for (const [index, disk] of copied.entries()) {
    const image = seen[index];
    if (image?.kind !== 'file' || !isCopyable(disk) || disk.capacityBytes === null)
      throw new PluginError('NOT_MIGRATABLE', `${disk.name} is no image file that can be copied.`);
    const { name, from, to, capacityBytes, allocationBytes } = disk;
    const format = disk.format === 'qcow2' ? 'qcow2' : 'raw';
    disks.push({
      ...{ name, via: 'file', from, fromFormat: format, to, format, capacityBytes },
      ...{ bytes: allocationBytes ?? capacityBytes, isOverwritten: !created.includes(to) },
      seen: { inode: image.inode, sizeBytes: image.sizeBytes, modifiedSec: image.modifiedSec },
    });
  }
  const names = drillNames(request.migrationId, request.vm.name);
  const key = makeKey();
  const flows = await startReceivers(ends.destination, names, disks, key, context, { signal });
  const directory = names.keyDirectory.source;
  await context.recordIntent({
    ...{ kind: KEY, id: directory, end: 'source', data: {}, lifetime: 'migration' },
    byHand: `At the source host, remove ${directory}.`,
  });
  await context.assertCurrent();
  await putKey(ends.source.transport, directory, key, { signal });
  return { flows, disks };
}

/** @throws PluginError ABORTED, STREAM_FAILED, CONNECTION_LOST, BUSY */
export async function copyDisks(
  { ends, request, context }: Placing,
  { disks }: RelocationState,
  routes: Routes,
  options: Options & { onProgress: (progress: MigrationProgress) => void; onWork?: () => void },
): Promise<void> {
  if (disks.length === 0) return;
  const { signal } = options;
  const { source, destination } = keyDirectories(request);
  const state = { disks, keyDirectory: source, socket: null };
  await transfer(ends.source, state, routes, request.bandwidthBytesPerSec, options);
  await context.assertCurrent();
  await stopReceivers(ends.destination, destination, { signal, keepData: true });
  for (const { to, format, capacityBytes } of disks) {
    const there = await imageInfo(ends.destination.transport, to, format, { signal });
    if (there.capacityBytes === capacityBytes) continue;
    throw new PluginError('HYPERVISOR_FAULT', `${to} has ${there.capacityBytes} bytes instead of ${capacityBytes}.`);
  }
  await context.assertCurrent();
  await dropKey(ends.source.transport, source, { signal });
}

/** @throws PluginError NOT_MIGRATABLE: the VM has run since, or somebody else has written to its disks */
export async function assertAsCopied(
  { ends }: Pick<Placing, 'ends'>,
  { disks }: RelocationState,
  { signal }: Options,
): Promise<void> {
  for (const { name, from, seen } of disks) {
    if (isUnchanged(seen, await statFile(ends.source.transport, from, { signal }))) continue;
    throw new PluginError('NOT_MIGRATABLE', `${name} was written to since it began to be copied: the VM has run.`, {
      remedy: 'Move it as it runs, or shut it down and move it again.',
    });
  }
}

type Seen = RelocationState['disks'][number]['seen'];

/** Whether nobody has written to a file since, or put another one in its place. `null`: there is none. */
export const isUnchanged = (seen: Seen | null, now: Seen | null): boolean =>
  now?.inode === seen?.inode && now?.sizeBytes === seen?.sizeBytes && now?.modifiedSec === seen?.modifiedSec;
