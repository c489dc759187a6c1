/** Fields of forms: each with its label, and a hint where the label does not say it all. */
import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';

interface FieldProps<Value> {
  readonly label: string;
  readonly hint?: string;
  /** What the orchestrator says against what is in it. */
  readonly error?: string | undefined;
  readonly value: Value;
  readonly onChange: (value: Value) => void;
}

interface TextFieldProps extends FieldProps<string> {
  readonly placeholder?: string;
  readonly isOptional?: boolean;
  /** A regular expression that the whole has to fit, and the same in words. */
  readonly pattern?: readonly [expression: string, words: string];
  readonly type?: 'text' | 'url' | 'password' | 'datetime-local';
  /** What is likely to be meant, and what is to be known of it. */
  readonly suggestions?: readonly (string | { readonly value: string; readonly words: string })[];
}

/** What sites, endpoints, plans and the like may be called. */
export const NAME: readonly [string, string] = ['[a-z0-9][a-z0-9\\-]{0,62}', 'lower-case letters, digits and hyphens'];

/** Of the IANA table, as far as the browser knows it. */
export const ZONES = Intl.supportedValuesOf('timeZone');

interface Ids {
  readonly id: string;
  readonly 'aria-describedby': string | undefined;
  readonly 'aria-invalid': true | undefined;
}

interface FrameProps {
  readonly label: string;
  readonly hint: string | undefined;
  readonly error: string | undefined;
  readonly children: (ids: Ids) => ComponentChildren;
}

/** Hint and error are read out after the field, and are no part of its name. */
function Field({ label, hint, error, children }: FrameProps) {
  const id = useId();
  const notesId = `${id}-notes`;
  const hasNotes = hint !== undefined || error !== undefined;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({
        id,
        'aria-describedby': hasNotes ? notesId : undefined,
        'aria-invalid': error === undefined ? undefined : true,
      })}
      {hasNotes ? (
        <span class="hint" id={notesId}>
          {hint}
          <FieldError of={error} />
        </span>
      ) : null}
    </div>
  );
}

function FieldError({ of }: { of: string | undefined }) {
  return of === undefined ? null : <span class="field-error">{of}</span>;
}

export function TextField(props: TextFieldProps) {
  const { label, hint, error, value, onChange, placeholder, isOptional = false, pattern, type = 'text' } = props;
  const { suggestions } = props;
  const list = useId();
  return (
    <Field {...{ label, hint, error }}>
      {(ids) => (
        <>
          <input
            {...ids}
            // The types tell each kind of input apart; all of these take the same attributes.
            type={type as 'text'}
            required={!isOptional}
            value={value}
            placeholder={placeholder}
            pattern={pattern?.[0]}
            title={pattern?.[1]}
            {...(suggestions === undefined ? {} : { list })}
            autocomplete="off"
            onInput={({ currentTarget }) => onChange(currentTarget.value)}
          />
          {suggestions === undefined ? null : (
            <datalist id={list}>
              {suggestions
                .map((one) => (typeof one === 'string' ? { value: one, words: undefined } : one))
                .map(({ value, words }) => (
                  <option key={value} value={value} label={words} />
                ))}
            </datalist>
          )}
        </>
      )}
    </Field>
  );
}

interface TextAreaProps extends FieldProps<string> {
  readonly rows?: number;
  readonly isOptional?: boolean;
  readonly placeholder?: string;
}

export function TextArea(props: TextAreaProps) {
  const { label, hint, error, value, onChange, rows = 4, isOptional = false, placeholder } = props;
  return (
    <Field {...{ label, hint, error }}>
      {(ids) => (
        <textarea
          {...ids}
          rows={rows}
          required={!isOptional}
          value={value}
          placeholder={placeholder}
          spellcheck={false}
          onInput={({ currentTarget }) => onChange(currentTarget.value)}
        />
      )}
    </Field>
  );
}

interface ChoiceFieldProps<Value extends string> extends FieldProps<Value> {
  readonly choices: readonly (readonly [value: Value, words: string])[];
  /** What stands there while nothing is chosen. */
  readonly none?: string;
  readonly isOptional?: boolean;
}

export function ChoiceField<Value extends string>(props: ChoiceFieldProps<Value>) {
  const { label, hint, error, value, onChange, choices, none, isOptional = false } = props;
  return (
    <Field {...{ label, hint, error }}>
      {(ids) => (
        <select
          {...ids}
          required={!isOptional}
          value={value}
          onChange={({ currentTarget }) => onChange(currentTarget.value as Value)}
        >
          {none === undefined ? null : <option value="">{none}</option>}
          {choices.map(([choice, words]) => (
            <option key={choice} value={choice}>
              {words}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

interface NumberFieldProps extends FieldProps<number> {
  readonly min?: number;
  readonly max?: number;
  readonly step?: number | 'any';
  readonly unit?: string;
}

/** A number that has to be there; while nothing is, it is not a number. */
export function NumberField({ label, hint, error, value, onChange, min, max, step = 1, unit }: NumberFieldProps) {
  return (
    <Field {...{ label, hint, error }}>
      {(ids) => (
        <span class="with-unit">
          <input
            {...ids}
            type="number"
            required
            {...{ min, max, step }}
            value={Number.isNaN(value) ? '' : value}
            onInput={({ currentTarget }) => onChange(currentTarget.valueAsNumber)}
          />
          {unit}
        </span>
      )}
    </Field>
  );
}

export function CheckField({ label, hint, value, onChange }: Omit<FieldProps<boolean>, 'error'>) {
  return (
    <>
      <label class="check">
        <input type="checkbox" checked={value} onChange={({ currentTarget }) => onChange(currentTarget.checked)} />
        {label}
      </label>
      <Hint of={hint} />
    </>
  );
}

interface ManyFieldProps {
  readonly legend: string;
  readonly hint?: string;
  readonly error?: string | undefined;
  readonly choices: readonly (readonly [value: string, words: string])[];
  readonly value: readonly string[];
  readonly onChange: (value: readonly string[]) => void;
}

/** Any number of them, in the order in which they are offered. */
export function ManyField({ legend, hint, error, choices, value, onChange }: ManyFieldProps) {
  const errorId = useId();
  const toggle = (one: string, isChosen: boolean) =>
    onChange(
      choices.map(([choice]) => choice).filter((choice) => (choice === one ? isChosen : value.includes(choice))),
    );
  return (
    <fieldset aria-describedby={error === undefined ? undefined : errorId}>
      <legend>{legend}</legend>
      <Hint of={hint} />
      {error === undefined ? null : (
        <div id={errorId}>
          <FieldError of={error} />
        </div>
      )}
      <div class="choices">
        {choices.map(([choice, words]) => (
          <label key={choice} class="check">
            <input
              type="checkbox"
              checked={value.includes(choice)}
              onChange={({ currentTarget }) => toggle(choice, currentTarget.checked)}
            />
            {words}
          </label>
        ))}
      </div>
    </fieldset>
  );
}

function Hint({ of }: { of: ComponentChildren }) {
  return of === undefined ? null : <span class="hint">{of}</span>;
}
