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
}

export interface Complaint {
  readonly path: string;
  readonly message: string;
}

/** What the API says of it is for programs: people have seen no version, and send none. */
function ChangedMeanwhile({ code }: { code: string }) {
  return (
    <div class="problem" role="alert">
      <strong>Somebody else has changed it since you opened this page.</strong>
      <p>
        Nothing of yours was stored. To change it as it is now, begin again; what you have filled in here is dropped.
      </p>
      <button type="button" onClick={beginAnew}>
        Show what it is now
      </button>
      <p class="code">{code}</p>
    </div>
  );
}

export function Problem({ error, inWords = (complaint) => complaint, asksAgain = false }: ProblemProps) {
  if (error === undefined || error === null) return null;
  if (error instanceof LmasApiError && error.code === 'PRECONDITION_FAILED')
    return <ChangedMeanwhile code={error.code} />;
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
