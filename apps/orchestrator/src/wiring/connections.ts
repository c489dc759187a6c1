/**
 * The connections to Redis that a process has, and what it says while there is none. Two ways of waiting: *calls* of the
 * API are answered at once that Redis is away, *work* waits until it is back.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { LmasError } from '../errors.ts';
import { openServiceDoor } from '../http/service-door.ts';
import type { ReadinessCheck } from '../http/services.ts';
import { describeAddress, type RedisAddress } from '../redis/address.ts';
import { Availability } from '../redis/availability.ts';
import { connect, connectSubscriber } from '../redis/connect.ts';
import { checkDurability } from '../redis/durability.ts';
import { PREFIX } from '../redis/keys.ts';
import { type PrivateRedis, startPrivateRedis } from '../redis/private-server.ts';
import { waitForReplicas } from '../redis/replicas.ts';
import { createWriteProbe, type WriteProbe } from '../redis/write-probe.ts';
import type { Base } from './base.ts';
import type { Tls } from './tls.ts';

const READY_LIMIT_MS = 1_000;
const SUBSCRIBER = 'Redis subscriber';

export interface Connections {
  readonly address: RedisAddress;
  readonly calls: Redis;
  readonly work: Redis;
  /** In subscriber mode: whoever wants news listens here. */
  readonly subscriber: Redis;
  /** One more, for work. Disconnected at the end, after whatever is made later. */
  open(name: string): Redis;
  /** Why Redis cannot be used now, in words. */
  outage(): string | undefined;
  /** Whether Redis answers now. */
  answers(): Promise<boolean>;
  /** Why it takes no writes although it answers. */
  readonly writeRefusal: WriteProbe;
  /** Whether it answers and takes writes, and whether the process goes on. */
  readiness(): Promise<ReadinessCheck[]>;
  /** Whatever waits for an answer is told that there will be none. */
  disconnectAll(): void;
}

/**
 * Waits for Redis for as long as it takes, saying why; meanwhile a door tells whoever asks.
 * @param signal ends the wait
 * @throws LmasError REDIS_UNSUITABLE, REDIS_START_FAILED, INVALID_CONFIG
 */
export async function openConnections(
  base: Base,
  tls: Tls | undefined,
  { signal }: { signal: AbortSignal },
): Promise<Connections> {
  const { config, log, closers, stopping } = base;
  const { address, trouble: why } = await redisOf(base);
  const opened: Redis[] = [];
  const { redisSilenceMs: silenceMs } = config;
  const keep = (name: string, redis: Redis): Redis => {
    closers.add(name, async () => redis.disconnect());
    opened.push(redis);
    return redis;
  };
  const open = (name: string, patience: 'patient' | 'brief'): Redis =>
    keep(name, connect(address, log, { silenceMs, patience, name }));
  const calls = open('Redis connection of the API', 'brief');
  const availability = new Availability(calls, { name: describeAddress(address), log, why });
  const outage = () => availability.outage();
  const writeRefusal = createWriteProbe(calls);
  const ask = () => readinessOf(writeRefusal, outage);
  const readiness = async () => [await ask(), ...(stopping.aborted ? [goingDown(stopping.reason)] : [])];
  if (!(await availability.answersSoon({ signal }))) {
    const refusal = () => outage() ?? 'It has just begun to start.';
    await using _door = await openServiceDoor({ ...doorway(base, tls), refusal, readiness });
    await availability.answers({ signal });
  }
  const work = open('Redis connection', 'patient');
  if (address.kind !== 'socket') {
    for (const writer of [work, calls]) await waitForReplicas(writer, { silenceMs, log });
    await checkDurability(work, { kind: address.kind, log, allowUnsafe: config.allowUnsafeRedis });
  }
  return {
    ...{ address, calls, work, outage, readiness, writeRefusal },
    answers: async () => outage() === undefined && (await inTime(calls.exists(PREFIX))) !== LATE,
    subscriber: keep(SUBSCRIBER, connectSubscriber(address, work, log, { silenceMs, name: SUBSCRIBER })),
    open: (name) => open(name, 'patient'),
    disconnectAll: () => {
      for (const connection of opened) connection.disconnect();
    },
  };
}

/** Where a service door opens. */
export const doorway = ({ config: { host, port, trustedProxies }, log, stopping }: Base, tls: Tls | undefined) => ({
  ...{ host, port, trustedProxies, log, stopping },
  tls: tls?.pair,
});

/** Where it is, and what is known of why it does not run: nothing, of one that is not our own. */
async function redisOf({
  config,
  log,
  closers,
}: Base): Promise<{ address: RedisAddress } & Pick<PrivateRedis, 'trouble'>> {
  if (config.redisUrl !== undefined) return { address: config.redisUrl, trouble: () => undefined };
  if (config.role !== 'all') {
    throw new LmasError('INVALID_CONFIG', `A process of role ${config.role} shares a Redis with others.`, {
      remedy: 'Set REDIS_URL (and the same master key) for all of them.',
    });
  }
  const server = await startPrivateRedis(config.redisServer, config.dataDir, log);
  closers.add('private Redis', () => server.stop());
  return { address: server, trouble: server.trouble };
}

const goingDown = ({ message }: Error): ReadinessCheck => ({ name: 'process', ok: false, detail: message });

/** No answer, or none in time. */
const LATE: unique symbol = Symbol('late');

const inTime = async <T>(answer: Promise<T>): Promise<T | typeof LATE> =>
  await Promise.race([answer.catch((): typeof LATE => LATE), sleep<typeof LATE>(READY_LIMIT_MS, LATE, { ref: false })]);

/** Asks the server that holds our keys. */
async function readinessOf(probe: WriteProbe, outage: () => string | undefined): Promise<ReadinessCheck> {
  const name = 'redis';
  const known = outage();
  if (known !== undefined) return { name, ok: false, detail: known };
  const refusal = await inTime(probe());
  if (refusal === LATE) {
    return { name, ok: false, detail: outage() ?? 'Redis has not answered for a second.' };
  }
  if (refusal !== undefined) {
    return { name, ok: false, detail: `Redis answers, but takes no writes: ${refusal.why}. ${refusal.remedy}` };
  }
  return { name, ok: true, detail: 'answers' };
}
