/** Plans, and the runs of all of them: what was rehearsed, what moves, what waits for somebody. */
import { everyPage, type Plan } from '@lmas/client';
import { formatPeriod } from '@lmas/format';
import { useResource } from '../../live/resource.ts';
import { href } from '../../navigation.ts';
import { Empty } from '../../parts/empty.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { Paged, usePages } from '../../parts/paged.tsx';
import { Time } from '../../parts/time.tsx';
import { client, may } from '../../session/session.ts';
import { wavesOfPlan } from './drawn-waves.ts';
import { Runs } from './runs.tsx';
import { WaveTrack } from './wave-track.tsx';

const RUNS_EVERY_MS = 3_000;

export function PlansPage() {
  const plans = useResource((options) => everyPage((page) => client().listPlans(page, options)), []);
  const runs = usePages((page, options) => client().listPlanRuns({ ...page, limit: 50 }, options), [], {
    everyMs: RUNS_EVERY_MS,
    withNotices: true,
  });
  return (
    <>
      <PageHeading title="Plans">
        {may('operator') ? (
          <span class="aside">
            <a class="button" href={href('/evacuate')}>
              Empty a host or a site
            </a>
            <a class="button primary" href={href('/new/plan')}>
              Write a plan
            </a>
          </span>
        ) : null}
      </PageHeading>
      <Loaded of={plans}>
        {(all) => (all.length === 0 ? <FirstPlan /> : all.map((plan) => <Card key={plan.id} plan={plan} />))}
      </Loaded>
      <h2>Runs</h2>
      <Paged pages={runs}>
        {({ items }) => (items.length === 0 ? <p class="muted">None yet.</p> : <Runs runs={items} />)}
      </Paged>
    </>
  );
}

function FirstPlan() {
  return (
    <Empty>
      <p>
        There is no plan yet. A plan says which VMs move where, in which waves, and what has to hold between two of
        them. It is written as YAML, here or with <code>lmas plan apply FILE</code>.
      </p>
    </Empty>
  );
}

function Card({ plan }: { plan: Plan }) {
  const { id, description, rtoMs, changedAt } = plan;
  return (
    <section class="card" aria-label={`Plan ${id}`}>
      <h2>
        <a href={href(`/plans/${id}`)}>{id}</a>
      </h2>
      <p class="muted">
        {description === '' ? '' : `${description}; `}
        {rtoMs === null ? '' : `to be done in ${formatPeriod(rtoMs)}; `}changed <Time at={changedAt} />
      </p>
      <WaveTrack waves={wavesOfPlan(plan)} />
    </section>
  );
}
