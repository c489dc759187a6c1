/**
 * `lmas-orchestrator backup FILE` and `restore FILE`, for the private Redis: one file with everything that is on record
 * (migrations with their journals, sites, endpoints, sealed credentials, pinned host keys, API keys as hashes, the audit log)
 * as of one instant. The master key that seals the credentials is not in it: whoever has both has the credentials.
 *
 * A Redis at REDIS_URL is backed up by whoever runs it; docs/upgrade-and-backup.md says how.
 */
import { constants } from 'node:fs';
import { chmod, copyFile, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { claimDataDir } from '../access/data-dir.ts';
import type { Config } from '../config.ts';
import { LmasError } from '../errors.ts';
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
      throw new LmasError('BACKUP_FAILED', `${file} could not be written: ${(cause as Error).message}`, { cause });
    });
    await chmod(file, 0o600);
  } finally {
    await rm(snapshot, { force: true });
    redis.disconnect();
  }
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
    await copyFile(file, unfinished).catch((cause: unknown) => {
      throw new LmasError('BACKUP_FAILED', `${file} cannot be read: ${(cause as Error).message}`, { cause });
    });
    await chmod(unfinished, 0o600);
    await rename(unfinished, join(directory, SNAPSHOT));
    try {
      await adoptSnapshot(redisServer, dataDir, log);
    } finally {
      await rm(join(directory, SNAPSHOT), { force: true });
    }
  } finally {
    await release();
  }
}
