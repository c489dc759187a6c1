/** What a webhook can be told of, in the groups in which a form asks for it. Pure. */
import type { Webhook } from '@lmas/client';

export type Event = NonNullable<Webhook['events']>[number];

/** What people mostly want to hear: all but the phases that a migration goes through. */
export const GROUPS: readonly (readonly [words: string, events: readonly Event[]])[] = [
  ['Migrations that end', ['migration.succeeded', 'migration.failed', 'migration.cancelled']],
  ['Migrations that are queued, and asked to be cancelled', ['migration.queued', 'migration.cancel-requested']],
  [
    'Schedules',
    [
      ...(['schedule.started', 'schedule.waits', 'schedule.skipped', 'schedule.refused'] as const),
      ...(['schedule.succeeded', 'schedule.failed', 'schedule.cancelled'] as const),
    ],
  ],
  [
    'Runs of plans',
    [
      ...(['plan-run.started', 'plan-run.waits', 'plan-run.paused', 'plan-run.resumed', 'plan-run.wave-done'] as const),
      ...(['plan-run.succeeded', 'plan-run.failed', 'plan-run.cancelled'] as const),
    ],
  ],
  [
    'Balancing',
    [
      ...(['balancing.pass-done', 'balancing.proposed', 'balancing.approved', 'balancing.rejected'] as const),
      ...(['balancing.refused', 'balancing.expired', 'balancing.withdrawn'] as const),
    ],
  ],
];

/** Those that are chosen, by the command line say, while their group as a whole is not. */
export const ungrouped = (events: readonly Event[]): Event[] => {
  const grouped = new Set(GROUPS.flatMap(([, group]) => (group.every((one) => events.includes(one)) ? group : [])));
  return events.filter((event) => !grouped.has(event));
};
