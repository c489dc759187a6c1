/** The hosts of a policy as the newest pass found them, and as they will be once its moves are done. */
import type { BalancingMove, BalancingPass, BalancingPolicy } from '@lmas/client';
import { href } from '../../navigation.ts';
import { Badge } from '../../parts/badge.tsx';
import { type Column, Table } from '../../parts/table.tsx';
import { usesAfter } from './after-moves.ts';
import { LoadBar } from './load-bar.tsx';
import { RESOURCES } from './policy-words.tsx';

type Host = BalancingPass['hosts'][number];

interface HostLoadsProps {
  readonly policy: BalancingPolicy;
  readonly pass: BalancingPass;
  /** Those that came of this pass and are not done, in its order. */
  readonly open: readonly BalancingMove[];
}

export function HostLoads({ policy, pass, open }: HostLoadsProps) {
  const after = usesAfter(open);
  const counting = RESOURCES.filter(([resource]) => policy[resource].weight > 0);
  const columns: readonly Column<Host>[] = [
    {
      title: 'Host',
      cell: ({ endpoint }) => <a href={href(`/endpoints/${endpoint}`)}>{endpoint}</a>,
      sortBy: ({ endpoint }) => endpoint,
    },
    { title: 'VMs', cell: ({ vms }) => vms, sortBy: ({ vms }) => vms, isNumber: true },
    ...counting.map(
      ([resource, name]): Column<Host> => ({
        title: name,
        cell: ({ endpoint, uses }) => (
          <LoadBar
            name={name}
            now={uses[resource]}
            after={after.get(endpoint)?.[resource]}
            low={policy[resource].low}
            high={policy[resource].high}
          />
        ),
        sortBy: ({ uses }) => uses[resource],
      }),
    ),
    {
      title: 'State',
      cell: ({ tooBusy }) => (tooBusy ? <Badge tone="bad">too busy</Badge> : <Badge tone="good">well</Badge>),
      sortBy: ({ tooBusy }) => Number(tooBusy),
    },
  ];
  return (
    <>
      <Table caption="Load of each host" rows={pass.hosts} keyOf={({ endpoint }) => endpoint} columns={columns} />
      <p class="hint">
        Filled: now. {after.size === 0 ? '' : 'Outlined: after the moves that this pass decided. '}The lines are the
        thresholds: too busy above the right one, until it is below the left one again.
      </p>
    </>
  );
}
