/**
 * Writes the audit log: every call that would change something, and every refusal of a login or a right. The entry is
 * written before the answer leaves. Where it cannot be written, the answer is what it was: the change was made, or was not,
 * and whoever asked has to know; the entry is then in the log of this process, at error. What a call carried is never in it, only
 * the path.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { AuditEntry, AuditLog } from '../access/audit.ts';
import { findCaller, operationOf } from './access.ts';
import { PROBLEM_MEDIA_TYPE } from './problems.ts';

const READS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);
/** Beyond the limit of calls nothing is recorded: a flood would push out everything else. */
const TOO_MANY = 429;
const LONGEST_TEXT = 256;
const codeSchema = z.object({ code: z.string() });

interface Hookable {
  addHook: FastifyInstance['addHook'];
}

export function auditCalls(api: Hookable, { audit, outage }: { audit: AuditLog; outage(): string | undefined }): void {
  api.addHook('onSend', async (request, reply, payload) => {
    const { statusCode } = reply;
    const isRefusal = statusCode === 401 || statusCode === 403;
    if (statusCode === TOO_MANY || (READS.has(request.method) && !isRefusal)) return payload;
    if (outage() !== undefined && findCaller(request) === undefined) return payload; // refused at the door
    await audit.record(entryOf(request, reply, payload));
    return payload;
  });
}

function entryOf(request: FastifyRequest, reply: FastifyReply, payload: unknown): Omit<AuditEntry, 'id'> {
  const caller = findCaller(request);
  const { statusCode: status } = reply;
  const path = request.url.split('?')[0] ?? '';
  return {
    at: new Date().toISOString(),
    caller:
      caller === undefined
        ? null
        : { kind: caller.kind, id: caller.id, name: caller.name, role: caller.role, project: caller.project },
    operation: operationOf(request) ?? '',
    method: request.method,
    target: (reply.getHeader('location')?.toString() ?? path).slice(0, LONGEST_TEXT),
    outcome: status < 400 ? 'done' : status < 500 ? 'refused' : 'failed',
    status,
    code: codeOf(reply, payload),
    address: request.ip,
    userAgent: request.headers['user-agent']?.slice(0, LONGEST_TEXT) ?? null,
    requestId: request.id,
  };
}

function codeOf(reply: FastifyReply, payload: unknown): string | null {
  if (reply.getHeader('content-type') !== PROBLEM_MEDIA_TYPE || typeof payload !== 'string') return null;
  return codeSchema.parse(JSON.parse(payload)).code;
}
