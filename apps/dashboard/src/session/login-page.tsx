/**
 * Asks for an API key, or sends to the identity provider; says plainly why a login was refused. As a page of its own, and in front of
 * a page whose login is accepted no more.
 */
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { Problem } from '../parts/problem.tsx';
import { useAction } from '../parts/use-action.ts';
import { beginOidcLogin, type OidcOffer, readOidcOffer } from './oidc.ts';
import { farewell, logIn, logOut } from './session.ts';

export function LoginPage() {
  return (
    <main class="login">
      <h1>LMAS</h1>
      <p class="muted">Live migration over long distances</p>
      <Farewell />
      <LoginForm />
    </main>
  );
}

/** What is behind it cannot be read, nor pressed, but stays as it is. */
export function LoginAgain() {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  const open = () => dialog.current?.showModal();
  useEffect(open, []);
  // Escape leads nowhere: without a login there is nothing to go back to.
  return (
    <dialog
      ref={dialog}
      class="login-again"
      aria-labelledby={heading}
      onCancel={(e) => e.preventDefault()}
      onClose={open}
    >
      <h2 id={heading}>Log in again</h2>
      <Farewell />
      <p class="hint">What you were doing is still here, if you log in with an API key.</p>
      <LoginForm />
      <button type="button" class="quiet" onClick={() => logOut()}>
        Leave it, and log out
      </button>
    </dialog>
  );
}

function Farewell() {
  if (farewell.value === null) return null;
  return (
    <p class="note" role="status">
      {farewell.value}
    </p>
  );
}

function LoginForm() {
  const [key, setKey] = useState('');
  const [remember, setRemember] = useState(false);
  const [offer, setOffer] = useState<OidcOffer | null>(null);
  const login = useAction(async () => await logIn(key.trim(), { remember }));
  const redirect = useAction(async () => {
    if (offer !== null) await beginOidcLogin(offer);
  });
  useEffect(() => {
    // Without an answer there is the key; why there was none is said when the key is tried.
    readOidcOffer().then(setOffer, () => undefined);
  }, []);
  const submit = (event: Event) => {
    event.preventDefault();
    void login.run();
  };
  return (
    <form class="card" onSubmit={submit}>
      <label>
        API key
        <input
          type="password"
          autocomplete="current-password"
          required
          value={key}
          placeholder="lmas_…"
          onInput={({ currentTarget }) => setKey(currentTarget.value)}
        />
      </label>
      <p class="hint">
        The first one is in the file <code>api-key</code> in the orchestrator’s data directory. An admin makes others
        with <code>lmas api-key create</code>.
      </p>
      <label class="check">
        <input
          type="checkbox"
          checked={remember}
          onChange={({ currentTarget }) => setRemember(currentTarget.checked)}
        />
        Stay logged in on this device
      </label>
      <Problem error={login.error ?? redirect.error} />
      <button type="submit" class="primary" disabled={login.busy}>
        Log in
      </button>
      {offer === null ? null : <AtProvider issuer={offer.issuer} action={redirect} />}
    </form>
  );
}

/** Outside of a secure context the browser has no `crypto.subtle`, and without that there is no PKCE. */
function AtProvider({ issuer, action }: { issuer: string; action: { busy: boolean; run: () => Promise<unknown> } }) {
  const { host } = new URL(issuer);
  if (!window.isSecureContext) {
    return (
      <p class="hint">
        The login at {host} needs https://: over plain HTTP from another machine the browser has no cryptography for it.
        An API key works.
      </p>
    );
  }
  return (
    <button type="button" disabled={action.busy} onClick={() => void action.run()}>
      Log in with {host}
    </button>
  );
}
