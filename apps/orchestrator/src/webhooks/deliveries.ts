/**
 * The log of deliveries: one entry for each message to each webhook, from the moment it is due until some days after, or
 * until many others are done after it. What is pending stays, however many there are of it. It stands in a list by when its
 * next attempt is due, written in the same step: a job that was lost, or never made, is found missing by it.
 */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { LmasError } from '../errors.ts';
import { keys } from '../redis/keys.ts';
import { script } from '../redis/script.ts';
import { readStored } from '../redis/stored-json.ts';
import { webhookDeliverySchema } from '../schemas/webhook.ts';

const KEEP_MS = 7 * 24 * 3_600_000;
/** Of those that are done. */
const MAX_PER_WEBHOOK = 1_000;
const MAX_ATTEMPTS_SHOWN = 20;
const OVERDUE_AT_ONCE = 100;
/** Clocks of two machines differ by less. */
export const CLOCK_SKEW_MS = 1_000;
/** The longest pause before an attempt is of eleven hours. What is due later was written by a clock that was ahead, and is due now. */
export const LATEST_DUE_MS = 12 * 3_600_000;

export type Delivery = z.infer<typeof webhookDeliverySchema>;
export type Attempt = Delivery['attempts'][number];
export interface StoredDelivery {
  readonly delivery: Delivery;
  /** Attempts since it was last asked for; a redelivery begins anew. */
  readonly tries: number;
  /** When the webhook was made that it is for: another one may have its name later. Null on records of before. */
  readonly madeFor: string | null;
}
const storedSchema = webhookDeliverySchema.extend({
  tries: z.int(),
  madeFor: z.iso.datetime().nullable().default(null),
});

export interface Deliveries {
  /** False when it is in the log already. @param webhook that it is for */
  add(delivery: Delivery, webhook: { readonly createdAt: string }): Promise<boolean>;
  find(id: string): Promise<StoredDelivery | undefined>;
  /** @throws LmasError DELIVERY_NOT_FOUND, also for another webhook's */
  get(webhook: string, id: string): Promise<StoredDelivery>;
  save(stored: StoredDelivery): Promise<void>;
  /** Ids of some of those whose attempt has been due for longer than `lateMs`, or is due later than any can be. */
  overdue(lateMs: number): Promise<string[]>;
  /** Newest first. @throws LmasError INVALID_CURSOR */
  list(
    webhook: string,
    query: { limit: number; cursor?: string | undefined },
  ): Promise<{ items: Delivery[]; nextCursor: string | null }>;
  forget(webhook: string): Promise<void>;
}

/** The same message to the same webhook has the same id, however often it is made. */
export const deliveryId = (webhook: string, message: string): string =>
  `msg_${createHash('sha256').update(`${webhook}\n${message}`).digest('hex').slice(0, 32)}`;

/** KEYS: delivery, log, pending. ARGV: id, record, createdAtMs, keepMs, before when nothing is kept (ms). Answers 0 when it is there already. */
const ADD = script(`
  if not redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4], 'NX') then return 0 end
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[5])
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
  redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
  return 1
`);

/**
 * One that stands in the line stands there for an attempt that has been made. Answers which others are not kept any more.
 * KEYS: delivery, pending, line, log, done. ARGV: id, record, when the next attempt is due (ms; '' for none), now, keepMs, most that are done
 */
const SAVE = script(`
  local isKept = redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[5], 'XX')
  redis.call('ZREM', KEYS[3], ARGV[1])
  if isKept and ARGV[3] ~= '' then
    redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
    redis.call('ZREM', KEYS[5], ARGV[1])
    return {}
  end
  redis.call('ZREM', KEYS[2], ARGV[1])
  if not isKept then return {} end
  redis.call('ZADD', KEYS[5], ARGV[4], ARGV[1])
  redis.call('PEXPIRE', KEYS[5], ARGV[5])
  local old = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', ARGV[4] - ARGV[5])
  for _, id in ipairs(redis.call('ZRANGE', KEYS[5], #old, -ARGV[6] - 1)) do old[#old + 1] = id end
  for _, id in ipairs(old) do
    redis.call('ZREM', KEYS[4], id)
    redis.call('ZREM', KEYS[5], id)
  end
  return old
`);
const idsSchema = z.array(z.string());

export function createDeliveries(redis: Redis): Deliveries {
  const text = ({ delivery, ...ours }: StoredDelivery): string => JSON.stringify({ ...delivery, ...ours });
  const parse = (json: string): StoredDelivery => {
    const { tries, madeFor, ...delivery } = readStored(storedSchema, json);
    return { delivery, tries, madeFor };
  };
  const find = async (id: string): Promise<StoredDelivery | undefined> => {
    const json = await redis.get(keys.webhookDelivery(id));
    return json === null ? undefined : parse(json);
  };
  return {
    find,
    async add(delivery, { createdAt: madeFor }) {
      const { id, webhook, createdAt } = delivery;
      const createdAtMs = Date.parse(createdAt);
      const added = await ADD(
        redis,
        [keys.webhookDelivery(id), keys.webhookDeliveries(webhook), keys.webhooksPending],
        [id, text({ delivery, tries: 0, madeFor }), createdAtMs, KEEP_MS, createdAtMs - 2 * KEEP_MS],
      );
      return added === 1;
    },
    async get(webhook, id) {
      const stored = await find(id);
      if (stored?.delivery.webhook === webhook) return stored;
      throw new LmasError(
        'DELIVERY_NOT_FOUND',
        `Webhook ${webhook} has no delivery ${id}; they are kept for seven days, the last 1,000 that are done.`,
      );
    },
    async save({ delivery, ...ours }) {
      const { id, webhook, status, nextAttemptAt } = delivery;
      const attempts = delivery.attempts.slice(-MAX_ATTEMPTS_SHOWN);
      const due = nextAttemptAt === null ? Date.now() : Date.parse(nextAttemptAt);
      const sets = [
        keys.webhooksPending,
        keys.webhookLine(webhook),
        keys.webhookDeliveries(webhook),
        keys.webhookDone(webhook),
      ];
      const record = text({ delivery: { ...delivery, attempts }, ...ours });
      const trimmed = await SAVE(
        redis,
        [keys.webhookDelivery(id), ...sets],
        [id, record, status === 'pending' ? due : '', Date.now(), KEEP_MS, MAX_PER_WEBHOOK],
      );
      const old = idsSchema.parse(trimmed);
      if (old.length > 0) await redis.del(old.map(keys.webhookDelivery));
    },
    async overdue(lateMs) {
      await redis.zremrangebyscore(keys.webhooksPending, '-inf', Date.now() - KEEP_MS); // their records are gone
      const some = ['LIMIT', 0, OVERDUE_AT_ONCE] as const;
      const late = await redis.zrangebyscore(keys.webhooksPending, '-inf', Date.now() - lateMs, ...some);
      const astray = `(${Date.now() + LATEST_DUE_MS}`;
      return [...late, ...(await redis.zrangebyscore(keys.webhooksPending, astray, '+inf', ...some))];
    },
    async list(webhook, { limit, cursor }) {
      const log = keys.webhookDeliveries(webhook);
      const first = cursor === undefined ? 0 : await placeAfter(redis, log, cursor);
      const ids = await redis.zrevrange(log, first, first + limit);
      const shown = ids.slice(0, limit);
      const found = await Promise.all(shown.map(find));
      const last = ids.length > limit ? shown.at(-1) : undefined;
      return {
        items: found.flatMap((stored) => (stored === undefined ? [] : [stored.delivery])),
        nextCursor: last === undefined ? null : Buffer.from(last).toString('base64url'),
      };
    },
    async forget(webhook) {
      const log = keys.webhookDeliveries(webhook);
      const ids = await redis.zrange(log, 0, -1);
      await redis.del(log, keys.webhookDone(webhook), keys.webhookLine(webhook), ...ids.map(keys.webhookDelivery));
      if (ids.length > 0) await redis.zrem(keys.webhooksPending, ...ids);
    },
  };
}

async function placeAfter(redis: Redis, log: string, cursor: string): Promise<number> {
  const rank = await redis.zrevrank(log, Buffer.from(cursor, 'base64url').toString('utf8'));
  if (rank === null) throw new LmasError('INVALID_CURSOR');
  return rank + 1;
}
