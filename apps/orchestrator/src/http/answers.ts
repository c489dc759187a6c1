/**
 * Pieces that the routes' schemas share.
 */
import { z } from 'zod';
import { LmasError } from '../errors.ts';
import { ownedNameSchema, slugSchema } from '../schemas/common.ts';
import { problemSchema } from '../schemas/problem.ts';
import { PROBLEM_MEDIA_TYPE } from './problems.ts';

/** Any error, as the document shows it. */
export const failure = {
  description: 'Any error, as problem details (RFC 9457).',
  content: { [PROBLEM_MEDIA_TYPE]: { schema: problemSchema } },
};

export const removed = z.null().describe('Removed.');

/** How long a call waits for a far end. */
export const FAR_CALL_MS = 25_000;
/** And one that makes all the checks of a migration, at both ends. */
export const CHECK_CALL_MS = 60_000;

export const slugParams = z.object({ id: slugSchema });
export const ownedNameParams = z.object({ id: ownedNameSchema });
export const listOf = <T extends z.ZodType>(item: T) => z.object({ items: z.array(item) });

interface Answering {
  readonly raw: NodeJS.EventEmitter;
}

/** Aborts when the caller has hung up (or has got its answer, when nobody listens any more). */
export function hangUpSignal(reply: Answering): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort(new LmasError('UNAVAILABLE', 'The caller has hung up.')));
  return gone.signal;
}

/** The same, and aborts when the process begins to end: a stream has no end of its own. */
export function streamSignal(reply: Answering, stopping: AbortSignal): AbortSignal {
  return AbortSignal.any([hangUpSignal(reply), stopping]);
}

/** As `hangUpSignal`, and aborts with FAR_END_TIMEOUT when the caller has waited long enough. */
export function callSignal(reply: Answering, limitMs: number): AbortSignal {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new LmasError('FAR_END_TIMEOUT')), limitMs);
  reply.raw.once('close', () => clearTimeout(timer));
  return AbortSignal.any([hangUpSignal(reply), late.signal]);
}
