/** What was looked at, one after the other: what was seen, and what to do where something is wanting. */
import { Badge, type Tone } from './badge.tsx';
import { Words } from './words.tsx';

export interface Checked {
  readonly name: string;
  readonly status: string;
  readonly seen: string;
  readonly remedy: string | null;
}

const TONES: Readonly<Record<string, Tone>> = {
  ok: 'good',
  passed: 'good',
  warning: 'warning',
  failed: 'bad',
  skipped: 'plain',
};

export function CheckList({ checks }: { checks: readonly Checked[] }) {
  return (
    <ul class="findings">
      {checks.map(({ name, status, seen, remedy }) => (
        <li key={name}>
          <Badge tone={TONES[status] ?? 'plain'}>{status}</Badge>
          <div>
            <p>
              <b>{name}</b> <Words of={seen} />
            </p>
            {remedy === null ? null : (
              <p class="muted">
                <Words of={remedy} />
              </p>
            )}
          </div>
        </li>
      ))}
    </ul>
  );
}
