/**
 * The guest's memory and disks move while it runs. Progress goes into the record; a migration that stands still for too
 * long is stopped, unless it is past the point of no return.
 */

import { Deadline, raceSignal } from '../../time/waiting.ts';
import type { Hypervisors } from '../hypervisors.ts';
import { ProgressReporter } from '../progress.ts';
import type { Run } from '../run.ts';
import { keepShare } from '../share.ts';
import { Steering } from '../steering.ts';
import type { Tools } from '../tools.ts';
import type { OpenWay } from '../way.ts';

export async function perform(
  run: Run,
  tools: Tools,
  hypervisors: Hypervisors,
  move: Omit<OpenWay, 'stage'>,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const { noProgressMs } = run.migration.request.timeouts;
  using stalled = new Deadline(noProgressMs, 'NO_PROGRESS', `No progress for ${noProgressMs} ms.`);
  const stop = AbortSignal.any([signal, stalled.signal]);
  using held = new DisposableStack();
  let isKept = false;
  const { changes, settings } = tools;
  const onAdvance = () => {
    if (run.migration.pointOfNoReturnAt === null) stalled.touch();
  };
  const { tunnel, dirtyRateBytesPerSec } = move;
  const facts = { changes, dirtyRateBytesPerSec };
  using reporter = new ProgressReporter(run, tunnel, settings.progressIntervalMs, onAdvance, facts);
  const driver = await hypervisors.driver({ signal: stop });
  await run.assertCurrent();
  using _steering = new Steering(run, changes, driver, await hypervisors.policy());
  try {
    await raceSignal(
      driver.perform(move.prepared, move.routes, {
        signal: stop,
        onProgress: (progress) => {
          if (!isKept && !held.disposed) held.use(keepShare(run, tools, move.tunnel, driver));
          isKept = true;
          reporter.report(progress);
        },
        onPointOfNoReturn: async () => {
          await run.passPointOfNoReturn();
          stalled.stop();
        },
      }),
      run.lost,
    );
    stop.throwIfAborted(); // done, but after it was told to stop
  } catch (error) {
    // The hypervisor says ABORTED when we stopped it; why we did is the better answer.
    if (stop.aborted) throw stop.reason;
    throw error;
  }
}
