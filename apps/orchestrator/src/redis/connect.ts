/**
 * Connections to Redis, and the check that this Redis keeps what it is given. The caller owns what `connect` returns.
 */
import { Redis } from 'ioredis';
import { LmasError } from '../errors.ts';
import type { Logger } from '../log.ts';

/** Where Redis is: a URL, or the Unix socket of the private server. */
export type RedisAddress = { readonly url: string } | { readonly socketPath: string };

/** Options for ioredis (and BullMQ): commands wait for Redis to come back, and are sent again when it does. */
export function redisOptions(address: RedisAddress) {
  const common = {
    maxRetriesPerRequest: null,
    retryStrategy: (times: number) => Math.min(50 * times, 1_000),
    reconnectOnError: (error: Error) => (error.message.startsWith('READONLY') ? 2 : false) as 2 | false,
  };
  if ('socketPath' in address) return { ...common, path: address.socketPath };
  const url = new URL(address.url);
  return {
    ...common,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 6379 : Number(url.port),
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
    ...(url.pathname.length > 1 ? { db: Number(url.pathname.slice(1)) } : {}),
    ...(url.protocol === 'rediss:' ? { tls: {} } : {}),
  };
}

/** For people; without the password. */
export function describeAddress(address: RedisAddress): string {
  if ('socketPath' in address) return address.socketPath;
  const { protocol, host } = new URL(address.url);
  return `${protocol}//${host}`;
}

export function connect(address: RedisAddress, log: Logger): Redis {
  const redis = new Redis(redisOptions(address));
  // It is tried about once a second: what went wrong is said when it changes.
  let said = '';
  redis.on('error', (error: Error) => {
    if (error.message !== said) log.warn({ err: error.message }, 'Redis connection');
    said = error.message;
  });
  redis.on('ready', () => {
    if (said !== '') log.info({}, 'Redis connection is back');
    said = '';
  });
  return redis;
}

const field = (info: string, name: string): string | undefined =>
  new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];

/**
 * Refuses a Redis that forgets or evicts, in words; warns of one that may lose the last second.
 * @throws LmasError REDIS_UNSUITABLE
 */
export async function checkDurability(redis: Redis, log: Logger, { allowUnsafe }: { allowUnsafe: boolean }) {
  const [persistence, memory] = [await redis.info('persistence'), await redis.info('memory')];
  const complaints: string[] = [];
  if (field(persistence, 'aof_enabled') !== '1') {
    complaints.push('it keeps no append-only file, so a restart forgets migrations: set `appendonly yes`');
  }
  const policy = field(memory, 'maxmemory_policy');
  if (policy !== 'noeviction') {
    complaints.push(`it evicts keys when memory is short (${policy}): set \`maxmemory-policy noeviction\``);
  }
  if (complaints.length > 0) {
    const text = `This Redis would lose migrations: ${complaints.join('; ')}.`;
    if (!allowUnsafe) {
      throw new LmasError('REDIS_UNSUITABLE', text, { remedy: 'Change its settings, or set LMAS_ALLOW_UNSAFE_REDIS.' });
    }
    log.warn({}, text);
  }
  try {
    const answer = (await redis.config('GET', 'appendfsync')) as string[];
    if (answer[1] !== undefined && answer[1] !== 'always') {
      log.warn({ appendfsync: answer[1] }, 'Redis may lose the last second of records: set `appendfsync always`');
    }
  } catch (error) {
    log.warn({ err: String(error) }, 'Redis does not say how often it writes to disk (CONFIG is refused)');
  }
}
