/** One event of a migration as lines of a log, each with its time. Pure. */
import type { MigrationEvent } from '@lmas/client';
import { formatTime } from '@lmas/format';
import { findingLines } from './migration-text.ts';
import { printable } from './text.ts';

/** What the checks have found stands in the event's own message as one line, however many there are: each has one here. */
export function eventLines({ at, type, message, migration }: MigrationEvent): string {
  const label = type === 'error' ? 'error: ' : '';
  const isFound = type === 'finding' && migration.findings.length > 0;
  const lines = isFound ? findingLines(migration.findings) : [`${label}${printable(message)}`];
  return lines.map((line) => `${formatTime(at)}  ${line}`).join('\n');
}
