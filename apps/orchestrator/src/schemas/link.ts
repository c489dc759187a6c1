/**
 * Links between two sites, as measured.
 */
import { z } from 'zod';
import { portSchema, slugSchema } from './common.ts';
import { findingSchema } from './finding.ts';

export const linkTestInputSchema = z
  .strictObject({ source: slugSchema, destination: slugSchema, durationMs: z.int().min(0).max(30_000).default(5_000) })
  .meta({ id: 'LinkTestRequest' });
export const linkTestSchema = z
  .object({
    source: slugSchema,
    destination: slugSchema,
    listener: slugSchema.describe('Which site accepted the tunnel’s connections.'),
    port: portSchema,
    rttMinMs: z.number(),
    rttMedianMs: z.number(),
    goodputBitsPerSec: z.number().nullable(),
    mtuBytes: z.int().nullable(),
    lossPct: z.number().nullable().describe('Estimated from retransmitted segments.'),
    clockOffsetMs: z.number(),
    findings: z.array(findingSchema),
  })
  .meta({ id: 'LinkTest' });
