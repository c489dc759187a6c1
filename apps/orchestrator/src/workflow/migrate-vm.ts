/**
 * The workflow of one move, top to bottom.
 *
 *   check → provision → prepare → connect → perform → confirm       the way forward (way.ts, then here)
 *   a passing fault before prepare's intent: retry.ts               teardown, a pause, the way forward again
 *              any error past prepare's intent: settle.ts           where is the VM? finish it or undo it
 *
 * A run that finds a journal first finds out where things are; it never starts a second migration of its own accord.
 */
import type { Presence } from '@lmas/plugin-api';
import { isSuperseded, LmasError } from '../errors.ts';
import { inStageSpan } from '../tracing/migration-spans.ts';
import { type Ending, movesDisksAlone, succeeded, undecided } from './ending.ts';
import { blameGateway } from './gateway-verdict.ts';
import type { Hypervisors } from './hypervisors.ts';
import type { Run } from './run.ts';
import { settle } from './settle.ts';
import { runStage, totalDeadline } from './stages.ts';
import { check } from './steps/check.ts';
import { confirm } from './steps/confirm.ts';
import { attachTunnel } from './steps/gateways.ts';
import { perform } from './steps/perform.ts';
import { prepare } from './steps/prepare.ts';
import type { Tools } from './tools.ts';
import { againAndAgain, type Errand, openWay } from './way.ts';

const ATTACH_TIMEOUT_MS = 15_000;

/** Takes a move to its ending: in the record, or as an error that says that this run is lost. */
export async function migrateVm(errand: Errand): Promise<Ending> {
  const { run, hypervisors } = errand;
  if (run.journal.has('hand-over')) return await resume(errand);
  const surprise = run.isRecovery ? await lookFirst(run, hypervisors) : undefined;
  return surprise ?? (await againAndAgain(errand, () => goForward(errand)));
}

/**
 * An earlier run handed nothing over, says the journal. A Redis that failed over may have forgotten that it did: so the
 * ends are looked at, and what does not fit is left to a person.
 */
async function lookFirst(run: Run, hypervisors: Hypervisors): Promise<Ending | undefined> {
  if (run.migration.vm.id === null) return undefined;
  // There is one VM, whoever has moved its disks; the checks look where these are.
  if (movesDisksAlone(run.migration)) return undefined;
  const signal = AbortSignal.any([run.lost, AbortSignal.timeout(ATTACH_TIMEOUT_MS)]);
  try {
    const { source, destination, moving } = await (await hypervisors.driver({ signal })).locate({ signal });
    if (!moving && !HOLDS_A_GUEST.has(destination)) return undefined;
    const seen = `source ${moving ? 'moving' : source}, destination ${destination}`;
    const surprise = new LmasError(
      'OUTCOME_UNKNOWN',
      `An interrupted run handed nothing over, but both ends say: ${seen}.`,
    );
    return undecided(run, 'unknown', surprise);
  } catch (error) {
    run.lost.throwIfAborted();
    run.log.warn({ err: error }, 'the ends could not be asked; the checks will say why');
    return undefined;
  }
}

const HOLDS_A_GUEST: ReadonlySet<Presence> = new Set(['running', 'paused', 'incoming'] as const);

/** @throws whatever went wrong before anything was handed over */
async function goForward(errand: Errand): Promise<Ending> {
  const { run, tools, hypervisors, scope } = errand;
  using total = totalDeadline(run);
  try {
    const { stage, ...move } = await openWay(errand, total.signal, {
      check: ({ signal }) => check(run, hypervisors, () => hypervisors.driver({ signal }), { signal }),
      prepare: (options) => prepare(run, hypervisors, options),
    });
    await runStage(run, { ...stage, phase: 'performing' }, (signal) =>
      perform(run, tools, hypervisors, move, { signal }),
    );
    await run.passPointOfNoReturn();
    return await handOver(run, tools, hypervisors);
  } catch (cause) {
    if (run.lost.aborted || isSuperseded(cause)) throw cause;
    if (!run.journal.has('hand-over')) throw cause;
    const { tunnel } = scope;
    return await settle({ run, tools, hypervisors, tunnel, cause: await blameGateway(run, tunnel, cause) });
  }
}

async function handOver(run: Run, tools: Tools, hypervisors: Hypervisors): Promise<Ending> {
  await run.enter('confirming');
  const signal = AbortSignal.any([run.lost, AbortSignal.timeout(tools.settings.settleMs)]);
  const report = await inStageSpan('confirming', async () =>
    confirm(run, await hypervisors.driver({ signal }), { signal }),
  );
  return succeeded(report);
}

/** After a crash past the hand-over's intent. What still moves by itself needs its gateways alive meanwhile. */
async function resume({ run, tools, hypervisors, scope }: Errand): Promise<Ending> {
  run.log.warn({ phase: run.migration.phase }, 'recovering');
  if (run.journal.has('gateway')) {
    const signal = AbortSignal.any([run.lost, AbortSignal.timeout(ATTACH_TIMEOUT_MS)]);
    scope.tunnel = await attachTunnel(run, tools, { signal }).catch((error: unknown) => {
      run.lost.throwIfAborted();
      run.log.warn({ err: error }, 'the gateways could not be reached');
      return undefined;
    });
  }
  const cancelled = run.cancelled.aborted && run.migration.pointOfNoReturnAt === null;
  const cause = cancelled
    ? run.cancelled.reason
    : new LmasError('INTERRUPTED', `The orchestrator was interrupted while ${run.migration.phase}.`, {
        remedy: 'Submit the migration again.',
      });
  return await settle({ run, tools, hypervisors, tunnel: scope.tunnel, cause });
}
