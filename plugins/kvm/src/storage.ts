/**
 * The storage pools of a host, as the inventory shows them: those that are active. libvirt knows of a pool what it is made of, and not who
 * else sees that: one that comes over a network is shared, of any other nobody can say.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { StorageSummary } from '@lmas/plugin-api';
import type { LibvirtClient } from './client.ts';
import { isFault } from './errors.ts';
import { LIST_POOLS, POOL_STATE } from './rpc/constants.ts';

interface Options {
  readonly signal: AbortSignal;
}

const USABLE: readonly number[] = [POOL_STATE.running, POOL_STATE.degraded];

/** How long an inventory waits for its pools: one that hangs, as of an NFS server that is away, says nothing of the host. */
const PATIENCE_MS = 3_000;

/** libvirt holds a lock of a pool while it is refreshed, and whoever asks of it waits: one question at a time is out. */
export class StoragePools {
  readonly #closed: AbortSignal;
  readonly #patienceMs: number;
  #asked: Promise<StorageSummary[]> | undefined;

  /** @param closed of the session */
  constructor(closed: AbortSignal, patienceMs = PATIENCE_MS) {
    this.#closed = closed;
    this.#patienceMs = patienceMs;
  }

  /** `undefined`: it is not known now. @throws PluginError */
  async look(client: LibvirtClient, { signal }: Options): Promise<StorageSummary[] | undefined> {
    if (this.#asked === undefined) {
      const asked = storageOf(client, { signal: this.#closed });
      this.#asked = asked;
      const done = (): void => {
        this.#asked = undefined;
      };
      asked.then(done, done);
    }
    const waiting = new AbortController();
    const enough = sleep(this.#patienceMs, undefined, { signal: AbortSignal.any([signal, waiting.signal]) });
    try {
      return await Promise.race([this.#asked, enough]);
    } finally {
      waiting.abort();
      enough.catch(() => undefined);
    }
  }
}

/** A host without the storage driver has none. Pool by pool: what hangs takes one of the connection's places. */
async function storageOf(client: LibvirtClient, options: Options): Promise<StorageSummary[]> {
  const list = async (flags: number) =>
    (await client.call('connectListAllStoragePools', { needResults: 1, flags }, options)).pools;
  try {
    const pools = await list(LIST_POOLS.active);
    if (pools.length === 0) return [];
    const networked = new Set((await list(LIST_POOLS.active | LIST_POOLS.networked)).map(({ name }) => name));
    const found: StorageSummary[] = [];
    for (const pool of pools) {
      try {
        const { state, capacity, available } = await client.call('storagePoolGetInfo', { pool }, options);
        const numbers = { capacityBytes: Number(capacity), freeBytes: Number(available) };
        const shared = networked.has(pool.name) ? true : null;
        found.push({ name: pool.name, usable: USABLE.includes(state), ...numbers, shared });
      } catch (error) {
        if (!isFault(error)) throw error; // else it went away while we looked at it
      }
    }
    return found;
  } catch (error) {
    if (isFault(error)) return [];
    throw error;
  }
}
