/**
 * Plugins as they were loaded at start.
 */
import { z } from 'zod';
import { slugSchema } from './common.ts';

export const pluginSchema = z
  .object({
    name: slugSchema,
    apiVersion: z.int(),
    capabilities: z.record(z.string(), z.boolean()),
    configSchema: z.record(z.string(), z.unknown()).describe('JSON schema of an endpoint’s `config`.'),
    optionsSchema: z
      .record(z.string(), z.unknown())
      .describe(
        'JSON schema of a migration’s `options`. An option with `names` (`host` or `storage`) is the name or the `id` of such a place in the destination’s inventory.',
      ),
  })
  .meta({ id: 'Plugin' });
