/**
 * Who is logged in: the client with its login, and what the orchestrator says of the caller. The login is kept in the
 * tab's own storage, or on this device if that was asked for, and is thrown away as soon as it is refused. Whoever was logged in
 * by then stays in front of what was being done, which goes on when they have logged in again.
 */
import { type Caller, createLmasClient, type LmasClient, type Role } from '@lmas/client';
import { batch, computed, signal } from '@preact/signals';
import { setClock } from '../live/clock.ts';
import { finishOidcLogin } from './oidc.ts';
import { orchestratorUrl } from './orchestrator-url.ts';

const STORAGE_KEY = 'lmas.login';

export interface Session {
  readonly client: LmasClient;
  readonly caller: Caller;
}

/** undefined while it is not known yet, null when nobody is logged in. */
export const session = signal<Session | null | undefined>(undefined);
/** Whether the orchestrator takes the login of this session no more: nothing can be asked until somebody logs in again. */
export const isRefused = signal(false);
/** Why the last session ended, or is refused, for the login page. */
export const farewell = signal<string | null>(null);

function clientWith(login: string): LmasClient {
  // What an earlier login is refused says nothing of this one.
  const isCurrent = () => session.value?.client === client;
  const watched: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    setClock(response.headers);
    if (response.status === 401 && isCurrent()) refuse();
    return response;
  };
  const client = createLmasClient({ baseUrl: orchestratorUrl, apiKey: login, fetch: watched });
  return client;
}

function refuse(): void {
  forget();
  farewell.value = 'Your login is no longer accepted. Log in again.';
  isRefused.value = true;
}

/** @param login an API key, or a token of the identity provider. @throws LmasApiError, LmasConnectionError */
export async function logIn(login: string, { remember }: { remember: boolean }): Promise<void> {
  const client = clientWith(login);
  const caller = await client.getCaller();
  (remember ? localStorage : sessionStorage).setItem(STORAGE_KEY, login);
  begin({ client, caller });
}

function begin(next: Session): void {
  batch(() => {
    farewell.value = null;
    isRefused.value = false;
    session.value = next;
  });
}

/**
 * Takes up the login that the identity provider has just sent back, or the one of before if it still holds. Never throws:
 * what went wrong is `farewell`.
 */
export async function resumeSession(): Promise<void> {
  try {
    const token = await finishOidcLogin();
    if (token !== null) return await logIn(token, { remember: false });
    const login = sessionStorage.getItem(STORAGE_KEY) ?? localStorage.getItem(STORAGE_KEY);
    if (login === null) {
      session.value = null;
      return;
    }
    const client = clientWith(login);
    begin({ client, caller: await client.getCaller() });
  } catch (error) {
    if (isRefusal(error)) forget();
    farewell.value = error instanceof Error ? error.message : String(error);
    session.value = null;
  }
}

export function logOut(reason: string | null = null): void {
  forget();
  batch(() => {
    farewell.value = reason;
    isRefused.value = false;
    session.value = null;
  });
}

function forget(): void {
  sessionStorage.removeItem(STORAGE_KEY);
  localStorage.removeItem(STORAGE_KEY);
}

const isRefusal = (error: unknown): boolean =>
  typeof error === 'object' && error !== null && 'status' in error && (error.status === 401 || error.status === 403);

const RANK: Readonly<Record<Role, number>> = { viewer: 0, operator: 1, admin: 2 };
const rank = computed(() => (session.value ? RANK[session.value.caller.role] : -1));
const wholeInstallation = computed(() => session.value?.caller.project === null);

/** Whether the caller has at least this role. The orchestrator decides; this only spares people what would be refused. */
export const may = (role: Role): boolean => rank.value >= RANK[role];
/** The same, for what all projects share. */
export const mayForAll = (role: Role): boolean => may(role) && wholeInstallation.value;

/** The client of whoever is logged in. Only below the login page. */
export function client(): LmasClient {
  if (!session.value) throw new Error('nobody is logged in');
  return session.value.client;
}
