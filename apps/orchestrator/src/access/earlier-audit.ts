/**
 * Where entries of projects stand among those of the installation: an earlier version wrote all into one stream, and may still do so beside
 * this one. A process reads that stream through once, when the first project asks, and from then on what was added: a page of a project does
 * not read the log of everybody else each time, to find nothing in it.
 */
import type { Redis } from 'ioredis';
import { keys } from '../redis/keys.ts';
import { auditEntrySchema } from '../schemas/audit.ts';

const BATCH = 1_000;
const ownerSchema = auditEntrySchema.pick({ caller: true });

/** The ids of a project's first and last entry there. */
export interface EarlierEntries {
  readonly oldest: string;
  readonly newest: string;
}

/** @returns tells where those of a project are; undefined: nowhere */
export function createEarlierFinder(redis: Redis): (project: string) => Promise<EarlierEntries | undefined> {
  const found = new Map<string, EarlierEntries>();
  let after = '-';
  const readOn = async (): Promise<void> => {
    for (;;) {
      const entries = await redis.xrange(keys.audit, after, '+', 'COUNT', BATCH);
      for (const [id, [, json = '{}']] of entries) {
        const project = ownerSchema.parse(JSON.parse(json)).caller?.project ?? null;
        if (project !== null) found.set(project, { oldest: found.get(project)?.oldest ?? id, newest: id });
        after = `(${id}`;
      }
      if (entries.length < BATCH) return;
    }
  };
  let reading = Promise.resolve();
  return async (project) => {
    reading = reading.catch(() => undefined).then(readOn); // one after the other: who comes later reads on from there
    await reading;
    return found.get(project);
  };
}
