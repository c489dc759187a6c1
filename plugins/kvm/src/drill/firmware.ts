/**
 * UEFI variables: the copy gets a file of its own with what the VM's holds now, boot entries above all. It goes over the
 * connections that we have to both hosts, compressed, since it is mostly empty.
 */
import { type MigrationContext, PluginError, type PluginResource } from '@lmas/plugin-api';
import { removeFile } from '../files.ts';
import type { KvmSession } from '../session.ts';
import { failed } from './key.ts';
import { type DrillNames, fileName, isOwnFile } from './names.ts';
import { type DrillPlan, type Ends, inside } from './plan.ts';

interface Options {
  readonly signal: AbortSignal;
}

const READ = 'exec gzip -c < "$1"';
/** noclobber: a file that is there is somebody else's. */
const WRITE = 'umask 077; set -C; gzip -dc > "$1"';

export const nvramPath = ({ names, directory }: DrillPlan): string => inside(directory, fileName(names, 'VARS', 'fd'));

/** Journalled first. @throws PluginError */
export async function copyNvram(
  { source, destination }: Ends,
  from: string,
  to: string,
  context: MigrationContext,
  { signal }: Options,
): Promise<void> {
  const read = await source.transport.exec(['sh', '-c', READ, 'sh', from], { signal });
  if (read.exitCode !== 0) throw failed(`reading ${from}`, read.stderr);
  const byHand = `At the destination host, once the copy is gone, remove ${to}.`;
  await context.recordIntent({ kind: 'firmware', id: to, end: 'destination', data: {}, byHand });
  await context.assertCurrent();
  const written = await destination.transport.exec(['sh', '-c', WRITE, 'sh', to], { signal, stdin: read.stdout });
  if (written.exitCode !== 0) throw failed(`writing ${to}`, written.stderr);
}

/** "Not there" is done. @throws PluginError BUSY while the copy is there */
export async function removeNvram(
  destination: KvmSession,
  { id: path }: PluginResource,
  names: DrillNames,
  context: MigrationContext,
  { signal }: Options,
): Promise<void> {
  if (!isOwnFile(names, path)) {
    throw new PluginError('INVALID_CONFIG', `${path} is no file of this drill.`);
  }
  const client = await destination.query({ signal });
  if ((await client.lookup(names.uuid, { signal })) !== null) {
    throw new PluginError('BUSY', `${path} is not removed: the copy is still there.`);
  }
  await context.assertCurrent();
  await removeFile(destination.transport, path, { signal });
}
