/** Waves as they are drawn: of a plan as it is written, of a run as it is now. Pure. */
import type { Plan, PlanRun } from '@lmas/client';
import { formatPeriod, plural } from '@lmas/format';
import type { Tone } from '../../parts/badge.tsx';

export interface DrawnWave {
  readonly name: string;
  /** One word each, with its tone: all that is in it. */
  readonly vms: readonly { readonly state: string; readonly tone: Tone }[];
  /** What is said of it below its name. */
  readonly words: string;
  readonly isNow: boolean;
  readonly afterwards: Plan['waves'][number]['afterwards'];
}

export function gateWords({ pauseMs, approval, approveWithinMs, checks }: DrawnWave['afterwards']): readonly string[] {
  return [
    pauseMs > 0 ? `pause ${formatPeriod(pauseMs)}` : '',
    approval ? (approveWithinMs == null ? 'approval' : `approval within ${formatPeriod(approveWithinMs)}`) : '',
    ...checks.map((check) =>
      check.kind === 'http' ? `check ${check.url}` : `check ${check.kind} ${check.host}:${check.port}`,
    ),
  ].filter((word) => word !== '');
}

type Item = PlanRun['items'][number];

export const ITEM_TONES: Readonly<Record<Item['state'], Tone>> = {
  waiting: 'plain',
  moving: 'busy',
  moved: 'good',
  checked: 'good',
  failed: 'bad',
  cancelled: 'warning',
  refused: 'bad',
  skipped: 'plain',
  left: 'plain',
  'moving-back': 'warning',
  'moved-back': 'warning',
  stuck: 'bad',
  copying: 'busy',
  copied: 'good',
  rehearsed: 'good',
};

/** The waves of a run, as they are now. */
export const wavesOfRun = ({ waves, items, definition }: PlanRun): readonly DrawnWave[] =>
  waves.flatMap(({ name, state }, at) => {
    const afterwards = definition.waves[at]?.afterwards;
    if (afterwards === undefined) return [];
    const mine = items.filter(({ wave }) => wave === at);
    return {
      name,
      vms: mine.map((item) => ({ state: item.state, tone: ITEM_TONES[item.state] })),
      words: mine.length === 0 ? 'no VM' : countWords(mine.map((item) => item.state)),
      isNow: state === 'moving' || state === 'between' || state === 'rolling-back',
      afterwards,
    };
  });

/** "2 moved, 1 failed", in the order in which they first come. */
export function countWords(states: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const state of states) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [...counts].map(([state, count]) => `${count} ${state}`).join(', ');
}

/** The waves of a plan as it is written: what it will find is not known yet. */
export const wavesOfPlan = ({ waves }: Pick<Plan, 'waves'>): readonly DrawnWave[] =>
  waves.map(({ name, vms, concurrency, afterwards }) => ({
    name,
    vms: vms.map(() => ({ state: 'waiting', tone: 'plain' })),
    words: `${vms.every(({ kind }) => kind === 'vm') ? plural(vms.length, 'VM') : plural(vms.length, 'group')}, ${concurrency} at once`,
    isNow: false,
    afterwards,
  }));
