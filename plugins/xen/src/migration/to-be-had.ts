/** What the contract calls not to be had: nothing of such a VM is touched at either end. Pure. */
import { PluginError } from '@lmas/plugin-api';
import type { VmRecord } from '../records.ts';
import { MARK_KEY, markOf } from './marker.ts';
import { type Ends, isThereAlready, type Plan, twinOf } from './plan.ts';

/** @throws PluginError BUSY, NOT_MIGRATABLE */
export function assertToBeHad(ends: Ends, plan: Plan, migrationId: string): void {
  const { record } = plan.vm;
  const [operation] = Object.values(record.current_operations);
  if (operation !== undefined) {
    throw new PluginError(
      'BUSY',
      `The source pool is at ${operation} of ${record.name_label} already, for somebody else.`,
    );
  }
  if (record.power_state !== 'Running') {
    throw new PluginError('NOT_MIGRATABLE', `${record.name_label} is ${record.power_state}.`, {
      remedy: lookFirst(record.uuid),
    });
  }
  const earlier = unsettledMark(record, migrationId);
  if (earlier !== undefined) throw new PluginError('NOT_MIGRATABLE', earlier.message, { remedy: earlier.remedy });
  if (plan.host !== undefined && isThereAlready(ends, plan)) {
    throw new PluginError('NOT_MIGRATABLE', `${record.name_label} runs on a host of the destination already.`);
  }
  const twin = twinOf(plan);
  if (twin !== undefined) {
    throw new PluginError('NOT_MIGRATABLE', `The destination pool knows ${twin.uuid} already (${twin.power_state}).`);
  }
}

/** For people. After a failure in the last moment a guest may run where no record says so, and a start would make two of it. */
export const lookFirst = (uuid: string): string =>
  `See first that it runs nowhere: xl list -v at every host of both pools names ${uuid} where it runs, also where a record says "Halted".`;

/** Another migration of ours that ended without anybody knowing how: with its mark gone nobody would look for it. */
export function unsettledMark(
  record: VmRecord,
  migrationId: string,
): { readonly message: string; readonly remedy: string } | undefined {
  const mark = markOf(record);
  if (mark === undefined || mark.migrationId === migrationId) return undefined;
  return {
    message: `${record.name_label} bears the mark of ${mark.migrationId}, whose end was not seen.`,
    remedy: `See in the record of ${mark.migrationId} what to do. When nothing of it is left: xe vm-param-remove uuid=${record.uuid} param-name=other-config param-key=${MARK_KEY}`,
  };
}
