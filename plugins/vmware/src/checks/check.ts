/**
 * Everything that speaks against a migration, in one sweep: ours from the records of both vCenters, and vSphere's own check. Nothing
 * at either end changes.
 */
import { blocker, type CheckReport, type Finding, type MigrationRequest } from '@lmas/plugin-api';
import type { VmwareOptions } from '../config.ts';
import type { Gap } from '../migration/gap.ts';
import { type Ends, makePlan, type Plan } from '../migration/plan.ts';
import { sizesOf } from '../migration/progress.ts';
import { checkGuest } from './guest.ts';
import { checkHosts } from './hosts.ts';
import { checkNative } from './native.ts';
import { checkPrivileges } from './privileges.ts';
import { checkRoutes } from './routes.ts';
import { checkStorage } from './storage.ts';
import { checkWishes } from './wishes.ts';

const GAP_CODES: Readonly<Record<Gap['kind'], string>> = {
  site: 'SITE_NOT_CLEAR',
  'source-host': 'SOURCE_HOST_NOT_SEEN',
  host: 'NO_DESTINATION_HOST',
  pool: 'NO_SUCH_POOL',
  folder: 'NO_SUCH_FOLDER',
  storage: 'STORAGE_NOT_MAPPED',
  network: 'NETWORK_NOT_MAPPED',
  'network-unknown': 'NETWORK_UNKNOWN',
};

/** @throws PluginError VM_NOT_FOUND, and whatever the connections suffer */
export async function checkMigration(
  ends: Ends,
  request: MigrationRequest<VmwareOptions>,
  { signal }: { signal: AbortSignal },
): Promise<{ readonly report: CheckReport; readonly plan: Plan }> {
  const plan = await makePlan(ends, request, { signal });
  const context = { ends, plan, signal };
  const findings: Finding[] = [
    ...plan.gaps.map(({ kind, message, remedy }) => blocker(GAP_CODES[kind], message, remedy)),
    ...checkGuest(context),
    ...checkHosts(context),
    ...checkRoutes(context),
    ...checkStorage(context),
    ...checkWishes(context),
    ...(await checkPrivileges(context)),
    // Even with blockers of ours, as long as there is something to ask it about.
    ...(await checkNative(context)),
  ];
  const copied = plan.disks.filter((disk) => disk.copied).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const diskBytes = Math.min(copied, plan.vm.record['summary.storage.committed'] ?? copied);
  const [memoryBytes] = sizesOf(plan);
  return { report: { findings, memoryBytes, diskBytes, hosts: hostsOf(ends, plan) }, plan };
}

/** Named so that one host is the same to whoever has registered its vCenter, under whatever name. */
function hostsOf({ source, destination }: Ends, { sourceHost, host }: Plan): CheckReport['hosts'] {
  if (sourceHost === undefined || host === undefined) return undefined;
  const of = ({ client }: Ends['source'], id: string) => `${client.content.about.instanceUuid}/${id}`;
  return { source: of(source, sourceHost.ref.value), destination: of(destination, host.ref.value) };
}
