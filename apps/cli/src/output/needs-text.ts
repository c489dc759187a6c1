/** Migrations that a person has to look after, each with what to do and how to say that it is done. Pure. */
import { hasEnded, type Migration } from '@lmas/client';
import { placeOf, vmName } from './migration-text.ts';
import { printable, wrap } from './text.ts';

const INDENT = '  ';

export function describeNeeds(migrations: readonly Migration[], width: number): string {
  return migrations.map((migration) => linesOf(migration, width).join('\n')).join('\n\n');
}

function linesOf(migration: Migration, width: number): string[] {
  const { id, source, destination, phase, byHand, doneByHand, teardown, leftovers } = migration;
  const paragraphs: string[] = [];
  const isAsked = byHand !== null && doneByHand === null;
  if (isAsked) paragraphs.push(printable(byHand));
  if (isAsked && hasEnded(migration)) paragraphs.push(`When that is done: lmas done ${id} --note "…"`);
  if (teardown === 'incomplete') {
    paragraphs.push('Not everything could be taken down; it is tried again and again:');
    paragraphs.push(...leftovers.map((text) => `- ${printable(text)}`));
    paragraphs.push(`If a machine is gone for good: lmas give-up ${id} --reason "…"`);
  } else if (!hasEnded(migration)) paragraphs.push('The migration goes on trying meanwhile.');
  return [
    `${id}  ${vmName(migration)}  ${source.endpoint} → ${destination.endpoint}  ${phase}, VM ${placeOf(migration)}`,
    ...paragraphs.flatMap((text) => wrap(text, width - INDENT.length)).map((line) => INDENT + line),
  ];
}
