/** `lmas host list` and `lmas storage list`: the places of an endpoint, which a migration's options can name. */
import type { Host, Inventory, Storage } from '@lmas/client';
import { formatBytes } from '@lmas/format';
import { leaf, type Registry } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import type { Column } from '../output/table.ts';

const HOSTS: readonly Column<Host>[] = [
  { title: 'HOST', value: ({ name }) => name, minWidth: 12 },
  { title: 'STATE', value: ({ state }) => state },
  { title: 'CLUSTER', value: ({ cluster }) => cluster ?? '', minWidth: 8, dropOrder: 1 },
  { title: 'CPUS', value: ({ cpus }) => String(cpus), align: 'right', dropOrder: 2 },
  { title: 'MEMORY', value: ({ memoryBytes }) => formatBytes(memoryBytes), align: 'right' },
  { title: 'FREE', value: ({ memoryFreeBytes }) => formatBytes(memoryFreeBytes), align: 'right' },
  { title: 'ID', value: ({ id }) => id ?? '', dropOrder: 3 },
];

const STORAGE: readonly Column<Storage>[] = [
  { title: 'STORAGE', value: ({ name }) => name, minWidth: 12 },
  { title: 'STATE', value: ({ usable }) => (usable ? 'usable' : 'not usable') },
  { title: 'SEEN BY', value: seenBy, minWidth: 8, dropOrder: 1 },
  { title: 'SIZE', value: ({ capacityBytes }) => bytes(capacityBytes), align: 'right' },
  { title: 'FREE', value: ({ freeBytes }) => bytes(freeBytes), align: 'right' },
  { title: 'ID', value: ({ id }) => id ?? '', dropOrder: 2 },
];

const bytes = (size: number | null): string => (size === null ? 'unknown' : formatBytes(size));

function seenBy({ host, shared }: Storage): string {
  if (host !== undefined) return shared === true ? `${host}, others` : host;
  return shared === null ? '' : shared ? 'several' : 'one';
}

export function addHost(registry: Registry): void {
  const host = registry.program
    .command('host')
    .summary('the hosts of an endpoint')
    .description('The hosts that an endpoint stands for: of a vCenter or a pool, many.');
  addList(registry, host, {
    ...{ columns: HOSTS, of: ({ hosts }) => hosts, none: 'It tells no hosts.', example: 'lmas host list vcenter-a' },
    says: 'Lists the hosts of an endpoint, with their state and memory.',
  });
}

export function addStorage(registry: Registry): void {
  const storage = registry.program
    .command('storage')
    .summary('the storage of an endpoint')
    .description('Where disks can be at an endpoint: datastores, storage repositories, storage pools.');
  addList(registry, storage, {
    ...{ columns: STORAGE, of: ({ storage }) => storage, none: 'It tells no storage.' },
    ...{ says: 'Lists the storage that the hosts of an endpoint see.', example: 'lmas storage list vcenter-a' },
  });
}

interface PlaceList<Place> {
  readonly columns: readonly Column<Place>[];
  /** An orchestrator of an earlier version tells none. */
  readonly of: (inventory: Partial<Inventory>) => readonly Place[] | undefined;
  readonly none: string;
  readonly says: string;
  readonly example: string;
}

function addList<Place extends { readonly name: string }>(
  registry: Registry,
  group: Registry['program'],
  { columns, of, none, says, example }: PlaceList<Place>,
): void {
  const list = group.command('list').description(says).argument('<endpoint>', 'name of the endpoint');
  leaf(registry, list, {
    examples: [example, `${example} --json | jq -r '.items[].name'`],
    action: async (invocation) => {
      const { args, flags, signal } = invocation;
      const inventory = await (await invocation.client()).getInventory(args[0] ?? '', { signal });
      const items = (of(inventory) ?? []).toSorted((one, other) => one.name.localeCompare(other.name));
      if (flags.json === true) invocation.printJson({ items });
      else invocation.printTable(columns, items, none);
      return EXIT.ok;
    },
  });
}
