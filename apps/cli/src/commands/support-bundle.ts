/** `lmas support-bundle`: one file for whoever is to find out what is wrong, without anything secret in it. */

import { formatBytes, plural } from '@lmas/format';
import { Archive } from '../bundle/archive.ts';
import { collect as collectPieces, type Wanted } from '../bundle/collect.ts';
import { tail } from '../bundle/tail.ts';
import { collect, type Invocation, leaf, numberOption, type Registry } from '../command.ts';
import { knownSecrets, whereIs } from '../connection.ts';
import { examineInstallation } from '../doctor/examine.ts';
import { countOf } from '../doctor/report.ts';
import { CliError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { LiveLine } from '../output/live-line.ts';
import { printable } from '../output/text.ts';
import { isLive } from '../terminal.ts';
import { CLI_VERSION } from '../version.ts';

/** Never asked for: none of it helps to find a defect of ours, all of it is somebody's. */
const NEVER_IN = [
  { what: 'credentials, API keys, projects', why: 'never in a bundle' },
  { what: 'audit log', why: 'never in a bundle: it names who did what' },
];

const MIGRATION_ID = /^m_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

interface BundleFlags {
  readonly output?: string;
  readonly migration?: readonly string[];
  readonly migrations: string;
  readonly log?: string;
}

export function addSupportBundle(registry: Registry): void {
  const command = registry.program
    .command('support-bundle')
    .summary('collect what a report needs, redacted, in one file')
    .description(
      `Writes one .tar.gz that only you can read: versions, settings, what lmas doctor finds, metrics, queue, sites, endpoints, links, webhooks, the newest lines of the orchestrator's log, and the newest migrations with their events and logs. Secrets are not in there; names and addresses of machines and VMs are. What was put in and what was left out is listed at the end and in manifest.json: look before you send it.

Works as far as it can when the orchestrator is away; then the bundle holds what lmas doctor finds. Exit code 0 when the file was written.`,
    )
    .option('--output <file>', 'what to write; nothing is overwritten (default: lmas-support-<date>.tar.gz here)')
    .option('--migration <id>', 'this migration instead of the newest ones (repeatable)', collect)
    .addOption(numberOption('--migrations <count>', 'how many of the newest migrations', 20))
    .option('--log <file>', 'also the end of this file: the log that the orchestrator printed');
  leaf<BundleFlags>(registry, command, {
    examples: [
      'lmas support-bundle',
      'lmas support-bundle --migration m_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10 --log /var/log/lmas.log',
      'journalctl -u lmas-orchestrator -o cat > lmas.log; lmas support-bundle --log lmas.log',
    ],
    action: async (invocation) => {
      const at = new Date();
      const file = invocation.flags.output ?? `lmas-support-${at.toISOString().replaceAll(/[-:]|\.\d+/g, '')}.tar.gz`;
      const { log } = invocation.flags;
      const migrations = wantedMigrations(invocation.flags);
      const logFile = log === undefined ? undefined : await tail(log);
      const archive = new Archive(await knownSecrets(invocation.flags, invocation.terminal.env));
      await fill(archive, invocation, { migrations, logFile });
      for (const { what, why } of NEVER_IN) archive.leaveOut(what, why);
      const bytes = await archive.write(file, { createdAt: at.toISOString(), cli: CLI_VERSION });
      show(invocation, archive, { file, bytes });
      return EXIT.ok;
    },
  });
}

function wantedMigrations({ migration, migrations }: BundleFlags): readonly string[] | number {
  const mistyped = migration?.find((id) => !MIGRATION_ID.test(id));
  if (mistyped !== undefined) {
    throw new CliError('INVALID_VALUE', `--migration: "${mistyped}" is not the id of a migration.`, {
      remedy: 'It is m_ and what follows, as lmas list shows it.',
    });
  }
  if (migration !== undefined) return migration;
  if (/^\d{1,3}$/.test(migrations)) return Number(migrations);
  throw new CliError('INVALID_VALUE', `--migrations: "${migrations}" is not a number from 0 to 999.`);
}

async function fill(archive: Archive, invocation: Invocation<BundleFlags>, wanted: Wanted): Promise<void> {
  const { flags, terminal, signal } = invocation;
  const live = flags.json !== true && isLive(terminal.stderr, terminal.env) ? new LiveLine(terminal.stderr) : undefined;
  const onPiece = (what: string): void => live?.show(`${printable(what)} …`);
  try {
    onPiece('examining the installation');
    const client = () => invocation.silentClient();
    const url = await whereIs(flags, terminal.env);
    const { exitCode, ...report } = await examineInstallation({
      url,
      client,
      signal,
      onCheck: ({ name }) => onPiece(name),
    });
    archive.addJson('doctor.json', 'what lmas doctor finds', { ...report, summary: countOf(report.checks) });
    const isThere = exitCode === EXIT.ok || exitCode === EXIT.failed;
    if (isThere) await collectPieces(archive, await client(), wanted, { signal, onPiece });
    else archive.leaveOut('everything else', 'the orchestrator could not be asked; doctor.json says why');
  } finally {
    live?.clear();
  }
}

function show(
  { flags, print, printJson, note }: Invocation<BundleFlags>,
  { files, leftOut }: Archive,
  { file, bytes }: { file: string; bytes: number },
): void {
  if (flags.json === true) {
    printJson({ file, bytes, files, leftOut });
    return;
  }
  const width = Math.max(...files.map(({ name }) => name.length));
  for (const { name, bytes: size, redacted } of files) {
    const taken = redacted === 0 ? '' : `  (${plural(redacted, 'place')} redacted)`;
    print(printable(`  ${name.padEnd(width)}  ${formatBytes(size).padStart(9)}${taken}`));
  }
  if (leftOut.length > 0) print('Left out:');
  for (const { what, why } of leftOut) print(printable(`  ${what}: ${why}`));
  print(printable(`${file} (${formatBytes(bytes)})`));
  note('Names and addresses of machines and VMs are in it: look before you send it (tar -xzf).');
}
