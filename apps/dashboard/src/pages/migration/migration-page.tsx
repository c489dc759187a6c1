/** One migration from request to end: live while it runs, and the whole story afterwards. */
import type { Migration } from '@lmas/client';
import { hasEnded, wasNotFound } from '@lmas/client';
import { formatBitRate, formatBytes, formatDuration, plural } from '@lmas/format';
import { useHistory } from '../../live/history.ts';
import { PhaseBadge } from '../../parts/badge.tsx';
import { type Field, Fields } from '../../parts/fields.tsx';
import { Findings } from '../../parts/findings.tsx';
import { LineChart } from '../../parts/line-chart.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { Problem } from '../../parts/problem.tsx';
import { Time } from '../../parts/time.tsx';
import { Words } from '../../parts/words.tsx';
import { client } from '../../session/session.ts';
import { Actions } from './actions.tsx';
import { ByHand } from './by-hand.tsx';
import { EventLog } from './event-log.tsx';
import { Leftovers } from './leftovers.tsx';
import { PhaseSteps } from './phase-steps.tsx';
import { ProgressPanel } from './progress-panel.tsx';
import { TunnelPanel } from './tunnel-panel.tsx';

export function MigrationPage({ id }: { id: string }) {
  const { migration, samples, events, isIncomplete, connected, error } = useHistory(client(), id);
  if (migration === undefined) {
    return (
      <>
        <PageHeading title="Migration" within={['Migrations', '/migrations']} />
        {error === undefined ? <p class="muted">Loading …</p> : <Problem error={error} />}
      </>
    );
  }
  const { vm, source, destination, phase, findings } = migration;
  return (
    <>
      <PageHeading
        title={vm.name}
        about={`${KINDS[migration.purpose]}${source.endpoint} → ${destination.endpoint}`}
        tab={tabOf(migration)}
        within={['Migrations', '/migrations']}
      >
        <output>
          <PhaseBadge migration={migration} />
        </output>
        {connected || hasEnded(migration) ? null : <output class="badge warning">connection lost, trying again</output>}
      </PageHeading>
      <Actions migration={migration} />
      <PhaseSteps migration={migration} />
      <Verdict migration={migration} />
      {phase === 'queued' || migration.waiting !== null ? (
        <p>{migration.waiting?.reason ?? 'It waits for its turn.'}</p>
      ) : null}
      <ProgressPanel migration={migration} />
      {samples.length < 2 ? null : (
        <section aria-labelledby="rates">
          <h2 id="rates">Throughput</h2>
          <LineChart
            title="Throughput and dirty rate over time"
            format={formatBitRate}
            least={1_000_000}
            fromMs={movingSince(migration)}
            series={[
              {
                name: migration.tunnel === null ? 'moved by the hypervisor' : 'through the tunnel',
                line: 'line-1',
                points: samples.map(({ atMs, throughputBitsPerSec: value }) => ({ atMs, value })),
              },
              {
                name: 'dirty rate',
                line: 'line-2',
                points: samples.map(({ atMs, dirtyRateBitsPerSec: value }) => ({ atMs, value })),
              },
            ]}
          />
        </section>
      )}
      {migration.tunnel === null ? null : <TunnelPanel tunnel={migration.tunnel} />}
      {findings.length === 0 ? null : (
        <section aria-labelledby="findings">
          <h2 id="findings">What the checks found</h2>
          <Findings findings={findings} />
        </section>
      )}
      <Facts migration={migration} />
      <EventLog id={id} events={events} isIncomplete={isIncomplete} isOver={isOver(migration)} />
    </>
  );
}

/** When memory began to move, the first time. */
function movingSince({ timeline }: Migration): number | undefined {
  const begun = timeline.find(({ phase }) => phase === 'performing')?.startedAt;
  return begun === undefined ? undefined : Date.parse(begun);
}

/** Nobody is at it any more. */
const isOver = (migration: Migration): boolean => hasEnded(migration) && migration.teardown !== 'incomplete';

/** So that one sees among many tabs how far it is. */
function tabOf({ vm, phase, progress }: Migration): string {
  return phase === 'performing' && progress !== null
    ? `${Math.floor(progress.percent)} % ${vm.name}`
    : `${vm.name} ${phase}`;
}

/** What a person has to know first: why it failed, what to do, what only a person can do. */
function Verdict({ migration }: { migration: Migration }) {
  const { error, byHand, phase, report, drill } = migration;
  return (
    <>
      <ByHand migration={migration} />
      {error === null ? null : (
        <div class={phase === 'cancelled' ? 'note' : 'problem'} role={phase === 'cancelled' ? 'status' : 'alert'}>
          <strong>
            <Words of={error.message} />
          </strong>
          {error.remedy === null ? null : (
            <p>
              <Words of={error.remedy} />
            </p>
          )}
          {error.native === null ? null : (
            <p class="muted">
              The hypervisor said: {error.native.message} ({error.native.name})
            </p>
          )}
          {error.cause === null ? null : <p class="muted">Before that: {error.cause.message}</p>}
          <p class="code">
            {error.code}, while {error.phase}
          </p>
        </div>
      )}
      {phase === 'succeeded' && byHand === null ? (
        <div class="note good" role="status">
          <strong>{outcomeOf(migration)}</strong> {drill === null ? reportWords(report) : drillWords(drill, migration)}
        </div>
      ) : null}
      <Leftovers migration={migration} />
    </>
  );
}

const KINDS: Readonly<Record<Migration['purpose'], string>> = {
  move: '',
  drill: 'drill, ',
  relocation: 'powered off, ',
};

function outcomeOf({ purpose, destination }: Migration): string {
  if (purpose === 'drill') return 'Its copy came up.';
  return purpose === 'relocation'
    ? `It is at ${destination.endpoint}, powered off.`
    : `It runs at ${destination.endpoint}.`;
}

function drillWords({ upAfterMs, copy }: NonNullable<Migration['drill']>, { teardown }: Migration): string {
  const isLeft = teardown === 'incomplete' || teardown === 'given-up';
  return `${copy.vm.name} was up after ${formatDuration(upAfterMs)}; ${isLeft ? 'not everything of it is undone' : 'it was undone'}.`;
}

function reportWords(report: Migration['report']): string {
  if (report === null) return '';
  const words = [
    report.downtimeMs === null ? '' : `Downtime ${formatDuration(report.downtimeMs)}`,
    report.bytesTransferred === null ? '' : `${formatBytes(report.bytesTransferred)} were moved`,
    report.iterations === null ? '' : `in ${plural(report.iterations, 'pass')}`,
  ].filter((word) => word !== '');
  return words.length === 0 ? '' : `${words.join(', ')}.`;
}

function transportOf({ transport, tunnel }: Migration['request']): string {
  if (transport === 'direct') return 'direct (without a tunnel)';
  return `tunnel, ${tunnel.suite}${tunnel.compression === 'auto' ? ', compressed where it pays' : ''}`;
}

function Facts({ migration }: { migration: Migration }) {
  const { request, report, vm, source, destination } = migration;
  const facts: readonly Field[] = [
    ['Id', <code>{migration.id}</code>],
    ['VM', vm.id === null || vm.id === vm.name ? vm.name : `${vm.name} (${vm.id})`],
    ['From', `${source.endpoint}, site ${source.site}`],
    ['To', `${destination.endpoint}, site ${destination.site}`],
    ['Hypervisor', migration.plugin],
    ['Drill', migration.drill === null ? null : copyOf(migration.drill)],
    ['The VM is', placeOf(migration)],
    ['Transport', transportOf(request)],
    ['Project', migration.project],
    ['Created', <Time at={migration.createdAt} />],
    ['Started', <Time at={migration.startedAt} />],
    ['Ended', <Time at={migration.endedAt} />],
    ['Taken up', migration.runs > 1 ? `${migration.runs} times: a run was interrupted, or its hosts were taken` : null],
    ['Correlation id', request.correlationId],
    ['Labels', labelsOf(request.labels)],
    ['Teardown', migration.teardown],
    ['Warnings', report === null || report.warnings.length === 0 ? null : report.warnings.join(' ')],
    ['Kept at the source', keptOf(report)],
  ];
  return (
    <section aria-labelledby="facts">
      <h2 id="facts">Record</h2>
      <Fields of={facts} />
      {report?.sourceDefinition == null ? null : (
        <details>
          <summary>Definition of the VM as it was at the source</summary>
          <pre>{report.sourceDefinition}</pre>
        </details>
      )}
    </section>
  );
}

function copyOf({ copy: { vm, networks } }: NonNullable<Migration['drill']>): string {
  return `${vm.name}, ${networks.length === 0 ? 'not connected' : `connected to ${networks.join(', ')}`}`;
}

function placeOf(migration: Migration): string {
  const { where, source, destination, byHand } = migration;
  if (where === 'source') return `at ${source.endpoint}`;
  if (where === 'destination') return `at ${destination.endpoint}`;
  if (where === 'both') return 'at BOTH ends';
  if (byHand !== null) return 'unknown';
  if (wasNotFound(migration)) return `not found at ${source.endpoint}; nothing was touched`;
  return hasEnded(migration) ? 'not seen; nothing was touched' : 'not looked for yet';
}

const labelsOf = (labels: Migration['request']['labels']): string | null =>
  Object.keys(labels).length === 0
    ? null
    : Object.entries(labels)
        .map(([name, value]) => `${name}=${value}`)
        .join(', ');

const keptOf = (report: Migration['report']): string | null =>
  report === null || report.keptAtSource.length === 0
    ? null
    : report.keptAtSource.map(({ kind, id }) => `${kind} ${id}`).join(', ');
