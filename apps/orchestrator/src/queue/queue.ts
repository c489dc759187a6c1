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
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Logger } from '../log.ts';
import { keys } from '../redis/keys.ts';
import { inSendSpan, type Job } from '../tracing/queue-spans.ts';
import { complaints } from './complaints.ts';

const ADMITTED = 'admitted';
const URGENT = 'urgent';

/** A worker that stopped renewing loses its job after this; the lease on the migration decides who may act. */
const LOCK_MS = 10_000;
const STALLED_CHECK_MS = 5_000;
/** A wait for jobs that lasts a second longer than this makes BullMQ connect anew: so soon it finds a Redis that fell silent. */
const WAIT_S = 2;
const MAX_STALLED = 1_000_000;
const URGENT_CONCURRENCY = 1_000;

const JOB: JobsOptions = { attempts: 1, removeOnComplete: true, removeOnFail: true };
const payloadSchema = z.object({ migrationId: z.string(), sentIn: z.string().nullable().default(null) });

type JobHandler = (migrationId: string, job: Job) => Promise<void>;

export interface MigrationQueue {
  /** For migrations that were admitted. Safe to repeat; one may be admitted again before its last job is over. */
  start(ids: readonly string[]): Promise<void>;
  /** How many of those no worker has taken yet. */
  notStarted(): Promise<number>;
  /** How many processes take jobs now, as far as Redis knows. */
  workers(): Promise<number>;
  /** For one that somebody has to look at now. `reason` tells one need from the next; the same one is not queued twice. */
  hurry(id: string, reason: string): Promise<void>;
  /** Begins to take jobs; each is handed to `handle`, which never rejects. */
  work(concurrency: number, handle: JobHandler): void;
  /** Takes no more jobs. Resolves when those under way are done. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

/** @param connection the caller's; shared by all of them, and each worker makes another one of its own to wait on */
export function createQueue(connection: Redis, log: Logger): MigrationQueue {
  const options = { connection, prefix: keys.queuePrefix };
  const queues = { admitted: new Queue(ADMITTED, options), urgent: new Queue(URGENT, options) };
  const workers: Worker[] = [];
  // A job of a worker that died keeps its id until BullMQ notices; ours must not be mistaken for it.
  const boot = randomUUID().slice(0, 8);
  for (const queue of Object.values(queues)) {
    queue.on('error', complaints(log, 'queue connection'));
  }

  const startWorker = (name: string, concurrency: number, handle: JobHandler) => {
    const take = async ({ data, id = '' }: { data: unknown; id?: string }): Promise<void> => {
      const { migrationId, sentIn } = payloadSchema.parse(data);
      await handle(migrationId, { queue: name, id, sentIn });
    };
    const worker = new Worker(name, take, {
      ...options,
      concurrency,
      drainDelay: WAIT_S,
      lockDuration: LOCK_MS,
      stalledInterval: STALLED_CHECK_MS,
      maxStalledCount: MAX_STALLED,
    });
    worker.on('error', complaints(log, 'worker connection'));
    worker.on('failed', (job, error) => {
      const migration = payloadSchema.safeParse(job?.data).data?.migrationId;
      log.warn({ job: job?.id, migration, err: error.message }, 'BullMQ failed a job');
    });
    workers.push(worker);
  };

  return {
    async start(ids) {
      await inSendSpan(ADMITTED, { 'messaging.batch.message_count': ids.length }, (sentIn) =>
        queues.admitted.addBulk(
          ids.map((migrationId) => {
            const opts = { ...JOB, jobId: `${migrationId}-${randomUUID()}` };
            return { name: 'migrate', data: { migrationId, sentIn }, opts };
          }),
        ),
      );
    },
    notStarted: () => queues.admitted.getWaitingCount(),
    workers: () => queues.admitted.getWorkersCount(),
    async hurry(migrationId, reason) {
      const jobId = `${migrationId}-${reason}-${boot}`;
      const attributes = { 'messaging.message.id': jobId, 'lmas.migration.id': migrationId };
      await inSendSpan(URGENT, attributes, (sentIn) =>
        queues.urgent.add('migrate', { migrationId, sentIn }, { ...JOB, jobId }),
      );
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
    },
  };
}
