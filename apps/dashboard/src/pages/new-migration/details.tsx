/** What most migrations leave as it is: names of one's own, the tunnel, and the options that only this hypervisor has. */
import type { Inventory } from '@lmas/client';
import { ChoiceField, TextField } from '../../parts/form-fields.tsx';
import { CountField } from '../../parts/limit-fields.tsx';
import { suggestionsOf } from '../../parts/places.ts';
import { SchemaFields } from '../../parts/schema-fields.tsx';
import type { SchemaField } from '../../parts/schema-values.ts';
import { type Compression, type Draft, LABELS, STAGES, type Suite, type Timeouts } from './draft.ts';
import { NameMap } from './name-map.tsx';

const SUITES: readonly (readonly [Suite, string])[] = [
  ['aes-256-gcm', 'aes-256-gcm'],
  ['chacha20-poly1305', 'chacha20-poly1305, for processors without AES'],
  ['none', 'none: authenticated, but everybody on the link can read it'],
];
const COMPRESSION: readonly (readonly [Compression, string])[] = [
  ['never', 'never'],
  ['auto', 'where it pays; sizes then tell how compressible the memory was'],
];

interface DetailsProps {
  readonly draft: Draft;
  readonly fields: readonly SchemaField[];
  /** What the destination has, once it has answered. */
  readonly there: Inventory | undefined;
  readonly onChange: (changed: Partial<Draft>) => void;
}

export function Details({ draft, fields, there, onChange }: DetailsProps) {
  const { tunnel, subflows, options } = draft;
  return (
    <details class="more">
      <summary>More options: labels, tunnel, time limits, what only this hypervisor has</summary>
      <NameMap
        legend={LABELS.labels}
        hint="Yours to choose: lists can be filtered by them, and webhooks carry them."
        from="Name"
        to="Value"
        value={draft.labels}
        onChange={(labels) => onChange({ labels })}
      />
      <fieldset>
        <legend>Your name for it</legend>
        <TextField
          label={LABELS.correlationId}
          isOptional
          placeholder="change-4711"
          hint="Several migrations may share one."
          value={draft.correlationId}
          onChange={(correlationId) => onChange({ correlationId })}
        />
      </fieldset>
      {draft.transport === 'tunnel' ? (
        <fieldset>
          <legend>{LABELS.tunnel}</legend>
          <ChoiceField
            label="Encryption"
            choices={SUITES}
            value={tunnel.suite}
            onChange={(suite) => onChange({ tunnel: { ...tunnel, suite } })}
          />
          <ChoiceField
            label="Compression"
            choices={COMPRESSION}
            value={tunnel.compression}
            onChange={(compression) => onChange({ tunnel: { ...tunnel, compression } })}
          />
          <div class="columns">
            {(['min', 'max'] as const).map((end) => (
              <CountField
                key={end}
                label={`${LABELS.subflows}, at ${end === 'min' ? 'least' : 'most'}`}
                empty="as the gateways choose"
                min={1}
                value={subflows[end]}
                onChange={(count) => onChange({ subflows: { ...subflows, [end]: count } })}
              />
            ))}
          </div>
        </fieldset>
      ) : null}
      <StageLimits value={draft.timeouts} onChange={(timeouts) => onChange({ timeouts })} />
      {fields.length === 0 ? null : (
        <fieldset>
          <legend>{LABELS.options}</legend>
          <SchemaFields
            fields={fields}
            places={there === undefined ? undefined : suggestionsOf(there)}
            typed={options}
            onChange={(name, text) => onChange({ options: { ...options, [name]: text } })}
          />
        </fieldset>
      )}
    </details>
  );
}

const MINUTE_MS = 60_000;

function StageLimits({ value, onChange }: { value: Timeouts; onChange: (value: Timeouts) => void }) {
  const set = (stage: string, minutes: number | null) => {
    const others = Object.entries(value).filter(([name]) => name !== stage);
    const mine = minutes === null ? [] : [[stage, Math.round(minutes * MINUTE_MS)] as const];
    onChange(Object.fromEntries([...others, ...mine]));
  };
  return (
    <fieldset>
      <legend>{LABELS.timeouts}</legend>
      <p class="hint">In minutes. A stage that takes longer ends the migration as a cancel does.</p>
      <div class="columns">
        {Object.entries(STAGES).map(([stage, [words, minutes]]) => {
          const limitMs = value[stage as keyof Timeouts];
          return (
            <CountField
              key={stage}
              label={words}
              empty={`${minutes}`}
              step="any"
              value={limitMs === undefined ? null : limitMs / MINUTE_MS}
              onChange={(limit) => set(stage, limit)}
            />
          );
        })}
      </div>
    </fieldset>
  );
}
