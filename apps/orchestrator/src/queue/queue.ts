/**
 * The way from admission to the workers, on BullMQ; nobody outside this directory knows that. A job is a hint to look at
 * a migration, nothing more: the record is the truth, and a job that is lost, delivered twice or failed by BullMQ decides
 * nothing. What is started, and in which order, admission decides.
 *
 * Two queues: admitted migrations, of which there are no more than somebody has room for; and those that need somebody
 * at once (orphans of a dead worker, cancelled or overdue ones that still wait), which do not stand behind them.
 */
import { randomUUID } from 'node:crypto';
import { type JobsOptions, Queue, Worker } from 'bullmq';
import { z } from 'zod';
import type { Logger } from '../log.ts';
import type { RedisAddress } from '../redis/address.ts';
import { connect } from '../redis/connect.ts';
import { keys } from '../redis/keys.ts';

const ADMITTED = 'admitted';
const URGENT = 'urgent';

/** A worker that stopped renewing loses its job after this; the lease on the migration decides who may act. */
const LOCK_MS = 10_000;
const STALLED_CHECK_MS = 5_000;
const MAX_STALLED = 1_000_000;
const URGENT_CONCURRENCY = 1_000;

const JOB: JobsOptions = { attempts: 1, removeOnComplete: true, removeOnFail: true };
const payloadSchema = z.object({ migrationId: z.string() });

export interface MigrationQueue {
  /** For migrations that were admitted. Safe to repeat. */
  start(ids: readonly string[]): Promise<void>;
  /** How many of those no worker has taken yet. */
  notStarted(): Promise<number>;
  /** For one that somebody has to look at now. `reason` tells one need from the next; the same one is not queued twice. */
  hurry(id: string, reason: string): Promise<void>;
  /** Begins to take jobs; each is handed to `handle`, which never rejects. */
  work(concurrency: number, handle: (migrationId: string) => Promise<void>): void;
  /** Takes no more jobs. Resolves when those under way are done. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

export function createQueue(address: RedisAddress, log: Logger): MigrationQueue {
  // Shared by all of them; each worker makes another one of its own to wait on.
  const connection = connect(address, log, 'queue connection');
  const options = { connection, prefix: keys.queuePrefix };
  const queues = { admitted: new Queue(ADMITTED, options), urgent: new Queue(URGENT, options) };
  const workers: Worker[] = [];
  // A job of a worker that died keeps its id until BullMQ notices; ours must not be mistaken for it.
  const boot = randomUUID().slice(0, 8);
  for (const queue of Object.values(queues)) {
    queue.on('error', (error) => log.warn({ err: error.message }, 'queue connection'));
  }

  const startWorker = (name: string, concurrency: number, handle: (migrationId: string) => Promise<void>) => {
    const worker = new Worker(name, async ({ data }) => await handle(payloadSchema.parse(data).migrationId), {
      ...options,
      concurrency,
      lockDuration: LOCK_MS,
      stalledInterval: STALLED_CHECK_MS,
      maxStalledCount: MAX_STALLED,
    });
    worker.on('error', (error) => log.warn({ err: error.message }, 'worker connection'));
    worker.on('failed', (job, error) => log.warn({ job: job?.id, err: error.message }, 'BullMQ failed a job'));
    workers.push(worker);
  };

  return {
    async start(ids) {
      await queues.admitted.addBulk(
        ids.map((migrationId) => ({ name: 'migrate', data: { migrationId }, opts: { ...JOB, jobId: migrationId } })),
      );
    },
    notStarted: () => queues.admitted.getWaitingCount(),
    async hurry(migrationId, reason) {
      await queues.urgent.add('migrate', { migrationId }, { ...JOB, jobId: `${migrationId}-${reason}-${boot}` });
    },
    work(concurrency, handle) {
      startWorker(ADMITTED, concurrency, handle);
      startWorker(URGENT, URGENT_CONCURRENCY, handle);
    },
    async drain() {
      await Promise.all(workers.map((worker) => worker.close()));
    },
    async close() {
      await Promise.all([
        ...workers.map((worker) => worker.close(true)),
        queues.admitted.close(),
        queues.urgent.close(),
      ]);
      connection.disconnect();
    },
  };
}
