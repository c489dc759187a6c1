/**
 * What was asked of a migration after it was submitted: beside its record, because the run that writes the record may be
 * another process. The request itself stays as it was sent.
 */
import type { Redis } from 'ioredis';
import type { z } from 'zod';
import { keys } from '../redis/keys.ts';
import { replaceField } from '../redis/replace-field.ts';
import { migrationChangesSchema } from '../schemas/migration.ts';
import type { MigrationInput } from './record.ts';

export type MigrationChanges = z.infer<typeof migrationChangesSchema>;

export interface Changes {
  get(id: string): Promise<MigrationChanges>;
  /** In the order of the ids. */
  getMany(ids: readonly string[]): Promise<MigrationChanges[]>;
  /** What is not named stays as it was asked for last. */
  merge(id: string, changes: MigrationChanges): Promise<void>;
}

const parse = (json: string | null): MigrationChanges =>
  json === null ? {} : migrationChangesSchema.parse(JSON.parse(json));

export function createChanges(redis: Redis): Changes {
  return {
    get: async (id) => parse(await redis.hget(keys.changes, id)),
    async getMany(ids) {
      if (ids.length === 0) return [];
      return (await redis.hmget(keys.changes, ...ids)).map(parse);
    },
    async merge(id, changes) {
      await redis.hsetnx(keys.changes, id, '{}');
      for (;;) {
        const json = (await redis.hget(keys.changes, id)) ?? '{}';
        if (await replaceField(redis, keys.changes, id, json, JSON.stringify({ ...parse(json), ...changes }))) return;
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
