/** The logins for gateway machines and endpoints. Secrets go in and never come out: what can be seen is what finds them again. */
import type { Credential, CredentialInput } from '@lmas/client';
import { useState } from 'preact/hooks';
import { useResource } from '../live/resource.ts';
import { Confirmation } from '../parts/dialog.tsx';
import { Empty } from '../parts/empty.tsx';
import { ChoiceField, NAME, TextArea, TextField } from '../parts/form-fields.tsx';
import { Loaded } from '../parts/loaded.tsx';
import { PageHeading } from '../parts/page-heading.tsx';
import { Removal } from '../parts/removal.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { useAction } from '../parts/use-action.ts';
import { client, may } from '../session/session.ts';

export function CredentialsPage() {
  const credentials = useResource((options) => client().listCredentials(options), []);
  const [isAdding, add] = useState(false);
  return (
    <>
      <PageHeading title="Credentials">
        {may('operator') ? (
          <span class="aside">
            <button type="button" class="primary" onClick={() => add(true)}>
              Add a credential …
            </button>
          </span>
        ) : null}
      </PageHeading>
      <Loaded of={credentials}>
        {(items) =>
          items.length === 0 ? (
            <Empty>
              <p>
                No credential yet. Sites and endpoints name one: the login of a gateway machine, of a libvirt host, of a
                vCenter or of a pool. It is sealed, and no answer ever shows its secret.
              </p>
            </Empty>
          ) : (
            <Credentials items={items} onRemoved={credentials.reload} />
          )
        }
      </Loaded>
      {isAdding ? (
        <NewCredential
          onClose={() => {
            add(false);
            credentials.reload();
          }}
        />
      ) : null}
    </>
  );
}

interface CredentialsProps {
  readonly items: readonly Credential[];
  readonly onRemoved: () => void;
}

function Credentials({ items, onRemoved }: CredentialsProps) {
  return (
    <Table
      caption="Credentials"
      rows={items}
      keyOf={({ id }) => id}
      columns={[
        { title: 'Credential', cell: ({ id }) => id, sortBy: ({ id }) => id },
        {
          title: 'Kind',
          cell: ({ kind }) => (kind === 'ssh-key' ? 'SSH key' : 'password'),
          sortBy: ({ kind }) => kind,
        },
        { title: 'User', cell: ({ username }) => username, sortBy: ({ username }) => username },
        {
          title: 'Public key',
          cell: ({ publicKey }) =>
            publicKey === null ? <span class="muted">–</span> : <code class="secret">{publicKey.fingerprint}</code>,
        },
        { title: 'Project', cell: ({ project }) => project ?? 'all', sortBy: ({ project }) => project },
        {
          title: 'Added',
          cell: ({ createdAt }) => <Time at={createdAt} />,
          sortBy: ({ createdAt }) => createdAt,
          isWideOnly: true,
        },
        ...(may('operator')
          ? [
              {
                title: 'Actions',
                isUntitled: true,
                cell: (credential: Credential) => (
                  <Removal
                    name={credential.id}
                    words="Its secret is gone then. It is refused while a site or an endpoint needs it."
                    remove={async () => await client().deleteCredential(credential.id)}
                    {...{ onRemoved }}
                  />
                ),
              },
            ]
          : []),
      ]}
    />
  );
}

function NewCredential({ onClose }: { onClose: () => void }) {
  const [id, setId] = useState('');
  const [kind, setKind] = useState<Credential['kind']>('ssh-key');
  const [username, setUsername] = useState('');
  const [secret, setSecret] = useState('');
  const [passphrase, setPassphrase] = useState('');
  const action = useAction(async () => {
    const input: CredentialInput =
      kind === 'password'
        ? { id, kind, username, password: secret }
        : { id, kind, username, privateKey: secret, ...(passphrase === '' ? {} : { passphrase }) };
    await client().createCredential(input);
  });
  return (
    <Confirmation title="A new credential" verb="Add" {...{ action, onClose }}>
      <TextField label="Name" pattern={NAME} placeholder="ops" value={id} onChange={setId} />
      <ChoiceField
        label="Kind"
        choices={[
          ['ssh-key', 'SSH key, for gateway machines and libvirt hosts'],
          ['password', 'user and password, for vCenters and pools'],
        ]}
        value={kind}
        onChange={(chosen) => {
          setKind(chosen);
          setSecret('');
        }}
      />
      <TextField label="User" placeholder="root" value={username} onChange={setUsername} />
      {kind === 'password' ? (
        <TextField label="Password" type="password" value={secret} onChange={setSecret} />
      ) : (
        <>
          <TextArea
            label="Private key"
            hint="In OpenSSH’s or PEM format."
            placeholder="-----BEGIN OPENSSH PRIVATE KEY-----"
            rows={5}
            value={secret}
            onChange={setSecret}
          />
          <TextField label="Passphrase" type="password" isOptional value={passphrase} onChange={setPassphrase} />
        </>
      )}
    </Confirmation>
  );
}
