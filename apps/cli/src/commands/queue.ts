/** `lmas queue`: what waits, in which order and for what; pause and resume. `lmas gateway list`: the tunnels that stand. */
import type { Gateway, Migration, Queue, QueueChange } from '@lmas/client';
import { type Invocation, leaf, type Registry } from '../command.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { formatBitRate, formatByteRate, formatTime } from '../output/format.ts';
import type { Column } from '../output/table.ts';
import { BANDWIDTH_HELP, parseBandwidth, parseInteger } from '../units.ts';

const WAITING: readonly Column<Migration>[] = [
  { title: 'PLACE', value: ({ waiting }) => String(waiting?.place ?? ''), align: 'right' },
  { title: 'ID', value: ({ id }) => id },
  { title: 'VM', value: ({ vm }) => vm.name, minWidth: 8 },
  { title: 'PRIORITY', value: ({ request }) => String(request.priority), align: 'right', dropOrder: 1 },
  { title: 'WHY', value: ({ waiting }) => waiting?.reason ?? '', minWidth: 20, dropOrder: 2 },
];

const GATEWAYS: readonly Column<Gateway>[] = [
  { title: 'SITE', value: ({ site }) => site },
  { title: 'END', value: ({ end }) => end },
  { title: 'STATUS', value: ({ status }) => status },
  { title: 'MIGRATION', value: ({ migration }) => migration },
  {
    title: 'RATE',
    value: ({ tunnel }) => (tunnel === null ? '' : formatBitRate(tunnel.goodputBitsPerSec)),
    align: 'right',
    dropOrder: 1,
  },
  { title: 'SINCE', value: ({ since }) => formatTime(since), dropOrder: 2 },
];

export function addQueue(registry: Registry): void {
  const queue = registry.program
    .command('queue')
    .summary('what waits, and for what')
    .description('The queue of migrations.');
  leaf(registry, queue.command('show').description('Shows how many wait and run, and the limits of the whole.'), {
    examples: ['lmas queue show'],
    action: async (invocation) => {
      return show(invocation, await (await invocation.client()).getQueue({ signal: invocation.signal }));
    },
  });
  leaf(registry, queue.command('list').description('Lists what waits, in its order, and what each waits for.'), {
    examples: ['lmas queue list', "lmas queue list --json | jq -r '.items[].id'"],
    action: async (invocation) => {
      const { signal } = invocation;
      const page = await (await invocation.client()).listQueuedMigrations({ limit: 200 }, { signal });
      if (invocation.flags.json === true) invocation.printJson(page);
      else invocation.printTable(WAITING, page.items, 'Nothing waits.');
      return EXIT.ok;
    },
  });
  const change = (name: string, description: string, body: QueueChange) =>
    leaf(registry, queue.command(name).description(description), {
      examples: [`lmas queue ${name}`],
      action: async (invocation) => {
        const { signal } = invocation;
        return show(invocation, await (await invocation.client()).updateQueue(body, { signal }));
      },
    });
  change('pause', 'Starts nothing more; what runs goes on, and new requests are accepted.', { paused: true });
  change('resume', 'Starts what waits again.', { paused: false });
  const limit = queue
    .command('limit')
    .description('Sets the limits of the whole installation; what is not named stays.')
    .option('--migrations <n>', 'how many may run at once, or "unlimited"')
    .option('--bandwidth <rate>', `for all of them together; ${BANDWIDTH_HELP}`);
  leaf<LimitFlags>(registry, limit, {
    examples: ['lmas queue limit --migrations 20 --bandwidth 5Gbit'],
    action: async (invocation) => {
      const { flags, signal } = invocation;
      const client = await invocation.client();
      return show(invocation, await client.updateQueue({ limits: limitsFrom(flags) }, { signal }));
    },
  });
}

export interface LimitFlags {
  readonly migrations?: string;
  readonly bandwidth?: string;
}

export function limitsFrom({ migrations, bandwidth }: LimitFlags): NonNullable<QueueChange['limits']> {
  const count = (text: string) => (text === 'unlimited' ? null : parseInteger(text, { min: 0, max: 100_000 }));
  return {
    ...(migrations === undefined ? {} : { maxMigrations: count(migrations) }),
    ...(bandwidth === undefined ? {} : { bandwidthBytesPerSec: parseBandwidth(bandwidth) }),
  };
}

export function limitsInWords({ maxMigrations, bandwidthBytesPerSec }: Queue['limits']): string {
  const count = maxMigrations === null ? 'any number at once' : `${maxMigrations} at once`;
  const rate = bandwidthBytesPerSec === null ? 'at any rate' : `${formatByteRate(bandwidthBytesPerSec)} together`;
  return `${count}, ${rate}`;
}

function show(invocation: Invocation<object>, queue: Queue): ExitCode {
  if (invocation.flags.json === true) invocation.printJson(queue);
  else {
    const state = queue.pausedAt === null ? 'open' : `paused since ${formatTime(queue.pausedAt)}`;
    invocation.print(`The queue is ${state}: ${queue.waiting} wait, ${queue.running} run.`);
    invocation.print(`Limits: ${limitsInWords(queue.limits)}.`);
  }
  return EXIT.ok;
}

export function addGateway(registry: Registry): void {
  const gateway = registry.program
    .command('gateway')
    .summary('the gateways that live now')
    .description('Gateways: the ends of the tunnels, two for each migration that goes through one.');
  leaf(registry, gateway.command('list').description('Lists those that live now, and the migration each serves.'), {
    examples: ['lmas gateway list'],
    action: async (invocation) => {
      const items = await (await invocation.client()).listGateways({ signal: invocation.signal });
      if (invocation.flags.json === true) invocation.printJson({ items });
      else invocation.printTable(GATEWAYS, items, 'No gateways.');
      return EXIT.ok;
    },
  });
}
