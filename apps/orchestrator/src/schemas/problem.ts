/**
 * Every error answer: problem details (RFC 9457).
 */
import { z } from 'zod';

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
