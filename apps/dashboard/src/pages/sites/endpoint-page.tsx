/** One endpoint: its settings, whether it can be worked with, its host, and the VMs that are there. */
import type { EndpointTest, Inventory, Vm } from '@lmas/client';
import { formatBytes, formatDuration, plural } from '@lmas/format';
import { useState } from 'preact/hooks';
import { useResource } from '../../live/resource.ts';
import { go, href } from '../../navigation.ts';
import { Badge } from '../../parts/badge.tsx';
import { CheckList } from '../../parts/check-list.tsx';
import { Fields } from '../../parts/fields.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { Problem } from '../../parts/problem.tsx';
import { Removal } from '../../parts/removal.tsx';
import { Table } from '../../parts/table.tsx';
import { Time } from '../../parts/time.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client, may, mayForAll } from '../../session/session.ts';
import { Hosts, isOfHosts, StoragePlaces } from './places.tsx';

export function EndpointPage({ id }: { id: string }) {
  const endpoint = useResource((options) => client().getEndpoint(id, options), [id]);
  const inventory = useResource((options) => client().getInventory(id, options), [id], { withNotices: true });
  return (
    <>
      <PageHeading title={id} within={['Sites', '/sites']} />
      <Loaded of={endpoint}>
        {({ site, plugin, credential, config, cordonedAt }) => (
          <div class="card">
            <Fields
              of={[
                ['Site', site],
                ['Plugin', plugin],
                ['Credential', credential],
                ['Takes no VMs', cordonedAt === null ? null : <Time key="cordoned" at={cordonedAt} />],
              ]}
            />
            <details>
              <summary>Settings</summary>
              <pre>{JSON.stringify(config, null, 2)}</pre>
            </details>
            <div class="actions">
              {may('operator') ? <Test id={id} onWorks={inventory.reload} /> : null}
              {mayForAll('operator') ? (
                <Cordon id={id} isCordoned={cordonedAt !== null} onChanged={endpoint.reload} />
              ) : null}
              {mayForAll('admin') ? (
                <>
                  <a class="button" href={href(`/endpoints/${id}/change`)}>
                    Change …
                  </a>
                  <Removal
                    name={id}
                    words="Its VMs are not touched. It is refused while live migrations need it."
                    remove={async () => await client().deleteEndpoint(id)}
                    onRemoved={() => go('/sites')}
                  />
                </>
              ) : null}
            </div>
          </div>
        )}
      </Loaded>
      <h2>What is there</h2>
      <Loaded of={inventory}>{(data) => <Host id={id} inventory={data} />}</Loaded>
    </>
  );
}

/** What is cordoned is sent no VMs: not by balancing, evacuations and plans, nor by a person who does not insist. */
function Cordon({ id, isCordoned, onChanged }: { id: string; isCordoned: boolean; onChanged: () => void }) {
  const change = useAction(async () => {
    await client().setCordon(id, !isCordoned);
    onChanged();
  });
  return (
    <>
      <button type="button" disabled={change.busy} onClick={() => void change.run()}>
        {isCordoned ? 'Uncordon' : 'Cordon'}
      </button>
      <Problem error={change.error} />
    </>
  );
}

/** A login that was refused is tried by a test at once; what is there is then looked at again. */
function Test({ id, onWorks }: { id: string; onWorks: () => void }) {
  const [result, setResult] = useState<EndpointTest | null>(null);
  const test = useAction(async () => {
    setResult(null);
    const tested = await client().testEndpoint(id);
    setResult(tested);
    if (tested.error === null) onWorks();
  });
  return (
    <div class="test">
      <button type="button" disabled={test.busy} onClick={() => void test.run()}>
        {test.busy ? 'Testing …' : 'Test the connection'}
      </button>
      <Problem error={test.error} />
      {result === null ? null : (
        <>
          <p role="status">
            <Badge tone={result.ok ? 'good' : 'bad'}>{result.ok ? 'works' : 'does not work'}</Badge>{' '}
            {result.error === null ? `Answered in ${formatDuration(result.durationMs)}.` : result.error.message}{' '}
            {result.error?.remedy ?? ''}
          </p>
          <CheckList checks={result.steps.map(({ outcome, ...step }) => ({ ...step, status: outcome }))} />
        </>
      )}
    </div>
  );
}

function Host({ id, inventory }: { id: string; inventory: Inventory }) {
  const { host, hosts, storage, vms, networks } = inventory;
  const used = host.memoryBytes - host.memoryFreeBytes;
  return (
    <>
      <Fields
        of={[
          ['Host', host.name],
          ['Version', host.version],
          ['Processors', String(host.cpus)],
          ['Memory', `${formatBytes(used)} of ${formatBytes(host.memoryBytes)} used`],
          ['Networks', networks.length === 0 ? 'none' : networks.join(', ')],
        ]}
      />
      {isOfHosts(inventory) ? <Hosts id={id} hosts={hosts} /> : null}
      {storage.length === 0 ? null : <StoragePlaces id={id} storage={storage} />}
      <h3>VMs</h3>
      {vms.length === 0 ? <p class="muted">No VM is there.</p> : <Vms id={id} vms={vms} hasHosts={hosts.length > 1} />}
    </>
  );
}

function Vms({ id, vms, hasHosts }: { id: string; vms: readonly Vm[]; hasHosts: boolean }) {
  return (
    <Table
      caption={`VMs at ${id}`}
      rows={vms}
      keyOf={(vm) => vm.id}
      columns={[
        {
          title: 'VM',
          cell: (vm) => (
            <span class="cut" title={vm.id}>
              {vm.name}
            </span>
          ),
          sortBy: ({ name }) => name,
        },
        {
          title: 'State',
          cell: ({ presence, managedBy }) => (
            <span>
              <Badge tone={presence === 'running' ? 'good' : 'plain'}>{presence}</Badge>
              {managedBy === null ? '' : ` owned by ${managedBy}`}
            </span>
          ),
          sortBy: ({ presence }) => presence,
        },
        ...(hasHosts
          ? [{ title: 'Host', cell: ({ host = '' }: Vm) => host, sortBy: ({ host }: Vm) => host ?? null }]
          : []),
        {
          title: 'Memory',
          cell: ({ memoryBytes }) => formatBytes(memoryBytes),
          sortBy: ({ memoryBytes }) => memoryBytes,
          isNumber: true,
        },
        { title: 'Processors', cell: ({ vcpus }) => vcpus, sortBy: ({ vcpus }) => vcpus, isNumber: true },
        { title: 'Disks', cell: ({ disks }) => <Disks of={disks} />, sortBy: ({ disks }) => disks.length },
        { title: 'Networks', cell: ({ networks }) => networks.join(', ') },
        { title: 'Labels', cell: ({ labels = [] }) => labels.join(', '), isWideOnly: true },
        ...(may('operator')
          ? [
              {
                title: 'Actions',
                isUntitled: true,
                cell: ({ id: vm, name, presence }: Vm) =>
                  presence === 'running' ? (
                    <a class="button" href={href('/migrations/new', { source: id, vm })}>
                      Move<span class="unseen"> {name}</span> …
                    </a>
                  ) : null,
              },
            ]
          : []),
      ]}
    />
  );
}

function Disks({ of: disks }: { of: Vm['disks'] }) {
  const sizes = disks.map(({ sizeBytes }) => sizeBytes);
  const whole = sizes.every((size) => size !== null) ? sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0) : null;
  return (
    <span title={disks.map(({ name, location }) => `${name}: ${location ?? 'unknown'}`).join('\n')}>
      {disks.length === 0
        ? 'none'
        : `${plural(disks.length, 'disk')}${whole === null ? '' : `, ${formatBytes(whole)}`}`}
    </span>
  );
}
