/**
 * Projects: tenants, who see only what is theirs. Sites and endpoints belong to the installation; a project is given
 * endpoints, and with them it sees their sites.
 */
import { z } from 'zod';
import { slugSchema, timestampSchema } from './common.ts';

const description = z.string().max(500);
const endpoints = z
  .array(slugSchema)
  .max(10_000)
  .nullable()
  .describe('Endpoints that it may use; null: all there are and will be.');

export const projectInputSchema = z
  .strictObject({ id: slugSchema, description: description.default(''), endpoints: endpoints.default([]) })
  .meta({
    id: 'ProjectRequest',
    examples: [{ id: 'payments', description: 'The payments team', endpoints: ['host-a', 'host-b'] }],
  });
export const projectUpdateSchema = z
  .strictObject({ description: description.optional(), endpoints: endpoints.optional() })
  .meta({
    id: 'ProjectUpdate',
    description: 'What is not named stays as it is.',
    examples: [{ endpoints: ['host-a'] }],
  });
export const projectSchema = z
  .object({ id: slugSchema, description, endpoints, createdAt: timestampSchema })
  .meta({ id: 'Project' });
