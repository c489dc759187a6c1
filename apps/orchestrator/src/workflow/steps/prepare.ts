/**
 * The destination is made ready to receive. From the journalled intent on, nobody may assume where the VM is without
 * asking both ends; what undoes it is `settle`, through the plugin's `abort`. Where the plugin says that the VM was not to
 * be had, nothing was handed over, and what is under way at the ends is somebody else's: the intent is taken back.
 */
import { type CheckReport, type PluginErrorCode, type Prepared, pluginErrorCode } from '@lmas/plugin-api';
import { preparedSchema } from '../../migrations/record.ts';
import { raceSignal } from '../../time/waiting.ts';
import type { Hypervisors } from '../hypervisors.ts';
import type { Run } from '../run.ts';

/** With these the plugin promises that it touched nothing of the VM. */
const NOT_TO_BE_HAD: ReadonlySet<PluginErrorCode | undefined> = new Set(['BUSY', 'NOT_MIGRATABLE'] as const);

export async function prepare(
  run: Run,
  hypervisors: Hypervisors,
  { signal, checked }: { signal: AbortSignal; checked: CheckReport },
): Promise<Prepared> {
  const driver = await hypervisors.driver({ signal });
  const handOver = { kind: 'hand-over' } as const;
  await run.journal.intend(handOver);
  await run.assertCurrent();
  const answer = await raceSignal(driver.prepare({ signal }), run.lost).catch(async (error: unknown) => {
    if (NOT_TO_BE_HAD.has(pluginErrorCode(error))) await run.journal.markReleased(handOver);
    throw error;
  });
  const prepared = preparedSchema.parse(answer);
  await run.update(({ notes }) => {
    notes.prepared = prepared;
    notes.memoryBytes = checked.memoryBytes;
  });
  return prepared;
}
