/** What runs migrations, and what gives it something to run. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunConnector } from '../endpoints/connector.ts';
import type { GatewayProvisioner } from '../gateways/gateway.ts';
import { createBandwidthKeeper } from '../links/bandwidth-keeper.ts';
import type { Metrics } from '../observability/metrics.ts';
import { type Dispatcher, startDispatcher } from '../queue/dispatcher.ts';
import { createQueue, type MigrationQueue } from '../queue/queue.ts';
import { createRunner, type Runner } from '../queue/runner.ts';
import type { Tools } from '../workflow/tools.ts';
import type { Base } from './base.ts';
import type { Connections } from './connections.ts';
import type { Records } from './records.ts';

/** Between the point of no return and the outcome a guest may stand still: that is seconds, when both ends answer. */
const HAND_OVER_MS = 60_000;

export interface Work {
  readonly queue: MigrationQueue;
  readonly runner: Runner;
}

/** Its parts, which are in every process; `startWorker` has them take migrations up. */
export async function createWork(
  { config, log, closers }: Base,
  redis: Connections,
  { inventory, store, traffic, changes, giveUps, words, holders, links }: Records,
  parts: { instance: string; connector: RunConnector; gateways: GatewayProvisioner; metrics: Metrics },
): Promise<Work> {
  const { instance, connector, gateways, metrics } = parts;
  const queue = createQueue(redis.open('queue connection'), log);
  closers.add('queue', () => queue.close());
  const bandwidth = createBandwidthKeeper(redis.subscriber, traffic.bandwidth, log);
  const { sites } = inventory;
  const asked = { changes, giveUps, words };
  const tools: Tools = { connector, sites, gateways, bandwidth, ...asked, holders, links, settings: config };
  const options = { instance, leaseMs: config.runLeaseMs, log, tap: log.tap, onChange: metrics.migrationChanged };
  const runner = await createRunner(redis.subscriber, store, tools, options);
  return { queue, runner };
}

export async function startWorker(
  { config, log, closers, stopping }: Base,
  { subscriber }: Connections,
  { admission }: Records,
  { queue, runner }: Work,
): Promise<Dispatcher> {
  const { concurrency, shutdownGraceMs } = config;
  closers.add(
    'running migrations',
    async () => {
      const drained = queue.drain();
      await Promise.race([drained, sleep(shutdownGraceMs, undefined, { ref: false })]);
      await runner.abandonAll({ handOverMs: HAND_OVER_MS });
      await drained;
    },
    { graceMs: shutdownGraceMs + HAND_OVER_MS },
  );
  // What waits then is for others, or for the next start: in its order, and not behind a job that nobody takes.
  const room = () => (stopping.aborted ? 0 : concurrency - runner.activeCount());
  const dispatcher = await startDispatcher(subscriber, admission, queue, { room, log });
  queue.work(concurrency, async (id, job) => {
    const isTaken = await runner.run(id, job);
    if (!isTaken)
      await queue.hurry(id, 'left').catch((err: unknown) => log.warn({ err }, 'a job could not be left to others'));
    void dispatcher.look(); // there is room now
  });
  return dispatcher;
}
