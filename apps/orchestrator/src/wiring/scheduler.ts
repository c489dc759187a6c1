/** What looks after the whole installation: migrations whose worker died, the sites, webhooks. Any number may do it at once. */
import { liveLanes } from '../admission/live-lanes.ts';
import { startBalancing } from '../balancing/keeper.ts';
import type { GatewayProvisioner } from '../gateways/gateway.ts';
import type { Dispatcher } from '../queue/dispatcher.ts';
import type { MigrationQueue } from '../queue/queue.ts';
import { startReaper } from '../queue/reaper.ts';
import { startRecovery } from '../queue/recovery.ts';
import { checkDurability } from '../redis/durability.ts';
import { keys } from '../redis/keys.ts';
import { serversOf } from '../redis/servers.ts';
import type { WebhookService } from '../webhooks/service.ts';
import type { Balancing } from './balancing.ts';
import type { Base } from './base.ts';
import type { Connections } from './connections.ts';
import type { Records } from './records.ts';

export interface SchedulerParts {
  readonly queue: MigrationQueue;
  readonly dispatcher: Dispatcher;
  readonly gateways: GatewayProvisioner;
  readonly webhooks: WebhookService;
  readonly balancing: Balancing;
}

export async function startScheduler(
  { config, log, closers }: Base,
  { address, work: redis, subscriber }: Connections,
  { store, inventory, admission, laneOf }: Records,
  parts: SchedulerParts,
): Promise<void> {
  const { queue, dispatcher, gateways, webhooks, balancing } = parts;
  closers.add('webhooks', () => webhooks.stop());
  await webhooks.start(subscriber);
  const rebuild = () => admission.rebuild(liveLanes(store, laneOf, log));
  const examine = async () => {
    // What is under way needs its records: nothing is refused any more.
    if (address.kind !== 'socket') await checkDurability(redis, { kind: address.kind, log, allowUnsafe: true });
  };
  const watched = { queue, admission, dispatcher, rebuild, servers: () => serversOf(redis), examine };
  const recovery = startRecovery(store, watched, {
    intervalMs: config.recoveryIntervalMs,
    leaseMs: config.runLeaseMs,
    log,
  });
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
