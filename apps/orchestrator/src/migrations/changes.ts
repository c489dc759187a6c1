/**
 * What was asked of a migration after it was submitted: beside its record, because the run that writes the record may be
 * another process. The request itself stays as it was sent. A limit of the bandwidth is set in the same step that writes it
 * down: what is written here is so.
 */
import type { Redis } from 'ioredis';
import type { z } from 'zod';
import { keys } from '../redis/keys.ts';
import { type FieldChange, replaceFields } from '../redis/replace-field.ts';
import { readStored } from '../redis/stored-json.ts';
import { migrationChangesSchema } from '../schemas/migration.ts';
import type { MigrationInput } from './record.ts';

export type MigrationChanges = z.infer<typeof migrationChangesSchema>;

export interface Changes {
  get(id: string): Promise<MigrationChanges>;
  /** In the order of the ids. */
  getMany(ids: readonly string[]): Promise<MigrationChanges[]>;
  /** What is not named stays as it was asked for last. Whoever runs is told of a new limit at once. */
  merge(id: string, changes: MigrationChanges): Promise<void>;
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
        const fields: FieldChange[] = [{ hash: keys.changes, field: id, before: json, after: merged }];
        const { bandwidthBytesPerSec } = changes;
        if (bandwidthBytesPerSec !== undefined) {
          const after = bandwidthBytesPerSec === null ? null : String(bandwidthBytesPerSec);
          fields.push({ hash: keys.bandwidth, field: id, before: limit, after });
        }
        if (await replaceFields(redis, fields, keys.admissionChannel)) return;
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
