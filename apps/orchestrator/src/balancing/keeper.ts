/**
 * Sees to it that every policy has its passes, and that what a crash left of one is taken up. Any number of keepers may run.
 * It owns its timer.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { describeError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { BalancingService } from './service.ts';

export interface BalancingKeeper {
  stop(): Promise<void>;
}

export function startBalancing(
  service: Pick<BalancingService, 'list' | 'tend'>,
  { intervalMs, log }: { intervalMs: number; log: Logger },
): BalancingKeeper {
  const stopping = new AbortController();
  const { signal } = stopping;
  const busy = new Map<string, Promise<void>>();
  const tend = async (policy: Parameters<BalancingService['tend']>[0]): Promise<void> => {
    await service.tend(policy, { signal }).catch((error: unknown) => {
      if (!signal.aborted)
        log.warn({ policy: policy.id, err: describeError(error).message }, 'a policy was not tended');
    });
    busy.delete(policy.id);
  };
  const loop = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        for (const policy of await service.list()) {
          if (!busy.has(policy.id)) busy.set(policy.id, tend(policy));
        }
      } catch (error) {
        log.warn({ err: error }, 'the balancing policies could not be listed');
      }
      await sleep(intervalMs, undefined, { signal }).catch(() => undefined); // stop() ends the loop
    }
  };
  const running = loop();
  return {
    async stop() {
      stopping.abort();
      await running;
      await Promise.allSettled(busy.values());
    },
  };
}
