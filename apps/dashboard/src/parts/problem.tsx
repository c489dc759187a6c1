/** What went wrong, in the orchestrator's own words: its title, its reason, every field, and its code to look up. */
import { inSentences, LmasApiError, LmasConnectionError } from '@lmas/client';
import { beginAnew } from '../navigation.ts';
import { Words } from './words.tsx';

interface ProblemProps {
  readonly error: unknown;
  /** What a complaint of the API is called where the request was filled in: in the words of that form. */
  readonly inWords?: (complaint: Complaint) => Complaint;
  /** Whether the page itself asks again where nobody answered (`againInMs`). */
  readonly asksAgain?: boolean;
  /** How what somebody else has changed meanwhile is shown as it is now; default: the page begins anew. */
  readonly onShowNow?: () => void;
}

export interface Complaint {
  readonly path: string;
  readonly message: string;
}

/** Somebody else was quicker: the way on is to look at what it is now, and it is offered with the problem. */
export const isChangedMeanwhile = (error: unknown): error is LmasApiError =>
  error instanceof LmasApiError && error.code === 'PRECONDITION_FAILED';

/** What the API says of it is for programs: people have seen no version, and send none. */
function ChangedMeanwhile({ code, onShowNow }: { code: string; onShowNow: () => void }) {
  return (
    <div class="problem" role="alert">
      <strong>Somebody else has changed it since you opened this page.</strong>
      <p>
        Nothing of yours was stored. To change it as it is now, begin again; what you have filled in here is dropped.
      </p>
      <button type="button" onClick={onShowNow}>
        Show what it is now
      </button>
      <p class="code">{code}</p>
    </div>
  );
}

export function Problem({
  error,
  inWords = (complaint) => complaint,
  asksAgain = false,
  onShowNow = beginAnew,
}: ProblemProps) {
  if (error === undefined || error === null) return null;
  if (isChangedMeanwhile(error)) return <ChangedMeanwhile code={error.code} onShowNow={onShowNow} />;
  if (error instanceof LmasApiError) {
    const { what, more } = inSentences(error);
    return (
      <div class="problem" role="alert">
        <strong>
          <Words of={what} />
        </strong>
        {more === undefined ? null : (
          <p>
            <Words of={more} />
          </p>
        )}
        {error.errors.length === 0 ? null : (
          <ul>
            {error.errors.map(inWords).map(({ path, message }) => (
              <li key={`${path} ${message}`}>
                <code>{path}</code> {message}
              </li>
            ))}
          </ul>
        )}
        <p class="code">{error.code}</p>
      </div>
    );
  }
  return (
    <div class="problem" role="alert">
      <strong>{error instanceof Error ? error.message : String(error)}</strong>
      {error instanceof LmasConnectionError && error.code === 'UNREACHABLE' ? (
        <p>
          Does the orchestrator run, and is this device in its network?
          {asksAgain ? ' It is asked again until it answers.' : ' Try again once it answers.'}
        </p>
      ) : null}
    </div>
  );
}
