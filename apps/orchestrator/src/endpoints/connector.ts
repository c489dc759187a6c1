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
import type { LoginGuard } from './login-guard.ts';

export interface Connected {
  readonly plugin: HypervisorPlugin;
  readonly session: EndpointSession;
}

export interface EndpointConnector {
  /**
   * `log`: where the plugin's lines about this session go.
   * `unattended`: nobody waits for the answer, so a login that was refused a while ago is not tried again (LoginGuard).
   * `run`: the run that will act over the session; what earlier ones have open there is gone afterwards.
   * @throws PluginError UNREACHABLE, LOGIN_REFUSED, … that names the endpoint; LmasError ENDPOINT_NOT_FOUND
   */
  connect(
    endpointId: string,
    options: { signal: AbortSignal; unattended?: boolean; run?: RunIdentity; log?: Logger },
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
    async connect(endpointId, { signal, unattended = false, run, log = ownLog }) {
      const endpoint = await endpoints.get(endpointId);
      const plugin = plugins.get(endpoint.plugin);
      const credential = await credentials.reveal(endpoint.credential);
      const context = { log: log.child({ endpoint: endpointId }), credential, run, endpoint: endpointId };
      const attempt = { door: endpointId, presented: [endpoint.config, credential], attended: !unattended };
      const attributes = { 'lmas.plugin': plugin.name, 'lmas.endpoint': endpointId };
      const login = () =>
        inSpan('plugin connect', { kind: SpanKind.CLIENT, attributes }, () =>
          plugin.connect(endpoint.config, context, { signal }),
        );
      try {
        return { plugin, session: await guard.pass(attempt, isLoginRefused, login) };
      } catch (error) {
        throw restated(error, (message) => `${endpointId}: ${message}`);
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

/** A plugin's error in other words; any other as it is. */
function restated(error: unknown, words: (message: string) => string): unknown {
  const code = pluginErrorCode(error);
  if (code === undefined) return error;
  const { message, retryable, remedy, native } = describeError(error);
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
  return restated(worst, () => reasons.map((reason) => describeError(reason).message).join(' '));
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
  signal: AbortSignal,
  use: (session: EndpointSession) => Promise<T>,
): Promise<T> {
  const { plugin, session } = await connector.connect(endpointId, { signal });
  try {
    return await use(tracedCalls(session, 'plugin', { 'lmas.plugin': plugin.name, 'lmas.endpoint': endpointId }));
  } finally {
    await session.close();
  }
}
