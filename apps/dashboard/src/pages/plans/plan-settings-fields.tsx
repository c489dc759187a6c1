/** The settings of a plan that people look for, as fields: each writes into the text of the plan, and follows it. */
import type { Plan } from '@lmas/client';
import { useMemo, useState } from 'preact/hooks';
import { ChoiceField, TextField } from '../../parts/form-fields.tsx';
import { namesIn } from '../../parts/vm-names.ts';
import type { Group, Setting } from './plan-settings.ts';
import { choicesOf, HINTS, LABELS, MEMORY, ORDER, POWERED_OFF, SILENT } from './plan-words.ts';

export type SettingsLibrary = typeof import('./plan-settings.ts');

interface PlanSettingsProps {
  readonly library: SettingsLibrary;
  readonly text: string;
  /** What the orchestrator says against what stands at that path of the plan. */
  readonly errorAt: (path: string) => string | undefined;
  readonly onChange: (text: string) => void;
}

export function PlanSettings({ library, text, errorAt, onChange }: PlanSettingsProps) {
  const settings = useMemo(() => library.settingsOf(text), [text]);
  if (settings === undefined) return <p class="hint">Fields for its settings come back when it is YAML again.</p>;
  const set = (path: Group['path'], value: Setting) => onChange(library.withSetting(text, path, value));
  return (
    <>
      <fieldset>
        <legend>What becomes of</legend>
        <ChoiceField
          label={LABELS.poweredOff}
          hint={HINTS.poweredOff}
          error={errorAt('poweredOff')}
          choices={choicesOf(POWERED_OFF, ['refuse', 'leave', 'move'])}
          value={settings.poweredOff as Plan['poweredOff']}
          onChange={(value) => set(['poweredOff'], value)}
        />
        <ChoiceField
          label={LABELS.silent}
          hint={HINTS.silent}
          error={errorAt('silent')}
          choices={choicesOf(SILENT, ['refuse', 'leave'])}
          value={settings.silent as Plan['silent']}
          onChange={(value) => set(['silent'], value)}
        />
        <ChoiceField
          label={LABELS.memory}
          hint={HINTS.memory}
          error={errorAt('memory')}
          choices={choicesOf(MEMORY, ['overcommit', 'check'])}
          value={settings.memory as Plan['memory']}
          onChange={(value) => set(['memory'], value)}
        />
      </fieldset>
      {settings.groups.map((group) => (
        <GroupFields key={group.path.join('.')} {...{ group, errorAt, set }} />
      ))}
    </>
  );
}

interface GroupFieldsProps {
  readonly group: Group;
  readonly errorAt: PlanSettingsProps['errorAt'];
  readonly set: (path: Group['path'], value: Setting) => void;
}

function GroupFields({ group: { path, words, first, order }, errorAt, set }: GroupFieldsProps) {
  const [typed, type] = useState('');
  const written = first.join(', ');
  const at = path.join('.');
  return (
    <fieldset>
      <legend>
        {words}, wave {Number(path[1]) + 1}: which begin when
      </legend>
      <div class="columns">
        <TextField
          label={LABELS.first}
          error={errorAt(`${at}.first`)}
          isOptional
          placeholder="dc-1, db-1"
          hint={HINTS.first}
          // A comma that was just typed has no name behind it yet, and is not in the plan.
          value={namesIn(typed).join(', ') === written ? typed : written}
          onChange={(value) => {
            type(value);
            set([...path, 'first'], namesIn(value));
          }}
        />
        <ChoiceField
          label={LABELS.order}
          error={errorAt(`${at}.order`)}
          choices={choicesOf(ORDER, ['name', 'smallest', 'largest'])}
          value={order as keyof typeof ORDER}
          onChange={(value) => set([...path, 'order'], value)}
        />
      </div>
    </fieldset>
  );
}
