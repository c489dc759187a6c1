/**
 * Everything that speaks against moving a VM that is off, in one sweep and without side effects: what a live migration is checked for
 * as far as it means something here, and what only a VM without a process has.
 */
import { dirname } from 'node:path';
import { type CheckReport, type Finding, pluginErrorCode, type RelocationRequest } from '@lmas/plugin-api';
import { checkCopy, checkDevice, checkDiskNames, checkShared, checkSpace, diskNotChecked } from '../checks/disks.ts';
import { checkGuest } from '../checks/guest.ts';
import { checkCpu, checkIdentity, checkMachine, checkNetworks } from '../checks/hosts.ts';
import { checkCluster, checkOwner } from '../checks/owners.ts';
import { checkKnownThere } from '../checks/places.ts';
import { checkFreePorts } from '../checks/ports.ts';
import { attempt, blocker, type CheckContext, warning } from '../checks/types.ts';
import { uuidBytes } from '../client.ts';
import type { KvmOptions } from '../config.ts';
import type { DiskDefinition } from '../definition/definition.ts';
import { attribute, parseXml } from '../definition/xml.ts';
import { filesNeeded, nvramOf } from '../drill/definition.ts';
import { encryptedDisks } from '../drill/disks.ts';
import { checkPrograms } from '../drill/programs.ts';
import { isFault } from '../errors.ts';
import { statFile } from '../files.ts';
import type { CopiedDisk } from '../migration/plan.ts';
import { type Ends, lookAtBoth } from '../migration/settle.ts';
import { ERROR, XML } from '../rpc/constants.ts';
import { isCopyable } from './disks.ts';
import { asMigration, makeRelocationPlan, type RelocationPlan } from './plan.ts';

type Context = CheckContext & { readonly plan: RelocationPlan };
type Check = (context: Context) => Promise<Finding[]>;

/** In the order in which a person would want to hear of them. */
const CHECKS: readonly Check[] = [
  checkRest,
  checkIdentity,
  checkNamedCpu,
  checkMachine,
  checkNetworks,
  checkGuestAtRest,
  checkSavedMemory,
  checkDisks,
  checkFirmware,
  checkBootFiles,
  checkSecrets,
  checkOwner,
  checkCluster,
  checkOptions,
];

/** @throws PluginError VM_NOT_FOUND, and whatever the connections suffer */
export async function checkRelocation(
  ends: Ends,
  request: RelocationRequest<KvmOptions>,
  { signal }: { signal: AbortSignal },
): Promise<CheckReport> {
  const plan = await makeRelocationPlan(ends, request, { signal });
  const context: Context = { ends, request: asMigration(request), plan, signal };
  const findings: Finding[] = [];
  for (const check of CHECKS) findings.push(...(await attempt(context, () => check(context))));
  const diskBytes = plan.copied.reduce((sum, disk) => sum + (disk.allocationBytes ?? disk.capacityBytes ?? 0), 0);
  // Something crosses of an empty disk as well.
  const least = plan.copied.length > 0 ? 1 : 0;
  return { findings, memoryBytes: 0, diskBytes: Math.max(least, diskBytes), dirtyRateBytesPerSec: 0 };
}

async function checkRest(context: Context): Promise<Finding[]> {
  const { source, destination } = await lookAtBoth(context.ends, context.request.vm.id, context);
  const findings: Finding[] = [];
  if (source.presence !== 'stopped') {
    const remedy =
      source.presence === 'running'
        ? 'Move it live (powerState `running`), or shut it down.'
        : 'Resume it and move it live, or shut it down.';
    findings.push(blocker('VM_NOT_POWERED_OFF', `The VM is ${source.presence} at the source.`, remedy));
  }
  return [...findings, ...(await checkKnownThere(context, destination))];
}

/** One that is named as the host's own is made out anew at each start. */
async function checkNamedCpu(context: Context): Promise<Finding[]> {
  return context.plan.definition.cpuMode === 'custom' ? await checkCpu(context) : [];
}

async function checkGuestAtRest(context: Context): Promise<Finding[]> {
  return (await checkGuest(context)).map((finding) =>
    finding.code === 'TPM_STATE_COPIED'
      ? blocker(
          'TPM_STATE_STAYS',
          'The guest has an emulated TPM, whose state only goes along with the memory of one that runs.',
          'Start it and move it live, or move its TPM by hand (/var/lib/libvirt/swtpm).',
        )
      : finding,
  );
}

async function checkSavedMemory({ ends, plan, signal }: Context): Promise<Finding[]> {
  const client = await ends.source.query({ signal });
  const { result } = await client.call('domainHasManagedSaveImage', { domain: plan.domain, flags: 0 }, { signal });
  if (result === 0) return [];
  const message = 'The VM was saved with its memory (virsh managedsave), which libvirt does not move.';
  return [
    blocker('MANAGED_SAVE', message, 'Start it and move it live, or drop its memory (virsh managedsave-remove).'),
  ];
}

async function checkDisks(context: Context): Promise<Finding[]> {
  const { plan } = context;
  const findings = checkDiskNames(context);
  for (const disk of plan.definition.disks) {
    findings.push(...checkDevice(disk, context));
    const copy = plan.copied.find(({ name }) => name === disk.name);
    const check = () => (copy === undefined ? checkShared(disk, context) : checkCopied(copy, disk, context));
    const found = await attempt(context, check, (reason) => diskNotChecked(disk.name, reason));
    // Whatever a cache held was written when the VM went off.
    findings.push(...found.filter(({ code }) => code !== 'DISK_CACHE'));
  }
  if (plan.copied.length === 0) return findings;
  const ports = () => checkFreePorts(context.ends.destination, plan.copied.length, context);
  for (const check of [() => checkSpace(context), () => checkPrograms(context), ports])
    findings.push(...(await attempt(context, check)));
  return findings;
}

async function checkCopied(copy: CopiedDisk, disk: DiskDefinition, context: Context): Promise<Finding[]> {
  const remedy = 'Start the VM and move it live, which copies such a disk; or put it where both hosts see it.';
  if (disk.sourceType !== 'file') {
    // Whether it was written to cannot be told afterwards.
    const message = `${copy.name} is no image file (${disk.sourceType}): of a VM that is powered off only these are copied.`;
    return [blocker('DISK_NOT_COPYABLE', message, remedy)];
  }
  if (copy.format === 'qcow2' && encryptedDisks(context.plan.sourceXml).has(copy.name)) {
    const message = `${copy.name} is encrypted by QEMU: qemu-img, which copies it, does not have its secret.`;
    return [blocker('DISK_ENCRYPTED', message, remedy)];
  }
  if (!isCopyable(copy)) {
    const message = `${copy.name} has format ${copy.format}: of a VM that is powered off raw and qcow2 are copied.`;
    return [blocker('DISK_NOT_COPYABLE', message, remedy)];
  }
  return await checkCopy(copy, disk, context);
}

async function checkFirmware({ ends, plan, signal }: Context): Promise<Finding[]> {
  const { nvram } = plan;
  if (nvram === undefined) return [];
  const { destination } = ends;
  try {
    await statFile(destination.transport, nvram, { signal });
  } catch (error) {
    if (pluginErrorCode(error) !== 'INVALID_CONFIG') throw error;
    const message = `The destination has no directory ${dirname(nvram)} for the UEFI variables that we can see.`;
    return [blocker('FIRMWARE_DIRECTORY_MISSING', message, 'Make it there, or log in as root.')];
  }
  const client = await destination.query({ signal });
  const { domains } = await client.call('connectListAllDomains', { needResults: 1, flags: 0 }, { signal });
  for (const domain of domains) {
    try {
      if (nvramOf(await client.xml(domain, XML.inactive, { signal })) !== nvram) continue;
    } catch (error) {
      if (isFault(error)) continue; // gone since it was listed
      throw error;
    }
    const message = `VM ${domain.name} of the destination has its UEFI variables at ${nvram}, where this one has them.`;
    return [blocker('FIRMWARE_PLACE_TAKEN', message, 'Give one of the two another file (virsh edit).')];
  }
  return [];
}

async function checkBootFiles({ ends, plan, signal }: Context): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const path of filesNeeded(plan.sourceXml)) {
    const there = await statFile(ends.destination.transport, path, { signal }).catch(() => null);
    if (there !== null) continue;
    const message = `The destination does not have ${path}, from which the VM starts.`;
    findings.push(blocker('BOOT_FILE_MISSING', message, 'Put it there, or change the VM to what both hosts have.'));
  }
  return findings;
}

/** Of its disks above all: libvirt defines a VM whose secrets it does not have, and cannot start it. */
async function checkSecrets({ ends, plan, signal }: Context): Promise<Finding[]> {
  const client = await ends.destination.query({ signal });
  const { root } = parseXml(plan.sourceXml, 'domain');
  const uuids = new Set(
    Array.from(root.getElementsByTagName('secret')).flatMap((each) => attribute(each, 'uuid') ?? []),
  );
  const findings: Finding[] = [];
  for (const uuid of uuids) {
    try {
      await client.call('secretLookupByUuid', { uuid: uuidBytes(uuid) }, { signal });
    } catch (error) {
      if (!isFault(error, ERROR.NO_SECRET)) throw error;
      const message = `libvirt at the destination does not have the secret ${uuid}, without which the VM cannot be started.`;
      const remedy = 'Define it there, with its value (virsh secret-define, secret-set-value).';
      findings.push(blocker('SECRET_MISSING', message, remedy));
    }
  }
  return findings;
}

async function checkOptions({ request: { options } }: Context): Promise<Finding[]> {
  if (options.undefineAtSource && options.persistAtDestination) return [];
  const message =
    'A VM that is powered off is its definition: it is made at the destination and removed at the source, whatever undefineAtSource and persistAtDestination say.';
  return [warning('DEFINITION_MOVES', message, 'Leave the VM out if its definition has to stay.')];
}
