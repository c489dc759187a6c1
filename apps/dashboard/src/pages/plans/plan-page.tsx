/** One plan: its waves drawn and as they are written, its runs, and the ways to run it. */
import type { Plan } from '@lmas/client';
import { formatPeriod } from '@lmas/format';
import { useResource } from '../../live/resource.ts';
import { go, href } from '../../navigation.ts';
import { Empty } from '../../parts/empty.tsx';
import { type Field, Fields } from '../../parts/fields.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { Paged, usePages } from '../../parts/paged.tsx';
import { Removal } from '../../parts/removal.tsx';
import { Time } from '../../parts/time.tsx';
import { client, may } from '../../session/session.ts';
import { gateWords, wavesOfPlan } from './drawn-waves.ts';
import { LABELS, MEMORY, ORDER, POWERED_OFF, SILENT } from './plan-words.ts';
import { Runs } from './runs.tsx';
import { StartRun } from './start-run.tsx';
import { WaveTrack } from './wave-track.tsx';

type Wave = Plan['waves'][number];

export function PlanPage({ id }: { id: string }) {
  const plan = useResource((options) => client().getPlan(id, options), [id]);
  const runs = usePages((page, options) => client().listPlanRuns({ plan: id, ...page, limit: 50 }, options), [id], {
    everyMs: 3_000,
    withNotices: true,
  });
  return (
    <>
      <PageHeading title={id} within={['Plans', '/plans']} />
      <Loaded of={plan}>
        {(data) => (
          <>
            {data.description === '' ? null : <p>{data.description}</p>}
            {may('operator') ? (
              <div class="actions">
                <StartRun id={id} />
                <a class="button" href={href(`/plans/${id}/change`)}>
                  Change …
                </a>
                <Removal
                  name={id}
                  words="Its runs and their reports stay."
                  remove={async () => await client().deletePlan(id)}
                  onRemoved={() => go('/plans')}
                />
              </div>
            ) : null}
            <Fields of={factsOf(data)} />
            <h2>Waves</h2>
            <WaveTrack waves={wavesOfPlan(data)} />
            <ol class="waves">
              {data.waves.map((wave, i) => (
                <li key={`${i} ${wave.name}`} class="card">
                  <WaveAsWritten wave={wave} at={i} />
                </li>
              ))}
            </ol>
          </>
        )}
      </Loaded>
      <h2>Runs</h2>
      <Paged pages={runs}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty>
              <p>None yet. Validate it first: every check is made and the time is predicted, and nothing moves.</p>
            </Empty>
          ) : (
            <Runs runs={items} />
          )
        }
      </Paged>
    </>
  );
}

const factsOf = ({ rtoMs, after, mappings, project, changedAt, ...plan }: Plan): readonly Field[] => [
  ['RTO', rtoMs === null ? null : formatPeriod(rtoMs)],
  ['After', after.length === 0 ? null : after.join(', ')],
  [LABELS.poweredOff, POWERED_OFF[plan.poweredOff]],
  [LABELS.silent, SILENT[plan.silent]],
  [LABELS.memory, MEMORY[plan.memory]],
  ['Mapped', mappings.map(({ source, destination }) => `${source} → ${destination}`).join(', ') || null],
  ['Project', project],
  ['Changed', <Time key="changed" at={changedAt} />],
];

function WaveAsWritten({ wave: { name, vms, concurrency, onFailure, afterwards }, at }: { wave: Wave; at: number }) {
  const then = gateWords(afterwards);
  return (
    <>
      <strong>
        {at + 1}. {name === '' ? 'unnamed' : name}
      </strong>{' '}
      <span class="muted">
        {concurrency} at once; {FAILURE[onFailure]}
      </span>
      <ul>
        {vms.map((selector) => (
          <li key={JSON.stringify(selector)}>{selectorWords(selector)}</li>
        ))}
      </ul>
      {then.length === 0 ? null : <p class="hint">Then: {then.join(', ')}</p>}
    </>
  );
}

const FAILURE: Readonly<Record<Wave['onFailure'], string>> = {
  stop: 'after a failure nothing more begins',
  'go-on': 'goes on after a failure',
  'roll-back': 'is moved back after a failure',
};

type Place = { endpoint: string } | { site: string };
const placeWords = (place: Place): string => ('endpoint' in place ? place.endpoint : `site ${place.site}`);

function selectorWords(selector: Wave['vms'][number]): string {
  const to = placeWords(selector.destination as Place);
  if (selector.kind === 'vm') return `${selector.vm}: ${placeWords(selector.source as Place)} → ${to}`;
  const { except = [], first = [], order = 'name' } = selector;
  const more = [
    except.length === 0 ? '' : `, except ${except.join(', ')}`,
    first.length === 0 ? '' : `, first ${first.join(', ')}`,
    order === 'name' ? '' : `, ${ORDER[order]}`,
  ].join('');
  if (selector.kind === 'label')
    return `all with the label ${selector.label}: ${placeWords(selector.source as Place)} → ${to}${more}`;
  return `everything of ${selector.kind} ${selector.source} → ${to}${more}`;
}
