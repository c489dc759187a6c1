/** `lmas plan`: plans as YAML files; their runs. */
import type { Plan, PlanInput } from '@lmas/client';
import { everyPage, LmasApiError } from '@lmas/client';
import { formatTime } from '@lmas/format';
import { Option } from 'commander';
import { type Invocation, leaf, type Registry } from '../command.ts';
import { differences, readDocument, writeDocument } from '../documents.ts';
import { CliError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { followRun } from '../follow-run.ts';
import type { Column } from '../output/table.ts';
import { addPlanRuns } from './plan-run.ts';

const COLUMNS: readonly Column<Plan>[] = [
  { title: 'ID', value: ({ id }) => id },
  { title: 'WAVES', value: ({ waves }) => String(waves.length), align: 'right' },
  { title: 'AFTER', value: ({ after }) => after.join(', '), dropOrder: 1 },
  { title: 'CHANGED', value: ({ changedAt }) => formatTime(changedAt), dropOrder: 2 },
  { title: 'DESCRIPTION', value: ({ description }) => description, minWidth: 12, dropOrder: 3 },
];

const MODES = ['validate', 'failover', 'drill', 'disaster'] as const;

export function addPlan(registry: Registry): void {
  const plan = registry.program
    .command('plan')
    .summary('disaster-recovery plans: VMs in waves')
    .description(
      'Plans: which VMs move where, in which waves, and what has to hold between two of them. A plan is a YAML file with its name in `id`; see docs/plans.md for a full example.',
    );
  addFileCommands(registry, plan);
  leaf(registry, plan.command('list').description('Lists the plans, newest first.'), {
    examples: ['lmas plan list'],
    action: async (invocation) => {
      const client = await invocation.client();
      const items = await everyPage((query) => client.listPlans(query, invocation));
      if (invocation.flags.json === true) invocation.printJson({ items, nextCursor: null });
      else invocation.printTable(COLUMNS, items, 'No plans. Store one with lmas plan apply FILE.');
      return EXIT.ok;
    },
  });
  leaf(
    registry,
    plan
      .command('get')
      .description('Prints a plan as a YAML file, to be edited and applied again.')
      .argument('<plan>', 'name of the plan'),
    {
      examples: ['lmas plan get payments > payments.yaml'],
      action: async (invocation) => {
        const id = invocation.args[0] ?? '';
        if (id.startsWith('r_'))
          throw new CliError('INVALID_VALUE', `${id} is a run of a plan, not a plan.`, {
            remedy: `lmas plan status ${id}`,
          });
        const stored = await (await invocation.client()).getPlan(id, invocation);
        if (invocation.flags.json === true) invocation.printJson(stored);
        else invocation.print(writeDocument(asFile(stored)));
        return EXIT.ok;
      },
    },
  );
  leaf(
    registry,
    plan
      .command('remove')
      .description('Removes a plan. Its runs and their reports stay.')
      .argument('<plan>', 'name of the plan'),
    {
      examples: ['lmas plan remove payments'],
      action: async (invocation) => {
        const id = invocation.args[0] ?? '';
        await (await invocation.client()).deletePlan(id, invocation);
        if (invocation.flags.json === true) invocation.printJson({ removed: id });
        else invocation.print(`Plan ${id} removed.`);
        return EXIT.ok;
      },
    },
  );
  addRunCommands(registry, plan);
  addPlanRuns(registry, plan);
}

function addFileCommands(registry: Registry, plan: Registry['program']): void {
  const file = (name: string, description: string) =>
    plan.command(name).description(description).argument('<file>', 'the plan as YAML or JSON; "-" is standard input');
  leaf(
    registry,
    file(
      'apply',
      'Stores the plan of a file: makes it, or takes the place of the one of that name. Refused with every reason when it cannot be carried out. Runs under way go on with the plan as it was.',
    ),
    {
      examples: ['lmas plan apply payments.yaml'],
      action: async (invocation) => {
        const { id, body } = await planOf(invocation);
        const stored = await (await invocation.client()).putPlan(id, body, invocation);
        if (invocation.flags.json === true) invocation.printJson(stored);
        else
          invocation.print(
            `Plan ${id} stored: ${stored.waves.length} waves. Look before it runs: lmas plan validate ${id}`,
          );
        return EXIT.ok;
      },
    },
  );
  leaf(
    registry,
    file(
      'diff',
      'Shows what lmas plan apply would change, line by line, and stores nothing. Exit code 0 when nothing would change, 1 when something would.',
    ),
    {
      examples: ['lmas plan diff payments.yaml'],
      action: async (invocation) => {
        const { id, body } = await planOf(invocation);
        const client = await invocation.client();
        const [before, after] = [
          await client.getPlan(id, invocation).catch(absent),
          await client.putPlan(id, body, { dryRun: true, signal: invocation.signal }),
        ];
        const [old, young] = [before === undefined ? undefined : asFile(before), asFile(after)];
        const changes = differences(old === undefined ? '' : writeDocument(old), writeDocument(young));
        if (invocation.flags.json === true)
          invocation.printJson({ id, before: old ?? null, after: young, changed: changes !== '' });
        else if (changes === '') invocation.note(`Plan ${id} is like that already.`);
        else invocation.print(changes);
        return changes === '' ? EXIT.ok : EXIT.failed;
      },
    },
  );
}

function addRunCommands(registry: Registry, plan: Registry['program']): void {
  leaf(
    registry,
    plan
      .command('validate')
      .description(
        'Makes every check of every VM and predicts the times, from the measured links and dirty rates, against the recovery-time objective. Nothing moves. Exit code 1 when a check says no or it takes too long.',
      )
      .argument('<plan>', 'name of the plan'),
    {
      examples: ['lmas plan validate payments'],
      action: async (invocation) => {
        const run = await (await invocation.client()).startPlanRun(invocation.args[0] ?? '', 'validate', invocation);
        return await followRun(invocation, run);
      },
    },
  );
  const start = plan
    .command('run')
    .description(
      'Begins a run and prints its id; with --watch it stays until the end, and Ctrl-C then stops only the watching. failover: the VMs move, live, wave after wave, once every check has passed. validate: as lmas plan validate. drill: a copy of each VM is started on isolated networks, checked, kept for a while and undone; the VMs themselves are not touched. disaster: the source is gone; says for each VM what is known and what can be done, and starts nothing.',
    )
    .argument('<plan>', 'name of the plan')
    .addOption(new Option('--mode <mode>', 'what for (required)').choices(MODES).makeOptionMandatory())
    .option('--watch', 'follow it to its end; the exit code is that of the run');
  leaf<{ mode: (typeof MODES)[number]; watch?: boolean }>(registry, start, {
    examples: ['lmas plan run payments --mode failover --watch'],
    action: async (invocation): Promise<ExitCode> => {
      const { args, flags } = invocation;
      const run = await (await invocation.client()).startPlanRun(args[0] ?? '', flags.mode, invocation);
      if (flags.watch === true) return await followRun(invocation, run);
      if (flags.json === true) invocation.printJson(run);
      else invocation.print(`${run.id}: begun. Follow it:  lmas plan status ${run.id} --watch`);
      return EXIT.ok;
    },
  });
}

async function planOf({ args, terminal }: Invocation<object>): Promise<{ id: string; body: PlanInput }> {
  const { id, ...body } = await readDocument(args[0] ?? '', terminal);
  if (typeof id === 'string') return { id, body: body as PlanInput };
  throw new CliError('INPUT_UNREADABLE', `${args[0]} does not say which plan it is.`, {
    remedy: 'Add a line such as `id: payments`.',
  });
}

/** What a person writes of a plan. */
function asFile({ id, project: _, createdAt: __, changedAt: ___, ...body }: Plan): PlanInput & { id: string } {
  return { id, ...body };
}

function absent(error: unknown): undefined {
  if (error instanceof LmasApiError && error.code === 'PLAN_NOT_FOUND') return undefined;
  throw error;
}
