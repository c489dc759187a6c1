/** What only a person can do now, and their word that it is done. */
import { asksForHand, hasEnded, type Migration } from '@lmas/client';
import { useState } from 'preact/hooks';
import { Confirmation } from '../../parts/dialog.tsx';
import { TextField } from '../../parts/form-fields.tsx';
import { Time } from '../../parts/time.tsx';
import { useAction } from '../../parts/use-action.ts';
import { Words } from '../../parts/words.tsx';
import { client, may } from '../../session/session.ts';

export function ByHand({ migration }: { migration: Migration }) {
  const { byHand, doneByHand } = migration;
  if (byHand === null) return null;
  const isAsked = asksForHand(migration);
  return (
    <div class={isAsked ? 'problem' : 'note'} role={isAsked ? 'alert' : 'status'}>
      <strong>{isAsked ? 'A person is needed' : 'A person was needed'}</strong>
      <p class="by-hand">
        <Words of={byHand} />
      </p>
      {doneByHand === null ? null : (
        <p>
          Done, said {doneByHand.by}, <Time at={doneByHand.at} />: {doneByHand.note}
        </p>
      )}
      {isAsked && hasEnded(migration) && may('operator') ? <Done migration={migration} /> : null}
    </div>
  );
}

function Done({ migration: { id, vm } }: { migration: Migration }) {
  const [isAsked, ask] = useState(false);
  const [note, setNote] = useState('');
  const action = useAction(async () => await client().markDoneByHand(id, { note: note.trim() }));
  return (
    <div class="actions">
      <button type="button" onClick={() => ask(true)}>
        This is done …
      </button>
      {isAsked ? (
        <Confirmation
          title={`${vm.name} is looked after?`}
          verb="It is done"
          action={action}
          onClose={() => ask(false)}
        >
          <p>
            Nothing is started or stopped by it, and from then on nothing is resumed or tidied there by itself. Who said
            so, when and what was done is kept.
          </p>
          <TextField
            label="What was found and done"
            placeholder="it runs at host-b; the paused copy at host-a was removed"
            value={note}
            onChange={setNote}
          />
        </Confirmation>
      ) : null}
    </div>
  );
}
