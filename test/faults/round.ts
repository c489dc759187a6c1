/**
 * One round: a VM migrates to the other site while faults strike; then, with everything healed, the promises are asked
 * one by one. The VM goes on to the next round, wherever it is.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Migration } from '@lmas/client';
import type { SiteName } from '../lab/src/index.ts';
import { endpointId } from '../support/two-sites.ts';
import type { WatchedVm, World } from '../support/world.ts';
import { type PlannedFault, planFaults } from './faults.ts';
import type { Random } from './random.ts';

const SUBMIT_WITHIN_MS = 60_000;
/** A teardown that failed because a machine was away is tried again every half minute; a gateway's lease is a minute. */
const TEARDOWN_WITHIN_MS = 90_000;

export interface RoundReport {
  readonly faults: readonly string[];
  readonly phase: Migration['phase'];
  readonly where: Migration['where'];
  /** Where the VM was found, verified. */
  readonly foundAt: SiteName;
  readonly error: string | null;
  readonly durationMs: number;
}

/** @throws Error naming the faults of the round when a promise is broken */
export async function playRound(world: World, vm: WatchedVm, from: SiteName, random: Random): Promise<RoundReport> {
  const plan = planFaults(random);
  try {
    return await play(world, vm, from, plan);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`${message}\nfrom ${from.toUpperCase()}, with ${plan.map(describe).join('; ')}`, { cause });
  }
}

async function play(world: World, vm: WatchedVm, from: SiteName, plan: PlannedFault[]): Promise<RoundReport> {
  const startedAt = performance.now();
  const striking = Promise.all(plan.map((planned) => strikeLater(world, planned)));
  const to: SiteName = from === 'a' ? 'b' : 'a';
  const { id } = await submit(world, vm, from, to, `round-${startedAt}`);
  await striking;
  await vm.assertRunsSoon();
  const migration = await world.end(id);
  const foundAt = await vm.assertRunsSoon();
  await assertPromises(world, vm, migration, { from, foundAt });
  return {
    faults: plan.map(describe),
    phase: migration.phase,
    where: migration.where,
    foundAt,
    error: migration.error?.code ?? null,
    durationMs: performance.now() - startedAt,
  };
}

export function describe({ fault, afterMs, staysMs }: PlannedFault): string {
  return `${fault.name} at ${(afterMs / 1000).toFixed(1)} s for ${(staysMs / 1000).toFixed(1)} s`;
}

async function strikeLater(world: World, { fault, afterMs, staysMs }: PlannedFault): Promise<void> {
  await delay(afterMs);
  await fault.strike(world, staysMs);
}

/** The orchestrator may be down at any moment: the same request again, under the same key, starts nothing twice. */
async function submit(
  world: World,
  vm: WatchedVm,
  from: SiteName,
  to: SiteName,
  idempotencyKey: string,
): Promise<Migration> {
  const deadline = performance.now() + SUBMIT_WITHIN_MS;
  const input = { vm: vm.name, source: endpointId(from), destination: endpointId(to) };
  while (true) {
    try {
      return await world.client.createMigration(input, { idempotencyKey });
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await delay(250);
    }
  }
}

async function assertPromises(
  world: World,
  vm: WatchedVm,
  migration: Migration,
  { from, foundAt }: { from: SiteName; foundAt: SiteName },
): Promise<void> {
  const record = `${migration.phase}, ${migration.where}, ${JSON.stringify(migration.error)}`;
  const atHome = migration.vm.id === null ? 'unknown' : 'source'; // never looked for: nothing is claimed
  assert.equal(migration.where, foundAt === from ? atHome : 'destination', `the record lies: ${record}`);
  assert.equal(migration.phase === 'succeeded', foundAt !== from, `the outcome lies: ${record}`);
  if (migration.phase === 'failed') assert.ok(migration.error, 'a failure has a reason');
  await vm.assertLivesAt(foundAt);
  assert.deepEqual(await world.leftovers([vm], TEARDOWN_WITHIN_MS), [], 'something was left over');
}
