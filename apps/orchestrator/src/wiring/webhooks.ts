/** Webhooks over one connection or another: the API keeps and tests them, the scheduler sends them. */
import type { Redis } from 'ioredis';
import type { Vault } from '../access/vault.ts';
import type { Metrics } from '../observability/metrics.ts';
import { createDeliveryQueue, type DeliveryQueue } from '../queue/delivery-queue.ts';
import { createWebhookService, type WebhookService } from '../webhooks/service.ts';
import type { Base } from './base.ts';

export function createWebhooksOver(
  { config, log, closers }: Base,
  redis: Redis,
  queueConnection: Redis,
  { vault, metrics }: { vault: Vault; metrics: Metrics },
): { webhooks: WebhookService; deliveries: DeliveryQueue } {
  const deliveries = createDeliveryQueue(queueConnection, log);
  closers.add('webhook queue', () => deliveries.close());
  const webhooks = createWebhookService(redis, deliveries, {
    vault,
    settings: config,
    onAttempt: metrics.webhookAttempted,
    log,
  });
  return { webhooks, deliveries };
}
