/**
 * Finds the lane of a migration: whose it is, its own ends, and what its plugin can do, decide which places it needs.
 */
import type { Migration } from '../migrations/record.ts';
import { isIntercepted, type PluginRegistry } from '../plugins/registry.ts';
import type { EndpointStore } from '../sites/sites.ts';
import { laneOf, type Need } from './groups.ts';

export type LaneFinder = (
  migration: Pick<Migration, 'project' | 'source' | 'destination' | 'request'>,
  /** What its check has found that it needs, and it has or waits for. */
  need?: Need | null,
) => Promise<string>;

export function createLaneFinder(endpoints: EndpointStore, plugins: PluginRegistry): LaneFinder {
  return async (migration, need = null) => {
    const direct = migration.request.transport !== 'tunnel';
    const { plugin } = await endpoints.get(migration.source.endpoint);
    const capabilities = plugins.find(plugin)?.capabilities;
    // Where an endpoint has many hosts, the run itself takes their pair, once it knows them (workflow/steps/hosts.ts).
    const transparent = capabilities !== undefined && isIntercepted(capabilities) && capabilities.manyHosts !== true;
    return laneOf(migration, { transparent, direct, need });
  };
}
