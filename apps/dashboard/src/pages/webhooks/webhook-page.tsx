/** One webhook: its state, what was sent, and sending it again. */
import { type NewWebhook, versionOf, type Webhook, type WebhookDelivery } from '@lmas/client';
import { formatDuration } from '@lmas/format';
import { useState } from 'preact/hooks';
import { useResource } from '../../live/resource.ts';
import { go, href } from '../../navigation.ts';
import { Badge, type Tone } from '../../parts/badge.tsx';
import { Confirmation } from '../../parts/dialog.tsx';
import { Fields } from '../../parts/fields.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { Paged, usePages } from '../../parts/paged.tsx';
import { Problem } from '../../parts/problem.tsx';
import { Removal } from '../../parts/removal.tsx';
import { SecretShownOnce } from '../../parts/secret-shown-once.tsx';
import { Time } from '../../parts/time.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client, may } from '../../session/session.ts';
import { eventWords, type WebhookDraft, WebhookFields } from './webhook-fields.tsx';
import { WebhookState } from './webhooks-page.tsx';

export function WebhookPage({ id }: { id: string }) {
  const webhook = useResource((options) => client().getWebhook(id, options), [id]);
  const deliveries = usePages(
    (page, options) => client().listWebhookDeliveries(id, { ...page, limit: 50 }, options),
    [id],
    { everyMs: 5_000 },
  );
  const [secret, setSecret] = useState<NewWebhook | null>(null);
  const reload = () => {
    webhook.reload();
    deliveries.of.reload();
  };
  return (
    <>
      <PageHeading title={id} within={['Webhooks', '/webhooks']} />
      {secret === null ? null : <SecretShownOnce what="Its new secret" secret={secret.secret} />}
      <Loaded of={webhook}>
        {(data) => (
          <div class="card">
            <Fields
              of={[
                ['URL', data.url],
                ['Description', data.description === '' ? null : data.description],
                ['Told of', eventWords(data.events)],
                ['State', <WebhookState webhook={data} />],
                ['Failing since', data.failingSince === null ? null : <Time at={data.failingSince} />],
                ['Secret of', <Time at={data.secretRotatedAt ?? data.createdAt} />],
              ]}
            />
            {may('operator') ? <Actions webhook={data} onChanged={reload} onSecret={setSecret} /> : null}
          </div>
        )}
      </Loaded>
      <h2>Sent in the last seven days</h2>
      <Paged pages={deliveries}>
        {({ items }) =>
          items.length === 0 ? (
            <p class="muted">Nothing.</p>
          ) : (
            <Deliveries id={id} deliveries={items} onChanged={deliveries.of.reload} />
          )
        }
      </Paged>
    </>
  );
}

interface ActionsProps {
  readonly webhook: Webhook;
  readonly onChanged: () => void;
  readonly onSecret: (secret: NewWebhook) => void;
}

function Actions({ webhook, onChanged, onSecret }: ActionsProps) {
  const { id, disabled } = webhook;
  const enabled = disabled === null;
  const [question, ask] = useState<'rotate' | 'change' | null>(null);
  const test = useAction(async () => {
    await client().testWebhook(id);
    onChanged();
  });
  const toggle = useAction(async () => {
    await client().updateWebhook(id, { enabled: !enabled });
    onChanged();
  });
  const rotate = useAction(async () => onSecret(await client().rotateWebhookSecret(id)));
  const close = () => ask(null);
  return (
    <div class="actions">
      <button type="button" disabled={test.busy} onClick={() => void test.run()}>
        Send a test
      </button>
      <button type="button" disabled={toggle.busy} onClick={() => void toggle.run()}>
        {enabled ? 'Switch off' : 'Switch on'}
      </button>
      <button type="button" onClick={() => ask('rotate')}>
        New secret …
      </button>
      <button type="button" onClick={() => ask('change')}>
        Change …
      </button>
      <Removal
        name={id}
        words="Nothing more is sent, what waits to be sent neither."
        remove={async () => await client().deleteWebhook(id)}
        onRemoved={() => go('/webhooks')}
      />
      <Problem error={test.error ?? toggle.error} />
      {question === 'rotate' ? (
        <Confirmation title={`A new secret for ${id}?`} verb="Make a new secret" action={rotate} onClose={close}>
          <p>For a day messages are signed with both, the old one and the new one.</p>
        </Confirmation>
      ) : null}
      {question === 'change' ? (
        <Change
          webhook={webhook}
          onClose={() => {
            close();
            onChanged();
          }}
        />
      ) : null}
    </div>
  );
}

function Change({ webhook, onClose }: { webhook: Webhook; onClose: () => void }) {
  const { id, url, description, events } = webhook;
  const [draft, setDraft] = useState<WebhookDraft>({ url, description, events });
  const [ifMatch] = useState(versionOf(webhook) ?? '*');
  const action = useAction(async () => await client().updateWebhook(id, draft, { ifMatch }));
  return (
    <Confirmation title={`Change ${id}`} verb="Change" {...{ action, onClose }}>
      <WebhookFields draft={draft} onChange={setDraft} />
    </Confirmation>
  );
}

const TONES: Readonly<Record<WebhookDelivery['status'], Tone>> = { pending: 'busy', delivered: 'good', failed: 'bad' };

interface DeliveriesProps {
  readonly id: string;
  readonly deliveries: readonly WebhookDelivery[];
  readonly onChanged: () => void;
}

function Deliveries({ id, deliveries, onChanged }: DeliveriesProps) {
  return (
    <ul class="bare">
      {deliveries.map(({ id: delivery, event, migration, createdAt, status, attempts, nextAttemptAt, payload }) => (
        <li key={delivery} class="card">
          <Badge tone={TONES[status]}>{status}</Badge> <strong>{event}</strong> <Time at={createdAt} />{' '}
          {migration === null ? null : <a href={href(`/migrations/${migration}`)}>migration</a>}
          {nextAttemptAt === null ? null : (
            <span class="muted">
              {' '}
              next attempt <Time at={nextAttemptAt} />
            </span>
          )}
          {may('operator') && status !== 'pending' ? <Redeliver {...{ id, delivery, onChanged }} /> : null}
          <details>
            <summary>Attempts and message</summary>
            <ol>
              {attempts.map(({ at, durationMs, status: code, message }) => (
                <li key={at}>
                  <Time at={at} />: {code ?? ''} {message ?? ''} after {formatDuration(durationMs)}
                </li>
              ))}
            </ol>
            <pre>{payload}</pre>
          </details>
        </li>
      ))}
    </ul>
  );
}

function Redeliver({ id, delivery, onChanged }: { id: string; delivery: string; onChanged: () => void }) {
  const again = useAction(async () => {
    await client().redeliverWebhook(id, delivery);
    onChanged();
  });
  return (
    <>
      {' '}
      <button type="button" disabled={again.busy} onClick={() => void again.run()}>
        Send again
      </button>
      <Problem error={again.error} />
    </>
  );
}
