/**
 * Opens control connections to endpoints: settings, secret and plugin are brought together here and nowhere else.
 * The caller owns, and closes, the session it gets.
 */
import type { EndpointSession, HypervisorPlugin } from '@lmas/plugin-api';
import type { Logger } from '../log.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import type { CredentialStore, EndpointStore } from '../sites/sites.ts';

export interface EndpointConnector {
  /** @throws PluginError UNREACHABLE, LOGIN_REFUSED, …; LmasError ENDPOINT_NOT_FOUND */
  connect(
    endpointId: string,
    options: { signal: AbortSignal },
  ): Promise<{ readonly plugin: HypervisorPlugin; readonly session: EndpointSession }>;
}

export function createConnector(
  endpoints: EndpointStore,
  credentials: CredentialStore,
  plugins: PluginRegistry,
  log: Logger,
): EndpointConnector {
  return {
    async connect(endpointId, { signal }) {
      const endpoint = await endpoints.get(endpointId);
      const plugin = plugins.get(endpoint.plugin);
      const credential = await credentials.reveal(endpoint.credential);
      const context = { log: log.child({ endpoint: endpointId }), credential };
      return { plugin, session: await plugin.connect(endpoint.config, context, { signal }) };
    },
  };
}

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
