/**
 * Everything that speaks against a migration, in one sweep and without side effects. Each check is a function of what was
 * gathered; a check that cannot be made is a warning, of a disk a blocker, never silence.
 */
import type { CheckReport, Finding, MigrationRequest } from '@lmas/plugin-api';
import type { KvmOptions } from '../config.ts';
import { makePlan } from '../migration/plan.ts';
import type { Ends } from '../migration/settle.ts';
import { checkDisks } from './disks.ts';
import { checkGuest } from './guest.ts';
import { checkHosts } from './hosts.ts';
import { checkModes } from './modes.ts';
import { checkCluster, checkOwner } from './owners.ts';
import { checkPlaces } from './places.ts';
import { checkPorts } from './ports.ts';
import { attempt, type CheckContext } from './types.ts';
import { checkXbzrle } from './xbzrle.ts';

/** In the order in which a person would want to hear of them. */
const CHECKS: readonly ((context: CheckContext) => Promise<Finding[]>)[] = [
  checkPlaces,
  checkOwner,
  checkCluster,
  checkGuest,
  checkHosts,
  checkDisks,
  checkPorts,
  checkModes,
  checkXbzrle,
];

/** @throws PluginError VM_NOT_FOUND, and whatever the connections suffer */
export async function checkMigration(
  ends: Ends,
  request: MigrationRequest<KvmOptions>,
  { signal }: { signal: AbortSignal },
): Promise<CheckReport> {
  const plan = await makePlan(ends.source, ends.destination, request, { signal });
  const context: CheckContext = { ends, request, plan, signal };
  const findings: Finding[] = [];
  for (const check of CHECKS) findings.push(...(await attempt(context, () => check(context))));
  const diskBytes = plan.copied.reduce((sum, disk) => sum + (disk.allocationBytes ?? disk.capacityBytes ?? 0), 0);
  return { findings, memoryBytes: plan.definition.memoryBytes, diskBytes };
}
