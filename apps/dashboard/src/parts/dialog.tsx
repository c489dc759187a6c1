/** A question in front of the page. The browser keeps the focus inside it and closes it on Escape. */
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { type Complaint, Problem } from './problem.tsx';
import type { Action } from './use-action.ts';

interface DialogProps {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

export function Dialog({ title, onClose, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} aria-labelledby={heading} onClose={onClose}>
      <h2 id={heading}>{title}</h2>
      {children}
    </dialog>
  );
}

interface ConfirmationProps extends DialogProps {
  /** What the button says that does it. */
  readonly verb: string;
  readonly action: Action;
  readonly dangerous?: boolean;
  readonly inWords?: (complaint: Complaint) => Complaint;
}

/** Does it only when asked twice; stays open with the reason when it was refused. */
export function Confirmation(props: ConfirmationProps) {
  const { title, verb, action, dangerous = false, inWords, onClose, children } = props;
  const submit = async (event: Event) => {
    event.preventDefault();
    if (await action.run()) onClose();
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={(event) => void submit(event)}>
        {children}
        <Problem error={action.error} {...(inWords === undefined ? {} : { inWords })} />
        <div class="actions">
          <button type="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" class={dangerous ? 'danger' : 'primary'} disabled={action.busy}>
            {verb}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
