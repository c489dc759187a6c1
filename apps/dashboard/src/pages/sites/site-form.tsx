/** Adds a site, or changes one. */
import { type Credential, type Site, versionOf } from '@lmas/client';
import { useState } from 'preact/hooks';
import { useResource } from '../../live/resource.ts';
import { go, href } from '../../navigation.ts';
import { CheckField, ChoiceField, NAME, NumberField, TextField } from '../../parts/form-fields.tsx';
import { FormPage } from '../../parts/form-page.tsx';
import { HostKeysField } from '../../parts/host-keys-field.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client } from '../../session/session.ts';
import { draftOf, emptySite, inputOf, type SiteDraft, settingsOf } from './site-draft.ts';

/** @param id of the one to be changed; undefined: a new one */
export function SiteForm({ id }: { id?: string }) {
  const loaded = useResource(
    async (options) => ({
      credentials: await client().listCredentials(options),
      site: id === undefined ? undefined : await client().getSite(id, options),
    }),
    [id],
  );
  return (
    <>
      <PageHeading title={id === undefined ? 'Add a site' : `Change ${id}`} within={['Sites', '/sites']} />
      <Loaded of={loaded}>{(data) => <Form {...data} />}</Loaded>
    </>
  );
}

function Form({ credentials, site }: { credentials: readonly Credential[]; site: Site | undefined }) {
  const [before] = useState(site);
  const [id, setId] = useState(before?.id ?? '');
  const [draft, setDraft] = useState<SiteDraft>(before === undefined ? emptySite : draftOf(before));
  const change = (changed: Partial<SiteDraft>) => setDraft((old) => ({ ...old, ...changed }));
  const save = useAction(async () => {
    if (before === undefined) await client().createSite(inputOf(id, draft));
    else await client().updateSite(id, settingsOf(draft), { ifMatch: versionOf(before) ?? '*' });
    go('/sites');
  });
  return (
    <FormPage verb={before === undefined ? 'Add the site' : 'Change the site'} action={save} back="/sites">
      <fieldset>
        <legend>The site</legend>
        {before === undefined ? (
          <TextField label="Name" pattern={NAME} placeholder="lisbon" value={id} onChange={setId} />
        ) : null}
        <TextField
          label="Description"
          isOptional
          value={draft.description}
          onChange={(description) => change({ description })}
        />
        <CheckField
          label="It has a machine where gateways can run"
          hint="Without one, only direct migrations (without a tunnel) are possible."
          value={draft.hasGateway}
          onChange={(hasGateway) => change({ hasGateway })}
        />
      </fieldset>
      {draft.hasGateway ? (
        <>
          <MachineFields {...{ draft, credentials }} onChange={change} />
          <AddressFields draft={draft} onChange={change} />
        </>
      ) : null}
    </FormPage>
  );
}

interface PartProps {
  readonly draft: SiteDraft;
  readonly onChange: (changed: Partial<SiteDraft>) => void;
}

function MachineFields({ draft, credentials, onChange }: PartProps & { credentials: readonly Credential[] }) {
  return (
    <fieldset>
      <legend>The gateway machine</legend>
      <p class="hint">Any x86-64 Linux with sshd. Nothing is installed there.</p>
      <div class="columns">
        <TextField
          label="SSH host"
          placeholder="gw-a.example.org"
          value={draft.host}
          onChange={(host) => onChange({ host })}
        />
        <NumberField label="SSH port" min={1} max={65_535} value={draft.port} onChange={(port) => onChange({ port })} />
        <ChoiceField
          label="Credential"
          none="choose one"
          choices={credentials.map(({ id, username, kind }) => [id, `${id} (${username}, ${kind})`] as const)}
          value={draft.credential}
          onChange={(credential) => onChange({ credential })}
        />
      </div>
      {credentials.length > 0 ? null : (
        <p class="hint">
          There is no credential yet: <a href={href('/credentials')}>add one</a> first.
        </p>
      )}
      <HostKeysField
        host={draft.host}
        port={draft.port}
        value={draft.hostKeys}
        onChange={(hostKeys) => onChange({ hostKeys })}
      />
    </fieldset>
  );
}

function AddressFields({ draft, onChange }: PartProps) {
  return (
    <fieldset>
      <legend>How it is reached</legend>
      <div class="columns">
        <TextField
          label="By other sites, at"
          placeholder="203.0.113.10"
          value={draft.tunnelAddress}
          onChange={(tunnelAddress) => onChange({ tunnelAddress })}
        />
        <TextField
          label="By hypervisors of this site, at"
          placeholder="10.1.0.10"
          hint="Further addresses with commas, for hypervisors that want fixed ports."
          value={draft.hypervisorAddresses}
          onChange={(hypervisorAddresses) => onChange({ hypervisorAddresses })}
        />
      </div>
      <CheckField
        label="Other sites may open connections to it"
        value={draft.listens}
        onChange={(listens) => onChange({ listens })}
      />
      {draft.listens ? (
        <div class="columns">
          <NumberField
            label="First port"
            min={1}
            max={65_535}
            value={draft.firstPort}
            onChange={(firstPort) => onChange({ firstPort })}
          />
          <NumberField
            label="Last port"
            min={1}
            max={65_535}
            value={draft.lastPort}
            onChange={(lastPort) => onChange({ lastPort })}
          />
          <TextField
            label="Listens at"
            isOptional
            placeholder="the address above"
            hint="If that is translated on the way (NAT)."
            value={draft.listenAddress}
            onChange={(listenAddress) => onChange({ listenAddress })}
          />
        </div>
      ) : null}
    </fieldset>
  );
}
