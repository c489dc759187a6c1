/**
 * Login through the identity provider that the orchestrator trusts: authorization code with PKCE (RFC 7636), the page being a
 * public client. The token that comes of it is sent as an API key would be; the orchestrator verifies it at every call.
 */
import * as oauth from 'oauth4webapi';
import { fragment, standAt } from '../navigation.ts';
import { orchestratorUrl } from './orchestrator-url.ts';

export interface OidcOffer {
  readonly issuer: string;
  readonly clientId: string;
  readonly scope: string;
}

const PENDING_KEY = 'lmas.oidc';

interface Pending extends OidcOffer {
  readonly verifier: string;
  readonly state: string;
  /** Where in the page somebody wanted to be. */
  readonly fragment: string;
}

/** What the orchestrator says about logging in; null when it trusts no provider, or the page is not registered there. */
export async function readOidcOffer(): Promise<OidcOffer | null> {
  const response = await fetch(`${orchestratorUrl}/ui/login.json`, { headers: { accept: 'application/json' } });
  if (!response.ok) return null;
  const { oidc } = (await response.json()) as { oidc: OidcOffer | null };
  return oidc;
}

/** Where the provider sends people back to: this page, without its query and fragment. */
const redirectUri = (): string => `${window.location.origin}${window.location.pathname}`;

/** Issuers on this very machine may do without TLS, as at the orchestrator. */
const insecure = (issuer: string) => ({ [oauth.allowInsecureRequests]: new URL(issuer).protocol === 'http:' });

async function discover(issuer: string): Promise<oauth.AuthorizationServer> {
  const url = new URL(issuer);
  return await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, insecure(issuer)));
}

/** Leaves the page. */
export async function beginOidcLogin(offer: OidcOffer): Promise<void> {
  const server = await discover(offer.issuer);
  if (server.authorization_endpoint === undefined) throw new Error(`${offer.issuer} offers no login for web pages.`);
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const target = new URL(server.authorization_endpoint);
  const parameters = {
    client_id: offer.clientId,
    redirect_uri: redirectUri(),
    response_type: 'code',
    scope: offer.scope,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
  };
  for (const [name, value] of Object.entries(parameters)) target.searchParams.set(name, value);
  const pending: Pending = { ...offer, verifier, state, fragment: fragment() };
  sessionStorage.setItem(PENDING_KEY, JSON.stringify(pending));
  window.location.assign(target);
}

/** The token of a login that the provider has just sent back; null when there was none. @throws what went wrong with it */
export async function finishOidcLogin(): Promise<string | null> {
  const pending = sessionStorage.getItem(PENDING_KEY);
  const current = new URL(window.location.href);
  if (pending === null || !(current.searchParams.has('code') || current.searchParams.has('error'))) return null;
  sessionStorage.removeItem(PENDING_KEY);
  const { issuer, clientId, verifier, state, fragment } = JSON.parse(pending) as Pending;
  // The code must not stay in the address, nor be sent again by a reload.
  standAt(redirectUri(), fragment);
  const server = await discover(issuer);
  const own: oauth.Client = { client_id: clientId };
  const parameters = oauth.validateAuthResponse(server, own, current, state);
  const response = await oauth.authorizationCodeGrantRequest(
    server,
    own,
    oauth.None(),
    parameters,
    redirectUri(),
    verifier,
    insecure(issuer),
  );
  return (await oauth.processAuthorizationCodeResponse(server, own, response)).access_token;
}
