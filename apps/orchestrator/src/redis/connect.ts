/**
 * Connections to Redis, whether it is one server, the master of sentinels, or a cluster. Commands wait for Redis to come
 * back, and are sent again when it does. The caller owns what it gets.
 */
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { Logger } from '../log.ts';
import type { RedisAddress } from './address.ts';

type Remote = Exclude<RedisAddress, { kind: 'socket' }>;

const retryStrategy = (times: number): number => Math.min(50 * times, 1_000);
/** `null`: a command waits for as long as it takes. */
const patience = { maxRetriesPerRequest: null } as const;

function access({ username, password, tls }: Remote): RedisOptions {
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls ? { tls: {} } : {}),
  };
}

function optionsFor(address: Exclude<RedisAddress, { kind: 'cluster' }>): RedisOptions {
  const common: RedisOptions = {
    ...patience,
    retryStrategy,
    // The master of before, demoted meanwhile: look for the new one, and send the command there.
    reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 2 : false),
  };
  if (address.kind === 'socket') return { ...common, path: address.socketPath };
  const login = { ...access(address), db: address.db };
  if (address.kind === 'server') return { ...common, ...login, ...address.nodes[0] };
  const { masterName: name, tls, username, password } = address;
  return {
    ...{ ...common, ...login, name, sentinels: [...address.nodes], sentinelRetryStrategy: retryStrategy },
    ...(username === undefined ? {} : { sentinelUsername: username }),
    ...(password === undefined ? {} : { sentinelPassword: password }),
    ...(tls ? { sentinelTLS: {}, enableTLSForSentinelMode: true } : {}),
  };
}

function open(address: RedisAddress): Redis {
  if (address.kind !== 'cluster') return new Redis(optionsFor(address));
  const cluster = new Cluster([...address.nodes], {
    clusterRetryStrategy: retryStrategy,
    redisOptions: { ...access(address), ...patience },
    // Long enough for a replica to be elected.
    ...{ retryDelayOnClusterDown: 300, retryDelayOnFailover: 200, slotsRefreshTimeout: 5_000 },
  });
  // The same commands; what a cluster does otherwise (its nodes, its pipelines of one slot) is this directory's business.
  return cluster as unknown as Redis;
}

export function connect(address: RedisAddress, log: Logger, what = 'Redis connection'): Redis {
  const redis = open(address);
  // It is tried about once a second: what went wrong is said when it changes.
  let said = '';
  redis.on('error', (error: Error) => {
    const words = error.message === '' ? String(error) : error.message;
    if (words !== said) log.warn({ err: words }, what);
    said = words;
  });
  redis.on('ready', () => {
    if (said !== '') log.info({}, `${what} is back`);
    said = '';
  });
  return redis;
}

/** Every server that may hold something of ours: the one, or the masters of a cluster. */
export function mastersOf(redis: Redis): Redis[] {
  const maybe: unknown = redis;
  return maybe instanceof Cluster ? maybe.nodes('master') : [redis];
}
