/**
 * Links: the paths between two sites, as set and as measured, and the test that measures.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Link, LinkSettings } from '../../links/links.ts';
import { linkChangeSchema, linkIdSchema, linkSchema, linkTestInputSchema, linkTestSchema } from '../../schemas/link.ts';
import { callSignal, listOf } from '../answers.ts';
import { etagOf, expectMatch, ifMatchHeaders } from '../etag.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

const LINK_TEST_MS = 180_000;
const tags = ['links'];
const params = z.object({ id: linkIdSchema });
const settingsOf = ({ rateBitsPerSec, limits }: Link): LinkSettings => ({ rateBitsPerSec, limits });

export const linkRoutes: FastifyPluginAsyncZod<Services> = async (api, { links, linkTester }) => {
  api.get(
    '/v1/links',
    {
      schema: {
        operationId: 'listLinks',
        tags,
        summary: 'List links',
        description:
          'Every pair of registered sites, with what was set for the link between them and what was measured.',
        response: { 200: listOf(linkSchema), ...failures() },
      },
    },
    async () => ({ items: await links.list() }),
  );
  api.get(
    '/v1/links/:id',
    {
      schema: {
        operationId: 'getLink',
        tags,
        summary: 'Get a link',
        description:
          'The two sites in either order, with a tilde between. The `etag` of the answer covers what was set.',
        params,
        response: { 200: linkSchema, ...failures('LINK_NOT_FOUND') },
      },
    },
    async (request, reply) => {
      const link = await links.get(request.params.id);
      return reply.header('etag', etagOf(settingsOf(link))).send(link);
    },
  );
  api.patch(
    '/v1/links/:id',
    {
      schema: {
        operationId: 'updateLink',
        tags,
        summary: 'Set the limits of a link',
        description:
          'What is not named stays as it is. Takes effect at once, also on what runs: bandwidth is divided anew; a migration that runs is never stopped by a limit.',
        params,
        headers: ifMatchHeaders,
        body: linkChangeSchema,
        response: { 200: linkSchema, ...failures('LINK_NOT_FOUND', 'PRECONDITION_REQUIRED', 'PRECONDITION_FAILED') },
      },
    },
    async (request, reply) => {
      const expect = (current: LinkSettings) => expectMatch(request.headers['if-match'], current);
      const link = await links.change(request.params.id, request.body, expect);
      return reply.header('etag', etagOf(settingsOf(link))).send(link);
    },
  );
  api.post(
    '/v1/link-tests',
    {
      schema: {
        operationId: 'testLink',
        tags,
        summary: 'Measure the link between two sites',
        description:
          'Puts a gateway at each of the two sites, joins them, measures, and takes both away again. The result is kept as the link’s measurement.',
        body: linkTestInputSchema,
        response: {
          200: linkTestSchema,
          ...failures(
            'SITE_NOT_FOUND',
            'NO_GATEWAY',
            'NO_LISTENER',
            'TUNNEL_NOT_ESTABLISHED',
            'GATEWAY_UNREACHABLE',
            'NO_FREE_PORT',
            'FAR_END_TIMEOUT',
          ),
        },
      },
    },
    async (request, reply) => await linkTester.test(request.body, { signal: callSignal(reply, LINK_TEST_MS) }),
  );
};
