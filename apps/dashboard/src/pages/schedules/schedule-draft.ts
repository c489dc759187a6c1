/** A schedule as the form has it, and the request that it makes. Pure. */
import type { Schedule, ScheduleInput } from '@lmas/client';
import type { Day } from '../../parts/days-field.tsx';

export interface ScheduleDraft {
  readonly id: string;
  readonly description: string;
  /** `other`: something that this form has no fields for; it stays as it is. */
  readonly does: 'migration' | 'plan' | 'balancing' | 'other';
  readonly source: string;
  readonly vm: string;
  readonly destination: string;
  readonly plan: string;
  readonly policy: string;
  readonly mode: 'validate' | 'failover' | 'drill' | 'disaster';
  readonly when: 'cron' | 'once';
  readonly expression: string;
  /** As `datetime-local` has it: a time on the clock of the time zone. */
  readonly at: string;
  readonly timeZone: string;
  /** None: at any time. */
  readonly windowDays: readonly Day[];
  readonly windowFrom: string;
  readonly windowTo: string;
  readonly missed: Schedule['missed'];
  readonly overlap: Schedule['overlap'];
}

export const emptySchedule: ScheduleDraft = {
  id: '',
  description: '',
  does: 'plan',
  source: '',
  vm: '',
  destination: '',
  plan: '',
  policy: '',
  mode: 'failover',
  when: 'cron',
  expression: '0 23 * * fri',
  at: '',
  timeZone: 'UTC',
  windowDays: [],
  windowFrom: '22:00',
  windowTo: '06:00',
  missed: 'skip',
  overlap: 'skip',
};

/**
 * @param before the schedule that is changed: what the form does not show (more windows than one, blackouts, the details of a
 * migration whose VM and ends stay) is kept
 */
export function requestOf(draft: ScheduleDraft, before?: Schedule): ScheduleInput | null {
  const action = actionOf(draft, before);
  const trigger = triggerOf(draft);
  if (draft.id === '' || action === null || trigger === null) return null;
  const { id, description, timeZone, missed, overlap } = draft;
  const kept = before === undefined || before.windows.length <= 1 ? [] : before.windows.slice(1);
  const windows = [...windowsOf(draft, before), ...kept];
  return { id, description, action, trigger, timeZone, windows, blackouts: before?.blackouts ?? [], missed, overlap };
}

function actionOf(draft: ScheduleDraft, before: Schedule | undefined): ScheduleInput['action'] | null {
  const { does, source, vm, destination, plan, policy, mode } = draft;
  if (does === 'other') return before?.action ?? null;
  if (does === 'plan') return plan === '' ? null : { kind: 'plan', plan, mode };
  if (does === 'balancing') return policy === '' ? null : { kind: 'balancing', policy };
  if (source === '' || vm === '' || destination === '') return null;
  const kept = before?.action.kind === 'migration' ? before.action.migration : {};
  return { kind: 'migration', migration: { ...kept, vm, source, destination } };
}

function triggerOf({ when, expression, at }: ScheduleDraft): ScheduleInput['trigger'] | null {
  if (when === 'cron') return expression.trim() === '' ? null : { kind: 'cron', expression: expression.trim() };
  if (at === '') return null;
  // The browser leaves out seconds that are 0, and an instant with an offset stays one.
  return { kind: 'once', at: /T\d\d:\d\d$/.test(at) ? `${at}:00` : at };
}

function windowsOf(draft: ScheduleDraft, before: Schedule | undefined): NonNullable<ScheduleInput['windows']> {
  const [first] = before?.windows ?? [];
  if (first?.kind === 'dates') return [first];
  const { windowDays, windowFrom: from, windowTo: to } = draft;
  return windowDays.length === 0 ? [] : [{ kind: 'weekly', days: [...windowDays], from, to }];
}

export function draftOf(schedule: Schedule): ScheduleDraft {
  const { id, description, action, trigger, timeZone, missed, overlap } = schedule;
  const [window] = schedule.windows;
  return {
    ...emptySchedule,
    ...{ id, description, timeZone, missed, overlap, does: 'other' },
    ...(action.kind === 'plan' ? { does: 'plan', plan: action.plan, mode: action.mode } : {}),
    ...(action.kind === 'balancing' ? { does: 'balancing', policy: action.policy } : {}),
    ...(action.kind === 'migration' ? { does: 'migration', ...pick(action.migration) } : {}),
    ...(trigger.kind === 'cron' ? { when: 'cron', expression: trigger.expression } : { when: 'once', at: trigger.at }),
    ...(window?.kind === 'weekly'
      ? { windowDays: window.days ?? [], windowFrom: window.from, windowTo: window.to }
      : {}),
  };
}

const pick = ({ vm, source, destination }: { vm: string; source: string; destination: string }) => ({
  vm,
  source,
  destination,
});
