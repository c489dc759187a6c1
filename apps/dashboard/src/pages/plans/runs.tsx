/** Runs of plans in a table, newest first. */
import type { PlanRunList } from '@lmas/client';
import { formatDuration, withLocalTimes } from '@lmas/format';
import { href } from '../../navigation.ts';
import { Badge } from '../../parts/badge.tsx';
import { Table } from '../../parts/table.tsx';
import { Time } from '../../parts/time.tsx';
import { RunPhase } from './run-phase.tsx';

/** A fail-back is found under the plan whose VMs it takes back. */
const nameOf = ({ plan, reverseOfPlan = null, mode }: PlanRunList['items'][number]): string =>
  plan ?? reverseOfPlan ?? mode;

export function Runs({ runs }: { runs: PlanRunList['items'] }) {
  return (
    <Table
      caption="Runs, newest first"
      rows={runs}
      keyOf={({ id }) => id}
      columns={[
        {
          title: 'Run',
          cell: (run) => <a href={href(`/plan-runs/${run.id}`)}>{nameOf(run)}</a>,
          sortBy: nameOf,
        },
        { title: 'Mode', cell: ({ mode }) => mode, sortBy: ({ mode }) => mode },
        {
          title: 'Phase',
          cell: (run) => (
            <div>
              <RunPhase run={run} /> {run.pausedAt === null ? null : <Badge tone="warning">paused</Badge>}
              <p class="hint">{withLocalTimes(run.message)}</p>
            </div>
          ),
          sortBy: ({ phase }) => phase,
        },
        {
          title: 'VMs',
          cell: ({ vms }) =>
            Object.entries(vms)
              .map(([state, count]) => `${count} ${state}`)
              .join(', '),
        },
        { title: 'Begun', cell: ({ createdAt }) => <Time at={createdAt} />, sortBy: ({ createdAt }) => createdAt },
        {
          title: 'Took',
          cell: ({ createdAt, endedAt }) =>
            endedAt === null ? '' : formatDuration(Date.parse(endedAt) - Date.parse(createdAt)),
          sortBy: ({ createdAt, endedAt }) => (endedAt === null ? null : Date.parse(endedAt) - Date.parse(createdAt)),
          isNumber: true,
        },
      ]}
    />
  );
}
