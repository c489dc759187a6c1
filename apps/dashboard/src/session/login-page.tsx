/** Asks for an API key, or sends to the identity provider; says plainly why a login was refused. */
import { useEffect, useState } from 'preact/hooks';
import { Problem } from '../parts/problem.tsx';
import { useAction } from '../parts/use-action.ts';
import { beginOidcLogin, type OidcOffer, readOidcOffer } from './oidc.ts';
import { farewell, logIn } from './session.ts';

export function LoginPage() {
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
    <main class="login">
      <h1>LMAS</h1>
      <p class="muted">Live migration over long distances</p>
      {farewell.value === null ? null : (
        <p class="note" role="status">
          {farewell.value}
        </p>
      )}
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
    </main>
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
