/**
 * How many bytes per second the whole, a link, or one migration may use, where somebody has set that; and how what there
 * is, is divided. It owns no connection.
 */
import type { Redis } from 'ioredis';
import { groupsOf } from '../admission/groups.ts';
import { keys } from '../redis/keys.ts';
import { keptScript } from '../redis/script.ts';
import { type Sharer, shares } from './shares.ts';

export interface BandwidthLimits {
  /** Of groups (`total`, `link:a~b`) or migrations, by their names; what is missing is unlimited. Thousands that wait may have one each. */
  of(names: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** `null` is unlimited. Whoever runs is told at once. */
  set(name: string, bytesPerSec: number | null): Promise<void>;
  /** What each migration that holds a place may use now; `null` is unlimited. */
  shares(): Promise<Map<string, number | null>>;
}

/** One step, so that no limit is set of which nobody hears. KEYS: bandwidth. ARGV: name, bytes per second or '', channel */
const SET = keptScript(`
  if ARGV[2] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
  redis.call('PUBLISH', ARGV[3], '')
  return 1
`);

export function createBandwidthLimits(redis: Redis): BandwidthLimits {
  const limitsOf = async (names: readonly string[]): Promise<Map<string, number>> => {
    const wanted = [...new Set(names)];
    const values = wanted.length === 0 ? [] : await redis.hmget(keys.bandwidth, ...wanted);
    return new Map(wanted.flatMap((name, index) => (values[index] ? [[name, Number(values[index])]] : [])));
  };
  return {
    of: limitsOf,
    async set(name, bytesPerSec) {
      await SET(redis, [keys.bandwidth], [name, bytesPerSec ?? '', keys.admissionChannel]);
    },
    async shares() {
      const places = Object.entries(await redis.hgetall(keys.places));
      const running = places.map(([id, lane]): Sharer => ({ id, groups: [...groupsOf(lane), id] }));
      return shares(running, await limitsOf(running.flatMap(({ groups }) => groups)));
    },
  };
}
