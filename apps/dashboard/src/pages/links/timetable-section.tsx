/** Bandwidth by the time of day, of a link or of the whole installation: what it says, and what it says now. */
import { LmasApiError, type Timetable } from '@lmas/client';
import { useResource } from '../../live/resource.ts';
import { href } from '../../navigation.ts';
import { Fields } from '../../parts/fields.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { Removal } from '../../parts/removal.tsx';
import { Time } from '../../parts/time.tsx';
import { client } from '../../session/session.ts';
import { periodWords, rateWords } from './timetable-draft.ts';

interface TimetableSectionProps {
  /** null: the whole installation. */
  readonly link: string | null;
  readonly changePath: string;
  readonly mayChange: boolean;
}

/** null: there is none. */
export async function findTimetable(link: string | null, options: { signal: AbortSignal }): Promise<Timetable | null> {
  return await client()
    .getTimetable(link, options)
    .catch((error: unknown) => {
      if (error instanceof LmasApiError && error.code === 'TIMETABLE_NOT_FOUND') return null;
      throw error;
    });
}

export function TimetableSection({ link, changePath, mayChange }: TimetableSectionProps) {
  const timetable = useResource((options) => findTimetable(link, options), [link], { everyMs: 60_000 });
  return (
    <section aria-labelledby="timetable">
      <h2 id="timetable">Bandwidth by the time of day</h2>
      <Loaded of={timetable}>
        {(found) => (
          <>
            {found === null ? <p class="muted">The same at all times.</p> : <Periods of={found} />}
            {mayChange ? (
              <div class="actions">
                <a class="button" href={href(changePath)}>
                  {found === null ? 'Set one …' : 'Change the times …'}
                </a>
                {found === null ? null : (
                  <Removal
                    name="the times"
                    words="The limit stays as it is now, at all times."
                    remove={async () => await client().deleteTimetable(link)}
                    onRemoved={timetable.reload}
                  />
                )}
              </div>
            ) : null}
          </>
        )}
      </Loaded>
    </section>
  );
}

function Periods({ of: { timeZone, periods, otherwise, now } }: { of: Timetable }) {
  return (
    <Fields
      of={[
        ...periods.map((period) => [periodWords(period), rateWords(period.bandwidthBytesPerSec)] as const),
        ['At all other times', rateWords(otherwise)],
        [
          'Now',
          <span key="now">
            {rateWords(now.bandwidthBytesPerSec)}
            {now.until === null ? null : (
              <>
                , until <Time at={now.until} />
              </>
            )}
          </span>,
        ],
        ['On the clock of', timeZone],
      ]}
    />
  );
}
