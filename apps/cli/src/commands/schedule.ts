/** `lmas schedule`: what is started when; what it will do and what it did. */
import { everyPage, type Schedule, type ScheduleHistoryEntry, type SchedulePreview } from '@lmas/client';
import { formatTime } from '@lmas/format';
import { type Invocation, leaf, numberOption, type Registry } from '../command.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { type Column, renderFields } from '../output/table.ts';
import { printable } from '../output/text.ts';
import { widthOf } from '../terminal.ts';
import { parseInteger } from '../units.ts';
import { type ScheduleFlags, scheduleChange, scheduleInput, withScheduleOptions } from './schedule-settings.ts';

const COLUMNS: readonly Column<Schedule>[] = [
  { title: 'ID', value: ({ id }) => id },
  { title: 'STATE', value: ({ state }) => state },
  { title: 'NEXT', value: ({ nextAt }) => (nextAt === null ? '' : formatTime(nextAt)) },
  { title: 'STARTS', value: actionInWords, minWidth: 12 },
  { title: 'WHEN', value: triggerInWords, minWidth: 10, dropOrder: 1 },
  { title: 'NOW', value: nowInWords, minWidth: 8, dropOrder: 2 },
];
const PREVIEW: readonly Column<SchedulePreview['items'][number]>[] = [
  { title: 'DUE', value: ({ local }) => local },
  { title: 'BEGINS', value: ({ startsAt }) => (startsAt === null ? 'left out' : formatTime(startsAt)) },
  { title: 'NOTES', value: ({ notes }) => notes.join(' '), minWidth: 20 },
];
const HISTORY: readonly Column<ScheduleHistoryEntry>[] = [
  { title: 'AT', value: ({ at }) => formatTime(at) },
  { title: 'DUE', value: ({ dueAt }) => formatTime(dueAt), dropOrder: 1 },
  { title: 'EVENT', value: ({ event }) => event },
  { title: 'WHAT', value: ({ message, code }) => (code === null ? message : `${message} (${code})`), minWidth: 20 },
  { title: 'RUN', value: ({ run }) => run?.id ?? '', dropOrder: 2 },
];

function actionInWords({ action }: Pick<Schedule, 'action'>): string {
  if (action.kind === 'plan') return `${action.mode} of plan ${action.plan}`;
  if (action.kind === 'balancing') return `a pass of policy ${action.policy}`;
  const { vm, source, destination } = action.migration;
  return `${vm} from ${source} to ${destination}`;
}

function triggerInWords({ trigger, timeZone }: Pick<Schedule, 'trigger' | 'timeZone'>): string {
  return `${trigger.kind === 'cron' ? trigger.expression : `once, ${trigger.at}`} (${timeZone})`;
}

function nowInWords({ current, waiting }: Schedule): string {
  if (current !== null) return `runs: ${current.run.id}`;
  if (waiting === null) return '';
  if (waiting.for === 'other-run') return `is tried again: ${printable(waiting.message ?? '')}`;
  return `waits for ${waiting.for === 'window' ? 'a window' : 'the former run'}`;
}

export function addSchedule(registry: Registry): void {
  const schedule = registry.program
    .command('schedule')
    .summary('what is started when')
    .description(
      'Schedules: a migration, a plan or a balancing pass, once or by cron on the clock of a time zone, inside maintenance windows and outside of blackout times. See docs/schedules.md.',
    );
  addAdd(registry, schedule.command('add'));
  addSet(registry, schedule.command('set'));
  leaf(registry, schedule.command('list').description('Lists the schedules, newest first.'), {
    examples: ['lmas schedule list'],
    action: async (invocation) => {
      const client = await invocation.client();
      const items = await everyPage((query) => client.listSchedules(query, invocation));
      if (invocation.flags.json === true) invocation.printJson({ items, nextCursor: null });
      else invocation.printTable(COLUMNS, items, 'No schedules.');
      return EXIT.ok;
    },
  });
  addOne(registry, schedule, 'get', 'Shows one schedule.', async (invocation, id) =>
    show(invocation, await (await invocation.client()).getSchedule(id, invocation)),
  );
  addOne(
    registry,
    schedule,
    'pause',
    'Starts nothing more; what is under way goes on, what waits is left out.',
    async (invocation, id) => show(invocation, await (await invocation.client()).pauseSchedule(id, invocation)),
  );
  addOne(registry, schedule, 'resume', 'Goes on, from its next time.', async (invocation, id) =>
    show(invocation, await (await invocation.client()).resumeSchedule(id, invocation)),
  );
  addOne(registry, schedule, 'run', 'Starts a run now, whatever its windows say.', async (invocation, id) =>
    show(invocation, await (await invocation.client()).runSchedule(id, invocation)),
  );
  addOne(
    registry,
    schedule,
    'remove',
    'Removes it, with its history; what is under way goes on.',
    async (invocation, id) => {
      await (await invocation.client()).deleteSchedule(id, invocation);
      if (invocation.flags.json === true) invocation.printJson({ removed: id });
      else invocation.print(`Schedule ${id} removed.`);
      return EXIT.ok;
    },
  );
  addOne(
    registry,
    schedule,
    'history',
    'Shows what it did: started, waited, left out, and how each run ended. Newest first.',
    async (invocation, id) => {
      const items = await (await invocation.client()).getScheduleHistory(id, invocation);
      if (invocation.flags.json === true) invocation.printJson({ items });
      else invocation.printTable(HISTORY, items, 'It has done nothing yet.');
      return EXIT.ok;
    },
  );
  const preview = schedule
    .command('preview')
    .description(
      'Shows the next runs: when each is due, when it would begin, and why it would wait or be left out. Times that do not exist, or come twice, on days on which clocks are moved are explained.',
    )
    .argument('<id>', 'name of the schedule')
    .addOption(numberOption('--count <n>', 'how many, 1 to 100', 10));
  leaf<{ count: string }>(registry, preview, {
    examples: ['lmas schedule preview nightly --count 30'],
    action: async (invocation) => {
      const count = parseInteger(invocation.flags.count, { min: 1, max: 100 });
      const items = await (await invocation.client()).previewSchedule(invocation.args[0] ?? '', count, invocation);
      return showPreview(invocation, items);
    },
  });
}

function addAdd(registry: Registry, command: Registry['program']): void {
  command
    .summary('make a schedule')
    .description(
      'Makes a schedule. Refused at once, with every reason, when it makes no sense: windows that never open, a cron expression that never comes, an endpoint, a plan or a policy that is not there. With --preview nothing is stored, only shown.',
    )
    .argument('<id>', 'its name: lower-case letters, digits, hyphens');
  withScheduleOptions(command, {
    file: 'the whole schedule as YAML or JSON instead, as the API takes it; "-" is standard input',
    unless: (text) => ` (default: ${text})`,
  })
    .optionsGroup('This run:')
    .option('--preview', 'show the next runs instead of making it');
  leaf<ScheduleFlags & { readonly preview?: boolean }>(registry, command, {
    examples: [
      'lmas schedule add weekend --plan payments --cron "0 23 * * fri" --time-zone Europe/Lisbon --window "fri,sat 22:00-06:00"',
      'lmas schedule add move-web-1 --vm web-1 --from host-a --to host-b --once 2027-03-27T23:30:00 --time-zone Europe/Lisbon',
      'lmas schedule add level --policy hall-1 --cron "0 2 * * *" --window "mon-fri 01:00-05:00"',
      'lmas schedule add nightly --file nightly.yaml --preview',
    ],
    action: async (invocation) => {
      const { flags, args } = invocation;
      const input = await scheduleInput(args[0] ?? '', invocation);
      const client = await invocation.client();
      if (flags.preview === true)
        return showPreview(invocation, await client.previewNewSchedule(input, 10, invocation));
      return show(invocation, await client.createSchedule(input, invocation));
    },
  });
}

function addSet(registry: Registry, command: Registry['program']): void {
  command
    .summary('change a schedule')
    .description('Changes a schedule; what is not named stays. What is under way goes on as it was begun.')
    .argument('<id>', 'name of the schedule');
  withScheduleOptions(command, {
    file: 'what changes as YAML or JSON instead, as the API takes it; "-" is standard input',
    unless: () => '',
  });
  leaf<ScheduleFlags>(registry, command, {
    examples: [
      'lmas schedule set nightly --cron "0 3 * * *" --missed run-now',
      'lmas schedule set nightly --window "sat,sun 00:00-00:00"',
      'lmas schedule set weekend --mode drill',
    ],
    action: async (invocation) => {
      const [id = ''] = invocation.args;
      const change = await scheduleChange(invocation);
      const client = await invocation.client();
      const changed =
        typeof change === 'function'
          ? await client.changeSchedule(id, change, invocation)
          : await client.updateSchedule(id, change, invocation);
      return show(invocation, changed);
    },
  });
}

function addOne(
  registry: Registry,
  parent: Registry['program'],
  name: string,
  description: string,
  run: (invocation: Invocation<object>, id: string) => Promise<ExitCode>,
): void {
  leaf(registry, parent.command(name).description(description).argument('<id>', 'name of the schedule'), {
    examples: [`lmas schedule ${name} nightly`],
    action: (invocation) => run(invocation, invocation.args[0] ?? ''),
  });
}

function show(invocation: Invocation<object>, schedule: Schedule): ExitCode {
  if (invocation.flags.json === true) {
    invocation.printJson(schedule);
    return EXIT.ok;
  }
  const { id, description, state, nextAt, windows, blackouts, missed, overlap } = schedule;
  const fields: (readonly [string, string])[] = [
    ['Schedule', id],
    ['Description', description],
    ['Starts', actionInWords(schedule)],
    ['When', triggerInWords(schedule)],
    ['State', state],
    ['Next', nextAt === null ? 'none' : formatTime(nextAt)],
    ['Now', nowInWords(schedule)],
    ['Windows', windows.map(periodInWords).join('\n')],
    ['Blackouts', blackouts.map(periodInWords).join('\n')],
    ['Missed', missed],
    ['Overlap', overlap],
  ];
  invocation.print(renderFields(fields, widthOf(invocation.terminal.stdout, invocation.terminal.env)));
  return EXIT.ok;
}

const periodInWords = (period: Schedule['windows'][number]): string =>
  period.kind === 'dates' ? `${period.from} to ${period.to}` : `${period.days.join(',')} ${period.from}-${period.to}`;

function showPreview(invocation: Invocation<object>, items: SchedulePreview['items']): ExitCode {
  if (invocation.flags.json === true) invocation.printJson({ items });
  else invocation.printTable(PREVIEW, items, 'It never runs again.');
  return EXIT.ok;
}
