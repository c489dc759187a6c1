/** Where a webhook's messages go, and what it is told of. */
import type { Webhook, WebhookInput } from '@lmas/client';
import { CheckField, TextField } from '../../parts/form-fields.tsx';

export type WebhookDraft = Required<Pick<WebhookInput, 'url' | 'description' | 'events'>>;
type Event = NonNullable<Webhook['events']>[number];

/** What people mostly want to hear; everything else is everything. */
const GROUPS: readonly (readonly [words: string, events: readonly Event[]])[] = [
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
];

export const eventWords = (events: Webhook['events']): string => (events === null ? 'everything' : events.join(', '));

interface WebhookFieldsProps {
  readonly draft: WebhookDraft;
  readonly onChange: (draft: WebhookDraft) => void;
}

export function WebhookFields({ draft, onChange }: WebhookFieldsProps) {
  const { url, description, events } = draft;
  const all = events === null;
  const toggle = (group: readonly Event[], isOn: boolean) => {
    const others = (events ?? []).filter((event) => !group.includes(event));
    onChange({ ...draft, events: isOn ? [...others, ...group] : others });
  };
  return (
    <>
      <TextField
        label="URL"
        type="url"
        placeholder="https://portal.example.org/hooks/lmas"
        value={url}
        onChange={(changed) => onChange({ ...draft, url: changed.trim() })}
      />
      <TextField
        label="Description"
        isOptional
        value={description}
        onChange={(changed) => onChange({ ...draft, description: changed })}
      />
      <fieldset>
        <legend>It is told of</legend>
        <CheckField
          label="Everything"
          value={all}
          onChange={(isOn) => onChange({ ...draft, events: isOn ? null : [...(GROUPS[0]?.[1] ?? [])] })}
        />
        {all
          ? null
          : GROUPS.map(([words, group]) => (
              <CheckField
                key={words}
                label={words}
                value={group.every((event) => events.includes(event))}
                onChange={(isOn) => toggle(group, isOn)}
              />
            ))}
      </fieldset>
    </>
  );
}
