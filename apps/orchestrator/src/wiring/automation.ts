/** Schedules, plans and timetables over one connection or another: the API keeps them, the scheduler carries them out. */
import type { Redis } from 'ioredis';
import { fullName } from '../access/owned-names.ts';
import type { Projects } from '../access/projects.ts';
import { type Scope, scopeOf } from '../access/scope.ts';
import type { Questions } from '../endpoints/questions.ts';
import { createTimetables } from '../links/timetables.ts';
import type { EventHub } from '../migrations/events.ts';
import type { Metrics } from '../observability/metrics.ts';
import { CHECK_REFUSAL } from '../plans/checks.ts';
import { createPlanDriver } from '../plans/driver.ts';
import { createHold } from '../plans/hold.ts';
import { createPlanTable, createRunTable } from '../plans/record.ts';
import { createPlanRunService } from '../plans/runs.ts';
import { createPlanService } from '../plans/service.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import { startAttention } from '../queue/attention.ts';
import type { MigrationQueue } from '../queue/queue.ts';
import { createWakeQueue, type WakeQueue } from '../queue/wake-queue.ts';
import { keys } from '../redis/keys.ts';
import { balancingAction, migrationAction, planAction } from '../schedules/actions.ts';
import { announcer, createScheduleKeeper } from '../schedules/keeper.ts';
import { schedulesNaming } from '../schedules/naming.ts';
import { createScheduleTable } from '../schedules/record.ts';
import { createScheduleService } from '../schedules/service.ts';
import { createAddressGuard } from '../webhooks/address-guard.ts';
import type { Balancing } from './balancing.ts';
import type { Base } from './base.ts';
import type { Connections } from './connections.ts';
import { createMigrationsOver } from './migrations.ts';
import type { Records } from './records.ts';

/** Schedules and runs of plans are looked at every so many rounds of the recovery, besides being woken. */
const ATTENTION_ROUNDS = 5;

export type SeenBy = (caller: { project: string | null }) => Scope;

export interface ScopeParts {
  readonly queue: MigrationQueue;
  readonly plugins: PluginRegistry;
  readonly questions: Questions;
  readonly events: EventHub;
  readonly projects: Projects;
}

/** What each caller sees over a connection, and what can be asked for there. */
export function createScopes(
  base: Base,
  redis: Redis,
  records: Records,
  { queue, plugins, questions, events, projects }: ScopeParts,
): SeenBy {
  const { inventory } = records;
  const { migrations, checker } = createMigrationsOver(base, redis, records, { queue, plugins, questions });
  return (caller) => scopeOf(caller, { migrations, events, checker, inventory, questions, projects });
}

/** @param wakes over a connection of the same kind */
export function createAutomation(
  { config, log }: Base,
  redis: Redis,
  { traffic, inventory }: Records,
  { seenBy, wakes, balancing }: { seenBy: SeenBy; wakes: WakeQueue; balancing: Balancing },
) {
  const guard = createAddressGuard(config.planCheckAllow, undefined, CHECK_REFUSAL);
  const complaintTools = (project: string | null) => ({ scope: seenBy({ project }), guard });
  const scheduleTable = createScheduleTable(redis, log);
  const plans = createPlanService({
    ...{ table: createPlanTable(redis, log), complaintTools, now: Date.now },
    schedulesNaming: (plan, project) => schedulesNaming(scheduleTable, { plan }, project, Date.now()),
  });
  const planRunTable = createRunTable(redis, log);
  const planRuns = createPlanRunService({
    ...{ table: planRunTable, plans, complaintTools, now: Date.now },
    migrationsOf: (project) => seenBy({ project }).migrations,
    cordon: (id) => inventory.endpoints.setCordon(id, true),
    announce: async () => void (await redis.publish(keys.feedChannel, '')),
  });
  const scheduleParts = {
    table: scheduleTable,
    actions: {
      migration: migrationAction(seenBy),
      plan: planAction(plans, planRuns),
      balancing: balancingAction(balancing.policies, balancing.runs),
    },
    now: Date.now,
  };
  const schedules = createScheduleService({ ...scheduleParts, announce: announcer(redis, wakes) });
  const timetables = createTimetables(redis, traffic.bandwidth, { now: Date.now, log });
  return { plans, planRuns, planRunTable, schedules, scheduleParts, timetables, guard };
}

/** Keeps schedules and timetables, and drives runs of plans and scheduled passes. Any number of processes may do it at once. */
export async function startAutomation(
  base: Base,
  redis: Connections,
  records: Records,
  { metrics, balancing, ...parts }: ScopeParts & { metrics: Metrics; balancing: Balancing },
): Promise<void> {
  const { config, log, closers } = base;
  const wakes = createWakeQueue(redis.open('wake-up queue connection'), log);
  closers.add('wake-up queue', () => wakes.close());
  const seenBy = createScopes(base, redis.work, records, parts);
  const automation = createAutomation(base, redis.work, records, { seenBy, wakes, balancing });
  const { planRuns, planRunTable, scheduleParts, timetables, guard } = automation;
  const keeper = createScheduleKeeper({ ...scheduleParts, wakes, onEvent: metrics.scheduleActed, log });
  const { credentials } = records.inventory;
  const driver = createPlanDriver({
    ...{ table: planRunTable, seenBy, formerRun: planRuns.formerRun, now: Date.now, onEnd: metrics.planRunEnded, log },
    checkTools: (project) => ({ guard, credentials: { reveal: (id) => credentials.reveal(fullName(project, id)) } }),
    hold: createHold(redis.work, { keyOf: keys.planRunHold, holdMs: config.runLeaseMs }),
  });
  closers.add('runs of plans', () => driver.stop());
  const intervalMs = config.recoveryIntervalMs * ATTENTION_ROUNDS;
  const lookers = [keeper.lookAtDue, driver.lookAtDue, balancing.runs.lookAtDue, timetables.apply];
  const attention = await startAttention(lookers, { subscriber: redis.subscriber, intervalMs });
  closers.add('schedules', () => attention.stop());
  wakes.work(keeper.look);
}
