/**
 * Everything that speaks against a migration, in one sweep; nothing is changed by it. Each check is a function of what was
 * gathered; a check that cannot be made is a warning, of a disk a blocker, never silence.
 */
import type { CheckReport, Finding, MigrationRequest } from '@lmas/plugin-api';
import type { KvmOptions } from '../config.ts';
import { type DirtyRate, measureDirtyRate } from '../dirty-rate.ts';
import { toPluginError } from '../errors.ts';
import { makePlan } from '../migration/plan.ts';
import type { Ends } from '../migration/settle.ts';
import { STATE } from '../rpc/constants.ts';
import { checkDisks } from './disks.ts';
import { checkGuest } from './guest.ts';
import { checkHosts } from './hosts.ts';
import { checkModes } from './modes.ts';
import { checkCluster, checkOwner } from './owners.ts';
import { checkPlaces } from './places.ts';
import { checkPorts } from './ports.ts';
import { attempt, type CheckContext, note } from './types.ts';
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
  const measuring = measure(context);
  measuring.catch(() => undefined); // awaited below, or something else ends all checks
  const findings: Finding[] = [];
  for (const check of CHECKS) findings.push(...(await attempt(context, () => check(context))));
  const dirtyRate = await measuring;
  if (dirtyRate !== null && 'unknown' in dirtyRate) findings.push(rateUnknown(dirtyRate.unknown));
  const diskBytes = plan.copied.reduce((sum, disk) => sum + (disk.allocationBytes ?? disk.capacityBytes ?? 0), 0);
  return { findings, memoryBytes: plan.definition.memoryBytes, diskBytes, ...ratesOf(dirtyRate) };
}

/** For the prediction, beside the other checks; null: it does not run. */
async function measure({ ends, plan, signal }: CheckContext): Promise<DirtyRate | null> {
  try {
    const client = await ends.source.query({ signal });
    const { state } = await client.state(plan.domain, { signal });
    return state === STATE.running ? await measureDirtyRate(client, plan.domain, { signal }) : null;
  } catch (error) {
    if (signal.aborted || ends.source.closed.aborted) throw error;
    return { unknown: toPluginError(error).message };
  }
}

const ratesOf = (rate: DirtyRate | null): Pick<CheckReport, 'dirtyRateBytesPerSec' | 'dirtyRateErrorBytesPerSec'> =>
  rate === null || 'unknown' in rate
    ? { dirtyRateBytesPerSec: null }
    : { dirtyRateBytesPerSec: rate.bytesPerSec, dirtyRateErrorBytesPerSec: rate.errorBytesPerSec };

const rateUnknown = (reason: string): Finding =>
  note(
    'DIRTY_RATE_UNKNOWN',
    `The dirty rate could not be measured: ${reason}`,
    'libvirt 7.2 with QEMU 5.2 or later measures it; only then can be predicted how long the migration takes at most.',
  );
