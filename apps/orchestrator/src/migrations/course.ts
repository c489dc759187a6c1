/**
 * The whole course of a migration, thinned out. Its event stream keeps the newest events only, and progress fills that within
 * minutes; so what is not progress, and progress ever more rarely, is copied into a second stream under the same id. Whoever reads from a
 * place that is not in the event stream any more gets what is kept here in between.
 *
 * A version without it writes to the event stream only and takes no copies; it does not end this stream either, which therefore expires
 * by itself, long after any migration is over.
 */
import type { Redis } from 'ioredis';
import { script } from '../redis/script.ts';
import { partOf, READ_ON_LUA, type StreamPart } from '../redis/stream-part.ts';
import type { EventType, Migration } from './record.ts';

/** A migration of a week leaves some 650 of progress, and few others. Some 1 MB at most. */
const MAX_KEPT = 800;
/** Longer than a migration can take, with all of its stages. */
const EXPIRES_MS = 60 * 24 * 3_600_000;
const LEAST_GAP_MS = 500;
/** Of the time that it has moved: the further it is, the less one more second of it says. */
const GAP_SHARE = 1 / 60;

/** The name follows from that of the event stream: scripts of the record store are told the one only. */
const SUFFIX = ':course';

/** For scripts: takes a copy of an event, unless the one before it is younger than `gapMs`. It is no reason for a write to fail. */
export const COURSE_LUA = `
  local function keepForCourse(events, id, event, gapMs)
    local course = events .. '${SUFFIX}'
    local last = redis.call('XREVRANGE', course, '+', '-', 'COUNT', 1)[1]
    local function ms(place) return tonumber(string.match(place, '^%d+')) end
    if last and ms(id) - ms(last[1]) < tonumber(gapMs) then return end
    redis.pcall('XADD', course, 'MAXLEN', '~', ${MAX_KEPT}, id, 'event', event)
    if redis.call('PTTL', course) == -1 then redis.call('PEXPIRE', course, ${EXPIRES_MS}) end
  end
  local function expireCourse(events, afterMs) redis.call('PEXPIRE', events .. '${SUFFIX}', afterMs) end
`;

/** How old the copy before this event has to be at least, for it to be copied. */
export function gapBefore(type: EventType, { timeline }: Pick<Migration, 'timeline'>, nowMs: number): number {
  const moving = timeline.find(({ phase }) => phase === 'preparing'); // a drill copies its disks in it
  if (type !== 'progress' || moving === undefined) return 0;
  return Math.round(Math.max(LEAST_GAP_MS, (nowMs - Date.parse(moving.startedAt)) * GAP_SHARE));
}

/** KEYS: event stream. ARGV: place (not included), at most so many */
const READ_COURSE = script(`
  local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  if not oldest then return {{}, {}} end
  local before = redis.call('XRANGE', KEYS[1] .. '${SUFFIX}', '(' .. ARGV[1], '(' .. oldest[1], 'COUNT', ARGV[2])
  if #before > 0 then return {before, {}} end
  ${READ_ON_LUA}
`);

/** What comes after a place: first what is kept of the course only, without an extent, then the event stream. */
export async function readCourse(redis: Redis, events: string, afterId: string, count: number): Promise<StreamPart> {
  return partOf(await READ_COURSE(redis, [events], [afterId, count]));
}
