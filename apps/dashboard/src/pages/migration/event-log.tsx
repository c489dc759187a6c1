/** What happened, event by event, and beside it what its runs logged. */
import type { MigrationEvent } from '@lmas/client';
import { useState } from 'preact/hooks';
import { useResource } from '../../live/resource.ts';
import { Badge } from '../../parts/badge.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { Time } from '../../parts/time.tsx';
import { client } from '../../session/session.ts';

interface EventLogProps extends LogProps {
  readonly events: readonly MigrationEvent[];
  readonly isIncomplete: boolean;
}

export function EventLog({ id, events, isIncomplete, isOver }: EventLogProps) {
  const [isOpen, open] = useState(false);
  return (
    <section aria-labelledby="events">
      <h2 id="events">What happened</h2>
      {isIncomplete ? <p class="muted">Some of it is not kept any more.</p> : null}
      <ol class="events">
        {events.map(({ at, type, message }, i) => (
          <li key={`${at} ${i}`}>
            <Time at={at} /> {type === 'error' ? <Badge tone="bad">error</Badge> : null} {message}
          </li>
        ))}
      </ol>
      <details onToggle={({ currentTarget }) => open(currentTarget.open)}>
        <summary>Log</summary>
        {isOpen ? <Log {...{ id, isOver }} /> : null}
      </details>
    </section>
  );
}

interface LogProps {
  readonly id: string;
  /** Nothing is logged any more. */
  readonly isOver: boolean;
}

const LOG_EVERY_MS = 5_000;

function Log({ id, isOver }: LogProps) {
  const everyMs = isOver ? undefined : LOG_EVERY_MS;
  const log = useResource((options) => client().getMigrationLog(id, options), [id], { everyMs });
  return (
    <Loaded of={log}>
      {(lines) => (
        <ol class="events">
          {lines.map(({ at, level, message, error }, i) => (
            <li key={`${at} ${i}`}>
              <Time at={at} />{' '}
              {level === 'info' ? null : <Badge tone={level === 'error' ? 'bad' : 'warning'}>{level}</Badge>} {message}
              {error === null ? '' : `: ${error.message}`}
            </li>
          ))}
        </ol>
      )}
    </Loaded>
  );
}
