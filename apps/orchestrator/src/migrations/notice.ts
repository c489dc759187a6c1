/**
 * The short word about a change that goes to everybody who follows all migrations. Pure.
 */
import type { z } from 'zod';
import { migrationNoticeSchema, NOTICE_TYPES } from '../schemas/migration-notice.ts';
import type { EventType, Migration } from './record.ts';

export type MigrationNotice = z.infer<typeof migrationNoticeSchema>;

const isWorthANotice = (type: EventType): type is MigrationNotice['type'] =>
  (NOTICE_TYPES as readonly EventType[]).includes(type);

/** `undefined` for what only those want to know who follow this very migration: progress, findings, its log. */
export function noticeOf(event: {
  readonly at: string;
  readonly type: EventType;
  readonly message: string;
  readonly migration: Migration;
}): MigrationNotice | undefined {
  const { at, type, message, migration } = event;
  if (!isWorthANotice(type)) return undefined;
  const { labels, correlationId } = migration.request;
  return migrationNoticeSchema.parse({ at, type, message, migration: { ...migration, labels, correlationId } });
}
