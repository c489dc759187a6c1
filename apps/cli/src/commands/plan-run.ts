/** `lmas plan …` for runs, and `lmas evacuate`. */
import { writeFile } from 'node:fs/promises';
import type { EvacuationInput, PlanRun, PlanRunList, PlanRunOrder } from '@lmas/client';
import { formatTime } from '@lmas/format';
import { Option } from 'commander';
import { collect, type Invocation, leaf, type Registry } from '../command.ts';
import { CliError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { followRun, hasEnded, runExitCode } from '../follow-run.ts';
import { describeReport, describeRun } from '../output/plan-text.ts';
import { type Column, renderTable } from '../output/table.ts';
import { widthOf } from '../terminal.ts';
import { BANDWIDTH_HELP, parseBandwidth, parseInteger } from '../units.ts';
import { type WatchedList, watchList } from '../watch-list.ts';

const RUNS: readonly Column<PlanRunList['items'][number]>[] = [
  { title: 'ID', value: ({ id }) => id },
  { title: 'PLAN', value: ({ plan }) => plan ?? '' },
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
  { title: 'MESSAGE', value: ({ message }) => message, minWidth: 12, dropOrder: 2 },
];

const ORDERS: readonly { order: PlanRunOrder; description: string }[] = [
  { order: 'pause', description: 'Begins nothing more; what moves goes on.' },
  { order: 'resume', description: 'Goes on where it was paused.' },
  { order: 'approve', description: 'Lets the next wave begin, where the plan asks for somebody’s word.' },
  {
    order: 'cancel',
    description:
      'Begins nothing more, and cancels what moves. What has moved stays; fail-back brings it back. Of a drill: every copy is undone.',
  },
  { order: 'retry', description: 'Tries again only what did not move.' },
  {
    order: 'fail-back',
    description:
      'Begins a run that brings back everything that this one moved. One VM that is off by now, or gone, stands in the way of all others until it is left out.',
  },
];

const runList = (look: () => Promise<PlanRunList['items']>): WatchedList<PlanRunList['items'][number]> => ({
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
  const runs = plan
    .command('runs')
    .description('Lists runs, of plans, evacuations and fail-backs, newest first.')
    .argument('[plan]', 'only those of this plan')
    .option('--needs-person', 'only those that wait for an approval: lmas plan approve')
    .option('--limit <n>', 'how many, 1 to 200', '50')
    .option('--watch', 'look again and again, until none of them is under way');
  leaf<{ limit: string; needsPerson?: boolean; watch?: boolean }>(registry, runs, {
    examples: [
      'lmas plan runs',
      'lmas plan runs payments --limit 5',
      'lmas plan runs --needs-person',
      'lmas plan runs --watch',
    ],
    action: async (invocation) => {
      const [only] = invocation.args;
      const limit = parseInteger(invocation.flags.limit, { min: 1, max: 200 });
      const client = await invocation.client();
      const query = {
        limit,
        ...(only === undefined ? {} : { plan: only }),
        ...(invocation.flags.needsPerson === true ? { needs: 'person' as const } : {}),
      };
      const look = () => client.listPlanRuns(query, { signal: invocation.signal });
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
      }
      return EXIT.ok;
    },
  });
  const status = plan
    .command('status')
    .description(
      'Shows a run: each wave and each VM. With --watch it stays until the end. Exit code 1 when it ended as failed or cancelled.',
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

interface OrderFlags {
  readonly watch?: boolean;
  readonly except?: readonly string[];
  readonly leavePoweredOff?: boolean;
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
      .option('--leave-powered-off', 'leave VMs that are powered off where they are');
  }
  const example = `lmas plan ${order} r_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10`;
  leaf<OrderFlags>(registry, command, {
    examples: isBack ? [example, `${example} --except db-1 --leave-powered-off --watch`] : [example],
    action: async (invocation) => {
      const { except, leavePoweredOff } = invocation.flags;
      const run = await (await invocation.client()).orderPlanRun(invocation.args[0] ?? '', order, {
        signal: invocation.signal,
        ...(except === undefined ? {} : { except: [...except] }),
        ...(leavePoweredOff === true ? { poweredOff: 'leave' as const } : {}),
      });
      if (invocation.flags.watch === true)
        return await followRun(invocation, run, order === 'cancel' ? 'cancelled' : 'succeeded');
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

function addReport(registry: Registry, plan: Registry['program']): void {
  const command = plan
    .command('report')
    .description(
      'The report of a run: what, when, how long, what failed and why, what was left. As text, as JSON (--json), or as one HTML page that prints well and needs nothing else (--html).',
    )
    .argument('<run>', 'id of the run, r_…')
    .addOption(new Option('--html <file>', 'write the page there; "-" is standard output').conflicts('json'));
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
      await writeFile(file, page);
    } catch (cause) {
      throw new CliError('INVALID_VALUE', `${file} cannot be written.`, { cause });
    }
    invocation.note(`Written to ${file}.`);
  }
  return EXIT.ok;
}

interface EvacuateFlags {
  readonly site?: string;
  readonly to?: string;
  readonly toSite?: string;
  readonly except?: readonly string[];
  readonly first?: readonly string[];
  readonly order?: 'name' | 'smallest' | 'largest';
  readonly refuseSilent?: boolean;
  readonly cordon?: boolean;
  readonly overcommit?: boolean;
  readonly concurrency?: string;
  readonly bandwidth?: string;
  readonly direct?: boolean;
  readonly stop?: boolean;
  readonly poweredOff?: (typeof POWERED_OFF)[number];
  readonly watch?: boolean;
}

const POWERED_OFF = ['move', 'leave', 'refuse'] as const;

export function addEvacuate(registry: Registry): void {
  const command = registry.program
    .command('evacuate')
    .summary('empty a host or a site')
    .description(
      'Moves everything on a host, or at a whole site, somewhere else: to an endpoint, or to the endpoints of a site that have most memory free. What runs moves live; what is powered off is moved as it is where its hypervisor lets us (KVM), and else left and named. Also the way to fill a new site. What went is brought back with lmas plan fail-back.',
    )
    .argument('[host]', 'endpoint to empty')
    .option('--site <site>', 'empty this whole site instead')
    .addOption(new Option('--to <endpoint>', 'where everything goes').conflicts('toSite'))
    .option('--to-site <site>', 'where everything goes: the endpoints there with most memory free')
    .option('--except <vm>', 'a VM that stays (repeatable)', collect)
    .option('--first <vm>', 'a VM that begins before all others; repeated, in this order', collect)
    .addOption(
      new Option('--order <order>', 'in which order the others begin (default: name)').choices([
        'name',
        'smallest',
        'largest',
      ]),
    )
    .option('--refuse-silent', 'move nothing when a host of the site does not answer; without it what it has is left')
    .option('--overcommit', 'only warn of VMs that do not fit into the free memory of where they go, all together')
    .option('--concurrency <n>', 'how many move at once, 1 to 100 (default: 2)')
    .option('--bandwidth <rate>', `most that each may use; ${BANDWIDTH_HELP}`)
    .option('--direct', 'straight from host to host: no gateways, no tunnel')
    .addOption(
      new Option('--powered-off <what>', 'what becomes of VMs that are powered off (default: move)').choices(
        POWERED_OFF,
      ),
    )
    .option('--stop', 'stop when one fails; without it the others go on')
    .option('--cordon', 'let what is emptied take no VMs from now on, until lmas endpoint uncordon')
    .option('--watch', 'follow it to its end; the exit code is that of the run');
  leaf<EvacuateFlags>(registry, command, {
    examples: [
      'lmas evacuate host-a --to host-b --watch',
      'lmas evacuate host-a --to-site lisbon --cordon --watch',
      'lmas evacuate --site lisbon --to-site porto --concurrency 4',
    ],
    action: async (invocation) => {
      const run = await (await invocation.client()).evacuate(evacuationFrom(invocation), invocation);
      if (invocation.flags.watch === true) return await followRun(invocation, run);
      if (invocation.flags.json === true) invocation.printJson(run);
      else invocation.print(`${run.id}: begun. Follow it:  lmas plan status ${run.id} --watch`);
      return EXIT.ok;
    },
  });
}

function evacuationFrom({ args: [host], flags }: Invocation<EvacuateFlags>): EvacuationInput {
  const { site, to, toSite, except, first, order, concurrency, bandwidth, direct, stop, poweredOff } = flags;
  const source = host === undefined ? (site === undefined ? undefined : { site }) : { endpoint: host };
  const destination = to === undefined ? (toSite === undefined ? undefined : { site: toSite }) : { endpoint: to };
  if (source === undefined || destination === undefined || (host !== undefined && site !== undefined)) {
    throw new CliError('INVALID_VALUE', 'It is not said what shall be emptied, and where to.', {
      remedy: 'Name a host or --site SITE, and --to ENDPOINT or --to-site SITE.',
    });
  }
  return {
    source,
    destination,
    ...(except === undefined ? {} : { except: [...except] }),
    ...(first === undefined ? {} : { first: [...first] }),
    ...(order === undefined ? {} : { order }),
    ...(flags.refuseSilent === true ? { silent: 'refuse' as const } : {}),
    ...(flags.overcommit === true ? { memory: 'overcommit' as const } : {}),
    ...(concurrency === undefined ? {} : { concurrency: parseInteger(concurrency, { min: 1, max: 100 }) }),
    ...(stop === true ? { onFailure: 'stop' as const } : {}),
    ...(flags.cordon === true ? { cordon: true } : {}),
    ...(poweredOff === undefined ? {} : { poweredOff }),
    migration: {
      ...(bandwidth === undefined ? {} : { bandwidthBytesPerSec: parseBandwidth(bandwidth) }),
      ...(direct === true ? { transport: 'direct' as const } : {}),
    },
  };
}

function show(invocation: Invocation<object>, run: PlanRun): void {
  if (invocation.flags.json === true) invocation.printJson(run);
  else invocation.print(describeRun(run, widthOf(invocation.terminal.stdout, invocation.terminal.env)));
}
