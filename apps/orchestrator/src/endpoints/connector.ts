/**
 * Opens control connections to endpoints: settings, secret and plugin are brought together here and nowhere else.
 * The caller owns, and closes, the session it gets.
 */
import { createHash } from 'node:crypto';
import {
  type Credential,
  type EndpointSession,
  type HypervisorPlugin,
  PluginError,
  pluginErrorCode,
  type RunIdentity,
} from '@lmas/plugin-api';
import { describeError, isSuperseded } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import type { CredentialStore, Endpoint, EndpointStore } from '../sites/sites.ts';
import { inSpan, SpanKind } from '../tracing/spans.ts';
import type { LoginGuard, Verdict } from './login-guard.ts';

export interface Connected {
  readonly plugin: HypervisorPlugin;
  readonly session: EndpointSession;
}

/** What it takes to log in to an endpoint, as it is registered now. Holds the secret: it is read for a login and dropped. */
export interface Registration {
  readonly endpoint: Pick<Endpoint, 'id' | 'config'>;
  readonly plugin: HypervisorPlugin;
  readonly credential: Credential;
  /** Another one once anything of it has changed. */
  readonly digest: string;
}

/** @throws LmasError ENDPOINT_NOT_FOUND */
export type ReadRegistration = (endpointId: string) => Promise<Registration>;

export interface LoginOptions {
  readonly signal: AbortSignal;
  /**
   * A person wants this login tried now, also where it was refused a while ago (LoginGuard). Whatever is asked again by
   * itself, such as by a page that is open, is not.
   */
  readonly attended?: boolean;
  /** The run that will act over the session; what earlier ones have open there is gone afterwards. */
  readonly run?: RunIdentity;
  /** Where the plugin's lines about this session go. */
  readonly log?: Logger;
}

/** @throws PluginError UNREACHABLE, LOGIN_REFUSED, … that names the endpoint */
export type LogIn = (registration: Registration, options: LoginOptions) => Promise<Connected>;

/** For runs: each has sessions of its own. */
export interface RunConnector {
  /** @throws as `ReadRegistration` and `LogIn` do */
  connect(endpointId: string, options: { signal: AbortSignal; run: RunIdentity; log: Logger }): Promise<Connected>;
  /** What stands for an endpoint that could not be connected to; `undefined` when its plugin has nothing for that. */
  unreachable(endpointId: string, reason: Error): Promise<Connected | undefined>;
}

export function registrationReader(
  endpoints: Pick<EndpointStore, 'get'>,
  credentials: Pick<CredentialStore, 'reveal'>,
  plugins: Pick<PluginRegistry, 'get'>,
): ReadRegistration {
  return async (endpointId) => {
    const endpoint = await endpoints.get(endpointId);
    const plugin = plugins.get(endpoint.plugin);
    const credential = await credentials.reveal(endpoint.credential);
    const everything = JSON.stringify([plugin.name, endpoint.config, credential]);
    return { endpoint, plugin, credential, digest: createHash('sha256').update(everything).digest('hex') };
  };
}

/** @param guard of all logins of this process, as they are to the same accounts */
export function createLogIn({ log: ownLog, guard }: { log: Logger; guard: LoginGuard }): LogIn {
  return async ({ endpoint, plugin, credential }, { signal, attended = false, run, log = ownLog }) => {
    const context = { log: log.child({ endpoint: endpoint.id }), credential, run, endpoint: endpoint.id };
    const target = plugin.loginTarget?.(endpoint.config);
    const account =
      target === undefined
        ? { door: endpoint.id, presented: [endpoint.config, credential] }
        : { door: `${plugin.name} ${target}`, presented: credential };
    const attempt = { ...account, way: endpoint.id, attended, signal };
    const attributes = { 'lmas.plugin': plugin.name, 'lmas.endpoint': endpoint.id };
    const login = () =>
      inSpan('plugin connect', { kind: SpanKind.CLIENT, attributes }, () =>
        plugin.connect(endpoint.config, context, { signal }),
      );
    try {
      return { plugin, session: await guard.pass(attempt, login) };
    } catch (error) {
      const again = isLoginRefused(error) ? { remedy: whenAgain(error, guard.retryAt(attempt)) } : {};
      throw restated(error, { words: (message) => `${endpoint.id}: ${message}`, ...again });
    }
  };
}

export function createConnector(
  endpoints: Pick<EndpointStore, 'get'>,
  plugins: Pick<PluginRegistry, 'get'>,
  { readRegistration, logIn }: { readRegistration: ReadRegistration; logIn: LogIn },
): RunConnector {
  return {
    connect: async (endpointId, options) => await logIn(await readRegistration(endpointId), options),
    async unreachable(endpointId, reason) {
      const endpoint = await endpoints.get(endpointId);
      const plugin = plugins.get(endpoint.plugin);
      const session = plugin.unreachable?.(endpoint.config, reason);
      return session === undefined ? undefined : { plugin, session };
    },
  };
}

const isLoginRefused = (error: unknown): boolean => pluginErrorCode(error) === 'LOGIN_REFUSED';

/** Of the endpoint, whoever asks it. A TIMEOUT may be the caller's own, and SUPERSEDED is of one run. */
const NOBODY_GETS_IN: ReadonlySet<unknown> = new Set(['UNREACHABLE', 'HOST_KEY_MISMATCH']);

/** For the guard of the logins to endpoints. */
export function verdictOfPlugin(error: unknown): Verdict {
  if (isLoginRefused(error)) return 'refused';
  return NOBODY_GETS_IN.has(pluginErrorCode(error)) ? 'unreachable' : 'none';
}

/** What to do about a refused login, other than to try it again. */
function whenAgain(error: unknown, retryAt: Date | undefined): string {
  const mend = describeError(error).remedy ?? 'Correct the credential of the endpoint.';
  if (retryAt === undefined) return mend;
  const until = `${retryAt.toISOString().slice(0, 19)}Z`;
  return `${mend} So that no account gets locked, this login is not tried again by itself before ${until}; another credential is tried at once, and so is this one by a test of the endpoint.`;
}

/** A plugin's error in other words; any other as it is. */
function restated(
  error: unknown,
  { words, ...other }: { words: (message: string) => string; remedy?: string },
): unknown {
  const code = pluginErrorCode(error);
  if (code === undefined) return error;
  const { message, retryable, native, ...facts } = describeError(error);
  const remedy = other.remedy ?? facts.remedy;
  return new PluginError(code, words(message), {
    cause: error,
    retryable,
    ...(remedy && { remedy }),
    ...(native && { native }),
  });
}

/** Why one end or both could not be connected to, as one error: its code is that of the one that lasts, and it names both. */
export function failureOfEnds(reasons: readonly unknown[]): unknown {
  const worst = reasons.find(isSuperseded) ?? reasons.find((reason) => !describeError(reason).retryable) ?? reasons[0];
  if (reasons.some((reason) => pluginErrorCode(reason) === undefined)) return worst;
  return restated(worst, { words: () => reasons.map((reason) => describeError(reason).message).join(' ') });
}
