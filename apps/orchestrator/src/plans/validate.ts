/**
 * The checks of a run: those of every migration that it would order, and what follows from them. A few VMs at a time, so
 * that a run that is broken off goes on where it was.
 */
import type { Scope } from '../access/scope.ts';
import { describeError } from '../errors.ts';
import { forecast } from './forecast.ts';
import { inTurns } from './in-turns.ts';
import { leftBehind, leftSilent, notFound, notRehearsed, wayAround } from './in-words.ts';
import { requestFor } from './ordered-migrations.ts';
import { movesOff } from './powered-off.ts';
import { told } from './progress.ts';
import { hasMoved, moves, type PlanItem, type PlanRun, type RunEntry, skipped } from './record.ts';

const BATCH = 16;
const AT_ONCE = 4;
const EACH_MS = 60_000;

type Finding = PlanItem['findings'][number];

interface Checking {
  readonly checker: Scope['checker'];
  readonly migrations: Pick<Scope['migrations'], 'requireFree'>;
}

/** Checks some of those that were not; `undefined` when all were. */
export async function validateSome(
  run: PlanRun,
  scope: Checking,
  { signal, nowMs }: { signal: AbortSignal; nowMs: number },
): Promise<PlanRun | undefined> {
  const batch = run.items.filter(({ state, checkedAt }) => state === 'waiting' && checkedAt === null).slice(0, BATCH);
  if (batch.length === 0) return undefined;
  const checked = new Map<string, PlanItem>();
  await inTurns(batch, AT_ONCE, async (item) => {
    const outcome = await check(run, item, scope, signal);
    checked.set(item.key, {
      ...item,
      ...outcome,
      findings: [...item.findings, ...outcome.findings],
      checkedAt: new Date(nowMs).toISOString(),
    });
  });
  return { ...run, items: run.items.map((item) => checked.get(item.key) ?? item) };
}

async function check(
  run: PlanRun,
  item: PlanItem,
  { checker, migrations }: Checking,
  signal: AbortSignal,
): Promise<Pick<PlanItem, 'findings' | 'prediction'>> {
  try {
    // Somebody else moves it: where it goes is theirs to say, and ours would be refused only when its turn has come.
    await migrations.requireFree(item.vm, item.source.endpoint);
    const limited = AbortSignal.any([signal, AbortSignal.timeout(EACH_MS)]);
    const { findings, prediction } = await checker.check(requestFor(run, item), { signal: limited });
    return { findings: item.powerState === 'off' ? [movesOff(item.vm.name), ...findings] : findings, prediction };
  } catch (error) {
    signal.throwIfAborted();
    return { findings: [asFinding(item, error)], prediction: null };
  }
}

function asFinding({ vm, source }: PlanItem, error: unknown): Finding {
  const { code, message, remedy } = describeError(error);
  if (code === 'VM_NOT_FOUND') return { severity: 'blocker', ...notFound(vm.name, source.endpoint) };
  return { severity: 'blocker', code, message, remedy: remedy ?? 'See the log of the orchestrator.' };
}

const isBlocked = ({ findings }: PlanItem): boolean => findings.some(({ severity }) => severity === 'blocker');

/** Why the checks say no, VM by VM. */
export const refusalsIn = ({ items }: Pick<PlanRun, 'items'>): Omit<RunEntry, 'at'>[] =>
  items.flatMap(({ vm, findings }) =>
    findings
      .filter(({ severity }) => severity === 'blocker')
      .map(({ message, code }) => ({ message, vm: vm.name, code })),
  );

/** What follows when every VM was checked: the end, or the first wave. */
export function judge(run: PlanRun, nowMs: number): PlanRun {
  const prediction = forecast(run.definition, run.items);
  const items = run.items.map((item): PlanItem => {
    const first = item.findings.find(({ severity }) => severity === 'blocker');
    if (item.state !== 'waiting' || first === undefined) return item;
    return { ...item, state: 'refused', error: { code: first.code, message: first.message, remedy: first.remedy } };
  });
  const judged = { ...run, prediction, items };
  const blocked = run.items.filter(isBlocked);
  const end = (phase: 'succeeded' | 'failed', message: string): PlanRun => ({
    ...judged,
    ...{ phase, message, endedAt: new Date(nowMs).toISOString() },
    items: items.map((item) =>
      item.state === 'waiting' ? { ...item, state: moves(run) ? 'skipped' : 'checked' } : item,
    ),
    waves: skipped(run.waves),
  });
  const names = blocked.map(({ vm }) => vm.name).join(', ');
  if (run.mode === 'drill') {
    if (items.every(({ state }) => state !== 'waiting')) {
      const none =
        names === '' ? 'It has found no VM that can be rehearsed.' : `None of its VMs can be rehearsed: ${names}.`;
      return end('failed', `${none}${notRehearsed(run)}`);
    }
    return told({ ...judged, phase: 'running' });
  }
  if (!moves(run)) {
    const left = leftBehind(run, 'would be');
    if (blocked.length > 0) return end('failed', `The checks say no for ${names}.`);
    if (prediction.fitsRto === 'no')
      return end('failed', `Every check passed, but it takes longer than its recovery-time objective.${left}`);
    return end(leftSilent(run) === '' ? 'succeeded' : 'failed', `Every check passed.${left}`);
  }
  const stops = blocked.filter(({ wave }) => run.definition.waves[wave]?.onFailure !== 'go-on');
  if (stops.length > 0)
    return end(
      'failed',
      `The checks say no for ${names}. Nothing ${hasMoved(run) ? 'more ' : ''}was moved.${wayAround(run)}`,
    );
  return told({ ...judged, phase: 'running' });
}
