/** What keeps hosts from being too busy: each policy, what it may do, and what waits for an answer. */
import type { BalancingMove, BalancingPolicy } from '@lmas/client';
import { plural } from '@lmas/format';
import { useResource } from '../../live/resource.ts';
import { href } from '../../navigation.ts';
import { Badge } from '../../parts/badge.tsx';
import { Empty } from '../../parts/empty.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { Table } from '../../parts/table.tsx';
import { client, mayForAll } from '../../session/session.ts';
import { MODES, PolicyState } from './policy-words.tsx';

interface Listed {
  readonly policy: BalancingPolicy;
  readonly proposals: readonly BalancingMove[];
}

export function BalancingPage() {
  const policies = useResource(listPolicies, [], { everyMs: 10_000, withNotices: true });
  return (
    <>
      <PageHeading title="Balancing">
        {mayForAll('admin') ? (
          <span class="aside">
            <a class="button primary" href={href('/new/policy')}>
              Add a policy
            </a>
          </span>
        ) : null}
      </PageHeading>
      <Loaded of={policies}>
        {(items) =>
          items.length === 0 ? (
            <Empty>
              <p>
                No policy yet. A policy looks at some hosts every few minutes and moves VMs away from those that are too
                busy: it only says what it would do, proposes it, or does it.
              </p>
            </Empty>
          ) : (
            <Policies items={items} />
          )
        }
      </Loaded>
    </>
  );
}

async function listPolicies(options: { signal: AbortSignal }): Promise<Listed[]> {
  const policies = await client().listBalancingPolicies(options);
  return await Promise.all(
    policies.map(async (policy) => ({
      policy,
      proposals: await client().listBalancingMoves(policy.id, { state: 'proposed' }, options),
    })),
  );
}

function Policies({ items }: { items: readonly Listed[] }) {
  return (
    <Table
      caption="Policies"
      rows={items}
      keyOf={({ policy }) => policy.id}
      columns={[
        {
          title: 'Policy',
          cell: ({ policy: { id, description } }) => (
            <>
              <a href={href(`/balancing/${id}`)}>{id}</a>
              {description === '' ? null : <p class="hint">{description}</p>}
            </>
          ),
          sortBy: ({ policy }) => policy.id,
        },
        { title: 'Mode', cell: ({ policy: { mode } }) => <span title={MODES[mode]}>{mode}</span> },
        { title: 'Hosts', cell: ({ policy: { endpoints } }) => endpoints.join(', ') },
        { title: 'State', cell: ({ policy }) => <PolicyState policy={policy} /> },
        {
          title: 'Waits for an answer',
          cell: ({ proposals }) =>
            proposals.length === 0 ? (
              <span class="muted">nothing</span>
            ) : (
              <Badge tone="busy">{plural(proposals.length, 'proposal')}</Badge>
            ),
          sortBy: ({ proposals }) => proposals.length,
        },
      ]}
    />
  );
}
