/**
 * VMs whose turn has come while as many migrations of their project wait as it may have waiting: nothing of them is lost, they are ordered
 * once there is room. Until then each bears a finding, and the run says so. Pure.
 */
import { inShort } from '../in-short.ts';
import type { PlanItem, PlanRun, RunEntry } from './record.ts';

type Finding = PlanItem['findings'][number];

export const QUEUE_FULL = 'PROJECT_QUEUE_FULL';
const isQueueFull = ({ code }: Finding): boolean => code === QUEUE_FULL;
const isHeld = ({ findings }: Pick<PlanItem, 'findings'>): boolean => findings.some(isQueueFull);

export interface Held {
  readonly error: NonNullable<PlanItem['error']>;
  /** Of the items that could not be ordered. */
  readonly keys: ReadonlySet<string>;
}

/** @param held `undefined`: everything that the run has ordered is there, or nothing is ordered now */
export function withHeld(
  run: PlanRun,
  held: Held | undefined,
): { readonly run: PlanRun; readonly entries: readonly Omit<RunEntry, 'at'>[] } {
  const items = run.items.map((item): PlanItem => {
    const holds = held?.keys.has(item.key) === true;
    if (holds === isHeld(item)) return item;
    const others = item.findings.filter((finding) => !isQueueFull(finding));
    return { ...item, findings: holds ? [...others, findingOf(held.error)] : others };
  });
  const isNew = held !== undefined && !run.items.some(isHeld);
  return {
    run: { ...run, items },
    entries: isNew
      ? [{ message: `It waits with the next VMs: ${held.error.message}`, vm: null, code: QUEUE_FULL }]
      : [],
  };
}

const findingOf = ({ message, remedy }: Held['error']): Finding => ({
  severity: 'warning',
  code: QUEUE_FULL,
  message,
  remedy: remedy ?? '',
});

/** In a sentence of the run; empty: none is held. */
export function heldInWords(items: readonly Pick<PlanItem, 'vm' | 'findings'>[]): string {
  const held = items.filter(isHeld);
  const message = held[0]?.findings.find(isQueueFull)?.message;
  return message === undefined ? '' : `${inShort(held.map(({ vm }) => vm.name))}: not ordered yet. ${message}`;
}
