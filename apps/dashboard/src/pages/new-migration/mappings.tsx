/** What networks and disks are called at the destination, with the names that both ends really have to choose from. */
import type { Inventory } from '@lmas/client';
import { useInventory } from '../../live/inventory.ts';
import { type Draft, LABELS } from './draft.ts';
import { NameMap } from './name-map.tsx';

interface MappingsProps {
  readonly draft: Draft;
  /** What the destination has, once it has answered. */
  readonly there: Inventory | undefined;
  readonly onChange: (changed: Partial<Draft>) => void;
}

export function Mappings({ draft, there, onChange }: MappingsProps) {
  const { source, vm: id } = draft;
  // Suggestions only: an end that does not answer is told by the checks.
  const here = useInventory(source);
  const vm = here?.vms.find((one) => one.id === id);
  const disks = vm?.disks ?? [];
  return (
    <>
      <NameMap
        legend={LABELS.networkMap}
        hint={
          draft.drill === null
            ? 'A network that is not named keeps its name.'
            : 'Isolated networks of the destination. What is not named is not connected.'
        }
        from="Network at the source"
        to="at the destination"
        suggestions={{ from: vm?.networks ?? here?.networks ?? [], to: there?.networks ?? [] }}
        value={draft.networkMap}
        onChange={(networkMap) => onChange({ networkMap })}
      />
      <NameMap
        legend={LABELS.diskMap}
        hint="A disk that is not named keeps its location."
        from="Disk"
        to="Location at the destination"
        suggestions={{ from: disks.map(({ name }) => name), to: disks.flatMap(({ location }) => location ?? []) }}
        value={draft.diskMap}
        onChange={(diskMap) => onChange({ diskMap })}
      />
    </>
  );
}
