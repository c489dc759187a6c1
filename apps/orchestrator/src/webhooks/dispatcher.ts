/**
 * From the feed of all migrations to deliveries: each notice is looked at once by one of the orchestrators, however many
 * there are, and by another one when that died over it (a consumer group of the feed). It also looks for deliveries that
 * nobody carries out, because whoever wanted them sent was broken off in the middle; and takes those out of the group who
 * died and left nothing behind. It owns its loop.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { noticeSeenBy } from '../access/seen-notices.ts';
import type { Logger } from '../log.ts';
import { keys } from '../redis/keys.ts';
import { script } from '../redis/script.ts';
import { readStored } from '../redis/stored-json.ts';
import { type Notice, noticeSchema, subjectOf } from '../schemas/notice.ts';
import type { WEBHOOK_EVENTS } from '../schemas/webhook.ts';
import { type Deliveries, type Delivery, deliveryId } from './deliveries.ts';
import { type Entry, GROUP, takeNotices } from './feed-group.ts';
import type { Turns } from './turns.ts';
import type { Webhook, Webhooks } from './webhooks.ts';

const BATCH = 100;
/** Also the longest that a lost notification delays a delivery, and a lost job the next one in a line. */
const LOOK_MS = 1_000;
const TAKE_OVER_AFTER_MS = 30_000;
/** Whoever lives asks every second. One that was only stopped for so long joins again by its next word. */
const DEAD_AFTER_MS = 600_000;

/** In one step: one that has just read something has something to lose. KEYS: feed. ARGV: group, dead after (ms) */
const FORGET_DEAD = script(`
  local forgotten = 0
  for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local consumer = {}
    for i = 1, #fields, 2 do consumer[fields[i]] = fields[i + 1] end
    if consumer.pending == 0 and consumer.idle > tonumber(ARGV[2]) then
      redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
      forgotten = forgotten + 1
    end
  end
  return forgotten
`);

type EventName = (typeof WEBHOOK_EVENTS)[number];

export interface Dispatcher {
  stop(): Promise<void>;
}

export interface DispatcherParts {
  readonly redis: Redis;
  readonly subscriber: Redis;
  readonly webhooks: Webhooks;
  readonly deliveries: Deliveries;
  readonly turns: Turns;
  /** Hands a delivery to a worker; the same one twice is one. */
  readonly enqueue: (deliveryId: string) => Promise<void>;
  /** How long one attempt may take. */
  readonly webhookTimeoutMs: number;
  readonly deadAfterMs?: number;
  readonly log: Logger;
}

export async function startDispatcher({
  redis,
  subscriber,
  webhooks,
  deliveries,
  turns,
  enqueue,
  webhookTimeoutMs,
  deadAfterMs = DEAD_AFTER_MS,
  log,
}: DispatcherParts): Promise<Dispatcher> {
  const consumer = randomUUID();
  const stopping = new AbortController();
  let wake = (): void => undefined;
  const onMessage = (channel: string): void => {
    if (channel === keys.feedChannel) wake();
  };
  subscriber.on('message', onMessage);
  await subscriber.subscribe(keys.feedChannel);
  await joinGroup(redis);

  const handle = async ([id, fields]: Entry, registered: readonly Webhook[]): Promise<void> => {
    if (registered.length === 0) return;
    const notice = readStored(noticeSchema, fields[1] ?? '{}');
    for (const webhook of registered) {
      const seen = noticeSeenBy(webhook.project, notice);
      if (seen === undefined || !wants(webhook, seen)) continue;
      const delivery = deliveryOf(webhook, id, seen);
      await deliveries.add(delivery, webhook);
      await enqueue(delivery.id);
    }
  };
  const round = async (): Promise<number> => {
    const take = { consumer, takeOverAfterMs: TAKE_OVER_AFTER_MS, count: BATCH };
    const { entries, missed } = await takeNotices(redis, take);
    if (missed > 0) {
      log.error(
        { missed },
        'notices were not kept until somebody handed them to webhooks; receivers have to list anew',
      );
    }
    if (entries.length === 0) return 0;
    const registered = await webhooks.list();
    for (const entry of entries) await handle(entry, registered);
    // All at once; whoever takes over after a crash in between makes the same deliveries again, which are the same ones.
    await redis.xack(keys.feed, GROUP, ...entries.map(([id]) => id));
    return entries.length;
  };
  let lookedAt = Number.NEGATIVE_INFINITY;
  const takeUpAbandoned = async (): Promise<void> => {
    if (performance.now() - lookedAt < LOOK_MS) return;
    lookedAt = performance.now();
    for (const id of await deliveries.overdue(TAKE_OVER_AFTER_MS + webhookTimeoutMs)) await enqueue(id);
    for (const id of await turns.abandoned(LOOK_MS)) await enqueue(id);
    await FORGET_DEAD(redis, [keys.feed], [GROUP, deadAfterMs]);
  };
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const news = new Promise<void>((resolve) => {
        wake = resolve;
      });
      let handled = 0;
      try {
        handled = await round();
        await takeUpAbandoned();
      } catch (error) {
        if (stopping.signal.aborted) return;
        log.warn({ err: error }, 'notices could not be handed to webhooks; they will be');
        await joinGroup(redis).catch(() => undefined); // the next round says so again
      }
      if (handled === 0) await pause(news, LOOK_MS);
    }
  };
  const running = loop();
  return {
    async stop() {
      stopping.abort();
      subscriber.off('message', onMessage);
      wake();
      await running;
      // What it had not acknowledged is claimed by another after a while; its name need not stay.
      const pending = (await redis.xpending(keys.feed, GROUP, '-', '+', 1, consumer)) as unknown[];
      if (pending.length === 0) await redis.xgroup('DELCONSUMER', keys.feed, GROUP, consumer);
    },
  };
}

async function pause(news: Promise<void>, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  await Promise.race([news, late]);
  clearTimeout(timer);
}

/** Begins with what comes next; a group that is there already goes on where it was. */
async function joinGroup(redis: Redis): Promise<void> {
  try {
    await redis.xgroup('CREATE', keys.feed, GROUP, '$', 'MKSTREAM');
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('BUSYGROUP'))) throw error;
  }
}

function eventOf(notice: Notice): EventName {
  if (notice.type === 'schedule') return `schedule.${notice.schedule.event}`;
  if (notice.type === 'plan-run') return `plan-run.${notice.planRun.event}`;
  if (notice.type === 'balancing') return `balancing.${notice.balancing.event}`;
  return notice.type === 'cancel-requested' ? 'migration.cancel-requested' : `migration.${notice.migration.phase}`;
}

function wants({ disabled, events, createdAt }: Webhook, notice: Notice): boolean {
  if (disabled !== null || notice.at < createdAt) return false;
  return events === null || events.includes(eventOf(notice));
}

function deliveryOf({ id }: Webhook, streamId: string, notice: Notice): Delivery {
  const event = eventOf(notice);
  return {
    id: deliveryId(id, streamId),
    webhook: id,
    event,
    migration: 'migration' in notice ? notice.migration.id : null,
    createdAt: new Date().toISOString(),
    status: 'pending',
    nextAttemptAt: null,
    attempts: [],
    payload: JSON.stringify({ type: event, timestamp: notice.at, data: subjectOf(notice) }),
  };
}
