/** `lmas queue`: what waits, in which order and for what; pause and resume. `lmas gateway list`: the tunnels that stand. */
import {
  everyPage,
  type Gateway,
  LmasApiError,
  type LmasClient,
  type Migration,
  type Queue,
  type QueueChange,
} from '@lmas/client';
import { formatBitRate, formatByteRate, formatTime } from '@lmas/format';
import { type Invocation, leaf, type Registry } from '../command.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { type Column, renderTable } from '../output/table.ts';
import { BANDWIDTH_HELP, parseBandwidth, parseInteger } from '../units.ts';
import { type WatchedList, watchList } from '../watch-list.ts';
import { addTimetable } from './timetable.ts';

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
  addLooks(registry, queue);
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
      const limits = limitsFrom(flags, limit);
      return show(invocation, await (await invocation.client()).updateQueue({ limits }, { signal }));
    },
  });
  addTimetable(registry, queue.command('timetable'), {
    linkOf: () => null,
    examples: [
      'lmas queue timetable --at "mon-fri 08:00-19:00=1Gbit" --time-zone Europe/Lisbon',
      'lmas queue timetable --remove',
    ],
  });
}

interface WatchFlags {
  readonly watch?: boolean;
}

function addLooks(registry: Registry, queue: Registry['program']): void {
  const shown = queue
    .command('show')
    .description('Shows how many wait and run, and the limits of the whole.')
    .option('--watch', 'show it anew whenever it has changed, until Ctrl-C');
  leaf<WatchFlags>(registry, shown, {
    examples: ['lmas queue show', 'lmas queue show --watch'],
    action: async (invocation) => {
      const { flags, signal } = invocation;
      const client = await invocation.client();
      if (flags.watch !== true) return show(invocation, await client.getQueue({ signal }));
      return await watchList(invocation, {
        look: async () => [await client.getQueue({ signal })],
        id: () => 'queue',
        line: inOneLine,
        screen: (rows) => rows.map(inWords).join(''),
        outcome: () => undefined,
      });
    },
  });
  const listed = queue
    .command('list')
    .description(
      'Lists what waits, in its order, and what each waits for. With --watch it stays until nothing waits any more.',
    )
    .option('--watch', 'until nothing waits any more');
  leaf<WatchFlags>(registry, listed, {
    examples: ['lmas queue list', 'lmas queue list --watch', "lmas queue list --json | jq -r '.items[].id'"],
    action: async (invocation) => {
      const { flags, signal } = invocation;
      const client = await invocation.client();
      if (flags.watch === true) return await watchList(invocation, waitingList(client, signal));
      const items = await everyPage((query) => client.listQueuedMigrations(query, { signal }));
      if (flags.json === true) invocation.printJson({ items, nextCursor: null });
      else invocation.printTable(WAITING, items, 'Nothing waits.');
      return EXIT.ok;
    },
  });
}

const waitingList = (client: LmasClient, signal: AbortSignal): WatchedList<Migration> => ({
  look: lookAtWaiting(client, signal),
  id: ({ id }) => id,
  line: ({ id, vm, waiting }) => `${id}  ${vm.name}  place ${waiting?.place ?? '?'}: ${waiting?.reason ?? ''}`,
  empty: 'Nothing waits.',
  gone: (id) => `${id}  waits no more`,
  screen: (rows, width) => (rows.length === 0 ? 'Nothing waits.\n' : renderTable(WAITING, rows, width)),
  outcome: (rows) => (rows.length === 0 ? EXIT.ok : undefined),
});

/**
 * All that waits. Pages of an order in which places are left may miss one, or have it twice: of one that waited a look ago and is
 * not listed, it is asked whether it waits.
 */
function lookAtWaiting(client: LmasClient, signal: AbortSignal): () => Promise<readonly Migration[]> {
  let before: readonly string[] = [];
  return async () => {
    const listed = await everyPage((query) => client.listQueuedMigrations(query, { signal }));
    const waiting = new Map(listed.map((one) => [one.id, one]));
    for (const id of before.filter((id) => !waiting.has(id))) {
      const one = await client.getMigration(id, { signal }).catch(absent);
      if (one?.phase === 'queued') waiting.set(id, one);
    }
    before = [...waiting.keys()];
    return [...waiting.values()].sort((a, b) => (a.waiting?.place ?? 0) - (b.waiting?.place ?? 0));
  };
}

function absent(error: unknown): undefined {
  if (error instanceof LmasApiError && error.status === 404) return undefined;
  throw error;
}

export interface LimitFlags {
  readonly migrations?: string;
  readonly bandwidth?: string;
}

/** With neither, the use of `command` is wrong. */
export function limitsFrom(
  { migrations, bandwidth }: LimitFlags,
  command: Registry['program'],
): NonNullable<QueueChange['limits']> {
  if (migrations === undefined && bandwidth === undefined) {
    command.error('error: nothing to set: give --migrations, --bandwidth or both');
  }
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
  else invocation.print(inWords(queue));
  return EXIT.ok;
}

const inOneLine = ({ pausedAt, waiting, running }: Queue): string =>
  `The queue is ${pausedAt === null ? 'open' : `paused since ${formatTime(pausedAt)}`}: ${waiting} waiting, ${running} running.`;

const inWords = (queue: Queue): string => `${inOneLine(queue)}\nLimits: ${limitsInWords(queue.limits)}.\n`;

export function addGateway(registry: Registry): void {
  const gateway = registry.program
    .command('gateway')
    .summary('the gateways that live now')
    .description('Gateways: the ends of the tunnels, two for each migration that goes through one.');
  const list = gateway
    .command('list')
    .description('Lists those that live now, and the migration each serves.')
    .option('--watch', 'again and again, until Ctrl-C');
  leaf<WatchFlags>(registry, list, {
    examples: ['lmas gateway list', 'lmas gateway list --watch'],
    action: async (invocation) => {
      const client = await invocation.client();
      const look = () => client.listGateways({ signal: invocation.signal });
      if (invocation.flags.watch === true) return await watchList(invocation, gatewayList(look));
      const items = await look();
      if (invocation.flags.json === true) invocation.printJson({ items });
      else invocation.printTable(GATEWAYS, items, 'No gateways.');
      return EXIT.ok;
    },
  });
}

const gatewayList = (look: () => Promise<readonly Gateway[]>): WatchedList<Gateway> => ({
  look,
  id: ({ migration, end }) => `${migration} ${end}`,
  line: ({ migration, end, site, status }) => `${migration}  gateway at site ${site} (${end}): ${status}`,
  empty: 'No gateways.',
  gone: (id) => `${id.replace(' ', '  gateway at the ')}: gone`,
  screen: (rows, width) => (rows.length === 0 ? 'No gateways.\n' : renderTable(GATEWAYS, rows, width)),
  outcome: () => undefined,
});
