/**
 * Bandwidth by the time of day: of a link, and of the whole.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { linkGroup, TOTAL } from '../../admission/groups.ts';
import type { Timetable } from '../../links/timetables.ts';
import { linkIdSchema } from '../../schemas/link.ts';
import { timetableInputSchema, timetableSchema } from '../../schemas/timetable.ts';
import { removed } from '../answers.ts';
import { etagOf, expectMatch, ifMatchHeaders } from '../etag.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

const settingsOf = ({ now: _, ...settings }: Timetable) => settings;

export const timetableRoutes: FastifyPluginAsyncZod<Services> = async (api, { links, timetables }) => {
  const places = [
    {
      ...{ noun: 'Link', path: '/v1/links/:id/bandwidth-timetable', tag: 'links', of: 'a link' },
      params: z.object({ id: linkIdSchema }),
      groupOf: async ({ id = '' }: { id?: string }) => linkGroup((await links.get(id)).id),
    },
    {
      ...{ noun: 'Queue', path: '/v1/queue/bandwidth-timetable', tag: 'queue', of: 'the whole installation' },
      params: null,
      groupOf: async () => TOTAL,
    },
  ] as const;
  for (const { noun, path, tag, of, params, groupOf } of places) {
    const tags = [tag];
    const schema = params === null ? { tags } : { tags, params };
    const missing = params === null ? [] : (['LINK_NOT_FOUND'] as const);
    api.get(
      path,
      {
        schema: {
          ...schema,
          operationId: `get${noun}Timetable`,
          summary: `Get the bandwidth timetable of ${of}`,
          description: 'With what it says now, and until when.',
          response: { 200: timetableSchema, ...failures('TIMETABLE_NOT_FOUND', ...missing) },
        },
      },
      async (request, reply) => {
        const timetable = await timetables.get(await groupOf(request.params as { id?: string }));
        return reply.header('etag', etagOf(settingsOf(timetable))).send(timetable);
      },
    );
    api.put(
      path,
      {
        schema: {
          ...schema,
          operationId: `set${noun}Timetable`,
          summary: `Set the bandwidth timetable of ${of}`,
          description:
            'It sets the limit whenever what it says changes, also of what runs; one that somebody sets by hand holds until then. Takes the place of the one that is there, which `if-match` has to name.',
          headers: ifMatchHeaders,
          body: timetableInputSchema,
          response: {
            200: timetableSchema,
            ...failures('PRECONDITION_REQUIRED', 'PRECONDITION_FAILED', ...missing),
          },
        },
      },
      async (request, reply) => {
        const group = await groupOf(request.params as { id?: string });
        const ifMatch = request.headers['if-match'];
        const timetable = await timetables.set(group, request.body, (current) => {
          // Whoever names a version does not mean a new one: the one that was looked at is gone.
          if (current === undefined && ifMatch === undefined) return;
          expectMatch(
            ifMatch,
            current ?? null,
            'There is a timetable already: a change of it has to say of which version.',
          );
        });
        return reply.header('etag', etagOf(settingsOf(timetable))).send(timetable);
      },
    );
    api.delete(
      path,
      {
        schema: {
          ...schema,
          operationId: `delete${noun}Timetable`,
          summary: `Remove the bandwidth timetable of ${of}`,
          description: 'The limit stays as it is now.',
          response: { 204: removed, ...failures('TIMETABLE_NOT_FOUND', ...missing) },
        },
      },
      async (request, reply) => {
        await timetables.remove(await groupOf(request.params as { id?: string }));
        return reply.code(204).send(null);
      },
    );
  }
};
