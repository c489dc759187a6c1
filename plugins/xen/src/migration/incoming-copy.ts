/**
 * What a move that broke off leaves at the destination: a record of the guest that never ran, with disks that are not whole. XAPI takes
 * it away by itself, unless the link or the tool stack was gone by then. We destroy no record; we name it until it is gone.
 */
import { PluginError, type PluginResource } from '@lmas/plugin-api';
import type { XenSession } from '../session.ts';
import { bearsMark } from './marker.ts';

export const copyResource = (vmUuid: string): PluginResource => ({
  kind: 'copy',
  id: vmUuid,
  end: 'destination',
  data: {},
});

/** For a guest that is at the source. @throws PluginError HYPERVISOR_FAULT while the copy is there */
export async function releaseCopy(
  session: XenSession,
  vmUuid: string,
  migrationId: string,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const vm = await session.vm(vmUuid, { signal });
  if (vm === null || !bearsMark(vm.record, migrationId)) return; // none, or somebody else's
  throw new PluginError(
    'HYPERVISOR_FAULT',
    `The destination pool holds an incomplete copy of ${vm.record.name_label} (${vm.record.power_state}), which was never started.`,
    {
      remedy: `See that xl list -v shows ${vmUuid} at a host of the source, and at none of the destination. Then, at the destination's coordinator ${session.client.coordinator} and nowhere else: xe vm-uninstall uuid=${vmUuid}`,
    },
  );
}
