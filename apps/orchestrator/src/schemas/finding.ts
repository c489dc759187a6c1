/**
 * What a check, or a measurement, found.
 */
import { z } from 'zod';

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
