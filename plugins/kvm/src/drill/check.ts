/**
 * Everything that speaks against a drill, in one sweep and without side effects. A check that cannot be made is a warning, never
 * silence.
 */
import type { CheckReport, DrillRequest, Finding } from '@lmas/plugin-api';
import { checkCpu, checkMachine, checkMemory } from '../checks/hosts.ts';
import { checkFreePorts } from '../checks/ports.ts';
import { attempt, blocker, note, warning } from '../checks/types.ts';
import { VERSION_6_0 } from '../client.ts';
import type { KvmOptions } from '../config.ts';
import { attribute, descend, parseXml } from '../definition/xml.ts';
import { isFault } from '../errors.ts';
import { statFile } from '../files.ts';
import { look } from '../migration/sighting.ts';
import { versionText } from '../session.ts';
import { findCopyOf } from './copy.ts';
import { copyDefinition, filesNeeded } from './definition.ts';
import { checkDrillDisks } from './disks.ts';
import { wire } from './networks.ts';
import { backupXml, type DrillPlan, type Ends, makeDrillPlan } from './plan.ts';
import { checkPrograms } from './programs.ts';

export interface DrillCheckContext {
  readonly ends: Ends;
  readonly request: DrillRequest<KvmOptions>;
  readonly plan: DrillPlan;
  readonly signal: AbortSignal;
}

type Check = (context: DrillCheckContext) => Promise<Finding[]>;

/** In the order in which a person would want to hear of them. */
const CHECKS: readonly Check[] = [
  checkVm,
  checkDestination,
  checkBackups,
  checkPrograms,
  checkCpu,
  checkMachine,
  checkMemory,
  checkNetworks,
  checkDrillDisks,
  ({ ends, plan, signal }) => checkFreePorts(ends.destination, plan.disks.length, { signal }),
  checkDefinition,
];

/** @throws PluginError VM_NOT_FOUND, and whatever the connections suffer */
export async function checkDrill(
  ends: Ends,
  request: DrillRequest<KvmOptions>,
  { signal }: { signal: AbortSignal },
): Promise<CheckReport> {
  const plan = await makeDrillPlan(ends, request, { signal });
  const context: DrillCheckContext = { ends, request, plan, signal };
  const findings: Finding[] = [];
  for (const check of CHECKS) findings.push(...(await attempt(context, () => check(context))));
  const diskBytes = plan.disks.reduce((sum, disk) => sum + disk.heldBytes, 0);
  // The copy starts from its disks: no memory crosses.
  return { findings, memoryBytes: 0, diskBytes };
}

const DRILL_SOCKET = /lmas-drill-[0-9a-f]+\.sock/;

async function checkVm({ ends, plan, request, signal }: DrillCheckContext): Promise<Finding[]> {
  const { presence, moving, foreignJob } = await look(ends.source, request.vm.id, 'source', { signal });
  if (presence !== 'running') {
    return [
      blocker('VM_NOT_RUNNING', `The VM is ${presence} at the source.`, 'Start it: a copy is made of a VM that runs.'),
    ];
  }
  const findings: Finding[] = [];
  const backup = moving || foreignJob ? await backupXml(ends.source, plan.domain, { signal }) : null;
  if (backup !== null && DRILL_SOCKET.test(backup)) {
    const message = 'Another drill copies the disks of this VM now.';
    findings.push(
      blocker('DRILL_UNDER_WAY', message, 'Wait until it has started its copy and has ended, or cancel it.'),
    );
  } else if (moving || foreignJob) {
    const message = 'Another job (migration, backup, snapshot) is under way.';
    findings.push(blocker('VM_BUSY', message, 'Wait for it, or abort it there: virsh domjobabort.'));
  }
  if (/<mirror[ >]/.test(plan.xml)) {
    const message = 'A disk of the VM is being copied or merged (a block job): libvirt backs up none meanwhile.';
    findings.push(blocker('VM_BLOCK_JOB', message, 'Wait for it, or end it (virsh blockjob).'));
  }
  if (plan.definition.managedBy !== null) {
    const message = `The VM belongs to ${plan.definition.managedBy}, which may be refused a job of its own while the disks are copied.`;
    findings.push(note('MANAGED_BY_OTHER', message, 'The copy has none of its metadata: it is not taken for the VM.'));
  }
  return findings;
}

async function checkDestination({ ends, plan, request, signal }: DrillCheckContext): Promise<Finding[]> {
  const { destination } = ends;
  const other = await findCopyOf(destination, request.vm.id, { signal });
  if (other !== undefined) {
    const message = `The destination has a copy of this VM already: ${other}.`;
    return [
      blocker('DRILL_UNDER_WAY', message, 'End the drill that it belongs to; two copies would have one address.'),
    ];
  }
  const client = await destination.query({ signal });
  const taken =
    (await client.lookup(plan.names.uuid, { signal })) ?? (await client.lookupByName(plan.names.name, { signal }));
  if (taken === null) return [];
  const message = `The destination has a VM called ${taken.name}, where the copy of this drill would be.`;
  return [
    blocker(
      'NAME_TAKEN_AT_DESTINATION',
      message,
      'Rename it while it is off (virsh domrename), or remove it if nobody needs it.',
    ),
  ];
}

/** libvirt has backups since 6.0. Some versions want a QEMU that can make incremental ones for any; whether it can, they say. */
async function checkBackups({ ends, plan, signal }: DrillCheckContext): Promise<Finding[]> {
  const client = await ends.source.query({ signal });
  const libvirt = await client.libvirtVersion({ signal });
  if (libvirt < VERSION_6_0) {
    const message = `libvirt ${versionText(libvirt)} at the source makes no backups.`;
    return [blocker('LIBVIRT_TOO_OLD_AT_SOURCE', message, 'Update it to 6.0 or later.')];
  }
  const { arch, machine, virtType, emulator } = plan.definition;
  const args = { emulator: emulator ?? null, arch: arch ?? null, machine: machine ?? null, virtType, flags: 0 };
  try {
    const { xml } = await client.call('connectGetDomainCapabilities', args, { signal });
    const backup = descend(parseXml(xml, 'domainCapabilities').root, 'features', 'backup');
    if (attribute(backup, 'supported') !== 'no') return [];
  } catch (error) {
    if (!isFault(error)) throw error;
    return [];
  }
  const message = "libvirt at the source does not vouch for backups with this VM's QEMU, and may refuse one.";
  const remedy =
    'Try it: the VM runs on either way. If it is refused, update libvirt and QEMU there, and restart the VM.';
  return [warning('BACKUP_NOT_VOUCHED_FOR', message, remedy)];
}

async function checkNetworks({ ends, plan, request, signal }: DrillCheckContext): Promise<Finding[]> {
  return [...(await wire(ends.destination, plan.definition, request, { signal })).findings];
}

/** What the copy will lack, and what it takes from the destination's own files. */
async function checkDefinition({ ends, plan, request, signal }: DrillCheckContext): Promise<Finding[]> {
  const findings: Finding[] = [];
  const { leftOut } = copyDefinition(plan.xml, {
    ...{ names: plan.names, migrationId: request.migrationId, vmId: request.vm.id },
    ...{ disks: {}, networks: {}, nvram: undefined },
  });
  if (leftOut.length > 0) {
    const message = `The copy will lack what belongs to the source or goes past libvirt: ${leftOut.join(', ')}.`;
    findings.push(warning('DRILL_DEVICE_LEFT_OUT', message, 'Rehearse by hand what depends on it.'));
  }
  if (plan.emptied.length > 0) {
    const message = `The copy will have no medium in ${plan.emptied.join(', ')}.`;
    findings.push(warning('DRILL_MEDIUM_LEFT_OUT', message, 'Eject it from the VM, if it is not needed.'));
  }
  if (plan.definition.emulatedTpm) {
    const message = "The copy has an empty TPM of its own: what the guest sealed in the VM's cannot be opened.";
    findings.push(
      warning('DRILL_TPM_NEW', message, 'Have the recovery key at hand, if its disks are bound to the TPM.'),
    );
  }
  for (const path of filesNeeded(plan.xml)) {
    const there = await statFile(ends.destination.transport, path, { signal }).catch(() => null);
    if (there !== null) continue;
    const message = `The destination does not have ${path}, from which the VM starts.`;
    findings.push(blocker('BOOT_FILE_MISSING', message, 'Put it there, or change the VM to what both hosts have.'));
  }
  return findings;
}
