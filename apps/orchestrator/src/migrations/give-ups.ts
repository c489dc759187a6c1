/**
 * Somebody's word that what is left of an ended migration can never be taken down, because its machine is gone for good. It
 * stands beside the record. The next attempt still tries everything, and gives up only what fails.
 */
import type { Redis } from 'ioredis';
import type { z } from 'zod';
import { keys } from '../redis/keys.ts';
import { keptScript } from '../redis/script.ts';
import { readStored } from '../redis/stored-json.ts';
import { givenUpSchema } from '../schemas/migration.ts';
import { SUPERSEDE_LUA } from './supersede.ts';

export type GivenUp = z.infer<typeof givenUpSchema>;

export interface GiveUps {
  /** False when nothing of it is left to be taken down. Whoever is at it leaves. What was said first stays. */
  note(id: string, givenUp: GivenUp): Promise<boolean>;
  get(id: string): Promise<GivenUp | null>;
}

const FIELD = 'givenUp';

/** KEYS: migration, incomplete, lease. ARGV: id, what was said */
const NOTE = keptScript(`
  ${SUPERSEDE_LUA}
  if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 then return 0 end
  if redis.call('HSETNX', KEYS[1], '${FIELD}', ARGV[2]) == 1 then supersede(KEYS[3]) end
  return 1
`);

export function createGiveUps(redis: Redis): GiveUps {
  return {
    async note(id, givenUp) {
      const names = [keys.migration(id), keys.incomplete, keys.lease(id)];
      return (await NOTE(redis, names, [id, JSON.stringify(givenUp)])) === 1;
    },
    async get(id) {
      const json = await redis.hget(keys.migration(id), FIELD);
      return json === null ? null : readStored(givenUpSchema, json);
    },
  };
}
