/** What matters most when the dirty rate exceeds what the link carries. */
import type { Convergence } from '@lmas/client';

/** As in docs/api.md. */
const POLICIES: Readonly<Record<Convergence, string>> = {
  balanced: 'as the hypervisor does it by itself',
  'fast-switchover': 'a pause that is hardly noticed; the guest may be slowed down for it',
  'never-pause': 'the shortest pause, full speed; it may never get across',
  'must-finish': 'it gets across: slowed down hard, with seconds of pause if need be',
};

interface ConvergenceFieldProps {
  readonly value: Convergence;
  readonly onChange: (value: Convergence) => void;
}

export function ConvergenceField({ value, onChange }: ConvergenceFieldProps) {
  return (
    <label>
      If the dirty rate exceeds what the link carries
      <select value={value} onChange={({ currentTarget }) => onChange(currentTarget.value as Convergence)}>
        {Object.entries(POLICIES).map(([name, words]) => (
          <option key={name} value={name}>
            {name}: {words}
          </option>
        ))}
      </select>
    </label>
  );
}
