/** The hosts and storage of a pool in its inventory: what each has, who sees what, and always as it is now. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import type { EndpointSession, Inventory } from '@lmas/plugin-api';
import { XenWorld } from '../compliance/xen-world.ts';
import { uuidOf } from '../lab/xapi/model.ts';
import type { XapiPool } from '../lab/xapi/pool.ts';

const signal = AbortSignal.timeout(60_000);
const GIB = 1024 ** 3;
/** Each member of XenServer has storage of that name. */
const LOCAL = 'Local storage';

describe('places of a pool', () => {
  let world: XenWorld;
  let pool: XapiPool;
  let session: EndpointSession;
  before(async () => {
    const storage = [{ name: 'shared' }, { name: LOCAL, members: ['alpha-1'] }, { name: 'tools' }];
    world = await XenWorld.make({ storage });
    pool = world.source;
    pool.database.update('SR', pool.database.byName('SR', 'tools'), { content_type: 'iso' });
  });
  after(() => world[Symbol.asyncDispose]());
  beforeEach(async () => {
    session = await world.session(pool);
  });
  afterEach(() => session.close());

  const look = () => session.inventory({ signal });
  const states = ({ hosts = [] }: Inventory) => hosts.map(({ name, state }) => [name, state]);
  const hostRef = (name: string) => pool.database.byName('host', name);
  const uuid = (kind: string, name: string) => uuidOf('alpha', kind, name);

  test('members with their numbers, what they see, and which of them runs a VM', async () => {
    const { hosts, storage, vms } = await look();
    const numbers = { cpus: 8, memoryBytes: 16 * GIB, memoryFreeBytes: 15 * GIB };
    assert.deepEqual(
      hosts,
      ['alpha-1', 'alpha-2'].map((name) => ({
        ...{ name, id: uuid('host', name), cluster: null, state: 'connected', ...numbers },
      })),
    );
    const sizes = { usable: true, capacityBytes: 64 * GIB, freeBytes: 64 * GIB };
    assert.deepEqual(
      storage,
      [
        { name: 'shared', id: uuid('SR', 'shared'), ...sizes, shared: true },
        { name: LOCAL, id: uuid('SR', LOCAL), ...sizes, shared: false, host: 'alpha-1' },
      ],
      'no installation media',
    );
    assert.deepEqual(
      vms.map(({ name, host }) => [name, host]),
      [['shop', 'alpha-1']],
    );
    assert.equal((await session.findVm('shop', { signal })).host, 'alpha-1');
  });

  test('an endpoint of some members has those alone, and only what they see', async () => {
    await session.close();
    session = await world.session(pool, undefined, undefined, ['alpha-2']);
    const inventory = await look();
    assert.deepEqual(states(inventory), [['alpha-2', 'connected']]);
    assert.deepEqual(
      inventory.storage?.map(({ name, host }) => [name, host]),
      [['shared', 'alpha-2']],
    );
  });

  test('what becomes of them is seen by the session that is open', async () => {
    assert.deepEqual(states(await look()), [
      ['alpha-1', 'connected'],
      ['alpha-2', 'connected'],
    ]);
    const { database } = pool;
    const metrics = String(database.need('host', hostRef('alpha-2')).metrics);
    database.update('host', hostRef('alpha-1'), { enabled: false });
    database.update('host', hostRef('alpha-2'), { enabled: false });
    database.update('host_metrics', metrics, { live: false });
    const [shared, local] = ['shared', LOCAL].map((name) => database.byName('SR', name));
    database.update('SR', shared ?? '', { physical_utilisation: 24 * GIB });
    database.update('SR', local ?? '', { physical_size: -1, physical_utilisation: -1 });
    const [pbd] = database.need('SR', local ?? '').PBDs as string[];
    database.update('PBD', pbd ?? '', { currently_attached: false });
    const now = await look();
    assert.deepEqual(states(now), [
      ['alpha-1', 'maintenance'],
      ['alpha-2', 'disconnected'],
    ]);
    assert.deepEqual(
      now.storage?.map(({ name, usable, capacityBytes, freeBytes }) => [name, usable, capacityBytes, freeBytes]),
      [
        ['shared', true, 64 * GIB, 40 * GIB],
        [LOCAL, false, null, null],
      ],
    );
  });
});
