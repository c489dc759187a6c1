/**
 * The source learns where to send: to the gateway beside it, or straight to the destination. The routes live and die
 * with the gateways, so there is nothing of their own to release.
 */
import type { Prepared, Routes } from '@lmas/plugin-api';
import type { Tunnel } from '../../gateways/tunnel.ts';
import type { Run } from '../run.ts';

export async function connectThroughTunnel(
  run: Run,
  tunnel: Tunnel,
  prepared: Prepared,
  { signal }: { signal: AbortSignal },
): Promise<Routes> {
  await run.assertCurrent();
  return await tunnel.openRoutes(prepared, { signal });
}

export function straightRoutes(prepared: Prepared): Routes {
  return Object.fromEntries(prepared.flows.map(({ id, host, port }) => [id, { host, port }]));
}
