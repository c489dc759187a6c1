/**
 * What is stored of a pass that was ordered, and when it has come to its end. Pure but for the table, which owns no connection.
 */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { z } from 'zod';
import type { Logger } from '../log.ts';
import { isOutcome } from '../migrations/phases.ts';
import type { Migration } from '../migrations/record.ts';
import { type VersionedTable, versionedTable } from '../redis/versioned-table.ts';
import { balancingRunSchema } from '../schemas/balancing.ts';
import type { BalancingMove } from './types.ts';

export type BalancingRun = z.infer<typeof balancingRunSchema>;

export const createBalancingRunTable = (redis: Redis, log?: Logger): VersionedTable<BalancingRun> =>
  versionedTable(redis, { name: 'balancing-run', schema: balancingRunSchema, maxLog: 1, log });

/** The same for the same purpose, however often it is ordered. */
export function runIdFor(purpose: string): string {
  const hex = createHash('sha256').update(`balancing: ${purpose}`).digest('hex');
  return `b_${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`;
}

export const newRun = (id: string, policy: string, createdAt: string): BalancingRun => ({
  ...{ id, policy, phase: 'waiting', pass: null, moves: [], cancelRequestedAt: null },
  ...{ createdAt, endedAt: null, message: 'Its pass is to be made.', code: null },
});

export const isOver = ({ phase }: Pick<BalancingRun, 'phase'>): boolean => phase !== 'waiting' && phase !== 'moving';

/** A move with what its migration has come to; null: there is none, or nothing is kept of it. */
export interface MoveStand {
  readonly move: Pick<BalancingMove, 'vm' | 'state' | 'outcome'>;
  readonly migration: Pick<Migration, 'phase' | 'error'> | null;
}

/** How a run has ended whose moves stand so; `undefined` while one of them goes on. Proposals are not waited for. */
export function endOf(
  { message, cancelRequestedAt }: Pick<BalancingRun, 'message' | 'cancelRequestedAt'>,
  stands: readonly MoveStand[],
): Pick<BalancingRun, 'phase' | 'message' | 'code'> | undefined {
  if (stands.some(goesOn)) return undefined;
  const submitted = stands.filter(({ move }) => move.state === 'submitted' || move.state === 'ended');
  const lost = submitted.filter(({ migration }) => migration?.phase !== 'succeeded');
  const failed = lost.filter(({ migration }) => migration?.phase !== 'cancelled');
  const refused = stands.filter(({ move }) => move.state === 'refused' || move.state === 'withdrawn');
  const words = [
    message,
    ...(submitted.length === 0 ? [] : [`${submitted.length - lost.length} of ${submitted.length} begun arrived.`]),
    ...lost.map(({ move, migration }) => `${move.vm.name}: ${whyNot(migration)}`),
    ...refused.map(({ move }) => `${move.vm.name} was not moved: ${move.outcome}`),
  ];
  const isCancelled = cancelRequestedAt !== null || lost.length > failed.length;
  const phase = failed.length > 0 ? 'failed' : isCancelled ? 'cancelled' : 'succeeded';
  return { phase, message: words.join(' '), code: failed[0]?.migration?.error?.code ?? null };
}

function goesOn({ move: { state }, migration }: MoveStand): boolean {
  if (state === 'decided' || state === 'submitting') return true;
  return state === 'submitted' && migration !== null && !isOutcome(migration.phase);
}

function whyNot(migration: MoveStand['migration']): string {
  if (migration === null) return 'nothing is kept of its migration.';
  return migration.error?.message ?? `its migration was ${migration.phase}.`;
}
