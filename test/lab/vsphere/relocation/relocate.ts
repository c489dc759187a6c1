/**
 * A relocation, from the source's side, as the work of a task:
 *
 *   look where to ──▶ the destination gets ready ──▶ hosts move the bytes ──▶ switch-over ──▶ both inventories say so
 *                                                    (cancel: it stays here)  (cancel is ignored)
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { VsphereEndpoint } from '../endpoint.ts';
import type { Flow, FlowKind, Guest, HostAgent, MoveStatus } from '../esxi/agent.ts';
import { VimFault } from '../fault.ts';
import { faultOf } from '../faults.ts';
import { diskKey, removeVm } from '../inventory/virtual-machines.ts';
import { type DataObject, type MoRef, textOf } from '../schema/value.ts';
import type { TaskWork } from '../tasks.ts';
import { type Arrival, adapterFor } from './arrivals.ts';
import { Peer } from './peer.ts';

const LOOKS_EVERY_MS = 10;
/** Progress of the task: until the bytes flow, and when all are over. */
const [PREPARED_PERCENT, SENT_PERCENT] = [15, 90];

export interface Relocation {
  readonly vm: MoRef;
  readonly method: string;
  readonly spec: DataObject;
}

/** Where the VM goes: this vCenter, or another. */
interface Destination {
  prepare(guest: Guest): Promise<Arrival>;
  forget(): Promise<void>;
  isThere(): Promise<boolean>;
  arrived(): Promise<void>;
}

/** @throws VimFault what the task ends with */
export async function relocate(
  endpoint: VsphereEndpoint,
  { vm, method, spec }: Relocation,
  task: TaskWork,
): Promise<void> {
  const source = endpoint.objects.at(vm, 'runtime.host') as MoRef;
  const guest = await guestOf(endpoint, vm);
  task.progress(1);
  await endpoint.gates.pass('checked', { signal: task.signal });
  const destination = await destinationOf(endpoint, vm, spec, task.ref.value);
  const arrival = await destination.prepare(guest);
  try {
    task.signal.throwIfAborted();
    task.progress(PREPARED_PERCENT);
    const flows = flowsOf(endpoint, source, guest, arrival, spec);
    record(endpoint, { vm, method, guest, flows, task: task.ref.value });
    const agent = endpoint.agentOf(source);
    if (flows.length > 0) await moveBetweenHosts(endpoint, agent, guest, flows, destination, task);
    else await changeInPlace(endpoint, agent, arrival, task);
  } catch (error) {
    if (!endpoint.gone.aborted) await destination.forget();
    throw error;
  }
  await destination.arrived();
  await endpoint.gates.pass('arrived', { signal: endpoint.gone });
  const { failAfterArrival } = endpoint.relocation;
  if (failAfterArrival !== null) throw faultOf(failAfterArrival);
}

async function guestOf(endpoint: VsphereEndpoint, vm: MoRef): Promise<Guest> {
  const host = endpoint.objects.at(vm, 'runtime.host') as MoRef;
  const uuid = textOf(endpoint.objects.at(vm, 'config.instanceUuid'));
  const { guests } = await endpoint.agentOf(host).state();
  const guest = guests.find((one) => one.vm.instanceUuid === uuid);
  if (guest === undefined) throw new VimFault('InvalidState', {}, 'the host does not have the VM');
  return guest;
}

async function destinationOf(
  endpoint: VsphereEndpoint,
  vm: MoRef,
  spec: DataObject,
  taskKey: string,
): Promise<Destination> {
  const move = `${endpoint.spec.name}/${taskKey}`;
  if (spec.service === undefined) {
    const { arrivals } = endpoint;
    return {
      prepare: (guest) => arrivals.prepare({ move, guest, spec, vm }),
      forget: () => arrivals.forget(move),
      isThere: () => arrivals.isThere(move),
      arrived: async () => void (await arrivals.arrived(move, vm)),
    };
  }
  const peer = await Peer.connect(spec.service as DataObject, endpoint.dialect.thumbprintCase);
  const { service: _, ...rest } = spec;
  return {
    prepare: (guest) => peer.prepare({ move, guest, spec: rest }),
    forget: () => peer.forget(move),
    isThere: () => peer.isThere(move),
    arrived: async () => {
      // It is not here any more, whether the other vCenter answers or not.
      await peer.arrived(move).finally(() => removeVm(endpoint.objects, vm));
    },
  };
}

/**
 * Memory and live disks over vMotion; over NFC what is cold: everything of a VM that is off, the disks of one with snapshots.
 * Nothing between hosts when the host stays.
 */
function flowsOf(endpoint: VsphereEndpoint, source: MoRef, guest: Guest, arrival: Arrival, spec: DataObject): Flow[] {
  const host = endpoint.hostSpec(source);
  if (spec.service === undefined && arrival.hostName === host.name) return [];
  const urls = endpoint.arrivals.datastoreUrls(guest.vm);
  const moved = guest.vm.disks.filter((disk, i) => urls[diskKey(disk, i)] !== arrival.datastoreUrls[diskKey(disk, i)]);
  const diskBytes = moved.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const cold = !guest.running || (guest.vm.snapshots?.length ?? 0) > 0;
  const hotBytes = guest.running ? guest.vm.memoryBytes + (cold ? 0 : diskBytes) : 0;
  const flow = (kind: FlowKind, bytes: number): Flow => {
    const adapter = adapterFor(host.vmkernels, kind);
    const target = arrival.targets[kind];
    if (adapter === undefined || target === undefined)
      throw notConfigured(endpoint, source, adapter === undefined, arrival);
    const { connections } = endpoint.relocation;
    return { kind, localAddress: adapter.address, stack: adapter.stack, ...target, connections, bytes };
  };
  return [
    ...(guest.running ? [flow('vmotion', hotBytes)] : []),
    ...(cold && (diskBytes > 0 || !guest.running) ? [flow('nfc', diskBytes)] : []),
  ];
}

function notConfigured(endpoint: VsphereEndpoint, source: MoRef, atSourceHost: boolean, arrival: Arrival): VimFault {
  const failedHost = atSourceHost ? endpoint.hostSpec(source).name : arrival.hostName;
  return new VimFault(
    'VMotionNotConfigured',
    { atSourceHost, failedHost },
    `vMotion is not configured on ${failedHost}`,
  );
}

async function moveBetweenHosts(
  endpoint: VsphereEndpoint,
  agent: HostAgent,
  guest: Guest,
  flows: readonly Flow[],
  destination: Destination,
  task: TaskWork,
): Promise<void> {
  const { bytesPerSec, corrupt } = endpoint.relocation;
  const id = `${endpoint.spec.name}/${task.ref.value}`;
  const order = { id, guest: guest.vm.instanceUuid, flows, bytesPerSec, corrupt, holds: endpoint.heldPoints() };
  await agent.begin(order);
  let cancelled = false;
  for (;;) {
    endpoint.gone.throwIfAborted();
    // Hosts in this process answer without I/O: whatever is waited for needs its turn, too.
    await yieldToOthers();
    const status = await agent.status(id);
    task.progress(percentOf(status));
    if (status.state === 'done') break;
    if (status.state === 'failed') throw cancelled ? task.signal.reason : moveFailed(status.error);
    if (status.state === 'unknown') {
      const arrived = await destination.isThere();
      await agent.settle(id, arrived);
      continue;
    }
    const { aborted } = task.signal;
    if (aborted && !cancelled) cancelled = await agent.cancel(id);
    if (status.heldAt !== undefined && !aborted) await leave(endpoint, agent, id, status.heldAt, task.signal);
    else await sleep(LOOKS_EVERY_MS); // also when it is too late for a cancel: the hosts need their turn to end it
  }
  task.pointOfNoReturn();
}

/** Waits where the test holds the move; a cancel ends the waiting. */
async function leave(endpoint: VsphereEndpoint, agent: HostAgent, id: string, point: string, signal: AbortSignal) {
  const passed = await endpoint.gates.pass(point, { signal: AbortSignal.any([signal, endpoint.gone]) }).then(
    () => true,
    () => false,
  );
  if (passed) await agent.resume(id);
}

async function changeInPlace(
  endpoint: VsphereEndpoint,
  agent: HostAgent,
  arrival: Arrival,
  task: TaskWork,
): Promise<void> {
  await endpoint.gates.pass('half', { signal: task.signal });
  task.progress((PREPARED_PERCENT + SENT_PERCENT) / 2);
  await endpoint.gates.pass('switchover', { signal: task.signal });
  task.pointOfNoReturn();
  await agent.update(arrival.vm);
}

const yieldToOthers = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const percentOf = ({ state, sentBytes, totalBytes }: MoveStatus): number =>
  state === 'switching' || state === 'done'
    ? SENT_PERCENT + 5
    : PREPARED_PERCENT + ((SENT_PERCENT - PREPARED_PERCENT) * sentBytes) / Math.max(1, totalBytes);

/** As vCenter reports hosts that do not reach each other. */
function moveFailed(error = 'unknown'): VimFault {
  const reason = `The vMotion migrations failed because the ESX hosts were not able to connect over the vMotion network: ${error}`;
  return new VimFault('GenericVmConfigFault', { reason }, reason);
}

function record(
  endpoint: VsphereEndpoint,
  about: { vm: MoRef; method: string; guest: Guest; flows: readonly Flow[]; task: string },
): void {
  const bytesOf = (kind: FlowKind): number =>
    about.flows.filter((flow) => flow.kind === kind).reduce((sum, { bytes }) => sum + bytes, 0);
  endpoint.moves.push({
    ...{ task: about.task, vm: about.guest.vm.name, method: about.method },
    migrateEncryption: String(endpoint.objects.at(about.vm, 'config.migrateEncryption')),
    ...{ vmotionBytes: bytesOf('vmotion'), nfcBytes: bytesOf('nfc') },
  });
}
