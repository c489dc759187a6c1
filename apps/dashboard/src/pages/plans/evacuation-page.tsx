/** Moves everything that runs on a host, or at a site, somewhere else, in one go. Also the way to fill a new site. */
import type { Endpoint, Site } from '@lmas/client';
import { useState } from 'preact/hooks';
import { useResource } from '../../live/resource.ts';
import { go } from '../../navigation.ts';
import { complaintAt } from '../../parts/complaints.ts';
import { CheckField, ChoiceField, NumberField, TextField } from '../../parts/form-fields.tsx';
import { FormPage } from '../../parts/form-page.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client, mayForAll } from '../../session/session.ts';
import {
  type EvacuationDraft,
  emptyEvacuation,
  fieldOf,
  inWords,
  isOfSite,
  LABELS,
  requestOf,
} from './evacuation-draft.ts';
import { choicesOf, HINTS, MEMORY, ORDER, POWERED_OFF, SILENT } from './plan-words.ts';

export function EvacuationPage() {
  const places = useResource(
    async (options) => ({
      sites: await client().listSites(options),
      endpoints: await client().listEndpoints(options),
    }),
    [],
  );
  return (
    <>
      <PageHeading title="Empty a host or a site" within={['Plans', '/plans']} />
      <p>
        All VMs that run there are moved, live, as a run that can be followed, paused, cancelled and taken back. Every
        VM is checked first.
      </p>
      <Loaded of={places}>{(data) => <Form {...data} />}</Loaded>
    </>
  );
}

function Form(places: Pick<PartProps, 'sites' | 'endpoints'>) {
  const [draft, setDraft] = useState(emptyEvacuation);
  const change = (changed: Partial<EvacuationDraft>) => setDraft((old) => ({ ...old, ...changed }));
  const start = useAction(async () => go(`/plan-runs/${(await client().evacuate(requestOf(draft))).id}`));
  const part = {
    ...{ draft, ...places, onChange: change },
    errorAt: (name: keyof EvacuationDraft) => complaintAt(start.error, (path) => fieldOf(path) === name),
  };
  return (
    <FormPage verb="Check, and move them" action={start} back="/plans" inWords={inWords}>
      <WhatFields {...part} />
      <HowFields {...part} />
    </FormPage>
  );
}

interface PartProps {
  readonly draft: EvacuationDraft;
  readonly sites: readonly Site[];
  readonly endpoints: readonly Endpoint[];
  readonly onChange: (changed: Partial<EvacuationDraft>) => void;
  readonly errorAt: (name: keyof EvacuationDraft) => string | undefined;
}

function WhatFields({ draft, sites, endpoints, onChange, errorAt }: PartProps) {
  const { source, destination } = draft;
  const choices = [
    ...sites.map(({ id }) => [`site:${id}`, `site ${id}`] as const),
    ...endpoints.map(({ id, site }) => [`endpoint:${id}`, `${id} (site ${site})`] as const),
  ];
  return (
    <fieldset>
      <legend>What goes where</legend>
      <div class="columns">
        <ChoiceField
          label={LABELS.source}
          error={errorAt('source')}
          none="choose a host or a site"
          choices={choices.filter(([choice]) => choice !== destination)}
          value={source}
          onChange={(chosen) => onChange({ source: chosen })}
        />
        <ChoiceField
          label={LABELS.destination}
          error={errorAt('destination')}
          none="choose a host or a site"
          choices={choices.filter(([choice]) => choice !== source)}
          value={destination}
          onChange={(chosen) => onChange({ destination: chosen })}
        />
      </div>
      <TextField
        label={LABELS.except}
        error={errorAt('except')}
        isOptional
        placeholder="db-1, db-2"
        hint={HINTS.except}
        value={draft.except}
        onChange={(except) => onChange({ except })}
      />
      {isOfSite(draft) ? (
        <ChoiceField
          label={LABELS.silent}
          error={errorAt('silent')}
          hint={HINTS.silent}
          choices={choicesOf(SILENT, ['leave', 'refuse'])}
          value={draft.silent}
          onChange={(silent) => onChange({ silent })}
        />
      ) : null}
      <ChoiceField
        label={LABELS.poweredOff}
        hint={HINTS.poweredOff}
        error={errorAt('poweredOff')}
        choices={choicesOf(POWERED_OFF, ['move', 'leave', 'refuse'])}
        value={draft.poweredOff}
        onChange={(poweredOff) => onChange({ poweredOff })}
      />
      {mayForAll('operator') ? (
        <CheckField
          label={LABELS.cordon}
          hint={HINTS.cordon}
          value={draft.cordon}
          onChange={(cordon) => onChange({ cordon })}
        />
      ) : null}
    </fieldset>
  );
}

function HowFields({ draft, onChange, errorAt }: PartProps) {
  return (
    <fieldset>
      <legend>How</legend>
      <div class="columns">
        <TextField
          label={LABELS.first}
          error={errorAt('first')}
          isOptional
          placeholder="dc-1, db-1"
          hint={HINTS.first}
          value={draft.first}
          onChange={(first) => onChange({ first })}
        />
        <ChoiceField
          label={LABELS.order}
          error={errorAt('order')}
          choices={choicesOf(ORDER, ['name', 'smallest', 'largest'])}
          value={draft.order}
          onChange={(order) => onChange({ order })}
        />
        <NumberField
          label={LABELS.concurrency}
          error={errorAt('concurrency')}
          min={1}
          max={100}
          value={draft.concurrency}
          onChange={(concurrency) => onChange({ concurrency })}
        />
      </div>
      <ChoiceField
        label={LABELS.memory}
        error={errorAt('memory')}
        hint={HINTS.memory}
        choices={choicesOf(MEMORY, ['check', 'overcommit'])}
        value={draft.memory}
        onChange={(memory) => onChange({ memory })}
      />
      <ChoiceField
        label={LABELS.onFailure}
        choices={[
          ['go-on', 'the others go on'],
          ['stop', 'nothing more begins'],
        ]}
        value={draft.onFailure}
        onChange={(onFailure) => onChange({ onFailure })}
      />
      <ChoiceField
        label={LABELS.transport}
        choices={[
          ['tunnel', 'tunnel: encrypted, parallel'],
          ['direct', 'direct: without a tunnel'],
        ]}
        value={draft.transport}
        onChange={(transport) => onChange({ transport })}
      />
    </fieldset>
  );
}
