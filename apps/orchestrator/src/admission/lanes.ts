/**
 * Finds the lane of a migration: its own ends, and what its plugin can do, decide which places it needs.
 */
import type { Migration } from '../migrations/record.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import type { EndpointStore } from '../sites/sites.ts';
import { laneOf } from './groups.ts';

export type LaneFinder = (migration: Pick<Migration, 'source' | 'destination' | 'request'>) => Promise<string>;

export function createLaneFinder(endpoints: EndpointStore, plugins: PluginRegistry): LaneFinder {
  return async (migration) => {
    if (migration.request.transport !== 'tunnel') return laneOf(migration, { transparent: false });
    const { plugin } = await endpoints.get(migration.source.endpoint);
    const capabilities = plugins.find(plugin)?.capabilities;
    const transparent = capabilities?.transparentRoute === true && !capabilities.redirectedRoute;
    return laneOf(migration, { transparent });
  };
}
