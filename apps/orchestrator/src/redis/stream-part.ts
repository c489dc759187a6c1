/**
 * A part of a stream that is cut off at its beginning as it grows, and how far it reaches, as of the same moment: so a reader can tell
 * how much was cut off before he came to read it.
 */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { script } from './script.ts';

/** How far a stream reaches. */
export interface Extent {
  /** Entries that were ever written to it, and those that are kept. */
  readonly added: number;
  readonly kept: number;
  readonly firstId: string;
  readonly lastId: string;
}

export interface StreamPart {
  readonly entries: readonly (readonly [id: string, fields: readonly string[]])[];
  /** `undefined`: there is no such stream, its server does not count (Redis before 7), or these entries are not in it any more. */
  readonly extent?: Extent | undefined;
}

/** KEYS: stream. ARGV: place (not included), at most so many */
export const READ_ON_LUA = `
  local entries = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
  if redis.call('EXISTS', KEYS[1]) == 0 then return {entries, {}} end
  return {entries, redis.call('XINFO', 'STREAM', KEYS[1])}
`;
const READ_ON = script(READ_ON_LUA);

const partSchema = z.tuple([z.array(z.tuple([z.string(), z.array(z.string())])), z.array(z.unknown())]);

/** What comes after a place, at most `count` entries. */
export async function readStreamPart(redis: Redis, key: string, afterId: string, count: number): Promise<StreamPart> {
  return partOf(await READ_ON(redis, [key], [afterId, count]));
}

/** @param answer of a script: entries, and the stream's XINFO (empty: no extent) */
export function partOf(answer: unknown): StreamPart {
  const [entries, info] = partSchema.parse(answer);
  return { entries, extent: extentOf(info) };
}

/** @param info the answer of XINFO STREAM: names and values, in turns */
export function extentOf(info: readonly unknown[]): Extent | undefined {
  const value = (name: string): unknown => info[info.indexOf(name) + 1];
  if (!info.includes('entries-added')) return undefined;
  return {
    ...{ added: Number(value('entries-added')), kept: Number(value('length')) },
    ...{ firstId: String(value('recorded-first-entry-id')), lastId: String(value('last-generated-id')) },
  };
}

/** Where a reader of a stream is, by how many entries were written up to there. */
export class Place {
  #read: number | undefined;
  #hasBegun = false;

  /**
   * Takes note of what was read next. What was gone before the first look is not counted: somebody else knows where the reader was.
   * @returns how many entries were cut off since the look before, `null` when that is not known
   */
  moveOn(ids: readonly string[], extent: Extent | undefined): number | null {
    if (extent === undefined) {
      if (this.#read !== undefined) this.#read += ids.length; // kept elsewhere
      return 0;
    }
    const { added, kept, firstId, lastId } = extent;
    const gone = added - kept;
    const isFromTheEdge = ids.length > 0 && ids[0] === firstId;
    const isAtTheEnd = ids.length === 0 || ids.at(-1) === lastId;
    const before = this.#read === undefined || this.#read > added ? undefined : this.#read; // it was begun anew
    const hadBegun = this.#hasBegun;
    this.#hasBegun = true;
    if (isAtTheEnd) this.#read = added;
    else if (isFromTheEdge) this.#read = gone + ids.length;
    else this.#read = before === undefined ? undefined : before + ids.length;
    if (!hadBegun) return 0;
    if (before !== undefined) return Math.max(0, gone - before);
    return isFromTheEdge && gone > 0 ? null : 0;
  }
}
