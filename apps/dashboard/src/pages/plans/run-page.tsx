/** One run of a plan: its waves drawn one after the other, each VM in its place, and what a person can do about it. */
import type { Migration, PlanRun } from '@lmas/client';
import { formatBytes, formatDuration, formatPeriod, withLocalTimes } from '@lmas/format';
import { useResource } from '../../live/resource.ts';
import { href } from '../../navigation.ts';
import { Badge, type Tone } from '../../parts/badge.tsx';
import { type Field, Fields } from '../../parts/fields.tsx';
import { Findings } from '../../parts/findings.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { ProgressBar } from '../../parts/progress-bar.tsx';
import { Time } from '../../parts/time.tsx';
import { Words } from '../../parts/words.tsx';
import { client } from '../../session/session.ts';
import { gateWords, ITEM_TONES, wavesOfRun } from './drawn-waves.ts';
import { reasonsHeading } from './plan-words.ts';
import { RunActions } from './run-actions.tsx';
import { RunPhase } from './run-phase.tsx';
import { WaveTrack } from './wave-track.tsx';

type Item = PlanRun['items'][number];
type WaveRun = PlanRun['waves'][number];

export function PlanRunPage({ id }: { id: string }) {
  const course = useResource((options) => courseOf(id, options), [id], { everyMs: 2_000, withNotices: true });
  return <Loaded of={course}>{(data) => <Run {...data} onChanged={course.reload} />}</Loaded>;
}

interface Course {
  readonly run: PlanRun;
  /** Those that move now, by id. */
  readonly moving: ReadonlyMap<string, Migration>;
}

async function courseOf(id: string, options: { signal: AbortSignal }): Promise<Course> {
  const run = await client().getPlanRun(id, options);
  const isMoving = run.items.some(({ state }) => state === 'moving' || state === 'moving-back' || state === 'copying');
  // The migrations of a run bear its id, unless the plan gives them one of their own.
  const correlationId = run.definition.migration.correlationId ?? run.id;
  const { items } = isMoving
    ? await client().listMigrations({ correlationId, phase: 'performing', limit: 200 }, options)
    : { items: [] };
  return { run, moving: new Map(items.map((migration) => [migration.id, migration])) };
}

function Run({ run, moving, onChanged }: Course & { onChanged: () => void }) {
  return (
    <>
      <PageHeading title={run.plan ?? run.reverseOfPlan ?? run.mode} about={run.mode} within={['Plans', '/plans']}>
        <RunPhase run={run} />
        {run.pausedAt === null ? null : <Badge tone="warning">paused</Badge>}
      </PageHeading>
      <RunActions run={run} onChanged={onChanged} />
      <p>{withLocalTimes(run.message)}</p>
      {run.reasons.length === 0 ? null : (
        <div class="problem" role="alert">
          <strong>{reasonsHeading(run)}</strong>
          <ul>
            {run.reasons.map(({ path, message }) => (
              <li key={`${path} ${message}`}>
                <code>{path}</code> <Words of={message} />
              </li>
            ))}
          </ul>
        </div>
      )}
      <WaveTrack waves={wavesOfRun(run)} />
      <Fields of={factsOf(run)} />
      <ol class="waves">
        {run.waves.map((wave, i) => (
          <li key={`${i} ${wave.name}`} class="card">
            <Wave {...{ run, moving, wave }} at={i} />
          </li>
        ))}
      </ol>
    </>
  );
}

const FITS = { yes: 'yes', no: 'no', perhaps: 'perhaps', unknown: 'not known' } as const;

function factsOf({
  prediction,
  definition,
  createdAt,
  startedAt,
  endedAt,
  keptUntil,
  attempt,
  reverseOf,
  ...run
}: PlanRun): readonly Field[] {
  const plan = run.plan ?? run.reverseOfPlan ?? null;
  const span = prediction?.durationMs ?? null;
  return [
    [
      'Plan',
      plan === null ? null : (
        <a key="plan" href={href(`/plans/${plan}`)}>
          {plan}
        </a>
      ),
    ],
    [
      'Takes back',
      reverseOf === null ? null : (
        <a key="back" href={href(`/plan-runs/${reverseOf}`)}>
          {reverseOf}
        </a>
      ),
    ],
    ['Asked for', <Time key="asked" at={createdAt} />],
    ['First order', <Time key="first" at={startedAt} />],
    ['Copies are kept until', keptUntil === null ? null : <Time key="kept" at={keptUntil} />],
    ['Ended', <Time key="ended" at={endedAt} />],
    ['Attempt', attempt === 1 ? null : String(attempt)],
    [
      'Predicted',
      span === null
        ? null
        : `${formatDuration(span.low)}${span.high === null ? ' at least' : ` to ${formatDuration(span.high)}`}`,
    ],
    ['RTO', definition.rtoMs === null ? null : formatPeriod(definition.rtoMs)],
    ['Meets the RTO', prediction?.fitsRto == null ? null : FITS[prediction.fitsRto]],
    ['Notes', prediction === null || prediction.notes.length === 0 ? null : prediction.notes.join(' ')],
  ];
}

const WAVE_TONES: Readonly<Record<WaveRun['state'], Tone>> = {
  waiting: 'plain',
  moving: 'busy',
  between: 'warning',
  done: 'good',
  'rolling-back': 'warning',
  failed: 'bad',
  skipped: 'plain',
};

/** In these nothing moves: no wave has its turn. */
const LOOKS: ReadonlySet<PlanRun['mode']> = new Set(['validate', 'disaster']);

function Wave({ run, moving, wave, at }: Course & { wave: WaveRun; at: number }) {
  const afterwards = run.definition.waves[at]?.afterwards;
  const words = afterwards === undefined ? '' : gateWords(afterwards).join(', ');
  return (
    <>
      <div class="heading">
        <strong>
          {at + 1}. {wave.name === '' ? 'unnamed' : wave.name}
        </strong>
        {LOOKS.has(run.mode) ? null : <Badge tone={WAVE_TONES[wave.state]}>{wave.state}</Badge>}
        {wave.startedAt === null ? null : (
          <span class="muted">
            since <Time at={wave.startedAt} />
            {wave.endedAt === null ? (
              ''
            ) : (
              <>
                {' '}
                until <Time at={wave.endedAt} />
              </>
            )}
          </span>
        )}
      </div>
      <ul class="bare items">
        {run.items
          .filter((item) => item.wave === at)
          .map((item) => (
            <li key={item.key}>
              <ItemLine item={item} moving={moving} />
            </li>
          ))}
      </ul>
      {words === '' ? null : (
        <p class="hint">
          Then: {words}
          {wave.pauseUntil === null || afterwards?.pauseMs === 0 ? (
            ''
          ) : (
            <>
              {' '}
              until <Time at={wave.pauseUntil} />
            </>
          )}
          {wave.approvedAt === null ? (
            ''
          ) : (
            <>
              , approved <Time at={wave.approvedAt} />
            </>
          )}
        </p>
      )}
      <ul class="bare">
        {wave.checks.map(({ check, passed, message, at: when }) => (
          <li key={`${when} ${message}`}>
            <Badge tone={passed ? 'good' : 'bad'}>{passed ? 'passed' : 'failed'}</Badge> {check.kind}: {message}
          </li>
        ))}
      </ul>
    </>
  );
}

function ItemLine({ item, moving }: { item: Item } & Pick<Course, 'moving'>) {
  const { vm, state, source, destination, memoryBytes, migrations, rehearsal, error, findings } = item;
  const newest = migrations.at(-1);
  const migration = newest === undefined ? undefined : moving.get(newest);
  return (
    <>
      <Badge tone={ITEM_TONES[state]}>{state}</Badge>
      <div>
        {newest === undefined ? <strong>{vm.name}</strong> : <a href={href(`/migrations/${newest}`)}>{vm.name}</a>}{' '}
        <span class="muted">
          {source.endpoint} → {destination.endpoint}, {formatBytes(memoryBytes)}
        </span>
        {migration === undefined ? null : <ProgressBar migration={migration} />}
        {rehearsal === null ? null : (
          <p class="muted">
            {rehearsal.copy} was up after {formatDuration(rehearsal.upAfterMs)}.
          </p>
        )}
        {error === null ? null : (
          <p class="bad">
            <Words of={error.message} /> <span class="code">{error.code}</span> <Words of={error.remedy ?? ''} />
          </p>
        )}
        {findings.length === 0 ? null : <Findings findings={findings} />}
      </div>
    </>
  );
}
