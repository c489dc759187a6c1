/**
 * The SSH host keys that are accepted of a machine. What it shows now can be asked for, and is pinned only once a person has
 * compared it with what the machine itself says: over the network it may be somebody else's.
 */
import type { HostKeyScan } from '@lmas/client';
import { useState } from 'preact/hooks';
import { client, mayForAll } from '../session/session.ts';
import { TextArea } from './form-fields.tsx';
import { Problem } from './problem.tsx';
import { useAction } from './use-action.ts';

interface HostKeysFieldProps {
  readonly host: string;
  readonly port: number;
  /** One fingerprint a line. */
  readonly value: string;
  readonly onChange: (value: string) => void;
}

export function HostKeysField({ host, port, value, onChange }: HostKeysFieldProps) {
  const [shown, setShown] = useState<HostKeyScan | null>(null);
  const scan = useAction(async () => {
    setShown(null);
    setShown(await client().scanHostKeys({ host, port }));
  });
  const pinned = new Set(value.split('\n').map((line) => line.trim()));
  return (
    <div>
      <TextArea
        label="Host keys that are accepted"
        hint="SHA256:…, one a line, as ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub says on the machine itself."
        rows={2}
        value={value}
        onChange={onChange}
      />
      {mayForAll('operator') ? (
        <button type="button" disabled={host === '' || scan.busy} onClick={() => void scan.run()}>
          {scan.busy ? 'Asking …' : 'What does it show?'}
        </button>
      ) : null}
      <Problem error={scan.error} />
      {shown === null ? null : (
        <div class="note">
          <strong>Compare before you accept one: what is shown over the network may be somebody else’s.</strong>
          <ul class="bare">
            {shown.hostKeys.map(({ type, fingerprint }) => (
              <li key={fingerprint} class="actions">
                <code class="secret">{fingerprint}</code> <span class="muted">{type}</span>
                {pinned.has(fingerprint) ? (
                  <span class="badge good">accepted</span>
                ) : (
                  <button
                    type="button"
                    onClick={() => onChange([value.trim(), fingerprint].filter((line) => line !== '').join('\n'))}
                  >
                    Accept<span class="unseen"> {fingerprint}</span>
                  </button>
                )}
              </li>
            ))}
          </ul>
        </div>
      )}
    </div>
  );
}
