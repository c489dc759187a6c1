/** Puts a store that an earlier build wrote (see make-store.ts) into a Redis, as it was, but for where it is. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Redis } from 'ioredis';
import { z } from 'zod';

const keySchema = z.discriminatedUnion('type', [
  z.object({ key: z.string(), type: z.literal('string'), value: z.string() }),
  z.object({ key: z.string(), type: z.literal('hash'), value: z.record(z.string(), z.string()) }),
  z.object({ key: z.string(), type: z.literal('set'), value: z.array(z.string()) }),
  /** Member, score, member, score … */
  z.object({ key: z.string(), type: z.literal('zset'), value: z.array(z.string()) }),
  z.object({ key: z.string(), type: z.literal('list'), value: z.array(z.string()) }),
  z.object({
    key: z.string(),
    type: z.literal('stream'),
    value: z.array(z.tuple([z.string(), z.array(z.string())])),
  }),
]);

const storeSchema = z.object({
  /** By what became of them. */
  migrations: z.record(z.enum(['succeeded', 'failed', 'cancelled', 'running', 'queued']), z.string()),
  vms: z.record(z.string(), z.object({ name: z.string(), source: z.string() })),
  /** Of the data directory. */
  files: z.record(z.string(), z.string()),
  masterKey: z.string(),
  keys: z.array(keySchema),
});
export type OldStore = z.infer<typeof storeSchema>;

/** @param directory what the store says of its own place is said of this one */
export function readStore(name: string, directory: string): OldStore {
  const text = readFileSync(path.join(import.meta.dirname, 'stores', `${name}.json`), 'utf8');
  const hex = Buffer.from(directory).toString('hex');
  return storeSchema.parse(JSON.parse(text.replaceAll('@DIRECTORY@', directory).replaceAll('@HEX@', hex)));
}

export async function loadStore(redis: Redis, { keys }: OldStore): Promise<void> {
  for (const { key, type, value } of keys) {
    if (type === 'string') await redis.set(key, value);
    else if (type === 'hash') await redis.hset(key, value);
    else if (type === 'set') await redis.sadd(key, ...value);
    else if (type === 'list') await redis.rpush(key, ...value);
    else if (type === 'zset') {
      for (let i = 0; i + 1 < value.length; i += 2) await redis.zadd(key, value[i + 1] ?? '0', value[i] ?? '');
    } else for (const [id, fields] of value) await redis.xadd(key, id, ...fields);
  }
}
