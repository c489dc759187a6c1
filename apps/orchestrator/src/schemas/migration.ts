/**
 * Migrations: the request and the record.
 */

import { subflowsSchema } from '@lmas/gateway-api';
import { CONVERGENCES } from '@lmas/plugin-api';
import { z } from 'zod';
import { PHASES } from '../migrations/phases.ts';
import {
  bandwidthSchema,
  DEFAULT_PRIORITY,
  nameMapSchema,
  prioritySchema,
  shortTextSchema,
  slugSchema,
  timestampSchema,
} from './common.ts';
import { drillInputSchema, drillSchema } from './drill.ts';
import { findingSchema } from './finding.ts';
import { waitingSchema } from './queue.ts';

export const phaseSchema = z.enum(PHASES).meta({ id: 'Phase' });
export const whereSchema = z.enum(['source', 'destination', 'both', 'unknown']).meta({
  id: 'Where',
  description:
    'Where the VM is, as last seen. `unknown` without a word in `byHand` is no alarm: the source has not shown it yet.',
});

export const migrationIdSchema = z
  .string()
  .regex(/^m_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'm_ and a UUID, as lists of migrations show it')
  .meta({ id: 'MigrationId' });

/** Names and values that portals choose; a name can be none that every JavaScript object has. */
export const labelNameSchema = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?$/, 'lower-case letters, digits, . _ / -');
export const labelValueSchema = z.string().max(128);
export const correlationIdSchema = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[\x21-\x7e]+$/, 'printable ASCII without spaces');

const maxDowntimeSchema = z
  .int()
  .min(1)
  .max(600_000)
  .nullable()
  .describe(
    'The longest pause of the guest at the switchover; counts for more than `convergence`. null: as that says.',
  );

export const convergenceSchema = z
  .enum(CONVERGENCES)
  .describe(
    'What matters most when the dirty rate exceeds what the link carries. `balanced`: as the hypervisor does it. `fast-switchover`: a pause that is hardly noticed, the guest may be slowed down for it. `never-pause`: the shortest pause, full speed; it may never get across. `must-finish`: slowed down hard, with seconds of pause if need be. None of them implies post-copy.',
  )
  .meta({ id: 'Convergence' });

/** What was asked for after it was submitted; what is missing is as in the request. */
export const migrationChangesSchema = z
  .strictObject({
    bandwidthBytesPerSec: bandwidthSchema,
    convergence: convergenceSchema,
    maxDowntimeMs: maxDowntimeSchema,
  })
  .partial()
  .meta({
    id: 'MigrationChange',
    examples: [{ convergence: 'must-finish' }, { bandwidthBytesPerSec: 50_000_000, maxDowntimeMs: 1_000 }],
  });

export const powerStateSchema = z.enum(['running', 'off']);

export const MAX_MAPPED = 64;
export const vmNameSchema = shortTextSchema(255);
/** Where disks are, as a plugin names it. */
export const locationsSchema = z.array(shortTextSchema(1_024)).max(MAX_MAPPED);

const vmWhy = 'Id or name of the VM at the source.';
const networkMapWhy = 'Source network → destination network.';
const diskMapWhy = 'Disk name → location at the destination.';
const mayReplaceWhy =
  'Disks at the destination that may be copied over, because an earlier move of this very VM has left them there (`keptAtSource` of its report, kind `disk`). Runs of plans fill it in. It allows less than the plugin’s own `overwriteDisks`, which whoever may submit a migration may set as well: what a VM there uses is copied over by neither. For plugins that leave disks at the source (KVM).';

const DAY_MS = 24 * 3_600_000;
/** Of one stage; and of the queue, and the whole: less than what one timer can hold, 2^31 ms. */
const LONGEST_STAGE_MS = DAY_MS;
const LONGEST_WHOLE_MS = 21 * DAY_MS;
const timeoutSchema = z.int().min(1_000);

/** @param atMost a time limit of at most so much */
const timeoutsOver = (atMost: (maxMs: number) => typeof timeoutSchema) => {
  const [stage, whole] = [atMost(LONGEST_STAGE_MS), atMost(LONGEST_WHOLE_MS)];
  return z
    .strictObject({
      queueMs: whole.default(DAY_MS).describe('In the queue.'),
      checkingMs: stage.default(60_000),
      provisioningMs: stage.default(180_000),
      preparingMs: stage.default(120_000).describe('Of `preparing`, and once more of `connecting`.'),
      noProgressMs: stage.default(300_000).describe('While `performing`, without anything arriving.'),
      totalMs: whole
        .default(12 * 3_600_000)
        .describe('From when a worker first took it up, pauses between attempts included.'),
    })
    .prefault({})
    .describe(
      'Each stage’s limit. Past one the migration is abandoned as if cancelled, with STAGE_TIMEOUT as the reason.',
    );
};

export const migrationInputSchema = z
  .strictObject({
    vm: vmNameSchema.describe(vmWhy),
    source: slugSchema.describe('Endpoint where it runs.'),
    destination: slugSchema.describe(
      'Endpoint where it is to run; the source itself where its disks alone are to move.',
    ),
    transport: z
      .enum(['tunnel', 'direct'])
      .default('tunnel')
      .describe('`tunnel`: through a gateway pair. `direct`: from host to host without a tunnel, as without LMAS.'),
    tunnel: z
      .strictObject({
        suite: z.enum(['aes-256-gcm', 'chacha20-poly1305', 'none']).default('aes-256-gcm'),
        subflows: subflowsSchema
          .default('auto')
          .describe(
            'Parallel TCP connections of the data channel: a number, limits within which the gateways choose what serves the path best, or ' +
              '`auto`: their own limits.',
          ),
        compression: z
          .enum(['auto', 'never'])
          .default('never')
          .describe(
            '`auto`: the gateways compress what goes through the tunnel while that pays. How much is sent then tells an observer of the ' +
              'link how compressible the memory was.',
          ),
      })
      .prefault({}),
    drill: drillInputSchema,
    powerState: powerStateSchema
      .default('running')
      .describe(
        '`running`: the VM runs and moves live. `off`: it is powered off, and moves as it is: its definition and what the destination lacks of its disks. It stays off.',
      ),
    networkMap: nameMapSchema(MAX_MAPPED).default({}).describe(networkMapWhy),
    diskMap: nameMapSchema(MAX_MAPPED).default({}).describe(diskMapWhy),
    mayReplace: locationsSchema.default([]).describe(mayReplaceWhy),
    allowCordoned: z
      .boolean()
      .default(false)
      .describe('It may go to an endpoint that takes no VMs (`cordonedAt`); refused with ENDPOINT_CORDONED otherwise.'),
    maxDowntimeMs: maxDowntimeSchema.default(null),
    convergence: convergenceSchema.default('balanced'),
    bandwidthBytesPerSec: bandwidthSchema.default(null),
    priority: prioritySchema
      .default(DEFAULT_PRIORITY)
      .describe(
        'The higher one starts first; among equals, the older one. A project may be held to a highest one (`maxPriority` of its limits).',
      ),
    timeouts: timeoutsOver((maxMs) => timeoutSchema.max(maxMs)),
    retries: z
      .strictObject({
        max: z.int().min(0).max(20).default(2).describe('0: never.'),
        backOffMs: z
          .int()
          .min(100)
          .max(3_600_000)
          .default(10_000)
          .describe('The first pause; each next one is twice as long.'),
      })
      .prefault({})
      .describe(
        'How often it is tried again by itself. Only before anything was handed over to the destination, only after ' +
          'faults that pass, never after a refused login.',
      ),
    options: z.record(z.string(), z.unknown()).default({}).describe("The plugin's own options; see GET /v1/plugins."),
    labels: z
      .record(labelNameSchema, labelValueSchema)
      .refine((labels) => Object.keys(labels).length <= 16, 'at most 16')
      .default({})
      .describe('Yours to choose; lists can be filtered by them, and webhooks carry them.'),
    correlationId: correlationIdSchema
      .nullable()
      .default(null)
      .describe('Your own name for the task this belongs to; several migrations may share one.'),
  })
  .meta({
    id: 'MigrationRequest',
    examples: [
      {
        vm: 'web-1',
        source: 'host-a',
        destination: 'host-b',
        maxDowntimeMs: 300,
        labels: { team: 'payments' },
        correlationId: 'change-4711',
      },
      { vm: '6f1e7b0c-2d9a-4c51-9a3e-0f7f4f1f2b11', source: 'host-a', destination: 'host-b', transport: 'direct' },
    ],
  });

/** A request as it stands in records: some are older than the limits of texts and times, and are read all the same. */
export const recordedRequestSchema = migrationInputSchema
  .extend({
    timeouts: timeoutsOver(() => timeoutSchema),
    vm: z.string().describe(vmWhy),
    networkMap: z.record(z.string(), z.string()).default({}).describe(networkMapWhy),
    diskMap: z.record(z.string(), z.string()).default({}).describe(diskMapWhy),
    mayReplace: z.array(z.string()).default([]).describe(mayReplaceWhy),
  })
  .meta({ id: 'RecordedMigrationRequest' });

export const migrationErrorSchema = z
  .object({
    code: z.string(),
    message: z.string(),
    remedy: z.string().nullable().describe('What to do next.'),
    retryable: z.boolean(),
    phase: phaseSchema.describe('Where it happened.'),
    native: z.object({ name: z.string(), message: z.string() }).nullable().describe('What the hypervisor said.'),
    cause: z
      .object({ code: z.string(), message: z.string() })
      .nullable()
      .default(null)
      .describe(
        'What else is known: what went wrong first, where the outcome could not be found out; what the hypervisor said of a gateway that ended.',
      ),
  })
  .meta({ id: 'MigrationError' });

export const outlookSchema = z
  .object({
    verdict: z
      .enum(['converges', 'narrow', 'diverges', 'unknown'])
      .describe(
        '`narrow`: it converges, slowly. `diverges`: it never will, as things are. `unknown`: too early to say.',
      ),
    message: z.string(),
    advice: z.string().nullable().describe('What to do about it.'),
    etaMs: z.int().nullable().describe('Until the switchover.'),
  })
  .meta({ id: 'Outlook', description: 'Whether pre-copy will come to an end on this link.' });

export const progressSchema = z
  .object({
    stage: z.enum(['disks', 'memory', 'switchover', 'post-copy']),
    percent: z.number(),
    bytesTotal: z.int(),
    bytesTransferred: z.int(),
    bytesRemaining: z.int(),
    rateBytesPerSec: z.number().nullable(),
    dirtyRateBytesPerSec: z.number().nullable(),
    iteration: z.int().nullable(),
    etaMs: z.int().nullable(),
    outlook: outlookSchema.nullable().default(null).describe('While memory is copied.'),
    at: timestampSchema,
  })
  .meta({ id: 'Progress' });

/** The source's gateway as it is now, part by part; what arrives, as the destination's sees it. */
export const tunnelNowSchema = z
  .object({
    sendBitsPerSec: z.number().describe('Arrival at the far gateway, averaged over about a second.'),
    linkBitsPerSec: z.number().nullable().describe('What the path was measured to carry; null while it is not known.'),
    linkQueueMs: z
      .number()
      .nullable()
      .default(null)
      .describe(
        'How much longer than the shortest round trips take: what waits in front of the path. Null in what an earlier version recorded.',
      ),
    linkLossShare: z
      .number()
      .nullable()
      .default(null)
      .describe(
        'Share of the bytes sent of late that had to be sent again, 0 to 1. Null in what an earlier version recorded.',
      ),
    windowBytes: z.int(),
    kernelBytes: z
      .int()
      .nullable()
      .default(null)
      .describe('What the kernel holds for the sockets of the source’s gateway; null where it does not say.'),
    bufferedBytes: z.int().describe('At the destination, waiting for its hypervisor or for what is in front.'),
    rekeys: z.int(),
    compressionRatio: z.number().describe('Bytes of hypervisors for each byte on the link, of late.'),
    subflows: z.array(
      z.object({
        id: z.int(),
        sendBitsPerSec: z.number(),
        rttMs: z.number().nullable(),
        congestionWindowBytes: z.int().nullable(),
        queueBytes: z.int().nullable(),
        retransmits: z.int().nullable(),
      }),
    ),
    streams: z
      .array(
        z.object({
          id: z.int(),
          route: z.string(),
          bytesSent: z.int(),
          sendBitsPerSec: z.number(),
          queueBytes: z.int(),
          reorderDepth: z.int().describe('Pieces that arrived before the ones in front of them.'),
          idleMs: z.int(),
        }),
      )
      .describe('At most 64.'),
  })
  .meta({ id: 'TunnelNow' });

/** Sum of what the gateway pair carried, as the destination’s gateway delivered it. */
export const tunnelStatsSchema = z
  .object({
    suite: z.string(),
    subflows: z.int(),
    subflowsReplaced: z.int(),
    bytesDelivered: z.int(),
    goodputBitsPerSec: z
      .number()
      .describe('`bytesDelivered` over the time from the first to the last byte that was delivered so far; 0 before.'),
    rttMs: z.number().nullable(),
    congestionControl: z.string().nullable(),
    retransmits: z.int().nullable(),
    inFlightBytes: z.int(),
    refusals: z.record(z.string(), z.int()),
    trouble: z
      .object({ code: z.string(), message: z.string() })
      .nullable()
      .default(null)
      .describe('Why the tunnel is interrupted or closed, in the words of its gateways; null while it is well.'),
    now: tunnelNowSchema.nullable().default(null).describe('While it runs.'),
  })
  .meta({ id: 'TunnelStats' });

export const giveUpInputSchema = z
  .strictObject({
    reason: z.string().min(1).max(500).describe('Why it can never be taken down; it stays in the record.'),
  })
  .meta({ id: 'GiveUpRequest', examples: [{ reason: 'gateway machine gw-b burnt down' }] });

const byWhom = z.string().describe('Name of the API key, or of who the token says it is.');
export const givenUpSchema = z.object({ at: timestampSchema, by: byWhom, reason: z.string() });

export const doneByHandInputSchema = z
  .strictObject({ note: z.string().min(1).max(500).describe('What was found and done; it stays in the record.') })
  .meta({ id: 'DoneByHandRequest', examples: [{ note: 'runs at host-b; the paused copy at host-a was removed' }] });

export const doneByHandSchema = z.object({ at: timestampSchema, by: byWhom, note: z.string() });

/** What a check may find that others have. */
export const waitReasonSchema = z.enum(['hosts', 'addresses']);
export type WaitReason = z.infer<typeof waitReasonSchema>;

export const migrationSchema = z
  .object({
    id: migrationIdSchema,
    project: slugSchema.nullable().default(null).describe('Whose it is; null: the installation’s.'),
    plugin: z.string().nullable().default(null).describe('The hypervisor plugin of both endpoints.'),
    purpose: z
      .enum(['move', 'drill', 'relocation'])
      .default('move')
      .describe(
        '`drill`: a copy is started and undone again; the VM stays where it is. `relocation`: the VM is powered off, and moves as it is.',
      ),
    vm: z.object({ id: z.string().nullable(), name: z.string() }),
    source: z.object({ endpoint: slugSchema, site: slugSchema }),
    destination: z.object({ endpoint: slugSchema, site: slugSchema }),
    request: recordedRequestSchema.describe('As it was submitted.'),
    changes: migrationChangesSchema.default({}).describe('What was asked for since.'),
    phase: phaseSchema,
    waiting: waitingSchema
      .nullable()
      .default(null)
      .describe('While it waits in the queue: what for, and its place in the order.'),
    where: whereSchema,
    bandwidthShareBytesPerSec: z
      .int()
      .nullable()
      .default(null)
      .describe('What it may use now: its part of the limits of the whole, its link and itself; null is unlimited.'),
    teardown: z
      .enum(['not-needed', 'pending', 'complete', 'incomplete', 'given-up'])
      .describe(
        'Whether everything made for it is gone again. `incomplete`: it is tried again and again, what was left alone on purpose once the VM is found; or the VM itself was left standing, untidied or nobody knows where, and both ends are asked for it. `given-up`: somebody said that it never will be.',
      ),
    givenUp: givenUpSchema.nullable().default(null).describe('Who gave up what `leftovers` names, and why.'),
    leftovers: z
      .array(z.string())
      .describe('What could not be taken down yet, was given up, or was left alone on purpose, in words.'),
    createdAt: timestampSchema,
    startedAt: timestampSchema.nullable(),
    endedAt: timestampSchema.nullable(),
    timeline: z
      .array(z.object({ phase: phaseSchema, startedAt: timestampSchema }))
      .describe('Each phase as it was entered.'),
    waits: z
      .array(
        z.object({
          reason: waitReasonSchema
            .default('hosts')
            .describe('`hosts`: its two; `addresses`: of the gateway machine beside its source.'),
          startedAt: timestampSchema,
          endedAt: timestampSchema.nullable(),
        }),
      )
      .default([])
      .describe(
        'When it waited for its two hosts, or for addresses of a gateway machine, which others had, in the phase in which it was; for a place it waits in `queued`.',
      ),
    cancelRequestedAt: timestampSchema.nullable(),
    pointOfNoReturnAt: timestampSchema.nullable().describe('Since when a cancel is answered with 409.'),
    retryOf: migrationIdSchema.nullable().default(null).describe('The migration that this one was asked to try again.'),
    failedAttempts: z
      .array(z.object({ at: timestampSchema, phase: phaseSchema, code: z.string(), message: z.string() }))
      .default([])
      .describe('What was tried before by itself, and why it failed.'),
    runs: z
      .int()
      .describe(
        'How many times a worker took it up: anew after its run was lost, or once the hosts that it waited for were free.',
      ),
    findings: z.array(findingSchema),
    progress: progressSchema.nullable(),
    tunnel: tunnelStatsSchema.nullable(),
    drill: drillSchema.nullable().default(null).describe('Of a drill, once its copy has come up.'),
    error: migrationErrorSchema.nullable(),
    byHand: z
      .string()
      .nullable()
      .describe(
        'What only a person can do now; set when `where` is `both` or `unknown`, and when the VM stands still or was left untidied.',
      ),
    doneByHand: doneByHandSchema
      .nullable()
      .default(null)
      .describe('Who said that what `byHand` asks for is done, and what it was. Since then the VM is only looked for.'),
    report: z
      .object({
        downtimeMs: z.number().nullable().describe('As the hypervisor reports it.'),
        bytesTransferred: z.int().nullable(),
        iterations: z.int().nullable(),
        keptAtSource: z.array(z.object({ kind: z.string(), id: z.string() })),
        sourceDefinition: z.string().nullable(),
        warnings: z.array(z.string()),
      })
      .nullable(),
  })
  .meta({ id: 'Migration' });
