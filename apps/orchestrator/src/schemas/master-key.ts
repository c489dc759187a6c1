/**
 * The master key, by its id: the key itself is never shown.
 */
import { z } from 'zod';

export const masterKeySchema = z
  .object({
    source: z.enum(['file', 'environment', 'command']),
    current: z.string().describe('Id of the key that seals; ids are the beginning of a hash.'),
    keys: z.array(
      z.object({
        id: z.string(),
        values: z.int().describe('How many sealed values need it.'),
        known: z.boolean().describe('Whether this process has it; what needs one that it has not cannot be opened.'),
      }),
    ),
  })
  .meta({ id: 'MasterKey' });

export const masterKeyRotationSchema = masterKeySchema
  .extend({
    resealed: z.int().describe('How many values were sealed anew.'),
    notResealed: z
      .array(z.string())
      .describe(
        'Those that could not be, since they do not open, in words. Put the key that they need back behind the others and rotate again, or register them anew.',
      ),
  })
  .meta({ id: 'MasterKeyRotation' });
