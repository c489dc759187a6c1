/** What became of the moves of a policy, newest first. */
import type { BalancingMove } from '@lmas/client';
import { href } from '../../navigation.ts';
import { Badge } from '../../parts/badge.tsx';
import { Table } from '../../parts/table.tsx';
import { Time } from '../../parts/time.tsx';
import { Words } from '../../parts/words.tsx';
import { MOVE_TONES } from './policy-words.tsx';

export function Moves({ moves }: { moves: readonly BalancingMove[] }) {
  return (
    <Table
      caption="Moves, newest first"
      rows={moves}
      keyOf={({ id }) => id}
      columns={[
        {
          title: 'VM',
          cell: ({ vm, migration }) =>
            migration === null ? vm.name : <a href={href(`/migrations/${migration}`)}>{vm.name}</a>,
          sortBy: ({ vm }) => vm.name,
        },
        { title: 'From', cell: ({ source }) => source, sortBy: ({ source }) => source },
        { title: 'To', cell: ({ destination }) => destination, sortBy: ({ destination }) => destination },
        {
          title: 'State',
          cell: ({ state, answeredBy }) => (
            <>
              <Badge tone={MOVE_TONES[state]}>{state}</Badge>
              {answeredBy === null ? null : <p class="hint">answered by {answeredBy}</p>}
            </>
          ),
          sortBy: ({ state }) => state,
        },
        { title: 'Why, and what came of it', cell: ({ text, outcome }) => <Words of={outcome ?? text} /> },
        { title: 'Decided', cell: ({ createdAt }) => <Time at={createdAt} />, sortBy: ({ createdAt }) => createdAt },
      ]}
    />
  );
}
