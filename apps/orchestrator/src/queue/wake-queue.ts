/**
 * Wakes somebody at a time, by name: one BullMQ job scheduler for each name. Which time that is, the record knows; a
 * wake-up that comes twice, late or never decides nothing. Whoever waits for one looks by himself now and then.
 */
import { type JobsOptions, Queue, type RepeatStrategy, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Logger } from '../log.ts';
import { keys } from '../redis/keys.ts';
import { complaints } from './complaints.ts';

const NAME = 'wake-ups';
const CONCURRENCY = 16;
const JOB: JobsOptions = { attempts: 1, removeOnComplete: true, removeOnFail: true };
const payloadSchema = z.object({ name: z.string() });

/**
 * The "pattern" of a scheduler of ours is the one time at which it wakes; what comes after it is asked for anew, once the
 * record has been looked at.
 */
const atItsTime: RepeatStrategy = (afterMs, { pattern }) => {
  const atMs = Date.parse(pattern ?? '');
  return atMs > afterMs ? atMs : undefined;
};

export interface WakeQueue {
  /** In the place of what was asked for before. A time that has passed wakes nobody. */
  wakeAt(name: string, atMs: number): Promise<void>;
  forget(name: string): Promise<void>;
  /** Begins to take wake-ups; `handle` never rejects. */
  work(handle: (name: string) => Promise<void>): void;
  close(): Promise<void>;
}

/** @param connection somebody else's, shared by the queue and its worker */
export function createWakeQueue(connection: Redis, log: Logger): WakeQueue {
  const options = { connection, prefix: keys.queuePrefix, settings: { repeatStrategy: atItsTime } };
  const queue = new Queue(NAME, options);
  queue.on('error', complaints(log, 'wake-up queue connection'));
  let worker: Worker | undefined;
  return {
    async wakeAt(name, atMs) {
      const template = { name: 'wake', data: { name }, opts: JOB };
      await queue.upsertJobScheduler(name, { pattern: new Date(atMs).toISOString() }, template);
    },
    async forget(name) {
      await queue.removeJobScheduler(name);
    },
    work(handle) {
      const take = async ({ data }: { data: unknown }) => await handle(payloadSchema.parse(data).name);
      worker = new Worker(NAME, take, { ...options, concurrency: CONCURRENCY });
      worker.on('error', complaints(log, 'wake-up worker connection'));
    },
    async close() {
      await worker?.close();
      await queue.close();
    },
  };
}
