/** The guest itself: its state, its devices, who else holds it. */
import { blocker, type Finding, warning } from '@lmas/plugin-api';
import type { z } from 'zod';
import { isFault } from '../errors.ts';
import { usesPoolMigrate } from '../migration/call.ts';
import { migrationTaskOf } from '../migration/placement.ts';
import { lookFirst, unsettledMark } from '../migration/to-be-had.ts';
import { guestMetricsSchema, NULL_REF } from '../records.ts';
import { managerOf } from '../session.ts';
import type { CheckContext } from './types.ts';

export async function checkGuest(context: CheckContext): Promise<Finding[]> {
  return [...checkState(context), ...checkDevices(context), ...(await checkDrivers(context))];
}

function checkState({ plan: { vm, samePool }, request }: CheckContext): Finding[] {
  const { record } = vm;
  const findings: Finding[] = [];
  if (record.power_state !== 'Running') {
    findings.push(
      blocker(
        'VM_NOT_RUNNING',
        `${record.name_label} is ${record.power_state}.`,
        `${lookFirst(record.uuid)} Only when it runs nowhere: start it, or move it without live migration.`,
      ),
    );
  }
  const operations = [...new Set(Object.values(record.current_operations))];
  if (migrationTaskOf(record) !== undefined) {
    findings.push(
      blocker(
        'VM_BEING_MIGRATED',
        `${record.name_label} is being migrated already.`,
        'Wait for its end, or cancel it in the pool.',
      ),
    );
  } else if (operations.length > 0) {
    findings.push(
      blocker('VM_BUSY', `The pool is at ${operations.join(', ')} of ${record.name_label}.`, 'Wait for the end of it.'),
    );
  }
  const earlier = unsettledMark(record, request.migrationId);
  if (earlier !== undefined) findings.push(blocker('EARLIER_MIGRATION', earlier.message, earlier.remedy));
  const manager = managerOf(record);
  if (manager !== null) {
    findings.push(
      warning(
        'VM_MANAGED',
        `${manager} owns this VM and will not know where it went.`,
        `Move it with ${manager}, or tell it afterwards.`,
      ),
    );
  }
  if (!samePool && record.ha_restart_priority !== '') {
    findings.push(
      warning(
        'HA_PROTECTED',
        'High availability of the source pool protects this VM; it does not follow it, and may start a record that a late failure leaves.',
        'Take the protection off for the move (xe vm-param-set ha-restart-priority=), and set it again in the destination pool.',
      ),
    );
  }
  return findings;
}

function checkDevices({ plan, request }: CheckContext): Finding[] {
  const { record } = plan.vm;
  const devices: readonly [present: boolean, code: string, what: string][] = [
    [record.attached_PCIs.length > 0, 'PCI_DEVICE', 'a PCI device of its host'],
    [record.VUSBs.length > 0, 'USB_DEVICE', 'a USB device of its host'],
  ];
  const findings = devices.flatMap(([present, code, what]) =>
    present
      ? [blocker(code, `${record.name_label} holds ${what}, which cannot move.`, 'Take the device away from the VM.')]
      : [],
  );
  if (record.VGPUs.length > 0 && plan.vgpuMap[record.VGPUs[0] ?? ''] === undefined) {
    findings.push(
      warning(
        'VIRTUAL_GPU',
        'The VM has a virtual GPU; the destination host needs one of the same type.',
        'Choose a destinationHost that has one; name its GPU group by the option gpuGroup.',
      ),
    );
  }
  // By xapi_vm_migrate.ml, `find_cds_to_eject`; the dry run knows of it (import.ml). `VM.pool_migrate` leaves discs in.
  if (!usesPoolMigrate(plan, request) && plan.discs.length > 0) {
    findings.push(
      warning(
        'DISC_INSERTED',
        `There is a disc in drive ${plan.discs.join(', ')}. XAPI ejects it when the move begins, and puts it back neither there nor, if the move fails, here.`,
        'See that the guest does not need it, nor keeps the drive locked, or the move fails at once: xe vm-cd-eject ejects it before.',
      ),
    );
  }
  return findings;
}

/** XAPI moves only guests whose drivers say that they can be suspended. */
async function checkDrivers({ ends, plan, signal }: CheckContext): Promise<Finding[]> {
  const { record } = plan.vm;
  const absent = [
    warning(
      'NO_GUEST_DRIVERS',
      `${record.name_label} reports no PV drivers; XAPI may refuse to move it.`,
      'Install the guest tools in the VM.',
    ),
  ];
  if (record.power_state !== 'Running') return [];
  if (record.guest_metrics === NULL_REF) return absent;
  let metrics: z.infer<typeof guestMetricsSchema>;
  try {
    const params = [record.guest_metrics];
    metrics = await ends.source.client.call('VM_guest_metrics.get_record', params, guestMetricsSchema, { signal });
  } catch (error) {
    if (isFault(error)) return absent; // gone since the VM was read, or not for this login
    throw error;
  }
  return metrics.PV_drivers_detected || 'feature-suspend' in metrics.other ? [] : absent;
}
