/**
 * The workflow of one relocation, top to bottom: a VM that is powered off moves, and stays off.
 *
 *   check → provision → prepare → connect → copy      the way forward (way.ts, then here); no tunnel where nothing crosses
 *   place                                             from its journalled intent on, no cancel
 *   any error past that intent                        which end has it? finish it there, or leave it at the source, undone
 *     nobody has answered, or the run was killed      what was asked for may still be done: place it again, until it is placed or refused
 *
 * The definition at the source counts while it is there: until the source says that it has none, everything may be undone. What the
 * destination has before that is held, so that nobody can start it. A run that finds what an earlier one has made undoes it and begins
 * anew; one that finds it placed half-way goes on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ConfirmReport,
  PluginError,
  type Prepared,
  type RelocationDriver,
  type RelocationPlacement,
} from '@lmas/plugin-api';
import { describeError, errorCode, isSuperseded, LmasError } from '../errors.ts';
import { isUndecided, type Migration, type MigrationError, preparedSchema } from '../migrations/record.ts';
import { Deadline, raceSignal } from '../time/waiting.ts';
import { type Ending, notMigrated, succeeded, toMigrationError, undecided } from './ending.ts';
import type { Hypervisors } from './hypervisors.ts';
import { isOfVmThere } from './plugin-resources.ts';
import type { Run } from './run.ts';
import { runStage, totalDeadline } from './stages.ts';
import { check } from './steps/check.ts';
import { copyDisks } from './steps/copy.ts';
import type { Tools } from './tools.ts';
import { againAndAgain, type Errand, openWay } from './way.ts';

const LOOK_MS = 30_000;
/** One round of questions, and of what follows from the answers. */
const ATTEMPT_MS = 120_000;
/** The two ends are not asked at the same instant. */
const SIGHTINGS_OF_BOTH = 3;

/** With these the plugin was answered: nothing of what it had asked for is still to come. After anything else it may. */
const REFUSALS: ReadonlySet<string> = new Set([
  ...['NOT_MIGRATABLE', 'BUSY', 'INCOMPATIBLE', 'INVALID_CONFIG', 'VM_NOT_FOUND', 'HYPERVISOR_FAULT'],
]);
const isRefusal = (cause: unknown): boolean => REFUSALS.has(describeError(cause).code);

const HAND_OVER = { kind: 'hand-over' } as const;

/** Takes a relocation to its ending: in the record, or as an error that says that this run is lost. */
export async function relocateVm(errand: Errand): Promise<Ending> {
  const { run } = errand;
  if (run.journal.has('hand-over')) return await settle(errand, interruptionOf(run));
  const already = await placedAlready(errand);
  if (already !== undefined && run.notes.prepared === null) return movedOtherwise(run, already);
  if (already !== undefined) return await settle(errand, interruptionOf(run));
  let isFirst = true;
  const goForward = async (): Promise<Ending> => {
    const isLeft = run.journal.unreleased().some(({ kind }) => kind === 'plugin');
    const cause = interruptionOf(run, isFirst ? undefined : NOT_TAKEN_DOWN);
    isFirst = false;
    // It would be read as the VM's own: how it starts, and what it has at the destination.
    if (isLeft) throw cause;
    return await relocate(errand);
  };
  return await againAndAgain(errand, goForward, { alsoPassing: ['INTERRUPTED'] });
}

const NOT_TAKEN_DOWN = 'What an earlier attempt had made could not be taken down yet.';

const interruptionOf = (run: Run, words = `The orchestrator was interrupted while ${run.migration.phase}.`): unknown =>
  run.cancelled.aborted && run.migration.pointOfNoReturnAt === null
    ? run.cancelled.reason
    : new LmasError('INTERRUPTED', words);

/**
 * A Redis that failed over may have forgotten that an earlier run had begun to place it. What the source has still, and the destination
 * without being held, is nothing that a run has done: the checks say so.
 */
async function placedAlready({ run, hypervisors }: Errand): Promise<RelocationPlacement | undefined> {
  if (!run.isRecovery || run.migration.vm.id === null) return undefined;
  try {
    const found = await look(hypervisors, AbortSignal.any([run.lost, AbortSignal.timeout(LOOK_MS)]));
    return found.where === 'destination' ? found : undefined;
  } catch (error) {
    run.lost.throwIfAborted();
    run.log.warn({ err: error }, 'the ends could not be asked; the checks will say why');
    return undefined;
  }
}

/** Nothing was prepared, as far as the record knows: whoever has moved it, there is nothing to be gone on with. */
function movedOtherwise(run: Run, { destination }: RelocationPlacement): Ending {
  if (destination === 'held') return openEnding(run, 'unknown', toMigrationError(run, interruptionOf(run)));
  const { vm, source, destination: there } = run.migration;
  const message = `${source.endpoint} does not know VM ${vm.name} any more, and ${there.endpoint} has it: it was moved by somebody else.`;
  const error = toMigrationError(run, new PluginError('VM_NOT_FOUND', message));
  return { outcome: 'failed', where: 'destination', error, report: null, byHand: null };
}

async function look(hypervisors: Hypervisors, signal: AbortSignal): Promise<RelocationPlacement> {
  return await raceSignal((await hypervisors.relocation({ signal, oneIsEnough: true })).locate({ signal }), signal);
}

/** @throws whatever went wrong before it was begun to be placed; everything that was made is journalled */
async function relocate(errand: Errand): Promise<Ending> {
  const { run, tools, hypervisors } = errand;
  using total = totalDeadline(run);
  const way = await openWay(errand, total.signal, {
    check: ({ signal }) => check(run, hypervisors, () => hypervisors.relocation({ signal }), { signal }),
    prepare: (options) => prepare(errand, options),
    needsTunnel: ({ diskBytes }) => diskBytes > 0,
  });
  await runStage(run, { ...way.stage, phase: 'performing' }, async (signal) =>
    copyDisks(run, tools, await hypervisors.relocation({ signal }), way, { signal }),
  );
  await passNoReturn(run);
  try {
    return await finish(errand, way.prepared);
  } catch (cause) {
    if (run.lost.aborted || isSuperseded(cause)) throw cause;
    return await settle(errand, cause);
  }
}

async function prepare({ run, hypervisors }: Errand, { signal }: { signal: AbortSignal }): Promise<Prepared> {
  const driver = await hypervisors.relocation({ signal });
  await run.assertCurrent();
  const prepared = preparedSchema.parse(await raceSignal(driver.prepare({ signal }), run.lost));
  await run.update(({ notes }) => {
    notes.prepared = prepared;
  });
  return prepared;
}

/** @throws LmasError CANCELLED when a cancel came first: then nothing was begun */
async function passNoReturn(run: Run): Promise<void> {
  await run.journal.intend(HAND_OVER);
  try {
    await run.passPointOfNoReturn();
  } catch (error) {
    if (errorCode(error) === 'CANCELLED') await run.journal.markReleased(HAND_OVER);
    throw error;
  }
}

async function finish({ run, hypervisors }: Errand, prepared: Prepared): Promise<Ending> {
  if (run.migration.phase !== 'confirming') await run.enter('confirming');
  const signal = AbortSignal.any([run.lost, AbortSignal.timeout(ATTEMPT_MS)]);
  const driver = await hypervisors.relocation({ signal });
  return succeeded(await place(run, driver, prepared, signal));
}

async function place(
  run: Run,
  driver: RelocationDriver,
  prepared: Prepared,
  signal: AbortSignal,
): Promise<Migration['report']> {
  await run.assertCurrent();
  const report: ConfirmReport = await raceSignal(driver.place(prepared, { signal }), run.lost);
  const { keptAtSource, warnings, ...rest } = report;
  return { ...rest, keptAtSource: keptAtSource.map((kept) => ({ ...kept })), warnings: [...warnings] };
}

/** Both ends are asked which one has it, until they say so. */
async function settle(errand: Errand, cause: unknown): Promise<Ending> {
  const { run, tools } = errand;
  run.log.warn({ err: cause }, 'finding out which end has the VM');
  let failure = run.notes.failure ?? toMigrationError(run, cause);
  let goesOn = !isRefusal(cause);
  await noteFailure(run, failure);
  using deadline = new Deadline(tools.settings.settleMs, 'OUTCOME_UNKNOWN', unknownMessage(failure));
  for (let sightingsOfBoth = 0; ; ) {
    try {
      const found = await ask(errand);
      sightingsOfBoth = found.where === 'both' ? sightingsOfBoth + 1 : 0;
      if (sightingsOfBoth >= SIGHTINGS_OF_BOTH) return openEnding(run, 'both', failure);
      if (found.where === 'source' && !(goesOn && found.source === 'stopped')) return notMigrated(run, failure);
      if (found.where === 'source' || found.where === 'destination') {
        const cancel = await passOrHear(run);
        if (cancel !== undefined && found.where === 'source') return notMigrated(run, toMigrationError(run, cancel));
        return await finish(errand, preparedOf(run)).catch((error: unknown) => {
          goesOn = !isRefusal(error);
          if (!goesOn) failure = toMigrationError(run, error);
          throw error;
        });
      }
    } catch (error) {
      if (run.lost.aborted || isSuperseded(error)) throw error;
      run.log.warn({ err: error }, 'where the VM is could not be settled; asking again');
      if (failure.code === 'INTERRUPTED') failure = toMigrationError(run, error);
    }
    if (deadline.signal.aborted) return openEnding(run, 'unknown', failure);
    await sleep(tools.settings.settleRetryMs, undefined, {
      signal: AbortSignal.any([run.lost, deadline.signal]),
    }).catch(() => run.lost.throwIfAborted()); // past the deadline there is one last attempt
  }
}

/** The cancel that came first: the run that was to pass it was killed before. One of a VM that is placed already can only be told so. */
async function passOrHear(run: Run): Promise<unknown> {
  try {
    await run.passPointOfNoReturn();
    return undefined;
  } catch (error) {
    if (errorCode(error) !== 'CANCELLED') throw error;
    return error;
  }
}

async function ask({ run, hypervisors }: Pick<Errand, 'run' | 'hypervisors'>): Promise<RelocationPlacement> {
  await run.assertCurrent();
  const found = await look(hypervisors, AbortSignal.any([run.lost, AbortSignal.timeout(LOOK_MS)]));
  run.log.info({ placement: found }, 'located');
  await keepWhatMayHaveRun(run, found);
  return found;
}

/**
 * One that is not held can be started, whoever has put it there, with the disks that this relocation has made. They are left for a person to
 * look at, also once that definition is gone.
 */
async function keepWhatMayHaveRun({ journal }: Run, { source, destination }: RelocationPlacement): Promise<void> {
  if (source === 'absent' || ['absent', 'held', 'unreachable'].includes(destination)) return;
  for (const resource of journal.unreleased().filter(isOfVmThere)) await journal.markLeft(resource);
}

/** A run that is killed while it settles must not make the next one forget why. */
async function noteFailure(run: Run, failure: MigrationError): Promise<void> {
  if (run.notes.failure !== null || failure.code === 'INTERRUPTED') return;
  await run.update(({ notes }) => {
    notes.failure = failure;
  });
}

/** @throws LmasError OUTCOME_UNKNOWN */
function preparedOf({ notes }: Run): Prepared {
  if (notes.prepared !== null) return notes.prepared;
  throw new LmasError('OUTCOME_UNKNOWN', 'What was prepared is not known any more.');
}

const unknownMessage = ({ message }: MigrationError): string =>
  `Which end has the VM could not be found out in time, after: ${message}`;

function openEnding(run: Run, where: 'both' | 'unknown', failure: MigrationError): Ending {
  const reason = new LmasError('OUTCOME_UNKNOWN', unknownMessage(failure));
  return undecided(run, where, reason, failure, byHand(run.migration, where));
}

function byHand({ id, vm, source, destination }: Migration, where: 'both' | 'unknown'): string {
  const ends = `${source.endpoint} (source) and ${destination.endpoint} (destination)`;
  if (where === 'both') {
    return (
      `VM ${vm.name}, which was powered off, is defined at both ${ends}, and somebody else has defined it at one of them or started it ` +
      'there. Nothing was removed. Find out which of the two counts, and remove the definition of the other one at its host; keep its disks.'
    );
  }
  return (
    `It could not be made sure whether VM ${vm.name}, which was powered off, is at ${ends}. Nothing was removed; once both answer it is ` +
    'brought to an end by itself. Do not start it before. A definition of it at the destination that cannot be started is held there for ' +
    `${id}: only if the source has none any more, and is not to be asked again, may it be let go by hand (KVM: see the plugin's README).`
  );
}

type LateTools = Pick<Tools, 'giveUps' | 'words'>;

/**
 * One attempt at what has ended open. As with a move the outcome stays what it was, and what was begun is gone on with only until
 * somebody has said that they look after it. Never fails for what it could not find out or do: there will be another one.
 */
export async function settleRelocationLate(
  run: Run,
  { giveUps, words }: LateTools,
  hypervisors: Hypervisors,
): Promise<void> {
  if (run.migration.vm.id === null || !(run.notes.isOpen || isUndecided(run.migration))) return;
  try {
    const found = await ask({ run, hypervisors });
    if (found.where !== 'source' && found.where !== 'destination') return;
    let { report } = run.migration;
    if (found.where === 'destination') {
      const { prepared } = run.notes;
      const isTheirs = (await giveUps.get(run.id)) !== null || (await words.get(run.id)) !== null;
      if (run.journal.has('hand-over') && prepared !== null && !isTheirs) {
        // Also of one that is let go already: what comes after that may be missing, and the report is.
        const signal = AbortSignal.any([run.lost, AbortSignal.timeout(ATTEMPT_MS)]);
        report = await place(run, await hypervisors.relocation({ signal }), prepared, signal);
      } else if (found.destination === 'held') return;
    }
    await close(run, found.where, report);
  } catch (error) {
    if (run.lost.aborted || isSuperseded(error)) throw error;
    run.log.warn({ err: error }, 'what the relocation has left open could not be settled; it is tried again');
  }
}

async function close(run: Run, where: 'source' | 'destination', report: Migration['report']): Promise<void> {
  await run.update(
    ({ migration, notes }) => {
      notes.isOpen = false;
      migration.where = where;
      migration.byHand = null;
      migration.report = report;
      if (migration.error !== null) migration.error.remedy = `The VM was found since: it is at the ${where}.`;
    },
    { type: 'log', message: `the VM was found: it is at the ${where}, and what was left alone is taken down` },
  );
}
