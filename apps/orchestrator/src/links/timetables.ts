/**
 * Sets the bandwidth limits of links and of the whole by the time of day. A timetable writes the ordinary limit whenever what
 * it says changes, and nothing in between: a limit that somebody sets by hand holds until the next change. In Redis; it owns
 * no connection. Several processes may keep them: they all write the same.
 */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { LmasError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { keys } from '../redis/keys.ts';
import { replaceFields } from '../redis/replace-field.ts';
import { replicated } from '../redis/replicas.ts';
import { readStored } from '../redis/stored-json.ts';
import { timetableInputSchema, type timetableSchema } from '../schemas/timetable.ts';
import { isInside, nextOpening } from '../time/periods.ts';
import type { BandwidthLimits } from './bandwidth-limits.ts';

export type TimetableInput = z.output<typeof timetableInputSchema>;
export type Timetable = z.infer<typeof timetableSchema>;

export interface Timetables {
  /** Of a group (`total`, `link:a~b`). @throws LmasError TIMETABLE_NOT_FOUND */
  get(group: string): Promise<Timetable>;
  /**
   * Takes effect at once. `expect` throws when what is there, or that there is none, is not what the caller has seen; between it and the
   * change nobody else's comes.
   */
  set(
    group: string,
    timetable: TimetableInput,
    expect?: (current: TimetableInput | undefined) => void,
  ): Promise<Timetable>;
  /** The limit stays as it is now. @throws LmasError TIMETABLE_NOT_FOUND */
  remove(group: string): Promise<void>;
  /** Sets what has changed since the last time. Never rejects. */
  apply(): Promise<void>;
}

const storedSchema = z.record(z.string(), z.string());

export function createTimetables(
  redis: Redis,
  limits: Pick<BandwidthLimits, 'set'>,
  { now, log }: { now: () => number; log: Logger },
): Timetables {
  const parse = (json: string): TimetableInput => readStored(timetableInputSchema, json);
  const shown = (timetable: TimetableInput): Timetable => ({ ...timetable, now: whatItSays(timetable, now()) });
  const applyTo = async (group: string, timetable: TimetableInput, applied: string | undefined): Promise<void> => {
    const { bandwidthBytesPerSec } = whatItSays(timetable, now());
    if (applied === String(bandwidthBytesPerSec)) return;
    await limits.set(group, bandwidthBytesPerSec);
    await redis.hset(keys.timetablesApplied, group, String(bandwidthBytesPerSec));
    log.info({ group, bandwidthBytesPerSec }, 'the bandwidth limit was changed by the time of day');
  };
  const get = async (group: string): Promise<Timetable> => {
    const json = await redis.hget(keys.timetables, group);
    if (json === null) throw new LmasError('TIMETABLE_NOT_FOUND');
    return shown(parse(json));
  };

  return {
    get,
    async set(group, timetable, expect = () => undefined) {
      const after = JSON.stringify(timetable);
      for (;;) {
        const before = await redis.hget(keys.timetables, group);
        expect(before === null ? undefined : parse(before));
        if (await replaceFields(redis, [{ hash: keys.timetables, field: group, before, after }])) break;
      }
      await applyTo(group, timetable, undefined);
      return shown(timetable);
    },
    async remove(group) {
      await get(group);
      await redis.hdel(keys.timetables, group);
      await redis.hdel(keys.timetablesApplied, group);
      await replicated(redis);
    },
    async apply() {
      try {
        const [all, applied] = await Promise.all([
          redis.hgetall(keys.timetables),
          redis.hgetall(keys.timetablesApplied),
        ]);
        const last = storedSchema.parse(applied);
        for (const [group, json] of Object.entries(all)) await applyTo(group, parse(json), last[group]);
      } catch (error) {
        log.warn({ err: error }, 'bandwidth limits could not be set by the time of day; tried again');
      }
    },
  };
}

/** Pure. */
export function whatItSays({ timeZone, periods, otherwise }: TimetableInput, nowMs: number): Timetable['now'] {
  const at = (atMs: number): number | null => {
    const period = periods.find((each) => isInside({ kind: 'weekly', ...each }, timeZone, atMs));
    return period === undefined ? otherwise : period.bandwidthBytesPerSec;
  };
  const current = at(nowMs);
  const untilMs = changesAfter({ timeZone, periods, otherwise }, nowMs).find((atMs) => at(atMs) !== current);
  return { bandwidthBytesPerSec: current, until: untilMs === undefined ? null : new Date(untilMs).toISOString() };
}

/** Each time at which one of the periods begins or ends within the next two weeks, in order. */
function changesAfter({ timeZone, periods }: TimetableInput, nowMs: number): number[] {
  const edges = periods.flatMap(({ from, to, days }) => {
    const window = { kind: 'weekly' as const, from, to, days };
    const begins = nextOpening({ timeZone, windows: [window], blackouts: [] }, nowMs);
    const ends = nextOpening({ timeZone, windows: [], blackouts: [window] }, nowMs);
    // Inside it the beginning is now: the next one comes after its end.
    const again = ends === undefined ? undefined : nextOpening({ timeZone, windows: [window], blackouts: [] }, ends);
    return [begins, ends, again].filter((atMs) => atMs !== undefined && atMs > nowMs);
  });
  return edges.filter((atMs) => atMs !== undefined).sort((a, b) => a - b);
}
