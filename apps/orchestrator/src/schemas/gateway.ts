/**
 * The gateways that live now: two for each migration that goes through a tunnel.
 */
import { z } from 'zod';
import { slugSchema, timestampSchema } from './common.ts';
import { migrationIdSchema, phaseSchema, tunnelStatsSchema } from './migration.ts';

export const liveGatewayStatuses = ['starting', 'ready', 'carrying', 'ending', 'left-over'] as const;

export const gatewaySchema = z
  .object({
    migration: migrationIdSchema,
    project: slugSchema.nullable(),
    end: z.enum(['source', 'destination']),
    site: slugSchema,
    since: timestampSchema.describe('When it was about to be started.'),
    phase: phaseSchema.describe('Of its migration.'),
    status: z
      .enum(liveGatewayStatuses)
      .describe(
        '`starting`: it is put in place. `ready`: the tunnel stands, nothing flows yet. `carrying`: the VM moves through it. `ending`: it is taken down. `left-over`: its migration has ended, and taking it down is tried again and again.',
      ),
    tunnel: tunnelStatsSchema.nullable().describe('What the pair has carried, as last reported.'),
  })
  .meta({ id: 'Gateway' });
