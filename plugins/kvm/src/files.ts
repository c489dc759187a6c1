/**
 * Looks at and makes disk images on a host by commands, where libvirt has no call for it. Arguments are quoted by the SSH
 * package; scripts are constant and get their values as arguments.
 */
import { PluginError } from '@lmas/plugin-api';
import { z } from 'zod';
import type { HostTransport } from './transport.ts';

interface Options {
  readonly signal: AbortSignal;
}

export interface FileFacts {
  readonly kind: 'file' | 'block' | 'other';
  readonly sizeBytes: number;
  readonly inode: string;
  readonly modifiedSec: number;
}

/** Longer than a client of network storage keeps what it knows of a file, the guest writing to it all the while. */
const ATTRIBUTE_CACHE_SEC = 120;

/** Whether two ends see one and the same file. In doubt they do: a copy onto itself destroys it. */
export const isSameFile = (one: FileFacts, other: FileFacts): boolean =>
  one.kind === 'file' &&
  other.kind === 'file' &&
  one.inode === other.inode &&
  Math.abs(one.modifiedSec - other.modifiedSec) <= ATTRIBUTE_CACHE_SEC;

const STAT =
  'if [ -e "$1" ]; then exec stat -L -c "%F|%s|%i|%Y" -- "$1"; fi; [ -x "$(dirname -- "$1")" ] && exit 3; exit 4';

/** `null` when there is nothing at `path`. @throws PluginError when nobody can tell */
export async function statFile(host: HostTransport, path: string, options: Options): Promise<FileFacts | null> {
  const { exitCode, stdout, stderr } = await host.exec(['sh', '-c', STAT, 'sh', path], options);
  if (exitCode === 3) return null;
  if (exitCode === 4) throw new PluginError('INVALID_CONFIG', `${path} is in no directory that we can see.`);
  const [type = '', size = '', inode = '', modified = ''] = stdout.toString('utf8').trim().split('|');
  if (exitCode !== 0 || inode === '') throw failed('stat', stderr);
  const kind = type.startsWith('regular') ? 'file' : type.startsWith('block') ? 'block' : 'other';
  return { kind, sizeBytes: Number(size), inode, modifiedSec: Number(modified) };
}

const ANY = 'for file; do [ -e "$file" ] && exit 3; done; exit 0';

/** @throws PluginError when nobody can tell */
export async function isAnyThere(host: HostTransport, paths: readonly string[], options: Options): Promise<boolean> {
  const { exitCode, stderr } = await host.exec(['sh', '-c', ANY, 'sh', ...paths], options);
  if (exitCode !== 0 && exitCode !== 3) throw failed('looking for files', stderr);
  return exitCode === 3;
}

/** QEMU knows whole sectors only: a raw image of any other size is taken for one that ends with its last one. */
export const wholeSectors = (bytes: number): number => Math.ceil(bytes / 512) * 512;

/** Room for an unprivileged writer in the file system of `directory`. */
export async function freeBytes(host: HostTransport, directory: string, options: Options): Promise<number> {
  const { exitCode, stdout, stderr } = await host.exec(['stat', '-f', '-c', '%a %S', '--', directory], options);
  const [blocks, blockBytes] = stdout.toString('utf8').trim().split(' ').map(Number);
  if (exitCode !== 0 || blocks === undefined || blockBytes === undefined) throw failed('stat -f', stderr);
  return blocks * blockBytes;
}

const imageSchema = z.object({ 'virtual-size': z.number(), format: z.string(), 'actual-size': z.number().optional() });

export interface ImageFacts {
  readonly format: string;
  readonly capacityBytes: number;
  readonly allocationBytes: number;
}

/** What QEMU makes of an image. @param format given, never guessed: a raw image's content must not choose it */
export async function imageInfo(
  host: HostTransport,
  path: string,
  format: string,
  options: Options,
): Promise<ImageFacts> {
  const command = ['qemu-img', 'info', '-U', '-f', format, '--output=json', '--', path];
  const { exitCode, stdout, stderr } = await host.exec(command, options);
  if (exitCode !== 0) throw failed('qemu-img info', stderr);
  const info = imageSchema.parse(JSON.parse(stdout.toString('utf8')));
  return { format: info.format, capacityBytes: info['virtual-size'], allocationBytes: info['actual-size'] ?? 0 };
}

/** O_EXCL by way of noclobber: a file that somebody else made in the meantime is left alone. */
const CREATE = 'umask 077; set -C; : > "$1" || exit 5; exec qemu-img create -q -f "$2" -- "$1" "$3"';

/** @throws PluginError, also when the file is there already */
export async function createImage(
  host: HostTransport,
  path: string,
  format: string,
  capacityBytes: number,
  options: Options,
): Promise<void> {
  const command = ['sh', '-c', CREATE, 'sh', path, format, String(capacityBytes)];
  const { exitCode, stderr } = await host.exec(command, options);
  if (exitCode !== 0) throw failed('creating the image', stderr);
}

/** `-ef`: the same device and inode, whatever links lead there. */
const AMONG = 'file=$1; shift; for other; do [ "$other" -ef "$file" ] && exit 3; done; exit 0';

/** Whether one of `others` is another name of the file at `path`. @throws PluginError when nobody can tell */
export async function isAmong(
  host: HostTransport,
  path: string,
  others: readonly string[],
  options: Options,
): Promise<boolean> {
  const { exitCode, stderr } = await host.exec(['sh', '-c', AMONG, 'sh', path, ...others], options);
  if (exitCode !== 0 && exitCode !== 3) throw failed('comparing files', stderr);
  return exitCode === 3;
}

/** "Not there" is done. */
export async function removeFile(host: HostTransport, path: string, options: Options): Promise<void> {
  const { exitCode, stderr } = await host.exec(['rm', '-f', '--', path], options);
  if (exitCode !== 0) throw failed('rm', stderr);
}

function failed(what: string, stderr: Buffer): PluginError {
  return new PluginError('HYPERVISOR_FAULT', `${what}: ${stderr.toString('utf8').trim().slice(0, 500)}`);
}
