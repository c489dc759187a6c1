/**
 * Runs of plans: one record for each, from the request to the report.
 */
import { z } from 'zod';
import { ownedNameSchema, slugSchema, timestampSchema } from './common.ts';
import { findingSchema } from './finding.ts';
import { migrationIdSchema, powerStateSchema, vmNameSchema, whereSchema } from './migration.ts';
import { predictionSchema } from './migration-check.ts';
import { planCheckSchema, recordedBodySchema } from './plan.ts';

export const planRunIdSchema = z
  .string()
  .regex(/^r_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'r_ and a UUID, as lists of runs show it')
  .meta({ id: 'PlanRunId' });

/** What can be asked for of a stored plan. */
export const RUN_MODES = ['validate', 'failover', 'drill', 'disaster'] as const;
export const runModeSchema = z
  .enum(RUN_MODES)
  .describe(
    '`validate`: every check of every VM, predicted times, nothing moves. `failover`: the VMs move, live. `drill`: a copy of each VM is started on isolated networks, checked, kept for a while and undone; the VMs themselves are not touched. `disaster`: the source is gone; says for each VM what is known and what can be done, starts nothing.',
  )
  .meta({ id: 'PlanRunMode' });

export const planRunInputSchema = z
  .strictObject({ mode: runModeSchema })
  .meta({ id: 'PlanRunRequest', examples: [{ mode: 'validate' }, { mode: 'failover' }] });

export const failBackInputSchema = z
  .strictObject({
    except: z
      .array(vmNameSchema)
      .max(500)
      .default([])
      .describe(
        'Ids or names of VMs that stay where they are: one that is off, or gone, stands in the way of all others.',
      ),
    poweredOff: z
      .enum(['refuse', 'leave'])
      .optional()
      .describe('What a VM that is powered off by now means; by default what the plan of the run says.'),
  })
  .meta({ id: 'FailBackRequest', examples: [{}, { except: ['db-1'] }, { poweredOff: 'leave' }] });

export const approvalInputSchema = z
  .strictObject({
    wave: z
      .int()
      .min(1)
      .optional()
      .describe(
        'The number, from 1, of the wave that waits, as whoever approves has seen it: when another one waits by now, the answer is `RUN_STATE`. Without it, whichever waits is approved.',
      ),
  })
  .meta({ id: 'PlanApproval', examples: [{ wave: 1 }] });

export const RUN_PHASES = [
  /** The plan is made into VMs: who runs where, what each is mapped to. */
  'resolving',
  /** Every check of every VM; nothing moves. */
  'validating',
  /** Wave after wave. */
  'running',
  /** Of a drill: its copies run, for as long as the plan says or until somebody cancels. */
  'keeping',
  /** Of a drill: its copies are taken away. */
  'undoing',
  'succeeded',
  'failed',
  'cancelled',
] as const;
export const ITEM_STATES = [
  'waiting',
  /** Its migration was ordered, or runs. */
  'moving',
  /** It is at the destination, running unless it was off, and was not seen to run at the source. */
  'moved',
  'failed',
  'cancelled',
  /** It was only looked at, and can be moved. */
  'checked',
  /** The checks say no: it was not tried. */
  'refused',
  /** Its turn never came. */
  'skipped',
  /** It stays where it is, as the plan says. */
  'left',
  'moving-back',
  /** The wave was rolled back. */
  'moved-back',
  /** It could not be moved back: it runs at the destination, as far as is known. */
  'stuck',
  /** Of a drill: a copy of it is being made. */
  'copying',
  /** Its copy runs. */
  'copied',
  /** Its copy came up, and was undone. */
  'rehearsed',
] as const;
export const WAVE_STATES = [
  'waiting',
  'moving',
  /** Its VMs have moved; it pauses, waits for an approval, checks. */
  'between',
  'done',
  'rolling-back',
  'failed',
  'skipped',
] as const;

const placeNow = z.object({ endpoint: slugSchema, site: slugSchema });

export const planItemSchema = z
  .object({
    key: z.string().describe('Names it within the run.'),
    wave: z.int(),
    vm: z.object({ id: z.string(), name: z.string() }),
    source: placeNow,
    destination: placeNow,
    plugin: z.string(),
    networkMap: z.record(z.string(), z.string()),
    diskMap: z.record(z.string(), z.string()),
    keptDisks: z
      .array(z.string())
      .default([])
      .describe(
        'Disks that a move of it has left where it goes next, which it may copy over: before it moves, those that an earlier run has left at the destination; once it has moved, those at the source.',
      ),
    disks: z.array(z.object({ name: z.string(), location: z.string().nullable() })).describe('At the source.'),
    memoryBytes: z.int(),
    powerState: powerStateSchema.default('running').describe('`off`: it is powered off, and moves as it is.'),
    state: z.enum(ITEM_STATES),
    migrations: z.array(migrationIdSchema).describe('One for each attempt, there and back.'),
    findings: z.array(findingSchema),
    checkedAt: timestampSchema.nullable(),
    prediction: predictionSchema.nullable(),
    sourceAfter: z
      .enum(['absent', 'stopped', 'paused', 'running', 'unreachable'])
      .nullable()
      .describe(
        'What the source answered about it after it had moved. `paused`: a copy stands there that somebody could resume.',
      ),
    leftAt: whereSchema
      .nullable()
      .default(null)
      .describe(
        'Where it is, when its newest migration did not succeed and had looked for it, or when two copies run.',
      ),
    rehearsal: z
      .object({
        copy: z.string().describe('What it is called at the destination.'),
        networks: z.array(z.string()).describe('That it is connected to there.'),
        upAt: timestampSchema,
        upAfterMs: z.int().describe('From when it was taken up until its copy was seen to run.'),
        leftovers: z.array(z.string()).describe('What of it could not be taken away yet, in words; that goes on.'),
      })
      .nullable()
      .default(null)
      .describe('Of a drill, once its copy has come up.'),
    error: z.object({ code: z.string(), message: z.string(), remedy: z.string().nullable() }).nullable(),
    startedAt: timestampSchema.nullable(),
    endedAt: timestampSchema.nullable(),
  })
  .meta({ id: 'PlanItem' });

export const checkResultSchema = z
  .object({
    check: planCheckSchema,
    passed: z.boolean(),
    attempts: z.int(),
    message: z.string(),
    at: timestampSchema,
    durationMs: z.int(),
  })
  .meta({ id: 'PlanCheckResult' });

export const waveRunSchema = z
  .object({
    name: z.string(),
    state: z.enum(WAVE_STATES),
    startedAt: timestampSchema.nullable(),
    endedAt: timestampSchema.nullable(),
    pauseUntil: timestampSchema.nullable(),
    waitsSince: timestampSchema.nullable().default(null).describe('Since when it asks for an approval.'),
    approvedAt: timestampSchema.nullable(),
    checks: z.array(checkResultSchema),
  })
  .meta({ id: 'WaveRun' });

export const planRunSchema = z
  .object({
    id: planRunIdSchema,
    plan: ownedNameSchema.nullable().describe('null: an evacuation or a fail-back, which have a plan of their own.'),
    project: slugSchema.nullable(),
    mode: z.enum([...RUN_MODES, 'failback', 'evacuation']),
    reverseOf: planRunIdSchema.nullable().describe('Of a fail-back: the run that it takes back.'),
    reverseOfPlan: ownedNameSchema
      .nullable()
      .default(null)
      .describe(
        'Of a fail-back: the plan whose VMs it takes back; null: there is none, or a version wrote it that did not say so.',
      ),
    definition: recordedBodySchema.describe('The plan as it was when the run began: a change of it changes no run.'),
    phase: z.enum(RUN_PHASES),
    pausedAt: timestampSchema.nullable().describe('Since when nothing more begins.'),
    cancelRequestedAt: timestampSchema.nullable(),
    attempt: z.int().describe('1, and one more for each retry.'),
    createdAt: timestampSchema,
    startedAt: timestampSchema.nullable().describe('When the first VM was ordered to move.'),
    endedAt: timestampSchema.nullable(),
    keptSince: timestampSchema.nullable().default(null).describe('Of a drill: since when its waves are over.'),
    keptUntil: timestampSchema
      .nullable()
      .default(null)
      .describe('Of a drill: when its copies are undone at the latest.'),
    message: z.string().describe('In a sentence, how it is or how it ended.'),
    reasons: z
      .array(
        z.object({
          path: z.string(),
          message: z.string(),
          code: z
            .string()
            .optional()
            .describe(
              '`ENDPOINT_SILENT`: it was left with what it has, as the plan says. `APPROVAL_EXPIRED`: nobody approved in time.',
            ),
          endpoint: z.string().optional().describe('Which one is silent.'),
        }),
      )
      .describe(
        'Why it was refused, all of it; the endpoints that were left because they do not answer; and the approval that nobody gave.',
      ),
    prediction: z
      .object({
        durationMs: z.object({ low: z.int(), high: z.int().nullable() }).nullable(),
        fitsRto: z.enum(['yes', 'no', 'perhaps', 'unknown']).nullable().describe('null: the plan has none.'),
        notes: z.array(z.string()),
      })
      .nullable(),
    waves: z.array(waveRunSchema),
    items: z.array(planItemSchema),
  })
  .meta({ id: 'PlanRun' });

export const planRunSummarySchema = planRunSchema
  .pick({
    id: true,
    plan: true,
    project: true,
    mode: true,
    reverseOfPlan: true,
    phase: true,
    pausedAt: true,
    createdAt: true,
    endedAt: true,
    message: true,
  })
  .extend({
    vms: z.partialRecord(z.enum(ITEM_STATES), z.int()).describe('How many are in which state.'),
    reverseOf: planRunSchema.shape.reverseOf.default(null),
    cancelRequestedAt: timestampSchema.nullable().default(null),
    attempt: z.int().default(1),
    wave: z.int().nullable().default(null).describe('The one that it is at, from 1; null: none.'),
    waves: z.int().default(0).describe('How many there are.'),
    waitsForApproval: z
      .boolean()
      .default(false)
      .describe('It goes on only when a person says so; `message` says who may.'),
    waitsSince: timestampSchema.nullable().default(null).describe('Since when it waits for that; null: it does not.'),
  })
  .meta({ id: 'PlanRunSummary' });

export const planRunListQuerySchema = z.strictObject({
  plan: ownedNameSchema.optional().describe('Only runs of this plan, and what takes them back.'),
  needs: z.enum(['person']).optional().describe('`person`: only those that wait for an approval.'),
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(512).optional().describe('`nextCursor` of the page before.'),
});
export const planRunListSchema = z
  .object({ items: z.array(planRunSummarySchema), nextCursor: z.string().nullable() })
  .meta({ id: 'PlanRunList', description: 'Newest first.' });

export const planRunEntrySchema = z
  .object({
    at: timestampSchema,
    message: z.string(),
    vm: z.string().nullable(),
    code: z.string().nullable(),
  })
  .meta({ id: 'PlanRunEntry' });

/** One server-sent event of `GET /v1/plan-runs/:id/events`. */
export const planRunEventSchema = planRunEntrySchema
  .extend({
    type: z.enum(['log', 'end']).describe('`end`: nothing comes after it, unless what did not move is tried again.'),
    run: planRunSummarySchema.describe('As it is when the event is read.'),
  })
  .meta({ id: 'PlanRunEvent' });

export const planReportSchema = z
  .object({
    generatedAt: timestampSchema,
    run: planRunSchema,
    durationMs: z.int().nullable().describe('From the first order to the end; of a drill, until its waves were over.'),
    summary: z.object({
      moved: z.array(z.string()),
      poweredOff: z.array(z.string()).default([]).describe('Of those that moved: which were off, and are.'),
      failed: z.array(z.object({ vm: z.string(), code: z.string(), message: z.string() })),
      remaining: z
        .array(
          z.object({
            vm: z.string(),
            at: slugSchema
              .nullable()
              .describe('null: it is on its way, nobody knows, or it runs at both ends; `why` says more.'),
            why: z.string(),
          }),
        )
        .describe('What was left, and where; also what arrived and could not be moved back.'),
      rehearsed: z
        .array(
          z.object({
            vm: z.string(),
            upAfterMs: z.int().describe('How long its copy took to come up.'),
            sinceStartMs: z.int().describe('When that was, counted from the first order of the run.'),
            fitsRto: z.boolean().nullable().describe('Whether that is within the objective; null: the plan has none.'),
          }),
        )
        .default([])
        .describe('Of a drill: whose copy came up.'),
    }),
    timeline: z.array(planRunEntrySchema).describe('Oldest first; the last 1,000 entries.'),
  })
  .meta({ id: 'PlanReport' });

export const PLAN_RUN_EVENTS = [
  'started',
  'waits',
  'paused',
  'resumed',
  'wave-done',
  'succeeded',
  'failed',
  'cancelled',
] as const;
