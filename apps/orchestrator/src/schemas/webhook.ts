/**
 * Webhooks: who is told of what, and the log of what was sent. Signed as Standard Webhooks says.
 */
import { z } from 'zod';
import { PHASES } from '../migrations/phases.ts';
import { BALANCING_EVENTS } from './balancing.ts';
import { ownedNameSchema, slugSchema, timestampSchema } from './common.ts';
import { migrationIdSchema } from './migration.ts';
import { PLAN_RUN_EVENTS } from './plan-run.ts';
import { SCHEDULE_EVENTS } from './schedule.ts';

/** What is sent: every phase of a migration as it is entered, the ends among them; what schedules, runs of plans
 * and balancing policies do. */
export const WEBHOOK_EVENTS = [
  'migration.cancel-requested',
  ...PHASES.map((phase) => `migration.${phase}` as const),
  ...SCHEDULE_EVENTS.map((event) => `schedule.${event}` as const),
  ...PLAN_RUN_EVENTS.map((event) => `plan-run.${event}` as const),
  ...BALANCING_EVENTS.map((event) => `balancing.${event}` as const),
] as const;
export const TEST_EVENT = 'webhook.test';

const url = z
  .url({ protocol: /^https?$/, error: 'an https:// (or http://) URL' })
  .max(2_048)
  .refine((text) => {
    const parsed = URL.parse(text);
    return parsed === null || (parsed.username === '' && parsed.password === '');
  }, 'takes no user and no password: they would be shown to everybody who sees the webhook')
  .describe('Private, loopback and link-local addresses are refused unless LMAS_WEBHOOK_ALLOW names them.');
const description = z.string().max(500);
const events = z
  .array(z.enum(WEBHOOK_EVENTS))
  .min(1)
  .max(WEBHOOK_EVENTS.length)
  .nullable()
  .describe('What it is told of; null: everything.');

export const webhookInputSchema = z
  .strictObject({ id: slugSchema, url, description: description.default(''), events: events.default(null) })
  .meta({
    id: 'WebhookRequest',
    examples: [
      {
        id: 'portal',
        url: 'https://portal.example.org/hooks/lmas',
        events: ['migration.succeeded', 'migration.failed', 'migration.cancelled'],
      },
    ],
  });

/** What is not named stays as it is. */
export const webhookChangeSchema = z
  .strictObject({
    url,
    description,
    events,
    enabled: z.boolean().describe('Switches it off, or on again after it was switched off for failing.'),
  })
  .partial()
  .meta({ id: 'WebhookChange', examples: [{ events: ['migration.succeeded'] }, { enabled: true }] });

export const webhookSchema = z
  .object({
    id: ownedNameSchema,
    url: z.string(),
    description: z.string(),
    events: z.array(z.enum(WEBHOOK_EVENTS)).nullable(),
    project: slugSchema
      .nullable()
      .default(null)
      .describe(
        'Whose migrations, schedules and plans it is told of; null: everybody’s, and the installation’s balancing.',
      ),
    createdAt: timestampSchema,
    secretRotatedAt: timestampSchema.nullable(),
    failingSince: timestampSchema.nullable().describe('Since when nothing has got through; null while it works.'),
    disabled: z
      .object({ at: timestampSchema, reason: z.string() })
      .nullable()
      .describe('Set when nothing is sent any more, with the reason.'),
  })
  .meta({ id: 'Webhook' });

export const webhookListQuerySchema = z.strictObject({
  needs: z
    .enum(['person'])
    .optional()
    .describe('`person`: only those to which nothing gets through, and those that were switched off for that.'),
});

export const newWebhookSchema = webhookSchema
  .extend({ secret: z.string().describe('`whsec_…`, for the signatures. Shown now and never again.') })
  .meta({ id: 'NewWebhook' });

export const DELIVERY_FAULTS = [
  /** The answer's status was none of 200 to 299; `status` says which. */
  'HTTP_STATUS',
  /** Redirects are not followed: the address behind one was checked by nobody. */
  'REDIRECT',
  'TIMEOUT',
  'CONNECTION_FAILED',
  'NAME_NOT_RESOLVED',
  /** The name leads to an address to which nothing is sent. */
  'ADDRESS_REFUSED',
  /** The webhook was switched off or removed before its turn came. */
  'WEBHOOK_DISABLED',
] as const;

export const deliveryIdSchema = z
  .string()
  .regex(/^msg_[0-9a-f]{32}$/, 'an id as GET /v1/webhooks/:id/deliveries shows it')
  .meta({ id: 'WebhookDeliveryId' });

export const webhookDeliverySchema = z
  .object({
    id: deliveryIdSchema.describe('Also the header `webhook-id`, the same in every attempt.'),
    webhook: ownedNameSchema,
    event: z.enum([...WEBHOOK_EVENTS, TEST_EVENT]),
    migration: migrationIdSchema.nullable().describe('That it is about; null: about something else.'),
    createdAt: timestampSchema,
    status: z.enum(['pending', 'delivered', 'failed']),
    nextAttemptAt: timestampSchema.nullable(),
    attempts: z
      .array(
        z.object({
          at: timestampSchema,
          durationMs: z.int(),
          status: z.int().nullable().describe('Of the HTTP answer.'),
          fault: z.enum(DELIVERY_FAULTS).nullable(),
          message: z.string().nullable(),
        }),
      )
      .describe('Oldest first; the last 20.'),
    payload: z.string().describe('Exactly the bytes that are signed and sent.'),
  })
  .meta({ id: 'WebhookDelivery' });

export const deliveryListQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(512).optional().describe('`nextCursor` of the page before.'),
});
export const deliveryListSchema = z
  .object({ items: z.array(webhookDeliverySchema), nextCursor: z.string().nullable() })
  .meta({
    id: 'WebhookDeliveryList',
    description: 'Newest first; deliveries are kept for seven days, and of those that are done the last 1,000.',
  });
