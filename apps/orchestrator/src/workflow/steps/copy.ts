/**
 * The disks of a drill's copy cross the link while the VM runs on, or those of a VM that is off. Progress goes into the record; copying that stands still for too long is
 * stopped. The gateways hold the bandwidth limit; without them the plugin was told it once and for all.
 */
import type { DrillDriver, MigrationProgress } from '@lmas/plugin-api';
import { Deadline, raceSignal } from '../../time/waiting.ts';
import { ProgressReporter } from '../progress.ts';
import type { Run } from '../run.ts';
import { keepShare } from '../share.ts';
import type { Tools } from '../tools.ts';
import type { OpenWay } from '../way.ts';

export async function copyDisks(
  run: Run,
  tools: Tools,
  driver: Pick<DrillDriver, 'copy'>,
  { prepared, routes, tunnel }: Pick<OpenWay, 'prepared' | 'routes' | 'tunnel'>,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const { noProgressMs } = run.migration.request.timeouts;
  using stalled = new Deadline(noProgressMs, 'NO_PROGRESS', `No progress for ${noProgressMs} ms.`);
  const stop = AbortSignal.any([signal, stalled.signal]);
  using reporter = new ProgressReporter(run, tunnel, tools.settings.progressIntervalMs, () => stalled.touch());
  await run.assertCurrent();
  using _share = tunnel === undefined ? undefined : keepShare(run, tools, tunnel, tunnel);
  try {
    const onProgress = (progress: MigrationProgress) => reporter.report(progress);
    const onWork = () => stalled.touch();
    await raceSignal(driver.copy(prepared, routes, { signal: stop, onProgress, onWork }), run.lost);
    stop.throwIfAborted(); // done, but after it was told to stop
  } catch (error) {
    // The hypervisor says ABORTED when we stopped it; why we did is the better answer.
    if (stop.aborted) throw stop.reason;
    throw error;
  }
}
