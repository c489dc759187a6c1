/**
 * Schedules: what is started when; what they will do and what they did.
 */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { Schedule } from '../../schedules/record.ts';
import {
  previewQuerySchema,
  scheduleChangeSchema,
  scheduleHistorySchema,
  scheduleInputSchema,
  scheduleListQuerySchema,
  scheduleListSchema,
  schedulePreviewSchema,
  scheduleSchema,
} from '../../schemas/schedule.ts';
import { callerOf } from '../access.ts';
import { ownedNameParams, removed } from '../answers.ts';
import { etagOf, expectMatch, ifMatchHeaders } from '../etag.ts';
import { failures } from '../failures.ts';
import type { Services } from '../services.ts';

const tags = ['schedules'];
const projectOf = (request: object): string | null => callerOf(request).project;

/** What people set; what runs and waits changes by itself. */
const settingsOf = ({ state: _, nextAt: __, waiting: ___, current: ____, ...settings }: Schedule) => settings;

export const scheduleRoutes: FastifyPluginAsyncZod<Services> = async (api, services) => {
  await api.register(registryRoutes, services);
  await api.register(orderRoutes, services);
  await api.register(outlookRoutes, services);
};

const registryRoutes: FastifyPluginAsyncZod<Services> = async (api, { schedules }) => {
  api.post(
    '/v1/schedules',
    {
      schema: {
        operationId: 'createSchedule',
        tags,
        summary: 'Make a schedule',
        description:
          'Refused at once, with every reason, when it makes no sense: windows that never open, a cron expression that never comes, an action that names what is not there.',
        body: scheduleInputSchema,
        response: { 201: scheduleSchema, ...failures('ALREADY_EXISTS', 'INVALID_SCHEDULE') },
      },
    },
    async (request, reply) => {
      const created = await schedules.create(request.body, projectOf(request));
      return reply.code(201).header('location', `/v1/schedules/${created.id}`).send(created);
    },
  );
  api.get(
    '/v1/schedules',
    {
      schema: {
        operationId: 'listSchedules',
        tags,
        summary: 'List schedules',
        description: 'Newest first; pages go on from `nextCursor`.',
        querystring: scheduleListQuerySchema,
        response: { 200: scheduleListSchema, ...failures('INVALID_CURSOR') },
      },
    },
    async (request) => await schedules.list(request.query, projectOf(request)),
  );
  api.get(
    '/v1/schedules/:id',
    {
      schema: {
        operationId: 'getSchedule',
        tags,
        summary: 'Get a schedule',
        description: 'What was set, the next time, what waits and what is under way. The `etag` covers what was set.',
        params: ownedNameParams,
        response: { 200: scheduleSchema, ...failures('SCHEDULE_NOT_FOUND') },
      },
    },
    async (request, reply) => {
      const schedule = await schedules.get(request.params.id, projectOf(request));
      return reply.header('etag', etagOf(settingsOf(schedule))).send(schedule);
    },
  );
  api.patch(
    '/v1/schedules/:id',
    {
      schema: {
        operationId: 'updateSchedule',
        tags,
        summary: 'Change a schedule',
        description:
          'What is not named stays as it is. What is under way goes on. After a change of the trigger or of the time zone only times that come after it count.',
        params: ownedNameParams,
        headers: ifMatchHeaders,
        body: scheduleChangeSchema,
        response: {
          200: scheduleSchema,
          ...failures('SCHEDULE_NOT_FOUND', 'INVALID_SCHEDULE', 'PRECONDITION_REQUIRED', 'PRECONDITION_FAILED'),
        },
      },
    },
    async (request, reply) => {
      const { params, body, headers } = request;
      const expect = (current: Schedule) => expectMatch(headers['if-match'], settingsOf(current));
      const changed = await schedules.change(params.id, body, projectOf(request), expect);
      return reply.header('etag', etagOf(settingsOf(changed))).send(changed);
    },
  );
  api.delete(
    '/v1/schedules/:id',
    {
      schema: {
        operationId: 'deleteSchedule',
        tags,
        summary: 'Remove a schedule',
        description: 'With its history. What is under way goes on.',
        params: ownedNameParams,
        response: { 204: removed, ...failures('SCHEDULE_NOT_FOUND') },
      },
    },
    async (request, reply) => {
      await schedules.remove(request.params.id, projectOf(request));
      return reply.code(204).send(null);
    },
  );
};

const orderRoutes: FastifyPluginAsyncZod<Services> = async (api, { schedules }) => {
  api.post(
    '/v1/schedules/:id/pause',
    {
      schema: {
        operationId: 'pauseSchedule',
        tags,
        summary: 'Pause a schedule',
        description:
          'It starts nothing any more, and what waits is left out; what is under way goes on. Safe to repeat.',
        params: ownedNameParams,
        response: { 200: scheduleSchema, ...failures('SCHEDULE_NOT_FOUND') },
      },
    },
    async (request) => await schedules.pause(request.params.id, projectOf(request)),
  );
  api.post(
    '/v1/schedules/:id/resume',
    {
      schema: {
        operationId: 'resumeSchedule',
        tags,
        summary: 'Resume a schedule',
        description: 'From its next time on: a pause misses nothing that would be made up for. Safe to repeat.',
        params: ownedNameParams,
        response: { 200: scheduleSchema, ...failures('SCHEDULE_NOT_FOUND') },
      },
    },
    async (request) => await schedules.resume(request.params.id, projectOf(request)),
  );
  api.post(
    '/v1/schedules/:id/run',
    {
      schema: {
        operationId: 'runSchedule',
        tags,
        summary: 'Start a run now',
        description: 'Whatever its windows say: somebody asked for it. Its times stay as they are.',
        params: ownedNameParams,
        response: { 202: scheduleSchema, ...failures('SCHEDULE_NOT_FOUND', 'SCHEDULE_BUSY', 'SCHEDULE_PAUSED') },
      },
    },
    async (request, reply) => reply.code(202).send(await schedules.run(request.params.id, projectOf(request))),
  );
};

const outlookRoutes: FastifyPluginAsyncZod<Services> = async (api, { schedules }) => {
  api.get(
    '/v1/schedules/:id/preview',
    {
      schema: {
        operationId: 'previewSchedule',
        tags,
        summary: 'Show the next runs',
        description:
          'As far as the clock alone decides: when each is due, when it would begin, and why it would wait or be left out. Times that do not exist or come twice on a day on which clocks are moved are explained.',
        params: ownedNameParams,
        querystring: previewQuerySchema,
        response: { 200: schedulePreviewSchema, ...failures('SCHEDULE_NOT_FOUND') },
      },
    },
    async (request) => await schedules.preview(request.params.id, request.query.count, projectOf(request)),
  );
  api.post(
    '/v1/schedule-previews',
    {
      schema: {
        operationId: 'previewNewSchedule',
        tags,
        summary: 'Show the runs of a schedule before it is made',
        description: 'The same refusals as when it is made, and the next runs; nothing is stored.',
        querystring: previewQuerySchema,
        body: scheduleInputSchema,
        response: { 200: schedulePreviewSchema, ...failures('INVALID_SCHEDULE') },
      },
    },
    async (request) => await schedules.previewOf(request.body, request.query.count, projectOf(request)),
  );
  api.get(
    '/v1/schedules/:id/history',
    {
      schema: {
        operationId: 'getScheduleHistory',
        tags,
        summary: 'Show what a schedule did',
        description: 'Newest first: what was started, waited, was left out or refused, and how it ended. The last 200.',
        params: ownedNameParams,
        response: { 200: scheduleHistorySchema, ...failures('SCHEDULE_NOT_FOUND') },
      },
    },
    async (request) => ({ items: await schedules.history(request.params.id, projectOf(request)) }),
  );
};
