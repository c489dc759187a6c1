/** What a plugin is told of the gateway pair before there is one. */
import type { TunnelFacts } from '@lmas/plugin-api';
import { errorCode } from '../errors.ts';
import type { SiteStore } from '../sites/sites.ts';
import type { MigrationInput } from './record.ts';

/** `undefined` for a direct migration, and where a site has no gateway machine: then the tunnel itself will say so. */
export async function tunnelFacts(
  sites: Pick<SiteStore, 'get'>,
  { transport, tunnel }: Pick<MigrationInput, 'transport' | 'tunnel'>,
  ends: { readonly source: string; readonly destination: string },
): Promise<TunnelFacts | undefined> {
  if (transport !== 'tunnel') return undefined;
  const [source, destination] = await Promise.all([nextHop(sites, ends.source), nextHop(sites, ends.destination)]);
  if (source === undefined || destination === undefined) return undefined;
  return { encrypts: tunnel.suite !== 'none', nextHops: { source, destination } };
}

/** A site that was removed since has none any more. */
async function nextHop(sites: Pick<SiteStore, 'get'>, site: string): Promise<string | undefined> {
  try {
    return (await sites.get(site)).gateway?.hypervisorAddress;
  } catch (error) {
    if (errorCode(error) === 'SITE_NOT_FOUND') return undefined;
    throw error;
  }
}
