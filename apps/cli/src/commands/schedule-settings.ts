/** What `lmas schedule add` and `lmas schedule set` are told of a schedule, and what becomes of it. */
import type { Schedule, ScheduleChange, ScheduleInput } from '@lmas/client';
import { type Command, Option } from 'commander';
import { collect, type Invocation } from '../command.ts';
import { readDocument } from '../documents.ts';
import { CliError } from '../errors.ts';
import { PERIOD_HELP, parsePeriod } from '../periods.ts';

/** What a file says instead. */
const SETTINGS = [
  ...['cron', 'once', 'timeZone', 'window', 'blackout', 'missed', 'overlap'],
  ...['plan', 'mode', 'policy', 'vm', 'from', 'to', 'description'],
];

export interface ScheduleFlags {
  readonly cron?: string;
  readonly once?: string;
  readonly timeZone?: string;
  readonly plan?: string;
  readonly mode?: 'validate' | 'failover' | 'drill' | 'disaster';
  readonly policy?: string;
  readonly vm?: string;
  readonly from?: string;
  readonly to?: string;
  readonly window?: readonly string[];
  readonly blackout?: readonly string[];
  readonly missed?: 'skip' | 'run-now' | 'next-window';
  readonly overlap?: 'skip' | 'queue' | 'replace';
  readonly description?: string;
  readonly file?: string;
}

/** @param unless says the default, where there is one */
export function withScheduleOptions(
  command: Command,
  { file, unless }: { file: string; unless: (text: string) => string },
): Command {
  return command
    .optionsGroup('When:')
    .addOption(new Option('--cron <expression>', 'five fields: minute hour day month weekday').conflicts('once'))
    .addOption(
      new Option(
        '--once <time>',
        'a date and time, such as 2027-03-27T23:30:00 on the clock of the time zone, or with Z or an offset',
      ),
    )
    .option('--time-zone <zone>', `whose clock counts, such as Europe/Lisbon${unless('UTC')}`)
    .option('--window <period>', `runs begin inside it (repeatable${unless('always')}): ${PERIOD_HELP}`, collect)
    .option('--blackout <period>', 'no run begins inside it, whatever the windows say (repeatable)', collect)
    .addOption(
      new Option('--missed <policy>', `a run that could not begin at its time${unless('skip')}`).choices([
        'skip',
        'run-now',
        'next-window',
      ]),
    )
    .addOption(
      new Option(
        '--overlap <policy>',
        `a run whose time comes while the former one is under way${unless('skip')}`,
      ).choices(['skip', 'queue', 'replace']),
    )
    .optionsGroup('What:')
    .addOption(new Option('--plan <plan>', 'run this plan').conflicts(['vm', 'from', 'to']))
    .addOption(
      new Option('--mode <mode>', `how the plan is run${unless('failover')}`)
        .choices(['validate', 'failover', 'drill', 'disaster'])
        .conflicts(['vm', 'from', 'to']),
    )
    .addOption(
      new Option('--policy <policy>', 'make a pass of this balancing policy').conflicts([
        ...['vm', 'from', 'to', 'plan', 'mode'],
      ]),
    )
    .addOption(new Option('--vm <vm>', 'migrate this VM'))
    .option('--from <endpoint>', 'endpoint where it runs')
    .option('--to <endpoint>', 'endpoint where it is to run')
    .option('--description <text>', 'what it is for, for people')
    .addOption(new Option('--file <file>', file).conflicts(SETTINGS));
}

/** A new schedule. @throws CliError INVALID_VALUE, INPUT_UNREADABLE */
export async function scheduleInput(
  id: string,
  { flags, terminal }: Pick<Invocation<ScheduleFlags>, 'flags' | 'terminal'>,
): Promise<ScheduleInput> {
  if (flags.file !== undefined) return { ...(await readDocument(flags.file, terminal)), id } as ScheduleInput;
  return { id, action: actionFrom(flags), trigger: triggerFrom(flags), ...theRestFrom(flags) };
}

/**
 * What is named, and nothing else. An action goes to the orchestrator whole: where one of its parts is named, the rest is
 * taken from what is stored. @throws CliError INVALID_VALUE, INPUT_UNREADABLE
 */
export async function scheduleChange({
  flags,
  terminal,
}: Pick<Invocation<ScheduleFlags>, 'flags' | 'terminal'>): Promise<
  ScheduleChange | ((stored: Schedule) => ScheduleChange)
> {
  if (flags.file !== undefined) return (await readDocument(flags.file, terminal)) as ScheduleChange;
  const { plan, mode, policy, vm, from, to, cron, once } = flags;
  const namesAction = [plan, mode, policy, vm, from, to].some((flag) => flag !== undefined);
  const change = {
    ...(cron === undefined && once === undefined ? {} : { trigger: triggerFrom(flags) }),
    ...theRestFrom(flags),
  };
  if (namesAction) return (stored) => ({ ...change, action: actionOver(stored, flags) });
  if (Object.keys(change).length > 0) return change;
  throw new CliError('INVALID_VALUE', 'There is nothing to change.', {
    remedy: 'Name what shall change, such as --cron or --window, or --file FILE.',
  });
}

function theRestFrom(flags: ScheduleFlags): Omit<ScheduleChange, 'action' | 'trigger'> {
  return {
    ...(flags.description === undefined ? {} : { description: flags.description }),
    ...(flags.timeZone === undefined ? {} : { timeZone: flags.timeZone }),
    ...(flags.window === undefined ? {} : { windows: flags.window.map(parsePeriod) }),
    ...(flags.blackout === undefined ? {} : { blackouts: flags.blackout.map(parsePeriod) }),
    ...(flags.missed === undefined ? {} : { missed: flags.missed }),
    ...(flags.overlap === undefined ? {} : { overlap: flags.overlap }),
  };
}

function actionFrom({ plan, mode, policy, vm, from, to }: ScheduleFlags): ScheduleInput['action'] {
  if (plan !== undefined) return { kind: 'plan', plan, ...(mode === undefined ? {} : { mode }) };
  if (policy !== undefined) return { kind: 'balancing', policy };
  if (vm !== undefined && from !== undefined && to !== undefined) {
    return { kind: 'migration', migration: { vm, source: from, destination: to } };
  }
  throw new CliError('INVALID_VALUE', 'It is not said what shall be started.', {
    remedy: 'Name --plan PLAN, or --policy POLICY, or --vm VM --from ENDPOINT --to ENDPOINT, or --file FILE.',
  });
}

/** Of the same kind as what is stored, that with what is named changed; of another kind, a new one. */
function actionOver({ id, action }: Schedule, flags: ScheduleFlags): ScheduleInput['action'] {
  const { plan, mode, policy, vm, from, to } = flags;
  if (policy !== undefined) return { kind: 'balancing', policy };
  if (plan !== undefined || mode !== undefined) {
    if (action.kind === 'plan') return { kind: 'plan', plan: plan ?? action.plan, mode: mode ?? action.mode };
    if (plan !== undefined) return actionFrom(flags);
    throw new CliError('INVALID_VALUE', `Schedule ${id} runs no plan, so there is no --mode of it.`, {
      remedy: 'Add --plan PLAN to make it one that does.',
    });
  }
  if (action.kind !== 'migration') return actionFrom(flags);
  const named = {
    ...(vm === undefined ? {} : { vm }),
    ...(from === undefined ? {} : { source: from }),
    ...(to === undefined ? {} : { destination: to }),
  };
  return { kind: 'migration', migration: { ...action.migration, ...named } };
}

function triggerFrom({ cron, once }: ScheduleFlags): ScheduleInput['trigger'] {
  if (cron !== undefined) return { kind: 'cron', expression: cron };
  if (once !== undefined) return { kind: 'once', at: once };
  throw new CliError('INVALID_VALUE', 'It is not said when.', { remedy: 'Name --cron EXPRESSION or --once TIME.' });
}
