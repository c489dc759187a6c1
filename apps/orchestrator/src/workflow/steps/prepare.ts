/**
 * The destination is made ready to receive. From the journalled intent on, nobody may assume where the VM is without
 * asking both ends; what undoes it is `settle`, through the plugin's `abort`.
 */
import type { Prepared } from '@lmas/plugin-api';
import { preparedSchema } from '../../migrations/record.ts';
import type { Hypervisors } from '../hypervisors.ts';
import type { Run } from '../run.ts';
import { raceSignal } from '../waiting.ts';

export async function prepare(
  run: Run,
  hypervisors: Hypervisors,
  { signal }: { signal: AbortSignal },
): Promise<Prepared> {
  const driver = await hypervisors.driver({ signal });
  await run.journal.intend({ kind: 'hand-over' });
  await run.assertCurrent();
  const prepared = preparedSchema.parse(await raceSignal(driver.prepare({ signal }), run.lost));
  await run.update(({ notes }) => {
    notes.prepared = prepared;
  });
  return prepared;
}
