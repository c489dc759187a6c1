/**
 * Opens control connections to endpoints: settings, secret and plugin are brought together here and nowhere else.
 * The caller owns, and closes, the session it gets.
 */
import {
  type EndpointSession,
  type HypervisorPlugin,
  PluginError,
  pluginErrorCode,
  type RunIdentity,
} from '@lmas/plugin-api';
import { describeError, isSuperseded } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import type { CredentialStore, EndpointStore } from '../sites/sites.ts';
import { inSpan, SpanKind, tracedCalls } from '../tracing/spans.ts';
import type { LoginGuard, Verdict } from './login-guard.ts';

export interface Connected {
  readonly plugin: HypervisorPlugin;
  readonly session: EndpointSession;
}

export interface EndpointConnector {
  /**
   * `log`: where the plugin's lines about this session go.
   * `attended`: a person wants this login tried now, also where it was refused a while ago (LoginGuard). Whatever is asked again by
   * itself, such as by a page that is open, is not.
   * `run`: the run that will act over the session; what earlier ones have open there is gone afterwards.
   * @throws PluginError UNREACHABLE, LOGIN_REFUSED, … that names the endpoint; LmasError ENDPOINT_NOT_FOUND
   */
  connect(
    endpointId: string,
    options: { signal: AbortSignal; attended?: boolean; run?: RunIdentity; log?: Logger },
  ): Promise<Connected>;
}

/** For runs, which have to do with one end where the other one is silent. */
export interface RunConnector extends EndpointConnector {
  /** What stands for an endpoint that could not be connected to; `undefined` when its plugin has nothing for that. */
  unreachable(endpointId: string, reason: Error): Promise<Connected | undefined>;
}

export function createConnector(
  endpoints: EndpointStore,
  credentials: CredentialStore,
  plugins: PluginRegistry,
  /** `guard`: of all connectors of this process, as they log in to the same accounts. */
  { log: ownLog, guard }: { log: Logger; guard: LoginGuard },
): RunConnector {
  return {
    async connect(endpointId, { signal, attended = false, run, log = ownLog }) {
      const endpoint = await endpoints.get(endpointId);
      const plugin = plugins.get(endpoint.plugin);
      const credential = await credentials.reveal(endpoint.credential);
      const context = { log: log.child({ endpoint: endpointId }), credential, run, endpoint: endpointId };
      const attempt = { door: endpointId, presented: [endpoint.config, credential], attended, signal };
      const attributes = { 'lmas.plugin': plugin.name, 'lmas.endpoint': endpointId };
      const login = () =>
        inSpan('plugin connect', { kind: SpanKind.CLIENT, attributes }, () =>
          plugin.connect(endpoint.config, context, { signal }),
        );
      try {
        return { plugin, session: await guard.pass(attempt, login) };
      } catch (error) {
        const again = isLoginRefused(error) ? { remedy: whenAgain(error, guard.retryAt(endpointId)) } : {};
        throw restated(error, { words: (message) => `${endpointId}: ${message}`, ...again });
      }
    },
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

/** Opens both ends, or none. @throws what `connect` throws; of both ends, when both fail */
export async function connectBoth(
  connector: EndpointConnector,
  ends: Readonly<Record<'source' | 'destination', string>>,
  { signal }: { signal: AbortSignal },
): Promise<Record<'source' | 'destination', Connected>> {
  const [source, destination] = await Promise.allSettled([
    connector.connect(ends.source, { signal }),
    connector.connect(ends.destination, { signal }),
  ]);
  if (source.status === 'fulfilled' && destination.status === 'fulfilled') {
    return { source: source.value, destination: destination.value };
  }
  const reasons: unknown[] = [];
  for (const end of [source, destination]) {
    if (end.status === 'rejected') reasons.push(end.reason);
    else await end.value.session.close();
  }
  throw failureOfEnds(reasons);
}

/** Uses a session for one thing and closes it. */
export async function withSession<T>(
  connector: EndpointConnector,
  endpointId: string,
  { signal, attended = false }: { signal: AbortSignal; attended?: boolean },
  use: (session: EndpointSession) => Promise<T>,
): Promise<T> {
  const { plugin, session } = await connector.connect(endpointId, { signal, attended });
  try {
    return await use(tracedCalls(session, 'plugin', { 'lmas.plugin': plugin.name, 'lmas.endpoint': endpointId }));
  } finally {
    await session.close();
  }
}
