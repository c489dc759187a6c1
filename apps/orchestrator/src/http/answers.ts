/**
 * Pieces that the routes' schemas share.
 */
import { z } from 'zod';
import { problemSchema, slugSchema } from '../schemas.ts';
import { PROBLEM_MEDIA_TYPE } from './problems.ts';

/** Any error, as the document shows it. */
export const failure = {
  description: 'Any error, as problem details (RFC 9457).',
  content: { [PROBLEM_MEDIA_TYPE]: { schema: problemSchema } },
};

export const noContent = { description: 'Done.', content: {} };

export const slugParams = z.object({ id: slugSchema });
export const listOf = <T extends z.ZodType>(item: T) => z.object({ items: z.array(item) });

/** Aborts when the caller hangs up or has waited long enough. */
export function callSignal(
  request: { raw: { socket: { destroyed: boolean } & NodeJS.EventEmitter } },
  limitMs: number,
) {
  const gone = new AbortController();
  request.raw.socket.once('close', () => gone.abort());
  return AbortSignal.any([gone.signal, AbortSignal.timeout(limitMs)]);
}
