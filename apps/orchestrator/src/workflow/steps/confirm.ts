/**
 * Hand-over: the guest is started at the destination and verified there, the source is tidied. Commit is the moment the
 * VM is known to run at the destination; nothing is rolled back after it.
 */
import type { ConfirmReport, MigrationDriver, Prepared } from '@lmas/plugin-api';
import type { Migration } from '../../migrations/record.ts';
import { raceSignal } from '../../time/waiting.ts';
import type { Run } from '../run.ts';

/** What `prepare` answered may be lost with the run that got the answer; `confirm` then only finishes what is there. */
const FORGOTTEN: Prepared = { flows: [], sourceAddresses: [], state: null };

export async function confirm(
  run: Run,
  driver: MigrationDriver,
  { signal }: { signal: AbortSignal },
): Promise<NonNullable<Migration['report']>> {
  await run.assertCurrent();
  const report = await raceSignal(driver.confirm(run.notes.prepared ?? FORGOTTEN, { signal }), run.lost);
  return toReport(report);
}

function toReport(report: ConfirmReport): NonNullable<Migration['report']> {
  return {
    downtimeMs: report.downtimeMs,
    bytesTransferred: report.bytesTransferred,
    iterations: report.iterations,
    keptAtSource: report.keptAtSource.map(({ kind, id }) => ({ kind, id })),
    sourceDefinition: report.sourceDefinition,
    warnings: [...report.warnings],
  };
}
