/** What is on record, as one connection sees it. None of it keeps anything in memory that another one would miss. */
import type { Redis } from 'ioredis';
import { createProjects } from '../access/projects.ts';
import type { Vault } from '../access/vault.ts';
import { createAdmission } from '../admission/admission.ts';
import { createLaneFinder } from '../admission/lanes.ts';
import { createBandwidthLimits } from '../links/bandwidth-limits.ts';
import { createLinkService } from '../links/links.ts';
import { createChanges } from '../migrations/changes.ts';
import { createGiveUps } from '../migrations/give-ups.ts';
import { createHolders } from '../migrations/holders.ts';
import { createWordsOfPeople } from '../migrations/needs.ts';
import { createMigrationStore } from '../migrations/store.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import { createInventory } from '../sites/sites.ts';

export type Records = ReturnType<typeof createRecords>;

export function createRecords(redis: Redis, { vault, plugins }: { vault: Vault; plugins: PluginRegistry }) {
  const store = createMigrationStore(redis);
  const inventory = createInventory(redis, { vault, plugins, migrations: store });
  const admission = createAdmission(redis);
  const traffic = { redis, admission, bandwidth: createBandwidthLimits(redis) };
  return {
    ...{ store, inventory, admission, traffic },
    links: createLinkService(redis, inventory.sites, traffic),
    laneOf: createLaneFinder(inventory.endpoints, plugins),
    changes: createChanges(redis),
    giveUps: createGiveUps(redis),
    words: createWordsOfPeople(redis),
    projects: createProjects(redis),
    holders: createHolders(redis),
  };
}
