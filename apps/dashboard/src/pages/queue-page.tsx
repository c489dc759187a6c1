/** What waits, in its order and with the reason; the pause, and the limits of the whole installation. */
import { type Migration, type Queue, versionOf } from '@lmas/client';
import { formatByteRate } from '@lmas/format';
import { useState } from 'preact/hooks';
import { useResource } from '../live/resource.ts';
import { href } from '../navigation.ts';
import { Fields } from '../parts/fields.tsx';
import { BandwidthField, CountField } from '../parts/limit-fields.tsx';
import { Loaded } from '../parts/loaded.tsx';
import { PageHeading } from '../parts/page-heading.tsx';
import { isChangedMeanwhile, Problem } from '../parts/problem.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { useAction } from '../parts/use-action.ts';
import { client, mayForAll } from '../session/session.ts';
import { TimetableSection } from './links/timetable-section.tsx';

export function QueuePage() {
  const queue = useResource((options) => client().getQueue(options), [], { withNotices: true });
  const order = useResource((options) => client().listQueuedMigrations({ limit: 200 }, options), [], {
    withNotices: true,
  });
  return (
    <>
      <PageHeading title="Queue" />
      <Loaded of={queue}>{(data) => <Controls queue={data} onChanged={queue.reload} />}</Loaded>
      {mayForAll('viewer') ? (
        <TimetableSection link={null} changePath="/queue/timetable" mayChange={mayForAll('operator')} />
      ) : null}
      <h2>In this order</h2>
      <Loaded of={order}>
        {({ items, nextCursor }) =>
          items.length === 0 ? (
            <p class="muted">Nothing waits.</p>
          ) : (
            <>
              <Waiting migrations={items} />
              {nextCursor === null ? null : <p class="muted">More wait behind these.</p>}
            </>
          )
        }
      </Loaded>
    </>
  );
}

function Waiting({ migrations }: { migrations: readonly Migration[] }) {
  const places = new Map(migrations.map(({ id }, i) => [id, i + 1]));
  return (
    <Table
      caption="Migrations that wait, the next one first"
      rows={migrations}
      keyOf={({ id }) => id}
      columns={[
        { title: 'Place', cell: ({ id }) => places.get(id), sortBy: ({ id }) => places.get(id) ?? null },
        {
          title: 'VM',
          cell: ({ id, vm }) => (
            <a class="cut" href={href(`/migrations/${id}`)} title={vm.name}>
              {vm.name}
            </a>
          ),
          sortBy: ({ vm }) => vm.name,
        },
        { title: 'From', cell: ({ source }) => source.endpoint, sortBy: ({ source }) => source.endpoint },
        { title: 'To', cell: ({ destination }) => destination.endpoint, sortBy: (one) => one.destination.endpoint },
        {
          title: 'Priority',
          cell: ({ request }) => request.priority,
          sortBy: ({ request }) => request.priority,
          isNumber: true,
        },
        { title: 'Why', cell: ({ waiting }) => <span class="muted">{waiting?.reason ?? ''}</span> },
        { title: 'Since', cell: ({ createdAt }) => <Time at={createdAt} />, sortBy: ({ createdAt }) => createdAt },
      ]}
    />
  );
}

function Controls({ queue, onChanged }: { queue: Queue; onChanged: () => void }) {
  const { pausedAt, waiting, running } = queue;
  const pause = useAction(async () => {
    await client().updateQueue({ paused: pausedAt === null });
    onChanged();
  });
  return (
    <div class="card">
      <p>
        {running} running, {waiting} waiting.{' '}
        {pausedAt === null ? (
          'It takes new ones as their turn comes.'
        ) : (
          <strong>
            Paused since <Time at={pausedAt} />: nothing new is started; what runs goes on.
          </strong>
        )}
      </p>
      <Problem error={pause.error} />
      {mayForAll('operator') ? (
        <button type="button" disabled={pause.busy} onClick={() => void pause.run()}>
          {pausedAt === null ? 'Pause the queue' : 'Resume'}
        </button>
      ) : null}
      {mayForAll('operator') ? <LimitsForm queue={queue} onChanged={onChanged} /> : <Limits of={queue.limits} />}
    </div>
  );
}

function Limits({ of: { maxMigrations, bandwidthBytesPerSec: bandwidth } }: { of: Queue['limits'] }) {
  return (
    <Fields
      of={[
        ['Concurrent migrations, at most', maxMigrations ?? 'unlimited'],
        ['All together at most', bandwidth === null ? 'unlimited' : formatByteRate(bandwidth)],
      ]}
    />
  );
}

/** What is being typed belongs to the limits as they were when it was begun: what somebody else has set meanwhile is not overwritten unseen. */
function LimitsForm({ queue, onChanged }: { queue: Queue; onChanged: () => void }) {
  const [begun, setBegun] = useState<Queue | null>(null);
  const [typed, setTyped] = useState<Partial<Queue['limits']>>({});
  const base = begun ?? queue;
  const limits = { ...base.limits, ...typed };
  const type = (part: Partial<Queue['limits']>) => {
    setBegun(base);
    setTyped({ ...typed, ...part });
  };
  const discard = () => {
    setBegun(null);
    setTyped({});
    save.clear();
  };
  const save = useAction(async () => {
    try {
      await client().updateQueue({ limits }, { ifMatch: versionOf(base) ?? '*' });
      discard();
    } finally {
      onChanged();
    }
  });
  const submit = (event: Event) => {
    event.preventDefault();
    void save.run();
  };
  return (
    <form class="row" onSubmit={submit}>
      <CountField
        label="Concurrent migrations, at most"
        value={limits.maxMigrations}
        onChange={(maxMigrations) => type({ maxMigrations })}
      />
      <BandwidthField
        label="All together at most"
        value={limits.bandwidthBytesPerSec}
        onChange={(bandwidthBytesPerSec) => type({ bandwidthBytesPerSec })}
      />
      <button type="submit" disabled={save.busy}>
        Set
      </button>
      {versionOf(base) === versionOf(queue) || isChangedMeanwhile(save.error) ? null : (
        <button type="button" onClick={discard}>
          Show what is set now
        </button>
      )}
      <Problem error={save.error} onShowNow={discard} />
    </form>
  );
}
