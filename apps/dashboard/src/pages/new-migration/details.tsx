/** What most migrations leave as it is: names of one's own, the tunnel, and the options that only this hypervisor has. */
import { ChoiceField, TextField } from '../../parts/form-fields.tsx';
import { SchemaFields } from '../../parts/schema-fields.tsx';
import type { SchemaField } from '../../parts/schema-values.ts';
import { type Compression, type Draft, LABELS, type Suite } from './draft.ts';
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
  readonly onChange: (changed: Partial<Draft>) => void;
}

export function Details({ draft, fields, onChange }: DetailsProps) {
  const { tunnel, options } = draft;
  return (
    <details class="more">
      <summary>More: labels, tunnel, options of the hypervisor</summary>
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
        </fieldset>
      ) : null}
      {fields.length === 0 ? null : (
        <fieldset>
          <legend>{LABELS.options}</legend>
          <SchemaFields
            fields={fields}
            typed={options}
            onChange={(name, text) => onChange({ options: { ...options, [name]: text } })}
          />
        </fieldset>
      )}
    </details>
  );
}
