/** Migrations as they are asked for, over one connection or another, and the check that asks first. */
import type { Redis } from 'ioredis';
import type { Questions } from '../endpoints/questions.ts';
import { createMigrationChecker, type MigrationChecker } from '../migrations/checks.ts';
import { createMigrationService, type MigrationService } from '../migrations/service.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import type { MigrationQueue } from '../queue/queue.ts';
import type { Base } from './base.ts';
import type { Records } from './records.ts';

export function createMigrationsOver(
  { config, log }: Base,
  redis: Redis,
  records: Records,
  { queue, plugins, questions }: { queue: MigrationQueue; plugins: PluginRegistry; questions: Questions },
): { migrations: MigrationService; checker: MigrationChecker } {
  const { store, inventory, admission, laneOf, changes, giveUps, words, projects, links } = records;
  const migrations = createMigrationService(redis, store, queue, {
    ...{ inventory, plugins, admission, laneOf, changes, giveUps, words, projects },
    idempotencyMs: config.idempotencyMs,
  });
  const { endpoints, sites } = inventory;
  const checker = createMigrationChecker({ service: migrations, questions, endpoints, sites, links, log });
  return { migrations, checker };
}
