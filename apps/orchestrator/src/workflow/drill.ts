/**
 * The workflow of one drill, top to bottom: a copy of the VM comes up at the destination and is undone again. The VM is never touched.
 *
 *   check → provision → prepare → connect → copy      the way forward (way.ts, then here)
 *   the VM is let go: gateways, what was made at the source, its name     whatever came of the copying
 *   start → kept                                      the run leaves; the record waits, with no places and in no queue
 *   kept, its time over or cancelled                  a look, then the teardown undoes everything
 *
 * Where the VM is stays as it was seen: no drill can change it. So everything may be undone after every fault, and a run that finds
 * what an earlier one has made undoes it and begins anew. A VM that somebody wants to move waits for a drill of it no longer than its
 * disks take to cross; while one waits in the queue or is kept, it waits for nothing.
 */
import type { DrillCopy, Prepared } from '@lmas/plugin-api';
import { isSuperseded, LmasError } from '../errors.ts';
import type { JournalledResource } from '../migrations/journal-entry.ts';
import { now, preparedSchema } from '../migrations/record.ts';
import { keys } from '../redis/keys.ts';
import { raceSignal } from '../time/waiting.ts';
import { type Ending, notMigrated, toMigrationError } from './ending.ts';
import type { Run } from './run.ts';
import { runStage, totalDeadline } from './stages.ts';
import { check } from './steps/check.ts';
import { copyDisks } from './steps/copy.ts';
import { tearDown } from './teardown.ts';
import { againAndAgain, type Errand, openWay } from './way.ts';

const LOOK_MS = 30_000;

/** Takes a drill to its ending, or leaves it kept: then the run is lost. */
export async function drillVm(errand: Errand): Promise<Ending> {
  const { run } = errand;
  if (run.migration.phase === 'kept') return await afterKeeping(errand);
  let interrupted = run.journal.unreleased().some(({ kind }) => kind === 'plugin');
  const goForward = async (): Promise<Ending> => {
    const isLeft = interrupted;
    interrupted = false;
    if (!isLeft) return await rehearse(errand);
    await letVmGo(errand);
    throw run.cancelled.aborted ? run.cancelled.reason : new LmasError('INTERRUPTED');
  };
  return await againAndAgain(errand, goForward, {
    alsoPassing: ['INTERRUPTED'],
    beforePause: async () => {
      await letVmGo(errand);
    },
  });
}

/** @throws whatever went wrong; everything that was made is journalled, and the VM is nobody's */
async function rehearse(errand: Errand): Promise<Ending> {
  const { run, tools, hypervisors } = errand;
  const { source, request } = run.migration;
  using total = totalDeadline(run);
  let prepared: Prepared;
  try {
    const way = await openWay(errand, total.signal, {
      check: async ({ signal }) => {
        await run.lock(keys.vmByName(source.endpoint, request.vm));
        return await check(run, hypervisors, () => hypervisors.drill({ signal }), { signal });
      },
      prepare: (options) => prepare(errand, options),
    });
    await runStage(run, { ...way.stage, phase: 'performing' }, async (signal) =>
      copyDisks(run, tools, await hypervisors.drill({ signal }), way, { signal }),
    );
    prepared = way.prepared;
  } catch (cause) {
    if (run.lost.aborted || isSuperseded(cause)) throw cause;
    await letVmGo(errand);
    throw cause;
  }
  // No run has it while it is kept, and a backup that goes on is no small thing for the VM: first it has to be over.
  if (!(await letVmGo(errand))) {
    throw new LmasError('INTERRUPTED', 'What the copying needed beside the VM could not be taken away.');
  }
  const stage = { stop: total.signal, dropConnections: () => hypervisors.disconnect() };
  const limitMs = request.timeouts.preparingMs;
  const copy = await runStage(run, { ...stage, phase: 'confirming', limitMs }, async (signal) => {
    const driver = await hypervisors.drill({ signal, oneIsEnough: true });
    await run.assertCurrent();
    return await raceSignal(driver.start(prepared, { signal }), run.lost);
  });
  return await keep(run, copy);
}

async function prepare({ run, hypervisors }: Errand, { signal }: { signal: AbortSignal }): Promise<Prepared> {
  const driver = await hypervisors.drill({ signal });
  await run.assertCurrent();
  const prepared = preparedSchema.parse(await raceSignal(driver.prepare({ signal }), run.lost));
  await run.update(({ notes }) => {
    notes.prepared = prepared;
  });
  return prepared;
}

/** What serves the copying alone, and what was made at the VM's own end. */
const isInTheWay = (resource: JournalledResource): boolean =>
  resource.kind !== 'plugin' || resource.resource.end === 'source';

/**
 * From here on nothing of the drill is in anybody's way. What could not be taken down yet is tried again in the end.
 * @returns whether nothing of it is left at the VM's own end
 */
async function letVmGo({ run, tools, hypervisors, scope }: Errand): Promise<boolean> {
  await scope.leave(run);
  await tearDown(run, tools, hypervisors, isInTheWay);
  await run.letNeedGo();
  const isLeft = run.journal.unreleased().some((each) => each.kind === 'plugin' && each.resource.end === 'source');
  if (!isLeft) await run.unlock();
  return !isLeft;
}

/** The record waits from here on; whoever takes it up next finds `kept`. @throws because this run is over */
async function keep(run: Run, copy: DrillCopy): Promise<never> {
  const { startedAt, request } = run.migration;
  const keepUntil = new Date(Date.now() + (request.drill?.keepMs ?? 0)).toISOString();
  const upAfterMs = Math.max(0, Date.parse(copy.startedAt) - Date.parse(startedAt ?? copy.startedAt));
  await run.enter('kept', ({ migration }) => {
    const { vm, networks, disks } = copy;
    migration.drill = {
      copy: {
        vm: { id: vm.id, name: vm.name },
        networks: [...networks],
        disks: disks.map(({ name, location }) => ({ name, location })),
        startedAt: copy.startedAt,
      },
      ...{ upAfterMs, keepUntil, ranToTheEnd: null },
    };
  });
  return await leave(run, keepUntil);
}

async function leave(run: Run, keepUntil: string): Promise<never> {
  await run.keep(Date.parse(keepUntil));
  run.lost.throwIfAborted();
  throw new LmasError('INTERNAL', 'A run that is over goes on.');
}

/** Its time is over, or somebody has ended it: its copy came up, so it has succeeded, unless the copy is gone since. */
async function afterKeeping(errand: Errand): Promise<Ending> {
  const { run } = errand;
  const keepUntil = run.migration.drill?.keepUntil ?? now();
  if (!run.cancelled.aborted && Date.parse(keepUntil) > Date.now()) return await leave(run, keepUntil);
  const runs = await lookAtCopy(errand);
  await run.update(({ migration }) => {
    if (migration.drill !== null) migration.drill.ranToTheEnd = runs;
  });
  if (runs === false) return notMigrated(run, toMigrationError(run, copyEnded(run)));
  return { outcome: 'succeeded', where: run.migration.where, error: null, report: null, byHand: null };
}

/** Who or what ended it, nobody has seen. */
const copyEnded = ({ migration: { destination, drill } }: Run): LmasError =>
  new LmasError(
    'DRILL_COPY_ENDED',
    `The copy came up, and does not run at ${destination.endpoint} any more${drill === null ? '' : `: ${drill.copy.vm.name}`}.`,
  );

/** Whether it runs; `null` where nobody can be asked. */
async function lookAtCopy({ run, hypervisors }: Errand): Promise<boolean | null> {
  const signal = AbortSignal.any([run.lost, AbortSignal.timeout(LOOK_MS)]);
  try {
    const driver = await hypervisors.drill({ signal, oneIsEnough: true });
    return await raceSignal(driver.isRunning({ signal }), signal);
  } catch (error) {
    if (run.lost.aborted || isSuperseded(error)) throw error;
    run.log.warn({ err: error }, 'the copy could not be looked at before it is undone');
    return null;
  }
}
