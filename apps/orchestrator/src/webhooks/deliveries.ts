/**
 * The log of deliveries: one entry for each message to each webhook, from the moment it is due until some days after.
 */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { LmasError } from '../errors.ts';
import { keys } from '../redis/keys.ts';
import { webhookDeliverySchema } from '../schemas/webhook.ts';

const KEEP_MS = 7 * 24 * 3_600_000;
const MAX_PER_WEBHOOK = 1_000;
const MAX_ATTEMPTS_SHOWN = 20;

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

export function createDeliveries(redis: Redis): Deliveries {
  const text = ({ delivery, tries }: StoredDelivery): string => JSON.stringify({ ...delivery, tries });
  const parse = (json: string): StoredDelivery => {
    const { tries, ...delivery } = storedSchema.parse(JSON.parse(json));
    return { delivery, tries };
  };
  const find = async (id: string): Promise<StoredDelivery | undefined> => {
    const json = await redis.get(keys.webhookDelivery(id));
    return json === null ? undefined : parse(json);
  };
  return {
    find,
    async add(delivery) {
      const answer = await redis.set(
        keys.webhookDelivery(delivery.id),
        text({ delivery, tries: 0 }),
        'PX',
        KEEP_MS,
        'NX',
      );
      if (answer === null) return false;
      const log = keys.webhookDeliveries(delivery.webhook);
      await redis
        .multi()
        .zadd(log, Date.parse(delivery.createdAt), delivery.id)
        .zremrangebyrank(log, 0, -MAX_PER_WEBHOOK - 1)
        .pexpire(log, KEEP_MS)
        .exec();
      return true;
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
      const attempts = delivery.attempts.slice(-MAX_ATTEMPTS_SHOWN);
      await redis.set(
        keys.webhookDelivery(delivery.id),
        text({ delivery: { ...delivery, attempts }, tries }),
        'PX',
        KEEP_MS,
        'XX',
      );
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
      await redis.del(log, ...ids.map(keys.webhookDelivery));
    },
  };
}

async function placeAfter(redis: Redis, log: string, cursor: string): Promise<number> {
  const rank = await redis.zrevrank(log, Buffer.from(cursor, 'base64url').toString('utf8'));
  if (rank === null) throw new LmasError('INVALID_CURSOR');
  return rank + 1;
}
