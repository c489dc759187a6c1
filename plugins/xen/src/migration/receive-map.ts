/**
 * The answer of `host.migrate_receive`, and how the source is led to the gateway instead: the host part of its URLs is
 * replaced, and nothing else of them. Some calls of the source use port 443 of that host whatever the URL says, so the
 * gateway has to answer at the same port numbers (xapi_vm_migrate.ml, importexport.ml; verified in their source).
 *
 * The map holds a session of the destination's pool: a secret. It is never logged and never stored. Pure.
 */
import { PluginError, type Routes } from '@lmas/plugin-api';
import { canonical } from '../addresses.ts';
import type { ReceiveMap } from '../records.ts';

export const HTTPS_PORT = 443;
export const HTTP_PORT = 80;

/** Flow ids. TLS by the rule; plain HTTP from releases before 22.30 and where the pool allows it. */
export const FLOW = {
  hostTls: 'host-tls',
  hostPlain: 'host-plain',
  coordinatorTls: 'coordinator-tls',
  coordinatorPlain: 'coordinator-plain',
  /** Intercepted, both ports. */
  host: 'host',
} as const;

/** The host's own requests; the coordinator's API calls may go there or stay direct. */
const HOST_URLS = ['SM', 'xenops'] as const;

const URL_PARTS = /^(https?:\/\/)(\[[^\]]+\]|[^/:?#]+)(.*)$/s;

export function hostOfUrl(url: string): string | undefined {
  const host = URL_PARTS.exec(url)?.[2]?.replace(/^\[|\]$/g, '');
  return host === undefined ? undefined : canonical(host);
}

function withHost(url: string, host: string): string {
  const written = host.includes(':') ? `[${host}]` : host;
  return url.replace(URL_PARTS, (_, scheme: string, _host: string, rest: string) => `${scheme}${written}${rest}`);
}

/**
 * @param address the destination host's, for which the routes were opened; and the coordinator's, if that is to be relayed
 * @throws PluginError INVALID_CONFIG when the routes cannot carry it, INCOMPATIBLE when the map leads elsewhere
 */
export function redirect(
  map: ReceiveMap,
  { address, coordinator }: { readonly address: string; readonly coordinator: string | null },
  routes: Routes,
): ReceiveMap {
  const gateway = gatewayHost(routes, FLOW.hostTls, FLOW.hostPlain);
  const redirected: ReceiveMap = { ...map };
  for (const key of HOST_URLS) {
    const url = map[key];
    if (url === undefined) continue;
    if (hostOfUrl(url) !== address) {
      throw new PluginError(
        'INCOMPATIBLE',
        `The destination wants ${key} traffic at ${hostOfUrl(url)}, not at ${address}.`,
        {
          remedy: 'Set migrationNetwork of the endpoint to the network that the destination host answers with.',
        },
      );
    }
    redirected[key] = withHost(url, gateway);
  }
  const { master } = map;
  const masterHost = master === undefined ? undefined : hostOfUrl(master);
  if (master === undefined) return redirected;
  if (masterHost === address) redirected.master = withHost(master, gateway);
  else if (coordinator !== null) {
    if (masterHost !== coordinator) {
      const message = `The destination's coordinator is at ${masterHost} now, and no more at ${coordinator}, where the tunnel leads.`;
      throw new PluginError('INCOMPATIBLE', message, {
        retryable: true,
        remedy: 'Submit the migration again: the tunnel is led to the new coordinator then.',
      });
    }
    redirected.master = withHost(master, gatewayHost(routes, FLOW.coordinatorTls, FLOW.coordinatorPlain));
  }
  return redirected;
}

/** One address that answers at both ports. */
function gatewayHost(routes: Routes, tls: string, plain: string): string {
  const [secure, clear] = [routes[tls], routes[plain]];
  const usable =
    secure !== undefined && secure.port === HTTPS_PORT && clear?.port === HTTP_PORT && clear.host === secure.host;
  if (!usable) {
    const seen = [secure, clear]
      .map((route) => (route === undefined ? 'none' : `${route.host}:${route.port}`))
      .join(' and ');
    throw new PluginError(
      'INVALID_CONFIG',
      `The gateway has to answer at ports 443 and 80 of one address; it does at ${seen}.`,
      {
        retryable: true,
        remedy:
          'Another migration may hold these ports: try again when it is over, or give the site’s gateway machine more addresses.',
      },
    );
  }
  return secure.host;
}
