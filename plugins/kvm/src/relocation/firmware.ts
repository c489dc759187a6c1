/**
 * UEFI variables of a VM that is off: libvirt moves none. What the source's file holds comes to the destination under a name of this
 * relocation's own, and takes the VM's name there once the source has let the VM go. A file of that name that no VM there uses is kept
 * beside it; also where the source has none yet, and an empty one says so: the VM would take the old one for its own.
 */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { type MigrationContext, PluginError, type PluginResource } from '@lmas/plugin-api';
import { failed } from '../drill/key.ts';
import { type FileFacts, removeFile, statFile } from '../files.ts';
import type { Ends } from '../migration/settle.ts';
import type { KvmSession } from '../session.ts';

interface Options {
  readonly signal: AbortSignal;
}

const READ = 'exec gzip -c < "$1"';
const WRITE = 'umask 077; gzip -dc > "$1"';
/** Once it is done there is nothing to be done. What came empty goes last: until then it says that there is something to be done. */
const RENAME =
  '[ -e "$1" ] || exit 0; if [ -e "$2" ] && [ ! -e "$3" ]; then mv -n -- "$2" "$3" || exit 1; fi; ' +
  'if [ -s "$1" ]; then mv -f -- "$1" "$2"; else rm -f -- "$1"; fi';

const tagOf = (migrationId: string): string => createHash('sha256').update(migrationId).digest('hex').slice(0, 16);
export const arrivingPath = (path: string, migrationId: string): string => `${path}.lmas-${tagOf(migrationId)}`;
export const formerPath = (path: string, migrationId: string): string => `${path}.before-${tagOf(migrationId)}`;

/**
 * Journalled first; again, it is brought again.
 * @returns the source's file as it was before it was read; `null`: it has none
 * @throws PluginError
 */
export async function bringNvram(
  { source, destination }: Ends,
  path: string,
  migrationId: string,
  context: MigrationContext,
  { signal }: Options,
): Promise<FileFacts | null> {
  const seen = await statFile(source.transport, path, { signal });
  const to = arrivingPath(path, migrationId);
  // libvirt makes one from its template when the VM is started for the first time.
  const content = seen === null ? gzipSync('') : await readZipped(source, path, { signal });
  await context.recordIntent({
    ...{ kind: 'firmware', id: to, end: 'destination', data: {} },
    byHand: `At the destination host, remove ${to}.`,
  } satisfies PluginResource);
  await context.assertCurrent();
  const written = await destination.transport.exec(['sh', '-c', WRITE, 'sh', to], { signal, stdin: content });
  if (written.exitCode !== 0) throw failed(`writing ${to}`, written.stderr);
  return seen;
}

async function readZipped({ transport }: KvmSession, path: string, { signal }: Options): Promise<Buffer> {
  const read = await transport.exec(['sh', '-c', READ, 'sh', path], { signal });
  if (read.exitCode !== 0) throw failed(`reading ${path}`, read.stderr);
  return read.stdout;
}

/** @throws PluginError */
export async function settleNvram(
  destination: KvmSession,
  path: string,
  migrationId: string,
  context: MigrationContext,
  { signal }: Options,
): Promise<void> {
  await context.assertCurrent();
  const words = ['sh', '-c', RENAME, 'sh', arrivingPath(path, migrationId), path, formerPath(path, migrationId)];
  const { exitCode, stderr } = await destination.transport.exec(words, { signal });
  if (exitCode !== 0) throw failed(`putting the UEFI variables at ${path}`, stderr);
}

/** "Not there" is done. @throws PluginError */
export async function removeArriving(
  destination: KvmSession,
  { id: path }: PluginResource,
  migrationId: string,
  context: MigrationContext,
  { signal }: Options,
): Promise<void> {
  if (!path.endsWith(`.lmas-${tagOf(migrationId)}`))
    throw new PluginError('INVALID_CONFIG', `${path} is no file of this relocation.`);
  await context.assertCurrent();
  await removeFile(destination.transport, path, { signal });
}
