/** Sites, the endpoints at each, and the links between them. */
import type { Endpoint, Site } from '@lmas/client';
import { useResource } from '../../live/resource.ts';
import { href } from '../../navigation.ts';
import { Badge } from '../../parts/badge.tsx';
import { Empty } from '../../parts/empty.tsx';
import { Fields } from '../../parts/fields.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { Removal } from '../../parts/removal.tsx';
import { client, mayForAll } from '../../session/session.ts';
import { Links } from '../links/links.tsx';
import { GatewayTest } from './gateway-test.tsx';

export function SitesPage() {
  const places = useResource(
    async (options) => ({
      sites: await client().listSites(options),
      endpoints: await client().listEndpoints(options),
    }),
    [],
  );
  return (
    <>
      <PageHeading title="Sites">
        {mayForAll('admin') ? (
          <span class="aside">
            <a class="button" href={href('/new/endpoint')}>
              Add an endpoint
            </a>
            <a class="button primary" href={href('/new/site')}>
              Add a site
            </a>
          </span>
        ) : null}
      </PageHeading>
      <Loaded of={places}>
        {({ sites, endpoints }) => (
          <>
            {sites.length === 0 ? <FirstSite /> : null}
            <div class="cards">
              {sites.map((site) => (
                <SiteCard
                  key={site.id}
                  site={site}
                  endpoints={endpoints.filter((endpoint) => endpoint.site === site.id)}
                  onChanged={places.reload}
                />
              ))}
            </div>
            {mayForAll('viewer') && sites.length > 1 ? <Links sites={sites} /> : null}
          </>
        )}
      </Loaded>
    </>
  );
}

function FirstSite() {
  return (
    <Empty>
      <p>
        There is no site yet. A site is a data centre: its hypervisors, and a machine where a gateway can run. It takes
        three steps: <a href={href('/credentials')}>a credential</a>, <a href={href('/new/site')}>a site</a>,{' '}
        <a href={href('/new/endpoint')}>an endpoint</a>, and the same for the other side. The command line does it as
        well:
      </p>
      <pre>
        {`lmas credential add ops --username root --private-key-file ~/.ssh/id_ed25519
lmas site add a --gateway gw-a.example.org --gateway-credential ops --gateway-host-key SHA256:…
lmas endpoint add host-a --site a --plugin kvm --credential ops \\
    --config host=host-a.example.org --config hostKeys=SHA256:… --config migrationAddress=10.1.0.10`}
      </pre>
    </Empty>
  );
}

interface SiteCardProps {
  readonly site: Site;
  readonly endpoints: readonly Endpoint[];
  readonly onChanged: () => void;
}

function SiteCard({ site, endpoints, onChanged }: SiteCardProps) {
  const { gateway } = site;
  return (
    <section class="card" aria-label={`Site ${site.id}`}>
      <h2>{site.id}</h2>
      {site.description === '' ? null : <p class="muted">{site.description}</p>}
      {gateway === null ? (
        <p>No gateway machine: only direct migrations (without a tunnel).</p>
      ) : (
        <Fields
          of={[
            ['Gateway machine', `${gateway.ssh.host}:${gateway.ssh.port}`],
            [
              'Other sites reach it at',
              `${gateway.tunnelAddress}, ports ${gateway.tunnelPorts.min}–${gateway.tunnelPorts.max}`,
            ],
            ['Hypervisors reach it at', [gateway.hypervisorAddress, ...gateway.moreHypervisorAddresses].join(', ')],
            ['Connections', gateway.listens ? 'accepts those of other sites' : 'opens them itself'],
          ]}
        />
      )}
      <h3>Endpoints</h3>
      {endpoints.length === 0 ? (
        <p class="muted">None.</p>
      ) : (
        <ul>
          {endpoints.map(({ id, plugin, cordonedAt }) => (
            <li key={id}>
              <a href={href(`/endpoints/${id}`)}>{id}</a> <span class="muted">{plugin}</span>{' '}
              {cordonedAt === null ? null : <Badge tone="warning">takes no VMs</Badge>}
            </li>
          ))}
        </ul>
      )}
      <div class="actions">
        {gateway !== null && mayForAll('operator') ? <GatewayTest site={site.id} /> : null}
        {mayForAll('admin') ? (
          <>
            <a class="button" href={href(`/sites/${site.id}/change`)}>
              Change<span class="unseen"> {site.id}</span> …
            </a>
            <Removal
              name={site.id}
              words="It is refused while endpoints or live migrations need it."
              remove={async () => await client().deleteSite(site.id)}
              onRemoved={onChanged}
            />
          </>
        ) : null}
      </div>
    </section>
  );
}
