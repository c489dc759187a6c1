/**
 * How lists of migrations are asked for: filters as names of indexes, places in a list as opaque cursors. Pure.
 */
import { z } from 'zod';
import { LmasError } from '../errors.ts';
import { keys } from '../redis/keys.ts';
import type { migrationListQuerySchema } from '../schemas/migration-list.ts';
import { labelIndex, type PageMark } from './index-search.ts';

/** `project`: only what belongs to it; null: everything. */
export type ListQuery = z.output<typeof migrationListQuerySchema> & { readonly project: string | null };

export function indexesFor({
  project,
  phase,
  needs,
  site,
  endpoint,
  vm,
  label = [],
  correlationId,
}: Omit<ListQuery, 'limit' | 'cursor'>) {
  const named = { phase, site, endpoint, vm, correlation: correlationId };
  return [
    ...Object.entries(named).flatMap(([field, value]) => (value === undefined ? [] : [keys.index(field, value)])),
    ...(needs === undefined ? [] : [keys.needsPerson]),
    ...(project === null ? [] : [keys.index('project', project)]),
    ...[label].flat().map(labelIndex),
  ];
}

const cursorSchema = z.tuple([z.number(), z.string()]);

export const cursorAfter = ({ createdAtMs, id }: PageMark): string =>
  Buffer.from(JSON.stringify([createdAtMs, id])).toString('base64url');

export const cursorOfPlace = (place: number): string => Buffer.from(String(place)).toString('base64url');

/** What waits moves up meanwhile: a page may miss or repeat some. @throws LmasError INVALID_CURSOR */
export function parsePlace(cursor: string): number {
  const place = Buffer.from(cursor, 'base64url').toString('utf8');
  if (!/^\d{1,9}$/.test(place)) throw new LmasError('INVALID_CURSOR');
  return Number(place);
}

/** @throws LmasError INVALID_CURSOR */
export function parseCursor(cursor: string): PageMark {
  try {
    const [createdAtMs, id] = cursorSchema.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')));
    return { createdAtMs, id };
  } catch (cause) {
    throw new LmasError('INVALID_CURSOR', undefined, { cause });
  }
}
