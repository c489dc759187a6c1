/**
 * Moves a VM, or rehearses that: picked from what really runs there, checked while the form is filled with the checks of the real run, so
 * that every finding and the predicted time are known before anybody commits.
 */
import type { Endpoint, Plugin } from '@lmas/client';
import { useState } from 'preact/hooks';
import { useInventory } from '../../live/inventory.ts';
import { useResource } from '../../live/resource.ts';
import { useTrial } from '../../live/use-trial.ts';
import { go, href, place } from '../../navigation.ts';
import { ConvergenceField } from '../../parts/convergence-field.tsx';
import { destinationsFrom, withSource } from '../../parts/destinations.ts';
import { Empty } from '../../parts/empty.tsx';
import { BandwidthField, CountField } from '../../parts/limit-fields.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { Problem } from '../../parts/problem.tsx';
import { fieldsOf, type SchemaField } from '../../parts/schema-values.ts';
import { uniqueId } from '../../parts/unique-id.ts';
import { useAction } from '../../parts/use-action.ts';
import { VmField } from '../../parts/vm-field.tsx';
import { client } from '../../session/session.ts';
import { CheckPanel } from './check-panel.tsx';
import { Details } from './details.tsx';
import { type Draft, emptyDraft, inWords, LABELS, requestOf, transportOf } from './draft.ts';
import { DrillFields } from './drill-fields.tsx';
import { Mappings } from './mappings.tsx';

export function NewMigrationPage() {
  const loaded = useResource(
    async (options) => ({
      endpoints: await client().listEndpoints(options),
      plugins: await client().listPlugins(options),
    }),
    [],
  );
  return (
    <>
      <PageHeading title="Move a VM" within={['Migrations', '/migrations']} />
      <Loaded of={loaded}>
        {({ endpoints, plugins }) =>
          endpoints.length < 2 ? (
            <Empty>
              <p>
                It takes two endpoints, and there {endpoints.length === 1 ? 'is one' : 'is none'}.{' '}
                <a href={href('/sites')}>Sites</a> says how to add some.
              </p>
            </Empty>
          ) : (
            <Form {...{ endpoints, plugins }} />
          )
        }
      </Loaded>
    </>
  );
}

interface FormProps {
  readonly endpoints: readonly Endpoint[];
  readonly plugins: readonly Plugin[];
}

function Form({ endpoints, plugins }: FormProps) {
  const { query } = place.value;
  const [draft, setDraft] = useState<Draft>(() => {
    const ends = { source: query.get('source') ?? '', destination: query.get('destination') ?? '' };
    return { ...emptyDraft, ...ends, vm: query.get('vm') ?? '', transport: transportOf(emptyDraft, ends) };
  });
  const [idempotencyKey, renewKey] = useState(uniqueId);
  const change = (changed: Partial<Draft>) => {
    setDraft((before) => ({ ...before, ...changed }));
    renewKey(uniqueId());
  };
  const changeEnds = (ends: Pick<Draft, 'source' | 'destination'>) =>
    change({ ...ends, transport: transportOf(draft, ends) });
  const source = endpoints.find(({ id }) => id === draft.source);
  const plugin = plugins.find(({ name }) => name === source?.plugin);
  const fields = fieldsOf(plugin?.optionsSchema ?? {});
  const there = useInventory(draft.destination);
  const { request, complaint } = attempt(draft, fields);
  const check = useTrial(request === null ? null : JSON.stringify(request), async (options) => {
    if (request === null) throw new Error('an incomplete form is not checked');
    return await client().checkMigration(request, options);
  });
  const submit = useAction(async () => {
    if (request === null) return;
    const migration = await client().createMigration(request, { idempotencyKey });
    go(`/migrations/${migration.id}`);
  });
  const blocked = check.result?.ok === false;
  return (
    <form
      class="new-migration"
      onSubmit={(event) => {
        event.preventDefault();
        void submit.run();
      }}
    >
      <div>
        <fieldset>
          <legend>What goes where</legend>
          <label>
            {LABELS.source}
            <select
              required
              value={draft.source}
              onChange={({ currentTarget }) => changeEnds(withSource(currentTarget.value, draft, endpoints))}
            >
              <option value="">choose an endpoint</option>
              {endpoints.map(({ id, site }) => (
                <option key={id} value={id}>
                  {id} (site {site})
                </option>
              ))}
            </select>
          </label>
          {draft.source === '' ? null : (
            <VmField key={draft.source} endpoint={draft.source} value={draft.vm} onChange={(vm) => change({ vm })} />
          )}
          <label>
            {LABELS.destination}
            <select
              required
              value={draft.destination}
              onChange={({ currentTarget }) => changeEnds({ source: draft.source, destination: currentTarget.value })}
            >
              <option value="">choose an endpoint</option>
              {destinationsFrom(draft.source, endpoints, {
                withItself: plugin?.capabilities.movesDisksAlone === true,
              }).map(({ id, site }) => (
                <option key={id} value={id}>
                  {id} ({id === draft.source ? 'its disks alone' : `site ${site}`})
                </option>
              ))}
            </select>
          </label>
          {plugin?.capabilities.drills === true || draft.drill !== null ? (
            <DrillFields value={draft.drill} onChange={(drill) => change({ drill })} />
          ) : null}
        </fieldset>
        <fieldset>
          <legend>How</legend>
          <label>
            {LABELS.transport}
            <select
              value={draft.transport}
              onChange={({ currentTarget }) => change({ transport: currentTarget.value as Draft['transport'] })}
            >
              <option value="tunnel">tunnel: encrypted, parallel</option>
              <option value="direct">direct: without a tunnel</option>
            </select>
          </label>
          {draft.drill === null ? (
            <ConvergenceField value={draft.convergence} onChange={(convergence) => change({ convergence })} />
          ) : null}
          <BandwidthField
            label={LABELS.bandwidthBytesPerSec}
            value={draft.bandwidthBytesPerSec}
            onChange={(bandwidthBytesPerSec) => change({ bandwidthBytesPerSec })}
          />
          {draft.drill === null ? (
            <CountField
              label={LABELS.maxDowntimeMs}
              min={1}
              empty="as the convergence setting says"
              value={draft.maxDowntimeMs}
              onChange={(maxDowntimeMs) => change({ maxDowntimeMs })}
            />
          ) : null}
          <label>
            {LABELS.priority}, 0 to 100
            <input
              type="number"
              min={0}
              max={100}
              required
              value={draft.priority}
              onInput={({ currentTarget }) => change({ priority: currentTarget.valueAsNumber })}
            />
          </label>
        </fieldset>
        <Mappings draft={draft} there={there} onChange={change} />
        <Details draft={draft} fields={fields} there={there} onChange={change} />
      </div>
      <div class="beside">
        <CheckPanel
          check={check}
          complete={request !== null}
          isDrill={draft.drill !== null}
          isDirect={draft.transport === 'direct'}
        />
        <Problem error={complaint ?? submit.error} inWords={inWords} />
        <button type="submit" class="primary" disabled={request === null || submit.busy || check.busy || blocked}>
          {check.busy
            ? 'The checks are made first'
            : blocked
              ? 'Blocked: see the findings'
              : draft.drill === null
                ? 'Move it'
                : 'Start the drill'}
        </button>
      </div>
    </form>
  );
}

/** A draft that makes no sense yet is no reason to take the form away. */
function attempt(draft: Draft, fields: readonly SchemaField[]) {
  try {
    return { request: requestOf(draft, fields), complaint: undefined };
  } catch (complaint) {
    return { request: null, complaint };
  }
}
