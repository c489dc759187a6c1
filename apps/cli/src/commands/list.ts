/** `lmas list`: migrations, newest first. */
import type { Migration, MigrationListQuery, Phase } from '@lmas/client';
import { formatDuration, formatTime } from '@lmas/format';
import { Option } from 'commander';
import { collect, type Invocation, leaf, type Registry } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { followMany } from '../follow-many.ts';
import { describePhase, placeInShort } from '../output/migration-row.ts';
import { elapsedMs } from '../output/migration-text.ts';
import { describeNeeds } from '../output/needs-text.ts';
import type { Column } from '../output/table.ts';
import { type PageFlags, readPages, withPageOptions } from '../pages.ts';
import { widthOf } from '../terminal.ts';
import { MOMENT_HELP, parseMoment } from '../units.ts';

const PHASES = [
  'queued',
  'checking',
  'provisioning',
  'preparing',
  'connecting',
  'performing',
  'confirming',
  'kept',
  'tearing-down',
  'succeeded',
  'failed',
  'cancelled',
] as const satisfies readonly Phase[];

const COLUMNS: readonly Column<Migration>[] = [
  { title: 'ID', value: ({ id }) => id },
  { title: 'VM', value: ({ vm }) => vm.name, minWidth: 8 },
  { title: 'FROM', value: ({ source }) => source.endpoint, minWidth: 6, dropOrder: 3 },
  { title: 'TO', value: ({ destination }) => destination.endpoint, minWidth: 6, dropOrder: 2 },
  { title: 'PHASE', value: describePhase },
  { title: 'VM IS AT', value: placeInShort, dropOrder: 1 },
  { title: 'CREATED', value: ({ createdAt }) => formatTime(createdAt), dropOrder: 5 },
  {
    title: 'TOOK',
    value: (migration) => (migration.startedAt === null ? '' : formatDuration(elapsedMs(migration, Date.now()))),
    align: 'right',
    dropOrder: 4,
  },
];

interface ListFlags extends PageFlags {
  readonly phase?: Phase;
  readonly needsPerson?: boolean;
  readonly vm?: string;
  readonly endpoint?: string;
  readonly site?: string;
  readonly label?: readonly string[];
  readonly correlationId?: string;
  readonly createdAfter?: string;
  readonly createdBefore?: string;
  readonly watch?: boolean;
}

export function addList(registry: Registry): void {
  const command = registry.program
    .command('list')
    .summary('list migrations, newest first')
    .description(
      'Lists migrations, newest first: the last 50, or as many as asked for. With --watch it follows those of them that are under way, and those that come, until none is; exit code 1 when one did not succeed. Ctrl-C then stops only the watching.',
    )
    .addOption(new Option('--phase <phase>', 'only those in this phase').choices(PHASES))
    .option('--needs-person', 'only those that a person has to look after, each with what to do')
    .option('--vm <vm>', 'only those of this VM (id or name)')
    .option('--endpoint <endpoint>', 'only those from or to this endpoint')
    .option('--site <site>', 'only those from or to this site')
    .option('--label <name=value>', 'only those with this label (repeatable: with all of them)', collect)
    .option('--correlation-id <id>', 'only those of this task')
    .option('--created-after <time>', `only younger ones; ${MOMENT_HELP}`)
    .option('--created-before <time>', 'only older ones');
  withPageOptions(command).option('--watch', 'follow those that are under way, with their progress, to their end');
  leaf<ListFlags>(registry, command, {
    examples: [
      'lmas list',
      'lmas list --phase failed --created-after 24h --all',
      'lmas list --needs-person',
      'lmas list --label team=payments --watch',
      "lmas list --json | jq -r '.items[].id'",
    ],
    action: async (invocation) => {
      const { flags, signal } = invocation;
      const query: MigrationListQuery = {
        ...(flags.phase === undefined ? {} : { phase: flags.phase }),
        ...(flags.needsPerson === true ? { needs: 'person' as const } : {}),
        ...(flags.vm === undefined ? {} : { vm: flags.vm }),
        ...(flags.endpoint === undefined ? {} : { endpoint: flags.endpoint }),
        ...(flags.site === undefined ? {} : { site: flags.site }),
        ...(flags.label === undefined ? {} : { label: [...flags.label] }),
        ...(flags.correlationId === undefined ? {} : { correlationId: flags.correlationId }),
        ...(flags.createdAfter === undefined ? {} : { createdAfter: parseMoment(flags.createdAfter) }),
        ...(flags.createdBefore === undefined ? {} : { createdBefore: parseMoment(flags.createdBefore) }),
      };
      const client = await invocation.client();
      const look = () => readPages(flags, (page) => client.listMigrations({ ...query, ...page }, { signal }));
      if (flags.watch === true) return await followMany(invocation, client, async () => (await look()).items);
      const { items, nextCursor } = await look();
      if (flags.json === true) invocation.printJson({ items, nextCursor });
      else {
        if (flags.needsPerson === true) showNeeds(invocation, items);
        else invocation.printTable(COLUMNS, items, 'No migrations.');
        if (nextCursor !== null) invocation.note(`There are more: lmas list --all`);
      }
      return EXIT.ok;
    },
  });
}

function showNeeds({ terminal, print, note }: Invocation<ListFlags>, migrations: readonly Migration[]): void {
  if (migrations.length === 0) note('No migration needs a person.');
  else print(describeNeeds(migrations, widthOf(terminal.stdout, terminal.env)));
  note('See also --needs-person of: lmas plan runs, lmas policy list, lmas webhook list.');
}
