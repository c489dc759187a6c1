/**
 * The workflow of one migration, top to bottom.
 *
 *   check → provision → prepare → connect → perform → confirm       the way forward
 *     └─ others have its hosts or addresses: steps/wait-in-queue.ts back into the queue; the next run checks anew
 *   a passing fault before prepare's intent: retry.ts               teardown, a pause, the way forward again
 *              any error past prepare's intent: settle.ts           where is the VM? finish it or undo it
 *   teardown, always                                                newest first, whatever happened
 *
 * A run that finds a journal first finds out where things are; it never starts a second migration of its own accord.
 */
import type { Presence } from '@lmas/plugin-api';
import { isSuperseded, LmasError } from '../errors.ts';
import type { Tunnel } from '../gateways/tunnel.ts';
import { isOutcome } from '../migrations/phases.ts';
import { now } from '../migrations/record.ts';
import { inStageSpan } from '../tracing/migration-spans.ts';
import { type Ending, notMigrated, succeeded, toMigrationError, undecided } from './ending.ts';
import { blameGateway } from './gateway-verdict.ts';
import { Hypervisors } from './hypervisors.ts';
import { lookForVm } from './late-sighting.ts';
import { recordTunnel } from './progress.ts';
import { mayTryAgain, pauseBeforeRetry } from './retry.ts';
import type { Run } from './run.ts';
import { settle } from './settle.ts';
import { runStage, totalDeadline, untilNoReturn } from './stages.ts';
import { takeAddresses } from './steps/addresses.ts';
import { check } from './steps/check.ts';
import { confirm } from './steps/confirm.ts';
import { connectThroughTunnel, straightRoutes } from './steps/connect.ts';
import { attachTunnel, provisionTunnel } from './steps/gateways.ts';
import { takeHosts } from './steps/hosts.ts';
import { perform } from './steps/perform.ts';
import { prepare } from './steps/prepare.ts';
import { endWaits } from './steps/wait-in-queue.ts';
import { noteTeardown, tearDown } from './teardown.ts';
import type { Tools } from './tools.ts';

const ATTACH_TIMEOUT_MS = 15_000;

/** Takes a claimed migration to its end. Resolves early, having touched nothing more, when the run is lost. */
export async function migrateVm(run: Run, tools: Tools): Promise<void> {
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
    if (run.notes.outcome === null) await decide(run, await move(run, tools, hypervisors, scope));
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
  return new LmasError('STAGE_TIMEOUT', `It waited for a worker for longer than ${queueMs} ms.`);
}

/** What the way forward has made in this process, and must let go of before the teardown. */
class Scope implements AsyncDisposable {
  tunnel: Tunnel | undefined;

  /** Writes down what the tunnel has carried, and lets go of it. */
  async leave(run: Run): Promise<void> {
    if (this.tunnel !== undefined) await recordTunnel(run, this.tunnel);
    await this[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { tunnel } = this;
    this.tunnel = undefined;
    await tunnel?.close();
  }
}

async function move(run: Run, tools: Tools, hypervisors: Hypervisors, scope: Scope): Promise<Ending> {
  if (run.journal.has('hand-over')) return await resume(run, tools, hypervisors, scope);
  const surprise = run.isRecovery ? await lookFirst(run, hypervisors) : undefined;
  return surprise ?? (await goForwardAgainAndAgain(run, tools, hypervisors, scope));
}

/**
 * An earlier run handed nothing over, says the journal. A Redis that failed over may have forgotten that it did: so the
 * ends are looked at, and what does not fit is left to a person.
 */
async function lookFirst(run: Run, hypervisors: Hypervisors): Promise<Ending | undefined> {
  if (run.migration.vm.id === null) return undefined;
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

async function goForwardAgainAndAgain(run: Run, tools: Tools, hypervisors: Hypervisors, scope: Scope): Promise<Ending> {
  for (;;) {
    try {
      return await goForward(run, tools, hypervisors, scope);
    } catch (cause) {
      if (run.lost.aborted || isSuperseded(cause)) throw cause;
      if (!mayTryAgain(run, cause)) return notMigrated(run, toMigrationError(run, cause));
      await scope.leave(run);
      await tearDown(run, tools, hypervisors);
      await hypervisors.disconnect();
      await run.letNeedGo();
      try {
        await pauseBeforeRetry(run, cause);
      } catch (reason) {
        run.lost.throwIfAborted();
        return notMigrated(run, toMigrationError(run, reason));
      }
    }
  }
}

/** @throws whatever went wrong before anything was handed over */
async function goForward(run: Run, tools: Tools, hypervisors: Hypervisors, scope: Scope): Promise<Ending> {
  const { timeouts, transport } = run.migration.request;
  using total = totalDeadline(run);
  const dropConnections = () => hypervisors.disconnect();
  let stage = { stop: total.signal, dropConnections };
  try {
    const checking = { ...stage, phase: 'checking', limitMs: timeouts.checkingMs } as const;
    await runStage(run, checking, async (signal) => {
      const report = await check(run, hypervisors, { signal });
      await takeHosts(run, hypervisors, report, { signal });
      await takeAddresses(run, tools, report, { signal });
    });
    if (transport === 'tunnel') {
      const limitMs = timeouts.provisioningMs;
      await runStage(run, { ...stage, phase: 'provisioning', limitMs }, async (signal) => {
        // Into the scope at once: a tunnel that comes too late has to be closed as well.
        scope.tunnel = await provisionTunnel(run, tools, { signal });
      });
    }
    const { tunnel } = scope;
    if (tunnel !== undefined) stage = { stop: untilNoReturn(run, [total.signal, tunnel.ended]), dropConnections };
    const prepared = await runStage(run, { ...stage, phase: 'preparing', limitMs: timeouts.preparingMs }, (signal) =>
      prepare(run, hypervisors, { signal }),
    );
    let routes = straightRoutes(prepared);
    if (tunnel !== undefined) {
      routes = await runStage(run, { ...stage, phase: 'connecting', limitMs: timeouts.preparingMs }, (signal) =>
        connectThroughTunnel(run, tunnel, prepared, { signal }),
      );
    }
    await runStage(run, { ...stage, phase: 'performing' }, (signal) =>
      perform(run, tools, hypervisors, { prepared, routes, tunnel }, { signal }),
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
async function resume(run: Run, tools: Tools, hypervisors: Hypervisors, scope: Scope): Promise<Ending> {
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

/** Writes the outcome down. Nothing that happens later changes it. */
async function decide(run: Run, ending: Ending): Promise<void> {
  const anything = run.journal.unreleased().length > 0;
  await run.enter('tearing-down', ({ migration, notes }) => {
    notes.outcome = ending.outcome;
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
  await run.enter(outcome, ({ migration }) => noteTeardown(migration, leftovers));
  await run.end();
}

/** The outcome is written: either only the books are to be closed, or something was left to be taken down. */
async function finishTeardown(run: Run, tools: Tools, hypervisors: Hypervisors): Promise<void> {
  if (run.migration.teardown === 'incomplete') {
    await lookForVm(run, hypervisors);
    const leftovers = await tearDown(run, tools, hypervisors);
    const givenUp = await tools.giveUps.get(run.id);
    await run.update(({ migration }) => noteTeardown(migration, leftovers, givenUp));
  }
  await run.end();
}
