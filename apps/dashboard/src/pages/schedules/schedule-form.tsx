/** Makes a schedule, or changes one. The runs that would come of it are shown while the form is filled. */

import { type BalancingPolicy, type Endpoint, everyPage, type Plan, type Schedule, versionOf } from '@lmas/client';
import { useState } from 'preact/hooks';
import { useResource } from '../../live/resource.ts';
import { useTrial } from '../../live/use-trial.ts';
import { go } from '../../navigation.ts';
import { CLOCK, DaysField } from '../../parts/days-field.tsx';
import { destinationsFrom, withSource } from '../../parts/destinations.ts';
import { ChoiceField, NAME, TextField, ZONES } from '../../parts/form-fields.tsx';
import { FormPage } from '../../parts/form-page.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { Problem } from '../../parts/problem.tsx';
import { useAction } from '../../parts/use-action.ts';
import { VmField } from '../../parts/vm-field.tsx';
import { client, mayForAll } from '../../session/session.ts';
import { NextRuns } from './next-runs.tsx';
import { draftOf, emptySchedule, requestOf, type ScheduleDraft } from './schedule-draft.ts';
import { MISSED, MODES, OVERLAP } from './schedule-words.ts';

const PREVIEWED = 5;

/** @param id of the one to be changed; undefined: a new one */
export function ScheduleForm({ id }: { id?: string }) {
  const loaded = useResource(
    async (options) => ({
      endpoints: await client().listEndpoints(options),
      plans: await everyPage((page) => client().listPlans(page, options)),
      // They belong to the installation.
      policies: mayForAll('viewer') ? await client().listBalancingPolicies(options) : [],
      schedule: id === undefined ? undefined : await client().getSchedule(id, options),
    }),
    [id],
  );
  return (
    <>
      <PageHeading
        title={id === undefined ? 'Add a schedule' : `Change ${id}`}
        within={id === undefined ? ['Schedules', '/schedules'] : [id, `/schedules/${id}`]}
      />
      <Loaded of={loaded}>{(data) => <Form {...data} />}</Loaded>
    </>
  );
}

interface FormProps {
  readonly endpoints: readonly Endpoint[];
  readonly plans: readonly Plan[];
  readonly policies: readonly BalancingPolicy[];
  readonly schedule: Schedule | undefined;
}

function Form({ endpoints, plans, policies, schedule }: FormProps) {
  const [before] = useState(schedule);
  const [draft, setDraft] = useState<ScheduleDraft>(before === undefined ? emptySchedule : draftOf(before));
  const change = (changed: Partial<ScheduleDraft>) => setDraft((old) => ({ ...old, ...changed }));
  const request = requestOf(draft, before);
  const preview = useTrial(request === null ? null : JSON.stringify(request), async (options) =>
    request === null ? [] : await client().previewNewSchedule(request, PREVIEWED, options),
  );
  const save = useAction(async () => {
    if (request === null) return;
    const { id, ...settings } = request;
    if (before === undefined) await client().createSchedule(request);
    else await client().updateSchedule(id, settings, { ifMatch: versionOf(before) ?? '*' });
    go(`/schedules/${id}`);
  });
  return (
    <FormPage
      verb={before === undefined ? 'Add the schedule' : 'Change the schedule'}
      action={save}
      isBlocked={request === null}
      back={before === undefined ? '/schedules' : `/schedules/${before.id}`}
    >
      <fieldset>
        <legend>What it starts</legend>
        {before === undefined ? (
          <TextField
            label="Name"
            pattern={NAME}
            placeholder="weekend"
            value={draft.id}
            onChange={(id) => change({ id })}
          />
        ) : null}
        <TextField
          label="Description"
          isOptional
          value={draft.description}
          onChange={(description) => change({ description })}
        />
        <ActionFields {...{ draft, endpoints, plans, policies }} onChange={change} />
      </fieldset>
      <TimeFields draft={draft} onChange={change} />
      <WindowFields draft={draft} before={before} onChange={change} />
      <section class="card" aria-labelledby="preview" aria-live="polite" aria-busy={preview.busy}>
        <h2 id="preview">The next runs would be</h2>
        {request === null ? <p class="muted">Say what it starts, and when.</p> : null}
        {preview.busy ? <p class="muted">They are being worked out …</p> : null}
        <Problem error={preview.error} asksAgain />
        {preview.result === undefined ? null : <NextRuns runs={preview.result} />}
      </section>
    </FormPage>
  );
}

interface PartProps {
  readonly draft: ScheduleDraft;
  readonly onChange: (changed: Partial<ScheduleDraft>) => void;
}

type ActionProps = PartProps & Pick<FormProps, 'endpoints' | 'plans' | 'policies'>;

function ActionFields({ draft, endpoints, plans, policies, onChange }: ActionProps) {
  if (draft.does === 'other')
    return <p class="muted">What it starts stays as it is: this form has no fields for it.</p>;
  const mayBalance = mayForAll('operator') || draft.does === 'balancing';
  return (
    <>
      <ChoiceField
        label="Starts"
        choices={[
          ['plan', 'a run of a plan'],
          ['migration', 'the migration of one VM'],
          ...(mayBalance ? [['balancing', 'a pass of a balancing policy'] as const] : []),
        ]}
        value={draft.does}
        onChange={(does) => onChange({ does })}
      />
      {draft.does === 'plan' ? <PlanFields {...{ draft, plans, onChange }} /> : null}
      {draft.does === 'migration' ? <VmFields {...{ draft, endpoints, onChange }} /> : null}
      {draft.does === 'balancing' ? (
        <ChoiceField
          label="Policy"
          hint="A policy that makes no passes by itself (passes: asked) looks at its hosts at these times only."
          none="choose a policy"
          choices={policies.map(({ id, mode }) => [id, `${id} (${mode})`] as const)}
          value={draft.policy}
          onChange={(policy) => onChange({ policy })}
        />
      ) : null}
    </>
  );
}

function PlanFields({ draft, plans, onChange }: PartProps & Pick<FormProps, 'plans'>) {
  return (
    <div class="columns">
      <ChoiceField
        label="Plan"
        none="choose a plan"
        choices={plans.map(({ id }) => [id, id] as const)}
        value={draft.plan}
        onChange={(plan) => onChange({ plan })}
      />
      <ChoiceField
        label="Mode"
        choices={Object.entries(MODES) as [ScheduleDraft['mode'], string][]}
        value={draft.mode}
        onChange={(mode) => onChange({ mode })}
      />
    </div>
  );
}

function VmFields({ draft, endpoints, onChange }: PartProps & Pick<FormProps, 'endpoints'>) {
  const places = (all: readonly Endpoint[]) => all.map(({ id, site }) => [id, `${id} (site ${site})`] as const);
  return (
    <>
      <ChoiceField
        label="From"
        none="choose an endpoint"
        choices={places(endpoints)}
        value={draft.source}
        onChange={(id) => onChange(withSource(id, draft, endpoints))}
      />
      {draft.source === '' ? null : (
        <VmField key={draft.source} endpoint={draft.source} value={draft.vm} onChange={(vm) => onChange({ vm })} />
      )}
      <ChoiceField
        label="To"
        none="choose an endpoint"
        choices={places(destinationsFrom(draft.source, endpoints))}
        value={draft.destination}
        onChange={(destination) => onChange({ destination })}
      />
    </>
  );
}

function TimeFields({ draft, onChange }: PartProps) {
  return (
    <fieldset>
      <legend>When</legend>
      <div class="columns">
        <ChoiceField
          label="How often"
          choices={[
            ['cron', 'again and again, by cron'],
            ['once', 'once'],
          ]}
          value={draft.when}
          onChange={(when) => onChange({ when })}
        />
        {draft.when === 'cron' ? (
          <TextField
            label="Cron"
            hint="Minute, hour, day of the month, month, day of the week."
            value={draft.expression}
            onChange={(expression) => onChange({ expression })}
          />
        ) : (
          <TextField
            label="At"
            type={/(Z|[+-]\d\d:\d\d)$/.test(draft.at) ? 'text' : 'datetime-local'}
            hint="On the clock of the time zone."
            value={draft.at}
            onChange={(at) => onChange({ at })}
          />
        )}
        <TextField
          label="Time zone"
          suggestions={ZONES}
          value={draft.timeZone}
          onChange={(timeZone) => onChange({ timeZone })}
        />
      </div>
      <div class="columns">
        <ChoiceField
          label="A run that was missed"
          choices={Object.entries(MISSED) as [ScheduleDraft['missed'], string][]}
          value={draft.missed}
          onChange={(missed) => onChange({ missed })}
        />
        <ChoiceField
          label="While the former run is under way"
          choices={Object.entries(OVERLAP) as [ScheduleDraft['overlap'], string][]}
          value={draft.overlap}
          onChange={(overlap) => onChange({ overlap })}
        />
      </div>
    </fieldset>
  );
}

function WindowFields({ draft, before, onChange }: PartProps & { before: Schedule | undefined }) {
  const more = Math.max(0, (before?.windows.length ?? 0) - 1);
  if (before?.windows[0]?.kind === 'dates') return null;
  return (
    <fieldset>
      <legend>Begins only inside this window</legend>
      <p class="hint">
        No day chosen: at any time.
        {more === 0 ? '' : ` ${more} more of its windows stay as they are.`}
        {before === undefined || before.blackouts.length === 0 ? '' : ' Its blackout times stay as they are.'}
      </p>
      <DaysField value={draft.windowDays} onChange={(windowDays) => onChange({ windowDays })} />
      {draft.windowDays.length === 0 ? null : (
        <div class="columns">
          <TextField
            label="Opens"
            pattern={CLOCK}
            value={draft.windowFrom}
            onChange={(windowFrom) => onChange({ windowFrom })}
          />
          <TextField
            label="Closes"
            hint="Not after the opening: on the next day."
            pattern={CLOCK}
            value={draft.windowTo}
            onChange={(windowTo) => onChange({ windowTo })}
          />
        </div>
      )}
    </fieldset>
  );
}
