/**
 * Whose migration it is. XAPI's task bears no name of ours, and after a crash only a migration that is ours may be cancelled:
 * so the guest carries the migration's id in `other_config` while it moves. XAPI lets one operation at a time touch a
 * guest; with our mark set and none running, the next one is ours.
 */
import { PluginError, type PluginResource } from '@lmas/plugin-api';
import { isFault } from '../errors.ts';
import { nothingSchema, type VmRecord } from '../records.ts';
import type { XenSession } from '../session.ts';
import { migrationTaskOf } from './placement.ts';

const KEY = 'lmas-migration';

interface Options {
  readonly signal: AbortSignal;
}

export const markResource = (vmUuid: string, migrationId: string): PluginResource => ({
  kind: 'mark',
  id: vmUuid,
  end: 'source',
  data: { migrationId },
});

export const bearsMark = ({ other_config: config }: VmRecord, migrationId: string): boolean =>
  config[KEY] === migrationId;

/** @throws PluginError BUSY when somebody else moves the guest */
export async function setMark(
  session: XenSession,
  vmUuid: string,
  migrationId: string,
  options: Options,
): Promise<void> {
  const vm = await session.vm(vmUuid, options);
  if (vm === null) throw new PluginError('VM_NOT_FOUND', `The source pool has no VM ${vmUuid}.`);
  if (migrationTaskOf(vm.record) !== undefined) {
    throw new PluginError('BUSY', `${vm.record.name_label} is being migrated already, by somebody else.`);
  }
  if (bearsMark(vm.record, migrationId)) return;
  await session.client.call('VM.remove_from_other_config', [vm.ref, KEY], nothingSchema, options);
  await session.client.call('VM.add_to_other_config', [vm.ref, KEY, migrationId], nothingSchema, options);
}

/** Takes our mark off, and nobody else's. A guest that is not there bears none. */
export async function clearMark(
  session: XenSession,
  vmUuid: string,
  migrationId: string,
  options: Options,
): Promise<void> {
  const vm = await session.vm(vmUuid, options);
  if (vm === null || !bearsMark(vm.record, migrationId)) return;
  try {
    await session.client.call('VM.remove_from_other_config', [vm.ref, KEY], nothingSchema, options);
  } catch (error) {
    if (!isFault(error, 'HANDLE_INVALID')) throw error;
  }
}
