/**
 * A run that ended and begins once more: what moved stays moved, only the rest is tried again. Pure.
 */
import { LmasError } from '../errors.ts';
import {
  ENDPOINT_SILENT,
  hasMoved,
  hasRunEnded,
  isLost,
  isUnclear,
  moves,
  newWave,
  type PlanItem,
  type PlanRun,
} from './record.ts';

/** @throws LmasError RUN_STATE when there is nothing to be tried again */
export function restarted(run: PlanRun): PlanRun {
  if (!hasRunEnded(run)) throw new LmasError('RUN_STATE', 'The run has not ended yet.');
  if (run.phase === 'succeeded') throw new LmasError('RUN_STATE', 'The run has succeeded.');
  if (run.mode === 'drill' || run.mode === 'disaster') throw new LmasError('RUN_STATE', `A ${run.mode} is begun anew.`);
  const unclear = run.items.filter(isUnclear);
  if (unclear.length > 0) {
    const names = unclear.map(({ vm }) => vm.name).join(', ');
    throw new LmasError('RUN_STATE', `Where ${names} runs is not clear: settle that by hand, and begin a new run.`);
  }
  const again = {
    ...run,
    ...{ attempt: run.attempt + 1, endedAt: null, cancelRequestedAt: null, pausedAt: null },
    // Of what silent endpoints have nobody knew, and nobody looks for it now: that is for a new run.
    reasons: run.reasons.filter(({ code }) => code === ENDPOINT_SILENT),
  };
  if (!moves(run) || !hasMoved(run)) {
    // Nothing was touched: whatever it names may be another by now.
    const waves = run.definition.waves.map(newWave);
    return {
      ...again,
      phase: 'resolving',
      waves,
      items: [],
      reasons: [],
      prediction: null,
      message: 'Its VMs are looked for.',
    };
  }
  const items = run.items.map(waitingAgain);
  const waves = run.waves.map((wave, index) => {
    const isLeft = items.some((item) => item.wave === index && item.state === 'waiting');
    const hasFailed = wave.state !== 'done' || wave.checks.some(({ passed }) => !passed);
    return isLeft || hasFailed ? newWave(wave) : wave;
  });
  return { ...again, phase: 'validating', waves, items, message: 'What did not move is checked again.' };
}

/** What arrived and could not be moved back has arrived, as it was to in the first place. */
function waitingAgain(item: PlanItem): PlanItem {
  if (item.state === 'stuck') return { ...item, state: 'moved', error: null };
  const isLeft = isLost(item) || item.state === 'skipped' || item.state === 'moved-back';
  if (!isLeft) return item;
  return {
    ...item,
    state: 'waiting',
    ...{
      checkedAt: null,
      findings: [],
      prediction: null,
      error: null,
      sourceAfter: null,
      leftAt: null,
      rehearsal: null,
      startedAt: null,
      endedAt: null,
    },
  };
}
