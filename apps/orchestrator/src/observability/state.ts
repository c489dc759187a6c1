/**
 * The state of the whole installation, read from Redis: what no process could count by itself, because any of them may
 * have done it. Bounded in time; a Redis that does not answer is an answer too.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Admission } from '../admission/admission.ts';
import type { LiveGateway, LiveGateways } from '../gateways/live-gateways.ts';
import { PHASES, type Phase } from '../migrations/phases.ts';
import { isUndecided } from '../migrations/record.ts';
import type { MigrationStore } from '../migrations/store.ts';
import { keys } from '../redis/keys.ts';
import { missedNotices } from '../webhooks/feed-group.ts';
import { type LinkTraffic, linkTraffic } from './link-traffic.ts';

const PATIENCE_MS = 3_000;

export interface InstallationState {
  readonly redisLatencyMs: number;
  /** Of all that ever were, as far as they are kept. */
  readonly migrations: ReadonlyMap<Phase, number>;
  readonly waiting: number;
  readonly admitted: number;
  readonly isPaused: boolean;
  /** Ended, but something of theirs could not be taken down yet. */
  readonly incomplete: number;
  /** Under way, and nobody knows at this moment where the VM runs. */
  readonly undecided: number;
  readonly gateways: readonly Pick<LiveGateway, 'status'>[];
  readonly tunnels: number;
  readonly goodputBitsPerSec: number;
  readonly links: readonly LinkTraffic[];
  /** Since the installation began. */
  readonly webhookNoticesMissed: number;
}

/** `undefined`: Redis does not answer. */
export type ReadState = () => Promise<InstallationState | undefined>;

export interface StateSources {
  readonly redis: Redis;
  readonly store: Pick<MigrationStore, 'running' | 'incomplete' | 'getMany'>;
  readonly admission: Pick<Admission, 'summary'>;
  readonly gateways: LiveGateways;
}

export function createStateReader(sources: StateSources): ReadState {
  return async () => {
    const late = new AbortController();
    const given = sleep(PATIENCE_MS, undefined, { ref: false, signal: late.signal }).catch(() => undefined);
    try {
      return await Promise.race([read(sources).catch(() => undefined), given]);
    } finally {
      late.abort();
    }
  };
}

async function read({ redis, store, admission, gateways: live }: StateSources): Promise<InstallationState> {
  const asked = performance.now();
  await redis.ping();
  const redisLatencyMs = performance.now() - asked;
  const [counts, { waiting, running, pausedAt }, incomplete, records, gateways, missed] = await Promise.all([
    Promise.all(PHASES.map(async (phase) => [phase, await redis.zcard(keys.index('phase', phase))] as const)),
    admission.summary(),
    store.incomplete(),
    store.running().then((ids) => store.getMany(ids)),
    live.list(null),
    missedNotices(redis),
  ]);
  const tunnels = new Map(gateways.flatMap(({ migration, tunnel }) => (tunnel === null ? [] : [[migration, tunnel]])));
  const goodputs = [...tunnels.values()].map(({ goodputBitsPerSec }) => goodputBitsPerSec);
  return {
    redisLatencyMs,
    migrations: new Map(counts),
    waiting,
    admitted: running,
    isPaused: pausedAt !== null,
    incomplete: incomplete.length,
    undecided: records.filter(isUndecided).length,
    gateways,
    tunnels: tunnels.size,
    goodputBitsPerSec: goodputs.reduce((sum, goodput) => sum + goodput, 0),
    links: linkTraffic(records),
    webhookNoticesMissed: missed.count,
  };
}
