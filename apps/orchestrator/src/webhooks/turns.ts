/**
 * Whose turn it is: a webhook has one attempt at a time, whichever process makes it. What falls due meanwhile stands in the
 * webhook's line, where it takes up no worker and uses up none of its tries: a receiver that hangs holds up nobody but itself.
 * Whoever ends a turn wakes the first in the line. Had he died, the turn lapses, and a line at which nobody is gets looked at.
 * Times are those of the wall: what ends later than anything can was written by a clock that was ahead, and counts for nothing.
 */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { keys } from '../redis/keys.ts';
import { script } from '../redis/script.ts';
import { TEST_EVENT } from '../schemas/webhook.ts';
import { CLOCK_SKEW_MS, type Deliveries, type Delivery } from './deliveries.ts';

/** Beyond the time that an attempt may take. */
const LAPSE_MS = 30_000;
/** For so long at most a webhook is left alone. */
export const LONGEST_BREAK_MS = 60_000;
/** In a line of so many the oldest is given up for the last, of what nobody has asked for: 1,000 migrations, from the queue to their ends. */
export const MAX_IN_LINE = 10_000;
/** What stands in a line is looked after without it now and then, also by versions that know of no lines. */
const LOOK_AFTER_MS = 6 * 3_600_000;
const ABANDONED_AT_ONCE = 100;

const takenSchema = z.tuple([z.int(), z.string()]);

export interface Turn {
  readonly webhook: string;
  /** The delivery that has it. */
  readonly id: string;
  readonly lapsesAtMs: number;
}

export interface Turns {
  /**
   * Of a delivery that is due. When nobody else is at its webhook, `turn` is that of the first in the line; a delivery
   * for which there is no room in the line any more is `givenUp`.
   */
  take(delivery: Delivery): Promise<{ turn: Turn } | { givenUp: string } | undefined>;
  /** Answers who is next. @param breakMs for so long it is nobody's turn */
  end(turn: Turn, breakMs: number): Promise<string | undefined>;
  /** Leaves the line. */
  leave(webhook: string, id: string): Promise<void>;
  /** The first in some of the lines at which nobody has been for `lateMs`, though it could be somebody's turn. */
  abandoned(lateMs: number): Promise<string[]>;
}

/**
 * KEYS: line, turns, pending. ARGV: webhook, id, since when it is due, now, when the turn lapses, when to look after those in
 * the line, the latest that a turn can end (all ms), most in line. Answers whether it is a turn, and whose.
 */
const TAKE = script(`
  redis.call('ZADD', KEYS[1], ARGV[3], ARGV[2])
  redis.call('ZADD', KEYS[3], 'XX', ARGV[6], ARGV[2])
  local takenUntil = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or 0)
  local isFree = takenUntil <= tonumber(ARGV[4]) or takenUntil > tonumber(ARGV[7])
  if not isFree and redis.call('ZCARD', KEYS[1]) <= tonumber(ARGV[8]) then return false end
  local first
  if isFree then
    redis.call('ZADD', KEYS[2], ARGV[5], ARGV[1])
    first = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
  else
    local oldest = redis.call('ZRANGEBYSCORE', KEYS[1], '(0', '+inf', 'LIMIT', 0, 2)
    first = oldest[1] ~= ARGV[2] and oldest[1] or oldest[2]
    if not first then return false end
  end
  redis.call('ZREM', KEYS[1], first)
  redis.call('ZADD', KEYS[3], 'XX', ARGV[4], first)
  return {isFree and 1 or 0, first}
`);

/**
 * KEYS: line, turns. ARGV: webhook, from when on it may be somebody's turn again, now, until when at most the turn may be
 * taken for anything to be done, and the latest that a turn can end (all ms). Answers who is first.
 */
const END = script(`
  local takenUntil = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or 0)
  if takenUntil > tonumber(ARGV[4]) and takenUntil <= tonumber(ARGV[5]) then return false end
  local first = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
  if first or tonumber(ARGV[2]) > tonumber(ARGV[3]) then redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
  else redis.call('ZREM', KEYS[2], ARGV[1]) end
  return first
`);

export function createTurns(
  redis: Redis,
  { deliveries, webhookTimeoutMs }: { deliveries: Deliveries; webhookTimeoutMs: number },
): Turns {
  const longestMs = Math.max(webhookTimeoutMs + LAPSE_MS, LONGEST_BREAK_MS) + CLOCK_SKEW_MS;
  const endUnlessTakenAfter = async (webhook: string, atMs: number, breakMs: number): Promise<string | undefined> => {
    const now = Date.now();
    const names = [keys.webhookLine(webhook), keys.webhooksTurns];
    const first = await END(redis, names, [webhook, now + breakMs, now, atMs, now + longestMs]);
    return first === null ? undefined : String(first);
  };
  const leave = async (webhook: string, id: string): Promise<void> => {
    await redis.zrem(keys.webhookLine(webhook), id);
  };
  return {
    leave,
    async take(delivery) {
      const { id, webhook } = delivery;
      const now = Date.now();
      const lapsesAtMs = now + webhookTimeoutMs + LAPSE_MS;
      const answer = await TAKE(
        redis,
        [keys.webhookLine(webhook), keys.webhooksTurns, keys.webhooksPending],
        [webhook, id, dueAtMs(delivery), now, lapsesAtMs, now + LOOK_AFTER_MS, now + longestMs, MAX_IN_LINE],
      );
      if (answer === null) return undefined;
      const [isTurn, first] = takenSchema.parse(answer);
      return isTurn === 1 ? { turn: { webhook, id: first, lapsesAtMs } } : { givenUp: first };
    },
    end: ({ webhook, lapsesAtMs }, breakMs) => endUnlessTakenAfter(webhook, lapsesAtMs, breakMs),
    async abandoned(lateMs) {
      const now = Date.now();
      const atMs = now - lateMs;
      const some = ['LIMIT', 0, ABANDONED_AT_ONCE] as const;
      const found: string[] = [];
      for (const webhook of [
        ...(await redis.zrangebyscore(keys.webhooksTurns, '-inf', atMs, ...some)),
        ...(await redis.zrangebyscore(keys.webhooksTurns, `(${now + longestMs}`, '+inf', ...some)),
      ]) {
        const first = await endUnlessTakenAfter(webhook, atMs, 0);
        if (first === undefined) continue;
        if ((await deliveries.find(first)) === undefined) await leave(webhook, first);
        else found.push(first);
      }
      return found;
    },
  };
}

/** What somebody asks for goes first: to send an old message again, or one that shows whether any arrives. */
const dueAtMs = ({ event, createdAt, nextAttemptAt, attempts }: Delivery): number => {
  const isSentAgain = nextAttemptAt === null && attempts.length > 0;
  return event === TEST_EVENT || isSentAgain ? 0 : Date.parse(nextAttemptAt ?? createdAt);
};
