/**
 * Plans: which VMs move where, in which waves, and what has to hold between two of them.
 */
import { z } from 'zod';
import {
  hostSchema,
  nameMapSchema,
  ownedNameSchema,
  portSchema,
  shortTextSchema,
  slugSchema,
  timestampSchema,
} from './common.ts';
import { keepMsSchema } from './drill.ts';
import { locationsSchema, MAX_MAPPED, migrationInputSchema, recordedRequestSchema, vmNameSchema } from './migration.ts';
import { hostKeysSchema } from './site.ts';

const MAX_WAVES = 50;
const MAX_SELECTORS = 500;
const MAX_CHECKS = 20;
/** Of one mapping between two sites. */
const MAX_SITE_MAPPED = 500;

const durationMs = (max: number) => z.int().min(0).max(max);

/** One endpoint, or the endpoint of a site that has most memory free for it. */
export const placeSchema = z
  .union([z.strictObject({ endpoint: slugSchema }), z.strictObject({ site: slugSchema })])
  .meta({ id: 'Place' });

const destination = placeSchema.describe(
  'Where it is to run; a site: the endpoint there with most memory free for it.',
);

/** What is the plan’s: what it moves, and where. */
const OF_THE_PLAN = {
  vm: true,
  source: true,
  destination: true,
  drill: true,
  powerState: true,
  networkMap: true,
  diskMap: true,
  mayReplace: true,
} as const;
const requestedMigration = migrationInputSchema.omit(OF_THE_PLAN);
const recordedMigration = recordedRequestSchema.omit(OF_THE_PLAN);

/** How long texts may be, and what may stand in them; and times. */
interface Texts {
  /** In the names of what is made from it. */
  readonly prefix: '' | 'Recorded';
  readonly vm: z.ZodString;
  readonly label: z.ZodString;
  readonly vmMap: z.ZodRecord<z.ZodString, z.ZodString>;
  readonly siteMap: z.ZodRecord<z.ZodString, z.ZodString>;
  readonly locations: z.ZodArray<z.ZodString>;
  readonly migration: typeof requestedMigration | typeof recordedMigration;
}
const REQUESTED: Texts = {
  prefix: '',
  vm: vmNameSchema,
  label: shortTextSchema(256),
  vmMap: nameMapSchema(MAX_MAPPED),
  siteMap: nameMapSchema(MAX_SITE_MAPPED),
  locations: locationsSchema,
  migration: requestedMigration,
};
const anyMap = z.record(z.string(), z.string());
/** Some records are older than the limits, others are made from what a hypervisor said: they are read all the same. */
const RECORDED: Texts = {
  ...{ prefix: 'Recorded', vm: z.string(), label: z.string(), vmMap: anyMap, siteMap: anyMap },
  locations: z.array(z.string()),
  migration: recordedMigration,
};

const exceptOver = ({ vm }: Texts) =>
  z.array(vm).max(MAX_SELECTORS).default([]).describe('Ids or names of VMs that stay.');

const orderOver = ({ vm }: Texts) => ({
  first: z
    .array(vm)
    .max(MAX_SELECTORS)
    .default([])
    .describe('Ids or names of VMs that begin before all others, in this order.'),
  order: z
    .enum(['name', 'smallest', 'largest'])
    .default('name')
    .describe('In which order the others begin: by name, or by how much memory they have.'),
});

const selectorOver = (texts: Texts) => {
  const many = { except: exceptOver(texts), ...orderOver(texts) };
  return z
    .discriminatedUnion('kind', [
      z.strictObject({
        kind: z.literal('vm'),
        vm: texts.vm.describe('Id or name.'),
        source: placeSchema.describe('Where it runs; a site: whichever of its endpoints has it.'),
        destination,
        networkMap: texts.vmMap.default({}).describe('Counts for more than the mappings of the plan.'),
        diskMap: texts.vmMap.default({}).describe('Disk name → location at the destination.'),
        mayReplace: texts.locations
          .default([])
          .describe('Disks that an earlier move of it has left at the destination; as in a migration request.'),
      }),
      z.strictObject({
        kind: z.literal('label'),
        label: texts.label.describe('As its hypervisor has it: a tag of XAPI, a label in the metadata of libvirt.'),
        source: placeSchema,
        destination,
        ...many,
      }),
      z.strictObject({ kind: z.literal('host'), source: slugSchema.describe('An endpoint.'), destination, ...many }),
      z.strictObject({ kind: z.literal('site'), source: slugSchema.describe('A site.'), destination, ...many }),
    ])
    .meta({ id: `${texts.prefix}VmSelector` });
};

const target = { host: hostSchema, port: portSchema };
const patience = {
  timeoutMs: durationMs(60_000).min(100).default(5_000).describe('Of one attempt.'),
  withinMs: durationMs(3_600_000).default(60_000).describe('It is tried again and again for so long.'),
};
export const planCheckSchema = z
  .discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('http'),
      url: z.url({ protocol: /^https?$/, error: 'an http:// or https:// URL' }).max(2_048),
      status: z.int().min(100).max(599).default(200).describe('Of the answer that is expected.'),
      ...patience,
    }),
    z.strictObject({ kind: z.literal('tcp'), ...target, ...patience }),
    z.strictObject({
      kind: z.literal('ssh'),
      host: hostSchema,
      port: portSchema.default(22),
      hostKeys: hostKeysSchema,
      credential: slugSchema,
      command: z
        .array(z.string().max(4_096))
        .min(1)
        .max(64)
        .describe('Program and arguments; exit code 0 is expected.'),
      ...patience,
    }),
  ])
  .meta({ id: 'PlanCheck' });

const concurrency = z
  .int()
  .min(1)
  .max(100)
  .default(2)
  .describe('So many move at once; the limits of the queue count as well.');

const waveOver = (texts: Texts) =>
  z
    .strictObject({
      name: z.string().max(100).default(''),
      vms: z.array(selectorOver(texts)).min(1).max(MAX_SELECTORS).describe('They begin in this order.'),
      concurrency,
      onFailure: z
        .enum(['stop', 'go-on', 'roll-back'])
        .default('stop')
        .describe(
          'What a failed VM, or a failed check after the wave, leads to. `stop`: nothing more begins. `go-on`: the others and the next waves go on. `roll-back`: what moved in this wave is moved back, then it stops.',
        ),
      afterwards: z
        .strictObject({
          pauseMs: durationMs(7 * 24 * 3_600_000).default(0),
          approval: z.boolean().default(false).describe('It waits until somebody approves.'),
          approveWithinMs: durationMs(30 * 24 * 3_600_000)
            .min(1_000)
            .nullable()
            .default(null)
            .describe('For so long; then the run ends as failed, and nothing more begins. null: for ever.'),
          checks: z.array(planCheckSchema).max(MAX_CHECKS).default([]),
        })
        .prefault({})
        .describe(
          'Before the next wave, or before the end: the pause, then the approval, then the checks, all of which have to pass.',
        ),
    })
    .meta({ id: `${texts.prefix}Wave` });

const mappingOver = ({ prefix, siteMap }: Texts) =>
  z
    .strictObject({
      source: slugSchema.describe('A site.'),
      destination: slugSchema.describe('A site.'),
      networks: siteMap.default({}).describe('Network at the source → network at the destination.'),
      storage: siteMap
        .default({})
        .describe(
          'Beginning of a disk’s location at the source → what stands there at the destination; the longest one counts.',
        ),
    })
    .meta({ id: `${prefix}SiteMapping` });

const drillOver = ({ vmMap }: Texts) =>
  z
    .strictObject({
      networks: vmMap
        .default({})
        .describe('Network at the source → isolated network at the destination. What is not named is not connected.'),
      keepMs: keepMsSchema.describe('How long the copies run once all are up, before they are undone.'),
    })
    .prefault({})
    .describe('For runs in mode `drill`.');

/** What all migrations of the plan have in common. */
const migrationSettings = (migration: Texts['migration']) =>
  migration.prefault({}).describe('As in a migration request.');

const bodyOver = (texts: Texts) => ({
  description: z.string().max(2_000).default(''),
  waves: z.array(waveOver(texts)).min(1).max(MAX_WAVES),
  mappings: z.array(mappingOver(texts)).max(100).default([]),
  after: z
    .array(slugSchema)
    .max(50)
    .default([])
    .describe(
      'Plans whose newest run of the same mode has to have succeeded, and not to have been taken back, before this one may run.',
    ),
  rtoMs: z.int().min(1_000).nullable().default(null).describe('Recovery-time objective: how long the whole may take.'),
  poweredOff: z
    .enum(['refuse', 'leave', 'move'])
    .default('refuse')
    .describe(
      'What becomes of a VM that is powered off. `refuse`: the run is refused. `leave`: it is left where it is, and said so. `move`: it is moved as it is, and stays off, where its plugin can do that; else it is left. One that is paused or arriving is not powered off: it is refused or left.',
    ),
  silent: z
    .enum(['refuse', 'leave'])
    .default('refuse')
    .describe(
      'What an endpoint of a site that does not answer means, where all or a label of that site is chosen: the run is refused, or goes on without what that endpoint has, and ends as failed.',
    ),
  memory: z
    .enum(['check', 'overcommit'])
    .default('overcommit')
    .describe(
      'What it means that an endpoint has less memory free than all the VMs need that are sent there together: those that do not fit are refused, or only warned of. Xen, which cannot overcommit, refuses them in any case.',
    ),
  migration: migrationSettings(texts.migration),
  drill: drillOver(texts),
});
const body = bodyOver(REQUESTED);
const recordedBody = bodyOver(RECORDED);

export const planBodySchema = z.strictObject(body).meta({
  id: 'PlanRequest',
  examples: [
    {
      description: 'Payments, from Lisbon to Porto',
      waves: [
        {
          name: 'databases',
          vms: [{ kind: 'vm', vm: 'db-1', source: { endpoint: 'host-a' }, destination: { endpoint: 'host-b' } }],
          concurrency: 1,
          onFailure: 'roll-back',
          afterwards: { pauseMs: 1_000, checks: [{ kind: 'tcp', host: '10.2.0.5', port: 5_432 }] },
        },
        {
          name: 'the rest',
          vms: [{ kind: 'host', source: 'host-a', destination: { site: 'porto' }, except: ['db-1'] }],
        },
      ],
      mappings: [{ source: 'lisbon', destination: 'porto', networks: { 'br-lan': 'br-lan2' } }],
      rtoMs: 3_600_000,
    },
  ],
});

export const recordedBodySchema = z.strictObject(recordedBody).meta({ id: 'RecordedPlan' });

export const planSchema = z
  .object({
    id: ownedNameSchema,
    ...recordedBody,
    project: slugSchema.nullable().describe('Whose it is; null: the installation’s.'),
    createdAt: timestampSchema,
    changedAt: timestampSchema,
  })
  .meta({ id: 'Plan' });

export const planPutQuerySchema = z.strictObject({
  dryRun: z
    .stringbool()
    .default(false)
    .describe('Refuse what would be refused, answer with what would be stored, store nothing.'),
});
export const planListQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().max(512).optional().describe('`nextCursor` of the page before.'),
});
export const planListSchema = z
  .object({ items: z.array(planSchema), nextCursor: z.string().nullable() })
  .meta({ id: 'PlanList', description: 'Newest first.' });

export const evacuationInputSchema = z
  .strictObject({
    source: placeSchema.describe('The endpoint, or the site, that shall be empty.'),
    destination,
    except: exceptOver(REQUESTED),
    ...orderOver(REQUESTED),
    concurrency,
    onFailure: z.enum(['stop', 'go-on']).default('go-on'),
    cordon: z
      .boolean()
      .default(false)
      .describe(
        'The source takes no VMs from now on, until somebody uncordons it; for callers who are bound to no project.',
      ),
    mappings: body.mappings,
    poweredOff: body.poweredOff.default('move'),
    silent: body.silent.default('leave'),
    memory: body.memory.default('check'),
    migration: migrationSettings(requestedMigration),
  })
  .meta({ id: 'EvacuationRequest', examples: [{ source: { endpoint: 'host-a' }, destination: { site: 'porto' } }] });
