/** `lmas audit`: who changed what, or tried to, and from where; newest first. */
import type { AuditEntry, AuditQuery } from '@lmas/client';
import { formatTime } from '@lmas/format';
import { Option } from 'commander';
import { leaf, type Registry } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import type { Column } from '../output/table.ts';
import { MOMENT_HELP, parseInteger, parseMoment } from '../units.ts';

const OUTCOMES = ['done', 'refused', 'failed'] as const;

const COLUMNS: readonly Column<AuditEntry>[] = [
  { title: 'AT', value: ({ at }) => formatTime(at) },
  {
    title: 'WHO',
    value: ({ caller }) => (caller === null ? '(nobody)' : `${caller.name} (${caller.id})`),
    minWidth: 8,
  },
  { title: 'OPERATION', value: ({ operation }) => operation },
  { title: 'ON', value: ({ target }) => target, minWidth: 10, dropOrder: 2 },
  { title: 'OUTCOME', value: ({ outcome, code }) => (code === null ? outcome : `${outcome} (${code})`) },
  { title: 'FROM', value: ({ address }) => address, dropOrder: 1 },
];

interface AuditFlags {
  readonly caller?: string;
  readonly operation?: string;
  readonly outcome?: (typeof OUTCOMES)[number];
  readonly target?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit?: string;
  readonly cursor?: string;
  readonly strangers?: boolean;
}

export function addAudit(registry: Registry): void {
  const command = registry.program
    .command('audit')
    .summary('who changed what, or tried to')
    .description('Shows who changed what, or tried to, and from where; newest first.')
    .option('--caller <id>', 'only of this API key, or subject of tokens')
    .option('--operation <operationId>', 'only this operation')
    .addOption(new Option('--outcome <outcome>', 'only with this outcome').choices(OUTCOMES))
    .option('--target <path>', 'only where the path begins like this: /v1/sites/a')
    .option('--since <time>', `only from then on; ${MOMENT_HELP}`)
    .option('--until <time>', 'only until then')
    .option('--limit <n>', 'at most so many, 1 to 200 (default: 50)')
    .option('--cursor <cursor>', 'go on after the page before')
    .option('--strangers', 'attempts without a valid login instead');
  leaf<AuditFlags>(registry, command, {
    examples: [
      'lmas audit --since 24h',
      'lmas audit --since 2027-03-01T00:00:00Z --until 2027-04-01T00:00:00Z',
      'lmas audit --outcome refused',
      'lmas audit --strangers --json',
    ],
    action: async (invocation) => {
      const { flags, signal } = invocation;
      const { caller, operation, outcome, target, cursor } = flags;
      const query: AuditQuery = Object.fromEntries(
        Object.entries({
          ...{ caller, operation, outcome, target, cursor },
          strangers: flags.strangers === true ? 'true' : undefined,
          since: flags.since === undefined ? undefined : parseMoment(flags.since),
          until: flags.until === undefined ? undefined : parseMoment(flags.until),
          limit: flags.limit === undefined ? undefined : parseInteger(flags.limit, { min: 1, max: 200 }),
        }).filter(([, value]) => value !== undefined),
      );
      const list = await (await invocation.client()).listAudit(query, { signal });
      if (flags.json === true) invocation.printJson(list);
      else {
        invocation.printTable(COLUMNS, list.items, 'No entries.');
        if (list.nextCursor !== null) invocation.note(`There are more: --cursor ${list.nextCursor}`);
        const { entries, maxEntries, oldestAt } = list.kept;
        if (oldestAt !== null) {
          const most = flags.strangers === true ? `${maxEntries}` : `${maxEntries} of each project`;
          invocation.note(`${entries} entries are kept, at most ${most}; the oldest is of ${formatTime(oldestAt)}.`);
        }
      }
      return EXIT.ok;
    },
  });
}
