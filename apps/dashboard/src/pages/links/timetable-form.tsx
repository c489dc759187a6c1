/** Sets bandwidth by the time of day, of a link or of the whole installation. */
import { LmasApiError, type Timetable, versionOf } from '@lmas/client';
import { useState } from 'preact/hooks';
import { useResource } from '../../live/resource.ts';
import { go } from '../../navigation.ts';
import { CLOCK, DaysField } from '../../parts/days-field.tsx';
import { TextField, ZONES } from '../../parts/form-fields.tsx';
import { FormPage } from '../../parts/form-page.tsx';
import { BandwidthField } from '../../parts/limit-fields.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client } from '../../session/session.ts';
import { draftOf, inWords, newPeriod, newTimetable, type PeriodDraft, requestOf } from './timetable-draft.ts';
import { findTimetable } from './timetable-section.tsx';

interface TimetableFormProps {
  /** null: the whole installation. */
  readonly link: string | null;
  readonly of: string;
  readonly back: string;
}

export function TimetableForm({ link, of, back }: TimetableFormProps) {
  const loaded = useResource(async (options) => ({ timetable: await findTimetable(link, options) }), [link]);
  return (
    <>
      <PageHeading title="Bandwidth by the time of day" within={[of, back]} />
      <Loaded of={loaded}>{({ timetable }) => <Form before={timetable} link={link} back={back} />}</Loaded>
    </>
  );
}

interface FormProps {
  readonly before: Timetable | null;
  readonly link: string | null;
  readonly back: string;
}

function Form({ before: found, link, back }: FormProps) {
  const [before] = useState(found);
  const [draft, setDraft] = useState(() => (before === null ? newTimetable(here) : draftOf(before)));
  const request = requestOf(draft);
  const save = useAction(async () => {
    if (request === null) return;
    const ifMatch = before === null ? null : (versionOf(before) ?? '*');
    await client().setTimetable(link, request, { ifMatch }).catch(inOtherWords);
    go(back);
  });
  const setPeriods = (periods: readonly PeriodDraft[]) => setDraft({ ...draft, periods });
  return (
    <FormPage verb="Set it" action={save} isBlocked={request === null} back={back} inWords={inWords}>
      {draft.periods.map((period, at) => (
        <PeriodFields
          key={at}
          place={at + 1}
          period={period}
          onChange={(changed) => setPeriods(draft.periods.map((one, k) => (k === at ? { ...one, ...changed } : one)))}
          onRemove={draft.periods.length === 1 ? null : () => setPeriods(draft.periods.filter((_, k) => k !== at))}
        />
      ))}
      <p class="hint">Where two of them meet, the first one counts.</p>
      <button type="button" onClick={() => setPeriods([...draft.periods, newPeriod])}>
        Add a time
      </button>
      <fieldset>
        <legend>Otherwise</legend>
        <BandwidthField
          label="At all other times at most"
          value={draft.otherwise}
          onChange={(otherwise) => setDraft({ ...draft, otherwise })}
        />
        <TextField
          label="Time zone"
          hint="Whose clock counts."
          suggestions={ZONES}
          value={draft.timeZone}
          onChange={(timeZone) => setDraft({ ...draft, timeZone })}
        />
      </fieldset>
      <p class="hint">
        The limit changes at each of these times, also of what runs. One that is set by hand holds until then.
      </p>
    </FormPage>
  );
}

/** Whoever sets the first ones at a page has no version to name. */
function inOtherWords(error: unknown): never {
  if (!(error instanceof LmasApiError && error.code === 'PRECONDITION_REQUIRED')) throw error;
  throw new Error(
    'Somebody else has set times here since you opened this page. Go back to see them, and change those.',
  );
}

const here = Intl.DateTimeFormat().resolvedOptions().timeZone;

interface PeriodFieldsProps {
  readonly place: number;
  readonly period: PeriodDraft;
  readonly onChange: (changed: Partial<PeriodDraft>) => void;
  readonly onRemove: (() => void) | null;
}

function PeriodFields({ place, period, onChange, onRemove }: PeriodFieldsProps) {
  return (
    <fieldset>
      <legend>Time {place}</legend>
      <DaysField value={period.days} onChange={(days) => onChange({ days })} />
      <div class="columns">
        <TextField label="From" pattern={CLOCK} value={period.from} onChange={(from) => onChange({ from })} />
        <TextField
          label="To"
          hint="Not after the beginning: on the next day."
          pattern={CLOCK}
          value={period.to}
          onChange={(to) => onChange({ to })}
        />
        <BandwidthField
          label="All together at most"
          value={period.bandwidthBytesPerSec}
          onChange={(bandwidthBytesPerSec) => onChange({ bandwidthBytesPerSec })}
        />
      </div>
      {onRemove === null ? null : (
        <button type="button" onClick={onRemove}>
          Remove<span class="unseen"> time {place}</span>
        </button>
      )}
    </fieldset>
  );
}
