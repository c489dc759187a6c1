/** `lmas plan …` for runs. */
import { writeFile } from 'node:fs/promises';
import type { PlanRun, PlanRunList, PlanRunOrder } from '@lmas/client';
import { formatTime, withLocalTimes } from '@lmas/format';
import { Option } from 'commander';
import { collect, type Invocation, leaf, type Registry } from '../command.ts';
import { CliError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { followRun, hasEnded, runExitCode } from '../follow-run.ts';
import { describeReport, describeRun } from '../output/plan-text.ts';
import { type Column, renderTable } from '../output/table.ts';
import { type PageFlags, readPages, withPageOptions } from '../pages.ts';
import { widthOf } from '../terminal.ts';
import { parseInteger } from '../units.ts';
import { type WatchedList, watchList } from '../watch-list.ts';

const RUNS: readonly Column<PlanRunList['items'][number]>[] = [
  { title: 'ID', value: ({ id }) => id },
  { title: 'PLAN', value: ({ plan, reverseOfPlan }) => plan ?? reverseOfPlan ?? '' },
  { title: 'MODE', value: ({ mode }) => mode },
  { title: 'STATE', value: ({ phase, pausedAt }) => (pausedAt === null ? phase : 'paused') },
  {
    title: 'VMS',
    value: ({ vms }) =>
      Object.entries(vms)
        .map(([state, count]) => `${count} ${state}`)
        .join(', '),
    minWidth: 8,
  },
  { title: 'CREATED', value: ({ createdAt }) => formatTime(createdAt), dropOrder: 1 },
  { title: 'MESSAGE', value: ({ message }) => withLocalTimes(message), minWidth: 12, dropOrder: 2 },
];

const ORDERS: readonly { order: PlanRunOrder; description: string }[] = [
  { order: 'pause', description: 'Begins nothing more; what moves goes on.' },
  { order: 'resume', description: 'Goes on where it was paused.' },
  {
    order: 'approve',
    description:
      'Lets the next wave begin, where the plan asks for somebody’s word. With --wave it is refused when another one waits by now.',
  },
  {
    order: 'cancel',
    description:
      'Begins nothing more, and cancels what moves. What has moved stays; fail-back brings it back. Of a drill: every copy is undone; with --watch, one whose waves were over ends as what it has shown.',
  },
  { order: 'retry', description: 'Tries again only what did not move.' },
  {
    order: 'fail-back',
    description:
      'Begins a run that brings back everything that this one moved. One VM that is off by now, or gone, stands in the way of all others until it is left out.',
  },
];

const runList = (
  look: () => Promise<readonly PlanRunList['items'][number][]>,
): WatchedList<PlanRunList['items'][number]> => ({
  look,
  id: ({ id }) => id,
  line: (run) =>
    `${run.id}  ${RUNS.slice(1, 5)
      .map(({ value }) => value(run))
      .join('  ')}`,
  screen: (rows, width) => (rows.length === 0 ? 'Nothing was run yet.\n' : renderTable(RUNS, rows, width)),
  outcome: (rows) => (rows.every(hasEnded) ? EXIT.ok : undefined),
});

export function addPlanRuns(registry: Registry, plan: Registry['program']): void {
  const runs = withPageOptions(
    plan
      .command('runs')
      .description('Lists runs, of plans, evacuations and fail-backs, newest first.')
      .argument('[plan]', 'only those of this plan, and what takes them back')
      .option('--needs-person', 'only those that wait for an approval: lmas plan approve'),
  ).option('--watch', 'look again and again, until none of them is under way');
  leaf<PageFlags & { needsPerson?: boolean; watch?: boolean }>(registry, runs, {
    examples: [
      'lmas plan runs',
      'lmas plan runs payments --limit 5',
      'lmas plan runs --needs-person',
      'lmas plan runs --watch',
    ],
    action: async (invocation) => {
      const [only] = invocation.args;
      const client = await invocation.client();
      const query = {
        ...(only === undefined ? {} : { plan: only }),
        ...(invocation.flags.needsPerson === true ? { needs: 'person' as const } : {}),
      };
      const { flags, signal } = invocation;
      const look = () => readPages(flags, (page) => client.listPlanRuns({ ...query, ...page }, { signal }));
      if (invocation.flags.watch === true)
        return await watchList(
          invocation,
          runList(async () => (await look()).items),
        );
      const page = await look();
      if (invocation.flags.json === true) invocation.printJson(page);
      else {
        const none = invocation.flags.needsPerson === true ? 'No run needs a person.' : 'Nothing was run yet.';
        invocation.printTable(RUNS, page.items, none);
        if (page.nextCursor !== null) invocation.note('There are more: lmas plan runs --all');
      }
      return EXIT.ok;
    },
  });
  const status = plan
    .command('status')
    .description(
      'Shows a run: each wave and each VM. With --watch it stays until the end. Exit code 1 when it ended as failed or cancelled, 5 when nobody knows where one of its VMs runs, or it runs at both ends.',
    )
    .argument('<run>', 'id of the run, r_…')
    .option('--watch', 'follow it to its end');
  leaf<{ watch?: boolean }>(registry, status, {
    examples: ['lmas plan status r_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10 --watch'],
    action: async (invocation) => {
      const run = await (await invocation.client()).getPlanRun(invocation.args[0] ?? '', invocation);
      if (invocation.flags.watch === true) return await followRun(invocation, run);
      show(invocation, run);
      return hasEnded(run) ? runExitCode(run) : EXIT.ok;
    },
  });
  for (const { order, description } of ORDERS) addOrder(registry, plan, order, description);
  addReport(registry, plan);
}

const MAX_WAVES = 500;

interface OrderFlags {
  readonly watch?: boolean;
  readonly except?: readonly string[];
  readonly leavePoweredOff?: boolean;
  readonly refusePoweredOff?: boolean;
  readonly wave?: string;
}

function addOrder(registry: Registry, plan: Registry['program'], order: PlanRunOrder, description: string): void {
  const command = plan
    .command(order)
    .description(description)
    .argument('<run>', 'id of the run, r_…')
    .option('--watch', 'follow it to its end');
  const isBack = order === 'fail-back';
  if (isBack) {
    command
      .option('--except <vm>', 'id or name of a VM that stays where it is (repeatable)', collect)
      .addOption(
        new Option('--leave-powered-off', 'leave VMs that are powered off where they are').conflicts(
          'refusePoweredOff',
        ),
      )
      .option('--refuse-powered-off', 'bring back nothing when one is powered off; without either, what its plan says');
  }
  if (order === 'approve')
    command.option('--wave <n>', 'the wave that waits, from 1; without it, the one that waits now');
  const example = `lmas plan ${order} r_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10`;
  leaf<OrderFlags>(registry, command, {
    examples: [
      example,
      ...(isBack ? [`${example} --except db-1 --leave-powered-off --watch`] : []),
      ...(order === 'approve' ? [`${example} --wave 1`] : []),
    ],
    action: async (invocation) => {
      const { except, leavePoweredOff, refusePoweredOff } = invocation.flags;
      const [id = ''] = invocation.args;
      const wave = order === 'approve' ? await waveToApprove(invocation, id) : undefined;
      const run = await (await invocation.client()).orderPlanRun(id, order, {
        signal: invocation.signal,
        ...(wave === undefined ? {} : { wave }),
        ...(except === undefined ? {} : { except: [...except] }),
        ...(leavePoweredOff === true ? { poweredOff: 'leave' as const } : {}),
        ...(refusePoweredOff === true ? { poweredOff: 'refuse' as const } : {}),
      });
      if (invocation.flags.watch === true) return await followRun(invocation, run, { isCancelled: order === 'cancel' });
      if (invocation.flags.json === true) invocation.printJson(run);
      else
        invocation.print(
          isBack
            ? `${run.id}: begun. Follow it:  lmas plan status ${run.id} --watch`
            : `${run.id}: ${order} was asked for.`,
        );
      return EXIT.ok;
    },
  });
}

/** The one that waits now is named as well: a call that is sent twice approves no later one. */
async function waveToApprove(invocation: Invocation<OrderFlags>, id: string): Promise<number | undefined> {
  const { wave } = invocation.flags;
  if (wave !== undefined) return parseInteger(wave, { min: 1, max: MAX_WAVES });
  const { waves } = await (await invocation.client()).getPlanRun(id, invocation);
  const index = waves.findIndex(({ state }) => state === 'between');
  return index === -1 ? undefined : index + 1;
}

function addReport(registry: Registry, plan: Registry['program']): void {
  const command = plan
    .command('report')
    .description(
      'The report of a run: what, when, how long, what failed and why, what was left. As text, as JSON (--json), or as one HTML page that prints well and needs nothing else (--html).',
    )
    .argument('<run>', 'id of the run, r_…')
    .addOption(
      new Option('--html <file>', 'write the page there; nothing is overwritten; "-" is standard output').conflicts(
        'json',
      ),
    );
  leaf<{ html?: string }>(registry, command, {
    examples: [
      'lmas plan report r_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10',
      'lmas plan report r_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10 --html report.html',
    ],
    action: async (invocation) => {
      const [id = ''] = invocation.args;
      const { html } = invocation.flags;
      const client = await invocation.client();
      if (html !== undefined) return await writePage(invocation, html, await client.getPlanReportPage(id, invocation));
      const report = await client.getPlanReport(id, invocation);
      if (invocation.flags.json === true) invocation.printJson(report);
      else invocation.print(describeReport(report, widthOf(invocation.terminal.stdout, invocation.terminal.env)));
      return EXIT.ok;
    },
  });
}

async function writePage(invocation: Invocation<object>, file: string, page: string): Promise<ExitCode> {
  if (file === '-') invocation.print(page);
  else {
    try {
      await writeFile(file, page, { flag: 'wx' });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'EEXIST') {
        throw new CliError('OUTPUT_EXISTS', `${file} is there already.`, { remedy: 'Name another with --html FILE.' });
      }
      throw new CliError('INVALID_VALUE', `${file} cannot be written.`, { cause });
    }
    invocation.note(`Written to ${file}.`);
  }
  return EXIT.ok;
}

function show(invocation: Invocation<object>, run: PlanRun): void {
  if (invocation.flags.json === true) invocation.printJson(run);
  else invocation.print(describeRun(run, widthOf(invocation.terminal.stdout, invocation.terminal.env)));
}
