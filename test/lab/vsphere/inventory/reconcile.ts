/**
 * Brings the inventory to what the hosts say: VMs that left or came while nobody here was looking (a vCenter that died in the middle of a move, one
 * whose peer did). What a task of this vCenter is moving is that task's.
 */
import type { VsphereEndpoint } from '../endpoint.ts';
import type { Guest } from '../esxi/agent.ts';
import { isMoRef, textOf } from '../schema/value.ts';
import { placement } from './seed.ts';
import { addVm, removeVm, setVm } from './virtual-machines.ts';

interface There {
  readonly guest: Guest;
  readonly host: string;
}

/**
 * @param missed VMs that no host had at the look before: one on its way between two hosts is at neither for a moment
 * @returns those that no host has now
 */
export async function reconcile(endpoint: VsphereEndpoint, missed: ReadonlySet<string>): Promise<ReadonlySet<string>> {
  const { objects, arrivals } = endpoint;
  const before = shown(endpoint);
  const there = await guestsThere(endpoint);
  if (there === undefined || endpoint.gone.aborted) return missed;
  const now = shown(endpoint);
  for (const [uuid, { guest, host }] of there) {
    const move = arrivals.foreign.get(uuid);
    if (move !== undefined) await arrivals.arrived(move, undefined);
    else if (!before.has(uuid) && !now.has(uuid)) addVm(objects, guest, placement(objects, host, guest.vm.folder));
  }
  const missing = new Set<string>();
  for (const [uuid, { ref, host }] of now) {
    if (host === undefined || before.get(uuid)?.host !== host) continue; // a task has it, or just had
    const found = there.get(uuid);
    if (found === undefined && missed.has(uuid)) removeVm(objects, ref);
    else if (found === undefined) missing.add(uuid);
    else if (found.host !== host)
      setVm(objects, ref, found.guest, placement(objects, found.host, found.guest.vm.folder));
  }
  return missing;
}

/** By instance UUID: what the inventory shows, without the host of what a task is moving. */
function shown({ objects, moving }: VsphereEndpoint) {
  return new Map(
    objects.all('VirtualMachine').map(({ ref }) => {
      const at = objects.at(ref, 'runtime.host');
      const host = isMoRef(at) && !moving.has(ref.value) ? textOf(objects.get(at, 'name')) : undefined;
      return [textOf(objects.at(ref, 'config.instanceUuid')) ?? '', { ref, host }] as const;
    }),
  );
}

/** `undefined` when not every host answers: who is missing may have what is not found. */
async function guestsThere({ agents }: VsphereEndpoint): Promise<Map<string, There> | undefined> {
  const there = new Map<string, There>();
  for (const [host, agent] of agents) {
    const state = await agent.state().catch(() => undefined);
    if (state === undefined) return undefined;
    for (const guest of state.guests) there.set(guest.vm.instanceUuid, { guest, host });
  }
  return there;
}
