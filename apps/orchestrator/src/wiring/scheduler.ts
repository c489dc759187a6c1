/** What looks after the whole installation: migrations whose worker died, the sites, webhooks. Any number may do it at once. */
import type { LaneFinder } from '../admission/lanes.ts';
import { startBalancing } from '../balancing/keeper.ts';
import type { GatewayProvisioner } from '../gateways/gateway.ts';
import type { MigrationStore } from '../migrations/store.ts';
import type { Dispatcher } from '../queue/dispatcher.ts';
import type { MigrationQueue } from '../queue/queue.ts';
import { startReaper } from '../queue/reaper.ts';
import { startRecovery } from '../queue/recovery.ts';
import { keys } from '../redis/keys.ts';
import { serversOf } from '../redis/servers.ts';
import type { WebhookService } from '../webhooks/service.ts';
import type { Balancing } from './balancing.ts';
import type { Base } from './base.ts';
import type { Connections } from './connections.ts';
import type { Records } from './records.ts';

const LIVE_BATCH = 200;

export interface SchedulerParts {
  readonly queue: MigrationQueue;
  readonly dispatcher: Dispatcher;
  readonly gateways: GatewayProvisioner;
  readonly webhooks: WebhookService;
  readonly balancing: Balancing;
}

export async function startScheduler(
  { config, log, closers }: Base,
  { work: redis, subscriber }: Connections,
  { store, inventory, admission, laneOf }: Records,
  parts: SchedulerParts,
): Promise<void> {
  const { queue, dispatcher, gateways, webhooks, balancing } = parts;
  closers.add('webhooks', () => webhooks.stop());
  await webhooks.start(subscriber);
  const rebuild = () => admission.rebuild(liveLanes(store, laneOf));
  const watched = { queue, admission, dispatcher, rebuild, servers: () => serversOf(redis) };
  const recovery = startRecovery(store, watched, { intervalMs: config.recoveryIntervalMs, log });
  closers.add('recovery', () => recovery.stop());
  const isOwned = async (owner: string) =>
    (await store.isLive(owner)) ||
    (await store.incomplete()).includes(owner) ||
    (await redis.exists(keys.linkTest(owner))) === 1;
  const reaper = startReaper(inventory.sites, gateways, isOwned, { intervalMs: config.reaperIntervalMs, log });
  closers.add('reaper', () => reaper.stop());
  const keeper = startBalancing(balancing.policies, { intervalMs: config.recoveryIntervalMs, log });
  closers.add('balancing policies', () => keeper.stop());
}

/** Every live migration with its lane, a few at a time. */
async function* liveLanes(store: MigrationStore, laneOf: LaneFinder) {
  const ids = await store.live();
  for (let i = 0; i < ids.length; i += LIVE_BATCH) {
    const migrations = await store.getMany(ids.slice(i, i + LIVE_BATCH));
    const needs = await store.needs(migrations.map(({ id }) => id));
    yield await Promise.all(
      migrations.map(async (migration, n) => {
        const need = needs[n] ?? null;
        return { migration, need, lane: await laneOf(migration, need) };
      }),
    );
  }
}
