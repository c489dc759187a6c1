/** What was made for a migration, or belongs to it, and is still there: why, and what becomes of it. */
import { hasEnded, type Migration } from '@lmas/client';
import { useState } from 'preact/hooks';
import { Confirmation } from '../../parts/dialog.tsx';
import { TextField } from '../../parts/form-fields.tsx';
import { Time } from '../../parts/time.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client, may } from '../../session/session.ts';

export function Leftovers({ migration }: { migration: Migration }) {
  const { leftovers, givenUp, teardown } = migration;
  if (leftovers.length === 0 && givenUp === null && teardown !== 'incomplete') return null;
  return (
    <div class="note" role="status">
      <strong>{HEADINGS[teardown] ?? 'This was left where it is on purpose.'}</strong>
      {givenUp === null ? null : (
        <p>
          {givenUp.by} said so, <Time at={givenUp.at} />: {givenUp.reason}
        </p>
      )}
      <ul>
        {leftovers.map((text) => (
          <li key={text}>{text}</li>
        ))}
      </ul>
      {teardown === 'incomplete' && hasEnded(migration) && may('operator') ? <GiveUp migration={migration} /> : null}
    </div>
  );
}

/** For machines that are gone for good, and for nothing else: what it leaves behind is nobody's any more. */
function GiveUp({ migration: { id, leftovers } }: { migration: Migration }) {
  const [isAsked, ask] = useState(false);
  const [reason, setReason] = useState('');
  const action = useAction(async () => await client().giveUpTeardown(id, { reason: reason.trim() }));
  return (
    <div class="actions">
      <button type="button" class="danger" onClick={() => ask(true)}>
        Give it up …
      </button>
      {isAsked ? (
        <Confirmation
          title="Give up what is left?"
          verb="Give it up"
          dangerous
          action={action}
          onClose={() => ask(false)}
        >
          <p>
            <strong>Only if the machine will never come back.</strong> Everything is tried once more; what nobody
            answers for then stays where it is, for ever, and nobody looks after it: should the machine come back,
            somebody has to take this away by hand.
          </p>
          <ul>
            {leftovers.map((text) => (
              <li key={text}>{text}</li>
            ))}
          </ul>
          <p>The VM, its sites and its endpoints are free again. Who said so, when and why is kept in the record.</p>
          <TextField
            label="Why it can never be taken down"
            placeholder="gateway machine gw-b burnt down"
            value={reason}
            onChange={setReason}
          />
        </Confirmation>
      ) : null}
    </div>
  );
}

const HEADINGS: Partial<Record<Migration['teardown'], string>> = {
  incomplete: 'Not everything could be taken down yet; it is tried again and again.',
  'given-up': 'Not everything could be taken down, and it is tried no more.',
};
