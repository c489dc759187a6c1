/** One schedule: when it runs next and why not at other times, what it did, and pausing it. */
import type { Schedule, ScheduleHistoryEntry } from '@lmas/client';
import type { ComponentChildren } from 'preact';
import { useResource } from '../../live/resource.ts';
import { go, href } from '../../navigation.ts';
import { Badge, type Tone } from '../../parts/badge.tsx';
import { Fields } from '../../parts/fields.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { Problem } from '../../parts/problem.tsx';
import { Removal } from '../../parts/removal.tsx';
import { Time } from '../../parts/time.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client, may } from '../../session/session.ts';
import { NextRuns } from './next-runs.tsx';
import { actionWords, MISSED, OVERLAP, periodWords, triggerWords } from './schedule-words.ts';
import { ScheduleState, waitWords } from './schedules-page.tsx';

const PREVIEWED = 10;

export function SchedulePage({ id }: { id: string }) {
  const schedule = useResource((options) => client().getSchedule(id, options), [id], {
    everyMs: 10_000,
    withNotices: true,
  });
  const preview = useResource((options) => client().previewSchedule(id, PREVIEWED, options), [id]);
  const history = useResource((options) => client().getScheduleHistory(id, options), [id], {
    everyMs: 10_000,
    withNotices: true,
  });
  const reload = () => {
    schedule.reload();
    preview.reload();
    history.reload();
  };
  return (
    <>
      <PageHeading title={id} within={['Schedules', '/schedules']}>
        {schedule.data === undefined ? null : <ScheduleState schedule={schedule.data} />}
      </PageHeading>
      <Loaded of={schedule}>
        {(data) => (
          <>
            {may('operator') ? <Actions schedule={data} onChanged={reload} /> : null}
            {data.description === '' ? null : <p>{data.description}</p>}
            <Fields
              of={[
                ['Does', actionWords(data)],
                ['When', triggerWords(data)],
                ['Next', <Time key="next" at={data.nextAt} />],
                ['A missed run', MISSED[data.missed]],
                ['While the former one is under way', OVERLAP[data.overlap]],
                ['Windows', data.windows.length === 0 ? 'always' : data.windows.map(periodWords).join('; ')],
                ['Never inside', data.blackouts.length === 0 ? null : data.blackouts.map(periodWords).join('; ')],
                ['Waits', data.waiting === null ? null : waitWords(data.waiting)],
                ['Under way', data.current === null ? null : <RunLink key="current" run={data.current.run} />],
              ]}
            />
          </>
        )}
      </Loaded>
      <h2>Next runs</h2>
      <Loaded of={preview}>{(runs) => <NextRuns runs={runs} />}</Loaded>
      <h2>What it did</h2>
      <Loaded of={history}>
        {(items) =>
          items.length === 0 ? (
            <p class="muted">Nothing yet.</p>
          ) : (
            <ol class="events">
              {items.map(({ at, event, message, run, code }, i) => (
                <li key={`${at} ${i}`}>
                  <Time at={at} /> <Badge tone={EVENT_TONES[event]}>{event}</Badge> {message}{' '}
                  {code === null ? null : <span class="code">{code}</span>}{' '}
                  {run === null ? null : <RunLink run={run} />}
                </li>
              ))}
            </ol>
          )
        }
      </Loaded>
    </>
  );
}

/** What a newer orchestrator starts may have no page here. */
const RUN_PAGES: Readonly<Record<string, string>> = { migration: '/migrations/', plan: '/plan-runs/' };

function RunLink({ run: { kind, id } }: { run: NonNullable<ScheduleHistoryEntry['run']> }): ComponentChildren {
  const path = RUN_PAGES[kind];
  return path === undefined ? kind : <a href={href(`${path}${id}`)}>{kind}</a>;
}

const EVENT_TONES: Readonly<Record<ScheduleHistoryEntry['event'], Tone>> = {
  started: 'busy',
  waits: 'plain',
  skipped: 'warning',
  refused: 'bad',
  succeeded: 'good',
  failed: 'bad',
  cancelled: 'warning',
};

function Actions({ schedule: { id, state }, onChanged }: { schedule: Schedule; onChanged: () => void }) {
  const toggle = useAction(async () => {
    await (state === 'paused' ? client().resumeSchedule(id) : client().pauseSchedule(id));
    onChanged();
  });
  const run = useAction(async () => {
    await client().runSchedule(id);
    onChanged();
  });
  return (
    <div class="actions">
      {state === 'finished' ? null : (
        <button type="button" disabled={toggle.busy} onClick={() => void toggle.run()}>
          {state === 'paused' ? 'Resume' : 'Pause'}
        </button>
      )}
      <button type="button" disabled={run.busy} onClick={() => void run.run()}>
        Run it now
      </button>
      <a class="button" href={href(`/schedules/${id}/change`)}>
        Change …
      </a>
      <Removal
        name={id}
        words="It starts nothing more. What it has started goes on."
        remove={async () => await client().deleteSchedule(id)}
        onRemoved={() => go('/schedules')}
      />
      <Problem error={toggle.error ?? run.error} />
    </div>
  );
}
