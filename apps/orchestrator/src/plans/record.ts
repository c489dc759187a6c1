/**
 * What is stored of plans and of their runs. Pure but for the two tables, which own no connection.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Logger } from '../log.ts';
import { RELOCATIONS_SINCE } from '../redis/record-versions.ts';
import { type VersionedTable, versionedTable } from '../redis/versioned-table.ts';
import { type planBodySchema, type planCheckSchema, planSchema } from '../schemas/plan.ts';
import {
  type checkResultSchema,
  type planItemSchema,
  type planReportSchema,
  type planRunEntrySchema,
  planRunSchema,
  type planRunSummarySchema,
  type waveRunSchema,
} from '../schemas/plan-run.ts';

export type Plan = z.output<typeof planSchema>;
export type PlanBody = z.output<typeof planBodySchema>;
export type PlanWave = PlanBody['waves'][number];
export type VmSelector = PlanWave['vms'][number];
export type PlanCheck = z.output<typeof planCheckSchema>;
export type CheckResult = z.infer<typeof checkResultSchema>;
export type PlanRun = z.output<typeof planRunSchema>;
export type PlanItem = z.infer<typeof planItemSchema>;
export type ItemState = PlanItem['state'];
export type WaveRun = z.infer<typeof waveRunSchema>;
export type RunEntry = z.infer<typeof planRunEntrySchema>;
export type PlanRunSummary = z.infer<typeof planRunSummarySchema>;
export type PlanReport = z.infer<typeof planReportSchema>;

const MAX_TIMELINE = 1_000;

export const createPlanTable = (redis: Redis, log?: Logger): VersionedTable<Plan> =>
  versionedTable(redis, { ...{ name: 'plan', schema: planSchema, maxLog: 1, log }, readableFrom: movesOffSince });
export const createRunTable = (redis: Redis, log?: Logger): VersionedTable<PlanRun> =>
  versionedTable(redis, {
    ...{ name: 'plan-run', schema: z.preprocess(withoutEndless, planRunSchema), maxLog: MAX_TIMELINE, log },
    readableFrom: ({ definition }) => movesOffSince(definition),
    indexesOf: ({ project, reverseOf, ...run }) => [
      ...plansOf(run).map((plan) => ['plan', plan] as const),
      ...(project === null ? [] : [['project', project] as const]),
      ...(reverseOf === null ? [] : [['reverse', reverseOf] as const]),
    ],
    needsPerson: waitsForApproval,
  });

const spanSchema = z.looseObject({ prediction: z.looseObject({ durationMs: z.looseObject({ low: z.null() }) }) });
/** Earlier versions have divided by a rate of 0; JSON has no word for what came of it, and no schema one for that. */
const withoutEndlessSpan = <Of>(of: Of): Of => {
  const { data } = spanSchema.safeParse(of);
  return data === undefined ? of : { ...of, prediction: { ...data.prediction, durationMs: null } };
};
const itemsSchema = z.looseObject({ items: z.array(z.unknown()) });
function withoutEndless(run: unknown): unknown {
  const { data } = itemsSchema.safeParse(run);
  return data === undefined ? run : { ...withoutEndlessSpan(data), items: data.items.map(withoutEndlessSpan) };
}

/** The plans under which it is listed: its own, and that of what it takes back. */
const plansOf = ({ plan, reverseOfPlan }: Pick<PlanRun, 'plan' | 'reverseOfPlan'>): string[] =>
  [plan, reverseOfPlan].filter((name) => name !== null);
export const isListedUnder = (plan: string, run: Pick<PlanRun, 'plan' | 'reverseOfPlan'>): boolean =>
  plansOf(run).includes(plan);

/** Earlier versions cannot read the word, whether a VM is off or not: without this they would fail each list in which it stands. */
const movesOffSince = ({ poweredOff }: Pick<PlanBody, 'poweredOff'>): number | undefined =>
  poweredOff === 'move' ? RELOCATIONS_SINCE : undefined;

export const newRunId = (): string => `r_${randomUUID()}`;
/** The same for the same purpose, however often it is ordered. */
export function runIdFor(purpose: string): string {
  const hex = createHash('sha256').update(purpose).digest('hex');
  return `r_${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`;
}

/** While it goes on by itself, and nothing else is to be said of it (progress.ts). */
export const underWay = ({ mode }: Pick<PlanRun, 'mode'>): string =>
  mode === 'drill' ? 'Copies of its VMs are made.' : 'Its VMs move.';

export type RunOutcome = 'succeeded' | 'failed' | 'cancelled';

export const hasRunEnded = <Run extends Pick<PlanRun, 'phase'>>(run: Run): run is Run & { phase: RunOutcome } =>
  run.phase === 'succeeded' || run.phase === 'failed' || run.phase === 'cancelled';

/** Modes in which VMs move. */
export const moves = ({ mode }: Pick<PlanRun, 'mode'>): boolean =>
  mode === 'failover' || mode === 'failback' || mode === 'evacuation';

/** What it finds out is about the moment; a drill is evidence, and stays. */
export const onlyLooks = ({ mode }: Pick<PlanRun, 'mode'>): boolean => mode === 'validate' || mode === 'disaster';

const LOST: readonly ItemState[] = ['failed', 'cancelled', 'refused', 'stuck'];
/** It is not where it was to go. */
export const isLost = ({ state }: Pick<PlanItem, 'state'>): boolean => LOST.includes(state);
/** Nobody knows where it runs, or it runs twice: nothing may be ordered for it. */
export const isUnclear = (item: Pick<PlanItem, 'state' | 'leftAt'>): boolean =>
  isLost(item) && (item.leftAt === 'both' || item.leftAt === 'unknown');

/** Whether something of it was ordered. */
export const hasMoved = ({ items }: Pick<PlanRun, 'items'>): boolean =>
  items.some(({ migrations }) => migrations.length > 0);

export const ENDPOINT_SILENT = 'ENDPOINT_SILENT';

export function summaryOf(run: PlanRun): PlanRunSummary {
  const { id, plan, project, mode, phase, pausedAt, cancelRequestedAt, attempt, createdAt, endedAt, message } = run;
  const { reverseOf, reverseOfPlan } = run;
  const vms: PlanRunSummary['vms'] = {};
  for (const { state } of run.items) vms[state] = (vms[state] ?? 0) + 1;
  const wave = phase === 'running' ? run.waves.findIndex(({ state }) => !isWaveOver(state)) + 1 : 0;
  return {
    ...{ id, plan, project, mode, phase, pausedAt, cancelRequestedAt, attempt, createdAt, endedAt, message, vms },
    ...{ reverseOf, reverseOfPlan },
    ...{ wave: wave === 0 ? null : wave, waves: run.waves.length, ...asked(run) },
  };
}

export const isWaveOver = (state: WaveRun['state']): boolean =>
  state === 'done' || state === 'failed' || state === 'skipped';

/** Of a run that has ended: what has not begun by then never will. */
export const skipped = (waves: readonly WaveRun[]): WaveRun[] =>
  waves.map((wave) => (isWaveOver(wave.state) ? wave : { ...wave, state: 'skipped' }));

type Waves = Pick<PlanRun, 'waves' | 'definition'>;

/** The wave after which it goes on only when a person says so. */
export function waveThatAsks({ waves, definition }: Waves): WaveRun | undefined {
  const index = waves.findIndex(({ state }) => state === 'between');
  const isAsked = definition.waves[index]?.afterwards.approval === true;
  return isAsked && waves[index]?.approvedAt === null ? waves[index] : undefined;
}

export const APPROVAL_EXPIRED = 'APPROVAL_EXPIRED';

/** Until when somebody may say so, counted from the end of the wave's pause; null: it does not wait, or for ever. */
export function approvalEndsMs(run: Waves): number | null {
  const wave = waveThatAsks(run);
  const withinMs = wave && run.definition.waves[run.waves.indexOf(wave)]?.afterwards.approveWithinMs;
  if (wave?.waitsSince == null || withinMs == null) return null;
  return Math.max(Date.parse(wave.waitsSince), Date.parse(wave.pauseUntil ?? wave.waitsSince)) + withinMs;
}

/** A wave of a run that goes on after a pause: whoever may approve it has all of the time again. */
export const askedAnew = (wave: WaveRun): WaveRun =>
  wave.state === 'between' && wave.approvedAt === null ? { ...wave, waitsSince: null } : wave;

/** Whether it goes on only when a person says so. */
export const waitsForApproval = (run: Waves): boolean => waveThatAsks(run) !== undefined;

function asked(run: Waves): Pick<PlanRunSummary, 'waitsForApproval' | 'waitsSince'> {
  const wave = waveThatAsks(run);
  return { waitsForApproval: wave !== undefined, waitsSince: wave?.waitsSince ?? null };
}

export function newRun(
  definition: PlanBody,
  of: Pick<PlanRun, 'id' | 'plan' | 'project' | 'mode' | 'reverseOf'> & Partial<Pick<PlanRun, 'reverseOfPlan'>>,
  createdAt: string,
): PlanRun {
  return {
    reverseOfPlan: null,
    ...of,
    definition,
    phase: 'resolving',
    ...{ pausedAt: null, cancelRequestedAt: null, attempt: 1 },
    ...{ createdAt, startedAt: null, endedAt: null, keptSince: null, keptUntil: null },
    ...{ message: 'Its VMs are looked for.', reasons: [], prediction: null },
    waves: definition.waves.map(newWave),
    items: [],
  };
}

/** Where the VMs that it means run. */
export function sourceOf(selector: VmSelector): { endpoint: string } | { site: string } {
  if (selector.kind === 'host') return { endpoint: selector.source };
  return selector.kind === 'site' ? { site: selector.source } : selector.source;
}

export const newWave = ({ name }: Pick<PlanWave, 'name'>): WaveRun => ({
  name,
  state: 'waiting',
  ...{ startedAt: null, endedAt: null, pauseUntil: null, waitsSince: null, approvedAt: null },
  checks: [],
});
