/**
 * Opens control connections to endpoints: settings, secret and plugin are brought together here and nowhere else.
 * The caller owns, and closes, the session it gets.
 */
import { type EndpointSession, type HypervisorPlugin, pluginErrorCode, type RunIdentity } from '@lmas/plugin-api';
import type { Logger } from '../log.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import type { CredentialStore, EndpointStore } from '../sites/sites.ts';
import { LoginGuard } from './login-guard.ts';

export interface EndpointConnector {
  /**
   * `log`: where the plugin's lines about this session go.
   * `unattended`: nobody waits for the answer, so a login that was refused a while ago is not tried again (LoginGuard).
   * `run`: the run that will act over the session; what earlier ones have open there is gone afterwards.
   * @throws PluginError UNREACHABLE, LOGIN_REFUSED, …; LmasError ENDPOINT_NOT_FOUND
   */
  connect(
    endpointId: string,
    options: { signal: AbortSignal; unattended?: boolean; run?: RunIdentity; log?: Logger },
  ): Promise<{ readonly plugin: HypervisorPlugin; readonly session: EndpointSession }>;
}

/** For runs, which have to do with one end where the other one is silent. */
export interface RunConnector extends EndpointConnector {
  /** What stands for an endpoint that could not be connected to; `undefined` when its plugin has nothing for that. */
  unreachable(
    endpointId: string,
    reason: Error,
  ): Promise<{ readonly plugin: HypervisorPlugin; readonly session: EndpointSession } | undefined>;
}

export function createConnector(
  endpoints: EndpointStore,
  credentials: CredentialStore,
  plugins: PluginRegistry,
  { log: ownLog, loginRetryMs }: { log: Logger; loginRetryMs: number },
): RunConnector {
  const guard = new LoginGuard(loginRetryMs);
  return {
    async connect(endpointId, { signal, unattended = false, run, log = ownLog }) {
      const endpoint = await endpoints.get(endpointId);
      const plugin = plugins.get(endpoint.plugin);
      const credential = await credentials.reveal(endpoint.credential);
      const context = { log: log.child({ endpoint: endpointId }), credential, run };
      const attempt = { door: endpointId, presented: [endpoint.config, credential], attended: !unattended };
      const session = await guard.pass(attempt, isLoginRefused, () =>
        plugin.connect(endpoint.config, context, { signal }),
      );
      return { plugin, session };
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

/** Uses a session for one thing and closes it. */
export async function withSession<T>(
  connector: EndpointConnector,
  endpointId: string,
  signal: AbortSignal,
  use: (session: EndpointSession) => Promise<T>,
): Promise<T> {
  const { session } = await connector.connect(endpointId, { signal });
  try {
    return await use(session);
  } finally {
    await session.close();
  }
}
