/** What a check found, the gravest first, each with what to do. */
import type { Finding } from '@lmas/client';
import { SeverityBadge } from './badge.tsx';
import { Words } from './words.tsx';

const ORDER: Readonly<Record<Finding['severity'], number>> = { blocker: 0, warning: 1, note: 2 };

export function Findings({ findings }: { findings: readonly Finding[] }) {
  const sorted = [...findings].sort((a, b) => ORDER[a.severity] - ORDER[b.severity]);
  return (
    <ul class="findings">
      {sorted.map(({ severity, code, message, remedy }) => (
        <li key={`${code} ${message}`}>
          <SeverityBadge severity={severity} />
          <div>
            <p>
              <Words of={message} /> <span class="code">{code}</span>
            </p>
            {remedy === '' ? null : (
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
