/** `lmas policy`: what keeps hosts from being too busy, what it would do, and why. */
import type {
  BalancingMove,
  BalancingPass,
  BalancingPolicy,
  BalancingPolicyInput,
  BalancingPolicySettings,
} from '@lmas/client';
import { formatTime } from '@lmas/format';
import { Option } from 'commander';
import { mergeSettings, parseSettings } from '../assignments.ts';
import { collect, type Invocation, leaf, numberOption, type Registry } from '../command.ts';
import { CliError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { type Column, renderFields } from '../output/table.ts';
import { printable } from '../output/text.ts';
import { widthOf } from '../terminal.ts';
import { parseInteger } from '../units.ts';
import { addPolicyStatus } from './policy-status.ts';

const MODES = ['explain', 'propose', 'automatic'] as const;

const POLICIES: readonly Column<BalancingPolicy>[] = [
  { title: 'ID', value: ({ id }) => id },
  { title: 'MODE', value: ({ mode }) => mode },
  { title: 'ENDPOINTS', value: ({ endpoints }) => endpoints.join(', '), minWidth: 12 },
  { title: 'STATE', value: stateOf },
];
const MOVES: readonly Column<BalancingMove>[] = [
  { title: 'ID', value: ({ id }) => id },
  { title: 'VM', value: ({ vm }) => vm.name, minWidth: 8 },
  { title: 'FROM', value: ({ source }) => source, minWidth: 6 },
  { title: 'TO', value: ({ destination }) => destination, minWidth: 6 },
  { title: 'STATE', value: ({ state }) => state },
  { title: 'UNTIL', value: ({ expiresAt }) => (expiresAt === null ? '' : formatTime(expiresAt)), dropOrder: 2 },
  { title: 'WHY', value: ({ text, outcome }) => outcome ?? text, minWidth: 20, dropOrder: 1 },
];
const PASSES: readonly Column<BalancingPass>[] = [
  { title: 'PASS', value: ({ number }) => String(number), align: 'right' },
  { title: 'AT', value: ({ at }) => formatTime(at) },
  { title: 'SPREAD', value: ({ spread }) => `${(spread * 100).toFixed(1)} points`, align: 'right' },
  { title: 'TOO BUSY', value: ({ hosts }) => busyHosts(hosts), minWidth: 8 },
  { title: 'MOVES', value: ({ moves }) => String(moves.length), align: 'right' },
];

function stateOf({ pausedAt }: BalancingPolicy): string {
  return pausedAt === null ? 'works' : `paused since ${formatTime(pausedAt)}`;
}
const busyHosts = (hosts: BalancingPass['hosts']): string =>
  hosts.flatMap(({ endpoint, tooBusy }) => (tooBusy ? [endpoint] : [])).join(', ');

export function addPolicy(registry: Registry): void {
  const policy = registry.program
    .command('policy')
    .summary('load balancing: what moves by itself, and why')
    .description('Load-balancing policies: which VMs leave hosts that are too busy.');
  addRegistry(registry, policy);
  addWork(registry, policy);
  addPolicyStatus(registry, policy);
  addAnswers(registry, policy);
}

function addRegistry(registry: Registry, policy: Registry['program']): void {
  const add = policy
    .command('add')
    .description('Adds a policy. What is not set has the defaults of docs/balancing.md.')
    .argument('<id>', 'its name')
    .requiredOption('--endpoint <endpoint>', 'balance this one (required; repeatable, at least two)', collect)
    .addOption(new Option('--mode <mode>', 'what it may do (default: propose)').choices(MODES))
    .option('--set <setting=value>', 'any other setting, by its path: cpu.high=0.8 (repeatable)', collect);
  leaf<{ endpoint: string[]; mode?: (typeof MODES)[number]; set?: string[] }>(registry, add, {
    examples: [
      'lmas policy add hall-1 --endpoint host-a --endpoint host-b --mode automatic',
      'lmas policy add hall-1 --endpoint host-a --endpoint host-b --set cpu.high=0.8 --set \'rules.pinned=["db-*"]\'',
    ],
    action: async (invocation) => {
      const { args, flags } = invocation;
      const { endpoint: endpoints, mode, set = [] } = flags;
      const input = { id: args[0] ?? '', endpoints, ...(mode && { mode }), ...parseSettings(set, '--set') };
      // The service says what it takes, and everything that is wrong at once.
      const created = await (await invocation.client()).createBalancingPolicy(
        input as BalancingPolicyInput,
        invocation,
      );
      return show(invocation, created, `Policy ${created.id} added: ${created.mode}.`);
    },
  });
  addSet(registry, policy.command('set'));
  const list = policy
    .command('list')
    .description('Lists the policies.')
    .option('--needs-person', 'only those with a proposal that waits for an answer: lmas policy approve, reject');
  leaf<{ needsPerson?: boolean }>(registry, list, {
    examples: ['lmas policy list', 'lmas policy list --needs-person'],
    action: async (invocation) => {
      const { signal, flags } = invocation;
      const needs = flags.needsPerson === true ? { needs: 'person' as const } : {};
      const items = await (await invocation.client()).listBalancingPolicies({ signal, ...needs });
      if (flags.json === true) invocation.printJson({ items });
      else
        invocation.printTable(
          POLICIES,
          items,
          flags.needsPerson === true ? 'No policy needs a person.' : 'No policies.',
        );
      return EXIT.ok;
    },
  });
  addOne(registry, policy, 'get', 'Shows every setting of a policy.', async (invocation, id) => {
    const found = await (await invocation.client()).getBalancingPolicy(id, invocation);
    const { terminal } = invocation;
    const fields = Object.entries(found).map(([name, value]): [string, string] => [
      name,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]);
    return show(invocation, found, renderFields(fields, widthOf(terminal.stdout, terminal.env)));
  });
  addOne(registry, policy, 'remove', 'Removes a policy; migrations that run go on.', async (invocation, id) => {
    await (await invocation.client()).deleteBalancingPolicy(id, invocation);
    return show(invocation, { removed: id }, `Policy ${id} removed.`);
  });
}

function addSet(registry: Registry, command: Registry['program']): void {
  command
    .description(
      'Changes a policy; what is not named stays. What was decided already is looked at once more by the new settings.',
    )
    .argument('<id>', 'name of the policy')
    .option('--endpoint <endpoint>', 'balance these instead (repeatable, at least two)', collect)
    .addOption(new Option('--mode <mode>', 'what it may do').choices(MODES))
    .option('--set <setting=value>', 'any other setting, by its path: cpu.high=0.8 (repeatable)', collect);
  leaf<{ endpoint?: string[]; mode?: (typeof MODES)[number]; set?: string[] }>(registry, command, {
    examples: ['lmas policy set hall-1 --mode automatic --set cpu.high=0.8'],
    action: async (invocation) => {
      const { args, flags } = invocation;
      const { endpoint: endpoints, mode, set = [] } = flags;
      const named = { ...(endpoints && { endpoints }), ...(mode && { mode }), ...parseSettings(set, '--set') };
      if (Object.keys(named).length === 0) {
        throw new CliError('INVALID_VALUE', 'There is nothing to change.', {
          remedy: 'Name --endpoint, --mode or --set.',
        });
      }
      const client = await invocation.client();
      const apply = ({ id: _, createdAt, pausedAt, ...settings }: BalancingPolicy) =>
        mergeSettings(settings, named) as BalancingPolicySettings;
      const changed = await client.changeBalancingPolicy(args[0] ?? '', apply, invocation);
      return show(invocation, changed, `Policy ${changed.id} changed: ${changed.mode}, ${stateOf(changed)}.`);
    },
  });
}

function addWork(registry: Registry, policy: Registry['program']): void {
  addOne(registry, policy, 'run', 'Makes a pass now and says what was decided, and why.', async (invocation, id) => {
    const pass = await (await invocation.client()).runBalancingPolicy(id, invocation);
    return show(invocation, pass, pass.decisions.map(({ text }) => text).join('\n'));
  });
  addOne(registry, policy, 'pause', 'Withdraws what was not begun, and does nothing more.', async (invocation, id) => {
    const paused = await (await invocation.client()).pauseBalancingPolicy(id, invocation);
    return show(invocation, paused, `Policy ${id}: ${stateOf(paused)}.`);
  });
  addOne(registry, policy, 'resume', 'Lets a policy work again.', async (invocation, id) => {
    const resumed = await (await invocation.client()).resumeBalancingPolicy(id, invocation);
    return show(invocation, resumed, `Policy ${id}: ${stateOf(resumed)}.`);
  });
  const history = policy
    .command('history')
    .description(
      'Lists the passes of a policy, newest first; with --why, what each decided. With --watch it stays, and tells of each pass and of what becomes of proposals as it happens, until Ctrl-C.',
    )
    .argument('<id>', 'name of the policy')
    .addOption(numberOption('--limit <n>', 'at most so many, 1 to 500', 20))
    .option('--why', 'every decision of each')
    .addOption(new Option('--watch', 'what happens from now on').conflicts('why'));
  leaf<{ limit: string; why?: boolean; watch?: boolean }>(registry, history, {
    examples: [
      'lmas policy history hall-1',
      'lmas policy history hall-1 --limit 1 --why',
      'lmas policy history hall-1 --watch',
    ],
    action: async (invocation) => {
      const { args, flags } = invocation;
      if (flags.watch === true) return await watch(invocation, args[0] ?? '');
      const limit = parseInteger(flags.limit, { min: 1, max: 500 });
      const items = await (await invocation.client()).listBalancingPasses(args[0] ?? '', { limit }, invocation);
      if (flags.json === true) invocation.printJson({ items });
      else if (flags.why === true) for (const pass of items) invocation.print(describePass(pass));
      else invocation.printTable(PASSES, items, 'No passes yet.');
      return EXIT.ok;
    },
  });
}

/** Until somebody stops it, or the policy is removed. */
async function watch(invocation: Invocation<object>, id: string): Promise<ExitCode> {
  const { flags, signal, terminal } = invocation;
  const events = (await invocation.client()).watchBalancingPolicy(id, {
    signal,
    onConnectionLost: ({ message }) =>
      terminal.stderr.write(`lmas: no connection to the orchestrator, trying again: ${message}\n`),
  });
  try {
    for await (const { id: place, event } of events) {
      if (flags.json === true) terminal.stdout.write(`${JSON.stringify({ id: place, ...event })}\n`);
      else terminal.stdout.write(`${formatTime(event.at)}  ${event.balancing.event}  ${printable(event.message)}\n`);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    return EXIT.interrupted;
  }
  return EXIT.ok;
}

const describePass = ({ number, at, decisions }: BalancingPass): string =>
  [`Pass ${number}, ${formatTime(at)}`, ...decisions.map(({ text }) => `  ${text}`)].join('\n');

function addAnswers(registry: Registry, policy: Registry['program']): void {
  const proposals = policy
    .command('proposals')
    .description(
      'Lists the moves that wait for an answer, newest first; with --all, what became of the others as well.',
    )
    .argument('<id>', 'name of the policy')
    .option('--all', 'moves in every state');
  leaf<{ all?: boolean }>(registry, proposals, {
    examples: ['lmas policy proposals hall-1', 'lmas policy proposals hall-1 --all'],
    action: async (invocation) => {
      const { args, flags } = invocation;
      const query = flags.all === true ? {} : { state: 'proposed' as const };
      const items = await (await invocation.client()).listBalancingMoves(args[0] ?? '', query, invocation);
      if (flags.json === true) invocation.printJson({ items });
      else invocation.printTable(MOVES, items, flags.all === true ? 'No moves yet.' : 'Nothing waits for an answer.');
      return EXIT.ok;
    },
  });
  for (const name of ['approve', 'reject'] as const) {
    const description =
      name === 'approve'
        ? 'Looks at both hosts once more and moves the VM, if that is still right.'
        : 'Says no; the VM is not proposed again for a while.';
    const command = policy
      .command(name)
      .description(description)
      .argument('<id>', 'name of the policy')
      .argument('<move>', 'id of the proposal, bm_…');
    leaf(registry, command, {
      examples: [`lmas policy ${name} hall-1 bm_0f6d9c5e2ab14e7d8c3b9a0f12345678`],
      action: async (invocation) => {
        const [id = '', move = ''] = invocation.args;
        const client = await invocation.client();
        const answered =
          name === 'approve'
            ? await client.approveBalancingMove(id, move, invocation)
            : await client.rejectBalancingMove(id, move, invocation);
        const follow = answered.migration === null ? '' : `\n  Follow it:  lmas get ${answered.migration} --watch`;
        return show(invocation, answered, `${answered.vm.name}: ${answered.state}.${follow}`);
      },
    });
  }
}

function show(invocation: Invocation<object>, document: object, text: string): ExitCode {
  if (invocation.flags.json === true) invocation.printJson(document);
  else invocation.print(text);
  return EXIT.ok;
}

function addOne(
  registry: Registry,
  policy: Registry['program'],
  name: string,
  description: string,
  run: (invocation: Invocation<object>, id: string) => Promise<ExitCode>,
): void {
  leaf(registry, policy.command(name).description(description).argument('<id>', 'name of the policy'), {
    examples: [`lmas policy ${name} hall-1`],
    action: (invocation) => run(invocation, invocation.args[0] ?? ''),
  });
}
