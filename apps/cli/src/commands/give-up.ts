/** `lmas give-up`: says that what is left of a migration can never be taken down, because its machine is gone for good. */
import { leaf, type Registry } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { printable } from '../output/text.ts';

export function addGiveUp(registry: Registry): void {
  const command = registry.program
    .command('give-up')
    .summary('stop trying to take down what is on a machine that is gone for good')
    .description(
      'For a migration that has ended and whose teardown is incomplete. Everything is tried once more; what nobody answers for then is tried no more, and once nothing else is left the VM, the sites and the endpoints are free again. Who answers and refuses is still asked. The record keeps what it was, who gave it up and why. Refused (exit code 4) when nothing is left.',
    )
    .argument('<id>', 'id of the migration, m_…')
    .requiredOption('--reason <text>', 'why it can never be taken down (required)');
  leaf<{ reason: string }>(registry, command, {
    examples: ['lmas give-up m_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10 --reason "gateway machine gw-b burnt down"'],
    action: async (invocation) => {
      const { args, flags, signal } = invocation;
      const client = await invocation.client();
      const migration = await client.giveUpTeardown(args[0] ?? '', { reason: flags.reason }, { signal });
      if (flags.json === true) invocation.printJson(migration);
      else {
        const tense =
          migration.teardown === 'given-up' ? 'was given up' : 'is given up if nobody answers for it once more';
        invocation.print(`${migration.id}: what is left ${tense}:`);
        for (const text of migration.leftovers) invocation.print(`  ${printable(text)}`);
      }
      return EXIT.ok;
    },
  });
}
