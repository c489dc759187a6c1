/**
 * The report of a run as one HTML page that prints well and needs nothing else: no script, no address, one style whose
 * digest the answer's policy names. Every text from outside (names of VMs, messages of hypervisors) is escaped. Pure.
 */
import { createHash } from 'node:crypto';
import { describeCheck } from './checks.ts';
import { hasRunEnded, type PlanItem, type PlanReport, type WaveRun } from './record.ts';

const STYLE = `
:root { font: 10.5pt/1.4 system-ui, sans-serif; color: #1c1f24; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; }
h2 { font-size: 1.1rem; margin-top: 1.8rem; border-bottom: 1px solid #c7ccd4; }
p.lead { margin-top: .3rem; color: #4a5260; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #e3e6ea; }
th { font-weight: 600; white-space: nowrap; }
tr { break-inside: avoid; }
.succeeded, .moved, .rehearsed, .done { color: #14683a; } .failed, .refused, .stuck { color: #a3161c; } .cancelled, .skipped { color: #8a5a00; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } }
`;

/** For the policy that the page is sent with. */
export const REPORT_STYLE_HASH = `sha256-${createHash('sha256').update(STYLE).digest('base64')}`;

export function reportPage(report: PlanReport): string {
  const { run, summary, timeline, durationMs, generatedAt } = report;
  const title = `${run.mode} ${run.plan === null ? '' : `of plan ${run.plan}`}: ${run.phase}`;
  const facts: [string, string][] = [
    ['Run', `${run.id}${run.attempt > 1 ? `, attempt ${run.attempt}` : ''}`],
    ['Plan', run.plan ?? run.definition.description],
    ['Requested', run.createdAt],
    ['First VM ordered', run.startedAt ?? 'none was'],
    ['Ended', run.endedAt ?? 'not yet'],
    ['Duration', durationMs === null ? '' : duration(durationMs)],
    ['Predicted', predicted(run.prediction)],
    [
      'Recovery-time objective',
      run.definition.rtoMs === null ? '' : `${duration(run.definition.rtoMs)}: ${objective(report)}`,
    ],
    run.mode === 'drill'
      ? ['Rehearsed', `${summary.rehearsed.length} of ${run.items.length} VMs`]
      : ['Moved', `${summary.moved.length} of ${run.items.length} VMs`],
    ['Of these powered off', summary.poweredOff.join(', ')],
  ];
  const sections = [
    table(facts.filter(([, value]) => value !== '').map(([name, value]) => [header(name), cell(value)])),
    section(
      'Reasons',
      run.reasons.map(({ path, message }) => [cell(path), cell(message)]),
      ['At', 'Why'],
    ),
    section(
      'What failed',
      summary.failed.map(({ vm, code, message }) => [cell(vm), cell(code), cell(message)]),
      ['VM', 'Code', 'Why'],
    ),
    section(
      'What was left, and where',
      summary.remaining.map(({ vm, at, why }) => [cell(vm), cell(at ?? 'not clear'), cell(why)]),
      ['VM', 'At', 'Why'],
    ),
    section(
      'What was rehearsed',
      summary.rehearsed.map(({ vm, upAfterMs, sinceStartMs, fitsRto }) => [
        cell(vm),
        cell(duration(upAfterMs)),
        cell(duration(sinceStartMs)),
        cell(fitsRto === null ? '' : fitsRto ? 'yes' : 'no'),
      ]),
      ['VM', 'Its copy was up after', 'Since the first order', 'Within the objective'],
    ),
    ...run.waves.map((wave, index) =>
      waveSection(
        wave,
        index,
        run.items.filter((item) => item.wave === index),
      ),
    ),
    section('Findings', run.items.flatMap(findingRows), ['VM', 'Severity', 'Code', 'What', 'What to do']),
    section(
      'Timeline',
      timeline.map(({ at, vm, message, code }) => [
        cell(at),
        cell(vm ?? ''),
        cell(code === null ? message : `${message} (${code})`),
      ]),
      ['At', 'VM', 'What'],
    ),
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title><style>${STYLE}</style></head>
<body><h1>${escaped(title)}</h1><p class="lead ${escaped(run.phase)}">${escaped(run.message)}</p>
${sections.join('\n')}
<p class="lead">Made by LMAS at ${escaped(generatedAt)}. All times are UTC.</p></body></html>
`;
}

function waveSection(wave: WaveRun, index: number, items: readonly PlanItem[]): string {
  const rows = items.map((item) => [
    cell(item.vm.name),
    cell(item.source.endpoint),
    cell(item.destination.endpoint),
    `<td class="${escaped(item.state)}">${escaped(item.state)}${item.powerState === 'off' ? ', powered off' : ''}</td>`,
    cell(item.startedAt ?? ''),
    cell(
      item.startedAt === null || item.endedAt === null
        ? ''
        : duration(Date.parse(item.endedAt) - Date.parse(item.startedAt)),
    ),
    cell(item.sourceAfter ?? ''),
    cell(item.migrations.join(' ')),
  ]);
  const name = `Wave ${index + 1}${wave.name === '' ? '' : `: ${wave.name}`} (${wave.state})`;
  const checks = wave.checks.map(({ check, passed, message, attempts }) => [
    cell(describeCheck(check)),
    cell(passed ? 'passed' : 'failed'),
    cell(String(attempts)),
    cell(message),
  ]);
  return (
    section(name, rows, ['VM', 'From', 'To', 'State', 'Ordered', 'Took', 'At the source afterwards', 'Migrations']) +
    section(`Checks after wave ${index + 1}`, checks, ['Check', 'Result', 'Attempts', 'What it said'])
  );
}

const findingRows = ({ vm, findings }: PlanItem): string[][] =>
  findings.map(({ severity, code, message, remedy }) => [vm.name, severity, code, message, remedy].map(cell));

function section(title: string, rows: readonly (readonly string[])[], columns: readonly string[]): string {
  if (rows.length === 0) return '';
  return `<h2>${escaped(title)}</h2>${table([columns.map(header), ...rows])}`;
}

const table = (rows: readonly (readonly string[])[]): string =>
  `<table>${rows.map((cells) => `<tr>${cells.join('')}</tr>`).join('\n')}</table>`;
const header = (text: string): string => `<th>${escaped(text)}</th>`;
const cell = (text: string): string => `<td>${escaped(text)}</td>`;

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? character);

function duration(ms: number): string {
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  const rest = `${String(minutes % 60).padStart(2, '0')}:${String(Math.floor((ms % 60_000) / 1_000)).padStart(2, '0')}`;
  return `${Math.floor(minutes / 60)}:${rest}`;
}

function predicted(prediction: PlanReport['run']['prediction']): string {
  const span = prediction?.durationMs;
  if (span == null) return '';
  return `${duration(span.low)} to ${span.high === null ? 'no upper bound' : duration(span.high)}`;
}

/** Met is what has succeeded in time. Of a drill, which moves nothing, the time of each copy counts. */
function objective({ run, summary, durationMs }: PlanReport): string {
  const rtoMs = run.definition.rtoMs ?? 0;
  const isDrill = run.mode === 'drill';
  if (durationMs === null) return 'nothing was moved';
  const isInTime = isDrill ? summary.rehearsed.every(({ fitsRto }) => fitsRto !== false) : durationMs <= rtoMs;
  if (!isInTime) return 'missed';
  if (run.phase === 'succeeded') return isDrill && summary.rehearsed.length === 0 ? 'nothing was rehearsed' : 'met';
  return hasRunEnded(run)
    ? `not reached: the run ${run.phase === 'failed' ? 'failed' : 'was cancelled'}`
    : 'not missed so far';
}
