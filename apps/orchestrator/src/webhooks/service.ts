/**
 * Webhooks as the API sees them, and their machinery: registry, log, dispatcher and courier, put together.
 */
import type { Redis } from 'ioredis';
import type { Vault } from '../access/vault.ts';
import type { Logger } from '../log.ts';
import { createRecordReads } from '../migrations/store-reads.ts';
import type { Job } from '../tracing/queue-spans.ts';
import { type AddressGuard, createAddressGuard, type Network } from './address-guard.ts';
import { type Courier, type CourierSettings, createCourier, type Due } from './courier.ts';
import { createDeliveries, type Deliveries } from './deliveries.ts';
import { startDispatcher } from './dispatcher.ts';
import { type MissedNotices, missedNotices } from './feed-group.ts';
import { type SeenWebhooks, webhooksSeenBy } from './seen-webhooks.ts';
import { createTurns } from './turns.ts';
import { createWebhooks, type Webhooks } from './webhooks.ts';

export interface WebhookService {
  readonly webhooks: Webhooks;
  readonly deliveries: Deliveries;
  readonly courier: Courier;
  /** For the API; null is the whole installation. */
  seenBy(project: string | null): SeenWebhooks;
  /** What none of them was told, because it was not kept until somebody did. */
  missed(): Promise<MissedNotices>;
  /** Begins to turn notices into deliveries and to carry them out. */
  start(subscriber: Redis): Promise<void>;
  stop(): Promise<void>;
}

/** What it needs of the queue. */
interface Queue {
  enqueue(deliveryId: string): Promise<void>;
  work(attempt: (deliveryId: string, job: Job) => Promise<readonly Due[]>): void;
}

export function createWebhookService(
  redis: Redis,
  queue: Queue,
  {
    vault,
    settings,
    onAttempt,
    log,
  }: {
    vault: Vault;
    settings: CourierSettings & { webhookAllow: readonly Network[] };
    onAttempt: (fault: string | null) => void;
    log: Logger;
  },
): WebhookService {
  const guard: AddressGuard = createAddressGuard(settings.webhookAllow);
  const webhooks = createWebhooks(redis, { vault, guard });
  const deliveries = createDeliveries(redis);
  const turns = createTurns(redis, { deliveries, webhookTimeoutMs: settings.webhookTimeoutMs });
  const enqueue = (id: string) => queue.enqueue(id);
  const { traceparentOf } = createRecordReads(redis);
  const courier = createCourier({
    ...{ webhooks, deliveries, turns, guard, enqueue, traceparentOf, settings, onAttempt, log },
  });
  let stop = async (): Promise<void> => undefined;
  return {
    webhooks,
    deliveries,
    courier,
    seenBy: (project) => webhooksSeenBy(project, { webhooks, deliveries, courier }),
    missed: () => missedNotices(redis),
    async start(subscriber) {
      const dispatcher = await startDispatcher({
        ...{ redis, subscriber, webhooks, deliveries, turns, enqueue, log },
        webhookTimeoutMs: settings.webhookTimeoutMs,
      });
      stop = () => dispatcher.stop();
      queue.work((id, job) => courier.deliver(id, job));
    },
    stop: () => stop(),
  };
}
