/** A form that is a page: its fields, what was wrong with them, and the button that does it. */
import type { ComponentChildren } from 'preact';
import { href } from '../navigation.ts';
import { type Complaint, Problem } from './problem.tsx';
import type { Action } from './use-action.ts';

interface FormPageProps {
  /** What the button says that does it. */
  readonly verb: string;
  readonly action: Action;
  readonly isBlocked?: boolean;
  /** Where one goes without doing it. */
  readonly back: string;
  readonly inWords?: (complaint: Complaint) => Complaint;
  readonly children: ComponentChildren;
}

export function FormPage({ verb, action, isBlocked = false, back, inWords, children }: FormPageProps) {
  return (
    <form
      class="page"
      onSubmit={(event) => {
        event.preventDefault();
        void action.run();
      }}
    >
      {children}
      <Problem error={action.error} {...(inWords === undefined ? {} : { inWords })} />
      <div class="form-actions">
        <button type="submit" class="primary" disabled={action.busy || isBlocked}>
          {verb}
        </button>
        <a class="button quiet" href={href(back)}>
          Back
        </a>
      </div>
    </form>
  );
}
