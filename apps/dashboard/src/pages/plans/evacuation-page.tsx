/** Moves everything that runs on a host, or at a site, somewhere else, in one go. Also the way to fill a new site. */
import type { Endpoint, EvacuationInput, Site } from '@lmas/client';
import { useState } from 'preact/hooks';
import { useResource } from '../../live/resource.ts';
import { go } from '../../navigation.ts';
import { ChoiceField, NumberField, TextField } from '../../parts/form-fields.tsx';
import { FormPage } from '../../parts/form-page.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client } from '../../session/session.ts';

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

/** `endpoint:host-a` or `site:lisbon`, as the choices name it. */
function placeOf(choice: string): { endpoint: string } | { site: string } {
  const [kind, id = ''] = choice.split(':');
  return kind === 'site' ? { site: id } : { endpoint: id };
}

function Form({ sites, endpoints }: { sites: readonly Site[]; endpoints: readonly Endpoint[] }) {
  const [source, setSource] = useState('');
  const [destination, setDestination] = useState('');
  const [except, setExcept] = useState('');
  const [concurrency, setConcurrency] = useState(2);
  const [onFailure, setOnFailure] = useState<'go-on' | 'stop'>('go-on');
  const [poweredOff, setPoweredOff] = useState<'move' | 'leave' | 'refuse'>('move');
  const [transport, setTransport] = useState<'tunnel' | 'direct'>('tunnel');
  const choices = [
    ...sites.map(({ id }) => [`site:${id}`, `site ${id}`] as const),
    ...endpoints.map(({ id, site }) => [`endpoint:${id}`, `${id} (site ${site})`] as const),
  ];
  const start = useAction(async () => {
    const input: EvacuationInput = {
      ...{ source: placeOf(source), destination: placeOf(destination), concurrency, onFailure, poweredOff },
      except: except
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== ''),
      migration: { transport },
    };
    go(`/plan-runs/${(await client().evacuate(input)).id}`);
  });
  return (
    <FormPage verb="Check, and move them" action={start} back="/plans">
      <fieldset>
        <legend>What goes where</legend>
        <div class="columns">
          <ChoiceField
            label="Empty"
            none="choose a host or a site"
            choices={choices.filter(([choice]) => choice !== destination)}
            value={source}
            onChange={setSource}
          />
          <ChoiceField
            label="Move all to"
            none="choose a host or a site"
            choices={choices.filter(([choice]) => choice !== source)}
            value={destination}
            onChange={setDestination}
          />
        </div>
        <TextField
          label="Except"
          isOptional
          placeholder="db-1, db-2"
          hint="VMs that stay: names or ids, with commas."
          value={except}
          onChange={setExcept}
        />
      </fieldset>
      <fieldset>
        <legend>How</legend>
        <NumberField label="So many at once" min={1} max={100} value={concurrency} onChange={setConcurrency} />
        <ChoiceField
          label="After a failure"
          choices={[
            ['go-on', 'the others go on'],
            ['stop', 'nothing more begins'],
          ]}
          value={onFailure}
          onChange={setOnFailure}
        />
        <ChoiceField
          label="VMs that are powered off"
          choices={[
            ['move', 'are moved as they are'],
            ['leave', 'stay where they are'],
            ['refuse', 'make the run be refused'],
          ]}
          value={poweredOff}
          onChange={setPoweredOff}
        />
        <ChoiceField
          label="Transport"
          choices={[
            ['tunnel', 'tunnel: encrypted, many connections in parallel'],
            ['direct', 'direct (without a tunnel): from host to host'],
          ]}
          value={transport}
          onChange={setTransport}
        />
      </fieldset>
    </FormPage>
  );
}
