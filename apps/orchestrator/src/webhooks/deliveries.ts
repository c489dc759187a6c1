/**
 * The log of deliveries: one entry for each message to each webhook, from the moment it is due until some days after. Those
 * that are pending stand in a list by when their next attempt is due, written in the same step: a job that was lost, or
 * never made, is found missing by it.
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
const MAX_PER_WEBHOOK = 1_000;
const MAX_ATTEMPTS_SHOWN = 20;
const OVERDUE_AT_ONCE = 100;

export type Delivery = z.infer<typeof webhookDeliverySchema>;
export type Attempt = Delivery['attempts'][number];
/** `tries`: attempts since it was last asked for; a redelivery begins anew. */
export interface StoredDelivery {
  readonly delivery: Delivery;
  readonly tries: number;
}
const storedSchema = webhookDeliverySchema.extend({ tries: z.int() });

export interface Deliveries {
  /** False when it is in the log already. */
  add(delivery: Delivery): Promise<boolean>;
  find(id: string): Promise<StoredDelivery | undefined>;
  /** @throws LmasError DELIVERY_NOT_FOUND, also for another webhook's */
  get(webhook: string, id: string): Promise<StoredDelivery>;
  save(stored: StoredDelivery): Promise<void>;
  /** Ids of some of those whose attempt has been due for longer than `lateMs`. */
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

/** KEYS: delivery, log, pending. ARGV: id, record, createdAtMs, keepMs, maxPerWebhook. Answers 0 when it is there already. */
const ADD = script(`
  if not redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4], 'NX') then return 0 end
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -ARGV[5] - 1)
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
  redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
  return 1
`);

/**
 * One that stands in the line stands there for an attempt that has been made.
 * KEYS: delivery, pending, line. ARGV: id, record, when the next attempt is due (ms; '' for none), keepMs
 */
const SAVE = script(`
  local isKept = redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4], 'XX')
  if isKept and ARGV[3] ~= '' then redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
  else redis.call('ZREM', KEYS[2], ARGV[1]) end
  redis.call('ZREM', KEYS[3], ARGV[1])
  return 1
`);

export function createDeliveries(redis: Redis): Deliveries {
  const text = ({ delivery, tries }: StoredDelivery): string => JSON.stringify({ ...delivery, tries });
  const parse = (json: string): StoredDelivery => {
    const { tries, ...delivery } = readStored(storedSchema, json);
    return { delivery, tries };
  };
  const find = async (id: string): Promise<StoredDelivery | undefined> => {
    const json = await redis.get(keys.webhookDelivery(id));
    return json === null ? undefined : parse(json);
  };
  return {
    find,
    async add(delivery) {
      const { id, webhook, createdAt } = delivery;
      const added = await ADD(
        redis,
        [keys.webhookDelivery(id), keys.webhookDeliveries(webhook), keys.webhooksPending],
        [id, text({ delivery, tries: 0 }), Date.parse(createdAt), KEEP_MS, MAX_PER_WEBHOOK],
      );
      return added === 1;
    },
    async get(webhook, id) {
      const stored = await find(id);
      if (stored?.delivery.webhook === webhook) return stored;
      throw new LmasError(
        'DELIVERY_NOT_FOUND',
        `Webhook ${webhook} has no delivery ${id}; they are kept for seven days.`,
      );
    },
    async save({ delivery, tries }) {
      const { id, webhook, status, nextAttemptAt } = delivery;
      const attempts = delivery.attempts.slice(-MAX_ATTEMPTS_SHOWN);
      const due = nextAttemptAt === null ? Date.now() : Date.parse(nextAttemptAt);
      await SAVE(
        redis,
        [keys.webhookDelivery(id), keys.webhooksPending, keys.webhookLine(webhook)],
        [id, text({ delivery: { ...delivery, attempts }, tries }), status === 'pending' ? due : '', KEEP_MS],
      );
    },
    async overdue(lateMs) {
      await redis.zremrangebyscore(keys.webhooksPending, '-inf', Date.now() - KEEP_MS); // their records are gone
      return await redis.zrangebyscore(keys.webhooksPending, '-inf', Date.now() - lateMs, 'LIMIT', 0, OVERDUE_AT_ONCE);
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
      await redis.del(log, keys.webhookLine(webhook), ...ids.map(keys.webhookDelivery));
      if (ids.length > 0) await redis.zrem(keys.webhooksPending, ...ids);
    },
  };
}

async function placeAfter(redis: Redis, log: string, cursor: string): Promise<number> {
  const rank = await redis.zrevrank(log, Buffer.from(cursor, 'base64url').toString('utf8'));
  if (rank === null) throw new LmasError('INVALID_CURSOR');
  return rank + 1;
}
