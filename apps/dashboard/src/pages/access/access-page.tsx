/** Who may do what: API keys and projects. */
import type { ApiKey, NewApiKey } from '@lmas/client';
import { useState } from 'preact/hooks';
import { nowMs } from '../../live/clock.ts';
import { useResource } from '../../live/resource.ts';
import { Badge } from '../../parts/badge.tsx';
import { Confirmation } from '../../parts/dialog.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { SecretShownOnce } from '../../parts/secret-shown-once.tsx';
import { Table } from '../../parts/table.tsx';
import { Time } from '../../parts/time.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client, may, session } from '../../session/session.ts';
import { NewKeyDialog } from './new-key-dialog.tsx';
import { Projects } from './projects.tsx';

export function AccessPage() {
  const keys = useResource((options) => client().listApiKeys(options), []);
  const projects = useResource((options) => client().listProjects(options), []);
  const [adding, add] = useState(false);
  const [made, setMade] = useState<NewApiKey | null>(null);
  return (
    <>
      <PageHeading title="API keys">
        <span class="aside">
          {may('admin') ? (
            <button type="button" class="primary" onClick={() => add(true)}>
              Make a key …
            </button>
          ) : null}
        </span>
      </PageHeading>
      {made === null ? null : <SecretShownOnce what={`API key of ${made.name}`} secret={made.key} />}
      <Loaded of={keys}>{(items) => <Keys keys={items} onChanged={keys.reload} onMade={setMade} />}</Loaded>
      <h2>Projects</h2>
      <Loaded of={projects}>{(items) => <Projects projects={items} onChanged={projects.reload} />}</Loaded>
      {adding ? (
        <NewKeyDialog
          projects={projects.data ?? []}
          onMade={setMade}
          onClose={() => {
            add(false);
            keys.reload();
          }}
        />
      ) : null}
    </>
  );
}

interface KeysProps {
  readonly keys: readonly ApiKey[];
  readonly onChanged: () => void;
  readonly onMade: (made: NewApiKey) => void;
}

function Keys({ keys, onChanged, onMade }: KeysProps) {
  const [question, ask] = useState<{ verb: 'rotate' | 'revoke'; key: ApiKey } | null>(null);
  return (
    <>
      <Table
        caption="API keys"
        rows={keys}
        keyOf={({ id }) => id}
        columns={[
          { title: 'Name', cell: ({ name }) => name, sortBy: ({ name }) => name },
          { title: 'Id', cell: ({ id }) => <code>{id}</code>, sortBy: ({ id }) => id },
          { title: 'Role', cell: (key) => <KeyRole apiKey={key} />, sortBy: ({ role }) => role },
          { title: 'Project', cell: ({ project }) => project ?? 'all', sortBy: ({ project }) => project },
          {
            title: 'Last used',
            cell: ({ lastUsedAt }) => <Time at={lastUsedAt} />,
            sortBy: ({ lastUsedAt }) => lastUsedAt,
          },
          {
            title: 'Expires',
            cell: ({ expiresAt }) => (expiresAt === null ? 'never' : <Time at={expiresAt} />),
            sortBy: ({ expiresAt }) => expiresAt,
          },
          { title: 'State', cell: (key) => <KeyState apiKey={key} /> },
          {
            title: 'Actions',
            isUntitled: true,
            cell: (key) =>
              key.revokedAt === null ? (
                <span class="actions">
                  <button type="button" onClick={() => ask({ verb: 'rotate', key })}>
                    Rotate<span class="unseen"> the key of {key.name}</span> …
                  </button>
                  <button type="button" class="danger" onClick={() => ask({ verb: 'revoke', key })}>
                    Revoke<span class="unseen"> the key of {key.name}</span> …
                  </button>
                </span>
              ) : null,
          },
        ]}
      />
      {question?.verb === 'rotate' ? <Rotate apiKey={question.key} onMade={onMade} onClose={() => ask(null)} /> : null}
      {question?.verb === 'revoke' ? (
        <Revoke
          apiKey={question.key}
          onClose={() => {
            ask(null);
            onChanged();
          }}
        />
      ) : null}
    </>
  );
}

function KeyRole({ apiKey: { role, operations } }: { apiKey: ApiKey }) {
  if (operations === null) return <>{role}</>;
  return (
    <>
      {role}
      <span class="hint">only: {operations.join(', ')}</span>
    </>
  );
}

function KeyState({ apiKey: { revokedAt, expiresAt, id } }: { apiKey: ApiKey }) {
  if (revokedAt !== null) return <Badge tone="bad">revoked</Badge>;
  if (expiresAt !== null && Date.parse(expiresAt) < nowMs()) return <Badge tone="warning">expired</Badge>;
  return session.value?.caller.id === id ? <Badge tone="busy">yours</Badge> : <Badge tone="good">valid</Badge>;
}

function Rotate({
  apiKey,
  onMade,
  onClose,
}: {
  apiKey: ApiKey;
  onMade: (made: NewApiKey) => void;
  onClose: () => void;
}) {
  const action = useAction(async () => onMade(await client().rotateApiKey(apiKey.id)));
  return (
    <Confirmation title={`A new key for ${apiKey.name} (${apiKey.id})?`} verb="Make a new key" {...{ action, onClose }}>
      <p>The old one is accepted for a day more.</p>
    </Confirmation>
  );
}

function Revoke({ apiKey, onClose }: { apiKey: ApiKey; onClose: () => void }) {
  const action = useAction(async () => await client().revokeApiKey(apiKey.id));
  return (
    <Confirmation
      title={`Revoke the key of ${apiKey.name} (${apiKey.id})?`}
      verb="Revoke"
      dangerous
      {...{ action, onClose }}
    >
      <p>Whoever uses it is refused from now on, open streams included.</p>
    </Confirmation>
  );
}
