/** One of the VMs that really are at an endpoint; those that do not run cannot be chosen. */
import { formatBytes } from '@lmas/format';
import { useResource } from '../live/resource.ts';
import { client } from '../session/session.ts';
import { Loaded } from './loaded.tsx';

interface VmFieldProps {
  readonly endpoint: string;
  readonly value: string;
  readonly onChange: (vm: string) => void;
}

export function VmField({ endpoint, value, onChange }: VmFieldProps) {
  const inventory = useResource((options) => client().getInventory(endpoint, options), [endpoint]);
  return (
    <Loaded of={inventory}>
      {({ vms }) => (
        <label>
          VM
          <select required value={value} onChange={({ currentTarget }) => onChange(currentTarget.value)}>
            <option value="">choose one of {vms.length}</option>
            {vms.map(({ id, name, presence, memoryBytes }) => (
              <option key={id} value={id} disabled={presence !== 'running'}>
                {name} ({formatBytes(memoryBytes)}
                {presence === 'running' ? '' : `, ${presence}`})
              </option>
            ))}
          </select>
        </label>
      )}
    </Loaded>
  );
}
