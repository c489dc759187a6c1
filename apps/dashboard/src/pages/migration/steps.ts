/** The phases of one migration as steps: done, under way, ahead, or never reached. Pure. */
import { hasEnded, type Migration, type Phase } from '@lmas/client';
import { RUNNING_PHASES } from '../../live/moving.ts';

const STRAIGHT_SKIPS: ReadonlySet<Phase> = new Set(['provisioning', 'connecting']);

export interface Step {
  readonly phase: Phase;
  readonly state: 'done' | 'now' | 'ahead' | 'skipped';
  readonly tookMs: number | null;
}

/** A phase that was entered again (after a failed attempt) counts with all its time. */
export function stepsOf(
  migration: Pick<Migration, 'timeline' | 'phase' | 'endedAt' | 'request'>,
  nowMs: number,
): Step[] {
  const { timeline, phase, endedAt, request } = migration;
  const spent = new Map<Phase, number>();
  for (const [i, entry] of timeline.entries()) {
    const next = timeline[i + 1]?.startedAt ?? endedAt;
    const until = next === null ? nowMs : Date.parse(next);
    spent.set(entry.phase, (spent.get(entry.phase) ?? 0) + Math.max(0, until - Date.parse(entry.startedAt)));
  }
  const phases: Phase[] = ['queued', ...RUNNING_PHASES, hasEnded({ phase }) ? phase : 'succeeded'];
  return phases
    .filter((one) => one !== 'kept' || request.drill != null)
    .filter((one) => request.transport === 'tunnel' || !STRAIGHT_SKIPS.has(one))
    .map((one) => ({ phase: one, state: stateOf(one, phase, spent), tookMs: spent.get(one) ?? null }));
}

function stateOf(step: Phase, current: Phase, spent: ReadonlyMap<Phase, number>): Step['state'] {
  if (step === current) return hasEnded({ phase: step }) ? 'done' : 'now';
  if (spent.has(step)) return 'done';
  return hasEnded({ phase: current }) || current === 'tearing-down' ? 'skipped' : 'ahead';
}
