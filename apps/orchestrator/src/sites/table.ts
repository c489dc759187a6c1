/**
 * One table of named things in Redis: parsed on the way out, changed only by whoever has seen the newest version.
 */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { LmasError, type OrchestratorErrorCode } from '../errors.ts';
import { type FieldChange, replaceFields } from '../redis/replace-field.ts';
import { replicated } from '../redis/replicas.ts';
import { keptScript } from '../redis/script.ts';
import { readStored, rewriteStored } from '../redis/stored-json.ts';

/** What an item names that has to exist. */
export interface Reference {
  /** The table that it has to be in. */
  readonly key: string;
  readonly kind: string;
  readonly id: string;
}

/** What changes in the same step as an item. */
export interface Beside {
  readonly changes: readonly FieldChange[];
  /** Where that is announced. */
  readonly channel?: string;
}

export interface NamedTable<Stored> {
  /** @throws LmasError ALREADY_EXISTS, UNKNOWN_REFERENCE */
  add(item: Stored, references: readonly Reference[]): Promise<void>;
  /** By name. */
  list(): Promise<Stored[]>;
  /** @throws LmasError …_NOT_FOUND */
  get(id: string): Promise<Stored>;
  /** Applies a change to the newest version, again when somebody else was quicker. @throws LmasError …_NOT_FOUND, and what `apply` throws */
  change(
    id: string,
    apply: (item: Stored) => Promise<Stored>,
    besideOf?: (changed: Stored) => Promise<Beside>,
  ): Promise<Stored>;
  remove(id: string): Promise<void>;
}

const ADDED = 'ADDED';
const EXISTS = 'EXISTS';

/**
 * KEYS: the table, then the tables that hold what it refers to. ARGV: id, json, then for each of these a name.
 * Answers ADDED, EXISTS, or which reference (from 0) leads nowhere.
 */
const ADD = keptScript(`
  for i = 2, #KEYS do
    if redis.call('HEXISTS', KEYS[i], ARGV[i + 1]) == 0 then return tostring(i - 2) end
  end
  if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then return '${EXISTS}' end
  return '${ADDED}'
`);

const withArticle = (kind: string): string => `${/^[aeiou]/.test(kind) ? 'an' : 'a'} ${kind}`;

export function namedTable<Stored extends { id: string }>(
  redis: Redis,
  {
    key,
    kind,
    schema,
    notFound,
  }: { key: string; kind: string; schema: z.ZodType<Stored>; notFound: OrchestratorErrorCode },
): NamedTable<Stored> {
  const parse = (json: string): Stored => readStored(schema, json);
  const load = async (id: string): Promise<string> => {
    const json = await redis.hget(key, id);
    if (json === null) throw new LmasError(notFound, `There is no ${kind} ${id}.`);
    return json;
  };
  return {
    async add(item, references) {
      const tables = [key, ...references.map((reference) => reference.key)];
      const names = references.map(({ id }) => id);
      const answer = z.string().parse(await ADD(redis, tables, [item.id, JSON.stringify(item), ...names]));
      if (answer === EXISTS) throw new LmasError('ALREADY_EXISTS', `There is ${withArticle(kind)} ${item.id} already.`);
      if (answer === ADDED) return;
      const missing = references[Number(answer)];
      throw new LmasError('UNKNOWN_REFERENCE', `There is no ${missing?.kind} ${missing?.id}.`);
    },
    async list() {
      const all = Object.values(await redis.hgetall(key)).map(parse);
      return all.sort((a, b) => (a.id < b.id ? -1 : 1));
    },
    get: async (id) => parse(await load(id)),
    async change(id, apply, besideOf = async () => ({ changes: [] })) {
      for (;;) {
        const json = await load(id);
        const changed = schema.parse(await apply(parse(json)));
        const own = { hash: key, field: id, before: json, after: rewriteStored(schema, json, changed) };
        const { changes, channel } = await besideOf(changed);
        if (await replaceFields(redis, [own, ...changes], channel)) return changed;
      }
    },
    async remove(id) {
      await redis.hdel(key, id);
      await replicated(redis);
    },
  };
}
