/**
 * Endpoints, and what they answer when they are asked for their host and VMs.
 */
import { HOST_STATES, VERIFICATION_OUTCOMES } from '@lmas/plugin-api';
import { z } from 'zod';
import { ownedNameSchema, shownCredentialSchema, slugSchema, timestampSchema } from './common.ts';

export const endpointInputSchema = z
  .strictObject({
    id: slugSchema,
    site: slugSchema,
    plugin: slugSchema.describe('Name of a loaded plugin: kvm, …'),
    credential: ownedNameSchema,
    config: z.record(z.string(), z.unknown()).describe("The plugin's own settings; see GET /v1/plugins."),
  })
  .meta({
    id: 'EndpointRequest',
    examples: [
      {
        id: 'host-a',
        site: 'lisbon',
        plugin: 'kvm',
        credential: 'ops',
        config: { host: '10.1.0.11', hostKeys: [`SHA256:${'A'.repeat(43)}`], migrationAddress: '10.1.0.11' },
      },
    ],
  });
export const endpointSchema = endpointInputSchema
  .extend({
    credential: shownCredentialSchema,
    createdAt: timestampSchema,
    cordonedAt: timestampSchema
      .nullable()
      .default(null)
      .describe(
        'Since when it takes no VMs, as before maintenance (cordon); those that it has stay, and may leave. null: it takes them.',
      ),
  })
  .meta({ id: 'Endpoint' });

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
    host: z
      .string()
      .optional()
      .describe('Name of the one of `hosts` that runs it; absent where none does, or where the endpoint is one host.'),
    labels: z
      .array(z.string())
      .default([])
      .describe('What people wrote at it, at its hypervisor; plans can choose by them.'),
  })
  .meta({ id: 'Vm' });
const placeId = z.string().optional().describe('Stable; where a plugin’s option takes the name, it takes this too.');
export const hostSchema = z
  .object({
    name: z.string(),
    id: placeId,
    cluster: z.string().nullable().describe('Within the endpoint.'),
    state: z
      .enum(HOST_STATES)
      .describe(
        '`maintenance`: it takes no VMs; `disconnected`: its control point has lost it, and its numbers are of before that.',
      ),
    cpus: z.int(),
    memoryBytes: z.int(),
    memoryFreeBytes: z.int(),
  })
  .meta({ id: 'Host' });
export const storageSchema = z
  .object({
    name: z.string(),
    id: placeId,
    usable: z.boolean().describe('It can be written to now: accessible, and not in maintenance.'),
    capacityBytes: z.int().nullable(),
    freeBytes: z.int().nullable(),
    shared: z.boolean().nullable().describe('More than one host is set up to see it; null: not known.'),
    host: z
      .string()
      .optional()
      .describe('The one of `hosts` that sees it; absent where several do, or where the endpoint is one host.'),
  })
  .meta({ id: 'Storage' });
export const inventorySchema = z
  .object({
    host: z
      .object({
        name: z.string(),
        version: z.string(),
        cpus: z.int(),
        memoryBytes: z.int(),
        memoryFreeBytes: z.int(),
      })
      .describe('The endpoint as a whole; of many hosts, what those that are connected have together.'),
    hosts: z.array(hostSchema).default([]).describe('Each host that the endpoint stands for.'),
    storage: z
      .array(storageSchema)
      .default([])
      .describe('Where disks can be: the datastores, storage repositories or storage pools that these hosts see.'),
    networks: z.array(z.string()),
    vms: z.array(vmSchema),
  })
  .meta({ id: 'Inventory' });

/** What is not named stays as it is. While live migrations use the endpoint, only its credential may change. */
export const endpointChangeSchema = endpointInputSchema
  .pick({ credential: true, config: true })
  .partial()
  .meta({ id: 'EndpointChange', examples: [{ credential: 'ops-2026' }] });

export const verificationStepSchema = z
  .object({
    name: z.string().describe('Stable: `connection`, `inventory`, then the plugin’s own.'),
    outcome: z
      .enum(VERIFICATION_OUTCOMES)
      .describe('`skipped`: it does not apply here, or rests on a step that failed.'),
    seen: z.string().describe('What was seen, or why it was skipped.'),
    remedy: z.string().nullable().describe('What to do about it.'),
  })
  .meta({ id: 'VerificationStep' });

/** Whether an endpoint can be worked with, tried now. */
export const endpointTestSchema = z
  .object({
    ok: z.boolean().describe('No step failed.'),
    durationMs: z.int().describe('From the beginning of the connection to the answer.'),
    host: inventorySchema.shape.host.nullable(),
    error: z
      .object({ code: z.string(), message: z.string(), remedy: z.string().nullable() })
      .nullable()
      .describe('Why it could not be asked, or not any further: the far end’s own words, and what to do.'),
    steps: z.array(verificationStepSchema).describe('What was looked at, in this order, and nothing of it changed.'),
  })
  .meta({ id: 'EndpointTest' });
