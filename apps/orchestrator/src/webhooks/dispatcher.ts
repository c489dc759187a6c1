/**
 * From the feed of all migrations to deliveries: each notice is looked at once by one of the orchestrators, however many
 * there are, and by another one when that died over it (a consumer group of the feed). It owns its loop.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { projectSees } from '../access/principal.ts';
import type { Logger } from '../log.ts';
import type { MigrationNotice } from '../migrations/notice.ts';
import { keys } from '../redis/keys.ts';
import { migrationNoticeSchema } from '../schemas/migration-notice.ts';
import type { MIGRATION_EVENTS } from '../schemas/webhook.ts';
import { type Deliveries, type Delivery, deliveryId } from './deliveries.ts';
import type { Webhook, Webhooks } from './webhooks.ts';

const GROUP = 'webhooks';
const BATCH = 100;
/** Also the longest that a lost notification delays a delivery. */
const LOOK_MS = 1_000;
const TAKE_OVER_AFTER_MS = 30_000;

type Entry = readonly [id: string, fields: readonly string[]];
type MigrationEventName = (typeof MIGRATION_EVENTS)[number];

export interface Dispatcher {
  stop(): Promise<void>;
}

export interface DispatcherParts {
  readonly redis: Redis;
  readonly subscriber: Redis;
  readonly webhooks: Webhooks;
  readonly deliveries: Deliveries;
  /** Hands a delivery to a worker; the same one twice is one. */
  readonly enqueue: (deliveryId: string) => Promise<void>;
  readonly log: Logger;
}

export async function startDispatcher({
  redis,
  subscriber,
  webhooks,
  deliveries,
  enqueue,
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
    const notice = migrationNoticeSchema.parse(JSON.parse(fields[1] ?? '{}'));
    for (const webhook of registered) {
      if (!wants(webhook, notice)) continue;
      const delivery = deliveryOf(webhook, id, notice);
      await deliveries.add(delivery);
      await enqueue(delivery.id);
    }
  };
  const round = async (): Promise<number> => {
    const abandoned = (await redis.xautoclaim(
      keys.feed,
      GROUP,
      consumer,
      TAKE_OVER_AFTER_MS,
      '0-0',
      'COUNT',
      BATCH,
    )) as [string, (Entry | null)[]];
    const answer = (await redis.xreadgroup('GROUP', GROUP, consumer, 'COUNT', BATCH, 'STREAMS', keys.feed, '>')) as
      | [string, Entry[]][]
      | null;
    const entries = [...abandoned[1].filter((entry) => entry !== null), ...(answer?.[0]?.[1] ?? [])];
    if (entries.length === 0) return 0;
    const registered = await webhooks.list();
    for (const entry of entries) await handle(entry, registered);
    // All at once; whoever takes over after a crash in between makes the same deliveries again, which are the same ones.
    await redis.xack(keys.feed, GROUP, ...entries.map(([id]) => id));
    return entries.length;
  };
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const news = new Promise<void>((resolve) => {
        wake = resolve;
      });
      let handled = 0;
      try {
        handled = await round();
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

const eventOf = ({ type, migration }: MigrationNotice): MigrationEventName =>
  type === 'cancel-requested' ? 'migration.cancel-requested' : `migration.${migration.phase}`;

function wants({ disabled, events, createdAt, project }: Webhook, notice: MigrationNotice): boolean {
  if (!projectSees(project, notice.migration.project)) return false;
  if (disabled !== null || notice.at < createdAt) return false;
  return events === null || events.includes(eventOf(notice));
}

function deliveryOf({ id }: Webhook, streamId: string, notice: MigrationNotice): Delivery {
  const event = eventOf(notice);
  return {
    id: deliveryId(id, streamId),
    webhook: id,
    event,
    migration: notice.migration.id,
    createdAt: new Date().toISOString(),
    status: 'pending',
    nextAttemptAt: null,
    attempts: [],
    payload: JSON.stringify({ type: event, timestamp: notice.at, data: notice.migration }),
  };
}
