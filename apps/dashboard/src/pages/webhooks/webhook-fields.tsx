/** Where a webhook's messages go, and what it is told of. */
import type { Webhook, WebhookInput } from '@lmas/client';
import { CheckField, TextField } from '../../parts/form-fields.tsx';
import { type Event, GROUPS, ungrouped } from './webhook-events.ts';

export type WebhookDraft = Required<Pick<WebhookInput, 'url' | 'description' | 'events'>>;

export const eventWords = (events: Webhook['events']): string => (events === null ? 'everything' : events.join(', '));

interface WebhookFieldsProps {
  readonly draft: WebhookDraft;
  readonly onChange: (draft: WebhookDraft) => void;
}

export function WebhookFields({ draft, onChange }: WebhookFieldsProps) {
  const { url, description, events } = draft;
  const all = events === null;
  const others = ungrouped(events ?? []);
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
        {others.length === 0 ? null : (
          <CheckField label={`Also ${others.join(', ')}`} value={true} onChange={() => toggle(others, false)} />
        )}
      </fieldset>
    </>
  );
}
