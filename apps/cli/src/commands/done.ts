/** `lmas done`: says that what a person had to do for a migration is done. */
import { leaf, type Registry } from '../command.ts';
import { EXIT } from '../exit-codes.ts';

export function addDone(registry: Registry): void {
  const command = registry.program
    .command('done')
    .summary('say that what a person had to do is done')
    .description(
      'For a migration that has ended and asks for something by hand. The record keeps who said so and what was done, and lmas list --needs-person shows it no more, unless something of it is still to be taken down: see lmas give-up. From then on nothing is resumed or tidied by itself once both ends answer again. Refused (exit code 4) when nothing is asked for.',
    )
    .argument('<id>', 'id of the migration, m_…')
    .requiredOption('--note <text>', 'what was found and done (required)');
  leaf<{ note: string }>(registry, command, {
    examples: ['lmas done m_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10 --note "runs at host-b; removed the copy at host-a"'],
    action: async (invocation) => {
      const { args, flags, signal } = invocation;
      const client = await invocation.client();
      const migration = await client.markDoneByHand(args[0] ?? '', { note: flags.note }, { signal });
      if (flags.json === true) invocation.printJson(migration);
      else if (migration.teardown === 'incomplete') {
        invocation.print(`${migration.id}: noted. What else is left of it is tried again, or given up.`);
      } else invocation.print(`${migration.id}: noted.`);
      return EXIT.ok;
    },
  });
}
