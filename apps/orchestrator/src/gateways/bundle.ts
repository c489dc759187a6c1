/**
 * The gateway program as it is uploaded: one tar.gz, and the SHA-256 of every file in it. What runs at a site is checked
 * against these before each start, so the hashes come from here and not from there.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { LmasError } from '../errors.ts';

const unzip = promisify(gunzip);
const BLOCK = 512;

export interface GatewayBundle {
  readonly file: string;
  /** Of the tar.gz; names its directory at the sites. */
  readonly sha256: string;
  /** The one directory at its root. */
  readonly root: string;
  /** As `sha256sum -c` reads it, paths relative to the directory it was unpacked in. */
  readonly manifest: string;
}

/** @throws LmasError GATEWAY_START_FAILED when the file is no bundle */
export async function readBundle(file: string): Promise<GatewayBundle> {
  const packed = await readFile(file).catch((cause: unknown) => {
    throw new LmasError('GATEWAY_START_FAILED', `The gateway bundle ${file} cannot be read.`, { cause });
  });
  const files = readTar(await unzip(packed));
  const [first] = files;
  const root = first?.name.split('/')[0];
  if (root === undefined || files.some(({ name }) => !name.startsWith(`${root}/`))) {
    throw new LmasError('GATEWAY_START_FAILED', `${file} is no gateway bundle: it must have one root directory.`);
  }
  const manifest = files.map(({ name, content }) => `${sha256(content)}  ${name}\n`).join('');
  return { file, sha256: sha256(packed), root, manifest };
}

const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

/** The regular files of a ustar archive (POSIX.1-1988), names and contents; anything else in it is refused. */
export function readTar(archive: Buffer): { name: string; content: Buffer }[] {
  const files: { name: string; content: Buffer }[] = [];
  for (let offset = 0; offset + BLOCK <= archive.length; ) {
    const header = archive.subarray(offset, offset + BLOCK);
    if (header.every((byte) => byte === 0)) break;
    const text = (from: number, length: number) => header.toString('latin1', from, from + length).split('\0')[0] ?? '';
    const name = text(0, 100);
    const size = Number.parseInt(text(124, 12), 8);
    const type = text(156, 1);
    const isSafe = !name.startsWith('/') && !name.split('/').includes('..') && !/[\n\\]/.test(name);
    if (!Number.isInteger(size) || !isSafe || !['', '0', '5'].includes(type)) {
      throw new LmasError('GATEWAY_START_FAILED', `The gateway bundle holds what it should not: ${name}`);
    }
    offset += BLOCK;
    if (type !== '5') files.push({ name, content: archive.subarray(offset, offset + size) });
    offset += Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}
