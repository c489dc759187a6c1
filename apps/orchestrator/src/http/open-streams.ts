/**
 * How many streams of events one caller may have open: each holds a connection, and reads in Redis of its own, for as long as its reader
 * likes. One stream tells of everything, so nobody needs many. Each process counts for itself.
 */
import type { Principal } from '../access/principal.ts';
import { LmasError } from '../errors.ts';

export const MAX_STREAMS = 100;
/** Nobody knows when one will be closed. */
const RETRY_AFTER_S = 10;
const REMEDY = 'Close some that you read no more, or follow everything with one: GET /v1/events.';

interface Answering {
  readonly raw: NodeJS.EventEmitter & { readonly destroyed: boolean };
  header(name: string, value: number): unknown;
}

export interface OpenStreams {
  /** Counts one more of this caller until its answer is over, however it ends. @throws LmasError RATE_LIMITED */
  enter(caller: Pick<Principal, 'kind' | 'id'>, reply: Answering): void;
}

export function createOpenStreams(): OpenStreams {
  const open = new Map<string, number>();
  return {
    enter({ kind, id }, reply) {
      if (reply.raw.destroyed) return; // its reader has hung up already, and nothing will say so again
      const caller = `${kind} ${id}`;
      const others = open.get(caller) ?? 0;
      if (others >= MAX_STREAMS) {
        reply.header('retry-after', RETRY_AFTER_S);
        throw new LmasError('RATE_LIMITED', `${MAX_STREAMS} streams of events are open already.`, { remedy: REMEDY });
      }
      open.set(caller, others + 1);
      reply.raw.once('close', () => {
        const left = (open.get(caller) ?? 1) - 1;
        if (left === 0) open.delete(caller);
        else open.set(caller, left);
      });
    },
  };
}
