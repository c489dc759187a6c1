/** Names here and what they become there, pair by pair. */
import { useId } from 'preact/hooks';
import type { Draft } from './draft.ts';

type Pairs = Draft['networkMap'];

interface NameMapProps {
  readonly legend: string;
  readonly hint: string;
  readonly from: string;
  readonly to: string;
  /** What is likely to be meant on either side. */
  readonly suggestions?: { readonly from: readonly string[]; readonly to: readonly string[] };
  readonly value: Pairs;
  readonly onChange: (value: Pairs) => void;
}

export function NameMap({ legend, hint, from, to, suggestions, value, onChange }: NameMapProps) {
  const lists = { from: useId(), to: useId() };
  const replace = (at: number, pair: readonly [string, string]) =>
    onChange(value.map((old, i) => (i === at ? pair : old)));
  return (
    <fieldset>
      <legend>{legend}</legend>
      <p class="hint">{hint}</p>
      {(['from', 'to'] as const).map((side) => (
        <datalist key={side} id={lists[side]}>
          {suggestions?.[side].map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
      ))}
      {value.map(([source, destination], i) => (
        <div class="pair" key={i}>
          <input
            aria-label={from}
            placeholder={from}
            value={source}
            list={lists.from}
            onInput={({ currentTarget }) => replace(i, [currentTarget.value, destination])}
          />
          <input
            aria-label={to}
            placeholder={to}
            value={destination}
            list={lists.to}
            onInput={({ currentTarget }) => replace(i, [source, currentTarget.value])}
          />
          <button
            type="button"
            aria-label={`Remove ${source === '' ? 'this pair' : source}`}
            onClick={() => onChange(value.filter((_, k) => k !== i))}
          >
            ×
          </button>
        </div>
      ))}
      <button type="button" onClick={() => onChange([...value, ['', '']])}>
        Add
      </button>
    </fieldset>
  );
}
