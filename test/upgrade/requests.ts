/**
 * What this build's gateway takes in the calls that change something, as JSON Schema: strict, so that a slip is refused at once. That is
 * also why an orchestrator must not say to a gateway of an earlier release what that one does not know.
 */
import {
  leaseSchema,
  limitsSchema,
  probeRequestSchema,
  routeConfigSchema,
  sessionConfigSchema,
} from '@lmas/gateway-api';
import { z } from 'zod';

const TAKEN = {
  'PUT /v1/session': sessionConfigSchema,
  'PUT /v1/routes/:id': routeConfigSchema,
  'POST /v1/lease': leaseSchema,
  'PUT /v1/limits': limitsSchema,
  'POST /v1/probe': probeRequestSchema,
} as const;
/** The call of a request that has a body. */
export type Call = keyof typeof TAKEN;

export const requestSchemas = (): Readonly<Record<string, object>> =>
  Object.fromEntries(Object.entries(TAKEN).map(([call, schema]) => [call, z.toJSONSchema(schema, { io: 'input' })]));

export const callOf = (method: string, url: string): Call =>
  `${method} ${url.replace(/^\/v1\/routes\/[^/]+$/, '/v1/routes/:id')}` as Call;
