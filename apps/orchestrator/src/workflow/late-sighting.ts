/**
 * Some migrations end without anybody knowing where their VM is. As long as something of such a one is left to be taken down, each
 * attempt asks both ends first: a host may be back, a person may have put things right. To be believed, the VM has to run
 * at one end, the other one has to say that it neither runs nor holds it, and nothing may move; or it is powered off, and its
 * hypervisor leaves no doubt where (`atRest`). Stops, starts and resumes nothing.
 */
import type { VmPlacement } from '@lmas/plugin-api';
import { isSuperseded } from '../errors.ts';
import type { Hypervisors } from './hypervisors.ts';
import type { Run } from './run.ts';
import { raceSignal } from './waiting.ts';

const LOOK_MS = 30_000;

/** Writes down where it is, if that is clear by now. */
export async function lookForVm(run: Run, hypervisors: Hypervisors): Promise<void> {
  const { where, vm } = run.migration;
  if (vm.id === null || (where !== 'unknown' && where !== 'both')) return;
  const signal = AbortSignal.any([run.lost, AbortSignal.timeout(LOOK_MS)]);
  try {
    const driver = await hypervisors.driver({ signal });
    const found = await raceSignal(driver.locate({ signal }), signal);
    run.log.info({ placement: found }, 'looked for the VM once more');
    const end = runsOnlyAt(found) ?? restsAt(found);
    // The destination's word, once given, is not taken back by what is seen at the source.
    if (end === undefined || (run.notes.arrived && end === 'source')) return;
    const how = found[end] === 'running' ? 'runs' : 'is powered off';
    await run.update(
      ({ migration }) => {
        migration.where = end;
        migration.byHand = null;
        if (migration.error !== null) migration.error.remedy = `The VM was found since: it ${how} at the ${end}.`;
      },
      { type: 'log', message: `the VM was found: it ${how} at the ${end}, and what was left alone is taken down` },
    );
  } catch (error) {
    if (run.lost.aborted || isSuperseded(error)) throw error;
    run.log.warn({ err: error }, 'where the VM is could not be found out; what was left alone stays');
  }
}

export function runsOnlyAt({
  source,
  destination,
  moving,
  postCopy,
}: VmPlacement): 'source' | 'destination' | undefined {
  if (moving || postCopy !== undefined) return undefined;
  if (source === 'running' && destination === 'absent') return 'source';
  return destination === 'running' && (source === 'absent' || source === 'stopped') ? 'destination' : undefined;
}

export const restsAt = ({ where, moving, atRest = false }: VmPlacement): 'source' | 'destination' | undefined =>
  atRest && !moving && (where === 'source' || where === 'destination') ? where : undefined;
