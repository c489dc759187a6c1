/** `lmas get`: one migration, now or to its end. */
import { leaf, type Registry } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { follow } from '../follow.ts';
import { describeMigration } from '../output/migration-text.ts';
import { widthOf } from '../terminal.ts';

export function addGet(registry: Registry): void {
  const command = registry.program
    .command('get')
    .summary('show one migration, or follow it')
    .description(
      'Shows the record of one migration. With --watch it follows the migration to its end, and the exit code is that of the migration; without, it is 0 when there is such a migration.',
    )
    .argument('<id>', 'id of the migration, m_…')
    .option('--watch', 'follow it to its end');
  leaf<{ watch?: boolean }>(registry, command, {
    examples: [
      'lmas get m_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10',
      'lmas get m_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10 --watch',
      'lmas get m_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10 --json | jq -r .phase',
    ],
    action: async (invocation) => {
      const { args, flags, signal, terminal } = invocation;
      const migration = await (await invocation.client()).getMigration(args[0] ?? '', { signal });
      if (flags.watch === true) return follow(invocation, migration);
      if (flags.json === true) invocation.printJson(migration);
      else invocation.print(describeMigration(migration, Date.now(), widthOf(terminal.stdout, terminal.env)));
      return EXIT.ok;
    },
  });
}
