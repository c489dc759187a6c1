/** What QEMU's xbzrle has done, in a job's statistics (as QEMU counts since 5.1). Pure. */
import type { MigrationProgress } from '@lmas/plugin-api';
import type { KvmOptions } from '../config.ts';
import { numberOf, type TypedParam } from '../rpc/typed-params.ts';

export interface XbzrleStats {
  readonly cacheBytes: number;
  /** Pages that were in the cache, those that had changed too much among them. */
  readonly pages: number;
  /** As what they were sent. */
  readonly bytes: number;
  readonly cacheMisses: number;
  /** Had changed too much, and went whole. */
  readonly overflow: number;
}

/** `undefined` where it was off. */
export function readXbzrle(params: readonly TypedParam[]): XbzrleStats | undefined {
  const cacheBytes = numberOf(params, 'compression_cache');
  if (cacheBytes === undefined) return undefined;
  const count = (name: string): number => numberOf(params, `compression_${name}`) ?? 0;
  return {
    ...{ cacheBytes, pages: count('pages'), bytes: count('bytes') },
    ...{ cacheMisses: count('cache_misses'), overflow: count('overflow') },
  };
}

/** What to say to people where it is off and could be on: over parallel streams QEMU sends whole pages only. */
export const xbzrleHint = ({
  xbzrleCacheMib,
  parallelConnections,
}: Pick<KvmOptions, 'xbzrleCacheMib' | 'parallelConnections'>): Pick<MigrationProgress, 'differencesOption'> =>
  xbzrleCacheMib === 0 && parallelConnections === 0 ? { differencesOption: 'xbzrleCacheMib' } : {};

/** How much was sent of the pages that went between two looks, 0 to 1; `undefined` where none did, or it is off. */
export function sentShare(
  now: XbzrleStats | undefined,
  before: XbzrleStats | undefined,
  pageBytes: number,
): number | undefined {
  if (now === undefined) return undefined;
  const since = (count: 'pages' | 'bytes' | 'cacheMisses'): number => now[count] - (before?.[count] ?? 0);
  const misses = since('cacheMisses');
  const pages = since('pages') + misses;
  if (pages <= 0) return undefined;
  return Math.min(1, (since('bytes') / pageBytes + misses) / pages);
}
