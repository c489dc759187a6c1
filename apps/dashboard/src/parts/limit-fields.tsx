/** Fields for what may be left out: empty is null, and the field says what that means. */

interface FieldProps {
  readonly label: string;
  /** What an empty field means; default: unlimited. */
  readonly empty?: string;
  readonly value: number | null;
  readonly onChange: (value: number | null) => void;
}

const BITS_PER_BYTE = 8;
const MEGA = 1_000_000;

export function CountField({
  label,
  empty = 'unlimited',
  value,
  onChange,
  min = 0,
  step = 1,
}: FieldProps & { readonly min?: number; readonly step?: number | 'any' }) {
  return (
    <label>
      {label}
      <input
        type="number"
        min={min}
        step={step}
        value={value ?? ''}
        placeholder={empty}
        onInput={({ currentTarget }) => onChange(numberOf(currentTarget))}
      />
    </label>
  );
}

/** Bytes per second inside, megabits per second for people. */
export function BandwidthField({ label, empty = 'unlimited', value, onChange }: FieldProps) {
  return (
    <label>
      {label}
      <span class="with-unit">
        <input
          type="number"
          min={0}
          step="any"
          value={value === null ? '' : (value * BITS_PER_BYTE) / MEGA}
          placeholder={empty}
          onInput={({ currentTarget }) => {
            const megabits = numberOf(currentTarget);
            onChange(megabits === null ? null : Math.round((megabits * MEGA) / BITS_PER_BYTE));
          }}
        />
        Mbit/s
      </span>
    </label>
  );
}

function numberOf({ value, valueAsNumber }: HTMLInputElement): number | null {
  return value.trim() === '' || !Number.isFinite(valueAsNumber) ? null : valueAsNumber;
}
