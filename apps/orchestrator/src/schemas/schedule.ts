/**
 * Schedules: what is started when, on whose clock, inside which windows, and what becomes of a run that could not be.
 */
import { z } from 'zod';
import { ownedNameSchema, slugSchema, timestampSchema } from './common.ts';
import { migrationInputSchema, recordedRequestSchema } from './migration.ts';
import { MAX_TIME_LENGTH, periodSchema, timeZoneSchema } from './period.ts';
import { runModeSchema } from './plan-run.ts';

/** What a schedule can start. A new kind needs a line here and one in schedules/actions.ts. */
const actionOver = (migration: typeof migrationInputSchema | typeof recordedRequestSchema) =>
  z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('migration'), migration }),
    z.strictObject({ kind: z.literal('plan'), plan: ownedNameSchema, mode: runModeSchema.default('failover') }),
    z.strictObject({
      kind: z.literal('balancing'),
      policy: slugSchema.describe('Of which a pass is made; policies belong to the installation.'),
    }),
  ]);
export const scheduleActionSchema = actionOver(migrationInputSchema).meta({ id: 'ScheduleAction' });
export const recordedActionSchema = actionOver(recordedRequestSchema).meta({ id: 'RecordedScheduleAction' });

export const scheduleTriggerSchema = z
  .discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('once'),
      at: z.iso
        .datetime({ offset: true, local: true })
        .max(MAX_TIME_LENGTH)
        .describe('With an offset (or `Z`) an instant; without, a time on the clock of the time zone.'),
    }),
    z.strictObject({
      kind: z.literal('cron'),
      expression: z
        .string()
        .max(256)
        .describe('Five fields, no seconds: minute, hour, day of the month, month, day of the week.'),
    }),
  ])
  .meta({ id: 'ScheduleTrigger' });

const MAX_PERIODS = 50;
const windows = z.array(periodSchema).max(MAX_PERIODS).describe('Runs begin inside one of these; without any, always.');
const blackouts = z
  .array(periodSchema)
  .max(MAX_PERIODS)
  .describe('No run begins inside one of these, whatever the windows say.');
const missed = z
  .enum(['skip', 'run-now', 'next-window'])
  .describe(
    'What becomes of a run that could not begin within a minute of its time (the orchestrator was away) or whose time is outside of every window. `skip`: nothing. `run-now`: one run makes up for what was missed while the orchestrator was away, at once, if a window is open. `next-window`: it begins as soon as a window is open.',
  );
const overlap = z
  .enum(['skip', 'queue', 'replace'])
  .describe(
    'What becomes of a run whose time comes while the former one is under way. `skip`: nothing. `queue`: it begins after it; one waits at most. `replace`: the former one is cancelled first. Where a run that somebody else has begun is in its way (PLAN_BUSY, VM_ALREADY_MIGRATING), or so many migrations of its project wait that it may have no more (PROJECT_QUEUE_FULL), `skip` leaves it out, and the two others try again until a window closes.',
  );
const description = z.string().max(500);

export const scheduleInputSchema = z
  .strictObject({
    id: slugSchema,
    description: description.default(''),
    action: scheduleActionSchema,
    trigger: scheduleTriggerSchema,
    timeZone: timeZoneSchema.default('UTC'),
    windows: windows.default([]),
    blackouts: blackouts.default([]),
    missed: missed.default('skip'),
    overlap: overlap.default('skip'),
  })
  .meta({
    id: 'ScheduleRequest',
    examples: [
      {
        id: 'move-web-1',
        action: { kind: 'migration', migration: { vm: 'web-1', source: 'host-a', destination: 'host-b' } },
        trigger: { kind: 'once', at: '2099-03-27T23:30:00' },
        timeZone: 'Europe/Lisbon',
        windows: [{ kind: 'weekly', days: ['fri', 'sat'], from: '22:00', to: '04:00' }],
        missed: 'next-window',
      },
      {
        id: 'every-night',
        action: { kind: 'migration', migration: { vm: 'web-1', source: 'host-a', destination: 'host-b' } },
        trigger: { kind: 'cron', expression: '30 2 * * *' },
        blackouts: [{ kind: 'dates', from: '2098-12-20T00:00:00Z', to: '2099-01-06T00:00:00Z' }],
        overlap: 'queue',
      },
    ],
  });

/** What is not named stays as it is. */
export const scheduleChangeSchema = z
  .strictObject({
    description,
    action: scheduleActionSchema,
    trigger: scheduleTriggerSchema,
    timeZone: timeZoneSchema,
    windows,
    blackouts,
    missed,
    overlap,
  })
  .partial()
  .meta({
    id: 'ScheduleChange',
    examples: [{ missed: 'run-now' }, { trigger: { kind: 'cron', expression: '0 3 * * *' } }],
  });

/** What was started. */
export const runRefSchema = z
  .object({
    kind: z
      .enum(['migration', 'plan', 'balancing'])
      .describe(
        '`migration`: at /v1/migrations/:id. `plan`: a run of a plan, at /v1/plan-runs/:id. `balancing`: a pass and what it moves, at /v1/balancing-runs/:id.',
      ),
    id: z.string(),
  })
  .meta({ id: 'ScheduledRun' });

export const waitingSchema = z.object({
  dueAt: timestampSchema,
  for: z
    .enum(['window', 'former-run', 'other-run'])
    .describe(
      '`former-run`: of this schedule. `other-run`: somebody else has begun a run of the plan, or a migration of the VM, or the queue of its project is full; it is tried again for as long as it may begin.',
    ),
  message: z.string().nullable().default(null).describe('What is in its way, for `other-run`.'),
  code: z.string().nullable().default(null).describe('Of what is in its way.'),
});

export const scheduleSchema = z
  .object({
    ...scheduleInputSchema.shape,
    id: ownedNameSchema,
    action: recordedActionSchema,
    project: slugSchema.nullable().describe('Whose it is; null: the installation’s.'),
    createdAt: timestampSchema,
    pausedAt: timestampSchema.nullable().describe('Since when it starts nothing.'),
    state: z
      .enum(['active', 'paused', 'finished'])
      .describe('`finished`: its one time is over, and nothing of it waits or is under way.'),
    nextAt: timestampSchema.nullable().describe('The next time of its trigger; null: none, or paused.'),
    waiting: waitingSchema.nullable().describe('A run whose time has come and that waits.'),
    current: z.object({ dueAt: timestampSchema, run: runRefSchema }).nullable().describe('What is under way.'),
  })
  .meta({ id: 'Schedule' });

export const SCHEDULE_EVENTS = [
  /** A run was started. */
  'started',
  /** A run's time has come, and it waits for a window, for the former run, or for what somebody else has begun. */
  'waits',
  /** A run was left out, as its policies say. */
  'skipped',
  /** A run could not be started: what it names is not as it has to be. */
  'refused',
  'succeeded',
  'failed',
  'cancelled',
] as const;

export const scheduleHistoryEntrySchema = z
  .object({
    at: timestampSchema,
    dueAt: timestampSchema.describe('The time that this is about.'),
    event: z.enum(SCHEDULE_EVENTS),
    message: z.string(),
    run: runRefSchema.nullable(),
    code: z.string().nullable().describe('Of the error, if there was one.'),
  })
  .meta({ id: 'ScheduleHistoryEntry' });
export const scheduleHistorySchema = z
  .object({ items: z.array(scheduleHistoryEntrySchema) })
  .meta({ id: 'ScheduleHistory', description: 'Newest first; the last 200.' });

export const scheduleListQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(512).optional().describe('`nextCursor` of the page before.'),
});
export const scheduleListSchema = z
  .object({ items: z.array(scheduleSchema), nextCursor: z.string().nullable() })
  .meta({ id: 'ScheduleList', description: 'Newest first.' });

export const previewQuerySchema = z.strictObject({
  count: z.coerce.number().int().min(1).max(100).default(10),
});
export const schedulePreviewSchema = z
  .object({
    items: z.array(
      z.object({
        dueAt: timestampSchema,
        local: z.string().describe('The same on the clock of the time zone.'),
        startsAt: timestampSchema.nullable().describe('When it would begin; null: it would be left out.'),
        notes: z.array(z.string()).describe('Why it is left out or waits; what the clocks do to it.'),
      }),
    ),
  })
  .meta({ id: 'SchedulePreview' });
