/** `lmas drill`: a copy of a VM is started at the destination and undone again; the VM itself stays as it is. */
import { leaf, type Registry } from '../command.ts';
import { addMigrationFlags } from '../migration-flags.ts';
import { DURATION_HELP, parseDuration } from '../units.ts';
import { checkMigration, type MigrateFlags, runMigrate } from './migrate.ts';

interface DrillFlags extends MigrateFlags {
  readonly keep?: string;
}

export function addDrill(registry: Registry): void {
  const command = registry.program
    .command('drill')
    .summary('start a copy of a running VM at the destination, and undo it again')
    .description(
      'Shows that a VM would come up at the destination: its disks are copied as they are at one instant, a copy of it is started there and undone again. The VM itself runs on and is not touched. --network-map names isolated networks of the destination; what it does not name is not connected. The copy runs until its time is over or until lmas cancel.',
    );
  addMigrationFlags(command)
    .optionsGroup('This run:')
    .option('--keep <time>', `how long the copy runs before it is undone; ${DURATION_HELP} (default: 5min)`)
    .option('--check', 'only check: nothing is touched')
    .option('--watch', 'follow it to its end; the exit code is that of the drill')
    .option('--idempotency-key <key>', 'repeat a request safely: the same key never starts a second drill');
  leaf<DrillFlags>(registry, command, {
    examples: [
      'lmas drill web-1 --from host-a --to host-b --network-map lan=drill-net --keep 10min --watch',
      'lmas drill web-1 --from host-a --to host-b --check',
    ],
    action: (invocation) => {
      const { keep, check } = invocation.flags;
      const more = { drill: keep === undefined ? {} : { keepMs: parseDuration(keep) } };
      return check === true ? checkMigration(invocation, more) : runMigrate(invocation, more);
    },
  });
}
