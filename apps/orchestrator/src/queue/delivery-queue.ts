/**
 * Webhook deliveries wait here for their attempts; the log of deliveries is the truth, a job only says when to look.
 */
import { randomUUID } from 'node:crypto';
import { type JobsOptions, Queue, Worker } from 'bullmq';
import { z } from 'zod';
import type { Logger } from '../log.ts';
import type { RedisAddress } from '../redis/address.ts';
import { connect } from '../redis/connect.ts';
import { keys } from '../redis/keys.ts';

const NAME = 'webhooks';
const CONCURRENCY = 16;
const JOB: JobsOptions = { attempts: 1, removeOnComplete: true, removeOnFail: true };
/** After an error of our own, which is not the receiver's. */
const BROKEN_PAUSE_MS = 5_000;
const payloadSchema = z.object({ deliveryId: z.string() });

export interface DeliveryQueue {
  /** Safe to repeat while it waits. */
  enqueue(deliveryId: string): Promise<void>;
  /** Begins to take them. `attempt` answers after how long the next attempt is due, if there is one. */
  work(attempt: (deliveryId: string) => Promise<number | undefined>): void;
  close(): Promise<void>;
}

export function createDeliveryQueue(address: RedisAddress, log: Logger): DeliveryQueue {
  const connection = connect(address, log, 'webhook queue connection');
  const options = { connection, prefix: keys.queuePrefix };
  const queue = new Queue(NAME, options);
  queue.on('error', (error) => log.warn({ err: error.message }, 'webhook queue connection'));
  let worker: Worker | undefined;
  const later = async (deliveryId: string, delay: number): Promise<void> =>
    void (await queue.add('attempt', { deliveryId }, { ...JOB, delay, jobId: `${deliveryId}-${randomUUID()}` }));

  return {
    async enqueue(deliveryId) {
      await queue.add('attempt', { deliveryId }, { ...JOB, jobId: deliveryId });
    },
    work(attempt) {
      const handle = async ({ data }: { data: unknown }): Promise<void> => {
        const { deliveryId } = payloadSchema.parse(data);
        const pauseMs = await attempt(deliveryId).catch((error: unknown) => {
          log.error({ err: error, delivery: deliveryId }, 'a delivery broke off; it will be taken up again');
          return BROKEN_PAUSE_MS;
        });
        if (pauseMs !== undefined) await later(deliveryId, pauseMs);
      };
      worker = new Worker(NAME, handle, { ...options, concurrency: CONCURRENCY });
      worker.on('error', (error) => log.warn({ err: error.message }, 'webhook worker connection'));
    },
    async close() {
      await worker?.close();
      await queue.close();
      connection.disconnect();
    },
  };
}
