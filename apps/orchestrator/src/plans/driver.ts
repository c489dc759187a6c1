/**
 * Drives runs: takes each step by step for as long as there is something to do. The record is the truth, and whatever is
 * done can be done again: a driver that dies is followed by another one, which reads the record and goes on. Two at once
 * do no harm but do the work twice, so each run is held by one of them at a time (hold.ts). It owns what it has under way.
 */
import type { Scope } from '../access/scope.ts';
import { errorCode, LmasError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Beside, VersionedTable } from '../redis/versioned-table.ts';
import type { CheckTools } from './checks.ts';
import type { Hold } from './hold.ts';
import { isLive } from './item-step.ts';
import { noticesOf } from './notice.ts';
import {
  approvalEndsMs,
  hasRunEnded,
  type PlanRun,
  type RunEntry,
  type RunOutcome,
  waitsForApproval,
} from './record.ts';
import { nextStage, type StageTools } from './stages.ts';

export interface DriverParts extends Pick<StageTools, 'formerRun'> {
  readonly table: VersionedTable<PlanRun>;
  readonly seenBy: (caller: { project: string | null }) => Scope;
  /** What checks between waves may use on behalf of a project. */
  readonly checkTools: (project: string | null) => CheckTools;
  readonly hold: Hold;
  readonly now: () => number;
  readonly onEnd: (mode: PlanRun['mode'], outcome: RunOutcome) => void;
  readonly log: Logger;
}

export interface PlanDriver {
  /** Takes a run as far as it goes now. Never rejects. */
  look(id: string): Promise<void>;
  /** Begins to look at all that are due. Never rejects. */
  lookAtDue(): Promise<void>;
  /** Lets go of everything under way; whoever looks next goes on from the record. */
  stop(): Promise<void>;
}

/** When somebody has to look at a run: at once while something is under way, at the end of a pause, or when told to (null). */
export function lookAtMs(run: PlanRun): number | null {
  if (hasRunEnded(run)) return null;
  if (run.phase === 'keeping' && run.cancelRequestedAt === null) return Date.parse(run.keptUntil ?? run.createdAt);
  const isMoving = run.items.some(isLive);
  if (run.phase !== 'running' || run.cancelRequestedAt !== null || isMoving) return 0;
  if (run.pausedAt !== null) return null;
  const wave = run.waves.find(({ state }) => state === 'between');
  if (wave === undefined) return 0;
  if (!waitsForApproval(run)) return Date.parse(wave.pauseUntil ?? run.createdAt);
  return wave.waitsSince === null ? 0 : approvalEndsMs(run);
}

/** A time that was written by a clock that was ahead is far off once it has come back: so often all are looked at that have one (advance.ts sets it anew). */
const ALL_EVERY_MS = 60_000;

/** What goes with every write of a run. */
export function besideOf(run: PlanRun, before: PlanRun | null, entries: readonly RunEntry[]): Beside {
  const leavesSeat = hasRunEnded(run);
  return { lookAtMs: lookAtMs(run), log: entries, notices: noticesOf(run, before), leavesSeat };
}

/** How soon an order is heeded by what goes on for long: a check that is tried again and again, a host that does not answer. */
const HEED_MS = 1_000;

/** @returns `withdrawn` when the record says otherwise by now */
async function whileWanted<T>(
  isWanted: () => Promise<boolean>,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | 'withdrawn'> {
  const withdrawn = new AbortController();
  const look = () =>
    isWanted().then(
      (answer) => (answer ? undefined : withdrawn.abort(new LmasError('WITHDRAWN'))),
      () => undefined, // the next look, or the write of what comes of it, tells
    );
  const timer = setInterval(() => void look(), HEED_MS);
  try {
    return await work(AbortSignal.any([signal, withdrawn.signal]));
  } catch (error) {
    if (withdrawn.signal.aborted || errorCode(error) === 'WITHDRAWN') return 'withdrawn';
    throw error;
  } finally {
    clearInterval(timer);
  }
}

export function createPlanDriver({
  table,
  seenBy,
  checkTools,
  hold,
  now,
  onEnd,
  log,
  ...parts
}: DriverParts): PlanDriver {
  const stopping = new AbortController();
  const underWay = new Map<string, Promise<void>>();
  let allLookedAtMs = Number.NEGATIVE_INFINITY;

  /** @returns whether there may be more to do at once */
  const step = async (id: string, signal: AbortSignal): Promise<boolean> => {
    const stored = await table.find(id);
    if (stored === undefined || hasRunEnded(stored.value)) return false;
    const { project } = stored.value;
    const tools = { ...parts, scope: seenBy({ project }), checkTools: checkTools(project), nowMs: now() };
    const isWanted = () => table.isMet(stored.fence);
    const change = await whileWanted(isWanted, signal, (wanted) => nextStage(stored, tools, { signal: wanted }));
    if (change === 'withdrawn') return true;
    if (change === undefined) return false;
    const at = new Date(now()).toISOString();
    const entries = change.entries.map((entry) => ({ at, ...entry }));
    const isWritten = await table.write(stored, change.run, besideOf(change.run, stored.value, entries));
    if (isWritten && hasRunEnded(change.run)) onEnd(change.run.mode, change.run.phase);
    return true; // or somebody was quicker: look again
  };
  const drive = async (id: string): Promise<void> => {
    try {
      await hold.during(id, { signal: stopping.signal }, async (signal) => {
        while (!signal.aborted && (await step(id, signal)));
      });
    } catch (error) {
      if (stopping.signal.aborted) return;
      log.warn({ err: error, run: id }, 'a run of a plan could not be taken further; it is tried again');
    }
  };
  const look = (id: string): Promise<void> => {
    const driving = underWay.get(id) ?? drive(id).finally(() => underWay.delete(id));
    underWay.set(id, driving);
    return driving;
  };

  return {
    look,
    async lookAtDue() {
      try {
        const isAll = performance.now() - allLookedAtMs >= ALL_EVERY_MS;
        for (const id of await table.dueBy(isAll ? Number.MAX_SAFE_INTEGER : now())) void look(id);
        if (isAll) allLookedAtMs = performance.now();
      } catch (error) {
        log.warn({ err: error }, 'runs of plans could not be looked at; tried again');
      }
    },
    async stop() {
      stopping.abort();
      await Promise.all(underWay.values());
    },
  };
}
