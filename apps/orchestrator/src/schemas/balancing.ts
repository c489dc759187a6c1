/**
 * Load balancing: policies, what a pass over their endpoints found and decided, and the moves that came of it.
 */
import { z } from 'zod';
import { slugSchema, timestampSchema } from './common.ts';
import { migrationIdSchema, migrationInputSchema, recordedRequestSchema } from './migration.ts';
import { periodSchema, timeZoneSchema } from './period.ts';

export const RESOURCES = ['cpu', 'memory', 'network'] as const;
export type Resource = (typeof RESOURCES)[number];
export const BALANCING_MODES = ['explain', 'propose', 'automatic'] as const;

const MAX_ENDPOINTS = 64;
const MAX_PERIODS = 50;
const fraction = z.number().gt(0).max(1);
const weight = z.number().min(0).max(100);
const period = (least: number, usual: number) => z.int().min(least).max(2_592_000_000).default(usual);
const bytesPerSec = z.int().min(1_024);

/** A resource with weight 0 does not count. */
const resourceSchema = (usual: { weight: number; high: number; low: number }) =>
  z
    .strictObject({
      weight: weight.default(usual.weight).describe('What it counts for, compared with the others; 0: nothing.'),
      high: fraction.default(usual.high).describe('A host that uses more of it is too busy.'),
      low: fraction
        .default(usual.low)
        .describe('It stays too busy until it uses no more than this; and no host is given more than this.'),
    })
    .prefault({});

/** As an exact name or id, a name with `*` for anything (`web-*`), or `label:` and a label in the same way. */
export const vmPatternSchema = z
  .string()
  .min(1)
  .max(262)
  .describe('A name or an id; a name with `*` for anything (`web-*`); or `label:` and a label in the same way.');
const vmPatterns = z.array(vmPatternSchema).max(500).default([]);
const groups = z
  .array(z.strictObject({ vms: z.array(vmPatternSchema).min(1).max(500) }))
  .max(100)
  .default([]);

/** What a policy does not say of its migrations. */
const UNSAID = {
  vm: true,
  source: true,
  destination: true,
  diskMap: true,
  mayReplace: true,
  allowCordoned: true,
  drill: true,
  powerState: true,
  labels: true,
  correlationId: true,
} as const;
const migrationWhy = 'How its migrations are made; as in a migration.';

const settings = {
  description: z.string().max(500).default(''),
  endpoints: z.array(slugSchema).max(MAX_ENDPOINTS).describe('The hosts between which VMs are moved.'),
  mode: z
    .enum(BALANCING_MODES)
    .default('propose')
    .describe(
      '`explain`: only says what it would do. `propose`: waits for an operator. `automatic`: submits migrations.',
    ),
  counts: z
    .enum(['host', 'vms'])
    .default('host')
    .describe(
      '`host`: processor and memory that a host uses, whatever for. `vms`: what its VMs use, for hosts that share a ' +
        'machine or do other things that shall not count. Of the network, always what the VMs send and receive.',
    ),
  cpu: resourceSchema({ weight: 1, high: 0.85, low: 0.7 }),
  memory: resourceSchema({ weight: 0.5, high: 0.9, low: 0.8 }),
  network: resourceSchema({ weight: 0, high: 0.8, low: 0.6 }),
  networkCapacityBytesPerSec: z
    .record(slugSchema, bytesPerSec)
    .refine((capacities) => Object.keys(capacities).length <= MAX_ENDPOINTS, `at most ${MAX_ENDPOINTS}`)
    .default({})
    .describe('Endpoint → what its network carries; needed for each when the network counts.'),
  passes: z
    .enum(['interval', 'asked'])
    .default('interval')
    .describe('When passes are made. `interval`: by themselves. `asked`: only by hand or by a schedule.'),
  intervalMs: period(1_000, 300_000).describe('From one pass to the next, where they are made by themselves.'),
  measureMs: z
    .int()
    .min(200)
    .max(15_000)
    .default(5_000)
    .describe('How long use is averaged over, where LMAS measures it.'),
  confirmPasses: z
    .int()
    .min(1)
    .max(100)
    .default(2)
    .describe('Passes in a row above `high` until a host counts as too busy.'),
  minGain: z
    .number()
    .min(0)
    .max(1)
    .default(0.05)
    .describe('What a move has to gain beyond its cost: how much the busier of the two hosts falls, 0.05 is 5 points.'),
  horizonMs: period(60_000, 3_600_000).describe('How long a gain is taken to last: a move that takes so long costs 1.'),
  costWeight: weight.default(1).describe('What the time that a move takes counts for, compared with what it gains.'),
  assumedRateBytesPerSec: bytesPerSec.default(125_000_000).describe('Of a link that nobody has measured or set.'),
  vmCoolDownMs: period(0, 3_600_000).describe('So long a VM that was moved is not moved again.'),
  hostCoolDownMs: period(0, 600_000).describe(
    'So long a host takes part in no further pass’s moves after one has ended.',
  ),
  noReturnMs: period(0, 21_600_000).describe('So long a VM does not go back to the host that it was moved away from.'),
  maxMovesPerHour: z.int().min(1).max(1_000).default(6),
  maxConcurrent: z.int().min(1).max(100).default(1).describe('Moves under way at once.'),
  timeZone: timeZoneSchema.default('UTC').describe('On whose clock its windows and blackouts are.'),
  windows: z
    .array(periodSchema)
    .max(MAX_PERIODS)
    .default([])
    .describe('Passes by interval are made, and what they decide is begun, inside one of these; without any, always.'),
  blackouts: z
    .array(periodSchema)
    .max(MAX_PERIODS)
    .default([])
    .describe('Nothing of that inside one of these, whatever the windows say.'),
  proposalMs: period(1_000, 1_800_000).describe('How long a proposal waits for an answer.'),
  rules: z
    .strictObject({
      pinned: vmPatterns.describe('Never moved.'),
      ignored: vmPatterns.describe('Never moved, and bound by no other rule.'),
      affinity: groups.describe('The VMs of a group stay, and move, together.'),
      antiAffinity: groups.describe('The VMs of a group run on different hosts.'),
    })
    .prefault({}),
  migration: migrationInputSchema.omit(UNSAID).prefault({}).describe(migrationWhy),
};

const EXAMPLE = {
  endpoints: ['host-a', 'host-b'],
  mode: 'propose' as const,
  cpu: { high: 0.8, low: 0.6 },
  rules: { pinned: ['db-1'], antiAffinity: [{ vms: ['web-*'] }] },
};

export const balancingSettingsSchema = z
  .strictObject(settings)
  .meta({ id: 'BalancingPolicySettings', examples: [EXAMPLE] });
export const balancingPolicyInputSchema = z
  .strictObject({ id: slugSchema, ...settings })
  .meta({ id: 'BalancingPolicyRequest', examples: [{ id: 'hall-1', ...EXAMPLE }] });
export const balancingPolicySchema = z
  .object({
    id: slugSchema,
    ...settings,
    migration: recordedRequestSchema.omit(UNSAID).prefault({}).describe(migrationWhy),
    pausedAt: timestampSchema.nullable().describe('Since when it does nothing; null: it works.'),
    createdAt: timestampSchema,
  })
  .meta({ id: 'BalancingPolicy' });

const vmRefSchema = z.object({ id: z.string(), name: z.string() });
const usesSchema = z
  .object({ cpu: z.number().nullable(), memory: z.number().nullable(), network: z.number().nullable() })
  .describe('0 to 1 of what there is; null: not known.');

export const balancingDecisionSchema = z
  .object({
    code: z
      .string()
      .describe('Stable: `MOVE`, `HOST_RESTS`, `HOST_COOLS_DOWN`, `GAIN_TOO_SMALL`, …; all are in docs/balancing.md.'),
    endpoint: slugSchema.nullable(),
    vm: vmRefSchema.nullable(),
    destination: slugSchema.nullable(),
    text: z.string().describe('One sentence.'),
  })
  .meta({ id: 'BalancingDecision', description: 'What was decided, or why nothing was.' });

export const balancingHostSchema = z.object({
  endpoint: slugSchema,
  uses: usesSchema,
  tooBusy: z.boolean(),
  vms: z.int(),
});

export const balancingRunIdSchema = z
  .string()
  .regex(/^b_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'an id as the history of a schedule shows it')
  .meta({ id: 'BalancingRunId' });

export const balancingPassSchema = z
  .object({
    policy: slugSchema,
    number: z.int(),
    mode: z.enum(BALANCING_MODES),
    at: timestampSchema,
    hosts: z.array(balancingHostSchema),
    spread: z
      .number()
      .describe('How far the hosts are apart: the standard deviation of what they use, weighted; 0.1 is 10 points.'),
    moves: z.array(z.string()).describe('Ids of the moves that were proposed or decided; none when it only explains.'),
    decisions: z.array(balancingDecisionSchema),
    run: balancingRunIdSchema.nullable().default(null).describe('Of a schedule that ordered it; null: nobody did.'),
    asked: z
      .boolean()
      .default(false)
      .describe(
        'Somebody asked for it, a person or a schedule: what it decided is begun whatever the windows of the policy say.',
      ),
  })
  .meta({ id: 'BalancingPass' });

export const MOVE_STATES = [
  /** Waits for an operator. */
  'proposed',
  /** Will be submitted as soon as it was looked at once more. */
  'decided',
  /** Nothing stops it any more: it is submitted, and again after a crash, as the same migration. */
  'submitting',
  /** There is a migration. */
  'submitted',
  /** The migration is over. */
  'ended',
  /** A later pass no longer wants it, or the policy was paused. */
  'withdrawn',
  /** An operator said no. */
  'rejected',
  /** Nobody said anything. */
  'expired',
  /** Looked at once more it was not right, or the migration was not accepted. */
  'refused',
] as const;

export const moveIdSchema = z.string().regex(/^bm_[0-9a-f]{32}$/, 'an id as a pass or a list of moves shows it');

export const balancingMoveSchema = z
  .object({
    id: moveIdSchema,
    policy: slugSchema,
    pass: z.int().describe('Number of the pass that decided it.'),
    vm: vmRefSchema,
    source: slugSchema,
    destination: slugSchema,
    state: z.enum(MOVE_STATES),
    text: z.string().describe('Why, in one sentence.'),
    gain: z.number().describe('How much the busier of the two hosts falls, weighted; 0.1 is 10 points.'),
    cost: z.number().describe('In the same measure.'),
    estimatedMs: z.int().describe('How long the migration is taken to last.'),
    isRepair: z.boolean().describe('It keeps a rule, whatever it gains.'),
    expected: z.object({ source: usesSchema, destination: usesSchema }).describe('What the hosts use after it.'),
    actual: z
      .object({ source: usesSchema.nullable(), destination: usesSchema.nullable() })
      .nullable()
      .describe('What they used at the first pass after it; null before.'),
    request: recordedRequestSchema
      .nullable()
      .describe('What is submitted, the same after a crash and after a change of the policy; null before.'),
    migration: migrationIdSchema.nullable(),
    outcome: z.string().nullable().describe('What came of it, in one sentence.'),
    answeredBy: z.string().nullable().describe('Who approved or rejected it.'),
    createdAt: timestampSchema,
    expiresAt: timestampSchema.nullable(),
    startedAt: timestampSchema.nullable(),
    endedAt: timestampSchema.nullable(),
  })
  .meta({ id: 'BalancingMove' });

export const policyListQuerySchema = z.strictObject({
  needs: z.enum(['person']).optional().describe('`person`: only those with a proposal that waits for an answer.'),
});
export const moveListQuerySchema = z.strictObject({
  state: z.enum(MOVE_STATES).optional().describe('Only those in this state.'),
});

/** A pass that a schedule ordered, to the end of what it moved. */
export const balancingRunSchema = z
  .object({
    id: balancingRunIdSchema,
    policy: slugSchema,
    phase: z
      .enum(['waiting', 'moving', 'succeeded', 'failed', 'cancelled'])
      .describe(
        '`waiting`: the pass is still to be made. `moving`: it was made, and what it decided is on its way; proposals are not waited for. `failed`: there was no pass, or a migration of it failed.',
      ),
    pass: z.int().nullable().describe('Number of the pass; null: it is still to be made.'),
    moves: z.array(z.string()).describe('Ids of the moves that were proposed or decided.'),
    cancelRequestedAt: timestampSchema.nullable(),
    createdAt: timestampSchema,
    endedAt: timestampSchema.nullable(),
    message: z.string().describe('In a sentence or two, how it is or how it ended.'),
    code: z.string().nullable().describe('Of the first error, if there was one.'),
  })
  .meta({ id: 'BalancingRun' });

/** What is told of a policy, besides what its migrations tell. */
export const BALANCING_EVENTS = [
  /** A pass was made: what it found and decided is in the list of passes. */
  'pass-done',
  /** A move waits for an operator. */
  'proposed',
  /** An operator said yes, and looked at once more it was right. */
  'approved',
  'rejected',
  'expired',
  'withdrawn',
  /** Looked at once more it was not right, or the migration was not accepted. */
  'refused',
] as const;

export const balancingSummarySchema = z
  .object({
    policy: slugSchema,
    project: z.null().describe('Policies belong to the installation.'),
    event: z.enum(BALANCING_EVENTS),
    pass: balancingPassSchema
      .pick({ number: true, mode: true, spread: true, moves: true })
      .extend({ tooBusy: z.array(slugSchema).describe('Endpoints that are too busy.') })
      .nullable()
      .describe('That was made; null: it is about a move.'),
    move: balancingMoveSchema
      .pick({ id: true, vm: true, source: true, destination: true, state: true, text: true })
      .extend(balancingMoveSchema.pick({ gain: true, cost: true, estimatedMs: true, outcome: true }).shape)
      .extend(balancingMoveSchema.pick({ answeredBy: true, expiresAt: true, migration: true }).shape)
      .nullable()
      .describe('That the event happened to; null: it is about a pass.'),
  })
  .meta({ id: 'BalancingSummary' });

/** What a policy remembers from pass to pass. */
export const balancingMemorySchema = z.object({
  passes: z.int(),
  lastPassAt: timestampSchema.nullable(),
  /** Endpoint → passes in a row above `high`, and whether it counts as too busy. */
  hosts: z.record(z.string(), z.object({ over: z.int(), hot: z.boolean() })),
});
