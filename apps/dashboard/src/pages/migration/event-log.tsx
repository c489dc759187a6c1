/** What happened, event by event, and beside it what its runs logged. */
import type { MigrationEvent } from '@lmas/client';
import { useResource } from '../../live/resource.ts';
import { Badge } from '../../parts/badge.tsx';
import { Problem } from '../../parts/problem.tsx';
import { Time } from '../../parts/time.tsx';
import { client } from '../../session/session.ts';

interface EventLogProps {
  readonly id: string;
  readonly events: readonly MigrationEvent[];
}

export function EventLog({ id, events }: EventLogProps) {
  const log = useResource((options) => client().getMigrationLog(id, options), [id]);
  return (
    <section aria-labelledby="events">
      <h2 id="events">What happened</h2>
      <ol class="events">
        {events.map(({ at, type, message }, i) => (
          <li key={`${at} ${i}`}>
            <Time at={at} /> {type === 'error' ? <Badge tone="bad">error</Badge> : null} {message}
          </li>
        ))}
      </ol>
      <details>
        <summary>Log</summary>
        <Problem error={log.error} />
        <ol class="events">
          {(log.data ?? []).map(({ at, level, message, error }, i) => (
            <li key={`${at} ${i}`}>
              <Time at={at} />{' '}
              {level === 'info' ? null : <Badge tone={level === 'error' ? 'bad' : 'warning'}>{level}</Badge>} {message}
              {error === null ? '' : `: ${error.message}`}
            </li>
          ))}
        </ol>
      </details>
    </section>
  );
}
