/** A run of a plan for people: how it is, each VM, what failed and why. */
import type { PlanReport, PlanRun, PlanRunEvent } from '@lmas/client';
import { formatDuration, formatTime, plural, withLocalTimes } from '@lmas/format';
import { findingLines } from './migration-text.ts';
import { type Column, renderFields, renderTable } from './table.ts';
import { printable } from './text.ts';

const VMS: readonly Column<PlanRun['items'][number]>[] = [
  { title: 'WAVE', value: ({ wave }) => String(wave + 1), align: 'right' },
  { title: 'VM', value: ({ vm }) => vm.name, minWidth: 8 },
  { title: 'FROM', value: ({ source }) => source.endpoint, minWidth: 6, dropOrder: 2 },
  { title: 'TO', value: ({ destination }) => destination.endpoint, minWidth: 6, dropOrder: 1 },
  { title: 'STATE', value: ({ state }) => state },
  { title: 'TOOK', value: tookOf, align: 'right', dropOrder: 3 },
  { title: 'WHY', value: whyOf, minWidth: 10 },
];

/** Of one that moves: what its migration asks of a person by now. */
function whyOf({ state, error, findings }: PlanRun['items'][number]): string {
  const isMoving = state === 'moving' || state === 'moving-back';
  const told = error ?? (isMoving ? findings.find(({ code }) => code === 'OUTCOME_UNKNOWN') : undefined);
  return told === undefined ? '' : `${told.message} (${told.code})`;
}

function tookOf({ startedAt, endedAt }: PlanRun['items'][number]): string {
  return startedAt === null || endedAt === null ? '' : formatDuration(Date.parse(endedAt) - Date.parse(startedAt));
}

export function describeRun(run: PlanRun, width: number): string {
  const fields = renderFields(
    [
      ['Run', `${run.id}${run.attempt > 1 ? `, attempt ${run.attempt}` : ''}`],
      ['Plan', run.plan ?? run.definition.description ?? ''],
      ['Takes back', takenBackIn(run)],
      ['Mode', run.mode],
      ['State', stateOf(run)],
      ['Message', printable(withLocalTimes(run.message))],
      ['Created', formatTime(run.createdAt)],
      ['Ended', run.endedAt === null ? '' : formatTime(run.endedAt)],
      ['Predicted', predictionInWords(run)],
      ['Reasons', run.reasons.map(({ path, message }) => `${printable(path)}: ${printable(message)}`).join('\n')],
      ['Checks', run.waves.flatMap(({ checks }) => checks.map(({ message }) => printable(message))).join('\n')],
    ],
    width,
  );
  return run.items.length === 0 ? fields : `${fields}\n${renderTable(VMS, run.items, width)}${findingsOf(run)}`;
}

function takenBackIn({ reverseOf, reverseOfPlan = null }: PlanRun): string {
  if (reverseOf === null) return '';
  return reverseOfPlan === null ? reverseOf : `${reverseOf}, of plan ${reverseOfPlan}`;
}

function stateOf({ waves, definition, ...run }: PlanRun): string {
  const between = waves.findIndex(({ state }) => state === 'between');
  const needsApproval = definition.waves[between]?.afterwards?.approval === true;
  return stateOfSummary({ ...run, waitsForApproval: needsApproval && waves[between]?.approvedAt === null });
}

function predictionInWords({ prediction, definition }: PlanRun): string {
  if (prediction === null) return '';
  const { durationMs, fitsRto, notes } = prediction;
  const high = durationMs?.high == null ? 'or longer' : `to ${formatDuration(durationMs.high)}`;
  const span = durationMs === null ? 'not known' : `${formatDuration(durationMs.low)} ${high}`;
  const rto = fitsRto === null ? '' : `; fits its objective of ${formatDuration(definition.rtoMs ?? 0)}: ${fitsRto}`;
  return [`${span}${rto}`, ...notes].map((line) => printable(line)).join('\n');
}

function findingsOf({ items }: PlanRun): string {
  const lines = items.flatMap(({ vm, findings }) =>
    findings.length === 0 ? [] : [`${printable(vm.name)}:`, ...findingLines(findings).map((line) => `  ${line}`)],
  );
  return lines.length === 0 ? '' : `\n${lines.join('\n')}\n`;
}

/** One line for somebody who watches: what happened. */
export function entryLine({ message, vm, code }: Pick<PlanRunEvent, 'message' | 'vm' | 'code'>): string {
  const told = withLocalTimes(message);
  const what = code === null ? told : `${told} (${code})`;
  return printable(vm === null ? what : `${vm}: ${what}`);
}

/** And where the run is by then. */
export function progressOf({ phase, vms, wave, waves, mode, ...run }: PlanRunEvent['run']): string {
  const total = Object.values(vms).reduce((sum, count) => sum + count, 0);
  if (onlyLooks({ mode })) return `${stateOfSummary({ phase, ...run })}: ${lookedAt(vms, total)}`;
  const where = wave === null ? '' : `, wave ${wave} of ${waves}`;
  if (mode === 'drill') {
    const up = (vms.copied ?? 0) + (vms.rehearsed ?? 0);
    return `${stateOfSummary({ phase, ...run })}${where}: a copy of ${up} of ${plural(total, 'VM')} came up, ${vms.copying ?? 0} are being made`;
  }
  return `${stateOfSummary({ phase, ...run })}${where}: ${vms.moved ?? 0} of ${plural(total, 'VM')} moved, ${vms.moving ?? 0} move`;
}

const onlyLooks = ({ mode }: Pick<PlanRun, 'mode'>): boolean => mode === 'validate' || mode === 'disaster';

/** Of a run in which nothing moves. */
function lookedAt({ checked = 0, refused = 0 }: PlanRunEvent['run']['vms'], total: number): string {
  const all = plural(total, 'VM');
  return checked + refused === 0 ? all : `${checked} of ${all} can be moved`;
}

function stateOfSummary({
  phase,
  pausedAt,
  cancelRequestedAt,
  waitsForApproval,
}: Pick<PlanRunEvent['run'], 'phase' | 'pausedAt' | 'cancelRequestedAt' | 'waitsForApproval'>): string {
  if (cancelRequestedAt !== null && phase === 'running') return 'running, a cancel was asked for';
  if (pausedAt !== null) return 'paused';
  return waitsForApproval ? 'running, waits for an approval' : phase;
}

function rehearsedLines(rehearsed: PlanReport['summary']['rehearsed']): string[] {
  return rehearsed.map(({ vm, upAfterMs, sinceStartMs, fitsRto }) => {
    const fits = fitsRto === null ? '' : fitsRto ? ', within the objective' : ', too late for the objective';
    const since = `${formatDuration(sinceStartMs)} after the first order`;
    return `  ${printable(vm)}: its copy was up after ${formatDuration(upAfterMs)}, ${since}${fits}`;
  });
}

function outcomeLines({ run, summary, durationMs }: PlanReport): string[] {
  const took = durationMs === null ? '' : ` It took ${formatDuration(durationMs)}.`;
  const left = summary.remaining.map(
    ({ vm, at, why }) => `  ${printable(vm)}${at === null ? '' : ` is at ${at}`}: ${printable(why)}`,
  );
  const total = plural(run.items.length, 'VM');
  const off = summary.poweredOff.map((name) => printable(name)).join(', ');
  return [
    run.mode === 'drill'
      ? `${summary.rehearsed.length} of ${total} rehearsed.${took}`
      : `${summary.moved.length} of ${total} moved.${took}`,
    ...(off === '' ? [] : [`Powered off, as they were: ${off}.`]),
    ...rehearsedLines(summary.rehearsed),
    ...(left.length === 0 ? [] : ['Left:', ...left]),
  ];
}

export function describeReport(report: PlanReport, width: number): string {
  const { run } = report;
  return [describeRun(run, width), ...(onlyLooks(run) ? [] : outcomeLines(report))].join('\n');
}
