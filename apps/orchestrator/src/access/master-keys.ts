/**
 * The master keys: from a file, from the environment, or from a command that fetches them (from a vault, a KMS). One per
 * line, 32 bytes in base64: the first seals, all open. A key is known by the beginning of its hash, so that nobody has to
 * name keys, and a name cannot be wrong.
 */
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { LmasError } from '../errors.ts';
import { createPrivateFile, replacePrivateFile } from './key-files.ts';

const KEY_BYTES = 32;
const ID_CHARACTERS = 8;
const COMMAND_TIMEOUT_MS = 30_000;
const LONGEST_OUTPUT = 64 * 1024;
const MAKE_ONE = { remedy: 'Make one with: openssl rand -base64 32' };
const LINE = /^[A-Za-z0-9+/]{43}=$/;

export interface MasterKey {
  readonly id: string;
  readonly bytes: Buffer;
}

export type MasterKeySource =
  | { readonly kind: 'file'; readonly path: string /** Made when it is not there. */; readonly create: boolean }
  | { readonly kind: 'environment'; readonly text: string }
  | { readonly kind: 'command'; readonly command: string };

/** The keys in use. */
export interface KeyRing {
  readonly kind: MasterKeySource['kind'];
  /** The one that the source names first. Which one seals is on record (sealing-key.ts). */
  current(): MasterKey;
  find(id: string): MasterKey | undefined;
  all(): readonly MasterKey[];
  /** Reads the source again. @throws LmasError MASTER_KEY_INVALID; the keys stay as they were */
  reload(): Promise<void>;
  /**
   * For keys in a file: puts a new key first, on disk before it is used, and lets go of those that `isNeeded` denies (of the
   * one that was current, never: what another process has just sealed with it may not be stored yet).
   * @throws LmasError MASTER_KEY_NOT_WRITTEN; the keys stay as they were
   */
  renew(isNeeded: (id: string) => boolean): Promise<void>;
}

/** @throws LmasError MASTER_KEY_INVALID, MASTER_KEY_NOT_WRITTEN */
export async function openKeyRing(source: MasterKeySource): Promise<KeyRing> {
  if (source.kind === 'file' && source.create) await writeLines(createPrivateFile, source.path, [newLine()]);
  let keys = await readKeys(source);
  const current = (): MasterKey => {
    const [first] = keys;
    if (first === undefined) throw new LmasError('MASTER_KEY_INVALID');
    return first;
  };
  return {
    kind: source.kind,
    current,
    find: (id) => keys.find((key) => key.id === id),
    all: () => keys,
    async reload() {
      keys = await readKeys(source);
    },
    async renew(isNeeded) {
      if (source.kind !== 'file') throw new LmasError('INTERNAL', 'Only a file can be given a new key.');
      const kept = (await readKeys(source)).filter(({ id }, index) => index === 0 || isNeeded(id));
      const lines = [newLine(), ...kept.map(({ bytes }) => bytes.toString('base64'))];
      await writeLines(replacePrivateFile, source.path, lines);
      keys = await readKeys(source);
    },
  };
}

const newLine = (): string => randomBytes(KEY_BYTES).toString('base64');

const idOf = (bytes: Buffer): string =>
  createHash('sha256').update('lmas master key\0').update(bytes).digest('hex').slice(0, ID_CHARACTERS);

/** @throws LmasError MASTER_KEY_NOT_WRITTEN; then the file is as it was */
async function writeLines(
  write: typeof createPrivateFile | typeof replacePrivateFile,
  path: string,
  lines: readonly string[],
): Promise<void> {
  try {
    await write(path, `${lines.join('\n')}\n`);
  } catch (cause) {
    throw new LmasError('MASTER_KEY_NOT_WRITTEN', `${path} could not be written: ${(cause as Error).message}`, {
      remedy: 'No key has changed. Make room, or let the orchestrator write there, and try again.',
      cause,
    });
  }
}

async function readKeys(source: MasterKeySource): Promise<MasterKey[]> {
  const lines = (await readSource(source)).split(/\s+/).filter((line) => line !== '');
  if (lines.length === 0) throw noKeyIn(source);
  if (!lines.every((line) => LINE.test(line))) {
    throw new LmasError(
      'MASTER_KEY_INVALID',
      `${nameOf(source)} does not give keys of 32 bytes in base64, one per line.`,
      MAKE_ONE,
    );
  }
  return [...new Set(lines)].map((line) => {
    const bytes = Buffer.from(line, 'base64');
    return { id: idOf(bytes), bytes };
  });
}

function nameOf(source: MasterKeySource): string {
  if (source.kind === 'file') return source.path;
  return source.kind === 'environment' ? 'LMAS_MASTER_KEY' : 'LMAS_MASTER_KEY_COMMAND';
}

/** In the place where we make the file, the next start makes it, unless the key that the records need is missing. */
function noKeyIn(source: MasterKeySource): LmasError {
  const isOurs = source.kind === 'file' && source.create;
  const extra = isOurs
    ? {
        remedy: `Put the key there if there was one; if not, take the file away (rm ${source.path}): the next start makes one.`,
      }
    : MAKE_ONE;
  const what = source.kind === 'file' ? 'is empty: there is no master key in it' : 'gives no key';
  return new LmasError('MASTER_KEY_INVALID', `${nameOf(source)} ${what}.`, extra);
}

async function readSource(source: MasterKeySource): Promise<string> {
  switch (source.kind) {
    case 'environment':
      return source.text;
    case 'command':
      return await outputOf(source.command);
    case 'file':
      return await readPrivateFile(source.path);
  }
}

async function readPrivateFile(path: string): Promise<string> {
  try {
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0) {
      throw new LmasError('MASTER_KEY_INVALID', `${path} can be read by others.`, { remedy: `chmod 600 ${path}` });
    }
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof LmasError) throw cause;
    throw new LmasError('MASTER_KEY_INVALID', `${path} cannot be read.`, { cause });
  }
}

/** What the operator's own command prints. Its errors go where ours go; its output is in no message. */
async function outputOf(command: string): Promise<string> {
  const child = spawn('/bin/sh', ['-c', command], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: COMMAND_TIMEOUT_MS,
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    output = (output + chunk).slice(0, LONGEST_OUTPUT);
  });
  const [code, signal] = await once(child, 'close');
  if (code === 0) return output;
  const how = signal === null ? `with ${code}` : `by ${signal}`;
  throw new LmasError('MASTER_KEY_INVALID', `LMAS_MASTER_KEY_COMMAND ended ${how}.`);
}
