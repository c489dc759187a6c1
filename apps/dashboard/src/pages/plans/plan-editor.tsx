/**
 * A plan as it is written, in YAML: tried against the orchestrator while it is typed, so that everything that would be refused
 * is told before anybody stores it.
 */
import { LmasApiError, type Plan, type PlanInput, versionOf } from '@lmas/client';
import { useState } from 'preact/hooks';
import { useResource } from '../../live/resource.ts';
import { useTrial } from '../../live/use-trial.ts';
import { go } from '../../navigation.ts';
import { Badge } from '../../parts/badge.tsx';
import { complaintAt } from '../../parts/complaints.ts';
import { NAME, TextArea, TextField } from '../../parts/form-fields.tsx';
import { FormPage } from '../../parts/form-page.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { Problem } from '../../parts/problem.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client } from '../../session/session.ts';
import { wavesOfPlan } from './drawn-waves.ts';
import { PlanSettings, type SettingsLibrary } from './plan-settings-fields.tsx';
import { WaveTrack } from './wave-track.tsx';

const EXAMPLE = `description: Payments, from Lisbon to Porto
rtoMs: 3600000                 # how long the whole may take
waves:
  - name: databases
    concurrency: 1             # so many move at once
    onFailure: roll-back       # stop | go-on | roll-back
    vms:
      - { kind: vm, vm: db-1, source: { endpoint: host-a }, destination: { endpoint: host-b } }
    afterwards: { approval: true }
  - name: everything else
    onFailure: go-on
    vms:
      - { kind: host, source: host-a, destination: { endpoint: host-b }, except: [db-1] }
`;

/** @param id of the one to be changed; undefined: a new one */
export function PlanEditor({ id }: { id?: string }) {
  const loaded = useResource(
    async (options) => (id === undefined ? { plan: null } : { plan: await client().getPlan(id, options) }),
    [id],
  );
  return (
    <>
      <PageHeading
        title={id === undefined ? 'Write a plan' : `Change ${id}`}
        within={id === undefined ? ['Plans', '/plans'] : [id, `/plans/${id}`]}
      />
      <Loaded of={loaded}>{({ plan }) => <Written plan={plan} />}</Loaded>
    </>
  );
}

/** The library for YAML comes when a plan is written, and not before. */
const yaml = () => import('yaml');
const settingsLibrary = (): Promise<SettingsLibrary> => import('./plan-settings.ts');

async function textOf({ id: _, project: __, createdAt: ___, changedAt: ____, ...body }: Plan): Promise<string> {
  return (await yaml()).stringify(body, { lineWidth: 110 });
}

function Written({ plan }: { plan: Plan | null }) {
  const [before] = useState(plan);
  const loaded = useResource(
    async () => ({ text: before === null ? EXAMPLE : await textOf(before), library: await settingsLibrary() }),
    [],
  );
  return <Loaded of={loaded}>{(parts) => <Editor before={before} {...parts} />}</Loaded>;
}

interface EditorProps {
  readonly before: Plan | null;
  readonly text: string;
  readonly library: SettingsLibrary;
}

function Editor({ before, text, library }: EditorProps) {
  const [id, setId] = useState(before?.id ?? '');
  const [written, setWritten] = useState(text);
  const trial = useTrial(`${id}\n${written}`, async (options) => {
    const body = await bodyOf(written);
    // Without a name there is nothing to ask about it, but what is no YAML is told all the same.
    return id === '' ? undefined : await client().putPlan(id, body, { dryRun: true, ...options });
  });
  const ifMatch = before === null ? null : (versionOf(before) ?? '*');
  const save = useAction(async () => {
    const stored = await client()
      .putPlan(id, await bodyOf(written), { ifMatch })
      .catch(inOtherWords);
    go(`/plans/${stored.id}`);
  });
  return (
    <FormPage
      verb={before === null ? 'Store the plan' : 'Change the plan'}
      action={save}
      isBlocked={trial.result === undefined}
      back={before === null ? '/plans' : `/plans/${before.id}`}
    >
      {before === null ? (
        <TextField label="Name" pattern={NAME} placeholder="payments" value={id} onChange={setId} />
      ) : null}
      <TextArea
        label="Plan"
        hint="YAML or JSON. What each field means is in the documentation of plans; the fields below write into it."
        rows={22}
        value={written}
        onChange={setWritten}
      />
      <PlanSettings
        library={library}
        text={written}
        errorAt={(path) => complaintAt(trial.error, (at) => at === path || at.startsWith(`${path}.`))}
        onChange={setWritten}
      />
      <section aria-live="polite" aria-busy={trial.busy} aria-label="What the orchestrator says of it">
        {trial.busy ? <p class="muted">It is being looked at …</p> : null}
        <Problem error={trial.error} asksAgain />
        {trial.result === undefined ? null : (
          <>
            <p>
              <Badge tone="good">it can be stored</Badge>
            </p>
            <WaveTrack waves={wavesOfPlan(trial.result)} />
          </>
        )}
      </section>
    </FormPage>
  );
}

/** Whoever makes a plan has no version to name. */
function inOtherWords(error: unknown): never {
  if (!(error instanceof LmasApiError && error.code === 'PRECONDITION_REQUIRED')) throw error;
  throw new Error('There is a plan of this name already. Give yours another name, or go back and change that one.');
}

/** @throws what is wrong with the YAML, with its line */
async function bodyOf(text: string): Promise<PlanInput> {
  const document = (await yaml()).parseDocument(text, { prettyErrors: true, uniqueKeys: true });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined) throw new Error(`This is not YAML: ${problem.message.trimEnd()}`);
  // The orchestrator says what a plan is, and everything that is wrong with this one.
  return document.toJS({ maxAliasCount: 100 }) as PlanInput;
}
