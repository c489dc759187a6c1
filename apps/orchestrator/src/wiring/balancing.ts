/** Balancing over one connection or another: the API keeps policies and answers, the scheduler sees to their passes. */
import type { Redis } from 'ioredis';
import { createMoves } from '../balancing/moves.ts';
import { createObserver } from '../balancing/observe.ts';
import { createBalancingRunTable } from '../balancing/run-record.ts';
import { type BalancingRuns, createBalancingRuns } from '../balancing/runs.ts';
import { type BalancingService, createBalancingService } from '../balancing/service.ts';
import { createBalancingStore } from '../balancing/store.ts';
import type { Questions } from '../endpoints/questions.ts';
import type { MigrationChecker } from '../migrations/checks.ts';
import type { MigrationService } from '../migrations/service.ts';
import type { Metrics } from '../observability/metrics.ts';
import { keys } from '../redis/keys.ts';
import { schedulesNaming } from '../schedules/naming.ts';
import { createScheduleTable } from '../schedules/record.ts';
import type { Base } from './base.ts';
import type { Records } from './records.ts';

export interface Balancing {
  readonly policies: BalancingService;
  /** Passes that schedules order. */
  readonly runs: BalancingRuns;
}

export function createBalancingOver(
  { config, log, closers }: Base,
  redis: Redis,
  { inventory, links }: Records,
  parts: {
    migrations: MigrationService;
    checker: MigrationChecker;
    questions: Questions;
    metrics: Metrics;
  },
): Balancing {
  const { migrations, checker, questions, metrics } = parts;
  const { endpoints } = inventory;
  const store = createBalancingStore(redis);
  const observer = createObserver({ questions, endpoints, links, migrations });
  const policies = createBalancingService({
    ...{ store, endpoints, observer, log, leaseMs: config.runLeaseMs },
    moves: createMoves({ store, observer, migrations, checker, log }),
    schedulesNaming: (policy) => schedulesNaming(createScheduleTable(redis, log), { policy }, null, Date.now()),
    onPass: metrics.balancingPassTaken,
    onMove: metrics.balancingMoveAnswered,
  });
  closers.add('balancing', () => policies.stop());
  const runs = createBalancingRuns({
    ...{ table: createBalancingRunTable(redis, log), service: policies, store, migrations, log },
    announce: async () => void (await redis.publish(keys.feedChannel, '')),
    now: Date.now,
  });
  closers.add('scheduled balancing passes', () => runs.stop());
  return { policies, runs };
}
