/**
 * SSH host keys: what a machine shows now, and which are pinned for what is registered.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { endpointSchema } from '../../schemas/endpoint.ts';
import { hostKeyPinsSchema, siteSchema } from '../../schemas/site.ts';
import { slugParams } from '../answers.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

const description =
  'For a machine that was set up anew. `replaces` names what is pinned now, so that nobody does it unknowingly. Compare the new key with what the machine itself says (ssh-keygen -lf) first: what it shows over the network may be somebody else’s.';

export const hostKeyRoutes: FastifyPluginAsyncZod<Services> = async (api, { hostKeyPins }) => {
  api.put(
    '/v1/sites/:id/host-keys',
    {
      schema: {
        operationId: 'pinSiteHostKeys',
        tags: ['sites'],
        summary: 'Pin other host keys of a gateway machine',
        description,
        params: slugParams,
        body: hostKeyPinsSchema,
        response: { 200: siteSchema, ...failures('SITE_NOT_FOUND', 'NO_GATEWAY', 'OTHER_HOST_KEYS_PINNED') },
      },
    },
    async (request) => await hostKeyPins.pinSite(request.params.id, request.body),
  );
  api.put(
    '/v1/endpoints/:id/host-keys',
    {
      schema: {
        operationId: 'pinEndpointHostKeys',
        tags: ['endpoints'],
        summary: 'Pin other host keys of a hypervisor host',
        description,
        params: slugParams,
        body: hostKeyPinsSchema,
        response: { 200: endpointSchema, ...failures('ENDPOINT_NOT_FOUND', 'NO_HOST_KEYS', 'OTHER_HOST_KEYS_PINNED') },
      },
    },
    async (request) => await hostKeyPins.pinEndpoint(request.params.id, request.body),
  );
};
