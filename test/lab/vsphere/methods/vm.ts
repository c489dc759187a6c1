/** VMs and tasks: relocate, migrate, reconfigure, check, cancel. */
import type { Call, Methods, VsphereEndpoint } from '../endpoint.ts';
import type { Guest } from '../esxi/agent.ts';
import { invalidArgument, VimFault } from '../fault.ts';
import { faultOf } from '../faults.ts';
import type { EncryptionMode } from '../inventory/spec.ts';
import { Peer } from '../relocation/peer.ts';
import { relocate } from '../relocation/relocate.ts';
import { type DataObject, listOf, type MoRef, type Value } from '../schema/value.ts';
import type { TaskWork } from '../tasks.ts';

function startTask(
  { endpoint, session }: Call,
  name: string,
  descriptionId: string,
  entity: MoRef,
  work: (task: TaskWork) => Promise<Value | undefined>,
): MoRef {
  return endpoint.tasks.start({ name, descriptionId, entity, userName: session.userName }, work);
}

function startRelocation(call: Call, method: string, descriptionId: string, spec: DataObject): MoRef {
  const { endpoint, target } = call;
  assertReferences(endpoint, spec);
  return startTask(call, method, descriptionId, target, async (task) => {
    const { moving } = endpoint;
    const other = moving.get(target.value);
    if (other !== undefined) throw new VimFault('TaskInProgress', { task: other });
    moving.set(target.value, task.ref);
    try {
      await relocate(endpoint, { vm: target, method, spec }, task);
    } finally {
      moving.delete(target.value);
    }
    return undefined;
  });
}

/** What is not there at all is refused at once; with a ServiceLocator the references are the other vCenter's. */
function assertReferences({ objects }: VsphereEndpoint, spec: DataObject): void {
  if (spec.service !== undefined) return;
  for (const member of ['host', 'pool', 'datastore', 'folder']) {
    const ref = spec[member] as MoRef | undefined;
    if (ref !== undefined) objects.need(ref);
  }
  for (const { datastore } of listOf(spec.disk)) objects.need(datastore as MoRef);
}

function migrate(call: Call): MoRef {
  const { endpoint, target, parameters } = call;
  const { host, pool, state } = parameters;
  if (host === undefined && pool === undefined) throw invalidArgument('host');
  const powerState = endpoint.objects.at(target, 'runtime.powerState');
  if (state !== undefined && state !== powerState)
    throw new VimFault('InvalidPowerState', { requestedState: state, existingState: powerState });
  const spec = { ...(host === undefined ? {} : { host }), ...(pool === undefined ? {} : { pool }) };
  return startRelocation(call, 'MigrateVM_Task', 'VirtualMachine.migrate', spec);
}

/** Of a VM's configuration the lab changes how vMotion is encrypted, and nothing else. */
function reconfigure(call: Call): MoRef {
  const { endpoint, target, parameters } = call;
  const { migrateEncryption, _typeName, changeVersion, ...rest } = parameters.spec as DataObject;
  const others = Object.keys(rest).filter((member) => rest[member] !== undefined);
  if (others.length > 0) throw new VimFault('NotSupported', {}, `the lab reconfigures no ${others.join(', ')}`);
  return startTask(call, 'ReconfigVM_Task', 'VirtualMachine.reconfigure', target, async () => {
    const { objects, moving } = endpoint;
    const other = moving.get(target.value);
    if (other !== undefined) throw new VimFault('TaskInProgress', { task: other });
    if (migrateEncryption === 'disabled' && objects.at(target, 'config.keyId') !== undefined)
      throw new VimFault('InvalidVmConfig', { property: 'configSpec.migrateEncryption' });
    if (migrateEncryption === undefined) return undefined;
    const host = objects.at(target, 'runtime.host') as MoRef;
    const agent = endpoint.agentOf(host);
    const uuid = objects.at(target, 'config.instanceUuid');
    const guest = (await agent.state()).guests.find(({ vm }) => vm.instanceUuid === uuid);
    if (guest === undefined) throw new VimFault('InvalidState');
    await agent.update({ ...guest.vm, migrateEncryption: migrateEncryption as EncryptionMode });
    objects.merge(target, 'config', { migrateEncryption });
    return undefined;
  });
}

/** What keeps the VM from being there, and what the test says. @returns the task's result */
function checked(call: Call, name: string, vm: MoRef, spec: DataObject): MoRef {
  const { endpoint } = call;
  endpoint.objects.need(vm);
  return startTask(call, name, 'VirtualMachineProvisioningChecker.check', vm, async () => {
    const { errors = [], warnings = [] } = endpoint.checks;
    const problem = await whyNot(endpoint, vm, spec);
    const error = [...(problem === undefined ? [] : [problem]), ...errors.map(faultOf)].map((fault) =>
      fault.localized(),
    );
    const warning = warnings.map((fault) => faultOf(fault).localized());
    const host = spec.service === undefined ? spec.host : undefined;
    const result = { vm, ...(host === undefined ? {} : { host }), warning, error };
    return { _typeName: 'ArrayOfCheckResult', _value: [result] };
  });
}

async function whyNot(endpoint: VsphereEndpoint, vm: MoRef, spec: DataObject): Promise<VimFault | undefined> {
  const guest = await guestAt(endpoint, vm);
  const { service, ...rest } = spec;
  const request = { move: 'check', guest, spec: rest };
  try {
    if (service === undefined) endpoint.arrivals.resolve({ ...request, vm });
    else await (await Peer.connect(service as DataObject, endpoint.dialect.thumbprintCase)).check(request);
    return undefined;
  } catch (error) {
    if (error instanceof VimFault) return error;
    throw error;
  }
}

async function guestAt(endpoint: VsphereEndpoint, vm: MoRef): Promise<Guest> {
  const { guests } = await endpoint.agentOf(endpoint.objects.at(vm, 'runtime.host') as MoRef).state();
  const guest = guests.find((one) => one.vm.instanceUuid === endpoint.objects.at(vm, 'config.instanceUuid'));
  if (guest === undefined) throw new VimFault('InvalidState');
  return guest;
}

function queryCompatibility(call: Call): MoRef {
  const { endpoint, parameters } = call;
  const [vms, hosts] = [listOf<MoRef>(parameters.vm), listOf<MoRef>(parameters.host)];
  for (const ref of [...vms, ...hosts]) endpoint.objects.need(ref);
  const [entity = vms[0]] = vms;
  if (entity === undefined) throw invalidArgument('vm');
  return startTask(
    call,
    'QueryVMotionCompatibilityEx_Task',
    'ServiceInstance.queryVMotionCompatibility',
    entity,
    async () => {
      const { errors = [], warnings = [] } = endpoint.checks;
      const error = errors.map((fault) => faultOf(fault).localized());
      const warning = warnings.map((fault) => faultOf(fault).localized());
      const results = vms.flatMap((vm) => hosts.map((host) => ({ vm, host, warning, error })));
      return { _typeName: 'ArrayOfCheckResult', _value: results };
    },
  );
}

export const VM_METHODS: Methods = {
  'VirtualMachine.RelocateVM_Task': (call) =>
    startRelocation(call, 'RelocateVM_Task', 'VirtualMachine.relocate', call.parameters.spec as DataObject),
  'VirtualMachine.MigrateVM_Task': migrate,
  'VirtualMachine.ReconfigVM_Task': reconfigure,
  'VirtualMachineProvisioningChecker.CheckRelocate_Task': (call) =>
    checked(call, 'CheckRelocate_Task', call.parameters.vm as MoRef, call.parameters.spec as DataObject),
  'VirtualMachineProvisioningChecker.CheckMigrate_Task': (call) => {
    const { vm, host, pool } = call.parameters;
    const spec = { ...(host === undefined ? {} : { host }), ...(pool === undefined ? {} : { pool }) };
    return checked(call, 'CheckMigrate_Task', vm as MoRef, spec);
  },
  'ServiceInstance.QueryVMotionCompatibilityEx_Task': queryCompatibility,
  'Task.CancelTask': ({ endpoint, target }) => {
    endpoint.tasks.cancel(target, endpoint.dialect.lateCancel);
    return undefined;
  },
};
