/** `lmas log`: what the runs of one migration logged; it stays with the record. */
import type { MigrationLogEntry } from '@lmas/client';
import { leaf, type Registry } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { printable } from '../output/text.ts';

/** `2026-01-01T00:00:00.000Z WARN  the lease could not be renewed (CONNECTION_LOST: …) {"site":"a"}` */
export function describeLine({ at, level, message, error, fields }: MigrationLogEntry): string {
  const cause = error === null ? '' : ` (${error.code}: ${error.message})`;
  const rest = Object.keys(fields).length === 0 ? '' : ` ${JSON.stringify(fields)}`;
  return printable(`${at} ${level.toUpperCase().padEnd(5)} ${message}${cause}${rest}`);
}

export function addLog(registry: Registry): void {
  const command = registry.program
    .command('log')
    .summary('show what the runs of a migration logged')
    .description(
      'Shows what the runs of one migration logged, the oldest first. The newest 300 lines stay with the record.',
    )
    .argument('<id>', 'id of the migration, m_…');
  leaf(registry, command, {
    examples: [
      'lmas log m_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10',
      'lmas log m_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10 --json | jq -r \'.[] | select(.level != "info") | .message\'',
    ],
    action: async (invocation) => {
      const { args, flags, signal } = invocation;
      const entries = await (await invocation.client()).getMigrationLog(args[0] ?? '', { signal });
      if (flags.json === true) invocation.printJson(entries);
      else invocation.print(entries.map((entry) => `${describeLine(entry)}\n`).join(''));
      return EXIT.ok;
    },
  });
}
