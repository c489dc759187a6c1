/**
 * Which migrations a person has to look after, and their word that they have. It stands beside the record, for a run may write
 * that at any time, and it takes nothing back: what only looks done is found again by whoever looks. What could not be taken down
 * is no part of it: that is tried again, or given up (give-ups.ts).
 */
import type { Redis } from 'ioredis';
import type { z } from 'zod';
import { keys } from '../redis/keys.ts';
import { keptScript } from '../redis/script.ts';
import { readStored } from '../redis/stored-json.ts';
import { doneByHandSchema } from '../schemas/migration.ts';
import type { Migration } from './record.ts';
import { SUPERSEDE_LUA } from './supersede.ts';

export type DoneByHand = z.infer<typeof doneByHandSchema>;

/** `teardown`: until it is complete or given up. `hand`: until somebody says that it is done; giving up machines is no such word. */
export type Need = 'teardown' | 'hand' | '';

export function needOf({ byHand, teardown }: Pick<Migration, 'byHand' | 'teardown'>): Need {
  if (teardown === 'incomplete') return 'teardown';
  return byHand === null ? '' : 'hand';
}

/** Where the word stands. */
export const DONE_FIELD = 'doneByHand';

/** For scripts whose KEYS[1] is the migration. */
export const NEED_LUA = `
  local function need(id, createdAtMs, why)
    if why == 'teardown' or (why == 'hand' and redis.call('HEXISTS', KEYS[1], '${DONE_FIELD}') == 0) then
      redis.call('ZADD', '${keys.needsPerson}', createdAtMs, id)
    else
      redis.call('ZREM', '${keys.needsPerson}', id)
    end
  end
`;

export interface WordsOfPeople {
  /** Of a migration that has ended: whoever is at its teardown leaves. What was said first stays. */
  note(id: string, done: DoneByHand): Promise<void>;
  get(id: string): Promise<DoneByHand | null>;
}

/** KEYS: migration, incomplete, lease. ARGV: id, what was said */
const NOTE = keptScript(`
  ${SUPERSEDE_LUA}
  if redis.call('HSETNX', KEYS[1], '${DONE_FIELD}', ARGV[2]) == 1 then supersede(KEYS[3]) end
  if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 then redis.call('ZREM', '${keys.needsPerson}', ARGV[1]) end
  return 'OK'
`);

export function createWordsOfPeople(redis: Redis): WordsOfPeople {
  return {
    async note(id, done) {
      await NOTE(redis, [keys.migration(id), keys.incomplete, keys.lease(id)], [id, JSON.stringify(done)]);
    },
    async get(id) {
      const json = await redis.hget(keys.migration(id), DONE_FIELD);
      return json === null ? null : readStored(doneByHandSchema, json);
    },
  };
}
