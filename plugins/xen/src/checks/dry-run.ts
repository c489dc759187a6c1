/**
 * XAPI's own judgement. `VM.assert_can_migrate` connects from the source's coordinator to the destination, so before there is a tunnel
 * it can be had only where that one reaches it without a gateway; `perform` has it again over the route. For a move by `VM.pool_migrate`
 * there is `VM.assert_can_boot_here`, which needs no connection.
 */
import { blocker, type Finding, note, warning } from '@lmas/plugin-api';
import { isFault, remedyOf, toPluginError, type XapiFault } from '../errors.ts';
import { dryRunParams, usesPoolMigrate } from '../migration/call.ts';
import { askCanSend, assertCanRunThere } from '../migration/dry-run.ts';
import { unsettledMark } from '../migration/to-be-had.ts';
import { receiveMapSchema } from '../records.ts';
import type { CheckContext } from './types.ts';

/** By XAPI's code: those of ours that say the same. */
const OURS: Readonly<Record<string, string>> = {
  LICENCE_RESTRICTION: 'LICENCE',
  HOST_DISABLED: 'HOST_NOT_READY',
  HOST_NOT_LIVE: 'HOST_NOT_READY',
  HOST_NOT_ENOUGH_FREE_MEMORY: 'NOT_ENOUGH_MEMORY',
  HOST_NOT_ENOUGH_PCPUS: 'NOT_ENOUGH_CPUS',
  VM_HOST_INCOMPATIBLE_VERSION: 'OLDER_VERSION',
  VM_HOST_INCOMPATIBLE_VERSION_MIGRATE: 'OLDER_VERSION',
  NOT_SUPPORTED_DURING_UPGRADE: 'OLDER_VERSION',
  DUPLICATE_VM: 'VM_EXISTS',
  VM_REQUIRES_SR: 'STORAGE_NOT_ATTACHED',
  VDI_CBT_ENABLED: 'CHANGED_BLOCK_TRACKING',
  VDI_IS_ENCRYPTED: 'DISK_ENCRYPTED',
  VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION: 'DISK_RESETS',
  VM_HAS_PCI_ATTACHED: 'PCI_DEVICE',
  VM_HAS_VUSBS: 'USB_DEVICE',
};

/**
 * @param before what we have found: XAPI is asked beside that, whenever the question can be put, and only what it says besides is added. Not about
 * a guest that something else is at: the dry run writes the maps into its disks and interfaces, as a move does, and takes them off again.
 */
export async function checkDryRun(context: CheckContext, before: readonly Finding[]): Promise<Finding[]> {
  const { plan, request } = context;
  const { host, network, gaps, vm } = plan;
  const isIdle =
    vm.record.power_state === 'Running' &&
    Object.keys(vm.record.current_operations).length === 0 &&
    unsettledMark(vm.record, request.migrationId) === undefined;
  if (host === undefined || network === undefined || gaps.length > 0 || !isIdle) return [];
  const asking = usesPoolMigrate(plan, request)
    ? askCanRun(context, host.ref)
    : request.tunnelled
      ? undefined
      : askStraight(context, host.ref, network);
  const blockers = before.filter(({ severity }) => severity === 'blocker').map(({ code }) => code);
  if (asking !== undefined) {
    return (await verdictOf(asking)).filter(({ code }) => !blockers.includes(OURS[code] ?? code));
  }
  if (blockers.length > 0) return [];
  return [
    note(
      'DRY_RUN_LATER',
      'XAPI’s own dry run is made once the tunnel is up, before anything moves.',
      'Check a direct migration (transport: direct) to have it now, if the hosts reach each other.',
    ),
  ];
}

const askCanRun = ({ ends, plan, request, signal }: CheckContext, host: string): Promise<void> =>
  assertCanRunThere(ends.source.client, plan.vm.ref, host, request, { signal });

async function askStraight(
  { ends: { source, destination }, plan, request, signal }: CheckContext,
  host: string,
  network: string,
): Promise<void> {
  const params = [host, network, {}];
  const received = await destination.client.call('host.migrate_receive', params, receiveMapSchema, { signal });
  const session = received.session_id;
  try {
    await askCanSend(source.client, dryRunParams(plan, received, request), session, { signal });
  } finally {
    if (session !== undefined) await destination.client.logOut(session);
  }
}

async function verdictOf(asking: Promise<void>): Promise<Finding[]> {
  try {
    await asking;
    return [];
  } catch (error) {
    if (isFault(error)) return [verdict(error)];
    const { message } = toPluginError(error, 'the dry run');
    return [warning('DRY_RUN_NOT_POSSIBLE', message, 'Check again. XAPI’s refusals, if any, come with the move.')];
  }
}

/** XAPI's name is the finding's code, so that it can be looked up. */
function verdict(error: XapiFault): Finding {
  return blocker(
    error.code,
    `XAPI refuses: ${error.message}.`,
    remedyOf(error) ?? 'See the meaning of this code in the documentation of XenServer or XCP-ng.',
  );
}
