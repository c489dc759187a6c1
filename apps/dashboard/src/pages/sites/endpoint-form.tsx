/** Adds an endpoint, or changes the login and the settings of one. What it is asked for comes from its plugin. */
import { type Credential, type Endpoint, type Plugin, type Site, versionOf } from '@lmas/client';
import { useState } from 'preact/hooks';
import { useResource } from '../../live/resource.ts';
import { go, href } from '../../navigation.ts';
import { ChoiceField, NAME, TextField } from '../../parts/form-fields.tsx';
import { FormPage } from '../../parts/form-page.tsx';
import { HostKeysField } from '../../parts/host-keys-field.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { SchemaFields } from '../../parts/schema-fields.tsx';
import { fieldsOf, textOf, valuesOf } from '../../parts/schema-values.ts';
import { useAction } from '../../parts/use-action.ts';
import { client } from '../../session/session.ts';

/** @param id of the one to be changed; undefined: a new one */
export function EndpointForm({ id }: { id?: string }) {
  const loaded = useResource(
    async (options) => ({
      sites: await client().listSites(options),
      plugins: await client().listPlugins(options),
      credentials: await client().listCredentials(options),
      endpoint: id === undefined ? undefined : await client().getEndpoint(id, options),
    }),
    [id],
  );
  return (
    <>
      <PageHeading
        title={id === undefined ? 'Add an endpoint' : `Change ${id}`}
        within={id === undefined ? ['Sites', '/sites'] : [id, `/endpoints/${id}`]}
      />
      <Loaded of={loaded}>{(data) => <Form {...data} />}</Loaded>
    </>
  );
}

interface FormProps {
  readonly sites: readonly Site[];
  readonly plugins: readonly Plugin[];
  readonly credentials: readonly Credential[];
  readonly endpoint: Endpoint | undefined;
}

function Form({ sites, plugins, credentials, endpoint }: FormProps) {
  const [before] = useState(endpoint);
  const [id, setId] = useState(before?.id ?? '');
  const [site, setSite] = useState(before?.site ?? '');
  const [plugin, setPlugin] = useState(before?.plugin ?? (plugins.length === 1 ? (plugins[0]?.name ?? '') : ''));
  const [credential, setCredential] = useState(before?.credential ?? '');
  const fields = fieldsOf(plugins.find(({ name }) => name === plugin)?.configSchema ?? {});
  const [typed, setTyped] = useState<Record<string, string>>(() =>
    Object.fromEntries(fields.map(({ name, kind }) => [name, textOf(before?.config[name], kind)])),
  );
  const type = (name: string, text: string) => setTyped((old) => ({ ...old, [name]: text }));
  const save = useAction(async () => {
    const config = valuesOf(fields, typed);
    if (before === undefined) await client().createEndpoint({ id, site, plugin, credential, config });
    else await client().updateEndpoint(id, { credential, config }, { ifMatch: versionOf(before) ?? '*' });
    go(`/endpoints/${id}`);
  });
  const asksForHostKeys = fields.some(({ name }) => name === 'hostKeys') && fields.some(({ name }) => name === 'host');
  return (
    <FormPage
      verb={before === undefined ? 'Add the endpoint' : 'Change the endpoint'}
      action={save}
      isBlocked={plugin === ''}
      back={before === undefined ? '/sites' : `/endpoints/${before.id}`}
    >
      <fieldset>
        <legend>The endpoint</legend>
        <p class="hint">A libvirt host, a vCenter, a pool: where hypervisors are told what to do.</p>
        {before === undefined ? (
          <div class="columns">
            <TextField label="Name" pattern={NAME} placeholder="host-a" value={id} onChange={setId} />
            <ChoiceField
              label="Site"
              none="choose one"
              choices={sites.map((one) => [one.id, one.id] as const)}
              value={site}
              onChange={setSite}
            />
            <ChoiceField
              label="Plugin"
              none="choose one"
              choices={plugins.map(({ name }) => [name, name] as const)}
              value={plugin}
              onChange={setPlugin}
            />
          </div>
        ) : null}
        <ChoiceField
          label="Credential"
          none="choose one"
          choices={credentials.map((one) => [one.id, `${one.id} (${one.username}, ${one.kind})`] as const)}
          value={credential}
          onChange={setCredential}
        />
        {credentials.length > 0 ? null : (
          <p class="hint">
            There is no credential yet: <a href={href('/credentials')}>add one</a> first.
          </p>
        )}
      </fieldset>
      {fields.length === 0 ? null : (
        <fieldset>
          <legend>Settings of {plugin}</legend>
          <SchemaFields
            fields={fields.filter(({ name }) => !asksForHostKeys || name !== 'hostKeys')}
            typed={typed}
            onChange={type}
          />
          {asksForHostKeys ? (
            <HostKeysField
              host={typed.host ?? ''}
              port={Number(typed.port || '22')}
              value={typed.hostKeys ?? ''}
              onChange={(text) => type('hostKeys', text)}
            />
          ) : null}
        </fieldset>
      )}
    </FormPage>
  );
}
