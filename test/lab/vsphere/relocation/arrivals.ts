/**
 * The destination's part of a relocation: which host, pool, folder, datastores and networks a specification means here, whether the VM
 * can be there, and the host's readiness. The same for a move inside this vCenter and for one that another vCenter asks for.
 */
import type { VsphereEndpoint } from '../endpoint.ts';
import type { FlowKind, Guest } from '../esxi/agent.ts';
import { invalidArgument, VimFault } from '../fault.ts';
import { placement, uuidOf } from '../inventory/seed.ts';
import type { DiskSpec, NicSpec, VmkernelSpec, VmSpec } from '../inventory/spec.ts';
import { addVm, diskKey, nicKey, type Placement, setVm } from '../inventory/virtual-machines.ts';
import { type DataObject, listOf, type MoRef, textOf, type Value } from '../schema/value.ts';

export interface ArrivalRequest {
  readonly move: string;
  readonly guest: Guest;
  /** VirtualMachineRelocateSpec, with references of this vCenter. */
  readonly spec: DataObject;
  /** Where it is now, when that is in this vCenter. */
  readonly vm: MoRef | undefined;
}

export interface Target {
  readonly address: string;
  readonly port: number;
}

export interface Arrival {
  readonly hostName: string;
  /** As it will be. */
  readonly vm: VmSpec;
  readonly targets: Readonly<Partial<Record<FlowKind, Target>>>;
  /** URL of each disk's datastore, by the disk's key: the same URL is the same storage. */
  readonly datastoreUrls: Readonly<Record<string, string>>;
}

interface Resolved {
  readonly guest: Guest;
  readonly at: Placement;
}

interface Expected extends Resolved {
  /** Another vCenter's. */
  readonly foreign: boolean;
}

export class Arrivals {
  readonly #endpoint: VsphereEndpoint;
  readonly #expected = new Map<string, Expected>();
  readonly #arrived = new Map<string, MoRef>();

  constructor(endpoint: VsphereEndpoint) {
    this.#endpoint = endpoint;
  }

  /** Makes the host ready. @throws VimFault what keeps the VM from being there */
  async prepare(request: ArrivalRequest): Promise<Arrival> {
    const resolved = this.resolve(request);
    const { at, guest } = resolved;
    const host = this.#endpoint.hostSpec(at.host);
    const ports = await this.#endpoint.agentOf(at.host).expect(request.move, guest);
    this.#expected.set(request.move, { ...resolved, foreign: request.vm === undefined });
    const targets: Partial<Record<FlowKind, Target>> = {};
    const [hot, cold] = [adapterFor(host.vmkernels, 'vmotion'), adapterFor(host.vmkernels, 'nfc')];
    if (hot !== undefined) targets.vmotion = { address: hot.address, port: ports.vmotion };
    if (cold !== undefined) targets.nfc = { address: cold.address, port: ports.nfc };
    return { hostName: host.name, vm: guest.vm, targets, datastoreUrls: this.datastoreUrls(guest.vm) };
  }

  datastoreUrls(vm: VmSpec): Record<string, string> {
    const { objects } = this.#endpoint;
    return Object.fromEntries(
      vm.disks.map((disk, i) => {
        const ref = objects.byName('Datastore', disk.datastore);
        return [diskKey(disk, i), ref === undefined ? '' : (textOf(objects.at(ref, 'summary.url')) ?? '')];
      }),
    );
  }

  /** The VM runs there now. Idempotent. @returns its reference in this vCenter, the old one where it had one */
  async arrived(move: string, vm: MoRef | undefined): Promise<MoRef> {
    const resolved = this.#expected.get(move);
    const known = this.#arrived.get(move);
    if (known !== undefined) return known;
    if (resolved === undefined) throw new Error(`no move ${move} is expected`);
    const { objects } = this.#endpoint;
    const ref = vm ?? addVm(objects, resolved.guest, resolved.at);
    if (vm !== undefined) setVm(objects, vm, resolved.guest, resolved.at);
    this.#arrived.set(move, ref);
    await this.#end(move, resolved);
    return ref;
  }

  /** Another vCenter's VMs that are on their way here, by instance UUID, and the move of each. */
  get foreign(): ReadonlyMap<string, string> {
    const moves = [...this.#expected].filter(([, { foreign }]) => foreign);
    return new Map(moves.map(([move, { guest }]) => [guest.vm.instanceUuid, move]));
  }

  /** Idempotent. */
  async forget(move: string): Promise<void> {
    const resolved = this.#expected.get(move);
    if (resolved !== undefined) await this.#end(move, resolved);
  }

  /** Whether the guest is at the host that waits for it. */
  async isThere(move: string): Promise<boolean> {
    const resolved = this.#expected.get(move);
    if (resolved === undefined) return false;
    const { guests } = await this.#endpoint.agentOf(resolved.at.host).state();
    return guests.some(({ vm }) => vm.instanceUuid === resolved.guest.vm.instanceUuid);
  }

  async #end(move: string, { at }: Resolved): Promise<void> {
    this.#expected.delete(move);
    await this.#endpoint.agentOf(at.host).forget(move);
  }

  /** @throws VimFault */
  resolve({ guest, spec, vm: here }: ArrivalRequest): Resolved {
    const host = this.#hostFor(spec, here);
    this.#assertUsable(host);
    const pool = this.#poolFor(spec, host, here);
    const { vm } = guest;
    const disks = vm.disks.map((disk, i) => this.#diskThere(disk, i, spec, host, here));
    const nics = (vm.nics ?? []).map((nic, i) => this.#nicThere(nic, i, spec, host));
    const base = placement(this.#endpoint.objects, this.#endpoint.hostSpec(host).name);
    const folder = this.#folderFor(spec, here) ?? base.folder;
    const { folder: _, ...rest } = vm;
    const renewed = here === undefined && this.#endpoint.dialect.newInstanceUuid;
    const instanceUuid = renewed ? uuidOf('renewed', vm.instanceUuid) : vm.instanceUuid;
    return { guest: { ...guest, vm: { ...rest, instanceUuid, disks, nics } }, at: { ...base, pool, folder } };
  }

  #hostFor(spec: DataObject, here: MoRef | undefined): MoRef {
    const { objects } = this.#endpoint;
    if (spec.host !== undefined) return objects.need(spec.host as MoRef).ref;
    if (spec.pool !== undefined) {
      const owner = objects.get(spec.pool as MoRef, 'owner') as MoRef;
      const current = here && (objects.at(here, 'runtime.host') as MoRef);
      const hosts = listOf<MoRef>(objects.get(owner, 'host'));
      const chosen = hosts.find(({ value }) => value === current?.value) ?? hosts[0];
      if (chosen === undefined) throw new VimFault('NoCompatibleHost');
      return chosen;
    }
    if (here === undefined) throw invalidArgument('spec.pool');
    return objects.at(here, 'runtime.host') as MoRef;
  }

  #assertUsable(host: MoRef): void {
    const { objects } = this.#endpoint;
    if (objects.at(host, 'runtime.connectionState') !== 'connected') throw new VimFault('HostNotConnected');
    if (objects.at(host, 'runtime.inMaintenanceMode') === true)
      throw new VimFault('InvalidState', {}, 'the host is in maintenance mode');
  }

  #poolFor(spec: DataObject, host: MoRef, here: MoRef | undefined): MoRef {
    const { objects } = this.#endpoint;
    const compute = objects.get(host, 'parent') as MoRef;
    if (spec.pool !== undefined) {
      const owner = objects.get(spec.pool as MoRef, 'owner') as MoRef;
      if (owner.value !== compute.value) throw invalidArgument('spec.pool');
      return spec.pool as MoRef;
    }
    const current = here && (objects.get(here, 'resourcePool') as MoRef);
    if (current !== undefined && (objects.get(current, 'owner') as MoRef).value === compute.value) return current;
    return objects.get(compute, 'resourcePool') as MoRef;
  }

  #folderFor(spec: DataObject, here: MoRef | undefined): MoRef | undefined {
    const { objects } = this.#endpoint;
    if (spec.folder !== undefined) return objects.need(spec.folder as MoRef).ref;
    return here && (objects.get(here, 'parent') as MoRef);
  }

  #diskThere(disk: DiskSpec, index: number, spec: DataObject, host: MoRef, here: MoRef | undefined): DiskSpec {
    const { objects } = this.#endpoint;
    const key = diskKey(disk, index);
    const own = listOf(spec.disk).find(({ diskId }) => diskId === key);
    const ref = (own?.datastore ?? spec.datastore) as MoRef | undefined;
    if (ref === undefined && here === undefined) throw invalidArgument('spec.datastore');
    const datastore = ref === undefined ? disk.datastore : String(objects.get(ref, 'name'));
    const there = ref ?? objects.byName('Datastore', disk.datastore);
    if (there === undefined || !isAttached(objects.get(host, 'datastore'), there))
      throw cannotAccess(
        'CannotAccessVmDisk',
        `Hard disk ${index + 1}`,
        datastore,
        new VimFault('InvalidDatastore', { name: datastore }),
      );
    return { ...disk, key, datastore };
  }

  #nicThere(nic: NicSpec, index: number, spec: DataObject, host: MoRef): NicSpec {
    const { objects } = this.#endpoint;
    const key = nicKey(nic, index);
    const change = listOf(spec.deviceChange).find(({ device }) => (device as DataObject).key === key);
    if (change !== undefined && change.operation !== 'edit') throw invalidArgument('spec.deviceChange.operation');
    const backing = (change?.device as DataObject | undefined)?.backing as DataObject | undefined;
    const network = backing === undefined ? objects.byName('Network', nic.network) : this.#networkOf(backing);
    if (network === undefined || !isAttached(objects.get(host, 'network'), network))
      throw cannotAccess('CannotAccessNetwork', `Network adapter ${index + 1}`, nic.network);
    return { ...nic, key, network: String(objects.get(network, 'name')) };
  }

  #networkOf(backing: DataObject): MoRef | undefined {
    const { objects } = this.#endpoint;
    if (backing._typeName === 'VirtualEthernetCardDistributedVirtualPortBackingInfo') {
      const { switchUuid, portgroupKey } = backing.port as DataObject;
      return objects.all('DistributedVirtualPortgroup').find(({ ref, properties }) => {
        const dvs = objects.at(ref, 'config.distributedVirtualSwitch') as MoRef;
        return properties.get('key') === portgroupKey && objects.get(dvs, 'uuid') === switchUuid;
      })?.ref;
    }
    if (backing.network !== undefined) return objects.find(backing.network as MoRef)?.ref;
    return objects.byName('Network', String(backing.deviceName));
  }
}

/** Hot data goes over the adapter for vMotion; cold data over that for provisioning, or management where there is none. */
export function adapterFor(vmkernels: readonly VmkernelSpec[], kind: FlowKind): VmkernelSpec | undefined {
  const withService = (service: VmkernelSpec['services'][number]) =>
    vmkernels.find(({ services }) => services.includes(service));
  if (kind === 'vmotion') return withService('vmotion');
  return withService('vSphereProvisioning') ?? withService('management');
}

const isAttached = (list: Value | undefined, ref: MoRef): boolean =>
  listOf<MoRef>(list).some(({ value }) => value === ref.value);

function cannotAccess(name: string, device: string, backing: string, cause?: VimFault): VimFault {
  const fault = cause === undefined ? {} : { fault: cause.localized() };
  return new VimFault(
    name,
    { device, backing, connected: true, ...fault },
    `${device} uses ${backing}, which is not accessible there`,
  );
}
