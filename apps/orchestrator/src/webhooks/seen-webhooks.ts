/**
 * The webhooks that one caller sees, with their deliveries: those of the caller's project, or all. Somebody else's are
 * not there.
 */
import { projectSees } from '../access/principal.ts';
import { LmasError } from '../errors.ts';
import type { Delivery } from './deliveries.ts';
import type { WebhookService } from './service.ts';
import type { NewWebhook, Webhook, WebhookChange, WebhookInput } from './webhooks.ts';

/** Every method that takes an id: @throws LmasError WEBHOOK_NOT_FOUND; with a delivery's, DELIVERY_NOT_FOUND too. */
export interface SeenWebhooks {
  /** @throws LmasError ALREADY_EXISTS, WEBHOOK_ADDRESS_REFUSED */
  create(input: WebhookInput): Promise<NewWebhook>;
  list(): Promise<Webhook[]>;
  get(id: string): Promise<Webhook>;
  /** @throws LmasError WEBHOOK_ADDRESS_REFUSED */
  change(id: string, change: WebhookChange): Promise<Webhook>;
  rotateSecret(id: string): Promise<NewWebhook>;
  remove(id: string): Promise<void>;
  /** @throws LmasError WEBHOOK_DISABLED */
  sendTest(id: string): Promise<Delivery>;
  /** @throws LmasError INVALID_CURSOR */
  deliveries(
    id: string,
    query: { limit: number; cursor?: string | undefined },
  ): Promise<{ items: Delivery[]; nextCursor: string | null }>;
  delivery(id: string, delivery: string): Promise<Delivery>;
  /** @throws LmasError WEBHOOK_DISABLED */
  redeliver(id: string, delivery: string): Promise<Delivery>;
}

export function webhooksSeenBy(
  project: string | null,
  { webhooks, deliveries, courier }: Pick<WebhookService, 'webhooks' | 'deliveries' | 'courier'>,
): SeenWebhooks {
  const get = async (id: string): Promise<Webhook> => {
    const webhook = await webhooks.get(id);
    if (projectSees(project, webhook.project)) return webhook;
    throw new LmasError('WEBHOOK_NOT_FOUND', `There is no webhook ${id}.`);
  };
  return {
    get,
    create: (input) => webhooks.create(input, project),
    list: async () => (await webhooks.list()).filter((webhook) => projectSees(project, webhook.project)),
    async change(id, change) {
      await get(id);
      return await webhooks.change(id, change);
    },
    async rotateSecret(id) {
      await get(id);
      return await webhooks.rotateSecret(id);
    },
    async remove(id) {
      await get(id);
      await webhooks.remove(id);
      await deliveries.forget(id);
    },
    async sendTest(id) {
      await get(id);
      return await courier.sendTest(id);
    },
    async deliveries(id, query) {
      await get(id);
      return await deliveries.list(id, query);
    },
    async delivery(id, delivery) {
      await get(id);
      return (await deliveries.get(id, delivery)).delivery;
    },
    async redeliver(id, delivery) {
      await get(id);
      return await courier.redeliver(id, delivery);
    },
  };
}
