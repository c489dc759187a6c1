/**
 * The shapes of the REST API, version 1: what is accepted and what is answered. Fastify validates with them, the OpenAPI
 * document is made from them, and the typed client from that.
 */
import { z } from 'zod';
import { PHASES } from './migrations/phases.ts';

/** Names that people give: sites, endpoints, credentials. */
export const slugSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'lower-case letters, digits and hyphens, at most 63')
  .meta({ id: 'Slug', description: 'A name in lower-case letters, digits and hyphens.' });

/** A name or an address; what neither can contain is refused here, long before a resolver sees it. */
const host = z
  .string()
  .max(253)
  .regex(/^[A-Za-z0-9:][A-Za-z0-9.:_-]*$/, 'a host name, an IPv4 or an IPv6 address');
const port = z.int().min(1).max(65_535);
const timestamp = z.iso.datetime();
const bandwidth = z.int().min(1_024).nullable().describe('Bytes per second; null is unlimited.');

export const hostKeysSchema = z
  .array(z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}$/, 'a fingerprint as ssh-keygen -lf prints it: SHA256:…'))
  .min(1)
  .describe('The SSH host keys that are accepted, as SHA-256 fingerprints. See POST /v1/host-key-scans.');

/** RFC 9457. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.string().describe('Stable, upper case; listed in docs/errors.md.'),
    detail: z.string().optional().describe('What is wrong with this very request, and what to do.'),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: 'Problem' });

// ---- credentials -------------------------------------------------------------------------------------------------

export const credentialInputSchema = z
  .discriminatedUnion('kind', [
    z.strictObject({
      id: slugSchema,
      kind: z.literal('ssh-key'),
      username: z.string().min(1),
      privateKey: z.string().min(1),
      passphrase: z.string().optional(),
    }),
    z.strictObject({
      id: slugSchema,
      kind: z.literal('password'),
      username: z.string().min(1),
      password: z.string().min(1),
    }),
  ])
  .meta({ id: 'CredentialRequest' });
/** Secrets go in and never come out. */
export const credentialSchema = z
  .object({ id: slugSchema, kind: z.enum(['ssh-key', 'password']), username: z.string(), createdAt: timestamp })
  .meta({ id: 'Credential' });

export const hostKeyScanInputSchema = z
  .strictObject({ host, port: port.default(22) })
  .meta({ id: 'HostKeyScanRequest' });
export const hostKeyScanSchema = z
  .object({ host, port, hostKeys: z.array(z.object({ type: z.string(), fingerprint: z.string() })) })
  .meta({
    id: 'HostKeyScan',
    description: 'What the host shows now. Compare it with what the host itself says before you trust it.',
  });

// ---- sites and endpoints -----------------------------------------------------------------------------------------

export const siteInputSchema = z
  .strictObject({
    id: slugSchema,
    description: z.string().max(500).default(''),
    gateway: z
      .strictObject({
        ssh: z.strictObject({ host, port: port.default(22), hostKeys: hostKeysSchema, credential: slugSchema }),
        tunnelAddress: host.describe('Where the other site reaches this gateway machine.'),
        listenAddress: host
          .optional()
          .describe('Where it listens for the other site, if `tunnelAddress` is translated on the way (NAT).'),
        tunnelPorts: z
          .strictObject({ min: port, max: port })
          .default({ min: 7_400, max: 7_499 })
          .describe('One of these is opened for each tunnel when this site listens.'),
        listens: z.boolean().default(true).describe('Whether the other site may open connections to this one.'),
        hypervisorAddress: host.describe(
          'Where hypervisors of this site reach the gateway machine; it listens there only.',
        ),
      })
      .nullable()
      .default(null)
      .describe('The machine where a gateway can run; without one, only straight migrations are possible.'),
  })
  .meta({ id: 'SiteRequest' });
export const siteSchema = siteInputSchema.extend({ createdAt: timestamp }).meta({ id: 'Site' });

export const endpointInputSchema = z
  .strictObject({
    id: slugSchema,
    site: slugSchema,
    plugin: slugSchema.describe('Name of a loaded plugin: kvm, …'),
    credential: slugSchema,
    config: z.record(z.string(), z.unknown()).describe("The plugin's own settings; see GET /v1/plugins."),
  })
  .meta({ id: 'EndpointRequest' });
export const endpointSchema = endpointInputSchema.extend({ createdAt: timestamp }).meta({ id: 'Endpoint' });

export const pluginSchema = z
  .object({
    name: slugSchema,
    apiVersion: z.int(),
    capabilities: z.record(z.string(), z.boolean()),
    configSchema: z.record(z.string(), z.unknown()).describe('JSON schema of an endpoint’s `config`.'),
    optionsSchema: z.record(z.string(), z.unknown()).describe('JSON schema of a migration’s `options`.'),
  })
  .meta({ id: 'Plugin' });

export const vmSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    presence: z.enum(['running', 'paused', 'incoming', 'stopped', 'absent', 'unreachable']),
    memoryBytes: z.int(),
    vcpus: z.int(),
    disks: z.array(
      z.object({
        name: z.string(),
        location: z.string().nullable(),
        sizeBytes: z.int().nullable(),
        readOnly: z.boolean(),
      }),
    ),
    networks: z.array(z.string()),
    managedBy: z.string().nullable(),
  })
  .meta({ id: 'Vm' });
export const inventorySchema = z
  .object({
    host: z.object({
      name: z.string(),
      version: z.string(),
      cpus: z.int(),
      memoryBytes: z.int(),
      memoryFreeBytes: z.int(),
    }),
    networks: z.array(z.string()),
    vms: z.array(vmSchema),
  })
  .meta({ id: 'Inventory' });

// ---- migrations --------------------------------------------------------------------------------------------------

export const phaseSchema = z.enum(PHASES).meta({ id: 'Phase' });
export const whereSchema = z
  .enum(['source', 'destination', 'both', 'unknown'])
  .meta({ id: 'Where', description: 'Where the VM is, as last seen at both ends.' });

export const migrationIdSchema = z
  .string()
  .regex(/^m_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'an id as POST /v1/migrations answers it')
  .meta({ id: 'MigrationId' });

export const migrationInputSchema = z
  .strictObject({
    vm: z.string().min(1).describe('Id or name of the VM at the source.'),
    source: slugSchema.describe('Endpoint where it runs.'),
    destination: slugSchema.describe('Endpoint where it shall run.'),
    transport: z
      .enum(['tunnel', 'direct'])
      .default('tunnel')
      .describe('`tunnel`: through a gateway pair. `direct`: straight from host to host, as without LMAS.'),
    tunnel: z
      .strictObject({
        suite: z.enum(['aes-256-gcm', 'chacha20-poly1305', 'none']).default('aes-256-gcm'),
        subflows: z
          .int()
          .min(1)
          .max(64)
          .default(8)
          .describe('Parallel TCP connections of the data channel: so many are opened, and kept open.'),
      })
      .prefault({}),
    networkMap: z.record(z.string(), z.string()).default({}).describe('Source network → destination network.'),
    diskMap: z.record(z.string(), z.string()).default({}).describe('Disk name → location at the destination.'),
    maxDowntimeMs: z.int().min(1).max(600_000).nullable().default(null),
    bandwidthBytesPerSec: bandwidth.default(null),
    timeouts: z
      .strictObject({
        queueMs: z
          .int()
          .min(1_000)
          .default(24 * 3_600_000),
        checkingMs: z.int().min(1_000).default(60_000),
        provisioningMs: z.int().min(1_000).default(180_000),
        preparingMs: z.int().min(1_000).default(120_000),
        noProgressMs: z.int().min(1_000).default(300_000),
        totalMs: z
          .int()
          .min(1_000)
          .default(12 * 3_600_000),
      })
      .prefault({})
      .describe(
        'Each stage’s limit. Past one the migration is abandoned as if cancelled, with STAGE_TIMEOUT as the reason.',
      ),
    options: z.record(z.string(), z.unknown()).default({}).describe("The plugin's own options; see GET /v1/plugins."),
  })
  .meta({ id: 'MigrationRequest' });

export const findingSchema = z
  .object({
    severity: z
      .enum(['blocker', 'warning', 'note'])
      .describe('A blocker refuses the migration, a warning does not; a note is worth knowing, and nothing is wrong'),
    code: z.string(),
    message: z.string(),
    remedy: z.string(),
  })
  .meta({ id: 'Finding' });

export const migrationErrorSchema = z
  .object({
    code: z.string(),
    message: z.string(),
    remedy: z.string().nullable().describe('What to do next.'),
    retryable: z.boolean(),
    phase: phaseSchema.describe('Where it happened.'),
    native: z.object({ name: z.string(), message: z.string() }).nullable().describe('What the hypervisor said.'),
  })
  .meta({ id: 'MigrationError' });

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
    at: timestamp,
  })
  .meta({ id: 'Progress' });

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
  })
  .meta({ id: 'TunnelStats' });

export const migrationSchema = z
  .object({
    id: migrationIdSchema,
    vm: z.object({ id: z.string().nullable(), name: z.string() }),
    source: z.object({ endpoint: slugSchema, site: slugSchema }),
    destination: z.object({ endpoint: slugSchema, site: slugSchema }),
    request: migrationInputSchema,
    phase: phaseSchema,
    where: whereSchema,
    teardown: z
      .enum(['not-needed', 'pending', 'complete', 'incomplete'])
      .describe('Whether everything made for it is gone again.'),
    leftovers: z
      .array(z.string())
      .describe('What could not be taken down yet, or was left alone on purpose, in words.'),
    createdAt: timestamp,
    startedAt: timestamp.nullable(),
    endedAt: timestamp.nullable(),
    timeline: z.array(z.object({ phase: phaseSchema, startedAt: timestamp })).describe('Each phase as it was entered.'),
    cancelRequestedAt: timestamp.nullable(),
    pointOfNoReturnAt: timestamp.nullable().describe('Since when a cancel is answered with 409.'),
    runs: z.int().describe('How many times a worker took it up; more than 1 means it was recovered.'),
    findings: z.array(findingSchema),
    progress: progressSchema.nullable(),
    tunnel: tunnelStatsSchema.nullable(),
    error: migrationErrorSchema.nullable(),
    byHand: z.string().nullable().describe('What only a person can do now; set when `where` is `both` or `unknown`.'),
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

export const migrationListQuerySchema = z.strictObject({
  phase: phaseSchema.optional(),
  vm: z.string().optional(),
  endpoint: slugSchema.optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().optional(),
});
export const migrationListSchema = z
  .object({ items: z.array(migrationSchema), nextCursor: z.string().nullable() })
  .meta({ id: 'MigrationList', description: 'Newest first.' });

/** `POST /v1/migration-checks`: the same checks as the real run, and nothing else. */
export const migrationCheckSchema = z
  .object({
    ok: z.boolean(),
    findings: z.array(findingSchema),
    memoryBytes: z.int(),
    diskBytes: z.int(),
  })
  .meta({ id: 'MigrationCheck' });

/** One server-sent event of `GET /v1/migrations/:id/events`: `id` is its place in the stream, for `Last-Event-ID`. */
export const migrationEventSchema = z
  .object({
    at: timestamp,
    type: z.enum(['phase', 'progress', 'finding', 'log', 'error', 'cancel-requested', 'end']),
    message: z.string(),
    migration: migrationSchema.describe('The whole record as of this event.'),
  })
  .meta({ id: 'MigrationEvent' });

// ---- links, service ----------------------------------------------------------------------------------------------

export const linkTestInputSchema = z
  .strictObject({ source: slugSchema, destination: slugSchema, durationMs: z.int().min(0).max(30_000).default(5_000) })
  .meta({ id: 'LinkTestRequest' });
export const linkTestSchema = z
  .object({
    source: slugSchema,
    destination: slugSchema,
    listener: slugSchema.describe('Which site accepted the tunnel’s connections.'),
    port,
    rttMinMs: z.number(),
    rttMedianMs: z.number(),
    goodputBitsPerSec: z.number().nullable(),
    mtuBytes: z.int().nullable(),
    lossPct: z.number().nullable().describe('Estimated from retransmitted segments.'),
    clockOffsetMs: z.number(),
    findings: z.array(findingSchema),
  })
  .meta({ id: 'LinkTest' });

export const readinessSchema = z
  .object({
    ready: z.boolean(),
    checks: z.array(z.object({ name: z.string(), ok: z.boolean(), detail: z.string() })),
  })
  .meta({ id: 'Readiness' });
export const versionSchema = z.object({ version: z.string(), apiVersion: z.literal(1) }).meta({ id: 'Version' });
