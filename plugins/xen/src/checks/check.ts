/**
 * Everything that speaks against a migration, in one sweep: ours from the records of both pools, and XAPI's own dry run where
 * it can be had without the tunnel. Nothing of either pool changes.
 */
import { blocker, type CheckReport, type Finding, type MigrationRequest } from '@lmas/plugin-api';
import type { XenOptions } from '../config.ts';
import { isRedirected } from '../migration/call.ts';
import { relayedCoordinator, trafficOf } from '../migration/flows.ts';
import { type Ends, type Gap, makePlan, type Plan } from '../migration/plan.ts';
import { checkDestination } from './destination.ts';
import { checkDryRun } from './dry-run.ts';
import { checkGuest } from './guest.ts';
import { checkRoutes } from './routes.ts';
import { checkStorage } from './storage.ts';

const GAP_CODES: Readonly<Record<Gap['kind'], string>> = {
  site: 'SITE_NOT_CLEAR',
  host: 'NO_DESTINATION_HOST',
  address: 'NO_MIGRATION_ADDRESS',
  storage: 'STORAGE_NOT_MAPPED',
  network: 'NETWORK_NOT_MAPPED',
  'network-unknown': 'NETWORK_UNKNOWN',
  gpu: 'GPU_GROUP_NOT_POSSIBLE',
  format: 'DISK_FORMAT_NOT_POSSIBLE',
};

/** @throws PluginError VM_NOT_FOUND, and whatever the connections suffer */
export async function checkMigration(
  ends: Ends,
  request: MigrationRequest<XenOptions>,
  { signal }: { signal: AbortSignal },
): Promise<{ readonly report: CheckReport; readonly plan: Plan }> {
  const plan = await makePlan(ends, request, { signal });
  const context = { ends, request, plan, signal };
  const findings: Finding[] = plan.gaps.map(({ kind, message, remedy }) => blocker(GAP_CODES[kind], message, remedy));
  findings.push(
    ...(await checkGuest(context)),
    ...(await checkDestination(context)),
    ...checkStorage(context),
    ...checkRoutes(context),
  );
  findings.push(...(await checkDryRun(context, findings)));
  const copied = plan.disks.filter((disk) => disk.copied);
  const diskBytes = copied.reduce((sum, { record }) => sum + record.physical_utilisation, 0);
  const report = { findings, memoryBytes: plan.vm.record.memory_dynamic_max, diskBytes, ...contended(plan, request) };
  return { report, plan };
}

/**
 * What only one migration at a time can have. Redirected, its addresses at the gateway. Else, past gateways that may intercept another one, the
 * way from the source to the receiving host: the source's coordinator takes it for every guest of its pool, so it is the pool's.
 */
function contended(plan: Plan, request: MigrationRequest<XenOptions>): Pick<CheckReport, 'hosts' | 'gatewayAddresses'> {
  const { sourcePool, host, address } = plan;
  if (host === undefined || address === undefined) return {};
  if (!isRedirected(request)) return { hosts: { source: sourcePool.pool.uuid, destination: host.record.uuid } };
  const { flows } = trafficOf(plan, { address, coordinator: relayedCoordinator(plan, address, request) }, request);
  return { gatewayAddresses: new Set(flows.map(({ addressGroup }) => addressGroup)).size };
}
