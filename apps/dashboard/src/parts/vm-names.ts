/** VMs by what people type: each is called by its name, and by its id as well where several bear the name; several with commas. Pure. */

interface Vm {
  readonly id: string;
  readonly name: string;
}

/** What each of them is called; no two are called the same. */
export function calledBy<One extends Vm>(vms: readonly One[]): ReadonlyMap<string, One> {
  const times = new Map<string, number>();
  for (const { name } of vms) times.set(name, (times.get(name) ?? 0) + 1);
  return new Map(vms.map((vm) => [times.get(vm.name) === 1 ? vm.name : `${vm.name} (${vm.id})`, vm]));
}

/** Names or ids, as they are typed with commas. */
export const namesIn = (text: string): string[] =>
  text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
