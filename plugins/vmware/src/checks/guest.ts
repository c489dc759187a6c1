/** The VM itself: its state, its devices, who else holds it. */
import { blocker, type Finding, note, warning } from '@lmas/plugin-api';
import { labelOf } from '../inventory/summary.ts';
import { namesStorage } from '../migration/disks-alone.ts';
import { encryptionOf, isEncryptedVm, whyNotDisable } from '../migration/encryption.ts';
import { isThereAlready, type Plan, thereAlready } from '../migration/plan.ts';
import type { Device } from '../records.ts';
import type { CheckContext } from './types.ts';

export const checkGuest = (context: CheckContext): Finding[] => [
  ...checkState(context),
  ...checkDevices(context),
  ...checkSnapshots(context),
  ...checkEncryption(context),
];

function checkState({ ends, plan }: CheckContext): Finding[] {
  const { record } = plan.vm;
  const findings: Finding[] = [];
  if (record['runtime.powerState'] !== 'poweredOn') {
    findings.push(
      blocker(
        'VM_NOT_RUNNING',
        `${record.name} is ${record['runtime.powerState']}.`,
        'Power it on, or move it with vSphere itself: this plugin moves VMs that run.',
      ),
    );
  }
  if (record['runtime.connectionState'] !== 'connected') {
    findings.push(
      blocker(
        'VM_NOT_CONNECTED',
        `The vCenter calls ${record.name} ${record['runtime.connectionState']}.`,
        'Reconnect its host; of a VM that is orphaned or inaccessible, see first in the vCenter where its files are, and that its host reaches them.',
      ),
    );
  }
  if (record.disabledMethod.includes('RelocateVM_Task')) {
    findings.push(
      blocker(
        'RELOCATION_DISABLED',
        `The vCenter does not let ${record.name} be relocated now.`,
        'Wait for the task that has it; if there is none, look for who has disabled vMotion of this VM (a backup program leaves that behind).',
      ),
    );
  }
  if (plan.hasTwin) {
    findings.push(
      blocker(
        'VM_EXISTS',
        `The destination vCenter has a VM with the same instance UUID as ${record.name}.`,
        'Find out what it is. Remove it from the inventory there if it is a leftover; change its instance UUID if it is another VM.',
      ),
    );
  }
  if (isThereAlready(ends, plan)) {
    const { request } = plan;
    const asksForStorage = namesStorage(request) || request.options.storagePolicy !== undefined;
    findings.push(
      blocker(
        'VM_THERE_ALREADY',
        `${record.name} ${thereAlready(plan)}.`,
        request.disksAlone !== true && asksForStorage
          ? 'To move its disks alone, name its own endpoint as the destination, too, and transport `direct`.'
          : 'There is nothing to do.',
      ),
    );
  }
  if (!['notConfigured', undefined].includes(record['runtime.faultToleranceState'])) {
    findings.push(
      blocker(
        'FAULT_TOLERANCE',
        `${record.name} is protected by Fault Tolerance.`,
        'Turn Fault Tolerance off for the move.',
      ),
    );
  }
  const manager = record['config.managedBy']?.extensionKey;
  if (manager !== undefined) {
    findings.push(
      warning(
        'VM_MANAGED',
        `${manager} owns this VM and will not know where it went.`,
        `Move it with ${manager}, or tell it afterwards.`,
      ),
    );
  }
  return findings;
}

/** vim.vm.device.* that are bound to their host. */
const BOUND: Readonly<Record<string, readonly [code: string, what: string]>> = {
  VirtualPCIPassthrough: ['PCI_DEVICE', 'a PCI device of its host'],
  VirtualSriovEthernetCard: ['SRIOV_CARD', 'a card of its host (SR-IOV)'],
  VirtualUSB: ['USB_DEVICE', 'a USB device of its host'],
  VirtualSCSIPassthrough: ['SCSI_DEVICE', 'a SCSI device of its host'],
};
/** A share of a GPU, which vMotion takes along to a host that has such a one; the class of device is that of a whole one. */
const VIRTUAL_GPU = 'VirtualPCIPassthroughVmiopBackingInfo';
/** Backings of drives that are in the host, or in the client's machine. */
const IN_A_MACHINE =
  /^Virtual(Cdrom|Floppy)(Atapi|Passthrough|RemotePassthrough|RemoteAtapi|Device|RemoteDevice)BackingInfo$/;
const PORTS: ReadonlySet<string> = new Set([
  'VirtualSerialPortDeviceBackingInfo',
  'VirtualParallelPortDeviceBackingInfo',
]);

function checkDevices({ plan }: CheckContext): Finding[] {
  const { record } = plan.vm;
  if (plan.request.disksAlone === true) return []; // what is bound to the host stays with it
  return record['config.hardware.device'].flatMap((device) => {
    if (device.backing?._typeName === VIRTUAL_GPU) {
      return [
        warning(
          'VIRTUAL_GPU',
          `${record.name} has a virtual GPU (${labelOf(device)}); the guest stands still while the GPU’s memory is copied.`,
          'vSphere’s own check says whether the destination has one of the same kind free.',
        ),
      ];
    }
    const bound = BOUND[device._typeName];
    const what = bound?.[1] ?? whatIsInserted(device);
    if (what !== undefined) {
      return [
        blocker(
          bound?.[0] ?? 'DEVICE_OF_A_MACHINE',
          `${record.name} holds ${what} (${labelOf(device)}), which cannot move.`,
          // One that is bound to its host is so also where it is not connected.
          bound === undefined ? 'Disconnect it, or take it away from the VM.' : 'Take it away from the VM.',
        ),
      ];
    }
    if (device.sharedBus !== undefined && device.sharedBus !== 'noSharing') {
      return [
        blocker(
          'SHARED_BUS',
          `${labelOf(device)} shares its bus (${device.sharedBus}); such a VM is part of a cluster of guests and cannot move while it runs.`,
          'Power it off, and move it together with the others with vSphere itself.',
        ),
      ];
    }
    return checkDrive(device, plan.sameVCenter);
  });
}

function whatIsInserted({ connectable, backing }: Device): string | undefined {
  const type = backing?._typeName ?? '';
  if (connectable?.connected !== true) return undefined;
  if (IN_A_MACHINE.test(type)) return 'a drive of a machine';
  return PORTS.has(type) ? 'a port of its host' : undefined;
}

function checkDrive({ connectable, backing, ...device }: Device, sameVCenter: boolean): Finding[] {
  if (sameVCenter || connectable?.connected !== true || backing?._typeName !== 'VirtualCdromIsoBackingInfo') return [];
  return [
    warning(
      'DISC_INSERTED',
      `${labelOf(device)} holds ${backing.fileName ?? 'an image'}, which the destination may not see.`,
      'Disconnect it before the move, or put the image on a datastore that both see.',
    ),
  ];
}

function checkSnapshots({ plan }: CheckContext): Finding[] {
  const { snapshot, name } = plan.vm.record;
  if (snapshot === undefined || snapshot === null || !plan.disks.some(({ copied }) => copied)) return [];
  if (plan.request.disksAlone === true) return []; // nor do they cross a network
  return [
    warning(
      'SNAPSHOTS',
      `${name} has snapshots. Their disks do not change and are copied cold, over the provisioning network (TCP 902).`,
      'Delete the snapshots, or see that the provisioning network goes through the gateways, too.',
    ),
  ];
}

function checkEncryption({ plan }: CheckContext): Finding[] {
  const setting = encryptionOf(plan);
  const { encryption } = plan.request.options;
  if (encryption === 'disable') {
    const reason = whyNotDisable(plan);
    if (reason === undefined) return [isDisabled(plan, setting)];
    return [blocker('ENCRYPTION_NEEDED', reason, 'Leave the option `encryption` at "leave".')];
  }
  if (!plan.request.tunnelled) return [];
  if (setting === 'disabled') {
    return [
      note(
        'CLEAR_VMOTION',
        'vMotion of this VM is not encrypted by itself: when a gateway dies, its new connections pass the tunnel in the clear.',
        'With the option encryption=disable they are refused instead; or set its Encrypted vMotion to "opportunistic".',
      ),
    ];
  }
  const may = isEncryptedVm(plan)
    ? 'The VM is encrypted itself, so this cannot be changed.'
    : 'With the option encryption=disable it is disabled while the VM moves, and the tunnel encrypts in its place.';
  return [
    note('ENCRYPTED_VMOTION', `vMotion of this VM is encrypted (${setting}), so the gateways cannot compress it.`, may),
  ];
}

const isDisabled = ({ vm }: Plan, setting: string): Finding =>
  note(
    'ENCRYPTION_IS_DISABLED',
    setting === 'disabled'
      ? `Encrypted vMotion of ${vm.record.name} is "disabled" as it is, and stays so; the tunnel encrypts in its place.`
      : `Encrypted vMotion of ${vm.record.name} ("${setting}") is set to "disabled" for the move, and put back afterwards; the tunnel encrypts in its place.`,
    'Start no other vMotion between those two hosts meanwhile: what goes past the tunnel is refused there.',
  );
