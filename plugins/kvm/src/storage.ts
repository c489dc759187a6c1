/**
 * The storage pools of a host, as the inventory shows them: those that are active. libvirt knows of a pool what it is made of, and not who
 * else sees that: one that comes over a network is shared, of any other nobody can say.
 */
import type { StorageSummary } from '@lmas/plugin-api';
import type { LibvirtClient } from './client.ts';
import { isFault } from './errors.ts';
import { LIST_POOLS, POOL_STATE } from './rpc/constants.ts';

interface Options {
  readonly signal: AbortSignal;
}

const USABLE: readonly number[] = [POOL_STATE.running, POOL_STATE.degraded];

/** A host without the storage driver has none. */
export async function storageOf(client: LibvirtClient, options: Options): Promise<StorageSummary[]> {
  const list = async (flags: number) =>
    (await client.call('connectListAllStoragePools', { needResults: 1, flags }, options)).pools;
  try {
    const pools = await list(LIST_POOLS.active);
    if (pools.length === 0) return [];
    const networked = new Set((await list(LIST_POOLS.active | LIST_POOLS.networked)).map(({ name }) => name));
    const asked = pools.map(async (pool): Promise<StorageSummary[]> => {
      try {
        const { state, capacity, available } = await client.call('storagePoolGetInfo', { pool }, options);
        const numbers = { capacityBytes: Number(capacity), freeBytes: Number(available) };
        const shared = networked.has(pool.name) ? true : null;
        return [{ name: pool.name, usable: USABLE.includes(state), ...numbers, shared }];
      } catch (error) {
        if (isFault(error)) return []; // it went away while we looked at it
        throw error;
      }
    });
    return (await Promise.all(asked)).flat();
  } catch (error) {
    if (isFault(error)) return [];
    throw error;
  }
}
