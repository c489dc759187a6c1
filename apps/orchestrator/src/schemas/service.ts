/**
 * The service itself.
 */
import { z } from 'zod';

export const readinessSchema = z
  .object({
    ready: z.boolean(),
    checks: z.array(z.object({ name: z.string(), ok: z.boolean(), detail: z.string() })),
  })
  .meta({ id: 'Readiness' });
export const versionSchema = z.object({ version: z.string(), apiVersion: z.literal(1) }).meta({ id: 'Version' });
