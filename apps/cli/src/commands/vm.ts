/** `lmas vm list`: what runs at an endpoint. */
import type { Vm } from '@lmas/client';
import { formatBytes, plural } from '@lmas/format';
import { leaf, type Registry } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import type { Column } from '../output/table.ts';
import { printable } from '../output/text.ts';

const COLUMNS: readonly Column<Vm>[] = [
  { title: 'VM', value: ({ name }) => name, minWidth: 12 },
  { title: 'STATE', value: ({ presence }) => presence },
  { title: 'HOST', value: ({ host }) => host ?? '', minWidth: 8, dropOrder: 3 },
  { title: 'VCPUS', value: ({ vcpus }) => String(vcpus), align: 'right', dropOrder: 4 },
  { title: 'MEMORY', value: ({ memoryBytes }) => formatBytes(memoryBytes), align: 'right' },
  { title: 'DISKS', value: describeDisks, align: 'right', dropOrder: 1 },
  { title: 'NETWORKS', value: ({ networks }) => networks.join(', '), minWidth: 8, dropOrder: 5 },
  { title: 'MANAGED BY', value: ({ managedBy }) => managedBy ?? '', dropOrder: 2 },
  { title: 'ID', value: ({ id }) => id, dropOrder: 6 },
];

export function addVm(registry: Registry): void {
  const vm = registry.program.command('vm').summary('the VMs at an endpoint').description('The VMs at an endpoint.');
  const list = vm
    .command('list')
    .description('Lists the VMs at an endpoint, with what the host has.')
    .argument('<endpoint>', 'name of the endpoint');
  leaf(registry, list, {
    examples: [
      'lmas vm list host-a',
      'lmas vm list host-a --json | jq -r \'.vms[] | select(.presence == "running") | .name\'',
    ],
    action: async (invocation) => {
      const { args, flags, signal } = invocation;
      const inventory = await (await invocation.client()).getInventory(args[0] ?? '', { signal });
      if (flags.json === true) {
        invocation.printJson(inventory);
        return EXIT.ok;
      }
      const { host, hosts = [], vms } = inventory; // an orchestrator of an earlier version tells no hosts
      invocation.note(
        `${printable(host.name)} (${printable(host.version)}): ${plural(host.cpus, 'CPU')}, ${formatBytes(host.memoryFreeBytes)} of ${formatBytes(host.memoryBytes)} memory free`,
      );
      const columns = hosts.length > 1 ? COLUMNS : COLUMNS.filter(({ title }) => title !== 'HOST');
      invocation.printTable(columns, vms, 'No VMs there.');
      return EXIT.ok;
    },
  });
}

function describeDisks({ disks }: Vm): string {
  const bytes = disks.reduce((sum, { sizeBytes }) => sum + (sizeBytes ?? 0), 0);
  return disks.length === 0 ? '' : `${disks.length} (${bytes === 0 ? '?' : formatBytes(bytes)})`;
}
