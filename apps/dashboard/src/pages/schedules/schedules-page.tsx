/** What starts by itself, and when next. */
import { everyPage, type Schedule } from '@lmas/client';
import { useResource } from '../../live/resource.ts';
import { href } from '../../navigation.ts';
import { Badge, type Tone } from '../../parts/badge.tsx';
import { Empty } from '../../parts/empty.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { Table } from '../../parts/table.tsx';
import { Time } from '../../parts/time.tsx';
import { client, may } from '../../session/session.ts';
import { actionWords, triggerWords } from './schedule-words.ts';

export function SchedulesPage() {
  const schedules = useResource((options) => everyPage((page) => client().listSchedules(page, options)), [], {
    everyMs: 10_000,
    withNotices: true,
  });
  return (
    <>
      <PageHeading title="Schedules">
        {may('operator') ? (
          <span class="aside">
            <a class="button primary" href={href('/new/schedule')}>
              Add a schedule
            </a>
          </span>
        ) : null}
      </PageHeading>
      <Loaded of={schedules}>
        {(all) =>
          all.length === 0 ? (
            <Empty>
              <p>
                Nothing starts by itself yet. A schedule starts a migration, a plan or a balancing pass, once or again
                and again, inside maintenance windows.
              </p>
            </Empty>
          ) : (
            <Schedules schedules={all} />
          )
        }
      </Loaded>
    </>
  );
}

const TONES: Readonly<Record<Schedule['state'], Tone>> = { active: 'good', paused: 'warning', finished: 'plain' };

export function ScheduleState({ schedule: { state } }: { schedule: Pick<Schedule, 'state'> }) {
  return <Badge tone={TONES[state]}>{state}</Badge>;
}

function Schedules({ schedules }: { schedules: readonly Schedule[] }) {
  return (
    <Table
      caption="Schedules"
      rows={schedules}
      keyOf={({ id }) => id}
      columns={[
        {
          title: 'Schedule',
          cell: ({ id, description }) => (
            <>
              <a href={href(`/schedules/${id}`)}>{id}</a>
              {description === '' ? null : <p class="hint">{description}</p>}
            </>
          ),
          sortBy: ({ id }) => id,
        },
        { title: 'Does', cell: actionWords, sortBy: actionWords },
        { title: 'When', cell: triggerWords },
        { title: 'Next', cell: ({ nextAt }) => <Time at={nextAt} />, sortBy: ({ nextAt }) => nextAt },
        {
          title: 'State',
          cell: (schedule) => (
            <div>
              <ScheduleState schedule={schedule} />
              {schedule.waiting === null ? null : <p class="hint">{waitWords(schedule.waiting)}</p>}
            </div>
          ),
          sortBy: ({ state }) => state,
        },
      ]}
    />
  );
}

/** With what is in the way, where that is known by name. */
export const waitWords = (waiting: NonNullable<Schedule['waiting']>): string =>
  `a run waits for ${WAITS[waiting.for]}${waiting.message ? `: ${waiting.message}` : ''}`;

const WAITS: Readonly<Record<NonNullable<Schedule['waiting']>['for'], string>> = {
  window: 'a window',
  'former-run': 'the former one',
  'other-run': 'what somebody else has begun',
};
