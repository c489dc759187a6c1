/** One of the VMs that really are at an endpoint; those that do not run cannot be chosen. */
import type { Inventory } from '@lmas/client';
import { formatBytes } from '@lmas/format';
import { useState } from 'preact/hooks';
import { useResource } from '../live/resource.ts';
import { client } from '../session/session.ts';
import { TextField } from './form-fields.tsx';
import { Loaded } from './loaded.tsx';
import { calledBy } from './vm-names.ts';

/** Among more of them one searches by typing. */
const LISTED_AT_MOST = 50;

interface ValueProps {
  readonly value: string;
  readonly onChange: (vm: string) => void;
}

type VmsProps = ValueProps & Pick<Inventory, 'vms'>;

export function VmField({ endpoint, ...props }: ValueProps & { readonly endpoint: string }) {
  const inventory = useResource((options) => client().getInventory(endpoint, options), [endpoint]);
  return (
    <Loaded of={inventory}>
      {({ vms }) =>
        vms.length > LISTED_AT_MOST ? <Searched {...{ vms, ...props }} /> : <Listed {...{ vms, ...props }} />
      }
    </Loaded>
  );
}

function Listed({ vms, value, onChange }: VmsProps) {
  return (
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
  );
}

/** The browser offers those whose name has in it what was typed so far. */
function Searched({ vms, value, onChange }: VmsProps) {
  const names = calledBy(vms.filter(({ presence }) => presence === 'running'));
  const [typed, setTyped] = useState(() => [...names].find(([, { id }]) => id === value)?.[0] ?? value);
  const vm = names.get(typed);
  const none =
    typed === '' ? `One of ${names.size} that run there: type a part of its name.` : 'No such VM runs there.';
  return (
    <TextField
      label="VM"
      placeholder="name"
      hint={vm === undefined ? none : formatBytes(vm.memoryBytes)}
      suggestions={[...names.keys()]}
      value={typed}
      onChange={(text) => {
        setTyped(text);
        onChange(names.get(text)?.id ?? '');
      }}
    />
  );
}
