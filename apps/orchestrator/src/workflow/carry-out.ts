/**
 * A run from its claim to its end, whatever it is for: what is left of an earlier run, the outcome, the teardown, the books.
 *
 *   the way of its purpose: migrate-vm.ts, drill.ts, relocation.ts      comes to an ending, or leaves the record to a later run
 *   teardown, always                                     newest first, whatever happened
 */
import { isSuperseded, LmasError } from '../errors.ts';
import { isOutcome } from '../migrations/phases.ts';
import { type Migration, now } from '../migrations/record.ts';
import { warnedOfBypass } from './bypass.ts';
import { drillVm } from './drill.ts';
import { type Ending, notMigrated, toldOfLateCancel, toMigrationError } from './ending.ts';
import { Hypervisors } from './hypervisors.ts';
import { migrateVm } from './migrate-vm.ts';
import { relocateVm, settleRelocationLate } from './relocation.ts';
import type { Run } from './run.ts';
import { settleLate } from './settle-late.ts';
import { endWaits } from './steps/wait-in-queue.ts';
import { noteTeardown, tearDown } from './teardown.ts';
import type { Tools } from './tools.ts';
import { type Errand, Scope } from './way.ts';

const WAYS: Readonly<Record<Migration['purpose'], (errand: Errand) => Promise<Ending>>> = {
  move: migrateVm,
  drill: drillVm,
  relocation: relocateVm,
};

/** Takes a claimed migration to its end. Resolves early, having touched nothing more, when the run is lost. */
export async function carryOut(run: Run, tools: Tools): Promise<void> {
  await using hypervisors = new Hypervisors(run, tools);
  await using scope = new Scope();
  try {
    if (isOutcome(run.migration.phase)) return await finishTeardown(run, tools, hypervisors);
    const late = waitedTooLong(run);
    await run.update(({ migration }) => {
      migration.runs += 1;
      endWaits(migration);
      migration.startedAt ??= now();
    });
    if (late) await decide(run, notMigrated(run, toMigrationError(run, late)));
    if (run.notes.outcome === null) {
      const ending = await WAYS[run.migration.purpose]({ run, tools, hypervisors, scope });
      await decide(run, await warnedOfBypass(run, scope.tunnel, ending));
    }
    await scope.leave(run);
    await end(run, tools, hypervisors);
  } catch (error) {
    if (!run.lost.aborted && !isSuperseded(error)) throw error;
    run.log.warn({}, 'this run is over here; whoever claims the migration next goes on with it');
  }
}

/** A migration that waits for a worker has a limit too; a cancel that came meanwhile is the better reason. */
function waitedTooLong(run: Run): LmasError | undefined {
  const { phase, createdAt, request } = run.migration;
  const { queueMs } = request.timeouts;
  if (phase !== 'queued' || run.cancelled.aborted || Date.now() - Date.parse(createdAt) <= queueMs) return undefined;
  return new LmasError('STAGE_TIMEOUT', `It waited in the queue for longer than ${queueMs} ms.`);
}

/** Writes the outcome down. Nothing that happens later changes it. */
async function decide(run: Run, ending: Ending): Promise<void> {
  const { isOpen = false } = ending;
  const anything = isOpen || run.journal.unreleased().length > 0;
  await run.enter('tearing-down', ({ migration, notes }) => {
    notes.outcome = ending.outcome;
    notes.isOpen = isOpen;
    endWaits(migration);
    migration.where = ending.where;
    migration.error = ending.error;
    migration.byHand = ending.byHand;
    migration.report = ending.report;
    migration.teardown = anything ? 'pending' : 'not-needed';
  });
}

async function end(run: Run, tools: Tools, hypervisors: Hypervisors): Promise<void> {
  const leftovers = await tearDown(run, tools, hypervisors);
  const { outcome } = run.notes;
  if (outcome === null) throw new LmasError('INTERNAL', 'A teardown without an outcome.');
  await run.enter(outcome, ({ migration }) => {
    noteTeardown(migration, leftovers);
    migration.report = toldOfLateCancel(migration, outcome);
  });
  await run.end();
}

/** The outcome is written: either only the books are to be closed, or something was left to be settled or taken down. */
async function finishTeardown(run: Run, tools: Tools, hypervisors: Hypervisors): Promise<void> {
  if (run.migration.teardown === 'incomplete') {
    const isRelocation = run.migration.purpose === 'relocation';
    await (isRelocation ? settleRelocationLate : settleLate)(run, tools, hypervisors);
    const leftovers = await tearDown(run, tools, hypervisors);
    const givenUp = await tools.giveUps.get(run.id);
    await run.update(({ migration }) => noteTeardown(migration, leftovers, givenUp));
  }
  await run.end();
}
