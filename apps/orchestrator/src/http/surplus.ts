/**
 * Refuses what a call sends and its route does not take at all: a query, or fields of a body, where there is no schema for
 * them. What has a schema is strict by it. A misspelt or misplaced wish is so never taken for granted.
 */

import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { type Issue, LmasError } from '../errors.ts';

export function refuseSurplus(app: FastifyInstance): void {
  app.addHook('preValidation', async ({ body, query, routeOptions, method, headers }) => {
    const { schema, url } = routeOptions;
    if (url?.startsWith('/v1/') !== true) return; // not the metrics: what scrapes them may send whatever it is told to
    const issues = [
      ...(schema?.querystring === undefined ? unknownIn(query) : []),
      ...(schema?.body === undefined ? unknownIn(body) : []),
      ...(method === 'GET' && bringsBody(headers) ? [NO_BODY] : []),
    ];
    if (issues.length > 0) throw new LmasError('INVALID_REQUEST', undefined, { issues });
  });
}

const NO_BODY: Issue = { path: '', message: 'this call takes no body' };

/** Fastify reads none of a GET: it would be taken for granted. */
const bringsBody = ({ 'content-length': length, 'transfer-encoding': encoding }: IncomingHttpHeaders): boolean =>
  encoding !== undefined || (length !== undefined && Number(length) > 0);

/** An empty object says nothing; many clients send one. */
function unknownIn(sent: unknown): Issue[] {
  if (sent === undefined || sent === null) return [];
  if (typeof sent !== 'object' || Array.isArray(sent)) return [NO_BODY];
  return Object.keys(sent).map((name) => ({ path: name, message: 'this call does not know it' }));
}
