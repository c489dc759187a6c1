/**
 * Everything that speaks against a migration, in one sweep and without side effects. Each check is a function of what was
 * gathered; a check that cannot be made is a warning, never silence.
 */
import type { CheckReport, Finding, MigrationRequest } from '@lmas/plugin-api';
import type { KvmOptions } from '../config.ts';
import { toPluginError } from '../errors.ts';
import { makePlan } from '../migration/plan.ts';
import type { Ends } from '../migration/settle.ts';
import { checkDisks } from './disks.ts';
import { checkGuest } from './guest.ts';
import { checkHosts } from './hosts.ts';
import { checkModes } from './modes.ts';
import { checkPlaces } from './places.ts';
import type { CheckContext } from './types.ts';

/** In the order in which a person would want to hear of them. */
const CHECKS: readonly ((context: CheckContext) => Promise<Finding[]>)[] = [
  checkPlaces,
  checkGuest,
  checkHosts,
  checkDisks,
  checkModes,
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
  for (const check of CHECKS) {
    try {
      findings.push(...(await check(context)));
    } catch (error) {
      if (signal.aborted || ends.source.closed.aborted || ends.destination.closed.aborted) throw error;
      const { message } = toPluginError(error, 'a check');
      findings.push({
        severity: 'warning',
        code: 'CHECK_NOT_POSSIBLE',
        message: `A check could not be made: ${message}`,
        remedy: 'Make sure by hand that what it looks at is in order, or grant the login the rights it needs.',
      });
    }
  }
  const diskBytes = plan.copied.reduce((sum, disk) => sum + (disk.allocationBytes ?? disk.capacityBytes ?? 0), 0);
  return { findings, memoryBytes: plan.definition.memoryBytes, diskBytes };
}
