/** When a schedule runs next, and why it is left out or waits at some of these times. */
import type { SchedulePreview } from '@lmas/client';
import { Badge } from '../../parts/badge.tsx';

export function NextRuns({ runs }: { runs: SchedulePreview['items'] }) {
  if (runs.length === 0) return <p class="muted">None.</p>;
  return (
    <ol class="events">
      {runs.map(({ dueAt, local, startsAt, notes }) => (
        <li key={dueAt}>
          {local} {startsAt === null ? <Badge tone="warning">left out</Badge> : null}{' '}
          <span class="muted">{notes.join(' ')}</span>
        </li>
      ))}
    </ol>
  );
}
