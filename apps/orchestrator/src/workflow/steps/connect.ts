/**
 * The source learns where to send: to the gateway beside it, or directly to the destination. The routes live and die
 * with the gateways, so there is nothing of their own to release; barriers do not, and are journalled.
 */
import type { Prepared, Routes } from '@lmas/plugin-api';
import type { Tunnel } from '../../gateways/tunnel.ts';
import { ENDS } from '../../migrations/record.ts';
import type { Run } from '../run.ts';

export async function connectThroughTunnel(
  run: Run,
  tunnel: Tunnel,
  prepared: Prepared,
  { signal }: { signal: AbortSignal },
): Promise<Routes> {
  if (prepared.transparentFlows?.some(({ barrier }) => barrier === true) === true) {
    for (const end of ENDS) await run.journal.intend({ kind: 'barrier', end, site: run.migration[end].site });
  }
  await run.assertCurrent();
  return await tunnel.openRoutes(prepared, { signal });
}

export function straightRoutes(prepared: Prepared): Routes {
  return Object.fromEntries(prepared.flows.map(({ id, host, port }) => [id, { host, port }]));
}
