/**
 * What the scripts of the record store answer, and what they are told: read and written here for all of the store.
 */
import { z } from 'zod';
import { LmasError } from '../errors.ts';
import { readStored } from '../redis/stored-json.ts';
import { doneByHandSchema } from '../schemas/migration.ts';
import { noticeOf } from './notice.ts';
import type { EventType, Migration } from './record.ts';
import { newEvent, packEvent } from './stored-event.ts';

/** Of events; some 0.5 MB at most, for as long as it is kept; the record itself is kept for ever. What is pushed out: course.ts. */
export const MAX_EVENTS = 400;

const answerSchema = z.array(z.union([z.string(), z.number()]).transform(String)).min(1);

/** Reads a script's answer; SUPERSEDED becomes an error here and nowhere else. */
export function verdict(answer: unknown): [string, ...string[]] {
  const [word = '', ...rest] = answerSchema.parse(answer);
  if (word === 'SUPERSEDED') throw new LmasError('SUPERSEDED');
  if (word === 'FORGOTTEN') throw new LmasError('WRITES_FORGOTTEN');
  return [word, ...rest];
}

/** An event, and what is told of it to those who follow all migrations ('' for nothing). */
export function eventJson(type: EventType, message: string, migration: Migration): { event: string; notice: string } {
  const event = newEvent(type, message, migration);
  const notice = noticeOf(event);
  return { event: packEvent(event), notice: notice === undefined ? '' : JSON.stringify(notice) };
}

/** What requests wrote beside the run's record is laid over it. */
export const overlay = (
  migration: Readonly<Migration>,
  cancelRequestedAt: string | null | undefined,
  pointOfNoReturnAt: string | null | undefined,
  doneByHand?: string | null,
): Migration => ({
  ...migration,
  cancelRequestedAt: cancelRequestedAt || null,
  pointOfNoReturnAt: pointOfNoReturnAt || null,
  doneByHand: doneByHand ? readStored(doneByHandSchema, doneByHand) : migration.doneByHand,
});
