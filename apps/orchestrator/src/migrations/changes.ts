/**
 * What was asked of a migration after it was submitted: beside its record, because the run that writes the record may be
 * another process. The request itself stays as it was sent. A limit of the bandwidth is set in the same step that writes it
 * down: what is written here is so. That step also looks whether the migration still takes changes: none comes after its end or
 * its point of no return, and whoever runs it reads there all that was accepted.
 */
import type { Redis } from 'ioredis';
import type { z } from 'zod';
import { keys } from '../redis/keys.ts';
import { readStored } from '../redis/stored-json.ts';
import { migrationChangesSchema } from '../schemas/migration.ts';
import type { MigrationInput } from './record.ts';
import { CHANGE } from './scripts.ts';
import { verdict } from './store-answers.ts';

export type MigrationChanges = z.infer<typeof migrationChangesSchema>;

export type ChangeVerdict = 'missing' | 'ended' | 'too-late' | 'changed';
const CHANGE_VERDICTS: Record<string, ChangeVerdict> = {
  MISSING: 'missing',
  ENDED: 'ended',
  TOO_LATE: 'too-late',
  CHANGED: 'changed',
};

export interface Changes {
  get(id: string): Promise<MigrationChanges>;
  /** In the order of the ids. */
  getMany(ids: readonly string[]): Promise<MigrationChanges[]>;
  /** What is not named stays as it was asked for last. Whoever runs is told of a new limit at once. */
  merge(id: string, changes: MigrationChanges): Promise<ChangeVerdict>;
}

const parse = (json: string | null): MigrationChanges =>
  json === null ? {} : readStored(migrationChangesSchema, json);

export function createChanges(redis: Redis): Changes {
  return {
    get: async (id) => parse(await redis.hget(keys.changes, id)),
    async getMany(ids) {
      if (ids.length === 0) return [];
      return (await redis.hmget(keys.changes, ...ids)).map(parse);
    },
    async merge(id, changes) {
      for (;;) {
        const [json, limit] = await Promise.all([redis.hget(keys.changes, id), redis.hget(keys.bandwidth, id)]);
        const merged = JSON.stringify({ ...parse(json), ...changes });
        const { bandwidthBytesPerSec: asked } = changes;
        const after = asked === undefined ? limit : asked === null ? null : String(asked);
        const [word] = verdict(
          await CHANGE(
            redis,
            [keys.migration(id), keys.live, keys.changes, keys.bandwidth],
            [id, json ?? '', merged, limit ?? '', after ?? '', keys.admissionChannel],
          ),
        );
        const answer = CHANGE_VERDICTS[word];
        if (answer !== undefined) return answer; // or somebody was quicker: once more, with what he wrote
      }
    },
  };
}

/** The policy that holds now. */
export function policyOf(request: Pick<MigrationInput, 'convergence' | 'maxDowntimeMs'>, changes: MigrationChanges) {
  return {
    convergence: changes.convergence ?? request.convergence,
    maxDowntimeMs: changes.maxDowntimeMs === undefined ? request.maxDowntimeMs : changes.maxDowntimeMs,
  };
}
