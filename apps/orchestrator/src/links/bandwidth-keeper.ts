/**
 * Keeps every migration of this process at its share of the bandwidth. Shares are divided anew whenever one starts or
 * ends, or a limit changes, whoever did it: all processes compute the same from what is in Redis, and each tells its own.
 * It owns nothing but what it was given to tell, for as long as that is kept.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Logger } from '../log.ts';
import { keys } from '../redis/keys.ts';
import type { BandwidthLimits } from './bandwidth-limits.ts';

/** Tells whoever can limit; `null` is unlimited. */
export type Throttle = (bytesPerSec: number | null, options: { signal: AbortSignal }) => Promise<void>;

export interface BandwidthKeeper {
  /** What this one may use now. */
  shareOf(migrationId: string): Promise<number | null>;
  /** Calls `throttle` whenever the share is another one than it was told last (`told`), until disposed. */
  keep(migrationId: string, throttle: Throttle, told: number | null | undefined): Disposable;
}

interface Kept {
  readonly throttle: Throttle;
  readonly done: AbortController;
  told: number | null | undefined;
}

/** Many start and end at the same time: what they change is divided once. */
const GATHER_MS = 200;
const RETRY_MS = 2_000;
const TELL_TIMEOUT_MS = 10_000;

export function createBandwidthKeeper(
  subscriber: Pick<Redis, 'on'>,
  limits: Pick<BandwidthLimits, 'shares'>,
  log: Logger,
): BandwidthKeeper {
  const kept = new Map<string, Kept>();
  let isDividing = false;
  let again = false;

  const tell = async (id: string, entry: Kept, share: number | null): Promise<boolean> => {
    if (entry.told === share || entry.done.signal.aborted) return true;
    const signal = AbortSignal.any([entry.done.signal, AbortSignal.timeout(TELL_TIMEOUT_MS)]);
    try {
      await entry.throttle(share, { signal });
      entry.told = share;
      return true;
    } catch (error) {
      if (entry.done.signal.aborted) return true;
      log.warn({ err: error, migration: id, share }, 'a new share of the bandwidth could not be set; tried again');
      return false;
    }
  };
  const divide = async (): Promise<boolean> => {
    const shares = await limits.shares();
    const told = await Promise.all([...kept].map(([id, entry]) => tell(id, entry, shares.get(id) ?? null)));
    return told.every((isTold) => isTold);
  };
  const divideUntilTold = async (): Promise<void> => {
    if (isDividing) return;
    isDividing = true;
    while (again && kept.size > 0) {
      await sleep(GATHER_MS);
      again = false;
      const isDone = await divide().catch((error: unknown) => {
        log.warn({ err: error }, 'the bandwidth could not be divided; tried again');
        return false;
      });
      if (!isDone) {
        again = true;
        await sleep(RETRY_MS);
      }
    }
    isDividing = false;
  };
  const look = (): void => {
    again = true;
    void divideUntilTold();
  };
  subscriber.on('message', (channel: string) => {
    if (channel === keys.admissionChannel) look();
  });

  return {
    async shareOf(migrationId) {
      return (await limits.shares()).get(migrationId) ?? null;
    },
    keep(migrationId, throttle, told) {
      const entry: Kept = { throttle, told, done: new AbortController() };
      kept.set(migrationId, entry);
      look();
      return {
        [Symbol.dispose]() {
          entry.done.abort();
          if (kept.get(migrationId) === entry) kept.delete(migrationId);
        },
      };
    },
  };
}
