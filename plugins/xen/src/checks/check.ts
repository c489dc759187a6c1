/**
 * Everything that speaks against a migration, in one sweep: ours from the records of both pools, and XAPI's own dry run where
 * it can be had without the tunnel. Nothing of either pool changes.
 */
import { blocker, type CheckReport, type Finding, type MigrationRequest } from '@lmas/plugin-api';
import type { XenOptions } from '../config.ts';
import { type Ends, type Gap, makePlan } from '../migration/plan.ts';
import { checkDestination } from './destination.ts';
import { checkDryRun } from './dry-run.ts';
import { checkGuest } from './guest.ts';
import { checkStorage } from './storage.ts';

const GAP_CODES: Readonly<Record<Gap['kind'], string>> = {
  site: 'SITE_NOT_CLEAR',
  host: 'NO_DESTINATION_HOST',
  address: 'NO_MIGRATION_ADDRESS',
  storage: 'STORAGE_NOT_MAPPED',
  network: 'NETWORK_NOT_MAPPED',
};

/** @throws PluginError VM_NOT_FOUND, and whatever the connections suffer */
export async function checkMigration(
  ends: Ends,
  request: MigrationRequest<XenOptions>,
  { signal }: { signal: AbortSignal },
): Promise<CheckReport> {
  const plan = await makePlan(ends, request, { signal });
  const context = { ends, request, plan, signal };
  const findings: Finding[] = plan.gaps.map(({ kind, message, remedy }) => blocker(GAP_CODES[kind], message, remedy));
  findings.push(...(await checkGuest(context)), ...checkDestination(context), ...checkStorage(context));
  const stopped = findings.some(({ severity }) => severity === 'blocker');
  if (!stopped) findings.push(...(await checkDryRun(context)));
  const copied = plan.disks.filter((disk) => disk.copied);
  const diskBytes = copied.reduce((sum, { record }) => sum + record.physical_utilisation, 0);
  return { findings, memoryBytes: plan.vm.record.memory_dynamic_max, diskBytes };
}
