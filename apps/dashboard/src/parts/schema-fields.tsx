/** Fields for what a plugin asks for, made of its JSON schema. */
import { ChoiceField, TextArea, TextField } from './form-fields.tsx';
import type { Suggestion, Suggestions } from './places.ts';
import type { SchemaField } from './schema-values.ts';

interface SchemaFieldsProps {
  readonly fields: readonly SchemaField[];
  /** For what names a place. */
  readonly places?: Suggestions | undefined;
  readonly typed: Readonly<Record<string, string>>;
  readonly onChange: (name: string, text: string) => void;
}

export function SchemaFields({ fields, places, typed, onChange }: SchemaFieldsProps) {
  return (
    <>
      {fields.map((field) => (
        <One
          key={field.name}
          field={field}
          suggestions={field.names === undefined ? undefined : places?.[field.names]}
          value={typed[field.name] ?? ''}
          onChange={(text) => onChange(field.name, text)}
        />
      ))}
    </>
  );
}

interface OneProps {
  readonly field: SchemaField;
  readonly suggestions: readonly Suggestion[] | undefined;
  readonly value: string;
  readonly onChange: (text: string) => void;
}

function One({ field, suggestions, value, onChange }: OneProps) {
  const { name, kind, isRequired, description, usual, choices } = field;
  const shared = { label: name, value, onChange, isOptional: !isRequired };
  const hint = [description, kind === 'lines' ? 'One a line.' : '', kind === 'json' ? 'As JSON.' : '']
    .filter((word) => word !== '')
    .join('. ')
    .replaceAll('..', '.');
  const said = hint === '' ? {} : { hint };
  if (kind === 'choice' || kind === 'flag') {
    const offered = kind === 'flag' ? ['true', 'false'] : choices;
    return (
      <ChoiceField
        {...shared}
        {...said}
        none={usual === '' ? 'as usual' : `as usual: ${usual}`}
        choices={offered.map((choice) => [choice, choice] as const)}
      />
    );
  }
  if (kind === 'lines' || kind === 'json') return <TextArea {...shared} {...said} rows={2} placeholder={usual} />;
  const offered = suggestions === undefined ? {} : { suggestions };
  return <TextField {...shared} {...said} {...offered} placeholder={usual} />;
}
