/**
 * Webhook deliveries wait here for their attempts; the log of deliveries is the truth, a job only says when to look.
 */
import { randomUUID } from 'node:crypto';
import { type JobsOptions, Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Logger } from '../log.ts';
import { keys } from '../redis/keys.ts';
import { inSendSpan, type Job } from '../tracing/queue-spans.ts';
import { complaints } from './complaints.ts';

const NAME = 'webhooks';
/** More than a project may have webhooks, each with one attempt at a time: none takes up all. What they do is wait. */
const CONCURRENCY = 128;
const JOB: JobsOptions = { attempts: 1, removeOnComplete: true, removeOnFail: true };
/** After an error of our own, which is not the receiver's. */
const BROKEN_PAUSE_MS = 5_000;
const payloadSchema = z.object({ deliveryId: z.string(), sentIn: z.string().nullable().default(null) });

interface Due {
  readonly deliveryId: string;
  readonly inMs: number;
}

export interface DeliveryQueue {
  /** Safe to repeat while it waits. */
  enqueue(deliveryId: string): Promise<void>;
  /** Begins to take them. `attempt` answers which are to be looked at next, and after how long. */
  work(attempt: (deliveryId: string, job: Job) => Promise<readonly Due[]>): void;
  /** How many processes take them now, as far as Redis knows. */
  workers(): Promise<number>;
  close(): Promise<void>;
}

/** @param connection the caller's */
export function createDeliveryQueue(connection: Redis, log: Logger): DeliveryQueue {
  const options = { connection, prefix: keys.queuePrefix };
  const queue = new Queue(NAME, options);
  queue.on('error', complaints(log, 'webhook queue connection'));
  let worker: Worker | undefined;
  const send = async (deliveryId: string, job: { jobId: string; delay?: number }): Promise<void> =>
    await inSendSpan(NAME, { 'messaging.message.id': job.jobId }, (sentIn) =>
      queue.add('attempt', { deliveryId, sentIn }, { ...JOB, ...job }),
    );

  return {
    enqueue: (deliveryId) => send(deliveryId, { jobId: deliveryId }),
    work(attempt) {
      const handle = async ({ data, id = '' }: { data: unknown; id?: string }): Promise<void> => {
        const { deliveryId, sentIn } = payloadSchema.parse(data);
        const next = await attempt(deliveryId, { queue: NAME, id, sentIn }).catch((error: unknown): Due[] => {
          log.error({ err: error, delivery: deliveryId }, 'a delivery broke off; it will be taken up again');
          return [{ deliveryId, inMs: BROKEN_PAUSE_MS }];
        });
        for (const due of next) {
          await send(due.deliveryId, { delay: due.inMs, jobId: `${due.deliveryId}-${randomUUID()}` });
        }
      };
      worker = new Worker(NAME, handle, { ...options, concurrency: CONCURRENCY });
      worker.on('error', complaints(log, 'webhook worker connection'));
    },
    workers: () => queue.getWorkersCount(),
    async close() {
      await worker?.close();
      await queue.close();
    },
  };
}
