/** Who is told of what happens: the list, and a form for another one. */
import type { NewWebhook, Webhook } from '@lmas/client';
import { useState } from 'preact/hooks';
import { useResource } from '../../live/resource.ts';
import { href } from '../../navigation.ts';
import { Badge } from '../../parts/badge.tsx';
import { Confirmation } from '../../parts/dialog.tsx';
import { Empty } from '../../parts/empty.tsx';
import { NAME, TextField } from '../../parts/form-fields.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { SecretShownOnce } from '../../parts/secret-shown-once.tsx';
import { Table } from '../../parts/table.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client, may } from '../../session/session.ts';
import { eventWords, type WebhookDraft, WebhookFields } from './webhook-fields.tsx';

export function WebhooksPage() {
  const webhooks = useResource((options) => client().listWebhooks(options), []);
  const [adding, add] = useState(false);
  const [made, setMade] = useState<NewWebhook | null>(null);
  return (
    <>
      <PageHeading title="Webhooks">
        {may('operator') ? (
          <span class="aside">
            <button type="button" class="primary" onClick={() => add(true)}>
              Add a webhook …
            </button>
          </span>
        ) : null}
      </PageHeading>
      {made === null ? null : (
        <SecretShownOnce what={`Secret of ${made.id}, for the signatures`} secret={made.secret} />
      )}
      <Loaded of={webhooks}>
        {(items) =>
          items.length === 0 ? (
            <Empty>
              <p>
                Nobody is told of anything yet. A webhook is told, by a signed message, of what migrations, schedules
                and runs of plans do.
              </p>
            </Empty>
          ) : (
            <Webhooks webhooks={items} />
          )
        }
      </Loaded>
      {adding ? (
        <NewWebhookDialog
          onMade={setMade}
          onClose={() => {
            add(false);
            webhooks.reload();
          }}
        />
      ) : null}
    </>
  );
}

function Webhooks({ webhooks }: { webhooks: readonly Webhook[] }) {
  return (
    <Table
      caption="Webhooks"
      rows={webhooks}
      keyOf={({ id }) => id}
      columns={[
        { title: 'Webhook', cell: ({ id }) => <a href={href(`/webhooks/${id}`)}>{id}</a>, sortBy: ({ id }) => id },
        { title: 'URL', cell: ({ url }) => <span class="long">{url}</span>, sortBy: ({ url }) => url },
        { title: 'Told of', cell: ({ events }) => eventWords(events) },
        { title: 'State', cell: (webhook) => <WebhookState webhook={webhook} /> },
      ]}
    />
  );
}

export function WebhookState({ webhook: { disabled, failingSince } }: { webhook: Webhook }) {
  if (disabled !== null) {
    return (
      <span title={disabled.reason}>
        <Badge tone="bad">off</Badge> {disabled.reason}
      </span>
    );
  }
  return failingSince === null ? <Badge tone="good">works</Badge> : <Badge tone="warning">nothing gets through</Badge>;
}

function NewWebhookDialog({ onMade, onClose }: { onMade: (made: NewWebhook) => void; onClose: () => void }) {
  const [id, setId] = useState('');
  const [draft, setDraft] = useState<WebhookDraft>({ url: '', description: '', events: null });
  const action = useAction(async () => onMade(await client().createWebhook({ id: id.trim(), ...draft })));
  return (
    <Confirmation title="A new webhook" verb="Add" {...{ action, onClose }}>
      <TextField label="Name" pattern={NAME} placeholder="portal" value={id} onChange={setId} />
      <WebhookFields draft={draft} onChange={setDraft} />
      <p class="hint">Messages are signed as Standard Webhooks says; the secret is shown once it is made.</p>
    </Confirmation>
  );
}
