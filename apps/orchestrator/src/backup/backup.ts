/**
 * `lmas-orchestrator backup FILE` and `restore FILE`, for the private Redis: one file with everything that is on record
 * (migrations with their journals, sites, endpoints, sealed credentials, pinned host keys, API keys as hashes, the audit log)
 * as of one instant. The master key that seals the credentials is not in it: whoever has both has the credentials.
 *
 * A Redis at REDIS_URL is backed up by whoever runs it; docs/upgrade-and-backup.md says how.
 */
import { constants } from 'node:fs';
import { chmod, copyFile, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { claimDataDir } from '../access/data-dir.ts';
import type { Config } from '../config.ts';
import { errorCode, LmasError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { adoptSnapshot, SNAPSHOT } from '../redis/private-server.ts';

const POLL_MS = 50;
const LIMIT_MS = 600_000;

type Settings = Pick<Config, 'dataDir' | 'redisServer' | 'redisUrl'>;

function refuseForeign({ redisUrl }: Settings): void {
  if (redisUrl === undefined) return;
  throw new LmasError('BACKUP_FAILED', 'The records are in the Redis at REDIS_URL, which is not ours.', {
    remedy: 'Back it up with its own means; see docs/upgrade-and-backup.md.',
  });
}

/** While the orchestrator runs, which goes on meanwhile. @throws LmasError BACKUP_FAILED */
export async function backUp(settings: Settings, file: string): Promise<void> {
  refuseForeign(settings);
  const directory = join(settings.dataDir, 'redis');
  const snapshot = join(directory, SNAPSHOT);
  const redis = new Redis({ path: join(directory, 'redis.sock'), lazyConnect: true, retryStrategy: () => null });
  redis.on('error', () => undefined); // told by whoever asks
  try {
    await redis.connect().catch((cause: unknown) => {
      throw new LmasError('BACKUP_FAILED', `No Redis answers in ${directory}.`, {
        cause,
        remedy: 'Start the orchestrator: its records are backed up while it runs.',
      });
    });
    await rm(snapshot, { force: true });
    await redis.bgsave('SCHEDULE');
    await written(redis, snapshot);
    await copyFile(snapshot, file, constants.COPYFILE_EXCL).catch((cause: unknown) => {
      throw notWritten(file, cause);
    });
    await chmod(file, 0o600);
  } finally {
    await rm(snapshot, { force: true });
    redis.disconnect();
  }
}

function notWritten(file: string, cause: unknown): LmasError {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === 'EEXIST') {
    const remedy = 'Name another file, or move that one away: a backup is never written over another one.';
    return new LmasError('BACKUP_FAILED', `${file} exists already.`, { cause, remedy });
  }
  if (code === 'ENOENT') {
    return new LmasError('BACKUP_FAILED', `There is no directory ${dirname(file)}.`, {
      cause,
      remedy: 'Make it first.',
    });
  }
  return new LmasError('BACKUP_FAILED', `${file} could not be written: ${message}`, { cause });
}

/** Redis puts the file in its place when it is whole. */
async function written(redis: Redis, snapshot: string): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  while (performance.now() < deadline) {
    const info = await redis.info('persistence');
    const isBusy = /rdb_bgsave_in_progress:1|aof_rewrite_in_progress:1|aof_rewrite_scheduled:1/.test(info);
    const isThere = await stat(snapshot).catch(() => undefined);
    if (!isBusy && isThere !== undefined) return;
    if (!isBusy && info.includes('rdb_last_bgsave_status:err')) break;
    await sleep(POLL_MS);
  }
  throw new LmasError('BACKUP_FAILED', 'Redis could not write its snapshot; see redis/redis.log.');
}

/** `REDIS` and a version in four digits, since Valkey 9 there `VALKEY` and three (src/rdb.c of both, rdbSaveRio). */
const BEGINNING = /^(REDIS\d{4}|VALKEY\d{3})$/;
/** What redis-server writes of a file that it cannot load (src/rdb.c, src/server.c). */
const NOT_LOADED =
  /short read|wrong signature|crc|rdb format version|internal error in rdb|error loading the db|unexpected eof|corrupt/i;
/** Before it: its process, its role, the time. */
const LOG_HEAD = /^\d+:\w \d+ \w+ \d+ [\d:.]+ \S /;
const NO_BACKUP = { remedy: 'Take another backup: what `lmas-orchestrator backup` has written, whole.' };

/** @throws LmasError BACKUP_FAILED for what is no snapshot at all */
async function checkBegins(file: string): Promise<void> {
  const cannotBeRead = (cause: unknown) => {
    throw new LmasError('BACKUP_FAILED', `${file} cannot be read: ${(cause as Error).message}`, { cause });
  };
  await using handle = await open(file).catch(cannotBeRead);
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(9), 0, 9, 0).catch(cannotBeRead);
  if (BEGINNING.test(buffer.toString('latin1', 0, bytesRead))) return;
  throw new LmasError('BACKUP_FAILED', `${file} is no backup: it does not begin as snapshots of Redis do.`, NO_BACKUP);
}

/** Of a server that did not come up, whether it was the file's fault: only its own log says. */
async function explain(error: unknown, file: string, log: { logFile: string; from: number }): Promise<unknown> {
  if (errorCode(error) !== 'REDIS_START_FAILED') return error;
  const bytes = await readFile(log.logFile).catch(() => Buffer.alloc(0));
  const lines = bytes.subarray(log.from).toString('utf8').split('\n');
  const words = lines.find((line) => NOT_LOADED.test(line))?.replace(LOG_HEAD, '');
  if (words === undefined) return error;
  const message = `${file} is damaged, cut short, or of a later Redis: redis-server cannot load it (${words.trim()}).`;
  return new LmasError('BACKUP_FAILED', message, { cause: error, ...NO_BACKUP });
}

/** Into a data directory that has no records yet. @throws LmasError BACKUP_FAILED, DATA_DIR_IN_USE */
export async function restore(settings: Settings, file: string, log: Logger): Promise<void> {
  refuseForeign(settings);
  const { dataDir, redisServer } = settings;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const release = await claimDataDir(dataDir);
  try {
    const directory = join(dataDir, 'redis');
    await mkdir(directory, { recursive: true, mode: 0o700 });
    if ((await readdir(directory)).some((name) => name.startsWith('appendonly') || name === SNAPSHOT)) {
      throw new LmasError('BACKUP_FAILED', `There are records in ${directory} already.`, {
        remedy: 'Restore into an empty data directory, or move that one away.',
      });
    }
    const unfinished = join(directory, 'restoring.rdb');
    await checkBegins(file);
    await copyFile(file, unfinished).catch((cause: unknown) => {
      throw new LmasError('BACKUP_FAILED', `${file} cannot be read: ${(cause as Error).message}`, { cause });
    });
    await chmod(unfinished, 0o600);
    await rename(unfinished, join(directory, SNAPSHOT));
    const logFile = join(directory, 'redis.log');
    const logged = (await stat(logFile).catch(() => undefined))?.size ?? 0;
    try {
      await adoptSnapshot(redisServer, dataDir, log);
    } catch (error) {
      throw await explain(error, file, { logFile, from: logged });
    } finally {
      await rm(join(directory, SNAPSHOT), { force: true });
    }
  } finally {
    await release();
  }
}
