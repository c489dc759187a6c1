/** Whether the VM is to be had, and still as it was checked. Nothing of a VM that is not is touched at either end. Pure. */
import { type MigrationRequest, PluginError } from '@lmas/plugin-api';
import type { VmwareOptions } from '../config.ts';
import type { Host } from '../inventory/places.ts';
import { type Ends, isThereAlready, type Plan, thereAlready } from './plan.ts';

type Request = MigrationRequest<VmwareOptions>;

/** @throws PluginError BUSY, NOT_MIGRATABLE: what the contract calls not to be had */
export function assertToBeHad(ends: Ends, plan: Plan): void {
  const { record } = plan.vm;
  const refuse = (code: 'BUSY' | 'NOT_MIGRATABLE', message: string): never => {
    throw new PluginError(code, message);
  };
  if (record['runtime.powerState'] !== 'poweredOn') {
    refuse('NOT_MIGRATABLE', `${record.name} is ${record['runtime.powerState']}.`);
  }
  if (record.disabledMethod.includes('RelocateVM_Task')) {
    refuse(
      'BUSY',
      `The vCenter does not let ${record.name} be relocated now: another task has it, or something forbids it.`,
    );
  }
  if (isThereAlready(ends, plan)) {
    refuse('NOT_MIGRATABLE', `${record.name} ${thereAlready(plan)}.`);
  }
  if (plan.hasTwin) {
    refuse('NOT_MIGRATABLE', `The destination vCenter knows a VM with the instance UUID of ${record.name} already.`);
  }
}

/** The host and the datastores that were checked are those that are used, also when others have more free memory or space by now. */
export function pinned(request: Request, checked: Plan | undefined): Request {
  const destinationHost = checked?.host?.ref.value;
  if (checked === undefined || destinationHost === undefined) return request;
  const places = checked.disks.flatMap(({ label, datastore }) =>
    datastore === undefined ? [] : [[label, datastore.ref.value] as const],
  );
  const diskMap = { ...request.diskMap, ...Object.fromEntries(places) };
  if (request.disksAlone === true) return { ...request, diskMap }; // they move from whichever host runs it
  return { ...request, diskMap, options: { ...request.options, destinationHost } };
}

/**
 * Others may not use the pair of hosts that was checked; of another pair nobody has been told.
 * @throws PluginError BUSY when the VM has gone to another host since
 */
export function assertSameHosts(checked: Plan | undefined, { sourceHost, request }: Plan): void {
  if (request.disksAlone === true) return;
  const before = checked?.sourceHost;
  if (before === undefined || before.ref.value === sourceHost?.ref.value) return;
  throw movedSince(before, sourceHost?.record.name);
}

/** @param after name or id of the host that it is at now */
export const movedSince = (before: Host, after = 'no host'): PluginError =>
  new PluginError('BUSY', `The VM has gone from ${before.record.name} to ${after} since it was checked.`, {
    remedy: 'Submit the migration again; take the VM out of automatic balancing meanwhile, if it does not stay.',
  });
