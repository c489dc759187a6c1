/**
 * Sweeps the sites for gateways that no living migration or link test owns, at start and now and then. It owns its timer.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayProvisioner } from '../gateways/gateway.ts';
import type { Logger } from '../log.ts';
import type { SiteStore } from '../sites/sites.ts';

const SWEEP_TIMEOUT_MS = 60_000;

export interface Reaper {
  stop(): Promise<void>;
}

export function startReaper(
  sites: SiteStore,
  gateways: GatewayProvisioner,
  isOwned: (owner: string) => Promise<boolean>,
  { intervalMs, log }: { intervalMs: number; log: Logger },
): Reaper {
  const stopping = new AbortController();
  const sweep = async (site: string): Promise<void> => {
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(SWEEP_TIMEOUT_MS)]);
    try {
      const removed = await gateways.sweep(site, isOwned, { signal });
      if (removed.length > 0) log.warn({ site, removed }, 'removed gateways that nobody owned');
    } catch (error) {
      if (!stopping.signal.aborted) log.warn({ err: error, site }, 'the site could not be swept');
    }
  };
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        const all = await sites.list();
        await Promise.all(all.filter(({ gateway }) => gateway !== null).map(({ id }) => sweep(id)));
      } catch (error) {
        log.warn({ err: error }, 'the sites could not be listed');
      }
      await sleep(intervalMs, undefined, { signal: stopping.signal }).catch(() => undefined); // stop() ends the loop
    }
  };
  const running = loop();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
