/** Makes a policy, or changes one: what has no field here stays as it is. */
import { type BalancingPolicy, type Endpoint, versionOf } from '@lmas/client';
import { useState } from 'preact/hooks';
import { useResource } from '../../live/resource.ts';
import { go } from '../../navigation.ts';
import {
  CheckField,
  ChoiceField,
  ManyField,
  NAME,
  NumberField,
  TextArea,
  TextField,
} from '../../parts/form-fields.tsx';
import { FormPage } from '../../parts/form-page.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client } from '../../session/session.ts';
import { draftOf, emptyPolicy, type PolicyDraft, settingsOf, type Threshold } from './policy-draft.ts';
import { MODES, RESOURCES } from './policy-words.tsx';

/** @param id of the one to be changed; undefined: a new one */
export function PolicyForm({ id }: { id?: string }) {
  const loaded = useResource(
    async (options) => ({
      endpoints: await client().listEndpoints(options),
      policy: id === undefined ? undefined : await client().getBalancingPolicy(id, options),
    }),
    [id],
  );
  return (
    <>
      <PageHeading
        title={id === undefined ? 'Add a policy' : `Change ${id}`}
        within={id === undefined ? ['Balancing', '/balancing'] : [id, `/balancing/${id}`]}
      />
      <Loaded of={loaded}>{(data) => <Form {...data} />}</Loaded>
    </>
  );
}

interface FormProps {
  readonly endpoints: readonly Endpoint[];
  readonly policy: BalancingPolicy | undefined;
}

function Form({ endpoints, policy }: FormProps) {
  // What somebody else changes meanwhile must not change under one's hands: the form keeps what it was opened with.
  const [before] = useState(policy);
  const [name, setName] = useState(before?.id ?? '');
  const [draft, setDraft] = useState<PolicyDraft>(before === undefined ? emptyPolicy : draftOf(before));
  const change = (changed: Partial<PolicyDraft>) => setDraft((old) => ({ ...old, ...changed }));
  const save = useAction(async () => {
    const settings = settingsOf(draft, before);
    const { id } =
      before === undefined
        ? await client().createBalancingPolicy({ id: name, ...settings })
        : await client().replaceBalancingPolicy(before.id, settings, { ifMatch: versionOf(before) ?? '*' });
    go(`/balancing/${id}`);
  });
  return (
    <FormPage
      verb={before === undefined ? 'Add the policy' : 'Change the policy'}
      action={save}
      isBlocked={draft.endpoints.length < 2}
      back={before === undefined ? '/balancing' : `/balancing/${before.id}`}
    >
      <fieldset>
        <legend>What it does</legend>
        {before === undefined ? (
          <TextField label="Name" pattern={NAME} placeholder="hall-1" value={name} onChange={setName} />
        ) : null}
        <TextField
          label="Description"
          isOptional
          value={draft.description}
          onChange={(description) => change({ description })}
        />
        <ChoiceField
          label="Mode"
          choices={Object.entries(MODES).map(([mode, words]) => [mode as PolicyDraft['mode'], `${mode}: ${words}`])}
          value={draft.mode}
          onChange={(mode) => change({ mode })}
        />
      </fieldset>
      <ManyField
        legend="Between these hosts"
        hint="At least two, of the same hypervisor."
        choices={endpoints.map(({ id, site, plugin }) => [id, `${id}, site ${site}, ${plugin}`])}
        value={draft.endpoints}
        onChange={(chosen) => change({ endpoints: chosen })}
      />
      <fieldset>
        <legend>When a host is too busy</legend>
        {RESOURCES.map(([resource, title]) => (
          <ThresholdFields
            key={resource}
            title={title}
            value={draft.thresholds[resource]}
            onChange={(threshold) => change({ thresholds: { ...draft.thresholds, [resource]: threshold } })}
          />
        ))}
      </fieldset>
      <Limits draft={draft} onChange={change} />
      <Rules draft={draft} onChange={change} />
    </FormPage>
  );
}

interface ThresholdFieldsProps {
  readonly title: string;
  readonly value: Threshold;
  readonly onChange: (value: Threshold) => void;
}

function ThresholdFields({ title, value, onChange }: ThresholdFieldsProps) {
  const counts = value.weight > 0;
  return (
    <div class="threshold">
      <CheckField
        label={`${title} counts`}
        value={counts}
        onChange={(on) => onChange({ ...value, weight: on ? 1 : 0 })}
      />
      {counts ? (
        <div class="columns">
          <NumberField
            label={`${title}: too busy above`}
            min={1}
            max={100}
            step="any"
            unit="%"
            value={value.high}
            onChange={(high) => onChange({ ...value, high })}
          />
          <NumberField
            label={`${title}: until below`}
            min={1}
            max={100}
            step="any"
            unit="%"
            value={value.low}
            onChange={(low) => onChange({ ...value, low })}
          />
          <NumberField
            label={`${title}: weight`}
            min={0}
            max={100}
            step="any"
            value={value.weight}
            onChange={(weight) => onChange({ ...value, weight })}
          />
        </div>
      ) : null}
    </div>
  );
}

interface PartProps {
  readonly draft: PolicyDraft;
  readonly onChange: (changed: Partial<PolicyDraft>) => void;
}

function Limits({ draft, onChange }: PartProps) {
  return (
    <fieldset>
      <legend>How much it moves</legend>
      <div class="columns">
        <NumberField
          label="Looks every"
          min={0.1}
          step="any"
          unit="min"
          value={draft.intervalMinutes}
          onChange={(intervalMinutes) => onChange({ intervalMinutes })}
        />
        <NumberField
          label="A move has to gain, beyond its cost"
          min={0}
          max={100}
          step="any"
          unit="points"
          value={draft.minGainPoints}
          onChange={(minGainPoints) => onChange({ minGainPoints })}
        />
        <NumberField
          label="Moves an hour at most"
          min={1}
          value={draft.maxMovesPerHour}
          onChange={(maxMovesPerHour) => onChange({ maxMovesPerHour })}
        />
        <NumberField
          label="Moves at once at most"
          min={1}
          value={draft.maxConcurrent}
          onChange={(maxConcurrent) => onChange({ maxConcurrent })}
        />
      </div>
      <ChoiceField
        label="Transport"
        choices={[
          ['tunnel', 'tunnel: encrypted, parallel'],
          ['direct', 'direct: without a tunnel'],
        ]}
        value={draft.transport}
        onChange={(transport) => onChange({ transport })}
      />
    </fieldset>
  );
}

function Rules({ draft, onChange }: PartProps) {
  return (
    <fieldset>
      <legend>Rules</legend>
      <p class="hint">
        VMs by name, by id or by a pattern such as <code>web-*</code>.
      </p>
      <div class="columns">
        <TextArea
          label="Never moved"
          hint="One a line."
          rows={3}
          isOptional
          value={draft.pinned}
          onChange={(pinned) => onChange({ pinned })}
        />
        <TextArea
          label="Stay and move together"
          hint="One group a line, with commas."
          rows={3}
          isOptional
          value={draft.together}
          onChange={(together) => onChange({ together })}
        />
        <TextArea
          label="Run on different hosts"
          hint="One group a line, with commas."
          rows={3}
          isOptional
          value={draft.apart}
          onChange={(apart) => onChange({ apart })}
        />
      </div>
    </fieldset>
  );
}
