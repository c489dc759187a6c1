/** What a policy would do and may not by itself: each proposal with its reason, to be approved or rejected. */
import type { BalancingMove } from '@lmas/client';
import { formatPeriod } from '@lmas/format';
import { useState } from 'preact/hooks';
import { Confirmation } from '../../parts/dialog.tsx';
import { Fields } from '../../parts/fields.tsx';
import { Time } from '../../parts/time.tsx';
import { useAction } from '../../parts/use-action.ts';
import { Words } from '../../parts/words.tsx';
import { client, mayForAll } from '../../session/session.ts';
import { points } from './policy-words.tsx';

interface ProposalsProps {
  readonly policy: string;
  readonly moves: readonly BalancingMove[];
  readonly onAnswered: () => void;
}

export function Proposals({ policy, moves, onAnswered }: ProposalsProps) {
  const [question, ask] = useState<{ readonly answer: 'approve' | 'reject'; readonly move: BalancingMove } | null>(
    null,
  );
  return (
    <div class="cards">
      {moves.map((move) => (
        <section key={move.id} class="card" aria-label={`Proposal: ${move.vm.name} to ${move.destination}`}>
          <h3>
            {move.vm.name}: {move.source} → {move.destination}
          </h3>
          <p>
            <Words of={move.text} />
          </p>
          <Fields
            of={[
              ['Gain', move.isRepair ? 'keeps a rule' : points(move.gain)],
              ['Cost', points(move.cost)],
              ['Takes about', formatPeriod(move.estimatedMs)],
              ['Waits until', move.expiresAt === null ? null : <Time at={move.expiresAt} />],
            ]}
          />
          {mayForAll('operator') ? (
            <div class="actions">
              <button type="button" class="primary" onClick={() => ask({ answer: 'approve', move })}>
                Approve<span class="unseen"> {move.vm.name}</span> …
              </button>
              <button type="button" onClick={() => ask({ answer: 'reject', move })}>
                Reject<span class="unseen"> {move.vm.name}</span> …
              </button>
            </div>
          ) : null}
        </section>
      ))}
      {question === null ? null : (
        <Answer
          {...{ policy, ...question }}
          onClose={() => {
            ask(null);
            onAnswered();
          }}
        />
      )}
    </div>
  );
}

interface AnswerProps {
  readonly policy: string;
  readonly answer: 'approve' | 'reject';
  readonly move: BalancingMove;
  readonly onClose: () => void;
}

function Answer({ policy, answer, move, onClose }: AnswerProps) {
  const { vm, source, destination } = move;
  const approve = useAction(async () => await client().approveBalancingMove(policy, move.id));
  const reject = useAction(async () => await client().rejectBalancingMove(policy, move.id));
  return answer === 'approve' ? (
    <Confirmation title={`Move ${vm.name} to ${destination}?`} verb="Approve" action={approve} {...{ onClose }}>
      <p>
        Both hosts are looked at once more. If the move is still right, {vm.name} leaves {source} by an ordinary
        migration, running; if not, it is refused and nothing moves.
      </p>
    </Confirmation>
  ) : (
    <Confirmation title={`Leave ${vm.name} at ${source}?`} verb="Reject" action={reject} {...{ onClose }}>
      <p>It is not proposed again while it cools down; the next pass may propose another VM.</p>
    </Confirmation>
  );
}
