/** `lmas cancel`: asks the orchestrator to stop a migration; the VM stays at the source. */
import { leaf, type Registry } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { follow } from '../follow.ts';
import { vmName } from '../output/migration-text.ts';

export function addCancel(registry: Registry): void {
  const command = registry.program
    .command('cancel')
    .summary('stop a migration; the VM stays at the source')
    .description(
      'Asks for a migration to be stopped and everything made for it to be taken down. Refused (exit code 4) once the hand-over has begun. With --watch it waits for the end: exit code 0 when it was cancelled, 1 when it ended otherwise. A drill whose copy runs is undone, and has succeeded.',
    )
    .argument('<id>', 'id of the migration, m_…')
    .option('--watch', 'wait until it has ended');
  leaf<{ watch?: boolean }>(registry, command, {
    examples: ['lmas cancel m_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10 --watch'],
    action: async (invocation) => {
      const { args, flags, signal } = invocation;
      const migration = await (await invocation.client()).cancelMigration(args[0] ?? '', { signal });
      // A drill whose copy runs is not broken off by that: it ends, and has succeeded.
      const wanted = migration.phase === 'kept' ? 'succeeded' : 'cancelled';
      if (flags.watch === true) return follow(invocation, migration, wanted);
      if (flags.json === true) invocation.printJson(migration);
      else {
        invocation.print(`${migration.id}: the migration of ${vmName(migration)} is being stopped.`);
        invocation.note(`  Follow it:  lmas get ${migration.id} --watch`);
      }
      return EXIT.ok;
    },
  });
}
