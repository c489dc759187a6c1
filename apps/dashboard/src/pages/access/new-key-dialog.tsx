/** Makes an API key. */
import type { NewApiKey, Project, Role } from '@lmas/client';
import { useState } from 'preact/hooks';
import { nowMs } from '../../live/clock.ts';
import { Confirmation } from '../../parts/dialog.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client, mayForAll } from '../../session/session.ts';

const ROLES: readonly (readonly [Role, string])[] = [
  ['viewer', 'looks'],
  ['operator', 'moves VMs'],
  ['admin', 'also says who may'],
];

interface NewKeyDialogProps {
  readonly projects: readonly Project[];
  readonly onMade: (made: NewApiKey) => void;
  readonly onClose: () => void;
}

export function NewKeyDialog({ projects, onMade, onClose }: NewKeyDialogProps) {
  const [name, setName] = useState('');
  const [role, setRole] = useState<Role>('viewer');
  const [project, setProject] = useState('');
  const [days, setDays] = useState('');
  const action = useAction(async () => {
    const expiresAt = days === '' ? null : new Date(nowMs() + Number(days) * 24 * 3_600_000).toISOString();
    const bound = mayForAll('admin') ? { project: project === '' ? null : project } : {};
    onMade(await client().createApiKey({ name: name.trim(), role, expiresAt, ...bound }));
  });
  return (
    <Confirmation title="A new API key" verb="Make it" {...{ action, onClose }}>
      <label>
        Whose it is and what for
        <input required maxLength={100} value={name} onInput={({ currentTarget }) => setName(currentTarget.value)} />
      </label>
      <label>
        Role
        <select value={role} onChange={({ currentTarget }) => setRole(currentTarget.value as Role)}>
          {ROLES.map(([value, words]) => (
            <option key={value} value={value}>
              {value}: {words}
            </option>
          ))}
        </select>
      </label>
      {mayForAll('admin') ? (
        <label>
          Project
          <select value={project} onChange={({ currentTarget }) => setProject(currentTarget.value)}>
            <option value="">none: it sees everything</option>
            {projects.map(({ id }) => (
              <option key={id}>{id}</option>
            ))}
          </select>
        </label>
      ) : null}
      <label>
        Expires after days (empty: never)
        <input
          type="number"
          min={1}
          max={3650}
          value={days}
          onInput={({ currentTarget }) => setDays(currentTarget.value)}
        />
      </label>
    </Confirmation>
  );
}
