/** The first page: what needs a person, what moves, what waits, what went wrong lately, and how busy sites and links are. */
import { nowMs } from '../../live/clock.ts';
import { listMoving } from '../../live/moving.ts';
import { useResource } from '../../live/resource.ts';
import { href } from '../../navigation.ts';
import { Loaded } from '../../parts/loaded.tsx';
import { MigrationTable } from '../../parts/migration-table.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { client, may, mayForAll } from '../../session/session.ts';
import { NeedsPerson } from './needs.tsx';
import { SiteMap } from './site-map.tsx';

const PROGRESS_EVERY_MS = 2_000;
const DAY_MS = 24 * 3_600_000;
/** Lists are sorted by when a migration was created; it may have failed long after that. */
const LOOKED_THROUGH = 200;
const SHOWN_WAITING = 20;

export function OverviewPage() {
  const moving = useResource((options) => listMoving(client(), options), [], {
    everyMs: PROGRESS_EVERY_MS,
    withNotices: true,
  });
  const waiting = useResource((options) => client().listQueuedMigrations({ limit: SHOWN_WAITING }, options), [], {
    withNotices: true,
  });
  const failed = useResource((options) => listFailures(options), [], { withNotices: true });
  return (
    <>
      <PageHeading title="Overview">
        {may('operator') ? (
          <span class="aside">
            <a class="button primary" href={href('/migrations/new')}>
              Move a VM
            </a>
          </span>
        ) : null}
      </PageHeading>
      {mayForAll('viewer') ? <State /> : null}
      <NeedsPerson />
      <section aria-labelledby="moving">
        <h2 id="moving">Moving now</h2>
        <Loaded of={moving}>
          {(items) =>
            items.length === 0 ? (
              <p class="muted">Nothing moves.</p>
            ) : (
              <MigrationTable migrations={items} caption="Migrations that run now" course="Progress" />
            )
          }
        </Loaded>
      </section>
      <section aria-labelledby="waiting">
        <h2 id="waiting">Waiting</h2>
        <Loaded of={waiting}>
          {({ items, nextCursor }) =>
            items.length === 0 ? (
              <p class="muted">Nothing waits.</p>
            ) : (
              <>
                <MigrationTable migrations={items} caption="Migrations that wait" course="Why" />
                {nextCursor === null ? null : (
                  <p>
                    <a href={href('/migrations', { phase: 'queued' })}>All that wait</a>
                  </p>
                )}
              </>
            )
          }
        </Loaded>
      </section>
      <section aria-labelledby="failed">
        <h2 id="failed">Failed in the last 24 hours</h2>
        <Loaded of={failed}>
          {(items) =>
            items.length === 0 ? (
              <p class="muted">Nothing failed.</p>
            ) : (
              <MigrationTable migrations={items} caption="Migrations that failed lately" course="Why" />
            )
          }
        </Loaded>
        <p>
          <a href={href('/migrations', { phase: 'failed' })}>All that failed</a>
        </p>
      </section>
      <SiteMap />
    </>
  );
}

async function listFailures(options: { signal: AbortSignal }) {
  const { items } = await client().listMigrations({ phase: 'failed', limit: LOOKED_THROUGH }, options);
  return items
    .filter(({ endedAt }) => endedAt !== null && Date.parse(endedAt) >= nowMs() - DAY_MS)
    .sort((a, b) => Date.parse(b.endedAt ?? '') - Date.parse(a.endedAt ?? ''));
}

/** The queue in one line. */
function State() {
  const queue = useResource((options) => client().getQueue(options), [], { withNotices: true });
  return (
    <Loaded of={queue}>
      {({ pausedAt, waiting, running, limits }) => (
        <div class="tiles">
          <a class="tile" href={href('/migrations')}>
            <b>{running}</b> running{limits.maxMigrations === null ? '' : ` of at most ${limits.maxMigrations}`}
          </a>
          <a class="tile" href={href('/queue')}>
            <b>{waiting}</b> waiting
          </a>
          {pausedAt === null ? null : (
            <a class="tile warning" href={href('/queue')}>
              <b>Paused</b> nothing new is started
            </a>
          )}
        </div>
      )}
    </Loaded>
  );
}
