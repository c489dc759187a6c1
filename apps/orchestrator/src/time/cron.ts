/**
 * Cron expressions on the clock of a time zone. cron-parser reads the expression and names the times on the wall; at
 * which instants a clock shows them is decided here, so that it is the same rule for every zone, also for those whose
 * clocks are moved by half an hour:
 *
 * - A time that does not exist on a day (clocks set forward) runs as much later as the clocks were moved.
 * - A time that comes twice (clocks set back) runs the first time only, unless the expression names every hour: such a
 *   one goes on running every so many minutes.
 * - No instant is named twice, and none is lost.
 *
 * Pure. Five fields: no seconds.
 */
import { CronExpressionParser } from 'cron-parser';
import { formatWall, instantsOf, slackMs, wallOf } from './zone.ts';

export interface Occurrence {
  readonly atMs: number;
  /** What people should know about it; null as a rule. */
  readonly note: string | null;
}

const FIELDS = 5;
const FIELD = /^[0-9*,/\-#a-z]+$/i;
/**
 * Whether it is written with what we take. Two things that cron-parser also takes are left out: H, which would mean another time each
 * time, and ?, which would mean two things. Of the names only Thursday's has an h.
 */
const isOurs = (field: string): boolean => FIELD.test(field) && !/h/i.test(field.replaceAll(/thu/gi, ''));
const HOURS = 24;

/** What each field counts, and how many of them there are. */
const UNITS = [
  ['minutes', 60],
  ['hours', 24],
  ['days of the month', 31],
  ['months', 12],
  ['days of the week', 7],
] as const;

/** A step that leads out of its field begins anew with each hour, day, month or year: every 90 minutes would be every hour. */
const wideSteps = (field: string, [units, count]: (typeof UNITS)[number]): string[] =>
  [...field.matchAll(/\/(\d+)/g)]
    .filter(([, step]) => Number(step) > count)
    .map(
      ([, step]) =>
        `${field}: a step begins anew with its field, which has ${count} ${units}: it would not come every ${step}`,
    );

const open = (expression: string, fromWallMs: number) =>
  CronExpressionParser.parse(expression, { tz: 'UTC', currentDate: new Date(fromWallMs) });

/** Why it cannot be used, all of it; empty when it can. */
export function cronComplaints(expression: string): string[] {
  const fields = expression.trim().split(/\s+/);
  if (fields.length !== FIELDS) {
    const seconds = fields.length === FIELDS + 1 ? ' With seconds it would run every few of them.' : '';
    return [
      `has ${fields.length} fields; write five: minute, hour, day of the month, month, day of the week.${seconds}`,
    ];
  }
  const odd = fields.filter((field) => !isOurs(field));
  if (odd.length > 0) return [`cannot be read: ${odd.join(' ')}`];
  const wide = fields.flatMap((field, at) => wideSteps(field, UNITS[at] ?? UNITS[0]));
  if (wide.length > 0) return wide;
  try {
    open(expression, 0).next();
    return [];
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    // As cron-parser says of 30 February and of 31 April.
    const isNever = text === 'Invalid explicit day of month definition' || text.includes('loop limit exceeded');
    return [isNever ? 'never comes: there is no such day' : `cannot be read: ${text}`];
  }
}

/** From the first instant after `afterMs` on, for ever. @param expression one without complaints */
export function* occurrences(expression: string, zone: string, afterMs: number): Generator<Occurrence, never> {
  const wall = open(expression, wallOf(zone, afterMs) - slackMs(zone, afterMs) - 1);
  const isHourly = wall.fields.hour.values.length === HOURS;
  /** Found and not named yet; a later time on the wall may still come before them. */
  let waiting: Occurrence[] = [];
  let lastMs = afterMs;
  for (;;) {
    const wallMs = wall.next().getTime();
    const found = instantsOf(zone, wallMs);
    waiting.push({ atMs: found.atMs, note: noteOn(found.kind, { wallMs, zone, atMs: found.atMs, isHourly }) });
    if (found.kind === 'twice' && isHourly) waiting.push({ atMs: found.againMs, note: null });
    // Of two at one instant the one that is its own time counts, and nothing has to be said about it.
    waiting.sort((a, b) => a.atMs - b.atMs || Number(a.note !== null) - Number(b.note !== null));
    const sureMs = found.atMs - slackMs(zone, found.atMs);
    const ready = waiting.filter(({ atMs }) => atMs <= sureMs);
    waiting = waiting.filter(({ atMs }) => atMs > sureMs);
    for (const occurrence of ready) {
      if (occurrence.atMs <= lastMs) continue;
      lastMs = occurrence.atMs;
      yield occurrence;
    }
  }
}

function noteOn(
  kind: 'once' | 'twice' | 'never',
  { wallMs, zone, atMs, isHourly }: { wallMs: number; zone: string; atMs: number; isHourly: boolean },
): string | null {
  if (kind === 'never') {
    const instead = formatWall(wallOf(zone, atMs));
    return `${formatWall(wallMs)} does not exist in ${zone}: clocks are set forward over it. It runs at ${instead}.`;
  }
  if (kind === 'once' || isHourly) return null;
  return `${formatWall(wallMs)} comes twice in ${zone}: clocks are set back over it. It runs the first time.`;
}
