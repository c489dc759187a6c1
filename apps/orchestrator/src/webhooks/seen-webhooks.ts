/**
 * The webhooks that one caller sees, with their deliveries: those of the caller's project, or all. Somebody else's are
 * not there.
 */
import { fullName, ownName } from '../access/owned-names.ts';
import { projectSees } from '../access/principal.ts';
import type { Delivery } from './deliveries.ts';
import type { WebhookService } from './service.ts';
import { type NewWebhook, needsPerson, type Webhook, type WebhookChange, type WebhookInput } from './webhooks.ts';

/** Every method that takes an id: @throws LmasError WEBHOOK_NOT_FOUND; with a delivery's, DELIVERY_NOT_FOUND too. */
export interface SeenWebhooks {
  /** @throws LmasError ALREADY_EXISTS, TOO_MANY_WEBHOOKS, WEBHOOK_ADDRESS_REFUSED */
  create(input: WebhookInput): Promise<NewWebhook>;
  list(query?: { needs?: 'person' | undefined }): Promise<Webhook[]>;
  get(id: string): Promise<Webhook>;
  /** `expect` as of `Webhooks`. @throws LmasError WEBHOOK_ADDRESS_REFUSED */
  change(id: string, change: WebhookChange, expect: (current: Webhook) => void): Promise<Webhook>;
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
  const full = (id: string): string => fullName(project, id);
  const shown = <T extends Webhook>(webhook: T): T => ({ ...webhook, id: ownName(project, webhook.id) });
  const shownDelivery = (delivery: Delivery): Delivery => ({
    ...delivery,
    webhook: ownName(project, delivery.webhook),
  });
  const requireWebhook = async (id: string): Promise<string> => (await webhooks.get(full(id))).id;
  return {
    get: async (id) => shown(await webhooks.get(full(id))),
    create: async (input) => shown(await webhooks.create({ ...input, id: full(input.id) }, project)),
    async list({ needs } = {}) {
      const mine = (await webhooks.list()).filter((each) => projectSees(project, each.project));
      return mine.filter((each) => needs === undefined || needsPerson(each)).map(shown);
    },
    change: async (id, change, expect) =>
      shown(await webhooks.change(full(id), change, (current) => expect(shown(current)))),
    rotateSecret: async (id) => shown(await webhooks.rotateSecret(full(id))),
    async remove(id) {
      await webhooks.remove(full(id));
      await deliveries.forget(full(id));
    },
    sendTest: async (id) => shownDelivery(await courier.sendTest(full(id))),
    async deliveries(id, query) {
      const { items, nextCursor } = await deliveries.list(await requireWebhook(id), query);
      return { items: items.map(shownDelivery), nextCursor };
    },
    async delivery(id, delivery) {
      return shownDelivery((await deliveries.get(await requireWebhook(id), delivery)).delivery);
    },
    redeliver: async (id, delivery) => shownDelivery(await courier.redeliver(full(id), delivery)),
  };
}
