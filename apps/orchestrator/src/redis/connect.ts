/**
 * Connections to Redis, whether it is one server, the master of sentinels, or a cluster. Each notices by itself when Redis
 * falls silent, and connects again. The caller owns what it gets.
 *
 * - *Patient* ones are for work: commands wait for Redis to come back, and are sent again when it does. Their writes are
 *   idempotent for that.
 * - *Brief* ones are for calls of the API: a command that Redis does not answer fails, and is not sent later, when whoever
 *   asked has long been told that it failed.
 */
import { Cluster, type ClusterNode, type ClusterOptions, type Redis, type RedisOptions } from 'ioredis';
import type { Logger } from '../log.ts';
import { onceAMinute } from '../once-a-minute.ts';
import type { RedisAddress, RedisNode } from './address.ts';
import { inOurWords } from './away.ts';
import { DEFAULT_SILENCE_MS, keepHeartbeat, loadingPauseMs } from './heartbeat.ts';
import { nodeConnector } from './node-connector.ts';
import { LONGEST_WAIT_MS, WatchedRedis } from './watched-redis.ts';

type Remote = Exclude<RedisAddress, { kind: 'socket' }>;

export interface ConnectionSettings {
  /** A connection over which nothing came for so long is given up; see LMAS_REDIS_SILENCE_MS. */
  readonly silenceMs: number;
  readonly patience: 'patient' | 'brief';
  /** For the log. */
  readonly name: string;
}

const DEFAULTS: ConnectionSettings = { silenceMs: DEFAULT_SILENCE_MS, patience: 'patient', name: 'Redis connection' };

const retryStrategy = (times: number): number => Math.min(50 * times, 1_000);
/** `null`: a command waits for as long as it takes. 0: none outlives its connection. */
const waiting = {
  patient: { maxRetriesPerRequest: null },
  brief: { maxRetriesPerRequest: 0, enableOfflineQueue: false },
};

/** Of its nodes each is watched. Nobody subscribes here: that connection would be ioredis's own, which nobody can watch. */
class WatchedCluster extends Cluster {
  readonly #nodes: ClusterNode[];
  readonly #silenceMs: number;

  constructor(nodes: ClusterNode[], options: ClusterOptions, silenceMs: number, waitsMs = 0) {
    super(nodes, options);
    this.#nodes = nodes;
    this.#silenceMs = silenceMs;
    this.on('+node', (node: Redis) => keepHeartbeat(node, silenceMs + waitsMs));
  }

  override duplicate(nodes: ClusterNode[] = [], override: ClusterOptions = {}): Cluster {
    const all = nodes.length > 0 ? nodes : this.#nodes;
    return new WatchedCluster(all, { ...this.options, ...override }, this.#silenceMs, LONGEST_WAIT_MS);
  }
}

function access({ username, password, tls }: Remote): RedisOptions {
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls ? { tls: {} } : {}),
  };
}

const commonOptions = ({ silenceMs, patience }: ConnectionSettings): RedisOptions => ({
  ...waiting[patience],
  retryStrategy,
  connectTimeout: silenceMs,
  maxLoadingRetryTime: loadingPauseMs(silenceMs),
  // The master of before, demoted meanwhile: look for the new one, and send the command there.
  reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 2 : false),
});

function optionsFor(address: Exclude<RedisAddress, { kind: 'cluster' }>, settings: ConnectionSettings): RedisOptions {
  const common = commonOptions(settings);
  if (address.kind === 'socket') return { ...common, path: address.socketPath };
  const login = { ...access(address), db: address.db };
  if (address.kind === 'server') return { ...common, ...login, ...address.nodes[0] };
  const { masterName: name, tls, username, password } = address;
  return {
    ...{ ...common, ...login, name, sentinels: [...address.nodes], sentinelRetryStrategy: retryStrategy },
    ...(username === undefined ? {} : { sentinelUsername: username }),
    ...(password === undefined ? {} : { sentinelPassword: password }),
    sentinelCommandTimeout: settings.silenceMs,
    ...(tls ? { sentinelTLS: {}, enableTLSForSentinelMode: true } : {}),
  };
}

function open(address: RedisAddress, settings: ConnectionSettings): Redis {
  const { silenceMs, patience } = settings;
  if (address.kind !== 'cluster') return new WatchedRedis(optionsFor(address, settings), silenceMs);
  const brief = patience === 'brief';
  const options: ClusterOptions = {
    // A cluster sends what a broken node did not answer to another one; a brief command has its own limit.
    redisOptions: {
      ...{ ...access(address), maxRetriesPerRequest: null, connectTimeout: silenceMs },
      maxLoadingRetryTime: loadingPauseMs(silenceMs),
      ...(brief ? { commandTimeout: silenceMs } : {}),
    },
    enableOfflineQueue: !brief,
    clusterRetryStrategy: retryStrategy,
    // Long enough for a replica to be elected.
    ...{ retryDelayOnClusterDown: 300, retryDelayOnFailover: 200, slotsRefreshTimeout: 5_000 },
  };
  const cluster: unknown = new WatchedCluster([...address.nodes], options, silenceMs);
  // The same commands; what a cluster does otherwise (its nodes, its pipelines of one slot) is this directory's business.
  return cluster as Redis;
}

export function connect(address: RedisAddress, log: Logger, settings: Partial<ConnectionSettings> = {}): Redis {
  const all = { ...DEFAULTS, ...settings };
  return telling(open(address, all), log, all);
}

/**
 * A patient connection to subscribe on. In a cluster it is one to any of the servers, which hand on to each other what is
 * published; when that one falls silent, goes, or leaves the cluster, to another one.
 * @param beside knows the cluster's servers of now; one connection to the same address, which has to outlive this one
 */
export function connectSubscriber(
  address: RedisAddress,
  beside: Redis,
  log: Logger,
  settings: Partial<Omit<ConnectionSettings, 'patience'>> = {},
): Redis {
  if (address.kind !== 'cluster') return connect(address, log, settings);
  const all = { ...DEFAULTS, ...settings };
  const { silenceMs } = all;
  const { Connector, current } = nodeConnector(() => serversOf(beside) ?? address.nodes, address.tls);
  const redis = new WatchedRedis({ ...commonOptions(all), ...access(address), Connector }, silenceMs);
  beside.on('-node', ({ options: { host, port } }: Redis) => {
    const node = current();
    if (node?.host === host && node?.port === port) redis.disconnect(true);
  });
  return telling(redis, log, all);
}

/** It is tried about once a second: each thing that goes wrong is said once, of a Redis that comes and goes once a minute. */
function telling(redis: Redis, log: Logger, { name }: ConnectionSettings): Redis {
  const said = new Set<string>();
  const say = onceAMinute((err) => {
    said.add(err);
    log.warn({ err }, name);
  });
  redis.on('error', (error: Error) => {
    const words = inOurWords(error);
    if (!said.has(words)) say(words);
  });
  redis.on('ready', () => {
    if (said.size > 0) log.info({}, `${name} is back`);
    said.clear();
  });
  return redis;
}

/** The servers of a cluster as a connection to it knows them now. */
function serversOf(cluster: Redis): RedisNode[] | undefined {
  const maybe: unknown = cluster;
  const nodes = maybe instanceof Cluster ? maybe.nodes() : [];
  const known = nodes.map(({ options: { host = '', port = 0 } }): RedisNode => ({ host, port }));
  return known.length === 0 ? undefined : known;
}

/** Every server that may hold something of ours: the one, or the masters of a cluster. */
export function mastersOf(redis: Redis): Redis[] {
  const maybe: unknown = redis;
  return maybe instanceof Cluster ? maybe.nodes('master') : [redis];
}
