/** `lmas link timetable` and `lmas queue timetable`: bandwidth by the time of day. */
import { LmasApiError, type Timetable, type TimetableInput } from '@lmas/client';
import { formatByteRate, formatTime } from '@lmas/format';
import { collect, type Invocation, leaf, type Registry } from '../command.ts';
import { CliError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { renderFields } from '../output/table.ts';
import { parsePeriod } from '../periods.ts';
import { widthOf } from '../terminal.ts';
import { BANDWIDTH_HELP, parseBandwidth } from '../units.ts';

interface TimetableFlags {
  readonly at?: readonly string[];
  readonly otherwise?: string;
  readonly timeZone?: string;
  readonly remove?: boolean;
}

/** @param linkOf the link that the arguments name; null: the whole installation */
export function addTimetable(
  registry: Registry,
  command: Registry['program'],
  { linkOf, examples }: { linkOf: (args: readonly string[]) => string | null; examples: readonly string[] },
): void {
  command
    .description(
      'Limits the bandwidth by the time of day; without flags it shows what is set. The limit changes at each time that is named; one that is set by hand in between holds until then.',
    )
    .option(
      '--at <period=rate>',
      `"mon-fri 08:00-19:00=100Mbit" (repeatable; the first that fits counts); ${BANDWIDTH_HELP}`,
      collect,
    )
    .option('--otherwise <rate>', 'at all other times (default: unlimited)')
    .option('--time-zone <zone>', 'whose clock counts, such as Europe/Lisbon (default: UTC)')
    .option('--remove', 'removes it; the limit stays as it is now');
  leaf<TimetableFlags>(registry, command, {
    examples,
    action: async (invocation) => {
      const { flags, args } = invocation;
      const link = linkOf(args);
      const client = await invocation.client();
      if (flags.remove === true) {
        await client.deleteTimetable(link, invocation);
        if (flags.json === true) invocation.printJson({ removed: link });
        else invocation.print('Removed; the limit stays as it is now.');
        return EXIT.ok;
      }
      const input = timetableFrom(flags);
      const timetable =
        input === undefined
          ? await client.getTimetable(link, invocation).catch(noneSet)
          : await client.setTimetable(link, input, invocation);
      return show(invocation, timetable);
    },
  });
}

function timetableFrom({ at, otherwise, timeZone }: TimetableFlags): TimetableInput | undefined {
  if (at === undefined) {
    if (otherwise === undefined && timeZone === undefined) return undefined;
    throw new CliError('INVALID_VALUE', 'No time of day is named.', {
      remedy: 'Add --at "mon-fri 08:00-19:00=100Mbit".',
    });
  }
  return {
    periods: at.map(parseLimit),
    otherwise: otherwise === undefined ? null : parseBandwidth(otherwise),
    ...(timeZone === undefined ? {} : { timeZone }),
  };
}

function parseLimit(text: string): TimetableInput['periods'][number] {
  const [when = '', rate] = text.split('=');
  const period = parsePeriod(when);
  if (rate === undefined || period.kind !== 'weekly') {
    throw new CliError('INVALID_VALUE', `"${text}" is no time of the week with a rate.`, {
      remedy: 'Write "mon-fri 08:00-19:00=100Mbit".',
    });
  }
  const { kind: _, ...weekly } = period;
  return { ...weekly, bandwidthBytesPerSec: parseBandwidth(rate) };
}

/** None is the answer to what is set, and no failure: scripts ask for it. */
function noneSet(error: unknown): null {
  if (error instanceof LmasApiError && error.code === 'TIMETABLE_NOT_FOUND') return null;
  throw error;
}

function show(invocation: Invocation<object>, timetable: Timetable | null): ExitCode {
  if (invocation.flags.json === true) {
    invocation.printJson(timetable);
    return EXIT.ok;
  }
  if (timetable === null) {
    invocation.note('No bandwidth by the time of day is set.');
    return EXIT.ok;
  }
  const rate = (bytesPerSec: number | null): string =>
    bytesPerSec === null ? 'unlimited' : formatByteRate(bytesPerSec);
  const { timeZone, periods, otherwise, now } = timetable;
  const fields: (readonly [string, string])[] = [
    ['Time zone', timeZone],
    [
      'Times',
      periods
        .map(
          ({ days, from, to, bandwidthBytesPerSec }) =>
            `${days.join(',')} ${from}-${to}: ${rate(bandwidthBytesPerSec)}`,
        )
        .join('\n'),
    ],
    ['Otherwise', rate(otherwise)],
    ['Now', `${rate(now.bandwidthBytesPerSec)}${now.until === null ? '' : `, until ${formatTime(now.until)}`}`],
  ];
  invocation.print(renderFields(fields, widthOf(invocation.terminal.stdout, invocation.terminal.env)));
  return EXIT.ok;
}
