/**
 * Some migrations end open: for too long an end was silent, or the VM could not be resumed, so nobody knows where it runs, it stands
 * still, or its source is untidied. Until that is settled, each attempt at their teardown first asks both ends, and when both answer goes
 * on by the rules of settle.ts:
 *
 *   it runs at the destination ───→ confirm: the source is tidied
 *   nothing is clear ─────────────→ abort: what a migration has left standing goes on at the source, or stays as it is
 *     after too long a silence ───→ what stands still at the source is not resumed: a person is asked (silence.ts)
 *   it is seen at one end alone ──→ the record says so
 *   it runs at both ends ─────────→ the record says so, for good: a person is needed, and whatever they pause is theirs
 *
 * The outcome stays what it was; an event tells what was done late. People have been told of the VM meanwhile, and may have acted. So: only
 * what this migration has handed over is touched, and only until somebody has said that they look after it (`lmas done`, `lmas give-up`)
 * or two copies were seen; whatever moves may be theirs. Then it is only looked for. The VM's name stays ours all the while.
 *
 * To be believed, the VM has to run at one end, the other one has to say that it neither runs nor holds it, and nothing may move; or
 * it is powered off, and its hypervisor leaves no doubt where (`atRest`).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { hasArrived, type MigrationDriver, type VmPlacement } from '@lmas/plugin-api';
import { isSuperseded } from '../errors.ts';
import { type End, isUndecided, type Migration } from '../migrations/record.ts';
import { raceSignal } from '../time/waiting.ts';
import { arrivedUntidied, askedAfterSilence, byHand, toldOfLateCancel } from './ending.ts';
import type { Hypervisors } from './hypervisors.ts';
import type { Run } from './run.ts';
import { STOPPED } from './settle.ts';
import { mustBeAsked, noteAnswers } from './silence.ts';
import { confirm } from './steps/confirm.ts';
import type { Tools } from './tools.ts';

const LOOK_MS = 30_000;
const ATTEMPT_MS = 120_000;

type LateTools = Pick<Tools, 'giveUps' | 'words'> & { readonly settings: Pick<Tools['settings'], 'settleRetryMs'> };
/** An attempt that is under way. */
interface Attempt {
  readonly run: Run;
  readonly tools: LateTools;
  readonly driver: MigrationDriver;
  readonly signal: AbortSignal;
}

/** One attempt. Never fails for what it could not find out or do: there will be another one. */
export async function settleLate(run: Run, tools: LateTools, hypervisors: Pick<Hypervisors, 'driver'>): Promise<void> {
  if (run.migration.vm.id === null || !(run.notes.isOpen || isUndecided(run.migration))) return;
  const looking = AbortSignal.any([run.lost, AbortSignal.timeout(LOOK_MS)]);
  const signal = AbortSignal.any([run.lost, AbortSignal.timeout(ATTEMPT_MS)]);
  try {
    const driver = await hypervisors.driver({ signal: looking });
    const attempt: Attempt = { run, tools, driver, signal };
    let found = await raceSignal(driver.locate({ signal: looking }), looking);
    run.log.info({ placement: found }, 'looked for the VM once more');
    await noteAnswers(run, found);
    const isOurs = await mayGoOn(run, tools);
    if (isOurs && isUnclear(run, found)) {
      if (mustBeAsked(run, found)) return await ask(run, found);
      found = await bringBack(attempt);
    }
    if (found.where === 'both') return await heedBoth(attempt);
    if (isOurs && isAtDestination(found)) return await tidySource(attempt);
    await noteFound(run, found);
  } catch (error) {
    if (run.lost.aborted || isSuperseded(error)) throw error;
    run.log.warn({ err: error }, 'what the migration has left open could not be settled; it is tried again');
  }
}

async function mayGoOn({ id, journal, migration }: Run, { giveUps, words }: LateTools) {
  if (!journal.has('hand-over') || migration.where === 'both') return false;
  return (await giveUps.get(id)) === null && (await words.get(id)) === null;
}

function isUnclear({ notes }: Run, found: VmPlacement): boolean {
  const { source, destination, where, moving, postCopy } = found;
  if (source === 'unreachable' || destination === 'unreachable' || postCopy !== undefined) return false;
  if (where === 'both' || where === 'destination' || notes.arrived || seenAt(found) !== undefined) return false;
  // What was not to be stopped may still arrive by itself.
  return !moving || STOPPED.has(notes.failure?.code ?? '');
}

async function ask(run: Run, { destination: there }: VmPlacement): Promise<void> {
  const words = askedAfterSilence(run.migration, there);
  if (run.migration.byHand === words) return;
  await run.update(
    ({ migration }) => {
      migration.where = 'unknown';
      migration.byHand = words;
    },
    {
      type: 'log',
      message: 'the VM is paused at the source, after too long a silence to resume it: a person has to decide',
    },
  );
}

async function bringBack({ run, driver, signal }: Attempt): Promise<VmPlacement> {
  const performed = run.notes.prepared !== null;
  const pastNoReturn = run.migration.pointOfNoReturnAt !== null;
  await run.assertCurrent();
  const after = await raceSignal(driver.abort({ signal, performed, pastNoReturn, late: true }), run.lost);
  run.log.info({ placement: after }, 'aborted, late');
  return after;
}

const isAtDestination = ({ destination, where, moving, postCopy }: VmPlacement): boolean =>
  destination === 'running' && where === 'destination' && !moving && postCopy === undefined;

/**
 * The two ends are not asked at the same instant: a hand-over in between looks like two copies, once. Even then nothing is done this time:
 * what stands still a moment later may be what somebody has just paused.
 */
async function heedBoth({ run, tools, driver }: Attempt): Promise<void> {
  if (run.migration.where === 'both') return;
  await sleep(tools.settings.settleRetryMs, undefined, { signal: run.lost });
  if ((await lookAgain(run, driver)).where !== 'both') return;
  await run.update(
    (draft) => {
      draft.migration.where = 'both';
      draft.migration.byHand = byHand(draft, 'both');
    },
    { type: 'log', message: 'the VM runs at both ends: nothing more is touched, a person has to decide' },
  );
}

async function lookAgain(run: Run, driver: MigrationDriver): Promise<VmPlacement> {
  const signal = AbortSignal.any([run.lost, AbortSignal.timeout(LOOK_MS)]);
  return await raceSignal(driver.locate({ signal }), signal);
}

async function tidySource(attempt: Attempt): Promise<void> {
  const { run, driver, signal } = attempt;
  try {
    const report = await confirm(run, driver, { signal });
    await close(run, 'destination', 'the VM runs at the destination, and the source has been tidied', { report });
  } catch (error) {
    if (hasArrived(error)) await noteWhyUntidied(attempt);
    throw error;
  }
}

/** It was let go at the destination. Whether it is there alone is another question: the source may run since. */
async function noteWhyUntidied(attempt: Attempt): Promise<void> {
  const { run, driver } = attempt;
  if ((await lookAgain(run, driver)).where === 'both') return await heedBoth(attempt);
  if (!run.notes.arrived) await noteArrival(run);
}

/** The destination's word is kept from now on, whatever the source says. */
async function noteArrival(run: Run): Promise<void> {
  const { where, byHand } = arrivedUntidied(run);
  await run.update(
    ({ migration, notes }) => {
      notes.arrived = true;
      migration.where = where;
      migration.byHand = byHand;
    },
    { type: 'log', message: 'the VM runs at the destination; the source is still to be tidied' },
  );
}

async function noteFound(run: Run, found: VmPlacement): Promise<void> {
  const end = seenAt(found);
  // The destination's word, once given, is not taken back by what is seen at the source; but of two that ran a person may have kept that one.
  const isKept = run.notes.arrived && run.migration.where !== 'both';
  if (end === undefined || (isKept && end === 'source')) return;
  const how = found[end] === 'running' ? 'runs' : 'is powered off';
  const message = `the VM was found: it ${how} at the ${end}, and what was left alone is taken down`;
  await close(run, end, message, { how });
}

async function close(
  run: Run,
  end: End,
  message: string,
  { how = 'runs', report = null }: { how?: string; report?: Migration['report'] },
): Promise<void> {
  await run.update(
    ({ migration, notes }) => {
      notes.isOpen = false;
      migration.where = end;
      migration.byHand = null;
      if (report !== null) migration.report = toldOfLateCancel({ ...migration, report }, migration.phase);
      if (migration.error !== null) migration.error.remedy = `The VM was found since: it ${how} at the ${end}.`;
    },
    { type: 'log', message },
  );
}

const seenAt = (found: VmPlacement): End | undefined => runsOnlyAt(found) ?? restsAt(found);

export function runsOnlyAt({ source, destination, moving, postCopy }: VmPlacement): End | undefined {
  if (moving || postCopy !== undefined) return undefined;
  if (source === 'running' && destination === 'absent') return 'source';
  return destination === 'running' && (source === 'absent' || source === 'stopped') ? 'destination' : undefined;
}

export const restsAt = ({ where, moving, atRest = false }: VmPlacement): End | undefined =>
  atRest && !moving && (where === 'source' || where === 'destination') ? where : undefined;
