/** A button that takes something away, once it was asked whether that is meant. */
import { useState } from 'preact/hooks';
import { Confirmation } from './dialog.tsx';
import { useAction } from './use-action.ts';

interface RemovalProps {
  readonly name: string;
  /** What goes with it, and what stays. */
  readonly words: string;
  readonly remove: () => Promise<unknown>;
  readonly onRemoved?: () => void;
}

export function Removal({ name, words, remove, onRemoved }: RemovalProps) {
  const [isAsked, ask] = useState(false);
  const action = useAction(async () => {
    await remove();
    onRemoved?.();
  });
  return (
    <>
      <button type="button" class="danger" onClick={() => ask(true)}>
        Remove<span class="unseen"> {name}</span> …
      </button>
      {isAsked ? (
        <Confirmation title={`Remove ${name}?`} verb="Remove" dangerous action={action} onClose={() => ask(false)}>
          <p>{words}</p>
        </Confirmation>
      ) : null}
    </>
  );
}
