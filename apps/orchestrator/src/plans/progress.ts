/**
 * How a run is that goes through its waves, in the one sentence that lists, pages and webhooks show of it. It is made from the record
 * alone, anew with every change of it: an order (pause, approve) and the next look at the run cannot say different things. Pure.
 */
import { inShort } from '../in-short.ts';
import { limboInWords } from './limbo.ts';
import { heldInWords } from './queue-full.ts';
import {
  approvalEndsMs,
  isLost,
  isWaveOver,
  type PlanItem,
  type PlanRun,
  underWay,
  type WaveRun,
  waveThatAsks,
} from './record.ts';

/** With its sentence as it is now, while it goes through its waves. */
export const told = (run: PlanRun): PlanRun => (run.phase === 'running' ? { ...run, message: progressOf(run) } : run);

function progressOf(run: PlanRun): string {
  const limbo = limboInWords(run.items);
  const halt = haltInWords(run);
  if (limbo !== '') return halt === '' ? limbo : `${limbo}. ${halt}`;
  return halt || heldInWords(run.items) || courseOf(run);
}

/** With its number, from 1, and its name if it has one. */
export function waveInWords({ waves }: Pick<PlanRun, 'waves'>, wave: WaveRun): string {
  const number = waves.indexOf(wave) + 1;
  return wave.name === '' ? String(number) : `${number} (${wave.name})`;
}

/** Empty: nothing was ordered to stand still. */
function haltInWords(run: PlanRun): string {
  if (run.cancelRequestedAt !== null)
    return 'A cancel was asked for: nothing more begins, and what moves is stopped or arrives.';
  if (run.pausedAt === null) return '';
  const wave = run.waves.find(({ state }) => !isWaveOver(state));
  return wave === undefined ? 'It is paused.' : `It is paused; ${waitingFor(run, wave)}.`;
}

/** What a run that is paused goes on with. */
function waitingFor(run: PlanRun, wave: WaveRun): string {
  const { waves, definition } = run;
  const index = waves.indexOf(wave);
  const name = waveInWords(run, wave);
  if (wave.state === 'waiting')
    return `wave ${name} ${waves[index - 1]?.approvedAt == null ? '' : 'is approved and '}begins with resume`;
  if (wave.state === 'rolling-back') return `wave ${name} is rolled back further with resume`;
  if (wave.state !== 'between') return `what moves of wave ${name} goes on, the rest begins with resume`;
  if (waveThatAsks(run) === wave) {
    const anew =
      definition.waves[index]?.afterwards.approveWithinMs == null ? '' : ', for which the time begins anew with resume';
    return `wave ${name} waits for an approval: ${whoMay(run)} may give it${anew}`;
  }
  const { checks = [] } = definition.waves[index]?.afterwards ?? {};
  const next = waves[index + 1];
  const [what, verb] =
    checks.length > 0
      ? [`what comes after wave ${name}`, 'goes on, with its checks,']
      : next === undefined
        ? ['its end', 'comes']
        : [`wave ${waveInWords(run, next)}`, 'begins'];
  return `${what} ${wave.approvedAt === null ? '' : 'is approved and '}${verb} with resume`;
}

function courseOf(run: PlanRun): string {
  const asking = waveThatAsks(run);
  if (asking !== undefined) return approvalInWords(run, asking);
  const wave = run.waves.find(({ state }) => state === 'between' || state === 'rolling-back');
  if (wave === undefined) return underWay(run);
  if (wave.state === 'rolling-back') return `Wave ${waveInWords(run, wave)} is rolled back${becauseOf(run, wave)}.`;
  const { pauseMs = 0, checks = [] } = run.definition.waves[run.waves.indexOf(wave)]?.afterwards ?? {};
  const follows = [...(pauseMs > 0 ? ['a pause'] : []), ...(checks.length > 0 ? ['its checks'] : [])];
  return follows.length === 0
    ? underWay(run)
    : `Wave ${waveInWords(run, wave)} is over; what comes next waits for ${follows.join(' and ')}.`;
}

/** Whoever reads it anywhere learns since when it waits, and for whom. Nobody is late while the run is paused: then it names no time. */
export function approvalInWords(run: PlanRun, wave: WaveRun): string {
  const since = wave.waitsSince === null ? '' : ` since ${wave.waitsSince}`;
  const endsMs = run.pausedAt === null ? approvalEndsMs(run) : null;
  const until = endsMs === null ? '' : ` until ${new Date(endsMs).toISOString()}`;
  return `Wave ${waveInWords(run, wave)} waits${since} for an approval: ${whoMay(run)} may give it${until}.`;
}

const whoMay = ({ project }: PlanRun): string =>
  `an operator or admin${project === null ? '' : `, of project ${project} or of none,`}`;

/** Why a wave has failed, behind that it has: the VMs and the checks; empty where neither did. */
export function becauseOf(run: Pick<PlanRun, 'waves' | 'items' | 'mode'>, wave: WaveRun): string {
  const index = run.waves.indexOf(wave);
  const lost = run.items.filter((item) => item.wave === index && isLost(item) && item.state !== 'stuck');
  const failed = wave.checks.filter(({ passed }) => !passed).map(({ message }) => message.replace(/\.$/, ''));
  const what = run.mode === 'drill' ? 'not rehearsed' : 'did not move';
  const causes = [...(lost.length === 0 ? [] : [`${inShort(lost.map(({ vm }) => vm.name))} ${what}`]), ...failed];
  return causes.length === 0 ? '' : `: ${causes.join('; ')}`;
}

/** What has become of a wave that was moved back, behind why it failed. */
export function rolledBackIn({ items, waves }: Pick<PlanRun, 'waves' | 'items'>, wave: WaveRun): string {
  const index = waves.indexOf(wave);
  const named = (state: PlanItem['state']) =>
    items.filter((item) => item.wave === index && item.state === state).map(({ vm }) => vm.name);
  const [back, stuck] = [named('moved-back'), named('stuck')];
  const gone = back.length === 0 ? '' : ` It was rolled back: ${inShort(back)} moved back.`;
  return `${gone}${stuck.length === 0 ? '' : ` Not moved back: ${inShort(stuck)}.`}`;
}
