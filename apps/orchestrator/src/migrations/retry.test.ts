/** Asking for the same again, with the store and the queue played. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProjectLimits } from '../access/projects.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import type { Phase } from './phases.ts';
import { newMigrationId, newRecord, type StoredMigration } from './record.ts';
import { createMigrationService } from './service.ts';
import type { MigrationStore } from './store.ts';

const request = migrationInputSchema.parse({
  ...{ vm: 'web', source: 'a', destination: 'b', transport: 'direct', bandwidthBytesPerSec: 5_000_000 },
  ...{ labels: { owner: 'ops' }, correlationId: 'task-7', options: { depth: 3 } },
});

/** What was asked of the former one while it ran. */
const asked = { bandwidthBytesPerSec: null, convergence: 'must-finish' as const };

const UNLIMITED = { maxMigrations: null, maxWaiting: null, maxPriority: null };

function serviceWith(phase: Phase, limits: ProjectLimits = UNLIMITED) {
  const former = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, [], { project: 'blue' });
  former.migration.phase = phase;
  const changes = new Map([[former.migration.id, asked]]);
  const stored = new Map<string, StoredMigration>([[former.migration.id, former]]);
  const store = {
    getMany: async (ids: readonly string[]) => ids.flatMap((id) => stored.get(id)?.migration ?? []),
    create: async (record: StoredMigration) => void stored.set(record.migration.id, record),
  } as unknown as MigrationStore;
  const service = createMigrationService(
    {} as never,
    store,
    { hurry: async () => undefined },
    {
      inventory: {
        endpoints: { get: async (id: string) => ({ id, plugin: 'p', site: `site-${id}`, cordonedAt: null }) },
      } as never,
      plugins: { get: () => ({ optionsSchema: { safeParse: () => ({ success: true }) } }) } as never,
      admission: { explain: async () => new Map() } as never,
      laneOf: async () => 'lane',
      changes: { getMany: async (ids: readonly string[]) => ids.map((id) => changes.get(id) ?? {}) } as never,
      giveUps: undefined as never,
      words: undefined as never,
      projects: { limitsOf: async () => limits },
      idempotencyMs: 1_000,
    },
  );
  return { service, id: former.migration.id };
}

test('the same request, the same project, and where it comes from', async () => {
  for (const phase of ['failed', 'cancelled'] as const) {
    const { service, id } = serviceWith(phase);
    const again = await service.retry(id, {});
    assert.notEqual(again.id, id);
    assert.deepEqual([again.retryOf, again.project, again.phase], [id, 'blue', 'queued']);
    assert.deepEqual((await service.get(id)).changes, asked);
    assert.deepEqual([again.request, again.changes], [request, {}], 'as it was sent: what was asked for since is over');
  }
});

test('a priority that its project may not ask for any more is lowered, and keeps nobody from trying again', async () => {
  const { service, id } = serviceWith('failed', { ...UNLIMITED, maxPriority: 20 });
  const again = await service.retry(id, {});
  assert.deepEqual(again.request, { ...request, priority: 20 });
});

test('what runs or has succeeded is not tried again', async () => {
  for (const phase of ['queued', 'performing', 'tearing-down', 'succeeded'] as const) {
    const { service, id } = serviceWith(phase);
    await assert.rejects(service.retry(id, {}), { code: 'NOTHING_TO_RETRY' });
  }
  await assert.rejects(serviceWith('failed').service.retry(newMigrationId(), {}), { code: 'MIGRATION_NOT_FOUND' });
});
