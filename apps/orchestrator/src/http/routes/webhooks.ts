/**
 * Webhooks: who is told of what, and what was sent.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import {
  deliveryIdSchema,
  deliveryListQuerySchema,
  deliveryListSchema,
  newWebhookSchema,
  webhookChangeSchema,
  webhookDeliverySchema,
  webhookInputSchema,
  webhookListQuerySchema,
  webhookSchema,
} from '../../schemas/webhook.ts';
import type { Webhook } from '../../webhooks/webhooks.ts';
import { callerOf } from '../access.ts';
import { listOf, ownedNameParams, removed } from '../answers.ts';
import { etagOf, expectMatch, ifMatchHeaders } from '../etag.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

const tags = ['webhooks'];
/** Of this a change is one: what the deliveries say meanwhile is nobody's change. */
const settingsOf = ({ failingSince: _, ...settings }: Webhook) => settings;
const deliveryParams = ownedNameParams.extend({ delivery: deliveryIdSchema });

export const webhookRoutes: FastifyPluginAsyncZod<Services> = async (api, services) => {
  await api.register(registryRoutes, services);
  await api.register(deliveryRoutes, services);
};

const registryRoutes: FastifyPluginAsyncZod<Services> = async (api, { webhooks }) => {
  const seen = (request: object) => webhooks.seenBy(callerOf(request).project);
  api.post(
    '/v1/webhooks',
    {
      schema: {
        operationId: 'createWebhook',
        tags,
        summary: 'Register a webhook',
        description:
          'From now on every matching event is sent to the URL, signed as [Standard Webhooks](https://www.standardwebhooks.com) says. The answer holds the secret, and no later one does.',
        body: webhookInputSchema,
        response: {
          201: newWebhookSchema,
          ...failures('ALREADY_EXISTS', 'TOO_MANY_WEBHOOKS', 'WEBHOOK_ADDRESS_REFUSED'),
        },
      },
    },
    async (request, reply) => {
      const created = await seen(request).create(request.body);
      return reply.code(201).header('location', `/v1/webhooks/${created.id}`).send(created);
    },
  );
  api.get(
    '/v1/webhooks',
    {
      schema: {
        operationId: 'listWebhooks',
        tags,
        summary: 'List webhooks',
        description: 'All of them, by name, with how each is doing.',
        querystring: webhookListQuerySchema,
        response: { 200: listOf(webhookSchema), ...failures() },
      },
    },
    async (request) => ({ items: await seen(request).list(request.query) }),
  );
  api.get(
    '/v1/webhooks/:id',
    {
      schema: {
        operationId: 'getWebhook',
        tags,
        summary: 'Get a webhook',
        description:
          'Its settings, and since when it fails or why it is switched off; the `etag` of the answer is what a change has to name in `if-match`.',
        params: ownedNameParams,
        response: { 200: webhookSchema, ...failures('WEBHOOK_NOT_FOUND') },
      },
    },
    async (request, reply) => {
      const webhook = await seen(request).get(request.params.id);
      return reply.header('etag', etagOf(settingsOf(webhook))).send(webhook);
    },
  );
  api.patch(
    '/v1/webhooks/:id',
    {
      schema: {
        operationId: 'updateWebhook',
        tags,
        summary: 'Change a webhook',
        description: 'What is not named stays as it is. `enabled: true` also forgets the failures so far.',
        params: ownedNameParams,
        headers: ifMatchHeaders,
        body: webhookChangeSchema,
        response: {
          200: webhookSchema,
          ...failures('WEBHOOK_NOT_FOUND', 'WEBHOOK_ADDRESS_REFUSED', 'PRECONDITION_REQUIRED', 'PRECONDITION_FAILED'),
        },
      },
    },
    async (request, reply) => {
      const expect = (current: Webhook) => expectMatch(request.headers['if-match'], settingsOf(current));
      const webhook = await seen(request).change(request.params.id, request.body, expect);
      return reply.header('etag', etagOf(settingsOf(webhook))).send(webhook);
    },
  );
  api.post(
    '/v1/webhooks/:id/rotate-secret',
    {
      schema: {
        operationId: 'rotateWebhookSecret',
        tags,
        summary: 'Make a new secret',
        description:
          'For 24 hours every message carries two signatures, one by the new secret and one by the former. The answer holds the new one, and no later one does.',
        params: ownedNameParams,
        response: { 200: newWebhookSchema, ...failures('WEBHOOK_NOT_FOUND') },
      },
    },
    async (request) => await seen(request).rotateSecret(request.params.id),
  );
  api.delete(
    '/v1/webhooks/:id',
    {
      schema: {
        operationId: 'deleteWebhook',
        tags,
        summary: 'Remove a webhook',
        description: 'Its deliveries go with it, those that still wait among them.',
        params: ownedNameParams,
        response: { 204: removed, ...failures('WEBHOOK_NOT_FOUND') },
      },
    },
    async (request, reply) => {
      await seen(request).remove(request.params.id);
      return reply.code(204).send(null);
    },
  );
};

const deliveryRoutes: FastifyPluginAsyncZod<Services> = async (api, { webhooks }) => {
  const seen = (request: object) => webhooks.seenBy(callerOf(request).project);
  api.post(
    '/v1/webhooks/:id/test',
    {
      schema: {
        operationId: 'testWebhook',
        tags,
        summary: 'Send a test message',
        description:
          'A message of type `webhook.test`, treated like any other. Look at the delivery to see what came of it.',
        params: ownedNameParams,
        response: { 202: webhookDeliverySchema, ...failures('WEBHOOK_NOT_FOUND', 'WEBHOOK_DISABLED') },
      },
    },
    async (request, reply) => reply.code(202).send(await seen(request).sendTest(request.params.id)),
  );
  api.get(
    '/v1/webhooks/:id/deliveries',
    {
      schema: {
        operationId: 'listWebhookDeliveries',
        tags,
        summary: 'List deliveries',
        description: 'What was sent and what came of it, newest first: the last 1,000 of the last seven days.',
        params: ownedNameParams,
        querystring: deliveryListQuerySchema,
        response: { 200: deliveryListSchema, ...failures('WEBHOOK_NOT_FOUND', 'INVALID_CURSOR') },
      },
    },
    async (request) => await seen(request).deliveries(request.params.id, request.query),
  );
  api.get(
    '/v1/webhooks/:id/deliveries/:delivery',
    {
      schema: {
        operationId: 'getWebhookDelivery',
        tags,
        summary: 'Get a delivery',
        description: 'Each attempt with the status of its answer, or why there was none.',
        params: deliveryParams,
        response: { 200: webhookDeliverySchema, ...failures('WEBHOOK_NOT_FOUND', 'DELIVERY_NOT_FOUND') },
      },
    },
    async (request) => await seen(request).delivery(request.params.id, request.params.delivery),
  );
  api.post(
    '/v1/webhooks/:id/deliveries/:delivery/redeliver',
    {
      schema: {
        operationId: 'redeliverWebhookDelivery',
        tags,
        summary: 'Send a message again',
        description:
          'The same message with the same `webhook-id`, whatever came of it before, with all its attempts anew.',
        params: deliveryParams,
        response: {
          202: webhookDeliverySchema,
          ...failures('WEBHOOK_NOT_FOUND', 'DELIVERY_NOT_FOUND', 'WEBHOOK_DISABLED'),
        },
      },
    },
    async (request, reply) => {
      const { id, delivery } = request.params;
      return reply.code(202).send(await seen(request).redeliver(id, delivery));
    },
  );
};
