/** Whether the VM moves, or a copy of it shows that it would come up. */
import { ChoiceField, NumberField } from '../../parts/form-fields.tsx';
import { type Draft, KEEP_MS } from './draft.ts';

const MINUTE_MS = 60_000;

interface DrillFieldsProps {
  readonly value: Draft['drill'];
  readonly onChange: (value: Draft['drill']) => void;
}

export function DrillFields({ value, onChange }: DrillFieldsProps) {
  return (
    <>
      <ChoiceField
        label="What is done"
        choices={[
          ['move', 'Move it'],
          ['drill', 'Rehearse it (drill): a copy is started there and undone, the VM is not touched'],
        ]}
        value={value === null ? 'move' : 'drill'}
        onChange={(choice) => onChange(choice === 'move' ? null : { keepMs: KEEP_MS })}
      />
      {value === null ? null : (
        <NumberField
          label="The copy is kept for"
          hint="From when it is up. A cancel undoes it at once."
          min={0}
          step="any"
          unit="min"
          value={value.keepMs / MINUTE_MS}
          onChange={(minutes) => onChange({ keepMs: Math.round(minutes * MINUTE_MS) })}
        />
      )}
    </>
  );
}
