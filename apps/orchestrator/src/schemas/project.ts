/**
 * Projects: tenants, who see only what is theirs. Sites and endpoints belong to the installation; a project is given
 * endpoints, and with them it sees their sites. How much of the installation it may take is limited here, too.
 */
import { z } from 'zod';
import { DEFAULT_PRIORITY, prioritySchema, slugSchema, timestampSchema } from './common.ts';
import { maxMigrationsSchema } from './limits.ts';

const description = z.string().max(500);
const endpoints = z
  .array(slugSchema)
  .max(10_000)
  .nullable()
  .describe('Endpoints that it may use; null: all there are and will be.');

const maxMigrations = maxMigrationsSchema.describe(
  'How many of its migrations may be under way at once; null is unlimited, 0 lets none begin.',
);
const maxWaiting = z
  .int()
  .min(0)
  .max(1_000_000)
  .nullable()
  .describe(
    'How many of its migrations may wait for their turn; null is unlimited, 0 takes none. One more is refused (PROJECT_QUEUE_FULL). Each waits for a moment before it begins: leave room for as many as are submitted at once.',
  );
const maxPriority = prioritySchema
  .nullable()
  .describe(
    `The highest priority that it may ask for; null is unlimited. More is refused (PRIORITY_TOO_HIGH); a request that names none has it where it is below ${DEFAULT_PRIORITY}, and what was accepted before goes with it.`,
  );

export const projectLimitsSchema = z
  .strictObject({ maxMigrations, maxWaiting, maxPriority })
  .meta({ id: 'ProjectLimits' });
const requestedLimits = z
  .strictObject({
    maxMigrations: maxMigrations.default(null),
    maxWaiting: maxWaiting.default(null),
    maxPriority: maxPriority.default(null),
  })
  .prefault({});

export const projectInputSchema = z
  .strictObject({
    id: slugSchema,
    description: description.default(''),
    endpoints: endpoints.default([]),
    limits: requestedLimits,
  })
  .meta({
    id: 'ProjectRequest',
    examples: [
      { id: 'payments', description: 'The payments team', endpoints: ['host-a', 'host-b'] },
      { id: 'red', endpoints: null, limits: { maxMigrations: 5, maxWaiting: 200, maxPriority: 60 } },
    ],
  });
export const projectUpdateSchema = z
  .strictObject({
    description: description.optional(),
    endpoints: endpoints.optional(),
    limits: projectLimitsSchema
      .partial()
      .optional()
      .describe('Takes effect at once, and on what waits; what is under way goes on.'),
  })
  .meta({
    id: 'ProjectUpdate',
    description: 'What is not named stays as it is, also of `limits`.',
    examples: [{ endpoints: ['host-a'] }, { limits: { maxMigrations: 5, maxPriority: null } }],
  });
export const projectSchema = z
  .object({ id: slugSchema, description, endpoints, limits: projectLimitsSchema, createdAt: timestampSchema })
  .meta({ id: 'Project' });
