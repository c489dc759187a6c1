/**
 * One step of a run: what is done about it now, and the record that comes of it. Whatever it does besides can be done
 * again, since the record is written only afterwards: it asks, orders what the record says is ordered already, and cancels.
 */
import type { Scope } from '../access/scope.ts';
import { errorCode } from '../errors.ts';
import type { Versioned } from '../redis/versioned-table.ts';
import { advance } from './advance.ts';
import { type CheckTools, runCheck } from './checks.ts';
import { assess } from './disaster.ts';
import { wayAround } from './in-words.ts';
import { withLeftThere } from './left-there.ts';
import { withMemoryFindings } from './memory.ts';
import { factsOf, type Ordered, orderMissing } from './ordered-migrations.ts';
import { asTaken } from './powered-off.ts';
import { withHeld } from './queue-full.ts';
import { hasMoved, type PlanItem, type PlanRun, type RunEntry, skipped } from './record.ts';
import { advanceRehearsal } from './rehearsal.ts';
import { type Resolution, resolve } from './resolve.ts';
import { survey } from './survey.ts';
import { judge, refusalsIn, validateSome } from './validate.ts';

export interface StageTools {
  /** As somebody of the run's project sees everything: a run may no more than whoever began it. */
  readonly scope: Scope;
  readonly checkTools: CheckTools;
  /** The newest run of the plan before this one, for what is remembered of its VMs. */
  readonly formerRun: (run: PlanRun) => Promise<PlanRun | undefined>;
  readonly nowMs: number;
}

export interface Change {
  readonly run: PlanRun;
  readonly entries: readonly Omit<RunEntry, 'at'>[];
}

interface Options {
  readonly signal: AbortSignal;
}

const said = (run: PlanRun): Change => ({ run, entries: [{ message: run.message, vm: null, code: null }] });

/** `undefined`: nothing is to be done until something happens. @throws LmasError WITHDRAWN when the record has changed */
export async function nextStage(
  stored: Versioned<PlanRun>,
  tools: StageTools,
  options: Options,
): Promise<Change | undefined> {
  const run = stored.value;
  if (isUnderWay(run)) return await turn(stored, tools, options);
  const endedAt = new Date(tools.nowMs).toISOString();
  if (run.cancelRequestedAt !== null) return said(endedBefore(run, 'cancelled', endedAt));
  try {
    return await prepare(run, tools, options);
  } catch (error) {
    // Whoever it was begun for may see nothing any more, and never will: there is nothing to wait for.
    if (errorCode(error) !== 'PROJECT_NOT_FOUND') throw error;
    return said(endedBefore(run, 'failed', endedAt));
  }
}

/** Finds its VMs, then checks them. */
async function prepare(run: PlanRun, tools: StageTools, options: Options): Promise<Change | undefined> {
  if (run.phase === 'resolving') {
    const found = await survey(asTaken(run), tools.scope, options);
    if (run.mode === 'disaster') return said(assess(run, found, await tools.formerRun(run), tools.nowMs));
    const resolution = resolve(asTaken(run), found);
    const items = await withLeftThere(resolution.items, tools.scope.migrations);
    return said(resolved(run, { ...resolution, items }, new Date(tools.nowMs).toISOString()));
  }
  if (run.phase !== 'validating') return undefined;
  if (run.attempt > 1 && !run.items.some(isCheckedAnew)) {
    // What moved before has taken its room; what is to move is counted against what is left.
    const left = withMemoryFindings(run.items, run.definition, await survey(run.definition, tools.scope, options));
    return await validated({ ...run, items: left }, tools, options);
  }
  return await validated(run, tools, options);
}

/** It was cancelled, or its project removed, while nothing moved: of a retry, while what is left was checked again. */
function endedBefore(run: PlanRun, phase: 'cancelled' | 'failed', endedAt: string): PlanRun {
  const what = phase === 'cancelled' ? 'It was cancelled' : `Its project ${run.project} was removed`;
  const message = `${what} before anything ${hasMoved(run) ? 'more ' : ''}moved.`;
  const items = run.items.map((item): PlanItem => (item.state === 'waiting' ? { ...item, state: 'skipped' } : item));
  return { ...run, items, waves: skipped(run.waves), phase, endedAt, pausedAt: null, message };
}

const isCheckedAnew = ({ state, checkedAt }: PlanItem): boolean => state === 'waiting' && checkedAt !== null;

async function validated(run: PlanRun, tools: StageTools, options: Options): Promise<Change> {
  const checked = await validateSome(run, tools.scope, { ...options, nowMs: tools.nowMs });
  if (checked !== undefined) return { run: checked, entries: [] };
  const judged = said(judge(run, tools.nowMs));
  return { ...judged, entries: [...refusalsIn(run), ...judged.entries] };
}

const isUnderWay = ({ phase }: PlanRun): boolean => phase === 'running' || phase === 'keeping' || phase === 'undoing';

function resolved(run: PlanRun, { items, issues, silent }: Resolution, endedAt: string): PlanRun {
  if (issues.length === 0)
    return { ...run, items: [...items], reasons: [...silent], phase: 'validating', message: 'Its VMs are checked.' };
  const reasons = [...issues.map(({ path, message }) => ({ path, message })), ...silent];
  // Whichever VM were left out, they would stand in the way of the others.
  const isOfEndpoints = issues.every(({ ofEndpoint }) => ofEndpoint === true);
  const what = issues.length === 1 ? issues[0]?.message : `there are ${issues.length} reasons`;
  return {
    ...run,
    ...{
      reasons,
      phase: 'failed',
      endedAt,
      message: `It cannot be carried out: ${what}. Nothing was moved.${isOfEndpoints ? '' : wayAround(run)}`,
    },
    items: items.map((item) => (item.state === 'waiting' ? { ...item, state: 'skipped' } : item)),
    waves: skipped(run.waves),
  };
}

const NOTHING_ORDERED: Ordered = { refused: new Map(), held: undefined };

async function turn(
  { value: run, fence }: Versioned<PlanRun>,
  tools: StageTools,
  options: Options,
): Promise<Change | undefined> {
  const { scope, nowMs } = tools;
  const migrations = await factsOf(run, scope, options);
  const isHalted = run.pausedAt !== null || run.cancelRequestedAt !== null;
  const { refused, held } = isHalted ? NOTHING_ORDERED : await orderMissing(run, migrations, scope, fence);
  if (refused.size > 0) return withRefused(run, refused, new Date(nowMs).toISOString());
  const seen = withHeld(run, held);
  const look = run.mode === 'drill' ? advanceRehearsal : advance;
  const { run: next, entries, cancel } = look(seen.run, { nowMs, migrations });
  for (const id of cancel) await cancelMigration(scope, id);
  if (JSON.stringify(next) !== JSON.stringify(run)) return { run: next, entries: [...seen.entries, ...entries] };
  return isHalted ? undefined : await makeChecks(run, tools, options);
}

function withRefused(run: PlanRun, refused: ReadonlyMap<string, PlanItem['error']>, endedAt: string): Change {
  const items = run.items.map((item): PlanItem => {
    const error = refused.get(item.key);
    if (error === undefined) return item;
    return {
      ...item,
      error,
      endedAt,
      state: item.state === 'moving-back' ? 'stuck' : 'failed',
      migrations: item.migrations.slice(0, -1),
    };
  });
  const entries = items.flatMap(({ key, vm, error }) =>
    refused.has(key) ? [{ message: error?.message ?? '', vm: vm.name, code: error?.code ?? null }] : [],
  );
  return { run: { ...run, items }, entries };
}

async function makeChecks(
  run: PlanRun,
  { checkTools, nowMs }: StageTools,
  { signal }: Options,
): Promise<Change | undefined> {
  const index = run.waves.findIndex(({ state }) => state === 'between');
  const [wave, plan] = [run.waves[index], run.definition.waves[index]];
  if (wave === undefined || plan === undefined) return undefined;
  const { checks, approval } = plan.afterwards;
  const isHeld = Date.parse(wave.pauseUntil ?? '') > nowMs || (approval && wave.approvedAt === null);
  if (isHeld || wave.checks.length >= checks.length) return undefined;
  const results = await Promise.all(checks.map((check) => runCheck(check, checkTools, { signal })));
  const waves = run.waves.map((each, at) => (at === index ? { ...each, checks: results } : each));
  const entries = results.map(({ passed, message }) => ({ message, vm: null, code: passed ? null : 'CHECK_FAILED' }));
  return { run: { ...run, waves }, entries };
}

async function cancelMigration({ migrations }: Scope, id: string): Promise<void> {
  try {
    await migrations.cancel(id);
  } catch (error) {
    const code = errorCode(error);
    if (code !== 'ALREADY_ENDED' && code !== 'PAST_POINT_OF_NO_RETURN' && code !== 'MIGRATION_NOT_FOUND') throw error;
  }
}
