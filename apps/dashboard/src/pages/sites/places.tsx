/** The hosts and the storage of an endpoint: how full each is, and what is the matter with it. */
import type { Host, Inventory, Storage } from '@lmas/client';
import { formatBytes } from '@lmas/format';
import { Badge } from '../../parts/badge.tsx';
import { Table } from '../../parts/table.tsx';

/** Where the endpoint itself is its one host, everything is said already. */
export const isOfHosts = ({ host, hosts }: Pick<Inventory, 'host' | 'hosts'>): boolean =>
  hosts.length > 1 || hosts.some(({ name }) => name !== host.name);

export function Hosts({ id, hosts }: { id: string; hosts: readonly Host[] }) {
  return (
    <>
      <h3>Hosts</h3>
      <Table
        caption={`Hosts at ${id}`}
        rows={hosts}
        keyOf={(host) => host.id ?? host.name}
        columns={[
          { title: 'Host', cell: ({ name }) => <span class="cut">{name}</span>, sortBy: ({ name }) => name },
          { title: 'Cluster', cell: ({ cluster }) => cluster ?? '', sortBy: ({ cluster }) => cluster },
          {
            title: 'State',
            cell: ({ state }) => <Badge tone={TONES[state]}>{state}</Badge>,
            sortBy: ({ state }) => state,
          },
          { title: 'Processors', cell: ({ cpus }) => cpus, sortBy: ({ cpus }) => cpus, isNumber: true },
          {
            title: 'Memory',
            cell: ({ memoryBytes, memoryFreeBytes }) => inUse(memoryBytes, memoryFreeBytes),
            sortBy: ({ memoryBytes, memoryFreeBytes }) => shareOf(memoryBytes, memoryFreeBytes),
            isNumber: true,
          },
        ]}
      />
    </>
  );
}

const TONES = { connected: 'good', maintenance: 'plain', disconnected: 'bad' } as const;

export function StoragePlaces({ id, storage }: { id: string; storage: readonly Storage[] }) {
  return (
    <>
      <h3>Storage</h3>
      <Table
        caption={`Storage at ${id}`}
        rows={storage}
        keyOf={(place) => place.id ?? place.name}
        columns={[
          { title: 'Storage', cell: ({ name }) => <span class="cut">{name}</span>, sortBy: ({ name }) => name },
          {
            title: 'State',
            cell: ({ usable }) => <Badge tone={usable ? 'good' : 'bad'}>{usable ? 'usable' : 'not usable'}</Badge>,
            sortBy: ({ usable }) => Number(usable),
          },
          { title: 'Seen by', cell: seenBy, sortBy: seenBy },
          {
            title: 'Room',
            cell: ({ capacityBytes, freeBytes }) => inUse(capacityBytes, freeBytes),
            sortBy: ({ capacityBytes, freeBytes }) => shareOf(capacityBytes, freeBytes),
            isNumber: true,
          },
        ]}
      />
    </>
  );
}

function seenBy({ shared, host }: Storage): string {
  if (host !== undefined) return shared === true ? `${host}, and others elsewhere` : host;
  return shared === null ? '' : shared ? 'several hosts' : 'one host';
}

const shareOf = (whole: number | null, free: number | null): number | null =>
  whole === null || free === null || whole === 0 ? null : (whole - free) / whole;

function inUse(whole: number | null, free: number | null): string {
  if (whole === null || free === null) return 'unknown';
  const share = shareOf(whole, free);
  return `${formatBytes(whole - free)} of ${formatBytes(whole)} used${share === null ? '' : ` (${Math.round(share * 100)} %)`}`;
}
