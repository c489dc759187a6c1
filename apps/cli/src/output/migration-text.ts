/** One migration in words: the full record (`lmas get`), and how it ended (`--watch`). Pure. */
import { type Finding, hasEnded, type Migration, wasNotFound } from '@lmas/client';
import {
  formatBitRate,
  formatByteRate,
  formatBytes,
  formatClock,
  formatDuration,
  formatTime,
  plural,
} from '@lmas/format';
import { renderFields } from './table.ts';
import { printable } from './text.ts';

/** `web-1`, or its id when it has no name yet. */
export function vmName({ vm }: Migration): string {
  return printable(vm.name);
}

/** Where the VM is, by the name of the endpoint where that is one place. */
export function placeOf(migration: Migration): string {
  const { where, source, destination } = migration;
  if (source.endpoint === destination.endpoint) return placeOfDisks(migration);
  if (where === 'source') return `at the source, ${source.endpoint}`;
  if (where === 'destination') return `at the destination, ${destination.endpoint}`;
  if (where === 'both') return 'at BOTH ends';
  if (isUndecided(migration)) return 'unknown';
  if (wasNotFound(migration)) return 'where it was: it was not found, and nothing was touched';
  return hasEnded(migration) ? 'where it was: it was not seen, and nothing was touched' : 'not looked for yet';
}

/** The VM stays where it is; what moves are its disks. */
function placeOfDisks({ where, source }: Migration): string {
  const disks = { source: 'where they were', destination: 'where they were to go' };
  if (where === 'source' || where === 'destination') return `at ${source.endpoint}, its disks ${disks[where]}`;
  return `at ${source.endpoint}; where its disks are was not seen`;
}

/** Nobody knows where the VM runs, or it runs twice: not merely that it was not looked for yet. */
export function isUndecided({ where, byHand }: Migration): boolean {
  return where === 'both' || (where === 'unknown' && byHand !== null);
}

/** How long it has run, or ran. */
export function elapsedMs({ startedAt, createdAt, endedAt }: Migration, nowMs: number): number {
  return (endedAt === null ? nowMs : Date.parse(endedAt)) - Date.parse(startedAt ?? createdAt);
}

/** As wide as each other. */
const SEVERITY_LABEL = { blocker: 'BLOCKER', warning: 'warning', note: 'note   ' } as const;

export function findingLines(findings: readonly Finding[]): string[] {
  return findings.flatMap(({ severity, code, message, remedy }) => [
    `${SEVERITY_LABEL[severity]}  ${printable(message)} (${printable(code)})`,
    ...(remedy === '' ? [] : [`         ${printable(remedy)}`]),
  ]);
}

const powerOf = ({ purpose }: Migration): string => (purpose === 'relocation' ? ', powered off' : '');

export function describeMigration(migration: Migration, nowMs: number, width: number): string {
  const { request, source, destination, error, timeline, progress, givenUp, waiting, doneByHand } = migration;
  const fields: (readonly [string, string])[] = [
    [migration.purpose === 'drill' ? 'Drill' : 'Migration', migration.id],
    ['VM', `${vmName(migration)}${migration.vm.id === null ? '' : ` (${migration.vm.id})`}${powerOf(migration)}`],
    ['From', `${source.endpoint} (site ${source.site})`],
    ['To', `${destination.endpoint} (site ${destination.site})`],
    [
      'Phase',
      `${migration.phase}${migration.cancelRequestedAt !== null && !hasEnded(migration) ? ', cancelling' : ''}`,
    ],
    ['Waits', waiting === null ? '' : printable(`${waiting.reason} (place ${waiting.place} in the queue)`)],
    ['VM is', placeOf(migration)],
    ['Transport', request.transport === 'direct' ? 'direct, without a tunnel' : describeTunnelRequest(migration)],
    ['Created', formatTime(migration.createdAt)],
    ['Took', migration.startedAt === null ? '' : formatDuration(elapsedMs(migration, nowMs))],
    ['Phases', describeTimeline(timeline, migration.endedAt, nowMs)],
    [
      'Progress',
      progress === null || migration.phase === 'succeeded' ? '' : describeProgress(progress, hasEnded(migration)),
    ],
    ['Outlook', describeOutlook(migration)],
    ['Tunnel', describeTunnel(migration)],
    ['Copy', describeCopy(migration)],
    ['Result', describeReport(migration)],
    ['Warnings', (migration.report?.warnings ?? []).map((text) => printable(text)).join('\n')],
    ['Kept', keptLines(migration).join('\n')],
    ['Findings', findingLines(migration.findings).join('\n')],
    ['Taken up', migration.runs > 1 ? `${migration.runs} times: a run was interrupted, or its hosts were taken` : ''],
    ['Teardown', hasEnded(migration) || migration.teardown !== 'not-needed' ? migration.teardown : ''],
    ['Given up', givenUp === null ? '' : printable(`${givenUp.reason} (${givenUp.by}, ${formatTime(givenUp.at)})`)],
    ['Left over', migration.leftovers.map((text) => printable(text)).join('\n')],
    ['Error', error === null ? '' : errorLines(error).join('\n')],
    [doneByHand === null ? 'BY HAND' : 'By hand', migration.byHand ?? ''],
    [
      'Done',
      doneByHand === null ? '' : printable(`${doneByHand.note} (${doneByHand.by}, ${formatTime(doneByHand.at)})`),
    ],
  ];
  return renderFields(fields, width);
}

const undone = ({ teardown }: Migration): string =>
  teardown === 'incomplete' || teardown === 'given-up' ? '; not everything of it is undone' : ', and was undone';

/** The last words of a followed migration. */
export function describeOutcome(migration: Migration, nowMs: number): string {
  const { phase, error, byHand, report } = migration;
  const lines: string[] = [];
  const took = formatDuration(elapsedMs(migration, nowMs));
  if (phase === 'succeeded' && migration.purpose === 'drill') {
    lines.push(`A copy of ${vmName(migration)} came up at ${migration.destination.endpoint}${undone(migration)}.`);
    lines.push(...prefixed('  ', [describeCopy(migration)]));
  } else if (phase === 'succeeded') {
    const how = migration.purpose === 'relocation' ? 'is' : 'runs';
    const off = migration.purpose === 'relocation' ? ', powered off' : '';
    lines.push(`${vmName(migration)} ${how} at ${migration.destination.endpoint} now${off}. It took ${took}.`);
  } else {
    const verb = phase === 'cancelled' ? 'was cancelled' : 'failed';
    const what = migration.purpose === 'drill' ? 'drill' : 'migration';
    lines.push(`The ${what} of ${vmName(migration)} ${verb} after ${took}. The VM is ${placeOf(migration)}.`);
  }
  lines.push(...prefixed('  ', [describeReport(migration), describeTunnel(migration), ...keptLines(migration)]));
  if (error !== null) lines.push(...prefixed('  ', errorLines(error)));
  lines.push(
    ...prefixed(
      '  warning: ',
      (report?.warnings ?? []).map((text) => printable(text)),
    ),
  );
  if (migration.teardown === 'incomplete') {
    lines.push('  Not everything could be taken down yet; the orchestrator goes on trying (see also: lmas give-up):');
    lines.push(
      ...prefixed(
        '    ',
        migration.leftovers.map((text) => printable(text)),
      ),
    );
  }
  if (byHand !== null) lines.push(`  ACT BY HAND: ${printable(byHand, { keepNewlines: true })}`);
  else if (isUndecided(migration)) lines.push('  ACT BY HAND: look at both ends before anything is started.');
  return `${lines.join('\n')}\n`;
}

function prefixed(prefix: string, lines: readonly string[]): string[] {
  return lines.filter((line) => line !== '').map((line) => prefix + line);
}

function errorLines({ code, message, phase, native, remedy, retryable }: NonNullable<Migration['error']>): string[] {
  return [
    `${printable(message)} (${code}, while ${phase})`,
    ...(native === null ? [] : [`The hypervisor said: ${printable(native.message)} (${printable(native.name)})`]),
    ...(remedy === null ? [] : [`What to do: ${printable(remedy)}`]),
    ...(retryable ? ['The same request may succeed later.'] : []),
  ];
}

function describeTunnelRequest({ request: { tunnel } }: Migration): string {
  const compressed = tunnel.compression === 'auto' ? ', compressed where it pays' : '';
  return `tunnel, ${tunnel.suite}, ${describeSubflows(tunnel.subflows)}${compressed}`;
}

function describeSubflows(subflows: Migration['request']['tunnel']['subflows']): string {
  if (typeof subflows === 'number') return plural(subflows, 'subflow');
  return subflows === 'auto' ? 'as many subflows as serve best' : `${subflows.min} to ${subflows.max} subflows`;
}

function describeTimeline(timeline: Migration['timeline'], endedAt: string | null, nowMs: number): string {
  return timeline
    .filter(({ phase }) => !hasEnded({ phase }))
    .map(({ phase, startedAt }, index, all) => {
      const next = all[index + 1]?.startedAt ?? endedAt;
      return `${phase} ${formatDuration((next === null ? nowMs : Date.parse(next)) - Date.parse(startedAt))}`;
    })
    .join(' → ');
}

function describeProgress(progress: NonNullable<Migration['progress']>, isOver: boolean): string {
  return [
    `${progress.stage} ${Math.floor(progress.percent)} %`,
    `${formatBytes(progress.bytesTransferred)} moved, ${formatBytes(progress.bytesRemaining)} to go`,
    progress.rateBytesPerSec === null ? '' : formatByteRate(progress.rateBytesPerSec),
    progress.dirtyRateBytesPerSec === null ? '' : `dirty rate ${formatByteRate(progress.dirtyRateBytesPerSec)}`,
    progress.iteration === null ? '' : `pass ${progress.iteration}`,
    progress.etaMs === null || isOver ? '' : `ETA ${formatClock(progress.etaMs)}`,
  ]
    .filter((part) => part !== '')
    .join(', ');
}

/** Whether it gets across, and what to do if not; of no interest once it is over. */
function describeOutlook({ phase, progress }: Migration): string {
  const outlook = progress?.outlook ?? null;
  if (outlook === null || hasEnded({ phase })) return '';
  const { verdict, message, advice } = outlook;
  return [`${verdict}: ${message}`, ...(advice === null ? [] : [advice])].map((line) => printable(line)).join('\n');
}

function describeTunnel({ tunnel }: Migration): string {
  if (tunnel === null) return '';
  const refused = Object.values(tunnel.refusals).reduce((sum, count) => sum + count, 0);
  return [
    `tunnel ${formatBitRate(tunnel.goodputBitsPerSec)} on ${plural(tunnel.subflows, 'subflow')}`,
    tunnel.suite,
    `${formatBytes(tunnel.bytesDelivered)} delivered`,
    tunnel.rttMs === null ? '' : `RTT ${tunnel.rttMs.toFixed(1)} ms`,
    tunnel.subflowsReplaced === 0 ? '' : `${plural(tunnel.subflowsReplaced, 'subflow')} replaced`,
    refused === 0 ? '' : `${plural(refused, 'connection')} refused`,
  ]
    .filter((part) => part !== '')
    .join(', ');
}

/** What a drill has shown. */
function describeCopy({ drill, phase }: Migration): string {
  if (drill === null) return '';
  const { copy, upAfterMs, keepUntil } = drill;
  const links = copy.networks.length === 0 ? 'not connected' : `connected to ${copy.networks.join(', ')}`;
  const until = phase === 'kept' ? `, kept until ${formatTime(keepUntil)}` : '';
  return printable(`${copy.vm.name}: up after ${formatDuration(upAfterMs)}, ${links}${until}`);
}

function describeReport({ report }: Migration): string {
  if (report === null) return '';
  return [
    report.downtimeMs === null ? '' : `downtime ${formatDuration(report.downtimeMs)}`,
    report.bytesTransferred === null ? '' : `${formatBytes(report.bytesTransferred)} moved`,
    report.iterations === null ? '' : report.iterations === 1 ? '1 pass' : `${report.iterations} passes`,
  ]
    .filter((part) => part !== '')
    .join(', ');
}

function keptLines({ report }: Migration): string[] {
  return (report?.keptAtSource ?? []).map(({ kind, id }) => `kept at the source: ${printable(kind)} ${printable(id)}`);
}
