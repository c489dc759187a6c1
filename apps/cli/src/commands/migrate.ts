/** `lmas migrate` and `lmas check`: the same request, once for real and once only looked at. */
import { randomUUID } from 'node:crypto';
import { LmasApiError, LmasConnectionError, type MigrationInput } from '@lmas/client';
import { formatBytes } from '@lmas/format';
import { type Invocation, leaf, type Registry } from '../command.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { follow, hintsFor } from '../follow.ts';
import { addMigrationFlags, type MigrationFlags, migrationInput } from '../migration-flags.ts';
import { findingLines, vmName } from '../output/migration-text.ts';
import { predictionLines } from '../output/prediction-text.ts';

export interface MigrateFlags extends MigrationFlags {
  readonly check?: boolean;
  readonly watch?: boolean;
  readonly idempotencyKey?: string;
}

interface PoweredOffFlag {
  readonly poweredOff?: boolean;
}
const asPoweredOff = ({ poweredOff }: PoweredOffFlag): Partial<MigrationInput> =>
  poweredOff === true ? { powerState: 'off' } : {};

export function addMigrate(registry: Registry): void {
  const command = registry.program
    .command('migrate')
    .summary('move a VM')
    .description(
      'Moves a running VM from one endpoint to another, live; or with --powered-off one that is off, as it is. Answers as soon as the orchestrator has accepted the request; with --watch it stays until the end, and Ctrl-C then stops only the watching.',
    );
  addMigrationFlags(command)
    .optionsGroup('This run:')
    .option('--powered-off', 'the VM is powered off: its definition and disks are moved, and it stays off')
    .option('--check', 'only check, as lmas check does: nothing is touched')
    .option('--watch', 'follow it to its end; the exit code is that of the migration')
    .option('--idempotency-key <key>', 'repeat a request safely: the same key never starts a second migration');
  leaf<MigrateFlags & PoweredOffFlag>(registry, command, {
    examples: [
      'lmas migrate web-1 --from host-a --to host-b --watch',
      'lmas migrate web-1 --from host-a --to host-b --bandwidth 500Mbit --max-downtime 300',
      'lmas migrate db-1 --from host-a --to host-b --network-map lan=lan-b --disk-map vda=/srv/vm/db-1.qcow2',
      'lmas migrate web-1 --from host-a --to host-b --direct --watch --json > events.jsonl',
      'lmas migrate archive-1 --from host-a --to host-b --powered-off --watch',
    ],
    action: (invocation) => {
      const more = asPoweredOff(invocation.flags);
      return invocation.flags.check === true ? checkMigration(invocation, more) : runMigrate(invocation, more);
    },
  });
}

export function addCheck(registry: Registry): void {
  const command = registry.program
    .command('check')
    .alias('validate')
    .summary('find everything that would stop a migration, and touch nothing')
    .description(
      'Makes the checks of a real migration and shows all findings at once. Nothing is changed at either end. Exit code 1 when something would stop the migration.',
    );
  addMigrationFlags(command)
    .optionsGroup('This run:')
    .option('--powered-off', 'the VM is powered off, and would be moved as it is');
  leaf<MigrationFlags & PoweredOffFlag>(registry, command, {
    examples: [
      'lmas check web-1 --from host-a --to host-b',
      'lmas check archive-1 --from host-a --to host-b --powered-off',
      "lmas check web-1 --from host-a --to host-b --json | jq '.findings[]'",
    ],
    action: (invocation) => checkMigration(invocation, asPoweredOff(invocation.flags)),
  });
}

/** @param more of the request: what else a drill asks for */
export async function runMigrate(
  invocation: Invocation<MigrateFlags>,
  more: Partial<MigrationInput> = {},
): Promise<ExitCode> {
  const { args, flags, signal } = invocation;
  const idempotencyKey = flags.idempotencyKey ?? randomUUID();
  const input = { ...(await migrationInput(args[0] ?? '', flags, invocation.client, { signal })), ...more };
  const client = await invocation.client();
  const migration = await client.createMigration(input, { idempotencyKey, signal }).catch((error: unknown) => {
    if (isUndecided(error)) {
      invocation.warn(
        `it is not known whether the request was accepted. Look with lmas list, or repeat the command with --idempotency-key ${idempotencyKey}: that cannot start it twice.`,
      );
    }
    throw error;
  });
  if (flags.watch === true) {
    invocation.note(`${migration.id}: ${vmName(migration)} from ${flags.from} to ${flags.to}`);
    return follow(invocation, migration);
  }
  if (flags.json === true) invocation.printJson(migration);
  else {
    const what = more.drill === undefined ? 'moves' : 'is rehearsed';
    invocation.print(`${migration.id}: accepted, ${vmName(migration)} ${what} from ${flags.from} to ${flags.to}.`);
    invocation.note(hintsFor(migration.id));
  }
  return EXIT.ok;
}

/** Whether the orchestrator may have accepted it all the same. */
function isUndecided(error: unknown): boolean {
  if (error instanceof LmasApiError) return error.status >= 500 && error.status !== 503;
  return !(error instanceof LmasConnectionError) || error.code === 'CONNECTION_LOST';
}

/** @param more as in `runMigrate` */
export async function checkMigration(
  invocation: Invocation<MigrationFlags>,
  more: Partial<MigrationInput> = {},
): Promise<ExitCode> {
  const { args, flags, signal } = invocation;
  const input = { ...(await migrationInput(args[0] ?? '', flags, invocation.client, { signal })), ...more };
  const check = await (await invocation.client()).checkMigration(input, { signal });
  if (flags.json === true) invocation.printJson(check);
  else {
    for (const line of findingLines(check.findings)) invocation.print(line);
    const size = `${formatBytes(check.memoryBytes)} of memory${check.diskBytes > 0 ? ` and ${formatBytes(check.diskBytes)} of disks` : ''}`;
    const verb = more.drill === undefined ? 'move' : 'be rehearsed';
    invocation.print(check.ok ? `${args[0]} can ${verb}: ${size}.` : `${args[0]} cannot ${verb} like this.`);
    for (const line of predictionLines(check.prediction, input.transport)) invocation.print(line);
  }
  return check.ok ? EXIT.ok : EXIT.failed;
}
