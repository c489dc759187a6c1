/** `lmas set`: changes a migration that waits or runs. `lmas retry`: asks again for one that failed. */
import type { MigrationChange } from '@lmas/client';
import { Option } from 'commander';
import { type Invocation, leaf, type Registry } from '../command.ts';
import { CliError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { follow } from '../follow.ts';
import { CONVERGENCES } from '../migration-flags.ts';
import { vmName } from '../output/migration-text.ts';
import { BANDWIDTH_HELP, parseBandwidth, parseDuration } from '../units.ts';

interface SetFlags {
  readonly bandwidth?: string;
  readonly convergence?: NonNullable<MigrationChange['convergence']>;
  readonly maxDowntime?: string;
}

export function addSet(registry: Registry): void {
  const command = registry.program
    .command('set')
    .summary('change the bandwidth or convergence of a migration')
    .description(
      'Changes a migration that waits or runs; what is not named stays. One that runs gets it within a second or so, as far as its hypervisor lets it.',
    )
    .argument('<id>', 'id of the migration, m_…')
    .option('--bandwidth <rate>', `most that may be used; ${BANDWIDTH_HELP}`)
    .addOption(
      new Option('--convergence <policy>', 'what matters most if the dirty rate exceeds what the link carries').choices(
        CONVERGENCES,
      ),
    )
    .option('--max-downtime <ms>', 'longest pause at the switch-over, or "default"');
  leaf<SetFlags>(registry, command, {
    examples: [
      'lmas set m_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10 --convergence must-finish',
      'lmas set m_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10 --bandwidth unlimited --max-downtime 1s',
    ],
    action: runSet,
  });
}

async function runSet(invocation: Invocation<SetFlags>): Promise<ExitCode> {
  const { args, flags, signal } = invocation;
  const { bandwidth, convergence, maxDowntime } = flags;
  const change: MigrationChange = {
    ...(bandwidth === undefined ? {} : { bandwidthBytesPerSec: parseBandwidth(bandwidth) }),
    ...(convergence === undefined ? {} : { convergence }),
    ...(maxDowntime === undefined
      ? {}
      : { maxDowntimeMs: maxDowntime === 'default' ? null : parseDuration(maxDowntime, 'ms') }),
  };
  if (Object.keys(change).length === 0) {
    throw new CliError('INVALID_VALUE', 'There is nothing to change.', {
      remedy: 'Name --bandwidth, --convergence or --max-downtime.',
    });
  }
  const migration = await (await invocation.client()).updateMigration(args[0] ?? '', change, { signal });
  if (flags.json === true) invocation.printJson(migration);
  else {
    const asked = Object.entries({ bandwidth, convergence, 'longest pause': maxDowntime });
    const words = asked.flatMap(([name, value]) => (value === undefined ? [] : [`${name} ${value}`]));
    invocation.print(`${migration.id}: asked for ${words.join(', ')}.`);
  }
  return EXIT.ok;
}

export function addRetry(registry: Registry): void {
  const command = registry.program
    .command('retry')
    .summary('try a failed or cancelled migration again')
    .description(
      'Submits the request of a migration that failed or was cancelled once more, as it was sent, as a new migration. What lmas set has changed since is not taken along: set it anew where it is still wanted.',
    )
    .argument('<id>', 'id of the migration, m_…')
    .option('--watch', 'follow the new one to its end')
    .option('--idempotency-key <key>', 'repeat safely: the same key never starts a second one');
  leaf<{ watch?: boolean; idempotencyKey?: string }>(registry, command, {
    examples: ['lmas retry m_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10 --watch'],
    action: async (invocation) => {
      const { args, flags, signal } = invocation;
      const key = flags.idempotencyKey === undefined ? {} : { idempotencyKey: flags.idempotencyKey };
      const migration = await (await invocation.client()).retryMigration(args[0] ?? '', { ...key, signal });
      if (flags.watch === true) return follow(invocation, migration);
      if (flags.json === true) invocation.printJson(migration);
      else invocation.print(`${migration.id}: accepted, ${vmName(migration)} is tried again.`);
      return EXIT.ok;
    },
  });
}
