/**
 * The VM is looked up, reserved by its identity, and both ends are asked for every reason not to migrate.
 * Touches nothing at the hypervisors.
 */
import type { CheckReport } from '@lmas/plugin-api';
import { LmasError } from '../../errors.ts';
import { keys } from '../../redis/keys.ts';
import { raceSignal } from '../../time/waiting.ts';
import type { Hypervisors } from '../hypervisors.ts';
import type { Run } from '../run.ts';

/** @param getDriver asked once the VM is known */
export async function check(
  run: Run,
  hypervisors: Pick<Hypervisors, 'findVm'>,
  getDriver: () => Promise<{ check(options: { signal: AbortSignal }): Promise<CheckReport> }>,
  { signal }: { signal: AbortSignal },
): Promise<CheckReport> {
  const vm = await hypervisors.findVm(run.migration.request.vm, { signal });
  await run.lock(keys.vmById(vm.id));
  await run.update(({ migration }) => {
    migration.vm = { id: vm.id, name: vm.name };
    migration.where = 'source';
  });
  const driver = await getDriver();
  const report = await raceSignal(driver.check({ signal }), run.lost);
  const findings = report.findings.map((finding) => ({ ...finding }));
  if (findings.length > 0) {
    await run.update(
      ({ migration }) => {
        migration.findings = findings;
      },
      { type: 'finding', message: findings.map(({ severity, message }) => `${severity}: ${message}`).join(' ') },
    );
  }
  refuseBlocked(report);
  return report;
}

/** @throws LmasError CHECK_FAILED that names every blocker */
function refuseBlocked(report: CheckReport): void {
  const blockers = report.findings.filter(({ severity }) => severity === 'blocker');
  if (blockers.length === 0) return;
  throw new LmasError('CHECK_FAILED', blockers.map(({ message }) => message).join(' '), {
    remedy: blockers.map(({ remedy }) => remedy).join(' '),
  });
}
