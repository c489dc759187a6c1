/**
 * The migrations that run now. Each phase is an index of its own at the orchestrator, so one short question each finds
 * them among any number that wait or have ended.
 */
import type { LmasClient, Migration, Phase } from '@lmas/client';

/** In the order in which a migration goes through them. */
export const RUNNING_PHASES = [
  'checking',
  'provisioning',
  'preparing',
  'connecting',
  'performing',
  'confirming',
  'kept',
  'tearing-down',
] as const satisfies readonly Phase[];

/** All of them, from the beginning to the ends. */
export const PHASES: readonly Phase[] = ['queued', ...RUNNING_PHASES, 'succeeded', 'failed', 'cancelled'];

const SHOWN_OF_EACH = 100;

/** Furthest first. */
export async function listMoving(client: LmasClient, options: { signal: AbortSignal }): Promise<Migration[]> {
  const pages = await Promise.all(
    RUNNING_PHASES.map((phase) => client.listMigrations({ phase, limit: SHOWN_OF_EACH }, options)),
  );
  // One that went on between two answers is in both.
  const found = new Map(pages.flatMap(({ items }) => items).map((migration) => [migration.id, migration]));
  return [...found.values()].reverse();
}
