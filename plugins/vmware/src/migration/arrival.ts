/** What is looked at once the VM runs at the destination: whether it is as it was meant to be. A difference is told, no more. */
import type { MigrationRequest, Presence } from '@lmas/plugin-api';
import type { Options } from '../client.ts';
import { isDisk, labelOf } from '../inventory/summary.ts';
import { vmSchema } from '../records.ts';
import type { VmwareSession } from '../session.ts';
import type { VmwareState } from './state.ts';

const arrivedSchema = vmSchema.pick({ 'config.hardware.device': true, 'runtime.host': true });

export async function arrivalWarnings(
  destination: VmwareSession,
  uuid: string,
  state: VmwareState | null,
  options: Options,
): Promise<string[]> {
  const vm = await destination.vm(uuid, arrivedSchema, options);
  if (vm === null || state === null) return [];
  const warnings: string[] = [];
  const host = vm.record['runtime.host']?.value;
  if (host !== state.hostId)
    warnings.push(`The VM runs on ${host ?? 'no host'} and not on ${state.hostName}, where it was sent.`);
  for (const disk of vm.record['config.hardware.device'].filter(isDisk)) {
    const meant = state.disks.find(({ label }) => label === labelOf(disk));
    const now = disk.backing?.datastore?.value;
    if (meant !== undefined && now !== meant.datastoreId) {
      warnings.push(
        `${meant.label} is on ${now ?? 'no datastore'} and not on ${meant.datastoreId}, where it was sent.`,
      );
    }
  }
  return warnings;
}

export const failureWarnings = (failure: Error | undefined): string[] =>
  failure === undefined ? [] : [`vSphere has reported a failure all the same: ${failure.message}`];

export const endWarnings = (name: string): string[] => [
  `${name} is powered off at the destination: its guest has ended since it came there. Nothing has started it again.`,
];

export const entryWarnings = (source: Presence, name: string): string[] =>
  source === 'absent'
    ? []
    : [
        `The source vCenter still has an entry of ${name} (${source}). It must not be started there; remove it by hand.`,
      ];

export const identityWarnings = (uuid: string, { id, name }: MigrationRequest['vm']): string[] =>
  uuid === id
    ? []
    : [`The destination vCenter has given ${name} a new instance UUID: it is ${uuid} there, and no longer ${id}.`];
